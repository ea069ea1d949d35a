use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Event, EventDigest};

/// Takes events and keeps them.
///
/// The contract, which `testing::SinkConformance` (feature `testing`) checks:
///
/// 1. `record` takes the event over before it returns; dropping the [`Recording`] never cancels the write.
/// 2. A receipt is given only when the event is as durable as the receipt says, and carries the digest of
///    exactly that event.
/// 3. Sequence numbers grow strictly; two events never share one.
/// 4. An event that cannot be kept yields an error, never silence.
/// 5. `record` may be called from any thread, inside and outside an async runtime.
pub trait Sink: Send + Sync {
    /// Hands an event over.
    fn record(&self, event: Event) -> Recording;
}

impl<S: Sink + ?Sized> Sink for &S {
    fn record(&self, event: Event) -> Recording {
        (**self).record(event)
    }
}

impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn record(&self, event: Event) -> Recording {
        (**self).record(event)
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn record(&self, event: Event) -> Recording {
        (**self).record(event)
    }
}

/// How safe a recorded event is. Ordered: more is safer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// In this process's memory; gone with it. For tests.
    Memory,
    /// Synchronised to storage that goes with this instance, or of which nobody can tell that it does not: a RAM disk, a
    /// container's own layer. There after a crash of the process; not to be taken for a disk.
    Instance,
    /// On a disk of this machine that outlasts the instance, synchronised (`fdatasync` or better).
    Disk,
    /// Durably on another machine.
    Remote,
}

/// The proof that an event was recorded: which event, as which number, how durably.
///
/// Not `Clone`: one recording, one receipt, one use.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an action that needs its audit record takes this receipt"]
pub struct AuditReceipt {
    digest: EventDigest,
    sequence: u64,
    durability: Durability,
}

impl AuditReceipt {
    /// Attests that the event with this digest was kept as number `sequence`, as durably as said.
    ///
    /// Only an implementation of [`Sink`] calls this, after the write it speaks of. There is no other way
    /// to a receipt, and a call anywhere else is what a reviewer looks for.
    pub fn attest(digest: EventDigest, sequence: u64, durability: Durability) -> Self {
        Self { digest, sequence, durability }
    }

    /// The digest of the recorded event.
    #[must_use]
    pub fn digest(&self) -> &EventDigest {
        &self.digest
    }

    /// The event's number in the trail.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How safe the event is.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Spends the receipt: it must be for this very event and at least this durable.
    ///
    /// # Errors
    /// [`ReceiptError`] when it is another event's, or not durable enough.
    pub fn redeem(self, event: &Event, least: Durability) -> Result<(), ReceiptError> {
        if self.digest != event.digest() {
            return Err(ReceiptError::OtherEvent);
        }
        if self.durability < least {
            return Err(ReceiptError::NotDurable { found: self.durability, least });
        }
        Ok(())
    }
}

/// A receipt that does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Not durable enough.
    #[error("the receipt attests durability `{found:?}`, expected at least `{least:?}`")]
    NotDurable {
        /// What the receipt attests.
        found: Durability,
        /// What was asked for.
        least: Durability,
    },
    /// Another event's receipt.
    #[error("the receipt is for another event")]
    OtherEvent,
}

impl ReceiptError {
    /// `receipt.not_durable` or `receipt.other_event`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotDurable { .. } => "receipt.not_durable",
            Self::OtherEvent => "receipt.other_event",
        }
    }
}

/// An event was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event not recorded: {0}")]
pub struct RecordError(RecordErrorKind);

/// Why an event was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordErrorKind {
    /// The sink went away before it answered; whether the event was kept is not known.
    #[error("the sink went away before it answered")]
    Abandoned,
    /// No room left.
    #[error("the store is full")]
    Full,
    /// An earlier write failed; the store takes nothing until it is reopened and verified.
    #[error("the store failed earlier and must be reopened")]
    Poisoned,
    /// The event is of a kind that only the sink itself writes.
    #[error("only the sink itself writes events of this kind")]
    Reserved,
    /// The event is larger than the sink takes.
    #[error("the event is {found} bytes, the sink takes {max}")]
    TooLarge {
        /// Encoded size in bytes.
        found: usize,
        /// The sink's limit in bytes.
        max: usize,
    },
    /// The store does not answer, or is overloaded.
    #[error("the store is not available")]
    Unavailable,
}

