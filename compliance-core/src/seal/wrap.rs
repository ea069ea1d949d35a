//! Key-encryption keys and the wrapping of data keys.

use zeroize::Zeroizing;

use super::cipher::{DataKey, SealContext};
use super::store::{KeyOwner, KeyStoreError, KeyStoreErrorKind};
use super::{KeyId, Sealed, SealedError, SealedErrorKind};
use crate::kdf;
use crate::random::SecureRandom;

const ROOT: &[u8] = b"compliance/seal/v1/key-encryption-key";
const KEY_ID: &[u8] = b"compliance/seal/v1/key-id";
const WRAP: &str = "seal.data_key";

/// A key that wraps data keys and nothing else: the one secret a service keeps outside its store.
///
/// Wiped from memory when dropped; no `Clone`; `Debug` shows its id only.
#[derive(Debug)]
pub struct KeyEncryptionKey(DataKey);

impl KeyEncryptionKey {
    /// The shortest secret, in bytes.
    pub const MIN_SECRET_LEN: usize = 32;

    /// Derives the key from a secret of at least [`MIN_SECRET_LEN`](Self::MIN_SECRET_LEN) random bytes.
    ///
    /// # Errors
    /// [`KeySecretError`] when it is shorter.
    ///
    /// # Security
    /// Length is all that can be checked: take the bytes from a random source, not from a person. Keep them apart
    /// from the store and its backups, or destroying a data key destroys nothing.
    pub fn new(secret: &[u8]) -> Result<Self, KeySecretError> {
        if secret.len() < Self::MIN_SECRET_LEN {
            return Err(KeySecretError { found: secret.len() });
        }
        let key = kdf::extract(ROOT, secret);
        let id = kdf::expand(&key, &[KEY_ID]);
        let (id, _) = id.split_first_chunk().unwrap_or((&[0; KeyId::LEN], &[]));
        Ok(Self(DataKey::from_parts(KeyId::from_bytes(*id), key)))
    }

    /// The key's name, derived from the key.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.0.id()
    }
}

/// A data key encrypted under a [`KeyEncryptionKey`], as a store keeps it.
///
/// Encoded (version 1): one byte of version, 16 of the data key's id, then a [`Sealed`]. Bound to its owner: the
/// bytes of one owner's key do not unwrap as another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WrappedKey {
    key: KeyId,
    sealed: Sealed,
}

impl WrappedKey {
    const VERSION: u8 = 1;

    /// The data key inside.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// The key-encryption key it is wrapped under.
    #[must_use]
    pub const fn wrapped_under(&self) -> KeyId {
        self.sealed.key()
    }

    /// The encoded form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[Self::VERSION][..], self.key.as_bytes(), &self.sealed.to_bytes()].concat()
    }

    /// Reads the encoded form.
    ///
    /// # Errors
    /// As [`Sealed::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealedError> {
        match bytes.split_first() {
            Some((&Self::VERSION, rest)) => {
                let (key, sealed) = rest.split_first_chunk().ok_or(SealedErrorKind::Malformed)?;
                Ok(Self { key: KeyId::from_bytes(*key), sealed: Sealed::from_bytes(sealed)? })
            }
            Some(_) => Err(SealedErrorKind::UnknownVersion.into()),
            None => Err(SealedErrorKind::Malformed.into()),
        }
    }
}

/// The key-encryption keys a store works with: the current one wraps, it and the previous ones unwrap.
///
/// For implementations of [`KeyStore`](super::KeyStore): they keep [`WrappedKey`]s and leave the rest to this.
#[derive(Debug)]
pub struct KeyRing {
    current: KeyEncryptionKey,
    previous: Vec<KeyEncryptionKey>,
}

impl KeyRing {
    /// A ring of one key.
    #[must_use]
    pub const fn new(current: KeyEncryptionKey) -> Self {
        Self { current, previous: Vec::new() }
    }

