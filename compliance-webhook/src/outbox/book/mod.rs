//! Endpoints and their signing keys, in and out of a store.

mod record;
mod seal;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::class::Internal;
use compliance_core::clock::{Clock, SystemClock};
use compliance_core::event::{Actor, EventBuilder, EventKind, Sink};
use compliance_core::finding::ReasonCode;
use compliance_core::id::TenantId;
use compliance_core::random::{SecureRandom, SystemRandom};
use compliance_core::reason_code;
use compliance_core::seal::{KeyStore, Sealed};
use secrecy::ExposeSecret as _;

#[cfg(feature = "cloud-events")]
use super::CloudEventsMode;
#[cfg(feature = "http-signatures")]
use super::SignatureProfile;
use super::{
    DeliveryProfile, EndpointId, EndpointRecord, EndpointState, Instruction, Outbox, OutboxError,
    OutboxErrorKind, Replay,
};
use crate::endpoint::{EndpointError, EndpointPolicy, EndpointReason, WebhookEndpoint};
use crate::handshake::{OwnedEndpoint, Ownership};
use crate::schedule::Rate;
#[cfg(feature = "http-signatures")]
use crate::sign::HttpSigner;
use crate::sign::{SenderKey, Signer};

pub use self::seal::PAYLOAD_KEY;

/// Registers endpoints, and opens what was registered: the URL through the policy's check, the signing keys
/// through the key store.
///
/// Signing keys are sealed at rest, bound to tenant and endpoint.
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::SystemClock;
/// use compliance_core::id::TenantId;
/// use compliance_core::random::SystemRandom;
/// use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
/// use compliance_webhook::outbox::{EndpointBook, MemoryOutbox, Outbox as _};
/// use compliance_webhook::{EndpointPolicy, SigningKey};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let outbox = MemoryOutbox::new(Arc::new(SystemClock), Arc::new(SystemRandom));
/// let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32])?);
/// let book = EndpointBook::new(EndpointPolicy::new(), Arc::new(keys));
///
/// let endpoint = book.policy().check("https://hooks.example.net/in")?;
/// let key = SigningKey::generate(&SystemRandom)?;
/// let id = book.register(&outbox, &TenantId::new("acme")?, &endpoint, &key).await?;
///
/// let stored = outbox.endpoint(&id).await?.expect("it was registered");
/// assert_eq!(stored.url(), "https://hooks.example.net/in");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EndpointBook {
    policy: EndpointPolicy,
    keys: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    sink: Option<Arc<dyn Sink>>,
    actor: Actor,
    demands_ownership: bool,
}

impl fmt::Debug for EndpointBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBook")
            .field("policy", &self.policy)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

/// An endpoint that may be used now.
#[derive(Debug)]
pub(super) struct OpenEndpoint {
    pub(super) endpoint: WebhookEndpoint,
    pub(super) signer: Signer,
    #[cfg(feature = "http-signatures")]
    pub(super) http_signer: Option<HttpSigner>,
    #[cfg(feature = "cloud-events")]
    pub(super) events: CloudEventsMode,
    pub(super) revision: i64,
}

impl EndpointBook {
    /// A book under a policy, with its keys in a store. The system's clock and random source.
    #[must_use]
    pub fn new(policy: EndpointPolicy, keys: Arc<dyn KeyStore>) -> Self {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        Self { policy, keys, clock, random, sink: None, actor: Actor::System, demands_ownership: false }
    }

    /// Records what happens to endpoints, before it happens; what the sink does not take does not happen. But what only
    /// takes something away, switching off and [revoking](Self::revoke_instruction), happens first: nothing more leaves
    /// because the sink is away.
    #[must_use]
    pub fn with_sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Takes only endpoints whose receiver has answered a challenge: [`register_owned`](Self::register_owned) and
    /// [`move_to_owned`](Self::move_to_owned) remain. What nobody has shown to be theirs gets nothing: the proof is
    /// stored with the endpoint and looked at when a dispatcher opens it, and holds for the tenant, the URL and the key
    /// it was made for. An endpoint from before is proven with [`move_to_owned`](Self::move_to_owned) to the URL it
    /// has; [`EndpointRecord::ownership`] tells which are.
    ///
    /// Not so unless told, since a receiver has to be built to answer.
    #[must_use]
    pub fn demanding_ownership(mut self) -> Self {
        self.demands_ownership = true;
        self
    }

