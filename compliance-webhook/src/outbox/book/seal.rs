//! Signing keys and payloads, sealed at rest.

use std::sync::Arc;

use compliance_core::id::TenantId;
use compliance_core::seal::{KeyOwner, KeyStoreErrorKind, OpenErrorKind, SealContext, SealErrorKind, Sealed};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use super::{EndpointBook, EndpointBookError, EndpointBookErrorKind};
use crate::outbox::{EndpointId, EndpointRecord, Leased, NewMessage, OutboxErrorKind};
use crate::sign::{MessageId, SenderKey};

/// What an endpoint's data key is for: destroying it makes the stored secrets unreadable.
const SECRET_KEY: &str = "webhook.secret";

/// The kind of an endpoint's data key for payloads, with the endpoint's id as its owner's name: destroying it erases
/// every sealed payload of the endpoint.
pub const PAYLOAD_KEY: &str = "webhook.payload";

impl EndpointBook {
    /// Seals a message's payload, so that the database and its backups hold no plain text of it; the dispatcher opens
    /// it for each attempt. Inside an async runtime of tokio: the key store may block.
    ///
    /// The sealed form is bound to tenant, endpoint and message: under another id, the outbox does not take it
    /// (`outbox.sealed_for_another`). A message that is sealed stays as it is. Enqueuing a sealed message again under
    /// its idempotency key is not compared with the first: sealing makes other bytes each time.
    ///
    /// # Errors
    /// `endpoint_book.payload_length` for a payload longer than [`Sealed::MAX_VALUE_LEN`],
    /// `endpoint_book.key_store_unavailable` or `endpoint_book.seal` when it cannot be sealed.
    pub async fn seal_payload(&self, message: NewMessage) -> Result<NewMessage, EndpointBookError> {
        if message.is_sealed() {
            return Ok(message);
        }
        let id = match message.id() {
            Some(id) => id.clone(),
            None => MessageId::generate(&self.random)
                .map_err(|_| EndpointBookErrorKind::Outbox(OutboxErrorKind::Random))?,
        };
        let owner = KeyOwner::new(PAYLOAD_KEY, message.endpoint().as_str())
            .map_err(|_| EndpointBookErrorKind::Seal)?
            .of_tenant(message.tenant().clone());
        let (store, random) = (Arc::clone(&self.keys), Arc::clone(&self.random));
        let record = payload_record(message.endpoint(), &id);
        let (message, sealed) = tokio::task::spawn_blocking(move || {
            let context = SealContext::new(PAYLOAD_KEY).tenant(message.tenant()).record(record.as_bytes());
            let sealed = store.seal(&owner, context, message.payload(), &random);
            (message, sealed)
        })
        .await
        .map_err(|_| EndpointBookErrorKind::Seal)?;
        let sealed = sealed.map_err(|error| match error.kind() {
            SealErrorKind::TooLong { found } => EndpointBookErrorKind::PayloadLength { found },
            kind => not_sealed(kind),
        })?;
        Ok(message.sealed(sealed.to_bytes(), id))
    }

    /// The payload in plain text.
    pub(in crate::outbox) async fn open_payload(
        &self,
        tenant: &TenantId,
        leased: &Leased,
    ) -> Result<Zeroizing<Vec<u8>>, EndpointBookError> {
        let sealed = Sealed::from_bytes(&leased.payload).map_err(|_| EndpointBookErrorKind::Seal)?;
        let (store, tenant) = (Arc::clone(&self.keys), tenant.clone());
        let record = payload_record(&leased.endpoint, &leased.id);
        let opened = tokio::task::spawn_blocking(move || {
            let context = SealContext::new(PAYLOAD_KEY).tenant(&tenant).record(record.as_bytes());
            store.open(context, &sealed)
        });
        match opened.await {
            Ok(Ok(opened)) => Ok(Zeroizing::new(opened.as_bytes().to_vec())),
            Ok(Err(error)) if error.kind() == OpenErrorKind::Unavailable => {
                Err(EndpointBookErrorKind::KeyStoreUnavailable.into())
            }
            _ => Err(EndpointBookErrorKind::Seal.into()),
        }
    }

    pub(super) async fn seal(
        &self,
        tenant: &TenantId,
        id: &EndpointId,
        keys: &[&SenderKey],
    ) -> Result<Box<[u8]>, EndpointBookError> {
        let owner = KeyOwner::new(SECRET_KEY, id.as_str()).map_err(|_| EndpointBookErrorKind::Seal)?;
        let owner = owner.of_tenant(tenant.clone());
        let secrets: Vec<_> = keys.iter().map(|key| key.to_secret()).collect();
        let len = secrets.iter().map(|secret| secret.expose_secret().len().saturating_add(1)).sum();
        // The final capacity at once: growing would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(len));
        for secret in &secrets {
            text.push_str(secret.expose_secret());
            text.push('\n');
        }
        let (store, random) = (Arc::clone(&self.keys), Arc::clone(&self.random));
        let (tenant, id) = (tenant.clone(), id.clone());
        let sealed = tokio::task::spawn_blocking(move || {
            let context = SealContext::new(SECRET_KEY).tenant(&tenant).record(id.as_str().as_bytes());
            store.seal(&owner, context, text.as_bytes(), &random)
        });
        match sealed.await {
            Ok(Ok(sealed)) => Ok(sealed.to_bytes().into()),
            Ok(Err(error)) => Err(not_sealed(error.kind()).into()),
            Err(_) => Err(EndpointBookErrorKind::Seal.into()),
        }
    }

    pub(super) async fn unseal(&self, record: &EndpointRecord) -> Result<Vec<SenderKey>, EndpointBookError> {
        let sealed = Sealed::from_bytes(&record.sealed_keys).map_err(|_| EndpointBookErrorKind::Seal)?;
        let (store, tenant, id) = (Arc::clone(&self.keys), record.tenant.clone(), record.id.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let context = SealContext::new(SECRET_KEY).tenant(&tenant).record(id.as_str().as_bytes());
            store.open(context, &sealed)
        });
        let opened = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) if error.kind() == OpenErrorKind::Unavailable => {
                return Err(EndpointBookErrorKind::KeyStoreUnavailable.into());
            }
            _ => return Err(EndpointBookErrorKind::Seal.into()),
        };
        let text = std::str::from_utf8(opened.as_bytes()).map_err(|_| EndpointBookErrorKind::Seal)?;
        let keys = text.lines().map(SenderKey::parse).collect::<Result<_, _>>();
        keys.map_err(|_| EndpointBookErrorKind::Seal.into())
    }
}

fn not_sealed(kind: SealErrorKind) -> EndpointBookErrorKind {
    match kind {
        SealErrorKind::KeyStore(KeyStoreErrorKind::Unavailable) => EndpointBookErrorKind::KeyStoreUnavailable,
        _ => EndpointBookErrorKind::Seal,
    }
}

/// What a sealed payload belongs to: an endpoint's id has no slash.
fn payload_record(endpoint: &EndpointId, id: &MessageId) -> String {
    format!("{endpoint}/{}", id.as_str())
}
