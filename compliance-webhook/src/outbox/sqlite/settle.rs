//! Verdicts, lessons, heartbeats, retention: what is written about messages that were claimed.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{SqliteOutbox, TablePrefix, database_error, query};
use crate::outbox::sql::{millis, sql_limit};
use crate::outbox::{EndpointNote, LeaseToken, Lesson, OutboxError, Retention, Settlement, Verdict, Worker};

#[derive(Debug)]
pub(super) struct SettleStatements {
    purge: Arc<str>,
    delivered: Arc<str>,
    settle: Arc<str>,
    excerpt: Arc<str>,
    disable: Arc<str>,
    failing: Arc<str>,
    hold: Arc<str>,
    working: Arc<str>,
    beat: Arc<str>,
    join: Arc<str>,
    leave_instance: Arc<str>,
    forget_instance: Arc<str>,
    release: Arc<str>,
    forget: Arc<str>,
    has_lapsed: Arc<str>,
    recover: Arc<str>,
    forget_lapsed: Arc<str>,
}

const LAPSED: &str = "id <> ?1 AND (until <= ?2 OR until > ?2 + 2 * lease_ms)";

impl SettleStatements {
    pub(super) fn new(prefix: TablePrefix) -> Self {
        let fill = |statement: &str| Arc::from(prefix.fill(statement));
        let lapsed = |statement: &str| Arc::from(prefix.fill(&statement.replace("{lapsed}", LAPSED)));
        Self {
            purge: fill(
                "DELETE FROM {p}message WHERE seq IN ( \
                   SELECT seq FROM ( \
                     SELECT * FROM (SELECT seq, settled_at FROM {p}delivery WHERE state = 2 AND settled_at <= ?1 \
                                    ORDER BY settled_at, seq LIMIT ?3) \
                     UNION ALL \
                     SELECT * FROM (SELECT seq, settled_at FROM {p}delivery WHERE state = 3 AND settled_at <= ?2 \
                                    ORDER BY settled_at, seq LIMIT ?3)) \
                   ORDER BY settled_at, seq LIMIT ?3)",
            ),
            // ?1 is an object of fences by sequence number: nothing to parse but numbers.
            delivered: fill(
                "UPDATE {p}delivery SET state = 2, worker = NULL, attempts = attempts + 1, settled_at = ?2, \
                 last_status = ?3, last_code = NULL \
                 FROM (SELECT CAST(key AS INTEGER) AS seq, value AS fence FROM json_each(?1)) AS v \
                 WHERE {p}delivery.seq = v.seq AND {p}delivery.fence = v.fence AND {p}delivery.state = 1",
            ),
            // Each element of ?1 is [seq, fence, state, next_at, attempted, status, code, revision]. A failure of
            // another revision releases.
            settle: fill(
                "UPDATE {p}delivery SET state = v.state * v.stands, worker = NULL, \
                 next_at = CASE WHEN v.stands THEN coalesce(v.next_at, {p}delivery.next_at) \
                           ELSE {p}delivery.next_at END, \
                 attempts = attempts + v.attempted * v.stands, \
                 settled_at = CASE WHEN v.state * v.stands >= 2 THEN ?2 END, \
                 last_status = CASE WHEN v.attempted * v.stands THEN v.status ELSE last_status END, \
                 last_code = CASE WHEN v.attempted * v.stands THEN v.code ELSE last_code END \
                 FROM (SELECT j.seq AS seq, j.fence AS fence, j.state AS state, j.next_at AS next_at, \
                       j.attempted AS attempted, j.status AS status, j.code AS code, \
                       j.state = 2 OR e.revision = j.revision AS stands \
                   FROM (SELECT value ->> 0 AS seq, value ->> 1 AS fence, value ->> 2 AS state, \
                         value ->> 3 AS next_at, value ->> 4 AS attempted, value ->> 5 AS status, \
                         value ->> 6 AS code, value ->> 7 AS revision FROM json_each(?1)) AS j \
                   JOIN {p}delivery AS d ON d.seq = j.seq JOIN {p}endpoint AS e ON e.seq = d.endpoint) AS v \
                 WHERE {p}delivery.seq = v.seq AND {p}delivery.fence = v.fence AND {p}delivery.state = 1 \
                 RETURNING seq, fence",
            ),
            excerpt: fill("UPDATE {p}delivery SET excerpt = ?3 WHERE seq = ?1 AND fence = ?2"),
            disable: fill(
                "UPDATE {p}endpoint SET disabled_code = ?2, revision = revision + 1 \
                 WHERE id = ?1 AND revision = ?3",
            ),
            failing: fill(
                "UPDATE {p}endpoint SET failing_since = min(coalesce(failing_since, ?2), ?2) \
                 WHERE id = ?1 AND revision = ?3",
            ),
            hold: fill(
                "UPDATE {p}endpoint SET hold_until = max(hold_until, ?2) WHERE id = ?1 AND revision = ?3",
            ),
            working: fill("UPDATE {p}endpoint SET failing_since = ?2 WHERE id = ?1 AND revision = ?3"),
            beat: fill("UPDATE {p}worker SET until = ?2 + lease_ms WHERE id = ?1"),
            join: fill(
                "INSERT INTO {p}worker (instance, lease_ms, until) VALUES (?1, ?2, ?3 + ?2) RETURNING id",
            ),
            leave_instance: fill(
                "UPDATE {p}delivery SET state = 0, worker = NULL \
                 WHERE state = 1 AND worker IN (SELECT id FROM {p}worker WHERE instance = ?1)",
            ),
            forget_instance: fill("DELETE FROM {p}worker WHERE instance = ?1"),
            release: fill("UPDATE {p}delivery SET state = 0, worker = NULL WHERE state = 1 AND worker = ?1"),
            forget: fill("DELETE FROM {p}worker WHERE id = ?1"),
            has_lapsed: lapsed("SELECT EXISTS (SELECT 1 FROM {p}worker WHERE {lapsed})"),
            recover: lapsed(
                "UPDATE {p}delivery SET state = 0, worker = NULL \
                 WHERE state = 1 AND worker IN (SELECT id FROM {p}worker WHERE {lapsed})",
            ),
            forget_lapsed: lapsed("DELETE FROM {p}worker WHERE {lapsed}"),
        }
    }
}

