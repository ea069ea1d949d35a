//! Walks over neighbouring keys: `qwerty`, `1qaz2wsx`, `147258`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::fold::Letter;
use super::guess::{Match, choices, float};

/// Rows of keys from the top, each with the column of its first key. On a slanted board a key's column is that
/// of the key above it to the left.
struct Layout {
    rows: &'static [(i8, &'static str)],
    slanted: bool,
}

/// Pairs of plain and shifted; a key without a second meaning repeats the first. From the published layouts
/// (US, Dvorak, DIN 2137 T1, French AZERTY, the two usual number pads; then British, Spanish, Italian, Portuguese,
/// Swedish and Finnish, Danish, Norwegian, Swiss, Colemak).
const LAYOUTS: [Layout; 15] = [
    Layout {
        slanted: true,
        rows: &[
            (0, "`~1!2@3#4$5%6^7&8*9(0)-_=+"),
            (1, "qQwWeErRtTyYuUiIoOpP[{]}\\|"),
            (1, "aAsSdDfFgGhHjJkKlL;:'\""),
            (1, "zZxXcCvVbBnNmM,<.>/?"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "`~1!2@3#4$5%6^7&8*9(0)[{]}"),
            (1, "'\",<.>pPyYfFgGcCrRlL/?=+\\|"),
            (1, "aAoOeEuUiIdDhHtTnNsS-_"),
            (1, ";:qQjJkKxXbBmMwWvVzZ"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "^°1!2\"3§4$5%6&7/8(9)0=ß?´`"),
            (1, "qQwWeErRtTzZuUiIoOpPüÜ+*"),
            (1, "aAsSdDfFgGhHjJkKlLöÖäÄ#'"),
            (0, "<>yYxXcCvVbBnNmM,;.:-_"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "²²&1é2\"3'4(5-6è7_8ç9à0)°=+"),
            (1, "aAzZeErRtTyYuUiIoOpP^¨$£"),
            (1, "qQsSdDfFgGhHjJkKlLmMù%*µ"),
            (0, "<>wWxXcCvVbBnN,?;.:/!§"),
        ],
    },
    Layout {
        slanted: false,
        rows: &[(1, "//**--"), (0, "778899++"), (0, "445566"), (0, "112233"), (1, "00..")],
    },
    Layout {
        slanted: false,
        rows: &[(1, "==//**"), (0, "778899--"), (0, "445566++"), (0, "112233"), (1, "00..")],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "`¬1!2\"3£4$5%6^7&8*9(0)-_=+"),
            (1, "qQwWeErRtTyYuUiIoOpP[{]}"),
            (1, "aAsSdDfFgGhHjJkKlL;:'@#~"),
            (0, "\\|zZxXcCvVbBnNmM,<.>/?"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "ºª1!2\"3·4$5%6&7/8(9)0='?¡¿"),
            (1, "qQwWeErRtTyYuUiIoOpP`^+*"),
            (1, "aAsSdDfFgGhHjJkKlLñÑ´¨çÇ"),
            (0, "<>zZxXcCvVbBnNmM,;.:-_"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "\\|1!2\"3£4$5%6&7/8(9)0='?ì^"),
            (1, "qQwWeErRtTyYuUiIoOpPèé+*"),
            (1, "aAsSdDfFgGhHjJkKlLòçà°ù§"),
            (0, "<>zZxXcCvVbBnNmM,;.:-_"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "\\|1!2\"3#4$5%6&7/8(9)0='?«»"),
            (1, "qQwWeErRtTyYuUiIoOpP+*´`"),
            (1, "aAsSdDfFgGhHjJkKlLçÇºª~^"),
            (0, "<>zZxXcCvVbBnNmM,;.:-_"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "§½1!2\"3#4¤5%6&7/8(9)0=+?´`"),
            (1, "qQwWeErRtTyYuUiIoOpPåÅ¨^"),
            (1, "aAsSdDfFgGhHjJkKlLöÖäÄ'*"),
            (0, "<>zZxXcCvVbBnNmM,;.:-_"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "½§1!2\"3#4¤5%6&7/8(9)0=+?´`"),
            (1, "qQwWeErRtTyYuUiIoOpPåÅ¨^"),
            (1, "aAsSdDfFgGhHjJkKlLæÆøØ'*"),
            (0, "<>zZxXcCvVbBnNmM,;.:-_"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "|§1!2\"3#4¤5%6&7/8(9)0=+?\\`"),
            (1, "qQwWeErRtTyYuUiIoOpPåÅ¨^"),
            (1, "aAsSdDfFgGhHjJkKlLøØæÆ'*"),
            (0, "<>zZxXcCvVbBnNmM,;.:-_"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "§°1+2\"3*4ç5%6&7/8(9)0='?^`"),
            (1, "qQwWeErRtTzZuUiIoOpPüè¨!"),
            (1, "aAsSdDfFgGhHjJkKlLöéäà$£"),
            (0, "<>yYxXcCvVbBnNmM,;.:-_"),
        ],
    },
    Layout {
        slanted: true,
        rows: &[
            (0, "`~1!2@3#4$5%6^7&8*9(0)-_=+"),
            (1, "qQwWfFpPgGjJlLuUyY;:[{]}\\|"),
            (1, "aArRsStTdDhHnNeEiIoO'\""),
            (1, "zZxXcCvVbBkKmM,<.>/?"),
        ],
    },
];

