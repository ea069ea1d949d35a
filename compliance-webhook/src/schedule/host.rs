use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Rate, RateLimit};
use crate::endpoint::WebhookEndpoint;

/// How much one destination host gets, whichever tenants and endpoints it is for, so that a service that delivers for
/// many cannot be turned against one: so many calls at a time, and so many failures in a minute. Clones count together:
/// give the same one to the dispatcher and to the transport that asks for handshakes.
///
/// ```
/// use compliance_webhook::EndpointPolicy;
/// use compliance_webhook::schedule::HostLimit;
///
/// let policy = EndpointPolicy::new();
/// let (a, b) = (policy.check("https://hooks.example.net/a")?, policy.check("https://hooks.example.net/b")?);
/// let limit = HostLimit::new(1);
/// let slot = limit.try_enter(&a).expect("the first");
/// assert!(limit.try_enter(&b).is_none());
/// drop(slot);
/// assert!(limit.try_enter(&b).is_some());
/// # Ok::<(), compliance_webhook::endpoint::EndpointError>(())
/// ```
///
/// # Security
/// The host is the name in the URL, or its address: one IPv4 address is one host in whatever form (mapped and under
/// `64:ff9b::/96`, too). Many names of one server count one by one. A host that answers 2xx has no limit but the one at
/// a time: it takes the messages.
#[derive(Clone, Debug)]
pub struct HostLimit {
    limit: usize,
    failures: Option<Rate>,
    hosts: Hosts,
}

type Hosts = Arc<Mutex<Known>>;

#[derive(Debug, Default)]
struct Known {
    by_key: HashMap<Arc<str>, Host>,
    /// What time is counted from.
    start: Option<Instant>,
    /// From how many on those that have nothing to remember are looked for.
    sweep_at: usize,
}

#[derive(Debug, Default)]
struct Host {
    under_way: usize,
    failures: Option<RateLimit>,
}

impl HostLimit {
    /// How many failures one host gets in a minute unless told otherwise: ten in a second.
    pub const FAILURES: Rate = Rate::per_minute(NonZeroU32::MIN.saturating_add(599));

    /// At most `limit` at a time for each host, zero counts as one, and [`FAILURES`](Self::FAILURES).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), failures: Some(Self::FAILURES), hosts: Hosts::default() }
    }

    /// Lets calls to one host fail so often; `None`: as often as they do. Beyond it, an endpoint whose last attempt was
    /// not delivered [waits](Self::wait). One whose was goes on, so that nobody's failures hold up others' deliveries.
    #[must_use]
    pub fn with_failures(mut self, failures: Option<Rate>) -> Self {
        self.failures = failures;
        self
    }

    /// A place for one call, or `None` when the host has as many as it may.
    #[must_use]
    pub fn try_enter(&self, endpoint: &WebhookEndpoint) -> Option<HostSlot> {
        let key = Arc::clone(endpoint.host_key());
        let mut known = lock(&self.hosts);
        let host = match known.by_key.get_mut(&key) {
            Some(host) => host,
            None => known.by_key.entry(Arc::clone(&key)).or_default(),
        };
        if host.under_way >= self.limit {
            return None;
        }
        host.under_way = host.under_way.saturating_add(1);
        drop(known);
        Some(HostSlot { key, failures: self.failures, hosts: Arc::clone(&self.hosts) })
    }

    /// How long an endpoint that has not just taken a message has to wait: too many calls to its host have failed.
    #[must_use]
    pub fn wait(&self, endpoint: &WebhookEndpoint, now: Instant) -> Option<Duration> {
        let known = lock(&self.hosts);
        let host = known.by_key.get(endpoint.host_key())?;
        host.failures.as_ref()?.wait(known.elapsed(now))
    }
}

impl Default for HostLimit {
    /// 64: what two endpoints may have under way by default, and far from what a small server minds.
    fn default() -> Self {
        Self::new(64)
    }
}

impl Known {
    fn elapsed(&self, now: Instant) -> Duration {
        self.start.map_or(Duration::ZERO, |start| now.saturating_duration_since(start))
    }
}

fn lock(hosts: &Hosts) -> MutexGuard<'_, Known> {
    hosts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place at a host. Dropping it gives it up.
#[derive(Debug)]
#[must_use = "dropping it gives the place up"]
pub struct HostSlot {
    key: Arc<str>,
    failures: Option<Rate>,
    hosts: Hosts,
}

impl HostSlot {
    /// What calls to the host are counted under.
    #[cfg(feature = "outbox")]
    pub(crate) fn host_key(&self) -> &Arc<str> {
        &self.key
    }

    /// Gives it up after a call that failed.
    pub fn failed(self, now: Instant) {
        const FEW: usize = 1024;
        let Some(rate) = self.failures else { return };
        let mut known = lock(&self.hosts);
        known.start.get_or_insert(now);
        let elapsed = known.elapsed(now);
        if known.by_key.len() >= known.sweep_at.max(FEW) {
            known.by_key.retain(|_, host| {
                host.under_way > 0
                    || host.failures.as_ref().is_some_and(|failures| !failures.is_idle(elapsed))
            });
            known.sweep_at = known.by_key.len().saturating_mul(2);
        }
        if let Some(host) = known.by_key.get_mut(&self.key) {
            host.failures.get_or_insert(RateLimit::new(rate)).add(elapsed);
        }
    }
}

impl Drop for HostSlot {
    fn drop(&mut self) {
        let mut known = lock(&self.hosts);
        let Some(host) = known.by_key.get_mut(&self.key) else { return };
        host.under_way = host.under_way.saturating_sub(1);
        if host.under_way == 0 && host.failures.is_none() {
            known.by_key.remove(&self.key);
        }
    }
}