impl SqliteOutbox {
    fn settle_statements(&self) -> &SettleStatements {
        &self.shared.statements.settle
    }

    /// Writes what was delivered, which is what nearly every verdict says. `false` when a lease among them has
    /// lapsed: roll back and have each answered for by [`settle_in`](Self::settle_in).
    pub(super) async fn settle_delivered_in(
        &self,
        connection: &mut SqliteConnection,
        settlements: &[Settlement],
    ) -> Result<bool, OutboxError> {
        let mut by_status: BTreeMap<u16, (u64, String)> = BTreeMap::new();
        for Settlement { token, verdict, .. } in settlements {
            let Verdict::Delivered { status } = verdict else { continue };
            let (count, json) = by_status.entry(*status).or_default();
            let separator = if *count == 0 { '{' } else { ',' };
            *count = count.saturating_add(1);
            // Writing to a string does not fail.
            let _ = write!(json, "{separator}\"{}\":{}", token.sequence(), token.fence());
        }
        let now = self.now_millis();
        for (status, (count, mut json)) in by_status {
            json.push('}');
            let delivered = query(&self.settle_statements().delivered).bind(json).bind(now).bind(status);
            let done = delivered.execute(&mut *connection).await.map_err(database_error)?;
            if done.rows_affected() != count {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes verdicts one by one; says which were refused.
    pub(super) async fn settle_in(
        &self,
        connection: &mut SqliteConnection,
        settlements: impl Iterator<Item = &Settlement> + Clone,
    ) -> Result<Vec<LeaseToken>, OutboxError> {
        if settlements.clone().next().is_none() {
            return Ok(Vec::new());
        }
        let settled: Vec<(i64, i64)> =
            sqlx::query_as(AssertSqlSafe(Arc::clone(&self.settle_statements().settle)))
                .bind(settlements_json(settlements.clone()))
                .bind(self.now_millis())
                .fetch_all(connection)
                .await
                .map_err(database_error)?;
        let settled: HashSet<LeaseToken> =
            settled.into_iter().map(|(sequence, fence)| LeaseToken::new(sequence, fence)).collect();
        Ok(settlements.map(|settlement| settlement.token).filter(|token| !settled.contains(token)).collect())
    }

    /// Keeps what was answered. A later claim of the message has another fence.
    pub(super) async fn excerpts_in(
        &self,
        connection: &mut SqliteConnection,
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

    pub(super) async fn note_in(
        &self,
        connection: &mut SqliteConnection,
        note: &EndpointNote,
    ) -> Result<(), OutboxError> {
        let statements = self.settle_statements();
        let id = note.endpoint.as_str();
        let statement = match note.lesson {
            Lesson::Disable { code } => query(&statements.disable).bind(id).bind(code.as_str()),
            Lesson::Failing { since } => query(&statements.failing).bind(id).bind(since.as_unix_millis()),
            Lesson::Hold { until } => query(&statements.hold).bind(id).bind(until.as_unix_millis()),
            Lesson::Working => query(&statements.working).bind(id).bind(None::<i64>),
        };
        statement.bind(note.revision).execute(connection).await.map(drop).map_err(database_error)
    }

    /// Deletes what has been settled for long.
    pub(super) async fn purge_in(
        &self,
        connection: &mut SqliteConnection,
        retention: &Retention,
        limit: usize,
    ) -> Result<u64, OutboxError> {
        let now = self.now_millis();
        let done = query(&self.settle_statements().purge)
            .bind(now.saturating_sub(millis(retention.delivered)))
            .bind(now.saturating_sub(millis(retention.dead)))
            .bind(sql_limit(limit))
            .execute(connection)
            .await
            .map_err(database_error)?;
        Ok(done.rows_affected())
    }

    /// The heartbeat; `false` when the worker's place is gone.
    pub(super) async fn beat_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
    ) -> Result<bool, OutboxError> {
        let beat = query(&self.settle_statements().beat).bind(worker.id()).bind(self.now_millis());
        let done = beat.execute(connection).await.map_err(database_error)?;
        Ok(done.rows_affected() > 0)
    }

    pub(super) async fn join_in(
        &self,
        connection: &mut SqliteConnection,
        instance: &str,
        lease: Duration,
    ) -> Result<i64, OutboxError> {
        let statements = self.settle_statements();
        for statement in [&statements.leave_instance, &statements.forget_instance] {
            query(statement).bind(instance).execute(&mut *connection).await.map_err(database_error)?;
        }
        sqlx::query_scalar(AssertSqlSafe(Arc::clone(&statements.join)))
            .bind(instance)
            .bind(millis(lease))
            .bind(self.now_millis())
            .fetch_one(connection)
            .await
            .map_err(database_error)
    }

    pub(super) async fn leave_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
    ) -> Result<(), OutboxError> {
        let statements = self.settle_statements();
        for statement in [&statements.release, &statements.forget] {
            query(statement).bind(worker.id()).execute(&mut *connection).await.map_err(database_error)?;
        }
        Ok(())
    }

    /// Whether there is anybody to recover from: a read, so that the usual answer costs no write.
    pub(super) async fn has_lapsed(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
    ) -> Result<bool, OutboxError> {
        sqlx::query_scalar(AssertSqlSafe(Arc::clone(&self.settle_statements().has_lapsed)))
            .bind(worker.id())
            .bind(self.now_millis())
            .fetch_one(connection)
            .await
            .map_err(database_error)
    }

    pub(super) async fn recover_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
    ) -> Result<u64, OutboxError> {
        let statements = self.settle_statements();
        // One time for both statements: who is released is who is forgotten.
        let now = self.now_millis();
        let released = query(&statements.recover).bind(worker.id()).bind(now).execute(&mut *connection).await;
        let released = released.map_err(database_error)?.rows_affected();
        query(&statements.forget_lapsed)
            .bind(worker.id())
            .bind(now)
            .execute(connection)
            .await
            .map_err(database_error)?;
        Ok(released)
    }
}

/// Numbers, nulls and reason codes only: nothing to escape.
fn settlements_json<'a>(settlements: impl Iterator<Item = &'a Settlement>) -> String {
    let mut json = String::new();
    let mut separator = '[';
    for Settlement { token, revision, verdict } in settlements {
        json.push(separator);
        separator = ',';
        let (sequence, fence) = (token.sequence(), token.fence());
        let status = |status: &Option<u16>| status.map_or_else(|| "null".to_owned(), |it| it.to_string());
        // Writing to a string does not fail.
        let _ = match verdict {
            Verdict::Released => write!(json, "[{sequence},{fence},0,null,0,null,null,0]"),
            Verdict::Retry { at, code, status: found } => {
                // 0 stands for "not tried yet".
                let at = at.as_unix_millis().max(1);
                write!(json, "[{sequence},{fence},0,{at},1,{},\"{code}\",{revision}]", status(found))
            }
            Verdict::Delivered { status } => write!(json, "[{sequence},{fence},2,null,1,{status},null,0]"),
            Verdict::Dead { code, status: found } => {
                write!(json, "[{sequence},{fence},3,null,1,{},\"{code}\",{revision}]", status(found))
            }
        };
    }
    json.push(']');
    json
}
