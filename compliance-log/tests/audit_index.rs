//! The index answers as reading every segment does, whatever state its file is in.

mod trail;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, ManualClock, Timestamp};
use compliance_core::event::{Actor, Event, EventClass, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, CorrelationId, SubjectId, TenantId};
use compliance_core::random::SystemRandom;
use compliance_core::request::Correlation;
use compliance_core::seal::{KeyEncryptionKey, KeyRing, KeyStore};
use compliance_core::testing::MemorySink;
use compliance_log::audit::AuditLog;
use compliance_log::audit::index::{INDEX_FILE, RebuildReason, TrailIndex};
use compliance_log::audit::query::{Query, TenantTrail, TrailSource};
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use compliance_log::audit::segment::records;
use compliance_log::key_store::FileKeyStore;
use proptest::prelude::*;
use tempfile::TempDir;
use trail::config;

const T0: i64 = 1_795_262_400;
const NAMES: [&str; 4] = ["anna", "ben", "cleo", "dora"];
const TENANTS: [&str; 2] = ["acme", "other"];
const KINDS: [EventKind; 4] =
    [EventKind::DataRead, EventKind::AccountUpdated, EventKind::AuthenticationLogin, EventKind::DataExported];

fn subject(name: &str) -> SubjectId {
    SubjectId::new(name).unwrap()
}

fn actor(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn correlation(number: u8) -> CorrelationId {
    CorrelationId::from_stored_bytes([number; 16])
}

/// What one event is made of; small sets, so that much is shared.
type Draw = (usize, usize, usize, Vec<usize>, u8, i64);

fn draws(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Draw>> {
    let subjects = prop::collection::vec(0..NAMES.len(), 0..3);
    prop::collection::vec((0..4_usize, 0..3_usize, 0..6_usize, subjects, 0..5_u8, -3..20_i64), count)
}

fn event((kind, in_tenant, by, subjects, request, _): &Draw) -> Event {
    let by = match by {
        0 => Actor::System,
        1 => Actor::Program(actor("ben")),
        more => Actor::Person(actor(NAMES[more - 2])),
    };
    let mut event = Event::builder(KINDS[*kind], Outcome::Passed, by, Timestamp::from_unix_seconds(T0));
    if let Some(name) = TENANTS.get(*in_tenant) {
        event = event.tenant(tenant(name));
    }
    if let Some((first, rest)) = subjects.split_first() {
        event = event.on_behalf_of(Actor::Person(actor(NAMES[*first])));
        for name in rest {
            event = event.subject(subject(NAMES[*name]));
        }
    }
    if *request > 0 {
        event = event.correlation(Correlation::new(correlation(*request), None));
    }
    event.build().unwrap()
}

/// A trail, its index beside it, and perhaps keys that its people are sealed under.
struct Desk {
    dir: TempDir,
    keys: Option<Arc<FileKeyStore>>,
}

impl Desk {
    fn new(is_sealed: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ring = || KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
        let keys = is_sealed.then(|| Arc::new(FileKeyStore::open(dir.path().join("keys"), ring()).unwrap()));
        Self { dir, keys }
    }

    fn trail(&self) -> PathBuf {
        self.dir.path().join("trail")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("index").join(INDEX_FILE)
    }

    fn index(&self) -> TrailIndex {
        TrailIndex::open(self.trail(), self.dir.path().join("index")).unwrap()
    }

    fn open(&self) -> (AuditLog, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_unix_seconds(T0)));
        let mut config = config();
        if let Some(keys) = &self.keys {
            config = config.seal_people(keys.clone(), Arc::new(SystemRandom));
        }
        (AuditLog::open(self.trail(), config, clock.clone()).unwrap().0, clock)
    }

    fn record(&self, draws: &[Draw]) {
        let (log, clock) = self.open();
        for draw in draws {
            // Clocks go backwards too.
            clock.set(Timestamp::from_unix_seconds(T0 + draw.5));
            drop(log.record(event(draw)).wait().unwrap());
        }
    }

    /// A sample of all there is to ask.
    fn queries(&self) -> Vec<Query> {
        let key = |owner| self.keys.as_ref().and_then(|keys| keys.find(&owner).unwrap());
        let time = |seconds| Timestamp::from_unix_seconds(T0 + seconds);
        let mut queries = vec![Query::in_all_tenants()];
        for name in TENANTS {
            let in_tenant = || Query::in_tenant(tenant(name));
            queries.push(in_tenant());
            queries.push(in_tenant().class(EventClass::Data));
            for person in NAMES {
                let (whom, who) = (subject(person), actor(person));
                let subject_key = key(whom.key_owner(Some(&tenant(name))).unwrap());
                let actor_key = key(who.key_owner(Some(&tenant(name))).unwrap());
                queries.push(in_tenant().subject(whom.clone()));
                queries.push(Query::in_all_tenants().actor(who.clone()));
                if let (Some(subject_key), Some(actor_key)) = (subject_key, actor_key) {
                    queries.push(in_tenant().sealed_subject(whom.clone(), subject_key));
                    queries.push(Query::in_all_tenants().sealed_actor(who, actor_key));
                    queries.push(in_tenant().sealed_subject(whom, subject_key).between(time(2), time(9)));
                }
            }
        }
        queries.extend((0..5).map(|number| Query::in_all_tenants().correlation(correlation(number))));
        queries.push(Query::in_all_tenants().between(time(5), time(12)));
        queries.push(Query::in_all_tenants().between(time(12), time(5)));
        queries.push(Query::in_all_tenants().between(Timestamp::MIN, time(1)).class(EventClass::Account));
        queries
    }

    /// Every query over the index gives what it gives over the segments. How many records that were.
    #[track_caller]
    fn check(&self, index: &TrailIndex) -> usize {
        let (mut given, sink) = (0, MemorySink::default());
        for query in self.queries() {
            let found = numbers(query.clone(), index, &sink);
            assert_eq!(found, numbers(query.clone(), self.trail(), &sink), "{query:?}");
            given += found.iter().filter(|found| found.is_ok()).count();
        }
        given
    }
}

