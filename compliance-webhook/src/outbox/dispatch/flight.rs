//! Attempts: started, landed, and what follows for message and endpoint.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::event::{Event, EventError};
use compliance_core::finding::ReasonCode;
use compliance_core::reason_code;
use tokio::task::{self, JoinError};
use tokio::time::{Instant, timeout};

use super::courier::{Errand, Returned};
use super::judge::{Ended, damaged_event, dead_event, disabled_event};
use super::lane::{Door, More};
use super::run::{Attempted, Disabling, Done, Flight, Opened, Recorded, Run, Then};
use super::{DispatchLimits, Dispatcher, telemetry};
use crate::deliver::Deliver;
use crate::outbox::book::OpenEndpoint;
use crate::outbox::{
    Damaged, EndpointBookError, EndpointId, EndpointNote, EndpointState, Leased, Lesson, Outbox, OutboxError,
    OutboxErrorKind, Settlement, Verdict,
};

/// How long an endpoint waits when store, key store or sink were away.
const TROUBLE_PAUSE: Duration = Duration::from_secs(5);
/// How long a verdict waits when the sink did not record it.
const UNRECORDED_PAUSE: Duration = Duration::from_secs(60);

/// What is to be recorded before a [`Then`] is done.
#[derive(Default)]
struct Events {
    settlement: Option<Result<Event, EventError>>,
    disable: Option<Result<Event, EventError>>,
}

impl<O: Outbox, D> Dispatcher<O, D> {
    /// Whether an endpoint that is to be switched off for failing has been delivered to after all, as the store knows.
    async fn works(&self, note: &EndpointNote, now: Timestamp) -> bool {
        let Lesson::Disable { failing_for: Some(limit), .. } = note.lesson else { return false };
        let Ok(Some(record)) = self.outbox.endpoint(&note.endpoint).await else { return false };
        record.failing_since().is_none_or(|since| now.saturating_since(since) < limit)
    }
}

