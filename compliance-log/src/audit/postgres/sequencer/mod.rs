//! Takes events from the database over into the trail, each once.

mod error;
mod leader;
mod trail;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use compliance_core::class::Internal;
use compliance_core::clock::{Clock, Timestamp};
use compliance_core::event::{
    Actor, Durability, Event, EventError, EventKind, RecordError, RecordErrorKind, Recording, Sink,
};
use compliance_core::finding::Outcome;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

pub use self::error::{SequencerError, SequencerErrorKind};
pub use self::trail::SequencedTrail;

use self::leader::Leader;
use super::error::{PostgresError, PostgresErrorKind, database_error};
use super::{PostgresOptions, schema};
use crate::audit::checkpoint::{SignedCheckpoint, VerifyingKey};
use crate::audit::record::{Circumstances, is_reserved};
use crate::audit::retention::{Retention, RetireError, RetireReport};
use crate::audit::segment::{AuditConfig, AuditLog, OpenReport};

/// How long a sequencer with nothing to do waits before it looks again.
const IDLE: Duration = Duration::from_millis(100);

/// How long a sequencer that is not the leader, or whose server does not answer, waits before it tries again.
const STANDBY: Duration = Duration::from_secs(1);

/// Takes events over from the database into a trail on disk. One at a time leads; any number may stand by, each with
/// the same trail directory, or none that has a trail.
///
/// The trail takes nothing else: whoever wants to record hands events to a [`PostgresSink`](super::PostgresSink), the
/// service on the sequencer's own machine too.
#[derive(Debug)]
pub struct Sequencer {
    log: Arc<AuditLog>,
    /// Held by whoever writes to the trail, also when nobody waits for them any more.
    writing: Arc<Mutex<()>>,
    pool: PgPool,
    options: PostgresOptions,
    trail: SequencedTrail,
    waiting: Arc<str>,
    lease: Duration,
    was_restored: bool,
    trail_lost: bool,
    leader: Option<Leader>,
}

/// At most 1024 rows and four megabytes, before the last.
const WAITING: &str = "SELECT id, body, added_at FROM (SELECT id, body, added_at, \
        sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS before FROM \
            (SELECT id, body, added_at FROM {p}event WHERE sequence IS NULL ORDER BY id LIMIT 1024) AS first) AS sized \
    WHERE before < 4194304 ORDER BY id";

/// What stands in a row.
#[derive(Debug)]
struct Waiting {
    id: i64,
    event: Event,
    /// Why the body is not what is recorded.
    refused: Option<&'static str>,
}

impl Sequencer {
    /// The least age of rows to [forget](Self::forget): whoever has committed may still want to confirm.
    pub const MIN_AGE: Duration = Duration::from_secs(3600);

    /// The shortest and the longest [lease](Self::with_lease).
    pub const LEASE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

    /// Opens the trail in `dir` and the tables in the pool's database. Does not lead yet; a directory another
    /// sequencer has open is refused with `audit.locked`.
    ///
    /// What was taken over leaves its row once it is on the trail's disk. A trail that may go with the instance is only
    /// opened [on any storage](AuditConfig::on_any_storage), and then events stay in their rows: a receipt that says
    /// `Remote` goes on being true.
    ///
    /// Everything must be recorded, whatever `config` says of best effort; people are sealed by the
    /// [sink](PostgresOptions::seal_people), so `config` must not.
    ///
    /// # Errors
    /// [`SequencerError`]: the codes of [`AuditLog::open`] and [`PostgresSink::open`](super::PostgresSink::open);
    /// `sequencer.seals` when `config` seals people.
    pub async fn open(
        pool: &PgPool,
        options: PostgresOptions,
        dir: impl Into<PathBuf>,
        config: AuditConfig,
        clock: impl Clock + 'static,
    ) -> Result<(Self, OpenReport), SequencerError> {
        if config.seals_people() {
            return Err(SequencerErrorKind::Seals.into());
        }
        let dir = dir.into();
        let opening = spawn_blocking(move || AuditLog::open(dir, config.without_best_effort(), clock));
        let (log, report) = opening.await.map_err(|_| SequencerErrorKind::Interrupted)??;
        let mut connection = pool.acquire().await.map_err(database_error)?;
        schema::migrate(&mut connection, options.prefix).await?;
        options.check(&mut connection).await?;
        let (log, writing) = (Arc::new(log), Arc::default());
        let trail =
            SequencedTrail::new(&log, Arc::clone(&writing), pool.clone(), options.clone(), options.prefix);
        let sequencer = Self {
            log,
            writing,
            pool: pool.clone(),
            trail,
            waiting: options.prefix.fill(WAITING).into(),
            options,
            lease: Duration::from_secs(30),
            was_restored: false,
            trail_lost: false,
            leader: None,
        };
        Ok((sequencer, report))
    }

