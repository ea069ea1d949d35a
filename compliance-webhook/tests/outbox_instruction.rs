//! What leaves on a client's instruction, what is recorded of it, and payloads sealed at rest.
#![cfg(feature = "sqlite")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance_core::class::{Confidential, DataClass, Internal, Personal, Public, Sensitive};
use compliance_core::clock::{Clock as _, SystemClock, Timestamp};
use compliance_core::country::CountryCode;
use compliance_core::event::{Actor, EventKind, RecordErrorKind};
use compliance_core::finding::Enforcement;
use compliance_core::id::{ActorId, TenantId};
use compliance_core::purpose;
use compliance_core::random::{SecureRandom, SystemRandom};
use compliance_core::seal::{
    DataKey, DestroyReceipt, KeyEncryptionKey, KeyId, KeyOwner, KeyStore, KeyStoreError, KeyStoreErrorKind,
    MemoryKeyStore, Sealed,
};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::{Answer, Attempt, Deliver, Outcome};
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
use compliance_webhook::outbox::{
    Counts, DataClasses, Disclosure, DispatchLimits, Dispatcher, EndpointBook, EndpointId, EndpointState,
    EventPayload, Instruction, MemoryOutbox, NewMessage, Outbox, PAYLOAD_KEY, Replay, Round, Running,
    SqliteOutbox, Want,
};
use compliance_webhook::{EndpointPolicy, SigningKey};
use tokio::sync::Semaphore;

/// Keeps what it is given, as soon as it may.
#[derive(Clone)]
struct Keeps {
    payloads: Arc<Mutex<Vec<Vec<u8>>>>,
    gate: Arc<Semaphore>,
}

impl Deliver for Keeps {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        self.payloads.lock().unwrap().push(attempt.payload().to_vec());
        self.gate.acquire().await.unwrap().forget();
        Outcome::Answered(Answer::new(204))
    }
}

struct House {
    directory: tempfile::TempDir,
    outbox: SqliteOutbox,
    book: EndpointBook,
    keys: Arc<MemoryKeyStore>,
    sink: Arc<MemorySink>,
    transport: Keeps,
    to: EndpointId,
}

impl House {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let outbox = open(&directory, Enforcement::Enforce).await;
        let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
        let sink = Arc::new(MemorySink::default());
        let book = EndpointBook::new(EndpointPolicy::new(), keys.clone()).with_sink(sink.clone());
        let endpoint = book.policy().check("https://hooks.example.com/in").unwrap();
        let key = SigningKey::generate(&SystemRandom).unwrap();
        let to = book.register(&outbox, &acme(), &endpoint, &key).await.unwrap();
        let transport = Keeps { payloads: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
        Self { directory, outbox, book, keys, sink, transport, to }
    }

