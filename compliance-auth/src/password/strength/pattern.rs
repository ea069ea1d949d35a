//! Repeats, sequences, years and dates.

use zeroize::{Zeroize, Zeroizing};

use super::super::fold::Letter;
use super::guess::Match;
use super::log10;

/// Recent years are measured from here; a constant, so that a score does not change over night.
const REFERENCE_YEAR: u32 = 2026;
/// Years nearer than this cost as much as this.
const MIN_YEAR_SPACE: u32 = 20;
const DAYS: u32 = 365;

/// A text said at least twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Repeat {
    pub(in super::super) start: usize,
    pub(in super::super) base_len: usize,
    pub(in super::super) count: usize,
}

impl Repeat {
    pub(in super::super) fn end(&self) -> usize {
        self.start.saturating_add(self.base_len.saturating_mul(self.count))
    }
}

/// For every period and position, how many letters repeat after the period.
pub(in super::super) struct Repeats {
    n: usize,
    /// `runs[(period - 1) * n + position]`.
    runs: Vec<u16>,
}

impl Repeats {
    /// Quadratic in the length, which is bounded.
    pub(in super::super) fn of(letters: &[Letter], key: fn(&Letter) -> char) -> Self {
        Self::within(letters, key, letters.len() / 2)
    }

    /// Of periods up to `longest`.
    pub(in super::super) fn within<K: PartialEq + Zeroize>(
        letters: &[Letter],
        key: fn(&Letter) -> K,
        longest: usize,
    ) -> Self {
        let n = letters.len();
        let mut keys = Zeroizing::new(Vec::with_capacity(n));
        keys.extend(letters.iter().map(key));
        let mut runs = vec![0_u16; n.saturating_mul(longest.min(n))];
        for (period, runs) in (1..).zip(runs.chunks_exact_mut(n.max(1))) {
            let mut run = 0_u16;
            let later = keys.get(period..).unwrap_or_default();
            for ((slot, a), b) in runs.iter_mut().zip(keys.iter()).zip(later).rev() {
                run = if a == b { run.saturating_add(1) } else { 0 };
                *slot = run;
            }
        }
        Self { n, runs }
    }

    /// How many letters from `position` on equal the letter `period` later.
    pub(in super::super) fn run(&self, period: usize, position: usize) -> usize {
        let row = period.saturating_sub(1).saturating_mul(self.n);
        self.runs.get(row.saturating_add(position)).copied().map_or(0, usize::from)
    }

    /// The first repeat that starts at or after `from`: the longest in all, with its shortest base.
    pub(super) fn first_from(&self, from: usize) -> Option<Repeat> {
        (from..self.n).find_map(|start| {
            let at = |base_len: usize| {
                let copies = self.run(base_len, start).checked_div(base_len).unwrap_or(0);
                (copies > 0).then(|| Repeat { start, base_len, count: copies.saturating_add(1) })
            };
            let mut best: Option<Repeat> = None;
            for repeat in (1..=self.n.saturating_sub(start) / 2).filter_map(at) {
                if best.is_none_or(|best| repeat.end() > best.end()) {
                    best = Some(repeat);
                }
            }
            best
        })
    }
}

/// Letters or digits at equal distances: `abc`, `9753`. As (start, end, distance).
pub(in super::super) fn sequences(letters: &[Letter]) -> Vec<(usize, usize, i32)> {
    const MAX_DISTANCE: u32 = 5;
    let code = |letter: &Letter| i32::try_from(u32::from(letter.typed)).unwrap_or(i32::MAX);
    let mut found = Vec::new();
    let mut run: Option<(usize, i32)> = None;
    let mut close = |run: Option<(usize, i32)>, end: usize| {
        if let Some((start, distance)) = run {
            let long = end.saturating_sub(start) > 2 || distance.unsigned_abs() == 1;
            if long && (1..=MAX_DISTANCE).contains(&distance.unsigned_abs()) {
                found.push((start, end, distance));
            }
        }
    };
    for (position, (a, b)) in letters.iter().zip(letters.iter().skip(1)).enumerate() {
        let distance = code(b).saturating_sub(code(a));
        if run.is_none_or(|(_, running)| running != distance) {
            close(run, position.saturating_add(1));
            run = Some((position, distance));
        }
    }
    close(run, letters.len());
    found
}

pub(super) fn matches(letters: &[Letter]) -> Vec<Match> {
    let mut found: Vec<Match> = sequences(letters)
        .into_iter()
        .map(|(start, end, distance)| {
            let obvious = match letters.get(start).map(|letter| letter.typed) {
                Some('a' | 'A' | 'z' | 'Z' | '0' | '1' | '9') => 4,
                Some(c) if c.is_ascii_digit() => 10,
                _ => 26_usize,
            };
            let direction = if distance < 0 { 2 } else { 1 };
            let len = end.saturating_sub(start);
            let guesses_log10 = log10(obvious) + log10(direction) + log10(len);
            Match { start, end, guesses_log10 }
        })
        .collect();
    for start in 0..letters.len() {
        found.extend(year_at(letters, start).map(|year| {
            let guesses_log10 = f64::from(year.abs_diff(REFERENCE_YEAR).max(MIN_YEAR_SPACE)).log10();
            Match { start, end: start.saturating_add(4), guesses_log10 }
        }));
        found.extend(dates_at(letters, start));
    }
    found
}

/// A year from 1900 to 2099.
pub(in super::super) fn year_at(letters: &[Letter], start: usize) -> Option<u32> {
    let year = number(letters.get(start..start.saturating_add(4))?)?;
    (1900..=2099).contains(&year).then_some(year)
}

