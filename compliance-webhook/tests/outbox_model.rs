//! Every store behaves like the one in memory, whatever happens in whatever order.
#![cfg(any(feature = "sqlite", feature = "postgres"))]

#[cfg(feature = "postgres")]
mod services;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::class::DataClass;
use compliance_core::clock::{Clock, ManualClock, Timestamp};
use compliance_core::country::CountryCode;
use compliance_core::id::{ActorId, TenantId};
use compliance_core::testing::DeterministicRandom;
use compliance_core::{purpose, reason_code};
use compliance_webhook::MessageId;
use compliance_webhook::outbox::{
    DataClasses, DeliveryState, EndpointId, EndpointNote, EndpointRecord, EndpointState, Instruction,
    LeaseToken, Lesson, MemoryOutbox, NewMessage, Outbox, Replay, Retention, Round, Settlement, Verdict,
    Want, Worker,
};
use proptest::prelude::*;

const LEASE: Duration = Duration::from_secs(10);
const RETENTION: Retention = Retention {
    delivered: Duration::from_secs(600),
    dead: Duration::from_secs(3600),
    disabled: Duration::from_secs(1800),
};

#[derive(Clone, Debug)]
enum Step {
    Enqueue {
        endpoint: u8,
        id: Option<u8>,
        key: Option<u8>,
        order: Option<u8>,
        payload: u8,
        tenant: u8,
        classes: u8,
    },
    Join {
        instance: u8,
    },
    Leave {
        worker: u8,
    },
    Recover {
        worker: u8,
    },
    Round {
        worker: u8,
        verdicts: Vec<(u8, u8)>,
        note: Option<(u8, u8)>,
        wants: Vec<(u8, u8, u8)>,
        /// How many of the latest tokens are held.
        held: Option<u8>,
    },
    Clock {
        seconds: i32,
    },
    Replay {
        endpoint: u8,
        kind: u8,
        id: u8,
    },
    Purge {
        limit: u8,
    },
    Enable {
        endpoint: u8,
        instructed: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let small = 0_u8..6;
    let round = (
        0_u8..3,
        prop::collection::vec((any::<u8>(), 0_u8..4), 0..4),
        prop::option::weighted(0.3, (0_u8..3, 0_u8..5)),
        prop::collection::vec((0_u8..3, 0_u8..9, prop_oneof![2 => Just(u8::MAX), 1 => 0_u8..8]), 0..3),
        prop::option::weighted(0.1, 0_u8..4),
    )
        .prop_map(|(worker, verdicts, note, wants, held)| Step::Round {
            worker,
            verdicts,
            note,
            wants,
            held,
        });
    let sometimes = |chance, number| prop::option::weighted(chance, number);
    let enqueue = (
        0_u8..3,
        sometimes(0.3, small.clone()),
        sometimes(0.3, small.clone()),
        sometimes(0.4, 0_u8..2),
        0_u8..2,
        prop_oneof![9 => Just(0_u8), 1 => Just(1_u8)],
        0_u8..4,
    )
        .prop_map(|(endpoint, id, key, order, payload, tenant, classes)| Step::Enqueue {
            endpoint,
            id,
            key,
            order,
            payload,
            tenant,
            classes,
        });
    let step = prop_oneof![
        6 => enqueue,
        2 => (0_u8..2).prop_map(|instance| Step::Join { instance }),
        1 => (0_u8..3).prop_map(|worker| Step::Leave { worker }),
        2 => (0_u8..3).prop_map(|worker| Step::Recover { worker }),
        12 => round,
        3 => prop_oneof![1_i32..30, -3600_i32..-1, 600_i32..7200].prop_map(|seconds| Step::Clock { seconds }),
        1 => (0_u8..3, 0_u8..3, small).prop_map(|(endpoint, kind, id)| Step::Replay { endpoint, kind, id }),
        1 => (1_u8..5).prop_map(|limit| Step::Purge { limit }),
        2 => (0_u8..3, 0_u8..4).prop_map(|(endpoint, instructed)| Step::Enable { endpoint, instructed }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Two stores under one clock, and what their users know.
struct Pair<'a, B: Outbox> {
    model: &'a MemoryOutbox,
    store: &'a B,
    clock: Arc<ManualClock>,
    workers: Vec<Worker>,
    /// The same lease as the model and as the store numbers it: an insert that does nothing may use a number up.
    tokens: Vec<(LeaseToken, LeaseToken, i64)>,
    latest: HashMap<i64, i64>,
    enqueued: u64,
    purged: u64,
}

fn endpoint(number: u8) -> EndpointId {
    EndpointId::parse(&format!("ep_{number}")).unwrap()
}

fn message_id(number: u8) -> MessageId {
    MessageId::parse(&format!("msg_{number}")).unwrap()
}

fn record(number: u8, revision: i64, state: EndpointState) -> EndpointRecord {
    EndpointRecord::from_stored(
        endpoint(number),
        TenantId::new("acme").unwrap(),
        "https://hooks.example.com/".into(),
        Box::from(*b"sealed"),
        state,
        revision,
        None,
    )
}

fn classes(number: u8) -> &'static [DataClass] {
    match number {
        2 => &[DataClass::Personal],
        3 => &[DataClass::Personal, DataClass::Sensitive],
        _ => &[],
    }
}

fn instruction(number: u8) -> Option<Instruction> {
    let purpose = if number == 1 { purpose!("another.purpose") } else { purpose!("model.test") };
    let (by, at) = (ActorId::new("client").unwrap(), Timestamp::UNIX_EPOCH);
    let classes = DataClasses::of(classes(number.max(2)));
    (number > 0).then(|| Instruction::new(by, at, classes, purpose, CountryCode::parse("DE").unwrap()))
}

impl<B: Outbox> Pair<'_, B> {
    async fn run(&mut self, steps: &[Step]) -> Result<(), TestCaseError> {
        for number in 0..3 {
            let record = record(number, 1, EndpointState::Enabled).with_instruction(instruction(number + 1));
            self.model.save_endpoint(&record).await.unwrap();
            self.store.save_endpoint(&record).await.unwrap();
        }
        // Ids the stores draw themselves would differ, so each unnamed message gets a name of its own here.
        for (number, step) in steps.iter().enumerate() {
            self.step(number, step).await?;
            self.compare().await?;
        }
        self.compare_messages().await
    }

    async fn step(&mut self, number: usize, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Enqueue { endpoint: to, id, key, order, payload, tenant, classes: data } => {
                let tenant = TenantId::new(["acme", "other"][usize::from(*tenant)]).unwrap();
                let mut message = NewMessage::impersonal(
                    &tenant,
                    &endpoint(*to),
                    vec![*payload; usize::from(*payload) + 1],
                )
                .unwrap();
                message = message.with_id(match id {
                    Some(id) => message_id(*id),
                    None => MessageId::parse(&format!("own_{number}")).unwrap(),
                });
                if let Some(key) = key {
                    message = message.with_idempotency_key(&format!("key-{key}")).unwrap();
                }
                if let Some(order) = order {
                    message = message.with_ordering_key(&format!("order-{order}")).unwrap();
                }
                message = message.with_classes(classes(*data), purpose!("model.test")).unwrap();
                let before = self.model.counts().await.unwrap().pending;
                let expected = self.model.enqueue(&message).await;
                prop_assert_eq!(&self.store.enqueue(&message).await, &expected);
                self.enqueued += self.model.counts().await.unwrap().pending - before;
            }
            Step::Join { instance } => {
                let instance = format!("instance-{instance}");
                let expected = self.model.join(&instance, LEASE).await.unwrap();
                prop_assert_eq!(self.store.join(&instance, LEASE).await.unwrap(), expected);
                self.workers.push(expected);
            }
            Step::Leave { worker } => {
                let Some(worker) = self.worker(*worker) else { return Ok(()) };
                self.model.leave(&worker).await.unwrap();
                self.store.leave(&worker).await.unwrap();
            }
            Step::Recover { worker } => {
                let Some(worker) = self.worker(*worker) else { return Ok(()) };
                let expected = self.model.recover(&worker).await;
                prop_assert_eq!(self.store.recover(&worker).await, expected);
            }
            Step::Round { worker, verdicts, note, wants, held } => {
                let Some(worker) = self.worker(*worker) else { return Ok(()) };
                let (for_model, for_store) = self.rounds(verdicts, *note, wants, *held).await;
                let mut expected = self.model.round(&worker, &for_model).await.unwrap();
                let found = self.store.round(&worker, &for_store).await.unwrap();
                for settlement in &for_store.settlements {
                    let token = settlement.token;
                    let is_stale = self.latest.get(&token.sequence()) != Some(&token.fence());
                    prop_assert!(
                        !is_stale || found.fenced.contains(&token),
                        "a stale token settled a message"
                    );
                }
                prop_assert_eq!(found.leased.len(), expected.leased.len());
                for (leased, expected) in found.leased.iter().zip(&mut expected.leased) {
                    let (token, for_model) = (leased.token, expected.token);
                    prop_assert_eq!(token.fence(), for_model.fence());
                    let fence = self.latest.insert(token.sequence(), token.fence());
                    prop_assert!(fence.is_none_or(|fence| fence < token.fence()), "the fence did not grow");
                    self.tokens.push((for_model, token, leased.revision));
                    expected.token = token;
                }
                expected.fenced = expected.fenced.iter().map(|token| self.as_store(*token)).collect();
                prop_assert_eq!(&found, &expected);
            }
            Step::Clock { seconds } => {
                let by = Duration::from_secs(u64::from(seconds.unsigned_abs()));
                let now = self.clock.now();
                self.clock.set(if *seconds < 0 { now.saturating_sub(by) } else { now.saturating_add(by) });
            }
            Step::Replay { endpoint: of, kind, id } => {
                let (endpoint, from, until) = (endpoint(*of), Timestamp::UNIX_EPOCH, self.clock.now());
                let replay = match kind {
                    0 => Replay::Message { endpoint, id: message_id(*id) },
                    1 => Replay::Dead { endpoint, from, until },
                    _ => Replay::Settled { endpoint, from, until },
                };
                let expected = self.model.replay(&replay).await;
                prop_assert_eq!(self.store.replay(&replay).await, expected);
            }
            Step::Purge { limit } => {
                let expected = self.model.purge(&RETENTION, usize::from(*limit)).await;
                prop_assert_eq!(self.store.purge(&RETENTION, usize::from(*limit)).await, expected);
                self.purged += expected.unwrap();
            }
            Step::Enable { endpoint: number, instructed } => {
                let stored = self.model.endpoint(&endpoint(*number)).await.unwrap().unwrap();
                let record = record(*number, stored.revision() + 1, EndpointState::Enabled)
                    .with_instruction(instruction(*instructed));
                self.model.save_endpoint(&record).await.unwrap();
                self.store.save_endpoint(&record).await.unwrap();
            }
        }
        Ok(())
    }

