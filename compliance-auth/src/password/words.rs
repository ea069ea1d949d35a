//! The compiled-in words: common passwords, words and names of eight languages, with their ranks; and the
//! common passwords of fifteen characters and more, as a filter.

use std::ops::Range;
use std::sync::LazyLock;

use compliance_core::clock::Date;
use compliance_core::snapshot::Snapshot;
use fst::raw::{CompiledAddr, Fst, Node, Output};

use zeroize::Zeroizing;

use super::breach::{Breach, BreachFilter};
use super::fold::Letter;
use super::strength::Repeats;

static BYTES: &[u8] = include_bytes!("../../data/words.fst");
/// Of the newest of the lists, see data/README.md.
const AS_OF: (i16, i8, i8) = (2026, 8, 24);
const SHA256: [u8; 32] = [
    0xc8, 0xd8, 0x37, 0x8a, 0x30, 0x26, 0xa6, 0x1d, 0xbb, 0x5c, 0xa4, 0xe6, 0x64, 0x94, 0xa3, 0x6f, 0x38,
    0x0a, 0x92, 0xe3, 0xc0, 0x68, 0x3b, 0x4e, 0x27, 0x76, 0x21, 0xbf, 0xa3, 0x32, 0x41, 0x8d,
];

static LONG_BYTES: &[u8] = include_bytes!("../../data/long.bff");
static LONG: LazyLock<Option<BreachFilter>> = LazyLock::new(|| BreachFilter::from_bytes(LONG_BYTES).ok());

/// At least the longest word of the lists, in bytes.
const MAX_WORD_LEN: usize = 64;

static WORDS: LazyLock<Option<Words>> = LazyLock::new(|| Fst::new(BYTES).ok().map(Words));

/// How many list nodes one walk visits at most, over all start positions. Hostile passwords stay far below;
/// the limit is there for lists of tomorrow.
const MAX_STEPS: usize = 200_000;

/// The word lists. `None` would mean that the compiled-in bytes are broken; callers refuse then.
pub(super) fn words() -> Option<&'static Words> {
    WORDS.as_ref()
}

/// Source, date and digest of the lists.
pub(super) fn snapshot() -> Option<Snapshot> {
    let (year, month, day) = AS_OF;
    let as_of = Date::new(year, month, day).ok()?;
    let entries = u64::try_from(words()?.0.len()).ok()?;
    Some(Snapshot::from_parts("zxcvbn 3.1.1, @zxcvbn-ts/language-* 3.0.2 to 4.1.3", as_of, SHA256, entries))
}

/// Source, date and digest of the list of long passwords.
pub(super) fn long_snapshot() -> Option<Snapshot> {
    LONG.as_ref().map(|long| long.snapshot().clone())
}

/// How much memory the lists take, in bytes.
pub(super) const RESIDENT_BYTES: usize = BYTES.len() + LONG_BYTES.len();

/// Whether `lower`, which is in lower case, is a common password of at least [`MIN_LONG_LEN`] characters. `None`
/// would mean that the compiled-in bytes are broken; callers refuse then.
pub(super) fn is_long_common(lower: &str) -> Option<bool> {
    let long = LONG.as_ref()?;
    let listed = lower.chars().count() >= MIN_LONG_LEN && long.lookup_text(lower).ok()? == Breach::Listed;
    Some(listed)
}

/// The shortest password in the list of long ones.
const MIN_LONG_LEN: usize = 15;

pub(super) struct Words(Fst<&'static [u8]>);

/// What the lists know about a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Entry {
    /// The best rank in any list, from 1.
    pub(super) fn rank(self) -> u32 {
        u32::try_from(self.0 >> 6).unwrap_or(u32::MAX).max(1)
    }

    /// The binary logarithm of its rank among passwords and first names, from 1 and rounded up; `None` for a word
    /// that is merely in a dictionary.
    pub(super) fn password_bits(self) -> Option<u8> {
        const WORD: u8 = 63;
        u8::try_from(self.0 & 63).ok().filter(|bits| *bits != WORD)
    }
}

/// Which readings of a letter a walk follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it stands, in lower case.
    Plain,
    /// Also as the letters it stands in for: `4` for `a`.
    Leet,
    /// Also without diacritics, and with separators inside a word skipped where they stand for no letter.
    Folded,
}

