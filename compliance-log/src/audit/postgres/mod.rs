//! Events recorded in PostgreSQL, in the very transaction of the change they speak of.
//!
//! A change and its record that are written one after the other can part: the process dies in between, the
//! transaction rolls back. [`PostgresSink::record_in`] writes the event over the caller's own connection: it is there
//! if and only if the change is. Until the caller exchanges it after the commit, it is [`Uncommitted`], which is no
//! receipt.
//!
//! The tables are a waiting room. One [`Sequencer`] at a time takes the events over into a trail on disk, where they
//! get their numbers, the tree and the checkpoints; everything that reads, verifies, retires or proves works on that
//! trail. What was taken over is removed from its row.
//!
//! ```no_run
//! use compliance_core::clock::{Clock, SystemClock};
//! use compliance_core::event::{Actor, Durability, Event, EventKind};
//! use compliance_core::finding::Outcome;
//! use compliance_core::random::SystemRandom;
//! use compliance_log::audit::postgres::{PostgresOptions, PostgresSink, Sequencer};
//! use compliance_log::audit::{AuditConfig, CheckpointKey};
//!
//! # async fn service() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = sqlx::PgPool::connect("postgres://service@db.internal/service?sslmode=verify-full").await?;
//! let sink = PostgresSink::open(&pool, PostgresOptions::default()).await?;
//!
//! let event = Event::builder(EventKind::AccountCreated, Outcome::Passed, Actor::System, SystemClock.now()).build()?;
//! let mut transaction = pool.begin().await?;
//! // … the change itself, over the same transaction …
//! let uncommitted = sink.record_in(&mut transaction, &event).await?;
//! transaction.commit().await?;
//! let receipt = sink.confirm(uncommitted).await?;
//! receipt.redeem(&event, Durability::Remote)?;
//!
//! // On one machine with a disk that lasts:
//! let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
//! let config = AuditConfig::new(key);
//! let (mut sequencer, _) = Sequencer::open(&pool, PostgresOptions::default(), "trail", config, SystemClock).await?;
//! sequencer.drain().await?; // What waits now. `run` goes on until it is told to stop.
//! # Ok(())
//! # }
//! ```
//!
//! **Several sequencers.** A session-level advisory lock makes one the leader; the others are told
//! `sequencer.not_leader` and try again. Each leader raises an epoch; whoever comes back with an older one marks
//! nothing any more. The trail itself is fenced by the writer's lock in its directory, which is why there is one
//! directory and never a copy of it: a sequencer whose trail is shorter than the database says, or another trail, does
//! not start.
//!
//! **Crashes.** A leader writes to the trail first and marks the rows after. Whoever leads next compares what the trail
//! has beyond the last mark with the rows that wait, and marks those: nothing is lost, nothing is taken twice.
//!
//! **Privileges.** A service needs `INSERT (token, body, added_at)` and `SELECT (id, token, sequence)` on the event
//! table and `SELECT` on the schema table, no more; the sequencer owns them. Between commit and take-over an event is
//! as safe as the database is from those who may write to it: only what is in the trail shows tampering. They decide, too,
//! whether people in it are sealed: [`Sequencer::plain_people`] tells of those that were not.

mod error;
mod schema;
mod sequencer;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use compliance_core::clock::{Clock, SystemClock};
use compliance_core::event::{
    AuditReceipt, Durability, Event, EventClass, EventDigest, RecordError, RecordErrorKind, Recording, Sink,
};
use compliance_core::finding::RiskAcceptance;
use compliance_core::random::{SecureRandom, SystemRandom};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

pub use self::error::{PostgresError, PostgresErrorKind, SqlState};
pub use self::schema::{TablePrefix, TablePrefixError, migrations, record_statement};
pub use self::sequencer::{SequencedTrail, Sequencer, SequencerError, SequencerErrorKind};

use self::error::database_error;
use self::writer::Writer;
use super::record::{MAX_EVENT_LEN, is_reserved, risk_accepted};
#[cfg(feature = "key-store")]
use super::segment::Sealing;
use super::segment::{Policies, RecordPolicy};

const TOKEN_LEN: usize = 16;

/// How to open the sink and the sequencer.
#[derive(Clone, Debug)]
#[must_use]
pub struct PostgresOptions {
    prefix: TablePrefix,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    queue_len: usize,
    patience: Duration,
    policies: Policies,
    plaintext: Option<Arc<RiskAcceptance>>,
    #[cfg(feature = "key-store")]
    sealing: Option<Sealing>,
}

