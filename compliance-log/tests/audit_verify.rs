//! Tampering and accidents, swept over whole trails. Each sweep prints what it tried.

#![expect(clippy::cast_possible_truncation, reason = "the values are small, or meant to be cut")]

mod trail;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use compliance_core::clock::SystemClock;
use compliance_core::event::Sink;
use compliance_core::finding::Outcome;
use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{
    AuditConfig, AuditLog, CheckpointKey, Completeness, FaultKind, SignedCheckpoint, Verdict, VerifyOptions,
    VerifyReport,
};
use trail::{CHECKPOINT, RECORD, Trail, config, event, frames, key, repair};

fn with_key() -> VerifyOptions {
    VerifyOptions::new().key(key().verifying_key().clone())
}

fn with_anchor(anchor: &SignedCheckpoint) -> VerifyOptions {
    with_key().anchor(CheckpointNote::parse(anchor.note()).unwrap())
}

fn check(dir: &Path, options: &VerifyOptions) -> VerifyReport {
    verify(dir, options).unwrap()
}

#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn add(&mut self, report: &VerifyReport) {
        let name = match (report.fault(), report.completeness()) {
            (Some(fault), _) => fault.code().to_owned(),
            (None, Completeness::Truncated { .. }) => "truncated".to_owned(),
            (None, Completeness::Torn { .. }) => "torn tail".to_owned(),
            (None, Completeness::Open { .. }) => "not closed".to_owned(),
            (None, Completeness::Closed) => "UNDETECTED".to_owned(),
        };
        *self.0.entry(name).or_default() += 1;
    }

    /// Prints the sweep; none may have gone undetected.
    #[track_caller]
    fn finish(self, sweep: &str, at_least: usize) {
        let total: usize = self.0.values().sum();
        println!(
            "{sweep}: {total} tried, {} undetected {:?}",
            self.0.get("UNDETECTED").unwrap_or(&0),
            self.0
        );
        assert!(total >= at_least, "{sweep}: only {total} tried");
        assert_eq!(self.0.get("UNDETECTED"), None, "{sweep}");
    }
}

#[test]
fn a_whole_trail_is_called_what_was_proven_about_it() {
    let trail = Trail::new();
    let anchor = trail.record(40);
    #[track_caller]
    fn expect(trail: &Trail, options: &VerifyOptions, verdict: &str) {
        let report = check(trail.path(), options);
        assert_eq!((report.verdict().to_string().as_str(), report.records()), (verdict, 40));
        assert_eq!((report.fault(), report.completeness()), (None, Completeness::Closed));
        assert_eq!(report.outcome(), Outcome::Passed);
    }
    let note = CheckpointNote::parse(anchor.note()).unwrap();
    expect(&trail, &VerifyOptions::new(), "tamper-detecting");
    expect(&trail, &with_key(), "tamper-detecting");
    expect(&trail, &VerifyOptions::new().anchor(note), "tamper-detecting");
    expect(&trail, &with_anchor(&anchor), "tamper-evident since checkpoint 40");
    expect(&trail, &with_anchor(&anchor).read_events(), "tamper-evident since checkpoint 40");
}

#[test]
fn an_anchor_stays_good_while_the_trail_grows() {
    let trail = Trail::new();
    let anchors: Vec<_> = (0..4).map(|_| trail.record(7)).collect();
    for (anchor, size) in anchors.iter().zip([7, 14, 21, 28]) {
        let verdict = check(trail.path(), &with_anchor(anchor)).verdict();
        assert_eq!(verdict, Verdict::TamperEvident { since: size });
    }
}

#[test]
fn an_anchor_no_key_of_the_trail_signed_is_an_error() {
    let (trail, theirs) = (Trail::new(), Trail::new());
    let anchor = trail.record(3);
    let other = || CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    let config = AuditConfig::new(other()).on_any_storage();
    let (log, _) = AuditLog::open(theirs.path(), config, SystemClock).unwrap();
    let foreign = log.close().unwrap();
    let refused = verify(trail.path(), &with_anchor(&foreign)).unwrap_err();
    assert_eq!(refused.code(), "audit.anchor");
    // Under another key than the given one it is another's trail, whatever the anchor.
    let options = VerifyOptions::new()
        .key(other().verifying_key().clone())
        .anchor(CheckpointNote::parse(anchor.note()).unwrap());
    let fault = *check(trail.path(), &options).fault().unwrap();
    assert_eq!(fault.kind(), FaultKind::OtherKey);
}

