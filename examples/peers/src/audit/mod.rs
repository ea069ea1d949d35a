//! The audit trail: how fast records become durable, and how fast they are verified.
//!
//! Everything lies in one directory, so that all sides write to the same disk.

mod sqlite;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use audit_trail::{Action, Actor as PeerActor, Chain, FileSink, Sha256Hasher, Target};
use compliance_core::class::Public;
use compliance_core::clock::{SystemClock, Timestamp};
use compliance_core::event::{Actor, Event, EventBuilder, EventKind, Sink as _};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, CorrelationId, SubjectId, TenantId};
use compliance_core::purpose;
use compliance_core::random::{BufferedRandom, SystemRandom};
use compliance_core::request::{AddressSource, ClientAddress, Correlation};
use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyStore as _, MemoryKeyStore, SealContext};
use compliance_log::audit::tree::{CompactTree, TreeHash};
use compliance_log::audit::verify::{Verdict, VerifyOptions, verify};
use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
use sha2::{Digest as _, Sha256};

use self::sqlite::SqliteWriter;
use crate::bench::Bench;
use crate::callers::rate;
use crate::disk;
use crate::measure::{Effort, Failure, Measured, alone, in_turns, peak_mib, side_by_side};

const CALLERS: usize = 64;
/// What our log prepares in advance at a time.
const AHEAD_LEN: usize = 4 * 1024 * 1024;

pub(crate) fn figures(bench: &mut Bench) -> Result<(), Failure> {
    let dir = disk::directory("audit")?;
    let effort = bench.effort;
    bench.figure("audit.append_1", "records/s", append_1(effort, dir.path()));
    bench.figure("audit.append_64", "records/s", append_64(effort, dir.path()));
    bench.figure("audit.append_64_audit_trail", "records/s", append_64_audit_trail(effort, dir.path()));
    bench.figure("audit.record_cpu", "ns", record_cpu(effort));
    bench.figure("audit.verify", "records/s", verify_all(effort, dir.path()));
    // 3 GB and a minute or two: longer than a hurry allows.
    if !effort.quick {
        bench.figure("audit.memory_10m", "MiB", memory(dir.path()));
    }
    Ok(())
}

/// One caller, one record at a time, each waiting until it is durable. The peer is the disk itself: `write` and
/// `fdatasync` of as many bytes as our log writes per record, into a file of zeros that is as long before.
fn append_1(effort: Effort, dir: &Path) -> Result<Measured, Failure> {
    let event = event()?;
    let record = vec![b'x'; bytes_per_record(dir, &event)?];
    let each = if effort.quick { 200 } else { 400 };
    let rounds = effort.rounds;

    let log = open(&dir.join("append_1"))?;
    let mut raw = OpenOptions::new().write(true).create_new(true).open(dir.join("raw"))?;
    let total = AHEAD_LEN.max(record.len() * each * (rounds + 2));
    io::copy(&mut io::repeat(0).take(total as u64), &mut raw)?;
    raw.sync_all()?;
    raw.rewind()?;
    in_turns(
        rounds,
        || rate_of(each, || Ok(log.record(event.clone()).wait().map(drop)?)),
        || {
            rate_of(each, || {
                raw.write_all(&record)?;
                Ok(raw.sync_data()?)
            })
        },
    )
}

/// 64 callers, each waiting for its record. The peer: a table in SQLite (WAL, `synchronous=FULL`) behind a thread
/// that commits whatever has queued up meanwhile in one transaction, as our log does; its rows are as long as our
/// records and are neither hashed nor signed.
fn append_64(effort: Effort, dir: &Path) -> Result<Measured, Failure> {
    let event = event()?;
    let row = vec![b'x'; bytes_per_record(dir, &event)?];
    let log = open(&dir.join("append_64"))?;
    let writer = SqliteWriter::open(&dir.join("append_64.sqlite"))?;
    let each = if effort.quick { 50 } else { 200 };
    in_turns(
        effort.rounds,
        || rate(CALLERS, each, || log.record(event.clone()).wait().is_ok()),
        || rate(CALLERS, each, || writer.append(row.clone())),
    )
}

/// 64 callers. The peer: `audit-trail`'s file sink, synchronised after each record, behind a lock: its chain takes
/// `&mut self`, so that callers cannot share a synchronisation. Its record has four of our record's fields.
fn append_64_audit_trail(effort: Effort, dir: &Path) -> Result<Measured, Failure> {
    let event = event()?;
    let log = open(&dir.join("append_64_audit_trail"))?;
    let sink = FileSink::open_or_create(dir.join("audit-trail.log"))?;
    let clock = audit_trail::MonotonicClock::new(audit_trail::SystemClock::new());
    let chain = Mutex::new(Chain::new(Sha256Hasher::new(), sink, clock));
    let append = || {
        let mut chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
        let (actor, action) = (PeerActor::new("staff-17"), Action::new("data.exported"));
        let appended = chain.append(actor, action, Target::new("user-4711"), audit_trail::Outcome::Success);
        appended.is_ok() && chain.sink_mut().sync().is_ok()
    };
    let each = if effort.quick { 50 } else { 200 };
    in_turns(
        effort.rounds,
        || rate(CALLERS, each, || log.record(event.clone()).wait().is_ok()),
        // It takes so much longer that a tenth will do.
        || rate(CALLERS, each / 10, append),
    )
}

