//! Payment cards and bank accounts.

use super::super::detector::Detector;
use super::super::lexicon::Cue;
use super::super::text::{ALNUM, DIGIT, LOWER, Text, UPPER, WORD, is};
use super::digits::{luhn, number, uniform};
use super::number::{Group, Number, ends_checked, ends_clean, starts_checked, starts_clean};
use super::{Announced, BEHIND, Scan};

/// A card number from the group at hand on. Luhn, issuer range and length decide; next to a word such as
/// `card` two of them are enough, since a mistyped number is the cardholder's all the same.
pub(crate) fn card(scan: &mut Scan<'_, '_>, found: &Number) {
    if found.count() < 13 {
        return;
    }
    let start = found.start;
    let announced = scan.announced(Cue::Card, start);
    let clean = starts_clean(scan.text, start);
    if announced != Announced::Adjacent && !clean && !starts_checked(scan.text, start) {
        return;
    }
    for groups in (0..found.groups().len()).rev() {
        let Some(groups) = found.groups().get(..=groups) else { continue };
        let Some(last) = groups.last() else { continue };
        let (end, count) = (last.end(), last.digits());
        if !(13..=19).contains(&count) || !grouped(groups) || !ends_checked(scan.text, end) {
            continue;
        }
        let digits = found.digits(count);
        let issuer = issuer(digits);
        let checked = issuer == Issuer::Sure && count <= USUAL && luhn(digits);
        let (starts, ends) = (clean || announced == Announced::Adjacent, ends_clean(scan.text, end));
        if !(checked || (starts && ends)) {
            continue;
        }
        if announced != Announced::Adjacent && issuer == Issuer::None {
            continue;
        }
        let sound = match announced {
            Announced::Adjacent => luhn(digits) || issuer == Issuer::Sure,
            Announced::Near => luhn(digits) && issuer != Issuer::None,
            Announced::No => luhn(digits) && issuer == Issuer::Sure,
        };
        // An order's number that is a card's in every respect is a card's: one in a hundred others looks like it.
        let sure = announced == Announced::Adjacent || issuer == Issuer::Sure && luhn(digits);
        if sound && !uniform(digits) && (sure || !scan.is_reference(start)) {
            scan.hit(start, end, Detector::CreditCard);
            return;
        }
    }
}

/// The most digits of a card in wide use. Numbers of eighteen digits and more are drawn at random by machines:
/// `blk_4539…` is a block.
const USUAL: usize = 16;

/// Whether the groups are those of a card: one run, or groups of three to seven with one separator.
fn grouped(groups: &[Group]) -> bool {
    match Number::separator(groups) {
        Some(0) => true,
        Some(b' ' | b'-' | b'.') => {
            let mut sizes = Number::sizes(groups);
            sizes.next() == Some(4) && sizes.all(|size| (2..=7).contains(&size))
        }
        _ => false,
    }
}

/// What the first digits and the length say of the issuer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Issuer {
    /// A range and length in wide use.
    Sure,
    /// A range or length so wide that any number may fall into it.
    Unsure,
    None,
}

fn issuer(digits: &[u8]) -> Issuer {
    let head = |count: usize| number(digits.get(..count).unwrap_or(&[]));
    match (digits.len(), head(1), head(2), head(3), head(4)) {
        (16, 4, ..)
        | (15, _, 34 | 37, ..)
        | (16, _, 51..=55, ..)
        | (16, _, _, _, 2221..=2720)
        | (16..=19, _, _, _, 6011)
        | (16..=19, _, 65, ..)
        | (16..=19, _, _, 644..=649, _)
        | (14, _, 36 | 38, ..)
        | (14, _, _, 300..=305, _)
        | (16, _, _, _, 3528..=3589)
        | (16, _, 62, ..)
        | (16, _, _, _, 2200..=2204) => Issuer::Sure,
        (13 | 19, 4, ..)
        | (17..=19, _, 62 | 35, ..)
        | (14..=19, _, 39 | 36, ..)
        | (13..=19, _, 50 | 56..=69 | 81 | 82, ..)
        | (16, _, _, _, 9792) => Issuer::Unsure,
        _ => Issuer::None,
    }
}

