//! Forgetting people: as data subjects at once, as actors only when their time has come.

mod trail;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, Event, EventClass, EventKind, Person, RecordErrorKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, CorrelationId, SubjectId, TenantId};
use compliance_core::random::SystemRandom;
use compliance_core::request::Correlation;
use compliance_core::seal::{KeyEncryptionKey, KeyRing, KeyStore};
use compliance_core::testing::MemorySink;
use compliance_log::audit::erasure::{Erasures, verify_people};
use compliance_log::audit::record::{Circumstances, DataAccess};
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditLog, Verdict, VerifyOptions};
use compliance_log::key_store::{CaseId, FileKeyStore, HeldKeyStore};
use tempfile::TempDir;
use trail::{RECORD, config, frames, key, repair};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn keys(dir: &Path) -> Arc<FileKeyStore> {
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    Arc::new(FileKeyStore::open(dir.join("keys"), ring).unwrap())
}

fn open(dir: &Path, keys: &Arc<FileKeyStore>) -> AuditLog {
    let config = config().seal_people(keys.clone(), Arc::new(SystemRandom));
    AuditLog::open(dir.join("trail"), config, ManualClock::at(NOW)).unwrap().0
}

fn options() -> VerifyOptions {
    VerifyOptions::new().key(key().verifying_key().clone())
}

