//! Verdicts, lessons, heartbeats, retention: what is written about messages that were claimed.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::{SqliteOutbox, TablePrefix, database_error, query};
use crate::outbox::sql::{millis, not_instructed, sql_limit};
use crate::outbox::{EndpointNote, LeaseToken, Lesson, OutboxError, Retention, Settlement, Verdict, Worker};

#[derive(Debug)]
pub(super) struct SettleStatements {
    purge: Arc<str>,
    begin: Arc<str>,
    delivered: Arc<str>,
    begun: Arc<str>,
    blank: Arc<str>,
    works: Arc<str>,
    settle: Arc<str>,
    excerpt: Arc<str>,
    disable: Arc<str>,
    failing: Arc<str>,
    hold: Arc<str>,
    held: Arc<str>,
    join: Arc<str>,
    forget_instance: Arc<str>,
    forget: Arc<str>,
    has_lapsed: Arc<str>,
    forget_lapsed: Arc<str>,
    shorten: Arc<str>,
    release: Arc<str>,
}

impl SettleStatements {
    pub(super) fn new(prefix: TablePrefix) -> Self {
        let fill = |statement: &str| Arc::from(prefix.fill(statement));
        Self {
            purge: fill(
                "DELETE FROM {p}message WHERE seq IN ( \
                   SELECT seq FROM ( \
                     SELECT * FROM (SELECT seq, settled_at FROM {p}delivery WHERE state = 2 AND settled_at <= ?1 \
                                    ORDER BY settled_at, seq LIMIT ?3) \
                     UNION ALL \
                     SELECT * FROM (SELECT seq, settled_at FROM {p}delivery WHERE state = 3 AND settled_at <= ?2 \
                                    ORDER BY settled_at, seq LIMIT ?3) \
                     UNION ALL \
                     SELECT * FROM (SELECT d.seq, m.enqueued_at FROM {p}endpoint AS e \
                                    CROSS JOIN {p}delivery AS d ON d.endpoint = e.seq AND d.state = 0 \
                                    CROSS JOIN {p}message AS m ON m.seq = d.seq \
                                    WHERE e.disabled_code IS NOT NULL AND m.enqueued_at <= ?4 \
                                    ORDER BY m.enqueued_at, d.seq LIMIT ?3)) \
                   ORDER BY settled_at, seq LIMIT ?3)",
            ),
            begin: fill(
                "BEGIN IMMEDIATE; UPDATE {p}worker SET until = {now} + lease_ms WHERE id = {worker};",
            ),
            // {leases} is an object of fences and statuses by sequence number: nothing to parse but numbers. Those are
            // looked at only where an endpoint is failing: the plus sign keeps SQLite from beginning there.
            delivered: fill(
                "UPDATE {p}endpoint SET failing_since = NULL WHERE failing_since IS NOT NULL AND +seq IN ( \
                   SELECT d.endpoint FROM json_each('{leases}') AS j CROSS JOIN {p}delivery AS d \
                   ON d.seq = CAST(j.key AS INTEGER) AND d.fence = j.value >> 16 AND d.state = 1); \
                 UPDATE {p}delivery SET state = 2, worker = NULL, attempts = attempts + 1, settled_at = {now}, \
                 last_status = v.status, last_code = NULL \
                 FROM (SELECT CAST(key AS INTEGER) AS seq, value >> 16 AS fence, value & 65535 AS status \
                       FROM json_each('{leases}')) AS v \
                 WHERE {p}delivery.seq = v.seq AND {p}delivery.fence = v.fence AND {p}delivery.state = 1;",
            ),
            begun: fill("SELECT changes(), EXISTS (SELECT 1 FROM {p}worker WHERE id = {worker})"),
            works: fill(
                "UPDATE {p}endpoint SET failing_since = NULL WHERE failing_since IS NOT NULL AND +seq IN ( \
                   SELECT endpoint FROM {p}delivery \
                   WHERE seq IN (SELECT value FROM json_each(?1)) AND state = 2)",
            ),
            blank: fill(
                "UPDATE {p}message SET payload = x'' WHERE seq IN ( \
                   SELECT seq FROM {p}delivery WHERE seq IN (SELECT value FROM json_each(?1)) \
                   AND state = 3 AND last_code = 'dispatch.not_instructed')",
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
                 WHERE id = ?1 AND revision = ?3 AND (?4 IS NULL OR failing_since <= ?4)",
            ),
            failing: fill(
                "UPDATE {p}endpoint SET failing_since = min(coalesce(failing_since, ?2), ?2) \
                 WHERE id = ?1 AND revision = ?3",
            ),
            hold: fill(
                "UPDATE {p}endpoint SET hold_until = max(iif(hold_since <= ?4, hold_until, ?2), ?2), hold_since = ?4 \
                 WHERE id = ?1 AND revision = ?3",
            ),
            join: fill(
                "INSERT INTO {p}worker (instance, lease_ms, until) VALUES (?1, ?2, ?3 + ?2) RETURNING id",
            ),
            held: fill(
                "UPDATE {p}delivery SET state = 0, worker = NULL WHERE state = 1 AND worker = ?1 \
                 AND (seq, fence) NOT IN (SELECT CAST(key AS INTEGER), value FROM json_each(?2))",
            ),
            forget_instance: fill("DELETE FROM {p}worker WHERE instance = ?1"),
            forget: fill("DELETE FROM {p}worker WHERE id = ?1"),
            has_lapsed: fill(
                "SELECT EXISTS (SELECT 1 FROM {p}worker \
                 WHERE id <> ?1 AND (until <= ?2 OR until > ?2 + 2 * lease_ms))",
            ),
            forget_lapsed: fill("DELETE FROM {p}worker WHERE id <> ?1 AND until <= ?2"),
            shorten: fill(
                "UPDATE {p}worker SET until = ?2 + lease_ms WHERE id <> ?1 AND until > ?2 + 2 * lease_ms",
            ),
            release: fill(
                "UPDATE {p}delivery SET state = 0, worker = NULL \
                 WHERE state = 1 AND worker NOT IN (SELECT id FROM {p}worker)",
            ),
        }
    }
}

