//! Text behind other text: percent-encoding, JSON and HTML escapes, digits of other scripts, characters nobody sees.
//!
//! [`plain`] undoes them in one pass and remembers where each byte came from, so that a hit in the plain form
//! is a hit on the bytes that were written.

use super::text::{HEX, HIGH, Text};

/// Text in its plain form.
pub(crate) struct Plain {
    pub(crate) text: String,
    /// For each byte of `text`, where its source starts and ends.
    source: Vec<(u32, u32)>,
}

impl Plain {
    /// The bytes of the source that `start..end` of the plain text came from.
    pub(crate) fn source(&self, start: usize, end: usize) -> (usize, usize) {
        let at = |index: usize| self.source.get(index).copied().unwrap_or((0, 0));
        let first = at(start).0;
        let last = at(end.wrapping_sub(1)).1;
        (usize::try_from(first).unwrap_or(0), usize::try_from(last).unwrap_or(usize::MAX))
    }

    fn push(&mut self, piece: &str, start: usize, end: usize) {
        let bounds = (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX));
        self.text.push_str(piece);
        self.source.extend(std::iter::repeat_n(bounds, piece.len()));
    }
}

/// The plain form of a text, when it differs. `%2540` counts as one level: however often a percent sign was
/// encoded, it is one step.
pub(crate) fn plain(source: &str) -> Option<Plain> {
    let text = Text::new(source);
    let first = (0..text.len()).find(|at| may_change(text.at(*at)) && step(text, *at).is_some())?;
    let mut plain =
        Plain { text: String::with_capacity(source.len()), source: Vec::with_capacity(source.len()) };
    let copy = |plain: &mut Plain, from: usize, to: usize| {
        for (offset, character) in text.str(from, to).char_indices() {
            let start = from.wrapping_add(offset);
            let mut buffer = [0; 4];
            plain.push(character.encode_utf8(&mut buffer), start, start.wrapping_add(character.len_utf8()));
        }
    };
    copy(&mut plain, 0, first);
    let mut at = first;
    while at < text.len() {
        if may_change(text.at(at))
            && let Some(Step { pieces, end }) = step(text, at)
        {
            for (character, from, to) in pieces {
                let mut buffer = [0; 4];
                plain.push(character.encode_utf8(&mut buffer), from, to);
            }
            at = end;
        } else {
            let end = text.boundary(at.wrapping_add(1));
            copy(&mut plain, at, end);
            at = end;
        }
    }
    Some(plain)
}

fn may_change(byte: u8) -> bool {
    matches!(byte, b'%' | b'\\' | b'&') || byte >= 0x80
}

/// One encoded piece: the characters it stands for, each with its source, and where the piece ends.
struct Step {
    pieces: Vec<(char, usize, usize)>,
    end: usize,
}

impl Step {
    fn one(character: char, start: usize, end: usize) -> Option<Self> {
        Some(Self { pieces: vec![(character, start, end)], end })
    }
}

fn step(text: Text<'_>, at: usize) -> Option<Step> {
    match text.at(at) {
        b'%' => percent(text, at),
        b'\\' => escape(text, at),
        b'&' => entity(text, at),
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
    let mut bytes = vec![lead];
    while bytes.len() < length {
        let (byte, next) = triplet(text, end)?;
        bytes.push(byte);
        end = next;
    }
    let character = std::str::from_utf8(&bytes).ok()?.chars().next()?;
    // `%250` and the like would decode to an encoded text once more.
    Step::one(character, at, end)
}

/// `\u0040`, `\x40`, `\/`, however many backslashes precede.
fn escape(text: Text<'_>, at: usize) -> Option<Step> {
    let mut mark = at;
    while text.at(mark) == b'\\' && mark.wrapping_sub(at) < 64 {
        mark = mark.wrapping_add(1);
    }
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
                let second = text.run_end(end, super::text::SPACE, 0);
                let low = (text.at(second) == b'\\').then(|| {
                    let mut mark = second;
                    while text.at(mark) == b'\\' && mark.wrapping_sub(second) < 64 {
                        mark = mark.wrapping_add(1);
                    }
                    (text.at(mark) == b'u')
                        .then(|| hex(text, mark.wrapping_add(1), 4).map(|low| (low, mark.wrapping_add(5))))
                });
                let (low, end) = low???;
                let character = char::decode_utf16([u16::try_from(value).ok()?, u16::try_from(low).ok()?])
                    .next()?
                    .ok()?;
                return Step::one(character, at, end);
            }
            Step::one(char::from_u32(value)?, at, end)
        }
        b'x' => Step::one(char::from_u32(hex(text, digits, 2)?)?, at, digits.wrapping_add(2)),
        b'/' => Step::one('/', at, digits),
        _ => None,
    }
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

/// A character outside ASCII that stands for one inside, or for nothing to the eye.
fn fold(text: Text<'_>, at: usize) -> Option<Step> {
    if !text.is(at, HIGH) {
        return None;
    }
    let character = text.char_at(at)?;
    let end = at.wrapping_add(character.len_utf8());
    if matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    ) {
        return Some(Step { pieces: Vec::new(), end });
    }
    ascii(character).and_then(|ascii| Step::one(ascii, at, end))
}

/// What a character looks like in ASCII: full-width forms, digits of other scripts, dashes, spaces, points.
fn ascii(character: char) -> Option<char> {
    /// The digit nought of each decimal script (Unicode, general category Nd).
    const NOUGHTS: &[u32] = &[
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6, 0xe50,
        0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40,
        0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x1_04a0, 0x1_1066, 0x1_d7ce,
        0x1_d7d8, 0x1_d7e2, 0x1_d7ec, 0x1_d7f6, 0x1_fbf0,
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
            let nought = NOUGHTS.iter().find(|nought| (**nought..nought.wrapping_add(10)).contains(&code))?;
            char::from_digit(code.wrapping_sub(*nought), 10)
        }
    }
}