#[test]
fn every_flipped_byte_is_detected() {
    let trail = Trail::new();
    trail.record(24);
    let whole = trail.snapshot();
    let mut tally = Tally::default();
    for (name, content) in whole.iter().filter(|(name, _)| name != "lock" && name != "reserve") {
        let path = trail.path().join(name);
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            tally.add(&check(trail.path(), &VerifyOptions::new()));
        }
        fs::write(&path, content).unwrap();
    }
    assert_eq!(trail.verify().completeness(), Completeness::Closed, "put back");
    tally.finish("flip every byte", 5_000);
}

#[test]
fn every_repaired_change_of_a_record_is_detected() {
    let trail = Trail::new();
    trail.record(24);
    let mut tally = Tally::default();
    for path in trail.segments() {
        let content = fs::read(&path).unwrap();
        for (at, len, _) in frames(&content).into_iter().filter(|(_, _, kind)| *kind == RECORD) {
            for byte in at + 6..at + len - 8 {
                let mut changed = content.clone();
                changed[byte] ^= 1;
                repair(&mut changed[at..at + len]);
                fs::write(&path, &changed).unwrap();
                tally.add(&check(trail.path(), &VerifyOptions::new()));
            }
        }
        fs::write(&path, content).unwrap();
    }
    tally.finish("change every byte of every record and repair its check", 3_000);
}

#[test]
fn every_cut_of_the_tail_is_detected() {
    let trail = Trail::new();
    let anchor = trail.record(40);
    let last = trail.segments().pop().unwrap();
    let content = fs::read(&last).unwrap();
    let boundaries: Vec<_> = frames(&content).iter().map(|(at, ..)| *at).collect();
    let (mut alone, mut anchored) = (Tally::default(), Tally::default());
    let head = trail.path().join("checkpoint");
    let head_note = fs::read(&head).unwrap();
    for len in content.len() - 1_200..content.len() {
        fs::write(&last, &content[..len]).unwrap();
        fs::write(&head, &head_note).unwrap();
        anchored.add(&check(trail.path(), &with_anchor(&anchor)));
        // Whoever cuts the tail removes the checkpoint beside it too.
        fs::remove_file(&head).unwrap();
        let report = check(trail.path(), &VerifyOptions::new());
        if boundaries.contains(&len) && len > 0 {
            assert!(matches!(report.completeness(), Completeness::Open { .. }), "{len}: {report:?}");
        }
        alone.add(&report);
        let report = check(trail.path(), &with_anchor(&anchor));
        assert_eq!(report.outcome(), Outcome::Refused, "{len}: {report:?}");
    }
    alone.finish("cut the tail at every byte, no anchor, no checkpoint beside it", 1_000);
    anchored.finish("cut the tail at every byte, with anchor", 1_000);
}

#[test]
fn every_cut_at_a_boundary_is_truncation_under_an_anchor() {
    let trail = Trail::new();
    let anchor = trail.record(40);
    let segments = trail.segments();
    let whole = trail.snapshot();
    let mut tally = Tally::default();
    for (index, path) in segments.iter().enumerate() {
        trail.restore(&whole);
        let content = fs::read(path).unwrap();
        for (at, ..) in frames(&content).into_iter().skip(1) {
            // The trail as if it had ended here.
            trail.restore(&whole);
            segments[index + 1..].iter().for_each(|later| fs::remove_file(later).unwrap());
            fs::remove_file(trail.path().join("checkpoint")).unwrap();
            fs::write(path, &content[..at]).unwrap();
            let report = check(trail.path(), &with_anchor(&anchor));
            if report.records() < 40 {
                assert_eq!(report.verdict(), Verdict::Truncated, "{report:?}");
            }
            assert_eq!(report.outcome(), Outcome::Refused, "{report:?}");
            tally.add(&report);
        }
    }
    tally.finish("end at every record and checkpoint boundary, with anchor", 40);
}

#[test]
fn frames_cannot_be_dropped_repeated_or_swapped() {
    let trail = Trail::new();
    trail.record(40);
    let mut tally = Tally::default();
    for path in trail.segments() {
        let content = fs::read(&path).unwrap();
        let frames = frames(&content);
        let frame = |index: usize| &content[frames[index].0..frames[index].0 + frames[index].1];
        let mut attempt = |order: &[usize]| {
            fs::write(&path, order.iter().flat_map(|index| frame(*index)).copied().collect::<Vec<_>>())
                .unwrap();
            tally.add(&check(trail.path(), &VerifyOptions::new()));
        };
        let all: Vec<_> = (0..frames.len()).collect();
        for index in 0..frames.len() {
            attempt(&all.iter().copied().filter(|kept| *kept != index).collect::<Vec<_>>());
            let mut repeated = all.clone();
            repeated.insert(index, index);
            attempt(&repeated);
            if index > 0 {
                let mut swapped = all.clone();
                swapped.swap(index - 1, index);
                attempt(&swapped);
            }
        }
        fs::write(&path, content).unwrap();
    }
    tally.finish("drop, repeat and swap every frame", 120);
}

