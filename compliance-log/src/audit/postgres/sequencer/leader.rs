//! The one that leads: its session, its epoch, and what it marks.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::event::{Event, EventKind, FieldValueKind, Value};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::task::spawn_blocking;

use super::error::{SequencerError, SequencerErrorKind};
use super::{DROPPED_ROW, Taken, Waiting, digest};
use crate::audit::postgres::error::{PostgresErrorKind, database_error};
use crate::audit::postgres::{PostgresOptions, Row, record_statement};
use crate::audit::record::is_reserved;
use crate::audit::segment::{AuditError, records_from};

/// How many records are looked up at a time.
const LOOKED_UP: usize = 1024;

/// One key per trail table, in the database it is in.
const LOCK: &str =
    "SELECT pg_try_advisory_lock(hashtextextended('audit sequencer ' || '{p}trail'::regclass::oid, 0))";

const RAISE: &str = "UPDATE {p}trail SET epoch = epoch + 1 RETURNING epoch, records, last";

const ADVANCE: &str = "UPDATE {p}trail SET records = $2, last = $3, rowless = rowless + $4 WHERE epoch = $1";

const MARK: &str = "UPDATE {p}event AS event SET sequence = taken.sequence, drained_at = $4, \
        refused = taken.refused, body = CASE WHEN $5 AND taken.refused IS NULL THEN NULL ELSE event.body END \
    FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS taken (id, sequence, refused) \
    WHERE event.id = taken.id AND event.sequence IS NULL";

const LOOK_UP: &str = "SELECT id, sha256(body) FROM {p}event \
    WHERE sequence IS NULL AND sha256(body) = ANY ($1) ORDER BY id";

/// How many records there would be again, or need not be: an event that left its row, or a row that is gone, cannot be
/// brought back.
const STAYED: &str = "SELECT rowless + (SELECT count(*) FROM {p}event WHERE sequence IS NOT NULL AND body IS NOT NULL) \
    FROM {p}trail";

const RELEASE: &str =
    "UPDATE {p}event SET sequence = NULL, drained_at = NULL, refused = NULL WHERE sequence IS NOT NULL";

const REWIND: &str = "UPDATE {p}trail SET records = 0, last = NULL, rowless = 0";

const ROW: &str = "SELECT body, added_at FROM {p}event WHERE id = $1 AND sequence IS NULL";

#[derive(Debug)]
pub(super) struct Leader {
    /// Holds the lock as long as it lives; everything a leader writes goes over it.
    connection: PgConnection,
    epoch: i64,
    /// How many records the trail had when rows were last marked.
    records: u64,
    /// What was taken over leaves its row: the trail is on a disk that lasts.
    empties: bool,
    advance: Arc<str>,
    mark: Arc<str>,
    raise: Arc<str>,
    look_up: Arc<str>,
    row: Arc<str>,
    afresh: Afresh,
}

/// The statements with which another trail is begun from the rows.
#[derive(Debug)]
struct Afresh {
    stayed: Arc<str>,
    release: Arc<str>,
    rewind: Arc<str>,
    record: Arc<str>,
}

/// A record of the trail beyond what was marked.
struct Beyond {
    sequence: u64,
    digest: [u8; 32],
    /// The row it says was dropped, if it says so.
    dropped: Option<i64>,
}

