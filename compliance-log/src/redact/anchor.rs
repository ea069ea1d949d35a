//! Where detectors are called: the bytes that every value of a family has, found sixty-four at a time.
//!
//! A window of text becomes one bit mask per class of byte; shifts and intersections of masks then tell words,
//! numbers and chains of separators apart. What remains is a superset of the places where a value can be: clean text
//! costs a few instructions a byte, and in doubt a detector is called. Windows overlap, so that the last anchor of
//! one still sees what follows it.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, dispatch, u8x32};

use super::lexicon::Lexicon;
use super::text::Text;

/// The bytes seen at once.
const WINDOW: usize = 64;
/// The bytes whose anchors are taken; the rest of the window is what they look ahead to.
const STEP: usize = 56;
const TAKEN: u64 = u64::MAX >> (WINDOW - STEP);

/// One bit per byte of a window, by class.
struct Masks {
    digit: u64,
    /// ASCII letters.
    letter: u64,
    /// ASCII capitals.
    upper: u64,
    /// Letters that are hexadecimal digits.
    hex: u64,
    /// Bytes outside ASCII.
    high: u64,
    colon: u64,
    dash: u64,
    dot: u64,
    /// Space, dash, point, slash: what stands between groups of digits.
    gap: u64,
    equals: u64,
    /// `@`, `[`, `\`, and `%` to `+`: among them `&` and `(`.
    rare: u64,
}

/// The same as the vector unit gives it: two halves per class.
struct Halves([[u32; 2]; 11]);

impl Halves {
    #[inline(always)]
    fn of<S: Simd>(simd: S, window: &[u8; WINDOW]) -> Self {
        let (halves, _) = window.as_chunks::<32>();
        let mut all = [[0; 2]; 11];
        for (half, bytes) in halves.iter().enumerate() {
            for (cell, class) in all.iter_mut().zip(classes(simd, bytes)) {
                if let Some(cell) = cell.get_mut(half) {
                    *cell = class;
                }
            }
        }
        Self(all)
    }
}

impl Masks {
    /// The masks of the window at `start`; behind the end of the text no bit is set.
    #[inline(always)]
    fn at<S: Simd>(simd: S, text: Text<'_>, start: usize) -> Self {
        let bytes = text.bytes();
        let rest = bytes.get(start..).unwrap_or(&[]);
        if let Some(window) = rest.first_chunk::<WINDOW>() {
            return Self::of(&Halves::of(simd, window), 0);
        }
        // The end of a text is read from before it, that of a short one from a copy.
        if let Some(window) = bytes.last_chunk::<WINDOW>() {
            return Self::of(&Halves::of(simd, window), WINDOW.wrapping_sub(rest.len()));
        }
        let mut window = [0; WINDOW];
        if let Some(head) = window.get_mut(..rest.len()) {
            head.copy_from_slice(rest);
        }
        Self::of(&Halves::of(simd, &window), 0)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "at most the width of a window")]
    fn of(halves: &Halves, behind: usize) -> Self {
        // What goes through memory stays what it is. The compiler would otherwise make one vector of two halves, and
        // take it apart bit by bit where no machine has such a vector.
        let halves = std::hint::black_box(halves);
        let [digit, letter, upper, hex, high, colon, dash, dot, gap, equals, rare] = halves
            .0
            .map(|[low, high]| (u64::from(low) | (u64::from(high) << 32)).wrapping_shr(behind as u32));
        Self { digit, letter, upper, hex, high, colon, dash, dot, gap, equals, rare }
    }
}

