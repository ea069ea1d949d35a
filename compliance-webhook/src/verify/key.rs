//! A receiver's key of either scheme.

use crate::sign::{KeyError, KeyErrorKind, SigningKey, VerifyingKey};

/// What a receiver verifies with: a shared secret (scheme `v1`) or the sender's public key (scheme `v1a`).
///
/// ```
/// use compliance_webhook::verify::ReceiverKey;
///
/// assert!(ReceiverKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").is_ok());
/// assert!(ReceiverKey::parse("whpk_JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=").is_ok());
/// assert_eq!(ReceiverKey::parse("whsk_AA==").unwrap_err().code(), "sign.key_prefix");
/// ```
#[derive(Clone, Debug)]
pub struct ReceiverKey(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Public(VerifyingKey),
    Shared(SigningKey),
}

impl ReceiverKey {
    /// Reads the text form of either.
    ///
    /// # Errors
    /// Those of [`SigningKey::parse`] for what starts with `whsec_`, those of [`VerifyingKey::parse`] for `whpk_`,
    /// `sign.key_prefix` for anything else; a private key has no business at a receiver.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(SigningKey::PREFIX) {
            SigningKey::parse(text).map(Self::from)
        } else if text.starts_with(VerifyingKey::PREFIX) {
            VerifyingKey::parse(text).map(Self::from)
        } else {
            Err(KeyErrorKind::Prefix.into())
        }
    }
}

#[cfg(feature = "http-signatures")]
impl ReceiverKey {
    /// As RFC 9421 §6.2.2 names it.
    pub(super) fn algorithm(&self) -> &'static str {
        match self.0 {
            Kind::Public(_) => "ed25519",
            Kind::Shared(_) => "hmac-sha256",
        }
    }

    /// Whether it is the bare signature of a whole text.
    pub(super) fn matches(&self, message: &[u8], signature: &[u8]) -> bool {
        use subtle::ConstantTimeEq as _;

        match &self.0 {
            Kind::Public(key) => signature.try_into().is_ok_and(|signature| key.matches(message, signature)),
            Kind::Shared(key) => key.mac(message).ct_eq(signature).into(),
        }
    }
}

impl From<SigningKey> for ReceiverKey {
    fn from(key: SigningKey) -> Self {
        Self(Kind::Shared(key))
    }
}

impl From<VerifyingKey> for ReceiverKey {
    fn from(key: VerifyingKey) -> Self {
        Self(Kind::Public(key))
    }
}
