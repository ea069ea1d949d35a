//! The dispatcher, over the memory store and a transport that says what it is told to.
#![cfg(feature = "outbox")]

mod doubt;
mod fairness;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance_core::clock::{Clock, ManualClock};
use compliance_core::event::{EventKind, RecordErrorKind, Sink};
use compliance_core::id::TenantId;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::{DeterministicRandom, MemorySink};
use compliance_webhook::deliver::{Answer, Attempt, Deliver, DeliverReason, Outcome, Pace};
use compliance_webhook::outbox::{
    Counts, DeadLetter, DeliveryState, DeliveryStatus, DispatchLimits, Dispatcher, Due, EndpointBook,
    EndpointId, EndpointRecord, EndpointState, MemoryOutbox, NewMessage, Outbox, OutboxError,
    OutboxErrorKind, Replay, Retention, Round, RoundResult, Running, Worker,
};
use compliance_webhook::schedule::{HostLimit, Jitter, Rate, RetrySchedule};
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey, WebhookEndpoint};

/// What the transport does with an attempt.
#[derive(Clone, Copy)]
enum Says {
    Status(u16),
    RetryAfter(u16, &'static str),
    Unreachable,
    Hang,
    Panic,
}

/// Answers by host; what was not scripted is 204.
#[derive(Default)]
struct Script {
    by_host: Mutex<HashMap<String, VecDeque<Says>>>,
    always: Mutex<HashMap<String, Says>>,
    seen: Mutex<Vec<(String, MessageId, usize)>>,
    pace: Mutex<Option<Pace>>,
    unhang: tokio::sync::Notify,
    hanging: AtomicUsize,
}

impl Script {
    fn next(&self, host: &str, says: &[Says]) {
        self.by_host.lock().unwrap().entry(host.into()).or_default().extend(says);
    }

    fn always(&self, host: &str, says: Says) {
        self.always.lock().unwrap().insert(host.into(), says);
    }

    fn seen(&self, host: &str) -> Vec<MessageId> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(seen, _, _)| seen == host).map(|(_, id, _)| id.clone()).collect()
    }

    fn signatures(&self) -> Vec<usize> {
        self.seen.lock().unwrap().iter().map(|(_, _, signatures)| *signatures).collect()
    }
}

#[derive(Clone)]
struct Transport(Arc<Script>, Arc<ManualClock>);

impl Deliver for Transport {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        let host = attempt.endpoint().authority().to_owned();
        let signed = attempt.signer().sign(attempt.id(), self.1.now(), attempt.payload()).unwrap();
        let signatures = signed.signature().split(' ').count();
        self.0.seen.lock().unwrap().push((host.clone(), attempt.id().clone(), signatures));
        let next = self.0.by_host.lock().unwrap().get_mut(&host).and_then(VecDeque::pop_front);
        let always = self.0.always.lock().unwrap().get(&host).copied();
        match next.or(always).unwrap_or(Says::Status(204)) {
            Says::Status(status) => Outcome::Answered(Answer::new(status)),
            Says::RetryAfter(status, value) => {
                Outcome::Answered(Answer::new(status).with_retry_after(value.as_bytes()))
            }
            Says::Unreachable => Outcome::Unanswered(DeliverReason::Connect.into()),
            Says::Hang => {
                self.0.hanging.fetch_add(1, Ordering::SeqCst);
                self.0.unhang.notified().await;
                Outcome::Answered(Answer::new(204))
            }
            Says::Panic => panic!("scripted"),
        }
    }

    fn pace(&self, _: &WebhookEndpoint) -> Pace {
        self.0.pace.lock().unwrap().unwrap_or(Pace::Free)
    }
}

/// The memory store, with a switch that makes it fail.
#[derive(Clone, Debug)]
struct Flaky {
    inner: MemoryOutbox,
    is_down: Arc<AtomicBool>,
    /// Does what it is asked to in one round that claims something, and cannot say so.
    is_forgetful: Arc<AtomicBool>,
    failures: Arc<AtomicUsize>,
}

impl Flaky {
    fn up(&self) -> Result<&MemoryOutbox, OutboxError> {
        if self.is_down.load(Ordering::SeqCst) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Err(OutboxError::new(OutboxErrorKind::Io));
        }
        Ok(&self.inner)
    }
}

