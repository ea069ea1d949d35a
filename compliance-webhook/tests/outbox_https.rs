//! The whole way: a row and its webhook in one transaction, delivered over TLS, verified on the other side.
#![cfg(all(feature = "sqlite", feature = "deliver"))]

#[path = "deliver/receiver.rs"]
#[expect(dead_code, reason = "shared with the tests of `deliver`, which use all of it")]
mod receiver;

use std::sync::Arc;
use std::time::{Duration, Instant};

use compliance_core::clock::ManualClock;
use compliance_core::finding::RiskAcceptance;
use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::{HttpsTransport, TlsRoots};
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
use compliance_webhook::outbox::{Dispatcher, EndpointBook, NewMessage, Outbox as _, SqliteOutbox};
use compliance_webhook::{EndpointPolicy, SigningKey, Verifier};
use receiver::{Authority, Certificate, Receiver, Script};

#[tokio::test]
async fn an_account_and_its_webhook_are_stored_together_and_the_webhook_arrives_signed() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name("localhost"));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 No Content\r\n\r\n")).await;
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let clock = Arc::new(ManualClock::at(now));
    let directory = tempfile::tempdir().unwrap();
    let pool = sqlx::SqlitePool::connect_with(durable_options(&directory.path().join("a.db"))).await.unwrap();
    sqlx::query("CREATE TABLE account (name TEXT NOT NULL)").execute(&pool).await.unwrap();

    let risk = RiskAcceptance::new(
        "ops-lead",
        "the receiver runs on this host",
        "2027-01-01T00:00:00Z".parse().unwrap(),
    );
    let policy = EndpointPolicy::new().with_ports(&[receiver.port()]).unwrap();
    let policy = policy.dangerous(risk.unwrap()).allow_loopback().build();
    let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
    let book = EndpointBook::new(policy, keys).with_clock(clock.clone());
    let outbox = SqliteOutbox::open(&pool, OutboxOptions::default().with_clock(clock.clone())).await.unwrap();
    let transport = HttpsTransport::builder(clock.clone())
        .with_roots(TlsRoots::none().with_pem(&authority.pem()).unwrap())
        .build()
        .unwrap();
    let running = Dispatcher::new(outbox.clone(), book.clone(), transport, Arc::new(MemorySink::default()))
        .with_clock(clock.clone())
        .spawn();

    let tenant = TenantId::new("acme").unwrap();
    let key = SigningKey::generate(&SystemRandom).unwrap();
    let endpoint =
        book.policy().check_at(&format!("https://localhost:{}/hooks", receiver.port()), now).unwrap();
    let endpoint = book.register(&outbox, &tenant, &endpoint, &key).await.unwrap();

    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO account VALUES ('user-17')").execute(&mut *transaction).await.unwrap();
    let message =
        NewMessage::impersonal(&tenant, &endpoint, br#"{"type":"user.created","data":{"id":"user-17"}}"#)
            .unwrap();
    let queued = outbox.enqueue_in(&mut transaction, &message).await.unwrap();
    transaction.commit().await.unwrap();
    let id = outbox.confirm(queued).await.unwrap();

    let begun = Instant::now();
    while outbox.counts().await.unwrap().delivered == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", outbox.counts().await);
        tokio::task::yield_now().await;
    }
    assert_eq!(running.shutdown().await.unwrap().delivered, 1);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let headers = requests[0].headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let verified = Verifier::new(key).verify(headers, &requests[0].body[..], now).unwrap();
    assert_eq!(verified.message().id(), &id);
    assert_eq!(verified.into_body(), message.payload());
}
