//! Verdicts, lessons, heartbeats, retention: what is written about messages that were claimed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::{PostgresOutbox, TablePrefix, database_error, query, schema};
use crate::outbox::sql::{millis, not_instructed, sql_limit};
use crate::outbox::{EndpointNote, LeaseToken, Lesson, OutboxError, Retention, Settlement, Verdict, Worker};

#[derive(Debug)]
pub(super) struct SettleStatements {
    purge: Arc<str>,
    settle: Arc<str>,
    excerpt: Arc<str>,
    blank: Arc<str>,
    works: Arc<str>,
    noted: Arc<str>,
    disable: Arc<str>,
    failing: Arc<str>,
    hold: Arc<str>,
    beat: Arc<str>,
    held: Arc<str>,
    join: Arc<str>,
    forget_instance: Arc<str>,
    forget: Arc<str>,
    forget_lapsed: Arc<str>,
    shorten: Arc<str>,
    release: Arc<str>,
}

impl SettleStatements {
    pub(super) fn new(prefix: TablePrefix) -> Self {
        let fill = |statement: &str| Arc::from(schema::fill(prefix, statement));
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
                 disabled AS ( \
                   SELECT d.seq, m.enqueued_at FROM {p}endpoint AS e \
                   JOIN {p}delivery AS d ON d.endpoint = e.seq AND d.state = 0 JOIN {p}message AS m ON m.seq = d.seq \
                   WHERE e.disabled_code IS NOT NULL AND m.enqueued_at <= coalesce($4::bigint, {now}) - $5 \
                   ORDER BY m.enqueued_at, d.seq LIMIT $3 FOR UPDATE OF d SKIP LOCKED), \
                 old AS (SELECT seq FROM (SELECT * FROM delivered UNION ALL SELECT * FROM dead \
                                          UNION ALL SELECT * FROM disabled) AS settled \
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
            blank: fill(
                "UPDATE {p}message SET payload = ''::bytea WHERE seq IN ( \
                   SELECT seq FROM {p}delivery WHERE seq = ANY ($1::bigint[]) \
                   AND state = 3 AND last_code = 'dispatch.not_instructed')",
            ),
            // What another round is about to change is passed over: the next delivery finds it again.
            works: fill(
                "UPDATE {p}endpoint SET failing_since = NULL WHERE seq IN ( \
                   SELECT seq FROM {p}endpoint WHERE failing_since IS NOT NULL AND seq IN ( \
                     SELECT endpoint FROM {p}delivery WHERE seq = ANY ($1::bigint[]) AND state = 2) \
                   FOR UPDATE SKIP LOCKED)",
            ),
            // In one order, so that two dispatchers do not wait for each other.
            noted: fill("SELECT seq FROM {p}endpoint WHERE id = ANY ($1::text[]) ORDER BY seq FOR UPDATE"),
            disable: fill(
                "UPDATE {p}endpoint SET disabled_code = $3, revision = revision + 1 WHERE id = $1 AND revision = $2 \
                 AND ($4::bigint IS NULL OR failing_since <= coalesce($5::bigint, {now}) - $4)",
            ),
            failing: fill(
                "UPDATE {p}endpoint SET failing_since = least(failing_since, coalesce($4::bigint, {now}) + $3) \
                 WHERE id = $1 AND revision = $2",
            ),
            hold: fill(
                "UPDATE {p}endpoint SET hold_since = coalesce($4::bigint, {now}), \
                 hold_until = greatest(CASE WHEN hold_since <= coalesce($4::bigint, {now}) THEN hold_until END, \
                                       coalesce($4::bigint, {now}) + $3) WHERE id = $1 AND revision = $2",
            ),
            beat: fill("UPDATE {p}worker SET until = coalesce($2::bigint, {now}) + lease_ms WHERE id = $1"),
            held: fill(
                "UPDATE {p}delivery AS d SET state = 0, worker = NULL WHERE d.state = 1 AND d.worker = $1 \
                 AND NOT EXISTS (SELECT 1 FROM unnest($2::bigint[], $3::bigint[]) AS h (seq, fence) \
                                 WHERE h.seq = d.seq AND h.fence = d.fence)",
            ),
            join: fill(
                "INSERT INTO {p}worker (instance, lease_ms, until) \
                 VALUES ($1, $2, coalesce($3::bigint, {now}) + $2) RETURNING id",
            ),
            // A deletion waits for a round of the worker's under way, and then looks again at whether it is still to be
            // deleted.
            forget_instance: fill("DELETE FROM {p}worker WHERE instance = $1"),
            forget: fill("DELETE FROM {p}worker WHERE id = $1"),
            forget_lapsed: fill(
                "DELETE FROM {p}worker WHERE id <> $1 AND until <= coalesce($2::bigint, {now})",
            ),
            shorten: fill(
                "UPDATE {p}worker SET until = coalesce($2::bigint, {now}) + lease_ms \
                 WHERE id <> $1 AND until > coalesce($2::bigint, {now}) + 2 * lease_ms",
            ),
            // INVARIANT: a statement of its own, after the deletion: it sees what a round has claimed that the deletion
            // had to wait for.
            release: fill(
                "UPDATE {p}delivery SET state = 0, worker = NULL WHERE state = 1 AND worker = ANY (ARRAY ( \
                   SELECT DISTINCT d.worker FROM {p}delivery AS d WHERE d.state = 1 \
                   AND NOT EXISTS (SELECT 1 FROM {p}worker AS w WHERE w.id = d.worker)))",
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
                .fetch_all(&mut *connection)
                .await
                .map_err(database_error)?;
        let settled: HashSet<LeaseToken> =
            settled.into_iter().map(|(sequence, fence)| LeaseToken::new(sequence, fence)).collect();
        let delivered = settlements
            .iter()
            .filter(|settlement| matches!(settlement.verdict, Verdict::Delivered { .. }))
            .map(|settlement| settlement.token.sequence());
        let delivered: Vec<i64> = delivered.collect();
        if !delivered.is_empty() {
            let works = query(&self.settle_statements().works).bind(delivered);
            works.execute(&mut *connection).await.map_err(database_error)?;
        }
        let refused = not_instructed(settlements);
        if !refused.is_empty() {
            let blank = query(&self.settle_statements().blank).bind(refused);
            blank.execute(&mut *connection).await.map_err(database_error)?;
        }
        let tokens = settlements.iter().map(|settlement| settlement.token);
        Ok(tokens.filter(|token| !settled.contains(token)).collect())
    }

    /// Waits for whoever else changes these endpoints, before anything else of a round is locked that others wait for.
    pub(super) async fn lock_noted_in(
        &self,
        connection: &mut PgConnection,
        notes: &[EndpointNote],
    ) -> Result<(), OutboxError> {
        if notes.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = notes.iter().map(|note| note.endpoint.as_str().to_owned()).collect();
        let noted = query(&self.settle_statements().noted).bind(ids);
        noted.fetch_all(connection).await.map(drop).map_err(database_error)
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

    /// Writes lessons.
    pub(super) async fn note_in(
        &self,
        connection: &mut PgConnection,
        notes: &[EndpointNote],
    ) -> Result<(), OutboxError> {
        let statements = self.settle_statements();
        for note in notes {
            let of = |statement| query(statement).bind(note.endpoint.as_str().to_owned()).bind(note.revision);
            let (time, now) = (&self.shared.time, self.shared.time.now());
            let statement = match note.lesson {
                Lesson::Disable { code, failing_for } => {
                    of(&statements.disable).bind(code.as_str()).bind(failing_for.map(millis)).bind(now)
                }
                Lesson::Failing { since } => of(&statements.failing).bind(time.ahead(since)).bind(now),
                Lesson::Hold { until } => of(&statements.hold).bind(time.ahead(until)).bind(now),
            };
            statement.execute(&mut *connection).await.map_err(database_error)?;
        }
        Ok(())
    }

    /// Deletes what has been settled, or could not leave, for long.
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
            .bind(millis(retention.disabled))
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

    /// Puts back what is leased to the worker and not `held`. The heartbeat has locked its row.
    pub(super) async fn held_in(
        &self,
        connection: &mut PgConnection,
        worker: &Worker,
        held: &[LeaseToken],
    ) -> Result<(), OutboxError> {
        let (sequences, fences): (Vec<i64>, Vec<i64>) =
            held.iter().map(|token| (token.sequence(), token.fence())).unzip();
        let held = query(&self.settle_statements().held).bind(worker.id()).bind(sequences).bind(fences);
        held.execute(connection).await.map(drop).map_err(database_error)
    }

    /// Puts back what workers held that are gone.
    async fn release_in(&self, connection: &mut PgConnection) -> Result<u64, OutboxError> {
        let released = query(&self.settle_statements().release).execute(connection).await;
        Ok(released.map_err(database_error)?.rows_affected())
    }

    pub(super) async fn join_in(
        &self,
        connection: &mut PgConnection,
        instance: &str,
        lease: Duration,
    ) -> Result<i64, OutboxError> {
        let statements = self.settle_statements();
        let forget = query(&statements.forget_instance).bind(instance.to_owned());
        if forget.execute(&mut *connection).await.map_err(database_error)?.rows_affected() > 0 {
            self.release_in(connection).await?;
        }
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
        let forget = query(&self.settle_statements().forget).bind(worker.id());
        forget.execute(&mut *connection).await.map_err(database_error)?;
        self.release_in(connection).await.map(drop)
    }

    pub(super) async fn recover_in(
        &self,
        connection: &mut PgConnection,
        worker: &Worker,
    ) -> Result<u64, OutboxError> {
        let statements = self.settle_statements();
        for statement in [&statements.shorten, &statements.forget_lapsed] {
            let done = query(statement).bind(worker.id()).bind(self.shared.time.now());
            done.execute(&mut *connection).await.map_err(database_error)?;
        }
        self.release_in(connection).await
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