fn erasing(dir: &Path, keys: &Arc<FileKeyStore>) -> Erasures {
    Erasures::open(keys.clone(), dir.join("erasures"), ManualClock::at(NOW)).unwrap()
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
    let erasures = erasing(dir.path(), &keys);
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
    let backup = path.join("backup");
    {
        let keys = keys(path);
        let log = open(path, &keys);
        record_anna(&log);
        copy(&path.join("keys"), &backup);
        let mut erasures = erasing(path, &keys);
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
    let mut erasures = erasing(path, &keys);
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
    let mut erasures = erasing(dir.path(), &keys);
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
    let (dir, keys, log, erasures) = with_anna();
    let kept = Retention::new(RetentionPeriod::of(Duration::from_secs(1000)));
    let mut erasures = erasures.retaining(kept, dir.path().join("trail"), options());
    let anna = ActorId::new("anna").unwrap();
    let approve = |erasures: &Erasures, actor: Actor| {
        erasures.approve_retirement(&anna, Some(&acme()), &by(actor), &log).map_err(|error| error.code())
    };
    let retire = |erasures: &mut Erasures, by: &Circumstances| {
        let receipt = erasures.retire_actor(&anna, Some(&acme()), by, &log);
        receipt.map(|receipt| receipt.destroyed().is_some()).map_err(|error| error.code())
    };
    // When it is is not for who asks to say.
    let distant = Circumstances::new(Actor::System, Timestamp::MAX).tenant(acme());
    for early in [by(Actor::System), by(person("dpo-1")), distant] {
        assert_eq!(retire(&mut erasures, &early), Err("erasure.retained"));
    }
    assert_eq!(retire(&mut erasures, &by(person("anna"))), Err("erasure.approver"));
    assert_eq!(approve(&erasures, person("anna")), Err("erasure.approver"));
    assert_eq!(approve(&erasures, Actor::System), Err("erasure.approver"));
    assert_eq!(approve(&erasures, person("dpo-1")), Ok(()));
    assert_eq!(retire(&mut erasures, &by(Actor::System)), Err("erasure.retained"));
    assert_eq!(approve(&erasures, person("dpo-1")), Ok(()), "again, which is no second person");
    assert_eq!(retire(&mut erasures, &by(Actor::System)), Err("erasure.retained"));
    assert_eq!(names(dir.path(), &*keys)[3][0].as_deref(), Some("anna"));
    let her_key = keys.find(&anna.key_owner(Some(&acme())).unwrap()).unwrap().unwrap().to_string();

    assert_eq!(approve(&erasures, person("boss-1")), Ok(()));
    // Not by herself, whoever approved and whatever the time.
    assert_eq!(retire(&mut erasures, &by(person("anna"))), Err("erasure.approver"));
    assert_eq!(retire(&mut erasures, &by(Actor::System)), Ok(true));
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

/// The trail says when somebody last did something, the configuration for how long that is kept, the clock what time it is.
#[test]
fn an_actor_is_forgotten_when_the_retention_of_the_last_they_did_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let clock = Arc::new(ManualClock::at(NOW));
    let config = config().seal_people(keys.clone(), Arc::new(SystemRandom));
    let (log, _) = AuditLog::open(dir.path().join("trail"), config, clock.clone()).unwrap();
    let act = |name: &str| {
        let read = DataAccess::read(&by(person(name)), "order", compliance_core::purpose!("support.ticket"));
        drop(log.record(read.build().unwrap()).wait().unwrap());
    };
    let [anna, staff] = ["anna", "staff-17"].map(|name| ActorId::new(name).unwrap());
    act("anna");
    clock.advance(Duration::from_secs(600));
    act("anna");
    act("staff-17");
    let long = RetentionPeriod::of(Duration::from_secs(1000));
    let opened = || Erasures::open(keys.clone(), dir.path().join("erasures"), clock.clone()).unwrap();
    let retire = |erasures: &mut Erasures, actor| {
        let receipt = erasures.retire_actor(actor, Some(&acme()), &by(Actor::System), &log);
        receipt.map(|receipt| receipt.destroyed().is_some()).map_err(|error| error.code())
    };
    clock.advance(Duration::from_secs(999));
    let retention = Retention::new(RetentionPeriod::of(Duration::ZERO)).class(EventClass::Data, long);
    let mut erasures = opened().retaining(retention.clone(), dir.path().join("trail"), options());
    assert_eq!(
        retire(&mut erasures, &anna),
        Err("erasure.retained"),
        "the first is past its time, the last not"
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(retire(&mut erasures, &anna), Ok(true));
    drop(erasures);
    // Where nobody said how long, or the trail is not there, it takes two others.
    assert_eq!(retire(&mut opened(), &staff), Err("erasure.retained"));
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let mut erasures = opened().retaining(retention.clone(), empty, options());
    assert_eq!(retire(&mut erasures, &staff), Err("audit.no_trail"));
    drop(erasures);
    // Nor while a hold of the retention itself is on it.
    let held = opened().retaining(retention.clone().hold_all(), dir.path().join("trail"), options());
    assert_eq!(retire(&mut { held }, &staff), Err("erasure.retained"));
    let mut erasures = opened().retaining(retention, dir.path().join("trail"), options());
    assert_eq!(retire(&mut erasures, &staff), Ok(true));
}

/// Whoever can write the directory makes what somebody did look old enough.
#[test]
fn an_altered_trail_does_not_say_when_an_actor_may_go() {
    let (dir, keys, log, erasures) = with_anna();
    let trail = dir.path().join("trail");
    drop(log.checkpoint().unwrap());
    let segment = trail.join("00000000000000000000.seg");
    let mut content = std::fs::read(&segment).unwrap();
    for (at, len, kind) in frames(&content) {
        if kind == RECORD {
            // Version, group commit and number come before the time.
            let early = Timestamp::from_unix_seconds(-1_000_000).as_unix_nanos().to_be_bytes();
            content[at + 6 + 13..at + 6 + 29].copy_from_slice(&early);
            repair(&mut content[at..at + len]);
        }
    }
    std::fs::write(&segment, content).unwrap();
    let kept = Retention::new(RetentionPeriod::of(Duration::from_secs(1000)));
    let mut erasures = erasures.retaining(kept, &trail, options());
    let anna = ActorId::new("anna").unwrap();
    let refused = erasures.retire_actor(&anna, Some(&acme()), &by(Actor::System), &log).unwrap_err();
    assert_eq!(refused.code(), "audit.checkpoint_root");
    assert!(keys.find(&anna.key_owner(Some(&acme())).unwrap()).unwrap().is_some());
}

/// An approval that is not on record does not count.
#[test]
fn an_approval_counts_once_it_is_recorded() {
    let (_dir, _keys, log, mut erasures) = with_anna();
    let anna = ActorId::new("anna").unwrap();
    let full = MemorySink::default();
    full.fail_with(Some(RecordErrorKind::Full));
    for name in ["dpo-1", "boss-1"] {
        let refused = erasures.approve_retirement(&anna, Some(&acme()), &by(person(name)), &full);
        assert_eq!(refused.unwrap_err().code(), "record.full");
    }
    let refused = erasures.retire_actor(&anna, Some(&acme()), &by(Actor::System), &log);
    assert_eq!(refused.unwrap_err().code(), "erasure.retained");
    // Nor is there anything to approve for who never acted.
    let nobody = ActorId::new("nobody").unwrap();
    let refused = erasures.approve_retirement(&nobody, Some(&acme()), &by(person("dpo-1")), &log);
    assert_eq!(refused.unwrap_err().code(), "seal.unknown_key");
}

/// Of the last record of a kind: its fields.
fn fields(dir: &Path, kind: EventKind) -> String {
    let told = records(dir.join("trail"))
        .unwrap()
        .map(Result::unwrap)
        .filter(|record| record.event().kind() == kind);
    format!("{:?}", told.last().expect("there is one").event().fields())
}

#[test]
fn an_erasure_that_was_not_recorded_keeps_its_receipt() {
    let (dir, keys, log, mut erasures) = with_anna();
    keys.declare_backup("monthly", Duration::from_secs(30 * 24 * 3600)).unwrap();
    let full = MemorySink::default();
    full.fail_with(Some(RecordErrorKind::Full));
    let dpo = by(person("dpo-1"));
    let unrecorded = erasures.erase(&subject("anna"), Some(&acme()), &dpo, &full).unwrap_err();
    assert_eq!(unrecorded.code(), "record.full");
    let receipt = erasures.erase(&subject("anna"), Some(&acme()), &dpo, &log).unwrap();
    let until = receipt.destroyed().unwrap().backups_until().unwrap();
    assert_eq!(until, NOW.saturating_add(Duration::from_secs(30 * 24 * 3600)));
    assert!(!receipt.is_complete(NOW) && receipt.is_complete(until.saturating_add(Duration::from_secs(1))));
    assert!(receipt.settled().is_empty());
    let told = fields(dir.path(), EventKind::ErasureCompleted);
    assert!(told.contains("pending_until") && told.contains("Integer(1)"), "{told}");

    // The same over a restart, after which nobody can tell whose it was: whoever is next brings it on record.
    erasures.erase(&subject("ben"), Some(&acme()), &dpo, &full).unwrap_err();
    drop(erasures);
    let mut erasures = erasing(dir.path(), &keys);
    let receipt = erasures.erase(&subject("ben"), Some(&acme()), &dpo, &log).unwrap();
    assert_eq!((receipt.destroyed(), receipt.settled().len()), (None, 1));
    assert_eq!(receipt.settled()[0].backups_until(), Some(until));
    let count = || records(dir.path().join("trail")).unwrap().count();
    let before = count();
    let again = erasures.erase(&subject("ben"), Some(&acme()), &dpo, &log).unwrap();
    assert_eq!((again.settled().len(), count()), (0, before + 1), "recorded once");
    assert!(fields(dir.path(), EventKind::ErasureCompleted).contains("pending_until"));
}

#[test]
fn where_there_is_no_key_nothing_is_erased_and_nothing_complete() {
    let (dir, _keys, log, mut erasures) = with_anna();
    let later = NOW.saturating_add(Duration::from_secs(1));
    let mut erase = |name: &str, tenant: Option<&str>| {
        let tenant = tenant.map(|tenant| TenantId::new(tenant).unwrap());
        let receipt = erasures.erase(&subject(name), tenant.as_ref(), &by(person("dpo-1")), &log).unwrap();
        (receipt.destroyed().is_some(), receipt.is_complete(later))
    };
    assert_eq!(erase("nobody", Some("acme")), (false, false));
    assert_eq!(erase("anna", Some("other")), (false, false), "in another tenant");
    assert_eq!(erase("anna", None), (false, false), "in none");
    assert_eq!(erase("anna", Some("acme")), (true, true));
    assert_eq!(erase("anna", Some("acme")), (false, false), "again");
    let kinds: Vec<_> = records(dir.path().join("trail"))
        .unwrap()
        .skip(4)
        .map(|record| record.unwrap().event().kind())
        .collect();
    let asked = EventKind::ErasureRequested;
    assert_eq!(kinds, [asked, asked, asked, EventKind::ErasureCompleted, asked]);
    // Nor over a trail that seals nobody.
    let plain = AuditLog::open(dir.path().join("plain"), config(), ManualClock::at(NOW)).unwrap().0;
    record_anna(&plain);
    let ben = erasures.erase(&subject("cleo"), Some(&acme()), &by(person("dpo-1")), &plain).unwrap();
    assert!(!ben.is_complete(later));
}

#[test]
fn the_record_of_a_hold_names_nobody_and_makes_no_key() {
    for (owner, tenant) in [
        (subject("anna").key_owner(Some(&acme())).unwrap(), None),
        (
            ActorId::new("anna").unwrap().key_owner(Some(&acme())).unwrap(),
            Some(TenantId::new("legal").unwrap()),
        ),
    ] {
        let (dir, keys, log, mut erasures) = with_anna();
        let counsel = Circumstances::new(person("counsel-1"), NOW);
        let counsel = match tenant.clone() {
            Some(tenant) => counsel.tenant(tenant),
            None => counsel,
        };
        let case = CaseId::new("LG-7-O-12/26").unwrap();
        erasures.hold(&owner, &case, &counsel, &log).unwrap();
        let told = fields(dir.path(), EventKind::AdministrationPerformed);
        assert!(told.contains(&keys.find(&owner).unwrap().unwrap().to_string()), "{told}");
        assert!(erasures.lift(&owner, &case, &counsel, &log).unwrap());
        let _receipt = erasures.erase(&subject("anna"), Some(&acme()), &by(person("dpo-1")), &log).unwrap();
        drop(log);
        assert_eq!(names(dir.path(), &*keys), expected(None));
        for record in records(dir.path().join("trail")).unwrap().skip(4) {
            let people = record.unwrap().event().people(&*keys).unwrap();
            let mut told = people.actor().into_iter().chain(people.on_behalf_of()).chain(people.subjects());
            assert!(!told.any(|person| *person == Person::Known("anna".into())));
        }
        for elsewhere in [None, tenant.as_ref()] {
            assert_eq!(keys.find(&subject("anna").key_owner(elsewhere).unwrap()).unwrap(), None);
        }
    }
}

#[test]
fn a_hold_on_a_person_holds_both_their_keys() {
    let (_dir, keys, log, mut erasures) = with_anna();
    let (owner, case) =
        (subject("anna").key_owner(Some(&acme())).unwrap(), CaseId::new("LG-7-O-12/26").unwrap());
    let anna = ActorId::new("anna").unwrap();
    // Nobody has a say in a hold on themselves.
    let herself = by(person("anna"));
    assert_eq!(erasures.hold(&owner, &case, &herself, &log).unwrap_err().code(), "erasure.approver");
    erasures.hold(&owner, &case, &by(person("counsel-1")), &log).unwrap();
    assert_eq!(erasures.lift(&owner, &case, &herself, &log).unwrap_err().code(), "erasure.approver");
    let refused = erasures.approve_retirement(&anna, Some(&acme()), &by(person("dpo-1")), &log).unwrap_err();
    assert_eq!(refused.code(), "erasure.held");
    let refused = erasures.erase(&subject("anna"), Some(&acme()), &by(person("dpo-1")), &log).unwrap_err();
    assert_eq!(refused.code(), "erasure.held");
    assert!(erasures.lift(&owner, &case, &by(person("counsel-1")), &log).unwrap());
    assert!(keys.holds().unwrap().is_empty());
}

#[test]
fn a_hold_wins_over_a_replay_and_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    {
        let keys = keys(path);
        let log = open(path, &keys);
        record_anna(&log);
        copy(&path.join("keys"), &path.join("backup"));
        let mut erasures = erasing(path, &keys);
        let _receipt = erasures.erase(&subject("anna"), Some(&acme()), &by(person("dpo-1")), &log).unwrap();
    }
    std::fs::remove_dir_all(path.join("keys")).unwrap();
    copy(&path.join("backup"), &path.join("keys"));
    let keys = keys(path);
    let log = AuditLog::open(path.join("again"), config(), ManualClock::at(NOW)).unwrap().0;
    let mut erasures = erasing(path, &keys);
    let (owner, case) =
        (subject("anna").key_owner(Some(&acme())).unwrap(), CaseId::new("LG-7-O-12/26").unwrap());
    erasures.hold(&owner, &case, &by(person("counsel-1")), &log).unwrap();
    let report = erasures.replay(&by(Actor::System), &log).unwrap();
    assert_eq!((report.held(), report.destroyed(), report.gone(), report.unknown()), (1, 0, 0, 0));
    assert_eq!(names(path, &*keys), expected(Some("anna")));
    assert!(erasures.lift(&owner, &case, &by(person("counsel-1")), &log).unwrap());
    let report = erasures.replay(&by(Actor::System), &log).unwrap();
    assert_eq!((report.held(), report.destroyed(), report.gone(), report.unknown()), (0, 1, 0, 0));
    assert_eq!(names(path, &*keys), expected(None));
}

/// "The actor is Anna, the subject K" would say who K is in every other record.
#[test]
fn what_somebody_did_to_themselves_leads_to_no_other_record() {
    let (dir, keys, log, mut erasures) = with_anna();
    let request = Correlation::new(CorrelationId::from_stored_bytes([7; 16]), None);
    let anna = by(person("anna")).correlation(request);
    let own = DataAccess::updated(
        &anna.clone().on_behalf_of(person("anna")),
        "profile",
        compliance_core::purpose!("own.profile"),
    );
    drop(log.record(own.subject(subject("anna")).build().unwrap()).wait().unwrap());
    let hers = keys.find(&subject("anna").key_owner(Some(&acme())).unwrap()).unwrap().unwrap();
    let _receipt = erasures.erase(&subject("anna"), Some(&acme()), &anna, &log).unwrap();
    drop(log);
    assert_eq!(names(dir.path(), &*keys), expected(None));
    let all: Vec<_> = records(dir.path().join("trail")).unwrap().map(Result::unwrap).collect();
    let own = all[4].event().people(&*keys).unwrap();
    let known = Person::Known("anna".into());
    assert_eq!(
        (own.actor(), own.on_behalf_of(), own.subjects()),
        (Some(&known), Some(&known), &[known.clone()][..])
    );
    for record in &all {
        let event = record.event();
        let named = event.people(&*keys).unwrap().actor() == Some(&known);
        let keys_in = event.sealed_subjects().iter().map(|sealed| sealed.key());
        assert!(!named || !keys_in.into_iter().any(|key| key == hers), "record {}", record.sequence());
    }
    // Nor does the record of the erasure share a request with one that names her.
    let last = all.last().unwrap().event();
    assert_eq!((last.kind(), last.actor()), (EventKind::ErasureCompleted, &Actor::System));
    assert_eq!((last.correlation(), last.client()), (None, None));
}

#[test]
fn a_ledger_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let keys = keys(dir.path());
    let erasures = erasing(dir.path(), &keys);
    let second = Erasures::open(keys.clone(), dir.path().join("erasures"), ManualClock::at(NOW));
    assert_eq!(second.unwrap_err().code(), "erasure.ledger");
    drop(erasures);
    drop(erasing(dir.path(), &keys));
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
