//! Bytes with a class each, and reads that cannot fail, also of eight or sixteen bytes at once.

/// A decimal digit.
pub(crate) const DIGIT: u8 = 1;
/// An ASCII capital.
pub(crate) const UPPER: u8 = 1 << 1;
/// An ASCII small letter.
pub(crate) const LOWER: u8 = 1 << 2;
/// A byte of a character outside ASCII.
pub(crate) const HIGH: u8 = 1 << 3;
/// A hexadecimal digit, either case.
pub(crate) const HEX: u8 = 1 << 4;
/// White space and control characters.
pub(crate) const SPACE: u8 = 1 << 5;
/// A byte of base64 or base64url, without padding.
pub(crate) const BASE64: u8 = 1 << 6;
/// A byte that may stand in a mail address before the `@` and is not a usual delimiter in logs.
pub(crate) const LOCAL: u8 = 1 << 7;

/// A letter; bytes outside ASCII count, so that words of any script hold together.
pub(crate) const LETTER: u8 = UPPER | LOWER | HIGH;
/// A letter or a digit.
pub(crate) const WORD: u8 = LETTER | DIGIT;
/// A letter or a digit of ASCII.
pub(crate) const ALNUM: u8 = UPPER | LOWER | DIGIT;

const CLASSES: [u8; 256] = classes();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::arithmetic_side_effects,
    reason = "const code over 0..256 has neither `get` nor iterators"
)]
const fn classes() -> [u8; 256] {
    let mut table = [0_u8; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let mut class = 0;
        if byte.is_ascii_digit() {
            class |= DIGIT | LOCAL;
        }
        if byte.is_ascii_uppercase() {
            class |= UPPER | LOCAL;
        }
        if byte.is_ascii_lowercase() {
            class |= LOWER | LOCAL;
        }
        if byte >= 0x80 {
            class |= HIGH | LOCAL;
        }
        if byte.is_ascii_hexdigit() {
            class |= HEX;
        }
        if byte <= b' ' || byte == 0x7f {
            class |= SPACE;
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_') {
            class |= BASE64;
        }
        if matches!(byte, b'.' | b'_' | b'+' | b'-' | b'\'' | b'!' | b'#' | b'$' | b'%' | b'*' | b'~') {
            class |= LOCAL;
        }
        table[at] = class;
        at += 1;
    }
    table
}

/// The classes of a byte.
#[inline]
pub(crate) fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

/// Whether a byte is of one of `classes`.
#[inline]
pub(crate) fn is(byte: u8, classes: u8) -> bool {
    class(byte) & classes != 0
}

/// A set of bytes, to be asked one byte at a time; [`find`] and [`contains`] compare many.
pub(crate) struct Bytes([bool; 256]);

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
impl Bytes {
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut left = bytes;
        while let [byte, rest @ ..] = left {
            set[*byte as usize] = true;
            left = rest;
        }
        Self(set)
    }

    /// The set with all from `first` to `last` in it.
    pub(crate) const fn and(mut self, first: u8, last: u8) -> Self {
        let mut byte = first as usize;
        while byte <= last as usize {
            self.0[byte] = true;
            byte += 1;
        }
        self
    }

    #[inline]
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }
}

/// Where the first of `bytes` is that is `wanted`, or the end.
///
/// `wanted` compares without `&&` and `||`, so that sixteen bytes at a time are compared together.
#[inline(always)]
pub(crate) fn find(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    let (chunks, _) = bytes.as_chunks::<16>();
    let mut at = 0_usize;
    for chunk in chunks {
        if one_of(chunk, &wanted) {
            break;
        }
        at = at.wrapping_add(16);
    }
    let rest = bytes.get(at..).unwrap_or(&[]);
    at.wrapping_add(rest.iter().position(|byte| wanted(*byte)).unwrap_or(rest.len()))
}

/// Whether one of `bytes` is `wanted`, as in [`find`].
#[inline(always)]
pub(crate) fn contains(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> bool {
    // The last bytes are compared together with what stands before them.
    if let Some(last) = bytes.last_chunk::<16>() {
        let (chunks, _) = bytes.as_chunks::<16>();
        one_of(last, &wanted) || chunks.iter().any(|chunk| one_of(chunk, &wanted))
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        one_of(first, &wanted) || one_of(last, &wanted)
    } else {
        bytes.iter().any(|byte| wanted(*byte))
    }
}

#[inline(always)]
fn one_of<const N: usize>(chunk: &[u8; N], wanted: impl Fn(u8) -> bool) -> bool {
    chunk.iter().fold(0, |found, byte| found | u8::from(wanted(*byte))) != 0
}

/// The top bit of each of eight bytes.
pub(crate) const TOP: u64 = u64::from_le_bytes([0x80; 8]);

/// The bit that ASCII letters have in small, in each of eight bytes.
pub(crate) const SMALL: u64 = u64::from_le_bytes([0x20; 8]);

/// Of eight bytes the top bit of each that lies between `first` and `last`, both in ASCII.
#[inline]
pub(crate) fn between(eight: u64, first: u8, last: u8) -> u64 {
    let low = eight & !TOP;
    let from = u64::from_le_bytes([0x80_u8.wrapping_sub(first); 8]);
    let behind = u64::from_le_bytes([0x7f_u8.wrapping_sub(last); 8]);
    low.wrapping_add(from) & !low.wrapping_add(behind) & !eight & TOP
}

/// How many digits eight bytes start with.
#[inline]
pub(crate) fn leading_digits(eight: u64) -> usize {
    let digits = between(eight, b'0', b'9');
    (digits ^ TOP).trailing_zeros() as usize / 8
}

/// The eight bytes at `at`, and noughts behind the text.
#[inline(always)]
pub(crate) fn eight_at(text: &[u8], at: usize) -> u64 {
    match text.get(at..at.wrapping_add(8)).and_then(<[u8]>::first_chunk::<8>) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => tail(text, at),
    }
}

