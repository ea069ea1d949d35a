//! What callers and the writer share: the queue, and whose turn it is to write.
//!
//! Whoever waits for a recording may do the write itself, when nobody else is at it; else the writer's own thread
//! does. One of them leads at a time, which the state says, so that the writer itself is never waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use compliance_core::event::{
    AuditReceipt, Completion, Drive, Event, EventDigest, RecordError, RecordErrorKind, Recording,
    RecordingGroup,
};

use super::config::{AuditConfig, Policies, RecordPolicy, Sealing};
use super::writer::{RECORD_OVERHEAD, Writer};
use crate::audit::checkpoint::SignedCheckpoint;
use crate::audit::record::{MAX_EVENT_LEN, is_reserved};

/// A caller leads only while so few were written in the last round. With many callers the writer's thread gathers
/// more of them into one synchronisation, for it wakes all before it takes the next.
const FEW: usize = 2;

pub(super) struct Limits {
    queue_len: usize,
    queue_wait: Duration,
    policies: Policies,
    sealing: Option<Sealing>,
}

impl Limits {
    pub(super) fn of(config: &AuditConfig) -> Self {
        Self {
            queue_len: config.queue_len,
            queue_wait: config.queue_wait,
            policies: config.policies,
            sealing: config.sealing.clone(),
        }
    }

    /// The canonical form that is written, and the digest that is attested.
    fn form(&self, event: &Event) -> Result<(Vec<u8>, EventDigest), RecordError> {
        let mut bytes = Vec::with_capacity(512);
        let digest = match &self.sealing {
            None => event.encode_with_digest(&mut bytes),
            Some(sealing) => {
                let unavailable = RecordError::new(RecordErrorKind::Unavailable);
                sealing.seal(event).ok_or(unavailable)?.encode(&mut bytes);
                // The receipt is for what the caller handed over.
                event.digest()
            }
        };
        if bytes.len() > MAX_EVENT_LEN {
            let kind = RecordErrorKind::TooLarge { found: bytes.len(), max: MAX_EVENT_LEN };
            return Err(RecordError::new(kind));
        }
        Ok((bytes, digest))
    }
}

pub(super) struct Engine {
    limits: Limits,
    state: Mutex<State>,
    /// There is something to write, or the log closes.
    work: Condvar,
    /// The queue was taken.
    room: Condvar,
    /// Few enough were written in the last round for a caller to lead. A hint: whoever reads it late waits for the
    /// writer's thread, or looks in vain.
    callers_lead: AtomicBool,
    /// `None` once the log is closed or failed. Locked by who leads, so never waited for.
    writer: Mutex<Option<Writer>>,
}

#[derive(Default)]
pub(super) struct State {
    queue: Queue,
    /// The emptied queue of an earlier round: its room serves again.
    spare: Queue,
    pub(super) checkpoints: Vec<(Rank, CheckpointSender)>,
    /// Best-effort events that were refused and not yet recorded as dropped.
    dropped: u64,
    /// Room is left only for what must be recorded.
    is_scarce: bool,
    /// Bytes of segments that were retired, which the writer does not know of yet.
    retired_len: u64,
    is_led: bool,
    pub(super) is_closing: bool,
    is_poisoned: bool,
    /// How closing ended: with a checkpoint that is durable, or not.
    pub(super) closed: Option<Result<SignedCheckpoint, RecordError>>,
}

pub(super) type CheckpointSender = SyncSender<Result<SignedCheckpoint, RecordError>>;

/// Events on their way, their canonical forms one after the other.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) entries: Vec<Pending>,
    pub(super) bytes: Vec<u8>,
    /// Those who wait for them.
    pub(super) group: RecordingGroup,
}

pub(super) struct Pending {
    /// Where its canonical form ends in the queue's bytes.
    pub(super) end: usize,
    pub(super) digest: EventDigest,
    pub(super) rank: Rank,
    pub(super) completion: Completion,
}

/// Whose turn it is when room runs out; what ranks lower is refused first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    BestEffort,
    MustRecord,
    /// What makes room: the trail's own word on a retirement. No quota is in its way.
    Own,
}

impl From<RecordPolicy> for Rank {
    fn from(policy: RecordPolicy) -> Self {
        match policy {
            RecordPolicy::BestEffort => Self::BestEffort,
            RecordPolicy::MustRecord => Self::MustRecord,
        }
    }
}

/// What the leader writes in one round.
pub(super) struct Round {
    pub(super) queue: Queue,
    pub(super) dropped: u64,
    pub(super) retired_len: u64,
    /// The highest rank a checkpoint was asked for with.
    pub(super) wants_checkpoint: Option<Rank>,
    pub(super) is_closing: bool,
}

