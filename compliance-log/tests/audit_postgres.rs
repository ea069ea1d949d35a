//! Events by way of PostgreSQL, against a real server.

mod database;
mod trail;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use compliance_core::clock::{Clock as _, SystemClock, Timestamp};
use compliance_core::event::{
    Actor, Durability, Event, EventClass, EventKind, Field, FieldValueKind, RecordErrorKind, Sink as _, Value,
};
use compliance_core::finding::Outcome;
use compliance_core::id::{SubjectId, TenantId};
use compliance_core::purpose;
use compliance_core::testing::SinkConformance;
use compliance_log::audit::durable::Storage;
use compliance_log::audit::postgres::{
    PostgresErrorKind, PostgresOptions, PostgresSink, TablePrefix, migrations, record_statement,
};
use compliance_log::audit::query::Query;
use compliance_log::audit::record::{Circumstances, DataAccess};
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use compliance_log::audit::{Audited, Verdict};
use database::{Cut, Database, Proxy, drain_all, events, options, pool, server};
use sqlx::Connection as _;
use trail::{Trail, event};

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_there_exactly_when_the_change_is() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    database.run("CREATE TABLE account (name text)").await;
    let (sink, trail) = (database.sink().await, Trail::new());

    for (number, commits) in [(1, true), (2, false), (3, true)] {
        let mut transaction = database.pool.begin().await.unwrap();
        sqlx::query("INSERT INTO account VALUES ($1)")
            .bind(number.to_string())
            .execute(&mut *transaction)
            .await
            .unwrap();
        let uncommitted = sink.record_in(&mut transaction, &event(number)).await.unwrap();
        // While the transaction is open there is no receipt, and what was to be exchanged comes back.
        let unconfirmed = sink.confirm(uncommitted).await.unwrap_err();
        assert_eq!(unconfirmed.code(), "postgres.not_committed");
        let uncommitted = unconfirmed.into_uncommitted();
        if commits {
            transaction.commit().await.unwrap();
            let receipt = sink.confirm(uncommitted).await.unwrap();
            receipt.redeem(&event(number), Durability::Remote).unwrap();
        } else {
            transaction.rollback().await.unwrap();
            let error = sink.confirm(uncommitted).await.unwrap_err().error();
            assert_eq!(error.kind(), PostgresErrorKind::NotCommitted);
        }
    }
    assert_eq!(database.number("SELECT count(*) FROM account").await, 2);

    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 2);
    sequencer.close().await.unwrap();
    assert_eq!(events(&trail), [event(1), event(3)]);
    assert_eq!(trail.verify().verdict(), Verdict::TamperDetecting);
    drop(sink);
    database.drop().await;
}

