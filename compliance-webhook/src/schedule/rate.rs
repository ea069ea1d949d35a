use std::num::NonZeroU32;
use std::time::Duration;

/// How many attempts an endpoint gets in a minute.
///
/// ```
/// use compliance_webhook::schedule::Rate;
///
/// let rate = Rate::per_minute(120.try_into()?);
/// assert_eq!(rate.as_per_minute().get(), 120);
/// # Ok::<(), std::num::TryFromIntError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(NonZeroU32);

impl Rate {
    /// So many in a minute; the unit of CloudEvents' `WebHook-Allowed-Rate`.
    #[must_use]
    pub const fn per_minute(count: NonZeroU32) -> Self {
        Self(count)
    }

    /// How many in a minute.
    #[must_use]
    pub const fn as_per_minute(self) -> NonZeroU32 {
        self.0
    }

    fn interval(self) -> Duration {
        const MINUTE: Duration = Duration::from_secs(60);
        MINUTE.checked_div(self.0.get()).unwrap_or(MINUTE)
    }
}

/// Spreads attempts over time at a [`Rate`] (generic cell rate algorithm, ITU-T I.371): at most a second's worth at
/// once, and at least one.
///
/// ```
/// use std::time::Duration;
/// use compliance_webhook::schedule::{Rate, RateLimit};
///
/// let mut limit = RateLimit::new(Rate::per_minute(120.try_into()?));
/// let start = Duration::ZERO; // Since whenever, as long as it only grows.
/// assert_eq!((limit.take(start), limit.take(start)), (Ok(()), Ok(())));
/// assert_eq!(limit.take(start), Err(Duration::from_millis(500)));
/// assert_eq!(limit.take(Duration::from_millis(500)), Ok(()));
/// # Ok::<(), std::num::TryFromIntError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    rate: Rate,
    /// When the next attempt would be due if they came evenly.
    due: Duration,
}

impl RateLimit {
    /// One that has not been used yet.
    #[must_use]
    pub const fn new(rate: Rate) -> Self {
        Self { rate, due: Duration::ZERO }
    }

    /// What it keeps to.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one attempt at `now`, which counts from any fixed point and does not go back.
    ///
    /// # Errors
    /// How long to wait until there is one.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        self.add(now);
        Ok(())
    }

    /// How long to wait at `now` until there is one.
    pub(crate) fn wait(&self, now: Duration) -> Option<Duration> {
        const BURST: Duration = Duration::from_secs(1);
        let early = self.due.saturating_sub(now);
        let tolerance = BURST.saturating_sub(self.rate.interval());
        (early > tolerance).then(|| early.saturating_sub(tolerance))
    }

    /// Counts one that was made, whether there was one or not.
    pub(crate) fn add(&mut self, now: Duration) {
        self.due = self.due.max(now).saturating_add(self.rate.interval());
    }

    /// Whether it is as if it had not been used.
    pub(crate) fn is_idle(&self, now: Duration) -> bool {
        self.due <= now
    }

    /// How many attempts there are at most in `span`, one at least.
    #[must_use]
    pub fn within(&self, span: Duration) -> usize {
        let count = span.as_nanos().checked_div(self.rate.interval().as_nanos().max(1)).unwrap_or(1);
        usize::try_from(count).unwrap_or(usize::MAX).max(1)
    }
}
