//! The dispatcher's loop: one task that decides, and the tasks of the attempts.
//!
//! One call to the store is under way at a time; what comes in meanwhile is the next one's batch.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compliance_core::clock::Timestamp;
use compliance_core::random::SecureRandom as _;
use tokio::sync::watch;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::courier::{Couriers, Returned};
use super::holdings::{Holdings, Parked};
use super::lane::Lanes;
use super::telemetry;
use super::turns::Turns;
use super::{DispatchLimits, DispatchReport, Dispatcher};
use crate::deliver::Deliver;
use crate::outbox::book::OpenEndpoint;
use crate::outbox::{
    Due, EndpointBookError, EndpointId, EndpointNote, EndpointRecord, LeaseToken, Leased, NewMessage, Outbox,
    OutboxError, OutboxErrorKind, Round, RoundResult, Settlement, Verdict, Worker,
};
use crate::schedule::HostSlot;

/// The most endpoints looked at in one go.
pub(super) const READY_LIMIT: usize = 1024;
/// How often lapsed leases are looked for.
const UPKEEP: Duration = Duration::from_secs(1);
/// How often old messages are deleted, in upkeeps, and how many at a time.
const PURGE_EVERY: u32 = 60;
const PURGE_LIMIT: usize = 1000;
/// How long the store is left alone after a failure: this, doubled up to the limit.
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);

pub(super) struct Run<O, D> {
    pub(super) dispatcher: Arc<Dispatcher<O, D>>,
    /// Given, or drawn when it first joins.
    instance: Option<Box<str>>,
    pub(super) worker: Option<Worker>,
    pub(super) is_lost: bool,
    pub(super) lease: Option<Lease>,
    pub(super) lanes: Lanes,
    /// The lines that may start an attempt.
    pub(super) turn: Turns,
    /// The lines that may want messages.
    pub(super) wanting: Turns,
    /// The lines that have to wait for others.
    pub(super) parked: Parked,
    pub(super) holdings: Holdings,
    pub(super) queued: usize,
    pub(super) in_flight: usize,
    /// Messages to be given up once that is recorded.
    pub(super) recording: usize,
    pub(super) round: Round,
    pub(super) round_since: Option<Instant>,
    /// Whether the store may have claimed what it could not say: the answer to a round was lost.
    pub(super) is_in_doubt: bool,
    pub(super) tasks: JoinSet<Done>,
    pub(super) couriers: Couriers,
    pub(super) flights: HashMap<task::Id, Flight>,
    pub(super) look: bool,
    pub(super) next_look: Instant,
    pub(super) next_upkeep: Instant,
    pub(super) upkeeps: u32,
    /// Where the next look begins, when the last one did not see all.
    pub(super) cursor: Option<EndpointId>,
    pub(super) beat_at: Instant,
    /// The last call to the store was a round.
    pub(super) was_round: bool,
    pub(super) retry_at: Option<Instant>,
    pub(super) backoff: Duration,
    pub(super) report: DispatchReport,
    /// What time spans are counted from.
    pub(super) started: Instant,
}

/// How long what was claimed may be delivered.
#[derive(Clone, Copy)]
pub(super) struct Lease {
    /// By the clock, which notices when the host was asleep.
    until: Timestamp,
    /// By elapsed time, which notices when the clock was set back.
    end: Instant,
}

/// What a task answers.
pub(super) enum Done {
    /// A courier was let go.
    Dismissed,
    /// With the revision that was opened, if it came to that.
    Opened(Option<i64>, Opened),
    Recorded(Recorded),
}

/// An endpoint, or why it cannot be used.
pub(super) enum Opened {
    Disabled,
    Failed(EndpointBookError),
    /// As it was then.
    Open(Arc<OpenEndpoint>, Box<EndpointRecord>, Instant),
}

/// What a task is about.
pub(super) enum Flight {
    Attempt(Attempted),
    Opening(EndpointId),
    Recording(Then),
}

