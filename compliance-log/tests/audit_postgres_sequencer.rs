//! Taking over from the database into the trail: once, in order, by one.

mod database;
mod trail;

use std::time::Duration;

use compliance_core::clock::{Clock as _, SystemClock};
use compliance_core::event::{Actor, Durability, Event, EventKind, Sink as _};
use compliance_core::finding::Outcome;
use compliance_log::audit::Verdict;
use compliance_log::audit::postgres::{SequencerErrorKind, TablePrefix, record_statement};
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use database::{Database, drain_all, events, server};
use sqlx::AssertSqlSafe;
use trail::{Trail, event};

/// Rows anybody with the right to insert could have put there.
async fn insert_rubbish(database: &Database) {
    let mut reserved = Vec::new();
    let word = Event::builder(
        EventKind::SystemTrailRetired,
        Outcome::Passed,
        Actor::System,
        "2026-11-21T12:00:00Z".parse().unwrap(),
    );
    word.field("before", compliance_core::class::Internal(1_000_000_i64))
        .build()
        .unwrap()
        .encode(&mut reserved);
    let mut cut = Vec::new();
    event(0).encode(&mut cut);
    cut.pop();
    for (token, body) in [(1_u8, reserved), (2, cut), (3, b"\0\xFF no event".to_vec())] {
        sqlx::query(AssertSqlSafe(record_statement(TablePrefix::default())))
            .bind(vec![token; 16])
            .bind(body)
            .bind(1_795_262_400_000_i64)
            .execute(&database.pool)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_no_event_is_recorded_as_dropped_and_kept() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, trail) = (database.sink().await, Trail::new());
    insert_rubbish(&database).await;
    sink.record(event(1)).await.unwrap().redeem(&event(1), Durability::Remote).unwrap();
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 4);
    sequencer.close().await.unwrap();
    let kinds: Vec<_> = events(&trail).iter().map(Event::kind).collect();
    let dropped = EventKind::SystemEventsDropped;
    assert_eq!(kinds, [dropped, dropped, dropped, EventKind::DataRead]);
    let refused: Vec<String> = sqlx::query_scalar(
        "SELECT refused FROM audit_event WHERE refused IS NOT NULL AND body IS NOT NULL ORDER BY id",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert_eq!(refused, ["record.reserved", "event.truncated", "event.version"]);
    assert_eq!(trail.verify().verdict(), Verdict::TamperDetecting);
    drop(sink);
    database.drop().await;
}

/// Puts the tables back to what they were: as if the leader had died between writing and marking.
async fn forget_marks(database: &Database) {
    database
        .run(
            "BEGIN; DELETE FROM audit_event; \
             INSERT INTO audit_event OVERRIDING SYSTEM VALUE SELECT * FROM saved_event; \
             UPDATE audit_trail SET (records, last) = (SELECT records, last FROM saved_trail); COMMIT",
        )
        .await;
}