#[test]
fn segments_cannot_be_dropped_repeated_or_swapped() {
    let trail = Trail::new();
    trail.record(100);
    let whole = trail.snapshot();
    let segments = trail.segments();
    assert!(segments.len() >= 5);
    let mut tally = Tally::default();
    let read = |path: &PathBuf| fs::read(path).unwrap();
    for (index, path) in segments.iter().enumerate() {
        fs::remove_file(path).unwrap();
        tally.add(&check(trail.path(), &VerifyOptions::new()));
        trail.restore(&whole);
        for other in &segments[index + 1..] {
            let (one, two) = (read(path), read(other));
            fs::write(path, &two).unwrap();
            tally.add(&check(trail.path(), &VerifyOptions::new()));
            fs::write(other, &one).unwrap();
            tally.add(&check(trail.path(), &VerifyOptions::new()));
            trail.restore(&whole);
        }
        fs::write(trail.path().join(format!("{:020}.seg", 100 + index)), read(path)).unwrap();
        tally.add(&check(trail.path(), &VerifyOptions::new()));
        trail.restore(&whole);
    }
    tally.finish("drop, swap, overwrite and repeat segments", 20);
}

#[test]
fn a_segment_of_another_trail_of_the_same_key_does_not_fit() {
    let (trail, other) = (Trail::new(), Trail::new());
    trail.record(100);
    let log = other.open();
    (0..100).for_each(|number| {
        let event = event(number + 1000);
        log.record(event.clone()).wait().unwrap().redeem(&event, log.durability()).unwrap();
    });
    drop(log);
    for (ours, theirs) in trail.segments().iter().zip(other.segments()).skip(1) {
        let kept = fs::read(ours).unwrap();
        fs::write(ours, fs::read(theirs).unwrap()).unwrap();
        assert_eq!(trail.verify().verdict(), Verdict::Tampered);
        fs::write(ours, kept).unwrap();
    }
}

/// Rewrites every event's time and repairs every check: all that can be done without a key.
fn rewrite_without_key(trail: &Trail, keep_checkpoints: bool) {
    for path in trail.segments() {
        let content = fs::read(&path).unwrap();
        let mut rewritten = Vec::new();
        for (at, len, kind) in frames(&content) {
            let mut frame = content[at..at + len].to_vec();
            if kind == CHECKPOINT && !keep_checkpoints {
                continue;
            }
            if kind == RECORD {
                let batch = rewritten.len() as u32;
                frame[7..11].copy_from_slice(&batch.to_be_bytes());
                frame[19] ^= 1;
                repair(&mut frame);
            }
            rewritten.extend_from_slice(&frame);
        }
        fs::write(path, rewritten).unwrap();
    }
}

#[test]
fn a_rewrite_without_the_key_is_detected_by_the_checkpoints() {
    let trail = Trail::new();
    trail.record(40);
    rewrite_without_key(&trail, true);
    let report = trail.verify();
    let fault = report.fault().unwrap();
    assert_eq!((fault.kind(), fault.sequence()), (FaultKind::CheckpointRoot, 0));

    let trail = Trail::new();
    trail.record(40);
    rewrite_without_key(&trail, false);
    fs::remove_file(trail.path().join("checkpoint")).unwrap();
    let report = trail.verify();
    assert_eq!(report.verdict(), Verdict::Tampered, "{report:?}");
}

#[test]
fn a_trail_without_the_promised_checkpoints_is_tampered_with() {
    let trail = Trail::new();
    let (log, _) = AuditLog::open(trail.path(), config().segment_len(1 << 20), SystemClock).unwrap();
    (0..40).for_each(|number| drop(log.record(event(number))));
    drop(log);
    rewrite_without_key(&trail, false);
    fs::remove_file(trail.path().join("checkpoint")).unwrap();
    let report = trail.verify();
    assert_eq!(report.fault().unwrap().kind(), FaultKind::CheckpointMissing);
    assert_eq!(report.records(), 16, "no more than the first checkpoint promised");
}

