//! Joins store, schedule and transport: claims what is due, delivers it, settles it.

mod claims;
mod courier;
mod flight;
mod holdings;
mod judge;
mod lane;
mod run;
mod telemetry;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, SystemClock};
use compliance_core::event::Sink;
use compliance_core::random::{SecureRandom, SystemRandom};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{EndpointBook, Outbox, Retention};
use crate::deliver::Deliver;
use crate::schedule::{BreakerPolicy, HostLimit, Rate, RetrySchedule, StatusPolicy};

/// How much a [`Dispatcher`] does at a time, and how long it waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DispatchLimits {
    /// Attempts under way for one endpoint. Default 32. As many again are held ready, and up to sixteen times as many
    /// for an endpoint that takes them faster, so that one slow commit does not empty the line.
    pub per_endpoint: usize,
    /// Attempts under way in all. Default 1,024: an endpoint that hangs takes 32 of them until its breaker
    /// opens, and cannot stall the rest.
    pub in_flight: usize,
    /// Attempts under way for one tenant. Default 256: a tenant whose endpoints all hang leaves three quarters to the
    /// others.
    pub per_tenant: usize,
    /// Bytes of payload held ready and under way, so that a backlog of large messages fits into memory. Default 32 MiB,
    /// and never less than one message of [`MAX_PAYLOAD_LEN`](super::NewMessage::MAX_PAYLOAD_LEN) takes.
    pub held_bytes: usize,
    /// How many attempts an endpoint gets in a minute that has no rate of its own. Default `None`: as many as it takes.
    /// Counts for this dispatcher.
    pub rate: Option<Rate>,
    /// Verdicts are committed together when this many have come in. Default 256.
    pub batch: usize,
    /// … or when the first has waited this long. Default 5 ms.
    pub ack_window: Duration,
    /// How often the store is asked for due messages it was not told of: retries, and what other processes
    /// enqueued. Default 250 ms.
    pub poll: Duration,
    /// How long leases hold after a heartbeat, which comes three times as often. Default 10 s.
    pub lease: Duration,
    /// A bound on one attempt beyond the transport's own time limits, opening a sealed payload included. Default 60 s.
    pub attempt_timeout: Duration,
    /// How long an overloaded endpoint is left alone when it does not say. Default 15 s.
    pub throttle_pause: Duration,
    /// An endpoint that has failed for this long is switched off. Default 5 days; `None`: never.
    pub disable_after: Option<Duration>,
    /// How many bytes of each answer are kept for a console, at most [`MAX_EXCERPT`](Self::MAX_EXCERPT), where the
    /// transport hands them on. Default 0: none. They are whatever the receiver says, personal data included.
    pub excerpt: usize,
    /// How long a shutdown waits for attempts under way. Default 20 s.
    pub grace: Duration,
    /// How long settled messages are kept.
    pub retention: Retention,
}

impl DispatchLimits {
    /// The longest excerpt kept, in bytes.
    pub const MAX_EXCERPT: usize = 1024;
    /// The shortest time between two looks at the store.
    pub const MIN_POLL: Duration = Duration::from_millis(10);
    /// The shortest bound on an attempt: below it, none would be delivered.
    pub const MIN_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
    /// How long the sink may take to record that a message is given up or an endpoint switched off.
    pub const RECORD_TIMEOUT: Duration = Duration::from_secs(30);
}

impl Default for DispatchLimits {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            per_endpoint: 32,
            in_flight: 1024,
            per_tenant: 256,
            held_bytes: 32 * 1024 * 1024,
            rate: None,
            batch: 256,
            ack_window: Duration::from_millis(5),
            poll: Duration::from_millis(250),
            lease: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(60),
            throttle_pause: Duration::from_secs(15),
            disable_after: Some(Duration::from_secs(5 * DAY)),
            excerpt: 0,
            grace: Duration::from_secs(20),
            retention: Retention::default(),
        }
    }
}

/// Delivers what an [`Outbox`] holds, at least once.
///
/// * No store transaction is open while a message is on its way.
/// * Verdicts and claims are committed together, many at a time.
/// * Each endpoint has its own line, breaker, rate and pause. Tenants take turns by what they send, whatever number of
///   endpoints they have, and no tenant and no destination host gets more than its cap.
/// * Before a message is given up or an endpoint switched off, the [`Sink`] has recorded it. If it cannot, or does not
///   answer within [`RECORD_TIMEOUT`](DispatchLimits::RECORD_TIMEOUT), the message stays.
/// * An endpoint is looked at twice a second while messages go to it, and what was seen counts for a second: one that was
///   switched off, moved or given another key gets, for so long at most, what was claimed before.
/// * A message that panics the transport is a failed attempt.
///
/// # Security
/// At least once means: a crash between the receiver's answer and the commit sends a message again, with the
/// same `webhook-id`. Receivers drop duplicates by it.
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::SystemClock;
/// use compliance_core::id::TenantId;
/// use compliance_core::random::SystemRandom;
/// use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
/// use compliance_core::testing::MemorySink;
/// use compliance_webhook::deliver::{Answer, Attempt, Deliver, Outcome};
/// use compliance_webhook::outbox::{Dispatcher, EndpointBook, MemoryOutbox, NewMessage, Outbox as _};
/// use compliance_webhook::{EndpointPolicy, SigningKey};
///
/// /// A transport that goes nowhere.
/// struct Says204;
/// impl Deliver for Says204 {
///     async fn deliver(&self, _: Attempt<'_>) -> Outcome {
///         Outcome::Answered(Answer::new(204))
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let outbox = MemoryOutbox::new(Arc::new(SystemClock), Arc::new(SystemRandom));
/// let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32])?);
/// let book = EndpointBook::new(EndpointPolicy::new(), Arc::new(keys));
/// let (acme, endpoint) = (TenantId::new("acme")?, book.policy().check("https://hooks.example.net/in")?);
/// let id = book.register(&outbox, &acme, &endpoint, &SigningKey::generate(&SystemRandom)?).await?;
///
/// let running = Dispatcher::new(outbox.clone(), book, Says204, Arc::new(MemorySink::default())).spawn();
/// outbox.enqueue(&NewMessage::impersonal(&acme, &id, br#"{"type":"user.created"}"#)?).await?;
/// while outbox.counts().await?.delivered == 0 {
///     tokio::task::yield_now().await;
/// }
/// assert_eq!(running.shutdown().await?.delivered, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Dispatcher<O, D> {
    outbox: O,
    book: EndpointBook,
    deliver: Arc<D>,
    sink: Arc<dyn Sink>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    schedule: RetrySchedule,
    statuses: StatusPolicy,
    breaker: BreakerPolicy,
    limits: DispatchLimits,
    hosts: HostLimit,
    instance: Option<Box<str>>,
}

