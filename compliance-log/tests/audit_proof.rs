//! Receipts for single records, anchors, and verification of what is new.

mod trail;

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, ManualClock, SystemClock, Timestamp};
use compliance_core::event::{Actor, EventKind, Sink};
use compliance_core::testing::MemorySink;
use compliance_log::audit::anchor::{Anchor, AnchorError, Anchoring, FileAnchor, PostAnchor};
use compliance_log::audit::proof::RecordProof;
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use compliance_log::audit::schedule::VerifySchedule;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditLog, CheckpointKey, FaultKind, Verdict, VerifyOptions};
use trail::{Trail, config, event, key};

#[test]
fn every_record_has_a_receipt_that_stands_by_itself() {
    let trail = Trail::new();
    trail.record(70);
    let key = key().verifying_key().clone();
    for sequence in 0..70 {
        let text = RecordProof::make(trail.path(), sequence).unwrap().to_string();
        let proof = RecordProof::parse(&text).unwrap();
        assert_eq!(proof.to_string(), text);
        let record = proof.verify(&key).unwrap();
        assert_eq!((record.sequence(), record.event()), (sequence, &event(sequence)));
    }
    assert_eq!(RecordProof::make(trail.path(), 70).unwrap_err().code(), "proof.not_covered");
    let other = CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    let proof = RecordProof::make(trail.path(), 3).unwrap();
    assert_eq!(proof.verify(other.verifying_key()).unwrap_err().code(), "checkpoint.signature");
}

#[test]
fn what_is_left_after_a_retirement_has_its_receipts() {
    let trail = Trail::new();
    trail.record(200);
    let key = key().verifying_key().clone();
    let clock = Arc::new(ManualClock::at("2027-01-01T00:00:00Z".parse().unwrap()));
    for period in [30, 20, 1] {
        let (log, _) = AuditLog::open(trail.path(), config(), clock.clone()).unwrap();
        let day = Duration::from_secs(24 * 3600);
        (0..60).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
        let by = Circumstances::new(Actor::System, clock.now());
        let report = Retention::new(RetentionPeriod::of(day * period)).retire(&log, &by).unwrap();
        let covered = log.close().unwrap().size();
        assert!(report.segments() > 0);
        for sequence in report.before()..covered {
            let proof = RecordProof::make(trail.path(), sequence).unwrap();
            let record = RecordProof::parse(&proof.to_string()).unwrap().verify(&key).unwrap();
            assert_eq!(record.sequence(), sequence);
        }
        for gone in [0, report.before() - 1, covered] {
            assert_eq!(
                RecordProof::make(trail.path(), gone).unwrap_err().code(),
                "proof.not_covered",
                "{gone}"
            );
        }
        clock.advance(day * 25);
    }
}

#[test]
fn a_receipt_that_proves_nothing_is_not_made() {
    let (trail, other) = (Trail::new(), Trail::new());
    trail.record(20);
    let log = other.open();
    (0..20).for_each(|number| drop(log.record(event(number + 1)).wait().unwrap()));
    drop(log);
    std::fs::copy(other.path().join("checkpoint"), trail.path().join("checkpoint")).unwrap();
    assert_eq!(RecordProof::make(trail.path(), 3).unwrap_err().code(), "proof.root");
}

#[test]
fn no_changed_byte_of_a_receipt_is_accepted() {
    let trail = Trail::new();
    trail.record(21);
    let key = key().verifying_key().clone();
    let text = RecordProof::make(trail.path(), 13).unwrap().to_string();
    let (mut tried, mut accepted) = (0, 0);
    for at in 0..text.len() {
        for flip in [1, 2, 0x20] {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= flip;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            tried += 1;
            accepted +=
                usize::from(RecordProof::parse(&changed).is_ok_and(|proof| proof.verify(&key).is_ok()));
        }
    }
    println!("{tried} changed receipts, {accepted} accepted");
    assert!(tried > 1000);
    assert_eq!(accepted, 0);
    let wrong_number = text.replace("index 13\n", "index 12\n");
    let refused = RecordProof::parse(&wrong_number).unwrap().verify(&key).unwrap_err();
    assert_eq!(refused.code(), "proof.root");
}

#[test]
fn an_anchor_never_takes_two_checkpoints_of_one_number() {
    let (trail, fork) = (Trail::new(), Trail::new());
    let first = trail.record(5);
    fork.record(3);
    let elsewhere = tempfile::tempdir().unwrap();
    let anchor = FileAnchor::open(elsewhere.path()).unwrap();
    let keys = [key().verifying_key().clone()];
    assert_eq!(anchor.latest(&keys), Ok(None));
    assert_eq!(anchor.publish(&first), Ok(()));
    assert_eq!(anchor.publish(&first), Ok(()), "again is no error");
    let contradiction = fork.verify().checkpoint().unwrap().clone();
    assert_eq!(contradiction.number(), first.number());
    assert_eq!(anchor.publish(&contradiction), Err(AnchorError::Contradicts));
    assert_eq!(anchor.latest(&keys).unwrap().unwrap().note(), first.note());
}

