//! Telephone numbers: international ones by their shape, national ones next to a word or in a shape of their own.

use super::super::detector::Detector;
use super::super::lexicon::Cue;
use super::super::text::{DIGIT, HEX, SPACE, Text, WORD};
use super::number::{Group, Number, ends_clean, starts_clean};
use super::{Announced, ID, Scan};

/// The most digits of a number, country code included (ITU-T E.164 clause 6.1).
const MAX_DIGITS: usize = 15;
/// The most groups of digits.
const MAX_GROUPS: usize = 10;

/// Digits with the separators of telephone numbers.
#[derive(Clone, Copy)]
struct Dialled<'n> {
    number: &'n Number,
    groups: &'n [Group],
}

impl<'n> Dialled<'n> {
    /// The groups of a number that may be one of a telephone.
    fn of(number: &'n Number) -> Self {
        let groups = number.dialled();
        let groups = groups.get(..MAX_GROUPS).unwrap_or(groups);
        let fits = groups.iter().take_while(|group| group.digits() <= MAX_DIGITS).count();
        Self { number, groups: groups.get(..fits).unwrap_or(&[]) }
    }

    fn digit(self, at: usize) -> u8 {
        self.number.digits(MAX_DIGITS).get(at).copied().unwrap_or(0)
    }

    fn count(self) -> usize {
        self.groups.last().map_or(0, |group| group.digits())
    }

    /// The last group behind which a number of `min` to `max` digits may end.
    fn stop(self, text: Text<'_>, min: usize, max: usize) -> Option<Group> {
        let fits = |group: &&Group| (min..=max).contains(&group.digits()) && ends_clean(text, group.end());
        self.groups.iter().rev().find(fits).copied()
    }
}

/// A number at `start`, where a digit stands behind a plus sign or bracket.
pub(crate) fn signed(scan: &mut Scan<'_, '_>, start: usize) {
    let mut found = Number::at(start);
    found.read(scan.text);
    phone(scan, &found);
}

/// A number that [may be](may_be) one of a telephone.
pub(crate) fn phone(scan: &mut Scan<'_, '_>, found: &Number) {
    let earlier = scan.found();
    let dialled = Dialled::of(found);
    let Some(last) = dialled.groups.last().copied() else { return };
    if last.digits() < 6 {
        return;
    }
    number(scan, found.start, dialled);
    if scan.found() == earlier {
        scan.hangs_on_words(found.start, last.end());
    }
}

/// Whether a number at `start`, after no sign, may be one of a telephone: a bracket or word says so, or it has a shape of its
/// own, which starts with a group of two or three, `size` of them.
pub(crate) fn may_be(scan: &Scan<'_, '_>, start: usize, size: usize) -> bool {
    scan.text.before(start) == b'('
        || scan.has_cue(Cue::Phone)
        || scan.has_cue(Cue::Call)
        || matches!(size, 2 | 3)
}

/// As [`phone`], for digits that are enough.
fn number(scan: &mut Scan<'_, '_>, start: usize, dialled: Dialled<'_>) {
    let text = scan.text;
    let opened = usize::from(text.before(start) == b'(');
    let first = start.wrapping_sub(opened);
    if text.before(first) == b'+'
        || (opened == 1 && text.before(first) == b' ' && text.before(first.wrapping_sub(1)) == b'+')
    {
        international(scan, dialled, first.wrapping_sub(1));
        return;
    }
    let laid = own_shape(text, start, opened, dialled);
    if laid.is_none() && !scan.has_cues() {
        return;
    }
    let announced = scan.announced(Cue::Phone, first).max(called(scan, first, dialled));
    let adjacent = announced == Announced::Adjacent;
    if !adjacent && !starts_clean(text, first) {
        return;
    }
    if announced == Announced::No {
        if let Some(stop) = laid
            && !scan.is_reference(first)
        {
            finish(scan, first, stop);
        }
        return;
    }
    if (!adjacent && scan.is_reference(first)) || is_date(dialled.groups) || (text.is_before(first, WORD)) {
        return;
    }
    let zero = dialled.digit(0) == 0;
    let grouped = dialled.groups.len() > 1;
    let (min, max) = match (adjacent, zero, opened == 1 || grouped) {
        (true, _, _) => (6, 15),
        (false, true, _) => (8, 15),
        (false, false, true) => (8, 13),
        (false, false, false) => (9, 11),
    };
    let max = if zero && dialled.digit(1) != 0 { max.min(12) } else { max };
    if let Some(stop) = laid.or_else(|| dialled.stop(text, min, max)) {
        finish(scan, first, stop);
    }
}

/// How a word such as `call` or `contact` announces a number: programs are called and counted, too. A number that is one of a
/// telephone in shape counts: from nought on, in groups, or right behind its word nine to eleven digits from two on.
fn called(scan: &Scan<'_, '_>, start: usize, dialled: Dialled<'_>) -> Announced {
    let total = dialled.count();
    let announced = scan.announced(Cue::Call, start);
    let shaped = dialled.digit(0) == 0 || dialled.groups.len() > 1;
    // `call_id=839050986`
    let numbered =
        scan.text.slice(start.wrapping_sub(ID), start).windows(2).any(|two| two.eq_ignore_ascii_case(b"id"));
    let long =
        (9..=11).contains(&total) && dialled.digit(0) > 1 && announced == Announced::Adjacent && !numbered;
    if shaped || long { announced } else { Announced::No }
}