    fn worker(&self, number: u8) -> Option<Worker> {
        self.workers.iter().rev().nth(usize::from(number)).copied()
    }

    fn as_store(&self, token: LeaseToken) -> LeaseToken {
        self.tokens.iter().find(|(model, _, _)| *model == token).unwrap().1
    }

    /// The same round in the numbers of the model and in those of the store.
    async fn rounds(
        &self,
        verdicts: &[(u8, u8)],
        note: Option<(u8, u8)>,
        wants: &[(u8, u8, u8)],
        held: Option<u8>,
    ) -> (Round, Round) {
        let now = self.clock.now();
        let mut settlements: Vec<Settlement> = Vec::new();
        for (which, verdict) in verdicts {
            // Any token anybody ever held, mostly a recent one: late and double verdicts included.
            let Some((token, _, revision)) = self.tokens.iter().rev().nth(usize::from(*which) % 12) else {
                continue;
            };
            if settlements.iter().any(|known| known.token == *token) {
                continue;
            }
            let verdict = match verdict {
                0 => Verdict::Delivered { status: 204 },
                1 => Verdict::Retry {
                    at: now.saturating_add(Duration::from_secs(u64::from(*which))),
                    code: reason_code!("deliver.status"),
                    status: Some(503),
                },
                2 if which % 2 == 0 => {
                    Verdict::Dead { code: reason_code!("dispatch.not_instructed"), status: None }
                }
                2 => Verdict::Dead { code: reason_code!("deliver.connect"), status: None },
                _ => Verdict::Released,
            };
            settlements.push(Settlement { token: *token, revision: *revision, verdict });
        }
        let mut notes = Vec::new();
        if let Some((to, lesson)) = note {
            let stored = self.model.endpoint(&endpoint(to)).await.unwrap().unwrap().revision();
            let until = now.saturating_add(Duration::from_secs(20));
            let (revision, lesson) = match lesson {
                0 => (stored, Lesson::Disable { code: reason_code!("deliver.gone"), failing_for: None }),
                1 => (stored, Lesson::Failing { since: now }),
                2 => (stored, Lesson::Hold { until }),
                3 => {
                    let failing_for = Some(Duration::from_secs(30));
                    (stored, Lesson::Disable { code: reason_code!("deliver.status"), failing_for })
                }
                // Learned of what the endpoint was before.
                _ => (stored - 1, Lesson::Hold { until }),
            };
            notes.push(EndpointNote { endpoint: endpoint(to), revision, lesson });
        }
        let wants = wants.iter().map(|(to, limit, bytes)| Want {
            endpoint: endpoint(*to),
            limit: usize::from(*limit),
            max_bytes: usize::from(*bytes),
        });
        let excerpts = settlements.iter().map(|settled| (settled.token, Box::from(*b"said"))).collect();
        let tokens = |count| self.tokens.iter().rev().take(usize::from(count)).map(|(token, _, _)| *token);
        let held = held.map(|count| tokens(count).collect());
        let model = Round { settlements, notes, wants: wants.collect(), excerpts, held };
        let mut store = model.clone();
        for token in store.held.iter_mut().flatten() {
            *token = self.as_store(*token);
        }
        for (token, _) in &mut store.excerpts {
            *token = self.as_store(*token);
        }
        for settlement in &mut store.settlements {
            settlement.token = self.as_store(settlement.token);
        }
        (model, store)
    }

