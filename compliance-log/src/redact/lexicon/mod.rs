//! The words that announce a value, in the languages logs are written in, and the prefixes of tokens.
//!
//! A hash of the first eight letters decides whether a word is looked up at all, so that clean text pays for one table read a word.

mod announcing;
mod between;
mod hashes;

use std::sync::LazyLock;

use fearless_simd::Level;

use self::announcing::{CUES, KEYS, NAMINGS};
pub(crate) use self::announcing::{SHORTEST, SUFFIXES, may_end_suffix, secret_suffix};
pub(crate) use self::between::{is_filler, is_number_word, is_reference, is_version};
use self::hashes::{FACTOR, start};
pub(crate) use self::hashes::{Hashes, TOLD};
use super::detect::command::{PROGRAMS, Program};
use super::detect::secret::Key;
use super::detect::token::{PREFIXES, Prefix};
use super::text::{LETTER, LOWER, SMALL, TOP, Text, UPPER, WORD, between, is};

/// What a word announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    Aadhaar,
    Ahv,
    Birth,
    Bsn,
    /// A call or message: of a telephone number, or of a program.
    Call,
    Card,
    Cf,
    Cnpj,
    Cpf,
    Cpr,
    /// A card's verification value next to a word for the card.
    Csc,
    Cvv,
    Dni,
    Ein,
    Fnr,
    Geo,
    Hetu,
    Iban,
    IdCard,
    Itin,
    Mac,
    Medicare,
    /// A member: of a health fund, or of a cluster.
    Member,
    National,
    Nhs,
    Nie,
    Nif,
    Nino,
    Nir,
    Nrn,
    Pan,
    /// A passport, or what the word means besides.
    Pass,
    Passport,
    Patient,
    Personnummer,
    Pesel,
    Phone,
    /// The number of a taxpayer or of social security in Ireland, or packets a second.
    Pps,
    /// The number of a birth, or a return code, or any number.
    Rc,
    /// A register's number, or a number of something else.
    Register,
    RodneCislo,
    Rvnr,
    Sin,
    Ssn,
    Svnr,
    Tax,
    Tfn,
    /// The number of a taxpayer, or tin, or tax.
    Tin,
    /// A unique identity, or the number of a user.
    Uid,
    Vat,
}

impl Cue {
    /// Whether what the word announces is looked for where the word stands, and not where numbers stand.
    pub(crate) fn is_shaped(self) -> bool {
        // The arms of `engine::lead`.
        matches!(
            self,
            Self::Birth
                | Self::Cvv
                | Self::Dni
                | Self::Geo
                | Self::IdCard
                | Self::Mac
                | Self::Member
                | Self::National
                | Self::Pass
                | Self::Passport
                | Self::Patient
                | Self::Pps
        )
    }
}

/// How a name follows its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// A form of address: one capitalised word is a name, and the form belongs to it.
    Title,
    /// A salutation: one capitalised word is a name.
    Salutation,
    /// A role: two capitalised words are a name.
    Role,
    /// A key such as `first_name`: one capitalised word is a name.
    NamePart,
    /// A key such as `name`, when what it belongs to may have a person's name.
    Name,
}

/// What to do at a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lead {
    Cue(Cue),
    Name(Naming),
    Key(Key),
    Bearer,
    Basic,
    /// A program that takes credentials as an argument.
    Command(&'static Program),
    /// `IDENTIFIED BY 'x'`
    Identified,
    /// `PASS x`
    Pass,
    Prefix(&'static Prefix),
}

struct Entry {
    word: &'static str,
    lead: Lead,
    /// The word's first letters, see [`folded`].
    head: u64,
}

impl Entry {
    fn new(word: &'static str, lead: Lead) -> Self {
        Self { word, lead, head: folded(word.as_bytes()) }
    }
}

/// The first eight bytes of a word, ASCII letters in small; fewer are filled up with noughts.
fn folded(word: &[u8]) -> u64 {
    word.iter().take(8).rev().fold(0, |head, byte| (head << 8) | u64::from(byte | 0x20))
}

/// The table of words, built once per process.
pub(crate) struct Lexicon {
    /// What this machine's vector unit can do.
    pub(crate) level: Level,
    /// By the first eight letters: one bit for each hash that some entry has.
    pub(crate) words: Hashes,
    names: Places,
    /// The prefixes.
    heads: Places,
}

/// A word of the table that stands in the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) lead: Lead,
    pub(crate) end: usize,
}

static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::build);

/// The table.
pub(crate) fn lexicon() -> &'static Lexicon {
    &LEXICON
}

/// The bits that tell a place, and the places of words and of prefixes.
const BITS: u32 = 10;
const PLACES: usize = 1 << BITS;

