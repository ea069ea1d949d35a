//! Where data keys are kept and destroyed.

use std::fmt;

use super::cipher::{DataKey, OpenError, OpenErrorKind, Opened, SealContext, SealError, SealErrorKind};
use super::wrap::KeyEncryptionKey;
use super::{KeyId, Sealed};
use crate::class::dotted_code;
use crate::clock::Timestamp;
use crate::id::TenantId;
use crate::random::SecureRandom;

/// Whose key it is: tenant, kind and name. One owner has at most one living key.
///
/// The kind separates the keys of one person by use, so that each can be destroyed when its own time comes:
/// `audit.subject` at an erasure, `audit.actor` when the trail's retention ends, `webhook.secret` with the
/// endpoint. `Debug` does not show the name: it may be a person's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyOwner {
    tenant: Option<TenantId>,
    kind: Box<str>,
    name: Box<str>,
}

impl KeyOwner {
    /// The longest name, in bytes.
    pub const MAX_NAME_LEN: usize = 256;

    /// An owner without a tenant. `kind` is a dotted lower-case code of at most 64 bytes; `name` is an identifier of
    /// 1 to [`MAX_NAME_LEN`](Self::MAX_NAME_LEN) bytes, taken as it is.
    ///
    /// # Errors
    /// [`KeyOwnerError`] when either has another shape.
    pub fn new(kind: &str, name: &str) -> Result<Self, KeyOwnerError> {
        if !dotted_code(kind) {
            return Err(KeyOwnerError::Kind);
        }
        if name.is_empty() || name.len() > Self::MAX_NAME_LEN {
            return Err(KeyOwnerError::Name { found: name.len() });
        }
        Ok(Self { tenant: None, kind: kind.into(), name: name.into() })
    }

    /// The same owner within a tenant.
    #[must_use]
    pub fn of_tenant(self, tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), ..self }
    }

    /// The tenant.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyOwner").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why an owner was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyOwnerError {
    /// The kind is no dotted lower-case code.
    #[error("kind of key owner is not a dotted lower-case code like `audit.subject`")]
    Kind,
    /// The name is empty or too long.
    #[error("name of key owner is {found} bytes, expected 1 to {}", KeyOwner::MAX_NAME_LEN)]
    Name {
        /// The length found, in bytes.
        found: usize,
    },
}

impl KeyOwnerError {
    /// `seal.owner_kind` or `seal.owner_name`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Kind => "seal.owner_kind",
            Self::Name { .. } => "seal.owner_name",
        }
    }
}

/// Keeps data keys, wrapped, and destroys them.
///
/// Methods may block on a disk; call them where blocking is allowed. Implementations build on
/// [`KeyRing`](super::KeyRing) and promise:
///
/// * an owner has at most one living key, also when two calls race;
/// * `Ok` from [`create`](Self::create) and [`destroy`](Self::destroy) means durable;
/// * a destroyed key's id is remembered: [`unwrap_key`](Self::unwrap_key) answers
///   [`Destroyed`](KeyStoreErrorKind::Destroyed), not [`UnknownKey`](KeyStoreErrorKind::UnknownKey), so that
///   *erased* and *tampered* can be told apart. The owner's name is not remembered.
pub trait KeyStore: Send + Sync + fmt::Debug {
    /// Makes an owner's key.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::AlreadyExists`] when the owner has a living one; `Random`; `Unavailable`.
    fn create(&self, owner: &KeyOwner, random: &dyn SecureRandom) -> Result<DataKey, KeyStoreError>;

    /// The id of an owner's living key.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Unavailable`].
    fn find(&self, owner: &KeyOwner) -> Result<Option<KeyId>, KeyStoreError>;

    /// A key by its id.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Destroyed`]; `UnknownKey`; [`NotUnwrapped`](KeyStoreErrorKind::NotUnwrapped) when its
    /// wrapped form was tampered with or its key-encryption key is missing; `Unavailable`.
    fn unwrap_key(&self, key: KeyId) -> Result<DataKey, KeyStoreError>;

    /// Destroys a key and with it all that it sealed. Destroying it again gives the first receipt again.
    ///
    /// The owner may get a new key afterwards; it opens nothing of the old.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::UnknownKey`]; `Unavailable`.
    fn destroy(&self, key: KeyId, at: Timestamp) -> Result<DestroyReceipt, KeyStoreError>;

