//! A proof of ownership is for one tenant, URL and key, is stored with the endpoint, and is what a book that demands it
//! sends by.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::ManualClock;
use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_webhook::SigningKey;
use compliance_webhook::deliver::HttpsTransport;
use compliance_webhook::endpoint::WebhookEndpoint;
use compliance_webhook::guard::TableResolver;
use compliance_webhook::handshake::{OwnedEndpoint, Ownership};
use compliance_webhook::outbox::{EndpointBook, EndpointId, EndpointRecord, MemoryOutbox, Outbox};
use compliance_webhook::sign::Ed25519Key;

use super::handshake::{acme, answer};
use super::receiver::{Authority, Certificate, Receiver, Script};
use super::{NAME, SECRET, endpoint, now};

/// A receiver that answers challenges under one key, a sender, and its book.
struct House {
    receiver: Receiver,
    transport: HttpsTransport<TableResolver>,
    clock: Arc<ManualClock>,
    book: EndpointBook,
    outbox: MemoryOutbox,
}

impl House {
    async fn new() -> Self {
        let authority = Authority::new();
        let script = Script::Reply(Arc::new(|request| {
            let body = answer(request, &key());
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }));
        let receiver = Receiver::start(authority.issue(&Certificate::for_name(NAME)), script).await;
        let transport = super::transport(&authority).build().unwrap();
        let clock = Arc::new(ManualClock::at(now()));
        let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
        let policy = super::policy(receiver.port());
        let book = EndpointBook::new(policy, Arc::new(keys)).with_clock(clock.clone());
        let outbox = MemoryOutbox::new(clock.clone(), Arc::new(SystemRandom));
        Self { receiver, transport, clock, book, outbox }
    }

    fn endpoint(&self, path: &str) -> WebhookEndpoint {
        endpoint(self.receiver.port(), path)
    }

    async fn prove(&self, tenant: &TenantId, path: &str) -> OwnedEndpoint {
        self.transport.challenge(tenant, &self.endpoint(path), &key(), &SystemRandom).await.unwrap()
    }

    async fn record(&self, id: &EndpointId) -> EndpointRecord {
        self.outbox.endpoint(id).await.unwrap().unwrap()
    }
}

fn key() -> SigningKey {
    SigningKey::parse(SECRET).unwrap()
}

const NOT_OWNED: &str = "endpoint_book.not_owned";

#[tokio::test]
async fn a_book_that_demands_ownership_takes_an_answer_of_the_last_hour_once() {
    let house = House::new().await;
    let (book, outbox) = (&house.book, &house.outbox);
    let unproven = book.register(outbox, &acme(), &house.endpoint("/in"), &key()).await.unwrap();
    assert_eq!(house.record(&unproven).await.ownership(), None);

    let book = &house.book.clone().demanding_ownership();
    let refused = book.register(outbox, &acme(), &house.endpoint("/in"), &key()).await.unwrap_err();
    assert_eq!(refused.code(), NOT_OWNED);
    let refused = book.move_to(outbox, &acme(), &unproven, &house.endpoint("/in")).await.unwrap_err();
    assert_eq!(refused.code(), NOT_OWNED);
    let prove = async || house.prove(&acme(), "/in").await;
    let id = book.register_owned(outbox, &acme(), prove().await, &key()).await.unwrap();
    assert_eq!(house.record(&id).await.ownership().map(Ownership::answered), Some(now()));
    // From before: proven at the URL it has.
    book.move_to_owned(outbox, &acme(), &unproven, prove().await).await.unwrap();
    assert!(house.record(&unproven).await.ownership().is_some());

    let (in_time, late, early) = (prove().await, prove().await, prove().await);
    house.clock.advance(EndpointBook::OWNERSHIP_LIFETIME);
    book.register_owned(outbox, &acme(), in_time, &key()).await.unwrap();
    house.clock.advance(Duration::from_millis(1));
    let refused = book.register_owned(outbox, &acme(), late, &key()).await.unwrap_err();
    assert_eq!(refused.code(), NOT_OWNED);
    house.clock.set("2026-11-21T11:59:59Z".parse().unwrap());
    let refused = book.register_owned(outbox, &acme(), early, &key()).await.unwrap_err();
    assert_eq!(refused.code(), NOT_OWNED, "an answer of the future");
}