/// The first ones count for strength: those zxcvbn has. On the others too many words are short walks.
const ESTIMATED: usize = 6;

/// Where a character is on a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    x: i8,
    y: i8,
    shifted: bool,
}

type Keys = HashMap<char, Key>;

static KEYS: LazyLock<Vec<(Keys, bool)>> = LazyLock::new(|| {
    let keys = |layout: &Layout| {
        let mut keys = Keys::new();
        for (y, (first, row)) in (0_i8..).zip(layout.rows) {
            let mut chars = row.chars();
            let mut x = *first;
            while let (Some(plain), Some(shifted)) = (chars.next(), chars.next()) {
                keys.entry(shifted).or_insert(Key { x, y, shifted: shifted != plain });
                keys.insert(plain, Key { x, y, shifted: false });
                x = x.saturating_add(1);
            }
        }
        (keys, layout.slanted)
    };
    LAYOUTS.iter().map(keys).collect()
});

/// A walk over neighbouring keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct KeyWalk {
    pub(in super::super) start: usize,
    pub(in super::super) end: usize,
    /// How often the direction changes, counting the first step.
    pub(in super::super) turns: usize,
    /// Whether its first step leads to another row.
    pub(in super::super) is_column: bool,
    shifted: usize,
    keypad: bool,
}

/// All walks of three keys and more, on every layout.
pub(in super::super) fn walks(letters: &[Letter]) -> Vec<KeyWalk> {
    walks_on_first(LAYOUTS.len(), letters)
}

fn walks_on_first(layouts: usize, letters: &[Letter]) -> Vec<KeyWalk> {
    KEYS.iter().take(layouts).flat_map(|(keys, slanted)| walks_on(keys, *slanted, letters)).collect()
}

fn walks_on(keys: &Keys, slanted: bool, letters: &[Letter]) -> Vec<KeyWalk> {
    let mut found = Vec::new();
    let mut walk: Option<(KeyWalk, Key, (i8, i8))> = None;
    for (position, letter) in letters.iter().enumerate() {
        let key = keys.get(&letter.typed).copied();
        if let (Some((walk, last, direction)), Some(key)) = (&mut walk, key) {
            let step = (key.x.saturating_sub(last.x), key.y.saturating_sub(last.y));
            if is_neighbour(step, slanted) {
                if step != *direction {
                    walk.turns = walk.turns.saturating_add(1);
                    walk.is_column = walk.turns == 1 && step.1 != 0;
                }
                walk.shifted = walk.shifted.saturating_add(usize::from(key.shifted));
                walk.end = position.saturating_add(1);
                (*last, *direction) = (key, step);
                continue;
            }
        }
        found.extend(walk.map(|(walk, ..)| walk).filter(is_long_enough));
        walk = key.map(|key| {
            let shifted = usize::from(key.shifted && slanted);
            let end = position.saturating_add(1);
            (
                KeyWalk { start: position, end, turns: 0, is_column: false, shifted, keypad: !slanted },
                key,
                (0, 0),
            )
        });
    }
    found.extend(walk.map(|(walk, ..)| walk).filter(is_long_enough));
    found
}

fn is_long_enough(walk: &KeyWalk) -> bool {
    walk.end.saturating_sub(walk.start) > 2
}

