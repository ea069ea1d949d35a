//! The line of messages in front of one endpoint.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::id::TenantId;
use tokio::time::Instant;

use crate::deliver::Pace;
use crate::outbox::book::OpenEndpoint;
use crate::outbox::{Disclosure, EndpointId, LeaseToken, Leased, Ready};
use crate::schedule::{Breaker, Rate, RateLimit};

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) tenant: TenantId,
    pub(super) revision: i64,
    pub(super) door: Door,
    /// Whether the endpoint is being looked at.
    pub(super) is_looking: bool,
    pub(super) queue: VecDeque<Leased>,
    pub(super) in_flight: usize,
    /// Messages to be given up once that is recorded.
    pub(super) recording: usize,
    /// Whether the last attempt was delivered.
    pub(super) is_welcome: bool,
    /// Whether it has had to wait because of its host's failures since.
    pub(super) is_held_back: bool,
    pub(super) is_in_turn: bool,
    pub(super) is_wanting: bool,
    pub(super) is_disabling: bool,
    pub(super) more: More,
    pub(super) breaker: Breaker,
    pub(super) failing_since: Option<Timestamp>,
    rate: Option<RateLimit>,
    /// By the endpoint's owner, or for all endpoints.
    set: Option<Rate>,
    /// By whoever receives.
    granted: Option<Rate>,
    pause: Option<Pause>,
    /// How many messages are held ready, in multiples of what may be under way.
    ahead: usize,
}

/// Whether the endpoint can be dialled yet.
#[derive(Debug)]
pub(super) enum Door {
    Closed,
    /// As it was then.
    Open(Arc<OpenEndpoint>, Instant),
}

/// Whether the store has more messages for the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    No,
    /// Worth asking when the store is called anyway.
    Maybe,
    Yes,
}

