//! What a console, traces and metrics show of the outbox, and what they do not.
#![cfg(all(feature = "outbox", feature = "metrics", feature = "tracing"))]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance_core::clock::{Clock as _, ManualClock};
use compliance_core::id::TenantId;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::{DeterministicRandom, MemorySink};
use compliance_webhook::deliver::{Answer, Attempt, Deliver, Outcome};
use compliance_webhook::outbox::{
    DeliveryState, DispatchLimits, Dispatcher, EndpointBook, EndpointId, MemoryOutbox, NewMessage, Outbox,
};
use compliance_webhook::schedule::{Jitter, RetrySchedule};
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

const PAYLOAD: &[u8] = br#"{"email":"anna@example.com"}"#;
const PATH: &str = "/in?token=tiger-lily";

/// Says 500 with a long answer, then 204.
struct FailsOnce(AtomicU64);

impl Deliver for FailsOnce {
    async fn deliver(&self, _: Attempt<'_>) -> Outcome {
        let status = if self.0.fetch_add(1, Ordering::SeqCst) == 0 { 500 } else { 204 };
        Outcome::Answered(Answer::new(status).with_excerpt(&vec![b'x'; 5000]))
    }
}

struct House {
    clock: Arc<ManualClock>,
    outbox: MemoryOutbox,
    book: EndpointBook,
    to: EndpointId,
}

