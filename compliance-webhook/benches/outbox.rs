//! `cargo bench -p compliance-webhook --all-features --bench outbox`
//!
//! Enqueuing in the caller's transaction against the bare inserts, a claim-and-settle round, and draining a
//! backlog through a transport that answers at once. All on disk, write-ahead log, `synchronous = FULL`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use compliance_core::finding::Enforcement;
use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::{Answer, Attempt, Deliver, Outcome};
use compliance_webhook::outbox::TablePrefix;
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options, enqueue_statement};
use compliance_webhook::outbox::{
    Dispatcher, EndpointBook, EndpointId, NewMessage, Outbox, Round, Settlement, SqliteOutbox, Verdict, Want,
};
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use sqlx::{AssertSqlSafe, SqlitePool};
use tokio::runtime::Runtime;

const BATCH: usize = 100;
const BACKLOG: usize = 5_000;

fn main() {
    divan::main();
}

struct House {
    // Dropped last.
    runtime: Runtime,
    pool: SqlitePool,
    outbox: SqliteOutbox,
    book: EndpointBook,
    tenant: TenantId,
    endpoints: Vec<EndpointId>,
    directory: PathBuf,
}

impl House {
    fn new(endpoints: usize) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("outbox-bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        let runtime = Runtime::new().unwrap();
        let (pool, outbox, book, tenant, ids) = runtime.block_on(async {
            let pool = SqlitePool::connect_with(durable_options(&directory.join("a.db"))).await.unwrap();
            let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap();
            let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
            let book = EndpointBook::new(EndpointPolicy::new(), keys);
            let tenant = TenantId::new("acme").unwrap();
            let mut ids = Vec::new();
            for number in 0..endpoints {
                let endpoint = book.policy().check(&format!("https://h{number}.example.com/")).unwrap();
                let key = SigningKey::generate(&SystemRandom).unwrap();
                ids.push(book.register(&outbox, &tenant, &endpoint, &key).await.unwrap());
            }
            (pool, outbox, book, tenant, ids)
        });
        Self { runtime, pool, outbox, book, tenant, endpoints: ids, directory }
    }

    fn message(&self, number: usize) -> NewMessage {
        let to = &self.endpoints[number % self.endpoints.len()];
        NewMessage::impersonal(&self.tenant, to, vec![b'x'; 1024]).unwrap()
    }

    fn fill(&self, count: usize) {
        self.runtime.block_on(async {
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
            for number in 0..count {
                let _ = self.outbox.enqueue_in(&mut transaction, &self.message(number)).await.unwrap();
            }
            transaction.commit().await.unwrap();
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.runtime.block_on(self.pool.close());
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[divan::bench(sample_count = 30, sample_size = 1)]
fn enqueue_100_in_a_transaction(bencher: Bencher<'_, '_>) {
    let house = House::new(1);
    bencher.counter(ItemsCount::new(BATCH)).bench(|| house.fill(BATCH));
}

/// The same rows through the published statement and nothing around it.
#[divan::bench(sample_count = 30, sample_size = 1)]
fn bare_inserts_100_in_a_transaction(bencher: Bencher<'_, '_>) {
    let house = House::new(1);
    let statement: Arc<str> = enqueue_statement(TablePrefix::default(), Enforcement::Enforce).into();
    let payload = vec![b'x'; 1024];
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        house.runtime.block_on(async {
            let mut transaction = house.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
            for _ in 0..BATCH {
                sqlx::query(AssertSqlSafe(Arc::clone(&statement)))
                    .bind(MessageId::generate(&SystemRandom).unwrap().as_str())
                    .bind(house.endpoints[0].as_str())
                    .bind("acme")
                    .bind(None::<&str>)
                    .bind("application/json")
                    .bind(&payload[..])
                    .bind(1_795_262_400_000_i64)
                    .bind(None::<&str>)
                    .bind(0_i64)
                    .bind(None::<&str>)
                    .bind(0_i64)
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
            }
            transaction.commit().await.unwrap();
        });
    });
}

/// Settles the claims of the round before and claims as many again: what a busy dispatcher does.
#[divan::bench(args = [1, 16, 256], sample_count = 30, sample_size = 1)]
fn settle_and_claim(bencher: Bencher<'_, '_>, batch: usize) {
    let house = House::new(1);
    house.fill(batch * 64);
    let worker =
        house.runtime.block_on(house.outbox.join("bench", std::time::Duration::from_secs(60))).unwrap();
    let wants = vec![Want { endpoint: house.endpoints[0].clone(), limit: batch, max_bytes: usize::MAX }];
    let mut settlements = Vec::new();
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        let settlements_before = std::mem::take(&mut settlements);
        let round = Round { settlements: settlements_before, wants: wants.clone(), ..Round::default() };
        let result = house.runtime.block_on(house.outbox.round(&worker, &round)).unwrap();
        assert_eq!(result.leased.len(), batch);
        let delivered =
            |token| Settlement { token, revision: 1, verdict: Verdict::Delivered { status: 204 } };
        settlements.extend(result.leased.iter().map(|leased| delivered(leased.token)));
    });
}

struct AtOnce(Arc<AtomicUsize>);

impl Deliver for AtOnce {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        let now = compliance_core::clock::Timestamp::from_unix_seconds(1_795_262_400);
        black_box(attempt.signer().sign(attempt.id(), now, attempt.payload()).unwrap());
        self.0.fetch_add(1, Ordering::Relaxed);
        Outcome::Answered(Answer::new(204))
    }
}

#[divan::bench(args = [1, 100], sample_count = 5, sample_size = 1)]
fn drain_5000(bencher: Bencher<'_, '_>, endpoints: usize) {
    bencher
        .counter(ItemsCount::new(BACKLOG))
        .with_inputs(|| {
            let house = House::new(endpoints);
            house.fill(BACKLOG);
            house
        })
        .bench_local_values(|house| {
            house.runtime.block_on(async {
                let sink = Arc::new(MemorySink::default());
                let sent = Arc::new(AtomicUsize::new(0));
                let transport = AtOnce(Arc::clone(&sent));
                let running =
                    Dispatcher::new(house.outbox.clone(), house.book.clone(), transport, sink).spawn();
                while sent.load(Ordering::Relaxed) < BACKLOG {
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                assert_eq!(running.shutdown().await.unwrap().delivered, BACKLOG as u64);
            });
            house
        });
}
