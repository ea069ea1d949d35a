//! The schemes of single providers.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compliance_core::clock::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::Choice;

use super::headers::{Headers, Names};
use super::tags::{self, Tags};
use super::{
    Accepted, MAX_SIGNATURES, Message, Verified, Verifier, VerifierError, VerifyDecision, VerifyError,
    VerifyReason,
};
use crate::sign::{KeyError, KeyErrorKind, MessageId, TAG_LEN};

/// Whose scheme it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Provider {
    /// `X-Hub-Signature-256: sha256=…`, over the body.
    GitHub,
    /// `X-Shopify-Hmac-SHA256: …`, over the body.
    Shopify,
    /// `X-Slack-Signature: v0=…`, over `v0:timestamp:body`.
    Slack,
    /// `Stripe-Signature: t=…,v1=…`, over `timestamp.body`.
    Stripe,
}

/// The secret a provider shares with a receiver, as the provider shows it: its characters are the key, nothing is
/// decoded, a `whsec_` or `shpss_` in front belongs to it.
///
/// [`MIN_LEN`](Self::MIN_LEN) to [`MAX_LEN`](Self::MAX_LEN) bytes without control characters and without white space at
/// either end, which a configuration file adds easily and no provider does. `Debug` prints `[redacted]`, the memory is
/// zeroised, there is no comparison.
///
/// ```
/// use compliance_webhook::verify::ProviderSecret;
///
/// assert!(ProviderSecret::parse("It's a Secret to Everybody").is_ok());
/// assert_eq!(ProviderSecret::parse("").unwrap_err().code(), "sign.key_length");
/// assert_eq!(ProviderSecret::parse("It's a Secret to Everybody\n").unwrap_err().code(), "sign.key_encoding");
/// ```
#[derive(Clone)]
pub struct ProviderSecret(Hmac<Sha256>);

impl ProviderSecret {
    /// The shortest secret, in bytes: an HMAC key of less than 112 bits is not approved (SP 800-131A Rev. 2 §10), and a
    /// character holds less than a byte.
    pub const MIN_LEN: usize = 16;
    /// The longest secret, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Takes a secret.
    ///
    /// # Errors
    /// `sign.key_length` outside [`MIN_LEN`](Self::MIN_LEN) to [`MAX_LEN`](Self::MAX_LEN), `sign.key_encoding` with a
    /// control character or white space at an end.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let found = text.len();
        if !(Self::MIN_LEN..=Self::MAX_LEN).contains(&found) {
            return Err(KeyErrorKind::SecretLength { found }.into());
        }
        if text.trim().len() != found || text.chars().any(char::is_control) {
            return Err(KeyErrorKind::SecretCharacter.into());
        }
        let keyed = Hmac::new_from_slice(text.as_bytes());
        keyed.map(Self).map_err(|_| KeyErrorKind::SecretLength { found }.into())
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; TAG_LEN] {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for ProviderSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderSecret([redacted])")
    }
}

/// A provider's own scheme: HMAC-SHA256 over the body, with the time where the provider says one.
///
/// None of them signs an id. [`Message::id`] is the body's digest then, so that a copy is known as one whatever headers
/// it comes with; two messages that are equal to the byte are one. Where they must be two, see
/// [`with_delivery_id`](Verifier::with_delivery_id); where the body names its event, see
/// [`ReplayGate::admit_as`](super::ReplayGate::admit_as).
///
/// Other headers, such as `X-GitHub-Event`, `X-Shopify-Topic` and `X-Shopify-Shop-Domain`, are signed by nobody either:
/// what is decided on comes from the body.
#[derive(Clone, Debug)]
pub struct ProviderScheme {
    provider: Provider,
    secrets: Vec<ProviderSecret>,
    delivery_id: bool,
}

impl Verifier<ProviderScheme> {
    /// The most secrets tried on one message: each costs one pass over the body.
    pub const MAX_SECRETS: usize = 4;

