//! Four windows of sixty-four bytes at once: a bit mask per class of byte and window, and what shifts and intersections of
//! masks tell of words, numbers and chains of separators.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, u8x32, u16x16, u64x4};

/// The bytes of a window.
pub(super) const WINDOW: usize = 64;
/// The windows of a block.
pub(super) const LANES: usize = 4;
/// One bit per byte, one number per window.
pub(super) type Lanes = [u64; LANES];

/// How many classes of bytes there are: ten of [`ALL`], and of rare signs and of bytes outside ASCII one each.
const CLASSES: usize = 12;

/// One bit per byte of each window, by class; two halves per window.
pub(super) struct Masks([[u32; 2 * LANES]; CLASSES]);

impl Masks {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self([[0; 2 * LANES]; CLASSES])
    }

    /// Classifies the bytes of one window.
    #[inline(always)]
    pub(super) fn classify<S: Simd>(&mut self, simd: S, lane: usize, window: &[u8; WINDOW]) {
        let (halves, _) = window.as_chunks::<32>();
        for (half, bytes) in halves.iter().enumerate() {
            let place = (lane & (LANES - 1)).wrapping_mul(2).wrapping_add(half);
            for (row, bits) in self.0.iter_mut().zip(classes(simd, bytes)) {
                if let Some(cell) = row.get_mut(place) {
                    *cell = bits;
                }
            }
        }
    }

    #[inline(always)]
    fn row<S: Simd>(simd: S, row: &[u32; 2 * LANES]) -> u64x4<S> {
        let [a, b, c, d, e, f, g, h] = row.map(u64::from);
        [a | (b << 32), c | (d << 32), e | (f << 32), g | (h << 32)].simd_into(simd)
    }
}

/// A class: bytes with one of these high nibbles and one of these low nibbles.
type Class = (&'static [u8], &'static [u8]);

