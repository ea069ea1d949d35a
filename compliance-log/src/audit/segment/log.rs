use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use compliance_core::clock::Clock;
use compliance_core::event::{Completion, Event, EventDigest, RecordError, RecordErrorKind, Recording, Sink};

use super::config::AuditConfig;
use super::error::AuditError;
use super::file;
use super::recover::recover;
use super::writer::{RECORD_OVERHEAD, Writer};
use crate::audit::checkpoint::{SignedCheckpoint, VerifyingKey};
use crate::audit::record::MAX_EVENT_LEN;
use crate::audit::verify::{VerifyOptions, verify};

/// An audit trail open for writing.
///
/// A [`Sink`]: a recording resolves once the event is synchronised to disk, with
/// [`Durability::Disk`](compliance_core::event::Durability::Disk). One process writes a trail at a time; any
/// number may read and verify it meanwhile. Dropping the log writes what was handed over, then a closing
/// checkpoint.
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::SystemClock;
/// use compliance_core::event::{Actor, Durability, Event, EventKind, Sink};
/// use compliance_core::finding::Outcome;
/// use compliance_core::random::SystemRandom;
/// use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
///
/// let dir = tempfile::tempdir()?;
/// let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// let (log, report) = AuditLog::open(dir.path(), AuditConfig::new(key), SystemClock)?;
/// assert_eq!(report.records(), 0);
///
/// let sink: Arc<dyn Sink> = Arc::new(log);
/// let now = "2026-11-21T12:00:00Z".parse()?;
/// let event = Event::builder(EventKind::SystemStarted, Outcome::Passed, Actor::System, now).build()?;
/// let receipt = sink.record(event.clone()).wait()?; // or .await
/// assert_eq!(receipt.sequence(), 0);
/// receipt.redeem(&event, Durability::Disk)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AuditLog {
    shared: Arc<Shared>,
    dir: PathBuf,
    key: VerifyingKey,
    writer: Option<JoinHandle<()>>,
}

/// What opening a trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    records: u64,
    torn_bytes: u64,
    uncovered: u64,
    checkpoint: Option<SignedCheckpoint>,
}

impl OpenReport {
    /// Records in the trail.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of a group commit that a crash tore and that were cut. Nothing in them was acknowledged. 0 when
    /// nothing was torn.
    #[must_use]
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Records behind the last checkpoint, left by a process that did not close the trail. No signature
    /// covered them; the checkpoint written on opening now does.
    #[must_use]
    pub fn uncovered(&self) -> u64 {
        self.uncovered
    }

    /// Whether the last process closed the trail. A new trail counts as closed.
    #[must_use]
    pub fn was_closed(&self) -> bool {
        self.uncovered == 0
            && self.torn_bytes == 0
            && self.checkpoint.as_ref().is_none_or(SignedCheckpoint::is_closing)
    }

    /// The last checkpoint found; `None` when the trail is new.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.checkpoint.as_ref()
    }
}

impl AuditLog {
    /// Opens the trail in `dir` for writing; creates directory and trail where there is none.
    ///
    /// Reads the last segment. The tail of a group commit that a crash tore is cut and
    /// [reported](OpenReport::torn_bytes). Earlier segments are read with
    /// [`AuditConfig::verify_all`], else by [`verify`](crate::audit::verify::verify) whenever you call it.
    /// `clock` tells when records and checkpoints are made.
    ///
    /// # Errors
    /// [`AuditError`]: `audit.locked` when another writer has it open; `audit.truncated` when records are gone
    /// that the checkpoint beside the segments covers; the code of a fault when the trail is not what was
    /// written, is another key's (`audit.other_key`) or another version's; `audit.io` when the operating
    /// system refuses.
    pub fn open(
        dir: impl AsRef<Path>,
        config: AuditConfig,
        clock: impl Clock + 'static,
    ) -> Result<(Self, OpenReport), AuditError> {
        let dir = dir.as_ref().to_owned();
        let lock = file::lock(&dir).map_err(|error| AuditError::io("lock the directory", &error))?;
        let lock = lock.ok_or(AuditError::locked())?;
        file::remove_unfinished(&dir)
            .map_err(|error| AuditError::io("remove an unfinished segment", &error))?;
        let key = config.key.verifying_key().clone();
        let recovered = recover(&dir, &key)?;
        if config.verify_all && recovered.is_some() {
            let report = verify(&dir, &VerifyOptions::new().key(key.clone()))?;
            report.fault().map_or(Ok(()), |fault| Err(AuditError::from(*fault)))?;
        }
        let report = recovered.as_ref().map_or(
            OpenReport { records: 0, torn_bytes: 0, uncovered: 0, checkpoint: None },
            |recovered| OpenReport {
                records: recovered.chain.tree().size(),
                torn_bytes: recovered.torn_bytes,
                uncovered: recovered.chain.uncovered(),
                checkpoint: Some(recovered.chain.last().clone()),
            },
        );
        let limits = Limits { queue_len: config.queue_len, queue_wait: config.queue_wait };
        let shared = Arc::new(Shared::new(limits));
        let writer = Writer::start(Arc::clone(&shared), &dir, config, Box::new(clock), recovered, lock)
            .map_err(|error| AuditError::io("prepare the segment", &error))?;
        let writer = thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| AuditError::io("start the writer", &error))?;
        Ok((Self { shared, dir, key, writer: Some(writer) }, report))
    }

    /// Writes and signs a checkpoint over all records handed over before, and waits for it. Hand it to
    /// whoever keeps anchors.
    ///
    /// # Errors
    /// [`RecordError`] when it could not be written.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, RecordError> {
        let (sender, receiver) = sync_channel(1);
        {
            let mut state = self.shared.lock();
            state.refusal()?;
            state.checkpoints.push(sender);
        }
        self.shared.work.notify_one();
        receiver.recv().unwrap_or(Err(RecordError::new(RecordErrorKind::Abandoned)))
    }

    /// Writes what was handed over and a closing checkpoint, and gives it back: the one worth keeping
    /// elsewhere.
    ///
    /// # Errors
    /// [`RecordError`] when that failed; the trail is then as after a crash.
    pub fn close(mut self) -> Result<SignedCheckpoint, RecordError> {
        self.stop();
        let closed = self.shared.lock().closed.take();
        closed.unwrap_or(Err(RecordError::new(RecordErrorKind::Poisoned)))
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The key its checkpoints are verified with.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn stop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        self.shared.lock().is_closing = true;
        self.shared.work.notify_one();
        // A waker may drop the last owner on the writer's own thread, which cannot wait for itself.
        if writer.thread().id() != thread::current().id() {
            drop(writer.join());
        }
    }
}

