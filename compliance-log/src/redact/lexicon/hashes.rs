//! The fast no: whether a word may be in the table at all, told by its first eight letters.

/// Cells in the table of hashes.
const CELLS: usize = 1 << 10;

/// A set of hashes: a bit each, so that most words that are in nobody's table are told in one read, and another bit in
/// another table, so that nearly all are.
pub(crate) struct Hashes {
    first: Box<[u64; CELLS]>,
    second: Box<[u64; CELLS]>,
}

impl Hashes {
    pub(super) fn new() -> Self {
        Self { first: Box::new([0; CELLS]), second: Box::new([0; CELLS]) }
    }

    pub(super) fn add(&mut self, word: u64) {
        let hash = word.wrapping_mul(FACTOR);
        for (table, hash) in [(&mut self.first, hash), (&mut self.second, hash.rotate_left(16))] {
            if let Some(cell) = table.get_mut(cell(hash)) {
                *cell |= 1_u64.wrapping_shl(bit(hash));
            }
        }
    }

    /// Whether a word of the table may stand at `at` in a text, where one of one letter and `more` starts. The fast no of
    /// the scan.
    #[inline(always)]
    pub(crate) fn may_start(&self, text: &[u8], at: usize, more: u32) -> bool {
        let eight = head(text, at);
        let hash = start(eight, more).wrapping_mul(FACTOR);
        let found = self.first.get(cell(hash)).is_some_and(|cell| cell.wrapping_shr(bit(hash)) & 1 != 0);
        found && self.has_second(hash)
    }

    #[cold]
    #[inline(never)]
    fn has_second(&self, hash: u64) -> bool {
        let hash = hash.rotate_left(16);
        self.second.get(cell(hash)).is_some_and(|cell| cell.wrapping_shr(bit(hash)) & 1 != 0)
    }
}

/// Spreads a word over all bits: 2^64 by the golden ratio.
pub(super) const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn cell(hash: u64) -> usize {
    (hash >> 54) as usize
}

#[inline(always)]
fn bit(hash: u64) -> u32 {
    (hash >> 48) as u32
}

/// The eight bytes at `at`. Only the first one's case counts: a title starts with a capital.
#[inline(always)]
pub(super) fn head(text: &[u8], at: usize) -> u64 {
    eight(text, at) | 0x2020_2020_2020_2000
}

/// The eight bytes at `at`, and noughts behind the text.
#[inline(always)]
pub(super) fn eight(text: &[u8], at: usize) -> u64 {
    match text.get(at..at.wrapping_add(8)).and_then(<[u8]>::first_chunk::<8>) {
        Some(eight) => u64::from_le_bytes(*eight),
        None => tail(text, at),
    }
}

/// The last bytes of a text from `at` on.
#[cold]
fn tail(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or(&[]);
    rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u64::from(*byte))
}

/// The first byte of eight, and so many more, up to seven.
#[inline(always)]
pub(super) fn start(eight: u64, more: u32) -> u64 {
    eight & KEPT.get(more as usize).copied().unwrap_or(u64::MAX)
}

/// By the number of further bytes, as far as a mask of 64 bits counts them.
#[expect(
    clippy::indexing_slicing,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
const KEPT: [u64; 65] = {
    let mut kept = [u64::MAX; 65];
    let mut more = 0;
    while more < 7 {
        kept[more] = u64::MAX >> (56 - 8 * more);
        more += 1;
    }
    kept
};
