//! Where a service keeps what it must not lose.

mod trail;

use std::path::Path;

use compliance_core::clock::{SystemClock, Timestamp};
use compliance_core::event::{Actor, Durability, Sink as _};
use compliance_core::finding::RiskAcceptance;
use compliance_core::purpose;
use compliance_log::audit::durable::{DurableErrorKind, DurableSink, Storage};
use compliance_log::audit::record::{Circumstances, DataAccess};
use compliance_log::audit::{AuditConfig, AuditErrorKind, AuditLog, Audited};
use trail::{Trail, config, event, key};

/// A machine with a disk, a RAM disk, a share, a container's layer, two volumes of a pod.
const MOUNTS: &str = r"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /tmp rw,nosuid shared:2 - tmpfs tmpfs rw,size=1g
24 22 0:21 / /mnt/share rw - nfs4 server:/share rw
25 22 0:22 / /box rw - overlay overlay rw,lowerdir=/a
26 22 254:0 /var/lib/kubelet/pods/1/volumes/kubernetes.io~empty-dir/scratch /scratch rw - ext4 /dev/vda rw
27 22 254:1 / /srv/with\040blank rw - xfs /dev/vdb rw
28 23 254:2 / /tmp/disk rw - btrfs /dev/vdc rw
29 22 254:3 / /over rw - ext4 /dev/vdd rw
30 29 0:23 / /over rw - tmpfs tmpfs rw
31 22 0:24 / /guest rw - 9p share rw
";

#[track_caller]
fn check(path: &str, expected: Storage) {
    assert_eq!(Storage::in_mounts(MOUNTS, Path::new(path)), expected, "{path}");
}

#[test]
fn the_deepest_mount_tells() {
    check("/srv/audit", Storage::Lasting);
    check("/tmp", Storage::Volatile);
    check("/tmp/audit", Storage::Volatile);
    check("/tmpaudit", Storage::Lasting);
    check("/tmp/disk/audit", Storage::Lasting);
    check("/srv/with blank/audit", Storage::Lasting);
    check("/box/audit", Storage::Volatile);
    check("/scratch/audit", Storage::Volatile);
    check("/over/audit", Storage::Volatile);
    check("/mnt/share/audit", Storage::Unknown);
    check("/guest/audit", Storage::Unknown);
}

#[test]
fn what_cannot_be_read_is_unknown() {
    for mounts in ["", "rubbish", "1 2 3\n", r"22 1 254:0 / /\9 rw - ext4 /dev/vda rw"] {
        assert_eq!(Storage::in_mounts(mounts, Path::new("/srv")), Storage::Unknown, "{mounts}");
    }
    let mut cut = MOUNTS.to_owned();
    cut.push_str("32 22 254:4 / /srv");
    assert_eq!(Storage::in_mounts(&cut, Path::new("/srv/audit")), Storage::Unknown);
    assert_eq!(Storage::of("/nowhere/at/all"), Storage::Unknown);
}

/// Receipts of a trail opened on any storage say what it is, and what asks for a disk takes nothing less.
#[track_caller]
fn check_receipts(trail: &Trail, expected: Durability) {
    let access = || {
        let service = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
        DataAccess::read(&service, "customer", purpose!("support.ticket"))
    };
    let (log, report) = AuditLog::open(trail.path(), config(), SystemClock).unwrap();
    assert_eq!((log.durability(), report.storage().durability()), (expected, expected));
    let receipt = log.record(event(1)).wait().unwrap();
    assert_eq!(receipt.durability(), expected);
    let is_disk = expected >= Durability::Disk;
    assert_eq!(receipt.redeem(&event(1), Durability::Disk).is_ok(), is_disk);

    let released = Audited::new("anna@example.com", access()).unwrap().release(&log).wait();
    assert_eq!(
        released.map_err(|error| error.code()),
        if is_disk { Ok("anna@example.com") } else { Err("receipt.not_durable") }
    );
    // Whoever chooses it, and writes so, gets it.
    let chosen = Audited::new("anna@example.com", access()).unwrap().dangerous_at_least(Durability::Instance);
    assert_eq!(chosen.release(&log).wait(), Ok("anna@example.com"));
    // What must not be lost finds no place in it.
    let sink = DurableSink::on_lasting_disk(log).map(|sink| sink.least()).map_err(|error| error.kind());
    assert_eq!(
        sink,
        if is_disk {
            Ok(Durability::Disk)
        } else {
            Err(DurableErrorKind::Storage { found: report.storage() })
        }
    );
}

