//! The outbox in memory: for tests, and the model the others are measured by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compliance_core::clock::{Clock, Timestamp};
use compliance_core::finding::Enforcement;
use compliance_core::random::SecureRandom;
use tokio::sync::Notify;

use super::instruction::NOT_INSTRUCTED;
use super::{
    Counts, DeadLetter, DeliveryState, DeliveryStatus, Disclosure, Due, EndpointId, EndpointNote,
    EndpointRecord, EndpointState, LeaseToken, Leased, Lesson, NewMessage, Outbox, OutboxError,
    OutboxErrorKind, Ready, Replay, Retention, Round, RoundResult, Settlement, Verdict, Want, Worker,
};
use crate::sign::MessageId;

/// An outbox that is gone with the process. **For tests.**
#[derive(Clone, Debug)]
pub struct MemoryOutbox {
    shared: Arc<Shared>,
    enforcement: Enforcement,
}

#[derive(Debug)]
struct Shared {
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    enqueued: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    endpoints: BTreeMap<EndpointId, Endpoint>,
    messages: BTreeMap<i64, Message>,
    last_sequence: i64,
    workers: BTreeMap<i64, Seat>,
    last_worker: i64,
}

#[derive(Debug)]
struct Endpoint {
    record: EndpointRecord,
    hold: Option<Hold>,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    since: Timestamp,
    until: Timestamp,
}

#[derive(Debug)]
struct Seat {
    instance: Box<str>,
    lease: Duration,
    until: Timestamp,
}

#[derive(Debug)]
struct Message {
    new: NewMessage,
    id: MessageId,
    enqueued_at: Timestamp,
    fence: i64,
    attempts: u32,
    last_status: Option<u16>,
    last_code: Box<str>,
    excerpt: Option<Box<[u8]>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Pending(Turn),
    Leased { worker: i64, from: Turn },
    Delivered { at: Timestamp },
    Dead { at: Timestamp },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Fresh,
    Again { at: Timestamp },
}

impl Message {
    fn status(&self) -> DeliveryStatus {
        let mut status = DeliveryStatus::new(self.id.clone(), self.enqueued_at);
        status.attempts = self.attempts;
        status.last_status = self.last_status;
        status.last_code = self.last_code.clone();
        status.excerpt = self.excerpt.clone();
        (status.state, status.next_at, status.settled_at) = match self.stage {
            Stage::Pending(Turn::Fresh) => (DeliveryState::Pending, None, None),
            Stage::Pending(Turn::Again { at }) => (DeliveryState::Pending, Some(at), None),
            Stage::Leased { .. } => (DeliveryState::Leased, None, None),
            Stage::Delivered { at } => (DeliveryState::Delivered, None, Some(at)),
            Stage::Dead { at } => (DeliveryState::Dead, None, Some(at)),
        };
        status
    }
}

impl MemoryOutbox {
    /// An empty one.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn SecureRandom>) -> Self {
        let shared = Shared { clock, random, enqueued: Notify::new(), state: Mutex::default() };
        Self { shared: Arc::new(shared), enforcement: Enforcement::Enforce }
    }

    /// Report-only for a roll-out: takes, and has sent, data that no instruction of the client covers, and has the
    /// dispatcher record each such message. Counts for this value and its clones. Default: [`Enforcement::Enforce`].
    #[must_use]
    pub fn with_enforcement(self, enforcement: Enforcement) -> Self {
        Self { enforcement, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each operation below checks before it changes; a panic leaves no half-done change.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        to_millis(self.shared.clock.now())
    }
}

/// The stores for SQL databases keep milliseconds.
fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis(at.as_unix_millis())
}

impl State {
    fn release(&mut self, lapsed: impl Fn(i64) -> bool) -> u64 {
        let mut released = 0_u64;
        for message in self.messages.values_mut() {
            if let Stage::Leased { worker, from } = message.stage
                && lapsed(worker)
            {
                message.stage = Stage::Pending(from);
                released = released.saturating_add(1);
            }
        }
        released
    }

    /// Releases what the worker has leased and does not hold.
    fn keep(&mut self, worker: i64, held: &[LeaseToken]) {
        for (sequence, message) in &mut self.messages {
            if let Stage::Leased { worker: by, from } = message.stage
                && by == worker
                && !held.contains(&LeaseToken::new(*sequence, message.fence))
            {
                message.stage = Stage::Pending(from);
            }
        }
    }

    fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> bool {
        let token = settlement.token;
        let Some(message) = self.messages.get_mut(&token.sequence()) else { return false };
        let Stage::Leased { from, .. } = message.stage else { return false };
        if message.fence != token.fence() {
            return false;
        }
        let stored = self.endpoints.get(message.new.endpoint()).map(|endpoint| endpoint.record.revision);
        let verdict = match settlement.verdict {
            Verdict::Dead { .. } | Verdict::Retry { .. } if stored != Some(settlement.revision) => {
                Verdict::Released
            }
            verdict => verdict,
        };
        let mut failed = |status: Option<u16>, code: &str| {
            message.attempts = message.attempts.saturating_add(1);
            message.last_status = status;
            message.last_code = code.into();
        };
        message.stage = match verdict {
            Verdict::Released => Stage::Pending(from),
            Verdict::Delivered { status } => {
                failed(Some(status), "");
                if let Some(endpoint) = self.endpoints.get_mut(message.new.endpoint()) {
                    endpoint.record.failing_since = None;
                }
                Stage::Delivered { at: now }
            }
            Verdict::Retry { at, code, status } => {
                failed(status, code.as_str());
                Stage::Pending(Turn::Again { at: to_millis(at) })
            }
            Verdict::Dead { code, status } => {
                failed(status, code.as_str());
                if code == NOT_INSTRUCTED {
                    message.new.blank();
                }
                Stage::Dead { at: now }
            }
        };
        true
    }

    fn note(&mut self, note: &EndpointNote, now: Timestamp) {
        let Some(endpoint) = self.endpoints.get_mut(&note.endpoint) else { return };
        let record = &mut endpoint.record;
        if record.revision != note.revision {
            return;
        }
        match note.lesson {
            Lesson::Disable { code, failing_for } => {
                let has_failed_for =
                    |time| record.failing_since.is_some_and(|since| since <= now.saturating_sub(time));
                if !failing_for.is_none_or(has_failed_for) {
                    return;
                }
                record.state = EndpointState::Disabled { code: code.as_str().into() };
                record.revision = record.revision.saturating_add(1);
            }
            Lesson::Failing { since } => {
                let since = to_millis(since);
                record.failing_since = Some(record.failing_since.map_or(since, |known| known.min(since)));
            }
            Lesson::Hold { until } => {
                let earlier = endpoint.hold.filter(|hold| hold.since <= now).map(|hold| hold.until);
                endpoint.hold =
                    Some(Hold { since: now, until: earlier.into_iter().fold(to_millis(until), Ord::max) });
            }
        }
    }

    fn is_open(&self, id: &EndpointId, now: Timestamp) -> bool {
        self.endpoints.get(id).is_some_and(|endpoint| {
            endpoint.record.state == EndpointState::Enabled
                && endpoint.hold.is_none_or(|hold| hold.until <= now || hold.since > now)
        })
    }

    fn claim(&mut self, worker: i64, want: &Want, now: Timestamp, enforcement: Enforcement) -> Vec<Leased> {
        if !self.is_open(&want.endpoint, now) {
            return Vec::new();
        }
        let (mut fresh, mut again) = (Vec::new(), Vec::new());
        for (sequence, message) in &self.messages {
            if message.new.endpoint() != &want.endpoint || !self.is_first(*sequence, message) {
                continue;
            }
            match message.stage {
                Stage::Pending(Turn::Fresh) => fresh.push(*sequence),
                Stage::Pending(Turn::Again { at }) if at <= now => {
                    again.push((at.as_unix_millis(), *sequence))
                }
                _ => {}
            }
        }
        again.sort_unstable();
        again.truncate(want.limit.div_ceil(4));
        fresh.truncate(want.limit.saturating_sub(again.len()));
        let mut total = 0_usize;
        let mut fits = |sequence: &i64| {
            let size = self.messages.get(sequence).map_or(0, |message| message.new.payload().len());
            total = total.saturating_add(size);
            total <= want.max_bytes
        };
        let due = again.into_iter().map(|(_, sequence)| sequence).chain(fresh);
        let chosen: Vec<i64> = due.take_while(&mut fits).collect();
        chosen.into_iter().filter_map(|sequence| self.lease(sequence, worker, enforcement)).collect()
    }

