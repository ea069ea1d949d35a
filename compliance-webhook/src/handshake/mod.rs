//! Whether an endpoint wants to be sent to, asked before the first payload.
//!
//! Two questions, either or both:
//!
//! - *Consent*: a transport with a [`Handshake`] asks each endpoint with `OPTIONS` whether it takes messages from this
//!   origin (CloudEvents, HTTP 1.1 Web Hooks, §4 "Abuse protection"), and sends nothing to one that does not say so. It
//!   asks again after [`CONSENT_LIFETIME`]. So nobody can point a sender at a host that never asked for it. With
//!   [`ConsentCallbacks`], a receiver can consent later.
//! - *Ownership*: `HttpsTransport::challenge` sends a signed random token, and whoever configured the endpoint shows
//!   with an [answer](Challenge::answer) under the shared secret that it is theirs.

mod callback;
mod consent;
mod ownership;

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compliance_core::random::{RandomError, SecureRandom};

pub use self::callback::{CALLBACK_LIFETIME, CallbackError, CallbackReason, ConsentCallbacks};
pub use self::consent::{
    ConsentGrant, ConsentStore, ConsentStoreError, Consenting, EndpointDigest, MemoryConsents,
};
pub use self::ownership::{OwnedEndpoint, Ownership};

use crate::deliver::DeliverError;
use crate::sign::SigningKey;
use crate::verify::{Message, Verified};

/// How long an endpoint's consent counts before it is asked again.
pub const CONSENT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Who asks an endpoint for its consent, and for how much.
///
/// ```
/// use compliance_webhook::handshake::Handshake;
///
/// assert_eq!(Handshake::new("events.example.com")?.origin(), "events.example.com");
/// assert_eq!(Handshake::new("https://example.com").unwrap_err().code(), "handshake.origin");
/// # Ok::<(), compliance_webhook::handshake::HandshakeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Handshake {
    origin: Box<str>,
    rate: Option<NonZeroU32>,
    callbacks: Option<ConsentCallbacks>,
}

impl Handshake {
    /// `origin` is the DNS name this system is known by (`WebHook-Request-Origin`): letters, digits, `-` and `.`, with
    /// a dot between labels.
    ///
    /// # Errors
    /// `handshake.origin` when it is no such name.
    pub fn new(origin: &str) -> Result<Self, HandshakeError> {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if origin.len() <= 253 && origin.contains('.') && origin.split('.').all(label) {
            Ok(Self { origin: origin.to_ascii_lowercase().into(), rate: None, callbacks: None })
        } else {
            Err(HandshakeError::Origin)
        }
    }

    /// Asks for so many requests a minute (`WebHook-Request-Rate`).
    #[must_use]
    pub fn with_rate(mut self, per_minute: NonZeroU32) -> Self {
        self.rate = Some(per_minute);
        self
    }

    /// Names a URL with each request for consent, at which the receiver can grant it later
    /// (`WebHook-Request-Callback`).
    #[must_use]
    pub fn with_callbacks(mut self, callbacks: ConsentCallbacks) -> Self {
        self.callbacks = Some(callbacks);
        self
    }

    /// Where receivers grant their consent later, if anywhere.
    #[must_use]
    pub fn callbacks(&self) -> Option<&ConsentCallbacks> {
        self.callbacks.as_ref()
    }

    /// The DNS name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The rate asked for, per minute.
    #[must_use]
    pub fn rate(&self) -> Option<NonZeroU32> {
        self.rate
    }

    /// Reads an answer's headers. Consent is `WebHook-Allowed-Origin` with this origin or `*`; everything doubtful is
    /// none: a header twice, a rate that is no number, a status other than 2xx.
    ///
    /// ```
    /// use compliance_webhook::handshake::{AllowedRate, Handshake};
    ///
    /// let ours = Handshake::new("events.example.com")?;
    /// let fields = [("WebHook-Allowed-Origin", "events.example.com"), ("WebHook-Allowed-Rate", "120")];
    /// let allowed = ours.read(200, fields);
    /// assert_eq!(allowed, Ok(AllowedRate::PerMinute(120.try_into().unwrap())));
    /// assert_eq!(ours.read(200, [("allow", "POST")]).unwrap_err().code(), "handshake.no_consent");
    /// # Ok::<(), compliance_webhook::handshake::HandshakeError>(())
    /// ```
    ///
    /// # Errors
    /// `handshake.no_consent`.
    pub fn read<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        status: u16,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<AllowedRate, HandshakeError> {
        let (mut origin, mut rate) = (None, None);
        for (name, value) in fields {
            let slot = if name.as_ref().eq_ignore_ascii_case("webhook-allowed-origin") {
                &mut origin
            } else if name.as_ref().eq_ignore_ascii_case("webhook-allowed-rate") {
                &mut rate
            } else {
                continue;
            };
            if slot.replace(value).is_some() {
                return Err(HandshakeError::NoConsent);
            }
        }
        let is_ours =
            |value: &V| value.as_ref() == b"*" || value.as_ref().eq_ignore_ascii_case(self.origin.as_bytes());
        if !matches!(status, 200..=299) || !origin.as_ref().is_some_and(is_ours) {
            return Err(HandshakeError::NoConsent);
        }
        allowed_rate(rate.as_ref().map(AsRef::as_ref)).ok_or(HandshakeError::NoConsent)
    }
}

