//! Files that somebody put into a trail's directory so that reading it never ends.

mod trail;

use std::fs::{self, OpenOptions};
use std::io::Write;

use compliance_core::clock::SystemClock;
use compliance_core::event::Sink;
use compliance_log::audit::segment::records;
use compliance_log::audit::{AuditLog, FaultKind};
use trail::{Trail, config, event};

/// The trail is refused by whoever reads it, writes it or verifies it.
#[track_caller]
fn check(trail: &Trail, kind: FaultKind) {
    assert_eq!(trail.verify().fault().map(|fault| fault.kind()), Some(kind));
    assert_eq!(AuditLog::open(trail.path(), config(), SystemClock).unwrap_err().code(), kind.code());
    assert!(records(trail.path()).unwrap().any(|record| record.is_err()));
}

/// Each looks like a frame that is as long as can be: hashing them all would take hours.
#[test]
fn false_frames_are_not_all_hashed() {
    let trail = Trail::new();
    trail.record(3);
    let mut file = OpenOptions::new().append(true).open(&trail.segments()[0]).unwrap();
    for kind in [1, 2] {
        file.write_all(&[0xC5, kind, 0, 0x0F, 0xFF, 0xFF].repeat(512 * 1024)).unwrap();
    }
    check(&trail, FaultKind::FrameDamaged);
}

#[test]
fn more_space_than_a_writer_makes_is_not_read() {
    let trail = Trail::new();
    trail.record(3);
    // A file without content, as long as a disk.
    let file = OpenOptions::new().write(true).open(&trail.segments()[0]).unwrap();
    file.set_len(1 << 40).unwrap();
    check(&trail, FaultKind::FrameDamaged);
}

#[test]
fn damage_with_much_behind_it_is_not_read_to_the_end() {
    let trail = Trail::new();
    trail.record(3);
    let mut file = OpenOptions::new().append(true).open(&trail.segments()[0]).unwrap();
    file.write_all(b"damage").unwrap();
    file.set_len(1 << 40).unwrap();
    check(&trail, FaultKind::FrameDamaged);
}

/// Whoever can write the directory has the writer overwrite what only the writer may.
#[cfg(unix)]
#[test]
fn no_link_leads_what_is_written_elsewhere() {
    let (trail, beside) = (Trail::new(), tempfile::tempdir().unwrap());
    let theirs = beside.path().join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    trail.record(3);
    let whole = trail.snapshot();
    let link = |name: &str| {
        drop(fs::remove_file(trail.path().join(name)));
        std::os::unix::fs::symlink(&theirs, trail.path().join(name)).unwrap();
    };
    link("reserve");
    assert_eq!(AuditLog::open(trail.path(), config(), SystemClock).unwrap_err().code(), "audit.io");
    trail.restore(&whole);
    let log = trail.open();
    for name in ["checkpoint.tmp", "segment.tmp"] {
        link(name);
    }
    for number in 3..60 {
        drop(log.record(event(number)).wait().unwrap());
    }
    log.close().unwrap();
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
    assert_eq!(trail.verify().records(), 60);
}

#[cfg(unix)]
#[test]
fn only_files_are_read() {
    let trail = Trail::new();
    trail.record(3);
    let whole = trail.snapshot();
    let put = |target: &str, name: &str| {
        let path = trail.path().join(name);
        drop(fs::remove_file(&path));
        std::os::unix::fs::symlink(target, path).unwrap();
    };
    for name in ["00000000000000000003.seg", "00000000000000000000.seg"] {
        put("/dev/zero", name);
        check(&trail, FaultKind::FrameDamaged);
    }
    trail.restore(&whole);
    put("/dev/zero", "checkpoint");
    assert_eq!(trail.verify().fault().map(|fault| fault.kind()), Some(FaultKind::HeadForm));
    let opened = AuditLog::open(trail.path(), config(), SystemClock);
    assert_eq!(opened.unwrap_err().code(), "audit.head_form");
}
