//! The whole story: somebody is forgotten as a data subject, a backup from before comes back, the ledger is replayed, and
//! years later what they did themselves is forgotten too.

mod trail;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, Event, EventKind, FieldValueKind, Person, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, SubjectId, TenantId};
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyRing, KeyStore, SealContext};
use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::erasure::{Erasures, verify_people};
use compliance_log::audit::export::{ExportFormat, Exporter};
use compliance_log::audit::index::TrailIndex;
use compliance_log::audit::query::{Query, TenantTrail};
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditLog, Verdict, VerifyOptions};
use compliance_log::key_store::{Approval, CaseId, FileKeyStore, HeldKeyStore, SqliteKeyStore};
use trail::{config, key};

const DAY: Duration = Duration::from_secs(24 * 3600);
const NOTE: SealContext<'static> = SealContext::new("audit.note");

#[derive(Clone, Copy, Debug)]
enum Store {
    File,
    Sqlite,
}

struct Service {
    dir: PathBuf,
    store: Store,
    clock: Arc<ManualClock>,
}

/// What is open at a time; dropped, it is as after a shutdown.
struct Open {
    keys: Arc<dyn HeldKeyStore>,
    log: AuditLog,
}

impl Service {
    fn keys_dir(&self) -> PathBuf {
        self.dir.join("keys")
    }

    fn trail(&self) -> PathBuf {
        self.dir.join("trail")
    }

    fn keys(&self) -> Arc<dyn HeldKeyStore> {
        let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
        match self.store {
            Store::File => Arc::new(FileKeyStore::open(self.keys_dir(), ring).unwrap()),
            Store::Sqlite => {
                fs::create_dir_all(self.keys_dir()).unwrap();
                Arc::new(SqliteKeyStore::open(self.keys_dir().join("keys.db"), ring).unwrap())
            }
        }
    }

    fn open(&self) -> Open {
        let keys = self.keys();
        let config = config().seal_people(keys.clone(), Arc::new(SystemRandom));
        let (log, _) = AuditLog::open(self.trail(), config, self.clock.clone()).unwrap();
        Open { keys, log }
    }

    fn erasures(&self, open: &Open) -> Erasures {
        let kept = Retention::new(RetentionPeriod::of(DAY * 3660));
        Erasures::open(open.keys.clone(), self.dir.join("erasures"), self.clock.clone()).unwrap().retaining(
            kept,
            self.trail(),
            VerifyOptions::new().key(key().verifying_key().clone()),
        )
    }

    fn now(&self) -> Timestamp {
        use compliance_core::clock::Clock;
        self.clock.now()
    }

    fn by(&self, actor: Actor) -> Circumstances {
        Circumstances::new(actor, self.now()).tenant(acme())
    }

    /// The trail is whole since the anchor, and nobody in it was tampered with.
    #[track_caller]
    fn check_whole(&self, keys: &dyn KeyStore, anchor: &CheckpointNote) {
        let options =
            VerifyOptions::new().key(key().verifying_key().clone()).anchor(anchor.clone()).read_events();
        let verdict = verify(self.trail(), &options).unwrap().verdict();
        assert!(matches!(verdict, Verdict::TamperEvident { .. }), "{verdict}");
        assert_eq!(verify_people(self.trail(), keys).unwrap().tampered(), 0);
    }

    /// Who stands in the first records: actor, acted for, subjects; `None` for the erased.
    fn people(&self, keys: &dyn KeyStore) -> Vec<Vec<Option<String>>> {
        let name = |person: &Person| match person {
            Person::Known(name) => Some(name.to_string()),
            Person::Erased(_) => None,
        };
        records(self.trail())
            .unwrap()
            .take(5)
            .map(|record| {
                let people = record.unwrap().event().people(keys).unwrap();
                let roles = [people.actor(), people.on_behalf_of()].into_iter().flatten();
                roles.chain(people.subjects()).map(name).collect()
            })
            .collect()
    }

