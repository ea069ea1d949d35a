//! What others say, or fail to say: a store whose answer is lost, another dispatcher, a sink that hangs or panics, an
//! owner who switches an endpoint off.

use std::sync::mpsc;

use compliance_core::class::DataClass;
use compliance_core::clock::Timestamp;
use compliance_core::country::CountryCode;
use compliance_core::event::{Completion, Event, Recording};
use compliance_core::id::ActorId;
use compliance_core::purpose;
use compliance_core::random::SecureRandom;
use compliance_core::seal::{DataKey, DestroyReceipt, KeyId, KeyOwner, KeyStore, KeyStoreError};
use compliance_webhook::outbox::{DataClasses, Instruction, LeaseToken, Settlement, Verdict, Want};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(start_paused = true)]
async fn what_was_claimed_by_a_round_whose_answer_was_lost_is_claimed_again() {
    let mut house = House::new();
    house.limits.per_endpoint = 2;
    let (to, other) = (house.register(A).await, house.register(B).await);
    house.script.always(B, Says::Hang);
    let running = house.start();
    house.enqueue(&other, 2).await;
    house.until("two under way", |_| house.script.hanging.load(Ordering::SeqCst) == 2).await;
    house.outbox.is_forgetful.store(true, Ordering::SeqCst);
    house.enqueue(&to, 5).await;
    house.until("delivered", |counts| counts.delivered == 5).await;
    assert!(!house.outbox.is_forgetful.load(Ordering::SeqCst), "one answer was lost");
    // What was under way meanwhile is held, and not attempted again.
    house.settle_down().await;
    assert_eq!((house.script.seen(A).len(), house.script.seen(B).len()), (5, 2));
    house.script.always(B, Says::Status(204));
    house.script.unhang.notify_waiters();
    house.until("all delivered", |counts| counts.delivered == 7).await;
    assert_eq!(running.shutdown().await.unwrap().fenced, 0);
}

impl House {
    /// Messages with personal data, which the endpoint's client has instructed us to send.
    async fn instructed(&self, to: &EndpointId, count: usize) -> Vec<MessageId> {
        let (by, at) = (ActorId::new("client").unwrap(), self.clock.now());
        let (classes, germany) = (DataClasses::of(&[DataClass::Personal]), CountryCode::parse("DE").unwrap());
        let instruction = Instruction::new(by, at, classes, purpose!("crm.sync"), germany);
        let book = self.book.clone().with_sink(self.sink.clone());
        book.instruct(&self.outbox, &acme(), to, instruction).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..count {
            let message = NewMessage::impersonal(&acme(), to, b"{}".to_vec()).unwrap();
            let message = message.with_classes(&[DataClass::Personal], purpose!("crm.sync")).unwrap();
            ids.push(self.outbox.inner.enqueue(&message).await.unwrap());
        }
        ids
    }
}

