use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use compliance_core::clock::Clock;
use compliance_core::event::{Durability, Event, RecordError, RecordErrorKind, Recording, Sink};

use super::config::AuditConfig;
use super::engine::{Engine, Limits, Rank};
use super::error::AuditError;
use super::file;
use super::recover::recover;
use super::writer::Writer;
use crate::audit::checkpoint::{SignedCheckpoint, VerifyingKey};
use crate::audit::durable::Storage;
use crate::audit::fault::FaultKind;
use crate::audit::verify::{VerifyOptions, verify};

/// An audit trail open for writing.
///
/// A [`Sink`]: a recording resolves once the event is synchronised to disk, with [`Durability::Disk`]; nothing else opens,
/// unless the configuration [declares](AuditConfig::on_any_storage) that the trail may go with the instance. One process
/// writes a trail at a time; any number may read and verify it meanwhile. Dropping the log writes what was handed over,
/// then a closing checkpoint.
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::SystemClock;
/// use compliance_core::event::{Actor, Event, EventKind, Sink};
/// use compliance_core::finding::Outcome;
/// use compliance_core::random::SystemRandom;
/// use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
///
/// let dir = tempfile::tempdir()?;
/// let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// let config = AuditConfig::new(key);
/// # let config = config.on_any_storage();
/// let (log, report) = AuditLog::open(dir.path(), config, SystemClock)?;
/// assert_eq!(report.records(), 0);
///
/// let log = Arc::new(log);
/// let sink: Arc<dyn Sink> = Arc::<AuditLog>::clone(&log);
/// let now = "2026-11-21T12:00:00Z".parse()?;
/// let event = Event::builder(EventKind::SystemStarted, Outcome::Passed, Actor::System, now).build()?;
/// let receipt = sink.record(event.clone()).wait()?; // or .await
/// assert_eq!(receipt.sequence(), 0);
/// receipt.redeem(&event, log.durability())?; // `Disk`: without a declaration nothing less opens.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AuditLog {
    engine: Arc<Engine>,
    dir: PathBuf,
    key: VerifyingKey,
    storage: Storage,
    durability: Durability,
    writer: Option<JoinHandle<()>>,
}

/// What opening a trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    records: u64,
    torn_bytes: u64,
    uncovered: u64,
    checkpoint: Option<SignedCheckpoint>,
    storage: Storage,
}

impl OpenReport {
    /// What the directory is on, as far as can be told.
    pub fn storage(&self) -> Storage {
        self.storage
    }

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

    /// Records behind the last checkpoint, left by a process that did not close the trail. No signature covered them;
    /// the next checkpoint does, [as found](SignedCheckpoint::is_recovery), which is written on opening where disk and
    /// signer allow it.
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
    /// [`AuditError`]: `audit.locked` when another writer has it open; `audit.storage` when the directory is not known to
    /// be on a disk that lasts and nobody declared that it [is](AuditConfig::on_lasting_storage), or
    /// [need not be](AuditConfig::on_any_storage); `audit.truncated` when records are gone that the checkpoint beside the
    /// segments covers; the code of a fault when the trail is not what was written, is another key's
    /// (`audit.other_key`) or another version's; `audit.io` when the operating system refuses.
    pub fn open(
        dir: impl AsRef<Path>,
        config: AuditConfig,
        clock: impl Clock + 'static,
    ) -> Result<(Self, OpenReport), AuditError> {
        let dir = dir.as_ref().to_owned();
        let storage = Storage::of_new(&dir);
        let durability = storage.admits(config.declared).ok_or(AuditError::storage(storage))?;
        let lock = file::lock(&dir).map_err(|error| AuditError::io("lock the directory", &error))?;
        let lock = lock.ok_or(AuditError::locked())?;
        file::remove_unfinished(&dir)
            .map_err(|error| AuditError::io("remove an unfinished segment", &error))?;
        let key = config.signer.verifying_key().clone();
        let previous = config.previous.as_ref().map(|signer| signer.verifying_key());
        let recovered = match (recover(&dir, &key), previous) {
            // Not under this key yet: rotated when the writer starts.
            (Err(error), Some(previous)) if error.code() == FaultKind::OtherKey.code() => {
                recover(&dir, previous)?
            }
            (recovered, _) => recovered?,
        };
        if config.verify_all && recovered.is_some() {
            let known = recovered.as_ref().map_or(&key, |recovered| recovered.chain.key());
            verify(&dir, &VerifyOptions::new().key(known.clone()))?.whole()?;
        }
        let report = recovered.as_ref().map_or(
            OpenReport { records: 0, torn_bytes: 0, uncovered: 0, checkpoint: None, storage },
            |recovered| OpenReport {
                records: recovered.chain.tree().size(),
                torn_bytes: recovered.torn_bytes,
                uncovered: recovered.chain.uncovered(),
                checkpoint: Some(recovered.chain.last().clone()),
                storage,
            },
        );
        let limits = Limits::of(&config);
        let writer = Writer::start(&dir, durability, config, Box::new(clock), recovered, lock)
            .map_err(|error| AuditError::io("prepare the segment", &error))?;
        let engine = Arc::new(Engine::new(limits, writer));
        let thread_engine = Arc::clone(&engine);
        let writer = thread::Builder::new()
            .name("audit-log".to_owned())
            .spawn(move || thread_engine.run())
            .map_err(|error| AuditError::io("start the writer", &error))?;
        Ok((Self { engine, dir, key, storage, durability, writer: Some(writer) }, report))
    }