    /// After how long without a word the server ends a leader's session, so that another may lead; brought within
    /// [`LEASE`](Self::LEASE), 30 seconds unless stated.
    #[must_use]
    pub fn with_lease(self, lease: Duration) -> Self {
        Self { lease: lease.clamp(Self::LEASE.0, Self::LEASE.1), ..self }
    }

    /// Says that the database was restored from a backup and therefore does not know everything the trail has. Rows
    /// that are in the trail already are still recognised and not taken twice.
    ///
    /// # Security
    /// Without this, a trail with records nobody handed over is refused. Say it for the one start after a restore, not
    /// for every start.
    #[must_use]
    pub fn declare_database_restored(self) -> Self {
        Self { was_restored: true, ..self }
    }

    /// Says that the trail went with its host, and that another one is begun here, where there is none, from the events
    /// that stayed in their rows. An event of kind `configuration.changed` (`audit.trail`) is recorded with it. Without
    /// this such a directory is refused with `sequencer.trail_behind`; with it too, unless every record of the lost
    /// trail still has its row with its event, but for what was [retired](Self::retire) and [forgotten](Self::forget) and
    /// the trail's own: else something would be missing. What was retired and not forgotten yet comes back.
    ///
    /// Numbers are given anew, and what was anchored of the lost trail says another history than this one.
    ///
    /// # Security
    /// Whoever says it begins another history. Say it for the one start after a loss, with what is left of the earlier
    /// anchors at hand.
    #[must_use]
    pub fn declare_trail_lost(self) -> Self {
        Self { trail_lost: true, ..self }
    }

