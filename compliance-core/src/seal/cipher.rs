//! Sealing and opening: key derivation per message, commitment, AES-256-GCM-SIV.
//!
//! For each message, with data key `K`, nonce `N` and context digest `D`:
//!
//! * `D` = SHA-256 of version, key id and the length-prefixed parts of the context;
//! * message key = HKDF-Expand(`K`, "compliance/seal/v1/encrypt" ‖ `N` ‖ `D`);
//! * commitment = HKDF-Expand(`K`, "compliance/seal/v1/commit" ‖ `N` ‖ `D`);
//! * ciphertext = AES-256-GCM-SIV(message key, `N`, associated data `D`, value).
//!
//! GCM-SIV alone commits to neither key nor associated data: one ciphertext can be made that opens under two
//! keys. The commitment is one HMAC-SHA256 over all three, checked in constant time before anything is
//! decrypted, so a sealed value opens under one key and one context only.

use std::fmt;

use aes::Aes256Enc;
use aes_gcm_siv::aead::{AeadInOut, KeyInit};
use aes_gcm_siv::{AesGcmSiv, Nonce, Tag};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::hash::{Keyed, Message};
use super::{KeyId, Sealed};
use crate::id::TenantId;
use crate::kdf;
use crate::random::{RandomError, SecureRandom};

/// GCM-SIV encrypts blocks and never decrypts one (RFC 8452 §4): round keys for the one direction are enough.
type Aes256GcmSiv = AesGcmSiv<Aes256Enc>;

const CONTEXT: &[u8; 26] = b"compliance/seal/v1/context";
const ENCRYPT: &[u8; 26] = b"compliance/seal/v1/encrypt";
const COMMIT: &[u8; 25] = b"compliance/seal/v1/commit";

/// What a sealed value is and where it stands. It opens in the same context only, so it cannot be moved to
/// another tenant, field or record.
///
/// Not kept with the value: whoever opens it says what they take it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealContext<'a> {
    tenant: Option<&'a str>,
    kind: &'a str,
    record: &'a [u8],
}

impl<'a> SealContext<'a> {
    /// The kind of value, such as `audit.field` or `webhook.secret`, with no tenant and no record.
    #[must_use]
    pub const fn new(kind: &'a str) -> Self {
        Self { tenant: None, kind, record: &[] }
    }

    /// The tenant the value belongs to.
    #[must_use]
    pub fn tenant(self, tenant: &'a TenantId) -> Self {
        Self { tenant: Some(tenant.as_str()), ..self }
    }

    /// The record and field, or the endpoint: whatever names the one place where the value stands.
    #[must_use]
    pub const fn record(self, record: &'a [u8]) -> Self {
        Self { record, ..self }
    }

    fn digest(&self, key: KeyId) -> [u8; 32] {
        let tenant = self.tenant.unwrap_or_default().as_bytes();
        let mut message = Message::new();
        message.put(CONTEXT);
        message.put(&[Sealed::VERSION]);
        message.put(&key.0);
        message.put(&[u8::from(self.tenant.is_some())]);
        for part in [tenant, self.kind.as_bytes(), self.record] {
            message.put(&kdf::length(part));
            message.put(part);
        }
        message.digest()
    }
}

/// The key of one owner.
///
/// Wiped from memory when dropped; no `Clone`; `Debug` shows its id only. Holding one keeps it usable after
/// [`KeyStore::destroy`](super::KeyStore::destroy), so do not hold one longer than a piece of work.
pub struct DataKey {
    id: KeyId,
    key: kdf::Key,
    keyed: Keyed,
}

impl DataKey {
    /// Makes a key with a random id.
    pub(super) fn generate(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        let mut id = [0; KeyId::LEN];
        let mut key = Zeroizing::new([0; 32]);
        random.fill(&mut id)?;
        random.fill(&mut *key)?;
        Ok(Self::from_parts(KeyId(id), key))
    }

    pub(super) fn from_parts(id: KeyId, key: kdf::Key) -> Self {
        let keyed = Keyed::new(&key);
        Self { id, key, keyed }
    }

