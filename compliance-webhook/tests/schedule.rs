//! Retry schedule, `Retry-After`, status table, breaker.

#![expect(clippy::cast_sign_loss, reason = "the test counts from 1970 on")]

use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::random::{RandomError, SecureRandom};
use compliance_core::testing::DeterministicRandom;
use compliance_webhook::schedule::{
    Breaker, BreakerPolicy, Jitter, Rate, RateLimit, RetryAfter, RetrySchedule, STANDARD_DELAYS,
    StatusAction, StatusPolicy,
};
use proptest::prelude::*;

const NOW: &str = "1994-11-06T08:49:07Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Every byte the same: the ends of the jitter's range.
#[derive(Debug)]
struct Constant(u8);

impl SecureRandom for Constant {
    fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError> {
        dest.fill(self.0);
        Ok(())
    }
}

#[track_caller]
fn check(value: &str, expected: Result<u64, &str>) {
    let found = RetryAfter::parse(value.as_bytes(), now());
    assert_eq!(found.map(|asked| asked.delay().as_secs()).map_err(|e| e.code()), expected);
}

const SYNTAX: Result<u64, &str> = Err("retry_after.syntax");

#[test]
fn seconds_are_a_whole_number() {
    check("0", Ok(0));
    check("120", Ok(120));
    check(" 120\t", Ok(120));
    check("007", Ok(7));
    for odd in ["", " ", "+1", "-1", "1.5", "1e30", "inf", "-inf", "NaN", "0x10", "1 2", "1,2", "१", "1_000"]
    {
        check(odd, SYNTAX);
    }
}

#[test]
fn numbers_too_large_are_as_large_as_can_be_and_the_schedule_caps_them() {
    check("9223372036854775807", Ok(9_223_372_036_854_775_807));
    check("18446744073709551615", Ok(u64::MAX));
    check("99999999999999999999999999999999", Ok(u64::MAX));
    let asked = RetryAfter::parse(b"99999999999999999999999999999999", now()).unwrap();
    let schedule = RetrySchedule::standard();
    assert_eq!(schedule.observed(asked), Duration::from_secs(24 * 3600));
    let wait = schedule.delay_after(1, Some(asked), &Constant(0)).unwrap();
    assert_eq!(wait, Some(Duration::from_secs(24 * 3600)));
}

#[test]
fn all_three_date_forms_are_read() {
    check("Sun, 06 Nov 1994 08:49:37 GMT", Ok(30));
    check("Sunday, 06-Nov-94 08:49:37 GMT", Ok(30));
    check("Sun Nov  6 08:49:37 1994", Ok(30));
    check("Wed Nov 16 08:49:07 1994", Ok(864_000));
    check("Sat, 31 Dec 1994 23:59:60 GMT", Ok(4_806_653));
}

#[test]
fn a_date_that_has_passed_asks_for_nothing() {
    check("Sun, 06 Nov 1994 08:49:06 GMT", Ok(0));
    check("Thu, 01 Jan 1970 00:00:00 GMT", Ok(0));
    check("Mon, 01 Jan 0001 00:00:00 GMT", Ok(0));
}

#[test]
fn two_digit_years_lie_within_fifty_years() {
    let at = |value: &str| RetryAfter::parse(value.as_bytes(), "2026-11-21T00:00:00Z".parse().unwrap());
    // 2027-01-01 was a Friday; as 1927 it would be a Saturday.
    assert_eq!(at("Friday, 01-Jan-27 00:00:00 GMT").unwrap().delay(), Duration::from_secs(41 * 86_400));
    // 77 is 1977, a Saturday; as 2077 it would be a Friday.
    assert_eq!(at("Saturday, 01-Jan-77 00:00:00 GMT").unwrap().delay(), Duration::ZERO);
    assert!(at("Friday, 01-Jan-77 00:00:00 GMT").is_err());
}