    /// Wraps every living key under `to`, all or none, and drops the key-encryption keys used so far. Sealed
    /// values are not touched. Returns how many were wrapped.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::NotUnwrapped`] when one cannot be unwrapped; `Random`; `Unavailable`.
    fn rotate(&self, to: KeyEncryptionKey, random: &dyn SecureRandom) -> Result<usize, KeyStoreError>;

    /// An owner's key, made when there is none.
    ///
    /// # Errors
    /// As [`create`](Self::create) and [`unwrap_key`](Self::unwrap_key).
    fn obtain(&self, owner: &KeyOwner, random: &dyn SecureRandom) -> Result<DataKey, KeyStoreError> {
        if let Some(key) = self.find(owner)? {
            return self.unwrap_key(key);
        }
        match self.create(owner, random) {
            // Somebody else was faster.
            Err(error) if error.kind() == KeyStoreErrorKind::AlreadyExists => match self.find(owner)? {
                Some(key) => self.unwrap_key(key),
                None => Err(error),
            },
            other => other,
        }
    }

    /// Seals a value under an owner's key, made when there is none.
    ///
    /// # Errors
    /// As [`DataKey::seal`], and [`SealErrorKind::KeyStore`].
    fn seal(
        &self,
        owner: &KeyOwner,
        context: SealContext<'_>,
        value: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Sealed, SealError> {
        let key = self.obtain(owner, random).map_err(|error| SealErrorKind::KeyStore(error.kind()))?;
        key.seal(context, value, random)
    }

    /// Opens a value under whichever key sealed it.
    ///
    /// # Errors
    /// [`OpenErrorKind::Destroyed`] when the value is erased; [`OpenErrorKind::Unavailable`]; for all else
    /// [`OpenErrorKind::Failed`].
    fn open(&self, context: SealContext<'_>, sealed: &Sealed) -> Result<Opened, OpenError> {
        let key = self.unwrap_key(sealed.key()).map_err(|error| match error.kind() {
            KeyStoreErrorKind::Destroyed => OpenErrorKind::Destroyed,
            KeyStoreErrorKind::Unavailable => OpenErrorKind::Unavailable,
            _ => OpenErrorKind::Failed,
        })?;
        key.open(context, sealed)
    }
}

/// What a store says after destroying a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct DestroyReceipt {
    key: KeyId,
    destroyed_at: Timestamp,
    backups_until: Option<Timestamp>,
}

impl DestroyReceipt {
    /// For implementations of [`KeyStore`], which attest with it: the wrapped key is durably gone from the store,
    /// and the last backup that may hold it expires at `backups_until` (`None`: there are no backups).
    pub const fn attest(key: KeyId, destroyed_at: Timestamp, backups_until: Option<Timestamp>) -> Self {
        Self { key, destroyed_at, backups_until }
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// When the store destroyed it.
    #[must_use]
    pub const fn destroyed_at(&self) -> Timestamp {
        self.destroyed_at
    }

    /// When the last backup that may hold the wrapped key expires.
    #[must_use]
    pub const fn backups_until(&self) -> Option<Timestamp> {
        self.backups_until
    }

    /// Whether the erasure is complete, or still pending on a backup. At the very moment a backup expires it is
    /// still pending.
    #[must_use]
    pub fn is_complete(&self, now: Timestamp) -> bool {
        self.backups_until.is_none_or(|until| until < now)
    }
}

/// Why a store did not do as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct KeyStoreError {
    kind: KeyStoreErrorKind,
}

impl KeyStoreError {
    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> KeyStoreErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl From<KeyStoreErrorKind> for KeyStoreError {
    fn from(kind: KeyStoreErrorKind) -> Self {
        Self { kind }
    }
}

/// What happened in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreErrorKind {
    /// The owner has a living key.
    #[error("the owner has a key already")]
    AlreadyExists,
    /// The key was destroyed.
    #[error("the key was destroyed")]
    Destroyed,
    /// The wrapped key was changed, or its key-encryption key is not there.
    #[error("the wrapped key cannot be unwrapped")]
    NotUnwrapped,
    /// The random source failed.
    #[error("random source failed")]
    Random,
    /// The store cannot be reached or written.
    #[error("the store is not available")]
    Unavailable,
    /// The store never had the key.
    #[error("the key is not known")]
    UnknownKey,
}

impl KeyStoreErrorKind {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::AlreadyExists => "seal.key_exists",
            Self::Destroyed => "seal.destroyed",
            Self::NotUnwrapped => "seal.key_not_unwrapped",
            Self::Random => "seal.random_failed",
            Self::Unavailable => "seal.store_unavailable",
            Self::UnknownKey => "seal.unknown_key",
        }
    }
}