/// Reports the number with its extension.
fn finish(scan: &mut Scan<'_, '_>, start: usize, stop: Group) {
    let text = scan.text;
    let mut end = stop.end();
    let mut at = end.wrapping_add(usize::from(text.at(end) == b' '));
    for word in [b"ext.".as_slice(), b"ext", b"x"] {
        if text.has_any_case(at, word) {
            at = at.wrapping_add(word.len());
            at = at.wrapping_add(usize::from(text.at(at) == b' '));
            let extension = text.run_end(at, DIGIT, 6);
            if extension > at && extension.wrapping_sub(at) < 6 {
                end = extension;
            }
            break;
        }
    }
    scan.hit(start, end, Detector::Phone);
}

/// A number with its country code; `plus` is where the sign stands.
fn international(scan: &mut Scan<'_, '_>, dialled: Dialled<'_>, plus: usize) {
    let text = scan.text;
    if text.is_before(plus, WORD) && !text.before(plus).is_ascii_punctuation() {
        return;
    }
    let Some(max) = country_code(dialled.number.digits(3)) else { return };
    if let Some(stop) = dialled.stop(text, 8, max).or_else(|| dialled.stop(text, 8, MAX_DIGITS)) {
        finish(scan, plus, stop);
    }
}

/// The most digits a number with this country code has; nothing when no country has the code.
fn country_code(digits: &[u8]) -> Option<usize> {
    let head = |count: usize| super::digits::number(digits.get(..count)?).try_into().ok();
    let one: u16 = head(1)?;
    let two: u16 = head(2)?;
    let three: u16 = head(3)?;
    Some(match (one, two, three) {
        (1 | 7, ..) | (_, 31..=34 | 41 | 45 | 61, _) => 11,
        (_, 44 | 46 | 48 | 64 | 91, _) => 12,
        (_, 47, _) => 10,
        (
            _,
            20 | 27 | 30 | 36 | 39 | 40 | 43 | 49 | 51..=58 | 60 | 62 | 63 | 65 | 66 | 81 | 82 | 84 | 86,
            _,
        )
        | (_, 90 | 92..=95 | 98, _) => 14,
        (_, _, 420 | 421 | 351) => 12,
        (_, _, 211..=213 | 216 | 218 | 220..=269 | 290 | 291 | 297..=299 | 350..=359 | 370..=389 | 423)
        | (_, _, 500..=509 | 590..=599 | 670 | 672..=692 | 800 | 808 | 850 | 852 | 853 | 855 | 856 | 870)
        | (_, _, 878 | 880..=883 | 886 | 888 | 960..=968 | 970..=977 | 979 | 992..=998) => 15,
        _ => return None,
    })
}

/// A national number whose shape nothing else has: `(943) 216-1068`, `943-216-1068`, `06 58 19 40 35`.
fn own_shape(text: Text<'_>, start: usize, opened: usize, dialled: Dialled<'_>) -> Option<Group> {
    let stop = |groups: usize| {
        let stop = dialled.groups.get(groups.wrapping_sub(1)).copied()?;
        (ends_clean(text, stop.end()) && starts_clean(text, start.wrapping_sub(opened))).then_some(stop)
    };
    let exchange = dialled.digit(0) > 1 && dialled.digit(3) > 1;
    match dialled.groups {
        [
            Group { size: 3, .. },
            Group { separator: b')', size: 3, .. },
            Group { separator: b'-' | b' ' | b'.', size: 4, .. },
            ..,
        ] if opened == 1 => stop(3),
        [
            Group { size: 3, .. },
            Group { separator: a @ (b'-' | b'.'), size: 3, .. },
            Group { separator: b, size: 4, .. },
        ] if exchange && a == b => stop(3),
        [first, rest @ ..]
            if dialled.digit(0) == 0
                && dialled.digit(1) != 0
                && first.size == 2
                && rest.len() == 4
                && rest.iter().all(|group| group.size == 2)
                && matches!(Number::separator(dialled.groups), Some(b' ' | b'.'))
                && !is_dump(text, start, dialled) =>
        {
            stop(5)
        }
        _ => None,
    }
}

/// Whether pairs of hexadecimal digits stand around the number: a dump of memory.
fn is_dump(text: Text<'_>, start: usize, dialled: Dialled<'_>) -> bool {
    let end = dialled.groups.last().map_or(start, |stop| stop.end());
    let pair =
        |at: usize| text.run_end(at, HEX, 3) == at.wrapping_add(2) && !text.is(at.wrapping_add(2), WORD);
    (text.at(end) == b' ' && pair(end.wrapping_add(1)))
        || (text.before(start) == b' '
            && text.is_before(start.wrapping_sub(1), HEX)
            && pair(start.wrapping_sub(3))
            && text.is_before(start.wrapping_sub(3), SPACE))
}

/// Whether the groups are those of a date.
fn is_date(groups: &[Group]) -> bool {
    let [first, second, third, ..] = groups else { return false };
    matches!(second.separator, b'-' | b'.' | b'/')
        && matches!(third.separator, b'-' | b'.' | b'/')
        && matches!((first.size, second.size, third.size), (4, 2, 2) | (1 | 2, 1 | 2, 4))
}