/// What was recorded before a savepoint stays, what was behind it goes with it, whatever becomes of the transaction then.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_to_a_savepoint_has_no_receipt() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let sink = database.sink().await;
    let mut transaction = database.pool.begin().await.unwrap();
    let kept = sink.record_in(&mut transaction, &event(1)).await.unwrap();
    let mut savepoint = transaction.begin().await.unwrap();
    let undone = sink.record_in(&mut savepoint, &event(2)).await.unwrap();
    savepoint.rollback().await.unwrap();
    let mut savepoint = transaction.begin().await.unwrap();
    let also_kept = sink.record_in(&mut savepoint, &event(3)).await.unwrap();
    savepoint.commit().await.unwrap();
    // Released, which is not committed.
    let also_kept = sink.confirm(also_kept).await.unwrap_err().into_uncommitted();
    transaction.commit().await.unwrap();
    assert_eq!(sink.confirm(undone).await.unwrap_err().code(), "postgres.not_committed");
    let receipt = sink.confirm(kept).await.unwrap();
    // The receipt of one event opens nothing for another, and both opened nothing before.
    assert_eq!(receipt.redeem(&event(3), Durability::Remote).unwrap_err().code(), "receipt.other_event");
    sink.confirm(also_kept).await.unwrap().redeem(&event(3), Durability::Remote).unwrap();

    // A statement that fails takes the event with it, though nobody rolls back in so many words.
    let mut transaction = database.pool.begin().await.unwrap();
    let failed = sink.record_in(&mut transaction, &event(4)).await.unwrap();
    sqlx::query("SELECT 1 / 0").execute(&mut *transaction).await.unwrap_err();
    // PostgreSQL answers this commit with a rollback.
    let _answer = transaction.commit().await;
    assert_eq!(sink.confirm(failed).await.unwrap_err().code(), "postgres.not_committed");

    let trail = Trail::new();
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    drain_all(&mut sequencer).await;
    sequencer.close().await.unwrap();
    assert_eq!(events(&trail), [event(1), event(3)]);
    drop(sink);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_leads_to_the_number_in_the_trail() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, trail) = (database.sink().await, Trail::new());
    let mut receipts = Vec::new();
    for number in 0..5 {
        receipts.push(sink.record(event(number)).await.unwrap());
    }
    assert_eq!(sink.sequence(receipts[3].sequence()).await.unwrap(), None, "it waits");
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    drain_all(&mut sequencer).await;
    for (place, receipt) in receipts.iter().enumerate() {
        assert_eq!(sink.sequence(receipt.sequence()).await.unwrap(), Some(place as u64));
    }
    // What was taken over is no longer in the database, unless the trail is in a place that may go.
    let kept: u32 = if Storage::of(trail.path()) == Storage::Lasting { 0 } else { 5 };
    assert_eq!(
        database.number("SELECT count(*) FROM audit_event WHERE body IS NOT NULL").await,
        i64::from(kept)
    );
    // Rows are forgotten when nobody can want to confirm them any more.
    assert_eq!(sequencer.forget(SystemClock.now()).await.unwrap(), 0);
    database.run("UPDATE audit_event SET drained_at = drained_at - 7200000").await;
    assert_eq!(sequencer.forget(SystemClock.now()).await.unwrap(), u64::from(5 - kept));
    sequencer.close().await.unwrap();
    drop(sink);
    database.drop().await;
}