fn staff() -> Circumstances {
    Circumstances::new(Actor::Person(actor("staff-17")), Timestamp::from_unix_seconds(T0))
}

fn numbers(query: Query, source: impl TrailSource, sink: &MemorySink) -> Vec<Result<u64, &'static str>> {
    let found = query.run(source, &staff(), sink).unwrap();
    found.map(|record| record.map(|record| record.sequence()).map_err(|error| error.code())).collect()
}

fn some_draws(count: usize) -> Vec<Draw> {
    let mut state = 7_usize;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..count)
        .map(|_| {
            let subjects = (0..next(3)).map(|_| next(NAMES.len())).collect();
            (next(4), next(3), next(6), subjects, u8::try_from(next(5)).unwrap(), next(23) as i64 - 3)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_index_answers_as_the_segments_do(first in draws(0..40), then in draws(0..40), is_sealed: bool) {
        let desk = Desk::new(is_sealed);
        desk.record(&first);
        let index = desk.index();
        desk.check(&index);
        // Behind: it catches up.
        desk.record(&then);
        desk.check(&index);
        prop_assert_eq!(index.refresh().unwrap().added(), 0);
        // Opened again, and made anew: the same answers.
        drop(index);
        let index = desk.index();
        prop_assert_eq!(index.refresh().unwrap().rebuilt(), None);
        desk.check(&index);
        let report = index.rebuild().unwrap();
        prop_assert_eq!(report.rebuilt(), Some(RebuildReason::Asked));
        prop_assert_eq!(report.records(), records(desk.trail()).unwrap().count() as u64);
        desk.check(&index);
    }
}

#[test]
fn a_damaged_index_is_noticed_or_harmless_at_every_byte() {
    let desk = Desk::new(false);
    desk.record(&some_draws(60));
    assert_eq!(desk.index().refresh().unwrap().rebuilt(), Some(RebuildReason::New));
    let whole = fs::read(desk.file()).unwrap();
    let (mut rebuilt, mut harmless, sink) = (0, 0, MemorySink::default());
    // A stride that is prime to the page size comes to every place in a page.
    for at in (0..whole.len()).step_by(127) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x41;
        fs::write(desk.file(), &flipped).unwrap();
        let index = desk.index();
        match index.refresh().unwrap().rebuilt() {
            Some(RebuildReason::Damaged) => rebuilt += 1,
            None => harmless += 1,
            other => panic!("{at}: {other:?}"),
        }
        for query in [Query::in_all_tenants(), Query::in_tenant(tenant("acme")).subject(subject("anna"))] {
            let found = numbers(query.clone(), &index, &sink);
            assert_eq!(found, numbers(query, desk.trail(), &sink), "byte {at}");
        }
    }
    println!(
        "{} bytes, every 127th flipped: {rebuilt} noticed, {harmless} harmless, 0 believed",
        whole.len()
    );
    assert!(rebuilt > harmless / 10);
    for cut in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(desk.file(), &whole[..cut]).unwrap();
        let index = desk.index();
        assert_eq!(index.refresh().unwrap().rebuilt(), Some(RebuildReason::Damaged), "cut at {cut}");
        desk.check(&index);
    }
    fs::write(desk.file(), b"This is a diary.").unwrap();
    desk.check(&desk.index());
}