/// The classes of half a window, in the order of [`Masks`].
#[inline(always)]
#[expect(clippy::arithmetic_side_effects, reason = "lanes wrap; vectors have no other subtraction")]
#[expect(clippy::cast_possible_truncation, reason = "a mask of 32 lanes has 32 bits")]
fn classes<S: Simd>(simd: S, bytes: &[u8; 32]) -> [u32; 11] {
    let bytes: u8x32<S> = (*bytes).simd_into(simd);
    let letters = (bytes | 0x20) - b'a';
    let gap = (bytes - b'-').simd_le(2) | bytes.simd_eq(b' ');
    let rare = (bytes - b'%').simd_le(6) | (bytes - b'[').simd_le(1) | bytes.simd_eq(b'@');
    [
        (bytes - b'0').simd_le(9).to_bitmask() as u32,
        letters.simd_le(25).to_bitmask() as u32,
        (bytes - b'A').simd_le(25).to_bitmask() as u32,
        letters.simd_le(5).to_bitmask() as u32,
        bytes.simd_ge(0x80).to_bitmask() as u32,
        bytes.simd_eq(b':').to_bitmask() as u32,
        bytes.simd_eq(b'-').to_bitmask() as u32,
        bytes.simd_eq(b'.').to_bitmask() as u32,
        gap.to_bitmask() as u32,
        bytes.simd_eq(b'=').to_bitmask() as u32,
        rare.to_bitmask() as u32,
    ]
}

/// The anchors of one window, one bit per byte.
#[derive(Clone, Copy)]
pub(crate) struct Anchors {
    /// Where the window starts.
    pub(crate) start: usize,
    /// All but short numbers.
    pub(crate) all: u64,
    /// Words of the table may start here.
    pub(crate) words: u64,
    /// Letters that go over into digits start here.
    pub(crate) lettered: u64,
    /// Long runs of letters and digits with a capital among them start here.
    pub(crate) runs: u64,
    /// Every number, however short: they count once a word has announced something.
    pub(crate) numbers: u64,
}

/// Walks the windows of a text.
pub(crate) struct Windows<'t> {
    text: Text<'t>,
    lexicon: &'static Lexicon,
    start: usize,
    /// Classes of the bytes before the window, as the lowest bits.
    word: u64,
    lower: u64,
    letters: u64,
}

impl<'t> Windows<'t> {
    pub(crate) fn new(text: Text<'t>, lexicon: &'static Lexicon) -> Self {
        Self { text, lexicon, start: 0, word: 0, lower: 0, letters: 0 }
    }

    /// The anchors of the next window that has any. Once a word has announced something, numbers count.
    pub(crate) fn next(&mut self, announced: bool) -> Option<Anchors> {
        dispatch!(self.lexicon.level, simd => self.seek(simd, announced))
    }

    #[inline(always)]
    fn seek<S: Simd>(&mut self, simd: S, announced: bool) -> Option<Anchors> {
        while self.start < self.text.len() {
            let anchors = self.anchors(&Masks::at(simd, self.text, self.start));
            if anchors.all != 0 || (announced && anchors.numbers != 0) {
                return Some(anchors);
            }
        }
        None
    }