/// The first three bytes of eight: no prefix is shorter.
const HEAD: u64 = 0xff_ffff;
const _: () = {
    let mut left = PREFIXES;
    while let [prefix, rest @ ..] = left {
        assert!(prefix.text.len() >= 3);
        left = rest;
    }
};

/// Where a prefix stands: two bytes decide.
#[inline]
fn prefix_place(first: u8, second: u8) -> usize {
    usize::from(first).wrapping_mul(31).wrapping_add(usize::from(second)) & (PLACES - 1)
}

/// Where a word stands: its first letters decide.
#[inline]
fn word_place(head: u64) -> usize {
    (head.wrapping_mul(FACTOR) >> (64 - BITS)) as usize
}

/// Entries by place.
struct Places {
    /// For each place where its entries start and end.
    spans: [(u16, u16); PLACES],
    entries: Vec<Entry>,
}

impl Places {
    fn new(mut entries: Vec<(usize, Entry)>) -> Self {
        entries.sort_by_key(|(place, _)| *place);
        let before = |place: usize| {
            u16::try_from(entries.partition_point(|(other, _)| *other < place)).unwrap_or(u16::MAX)
        };
        let spans = std::array::from_fn(|place| (before(place), before(place.wrapping_add(1))));
        Self { spans, entries: entries.into_iter().map(|(_, entry)| entry).collect() }
    }

    #[inline]
    fn at(&self, place: usize) -> &[Entry] {
        let (start, end) = self.spans.get(place).copied().unwrap_or_default();
        self.entries.get(usize::from(start)..usize::from(end)).unwrap_or(&[])
    }
}

/// How many letters the first word of a table's word has, as the scan counts them.
fn leading_letters(text: Text<'_>) -> u32 {
    let mut letters = 0_u32;
    let mut before = 0_u8;
    for byte in text.bytes() {
        if !is(*byte, LETTER) || (is(*byte, UPPER) && is(before, LOWER)) {
            break;
        }
        before = *byte;
        letters = letters.wrapping_add(1);
    }
    letters
}

/// A word as it may be written: as it is, with a capital, in capitals.
fn spellings(entry: &Entry) -> Vec<String> {
    let word = entry.word;
    let mut rest = word.chars();
    let capital = rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect());
    match entry.lead {
        Lead::Prefix(_) => vec![word.to_owned()],
        Lead::Name(Naming::Title) => vec![capital, word.to_uppercase()],
        _ => vec![word.to_owned(), capital, word.to_uppercase()],
    }
}

impl Lexicon {
    fn build() -> Self {
        let mut entries = Vec::new();
        for (cue, words) in CUES {
            entries.extend(words.split_whitespace().map(|word| Entry::new(word, Lead::Cue(*cue))));
        }
        for (naming, words) in NAMINGS {
            entries.extend(words.split_whitespace().map(|word| Entry::new(word, Lead::Name(*naming))));
        }
        for (key, words) in KEYS {
            entries.extend(words.split_whitespace().map(|word| Entry::new(word, Lead::Key(*key))));
        }
        entries.push(Entry::new("bearer", Lead::Bearer));
        entries.push(Entry::new("basic", Lead::Basic));
        entries.extend(PROGRAMS.iter().map(|program| Entry::new(program.name, Lead::Command(program))));
        entries.push(Entry::new("identified", Lead::Identified));
        entries.push(Entry::new("pass", Lead::Pass));
        entries.extend(PREFIXES.iter().map(|prefix| Entry::new(prefix.text, Lead::Prefix(prefix))));
        let mut words = Hashes::new();
        for entry in &entries {
            for spelling in spellings(entry) {
                let text = Text::new(&spelling);
                let letters = leading_letters(text);
                words.add(start(text.eight(0), letters.clamp(1, 8).wrapping_sub(1)));
                if matches!(entry.lead, Lead::Prefix(_)) && letters > TOLD + 1 {
                    words.add(start(text.eight(0), TOLD));
                }
            }
        }
        let (heads, names): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| matches!(entry.lead, Lead::Prefix(_)));
        let two = |word: &str| {
            let mut bytes = word.bytes();
            prefix_place(bytes.next().unwrap_or(0), bytes.next().unwrap_or(0))
        };
        Self {
            level: Level::new(),
            words,
            names: Places::new(names.into_iter().map(|entry| (word_place(entry.head), entry)).collect()),
            heads: Places::new(heads.into_iter().map(|entry| (two(entry.word), entry)).collect()),
        }
    }

    /// The words that stand at `at`: there may be several, since one word announces several things.
    pub(crate) fn found(&self, text: Text<'_>, at: usize, mut visit: impl FnMut(Found)) {
        // No prefix is shorter than three bytes; on both sides every byte has the bit that letters have in small.
        let head = (text.eight(at) | SMALL) & HEAD;
        for entry in self.heads.at(prefix_place(text.at(at), text.at(at.wrapping_add(1)))) {
            if entry.head & HEAD == head && text.has(at, entry.word.as_bytes()) {
                visit(Found { lead: entry.lead, end: at.saturating_add(entry.word.len()) });
            }
        }
        let word = Word::read(text, at);
        if text.is(word.end, LETTER) && !text.is_before(at, LETTER) {
            self.whole(text, at, word.end, &mut visit);
        }
        self.named(text, at, word, &mut visit);
    }

    /// The entries for all letters from `at` on, of which a word ends at `end`.
    #[cold]
    fn whole(&self, text: Text<'_>, at: usize, end: usize, visit: &mut impl FnMut(Found)) {
        let limit = MAX_WORD.saturating_sub(end.wrapping_sub(at));
        let whole = text.run_end(end, LETTER, limit);
        self.named(text, at, Word::all(text, at, whole), visit);
    }

    /// The entries for a word that starts at `at`, in whatever case.
    #[inline(always)]
    fn named(&self, text: Text<'_>, at: usize, word: Word, visit: &mut impl FnMut(Found)) {
        let Word { end, high, head } = word;
        let lower;
        let (word, head) = if high {
            lower = text.str(at, end).to_lowercase();
            (lower.as_bytes(), folded(lower.as_bytes()))
        } else {
            (text.slice(at, end), head)
        };
        for entry in self.names.at(word_place(head)) {
            // Of a short word in ASCII the head is the whole.
            if entry.head == head
                && entry.word.len() == word.len()
                && ((word.len() <= 8 && !high) || entry.word.as_bytes().eq_ignore_ascii_case(word))
            {
                visit(Found { lead: entry.lead, end });
            }
        }
    }

    /// Calls `visit` for every word of the table in a field's name: `user_email`, `cardNumber`, `X-Api-Key`.
    pub(crate) fn words_of_key(&self, key: &str, mut visit: impl FnMut(usize, Found)) {
        let text = Text::new(key);
        for at in 0..text.len() {
            if starts_word(text, at) {
                self.found(text, at, |found| visit(at, found));
            }
        }
    }
}

