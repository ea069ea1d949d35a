//! What is done to the trail beside taking over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, Durability, Event, RecordError, RecordErrorKind};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::super::error::{PostgresError, database_error};
use super::super::{PostgresOptions, TablePrefix};
use super::{Sequencer, SequencerError, SequencerErrorKind};
use crate::audit::checkpoint::SignedCheckpoint;
use crate::audit::record::Circumstances;
use crate::audit::retention::{Retention, RetireError, RetireReport};
use crate::audit::segment::AuditLog;

const FORGET: &str = "DELETE FROM {p}event WHERE drained_at < $1 AND ($2 OR body IS NULL)";

/// The trail of a [`Sequencer`], for what is done beside taking over, also while it [runs](Sequencer::run): retiring,
/// forgetting rows, checkpoints to anchor. Cheap to clone. Once the sequencer has ended everything is refused with
/// `record.unavailable`.
#[derive(Clone, Debug)]
pub struct SequencedTrail {
    log: Weak<AuditLog>,
    writing: Arc<Mutex<()>>,
    pool: PgPool,
    options: PostgresOptions,
    forget: Arc<str>,
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
            writing,
            pool,
            options,
            forget: prefix.fill(FORGET).into(),
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
    /// event, because the trail may go with the instance, stay.
    ///
    /// # Errors
    /// [`PostgresError`] when the database fails.
    pub async fn forget(&self, before: Timestamp) -> Result<u64, PostgresError> {
        let latest = self.options.clock.now().saturating_sub(Sequencer::MIN_AGE);
        let deleted = sqlx::query(AssertSqlSafe(Arc::clone(&self.forget)))
            .bind(before.min(latest).as_unix_millis())
            .bind(self.is_on_disk)
            .execute(&self.pool)
            .await
            .map_err(database_error)?;
        Ok(deleted.rows_affected())
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
