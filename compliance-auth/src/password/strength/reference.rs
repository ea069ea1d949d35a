//! A slow and simple estimator to compare the fast one with: tests and fuzzing only.

use super::super::context::PasswordContext;
use super::super::fold::{Letter, plain};
use super::super::words::{Steps, Words, words};
use super::guess::{Match, leet_variations, log10_of_sum, uppercase_variations};
use super::{Estimator, Strength, keyboard, log10, pattern};

/// The longest password it takes, in code points.
pub(super) const MAX_LEN: usize = 12;

/// In how many ways it may be read at most.
const MAX_WAYS: usize = 20_000;

/// The guesses for `password`: the least over all ways to cut it into pieces that follow on each other from the first
/// letter to the last. `None` for what is too long or can be read in too many ways.
pub(super) fn guesses_log10(password: &str, context: &PasswordContext) -> Option<f64> {
    let letters = plain(password);
    if letters.is_empty() || letters.len() > MAX_LEN {
        return None;
    }
    let ways = letters.iter().map(|letter| 1 + letter.leet.iter().flatten().count()).product::<usize>();
    if ways > MAX_WAYS {
        return None;
    }
    Some(of(&letters, words()?, context))
}

fn of(letters: &[Letter], words: &Words, context: &PasswordContext) -> f64 {
    let n = letters.len();
    let mut matches = Vec::new();
    // Each part of the password, in each way it can be read, looked up.
    for start in 0..n {
        for end in start + 1..=n {
            let token = &letters[start..end];
            for word in readings(token) {
                if let Some(entry) = words.entry(word.as_bytes()) {
                    let variations = uppercase_variations(token) + leet_variations(token, word.as_bytes());
                    let guesses_log10 = f64::from(entry.rank()).log10() + variations;
                    matches.push(Match { start, end, guesses_log10 });
                }
            }
            let reversed: String = token.iter().rev().map(|letter| letter.lower).collect();
            if let Some(entry) = words.entry(reversed.as_bytes()) {
                let guesses_log10 =
                    f64::from(entry.rank()).log10() + uppercase_variations(token) + 2_f64.log10();
                matches.push(Match { start, end, guesses_log10 });
            }
        }
    }
    for (rank, token) in (1..).zip(context.tokens()) {
        for start in 0..n {
            if let Some(end) = token.match_at(letters, start, false) {
                let typed = &letters[start..end];
                let leet = if token.is_plain_match(typed) { 0.0 } else { 2_f64.log10() };
                matches.push(Match {
                    start,
                    end,
                    guesses_log10: log10(rank) + uppercase_variations(typed) + leet,
                });
            }
        }
    }
    matches.extend(keyboard::matches(letters));
    matches.extend(pattern::matches(letters));
    let mut at = 0;
    while let Some((start, base_len, count)) = repeat_from(letters, at) {
        let base = of(&letters[start..start + base_len], words, context);
        matches.push(Match { start, end: start + base_len * count, guesses_log10: base + log10(count) });
        at = start + base_len * count;
    }
    for piece in &mut matches {
        let least = match piece.end - piece.start {
            len if len == n => 0.0,
            1 => 1.0,
            _ => 50_f64.log10(),
        };
        piece.guesses_log10 = piece.guesses_log10.max(least);
    }
    // Of several matches of one part the cheapest counts.
    matches.sort_by(|a, b| {
        (a.start, a.end).cmp(&(b.start, b.end)).then(a.guesses_log10.total_cmp(&b.guesses_log10))
    });
    matches.dedup_by_key(|piece| (piece.start, piece.end));
    let mut best = f64::INFINITY;
    every_cover(&matches, n, 0, 0, 0.0, false, &mut |pieces, product| {
        let order: f64 = (1..=pieces).map(log10).sum();
        let growing = 4.0 * (pieces - 1) as f64;
        best = best.min(log10_of_sum(product + order, growing));
    });
    best
}

/// Tries every way to cut the password into matches and brute force, never two brute-force pieces in a row.
fn every_cover(
    matches: &[Match],
    n: usize,
    at: usize,
    pieces: usize,
    product: f64,
    after_brute: bool,
    done: &mut dyn FnMut(usize, f64),
) {
    if at == n {
        return done(pieces, product);
    }
    for piece in matches.iter().filter(|piece| piece.start == at) {
        every_cover(matches, n, piece.end, pieces + 1, product + piece.guesses_log10, false, done);
    }
    if !after_brute {
        for end in at + 1..=n {
            let guesses = if end - at == 1 { 11_f64.log10() } else { (end - at) as f64 };
            every_cover(matches, n, end, pieces + 1, product + guesses, true, done);
        }
    }
}

/// Every spelling of a token: each letter as it is, or as what it stands in for.
fn readings(token: &[Letter]) -> Vec<String> {
    let mut all = vec![String::new()];
    for letter in token {
        let options: Vec<char> =
            std::iter::once(letter.lower).chain(letter.leet.into_iter().flatten()).collect();
        all = all.iter().flat_map(|text| options.iter().map(move |c| format!("{text}{c}"))).collect();
    }
    all
}

/// The first start at which something is said twice: the longest in all, with the shortest base.
fn repeat_from(letters: &[Letter], from: usize) -> Option<(usize, usize, usize)> {
    let typed: Vec<char> = letters.iter().map(|letter| letter.typed).collect();
    (from..typed.len()).find_map(|start| {
        let mut best: Option<(usize, usize, usize)> = None;
        for len in 1..=(typed.len() - start) / 2 {
            let base = &typed[start..start + len];
            let count = typed[start..].chunks(len).take_while(|chunk| *chunk == base).count();
            if count > 1 && best.is_none_or(|(_, l, c)| len * count > l * c) {
                best = Some((start, len, count));
            }
        }
        best
    })
}

impl Strength {
    /// How many nodes of the word list an estimate visits. `None` when it ran out of them.
    #[doc(hidden)]
    #[must_use]
    pub fn visited(password: &str, context: &PasswordContext) -> Option<usize> {
        let letters = plain(password);
        if letters.len() > Self::MAX_CODE_POINTS {
            return Some(0);
        }
        let mut steps = Steps::default();
        let before = steps.left();
        let _ = Estimator { words: words()?, context }.guesses_log10(&letters, &mut steps);
        (!steps.exhausted()).then(|| before - steps.left())
    }

    /// Compares with the slow estimator; `None` for what is too long for it.
    #[doc(hidden)]
    #[must_use]
    pub fn agrees_with_reference(password: &str, context: &PasswordContext) -> Option<bool> {
        let slow = guesses_log10(password, context)?;
        Some((slow - Self::estimate(password, context).guesses_log10()).abs() < 1e-6)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(password: &str) {
        let context = PasswordContext::new().user("anna.muster@example.com");
        assert_eq!(Strength::agrees_with_reference(password, &context), Some(true), "{password}");
    }

    #[test]
    fn fast_and_slow_agree() {
        for password in [
            "a",
            "password",
            "P4$$w0rd!",
            "annamuster",
            "abcabcabc",
            "1!|71!|7",
            "aaaaaaaaaaaa",
            "drowssap1987",
            "qwertz12.3.9",
        ] {
            check(password);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn fast_and_slow_agree_on_anything(password in "[a-e14@$!. A]{1,9}") {
            check(&password);
        }

        #[test]
        fn fast_and_slow_agree_on_pieces(a in "(pass|love|anna|sun|1987|qwe)", b in "[a-z0-9!]{1,5}") {
            check(&format!("{a}{b}"));
        }
    }
}
