//! The erasure ledger, as `Erasures::open` reads it and `replay` goes by it.
//!
//! Oracle: what is opened is the whole lines of what was there, each with the check its text asks for; what follows the
//! last line's end is cut. A replay goes through all of them, none of which the store knows, and opening what was
//! opened changes nothing.
#![no_main]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use compliance_core::clock::{SystemClock, Timestamp};
use compliance_core::event::{Actor, Event, Recording, Sink};
use compliance_core::seal::{KeyEncryptionKey, KeyRing};
use compliance_log::audit::erasure::Erasures;
use compliance_log::audit::record::Circumstances;
use compliance_log::key_store::FileKeyStore;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

static DIR: LazyLock<PathBuf> = LazyLock::new(|| tempfile::tempdir().unwrap().keep());
static KEYS: LazyLock<Arc<FileKeyStore>> = LazyLock::new(|| {
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    Arc::new(FileKeyStore::open(DIR.join("keys"), ring).unwrap())
});

/// A replay that destroys nothing records nothing.
struct Nothing;

impl Sink for Nothing {
    fn record(&self, _: Event) -> Recording {
        unreachable!("the store knows none of the keys")
    }
}

fn has_check(line: &str) -> bool {
    let Some((stated, found)) = line.rsplit_once(' ') else { return false };
    let hash = Sha256::new_with_prefix([4]).chain_update(stated).finalize();
    let check: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    check == found
}

/// Gives lines the checks they ask for, as whoever knows the format can.
fn repair(ledger: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(ledger).ok()?;
    let mut repaired = String::new();
    for line in text.lines() {
        let (stated, _) = line.rsplit_once(' ')?;
        let hash = Sha256::new_with_prefix([4]).chain_update(stated).finalize();
        let check: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        repaired += &format!("{stated} {check}\n");
    }
    Some(repaired.into_bytes())
}

fn check(ledger: &[u8]) {
    let path = DIR.join("ledger");
    fs::write(&path, ledger).unwrap();
    let Ok(mut erasures) = Erasures::open(KEYS.clone(), &path, SystemClock) else { return };
    let opened = fs::read(&path).unwrap();
    assert!(ledger.starts_with(&opened));
    assert!(opened.is_empty() || opened.ends_with(b"\n"));
    assert!(!ledger[opened.len()..].contains(&b'\n'));
    let lines: Vec<_> = str::from_utf8(&opened).unwrap().lines().collect();
    assert!(lines.iter().all(|line| has_check(line)));
    let by = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    let report = erasures.replay(&by, &Nothing).unwrap();
    let keys: BTreeSet<_> = lines.iter().map(|line| line.split(' ').nth(1)).collect();
    assert_eq!((report.destroyed(), report.gone(), report.held(), report.unknown()), (0, 0, 0, keys.len()));
    drop(erasures);
    drop(Erasures::open(KEYS.clone(), &path, SystemClock).unwrap());
    assert_eq!(fs::read(&path).unwrap(), opened);
}

fuzz_target!(|ledger: &[u8]| {
    check(ledger);
    if let Some(repaired) = repair(ledger) {
        check(&repaired);
    }
});