impl Sink for AuditLog {
    fn record(&self, event: Event) -> Recording {
        match self.shared.submit(&event) {
            Ok(recording) => recording,
            Err(error) => Recording::ready(Err(error)),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("dir", &self.dir).field("key", &self.key).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Limits {
    queue_len: usize,
    queue_wait: std::time::Duration,
}

/// What callers and the writer share.
pub(super) struct Shared {
    limits: Limits,
    state: Mutex<State>,
    /// There is something to write, or the log closes.
    pub(super) work: Condvar,
    /// The queue was taken.
    room: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Pending>,
    queued_len: usize,
    pub(super) checkpoints: Vec<SyncSender<Result<SignedCheckpoint, RecordError>>>,
    pub(super) is_closing: bool,
    pub(super) is_poisoned: bool,
    /// How closing ended: with a checkpoint that is durable, or not.
    pub(super) closed: Option<Result<SignedCheckpoint, RecordError>>,
}

/// An event on its way.
pub(super) struct Pending {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: EventDigest,
    pub(super) completion: Completion,
}

impl State {
    fn refusal(&self) -> Result<(), RecordError> {
        match (self.is_poisoned, self.is_closing) {
            (true, _) => Err(RecordError::new(RecordErrorKind::Poisoned)),
            (false, true) => Err(RecordError::new(RecordErrorKind::Unavailable)),
            (false, false) => Ok(()),
        }
    }

    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.checkpoints.is_empty() || self.is_closing
    }

    pub(super) fn take_queue(&mut self) -> VecDeque<Pending> {
        self.queued_len = 0;
        std::mem::take(&mut self.queue)
    }
}

impl Shared {
    fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), work: Condvar::new(), room: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding this lock leaves whole state behind: no update is made in two steps that
        // must not be seen apart.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait_for_work<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: std::time::Duration,
    ) -> MutexGuard<'a, State> {
        self.work.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    pub(super) fn notify_room(&self) {
        self.room.notify_all();
    }

    fn submit(&self, event: &Event) -> Result<Recording, RecordError> {
        let mut bytes = Vec::with_capacity(512);
        event.encode(&mut bytes);
        if bytes.len() > MAX_EVENT_LEN {
            let kind = RecordErrorKind::TooLarge { found: bytes.len(), max: MAX_EVENT_LEN };
            return Err(RecordError::new(kind));
        }
        let digest = event.digest();
        let len = bytes.len().saturating_add(RECORD_OVERHEAD);
        let (completion, recording) = Recording::pending();
        let mut state = self.make_room(len)?;
        let was_idle = state.queue.is_empty();
        state.queued_len = state.queued_len.saturating_add(len);
        state.queue.push_back(Pending { bytes, digest, completion });
        drop(state);
        if was_idle {
            self.work.notify_one();
        }
        Ok(recording)
    }

    /// Holds the caller until `len` bytes fit into the queue. Into an empty queue everything fits.
    fn make_room(&self, len: usize) -> Result<MutexGuard<'_, State>, RecordError> {
        let mut state = self.lock();
        let mut deadline = None;
        loop {
            state.refusal()?;
            if state.queue.is_empty() || state.queued_len.saturating_add(len) <= self.limits.queue_len {
                return Ok(state);
            }
            let now = Instant::now();
            let deadline = *deadline.get_or_insert_with(|| now.checked_add(self.limits.queue_wait));
            let left =
                deadline.map_or(self.limits.queue_wait, |deadline| deadline.saturating_duration_since(now));
            if left.is_zero() {
                return Err(RecordError::new(RecordErrorKind::Unavailable));
            }
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
