//! What is enqueued.

use std::fmt;

use compliance_core::class::{DataClass, Purpose};
use compliance_core::id::TenantId;

use super::{DataClasses, EndpointId, EventPayload, OutboxError, OutboxErrorKind};
#[cfg(feature = "cloud-events")]
use crate::cloud_event::CloudEvent;
use crate::deliver::ContentType;
use crate::sign::MessageId;

/// A message to be enqueued for one endpoint of one tenant.
///
/// ```
/// use compliance_core::id::TenantId;
/// use compliance_webhook::outbox::{EndpointId, NewMessage};
///
/// let (acme, endpoint) = (TenantId::new("acme")?, EndpointId::parse("ep_7")?);
/// let message = NewMessage::impersonal(&acme, &endpoint, br#"{"type":"user.created"}"#)?
///     .with_idempotency_key("signup:4711")?;
/// assert_eq!(message.payload().len(), 23);
///
/// let large = vec![b' '; NewMessage::MAX_PAYLOAD_LEN + 1];
/// assert_eq!(NewMessage::impersonal(&acme, &endpoint, large).unwrap_err().code(), "message.payload_length");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct NewMessage {
    tenant: TenantId,
    endpoint: EndpointId,
    payload: Box<[u8]>,
    content_type: ContentType,
    id: Option<MessageId>,
    idempotency_key: Option<Box<str>>,
    ordering_key: Option<Box<str>>,
    classes: DataClasses,
    purpose: Option<Purpose>,
    /// For which message the payload is sealed.
    sealed_for: Option<MessageId>,
}

impl NewMessage {
    /// The largest payload, in bytes. Standard Webhooks advises to stay below 20 kB and to send references
    /// instead of data.
    pub const MAX_PAYLOAD_LEN: usize = 256 * 1024;
    /// The longest idempotency or ordering key, in bytes.
    pub const MAX_KEY_LEN: usize = 255;

    /// A JSON payload for an endpoint. It gets its [`MessageId`] when it is enqueued. Whoever calls this says that the payload
    /// holds public and internal data alone, and nobody looks: where it does not, add [the others](Self::with_classes), or
    /// have an [`EventPayload`](super::EventPayload) know.
    ///
    /// # Errors
    /// `message.payload_length` past [`MAX_PAYLOAD_LEN`](Self::MAX_PAYLOAD_LEN).
    pub fn impersonal(
        tenant: &TenantId,
        endpoint: &EndpointId,
        payload: impl Into<Vec<u8>>,
    ) -> Result<Self, NewMessageError> {
        let payload = payload.into();
        let found = payload.len();
        if found > Self::MAX_PAYLOAD_LEN {
            return Err(NewMessageError::PayloadLength { found });
        }
        Ok(Self {
            tenant: tenant.clone(),
            endpoint: endpoint.clone(),
            payload: payload.into(),
            content_type: ContentType::JSON,
            id: None,
            idempotency_key: None,
            ordering_key: None,
            classes: DataClasses::NONE,
            purpose: None,
            sealed_for: None,
        })
    }

    /// A CloudEvent for an endpoint, under the event's id, in structured mode; an endpoint in
    /// [binary mode](super::CloudEventsMode::Binary) gets it in binary mode.
    ///
    /// # Errors
    /// As [`impersonal`](Self::impersonal).
    #[cfg(feature = "cloud-events")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "cloud-events")))]
    pub fn event(
        tenant: &TenantId,
        endpoint: &EndpointId,
        event: &CloudEvent,
    ) -> Result<Self, NewMessageError> {
        let mut message = Self::impersonal(tenant, endpoint, event.structured())?;
        message.content_type = ContentType::CLOUDEVENTS_JSON;
        // Another system's event may have an id no message can have.
        message.id = MessageId::parse(event.id()).ok();
        Ok(message)
    }

    /// Says what the payload is, `application/json` otherwise.
    #[must_use]
    pub fn with_content_type(mut self, content_type: ContentType) -> Self {
        self.content_type = content_type;
        self
    }

