//! A disk that is full, and directories with pipes in place of files. What makes those are other processes, and while one is
//! begun it has the locks of this one: the tests here run one after the other.
#![cfg(target_os = "linux")]

mod trail;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compliance_core::class::Internal;
use compliance_core::clock::{Clock, ManualClock, SystemClock, Timestamp};
use compliance_core::event::{Actor, Event, EventClass, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditLog, VerifyOptions};
use trail::{Trail, config, event};

fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file system of its own, so small that it is soon full.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None`, said aloud, where nothing can be mounted.
    fn mounted(size: &str) -> Option<Self> {
        let point = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(point.path()).output();
        if mount.is_ok_and(|mounted| mounted.status.success()) {
            return Some(Self(point));
        }
        // Past the test's captured output.
        std::io::stderr().write_all(b"skipped: no file system can be mounted here\n").unwrap();
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_keeps_what_was_acknowledged_and_is_retired_from() {
    let _alone = alone();
    let Some(disk) = SmallDisk::mounted("600k") else { return };
    let (dir, clock) = (disk.0.path().join("trail"), ManualClock::at(Timestamp::UNIX_EPOCH));
    let clock = Arc::new(clock);
    let large = || config().segment_len(64 * 1024).reserve_len(64 * 1024);
    let (log, _) = AuditLog::open(&dir, large(), clock.clone()).unwrap();
    let fill = |log: &AuditLog| {
        let refused = (0..).find_map(|number| Some((number, log.record(event(number)).wait().err()?)));
        let (kept, error) = refused.unwrap();
        assert_eq!(error.code(), "record.full");
        kept
    };
    let kept = fill(&log);
    assert!(kept > 1000, "{kept}");
    assert_eq!(log.checkpoint().unwrap_err().code(), "record.full");
    let day = Duration::from_secs(24 * 3600);
    clock.advance(2 * day);
    let by = Circumstances::new(Actor::System, clock.now());
    let report = Retention::new(RetentionPeriod::of(day)).retire(&log, &by).unwrap();
    assert!(report.segments() > 1);
    let again = fill(&log);
    assert!(again > kept / 2, "{again} after {kept}");
    drop(log);
    let (log, opened) = AuditLog::open(&dir, large(), clock).unwrap();
    assert!(opened.records() > kept + again);
    drop(log);
    let report = verify(&dir, &VerifyOptions::new()).unwrap();
    assert_eq!((report.fault(), report.records()), (None, opened.records()));
}

/// However much a writer makes ahead where there is room, the reserve is all for what must be recorded.
#[test]
fn on_a_full_disk_what_must_be_recorded_has_the_reserve_to_itself() {
    let _alone = alone();
    const RESERVE: u64 = 512 * 1024;
    let Some(disk) = SmallDisk::mounted("4m") else { return };
    let (dir, clock) = (disk.0.path().join("trail"), ManualClock::at(Timestamp::UNIX_EPOCH));
    let large = config().segment_len(64 * 1024 * 1024).reserve_len(RESERVE).best_effort(EventClass::Check);
    let (log, _) = AuditLog::open(&dir, large, clock).unwrap();
    let event = |kind| {
        let event = Event::builder(kind, Outcome::Passed, Actor::System, Timestamp::UNIX_EPOCH);
        event.field("note", Internal("x".repeat(1000))).build().unwrap()
    };
    let fill = |kind| {
        let refused = (0_u64..).find_map(|number| Some((number, log.record(event(kind)).wait().err()?)));
        let (kept, error) = refused.unwrap();
        assert_eq!(error.code(), "record.full");
        kept
    };
    let spare = fill(EventKind::CheckDecided);
    let must = fill(EventKind::SystemStarted);
    println!("{spare} at best effort, then {must} that must be");
    assert!(spare > 500 && must * 1100 > RESERVE, "{spare}, {must}");
    drop(log);
    let report = verify(&dir, &VerifyOptions::new()).unwrap();
    assert!(report.fault().is_none() && report.records() >= spare + must, "{report:?}");
}

/// The reserve is for what must be recorded on a full disk, also where the quota is nearly used up.
#[test]
fn a_reserve_is_there_for_a_disk_that_is_full_before_the_quota_is() {
    let _alone = alone();
    let Some(disk) = SmallDisk::mounted("600k") else { return };
    let config = config().segment_len(64 * 1024).reserve_len(64 * 1024).quota(100 * 1024);
    let dir = disk.0.path().join("trail");
    let (log, _) = AuditLog::open(&dir, config, ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap();
    // Somebody else takes most of the disk, and all that is left once the quota is scarce.
    fs::write(disk.0.path().join("theirs"), vec![1; 380 * 1024]).unwrap();
    let total = || -> u64 {
        let files = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "seg"));
        segments.map(|path| path.metadata().unwrap().len()).sum()
    };
    let fill = |log: &AuditLog| {
        let refused = (0..).find_map(|number| log.record(event(number)).wait().err());
        assert_eq!(refused.unwrap().code(), "record.full");
    };
    for number in 0..300 {
        drop(log.record(event(number)).wait().unwrap());
    }
    let rest = File::create(disk.0.path().join("rest")).unwrap();
    drop(std::io::copy(&mut std::io::repeat(1), &mut &rest));
    fill(&log);
    assert!(dir.join("reserve").metadata().unwrap().len() < 32 * 1024);
    assert!(total() > 80 * 1024, "{}", total());
}

/// A pipe answers nobody who opens it to write, until somebody reads.
#[test]
fn only_files_are_written() {
    let _alone = alone();
    let trail = Trail::new();
    trail.record(3);
    let whole = trail.snapshot();
    for name in ["lock", "reserve"] {
        trail.restore(&whole);
        pipe(&trail.path().join(name));
        assert_eq!(AuditLog::open(trail.path(), config(), SystemClock).unwrap_err().code(), "audit.io");
    }
    trail.restore(&whole);
    let log = trail.open();
    // What is made anew each time is removed on opening; these come later. The writer goes on with what it has.
    for name in ["checkpoint.tmp", "segment.tmp"] {
        pipe(&trail.path().join(name));
    }
    for number in 3..60 {
        drop(log.record(event(number)).wait().unwrap());
    }
    log.close().unwrap();
    let report = trail.verify();
    assert_eq!((report.fault(), report.records(), report.segments()), (None, 60, 1));
}

fn pipe(path: &Path) {
    drop(fs::remove_file(path));
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What lies in a key store's folder and is no file of its own is not waited for, and what a link leads to is left alone.
#[cfg(feature = "key-store")]
#[test]
fn pipes_and_links_in_a_key_store_do_no_harm() {
    use compliance_core::seal::{KeyEncryptionKey, KeyRing};
    use compliance_log::key_store::FileKeyStore;
    let _alone = alone();
    let open = |dir: &Path| {
        FileKeyStore::open(dir, KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap()))
            .map_err(|error| error.code())
    };
    for name in ["lock", "00112233445566778899aabbccddeeff.key", "00112233445566778899aabbccddeeff.hold"] {
        let dir = tempfile::tempdir().unwrap();
        pipe(&dir.path().join(name));
        assert_eq!(open(dir.path()).unwrap_err(), "key_store.io", "{name}");
    }
    let (dir, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let theirs = beside.path().join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    let [link, unread] = ["a.tmp", "b.tmp"].map(|name| dir.path().join(name));
    std::os::unix::fs::symlink(&theirs, &link).unwrap();
    pipe(&unread);
    drop(open(dir.path()).unwrap());
    assert!(!link.is_symlink() && !unread.exists());
    assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
}