fn is_neighbour(step: (i8, i8), slanted: bool) -> bool {
    match step {
        (0, 0) => false,
        // On a slanted board the key below-left touches, the one below-right does not.
        (1, 1) | (-1, -1) => !slanted,
        (x, y) => x.abs() <= 1 && y.abs() <= 1,
    }
}

pub(super) fn matches(letters: &[Letter]) -> impl Iterator<Item = Match> {
    walks_on_first(ESTIMATED, letters).into_iter().map(|walk| Match {
        start: walk.start,
        end: walk.end,
        guesses_log10: walk.guesses_log10(),
    })
}

impl KeyWalk {
    /// Walks of up to this length with up to this many turns, from any key.
    fn guesses_log10(&self) -> f64 {
        // Keys and average neighbours of the US board and of the number pad.
        let (starts, degree): (f64, f64) = if self.keypad { (15.0, 5.0) } else { (94.0, 4.0) };
        let len = self.end.saturating_sub(self.start);
        // Σ starts · degreeʲ · C(i - 1, j - 1), for i from 2 to len and j from 1 to min(turns, i - 1). For one j, over all
        // i, the binomials sum up to C(len, j) - 1. Below 10²⁰¹ for the longest password.
        let (mut total, mut directions, mut binomial) = (0.0, starts, 1.0);
        for j in 1..=self.turns.min(len.saturating_sub(1)) {
            directions *= degree;
            binomial *= float(len.saturating_sub(j).saturating_add(1)) / float(j);
            total += directions * (binomial - 1.0);
        }
        let total = total.log10();
        let plain = len.saturating_sub(self.shifted);
        match (self.shifted, plain) {
            (0, _) => total,
            (_, 0) => total + 2_f64.log10(),
            (shifted, plain) => total + choices(shifted, plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fold::plain;
    use super::*;

    /// The longest walk, on whichever board, as (start, end, turns).
    #[track_caller]
    fn check(text: &str, expected: Option<(usize, usize, usize)>) {
        let longest = walks(&plain(text)).into_iter().max_by_key(|walk| walk.end - walk.start);
        assert_eq!(longest.map(|walk| (walk.start, walk.end, walk.turns)), expected, "{text}");
    }

    #[test]
    fn walks_are_found_on_their_boards() {
        check("qwerty", Some((0, 6, 1)));
        check("xxqwertzxx", Some((2, 8, 1)));
        check("azertyuiop", Some((0, 10, 1)));
        check("aoeuidhtns", Some((0, 10, 1)));
        check("741", Some((0, 3, 1)));
        check("1qaz", Some((0, 4, 1)));
        check("ZAQ!", Some((0, 4, 1)));
        check("asdfghjklñ", Some((0, 10, 1)));
        check("qwertyuiopå", Some((0, 11, 1)));
        check("arstdhneio", Some((0, 10, 1)));
        check("bgt6yhn", Some((0, 7, 3)));
        check("kvtj", None);
    }

    #[test]
    fn guesses_grow_with_length_and_turns() {
        let guesses = |text: &str| {
            let letters = plain(text);
            let whole = matches(&letters).filter(|m| m.end - m.start == text.len());
            whole.map(|m| m.guesses_log10).fold(f64::INFINITY, f64::min)
        };
        // Starts × neighbours × (length - 1), as the paper has it for a straight line.
        assert!((guesses("zxcvbn") - (94.0_f64 * 4.0 * 5.0).log10()).abs() < 1e-9);
        assert!(guesses("zxcft6yh") > guesses("zxcvbnm,"));
    }

    #[test]
    fn the_short_sum_is_the_long_one() {
        let binomial = |n: usize, k: usize| (1..=k).fold(1.0, |all, i| all * float(n + 1 - i) / float(i));
        for (end, turns) in [(3, 1), (3, 2), (8, 1), (8, 4), (8, 7), (40, 39), (256, 1), (256, 255)] {
            let walk = KeyWalk { start: 0, end, turns, is_column: false, shifted: 0, keypad: false };
            let sums = (2..=end).flat_map(|i| {
                (1..=turns.min(i - 1)).map(move |j| 94.0 * 4_f64.powf(float(j)) * binomial(i - 1, j - 1))
            });
            let long = sums.sum::<f64>().log10();
            assert!((walk.guesses_log10() - long).abs() < 1e-9, "{end} {turns}: {long}");
        }
    }
}
