//! The fast no: whether a word may be in the table at all, told by its first eight letters.

use super::super::text::eight_at;

/// The bits that tell a cell in the table of hashes.
const BITS: u32 = 10;
const CELLS: usize = 1 << BITS;

/// Of a prefix that letters follow, so many letters behind the first are told.
pub(crate) const TOLD: u32 = 3;

/// A set of hashes: a bit each, so that most words that are in no table are told in one read, and another bit in
/// another table, so that nearly all are.
///
/// What a look takes lies in one place, behind one pointer.
pub(crate) struct Hashes {
    factor: u64,
    kept: [u64; 65],
    first: [u64; CELLS],
    second: [u64; CELLS],
}

impl Hashes {
    pub(super) fn new() -> Self {
        Self { factor: FACTOR, kept: KEPT, first: [0; CELLS], second: [0; CELLS] }
    }

    pub(super) fn add(&mut self, word: u64) {
        let hash = self.hash(word);
        for (table, (cell, bit)) in [(&mut self.first, hash.first()), (&mut self.second, hash.second())] {
            if let Some(cell) = table.get_mut(cell) {
                *cell |= 1_u64.wrapping_shl(bit);
            }
        }
    }

    /// Whether a word of the table may stand at `at`: of its first word the first letter and `more` others count. The fast
    /// no of the scan.
    #[inline(always)]
    pub(crate) fn may_start(&self, text: &[u8], at: usize, more: u32) -> bool {
        let kept = self.kept.get(more as usize).copied().unwrap_or(ALL);
        let hash = self.hash(eight_at(text, at) & kept);
        has(&self.first, hash.first()) && has(&self.second, hash.second())
    }

    #[inline(always)]
    fn hash(&self, word: u64) -> Hash {
        Hash(word.wrapping_mul(self.factor))
    }
}

#[inline(always)]
fn has(table: &[u64; CELLS], (cell, bit): (usize, u32)) -> bool {
    table.get(cell).is_some_and(|cell| cell.wrapping_shr(bit) & 1 != 0)
}

/// Spreads a word over all bits: 2^64 by the golden ratio.
pub(super) const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A word times [`FACTOR`]: the higher a bit, the more letters count in it.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    /// The cell of the first table, told by all letters, and the bit in it, told by the first three.
    #[inline(always)]
    fn first(self) -> (usize, u32) {
        ((self.0 >> (64 - BITS)) as usize, (self.0 >> 16 & 63) as u32)
    }

    /// The cell of the second table, told by the first six letters, and the bit in it, told by the first five.
    #[inline(always)]
    fn second(self) -> (usize, u32) {
        ((self.0 >> (48 - BITS)) as usize & (CELLS - 1), (self.0 >> 32) as u32)
    }
}

/// The first byte of eight, and so many more, up to seven. Only the first one's case counts: a title starts with a capital.
#[inline(always)]
pub(super) fn start(eight: u64, more: u32) -> u64 {
    eight & KEPT.get(more as usize).copied().unwrap_or(ALL)
}

/// All eight bytes, without the bit that letters have in small.
const ALL: u64 = u64::from_le_bytes([0xff, 0xdf, 0xdf, 0xdf, 0xdf, 0xdf, 0xdf, 0xdf]);

/// By the number of further bytes, as far as a mask of 64 bits counts them.
#[expect(
    clippy::indexing_slicing,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
const KEPT: [u64; 65] = {
    let mut kept = [ALL; 65];
    let mut more = 0;
    while more < 7 {
        kept[more] = ALL & (u64::MAX >> (56 - 8 * more));
        more += 1;
    }
    kept
};