#[test]
fn the_sink_keeps_the_contract_of_sinks() {
    let Some(server) = server() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let databases = std::sync::Mutex::new(Vec::new());
    let make = || {
        let database = runtime.block_on(Database::new(server.clone()));
        let sink = runtime.block_on(database.sink());
        databases.lock().unwrap().push(database);
        sink
    };
    let read_back = |_: &PostgresSink| {
        let pool = databases.lock().unwrap().last().unwrap().pool.clone();
        let rows: Vec<Vec<u8>> = runtime
            .block_on(sqlx::query_scalar("SELECT body FROM audit_event ORDER BY id").fetch_all(&pool))
            .unwrap();
        rows.iter().map(|body| Event::decode(body).unwrap()).collect()
    };
    let rules = SinkConformance::new(make, read_back).run().unwrap();
    assert_eq!(rules, SinkConformance::RULES);
    for database in databases.into_inner().unwrap() {
        runtime.block_on(database.drop());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_query_release_and_retention_hold_for_what_came_this_way() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, trail) = (database.sink().await, Trail::new());
    let at = "2026-11-21T12:00:00Z".parse().unwrap();
    let staff = move |tenant| Circumstances::new(Actor::System, at).tenant(TenantId::new(tenant).unwrap());
    let read = |tenant, user: &str| {
        DataAccess::read(&staff(tenant), "customer", purpose!("support.ticket"))
            .subject(SubjectId::new(user).unwrap())
    };
    // A value is given out against the record of its own transaction, and no other.
    let audited =
        Audited::new("anna@example.com", read("acme", "user-1")).unwrap().at_least(Durability::Remote);
    let mut transaction = database.pool.begin().await.unwrap();
    let uncommitted = sink.record_in(&mut transaction, audited.event()).await.unwrap();
    transaction.commit().await.unwrap();
    let receipt = sink.confirm(uncommitted).await.unwrap();
    assert_eq!(audited.open(receipt).unwrap(), "anna@example.com");
    let other = Audited::new("bob@example.com", read("acme", "user-2")).unwrap();
    let receipt = sink.record(event(1)).await.unwrap();
    assert_eq!(other.open(receipt).unwrap_err().code(), "receipt.other_event");
    let other = Audited::new("eve@example.com", read("umbrella", "user-1")).unwrap();
    assert_eq!(other.release(&sink).await.unwrap(), "eve@example.com");

    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 3);
    // The record of the query goes the same way.
    let query = Query::in_tenant(TenantId::new("acme").unwrap()).subject(SubjectId::new("user-1").unwrap());
    let dir = trail.path().to_owned();
    let (found, sink) = tokio::task::spawn_blocking(move || {
        let found = query.run(dir, &staff("acme"), &sink).unwrap().count();
        (found, sink)
    })
    .await
    .unwrap();
    assert_eq!(found, 1);
    assert_eq!(drain_all(&mut sequencer).await, 1);

    for number in 0..200 {
        drop(sink.record(event(number)));
    }
    sink.record(event(200)).await.unwrap().redeem(&event(200), Durability::Remote).unwrap();
    drain_all(&mut sequencer).await;
    let retention = Retention::new(RetentionPeriod::of(Duration::ZERO));
    let by = Circumstances::new(Actor::System, at);
    let report = sequencer.retire(&retention, &by).await.unwrap();
    assert!(report.segments() > 0);
    sequencer.close().await.unwrap();

    // The record of the retirement is the trail's own; the next leader does not take it for a stranger's.
    drop(sink.record(event(201)));
    sink.record(event(202)).await.unwrap().redeem(&event(202), Durability::Remote).unwrap();
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 2);
    sequencer.close().await.unwrap();
    let report = trail.verify();
    assert_eq!(report.verdict(), Verdict::TamperDetecting);
    drop(sink);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_needs_no_more_than_to_insert() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    drop(database.sink().await);
    let (schema, role) = (&database.schema, format!("{}_service", database.schema));
    let grants = "GRANT INSERT (token, body, added_at), SELECT (id, token, sequence) ON audit_event TO";
    database
        .run(&format!(
            "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {schema} TO {role}; {grants} {role}; \
             GRANT SELECT ON audit_schema TO {role}"
        ))
        .await;
    let as_service = pool(options(&database.server, schema).options([("role", role.as_str())])).await;
    let sink = PostgresSink::open(&as_service, PostgresOptions::default()).await.unwrap();
    sink.record(event(0)).await.unwrap().redeem(&event(0), Durability::Remote).unwrap();
    let mut transaction = as_service.begin().await.unwrap();
    let uncommitted = sink.record_in(&mut transaction, &event(1)).await.unwrap();
    transaction.commit().await.unwrap();
    sink.confirm(uncommitted).await.unwrap().redeem(&event(1), Durability::Remote).unwrap();
    for forbidden in
        ["DELETE FROM audit_event", "UPDATE audit_event SET body = body", "SELECT body FROM audit_event"]
    {
        assert!(sqlx::query(forbidden).execute(&as_service).await.is_err(), "{forbidden}");
    }
    drop(sink);
    as_service.close().await;
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_told_by_confirming() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let (sink, proxy) = (database.sink().await, Proxy::to(&database.server).await);
    let through = proxy.server(&database.server);
    for (number, cut) in [(0, Cut::Before), (1, Cut::After), (2, Cut::Before), (3, Cut::After)] {
        proxy.heal();
        let mut connection =
            sqlx::PgConnection::connect_with(&options(&through, &database.schema)).await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let uncommitted = sink.record_in(&mut transaction, &event(number)).await.unwrap();
        proxy.cut("COMMIT", cut, 1);
        assert!(transaction.commit().await.is_err(), "the caller hears nothing");
        match (cut, sink.confirm(uncommitted).await) {
            (Cut::Before, Err(error)) => assert_eq!(error.code(), "postgres.not_committed"),
            (Cut::After, Ok(receipt)) => receipt.redeem(&event(number), Durability::Remote).unwrap(),
            (cut, confirmed) => panic!("{cut:?}: {confirmed:?}"),
        }
    }
    let trail = Trail::new();
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    assert_eq!(drain_all(&mut sequencer).await, 2);
    sequencer.close().await.unwrap();
    assert_eq!(events(&trail), [event(1), event(3)]);
    drop(sink);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_replaced_and_nothing_is_kept_twice() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    drop(database.sink().await);
    let proxy = Proxy::to(&database.server).await;
    let through = pool(options(&proxy.server(&database.server), &database.schema)).await;
    let patient = PostgresOptions::default().patience(Duration::from_secs(120));
    let sink = PostgresSink::open(&through, patient).await.unwrap();
    let (mut all, mut kept) = (BTreeSet::new(), 0);
    for (round, cut) in [Cut::After, Cut::Before, Cut::After].into_iter().enumerate() {
        // Binding is a message of its own from the second use of a connection on; its parameters hold the events.
        proxy.cut("support.data_request", cut, 3);
        let recordings: Vec<_> = (0..60)
            .map(|number| {
                let number = round as u64 * 1000 + number;
                (number, sink.record(event(number)))
            })
            .collect();
        for (number, recording) in recordings {
            let receipt = recording.await.unwrap();
            assert!(all.insert(receipt.sequence()), "a number was given twice");
            receipt.redeem(&event(number), Durability::Remote).unwrap();
            kept += 1;
        }
        for number in 0..6 {
            // One at a time, so that the cuts have something to cut.
            drop(sink.record(event(round as u64 * 1000 + 500 + number)).await.unwrap());
            kept += 1;
        }
        proxy.heal();
    }
    assert!(proxy.cuts.load(Ordering::SeqCst) >= 3, "connections were cut");
    assert_eq!(database.number("SELECT count(*) FROM audit_event").await, kept);
    drop(sink);
    through.close().await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_told_to_every_caller() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    drop(database.sink().await);
    let proxy = Proxy::to(&database.server).await;
    let through = pool(options(&proxy.server(&database.server), &database.schema)).await;
    let impatient = PostgresOptions::default().patience(Duration::from_millis(10)).queue_len(4096);
    let sink = PostgresSink::open(&through, impatient).await.unwrap();
    sink.record(event(0)).await.unwrap().redeem(&event(0), Durability::Remote).unwrap();
    proxy.go();
    let recordings: Vec<_> = (1..100).map(|number| sink.record(event(number))).collect();
    let mut told = BTreeSet::new();
    for recording in recordings {
        told.insert(recording.await.unwrap_err().code());
    }
    // Not kept, for certain; or, for what was under way when the connection broke, nobody knows.
    assert!(told.is_subset(&BTreeSet::from(["record.unavailable", "record.abandoned"])), "{told:?}");
    // The queue is bounded and empty again.
    let error = sink.record(event(200)).await.unwrap_err();
    assert_eq!(error.kind(), RecordErrorKind::Unavailable);
    drop(sink);
    database.drop().await;
}

