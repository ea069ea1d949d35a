//! Blocklist: passwords an attacker expects, whole ones and ones put together from expected pieces.
//!
//! SP 800-63B-4 §3.1.1.2 compares the *whole* password with the list, not its parts. Packaged lists of common
//! passwords hold some forty entries of fifteen characters, the length it asks for; what people do to reach it
//! is to put several together. So a password is refused when it is *derived*: every one of its code points
//! belongs to
//!
//! - a word of the context, forwards or backwards;
//! - a common password of at least [`MIN_WORD_LEN`] letters, at most [`MAX_WORDS`] different ones;
//! - a repeat of what stands before it, or a pattern of up to [`MAX_PATTERN_LEN`] letters repeated;
//! - a sequence (`abc`, `321`) or a walk over neighbouring keys;
//! - years, dates and digits, worth up to [`MAX_DIGITS`] digits in all (a year counts two);
//! - separators: runs of up to three, of up to three kinds, or one of them repeated.
//!
//! Words are read in any case, through the usual stand-ins (`p4ssw0rd`), without diacritics, and through
//! separators inside them. A password that merely *contains* such pieces is accepted.

use compliance_core::snapshot::Snapshot;

use super::context::PasswordContext;
use super::fold::{Letter, folded};
use super::strength::{Repeats, date_ends, sequences, walks, year_at};
use super::words::{Found, Reading, Steps, snapshot as words_snapshot, words};

/// The shortest common password that counts as a piece.
pub const MIN_WORD_LEN: usize = 4;
/// More different common passwords than this make a passphrase.
pub const MAX_WORDS: usize = 4;
/// The longest pattern that counts as expected by being repeated.
pub const MAX_PATTERN_LEN: usize = 4;
/// How many digits do not make a password unexpected.
pub const MAX_DIGITS: usize = 4;

/// How many kinds of separators, and how many in a row, still separate.
const MAX_SEPARATORS: usize = 3;

/// Which lists are compiled in, of which day.
#[must_use]
pub fn snapshot() -> Option<Snapshot> {
    words_snapshot()
}

/// Why an attacker expects a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// The whole of it is a common password.
    Common,
    /// Put together from words of the context and other expected pieces.
    Context,
    /// Put together from common passwords and other expected pieces.
    Derived,
    /// Repeats, sequences, keyboard walks, digits.
    Pattern,
}

/// Whether an attacker expects `password`, whose length the caller has bounded.
pub(super) fn expected(password: &str, context: &PasswordContext) -> Option<Expected> {
    let letters = folded(password);
    let mut pieces = Pieces::default();
    // Broken lists, or a budget that ran out: doubt, so refuse.
    if !pieces.find(&letters, context) {
        return Some(Expected::Derived);
    }
    let whole = |piece: &Piece| piece.start == 0 && piece.end == letters.len() && piece.kind == Kind::Word;
    if pieces.all.iter().any(whole) {
        return Some(Expected::Common);
    }
    let cover = pieces.cover(letters.len())?;
    let mut different: Vec<&[u8]> = cover.iter().filter_map(|piece| pieces.word(piece)).collect();
    different.sort_unstable();
    different.dedup();
    if different.len() > MAX_WORDS {
        None
    } else if cover.iter().any(|piece| piece.kind == Kind::Context) {
        Some(Expected::Context)
    } else if different.is_empty() {
        Some(Expected::Pattern)
    } else {
        Some(Expected::Derived)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Context,
    Word,
    Other,
}

/// A piece from `start` to before `end`, worth some digits.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
    kind: Kind,
    digits: usize,
    word: usize,
}

#[derive(Default)]
struct Pieces {
    all: Vec<Piece>,
    words: Vec<Vec<u8>>,
}

impl Pieces {
    fn push(&mut self, start: usize, end: usize, kind: Kind, digits: usize) {
        self.all.push(Piece { start, end, kind, digits, word: usize::MAX });
    }

    fn free(&mut self, start: usize, end: usize) {
        self.push(start, end, Kind::Other, 0);
    }

