//! The outbox in PostgreSQL, inside the caller's own database and transaction, for dispatchers on several hosts.
//!
//! The tables are published: [`migrations`] and [`enqueue_statement`] let any driver enqueue in its own
//! transaction. Times are milliseconds since the Unix epoch.
//!
//! # Whose time
//! The server's. Leases, retries and pauses are kept as the server's time; what a dispatcher asks for counts from
//! now, so that hosts whose clocks differ agree on what is due and on who still lives. Verdicts rest on fencing
//! tokens alone, on nobody's clock.
//!
//! # Locks
//! A round locks its own worker's row first, then the endpoints it has learned something about, in one order, and
//! messages it claims with `FOR UPDATE SKIP LOCKED`: dispatchers do not wait for one another. Whoever takes a worker's
//! messages over deletes its row first, so that a round of that worker has either ended before or finds itself lost,
//! and only then, in another statement, looks for messages whose worker is gone. A transaction whose client has gone
//! quiet is ended by the server after [`CALL_TIMEOUT`], and its locks with it.

mod claim;
mod schema;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, SystemClock, Timestamp};
use compliance_core::finding::Enforcement;
use compliance_core::random::{SecureRandom, SystemRandom};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::Notify;
use tokio::time::timeout;

pub use self::schema::{enqueue_statement, migrations};

use super::sql::{Consents, Engine, Enqueues, Reads};
use super::{
    Counts, DatabaseCode, DeadLetter, DeliveryState, DeliveryStatus, Due, EndpointId, EndpointRecord,
    NewMessage, Outbox, OutboxError, OutboxErrorKind, Replay, Retention, Round, RoundResult, TablePrefix,
    Uncommitted, Worker,
};
use crate::handshake::{ConsentGrant, ConsentStore, ConsentStoreError, Consenting, EndpointDigest};
use crate::sign::MessageId;

/// How long one call may take, locks and network included, before it is given up as `outbox.busy`.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// The server's time. `statement_timestamp` is one value per statement, so that indexes can be used with it, and moves
/// on inside a transaction that had to wait.
const NOW: &str = "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint";

/// Read committed, whatever the database's default is: each statement must see what others have committed before it.
/// The times are those of [`CALL_TIMEOUT`].
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = 5000; \
                     SET LOCAL statement_timeout = 5000; SET LOCAL idle_in_transaction_session_timeout = 5000";

/// How to open an outbox.
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    prefix: TablePrefix,
    time: Time,
    random: Arc<dyn SecureRandom>,
    enforcement: Enforcement,
}

impl Default for OutboxOptions {
    /// Tables `webhook_…`, the server's time, the system's random source.
    fn default() -> Self {
        let time = Time { is_servers: true, clock: Arc::new(SystemClock) };
        let enforcement = Enforcement::Enforce;
        Self { prefix: TablePrefix::default(), time, random: Arc::new(SystemRandom), enforcement }
    }
}

impl OutboxOptions {
    /// Names the tables differently.
    #[must_use]
    pub fn with_prefix(mut self, prefix: TablePrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// The clock this host's dispatchers go by, the system's unless said otherwise. A point in time they name is taken
    /// as so far ahead of now, whatever this clock says now is.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.time.clock = clock;
        self
    }

