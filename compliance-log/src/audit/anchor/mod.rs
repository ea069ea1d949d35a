//! Keeping checkpoints where the trail's writer cannot change them.
//!
//! An [`Anchor`] takes signed checkpoints. [`FileAnchor`] keeps them as files, for a directory on another machine or a
//! medium written once; [`PostAnchor`] hands them to a function of yours, for a webhook, a ticket, an object store with
//! object lock, a log witness. [`Anchoring`] publishes the log's latest checkpoint at an interval.
//!
//! An object store is an anchor only with object lock in *compliance* mode: in governance mode, whoever may bypass it
//! may rewrite history. `S3Anchor` (feature `object-store`) takes no other for one.

#[cfg(feature = "object-store")]
mod s3;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use compliance_core::event::{Actor, Sink};
use compliance_core::finding::Outcome;
use compliance_core::reason_code;

#[cfg(feature = "object-store")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "object-store")))]
pub use self::s3::{LOCK_TOLERANCE, MAX_FALSE_NOTES, S3Anchor};
use super::checkpoint::{CheckpointNote, MAX_NOTE_LEN, SignedCheckpoint, VerifyingKey};
use super::record::{Circumstances, System};
use super::segment::AuditLog;
use crate::directory;

/// Keeps checkpoints outside the reach of the trail's writer.
pub trait Anchor: Send + Sync {
    /// Keeps a checkpoint durably. Keeping the same one again is no error.
    ///
    /// # Errors
    /// [`AnchorError`] when it is not known to be kept, or another is kept under its number.
    fn publish(&self, checkpoint: &SignedCheckpoint) -> Result<(), AnchorError>;
}

/// A checkpoint was not anchored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// Another checkpoint is kept under the same number: the trail, or the anchor, was rolled back or forked.
    #[error("another checkpoint is anchored under the same number")]
    Contradicts,
    /// It is kept, but not so that nobody can remove it for as long as it must be kept.
    #[error("the anchor keeps it without a lock that holds long enough")]
    NotLocked,
    /// It could not be reached or written.
    #[error("the anchor is not available")]
    Unavailable,
}

impl AnchorError {
    /// `anchor.contradicts`, `anchor.not_locked` or `anchor.unavailable`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Contradicts => "anchor.contradicts",
            Self::NotLocked => "anchor.not_locked",
            Self::Unavailable => "anchor.unavailable",
        }
    }
}

impl From<io::Error> for AnchorError {
    fn from(_: io::Error) -> Self {
        Self::Unavailable
    }
}

/// One file per checkpoint, `00000000000000000042.checkpoint`, never written twice.
///
/// ```
/// # use compliance_core::{clock::SystemClock, random::SystemRandom};
/// # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey, VerifyOptions, verify::verify};
/// use compliance_log::audit::anchor::{Anchor, FileAnchor};
///
/// # let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
/// # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
/// # let key = log.verifying_key().clone();
/// let anchor = FileAnchor::open(elsewhere.path())?;
/// anchor.publish(&log.checkpoint()?)?;
///
/// let latest = anchor.latest(&[key.clone()])?.expect("one is kept");
/// let report = verify(dir.path(), &VerifyOptions::new().key(key).anchor(latest))?;
/// assert!(report.verdict().to_string().starts_with("tamper-evident"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
/// Worth as much as the directory is out of the writer's reach.
#[derive(Debug)]
pub struct FileAnchor {
    dir: PathBuf,
}

const EXTENSION: &str = "checkpoint";

impl FileAnchor {
    /// Keeps checkpoints in `dir`, created where there is none.
    ///
    /// # Errors
    /// [`AnchorError::Unavailable`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, AnchorError> {
        directory::create(dir.as_ref(), 0o777)?;
        Ok(Self { dir: dir.as_ref().to_owned() })
    }

    /// The checkpoint with the highest number kept here that one of the keys signed; after a rotation name the old key
    /// too. Whatever else lies there under a higher number is passed over.
    ///
    /// # Errors
    /// [`AnchorError::Unavailable`] when the directory or a file in it cannot be read.
    pub fn latest(&self, keys: &[VerifyingKey]) -> Result<Option<CheckpointNote>, AnchorError> {
        let mut kept = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(number);
            // A pipe would never answer.
            if let Some(number) = number
                && entry.file_type()?.is_file()
            {
                kept.push((number, entry.path()));
            }
        }
        kept.sort_unstable();
        for (number, path) in kept.iter().rev() {
            if let Some(note) = genuine(&read(path)?, *number, keys) {
                return Ok(Some(note));
            }
        }
        Ok(None)
    }
}

/// The number in the name of a checkpoint that is kept.
fn number(name: &str) -> Option<u64> {
    name.strip_suffix(EXTENSION)?.strip_suffix('.')?.parse().ok()
}

/// What is kept under a number, if it is a checkpoint of that number by one of the keys.
fn genuine(note: &[u8], number: u64, keys: &[VerifyingKey]) -> Option<CheckpointNote> {
    let note = CheckpointNote::parse(str::from_utf8(note).ok()?).ok()?;
    let is_signed = keys.iter().any(|key| note.verify(key).is_ok());
    (is_signed && note.statement().number == number).then_some(note)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut note = Vec::new();
    File::open(path)?.take((MAX_NOTE_LEN as u64).saturating_add(1)).read_to_end(&mut note)?;
    Ok(note)
}

