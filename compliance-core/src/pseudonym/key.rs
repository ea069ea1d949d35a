//! The key of pseudonyms, its rotation, and the pseudonymiser.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Epoch, Pseudonym, PseudonymDomain, PseudonymKeyId};
use crate::id::TenantId;
use crate::kdf;

const ROOT: &[u8] = b"compliance/pseudonym/v1";
const NEXT: &[u8] = b"compliance/pseudonym/v1/next";
const KEY_ID: &[u8] = b"compliance/pseudonym/v1/key-id";
const TOKEN: &[u8] = b"compliance/pseudonym/v1/token";

/// The key from which the keys of an epoch and all later ones follow.
///
/// Each epoch's key is derived from the one before by a one-way step. [`forget_before`](Self::forget_before)
/// moves the key on: what it leaves behind cannot be derived any more, so the pseudonyms of those epochs can
/// no longer be tried against identifiers. Do so when the logs of an epoch have reached the end of their
/// retention, keep the result ([`with_bytes`](Self::with_bytes)), and destroy the secret it began with.
///
/// Wiped from memory when dropped; `Debug` shows the epoch only; no `Clone`.
pub struct PseudonymKey {
    epoch: Epoch,
    key: kdf::Key,
}

impl PseudonymKey {
    /// The shortest secret, in bytes: as long as the hash output (RFC 2104 §3).
    pub const MIN_SECRET_LEN: usize = 32;
    /// How many epochs past its first a key reaches in one go; bounds the work of one call (about 1 µs each).
    pub const MAX_STEPS: u32 = 4096;
    /// The length of [`with_bytes`](Self::with_bytes).
    pub const BYTES_LEN: usize = 36;

    /// Begins at epoch `first` from a secret of at least [`MIN_SECRET_LEN`](Self::MIN_SECRET_LEN) random bytes.
    ///
    /// Keep `first` for the life of the secret: with another one, the same epochs have other keys.
    ///
    /// # Errors
    /// [`PseudonymKeyErrorKind::SecretTooShort`].
    ///
    /// # Security
    /// Length is all that can be checked: a pass phrase of 32 letters is no key. Take the bytes from a
    /// [`SecureRandom`](crate::random::SecureRandom) and a key store, not from a person.
    pub fn new(secret: &[u8], first: Epoch) -> Result<Self, PseudonymKeyError> {
        if secret.len() < Self::MIN_SECRET_LEN {
            return Err(PseudonymKeyErrorKind::SecretTooShort { found: secret.len() }.into());
        }
        Ok(Self { epoch: first, key: kdf::extract(ROOT, secret) })
    }

    /// Takes up again what [`with_bytes`](Self::with_bytes) gave.
    ///
    /// # Errors
    /// [`PseudonymKeyErrorKind::StateLength`] unless it is [`BYTES_LEN`](Self::BYTES_LEN) bytes long.
    pub fn from_bytes(state: &[u8]) -> Result<Self, PseudonymKeyError> {
        let wrong = PseudonymKeyErrorKind::StateLength { found: state.len() };
        let (epoch, key) = state.split_first_chunk::<4>().ok_or(wrong)?;
        let key: &[u8; 32] = key.try_into().map_err(|_| wrong)?;
        Ok(Self { epoch: Epoch(u32::from_be_bytes(*epoch)), key: Zeroizing::new(*key) })
    }

    /// Hands the key as it stands to `keep`, to be put where keys are kept: four bytes of epoch number, 32 of
    /// key. The copy handed over is wiped afterwards.
    pub fn with_bytes<R>(&self, keep: impl FnOnce(&[u8; Self::BYTES_LEN]) -> R) -> R {
        let mut state = Zeroizing::new([0; Self::BYTES_LEN]);
        let bytes = self.epoch.0.to_be_bytes();
        state.iter_mut().zip(bytes.iter().chain(&*self.key)).for_each(|(to, from)| *to = *from);
        keep(&state)
    }

    /// The earliest epoch whose key can still be had.
    #[must_use]
    pub const fn first_epoch(&self) -> Epoch {
        self.epoch
    }

    /// Gives up the keys of all epochs before `epoch`, for good.
    ///
    /// # Errors
    /// [`PseudonymKeyErrorKind::EpochGone`] when the key has moved past `epoch` already,
    /// [`PseudonymKeyErrorKind::EpochTooFar`] when it is more than [`MAX_STEPS`](Self::MAX_STEPS) ahead. The key
    /// is dropped and wiped then, too.
    pub fn forget_before(self, epoch: Epoch) -> Result<Self, PseudonymKeyError> {
        Ok(Self { epoch, key: self.key_of(epoch)? })
    }

