//! Blocklist: passwords an attacker expects, whole ones and ones put together from expected pieces.
//!
//! SP 800-63B-4 §3.1.1.2 compares the *whole* password with the list, not its parts. Compiled in are 49,000 common
//! passwords of any length, 338,000 of fifteen characters and more (the length it asks for), and words, names, usual
//! passwords and phrases in English, German, Spanish, French, Italian, Dutch, Polish and Portuguese.
//!
//! What people do to reach fifteen characters is to put several together. So a password is refused as well when it is
//! *derived*: every one of its code points belongs to
//!
//! - a word of the context, forwards or backwards;
//! - a common password or first name of at least [`MIN_WORD_LEN`] letters or a dictionary word of at least
//!   [`MIN_DICTIONARY_WORD_LEN`], forwards or backwards;
//! - a repeat of what stands before it, or a pattern of up to [`MAX_PATTERN_LEN`] letters repeated;
//! - a sequence (`abc`, `321`) or a walk over neighbouring keys of a dozen layouts;
//! - a year, a date, or up to [`MAX_DIGITS`] other digits;
//! - a word of one or two letters that joins others (`to`, `my`, `zu`, `de`);
//! - separators;
//!
//! *and* its different words, years and dates are within reach of somebody who tries the popular ones first: fewer than
//! 10¹² combinations. A common password counts with its rank, a dictionary word as one of 50,000 however frequent it is,
//! a year as one of a hundred, a date as one of three million, a joining word as one of five hundred. Separators are free in
//! runs of up to three, of up to three kinds, or one of them repeated; around words of the context others count as one of
//! thirty each. So two dictionary words or three common passwords,
//! decorated in whatever way, are derived. Four words drawn at random are not, though each may be on a list: of passphrases of four words from the EFF's long
//! list one in 8,000 is refused, by the ranks of its words.
//!
//! Words are read in any case, through the usual stand-ins (`p4ssw0rd`), without diacritics, and through separators
//! inside them. A password that merely *contains* such pieces is accepted.

use std::ops::Range;

use compliance_core::snapshot::Snapshot;
use zeroize::Zeroizing;

use super::context::PasswordContext;
use super::fold::{Letter, folded, reversed};
use super::policy::nfc;
use super::strength::{Repeats, date_ends, sequences, walks, year_at};
use super::words::{
    Entry, Found, RESIDENT_BYTES, Reading, Steps, Words, is_long_common, long_snapshot,
    snapshot as words_snapshot, words,
};

/// The shortest common password or first name that counts as a piece.
pub const MIN_WORD_LEN: usize = 3;
/// The shortest dictionary word that counts as a piece.
pub const MIN_DICTIONARY_WORD_LEN: usize = 4;
/// The longest pattern that counts as expected by being repeated.
pub const MAX_PATTERN_LEN: usize = 4;
/// How many digits do not make a password unexpected.
pub const MAX_DIGITS: usize = 4;
/// How much memory the compiled-in lists take, in bytes.
pub const RESIDENT_LEN: usize = RESIDENT_BYTES;

const _: () = assert!(RESIDENT_LEN <= 4 << 20, "the lists stay within four mebibytes");

/// The shortest word that counts as a piece when less than half of its letters are typed: `123456`, `p4$$`.
const MIN_UNSPELLED_LEN: usize = 6;
/// How many kinds of separators, and how many in a row, are usual.
const MAX_SEPARATORS: usize = 3;

/// Logarithms of counts, in thousandths of decades.
type Cost = u32;

/// 10¹² combinations.
const MAX_COST: Cost = 12_000;
/// One of 50,000.
const DICTIONARY_WORD: Cost = 4_700;
/// One of about a hundred.
const YEAR: Cost = 2_100;
/// One of [`JOINING`], in one of a few places: between two dictionary words it makes a phrase.
const JOINING_WORD: Cost = 2_700;
/// One of some thirty, where separators are more than usual.
const SEPARATOR: Cost = 1_500;
/// One of 36,500 days in one of some ninety notations. Two of them are no longer expected.
const DATE: Cost = 6_500;
/// The shortest date that is one: `1191` is four digits.
const MIN_DATE_LEN: usize = 6;

