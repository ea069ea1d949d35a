//! The async service: decisions are recorded, secrets are not, overload is refused, cancelling frees nothing early.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance_auth::password::service::{Attempt, LogIn, PasswordServiceError, SetPassword};
use compliance_auth::password::{
    PasswordContext, PasswordHash, PasswordHasher, PasswordPolicy, PasswordProfile, PasswordService, Pepper,
};
use compliance_core::clock::{ManualClock, SystemClock};
use compliance_core::event::{
    Event, EventKind, FailurePolicy, PassPolicy, RecordErrorKind, Recorder, Recording, Sink,
};
use compliance_core::finding::{Enforcement, Outcome};
use compliance_core::id::SubjectId;
use compliance_core::random::SystemRandom;
use compliance_core::request::{AddressSource, ClientAddress};
use compliance_core::testing::MemorySink;
use secrecy::SecretString;

const GOOD: &str = "zq7-velour-antelope-91";
const SMALL: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

const BCRYPT_72: &str = "$2b$04$J20ZkN5WTuaTnapZ9aytIevOg.8x2Sxkrj4WpHX.CveJ5DECu0cM2";

fn service(hasher: PasswordHasher) -> (PasswordService, Arc<MemorySink>) {
    let sink = Arc::new(MemorySink::default());
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let recorder = recorder(Arc::<MemorySink>::clone(&sink));
    (PasswordService::new(policy, hasher, recorder, Arc::new(SystemClock), Arc::new(SystemRandom)), sink)
}

fn recorder(sink: Arc<dyn Sink>) -> Arc<Recorder<Arc<dyn Sink>>> {
    Arc::new(
        Recorder::new(sink, PassPolicy::Each)
            .limit_failures(FailurePolicy::new(1_000, Duration::from_secs(60))),
    )
}

fn attempt() -> Attempt {
    let client = ClientAddress::new("203.0.113.7".parse().unwrap(), AddressSource::Peer);
    Attempt::new().subject(SubjectId::new("user-1").unwrap()).client(client)
}

fn context() -> PasswordContext {
    PasswordContext::new().user("jane.doe@acme.test")
}

fn set(password: &str) -> SetPassword {
    SetPassword { attempt: attempt(), password: SecretString::from(password), context: context() }
}

fn log_in(stored: Option<&PasswordHash>, password: &str) -> LogIn {
    LogIn {
        attempt: attempt(),
        password: SecretString::from(password),
        stored: stored.cloned(),
        context: context(),
    }
}

#[tokio::test]
async fn every_decision_is_recorded_and_no_password() {
    let (service, sink) = service(PasswordHasher::builder().build());
    let refused = service.set(set("janedoe.janedoe1990")).await.unwrap_err();
    assert!(matches!(refused, PasswordServiceError::Refused(_)));
    let stored = service.set(set(GOOD)).await.unwrap();
    assert!(service.log_in(log_in(Some(&stored), GOOD)).await.unwrap().renewed().is_none());
    let wrong = service.log_in(log_in(Some(&stored), "wrong")).await.unwrap_err();
    let unknown = service.log_in(log_in(None, GOOD)).await.unwrap_err();
    assert_eq!((&wrong, &unknown), (&PasswordServiceError::Rejected, &PasswordServiceError::Rejected));

    let events = sink.events();
    let said: Vec<_> = events
        .iter()
        .map(|event| (event.kind(), event.outcome(), event.reason().unwrap_or_default()))
        .collect();
    assert_eq!(
        said,
        [
            (EventKind::CheckDecided, Outcome::Refused, "password.context"),
            (EventKind::CheckDecided, Outcome::Passed, "password.accepted"),
            (EventKind::AuthenticationLogin, Outcome::Passed, "password.verified"),
            (EventKind::AuthenticationLogin, Outcome::Refused, "password.rejected"),
            (EventKind::AuthenticationLogin, Outcome::Refused, "password.rejected"),
        ]
    );
    let shown = format!("{events:?}");
    assert!(!shown.contains("velour") && !shown.contains("janedoe") && !shown.contains("203.0.113.7"));
    assert_eq!(events[0].subjects().len(), 1);
    assert!(events[0].client().is_some());
}

