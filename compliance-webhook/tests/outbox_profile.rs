//! How an endpoint wants its messages is stored with it, and kept to after a restart.
#![cfg(feature = "sqlite")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::{Answer, Attempt, Deliver, Outcome};
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
use compliance_webhook::outbox::{
    CloudEventsMode, DeliveryProfile, Dispatcher, EndpointBook, EndpointId, NewMessage, Outbox,
    SignatureProfile, SqliteOutbox,
};
use compliance_webhook::sign::{Ed25519Key, KeyId, SenderKey};
use compliance_webhook::{EndpointPolicy, SigningKey};
use sqlx::SqlitePool;

/// What an attempt was made of.
#[derive(Clone, Debug, PartialEq)]
struct Made {
    content_type: String,
    payload: Vec<u8>,
    scheme: String,
    key_id: Option<String>,
    event: Vec<(String, String)>,
}

#[derive(Clone, Default)]
struct Keeps(Arc<Mutex<Vec<Made>>>);

impl Deliver for Keeps {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let signed = attempt.signer().sign(attempt.id(), now, attempt.payload()).unwrap();
        self.0.lock().unwrap().push(Made {
            content_type: attempt.content_type().as_str().to_owned(),
            payload: attempt.payload().to_vec(),
            scheme: signed.signature().split(',').next().unwrap().to_owned(),
            key_id: key_id(&attempt),
            event: event(&attempt),
        });
        Outcome::Answered(Answer::new(204))
    }
}

#[cfg(feature = "http-signatures")]
fn key_id(attempt: &Attempt<'_>) -> Option<String> {
    let now = "2026-11-21T12:00:00Z".parse().unwrap();
    let (endpoint, id, content_type) = (attempt.endpoint(), attempt.id(), attempt.content_type());
    let signed = attempt.http_signer()?.sign(endpoint, id, content_type, now, attempt.payload()).unwrap();
    let (_, rest) = signed.signature_input().split_once("keyid=\"").unwrap();
    Some(rest.split('"').next().unwrap().to_owned())
}

#[cfg(not(feature = "http-signatures"))]
fn key_id(_: &Attempt<'_>) -> Option<String> {
    None
}

#[cfg(feature = "cloud-events")]
fn event(attempt: &Attempt<'_>) -> Vec<(String, String)> {
    let headers = attempt.binary_event().into_iter().flat_map(|event| event.headers());
    headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(not(feature = "cloud-events"))]
fn event(_: &Attempt<'_>) -> Vec<(String, String)> {
    Vec::new()
}

struct House {
    directory: tempfile::TempDir,
    keys: Arc<MemoryKeyStore>,
}

impl House {
    fn new() -> Self {
        let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
        Self { directory: tempfile::tempdir().unwrap(), keys }
    }

    /// As a process finds it that has just started.
    async fn open(&self) -> (SqliteOutbox, EndpointBook, SqlitePool) {
        let options = durable_options(&self.directory.path().join("a.db"));
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap();
        (outbox, EndpointBook::new(EndpointPolicy::new(), self.keys.clone()), pool)
    }

    async fn register(&self, key: impl Into<SenderKey>) -> EndpointId {
        let (outbox, book, _) = self.open().await;
        let endpoint = book.policy().check("https://hooks.example.com/in").unwrap();
        book.register(&outbox, &acme(), &endpoint, key).await.unwrap()
    }

