//! Four windows of sixty-four bytes at once: a bit mask per class of byte and window, and what shifts and intersections of
//! masks tell of words, numbers and chains of separators.

use fearless_simd::prelude::*;
use fearless_simd::{Simd, i8x32, u8x32, u16x16, u64x4};

use super::super::lexicon::SHORTEST;

/// The bytes of a window.
pub(super) const WINDOW: usize = 64;
/// The windows of a block.
pub(super) const LANES: usize = 4;
const _: () = assert!(LANES.is_power_of_two());
/// One bit per byte, one number per window.
pub(super) type Lanes = [u64; LANES];

/// How many classes of bytes there are: six of [`ALL`], rare signs, letters, small letters and bytes outside ASCII.
const CLASSES: usize = 10;

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

/// The classes in the order of [`Masks`]: digits; letters that are hexadecimal digits; `:`; `-` and `=`; `.`; what stands
/// between groups of digits (space, dash, point, slash); and rare signs in two parts that become one: `%`, `&`, `(`, `+`,
/// and `@`, `[`, `\` among letters.
const ALL: [Class; 8] = [
    (&[3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    (&[4, 6], &[1, 2, 3, 4, 5, 6]),
    (&[3], &[10]),
    (&[2, 3], &[13]),
    (&[2], &[14]),
    (&[2], &[0, 13, 14, 15]),
    (&[2], &[5, 6, 8, 11]),
    (&[4, 5], &[0, 11, 12]),
];

/// The bits of the rare signs.
const RARE: u8 = 0b11;

/// By nibble, the classes: the highest bit is the first.
const HIGH_NIBBLE: [u8; 32] = nibbles(true);
const LOW_NIBBLE: [u8; 32] = nibbles(false);

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
const fn nibbles(high: bool) -> [u8; 32] {
    let mut table = [0; 32];
    let mut class = 0;
    while class < ALL.len() {
        let nibbles = if high { ALL[class].0 } else { ALL[class].1 };
        let bit = 0x80 >> class;
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
#[expect(clippy::arithmetic_side_effects, reason = "lanes wrap and shift; vectors have no other way to")]
#[expect(clippy::cast_possible_truncation, reason = "a mask of 32 lanes has 32 bits")]
fn classes<S: Simd>(simd: S, bytes: &[u8; 32]) -> [u32; CLASSES] {
    let bytes: u8x32<S> = (*bytes).simd_into(simd);
    let look = |table: &[u8; 32], nibbles| -> u8x32<S> {
        let table: u8x32<S> = (*table).simd_into(simd);
        table.swizzle_dyn_within_blocks(nibbles)
    };
    let found = look(&HIGH_NIBBLE, bytes >> 4) & look(&LOW_NIBBLE, bytes & 0x0f);
    let top = |bits: u16x16<S>| bits.bitcast::<u8x32<S>>().simd_ge(0x80).to_bitmask() as u32;
    let mut masks = [0; CLASSES];
    let (head, tail) = masks.split_at_mut(6);
    // Bits that a byte gets from its neighbour never come to its top in six steps.
    let mut bits: u16x16<S> = found.bitcast();
    head.iter_mut().for_each(|cell| {
        *cell = top(bits);
        bits <<= 1;
    });
    let [rare, letter, small, high] = tail else { return masks };
    *rare = (found & RARE).simd_gt(0).to_bitmask() as u32;
    // From `a` to `z` the sum goes from -128 to -103.
    *letter = ((bytes | 0x20) + (0x80 - b'a')).bitcast::<i8x32<S>>().simd_lt(-102).to_bitmask() as u32;
    // A small letter has this bit.
    *small = top(bytes.bitcast::<u16x16<S>>() << 2);
    *high = bytes.simd_ge(0x80).to_bitmask() as u32;
    masks
}

/// A timestamp as most lines start with it: with six digits of fraction.
const USUAL: [u8; 32] = *b"0000-00-00T00:00:00.000000Z     ";
/// What may be added to the difference of a byte from its like: six to a digit's, since that is nine at most, else fifteen.
#[expect(
    clippy::indexing_slicing,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
const SLACK: [u8; 32] = {
    let mut slack = [15; 32];
    let mut at = 0;
    while at < USUAL.len() {
        if USUAL[at] == b'0' {
            slack[at] = 6;
        }
        at += 1;
    }
    slack
};

/// The length of the usual timestamp.
pub(super) const USUAL_LEN: u32 = 27;
/// The length of its date up to the day.
pub(super) const UP_TO_DAY: u32 = 8;

/// How many of a line's first bytes stand as in the usual timestamp.
#[inline(always)]
#[expect(clippy::arithmetic_side_effects, reason = "lanes wrap; vectors have no other addition")]
#[expect(clippy::cast_possible_truncation, reason = "a mask of 32 lanes has 32 bits")]
pub(super) fn timestamp_like<S: Simd>(simd: S, line: &[u8; 32]) -> u32 {
    let line: u8x32<S> = (*line).simd_into(simd);
    let [usual, slack]: [u8x32<S>; 2] = [USUAL.simd_into(simd), SLACK.simd_into(simd)];
    let difference = line ^ usual;
    (((difference | (difference + slack)) & 0xf0).simd_eq(0).to_bitmask() as u32).trailing_ones()
}

/// What the masks of a block tell: one bit per byte, one number per window. All of it lies within what is taken, except
/// `outer`, `mixed`, `cased`, what `any` has of them, and the plain classes.
pub(super) struct Places {
    /// Here a detector is called, whatever else stands there.
    pub(super) sure: Lanes,
    /// Not nought where any of `sure`, `lettered`, `mixed`, `long`, `cased`, `equals` and `signs` is.
    pub(super) any: Lanes,
    /// Starts of what may be the one prefix in small letters that others follow, `dapi`.
    pub(super) dapi: Lanes,
    /// Letters that may go over into the digits of an identifier.
    pub(super) lettered: Lanes,
    /// Starts of words, as `firstName` has two.
    pub(super) starts: Lanes,
    /// Where the letters of such a word end: the bit before the first that is none.
    pub(super) outer: Lanes,
    /// Capitals behind small letters.
    pub(super) camel: Lanes,
    /// Not nought where there is one, taken or not: a word that starts before it is one from here.
    pub(super) mixed: Lanes,
    /// Letters, and bytes outside ASCII.
    pub(super) letter: Lanes,
    /// Starts of words, as `firstName` is one.
    pub(super) begins: Lanes,
    /// Starts of numbers, taken ones.
    pub(super) numbers: Lanes,
    /// Numbers that may be long enough to be looked at.
    pub(super) long: Lanes,
    /// Starts of runs of eight letters and digits or more.
    pub(super) runs: Lanes,
    /// Whether one of them has a capital or leaves the window.
    pub(super) cased: Lanes,
    /// Equals signs and single colons behind six letters, or behind a quote or other sign and six letters.
    pub(super) equals: Lanes,
    /// Rare signs and bytes outside ASCII.
    pub(super) signs: Lanes,
    /// Hexadecimal digits and dashes.
    pub(super) dashed: Lanes,
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
    let Masks([digit, hex, colon, double, dot, gap, rare, letter, small, high]) = std::hint::black_box(masks);
    let taken: u64x4<S> = (*taken).simd_into(simd);
    let row = |row| Masks::row(simd, row);
    let (digit, hex, colon, dot, gap) = (row(digit), row(hex), row(colon), row(dot), row(gap));
    let (letter, high) = (row(letter), row(high));
    let double = row(double);
    let (dash, equals) = (double & gap, double & !gap);
    let lower = letter & row(small);
    let upper = letter & !lower;
    let rare = row(rare) & !letter;
    // A window whose last bit is not taken has more text behind it: all bits, else none.
    let behind = (taken >> 63) - 1;

    let any_letter = letter | high;
    let word = any_letter | digit;
    let after_word = word << 1;
    let mixed = upper & (lower << 1);
    let camel = mixed & taken;
    let begins = any_letter & !after_word & taken;
    let all_starts = begins | camel;
    let numbers = digit & !after_word & taken;
    let inner = any_letter & !mixed;
    // No word has one letter, and of the prefixes one: `r8_`.
    let short = (digit >> 1) & !(digit >> 2);
    let starts = all_starts & ((inner >> 1) | short);
    let outer = !(inner >> 1);

    // Eight letters and digits and more, with a capital among them: the others hide no text. Added to a run without
    // capitals, its first bit comes out behind it: at a capital, or at the run's end. The last bit of a window with more
    // behind it is left out, so that those that leave the window come out there.
    let plain = letter | digit;
    let mut run = plain & (plain >> 1);
    run &= run >> 2;
    run &= run >> 4;
    run &= !after_word & taken;
    let last = behind << 63;
    let carried = plain & !(upper | last);
    let cased = (carried + run) & !carried & (upper | last);

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
    // `203.0.113.7`: a point that two others follow. What lies behind the window may be one.
    let followed = |by: u64x4<S>| {
        let two = (by >> 2) | (by >> 3);
        dot & (two | (two >> 1) | (behind << 60))
    };
    let first = followed(followed(dot));
    let address = seven & ((first >> 1) | (first >> 2) | (first >> 3));
    let long = numbers & (eleven | (grouped & !nine) | address);

    // Six digits and a sign, or eight digits and a capital or dash: `131052-308T`, `12345678-Z`, `65180539W001`.
    let sign = dash | upper;
    let shaped = numbers & (fours & (pairs >> 4)) & ((sign >> 6) | (eight & (sign >> 8)));

    // `std::fmt`: a letter that is no hexadecimal digit ends or starts a name, not an address.
    let named = any_letter & !hex;
    let joint = colon & !((named >> 1) | (named >> 2));
    let colons = joint & (colon >> 1) & !(named << 1);
    // What lies behind the window counts as a colon.
    let near = |mask: u64x4<S>| {
        let two = (mask >> 2) | (mask >> 3);
        two | (two >> 2) | (behind << 59)
    };
    let chain = (joint & near(joint & near(joint))) | colons;
    // Dashes every three bytes, points every five between hexadecimal digits: a hardware address.
    let dashes = dash & (dash >> 3) & (dash >> 6);
    let nibble = hex | digit;
    let nibbles = nibble & (nibble >> 1);
    let points = dot & (dot >> 5) & (nibbles >> 1) & (nibbles >> 3);
    // The third and fourth byte of `dapi0123…` are no hexadecimal digits; those around them are.
    let dapi = run & nibbles & (nibbles >> 4) & !((nibble >> 2) | (nibble >> 3));
    let sure = shaped | ((chain | dashes | points) & taken);

    // Behind a byte that is no letter, at most six back; what stands before the window may be letters.
    const { assert!(SHORTEST == 6) };
    let none = !letter;
    let pair = none | (none << 1);
    let quad = pair | (pair << 2);
    let behind_none = (quad | (pair << 4)) << 1;
    // `"webtoken":` and `webtoken"=` have a quote between.
    let single = colon & !(colon >> 1) & !(colon << 1);
    let equals = (equals | single) & taken & !(behind_none & ((behind_none << 1) | after_word));
    let signs = (high | rare) & taken;
    let any = sure | lettered | mixed | long | cased | equals | signs;
    Places {
        any: *any,
        sure: *sure,
        dapi: *dapi,
        lettered: *lettered,
        starts: *starts,
        outer: *outer,
        camel: *camel,
        mixed: *mixed,
        begins: *begins,
        letter: *any_letter,
        numbers: *numbers,
        long: *long,
        runs: *run,
        cased: *cased,
        equals: *equals,
        signs: *signs,
        dashed: *(nibble | dash),
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
    let one = (fours >> 1) | ((gap >> 1) & (fours >> 2));
    // `DE89…`, `AB 12 34`, `DE 136695976`
    let pair = two & ((pairs >> 2) | ((gap >> 2) & (pairs >> 3) & ((digit | gap) >> 5)));
    // `AFZPK7190K`, `RSSMRA85T10`
    let five = four & (letter >> 4) & (fours >> 5);
    let six = four & (two >> 4) & (pairs >> 6);
    one | pair | five | six
}
