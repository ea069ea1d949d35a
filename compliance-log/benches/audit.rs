//! What recording and verifying cost, beside the disk's and the hash's own speed in the same run:
//! `cargo bench -p compliance-log --bench audit [-- [--quick] [append_1] [append_64] [cpu] [verify]]`.
//!
//! Only when named: `memory` writes and verifies ten million records, about 3 GB (with `--quick` two million). With
//! `--features key-store,sqlite`, `index` makes an index and asks it, `keys` works on the key stores.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use compliance_core::class::{Internal, Public};
use compliance_core::clock::{Clock as _, SystemClock, Timestamp};
use compliance_core::event::{Actor, Event, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, SubjectId, TenantId};
use compliance_core::purpose;
use compliance_log::audit::tree::{CompactTree, TreeHash};
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey, VerifyOptions};
use sha2::{Digest, Sha256};

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let scale = if is_quick { 1 } else { 5 };
    let named: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wants = |name: &str| named.is_empty() || named.iter().any(|named| *named == name);
    if wants("append_1") {
        append_1(scale);
    }
    if wants("append_64") {
        append_64(scale);
    }
    if wants("cpu") {
        cpu_per_record(scale);
    }
    if wants("verify") {
        verify_all(scale);
    }
    let names = |name: &str| named.iter().any(|named| *named == name);
    if names("memory") {
        memory(scale);
    }
    #[cfg(feature = "sqlite")]
    if names("index") {
        index(scale);
    }
    #[cfg(all(feature = "key-store", feature = "sqlite"))]
    if names("keys") {
        keys(scale);
    }
}

fn event(number: u64) -> Event {
    let at = Timestamp::from_unix_seconds(1_795_262_400 + number as i64);
    Event::builder(EventKind::DataRead, Outcome::Passed, Actor::Person(ActorId::new("staff-17").unwrap()), at)
        .tenant(TenantId::new("acme").unwrap())
        .subject(SubjectId::new(format!("user-{number:012}")).unwrap())
        .purpose(purpose!("support.data_request"))
        .field("table", Internal("customer"))
        .field("columns", Internal("name,email,street,city,postcode,phone"))
        .field("count", Public(number as i64))
        .build()
        .unwrap()
}

fn open(dir: &Path) -> AuditLog {
    let key = CheckpointKey::from_seed("bench.example/audit", [7; 32]).unwrap();
    AuditLog::open(dir, AuditConfig::new(key).on_any_storage(), SystemClock).unwrap().0
}

fn record(log: &AuditLog, event: Event) {
    let digest = event.digest();
    let receipt = log.record(event).wait().unwrap();
    assert!(*receipt.digest() == digest && receipt.durability() == log.durability());
}

fn record_len() -> usize {
    let mut bytes = Vec::new();
    event(0).encode(&mut bytes);
    bytes.len() + 43
}

struct Latencies(Vec<Duration>);

impl Latencies {
    fn time(&mut self, run: impl FnOnce()) {
        let start = Instant::now();
        run();
        self.0.push(start.elapsed());
    }

    fn print(&mut self, name: &str) -> f64 {
        self.0.sort();
        let at = |percent: usize| self.0[(self.0.len() - 1) * percent / 100].as_secs_f64() * 1e6;
        let mean = self.0.iter().sum::<Duration>().as_secs_f64() * 1e6 / self.0.len() as f64;
        println!("{name:<40} p50 {:8.1} us   p99 {:8.1} us   mean {mean:8.1} us", at(50), at(99));
        at(50)
    }
}

/// One caller waiting for each record, against one writer of the same bytes into a file made ahead.
fn append_1(scale: u64) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir.path().join("trail"));
    let mut raw = File::create(dir.path().join("raw")).unwrap();
    raw.write_all(&vec![0; 16 << 20]).unwrap();
    raw.sync_all().unwrap();
    raw.seek(SeekFrom::Start(0)).unwrap();
    let bytes = vec![0x5A; record_len()];
    let (mut ours, mut theirs) = (Latencies(Vec::new()), Latencies(Vec::new()));
    let mut numbers = 0..;
    for _ in 0..4 * scale {
        for _ in 0..100 {
            theirs.time(|| {
                raw.write_all(&bytes).unwrap();
                raw.sync_data().unwrap();
            });
        }
        for event in numbers.by_ref().take(100).map(event) {
            ours.time(|| record(&log, event));
        }
    }
    let ratio = theirs.print("append_1 raw write+fdatasync") / ours.print("append_1 durable record");
    println!("append_1: {ratio:.2} of the raw rate at the median (must: 0.80)\n");
}

/// Many callers, each waiting for its own record: one synchronisation serves those who gathered.
fn append_64(scale: u64) {
    const CALLERS: u64 = 64;
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let each = 100 * scale;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let log = &log;
            scope.spawn(move || (0..each).for_each(|number| record(log, event(caller * each + number))));
        }
    });
    let rate = (CALLERS * each) as f64 / start.elapsed().as_secs_f64();
    println!("append_64: {rate:.0} durable records/s with {CALLERS} callers\n");
}

/// Nanoseconds this thread has run, which a busy machine does not falsify; the wall clock where the system does
/// not tell.
fn cpu_time(start: Instant) -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let ran = schedstat.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    ran.unwrap_or_else(|| start.elapsed().as_nanos() as f64)
}

fn cpu_nanos(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    let before = cpu_time(start);
    run();
    cpu_time(start) - before
}

