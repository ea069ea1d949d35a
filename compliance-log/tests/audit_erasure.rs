//! Forgetting people: as data subjects at once, as actors only when their time has come.

mod trail;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, Event, EventClass, EventKind, Person, RecordErrorKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, SubjectId, TenantId};
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyRing, KeyStore};
use compliance_core::testing::MemorySink;
use compliance_log::audit::erasure::{Erasures, verify_people};
use compliance_log::audit::record::{Circumstances, DataAccess};
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditLog, Verdict, VerifyOptions};
use compliance_log::key_store::{CaseId, FileKeyStore};
use tempfile::TempDir;
use trail::{config, key};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn keys(dir: &Path) -> Arc<FileKeyStore> {
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    Arc::new(FileKeyStore::open(dir.join("keys"), ring).unwrap())
}

fn open(dir: &Path, keys: &Arc<FileKeyStore>) -> AuditLog {
    let config = config().seal_people(keys.clone(), Arc::new(SystemRandom));
    AuditLog::open(dir.join("trail"), config, ManualClock::at(NOW)).unwrap().0
}

fn person(name: &str) -> Actor {
    Actor::Person(ActorId::new(name).unwrap())
}

fn subject(name: &str) -> SubjectId {
    SubjectId::new(name).unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn by(actor: Actor) -> Circumstances {
    Circumstances::new(actor, NOW).tenant(acme())
}

/// Anna is acted for, target, mentioned beside Ben, and acts herself.
fn record_anna(log: &AuditLog) {
    let purpose = || compliance_core::purpose!("support.ticket");
    let support = by(person("staff-17"));
    for event in [
        DataAccess::read(&support.clone().on_behalf_of(person("anna")), "customer", purpose())
            .subject(subject("ben")),
        DataAccess::updated(&support, "customer", purpose()).subject(subject("anna")),
        DataAccess::exported(&support, "customer", purpose()).subjects(["ben", "anna"].map(subject)),
        DataAccess::read(&by(person("anna")), "order", purpose()).subject(subject("ben")),
    ] {
        let event = event.build().unwrap();
        log.record(event.clone()).wait().unwrap().redeem(&event, log.durability()).unwrap();
    }
}

/// A trail with her in it, and what forgets her; the folder goes last.
fn with_anna() -> (TempDir, Arc<FileKeyStore>, AuditLog, Erasures) {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let log = open(dir.path(), &keys);
    record_anna(&log);
    let erasures = Erasures::open(keys.clone(), dir.path().join("erasures")).unwrap();
    (dir, keys, log, erasures)
}

fn names(dir: &Path, keys: &dyn KeyStore) -> Vec<Vec<Option<String>>> {
    let name = |person: &Person| match person {
        Person::Known(name) => Some(name.to_string()),
        Person::Erased(_) => None,
    };
    records(dir.join("trail"))
        .unwrap()
        .take(4)
        .map(|record| {
            let people = record.unwrap().event().people(keys).unwrap();
            let roles = [people.actor(), people.on_behalf_of()].into_iter().flatten();
            roles.chain(people.subjects()).map(name).collect()
        })
        .collect()
}

fn expected(anna: Option<&str>) -> Vec<Vec<Option<String>>> {
    let (anna, ben, staff) = (anna.map(str::to_owned), Some("ben".to_owned()), Some("staff-17".to_owned()));
    vec![
        vec![staff.clone(), anna.clone(), ben.clone()],
        vec![staff.clone(), anna.clone()],
        vec![staff, ben.clone(), anna],
        vec![Some("anna".to_owned()), ben],
    ]
}

fn bytes(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { bytes(&path) } else { std::fs::read(path).unwrap() });
    }
    all
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[track_caller]
fn check_whole(dir: &Path) {
    let options = VerifyOptions::new().key(key().verifying_key().clone()).read_events();
    assert_eq!(verify(dir.join("trail"), &options).unwrap().verdict(), Verdict::TamperDetecting);
}

