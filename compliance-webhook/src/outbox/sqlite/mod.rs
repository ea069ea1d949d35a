//! The outbox in SQLite, inside the caller's own database and transaction.
//!
//! The tables are published: [`migrations`] and [`enqueue_statement`] let any driver enqueue in its own
//! transaction. Times are milliseconds since the Unix epoch.

mod claim;
mod parcel;
mod schema;
mod settle;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, SystemClock};
use compliance_core::finding::Enforcement;
use compliance_core::random::{SecureRandom, SystemRandom};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::{Mutex, Notify};

pub use self::schema::{enqueue_statement, migrations};

use super::sql::{Consents, Engine, Enqueues, Reads};
use super::{
    Counts, DatabaseCode, DeadLetter, DeliveryState, DeliveryStatus, Due, EndpointId, EndpointRecord,
    LeaseToken, NewMessage, Outbox, OutboxError, OutboxErrorKind, Replay, Retention, Round, RoundResult,
    Settlement, TablePrefix, Uncommitted, Verdict, Worker,
};
use crate::handshake::{ConsentGrant, ConsentStore, Consenting, EndpointDigest};
use crate::sign::MessageId;

/// How long a connection waits for a lock before it gives up.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many rows SQLite's thread reads ahead of whoever asked: as many as a dispatcher claims at a time.
const ROW_BUFFER: usize = 256;

/// Options for a pool the outbox accepts: write-ahead log, `synchronous = FULL`, foreign keys,
/// [`BUSY_TIMEOUT`]; the file is made if it is missing.
///
/// With `FULL`, a commit has reached the disk when it returns. `NORMAL` would lose the last commits with the
/// power, and with them messages somebody was told are on their way.
#[must_use]
pub fn durable_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .row_buffer_size(ROW_BUFFER)
}

/// How to open an outbox.
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    prefix: TablePrefix,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    enforcement: Enforcement,
}

