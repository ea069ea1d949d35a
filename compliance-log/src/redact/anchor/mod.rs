//! Where detectors are called: the bytes that every value of a family has, found sixty-four at a time.
//!
//! A window of text becomes one bit mask per class of byte, and four windows are read at once ([`masks`]). What remains
//! is a superset of the places where a value can be: clean text costs a few instructions a byte, and in doubt a detector is
//! called. Windows overlap, so that the last anchor of one still sees what follows it, and the first what stands before.
//!
//! What runs under `dispatch!` is `inline(always)`: the vector unit's instructions are on only there, and a call a window
//! would cost more than it does.

mod masks;

use std::ops::Range;

use fearless_simd::{Level, Simd, dispatch};

use self::masks::{LANES, Lanes, Masks, Places, UP_TO_DAY, USUAL_LEN, WINDOW, places, timestamp_like};
use super::decode::{ESC, is_form_space, may_encode};
use super::detect::digits::luhn;
use super::detect::{identity, secret};
use super::lexicon::{Hashes, Lexicon, SUFFIXES, TOLD};
use super::text::{ALNUM, DIGIT, LOWER, Text, UPPER, eight_at};
use super::timestamp::timestamp_end;

/// The bytes whose anchors are taken; the rest of the window is what they look ahead to.
const STEP: usize = 56;
const TAKEN: u64 = u64::MAX >> (WINDOW - STEP);

/// The last letters of a secret's name: by the last one a bit for each that stands before it, `a` as bit 1.
#[expect(
    clippy::indexing_slicing,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
const ENDS: [u32; 32] = {
    let mut ends = [0; 32];
    let mut left = SUFFIXES;
    while let [(suffix, _), rest @ ..] = left {
        if let [.., before, last] = suffix.as_bytes() {
            ends[(*last & 31) as usize] |= 1_u32.wrapping_shl(*before as u32);
        }
        left = rest;
    }
    ends
};

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
    level: Level,
    known: &'static Hashes,
    /// Where the next window starts; at the end of the text there is none.
    start: usize,
    /// Which of its bytes were not taken yet: all but the first window start with one that was, or that is left out, since what
    /// stands before a value matters.
    fresh: u64,
    /// A word has announced something.
    announced: bool,
}

/// Windows that were read at once, one of which has anchors at least.
struct Block {
    windows: [Anchors; LANES],
    len: usize,
}

impl<'t> Windows<'t> {
    /// The windows of a text, but for the timestamp it starts with; nothing for a text without anchors. Once a word has
    /// announced something, numbers count, and so does a timestamp.
    #[inline(always)]
    pub(crate) fn new(text: Text<'t>, lexicon: &'static Lexicon, announced: bool) -> Option<Self> {
        let Lexicon { level, words: known, .. } = lexicon;
        let mut cursor = Cursor { text, level: *level, known, start: 0, fresh: u64::MAX, announced };
        let block = cursor.seek()?;
        Some(Self { cursor, block, done: 0 })
    }

    /// The anchors of the next window that has any. Blocks that start in `opaque` go on behind it.
    #[inline]
    pub(crate) fn next(&mut self, announced: bool, opaque: Range<usize>) -> Option<Anchors> {
        loop {
            while self.done < self.block.len {
                let anchors = self.block.windows.get(self.done).copied().unwrap_or_default();
                self.done = self.done.wrapping_add(1);
                if anchors.all != 0 || (announced && anchors.numbers != 0) {
                    return Some(anchors);
                }
            }
            self.cursor.announced = announced;
            if opaque.contains(&self.cursor.start) {
                self.cursor.skip(opaque.end);
            }
            (self.block, self.done) = (self.cursor.seek()?, 0);
        }
    }
}