impl RecordError {
    /// For implementations of [`Sink`].
    #[must_use]
    pub fn new(kind: RecordErrorKind) -> Self {
        Self(kind)
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> RecordErrorKind {
        self.0
    }

    /// `record.abandoned`, `record.full`, `record.poisoned`, `record.reserved`, `record.too_large` or
    /// `record.unavailable`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            RecordErrorKind::Abandoned => "record.abandoned",
            RecordErrorKind::Full => "record.full",
            RecordErrorKind::Poisoned => "record.poisoned",
            RecordErrorKind::Reserved => "record.reserved",
            RecordErrorKind::TooLarge { .. } => "record.too_large",
            RecordErrorKind::Unavailable => "record.unavailable",
        }
    }
}

type Answer = Result<AuditReceipt, RecordError>;

/// What an observer is told: number and durability, or why not.
type Told = Result<(u64, Durability), RecordError>;

#[derive(Default)]
struct Slot {
    answer: Option<Answer>,
    observer: Option<Box<dyn FnOnce(Told) + Send>>,
    /// The answer was handed out; asking again gets an error instead of waiting for ever.
    spent: bool,
    waker: Option<Waker>,
    /// A thread is blocked on the answer. Telling a condition variable nobody waits at costs a system call.
    has_waiter: bool,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("answer", &self.answer)
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}

fn told(answer: &Answer) -> Told {
    answer.as_ref().map(|receipt| (receipt.sequence(), receipt.durability())).map_err(|error| *error)
}

impl Slot {
    fn take(&mut self) -> Option<Answer> {
        if self.spent {
            return Some(Err(RecordError::new(RecordErrorKind::Abandoned)));
        }
        self.spent = self.answer.is_some();
        self.answer.take()
    }
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    answered: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        // A panic while holding this lock leaves a whole slot behind: each update is one assignment.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a sink that a waiting caller can work for.
///
/// A thread that blocks on its recording can as well do the write itself: that spares two changes of thread,
/// which on a fast disk are a good part of the time a record takes.
pub trait Drive: Send + Sync {
    /// Does on this thread what the sink's own would do for what was handed over so far, unless somebody is at
    /// it already. May block. Called by [`Recording::wait`] only, never from async code.
    fn drive(&self);
}

/// A write under way: a future of the receipt for async code, [`wait`](Self::wait) for the rest.
///
/// Belongs to no runtime. Dropping it never cancels the write; it only means not to know how it ended.
///
/// ```
/// use compliance_core::event::{RecordError, RecordErrorKind, Recording};
///
/// let (completion, recording) = Recording::pending();
/// completion.complete(Err(RecordError::new(RecordErrorKind::Full)));
/// assert_eq!(recording.wait().unwrap_err().code(), "record.full");
/// ```
#[must_use = "whether the event was recorded is known only to who awaits this"]
pub struct Recording {
    shared: Arc<Shared>,
    driver: Option<Arc<dyn Drive>>,
    /// Rings when the group was answered. A `Once`, for whoever wakes up at one has no lock to take.
    bell: Option<Arc<Once>>,
}

/// Recordings that are answered together, by a sink that commits in groups: the threads that wait for them are woken by
/// one call to the operating system instead of one each, which is most of what a record costs a machine with many
/// callers.
///
/// Answer every [`Completion`] of the group, then [`ring`](Self::ring). Dropping the group rings, too.
///
/// ```
/// use compliance_core::event::{RecordError, RecordErrorKind, Recording, RecordingGroup};
///
/// let group = RecordingGroup::new();
/// let (completion, recording) = Recording::pending();
/// let recording = group.admit(recording);
/// let caller = std::thread::spawn(|| recording.wait());
/// completion.complete(Err(RecordError::new(RecordErrorKind::Full)));
/// group.ring();
/// assert_eq!(caller.join().unwrap().unwrap_err().code(), "record.full");
/// ```
#[derive(Debug)]
#[must_use = "whoever waits for the group is woken when it rings"]
pub struct RecordingGroup {
    bell: Arc<Once>,
}

impl Default for RecordingGroup {
    fn default() -> Self {
        Self { bell: Arc::new(Once::new()) }
    }
}

impl RecordingGroup {
    /// A group without recordings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a recording into the group.
    pub fn admit(&self, recording: Recording) -> Recording {
        Recording { bell: Some(Arc::clone(&self.bell)), ..recording }
    }