#[test]
fn dates_of_any_other_shape_are_refused() {
    for odd in [
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun,  06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:+7 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov 06 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
        "1994-11-06T08:49:37Z",
        "tomorrow",
        "Sun Nov é6 08:49:37 1994",
    ] {
        check(odd, SYNTAX);
    }
    check(&"1".repeat(65), Err("retry_after.length"));
    assert!(RetryAfter::parse(b"\xff\xfe", now()).is_err());
}

#[test]
fn the_standard_schedule_is_the_standards() {
    let schedule = RetrySchedule::standard().with_jitter(Jitter::None);
    let waits: Vec<u64> =
        (0..10).map(|n| schedule.delay_after(n, None, &Constant(0)).unwrap().unwrap().as_secs()).collect();
    assert_eq!(waits, [0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]);
    assert_eq!(waits.iter().sum::<u64>(), 75 * 3600 + 35 * 60 + 5);
    assert_eq!(schedule.attempts(), 10);
    assert_eq!(schedule.delay_after(10, None, &Constant(0)), Ok(None));
    assert_eq!(schedule.delay_after(u32::MAX, None, &Constant(0)), Ok(None));
}

#[test]
fn full_jitter_reaches_both_ends_of_the_delay() {
    let schedule = RetrySchedule::standard();
    assert_eq!(schedule.delay_after(1, None, &Constant(0)), Ok(Some(Duration::ZERO)));
    assert_eq!(schedule.delay_after(1, None, &Constant(0xff)), Ok(Some(Duration::from_secs(5))));
}

#[test]
fn full_jitter_is_even() {
    let (schedule, random) = (RetrySchedule::standard(), DeterministicRandom::new(7));
    let mut quarters = [0_u32; 4];
    for _ in 0..4000 {
        let wait = schedule.delay_after(9, None, &random).unwrap().unwrap();
        quarters[(wait.as_secs() / 21_600).min(3) as usize] += 1;
    }
    assert!(quarters.iter().all(|count| (900..1100).contains(count)), "{quarters:?}");
}

#[test]
fn schedules_out_of_bounds_are_refused() {
    let code = |delays: &[Duration]| RetrySchedule::new(delays).unwrap_err().code();
    assert_eq!(code(&[]), "schedule.attempts");
    assert_eq!(code(&[Duration::ZERO; 65]), "schedule.attempts");
    assert_eq!(code(&[Duration::MAX]), "schedule.delay");
    assert!(RetrySchedule::new(&STANDARD_DELAYS).is_ok());
}

#[test]
fn statuses_mean_what_standard_webhooks_says() {
    let policy = StatusPolicy::standard();
    for (statuses, action) in [
        (200..=299, StatusAction::Delivered),
        (300..=399, StatusAction::Retry),
        (400..=409, StatusAction::Retry),
        (410..=410, StatusAction::DisableEndpoint),
        (429..=429, StatusAction::Throttle),
        (500..=501, StatusAction::Retry),
        (502..=502, StatusAction::Throttle),
        (503..=503, StatusAction::Retry),
        (504..=504, StatusAction::Throttle),
        (0..=199, StatusAction::Retry),
        (600..=u16::MAX, StatusAction::Retry),
    ] {
        for status in statuses {
            assert_eq!(policy.action(status), action, "{status}");
        }
    }
}

#[test]
fn a_breaker_doubles_its_pause_up_to_the_limit_while_probes_fail() {
    let (policy, mut breaker, mut at) = (BreakerPolicy::default(), Breaker::default(), now());
    let mut pauses = Vec::new();
    while pauses.len() < 40 {
        if let Some(until) = breaker.failed(at, &policy) {
            pauses.push(until.saturating_since(at).as_secs());
            assert_eq!(breaker.allowance(at, 8), 0);
            at = until;
            assert_eq!(breaker.allowance(at, 8), 1);
        }
    }
    assert_eq!(&pauses[..5], [30, 60, 120, 240, 300]);
    assert_eq!(pauses.last(), Some(&300));
}