    pub(super) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The key's name.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Seals a value for `context`, with a random nonce.
    ///
    /// # Errors
    /// [`SealErrorKind::TooLong`] past [`Sealed::MAX_VALUE_LEN`], [`SealErrorKind::Random`] when the random
    /// source fails.
    pub fn seal(
        &self,
        context: SealContext<'_>,
        value: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Sealed, SealError> {
        if value.len() > Sealed::MAX_VALUE_LEN {
            return Err(SealErrorKind::TooLong { found: value.len() }.into());
        }
        let mut nonce = [0; Sealed::NONCE_LEN];
        random.fill(&mut nonce).map_err(|_| SealErrorKind::Random)?;

        let digest = context.digest(self.id);
        let mut buffer = Vec::with_capacity(value.len().saturating_add(Sealed::TAG_LEN));
        buffer.extend_from_slice(value);
        let message_key = self.keyed.expand(ENCRYPT, &nonce, &digest);
        // INVARIANT: `value` and `digest` are far below the 2³⁶ bytes past which the cipher refuses.
        let tag = encrypt(message_key.as_bytes(), &nonce, &digest, &mut buffer)
            .ok_or(SealErrorKind::TooLong { found: value.len() })?;
        buffer.extend_from_slice(&tag);
        let commitment = *self.keyed.expand(COMMIT, &nonce, &digest).as_bytes();
        Ok(Sealed { key: self.id, nonce, commitment, ciphertext: buffer.into() })
    }

    /// Opens a value that this key sealed for the same context.
    ///
    /// # Errors
    /// [`OpenErrorKind::Failed`], whatever the cause: another key, another context, a changed byte.
    pub fn open(&self, context: SealContext<'_>, sealed: &Sealed) -> Result<Opened, OpenError> {
        let failed = OpenErrorKind::Failed;
        let digest = context.digest(self.id);
        let commitment = self.keyed.expand(COMMIT, &sealed.nonce, &digest);
        let is_committed = bool::from(commitment.as_bytes().ct_eq(&sealed.commitment));
        if sealed.key != self.id || !is_committed {
            return Err(failed.into());
        }
        let (ciphertext, tag) = sealed.ciphertext.split_last_chunk().ok_or(failed)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let message_key = self.keyed.expand(ENCRYPT, &sealed.nonce, &digest);
        decrypt(message_key.as_bytes(), &sealed.nonce, &digest, &mut buffer, tag).ok_or(failed)?;
        Ok(Opened(buffer))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("id", &self.id).finish_non_exhaustive()
    }
}

fn encrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    buffer: &mut [u8],
) -> Option<[u8; Sealed::TAG_LEN]> {
    let cipher = Aes256GcmSiv::new(key.into());
    let tag = cipher.encrypt_inout_detached(&Nonce::from(*nonce), associated, buffer.into()).ok()?;
    Some(tag.into())
}

fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; 12],
    associated: &[u8],
    buffer: &mut [u8],
    tag: &[u8; Sealed::TAG_LEN],
) -> Option<()> {
    let cipher = Aes256GcmSiv::new(key.into());
    let (nonce, tag) = (Nonce::from(*nonce), Tag::from(*tag));
    cipher.decrypt_inout_detached(&nonce, associated, buffer.into(), &tag).ok()
}

/// An opened value. Wiped from memory when dropped; `Debug` shows nothing of it.
pub struct Opened(Zeroizing<Vec<u8>>);

impl Opened {
    /// The value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[opened]")
    }
}

/// Why a value could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct SealError {
    kind: SealErrorKind,
}

impl SealError {
    /// What was wrong.
    #[must_use]
    pub const fn kind(&self) -> SealErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            SealErrorKind::KeyStore(kind) => kind.code(),
            SealErrorKind::Random => "seal.random_failed",
            SealErrorKind::TooLong { .. } => "seal.too_long",
        }
    }
}

impl From<SealErrorKind> for SealError {
    fn from(kind: SealErrorKind) -> Self {
        Self { kind }
    }
}

/// What was wrong when sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealErrorKind {
    /// The store did not give the owner's key.
    #[error("key store: {0}")]
    KeyStore(super::KeyStoreErrorKind),
    /// The random source failed.
    #[error("random source failed")]
    Random,
    /// Longer than [`Sealed::MAX_VALUE_LEN`].
    #[error("value is {found} bytes, at most {} can be sealed", Sealed::MAX_VALUE_LEN)]
    TooLong {
        /// The value's length in bytes.
        found: usize,
    },
}

/// Why a value was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct OpenError {
    kind: OpenErrorKind,
}

impl OpenError {
    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> OpenErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            OpenErrorKind::Destroyed => "seal.destroyed",
            OpenErrorKind::Failed => "seal.open_failed",
            OpenErrorKind::Unavailable => "seal.store_unavailable",
        }
    }
}

impl From<OpenErrorKind> for OpenError {
    fn from(kind: OpenErrorKind) -> Self {
        Self { kind }
    }
}

