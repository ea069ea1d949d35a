//! Where detectors are called: the bytes that every value of a family has, found sixty-four at a time.
//!
//! A window of text becomes one bit mask per class of byte, and four windows are read at once ([`masks`]). What remains
//! is a superset of the places where a value can be: clean text costs a few instructions a byte, and in doubt a detector is
//! called. Windows overlap, so that the last anchor of one still sees what follows it, and the first what stands before.

mod masks;

use fearless_simd::{Simd, dispatch};

use self::masks::{LANES, Lanes, Masks, Places, WINDOW, places};
use super::detect::{identity, secret};
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

/// Walks the windows of a text that have anchors.
pub(crate) struct Windows<'t> {
    cursor: Cursor<'t>,
    block: Block,
    /// How many windows of the block are done.
    done: usize,
}

/// How far a text was read.
struct Cursor<'t> {
    text: Text<'t>,
    lexicon: &'static Lexicon,
    /// Where the next window starts; at the end of the text there is none.
    start: usize,
    /// How many of its bytes were taken already: all but the first window start with one, since what stands before a value
    /// matters.
    seen: u32,
}

/// Windows that were read at once, one of which has anchors at least.
struct Block {
    windows: [Anchors; LANES],
    len: usize,
}

impl<'t> Windows<'t> {
    /// The windows from `start` on, where no word and no number is under way; nothing for a text without anchors. Once a
    /// word has announced something, numbers count.
    #[inline(always)]
    pub(crate) fn new(
        text: Text<'t>,
        start: usize,
        lexicon: &'static Lexicon,
        announced: bool,
    ) -> Option<Self> {
        let mut cursor = Cursor { text, lexicon, start, seen: 0 };
        let block = cursor.seek(announced)?;
        Some(Self { cursor, block, done: 0 })
    }

    /// The anchors of the next window that has any.
    #[inline]
    pub(crate) fn next(&mut self, announced: bool) -> Option<Anchors> {
        loop {
            while self.done < self.block.len {
                let anchors = self.block.windows.get(self.done).copied().unwrap_or_default();
                self.done = self.done.wrapping_add(1);
                if anchors.all != 0 || (announced && anchors.numbers != 0) {
                    return Some(anchors);
                }
            }
            (self.block, self.done) = (self.cursor.seek(announced)?, 0);
        }
    }
}

impl Cursor<'_> {
    /// The next block with anchors; nothing at the end of the text.
    #[inline(always)]
    fn seek(&mut self, announced: bool) -> Option<Block> {
        if self.start >= self.text.len() {
            return None;
        }
        dispatch!(self.lexicon.level, simd => self.blocks(simd, announced))
    }

    #[inline(always)]
    fn blocks<S: Simd>(&mut self, simd: S, announced: bool) -> Option<Block> {
        let text = self.text;
        let bytes = text.bytes();
        let known = &self.lexicon.words;
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
            let (mut all, mut words, mut runs) = (places.small, places.small, [0; LANES]);
            let mut found = 0;
            for lane in 0..lanes {
                let start = at(&from, lane);
                let rest = bytes.get(start..).unwrap_or(&[]);
                let mut named = at(&words, lane)
                    | words_at(known, rest, at(&places.starts, lane), at(&places.outer, lane));
                let other = at(&places.other, lane);
                let mut any = 0;
                if other | named != 0 {
                    let window = Window { text, rest, start };
                    named = window.confirmed(named);
                    any = named;
                    if other != 0 {
                        let run;
                        (any, run) = window.others(&places, lane, &mut named, known);
                        put(&mut runs, lane, run);
                    }
                    put(&mut words, lane, named);
                }
                put(&mut all, lane, any);
                found |= any | (at(&places.numbers, lane) & wanted);
            }
            if found != 0 {
                let mut block = Block { windows: [Anchors::default(); LANES], len: lanes };
                for (lane, anchors) in block.windows.iter_mut().enumerate().take(lanes) {
                    *anchors = Anchors {
                        start: at(&from, lane),
                        all: at(&all, lane),
                        words: at(&words, lane),
                        lettered: at(&places.lettered, lane),
                        runs: at(&runs, lane),
                        numbers: at(&places.numbers, lane),
                    };
                }
                return Some(block);
            }
        }
        None
    }

    /// Classifies the next window: where it starts, and which of its bytes were not taken before.
    #[inline(always)]
    fn classify<S: Simd>(&mut self, simd: S, lane: usize, masks: &mut Masks) -> (usize, u64) {
        let bytes = self.text.bytes();
        let rest = bytes.get(self.start..).unwrap_or(&[]);
        if rest.len() > WINDOW
            && let Some(window) = rest.first_chunk::<WINDOW>()
        {
            masks.classify(simd, lane, window);
            let found = (self.start, TAKEN & u64::MAX.wrapping_shl(self.seen));
            self.start = self.start.wrapping_add(STEP - 1);
            self.seen = 1;
            return found;
        }
        // The last window ends with the text, and begins with bytes that are taken.
        let start = bytes.len().saturating_sub(WINDOW);
        let taken = u64::MAX.unbounded_shl(shift(self.start.wrapping_sub(start)).wrapping_add(self.seen));
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

/// What a block has for one of its windows.
#[inline(always)]
fn at<T: Copy + Default>(lanes: &[T; LANES], lane: usize) -> T {
    lanes.get(lane & (LANES - 1)).copied().unwrap_or_default()
}

#[inline(always)]
fn put(lanes: &mut Lanes, lane: usize, value: u64) {
    if let Some(cell) = lanes.get_mut(lane & (LANES - 1)) {
        *cell = value;
    }
}

/// The starts at which a word of the table may stand.
#[inline(always)]
fn words_at(known: &Hashes, rest: &[u8], starts: u64, outer: u64) -> u64 {
    let mut words = 0;
    let mut left = starts;
    while left != 0 {
        let bit = left.trailing_zeros();
        if known.may_start(rest, bit as usize, outer.wrapping_shr(bit).trailing_zeros()) {
            words |= left & left.wrapping_neg();
        }
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
        let of = |lanes: &Lanes| at(lanes, lane);
        if of(&places.camel) != 0 {
            // `firstName`, `IdNr`: written as one word as well.
            *words |= words_at(known, self.rest, of(&places.whole), of(&places.outer_whole));
            // `tokenAKIA…`: of a prefix that letters follow, four are told.
            *words |= prefixes_at(known, self.rest, of(&places.camel));
        }
        let mut all = *words | of(&places.sure);
        if of(&places.lettered) != 0 {
            all |= self.identifiers(of(&places.lettered));
        }
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

    /// Of the letters that go over into digits those that may start an account or identifier: most are hexadecimal.
    #[inline(always)]
    fn identifiers(&self, starts: u64) -> u64 {
        let mut kept = 0;
        let mut left = starts;
        while left != 0 {
            let one = left & left.wrapping_neg();
            left ^= one;
            if identity::may_start(self.text, self.start.wrapping_add(one.trailing_zeros() as usize)) {
                kept |= one;
            }
        }
        kept
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
            let [before, last] = [self.text.at(at.wrapping_sub(2)) | 0x20, self.text.before(at) | 0x20];
            let ends = match last {
                b'd' => matches!(before, b'r' | b'w'),
                b't' => matches!(before, b'r' | b'e'),
                b'y' | b'n' => before == b'e',
                _ => false,
            };
            if ends {
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
