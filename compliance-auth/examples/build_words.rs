//! Rebuilds `data/words.fst`: `cargo run -p compliance-auth --example build_words -- LISTS_RS PASSWORDS_JSON`
//!
//! `LISTS_RS` is `src/frequency_lists.rs` of the crate `zxcvbn`, `PASSWORDS_JSON` is `src/passwords.json` of
//! the npm package `@zxcvbn-ts/language-common`; data/README.md names the versions. Prints what
//! `src/password/words.rs` has to say about the result.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest as _, Sha256};

/// Bit 0 of a word's value: it is on the blocklist. The bits above are its best rank in any list.
const BLOCKED: u64 = 1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(lists), Some(passwords)) = (arguments.next(), arguments.next()) else {
        return Err("usage: build_words LISTS_RS PASSWORDS_JSON".into());
    };
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    let lists = std::fs::read_to_string(lists)?;
    for list in lists.lines().filter(|line| line.starts_with("const ")) {
        let words_of_list = list.split('"').nth(1).ok_or("a list without a string")?;
        for (rank, word) in (1_u64..).zip(words_of_list.split(',')) {
            let value = words.entry(word.to_lowercase()).or_insert(rank << 1);
            *value = (*value).min(rank << 1);
        }
    }
    let passwords: Vec<String> = serde_json::from_slice(&std::fs::read(passwords)?)?;
    for (rank, word) in (1_u64..).zip(&passwords) {
        *words.entry(word.to_lowercase()).or_insert(rank << 1) |= BLOCKED;
    }
    words.remove("");
    let mut builder = fst::MapBuilder::memory();
    for (word, value) in &words {
        builder.insert(word, *value)?;
    }
    let bytes = builder.into_inner()?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/words.fst");
    std::fs::write(target, &bytes)?;
    let blocked = words.values().filter(|value| *value & BLOCKED == BLOCKED).count();
    let longest = words.keys().map(|word| word.chars().count()).max();
    println!("{} bytes, {} words, {blocked} blocked, longest {longest:?}", bytes.len(), words.len());
    println!("sha256 {:x?}", Sha256::digest(&bytes));
    Ok(())
}