/// Dates of 4 to 8 digits, or of 6 to 10 characters with separators.
fn dates_at(letters: &[Letter], start: usize) -> impl Iterator<Item = Match> {
    (4..=10_usize).filter_map(move |len| {
        let end = start.saturating_add(len);
        let text = letters.get(start..end)?;
        let (years_away, separators) = match nearest_year(text) {
            Some(years_away) => (years_away, 1),
            // Four usual separators.
            None => (separated(text)?, 4),
        };
        let guesses = years_away.max(MIN_YEAR_SPACE).saturating_mul(DAYS).saturating_mul(separators);
        Some(Match { start, end, guesses_log10: f64::from(guesses).log10() })
    })
}

/// Where dates that start at `start` end.
pub(in super::super) fn date_ends(letters: &[Letter], start: usize) -> impl Iterator<Item = usize> {
    dates_at(letters, start).map(|date| date.end)
}

/// How far the likeliest year of a date written in digits alone is away.
fn nearest_year(digits: &[Letter]) -> Option<u32> {
    // Where day, month and year may be cut.
    const CUTS: [&[(usize, usize)]; 5] = [
        &[(1, 2), (2, 3)],
        &[(1, 3), (2, 3)],
        &[(1, 2), (2, 4), (4, 5)],
        &[(1, 3), (2, 3), (4, 5), (4, 6)],
        &[(2, 4), (4, 6)],
    ];
    let cuts = CUTS.get(digits.len().checked_sub(4)?)?;
    cuts.iter()
        .filter_map(|(a, b)| {
            let part = |from: usize, to: usize| number(digits.get(from..to)?);
            date_year([part(0, *a)?, part(*a, *b)?, part(*b, digits.len())?])
        })
        .map(|year| year.abs_diff(REFERENCE_YEAR))
        .min()
}

/// The same for `d/m/y` in any order, with one kind of separator.
fn separated(text: &[Letter]) -> Option<u32> {
    let is_digit = |letter: &Letter| letter.typed.is_ascii_digit();
    let separator = text.iter().find(|letter| !is_digit(letter))?.typed;
    if !matches!(separator, '/' | '\\' | '_' | '.' | '-') && !separator.is_whitespace() {
        return None;
    }
    let mut parts = text.split(|letter| letter.typed == separator);
    let (Some(a), Some(b), Some(c), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let shaped = (1..=4).contains(&a.len()) && (1..=2).contains(&b.len()) && (1..=4).contains(&c.len());
    let year = date_year([number(a)?, number(b)?, number(c)?]).filter(|_| shaped)?;
    Some(year.abs_diff(REFERENCE_YEAR))
}

/// The year of three numbers that can be day, month and year.
fn date_year([first, middle, last]: [u32; 3]) -> Option<u32> {
    const YEARS: std::ops::RangeInclusive<u32> = 1000..=2050;
    let all = [first, middle, last];
    if middle > 31 || middle == 0 || all.iter().any(|n| (100..1000).contains(n) || *n > 2050) {
        return None;
    }
    let over_12 = all.iter().filter(|n| **n > 12).count();
    let over_31 = all.iter().filter(|n| **n > 31).count();
    let under_1 = all.iter().filter(|n| **n == 0).count();
    if over_31 >= 2 || over_12 == 3 || under_1 >= 2 {
        return None;
    }
    let day_and_month = |a: u32, b: u32| {
        let fits = |day: u32, month: u32| (1..=31).contains(&day) && (1..=12).contains(&month);
        fits(a, b) || fits(b, a)
    };
    // The year comes last or first; written out, it settles the matter.
    let splits = [(last, (first, middle)), (first, (middle, last))];
    for (year, (a, b)) in splits {
        if YEARS.contains(&year) {
            return day_and_month(a, b).then_some(year);
        }
    }
    splits.into_iter().find(|(_, (a, b))| day_and_month(*a, *b)).map(|(year, _)| match year {
        0..=50 => year.saturating_add(2000),
        51..=99 => year.saturating_add(1900),
        _ => year,
    })
}

fn number(digits: &[Letter]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |number, letter| {
        let digit = letter.typed.to_digit(10)?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fold::plain;
    use super::*;

    #[track_caller]
    fn check_repeat(text: &str, expected: Option<(usize, usize, usize)>) {
        let repeat = Repeats::of(&plain(text), |letter| letter.typed)
            .first_from(0)
            .map(|r| (r.start, r.base_len, r.count));
        assert_eq!(repeat, expected, "{text}");
    }

    #[test]
    fn the_longest_repeat_with_the_shortest_base_wins() {
        check_repeat("aaaa", Some((0, 1, 4)));
        check_repeat("aabaab", Some((0, 3, 2)));
        check_repeat("xabab", Some((1, 2, 2)));
        check_repeat("abcabcab", Some((0, 3, 2)));
        check_repeat("abcd", None);
        check_repeat("", None);
    }

    #[test]
    fn sequences_run_up_and_down() {
        let found = |text| sequences(&plain(text));
        assert_eq!(found("abcdb975zy"), [(0, 4, 1), (5, 8, -2), (8, 10, -1)]);
        assert_eq!(found("aaaa"), []);
        assert_eq!(found("a"), []);
        assert_eq!(found("9753"), [(0, 4, -2)]);
    }

    #[test]
    fn dates_are_read_in_every_usual_order() {
        let years_away = |text: &str| {
            let letters = plain(text);
            nearest_year(&letters).or_else(|| separated(&letters))
        };
        assert_eq!(years_away("13121991"), Some(35));
        assert_eq!(years_away("19911213"), Some(35));
        assert_eq!(years_away("1.1.91"), Some(35));
        assert_eq!(years_away("2002-12-20"), Some(24));
        assert_eq!(years_away("99999999"), None);
        assert_eq!(years_away("1.1-91"), None);
        assert_eq!(years_away("45/45/2020"), None);
    }
}
