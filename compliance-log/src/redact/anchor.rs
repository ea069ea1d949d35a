//! Where detectors are called: the bytes that every value of a family has, found sixty-four at a time.
//!
//! A window of text becomes one bit mask per class of byte; shifts and intersections of masks then tell words,
//! numbers and chains of separators apart. What remains is a superset of the places where a value can be: clean text
//! costs a few instructions a byte, and in doubt a detector is called. Windows overlap, so that the last anchor of
//! one still sees what follows it.

use wide::u8x16;

use super::lexicon::Lexicon;
use super::text::Text;

/// The bytes seen at once.
const WINDOW: usize = 64;
/// The bytes whose anchors are taken; the rest of the window is what they look ahead to.
const STEP: usize = 48;
const TAKEN: u64 = u64::MAX >> (WINDOW - STEP);

/// One bit per byte of a window, by class.
struct Masks {
    digit: u64,
    /// ASCII letters.
    letter: u64,
    /// ASCII capitals.
    upper: u64,
    /// Bytes outside ASCII.
    high: u64,
    colon: u64,
    /// Space, dash, point, slash: what stands between groups of digits.
    gap: u64,
    equals: u64,
    /// `@`, `[`, `\`, and `%` to `+`: among them `&` and `(`.
    rare: u64,
}

impl Masks {
    fn at(text: Text<'_>, start: usize) -> Self {
        let rest = text.bytes().get(start..).unwrap_or(&[]);
        match rest.first_chunk::<WINDOW>() {
            Some(window) => Self::of(window),
            None => {
                let mut window = [0; WINDOW];
                if let Some(head) = window.get_mut(..rest.len()) {
                    head.copy_from_slice(rest);
                }
                Self::of(&window)
            }
        }
    }

    #[inline]
    #[expect(clippy::arithmetic_side_effects, reason = "lanes wrap; `wide` has no other subtraction")]
    fn of(window: &[u8; WINDOW]) -> Self {
        let (lanes, _) = window.as_chunks::<16>();
        let every = |class: &dyn Fn(u8x16) -> u8x16| {
            lanes
                .iter()
                .rev()
                .fold(0_u64, |mask, lane| (mask << 16) | u64::from(class(u8x16::new(*lane)).to_bitmask()))
        };
        let within = |bytes: u8x16, first: u8, width: u8| {
            let offset = bytes - u8x16::splat(first);
            offset.min(u8x16::splat(width)).simd_eq(offset)
        };
        let small = u8x16::splat(0x20);
        Self {
            digit: every(&|bytes| within(bytes, b'0', 9)),
            letter: every(&|bytes| within(bytes | small, b'a', 25)),
            upper: every(&|bytes| within(bytes, b'A', 25)),
            high: every(&|bytes| bytes),
            colon: every(&|bytes| bytes.simd_eq(u8x16::splat(b':'))),
            gap: every(&|bytes| within(bytes, b'-', 2) | bytes.simd_eq(u8x16::splat(b' '))),
            equals: every(&|bytes| bytes.simd_eq(u8x16::splat(b'='))),
            rare: every(&|bytes| {
                within(bytes, b'%', 6) | within(bytes, b'[', 1) | bytes.simd_eq(u8x16::splat(b'@'))
            }),
        }
    }
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

    /// The anchors of the next window.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Anchors> {
        let start = self.start;
        let left = self.text.len().checked_sub(start)?;
        if left == 0 {
            return None;
        }
        let masks = Masks::at(self.text, start);
        let Masks { digit, letter, upper, high, colon, gap, equals, rare } = masks;
        let (taken, step) = if left <= WINDOW { (u64::MAX, WINDOW) } else { (TAKEN, STEP) };
        let any_letter = letter | high;
        let word = any_letter | digit;
        let after_word = (word << 1) | self.word;
        let lower = letter & !upper;
        let camel = upper & ((lower << 1) | self.lower);
        let starts = ((any_letter & !after_word) | camel) & taken;

