//! The trail through its public API: what is recorded, kept, reopened and read back.

mod trail;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::class::Internal;
use compliance_core::clock::{Clock, ManualClock, SystemClock, Timestamp};
use compliance_core::event::{Actor, Event, EventKind, Recording, Sink};
use compliance_core::finding::Outcome;
use compliance_core::testing::SinkConformance;
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{
    AuditConfig, AuditLog, CheckpointKey, Completeness, FaultKind, Verdict, VerifyOptions,
};
use tempfile::TempDir;
use trail::{Trail, config, event, key};

#[test]
fn a_log_keeps_the_contract_of_a_sink() {
    struct Kept(AuditLog, TempDir);
    impl Sink for Kept {
        fn record(&self, event: Event) -> Recording {
            self.0.record(event)
        }
    }
    let make = || {
        let dir = tempfile::tempdir().unwrap();
        let (log, _) = AuditLog::open(dir.path(), config(), SystemClock).unwrap();
        Kept(log, dir)
    };
    let read_back =
        |kept: &Kept| records(kept.1.path()).unwrap().map(|record| record.unwrap().event().clone()).collect();
    assert_eq!(SinkConformance::new(make, read_back).run(), Ok(SinkConformance::RULES));
}

#[test]
fn a_receipt_says_disk_and_the_next_number() {
    let trail = Trail::new();
    let log = trail.open();
    for number in 0..3 {
        let event = event(number);
        let receipt = log.record(event.clone()).wait().unwrap();
        assert_eq!((receipt.sequence(), receipt.durability()), (number, log.durability()));
        receipt.redeem(&event, log.durability()).unwrap();
    }
}

#[test]
fn numbers_go_on_after_reopening() {
    let trail = Trail::new();
    trail.record(5);
    let (log, report) = AuditLog::open(trail.path(), config(), SystemClock).unwrap();
    assert_eq!((report.records(), report.uncovered(), report.torn_bytes()), (5, 0, 0));
    assert!(report.was_closed());
    assert_eq!(log.record(event(5)).wait().unwrap().sequence(), 5);
    drop(log);
    let sequences: Vec<_> = records(trail.path()).unwrap().map(|record| record.unwrap().sequence()).collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn dropping_the_log_writes_what_waits() {
    let trail = Trail::new();
    let log = trail.open();
    (0..1000).for_each(|number| drop(log.record(event(number))));
    drop(log);
    assert_eq!(records(trail.path()).unwrap().count(), 1000);
    assert_eq!(trail.verify().completeness(), Completeness::Closed);
}

#[test]
fn a_second_writer_is_refused() {
    const RECORDS: u64 = 200;
    let trail = Trail::new();
    let log = trail.open();
    let refused = std::thread::scope(|scope| {
        let writer =
            scope.spawn(|| (0..RECORDS).for_each(|number| drop(log.record(event(number)).wait().unwrap())));
        let mut refused = 0;
        while refused < 100 || !writer.is_finished() {
            let second = AuditLog::open(trail.path(), config(), SystemClock);
            assert_eq!(second.unwrap_err().code(), "audit.locked");
            refused += 1;
        }
        refused
    });
    drop(log);
    assert_eq!((trail.verify().verdict(), trail.verify().records()), (Verdict::TamperDetecting, RECORDS));
    assert!(AuditLog::open(trail.path(), config(), SystemClock).is_ok());
    println!("two writers: {refused} second ones refused, {RECORDS} records of the first");
}

/// Somebody tidies up.
#[cfg(unix)]
#[test]
fn a_second_writer_is_refused_where_the_lock_file_was_removed() {
    let trail = Trail::new();
    let log = trail.open();
    fs::remove_file(trail.path().join("lock")).unwrap();
    let second = AuditLog::open(trail.path(), config(), SystemClock);
    assert_eq!(second.unwrap_err().code(), "audit.locked");
    drop(log);
    assert!(AuditLog::open(trail.path(), config(), SystemClock).is_ok());
}

#[test]
fn a_trail_is_continued_only_with_its_key() {
    let trail = Trail::new();
    trail.record(3);
    let other = CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    let opened = AuditLog::open(trail.path(), AuditConfig::new(other).on_any_storage(), SystemClock);
    assert_eq!(opened.unwrap_err().code(), "audit.other_key");
}

#[test]
fn segments_are_closed_by_size_and_by_a_checkpoint() {
    let trail = Trail::new();
    trail.record(200);
    assert!(trail.segments().len() > 3, "{:?}", trail.segments());
    let report = trail.verify();
    assert_eq!((report.verdict(), report.records()), (Verdict::TamperDetecting, 200));
    assert_eq!(report.segments(), trail.segments().len() as u64);
}

#[test]
fn time_comes_from_the_clock_and_may_stand_still_or_run_backwards() {
    let trail = Trail::new();
    let noon: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::at(noon));
    let (log, _) = AuditLog::open(trail.path(), config(), Arc::clone(&clock)).unwrap();
    log.record(event(0)).wait().unwrap().redeem(&event(0), log.durability()).unwrap();
    log.record(event(1)).wait().unwrap().redeem(&event(1), log.durability()).unwrap();
    clock.set("2001-01-01T00:00:00Z".parse().unwrap());
    log.record(event(2)).wait().unwrap().redeem(&event(2), log.durability()).unwrap();
    drop(log);
    let times: Vec<_> = records(trail.path()).unwrap().map(|record| record.unwrap().recorded_at()).collect();
    assert_eq!(times, [noon, noon, clock.now()]);
    assert_eq!(trail.verify().verdict(), Verdict::TamperDetecting);
    println!("clock: 2 equal times and 1 backwards taken, in order");
}

