//! A sender's key of either scheme.

use std::fmt;

use secrecy::SecretString;

use super::{Ed25519Key, KeyError, KeyErrorKind, SCHEME_V1, SCHEME_V1A, SigningKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a sender signs with: a shared secret (scheme `v1`) or a key pair (scheme `v1a`).
///
/// ```
/// use compliance_webhook::sign::SenderKey;
///
/// assert!(SenderKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").is_ok());
/// let public = "whpk_JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=";
/// assert_eq!(SenderKey::parse(public).unwrap_err().code(), "sign.key_prefix");
/// ```
#[derive(Clone)]
pub struct SenderKey(Kind);

#[derive(Clone)]
enum Kind {
    Ed25519(Box<Ed25519Key>),
    Shared(SigningKey),
}

impl SenderKey {
    /// Reads the text form of either.
    ///
    /// # Errors
    /// Those of [`SigningKey::parse`] for what starts with `whsec_`, those of [`Ed25519Key::parse`] for `whsk_`,
    /// `sign.key_prefix` for anything else.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(SigningKey::PREFIX) {
            SigningKey::parse(text).map(Self::from)
        } else if text.starts_with(Ed25519Key::PREFIX) {
            Ed25519Key::parse(text).map(Self::from)
        } else {
            Err(KeyErrorKind::Prefix.into())
        }
    }

    /// The text form, to store sealed.
    #[must_use]
    pub fn to_secret(&self) -> SecretString {
        match &self.0 {
            Kind::Ed25519(key) => key.to_secret(),
            Kind::Shared(key) => key.to_secret(),
        }
    }

    /// The bare signature of a whole text.
    #[cfg(feature = "http-signatures")]
    pub(crate) fn sign_bytes(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Kind::Ed25519(key) => key.sign(message).to_vec(),
            Kind::Shared(key) => key.mac(message).to_vec(),
        }
    }

    /// How many bytes [`sign`](Self::sign) appends.
    pub(super) fn entry_len(&self) -> usize {
        match &self.0 {
            Kind::Ed25519(_) => const { SCHEME_V1A.len() + 1 + 88 },
            Kind::Shared(_) => const { SCHEME_V1.len() + 1 + 44 },
        }
    }

    /// Appends `scheme,signature` for `id.timestamp.payload`.
    pub(crate) fn sign(&self, id: &[u8], timestamp: &[u8], payload: &[u8], to: &mut String) {
        match &self.0 {
            Kind::Shared(key) => {
                to.push_str(SCHEME_V1);
                to.push(',');
                STANDARD.encode_string(key.tag(id, timestamp, payload), to);
            }
            Kind::Ed25519(key) => {
                to.push_str(SCHEME_V1A);
                to.push(',');
                let message = [id, b".", timestamp, b".", payload].concat();
                STANDARD.encode_string(key.sign(&message), to);
            }
        }
    }
}

impl From<SigningKey> for SenderKey {
    fn from(key: SigningKey) -> Self {
        Self(Kind::Shared(key))
    }
}

impl From<&SigningKey> for SenderKey {
    fn from(key: &SigningKey) -> Self {
        key.clone().into()
    }
}

impl From<Ed25519Key> for SenderKey {
    fn from(key: Ed25519Key) -> Self {
        Self(Kind::Ed25519(Box::new(key)))
    }
}

impl From<&Ed25519Key> for SenderKey {
    fn from(key: &Ed25519Key) -> Self {
        key.clone().into()
    }
}

impl From<&SenderKey> for SenderKey {
    fn from(key: &SenderKey) -> Self {
        key.clone()
    }
}

impl fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Ed25519(_) => "SenderKey(v1a, [redacted])",
            Kind::Shared(_) => "SenderKey(v1, [redacted])",
        })
    }
}
