//! Whether one endpoint that hangs and one that refuses slow the other 98 down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use compliance_webhook::deliver::{Attempt, Deliver, HttpsTransport, Outcome};
use compliance_webhook::outbox::DispatchLimits;

use super::house::House;
use super::payload::payloads;
use super::receiver::{NAMES, Receiver};
use crate::measure::{Effort, Failure, Measured, in_turns};

/// 400 messages a second, far below what can be delivered.
const BATCH: usize = 10;
const EVERY: Duration = Duration::from_millis(25);

/// Milliseconds from before a message is enqueued to the 2xx, 99th percentile over the healthy endpoints. Ours: with two of
/// 100 endpoints ill. In the peer's place: ours with all of them well.
pub(super) fn p99(effort: Effort) -> Result<Measured, Failure> {
    let receiver = Receiver::start("https")?;
    let seconds = if effort.quick { 2 } else { 10 };
    in_turns(5, || run(&receiver, seconds, true), || run(&receiver, seconds, false))
}

fn run(receiver: &Receiver, seconds: usize, ill: bool) -> Result<f64, Failure> {
    let path = |n: usize| match n {
        0 if ill => "/hang",
        1 if ill => "/busy",
        _ => "/in",
    };
    let endpoints: Vec<_> = (0..NAMES).map(|n| (format!("h{n}.localhost"), path(n))).collect();
    let house = House::open(receiver, &endpoints)?;
    let count = seconds * 1000 / EVERY.as_millis() as usize * BATCH;
    let payloads = payloads(count);
    let timed = Arc::new(Timed::new(Arc::clone(&house.transport), count));
    // What hangs at the end is not waited for.
    let mut limits = DispatchLimits::default();
    limits.grace = Duration::from_millis(100);
    house.runtime.block_on(async {
        let running = house.dispatcher(Arc::clone(&timed)).with_limits(limits).spawn();
        let mut tick = tokio::time::interval(EVERY);
        for (number, batch) in payloads.chunks(BATCH).enumerate() {
            tick.tick().await;
            // The endpoints take turns from batch to batch.
            timed.enqueued(number * BATCH, batch.len());
            house.send(number * BATCH, batch).await?;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        running.shutdown().await?;
        Ok::<_, Failure>(())
    })?;
    timed.p99(|number| number % NAMES >= 2)
}

/// The transport, and when each message was enqueued and answered with a 2xx.
struct Timed {
    transport: Arc<HttpsTransport>,
    times: Mutex<Vec<(Option<Instant>, Option<Instant>)>>,
}

impl Timed {
    fn new(transport: Arc<HttpsTransport>, count: usize) -> Self {
        Self { transport, times: Mutex::new(vec![(None, None); count]) }
    }

    fn enqueued(&self, first: usize, count: usize) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        for (enqueued, _) in times.iter_mut().skip(first).take(count) {
            *enqueued = Some(Instant::now());
        }
    }

    fn p99(&self, counts: impl Fn(usize) -> bool) -> Result<f64, Failure> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let mut took = Vec::new();
        for (number, (enqueued, answered)) in times.iter().enumerate().filter(|(number, _)| counts(*number)) {
            let missing = || format!("message {number} for a healthy endpoint was not delivered");
            let (enqueued, answered) = (enqueued.ok_or_else(missing)?, answered.ok_or_else(missing)?);
            took.push(answered.saturating_duration_since(enqueued).as_secs_f64() * 1e3);
        }
        took.sort_by(f64::total_cmp);
        Ok(*took.get(took.len() * 99 / 100).ok_or("nothing was delivered")?)
    }
}

impl Deliver for Timed {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        let number = number(attempt.payload());
        let outcome = self.transport.deliver(attempt).await;
        if let Outcome::Answered(answer) = &outcome
            && (200..300).contains(&answer.status())
        {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, answered)) = number.and_then(|number| times.get_mut(number)) {
                answered.get_or_insert_with(Instant::now);
            }
        }
        outcome
    }
}

/// The number that [`payloads`] put in.
fn number(payload: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(payload).ok()?;
    let (_, rest) = text.split_once(r#""sequence":"#)?;
    rest.split_once(',')?.0.parse().ok()
}
