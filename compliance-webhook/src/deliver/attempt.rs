//! What goes in.

use std::borrow::Cow;
use std::fmt;

#[cfg(feature = "cloud-events")]
use crate::cloud_event::BinaryEvent;
use crate::endpoint::WebhookEndpoint;
#[cfg(feature = "http-signatures")]
use crate::sign::HttpSigner;
use crate::sign::{MessageId, Signer};

/// One message on its way to one endpoint.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    endpoint: &'a WebhookEndpoint,
    id: &'a MessageId,
    payload: &'a [u8],
    content_type: &'a ContentType,
    signer: &'a Signer,
    #[cfg(feature = "http-signatures")]
    http_signer: Option<&'a HttpSigner>,
    #[cfg(feature = "cloud-events")]
    event: Option<&'a BinaryEvent>,
}

impl<'a> Attempt<'a> {
    /// A JSON payload for an endpoint. `id` stays the same on every attempt for the message.
    #[must_use]
    pub fn new(
        endpoint: &'a WebhookEndpoint,
        id: &'a MessageId,
        payload: &'a [u8],
        signer: &'a Signer,
    ) -> Self {
        Self {
            endpoint,
            id,
            payload,
            content_type: &ContentType::JSON,
            signer,
            #[cfg(feature = "http-signatures")]
            http_signer: None,
            #[cfg(feature = "cloud-events")]
            event: None,
        }
    }

    /// Signs the request as RFC 9421 has it, too.
    #[cfg(feature = "http-signatures")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "http-signatures")))]
    #[must_use]
    pub fn with_http_signer(self, signer: &'a HttpSigner) -> Self {
        Self { http_signer: Some(signer), ..self }
    }

    /// Who signs the request as RFC 9421 has it, if anybody.
    #[cfg(feature = "http-signatures")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "http-signatures")))]
    #[must_use]
    pub fn http_signer(&self) -> Option<&'a HttpSigner> {
        self.http_signer
    }

    /// Sends a CloudEvent in binary mode: its attributes as headers, its data as the payload.
    #[cfg(feature = "cloud-events")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "cloud-events")))]
    #[must_use]
    pub fn with_binary_event(self, event: &'a BinaryEvent) -> Self {
        Self { payload: event.data(), content_type: event.content_type(), event: Some(event), ..self }
    }

    /// The CloudEvent in binary mode, if it is one.
    #[cfg(feature = "cloud-events")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "cloud-events")))]
    #[must_use]
    pub fn binary_event(&self) -> Option<&'a BinaryEvent> {
        self.event
    }

    /// Says what the payload is, `application/json` otherwise.
    #[must_use]
    pub fn with_content_type(self, content_type: &'a ContentType) -> Self {
        Self { content_type, ..self }
    }

    /// Where to.
    #[must_use]
    pub fn endpoint(&self) -> &'a WebhookEndpoint {
        self.endpoint
    }

    /// Which message.
    #[must_use]
    pub fn id(&self) -> &'a MessageId {
        self.id
    }

    /// The body.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// What the body is.
    #[must_use]
    pub fn content_type(&self) -> &'a ContentType {
        self.content_type
    }

    /// Who signs.
    #[must_use]
    pub fn signer(&self) -> &'a Signer {
        self.signer
    }
}

impl fmt::Debug for Attempt<'_> {
    /// Without the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("endpoint", self.endpoint)
            .field("id", self.id)
            .field("payload_len_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// The value of `Content-Type`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentType(Cow<'static, str>);

impl ContentType {
    /// The longest value, in bytes.
    pub const MAX_LEN: usize = 128;
    /// `application/json`.
    pub const JSON: Self = Self(Cow::Borrowed("application/json"));
    /// CloudEvents 1.0 in structured mode.
    pub const CLOUDEVENTS_JSON: Self = Self(Cow::Borrowed("application/cloudevents+json"));
    /// Bytes.
    pub const OCTET_STREAM: Self = Self(Cow::Borrowed("application/octet-stream"));

    /// Takes another media type: visible ASCII and single spaces, with a `/`.
    ///
    /// # Errors
    /// [`ContentTypeError`] when it is empty, longer than [`MAX_LEN`](Self::MAX_LEN) bytes, has no `/` or has a
    /// character no header may carry.
    pub fn parse(text: &str) -> Result<Self, ContentTypeError> {
        if text == Self::JSON.as_str() {
            return Ok(Self::JSON);
        }
        let shape = text.len() <= Self::MAX_LEN
            && text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
            && text
                .split(' ')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()));
        if shape { Ok(Self(Cow::Owned(text.to_owned()))) } else { Err(ContentTypeError(())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A content type was not of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("content type is not a media type of at most {max} visible ASCII characters", max = ContentType::MAX_LEN)]
pub struct ContentTypeError(());

impl ContentTypeError {
    /// `deliver.content_type`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "deliver.content_type"
    }
}