        let numbers = digit & !after_word & taken;
        let lettered = starts & identifiers(any_letter, digit, gap);
        let runs = runs(letter | digit, upper, (letter << 1) | (digit << 1) | self.word) & taken;
        let words = self.words(starts, letter & !camel, high);
        let mut all =
            words | lettered | runs | long_numbers(numbers, digit, gap, any_letter) | (rare & taken);
        if colon != 0 {
            let near = |mask: u64| (mask >> 2) | (mask >> 3) | (mask >> 4) | (mask >> 5);
            all |= ((colon & near(colon & near(colon))) | (colon & (colon >> 1))) & taken;
        }
        // Dashes every three bytes, points every five: a hardware address.
        all |= ((gap & (gap >> 3) & (gap >> 6) & (gap >> 9))
            | (gap & (gap >> 5) & (any_letter << 1 | digit << 1)))
            & taken
            & !(starts | numbers);
        if equals != 0 {
            // `dbpassword=`: six letters or more before an equals sign.
            let behind = |count: u32| (letter << count) | (self.letters >> (6_u32.wrapping_sub(count)));
            let mut suffixed = equals & taken;
            for count in 1..=6 {
                suffixed &= behind(count);
            }
            all |= suffixed;
        }
        if high != 0 {
            all |= leads(high & taken, self.text, start);
        }
        let last = if step == WINDOW { 63_u32 } else { 47 };
        self.word = word.unbounded_shr(last) & 1;
        self.lower = lower.unbounded_shr(last) & 1;
        self.letters = letter.unbounded_shr(last.wrapping_sub(5)) & 0x3f;
        self.start = start.wrapping_add(step);
        Some(Anchors { start, all, words, lettered, runs, numbers })
    }

    /// The starts at which a word of the table may stand.
    #[inline]
    fn words(&self, starts: u64, inner: u64, high: u64) -> u64 {
        let mut words = 0;
        let mut left = starts;
        while left != 0 {
            let bit = left.trailing_zeros();
            let one = left & left.wrapping_neg();
            left ^= one;
            let letters = (inner >> bit >> 1).trailing_ones().wrapping_add(1);
            let at = self.start.wrapping_add(bit as usize);
            if high & one != 0 || self.lexicon.may_start(self.text, at, letters) {
                words |= one;
            }
        }
        words
    }
}

/// Where identifiers such as `DE89`, `AB123456C`, `RSSMRA85…`, `AB 12 34 56 C`, `X-1234567L` may start.
#[inline]
fn identifiers(letter: u64, digit: u64, gap: u64) -> u64 {
    let into_digit = letter & (digit >> 1);
    let mut within_six = into_digit | (into_digit >> 1);
    within_six |= within_six >> 2;
    within_six |= within_six >> 2;
    within_six | ((letter >> 1) & (gap >> 2) & (digit >> 3)) | ((gap >> 1) & (digit >> 2) & (digit >> 3))
}

/// Where runs of twelve letters and digits start that have a capital in them, or that leave the window.
#[inline]
fn runs(word: u64, upper: u64, after_word: u64) -> u64 {
    let mut run = word & (word >> 1);
    run &= run >> 2;
    run &= run >> 4;
    run &= run >> 4;
    let mut runs = run & !after_word;
    let mut left = runs;
    while left != 0 {
        let bit = left.trailing_zeros();
        let one = left & left.wrapping_neg();
        left ^= one;
        let length = (word >> bit).trailing_ones();
        let inside = !u64::MAX.unbounded_shl(length);
        if (upper >> bit) & inside == 0 && bit.wrapping_add(length) < 64 {
            runs ^= one;
        }
    }
    runs
}

/// The numbers that are long enough, or shaped enough, to be looked at though nothing announces them: nine digits
/// with single separators, three separators, or six or eight digits and a letter or dash.
#[inline]
fn long_numbers(numbers: u64, digit: u64, gap: u64, letter: u64) -> u64 {
    let dash = gap;
    if numbers == 0 {
        return 0;
    }
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
        let length = (region >> bit).trailing_ones();
        let inside = !u64::MAX.unbounded_shl(length);
        let digits = ((digit >> bit) & inside).count_ones();
        // A region that leaves the window may go on.
        if digits < 9 && length.wrapping_sub(digits) < 3 && bit.wrapping_add(length) < 64 {
            long ^= one;
        }
    }
    let mut six = digit & (digit >> 1);
    six &= (six >> 2) & (six >> 4);
    let eight = six & (six >> 2);
    let shaped =
        (six & !(digit >> 6) & ((letter | dash) >> 6)) | (eight & !(digit >> 8) & ((letter | dash) >> 8));
    // Digits behind a point or dash of another number are its fraction.
    long | (numbers & shaped & !((gap & (digit << 1)) << 1))
}

/// The bytes outside ASCII that may begin a character which stands for another one.
fn leads(high: u64, text: Text<'_>, start: usize) -> u64 {
    let mut leads = 0;
    let mut left = high;
    while left != 0 {
        let one = left & left.wrapping_neg();
        left ^= one;
        let byte = text.at(start.wrapping_add(one.trailing_zeros() as usize));
        if matches!(byte, 0xc2 | 0xcd | 0xd8..=0xdf | 0xe0..=0xe3 | 0xea | 0xef..) {
            leads |= one;
        }
    }
    leads
}
