//! When a message may have been signed.

use std::time::Duration;

use compliance_core::clock::Timestamp;

use super::{DEFAULT_TOLERANCE, MAX_TOLERANCE, VerifierError, VerifyReason};

/// How far a message's time may lie from now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    past: Duration,
    future: Duration,
}

impl Default for Window {
    fn default() -> Self {
        Self { past: DEFAULT_TOLERANCE, future: DEFAULT_TOLERANCE }
    }
}

impl Window {
    pub(super) fn new(past: Duration, future: Duration) -> Result<Self, VerifierError> {
        if past > MAX_TOLERANCE || future > MAX_TOLERANCE {
            return Err(VerifierError::Tolerance);
        }
        Ok(Self { past, future })
    }

    /// The time a header says, if it is in the window.
    pub(super) fn check(&self, text: &[u8], now: Timestamp) -> Result<Timestamp, VerifyReason> {
        self.check_seconds(parse_seconds(text).ok_or(VerifyReason::TimestampSyntax)?, now)
    }

    /// Whole seconds on both sides, as the header has them.
    pub(super) fn check_seconds(&self, sent: i64, now: Timestamp) -> Result<Timestamp, VerifyReason> {
        let now = now.as_unix_seconds();
        // Zero where `to` is not later.
        let between = |from: i64, to: i64| {
            Duration::from_secs(u64::try_from(to.saturating_sub(from)).unwrap_or_default())
        };
        if between(sent, now) > self.past {
            return Err(VerifyReason::TimestampTooOld);
        }
        if between(now, sent) > self.future {
            return Err(VerifyReason::TimestampTooNew);
        }
        Ok(Timestamp::from_unix_seconds(sent))
    }
}

/// 1 to 12 ASCII digits, no sign, no space, no leading zero but `0` itself. 12 digits reach past the year 9999.
fn parse_seconds(text: &[u8]) -> Option<i64> {
    let well_formed = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.len() <= 12;
    if !well_formed {
        return None;
    }
    text.iter().try_fold(0_i64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte.wrapping_sub(b'0')))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
