//! Time comes in: every decision that depends on time takes a [`Clock`] or a [`Timestamp`].
//!
//! This is the only module of the family that reads the system clock; `clippy.toml` forbids it elsewhere.
//! Timestamps are UTC with nanoseconds; dates are proleptic Gregorian days. Both are newtypes over
//! `jiff`, which does not show in the API.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// Tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The current time.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The system's wall clock.
///
/// # Security
/// Whoever sets the host's clock decides what is stale, expired or replayable: run a trusted time service.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct: nothing to configure")]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    fn now(&self) -> Timestamp {
        Timestamp::from_system_time(SystemTime::now())
    }
}

/// A clock that stands still until it is moved: for tests, replays and scripted demonstrations.
///
/// ```
/// use std::time::Duration;
/// use compliance_core::clock::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::at("2026-11-21T12:00:00Z".parse()?);
/// clock.advance(Duration::from_secs(90));
/// assert_eq!(clock.now(), "2026-11-21T12:01:30Z".parse::<Timestamp>()?);
/// # Ok::<(), compliance_core::clock::TimeError>(())
/// ```
#[derive(Debug)]
pub struct ManualClock {
    // Milliseconds, so that one atomic suffices.
    unix_millis: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`, to the millisecond.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self { unix_millis: AtomicI64::new(start.as_unix_millis()) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().saturating_add(by));
    }

    /// Sets the clock, backwards too: how a receiver's clock misbehaves.
    pub fn set(&self, now: Timestamp) {
        self.unix_millis.store(now.as_unix_millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_millis(self.unix_millis.load(Ordering::SeqCst))
    }
}

/// A point in time, UTC, from the year −9999 to 9999, in nanoseconds. All arithmetic saturates.
///
/// `Display` and `FromStr` speak RFC 3339; an offset is accepted on input and turned into UTC, a time
/// without one is refused.
///
/// ```
/// use compliance_core::clock::Timestamp;
///
/// let t: Timestamp = "2026-11-21T13:00:00+01:00".parse()?;
/// assert_eq!(t.to_string(), "2026-11-21T12:00:00Z");
/// assert_eq!(t.as_unix_seconds(), 1_795_262_400);
/// assert!("2026-11-21 13:00".parse::<Timestamp>().is_err());
/// # Ok::<(), compliance_core::clock::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);
    /// The latest representable time.
    pub const MAX: Self = Self(jiff::Timestamp::MAX);
    /// The earliest representable time.
    pub const MIN: Self = Self(jiff::Timestamp::MIN);

    /// From seconds since the Unix epoch; saturates at [`MIN`](Self::MIN) and [`MAX`](Self::MAX).
    #[must_use]
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(jiff::Timestamp::from_second(seconds).unwrap_or_else(|_| Self::edge(seconds < 0)))
    }

    /// From milliseconds since the Unix epoch; saturates.
    #[must_use]
    pub fn from_unix_millis(millis: i64) -> Self {
        Self(jiff::Timestamp::from_millisecond(millis).unwrap_or_else(|_| Self::edge(millis < 0)))
    }

    /// From nanoseconds since the Unix epoch; saturates.
    #[must_use]
    pub fn from_unix_nanos(nanos: i128) -> Self {
        Self(jiff::Timestamp::from_nanosecond(nanos).unwrap_or_else(|_| Self::edge(nanos < 0)))
    }

    /// From the standard library's time; saturates.
    #[must_use]
    pub fn from_system_time(time: SystemTime) -> Self {
        Self(jiff::Timestamp::try_from(time).unwrap_or_else(|_| Self::edge(time < SystemTime::UNIX_EPOCH)))
    }

    /// Whole seconds since the Unix epoch, rounded towards zero.
    #[must_use]
    pub fn as_unix_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// Whole milliseconds since the Unix epoch, rounded towards zero.
    #[must_use]
    pub fn as_unix_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn as_unix_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// The UTC day this falls on.
    #[must_use]
    pub fn date(self) -> Date {
        Date(self.0.to_zoned(jiff::tz::TimeZone::UTC).date())
    }

    /// Later by `by`, at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let nanos = i128::try_from(by.as_nanos()).unwrap_or(i128::MAX);
        Self::from_unix_nanos(self.as_unix_nanos().saturating_add(nanos))
    }

    /// Earlier by `by`, at least [`MIN`](Self::MIN).
    #[must_use]
    pub fn saturating_sub(self, by: Duration) -> Self {
        let nanos = i128::try_from(by.as_nanos()).unwrap_or(i128::MAX);
        Self::from_unix_nanos(self.as_unix_nanos().saturating_sub(nanos))
    }

    /// How long after `earlier` this is; zero when it is not after.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        const NANOS_PER_SECOND: u128 = 1_000_000_000;
        let nanos = self.as_unix_nanos().saturating_sub(earlier.as_unix_nanos()).max(0).unsigned_abs();
        // All that is between -9999 and 9999 fits.
        let seconds = u64::try_from(nanos / NANOS_PER_SECOND).unwrap_or(u64::MAX);
        Duration::new(seconds, u32::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0))
    }

    fn edge(before_epoch: bool) -> jiff::Timestamp {
        if before_epoch { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        text.parse().map(Self).map_err(|_| TimeError::timestamp(text.len()))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::from_system_time(time)
    }
}