    fn word(&self, piece: &Piece) -> Option<&[u8]> {
        self.words.get(piece.word).map(Vec::as_slice)
    }

    /// `false` when something may have been missed.
    fn find(&mut self, letters: &[Letter], context: &PasswordContext) -> bool {
        let Some(words) = words() else { return false };
        let mut steps = Steps::default();
        for start in 0..letters.len() {
            words.starting_at(letters, start, Reading::Folded, &mut steps, &mut |found: Found<'_>| {
                if found.entry.is_blocked() && found.word.len() >= MIN_WORD_LEN {
                    let word = self.words.len();
                    self.words.push(found.word.to_vec());
                    self.all.push(Piece { start, end: found.end, kind: Kind::Word, digits: 0, word });
                }
            });
            for token in context.tokens() {
                let ends =
                    [token.match_at(letters, start, true), token.match_reversed_at(letters, start, true)];
                for end in ends.into_iter().flatten() {
                    self.push(start, end, Kind::Context, 0);
                }
            }
            if year_at(letters, start).is_some() {
                self.push(start, start.saturating_add(4), Kind::Other, 2);
            }
            for end in date_ends(letters, start) {
                self.push(start, end, Kind::Other, MAX_DIGITS);
            }
            if letters.get(start).is_some_and(|letter| letter.typed.is_numeric()) {
                self.push(start, start.saturating_add(1), Kind::Other, 1);
            }
        }
        self.find_runs(letters);
        self.find_repeats(letters);
        self.find_separators(letters);
        !steps.exhausted()
    }

    fn find_runs(&mut self, letters: &[Letter]) {
        for (start, end, distance) in sequences(letters) {
            if end.saturating_sub(start) > 2 && distance.unsigned_abs() == 1 {
                self.free(start, end);
            }
        }
        for walk in walks(letters) {
            // `were` and `loki` are walks as well; only straight ones of four keys and all of five count.
            let len = walk.end.saturating_sub(walk.start);
            if len > 4 || (len == 4 && walk.turns == 1) {
                self.free(walk.start, walk.end);
            }
        }
    }

    fn find_repeats(&mut self, letters: &[Letter]) {
        let repeats = Repeats::of(letters, |letter| letter.folded);
        for period in 1..=letters.len() / 2 {
            let at_least = if period == 1 { 2 } else { period };
            let mut position = 0;
            while position < letters.len() {
                let run = repeats.run(period, position);
                let copies = position.saturating_add(period);
                if run >= at_least {
                    if period <= MAX_PATTERN_LEN {
                        self.free(position, copies);
                    }
                    for copy in copies..copies.saturating_add(run) {
                        self.free(copy, copy.saturating_add(1));
                    }
                }
                position = position.saturating_add(run.max(1));
            }
        }
    }

    fn find_separators(&mut self, letters: &[Letter]) {
        let mut kinds: Vec<char> = letters.iter().filter(|l| l.is_separator()).map(|l| l.typed).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let few_kinds = kinds.len() <= MAX_SEPARATORS;
        let mut start = 0_usize;
        for run in letters.chunk_by(|a, b| a.is_separator() == b.is_separator()) {
            let end = start.saturating_add(run.len());
            let one_kind = run.windows(2).all(|pair| matches!(pair, [a, b] if a.typed == b.typed));
            let separates = run.first().is_some_and(|letter| letter.is_separator());
            if separates && (one_kind || (few_kinds && run.len() <= MAX_SEPARATORS)) {
                for position in start..end {
                    self.free(position, position.saturating_add(1));
                }
            }
            start = end;
        }
    }

    /// A cover of the first `n` letters with the fewest words, if there is one.
    fn cover(&self, n: usize) -> Option<Vec<&Piece>> {
        const WIDTH: usize = MAX_DIGITS + 1;
        /// Words so far and the piece that came last.
        type State<'a> = Option<(usize, Option<(&'a Piece, usize)>)>;
        let mut by_end: Vec<Vec<&Piece>> = vec![Vec::new(); n.saturating_add(1)];
        for piece in &self.all {
            if let Some(ending) = by_end.get_mut(piece.end) {
                ending.push(piece);
            }
        }
        let mut states: Vec<[State<'_>; WIDTH]> = vec![[None; WIDTH]; n.saturating_add(1)];
        if let Some(slot) = states.first_mut().and_then(|states| states.first_mut()) {
            *slot = Some((0, None));
        }
        for (end, ending) in by_end.iter().enumerate().skip(1) {
            for piece in ending {
                let before = states.get(piece.start).copied().unwrap_or_default();
                for (digits, state) in before.iter().enumerate() {
                    let Some((words, _)) = state else { continue };
                    let words = words.saturating_add(usize::from(piece.kind == Kind::Word));
                    let after = digits.saturating_add(piece.digits);
                    let Some(slot) = states.get_mut(end).and_then(|states| states.get_mut(after)) else {
                        continue;
                    };
                    if slot.is_none_or(|(best, _)| words < best) {
                        *slot = Some((words, Some((piece, digits))));
                    }
                }
            }
        }
        let at = |end: usize, digits: usize| {
            states.get(end).and_then(|states| states.get(digits)).copied().flatten()
        };
        let best = (0..WIDTH).filter_map(|digits| Some((at(n, digits)?.0, digits))).min()?;
        let (mut end, mut digits) = (n, best.1);
        let mut cover = Vec::new();
        while let Some((_, Some((piece, before)))) = at(end, digits) {
            cover.push(piece);
            (end, digits) = (piece.start, before);
        }
        Some(cover)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> PasswordContext {
        PasswordContext::new().user("jane.doe@acme.test").user("Jane Doe").service("acme")
    }

    #[track_caller]
    fn check(password: &str, expected_as: Option<Expected>) {
        assert_eq!(expected(password, &context()), expected_as, "{password}");
    }

    #[test]
    fn whole_passwords_are_read_through_every_disguise() {
        for password in
            ["password", "PASSWORD", "p4$$w0rd", "pässwörd", "p-a-s-s-w-o-r-d", "ｐａｓｓｗｏｒｄ"]
        {
            check(password, Some(Expected::Common));
        }
    }

    #[test]
    fn common_passwords_in_a_row_are_expected() {
        check("correcthorsebatterystaple", Some(Expected::Derived));
        check("Correct-Horse-Battery-Staple", Some(Expected::Derived));
        check("letmeinletmein123", Some(Expected::Derived));
        check("letmein letmein letmein letmein letmein", Some(Expected::Derived));
        check("Sunshine!Dragon!1987", Some(Expected::Derived));
    }

    #[test]
    fn words_of_the_context_are_expected() {
        check("janedoe.janedoe1990", Some(Expected::Context));
        check("J4n3.D03_acme!2024", Some(Expected::Context));
        check("eodenaj-eodenaj", Some(Expected::Context));
        check("jane.doe.12.03.1991", Some(Expected::Context));
        check("acmedragon2024", Some(Expected::Context));
    }

    #[test]
    fn patterns_are_expected() {
        for password in [
            "aaaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "x7q!x7q!x7q!x7q!",
            "1234567890123456",
            "qwertyuiopasdfgh",
            "zaq12wsxcde34rfv",
            "abcdefghijklmnop",
            "!!!!!!!!!!!!!!!!",
            "qwertzuiopüasdfghjklöä",
        ] {
            check(password, Some(Expected::Pattern));
        }
    }

    #[test]
    fn what_merely_contains_such_pieces_is_not_refused() {
        for password in [
            "ein Wal kennt keinen Bahnsteig",
            "zq7-velour-antelope-91",
            "password is my least favourite velour zqx",
            "janedoe-wombat-vexed-glyph",
            "82649173058264917",
            "x7q!m2vk-x7q!m2vk",
            "§$%&/()=?+#*;:_<>",
            "correct horse battery staple unbuttoned zebra",
        ] {
            check(password, None);
        }
    }
}
