//! Peppers: a secret key beside the table of hashes.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A secret key that every stored hash is passed through (HMAC-SHA-256), kept apart from the table: in a key store or
/// a hardware module, never in the database. Who steals the table alone can guess nothing.
///
/// SP 800-63B-4 §3.1.1.2 asks for it (`SHOULD`). To rotate, make the new key the hasher's pepper, keep the old one as
/// retired, and [wrap](super::PasswordHasher::wrap) the table: no password is needed for that.
pub struct Pepper {
    id: PepperId,
    key: Zeroizing<Vec<u8>>,
}

/// Which pepper: 1 to 32 of `a-z`, `0-9`, `_` and `-`. Written into each hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PepperId(Box<str>);

impl PepperId {
    const MAX_LEN: usize = 32;

    pub(super) fn new(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        fits.then(|| Self(text.into()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Pepper {
    /// The shortest key, in bytes: as long as the HMAC (RFC 2104 §3).
    pub const MIN_KEY_LEN: usize = 32;
    /// How many peppers one hash goes through at most: rotations without a log-in in between.
    pub const MAX_WRAPS: usize = 4;

    /// Takes a key and its id.
    ///
    /// # Errors
    /// [`PepperError`] for a key below [`MIN_KEY_LEN`](Self::MIN_KEY_LEN) or above 1,024 bytes, or an id that is not 1
    /// to 32 of `a-z`, `0-9`, `_` and `-`.
    ///
    /// # Security
    /// The key must come from a secure random generator. A hash without its pepper cannot be verified: back the key up.
    pub fn new(id: &str, key: &[u8]) -> Result<Self, PepperError> {
        let id = PepperId::new(id).ok_or(PepperError(PepperErrorKind::Id))?;
        if !(Self::MIN_KEY_LEN..=1024).contains(&key.len()) {
            return Err(PepperError(PepperErrorKind::Key { found: key.len() }));
        }
        Ok(Self { id, key: Zeroizing::new(key.to_vec()) })
    }

    pub(super) fn id(&self) -> &PepperId {
        &self.id
    }

    /// HMAC-SHA-256 of a tag.
    pub(super) fn apply(&self, tag: &[u8]) -> Zeroizing<Vec<u8>> {
        // INVARIANT: HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return Zeroizing::default() };
        mac.update(tag);
        Zeroizing::new(mac.finalize().into_bytes().to_vec())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pepper").field("id", &self.id.as_str()).finish_non_exhaustive()
    }
}

/// A pepper that cannot be used, or a hash that cannot be wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("pepper: {text}", text = .0.text())]
pub struct PepperError(PepperErrorKind);

impl PepperError {
    pub(super) const fn of(kind: PepperErrorKind) -> Self {
        Self(kind)
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> PepperErrorKind {
        self.0
    }

    /// `pepper.id`, `.key`, `.none`, `.scheme` or `.wraps`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.0 {
            PepperErrorKind::Id => "pepper.id",
            PepperErrorKind::Key { .. } => "pepper.key",
            PepperErrorKind::None => "pepper.none",
            PepperErrorKind::Scheme => "pepper.scheme",
            PepperErrorKind::Wraps => "pepper.wraps",
        }
    }
}

/// What is wrong with a pepper, or a hash to be wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PepperErrorKind {
    /// The id is not 1 to 32 of `a-z`, `0-9`, `_` and `-`.
    Id,
    /// The key is too short or too long.
    Key {
        /// Its length, in bytes.
        found: usize,
    },
    /// The hasher has no pepper to wrap with.
    None,
    /// Only Argon2id hashes of this crate are wrapped; others get their pepper at the next log-in.
    Scheme,
    /// The hash went through [`Pepper::MAX_WRAPS`] peppers already.
    Wraps,
}

impl PepperErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Id => "expected an id of 1 to 32 of a-z, 0-9, _ and -",
            Self::Key { .. } => "expected a key of 32 to 1024 bytes",
            Self::None => "the hasher has none",
            Self::Scheme => "expected an argon2id hash",
            Self::Wraps => "the hash went through four peppers already",
        }
    }
}