    /// Goes by this host's clock altogether: for tests. Everybody who uses the tables must then go by the same clock.
    #[must_use]
    pub fn without_server_time(mut self) -> Self {
        self.time.is_servers = false;
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

/// Whose time it is.
#[derive(Clone, Debug)]
struct Time {
    is_servers: bool,
    /// What a dispatcher reckons by: points in time it names are turned into durations by it.
    clock: Arc<dyn Clock>,
}

impl Time {
    /// What is bound where a statement asks for now: null stands for the server's time.
    fn now(&self) -> Option<i64> {
        if self.is_servers { None } else { Some(self.clock.now().as_unix_millis()) }
    }

    /// How far ahead a point in time is that was named by this host's clock, in milliseconds.
    fn ahead(&self, at: Timestamp) -> i64 {
        at.as_unix_millis().saturating_sub(self.clock.now().as_unix_millis())
    }
}

/// An outbox in a PostgreSQL database (13 or later). Cheap to clone.
///
/// ```no_run
/// # async fn example(tenant: compliance_core::id::TenantId, endpoint: compliance_webhook::outbox::EndpointId)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use compliance_webhook::outbox::{NewMessage, PostgresOutbox, postgres};
///
/// let pool = sqlx::PgPool::connect("postgres://service@db.internal/service").await?;
/// let outbox = PostgresOutbox::open(&pool, postgres::OutboxOptions::default()).await?;
///
/// let message = NewMessage::impersonal(&tenant, &endpoint, br#"{"type":"user.created"}"#)?;
/// let mut transaction = pool.begin().await?;
/// sqlx::query("INSERT INTO account (id) VALUES ('user-17')").execute(&mut *transaction).await?;
/// let queued = outbox.enqueue_in(&mut transaction, &message).await?;
/// transaction.commit().await?;
/// let id = outbox.confirm(queued).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// Payloads and sealed keys travel to the server over the pool's connections: open it with TLS (`sslmode=verify-full`)
/// unless the server is on this host.
#[derive(Clone, Debug)]
pub struct PostgresOutbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    time: Time,
    enforcement: Enforcement,
    enqueued: Notify,
    statements: Statements,
}

/// Every statement, with the prefix filled in once.
#[derive(Debug)]
struct Statements {
    enqueue: Enqueues<Postgres>,
    read: Reads<Postgres>,
    claim: claim::ClaimStatements,
    settle: settle::SettleStatements,
    consents: Consents<Postgres>,
}

impl PostgresOutbox {
    /// Opens the outbox in the pool's database, in the first schema of its `search_path`, and brings its tables up to
    /// date.
    ///
    /// The dispatcher and [`confirm`](Self::confirm) take connections from this pool, so it needs at least two.
    ///
    /// # Errors
    /// `outbox.not_durable` when the server runs with `fsync = off` or the pool's sessions with
    /// `synchronous_commit = off`, `outbox.schema_too_new`, or [`OutboxError`] when the database fails.
    pub async fn open(pool: &PgPool, options: OutboxOptions) -> Result<Self, OutboxError> {
        let prefix = options.prefix;
        let insert = schema::enqueue(prefix, options.enforcement);
        let statements = Statements {
            enqueue: Enqueues::new(prefix, insert, options.enforcement, options.random),
            read: Reads::new(prefix),
            claim: claim::ClaimStatements::new(prefix),
            settle: settle::SettleStatements::new(prefix),
            consents: Consents::new(prefix),
        };
        let shared = Shared {
            pool: pool.clone(),
            time: options.time,
            enforcement: options.enforcement,
            enqueued: Notify::new(),
            statements,
        };
        let outbox = Self { shared: Arc::new(shared) };
        bounded(async {
            let mut transaction = outbox.begin().await?;
            for setting in ["SHOW fsync", "SHOW synchronous_commit"] {
                let value: String =
                    sqlx::query_scalar(setting).fetch_one(&mut *transaction).await.map_err(database_error)?;
                if value == "off" {
                    return Err(OutboxErrorKind::NotDurable.into());
                }
            }
            schema::migrate(&mut transaction, prefix).await?;
            transaction.commit().await.map_err(database_error)
        })
        .await?;
        Ok(outbox)
    }

    /// Writes a message inside the caller's own transaction: it goes out if and only if that commits.
    ///
    /// A refusal leaves the transaction usable. A failure of the database does not, as PostgreSQL has it: roll back.
    ///
    /// # Errors
    /// `outbox.endpoint_unknown` when the endpoint is not the message's tenant's, `outbox.not_instructed` when no
    /// instruction of its client covers the message's classes, `outbox.idempotency_conflict` when the key or the id was
    /// used for another payload, `outbox.busy` when another transaction with the same key stands in the way of a
    /// stricter isolation level than `READ COMMITTED`, or [`OutboxError`] when the database fails. A disabled endpoint
    /// is no error: its messages wait.
    pub async fn enqueue_in(
        &self,
        connection: &mut PgConnection,
        message: &NewMessage,
    ) -> Result<Uncommitted<MessageId>, OutboxError> {
        let Statements { enqueue, read, .. } = &self.shared.statements;
        enqueue.enqueue(connection, message, self.shared.time.now(), read).await
    }

    /// Exchanges what [`enqueue_in`](Self::enqueue_in) returned, after the commit, and wakes this process's dispatcher.
    /// Those of others find the message by their next poll.
    ///
    /// # Errors
    /// `outbox.not_committed` when the message is not in the database: the transaction was rolled back or is
    /// still open. [`OutboxError`] when the database fails; the message goes out all the same if it is there.
    pub async fn confirm(&self, message: Uncommitted<MessageId>) -> Result<MessageId, OutboxError> {
        let (id, endpoint) = message.into_parts();
        bounded(async {
            let mut connection = self.acquire().await?;
            self.shared.statements.enqueue.check_committed(&mut connection, &id, &endpoint).await
        })
        .await?;
        self.shared.enqueued.notify_one();
        Ok(id)
    }