    /// The note about her in the last of those records, which is sealed in a field.
    fn note(&self, keys: &dyn KeyStore) -> Result<Vec<u8>, &'static str> {
        let record = records(self.trail()).unwrap().nth(4).unwrap().unwrap();
        let field = record.event().fields().iter().find(|field| field.name() == "note").unwrap();
        let FieldValueKind::Sealed(sealed) = field.value() else { panic!("the note is sealed") };
        keys.open(NOTE, sealed).map(|opened| opened.as_bytes().to_vec()).map_err(|error| error.code())
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn subject(name: &str) -> SubjectId {
    SubjectId::new(name).unwrap()
}

fn person(name: &str) -> Actor {
    Actor::Person(ActorId::new(name).unwrap())
}

fn as_subject(name: &str) -> KeyOwner {
    subject(name).key_owner(Some(&acme())).unwrap()
}

/// Anna as the one acted for, as target, as mentioned beside others, in a field, and as the one who acted.
fn live(service: &Service, open: &Open) {
    let event = |kind, by| Event::builder(kind, Outcome::Passed, by, service.now()).tenant(acme());
    let note = open.keys.seal(&as_subject("anna"), NOTE, b"allergic to nuts", &SystemRandom).unwrap();
    let events = [
        event(EventKind::DataUpdated, person("staff-17"))
            .on_behalf_of(person("anna"))
            .subject(subject("ben")),
        event(EventKind::DataRead, person("staff-17")).subject(subject("anna")),
        event(EventKind::DataExported, person("staff-17")).subject(subject("ben")).subject(subject("anna")),
        event(EventKind::AdministrationPerformed, person("anna")).subject(subject("ben")),
        event(EventKind::DataUpdated, Actor::System).subject(subject("cleo")).field("note", note),
        // Whose key the backup has, too: what was made after it would be lost with it.
        event(EventKind::AdministrationPerformed, person("counsel-1")),
    ];
    for event in events {
        drop(open.log.record(event.build().unwrap()).wait().unwrap());
    }
}

fn expected(as_subject: Option<&str>, as_actor: Option<&str>) -> Vec<Vec<Option<String>>> {
    let [subject, actor] = [as_subject, as_actor].map(|name| name.map(str::to_owned));
    let [ben, cleo, staff] = ["ben", "cleo", "staff-17"].map(|name| Some(name.to_owned()));
    vec![
        vec![staff.clone(), subject.clone(), ben.clone()],
        vec![staff.clone(), subject.clone()],
        vec![staff, ben.clone(), subject],
        vec![actor, ben],
        vec![cleo],
    ]
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn is_in(dir: &Path, needle: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let content = fs::read(entry.unwrap().path()).unwrap();
        content.windows(needle.len()).any(|window| window == needle.as_bytes())
    })
}