impl Cursor<'_> {
    /// Goes on at `to`.
    #[cold]
    fn skip(&mut self, to: usize) {
        self.start = to.saturating_sub(1);
        self.fresh = u64::MAX << 1;
    }

    /// The next block with anchors; nothing at the end of the text.
    #[inline(always)]
    fn seek(&mut self) -> Option<Block> {
        while self.start < self.text.len() {
            let block = dispatch!(self.level, simd => self.block(simd));
            if block.is_some() {
                return block;
            }
        }
        None
    }

    /// The next windows; nothing where there are no anchors in them.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S) -> Option<Block> {
        let text = self.text;
        let padded;
        let bytes = if text.len() < WINDOW {
            padded = padded_window(text.bytes());
            &padded
        } else {
            text.bytes()
        };
        if self.start == 0
            && !self.announced
            && let Some(line) = bytes.first_chunk()
        {
            let like = timestamp_like(simd, line);
            // With the space behind it.
            if like > USUAL_LEN {
                self.start = USUAL_LEN as usize;
            } else if like >= UP_TO_DAY {
                self.start = timestamp_end(text);
            }
            if self.start >= text.len() {
                return None;
            }
        }
        let known = self.known;
        let mut masks = Masks::new();
        let (mut from, mut taken) = ([0; LANES], [0; LANES]);
        let mut windows = [&[0; WINDOW]; LANES];
        let mut lanes = 0;
        for (lane, window) in windows.iter_mut().enumerate() {
            let (start, fresh);
            (start, fresh, *window) = self.advance(bytes);
            masks.classify(simd, lane, window);
            put(&mut from, lane, start);
            put(&mut taken, lane, fresh);
            lanes = lane.wrapping_add(1);
            if self.start >= text.len() {
                break;
            }
        }
        let places = places(simd, &masks, &taken);
        let mut words = places.dapi;
        let (mut all, mut runs) = ([0; LANES], [0; LANES]);
        let mut found = 0;
        for lane in 0..lanes {
            let bytes = of_lane(&windows, lane, &[0; WINDOW]);
            let (starts, outer) = (of_lane(&places.starts, lane, 0), of_lane(&places.outer, lane, 0));
            let named = of_lane(&words, lane, 0) | words_at(known, bytes, starts, outer);
            if of_lane(&places.any, lane, 0) | named != 0 {
                let start = of_lane(&from, lane, 0);
                let window = Window { text, places: &places, from: &from, lanes, lane, start, bytes };
                let (any, named, run) = window.anchors(named, known);
                put(&mut all, lane, any);
                put(&mut words, lane, named);
                put(&mut runs, lane, run);
                found |= any;
            }
        }
        if self.announced {
            found = places.numbers.iter().fold(found, |found, numbers| found | numbers);
        }
        if found == 0 {
            return None;
        }
        let mut block = Block { windows: [Anchors::default(); LANES], len: lanes };
        for (lane, anchors) in block.windows.iter_mut().enumerate().take(lanes) {
            *anchors = Anchors {
                start: of_lane(&from, lane, 0),
                all: of_lane(&all, lane, 0),
                words: of_lane(&words, lane, 0),
                lettered: of_lane(&places.lettered, lane, 0),
                runs: of_lane(&runs, lane, 0),
                numbers: of_lane(&places.numbers, lane, 0),
            };
        }
        Some(block)
    }

    /// The next window of a text, which is a window long at least: where it starts, and which of its bytes were not taken
    /// before.
    #[inline(always)]
    fn advance<'b>(&mut self, bytes: &'b [u8]) -> (usize, u64, &'b [u8; WINDOW]) {
        let (start, fresh) = (self.start, self.fresh);
        self.fresh = u64::MAX << 1;
        // One byte more: the last window has another way.
        if let Some(more) = bytes.get(start..).and_then(<[u8]>::first_chunk::<{ WINDOW + 1 }>)
            && let Some(window) = more.first_chunk()
        {
            self.start = start.wrapping_add(STEP - 1);
            return (start, TAKEN & fresh, window);
        }
        // The last window ends with the text, and begins with bytes that are taken.
        self.start = bytes.len();
        let last = bytes.len().saturating_sub(WINDOW);
        let taken = fresh.wrapping_shl(shift(start.wrapping_sub(last)));
        (last, taken, bytes.last_chunk().unwrap_or(&[0; WINDOW]))
    }
}

/// A text that is shorter than a window.
#[inline(never)]
fn padded_window(bytes: &[u8]) -> [u8; WINDOW] {
    let mut window = [0; WINDOW];
    window.iter_mut().zip(bytes).for_each(|(cell, byte)| *cell = *byte);
    window
}

/// What a block has for one of its windows.
#[inline(always)]
fn of_lane<T: Copy>(lanes: &[T; LANES], lane: usize, none: T) -> T {
    lanes.get(lane & (LANES - 1)).copied().unwrap_or(none)
}

#[inline(always)]
fn put<T>(lanes: &mut [T; LANES], lane: usize, value: T) {
    if let Some(cell) = lanes.get_mut(lane & (LANES - 1)) {
        *cell = value;
    }
}

/// The starts at which a word of the table may stand.
#[inline(always)]
fn words_at(known: &Hashes, window: &[u8; WINDOW], starts: u64, outer: u64) -> u64 {
    let mut words = 0;
    let mut left = starts;
    while left != 0 {
        let bit = left.trailing_zeros();
        if known.may_start(window, bit as usize, outer.wrapping_shr(bit).trailing_zeros()) {
            words |= left & left.wrapping_neg();
        }
        left &= left.wrapping_sub(1);
    }
    words
}

