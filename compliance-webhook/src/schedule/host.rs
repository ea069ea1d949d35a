use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::endpoint::{EndpointHost, WebhookEndpoint};

/// How much may be under way to one destination host at a time, whichever tenants and endpoints it is for, so that a
/// service that delivers for many cannot be turned against one. Clones count together: give the same one to the
/// dispatcher and to whatever else calls endpoints, such as a handshake.
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
/// The host is the name in the URL. Many names of one server count one by one.
#[derive(Clone, Debug)]
pub struct HostLimit {
    limit: usize,
    under_way: Arc<Mutex<HashMap<Box<str>, usize>>>,
}

impl HostLimit {
    /// At most `limit` at a time for each host; zero counts as one.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), under_way: Arc::default() }
    }

    /// A place for one call, or `None` when the host has as many as it may.
    #[must_use]
    pub fn try_enter(&self, endpoint: &WebhookEndpoint) -> Option<HostSlot> {
        let host = host_key(endpoint);
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.get_mut(&host) {
            Some(count) if *count >= self.limit => return None,
            Some(count) => *count = count.saturating_add(1),
            None => {
                under_way.insert(host.clone(), 1);
            }
        }
        drop(under_way);
        Some(HostSlot { host, under_way: Arc::clone(&self.under_way) })
    }
}

impl Default for HostLimit {
    /// 64: what two endpoints may have under way by default, and far from what a small server minds.
    fn default() -> Self {
        Self::new(64)
    }
}

/// What calls are counted under.
pub(crate) fn host_key(endpoint: &WebhookEndpoint) -> Box<str> {
    match endpoint.host() {
        EndpointHost::Address(address) => address.to_string().into(),
        EndpointHost::Name(name) => name.into(),
    }
}

/// A place at a host. Dropping it gives it up.
#[derive(Debug)]
#[must_use = "dropping it gives the place up"]
pub struct HostSlot {
    host: Box<str>,
    under_way: Arc<Mutex<HashMap<Box<str>, usize>>>,
}

impl Drop for HostSlot {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let left = under_way.get_mut(&self.host).map(|count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            under_way.remove(&self.host);
        }
    }
}