/// A day of the Gregorian calendar, `2026-11-21`. Snapshots, policies and programmes are dated with it.
///
/// ```
/// use compliance_core::clock::Date;
///
/// let day: Date = "2026-02-28".parse()?;
/// assert_eq!(day.days_until("2026-03-01".parse()?), 1);
/// assert!("2026-02-30".parse::<Date>().is_err());
/// # Ok::<(), compliance_core::clock::TimeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(jiff::civil::Date);

impl Date {
    /// From year, month 1–12 and day 1–31.
    ///
    /// # Errors
    /// [`TimeError`] when there is no such day or the year is outside −9999 to 9999.
    pub fn new(year: i16, month: i8, day: i8) -> Result<Self, TimeError> {
        jiff::civil::Date::new(year, month, day).map(Self).map_err(|_| TimeError(TimeErrorKind::NoSuchDay))
    }

    /// The first moment of the day, UTC.
    #[must_use]
    pub fn start(self) -> Timestamp {
        self.0.to_zoned(jiff::tz::TimeZone::UTC).map_or(Timestamp::MAX, |zoned| Timestamp(zoned.timestamp()))
    }

    /// Whole days from this day to `later`; negative when `later` is earlier.
    #[must_use]
    pub fn days_until(self, later: Self) -> i64 {
        const SECONDS_PER_DAY: i64 = 86_400;
        later.start().as_unix_seconds().saturating_sub(self.start().as_unix_seconds()) / SECONDS_PER_DAY
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Date {
    type Err = TimeError;

    /// Accepts `YYYY-MM-DD` and nothing else.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        const SHAPE_LEN: usize = 10;
        let shaped = text.len() == SHAPE_LEN
            && text
                .bytes()
                .enumerate()
                .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
        let date = if shaped { text.parse().ok() } else { None };
        date.map(Self).ok_or(TimeError(TimeErrorKind::Date { found_len: text.len() }))
    }
}

/// A text that should have been a time was none. Carries the length of what was found, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct TimeError(#[from] TimeErrorKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum TimeErrorKind {
    #[error("expected a date like `2026-11-21`, found {found_len} bytes of another shape or no such day")]
    Date { found_len: usize },
    #[error("expected a day that exists between the years -9999 and 9999")]
    NoSuchDay,
    #[error(
        "expected an RFC 3339 time like `2026-11-21T12:00:00Z`, found {found_len} bytes of another shape"
    )]
    Timestamp { found_len: usize },
}

impl TimeError {
    fn timestamp(found_len: usize) -> Self {
        Self(TimeErrorKind::Timestamp { found_len })
    }

    /// `time.date` or `time.timestamp`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            TimeErrorKind::Date { .. } | TimeErrorKind::NoSuchDay => "time.date",
            TimeErrorKind::Timestamp { .. } => "time.timestamp",
        }
    }
}

#[cfg(feature = "serde")]
mod serde_impls {
    use super::{Date, Timestamp};

    macro_rules! as_text {
        ($name:ident, $expected:literal) => {
            impl serde::Serialize for $name {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            impl<'de> serde::Deserialize<'de> for $name {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)
                        .map_err(|_| serde::de::Error::custom(concat!("expected ", $expected)))?;
                    text.parse().map_err(serde::de::Error::custom)
                }
            }
        };
    }
    as_text!(Date, "a date");
    as_text!(Timestamp, "an RFC 3339 time");
}
