//! Each verified message is handled once.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_webhook::verify::{
    Admission, DEFAULT_HANDLING, DEFAULT_MEMORY, MemoryReplayCache, Message, ReplayCache, ReplayError,
    ReplayGate, ReplayKey, Reservation, Verified,
};
use compliance_webhook::{MessageId, Signer, SigningKey, Verifier};

type Gate = ReplayGate<Arc<MemoryReplayCache>>;

fn start() -> Timestamp {
    Timestamp::from_unix_seconds(1_795_262_400)
}

/// A message signed and verified at `at`.
fn message(id: &str, at: Timestamp) -> Verified<Message<&'static str>> {
    let key = SigningKey::from_bytes(&[7; 32]).unwrap();
    let id = MessageId::parse(id).unwrap();
    let signed = Signer::new(key.clone()).sign(&id, at, b"{}").unwrap();
    Verifier::new(key).verify(signed.pairs(), "{}", at).unwrap()
}

fn gate(capacity: usize) -> Gate {
    ReplayGate::new(Arc::new(MemoryReplayCache::new(capacity)), "billing")
}

async fn see<C: ReplayCache + Clone>(gate: &ReplayGate<C>, id: &str, now: Timestamp) -> &'static str {
    match gate.admit(message(id, now), now).await {
        Ok(Admission::Fresh(_)) => "fresh",
        Ok(Admission::Duplicate) => "duplicate",
        Err(error) => error.code(),
    }
}

async fn handle(gate: &Gate, id: &str, now: Timestamp) -> Result<(), ReplayError> {
    match gate.admit(message(id, now), now).await? {
        Admission::Fresh(admitted) => admitted.commit(now).await.map(drop),
        Admission::Duplicate => panic!("a duplicate"),
    }
}

#[tokio::test]
async fn what_was_handled_is_a_duplicate_for_as_long_as_it_is_remembered() {
    let gate = gate(10);
    handle(&gate, "msg_1", start()).await.unwrap();
    assert_eq!(see(&gate, "msg_1", start()).await, "duplicate");
    let last = start().saturating_add(DEFAULT_MEMORY).saturating_sub(Duration::from_nanos(1));
    assert_eq!(see(&gate, "msg_1", last).await, "duplicate");
    assert_eq!(see(&gate, "msg_1", start().saturating_add(DEFAULT_MEMORY)).await, "fresh");
    assert_eq!(see(&gate, "msg_2", start()).await, "fresh");
}

#[tokio::test]
async fn what_is_being_handled_is_refused_until_its_time_is_over() {
    let gate = gate(10);
    let Admission::Fresh(slow) = gate.admit(message("msg_1", start()), start()).await.unwrap() else {
        panic!()
    };
    assert_eq!(see(&gate, "msg_1", start()).await, "replay.in_flight");
    let later = start().saturating_add(DEFAULT_HANDLING);
    handle(&gate, "msg_1", later).await.unwrap();
    // Whoever was too slow learns it.
    let lapsed = slow.commit(later).await.unwrap_err();
    assert_eq!((lapsed.code(), lapsed.status()), ("replay.lapsed", 409));
    assert_eq!(see(&gate, "msg_1", later).await, "duplicate");
}

#[tokio::test]
async fn what_failed_may_be_tried_again_at_once() {
    let gate = gate(10);
    let Admission::Fresh(failed) = gate.admit(message("msg_1", start()), start()).await.unwrap() else {
        panic!()
    };
    failed.release().await.unwrap();
    assert_eq!(see(&gate, "msg_1", start()).await, "fresh");
}

#[tokio::test]
async fn a_late_release_frees_nobody_elses_reservation() {
    let gate = gate(10);
    let Admission::Fresh(slow) = gate.admit(message("msg_1", start()), start()).await.unwrap() else {
        panic!()
    };
    let later = start().saturating_add(DEFAULT_HANDLING);
    let Ok(Admission::Fresh(second)) = gate.admit(message("msg_1", later), later).await else { panic!() };
    slow.release().await.unwrap();
    assert_eq!(see(&gate, "msg_1", later).await, "replay.in_flight");
    second.commit(later).await.unwrap();
}

#[tokio::test]
async fn ids_are_unique_for_one_endpoint_only() {
    let cache = Arc::new(MemoryReplayCache::new(10));
    let (billing, shipping) = (ReplayGate::new(cache.clone(), "billing"), ReplayGate::new(cache, "shipping"));
    handle(&billing, "msg_1", start()).await.unwrap();
    assert_eq!(see(&shipping, "msg_1", start()).await, "fresh");
}

#[tokio::test]
async fn a_full_cache_refuses_and_forgets_nothing_it_must_remember() {
    let gate = gate(2);
    handle(&gate, "msg_1", start()).await.unwrap();
    handle(&gate, "msg_2", start()).await.unwrap();
    assert_eq!(see(&gate, "msg_3", start()).await, "replay.unavailable");
    assert_eq!(see(&gate, "msg_1", start()).await, "duplicate");
    assert_eq!(see(&gate, "msg_3", start().saturating_add(DEFAULT_MEMORY)).await, "fresh");
}

#[derive(Clone)]
struct Away;

impl ReplayCache for Away {
    async fn reserve(&self, _: &ReplayKey, _: Timestamp, _: Timestamp) -> Result<Reservation, ReplayError> {
        Err(ReplayError::unavailable())
    }

    async fn commit(&self, _: &ReplayKey, _: u64, _: Timestamp, _: Timestamp) -> Result<(), ReplayError> {
        Err(ReplayError::unavailable())
    }

    async fn release(&self, _: &ReplayKey, _: u64) -> Result<(), ReplayError> {
        Err(ReplayError::unavailable())
    }
}

#[tokio::test]
async fn a_cache_that_is_away_lets_nothing_through() {
    let gate = ReplayGate::new(Away, "billing");
    let refused = gate.admit(message("msg_1", start()), start()).await.unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("replay.unavailable", 503));
}

#[tokio::test]
async fn of_many_at_the_same_time_one_is_let_through() {
    let gate = gate(100);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let gate = gate.clone();
        tasks.spawn(async move { see(&gate, "msg_1", start()).await });
    }
    let seen = tasks.join_all().await;
    assert_eq!(seen.iter().filter(|seen| **seen == "fresh").count(), 1);
    assert_eq!(seen.iter().filter(|seen| **seen == "replay.in_flight").count(), 49);
}
