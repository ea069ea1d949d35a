//! When to try again, and when to stop: the retry schedule, `Retry-After`, what a status means, the breaker.
//!
//! Nothing here reads a clock or sleeps. The dispatcher asks, the answers are durations and decisions:
//!
//! 1. [`StatusPolicy`] says what a response status means for the message and for its endpoint.
//! 2. [`RetrySchedule`] says how long to wait before the next attempt, or that there is none left.
//! 3. [`RetryAfter`] is what the receiver asked for, parsed without trust.
//! 4. [`Breaker`] says when an endpoint that fails again and again is left alone.
//! 5. [`RateLimit`] spreads an endpoint's attempts over time; [`HostLimit`] caps what one host gets.

mod breaker;
mod host;
mod http_date;
mod rate;
mod retry_after;
mod status;

use std::time::Duration;

use compliance_core::random::{RandomError, SecureRandom};

pub use self::breaker::{Breaker, BreakerPolicy};
pub use self::host::{HostLimit, HostSlot};
pub use self::rate::{Rate, RateLimit};
pub use self::retry_after::{RetryAfter, RetryAfterError};
pub use self::status::{StatusAction, StatusPolicy, StatusRule};

/// The wait before each attempt as Standard Webhooks recommends it ("Deliverability and reliability"): at
/// once, then 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h. Ten attempts in 75 h 35 min 5 s,
/// before jitter.
pub const STANDARD_DELAYS: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * MINUTE),
    Duration::from_secs(30 * MINUTE),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(20 * HOUR),
    Duration::from_secs(24 * HOUR),
];

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// How a planned delay is spread, so that the messages of one outage do not come back as one wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Jitter {
    /// Evenly between nothing and the planned delay: the best spread (AWS Builders' Library, "Timeouts,
    /// retries and backoff with jitter"). The default. On average the schedule takes half its nominal time.
    #[default]
    Full,
    /// Exactly the planned delay: for tests and replays.
    None,
}

/// How long to wait before the next attempt.
///
/// ```
/// use std::time::Duration;
/// use compliance_core::testing::DeterministicRandom;
/// use compliance_webhook::schedule::{RetryAfter, RetrySchedule};
///
/// let schedule = RetrySchedule::standard();
/// let random = DeterministicRandom::new(1);
///
/// let wait = schedule.delay_after(3, None, &random)?.expect("attempts are left");
/// assert!(wait <= Duration::from_secs(30 * 60));
/// assert_eq!(schedule.delay_after(10, None, &random)?, None); // Ten attempts, then the dead letters.
///
/// // What the receiver asks for is observed, up to a limit.
/// let asked = RetryAfter::parse(b"3600", "2026-11-21T12:00:00Z".parse()?)?;
/// assert!(schedule.delay_after(1, Some(asked), &random)?.expect("attempts are left") >= Duration::from_secs(3600));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySchedule {
    delays: Box<[Duration]>,
    jitter: Jitter,
    max_retry_after: Duration,
}

impl RetrySchedule {
    /// The most attempts a schedule may have.
    pub const MAX_ATTEMPTS: usize = 64;
    /// The longest single delay.
    pub const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * HOUR);
    /// The longest `Retry-After` observed unless said otherwise: 24 hours, the longest step of the standard
    /// schedule.
    pub const DEFAULT_MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * HOUR);

    /// [`STANDARD_DELAYS`] with full jitter.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            delays: STANDARD_DELAYS.into(),
            jitter: Jitter::Full,
            max_retry_after: Self::DEFAULT_MAX_RETRY_AFTER,
        }
    }

    /// A schedule of one's own: `delays[n]` is the wait before attempt `n + 1`. The first is not waited for
    /// when a message is enqueued; it stands there so that the list reads like the standard's.
    ///
    /// # Errors
    /// [`ScheduleError`] when there is no delay, more than [`MAX_ATTEMPTS`](Self::MAX_ATTEMPTS), or one longer
    /// than [`MAX_DELAY`](Self::MAX_DELAY).
    pub fn new(delays: &[Duration]) -> Result<Self, ScheduleError> {
        if delays.is_empty() || delays.len() > Self::MAX_ATTEMPTS {
            return Err(ScheduleError::Attempts { found: delays.len() });
        }
        if let Some(at) = delays.iter().position(|delay| *delay > Self::MAX_DELAY) {
            return Err(ScheduleError::Delay { at });
        }
        Ok(Self { delays: delays.into(), ..Self::standard() })
    }

    /// Spreads the delays differently.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Observes a `Retry-After` up to `max`, itself at most [`MAX_DELAY`](Self::MAX_DELAY).
    #[must_use]
    pub fn with_max_retry_after(mut self, max: Duration) -> Self {
        self.max_retry_after = max.min(Self::MAX_DELAY);
        self
    }

    /// How many attempts a message gets.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        u32::try_from(self.delays.len()).unwrap_or(u32::MAX)
    }

    /// The wait after `attempts` failed ones, or `None` when none is left. Never shorter than what the
    /// receiver asked for, up to the schedule's limit for that.
    ///
    /// # Errors
    /// [`RandomError`] when the random source fails.
    pub fn delay_after(
        &self,
        attempts: u32,
        asked: Option<RetryAfter>,
        random: &dyn SecureRandom,
    ) -> Result<Option<Duration>, RandomError> {
        let Some(planned) = usize::try_from(attempts).ok().and_then(|at| self.delays.get(at)) else {
            return Ok(None);
        };
        let spread = match self.jitter {
            Jitter::Full => evenly_below(*planned, random)?,
            Jitter::None => *planned,
        };
        Ok(Some(asked.map_or(spread, |asked| spread.max(self.observed(asked)))))
    }

    /// How much of a `Retry-After` is observed.
    #[must_use]
    pub fn observed(&self, asked: RetryAfter) -> Duration {
        asked.delay().min(self.max_retry_after)
    }
}

impl Default for RetrySchedule {
    fn default() -> Self {
        Self::standard()
    }
}

/// Evenly between zero and `limit`, both included, in milliseconds.
pub(crate) fn evenly_below(limit: Duration, random: &dyn SecureRandom) -> Result<Duration, RandomError> {
    let mut bytes = [0; 8];
    random.fill(&mut bytes)?;
    // The high half of a 64 × 64 bit product; the bias is below one in 2^32 for delays of weeks.
    let choices = limit.as_millis().saturating_add(1);
    let millis = choices.saturating_mul(u128::from(u64::from_le_bytes(bytes))) >> 64;
    Ok(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)).min(limit))
}

/// A schedule that cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// No attempt, or too many.
    #[error("a retry schedule has {found} attempts, expected 1 to {max}", max = RetrySchedule::MAX_ATTEMPTS)]
    Attempts {
        /// How many there were.
        found: usize,
    },
    /// A delay longer than [`RetrySchedule::MAX_DELAY`].
    #[error("the delay before attempt {attempt} is longer than seven days", attempt = at.saturating_add(1))]
    Delay {
        /// Its index, from 0.
        at: usize,
    },
}

impl ScheduleError {
    /// `schedule.attempts` or `schedule.delay`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Attempts { .. } => "schedule.attempts",
            Self::Delay { .. } => "schedule.delay",
        }
    }
}