/// Runs one statement over the index's file behind its back.
fn meddle(file: &Path, statement: &'static str) {
    use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        sqlx::query(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn rows_taken_out_put_in_or_changed_are_noticed() {
    let desk = Desk::new(false);
    desk.record(&some_draws(60));
    for statement in [
        "DELETE FROM posting WHERE seq = 7",
        "DELETE FROM record WHERE seq = 7",
        "UPDATE record SET at = at + 1 WHERE seq = 7",
        "UPDATE record SET leaf = zeroblob(32) WHERE seq = 7",
        "UPDATE record SET second = 0",
        "UPDATE posting SET seq = 99 WHERE term = (SELECT min(term) FROM posting WHERE seq = 7) AND seq = 7",
        "INSERT INTO posting VALUES (1, 1)",
        "UPDATE state SET next = next - 1",
        "UPDATE state SET form = 1",
        "DELETE FROM state",
        "DROP INDEX record_second",
        "CREATE TRIGGER t AFTER INSERT ON record BEGIN DELETE FROM posting; END",
    ] {
        let _report = desk.index().refresh().unwrap();
        meddle(&desk.file(), statement);
        let index = desk.index();
        assert_eq!(index.refresh().unwrap().rebuilt(), Some(RebuildReason::Damaged), "{statement}");
        desk.check(&index);
    }
}

#[test]
fn an_index_of_another_trail_is_made_anew() {
    let (ours, theirs) = (Desk::new(false), Desk::new(false));
    ours.record(&some_draws(60));
    theirs.record(&some_draws(61)[1..]);
    let _report = theirs.index().refresh().unwrap();
    fs::create_dir(ours.dir.path().join("index")).unwrap();
    fs::copy(theirs.file(), ours.file()).unwrap();
    let index = ours.index();
    assert_eq!(index.refresh().unwrap().rebuilt(), Some(RebuildReason::Foreign));
    ours.check(&index);
}

#[test]
fn a_trail_that_was_put_back_is_seen_as_another() {
    let desk = Desk::new(false);
    desk.record(&some_draws(20));
    let yesterday: Vec<_> = fs::read_dir(desk.trail())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    desk.record(&some_draws(30));
    let index = desk.index();
    let _report = index.refresh().unwrap();
    fs::remove_dir_all(desk.trail()).unwrap();
    fs::create_dir(desk.trail()).unwrap();
    for (path, content) in yesterday {
        fs::write(path, content).unwrap();
    }
    let report = index.refresh().unwrap();
    assert_eq!((report.rebuilt(), report.records()), (Some(RebuildReason::Foreign), 20));
    desk.check(&index);
}

#[test]
fn what_is_retired_is_forgotten() {
    let desk = Desk::new(false);
    desk.record(&some_draws(120));
    let index = desk.index();
    let _report = index.refresh().unwrap();
    let (log, clock) = desk.open();
    clock.set(Timestamp::from_unix_seconds(T0 + 1000));
    let by = Circumstances::new(Actor::System, clock.now());
    let retired = Retention::new(RetentionPeriod::of(Duration::from_secs(100))).retire(&log, &by);
    let first = retired.unwrap().before();
    assert!(first > 0);
    drop(log);
    let report = index.refresh().unwrap();
    assert_eq!((report.rebuilt(), report.added()), (None, 1), "the record of the retirement");
    assert_eq!(report.records(), records(desk.trail()).unwrap().count() as u64);
    desk.check(&index);
    drop(index);
    desk.check(&desk.index());
}

#[test]
fn no_identifier_stands_in_the_index() {
    let desk = Desk::new(false);
    desk.record(&some_draws(60));
    let _report = desk.index().refresh().unwrap();
    let written = fs::read(desk.file()).unwrap();
    for name in NAMES.iter().chain(&TENANTS) {
        assert!(!written.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
}

#[test]
fn a_trail_changed_under_an_index_is_told_not_given() {
    let desk = Desk::new(false);
    desk.record(&some_draws(10));
    let index = desk.index();
    let _report = index.refresh().unwrap();
    let path = fs::read_dir(desk.trail())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .unwrap();
    let sink = MemorySink::default();
    let whole = fs::read(&path).unwrap();
    let frames: Vec<_> = trail::frames(&whole).into_iter().filter(|frame| frame.2 == trail::RECORD).collect();
    let mut changed = whole.clone();
    changed[frames[3].0 + 40] ^= 1;
    fs::write(&path, changed).unwrap();
    let mut found = Query::in_all_tenants().run(&index, &staff(), &sink).unwrap();
    let whole_before: Vec<_> = found.by_ref().take(3).map(|record| record.unwrap().sequence()).collect();
    assert_eq!(whole_before, [0, 1, 2]);
    assert_eq!(found.next().unwrap().unwrap_err().code(), "audit.frame_damaged");
    assert!(found.next().is_none());
    // The last record the index has, with nothing whole behind it: the same as over the segments.
    let mut changed = whole;
    changed[frames[9].0 + 40] ^= 1;
    fs::write(&path, changed).unwrap();
    for is_indexed in [true, false] {
        let query = Query::in_all_tenants();
        let found = if is_indexed {
            query.run(&index, &staff(), &sink)
        } else {
            query.run(desk.trail(), &staff(), &sink)
        };
        let found: Vec<_> = found
            .unwrap()
            .map(|record| record.map(|it| it.sequence()).map_err(|error| error.code()))
            .collect();
        assert_eq!(found.len(), 10);
        assert_eq!((found[8], found[9]), (Ok(8), Err("audit.frame_damaged")));
    }
}

#[test]
fn who_is_sealed_is_not_denied_to_one_who_asks_by_name() {
    const CANNOT_TELL: Result<u64, &str> = Err("query.sealed");
    let about = |in_tenant, by, whom: &[usize]| (0, in_tenant, by, whom.to_vec(), 0, 0);
    let mut desk = Desk::new(true);
    let keys = desk.keys.take();
    // In plain: about anna in acme, by ben, and about nobody in the other tenant, by the system.
    desk.record(&[about(0, 3, &[0]), about(1, 0, &[])]);
    desk.keys = keys;
    // Sealed: about cleo in acme, by dora.
    desk.record(&[about(0, 5, &[2])]);
    let index = desk.index();
    let key = |owner| desk.keys.as_ref().unwrap().find(&owner).unwrap().unwrap();
    let cleo = key(subject("cleo").key_owner(Some(&tenant("acme"))).unwrap());
    let dora = key(actor("dora").key_owner(Some(&tenant("acme"))).unwrap());
    let check = |query: Query, expected: &[Result<u64, &str>]| {
        let sink = MemorySink::default();
        assert_eq!(numbers(query.clone(), desk.trail(), &sink), expected, "{query:?}");
        assert_eq!(numbers(query.clone(), &index, &sink), expected, "{query:?}");
    };
    let acme = || Query::in_tenant(tenant("acme"));
    check(acme().subject(subject("anna")), &[Ok(0), CANNOT_TELL]);
    check(acme().subject(subject("cleo")), &[CANNOT_TELL]);
    check(acme().actor(actor("ben")), &[Ok(0), CANNOT_TELL]);
    check(acme().sealed_subject(subject("cleo"), cleo), &[Ok(2)]);
    check(acme().sealed_actor(actor("dora"), dora), &[Ok(2)]);
    // Both are asked for; that one is somebody else is known.
    check(acme().subject(subject("anna")).sealed_actor(actor("dora"), dora), &[CANNOT_TELL]);
    check(acme().subject(subject("anna")).sealed_actor(actor("dora"), cleo), &[]);
    // Nobody is sealed in what is asked for.
    check(Query::in_tenant(tenant("other")).subject(subject("cleo")), &[]);
    check(acme().subject(subject("cleo")).class(EventClass::Account), &[]);
    check(acme(), &[Ok(0), Ok(2)]);
}

#[test]
fn the_trail_of_a_tenant_gives_that_tenants_records_alone() {
    let desk = Desk::new(false);
    desk.record(&some_draws(60));
    let index = desk.index();
    let sink = MemorySink::default();
    for (name, other) in [("acme", "other"), ("other", "acme")] {
        let over_dir = TenantTrail::new(desk.trail(), tenant(name));
        let over_index = TenantTrail::new(&index, tenant(name));
        let own = |query: Query| {
            let scanned: Vec<_> =
                query.clone().run(&over_dir, &staff(), &sink).unwrap().map(Result::unwrap).collect();
            let found: Vec<_> =
                query.run(&over_index, &staff(), &sink).unwrap().map(Result::unwrap).collect();
            assert_eq!(scanned, found);
            assert!(
                !found.is_empty()
                    && found.iter().all(|record| record.event().tenant() == Some(&tenant(name)))
            );
        };
        own(Query::in_tenant(tenant(name)));
        own(Query::in_tenant(tenant(name)).subject(subject("anna")));
        for wide in [
            Query::in_all_tenants(),
            Query::in_tenant(tenant(other)),
            Query::in_all_tenants().subject(subject("anna")),
        ] {
            let before = sink.events().len();
            let refused = wide.clone().run(&over_dir, &staff(), &sink).unwrap_err();
            assert_eq!(refused.code(), "query.other_tenant");
            assert_eq!(wide.run(&over_index, &staff(), &sink).unwrap_err().code(), "query.other_tenant");
            let events = sink.events();
            let told: Vec<_> = events[before..].iter().map(|event| (event.kind(), event.outcome())).collect();
            assert_eq!(told, [(EventKind::SystemTrailRead, Outcome::Refused); 2]);
        }
    }
}

#[test]
fn a_reading_is_in_the_trail_and_not_in_its_answer() {
    let desk = Desk::new(false);
    desk.record(&some_draws(40));
    let (log, _clock) = desk.open();
    let index = desk.index();
    for asked in 0..3_u64 {
        let found = Query::in_all_tenants().run(&index, &staff(), &log).unwrap();
        // While it is read, others write.
        drop(log.record(event(&some_draws(1)[0])).wait().unwrap());
        let found: Vec<_> = found.map(|record| record.unwrap().sequence()).collect();
        assert_eq!(found, (0..40 + 2 * asked).collect::<Vec<_>>());
    }
    let sink = MemorySink::default();
    sink.fail_with(Some(compliance_core::event::RecordErrorKind::Full));
    assert_eq!(Query::in_all_tenants().run(&index, &staff(), &sink).unwrap_err().code(), "record.full");
}

#[test]
fn an_index_works_inside_an_async_runtime_and_beside_none() {
    let desk = Desk::new(false);
    desk.record(&some_draws(20));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { desk.check(&desk.index()) });
    std::thread::scope(|scope| assert!(scope.spawn(|| desk.check(&desk.index())).join().unwrap() > 0));
}