impl Default for OutboxOptions {
    /// Tables `webhook_…`, the system's clock and random source.
    fn default() -> Self {
        Self {
            prefix: TablePrefix::default(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            enforcement: Enforcement::Enforce,
        }
    }
}

impl OutboxOptions {
    /// Names the tables differently.
    #[must_use]
    pub fn with_prefix(mut self, prefix: TablePrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// Goes by another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Report-only for a roll-out: takes, and has sent, data that no instruction of the client covers, and has the
    /// dispatcher record each such message. Processes that enqueue and processes that dispatch say so each for
    /// themselves. Default: [`Enforcement::Enforce`].
    #[must_use]
    pub fn with_enforcement(mut self, enforcement: Enforcement) -> Self {
        self.enforcement = enforcement;
        self
    }

    /// Draws message ids from another source.
    #[must_use]
    pub fn with_random(mut self, random: Arc<dyn SecureRandom>) -> Self {
        self.random = random;
        self
    }
}

/// An outbox in a SQLite database. Cheap to clone.
///
/// ```
/// use compliance_core::id::TenantId;
/// use compliance_webhook::outbox::{EndpointId, NewMessage, Outbox as _, SqliteOutbox, sqlite};
///
/// # let directory = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let path = directory.path().join("service.db");
/// let pool = sqlx::SqlitePool::connect_with(sqlite::durable_options(&path)).await?;
/// let outbox = SqliteOutbox::open(&pool, sqlite::OutboxOptions::default()).await?;
///
/// // An endpoint nobody registered gets nothing, and the caller's transaction is still its own.
/// let (acme, unknown) = (TenantId::new("acme")?, EndpointId::parse("ep_1")?);
/// let message = NewMessage::impersonal(&acme, &unknown, br#"{"type":"user.created"}"#)?;
/// let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
/// let refused = outbox.enqueue_in(&mut transaction, &message).await.unwrap_err();
/// assert_eq!(refused.code(), "outbox.endpoint_unknown");
/// transaction.commit().await?;
/// assert_eq!(outbox.counts().await?.pending, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOutbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: SqlitePool,
    /// The connection for rounds, beside the pool's: a pool hands out one after the other, and SQLite forgets every
    /// page it has read when another connection has written.
    rounds: Mutex<Option<SqliteConnection>>,
    clock: Arc<dyn Clock>,
    enforcement: Enforcement,
    enqueued: Notify,
    /// Whether a text has the bytes it is stored with, as SQLite's text functions have it.
    is_utf8: bool,
    statements: Statements,
}

/// Every statement, with the prefix filled in once.
#[derive(Debug)]
struct Statements {
    enqueue: Enqueues<Sqlite>,
    read: Reads<Sqlite>,
    claim: claim::ClaimStatements,
    settle: settle::SettleStatements,
    consents: Consents<Sqlite>,
}

impl SqliteOutbox {
    /// Opens the outbox in the pool's database and brings its tables up to date.
    ///
    /// The dispatcher and [`confirm`](Self::confirm) take connections from this pool, so it needs at least two. While a
    /// dispatcher works, it has one more connection, made as the pool makes them, for itself.
    ///
    /// # Errors
    /// `outbox.not_durable` when the pool's connections have no write-ahead log or a `synchronous` below
    /// `FULL` (see [`durable_options`]), `outbox.foreign_keys` when they do not enforce those, `outbox.schema_too_new`,
    /// or [`OutboxError`] when the database fails.
    pub async fn open(pool: &SqlitePool, options: OutboxOptions) -> Result<Self, OutboxError> {
        let mut connection = pool.acquire().await.map_err(database_error)?;
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&mut *connection)
            .await
            .map_err(database_error)?;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&mut *connection)
            .await
            .map_err(database_error)?;
        let foreign_keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys")
            .fetch_one(&mut *connection)
            .await
            .map_err(database_error)?;
        // What is deleted takes its delivery with it.
        if foreign_keys == 0 {
            return Err(OutboxErrorKind::ForeignKeys.into());
        }
        // 2 is FULL, 3 is EXTRA.
        if journal != "wal" || synchronous < 2 {
            return Err(OutboxErrorKind::NotDurable.into());
        }
        let encoding: String = sqlx::query_scalar("PRAGMA encoding")
            .fetch_one(&mut *connection)
            .await
            .map_err(database_error)?;
        schema::migrate(&mut connection, options.prefix).await?;
        let prefix = options.prefix;
        let insert = schema::enqueue_typed(prefix, options.enforcement);
        let statements = Statements {
            enqueue: Enqueues::new(prefix, insert, options.enforcement, options.random),
            read: Reads::new(prefix),
            claim: claim::ClaimStatements::new(prefix),
            settle: settle::SettleStatements::new(prefix),
            consents: Consents::new(prefix),
        };
        let shared = Shared {
            pool: pool.clone(),
            rounds: Mutex::default(),
            clock: options.clock,
            enforcement: options.enforcement,
            enqueued: Notify::new(),
            is_utf8: encoding == "UTF-8",
            statements,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Writes a message inside the caller's own transaction: it goes out if and only if that commits.
    ///
    /// Begin the transaction with `BEGIN IMMEDIATE`; a deferred one that has read before may find that it
    /// cannot write any more. A refusal leaves the transaction usable.
    ///
    /// # Errors
    /// `outbox.endpoint_unknown` when the endpoint is not the message's tenant's, `outbox.not_instructed` when no
    /// instruction of its client covers the message's classes, `outbox.idempotency_conflict` when the key or the id was
    /// used for another payload, or [`OutboxError`] when the database fails. A disabled endpoint is no error: its
    /// messages wait.
    pub async fn enqueue_in(
        &self,
        connection: &mut SqliteConnection,
        message: &NewMessage,
    ) -> Result<Uncommitted<MessageId>, OutboxError> {
        let Statements { enqueue, read, .. } = &self.shared.statements;
        enqueue.enqueue(connection, message, Some(self.now_millis()), read).await
    }

    /// Exchanges what [`enqueue_in`](Self::enqueue_in) returned, after the commit, and wakes the dispatcher.
    ///
    /// # Errors
    /// `outbox.not_committed` when the message is not in the database: the transaction was rolled back or is
    /// still open. [`OutboxError`] when the database fails; the message goes out all the same if it is there.
    pub async fn confirm(&self, message: Uncommitted<MessageId>) -> Result<MessageId, OutboxError> {
        let (id, endpoint) = message.into_parts();
        let mut connection = self.acquire().await?;
        self.shared.statements.enqueue.check_committed(&mut connection, &id, &endpoint).await?;
        self.shared.enqueued.notify_one();
        Ok(id)
    }

    async fn try_round(
        &self,
        worker: &Worker,
        round: &Round,
        unreadable: &HashSet<i64>,
    ) -> Result<RoundResult, OutboxError> {
        let mut kept = self.shared.rounds.lock().await;
        // INVARIANT: kept again only when it has served. One that failed may fail for good, and one whose round was
        // abandoned has a transaction open.
        let mut connection = match kept.take() {
            Some(connection) if !self.shared.pool.is_closed() => connection,
            _ => self.acquire().await?.detach(),
        };
        let result = self.round_in(&mut connection, worker, round, unreadable).await?;
        *kept = Some(connection);
        Ok(result)
    }

    /// In a transaction that is rolled back with the connection it is on, should this not come to its end.
    async fn round_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
        round: &Round,
        unreadable: &HashSet<i64>,
    ) -> Result<RoundResult, OutboxError> {
        let mut result = RoundResult::default();
        let settlements = &round.settlements;
        let delivered = delivered(settlements);
        let mut together = if delivered.len() > MOST_NUMBERS { &[] } else { delivered.as_slice() };
        let mut begun = self.begin_in(connection, worker, together).await?;
        if !begun.were_leased {
            run(connection, "ROLLBACK".to_owned()).await?;
            together = &[];
            begun = self.begin_in(connection, worker, together).await?;
        }
        let one_by_one = |settlement: &&Settlement| {
            together.is_empty() || !matches!(settlement.verdict, Verdict::Delivered { .. })
        };
        result.fenced = self.settle_in(connection, settlements.iter().filter(one_by_one)).await?;
        self.blank_in(connection, settlements).await?;
        self.excerpts_in(connection, &round.excerpts).await?;
        for note in &round.notes {
            self.note_in(connection, note).await?;
        }
        let mut last = String::new();
        if begun.has_place {
            if let Some(held) = &round.held {
                self.held_in(connection, worker, held).await?;
            }
            last = self.claim_in(connection, worker, &round.wants, unreadable, &mut result).await?;
        } else {
            result.is_lost = true;
        }
        run(connection, last + "COMMIT").await?;
        Ok(result)
    }