    /// The pseudonymiser for one tenant (`None`: the operator's own data), one domain and one epoch.
    ///
    /// Derives once; keep it for the epoch.
    ///
    /// # Errors
    /// As [`forget_before`](Self::forget_before).
    pub fn pseudonymiser(
        &self,
        tenant: Option<&TenantId>,
        domain: PseudonymDomain,
        epoch: Epoch,
    ) -> Result<Pseudonymiser, PseudonymKeyError> {
        let key = self.key_of(epoch)?;
        let [a, b, c, d, ..] = *kdf::expand(&key, &[KEY_ID]);
        // A length before each variable part, and a mark for "no tenant": no two choices share their bytes.
        let tenant_bytes = tenant.map_or(&[][..], |tenant| tenant.as_str().as_bytes());
        let token_key = kdf::expand(
            &key,
            &[
                TOKEN,
                &[u8::from(tenant.is_some())],
                &kdf::length(tenant_bytes),
                tenant_bytes,
                &kdf::length(domain.as_str().as_bytes()),
                domain.as_str().as_bytes(),
                &epoch.0.to_be_bytes(),
            ],
        );
        let key = PseudonymKeyId::from_bytes([a, b, c, d]);
        Ok(Pseudonymiser { key, epoch, domain, mac: kdf::keyed(&*token_key) })
    }

    fn key_of(&self, epoch: Epoch) -> Result<kdf::Key, PseudonymKeyError> {
        let steps = epoch.0.checked_sub(self.epoch.0).ok_or(PseudonymKeyErrorKind::EpochGone)?;
        if steps > Self::MAX_STEPS {
            return Err(PseudonymKeyErrorKind::EpochTooFar.into());
        }
        Ok((0..steps).fold(self.key.clone(), |key, _| kdf::expand(&key, &[NEXT])))
    }
}

impl fmt::Debug for PseudonymKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PseudonymKey").field("first_epoch", &self.epoch.0).finish_non_exhaustive()
    }
}

/// Makes [`Pseudonym`]s for one tenant, one domain and one epoch.
///
/// One HMAC-SHA256 each, no allocation. Safe to share between threads.
#[derive(Clone)]
pub struct Pseudonymiser {
    key: PseudonymKeyId,
    epoch: Epoch,
    domain: PseudonymDomain,
    mac: Hmac<Sha256>,
}

impl Pseudonymiser {
    /// The pseudonym of an identifier.
    ///
    /// The bytes are taken as they are: bring what should count as one identifier into one form first (an
    /// e-mail address in lower case, a phone number in E.164).
    ///
    /// # Security
    /// See the module on identifiers of low entropy: for them this is no protection against the key's holder.
    #[must_use]
    pub fn pseudonym(&self, identifier: &[u8]) -> Pseudonym {
        let mac: [u8; 32] = self.mac.clone().chain_update(identifier).finalize().into_bytes().into();
        let (token, _) = mac.split_first_chunk().unwrap_or((&[0; Pseudonym::TOKEN_LEN], &[]));
        Pseudonym::from_parts(self.key, self.epoch, *token)
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The domain.
    #[must_use]
    pub const fn domain(&self) -> PseudonymDomain {
        self.domain
    }
}

impl fmt::Debug for Pseudonymiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pseudonymiser")
            .field("key", &self.key)
            .field("epoch", &self.epoch.0)
            .field("domain", &self.domain.as_str())
            .finish_non_exhaustive()
    }
}

/// Why a pseudonym key was refused or does not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct PseudonymKeyError {
    kind: PseudonymKeyErrorKind,
}

impl PseudonymKeyError {
    /// What was wrong.
    #[must_use]
    pub const fn kind(&self) -> PseudonymKeyErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            PseudonymKeyErrorKind::EpochGone => "pseudonym.epoch_gone",
            PseudonymKeyErrorKind::EpochTooFar => "pseudonym.epoch_too_far",
            PseudonymKeyErrorKind::SecretTooShort { .. } => "pseudonym.secret_too_short",
            PseudonymKeyErrorKind::StateLength { .. } => "pseudonym.state_length",
        }
    }
}

impl From<PseudonymKeyErrorKind> for PseudonymKeyError {
    fn from(kind: PseudonymKeyErrorKind) -> Self {
        Self { kind }
    }
}

/// What was wrong with a pseudonym key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PseudonymKeyErrorKind {
    /// The key has moved past the epoch; its key is gone.
    #[error("the key of that epoch has been given up")]
    EpochGone,
    /// More than [`PseudonymKey::MAX_STEPS`] epochs ahead.
    #[error("the epoch is more than {} epochs past the key's first", PseudonymKey::MAX_STEPS)]
    EpochTooFar,
    /// Shorter than [`PseudonymKey::MIN_SECRET_LEN`].
    #[error("pseudonym secret is {found} bytes, need at least {}", PseudonymKey::MIN_SECRET_LEN)]
    SecretTooShort {
        /// The secret's length in bytes.
        found: usize,
    },
    /// Not [`PseudonymKey::BYTES_LEN`] long.
    #[error("kept pseudonym key is {found} bytes, expected {}", PseudonymKey::BYTES_LEN)]
    StateLength {
        /// The length found, in bytes.
        found: usize,
    },
}
