//! Whose turn it is: deficit round robin over tenants (Shreedhar and Varghese, 1995), round robin over the endpoints of
//! each.

use std::collections::{HashMap, VecDeque};

use compliance_core::id::TenantId;

use crate::outbox::EndpointId;

/// Endpoints in line, by tenant. A tenant with a thousand endpoints gets as much as one with a single one, and large
/// messages count for more than small ones.
#[derive(Debug, Default)]
pub(super) struct Turns {
    order: VecDeque<TenantId>,
    shares: HashMap<TenantId, Share>,
    /// The shares of tenants that have to wait.
    parked: HashMap<TenantId, Share>,
    /// The room of a line that has ended, for the next one.
    spare: VecDeque<EndpointId>,
}

#[derive(Debug, Default)]
struct Share {
    line: VecDeque<EndpointId>,
    /// What the tenant may still take before the next one's turn.
    deficit: usize,
}

impl Turns {
    /// What each tenant may take in its turn. A bit more than the payload Standard Webhooks advises to stay below.
    pub(super) const QUANTUM: usize = 24 * 1024;

    pub(super) fn push(&mut self, tenant: &TenantId, endpoint: EndpointId) {
        if let Some(share) = self.shares.get_mut(tenant).or(self.parked.get_mut(tenant)) {
            return share.line.push_back(endpoint);
        }
        let mut line = std::mem::take(&mut self.spare);
        line.push_back(endpoint);
        self.shares.insert(tenant.clone(), Share { line, deficit: 0 });
        self.order.push_back(tenant.clone());
    }

    /// The next one, at a `cost`.
    pub(super) fn pop(&mut self, mut cost: impl FnMut(&EndpointId) -> usize) -> Option<EndpointId> {
        loop {
            let share = self.shares.get_mut(self.order.front()?)?;
            let cost = share.line.front().map_or(0, &mut cost);
            if share.deficit < cost {
                share.deficit = share.deficit.saturating_add(Self::QUANTUM);
                self.order.rotate_left(1);
                continue;
            }
            share.deficit = share.deficit.saturating_sub(cost);
            let endpoint = share.line.pop_front();
            if share.line.is_empty()
                && let Some(tenant) = self.order.pop_front()
            {
                // Who has nothing in line saves nothing up.
                if let Some(share) = self.shares.remove(&tenant) {
                    self.spare = share.line;
                }
            }
            return endpoint;
        }
    }

    /// Passes the tenant over until it is [unparked](Self::unpark).
    pub(super) fn park(&mut self, tenant: &TenantId) {
        if let Some(share) = self.shares.remove(tenant) {
            self.order.retain(|known| known != tenant);
            self.parked.insert(tenant.clone(), share);
        }
    }

    pub(super) fn unpark(&mut self, tenant: &TenantId) {
        if self.parked.is_empty() {
            return;
        }
        if let Some(share) = self.parked.remove(tenant) {
            self.shares.insert(tenant.clone(), share);
            self.order.push_back(tenant.clone());
        }
    }

    /// Whether nobody is in line.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// How many tenants have endpoints in line.
    pub(super) fn tenants(&self) -> usize {
        self.order.len()
    }

    pub(super) fn len(&self) -> usize {
        self.shares.values().map(|share| share.line.len()).sum()
    }
}
