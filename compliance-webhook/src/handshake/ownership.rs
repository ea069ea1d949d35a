//! Whose an endpoint is, once its receiver has shown it.

use std::fmt;

use compliance_core::clock::Timestamp;
use compliance_core::id::TenantId;
#[cfg(feature = "outbox")]
use subtle::ConstantTimeEq as _;

use crate::endpoint::WebhookEndpoint;
#[cfg(any(feature = "deliver", feature = "outbox"))]
use crate::sign::SenderKey;

/// An endpoint whose receiver has shown that it knows the secret: from `HttpsTransport::challenge`.
///
/// It is for one tenant, one URL and one key.
#[derive(Debug)]
pub struct OwnedEndpoint {
    endpoint: WebhookEndpoint,
    tenant: TenantId,
    ownership: Ownership,
}

impl OwnedEndpoint {
    #[cfg(feature = "deliver")]
    pub(crate) fn new(
        endpoint: &WebhookEndpoint,
        tenant: &TenantId,
        key: impl Into<SenderKey>,
        answered: Timestamp,
    ) -> Self {
        let ownership = Ownership::prove(&key.into(), tenant, endpoint.as_str(), answered);
        Self { endpoint: endpoint.clone(), tenant: tenant.clone(), ownership }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &WebhookEndpoint {
        &self.endpoint
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// When it answered.
    #[must_use]
    pub fn answered(&self) -> Timestamp {
        self.ownership.answered
    }

    #[cfg(feature = "outbox")]
    pub(crate) fn ownership(&self) -> &Ownership {
        &self.ownership
    }
}

/// That an endpoint's receiver has answered a challenge, as it is stored with the endpoint.
///
/// It holds for the tenant, the URL and the key it was proven for: it is signed with that key, so that who can write to
/// the store but has no key cannot make one.
#[derive(Clone, PartialEq, Eq)]
pub struct Ownership {
    answered: Timestamp,
    proof: Box<str>,
}

impl Ownership {
    /// For implementations of `Outbox`: what was stored, as it was stored.
    #[must_use]
    pub fn from_stored(answered: Timestamp, proof: Box<str>) -> Self {
        Self { answered, proof }
    }

    /// When the receiver answered.
    #[must_use]
    pub fn answered(&self) -> Timestamp {
        self.answered
    }

    /// The signature.
    #[must_use]
    pub fn proof(&self) -> &str {
        &self.proof
    }

    #[cfg(any(feature = "deliver", feature = "outbox"))]
    pub(crate) fn prove(key: &SenderKey, tenant: &TenantId, url: &str, answered: Timestamp) -> Self {
        // What is stored has milliseconds.
        let answered = Timestamp::from_unix_millis(answered.as_unix_millis());
        let (tenant, at) = (tenant.as_str(), answered.as_unix_millis());
        let text = format!("{} {tenant} {} {url} {at}", tenant.len(), url.len());
        let mut proof = String::new();
        // INVARIANT: a message has digits here where this has `proof`.
        key.sign(b"ownership", b"proof", text.as_bytes(), &mut proof);
        Self { answered, proof: proof.into() }
    }

    #[cfg(feature = "outbox")]
    pub(crate) fn holds(&self, key: &SenderKey, tenant: &TenantId, url: &str) -> bool {
        let expected = Self::prove(key, tenant, url, self.answered);
        self.proof.as_bytes().ct_eq(expected.proof.as_bytes()).into()
    }
}

impl fmt::Debug for Ownership {
    /// Without the proof.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ownership").field("answered", &self.answered).finish_non_exhaustive()
    }
}
