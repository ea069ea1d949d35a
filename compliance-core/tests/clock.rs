//! Time: saturating arithmetic, strict parsing, a clock that stands still.

use std::time::{Duration, SystemTime};

use compliance_core::clock::{Clock, Date, ManualClock, SystemClock, Timestamp};

#[test]
fn rfc_3339_only() {
    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = text.parse::<Timestamp>().ok().map(|time| time.to_string());
        assert_eq!(found.as_deref(), expected, "{text:?}");
    }
    check("2026-11-21T12:00:00Z", Some("2026-11-21T12:00:00Z"));
    check("2026-11-21T12:00:00.25+01:00", Some("2026-11-21T11:00:00.25Z"));
    check("2026-11-21T12:00:00", None);
    check("2026-11-21", None);
    check("1795262400", None);
    check("", None);
    check("yesterday", None);
}

#[test]
fn arithmetic_saturates() {
    assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::MIN.saturating_sub(Duration::MAX), Timestamp::MIN);
    assert_eq!(Timestamp::from_unix_seconds(i64::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::from_unix_seconds(i64::MIN), Timestamp::MIN);
    assert_eq!(Timestamp::from_unix_millis(i64::MIN), Timestamp::MIN);
    assert_eq!(Timestamp::from_unix_nanos(i128::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::UNIX_EPOCH.saturating_since(Timestamp::MAX), Duration::ZERO);
    let until_the_end = Timestamp::MAX.saturating_since(Timestamp::UNIX_EPOCH);
    assert_eq!(i128::try_from(until_the_end.as_nanos()), Ok(Timestamp::MAX.as_unix_nanos()));
}

#[test]
fn system_time_goes_in_exactly() {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_262_400_123_456_789);
    assert_eq!(Timestamp::from(time).as_unix_nanos(), 1_795_262_400_123_456_789);
    assert!(SystemClock.now() > Timestamp::UNIX_EPOCH);
}

#[test]
fn a_date_is_ten_characters_of_an_existing_day() {
    #[track_caller]
    fn check(text: &str, exists: bool) {
        assert_eq!(text.parse::<Date>().is_ok(), exists, "{text:?}");
    }
    check("2024-02-29", true);
    check("2026-02-29", false);
    check("2026-13-01", false);
    check("2026-1-1", false);
    check("20260101", false);
    check("-00026-01-01", false);
    check("2026-01-01T00:00:00Z", false);
    check("2026-W01-1", false);
}

#[test]
fn days_are_counted_between_dates() {
    let (a, b): (Date, Date) = ("2025-11-21".parse().unwrap(), "2026-11-21".parse().unwrap());
    assert_eq!(a.days_until(b), 365);
    assert_eq!(b.days_until(a), -365);
    assert_eq!(b.start().date(), b);
    assert!(Date::new(2026, 2, 30).is_err());
}

#[test]
fn a_manual_clock_moves_only_when_told() {
    let clock = ManualClock::at(Timestamp::from_unix_seconds(100));
    assert_eq!(clock.now(), clock.now());
    clock.advance(Duration::from_millis(1_500));
    assert_eq!(clock.now().as_unix_millis(), 101_500);
    clock.set(Timestamp::UNIX_EPOCH);
    assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
}

#[cfg(feature = "serde")]
#[test]
fn serde_speaks_text_and_does_not_echo() {
    let day: Date = serde_json::from_str("\"2026-11-21\"").unwrap();
    assert_eq!(serde_json::to_string(&day).unwrap(), "\"2026-11-21\"");
    let error = serde_json::from_str::<Timestamp>("\"anna@example.com\"").unwrap_err().to_string();
    assert!(!error.contains("anna"), "{error}");
}