/// Another dispatcher delivers what is due.
async fn deliver_elsewhere(house: &House, to: &EndpointId) {
    let worker = house.outbox.inner.join("elsewhere", MINUTE).await.unwrap();
    let wants = vec![Want { endpoint: to.clone(), limit: 1, max_bytes: usize::MAX }];
    let leased =
        house.outbox.inner.round(&worker, &Round { wants, ..Round::default() }).await.unwrap().leased;
    let (token, revision): (LeaseToken, i64) = (leased[0].token, leased[0].revision);
    let settlements = vec![Settlement { token, revision, verdict: Verdict::Delivered { status: 204 } }];
    let _ = house.outbox.inner.round(&worker, &Round { settlements, ..Round::default() }).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_another_dispatcher_delivers_counts_against_days_of_failing() {
    let mut house = House::new();
    house.attempts = 20;
    let to = house.register(A).await;
    house.script.next(A, &[Says::Status(500)]);
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    assert!(house.outbox.endpoint(&to).await.unwrap().unwrap().failing_since().is_some());
    house.clock.advance(MINUTE);
    deliver_elsewhere(&house, &to).await;
    assert_eq!(house.outbox.endpoint(&to).await.unwrap().unwrap().failing_since(), None);
    // Six days later, one more failure is the first one.
    house.script.next(A, &[Says::Status(500)]);
    house.clock.advance(DAY * 6);
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    assert_eq!(house.script.seen(A).len(), 2);
    assert_eq!(*house.outbox.endpoint(&to).await.unwrap().unwrap().state(), EndpointState::Enabled);
    assert_eq!(house.events(EventKind::WebhookEndpointDisabled), 0);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_attempt_under_way_when_others_deliver_does_not_switch_the_endpoint_off() {
    let mut house = House::new();
    house.attempts = 20;
    let to = house.register(A).await;
    house.script.next(A, &[Says::Status(500), Says::Hang]);
    house.limits.attempt_timeout = MINUTE;
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.pass(DAY * 6).await;
    // Six days of failing, as far as this dispatcher knows; another one delivers while its attempt hangs.
    assert_eq!(house.script.hanging.load(Ordering::SeqCst), 1);
    house.enqueue(&to, 1).await;
    deliver_elsewhere(&house, &to).await;
    tokio::time::sleep(MINUTE).await;
    house.settle_down().await;
    assert_eq!(*house.outbox.endpoint(&to).await.unwrap().unwrap().state(), EndpointState::Enabled);
    assert_eq!(house.events(EventKind::WebhookEndpointDisabled), 0);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_switched_off_gets_nothing_more_of_what_is_in_line() {
    let mut house = House::new();
    house.limits.per_endpoint = 2;
    let to = house.register(A).await;
    house.script.next(A, &[Says::Hang, Says::Hang]);
    let running = house.start();
    house.enqueue(&to, 20).await;
    house.until("under way", |_| house.script.hanging.load(Ordering::SeqCst) == 2).await;
    let off = EndpointState::Disabled { code: "owner.off".into() };
    house.book.switch(&house.outbox, &acme(), &to, off).await.unwrap();
    house.settle_down().await;
    house.script.unhang.notify_waiters();
    house.settle_down().await;
    assert_eq!(house.script.seen(A).len(), 2);
    let counts = house.outbox.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.pending, counts.leased), (2, 18, 0));
    house.book.switch(&house.outbox, &acme(), &to, EndpointState::Enabled).await.unwrap();
    house.until("all delivered", |counts| counts.delivered == 20).await;
    running.shutdown().await.unwrap();
}

/// Opens a key once it is told to, and says when it is asked.
#[derive(Debug)]
struct SlowKeys {
    keys: MemoryKeyStore,
    asked: mpsc::Sender<()>,
    told: Mutex<Option<mpsc::Receiver<()>>>,
}

impl KeyStore for SlowKeys {
    fn create(&self, owner: &KeyOwner, random: &dyn SecureRandom) -> Result<DataKey, KeyStoreError> {
        self.keys.create(owner, random)
    }

    fn find(&self, owner: &KeyOwner) -> Result<Option<KeyId>, KeyStoreError> {
        self.keys.find(owner)
    }

    fn unwrap_key(&self, key: KeyId) -> Result<DataKey, KeyStoreError> {
        if let Some(told) = self.told.lock().unwrap().take() {
            self.asked.send(()).unwrap();
            told.recv().unwrap();
        }
        self.keys.unwrap_key(key)
    }

    fn destroy(&self, key: KeyId, at: Timestamp) -> Result<DestroyReceipt, KeyStoreError> {
        self.keys.destroy(key, at)
    }

    fn rotate(&self, to: KeyEncryptionKey, random: &dyn SecureRandom) -> Result<usize, KeyStoreError> {
        self.keys.rotate(to, random)
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_switched_off_while_its_key_is_opened_gets_nothing() {
    let mut house = House::new();
    let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let ((asked, question), (tell, told)) = (mpsc::channel(), mpsc::channel());
    let keys = SlowKeys { keys, asked, told: Mutex::new(Some(told)) };
    house.book = EndpointBook::new(EndpointPolicy::new(), Arc::new(keys)).with_clock(house.clock.clone());
    let to = house.register(A).await;
    house.enqueue(&to, 1).await;
    let running = house.start();
    while question.try_recv().is_err() {
        tokio::task::yield_now().await;
    }
    let off = EndpointState::Disabled { code: "owner.off".into() };
    house.book.switch(&house.outbox, &acme(), &to, off).await.unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    tell.send(()).unwrap();
    house.settle_down().await;
    assert_eq!(house.script.seen(A), []);
    house.book.switch(&house.outbox, &acme(), &to, EndpointState::Enabled).await.unwrap();
    house.until("delivered", |counts| counts.delivered == 1).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_payload_that_takes_too_long_to_open_goes_back() {
    let mut house = House::new();
    let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let ((asked, question), (tell, told)) = (mpsc::channel(), mpsc::channel());
    let keys = Arc::new(SlowKeys { keys, asked, told: Mutex::default() });
    house.book = EndpointBook::new(EndpointPolicy::new(), keys.clone()).with_clock(house.clock.clone());
    let to = house.register(A).await;
    house.enqueue(&to, 1).await;
    let running = house.start();
    house.until("its own key is open", |counts| counts.delivered == 1).await;
    *keys.told.lock().unwrap() = Some(told);
    let message = NewMessage::impersonal(&acme(), &to, b"{}".to_vec()).unwrap();
    house.outbox.enqueue(&house.book.seal_payload(message).await.unwrap()).await.unwrap();
    while question.try_recv().is_err() {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    tokio::time::advance(house.limits.attempt_timeout).await;
    for _ in 0..1000 {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    let counts = house.outbox.counts().await.unwrap();
    assert_eq!((counts.delivered, counts.pending, counts.leased), (1, 1, 0));
    tell.send(()).unwrap();
    house.pass(MINUTE).await;
    house.until("all delivered", |counts| counts.delivered == 2).await;
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_in_line_is_signed_with_the_key_of_the_moment() {
    let mut house = House::new();
    house.limits.per_endpoint = 2;
    let to = house.register(A).await;
    house.script.next(A, &[Says::Hang, Says::Hang]);
    let running = house.start();
    house.enqueue(&to, 4).await;
    house.until("under way", |_| house.script.hanging.load(Ordering::SeqCst) == 2).await;
    let key = SigningKey::from_bytes(&[11; 32]).unwrap();
    house.book.rotate(&house.outbox, &acme(), &to, &key).await.unwrap();
    house.settle_down().await;
    house.script.unhang.notify_waiters();
    house.until("all delivered", |counts| counts.delivered == 4).await;
    assert_eq!(house.script.signatures(), [1, 1, 2, 2]);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_dispatchers_without_a_name_do_not_take_each_others_messages() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Hang]);
    let (first, second) = (house.start(), house.start());
    house.enqueue(&to, 1).await;
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        house.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(house.script.seen(A).len(), 1);
    house.script.unhang.notify_waiters();
    house.until("delivered", |counts| counts.delivered == 1).await;
    let (first, second) = (first.shutdown().await.unwrap(), second.shutdown().await.unwrap());
    assert_eq!((first.delivered + second.delivered, first.fenced + second.fenced), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_an_hour_does_not_prolong_a_pause() {
    let house = House::new();
    let to = house.register(A).await;
    house.script.next(A, &[Says::Status(429)]);
    let running = house.start();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.clock.set(house.clock.now().saturating_sub(MINUTE * 60));
    house.enqueue(&to, 3).await;
    house.until("the fresh ones delivered", |counts| counts.delivered == 3).await;
    // A pause that begins after that lasts as long as it should.
    house.script.next(A, &[Says::Status(429)]);
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    assert_eq!(house.outbox.counts().await.unwrap().delivered, 3, "paused");
    house.pass(Duration::from_secs(15)).await;
    assert_eq!(house.outbox.counts().await.unwrap().delivered, 4);
    running.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_in_line_does_not_leave_once_its_instruction_is_taken_back() {
    let mut house = House::new();
    house.limits.per_endpoint = 1;
    let to = house.register(A).await;
    let ids = house.instructed(&to, 5).await;
    house.script.next(A, &[Says::Hang]);
    let running = house.start();
    house.until("one under way", |_| house.script.hanging.load(Ordering::SeqCst) == 1).await;
    let book = house.book.clone().with_sink(house.sink.clone());
    book.revoke_instruction(&house.outbox, &acme(), &to).await.unwrap();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.script.unhang.notify_waiters();
    house.until("given up", |counts| counts.dead == 4 && counts.delivered == 2).await;
    assert_eq!(house.script.seen(A).len(), 2);
    let codes = house.outbox.dead_letters(&to, 10).await.unwrap();
    assert!(codes.iter().all(|dead| &*dead.last_code == "dispatch.not_instructed"));
    let events = house.sink.events();
    let dead = events.iter().filter(|event| event.reason() == Some("dispatch.not_instructed"));
    assert_eq!(dead.count(), 4);
    // There is nothing left of them to send.
    let replay = Replay::Message { endpoint: to.clone(), id: ids[4].clone() };
    assert_eq!(house.outbox.replay(&replay).await, Ok(0));
    running.shutdown().await.unwrap();
}

/// Never says whether it has recorded an event.
#[derive(Debug, Default)]
struct Hangs(Mutex<Vec<Completion>>);

impl Hangs {
    fn asked(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Sink for Hangs {
    fn record(&self, _: Event) -> Recording {
        let (completion, recording) = Recording::pending();
        self.0.lock().unwrap().push(completion);
        recording
    }
}

#[derive(Debug)]
struct Panics;

impl Sink for Panics {
    fn record(&self, _: Event) -> Recording {
        panic!("scripted")
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_has_few_events_to_record_at_a_time_and_holds_up_nobody_else() {
    let house = House::new();
    let book = house.book.clone().with_sink(house.sink.clone());
    let (to, other) = (house.register(A).await, house.register(B).await);
    house.instructed(&to, 400).await;
    // All of them are to be given up now.
    book.revoke_instruction(&house.outbox, &acme(), &to).await.unwrap();
    let sink = Arc::new(Hangs::default());
    let running = house.dispatcher(sink.clone()).spawn();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let counts = house.outbox.counts().await.unwrap();
    let asked = sink.asked();
    assert!(asked <= 64 && counts.leased <= 64, "{asked} asked for, {counts:?}");
    house.enqueue(&other, 100).await;
    house.until("the other endpoint's delivered", |counts| counts.delivered == 100).await;
    // Given back in the end, not given up.
    tokio::time::sleep(DispatchLimits::RECORD_TIMEOUT).await;
    let counts = house.outbox.counts().await.unwrap();
    let again = sink.asked();
    assert!(again > asked && counts.dead == 0 && counts.leased <= 64, "{again} asked for, {counts:?}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_has_not_recorded_and_holds_up_nobody_else() {
    let mut house = House::new();
    house.attempts = 1;
    let (to, other) = (house.register(A).await, house.register(B).await);
    house.script.next(A, &[Says::Status(500)]);
    let running = house.dispatcher(Arc::new(Panics)).spawn();
    house.enqueue(&to, 1).await;
    house.settle_down().await;
    house.enqueue(&other, 1).await;
    house.until("the other one's delivered", |counts| counts.delivered == 1).await;
    let counts = house.outbox.counts().await.unwrap();
    assert_eq!((counts.dead, counts.pending), (0, 1));
    assert_eq!(running.shutdown().await.unwrap().delivered, 1);
}