#[test]
fn a_receipt_says_what_its_storage_is_worth() {
    assert!(Durability::Memory < Durability::Instance && Durability::Instance < Durability::Disk);
    for (storage, durability) in [
        (Storage::Lasting, Durability::Disk),
        (Storage::Unknown, Durability::Instance),
        (Storage::Volatile, Durability::Instance),
    ] {
        assert_eq!(storage.durability(), durability, "{storage}");
    }
    // Whatever the tests run on.
    let trail = Trail::new();
    check_receipts(&trail, Storage::of(trail.path()).durability());
    if let Some(trail) = Trail::in_memory() {
        check_receipts(&trail, Durability::Instance);
    }
}

#[test]
fn a_trail_in_memory_does_not_start_unless_somebody_accepts_it() {
    let Some(trail) = Trail::in_memory() else { return };
    let open = || AuditLog::open(trail.path(), config(), SystemClock).unwrap().0;
    let refused = DurableSink::on_lasting_disk(open()).unwrap_err();
    assert_eq!(refused.kind(), DurableErrorKind::Storage { found: Storage::Volatile });

    let risk =
        RiskAcceptance::new("ops-lead", "a rehearsal", "2026-12-31T00:00:00Z".parse().unwrap()).unwrap();
    let late = "2027-01-01T00:00:00Z".parse().unwrap();
    let error = DurableSink::dangerous_on_any_disk(open(), &risk, late).unwrap_err();
    assert_eq!(error.code(), "risk.expired");
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let sink = DurableSink::dangerous_on_any_disk(open(), &risk, now).unwrap();
    assert_eq!(sink.least(), Durability::Instance, "accepting a risk makes no disk");
    assert_eq!(sink.record(event(1)).wait().unwrap().durability(), Durability::Instance);
    drop(sink);
    let first = compliance_log::audit::segment::records(trail.path()).unwrap().next().unwrap().unwrap();
    let fields: Vec<_> = first.event().fields().iter().map(|field| field.name()).collect();
    assert_eq!(first.event().kind().code(), "check.risk_accepted");
    assert_eq!(fields, ["setting", "approver", "reason", "expires", "storage"]);
}

#[track_caller]
fn check_refused(trail: &Path, config: AuditConfig, found: Storage) {
    let refused = AuditLog::open(trail, config, SystemClock).unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (AuditErrorKind::Storage { found }, "audit.storage"));
}

/// Whoever forgets what the directory is on does not start: before anything is made there.
#[test]
fn a_trail_in_memory_is_not_opened_unless_it_is_declared_that_it_may_go() {
    let Some(shm) = Trail::in_memory() else { return };
    let trail = shm.path().join("not/there/yet");
    let config = || AuditConfig::new(key());
    check_refused(&trail, config(), Storage::Volatile);
    // The operating system knows better than whoever says that it lasts.
    check_refused(&trail, config().on_lasting_storage(), Storage::Volatile);
    check_refused(&trail, config().on_any_storage().on_lasting_storage(), Storage::Volatile);
    assert!(!shm.path().join("not").exists());

    // A link does not lead around it.
    let disk = tempfile::tempdir().unwrap();
    let link = disk.path().join("link");
    std::os::unix::fs::symlink(shm.path(), &link).unwrap();
    check_refused(&link.join("trail"), config(), Storage::Volatile);

    let (log, report) = AuditLog::open(&trail, config().on_any_storage(), SystemClock).unwrap();
    assert_eq!(report.storage(), Storage::Volatile);
    assert_eq!(log.record(event(1)).wait().unwrap().durability(), Durability::Instance);
}

/// Where nobody can tell, nobody is told that it lasts. A file system of the kernel's own, which is on no list, stands
/// for all that are not; where there is none, nothing is known of anything.
#[test]
fn a_trail_on_a_file_system_nobody_knows_is_not_opened_unless_it_is_declared() {
    let trail = Path::new("/proc/audit");
    check_refused(trail, AuditConfig::new(key()), Storage::Unknown);
    // Declared either way it is tried, and fails where the kernel makes no directories.
    if Path::new("/proc/self").exists() {
        for config in [AuditConfig::new(key()).on_lasting_storage(), AuditConfig::new(key()).on_any_storage()]
        {
            assert_eq!(AuditLog::open(trail, config, SystemClock).unwrap_err().code(), "audit.io");
        }
    }
}

/// What a service gets that declares nothing.
#[test]
fn without_a_declaration_only_a_disk_opens() {
    let trail = Trail::new();
    let opened = AuditLog::open(trail.path(), AuditConfig::new(key()), SystemClock);
    match (Storage::of(trail.path()), opened) {
        (Storage::Lasting, Ok((log, _))) => assert_eq!(log.durability(), Durability::Disk),
        (Storage::Unknown | Storage::Volatile, Err(error)) => assert_eq!(error.code(), "audit.storage"),
        (storage, opened) => panic!("{storage}: {opened:?}"),
    }
}