    fn personal(&self) -> NewMessage {
        let message = NewMessage::impersonal(&acme(), &self.to, br#"{"email":"anna@example.com"}"#).unwrap();
        message.with_classes(&[DataClass::Personal], purpose!("crm.sync")).unwrap()
    }

    async fn instruct(&self, classes: &[DataClass]) {
        let instruction = instruction(classes);
        self.book.instruct(&self.outbox, &acme(), &self.to, instruction).await.unwrap();
    }

    fn start(&self) -> Running {
        let mut limits = DispatchLimits::default();
        limits.per_endpoint = 1;
        let (outbox, book) = (self.outbox.clone(), self.book.clone());
        Dispatcher::new(outbox, book, self.transport.clone(), self.sink.clone()).with_limits(limits).spawn()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Counts) -> bool) {
        let begun = std::time::Instant::now();
        while !is_so(&self.outbox.counts().await.unwrap()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {:?}", self.outbox.counts().await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn payloads(&self) -> Vec<String> {
        let payloads = self.transport.payloads.lock().unwrap();
        payloads.iter().map(|payload| String::from_utf8(payload.clone()).unwrap()).collect()
    }
}

async fn open(directory: &tempfile::TempDir, enforcement: Enforcement) -> SqliteOutbox {
    let options = durable_options(&directory.path().join("a.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    SqliteOutbox::open(&pool, OutboxOptions::default().with_enforcement(enforcement)).await.unwrap()
}

fn instruction(classes: &[DataClass]) -> Instruction {
    let (by, recipient) = (ActorId::new("acme-dpo").unwrap(), CountryCode::parse("DE").unwrap());
    Instruction::new(by, SystemClock.now(), DataClasses::of(classes), purpose!("crm.sync"), recipient)
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

#[tokio::test]
async fn personal_data_are_taken_on_instruction_only() {
    let house = House::new().await;
    let refused = house.outbox.enqueue(&house.personal()).await.unwrap_err();
    assert_eq!(refused.code(), "outbox.not_instructed");
    house.instruct(&[DataClass::Personal]).await;
    house.outbox.enqueue(&house.personal()).await.unwrap();

    let sensitive = house.personal().with_classes(&[DataClass::Sensitive], purpose!("crm.sync")).unwrap();
    assert_eq!(house.outbox.enqueue(&sensitive).await.unwrap_err().code(), "outbox.not_instructed");
    let elsewhere = house.personal().with_classes(&[], purpose!("marketing")).unwrap();
    assert_eq!(house.outbox.enqueue(&elsewhere).await.unwrap_err().code(), "outbox.not_instructed");
    assert_eq!(house.outbox.counts().await.unwrap().pending, 1);

    let stored = house.outbox.endpoint(&house.to).await.unwrap().unwrap();
    let stored = stored.instruction().unwrap();
    assert_eq!((stored.by().as_str(), stored.recipient().as_str()), ("acme-dpo", "DE"));
    let event = house.sink.events().pop().unwrap();
    assert_eq!(event.kind(), EventKind::WebhookEndpointChanged);
    assert_eq!(event.purpose().unwrap().as_str(), "crm.sync");
    // Who gave it is a person, and so is no plain field.
    assert_eq!(event.on_behalf_of(), Some(&Actor::Person(ActorId::new("acme-dpo").unwrap())));
    let fields: Vec<&str> = event.fields().iter().map(|field| field.name()).collect();
    assert!(["instructed_at", "classes", "recipient_country"].iter().all(|it| fields.contains(it)));
    assert!(!format!("{:?}", event.fields()).contains("acme-dpo"));
}

#[tokio::test]
async fn what_a_revoked_instruction_covered_is_given_up_and_its_payload_deleted() {
    let house = House::new().await;
    house.instruct(&[DataClass::Personal]).await;
    let id = house.outbox.enqueue(&house.personal()).await.unwrap();
    house.book.revoke_instruction(&house.outbox, &acme(), &house.to).await.unwrap();
    house.transport.gate.add_permits(100);
    let running = house.start();
    house.until("given up", |counts| counts.dead == 1).await;
    assert_eq!(house.payloads(), Vec::<String>::new());
    running.shutdown().await.unwrap();
    let dead = house.outbox.dead_letters(&house.to, 10).await.unwrap();
    assert_eq!((&dead[0].id, &*dead[0].last_code), (&id, "dispatch.not_instructed"));
    let pool = sqlx::SqlitePool::connect_with(durable_options(&house.directory.path().join("a.db"))).await;
    let left: i64 = sqlx::query_scalar("SELECT sum(octet_length(payload)) FROM webhook_message")
        .fetch_one(&pool.unwrap())
        .await
        .unwrap();
    assert_eq!(left, 0);
    let replay = Replay::Message { endpoint: house.to.clone(), id };
    assert_eq!(house.outbox.replay(&replay).await, Ok(0));
}

#[tokio::test]
async fn report_only_everything_leaves_and_what_would_be_refused_is_recorded() {
    let mut house = House::new().await;
    let enforcing = house.outbox.clone();
    house.outbox = open(&house.directory, Enforcement::ReportOnly).await;
    house.transport.gate.add_permits(100);
    let id = house.outbox.enqueue(&house.personal()).await.unwrap();
    let free = NewMessage::impersonal(&acme(), &house.to, b"{}".to_vec()).unwrap();
    house.outbox.enqueue(&free).await.unwrap();
    let running = house.start();
    house.until("both are sent", |counts| counts.delivered == 2).await;
    house.instruct(&[DataClass::Personal]).await;
    house.outbox.enqueue(&house.personal()).await.unwrap();
    house.until("sent on instruction", |counts| counts.delivered == 3).await;
    assert_eq!(running.shutdown().await.unwrap().reported, 1);

    let events = house.sink.events();
    let reported: Vec<_> = events.iter().filter(|event| event.kind() == EventKind::CheckDecided).collect();
    let [event] = reported[..] else { panic!("one message was not covered: {reported:?}") };
    assert_eq!(event.enforcement(), Enforcement::ReportOnly);
    assert_eq!((event.reason(), event.tenant()), (Some("dispatch.not_instructed"), Some(&acme())));
    assert_eq!(event.policy().unwrap().to_string(), "webhook-disclosure/1");
    let fields: Vec<String> =
        event.fields().iter().map(|field| format!("{}={:?}", field.name(), field.value())).collect();
    let said = |what: &str| fields.iter().any(|field| field.contains(what));
    assert!(said(id.as_str()) && said("personal") && said(house.to.as_str()), "{fields:?}");

    // What was taken on trial does not leave once the outbox enforces.
    house.book.revoke_instruction(&house.outbox, &acme(), &house.to).await.unwrap();
    house.outbox.enqueue(&house.personal()).await.unwrap();
    house.outbox = enforcing;
    let running = house.start();
    house.until("given up", |counts| counts.dead == 1).await;
    assert_eq!(running.shutdown().await.unwrap().reported, 0);
    assert_eq!(house.payloads().len(), 3);
}

/// What a store says of two messages, one of them with personal data, and which an enforcing one refuses.
async fn disclosures(outbox: &impl Outbox, to: &EndpointId) -> Vec<Disclosure> {
    let personal = NewMessage::impersonal(&acme(), to, b"{}".to_vec()).unwrap();
    let personal = personal.with_classes(&[DataClass::Personal], purpose!("crm.sync")).unwrap();
    outbox.enqueue(&NewMessage::impersonal(&acme(), to, b"[]".to_vec()).unwrap()).await.unwrap();
    let keyed = personal.with_idempotency_key("once").unwrap();
    let id = outbox.enqueue(&keyed).await.unwrap();
    assert_eq!(outbox.enqueue(&keyed).await.unwrap(), id, "known before");
    let worker = outbox.join("a", Duration::from_secs(10)).await.unwrap();
    let want = Want { endpoint: to.clone(), limit: 10, max_bytes: 1 << 20 };
    let mut round = Round::default();
    round.wants.push(want);
    let leased = outbox.round(&worker, &round).await.unwrap().leased;
    leased.iter().map(|leased| leased.disclosure).collect()
}

#[tokio::test]
async fn a_report_only_store_says_which_classes_nobody_instructed() {
    let expected =
        [Disclosure::Free, Disclosure::ReportOnly { classes: DataClasses::of(&[DataClass::Personal]) }];
    let house = House::new().await;
    let sqlite = open(&house.directory, Enforcement::ReportOnly).await;
    assert_eq!(disclosures(&sqlite, &house.to).await, expected);

    let memory = MemoryOutbox::new(Arc::new(SystemClock), Arc::new(SystemRandom))
        .with_enforcement(Enforcement::ReportOnly);
    let endpoint = house.book.policy().check("https://hooks.example.com/in").unwrap();
    let key = SigningKey::generate(&SystemRandom).unwrap();
    let to = house.book.register(&memory, &acme(), &endpoint, &key).await.unwrap();
    assert_eq!(disclosures(&memory, &to).await, expected);
}

#[tokio::test]
async fn a_payload_on_trial_keeps_every_field_and_only_an_outbox_on_trial_takes_it() {
    let house = House::new().await;
    let event = EventPayload::new("user.created", Timestamp::UNIX_EPOCH, purpose!("crm.sync")).unwrap();
    let event = event.field("email", &Personal::new("anna@example.com"));
    let record = house.outbox.endpoint(&house.to).await.unwrap().unwrap();
    assert!(event.message(&acme(), &record).unwrap().classes().is_none());
    let full = event.with_enforcement(Enforcement::ReportOnly).message(&acme(), &record).unwrap();
    assert!(String::from_utf8_lossy(full.payload()).contains("anna@example.com"));
    assert_eq!(house.outbox.enqueue(&full).await.unwrap_err().code(), "outbox.not_instructed");
    open(&house.directory, Enforcement::ReportOnly).await.enqueue(&full).await.unwrap();
}

#[tokio::test]
async fn an_instruction_nobody_recorded_is_none() {
    let house = House::new().await;
    let silent = EndpointBook::new(EndpointPolicy::new(), house.keys.clone());
    let personal = || instruction(&[DataClass::Personal]);
    let refused = silent.instruct(&house.outbox, &acme(), &house.to, personal()).await.unwrap_err();
    assert_eq!(refused.code(), "endpoint_book.unrecorded");
    house.sink.fail_with(Some(RecordErrorKind::Unavailable));
    let refused = house.book.instruct(&house.outbox, &acme(), &house.to, personal()).await.unwrap_err();
    assert_eq!(refused.code(), "endpoint_book.unrecorded");
    assert_eq!(house.outbox.endpoint(&house.to).await.unwrap().unwrap().instruction(), None);
}

#[test]
fn secrets_are_never_taken() {
    let message =
        NewMessage::impersonal(&acme(), &EndpointId::parse("ep_1").unwrap(), b"{}".to_vec()).unwrap();
    let refused = message.with_classes(&[DataClass::Secret], purpose!("crm.sync")).unwrap_err();
    assert_eq!(refused.code(), "message.secret");
}

#[tokio::test]
async fn each_endpoint_gets_the_fields_its_client_has_instructed_us_to_send() {
    let house = House::new().await;
    let at: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    let event = EventPayload::new("user.created", at, purpose!("crm.sync"))
        .unwrap()
        .field("id", &Internal("user-17"))
        .field("plan", &Public("free"))
        .field("email", &Personal::new("anna \"a\" \u{1}\\@example.com".to_owned()))
        .field("margin", &Confidential::new(31))
        .field("diagnosis", &Sensitive::new("flu"));
    let record = || async { house.outbox.endpoint(&house.to).await.unwrap().unwrap() };
    let thin = event.message(&acme(), &record().await).unwrap();
    assert_eq!(thin.payload(), event.thin().as_bytes());
    assert!(thin.classes().is_none());
    house.instruct(&[DataClass::Personal, DataClass::Confidential]).await;
    let full = event.message(&acme(), &record().await).unwrap();
    assert_eq!(full.classes(), DataClasses::of(&[DataClass::Personal, DataClass::Confidential]));
    let json: serde_json::Value = serde_json::from_slice(full.payload()).unwrap();
    assert_eq!(json["data"]["email"], "anna \"a\" \u{1}\\@example.com");
    assert_eq!((&json["data"]["margin"], json["data"].get("diagnosis")), (&31.into(), None));
    house.outbox.enqueue(&full).await.unwrap();

    // The same data for another purpose stay here.
    let other = EventPayload::new("user.created", at, purpose!("marketing")).unwrap();
    let other = other.field("email", &Personal::new("anna@example.com"));
    assert!(
        !String::from_utf8_lossy(other.message(&acme(), &record().await).unwrap().payload()).contains("anna")
    );
    assert_eq!(
        EventPayload::new("user created", at, purpose!("a")).unwrap_err().code(),
        "message.event_type"
    );
}

#[tokio::test]
async fn a_sealed_payload_stands_nowhere_in_the_file_and_arrives_in_plain_text() {
    let house = House::new().await;
    let text = br#"{"note":"a text to look for in the file"}"#;
    let message =
        NewMessage::impersonal(&acme(), &house.to, text).unwrap().with_idempotency_key("once").unwrap();
    let sealed = house.book.seal_payload(message.clone()).await.unwrap();
    let id = house.outbox.enqueue(&sealed).await.unwrap();
    let again = house.book.seal_payload(message).await.unwrap();
    assert_eq!(house.outbox.enqueue(&again).await.unwrap(), id, "one key is one message, sealed or not");
    for file in std::fs::read_dir(house.directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(20).any(|window| window == &text[9..29]));
    }
    house.transport.gate.add_permits(1);
    let running = house.start();
    house.until("delivered", |counts| counts.delivered == 1).await;
    assert_eq!(house.payloads(), [std::str::from_utf8(text).unwrap()]);
    running.shutdown().await.unwrap();

    let long = NewMessage::impersonal(&acme(), &house.to, vec![b' '; Sealed::MAX_VALUE_LEN + 1]).unwrap();
    assert_eq!(house.book.seal_payload(long).await.unwrap_err().code(), "endpoint_book.payload_length");
}

#[tokio::test]
async fn a_message_is_sealed_once() {
    let house = House::new().await;
    let message = NewMessage::impersonal(&acme(), &house.to, b"{}".to_vec()).unwrap();
    let sealed = house.book.seal_payload(message).await.unwrap();
    assert_eq!(house.book.seal_payload(sealed.clone()).await.unwrap(), sealed);
    house.outbox.enqueue(&sealed).await.unwrap();
    house.transport.gate.add_permits(1);
    let running = house.start();
    house.until("delivered", |counts| counts.delivered == 1).await;
    assert_eq!(house.payloads(), ["{}"]);
    running.shutdown().await.unwrap();
}

/// A key store that does not answer.
#[derive(Debug)]
struct Away;

impl KeyStore for Away {
    fn create(&self, _: &KeyOwner, _: &dyn SecureRandom) -> Result<DataKey, KeyStoreError> {
        Err(KeyStoreErrorKind::Unavailable.into())
    }
    fn find(&self, _: &KeyOwner) -> Result<Option<KeyId>, KeyStoreError> {
        Err(KeyStoreErrorKind::Unavailable.into())
    }
    fn unwrap_key(&self, _: KeyId) -> Result<DataKey, KeyStoreError> {
        Err(KeyStoreErrorKind::Unavailable.into())
    }
    fn destroy(&self, _: KeyId, _: Timestamp) -> Result<DestroyReceipt, KeyStoreError> {
        Err(KeyStoreErrorKind::Unavailable.into())
    }
    fn rotate(&self, _: KeyEncryptionKey, _: &dyn SecureRandom) -> Result<usize, KeyStoreError> {
        Err(KeyStoreErrorKind::Unavailable.into())
    }
}

#[tokio::test]
async fn a_key_store_that_is_away_is_told_from_one_that_refuses() {
    let house = House::new().await;
    let book = EndpointBook::new(EndpointPolicy::new(), Arc::new(Away));
    let (endpoint, key) = (
        book.policy().check("https://hooks.example.com/in").unwrap(),
        SigningKey::generate(&SystemRandom).unwrap(),
    );
    let refused = book.register(&house.outbox, &acme(), &endpoint, &key).await.unwrap_err();
    assert_eq!(refused.code(), "endpoint_book.key_store_unavailable");
    let message = NewMessage::impersonal(&acme(), &house.to, b"{}".to_vec()).unwrap();
    let refused = book.seal_payload(message).await.unwrap_err();
    assert_eq!(refused.code(), "endpoint_book.key_store_unavailable");
}

#[tokio::test]
async fn what_takes_something_away_happens_while_the_sink_is_away() {
    let house = House::new().await;
    house.instruct(&[DataClass::Personal]).await;
    house.outbox.enqueue(&house.personal()).await.unwrap();
    house.sink.fail_with(Some(RecordErrorKind::Unavailable));
    let unrecorded = house.book.revoke_instruction(&house.outbox, &acme(), &house.to).await.unwrap_err();
    assert_eq!(unrecorded.code(), "endpoint_book.unrecorded");
    assert_eq!(house.outbox.endpoint(&house.to).await.unwrap().unwrap().instruction(), None);
    let off = EndpointState::Disabled { code: "leak".into() };
    let unrecorded = house.book.switch(&house.outbox, &acme(), &house.to, off.clone()).await.unwrap_err();
    assert_eq!(unrecorded.code(), "endpoint_book.unrecorded");
    assert_eq!(*house.outbox.endpoint(&house.to).await.unwrap().unwrap().state(), off);
    // What gives something does not happen.
    let on = house.book.switch(&house.outbox, &acme(), &house.to, EndpointState::Enabled).await;
    assert_eq!(on.unwrap_err().code(), "endpoint_book.unrecorded");
    assert_eq!(*house.outbox.endpoint(&house.to).await.unwrap().unwrap().state(), off);
}

#[tokio::test]
async fn an_instruction_ends_with_the_url_it_was_given_for() {
    let house = House::new().await;
    house.instruct(&[DataClass::Personal]).await;
    let url = |text: &str| house.book.policy().check(text).unwrap();
    house
        .book
        .move_to(&house.outbox, &acme(), &house.to, &url("https://hooks.example.com/in"))
        .await
        .unwrap();
    house.outbox.enqueue(&house.personal()).await.unwrap();
    house
        .book
        .move_to(&house.outbox, &acme(), &house.to, &url("https://hooks.example.com/other"))
        .await
        .unwrap();
    assert_eq!(house.outbox.enqueue(&house.personal()).await.unwrap_err().code(), "outbox.not_instructed");
    let event = house.sink.events().pop().unwrap();
    assert!(format!("{:?}", event.fields()).contains("url_and_instruction"));
    let running = house.start();
    house.until("given up", |counts| counts.dead == 1).await;
    assert_eq!(house.payloads(), Vec::<String>::new());
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn sealed_payloads_are_erased_with_their_key_and_open_for_their_own_message_only() {
    let house = House::new().await;
    let message = || NewMessage::impersonal(&acme(), &house.to, b"{}".to_vec()).unwrap();
    let sealed = house.book.seal_payload(message()).await.unwrap();
    house.outbox.enqueue(&sealed).await.unwrap();
    // Under another message's name: not at enqueuing, and not by whoever writes to the tables.
    let moved = sealed.clone().with_id(compliance_webhook::MessageId::parse("msg_moved").unwrap());
    assert_eq!(house.outbox.enqueue(&moved).await.unwrap_err().code(), "outbox.sealed_for_another");
    let other = house.outbox.enqueue(&house.book.seal_payload(message()).await.unwrap()).await.unwrap();
    let pool = sqlx::SqlitePool::connect_with(durable_options(&house.directory.path().join("a.db"))).await;
    let renamed = sqlx::query("UPDATE webhook_message SET id = 'msg_moved' WHERE id = ?");
    renamed.bind(other.as_str()).execute(&pool.unwrap()).await.unwrap();
    house.transport.gate.add_permits(10);
    let running = house.start();
    house.until("one arrives", |counts| counts.delivered == 1 && counts.dead == 1).await;
    assert_eq!(&*house.outbox.dead_letters(&house.to, 1).await.unwrap()[0].last_code, "endpoint_book.seal");
    running.shutdown().await.unwrap();

    house.outbox.enqueue(&house.book.seal_payload(message()).await.unwrap()).await.unwrap();
    let owner = KeyOwner::new(PAYLOAD_KEY, house.to.as_str()).unwrap().of_tenant(acme());
    let key = house.keys.find(&owner).unwrap().unwrap();
    let _receipt = house.keys.destroy(key, SystemClock.now()).unwrap();
    let running = house.start();
    house.until("the other is erased", |counts| counts.dead == 2).await;
    assert_eq!(house.payloads().len(), 1);
    running.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_happens_to_an_endpoint_is_recorded_with_who_did_it_before_it_happens() {
    let house = House::new().await;
    let staff = Actor::Person(ActorId::new("staff-17").unwrap());
    let book = house.book.acting_as(staff.clone());
    let url = book.policy().check("https://new.example.com/in").unwrap();
    book.move_to(&house.outbox, &acme(), &house.to, &url).await.unwrap();
    let key = SigningKey::generate(&SystemRandom).unwrap();
    book.rotate(&house.outbox, &acme(), &house.to, &key).await.unwrap();
    let off = EndpointState::Disabled { code: "operator".into() };
    book.switch(&house.outbox, &acme(), &house.to, off).await.unwrap();
    book.switch(&house.outbox, &acme(), &house.to, EndpointState::Enabled).await.unwrap();
    let (from, until) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
    let replay = Replay::Dead { endpoint: house.to.clone(), from, until };
    assert_eq!(book.replay(&house.outbox, &acme(), &replay).await.unwrap(), 0);
    let events = house.sink.events();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind()).collect();
    assert_eq!(
        kinds,
        [
            EventKind::WebhookEndpointCreated,
            EventKind::WebhookEndpointChanged,
            EventKind::WebhookSecretRotated,
            EventKind::WebhookEndpointDisabled,
            EventKind::WebhookEndpointChanged,
            EventKind::WebhookReplayed,
        ]
    );
    assert!(events[1..].iter().all(|event| *event.actor() == staff && event.tenant() == Some(&acme())));

    house.sink.fail_with(Some(RecordErrorKind::Unavailable));
    let before = house.outbox.endpoint(&house.to).await.unwrap();
    let refused = book.rotate(&house.outbox, &acme(), &house.to, &key).await.unwrap_err();
    assert_eq!(refused.code(), "endpoint_book.unrecorded");
    assert_eq!(house.outbox.endpoint(&house.to).await.unwrap(), before);
    let other = TenantId::new("other").unwrap();
    let refused = book.replay(&house.outbox, &other, &replay).await.unwrap_err();
    assert_eq!(refused.code(), "outbox.endpoint_unknown");
}