    /// One transaction. The heartbeat comes first, for the lock on the worker's row; what the verdicts are worth does
    /// not depend on it.
    async fn try_round(
        &self,
        worker: &Worker,
        round: &Round,
        unreadable: &[i64],
    ) -> Result<RoundResult, OutboxError> {
        let mut result = RoundResult::default();
        let mut transaction = self.begin().await?;
        let is_alive = self.beat_in(&mut transaction, worker).await?;
        self.lock_noted_in(&mut transaction, &round.notes).await?;
        result.fenced = self.settle_in(&mut transaction, &round.settlements).await?;
        self.excerpts_in(&mut transaction, &round.excerpts).await?;
        self.note_in(&mut transaction, &round.notes).await?;
        if is_alive {
            if let Some(held) = &round.held {
                self.held_in(&mut transaction, worker, held).await?;
            }
            self.claim_in(&mut transaction, worker, &round.wants, unreadable, &mut result).await?;
        } else {
            result.is_lost = true;
        }
        transaction.commit().await.map_err(database_error)?;
        Ok(result)
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, OutboxError> {
        self.shared.pool.begin_with(BEGIN).await.map_err(database_error)
    }

    async fn acquire(&self) -> Result<PoolConnection<Postgres>, OutboxError> {
        self.shared.pool.acquire().await.map_err(database_error)
    }
}

impl Outbox for PostgresOutbox {
    async fn save_endpoint(&self, record: &EndpointRecord) -> Result<(), OutboxError> {
        bounded(async {
            let mut connection = self.acquire().await?;
            self.shared.statements.read.save_endpoint(&mut connection, record).await
        })
        .await?;
        self.shared.enqueued.notify_one();
        Ok(())
    }

    async fn endpoint(&self, id: &EndpointId) -> Result<Option<EndpointRecord>, OutboxError> {
        bounded(async {
            let mut connection = self.acquire().await?;
            self.shared.statements.read.endpoint(&mut connection, id).await
        })
        .await
    }

    async fn enqueue(&self, message: &NewMessage) -> Result<MessageId, OutboxError> {
        let id = bounded(async {
            let mut transaction = self.begin().await?;
            let (id, _) = self.enqueue_in(&mut transaction, message).await?.into_parts();
            transaction.commit().await.map_err(database_error)?;
            Ok(id)
        })
        .await?;
        self.shared.enqueued.notify_one();
        Ok(id)
    }

    async fn enqueued(&self) {
        self.shared.enqueued.notified().await;
    }

    async fn join(&self, instance: &str, lease: Duration) -> Result<Worker, OutboxError> {
        let lease = lease.clamp(Worker::MIN_LEASE, Worker::MAX_LEASE);
        bounded(async {
            let mut transaction = self.begin().await?;
            let id = self.join_in(&mut transaction, instance, lease).await?;
            transaction.commit().await.map_err(database_error)?;
            Ok(Worker::new(id, lease))
        })
        .await
    }

    async fn leave(&self, worker: &Worker) -> Result<(), OutboxError> {
        bounded(async {
            let mut transaction = self.begin().await?;
            self.leave_in(&mut transaction, worker).await?;
            transaction.commit().await.map_err(database_error)
        })
        .await
    }

    async fn recover(&self, worker: &Worker) -> Result<u64, OutboxError> {
        bounded(async {
            let mut transaction = self.begin().await?;
            let released = self.recover_in(&mut transaction, worker).await?;
            transaction.commit().await.map_err(database_error)?;
            Ok(released)
        })
        .await
    }

    async fn ready(&self, after: Option<&EndpointId>, limit: usize) -> Result<Due, OutboxError> {
        bounded(async {
            let mut connection = self.acquire().await?;
            self.ready_in(&mut connection, after, limit).await
        })
        .await
    }

    async fn round(&self, worker: &Worker, round: &Round) -> Result<RoundResult, OutboxError> {
        match bounded(self.try_round(worker, round, &[])).await {
            Err(error) if claim::is_damage(error) => {
                let unreadable = bounded(self.unreadable(&round.wants)).await?;
                bounded(self.try_round(worker, round, &unreadable)).await
            }
            done => done,
        }
    }