    /// The anchors of the window at hand.
    #[inline(always)]
    fn anchors(&mut self, masks: &Masks) -> Anchors {
        let start = self.start;
        let left = self.text.len().wrapping_sub(start);
        let Masks { digit, letter, upper, hex, high, colon, dash, dot, gap, equals, rare } = *masks;
        let (taken, step) = if left <= WINDOW { (u64::MAX, WINDOW) } else { (TAKEN, STEP) };
        let any_letter = letter | high;
        let word = any_letter | digit;
        let after_word = (word << 1) | self.word;
        let lower = letter & !upper;
        let camel = upper & ((lower << 1) | self.lower);
        let starts = ((any_letter & !after_word) | camel) & taken;
        let numbers = digit & !after_word & taken;

        let mut words = self.words(starts, any_letter & !camel, digit);
        if camel != 0 {
            // `firstName`, `IdNr`: written as one word as well.
            words |= self.words(starts & !camel, any_letter, digit);
        }
        let mut all = words;
        let (mut lettered, mut runs) = (0, 0);
        let plain = letter | digit;
        let mut run = plain & (plain >> 1);
        run &= run >> 2;
        run &= run >> 4;
        run &= !after_word & taken;
        if run != 0 {
            runs = self.runs(run, plain, upper);
            all |= runs;
        }
        let pairs = digit & (digit >> 1);
        if digit != 0 {
            let fours = pairs & (pairs >> 2);
            lettered = starts & identifiers(any_letter, digit, pairs, fours, gap);
            all |= lettered
                | (numbers & shaped_numbers(digit, fours, dash, upper, gap))
                | long_numbers(numbers, digit, gap);
        }
        if colon != 0 {
            // What lies behind the window counts as a colon.
            let near = |mask: u64| (mask >> 2) | (mask >> 3) | (mask >> 4) | (mask >> 5) | (u64::MAX << 59);
            // `std::fmt`: a letter that is no hexadecimal digit ends or starts a name, not an address.
            let named = any_letter & !hex;
            let colon = colon & !(named >> 1) & !(named >> 2);
            let double = colon & (masks.colon >> 1) & !(named << 1);
            all |= ((colon & near(masks.colon & near(masks.colon))) | double) & taken;
        }
        // Dashes every three bytes, points every five between hexadecimal digits: a hardware address.
        all |= dash & (dash >> 3) & (dash >> 6) & taken;
        let quad = dot & (dot >> 5);
        if quad != 0 {
            let hex = hex | digit;
            all |= quad & (hex >> 1) & (hex >> 2) & (hex >> 3) & (hex >> 4) & taken;
        }
        if equals & taken != 0 {
            all |= self.suffixes(equals & taken, letter);
        }
        if (high | rare) & taken != 0 {
            all |= self.signs((high | rare) & taken);
        }
        let last = if step == WINDOW { 63_u32 } else { 55 };
        self.word = word.unbounded_shr(last) & 1;
        self.lower = lower.unbounded_shr(last) & 1;
        self.letters = letter.unbounded_shr(last.wrapping_sub(5)) & 0x3f;
        self.start = start.wrapping_add(step);
        Anchors { start, all, words, lettered, runs, numbers }
    }

    /// The starts at which a word of the table may stand.
    #[inline(always)]
    fn words(&self, starts: u64, inner: u64, digit: u64) -> u64 {
        let mut words = 0;
        // No word has one letter, and of the prefixes one: `r8_`.
        let mut left = starts & ((inner >> 1) | ((digit >> 1) & !(digit >> 2)));
        let outer = !inner >> 1;
        while left != 0 {
            let bit = left.trailing_zeros();
            // Eight letters are told apart.
            let letters = (outer.wrapping_shr(bit) | 0x80).trailing_zeros().wrapping_add(1);
            let at = self.start.wrapping_add(bit as usize);
            if self.lexicon.may_start(self.text, at, letters) {
                words |= left & left.wrapping_neg();
            }
            left &= left.wrapping_sub(1);
        }
        words
    }

    /// Of the long runs those that have a capital in them or leave the window – the others hide no text – and those
    /// that start as a token does.
    #[inline(always)]
    fn runs(&self, run: u64, plain: u64, upper: u64) -> u64 {
        let mut runs = run;
        let mut left = run;
        while left != 0 {
            let bit = left.trailing_zeros();
            let one = left & left.wrapping_neg();
            left ^= one;
            let length = plain.wrapping_shr(bit).trailing_ones();
            let inside = !u64::MAX.unbounded_shl(length);
            if upper.wrapping_shr(bit) & inside == 0
                && bit.wrapping_add(length) < 64
                && !self.lexicon.may_prefix(self.text, self.start.wrapping_add(bit as usize))
            {
                runs ^= one;
            }
        }
        runs
    }

    /// The equals signs behind six letters or more that may end in a secret's name: `dbpassword=`.
    #[inline(always)]
    fn suffixes(&self, equals: u64, letter: u64) -> u64 {
        let behind = |count: u32| (letter << count) | (self.letters >> (6_u32.wrapping_sub(count)));
        let mut suffixed = equals;
        for count in 1..=6 {
            suffixed &= behind(count);
        }
        let mut left = suffixed;
        while left != 0 {
            let one = left & left.wrapping_neg();
            left ^= one;
            let at = self.start.wrapping_add(one.trailing_zeros() as usize);
            let ending = [self.text.at(at.wrapping_sub(2)) | 0x20, self.text.before(at) | 0x20];
            if !matches!(&ending, b"rd" | b"wd" | b"rt" | b"et" | b"ey" | b"en") {
                suffixed ^= one;
            }
        }
        suffixed
    }

