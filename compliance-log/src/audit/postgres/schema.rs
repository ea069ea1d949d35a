//! The tables, their prefix, and how they come into being.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::error::{PostgresError, PostgresErrorKind, database_error};

const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql"), include_str!("migrations/0002.sql")];

const RECORD: &str = "INSERT INTO {p}event (token, body, added_at) VALUES ($1, $2, $3) RETURNING id";

/// What the names of the tables start with, `audit_` unless said otherwise.
///
/// ```
/// use compliance_log::audit::postgres::TablePrefix;
///
/// assert_eq!(TablePrefix::new("billing_audit_")?.as_str(), "billing_audit_");
/// assert_eq!(TablePrefix::new("a; DROP").unwrap_err().code(), "postgres.table_prefix");
/// # Ok::<(), compliance_log::audit::postgres::TablePrefixError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePrefix(&'static str);

impl TablePrefix {
    /// The longest prefix, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Takes a prefix: lower-case letters, digits and underscores, starting with a letter.
    ///
    /// # Errors
    /// `postgres.table_prefix` on another length or another character.
    pub fn new(prefix: &'static str) -> Result<Self, TablePrefixError> {
        let shaped = prefix.len() <= Self::MAX_LEN
            && prefix.starts_with(|first: char| first.is_ascii_lowercase())
            && prefix.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if shaped { Ok(Self(prefix)) } else { Err(TablePrefixError(())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Puts the prefix into a statement that says `{p}`.
    pub(super) fn fill(self, statement: &str) -> String {
        statement.replace("{p}", self.0)
    }
}

impl Default for TablePrefix {
    fn default() -> Self {
        Self("audit_")
    }
}

/// A table prefix was not of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table prefix is not of the form `[a-z][a-z0-9_]*` up to {max} bytes", max = TablePrefix::MAX_LEN)]
pub struct TablePrefixError(());

impl TablePrefixError {
    /// `postgres.table_prefix`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "postgres.table_prefix"
    }
}

/// The statements that make the tables, for services that run their migrations themselves. Each is one version;
/// [`PostgresSink::open`](super::PostgresSink::open) applies those that are missing and notes them in the table
/// `…schema`.
#[must_use]
pub fn migrations(prefix: TablePrefix) -> Vec<String> {
    MIGRATIONS.iter().map(|migration| prefix.fill(migration)).collect()
}

/// The statement that records an event, for drivers other than `sqlx`, inside the caller's own transaction.
///
/// Parameters: 1 sixteen random bytes, drawn anew for every event; 2 the event's canonical form
/// ([`Event::encode`](compliance_core::event::Event::encode)); 3 now, in milliseconds since the Unix epoch. After the
/// commit, look the sixteen bytes up over another connection before anything is done that needed the record.
///
/// # Security
/// What is inserted is taken over as it is. Where people are [sealed](super::PostgresOptions::seal_people), seal them
/// yourself first, by [`Event::seal_people`](compliance_core::event::Event::seal_people) with the same key store: whoever
/// stands there in plain stays so, and no erasure reaches them. [`Sequencer::plain_people`](super::Sequencer::plain_people)
/// counts them. So does whoever may insert into the table decide what stands in the trail; grant that to services only.
#[must_use]
pub fn record_statement(prefix: TablePrefix) -> String {
    prefix.fill(RECORD)
}

/// Brings the tables up to date, in one transaction.
pub(super) async fn migrate(connection: &mut PgConnection, prefix: TablePrefix) -> Result<(), PostgresError> {
    // Whoever may only insert has nothing to bring up to date, and may not.
    let table = prefix.fill("SELECT to_regclass('{p}schema') IS NOT NULL");
    let exists: bool =
        sqlx::query_scalar(AssertSqlSafe(table)).fetch_one(&mut *connection).await.map_err(database_error)?;
    if exists && version(connection, prefix).await? == known() {
        return Ok(());
    }
    let mut transaction = connection.begin().await.map_err(database_error)?;
    // Two services that start at once would make the same tables.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(prefix.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(database_error)?;
    let table = prefix.fill("CREATE TABLE IF NOT EXISTS {p}schema (version bigint PRIMARY KEY)");
    sqlx::query(AssertSqlSafe(table)).execute(&mut *transaction).await.map_err(database_error)?;
    let found = version(&mut transaction, prefix).await?;
    for (version, migration) in (1_i64..).zip(migrations(prefix)) {
        if version <= found {
            continue;
        }
        sqlx::raw_sql(AssertSqlSafe(migration)).execute(&mut *transaction).await.map_err(database_error)?;
        sqlx::query(AssertSqlSafe(prefix.fill("INSERT INTO {p}schema (version) VALUES ($1)")))
            .bind(version)
            .execute(&mut *transaction)
            .await
            .map_err(database_error)?;
    }
    transaction.commit().await.map_err(database_error)
}

fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

async fn version(connection: &mut PgConnection, prefix: TablePrefix) -> Result<i64, PostgresError> {
    let query = prefix.fill("SELECT coalesce(max(version), 0) FROM {p}schema");
    let found =
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await.map_err(database_error)?;
    if found > known() {
        return Err(PostgresErrorKind::SchemaTooNew { found, known: known() }.into());
    }
    Ok(found)
}

/// Refuses a server or a table that would lose what it has acknowledged.
pub(super) async fn check_durable(
    connection: &mut PgConnection,
    prefix: TablePrefix,
) -> Result<(), PostgresError> {
    let query = "SELECT current_setting('fsync'), current_setting('full_page_writes'), \
        pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', \
        (SELECT relpersistence = 'p' FROM pg_class WHERE oid = '{p}event'::regclass), \
        EXISTS (SELECT FROM pg_trigger WHERE tgrelid = '{p}event'::regclass \
            AND tgname = '{p}event_durable' AND tgenabled IN ('O', 'A'))";
    let (fsync, pages, is_standby, is_logged, has_trigger): (String, String, bool, bool, bool) =
        sqlx::query_as(AssertSqlSafe(prefix.fill(query)))
            .fetch_one(connection)
            .await
            .map_err(database_error)?;
    let lacks = |what| Err(PostgresErrorKind::NotDurable { lacks: what }.into());
    match () {
        () if fsync != "on" => lacks("`fsync = on`"),
        () if pages != "on" => lacks("`full_page_writes = on`"),
        () if is_standby => lacks("write access"),
        () if !is_logged => lacks("a logged table"),
        () if !has_trigger => lacks("the trigger that makes commits synchronous"),
        () => Ok(()),
    }
}
