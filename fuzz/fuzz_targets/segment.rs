//! A trail of one segment, the bytes as they are and with every frame's check made right again; and the same bytes behind
//! the last segment of a trail whose earlier ones are gone, with a record that says they were retired.
//!
//! Oracle: where `verify` under the key that signed the seed finds nothing wrong, the records its last checkpoint
//! covers are the seed's, and `records` reads as many as `verify` counted. Nothing that nobody signed makes up for segments
//! that are gone.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use compliance_core::class::Internal;
use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, Event, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditConfig, AuditError, AuditLog, CheckpointKey, Record, VerifyOptions};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

const SEED: &[u8] = include_bytes!("../seeds/segment/closed");
static DIR: LazyLock<PathBuf> = LazyLock::new(|| tempfile::tempdir().unwrap().keep());
static OPTIONS: LazyLock<VerifyOptions> =
    LazyLock::new(|| VerifyOptions::new().key(key().verifying_key().clone()).read_events());

/// The last segment of a trail, alone in a directory: its name, its bytes, and how many records there were.
static LATER: LazyLock<(PathBuf, Vec<u8>, u64)> = LazyLock::new(|| {
    let whole = tempfile::tempdir().unwrap();
    let config = AuditConfig::new(key()).on_any_storage().segment_len(4096);
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let (log, _) = AuditLog::open(whole.path(), config, clock).unwrap();
    for _ in 0..60 {
        drop(log.record(event(EventKind::SystemStarted, 0)).wait().unwrap());
    }
    let records = log.close().unwrap().size();
    let segments = fs::read_dir(whole.path()).unwrap().map(|entry| entry.unwrap().path());
    let last = segments.filter(|path| path.extension().is_some_and(|end| end == "seg")).max().unwrap();
    let alone = tempfile::tempdir().unwrap().keep().join(last.file_name().unwrap());
    (alone, fs::read(last).unwrap(), records)
});

fn key() -> CheckpointKey {
    CheckpointKey::from_seed("fuzz.example/audit", [7; CheckpointKey::SEED_LEN]).unwrap()
}

fn event(kind: EventKind, before: u64) -> Event {
    let before = Internal(before as i64 & i64::MAX);
    let event = Event::builder(kind, Outcome::Passed, Actor::System, Timestamp::UNIX_EPOCH);
    event.field("before", before).build().unwrap()
}
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

/// A frame as whoever knows the format makes it: the next record, which says that everything before it was retired.
fn lie(at: usize, sequence: u64) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&u32::try_from(at).unwrap().to_be_bytes());
    body.extend_from_slice(&sequence.to_be_bytes());
    body.extend_from_slice(&0_i128.to_be_bytes());
    event(EventKind::SystemTrailRetired, sequence).encode(&mut body);
    let mut frame = vec![0xC5, 1];
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&body);
    frame.extend_from_slice(&[0; 8]);
    frame
}

fn check_later(tail: &[u8]) {
    let (path, segment, records) = &*LATER;
    for tail in [tail.to_vec(), [&lie(segment.len(), *records)[..], tail].concat()] {
        let mut segment = segment.clone();
        segment.extend_from_slice(&tail);
        repair(&mut segment);
        fs::write(path, segment).unwrap();
        let report = verify(path.parent().unwrap(), &OPTIONS).unwrap();
        assert_eq!(report.outcome(), Outcome::Refused, "{report:?}");
    }
}

fuzz_target!(|segment: &[u8]| {
    check_later(segment);
    check(segment);
    let mut repaired = segment.to_vec();
    repair(&mut repaired);
    check(&repaired);
});