impl House {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let outbox = MemoryOutbox::new(clock.clone(), Arc::new(DeterministicRandom::new(1)));
        let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
        let book = EndpointBook::new(EndpointPolicy::new(), keys).with_clock(clock.clone());
        let endpoint = book.policy().check(&format!("https://hooks.example.com{PATH}")).unwrap();
        let key = SigningKey::from_bytes(&[9; 32]).unwrap();
        let to = book.register(&outbox, &acme(), &endpoint, &key).await.unwrap();
        Self { clock, outbox, book, to }
    }

    /// One message, tried twice, a minute apart; in between, `look` is called.
    async fn deliver(&self, excerpt: usize, look: impl AsyncFnOnce(&MessageId)) -> MessageId {
        let mut limits = DispatchLimits::default();
        limits.excerpt = excerpt;
        let schedule = RetrySchedule::new(&[Duration::from_secs(60); 3]).unwrap().with_jitter(Jitter::None);
        let (outbox, book) = (self.outbox.clone(), self.book.clone());
        let transport = FailsOnce(AtomicU64::new(0));
        let running = Dispatcher::new(outbox, book, transport, Arc::new(MemorySink::default()))
            .with_clock(self.clock.clone())
            .with_schedule(schedule)
            .with_limits(limits)
            .spawn();
        let message = NewMessage::impersonal(&acme(), &self.to, PAYLOAD).unwrap();
        let id = self.outbox.enqueue(&message).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        look(&id).await;
        self.clock.advance(Duration::from_secs(60));
        tokio::time::sleep(Duration::from_secs(3)).await;
        running.shutdown().await.unwrap();
        id
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_console_sees_attempts_next_try_and_last_status() {
    let house = House::new().await;
    let look = async |id: &MessageId| {
        let status = house.outbox.delivery(&house.to, id).await.unwrap().unwrap();
        assert_eq!(
            (status.state, status.attempts, status.last_status),
            (DeliveryState::Pending, 1, Some(500))
        );
        assert_eq!(&*status.last_code, "deliver.status");
        assert_eq!(status.next_at, Some(house.clock.now().saturating_add(Duration::from_secs(60))));
        assert_eq!(status.excerpt, None, "not unless asked for");
        let pending = house.outbox.deliveries(&house.to, DeliveryState::Pending, 10).await.unwrap();
        assert_eq!(pending, [status]);
    };
    let id = house.deliver(0, look).await;
    let status = house.outbox.delivery(&house.to, &id).await.unwrap().unwrap();
    assert_eq!((status.state, status.attempts, status.last_status), (DeliveryState::Delivered, 2, Some(204)));
    assert_eq!(status.settled_at, Some(house.clock.now()));
    let elsewhere = EndpointId::parse("ep_other").unwrap();
    assert_eq!(house.outbox.delivery(&elsewhere, &id).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn excerpts_of_answers_are_kept_on_request_and_up_to_a_limit() {
    let house = House::new().await;
    let id = house.deliver(10, async |_| {}).await;
    let status = house.outbox.delivery(&house.to, &id).await.unwrap().unwrap();
    assert_eq!(status.excerpt.as_deref(), Some(&b"xxxxxxxxxx"[..]));
    assert!(!format!("{status:?}").contains("xxx"));
    let id = house.deliver(usize::MAX, async |_| {}).await;
    let status = house.outbox.delivery(&house.to, &id).await.unwrap().unwrap();
    assert_eq!(status.excerpt.map(|excerpt| excerpt.len()), Some(DispatchLimits::MAX_EXCERPT));
}

/// Every span and event, written out.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<String>>>);

struct Fields<'a>(&'a mut String);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Written {
    fn on_new_span(&self, span: &tracing::span::Attributes<'_>, _: &tracing::Id, _: Context<'_, S>) {
        let mut text = format!("span {}", span.metadata().name());
        span.record(&mut Fields(&mut text));
        self.0.lock().unwrap().push(text);
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = format!("event {}", event.metadata().name());
        event.record(&mut Fields(&mut text));
        self.0.lock().unwrap().push(text);
    }
}

fn paused(run: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(run());
}

#[test]
fn spans_name_endpoint_message_and_outcome_and_neither_payload_nor_url() {
    let written = Written::default();
    // A span another test's thread comes to first is put down as of no interest there, unless there are two to ask.
    let _beside = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::registry().with(written.clone());
    tracing::subscriber::with_default(subscriber, || {
        paused(async || {
            let house = House::new().await;
            let id = house.deliver(100, async |_| {}).await;
            let lines = written.0.lock().unwrap();
            let ours: Vec<&String> = lines.iter().filter(|line| line.contains(id.as_str())).collect();
            assert_eq!(ours.iter().filter(|line| line.starts_with("span webhook.attempt ")).count(), 2);
            assert!(ours.iter().any(|line| {
                line.starts_with("event webhook.attempted")
                    && line.contains("status=500")
                    && line.contains("attempt=1")
            }));
            assert!(ours.iter().all(|line| line.contains(house.to.as_str())));
            let all = lines.join("\n");
            for hidden in ["anna", "tiger-lily", "hooks.example.com", "xxx", "whsec_"] {
                assert!(!all.contains(hidden), "{hidden}");
            }
        });
    });
}

/// Counters by name and labels; how often each histogram was used.
#[derive(Clone, Default)]
struct Counted(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

struct Uses(Arc<AtomicU64>);

impl HistogramFn for Uses {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counted {
    fn at(&self, key: &Key) -> Arc<AtomicU64> {
        let labels: Vec<String> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        self.0.lock().unwrap().entry(name).or_default().clone()
    }
}

impl metrics::Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let counter: Arc<dyn CounterFn + Send + Sync> = self.at(key);
        Counter::from_arc(Arc::new(Forward(counter)))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Uses(self.at(key))))
    }
}

struct Forward(Arc<dyn CounterFn + Send + Sync>);

impl CounterFn for Forward {
    fn increment(&self, value: u64) {
        self.0.increment(value);
    }

    fn absolute(&self, value: u64) {
        self.0.absolute(value);
    }
}

#[test]
fn metrics_count_attempts_by_outcome_and_carry_no_label_but_codes() {
    let counted = Counted::default();
    metrics::with_local_recorder(&counted, || {
        paused(async || {
            House::new().await.deliver(0, async |_| {}).await;
        });
    });
    let counts = counted.0.lock().unwrap();
    let found: Vec<(&str, u64)> =
        counts.iter().map(|(name, count)| (name.as_str(), count.load(Ordering::SeqCst))).collect();
    assert_eq!(
        found,
        [
            ("webhook_attempt_seconds{}", 2),
            ("webhook_attempts_total{code=deliver.delivered}", 1),
            ("webhook_attempts_total{code=deliver.status}", 1),
            ("webhook_delivered_total{}", 1),
            ("webhook_delivery_seconds{}", 1),
        ]
    );
}
