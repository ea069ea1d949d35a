//! What is done to the trail beside taking over.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, Durability, Event, RecordError, RecordErrorKind};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::super::error::{PostgresError, PostgresErrorKind, database_error};
use super::super::{PostgresOptions, TablePrefix};
use super::{Sequencer, SequencerError, SequencerErrorKind};
use crate::audit::checkpoint::{SignedCheckpoint, VerifyingKey};
use crate::audit::record::Circumstances;
use crate::audit::retention::{Retention, RetireError, RetireReport};
use crate::audit::segment::AuditLog;
use crate::audit::verify::{VerifyOptions, VerifyReport, verify};

/// Rows that go with their events are counted, so that nobody misses them once the trail is lost.
const FORGET: &str = "WITH forgotten AS (DELETE FROM {p}event \
        WHERE drained_at < $1 AND ($2 OR body IS NULL OR sequence < $3) RETURNING NOT $2 AND body IS NOT NULL AS had_event), \
    counted AS (UPDATE {p}trail SET rowless = rowless + (SELECT count(*) FROM forgotten WHERE had_event)) \
    SELECT count(*) FROM forgotten";

const WAITING: &str = "SELECT count(*) FROM {p}event WHERE sequence IS NULL";

/// The trail of a [`Sequencer`], for what is done beside taking over, also while it [runs](Sequencer::run): retiring,
/// forgetting rows, checkpoints to anchor. Cheap to clone. Once the sequencer has ended everything is refused with
/// `record.unavailable`.
#[derive(Clone, Debug)]
pub struct SequencedTrail {
    log: Weak<AuditLog>,
    dir: PathBuf,
    writing: Arc<Mutex<()>>,
    pool: PgPool,
    options: PostgresOptions,
    key: VerifyingKey,
    forget: Arc<str>,
    waiting: Arc<str>,
    is_on_disk: bool,
    plain_people: Arc<AtomicU64>,
}

impl SequencedTrail {
    pub(super) fn new(
        log: &Arc<AuditLog>,
        writing: Arc<Mutex<()>>,
        pool: PgPool,
        options: PostgresOptions,
        prefix: TablePrefix,
    ) -> Self {
        Self {
            log: Arc::downgrade(log),
            dir: log.dir().to_owned(),
            writing,
            pool,
            options,
            key: log.verifying_key().clone(),
            forget: prefix.fill(FORGET).into(),
            waiting: prefix.fill(WAITING).into(),
            is_on_disk: log.durability() >= Durability::Disk,
            plain_people: Arc::default(),
        }
    }

    /// Retires what may go from the trail: [`Retention::retire`].
    ///
    /// # Errors
    /// [`RetireError`]; `record.unavailable` once the sequencer has ended.
    pub async fn retire(
        &self,
        retention: &Retention,
        by: &Circumstances,
    ) -> Result<RetireReport, RetireError> {
        let (retention, by) = (retention.clone(), by.clone());
        let retired = self.with_log(move |log| retention.retire(log, &by)).await;
        retired.ok_or(RecordError::new(RecordErrorKind::Unavailable))?
    }

    /// A signed checkpoint over everything taken over: [`AuditLog::checkpoint`].
    ///
    /// # Errors
    /// The recording's codes; `record.unavailable` once the sequencer has ended.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, SequencerError> {
        let checkpoint = self.with_log(AuditLog::checkpoint).await;
        Ok(checkpoint.ok_or(SequencerErrorKind::Record(RecordError::new(RecordErrorKind::Unavailable)))??)
    }

    /// Deletes the rows of events taken over before `before`, at most as recent as [`Sequencer::MIN_AGE`] before now. They
    /// hold tokens, numbers and times; for bodies the trail refused, those too. How many there were. Rows that kept their
    /// event, because the trail may go with the instance, stay until that was [retired](Self::retire).
    ///
    /// # Errors
    /// [`PostgresError`] when the database fails.
    pub async fn forget(&self, before: Timestamp) -> Result<u64, PostgresError> {
        let latest = self.options.clock.now().saturating_sub(Sequencer::MIN_AGE);
        let first = if self.is_on_disk { 0 } else { self.retired_before().await };
        let deleted: i64 = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.forget)))
            .bind(before.min(latest).as_unix_millis())
            .bind(self.is_on_disk)
            .bind(i64::try_from(first).unwrap_or(i64::MAX))
            .fetch_one(&self.pool)
            .await
            .map_err(database_error)?;
        u64::try_from(deleted).map_err(|_| PostgresErrorKind::Corrupt.into())
    }

    /// How many events wait to be taken over. They are in no query, no verification and no retention yet: look here before
    /// somebody's key as the one who acted is
    /// [destroyed](crate::audit::erasure::Erasures::retire_actor) because what they did is old enough.
    ///
    /// # Errors
    /// [`PostgresError`] when the database fails.
    pub async fn waiting(&self) -> Result<u64, PostgresError> {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.waiting)))
            .fetch_one(&self.pool)
            .await
            .map_err(database_error)?;
        u64::try_from(count).map_err(|_| PostgresErrorKind::Corrupt.into())
    }

    /// In how many events taken over since the sequencer was opened a person stood in plain. Where people are sealed, more
    /// than none means that somebody records without sealing, and that no erasure reaches whom they name.
    #[must_use]
    pub fn plain_people(&self) -> u64 {
        self.plain_people.load(Ordering::Relaxed)
    }

    pub(super) fn count_plain(&self, event: &Event) {
        let is_plain = |actor: &Actor| matches!(actor, Actor::Person(_));
        let names = is_plain(event.actor()) || event.on_behalf_of().is_some_and(is_plain);
        if names || !event.subjects().is_empty() {
            self.plain_people.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The first record that was not retired, as the trail says that verifies. Where that cannot be told, nothing was.
    async fn retired_before(&self) -> u64 {
        let (dir, options) = (self.dir.clone(), VerifyOptions::new().key(self.key.clone()));
        let report = spawn_blocking(move || verify(dir, &options)).await;
        report.ok().and_then(Result::ok).filter(VerifyReport::is_whole).map_or(0, |report| report.first())
    }

    /// Not while events are written, and never while the sequencer closes; `None` when it has.
    async fn with_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AuditLog) -> T + Send + 'static,
    ) -> Option<T> {
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let log = Weak::clone(&self.log);
        let done = spawn_blocking(move || {
            let _writing = writing;
            log.upgrade().map(|log| work(&log))
        });
        done.await.ok().flatten()
    }
}