/// An attempt, at the endpoint as it was at that revision.
pub(super) struct Attempted {
    pub(super) leased: Arc<Leased>,
    pub(super) revision: i64,
    /// Kept until the attempt has landed.
    pub(super) slot: HostSlot,
    pub(super) begun: Instant,
}

/// What the sink recorded.
pub(super) struct Recorded {
    pub(super) settlement: bool,
    pub(super) disable: Disabling,
}

/// Whether an endpoint is to be switched off.
pub(super) enum Disabling {
    Recorded,
    Unrecorded,
    /// It is not: something was delivered to it meanwhile, by whomever.
    Works,
}

/// What is done once the sink has recorded it.
pub(super) struct Then {
    pub(super) endpoint: EndpointId,
    pub(super) settlement: Option<Settlement>,
    pub(super) disable: Option<EndpointNote>,
}

type StoreCall = Pin<Box<dyn Future<Output = StoreAnswer> + Send>>;

/// When a call to the store began.
pub(super) type Begun = (Timestamp, Instant);

enum StoreAnswer {
    Joined(Result<Worker, OutboxError>, Begun),
    Ready(Result<Due, OutboxError>),
    Round { round: Round, begun: Begun, result: Result<RoundResult, OutboxError> },
    Upkeep(Result<bool, OutboxError>),
}

enum Woken {
    Stop,
    Store(StoreAnswer),
    Task(Result<(task::Id, Done), JoinError>),
    Returned(Returned),
    Enqueued,
    Time,
}