async fn save_marks(database: &Database) {
    database
        .run(
            "DROP TABLE IF EXISTS saved_event, saved_trail; \
             CREATE TABLE saved_event AS SELECT * FROM audit_event; \
             CREATE TABLE saved_trail AS SELECT * FROM audit_trail",
        )
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_but_not_marked_is_recognised() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, trail) = (database.sink().await, Trail::new());
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    for number in 0..20 {
        sink.record(event(number)).await.unwrap().redeem(&event(number), Durability::Remote).unwrap();
    }
    drain_all(&mut sequencer).await;
    // Three rows with one and the same content, three that are none, and ordinary ones.
    insert_rubbish(&database).await;
    for number in [20, 7, 7, 7, 21, 22] {
        sink.record(event(number)).await.unwrap().redeem(&event(number), Durability::Remote).unwrap();
    }
    save_marks(&database).await;
    assert_eq!(drain_all(&mut sequencer).await, 9);
    sequencer.close().await.unwrap();
    let (before, marked) = (events(&trail), "SELECT count(*) FROM audit_event WHERE sequence IS NOT NULL");
    assert_eq!(before.len(), 29);

    forget_marks(&database).await;
    assert_eq!(database.number(marked).await, 20);
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 0, "nothing is taken twice");
    assert_eq!(database.number(marked).await, 29);
    assert_eq!(database.number("SELECT count(*) FROM audit_event WHERE refused IS NOT NULL").await, 3);
    // And it goes on where it was.
    sink.record(event(23)).await.unwrap().redeem(&event(23), Durability::Remote).unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 1);
    sequencer.close().await.unwrap();
    assert_eq!(events(&trail), [&before[..], &[event(23)]].concat());
    drop(sink);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_epoch_is_over_marks_nothing() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, trail) = (database.sink().await, Trail::new());
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(sequencer.drain().await.unwrap(), 0);
    for number in 0..10 {
        sink.record(event(number)).await.unwrap().redeem(&event(number), Durability::Remote).unwrap();
    }
    // As a pooler does that gives one session to two clients, and the lock with it.
    database.run("UPDATE audit_trail SET epoch = epoch + 1").await;
    let error = sequencer.drain().await.unwrap_err();
    assert_eq!((error.kind(), error.is_final()), (SequencerErrorKind::Fenced, false));
    assert_eq!(database.number("SELECT count(*) FROM audit_event WHERE sequence IS NOT NULL").await, 0);
    // It wrote before it knew. Leading anew, it recognises what it wrote.
    assert_eq!(drain_all(&mut sequencer).await, 0);
    assert_eq!(database.number("SELECT count(*) FROM audit_event WHERE sequence IS NOT NULL").await, 10);
    sequencer.close().await.unwrap();
    assert_eq!(events(&trail).len(), 10);
    drop(sink);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sequencer_leads_and_the_next_takes_over_when_its_session_ends() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, trail) = (database.sink().await, Trail::new());
    let mut first = database.sequencer(&trail).await.unwrap();
    sink.record(event(0)).await.unwrap().redeem(&event(0), Durability::Remote).unwrap();
    assert_eq!(first.drain().await.unwrap(), 1);

    assert_eq!(database.sequencer(&trail).await.unwrap_err().code(), "audit.locked");
    let elsewhere = Trail::copy_of(&trail);
    let mut second = database.sequencer(&elsewhere).await.unwrap();
    assert_eq!(second.drain().await.unwrap_err().kind(), SequencerErrorKind::NotLeader);

    // The first one's session ends, as when its lease does.
    // Only it: other tests have leaders in the same database.
    let lock = "SELECT count(pg_terminate_backend(pid)) FROM pg_locks, \
        (SELECT hashtextextended('audit sequencer ' || 'audit_trail'::regclass::oid, 0) AS key) AS own \
        WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() \
        AND classid::bigint = (key >> 32 & 4294967295) AND objid::bigint = (key & 4294967295) \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(database.number(lock).await, 1);
    sink.record(event(1)).await.unwrap().redeem(&event(1), Durability::Remote).unwrap();
    while second.drain().await.is_err() {}
    assert!(first.drain().await.is_err());
    assert_eq!(first.drain().await.unwrap_err().kind(), SequencerErrorKind::NotLeader);
    assert_eq!(database.number("SELECT count(*) FROM audit_event WHERE sequence IS NULL").await, 0);
    assert_eq!(events(&elsewhere), [event(0), event(1)]);
    // The trail that was left behind leads no more.
    second.close().await.unwrap();
    let error = first.drain().await.unwrap_err();
    assert_eq!(error.kind(), SequencerErrorKind::TrailBehind { found: 1, expected: 2 });
    assert!(error.is_final());
    drop((first, sink));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_rolled_back_and_another_trail_are_refused() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, trail) = (database.sink().await, Trail::new());
    let record = async |number| drop(sink.record(event(number)).await.unwrap());
    record(0).await;
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    drain_all(&mut sequencer).await;
    sequencer.close().await.unwrap();
    let yesterday = trail.snapshot();
    record(1).await;
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    drain_all(&mut sequencer).await;
    sequencer.close().await.unwrap();
    let today = trail.snapshot();

    trail.restore(&yesterday);
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    let error = sequencer.drain().await.unwrap_err();
    assert_eq!(error.kind(), SequencerErrorKind::TrailBehind { found: 1, expected: 2 });
    drop(sequencer);

    let other = Trail::new();
    let log = other.open();
    for number in [50, 51] {
        drop(log.record(event(number)).wait().unwrap());
    }
    log.close().unwrap();
    let mut sequencer = database.sequencer(&other).await.unwrap();
    assert_eq!(sequencer.drain().await.unwrap_err().code(), "sequencer.other_trail");
    drop(sequencer);

    // Somebody with the key and the directory puts a record in that nobody handed over.
    trail.restore(&today);
    let log = trail.open();
    drop(log.record(event(99)).wait().unwrap());
    log.close().unwrap();
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    let error = sequencer.drain().await.unwrap_err();
    assert_eq!(error.kind(), SequencerErrorKind::UnknownRecord { sequence: 2 });
    drop((sequencer, sink));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_declare_database_restored_nothing_is_taken_twice() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, trail) = (database.sink().await, Trail::new());
    let record = async |number| drop(sink.record(event(number)).await.unwrap());
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    record(0).await;
    drain_all(&mut sequencer).await;
    record(1).await;
    save_marks(&database).await;
    record(2).await;
    drain_all(&mut sequencer).await;
    sequencer.close().await.unwrap();
    // The backup has the second event waiting and never heard of the third.
    forget_marks(&database).await;
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    let error = sequencer.drain().await.unwrap_err();
    assert_eq!(error.kind(), SequencerErrorKind::UnknownRecord { sequence: 2 });
    let mut sequencer = sequencer.declare_database_restored();
    assert_eq!(drain_all(&mut sequencer).await, 0);
    record(3).await;
    assert_eq!(drain_all(&mut sequencer).await, 1);
    sequencer.close().await.unwrap();
    assert_eq!(events(&trail), [event(0), event(1), event(2), event(3)]);
    drop(sink);
    database.drop().await;
}

