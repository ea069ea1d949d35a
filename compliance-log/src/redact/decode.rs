//! Text behind other text: percent-encoding, escapes of JSON, C and HTML, digits of other scripts, characters and colours
//! nobody reads, and words that end where a script or a sign does.
//!
//! [`plain`] undoes them in one pass and remembers where each byte came from, so that a hit in the plain form
//! is a hit on the bytes that were written.

use std::ops::Range;

use super::detect::mail::unspaced;
use super::text::{ALNUM, DIGIT, HEX, HIGH, LOWER, Text, find, is};

/// Text in its plain form.
pub(crate) struct Plain {
    pub(crate) text: String,
    /// In order.
    parts: Vec<Part>,
}

/// A part of the plain text, up to the next one.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    /// The source of the whole part.
    source: (usize, usize),
    /// It is a copy of its source, byte by byte.
    copied: bool,
}

impl Plain {
    /// The bytes of the source that `start..end` of the plain text came from.
    pub(crate) fn source(&self, start: usize, end: usize) -> (usize, usize) {
        let at = |index: usize| {
            let behind = self.parts.partition_point(|part| part.start <= index);
            let part = behind.checked_sub(1).and_then(|part| self.parts.get(part))?;
            let first = part.source.0.wrapping_add(index.wrapping_sub(part.start));
            Some(if part.copied { (first, first.wrapping_add(1)) } else { part.source })
        };
        let none = (0, 0);
        (at(start).unwrap_or(none).0, at(end.wrapping_sub(1)).unwrap_or(none).1)
    }

    fn copy(&mut self, text: Text<'_>, from: usize, to: usize) {
        if from < to {
            self.parts.push(Part { start: self.text.len(), source: (from, to), copied: true });
            self.text.push_str(text.str(from, to));
        }
    }

    fn write(&mut self, step: &Step) {
        for (character, from, to) in step.pieces.iter().flatten() {
            self.parts.push(Part { start: self.text.len(), source: (*from, *to), copied: false });
            self.text.push(*character);
        }
    }
}

/// The plain form of a text, when it differs. `%2540` counts as one level: however often a percent sign was
/// encoded, it is one step. What lies in one of `opaque`, which are in order, stays as it is.
pub(crate) fn plain(source: &str, mut opaque: &[Range<usize>]) -> Option<Plain> {
    let text = Text::new(source);
    let mut plain = None;
    // Up to here all is written; from there to what is looked at nothing changes.
    let mut written = 0;
    let mut at = 0;
    loop {
        let rest = text.bytes().get(at..).unwrap_or(&[]);
        at = at.wrapping_add(find(rest, may_change));
        if at >= text.len() {
            break;
        }
        if let [first, rest @ ..] = opaque
            && first.start <= at
        {
            at = at.max(first.end);
            opaque = rest;
            continue;
        }
        let Some(step) = step(text, at) else {
            at = text.boundary(at.wrapping_add(1));
            continue;
        };
        let plain = plain.get_or_insert_with(|| Plain {
            text: String::with_capacity(source.len()),
            parts: Vec::with_capacity(16),
        });
        plain.copy(text, written, at);
        plain.write(&step);
        at = step.end;
        written = at;
    }
    let mut plain = plain?;
    plain.copy(text, written, text.len());
    Some(plain)
}

/// Whether a byte may begin an encoded character.
#[inline(always)]
fn may_change(byte: u8) -> bool {
    (byte == b'%') | (byte == b'\\') | (byte == b'&') | (byte == b'+') | (byte == ESC) | (byte >= 0x80)
}

/// Whether a percent sign, backslash or ampersand at `at` may begin an encoded character.
// Called among vectors (`anchor`), where a call costs more than it does.
#[inline(always)]
pub(crate) fn may_encode(text: Text<'_>, at: usize) -> bool {
    let next = text.at(at.wrapping_add(1));
    match text.at(at) {
        b'%' => is(next, HEX) && text.is(at.wrapping_add(2), HEX),
        b'\\' => matches!(next, b'u' | b'x' | b'/' | b'1'..=b'3') || is_short_escape(next),
        b'&' => next == b'#' || is(next, LOWER),
        _ => false,
    }
}

/// One encoded piece: the characters it stands for, each with its source, and where the piece ends.
struct Step {
    pieces: [Option<(char, usize, usize)>; 3],
    end: usize,
}

