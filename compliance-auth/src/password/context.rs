//! Words an attacker knows about this user and this service.

use std::fmt;

use super::fold::{Letter, folded};
use super::policy::nfc;

/// What is known about the user and the service: e-mail address, names, user name, company, product.
///
/// Each text is cut into words at everything that is neither letter nor digit, and folded: case, diacritics. A word too
/// short to be kept is kept together with its neighbour (`O'Hara`: `hara` and `ohara`), and a word with digits also
/// without (`jane1990`: `jane`).
/// A password made of them is refused; one that merely contains some is not. Kept in memory only, not shown by
/// `Debug`.
///
/// ```
/// use compliance_auth::password::PasswordContext;
///
/// let context = PasswordContext::new().user("jane.doe@acme.test").user("Jane Doe").service("acme");
/// assert_eq!(context.len(), 4); // jane, doe, acme, test
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct PasswordContext {
    tokens: Vec<Token>,
}

impl PasswordContext {
    /// The most words kept. Further ones are ignored: give the important texts first.
    pub const MAX_WORDS: usize = 32;
    /// The most letters kept, of all words together. A word that does not fit any more is ignored.
    pub const MAX_LETTERS: usize = 128;
    /// How much of one text is read, in bytes.
    pub const MAX_TEXT_LEN: usize = 512;
    /// The shortest word kept, in characters; two suffice outside ASCII (李娜).
    pub const MIN_WORD_LEN: usize = 3;

    /// No context.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text about the user: e-mail address, name, user name, phone number.
    pub fn user(self, text: &str) -> Self {
        self.with(text)
    }

    /// Adds a text about the service: its name, its domain, its company.
    pub fn service(self, text: &str) -> Self {
        self.with(text)
    }

    /// How many different words it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether it holds no word.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn with(mut self, text: &str) -> Self {
        let mut end = text.len().min(Self::MAX_TEXT_LEN);
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        let (text, _) = text.split_at_checked(end).unwrap_or_default();
        let letters = folded(&nfc(text));
        let words = letters.split(|letter| letter.is_separator()).filter(|word| !word.is_empty());
        let words: Vec<Vec<char>> =
            words.map(|word| word.iter().map(|letter| letter.folded).collect()).collect();
        for word in &words {
            self.keep(word);
        }
        for pair in words.windows(2).filter(|pair| pair.iter().any(|word| Self::is_short(word))) {
            self.keep(&pair.concat());
        }
        for word in words.iter().filter(|word| word.iter().any(|c| c.is_numeric())) {
            for run in word.split(|c| c.is_numeric()) {
                self.keep(run);
            }
        }
        self
    }

    fn is_short(word: &[char]) -> bool {
        word.len() < if word.iter().all(char::is_ascii) { Self::MIN_WORD_LEN } else { 2 }
    }

    fn keep(&mut self, word: &[char]) {
        let kept: usize = self.tokens.iter().map(|known| known.0.len()).sum();
        let fits =
            self.tokens.len() < Self::MAX_WORDS && kept.saturating_add(word.len()) <= Self::MAX_LETTERS;
        if fits && !Self::is_short(word) && !self.tokens.iter().any(|known| known.0 == word) {
            self.tokens.push(Token(word.to_vec()));
        }
    }
}

/// How many separators in a row may stand inside a word of the context. `!` is also an `i`, so that without a limit every
/// letter of `!!!!` would start a word that goes on behind all of them.
const MAX_SKIPPED: usize = 8;

impl fmt::Debug for PasswordContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordContext").field("words", &self.len()).finish_non_exhaustive()
    }
}

/// A folded word of the context.
#[derive(Clone)]
pub(super) struct Token(Vec<char>);

impl Token {
    /// Where the word ends when it starts at `start`, read through stand-ins; with `skip`, also through
    /// separators inside it.
    pub(super) fn match_at(&self, letters: &[Letter], start: usize, skip: bool) -> Option<usize> {
        Self::match_chars(self.0.iter(), letters, start, skip)
    }

    /// The same for the word spelled backwards.
    pub(super) fn match_reversed_at(&self, letters: &[Letter], start: usize, skip: bool) -> Option<usize> {
        Self::match_chars(self.0.iter().rev(), letters, start, skip)
    }

    fn match_chars<'a>(
        chars: impl Iterator<Item = &'a char>,
        letters: &[Letter],
        start: usize,
        skip: bool,
    ) -> Option<usize> {
        let mut position = start;
        for c in chars {
            let mut skipped = 0_usize;
            loop {
                let letter = letters.get(position)?;
                position = position.saturating_add(1);
                if letter.folded == *c || letter.lower == *c || letter.leet.contains(&Some(*c)) {
                    break;
                }
                skipped = skipped.saturating_add(1);
                let inside = position > start.saturating_add(1);
                if !(skip && inside && letter.is_separator() && skipped <= MAX_SKIPPED) {
                    return None;
                }
            }
        }
        Some(position)
    }

    /// Whether `typed`, which matches, is the word itself in any case.
    pub(super) fn is_plain_match(&self, typed: &[Letter]) -> bool {
        typed.iter().map(|letter| letter.lower).eq(self.0.iter().copied())
    }
}