impl<O, D> Run<O, D>
where
    O: Outbox + Clone + 'static,
    D: Deliver + 'static,
{
    pub(super) fn new(mut dispatcher: Dispatcher<O, D>) -> Self {
        let limits = &mut dispatcher.limits;
        limits.per_endpoint = limits.per_endpoint.max(1);
        limits.in_flight = limits.in_flight.max(1);
        limits.per_tenant = limits.per_tenant.max(1);
        limits.batch = limits.batch.max(1);
        limits.held_bytes = limits.held_bytes.max(NewMessage::MAX_PAYLOAD_LEN);
        limits.excerpt = limits.excerpt.min(DispatchLimits::MAX_EXCERPT);
        limits.poll = limits.poll.max(DispatchLimits::MIN_POLL);
        limits.attempt_timeout = limits.attempt_timeout.max(DispatchLimits::MIN_ATTEMPT_TIMEOUT);
        let now = Instant::now();
        Self {
            instance: dispatcher.instance.take(),
            dispatcher: Arc::new(dispatcher),
            worker: None,
            is_lost: false,
            lease: None,
            lanes: Lanes::default(),
            turn: Turns::default(),
            wanting: Turns::default(),
            parked: Parked::default(),
            holdings: Holdings::default(),
            queued: 0,
            in_flight: 0,
            recording: 0,
            round: Round::default(),
            round_since: None,
            is_in_doubt: false,
            tasks: JoinSet::new(),
            couriers: Couriers::default(),
            flights: HashMap::new(),
            look: true,
            next_look: now,
            next_upkeep: now,
            upkeeps: 0,
            cursor: None,
            beat_at: now,
            was_round: false,
            retry_at: None,
            backoff: FIRST_BACKOFF,
            report: DispatchReport::default(),
            started: now,
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> DispatchReport {
        let outbox = self.dispatcher.outbox.clone();
        let mut call: Option<StoreCall> = None;
        let mut deadline: Option<Instant> = None;
        // They stay from turn to turn: to wait for something anew each time costs more than most turns.
        let mut stopping = pin!(stop.changed());
        let mut enqueued = pin!(outbox.enqueued());
        let mut alarm = pin!(sleep_until(self.started));
        loop {
            let now = Instant::now();
            if deadline.is_none() {
                self.unpark(now);
                self.start_attempts(now);
            }
            if call.is_none() {
                call = self.next_call(now, deadline.is_some());
            }
            if let Some(deadline) = deadline {
                let is_done = call.is_none() && self.flights.is_empty() && self.is_settled();
                if is_done || now >= deadline {
                    break;
                }
            }
            let wake = self.next_wake(now, call.is_some(), deadline);
            // Too early is early enough.
            if wake < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(wake);
            }
            let woken = tokio::select! {
                biased;
                _ = stopping.as_mut(), if deadline.is_none() => Woken::Stop,
                answer = wait_for(&mut call), if call.is_some() => Woken::Store(answer),
                returned = self.couriers.returned() => Woken::Returned(returned),
                Some(done) = self.tasks.join_next_with_id() => Woken::Task(done),
                () = enqueued.as_mut(), if deadline.is_none() => Woken::Enqueued,
                () = alarm.as_mut() => Woken::Time,
            };
            match woken {
                Woken::Stop => {
                    let grace = self.dispatcher.limits.grace;
                    deadline = Some(now.checked_add(grace).unwrap_or(now));
                    self.release_lines();
                }
                Woken::Store(answer) => {
                    call = None;
                    self.answered(answer, deadline.is_some());
                }
                Woken::Task(done) => {
                    self.landed(done);
                    while let Some(done) = self.tasks.try_join_next_with_id() {
                        self.landed(done);
                    }
                }
                Woken::Returned(returned) => {
                    self.returned(returned);
                    while let Some(returned) = self.couriers.try_returned() {
                        self.returned(returned);
                    }
                }
                Woken::Enqueued => {
                    enqueued.set(outbox.enqueued());
                    self.look = true;
                }
                Woken::Time => {}
            }
        }
        self.end(call).await
    }

    /// Hands back what is still under way and leaves.
    async fn end(mut self, call: Option<StoreCall>) -> DispatchReport {
        while let Some(returned) = self.couriers.try_returned() {
            self.returned(returned);
        }
        while let Some(done) = self.tasks.try_join_next_with_id() {
            self.landed(done);
        }
        self.tasks.shutdown().await;
        for (_, flight) in self.flights.drain() {
            let (token, revision) = match flight {
                Flight::Attempt(attempt) => (attempt.leased.token, attempt.revision),
                Flight::Recording(Then { settlement: Some(settlement), .. }) => {
                    (settlement.token, settlement.revision)
                }
                Flight::Recording(_) | Flight::Opening(_) => continue,
            };
            self.round.settlements.push(Settlement { token, revision, verdict: Verdict::Released });
        }
        let last = async {
            if let Some(call) = call {
                self.answered(call.await, true);
            }
            let Some(worker) = self.worker else { return };
            if !self.is_settled() {
                let round = std::mem::take(&mut self.round);
                if let Ok(result) = self.dispatcher.outbox.round(&worker, &round).await {
                    self.report.rounds = self.report.rounds.saturating_add(1);
                    self.count(&round, &result);
                }
            }
            // Whatever fails here lapses with the lease.
            let _ = self.dispatcher.outbox.leave(&worker).await;
        };
        let _ = timeout(MAX_BACKOFF, last).await;
        self.report
    }

    fn is_settled(&self) -> bool {
        self.round.settlements.is_empty() && self.round.notes.is_empty()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.dispatcher.clock.now()
    }

    /// Whether what was claimed is still this dispatcher's, as far as it can tell.
    pub(super) fn is_leased(&self, now: Instant) -> bool {
        !self.is_lost && self.lease.is_some_and(|lease| self.now() < lease.until && now < lease.end)
    }

    fn is_holding(&self) -> bool {
        self.queued > 0 || !self.flights.is_empty()
    }

    // What to ask the store next.

    fn next_call(&mut self, now: Instant, is_stopping: bool) -> Option<StoreCall> {
        if self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return None;
        }
        let outbox = self.dispatcher.outbox.clone();
        let limits = self.dispatcher.limits;
        let worker = match self.worker {
            Some(worker) if !self.is_lost || is_stopping => worker,
            _ if is_stopping => return None,
            _ => {
                let (instance, begun) = (self.instance(), (self.now(), now));
                return Some(Box::pin(async move {
                    let joined = match instance {
                        Ok(instance) => outbox.join(&instance, limits.lease).await,
                        Err(error) => Err(error),
                    };
                    StoreAnswer::Joined(joined, begun)
                }));
            }
        };
        // Rounds come one after the other under load; what is due beside them gets every second turn.
        if self.was_round
            && let Some(call) = self.next_errand(now, worker, is_stopping)
        {
            self.was_round = false;
            return Some(call);
        }
        if let Some(round) = self.next_round(now, is_stopping) {
            self.was_round = true;
            let begun = (self.now(), now);
            return Some(Box::pin(async move {
                let result = outbox.round(&worker, &round).await;
                StoreAnswer::Round { round, begun, result }
            }));
        }
        self.next_errand(now, worker, is_stopping)
    }

    fn instance(&mut self) -> Result<Box<str>, OutboxError> {
        if let Some(instance) = &self.instance {
            return Ok(instance.clone());
        }
        let mut bytes = [0; 16];
        self.dispatcher.random.fill(&mut bytes).map_err(|_| OutboxErrorKind::Random)?;
        let instance: Box<str> = format!("dispatcher-{}", URL_SAFE_NO_PAD.encode(bytes)).into();
        self.instance = Some(instance.clone());
        Ok(instance)
    }

    /// Looking for due messages, and upkeep.
    fn next_errand(&mut self, now: Instant, worker: Worker, is_stopping: bool) -> Option<StoreCall> {
        if is_stopping {
            return None;
        }
        let outbox = self.dispatcher.outbox.clone();
        let limits = self.dispatcher.limits;
        if self.look || now >= self.next_look {
            self.look = false;
            self.next_look = now.checked_add(limits.poll).unwrap_or(now);
            self.unpark_hosts();
            let after = self.cursor.take();
            return Some(Box::pin(async move {
                StoreAnswer::Ready(outbox.ready(after.as_ref(), READY_LIMIT).await)
            }));
        }
        if now >= self.next_upkeep {
            self.next_upkeep = now.checked_add(UPKEEP).unwrap_or(now);
            let purges = self.upkeeps == 0;
            self.upkeeps = self.upkeeps.saturating_add(1) % PURGE_EVERY;
            return Some(Box::pin(async move {
                StoreAnswer::Upkeep(upkeep(&outbox, worker, purges, limits).await)
            }));
        }
        None
    }

    fn next_round(&mut self, now: Instant, is_stopping: bool) -> Option<Round> {
        let limits = self.dispatcher.limits;
        let has_waited =
            self.round_since.is_some_and(|since| now.saturating_duration_since(since) >= limits.ack_window);
        let is_full = self.round.settlements.len() >= limits.batch;
        let must_beat = self.is_holding() && !is_stopping && (now >= self.beat_at || !self.is_leased(now));
        let (wants, is_urgent) = if is_stopping { (Vec::new(), false) } else { self.wants() };
        let must_tell = self.is_in_doubt && !is_stopping;
        let is_due = is_full
            || must_beat
            || must_tell
            || is_urgent
            || (!self.is_settled() && (has_waited || is_stopping));
        if !is_due {
            return None;
        }
        self.round_since = None;
        let mut round = std::mem::take(&mut self.round);
        round.wants = wants;
        round.held = must_tell.then(|| self.held());
        Some(round)
    }

    /// What is in line, under way or being recorded.
    fn held(&mut self) -> Vec<LeaseToken> {
        let mut held = self.lanes.held();
        held.extend(self.flights.values().filter_map(|flight| match flight {
            Flight::Attempt(attempt) => Some(attempt.leased.token),
            Flight::Recording(then) => then.settlement.map(|settlement| settlement.token),
            Flight::Opening(_) => None,
        }));
        held
    }

    fn next_wake(&self, now: Instant, is_calling: bool, deadline: Option<Instant>) -> Instant {
        const FAR: Duration = Duration::from_secs(3600);
        let mut wake = deadline.or_else(|| now.checked_add(FAR)).unwrap_or(now);
        if let Some(parked) = self.parked.next_at().filter(|_| deadline.is_none()) {
            wake = wake.min(parked);
        }
        if is_calling {
            return wake;
        }
        if let Some(retry_at) = self.retry_at.filter(|retry_at| *retry_at > now) {
            return wake.min(retry_at);
        }
        if let Some(since) = self.round_since {
            wake = wake.min(since.checked_add(self.dispatcher.limits.ack_window).unwrap_or(since));
        }
        if deadline.is_none() {
            wake = wake.min(self.next_look).min(self.next_upkeep);
            if self.is_holding() {
                wake = wake.min(self.beat_at);
            }
        }
        wake
    }

    // What the store answered.

    fn answered(&mut self, answer: StoreAnswer, is_stopping: bool) {
        let failure = match answer {
            StoreAnswer::Joined(Ok(worker), begun) => {
                self.worker = Some(worker);
                self.is_lost = false;
                self.is_in_doubt = false;
                self.beaten(worker, begun);
                None
            }
            StoreAnswer::Ready(Ok(due)) => {
                self.ready(due);
                None
            }
            StoreAnswer::Round { round, begun, result: Ok(result) } => {
                self.is_in_doubt = false;
                self.rounded(&round, begun, result, is_stopping);
                None
            }
            StoreAnswer::Upkeep(Ok(is_more)) => {
                if is_more {
                    self.upkeeps = 0;
                    self.next_upkeep = Instant::now();
                }
                None
            }
            StoreAnswer::Round { mut round, result: Err(error), .. } => {
                // Not known whether it happened. If it did, these verdicts will be fenced off.
                round.settlements.append(&mut self.round.settlements);
                round.notes.append(&mut self.round.notes);
                round.excerpts.append(&mut self.round.excerpts);
                self.is_in_doubt |= !round.wants.is_empty();
                round.wants.clear();
                round.held = None;
                self.round = round;
                self.round_since.get_or_insert_with(Instant::now);
                Some(error)
            }
            StoreAnswer::Joined(Err(error), _)
            | StoreAnswer::Ready(Err(error))
            | StoreAnswer::Upkeep(Err(error)) => Some(error),
        };
        match failure {
            None => {
                self.retry_at = None;
                self.backoff = FIRST_BACKOFF;
            }
            Some(error) => {
                telemetry::store_failed(error);
                self.look = true;
                self.report.store_errors = self.report.store_errors.saturating_add(1);
                self.retry_at = Instant::now().checked_add(self.backoff);
                self.backoff = self.backoff.saturating_mul(2).min(MAX_BACKOFF);
            }
        }
    }

    pub(super) fn beaten(&mut self, worker: Worker, (began, instant): Begun) {
        let now = Instant::now();
        let end = instant.checked_add(worker.lease()).unwrap_or(instant);
        self.lease = Some(Lease { until: began.saturating_add(worker.lease()), end });
        self.beat_at = now.checked_add(worker.lease().div_f32(3.0)).unwrap_or(now);
    }
}

async fn wait_for(call: &mut Option<StoreCall>) -> StoreAnswer {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}

/// Takes over from lapsed workers and deletes what is old; `true` when there is more to delete.
async fn upkeep<O: Outbox>(
    outbox: &O,
    worker: Worker,
    purges: bool,
    limits: DispatchLimits,
) -> Result<bool, OutboxError> {
    outbox.recover(&worker).await?;
    if !purges {
        return Ok(false);
    }
    let purged = outbox.purge(&limits.retention, PURGE_LIMIT).await?;
    Ok(purged >= PURGE_LIMIT as u64)
}
