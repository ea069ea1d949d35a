//! Signatures, receiving side.
//!
//! A [`Verifier`] is for one scheme, which its first call names:
//!
//! | call | scheme | what is signed |
//! |---|---|---|
//! | [`Verifier::new`] | [`StandardWebhooks`], `v1` and `v1a` | id, time, body |
//! | [`Verifier::svix`] | the same, in Svix's headers | id, time, body |
//! | [`Verifier::github`] | [`ProviderScheme`], `X-Hub-Signature-256` | body |
//! | [`Verifier::shopify`] | [`ProviderScheme`], `X-Shopify-Hmac-SHA256` | body |
//! | [`Verifier::slack`] | [`ProviderScheme`], `X-Slack-Signature` | time, body |
//! | [`Verifier::stripe`] | [`ProviderScheme`], `Stripe-Signature` | time, body |
//! | `Verifier::http_signatures` (feature `http-signatures`) | HTTP message signatures, RFC 9421 | method, target, headers, body, time |
//!
//! Each takes the body away and gives it back only inside a [`Verified`] message. For Standard Webhooks, in order:
//!
//! 1. the three headers are there, once each, and no longer than their caps;
//! 2. the id is one a sender may use ([`MessageId`]);
//! 3. the timestamp is plain decimal, and neither too old nor too far ahead;
//! 4. the body is no longer than the cap;
//! 5. one of at most [`MAX_SIGNATURES`] signatures is the HMAC under one of the verifier's shared secrets (scheme
//!    `v1`), compared in constant time on the decoded bytes, or one of at most [`MAX_ED25519_SIGNATURES`] is good
//!    under one of its public keys (scheme `v1a`).
//!
//! A valid message can be sent again within the tolerance: [`ReplayGate`] lets each through once.
//!
//! On trial ([`Verifier::with_enforcement`]), `decide` says what would be refused and hands the body on.

mod decision;
mod error;
mod headers;
#[cfg(feature = "http-signatures")]
mod http_signature;
mod key;
mod provider;
#[cfg(feature = "receiver")]
mod receiver;
#[cfg(feature = "redis")]
mod redis;
mod replay;
mod request;
mod standard;
mod tags;
mod window;

use std::fmt;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::finding::{Enforcement, PolicyVersion};

use crate::sign::MessageId;
use window::Window;

pub use decision::{Received, VerifyDecision};
pub use error::{VerifierError, VerifyError, VerifyReason};
#[cfg(feature = "http-signatures")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "http-signatures")))]
pub use http_signature::HttpSignatures;
pub use key::ReceiverKey;
pub use provider::{Provider, ProviderScheme, ProviderSecret};
#[cfg(feature = "receiver")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "receiver")))]
pub use receiver::{ReceiveError, ReceiveReason, Webhook, WebhookOnTrial, WebhookReceiver};
#[cfg(feature = "redis")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "redis")))]
pub use redis::{RedisReplayCache, RedisReplayCacheError};
pub use replay::{
    Admission, Admitted, DEFAULT_HANDLING, DEFAULT_MEMORY, MemoryReplayCache, ReplayCache, ReplayError,
    ReplayErrorKind, ReplayGate, ReplayKey, Reservation,
};
pub use request::{RequestHead, VerifyRequest};
pub use standard::StandardWebhooks;

/// The most signatures in one header, whatever their scheme. A rotation sends two or three.
pub const MAX_SIGNATURES: usize = 16;

/// The most `v1a` signatures in one header when a public key is to verify them: each costs as much as a hundred
/// of the others, and a forger pays nothing for it.
pub const MAX_ED25519_SIGNATURES: usize = 4;

/// The longest `webhook-signature` header, in bytes: room for [`MAX_SIGNATURES`] Ed25519 signatures.
pub const MAX_SIGNATURE_HEADER_LEN: usize = 2048;

/// How far a timestamp may lie from now in either direction, unless told otherwise: what the Standard Webhooks
/// libraries use.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// The widest tolerance accepted. Whoever wants to take older messages wants a queue.
pub const MAX_TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest body, in bytes, unless told otherwise. Senders should stay under 20 kB (Standard Webhooks,
/// "Payload size").
pub const DEFAULT_MAX_BODY_LEN: usize = 1 << 20;

/// Verifies messages of one scheme under one or more keys.
///
/// ```
/// use compliance_core::clock::Timestamp;
/// use compliance_webhook::sign::SigningKey;
/// use compliance_webhook::verify::Verifier;
///
/// let verifier = Verifier::new(SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?);
/// let headers = [
///     ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
///     ("webhook-timestamp", "1649367553"),
///     ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
/// ];
/// let body = r#"{"email":"test@example.com","username":"test_user"}"#;
/// let now = Timestamp::from_unix_seconds(1_649_367_560);
///
/// let verified = verifier.verify(headers, body, now)?;
/// assert_eq!(verified.message().id().as_str(), "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk");
/// assert_eq!(verified.into_body(), body);
///
/// let refused = verifier.verify(headers, r#"{"email":"mallory@example.com"}"#, now).unwrap_err();
/// assert_eq!(refused.code(), "verify.signature");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Verifier<S = StandardWebhooks> {
    scheme: S,
    window: Window,
    max_body_len: usize,
    enforcement: Enforcement,
    version: PolicyVersion,
}