    /// Whether nothing it is kept in order with is still to be settled.
    fn is_first(&self, sequence: i64, message: &Message) -> bool {
        message.new.ordering_key().is_none_or(|key| {
            !self.messages.range(..sequence).any(|(_, earlier)| {
                earlier.new.endpoint() == message.new.endpoint()
                    && earlier.new.ordering_key() == Some(key)
                    && matches!(earlier.stage, Stage::Pending(_) | Stage::Leased { .. })
            })
        })
    }

    fn lease(&mut self, sequence: i64, worker: i64, enforcement: Enforcement) -> Option<Leased> {
        let message = self.messages.get_mut(&sequence)?;
        let record = &self.endpoints.get(message.new.endpoint())?.record;
        let (revision, new) = (record.revision, &message.new);
        let disclosure = Disclosure::under(record.instruction(), new.classes(), new.purpose(), enforcement);
        let Stage::Pending(from) = message.stage else { return None };
        message.stage = Stage::Leased { worker, from };
        message.fence = message.fence.saturating_add(1);
        Some(Leased {
            token: LeaseToken::new(sequence, message.fence),
            id: message.id.clone(),
            endpoint: message.new.endpoint().clone(),
            revision,
            payload: message.new.payload().into(),
            content_type: message.new.content_type().clone(),
            attempts: message.attempts,
            enqueued_at: message.enqueued_at,
            is_ordered: message.new.ordering_key().is_some(),
            is_sealed: message.new.is_sealed(),
            disclosure,
        })
    }

    fn known(&self, message: &NewMessage) -> Result<Option<MessageId>, OutboxError> {
        let same = |known: &&Message| {
            known.new.endpoint() == message.endpoint()
                && (message.id().is_some_and(|id| *id == known.id)
                    || (message.idempotency_key().is_some()
                        && message.idempotency_key() == known.new.idempotency_key()))
        };
        let Some(known) = self.messages.values().find(same) else { return Ok(None) };
        let is_same =
            known.new.payload() == message.payload() || (known.new.is_sealed() && message.is_sealed());
        if is_same && known.new.content_type() == message.content_type() {
            Ok(Some(known.id.clone()))
        } else {
            Err(OutboxErrorKind::IdempotencyConflict.into())
        }
    }
}

impl Outbox for MemoryOutbox {
    async fn save_endpoint(&self, record: &EndpointRecord) -> Result<(), OutboxError> {
        let mut state = self.lock();
        let stored = state.endpoints.get(record.id());
        let follows = stored.map_or(record.revision() == 1, |stored| {
            Some(record.revision()) == stored.record.revision().checked_add(1)
                && stored.record.tenant() == record.tenant()
        });
        if !follows {
            return Err(OutboxErrorKind::EndpointUnknown.into());
        }
        let endpoint = Endpoint { record: record.clone(), hold: None };
        state.endpoints.insert(record.id().clone(), endpoint);
        drop(state);
        self.shared.enqueued.notify_one();
        Ok(())
    }

    async fn endpoint(&self, id: &EndpointId) -> Result<Option<EndpointRecord>, OutboxError> {
        Ok(self.lock().endpoints.get(id).map(|endpoint| endpoint.record.clone()))
    }

    async fn enqueue(&self, message: &NewMessage) -> Result<MessageId, OutboxError> {
        message.check_seal()?;
        let enqueued_at = self.now();
        let mut state = self.lock();
        let known = state.endpoints.get(message.endpoint());
        let Some(known) = known.filter(|endpoint| endpoint.record.tenant() == message.tenant()) else {
            return Err(OutboxErrorKind::EndpointUnknown.into());
        };
        known.record.check_instruction(message, self.enforcement)?;
        if let Some(id) = state.known(message)? {
            return Ok(id);
        }
        let id = match message.id() {
            Some(id) => id.clone(),
            None => MessageId::generate(&self.shared.random).map_err(|_| OutboxErrorKind::Random)?,
        };
        state.last_sequence = state.last_sequence.saturating_add(1);
        let sequence = state.last_sequence;
        let message = Message {
            new: message.clone(),
            id: id.clone(),
            enqueued_at,
            fence: 0,
            attempts: 0,
            last_status: None,
            last_code: "".into(),
            excerpt: None,
            stage: Stage::Pending(Turn::Fresh),
        };
        state.messages.insert(sequence, message);
        drop(state);
        self.shared.enqueued.notify_one();
        Ok(id)
    }