impl<O, D> Dispatcher<O, D>
where
    O: Outbox + Clone + 'static,
    D: Deliver + 'static,
{
    /// A dispatcher with the standard schedule, the system's clock and random source, under a name drawn at random.
    #[must_use]
    pub fn new(outbox: O, book: EndpointBook, deliver: D, sink: Arc<dyn Sink>) -> Self {
        Self {
            outbox,
            book,
            deliver: Arc::new(deliver),
            sink,
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            schedule: RetrySchedule::standard(),
            statuses: StatusPolicy::standard(),
            breaker: BreakerPolicy::default(),
            limits: DispatchLimits::default(),
            hosts: HostLimit::default(),
            instance: None,
        }
    }

    /// Goes by another clock. It should be the store's. Pacing (polls, windows, time limits) is in elapsed time
    /// and not the clock's business.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Draws jitter from another source.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// Retries differently.
    #[must_use]
    pub fn with_schedule(mut self, schedule: RetrySchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Leaves failing endpoints alone differently.
    #[must_use]
    pub fn with_breaker(mut self, breaker: BreakerPolicy) -> Self {
        self.breaker = breaker;
        self
    }

    /// Sets limits. Numbers of zero count as one; shorter times than the constants of [`DispatchLimits`] and
    /// [`Worker`](super::Worker) allow count as those.
    #[must_use]
    pub fn with_limits(mut self, limits: DispatchLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Caps what one destination host gets, together with everybody else who has this cap: other dispatchers of this
    /// process, and the transport's challenges.
    #[must_use]
    pub fn with_host_limit(mut self, hosts: HostLimit) -> Self {
        self.hosts = hosts;
        self
    }

    /// Names the dispatcher: one name for each that runs at the same time on one store, the same name after a
    /// restart. A dispatcher takes over at once what its namesake left behind when it crashed; from others, when
    /// their leases lapse. Unless told, each start has a name of its own, and what a crashed one held waits for as
    /// long.
    ///
    /// Two that run at the same time under one name take each other's messages away.
    #[must_use]
    pub fn with_instance(mut self, instance: &str) -> Self {
        self.instance = Some(instance.into());
        self
    }

    /// Starts it on the current tokio runtime.
    #[must_use = "dropping it shuts the dispatcher down"]
    pub fn spawn(self) -> Running {
        let (stop, stopped) = watch::channel(false);
        Running { stop, task: tokio::spawn(run::Run::new(self).run(stopped)) }
    }
}

impl<O: fmt::Debug, D> fmt::Debug for Dispatcher<O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("outbox", &self.outbox)
            .field("instance", &self.instance)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A dispatcher at work. Dropping it shuts it down in the background.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<DispatchReport>,
}

impl Running {
    /// Claims nothing more, waits for the attempts under way up to [`DispatchLimits::grace`], hands the rest back
    /// and says what was done.
    ///
    /// # Errors
    /// [`DispatchError`] when the dispatcher had ended before: a bug, or the runtime is shutting down. What it
    /// held is taken up when its leases lapse.
    pub async fn shutdown(self) -> Result<DispatchReport, DispatchError> {
        self.stop.send_replace(true);
        self.task.await.map_err(|_| DispatchError(()))
    }
}

/// What a dispatcher did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DispatchReport {
    /// Attempts begun.
    pub attempts: u64,
    /// Messages delivered.
    pub delivered: u64,
    /// Attempts failed.
    pub failed: u64,
    /// Messages given up.
    pub dead: u64,
    /// Verdicts that came too late: the messages had been taken over.
    pub fenced: u64,
    /// Claims of messages that an outbox which is not report-only would have refused.
    pub reported: u64,
    /// Rounds with the store: each is one transaction.
    pub rounds: u64,
    /// Calls to the store that failed and were made again.
    pub store_errors: u64,
}

/// The dispatcher ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dispatcher ended before it was told to")]
pub struct DispatchError(());

impl DispatchError {
    /// `dispatch.ended`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "dispatch.ended"
    }
}
