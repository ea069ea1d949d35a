//! What a dispatcher holds at the moment, and who has to wait for whom.

use std::collections::{BTreeSet, HashMap, VecDeque};

use compliance_core::id::TenantId;
use tokio::time::Instant;

use crate::outbox::{EndpointId, Leased};

/// Messages held: in line or under way.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    bytes: usize,
    held: HashMap<TenantId, usize>,
    under_way: HashMap<TenantId, usize>,
}

impl Holdings {
    pub(super) fn take(&mut self, tenant: &TenantId, leased: &Leased) {
        self.bytes = self.bytes.saturating_add(leased.payload.len());
        add(&mut self.held, tenant);
    }

    pub(super) fn give_up(&mut self, tenant: &TenantId, leased: &Leased) {
        self.bytes = self.bytes.saturating_sub(leased.payload.len());
        subtract(&mut self.held, tenant);
    }

    /// A message without its payload, to be given up once that is recorded.
    pub(super) fn record(&mut self, tenant: &TenantId) {
        add(&mut self.held, tenant);
    }

    pub(super) fn recorded(&mut self, tenant: &TenantId) {
        subtract(&mut self.held, tenant);
    }

    pub(super) fn started(&mut self, tenant: &TenantId) {
        add(&mut self.under_way, tenant);
    }

    pub(super) fn landed(&mut self, tenant: &TenantId) {
        subtract(&mut self.under_way, tenant);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many messages of the tenant.
    pub(super) fn held(&self, tenant: &TenantId) -> usize {
        self.held.get(tenant).copied().unwrap_or(0)
    }

    /// How many of them under way.
    pub(super) fn under_way(&self, tenant: &TenantId) -> usize {
        self.under_way.get(tenant).copied().unwrap_or(0)
    }

    /// How many tenants there are messages of.
    pub(super) fn tenants(&self) -> usize {
        self.held.len()
    }
}

fn add(counts: &mut HashMap<TenantId, usize>, tenant: &TenantId) {
    match counts.get_mut(tenant) {
        Some(count) => *count = count.saturating_add(1),
        None => {
            counts.insert(tenant.clone(), 1);
        }
    }
}

fn subtract(counts: &mut HashMap<TenantId, usize>, tenant: &TenantId) {
    let left = counts.get_mut(tenant).map(|count| {
        *count = count.saturating_sub(1);
        *count
    });
    if left == Some(0) {
        counts.remove(tenant);
    }
}

/// Lines that could go on but for a limit they share with others.
#[derive(Debug, Default)]
pub(super) struct Parked {
    by_host: HashMap<Box<str>, VecDeque<EndpointId>>,
    by_time: BTreeSet<(Instant, EndpointId)>,
}

impl Parked {
    pub(super) fn for_host(&mut self, host: &str, endpoint: EndpointId) {
        self.by_host.entry(host.into()).or_default().push_back(endpoint);
    }

    pub(super) fn until(&mut self, at: Instant, endpoint: EndpointId) {
        self.by_time.insert((at, endpoint));
    }

    /// A few of those for the host that has a place free: more than one, since the first may have nothing left to send.
    pub(super) fn of_host(&mut self, host: &str) -> Vec<EndpointId> {
        const FEW: usize = 4;
        let Some(line) = self.by_host.get_mut(host) else { return Vec::new() };
        let few = line.drain(..line.len().min(FEW)).collect();
        if line.is_empty() {
            self.by_host.remove(host);
        }
        few
    }

    /// All of those for hosts: others than this dispatcher may have made room.
    pub(super) fn of_hosts(&mut self) -> Vec<EndpointId> {
        self.by_host.drain().flat_map(|(_, endpoints)| endpoints).collect()
    }

    pub(super) fn due(&mut self, now: Instant) -> Option<EndpointId> {
        let is_due = self.by_time.first().is_some_and(|(at, _)| *at <= now);
        if is_due { self.by_time.pop_first().map(|(_, endpoint)| endpoint) } else { None }
    }

    /// When the next one is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }
}