/// The classes in the order of [`Masks`]: digits; letters in two parts, with others for the case; letters that are
/// hexadecimal digits; `:`; `=`; `-`; `.`; what stands between groups of digits (space, dash, point, slash); and rare signs
/// in three parts that become one: `%` to `+`, `@`, `[` and `\`.
const ALL: [Class; 13] = [
    (&[3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    (&[4, 6], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
    (&[5, 7], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    (&[4, 5], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
    (&[4, 6], &[1, 2, 3, 4, 5, 6]),
    (&[3], &[10]),
    (&[3], &[13]),
    (&[2], &[13]),
    (&[2], &[14]),
    (&[2], &[0, 13, 14, 15]),
    (&[2], &[5, 6, 7, 8, 9, 10, 11]),
    (&[4], &[0]),
    (&[5], &[11, 12]),
];

/// By nibble, the first eight classes and the others: the highest bit is the first.
const HIGH_NIBBLE: [[u8; 32]; 2] = [nibbles(true, 0), nibbles(true, 8)];
const LOW_NIBBLE: [[u8; 32]; 2] = [nibbles(false, 0), nibbles(false, 8)];

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
const fn nibbles(high: bool, first: usize) -> [u8; 32] {
    let mut table = [0; 32];
    let mut class = first;
    while class < ALL.len() && class < first + 8 {
        let nibbles = if high { ALL[class].0 } else { ALL[class].1 };
        let bit = 0x80 >> (class - first);
        let mut at = 0;
        while at < nibbles.len() {
            table[nibbles[at] as usize] |= bit;
            table[nibbles[at] as usize + 16] |= bit;
            at += 1;
        }
        class += 1;
    }
    table
}

/// The classes of half a window.
#[inline(always)]
#[expect(clippy::arithmetic_side_effects, reason = "lanes shift; vectors have no other way to")]
#[expect(clippy::cast_possible_truncation, reason = "a mask of 32 lanes has 32 bits")]
fn classes<S: Simd>(simd: S, bytes: &[u8; 32]) -> [u32; CLASSES] {
    let bytes: u8x32<S> = (*bytes).simd_into(simd);
    let (high, low) = (bytes >> 4, bytes & 0x0f);
    let look = |table: &[u8; 32], nibbles| -> u8x32<S> {
        let table: u8x32<S> = (*table).simd_into(simd);
        table.swizzle_dyn_within_blocks(nibbles)
    };
    let [first_high, second_high] = &HIGH_NIBBLE;
    let [first_low, second_low] = &LOW_NIBBLE;
    let mut first = (look(first_high, high) & look(first_low, low)).bitcast();
    let second_bits = look(second_high, high) & look(second_low, low);
    let mut second = second_bits.bitcast();
    let mut masks = [0; CLASSES];
    let (head, tail) = masks.split_at_mut(8);
    // Bits that a byte gets from its neighbour never come to its top in eight steps.
    let top = |bits: &mut u16x16<S>, cell: &mut u32| {
        *cell = bits.bitcast::<u8x32<S>>().simd_ge(0x80).to_bitmask() as u32;
        *bits <<= 1;
    };
    head.iter_mut().for_each(|cell| top(&mut first, cell));
    let [dot, gap, rare, high] = tail else { return masks };
    let signs = (second_bits & 0x38).simd_gt(0);
    *rare = signs.to_bitmask() as u32;
    top(&mut second, dot);
    top(&mut second, gap);
    *high = bytes.simd_ge(0x80).to_bitmask() as u32;
    masks
}

/// What the masks of a block tell: one bit per byte, one number per window. All of it lies within what is taken, except
/// `outer` and the plain classes.
pub(super) struct Places {
    /// Here a detector is called, whatever else stands there.
    pub(super) sure: Lanes,
    /// Not nought where any of `sure`, `lettered`, `camel`, `long`, `cased`, `equals` and `signs` is.
    pub(super) other: Lanes,
    /// Starts of what may be the one prefix in small letters that others follow, `dapi`.
    pub(super) small: Lanes,
    /// Letters that may go over into the digits of an identifier.
    pub(super) lettered: Lanes,
    /// Starts of words, as `firstName` has two.
    pub(super) starts: Lanes,
    /// Where the letters of such a word end: the bit before the first that is none.
    pub(super) outer: Lanes,
    /// Capitals behind small letters.
    pub(super) camel: Lanes,
    /// As `starts` and `outer`, for words as `firstName` is one.
    pub(super) whole: Lanes,
    pub(super) outer_whole: Lanes,
    /// Every number.
    pub(super) numbers: Lanes,
    /// Numbers that may be long enough to be looked at.
    pub(super) long: Lanes,
    /// Starts of runs of eight letters and digits or more.
    pub(super) runs: Lanes,
    /// Whether one of them has a capital or leaves the window.
    pub(super) cased: Lanes,
    /// Equals signs behind six letters.
    pub(super) equals: Lanes,
    /// Rare signs and bytes outside ASCII.
    pub(super) signs: Lanes,
    /// Digits, and what stands between groups of them.
    pub(super) region: Lanes,
    pub(super) digit: Lanes,
    /// Letters and digits of ASCII.
    pub(super) plain: Lanes,
    pub(super) upper: Lanes,
}

/// Reads the masks of a block. Bits of a window that are not `taken` are read only for what stands around those that are.
#[inline(always)]
#[expect(clippy::arithmetic_side_effects, reason = "lanes wrap; vectors have no other addition")]
pub(super) fn places<S: Simd>(simd: S, masks: &Masks, taken: &Lanes) -> Places {
    // What goes through memory stays what it is: the compiler would otherwise take vectors apart bit by bit.
    let Masks([digit, first, second, case, hex, colon, equals, dash, dot, gap, rare, high]) =
        std::hint::black_box(masks);
    let taken: u64x4<S> = (*taken).simd_into(simd);
    let row = |row| Masks::row(simd, row);
    let (digit, hex, high, gap) = (row(digit), row(hex), row(high), row(gap));
    let (colon, dash, dot, equals) = (row(colon), row(dash), row(dot), row(equals));
    let letter = row(first) | row(second);
    let upper = letter & row(case);
    let rare = row(rare);
    // A window whose last bit is not taken has more text behind it: all bits, else none.
    let behind = (taken >> 63) - 1;

    let any_letter = letter | high;
    let word = any_letter | digit;
    let after_word = word << 1;
    let lower = letter & !upper;
    let camel = upper & (lower << 1);
    let begins = any_letter & !after_word & taken;
    let all_starts = begins | (camel & taken);
    let numbers = digit & !after_word & taken;
    let inner = any_letter & !camel;
    // No word has one letter, and of the prefixes one: `r8_`.
    let short = (digit >> 1) & !(digit >> 2);
    let starts = all_starts & ((inner >> 1) | short);
    let outer = !(inner >> 1);
    let whole = begins & ((any_letter >> 1) | short);
    let outer_whole = !(any_letter >> 1);

    // Eight letters and digits and more, with a capital among them: the others hide no text. Added to a run without
    // capitals, its first bit comes out behind it: at a capital, or at the run's end. The last bit of a window with more
    // behind it is left out, so that those that leave the window come out there.
    let plain = letter | digit;
    let mut run = plain & (plain >> 1);
    run &= run >> 2;
    run &= run >> 4;
    run &= !after_word & taken;
    let last = behind << 63;
    let small = plain & !(upper | last);
    let cased = (small + run) & !small & (upper | last);

    let pairs = digit & (digit >> 1);
    let fours = pairs & (pairs >> 2);
    let eight = fours & (fours >> 4);
    let lettered = begins & identifiers(any_letter, digit, pairs, fours, gap);
    // What lies behind the window may be a digit.
    let eleven = eight & ((fours >> 7) | (behind << 54));
    let nine = eight & (digit >> 8);
    let region = digit | (gap & (digit << 1) & ((digit >> 1) | last));
    let mut seven = region & (region >> 1);
    seven &= seven >> 2;
    seven &= seven >> 3;
    // `219-09-9999`, `131052-3089`: what is grouped has eleven bytes at least.
    let grouped = seven & ((seven >> 4) | (behind << 54));
    let octet = (dot >> 1) | (dot >> 2) | (dot >> 3);
    let long = numbers & (eleven | (grouped & !nine) | (seven & octet));

    // Six digits and a sign, or eight digits and a capital or dash: `131052-308T`, `12345678-Z`, `65180539W001`.
    let sign = dash | upper;
    let shaped = numbers & (fours & (pairs >> 4)) & ((sign >> 6) | (eight & (sign >> 8)));

    // `std::fmt`: a letter that is no hexadecimal digit ends or starts a name, not an address.
    let named = any_letter & !hex;
    let joint = colon & !((named >> 1) | (named >> 2));
    let double = joint & (colon >> 1) & !(named << 1);
    // What lies behind the window counts as a colon.
    let near = |mask: u64x4<S>| {
        let two = (mask >> 2) | (mask >> 3);
        two | (two >> 2) | (behind << 59)
    };
    let chain = (joint & near(joint & near(joint))) | double;
    // Dashes every three bytes, points every five between hexadecimal digits: a hardware address.
    let dashes = dash & (dash >> 3) & (dash >> 6);
    let nibbles = (hex | digit) & ((hex | digit) >> 1);
    let points = dot & (dot >> 5) & (nibbles >> 1) & (nibbles >> 3);
    // `dapi0123…`: all but the third and fourth byte are hexadecimal digits.
    let prefix = run & nibbles & (nibbles >> 4) & (nibbles >> 6) & !((nibbles >> 2) | (nibbles >> 3));
    let sure = shaped | ((chain | dashes | points) & taken);

    // What stands before the window may be a letter.
    let two = letter & ((letter << 1) | 1);
    let six = (two << 1) & ((two << 3) | 0b111) & ((two << 5) | 0b1_1111);
    let equals = equals & taken & six;
    let signs = (high | rare) & taken;
    let other = sure | lettered | camel | long | cased | equals | signs;
    Places {
        other: *other,
        sure: *sure,
        small: *prefix,
        lettered: *lettered,
        starts: *starts,
        outer: *outer,
        camel: *(camel & taken),
        whole: *whole,
        outer_whole: *outer_whole,
        numbers: *numbers,
        long: *long,
        runs: *run,
        cased: *cased,
        equals: *equals,
        signs: *signs,
        region: *region,
        digit: *digit,
        plain: *plain,
        upper: *upper,
    }
}

/// Where identifiers such as `DE89`, `AB123456C`, `RSSMRA85…`, `AB 12 34 56 C`, `X-1234567L` may start: so many letters,
/// then digits.
#[inline(always)]
#[expect(clippy::arithmetic_side_effects, reason = "lanes shift; vectors have no other way to")]
fn identifiers<S: Simd>(
    letter: u64x4<S>,
    digit: u64x4<S>,
    pairs: u64x4<S>,
    fours: u64x4<S>,
    gap: u64x4<S>,
) -> u64x4<S> {
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
