//! Shared secrets.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compliance_core::random::{RandomError, SecureRandom};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{TAG_LEN, VerifyingKey};
use crate::verify::ProviderSecret;

/// A shared secret of 24 to 64 bytes, ready to sign: the key schedule is done once.
///
/// Its text form is `whsec_` and the bytes in padded base64 (RFC 4648 §4). One secret per endpoint. `Debug`
/// prints `[redacted]`, the memory is zeroised, and there is no comparison.
///
/// ```
/// use compliance_core::random::SystemRandom;
/// use compliance_webhook::sign::SigningKey;
/// use secrecy::ExposeSecret as _;
///
/// let key = SigningKey::generate(&SystemRandom)?;
/// assert_eq!(format!("{key:?}"), "SigningKey([redacted])");
/// assert!(SigningKey::parse(key.to_secret().expose_secret()).is_ok());
/// assert_eq!(SigningKey::parse("whsec_AA==").unwrap_err().code(), "sign.key_length");
/// # Ok::<(), compliance_core::random::RandomError>(())
/// ```
#[derive(Clone)]
pub struct SigningKey {
    secret: SecretSlice<u8>,
    keyed: Hmac<Sha256>,
}

impl SigningKey {
    /// What the text form starts with.
    pub const PREFIX: &str = "whsec_";
    /// The shortest secret, in bytes: 192 bits (Standard Webhooks, "Signature scheme").
    pub const MIN_LEN: usize = 24;
    /// The longest secret, in bytes: the block length of SHA-256, past which HMAC would hash it.
    pub const MAX_LEN: usize = 64;
    /// What [`generate`](Self::generate) makes, in bytes: the output length of SHA-256.
    pub const GENERATED_LEN: usize = 32;

    /// Reads the text form.
    ///
    /// # Errors
    /// `sign.key_prefix` without `whsec_` (a `whpk_` public key is no secret), `sign.key_encoding` when the rest
    /// is not canonical base64, `sign.key_length` outside [`MIN_LEN`](Self::MIN_LEN) to
    /// [`MAX_LEN`](Self::MAX_LEN).
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text.strip_prefix(Self::PREFIX).ok_or(KeyErrorKind::Prefix)?;
        // 4/3 of the longest secret is 88 characters; do not decode what cannot be one.
        if encoded.len() > const { Self::MAX_LEN.div_ceil(3) * 4 } {
            return Err(KeyErrorKind::Length { found: base64::decoded_len_estimate(encoded.len()) }.into());
        }
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| KeyErrorKind::Encoding)?);
        Self::from_bytes(&bytes)
    }

    /// Takes the bytes themselves.
    ///
    /// # Errors
    /// `sign.key_length` outside [`MIN_LEN`](Self::MIN_LEN) to [`MAX_LEN`](Self::MAX_LEN).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let found = bytes.len();
        if !(Self::MIN_LEN..=Self::MAX_LEN).contains(&found) {
            return Err(KeyErrorKind::Length { found }.into());
        }
        let keyed = Hmac::new_from_slice(bytes).map_err(|_| KeyErrorKind::Length { found })?;
        Ok(Self { secret: bytes.to_vec().into(), keyed })
    }

    /// Makes a new secret of [`GENERATED_LEN`](Self::GENERATED_LEN) bytes.
    ///
    /// # Errors
    /// [`RandomError`] when the random source fails.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; Self::GENERATED_LEN]);
        random.fill(&mut *bytes)?;
        Self::from_bytes(&*bytes).map_err(|_| RandomError::new())
    }

    /// The text form: to show once to whoever runs the receiver, and to store sealed.
    #[must_use]
    pub fn to_secret(&self) -> SecretString {
        let bytes = self.secret.expose_secret();
        // The final capacity at once: growing would leave copies behind.
        let capacity = bytes.len().saturating_mul(2).saturating_add(Self::PREFIX.len());
        let mut text = String::with_capacity(capacity);
        text.push_str(Self::PREFIX);
        STANDARD.encode_string(bytes, &mut text);
        // Shrinking into a boxed string would move it and leave a copy behind, too.
        let text = Zeroizing::new(text);
        SecretString::from(text.as_str())
    }

    /// The HMAC of a whole text.
    #[cfg(feature = "http-signatures")]
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; TAG_LEN] {
        let mut mac = self.keyed.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// The HMAC of `id.timestamp.payload`.
    pub(crate) fn tag(&self, id: &[u8], timestamp: &[u8], payload: &[u8]) -> [u8; TAG_LEN] {
        let mut mac = self.keyed.clone();
        // What comes before the payload in one piece: each update has its price.
        let mut head = [0; HEAD_LEN];
        match join(&mut head, [id, b".", timestamp, b"."]) {
            Some(head) => mac.update(head),
            None => [id, b".", timestamp, b"."].into_iter().for_each(|part| mac.update(part)),
        }
        mac.update(payload);
        mac.finalize().into_bytes().into()
    }
}

