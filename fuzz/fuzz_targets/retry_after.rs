//! `RetryAfter::parse`.
//!
//! Oracle: a date is the one the `httpdate` crate reads, and one in the form that crate writes is read. That crate
//! reads some texts more, out of every form; we read leap seconds and years before 1970 besides. What is observed
//! stays within the schedule's cap.
#![no_main]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use compliance_core::clock::Timestamp;
use compliance_webhook::schedule::{RetryAfter, RetrySchedule};
use libfuzzer_sys::fuzz_target;

// In 2019 the sliding century of RFC 9110 and the fixed one of `httpdate` (1970 to 2069) are the same.
const NOW: u64 = 1_560_000_000;
static SCHEDULE: LazyLock<RetrySchedule> = LazyLock::new(RetrySchedule::standard);

fuzz_target!(|value: &[u8]| {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let found = RetryAfter::parse(value, Timestamp::from_system_time(now));
    if let Ok(asked) = found {
        assert!(SCHEDULE.observed(asked) <= RetrySchedule::DEFAULT_MAX_RETRY_AFTER);
    }
    let Ok(text) = str::from_utf8(value).map(|text| text.trim_matches([' ', '\t'])) else { return };
    if value.len() > RetryAfter::MAX_LEN || text.trim() != text {
        return;
    }
    let delay = found.ok().map(RetryAfter::delay);
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        assert_eq!(delay, Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX))));
        return;
    }
    match httpdate::parse_http_date(text) {
        Ok(date) => {
            let expected = Some(date.duration_since(now).unwrap_or_default());
            assert!(delay == expected || delay.is_none() && httpdate::fmt_http_date(date) != text);
        }
        Err(_) => assert!(delay.is_none_or(|delay| delay.is_zero() || text.contains(":60"))),
    }
});