#[test]
fn texts_of_every_sort_come_back_as_they_were() {
    let longest = "x".repeat(Event::MAX_TEXT_LEN);
    let texts =
        ["", "\0", "\u{1F}", "a\u{1F}b", "\u{202E}gnp.exe", "\u{C5}\u{1}\u{2}", "{\"a\":1}\r\n", &longest];
    let trail = Trail::new();
    let log = trail.open();
    let events: Vec<_> = texts
        .iter()
        .map(|text| {
            Event::builder(EventKind::DataRead, Outcome::Passed, Actor::System, Timestamp::UNIX_EPOCH)
                .field("text", Internal(*text))
                .build()
                .unwrap()
        })
        .collect();
    events.iter().for_each(|event| drop(log.record(event.clone())));
    drop(log);
    let found: Vec<_> =
        records(trail.path()).unwrap().map(|record| record.unwrap().event().clone()).collect();
    assert_eq!(found, events);
    println!("texts: {} came back as they were, the longest of {} bytes", found.len(), longest.len());
}

#[cfg(feature = "key-store")]
#[test]
fn a_sealed_value_of_the_largest_size_comes_back() {
    use compliance_core::random::SystemRandom;
    use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyStore as _, MemoryKeyStore, SealContext};

    let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let key = keys.obtain(&KeyOwner::new("subject", "user-1").unwrap(), &SystemRandom).unwrap();
    let context = || SealContext::new("audit.field").record(b"user-1");
    let sealed = |len: usize| key.seal(context(), &vec![0; len], &SystemRandom);
    let longest = (0..=Event::MAX_SEALED_LEN).rev().find_map(|len| sealed(len).ok()).unwrap();
    let len = longest.to_bytes().len();
    assert!(len > Event::MAX_SEALED_LEN - 128 && len <= Event::MAX_SEALED_LEN, "{len}");
    let mut builder =
        Event::builder(EventKind::DataRead, Outcome::Passed, Actor::System, Timestamp::UNIX_EPOCH);
    for name in ["a", "b", "c", "d"] {
        builder = builder.field(name, longest.clone());
    }
    let event = builder.build().unwrap();
    let trail = Trail::new();
    let log = trail.open();
    drop(log.record(event.clone()).wait().unwrap());
    log.close().unwrap();
    let found = records(trail.path()).unwrap().next().unwrap().unwrap();
    assert_eq!(found.event(), &event);
    assert_eq!(trail.verify().verdict(), Verdict::TamperDetecting);
}

/// More than a trail takes is told with both sizes, before anything is written, and the trail goes on.
#[cfg(feature = "key-store")]
#[test]
fn an_event_beyond_the_limit_is_refused_and_the_trail_goes_on() {
    use compliance_core::event::RecordErrorKind;

    let trail = Trail::new();
    let log = trail.open();
    let mut kept = 0;
    for fields in [15, 16, 18, 1] {
        match log.record(trail::sealed_fields(fields)).wait() {
            Ok(receipt) => {
                assert_eq!(receipt.sequence(), kept);
                kept += 1;
            }
            Err(error) => match error.kind() {
                RecordErrorKind::TooLarge { found, max } => assert!(found > max && max == 1024 * 1024),
                other => panic!("{other}"),
            },
        }
    }
    assert_eq!(kept, 2, "15 fields of 64 KiB fit into 1 MiB, 16 do not");
    log.close().unwrap();
    assert_eq!(trail.verify().records(), kept);
}

