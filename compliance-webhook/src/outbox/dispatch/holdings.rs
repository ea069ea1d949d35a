//! What a dispatcher holds at the moment, and who has to wait for whom.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use compliance_core::id::TenantId;
use tokio::time::Instant;

use crate::outbox::{EndpointId, Leased};

/// Messages held: in line, under way, or being given up.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    bytes: usize,
    /// Tenants there are messages of.
    shares: HashMap<TenantId, Share>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    held: usize,
    under_way: usize,
}

impl Holdings {
    pub(super) fn take(&mut self, tenant: &TenantId, leased: &Leased) {
        self.bytes = self.bytes.saturating_add(leased.payload.len());
        self.record(tenant);
    }

    pub(super) fn give_up(&mut self, tenant: &TenantId, leased: &Leased) {
        self.bytes = self.bytes.saturating_sub(leased.payload.len());
        self.recorded(tenant);
    }

    /// A message without its payload, to be given up once that is recorded.
    pub(super) fn record(&mut self, tenant: &TenantId) {
        match self.shares.get_mut(tenant) {
            Some(share) => share.held = share.held.saturating_add(1),
            None => {
                self.shares.insert(tenant.clone(), Share { held: 1, under_way: 0 });
            }
        }
    }

    pub(super) fn recorded(&mut self, tenant: &TenantId) {
        self.less(tenant, 0);
    }

    /// One of those held.
    pub(super) fn started(&mut self, tenant: &TenantId) {
        if let Some(share) = self.shares.get_mut(tenant) {
            share.under_way = share.under_way.saturating_add(1);
        }
    }

    /// It is not held any more, either.
    pub(super) fn landed(&mut self, tenant: &TenantId, leased: &Leased) {
        self.bytes = self.bytes.saturating_sub(leased.payload.len());
        self.less(tenant, 1);
    }

    fn less(&mut self, tenant: &TenantId, under_way: usize) {
        let Some(share) = self.shares.get_mut(tenant) else { return };
        share.held = share.held.saturating_sub(1);
        share.under_way = share.under_way.saturating_sub(under_way);
        if share.held == 0 {
            self.shares.remove(tenant);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many messages of the tenant.
    pub(super) fn held(&self, tenant: &TenantId) -> usize {
        self.shares.get(tenant).map_or(0, |share| share.held)
    }

    /// How many of them under way.
    pub(super) fn under_way(&self, tenant: &TenantId) -> usize {
        self.shares.get(tenant).map_or(0, |share| share.under_way)
    }

    /// How many tenants there are messages of.
    pub(super) fn tenants(&self) -> usize {
        self.shares.len()
    }
}

/// Lines that could go on but for a limit they share with others.
#[derive(Debug, Default)]
pub(super) struct Parked {
    by_host: HashMap<Arc<str>, VecDeque<EndpointId>>,
    by_time: BTreeSet<(Instant, EndpointId)>,
}

impl Parked {
    pub(super) fn for_host(&mut self, host: &Arc<str>, endpoint: EndpointId) {
        self.by_host.entry(Arc::clone(host)).or_default().push_back(endpoint);
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
