//! From matches to guesses.

use super::super::fold::Letter;
use super::log10;

/// One guessable piece, from `start` to before `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) guesses_log10: f64,
}

/// More pieces than this make brute force the cheaper reading: each new piece multiplies by 10⁴.
const MAX_PIECES: usize = 64;
/// zxcvbn's MIN_GUESSES_BEFORE_GROWING_SEQUENCE, 10⁴, as a logarithm.
const GROWING_LOG10: f64 = 4.0;

/// The guesses for the cheapest cover of `n` letters: ℓ! · Π guesses + 10⁴⁽ℓ⁻¹⁾, least over all sequences of
/// ℓ pieces, where what no match covers costs ten guesses a letter.
pub(super) fn cheapest_cover(n: usize, mut matches: Vec<Match>) -> f64 {
    for piece in &mut matches {
        // A piece of a password costs at least 10 guesses, 50 when it has several letters.
        let at_least = match piece.end.saturating_sub(piece.start) {
            len if len == n => 0.0,
            1 => 1.0,
            _ => 50_f64.log10(),
        };
        piece.guesses_log10 = piece.guesses_log10.max(at_least);
    }
    // Of several matches of one part the cheapest counts.
    matches.sort_unstable_by(|a, b| {
        (a.end, a.start).cmp(&(b.end, b.start)).then(a.guesses_log10.total_cmp(&b.guesses_log10))
    });
    matches.dedup_by_key(|piece| (piece.start, piece.end));
    let pieces = n.min(MAX_PIECES);
    let width = pieces.saturating_add(1);
    // A row for each prefix, in it a column for each number of pieces.
    let table = || vec![f64::INFINITY; n.saturating_add(1).saturating_mul(width)];
    let row = |end: usize| {
        let start = end.saturating_mul(width);
        start..start.saturating_add(width)
    };
    // The cheapest product when the last piece is a match, brute force over two letters or more, anything.
    let (mut matched, mut longer, mut least) = (table(), table(), table());
    for table in [&mut matched, &mut least] {
        if let Some(empty) = table.first_mut() {
            *empty = 0.0;
        }
    }
    let mut rest = matches.as_slice();
    for end in 1..=n {
        let here = rest.partition_point(|piece| piece.end <= end);
        let (ending, later) = rest.split_at_checked(here).unwrap_or_default();
        rest = later;
        // One column further: the piece that ends here is one more.
        let matched_here = matched.get_mut(row(end)).and_then(|row| row.get_mut(1..)).unwrap_or_default();
        for piece in ending {
            let before = least.get(row(piece.start)).unwrap_or_default();
            for (matched, least) in matched_here.iter_mut().zip(before) {
                *matched = matched.min(least + piece.guesses_log10);
            }
        }
        // Never two brute-force pieces in a row: one over both is cheaper.
        let at = |table: &[f64], end: Option<usize>, count: usize| {
            let row = end.and_then(|end| table.get(row(end)));
            row.and_then(|row| row.get(count)).copied().unwrap_or(f64::INFINITY)
        };
        for count in 1..=pieces {
            let before = count.saturating_sub(1);
            let single = at(&matched, end.checked_sub(1), before) + 11_f64.log10();
            let grown = at(&longer, end.checked_sub(1), count) + 1.0;
            let pair = at(&matched, end.checked_sub(2), before) + 2.0;
            let long = grown.min(pair);
            let all = at(&matched, Some(end), count).min(single).min(long);
            let slot = row(end).start.saturating_add(count);
            for (table, value) in [(&mut longer, long), (&mut least, all)] {
                if let Some(slot) = table.get_mut(slot) {
                    *slot = value;
                }
            }
        }
    }
    let mut factorial_log10 = 0.0;
    let mut best = f64::INFINITY;
    for (count, product) in least.get(row(n)).unwrap_or_default().iter().enumerate().skip(1) {
        factorial_log10 += log10(count);
        let growing = GROWING_LOG10 * float(count.saturating_sub(1));
        best = best.min(log10_of_sum(product + factorial_log10, growing));
    }
    best
}

/// `count` as a float.
pub(super) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// log₁₀(10ᵃ + 10ᵇ).
pub(super) fn log10_of_sum(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if high.is_infinite() { high } else { high + 10_f64.powf(low - high).ln_1p() / std::f64::consts::LN_10 }
}

/// In how many ways a word may be capitalised, as a logarithm.
pub(super) fn uppercase_variations(token: &[Letter]) -> f64 {
    let upper = token.iter().filter(|letter| letter.typed.is_uppercase()).count();
    if upper == 0 {
        return 0.0;
    }
    let lower = token.iter().filter(|letter| letter.typed.is_lowercase()).count();
    let edge = [token.first(), token.last()].into_iter().flatten().any(|letter| letter.typed.is_uppercase());
    if (edge && upper == 1) || upper == token.len() {
        return 2_f64.log10();
    }
    choices(upper, lower)
}

/// In how many ways a word may be written with the stand-ins it is written with, as a logarithm.
pub(super) fn leet_variations(token: &[Letter], word: &[u8]) -> f64 {
    let pairs = || {
        token.iter().zip(word.iter().map(|byte| char::from(*byte))).filter(|(letter, c)| letter.lower != *c)
    };
    // Stand-ins are ASCII; in a word with other characters letters and bytes do not line up.
    if token.len() != word.len() {
        return 0.0;
    }
    let mut total = 0.0;
    for (nth, (letter, c)) in pairs().enumerate() {
        if pairs().take(nth).any(|(seen, _)| seen.lower == letter.lower) {
            continue;
        }
        let substituted = token.iter().filter(|other| other.lower == letter.lower).count();
        let plain = token.iter().filter(|other| other.lower == c).count();
        total += if plain == 0 { 2_f64.log10() } else { choices(substituted, plain) };
    }
    total
}

/// log₁₀ of Σ C(a + b, i) for i from 1 to min(a, b).
pub(super) fn choices(a: usize, b: usize) -> f64 {
    let n = a.saturating_add(b);
    // Below 2ⁿ, and n is bounded.
    let (mut binomial, mut sum) = (1.0, 0.0);
    for i in 1..=a.min(b) {
        binomial *= float(n.saturating_sub(i).saturating_add(1)) / float(i);
        sum += binomial;
    }
    if sum > 1.0 { sum.log10() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected.log10()).abs() < 1e-9, "{found} instead of log10({expected})");
    }

    #[test]
    fn binomials_and_sums_are_right() {
        check(choices(1, 5), 6.0);
        check(choices(2, 4), 6.0 + 15.0);
        check(choices(0, 4), 1.0);
        check(choices(128, 128) + 2_f64.log10(), 2_f64.powi(256) + 5.768_658_823_449_206e75);
        check(log10_of_sum(2.0, 3.0), 1100.0);
    }

    #[test]
    fn brute_force_costs_ten_guesses_a_letter() {
        check(cheapest_cover(1, Vec::new()), 12.0);
        check(cheapest_cover(8, Vec::new()), 1e8 + 1.0);
    }

    #[test]
    fn pieces_cost_their_product_their_order_and_ten_thousand_each() {
        let piece = |start, end, guesses: f64| Match { start, end, guesses_log10: guesses.log10() };
        check(cheapest_cover(8, vec![piece(0, 8, 3.0)]), 4.0);
        check(cheapest_cover(8, vec![piece(0, 4, 100.0), piece(4, 8, 3.0)]), 2.0 * 100.0 * 50.0 + 1e4);
        check(cheapest_cover(8, vec![piece(0, 4, 100.0)]), 2.0 * 100.0 * 1e4 + 1e4);
    }
}
