//! What the store is asked for, and what becomes of what it gives.

use std::collections::HashMap;
use std::sync::Arc;

use compliance_core::event::{Event, EventError};

use super::judge::{damaged_endpoint_event, undisclosed_event};
use super::lane::More;
use super::run::{Begun, Done, READY_LIMIT, Run};
use super::telemetry;
use super::turns::Turns;
use crate::deliver::Deliver;
use crate::outbox::instruction::NOT_INSTRUCTED;
use crate::outbox::{
    Disclosure, Due, EndpointId, Leased, NewMessage, Outbox, Round, RoundResult, Verdict, Want,
};

impl<O, D> Run<O, D>
where
    O: Outbox + Clone + 'static,
    D: Deliver + 'static,
{
    pub(super) fn ready(&mut self, due: Due) {
        let Due { ready, damaged } = due;
        self.lanes.forget_idle();
        for number in damaged {
            self.report_to_sink(damaged_endpoint_event(number, self.now()));
        }
        if ready.len() >= READY_LIMIT {
            self.cursor = ready.last().map(|last| last.endpoint.clone());
        }
        for ready in ready {
            self.lanes.enter(&ready).more = More::Yes;
            self.want(&ready.endpoint);
        }
    }

    fn want(&mut self, endpoint: &EndpointId) {
        if let Some(lane) = self.lanes.get(endpoint)
            && !lane.is_wanting
        {
            lane.is_wanting = true;
            self.wanting.push(&lane.tenant, endpoint.clone());
        }
    }

    /// The next message of the same order can be claimed with the verdict on this one.
    pub(super) fn want_next(&mut self, leased: &Leased) {
        if leased.is_ordered
            && let Some(lane) = self.lanes.get(&leased.endpoint)
        {
            lane.more = More::Yes;
            self.want(&leased.endpoint);
        }
    }

    /// What there is room for, and whether any of it is known to be there. Tenants take turns, and none has more than
    /// its part of the room.
    pub(super) fn wants(&mut self) -> (Vec<Want>, bool) {
        let limits = self.dispatcher.limits;
        let now = self.now();
        let capacity = limits.in_flight.saturating_mul(2);
        let held = self.in_flight.saturating_add(self.queued).saturating_add(self.recording);
        let mut room = capacity.saturating_sub(held);
        let mut bytes = limits.held_bytes.saturating_sub(self.holdings.bytes());
        let tenants = self.wanting.tenants().max(self.holdings.tenants()).max(1);
        let part = capacity.div_ceil(tenants).min(limits.per_tenant.saturating_mul(2));
        let endpoints = self.wanting.len().max(1);
        let max_bytes = bytes.checked_div(endpoints).unwrap_or(0).max(NewMessage::MAX_PAYLOAD_LEN);
        let (mut wants, mut served, mut is_urgent) = (Vec::new(), Vec::new(), false);
        let mut asked: HashMap<_, usize> = HashMap::new();
        while room > 0 && bytes >= max_bytes {
            let Some(endpoint) = self.wanting.pop(|_| Turns::QUANTUM) else { break };
            let Some(lane) = self.lanes.get(&endpoint) else { continue };
            if lane.allowance(now, limits.per_endpoint) == 0 {
                lane.more = More::No;
            }
            if lane.more == More::No {
                lane.is_wanting = false;
                continue;
            }
            let asked = asked.entry(lane.tenant.clone()).or_insert_with(|| self.holdings.held(&lane.tenant));
            let of_lane = lane.room(now, limits.per_endpoint);
            let limit = of_lane.map_or(0, |it| it.free.get()).min(room).min(part.saturating_sub(*asked));
            if limit > 0 {
                is_urgent |= lane.more == More::Yes && of_lane.is_some_and(|it| it.is_worth_a_call);
                *asked = asked.saturating_add(limit);
                room = room.saturating_sub(limit);
                bytes = bytes.saturating_sub(max_bytes);
                wants.push(Want { endpoint: endpoint.clone(), limit, max_bytes });
            }
            served.push((lane.tenant.clone(), endpoint));
        }
        // Behind those that had no turn.
        for (tenant, endpoint) in served {
            self.wanting.push(&tenant, endpoint);
        }
        (wants, is_urgent)
    }

    pub(super) fn rounded(&mut self, round: &Round, begun: Begun, result: RoundResult, is_stopping: bool) {
        self.report.rounds = self.report.rounds.saturating_add(1);
        self.count(round, &result);
        if result.is_lost {
            // Others have these messages now.
            self.is_lost = true;
            for leased in self.lanes.drain() {
                self.let_go(&leased);
            }
            return;
        }
        if let Some(worker) = self.worker {
            self.beaten(worker, begun);
        }
        let limit = self.dispatcher.limits.per_endpoint;
        let mut dry = Vec::new();
        for want in &round.wants {
            dry.push(self.lanes.get(&want.endpoint).is_some_and(|lane| lane.is_dry(limit)));
        }
        // How many messages, and how many bytes.
        let mut given: HashMap<EndpointId, (usize, usize)> = HashMap::new();
        let mut give = |endpoint: &EndpointId, len: usize| {
            if let Some((count, bytes)) = given.get_mut(endpoint) {
                (*count, *bytes) = (count.saturating_add(1), bytes.saturating_add(len));
            } else {
                given.insert(endpoint.clone(), (1, len));
            }
        };
        for leased in result.leased {
            give(&leased.endpoint, leased.payload.len());
            self.line_up(leased, is_stopping);
        }
        for damaged in result.damaged {
            give(&damaged.endpoint, 0);
            self.damaged(damaged);
        }
        for (want, was_dry) in round.wants.iter().zip(dry) {
            let Some(lane) = self.lanes.get(&want.endpoint) else { continue };
            if lane.more != More::No {
                lane.more = match given.get(&want.endpoint) {
                    None => More::No,
                    Some((count, bytes)) => {
                        let may_be_cut = bytes.saturating_add(NewMessage::MAX_PAYLOAD_LEN) > want.max_bytes;
                        if *count < want.limit && !may_be_cut { More::Maybe } else { More::Yes }
                    }
                };
                // One whose messages are given up does not take them faster.
                if was_dry && lane.more == More::Yes && lane.recording == 0 {
                    lane.look_ahead();
                }
            }
        }
    }

    pub(super) fn count(&mut self, round: &Round, result: &RoundResult) {
        let fenced = result.fenced.len() as u64;
        let (mut delivered, mut dead) = (0_u64, 0_u64);
        for settlement in &round.settlements {
            if fenced > 0 && result.fenced.contains(&settlement.token) {
                continue;
            }
            match settlement.verdict {
                Verdict::Delivered { .. } => delivered = delivered.saturating_add(1),
                Verdict::Dead { .. } => dead = dead.saturating_add(1),
                Verdict::Released | Verdict::Retry { .. } => {}
            }
        }
        let report = &mut self.report;
        report.delivered = report.delivered.saturating_add(delivered);
        report.dead = report.dead.saturating_add(dead);
        report.fenced = report.fenced.saturating_add(fenced);
        telemetry::settled(delivered, dead, fenced);
        telemetry::holds(self.in_flight, self.holdings.bytes());
    }

    fn line_up(&mut self, leased: Leased, is_stopping: bool) {
        let (now, limit) = (self.now(), self.dispatcher.limits.per_endpoint);
        let Some(lane) = self.lanes.get(&leased.endpoint) else { return self.release(leased) };
        if leased.revision > lane.revision {
            // Opened before the endpoint was changed, or its key.
            lane.renew(leased.revision);
        }
        if is_stopping || lane.allowance(now, limit) == 0 {
            return self.release(leased);
        }
        let mut undisclosed = None;
        match leased.disclosure {
            Disclosure::Free | Disclosure::Instructed => {}
            Disclosure::Refused => return self.withhold(&leased, leased.revision, NOT_INSTRUCTED),
            Disclosure::ReportOnly { classes } => {
                // Nobody waits for the record: whatever becomes of it, the message leaves.
                undisclosed = Some(undisclosed_event(&lane.tenant, &leased, classes, now));
                telemetry::reported(&leased, NOT_INSTRUCTED);
                self.report.reported = self.report.reported.saturating_add(1);
            }
        }
        if !lane.is_in_turn {
            lane.is_in_turn = true;
            self.turn.push(&lane.tenant, leased.endpoint.clone());
        }
        self.holdings.take(&lane.tenant, &leased);
        lane.queue.push_back(leased);
        self.queued = self.queued.saturating_add(1);
        if let Some(event) = undisclosed {
            self.report_to_sink(event);
        }
    }

    /// Has the sink record what happens all the same. A task of its own: the sink may panic.
    fn report_to_sink(&mut self, event: Result<Event, EventError>) {
        let Ok(event) = event else { return };
        let dispatcher = Arc::clone(&self.dispatcher);
        self.tasks.spawn(async move {
            drop(dispatcher.sink.record(event));
            Done::Dismissed
        });
    }

    /// A message that stood in line does not any more.
    pub(super) fn let_go(&mut self, leased: &Leased) {
        self.queued = self.queued.saturating_sub(1);
        if let Some(lane) = self.lanes.get(&leased.endpoint) {
            self.holdings.give_up(&lane.tenant, leased);
        }
    }
}