impl Outbox for Flaky {
    async fn save_endpoint(&self, record: &EndpointRecord) -> Result<(), OutboxError> {
        self.up()?.save_endpoint(record).await
    }
    async fn endpoint(&self, id: &EndpointId) -> Result<Option<EndpointRecord>, OutboxError> {
        self.up()?.endpoint(id).await
    }
    async fn enqueue(&self, message: &NewMessage) -> Result<MessageId, OutboxError> {
        self.up()?.enqueue(message).await
    }
    async fn enqueued(&self) {
        self.inner.enqueued().await;
    }
    async fn join(&self, instance: &str, lease: Duration) -> Result<Worker, OutboxError> {
        self.up()?.join(instance, lease).await
    }
    async fn leave(&self, worker: &Worker) -> Result<(), OutboxError> {
        self.up()?.leave(worker).await
    }
    async fn recover(&self, worker: &Worker) -> Result<u64, OutboxError> {
        self.up()?.recover(worker).await
    }
    async fn ready(&self, after: Option<&EndpointId>, limit: usize) -> Result<Due, OutboxError> {
        self.up()?.ready(after, limit).await
    }
    async fn round(&self, worker: &Worker, round: &Round) -> Result<RoundResult, OutboxError> {
        let result = self.up()?.round(worker, round).await?;
        if !result.leased.is_empty() && self.is_forgetful.swap(false, Ordering::SeqCst) {
            return Err(OutboxError::new(OutboxErrorKind::Io));
        }
        Ok(result)
    }
    async fn dead_letters(
        &self,
        endpoint: &EndpointId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, OutboxError> {
        self.up()?.dead_letters(endpoint, limit).await
    }
    async fn delivery(&self, of: &EndpointId, id: &MessageId) -> Result<Option<DeliveryStatus>, OutboxError> {
        self.up()?.delivery(of, id).await
    }
    async fn deliveries(
        &self,
        endpoint: &EndpointId,
        state: DeliveryState,
        limit: usize,
    ) -> Result<Vec<DeliveryStatus>, OutboxError> {
        self.up()?.deliveries(endpoint, state, limit).await
    }
    async fn replay(&self, replay: &Replay) -> Result<u64, OutboxError> {
        self.up()?.replay(replay).await
    }
    async fn purge(&self, retention: &Retention, limit: usize) -> Result<u64, OutboxError> {
        self.up()?.purge(retention, limit).await
    }
    async fn counts(&self) -> Result<Counts, OutboxError> {
        self.up()?.counts().await
    }
}

struct House {
    clock: Arc<ManualClock>,
    outbox: Flaky,
    book: EndpointBook,
    script: Arc<Script>,
    sink: Arc<MemorySink>,
    limits: DispatchLimits,
    hosts: HostLimit,
    attempts: usize,
}

impl House {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let random = Arc::new(DeterministicRandom::new(1));
        let inner = MemoryOutbox::new(clock.clone(), random.clone());
        let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
        let book = EndpointBook::new(EndpointPolicy::new(), Arc::new(keys))
            .with_clock(clock.clone())
            .with_random(random);
        Self {
            clock,
            outbox: Flaky {
                inner,
                is_down: Arc::default(),
                is_forgetful: Arc::default(),
                failures: Arc::default(),
            },
            book,
            script: Arc::default(),
            sink: Arc::default(),
            limits: DispatchLimits::default(),
            hosts: HostLimit::default(),
            attempts: 3,
        }
    }

    /// Attempts at once, then after a minute each time.
    fn start(&self) -> Running {
        self.dispatcher(self.sink.clone()).spawn()
    }

    fn dispatcher(&self, sink: Arc<dyn Sink>) -> Dispatcher<Flaky, Transport> {
        let mut delays = vec![Duration::from_secs(60); self.attempts];
        delays[0] = Duration::ZERO;
        let schedule = RetrySchedule::new(&delays).unwrap().with_jitter(Jitter::None);
        Dispatcher::new(
            self.outbox.clone(),
            self.book.clone(),
            Transport(self.script.clone(), self.clock.clone()),
            sink,
        )
        .with_clock(self.clock.clone())
        .with_schedule(schedule)
        .with_limits(self.limits)
        .with_host_limit(self.hosts.clone())
    }

    async fn register(&self, host: &str) -> EndpointId {
        self.register_for(&acme(), host).await
    }