#[test]
fn a_sealed_trail_names_nobody_in_plain() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let log = open(dir.path(), &keys);
    record_anna(&log);
    drop(log);
    assert_eq!(names(dir.path(), &*keys), expected(Some("anna")));
    let written = bytes(&dir.path().join("trail"));
    for name in ["anna", "ben", "staff-17"] {
        assert!(!holds(&written, name.as_bytes()), "{name}");
    }
    check_whole(dir.path());
}

#[test]
fn an_erased_person_is_gone_in_every_role_but_as_actor_even_after_a_backup_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let (ledger, backup) = (path.join("erasures"), path.join("backup"));
    {
        let keys = keys(path);
        let log = open(path, &keys);
        record_anna(&log);
        copy(&path.join("keys"), &backup);
        let mut erasures = Erasures::open(keys.clone(), &ledger).unwrap();
        let receipt = erasures.erase(&subject("anna"), Some(&acme()), &by(person("dpo-1")), &log).unwrap();
        assert!(
            receipt.destroyed().is_some() && receipt.is_complete(NOW.saturating_add(Duration::from_secs(1)))
        );
        drop(log);
        assert_eq!(names(path, &*keys), expected(None));
        let report = verify_people(path.join("trail"), &*keys).unwrap();
        assert_eq!((report.erased(), report.tampered()), (3, 0));
        check_whole(path);
    }
    // Yesterday's backup of the keys comes back.
    std::fs::remove_dir_all(path.join("keys")).unwrap();
    copy(&backup, &path.join("keys"));
    let keys = keys(path);
    assert_eq!(names(path, &*keys), expected(Some("anna")), "the backup brings her back");
    let log = open(path, &keys);
    let mut erasures = Erasures::open(keys.clone(), &ledger).unwrap();
    let report = erasures.replay(&by(Actor::System), &log).unwrap();
    assert_eq!((report.destroyed(), report.gone(), report.unknown()), (1, 0, 0));
    let report = erasures.replay(&by(Actor::System), &log).unwrap();
    assert_eq!((report.destroyed(), report.gone(), report.unknown()), (0, 1, 0));
    drop(log);
    assert_eq!(names(path, &*keys), expected(None));
    check_whole(path);
    println!(
        "3 roles erased, 1 key destroyed again after the restore, 0 readable, actor and others untouched"
    );
}

#[test]
fn the_record_of_an_erasure_does_not_name_the_erased() {
    let (dir, _keys, log, mut erasures) = with_anna();
    // She asks for it herself.
    let _receipt = erasures.erase(&subject("anna"), Some(&acme()), &by(person("anna")), &log).unwrap();
    drop(log);
    let last = records(dir.path().join("trail")).unwrap().last().unwrap().unwrap();
    assert_eq!((last.event().kind(), last.event().actor()), (EventKind::ErasureCompleted, &Actor::System));
    let ledger = std::fs::read(dir.path().join("erasures")).unwrap();
    assert!(!ledger.is_empty() && !holds(&ledger, b"anna"));
}

#[test]
fn a_legal_hold_wins_over_an_erasure() {
    let (dir, keys, log, erasures) = with_anna();
    let owner = subject("anna").key_owner(Some(&acme())).unwrap();
    let [first, second] = ["LG-7-O-12/26", "LG-7-O-13/26"].map(|case| CaseId::new(case).unwrap());
    for case in [&first, &second] {
        erasures.hold(&owner, case, &by(person("counsel-1")), &log).unwrap();
    }
    // Holds outlive the process.
    drop((erasures, log, keys));
    let keys = self::keys(dir.path());
    let log = open(dir.path(), &keys);
    let mut erasures = Erasures::open(keys.clone(), dir.path().join("erasures")).unwrap();
    let refused = erasures.erase(&subject("anna"), Some(&acme()), &by(person("dpo-1")), &log).unwrap_err();
    assert_eq!(refused.code(), "erasure.held");
    assert_eq!(names(dir.path(), &*keys), expected(Some("anna")));
    assert!(erasures.lift(&owner, &first, &by(person("counsel-1")), &log).unwrap());
    assert!(!erasures.lift(&owner, &first, &by(person("counsel-1")), &log).unwrap());
    let refused = erasures.erase(&subject("anna"), Some(&acme()), &by(person("dpo-1")), &log).unwrap_err();
    assert_eq!(refused.code(), "erasure.held", "the other case's hold is still on");
    assert!(erasures.lift(&owner, &second, &by(person("counsel-1")), &log).unwrap());
    let _receipt = erasures.erase(&subject("anna"), Some(&acme()), &by(person("dpo-1")), &log).unwrap();
    assert_eq!(names(dir.path(), &*keys), expected(None));
}

