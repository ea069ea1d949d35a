//! Sets of words that are known when the crate is compiled.

/// A set of words, up to 255 of them. Where a word may stand is told by its length and its first and last letter.
pub(crate) struct WordSet {
    words: &'static [&'static str],
    /// One more than a word's index, at the word's place or behind it; 0 for none.
    slots: [u8; SLOTS],
}

const SLOTS: usize = 512;

/// The place of a word that is not empty.
const fn place(length: usize, first: u8, last: u8) -> usize {
    let hash = length
        .wrapping_mul(0x9e5)
        .wrapping_add((first | 0x20) as usize)
        .wrapping_mul(0x1f3)
        .wrapping_add((last | 0x20) as usize);
    (hash ^ (hash >> 9)) & (SLOTS - 1)
}

impl WordSet {
    /// The set of `words`, in lower case where their case is not to count.
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "const code has neither `get` nor iterators, and fails when it is compiled"
    )]
    pub(crate) const fn new(words: &'static [&'static str]) -> Self {
        assert!(words.len() < 256, "an index has eight bits");
        let mut slots = [0; SLOTS];
        let mut at = 0;
        while at < words.len() {
            let word = words[at].as_bytes();
            let mut slot = place(word.len(), word[0], word[word.len() - 1]);
            while slots[slot] != 0 {
                slot = (slot + 1) & (SLOTS - 1);
            }
            at += 1;
            slots[slot] = at as u8;
        }
        Self { words, slots }
    }

    #[inline]
    fn find(&self, word: &[u8], same: impl Fn(&[u8]) -> bool) -> bool {
        let (Some(first), Some(last)) = (word.first(), word.last()) else { return false };
        let mut slot = place(word.len(), *first, *last);
        loop {
            let index = self.slots.get(slot).copied().unwrap_or(0);
            let Some(index) = usize::from(index).checked_sub(1) else { return false };
            if self.words.get(index).is_some_and(|known| same(known.as_bytes())) {
                return true;
            }
            slot = slot.wrapping_add(1) & (SLOTS - 1);
        }
    }

    /// Whether `word` is in the set, whatever the case of its ASCII letters.
    #[inline]
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        self.find(word, |known| known.eq_ignore_ascii_case(word))
    }

    /// Whether exactly `word` is in the set.
    #[inline]
    pub(crate) fn has_exactly(&self, word: &[u8]) -> bool {
        self.find(word, |known| known == word)
    }
}