impl Default for PostgresOptions {
    /// Tables `audit_…`, the system's clock and random source, a queue of 8 MiB, ten seconds of patience; every class must
    /// be recorded.
    fn default() -> Self {
        Self {
            prefix: TablePrefix::default(),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            queue_len: 8 * 1024 * 1024,
            patience: Duration::from_secs(10),
            policies: Policies::default(),
            plaintext: None,
            #[cfg(feature = "key-store")]
            sealing: None,
        }
    }
}

impl PostgresOptions {
    /// Names the tables differently.
    pub fn with_prefix(self, prefix: TablePrefix) -> Self {
        Self { prefix, ..self }
    }

    /// Goes by another clock.
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Draws tokens from another source.
    pub fn with_random(self, random: Arc<dyn SecureRandom>) -> Self {
        Self { random, ..self }
    }

    /// How many bytes of events recorded outside a transaction may wait for the server; beyond, they are refused with
    /// [`Unavailable`](RecordErrorKind::Unavailable). Into an empty queue everything fits.
    pub fn queue_len(self, bytes: usize) -> Self {
        Self { queue_len: bytes, ..self }
    }

    /// Records events of this class that come outside a transaction at
    /// [best effort](super::segment::RecordPolicy::BestEffort): refused at once when half of the queue is taken. How many
    /// were refused, or given up after [`patience`](Self::patience), is itself recorded as soon as the server answers
    /// again, as [`SystemEventsDropped`](compliance_core::event::EventKind::SystemEventsDropped). Every class not named must
    /// be recorded, and has the other half of the queue to itself.
    pub fn best_effort(self, class: EventClass) -> Self {
        Self { policies: self.policies.with_best_effort(class), ..self }
    }

    /// How long an event recorded outside a transaction is tried again while the server does not answer. After that
    /// its caller is told [`Unavailable`](RecordErrorKind::Unavailable) when it certainly was not kept,
    /// [`Abandoned`](RecordErrorKind::Abandoned) when nobody knows.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Seals every person in an event before it leaves this process:
    /// [`Event::seal_people`](compliance_core::event::Event::seal_people). Receipts attest the event as it was handed
    /// over.
    #[cfg(feature = "key-store")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "key-store")))]
    pub fn seal_people(
        self,
        keys: Arc<dyn compliance_core::seal::KeyStore>,
        random: Arc<dyn SecureRandom>,
    ) -> Self {
        Self { sealing: Some(Sealing::new(keys, random)), ..self }
    }

    /// Opens the way to what weakens the sink.
    pub fn dangerous(self, acceptance: RiskAcceptance) -> DangerousPostgresOptions {
        DangerousPostgresOptions { options: self, acceptance }
    }

    fn seal(&self, event: &Event) -> Result<Option<Event>, PostgresError> {
        #[cfg(feature = "key-store")]
        if let Some(sealing) = &self.sealing {
            return sealing.seal(event).map(Some).ok_or(RecordErrorKind::Unavailable.into());
        }
        let _ = event;
        Ok(None)
    }

    /// What goes into a row.
    fn row(&self, event: &Event) -> Result<Row, PostgresError> {
        if is_reserved(event.kind()) {
            return Err(RecordErrorKind::Reserved.into());
        }
        let mut body = Vec::with_capacity(512);
        let digest = match self.seal(event)? {
            None => event.encode_with_digest(&mut body),
            Some(sealed) => {
                sealed.encode(&mut body);
                // The receipt is for what the caller handed over.
                event.digest()
            }
        };
        if body.len() > MAX_EVENT_LEN {
            return Err(RecordErrorKind::TooLarge { found: body.len(), max: MAX_EVENT_LEN }.into());
        }
        let mut token = [0; TOKEN_LEN];
        self.random.fill(&mut token).map_err(|_| PostgresErrorKind::Random)?;
        Ok(Row { token, body, digest })
    }

    fn now_millis(&self) -> i64 {
        self.clock.now().as_unix_millis()
    }