    /// What a console sees.
    async fn compare_messages(&self) -> Result<(), TestCaseError> {
        for number in 0..3 {
            let endpoint = endpoint(number);
            for state in
                [DeliveryState::Pending, DeliveryState::Leased, DeliveryState::Delivered, DeliveryState::Dead]
            {
                let expected = self.model.deliveries(&endpoint, state, 5).await;
                prop_assert_eq!(self.store.deliveries(&endpoint, state, 5).await, expected);
            }
            let expected = self.model.delivery(&endpoint, &message_id(1)).await;
            prop_assert_eq!(self.store.delivery(&endpoint, &message_id(1)).await, expected);
        }
        Ok(())
    }

    async fn compare(&self) -> Result<(), TestCaseError> {
        let counts = self.model.counts().await.unwrap();
        prop_assert_eq!(self.store.counts().await.unwrap(), counts);
        let kept = counts.pending + counts.leased + counts.delivered + counts.dead;
        prop_assert_eq!(kept, self.enqueued - self.purged, "a message was lost or doubled");
        let by_id = |ready: Vec<_>| {
            let mut ready: Vec<compliance_webhook::outbox::Ready> = ready;
            ready.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
            ready
        };
        let expected = by_id(self.model.ready(None, 10).await.unwrap().ready);
        prop_assert_eq!(by_id(self.store.ready(None, 10).await.unwrap().ready), expected);
        for number in 0..3 {
            let endpoint = endpoint(number);
            let expected = self.model.dead_letters(&endpoint, 5).await;
            prop_assert_eq!(self.store.dead_letters(&endpoint, 5).await, expected);
            let expected = self.model.endpoint(&endpoint).await;
            prop_assert_eq!(self.store.endpoint(&endpoint).await, expected);
        }
        Ok(())
    }
}

