//! Opening a trail a crash left behind: what is cut, what is kept, what is refused.

mod trail;

use std::fs;

use compliance_core::clock::SystemClock;
use compliance_core::event::Sink;
use compliance_log::audit::segment::records;
use compliance_log::audit::{AuditLog, Completeness, Verdict};
use trail::{RECORD, Trail, config, event, frames};

/// A trail copied while it is open: not closed, its last group commit with several records.
fn unclosed() -> (Trail, Vec<(String, Vec<u8>)>) {
    let trail = Trail::new();
    let config = config().segment_len(1 << 20).checkpoint_every(1000);
    let (log, _) = AuditLog::open(trail.path(), config, SystemClock).unwrap();
    for _ in 0..100 {
        let recordings: Vec<_> = (0..8).map(|number| log.record(event(number))).collect();
        recordings.into_iter().for_each(|recording| drop(recording.wait().unwrap()));
        let files = trail.snapshot();
        let segment = &files.iter().find(|(name, _)| name.ends_with(".seg")).unwrap().1;
        let batches: Vec<_> = frames(segment).iter().map(|frame| batch(segment, *frame)).collect();
        let last = batches[batches.len() - 1];
        if batches.iter().filter(|batch| **batch == last).count() >= 3 && batches[1] != last {
            drop(log);
            trail.restore(&files);
            return (trail, files);
        }
    }
    panic!("no group commit gathered three records");
}

fn batch(segment: &[u8], (at, _, kind): (usize, usize, u8)) -> u32 {
    if kind == 3 { 0 } else { u32::from_be_bytes(segment[at + 7..at + 11].try_into().unwrap()) }
}

#[test]
fn what_a_crash_can_tear_is_cut_and_what_it_cannot_is_refused() {
    let (trail, files) = unclosed();
    let path = trail.segments().remove(0);
    let content = fs::read(&path).unwrap();
    let all = frames(&content);
    let last_batch = batch(&content, all[all.len() - 1]);
    let before: Vec<_> =
        all.iter().filter(|frame| frame.2 == RECORD && batch(&content, **frame) < last_batch).collect();
    let (mut cut, mut refused) = (0, 0);
    // A flipped byte, and a sector that was never written.
    let damages: [fn(&mut [u8]); 2] = [|bytes| bytes[0] ^= 0x40, |bytes| bytes.fill(0)];
    for (at, len, kind) in all.iter().copied().filter(|frame| frame.2 != 3) {
        for damage in damages {
            let mut changed = content.clone();
            let middle = at + len / 2;
            let end = (middle + 64).min(at + len);
            damage(&mut changed[middle..end]);
            trail.restore(&files);
            fs::write(&path, &changed).unwrap();
            let opened = AuditLog::open(trail.path(), config(), SystemClock);
            let is_last = batch(&content, (at, len, kind)) == last_batch;
            match opened {
                Ok((log, report)) => {
                    assert!(is_last, "an acknowledged commit was cut at {at}");
                    assert!(report.torn_bytes() > 0 && report.records() >= before.len() as u64);
                    drop(log);
                    assert_eq!(trail.verify().verdict(), Verdict::TamperDetecting);
                    cut += 1;
                }
                Err(error) => {
                    assert!(!is_last, "{error}");
                    assert_eq!(error.code(), "audit.frame_damaged", "{at}");
                    assert_eq!(fs::read(&path).unwrap(), changed, "a refused trail is left as it is");
                    refused += 1;
                }
            }
        }
    }
    println!("{cut} torn commits cut, {refused} damaged commits refused");
    assert!(cut >= 6 && refused >= 2);
}

#[test]
fn opening_cuts_a_torn_tail_at_every_byte_and_keeps_every_whole_record() {
    let trail = Trail::new();
    let log = trail.open();
    for number in 0..2 {
        let event = event(number);
        log.record(event.clone()).wait().unwrap().redeem(&event, log.durability()).unwrap();
    }
    let files = trail.snapshot();
    drop(log);
    trail.restore(&files);
    let path = trail.segments().remove(0);
    let content = fs::read(&path).unwrap();
    let all = frames(&content);
    let end = all.last().map(|(at, len, _)| at + len).unwrap();
    let mut tried = 0;
    for len in all[0].1..end {
        trail.restore(&files);
        fs::write(&path, &content[..len]).unwrap();
        let whole = all.iter().filter(|(at, size, kind)| *kind == RECORD && at + size <= len).count();
        let (log, report) = AuditLog::open(trail.path(), config(), SystemClock).unwrap();
        assert_eq!(report.records(), whole as u64, "{len}");
        let torn = len - all.iter().map(|(at, size, _)| at + size).filter(|end| *end <= len).max().unwrap();
        // Zeros at the end are space made ahead.
        assert!(report.torn_bytes() <= torn as u64 && (torn == 0) == (report.torn_bytes() == 0), "{len}");
        let event = event(99);
        let receipt = log.record(event.clone()).wait().unwrap();
        assert_eq!(receipt.sequence(), whole as u64);
        drop(log);
        assert_eq!(records(trail.path()).unwrap().map(Result::unwrap).count(), whole + 1);
        assert_eq!(trail.verify().completeness(), Completeness::Closed);
        tried += 1;
    }
    println!("{tried} torn tails opened, 0 whole records lost");
    assert!(tried > 250);
}

#[test]
fn opening_refuses_when_the_checkpoint_beside_speaks_of_more() {
    let trail = Trail::new();
    trail.record(10);
    let path = trail.segments().remove(0);
    let content = fs::read(&path).unwrap();
    for (at, ..) in frames(&content).into_iter().skip(1).filter(|frame| frame.2 == RECORD) {
        fs::write(&path, &content[..at]).unwrap();
        let opened = AuditLog::open(trail.path(), config(), SystemClock);
        assert_eq!(opened.unwrap_err().code(), "audit.truncated");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(AuditLog::open(trail.path(), config(), SystemClock).unwrap_err().code(), "audit.truncated");
}

#[test]
fn opening_can_verify_everything() {
    let trail = Trail::new();
    trail.record(100);
    let first = trail.segments().remove(0);
    let mut content = fs::read(&first).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(&first, content).unwrap();
    assert!(AuditLog::open(trail.path(), config(), SystemClock).is_ok(), "only the last segment is read");
    let opened = AuditLog::open(trail.path(), config().verify_all(), SystemClock);
    assert_eq!(opened.unwrap_err().code(), "audit.frame_damaged");
}