/// What a round came to.
pub(super) struct Outcome {
    pub(super) answers: Vec<(Completion, Result<AuditReceipt, RecordError>)>,
    /// Who waits for the answers.
    pub(super) group: RecordingGroup,
    /// For those who asked for a checkpoint; the error also ends the log when it is a failure.
    pub(super) checkpoint: Result<SignedCheckpoint, RecordError>,
    pub(super) has_failed: bool,
    /// Best-effort events refused in this round, and those whose number could not be recorded.
    pub(super) dropped: u64,
    pub(super) is_scarce: bool,
    pub(super) until_heartbeat: Duration,
}

impl State {
    pub(super) fn refusal(&self) -> Result<(), RecordError> {
        match (self.is_poisoned, self.is_closing) {
            (true, _) => Err(RecordError::new(RecordErrorKind::Poisoned)),
            (false, true) => Err(RecordError::new(RecordErrorKind::Unavailable)),
            (false, false) => Ok(()),
        }
    }

    fn has_work(&self) -> bool {
        !self.queue.entries.is_empty()
            || !self.checkpoints.is_empty()
            || self.retired_len > 0
            || self.is_closing
    }

    fn queued_len(&self) -> usize {
        self.queue.entries.len().saturating_mul(RECORD_OVERHEAD).saturating_add(self.queue.bytes.len())
    }

    /// Makes the caller the leader and gives it what there is to write.
    fn lead(&mut self) -> (Round, Vec<(Rank, CheckpointSender)>) {
        self.is_led = true;
        let spare = std::mem::take(&mut self.spare);
        let checkpoints = std::mem::take(&mut self.checkpoints);
        let round = Round {
            queue: std::mem::replace(&mut self.queue, spare),
            dropped: std::mem::take(&mut self.dropped),
            retired_len: std::mem::take(&mut self.retired_len),
            wants_checkpoint: checkpoints.iter().map(|(rank, _)| *rank).max(),
            is_closing: self.is_closing,
        };
        (round, checkpoints)
    }
}