#[test]
fn nobody_shreds_their_own_trail() {
    let (dir, keys, log, mut erasures) = with_anna();
    let anna = ActorId::new("anna").unwrap();
    let retention = Retention::new(RetentionPeriod::of(Duration::from_secs(1000)));
    let trail = dir.path().join("trail");
    let after =
        Circumstances::new(Actor::System, NOW.saturating_add(Duration::from_secs(1000))).tenant(acme());
    let early = by(Actor::System);
    let approve = |erasures: &Erasures, actor: Actor| {
        erasures.approve_retirement(&anna, Some(&acme()), &by(actor), &log).map_err(|error| error.code())
    };
    let retire = |erasures: &mut Erasures, by: &Circumstances| {
        erasures
            .retire_actor(&anna, Some(&acme()), &retention, &trail, by, &log)
            .map(drop)
            .map_err(|error| error.code())
    };
    assert_eq!(retire(&mut erasures, &early), Err("erasure.retained"));
    assert_eq!(approve(&erasures, person("anna")), Err("erasure.approver"));
    assert_eq!(approve(&erasures, Actor::System), Err("erasure.approver"));
    assert_eq!(approve(&erasures, person("dpo-1")), Ok(()));
    assert_eq!(retire(&mut erasures, &early), Err("erasure.retained"));
    assert_eq!(approve(&erasures, person("dpo-1")), Ok(()), "again, which is no second person");
    assert_eq!(retire(&mut erasures, &early), Err("erasure.retained"));
    assert_eq!(names(dir.path(), &*keys)[3][0].as_deref(), Some("anna"));
    let her_key = keys.find(&anna.key_owner(Some(&acme())).unwrap()).unwrap().unwrap().to_string();

    assert_eq!(approve(&erasures, person("boss-1")), Ok(()));
    assert_eq!(retire(&mut erasures, &early), Ok(()));
    assert_eq!(retire(&mut erasures, &after), Ok(()), "after its time nobody need approve");
    assert_eq!(names(dir.path(), &*keys)[3][0], None);
    let kept: Vec<_> = records(dir.path().join("trail")).unwrap().skip(4).map(Result::unwrap).collect();
    let kinds: Vec<_> = kept.iter().map(|record| record.event().kind()).collect();
    let approved = EventKind::AdministrationPerformed;
    assert_eq!(kinds[..4], [approved, approved, approved, EventKind::ErasureCompleted]);
    // It is told whose key by the key, which names nobody.
    for record in &kept[..3] {
        let shown = format!("{:?}", record.event().fields());
        assert!(shown.contains(&her_key) && !shown.contains("anna"), "{shown}");
    }
}