    /// On whose behalf endpoints are changed, for the record: `book.acting_as(actor).rotate(…)`. The service itself
    /// unless said otherwise.
    #[must_use]
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }

    /// Goes by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Draws endpoint ids and nonces from another source.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }

    /// How long an answer to a challenge counts: an hour. Whoever has the name by then may be somebody else.
    pub const OWNERSHIP_LIFETIME: Duration = Duration::from_secs(3600);

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &EndpointPolicy {
        &self.policy
    }

    /// Stores an endpoint with its signing key. Inside an async runtime of tokio: the key store may block.
    ///
    /// # Errors
    /// [`EndpointBookError`]: `endpoint_book.not_owned` when this book [demands](Self::demanding_ownership) a proof,
    /// the code of the policy's refusal when this book's policy does not accept the endpoint, `endpoint_book.seal` when
    /// the key cannot be sealed, the store's code when it fails.
    pub async fn register(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        endpoint: &WebhookEndpoint,
        key: impl Into<SenderKey>,
    ) -> Result<EndpointId, EndpointBookError> {
        self.may_be_unproven()?;
        self.store(outbox, tenant, endpoint, key.into(), None).await
    }

    /// Stores an endpoint whose receiver has answered a challenge under `key` in the last
    /// [hour](Self::OWNERSHIP_LIFETIME). One answer is for one registration.
    ///
    /// # Errors
    /// As [`register`](Self::register); `endpoint_book.not_owned` when the answer is older, not of the past, or was for
    /// another tenant or key.
    pub async fn register_owned(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        owned: OwnedEndpoint,
        key: impl Into<SenderKey>,
    ) -> Result<EndpointId, EndpointBookError> {
        let key = key.into();
        let ownership = self.proven(&owned, tenant, &key)?;
        self.store(outbox, tenant, owned.endpoint(), key, Some(ownership)).await
    }

    fn may_be_unproven(&self) -> Result<(), EndpointBookError> {
        if self.demands_ownership { Err(EndpointBookErrorKind::NotOwned.into()) } else { Ok(()) }
    }

    fn proven(
        &self,
        owned: &OwnedEndpoint,
        tenant: &TenantId,
        key: &SenderKey,
    ) -> Result<Ownership, EndpointBookError> {
        let (now, ownership) = (self.clock.now(), owned.ownership());
        let answered = owned.answered();
        let is_fresh = answered <= now && now.saturating_since(answered) <= Self::OWNERSHIP_LIFETIME;
        if is_fresh && owned.tenant() == tenant && ownership.holds(key, tenant, owned.endpoint().as_str()) {
            Ok(ownership.clone())
        } else {
            Err(EndpointBookErrorKind::NotOwned.into())
        }
    }

    async fn store(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        endpoint: &WebhookEndpoint,
        key: SenderKey,
        ownership: Option<Ownership>,
    ) -> Result<EndpointId, EndpointBookError> {
        self.policy.check_at(endpoint.as_str(), self.clock.now())?;
        let id = EndpointId::generate(&self.random)
            .map_err(|_| EndpointBookErrorKind::Outbox(OutboxErrorKind::Random))?;
        let record = EndpointRecord {
            sealed_keys: self.seal(tenant, &id, &[&key]).await?,
            id: id.clone(),
            tenant: tenant.clone(),
            url: endpoint.as_str().into(),
            state: EndpointState::Enabled,
            revision: 1,
            failing_since: None,
            rate: None,
            instruction: None,
            profile: DeliveryProfile::default(),
            ownership,
        };
        self.record(EventKind::WebhookEndpointCreated, &record, |event| event).await?;
        outbox.save_endpoint(&record).await?;
        Ok(id)
    }

    /// Changes the URL. Messages that wait go to the new one; what a dispatcher has already claimed may still go to
    /// the old one for a second, and what fails there is tried at the new one.
    ///
    /// A client's instruction names a recipient, so it ends with another URL: [`instruct`](Self::instruct) again before
    /// messages it covered are claimed, or they are given up.
    ///
    /// # Errors
    /// As [`register`](Self::register); `outbox.endpoint_unknown` when there is no such endpoint of the tenant,
    /// or it was changed at the same time.
    pub async fn move_to(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
        endpoint: &WebhookEndpoint,
    ) -> Result<(), EndpointBookError> {
        self.may_be_unproven()?;
        let record = self.next_revision(outbox, tenant, id).await?;
        self.change_url(outbox, record, endpoint, None).await
    }

    /// Changes the URL to one whose receiver has answered a challenge under the endpoint's current key; the proof is
    /// stored with it. See [`move_to`](Self::move_to). It may be the URL the endpoint has.
    ///
    /// # Errors
    /// As [`register_owned`](Self::register_owned) and [`move_to`](Self::move_to); `endpoint_book.seal` when the stored
    /// keys cannot be opened.
    pub async fn move_to_owned(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
        owned: OwnedEndpoint,
    ) -> Result<(), EndpointBookError> {
        let record = self.next_revision(outbox, tenant, id).await?;
        let keys = self.unseal(&record).await?;
        let key = keys.first().ok_or(EndpointBookErrorKind::Seal)?;
        let ownership = self.proven(&owned, tenant, key)?;
        self.change_url(outbox, record, owned.endpoint(), Some(ownership)).await
    }

    async fn change_url(
        &self,
        outbox: &impl Outbox,
        mut record: EndpointRecord,
        endpoint: &WebhookEndpoint,
        ownership: Option<Ownership>,
    ) -> Result<(), EndpointBookError> {
        self.policy.check_at(endpoint.as_str(), self.clock.now())?;
        let mut what = "url";
        if *record.url != *endpoint.as_str() && record.instruction.take().is_some() {
            what = "url_and_instruction";
        }
        record.url = endpoint.as_str().into();
        // What was proven was proven of the other URL.
        record.ownership = ownership;
        record.failing_since = None;
        self.changed(&record, what).await?;
        Ok(outbox.save_endpoint(&record).await?)
    }

    /// Signs with `key` from now on, and with the previous key beside it, so that the receiver can change over
    /// without an outage. Rotating again, or rotating to the same key, drops the older one. A proof of ownership that
    /// holds under the key so far is carried over: the URL stays.
    ///
    /// # Errors
    /// As [`move_to`](Self::move_to), and `endpoint_book.seal` when the stored keys cannot be opened.
    pub async fn rotate(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
        key: impl Into<SenderKey>,
    ) -> Result<(), EndpointBookError> {
        let key = key.into();
        let mut record = self.next_revision(outbox, tenant, id).await?;
        let stored = self.unseal(&record).await?;
        let previous = stored.first().filter(|stored| {
            // Only the endpoint's owner learns how long this takes.
            stored.to_secret().expose_secret() != key.to_secret().expose_secret()
        });
        let keys: Vec<&SenderKey> = std::iter::once(&key).chain(previous).collect();
        record.ownership = record
            .ownership
            .filter(|it| stored.first().is_some_and(|stored| it.holds(stored, tenant, &record.url)))
            .map(|it| Ownership::prove(&key, tenant, &record.url, it.answered()));
        record.sealed_keys = self.seal(tenant, id, &keys).await?;
        self.record(EventKind::WebhookSecretRotated, &record, |event| event).await?;
        Ok(outbox.save_endpoint(&record).await?)
    }

    /// Switches an endpoint on or off. Messages for one that is off are taken and wait; what a dispatcher has claimed
    /// goes out for another second at most.
    ///
    /// # Errors
    /// As [`move_to`](Self::move_to); with `endpoint_book.unrecorded` it is switched off all the same.
    pub async fn switch(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
        state: EndpointState,
    ) -> Result<(), EndpointBookError> {
        let mut record = self.next_revision(outbox, tenant, id).await?;
        record.failing_since = None;
        record.state = state;
        match &record.state {
            EndpointState::Disabled { code } => {
                outbox.save_endpoint(&record).await?;
                let told = |event: EventBuilder| event.field("code", Internal(&**code));
                self.record(EventKind::WebhookEndpointDisabled, &record, told).await
            }
            EndpointState::Enabled => {
                self.changed(&record, "enabled").await?;
                Ok(outbox.save_endpoint(&record).await?)
            }
        }
    }

    /// Keeps to a rate, such as the one a receiver allowed in a handshake; `None` takes the limit away. It counts for
    /// each dispatcher.
    ///
    /// # Errors
    /// As [`move_to`](Self::move_to).
    pub async fn limit_rate(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
        rate: Option<Rate>,
    ) -> Result<(), EndpointBookError> {
        let mut record = self.next_revision(outbox, tenant, id).await?;
        record.rate = rate;
        self.changed(&record, "rate").await?;
        Ok(outbox.save_endpoint(&record).await?)
    }

    /// Signs and writes messages so from now on.
    ///
    /// # Errors
    /// As [`move_to`](Self::move_to); `endpoint_book.profile` when this build lacks the feature the profile takes. A
    /// dispatcher without it delivers nothing to the endpoint, with the same code.
    pub async fn deliver_as(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
        profile: DeliveryProfile,
    ) -> Result<(), EndpointBookError> {
        if !profile.is_supported() {
            return Err(EndpointBookErrorKind::Profile.into());
        }
        let mut record = self.next_revision(outbox, tenant, id).await?;
        record.profile = profile;
        self.changed(&record, "profile").await?;
        Ok(outbox.save_endpoint(&record).await?)
    }

    /// Has data of these classes sent to the endpoint from now on, for this purpose. Replaces an earlier instruction.
    ///
    /// # Errors
    /// As [`move_to`](Self::move_to); `endpoint_book.unrecorded` when the sink did not record it, or the book has none:
    /// an instruction that nobody can show later is none.
    pub async fn instruct(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
        instruction: Instruction,
    ) -> Result<(), EndpointBookError> {
        if self.sink.is_none() {
            return Err(EndpointBookErrorKind::Unrecorded.into());
        }
        let mut record = self.next_revision(outbox, tenant, id).await?;
        self.instructed(&record, &instruction).await?;
        record.instruction = Some(instruction);
        Ok(outbox.save_endpoint(&record).await?)
    }

    /// Takes the endpoint's instruction back. Messages it covered are given up, with `dispatch.not_instructed`, as soon
    /// as they are claimed; a dispatcher that has claimed some sends them for another second at most. What is under way
    /// cannot be called back.
    ///
    /// # Errors
    /// As [`move_to`](Self::move_to); with `endpoint_book.unrecorded` it is taken back all the same.
    pub async fn revoke_instruction(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
    ) -> Result<(), EndpointBookError> {
        let mut record = self.next_revision(outbox, tenant, id).await?;
        record.instruction = None;
        outbox.save_endpoint(&record).await?;
        self.changed(&record, "instruction_revoked").await
    }

    /// Sends settled messages of one of the tenant's endpoints again, and says how many.
    ///
    /// # Errors
    /// As [`move_to`](Self::move_to).
    pub async fn replay(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        replay: &Replay,
    ) -> Result<u64, EndpointBookError> {
        let (Replay::Message { endpoint, .. }
        | Replay::Dead { endpoint, .. }
        | Replay::Settled { endpoint, .. }) = replay;
        let record = outbox.endpoint(endpoint).await?.filter(|record| record.tenant() == tenant);
        let record = record.ok_or(OutboxError::from(OutboxErrorKind::EndpointUnknown))?;
        self.replayed(&record, replay).await?;
        Ok(outbox.replay(replay).await?)
    }

    /// Turns a record into something that can be dialled, as of now.
    pub(super) async fn open(&self, record: &EndpointRecord) -> Result<OpenEndpoint, EndpointBookError> {
        let endpoint = self.policy.check_at(&record.url, self.clock.now())?;
        if !record.profile.is_supported() {
            return Err(EndpointBookErrorKind::Profile.into());
        }
        let mut keys = self.unseal(record).await?.into_iter();
        let first = keys.next().ok_or(EndpointBookErrorKind::Seal)?;
        let is_owned = |it: &Ownership| it.holds(&first, &record.tenant, &record.url);
        if self.demands_ownership && !record.ownership().is_some_and(is_owned) {
            return Err(EndpointBookErrorKind::NotOwned.into());
        }
        #[cfg(feature = "http-signatures")]
        let http_signer = match &record.profile.signatures {
            SignatureProfile::StandardWebhooks => None,
            SignatureProfile::HttpSignature { key_id } => Some(HttpSigner::new(key_id.clone(), &first)),
        };
        let signer = keys
            .try_fold(Signer::new(first), Signer::with_previous)
            .map_err(|_| EndpointBookErrorKind::Seal)?;
        Ok(OpenEndpoint {
            endpoint,
            signer,
            #[cfg(feature = "http-signatures")]
            http_signer,
            #[cfg(feature = "cloud-events")]
            events: record.profile.events,
            revision: record.revision,
        })
    }

    async fn next_revision(
        &self,
        outbox: &impl Outbox,
        tenant: &TenantId,
        id: &EndpointId,
    ) -> Result<EndpointRecord, EndpointBookError> {
        let record = outbox.endpoint(id).await?.filter(|record| record.tenant() == tenant);
        let mut record = record.ok_or(OutboxError::from(OutboxErrorKind::EndpointUnknown))?;
        record.revision = record.revision.saturating_add(1);
        Ok(record)
    }
}