/// Somebody runs it, and goes on anchoring, retiring and cleaning up beside.
#[tokio::test(flavor = "multi_thread")]
async fn the_trail_of_a_sequencer_that_runs_is_at_hand() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, path) = (database.sink().await, Trail::new());
    let sequencer = database.sequencer(&path).await.unwrap();
    let trail = sequencer.trail();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(sequencer.run(async move { drop(stopped.await) }));
    for number in 0..100 {
        drop(sink.record(event(number)).await.unwrap());
    }
    while trail.checkpoint().await.unwrap().size() < 100 {
        tokio::task::yield_now().await;
    }
    let by = Circumstances::new(Actor::System, "2026-11-21T12:00:00Z".parse().unwrap());
    let retention = Retention::new(RetentionPeriod::of(Duration::ZERO));
    let report = trail.retire(&retention, &by).await.unwrap();
    assert!(report.segments() > 0);
    assert_eq!(trail.forget(SystemClock.now()).await.unwrap(), 0, "too young");
    // It goes on taking over.
    drop(sink.record(event(100)).await.unwrap());
    while !events(&path).contains(&event(100)) {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert_eq!(trail.checkpoint().await.unwrap_err().code(), "record.unavailable");
    assert_eq!(trail.retire(&retention, &by).await.unwrap_err().code(), "record.unavailable");
    drop(sink);
    database.drop().await;
}

/// Another driver's events are taken over as they are; that somebody in them stands in plain is counted.
#[tokio::test(flavor = "multi_thread")]
async fn people_in_plain_are_counted_when_they_are_taken_over() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    drop(database.sink().await);
    let trail = Trail::new();
    let at = "2026-11-21T12:00:00Z".parse().unwrap();
    let nobody =
        Event::builder(EventKind::SystemStarted, Outcome::Passed, Actor::System, at).build().unwrap();
    let staff = Actor::Person(compliance_core::id::ActorId::new("staff-17").unwrap());
    let somebody = Event::builder(EventKind::SystemStarted, Outcome::Passed, staff, at).build().unwrap();
    for (token, event) in [(1_u8, nobody), (2, somebody), (3, event(1))] {
        let mut body = Vec::new();
        event.encode(&mut body);
        sqlx::query(AssertSqlSafe(record_statement(TablePrefix::default())))
            .bind(vec![token; 16])
            .bind(body)
            .bind(1_795_262_400_000_i64)
            .execute(&database.pool)
            .await
            .unwrap();
    }
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(sequencer.waiting().await, Ok(3));
    assert_eq!(drain_all(&mut sequencer).await, 3);
    assert_eq!((sequencer.plain_people(), sequencer.waiting().await), (2, Ok(0)));
    sequencer.close().await.unwrap();
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trail_that_may_go_takes_nothing_out_of_the_database() {
    let (Some(server), Some(trail)) = (server(), Trail::in_memory()) else { return };
    let database = Database::new(server).await;
    let sink = database.sink().await;
    for number in 0..3 {
        drop(sink.record(event(number)).await.unwrap());
    }
    // Somebody who may only insert left rubbish; that stays, too.
    insert_rubbish(&database).await;
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    save_marks(&database).await;
    let taken = i64::try_from(drain_all(&mut sequencer).await).unwrap();
    assert!(taken > 3);
    let with_body = "SELECT count(*) FROM audit_event WHERE body IS NOT NULL AND sequence IS NOT NULL";
    assert_eq!(database.number(with_body).await, taken);
    database.run("UPDATE audit_event SET drained_at = drained_at - 7200000").await;
    assert_eq!(sequencer.forget(SystemClock.now()).await.unwrap(), 0);
    drop((sink, sequencer));

    // A crash between writing and marking does not change that.
    forget_marks(&database).await;
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 0);
    assert_eq!(database.number(with_body).await, taken);
    let kept = events(&trail);
    drop((sequencer, trail));

    // The host is gone with its memory; on another one the trail is begun anew, once somebody says so.
    let trail = Trail::new();
    let refused = database.sequencer(&trail).await.unwrap().drain().await.unwrap_err();
    assert_eq!(refused.code(), "sequencer.trail_behind");
    let mut sequencer = database.sequencer(&trail).await.unwrap().declare_trail_lost();
    let again = i64::try_from(drain_all(&mut sequencer).await).unwrap();
    assert_eq!(again, taken + 1);
    drop(sequencer);
    let (told, rest) = events(&trail).split_last().map(|(last, rest)| (last.kind(), rest.to_vec())).unwrap();
    assert_eq!(
        (told, rest),
        (EventKind::ConfigurationChanged, kept),
        "everything, and that it was begun anew"
    );
    // Said again it does nothing.
    let mut sequencer = database.sequencer(&trail).await.unwrap().declare_trail_lost();
    assert_eq!(drain_all(&mut sequencer).await, 0);
    drop((sequencer, trail));

    // What has left the database with the first trail is missed, and so is a row that is gone.
    for statement in ["UPDATE audit_event SET body = NULL WHERE id = 1", "DELETE FROM audit_event"] {
        database.run(statement).await;
        let trail = Trail::new();
        let mut sequencer = database.sequencer(&trail).await.unwrap().declare_trail_lost();
        assert_eq!(sequencer.drain().await.unwrap_err().code(), "sequencer.trail_behind");
        drop(sequencer);
    }
    database.drop().await;
}

