//! The line of messages in front of one endpoint.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use compliance_core::clock::Timestamp;
use compliance_core::id::TenantId;

use crate::outbox::book::OpenEndpoint;
use crate::outbox::{EndpointId, Leased, Ready};
use crate::schedule::Breaker;

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) tenant: TenantId,
    pub(super) revision: i64,
    pub(super) door: Door,
    pub(super) queue: VecDeque<Leased>,
    pub(super) in_flight: usize,
    pub(super) is_in_turn: bool,
    pub(super) is_wanting: bool,
    pub(super) is_disabling: bool,
    pub(super) more: More,
    pub(super) breaker: Breaker,
    pub(super) failing_since: Option<Timestamp>,
    pause: Option<Pause>,
}

/// Whether the endpoint can be dialled yet.
#[derive(Debug)]
pub(super) enum Door {
    Closed,
    Opening,
    Open(Arc<OpenEndpoint>),
}

/// Whether the store has more messages for the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    No,
    /// Worth asking when the store is called anyway.
    Maybe,
    Yes,
}

#[derive(Clone, Copy, Debug)]
struct Pause {
    since: Timestamp,
    until: Timestamp,
}

impl Lane {
    pub(super) fn new(ready: &Ready) -> Self {
        Self {
            tenant: ready.tenant.clone(),
            revision: ready.revision,
            door: Door::Closed,
            queue: VecDeque::new(),
            in_flight: 0,
            is_in_turn: false,
            is_wanting: false,
            is_disabling: false,
            more: More::No,
            breaker: Breaker::default(),
            failing_since: None,
            pause: None,
        }
    }

    /// How many attempts may be under way now.
    pub(super) fn allowance(&self, now: Timestamp, limit: usize) -> usize {
        // As for the breaker: a clock that went back must not prolong a pause.
        if self.pause.is_some_and(|pause| now >= pause.since && now < pause.until) {
            return 0;
        }
        self.breaker.allowance(now, limit)
    }

    /// Leaves the endpoint alone for a while, and gives up what waits in line for it.
    pub(super) fn pause(&mut self, since: Timestamp, until: Timestamp) -> Vec<Leased> {
        let until = self.pause.map_or(until, |pause| pause.until.max(until));
        self.pause = Some(Pause { since, until });
        self.more = More::No;
        self.queue.drain(..).collect()
    }

    /// How many messages the line has room for: twice what may be under way, asked for in quarters.
    pub(super) fn room(&self, now: Timestamp, limit: usize) -> usize {
        let window = self.allowance(now, limit).saturating_mul(2);
        let held = self.in_flight.saturating_add(self.queue.len());
        let free = window.saturating_sub(held);
        if held == 0 || free >= window.div_ceil(4) { free } else { 0 }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.in_flight == 0
            && self.more == More::No
            && !matches!(self.door, Door::Opening)
    }
}

/// Lets tenants take turns: the first endpoint of each, then the second of each, and so on, starting with
/// another tenant each time.
pub(super) fn interleave(ready: Vec<Ready>, start: usize) -> Vec<Ready> {
    let mut order: Vec<TenantId> = Vec::new();
    let mut by_tenant: HashMap<TenantId, VecDeque<Ready>> = HashMap::new();
    for ready in ready {
        let line = by_tenant.entry(ready.tenant.clone()).or_insert_with(|| {
            order.push(ready.tenant.clone());
            VecDeque::new()
        });
        line.push_back(ready);
    }
    let first = start.checked_rem(order.len()).unwrap_or(0);
    order.rotate_left(first);
    let mut result = Vec::new();
    while !by_tenant.is_empty() {
        for tenant in &order {
            let Some(line) = by_tenant.get_mut(tenant) else { continue };
            result.extend(line.pop_front());
            if line.is_empty() {
                by_tenant.remove(tenant);
            }
        }
    }
    result
}

/// The lines, with those idle for long forgotten when there are too many.
#[derive(Debug, Default)]
pub(super) struct Lanes(HashMap<EndpointId, Lane>);

impl Lanes {
    const MAX_IDLE: usize = 4096;

    pub(super) fn get(&mut self, id: &EndpointId) -> Option<&mut Lane> {
        self.0.get_mut(id)
    }

    pub(super) fn enter(&mut self, ready: &Ready) -> &mut Lane {
        let lane = self.0.entry(ready.endpoint.clone()).or_insert_with(|| Lane::new(ready));
        if lane.revision != ready.revision {
            // What was known of the endpoint was known of another URL or another key.
            lane.revision = ready.revision;
            lane.pause = None;
            lane.breaker = Breaker::default();
            lane.failing_since = None;
            lane.is_disabling = false;
            if !matches!(lane.door, Door::Opening) {
                lane.door = Door::Closed;
            }
        }
        lane
    }

    pub(super) fn forget_idle(&mut self) {
        if self.0.len() >= Self::MAX_IDLE {
            self.0.retain(|_, lane| !lane.is_idle());
        }
    }

    /// Empties every line.
    pub(super) fn drain(&mut self) -> Vec<Leased> {
        self.0.values_mut().flat_map(|lane| lane.queue.drain(..)).collect()
    }
}