    fn now_millis(&self) -> i64 {
        self.shared.clock.now().as_unix_millis()
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, OutboxError> {
        self.shared.pool.begin_with("BEGIN IMMEDIATE").await.map_err(database_error)
    }

    async fn acquire(&self) -> Result<sqlx::pool::PoolConnection<Sqlite>, OutboxError> {
        self.shared.pool.acquire().await.map_err(database_error)
    }
}

impl Outbox for SqliteOutbox {
    async fn save_endpoint(&self, record: &EndpointRecord) -> Result<(), OutboxError> {
        let mut transaction = self.begin().await?;
        self.shared.statements.read.save_endpoint(&mut transaction, record).await?;
        transaction.commit().await.map_err(database_error)?;
        self.shared.enqueued.notify_one();
        Ok(())
    }

    async fn endpoint(&self, id: &EndpointId) -> Result<Option<EndpointRecord>, OutboxError> {
        let mut connection = self.acquire().await?;
        self.shared.statements.read.endpoint(&mut connection, id).await
    }

    async fn enqueue(&self, message: &NewMessage) -> Result<MessageId, OutboxError> {
        let mut transaction = self.begin().await?;
        let (id, _) = self.enqueue_in(&mut transaction, message).await?.into_parts();
        transaction.commit().await.map_err(database_error)?;
        self.shared.enqueued.notify_one();
        Ok(id)
    }

    async fn enqueued(&self) {
        self.shared.enqueued.notified().await;
    }

    async fn join(&self, instance: &str, lease: Duration) -> Result<Worker, OutboxError> {
        let lease = lease.clamp(Worker::MIN_LEASE, Worker::MAX_LEASE);
        let mut transaction = self.begin().await?;
        let id = self.join_in(&mut transaction, instance, lease).await?;
        transaction.commit().await.map_err(database_error)?;
        Ok(Worker::new(id, lease))
    }

    async fn leave(&self, worker: &Worker) -> Result<(), OutboxError> {
        let mut transaction = self.begin().await?;
        self.leave_in(&mut transaction, worker).await?;
        transaction.commit().await.map_err(database_error)?;
        *self.shared.rounds.lock().await = None;
        Ok(())
    }

    async fn recover(&self, worker: &Worker) -> Result<u64, OutboxError> {
        let mut connection = self.acquire().await?;
        if !self.has_lapsed(&mut connection, worker).await? {
            return Ok(0);
        }
        drop(connection);
        let mut transaction = self.begin().await?;
        let released = self.recover_in(&mut transaction, worker).await?;
        transaction.commit().await.map_err(database_error)?;
        Ok(released)
    }

    async fn ready(&self, after: Option<&EndpointId>, limit: usize) -> Result<Due, OutboxError> {
        let mut connection = self.acquire().await?;
        self.ready_in(&mut connection, after, limit).await
    }