/// Words of one and two letters that join others, in the eight languages; sorted.
const JOINING: [&str; 96] = [
    "a", "ab", "ai", "al", "am", "an", "ao", "as", "at", "au", "be", "by", "ce", "ci", "co", "da", "de",
    "di", "do", "du", "e", "el", "em", "en", "er", "es", "et", "eu", "go", "ha", "he", "ho", "i", "if", "ik",
    "il", "im", "in", "io", "is", "it", "ja", "je", "la", "le", "li", "lo", "ma", "me", "mi", "my", "na",
    "ne", "ni", "no", "nu", "o", "ob", "od", "of", "oh", "ok", "om", "on", "op", "or", "os", "ou", "po",
    "sa", "se", "si", "so", "su", "ta", "te", "ti", "to", "tu", "ty", "u", "um", "un", "up", "us", "uw",
    "va", "we", "wo", "y", "ya", "yo", "za", "ze", "zo", "zu",
];

/// The compiled-in words: from where, of which day.
#[must_use]
pub fn snapshot() -> Option<Snapshot> {
    words_snapshot()
}

/// The compiled-in passwords of fifteen characters and more: from where, of which day.
#[must_use]
pub fn long_passwords_snapshot() -> Option<Snapshot> {
    long_snapshot()
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
    if letters.is_empty() {
        return None;
    }
    let mut lower = Zeroizing::new(String::with_capacity(password.len().saturating_mul(3)));
    lower.extend(password.chars().flat_map(char::to_lowercase));
    let lower = nfc(&lower);
    let mut pieces = Pieces::default();
    // Broken lists, or a budget that ran out: doubt, so refuse.
    let Some(is_long_common) = is_long_common(&lower) else { return Some(Expected::Derived) };
    if !pieces.find(&letters, context) {
        return Some(Expected::Derived);
    }
    let whole =
        |piece: &Piece| piece.start == 0 && piece.end == letters.len() && piece.kind == Kind::Password;
    if is_long_common || pieces.all.iter().any(whole) {
        return Some(Expected::Common);
    }
    let cover = pieces.cover(letters.len())?;
    let mut different: Vec<(&[u8], Cost)> =
        cover.iter().filter_map(|piece| Some((pieces.word(piece)?, piece.cost))).collect();
    let words = different.len();
    different.sort_unstable();
    different.dedup_by_key(|(word, _)| *word);
    let others = cover.iter().filter(|piece| pieces.word(piece).is_none());
    let cost: Cost = different.iter().map(|(_, cost)| *cost).chain(others.map(|piece| piece.cost)).sum();
    if cost > MAX_COST {
        None
    } else if cover.iter().any(|piece| piece.kind == Kind::Context) {
        Some(Expected::Context)
    } else if words == 0 {
        Some(Expected::Pattern)
    } else {
        Some(Expected::Derived)
    }
}

/// Whether the pieces a derived password was refused for follow on each other from its first letter to its last; `None`
/// for a password that is not derived. For tests and fuzzing.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[must_use]
pub fn covers_every_letter(password: &str, context: &PasswordContext) -> Option<bool> {
    if !matches!(expected(password, context)?, Expected::Context | Expected::Derived | Expected::Pattern) {
        return None;
    }
    let letters = folded(password);
    let mut pieces = Pieces::default();
    pieces.find(&letters, context).then_some(())?;
    let mut cover = pieces.cover(letters.len())?;
    cover.reverse();
    let ends = cover.iter().map(|piece| piece.end);
    let starts = cover.iter().map(|piece| piece.start).skip(1).chain([letters.len()]);
    Some(cover.first().is_some_and(|piece| piece.start == 0) && ends.eq(starts))
}

/// Whether every reading of a password is looked up before the budget of list nodes runs out. For tests and fuzzing.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[must_use]
pub fn reads_everything(password: &str, context: &PasswordContext) -> bool {
    Pieces::default().find(&folded(password), context)
}

/// What a word of the lists costs an attacker, if it counts as a piece.
fn word_cost(entry: Entry, letters: usize) -> Option<(Kind, Cost)> {
    match entry.password_bits() {
        // Half a binary digit is 150 thousandths of a decade.
        Some(bits) if letters >= MIN_WORD_LEN => {
            Some((Kind::Password, Cost::from(bits).saturating_mul(2).saturating_sub(1).saturating_mul(150)))
        }
        None if letters >= MIN_DICTIONARY_WORD_LEN => Some((Kind::Word, DICTIONARY_WORD)),
        _ => None,
    }
}