impl Leader {
    /// Takes the lock. The epoch is raised by [`catch_up`](Self::catch_up).
    pub(super) async fn connect(
        pool: &PgPool,
        options: &PostgresOptions,
        lease: Duration,
        empties: bool,
    ) -> Result<Self, SequencerError> {
        let mut connection =
            PgConnection::connect_with(&pool.connect_options()).await.map_err(database_error)?;
        options.check(&mut connection).await?;
        // Stopped between two statements or between two transactions: either way the session ends, and the lock with it.
        sqlx::query(
            "SELECT set_config('idle_session_timeout', $1, false), \
                set_config('idle_in_transaction_session_timeout', $1, false)",
        )
        .bind(lease.as_millis().to_string())
        .execute(&mut connection)
        .await
        .map_err(database_error)?;
        let is_leader: bool = sqlx::query_scalar(AssertSqlSafe(options.prefix.fill(LOCK)))
            .fetch_one(&mut connection)
            .await
            .map_err(database_error)?;
        if !is_leader {
            return Err(SequencerErrorKind::NotLeader.into());
        }
        let fill = |statement: &str| -> Arc<str> { options.prefix.fill(statement).into() };
        Ok(Self {
            connection,
            epoch: 0,
            records: 0,
            empties,
            advance: fill(ADVANCE),
            mark: fill(MARK),
            raise: fill(RAISE),
            look_up: fill(LOOK_UP),
            row: fill(ROW),
            afresh: Afresh {
                stayed: fill(STAYED),
                release: fill(RELEASE),
                rewind: fill(REWIND),
                record: record_statement(options.prefix).into(),
            },
        })
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Raises the epoch, and marks what an earlier leader wrote to the trail and did not mark. From here on nobody
    /// with an older epoch marks anything.
    pub(super) async fn catch_up(
        &mut self,
        dir: &Path,
        size: u64,
        was_restored: bool,
        lost: Option<Row>,
        now: i64,
    ) -> Result<(), SequencerError> {
        let mut transaction = self.connection.begin().await.map_err(database_error)?;
        let (epoch, records, last): (i64, i64, Option<Vec<u8>>) =
            sqlx::query_as(AssertSqlSafe(Arc::clone(&self.raise)))
                .fetch_one(&mut *transaction)
                .await
                .map_err(database_error)?;
        let records = u64::try_from(records)
            .map_err(|_| SequencerErrorKind::Database(PostgresErrorKind::Corrupt.into()))?;
        let (records, last) = match lost {
            // Said once too often it does nothing.
            Some(row) if size == 0 && records > 0 => {
                begin_afresh(&mut transaction, &self.afresh, row, records, now).await?;
                (0, None)
            }
            _ => (records, last),
        };
        // A trail that was there before the first leader is taken as it is.
        let known = if epoch == 1 { size } else { records };
        if known > size {
            return Err(SequencerErrorKind::TrailBehind { found: size, expected: known }.into());
        }
        let dir = dir.to_owned();
        let reading = spawn_blocking(move || read_tail(&dir, known, size));
        let Tail { before, beyond, own, end } =
            reading.await.map_err(|_| SequencerErrorKind::Interrupted)??;
        if let (Some(last), Some(before)) = (&last, &before)
            && last[..] != before[..]
        {
            return Err(SequencerErrorKind::OtherTrail.into());
        }
        for beyond in beyond.chunks(LOOKED_UP) {
            let statements = (&self.look_up, &self.row);
            let taken = recognise(&mut transaction, statements, beyond, was_restored).await?;
            mark(&mut transaction, &self.mark, self.empties, &taken, now).await?;
        }
        if !advance(&mut transaction, &self.advance, epoch, (size, own), end).await? {
            return Err(SequencerErrorKind::Fenced.into());
        }
        transaction.commit().await.map_err(database_error)?;
        (self.epoch, self.records) = (epoch, size);
        Ok(())
    }

    /// Marks rows as taken over.
    pub(super) async fn mark(&mut self, taken: &[Taken], now: i64) -> Result<usize, SequencerError> {
        let recorded = || taken.iter().filter_map(|taken| Some((taken.result.ok()?, taken.digest)));
        let Some((last, end)) = recorded().max_by_key(|(sequence, _)| *sequence) else { return Ok(0) };
        let records = last.saturating_add(1);
        // What is none of the rows' the trail has said itself.
        let own = records.saturating_sub(self.records).saturating_sub(recorded().count() as u64);
        let mut transaction = self.connection.begin().await.map_err(database_error)?;
        // First, so that a leader whose time is over waits here for the next one and then marks nothing.
        if !advance(&mut transaction, &self.advance, self.epoch, (records, own), Some(end)).await? {
            return Err(SequencerErrorKind::Fenced.into());
        }
        let marked = mark(&mut transaction, &self.mark, self.empties, taken, now).await?;
        transaction.commit().await.map_err(database_error)?;
        self.records = records;
        Ok(marked)
    }

    /// Lets another one lead.
    pub(super) async fn resign(self) {
        // Where that fails, the server ends the session.
        drop(self.connection.close().await);
    }
}

/// Lets every row wait again, and one more that says so: for another trail in place of one that is gone.
async fn begin_afresh(
    connection: &mut PgConnection,
    statements: &Afresh,
    row: Row,
    records: u64,
    now: i64,
) -> Result<(), SequencerError> {
    let stayed: i64 = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&statements.stayed)))
        .fetch_one(&mut *connection)
        .await
        .map_err(database_error)?;
    if u64::try_from(stayed) != Ok(records) {
        return Err(SequencerErrorKind::TrailBehind { found: 0, expected: records }.into());
    }
    for statement in [&statements.release, &statements.rewind] {
        sqlx::query(AssertSqlSafe(Arc::clone(statement)))
            .execute(&mut *connection)
            .await
            .map_err(database_error)?;
    }
    let _id: i64 = sqlx::query_scalar(AssertSqlSafe(Arc::clone(&statements.record)))
        .bind(&row.token[..])
        .bind(row.body)
        .bind(now)
        .fetch_one(connection)
        .await
        .map_err(database_error)?;
    Ok(())
}

