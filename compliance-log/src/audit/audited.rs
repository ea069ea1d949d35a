//! Personal data that is only given out against a durable record of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use compliance_core::event::{
    AuditReceipt, Durability, Event, EventError, ReceiptError, RecordError, Recording, Sink,
};

use super::record::DataAccess;

/// A value behind its own audit record: it comes out only once the record of its release is durable.
///
/// What a repository returns instead of the value. It holds the event that will be recorded; nothing else can be
/// recorded in its place, and a receipt for another event does not open it. `Debug` shows nothing of the value.
///
/// ```
/// use compliance_core::{clock::SystemClock, event::Actor, id::{ActorId, SubjectId}, purpose, random::SystemRandom};
/// use compliance_log::audit::record::{Circumstances, DataAccess};
/// use compliance_log::audit::{AuditConfig, AuditLog, Audited, CheckpointKey};
///
/// # let dir = tempfile::tempdir()?;
/// # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// let config = AuditConfig::new(key);
/// # let config = config.on_any_storage();
/// let (log, _) = AuditLog::open(dir.path(), config, SystemClock)?;
/// let staff = Circumstances::new(Actor::Person(ActorId::new("staff-17")?), "2026-11-21T12:00:00Z".parse()?);
/// let read = DataAccess::read(&staff, "customer", purpose!("support.ticket"))
///     .subject(SubjectId::new("user-4711")?)
///     .fields(&["email"]);
/// let email = Audited::new("anna@example.com", read)?;
/// # let email = email.dangerous_at_least(log.durability()); // Wherever this example runs.
/// assert_eq!(email.release(&log).wait()?, "anna@example.com"); // or .await
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// There is no other way out:
///
/// ```compile_fail,E0616
/// # fn inner(email: compliance_log::audit::Audited<String>) {
/// let _ = email.value;
/// # }
/// ```
#[must_use = "the value comes out through `release`"]
pub struct Audited<T> {
    value: T,
    event: Event,
    least: Durability,
}

impl<T> Audited<T> {
    /// Puts a value behind the record of the access that fetched it.
    ///
    /// # Errors
    /// [`EventError`] for a mistake in the access.
    pub fn new(value: T, access: DataAccess) -> Result<Self, EventError> {
        Ok(Self { value, event: access.build()?, least: Durability::Disk })
    }

    /// Asks for more than [`Durability::Disk`]; what is less changes nothing.
    pub fn at_least(self, least: Durability) -> Self {
        self.dangerous_at_least(least.max(Durability::Disk))
    }

    /// Is content with less than [`Durability::Disk`].
    ///
    /// # Security
    /// The record may go with the instance, and with it who was given the value.
    pub fn dangerous_at_least(self, least: Durability) -> Self {
        Self { least, ..self }
    }

    /// The event that will be recorded.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Gives the value against the receipt for [its event](Self::event), recorded by other means: in a transaction.
    ///
    /// # Errors
    /// [`ReleaseError`] when the receipt is another event's, or not durable enough; the value is dropped then.
    pub fn open(self, receipt: AuditReceipt) -> Result<T, ReleaseError> {
        open(Ok(receipt), Some(self))
    }

    /// Records the access and gives the value once that is durable: a future, or [`Release::wait`].
    pub fn release(self, sink: &dyn Sink) -> Release<T> {
        let recording = sink.record(self.event.clone());
        Release { recording, held: Some(self) }
    }
}

impl<T> fmt::Debug for Audited<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audited").field("kind", &self.event.kind()).finish_non_exhaustive()
    }
}

/// A value whose record is being written.
#[must_use = "the value comes out once the record is durable"]
pub struct Release<T> {
    recording: Recording,
    held: Option<Audited<T>>,
}

// The value is never pinned; it is handed out as a whole.
impl<T> Unpin for Release<T> {}

impl<T> Release<T> {
    /// Blocks the thread until the record is durable. Inside an async runtime, `.await` instead.
    ///
    /// # Errors
    /// [`ReleaseError`] when it was not recorded, or not durably enough; the value is dropped then.
    pub fn wait(self) -> Result<T, ReleaseError> {
        open(self.recording.wait(), self.held)
    }
}

impl<T> Future for Release<T> {
    type Output = Result<T, ReleaseError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.recording).poll(cx).map(|answer| open(answer, self.held.take()))
    }
}

impl<T> fmt::Debug for Release<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Release").finish_non_exhaustive()
    }
}

fn open<T>(answer: Result<AuditReceipt, RecordError>, held: Option<Audited<T>>) -> Result<T, ReleaseError> {
    let receipt = answer.map_err(ReleaseErrorKind::NotRecorded)?;
    // A recording answers once; whoever polls again gets an error before this.
    let held = held.ok_or(ReleaseErrorKind::Receipt(ReceiptError::OtherEvent))?;
    receipt.redeem(&held.event, held.least).map_err(ReleaseErrorKind::Receipt)?;
    Ok(held.value)
}

/// A value was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not released: {0}")]
pub struct ReleaseError(#[from] ReleaseErrorKind);

/// Why a value was not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseErrorKind {
    /// Its record was not written.
    #[error("{0}")]
    NotRecorded(RecordError),
    /// The record is not durable enough, or another's.
    #[error("{0}")]
    Receipt(ReceiptError),
}

impl ReleaseError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> ReleaseErrorKind {
        self.0
    }

    /// The code of the recording's or the receipt's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            ReleaseErrorKind::NotRecorded(error) => error.code(),
            ReleaseErrorKind::Receipt(error) => error.code(),
        }
    }
}
