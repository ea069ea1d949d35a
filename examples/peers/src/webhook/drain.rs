//! Emptying a durable backlog: SQLite in WAL mode with `synchronous=FULL`, one endpoint, 1 KiB of JSON, HTTPS to the
//! [receiver](super::receiver) in another process. Enqueuing is not counted; what is, runs from starting the dispatcher
//! to the commit of the last verdict, connections and handshakes included.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use compliance_webhook::deliver::{Attempt, Deliver, HttpsTransport, Outcome};
use compliance_webhook::outbox::DispatchLimits;
use tokio::sync::Notify;

use super::house::House;
use super::payload::payloads;
use super::raw;
use super::receiver::Receiver;
use crate::child::Child;
use crate::disk;
use crate::measure::{Effort, Failure, Measured, in_turns, median, peak_mib, process_cpu_time};

/// Deliveries per second beside a bare loop of POSTs, and CPU seconds of the sending process per thousand. The loop
/// uses the same TLS, the same payloads and as many connections at once as our dispatcher uses for one endpoint. It
/// stores, signs, resolves and checks nothing.
pub(super) fn vs_raw(effort: Effort) -> Result<(Measured, Measured), Failure> {
    let receiver = Receiver::start("https")?;
    let house = open(&receiver)?;
    let count = if effort.quick { 4000 } else { 20_000 };
    let bodies: Vec<Bytes> = payloads(count).into_iter().map(Bytes::from).collect();
    let connections = DispatchLimits::default().per_endpoint;
    let (mut our_cpu, mut raw_cpu) = (Vec::new(), Vec::new());
    let rate = in_turns(
        if effort.quick { 11 } else { 15 },
        || {
            house.runtime.block_on(house.enqueue(&bodies))?;
            let before = process_cpu_time();
            let rate = drain(&house, count)?;
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
    let house = open(&receiver)?;
    let directory = disk::directory("webhooksmith")?;
    let database = directory.path().join("outbox.sqlite");
    let url = format!("http://127.0.0.1:{}/in", plain.port);
    let mut peer = Child::start("webhooksmith", &[&url, &database.to_string_lossy()])?;
    let (count, peer_count) = if effort.quick { (4000, 300) } else { (20_000, 2000) };
    let bodies = payloads(count);
    in_turns(
        if effort.quick { 3 } else { 5 },
        || {
            house.runtime.block_on(house.enqueue(&bodies))?;
            drain(&house, count)
        },
        || peer.ask(peer_count),
    )
}

/// The most memory, in MiB, that a sender with 100,000 undelivered messages takes while it delivers the first 10,000
/// of them. To be called in a process of its own, see [`backlog`](super::backlog).
pub(super) fn backlog_memory() -> Result<f64, Failure> {
    const BACKLOG: usize = 100_000;
    let receiver = Receiver::start("https")?;
    let house = open(&receiver)?;
    for _ in 0..BACKLOG / 1000 {
        house.runtime.block_on(house.enqueue(&payloads(1000)))?;
    }
    let deliver = Counting::new(Arc::clone(&house.transport), BACKLOG / 10);
    house.runtime.block_on(async {
        let running = house.dispatcher(Arc::clone(&deliver)).spawn();
        deliver.done.notified().await;
        running.shutdown().await
    })?;
    peak_mib()
}

fn open(receiver: &Receiver) -> Result<House, Failure> {
    House::open(receiver, &[("localhost".to_owned(), "/in")])
}

fn per_thousand(before: Duration, count: usize) -> f64 {
    process_cpu_time().saturating_sub(before).as_secs_f64() * 1000.0 / count as f64
}

/// Messages per second.
fn drain(house: &House, count: usize) -> Result<f64, Failure> {
    house.runtime.block_on(async {
        let deliver = Counting::new(Arc::clone(&house.transport), count);
        let started = Instant::now();
        let running = house.dispatcher(Arc::clone(&deliver)).spawn();
        deliver.done.notified().await;
        let report = running.shutdown().await?;
        let took = started.elapsed();
        if report.delivered != count as u64 || report.failed > 0 {
            return Err(format!("{} of {count} delivered, {} failed", report.delivered, report.failed).into());
        }
        Ok(count as f64 / took.as_secs_f64())
    })
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
