//! A trail in a directory of its own, with small segments and frequent checkpoints.
#![expect(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use compliance_core::class::Public;
use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, Event, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, SubjectId};
use compliance_core::purpose;
use compliance_log::audit::durable::Storage;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{
    AuditConfig, AuditLog, CheckpointKey, SignedCheckpoint, VerifyOptions, VerifyReport,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) fn key() -> CheckpointKey {
    CheckpointKey::from_seed("test.example/audit", [7; 32]).unwrap()
}

pub(crate) fn config() -> AuditConfig {
    AuditConfig::new(key())
        .on_any_storage()
        .segment_len(4096)
        .checkpoint_every(16)
        .checkpoint_interval(Duration::from_secs(3600))
        .reserve_len(4096)
}

pub(crate) fn event(number: u64) -> Event {
    let at = Timestamp::from_unix_seconds(1_795_262_400 + number as i64);
    let actor = Actor::Person(ActorId::new("staff-17").unwrap());
    Event::builder(EventKind::DataRead, Outcome::Passed, actor, at)
        .subject(SubjectId::new(format!("user-{number}")).unwrap())
        .purpose(purpose!("support.data_request"))
        .field("count", Public(number as i64))
        .build()
        .unwrap()
}

/// An event with so many sealed fields of the largest size.
#[cfg(feature = "key-store")]
pub(crate) fn sealed_fields(count: usize) -> Event {
    use compliance_core::random::SystemRandom;
    use compliance_core::seal::{
        KeyEncryptionKey, KeyOwner, KeyStore as _, MemoryKeyStore, SealContext, Sealed,
    };

    const NAMES: [&str; 18] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r"];
    let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let owner = KeyOwner::new("subject", "user-1").unwrap();
    let value = vec![0; Sealed::MAX_VALUE_LEN];
    let longest = keys.seal(&owner, SealContext::new("audit.field"), &value, &SystemRandom).unwrap();
    let builder = Event::builder(EventKind::DataRead, Outcome::Passed, Actor::System, Timestamp::UNIX_EPOCH);
    let fields = NAMES[..count].iter();
    fields.fold(builder, |builder, name| builder.field(name, longest.clone())).build().unwrap()
}

pub(crate) struct Trail {
    dir: TempDir,
}

impl Trail {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// In memory; `None`, said aloud, where there is no RAM disk at hand.
    pub(crate) fn in_memory() -> Option<Self> {
        let shm = Path::new("/dev/shm");
        if Storage::of(shm) == Storage::Volatile {
            return Some(Self { dir: tempfile::tempdir_in(shm).unwrap() });
        }
        println!("skipped: /dev/shm is no RAM disk here");
        None
    }

    /// A copy of another trail as it stands on disk.
    pub(crate) fn copy_of(other: &Self) -> Self {
        let copy = Self::new();
        copy.restore(&other.snapshot());
        copy
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn open(&self) -> AuditLog {
        let clock = ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap());
        AuditLog::open(self.path(), config(), clock).unwrap().0
    }

    /// Records so many events one after the other and closes the trail.
    pub(crate) fn record(&self, count: u64) -> SignedCheckpoint {
        let log = self.open();
        for number in 0..count {
            let event = event(number);
            log.record(event.clone()).wait().unwrap().redeem(&event, log.durability()).unwrap();
        }
        log.close().unwrap()
    }

    pub(crate) fn verify(&self) -> VerifyReport {
        verify(self.path(), &VerifyOptions::new()).unwrap()
    }

    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let mut segments: Vec<_> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        segments.sort();
        segments
    }

    /// Every file and its content.
    pub(crate) fn snapshot(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    /// Puts the directory back to a snapshot.
    pub(crate) fn restore(&self, files: &[(String, Vec<u8>)]) {
        for entry in fs::read_dir(self.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, content) in files {
            fs::write(self.path().join(name), content).unwrap();
        }
    }
}

/// Where the frames of a segment are: offset, length, kind.
pub(crate) fn frames(segment: &[u8]) -> Vec<(usize, usize, u8)> {
    let mut frames = Vec::new();
    let mut at = 0;
    while segment.get(at) == Some(&0xC5) {
        let body = u32::from_be_bytes(segment[at + 2..at + 6].try_into().unwrap()) as usize;
        frames.push((at, body + 14, segment[at + 1]));
        at += body + 14;
    }
    frames
}

pub(crate) const RECORD: u8 = 1;
pub(crate) const CHECKPOINT: u8 = 2;
pub(crate) const HEADER: u8 = 3;

/// Gives a frame the check its body asks for, as whoever knows the format can.
pub(crate) fn repair(frame: &mut [u8]) {
    let prefix = match frame[1] {
        RECORD => 0,
        kind => kind,
    };
    let body_end = frame.len() - 8;
    let hash = Sha256::new_with_prefix([prefix]).chain_update(&frame[6..body_end]).finalize();
    frame[body_end..].copy_from_slice(&hash[..8]);
}

/// A frame of any kind with this body, as whoever knows the format can make it.
pub(crate) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0xC5, kind];
    frame.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(body);
    frame.extend_from_slice(&[0; 8]);
    repair(&mut frame);
    frame
}

/// Appends a record that nobody signed to a segment without space ahead.
pub(crate) fn forge(segment: &Path, sequence: u64, event: &Event) {
    let mut content = fs::read(segment).unwrap();
    let mut body = vec![1];
    body.extend_from_slice(&u32::try_from(content.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&sequence.to_be_bytes());
    body.extend_from_slice(&event.at().as_unix_nanos().to_be_bytes());
    event.encode(&mut body);
    content.extend_from_slice(&frame(RECORD, &body));
    fs::write(segment, content).unwrap();
}

/// The number a segment is named after.
pub(crate) fn first_of(segment: &Path) -> u64 {
    segment.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

/// The same for an entry of a trail's directory; `None` for all other files.
pub(crate) fn first_of_name(entry: &fs::DirEntry) -> Option<u64> {
    entry.file_name().to_str()?.strip_suffix(".seg")?.parse().ok()
}