impl Anchor for FileAnchor {
    fn publish(&self, checkpoint: &SignedCheckpoint) -> Result<(), AnchorError> {
        let path = self.dir.join(format!("{:020}.{EXTENSION}", checkpoint.number()));
        if path.exists() {
            let is_same = path.is_file() && read(&path)? == checkpoint.note().as_bytes();
            return if is_same { Ok(()) } else { Err(AnchorError::Contradicts) };
        }
        // Whole or not at all: the name comes last.
        let unfinished = path.with_extension("tmp");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished)?;
        file.write_all(checkpoint.note().as_bytes())?;
        file.sync_all()?;
        // A link, not a rename: it does not replace what somebody put there meanwhile.
        let linked = fs::hard_link(&unfinished, &path);
        fs::remove_file(&unfinished)?;
        if cfg!(unix) {
            File::open(&self.dir)?.sync_all()?;
        }
        match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(AnchorError::Contradicts),
            other => Ok(other?),
        }
    }
}

/// Hands each checkpoint's note to a function: an HTTP client's POST, an object store's put.
///
/// ```
/// use compliance_log::audit::anchor::{AnchorError, PostAnchor};
///
/// let anchor = PostAnchor::new(|number, note: &str| {
///     // PUT https://witness.example/audit/{number} with `if-none-match: *`; 2xx is kept.
///     if note.is_empty() { Err(AnchorError::Unavailable) } else { Ok(()) }
/// });
/// # let _ = anchor;
/// ```
pub struct PostAnchor<F>(F);

impl<F: Fn(u64, &str) -> Result<(), AnchorError> + Send + Sync> PostAnchor<F> {
    /// `post` is given the checkpoint's number and its note, and answers `Ok` only when it is kept. It must never
    /// replace a note that is kept under the same number.
    pub fn new(post: F) -> Self {
        Self(post)
    }
}

impl<F> fmt::Debug for PostAnchor<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostAnchor").finish_non_exhaustive()
    }
}

impl<F: Fn(u64, &str) -> Result<(), AnchorError> + Send + Sync> Anchor for PostAnchor<F> {
    fn publish(&self, checkpoint: &SignedCheckpoint) -> Result<(), AnchorError> {
        (self.0)(checkpoint.number(), checkpoint.note())
    }
}

/// How anchoring stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct AnchorStatus {
    published: Option<u64>,
    failures: u64,
    last_error: Option<AnchorError>,
}

impl AnchorStatus {
    /// The number of the last checkpoint that is kept.
    #[must_use]
    pub fn published(&self) -> Option<u64> {
        self.published
    }

    /// How often publishing failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Why the last attempt failed; `None` when it did not.
    #[must_use]
    pub fn last_error(&self) -> Option<AnchorError> {
        self.last_error
    }
}

/// Publishes a log's latest checkpoint at an interval, on a thread of its own: a slow anchor holds up nobody. Dropping
/// it publishes once more.
pub struct Anchoring {
    status: Arc<Mutex<AnchorStatus>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Anchoring {
    /// Begins. Each round signs a fresh checkpoint, so that `every` bounds what is not anchored. What fails is counted,
    /// with the feature `metrics` as `audit_anchor_failures_total` too; that the anchor has another history than the trail
    /// ([`AnchorError::Contradicts`]) is recorded in the trail as well, as a verification that was refused. Compare the
    /// trail with the anchor too: [`VerifySchedule::anchored_by`](super::schedule::VerifySchedule::anchored_by).
    ///
    /// # Errors
    /// [`AnchorError::Unavailable`] when there is no thread to be had.
    pub fn start(
        log: Arc<AuditLog>,
        anchor: impl Anchor + 'static,
        every: Duration,
    ) -> Result<Self, AnchorError> {
        let status = Arc::<Mutex<AnchorStatus>>::default();
        let (stop, stopped) = channel();
        let thread_status = Arc::clone(&status);
        let thread = thread::Builder::new().name("audit-anchor".to_owned()).spawn(move || {
            loop {
                let is_last = !matches!(stopped.recv_timeout(every), Err(RecvTimeoutError::Timeout));
                let begun = Instant::now();
                let checkpoint = log.checkpoint().map_err(|_| AnchorError::Unavailable);
                let published = match &checkpoint {
                    Ok(checkpoint) => anchor.publish(checkpoint).map(|()| checkpoint.number()),
                    Err(error) => Err(*error),
                };
                #[cfg(feature = "metrics")]
                if let Err(error) = published {
                    super::metrics::anchor_failed(error);
                }
                let mut status = lock(&thread_status);
                let before = status.last_error;
                match published {
                    Ok(number) => (status.published, status.last_error) = (Some(number), None),
                    Err(error) => {
                        status.failures = status.failures.saturating_add(1);
                        status.last_error = Some(error);
                    }
                }
                drop(status);
                // Once, not at each round for as long as it lasts.
                if published == Err(AnchorError::Contradicts)
                    && before != Some(AnchorError::Contradicts)
                    && let Ok(checkpoint) = &checkpoint
                {
                    record_contradiction(&log, checkpoint, begun.elapsed());
                }
                if is_last {
                    return;
                }
            }
        })?;
        Ok(Self { status, stop: Some(stop), thread: Some(thread) })
    }

    /// How it stands.
    pub fn status(&self) -> AnchorStatus {
        *lock(&self.status)
    }
}

/// Whether it was recorded is not waited for: the next round tells, and the status.
fn record_contradiction(log: &AuditLog, checkpoint: &SignedCheckpoint, took: Duration) {
    let by = Circumstances::new(Actor::System, checkpoint.at());
    let event = System::trail_verified(&by, Outcome::Refused, checkpoint.size(), took)
        .reason(reason_code!("anchor.contradicts"));
    if let Ok(event) = event.build() {
        drop(log.record(event));
    }
}

fn lock(status: &Mutex<AnchorStatus>) -> MutexGuard<'_, AnchorStatus> {
    // Every field is set by itself; a panic in between leaves an older status.
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Anchoring {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Anchoring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchoring").field("status", &self.status()).finish_non_exhaustive()
    }
}
