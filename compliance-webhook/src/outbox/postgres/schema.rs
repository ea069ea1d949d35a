//! The tables and how they come into being.

use compliance_core::finding::Enforcement;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{NOW, database_error};
use crate::outbox::sql::instructed;
use crate::outbox::{OutboxError, OutboxErrorKind, TablePrefix};

/// The insert of [`enqueue_statement`].
const ENQUEUE: &str = "WITH added AS ( \
       INSERT INTO {p}message (id, endpoint, idempotency_key, content_type, payload, enqueued_at, classes, purpose, \
         sealed) \
       SELECT $1, seq, $4, $5, $6, coalesce($7::bigint, {now}), $9, $10, $11 FROM {p}endpoint \
       WHERE id = $2 AND tenant = $3 AND {instructed} ON CONFLICT DO NOTHING RETURNING seq, endpoint) \
     INSERT INTO {p}delivery (seq, endpoint, size, ordering_key) \
     SELECT seq, endpoint, octet_length($6), $8 FROM added";

const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql")];

/// The statements that make the tables, for services that run their migrations themselves. Each of them is one
/// version; [`PostgresOutbox::open`](super::PostgresOutbox::open) applies those that are missing and notes them in
/// the table `…schema`.
#[must_use]
pub fn migrations(prefix: TablePrefix) -> Vec<String> {
    MIGRATIONS.iter().map(|migration| prefix.fill(migration)).collect()
}

/// The statement that enqueues, for drivers other than `sqlx`, inside the caller's own transaction.
///
/// A payload of more than [`NewMessage::MAX_PAYLOAD_LEN`](crate::outbox::NewMessage::MAX_PAYLOAD_LEN) bytes is an
/// error.
///
/// Parameters: 1 message id ([`MessageId`](crate::MessageId)), 2 endpoint id, 3 tenant, 4 idempotency key or
/// null, 5 content type, 6 payload as `bytea`, 7 now in milliseconds since the Unix epoch, or null for the server's
/// time, 8 ordering key or null, 9 classes of the payload
/// ([`DataClasses::bits`](crate::outbox::DataClasses::bits)), 10 their purpose or null, 11 whether the payload is
/// sealed, 0 or 1. It returns one row with the message's number; no row means that the endpoint is not the tenant's,
/// that no instruction covers the classes, or that id or key were used before.
/// [Report-only](super::OutboxOptions::with_enforcement), no instruction is asked for.
#[must_use]
pub fn enqueue_statement(prefix: TablePrefix, enforcement: Enforcement) -> String {
    enqueue(prefix, enforcement) + " RETURNING seq"
}

pub(super) fn enqueue(prefix: TablePrefix, enforcement: Enforcement) -> String {
    fill(prefix, &ENQUEUE.replace("{instructed}", &instructed(enforcement, '$')))
}

/// Puts the prefix into a statement that says `{p}`, and the server's time where it says `{now}`.
pub(super) fn fill(prefix: TablePrefix, statement: &str) -> String {
    prefix.fill(statement).replace("{now}", NOW)
}

/// Brings the tables up to date, in one transaction. Of several that try, one does it and the others wait.
pub(super) async fn migrate(connection: &mut PgConnection, prefix: TablePrefix) -> Result<(), OutboxError> {
    sqlx::query(
        "SELECT pg_advisory_xact_lock(hashtextextended('compliance_webhook ' || current_schema() || $1, 0))",
    )
    .bind(prefix.as_str())
    .execute(&mut *connection)
    .await
    .map_err(database_error)?;
    let table = prefix.fill("CREATE TABLE IF NOT EXISTS {p}schema (version BIGINT PRIMARY KEY)");
    sqlx::query(AssertSqlSafe(table)).execute(&mut *connection).await.map_err(database_error)?;
    let query = prefix.fill("SELECT coalesce(max(version), 0) FROM {p}schema");
    let found: i64 =
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut *connection).await.map_err(database_error)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OutboxErrorKind::SchemaTooNew { found, known }.into());
    }
    for (version, migration) in (1_i64..).zip(migrations(prefix)) {
        if version <= found {
            continue;
        }
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(&mut *connection).await.map_err(database_error)?;
        sqlx::query(AssertSqlSafe(prefix.fill("INSERT INTO {p}schema (version) VALUES ($1)")))
            .bind(version)
            .execute(&mut *connection)
            .await
            .map_err(database_error)?;
    }
    Ok(())
}