/// Rows that kept their events are no way around retention.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_retired_from_a_trail_that_may_go_leaves_the_database() {
    let (Some(server), Some(trail)) = (server(), Trail::in_memory()) else { return };
    let database = Database::new(server).await;
    let sink = database.sink().await;
    for number in 0..200 {
        drop(sink.record(event(number)));
    }
    drop(sink.record(event(200)).await.unwrap());
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    drain_all(&mut sequencer).await;
    database.run("UPDATE audit_event SET drained_at = drained_at - 7200000").await;
    assert_eq!(sequencer.forget(SystemClock.now()).await.unwrap(), 0);
    let retention = Retention::new(RetentionPeriod::of(Duration::ZERO));
    let by = Circumstances::new(Actor::System, SystemClock.now());
    // A segment that is merely gone was not retired: its rows are all that is left.
    let (first, aside) = (trail.segments().remove(0), trail.path().join("aside"));
    std::fs::rename(&first, &aside).unwrap();
    assert_eq!(sequencer.forget(SystemClock.now()).await.unwrap(), 0);
    std::fs::rename(&aside, &first).unwrap();
    let report = sequencer.retire(&retention, &by).await.unwrap();
    assert!(report.before() > 0);
    assert_eq!(sequencer.forget(SystemClock.now()).await.unwrap(), report.before());
    let left = u64::try_from(database.number("SELECT count(*) FROM audit_event").await).unwrap();
    assert_eq!(left, 201 - report.before());
    // It goes on, and is retired from again, by a sequencer that finds the first one's word on it in the trail.
    drop(sequencer);
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    drop(sink.record(event(201)).await.unwrap());
    assert_eq!(drain_all(&mut sequencer).await, 1);
    // Whether a segment was closed by now depends on how the events were gathered.
    let _again = sequencer.retire(&retention, &by).await.unwrap();
    drop(sink.record(event(202)).await.unwrap());
    assert_eq!(drain_all(&mut sequencer).await, 1);
    drop((sequencer, trail));

    // The host is gone. What was retired is not missed on the next one, nor the trail's own word on it.
    let trail = Trail::new();
    let mut sequencer = database.sequencer(&trail).await.unwrap().declare_trail_lost();
    assert_eq!(u64::try_from(drain_all(&mut sequencer).await), Ok(left + 3));
    drop((sequencer, trail));
    // All else is.
    database.run("DELETE FROM audit_event WHERE id = (SELECT max(id) FROM audit_event)").await;
    let trail = Trail::new();
    let mut sequencer = database.sequencer(&trail).await.unwrap().declare_trail_lost();
    assert_eq!(sequencer.drain().await.unwrap_err().code(), "sequencer.trail_behind");
    drop((sink, sequencer));
    database.drop().await;
}