    /// GitHub: `X-Hub-Signature-256`, `sha256=` and lower-case hex (GitHub Docs, "Validating webhook deliveries"). The
    /// older `X-Hub-Signature` with SHA-1 is not looked at.
    ///
    /// ```
    /// use compliance_core::clock::Timestamp;
    /// use compliance_webhook::verify::{ProviderSecret, Verifier};
    ///
    /// let github = Verifier::github(ProviderSecret::parse("It's a Secret to Everybody")?);
    /// let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    /// let headers = [("X-Hub-Signature-256", signature)];
    /// assert!(github.verify(headers, "Hello, World!", Timestamp::UNIX_EPOCH).is_ok());
    /// assert!(github.verify(headers, "Hello, World?", Timestamp::UNIX_EPOCH).is_err());
    /// # Ok::<(), compliance_webhook::sign::KeyError>(())
    /// ```
    #[must_use]
    pub fn github(secret: ProviderSecret) -> Self {
        Self::of(Provider::GitHub, secret)
    }

    /// Shopify: `X-Shopify-Hmac-SHA256`, padded base64 (Shopify, "Deliver webhooks through HTTPS"). The secret is the
    /// app's client secret.
    #[must_use]
    pub fn shopify(secret: ProviderSecret) -> Self {
        Self::of(Provider::Shopify, secret)
    }

    /// Slack: `X-Slack-Signature`, `v0=` and lower-case hex, and `X-Slack-Request-Timestamp` (Slack, "Verifying
    /// requests from Slack").
    #[must_use]
    pub fn slack(secret: ProviderSecret) -> Self {
        Self::of(Provider::Slack, secret)
    }

    /// Stripe: `Stripe-Signature`, a list of one `t=` and up to sixteen others, of which `v1=` with lower-case hex
    /// count (Stripe, "Verify webhook signatures manually"). Schemes other than `v1` are skipped.
    #[must_use]
    pub fn stripe(secret: ProviderSecret) -> Self {
        Self::of(Provider::Stripe, secret)
    }

    fn of(provider: Provider, secret: ProviderSecret) -> Self {
        Self::with_scheme(ProviderScheme { provider, secrets: vec![secret], delivery_id: false })
    }

    /// Accepts messages under another secret, too, while one is being rotated.
    ///
    /// # Errors
    /// `verifier.too_many_keys` past [`MAX_SECRETS`](Self::MAX_SECRETS).
    pub fn with_secret(mut self, secret: ProviderSecret) -> Result<Self, VerifierError> {
        if self.scheme.secrets.len() >= Self::MAX_SECRETS {
            return Err(VerifierError::TooManyKeys);
        }
        self.scheme.secrets.push(secret);
        Ok(self)
    }

    /// Takes [`Message::id`] from `X-GitHub-Delivery` or `X-Shopify-Webhook-Id`, which must be there then.
    ///
    /// # Errors
    /// `verifier.no_delivery_id` for a provider that sends no such header.
    ///
    /// # Security
    /// These headers are not signed: whoever got hold of a message can send it again under another id, at any time, as
    /// neither provider signs a time.
    pub fn with_delivery_id(mut self) -> Result<Self, VerifierError> {
        if self.scheme.provider.names().id.is_none() {
            return Err(VerifierError::NoDeliveryId);
        }
        self.scheme.delivery_id = true;
        Ok(self)
    }

    /// Whose scheme it is.
    #[must_use]
    pub fn provider(&self) -> Provider {
        self.scheme.provider
    }