/// The piece that a word of the lists is, if it counts as one; its letters are added to `spelled`.
fn word_piece(
    letters: &[Letter],
    range: Range<usize>,
    found: &Found<'_>,
    spelled: &mut Vec<Zeroizing<Vec<u8>>>,
) -> Option<Piece> {
    let typed = letters.get(range.clone()).unwrap_or_default();
    let letters = found.word.iter().filter(|byte| !(0x80..0xc0).contains(*byte)).count();
    // Any few digits spell some word through stand-ins; digits have a limit of their own.
    let unspelled = typed.iter().filter(|letter| !letter.typed.is_alphabetic()).count();
    if letters < MIN_UNSPELLED_LEN && unspelled > letters / 2 {
        return None;
    }
    let (kind, cost) = word_cost(found.entry, letters)?;
    let word = spelled.len();
    spelled.push(Zeroizing::new(found.word.to_vec()));
    Some(Piece { start: range.start, end: range.end, kind, cost, digits: 0, word })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Context,
    Password,
    Word,
    Other,
}

/// A piece from `start` to before `end`.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
    kind: Kind,
    cost: Cost,
    /// How many of the digits that are free.
    digits: usize,
    word: usize,
}

#[derive(Default)]
struct Pieces {
    all: Vec<Piece>,
    words: Vec<Zeroizing<Vec<u8>>>,
}

impl Pieces {
    fn push(&mut self, start: usize, end: usize, kind: Kind, cost: Cost) {
        self.all.push(Piece { start, end, kind, cost, digits: 0, word: usize::MAX });
    }

    fn free(&mut self, start: usize, end: usize) {
        self.push(start, end, Kind::Other, 0);
    }

    fn word(&self, piece: &Piece) -> Option<&[u8]> {
        self.words.get(piece.word).map(|word| word.as_slice())
    }

    /// `false` when something may have been missed.
    fn find(&mut self, letters: &[Letter], context: &PasswordContext) -> bool {
        let Some(words) = words() else { return false };
        let mut steps = Steps::default();
        self.find_words(words, letters, &mut steps);
        for start in 0..letters.len() {
            // Words may differ where the password does not: `1` is an `i` and an `l`.
            let before = self.all.len();
            for token in context.tokens() {
                let ends =
                    [token.match_at(letters, start, true), token.match_reversed_at(letters, start, true)];
                for end in ends.into_iter().flatten() {
                    if !self.all.iter().skip(before).any(|piece| piece.end == end) {
                        self.push(start, end, Kind::Context, 0);
                    }
                }
            }
            self.find_joining(letters, start);
            if year_at(letters, start).is_some() {
                self.push(start, start.saturating_add(4), Kind::Other, YEAR);
            }
            for end in date_ends(letters, start).filter(|end| end.saturating_sub(start) >= MIN_DATE_LEN) {
                self.push(start, end, Kind::Other, DATE);
            }
            if letters.get(start).is_some_and(|letter| letter.typed.is_numeric()) {
                let (end, word) = (start.saturating_add(1), usize::MAX);
                self.all.push(Piece { start, end, kind: Kind::Other, cost: 0, digits: 1, word });
            }
        }
        self.find_runs(letters);
        self.find_repeats(letters);
        self.find_separators(letters);
        !steps.exhausted()
    }