impl SqliteOutbox {
    fn settle_statements(&self) -> &SettleStatements {
        &self.shared.statements.settle
    }

    /// Begins a round, gives the worker's heartbeat, and writes what was `delivered`, which is what nearly every verdict
    /// says. Where the [leases](Begun::were_leased) among them are not all there any more: roll back, begin without
    /// them, and have each answered for by [`settle_in`](Self::settle_in).
    ///
    /// One command: each of them wakes SQLite's thread and then whoever waits for it, which takes longer than the
    /// statements on a machine that has other things to do.
    pub(super) async fn begin_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
        delivered: &[(LeaseToken, u16)],
    ) -> Result<Begun, OutboxError> {
        let statements = self.settle_statements();
        let mut command = statements.begin.to_string();
        if !delivered.is_empty() {
            command.push_str(&statements.delivered.replace("{leases}", &leases_json(delivered)));
        }
        command.push_str(&statements.begun);
        let (now, worker) = (self.now_millis().to_string(), worker.id().to_string());
        // INVARIANT: numbers only.
        let command = AssertSqlSafe(command.replace("{now}", &now).replace("{worker}", &worker));
        let row = sqlx::raw_sql(command).fetch_one(connection).await.map_err(database_error)?;
        let changed: i64 = row.try_get(0).map_err(database_error)?;
        Ok(Begun {
            were_leased: delivered.is_empty() || usize::try_from(changed) == Ok(delivered.len()),
            has_place: row.try_get(1).map_err(database_error)?,
        })
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
                .fetch_all(&mut *connection)
                .await
                .map_err(database_error)?;
        let settled: HashSet<LeaseToken> =
            settled.into_iter().map(|(sequence, fence)| LeaseToken::new(sequence, fence)).collect();
        let delivered = settlements
            .clone()
            .filter(|settlement| matches!(settlement.verdict, Verdict::Delivered { .. }))
            .map(|settlement| settlement.token.sequence());
        let delivered: Vec<i64> = delivered.collect();
        if !delivered.is_empty() {
            // The debug form of a list of numbers is its JSON.
            let works = query(&self.settle_statements().works).bind(format!("{delivered:?}"));
            works.execute(connection).await.map_err(database_error)?;
        }
        Ok(settlements.map(|settlement| settlement.token).filter(|token| !settled.contains(token)).collect())
    }

    /// Deletes the payloads of what was given up because nobody is to have it.
    pub(super) async fn blank_in(
        &self,
        connection: &mut SqliteConnection,
        settlements: &[Settlement],
    ) -> Result<(), OutboxError> {
        let refused = not_instructed(settlements);
        if refused.is_empty() {
            return Ok(());
        }
        // The debug form of a list of numbers is its JSON.
        let blank = query(&self.settle_statements().blank).bind(format!("{refused:?}"));
        blank.execute(connection).await.map(drop).map_err(database_error)
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
        let (statements, now) = (self.settle_statements(), self.now_millis());
        let of = |statement| query(statement).bind(note.endpoint.as_str().to_owned());
        let statement = match note.lesson {
            Lesson::Disable { code, failing_for } => of(&statements.disable)
                .bind(code.as_str())
                .bind(note.revision)
                .bind(failing_for.map(|time| now.saturating_sub(millis(time)))),
            Lesson::Failing { since } => {
                of(&statements.failing).bind(since.as_unix_millis()).bind(note.revision)
            }
            Lesson::Hold { until } => {
                of(&statements.hold).bind(until.as_unix_millis()).bind(note.revision).bind(now)
            }
        };
        statement.execute(connection).await.map(drop).map_err(database_error)
    }

    /// Deletes what has been settled, or could not leave, for long.
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
            .bind(now.saturating_sub(millis(retention.disabled)))
            .execute(connection)
            .await
            .map_err(database_error)?;
        Ok(done.rows_affected())
    }

    /// Puts back what is leased to the worker and not `held`.
    pub(super) async fn held_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
        held: &[LeaseToken],
    ) -> Result<(), OutboxError> {
        let held = query(&self.settle_statements().held).bind(worker.id()).bind(fences_json(held));
        held.execute(connection).await.map(drop).map_err(database_error)
    }

    /// Puts back what workers held that are gone.
    async fn release_in(&self, connection: &mut SqliteConnection) -> Result<u64, OutboxError> {
        let released = query(&self.settle_statements().release).execute(connection).await;
        Ok(released.map_err(database_error)?.rows_affected())
    }

    pub(super) async fn join_in(
        &self,
        connection: &mut SqliteConnection,
        instance: &str,
        lease: Duration,
    ) -> Result<i64, OutboxError> {
        let statements = self.settle_statements();
        let forget = query(&statements.forget_instance).bind(instance.to_owned());
        forget.execute(&mut *connection).await.map_err(database_error)?;
        self.release_in(connection).await?;
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
        let forget = query(&self.settle_statements().forget).bind(worker.id());
        forget.execute(&mut *connection).await.map_err(database_error)?;
        self.release_in(connection).await.map(drop)
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
        let (statements, now) = (self.settle_statements(), self.now_millis());
        for statement in [&statements.shorten, &statements.forget_lapsed] {
            let done = query(statement).bind(worker.id()).bind(now).execute(&mut *connection).await;
            done.map_err(database_error)?;
        }
        self.release_in(connection).await
    }
}

/// How a round has begun.
pub(super) struct Begun {
    /// Whether all that was delivered was still leased, and is written.
    pub(super) were_leased: bool,
    /// Whether the worker still has its place.
    pub(super) has_place: bool,
}

/// Fences and statuses by sequence number: nothing to escape.
fn leases_json(delivered: &[(LeaseToken, u16)]) -> String {
    let mut json = String::from("{");
    for (number, (token, status)) in delivered.iter().enumerate() {
        let separator = if number == 0 { "" } else { "," };
        let lease = token.fence().saturating_mul(0x1_0000).saturating_add(i64::from(*status));
        // Writing to a string does not fail.
        let _ = write!(json, "{separator}\"{}\":{lease}", token.sequence());
    }
    json.push('}');
    json
}

/// Fences by sequence number: nothing to escape.
fn fences_json(tokens: &[LeaseToken]) -> String {
    let mut json = String::from("{");
    for (number, token) in tokens.iter().enumerate() {
        let separator = if number == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(json, "{separator}\"{}\":{}", token.sequence(), token.fence());
    }
    json.push('}');
    json
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
