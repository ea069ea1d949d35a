//! Why the outbox did not do something.

use std::fmt;

/// An operation of the outbox failed. Never carries payloads, URLs, keys or statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("outbox: {kind}")]
pub struct OutboxError {
    kind: OutboxErrorKind,
}

/// Why an operation of the outbox failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxErrorKind {
    /// The database is locked, or no connection became free in time.
    #[error("the database is busy")]
    Busy,
    /// A row is not what this crate writes.
    #[error("column `{column}` holds a value this crate does not write")]
    Corrupt {
        /// The column.
        column: &'static str,
    },
    /// The database refused for another reason.
    #[error("the database failed with code {code}")]
    Database {
        /// In the database's own terms.
        code: DatabaseCode,
    },
    /// No such endpoint, or it belongs to another tenant.
    #[error("the endpoint is not registered for this tenant")]
    EndpointUnknown,
    /// The pool's connections do not enforce foreign keys.
    #[error("the pool's connections do not enforce foreign keys: connect with `sqlite::durable_options`")]
    ForeignKeys,
    /// No room left on the disk.
    #[error("the disk is full")]
    Full,
    /// The idempotency key was used for another payload.
    #[error("the idempotency key stands for a message with another content")]
    IdempotencyConflict,
    /// Reading or writing the file failed.
    #[error("the database file cannot be read or written")]
    Io,
    /// The transaction a message was enqueued in did not commit, or has not yet.
    #[error("the message is not committed")]
    NotCommitted,
    /// The database would lose the last commits with the power.
    #[error(
        "the database would lose the last commits with the power: connect to SQLite with `sqlite::durable_options`, have \
         `fsync` and `synchronous_commit` on in PostgreSQL"
    )]
    NotDurable,
    /// No instruction of the client covers the message's classes.
    #[error("no instruction of the client covers the data classes of the message for its purpose")]
    NotInstructed,
    /// The random source failed.
    #[error("the random source failed")]
    Random,
    /// The payload is sealed for a message of another id.
    #[error("the payload is sealed for a message of another id")]
    SealedForAnother,
    /// The tables were made by a later version of this crate.
    #[error("the schema has version {found}, this crate knows up to {known}")]
    SchemaTooNew {
        /// The version of the tables.
        found: i64,
        /// The last version this crate knows.
        known: i64,
    },
}

/// The code a database gave for a failure: SQLite's extended result code or PostgreSQL's SQLSTATE. Shown as such.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DatabaseCode(Code);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Code {
    Sqlite(i32),
    SqlState([u8; 5]),
    Unknown,
}

impl DatabaseCode {
    /// The database gave none.
    pub const UNKNOWN: Self = Self(Code::Unknown);

    /// SQLite's extended result code.
    #[must_use]
    pub const fn from_sqlite(code: i32) -> Self {
        Self(Code::Sqlite(code))
    }

    /// An SQLSTATE: five letters and digits. Anything else is [`UNKNOWN`](Self::UNKNOWN).
    #[must_use]
    pub fn from_sql_state(text: &str) -> Self {
        match <[u8; 5]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_alphanumeric) => Self(Code::SqlState(code)),
            _ => Self::UNKNOWN,
        }
    }

    /// SQLite's extended result code.
    #[must_use]
    pub const fn sqlite(&self) -> Option<i32> {
        match self.0 {
            Code::Sqlite(code) => Some(code),
            _ => None,
        }
    }

    /// The SQLSTATE.
    #[must_use]
    pub fn sql_state(&self) -> Option<&str> {
        match &self.0 {
            Code::SqlState(code) => std::str::from_utf8(code).ok(),
            _ => None,
        }
    }
}

impl fmt::Display for DatabaseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.sqlite(), self.sql_state()) {
            (Some(code), _) => write!(f, "{code}"),
            (None, Some(code)) => f.write_str(code),
            (None, None) => f.write_str("unknown"),
        }
    }
}

impl fmt::Debug for DatabaseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseCode({self})")
    }
}

impl OutboxError {
    /// For implementations of [`Outbox`](super::Outbox).
    #[must_use]
    pub fn new(kind: OutboxErrorKind) -> Self {
        Self { kind }
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> OutboxErrorKind {
        self.kind
    }

    /// The stable code, such as `outbox.endpoint_unknown`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            OutboxErrorKind::Busy => "outbox.busy",
            OutboxErrorKind::Corrupt { .. } => "outbox.corrupt",
            OutboxErrorKind::Database { .. } => "outbox.database",
            OutboxErrorKind::EndpointUnknown => "outbox.endpoint_unknown",
            OutboxErrorKind::ForeignKeys => "outbox.foreign_keys",
            OutboxErrorKind::Full => "outbox.full",
            OutboxErrorKind::IdempotencyConflict => "outbox.idempotency_conflict",
            OutboxErrorKind::Io => "outbox.io",
            OutboxErrorKind::NotCommitted => "outbox.not_committed",
            OutboxErrorKind::NotDurable => "outbox.not_durable",
            OutboxErrorKind::NotInstructed => "outbox.not_instructed",
            OutboxErrorKind::Random => "outbox.random",
            OutboxErrorKind::SealedForAnother => "outbox.sealed_for_another",
            OutboxErrorKind::SchemaTooNew { .. } => "outbox.schema_too_new",
        }
    }
}

impl From<OutboxErrorKind> for OutboxError {
    fn from(kind: OutboxErrorKind) -> Self {
        Self { kind }
    }
}
