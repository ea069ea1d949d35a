//! The tables, their prefix, and how they come into being.

use compliance_core::finding::Enforcement;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use super::{TablePrefix, database_error};
use crate::outbox::sql::instructed;
use crate::outbox::{OutboxError, OutboxErrorKind};

/// The insert. A single row, and no constraint that ends the statement half-way: SQLite then keeps fewer copies of the
/// pages it touches for taking that half back, which took as long as the insert itself.
const ENQUEUE: &str = "INSERT OR IGNORE INTO {p}message (id, endpoint, idempotency_key, content_type, payload, \
       enqueued_at, ordering_key, classes, purpose, sealed) \
     VALUES (?1, (SELECT seq FROM {p}endpoint WHERE id = ?2 AND tenant = ?3 \
       AND {instructed}{shape}), ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// What `MessageId` and `ContentType` take, for those who have neither: better refused here than given up later as a
/// row nobody can read.
const SHAPE: &str = " AND length(?1) BETWEEN 1 AND 128 AND ?1 NOT GLOB '*[^!--/-~]*' \
       AND length(?5) BETWEEN 3 AND 128 AND ?5 GLOB '?*/?*' AND ?5 NOT GLOB '*[^ -~]*' \
       AND instr(?5, '  ') = 0 AND ?5 = trim(?5)";

/// The insert for messages whose parts are of their types.
pub(super) fn enqueue_typed(prefix: TablePrefix, enforcement: Enforcement) -> String {
    enqueue(prefix, enforcement, "")
}

fn enqueue(prefix: TablePrefix, enforcement: Enforcement, shape: &str) -> String {
    prefix.fill(&ENQUEUE.replace("{instructed}", &instructed(enforcement, '?')).replace("{shape}", shape))
}

const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql")];

/// The statements that make the tables, for services that run their migrations themselves. Each of them is one
/// version; [`SqliteOutbox::open`](super::SqliteOutbox::open) applies those that are missing and notes them in
/// the table `…schema`.
#[must_use]
pub fn migrations(prefix: TablePrefix) -> Vec<String> {
    MIGRATIONS.iter().map(|migration| prefix.fill(migration)).collect()
}

/// The statement that enqueues, for drivers other than `sqlx`, inside the caller's own transaction.
///
/// A payload of more than [`NewMessage::MAX_PAYLOAD_LEN`](crate::outbox::NewMessage::MAX_PAYLOAD_LEN) bytes is not
/// taken.
///
/// Parameters: 1 message id ([`MessageId`](crate::MessageId)), 2 endpoint id, 3 tenant, 4 idempotency key or
/// null, 5 content type, 6 payload as a blob, 7 now in milliseconds since the Unix epoch, 8 ordering key or null, 9
/// classes of the payload ([`DataClasses::bits`](crate::outbox::DataClasses::bits)), 10 their purpose or null, 11
/// whether the payload is sealed, 0 or 1. It returns one row with the message's number; no row means that the endpoint
/// is not the tenant's, that no instruction covers the classes, that id or key were used before, or that a parameter is
/// not of its shape. [Report-only](super::OutboxOptions::with_enforcement), no instruction is asked for.
#[must_use]
pub fn enqueue_statement(prefix: TablePrefix, enforcement: Enforcement) -> String {
    enqueue(prefix, enforcement, SHAPE) + " RETURNING seq"
}

/// Brings the tables up to date, in one transaction.
pub(super) async fn migrate(
    connection: &mut SqliteConnection,
    prefix: TablePrefix,
) -> Result<(), OutboxError> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(database_error)?;
    let table = prefix.fill("CREATE TABLE IF NOT EXISTS {p}schema (version INTEGER PRIMARY KEY) STRICT");
    sqlx::query(AssertSqlSafe(table)).execute(&mut *transaction).await.map_err(database_error)?;
    let query = prefix.fill("SELECT coalesce(max(version), 0) FROM {p}schema");
    let found: i64 = sqlx::query_scalar(AssertSqlSafe(query))
        .fetch_one(&mut *transaction)
        .await
        .map_err(database_error)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OutboxErrorKind::SchemaTooNew { found, known }.into());
    }
    for (version, migration) in (1_i64..).zip(migrations(prefix)) {
        if version <= found {
            continue;
        }
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(&mut *transaction).await.map_err(database_error)?;
        sqlx::query(AssertSqlSafe(prefix.fill("INSERT INTO {p}schema (version) VALUES (?)")))
            .bind(version)
            .execute(&mut *transaction)
            .await
            .map_err(database_error)?;
    }
    transaction.commit().await.map_err(database_error)
}