/// Room for an id and a timestamp of usual length, and two dots.
const HEAD_LEN: usize = 64;

/// Writes the parts one after the other, if there is room.
fn join<'a>(room: &'a mut [u8; HEAD_LEN], parts: [&[u8]; 4]) -> Option<&'a [u8]> {
    let mut len = 0_usize;
    for part in parts {
        let end = len.checked_add(part.len())?;
        room.get_mut(len..end)?.copy_from_slice(part);
        len = end;
    }
    room.get(..len)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// A secret was not of its shape. Never carries any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signing key {kind}")]
pub struct KeyError {
    kind: KeyErrorKind,
}

/// Why a secret was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyErrorKind {
    /// A private or public key of another length.
    #[error(
        "is {found} bytes, expected {public} for a public key and {public} or 64 for a private one",
        public = VerifyingKey::LEN
    )]
    Ed25519Length {
        /// How many bytes it has.
        found: usize,
    },
    /// Not canonical base64.
    #[error("is not padded base64 after its prefix")]
    Encoding,
    /// An id that is none.
    #[error("has an id that is not 1 to 128 visible ascii characters without quote and backslash")]
    KeyId,
    /// Too short or too long.
    #[error("is {found} bytes, expected {min} to {max}", min = SigningKey::MIN_LEN, max = SigningKey::MAX_LEN)]
    Length {
        /// How many bytes it has.
        found: usize,
    },
    /// The public half of a private key belongs to another one.
    #[error("has a public half that is not that of its private half")]
    Pair,
    /// No usable public key.
    #[error("is no point of the curve, or one of small order")]
    Point,
    /// A provider's secret with a control character, or white space at an end.
    #[error("has a control character, or white space at an end")]
    SecretCharacter,
    /// A provider's secret of another length.
    #[error("is {found} bytes, expected {min} to {max}", min = ProviderSecret::MIN_LEN, max = ProviderSecret::MAX_LEN)]
    SecretLength {
        /// How many bytes it has.
        found: usize,
    },
    /// Another kind of key, or no key.
    #[error("does not start with the prefix of a key of this kind")]
    Prefix,
}

impl KeyError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> KeyErrorKind {
        self.kind
    }

    /// `sign.key_encoding`, `sign.key_id`, `sign.key_length`, `sign.key_pair`, `sign.key_point` or `sign.key_prefix`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            KeyErrorKind::Encoding | KeyErrorKind::SecretCharacter => "sign.key_encoding",
            KeyErrorKind::Ed25519Length { .. }
            | KeyErrorKind::Length { .. }
            | KeyErrorKind::SecretLength { .. } => "sign.key_length",
            KeyErrorKind::KeyId => "sign.key_id",
            KeyErrorKind::Pair => "sign.key_pair",
            KeyErrorKind::Point => "sign.key_point",
            KeyErrorKind::Prefix => "sign.key_prefix",
        }
    }
}

impl From<KeyErrorKind> for KeyError {
    fn from(kind: KeyErrorKind) -> Self {
        Self { kind }
    }
}
