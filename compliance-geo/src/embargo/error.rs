//! Why a check was not built.

use super::list::ProgrammeListError;
use crate::database::DatabaseError;

/// The check could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("embargo check not built: {0}")]
pub struct EmbargoError(EmbargoErrorKind);

/// Why the check could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmbargoErrorKind {
    /// A database was refused.
    #[error(transparent)]
    Database(DatabaseError),
    /// No database says where networks are.
    #[error("no database knows countries")]
    NoCountries,
    /// The chosen policies name no programme of the list: everybody would be servable.
    #[error("the chosen policies name no programme of the list")]
    NoProgrammes,
    /// A programme list was refused.
    #[error(transparent)]
    Programmes(ProgrammeListError),
    /// More databases and lists than a finding can name.
    #[error("{found} databases and programme lists, at most {limit} are used together")]
    TooManySnapshots {
        /// How many there are.
        found: usize,
        /// [`Embargo::MAX_SNAPSHOTS`](super::Embargo::MAX_SNAPSHOTS).
        limit: usize,
    },
}

impl EmbargoError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> &EmbargoErrorKind {
        &self.0
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.0 {
            EmbargoErrorKind::Database(error) => error.code(),
            EmbargoErrorKind::NoCountries => "embargo.no_countries",
            EmbargoErrorKind::NoProgrammes => "embargo.no_programmes",
            EmbargoErrorKind::Programmes(error) => error.code(),
            EmbargoErrorKind::TooManySnapshots { .. } => "embargo.too_many_snapshots",
        }
    }
}

impl From<EmbargoErrorKind> for EmbargoError {
    fn from(kind: EmbargoErrorKind) -> Self {
        Self(kind)
    }
}

impl From<DatabaseError> for EmbargoError {
    fn from(error: DatabaseError) -> Self {
        Self(EmbargoErrorKind::Database(error))
    }
}

impl From<ProgrammeListError> for EmbargoError {
    fn from(error: ProgrammeListError) -> Self {
        Self(EmbargoErrorKind::Programmes(error))
    }
}
