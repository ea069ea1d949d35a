//! Sealed values: encrypted under a key that belongs to one subject or secret, so that destroying the key erases
//! the value wherever its bytes were copied to.
//!
//! [`Sealed`] is the value that audit events and tables hold. Sealing and opening take the feature `seal`:
//!
//! * a `DataKey` per owner – a data subject, an actor, an endpoint's secret – seals values with AES-256-GCM-SIV
//!   (RFC 8452) and a key commitment, bound to a `SealContext`;
//! * a `KeyStore` keeps data keys wrapped under a `KeyEncryptionKey`; rotating that one re-wraps data keys
//!   and touches no sealed value; its `destroy` erases all that a data key sealed.
//!
//! ```
//! # #[cfg(feature = "seal")] {
//! use compliance_core::clock::Timestamp;
//! use compliance_core::random::SystemRandom;
//! use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyStore, MemoryKeyStore, SealContext};
//!
//! # let secret = [7; 32];
//! let store = MemoryKeyStore::new(KeyEncryptionKey::new(&secret).unwrap());
//! let anna = KeyOwner::new("audit.subject", "user-17").unwrap();
//! let context = SealContext::new("audit.field").record(b"event-1/email");
//!
//! let sealed = store.seal(&anna, context, b"anna@example.com", &SystemRandom).unwrap();
//! assert_eq!(store.open(context, &sealed).unwrap().as_bytes(), b"anna@example.com");
//!
//! let receipt = store.destroy(sealed.key(), Timestamp::UNIX_EPOCH).unwrap();
//! assert_eq!(receipt.key(), sealed.key());
//! assert_eq!(store.open(context, &sealed).unwrap_err().code(), "seal.destroyed");
//! # }
//! ```
//!
//! # What it does not do
//! The length of a value is not hidden, nor that two values belong to one owner (they name one key). Whoever
//! holds the store and its key-encryption key reads everything not yet destroyed. A destroyed key is gone only
//! when every backup of the wrapped key is: see `DestroyReceipt`.

#[cfg(feature = "seal")]
mod cipher;
#[cfg(feature = "seal")]
mod hash;
#[cfg(feature = "seal")]
mod memory;
#[cfg(feature = "seal")]
mod store;
#[cfg(feature = "seal")]
mod wrap;

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "seal")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "seal")))]
pub use self::{
    cipher::{DataKey, OpenError, OpenErrorKind, Opened, SealContext, SealError, SealErrorKind},
    memory::MemoryKeyStore,
    store::{DestroyReceipt, KeyOwner, KeyOwnerError, KeyStore, KeyStoreError, KeyStoreErrorKind},
    wrap::{KeyEncryptionKey, KeyRing, KeySecretError, WrappedKey},
};

/// The name of a data key or a key-encryption key: 128 bits, shown as 32 lower-case hexadecimal digits.
///
/// A data key's is random and says nothing of its owner. A key-encryption key's is derived from it, so that no
/// two can be given one name by mistake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    /// The length in bytes.
    pub const LEN: usize = 16;

    /// For stores that keep the bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = SealedError;

    fn from_str(text: &str) -> Result<Self, SealedError> {
        let lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() != 2 * Self::LEN || !lower {
            return Err(SealedErrorKind::Malformed.into());
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| SealedErrorKind::Malformed)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// An encrypted value.
///
/// Encoded (version 1): one byte of version, 16 of key id, 12 of nonce, 32 of commitment, four of length
/// (big-endian), then the ciphertext with its 16-byte tag. Nothing may follow; an unknown version is refused.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed {
    key: KeyId,
    nonce: [u8; Self::NONCE_LEN],
    commitment: [u8; Self::COMMITMENT_LEN],
    ciphertext: Box<[u8]>,
}

