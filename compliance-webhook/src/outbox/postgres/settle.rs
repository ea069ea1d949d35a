//! Verdicts, lessons, heartbeats, retention: what is written about messages that were claimed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::{PostgresOutbox, TablePrefix, database_error, query, schema};
use crate::outbox::sql::{millis, sql_limit};
use crate::outbox::{EndpointNote, LeaseToken, Lesson, OutboxError, Retention, Settlement, Verdict, Worker};

#[derive(Debug)]
pub(super) struct SettleStatements {
    purge: Arc<str>,
    settle: Arc<str>,
    excerpt: Arc<str>,
    disable: Arc<str>,
    failing: Arc<str>,
    hold: Arc<str>,
    working: Arc<str>,
    beat: Arc<str>,
    leave_instance: Arc<str>,
    join: Arc<str>,
    leave: Arc<str>,
    recover: Arc<str>,
}

/// Deletes the workers and puts what they held back. The deletion waits for a round of theirs under way, and then looks
/// again at whether they are still to be deleted.
const RELEASE: &str = "WITH gone AS (DELETE FROM {p}worker WHERE {gone} RETURNING id) \
     UPDATE {p}delivery AS d SET state = 0, worker = NULL FROM gone WHERE d.state = 1 AND d.worker = gone.id";

impl SettleStatements {
    pub(super) fn new(prefix: TablePrefix) -> Self {
        let fill = |statement: &str| Arc::from(schema::fill(prefix, statement));
        let release = |gone: &str| fill(&RELEASE.replace("{gone}", gone));
        Self {
            // Locked first and in one order, so that two dispatchers that clean up do not wait for each other.
            purge: fill(
                "WITH delivered AS ( \
                   SELECT seq, settled_at FROM {p}delivery \
                   WHERE state = 2 AND settled_at <= coalesce($4::bigint, {now}) - $1 \
                   ORDER BY settled_at, seq LIMIT $3 FOR UPDATE SKIP LOCKED), \
                 dead AS ( \
                   SELECT seq, settled_at FROM {p}delivery \
                   WHERE state = 3 AND settled_at <= coalesce($4::bigint, {now}) - $2 \
                   ORDER BY settled_at, seq LIMIT $3 FOR UPDATE SKIP LOCKED), \
                 old AS (SELECT seq FROM (SELECT * FROM delivered UNION ALL SELECT * FROM dead) AS settled \
                         ORDER BY settled_at, seq LIMIT $3) \
                 DELETE FROM {p}message AS m USING old WHERE m.seq = old.seq",
            ),
            // One array for each column of what is settled. A failure of another revision releases.
            settle: fill(
                "UPDATE {p}delivery AS d SET state = v.state * v.stands, worker = NULL, \
                 next_at = CASE WHEN v.stands = 1 AND v.ahead IS NOT NULL \
                           THEN greatest(v.now + v.ahead, 1) ELSE d.next_at END, \
                 attempts = d.attempts + v.attempted * v.stands, \
                 settled_at = CASE WHEN v.state * v.stands >= 2 THEN v.now END, \
                 last_status = CASE WHEN v.attempted * v.stands = 1 THEN v.status ELSE d.last_status END, \
                 last_code = CASE WHEN v.attempted * v.stands = 1 THEN v.code ELSE d.last_code END \
                 FROM (SELECT j.*, coalesce($9::bigint, {now}) AS now, \
                         CASE WHEN j.state = 2 OR e.revision = j.revision THEN 1 ELSE 0 END AS stands \
                       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], \
                                   $7::text[], $8::bigint[]) \
                         AS j (seq, fence, state, ahead, attempted, status, code, revision) \
                       JOIN {p}delivery AS s ON s.seq = j.seq JOIN {p}endpoint AS e ON e.seq = s.endpoint) AS v \
                 WHERE d.seq = v.seq AND d.fence = v.fence AND d.state = 1 RETURNING d.seq, d.fence",
            ),
            excerpt: fill("UPDATE {p}delivery SET excerpt = $3 WHERE seq = $1 AND fence = $2"),
            disable: fill(
                "UPDATE {p}endpoint SET disabled_code = $3, revision = revision + 1 WHERE id = $1 AND revision = $2",
            ),
            failing: fill(
                "UPDATE {p}endpoint SET failing_since = least(failing_since, coalesce($4::bigint, {now}) + $3) \
                 WHERE id = $1 AND revision = $2",
            ),
            hold: fill(
                "UPDATE {p}endpoint SET hold_until = greatest(hold_until, coalesce($4::bigint, {now}) + $3) \
                 WHERE id = $1 AND revision = $2",
            ),
            working: fill("UPDATE {p}endpoint SET failing_since = NULL WHERE id = $1 AND revision = $2"),
            beat: fill("UPDATE {p}worker SET until = coalesce($2::bigint, {now}) + lease_ms WHERE id = $1"),
            leave_instance: release("instance = $1"),
            join: fill(
                "INSERT INTO {p}worker (instance, lease_ms, until) \
                 VALUES ($1, $2, coalesce($3::bigint, {now}) + $2) RETURNING id",
            ),
            leave: release("id = $1"),
            recover: release(
                "id <> $1 AND (until <= coalesce($2::bigint, {now}) OR until > coalesce($2::bigint, {now}) + 2 * lease_ms)",
            ),
        }
    }
}