    /// Adds a key that only unwraps: one that was current when some of the wrapped keys were made.
    #[must_use]
    pub fn with_previous(mut self, key: KeyEncryptionKey) -> Self {
        self.previous.push(key);
        self
    }

    /// The key that wraps.
    #[must_use]
    pub const fn current(&self) -> KeyId {
        self.current.id()
    }

    /// Makes `to` current; the key so far stays for unwrapping. [`rewrap`](Self::rewrap) every wrapped key, then
    /// [`forget_previous`](Self::forget_previous).
    pub fn rotate(&mut self, to: KeyEncryptionKey) {
        self.previous.push(std::mem::replace(&mut self.current, to));
    }

    /// Drops and wipes all keys but the current one.
    pub fn forget_previous(&mut self) {
        self.previous.clear();
    }

    /// Makes a data key for an owner and wraps it.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Random`].
    pub fn create(
        &self,
        owner: &KeyOwner,
        random: &dyn SecureRandom,
    ) -> Result<(DataKey, WrappedKey), KeyStoreError> {
        let key = DataKey::generate(random).map_err(|_| KeyStoreErrorKind::Random)?;
        let wrapped = self.wrap(owner, &key, random)?;
        Ok((key, wrapped))
    }

    /// Wraps a data key of an owner under the current key.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Random`].
    pub fn wrap(
        &self,
        owner: &KeyOwner,
        key: &DataKey,
        random: &dyn SecureRandom,
    ) -> Result<WrappedKey, KeyStoreError> {
        let record = record(owner, key.id());
        let context = context(owner, &record);
        let sealed =
            self.current.0.seal(context, key.key(), random).map_err(|_| KeyStoreErrorKind::Random)?;
        Ok(WrappedKey { key: key.id(), sealed })
    }

    /// Unwraps a data key of an owner.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::NotUnwrapped`] when no key of the ring wrapped it, for this owner and id, as it is.
    pub fn unwrap_key(&self, owner: &KeyOwner, wrapped: &WrappedKey) -> Result<DataKey, KeyStoreError> {
        let failed = KeyStoreErrorKind::NotUnwrapped;
        let key = std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|key| key.id() == wrapped.wrapped_under())
            .ok_or(failed)?;
        let record = record(owner, wrapped.key);
        let opened = key.0.open(context(owner, &record), &wrapped.sealed).map_err(|_| failed)?;
        let bytes: &[u8; 32] = opened.as_bytes().try_into().map_err(|_| failed)?;
        Ok(DataKey::from_parts(wrapped.key, Zeroizing::new(*bytes)))
    }

    /// Wraps a wrapped key anew under the current key. What it sealed is untouched.
    ///
    /// # Errors
    /// As [`unwrap_key`](Self::unwrap_key) and [`wrap`](Self::wrap).
    pub fn rewrap(
        &self,
        owner: &KeyOwner,
        wrapped: &WrappedKey,
        random: &dyn SecureRandom,
    ) -> Result<WrappedKey, KeyStoreError> {
        self.wrap(owner, &self.unwrap_key(owner, wrapped)?, random)
    }
}

fn context<'a>(owner: &'a KeyOwner, record: &'a [u8]) -> SealContext<'a> {
    let context = SealContext::new(WRAP).record(record);
    match owner.tenant() {
        Some(tenant) => context.tenant(tenant),
        None => context,
    }
}

fn record(owner: &KeyOwner, key: KeyId) -> Vec<u8> {
    let (kind, name) = (owner.kind().as_bytes(), owner.name().as_bytes());
    [key.as_bytes(), &kdf::length(kind)[..], kind, &kdf::length(name)[..], name].concat()
}

/// A secret was too short for a key-encryption key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key-encryption secret is {found} bytes, need at least {min}", min = KeyEncryptionKey::MIN_SECRET_LEN)]
pub struct KeySecretError {
    found: usize,
}

impl KeySecretError {
    /// `seal.secret_too_short`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "seal.secret_too_short"
    }
}