/// Moves the mark, and counts the trail's own records on the way; whether this leader still may.
async fn advance(
    connection: &mut PgConnection,
    statement: &Arc<str>,
    epoch: i64,
    (records, own): (u64, u64),
    last: Option<[u8; 32]>,
) -> Result<bool, SequencerError> {
    let advanced = sqlx::query(AssertSqlSafe(Arc::clone(statement)))
        .bind(epoch)
        .bind(i64::try_from(records).unwrap_or(i64::MAX))
        .bind(last.as_ref().map(|last| &last[..]))
        .bind(i64::try_from(own).unwrap_or(i64::MAX))
        .execute(connection)
        .await
        .map_err(database_error)?;
    Ok(advanced.rows_affected() == 1)
}

async fn mark(
    connection: &mut PgConnection,
    statement: &Arc<str>,
    empties: bool,
    taken: &[Taken],
    now: i64,
) -> Result<usize, SequencerError> {
    let (mut ids, mut sequences, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for taken in taken {
        if let Ok(sequence) = taken.result {
            ids.push(taken.id);
            sequences.push(i64::try_from(sequence).unwrap_or(i64::MAX));
            refused.push(taken.refused);
        }
    }
    let marked = sqlx::query(AssertSqlSafe(Arc::clone(statement)))
        .bind(ids)
        .bind(sequences)
        .bind(refused)
        .bind(now)
        .bind(empties)
        .execute(connection)
        .await
        .map_err(database_error)?;
    Ok(usize::try_from(marked.rows_affected()).unwrap_or(usize::MAX))
}

/// The end of a trail, from the last record that was marked on.
#[derive(Default)]
struct Tail {
    /// The digest of that record, where it is still there.
    before: Option<[u8; 32]>,
    /// What follows and is not the trail's own word.
    beyond: Vec<Beyond>,
    /// How many more follow that are.
    own: u64,
    /// The digest of the very last record.
    end: Option<[u8; 32]>,
}

fn read_tail(dir: &Path, known: u64, size: u64) -> Result<Tail, AuditError> {
    let mut tail = Tail::default();
    for record in records_from(dir, known.saturating_sub(1))? {
        let record = record?;
        let (sequence, event) = (record.sequence(), record.event());
        if sequence >= size {
            break;
        }
        if sequence.saturating_add(1) < known {
            continue;
        }
        let digest = digest(event);
        tail.end = Some(digest);
        if sequence < known {
            tail.before = Some(digest);
        } else if is_reserved(event.kind()) {
            tail.own = tail.own.saturating_add(1);
        } else {
            tail.beyond.push(Beyond { sequence, digest, dropped: dropped_row(event) });
        }
    }
    Ok(tail)
}

fn dropped_row(event: &Event) -> Option<i64> {
    let row = event.fields().iter().find(|field| field.name() == DROPPED_ROW)?;
    match row.value() {
        FieldValueKind::Plain { value: Value::Integer(id), .. }
            if event.kind() == EventKind::SystemEventsDropped =>
        {
            Some(*id)
        }
        _ => None,
    }
}

/// Finds the row of each record. Of rows with the same content any will do: they cannot be told apart.
async fn recognise(
    connection: &mut PgConnection,
    (look_up, row): (&Arc<str>, &Arc<str>),
    beyond: &[Beyond],
    was_restored: bool,
) -> Result<Vec<Taken>, SequencerError> {
    let digests: Vec<&[u8]> = beyond.iter().map(|beyond| &beyond.digest[..]).collect();
    let found: Vec<(i64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(Arc::clone(look_up)))
        .bind(digests)
        .fetch_all(&mut *connection)
        .await
        .map_err(database_error)?;
    let mut rows: HashMap<Vec<u8>, VecDeque<i64>> = HashMap::new();
    for (id, digest) in found {
        rows.entry(digest).or_default().push_back(id);
    }
    let mut taken = Vec::with_capacity(beyond.len());
    for Beyond { sequence, digest, dropped } in beyond {
        let mut found = rows.get_mut(&digest[..]).and_then(VecDeque::pop_front).map(|id| (id, None));
        if let (None, Some(id)) = (found, *dropped) {
            found = refused_row(connection, row, id, digest).await?;
        }
        match found {
            Some((id, refused)) => {
                taken.push(Taken { id, refused, digest: *digest, result: Ok(*sequence) });
            }
            None if was_restored => {}
            None => return Err(SequencerErrorKind::UnknownRecord { sequence: *sequence }.into()),
        }
    }
    Ok(taken)
}

/// The row that was recorded as dropped by a record with this digest.
async fn refused_row(
    connection: &mut PgConnection,
    statement: &Arc<str>,
    id: i64,
    recorded: &[u8; 32],
) -> Result<Option<(i64, Option<&'static str>)>, SequencerError> {
    let row: Option<(Vec<u8>, i64)> = sqlx::query_as(AssertSqlSafe(Arc::clone(statement)))
        .bind(id)
        .fetch_optional(connection)
        .await
        .map_err(database_error)?;
    let Some((body, added_at)) = row else { return Ok(None) };
    let waiting = Waiting::read(id, &body, added_at)?;
    Ok((digest(&waiting.event) == *recorded).then_some((id, waiting.refused)))
}