    async fn dead_letters(
        &self,
        endpoint: &EndpointId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, OutboxError> {
        bounded(async {
            let mut connection = self.acquire().await?;
            self.shared.statements.read.dead_letters(&mut connection, endpoint, limit).await
        })
        .await
    }

    async fn delivery(
        &self,
        endpoint: &EndpointId,
        id: &MessageId,
    ) -> Result<Option<DeliveryStatus>, OutboxError> {
        bounded(async {
            let mut connection = self.acquire().await?;
            self.shared.statements.read.delivery(&mut connection, endpoint, id).await
        })
        .await
    }

    async fn deliveries(
        &self,
        endpoint: &EndpointId,
        state: DeliveryState,
        limit: usize,
    ) -> Result<Vec<DeliveryStatus>, OutboxError> {
        bounded(async {
            let mut connection = self.acquire().await?;
            self.shared.statements.read.deliveries(&mut connection, endpoint, state, limit).await
        })
        .await
    }

    async fn replay(&self, replay: &Replay) -> Result<u64, OutboxError> {
        let replayed = bounded(async {
            let mut connection = self.acquire().await?;
            self.shared.statements.read.replay(&mut connection, replay).await
        })
        .await?;
        self.shared.enqueued.notify_one();
        Ok(replayed)
    }

    async fn purge(&self, retention: &Retention, limit: usize) -> Result<u64, OutboxError> {
        bounded(async {
            let mut connection = self.acquire().await?;
            self.purge_in(&mut connection, retention, limit).await
        })
        .await
    }

    async fn counts(&self) -> Result<Counts, OutboxError> {
        bounded(async {
            let mut connection = self.acquire().await?;
            self.shared.statements.read.counts(&mut connection).await
        })
        .await
    }
}

/// A server that does not answer must not hold up the dispatcher for as long as its network waits.
async fn bounded<T>(call: impl Future<Output = Result<T, OutboxError>>) -> Result<T, OutboxError> {
    timeout(CALL_TIMEOUT, call).await.unwrap_or(Err(OutboxErrorKind::Busy.into()))
}

impl Engine for Postgres {
    const ID_BYTES: &'static str = "convert_to(m.id, 'SQL_ASCII')";

    fn affected(done: &sqlx::postgres::PgQueryResult) -> u64 {
        done.rows_affected()
    }

    fn failed(error: sqlx::Error) -> OutboxError {
        database_error(error)
    }
}

/// Seen by every process on the database.
impl ConsentStore for PostgresOutbox {
    fn grant<'a>(&'a self, grant: &'a ConsentGrant) -> Consenting<'a, bool> {
        let call = self.shared.statements.consents.grant(&self.shared.pool, grant);
        Box::pin(async { timeout(CALL_TIMEOUT, call).await.unwrap_or(Err(ConsentStoreError::new())) })
    }

    fn granted<'a>(&'a self, endpoint: &'a EndpointDigest) -> Consenting<'a, Option<ConsentGrant>> {
        let call = self.shared.statements.consents.granted(&self.shared.pool, *endpoint);
        Box::pin(async { timeout(CALL_TIMEOUT, call).await.unwrap_or(Err(ConsentStoreError::new())) })
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

/// A statement of this module. The only parts that are not literals are prefixes checked by [`TablePrefix`].
fn query(statement: &Arc<str>) -> Query<'static> {
    sqlx::query(AssertSqlSafe(Arc::clone(statement)))
}

/// By SQLSTATE (PostgreSQL's documentation, appendix A).
fn database_error(error: sqlx::Error) -> OutboxError {
    let kind = match &error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            OutboxErrorKind::Busy
        }
        sqlx::Error::Io(_) => OutboxErrorKind::Io,
        sqlx::Error::Database(refusal) => match refusal.code().as_deref() {
            // Serialization failure, deadlock, a name taken at the same time, lock or statement timed out, idle for too
            // long, a server that shuts down, starts up, has no connection left or is a standby.
            Some(
                "40001" | "40P01" | "23505" | "55P03" | "57014" | "25P03" | "57P01" | "57P02" | "57P03"
                | "53300" | "25006",
            ) => OutboxErrorKind::Busy,
            Some("53100") => OutboxErrorKind::Full,
            Some("58030") => OutboxErrorKind::Io,
            code => {
                let code = code.map_or(DatabaseCode::UNKNOWN, DatabaseCode::from_sql_state);
                OutboxErrorKind::Database { code }
            }
        },
        _ => OutboxErrorKind::Database { code: DatabaseCode::UNKNOWN },
    };
    kind.into()
}
