//! Each verified message is handled once.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_webhook::verify::{
    Admission, DEFAULT_HANDLING, DEFAULT_MEMORY, MAX_TOLERANCE, MemoryReplayCache, Message, ReplayCache,
    ReplayError, ReplayGate, ReplayKey, Reservation, Verified,
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
async fn nothing_is_forgotten_while_it_may_still_be_valid() {
    let gate = gate(10).with_memory(Duration::ZERO);
    handle(&gate, "msg_1", start()).await.unwrap();
    let longest = MAX_TOLERANCE * 2;
    let last = start().saturating_add(longest).saturating_sub(Duration::from_nanos(1));
    assert_eq!(see(&gate, "msg_1", last).await, "duplicate");
    assert_eq!(see(&gate, "msg_1", start().saturating_add(longest)).await, "fresh");
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

/// The same over Redis: `COMPLIANCE_TEST_REDIS`, or the usual port on this machine.
#[cfg(feature = "redis")]
mod redis_cache {
    use super::*;
    use compliance_webhook::verify::RedisReplayCache;
    use tokio::io::copy_bidirectional;
    use tokio::net::{TcpListener, TcpStream};

    fn url() -> String {
        std::env::var("COMPLIANCE_TEST_REDIS").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned())
    }

    /// A cache with keys of this test's own, or `None` without a server.
    async fn cache(test: &str) -> Option<RedisReplayCache> {
        match RedisReplayCache::connect(&url().into()).await {
            Ok(cache) => {
                let run = std::process::id();
                Some(cache.with_prefix(&format!("compliance:test:{run}:{test}:")).unwrap())
            }
            Err(error) if std::env::var_os("COMPLIANCE_REQUIRE_SERVICES").is_some() => panic!("{error}"),
            Err(error) => {
                println!("skipped: {error}");
                None
            }
        }
    }

    async fn redis(command: &mut redis::Cmd) -> i64 {
        let client = redis::Client::open(url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    }

    fn key_of(test: &str, id: &str) -> String {
        format!("compliance:test:{}:{test}:billing {id}", std::process::id())
    }

    #[tokio::test]
    async fn messages_are_let_through_once_and_remembered() {
        let Some(cache) = cache("once").await else { return };
        let gate = ReplayGate::new(cache, "billing");
        let Ok(Admission::Fresh(first)) = gate.admit(message("msg_1", start()), start()).await else {
            panic!()
        };
        assert_eq!(see(&gate, "msg_1", start()).await, "replay.in_flight");
        let left = redis(redis::cmd("PTTL").arg(key_of("once", "msg_1"))).await;
        assert!((1..=60_000).contains(&left), "{left}");
        first.commit(start()).await.unwrap();
        assert_eq!(see(&gate, "msg_1", start()).await, "duplicate");
        let left = redis(redis::cmd("PTTL").arg(key_of("once", "msg_1"))).await;
        let memory = i64::try_from(DEFAULT_MEMORY.as_millis()).unwrap();
        assert!((memory - 600_000..=memory).contains(&left), "{left}");

        let Ok(Admission::Fresh(second)) = gate.admit(message("msg_2", start()), start()).await else {
            panic!()
        };
        second.release().await.unwrap();
        assert_eq!(see(&gate, "msg_2", start()).await, "fresh");
        redis(redis::cmd("DEL").arg(key_of("once", "msg_1")).arg(key_of("once", "msg_2"))).await;
    }

    #[tokio::test]
    async fn a_reservation_that_lapsed_commits_and_frees_nothing() {
        let Some(cache) = cache("lapsed").await else { return };
        let gate = ReplayGate::new(cache, "billing");
        let mut slow = Vec::new();
        for _ in 0..2 {
            let Ok(Admission::Fresh(admitted)) = gate.admit(message("msg_1", start()), start()).await else {
                panic!()
            };
            slow.push(admitted);
            // As when its time is over.
            redis(redis::cmd("DEL").arg(key_of("lapsed", "msg_1"))).await;
        }
        let Ok(Admission::Fresh(current)) = gate.admit(message("msg_1", start()), start()).await else {
            panic!()
        };
        assert_eq!(slow.pop().unwrap().commit(start()).await.unwrap_err().code(), "replay.lapsed");
        slow.pop().unwrap().release().await.unwrap();
        assert_eq!(see(&gate, "msg_1", start()).await, "replay.in_flight");
        current.commit(start()).await.unwrap();
        redis(redis::cmd("DEL").arg(key_of("lapsed", "msg_1"))).await;
    }

    #[tokio::test]
    async fn of_many_at_the_same_time_one_is_let_through() {
        let Some(cache) = cache("many").await else { return };
        let gate = ReplayGate::new(cache, "billing");
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let gate = gate.clone();
            tasks.spawn(async move { see(&gate, "msg_1", start()).await });
        }
        let seen = tasks.join_all().await;
        assert_eq!(seen.iter().filter(|seen| **seen == "fresh").count(), 1, "{seen:?}");
        assert_eq!(seen.iter().filter(|seen| **seen == "replay.in_flight").count(), 49, "{seen:?}");
        redis(redis::cmd("DEL").arg(key_of("many", "msg_1"))).await;
    }

    /// A wire to the server that can be cut.
    async fn wire(listener: &TcpListener, server: &str) {
        let mut wires = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let server = server.to_owned();
            wires.spawn(async move {
                if let Ok(mut far) = TcpStream::connect(server).await {
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    }

    #[tokio::test]
    async fn a_server_that_goes_away_lets_nothing_through_until_it_is_back() {
        if cache("away").await.is_none() {
            return;
        }
        let server = url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let start_wire = || {
            let (listener, server) = (Arc::clone(&listener), server.clone());
            tokio::spawn(async move { wire(&listener, &server).await })
        };
        let connected = start_wire();
        let near = format!("redis://{}", listener.local_addr().unwrap());
        let prefix = format!("compliance:test:{}:away:", std::process::id());
        let cache = RedisReplayCache::connect(&near.into()).await.unwrap().with_prefix(&prefix).unwrap();
        let gate = ReplayGate::new(cache, "billing");
        let Ok(Admission::Fresh(first)) = gate.admit(message("msg_1", start()), start()).await else {
            panic!()
        };
        connected.abort();
        assert!(connected.await.unwrap_err().is_cancelled());
        let refused = gate.admit(message("msg_2", start()), start()).await.unwrap_err();
        assert_eq!((refused.code(), refused.status()), ("replay.unavailable", 503));
        assert_eq!(first.commit(start()).await.unwrap_err().code(), "replay.unavailable");

        let connected = start_wire();
        let back = async {
            while gate
                .admit(message("msg_3", start()), start())
                .await
                .is_err_and(|error| error.status() == 503)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), back).await.unwrap();
        // What was reserved before is still known.
        assert_eq!(see(&gate, "msg_1", start()).await, "replay.in_flight");
        connected.abort();
        let keys = ["msg_1", "msg_2", "msg_3"].map(|id| key_of("away", id));
        redis(redis::cmd("DEL").arg(&keys)).await;
    }

    #[tokio::test]
    async fn servers_that_cannot_serve_are_refused() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = format!("redis://{}", silent.local_addr().unwrap());
        for (url, code) in [
            ("", "replay_cache.url"),
            ("http://127.0.0.1/", "replay_cache.url"),
            ("rediss://127.0.0.1:6379", "replay_cache.url"),
            ("redis://127.0.0.1:1", "replay_cache.unavailable"),
            (&silent, "replay_cache.unavailable"),
        ] {
            let refused = RedisReplayCache::connect(&url.into()).await.unwrap_err();
            assert_eq!(refused.code(), code, "{url}");
        }
        let Some(cache) = cache("prefix").await else { return };
        for prefix in ["with space", "ü", "\n", &"x".repeat(65)] {
            assert_eq!(cache.clone().with_prefix(prefix).unwrap_err().code(), "replay_cache.prefix");
        }
        assert!(!format!("{cache:?}").contains("127.0.0.1"));
    }
}