impl Engine {
    pub(super) fn new(limits: Limits, writer: Writer) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            callers_lead: AtomicBool::new(true),
            writer: Mutex::new(Some(writer)),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding this lock leaves whole state behind: no update is made in two steps that
        // must not be seen apart.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notify_work(&self) {
        self.work.notify_one();
    }

    /// The writer's own thread.
    pub(super) fn run(&self) {
        // However this thread ends, nobody may wait for it in vain.
        let _end = Failure(self);
        let mut until_heartbeat = Duration::ZERO;
        loop {
            let due = Instant::now().checked_add(until_heartbeat);
            let mut state = self.lock();
            loop {
                if state.is_poisoned {
                    return;
                }
                let left = due.map_or(until_heartbeat, |due| due.saturating_duration_since(Instant::now()));
                if !state.is_led && (state.has_work() || left.is_zero()) {
                    break;
                }
                // While somebody else leads, a heartbeat that is due waits for them.
                let wait = if state.is_led { left.max(Duration::from_millis(10)) } else { left };
                state = self.work.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
            match self.round(state) {
                Some(left) => until_heartbeat = left,
                None => return,
            }
        }
    }

    /// Writes what was handed over, as the leader, and answers. Until when the next heartbeat is due; `None` when the
    /// log has ended.
    fn round(&self, mut state: MutexGuard<'_, State>) -> Option<Duration> {
        let (round, checkpoints) = state.lead();
        drop(state);
        let is_closing = round.is_closing;
        if !round.queue.entries.is_empty() {
            self.room.notify_all();
        }
        let failure = Failure(self);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, spare) = writer.as_mut()?.round(round);
        if outcome.has_failed || is_closing {
            // Gives the lock of the directory back.
            *writer = None;
        }
        drop(writer);
        std::mem::forget(failure);

        let mut state = self.lock();
        state.is_led = false;
        self.callers_lead.store(outcome.answers.len() <= FEW, Ordering::Relaxed);
        state.spare = spare;
        state.is_scarce = outcome.is_scarce;
        state.dropped = state.dropped.saturating_add(outcome.dropped);
        // Whoever hears of the failure must find the log poisoned.
        state.is_poisoned |= outcome.has_failed;
        if is_closing {
            state.closed = Some(outcome.checkpoint.clone());
        }
        let has_work = state.has_work();
        drop(state);
        if has_work || outcome.has_failed {
            self.work.notify_one();
        }
        // Answered only now: what a waker does must not find this thread leading.
        for (completion, answer) in outcome.answers {
            completion.complete(answer);
        }
        outcome.group.ring();
        for (_, sender) in checkpoints {
            // Whoever asked may have gone.
            drop(sender.try_send(outcome.checkpoint.clone()));
        }
        (!outcome.has_failed && !is_closing).then_some(outcome.until_heartbeat)
    }

    /// Gives the room of retired segments back to the trail's quota.
    pub(super) fn give_back(&self, len: u64) {
        let mut state = self.lock();
        state.retired_len = state.retired_len.saturating_add(len);
        drop(state);
        self.notify_work();
    }

    /// Hands an event over, unless it is one that verification takes the trail's own word for.
    pub(super) fn submit(this: &Arc<Self>, event: &Event) -> Result<Recording, RecordError> {
        if is_reserved(event.kind()) {
            return Err(RecordError::new(RecordErrorKind::Reserved));
        }
        Self::submit_ranked(this, event, this.limits.policies.of(event.kind().class()).into())
    }

    /// Hands an event over that only the trail itself writes.
    pub(super) fn submit_own(this: &Arc<Self>, event: &Event) -> Result<Recording, RecordError> {
        Self::submit_ranked(this, event, Rank::Own)
    }

    fn submit_ranked(this: &Arc<Self>, event: &Event, rank: Rank) -> Result<Recording, RecordError> {
        let (bytes, digest) = this.limits.form(event).inspect_err(|_| {
            if rank == Rank::BestEffort {
                let mut state = this.lock();
                state.dropped = state.dropped.saturating_add(1);
            }
        })?;
        let len = bytes.len().saturating_add(RECORD_OVERHEAD);
        let (completion, recording) = Recording::driven(Arc::clone(this) as Arc<dyn Drive>);
        let mut state = match rank {
            Rank::BestEffort => this.find_room(len)?,
            Rank::MustRecord | Rank::Own => this.make_room(len)?,
        };
        let recording = state.queue.group.admit(recording);
        let is_first = state.queue.entries.is_empty() && !state.is_led;
        state.queue.bytes.extend_from_slice(&bytes);
        let end = state.queue.bytes.len();
        state.queue.entries.push(Pending { end, digest, rank, completion });
        drop(state);
        if is_first {
            this.notify_work();
        }
        Ok(recording)
    }

    /// Holds the caller until `len` bytes fit into the queue. Into an empty queue everything fits.
    fn make_room(&self, len: usize) -> Result<MutexGuard<'_, State>, RecordError> {
        let mut state = self.lock();
        let mut deadline = None;
        loop {
            state.refusal()?;
            if state.queue.entries.is_empty()
                || state.queued_len().saturating_add(len) <= self.limits.queue_len
            {
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

    /// Best effort waits for nobody and leaves half of the queue to what must be recorded. What it refuses is
    /// counted.
    fn find_room(&self, len: usize) -> Result<MutexGuard<'_, State>, RecordError> {
        let mut state = self.lock();
        state.refusal()?;
        let kind = if state.is_scarce {
            RecordErrorKind::Full
        } else if state.queued_len().saturating_add(len) > self.limits.queue_len / 2 {
            RecordErrorKind::Unavailable
        } else {
            return Ok(state);
        };
        state.dropped = state.dropped.saturating_add(1);
        Err(RecordError::new(kind))
    }

    /// The log has ended otherwise than by closing: nobody may have a reason to wait.
    fn fail(&self) {
        let (queue, checkpoints) = {
            let mut state = self.lock();
            state.is_poisoned |= state.closed.is_none();
            state.is_closing = true;
            state.is_led = false;
            (std::mem::take(&mut state.queue), std::mem::take(&mut state.checkpoints))
        };
        self.room.notify_all();
        self.work.notify_one();
        for pending in queue.entries {
            pending.completion.complete(Err(RecordError::new(RecordErrorKind::Poisoned)));
        }
        queue.group.ring();
        for (_, sender) in checkpoints {
            drop(sender.try_send(Err(RecordError::new(RecordErrorKind::Poisoned))));
        }
    }
}

impl Drive for Engine {
    fn drive(&self) {
        if !self.callers_lead.load(Ordering::Relaxed) {
            return;
        }
        let state = self.lock();
        let is_mine =
            !state.is_led && !state.is_poisoned && !state.is_closing && !state.queue.entries.is_empty();
        if is_mine {
            let _left = self.round(state);
        }
    }
}

/// Ends the log when a round or the thread ends in a panic.
struct Failure<'a>(&'a Engine);

impl Drop for Failure<'_> {
    fn drop(&mut self) {
        let mut writer = match self.0.writer.try_lock() {
            Ok(writer) => Some(writer),
            Err(std::sync::TryLockError::Poisoned(writer)) => Some(writer.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        };
        if let Some(writer) = &mut writer {
            **writer = None;
        }
        drop(writer);
        self.0.fail();
    }
}
