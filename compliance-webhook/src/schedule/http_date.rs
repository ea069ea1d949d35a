//! The three date forms of RFC 9110 §5.6.7, read strictly.

use compliance_core::clock::{Date, Timestamp};
use std::time::Duration;

const SHORT_DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const LONG_DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const SECONDS_PER_DAY: i64 = 86_400;
/// 1970-01-01 was a Thursday.
const EPOCH_WEEKDAY: i64 = 4;

/// Reads a date in one of the three forms; `now` settles the century of RFC 850's two-digit years.
pub(super) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some((day, rest)) = text.split_once(", ") {
        return if day.len() == SHORT_DAYS.first()?.len() {
            imf_fixdate(day, rest)
        } else {
            rfc850(day, rest, now)
        };
    }
    asctime(text)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the form to send.
fn imf_fixdate(weekday: &str, rest: &str) -> Option<Timestamp> {
    let mut parts = rest.split(' ');
    let (day, month, year, time, zone) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if zone != "GMT" || parts.next().is_some() {
        return None;
    }
    at(index(&SHORT_DAYS, weekday)?, digits(year, 4)?, month, digits(day, 2)?, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`, obsolete.
fn rfc850(weekday: &str, rest: &str, now: Timestamp) -> Option<Timestamp> {
    let weekday = index(&LONG_DAYS, weekday)?;
    let mut parts = rest.split(' ');
    let (date, time, zone) = (parts.next()?, parts.next()?, parts.next()?);
    if zone != "GMT" || parts.next().is_some() {
        return None;
    }
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (day, year) = (digits(day, 2)?, digits(year, 2)?);
    let this_year: u16 = now.to_string().get(..4)?.parse().ok()?;
    let century = this_year.saturating_sub(this_year % 100);
    // More than fifty years ahead means the same two digits of the past.
    let year = match century.saturating_add(year) {
        ahead if ahead > this_year.saturating_add(50) => ahead.saturating_sub(100),
        behind if behind.saturating_add(50) <= this_year => behind.saturating_add(100),
        near => near,
    };
    at(weekday, year, month, day, time)
}

/// `Sun Nov  6 08:49:37 1994`, the C library's form, obsolete.
fn asctime(text: &str) -> Option<Timestamp> {
    let (weekday, rest) = text.split_once(' ')?;
    let (month, rest) = rest.split_once(' ')?;
    let (day, rest) = rest.split_at_checked(2)?;
    let day = match day.strip_prefix(' ') {
        Some(one) => digits(one, 1)?,
        None => digits(day, 2)?,
    };
    let (time, year) = rest.strip_prefix(' ')?.split_once(' ')?;
    at(index(&SHORT_DAYS, weekday)?, digits(year, 4)?, month, day, time)
}

fn at(weekday: usize, year: u16, month: &str, day: u16, time: &str) -> Option<Timestamp> {
    let month = index(&MONTHS, month)?.checked_add(1)?;
    let date = Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()?;
    let days = date.start().as_unix_seconds().div_euclid(SECONDS_PER_DAY);
    if usize::try_from(days.checked_add(EPOCH_WEEKDAY)?.rem_euclid(7)).ok()? != weekday {
        return None;
    }
    let mut parts = time.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    // Second 60 is a leap second.
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = u64::from(hour).checked_mul(3600)?.checked_add(u64::from(minute).checked_mul(60)?)?;
    Some(date.start().saturating_add(Duration::from_secs(seconds.checked_add(second.into())?)))
}

fn index(names: &[&str], name: &str) -> Option<usize> {
    names.iter().position(|listed| *listed == name)
}

/// Exactly `len` decimal digits.
fn digits(text: &str, len: usize) -> Option<u16> {
    let shaped = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    shaped.then(|| text.parse().ok())?
}
