//! Events recorded outside a transaction: gathered, inserted at once, tried again until the server has them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use compliance_core::event::{
    AuditReceipt, Completion, Durability, EventDigest, RecordError, RecordErrorKind, Recording,
};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::error::{PostgresError, PostgresErrorKind, database_error};
use super::{PostgresOptions, Row, TOKEN_LEN};
use crate::audit::segment::{RecordPolicy, dropped_event};

/// The most rows in one insert.
const MAX_ROWS: usize = 1024;

/// The most bytes in one insert, before its last row.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// What a row counts for besides its body.
const ROW_OVERHEAD: usize = 128;

/// How long one attempt may take. A server that is gone without a word answers nothing.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long to wait before the next attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// Rows that are there already were inserted by an earlier attempt whose answer was lost.
const INSERT: &str = "WITH added AS (INSERT INTO {p}event (token, body, added_at) \
        SELECT token, body, $3 FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS given (token, body, place) \
        ORDER BY place ON CONFLICT (token) DO NOTHING RETURNING id, token) \
    SELECT id, token FROM added UNION ALL SELECT id, token FROM {p}event WHERE token = ANY ($1)";

pub(super) struct Writer {
    server: Arc<PgConnectOptions>,
    options: PostgresOptions,
    insert: Arc<str>,
    state: Mutex<State>,
    work: Notify,
}

#[derive(Default)]
struct State {
    queue: Vec<Pending>,
    /// Bytes handed over and not answered yet.
    bytes: usize,
    is_closed: bool,
    /// Best-effort events that were refused or given up, and are not yet recorded as dropped.
    dropped: u64,
    /// A record of such whose fate is not known: sent again as it is, under its token, it is not kept twice.
    unsure: Option<Pending>,
}

impl State {
    fn has_dropped(&self) -> bool {
        self.dropped > 0 || self.unsure.is_some()
    }
}

struct Pending {
    token: [u8; TOKEN_LEN],
    body: Vec<u8>,
    digest: EventDigest,
    policy: RecordPolicy,
    completion: Completion,
}

/// A record of what was dropped, on its way.
struct Dropped {
    row: Pending,
    /// How many; `None` for one whose fate was not known before.
    count: Option<u64>,
}

impl Pending {
    fn len(&self) -> usize {
        self.body.len().saturating_add(ROW_OVERHEAD)
    }
}

/// How an attempt went wrong.
struct Failed {
    error: PostgresError,
    /// The server may have the rows all the same.
    is_ambiguous: bool,
}

impl Writer {
    pub(super) fn new(server: Arc<PgConnectOptions>, options: PostgresOptions) -> Self {
        let insert = options.prefix.fill(INSERT).into();
        Self { server, options, insert, state: Mutex::default(), work: Notify::new() }
    }

    pub(super) fn submit(&self, row: Row, policy: RecordPolicy) -> Result<Recording, RecordError> {
        let (completion, recording) = Recording::pending();
        let Row { token, body, digest } = row;
        let pending = Pending { token, body, digest, policy, completion };
        let mut state = self.lock();
        let after = state.bytes.saturating_add(pending.len());
        let has_room = match policy {
            RecordPolicy::MustRecord => state.bytes == 0 || after <= self.options.queue_len,
            RecordPolicy::BestEffort => after <= self.options.queue_len / 2,
        };
        if state.is_closed || !has_room {
            if policy == RecordPolicy::BestEffort {
                state.dropped = state.dropped.saturating_add(1);
            }
            return Err(RecordError::new(RecordErrorKind::Unavailable));
        }
        state.bytes = after;
        state.queue.push(pending);
        drop(state);
        self.work.notify_one();
        Ok(recording)
    }

    /// Counts a best-effort event that came to be no row.
    pub(super) fn count_dropped(&self) {
        let mut state = self.lock();
        state.dropped = state.dropped.saturating_add(1);
        drop(state);
        self.work.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.work.notify_one();
    }