impl PostgresOutbox {
    fn settle_statements(&self) -> &SettleStatements {
        &self.shared.statements.settle
    }

    /// Writes verdicts; says which were refused.
    pub(super) async fn settle_in(
        &self,
        connection: &mut PgConnection,
        settlements: &[Settlement],
    ) -> Result<Vec<LeaseToken>, OutboxError> {
        if settlements.is_empty() {
            return Ok(Vec::new());
        }
        let mut columns = Columns::default();
        for settlement in settlements {
            columns.push(settlement, |at| self.shared.time.ahead(at));
        }
        let settled: Vec<(i64, i64)> =
            sqlx::query_as(AssertSqlSafe(Arc::clone(&self.settle_statements().settle)))
                .bind(columns.sequences)
                .bind(columns.fences)
                .bind(columns.states)
                .bind(columns.ahead)
                .bind(columns.attempted)
                .bind(columns.statuses)
                .bind(columns.codes)
                .bind(columns.revisions)
                .bind(self.shared.time.now())
                .fetch_all(connection)
                .await
                .map_err(database_error)?;
        let settled: HashSet<LeaseToken> =
            settled.into_iter().map(|(sequence, fence)| LeaseToken::new(sequence, fence)).collect();
        let tokens = settlements.iter().map(|settlement| settlement.token);
        Ok(tokens.filter(|token| !settled.contains(token)).collect())
    }

    /// Keeps what was answered. A later claim of the message has another fence.
    pub(super) async fn excerpts_in(
        &self,
        connection: &mut PgConnection,
        excerpts: &[(LeaseToken, Box<[u8]>)],
    ) -> Result<(), OutboxError> {
        for (token, excerpt) in excerpts {
            query(&self.settle_statements().excerpt)
                .bind(token.sequence())
                .bind(token.fence())
                .bind(excerpt.to_vec())
                .execute(&mut *connection)
                .await
                .map_err(database_error)?;
        }
        Ok(())
    }

    /// Writes lessons, those of one endpoint in their order. Endpoints come in the order of their ids, so that two
    /// dispatchers do not wait for each other.
    pub(super) async fn note_in(
        &self,
        connection: &mut PgConnection,
        notes: &[EndpointNote],
    ) -> Result<(), OutboxError> {
        let statements = self.settle_statements();
        let mut notes: Vec<&EndpointNote> = notes.iter().collect();
        notes.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        for note in notes {
            let of = |statement| query(statement).bind(note.endpoint.as_str().to_owned()).bind(note.revision);
            let (time, now) = (&self.shared.time, self.shared.time.now());
            let statement = match note.lesson {
                Lesson::Disable { code } => of(&statements.disable).bind(code.as_str()),
                Lesson::Failing { since } => of(&statements.failing).bind(time.ahead(since)).bind(now),
                Lesson::Hold { until } => of(&statements.hold).bind(time.ahead(until)).bind(now),
                Lesson::Working => of(&statements.working),
            };
            statement.execute(&mut *connection).await.map_err(database_error)?;
        }
        Ok(())
    }