    /// Wakes whoever waits for a recording of the group.
    pub fn ring(self) {
        drop(self);
    }
}

impl Drop for RecordingGroup {
    fn drop(&mut self) {
        self.bell.call_once(|| {});
    }
}

/// The sink's end of a [`Recording`]. Dropped without an answer, it answers [`RecordErrorKind::Abandoned`].
#[derive(Debug)]
#[must_use = "dropping it tells the caller that the event's fate is unknown"]
pub struct Completion(Option<Arc<Shared>>);

impl Recording {
    /// A write that will be answered later, and the end to answer it with.
    pub fn pending() -> (Completion, Self) {
        let shared = Arc::<Shared>::default();
        (Completion(Some(Arc::clone(&shared))), Self { shared, driver: None, bell: None })
    }

    /// As [`pending`](Self::pending), for a write that a thread in [`wait`](Self::wait) may do itself.
    pub fn driven(driver: Arc<dyn Drive>) -> (Completion, Self) {
        let (completion, recording) = Self::pending();
        (completion, Self { driver: Some(driver), ..recording })
    }

    /// A write that has ended already.
    pub fn ready(answer: Result<AuditReceipt, RecordError>) -> Self {
        let slot = Mutex::new(Slot { answer: Some(answer), ..Slot::default() });
        Self { shared: Arc::new(Shared { slot, answered: Condvar::new() }), driver: None, bell: None }
    }

    /// Also tells `observer` how the write ended, once: the event's number and durability, or why it was not recorded.
    /// For who counts. Called on the thread that writes, or at once when the write has ended; it must not block, and is
    /// told nothing where the receipt was taken before. A recording has one observer; a second one replaces it.
    pub fn observe(
        self,
        observer: impl FnOnce(Result<(u64, Durability), RecordError>) + Send + 'static,
    ) -> Self {
        let mut slot = self.shared.lock();
        let ended = slot.answer.as_ref().map(told);
        match ended {
            Some(told) => {
                drop(slot);
                observer(told);
            }
            None => {
                slot.observer = Some(Box::new(observer));
                drop(slot);
            }
        }
        self
    }

    /// Blocks the thread until the write has ended. Inside an async runtime, `.await` instead.
    ///
    /// # Errors
    /// [`RecordError`] when the event was not recorded.
    pub fn wait(self) -> Result<AuditReceipt, RecordError> {
        if let Some(driver) = &self.driver
            && self.shared.lock().answer.is_none()
        {
            driver.drive();
        }
        if let Some(bell) = &self.bell
            && self.shared.lock().answer.is_none()
        {
            bell.wait();
        }
        let mut slot = self.shared.lock();
        loop {
            if let Some(answer) = slot.take() {
                return answer;
            }
            slot.has_waiter = true;
            slot = self.shared.answered.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}

impl Future for Recording {
    type Output = Result<AuditReceipt, RecordError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.shared.lock();
        if let Some(answer) = slot.take() {
            return Poll::Ready(answer);
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Completion {
    /// Answers the recording.
    pub fn complete(mut self, answer: Result<AuditReceipt, RecordError>) {
        self.answer(answer);
    }

    fn answer(&mut self, answer: Answer) {
        let Some(shared) = self.0.take() else { return };
        let (waker, has_waiter, observed) = {
            let mut slot = shared.lock();
            let observed = slot.observer.take().map(|observer| (observer, told(&answer)));
            slot.answer = Some(answer);
            (slot.waker.take(), slot.has_waiter, observed)
        };
        if has_waiter {
            shared.answered.notify_all();
        }
        if let Some((observer, told)) = observed {
            observer(told);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.answer(Err(RecordError::new(RecordErrorKind::Abandoned)));
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Instance => "instance",
            Self::Disk => "disk",
            Self::Remote => "remote",
        })
    }
}