#[test]
fn attempts_under_way_when_the_breaker_opened_do_not_prolong_the_pause() {
    let (policy, mut breaker) = (BreakerPolicy::default(), Breaker::default());
    let opened: Vec<_> = (0..20).filter_map(|_| breaker.failed(now(), &policy)).collect();
    assert_eq!(opened.len(), 1);
}

#[test]
fn a_clock_going_back_does_not_keep_a_breaker_open() {
    let (policy, mut breaker) = (BreakerPolicy::default(), Breaker::default());
    (0..5).for_each(|_| _ = breaker.failed(now(), &policy));
    assert_eq!(breaker.allowance(now().saturating_sub(Duration::from_secs(3600)), 8), 1);
}

proptest! {
    #[test]
    fn retry_after_never_panics_and_never_asks_for_more_than_the_cap(value in ".{0,70}", bytes: Vec<u8>) {
        for value in [value.as_bytes(), &bytes] {
            if let Ok(asked) = RetryAfter::parse(value, now()) {
                prop_assert!(RetrySchedule::standard().observed(asked) <= RetrySchedule::DEFAULT_MAX_RETRY_AFTER);
            }
        }
    }

    #[test]
    fn a_delay_is_within_its_plan_or_what_was_asked(attempts in 0_u32..12, asked: u64, seed: u64) {
        let schedule = RetrySchedule::standard();
        let asked = RetryAfter::parse(asked.to_string().as_bytes(), now()).unwrap();
        let wait = schedule.delay_after(attempts, Some(asked), &DeterministicRandom::new(seed)).unwrap();
        match STANDARD_DELAYS.get(attempts as usize) {
            None => prop_assert_eq!(wait, None),
            Some(planned) => {
                let wait = wait.unwrap();
                prop_assert!(wait >= schedule.observed(asked));
                prop_assert!(wait <= (*planned).max(schedule.observed(asked)));
            }
        }
    }

    #[test]
    fn the_three_forms_of_one_moment_agree(seconds in 0_i64..4_000_000_000) {
        let at = Timestamp::from_unix_seconds(seconds);
        let text = at.to_string();
        let (year, month, day, time) = (&text[..4], &text[5..7], &text[8..10], &text[11..19]);
        let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            [month.parse::<usize>().unwrap() - 1];
        let long = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"]
            [(seconds / 86_400 % 7) as usize];
        let short = &long[..3];
        let spaced = format!("{:>2}", day.trim_start_matches('0'));
        let before = at.saturating_sub(Duration::from_secs(77));
        for form in [
            format!("{short}, {day} {month} {year} {time} GMT"),
            format!("{long}, {day}-{month}-{} {time} GMT", &year[2..]),
            format!("{short} {month} {spaced} {time} {year}"),
        ] {
            let asked = RetryAfter::parse(form.as_bytes(), before);
            prop_assert_eq!(asked.map(|asked| asked.delay().as_secs()), Ok(77), "{}", form);
        }
    }
}

proptest! {
    #[test]
    fn no_span_has_more_attempts_than_its_rate_and_a_seconds_worth(
        per_minute in 1_u32..600_000,
        steps in prop::collection::vec(0_u64..5_000_000_000, 1..200),
    ) {
        let mut limit = RateLimit::new(Rate::per_minute(per_minute.try_into().unwrap()));
        let (mut now, mut taken) = (Duration::ZERO, Vec::new());
        for step in steps {
            now += Duration::from_nanos(step);
            while taken.len() < 2000 {
                match limit.take(now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        prop_assert!(limit.clone().take(now + wait).is_ok(), "the wait is long enough");
                        break;
                    }
                }
            }
        }
        let per_second = f64::from(per_minute) / 60.0;
        for (at, from) in taken.iter().enumerate() {
            for (count, until) in (1_u32..).zip(&taken[at..]) {
                let span = (*until - *from).as_secs_f64();
                let most = (span * per_second + per_second.max(1.0)).ceil() + 1.0;
                prop_assert!(f64::from(count) <= most, "{count} in {span} s at {per_second}/s");
                if count > 50 {
                    break;
                }
            }
        }
    }
}
