//! `RecordProof::parse` and `verify`.
//!
//! Oracle: a receipt has one text; under the key that signed the seed, the only record that was ever proven is the
//! seed's.
#![no_main]

use std::sync::LazyLock;

use compliance_log::audit::proof::RecordProof;
use compliance_log::audit::{CheckpointKey, Record, VerifyingKey};
use libfuzzer_sys::fuzz_target;

const SEED: &str = include_str!("../seeds/proof/record");
static KEY: LazyLock<VerifyingKey> = LazyLock::new(|| {
    let key = CheckpointKey::from_seed("fuzz.example/audit", [7; CheckpointKey::SEED_LEN]).unwrap();
    key.verifying_key().clone()
});
static PROVEN: LazyLock<Record> = LazyLock::new(|| RecordProof::parse(SEED).unwrap().verify(&KEY).unwrap());

fuzz_target!(|input: &str| {
    let Ok(proof) = RecordProof::parse(input) else { return };
    assert_eq!(proof.to_string(), input);
    if let Ok(record) = proof.verify(&KEY) {
        assert_eq!(record, *PROVEN);
    }
});