    /// Writes and signs a checkpoint over all records handed over before, and waits for it. Hand it to
    /// whoever keeps anchors.
    ///
    /// # Errors
    /// [`RecordError`] when it could not be written.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, RecordError> {
        self.checkpoint_ranked(Rank::MustRecord)
    }

    /// The same for who makes room: also where the quota is used up.
    pub(in crate::audit) fn checkpoint_own(&self) -> Result<SignedCheckpoint, RecordError> {
        self.checkpoint_ranked(Rank::Own)
    }

    fn checkpoint_ranked(&self, rank: Rank) -> Result<SignedCheckpoint, RecordError> {
        let (sender, receiver) = sync_channel(1);
        {
            let mut state = self.engine.lock();
            state.refusal()?;
            state.checkpoints.push((rank, sender));
        }
        self.engine.notify_work();
        receiver.recv().unwrap_or(Err(RecordError::new(RecordErrorKind::Abandoned)))
    }

    /// Writes what was handed over and a closing checkpoint, and gives it back: the one worth keeping
    /// elsewhere.
    ///
    /// # Errors
    /// [`RecordError`] when that failed; the trail is then as after a crash.
    pub fn close(mut self) -> Result<SignedCheckpoint, RecordError> {
        self.stop();
        let closed = self.engine.lock().closed.take();
        closed.unwrap_or(Err(RecordError::new(RecordErrorKind::Poisoned)))
    }

    /// Records an event that only the trail itself writes, also where the quota is used up.
    pub(in crate::audit) fn record_own(&self, event: &Event) -> Recording {
        Engine::submit_own(&self.engine, event).unwrap_or_else(|error| Recording::ready(Err(error)))
    }

    /// Gives the room of segments that were deleted back to the [quota](AuditConfig::quota).
    pub(in crate::audit) fn give_back(&self, bytes: u64) {
        self.engine.give_back(bytes);
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What every receipt of this log says: [`Durability::Disk`], or [`Durability::Instance`] where the configuration
    /// [declares](AuditConfig::on_any_storage) that the trail may go with the instance, and it may.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// What the directory was on when the log was opened.
    pub(in crate::audit) fn storage(&self) -> Storage {
        self.storage
    }

    /// The key its checkpoints are verified with.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn stop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        self.engine.lock().is_closing = true;
        self.engine.notify_work();
        // A waker may drop the last owner on the writer's own thread, which cannot wait for itself.
        if writer.thread().id() != thread::current().id() {
            drop(writer.join());
        }
    }
}

impl Sink for AuditLog {
    fn record(&self, event: Event) -> Recording {
        Engine::submit(&self.engine, &event).unwrap_or_else(|error| Recording::ready(Err(error)))
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