    async fn register_for(&self, tenant: &TenantId, host: &str) -> EndpointId {
        let endpoint = self.book.policy().check(&format!("https://{host}/in")).unwrap();
        let key = SigningKey::from_bytes(&[9; 32]).unwrap();
        self.book.register(&self.outbox, tenant, &endpoint, &key).await.unwrap()
    }

    async fn enqueue(&self, to: &EndpointId, count: usize) -> Vec<MessageId> {
        self.enqueue_for(&acme(), to, count).await
    }

    async fn enqueue_for(&self, tenant: &TenantId, to: &EndpointId, count: usize) -> Vec<MessageId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let message = NewMessage::impersonal(tenant, to, b"{}".to_vec()).unwrap();
            ids.push(self.outbox.inner.enqueue(&message).await.unwrap());
        }
        ids
    }

    /// Virtual time passes until it is so, at most a virtual minute.
    async fn until(&self, what: &str, is_so: impl Fn(&Counts) -> bool) {
        for _ in 0..60_000 {
            let counts = self.outbox.inner.counts().await.unwrap();
            if is_so(&counts) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("not in a minute: {what}; {:?}", self.outbox.inner.counts().await);
    }

    /// Long enough for polls and upkeep to find whatever there is to find.
    async fn settle_down(&self) {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.settle_down().await;
    }

    fn events(&self, kind: EventKind) -> usize {
        self.sink.events().iter().filter(|event| event.kind() == kind).count()
    }
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

const A: &str = "a.example.com";
const B: &str = "b.example.com";
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_made_again_later_with_the_same_id() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Status(500), Says::Unreachable]);
    let running = house.start();
    let ids = house.enqueue(&to, 1).await;
    house.settle_down().await;
    assert_eq!(house.script.seen(A).len(), 1, "not before its time");
    house.pass(MINUTE).await;
    house.pass(MINUTE).await;
    let counts = house.outbox.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.pending, counts.leased), (1, 0, 0));
    assert_eq!(house.script.seen(A), vec![ids[0].clone(); 3]);
    assert!(house.outbox.endpoint(&to).await.unwrap().unwrap().failing_since().is_none());
    let report = running.shutdown().await.unwrap();
    assert_eq!((report.attempts, report.delivered, report.failed), (3, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_out_of_attempts_is_recorded_and_waits_in_the_dead_letters_for_replay() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Status(500), Says::Status(302), Says::Status(404)]);
    let running = house.start();
    let ids = house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.pass(MINUTE).await;
    house.pass(MINUTE).await;
    let dead = house.outbox.dead_letters(&to, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].attempts, dead[0].last_status, &*dead[0].last_code),
        (3, Some(404), "deliver.status")
    );
    assert_eq!(house.events(EventKind::WebhookMessageDead), 1);
    let event = house.sink.events().pop().unwrap();
    assert_eq!((event.tenant(), event.reason()), (Some(&acme()), Some("deliver.status")));

    let replay = Replay::Message { endpoint: to, id: ids[0].clone() };
    assert_eq!(house.outbox.replay(&replay).await, Ok(1));
    house.until("delivered after replay", |counts| counts.delivered == 1).await;
    assert_eq!(house.script.seen(A), vec![ids[0].clone(); 4]);
    assert_eq!(running.shutdown().await.unwrap().dead, 1);
}