    async fn enqueued(&self) {
        self.shared.enqueued.notified().await;
    }

    async fn join(&self, instance: &str, lease: Duration) -> Result<Worker, OutboxError> {
        let lease = lease.clamp(Worker::MIN_LEASE, Worker::MAX_LEASE);
        let until = self.now().saturating_add(lease);
        let mut state = self.lock();
        let earlier: Vec<i64> =
            state.workers.iter().filter(|(_, seat)| &*seat.instance == instance).map(|(id, _)| *id).collect();
        state.release(|worker| earlier.contains(&worker));
        state.workers.retain(|id, _| !earlier.contains(id));
        state.last_worker = state.last_worker.saturating_add(1);
        let id = state.last_worker;
        state.workers.insert(id, Seat { instance: instance.into(), lease, until });
        Ok(Worker::new(id, lease))
    }

    async fn leave(&self, worker: &Worker) -> Result<(), OutboxError> {
        let mut state = self.lock();
        state.release(|id| id == worker.id());
        state.workers.remove(&worker.id());
        Ok(())
    }

    async fn recover(&self, worker: &Worker) -> Result<u64, OutboxError> {
        let now = self.now();
        let mut state = self.lock();
        let mut lapsed = Vec::new();
        for (id, seat) in state.workers.iter_mut().filter(|(id, _)| **id != worker.id()) {
            if seat.until > now.saturating_add(seat.lease.saturating_mul(2)) {
                seat.until = now.saturating_add(seat.lease);
            }
            if seat.until <= now {
                lapsed.push(*id);
            }
        }
        state.workers.retain(|id, _| !lapsed.contains(id));
        Ok(state.release(|id| lapsed.contains(&id)))
    }

    async fn ready(&self, after: Option<&EndpointId>, limit: usize) -> Result<Due, OutboxError> {
        let now = self.now();
        let state = self.lock();
        let is_due = |id: &EndpointId| {
            state.messages.values().any(|message| {
                message.new.endpoint() == id
                    && match message.stage {
                        Stage::Pending(Turn::Fresh) => true,
                        Stage::Pending(Turn::Again { at }) => at <= now,
                        _ => false,
                    }
            })
        };
        let ready = state.endpoints.values().filter(|endpoint| {
            let id = endpoint.record.id();
            after.is_none_or(|after| id > after) && state.is_open(id, now) && is_due(id)
        });
        let ready = ready.take(limit).map(|endpoint| Ready {
            endpoint: endpoint.record.id().clone(),
            tenant: endpoint.record.tenant().clone(),
            revision: endpoint.record.revision(),
        });
        Ok(Due { ready: ready.collect(), damaged: Vec::new() })
    }

    async fn round(&self, worker: &Worker, round: &Round) -> Result<RoundResult, OutboxError> {
        let now = self.now();
        let mut state = self.lock();
        let mut result = RoundResult::default();
        for settlement in &round.settlements {
            if !state.settle(settlement, now) {
                result.fenced.push(settlement.token);
            }
        }
        for (token, excerpt) in &round.excerpts {
            let message = state.messages.get_mut(&token.sequence());
            if let Some(message) = message.filter(|message| message.fence == token.fence()) {
                message.excerpt = Some(excerpt.clone());
            }
        }
        for note in &round.notes {
            state.note(note, now);
        }
        let Some(seat) = state.workers.get_mut(&worker.id()) else {
            result.is_lost = true;
            return Ok(result);
        };
        seat.until = now.saturating_add(seat.lease);
        if let Some(held) = &round.held {
            state.keep(worker.id(), held);
        }
        for want in &round.wants {
            result.leased.extend(state.claim(worker.id(), want, now, self.enforcement));
        }
        Ok(result)
    }