/// The last bytes of a text from `at` on.
#[cold]
fn tail(text: &[u8], at: usize) -> u64 {
    let Some(rest) = text.get(at..) else { return 0 };
    let Some(last) = text.last_chunk::<8>() else {
        return rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u64::from(*byte));
    };
    let missing = 8_usize.saturating_sub(rest.len());
    u64::from_le_bytes(*last).checked_shr(offset(missing).wrapping_mul(8)).unwrap_or(0)
}

/// An offset in four bytes: no text is longer than `Redactor::MAX_LEN`, or much longer once it is decoded.
#[inline]
pub(crate) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The text under inspection. A read outside of it yields 0, which is of class [`SPACE`]: a boundary.
#[derive(Clone, Copy)]
pub(crate) struct Text<'t>(&'t str);

impl<'t> Text<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self(text)
    }

    #[inline]
    pub(crate) fn bytes(self) -> &'t [u8] {
        self.0.as_bytes()
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// The byte at `at`.
    #[inline]
    pub(crate) fn at(self, at: usize) -> u8 {
        self.bytes().get(at).copied().unwrap_or(0)
    }

    /// The byte before `at`.
    #[inline]
    pub(crate) fn before(self, at: usize) -> u8 {
        self.at(at.wrapping_sub(1))
    }

    #[inline]
    pub(crate) fn is(self, at: usize, classes: u8) -> bool {
        is(self.at(at), classes)
    }

    #[inline]
    pub(crate) fn is_before(self, at: usize, classes: u8) -> bool {
        is(self.before(at), classes)
    }

    /// The bytes from `start` to `end`, empty where there are none.
    #[inline]
    pub(crate) fn slice(self, start: usize, end: usize) -> &'t [u8] {
        self.bytes().get(start..end).unwrap_or(&[])
    }

    /// The characters from `start` to `end`, empty where that is no place to cut.
    #[inline]
    pub(crate) fn str(self, start: usize, end: usize) -> &'t str {
        self.0.get(start..end).unwrap_or("")
    }

    /// The character that starts at `at`.
    pub(crate) fn char_at(self, at: usize) -> Option<char> {
        self.0.get(at..)?.chars().next()
    }

    /// The character that ends before `at`.
    pub(crate) fn char_before(self, at: usize) -> Option<char> {
        self.0.get(..at)?.chars().next_back()
    }

    pub(crate) fn has(self, at: usize, what: &[u8]) -> bool {
        self.bytes().get(at..).is_some_and(|rest| rest.starts_with(what))
    }

    /// Whether `what`, in lower case, stands at `at` in any case.
    pub(crate) fn has_any_case(self, at: usize, what: &[u8]) -> bool {
        self.bytes()
            .get(at..at.saturating_add(what.len()))
            .is_some_and(|found| found.eq_ignore_ascii_case(what))
    }

    /// The end of the run of `classes` that starts at `at`, at most `limit` bytes on.
    pub(crate) fn run_end(self, at: usize, classes: u8, limit: usize) -> usize {
        let run = self.bytes().get(at..).unwrap_or(&[]);
        let run = run.get(..limit).unwrap_or(run);
        // Four at a time, or the compiler checks each for the end.
        let (fours, rest) = run.as_chunks::<4>();
        let mut end = at;
        for four in fours {
            for byte in four {
                if !is(*byte, classes) {
                    return end;
                }
                end = end.wrapping_add(1);
            }
        }
        end.wrapping_add(rest.iter().take_while(|byte| is(**byte, classes)).count())
    }

    /// As [`run_end`](Self::run_end), for digits, eight at a time.
    #[inline]
    pub(crate) fn digits_end(self, at: usize, limit: usize) -> usize {
        let mut end = at;
        while end.wrapping_sub(at) < limit {
            let digits = leading_digits(self.eight(end));
            end = end.wrapping_add(digits);
            if digits < 8 {
                break;
            }
        }
        end.min(at.wrapping_add(limit))
    }

    /// As [`eight_at`].
    #[inline(always)]
    pub(crate) fn eight(self, at: usize) -> u64 {
        eight_at(self.bytes(), at)
    }

    /// The end of the run of hexadecimal digits and dashes that starts at `at`, at most `limit` bytes on, give or take
    /// seven.
    pub(crate) fn dashed_hex_end(self, at: usize, limit: usize) -> usize {
        let mut end = at;
        while end.wrapping_sub(at) < limit {
            // The noughts behind the text end the run.
            let eight = self.eight(end);
            let letter = between(eight | SMALL, b'a', b'f');
            let others = !(between(eight, b'0', b'9') | letter | between(eight, b'-', b'-'));
            if others & TOP != 0 {
                return end.wrapping_add((others & TOP).trailing_zeros() as usize / 8);
            }
            end = end.wrapping_add(8);
        }
        end
    }

    /// The start of the run of `classes` that ends at `at`, at most `limit` bytes back.
    pub(crate) fn run_start(self, at: usize, classes: u8, limit: usize) -> usize {
        let run = self.bytes().get(..at).unwrap_or(&[]);
        at.saturating_sub(run.iter().rev().take(limit).take_while(|byte| is(**byte, classes)).count())
    }

    /// The nearest character boundary at or after `at`.
    pub(crate) fn boundary(self, at: usize) -> usize {
        let mut at = at.min(self.len());
        while !self.0.is_char_boundary(at) {
            at = at.saturating_add(1);
        }
        at
    }
}