/// The value of `WebHook-Allowed-Rate`, or its absence; `None` for what is no rate.
fn allowed_rate(value: Option<&[u8]>) -> Option<AllowedRate> {
    match value {
        None | Some(b"*") => Some(AllowedRate::Unlimited),
        Some(digits) => {
            let plain = matches!(digits, [b'1'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
            Some(AllowedRate::PerMinute(number))
        }
    }
}

/// How often an endpoint that consented wants to be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a scheduler must treat both")]
pub enum AllowedRate {
    /// At most so many requests a minute.
    PerMinute(NonZeroU32),
    /// It set no limit.
    Unlimited,
}

/// What a receiver is asked to answer to show that an endpoint is its own.
///
/// The body of a signed message, to the byte: `{"type":"webhook.challenge","challenge":"…"}` with 43 characters of
/// base64url.
///
/// ```
/// use compliance_core::random::SystemRandom;
/// use compliance_webhook::SigningKey;
/// use compliance_webhook::handshake::Challenge;
///
/// let key = SigningKey::generate(&SystemRandom)?;
/// let challenge = Challenge::generate(&SystemRandom)?;
/// assert_ne!(challenge.answer(&key), Challenge::generate(&SystemRandom)?.answer(&key));
/// # Ok::<(), compliance_core::random::RandomError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge(Box<str>);

impl Challenge {
    const BEFORE: &str = r#"{"type":"webhook.challenge","challenge":""#;
    const AFTER: &str = r#""}"#;
    /// The characters of 32 bytes in base64url.
    const TOKEN_LEN: usize = 43;

    /// The challenge in a verified message; `None` for any other message.
    #[must_use]
    pub fn in_message<B: AsRef<[u8]>>(verified: &Verified<Message<B>>) -> Option<Self> {
        let body = std::str::from_utf8(verified.message().body().as_ref()).ok()?;
        let token = body.strip_prefix(Self::BEFORE)?.strip_suffix(Self::AFTER)?;
        let plain = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (token.len() == Self::TOKEN_LEN && plain).then(|| Self(token.into()))
    }

    /// Makes one: 256 random bits.
    ///
    /// # Errors
    /// [`RandomError`] when the random source fails.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        let mut bytes = [0; 32];
        random.fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// What to answer, with 200 and nothing else in the body: an HMAC under the endpoint's secret, in base64url.
    ///
    /// # Security
    /// An echo does not pass: who answers has the secret. What it is computed over can be no message, so that a
    /// challenge is no way to have something signed.
    #[must_use]
    pub fn answer(&self, key: &SigningKey) -> String {
        // INVARIANT: a message has digits here where this has `answer`.
        URL_SAFE_NO_PAD.encode(key.tag(b"challenge", b"answer", self.0.as_bytes()))
    }

    /// The body to send.
    #[cfg_attr(not(feature = "deliver"), expect(dead_code, reason = "only a transport sends it"))]
    pub(crate) fn body(&self) -> String {
        format!("{}{}{}", Self::BEFORE, self.0, Self::AFTER)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge([redacted])")
    }
}

/// An endpoint is not to be sent to, or was asked in a way that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A callback that cannot be one.
    #[error(
        "expected an https url of at most {max} bytes without user info, query and fragment",
        max = ConsentCallbacks::MAX_URL_LEN
    )]
    CallbackUrl,
    /// It did not answer the challenge.
    #[error("the endpoint did not answer the challenge")]
    Challenge,
    /// Its host has had enough for now.
    #[error("the endpoint's host has as many calls under way, or as many that failed, as it may")]
    HostBusy,
    /// It did not consent.
    #[error("the endpoint does not say that it takes messages from this origin")]
    NoConsent,
    /// An origin that is no name.
    #[error("expected a dns name with a dot, of letters, digits and hyphens")]
    Origin,
    /// No random bytes.
    #[error("no random bytes")]
    Random,
    /// No answer at all. Why is for the operator only: the text does not say it.
    #[error("the endpoint does not answer")]
    Unreachable(DeliverError),
}

impl HandshakeError {
    /// `handshake.callback_url`, `.challenge`, `.host_busy`, `.no_consent`, `.origin`, `.random` or `.unreachable`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::CallbackUrl => "handshake.callback_url",
            Self::Challenge => "handshake.challenge",
            Self::HostBusy => "handshake.host_busy",
            Self::NoConsent => "handshake.no_consent",
            Self::Origin => "handshake.origin",
            Self::Random => "handshake.random",
            Self::Unreachable(_) => "handshake.unreachable",
        }
    }
}
