//! Anchors are compared with the trail, by whoever runs the verification; and verification runs beside the writer and over
//! changes of key.

mod trail;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use compliance_core::clock::{ManualClock, SystemClock, Timestamp};
use compliance_core::event::{Actor, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::testing::MemorySink;
use compliance_log::audit::anchor::{Anchor, AnchorError, Anchoring, FileAnchor, PostAnchor};
use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::schedule::VerifySchedule;
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{
    AuditConfig, AuditLog, CheckpointKey, Completeness, FaultKind, SignedCheckpoint, Verdict, VerifyOptions,
    VerifyReport, VerifyingKey,
};
use trail::{Trail, config, event, forge, frames, key};

fn with_key() -> VerifyOptions {
    VerifyOptions::new().key(key().verifying_key().clone())
}

fn keys() -> [VerifyingKey; 1] {
    [key().verifying_key().clone()]
}

fn note(checkpoint: &SignedCheckpoint) -> CheckpointNote {
    CheckpointNote::parse(checkpoint.note()).unwrap()
}

fn run(schedule: &mut VerifySchedule, sink: &MemorySink) -> VerifyReport {
    let by = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    schedule.run(&by, &ManualClock::at(Timestamp::UNIX_EPOCH), sink).unwrap()
}

fn last_outcome(sink: &MemorySink) -> Outcome {
    sink.events().last().unwrap().outcome()
}

/// A trail of the same key with another history.
fn rewritten(records: u64) -> Trail {
    let trail = Trail::new();
    let log = trail.open();
    (0..records).for_each(|number| drop(log.record(event(number + 1)).wait().unwrap()));
    drop(log);
    trail
}

#[test]
fn a_schedule_compares_with_the_latest_anchor_each_time() {
    let trail = Trail::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let anchor = Arc::new(FileAnchor::open(elsewhere.path()).unwrap());
    let (sink, asked) = (MemorySink::default(), Arc::clone(&anchor));
    let mut schedule =
        VerifySchedule::new(trail.path(), with_key()).anchored_by(move || asked.latest(&keys()));
    trail.record(20);
    assert_eq!(run(&mut schedule, &sink).verdict(), Verdict::TamperDetecting, "there is no anchor yet");
    for size in [40, 60] {
        anchor.publish(&trail.record(20)).unwrap();
        assert_eq!(run(&mut schedule, &sink).verdict(), Verdict::TamperEvident { since: size });
        assert_eq!(last_outcome(&sink), Outcome::Passed);
    }
    // Whoever has the key writes another history.
    trail.restore(&rewritten(80).snapshot());
    let report = run(&mut schedule, &sink);
    assert_eq!(report.fault().map(|fault| fault.kind()), Some(FaultKind::Anchor));
    assert_eq!(last_outcome(&sink), Outcome::Refused);
    // With the anchors removed, what was heard of them is not forgotten.
    fs::remove_dir_all(elsewhere.path()).unwrap();
    fs::create_dir(elsewhere.path()).unwrap();
    assert_eq!(run(&mut schedule, &sink).verdict(), Verdict::Tampered);
}

#[test]
fn without_an_anchor_to_be_had_nothing_counts_as_verified() {
    let trail = Trail::new();
    trail.record(20);
    let (sink, is_there) = (MemorySink::default(), Arc::new(AtomicBool::new(false)));
    let asked = Arc::clone(&is_there);
    let latest = move || if asked.load(Ordering::Relaxed) { Ok(None) } else { Err(AnchorError::Unavailable) };
    let mut schedule = VerifySchedule::new(trail.path(), with_key()).anchored_by(latest);
    assert!(run(&mut schedule, &sink).fault().is_none());
    assert_eq!(last_outcome(&sink), Outcome::Review);
    assert_eq!(schedule.seconds_since_verified(Timestamp::UNIX_EPOCH), None);
    is_there.store(true, Ordering::Relaxed);
    assert!(run(&mut schedule, &sink).fault().is_none());
    assert_eq!(schedule.seconds_since_verified(Timestamp::UNIX_EPOCH), Some(0.0));
}

#[test]
fn a_false_anchor_is_not_kept() {
    let trail = Trail::new();
    trail.record(20);
    let theirs = CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    let other = Trail::new();
    let (log, _) =
        AuditLog::open(other.path(), AuditConfig::new(theirs).on_any_storage(), SystemClock).unwrap();
    let (_, false_one) = (log.checkpoint().unwrap(), note(&log.close().unwrap()));
    let mut answers = vec![Some(false_one), None].into_iter();
    let mut schedule =
        VerifySchedule::new(trail.path(), with_key()).anchored_by(move || Ok(answers.next().flatten()));
    let (sink, clock) = (MemorySink::default(), ManualClock::at(Timestamp::UNIX_EPOCH));
    let by = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    assert_eq!(schedule.run(&by, &clock, &sink).unwrap_err().code(), "audit.anchor");
    assert_eq!(last_outcome(&sink), Outcome::Review);
    assert!(schedule.run(&by, &clock, &sink).unwrap().fault().is_none());
}

/// Nor one that came while the trail was damaged, so that nobody looked at its signature, or to a verifier without a key.
#[test]
fn a_false_anchor_is_not_kept_whatever_else_is_found() {
    for (options, is_damaged) in [(with_key(), true), (VerifyOptions::new(), false)] {
        let trail = Trail::new();
        trail.record(20);
        let whole = trail.snapshot();
        let theirs = CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
        let (other, config) = (Trail::new(), AuditConfig::new(theirs).on_any_storage());
        let (log, _) = AuditLog::open(other.path(), config, SystemClock).unwrap();
        (0..40).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
        for _ in 0..20 {
            drop(log.checkpoint().unwrap());
        }
        let mut answers = vec![Some(note(&log.close().unwrap())), None].into_iter();
        let mut schedule =
            VerifySchedule::new(trail.path(), options).anchored_by(move || Ok(answers.next().flatten()));
        if is_damaged {
            let segment = &trail.segments()[0];
            let mut content = fs::read(segment).unwrap();
            content[100] ^= 1;
            fs::write(segment, content).unwrap();
        }
        let sink = MemorySink::default();
        let _report = run(&mut schedule, &sink);
        assert_eq!(last_outcome(&sink), Outcome::Refused);
        trail.restore(&whole);
        assert_eq!(run(&mut schedule, &sink).fault(), None);
        assert_eq!(last_outcome(&sink), Outcome::Passed);
    }
}

/// Somebody with the key takes trail and anchors back to yesterday, and writes another today.
#[test]
fn an_anchor_that_is_known_is_not_given_up_for_an_older_or_another_one() {
    const NUMBER: u64 = 30;
    let trail = Trail::new();
    let yesterday = note(&trail.record(20));
    let then = trail.snapshot();
    let write = |from: u64| {
        let log = trail.open();
        (0..20).for_each(|number| drop(log.record(event(from + number)).wait().unwrap()));
        while log.checkpoint().unwrap().number() < NUMBER {}
        note(&log.close().unwrap())
    };
    let today = write(20);
    trail.restore(&then);
    let sink = MemorySink::default();
    let schedule = |answer: CheckpointNote| {
        let pinned = with_key().anchor(today.clone());
        VerifySchedule::new(trail.path(), pinned).anchored_by(move || Ok(Some(answer.clone())))
    };
    assert_eq!(run(&mut schedule(yesterday), &sink).verdict(), Verdict::Truncated);
    // As many checkpoints, over other records.
    let other = write(27);
    let fault = run(&mut schedule(other), &sink).fault().map(|fault| fault.kind());
    assert_eq!(fault, Some(FaultKind::Anchor));
}

/// It came late, after what it is about had been verified without it.
#[test]
fn an_anchor_from_before_what_was_verified_is_compared_with_everything() {
    let (trail, real) = (rewritten(200), Trail::new());
    let late = note(&real.record(5));
    let sink = MemorySink::default();
    let mut answers = vec![None, None, Some(late)].into_iter();
    let latest = move || Ok(answers.next().flatten());
    let mut schedule = VerifySchedule::new(trail.path(), with_key()).anchored_by(latest);
    assert_eq!(run(&mut schedule, &sink).first(), 0);
    let report = run(&mut schedule, &sink);
    assert!(report.first() > 5 && report.fault().is_none());
    assert_eq!(run(&mut schedule, &sink).fault().map(|fault| fault.kind()), Some(FaultKind::Anchor));
}

#[test]
fn a_contradiction_is_recorded_once() {
    let trail = Trail::new();
    let (log, _) = AuditLog::open(trail.path(), config(), SystemClock).unwrap();
    let anchor = PostAnchor::new(|_, _: &str| Err(AnchorError::Contradicts));
    let anchoring = Anchoring::start(Arc::new(log), anchor, Duration::from_millis(1)).unwrap();
    while anchoring.status().failures() < 5 {
        std::thread::yield_now();
    }
    assert_eq!(anchoring.status().last_error(), Some(AnchorError::Contradicts));
    drop(anchoring);
    let told: Vec<_> = records(trail.path()).unwrap().map(|record| record.unwrap().event().clone()).collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].kind(), told[0].outcome()), (EventKind::SystemTrailVerified, Outcome::Refused));
}

