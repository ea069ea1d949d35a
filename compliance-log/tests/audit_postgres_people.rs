//! People in events that go through the database: sealed before, forgotten after.

mod database;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock as _, ManualClock, SystemClock};
use compliance_core::event::{Actor, Durability, Person, Sink as _};
use compliance_core::id::{ActorId, SubjectId};
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyRing};
use compliance_log::audit::Verdict;
use compliance_log::audit::erasure::{Erasures, verify_people};
use compliance_log::audit::postgres::{PostgresOptions, PostgresSink, Sequencer};
use compliance_log::audit::record::Circumstances;
use compliance_log::key_store::{FileKeyStore, SqliteKeyStore};
use database::{Database, Proxy, drain_all, events, options, pool, server};
use trail::{Trail, config, event};

#[tokio::test(flavor = "multi_thread")]
async fn people_are_sealed_before_they_reach_the_database() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let trail = Trail::new();
    let beside = tempfile::tempdir().unwrap();
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let keys = Arc::new(FileKeyStore::open(beside.path().join("keys"), ring).unwrap());
    let sealing = PostgresOptions::default().seal_people(keys.clone(), Arc::new(SystemRandom));
    let sink = PostgresSink::open(&database.pool, sealing).await.unwrap();

    let mut transaction = database.pool.begin().await.unwrap();
    let uncommitted = sink.record_in(&mut transaction, &event(4711)).await.unwrap();
    transaction.commit().await.unwrap();
    // The receipt is for what was handed over.
    sink.confirm(uncommitted).await.unwrap().redeem(&event(4711), Durability::Remote).unwrap();
    let body: Vec<u8> =
        sqlx::query_scalar("SELECT body FROM audit_event").fetch_one(&database.pool).await.unwrap();
    for name in ["user-4711", "staff-17"] {
        assert!(!body.windows(name.len()).any(|window| window == name.as_bytes()), "{name} is in the row");
    }

    let clock = ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap());
    let sealed = config().seal_people(keys.clone(), Arc::new(SystemRandom));
    let refused =
        Sequencer::open(&database.pool, PostgresOptions::default(), trail.path(), sealed, clock).await;
    assert_eq!(refused.unwrap_err().code(), "sequencer.seals");

    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 1);
    let people = events(&trail)[0].people(&*keys).unwrap();
    assert_eq!(people.subjects(), [Person::Known("user-4711".into())]);

    let (dir, erasing) = (beside.path().join("erasures"), keys.clone());
    let sink = tokio::task::spawn_blocking(move || {
        let by = Circumstances::new(Actor::System, SystemClock.now());
        let mut erasures = Erasures::open(erasing, dir, SystemClock).unwrap();
        let subject = SubjectId::new("user-4711").unwrap();
        assert!(erasures.erase(&subject, None, &by, &sink).unwrap().destroyed().is_some());
        sink
    })
    .await
    .unwrap();
    drain_all(&mut sequencer).await;
    sequencer.close().await.unwrap();
    let report = verify_people(trail.path(), &*keys).unwrap();
    assert_eq!((report.verified(), report.erased(), report.tampered()), (1, 1, 0));
    assert_eq!(trail.verify().verdict(), Verdict::TamperDetecting);
    drop(sink);
    database.drop().await;
}

/// Two people approve through the database, and the key goes; what each of them did is in the trail, in order. While
/// the database is away nobody's approval counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_destruction_by_two_people_is_told_by_way_of_the_database() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let proxy = Proxy::to(&database.server).await;
    let through = pool(options(&proxy.server(&database.server), &database.schema)).await;
    let (trail, beside) = (Trail::new(), tempfile::tempdir().unwrap());
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let keys = Arc::new(SqliteKeyStore::open(beside.path().join("keys.db"), ring).unwrap());
    let sealing = || PostgresOptions::default().seal_people(keys.clone(), Arc::new(SystemRandom));
    let sink = PostgresSink::open(&database.pool, sealing()).await.unwrap();
    let away = PostgresSink::open(&through, sealing().patience(Duration::from_millis(10))).await.unwrap();
    proxy.go();
    sink.record(event(1)).await.unwrap().redeem(&event(1), Durability::Remote).unwrap();

    let (dir, erasing) = (beside.path().join("erasures"), keys.clone());
    let (sink, away) = tokio::task::spawn_blocking(move || {
        let mut erasures = Erasures::open(erasing, dir, SystemClock).unwrap();
        let now = SystemClock.now();
        let staff = ActorId::new("staff-17").unwrap();
        let by = |name: &str| Circumstances::new(Actor::Person(ActorId::new(name).unwrap()), now);
        erasures.approve_retirement(&staff, None, &by("dpo-1"), &sink).unwrap();
        erasures.approve_retirement(&staff, None, &by("boss-1"), &away).unwrap_err();
        let refused = erasures.retire_actor(&staff, None, &by("dpo-1"), &sink).unwrap_err();
        assert_eq!(refused.code(), "erasure.retained");
        erasures.approve_retirement(&staff, None, &by("boss-1"), &sink).unwrap();
        let receipt = erasures.retire_actor(&staff, None, &by("dpo-1"), &sink).unwrap();
        assert!(receipt.destroyed().is_some());
        (sink, away)
    })
    .await
    .unwrap();
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 4);
    sequencer.close().await.unwrap();
    let actors: Vec<_> =
        events(&trail).iter().map(|event| event.people(&*keys).unwrap().actor().cloned()).collect();
    let known = |name: &str| Some(Person::Known(name.into()));
    assert!(matches!(actors[0], Some(Person::Erased(_))));
    assert_eq!(actors[1..], [known("dpo-1"), known("boss-1"), known("dpo-1")]);
    assert_eq!(trail.verify().verdict(), Verdict::TamperDetecting);
    drop((sink, away));
    database.drop().await;
}