/// A card verification value: three or four digits next to its word.
pub(crate) fn verification_value(scan: &mut Scan<'_, '_>, cue_end: usize) {
    // `cvv2=123`
    let numbered = scan.text.at(cue_end) == b'2' && !scan.text.is(cue_end.wrapping_add(1), DIGIT);
    let cue_end = cue_end.wrapping_add(usize::from(numbered));
    let start = scan.value_after(cue_end);
    let end = scan.text.run_end(start, DIGIT, 5);
    if start > cue_end && (3..=4).contains(&end.wrapping_sub(start)) && ends_clean(scan.text, end) {
        scan.hit(start, end, Detector::Cvv);
    } else {
        scan.hangs_on(cue_end.wrapping_sub(1), end, end.saturating_add(BEHIND));
    }
}

/// The SWIFT registry of IBAN lengths by country, release 99.
const IBAN_LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// The same by the places of both letters in the alphabet, 0 for none.
static IBAN_LENGTH: [[u8; 32]; 32] = by_letters();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
const fn by_letters() -> [[u8; 32]; 32] {
    let mut table = [[0; 32]; 32];
    let mut at = 0;
    while at < IBAN_LENGTHS.len() {
        let (country, length) = IBAN_LENGTHS[at];
        table[(country[0] & 31) as usize][(country[1] & 31) as usize] = length as u8;
        at += 1;
    }
    table
}

/// How long the account numbers are of the country with these letters, in whatever case; 0 for none.
#[inline]
fn iban_length(first: u8, second: u8) -> u8 {
    let row = IBAN_LENGTH.get(usize::from(first & 31));
    row.and_then(|row| row.get(usize::from(second & 31))).copied().unwrap_or(0)
}

/// An IBAN whose country code stands at `start`, in one run or in groups.
pub(crate) fn iban(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    if text.is_before(start, WORD) {
        return;
    }
    if let Some(end) = iban_end(text, start)
        && (mod_97(text.slice(start, end)) || scan.announced(Cue::Iban, start) == Announced::Adjacent)
    {
        scan.hit(start, end, Detector::Iban);
    }
}

/// Where the IBAN at `start` ends if it has the length of its country and a boundary after it.
pub(crate) fn iban_end(text: Text<'_>, start: usize) -> Option<usize> {
    let second = start.wrapping_add(1);
    if !text.is(start, UPPER | LOWER) || !text.is(second, UPPER | LOWER) {
        return None;
    }
    match iban_length(text.at(start), text.at(second)) {
        0 => None,
        length => end_of(text, start, usize::from(length)),
    }
}

/// Where the IBAN at `start` ends if it has `length` characters and a boundary after them.
fn end_of(text: Text<'_>, start: usize, length: usize) -> Option<usize> {
    let mut at = start;
    let mut count = 0_usize;
    while count < length {
        let byte = text.at(at);
        if is(byte, ALNUM) {
            count = count.wrapping_add(1);
        } else if !(matches!(byte, b' ' | b'-' | b'.') && text.is(at.wrapping_add(1), ALNUM)) {
            return None;
        }
        at = at.wrapping_add(1);
    }
    (!text.is(at, WORD)).then_some(at)
}

/// ISO/IEC 7064 MOD 97-10 over the rearranged number (ISO 13616-1 clause 6).
fn mod_97(iban: &[u8]) -> bool {
    let characters = || iban.iter().filter(|byte| byte.is_ascii_alphanumeric());
    let remainder = characters().skip(4).chain(characters().take(4)).fold(0_u32, |remainder, byte| {
        let value = char::from(*byte).to_digit(36).unwrap_or(0);
        let shift = if value > 9 { 100 } else { 10 };
        remainder.wrapping_mul(shift).wrapping_add(value) % 97
    });
    remainder == 1
}
