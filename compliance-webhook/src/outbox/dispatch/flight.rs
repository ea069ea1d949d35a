//! Attempts: started, landed, and what follows for message and endpoint.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::event::{Event, EventError};
use compliance_core::reason_code;
use tokio::task::{self, JoinError};
use tokio::time::{Instant, timeout};

use super::judge::{Ended, dead_event, disabled_event};
use super::lane::Door;
use super::run::{Done, Flight, Run, Then};
use crate::deliver::{Attempt, Deliver};
use crate::outbox::book::OpenEndpoint;
use crate::outbox::{
    EndpointBookError, EndpointId, EndpointNote, EndpointRecord, Leased, Lesson, Outbox, OutboxError,
    OutboxErrorKind, Settlement, Verdict,
};

/// How long an endpoint waits when store, key store or sink were away.
const TROUBLE_PAUSE: Duration = Duration::from_secs(5);
/// How long a verdict waits when the sink did not record it.
const UNRECORDED_PAUSE: Duration = Duration::from_secs(60);

impl<O, D> Run<O, D>
where
    O: Outbox + Clone + 'static,
    D: Deliver + 'static,
{
    pub(super) fn start_attempts(&mut self) {
        let now = self.now();
        if self.is_lost || now >= self.leased_until {
            return;
        }
        let limits = self.dispatcher.limits;
        while self.in_flight < limits.in_flight {
            let Some(endpoint) = self.turn.pop_front() else { break };
            let Some(lane) = self.lanes.get(&endpoint) else { continue };
            lane.is_in_turn = false;
            let allowance = lane.allowance(now, limits.per_endpoint);
            if allowance == 0 {
                let waiting = lane.queue.drain(..).collect();
                self.give_back(waiting);
                continue;
            }
            if lane.in_flight >= allowance {
                // Comes back when an attempt ends.
                continue;
            }
            let open = match &lane.door {
                Door::Open(open) => Arc::clone(open),
                Door::Opening => continue,
                Door::Closed => {
                    if !lane.queue.is_empty() {
                        lane.door = Door::Opening;
                        self.open(endpoint);
                    }
                    continue;
                }
            };
            let Some(leased) = lane.queue.pop_front() else { continue };
            lane.in_flight = lane.in_flight.saturating_add(1);
            if !lane.queue.is_empty() {
                lane.is_in_turn = true;
                self.turn.push_back(endpoint);
            }
            self.queued = self.queued.saturating_sub(1);
            self.in_flight = self.in_flight.saturating_add(1);
            self.report.attempts = self.report.attempts.saturating_add(1);
            let leased = Arc::new(leased);
            let (deliver, message) = (Arc::clone(&self.dispatcher.deliver), Arc::clone(&leased));
            let task = self.tasks.spawn(async move {
                let attempt = Attempt::new(&open.endpoint, &message.id, &message.payload, &open.signer)
                    .with_content_type(&message.content_type);
                match timeout(limits.attempt_timeout, deliver.deliver(attempt)).await {
                    Ok(outcome) => Done::Attempted(Ended::Outcome(outcome)),
                    Err(_) => Done::Attempted(Ended::TimedOut),
                }
            });
            self.flights.insert(task.id(), Flight::Attempt(leased));
        }
    }

    fn open(&mut self, endpoint: EndpointId) {
        let (dispatcher, id) = (Arc::clone(&self.dispatcher), endpoint.clone());
        let task = self.tasks.spawn(async move {
            let record = match dispatcher.outbox.endpoint(&id).await {
                Ok(Some(record)) => record,
                Ok(None) => {
                    return Done::Opened(Err(OutboxError::from(OutboxErrorKind::EndpointUnknown).into()));
                }
                Err(error) => return Done::Opened(Err(error.into())),
            };
            let opened = dispatcher.book.open(&record).await;
            Done::Opened(opened.map(|open| (open, record)))
        });
        self.flights.insert(task.id(), Flight::Opening(endpoint));
    }

    pub(super) fn landed(&mut self, landed: Result<(task::Id, Done), JoinError>) {
        let (id, done) = match landed {
            Ok((id, done)) => (id, Some(done)),
            Err(error) => (error.id(), None),
        };
        match (self.flights.remove(&id), done) {
            (Some(Flight::Attempt(leased)), done) => {
                let ended = match done {
                    Some(Done::Attempted(ended)) => ended,
                    _ => Ended::Panicked,
                };
                self.in_flight = self.in_flight.saturating_sub(1);
                if let Some(lane) = self.lanes.get(&leased.endpoint) {
                    lane.in_flight = lane.in_flight.saturating_sub(1);
                }
                self.attempted(&leased, &ended);
                self.queue_turn(&leased.endpoint);
            }
            (Some(Flight::Opening(endpoint)), Some(Done::Opened(opened))) => self.opened(&endpoint, opened),
            (Some(Flight::Opening(endpoint)), _) => {
                self.opened(&endpoint, Err(OutboxError::from(OutboxErrorKind::Busy).into()));
            }
            (Some(Flight::Recording(then)), done) => {
                self.recorded(then, matches!(done, Some(Done::Recorded(true))));
            }
            (None, _) => {}
        }
    }

    fn queue_turn(&mut self, endpoint: &EndpointId) {
        if let Some(lane) = self.lanes.get(endpoint)
            && !lane.is_in_turn
            && !lane.queue.is_empty()
        {
            lane.is_in_turn = true;
            self.turn.push_back(endpoint.clone());
        }
    }

    fn opened(
        &mut self,
        endpoint: &EndpointId,
        opened: Result<(OpenEndpoint, EndpointRecord), EndpointBookError>,
    ) {
        let now = self.now();
        let Some(lane) = self.lanes.get(endpoint) else { return };
        match opened {
            Ok((open, record)) => {
                lane.failing_since = record.failing_since();
                lane.revision = record.revision();
                lane.door = Door::Open(Arc::new(open));
                self.queue_turn(endpoint);
            }
            Err(error) => {
                lane.door = Door::Closed;
                if error.is_transient() {
                    return self.pause(endpoint, now, now.saturating_add(TROUBLE_PAUSE));
                }
                let waiting: Vec<Leased> = lane.queue.drain(..).collect();
                self.queued = self.queued.saturating_sub(waiting.len());
                for leased in waiting {
                    self.attempted(&leased, &Ended::Refused(error.reason_code()));
                }
            }
        }
    }

    /// Draws the conclusions from an attempt.
    fn attempted(&mut self, leased: &Leased, ended: &Ended) {
        let now = self.now();
        let dispatcher = Arc::clone(&self.dispatcher);
        let judgement = dispatcher.judge(leased, ended, now);
        let Some(lane) = self.lanes.get(&leased.endpoint) else { return };
        let tenant = lane.tenant.clone();
        if let Verdict::Delivered { .. } = judgement.verdict {
            lane.breaker.succeeded();
            if lane.failing_since.take().is_some() {
                self.note(&leased.endpoint, Lesson::Working);
            }
            return self.settle(Settlement { token: leased.token, verdict: judgement.verdict });
        }
        self.report.failed = self.report.failed.saturating_add(1);
        let opened_until = lane.breaker.failed(now, &dispatcher.breaker);
        let since = lane.failing_since;
        lane.failing_since.get_or_insert(now);
        if since.is_none() {
            self.note(&leased.endpoint, Lesson::Failing { since: now });
        }
        let asked_until = judgement.pause.map(|pause| now.saturating_add(pause));
        if let Some(until) = opened_until.into_iter().chain(asked_until).max() {
            self.note(&leased.endpoint, Lesson::Hold { until });
            self.pause(&leased.endpoint, now, until);
        }
        let has_failed_too_long = dispatcher
            .limits
            .disable_after
            .is_some_and(|limit| since.is_some_and(|since| now.saturating_since(since) >= limit));
        let must_disable = judgement.is_gone || has_failed_too_long;
        if must_disable && self.lanes.get(&leased.endpoint).is_some_and(|lane| !lane.is_disabling) {
            let code =
                if judgement.is_gone { ended.code() } else { reason_code!("dispatch.failing_for_too_long") };
            let event = disabled_event(&tenant, &leased.endpoint, code, now);
            let disable =
                EndpointNote { endpoint: leased.endpoint.clone(), lesson: Lesson::Disable { code } };
            if let Some(lane) = self.lanes.get(&leased.endpoint) {
                lane.is_disabling = true;
            }
            self.record(event, Then { settlement: None, disable: Some(disable) });
            // Nothing more goes out while that is being written down.
            self.pause(&leased.endpoint, now, now.saturating_add(TROUBLE_PAUSE));
        }
        let settlement = Settlement { token: leased.token, verdict: judgement.verdict };
        if let Verdict::Dead { code, status } = judgement.verdict {
            let event = dead_event(&tenant, leased, code, status, now);
            self.record(event, Then { settlement: Some(settlement), disable: None });
        } else {
            self.settle(settlement);
        }
    }

    fn record(&mut self, event: Result<Event, EventError>, then: Then) {
        let recording = event.map(|event| self.dispatcher.sink.record(event));
        let task = self.tasks.spawn(async move {
            match recording {
                Ok(recording) => Done::Recorded(recording.await.is_ok()),
                Err(_) => Done::Recorded(false),
            }
        });
        self.flights.insert(task.id(), Flight::Recording(then));
    }

    fn recorded(&mut self, then: Then, is_recorded: bool) {
        let later = self.now().saturating_add(UNRECORDED_PAUSE);
        if let Some(mut note) = then.disable {
            if !is_recorded {
                note.lesson = Lesson::Hold { until: later };
                if let Some(lane) = self.lanes.get(&note.endpoint) {
                    lane.is_disabling = false;
                }
            }
            self.note(&note.endpoint, note.lesson);
        }
        if let Some(mut settlement) = then.settlement {
            if let (Verdict::Dead { code, status }, false) = (settlement.verdict, is_recorded) {
                settlement.verdict = Verdict::Retry { at: later, code, status };
            }
            self.settle(settlement);
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        self.round.settlements.push(settlement);
        self.round_since.get_or_insert_with(Instant::now);
    }

    fn note(&mut self, endpoint: &EndpointId, lesson: Lesson) {
        self.round.notes.push(EndpointNote { endpoint: endpoint.clone(), lesson });
        self.round_since.get_or_insert_with(Instant::now);
    }

    pub(super) fn release(&mut self, leased: Leased) {
        self.settle(Settlement { token: leased.token, verdict: Verdict::Released });
    }

    fn pause(&mut self, endpoint: &EndpointId, since: Timestamp, until: Timestamp) {
        let Some(lane) = self.lanes.get(endpoint) else { return };
        let waiting = lane.pause(since, until);
        self.give_back(waiting);
    }

    fn give_back(&mut self, waiting: Vec<Leased>) {
        self.queued = self.queued.saturating_sub(waiting.len());
        waiting.into_iter().for_each(|leased| self.release(leased));
    }

    pub(super) fn release_lines(&mut self) {
        let waiting = self.lanes.drain();
        self.give_back(waiting);
    }
}