/// While the server does not answer, what is recorded at best effort gets half of the queue and no more; what must be
/// recorded has the rest. Nothing is dropped without a record of how many.
#[tokio::test(flavor = "multi_thread")]
async fn best_effort_leaves_room_and_what_it_drops_is_counted_and_recorded() {
    const QUEUE_LEN: usize = 64 * 1024;
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    drop(database.sink().await);
    let proxy = Proxy::to(&database.server).await;
    let through = pool(options(&proxy.server(&database.server), &database.schema)).await;
    let patient = PostgresOptions::default()
        .patience(Duration::from_secs(600))
        .queue_len(QUEUE_LEN)
        .best_effort(EventClass::Data);
    let sink = PostgresSink::open(&through, patient).await.unwrap();
    let must = |number: i64| {
        let at = Timestamp::from_unix_seconds(number);
        Event::builder(EventKind::SystemStarted, Outcome::Passed, Actor::System, at).build().unwrap()
    };

    proxy.cut("INSERT INTO", Cut::Before, 1);
    let mut kept = Vec::new();
    let mut dropped = 0;
    for number in 0..1000 {
        // Refused at once, or under way until the server answers.
        match tokio::time::timeout(Duration::ZERO, sink.record(event(number))).await {
            Ok(answer) => {
                assert_eq!(answer.unwrap_err().kind(), RecordErrorKind::Unavailable);
                dropped += 1;
            }
            Err(_) => kept.push(number),
        }
    }
    assert!(kept.len() > 10 && dropped > 500, "{} kept, {dropped} dropped", kept.len());
    let musts: Vec<_> = (0..20).map(|number| (must(number), sink.record(must(number)))).collect();
    proxy.heal();
    for (event, recording) in musts {
        recording.await.unwrap().redeem(&event, Durability::Remote).unwrap();
    }
    // Writes what is left, the record of what was dropped before the rest.
    drop(sink);
    let trail = Trail::new();
    let mut sequencer = database.sequencer(&trail).await.unwrap();
    drain_all(&mut sequencer).await;
    drop(sequencer);
    let written = events(&trail);
    let of = |kind: EventKind| written.iter().filter(|event| event.kind() == kind).collect::<Vec<_>>();
    assert_eq!(
        of(EventKind::DataRead),
        kept.iter().map(|number| event(*number)).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(of(EventKind::SystemStarted).len(), 20);
    let counted: i64 = of(EventKind::SystemEventsDropped).into_iter().map(count).sum();
    assert_eq!(counted, dropped);
    println!("{} kept, {dropped} dropped, {counted} counted", kept.len());
    database.drop().await;
}

/// What was given up because the server stayed away is counted, too, and recorded once it is back: also when nothing
/// else is recorded any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_at_best_effort_is_recorded_when_the_server_is_back() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    drop(database.sink().await);
    let proxy = Proxy::to(&database.server).await;
    let through = pool(options(&proxy.server(&database.server), &database.schema)).await;
    let impatient =
        PostgresOptions::default().patience(Duration::from_millis(10)).best_effort(EventClass::Data);
    let sink = PostgresSink::open(&through, impatient).await.unwrap();
    // A new connection is refused for as long as its check does not pass: nothing was sent, for certain.
    proxy.cut("full_page_writes", Cut::Before, 1);
    let mut dropped = 0;
    for number in 0..5 {
        let error = sink.record(event(number)).await.unwrap_err();
        assert_eq!(error.kind(), RecordErrorKind::Unavailable);
        dropped += 1;
    }
    proxy.heal();
    drop(sink);
    assert_eq!(database.number("SELECT count(*) FROM audit_event").await, 1);
    let body: Vec<u8> =
        sqlx::query_scalar("SELECT body FROM audit_event").fetch_one(&database.pool).await.unwrap();
    assert_eq!(count(&Event::decode(&body).unwrap()), dropped);
    database.drop().await;
}