fn forget(store: Store) {
    let dir = tempfile::tempdir().unwrap();
    let begun = "2026-11-21T12:00:00Z".parse().unwrap();
    let service = Service { dir: dir.path().to_owned(), store, clock: Arc::new(ManualClock::at(begun)) };
    let (backup, index_dir) = (dir.path().join("backup"), dir.path().join("index"));
    let exporter = |keys: &Arc<dyn HeldKeyStore>| Exporter::new("service", "1").open_people(keys.clone());

    // A life in the service, and a backup of the keys.
    let open = service.open();
    open.keys.declare_backup("monthly", DAY * 30).unwrap();
    live(&service, &open);
    let anchor = CheckpointNote::parse(open.log.checkpoint().unwrap().note()).unwrap();
    assert_eq!(service.people(&*open.keys), expected(Some("anna"), Some("anna")));
    assert_eq!(service.note(&*open.keys).unwrap(), b"allergic to nuts");
    let sealed_under = open.keys.find(&as_subject("anna")).unwrap().unwrap();
    drop(open);
    copy(&service.keys_dir(), &backup);

    // She asks to be forgotten. A hold is on her first; then it is lifted.
    service.clock.advance(DAY);
    let open = service.open();
    let mut erasures = service.erasures(&open);
    let case = CaseId::new("LG-7-O-12/26").unwrap();
    erasures.hold(&as_subject("anna"), &case, &service.by(person("counsel-1")), &open.log).unwrap();
    let by = service.by(person("anna"));
    let held = erasures.erase(&subject("anna"), Some(&acme()), &by, &open.log).unwrap_err();
    assert_eq!(held.code(), "erasure.held");
    let strict = Retention::new(RetentionPeriod::of(Duration::ZERO)).holds_of(open.keys.clone());
    let kept = strict.retire(&open.log, &service.by(Actor::System)).unwrap();
    assert_eq!(kept.segments(), 0, "the hold keeps the records too");
    assert!(erasures.lift(&as_subject("anna"), &case, &service.by(person("counsel-1")), &open.log).unwrap());
    let receipt = erasures.erase(&subject("anna"), Some(&acme()), &by, &open.log).unwrap();
    assert_eq!(receipt.destroyed().unwrap().key(), sealed_under);

    // Gone in every role but as the one who acted; pending until the last backup is.
    assert_eq!(service.people(&*open.keys), expected(None, Some("anna")));
    assert_eq!(service.note(&*open.keys), Err("seal.destroyed"));
    assert!(!receipt.is_complete(service.now().saturating_add(DAY * 30)));
    assert!(receipt.is_complete(service.now().saturating_add(DAY * 31)));
    assert_eq!(erasures.pending(service.now()).unwrap().len(), 1);
    service.check_whole(&*open.keys, &anchor);
    drop((erasures, open));

    // Something breaks, and the backup from before comes back.
    fs::remove_dir_all(service.keys_dir()).unwrap();
    copy(&backup, &service.keys_dir());
    let open = service.open();
    assert_eq!(service.people(&*open.keys), expected(Some("anna"), Some("anna")), "it brings her back");
    let mut erasures = service.erasures(&open);
    let report = erasures.replay(&service.by(Actor::System), &open.log).unwrap();
    assert_eq!((report.destroyed(), report.gone(), report.unknown()), (1, 0, 0));

    // Nothing of her as a data subject can be read, by whatever door.
    assert_eq!(service.people(&*open.keys), expected(None, Some("anna")));
    assert_eq!(service.note(&*open.keys), Err("seal.destroyed"));
    let index = TrailIndex::open(service.trail(), &index_dir).unwrap();
    let acmes = TenantTrail::new(&index, acme());
    let desk = service.by(person("staff-17"));
    let about_her = Query::in_tenant(acme()).sealed_subject(subject("anna"), sealed_under);
    let found: Vec<_> = about_her.run(&acmes, &desk, &open.log).unwrap().map(Result::unwrap).collect();
    assert!(found.len() >= 3, "what happened is still there");
    for record in &found {
        let people = record.event().people(&*open.keys).unwrap();
        let others = people.subjects().iter().chain(people.on_behalf_of());
        assert!(others.into_iter().all(|person| *person != Person::Known("anna".into())));
    }
    let mut exported = Vec::new();
    exporter(&open.keys)
        .export(&acmes, Query::in_tenant(acme()), ExportFormat::Jsonl, &mut exported, &desk, &open.log)
        .unwrap();
    let exported = String::from_utf8(exported).unwrap();
    let hers: Vec<_> = exported.lines().filter(|line| line.contains("\"anna\"")).collect();
    // Only what she did herself, and her own word that she be forgotten does not name her.
    assert_eq!(hers.len(), 1, "{hers:#?}");
    assert!(hers[0].contains("administration.performed") && exported.contains("\"erased\""));
    for place in [service.trail(), index_dir.clone()] {
        assert!(!is_in(&place, "anna") && !is_in(&place, "allergic"), "{place:?}");
    }

    // What she did stays attributable, the others are untouched, the trail is whole.
    let as_actor = ActorId::new("anna").unwrap().key_owner(Some(&acme())).unwrap();
    let her_key = open.keys.find(&as_actor).unwrap().unwrap();
    let by_her = Query::in_tenant(acme()).sealed_actor(ActorId::new("anna").unwrap(), her_key);
    assert_eq!(by_her.run(&acmes, &desk, &open.log).unwrap().count(), 1);
    service.check_whole(&*open.keys, &anchor);

    // Years later the retention of what she did ends. Not before.
    let anna = ActorId::new("anna").unwrap();
    let early = erasures.retire_actor(&anna, Some(&acme()), &service.by(Actor::System), &open.log);
    assert_eq!(early.unwrap_err().code(), "erasure.retained");
    assert_eq!(service.people(&*open.keys), expected(None, Some("anna")));
    service.clock.advance(DAY * 3700);
    let _receipt =
        erasures.retire_actor(&anna, Some(&acme()), &service.by(Actor::System), &open.log).unwrap();
    assert_eq!(service.people(&*open.keys), expected(None, None));
    service.check_whole(&*open.keys, &anchor);
    drop((erasures, open));
    assert!(!is_in(&service.keys_dir(), "anna"));
    let ledger = fs::read_to_string(dir.path().join("erasures")).unwrap();
    assert!(!ledger.contains("anna") && ledger.lines().filter(|line| line.starts_with("1 ")).count() == 3);
    println!(
        "{store:?}: 4 places erased, 1 key destroyed again, 0 readable; 1 action attributable until its time"
    );
}