fn cpu_per_record(scale: u64) {
    let events: Vec<_> = (0..1000).map(event).collect();
    let mut tree = CompactTree::new();
    let nanos = cpu_nanos(|| {
        for _ in 0..20 * scale {
            for event in &events {
                let mut bytes = Vec::with_capacity(512);
                event.encode(&mut bytes);
                black_box(event.digest());
                tree.push(TreeHash::leaf(&bytes));
            }
        }
    });
    black_box(tree.root());
    println!(
        "cpu per record (encode, digest, leaf, tree): {:.0} ns (must: 3000)\n",
        nanos / (20_000 * scale) as f64
    );
}

fn verify_all(scale: u64) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let count = 40_000 * scale;
    (0..count).for_each(|number| drop(log.record(event(number))));
    let key = log.verifying_key().clone();
    log.close().unwrap();
    for _ in 0..3 {
        let theirs = cpu_nanos(|| {
            black_box(digest_of(dir.path()));
        });
        let options = VerifyOptions::new().key(key.clone());
        let ours = cpu_nanos(|| assert_eq!(verify(dir.path(), &options).unwrap().records(), count));
        let rate = |nanos: f64| count as f64 * 1e9 / nanos;
        println!(
            "verify: {:.0} records of {} bytes per second of cpu, sha-256 of the same files {:.0}, ratio {:.2} (must: 0.50)",
            rate(ours),
            record_len(),
            rate(theirs),
            theirs / ours
        );
    }
}

/// SHA-256 over all segments, read in pieces as large as the verifier's.
fn digest_of(dir: &Path) -> [u8; 32] {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    for path in paths {
        let mut file = File::open(path).unwrap();
        loop {
            let read = file.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
        }
    }
    hash.finalize().into()
}

/// The most memory the process has had while it wrote and verified a large log.
fn memory(scale: u64) {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let count = 2_000_000 * scale;
    let event = event(0);
    for number in 0..count {
        let recording = log.record(event.clone());
        if number % 1000 == 999 {
            drop(recording.wait().unwrap());
        }
    }
    log.close().unwrap();
    assert_eq!(verify(dir.path(), &VerifyOptions::new()).unwrap().records(), count);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let most =
        status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: not told by this system");
    println!("memory: {count} records written and verified, {most} (must: 65536 kB)");
}

/// Making the index from the first record on, and asking it for one subject's records, beside reading the whole trail for
/// them.
#[cfg(feature = "sqlite")]
fn index(scale: u64) {
    use compliance_log::audit::index::TrailIndex;
    use compliance_log::audit::query::Query;
    use compliance_log::audit::record::Circumstances;

    let (dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = open(dir.path());
    let count = 20_000 * scale;
    (0..count).for_each(|number| drop(log.record(event(number))));
    drop(log.checkpoint().unwrap());

    let index = TrailIndex::open(dir.path(), folder.path()).unwrap();
    let start = Instant::now();
    assert_eq!(index.rebuild().unwrap().added(), count);
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let len = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    println!("index: {rate:.0} records/s taken in, {} bytes each", len.sum::<u64>() / count);

    let by = Circumstances::new(Actor::System, SystemClock.now());
    let asked = |number: u64| {
        let subject = SubjectId::new(format!("user-{number:012}")).unwrap();
        Query::in_tenant(TenantId::new("acme").unwrap()).subject(subject)
    };
    let (mut ours, mut without) = (Latencies(Vec::new()), Latencies(Vec::new()));
    for turn in 0..100 {
        // Spread over the trail.
        let number = turn * 7919 % count;
        // The reading is recorded in the same trail, as a service does it.
        ours.time(|| assert_eq!(asked(number).run(&index, &by, &log).unwrap().count(), 1));
        if turn % 20 == 0 {
            without.time(|| assert_eq!(asked(number).run(dir.path(), &by, &log).unwrap().count(), 1));
        }
    }
    ours.print("index: one subject of the trail");
    without.print("the same without an index");
    println!();
}

/// Making, finding and destroying keys, in files and in SQLite, beside so many other living keys.
#[cfg(all(feature = "key-store", feature = "sqlite"))]
fn keys(scale: u64) {
    use compliance_core::random::SystemRandom;
    use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyRing, KeyStore};
    use compliance_log::key_store::{FileKeyStore, SqliteKeyStore};

    let ring = || KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let owner = |number: u64| KeyOwner::new("audit.subject", &format!("user-{number:012}")).unwrap();
    let living = 1000 * scale;
    let run = |name: &str, store: &dyn KeyStore| {
        let (mut made, mut found, mut destroyed) =
            (Latencies(Vec::new()), Latencies(Vec::new()), Latencies(Vec::new()));
        for number in 0..living {
            made.time(|| drop(store.create(&owner(number), &SystemRandom).unwrap()));
        }
        for number in 0..living {
            found.time(|| drop(store.obtain(&owner(number), &SystemRandom).unwrap()));
        }
        for number in 0..50 {
            let key = store.find(&owner(number)).unwrap().unwrap();
            destroyed.time(|| {
                let _receipt = store.destroy(key, Timestamp::UNIX_EPOCH).unwrap();
            });
        }
        made.print(&format!("{name}: key made"));
        found.print(&format!("{name}: key found and unwrapped"));
        destroyed.print(&format!("{name}: key destroyed, {living} living"));
    };
    let dir = tempfile::tempdir().unwrap();
    run("files", &FileKeyStore::open(dir.path().join("files"), ring()).unwrap());
    run("sqlite", &SqliteKeyStore::open(dir.path().join("keys.db"), ring()).unwrap());
    println!();
}
