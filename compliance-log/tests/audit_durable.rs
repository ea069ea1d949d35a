//! Where a service keeps what it must not lose.

mod trail;

use std::path::Path;

use compliance_core::event::{Durability, Sink as _};
use compliance_core::finding::RiskAcceptance;
use compliance_log::audit::durable::{DurableErrorKind, DurableSink, Storage};
use compliance_log::audit::{AuditConfig, AuditErrorKind, AuditLog, CheckpointKey};
use trail::{Trail, config, event};

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

#[test]
fn a_trail_in_memory_does_not_start_unless_somebody_accepts_it() {
    let shm = Path::new("/dev/shm");
    if Storage::of(shm) != Storage::Volatile {
        println!("skipped: /dev/shm is no RAM disk here");
        return;
    }
    let dir = tempfile::tempdir_in(shm).unwrap();
    let open = || {
        let clock = compliance_core::clock::SystemClock;
        AuditLog::open(dir.path(), config(), clock).unwrap().0
    };
    let refused = DurableSink::on_lasting_disk(open()).unwrap_err();
    assert_eq!(refused.kind(), DurableErrorKind::Storage { found: Storage::Volatile });

    let risk =
        RiskAcceptance::new("ops-lead", "a rehearsal", "2026-12-31T00:00:00Z".parse().unwrap()).unwrap();
    let late = "2027-01-01T00:00:00Z".parse().unwrap();
    let error = DurableSink::dangerous_on_any_disk(open(), &risk, late).unwrap_err();
    assert_eq!(error.code(), "risk.expired");
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    drop(DurableSink::dangerous_on_any_disk(open(), &risk, now).unwrap());
    let first = compliance_log::audit::segment::records(dir.path()).unwrap().next().unwrap().unwrap();
    let fields: Vec<_> = first.event().fields().iter().map(|field| field.name()).collect();
    assert_eq!(fields, ["setting", "storage", "approver", "reason", "expires"]);
}

/// Whoever forgets what the directory is on does not start: before anything is made there.
#[test]
fn a_trail_in_memory_is_not_opened_unless_it_is_declared_that_it_may_go() {
    let shm = Path::new("/dev/shm");
    if Storage::of(shm) != Storage::Volatile {
        println!("skipped: /dev/shm is no RAM disk here");
        return;
    }
    let dir = tempfile::tempdir_in(shm).unwrap();
    let trail = dir.path().join("not/there/yet");
    let key = || CheckpointKey::from_seed("test.example/audit", [7; 32]).unwrap();
    let clock = compliance_core::clock::SystemClock;
    let refused = AuditLog::open(&trail, AuditConfig::new(key()), clock).unwrap_err();
    assert_eq!(refused.code(), "audit.storage");
    assert_eq!(refused.kind(), AuditErrorKind::Storage { found: Storage::Volatile });
    assert!(!dir.path().join("not").exists());

    // A link does not lead around it.
    let disk = tempfile::tempdir().unwrap();
    let link = disk.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    let refused = AuditLog::open(link.join("trail"), AuditConfig::new(key()), clock).unwrap_err();
    assert_eq!(refused.code(), "audit.storage");

    let (log, report) = AuditLog::open(&trail, AuditConfig::new(key()).on_any_storage(), clock).unwrap();
    assert_eq!(report.storage(), Storage::Volatile);
    drop(log.record(event(1)).wait().unwrap());
    // What must not be lost still finds no place in it.
    assert_eq!(DurableSink::on_lasting_disk(log).unwrap_err().code(), "durable.storage");
}

#[test]
fn a_trail_on_a_disk_gives_receipts_of_the_disk() {
    let trail = Trail::new();
    match (Storage::of(trail.path()), DurableSink::on_lasting_disk(trail.open())) {
        (Storage::Lasting, Ok(sink)) => {
            assert_eq!(sink.least(), Durability::Disk);
            sink.record(event(1)).wait().unwrap().redeem(&event(1), sink.least()).unwrap();
        }
        (Storage::Unknown | Storage::Volatile, Err(error)) => assert_eq!(error.code(), "durable.storage"),
        (storage, sink) => panic!("{storage}: {sink:?}"),
    }
}