    async fn round(&self, worker: &Worker, round: &Round) -> Result<RoundResult, OutboxError> {
        match self.try_round(worker, round, &HashSet::new()).await {
            Err(error) if claim::is_damage(error) => {
                let unreadable = self.unreadable(&round.wants).await?;
                self.try_round(worker, round, &unreadable).await
            }
            done => done,
        }
    }

    async fn dead_letters(
        &self,
        endpoint: &EndpointId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, OutboxError> {
        let mut connection = self.acquire().await?;
        self.shared.statements.read.dead_letters(&mut connection, endpoint, limit).await
    }

    async fn delivery(
        &self,
        endpoint: &EndpointId,
        id: &MessageId,
    ) -> Result<Option<DeliveryStatus>, OutboxError> {
        let mut connection = self.acquire().await?;
        self.shared.statements.read.delivery(&mut connection, endpoint, id).await
    }

    async fn deliveries(
        &self,
        endpoint: &EndpointId,
        state: DeliveryState,
        limit: usize,
    ) -> Result<Vec<DeliveryStatus>, OutboxError> {
        let mut connection = self.acquire().await?;
        self.shared.statements.read.deliveries(&mut connection, endpoint, state, limit).await
    }

    async fn replay(&self, replay: &Replay) -> Result<u64, OutboxError> {
        let mut transaction = self.begin().await?;
        let replayed = self.shared.statements.read.replay(&mut transaction, replay).await?;
        transaction.commit().await.map_err(database_error)?;
        self.shared.enqueued.notify_one();
        Ok(replayed)
    }

    async fn purge(&self, retention: &Retention, limit: usize) -> Result<u64, OutboxError> {
        let mut transaction = self.begin().await?;
        let purged = self.purge_in(&mut transaction, retention, limit).await?;
        transaction.commit().await.map_err(database_error)?;
        Ok(purged)
    }

    async fn counts(&self) -> Result<Counts, OutboxError> {
        let mut connection = self.acquire().await?;
        self.shared.statements.read.counts(&mut connection).await
    }
}

impl Engine for Sqlite {
    const ID_BYTES: &'static str = "CAST(m.id AS BLOB)";

    fn affected(done: &sqlx::sqlite::SqliteQueryResult) -> u64 {
        done.rows_affected()
    }

    fn failed(error: sqlx::Error) -> OutboxError {
        database_error(error)
    }
}

/// Seen by every process on the database.
impl ConsentStore for SqliteOutbox {
    fn grant<'a>(&'a self, grant: &'a ConsentGrant) -> Consenting<'a, bool> {
        Box::pin(self.shared.statements.consents.grant(&self.shared.pool, grant))
    }

    fn granted<'a>(&'a self, endpoint: &'a EndpointDigest) -> Consenting<'a, Option<ConsentGrant>> {
        Box::pin(self.shared.statements.consents.granted(&self.shared.pool, *endpoint))
    }
}

/// The most messages in one command. SQLite takes a million bytes.
const MOST_NUMBERS: usize = 8192;

/// Runs statements whose only parts that are not literals are prefixes and numbers, as one command.
async fn run(connection: &mut SqliteConnection, statements: String) -> Result<(), OutboxError> {
    let done = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await;
    done.map(drop).map_err(database_error)
}

fn delivered(settlements: &[Settlement]) -> Vec<(LeaseToken, u16)> {
    let delivered = settlements.iter().filter_map(|settlement| match settlement.verdict {
        Verdict::Delivered { status } => Some((settlement.token, status)),
        _ => None,
    });
    delivered.collect()
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

/// A statement of this module. The only parts that are not literals are prefixes checked by [`TablePrefix`].
fn query(statement: &Arc<str>) -> Query<'static> {
    sqlx::query(AssertSqlSafe(Arc::clone(statement)))
}

fn database_error(error: sqlx::Error) -> OutboxError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const IO: i32 = 10;
    const FULL: i32 = 13;
    let kind = match &error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            OutboxErrorKind::Busy
        }
        sqlx::Error::Io(_) => OutboxErrorKind::Io,
        sqlx::Error::Database(refusal) => {
            let code: i32 = refusal.code().and_then(|code| code.parse().ok()).unwrap_or_default();
            // The low byte of an extended result code is the primary one.
            match code & 0xff {
                BUSY | LOCKED => OutboxErrorKind::Busy,
                FULL => OutboxErrorKind::Full,
                IO => OutboxErrorKind::Io,
                _ => OutboxErrorKind::Database { code: DatabaseCode::from_sqlite(code) },
            }
        }
        _ => OutboxErrorKind::Database { code: DatabaseCode::UNKNOWN },
    };
    kind.into()
}