fn count(event: &Event) -> i64 {
    match event.fields().first().map(Field::value) {
        Some(FieldValueKind::Plain { value: Value::Integer(count), .. }) => *count,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_trail_writes_and_what_is_too_large_is_refused_before_it_is_sent() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let sink = database.sink().await;
    let at = "2026-11-21T12:00:00Z".parse().unwrap();
    let word =
        Event::builder(EventKind::SystemTrailRetired, Outcome::Passed, Actor::System, at).build().unwrap();
    let mut transaction = database.pool.begin().await.unwrap();
    let error = sink.record_in(&mut transaction, &word).await.unwrap_err();
    assert_eq!(error.code(), "record.reserved");
    // The transaction is still the caller's own.
    drop(sink.record_in(&mut transaction, &event(0)).await.unwrap());
    transaction.commit().await.unwrap();
    assert_eq!(sink.record(word).await.unwrap_err().kind(), RecordErrorKind::Reserved);
    #[cfg(feature = "key-store")]
    for fields in [16, 18] {
        let error = sink.record(trail::sealed_fields(fields)).await.unwrap_err();
        assert_eq!(error.code(), "record.too_large");
    }
    assert_eq!(database.number("SELECT count(*) FROM audit_event").await, 1);
    drop(sink);
    database.drop().await;
}

#[test]
fn the_tables_are_published() {
    let prefix = TablePrefix::new("billing_audit_").unwrap();
    assert!(migrations(prefix)[0].contains("CREATE TABLE billing_audit_event"));
    assert!(record_statement(prefix).starts_with("INSERT INTO billing_audit_event"));
    for wrong in ["", "Audit_", "a b", "1a", "a;b", "a_very_long_prefix_that_nobody_needs_"] {
        assert_eq!(TablePrefix::new(wrong).unwrap_err().code(), "postgres.table_prefix");
    }
}