#[tokio::test]
async fn a_missing_pepper_looks_like_a_wrong_password_to_all_but_the_trail() {
    let pepper = Pepper::new("2026", &[7; 32]).unwrap();
    let peppered = PasswordHasher::builder().pepper(pepper).build();
    let stored = service(peppered).0.set(set(GOOD)).await.unwrap();
    let migrating = PasswordHasher::builder().migrating_from(SMALL.parse().unwrap()).build();
    for hasher in [PasswordHasher::builder().build(), migrating] {
        let (service, sink) = service(hasher);
        let error = service.log_in(log_in(Some(&stored), GOOD)).await.unwrap_err();
        assert_eq!(error, PasswordServiceError::Rejected);
        assert_eq!(sink.events()[0].reason(), Some("password.pepper"));
    }
}

#[tokio::test]
async fn an_old_hash_is_renewed_and_a_weak_password_reported() {
    let (service, sink) = service(PasswordHasher::builder().build());
    let stored: PasswordHash = SMALL.parse().unwrap();
    let logged_in = service.log_in(log_in(Some(&stored), "password")).await.unwrap();
    assert!(logged_in.renewed().unwrap().as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_eq!(logged_in.outdated().unwrap().code(), "password.too_short");
    let events = sink.events();
    assert_eq!(
        (events[1].kind(), events[1].enforcement()),
        (EventKind::CheckDecided, Enforcement::ReportOnly)
    );
}

#[tokio::test]
async fn what_bcrypt_did_not_compare_does_not_become_the_password() {
    let (service, sink) = service(PasswordHasher::builder().build());
    // Of 72 times `x`.
    let stored = PasswordHash::import(BCRYPT_72).unwrap();
    let mistyped = format!("{}mistyped", "x".repeat(72));
    let logged_in = service.log_in(log_in(Some(&stored), &mistyped)).await.unwrap();
    assert!(logged_in.is_truncated() && logged_in.renewed().is_none());
    assert_eq!(sink.events()[0].reason(), Some("password.verified_truncated"));
    let whole = service.log_in(log_in(Some(&stored), &"x".repeat(72))).await.unwrap();
    assert!(!whole.is_truncated() && whole.renewed().is_some());
}

#[tokio::test]
async fn what_was_checked_elsewhere_is_recorded_and_hashed_here() {
    let (service, sink) = service(PasswordHasher::builder().build());
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let check = |password: &str| policy.check(&SecretString::from(password), &context());
    assert!(service.set_checked(attempt(), check(GOOD)).await.is_ok());
    let refused = service.set_checked(attempt(), check("janedoe.janedoe1990")).await.unwrap_err();
    assert!(matches!(refused, PasswordServiceError::Refused(_)));
    let reasons: Vec<_> = sink.events().iter().map(|event| event.reason().map(str::to_owned)).collect();
    assert_eq!(reasons, [Some("password.accepted".to_owned()), Some("password.context".to_owned())]);
}

#[tokio::test]
async fn a_flood_of_failures_is_counted() {
    let sink = Arc::new(MemorySink::default());
    let recorder = Recorder::new(Arc::<MemorySink>::clone(&sink) as Arc<dyn Sink>, PassPolicy::Each)
        .limit_failures(FailurePolicy::new(2, Duration::from_secs(60)));
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let hasher = PasswordHasher::builder().build();
    let clock = Arc::new(ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
    let service = PasswordService::new(policy, hasher, Arc::new(recorder), clock, Arc::new(SystemRandom));
    for _ in 0..5 {
        assert_eq!(service.log_in(log_in(None, GOOD)).await.unwrap_err(), PasswordServiceError::Rejected);
    }
    assert_eq!(sink.events().len(), 2);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_decided() {
    let (service, sink) = service(PasswordHasher::builder().build());
    sink.fail_with(Some(RecordErrorKind::Full));
    assert_eq!(service.set(set(GOOD)).await.unwrap_err(), PasswordServiceError::NotRecorded);
}

#[tokio::test]
async fn what_neither_runs_nor_waits_is_refused_at_once() {
    // One runs, one waits.
    let hasher = PasswordHasher::builder().memory_budget_mib(1).queue(1, Duration::from_secs(600)).build();
    assert_eq!(hasher.capacity(), 2);
    let (service, _) = service(hasher);
    let running: Vec<_> = (0..20)
        .map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.log_in(log_in(None, GOOD)).await.unwrap_err() })
        })
        .collect();
    let (mut overloaded, mut rejected) = (0, 0);
    for task in running {
        match task.await.unwrap() {
            PasswordServiceError::Overloaded { retry_after } => {
                assert_eq!(retry_after, Duration::from_secs(600));
                overloaded += 1;
            }
            PasswordServiceError::Rejected => rejected += 1,
            other => panic!("{other}"),
        }
    }
    assert!(overloaded >= 1 && rejected >= 1 && overloaded + rejected == 20, "{overloaded} {rejected}");
}