impl Step {
    fn one(character: char, start: usize, end: usize) -> Option<Self> {
        Some(Self { pieces: [Some((character, start, end)), None, None], end })
    }

    /// A piece that stands for nothing.
    fn none(end: usize) -> Self {
        Self { pieces: [None; 3], end }
    }
}

fn step(text: Text<'_>, at: usize) -> Option<Step> {
    match text.at(at) {
        b'%' => percent(text, at),
        b'\\' => escape(text, at),
        b'&' => entity(text, at),
        b'+' if is_form_space(text, at) => Step::one(' ', at, at.wrapping_add(1)),
        b'+' => None,
        ESC => control_sequence(text, at),
        _ => fold(text, at),
    }
}

fn hex(text: Text<'_>, start: usize, digits: usize) -> Option<u32> {
    let found = text.str(start, start.checked_add(digits)?);
    if found.len() != digits || !found.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(found, 16).ok()
}

/// The byte of a percent triplet at `at`, RFC 3986 section 2.1, and where it ends.
fn triplet(text: Text<'_>, at: usize) -> Option<(u8, usize)> {
    if text.at(at) != b'%' {
        return None;
    }
    let mut digits = at.wrapping_add(1);
    while text.has(digits, b"25")
        && text.is(digits.wrapping_add(2), HEX)
        && text.is(digits.wrapping_add(3), HEX)
    {
        digits = digits.wrapping_add(2);
    }
    let value = hex(text, digits, 2)?;
    Some((u8::try_from(value).ok()?, digits.wrapping_add(2)))
}

