use std::io;

use crate::audit::checkpoint::CheckpointError;
use crate::audit::durable::Storage;
use crate::audit::fault::Fault;

/// A trail was not opened or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit trail refused: {0}")]
pub struct AuditError(AuditErrorKind);

/// Why a trail was not opened or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditErrorKind {
    /// The trail is not what was written. Nothing was changed; look at it with `verify`.
    #[error("{0}")]
    Integrity(Fault),
    /// The operating system refused.
    #[error("could not {doing}: {kind}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The kind of refusal.
        kind: io::ErrorKind,
    },
    /// The anchored checkpoint is not one of the key's.
    #[error("the anchored {0}")]
    Anchor(CheckpointError),
    /// Another writer has the trail open.
    #[error("another writer has the trail open")]
    Locked,
    /// The directory is not known to be on a disk that lasts, and nobody declared that it is, or that the trail may go
    /// with it.
    #[error(
        "the directory's storage is `{found}`, expected `lasting`: take a disk or a database, or declare with \
         `on_any_storage` that the trail may go, with `on_lasting_storage` that an unknown one lasts"
    )]
    Storage {
        /// What it is.
        found: Storage,
    },
    /// There is no trail, and no checkpoint says there was one.
    #[error("there is no trail in the directory")]
    NoTrail,
    /// Records that a checkpoint covers are gone.
    #[error("the trail has {found} records, its latest checkpoint states {expected}")]
    Truncated {
        /// Records found.
        found: u64,
        /// Records the checkpoint states.
        expected: u64,
    },
}

impl AuditError {
    pub(crate) fn io(doing: &'static str, error: &io::Error) -> Self {
        Self(AuditErrorKind::Io { doing, kind: error.kind() })
    }

    pub(crate) fn anchor(cause: CheckpointError) -> Self {
        Self(AuditErrorKind::Anchor(cause))
    }

    pub(crate) fn no_trail() -> Self {
        Self(AuditErrorKind::NoTrail)
    }

    pub(super) fn locked() -> Self {
        Self(AuditErrorKind::Locked)
    }

    pub(super) fn storage(found: Storage) -> Self {
        Self(AuditErrorKind::Storage { found })
    }

    pub(in crate::audit) fn truncated(found: u64, expected: u64) -> Self {
        Self(AuditErrorKind::Truncated { found, expected })
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> AuditErrorKind {
        self.0
    }

    /// `audit.anchor`, `audit.io`, `audit.locked`, `audit.no_trail`, `audit.storage`, `audit.truncated`, or the
    /// code of the fault.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            AuditErrorKind::Integrity(fault) => fault.code(),
            AuditErrorKind::Io { .. } => "audit.io",
            AuditErrorKind::Anchor(_) => "audit.anchor",
            AuditErrorKind::NoTrail => "audit.no_trail",
            AuditErrorKind::Locked => "audit.locked",
            AuditErrorKind::Storage { .. } => "audit.storage",
            AuditErrorKind::Truncated { .. } => "audit.truncated",
        }
    }
}

impl From<Fault> for AuditError {
    fn from(fault: Fault) -> Self {
        Self(AuditErrorKind::Integrity(fault))
    }
}