/// How long somebody's key is kept is for the trail and the policy to say, not for whoever calls.
#[test]
fn an_actors_key_outlives_the_retention_of_the_last_thing_they_did() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let clock = Arc::new(ManualClock::at(NOW));
    let config = config().seal_people(keys.clone(), Arc::new(SystemRandom));
    let (log, _) = AuditLog::open(dir.path().join("trail"), config, clock.clone()).unwrap();
    record_anna(&log);
    clock.advance(Duration::from_secs(500));
    let read = DataAccess::read(&by(person("anna")), "order", compliance_core::purpose!("support.ticket"));
    drop(log.record(read.build().unwrap()).wait().unwrap());
    let mut erasures = Erasures::open(keys.clone(), dir.path().join("erasures")).unwrap();
    let anna = ActorId::new("anna").unwrap();
    let trail = dir.path().join("trail");
    let mut retire = |retention: &Retention, trail: &Path, after: u64| {
        let at = NOW.saturating_add(Duration::from_secs(after));
        let by = Circumstances::new(Actor::System, at).tenant(acme());
        erasures
            .retire_actor(&anna, Some(&acme()), retention, trail, &by, &log)
            .map(|receipt| receipt.destroyed().is_some())
            .map_err(|error| error.code())
    };
    let period = |seconds| RetentionPeriod::of(Duration::from_secs(seconds));
    let short = Retention::new(period(100));
    // A class kept longer, the last record, a hold of the policy; an empty folder proves nothing.
    let longer = short.clone().class(EventClass::Data, period(1000));
    assert_eq!(retire(&longer, &trail, 1499), Err("erasure.retained"));
    assert_eq!(retire(&short, &trail, 599), Err("erasure.retained"));
    assert_eq!(retire(&short.clone().hold_all(), &trail, 9999), Err("erasure.held"));
    assert_eq!(retire(&short, dir.path(), 9999), Err("audit.no_trail"));
    assert_eq!(retire(&short, &trail, 600), Ok(true));
    assert_eq!(retire(&short, &trail, 601), Ok(false), "there is nothing left to destroy");
}

/// An approval that is not on record does not count.
#[test]
fn an_approval_counts_once_it_is_recorded() {
    let (dir, _keys, log, mut erasures) = with_anna();
    let anna = ActorId::new("anna").unwrap();
    let full = MemorySink::default();
    full.fail_with(Some(RecordErrorKind::Full));
    for name in ["dpo-1", "boss-1"] {
        let refused = erasures.approve_retirement(&anna, Some(&acme()), &by(person(name)), &full);
        assert_eq!(refused.unwrap_err().code(), "record.full");
    }
    let retention = Retention::new(RetentionPeriod::of(Duration::from_secs(1000)));
    let trail = dir.path().join("trail");
    let refused = erasures.retire_actor(&anna, Some(&acme()), &retention, &trail, &by(Actor::System), &log);
    assert_eq!(refused.unwrap_err().code(), "erasure.retained");
    // Nor is there anything to approve for who never acted.
    let nobody = ActorId::new("nobody").unwrap();
    let refused = erasures.approve_retirement(&nobody, Some(&acme()), &by(person("dpo-1")), &log);
    assert_eq!(refused.unwrap_err().code(), "seal.unknown_key");
}

#[test]
fn a_person_from_another_event_or_store_is_tampering_not_erasure() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let read = |at: i64| {
        Event::builder(EventKind::DataRead, Outcome::Passed, Actor::System, Timestamp::from_unix_seconds(at))
            .subject(subject("anna"))
            .build()
            .unwrap()
            .seal_people(&*keys, &SystemRandom)
            .unwrap()
    };
    let (first, second) = (read(1), read(2));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    first.encode(&mut a);
    second.encode(&mut b);
    // The sealed person stands at the end; put the one into the other.
    let sealed_len = first.sealed_subjects()[0].to_bytes().len();
    let at = a.len() - sealed_len;
    a.truncate(at);
    a.extend_from_slice(&b[b.len() - sealed_len..]);
    let forged = Event::decode(&a).unwrap();
    assert_eq!(forged.people(&*keys).unwrap_err().code(), "seal.open_failed");
    let elsewhere = tempfile::tempdir().unwrap();
    let others = self::keys(elsewhere.path());
    assert_eq!(first.people(&*others).unwrap_err().code(), "seal.open_failed");
}