    /// Refuses a server, a table or a connection that would not keep what is recorded, or not keep it to itself.
    async fn check(&self, connection: &mut PgConnection) -> Result<(), PostgresError> {
        schema::check_durable(connection, self.prefix).await?;
        let is_accepted =
            self.plaintext.as_ref().is_some_and(|acceptance| acceptance.in_force(self.clock.now()).is_ok());
        if is_accepted || is_private(connection).await? {
            Ok(())
        } else {
            Err(PostgresErrorKind::Plaintext.into())
        }
    }
}

/// Whether the connection is encrypted, or stays within the machine.
async fn is_private(connection: &mut PgConnection) -> Result<bool, PostgresError> {
    sqlx::query_scalar(
        "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) \
            OR inet_client_addr() IS NULL OR inet_client_addr() = inet_server_addr() \
            OR inet_client_addr() <<= inet '127.0.0.0/8' OR inet_client_addr() = inet '::1'",
    )
    .fetch_one(connection)
    .await
    .map_err(database_error)
}

/// Options with what somebody has accepted the risk of.
#[derive(Clone, Debug)]
#[must_use]
pub struct DangerousPostgresOptions {
    options: PostgresOptions,
    acceptance: RiskAcceptance,
}

impl DangerousPostgresOptions {
    /// Takes connections to other machines that are not encrypted, until the acceptance expires; each opening is
    /// recorded with who accepted it and why.
    pub fn allow_plaintext(self) -> PostgresOptions {
        PostgresOptions { plaintext: Some(Arc::new(self.acceptance)), ..self.options }
    }
}

struct Row {
    token: [u8; TOKEN_LEN],
    body: Vec<u8>,
    digest: EventDigest,
}

/// An event in a transaction that has not committed, as far as anybody knows. No receipt: [`PostgresSink::confirm`]
/// exchanges it for one.
#[derive(Debug)]
#[must_use = "an event is recorded once it is confirmed after the commit"]
pub struct Uncommitted {
    token: [u8; TOKEN_LEN],
    digest: EventDigest,
}

impl Uncommitted {
    /// The digest of the event.
    #[must_use]
    pub fn digest(&self) -> &EventDigest {
        &self.digest
    }
}

/// An event could not be confirmed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unconfirmed {
    error: PostgresError,
    uncommitted: Uncommitted,
}

impl Unconfirmed {
    /// Why.
    #[must_use]
    pub fn error(&self) -> PostgresError {
        self.error
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.error.code()
    }

    /// What was to be exchanged, to try again when the database did not answer.
    pub fn into_uncommitted(self) -> Uncommitted {
        self.uncommitted
    }
}

/// Records events in PostgreSQL: inside the caller's transaction, or as a [`Sink`] of its own.
///
/// As a sink it gathers what is handed over while the server is at work and inserts it at once; receipts say
/// [`Durability::Remote`] and are given after the commit. Inserts are tried again when the connection breaks, and
/// never kept twice. A receipt's number is the row's, unique and growing in the order of hand-over; the number in the
/// trail is [`sequence`](Self::sequence)'s to tell.
pub struct PostgresSink {
    pool: PgPool,
    options: PostgresOptions,
    record: Arc<str>,
    confirm: Arc<str>,
    sequence: Arc<str>,
    writer: Arc<Writer>,
    thread: Option<JoinHandle<()>>,
}

impl PostgresSink {
    /// Opens the sink in the pool's database and brings its tables up to date, where it may.
    ///
    /// # Errors
    /// `postgres.not_durable` when server or table would lose what they acknowledge, `postgres.plaintext` when the
    /// connection to another machine is not encrypted (switch on one of `sqlx`'s `tls-…` features in the service and
    /// ask for `sslmode=verify-full`), `postgres.schema_too_new`, or [`PostgresError`] when the database fails.
    pub async fn open(pool: &PgPool, options: PostgresOptions) -> Result<Self, PostgresError> {
        let mut connection = pool.acquire().await.map_err(database_error)?;
        schema::migrate(&mut connection, options.prefix).await?;
        options.check(&mut connection).await?;
        let fill = |statement: &str| -> Arc<str> { options.prefix.fill(statement).into() };
        let writer = Arc::new(Writer::new(pool.connect_options(), options.clone()));
        let thread_writer = Arc::clone(&writer);
        let thread = std::thread::Builder::new()
            .name("audit-postgres".to_owned())
            .spawn(move || thread_writer.run())
            .map_err(|_| PostgresErrorKind::Unavailable)?;
        let sink = Self {
            pool: pool.clone(),
            record: record_statement(options.prefix).into(),
            confirm: fill("SELECT id FROM {p}event WHERE token = $1"),
            sequence: fill("SELECT sequence FROM {p}event WHERE id = $1"),
            options,
            writer,
            thread: Some(thread),
        };
        if let Some(acceptance) = &sink.options.plaintext
            && !is_private(&mut connection).await?
        {
            let event =
                risk_accepted(acceptance, "audit.postgres.plaintext", sink.options.clock.now()).build();
            let event = event.map_err(|_| PostgresErrorKind::Corrupt)?;
            let _receipt = sink.record(event).await.map_err(PostgresErrorKind::Record)?;
        }
        Ok(sink)
    }