/// What both stores start from.
fn start() -> (Arc<ManualClock>, MemoryOutbox) {
    let clock = Arc::new(ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
    let model = MemoryOutbox::new(clock.clone(), Arc::new(DeterministicRandom::new(1)));
    (clock, model)
}

async fn agree(
    model: &MemoryOutbox,
    store: &impl Outbox,
    clock: Arc<ManualClock>,
    steps: &[Step],
) -> Result<(), TestCaseError> {
    let (workers, tokens, latest) = (Vec::new(), Vec::new(), HashMap::new());
    Pair { model, store, clock, workers, tokens, latest, enqueued: 0, purged: 0 }.run(steps).await
}

#[cfg(feature = "sqlite")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_agrees_with_the_model(steps in steps()) {
        use compliance_webhook::outbox::SqliteOutbox;
        use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (clock, model) = start();
            let pool = sqlx::SqlitePool::connect_with(durable_options(&directory.path().join("a.db"))).await.unwrap();
            let store = SqliteOutbox::open(&pool, OutboxOptions::default().with_clock(clock.clone())).await.unwrap();
            agree(&model, &store, clock, &steps).await
        })?;
    }
}

#[cfg(feature = "postgres")]
#[test]
fn postgres_agrees_with_the_model() {
    use compliance_webhook::outbox::PostgresOutbox;
    use compliance_webhook::outbox::postgres::OutboxOptions;
    use proptest::test_runner::{Config, TestRunner};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let Some(pool) = runtime.block_on(services::postgres("model")) else { return };
    // Each case has tables of its own; the worst of a case is that it is cut short, which leaves them to the next run.
    let tables = ["endpoint", "message", "delivery", "worker", "consent", "schema"]
        .map(|table| format!("webhook_{table}"));
    let drop_tables = format!("DROP TABLE IF EXISTS {}", tables.join(", "));
    let cases = 16;
    let mut runner = TestRunner::new(Config { cases, source_file: Some(file!()), ..Config::default() });
    let outcome = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let (clock, model) = start();
            sqlx::raw_sql(sqlx::AssertSqlSafe(drop_tables.clone())).execute(&pool).await.unwrap();
            let options = OutboxOptions::default().with_clock(clock.clone()).without_server_time();
            let store = PostgresOutbox::open(&pool, options).await.unwrap();
            agree(&model, &store, clock, &steps).await
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}\n{runner}");
    }
}
