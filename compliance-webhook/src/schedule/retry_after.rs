use std::time::Duration;

use compliance_core::clock::Timestamp;

use super::http_date;

/// What a receiver asked for in `Retry-After`: a delay, not yet capped.
///
/// ```
/// use std::time::Duration;
/// use compliance_webhook::schedule::RetryAfter;
///
/// let now = "1994-11-06T08:49:07Z".parse()?;
/// let thirty = Duration::from_secs(30);
/// assert_eq!(RetryAfter::parse(b"30", now)?.delay(), thirty);
/// assert_eq!(RetryAfter::parse(b"Sun, 06 Nov 1994 08:49:37 GMT", now)?.delay(), thirty);
/// assert_eq!(RetryAfter::parse(b"1e30", now).unwrap_err().code(), "retry_after.syntax");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RetryAfter(Duration);

impl RetryAfter {
    /// The longest header value read, in bytes. The longest date form has 33.
    pub const MAX_LEN: usize = 64;

    /// Parses one header value (RFC 9110 §10.2.3): a whole number of seconds, or a date in any of the three
    /// forms of §5.6.7 (IMF-fixdate, RFC 850, asctime), with optional blanks around it. A date that has passed
    /// is a delay of zero; more seconds than fit are as many as fit.
    ///
    /// # Errors
    /// [`RetryAfterError`] for anything else: a sign, a fraction, an exponent, another zone, a weekday that is
    /// not the date's. The caller then goes on as if there were no header.
    ///
    /// # Security
    /// The receiver chooses the value. At most [`MAX_LEN`](Self::MAX_LEN) bytes are looked at, nothing
    /// overflows, and what is observed of the delay is up to
    /// [`RetrySchedule::observed`](super::RetrySchedule::observed).
    pub fn parse(value: &[u8], now: Timestamp) -> Result<Self, RetryAfterError> {
        if value.len() > Self::MAX_LEN {
            return Err(RetryAfterError::Length { found: value.len() });
        }
        let text = std::str::from_utf8(value).map_err(|_| RetryAfterError::Syntax)?;
        let text = text.trim_matches([' ', '\t']);
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self(Duration::from_secs(text.parse().unwrap_or(u64::MAX))));
        }
        let date = http_date::parse(text, now).ok_or(RetryAfterError::Syntax)?;
        Ok(Self(date.saturating_since(now)))
    }

    /// The delay asked for.
    #[must_use]
    pub fn delay(self) -> Duration {
        self.0
    }
}

/// A `Retry-After` that asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetryAfterError {
    /// Too long.
    #[error("retry-after is {found} bytes long, at most {max} are read", max = RetryAfter::MAX_LEN)]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// Neither a number of seconds nor a date.
    #[error("retry-after is neither a whole number of seconds nor an http date")]
    Syntax,
}

impl RetryAfterError {
    /// `retry_after.length` or `retry_after.syntax`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Length { .. } => "retry_after.length",
            Self::Syntax => "retry_after.syntax",
        }
    }
}