#[test]
fn a_rewrite_with_another_key_shows_under_the_real_one() {
    let (trail, forged) = (Trail::new(), Trail::new());
    let anchor = trail.record(40);
    let other = CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    let (log, _) =
        AuditLog::open(forged.path(), AuditConfig::new(other).on_any_storage(), SystemClock).unwrap();
    (0..40).for_each(|number| drop(log.record(event(number + 1))));
    drop(log);

    let alone = check(forged.path(), &VerifyOptions::new());
    assert_eq!(alone.verdict(), Verdict::TamperDetecting, "a trail cannot tell by itself whose it is");
    let kind = |options: &VerifyOptions| check(forged.path(), options).fault().map(|fault| fault.kind());
    assert_eq!(kind(&with_key()), Some(FaultKind::OtherKey));
    let anchor_only = VerifyOptions::new().anchor(CheckpointNote::parse(anchor.note()).unwrap());
    assert_eq!(kind(&anchor_only), Some(FaultKind::Anchor));
}

/// Whoever has the key signs another history, from any record on; under the anchor it shows.
#[test]
fn a_rewrite_with_the_trails_own_key_shows_under_an_anchor() {
    const ANCHORED: u64 = 40;
    let trail = Trail::new();
    let anchor = trail.record(ANCHORED);
    for fork in 0..ANCHORED {
        let forged = Trail::new();
        let log = forged.open();
        for number in 0..60 {
            let other = if number < fork { 0 } else { 1000 };
            drop(log.record(event(number + other)).wait().unwrap());
        }
        drop(log);
        let alone = check(forged.path(), &with_key());
        assert_eq!(alone.verdict(), Verdict::TamperDetecting, "who has the key can sign another history");
        let report = check(forged.path(), &with_anchor(&anchor));
        let found = (report.fault().unwrap().kind(), report.verdict());
        assert_eq!(found, (FaultKind::Anchor, Verdict::Tampered), "from {fork} on");
    }
    println!("rewrites with the trail's own key: {ANCHORED} tried, 0 undetected");
}

#[test]
fn yesterdays_directory_shows_under_todays_anchor() {
    const DAYS: usize = 12;
    let trail = Trail::new();
    let days: Vec<_> = (0..DAYS).map(|_| (trail.record(7), trail.snapshot())).collect();
    let mut tried = 0;
    for (today, (anchor, _)) in days.iter().enumerate() {
        for (earlier, (_, files)) in days[..today].iter().enumerate() {
            trail.restore(files);
            assert_eq!(check(trail.path(), &with_key()).verdict(), Verdict::TamperDetecting);
            let report = check(trail.path(), &with_anchor(anchor));
            let (found, expected) = (7 * (earlier as u64 + 1), 7 * (today as u64 + 1));
            assert_eq!((report.verdict(), report.records()), (Verdict::Truncated, found));
            assert_eq!(report.completeness(), Completeness::Truncated { expected });
            tried += 1;
        }
    }
    assert_eq!(tried, DAYS * (DAYS - 1) / 2);
    println!("directories of earlier days: {tried} tried, 0 undetected");
}

#[test]
fn an_unknown_version_is_a_fault() {
    let trail = Trail::new();
    trail.record(3);
    let path = trail.segments().remove(0);
    let content = fs::read(&path).unwrap();
    let all = frames(&content);
    let mut kinds = Vec::new();
    for (offset_in_body, (at, len, _)) in [(0, all[0]), (0, all[1]), (29, all[1]), (0, all[all.len() - 1])] {
        let mut changed = content.clone();
        changed[at + 6 + offset_in_body] = 9;
        repair(&mut changed[at..at + len]);
        fs::write(&path, changed).unwrap();
        kinds.push(trail.verify().fault().unwrap().kind());
    }
    let expected = [
        FaultKind::SegmentVersion,
        FaultKind::RecordVersion,
        FaultKind::RecordVersion,
        FaultKind::CheckpointForm,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn reports_name_the_first_bad_record() {
    let trail = Trail::new();
    trail.record(40);
    let mut sequence = 0;
    for path in trail.segments() {
        let content = fs::read(&path).unwrap();
        for (at, len, kind) in frames(&content) {
            if kind != RECORD {
                continue;
            }
            let mut changed = content.clone();
            changed[at + len / 2] ^= 0xFF;
            fs::write(&path, changed).unwrap();
            let fault = *trail.verify().fault().unwrap();
            assert_eq!((fault.sequence(), fault.offset()), (sequence, at as u64));
            assert_eq!(fault.kind(), FaultKind::FrameDamaged);
            sequence += 1;
        }
        fs::write(&path, content).unwrap();
    }
    assert_eq!(sequence, 40);
}