impl<O, D> Run<O, D>
where
    O: Outbox + Clone + 'static,
    D: Deliver + 'static,
{
    pub(super) fn start_attempts(&mut self, instant: Instant) {
        let now = self.now();
        if !self.is_leased(instant) {
            return;
        }
        let limits = self.dispatcher.limits;
        let mut next = None;
        while self.in_flight < limits.in_flight {
            let lanes = &mut self.lanes;
            let in_turn = next
                .take()
                .or_else(|| self.turn.pop(|endpoint| lanes.get(endpoint).map_or(0, |lane| lane.cost())));
            let Some(endpoint) = in_turn else { break };
            let Some(mut lane) = self.lanes.get(&endpoint) else { continue };
            lane.is_in_turn = false;
            let allowance = lane.allowance(now, limits.per_endpoint);
            if allowance == 0 {
                let waiting = lane.queue.drain(..).collect();
                self.give_back(waiting);
                continue;
            }
            if lane.in_flight >= allowance || lane.queue.is_empty() {
                // Comes back when an attempt ends.
                continue;
            }
            let open = lane.fresh(instant).map(Arc::clone);
            if let Some(known) = lane.look(instant) {
                self.open(endpoint.clone(), known);
                let Some(same) = self.lanes.get(&endpoint) else { continue };
                lane = same;
            }
            let Some(open) = open else { continue };
            if !lane.may_start(self.dispatcher.deliver.pace(&open.endpoint)) {
                // Comes back, too.
                continue;
            }
            let outdated = lane.outdated(open.revision);
            if !outdated.is_empty() {
                next = Some(endpoint);
                self.give_back(outdated);
                continue;
            }
            next = self.start(endpoint, open, instant);
        }
    }

    /// Starts an attempt, if there is room in what the line shares with others: its tenant's part, its host, its rate.
    /// Without it, the line waits. With more in line and nobody else in turn, it is the endpoint's turn again.
    fn start(&mut self, endpoint: EndpointId, open: Arc<OpenEndpoint>, begun: Instant) -> Option<EndpointId> {
        let lane = self.lanes.get(&endpoint)?;
        // Wherever it waits, it keeps its turn.
        lane.is_in_turn = true;
        let limits = self.dispatcher.limits;
        if self.holdings.under_way(&lane.tenant) >= limits.per_tenant {
            self.turn.push(&lane.tenant, endpoint);
            self.turn.park(&lane.tenant);
            return None;
        }
        let hosts = &self.dispatcher.hosts;
        let must_wait = !lane.is_welcome;
        if let Some(wait) = must_wait.then(|| hosts.wait(&open.endpoint, begun.into_std())).flatten() {
            self.parked.until(begun.checked_add(wait).unwrap_or(begun), endpoint);
            let waiting = lane.hold_back();
            self.give_back(waiting);
            return None;
        }
        let Some(slot) = hosts.try_enter(&open.endpoint) else {
            self.parked.for_host(open.endpoint.host_key(), endpoint);
            return None;
        };
        if let Err(wait) = lane.take(begun.saturating_duration_since(self.started)) {
            self.parked.until(begun.checked_add(wait).unwrap_or(begun), endpoint);
            return None;
        }
        lane.is_in_turn = false;
        let leased = Arc::new(lane.queue.pop_front()?);
        lane.in_flight = lane.in_flight.saturating_add(1);
        self.holdings.started(&lane.tenant);
        self.queued = self.queued.saturating_sub(1);
        self.in_flight = self.in_flight.saturating_add(1);
        self.report.attempts = self.report.attempts.saturating_add(1);
        let revision = open.revision;
        let tenant = leased.is_sealed.then(|| lane.tenant.clone());
        let errand = Errand { tenant, message: Arc::clone(&leased), open };
        let courier = self.couriers.send(errand, &self.dispatcher, &mut self.tasks);
        self.flights.insert(courier, Flight::Attempt(Attempted { leased, revision, slot, begun }));
        if lane.queue.is_empty() {
            return None;
        }
        if self.turn.is_empty() && self.in_flight < limits.in_flight {
            return Some(endpoint);
        }
        lane.is_in_turn = true;
        self.turn.push(&lane.tenant, endpoint);
        None
    }

    /// Puts lines whose time has come back in turn.
    pub(super) fn unpark(&mut self, now: Instant) {
        while let Some(endpoint) = self.parked.due(now) {
            self.put_in_turn(endpoint);
        }
    }

    /// Has another try at hosts that others may have left meanwhile.
    pub(super) fn unpark_hosts(&mut self) {
        for endpoint in self.parked.of_hosts() {
            self.put_in_turn(endpoint);
        }
    }

    fn put_in_turn(&mut self, endpoint: EndpointId) {
        if let Some(lane) = self.lanes.get(&endpoint) {
            self.turn.push(&lane.tenant, endpoint);
        }
    }

    /// Looks at the endpoint, and opens it unless that is `known` already.
    fn open(&mut self, endpoint: EndpointId, known: Option<Arc<OpenEndpoint>>) {
        let (dispatcher, id) = (Arc::clone(&self.dispatcher), endpoint.clone());
        let task = self.tasks.spawn(async move {
            let record = match dispatcher.outbox.endpoint(&id).await {
                Ok(Some(record)) => record,
                Ok(None) => {
                    let error = OutboxError::from(OutboxErrorKind::EndpointUnknown).into();
                    return Done::Opened(None, Opened::Failed(error));
                }
                Err(error) => return Done::Opened(None, Opened::Failed(error.into())),
            };
            // Whatever opening it takes: it may be switched off from now on.
            let (revision, seen) = (record.revision(), Instant::now());
            let opened = match known.filter(|known| known.revision == revision) {
                _ if *record.state() != EndpointState::Enabled => Opened::Disabled,
                Some(known) => Opened::Open(known, Box::new(record), seen),
                None => match dispatcher.book.open(&record).await {
                    Ok(open) => Opened::Open(Arc::new(open), Box::new(record), seen),
                    Err(error) => Opened::Failed(error),
                },
            };
            Done::Opened(Some(revision), opened)
        });
        self.flights.insert(task.id(), Flight::Opening(endpoint));
    }

    /// A courier has come back.
    pub(super) fn returned(&mut self, (courier, ended): Returned) {
        let flight = self.flights.remove(&courier.id());
        self.couriers.rest(courier);
        if let Some(Flight::Attempt(attempt)) = flight {
            self.attempt_landed(attempt, &ended);
        }
    }

    pub(super) fn landed(&mut self, landed: Result<(task::Id, Done), JoinError>) {
        let (id, done) = match landed {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), None),
        };
        match (self.flights.remove(&id), done) {
            // A courier that comes back says so itself.
            (Some(Flight::Attempt(attempt)), _) => self.attempt_landed(attempt, &Ended::Panicked),
            (Some(Flight::Opening(endpoint)), Some(Done::Opened(revision, opened))) => {
                self.opened(&endpoint, revision, opened);
            }
            (Some(Flight::Opening(endpoint)), _) => {
                let error = OutboxError::from(OutboxErrorKind::Busy).into();
                self.opened(&endpoint, None, Opened::Failed(error));
            }
            (Some(Flight::Recording(then)), done) => {
                let recorded = match done {
                    Some(Done::Recorded(recorded)) => recorded,
                    _ => Recorded { settlement: false, disable: Disabling::Unrecorded },
                };
                self.recorded(then, recorded);
            }
            (None, _) => {}
        }
    }

    fn attempt_landed(&mut self, attempt: Attempted, ended: &Ended) {
        let Attempted { leased, revision, slot, begun } = attempt;
        let (now, instant) = (self.now(), Instant::now());
        let host = Arc::clone(slot.host_key());
        match ended {
            // It was not called.
            Ended::Unopened(_) => drop(slot),
            _ if ended.is_delivered() => drop(slot),
            _ => slot.failed(instant.into_std()),
        }
        let since = now.saturating_since(leased.enqueued_at);
        telemetry::attempted(&leased, ended, instant.saturating_duration_since(begun), since);
        if let Some(excerpt) = ended.excerpt(self.dispatcher.limits.excerpt) {
            self.round.excerpts.push((leased.token, excerpt));
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        let waiting = self.parked.of_host(&host);
        if let Some(lane) = self.lanes.get(&leased.endpoint) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            lane.landed(ended.is_delivered() && lane.revision == revision);
            self.holdings.landed(&lane.tenant, &leased);
            self.turn.unpark(&lane.tenant);
        }
        match ended {
            Ended::Unopened(error) => self.unopened(&leased, revision, *error),
            #[cfg(feature = "cloud-events")]
            Ended::NoEvent => {
                self.report.failed = self.report.failed.saturating_add(1);
                self.withhold(&leased, revision, ended.code());
            }
            _ => self.attempted(&leased, revision, ended, now),
        }
        self.want_next(&leased);
        for endpoint in waiting {
            self.put_in_turn(endpoint);
        }
        self.queue_turn(&leased.endpoint);
    }

    fn queue_turn(&mut self, endpoint: &EndpointId) {
        if let Some(lane) = self.lanes.get(endpoint)
            && !lane.is_in_turn
            && !lane.queue.is_empty()
        {
            lane.is_in_turn = true;
            self.turn.push(&lane.tenant, endpoint.clone());
        }
    }

    fn opened(&mut self, endpoint: &EndpointId, revision: Option<i64>, opened: Opened) {
        let now = self.now();
        let Some(lane) = self.lanes.get(endpoint) else { return };
        lane.is_looking = false;
        if revision.is_some_and(|revision| revision < lane.revision) {
            // It was changed while it was being opened.
            lane.door = Door::Closed;
            return self.queue_turn(endpoint);
        }
        match opened {
            Opened::Open(open, record, seen) => {
                lane.renew(record.revision());
                lane.failing_since = record.failing_since();
                lane.keep_to(record.rate().into_iter().chain(self.dispatcher.limits.rate).min());
                lane.door = Door::Open(open, seen);
                self.queue_turn(endpoint);
            }
            Opened::Disabled => {
                lane.door = Door::Closed;
                lane.renew(revision.unwrap_or(lane.revision));
                lane.more = More::No;
                let waiting = lane.queue.drain(..).collect();
                self.give_back(waiting);
            }
            Opened::Failed(error) => {
                lane.door = Door::Closed;
                let revision = revision.unwrap_or(lane.revision);
                lane.renew(revision);
                if error.is_transient() {
                    return self.pause(endpoint, now, now.saturating_add(TROUBLE_PAUSE));
                }
                let waiting: Vec<Leased> = lane.queue.drain(..).collect();
                for leased in waiting {
                    self.let_go(&leased);
                    self.attempted(&leased, revision, &Ended::Refused(error.reason_code()), now);
                }
            }
        }
    }

    /// Draws the conclusions from an attempt at the endpoint as it was at `revision`.
    fn attempted(&mut self, leased: &Leased, revision: i64, ended: &Ended, now: Timestamp) {
        let judgement = self.dispatcher.judge(leased, ended, now);
        let Some(lane) = self.lanes.get(&leased.endpoint) else { return };
        let settlement = Settlement { token: leased.token, revision, verdict: judgement.verdict };
        let is_current = lane.revision == revision;
        if let Verdict::Delivered { .. } = judgement.verdict {
            if is_current {
                lane.breaker.succeeded();
                lane.failing_since = None;
            }
            return self.settle(settlement);
        }
        self.report.failed = self.report.failed.saturating_add(1);
        if !is_current {
            // What failed is not there any more.
            return self.settle(Settlement { verdict: Verdict::Released, ..settlement });
        }
        let dispatcher = Arc::clone(&self.dispatcher);
        let tenant = lane.tenant.clone();
        let opened_until = lane.breaker.failed(now, &dispatcher.breaker);
        let since = lane.failing_since;
        lane.failing_since.get_or_insert(now);
        if since.is_none() {
            self.note(&leased.endpoint, revision, Lesson::Failing { since: now });
        }
        let asked_until = judgement.pause.map(|pause| now.saturating_add(pause));
        if let Some(until) = opened_until.into_iter().chain(asked_until).max() {
            self.note(&leased.endpoint, revision, Lesson::Hold { until });
            self.pause(&leased.endpoint, now, until);
        }
        let has_failed_for =
            |limit: &Duration| since.is_some_and(|since| now.saturating_since(since) >= *limit);
        let failing_for =
            dispatcher.limits.disable_after.filter(has_failed_for).filter(|_| !judgement.is_gone);
        let must_disable = judgement.is_gone || failing_for.is_some();
        let mut events = Events::default();
        let mut then = Then { endpoint: leased.endpoint.clone(), settlement: None, disable: None };
        if must_disable && self.lanes.get(&leased.endpoint).is_some_and(|lane| !lane.is_disabling) {
            let code =
                if judgement.is_gone { ended.code() } else { reason_code!("dispatch.failing_for_too_long") };
            events.disable = Some(disabled_event(&tenant, &leased.endpoint, code, now));
            let lesson = Lesson::Disable { code, failing_for };
            then.disable = Some(EndpointNote { endpoint: leased.endpoint.clone(), revision, lesson });
            if let Some(lane) = self.lanes.get(&leased.endpoint) {
                lane.is_disabling = true;
            }
            // Nothing more goes out while that is being written down.
            self.pause(&leased.endpoint, now, now.saturating_add(TROUBLE_PAUSE));
        }
        if let Verdict::Dead { code, status } = judgement.verdict {
            events.settlement = Some(dead_event(&tenant, leased, code, status, now));
            then.settlement = Some(settlement);
        } else {
            self.settle(settlement);
        }
        self.record(events, then);
    }

    /// The payload could not be opened, which is not the endpoint's fault.
    fn unopened(&mut self, leased: &Leased, revision: i64, error: EndpointBookError) {
        self.report.failed = self.report.failed.saturating_add(1);
        if error.is_transient() {
            let now = self.now();
            self.settle(Settlement { token: leased.token, revision, verdict: Verdict::Released });
            return self.pause(&leased.endpoint, now, now.saturating_add(TROUBLE_PAUSE));
        }
        self.withhold(leased, revision, error.reason_code());
    }

    /// Gives up a message that must not, or cannot, leave.
    pub(super) fn withhold(&mut self, leased: &Leased, revision: i64, code: ReasonCode) {
        let now = self.now();
        let Some(lane) = self.lanes.get(&leased.endpoint) else { return };
        let event = dead_event(&lane.tenant, leased, code, None, now);
        let verdict = Verdict::Dead { code, status: None };
        let settlement = Settlement { token: leased.token, revision, verdict };
        let then = Then { endpoint: leased.endpoint.clone(), settlement: Some(settlement), disable: None };
        self.record(Events { settlement: Some(event), disable: None }, then);
    }

    /// Gives up a message that cannot be read.
    pub(super) fn damaged(&mut self, damaged: Damaged) {
        let Some(lane) = self.lanes.get(&damaged.endpoint) else { return };
        let code = reason_code!("outbox.corrupt");
        let event = damaged_event(&lane.tenant, &damaged, code, self.dispatcher.clock.now());
        let Damaged { token, revision, endpoint } = damaged;
        let verdict = Verdict::Dead { code, status: None };
        let settlement = Some(Settlement { token, revision, verdict });
        let then = Then { endpoint, settlement, disable: None };
        self.record(Events { settlement: Some(event), disable: None }, then);
    }

    /// Has the sink record the events and does `then` what was recorded.
    fn record(&mut self, events: Events, then: Then) {
        if events.settlement.is_none() && events.disable.is_none() {
            return;
        }
        if then.settlement.is_some()
            && let Some(lane) = self.lanes.get(&then.endpoint)
        {
            lane.recording = lane.recording.saturating_add(1);
            self.holdings.record(&lane.tenant);
            self.recording = self.recording.saturating_add(1);
        }
        let (dispatcher, note, now) = (Arc::clone(&self.dispatcher), then.disable.clone(), self.now());
        // The sink is called in there, too: should it panic, that is one event that was not recorded.
        let task = self.tasks.spawn(async move {
            let is_recorded = async |event: Option<Result<Event, EventError>>| {
                let Some(Ok(event)) = event else { return false };
                let recording = timeout(DispatchLimits::RECORD_TIMEOUT, dispatcher.sink.record(event));
                matches!(recording.await, Ok(Ok(_)))
            };
            let settlement = is_recorded(events.settlement).await;
            let disable = match note {
                Some(note) if dispatcher.works(&note, now).await => Disabling::Works,
                _ if is_recorded(events.disable).await => Disabling::Recorded,
                _ => Disabling::Unrecorded,
            };
            Done::Recorded(Recorded { settlement, disable })
        });
        self.flights.insert(task.id(), Flight::Recording(then));
    }

    /// Both go into the same round, the verdict in front of the lesson, which makes a new revision.
    fn recorded(&mut self, then: Then, recorded: Recorded) {
        let later = self.now().saturating_add(UNRECORDED_PAUSE);
        if let Some(mut settlement) = then.settlement {
            if let Some(lane) = self.lanes.get(&then.endpoint) {
                lane.recording = lane.recording.saturating_sub(1);
                self.holdings.recorded(&lane.tenant);
                self.recording = self.recording.saturating_sub(1);
            }
            if let (Verdict::Dead { code, status }, false) = (settlement.verdict, recorded.settlement) {
                settlement.verdict = Verdict::Retry { at: later, code, status };
            }
            self.settle(settlement);
        }
        let Some(note) = then.disable else { return };
        if let Some(lane) = self.lanes.get(&then.endpoint)
            && !matches!(recorded.disable, Disabling::Recorded)
        {
            lane.is_disabling = false;
            lane.failing_since = None;
        }
        match recorded.disable {
            Disabling::Recorded => self.note(&note.endpoint, note.revision, note.lesson),
            Disabling::Unrecorded => {
                self.note(&note.endpoint, note.revision, Lesson::Hold { until: later });
            }
            Disabling::Works => {}
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        self.round.settlements.push(settlement);
        self.round_since.get_or_insert_with(Instant::now);
    }

    fn note(&mut self, endpoint: &EndpointId, revision: i64, lesson: Lesson) {
        self.round.notes.push(EndpointNote { endpoint: endpoint.clone(), revision, lesson });
        self.round_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn release(&mut self, leased: Leased) {
        let Leased { token, revision, .. } = leased;
        self.settle(Settlement { token, revision, verdict: Verdict::Released });
    }

    fn pause(&mut self, endpoint: &EndpointId, since: Timestamp, until: Timestamp) {
        let Some(lane) = self.lanes.get(endpoint) else { return };
        let waiting = lane.pause(since, until);
        self.give_back(waiting);
    }

    fn give_back(&mut self, waiting: Vec<Leased>) {
        for leased in waiting {
            self.let_go(&leased);
            self.release(leased);
        }
    }

    pub(super) fn release_lines(&mut self) {
        let waiting = self.lanes.drain();
        self.give_back(waiting);
    }
}