/// What happened when opening. Which of the ways to fail it was is not said: the difference would help nobody but
/// a forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The key was destroyed: the value is erased.
    #[error("the key was destroyed, the value is erased")]
    Destroyed,
    /// Another key, another context, a changed byte, a key the store never had.
    #[error("value cannot be opened")]
    Failed,
    /// The store could not be asked.
    #[error("key store is not available")]
    Unavailable,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    #[track_caller]
    fn check(key: &str, nonce: &str, associated: &str, value: &str, expected: &str) {
        let (key, nonce) = (bytes(key).try_into().unwrap(), bytes(nonce).try_into().unwrap());
        let (associated, value) = (bytes(associated), bytes(value));
        let mut buffer = value.clone();
        let tag = encrypt(&key, &nonce, &associated, &mut buffer).unwrap();
        assert_eq!([&buffer[..], &tag[..]].concat(), bytes(expected));
        decrypt(&key, &nonce, &associated, &mut buffer, &tag).unwrap();
        assert_eq!(buffer, value);
    }

    /// RFC 8452 appendices C.2 and C.3 (AES-256): key, nonce, associated data, plaintext, result.
    #[test]
    fn rfc_8452_vectors() {
        let mut vectors = 0;
        for line in include_str!("../../tests/vectors/rfc8452_aes256.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let [key, nonce, associated, value, expected]: [&str; 5] =
                line.split(' ').map(|hex| hex.trim_matches('-')).collect::<Vec<_>>().try_into().unwrap();
            check(key, nonce, associated, value, expected);
            vectors += 1;
        }
        assert_eq!(vectors, VECTORS);
    }

    #[test]
    fn wycheproof_vectors() {
        let Some(folder) = std::env::var_os("COMPLIANCE_CORPUS") else {
            println!("skipped: COMPLIANCE_CORPUS is not set");
            return;
        };
        let file = std::path::Path::new(&folder).join("wycheproof/aes_gcm_siv_test.json");
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let mut vectors = 0;
        for group in file["testGroups"].as_array().unwrap().iter().filter(|group| group["keySize"] == 256) {
            for test in group["tests"].as_array().unwrap() {
                let field = |name: &str| bytes(test[name].as_str().unwrap());
                let Ok(nonce) = field("iv").try_into() else { continue };
                let (key, tag) = (field("key").try_into().unwrap(), field("tag").try_into().unwrap());
                let mut buffer = field("ct");
                let opened = decrypt(&key, &nonce, &field("aad"), &mut buffer, &tag);
                let valid = test["result"] == "valid";
                assert_eq!(opened.is_some() && buffer == field("msg"), valid, "{}", test["tcId"]);
                vectors += 1;
            }
        }
        assert!(vectors > 90, "{vectors}");
    }

    /// Two keys that agree on a message key and a tag cannot be told apart by the cipher; the commitment tells.
    #[test]
    fn a_value_that_the_cipher_would_open_is_refused_without_its_commitment() {
        let key = DataKey::from_parts(KeyId([1; 16]), Zeroizing::new([2; 32]));
        let context = SealContext::new("test");
        let digest = context.digest(key.id);
        let nonce = [3; 12];
        let mut ciphertext = b"value".to_vec();
        let message_key = kdf::expand(&key.key, &[ENCRYPT, &nonce, &digest]);
        let tag = encrypt(&message_key, &nonce, &digest, &mut ciphertext).unwrap();
        ciphertext.extend_from_slice(&tag);

        let commitment = *kdf::expand(&key.key, &[COMMIT, &nonce, &digest]);
        let good = Sealed { key: key.id, nonce, commitment, ciphertext: ciphertext.into() };
        assert_eq!(key.open(context, &good).unwrap().as_bytes(), b"value");
        let other = DataKey::from_parts(key.id, Zeroizing::new([4; 32]));
        let wrong = Sealed { commitment: *kdf::expand(&other.key, &[COMMIT, &nonce, &digest]), ..good };
        assert_eq!(key.open(context, &wrong).unwrap_err().kind(), OpenErrorKind::Failed);
        assert_eq!(other.open(context, &wrong).unwrap_err().kind(), OpenErrorKind::Failed);
    }

    /// Written once and never to change under version 1. Made with Python's `hashlib`, `hmac` and
    /// `cryptography`, independently of this code.
    #[test]
    fn version_1_is_what_it_always_was() {
        #[derive(Debug)]
        struct Fixed;
        impl SecureRandom for Fixed {
            fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError> {
                dest.fill(3);
                Ok(())
            }
        }
        let key = DataKey::from_parts(KeyId([1; 16]), Zeroizing::new([2; 32]));
        let tenant = TenantId::new("acme").unwrap();
        let context = SealContext::new("audit.field").tenant(&tenant).record(b"event-1/email");
        let sealed = key.seal(context, b"anna@example.com", &Fixed).unwrap();
        assert_eq!(sealed.to_bytes(), bytes(GOLDEN));
    }

    const VECTORS: usize = 26;
    const GOLDEN: &str = "\
        0101010101010101010101010101010101030303030303030303030303ea1d8cecea8a5b895fa300\
        b920392fe781878ec29c3eec9553ac50a0e53714910000002072544cea7764481c529fd8d61e436f\
        c91b8d8875e6aeed5304c1ccc141ad945c";
}