#[tokio::test]
async fn an_answer_is_for_one_tenant_and_one_key() {
    let house = House::new().await;
    let (book, outbox) = (&house.book, &house.outbox);
    let other = TenantId::new("other").unwrap();
    let prove = async || house.prove(&acme(), "/in").await;
    let refused = book.register_owned(outbox, &other, prove().await, &key()).await.unwrap_err();
    assert_eq!(refused.code(), NOT_OWNED);
    for strange in [SigningKey::from_bytes(&[8; 32]).unwrap().into(), ed25519()] {
        let refused = book.register_owned(outbox, &acme(), prove().await, &strange).await.unwrap_err();
        assert_eq!(refused.code(), NOT_OWNED);
        // Nor does it serve to move an endpoint that has another key.
        let theirs = book.register(outbox, &acme(), &house.endpoint("/in"), &strange).await.unwrap();
        let refused = book.move_to_owned(outbox, &acme(), &theirs, prove().await).await.unwrap_err();
        assert_eq!(refused.code(), NOT_OWNED);
        assert_eq!(house.record(&theirs).await.revision(), 1);
    }
    let id = book.register(outbox, &other, &house.endpoint("/in"), &key()).await.unwrap();
    let refused = book.move_to_owned(outbox, &other, &id, prove().await).await.unwrap_err();
    assert_eq!(refused.code(), NOT_OWNED);
}

fn ed25519() -> compliance_webhook::sign::SenderKey {
    Ed25519Key::generate(&SystemRandom).unwrap().into()
}

#[tokio::test]
async fn another_url_takes_another_proof_and_a_rotation_none() {
    let house = House::new().await;
    let (book, outbox) = (&house.book, &house.outbox);
    let owned = house.prove(&acme(), "/in").await;
    let id = book.register_owned(outbox, &acme(), owned, &key()).await.unwrap();
    let proof = async || house.record(&id).await.ownership().map(|it| it.proof().to_owned());
    let first = proof().await.unwrap();
    assert!(!format!("{:?}", house.record(&id).await.ownership()).contains(&first));

    // To another key of either kind and back: each time another proof, of the same answer.
    book.rotate(outbox, &acme(), &id, ed25519()).await.unwrap();
    let second = proof().await.unwrap();
    book.rotate(outbox, &acme(), &id, &key()).await.unwrap();
    assert_eq!((proof().await.unwrap() == first, second == first), (true, false));
    assert_eq!(house.record(&id).await.ownership().unwrap().answered(), now());

    book.move_to(outbox, &acme(), &id, &house.endpoint("/elsewhere")).await.unwrap();
    assert_eq!(proof().await, None);
    let elsewhere = house.prove(&acme(), "/elsewhere").await;
    book.move_to_owned(outbox, &acme(), &id, elsewhere).await.unwrap();
    assert!(proof().await.is_some_and(|it| it != first));
}

#[cfg(feature = "sqlite")]
mod stored {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use compliance_core::testing::MemorySink;
    use compliance_webhook::deliver::{Answer, Attempt, Deliver, Outcome};
    use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
    use compliance_webhook::outbox::{DeliveryState, Dispatcher, NewMessage, SqliteOutbox};
    use compliance_webhook::schedule::RetrySchedule;
    use sqlx::SqlitePool;

    use super::*;

    #[derive(Clone, Default)]
    struct Counts(Arc<AtomicUsize>);

    impl Deliver for Counts {
        async fn deliver(&self, _: Attempt<'_>) -> Outcome {
            self.0.fetch_add(1, Ordering::SeqCst);
            Outcome::Answered(Answer::new(204))
        }
    }