    /// Verifies one message. `headers` are the request's, names in any case, other headers are skipped; `body` is the
    /// bytes as they came, before any parser.
    ///
    /// One pass over the body per secret, and one for its digest.
    ///
    /// # Errors
    /// [`VerifyError`] with the first rule that refuses; the body is gone then.
    ///
    /// # Security
    /// Everything but the secrets and `now` may be hostile. Answer with
    /// [`public_code`](compliance_core::finding::Reason::public_code), the same for every reason.
    pub fn verify<N, V, B>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: B,
        now: Timestamp,
    ) -> Result<Verified<Message<B>>, VerifyError>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
        B: AsRef<[u8]>,
    {
        self.conclude(self.check(headers, body.as_ref(), now), body)
    }

    /// Says what [`verify`](Self::verify) would, the way the verifier is
    /// [rolled out](Verifier::with_enforcement).
    pub fn decide<N, V, B>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: B,
        now: Timestamp,
    ) -> VerifyDecision<B>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
        B: AsRef<[u8]>,
    {
        self.weigh(self.check(headers, body.as_ref(), now), body)
    }

    fn check<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Accepted, VerifyReason> {
        let names = self.scheme.provider.names();
        let headers = Headers::collect(|name| names.find(name), headers)?;
        let signature = headers.signature()?;
        let id = if self.scheme.delivery_id {
            Some(MessageId::check(headers.id()?).map_err(|_| VerifyReason::Id)?)
        } else {
            None
        };
        let mut found = Tags::new();
        let timestamp = match self.scheme.provider {
            Provider::GitHub => {
                let hex = signature.strip_prefix(b"sha256=").ok_or(VerifyReason::Scheme)?;
                found.push(tags::from_hex(hex).ok_or(VerifyReason::SignatureSyntax)?);
                None
            }
            Provider::Shopify => {
                found.push(tags::from_base64(signature).ok_or(VerifyReason::SignatureSyntax)?);
                None
            }
            Provider::Slack => {
                let hex = signature.strip_prefix(b"v0=").ok_or(VerifyReason::Scheme)?;
                found.push(tags::from_hex(hex).ok_or(VerifyReason::SignatureSyntax)?);
                Some(headers.timestamp()?)
            }
            Provider::Stripe => Some(stripe(signature, &mut found)?),
        };
        let sent = timestamp.map(|text| self.window.check(text, now)).transpose()?;
        self.check_body_len(payload)?;
        let timestamp = timestamp.unwrap_or_default();
        let signed: &[&[u8]] = match self.scheme.provider {
            Provider::GitHub | Provider::Shopify => &[payload],
            Provider::Slack => &[b"v0:", timestamp, b":", payload],
            Provider::Stripe => &[timestamp, b".", payload],
        };
        // Every secret, whatever matched before.
        let tried = self.scheme.secrets.iter().map(|secret| found.contain(&secret.tag(signed)));
        if !bool::from(tried.fold(Choice::from(0), |any, one| any | one)) {
            return Err(VerifyReason::Signature);
        }
        let id = match id {
            Some(id) => MessageId::from_checked(id),
            None => digest_id(payload),
        };
        Ok(Accepted { id, sent })
    }
}

impl Provider {
    fn names(self) -> Names {
        match self {
            Self::GitHub => {
                Names { id: Some("x-github-delivery"), timestamp: None, signature: "x-hub-signature-256" }
            }
            Self::Shopify => Names {
                id: Some("x-shopify-webhook-id"),
                timestamp: None,
                signature: "x-shopify-hmac-sha256",
            },
            Self::Slack => Names {
                id: None,
                timestamp: Some("x-slack-request-timestamp"),
                signature: "x-slack-signature",
            },
            Self::Stripe => Names { id: None, timestamp: None, signature: "stripe-signature" },
        }
    }
}

/// `t=…,v1=…,v1=…,v0=…`, in any order: the time, once, and the values of `v1`.
fn stripe<'a>(header: &'a [u8], found: &mut Tags) -> Result<&'a [u8], VerifyReason> {
    let mut timestamp = None;
    let mut known_scheme = false;
    for (count, entry) in header.split(|&byte| byte == b',').enumerate() {
        // The time is no signature.
        if count > MAX_SIGNATURES {
            return Err(VerifyReason::TooManySignatures);
        }
        let equals = entry.iter().position(|&byte| byte == b'=').ok_or(VerifyReason::SignatureSyntax)?;
        let (name, value) = entry.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        match name {
            b"t" if timestamp.replace(value).is_some() => return Err(VerifyReason::HeaderDuplicate),
            b"v1" => {
                known_scheme = true;
                // One that is no value of the scheme matches nothing.
                if let Some(tag) = tags::from_hex(value) {
                    found.push(tag);
                }
            }
            _ => {}
        }
    }
    match (known_scheme, found.is_empty()) {
        (false, _) => Err(VerifyReason::Scheme),
        (true, true) => Err(VerifyReason::SignatureSyntax),
        (true, false) => timestamp.ok_or(VerifyReason::TimestampSyntax),
    }
}

/// `sha256-` and the digest, in characters an id may have.
pub(super) fn digest_id(payload: &[u8]) -> MessageId {
    let mut text = String::from("sha256-");
    URL_SAFE_NO_PAD.encode_string(Sha256::digest(payload), &mut text);
    MessageId::from_checked(&text)
}