impl Sealed {
    /// How many bytes the encoded form has more than the value.
    pub const OVERHEAD: usize = 1 + KeyId::LEN + Self::NONCE_LEN + Self::COMMITMENT_LEN + 4 + Self::TAG_LEN;
    /// The longest encoded form, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;
    /// The longest value that can be sealed, in bytes.
    pub const MAX_VALUE_LEN: usize = Self::MAX_LEN - Self::OVERHEAD;

    const NONCE_LEN: usize = 12;
    const COMMITMENT_LEN: usize = 32;
    const TAG_LEN: usize = 16;
    /// What stands before the ciphertext.
    const HEAD_LEN: usize = Self::OVERHEAD - Self::TAG_LEN;
    const VERSION: u8 = 1;

    /// Which data key opens it.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The encoded form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let head = self.head();
        let mut bytes = Vec::with_capacity(head.len().saturating_add(self.ciphertext.len()));
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.ciphertext);
        bytes
    }

    /// The encoded form in two pieces: what stands before the ciphertext, and the ciphertext.
    pub(crate) fn parts(&self) -> ([u8; Self::HEAD_LEN], &[u8]) {
        (self.head(), &self.ciphertext)
    }

    fn head(&self) -> [u8; Self::HEAD_LEN] {
        let length = u32::try_from(self.ciphertext.len()).unwrap_or(u32::MAX);
        let mut head = [Self::VERSION; Self::HEAD_LEN];
        let (_, rest) = head.split_at_mut(1);
        let (key, rest) = rest.split_at_mut(KeyId::LEN);
        let (nonce, rest) = rest.split_at_mut(Self::NONCE_LEN);
        let (commitment, rest) = rest.split_at_mut(Self::COMMITMENT_LEN);
        key.copy_from_slice(&self.key.0);
        nonce.copy_from_slice(&self.nonce);
        commitment.copy_from_slice(&self.commitment);
        rest.copy_from_slice(&length.to_be_bytes());
        head
    }

    /// Reads the encoded form. Says nothing of whether it will open.
    ///
    /// # Errors
    /// [`SealedErrorKind::UnknownVersion`] unless the first byte is 1; [`SealedErrorKind::Malformed`] when it is
    /// longer than [`MAX_LEN`](Self::MAX_LEN), cut short, or has bytes left over.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealedError> {
        let malformed = SealedErrorKind::Malformed;
        match bytes.first() {
            Some(&Self::VERSION) => {}
            Some(_) => return Err(SealedErrorKind::UnknownVersion.into()),
            None => return Err(malformed.into()),
        }
        if bytes.len() > Self::MAX_LEN {
            return Err(malformed.into());
        }
        let (_, rest) = bytes.split_first_chunk::<1>().ok_or(malformed)?;
        let (key, rest) = rest.split_first_chunk().ok_or(malformed)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(malformed)?;
        let (commitment, rest) = rest.split_first_chunk().ok_or(malformed)?;
        let (length, ciphertext) = rest.split_first_chunk().ok_or(malformed)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| malformed)?;
        if ciphertext.len() != length || length < Self::TAG_LEN {
            return Err(malformed.into());
        }
        Ok(Self { key: KeyId(*key), nonce: *nonce, commitment: *commitment, ciphertext: ciphertext.into() })
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Bytes or text that are no encoded [`Sealed`], [`KeyId`] or wrapped key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct SealedError {
    kind: SealedErrorKind,
}

impl SealedError {
    /// What was wrong.
    #[must_use]
    pub const fn kind(&self) -> SealedErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            SealedErrorKind::Malformed => "seal.malformed",
            SealedErrorKind::UnknownVersion => "seal.unknown_version",
        }
    }
}

impl From<SealedErrorKind> for SealedError {
    fn from(kind: SealedErrorKind) -> Self {
        Self { kind }
    }
}

/// What was wrong with an encoded form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedErrorKind {
    /// Cut short, too long, or not of its shape.
    #[error("sealed value is malformed")]
    Malformed,
    /// Written by a version that is not known.
    #[error("sealed value has a version that is not known, expected 1")]
    UnknownVersion,
}
