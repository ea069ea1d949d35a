//! Where detectors are called: the bytes that every value of a family has, found sixty-four at a time.
//!
//! A window of text becomes one bit mask per class of byte, and four windows are read at once ([`masks`]). What remains
//! is a superset of the places where a value can be: clean text costs a few instructions a byte, and in doubt a detector is
//! called. Windows overlap, so that the last anchor of one still sees what follows it, and the first what stands before.

mod masks;

use fearless_simd::{Simd, dispatch};

use self::masks::{LANES, Lanes, Masks, Places, WINDOW, places};
use super::detect::secret;
use super::lexicon::{Hashes, Lexicon};
use super::text::{DIGIT, LOWER, Text, UPPER, is};

/// The bytes whose anchors are taken; the rest of the window is what they look ahead to.
const STEP: usize = 56;
const TAKEN: u64 = u64::MAX >> (WINDOW - STEP);

/// The anchors of one window, one bit per byte.
#[derive(Clone, Copy, Default)]
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
    /// Where the first window starts.
    first: usize,
    /// Up to here bytes are taken.
    start: usize,
    /// The windows of the block at hand, how many there are, and how many are done.
    block: [Anchors; LANES],
    len: usize,
    done: usize,
}

impl<'t> Windows<'t> {
    /// The windows from `start` on, where no word and no number is under way.
    #[inline(always)]
    pub(crate) fn new(text: Text<'t>, start: usize, lexicon: &'static Lexicon) -> Self {
        Self { text, lexicon, first: start, start, block: [Anchors::default(); LANES], len: 0, done: 0 }
    }

    /// The anchors of the next window that has any. Once a word has announced something, numbers count.
    #[inline]
    pub(crate) fn next(&mut self, announced: bool) -> Option<Anchors> {
        loop {
            while self.done < self.len {
                let anchors = self.block.get(self.done).copied().unwrap_or_default();
                self.done = self.done.wrapping_add(1);
                if anchors.all != 0 || (announced && anchors.numbers != 0) {
                    return Some(anchors);
                }
            }
            if !self.seek(announced) {
                return None;
            }
        }
    }

    /// Goes on to the next block with anchors; false at the end of the text.
    #[inline]
    pub(crate) fn seek(&mut self, announced: bool) -> bool {
        self.start < self.text.len() && dispatch!(self.lexicon.level, simd => self.blocks(simd, announced))
    }

    #[inline(always)]
    fn blocks<S: Simd>(&mut self, simd: S, announced: bool) -> bool {
        let bytes = self.text.bytes();
        let wanted = if announced { u64::MAX } else { 0 };
        while self.start < bytes.len() {
            let mut masks = Masks::new();
            let (mut from, mut taken) = ([0; LANES], [0; LANES]);
            let mut lanes = 0;
            for (lane, (from, taken)) in from.iter_mut().zip(&mut taken).enumerate() {
                if self.start >= bytes.len() {
                    break;
                }
                (*from, *taken) = self.classify(simd, lane, &mut masks);
                lanes = lane.wrapping_add(1);
            }
            let places = places(simd, &masks, &taken);
            let words = &self.lexicon.words;
            let mut found = 0;
            for (lane, anchors) in self.block.iter_mut().enumerate().take(lanes) {
                let of = |lanes: &Lanes| lanes.get(lane & (LANES - 1)).copied().unwrap_or_default();
                let start = of_usize(&from, lane);
                let rest = bytes.get(start..).unwrap_or(&[]);
                let mut named = words_at(words, rest, of(&places.starts), of(&places.outer));
                let other = of(&places.other);
                if other | named != 0 {
                    let window = Window { text: self.text, rest, start };
                    named = window.confirmed(named);
                    if other == 0 {
                        (anchors.all, anchors.runs) = (named, 0);
                    } else {
                        (anchors.all, anchors.runs) = window.others(&places, lane, &mut named, words);
                    }
                } else {
                    (anchors.all, anchors.runs) = (0, 0);
                }
                (anchors.start, anchors.words) = (start, named);
                (anchors.lettered, anchors.numbers) = (of(&places.lettered), of(&places.numbers));
                found |= anchors.all | (anchors.numbers & wanted);
            }
            if found != 0 {
                (self.len, self.done) = (lanes, 0);
                return true;
            }
        }
        false
    }

