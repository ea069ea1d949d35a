//! Strength: how many guesses a password withstands, on zxcvbn's scale.
//!
//! The method is Dan Wheeler's (*zxcvbn: Low-Budget Password Strength Estimation*, USENIX Security 2016):
//! find words, keyboard walks, repeats, sequences, years and dates; cover the password with them and with
//! brute force in the cheapest way; count the guesses an attacker needs who knows that cover. Scores agree
//! with the `zxcvbn` crate on ordinary passwords (`tests/strength.rs` measures it); the differences are ours
//! on purpose:
//!
//! - every code point counts, up to [`Strength::MAX_CODE_POINTS`], and the work is bounded: one walk over the
//!   word list with stand-ins as alternative edges instead of one pass per table of stand-ins;
//! - numbers are logarithms, so that nothing saturates;
//! - the context is tokenised: `annamuster` is two known words for `anna.muster@example.com`;
//! - the year that recent years are measured from is a constant, not the system clock.

mod guess;
mod keyboard;
mod pattern;
#[cfg(any(test, fuzzing))]
mod reference;

use std::fmt;

use super::context::PasswordContext;
use super::fold::{Letter, plain, reversed};
use super::words::{Found, Reading, Steps, Words, words};
use guess::{Match, cheapest_cover, leet_variations, uppercase_variations};

pub(super) use keyboard::walks;
pub(super) use pattern::{Repeats, date_ends, sequences, year_at};

/// How hard a password is to guess.
///
/// Guidance, not a gate: SP 800-63B-4 §3.1.1.2 allows no composition rules, and a required score is one. The
/// profiles that do require a score say so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    guesses_log10: f64,
}

impl Strength {
    /// The longest password looked at, in code points. Longer ones are not looked at: they get score 0.
    pub const MAX_CODE_POINTS: usize = 256;

    /// Estimates `password`; words of `context` count as known to the attacker.
    ///
    /// Bounded work for any input: milliseconds for the most hostile password of the maximum length,
    /// microseconds for an ordinary one.
    ///
    /// ```
    /// use compliance_auth::password::{PasswordContext, Score, Strength};
    ///
    /// let context = PasswordContext::new().user("anna.muster@example.com");
    /// assert_eq!(Strength::estimate("annamuster", &context).score(), Score::One);
    /// assert_eq!(Strength::estimate("ein Wal kennt keinen Bahnsteig", &context).score(), Score::Four);
    /// ```
    #[must_use]
    pub fn estimate(password: &str, context: &PasswordContext) -> Self {
        let Some(words) = words() else { return Self::NONE };
        // Four bytes to a code point: a cheap bound before anything is allocated.
        if password.len() > Self::MAX_CODE_POINTS.saturating_mul(4) {
            return Self::NONE;
        }
        let letters = plain(password);
        if letters.is_empty() || letters.len() > Self::MAX_CODE_POINTS {
            return Self::NONE;
        }
        let estimator = Estimator { words, context };
        Self { guesses_log10: estimator.guesses_log10(&letters, &mut Steps::default()) }
    }

    /// For what was not looked at.
    const NONE: Self = Self { guesses_log10: 0.0 };

    /// The decimal logarithm of the estimated number of guesses. Never saturates: 256 random letters give
    /// about 256.
    #[must_use]
    pub fn guesses_log10(&self) -> f64 {
        self.guesses_log10
    }

    /// The score from 0 to 4.
    #[must_use]
    pub fn score(&self) -> Score {
        // zxcvbn adds 5 to each limit, so that a few submatches do not tip it over.
        const DELTA: f64 = 5.0;
        let below = |limit: f64| self.guesses_log10 < (limit + DELTA).log10();
        if below(1e3) {
            Score::Zero
        } else if below(1e6) {
            Score::One
        } else if below(1e8) {
            Score::Two
        } else if below(1e10) {
            Score::Three
        } else {
            Score::Four
        }
    }
}