/// Whether a word starts at `at`: a letter after none, or a capital after a small one.
pub(crate) fn starts_word(text: Text<'_>, at: usize) -> bool {
    text.is(at, LETTER) && (!text.is_before(at, WORD) || (text.is(at, UPPER) && text.is_before(at, LOWER)))
}

/// The longest word looked up, in bytes.
pub(crate) const MAX_WORD: usize = 32;

/// A word of the text: where it ends, whether it has letters outside ASCII, and its first letters, see [`folded`].
struct Word {
    end: usize,
    high: bool,
    head: u64,
}

impl Word {
    /// The word at `at`: it ends where the letters end, or where a capital follows a small letter.
    #[inline(always)]
    fn read(text: Text<'_>, at: usize) -> Self {
        let first = text.eight(at);
        let mut word = Self { end: at, high: false, head: first | SMALL };
        let mut bytes = first;
        let mut after_small = 0;
        while word.end.wrapping_sub(at) < MAX_WORD {
            let (ends, small) = word_ends(bytes, after_small);
            if ends != 0 {
                let length = ends.trailing_zeros() & !7;
                let inside = !u64::MAX.wrapping_shl(length);
                word.high |= bytes & inside & TOP != 0;
                if word.end == at {
                    word.head &= inside;
                }
                word.end = word.end.wrapping_add(length as usize / 8);
                break;
            }
            word.high |= bytes & TOP != 0;
            word.end = word.end.wrapping_add(8);
            after_small = small >> 56;
            bytes = text.eight(word.end);
        }
        word
    }

    /// All letters from `at` to `end`.
    fn all(text: Text<'_>, at: usize, end: usize) -> Self {
        let letters = text.slice(at, end);
        Self { end, high: !letters.is_ascii(), head: folded(letters) }
    }
}

/// Of eight bytes of a word the top bit of each at which it ends, and of each that is a small letter: a word ends with the
/// letters, or at a capital behind a small letter. `after_small` is 0x80 where the bytes follow one.
#[inline]
fn word_ends(eight: u64, after_small: u64) -> (u64, u64) {
    let letters = between(eight | SMALL, b'a', b'z');
    let small = letters & (eight << 2);
    let capital = letters & !small;
    ((!(letters | eight) | (capital & ((small << 8) | after_small))) & TOP, small)
}

/// Whether a word announces a value: it ends a name that stands before it.
pub(crate) fn announces(word: &str) -> bool {
    let mut announces = false;
    lexicon()
        .found(Text::new(word), 0, |found| announces |= matches!(found.lead, Lead::Cue(_) | Lead::Key(_)));
    announces
}