    /// Classifies the next window: where it starts, and which of its bytes were not taken before.
    #[inline(always)]
    fn classify<S: Simd>(&mut self, simd: S, lane: usize, masks: &mut Masks) -> (usize, u64) {
        let bytes = self.text.bytes();
        // All but the first start with a byte that is taken: what stands before a value matters.
        let seen = usize::from(self.start != self.first);
        let start = self.start.wrapping_sub(seen);
        if let Some(window) = bytes.get(start..).and_then(<[u8]>::first_chunk::<WINDOW>)
            && bytes.len().wrapping_sub(start) > WINDOW
        {
            masks.classify(simd, lane, window);
            self.start = start.wrapping_add(STEP);
            return (start, TAKEN.unbounded_shl(shift(seen)) & TAKEN);
        }
        // The last window ends with the text, and begins with bytes that are taken.
        let start = bytes.len().saturating_sub(WINDOW);
        let taken = u64::MAX.unbounded_shl(shift(self.start.wrapping_sub(start)));
        self.start = bytes.len();
        if let Some(window) = bytes.last_chunk::<WINDOW>() {
            masks.classify(simd, lane, window);
        } else {
            let mut window = [0; WINDOW];
            window.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell = *byte);
            masks.classify(simd, lane, &window);
        }
        (start, taken)
    }
}

#[inline(always)]
fn of_usize(lanes: &[usize; LANES], lane: usize) -> usize {
    lanes.get(lane & (LANES - 1)).copied().unwrap_or_default()
}

/// The starts at which a word of the table may stand.
#[inline(always)]
fn words_at(known: &Hashes, rest: &[u8], starts: u64, outer: u64) -> u64 {
    let mut words = 0;
    let mut left = starts;
    while left != 0 {
        let bit = left.trailing_zeros();
        // Eight letters are told apart.
        let more = (outer.wrapping_shr(bit) | 0x80).trailing_zeros();
        let found = known.may_start(rest, bit as usize, more);
        words |= u64::from(found).wrapping_shl(bit);
        left &= left.wrapping_sub(1);
    }
    words
}

/// The starts at which a prefix of the table may stand that letters follow.
fn prefixes_at(known: &Hashes, rest: &[u8], starts: u64) -> u64 {
    let mut prefixes = 0;
    let mut left = starts;
    while left != 0 {
        let bit = left.trailing_zeros();
        prefixes |= u64::from(known.may_start(rest, bit as usize, 3)).wrapping_shl(bit);
        left &= left.wrapping_sub(1);
    }
    prefixes
}

/// One window of a text.
struct Window<'t> {
    text: Text<'t>,
    /// The text from the window's start on.
    rest: &'t [u8],
    start: usize,
}

