//! What the database acknowledges, it keeps: servers, sessions and hosts where that is in doubt.

mod database;
mod trail;

use std::time::Duration;

use compliance_core::event::{Actor, Durability, Event, EventClass, EventKind, Sink as _};
use compliance_core::finding::{Outcome, RiskAcceptance};
use compliance_core::purpose;
use compliance_log::audit::Audited;
use compliance_log::audit::durable::DurableSink;
use compliance_log::audit::postgres::{PostgresErrorKind, PostgresOptions, PostgresSink};
use compliance_log::audit::record::{Circumstances, DataAccess};
use database::{Database, Proxy, events, options, pool, server};
use trail::{Trail, event};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_synchronous_whatever_the_session_says() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let sink = database.sink().await;
    for number in 0..20 {
        let mut transaction = database.pool.begin().await.unwrap();
        sqlx::query("SET LOCAL synchronous_commit = off").execute(&mut *transaction).await.unwrap();
        drop(sink.record_in(&mut transaction, &event(number)).await.unwrap());
        sqlx::query("SET LOCAL synchronous_commit = off").execute(&mut *transaction).await.unwrap();
        let before: String = sqlx::query_scalar("SELECT pg_current_wal_insert_lsn()::text")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        let flushed: bool = sqlx::query_scalar("SELECT pg_current_wal_flush_lsn() > $1::pg_lsn")
            .bind(before)
            .fetch_one(&database.pool)
            .await
            .unwrap();
        assert!(flushed, "the commit is on disk when it returns");
    }
    drop(sink);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_would_lose_what_it_acknowledges_is_refused() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    drop(database.sink().await);
    let refused = async |statement: &str, code: &str| {
        database.run(statement).await;
        let error = PostgresSink::open(&database.pool, PostgresOptions::default()).await.unwrap_err();
        assert_eq!(error.code(), code, "after {statement}");
    };
    refused("ALTER TABLE audit_event SET UNLOGGED", "postgres.not_durable").await;
    refused(
        "ALTER TABLE audit_event SET LOGGED; ALTER TABLE audit_event DISABLE TRIGGER audit_event_durable",
        "postgres.not_durable",
    )
    .await;
    database.run("ALTER TABLE audit_event ENABLE TRIGGER audit_event_durable").await;
    drop(database.sink().await);
    refused("INSERT INTO audit_schema VALUES (3)", "postgres.schema_too_new").await;
    database.run("DELETE FROM audit_schema WHERE version = 3").await;

    let read_only =
        options(&database.server, &database.schema).options([("default_transaction_read_only", "on")]);
    let read_only = pool(read_only).await;
    let error = PostgresSink::open(&read_only, PostgresOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), PostgresErrorKind::NotDurable { lacks: "write access" });
    read_only.close().await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_risk_is_asked_for_only_where_it_is_one() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let risk = RiskAcceptance::new("ops-lead", "the mesh encrypts", "2099-01-01T00:00:00Z".parse().unwrap());
    let options = PostgresOptions::default().dangerous(risk.unwrap()).allow_plaintext();
    let sink = PostgresSink::open(&database.pool, options).await.unwrap();
    // The tests' server is on this machine: nothing was accepted, nothing is recorded.
    assert_eq!(database.number("SELECT count(*) FROM audit_event").await, 0);
    drop(sink);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_lasting_disk_what_must_be_recorded_is_acknowledged_by_the_database() {
    let Some(server) = server() else { return };
    let database = Database::new(server).await;
    let proxy = Proxy::to(&database.server).await;
    let through = pool(options(&proxy.server(&database.server), &database.schema)).await;
    let impatient = PostgresOptions::default().patience(Duration::from_millis(10));
    let remote = PostgresSink::open(&through, impatient).await.unwrap();
    let trail = Trail::new();
    let sink = DurableSink::without_lasting_disk(remote).best_effort(trail.open(), [EventClass::System]);
    assert_eq!(sink.least(), Durability::Remote);
    sink.record(event(1)).await.unwrap().redeem(&event(1), Durability::Remote).unwrap();
    let at = "2026-11-21T12:00:00Z".parse().unwrap();
    let started =
        Event::builder(EventKind::SystemStarted, Outcome::Passed, Actor::System, at).build().unwrap();
    let receipt = sink.record(started.clone()).await.unwrap();
    assert_eq!(receipt.redeem(&started, sink.least()).unwrap_err().code(), "receipt.not_durable");
    assert_eq!(database.number("SELECT count(*) FROM audit_event").await, 1);

    // The local disk is there, and is no way out when the database is not.
    proxy.go();
    let denied = Audited::new("anna@example.com", {
        let staff = Circumstances::new(Actor::System, at);
        DataAccess::read(&staff, "customer", purpose!("support.ticket"))
    });
    let code = denied.unwrap().release(&sink).await.unwrap_err().code();
    assert!(["record.unavailable", "record.abandoned"].contains(&code), "{code}");
    drop(sink);
    assert_eq!(events(&trail), [started]);
    database.drop().await;
}
