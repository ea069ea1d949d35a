//! How a password is read: lower case, without diacritics, through the usual stand-ins (`4` for `a`).

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use zeroize::{Zeroize, Zeroizing};

/// One character of a password and what it may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// As typed.
    pub(super) typed: char,
    /// In lower case.
    pub(super) lower: char,
    /// In lower case, without diacritics.
    pub(super) folded: char,
    /// The letters it stands in for.
    pub(super) leet: [Option<char>; 2],
    /// Neither letter nor digit as typed. Kept, since Unicode's tables are slow to ask again and again.
    separator: bool,
}

impl Letter {
    /// A character as one letter, whatever it decomposes into.
    pub(super) fn plain(typed: char) -> Self {
        let lower = lower(typed);
        let folded = if typed.is_ascii() {
            lower
        } else {
            std::iter::once(lower).nfkd().find(|c| !is_combining_mark(*c)).unwrap_or(lower)
        };
        Self { typed, lower, folded, leet: leet(lower), separator: !typed.is_alphanumeric() }
    }

    /// Neither letter nor digit: what people put between words.
    pub(super) fn is_separator(self) -> bool {
        self.separator
    }
}

impl Zeroize for Letter {
    fn zeroize(&mut self) {
        self.typed.zeroize();
        self.lower.zeroize();
        self.folded.zeroize();
        self.leet.zeroize();
        self.separator.zeroize();
    }
}

/// Zeroised when dropped. Allocated once in full, so that no half-grown copy stays behind.
pub(super) type Letters = Zeroizing<Vec<Letter>>;

/// Every code point of `text` as one letter: for strength.
pub(super) fn plain(text: &str) -> Letters {
    let mut letters = Zeroizing::new(Vec::with_capacity(text.chars().count()));
    letters.extend(text.chars().map(Letter::plain));
    letters
}

/// `letters` from the last to the first.
pub(super) fn reversed(letters: &[Letter]) -> Letters {
    let mut reversed = Zeroizing::new(Vec::with_capacity(letters.len()));
    reversed.extend(letters.iter().rev().copied());
    reversed
}

/// `text` without diacritics and compatibility forms (NFKD): `Ｍüßig` reads `mussig`.
///
/// A code point becomes three letters at most: a few compatibility forms are eighteen long (`ﷺ`), and stay as they are.
pub(super) fn folded(text: &str) -> Letters {
    let most = text.chars().count().saturating_mul(MAX_EXPANSION).saturating_add(MAX_DECOMPOSITION);
    let mut letters = Zeroizing::new(Vec::with_capacity(most));
    for typed in text.chars() {
        match typed {
            'ß' | 'ẞ' => letters.extend([Letter { typed, ..Letter::plain('s') }; 2]),
            'æ' | 'Æ' => letters.extend(['a', 'e'].map(|c| Letter { typed, ..Letter::plain(c) })),
            'œ' | 'Œ' => letters.extend(['o', 'e'].map(|c| Letter { typed, ..Letter::plain(c) })),
            'ø' | 'Ø' => letters.push(Letter { typed, ..Letter::plain('o') }),
            'ł' | 'Ł' => letters.push(Letter { typed, ..Letter::plain('l') }),
            _ if typed.is_ascii() => letters.push(Letter::plain(typed)),
            _ => {
                let before = letters.len();
                let separator = !typed.is_alphanumeric();
                letters.extend(
                    std::iter::once(typed).nfkd().filter(|c| !is_combining_mark(*c)).map(|c| Letter {
                        typed,
                        lower: lower(typed),
                        separator,
                        ..Letter::plain(c)
                    }),
                );
                // A lone combining mark still is a code point that something must account for.
                if !(1..=MAX_EXPANSION).contains(&letters.len().saturating_sub(before)) {
                    letters.truncate(before);
                    letters.push(Letter::plain(typed));
                }
            }
        }
    }
    letters
}

/// The most letters one code point becomes.
const MAX_EXPANSION: usize = 3;
/// The most code points NFKD makes of one.
const MAX_DECOMPOSITION: usize = 18;

/// The first character of the lower case, which is the whole of it but for `İ`.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// What `c` stands in for, in the table zxcvbn uses.
fn leet(c: char) -> [Option<char>; 2] {
    match c {
        '4' | '@' => [Some('a'), None],
        '8' => [Some('b'), None],
        '(' | '{' | '[' | '<' => [Some('c'), None],
        '3' => [Some('e'), None],
        '6' | '9' => [Some('g'), None],
        '1' | '|' => [Some('i'), Some('l')],
        '!' => [Some('i'), None],
        '7' => [Some('l'), Some('t')],
        '0' => [Some('o'), None],
        '$' | '5' => [Some('s'), None],
        '+' => [Some('t'), None],
        '%' => [Some('x'), None],
        '2' => [Some('z'), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        folded(text).iter().map(|letter| letter.folded).collect()
    }

    #[test]
    fn diacritics_case_and_compatibility_forms_are_folded() {
        assert_eq!(read("Müßig"), "mussig");
        assert_eq!(read("ＰＡＳＳｗörd"), "password");
        assert_eq!(read("ﬁŁódź"), "filodz");
        assert_eq!(read("Ændern"), "aendern");
    }

    #[test]
    fn no_code_point_disappears() {
        assert_eq!(folded("\u{301}\u{301}").len(), 2);
        assert_eq!(folded("\u{fdfa}\u{fdfa}").len(), 2);
        assert_eq!(folded("\u{fb03}").len(), 3);
    }
}