/// The starts at which a prefix of the table may stand that letters follow.
fn prefixes_at(known: &Hashes, window: &[u8; WINDOW], starts: u64) -> u64 {
    let mut prefixes = 0;
    let mut left = starts;
    while left != 0 {
        let bit = left.trailing_zeros();
        prefixes |= u64::from(known.may_start(window, bit as usize, TOLD)).wrapping_shl(bit);
        left &= left.wrapping_sub(1);
    }
    prefixes
}

/// One window of a text, and the block it belongs to.
#[derive(Clone, Copy)]
struct Window<'b> {
    text: Text<'b>,
    places: &'b Places,
    /// Where the windows of the block start, and how many there are.
    from: &'b [usize; LANES],
    lanes: usize,
    lane: usize,
    start: usize,
    /// Its bytes, and noughts behind a text that is shorter.
    bytes: &'b [u8; WINDOW],
}

impl Window<'_> {
    /// All anchors but short numbers, and words and runs among them.
    #[inline(always)]
    fn anchors(self, words: u64, known: &Hashes) -> (u64, u64, u64) {
        let words = self.confirmed(words);
        if of_lane(&self.places.any, self.lane, 0) == 0 {
            return (words, words, 0);
        }
        self.others(words, known)
    }

    /// Of the words those that are no key of a cache.
    #[inline(always)]
    fn confirmed(self, words: u64) -> u64 {
        let mut confirmed = words;
        let mut left = words;
        while left != 0 {
            let bit = left.trailing_zeros();
            if let Some(length) = secret::assigned_key(eight_at(self.bytes, bit as usize)) {
                let start = self.start.wrapping_add(bit as usize);
                let value = start.wrapping_add(length);
                if secret::is_idle(self.text, start, value, self.dashed_end(value)) {
                    confirmed ^= left & left.wrapping_neg();
                }
            }
            left &= left.wrapping_sub(1);
        }
        confirmed
    }

    /// Where the run of hexadecimal digits and dashes ends that starts at `value`.
    #[inline(always)]
    fn dashed_end(self, value: usize) -> usize {
        let end = self.run_end(|lane| of_lane(&self.places.dashed, lane, 0), self.lane, value);
        end.unwrap_or_else(|| self.text.dashed_hex_end(value, secret::LIMIT))
    }

    /// Where a run of one class ends that goes on at `start`, in the window of this lane or in one behind; nothing where it
    /// leaves the block.
    #[inline(always)]
    fn run_end(self, class: impl Fn(usize) -> u64, lane: usize, start: usize) -> Option<usize> {
        let mut end = start;
        for lane in lane..self.lanes {
            let bit = shift(end.wrapping_sub(of_lane(self.from, lane, 0)));
            if bit < 64 {
                let length = class(lane).wrapping_shr(bit).trailing_ones();
                end = end.wrapping_add(length as usize);
                if bit.wrapping_add(length) < 64 {
                    return Some(end);
                }
            }
        }
        (end >= self.text.len()).then_some(end)
    }

    /// As [`anchors`](Self::anchors), where there are others than words.
    #[inline(always)]
    fn others(self, mut words: u64, known: &Hashes) -> (u64, u64, u64) {
        let places = self.places;
        let of = |lanes: &Lanes| of_lane(lanes, self.lane, 0);
        if of(&places.mixed) != 0 {
            seldom();
            // `firstName`, `IdNr`: written as one word as well.
            let (letter, digit) = (of(&places.letter), of(&places.digit));
            let longer = (letter >> 1) | ((digit >> 1) & !(digit >> 2));
            words |= words_at(known, self.bytes, of(&places.begins) & longer, !(letter >> 1));
            // `tokenAKIA…`: of a prefix that letters follow, four are told.
            words |= prefixes_at(known, self.bytes, of(&places.camel));
        }
        let mut all = words | of(&places.sure);
        if of(&places.lettered) != 0 {
            seldom();
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
        (all, words, runs)
    }

    /// Of the letters that go over into digits those that may start an account or identifier: most are hexadecimal.
    #[inline(always)]
    fn identifiers(self, starts: u64) -> u64 {
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
    fn runs(self, starts: u64, plain: u64, upper: u64) -> u64 {
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

    /// Whether the run that reaches `start` has a capital further on.
    #[inline(always)]
    fn goes_on(self, start: usize) -> bool {
        let small = |lane| of_lane(&self.places.plain, lane, 0) & !of_lane(&self.places.upper, lane, 0);
        let end = self.run_end(small, self.lane.wrapping_add(1), start);
        self.text.is(end.unwrap_or_else(|| self.text.run_end(start, LOWER | DIGIT, usize::MAX)), UPPER)
    }

    /// Of the long numbers those with a length or grouping that carries a check worth its name.
    // INVARIANT: keeps every number that `engine::number` looks at without an announcing word; `reference.rs` proves it.
    #[inline(always)]
    fn long_numbers(self, starts: u64, digit: u64, region: u64, plain: u64) -> u64 {
        let mut worth = starts;
        let mut left = starts;
        while left != 0 {
            let bit = left.trailing_zeros();
            let one = left & left.wrapping_neg();
            left ^= one;
            let length = region.wrapping_shr(bit).trailing_ones();
            let run = digit.wrapping_shr(bit).trailing_ones();
            let end = bit.wrapping_add(length);
            let fits = if run == length {
                let first = self.text.at(self.start.wrapping_add(bit as usize));
                let sized = match length {
                    11 => true,
                    // Milliseconds since 1970 are no Swiss insurance number.
                    13 => first == b'7',
                    // A French number's first digit is the sex.
                    15 => matches!(first, b'1'..=b'8'),
                    // A card, and the check digit of cards.
                    14 | 16..=19 => {
                        matches!(first, b'2'..=b'6') && {
                            let start = self.start.wrapping_add(bit as usize);
                            let digits = self.text.slice(start, start.wrapping_add(length as usize));
                            digits.is_empty() || luhn(digits)
                        }
                    }
                    _ => false,
                };
                // What goes over into letters ends nowhere.
                sized && plain.unbounded_shr(end) & 1 == 0
            } else {
                let inside = !u64::MAX.unbounded_shl(length);
                let digits = (digit.wrapping_shr(bit) & inside).count_ones();
                // `0.0.0.0` is nobody's.
                let nowhere = run == 1 && self.bytes.get(bit as usize) == Some(&b'0');
                digits >= 9 || (length.wrapping_sub(digits) >= 3 && !nowhere)
            };
            // A region that leaves the window may go on.
            if !fits && (end < 64 || self.start.wrapping_add(WINDOW) >= self.text.len()) {
                worth ^= one;
            }
        }
        worth
    }

    /// The signs of assignment behind an identifier that may end in a secret's name: `dbpassword=`, `"webtoken":`.
    #[inline(always)]
    fn suffixes(self, equals: u64) -> u64 {
        let mut suffixed = 0;
        let mut left = equals;
        while left != 0 {
            let bit = left.trailing_zeros() as usize;
            let before = match self.bytes.get(bit.wrapping_sub(4)..bit).and_then(<[u8]>::first_chunk::<4>) {
                Some(before) => u32::from_le_bytes(*before),
                None => four_before(self.text, self.start.wrapping_add(bit)),
            };
            let quoted = before >> 24 == u32::from(b'"');
            let [_, _, before, last] = if quoted { before << 8 } else { before }.to_le_bytes();
            let ends = ENDS.get(usize::from(last & 31)).copied().unwrap_or(0).wrapping_shr(u32::from(before));
            if ends & u32::from((before & last) >> 6) & 1 != 0 {
                suffixed |= left & left.wrapping_neg();
            }
            left &= left.wrapping_sub(1);
        }
        suffixed
    }

    /// The signs that may begin a value or an encoded character, and the bytes outside ASCII that may begin a
    /// character which stands for another one.
    // INVARIANT: keeps every sign at which `engine::sign` calls a detector, and with the bracket behind `ESC` every one that
    // may begin an encoded character; `reference.rs` proves it.
    #[inline(always)]
    fn signs(self, signs: u64) -> u64 {
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
                b'[' => next.is_ascii_uppercase() || text.before(at) == ESC,
                b'\\' | b'%' | b'&' => may_encode(text, at),
                b'(' => next.is_ascii_digit() || next == b'(',
                b'+' => next.is_ascii_digit() || next == b'(' || is_form_space(text, at),
                0xc2 | 0xcb | 0xcd | 0xd5..=0xdf | 0xe0..=0xe3 | 0xea | 0xef.. => true,
                // Of the Latin letters two are signs: × and ÷.
                0xc3 => matches!(next, 0x97 | 0xb7),
                // Letters that are written without spaces between words end a word of others.
                0xe4..=0xed => text.is_before(at, ALNUM) || text.is(at.wrapping_add(3), ALNUM),
                _ => false,
            };
            if keep {
                kept |= one;
            }
        }
        kept
    }
}

/// The four bytes before `at`, noughts before the text.
#[cold]
#[inline(never)]
fn four_before(text: Text<'_>, at: usize) -> u32 {
    (1..=4).fold(0, |before, back| (before << 8) | u32::from(text.at(at.wrapping_sub(back))))
}

/// Marks what few lines have, so that it does not stand in the way of what most have.
#[cold]
#[inline(never)]
fn seldom() {}

/// A distance within a window as a shift.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "at most the width of a window")]
fn shift(distance: usize) -> u32 {
    distance as u32
}