    /// Writes an event inside the caller's own transaction: it is recorded if and only if that commits.
    ///
    /// The commit is made synchronous, whatever the session's `synchronous_commit`. An error leaves the transaction to
    /// be rolled back: the action is denied when it cannot be recorded.
    ///
    /// # Errors
    /// `record.reserved` and `record.too_large` before anything is sent; `record.unavailable` when the key store does
    /// not answer; [`PostgresError`] when the database fails.
    pub async fn record_in(
        &self,
        connection: &mut PgConnection,
        event: &Event,
    ) -> Result<Uncommitted, PostgresError> {
        let Row { token, body, digest } = self.options.row(event)?;
        let _id: i64 = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.record)))
            .bind(&token[..])
            .bind(body)
            .bind(self.options.now_millis())
            .fetch_one(connection)
            .await
            .map_err(database_error)?;
        Ok(Uncommitted { token, digest })
    }

    /// Exchanges an uncommitted event for its receipt, after the commit. Also tells how a commit ended whose answer
    /// was lost with the connection.
    ///
    /// # Errors
    /// `postgres.not_committed` when the event is not in the database: the transaction was rolled back or is still
    /// open. Another [`PostgresError`] when the database fails; what was to be exchanged comes back then.
    pub async fn confirm(&self, uncommitted: Uncommitted) -> Result<AuditReceipt, Unconfirmed> {
        match self.find(&uncommitted.token).await {
            Ok(id) => Ok(AuditReceipt::attest(uncommitted.digest, id, Durability::Remote)),
            Err(error) => Err(Unconfirmed { error, uncommitted }),
        }
    }

    async fn find(&self, token: &[u8; TOKEN_LEN]) -> Result<u64, PostgresError> {
        // The pool's own connection: over the caller's, its open transaction would show what nobody else sees.
        let id: Option<i64> = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.confirm)))
            .bind(&token[..])
            .fetch_optional(&self.pool)
            .await
            .map_err(database_error)?;
        let id = id.ok_or(PostgresErrorKind::NotCommitted)?;
        u64::try_from(id).map_err(|_| PostgresErrorKind::Corrupt.into())
    }

    /// The number in the trail of the event with this [receipt's number](AuditReceipt::sequence); `None` while it
    /// waits, or when its row is gone.
    ///
    /// # Errors
    /// [`PostgresError`] when the database fails.
    pub async fn sequence(&self, number: u64) -> Result<Option<u64>, PostgresError> {
        let Ok(id) = i64::try_from(number) else { return Ok(None) };
        let sequence: Option<Option<i64>> = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.sequence)))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(database_error)?;
        let sequence = sequence.flatten().map(u64::try_from).transpose();
        sequence.map_err(|_| PostgresErrorKind::Corrupt.into())
    }
}

impl Sink for PostgresSink {
    fn record(&self, event: Event) -> Recording {
        let policy = self.options.policies.of(event.kind().class());
        let row = self.options.row(&event).map_err(PostgresError::record_error).inspect_err(|error| {
            // What is reserved was never an event of the caller's.
            if policy == RecordPolicy::BestEffort && error.kind() != RecordErrorKind::Reserved {
                self.writer.count_dropped();
            }
        });
        row.and_then(|row| self.writer.submit(row, policy))
            .unwrap_or_else(|error: RecordError| Recording::ready(Err(error)))
    }
}

/// Writes what was handed over, as long as the server answers.
impl Drop for PostgresSink {
    fn drop(&mut self) {
        self.writer.close();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // A panic there has answered everybody already.
            drop(thread.join());
        }
    }
}

impl fmt::Debug for PostgresSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSink").field("prefix", &self.options.prefix).finish_non_exhaustive()
    }
}
