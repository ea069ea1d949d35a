//! Standard Webhooks signatures, sending side.
//!
//! A [`Signer`] holds one [`SenderKey`] or, while one is being rotated, several; each adds one signature to the
//! header. What is signed is `id.timestamp.payload`, byte for byte, with HMAC-SHA256 under a [`SigningKey`] (scheme
//! `v1`) or with Ed25519 under an [`Ed25519Key`] (scheme `v1a`). Payloads need not be text. Ids that would make that
//! text ambiguous do not exist as [`MessageId`].
//!
//! Standard Webhooks, as of 2026-08-17, "Signature scheme"; RFC 2104; FIPS 198-1; RFC 8032.

mod ed25519;
#[cfg(feature = "http-signatures")]
mod http_signature;
mod id;
mod key;
mod key_id;
mod sender;

use std::fmt;

use compliance_core::clock::Timestamp;

pub(crate) use ed25519::SIGNATURE_LEN;
pub use ed25519::{Ed25519Key, VerifyingKey};
#[cfg(feature = "http-signatures")]
pub(crate) use http_signature::{Base, TAG, Target, normal_authority};
#[cfg(feature = "http-signatures")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "http-signatures")))]
pub use http_signature::{HttpSignedHeaders, HttpSigner};
pub use id::{MessageId, MessageIdError, MessageIdErrorKind};
pub use key::{KeyError, KeyErrorKind, SigningKey};
pub use key_id::KeyId;
pub use sender::SenderKey;

/// The header that names the message, the same on every attempt.
pub const HEADER_ID: &str = "webhook-id";
/// The header that says when this attempt was signed, in seconds since the Unix epoch.
pub const HEADER_TIMESTAMP: &str = "webhook-timestamp";
/// The header that holds the signatures, separated by spaces.
pub const HEADER_SIGNATURE: &str = "webhook-signature";

/// The scheme identifier of HMAC-SHA256.
pub(crate) const SCHEME_V1: &str = "v1";
/// The scheme identifier of Ed25519.
pub(crate) const SCHEME_V1A: &str = "v1a";
/// The length of an HMAC-SHA256 value in bytes.
pub(crate) const TAG_LEN: usize = 32;

/// Signs messages with one or more keys.
///
/// ```
/// use compliance_webhook::sign::{MessageId, Signer, SigningKey};
///
/// let signer = Signer::new(SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?);
/// let id = MessageId::parse("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk")?;
/// let payload = br#"{"email":"test@example.com","username":"test_user"}"#;
/// let headers = signer.sign(&id, "2022-04-07T21:39:13Z".parse()?, payload)?;
/// assert_eq!(headers.signature(), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
///
/// assert_eq!(MessageId::parse("a.1").unwrap_err().code(), "sign.id_character");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Signer {
    keys: Vec<SenderKey>,
}

impl Signer {
    /// The most keys that sign one message. A rotation needs two; receivers cap what they look at.
    pub const MAX_KEYS: usize = 4;

    /// Signs with one key.
    #[must_use]
    pub fn new(key: impl Into<SenderKey>) -> Self {
        Self { keys: vec![key.into()] }
    }

    /// Signs with the previous key too, so that receivers can change over without an outage.
    ///
    /// # Errors
    /// `sign.too_many_keys` past [`MAX_KEYS`](Self::MAX_KEYS).
    pub fn with_previous(mut self, key: impl Into<SenderKey>) -> Result<Self, SignError> {
        if self.keys.len() >= Self::MAX_KEYS {
            return Err(SignErrorKind::TooManyKeys.into());
        }
        self.keys.push(key.into());
        Ok(self)
    }

    /// Signs one attempt made at `at`, the current key first. Sign again on every attempt: receivers refuse
    /// old timestamps.
    ///
    /// One pass over the payload per shared secret, two and a copy per key pair.
    ///
    /// # Errors
    /// `sign.timestamp` when `at` is before 1970, which the header cannot say.
    pub fn sign<'a>(
        &self,
        id: &'a MessageId,
        at: Timestamp,
        payload: &[u8],
    ) -> Result<SignedHeaders<'a>, SignError> {
        let seconds =
            if at < Timestamp::UNIX_EPOCH { None } else { u64::try_from(at.as_unix_seconds()).ok() };
        let timestamp = Decimal::new(seconds.ok_or(SignErrorKind::Timestamp)?);
        let len = self.keys.iter().map(|key| key.entry_len().saturating_add(1)).sum();
        let mut signature = String::with_capacity(len);
        for key in &self.keys {
            if !signature.is_empty() {
                signature.push(' ');
            }
            let (id, timestamp) = (id.as_str().as_bytes(), timestamp.as_str().as_bytes());
            key.sign(id, timestamp, payload, &mut signature);
        }
        Ok(SignedHeaders { id: id.as_str(), timestamp, signature })
    }
}

/// The three headers of one signed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders<'a> {
    id: &'a str,
    timestamp: Decimal,
    signature: String,
}

impl SignedHeaders<'_> {
    /// The value of `webhook-id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id
    }

    /// The value of `webhook-timestamp`.
    #[must_use]
    pub fn timestamp(&self) -> &str {
        self.timestamp.as_str()
    }

    /// The value of `webhook-signature`.
    #[must_use]
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Names and values, as they go on the wire.
    #[must_use]
    pub fn pairs(&self) -> [(&'static str, &str); 3] {
        [(HEADER_ID, self.id()), (HEADER_TIMESTAMP, self.timestamp()), (HEADER_SIGNATURE, self.signature())]
    }
}

/// A message could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not signed: {kind}")]
pub struct SignError {
    kind: SignErrorKind,
}

/// Why a message was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignErrorKind {
    /// A time the header cannot say.
    #[error("the time of signing is before 1970")]
    Timestamp,
    /// One key too many.
    #[error("at most {max} keys may sign one message", max = Signer::MAX_KEYS)]
    TooManyKeys,
}

impl SignError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> SignErrorKind {
        self.kind
    }

    /// `sign.timestamp` or `sign.too_many_keys`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            SignErrorKind::Timestamp => "sign.timestamp",
            SignErrorKind::TooManyKeys => "sign.too_many_keys",
        }
    }
}

impl From<SignErrorKind> for SignError {
    fn from(kind: SignErrorKind) -> Self {
        Self { kind }
    }
}

/// A number in decimal digits, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Decimal {
    digits: [u8; Self::MAX_LEN],
    start: usize,
}

impl Decimal {
    /// The digits of `u64::MAX`.
    const MAX_LEN: usize = 20;

    fn new(number: u64) -> Self {
        let mut digits = [b'0'; Self::MAX_LEN];
        let mut start = Self::MAX_LEN;
        let mut rest = number;
        for (at, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or_default());
            start = at;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        Self { digits, start }
    }

    fn as_str(&self) -> &str {
        self.digits.get(self.start..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
