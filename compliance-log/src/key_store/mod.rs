//! Key stores on disk: data keys, wrapped under a key-encryption key that is not here, and the legal holds on them.
//!
//! `compliance_core::seal` says what a key store promises. [`FileKeyStore`] keeps each living key in a file of its own;
//! `SqliteKeyStore` (feature `sqlite`) keeps them in one database. Both put a tombstone in a destroyed key's place, so
//! that *erased* and *tampered* can be told apart for as long as the store lives, and both keep legal holds beside the
//! keys ([`HeldKeyStore`]), and who [approved](Approval) that a key be destroyed before its time: that it is under no hold,
//! that two people agreed and that it is destroyed is then one step.
//!
//! ```
//! use compliance_core::random::SystemRandom;
//! use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyRing, KeyStore, SealContext};
//! use compliance_log::key_store::FileKeyStore;
//!
//! let dir = tempfile::tempdir()?;
//! let owner = KeyOwner::new("audit.subject", "user-4711")?;
//! let context = SealContext::new("audit.field");
//! let sealed = {
//!     let keys = FileKeyStore::open(dir.path(), KeyRing::new(KeyEncryptionKey::new(&[7; 32])?))?;
//!     keys.seal(&owner, context, b"Anna", &SystemRandom)?
//! };
//! let keys = FileKeyStore::open(dir.path(), KeyRing::new(KeyEncryptionKey::new(&[7; 32])?))?;
//! assert_eq!(keys.open(context, &sealed)?.as_bytes(), b"Anna");
//!
//! let receipt = keys.destroy(sealed.key(), "2026-11-21T12:00:00Z".parse()?)?;
//! assert_eq!(receipt.key(), sealed.key());
//! assert_eq!(keys.open(context, &sealed).unwrap_err().code(), "seal.destroyed");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod approval;
mod file;
mod hold;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::io;

use compliance_core::id::TenantId;
use compliance_core::seal::KeyOwner;

pub use self::approval::{Approval, Consent};
pub use self::file::FileKeyStore;
pub use self::hold::{CaseId, CaseIdError, HeldKeyStore, LegalHold, MAX_CASE_LEN, UnheldError};
#[cfg(feature = "sqlite")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "sqlite")))]
pub use self::sqlite::SqliteKeyStore;

/// A key store could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key store not opened: {0}")]
pub struct KeyStoreOpenError(KeyStoreOpenErrorKind);

/// Why a key store could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreOpenErrorKind {
    /// What is there is not of its form.
    #[error("it is damaged or of an unknown version")]
    Damaged,
    /// It could not be read or written.
    #[error("it could not be read or written: {0}")]
    Io(io::ErrorKind),
    /// Another process has it open.
    #[error("another process has it open")]
    Locked,
    /// A database of something else.
    #[error("the database is none of a key store")]
    Other,
}

impl KeyStoreOpenError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> KeyStoreOpenErrorKind {
        self.0
    }

    /// `key_store.damaged`, `key_store.io`, `key_store.locked` or `key_store.other`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            KeyStoreOpenErrorKind::Damaged => "key_store.damaged",
            KeyStoreOpenErrorKind::Io(_) => "key_store.io",
            KeyStoreOpenErrorKind::Locked => "key_store.locked",
            KeyStoreOpenErrorKind::Other => "key_store.other",
        }
    }
}

impl From<KeyStoreOpenErrorKind> for KeyStoreOpenError {
    fn from(kind: KeyStoreOpenErrorKind) -> Self {
        Self(kind)
    }
}

impl From<io::Error> for KeyStoreOpenError {
    fn from(error: io::Error) -> Self {
        Self(KeyStoreOpenErrorKind::Io(error.kind()))
    }
}

/// An owner as stores keep them: the tenant is empty where there is none.
fn owner(tenant: &str, kind: &str, name: &str) -> Option<KeyOwner> {
    let owner = KeyOwner::new(kind, name).ok()?;
    match tenant {
        "" => Some(owner),
        tenant => Some(owner.of_tenant(TenantId::new(tenant).ok()?)),
    }
}