    /// Takes over what waits, up to 1024 events, and says how many there were. Becomes the leader first, where nobody
    /// else is.
    ///
    /// After an error call it again; unless [`is_final`](SequencerError::is_final), nothing is lost or doubled by that.
    /// Dropping the future is as harmless.
    ///
    /// # Errors
    /// [`SequencerError`]: `sequencer.not_leader` while another one leads; `sequencer.fenced` when another one has
    /// taken over; the database's and the recording's codes; the final ones of [`run`](Self::run).
    pub async fn drain(&mut self) -> Result<usize, SequencerError> {
        // Put back only when all went well: whatever is half done is sorted out by leading anew.
        let mut leader = match self.leader.take() {
            Some(leader) => leader,
            None => self.lead().await?,
        };
        let waiting = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.waiting)));
        let rows: Vec<(i64, Vec<u8>, i64)> =
            within(self.lease, waiting.fetch_all(leader.connection())).await?.map_err(database_error)?;
        let read = |(id, body, at): (i64, Vec<u8>, i64)| Waiting::read(id, &body, at);
        let rows = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            self.leader = Some(leader);
            return Ok(0);
        }
        let taken = self.write(rows).await?;
        let failed = taken.iter().find_map(|taken| taken.result.err());
        let marked = within(self.lease, leader.mark(&taken, self.options.now_millis())).await??;
        match failed {
            None => {
                self.leader = Some(leader);
                Ok(marked)
            }
            Some(error) => Err(error.into()),
        }
    }

    /// Takes over whatever comes until `stop` resolves, then what is left, and closes the trail. Stands by while another
    /// one leads or the database does not answer.
    ///
    /// # Errors
    /// The [final](SequencerError::is_final) ones: `sequencer.trail_behind` and `sequencer.other_trail` when the trail
    /// in the directory is not, or not all of, the one the database was drained into; `sequencer.unknown_record` when
    /// it has records nobody handed over; `record.poisoned` after a failed write.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<SignedCheckpoint, SequencerError> {
        let mut stop = std::pin::pin!(stop);
        loop {
            let (pause, is_done) = match self.drain().await {
                Ok(0) => (IDLE, true),
                Ok(_) => (Duration::ZERO, false),
                Err(error) if error.is_final() => return Err(error),
                Err(_) => (STANDBY, true),
            };
            // A stop is heard between two batches, and at the latest after one that takes all that is left.
            let has_stopped = tokio::time::timeout(pause, &mut stop).await.is_ok();
            if has_stopped {
                // What is not taken over now is by the next one.
                while !is_done && matches!(self.drain().await, Ok(1..)) {}
                return self.close().await;
            }
        }
    }

    /// The trail, for what is done beside taking over. Take it before [`run`](Self::run).
    #[must_use]
    pub fn trail(&self) -> SequencedTrail {
        self.trail.clone()
    }

    /// [`SequencedTrail::forget`].
    ///
    /// # Errors
    /// [`PostgresError`] when the database fails.
    pub async fn forget(&self, before: Timestamp) -> Result<u64, PostgresError> {
        self.trail.forget(before).await
    }

    /// [`SequencedTrail::retire`].
    ///
    /// # Errors
    /// [`RetireError`].
    pub async fn retire(
        &self,
        retention: &Retention,
        by: &Circumstances,
    ) -> Result<RetireReport, RetireError> {
        self.trail.retire(retention, by).await
    }

    /// [`SequencedTrail::checkpoint`].
    ///
    /// # Errors
    /// The recording's codes.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, SequencerError> {
        self.trail.checkpoint().await
    }

    /// [`SequencedTrail::waiting`].
    ///
    /// # Errors
    /// [`PostgresError`] when the database fails.
    pub async fn waiting(&self) -> Result<u64, PostgresError> {
        self.trail.waiting().await
    }

    /// [`SequencedTrail::plain_people`].
    #[must_use]
    pub fn plain_people(&self) -> u64 {
        self.trail.plain_people()
    }

    /// Gives leadership back and closes the trail: [`AuditLog::close`].
    ///
    /// # Errors
    /// The recording's codes.
    pub async fn close(mut self) -> Result<SignedCheckpoint, SequencerError> {
        if let Some(leader) = self.leader.take() {
            leader.resign().await;
        }
        let _writing = Arc::clone(&self.writing).lock_owned().await;
        let log = Arc::into_inner(self.log).ok_or(SequencerErrorKind::Interrupted)?;
        let closed = spawn_blocking(move || log.close()).await;
        Ok(closed.map_err(|_| SequencerErrorKind::Interrupted)??)
    }

    /// The directory of the trail.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.log.dir()
    }

    /// The key the trail's checkpoints are verified with.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        self.log.verifying_key()
    }

    /// Whether what is in the trail needs no second copy.
    fn is_on_disk(&self) -> bool {
        self.log.durability() >= Durability::Disk
    }

    async fn lead(&self) -> Result<Leader, SequencerError> {
        let empties = self.is_on_disk();
        let mut leader =
            within(self.lease, Leader::connect(&self.pool, &self.options, self.lease, empties)).await??;
        // Whoever was writing for a dropped future has ended, so that what the trail has is all it will have.
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let log = Arc::clone(&self.log);
        let size = spawn_blocking(move || {
            let _writing = writing;
            log.checkpoint().map(|checkpoint| checkpoint.size())
        });
        let size = size.await.map_err(|_| SequencerErrorKind::Interrupted)??;
        let lost = if self.trail_lost {
            Some(self.options.row(&lost_event(self.options.clock.now())?)?)
        } else {
            None
        };
        let now = self.options.now_millis();
        leader.catch_up(self.log.dir(), size, self.was_restored, lost, now).await?;
        Ok(leader)
    }

    /// Writes the rows to the trail, durably.
    async fn write(&self, rows: Vec<Waiting>) -> Result<Vec<Taken>, SequencerError> {
        let (log, trail) = (Arc::clone(&self.log), self.trail.clone());
        let writing = Arc::clone(&self.writing).lock_owned().await;
        let write = spawn_blocking(move || {
            let _writing = writing;
            let record = |row: Waiting| {
                trail.count_plain(&row.event);
                let digest = digest(&row.event);
                (row.id, row.refused, digest, log.record(row.event))
            };
            let rows: Vec<_> = rows.into_iter().map(record).collect();
            let wait = |(id, refused, digest, recording): (_, _, _, Recording)| {
                let result = recording.wait().map(|receipt| receipt.sequence());
                Taken { id, refused, digest, result }
            };
            rows.into_iter().map(wait).collect()
        });
        write.await.map_err(|_| SequencerErrorKind::Interrupted.into())
    }
}