/// A word found in a text.
pub(super) struct Found<'w> {
    /// One past the last letter.
    pub(super) end: usize,
    pub(super) entry: Entry,
    /// The word in the list.
    pub(super) word: &'w [u8],
}

impl Words {
    /// What the lists know about exactly this word.
    #[cfg(any(test, fuzzing))]
    pub(super) fn entry(&self, word: &[u8]) -> Option<Entry> {
        self.0.get(word).map(|output| Entry(output.value()))
    }

    /// Finds the words of a text: `read` adds what it makes of one that starts at the position it is given. Where the same
    /// letters stood before, they are not looked up again: what was found there is `moved` by so many letters.
    ///
    /// `steps` is the budget left, shared between all calls for one password.
    pub(super) fn find<T: Copy>(
        &self,
        (letters, reading): (&[Letter], Reading),
        steps: &mut Steps,
        all: &mut Vec<T>,
        read: &mut dyn FnMut(&mut Vec<T>, usize, Found<'_>),
        moved: &dyn Fn(T, usize) -> T,
    ) {
        let repeats = Repeats::within(letters, |letter| *letter, MAX_DISTANCE);
        // By start: what was found there, and how many letters were looked at.
        let mut known: Vec<(Range<usize>, usize)> = Vec::with_capacity(letters.len());
        for start in 0..letters.len() {
            let first = all.len();
            let earlier =
                known.iter().rev().zip(1..=MAX_DISTANCE).find_map(|((found, looked_at), distance)| {
                    let same = repeats.run(distance, start.saturating_sub(distance)) >= *looked_at;
                    same.then(|| (found.clone(), *looked_at, distance))
                });
            let looked_at = match earlier {
                Some((found, looked_at, distance)) => {
                    for index in found {
                        all.extend(all.get(index).map(|found| moved(*found, distance)));
                    }
                    looked_at
                }
                None => {
                    self.starting_at((letters, reading), start, steps, &mut |found| read(all, start, found))
                }
            };
            known.push((first..all.len(), looked_at));
        }
    }

    /// Calls `visit` for every word that starts at `start`. Answers how many letters were looked at.
    fn starting_at(
        &self,
        (letters, reading): (&[Letter], Reading),
        start: usize,
        steps: &mut Steps,
        visit: &mut dyn FnMut(Found<'_>),
    ) -> usize {
        let mut walk = Walk {
            words: &self.0,
            letters,
            reading,
            steps,
            visit,
            word: Zeroizing::new(Vec::with_capacity(MAX_WORD_LEN)),
            end: start,
        };
        walk.go(self.0.root().addr(), Output::zero(), start, true);
        walk.end.saturating_sub(start)
    }
}

/// How far back the same letters are looked for.
const MAX_DISTANCE: usize = 32;

/// A budget of list nodes to visit.
#[derive(Debug)]
pub(super) struct Steps(usize);

impl Default for Steps {
    fn default() -> Self {
        Self(MAX_STEPS)
    }
}

impl Steps {
    /// Whether the budget ran out, so that words may have been missed.
    pub(super) fn exhausted(&self) -> bool {
        self.0 == 0
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn left(&self) -> usize {
        self.0
    }

    fn take(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

struct Walk<'a> {
    words: &'a Fst<&'static [u8]>,
    letters: &'a [Letter],
    reading: Reading,
    steps: &'a mut Steps,
    visit: &'a mut dyn FnMut(Found<'_>),
    /// Allocated once in full, so that no half-grown copy stays behind.
    word: Zeroizing<Vec<u8>>,
    /// One past the last letter that was looked at; past the text's end when that was.
    end: usize,
}

impl Walk<'_> {
    /// Depth is bounded by the longest word and, where separators are skipped, by the longest text.
    fn go(&mut self, at: CompiledAddr, output: Output, position: usize, first: bool) {
        let next = position.saturating_add(1);
        self.end = self.end.max(next);
        let Some(letter) = self.letters.get(position) else { return };
        if !self.steps.take() {
            return;
        }
        let node = self.words.node(at);
        self.follow_char(node, output, letter.lower, next);
        if self.reading == Reading::Folded && letter.folded != letter.lower {
            self.follow_char(node, output, letter.folded, next);
        }
        if self.reading != Reading::Plain {
            for stand_in in letter.leet.iter().flatten() {
                self.follow_char(node, output, *stand_in, next);
            }
        }
        // What may stand for a letter is not skipped: `!!` would be read in as many ways as it has halves.
        let skipped = |letter: &Letter| letter.is_separator() && letter.leet == [None; 2];
        if self.reading == Reading::Folded && skipped(letter) && !first {
            // A run of them in one step: the lists have words with asterisks, which would be found in as many ways as
            // asterisks can be picked from the run.
            let run = self.letters.iter().skip(position).take_while(|letter| skipped(letter)).count();
            self.go(at, output, position.saturating_add(run), false);
        }
    }

    fn follow_char(&mut self, node: Node<'_>, output: Output, c: char, next: usize) {
        let mut buffer = [0; 4];
        let (mut node, mut output) = (node, output);
        let before = self.word.len();
        for byte in c.encode_utf8(&mut buffer).bytes() {
            let Some(index) = node.find_input(byte) else {
                self.word.truncate(before);
                return;
            };
            let transition = node.transition(index);
            output = output.cat(transition.out);
            node = self.words.node(transition.addr);
            self.word.push(byte);
        }
        if node.is_final() {
            let entry = Entry(output.cat(node.final_output()).value());
            (self.visit)(Found { end: next, entry, word: &self.word });
        }
        if !node.is_empty() {
            self.go(node.addr(), output, next, false);
        }
        self.word.truncate(before);
    }
}

#[cfg(test)]
mod tests {
    use fst::Streamer as _;
    use proptest::prelude::*;

    use super::super::fold::folded;
    use super::*;

    #[test]
    fn the_compiled_in_lists_are_the_documented_ones() {
        let snapshot = snapshot().unwrap();
        snapshot.check_digest(BYTES).unwrap();
        assert_eq!(snapshot.entries(), 188_565);
        let fst = &words().unwrap().0;
        fst.verify().unwrap();
        let mut all = fst.stream();
        while let Some((word, _)) = all.next() {
            assert!(word.len() <= MAX_WORD_LEN, "{word:?}");
        }
        let entry = |word: &str| fst.get(word).map(|output| Entry(output.value()));
        assert_eq!(entry("password").map(Entry::rank), Some(2));
        assert_eq!(entry("password").unwrap().password_bits(), Some(2));
        assert_eq!(entry("velour").unwrap().password_bits(), None);
        assert_eq!(long_snapshot().unwrap().entries(), 338_170);
        assert_eq!(is_long_common("correcthorsebatterystaple"), Some(true));
        assert_eq!(is_long_common("zq7-velour-antelope-91"), Some(false));
    }

    /// What [`Words::find`] finds, and what a look at each start by itself does.
    fn both_ways(letters: &[Letter], reading: Reading) -> [Vec<(usize, usize, Entry)>; 2] {
        let words = words().unwrap();
        let (mut moved, mut each) = (Vec::new(), Vec::new());
        words.find(
            (letters, reading),
            &mut Steps::default(),
            &mut moved,
            &mut |all, start, found| all.push((start, found.end, found.entry)),
            &|(start, end, entry), distance| (start + distance, end + distance, entry),
        );
        for start in 0..letters.len() {
            words.starting_at((letters, reading), start, &mut Steps::default(), &mut |found| {
                each.push((start, found.end, found.entry));
            });
        }
        [moved, each]
    }

    proptest! {
        /// What stood there before is found as if it were looked up again.
        #[test]
        fn the_same_letters_have_the_same_words(
            pieces in prop::collection::vec(prop_oneof!["[1!|il7ae*.]{1,3}", "pass|ﬀ|ß|1{5,40}|(f\\*){3}", "[a-e ]{4}"], 1..6),
            times in 1_usize..9,
        ) {
            let text = pieces.concat().repeat(times);
            let letters = folded(&text);
            for reading in [Reading::Plain, Reading::Leet, Reading::Folded] {
                let [moved, each] = both_ways(&letters, reading);
                prop_assert_eq!(moved, each);
            }
        }
    }
}