#[test]
fn a_text_that_is_no_utf8_is_no_record() {
    use compliance_log::audit::Record;

    let trail = Trail::new();
    trail.record(1);
    let segment = fs::read(&trail.segments()[0]).unwrap();
    let (at, len, _) =
        trail::frames(&segment).into_iter().find(|(_, _, kind)| *kind == trail::RECORD).unwrap();
    let record = &segment[at + 6..at + len - 8];
    assert!(Record::decode(record).is_ok());
    for (name, bad) in [
        (&b"user-0"[..], &b"user-\xFF"[..]),
        (b"staff-17", b"staff-\xC3\x28"),
        (b"support", b"supp\xED\xA0\x80"),
    ] {
        let place = record.windows(name.len()).position(|window| window == name).unwrap();
        let mut changed = record.to_vec();
        changed[place..place + bad.len()].copy_from_slice(bad);
        assert_eq!(Record::decode(&changed).unwrap_err().code(), "audit.record_form", "{bad:?}");
    }
}

#[test]
fn values_cannot_move_over_a_field_boundary_unseen() {
    // Every text of at most two parts, in every pair of fields, and alone.
    const PARTS: [&str; 8] = ["alice", "\u{1F}", "\0", "\0\0\0\u{5}", "|", "\n", "\",\"", "b"];
    let mut texts = vec![String::new()];
    texts.extend(PARTS.map(str::to_owned));
    texts.extend(PARTS.iter().flat_map(|first| PARTS.map(|second| format!("{first}{second}"))));
    let event = |fields: &[(&'static str, &str)]| {
        let event =
            Event::builder(EventKind::DataRead, Outcome::Passed, Actor::System, Timestamp::UNIX_EPOCH);
        let event = fields.iter().fold(event, |event, (name, text)| event.field(name, Internal(*text)));
        event.build().unwrap().digest().to_string()
    };
    let (mut digests, mut tried) = (std::collections::BTreeSet::new(), 0);
    for (number, first) in texts.iter().enumerate() {
        for second in &texts {
            digests.insert(event(&[("a", first), ("b", second)]));
            tried += 1;
        }
        // Two of the same parts in another order of parts are one text.
        if !texts[..number].contains(first) {
            digests.insert(event(&[("a", first)]));
            digests.insert(event(&[("b", first)]));
            tried += 2;
        }
    }
    assert_eq!(digests.len(), tried, "two events have one digest");
    println!("field boundaries: {tried} events, 0 collisions");
}

#[test]
fn checkpoints_come_without_records_too() {
    let trail = Trail::new();
    let config = config().checkpoint_interval(Duration::from_millis(1));
    let (log, _) = AuditLog::open(trail.path(), config, SystemClock).unwrap();
    let first = log.checkpoint().unwrap();
    // Each waits for the writer, which makes one whenever the interval is over.
    let later = std::iter::repeat_with(|| log.checkpoint().unwrap())
        .take(100_000)
        .enumerate()
        .find(|(asked, checkpoint)| checkpoint.number() > first.number() + *asked as u64 + 1);
    assert_eq!(later.unwrap().1.size(), 0);
}

#[test]
fn a_checkpoint_covers_what_was_handed_over_before_it() {
    let trail = Trail::new();
    let log = trail.open();
    (0..50).for_each(|number| drop(log.record(event(number))));
    let checkpoint = log.checkpoint().unwrap();
    assert_eq!(checkpoint.size(), 50);
    assert_eq!(fs::read_to_string(trail.path().join("checkpoint")).unwrap(), checkpoint.note());
    let closing = log.close().unwrap();
    assert!(closing.is_closing());
    assert_eq!(closing.root(), checkpoint.root());
}

#[test]
fn what_is_verified_while_it_is_written_is_never_called_tampered() {
    let trail = Trail::new();
    let log = trail.open();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..600 {
                log.record(event(number)).wait().unwrap().redeem(&event(number), log.durability()).unwrap();
            }
        });
        let mut seen = 0;
        while !writer.is_finished() {
            let report =
                verify(trail.path(), &VerifyOptions::new().key(key().verifying_key().clone())).unwrap();
            assert_eq!(report.verdict(), Verdict::TamperDetecting, "{report:?}");
            assert!(report.records() >= seen);
            seen = report.records();
        }
    });
    drop(log);
    assert_eq!(trail.verify().records(), 600);
}

#[test]
fn a_directory_that_is_none_is_an_error_not_a_panic() {
    let trail = Trail::new();
    let file = trail.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(AuditLog::open(&file, config(), SystemClock).unwrap_err().code(), "audit.io");
    assert_eq!(verify(&file, &VerifyOptions::new()).unwrap_err().code(), "audit.io");
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(verify(empty.path(), &VerifyOptions::new()).unwrap_err().code(), "audit.no_trail");
}

#[test]
fn every_code_stands_in_the_readme() {
    let readme = include_str!("../README.md");
    for kind in FaultKind::ALL {
        let row = format!("| `{}` |", kind.code());
        assert_eq!(readme.matches(&row).count(), 1, "{row}");
    }
}