/// A server that is gone without a word answers nothing.
async fn within<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T, PostgresError> {
    tokio::time::timeout(limit, answer).await.map_err(|_| PostgresErrorKind::Unavailable.into())
}

/// What became of a row.
#[derive(Debug)]
struct Taken {
    id: i64,
    refused: Option<&'static str>,
    /// Of the event's canonical form.
    digest: [u8; 32],
    result: Result<u64, RecordError>,
}

impl Waiting {
    /// Reads a row. What is no event, or one only the trail itself may write, is recorded as dropped; anybody who may
    /// insert could have put it there.
    fn read(id: i64, body: &[u8], added_at: i64) -> Result<Self, PostgresError> {
        let mut form = Vec::with_capacity(body.len());
        let refused = match Event::decode(body) {
            Ok(event) if is_reserved(event.kind()) => RecordError::new(RecordErrorKind::Reserved).code(),
            Ok(event) => {
                event.encode(&mut form);
                if form == body {
                    return Ok(Self { id, event, refused: None });
                }
                // After a crash it would not be recognised.
                "event.malformed"
            }
            Err(error) => error.code(),
        };
        let event = dropped_event(id, refused, added_at).map_err(|_| PostgresErrorKind::Corrupt)?;
        Ok(Self { id, event, refused: Some(refused) })
    }
}

/// Says that a row was not recorded. Made of nothing but the row, so that it is the same again after a crash.
fn dropped_event(id: i64, code: &'static str, added_at: i64) -> Result<Event, EventError> {
    let at = Timestamp::from_unix_millis(added_at);
    Event::builder(EventKind::SystemEventsDropped, Outcome::Refused, Actor::System, at)
        .field("count", Internal(1_i64))
        .field(DROPPED_ROW, Internal(id))
        .field("code", Internal(code))
        .build()
}

/// Says that the trail is not the first one.
fn lost_event(at: Timestamp) -> Result<Event, PostgresError> {
    let event = Event::builder(EventKind::ConfigurationChanged, Outcome::Review, Actor::System, at)
        .field("setting", Internal("audit.trail"))
        .field("to", Internal("begun anew after a loss"));
    event.build().map_err(|_| PostgresErrorKind::Corrupt.into())
}

fn digest(event: &Event) -> [u8; 32] {
    let mut form = Vec::with_capacity(512);
    event.encode(&mut form);
    Sha256::digest(&form).into()
}

/// The field with the row's number.
const DROPPED_ROW: &str = "row";