    async fn dead_letters(
        &self,
        endpoint: &EndpointId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, OutboxError> {
        let state = self.lock();
        let mut dead: Vec<(Timestamp, i64, DeadLetter)> = state
            .messages
            .iter()
            .filter(|(_, message)| message.new.endpoint() == endpoint)
            .filter_map(|(sequence, message)| {
                let Stage::Dead { at } = message.stage else { return None };
                let letter = DeadLetter {
                    id: message.id.clone(),
                    endpoint: endpoint.clone(),
                    attempts: message.attempts,
                    last_status: message.last_status,
                    last_code: message.last_code.clone(),
                    died_at: at,
                };
                Some((at, *sequence, letter))
            })
            .collect();
        dead.sort_by_key(|(at, sequence, _)| std::cmp::Reverse((*at, *sequence)));
        Ok(dead.into_iter().take(limit).map(|(_, _, letter)| letter).collect())
    }

    async fn delivery(
        &self,
        endpoint: &EndpointId,
        id: &MessageId,
    ) -> Result<Option<DeliveryStatus>, OutboxError> {
        let state = self.lock();
        let mut messages = state.messages.values();
        let found = messages.find(|message| message.new.endpoint() == endpoint && message.id == *id);
        Ok(found.map(Message::status))
    }

    async fn deliveries(
        &self,
        endpoint: &EndpointId,
        state: DeliveryState,
        limit: usize,
    ) -> Result<Vec<DeliveryStatus>, OutboxError> {
        let messages = self.lock();
        let of_endpoint = messages.messages.iter().filter(|(_, message)| message.new.endpoint() == endpoint);
        let mut found: Vec<_> = of_endpoint
            .map(|(sequence, message)| (message.status(), *sequence))
            .filter(|(status, _)| status.state == state)
            .collect();
        match state {
            DeliveryState::Pending | DeliveryState::Leased => {
                found.sort_by_key(|(status, sequence)| (status.next_at, *sequence));
            }
            DeliveryState::Delivered | DeliveryState::Dead => {
                found.sort_by_key(|(status, sequence)| std::cmp::Reverse((status.settled_at, *sequence)));
            }
        }
        Ok(found.into_iter().take(limit).map(|(status, _)| status).collect())
    }

    async fn replay(&self, replay: &Replay) -> Result<u64, OutboxError> {
        let mut replayed = 0_u64;
        for message in self.lock().messages.values_mut() {
            if &*message.last_code == NOT_INSTRUCTED.as_str() {
                continue;
            }
            let (at, is_dead) = match message.stage {
                Stage::Dead { at } => (at, true),
                Stage::Delivered { at } => (at, false),
                _ => continue,
            };
            let chosen = match replay {
                Replay::Message { endpoint, id } => message.new.endpoint() == endpoint && message.id == *id,
                Replay::Dead { endpoint, from, until } => {
                    is_dead && message.new.endpoint() == endpoint && (*from..*until).contains(&at)
                }
                Replay::Settled { endpoint, from, until } => {
                    message.new.endpoint() == endpoint && (*from..*until).contains(&at)
                }
            };
            if chosen {
                message.attempts = 0;
                message.stage = Stage::Pending(Turn::Fresh);
                replayed = replayed.saturating_add(1);
            }
        }
        self.shared.enqueued.notify_one();
        Ok(replayed)
    }

    async fn purge(&self, retention: &Retention, limit: usize) -> Result<u64, OutboxError> {
        let now = self.now();
        let mut state = self.lock();
        let mut old: Vec<(Timestamp, i64)> = state
            .messages
            .iter()
            .filter_map(|(sequence, message)| match message.stage {
                Stage::Delivered { at } if at <= now.saturating_sub(retention.delivered) => {
                    Some((at, *sequence))
                }
                Stage::Dead { at } if at <= now.saturating_sub(retention.dead) => Some((at, *sequence)),
                Stage::Pending(_) if message.enqueued_at <= now.saturating_sub(retention.disabled) => {
                    let endpoint = state.endpoints.get(message.new.endpoint())?;
                    (endpoint.record.state != EndpointState::Enabled)
                        .then_some((message.enqueued_at, *sequence))
                }
                _ => None,
            })
            .collect();
        old.sort_unstable();
        old.truncate(limit);
        for (_, sequence) in &old {
            state.messages.remove(sequence);
        }
        Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
    }

    async fn counts(&self) -> Result<Counts, OutboxError> {
        let mut counts = Counts::default();
        for message in self.lock().messages.values() {
            let count = match message.stage {
                Stage::Pending(_) => &mut counts.pending,
                Stage::Leased { .. } => &mut counts.leased,
                Stage::Delivered { .. } => &mut counts.delivered,
                Stage::Dead { .. } => &mut counts.dead,
            };
            *count = count.saturating_add(1);
        }
        Ok(counts)
    }
}