#[test]
fn a_log_is_anchored_at_an_interval_and_when_it_ends() {
    let trail = Trail::new();
    let (log, _) = AuditLog::open(trail.path(), config(), SystemClock).unwrap();
    let log = Arc::new(log);
    let (sender, seen) = std::sync::mpsc::channel();
    let anchor = PostAnchor::new(move |number, note: &str| {
        // The first attempt finds nobody there.
        let answer = if number == 1 { Err(AnchorError::Unavailable) } else { Ok(()) };
        sender.send((number, note.to_owned(), answer)).map_err(|_| AnchorError::Unavailable)?;
        answer
    });
    let anchoring = Anchoring::start(Arc::clone(&log), anchor, Duration::from_millis(1)).unwrap();
    for number in 0..3 {
        drop(log.record(event(number)).wait().unwrap());
    }
    let published = loop {
        let (number, note, answer) = seen.recv().unwrap();
        if answer.is_ok() {
            break (number, note);
        }
    };
    assert!(published.0 >= 2);
    // The status is set right after.
    while anchoring.status().published().is_none() {
        std::thread::yield_now();
    }
    assert_eq!(anchoring.status().failures(), 1);
    drop(anchoring);
    let last = seen.try_iter().last().map_or(published.1, |(_, note, _)| note);
    drop(log);
    let options = VerifyOptions::new().key(key().verifying_key().clone());
    let anchor = compliance_log::audit::checkpoint::CheckpointNote::parse(&last).unwrap();
    assert_eq!(
        verify(trail.path(), &options.anchor(anchor)).unwrap().verdict(),
        Verdict::TamperEvident { since: 3 }
    );
}

#[test]
fn only_what_is_new_is_read_again() {
    let trail = Trail::new();
    let options = || VerifyOptions::new().key(key().verifying_key().clone());
    trail.record(200);
    let first = verify(trail.path(), &options()).unwrap();
    assert_eq!((first.first(), first.records()), (0, 200));
    trail.record(50);
    let after = options().after(&first);
    let second = verify(trail.path(), &after).unwrap();
    assert_eq!((second.fault(), second.records(), second.verdict()), (None, 250, Verdict::TamperDetecting));
    assert!(second.first() > 150 && second.segments() < verify(trail.path(), &options()).unwrap().segments());

    // Whatever was rewritten, cut off or taken out since shows.
    let whole = trail.snapshot();
    let other = Trail::new();
    {
        let (log, _) =
            AuditLog::open(other.path(), config(), ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap();
        (1000..1260).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
    }
    let fault = verify(other.path(), &after).unwrap().fault().map(|fault| fault.kind());
    assert_eq!(fault, Some(FaultKind::Anchor));
    for gone in trail.segments() {
        trail.restore(&whole);
        std::fs::remove_file(&gone).unwrap();
        let name: u64 = gone.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let report = verify(trail.path(), &after).unwrap();
        let is_whole = report.fault().is_none() && !matches!(report.verdict(), Verdict::Truncated);
        // Those before the verified checkpoint's segment are for the full run.
        assert_eq!(is_whole, name < second.first(), "{name}: {report:?}");
    }
}

#[test]
fn scheduled_runs_are_recorded_and_a_fault_is_followed_by_a_full_run() {
    let trail = Trail::new();
    trail.record(100);
    let sink = MemorySink::default();
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let options = VerifyOptions::new().key(key().verifying_key().clone());
    let mut schedule = VerifySchedule::new(trail.path(), options).all_every(3);
    let by = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    let mut firsts = Vec::new();
    for _ in 0..4 {
        firsts.push(schedule.run(&by, &clock, &sink).unwrap().first());
        clock.advance(Duration::from_secs(60));
    }
    assert!(firsts[0] == 0 && firsts[1] > 0 && firsts[2] > 0 && firsts[3] == 0, "{firsts:?}");
    let seconds = schedule.seconds_since_verified(Timestamp::from_unix_seconds(240));
    assert_eq!(seconds, Some(60.0));
    let path = trail.segments().pop().unwrap();
    let mut content = std::fs::read(&path).unwrap();
    let at = content.len() - 100;
    content[at] ^= 1;
    std::fs::write(&path, &content).unwrap();
    assert!(schedule.run(&by, &clock, &sink).unwrap().verdict() != Verdict::TamperDetecting);
    assert_eq!(schedule.run(&by, &clock, &sink).unwrap().first(), 0);
    assert_eq!(schedule.seconds_since_verified(Timestamp::from_unix_seconds(240)), Some(60.0));
    let kinds: Vec<_> = sink.events().iter().map(|event| event.kind()).collect();
    assert_eq!(kinds, [EventKind::SystemTrailVerified; 6]);
}
