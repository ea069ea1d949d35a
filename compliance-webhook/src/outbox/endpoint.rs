//! Endpoints as the store keeps them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compliance_core::clock::Timestamp;
use compliance_core::finding::Enforcement;
use compliance_core::id::TenantId;
use compliance_core::random::{RandomError, SecureRandom};

use super::{DeliveryProfile, Disclosure, Instruction, NewMessage, OutboxError, OutboxErrorKind};
use crate::handshake::Ownership;
use crate::schedule::Rate;

/// The name of a registered endpoint: what the service keeps with its customer.
///
/// 1 to [`MAX_LEN`](Self::MAX_LEN) characters of `[A-Za-z0-9_-]`.
///
/// ```
/// use compliance_core::random::SystemRandom;
/// use compliance_webhook::outbox::EndpointId;
///
/// assert!(EndpointId::generate(&SystemRandom)?.as_str().starts_with("ep_"));
/// assert_eq!(EndpointId::parse("a b").unwrap_err().code(), "outbox.endpoint_id");
/// # Ok::<(), compliance_core::random::RandomError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(Arc<str>);

impl EndpointId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks and takes an id.
    ///
    /// # Errors
    /// `outbox.endpoint_id` on another length or another character.
    pub fn parse(text: &str) -> Result<Self, EndpointIdError> {
        let shaped = (1..=Self::MAX_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if shaped { Ok(Self(text.into())) } else { Err(EndpointIdError { found: text.len() }) }
    }

    /// Makes one: `ep_` and 128 random bits.
    ///
    /// # Errors
    /// [`RandomError`] when the random source fails.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        let mut text = String::from("ep_");
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EndpointId {
    type Err = EndpointIdError;

    fn from_str(text: &str) -> Result<Self, EndpointIdError> {
        Self::parse(text)
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointId({})", self.0)
    }
}

/// An endpoint id was not of its shape. Never carries the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "endpoint id is {found} bytes, expected 1 to {max} letters, digits, hyphens and underscores",
    max = EndpointId::MAX_LEN
)]
pub struct EndpointIdError {
    found: usize,
}

impl EndpointIdError {
    /// `outbox.endpoint_id`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "outbox.endpoint_id"
    }
}

/// Whether messages go to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm is where a switched-off endpoint gets messages")]
pub enum EndpointState {
    /// Switched off: by its owner, or because the receiver said 410 or failed for days. Messages for it are
    /// taken and wait.
    Disabled {
        /// Why: the operator code of a refusal, such as `deliver.gone`, or one of the service's own, such as
        /// `console.owner`. It is recorded; put no input there.
        code: Box<str>,
    },
    /// Messages go out.
    Enabled,
}

/// An endpoint as a store keeps it: the URL as text and the signing keys sealed.
///
/// It is no proof of anything. [`EndpointBook`](super::EndpointBook) makes it from a
/// [`WebhookEndpoint`](crate::WebhookEndpoint) and turns it back through the policy's check.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointRecord {
    pub(super) id: EndpointId,
    pub(super) tenant: TenantId,
    pub(super) url: Box<str>,
    pub(super) sealed_keys: Box<[u8]>,
    pub(super) state: EndpointState,
    pub(super) revision: i64,
    pub(super) failing_since: Option<Timestamp>,
    pub(super) rate: Option<Rate>,
    pub(super) instruction: Option<Instruction>,
    pub(super) profile: DeliveryProfile,
    pub(super) ownership: Option<Ownership>,
}

impl EndpointRecord {
    /// For implementations of [`Outbox`](super::Outbox): what was stored, as it was stored.
    #[must_use]
    pub fn from_stored(
        id: EndpointId,
        tenant: TenantId,
        url: Box<str>,
        sealed_keys: Box<[u8]>,
        state: EndpointState,
        revision: i64,
        failing_since: Option<Timestamp>,
    ) -> Self {
        Self {
            id,
            tenant,
            url,
            sealed_keys,
            state,
            revision,
            failing_since,
            rate: None,
            instruction: None,
            profile: DeliveryProfile::default(),
            ownership: None,
        }
    }

    /// For implementations of [`Outbox`](super::Outbox): with the rate that was stored.
    #[must_use]
    pub fn with_rate(self, rate: Option<Rate>) -> Self {
        Self { rate, ..self }
    }

    /// For implementations of [`Outbox`](super::Outbox): with the instruction that was stored.
    #[must_use]
    pub fn with_instruction(self, instruction: Option<Instruction>) -> Self {
        Self { instruction, ..self }
    }

    /// For implementations of [`Outbox`](super::Outbox): with the profile that was stored.
    #[must_use]
    pub fn with_profile(self, profile: DeliveryProfile) -> Self {
        Self { profile, ..self }
    }

    /// For implementations of [`Outbox`](super::Outbox): with the proof of ownership that was stored.
    #[must_use]
    pub fn with_ownership(self, ownership: Option<Ownership>) -> Self {
        Self { ownership, ..self }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &EndpointId {
        &self.id
    }

    /// What its client has instructed us to send there.
    #[must_use]
    pub fn instruction(&self) -> Option<&Instruction> {
        self.instruction.as_ref()
    }

    /// When its receiver has shown that it is theirs, if it has. Whether that still holds for this URL and key, an
    /// [`EndpointBook`](super::EndpointBook) says.
    #[must_use]
    pub fn ownership(&self) -> Option<&Ownership> {
        self.ownership.as_ref()
    }

    /// How its messages are signed and written.
    #[must_use]
    pub fn profile(&self) -> &DeliveryProfile {
        &self.profile
    }

    /// Whether the message may be enqueued.
    pub(super) fn check_instruction(
        &self,
        message: &NewMessage,
        enforcement: Enforcement,
    ) -> Result<(), OutboxError> {
        match Disclosure::under(self.instruction(), message.classes(), message.purpose(), enforcement) {
            Disclosure::Free | Disclosure::Instructed | Disclosure::ReportOnly { .. } => Ok(()),
            Disclosure::Refused => Err(OutboxErrorKind::NotInstructed.into()),
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The URL as text.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The signing keys, sealed.
    #[must_use]
    pub fn sealed_keys(&self) -> &[u8] {
        &self.sealed_keys
    }

    /// Whether messages go to it.
    #[must_use]
    pub fn state(&self) -> &EndpointState {
        &self.state
    }

    /// Grows with each change.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// How many attempts it takes, where it said so.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Since when every attempt has failed.
    #[must_use]
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.failing_since
    }
}

impl fmt::Debug for EndpointRecord {
    /// Without URL and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointRecord")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("state", &self.state)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