    /// The writer's own thread, with a runtime of its own: callers may have none, and theirs may end earlier.
    pub(super) fn run(&self) {
        // However this thread ends, nobody may wait for it in vain.
        let _end = End(self);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(self.work());
        }
    }

    async fn work(&self) {
        let mut connection = None;
        loop {
            if let Some(batch) = self.take() {
                self.write(&mut connection, batch).await;
                continue;
            }
            let (is_closed, has_dropped) = {
                let state = self.lock();
                (state.is_closed, state.has_dropped())
            };
            match (is_closed, has_dropped) {
                (true, true) if self.write(&mut connection, Vec::new()).await => {}
                (true, _) => return,
                (false, false) => self.work.notified().await,
                (false, true) => {
                    if timeout(ATTEMPT, self.work.notified()).await.is_err() {
                        // Nothing else came that they could go with.
                        self.write(&mut connection, Vec::new()).await;
                    }
                }
            }
        }
    }

    /// The record of what was dropped, to be written before all else.
    fn take_dropped(&self) -> Option<Dropped> {
        let mut state = self.lock();
        if let Some(row) = state.unsure.take() {
            return Some(Dropped { row, count: None });
        }
        let event = dropped_event(state.dropped, self.options.clock.now())?;
        // When the random source fails they stay counted.
        let Row { token, body, digest } = self.options.row(&event).ok()?;
        let count = Some(std::mem::take(&mut state.dropped));
        let (completion, _unheard) = Recording::pending();
        let row = Pending { token, body, digest, policy: RecordPolicy::MustRecord, completion };
        Some(Dropped { row, count })
    }

    /// The first rows that wait; `None` when none do.
    fn take(&self) -> Option<Vec<Pending>> {
        let mut state = self.lock();
        let mut bytes = 0_usize;
        let fits = |pending: &&Pending| {
            let has_room = bytes < MAX_BYTES;
            bytes = bytes.saturating_add(pending.len());
            has_room
        };
        let count = state.queue.iter().take(MAX_ROWS).take_while(fits).count();
        (count > 0).then(|| state.queue.drain(..count).collect())
    }

    /// Writes one batch, however often it takes, and answers; before it, what was dropped. Whether something was written.
    async fn write(&self, connection: &mut Option<PgConnection>, mut batch: Vec<Pending>) -> bool {
        let len = batch.iter().map(Pending::len).sum();
        let own = self.take_dropped();
        let own_count = own.as_ref().map(|own| own.count);
        // Before the others, as they came before them.
        batch.splice(..0, own.map(|own| own.row));
        if batch.is_empty() {
            return false;
        }
        let deadline = Instant::now().checked_add(self.options.patience);
        let mut is_ambiguous = false;
        let answer = loop {
            let failed = match timeout(ATTEMPT, self.insert(connection, &batch)).await {
                Ok(Ok(ids)) => break Ok(ids),
                Ok(Err(failed)) => failed,
                Err(_) => Failed { error: PostgresErrorKind::Unavailable.into(), is_ambiguous: true },
            };
            // What an attempt left on its way must not be mistaken for the next one's answer.
            *connection = None;
            is_ambiguous |= failed.is_ambiguous;
            let is_over = deadline.is_none_or(|deadline| Instant::now() >= deadline);
            if failed.error.kind() != PostgresErrorKind::Unavailable || is_over || self.lock().is_closed {
                break Err(match is_ambiguous {
                    true => RecordError::new(RecordErrorKind::Abandoned),
                    false => failed.error.record_error(),
                });
            }
            tokio::time::sleep(PAUSE).await;
        };
        // Room first: who is answered may hand over the next event at once.
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(len);
        let own = own_count.map(|count| (count, batch.remove(0)));
        if let Err(error) = &answer {
            let is_unsure = error.kind() == RecordErrorKind::Abandoned;
            match own {
                Some((Some(count), _)) if !is_unsure => state.dropped = state.dropped.saturating_add(count),
                own => state.unsure = own.map(|(_, row)| row),
            }
            if !is_unsure {
                let lost = batch.iter().filter(|pending| pending.policy == RecordPolicy::BestEffort).count();
                state.dropped = state.dropped.saturating_add(lost as u64);
            }
        }
        drop(state);
        let is_written = answer.is_ok();
        for pending in batch {
            let number = answer.as_ref().map(|ids| ids.get(&pending.token).copied());
            pending.completion.complete(match number {
                Ok(Some(id)) => Ok(AuditReceipt::attest(pending.digest, id, Durability::Remote)),
                Ok(None) => Err(RecordError::new(RecordErrorKind::Abandoned)),
                Err(error) => Err(*error),
            });
        }
        is_written
    }

    async fn insert(
        &self,
        connection: &mut Option<PgConnection>,
        batch: &[Pending],
    ) -> Result<HashMap<[u8; TOKEN_LEN], u64>, Failed> {
        let before = |error| Failed { error, is_ambiguous: false };
        let connection = match connection {
            Some(connection) => connection,
            None => {
                let mut new =
                    PgConnection::connect_with(&self.server).await.map_err(database_error).map_err(before)?;
                // The server may have come back as another one.
                self.options.check(&mut new).await.map_err(before)?;
                connection.insert(new)
            }
        };
        let tokens: Vec<&[u8]> = batch.iter().map(|pending| &pending.token[..]).collect();
        let bodies: Vec<&[u8]> = batch.iter().map(|pending| &pending.body[..]).collect();
        let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.insert)))
            .bind(tokens)
            .bind(bodies)
            .bind(self.options.now_millis())
            .fetch_all(connection)
            .await
            .map_err(|error| {
                let error = database_error(error);
                // A refusal is an answer: nothing of the statement stays.
                Failed { error, is_ambiguous: error.kind() == PostgresErrorKind::Unavailable }
            })?;
        let mut ids = HashMap::with_capacity(rows.len());
        for (id, token) in rows {
            if let (Ok(id), Ok(token)) = (u64::try_from(id), token.try_into()) {
                ids.insert(token, id);
            }
        }
        // An earlier attempt may commit while this one looks: it shows on the next look.
        let is_whole = batch.iter().all(|pending| ids.contains_key(&pending.token));
        let unavailable = PostgresErrorKind::Unavailable.into();
        if is_whole { Ok(ids) } else { Err(Failed { error: unavailable, is_ambiguous: true }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding this lock leaves whole state behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses what comes and answers what is left when the thread ends.
struct End<'a>(&'a Writer);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        // Dropped without an answer, each is told that its fate is not known; these certainly were not kept.
        for pending in std::mem::take(&mut state.queue) {
            pending.completion.complete(Err(RecordError::new(RecordErrorKind::Unavailable)));
        }
    }
}