#[test]
fn the_forgotten_stay_forgotten_with_keys_in_files() {
    forget(Store::File);
}

#[test]
fn the_forgotten_stay_forgotten_with_keys_in_sqlite() {
    forget(Store::Sqlite);
}

/// Two people approve, and a hold comes after that: the step that destroys the key looks at both.
fn early_destruction(store: Store) {
    let dir = tempfile::tempdir().unwrap();
    let begun: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let service = Service { dir: dir.path().to_owned(), store, clock: Arc::new(ManualClock::at(begun)) };
    let open = service.open();
    live(&service, &open);
    let anna = ActorId::new("anna").unwrap();
    let owner = anna.key_owner(Some(&acme())).unwrap();
    let case = CaseId::new("LG-7-O-12/26").unwrap();
    let erasures = service.erasures(&open);
    for name in ["dpo-1", "counsel-1"] {
        let by = service.by(Actor::Person(ActorId::new(name).unwrap()));
        erasures.approve_retirement(&anna, Some(&acme()), &by, &open.log).unwrap();
    }
    // Approvals outlive the process.
    drop((erasures, open));
    let open = service.open();
    let mut erasures = service.erasures(&open);
    let by = service.by(Actor::System);

    erasures.hold(&owner, &case, &service.by(Actor::System), &open.log).unwrap();
    let refused = erasures.retire_actor(&anna, Some(&acme()), &by, &open.log).unwrap_err();
    assert_eq!(refused.code(), "erasure.held");
    let late = service.by(Actor::Person(ActorId::new("boss-1").unwrap()));
    let refused = erasures.approve_retirement(&anna, Some(&acme()), &late, &open.log).unwrap_err();
    assert_eq!(refused.code(), "erasure.held", "nobody need approve what a hold forbids");
    assert_eq!(service.people(&*open.keys), expected(Some("anna"), Some("anna")));
    let ledger = || {
        fs::read_to_string(dir.path().join("erasures"))
            .unwrap()
            .lines()
            .filter(|line| line.starts_with("1 "))
            .count()
    };
    assert_eq!(ledger(), 0, "nothing was noted as destroyed");

    // Their word does not wait for ever.
    assert!(erasures.lift(&owner, &case, &by, &open.log).unwrap());
    service.clock.advance(Approval::LIFE + Duration::from_secs(1));
    let by = service.by(Actor::System);
    let lapsed = erasures.retire_actor(&anna, Some(&acme()), &by, &open.log).unwrap_err();
    assert_eq!((lapsed.code(), ledger()), ("erasure.retained", 0));
    for name in ["dpo-1", "counsel-1"] {
        let by = service.by(Actor::Person(ActorId::new(name).unwrap()));
        erasures.approve_retirement(&anna, Some(&acme()), &by, &open.log).unwrap();
    }
    let _receipt = erasures.retire_actor(&anna, Some(&acme()), &by, &open.log).unwrap();
    assert_eq!((service.people(&*open.keys), ledger()), (expected(Some("anna"), None), 1));
}

#[test]
fn a_hold_placed_after_two_people_approved_wins_with_keys_in_files() {
    early_destruction(Store::File);
}

#[test]
fn a_hold_placed_after_two_people_approved_wins_with_keys_in_sqlite() {
    early_destruction(Store::Sqlite);
}