/// What a line has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) free: NonZeroUsize,
    pub(super) is_worth_a_call: bool,
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
            is_looking: false,
            queue: VecDeque::new(),
            in_flight: 0,
            recording: 0,
            is_welcome: false,
            is_held_back: false,
            is_in_turn: false,
            is_wanting: false,
            is_disabling: false,
            more: More::No,
            breaker: Breaker::default(),
            failing_since: None,
            rate: None,
            set: None,
            granted: None,
            pause: None,
            ahead: 1,
        }
    }

    /// Takes note of the endpoint's revision.
    pub(super) fn renew(&mut self, revision: i64) {
        if self.revision == revision {
            return;
        }
        // What was known of the endpoint was known of another URL or another key.
        self.revision = revision;
        self.pause = None;
        self.breaker = Breaker::default();
        self.failing_since = None;
        self.is_welcome = false;
        self.is_held_back = false;
        self.is_disabling = false;
        self.door = Door::Closed;
    }

    /// Keeps to this rate from now on, and to what the endpoint grants.
    pub(super) fn keep_to(&mut self, set: Option<Rate>) {
        self.set = set;
        self.keep_to_both();
    }

    /// Takes note of what the endpoint grants. `false` when it has to be asked, and an attempt is on its way to do so.
    pub(super) fn may_start(&mut self, pace: Pace) -> bool {
        let granted = match pace {
            Pace::AtMost(rate) => Some(rate),
            Pace::Free => None,
            // What it said the last time still counts.
            Pace::Unasked => return self.in_flight == 0,
        };
        if self.granted != granted {
            self.granted = granted;
            self.keep_to_both();
        }
        true
    }

    fn keep_to_both(&mut self) {
        let rate = self.set.into_iter().chain(self.granted).min();
        if self.rate.as_ref().map(RateLimit::rate) != rate {
            self.rate = rate.map(RateLimit::new);
        }
    }

    /// Takes an attempt at `now`, or says how long to wait for one.
    pub(super) fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.rate.as_mut().map_or(Ok(()), |rate| rate.take(now))
    }

    /// The endpoint, unless what is known of it is too old: it may have been switched off, or its key rotated, or its
    /// client's instruction taken back.
    pub(super) fn fresh(&self, now: Instant) -> Option<&Arc<OpenEndpoint>> {
        match &self.door {
            Door::Open(open, since) if now.saturating_duration_since(*since) < Self::FRESH => Some(open),
            _ => None,
        }
    }

    /// How long what is known of an endpoint counts.
    const FRESH: Duration = Duration::from_secs(1);
    /// From when on it is looked at again.
    const STALE: Duration = Duration::from_millis(500);

    /// Has the endpoint looked at when nothing is known of it or soon too little, and gives what is known of it.
    pub(super) fn look(&mut self, now: Instant) -> Option<Option<Arc<OpenEndpoint>>> {
        let known = match &self.door {
            // In time, so that nothing has to wait for the look.
            Door::Open(_, since) if now.saturating_duration_since(*since) < Self::STALE => return None,
            Door::Open(open, _) => Some(Arc::clone(open)),
            Door::Closed => None,
        };
        if std::mem::replace(&mut self.is_looking, true) { None } else { Some(known) }
    }

    /// Takes out what is next and was claimed under an instruction that is not the one of this revision.
    pub(super) fn outdated(&mut self, revision: i64) -> Vec<Leased> {
        let mut outdated = Vec::new();
        while let Some(leased) = self
            .queue
            .pop_front_if(|leased| leased.disclosure == Disclosure::Instructed && leased.revision != revision)
        {
            outdated.push(leased);
        }
        outdated
    }

    /// Keeps one message in line while the host's failures have it wait; the others are better with somebody else, or in
    /// the store.
    pub(super) fn hold_back(&mut self) -> Vec<Leased> {
        self.is_held_back = true;
        self.queue.split_off(self.queue.len().min(1)).into()
    }

    /// Takes note of how the last attempt ended.
    pub(super) fn landed(&mut self, is_delivered: bool) {
        self.is_welcome = is_delivered;
        self.is_held_back &= !is_delivered;
    }

    /// What the next attempt counts for.
    pub(super) fn cost(&self) -> usize {
        /// An empty message is work, too.
        const ATTEMPT: usize = 1024;
        self.queue.front().map_or(0, |leased| leased.payload.len().saturating_add(ATTEMPT))
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
        let earlier = self.pause.filter(|pause| pause.since <= since).map(|pause| pause.until);
        let until = earlier.map_or(until, |earlier| earlier.max(until));
        self.pause = Some(Pause { since, until });
        self.more = More::No;
        self.ahead = 1;
        self.queue.drain(..).collect()
    }

    /// Whether the endpoint takes messages faster than the store is asked for them.
    pub(super) fn is_dry(&self, limit: usize) -> bool {
        let held = self.in_flight.saturating_add(self.recording);
        self.queue.is_empty() && held.saturating_mul(2) < limit
    }

    /// Holds more ready from now on.
    pub(super) fn look_ahead(&mut self) {
        self.ahead = self.ahead.saturating_mul(4).min(Self::MAX_AHEAD);
    }

    /// An endpoint that takes 32 messages in the time of one commit of 2 ms takes 512 in the slowest commit to be
    /// expected.
    const MAX_AHEAD: usize = 16;

    /// Messages for so long are claimed for an endpoint with a rate.
    const RATE_AHEAD: Duration = Duration::from_secs(2);

    /// How many messages the line has room for: what may be under way and what is held ready. Half of it is worth a call
    /// to the store, a sixteenth worth a place in one that is made anyway.
    pub(super) fn room(&self, now: Timestamp, limit: usize) -> Option<Room> {
        let allowance = self.allowance(now, limit);
        // An endpoint that is being probed is not one to hold messages for.
        let ahead = if allowance < limit { 1 } else { self.ahead };
        let mut window = allowance.saturating_mul(ahead.saturating_add(1));
        if let Some(rate) = &self.rate {
            // What is held back here, another dispatcher could send.
            window = window.min(rate.within(Self::RATE_AHEAD));
        }
        if self.is_held_back {
            window = window.min(1);
        }
        let held = self.in_flight.saturating_add(self.queue.len()).saturating_add(self.recording);
        let free = NonZeroUsize::new(window.saturating_sub(held))?;
        let is_at_least = |part: usize| held == 0 || free.get() >= window.div_ceil(part);
        is_at_least(16).then_some(Room { free, is_worth_a_call: is_at_least(2) })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.in_flight == 0
            && self.recording == 0
            && self.more == More::No
            && !self.is_looking
    }
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
        lane.renew(ready.revision);
        lane
    }

    pub(super) fn forget_idle(&mut self) {
        if self.0.len() >= Self::MAX_IDLE {
            self.0.retain(|_, lane| !lane.is_idle());
        }
    }

    /// What is in line.
    pub(super) fn held(&self) -> Vec<LeaseToken> {
        self.0.values().flat_map(|lane| lane.queue.iter().map(|leased| leased.token)).collect()
    }

    /// Empties every line.
    pub(super) fn drain(&mut self) -> Vec<Leased> {
        self.0.values_mut().flat_map(|lane| lane.queue.drain(..)).collect()
    }
}
