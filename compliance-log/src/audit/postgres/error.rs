//! Why the database did not do something.

use std::fmt;

use compliance_core::event::{RecordError, RecordErrorKind};

/// An operation on the PostgreSQL sink failed. Never carries statements, values or connection strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit sink: {0}")]
pub struct PostgresError(PostgresErrorKind);

/// Why an operation on the PostgreSQL sink failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresErrorKind {
    /// A row is not what this crate writes.
    #[error("a row holds what this crate does not write")]
    Corrupt,
    /// The database refused for another reason.
    #[error("the database refused with SQLSTATE {state}")]
    Database {
        /// The state, appendix A of the server's manual.
        state: SqlState,
    },
    /// No room left on the server.
    #[error("the server has no room left")]
    Full,
    /// The transaction the event was recorded in did not commit, or has not yet.
    #[error("the event is not committed")]
    NotCommitted,
    /// Server or table would lose what was acknowledged.
    #[error("a commit would not be durable: {lacks} is missing")]
    NotDurable {
        /// What there should be.
        lacks: &'static str,
    },
    /// The connection is neither encrypted nor within this machine.
    #[error("the connection to another machine is not encrypted")]
    Plaintext,
    /// The random source failed.
    #[error("the random source failed")]
    Random,
    /// The event was refused before it came to the database.
    #[error("{0}")]
    Record(RecordError),
    /// The tables were made by a later version of this crate.
    #[error("the schema has version {found}, this crate knows up to {known}")]
    SchemaTooNew {
        /// The version of the tables.
        found: i64,
        /// The last version this crate knows.
        known: i64,
    },
    /// The server does not answer, refuses connections, or the connection broke.
    #[error("the database is not available")]
    Unavailable,
}

/// A five-character SQLSTATE code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or("?????")
    }

    fn new(code: &str) -> Self {
        Self(code.as_bytes().try_into().unwrap_or(*b"?????"))
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PostgresError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> PostgresErrorKind {
        self.0
    }

    /// The stable code, such as `postgres.not_committed`, or that of the recording.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            PostgresErrorKind::Corrupt => "postgres.corrupt",
            PostgresErrorKind::Database { .. } => "postgres.database",
            PostgresErrorKind::Full => "postgres.full",
            PostgresErrorKind::NotCommitted => "postgres.not_committed",
            PostgresErrorKind::NotDurable { .. } => "postgres.not_durable",
            PostgresErrorKind::Plaintext => "postgres.plaintext",
            PostgresErrorKind::Random => "postgres.random",
            PostgresErrorKind::Record(error) => error.code(),
            PostgresErrorKind::SchemaTooNew { .. } => "postgres.schema_too_new",
            PostgresErrorKind::Unavailable => "postgres.unavailable",
        }
    }

    /// What whoever recorded through a [`Sink`](compliance_core::event::Sink) is told.
    pub(super) fn record_error(self) -> RecordError {
        match self.0 {
            PostgresErrorKind::Record(error) => error,
            PostgresErrorKind::Full => RecordError::new(RecordErrorKind::Full),
            _ => RecordError::new(RecordErrorKind::Unavailable),
        }
    }
}

impl From<PostgresErrorKind> for PostgresError {
    fn from(kind: PostgresErrorKind) -> Self {
        Self(kind)
    }
}

impl From<RecordErrorKind> for PostgresError {
    fn from(kind: RecordErrorKind) -> Self {
        Self(PostgresErrorKind::Record(RecordError::new(kind)))
    }
}

pub(super) fn database_error(error: sqlx::Error) -> PostgresError {
    let sqlx::Error::Database(refusal) = &error else {
        return match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                PostgresErrorKind::Corrupt.into()
            }
            // Input and output, TLS, protocol, pool: whatever it was, there is no answer.
            _ => PostgresErrorKind::Unavailable.into(),
        };
    };
    let code = refusal.code().unwrap_or_default();
    match &*code {
        "53100" => PostgresErrorKind::Full.into(),
        // Connection exceptions, too many connections, shutdown, crash, starting up, idle session or transaction ended.
        "25P03" | "53300" | "57P01" | "57P02" | "57P03" | "57P05" => PostgresErrorKind::Unavailable.into(),
        code if code.starts_with("08") => PostgresErrorKind::Unavailable.into(),
        code => PostgresErrorKind::Database { state: SqlState::new(code) }.into(),
    }
}
