//! `CheckpointNote::parse` and `verify`.
//!
//! Oracle: a note is kept to the byte; one text was ever signed under the key, and no other verifies under it.
#![no_main]

use std::sync::LazyLock;

use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::{CheckpointKey, VerifyingKey};
use libfuzzer_sys::fuzz_target;

const SIGNED: &str = include_str!("../seeds/checkpoint/signed");
static KEY: LazyLock<VerifyingKey> = LazyLock::new(|| {
    let key = CheckpointKey::from_seed("fuzz.example/audit", [7; CheckpointKey::SEED_LEN]).unwrap();
    CheckpointNote::parse(SIGNED).unwrap().verify(key.verifying_key()).unwrap();
    key.verifying_key().clone()
});

fn text(note: &str) -> Option<&str> {
    note.rsplit_once("\n\n").map(|(text, _)| text)
}

fuzz_target!(|input: &str| {
    let Ok(note) = CheckpointNote::parse(input) else { return };
    assert_eq!(note.note(), input);
    assert_eq!(input.lines().next(), Some(note.origin()));
    if let Ok(signed) = note.verify(&KEY) {
        assert_eq!(text(signed.note()), text(SIGNED));
        assert_eq!(text(input), text(SIGNED));
    }
});
