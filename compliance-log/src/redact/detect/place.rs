//! Where somebody is: coordinates behind a word that announces them.

use super::super::detector::Detector;
use super::super::text::{DIGIT, Text, WORD};
use super::Scan;
use super::number::ends_clean;

/// The fewest decimals that tell a house from its neighbour: 0.001° are a hundred metres.
const DECIMALS: usize = 3;
/// How far degrees are read, in bytes.
const DEGREES: usize = 32;

/// One or two degrees behind the word that ends at `end`: `lat=52.5163`, `coords: 52.5163, 13.3777`, `geo:52.5163,13.3777`
/// (ISO 6709, RFC 5870).
pub(crate) fn coordinates(scan: &mut Scan<'_, '_>, end: usize) {
    let text = scan.text;
    let mut start = scan.value_after(end);
    if text.at(start) == b'[' {
        start = start.wrapping_add(1);
    }
    start = start.wrapping_add(usize::from(matches!(text.at(start), b'-' | b'+')));
    let Some(mut stop) = degrees(text, start) else {
        scan.hangs_on(end.wrapping_sub(1), end, start.saturating_add(DEGREES));
        return;
    };
    let start = start.wrapping_sub(usize::from(matches!(text.before(start), b'-' | b'+')));
    let mut second = stop;
    while matches!(text.at(second), b',' | b';' | b' ' | b'/') && second.wrapping_sub(stop) < 3 {
        second = second.wrapping_add(1);
    }
    if second > stop {
        let signed = second.wrapping_add(usize::from(matches!(text.at(second), b'-' | b'+')));
        stop = degrees(text, signed).unwrap_or(stop);
    }
    scan.hit(start, stop, Detector::Geo);
}

/// Where the degrees at `start` end: up to 180, with decimals, and a sign or letter behind them.
fn degrees(text: Text<'_>, start: usize) -> Option<usize> {
    let point = text.run_end(start, DIGIT, 4);
    let whole: u16 = text.str(start, point).parse().ok()?;
    let end = text.run_end(point.wrapping_add(1), DIGIT, 18);
    if whole > 180 || !matches!(text.at(point), b'.') || end.wrapping_sub(point).wrapping_sub(1) < DECIMALS {
        return None;
    }
    let mut behind = end;
    if text.has(behind, "\u{b0}".as_bytes()) {
        behind = behind.wrapping_add(2);
    }
    let letter = behind.wrapping_add(usize::from(text.at(behind) == b' '));
    if matches!(text.at(letter), b'N' | b'E' | b'S' | b'W') && !text.is(letter.wrapping_add(1), WORD) {
        return Some(letter.wrapping_add(1));
    }
    ends_clean(text, behind).then_some(behind)
}