impl Window<'_> {
    /// Of the words those that are no key of a cache.
    #[inline(always)]
    fn confirmed(&self, words: u64) -> u64 {
        let mut confirmed = words;
        let mut left = words;
        while left != 0 {
            let bit = left.trailing_zeros();
            if secret::is_idle(self.text, self.start.wrapping_add(bit as usize)) {
                confirmed ^= left & left.wrapping_neg();
            }
            left &= left.wrapping_sub(1);
        }
        confirmed
    }

    /// All anchors but short numbers, and runs among them.
    #[inline(always)]
    fn others(&self, places: &Places, lane: usize, words: &mut u64, known: &Hashes) -> (u64, u64) {
        let of = |lanes: &Lanes| lanes.get(lane & (LANES - 1)).copied().unwrap_or_default();
        if of(&places.camel) != 0 {
            // `firstName`, `IdNr`: written as one word as well.
            *words |= words_at(known, self.rest, of(&places.whole), of(&places.outer_whole));
            // `tokenAKIA…`: of a prefix that letters follow, four are told.
            *words |= prefixes_at(known, self.rest, of(&places.camel));
        }
        let mut all = *words | of(&places.sure);
        let mut runs = 0;
        if of(&places.cased) != 0 {
            runs = self.runs(of(&places.runs), of(&places.plain), of(&places.upper));
            all |= runs;
        }
        if of(&places.long) != 0 {
            all |=
                self.long_numbers(of(&places.long), of(&places.digit), of(&places.region), of(&places.plain));
        }
        if of(&places.equals) != 0 {
            all |= self.suffixes(of(&places.equals));
        }
        if of(&places.signs) != 0 {
            all |= self.signs(of(&places.signs));
        }
        (all, runs)
    }

    /// Of the long runs those that have a capital in them, here or behind the window.
    #[inline(always)]
    fn runs(&self, starts: u64, plain: u64, upper: u64) -> u64 {
        let mut runs = 0;
        let mut left = starts;
        while left != 0 {
            let bit = left.trailing_zeros();
            let one = left & left.wrapping_neg();
            left ^= one;
            let length = plain.wrapping_shr(bit).trailing_ones();
            let inside = !u64::MAX.unbounded_shl(length);
            let found = upper.wrapping_shr(bit) & inside != 0
                || (bit.wrapping_add(length) == 64 && self.goes_on(self.start.wrapping_add(WINDOW)));
            runs |= if found { one } else { 0 };
        }
        runs
    }

    /// Whether the run that reaches `at` has a capital further on.
    fn goes_on(&self, at: usize) -> bool {
        let rest = self.text.bytes().get(at..).unwrap_or(&[]);
        rest.iter().find(|byte| !is(**byte, LOWER | DIGIT)).is_some_and(|byte| is(*byte, UPPER))
    }

    /// Of the long numbers those with a length or grouping that carries a check worth its name.
    #[inline(always)]
    fn long_numbers(&self, starts: u64, digit: u64, region: u64, plain: u64) -> u64 {
        let mut worth = starts;
        let mut left = starts;
        while left != 0 {
            let bit = left.trailing_zeros();
            let one = left & left.wrapping_neg();
            left ^= one;
            let length = region.wrapping_shr(bit).trailing_ones();
            let inside = !u64::MAX.unbounded_shl(length);
            let digits = (digit.wrapping_shr(bit) & inside).count_ones();
            let end = bit.wrapping_add(length);
            let fits = if digits == length {
                let first = self.text.at(self.start.wrapping_add(bit as usize));
                let sized = match length {
                    11 => true,
                    // Milliseconds since 1970 are no Swiss insurance number.
                    13 => first == b'7',
                    // A French number's first digit is the sex.
                    15 => matches!(first, b'1'..=b'8'),
                    // A card, and the check digit of cards.
                    14 | 16..=19 => {
                        matches!(first, b'2'..=b'6') && self.passes_luhn(bit as usize, length as usize)
                    }
                    _ => false,
                };
                // What goes over into letters ends nowhere.
                sized && plain.unbounded_shr(end) & 1 == 0
            } else {
                // `0.0.0.0` is nobody's.
                let nowhere = digit.wrapping_shr(bit) & 2 == 0 && self.rest.get(bit as usize) == Some(&b'0');
                digits >= 9 || (length.wrapping_sub(digits) >= 3 && !nowhere)
            };
            // A region that leaves the window may go on.
            if !fits && (end < 64 || self.start.wrapping_add(WINDOW) >= self.text.len()) {
                worth ^= one;
            }
        }
        worth
    }

    /// Whether a run of digits passes the check of ISO/IEC 7812-1 annex B.
    fn passes_luhn(&self, at: usize, length: usize) -> bool {
        let digits = self.rest.get(at..at.wrapping_add(length)).unwrap_or(&[]);
        let sum = digits.iter().rev().enumerate().fold(0_u32, |sum, (index, byte)| {
            let digit = u32::from(byte & 0x0f).wrapping_shl(u32::from(index % 2 == 1));
            // Of a doubled digit above nine the sum of its digits counts.
            sum.wrapping_add(if digit > 9 { digit.wrapping_sub(9) } else { digit })
        });
        digits.len() < length || sum.is_multiple_of(10)
    }

    /// The equals signs behind an identifier that may end in a secret's name: `dbpassword=`.
    #[inline(always)]
    fn suffixes(&self, equals: u64) -> u64 {
        let mut suffixed = 0;
        let mut left = equals;
        while left != 0 {
            let one = left & left.wrapping_neg();
            left ^= one;
            let at = self.start.wrapping_add(one.trailing_zeros() as usize);
            let ending = [self.text.at(at.wrapping_sub(2)) | 0x20, self.text.before(at) | 0x20];
            if matches!(&ending, b"rd" | b"wd" | b"rt" | b"et" | b"ey" | b"en") {
                suffixed |= one;
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

/// A distance within a window as a shift.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most the width of a window")]
fn shift(distance: usize) -> u32 {
    distance as u32
}