#[test]
fn what_is_no_checkpoint_hides_none() {
    let trail = Trail::new();
    let (first, second) = (trail.record(3), trail.record(3));
    let elsewhere = tempfile::tempdir().unwrap();
    let anchor = FileAnchor::open(elsewhere.path()).unwrap();
    for checkpoint in [&first, &second] {
        anchor.publish(checkpoint).unwrap();
    }
    let put = |number: u64, content: &[u8]| {
        fs::write(elsewhere.path().join(format!("{number:020}.checkpoint")), content).unwrap();
    };
    put(u64::MAX, b"garbage");
    put(u64::MAX - 1, &[0xFF; 100_000]);
    put(u64::MAX - 2, first.note().as_bytes());
    fs::create_dir(elsewhere.path().join(format!("{:020}.checkpoint", u64::MAX - 3))).unwrap();
    let theirs = CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    let other = tempfile::tempdir().unwrap();
    let (log, _) =
        AuditLog::open(other.path(), AuditConfig::new(theirs).on_any_storage(), SystemClock).unwrap();
    put(0, log.close().unwrap().note().as_bytes());
    assert_eq!(anchor.latest(&keys()).unwrap().unwrap().note(), second.note());
    assert_eq!(anchor.latest(&[]), Ok(None));
}

#[test]
fn verifying_goes_on_over_a_change_of_key() {
    let trail = Trail::new();
    let key = |seed| CheckpointKey::from_seed("test.example/audit", [seed; 32]).unwrap();
    let open = |config: AuditConfig| {
        let config = config.on_any_storage().segment_len(4096).checkpoint_every(16);
        AuditLog::open(trail.path(), config, ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap().0
    };
    let record = |log: AuditLog| {
        (0..40).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
        log.close().unwrap()
    };
    let anchor = note(&record(open(AuditConfig::new(key(7)))));
    record(open(AuditConfig::new(key(8)).rotate_from(Box::new(key(7)))));
    let options = |seed| VerifyOptions::new().key(key(seed).verifying_key().clone());
    for seed in [7, 8] {
        // The anchor is the old key's.
        let whole = verify(trail.path(), &options(seed).anchor(anchor.clone())).unwrap();
        assert_eq!(whole.verdict(), Verdict::TamperEvident { since: 40 }, "{seed}");
        assert_eq!(whole.keys(), [7, 8].map(|seed| key(seed).verifying_key().clone()));
        let sink = MemorySink::default();
        let mut schedule =
            VerifySchedule::new(trail.path(), options(seed).anchor(anchor.clone())).all_every(4);
        for _ in 0..6 {
            record(open(AuditConfig::new(key(8))));
            assert_eq!(run(&mut schedule, &sink).fault(), None, "{seed}");
        }
    }
    // An earlier run's word counts for the trail it read, under the key that one ended with.
    let other = Trail::new();
    let log = AuditLog::open(other.path(), config(), ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap().0;
    (0..40).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
    drop(log);
    let earlier = verify(trail.path(), &options(7)).unwrap();
    let report = verify(other.path(), &options(7).after(&earlier)).unwrap();
    assert_eq!(report.fault().map(|fault| fault.kind()), Some(FaultKind::OtherKey));
}

/// What a verifier goes on from may be retired before it does.
#[test]
fn a_run_goes_on_from_what_was_retired_meanwhile() {
    use compliance_log::audit::retention::{Retention, RetentionPeriod};
    let trail = Trail::new();
    trail.record(50);
    let earlier = verify(trail.path(), &with_key()).unwrap();
    let clock = Arc::new(ManualClock::at("2030-01-01T00:00:00Z".parse().unwrap()));
    let (log, _) = AuditLog::open(trail.path(), config(), clock.clone()).unwrap();
    (0..100).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
    clock.advance(Duration::from_secs(3600));
    let by = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    let retention = Retention::new(RetentionPeriod::of(Duration::from_secs(60)));
    assert!(retention.retire(&log, &by).unwrap().before() > 60);
    drop(log);
    let report = verify(trail.path(), &with_key().after(&earlier)).unwrap();
    assert_eq!((report.fault(), report.verdict()), (None, Verdict::TamperDetecting));
    fs::remove_file(&trail.segments()[0]).unwrap();
    let report = verify(trail.path(), &with_key().after(&earlier)).unwrap();
    assert_eq!(report.fault().map(|fault| fault.kind()), Some(FaultKind::SegmentMissing));
}

#[test]
fn a_torn_commit_is_a_review_and_no_failure() {
    let trail = Trail::new();
    trail.record(100);
    let last = trail.segments().pop().unwrap();
    forge(&last, 100, &event(100));
    let content = fs::read(&last).unwrap();
    let (at, len, _) = *frames(&content).last().unwrap();
    fs::write(&last, &content[..at + len / 2]).unwrap();
    let sink = MemorySink::default();
    let mut schedule = VerifySchedule::new(trail.path(), with_key());
    for round in 0..2 {
        let report = run(&mut schedule, &sink);
        assert!(matches!(report.completeness(), Completeness::Torn { .. }));
        assert_eq!(last_outcome(&sink), Outcome::Review);
        assert_eq!(schedule.seconds_since_verified(Timestamp::UNIX_EPOCH), Some(0.0));
        assert_eq!(report.first() > 0, round > 0, "the next one goes on from there");
    }
}

/// Whatever a verifier sees of a commit under way.
#[test]
fn a_trail_that_is_written_verifies() {
    let trail = Trail::new();
    let (log, _) = AuditLog::open(trail.path(), config(), SystemClock).unwrap();
    let (sink, is_over) = (MemorySink::default(), AtomicBool::new(false));
    let mut schedule = VerifySchedule::new(trail.path(), with_key()).all_every(5);
    std::thread::scope(|scope| {
        for caller in 0..4 {
            let (log, is_over) = (&log, &is_over);
            scope.spawn(move || {
                let mut number = caller;
                while !is_over.load(Ordering::Relaxed) && number < 40_000 {
                    drop(log.record(event(number)));
                    number += 4;
                }
            });
        }
        for _ in 0..20 {
            let report = run(&mut schedule, &sink);
            assert_eq!((report.fault(), report.verdict()), (None, Verdict::TamperDetecting));
            assert!(schedule.seconds_since_verified(Timestamp::UNIX_EPOCH).is_some());
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