    /// The signs that may begin a value or an encoded character, and the bytes outside ASCII that may begin a
    /// character which stands for another one.
    fn signs(&self, signs: u64) -> u64 {
        let text = self.text;
        let mut kept = 0;
        let mut left = signs;
        while left != 0 {
            let one = left & left.wrapping_neg();
            left ^= one;
            let at = self.start.wrapping_add(one.trailing_zeros() as usize);
            let next = text.at(at.wrapping_add(1));
            let keep = match text.at(at) {
                b'@' => true,
                b'[' => next.is_ascii_uppercase(),
                b'\\' => matches!(next, b'u' | b'x' | b'/' | b'\\'),
                b'%' => next.is_ascii_hexdigit(),
                b'&' => next == b'#' || next.is_ascii_lowercase(),
                b'+' | b'(' => next.is_ascii_digit() || next == b'(',
                0xc2 | 0xcd | 0xd8..=0xdf | 0xe0..=0xe3 | 0xea | 0xef.. => true,
                _ => false,
            };
            if keep {
                kept |= one;
            }
        }
        kept
    }
}

/// Where identifiers such as `DE89`, `AB123456C`, `RSSMRA85…`, `AB 12 34 56 C`, `X-1234567L` may start: so many letters,
/// then digits.
#[inline(always)]
fn identifiers(letter: u64, digit: u64, pairs: u64, fours: u64, gap: u64) -> u64 {
    let two = letter & (letter >> 1);
    let four = two & (two >> 2);
    // `X1234567L`
    let one = !(letter >> 1) & ((fours >> 1) | ((gap >> 1) & (fours >> 2)));
    // `DE89…`, `AB 12 34`, `DE 136695976`
    let pair = two & !(letter >> 2) & ((pairs >> 2) | ((gap >> 2) & (pairs >> 3) & ((digit | gap) >> 5)));
    // `AFZPK7190K`, `RSSMRA85T10`
    let five = four & (letter >> 4) & !(letter >> 5) & (fours >> 5);
    let six = four & (two >> 4) & !(letter >> 6) & (pairs >> 6);
    one | pair | five | six
}

/// The numbers that are long enough, or grouped enough, to be looked at though nothing announces them: of those in
/// one run only some lengths carry a check worth its name.
#[inline(always)]
fn long_numbers(numbers: u64, digit: u64, gap: u64) -> u64 {
    let region = digit | (gap & (digit << 1) & (digit >> 1));
    let mut seven = region & (region >> 1);
    seven &= seven >> 2;
    seven &= seven >> 3;
    let mut long = numbers & seven;
    let mut left = long;
    while left != 0 {
        let bit = left.trailing_zeros();
        let one = left & left.wrapping_neg();
        left ^= one;
        let length = region.wrapping_shr(bit).trailing_ones();
        let inside = !u64::MAX.unbounded_shl(length);
        let digits = (digit.wrapping_shr(bit) & inside).count_ones();
        // A region that leaves the window may go on.
        let fits = if digits == length {
            matches!(length, 11 | 13..=19)
        } else {
            digits >= 9 || length.wrapping_sub(digits) >= 3
        };
        if !fits && bit.wrapping_add(length) < 64 {
            long ^= one;
        }
    }
    long
}

/// Six digits and a sign, or eight digits and a capital or dash: `131052-308T`, `12345678-Z`, `65180539W001`.
#[inline(always)]
fn shaped_numbers(digit: u64, fours: u64, dash: u64, upper: u64, gap: u64) -> u64 {
    let six = fours & (digit >> 4) & (digit >> 5);
    let sign = dash | upper;
    let shaped = six & ((sign >> 6) | ((digit >> 6) & (digit >> 7) & (sign >> 8)));
    // Digits behind a point or dash of another number are its fraction.
    shaped & !((gap & (digit << 1)) << 1)
}
