//! A trail of one segment, the bytes as they are and with every frame's check made right again.
//!
//! Oracle: where `verify` under the key that signed the seed finds nothing wrong, the records its last checkpoint
//! covers are the seed's, and `records` reads as many as `verify` counted.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use compliance_core::finding::Outcome;
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditError, CheckpointKey, Record, VerifyOptions};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

const SEED: &[u8] = include_bytes!("../seeds/segment/closed");
static DIR: LazyLock<PathBuf> = LazyLock::new(|| tempfile::tempdir().unwrap().keep());
static OPTIONS: LazyLock<VerifyOptions> = LazyLock::new(|| {
    let key = CheckpointKey::from_seed("fuzz.example/audit", [7; CheckpointKey::SEED_LEN]).unwrap();
    VerifyOptions::new().key(key.verifying_key().clone()).read_events()
});
static WRITTEN: LazyLock<Vec<Record>> = LazyLock::new(|| {
    put(&DIR, SEED);
    let written = records(&*DIR).unwrap().collect::<Result<_, AuditError>>().unwrap();
    assert_eq!(verify(&*DIR, &OPTIONS).unwrap().outcome(), Outcome::Passed);
    written
});

fn put(dir: &Path, segment: &[u8]) {
    fs::write(dir.join("00000000000000000000.seg"), segment).unwrap();
}

/// Gives frames the checks their bodies ask for, as whoever knows the format can.
fn repair(mut rest: &mut [u8]) {
    while let [0xC5, kind, a, b, c, d, after @ ..] = rest {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some((body, after)) = after.split_at_mut_checked(len) else { return };
        let Some((check, after)) = after.split_at_mut_checked(8) else { return };
        let prefix = if *kind == 1 { 0 } else { *kind };
        let hash = Sha256::new_with_prefix([prefix]).chain_update(body).finalize();
        check.copy_from_slice(&hash[..8]);
        rest = after;
    }
}

fn check(segment: &[u8]) {
    let written = &*WRITTEN;
    put(&DIR, segment);
    let Ok(report) = verify(&*DIR, &OPTIONS) else { return };
    if report.outcome() == Outcome::Refused {
        return;
    }
    let found: Vec<Record> = records(&*DIR).unwrap().map_while(Result::ok).collect();
    assert_eq!(found.len() as u64, report.records(), "{report:?}");
    let covered = report.checkpoint().map_or(0, |checkpoint| checkpoint.size()) as usize;
    assert_eq!(found.get(..covered), written.get(..covered));
}

fuzz_target!(|segment: &[u8]| {
    check(segment);
    let mut repaired = segment.to_vec();
    repair(&mut repaired);
    check(&repaired);
});