    /// Deletes what has been settled for long.
    pub(super) async fn purge_in(
        &self,
        connection: &mut PgConnection,
        retention: &Retention,
        limit: usize,
    ) -> Result<u64, OutboxError> {
        let done = query(&self.settle_statements().purge)
            .bind(millis(retention.delivered))
            .bind(millis(retention.dead))
            .bind(sql_limit(limit))
            .bind(self.shared.time.now())
            .execute(connection)
            .await
            .map_err(database_error)?;
        Ok(done.rows_affected())
    }

    /// The heartbeat; `false` when the worker's place is gone.
    pub(super) async fn beat_in(
        &self,
        connection: &mut PgConnection,
        worker: &Worker,
    ) -> Result<bool, OutboxError> {
        let beat = query(&self.settle_statements().beat).bind(worker.id()).bind(self.shared.time.now());
        let done = beat.execute(connection).await.map_err(database_error)?;
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn join_in(
        &self,
        connection: &mut PgConnection,
        instance: &str,
        lease: Duration,
    ) -> Result<i64, OutboxError> {
        let statements = self.settle_statements();
        let leave = query(&statements.leave_instance).bind(instance.to_owned());
        leave.execute(&mut *connection).await.map_err(database_error)?;
        sqlx::query_scalar(AssertSqlSafe(Arc::clone(&statements.join)))
            .bind(instance)
            .bind(millis(lease))
            .bind(self.shared.time.now())
            .fetch_one(connection)
            .await
            .map_err(database_error)
    }

    pub(super) async fn leave_in(
        &self,
        connection: &mut PgConnection,
        worker: &Worker,
    ) -> Result<(), OutboxError> {
        let leave = query(&self.settle_statements().leave).bind(worker.id());
        leave.execute(connection).await.map(drop).map_err(database_error)
    }

    pub(super) async fn recover_in(
        &self,
        connection: &mut PgConnection,
        worker: &Worker,
    ) -> Result<u64, OutboxError> {
        let recover = query(&self.settle_statements().recover).bind(worker.id()).bind(self.shared.time.now());
        Ok(recover.execute(connection).await.map_err(database_error)?.rows_affected())
    }
}

/// Verdicts by column.
#[derive(Default)]
struct Columns {
    sequences: Vec<i64>,
    fences: Vec<i64>,
    states: Vec<i64>,
    ahead: Vec<Option<i64>>,
    attempted: Vec<i64>,
    statuses: Vec<Option<i64>>,
    codes: Vec<Option<&'static str>>,
    revisions: Vec<i64>,
}

impl Columns {
    fn push(&mut self, settlement: &Settlement, ahead: impl Fn(compliance_core::clock::Timestamp) -> i64) {
        let (state, at, attempted, status, code) = match settlement.verdict {
            Verdict::Dead { code, status } => (3, None, 1, status, Some(code.as_str())),
            Verdict::Delivered { status } => (2, None, 1, Some(status), None),
            Verdict::Released => (0, None, 0, None, None),
            Verdict::Retry { at, code, status } => (0, Some(at), 1, status, Some(code.as_str())),
        };
        self.sequences.push(settlement.token.sequence());
        self.fences.push(settlement.token.fence());
        self.states.push(state);
        self.ahead.push(at.map(ahead));
        self.attempted.push(attempted);
        self.statuses.push(status.map(i64::from));
        self.codes.push(code);
        self.revisions.push(settlement.revision);
    }
}