#[tokio::test(start_paused = true)]
async fn status_410_switches_the_endpoint_off_and_the_rest_waits() {
    let mut house = House::new();
    house.limits.per_endpoint = 1;
    let to = house.register(A).await;
    house.enqueue(&to, 10).await;
    house.script.next(A, &[Says::Status(410)]);
    let running = house.start();
    house.until("one dead", |counts| counts.dead == 1 && counts.leased == 0).await;
    house.pass(MINUTE * 60).await;
    assert_eq!(house.script.seen(A).len(), 1);
    let stored = house.outbox.endpoint(&to).await.unwrap().unwrap();
    assert_eq!(*stored.state(), EndpointState::Disabled { code: "deliver.gone".into() });
    assert_eq!(house.events(EventKind::WebhookEndpointDisabled), 1);

    house.book.switch(&house.outbox, &acme(), &to, EndpointState::Enabled).await.unwrap();
    house.until("the others delivered", |counts| counts.delivered == 9).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_does_not_hold_up_the_others() {
    let mut house = House::new();
    house.limits.per_endpoint = 4;
    let (hangs, works) = (house.register(A).await, house.register(B).await);
    house.script.always(A, Says::Hang);
    house.enqueue(&hangs, 500).await;
    house.enqueue(&works, 500).await;
    let running = house.start();
    house.until("the healthy half delivered", |counts| counts.delivered == 500).await;
    assert_eq!(house.script.hanging.load(Ordering::SeqCst), 4);
    assert_eq!(house.script.seen(B).len(), 500);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_endpoint_leave_in_order_and_each_once() {
    let mut house = House::new();
    house.limits.per_endpoint = 1;
    let to = house.register(A).await;
    let ids = house.enqueue(&to, 300).await;
    let running = house.start();
    house.until("all delivered", |counts| counts.delivered == 300).await;
    assert_eq!(house.script.seen(A), ids);
    let report = running.shutdown().await.unwrap();
    assert_eq!((report.attempts, report.fenced), (300, 0));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_endpoint_is_left_alone_for_as_long_as_it_asked() {
    let mut house = House::new();
    house.limits.per_endpoint = 1;
    let to = house.register(A).await;
    house.enqueue(&to, 5).await;
    house.script.next(A, &[Says::RetryAfter(429, "3600")]);
    let running = house.start();
    house.settle_down().await;
    house.pass(MINUTE * 59).await;
    assert_eq!(house.script.seen(A).len(), 1);
    house.pass(MINUTE).await;
    house.until("all delivered", |counts| counts.delivered == 5).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hostile_retry_after_is_harmless() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::RetryAfter(503, "1e30"), Says::RetryAfter(503, "99999999999999999999")]);
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.pass(MINUTE).await;
    assert_eq!(house.script.seen(A).len(), 2);
    house.pass(MINUTE * 60 * 24).await;
    house.until("delivered", |counts| counts.delivered == 1).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_failures_in_a_row_only_probes_go_out() {
    let mut house = House::new();
    house.limits.per_endpoint = 1;
    house.attempts = 60;
    let to = house.register(A).await;
    house.enqueue(&to, 100).await;
    house.script.always(A, Says::Unreachable);
    let running = house.start();
    house.settle_down().await;
    assert_eq!(house.script.seen(A).len(), 5, "five failures open the breaker");
    house.pass(Duration::from_secs(30)).await;
    assert_eq!(house.script.seen(A).len(), 6, "one probe after the pause");
    house.pass(Duration::from_secs(60)).await;
    assert_eq!(house.script.seen(A).len(), 7);
    house.script.always(A, Says::Status(204));
    house.pass(Duration::from_secs(120)).await;
    house
        .until("all delivered", |counts| counts.delivered + counts.pending == 100 && counts.delivered > 90)
        .await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_for_days_is_switched_off() {
    let mut house = House::new();
    house.attempts = 60;
    house.limits.disable_after = Some(MINUTE * 60 * 24 * 5);
    let to = house.register(A).await;
    house.script.always(A, Says::Status(500));
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.pass(MINUTE * 60 * 24 * 5).await;
    let stored = house.outbox.endpoint(&to).await.unwrap().unwrap();
    assert_eq!(*stored.state(), EndpointState::Disabled { code: "dispatch.failing_for_too_long".into() });
    assert_eq!(house.events(EventKind::WebhookEndpointDisabled), 1);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_hands_back_what_it_cannot_finish() {
    let mut house = House::new();
    house.limits.per_endpoint = 3;
    house.limits.grace = Duration::from_secs(1);
    let to = house.register(A).await;
    house.script.always(A, Says::Hang);
    house.enqueue(&to, 50).await;
    let running = house.start();
    house.until("attempts under way", |_| house.script.hanging.load(Ordering::SeqCst) == 3).await;
    let report = running.shutdown().await.unwrap();
    let counts = house.outbox.counts().await.unwrap();
    assert_eq!((counts.pending, counts.leased), (50, 0));
    assert_eq!((report.attempts, report.delivered), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_attempts_under_way() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.always(A, Says::Hang);
    house.enqueue(&to, 1).await;
    let running = house.start();
    house.until("the attempt under way", |_| house.script.hanging.load(Ordering::SeqCst) == 1).await;
    let shutdown = tokio::spawn(running.shutdown());
    house.settle_down().await;
    house.script.unhang.notify_waiters();
    assert_eq!(shutdown.await.unwrap().unwrap().delivered, 1);
    assert_eq!(house.outbox.counts().await.unwrap().delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_outlasts_its_bound_is_a_failure() {
    let mut house = House::new();
    house.limits.attempt_timeout = Duration::from_secs(2);
    let to = house.register(A).await;
    house.script.next(A, &[Says::Hang]);
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.pass(MINUTE).await;
    house.until("delivered by the second attempt", |counts| counts.delivered == 1).await;
    assert_eq!(running.shutdown().await.unwrap().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_panics_costs_one_attempt() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Panic]);
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.pass(MINUTE).await;
    house.until("delivered by the second attempt", |counts| counts.delivered == 1).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_given_up_that_the_sink_did_not_record() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Status(410)]);
    house.sink.fail_with(Some(RecordErrorKind::Unavailable));
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    let counts = house.outbox.counts().await.unwrap();
    assert_eq!((counts.dead, counts.pending), (0, 1));
    assert_eq!(*house.outbox.endpoint(&to).await.unwrap().unwrap().state(), EndpointState::Enabled);

    house.sink.fail_with(None);
    house.script.next(A, &[Says::Status(410)]);
    house.pass(MINUTE).await;
    house.until("dead once it is recorded", |counts| counts.dead == 1).await;
    assert_eq!(house.events(EventKind::WebhookEndpointDisabled), 1);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stored_url_goes_through_the_policy_again() {
    let mut house = House::new();
    let to = house.register("api.ourselves.example.com").await;
    // The service's own names are refused from now on.
    let policy = EndpointPolicy::new().with_refused_host("ourselves.example.com").unwrap();
    let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    house.book = EndpointBook::new(policy, Arc::new(keys)).with_clock(house.clock.clone());
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.pass(MINUTE).await;
    house.pass(MINUTE).await;
    let dead = house.outbox.dead_letters(&to, 1).await.unwrap();
    assert_eq!(&*dead[0].last_code, "endpoint.refused_host");
    assert_eq!(house.script.seen("api.ourselves.example.com"), []);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn keys_sealed_for_one_endpoint_do_not_open_for_another() {
    let house = House::new();
    let (a, b) = (house.register(A).await, house.register(B).await);
    let (stolen, record) = (
        house.outbox.endpoint(&a).await.unwrap().unwrap(),
        house.outbox.endpoint(&b).await.unwrap().unwrap(),
    );
    let forged = EndpointRecord::from_stored(
        b.clone(),
        acme(),
        record.url().into(),
        stolen.sealed_keys().into(),
        EndpointState::Enabled,
        2,
        None,
    );
    house.outbox.save_endpoint(&forged).await.unwrap();
    let running = house.start();
    house.enqueue(&b, 1).await;
    house.settle_down().await;
    house.pass(MINUTE).await;
    house.pass(MINUTE).await;
    assert_eq!(&*house.outbox.dead_letters(&b, 1).await.unwrap()[0].last_code, "endpoint_book.seal");
    assert_eq!(house.script.seen(B), []);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_signs_beside_the_previous_one_at_once() {
    let house = House::new();
    let to = house.register(A).await;
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.until("delivered", |counts| counts.delivered == 1).await;
    let key = SigningKey::from_bytes(&[11; 32]).unwrap();
    house.book.rotate(&house.outbox, &acme(), &to, &key).await.unwrap();
    house.enqueue(&to, 1).await;
    house.until("delivered", |counts| counts.delivered == 2).await;
    house.book.rotate(&house.outbox, &acme(), &to, &key).await.unwrap();
    house.enqueue(&to, 1).await;
    house.until("delivered", |counts| counts.delivered == 3).await;
    assert_eq!(house.script.signatures(), [1, 2, 1]);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn another_tenants_endpoint_is_unknown() {
    let house = House::new();
    let to = house.register(A).await;
    let other = TenantId::new("other").unwrap();
    let message = NewMessage::impersonal(&other, &to, b"{}".to_vec()).unwrap();
    assert_eq!(house.outbox.enqueue(&message).await.unwrap_err().code(), "outbox.endpoint_unknown");
    let refused = house.book.switch(&house.outbox, &other, &to, EndpointState::Enabled).await;
    assert_eq!(refused.unwrap_err().code(), "outbox.endpoint_unknown");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_for_a_minute_costs_nothing_but_time() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Hang]);
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.until("the attempt under way", |_| house.script.hanging.load(Ordering::SeqCst) == 1).await;
    house.outbox.is_down.store(true, Ordering::SeqCst);
    house.script.unhang.notify_waiters();
    house.enqueue(&to, 20).await;
    tokio::time::sleep(MINUTE).await;
    let failures = house.outbox.failures.load(Ordering::SeqCst);
    assert!((10..60).contains(&failures), "asked again, but not all the time: {failures}");
    assert_eq!(house.outbox.inner.counts().await.unwrap().delivered, 0);
    house.outbox.is_down.store(false, Ordering::SeqCst);
    house.until("all delivered", |counts| counts.delivered == 21).await;
    assert_eq!(house.script.seen(A).len(), 21, "nothing twice");
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_taken_over_is_fenced_off() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Hang]);
    let start = || house.dispatcher(house.sink.clone()).with_instance("host-1").spawn();
    let first = start();
    house.enqueue(&to, 1).await;
    house.until("the attempt under way", |_| house.script.hanging.load(Ordering::SeqCst) == 1).await;
    // Its namesake starts while it hangs, and delivers.
    let second = start();
    house.until("delivered by the second", |counts| counts.delivered == 1).await;
    house.script.unhang.notify_waiters();
    house.settle_down().await;
    let (first, second) = (first.shutdown().await.unwrap(), second.shutdown().await.unwrap());
    assert_eq!((first.delivered, first.fenced), (0, 1));
    assert_eq!((second.delivered, second.fenced), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_an_hour_delays_no_fresh_message() {
    let house = House::new();
    let to = house.register(A).await;
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.until("delivered", |counts| counts.delivered == 1).await;
    house.clock.set(house.clock.now().saturating_sub(MINUTE * 60));
    house.enqueue(&to, 1).await;
    house.until("delivered before the hour is over", |counts| counts.delivered == 2).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn settled_messages_are_deleted_when_their_time_is_over() {
    let house = House::new();
    let to = house.register(A).await;
    let running = house.start();
    house.enqueue(&to, 3).await;
    house.until("delivered", |counts| counts.delivered == 3).await;
    house.clock.advance(MINUTE * 60 * 72);
    house.until("deleted", |counts| *counts == Counts::default()).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_an_endpoint_that_is_switched_off_is_deleted_in_the_end() {
    let house = House::new();
    let (off, on) = (house.register(A).await, house.register(B).await);
    house.script.always(B, Says::Hang);
    let state = EndpointState::Disabled { code: "owner.off".into() };
    house.book.switch(&house.outbox, &acme(), &off, state).await.unwrap();
    house.enqueue(&off, 3).await;
    house.enqueue(&on, 2).await;
    let running = house.start();
    house.clock.advance(MINUTE * 60 * 24 * 30 - MINUTE);
    tokio::time::sleep(MINUTE * 2).await;
    let waiting = async || house.outbox.counts().await.unwrap();
    assert_eq!(waiting().await.pending + waiting().await.leased, 5);
    house.clock.advance(MINUTE);
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(waiting().await.pending + waiting().await.leased, 2, "those for the other one are kept");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn deleting_keeps_up_with_what_was_delivered() {
    let house = House::new();
    let to = house.register(A).await;
    let running = house.start();
    house.enqueue(&to, 2500).await;
    house.until("delivered", |counts| counts.delivered == 2500).await;
    house.clock.advance(MINUTE * 60 * 72);
    let soon = Duration::from_millis(250);
    while house.outbox.counts().await.unwrap().delivered == 2500 {
        tokio::time::sleep(soon).await;
    }
    // A thousand at a time, one after the other.
    tokio::time::sleep(soon).await;
    assert_eq!(house.outbox.counts().await.unwrap(), Counts::default());
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_failed_at_the_old_url_goes_to_the_new_one() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.always(A, Says::Hang);
    let ids = house.enqueue(&to, 3).await;
    let running = house.start();
    house.until("under way", |counts| counts.leased == 3).await;
    house.settle_down().await;
    let endpoint = house.book.policy().check(&format!("https://{B}/in")).unwrap();
    house.book.move_to(&house.outbox, &acme(), &to, &endpoint).await.unwrap();
    // The attempts at the old one end badly, long after.
    house.pass(MINUTE * 2).await;
    house.until("delivered", |counts| counts.delivered == 3).await;
    let mut seen = house.script.seen(B);
    seen.sort();
    let mut expected = ids.clone();
    expected.sort();
    assert_eq!(seen, expected);
    let stored = house.outbox.endpoint(&to).await.unwrap().unwrap();
    assert_eq!(stored.failing_since(), None);
    running.shutdown().await.unwrap();
}
