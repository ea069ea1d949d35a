//! Sets of words that are known when the crate is compiled.

/// A set of words. Most words that are in none are told by their length and their first and last letter.
pub(crate) struct WordSet {
    words: &'static [&'static str],
    known: [u64; CELLS],
}

const CELLS: usize = 16;

/// A cell and a bit for a word that is not empty.
const fn place(length: usize, first: u8, last: u8) -> (usize, u64) {
    let hash = length
        .wrapping_mul(0x9e5)
        .wrapping_add((first | 0x20) as usize)
        .wrapping_mul(0x1f3)
        .wrapping_add((last | 0x20) as usize);
    (hash >> 6 & (CELLS - 1), 1 << (hash & 63))
}

impl WordSet {
    /// The set of `words`, in lower case where their case is not to count.
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "const code has neither `get` nor iterators, and fails when it is compiled"
    )]
    pub(crate) const fn new(words: &'static [&'static str]) -> Self {
        let mut known = [0; CELLS];
        let mut at = 0;
        while at < words.len() {
            let word = words[at].as_bytes();
            let (cell, bit) = place(word.len(), word[0], word[word.len() - 1]);
            known[cell] |= bit;
            at += 1;
        }
        Self { words, known }
    }

    #[inline]
    fn may_have(&self, word: &[u8]) -> bool {
        let (Some(first), Some(last)) = (word.first(), word.last()) else { return false };
        let (cell, bit) = place(word.len(), *first, *last);
        self.known.get(cell).is_some_and(|cell| cell & bit != 0)
    }

    /// Whether `word` is in the set, whatever the case of its ASCII letters.
    #[inline]
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        self.may_have(word) && self.words.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word))
    }

    /// Whether exactly `word` is in the set.
    #[inline]
    pub(crate) fn has_exactly(&self, word: &[u8]) -> bool {
        self.may_have(word) && self.words.iter().any(|known| known.as_bytes() == word)
    }
}