    /// Gives the message an id of one's own: for the same message to several endpoints. Enqueuing the same id
    /// twice for one endpoint is enqueuing it once. Before it is sealed.
    #[must_use]
    pub fn with_id(mut self, id: MessageId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says that the payload holds data of these classes, and what it is sent for. It is enqueued, and leaves, only as
    /// long as an [`Instruction`](super::Instruction) of the endpoint's client covers them.
    ///
    /// # Errors
    /// `message.secret` when secrets are among them: there is no instruction for those.
    pub fn with_classes(mut self, classes: &[DataClass], purpose: Purpose) -> Result<Self, NewMessageError> {
        if classes.contains(&DataClass::Secret) {
            return Err(NewMessageError::Secret);
        }
        self.classes = self.classes.and(DataClasses::of(classes));
        self.purpose = if self.classes.is_none() { None } else { Some(purpose) };
        Ok(self)
    }

    /// Puts a sealed payload in the place of the plain one.
    pub(super) fn sealed(mut self, sealed: Vec<u8>, id: MessageId) -> Self {
        self.payload = sealed.into();
        self.sealed_for = Some(id.clone());
        self.id = Some(id);
        self
    }

    /// Without its payload.
    pub(super) fn blank(&mut self) {
        self.payload = Box::default();
    }

    /// A payload sealed for another message would not open.
    pub(super) fn check_seal(&self) -> Result<(), OutboxError> {
        if self.sealed_for.is_none() || self.sealed_for == self.id {
            Ok(())
        } else {
            Err(OutboxErrorKind::SealedForAnother.into())
        }
    }

    /// Makes enqueuing repeatable: a second message with this key for the same endpoint is not enqueued, and
    /// the first one's id is returned. Holds as long as the first message is retained. Printable ASCII.
    ///
    /// # Errors
    /// `message.key` when the key is empty, longer than [`MAX_KEY_LEN`](Self::MAX_KEY_LEN) bytes or has another
    /// character.
    ///
    /// # Security
    /// The key is stored as it is and never sent. Make it from surrogate ids, not from personal data.
    pub fn with_idempotency_key(mut self, key: &str) -> Result<Self, NewMessageError> {
        self.idempotency_key = Some(checked_key(key)?);
        Ok(self)
    }

    /// Keeps messages with this key for the same endpoint in order, those enqueued by one transaction after the other:
    /// one is not sent before all that were enqueued earlier are delivered or given up. Printable ASCII; say which
    /// thing the message is about, such as `order:4711`.
    ///
    /// A message that is tried again and again holds up those behind it for as long: up to the whole of its schedule.
    ///
    /// # Errors
    /// `message.key` when the key is empty, longer than [`MAX_KEY_LEN`](Self::MAX_KEY_LEN) bytes or has another
    /// character.
    ///
    /// # Security
    /// As for [`with_idempotency_key`](Self::with_idempotency_key).
    pub fn with_ordering_key(mut self, key: &str) -> Result<Self, NewMessageError> {
        self.ordering_key = Some(checked_key(key)?);
        Ok(self)
    }

    /// Whose endpoint.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Where to.
    #[must_use]
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// The body.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What the body is.
    #[must_use]
    pub fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// The id it was given, if any.
    #[must_use]
    pub fn id(&self) -> Option<&MessageId> {
        self.id.as_ref()
    }

    /// The key it was given, if any.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// Which classes of data the payload holds.
    #[must_use]
    pub fn classes(&self) -> DataClasses {
        self.classes
    }

    /// What such data are sent for.
    #[must_use]
    pub fn purpose(&self) -> Option<&Purpose> {
        self.purpose.as_ref()
    }

    /// Whether [`payload`](Self::payload) is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.sealed_for.is_some()
    }

    /// The key it is kept in order by, if any.
    #[must_use]
    pub fn ordering_key(&self) -> Option<&str> {
        self.ordering_key.as_deref()
    }
}

impl fmt::Debug for NewMessage {
    /// Without payload and key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewMessage")
            .field("tenant", &self.tenant)
            .field("endpoint", &self.endpoint)
            .field("payload_len_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

fn checked_key(key: &str) -> Result<Box<str>, NewMessageError> {
    let fits = (1..=NewMessage::MAX_KEY_LEN).contains(&key.len());
    if fits && key.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Ok(key.into())
    } else {
        Err(NewMessageError::Key { found: key.len() })
    }
}

/// A message that cannot be enqueued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NewMessageError {
    /// The type of an event.
    #[error(
        "event type is {found} bytes of another shape, expected up to {max} bytes like `user.created`",
        max = EventPayload::MAX_TYPE_LEN
    )]
    EventType {
        /// Its length in bytes.
        found: usize,
    },
    /// The idempotency or ordering key.
    #[error(
        "key is {found} bytes, expected 1 to {max} printable ASCII characters",
        max = NewMessage::MAX_KEY_LEN
    )]
    Key {
        /// Its length in bytes.
        found: usize,
    },
    /// The payload.
    #[error("payload is {found} bytes, at most {max} allowed", max = NewMessage::MAX_PAYLOAD_LEN)]
    PayloadLength {
        /// Its length in bytes.
        found: usize,
    },
    /// A class that never leaves.
    #[error("secrets are not sent in payloads")]
    Secret,
}

impl NewMessageError {
    /// `message.event_type`, `message.key`, `message.payload_length` or `message.secret`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EventType { .. } => "message.event_type",
            Self::Key { .. } => "message.key",
            Self::PayloadLength { .. } => "message.payload_length",
            Self::Secret => "message.secret",
        }
    }
}

/// Something written in a transaction that may still be rolled back.
///
/// It is worth nothing until the caller has committed and exchanged it, for a message with
/// `SqliteOutbox::confirm` or `PostgresOutbox::confirm`.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(compliance_docsrs, doc(cfg(any(feature = "sqlite", feature = "postgres"))))]
#[derive(Debug, PartialEq, Eq)]
#[must_use = "exchange it after the commit"]
pub struct Uncommitted<T> {
    value: T,
    endpoint: EndpointId,
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl<T> Uncommitted<T> {
    pub(super) fn new(value: T, endpoint: &EndpointId) -> Self {
        Self { value, endpoint: endpoint.clone() }
    }

    /// What it will be if the transaction commits: for the response of a handler that commits later.
    #[must_use]
    pub fn tentative(&self) -> &T {
        &self.value
    }

    /// An id alone may be another endpoint's message, too.
    pub(super) fn into_parts(self) -> (T, EndpointId) {
        (self.value, self.endpoint)
    }
}
