//! How an endpoint wants its messages.

use crate::sign::KeyId;

/// How the messages to an endpoint are signed and written, as stored with the endpoint: every dispatcher keeps to it,
/// after a restart too.
///
/// Unless told otherwise, messages are signed as Standard Webhooks has it and sent as they were enqueued.
///
/// ```
/// use compliance_webhook::outbox::{CloudEventsMode, DeliveryProfile, SignatureProfile};
///
/// let mut profile = DeliveryProfile::default();
/// assert_eq!(profile.signatures, SignatureProfile::StandardWebhooks);
/// profile.events = CloudEventsMode::Binary;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryProfile {
    /// How they are signed.
    pub signatures: SignatureProfile,
    /// How CloudEvents are written.
    pub events: CloudEventsMode,
}

impl DeliveryProfile {
    /// Whether this build can deliver so. What it cannot do is refused, not left out.
    pub(super) fn is_supported(&self) -> bool {
        (cfg!(feature = "http-signatures") || self.signatures == SignatureProfile::StandardWebhooks)
            && (cfg!(feature = "cloud-events") || self.events == CloudEventsMode::None)
    }
}

/// How messages are signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm is where a signature is left out")]
pub enum SignatureProfile {
    /// As Standard Webhooks has it: `v1` under a shared secret, `v1a` under a key pair, both while the endpoint changes
    /// over from one to the other.
    #[default]
    StandardWebhooks,
    /// As Standard Webhooks has it, and the whole request as RFC 9421 has it, under the endpoint's current key. Takes
    /// the feature `http-signatures`.
    HttpSignature {
        /// What the receiver knows the key by. It stays when keys are rotated: a receiver takes several under one id.
        key_id: KeyId,
    },
}

/// How CloudEvents are written (CloudEvents 1.0.2, HTTP Protocol Binding §3).
///
/// Messages for an endpoint with a mode are CloudEvents as JSON (`application/cloudevents+json`), such as
/// `NewMessage::event` makes. What is no event is not sent: it is given up with `dispatch.no_event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm is where an event leaves in another form")]
pub enum CloudEventsMode {
    /// Whatever was enqueued, as it was enqueued.
    #[default]
    None,
    /// Attributes and data in one JSON body. Takes the feature `cloud-events`.
    Structured,
    /// Attributes as headers, data as the body. Takes the feature `cloud-events`. Standard Webhooks does not sign those
    /// headers.
    Binary,
}