    /// Forwards and backwards.
    fn find_words(&mut self, words: &Words, letters: &[Letter], steps: &mut Steps) {
        let Self { all, words: spelled } = self;
        let n = letters.len();
        let mut read = |all: &mut Vec<Piece>, start: usize, found: Found<'_>| {
            all.extend(word_piece(letters, start..found.end, &found, spelled));
        };
        words.find((letters, Reading::Folded), steps, all, &mut read, &|piece, distance| Piece {
            start: piece.start.saturating_add(distance),
            end: piece.end.saturating_add(distance),
            ..piece
        });
        let reversed = reversed(letters);
        let mut read = |all: &mut Vec<Piece>, start: usize, found: Found<'_>| {
            let typed = n.saturating_sub(found.end)..n.saturating_sub(start);
            all.extend(word_piece(letters, typed, &found, spelled));
        };
        words.find((&reversed, Reading::Plain), steps, all, &mut read, &|piece, distance| Piece {
            start: piece.start.saturating_sub(distance),
            end: piece.end.saturating_sub(distance),
            ..piece
        });
    }

    /// As typed: through stand-ins any two digits would be one. Two letters are eight bytes at most.
    fn find_joining(&mut self, letters: &[Letter], start: usize) {
        let mut word = Zeroizing::new(String::with_capacity(8));
        for (letter, end) in letters.iter().skip(start).zip(start.saturating_add(1)..).take(2) {
            if !letter.typed.is_alphabetic() {
                return;
            }
            word.push(letter.folded);
            if JOINING.binary_search(&word.as_str()).is_ok() {
                self.push(start, end, Kind::Other, JOINING_WORD);
            }
        }
    }

    fn find_runs(&mut self, letters: &[Letter]) {
        for (start, end, distance) in sequences(letters) {
            if end.saturating_sub(start) > 2 && distance.unsigned_abs() == 1 {
                self.free(start, end);
            }
        }
        for walk in walks(letters) {
            // `were` and `loki` are walks as well, and `oil` is one: of three keys only columns count (`qaz`, `wsx`),
            // of four only straight ones.
            let len = walk.end.saturating_sub(walk.start);
            if len > 4 || (walk.turns == 1 && (len == 4 || walk.is_column)) {
                self.free(walk.start, walk.end);
            }
        }
    }

    fn find_repeats(&mut self, letters: &[Letter]) {
        let repeats = Repeats::of(letters, |letter| letter.folded);
        let mut copied = vec![false; letters.len()];
        for period in 1..=letters.len() / 2 {
            let at_least = if period == 1 { 2 } else { period };
            let mut position = 0;
            // From there on nothing comes a period later.
            while position < letters.len().saturating_sub(period) {
                let run = repeats.run(period, position);
                let copies = position.saturating_add(period);
                if run >= at_least {
                    if period <= MAX_PATTERN_LEN {
                        self.free(position, copies);
                    }
                    if let Some(copied) = copied.get_mut(copies..copies.saturating_add(run)) {
                        copied.fill(true);
                    }
                }
                position = position.saturating_add(run.max(1));
            }
        }
        for (position, _) in copied.iter().enumerate().filter(|(_, copied)| **copied) {
            self.free(position, position.saturating_add(1));
        }
    }

    fn find_separators(&mut self, letters: &[Letter]) {
        let mut kinds = Zeroizing::new(Vec::with_capacity(letters.len()));
        kinds.extend(letters.iter().filter(|l| l.is_separator()).map(|l| l.typed));
        kinds.sort_unstable();
        kinds.dedup();
        let few_kinds = kinds.len() <= MAX_SEPARATORS;
        // Without a word of the context, unusual ones are the password itself.
        let has_context = self.all.iter().any(|piece| piece.kind == Kind::Context);
        let mut start = 0_usize;
        for run in letters.chunk_by(|a, b| a.is_separator() == b.is_separator()) {
            let end = start.saturating_add(run.len());
            let one_kind = run.windows(2).all(|pair| matches!(pair, [a, b] if a.typed == b.typed));
            if run.first().is_some_and(|letter| letter.is_separator()) {
                let is_usual = one_kind || (few_kinds && run.len() <= MAX_SEPARATORS);
                for position in (start..end).filter(|_| is_usual || has_context) {
                    self.push(
                        position,
                        position.saturating_add(1),
                        Kind::Other,
                        if is_usual { 0 } else { SEPARATOR },
                    );
                }
            }
            start = end;
        }
    }

    /// The cheapest cover of the first `n` letters, if there is one.
    fn cover(&self, n: usize) -> Option<Vec<&Piece>> {
        const WIDTH: usize = MAX_DIGITS + 1;
        /// Cost so far, and the piece that came last with the digits before it.
        type State<'a> = Option<(Cost, Option<(&'a Piece, usize)>)>;
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
                    let Some((cost, _)) = state else { continue };
                    let cost = cost.saturating_add(piece.cost);
                    let after = digits.saturating_add(piece.digits);
                    let Some(slot) = states.get_mut(end).and_then(|states| states.get_mut(after)) else {
                        continue;
                    };
                    if slot.is_none_or(|(best, _)| cost < best) {
                        *slot = Some((cost, Some((piece, digits))));
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
    fn joining_words_are_sorted() {
        assert!(JOINING.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn joining_words_and_unusual_separators_hide_nothing() {
        check("welcometoacme2026", Some(Expected::Context));
        check("jane!doe?acme#$&", Some(Expected::Context));
        check("passwordzuacme12", Some(Expected::Context));
        // More signs than somebody tries.
        check("acme~;?(=&:%/|{,", None);
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
        check("passwordpassword", Some(Expected::Common));
        check("letmein, LETMEIN!", Some(Expected::Derived));
        check("drowssap-drowssap", Some(Expected::Derived));
        check("footballbaseballsoccer", Some(Expected::Derived));
        check("monkey dragon shadow master", Some(Expected::Derived));
        check("Max1987max1987", Some(Expected::Derived));
        check("schokolade-Kuchen-1234", Some(Expected::Derived));
        check("letmeinletmein123", Some(Expected::Derived));
        check("letmein letmein letmein letmein letmein", Some(Expected::Derived));
        check("Sunshine!Dragon!1987", Some(Expected::Derived));
    }

    #[test]
    fn well_known_phrases_are_expected_in_eight_languages() {
        for password in [
            "correcthorsebatterystaple",
            "Correct-Horse-Battery-Staple",
            "To be, or not to be",
            "Alle meine Entchen",
            "Frère Jacques, dormez-vous",
            "bésame mucho",
            "Nel mezzo del cammin di nostra vita",
            "ik hou van jou",
            "Wlazł kotek na płotek",
            "Parabéns pra você",
        ] {
            check(password, Some(Expected::Common));
        }
        check("sto lat, sto lat 2024!", Some(Expected::Derived));
        for password in [
            "passwort-passwort",
            "MotDePasse-MotDePasse",
            "contraseña2024",
            "forza-Napoli-1926",
            "wachtwoord!1",
            "hasło-hasło-hasło",
            "minhasenha123",
            "Müllermüller1990",
            "muellermueller1990",
        ] {
            check(password, Some(Expected::Derived));
        }
    }

    #[test]
    fn a_run_of_separators_is_read_in_one_way() {
        // The lists have words with asterisks inside.
        let runs = ["*", "**", "*.", "*-_"].map(|unit| unit.chars().cycle().take(30).collect::<String>());
        for run in runs {
            let password = format!("zqx7vkelo{run}wq9velj");
            assert!(reads_everything(&password, &context()), "{password}");
            check(&password, None);
        }
        for password in ["*".repeat(256), "f*".repeat(128), "f***".repeat(64), "****me".repeat(42)] {
            assert!(reads_everything(&password, &context()), "{password}");
        }
        check("p*a*s*s*w*o*r*d", Some(Expected::Common));
        check("pass****************word", Some(Expected::Common));
    }

    #[test]
    fn pieces_stay_few_whatever_repeats() {
        for unit in ["Ⅲ", "a", "ab", "ﬃ"] {
            let letters = folded(&unit.chars().cycle().take(256).collect::<String>());
            let mut pieces = Pieces::default();
            assert!(pieces.find(&letters, &context()));
            assert!(pieces.all.len() < 20 * letters.len(), "{unit}: {}", pieces.all.len());
        }
    }

    #[test]
    fn a_derived_password_is_covered_from_end_to_end() {
        for password in ["janedoe.janedoe1990", "Sunshine!Dragon!1987", "x7q!x7q!x7q!x7q!"] {
            assert_eq!(covers_every_letter(password, &context()), Some(true), "{password}");
        }
        assert_eq!(covers_every_letter("zq7-velour-antelope-91", &context()), None);
    }

    #[test]
    fn breached_passwords_of_fifteen_characters_are_known() {
        check("06271980michael", Some(Expected::Common));
        check("04453547JULIA10", Some(Expected::Common));
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
            let found = expected(password, &context());
            assert!(matches!(found, Some(Expected::Pattern | Expected::Common)), "{password} {found:?}");
        }
        check("yhn-wsx-ujm-edc-rfv", Some(Expected::Pattern));
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
            "correct horse battery staple unbuttoned zebra glyph",
            // Each of the words is on a list.
            "marble antelope battery staple",
            "velvet-candle-harbor-turtle",
            "lampe fluss gabel himmel",
            "chaise lumiere bateau citron",
            "jane-chaise-lumiere-bateau",
            "jane837261549382",
        ] {
            check(password, None);
        }
    }
}
