use std::num::NonZeroU32;
use std::time::Duration;

use compliance_core::clock::Timestamp;

/// When an endpoint is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerPolicy {
    /// So many failures in a row open the breaker. Default 5.
    pub failures: NonZeroU32,
    /// How long it stays open the first time; doubled each further time. Default 30 s.
    pub first_pause: Duration,
    /// The longest pause. Default 5 min, so that an endpoint that recovers is noticed within that.
    pub max_pause: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        const FAILURES: NonZeroU32 = NonZeroU32::MIN.saturating_add(4);
        Self {
            failures: FAILURES,
            first_pause: Duration::from_secs(30),
            max_pause: Duration::from_secs(5 * 60),
        }
    }
}

/// The circuit breaker of one endpoint: closed, open until a time, then half open for one probe.
///
/// ```
/// use compliance_core::clock::Timestamp;
/// use compliance_webhook::schedule::{Breaker, BreakerPolicy};
///
/// let policy = BreakerPolicy::default();
/// let now = Timestamp::UNIX_EPOCH;
/// let mut breaker = Breaker::default();
/// for _ in 0..4 {
///     assert_eq!(breaker.failed(now, &policy), None);
/// }
/// let until = breaker.failed(now, &policy).expect("the fifth failure opens it");
/// assert_eq!(breaker.allowance(now, 8), 0);
/// assert_eq!(breaker.allowance(until, 8), 1); // One probe.
/// breaker.succeeded();
/// assert_eq!(breaker.allowance(until, 8), 8);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    openings: u32,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    since: Timestamp,
    until: Timestamp,
}

impl Breaker {
    /// How many attempts may be under way at `now`, of the `limit` the endpoint has otherwise.
    #[must_use]
    pub fn allowance(&self, now: Timestamp, limit: usize) -> usize {
        match self.open {
            // A clock that went back behind the opening must not prolong the pause.
            Some(open) if now >= open.since && now < open.until => 0,
            Some(_) => limit.min(1),
            None => limit,
        }
    }

    /// Notes a delivery: the breaker closes.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Notes a failure, and says until when the breaker is open if this failure opened it.
    pub fn failed(&mut self, now: Timestamp, policy: &BreakerPolicy) -> Option<Timestamp> {
        self.failures = self.failures.saturating_add(1);
        let probe_failed = self.open.is_some_and(|open| now >= open.until || now < open.since);
        let opens = probe_failed || (self.open.is_none() && self.failures >= policy.failures.get());
        if !opens {
            return None;
        }
        let factor = 1_u32.checked_shl(self.openings).unwrap_or(u32::MAX);
        self.openings = self.openings.saturating_add(1);
        let until = now.saturating_add(policy.first_pause.saturating_mul(factor).min(policy.max_pause));
        self.open = Some(Open { since: now, until });
        Some(until)
    }
}