    /// What becomes of one message to the endpoint: "" when it is delivered, the code of the failure otherwise.
    async fn send(outbox: &SqliteOutbox, book: &EndpointBook, to: &EndpointId) -> String {
        let id = outbox.enqueue(&NewMessage::impersonal(&acme(), to, b"{}".to_vec()).unwrap()).await.unwrap();
        let (transport, sink) = (Counts::default(), Arc::new(MemorySink::default()));
        // One attempt: what an earlier call left waiting would count with this one's.
        let once = RetrySchedule::new(&[Duration::ZERO]).unwrap();
        let dispatcher = Dispatcher::new(outbox.clone(), book.clone(), transport.clone(), sink);
        let running = dispatcher.with_schedule(once).spawn();
        let begun = std::time::Instant::now();
        let status = loop {
            let status = outbox.delivery(to, &id).await.unwrap().unwrap();
            if status.attempts > 0 {
                break status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{status:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        running.shutdown().await.unwrap();
        let is_delivered = status.state == DeliveryState::Delivered;
        assert_eq!(transport.0.load(Ordering::SeqCst), usize::from(is_delivered));
        status.last_code.into()
    }

    #[tokio::test]
    async fn nothing_is_sent_where_the_stored_proof_does_not_hold() {
        let house = House::new().await;
        let directory = tempfile::tempdir().unwrap();
        let open = async || {
            let options = durable_options(&directory.path().join("a.db"));
            let pool = SqlitePool::connect_with(options).await.unwrap();
            (SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap(), pool)
        };
        let (outbox, _) = open().await;
        let demanding = house.book.clone().demanding_ownership();
        let owned = house.prove(&acme(), "/in").await;
        let proven = demanding.register_owned(&outbox, &acme(), owned, &key()).await.unwrap();
        let unproven = house.book.register(&outbox, &acme(), &house.endpoint("/in"), &key()).await.unwrap();

        // After a restart.
        let (outbox, pool) = open().await;
        assert_eq!(send(&outbox, &demanding, &proven).await, "");
        assert_eq!(send(&outbox, &house.book, &unproven).await, "");
        assert_eq!(send(&outbox, &demanding, &unproven).await, NOT_OWNED);
        demanding.rotate(&outbox, &acme(), &proven, ed25519()).await.unwrap();
        assert_eq!(send(&outbox, &demanding, &proven).await, "");

        // Behind the book's back: each of what the proof is for, and the proof of another endpoint.
        let other = house.prove(&acme(), "/other").await;
        demanding.register_owned(&outbox, &acme(), other, &key()).await.unwrap();
        let stored = outbox.endpoint(&proven).await.unwrap().unwrap();
        let url = house.endpoint("/elsewhere").as_str().to_owned();
        let proof_back = format!("owned_proof = '{}'", stored.ownership().unwrap().proof());
        let change = "UPDATE webhook_endpoint SET revision = revision + 1, hold_until = 0, ";
        for (set, back) in [
            (format!("url = '{url}'"), format!("url = '{}'", stored.url())),
            ("owned_at = owned_at + 1".to_owned(), "owned_at = owned_at - 1".to_owned()),
            ("owned_proof = NULL".to_owned(), proof_back.clone()),
            (
                "owned_proof = (SELECT owned_proof FROM webhook_endpoint WHERE url LIKE '%/other')"
                    .to_owned(),
                proof_back,
            ),
        ] {
            let run = async |set: &str| {
                let statement = format!("{change} {set} WHERE id = '{proven}'");
                sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool).await.unwrap();
            };
            run(&set).await;
            assert_eq!(send(&outbox, &demanding, &proven).await, NOT_OWNED, "{set}");
            run(&back).await;
        }
        assert_eq!(send(&outbox, &demanding, &proven).await, "");
    }
}