    async fn deliver_as(&self, to: &EndpointId, profile: DeliveryProfile) -> Result<(), &'static str> {
        let (outbox, book, _) = self.open().await;
        book.deliver_as(&outbox, &acme(), to, profile).await.map_err(|error| error.code())
    }

    /// What a dispatcher makes of these messages; `Err` with the code of the one that was given up.
    async fn deliver(&self, messages: &[NewMessage]) -> Result<Vec<Made>, String> {
        let (outbox, book, _) = self.open().await;
        for message in messages {
            outbox.enqueue(message).await.unwrap();
        }
        let (transport, sink) = (Keeps::default(), Arc::new(MemorySink::default()));
        let running = Dispatcher::new(outbox.clone(), book, transport.clone(), sink).spawn();
        let begun = std::time::Instant::now();
        while outbox.counts().await.unwrap().pending + outbox.counts().await.unwrap().leased > 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", outbox.counts().await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.shutdown().await.unwrap();
        let to = messages[0].endpoint();
        if let Some(dead) = outbox.dead_letters(to, 1).await.unwrap().into_iter().next() {
            return Err(dead.last_code.into());
        }
        Ok(std::mem::take(&mut *transport.0.lock().unwrap()))
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn shared() -> SigningKey {
    SigningKey::generate(&SystemRandom).unwrap()
}

fn plain(to: &EndpointId) -> NewMessage {
    NewMessage::impersonal(&acme(), to, b"{}".to_vec()).unwrap()
}

fn http_signatures(key_id: &str) -> DeliveryProfile {
    let mut profile = DeliveryProfile::default();
    profile.signatures = SignatureProfile::HttpSignature { key_id: KeyId::parse(key_id).unwrap() };
    profile
}

fn events(mode: CloudEventsMode) -> DeliveryProfile {
    let mut profile = DeliveryProfile::default();
    profile.events = mode;
    profile
}

#[tokio::test]
async fn the_scheme_is_that_of_the_endpoints_key() {
    let house = House::new();
    for (key, scheme) in
        [(SenderKey::from(shared()), "v1"), (Ed25519Key::generate(&SystemRandom).unwrap().into(), "v1a")]
    {
        let to = house.register(key).await;
        let made = house.deliver(&[plain(&to)]).await.unwrap();
        assert_eq!((made[0].scheme.as_str(), &made[0].key_id), (scheme, &None));
    }
}

#[cfg(feature = "http-signatures")]
#[tokio::test]
async fn requests_are_signed_as_the_endpoints_profile_says_also_after_a_rotation() {
    let house = House::new();
    let to = house.register(shared()).await;
    house.deliver_as(&to, http_signatures("billing")).await.unwrap();
    let made = house.deliver(&[plain(&to)]).await.unwrap();
    assert_eq!((made[0].scheme.as_str(), made[0].key_id.as_deref()), ("v1", Some("billing")));

    let (outbox, book, _) = house.open().await;
    book.rotate(&outbox, &acme(), &to, shared()).await.unwrap();
    assert_eq!(house.deliver(&[plain(&to)]).await.unwrap()[0].key_id.as_deref(), Some("billing"));
    house.deliver_as(&to, DeliveryProfile::default()).await.unwrap();
    assert_eq!(house.deliver(&[plain(&to)]).await.unwrap()[0].key_id, None);
}

#[cfg(feature = "cloud-events")]
mod cloud_events {
    use super::*;
    use compliance_webhook::MessageId;
    use compliance_webhook::cloud_event::CloudEvent;
    use compliance_webhook::deliver::ContentType;

    fn account_created() -> CloudEvent {
        let id = MessageId::parse("msg_1").unwrap();
        let event = CloudEvent::new(id, "/accounts", "com.example.created").unwrap();
        event.with_json(b"{\"n\": 1.0}").unwrap()
    }

    async fn made(mode: CloudEventsMode) -> Made {
        let house = House::new();
        let to = house.register(shared()).await;
        house.deliver_as(&to, events(mode)).await.unwrap();
        let message = NewMessage::event(&acme(), &to, &account_created()).unwrap();
        assert_eq!(message.id().unwrap().as_str(), "msg_1");
        let (_, book, _) = house.open().await;
        // Sealed or not makes no difference.
        let sealed = book.seal_payload(message.clone().with_id(MessageId::parse("msg_2").unwrap())).await;
        let made = house.deliver(&[message, sealed.unwrap()]).await.unwrap();
        assert_eq!(made[0], made[1]);
        made[0].clone()
    }

    #[tokio::test]
    async fn one_event_leaves_in_the_mode_of_its_endpoint() {
        for mode in [CloudEventsMode::None, CloudEventsMode::Structured] {
            let made = made(mode).await;
            assert_eq!(made.content_type, "application/cloudevents+json");
            assert_eq!((made.payload, made.event), (account_created().structured(), Vec::new()));
        }
        let made = made(CloudEventsMode::Binary).await;
        assert_eq!(
            (made.content_type.as_str(), &made.payload[..]),
            ("application/json", &b"{\"n\": 1.0}"[..])
        );
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            made.event,
            [
                header("ce-specversion", "1.0"),
                header("ce-id", "msg_1"),
                header("ce-source", "/accounts"),
                header("ce-type", "com.example.created"),
            ]
        );
    }

    #[tokio::test]
    async fn what_is_no_event_does_not_leave_where_events_are_expected() {
        for mode in [CloudEventsMode::Structured, CloudEventsMode::Binary] {
            let house = House::new();
            let to = house.register(shared()).await;
            house.deliver_as(&to, events(mode)).await.unwrap();
            assert_eq!(house.deliver(&[plain(&to)]).await, Err("dispatch.no_event".to_owned()));
            let named = plain(&to).with_content_type(ContentType::CLOUDEVENTS_JSON);
            assert_eq!(house.deliver(&[named]).await, Err("dispatch.no_event".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_profile_nobody_wrote_is_no_profile() {
    let house = House::new();
    let to = house.register(shared()).await;
    let (outbox, _, pool) = house.open().await;
    for (change, column) in [
        ("UPDATE webhook_endpoint SET events = 3", "endpoint.events"),
        ("UPDATE webhook_endpoint SET events = 0, signature_key_id = 'a\"b'", "endpoint.signature_key_id"),
    ] {
        sqlx::query(change).execute(&pool).await.unwrap();
        let refused = outbox.endpoint(&to).await.unwrap_err();
        assert_eq!((refused.code(), refused.to_string().contains(column)), ("outbox.corrupt", true));
    }
}

/// A build that lacks the feature neither stores the profile nor delivers without what it demands.
#[tokio::test]
async fn what_this_build_cannot_do_is_refused() {
    let house = House::new();
    for (profile, change, is_supported) in [
        (
            http_signatures("k"),
            "UPDATE webhook_endpoint SET signature_key_id = 'k'",
            cfg!(feature = "http-signatures"),
        ),
        (
            events(CloudEventsMode::Binary),
            "UPDATE webhook_endpoint SET events = 2",
            cfg!(feature = "cloud-events"),
        ),
    ] {
        let to = house.register(shared()).await;
        let stored = house.deliver_as(&to, profile).await;
        assert_eq!(stored, if is_supported { Ok(()) } else { Err("endpoint_book.profile") });
        if !is_supported {
            let (outbox, book, pool) = house.open().await;
            sqlx::query(change).execute(&pool).await.unwrap();
            outbox.enqueue(&plain(&to)).await.unwrap();
            let (transport, sink) = (Keeps::default(), Arc::new(MemorySink::default()));
            let running = Dispatcher::new(outbox.clone(), book, transport.clone(), sink).spawn();
            let begun = std::time::Instant::now();
            loop {
                let pending = outbox
                    .deliveries(&to, compliance_webhook::outbox::DeliveryState::Pending, 1)
                    .await
                    .unwrap();
                if pending.iter().any(|delivery| &*delivery.last_code == "endpoint_book.profile") {
                    break;
                }
                assert!(begun.elapsed() < Duration::from_secs(60), "{pending:?}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            running.shutdown().await.unwrap();
            assert_eq!(*transport.0.lock().unwrap(), []);
        }
    }
}