/// Keeps the first caller until it is let go.
struct Gate {
    sink: MemorySink,
    closed: Mutex<Option<Receiver<()>>>,
    arrived: Sender<()>,
}

impl Sink for Gate {
    fn record(&self, event: Event) -> Recording {
        let closed = self.closed.lock().unwrap().take();
        if let Some(closed) = closed {
            self.arrived.send(()).unwrap();
            closed.recv().unwrap();
        }
        self.sink.record(event)
    }
}

#[tokio::test]
async fn a_cancelled_request_keeps_its_place_until_the_work_is_done() {
    let (open, closed) = channel();
    let (arrived, arrival) = channel();
    let gate = Arc::new(Gate { sink: MemorySink::default(), closed: Mutex::new(Some(closed)), arrived });
    let hasher = PasswordHasher::builder().memory_budget_mib(1).queue(0, Duration::ZERO).build();
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let recorder = recorder(Arc::<Gate>::clone(&gate));
    let service =
        PasswordService::new(policy, hasher, recorder, Arc::new(SystemClock), Arc::new(SystemRandom));
    let mut cancelled = Box::pin(service.log_in(log_in(None, GOOD)));
    // Polled once: the work has begun on another thread.
    assert!(
        std::future::poll_fn(|cx| std::task::Poll::Ready(cancelled.as_mut().poll(cx).is_pending())).await
    );
    drop(cancelled);
    // It goes on without its caller, as far as the sink, and keeps its place there.
    arrival.recv().unwrap();
    let second = service.log_in(log_in(None, GOOD)).await.unwrap_err();
    assert!(matches!(second, PasswordServiceError::Overloaded { .. }), "{second}");
    // Who is turned away at the door is on record.
    let reasons = || -> Vec<String> {
        gate.sink.events().iter().map(|event| event.reason().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(reasons(), ["password.overloaded"]);
    open.send(()).unwrap();
    // And it came back: the work ends, is recorded, and another gets in.
    while service.log_in(log_in(None, GOOD)).await.unwrap_err() != PasswordServiceError::Rejected {
        tokio::task::yield_now().await;
    }
    assert_eq!(reasons().iter().filter(|reason| *reason == "password.rejected").count(), 2);
}

#[tokio::test]
async fn it_is_a_tower_service() {
    use tower_service::Service as _;
    let (mut service, _) = service(PasswordHasher::builder().build());
    assert!(service.call(set(GOOD)).await.is_ok());
    assert_eq!(service.call(log_in(None, GOOD)).await.unwrap_err(), PasswordServiceError::Rejected);
}