/// An endpoint could not be stored or used. Never carries URL or keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct EndpointBookError {
    kind: EndpointBookErrorKind,
}

/// Why an endpoint could not be stored or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointBookErrorKind {
    /// The policy does not accept it.
    #[error("endpoint refused: {0}")]
    Endpoint(EndpointReason),
    /// The key store does not answer.
    #[error("the key store is not available")]
    KeyStoreUnavailable,
    /// Nobody has shown that it is theirs.
    #[error("no challenge was answered in time for this tenant, url and key")]
    NotOwned,
    /// The outbox failed.
    #[error("outbox: {0}")]
    Outbox(OutboxErrorKind),
    /// Longer than what can be sealed.
    #[error("payload is {found} bytes, at most {max} can be sealed", max = Sealed::MAX_VALUE_LEN)]
    PayloadLength {
        /// Its length in bytes.
        found: usize,
    },
    /// This build lacks a feature.
    #[error("the endpoint is delivered to in a way this build has no feature for")]
    Profile,
    /// Signing keys or payload could not be sealed or opened.
    #[error("the signing keys or the payload cannot be sealed or opened")]
    Seal,
    /// The sink did not record it.
    #[error("the sink did not record it")]
    Unrecorded,
}

impl EndpointBookError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> EndpointBookErrorKind {
        self.kind
    }

    /// The stable code: `endpoint.…`, `outbox.…`, `endpoint_book.key_store_unavailable`, `endpoint_book.not_owned`,
    /// `endpoint_book.payload_length`, `endpoint_book.profile`, `endpoint_book.seal` or `endpoint_book.unrecorded`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            EndpointBookErrorKind::Endpoint(reason) => EndpointError::from(reason).code(),
            EndpointBookErrorKind::Outbox(kind) => OutboxError::from(kind).code(),
            _ => self.reason_code().as_str(),
        }
    }

    /// The code that stands in the store as a message's last failure.
    pub(super) fn reason_code(&self) -> ReasonCode {
        use compliance_core::finding::Reason as _;
        match self.kind {
            EndpointBookErrorKind::Endpoint(reason) => reason.code(),
            EndpointBookErrorKind::KeyStoreUnavailable => reason_code!("endpoint_book.key_store_unavailable"),
            EndpointBookErrorKind::NotOwned => reason_code!("endpoint_book.not_owned"),
            EndpointBookErrorKind::Outbox(_) => reason_code!("endpoint_book.outbox"),
            EndpointBookErrorKind::PayloadLength { .. } => reason_code!("endpoint_book.payload_length"),
            EndpointBookErrorKind::Profile => reason_code!("endpoint_book.profile"),
            EndpointBookErrorKind::Seal => reason_code!("endpoint_book.seal"),
            EndpointBookErrorKind::Unrecorded => reason_code!("endpoint_book.unrecorded"),
        }
    }

    /// Whether trying again may help without anybody changing the endpoint: the store or the keys are away.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.kind, EndpointBookErrorKind::KeyStoreUnavailable | EndpointBookErrorKind::Outbox(_))
    }
}

impl From<EndpointBookErrorKind> for EndpointBookError {
    fn from(kind: EndpointBookErrorKind) -> Self {
        Self { kind }
    }
}

impl From<EndpointError> for EndpointBookError {
    fn from(error: EndpointError) -> Self {
        EndpointBookErrorKind::Endpoint(error.reason()).into()
    }
}

impl From<OutboxError> for EndpointBookError {
    fn from(error: OutboxError) -> Self {
        EndpointBookErrorKind::Outbox(error.kind()).into()
    }
}