impl<S> Verifier<S> {
    fn with_scheme(scheme: S) -> Self {
        Self {
            scheme,
            window: Window::default(),
            max_body_len: DEFAULT_MAX_BODY_LEN,
            enforcement: Enforcement::Enforce,
            version: PolicyVersion::new("webhook-verify", "1"),
        }
    }

    /// How old a message may be, and how far ahead the sender's clock. Both in whole seconds. Without effect where the
    /// scheme has no time: GitHub, Shopify.
    ///
    /// # Errors
    /// `verifier.tolerance` past [`MAX_TOLERANCE`].
    pub fn with_tolerance(mut self, past: Duration, future: Duration) -> Result<Self, VerifierError> {
        self.window = Window::new(past, future)?;
        Ok(self)
    }

    /// The longest body, in bytes.
    #[must_use]
    pub fn with_max_body_len(mut self, max_body_len: usize) -> Self {
        self.max_body_len = max_body_len;
        self
    }

    /// Names the policy for findings; `webhook-verify/1` otherwise.
    #[must_use]
    pub fn with_version(mut self, version: PolicyVersion) -> Self {
        self.version = version;
        self
    }

    /// Report-only for a roll-out: what `decide` says is then recorded and not carried out. `verify` enforces, whatever
    /// is said here: there is no [`Verified`] without a signature.
    #[must_use]
    pub fn with_enforcement(mut self, enforcement: Enforcement) -> Self {
        self.enforcement = enforcement;
        self
    }

    /// The longest body, in bytes: stop reading a request there.
    #[must_use]
    pub fn max_body_len(&self) -> usize {
        self.max_body_len
    }

    /// The policy's name and version, for findings.
    #[must_use]
    pub fn version(&self) -> &PolicyVersion {
        &self.version
    }

    fn check_body_len(&self, payload: &[u8]) -> Result<(), VerifyReason> {
        if payload.len() > self.max_body_len { Err(VerifyReason::BodyLength) } else { Ok(()) }
    }

    fn conclude<B>(
        &self,
        accepted: Result<Accepted, VerifyReason>,
        body: B,
    ) -> Result<Verified<Message<B>>, VerifyError> {
        let Accepted { id, sent } = accepted?;
        Ok(Verified(Message { id, sent, body }))
    }

    fn weigh<B>(&self, accepted: Result<Accepted, VerifyReason>, body: B) -> VerifyDecision<B> {
        let result = match accepted {
            Ok(Accepted { id, sent }) => Ok(Verified(Message { id, sent, body })),
            Err(reason) => Err((reason.into(), body)),
        };
        VerifyDecision { result, enforcement: self.enforcement, version: self.version.clone() }
    }
}

/// What a scheme says about a message whose signature holds.
struct Accepted {
    id: MessageId,
    sent: Option<Timestamp>,
}

/// Something whose signature was verified. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// What was verified.
    #[must_use]
    pub fn message(&self) -> &T {
        &self.0
    }
}

impl<B> Verified<Message<B>> {
    /// The body, byte for byte as it was signed.
    #[must_use]
    pub fn into_body(self) -> B {
        self.0.body
    }
}

/// One received message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message<B> {
    id: MessageId,
    sent: Option<Timestamp>,
    body: B,
}

impl<B> Message<B> {
    /// The id, the same on every attempt of the sender. Where the scheme signs none, `sha256-` and the body's digest:
    /// see [`ProviderScheme`].
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// When this attempt was signed, in whole seconds; `None` where the scheme does not say: GitHub, Shopify.
    #[must_use]
    pub fn sent(&self) -> Option<Timestamp> {
        self.sent
    }

    /// The body, byte for byte as it was signed.
    #[must_use]
    pub fn body(&self) -> &B {
        &self.body
    }
}

impl<B> fmt::Debug for Message<B> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("sent", &self.sent).finish_non_exhaustive()
    }
}