/// Triplets that make up one character.
fn percent(text: Text<'_>, at: usize) -> Option<Step> {
    let (lead, mut end) = triplet(text, at)?;
    let length = match lead {
        0x00..=0x7f => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    let mut bytes = [lead, 0, 0, 0];
    for cell in bytes.get_mut(1..length)? {
        let (byte, next) = triplet(text, end)?;
        *cell = byte;
        end = next;
    }
    let character = std::str::from_utf8(bytes.get(..length)?).ok()?.chars().next()?;
    Step::one(character, at, end)
}

/// What may follow a backslash and stands for white space or a control character: RFC 8259 section 7, and C11 section 6.4.4.4.
fn is_short_escape(letter: u8) -> bool {
    matches!(letter, b'n' | b'r' | b't' | b'b' | b'f' | b'v' | b'e' | b'0')
}

/// Where what a backslash before `at` escapes ends: a letter there is none of a word. `at` where no backslash stands.
pub(crate) fn after_escape(text: Text<'_>, at: usize) -> usize {
    let length = match text.at(at) {
        _ if text.before(at) != b'\\' => 0,
        b'u' if hex(text, at.wrapping_add(1), 4).is_some() => 5,
        b'x' if hex(text, at.wrapping_add(1), 2).is_some() => 3,
        letter => usize::from(is_short_escape(letter)),
    };
    if length > 0 { at.wrapping_add(length) } else { after_sequence(text, at) }
}

/// Where the control sequence ends whose parameters stand around `at`; `at` where they are none.
fn after_sequence(text: Text<'_>, at: usize) -> usize {
    let parameter = |byte: u8| byte.is_ascii_digit() || byte == b';';
    let (mut start, mut end) = (at, at);
    while parameter(text.before(start)) && at.wrapping_sub(start) < PARAMETERS {
        start = start.wrapping_sub(1);
    }
    let mark = start.wrapping_sub(1);
    let escapes = [r"\u001b", r"\x1b", r"\033", r"\e", "\u{1b}"];
    let begins = |escape: &str| {
        text.slice(mark.wrapping_sub(escape.len()), mark).eq_ignore_ascii_case(escape.as_bytes())
    };
    if text.at(mark) != b'[' || !escapes.iter().any(|escape| begins(escape)) {
        return at;
    }
    while parameter(text.at(end)) && end.wrapping_sub(at) < PARAMETERS {
        end = end.wrapping_add(1);
    }
    if matches!(text.at(end), 0x40..=0x7e) { end.wrapping_add(1) } else { at }
}

/// `\u0040`, `\x40`, `\100`, `\n`, `\/`, however many backslashes precede.
fn escape(text: Text<'_>, at: usize) -> Option<Step> {
    let mark = behind_backslashes(text, at);
    let digits = mark.wrapping_add(1);
    match text.at(mark) {
        b'u' if text.at(digits) == b'{' => {
            let close = text.run_end(digits.wrapping_add(1), HEX, 6);
            let value = hex(text, digits.wrapping_add(1), close.wrapping_sub(digits).wrapping_sub(1))?;
            (text.at(close) == b'}').then_some(())?;
            Step::one(char::from_u32(value)?, at, close.wrapping_add(1))
        }
        b'u' => {
            let value = hex(text, digits, 4)?;
            let end = digits.wrapping_add(4);
            if let 0xd800..=0xdbff = value {
                let mark = behind_backslashes(text, end);
                if mark == end || text.at(mark) != b'u' {
                    return None;
                }
                let digits = mark.wrapping_add(1);
                let low = hex(text, digits, 4)?;
                let end = digits.wrapping_add(4);
                let character = char::decode_utf16([u16::try_from(value).ok()?, u16::try_from(low).ok()?])
                    .next()?
                    .ok()?;
                return Step::one(character, at, end);
            }
            Step::one(char::from_u32(value)?, at, end)
        }
        b'x' => Step::one(char::from_u32(hex(text, digits, 2)?)?, at, digits.wrapping_add(2)),
        b'/' => Step::one('/', at, digits),
        b'n' | b'r' => Step::one('\n', at, digits),
        b'e' => Step::one(char::from(ESC), at, digits),
        // `\0` alone is a character of its own, whatever digits follow; three digits are one that starts a colour.
        b'0' if text.has(digits, b"33[") => Step::one(char::from(ESC), at, digits.wrapping_add(2)),
        b'1'..=b'3' if octal(text, digits) && octal(text, digits.wrapping_add(1)) => {
            let end = digits.wrapping_add(2);
            let value = u32::from_str_radix(text.str(mark, end), 8).ok()?;
            Step::one(char::from_u32(value)?, at, end)
        }
        letter if is_short_escape(letter) => Step::one(' ', at, digits),
        _ => None,
    }
}

/// The most backslashes before an escape.
const BACKSLASHES: usize = 64;

fn behind_backslashes(text: Text<'_>, at: usize) -> usize {
    let mut end = at;
    while text.at(end) == b'\\' && end.wrapping_sub(at) < BACKSLASHES {
        end = end.wrapping_add(1);
    }
    end
}

fn octal(text: Text<'_>, at: usize) -> bool {
    matches!(text.at(at), b'0'..=b'7')
}

/// How far before a plus sign the name of its field ends, in bytes.
const FIELD: usize = 64;

/// Whether the plus sign at `at` stands for a space: within the value of a form's field (URL Standard, section 5.1).
pub(crate) fn is_form_space(text: Text<'_>, at: usize) -> bool {
    if !text.is_before(at, ALNUM) || !text.is(at.wrapping_add(1), ALNUM) {
        return false;
    }
    let before = text.slice(at.saturating_sub(FIELD), at).iter().rev();
    let sign = before
        .copied()
        .find(|byte| !(is(*byte, ALNUM) || matches!(byte, b'+' | b'%' | b'.' | b'-' | b'_' | b'*' | b'~')));
    sign == Some(b'=')
}

/// What starts a control sequence.
pub(crate) const ESC: u8 = 0x1b;

/// The most bytes of a control sequence's parameters.
const PARAMETERS: usize = 32;

/// A control sequence of ECMA-48 section 5.4, such as a colour: nothing to the eye.
fn control_sequence(text: Text<'_>, at: usize) -> Option<Step> {
    let from = at.wrapping_add(2);
    let mut end = from;
    while matches!(text.at(end), 0x20..=0x3f) && end.wrapping_sub(from) < PARAMETERS {
        end = end.wrapping_add(1);
    }
    let whole = text.at(at.wrapping_add(1)) == b'[' && matches!(text.at(end), 0x40..=0x7e);
    whole.then(|| Step::none(end.wrapping_add(1)))
}

/// `&#64;`, `&#x40;`, `&commat;`.
fn entity(text: Text<'_>, at: usize) -> Option<Step> {
    const NAMES: &[(&[u8], char)] = &[
        (b"commat;", '@'),
        (b"period;", '.'),
        (b"amp;", '&'),
        (b"quot;", '"'),
        (b"apos;", '\''),
        (b"lt;", '<'),
        (b"gt;", '>'),
        (b"nbsp;", ' '),
        (b"plus;", '+'),
        (b"colon;", ':'),
        (b"equals;", '='),
    ];
    let name = at.wrapping_add(1);
    if text.at(name) != b'#' {
        let (name_text, character) = NAMES.iter().find(|(known, _)| text.has(name, known))?;
        return Step::one(*character, at, name.wrapping_add(name_text.len()));
    }
    let digits = name.wrapping_add(1);
    let (start, radix) =
        if matches!(text.at(digits), b'x' | b'X') { (digits.wrapping_add(1), 16) } else { (digits, 10) };
    let end = text.run_end(start, HEX, 7);
    let value = u32::from_str_radix(text.str(start, end), radix).ok()?;
    let end = end.wrapping_add(usize::from(text.at(end) == b';'));
    Step::one(char::from_u32(value)?, at, end)
}

/// A character outside ASCII that stands for one inside, for nothing to the eye, or for a boundary between words.
fn fold(text: Text<'_>, at: usize) -> Option<Step> {
    if !text.is(at, HIGH) {
        return None;
    }
    let character = text.char_at(at)?;
    let end = at.wrapping_add(character.len_utf8());
    if is_unseen(character) {
        return Some(Step::none(end));
    }
    // The mark of a long vowel is a letter, and a dash among digits.
    if character == '\u{30fc}' && text.is_before(at, DIGIT) && text.is(end, DIGIT) {
        return Step::one('-', at, end);
    }
    if let Some(ascii) = ascii(character) {
        return Step::one(ascii, at, end);
    }
    if parts(character) {
        return Step::one(' ', at, end);
    }
    let (before, behind) = (text.is_before(at, ALNUM), text.is(end, ALNUM));
    if !(before || behind) || !unspaced(character) {
        return None;
    }
    // A word of another script ends here, whatever is written beside it (UAX #29 section 4.1).
    let pieces =
        [before.then_some((' ', at, at)), Some((character, at, end)), behind.then_some((' ', end, end))];
    Some(Step { pieces, end })
}

/// Whether a character has no width: Unicode, property `Default_Ignorable_Code_Point`, and the interlinear annotations.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether a character is a sign between words: neither letter nor number nor a mark on one.
fn parts(character: char) -> bool {
    let seen = || character.escape_debug().count() == 1;
    // `§ 5.3.2.1` says what its number is.
    character != '§'
        && !character.is_alphanumeric()
        && (character.is_whitespace() || character.is_control() || seen())
}

/// What a character looks like in ASCII: full-width forms, digits of other scripts, dashes, spaces, points.
fn ascii(character: char) -> Option<char> {
    /// The digit nought of each decimal script (Unicode, general category Nd).
    const NOUGHTS: &[u32] = &[
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
        0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
        0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x1_04a0, 0x1_0d30, 0x1_0d40,
        0x1_1066, 0x1_10f0, 0x1_1136, 0x1_11d0, 0x1_12f0, 0x1_1450, 0x1_14d0, 0x1_1650, 0x1_16c0, 0x1_16d0,
        0x1_1730, 0x1_18e0, 0x1_1950, 0x1_1bf0, 0x1_1c50, 0x1_1d50, 0x1_1da0, 0x1_1de0, 0x1_1f50, 0x1_6130,
        0x1_6a60, 0x1_6ac0, 0x1_6b50, 0x1_ccf0, 0x1_d7ce, 0x1_d7d8, 0x1_d7e2, 0x1_d7ec, 0x1_d7f6, 0x1_e140,
        0x1_e2f0, 0x1_e4f0, 0x1_e5f0, 0x1_e950, 0x1_fbf0,
    ];
    let code = u32::from(character);
    match character {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(code.wrapping_sub(0xfee0)),
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => Some(' '),
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => Some('-'),
        '\u{3002}' | '\u{ff61}' | '\u{2024}' => Some('.'),
        '\u{fe55}' | '\u{a789}' => Some(':'),
        '\u{fe6b}' => Some('@'),
        _ => {
            let behind = NOUGHTS.partition_point(|nought| *nought <= code);
            let nought = NOUGHTS.get(behind.checked_sub(1)?)?;
            char::from_digit(code.wrapping_sub(*nought), 10)
        }
    }
}
