//! What receivers have consented to, and where that is kept.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use compliance_core::clock::Timestamp;
use sha2::{Digest as _, Sha256};

use super::AllowedRate;
use crate::endpoint::WebhookEndpoint;

/// Which endpoint: the SHA-256 of its URL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointDigest([u8; 32]);

impl EndpointDigest {
    /// Of an endpoint.
    #[must_use]
    pub fn of(endpoint: &WebhookEndpoint) -> Self {
        Self(Sha256::digest(endpoint.as_str()).into())
    }

    /// For implementations of [`ConsentStore`]: what was stored, as it was stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EndpointDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointDigest(..)")
    }
}

/// A consent that came by callback, from [`ConsentCallbacks::accept`](super::ConsentCallbacks::accept).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentGrant {
    endpoint: EndpointDigest,
    rate: AllowedRate,
    callback: Timestamp,
    until: Timestamp,
}

impl ConsentGrant {
    pub(super) fn new(
        endpoint: EndpointDigest,
        rate: AllowedRate,
        callback: Timestamp,
        until: Timestamp,
    ) -> Self {
        Self { endpoint, rate, callback, until }
    }

    /// For implementations of [`ConsentStore`]: what was stored, as it was stored.
    #[must_use]
    pub fn from_stored(
        endpoint: EndpointDigest,
        rate: AllowedRate,
        callback: Timestamp,
        until: Timestamp,
    ) -> Self {
        Self::new(endpoint, rate, callback, until)
    }

    /// Whose.
    #[must_use]
    pub fn endpoint(&self) -> &EndpointDigest {
        &self.endpoint
    }

    /// How often it wants to be sent to.
    #[must_use]
    pub fn rate(&self) -> AllowedRate {
        self.rate
    }

    /// Until when the callback could have been called: its place among the endpoint's callbacks.
    #[must_use]
    pub fn callback(&self) -> Timestamp {
        self.callback
    }

    /// Until when it counts.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// What a [`ConsentStore`] answers some time later.
pub type Consenting<'a, T> = Pin<Box<dyn Future<Output = Result<T, ConsentStoreError>> + Send + 'a>>;

/// Keeps consents that came by callback: one for each endpoint, the latest.
///
/// [`MemoryConsents`] is for a sender that runs once and may ask again after a restart; `SqliteOutbox` and
/// `PostgresOutbox` are stores of consents, too.
pub trait ConsentStore: Send + Sync + fmt::Debug {
    /// Keeps a grant, unless one of the same endpoint is kept whose [callback](ConsentGrant::callback) is the same or a
    /// later one: then `false`. Of two calls at the same time, one gets `true`.
    ///
    /// # Errors
    /// [`ConsentStoreError`] when the store does not answer.
    fn grant<'a>(&'a self, grant: &'a ConsentGrant) -> Consenting<'a, bool>;

    /// The grant that is kept of an endpoint, whether it still counts or not.
    ///
    /// # Errors
    /// [`ConsentStoreError`] when the store does not answer.
    fn granted<'a>(&'a self, endpoint: &'a EndpointDigest) -> Consenting<'a, Option<ConsentGrant>>;
}

/// A store of consents did not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("the store of consents does not answer")]
#[non_exhaustive]
pub struct ConsentStoreError;

impl ConsentStoreError {
    /// For implementations of [`ConsentStore`].
    #[must_use]
    pub fn new() -> Self {
        Self
    }

    /// `handshake.callback_unavailable`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "handshake.callback_unavailable"
    }
}

/// Consents in memory, gone with the process.
#[derive(Default)]
pub struct MemoryConsents(Mutex<HashMap<EndpointDigest, ConsentGrant>>);

impl ConsentStore for MemoryConsents {
    fn grant<'a>(&'a self, grant: &'a ConsentGrant) -> Consenting<'a, bool> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = kept.get(grant.endpoint()).is_none_or(|known| known.callback < grant.callback);
        if is_new {
            kept.insert(grant.endpoint, *grant);
        }
        Box::pin(std::future::ready(Ok(is_new)))
    }

    fn granted<'a>(&'a self, endpoint: &'a EndpointDigest) -> Consenting<'a, Option<ConsentGrant>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Box::pin(std::future::ready(Ok(kept.get(endpoint).copied())))
    }
}

impl fmt::Debug for MemoryConsents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryConsents(..)")
    }
}
