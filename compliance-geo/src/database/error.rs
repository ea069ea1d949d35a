//! Why a database was refused.

/// A database was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("database refused: {0}")]
pub struct DatabaseError(DatabaseErrorKind);

/// Why a database was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseErrorKind {
    /// The content is not what the file's own digest says.
    #[error("the content does not match the digest in its header")]
    Digest,
    /// It names no network at all.
    #[error("it has no records")]
    Empty,
    /// Not a file of the expected format, or cut off.
    #[error("expected a {expected} file, found something else or only part of one")]
    Format {
        /// Which format was expected.
        expected: &'static str,
    },
    /// It could not be read.
    #[error("reading failed: {kind}")]
    Io {
        /// The kind of I/O error.
        kind: std::io::ErrorKind,
    },
    /// It says neither countries nor anonymity in a form we know, or in fields of the wrong type.
    #[error("found neither `country.iso_code`, `country_code` nor anonymity flags of the expected types")]
    Schema,
    /// The search tree or the records are damaged, cyclic or cost more to read than their size explains.
    #[error("the search tree or a record is damaged")]
    Structure,
    /// Larger than the limit.
    #[error("it has {found} bytes, at most {limit} are read")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
        /// The size found, in bytes, as far as it was read.
        found: usize,
    },
    /// More distinct places than a table can hold.
    #[error("it tells more than {limit} places apart")]
    TooManyPlaces {
        /// The limit.
        limit: usize,
    },
}

impl From<DatabaseErrorKind> for DatabaseError {
    fn from(kind: DatabaseErrorKind) -> Self {
        Self(kind)
    }
}

impl DatabaseError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> &DatabaseErrorKind {
        &self.0
    }

    /// The stable code, `database.` and the kind.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            DatabaseErrorKind::Digest => "database.digest",
            DatabaseErrorKind::Empty => "database.empty",
            DatabaseErrorKind::Format { .. } => "database.format",
            DatabaseErrorKind::Io { .. } => "database.io",
            DatabaseErrorKind::Schema => "database.schema",
            DatabaseErrorKind::Structure => "database.structure",
            DatabaseErrorKind::TooLarge { .. } => "database.too_large",
            DatabaseErrorKind::TooManyPlaces { .. } => "database.too_many_places",
        }
    }
}