/// zxcvbn's score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the scale is 0 to 4 by definition")]
pub enum Score {
    /// 0: fewer than 10³ guesses.
    Zero,
    /// 1: fewer than 10⁶ guesses, falls to an unthrottled login form.
    One,
    /// 2: fewer than 10⁸ guesses.
    Two,
    /// 3: fewer than 10¹⁰ guesses, falls to a stolen table of fast hashes.
    Three,
    /// 4: 10¹⁰ guesses and more.
    Four,
}

impl Score {
    /// 0 to 4.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        match self {
            Self::Zero => 0,
            Self::One => 1,
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_u8())
    }
}

struct Estimator<'a> {
    words: &'a Words,
    context: &'a PasswordContext,
}

impl Estimator<'_> {
    fn guesses_log10(&self, letters: &[Letter], steps: &mut Steps) -> f64 {
        let mut matches = Vec::new();
        self.dictionary(letters, steps, &mut matches);
        self.context_words(letters, &mut matches);
        matches.extend(keyboard::matches(letters));
        matches.extend(pattern::matches(letters));
        let mut at = 0;
        let repeats = Repeats::of(letters, |letter| letter.typed);
        while let Some(repeat) = repeats.first_from(at) {
            // Repeats do not overlap, so all bases together are at most half of the letters.
            let base_end = repeat.start.saturating_add(repeat.base_len);
            let base = letters.get(repeat.start..base_end).unwrap_or_default();
            let guesses_log10 = self.guesses_log10(base, steps) + log10(repeat.count);
            matches.push(Match { start: repeat.start, end: repeat.end(), guesses_log10 });
            at = repeat.end();
        }
        cheapest_cover(letters.len(), matches)
    }

    fn dictionary(&self, letters: &[Letter], steps: &mut Steps, matches: &mut Vec<Match>) {
        let mut read = |matches: &mut Vec<Match>, start: usize, found: Found<'_>| {
            let token = letters.get(start..found.end).unwrap_or_default();
            let variations = uppercase_variations(token) + leet_variations(token, found.word);
            let guesses_log10 = f64::from(found.entry.rank()).log10() + variations;
            matches.push(Match { start, end: found.end, guesses_log10 });
        };
        self.words.find((letters, Reading::Leet), steps, matches, &mut read, &|found, distance| Match {
            start: found.start.saturating_add(distance),
            end: found.end.saturating_add(distance),
            ..found
        });
        let reversed = reversed(letters);
        let mut read = |matches: &mut Vec<Match>, start: usize, found: Found<'_>| {
            let token = reversed.get(start..found.end).unwrap_or_default();
            let rank = f64::from(found.entry.rank()).log10();
            let (start, end) = (letters.len().saturating_sub(found.end), letters.len().saturating_sub(start));
            // Twice: each word forwards and backwards.
            let guesses_log10 = rank + uppercase_variations(token) + 2_f64.log10();
            matches.push(Match { start, end, guesses_log10 });
        };
        self.words.find((&reversed, Reading::Plain), steps, matches, &mut read, &|found, distance| Match {
            start: found.start.saturating_sub(distance),
            end: found.end.saturating_sub(distance),
            ..found
        });
    }

    /// Words of the context rank from 1 on, in the order they were given.
    fn context_words(&self, letters: &[Letter], matches: &mut Vec<Match>) {
        for start in 0..letters.len() {
            // Of several words that the same letters spell the cheapest counts.
            let before = matches.len();
            for (rank, token) in (1_usize..).zip(self.context.tokens()) {
                let Some(end) = token.match_at(letters, start, false) else { continue };
                let typed = letters.get(start..end).unwrap_or_default();
                let leet = if token.is_plain_match(typed) { 0.0 } else { 2_f64.log10() };
                let own = log10(rank) + leet;
                match matches.iter_mut().skip(before).find(|known| known.end == end) {
                    Some(known) => known.guesses_log10 = known.guesses_log10.min(own),
                    None => matches.push(Match { start, end, guesses_log10: own }),
                }
            }
            for found in matches.iter_mut().skip(before) {
                let typed = letters.get(start..found.end).unwrap_or_default();
                found.guesses_log10 += uppercase_variations(typed);
            }
        }
    }
}

/// Of a small count.
fn log10(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)).log10()
}
