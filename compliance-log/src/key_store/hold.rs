//! Legal holds, kept where the keys are.

use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::seal::{DestroyReceipt, KeyId, KeyOwner, KeyStore, KeyStoreError};

use super::approval::{Approval, Consent};

/// The longest case reference, in bytes.
pub const MAX_CASE_LEN: usize = 64;

/// The reference of a proceeding a legal hold is for: 1 to [`MAX_CASE_LEN`] bytes of `[A-Za-z0-9._:/-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseId(Box<str>);

impl CaseId {
    /// Checks and takes a reference.
    ///
    /// # Errors
    /// [`CaseIdError`] when it is of another shape.
    pub fn new(text: impl AsRef<str>) -> Result<Self, CaseIdError> {
        let text = text.as_ref();
        let is_case = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if text.is_empty() || text.len() > MAX_CASE_LEN || !text.bytes().all(is_case) {
            return Err(CaseIdError { found: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A case reference was not of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("case reference of {found} bytes is not 1 to {MAX_CASE_LEN} of `[A-Za-z0-9._:/-]`")]
pub struct CaseIdError {
    found: usize,
}

impl CaseIdError {
    /// `hold.case`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "hold.case"
    }
}

/// An order to keep what there is about somebody. As many as there are cases may be on one owner, and each is lifted by
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalHold {
    owner: KeyOwner,
    case: CaseId,
    placed_at: Timestamp,
}

impl LegalHold {
    /// A hold on an owner's key and on the records about them.
    #[must_use]
    pub fn new(owner: KeyOwner, case: CaseId, placed_at: Timestamp) -> Self {
        Self { owner, case, placed_at }
    }

    /// On whom.
    #[must_use]
    pub fn owner(&self) -> &KeyOwner {
        &self.owner
    }

    /// For which case.
    #[must_use]
    pub fn case(&self) -> &CaseId {
        &self.case
    }

    /// Since when.
    #[must_use]
    pub fn placed_at(&self) -> Timestamp {
        self.placed_at
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.owner == other.owner && self.case == other.case
    }
}

/// A key store that keeps legal holds, approvals and the backups it is in, and destroys what no hold is on.
///
/// `Ok` means durable, as for [`KeyStore`]. [`KeyStore::destroy`] itself looks at no hold.
///
/// # Security
/// An older backup of the store brings back the holds of its time. State those placed since again before anything is
/// erased.
pub trait HeldKeyStore: KeyStore {
    /// Puts a hold on an owner, who need not have a key. The same again is no error; the first time counts.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Unavailable`](compliance_core::seal::KeyStoreErrorKind::Unavailable).
    fn place_hold(&self, hold: &LegalHold) -> Result<(), KeyStoreError>;

    /// Lifts the hold of one case. `false`: there was none.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Unavailable`](compliance_core::seal::KeyStoreErrorKind::Unavailable).
    fn lift_hold(&self, owner: &KeyOwner, case: &CaseId) -> Result<bool, KeyStoreError>;

    /// Every hold in force.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Unavailable`](compliance_core::seal::KeyStoreErrorKind::Unavailable).
    fn holds(&self) -> Result<Vec<LegalHold>, KeyStoreError>;

    /// Keeps somebody's approval that a living key be destroyed before its time. The same person again: the later one
    /// counts. Approvals go with the key.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::UnknownKey`](compliance_core::seal::KeyStoreErrorKind::UnknownKey),
    /// [`Destroyed`](compliance_core::seal::KeyStoreErrorKind::Destroyed) or
    /// [`Unavailable`](compliance_core::seal::KeyStoreErrorKind::Unavailable).
    fn approve(&self, key: KeyId, approval: Approval) -> Result<(), KeyStoreError>;

    /// Destroys an owner's key if no hold is on the owner and the consent that is asked for is
    /// [given](Consent::is_given) by the approvals kept with it, in one step with looking: no hold can be placed in
    /// between. `before` is told the key first, and nothing is destroyed when it answers `false`. `None`: the owner has
    /// no key, and nothing of one that an earlier call destroyed is left in the store.
    ///
    /// # Errors
    /// [`UnheldError`]. After [`Store`](UnheldError::Store) the key may be destroyed, and not yet cleared away: call
    /// again.
    fn destroy_unheld(
        &self,
        owner: &KeyOwner,
        consent: Consent,
        at: Timestamp,
        before: &mut dyn FnMut(KeyId) -> bool,
    ) -> Result<Option<DestroyReceipt>, UnheldError>;

    /// The same by the key, for who replays destructions that once had their consent. A key that is destroyed already
    /// gives its first receipt again, and `before` is not asked.
    ///
    /// # Errors
    /// [`UnheldError`].
    fn destroy_key_unheld(
        &self,
        key: KeyId,
        at: Timestamp,
        before: &mut dyn FnMut(KeyId) -> bool,
    ) -> Result<DestroyReceipt, UnheldError>;

    /// States that copies of the store are kept for so long after they were made. Receipts are pending until the last
    /// declared backup that may hold the key has expired; a longer time declared later holds for what was destroyed
    /// before, a shorter one does not. Declaring a name again replaces its time: shorten it only when the older copies
    /// are gone.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Unavailable`](compliance_core::seal::KeyStoreErrorKind::Unavailable).
    fn declare_backup(&self, name: &'static str, retention: Duration) -> Result<(), KeyStoreError>;

    /// What was destroyed and may still be in a backup, the oldest first.
    ///
    /// # Errors
    /// [`KeyStoreErrorKind::Unavailable`](compliance_core::seal::KeyStoreErrorKind::Unavailable).
    fn pending(&self, now: Timestamp) -> Result<Vec<DestroyReceipt>, KeyStoreError>;
}

/// The receipt under what is declared of backups by now, if that is longer than it was.
pub(super) fn under(receipt: DestroyReceipt, longest: Option<Duration>) -> DestroyReceipt {
    let declared = longest.map(|longest| receipt.destroyed_at().saturating_add(longest));
    let until = receipt.backups_until().max(declared);
    DestroyReceipt::attest(receipt.key(), receipt.destroyed_at(), until)
}

/// A key was not destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnheldError {
    /// A legal hold is on its owner.
    #[error("a legal hold is on the key")]
    Held,
    /// Two others must approve, and have not.
    #[error("no two others approve")]
    NotApproved,
    /// What must be noted before was not.
    #[error("what must be noted before was not")]
    NotNoted,
    /// The store failed.
    #[error("{0}")]
    Store(KeyStoreError),
}

impl From<KeyStoreError> for UnheldError {
    fn from(error: KeyStoreError) -> Self {
        Self::Store(error)
    }
}
