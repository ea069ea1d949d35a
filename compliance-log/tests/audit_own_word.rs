//! What a trail says of itself – that its beginning was retired, that it goes on under another key – counts only where its
//! writer signed it.

mod trail;

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compliance_core::class::Internal;
use compliance_core::clock::{ManualClock, SystemClock, Timestamp};
use compliance_core::event::{Actor, Event, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::segment::records;
use compliance_log::audit::tree::CompactTree;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{
    AuditConfig, AuditLog, CheckpointKey, CheckpointSigner, Completeness, FaultKind, SignedCheckpoint,
    VerifyOptions,
};
use trail::{CHECKPOINT, HEADER, Trail, config, event, first_of, forge, frame, frames, key};

fn with_anchor(anchor: &SignedCheckpoint) -> VerifyOptions {
    let anchor = CheckpointNote::parse(anchor.note()).unwrap();
    VerifyOptions::new().key(key().verifying_key().clone()).anchor(anchor)
}

fn retired(before: u64) -> Event {
    Event::builder(EventKind::SystemTrailRetired, Outcome::Passed, Actor::System, Timestamp::UNIX_EPOCH)
        .field("before", Internal(i64::try_from(before).unwrap()))
        .build()
        .unwrap()
}

/// Why the trail does not verify, under key and anchor and under nothing at all.
fn faults(trail: &Trail, anchor: &SignedCheckpoint) -> [Option<FaultKind>; 2] {
    let fault =
        |options: &VerifyOptions| verify(trail.path(), options).unwrap().fault().map(|fault| fault.kind());
    [fault(&with_anchor(anchor)), fault(&VerifyOptions::new())]
}

fn remove(segments: &[std::path::PathBuf]) {
    segments.iter().for_each(|segment| fs::remove_file(segment).unwrap());
}

/// Whoever can write the directory and has no key says that what they delete was retired.
#[test]
fn a_forged_retirement_hides_no_missing_segment() {
    let (mut tried, missing) = (0, [Some(FaultKind::SegmentMissing); 2]);
    let trail = Trail::new();
    let anchor = trail.record(200);
    let whole = trail.snapshot();
    let segments = trail.segments();
    for gone in 1..segments.len() {
        let last = &segments[segments.len() - 1];
        let lie = retired(first_of(&segments[gone]));
        // Unsigned, behind the closing checkpoint.
        trail.restore(&whole);
        forge(last, 200, &lie);
        remove(&segments[..gone]);
        assert_eq!(faults(&trail, &anchor), missing, "{gone}");
        let opened = AuditLog::open(trail.path(), config(), SystemClock);
        assert_eq!(opened.unwrap_err().code(), "audit.segment_missing");
        // The writer opens the trail, finds the lie and signs it with the rest; only then they go.
        for rounds in [1, 2] {
            trail.restore(&whole);
            forge(last, 200, &lie);
            for round in 0..rounds {
                let (log, report) = AuditLog::open(trail.path(), config(), SystemClock).unwrap();
                assert_eq!(report.uncovered(), u64::from(round == 0));
                drop(log.record(event(201)).wait().unwrap());
                log.close().unwrap();
            }
            assert_eq!(faults(&trail, &anchor), [None; 2], "nothing is gone yet");
            remove(&segments[..gone]);
            assert_eq!(faults(&trail, &anchor), missing, "{gone}");
        }
        tried += 3;
    }
    println!("{tried} forged retirements, 0 undetected");
    assert!(tried > 20);
}

/// The same where the lie was left unsigned for a while: the signer is away when the trail is opened.
#[test]
fn what_was_found_on_opening_is_signed_apart_from_what_is_written() {
    let trail = Trail::new();
    let log = trail.open();
    (0..5).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
    let found = trail.snapshot();
    drop(log);
    trail.restore(&found);
    let (log, report) = AuditLog::open(trail.path(), config(), SystemClock).unwrap();
    assert_eq!(report.uncovered(), 5);
    let recovery = trail.verify().checkpoint().unwrap().clone();
    assert_eq!((recovery.size(), recovery.is_recovery(), recovery.is_closing()), (5, true, false));
    let next = log.checkpoint().unwrap();
    assert!(!next.is_recovery() && !next.is_closing());
    (5..7).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
    assert!(!log.close().unwrap().is_recovery());
    let report = trail.verify();
    assert_eq!((report.completeness(), report.records()), (Completeness::Closed, 7));
    assert_eq!(report.recovered(), 5, "the verifier tells, however it ended later");
}

/// Somebody names their own key in a record, lets the writer sign it unread, and goes on under that key.
#[test]
fn a_forged_change_of_key_leads_nowhere() {
    let trail = Trail::new();
    trail.record(3);
    let theirs = CheckpointKey::from_seed("test.example/audit", [66; 32]).unwrap();
    let announced = Event::builder(
        EventKind::SystemTrailKeyChanged,
        Outcome::Passed,
        Actor::System,
        Timestamp::UNIX_EPOCH,
    )
    .field("to", Internal(theirs.verifying_key().to_string()))
    .build()
    .unwrap();
    let segment = trail.segments().remove(0);
    forge(&segment, 3, &announced);
    drop(AuditLog::open(trail.path(), config(), SystemClock).unwrap());
    assert!(trail.verify().fault().is_none());

    // Their signature beside the real one, and a segment of theirs behind it.
    let mut content = fs::read(&segment).unwrap();
    let (at, len, kind) = *frames(&content).last().unwrap();
    assert_eq!(kind, CHECKPOINT);
    let note = String::from_utf8(content[at + 6 + 5..at + len - 8].to_vec()).unwrap();
    let note = format!("{note}{}", signature(&theirs, &note));
    let body = [&content[at + 6..at + 6 + 5], note.as_bytes()].concat();
    content.truncate(at);
    content.extend_from_slice(&frame(CHECKPOINT, &body));
    fs::write(&segment, content).unwrap();
    fs::remove_file(trail.path().join("checkpoint")).unwrap();
    assert!(trail.verify().fault().is_none(), "other signatures are ignored");
    let mut tree = CompactTree::new();
    records(trail.path()).unwrap().for_each(|record| tree.push(*record.unwrap().digest()));
    write_header(trail.path(), &tree, &theirs, &note);

    let fault = *trail.verify().fault().unwrap();
    assert_eq!((fault.kind(), fault.segment()), (FaultKind::OtherKey, 4));
}

/// Somebody without any of the trail's keys puts theirs in place of one it was rotated from, and signs as the writer's
/// what the writer had only found: their own word, left in an unsigned tail, that the beginning was retired.
#[test]
fn another_key_in_place_of_the_old_one_shows_under_the_new() {
    let trail = Trail::new();
    let new = || CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    let theirs = CheckpointKey::from_seed("test.example/audit", [66; 32]).unwrap();
    trail.record(60);
    let segments = trail.segments();
    let gone = segments.len() - 1;
    forge(&segments[gone], 60, &retired(first_of(&segments[gone])));
    let rotated = AuditConfig::new(new()).on_any_storage().checkpoint_every(16).rotate_from(Box::new(key()));
    let (log, report) = AuditLog::open(trail.path(), rotated, SystemClock).unwrap();
    assert_eq!(report.uncovered(), 1);
    let anchor = log.close().unwrap();
    let anchor = || CheckpointNote::parse(anchor.note()).unwrap();
    let options = || VerifyOptions::new().key(new().verifying_key().clone()).anchor(anchor());
    assert_eq!(verify(trail.path(), &options()).unwrap().fault(), None);

    // Every note of the old key's is theirs now; what was recovered is merely open.
    let again = |note: &str| {
        let note = note.replace(" recovered\n", " open\n");
        let (text, signatures) = note.split_once("\n\n").unwrap();
        let (note, id) =
            (format!("{text}\n\n"), |key: &CheckpointKey| signature(key, &note)[..30].to_owned());
        let signatures = signatures.split_inclusive('\n').map(|line| match line {
            old if old.starts_with(&id(&key())[..26]) => signature(&theirs, &note),
            other => other.to_owned(),
        });
        note.clone() + &signatures.collect::<String>()
    };
    let (old, their) = (key().verifying_key().to_string(), theirs.verifying_key().to_string());
    for segment in trail.segments() {
        let content = fs::read(&segment).unwrap();
        let mut forged = Vec::new();
        for (at, len, kind) in frames(&content) {
            let body = &content[at + 6..at + len - 8];
            let note_at = body.windows(5).position(|part| part == b"test.").unwrap_or(body.len());
            match kind {
                CHECKPOINT => {
                    let note = again(str::from_utf8(&body[note_at..]).unwrap());
                    forged.extend(frame(kind, &[&body[..note_at], note.as_bytes()].concat()));
                }
                HEADER => {
                    // The key's text, as long as any other of that name, then the note.
                    let (keys, note) = body[note_at..].split_at(old.len());
                    let note = again(str::from_utf8(note).unwrap());
                    let keys = str::from_utf8(keys).unwrap().replace(&old, &their);
                    forged
                        .extend(frame(kind, &[&body[..note_at], keys.as_bytes(), note.as_bytes()].concat()));
                }
                _ => forged.extend_from_slice(&content[at..at + len]),
            }
        }
        fs::write(segment, forged).unwrap();
    }
    remove(&segments[..gone]);
    let report = verify(trail.path(), &options()).unwrap();
    assert_eq!(report.fault().map(|fault| fault.kind()), Some(FaultKind::OtherKey), "{report:?}");
}

fn signature(key: &CheckpointKey, note: &str) -> String {
    let text = note.rsplit_once("\n\n").unwrap().0.to_owned() + "\n";
    let public = key.verifying_key().to_string();
    let id = u32::from_str_radix(public.split('+').nth(1).unwrap(), 16).unwrap();
    let bytes = [&id.to_be_bytes()[..], &CheckpointSigner::sign(key, text.as_bytes()).unwrap()[..]].concat();
    format!("\u{2014} {} {}\n", key.verifying_key().name(), BASE64.encode(bytes))
}

fn write_header(dir: &Path, tree: &CompactTree, key: &CheckpointKey, note: &str) {
    let key = key.verifying_key().to_string();
    let mut body = vec![1];
    body.extend_from_slice(&tree.size().to_be_bytes());
    tree.peaks().iter().for_each(|peak| body.extend_from_slice(peak.as_bytes()));
    body.extend_from_slice(&u16::try_from(key.len()).unwrap().to_be_bytes());
    body.extend_from_slice(key.as_bytes());
    body.extend_from_slice(note.as_bytes());
    fs::write(dir.join(format!("{:020}.seg", tree.size())), frame(HEADER, &body)).unwrap();
}

#[test]
fn a_missing_heartbeat_is_the_longest_gap() {
    let trail = Trail::new();
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let open = || AuditLog::open(trail.path(), config(), clock.clone()).unwrap().0;
    let log = open();
    assert_eq!(trail.verify().longest_gap(), None, "there is one checkpoint");
    for wait in [70, 119, 50] {
        clock.advance(minutes(wait));
        assert_eq!(log.checkpoint().unwrap().interval(), Some(minutes(60)));
    }
    let gap = trail.verify().longest_gap().unwrap();
    assert_eq!((gap.after(), gap.length(), gap.promised()), (1, minutes(119), Some(minutes(60))));
    assert!(!gap.is_overdue(), "late is not missing");
    log.close().unwrap();
    clock.advance(minutes(10_000));
    let log = open();
    drop(log.record(event(0)).wait().unwrap());
    let killed = trail.snapshot();
    log.close().unwrap();
    assert_eq!(trail.verify().longest_gap(), Some(gap), "a trail that was closed promised nothing");
    trail.restore(&killed);
    clock.advance(minutes(121));
    drop(open());
    let gap = trail.verify().longest_gap().unwrap();
    assert_eq!((gap.length(), gap.is_overdue()), (minutes(121), true), "a trail is open from its opening on");
}