/// What a record costs the processor, the disk aside: build the event, seal one field, encode, hash, add the leaf. Nonces
/// come from the operating system 64 at a time, the system call included.
fn record_cpu(effort: Effort) -> Result<Measured, Failure> {
    let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32])?);
    let owner = KeyOwner::new("subject", "user-4711")?;
    let key = keys.obtain(&owner, &SystemRandom)?;
    let random = BufferedRandom::new();
    let mut tree = CompactTree::new();
    let mut bytes = Vec::new();
    let mut record = || -> Result<TreeHash, Failure> {
        let context = SealContext::new("audit.field").record(b"user-4711");
        let sealed = key.seal(context, b"anna.muster@example.com", &random)?;
        let event = builder()?.field("address", sealed).build()?;
        bytes.clear();
        event.encode(&mut bytes);
        let leaf = TreeHash::leaf(&bytes);
        // The root is taken once per checkpoint, not per record.
        tree.push(leaf);
        Ok(leaf)
    };
    record()?;
    Ok(alone(effort, 1, record))
}

/// Verification of a whole trail: every byte, hash, leaf, number and checkpoint. The peer: SHA-256 over the same
/// files, read in pieces as large as ours, as `sha256sum` does it. Records per second of CPU time.
fn verify_all(effort: Effort, dir: &Path) -> Result<Measured, Failure> {
    let records: usize = if effort.quick { 50_000 } else { 500_000 };
    let trail = dir.join("verify");
    let event = event()?;
    let log = open(&trail)?;
    let key = log.verifying_key().clone();
    for _ in 0..records / 1000 {
        let recordings: Vec<_> = (0..1000).map(|_| log.record(event.clone())).collect();
        recordings.into_iter().try_for_each(|recording| recording.wait().map(drop))?;
    }
    log.close()?;
    let options = VerifyOptions::new().key(key);
    let report = verify(&trail, &options)?;
    if report.verdict() != Verdict::TamperDetecting || report.records() != records as u64 {
        return Err("the trail just written does not verify".into());
    }
    let measured = side_by_side(
        effort,
        records,
        || verify(&trail, &options).map(|report| report.records()).ok(),
        || digest_of(&trail).ok(),
    );
    Ok(Measured { ours: 1e9 / measured.ours, peer: measured.peer.map(|ns| 1e9 / ns) })
}

/// In a process of its own, so that its memory is the trail's and nothing else's.
fn memory(dir: &Path) -> Result<Measured, Failure> {
    let output = Command::new(std::env::current_exe()?).arg("trail").current_dir(dir).output()?;
    Ok(Measured::alone(String::from_utf8(output.stdout)?.trim().parse()?))
}

/// What the other process does, in its current directory: writes ten million records, verifies them all and prints the
/// most memory it took, in MiB.
pub(crate) fn measure_memory() -> Result<(), Failure> {
    const RECORDS: u64 = 10_000_000;
    let event = event()?;
    let log = open(Path::new("memory"))?;
    for number in 1..=RECORDS {
        let recording = log.record(event.clone());
        if number.is_multiple_of(1000) {
            drop(recording.wait()?);
        }
    }
    log.close()?;
    let report = verify("memory", &VerifyOptions::new())?;
    if report.verdict() != Verdict::TamperDetecting || report.records() != RECORDS {
        return Err("the trail just written does not verify".into());
    }
    println!("{}", peak_mib()?);
    Ok(())
}

/// An export of personal data by staff: about 300 bytes as a record.
fn event() -> Result<Event, Failure> {
    Ok(builder()?.build()?)
}

fn builder() -> Result<EventBuilder, Failure> {
    let at = Timestamp::from_unix_millis(1_784_678_400_123);
    let staff = Actor::Person(ActorId::new("staff-17")?);
    let client = ClientAddress::new([203, 0, 113, 7].into(), AddressSource::Header);
    let builder = Event::builder(EventKind::DataExported, Outcome::Passed, staff, at)
        .tenant(TenantId::new("acme-industries")?)
        .subject(SubjectId::new("user-4711")?)
        .client(&client)
        .purpose(purpose!("support.data_request"))
        .correlation(Correlation::new(CorrelationId::from_stored_bytes([7; 16]), None))
        .field("format", Public("csv"))
        .field("rows", Public(1200_i64))
        .field("route", Public("/v1/customers/{id}/export"))
        .field("fields", Public("name, e-mail, address, orders"));
    Ok(builder)
}

fn open(dir: &Path) -> Result<AuditLog, Failure> {
    let key = CheckpointKey::from_seed("peers.example/audit", [7; CheckpointKey::SEED_LEN])?;
    // Nobody gives up while the disk is busy.
    let config = AuditConfig::new(key).on_any_storage().queue_wait(Duration::from_secs(60));
    Ok(AuditLog::open(dir, config, SystemClock)?.0)
}

/// What one record takes in a segment, with its share of header and checkpoints.
fn bytes_per_record(dir: &Path, event: &Event) -> Result<usize, Failure> {
    const RECORDS: usize = 4096;
    let trail = tempfile::tempdir_in(dir)?;
    let log = open(trail.path())?;
    let recordings: Vec<_> = (0..RECORDS).map(|_| log.record(event.clone())).collect();
    recordings.into_iter().try_for_each(|recording| recording.wait().map(drop))?;
    log.close()?;
    Ok(segment_bytes(trail.path())?.len() / RECORDS)
}

fn segment_paths(trail: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(trail)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    Ok(paths)
}

/// SHA-256 over all segments.
fn digest_of(trail: &Path) -> Result<[u8; 32], Failure> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    for path in segment_paths(trail)? {
        let mut file = File::open(path)?;
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hash.update(buffer.get(..read).unwrap_or_default());
        }
    }
    Ok(hash.finalize().into())
}

fn segment_bytes(trail: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    for path in segment_paths(trail)? {
        File::open(path)?.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Per second of wall time.
fn rate_of(count: usize, mut operation: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let started = Instant::now();
    for _ in 0..count {
        operation()?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}
