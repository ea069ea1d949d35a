//! Emptying a durable backlog: SQLite in WAL mode with `synchronous=FULL`, one endpoint, 1 KiB of JSON, HTTPS to the
//! [receiver] in another process. Enqueuing is not counted; what is, runs from starting the dispatcher to the commit
//! of the last verdict, connections and handshakes included.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use compliance_core::clock::{Clock as _, SystemClock};
use compliance_core::finding::RiskAcceptance;
use compliance_core::id::TenantId;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::{Attempt, Deliver, HttpsTransport, Outcome, TlsRoots};
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
use compliance_webhook::outbox::{
    DispatchLimits, Dispatcher, EndpointBook, EndpointId, NewMessage, SqliteOutbox,
};
use compliance_webhook::{EndpointPolicy, SigningKey};
use sqlx::SqlitePool;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::payload::payloads;
use super::raw;
use super::receiver::Receiver;
use crate::child::Child;
use crate::disk;
use crate::measure::{Effort, Failure, Measured, in_turns, median, process_cpu_time};

/// Messages per transaction while the backlog is built.
const PER_TRANSACTION: usize = 500;

/// Deliveries per second beside a bare loop of POSTs, and CPU seconds of the sending process per thousand. The loop
/// uses the same TLS, the same payloads and as many connections at once as our dispatcher uses for one endpoint. It
/// stores, signs, resolves and checks nothing.
pub(super) fn vs_raw(effort: Effort) -> Result<(Measured, Measured), Failure> {
    let receiver = Receiver::start("https")?;
    let house = House::open(&receiver)?;
    let count = if effort.quick { 4000 } else { 20_000 };
    let bodies: Vec<Bytes> = payloads(count).into_iter().map(Bytes::from).collect();
    let connections = DispatchLimits::default().per_endpoint;
    let (mut our_cpu, mut raw_cpu) = (Vec::new(), Vec::new());
    let rate = in_turns(
        if effort.quick { 5 } else { 9 },
        || {
            house.fill(&bodies)?;
            let before = process_cpu_time();
            let rate = house.drain(count)?;
            our_cpu.push(per_thousand(before, count));
            Ok(rate)
        },
        || {
            let before = process_cpu_time();
            let rate = house.runtime.block_on(raw::post(&receiver, bodies.clone(), connections))?;
            raw_cpu.push(per_thousand(before, count));
            Ok(rate)
        },
    )?;
    Ok((rate, Measured { ours: median(&mut our_cpu), peer: Some(median(&mut raw_cpu)) }))
}

/// The peer on SQLite with its own pragmas (WAL; `synchronous` at SQLite's default, which is FULL), in a process of
/// its own since it wants another version of sqlx. It trusts Mozilla's roots only, so that it gets plain HTTP, which
/// spares it TLS. It posts one message after the other.
pub(super) fn vs_webhooksmith(effort: Effort) -> Result<Measured, Failure> {
    let (receiver, plain) = (Receiver::start("https")?, Receiver::start("http")?);
    let house = House::open(&receiver)?;
    let directory = disk::directory("webhooksmith")?;
    let database = directory.path().join("outbox.sqlite");
    let url = format!("http://127.0.0.1:{}/in", plain.port);
    let mut peer = Child::start("webhooksmith", &[&url, &database.to_string_lossy()])?;
    let (count, peer_count) = if effort.quick { (4000, 300) } else { (20_000, 2000) };
    let bodies: Vec<Bytes> = payloads(count).into_iter().map(Bytes::from).collect();
    in_turns(
        if effort.quick { 3 } else { 5 },
        || {
            house.fill(&bodies)?;
            house.drain(count)
        },
        || peer.ask(peer_count),
    )
}

fn per_thousand(before: Duration, count: usize) -> f64 {
    process_cpu_time().saturating_sub(before).as_secs_f64() * 1000.0 / count as f64
}

/// Outbox, endpoint and transport, all as they are by default, but for an endpoint on this machine and its authority.
struct House {
    outbox: SqliteOutbox,
    pool: SqlitePool,
    book: EndpointBook,
    transport: Arc<HttpsTransport>,
    tenant: TenantId,
    endpoint: EndpointId,
    runtime: Runtime,
    _directory: TempDir,
}

impl House {
    fn open(receiver: &Receiver) -> Result<Self, Failure> {
        let directory = disk::directory("outbox")?;
        let runtime = Runtime::new()?;
        let (pool, outbox) = runtime.block_on(open_outbox(directory.path()))?;
        let until = SystemClock.now().saturating_add(Duration::from_secs(24 * 60 * 60));
        let accepted =
            RiskAcceptance::new("bench", "the receiver is another process on this machine", until)?;
        let policy = EndpointPolicy::new().with_ports(&[receiver.port])?.dangerous(accepted).allow_loopback();
        let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32])?);
        let book = EndpointBook::new(policy.build(), Arc::new(keys));
        let tenant = TenantId::new("acme")?;
        let url = format!("https://localhost:{}/in", receiver.port);
        let endpoint = book.policy().check_at(&url, SystemClock.now())?;
        let key = SigningKey::from_bytes(&[7; 32])?;
        let endpoint = runtime.block_on(book.register(&outbox, &tenant, &endpoint, &key))?;
        let roots = TlsRoots::none().with_pem(&receiver.ca)?;
        let transport = HttpsTransport::builder(Arc::new(SystemClock)).with_roots(roots).build()?;
        let transport = Arc::new(transport);
        Ok(Self { outbox, pool, book, transport, tenant, endpoint, runtime, _directory: directory })
    }

    fn fill(&self, bodies: &[Bytes]) -> Result<(), Failure> {
        self.runtime.block_on(async {
            for chunk in bodies.chunks(PER_TRANSACTION) {
                let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
                for body in chunk {
                    let message = NewMessage::new(&self.tenant, &self.endpoint, body.as_ref())?;
                    // Nobody waits for these: the dispatcher starts later.
                    drop(self.outbox.enqueue_in(&mut transaction, &message).await?);
                }
                transaction.commit().await?;
            }
            Ok(())
        })
    }

    /// Messages per second.
    fn drain(&self, count: usize) -> Result<f64, Failure> {
        self.runtime.block_on(async {
            let deliver = Counting::new(Arc::clone(&self.transport), count);
            let (book, sink) = (self.book.clone(), Arc::new(MemorySink::default()));
            let started = Instant::now();
            let running = Dispatcher::new(self.outbox.clone(), book, Arc::clone(&deliver), sink).spawn();
            deliver.done.notified().await;
            let report = running.shutdown().await?;
            let took = started.elapsed();
            if report.delivered != count as u64 || report.failed > 0 {
                return Err(
                    format!("{} of {count} delivered, {} failed", report.delivered, report.failed).into()
                );
            }
            Ok(count as f64 / took.as_secs_f64())
        })
    }
}

async fn open_outbox(directory: &Path) -> Result<(SqlitePool, SqliteOutbox), Failure> {
    let pool = SqlitePool::connect_with(durable_options(&directory.join("outbox.sqlite"))).await?;
    let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await?;
    Ok((pool, outbox))
}

/// The transport, and word of the last answer.
struct Counting {
    transport: Arc<HttpsTransport>,
    left: AtomicUsize,
    done: Notify,
}

impl Counting {
    fn new(transport: Arc<HttpsTransport>, count: usize) -> Arc<Self> {
        Arc::new(Self { transport, left: AtomicUsize::new(count), done: Notify::new() })
    }
}

impl Deliver for Counting {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        let outcome = self.transport.deliver(attempt).await;
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.done.notify_one();
        }
        outcome
    }
}
