//! What is due, and who gets it.

use std::collections::HashSet;
use std::sync::Arc;

use compliance_core::id::TenantId;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::{PostgresOutbox, Query, TablePrefix, database_error, query, schema};
use crate::outbox::sql::{Claimed, DISCLOSURE, StoredMessage, corrupt, disclosure, sql_limit};
use crate::outbox::{
    Due, EndpointId, LeaseToken, OutboxError, OutboxErrorKind, Ready, RoundResult, Want, Worker,
};

#[derive(Debug)]
pub(super) struct ClaimStatements {
    ready: Arc<str>,
    claim: Arc<str>,
    due: Arc<str>,
    message: Arc<str>,
    disable_damaged: Arc<str>,
}

/// What may be claimed: of each endpoint of $1 as many as $2 says at the same place, at most $3 of them tried before,
/// of at most $4 bytes, at time $5. What another dispatcher is about to claim is passed over.
const DUE: &str = "WITH open AS MATERIALIZED ( \
       SELECT w.place, w.most, w.again, w.bytes, e.seq AS endpoint, e.revision, e.classes, e.purpose, \
         coalesce($5::bigint, {now}) AS now \
       FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) WITH ORDINALITY \
         AS w (id, most, again, bytes, place) \
       JOIN {p}endpoint AS e ON e.id = w.id \
       WHERE e.disabled_code IS NULL \
         AND (e.hold_until <= coalesce($5::bigint, {now}) OR e.hold_since > coalesce($5::bigint, {now}))), \
     again AS MATERIALIZED ( \
       SELECT o.place, o.revision, o.bytes, d.* FROM open AS o CROSS JOIN LATERAL ( \
         SELECT p.seq, p.next_at, p.size FROM {p}delivery AS p \
         WHERE p.state = 0 AND p.endpoint = o.endpoint AND p.next_at > 0 AND p.next_at <= o.now AND {is_first} \
         ORDER BY p.next_at, p.seq LIMIT o.again {lock}) AS d), \
     fresh AS MATERIALIZED ( \
       SELECT o.place, o.revision, o.bytes, d.* FROM open AS o CROSS JOIN LATERAL ( \
         SELECT p.seq, p.next_at, p.size FROM {p}delivery AS p \
         WHERE p.state = 0 AND p.endpoint = o.endpoint AND p.next_at = 0 AND {is_first} \
         ORDER BY p.seq LIMIT o.most - (SELECT count(*) FROM again WHERE again.place = o.place) {lock}) AS d), \
     due AS (SELECT place, revision, seq FROM ( \
       SELECT f.*, sum(CASE WHEN size BETWEEN 0 AND {max} THEN size ELSE 0 END) \
         OVER (PARTITION BY place ORDER BY next_at = 0, next_at, seq ROWS UNBOUNDED PRECEDING) AS total \
       FROM (SELECT * FROM again UNION ALL SELECT * FROM fresh) AS f) AS t WHERE total <= bytes) ";

/// Whether delivery `p` is the first of those it is kept in order with.
const IS_FIRST: &str = "(p.ordering_key IS NULL OR NOT EXISTS (SELECT 1 FROM {p}delivery AS b \
     WHERE b.endpoint = p.endpoint AND b.ordering_key = p.ordering_key AND b.seq < p.seq AND b.state < 2))";

impl ClaimStatements {
    pub(super) fn new(prefix: TablePrefix) -> Self {
        let fill =
            |statement: &str| Arc::from(schema::fill(prefix, &statement.replace("{is_first}", IS_FIRST)));
        Self {
            // Jumps from endpoint to endpoint in the index of pending messages instead of reading them all.
            ready: fill(
                "WITH RECURSIVE waiting (endpoint) AS ( \
                   SELECT min(endpoint) FROM {p}delivery WHERE state = 0 \
                   AND endpoint > coalesce((SELECT seq FROM {p}endpoint WHERE id = $3), 0) \
                   UNION ALL \
                   SELECT (SELECT min(d.endpoint) FROM {p}delivery AS d \
                           WHERE d.state = 0 AND d.endpoint > waiting.endpoint) \
                   FROM waiting WHERE waiting.endpoint IS NOT NULL) \
                 SELECT e.id, e.tenant, e.revision, e.seq \
                 FROM waiting JOIN {p}endpoint AS e ON e.seq = waiting.endpoint \
                 WHERE e.disabled_code IS NULL \
                 AND (e.hold_until <= coalesce($1::bigint, {now}) OR e.hold_since > coalesce($1::bigint, {now})) \
                 AND EXISTS (SELECT 1 FROM {p}delivery AS d WHERE d.state = 0 AND d.endpoint = e.seq \
                             AND d.next_at <= coalesce($1::bigint, {now})) \
                 ORDER BY e.seq LIMIT $2",
            ),
            // A left join: a delivery without its message has to be seen, too, and one that cannot be read must not be
            // touched.
            claim: fill(&format!(
                "{} , leased AS ( \
                   UPDATE {{p}}delivery AS d SET state = 1, worker = $6, fence = d.fence + 1 FROM due \
                   WHERE d.seq = due.seq RETURNING d.seq, d.fence, d.attempts, d.next_at, \
                     d.ordering_key IS NOT NULL AS is_ordered, due.place, due.revision) \
                 SELECT l.place, l.seq, l.fence, l.attempts, l.revision, m.id, m.content_type, \
                   CASE WHEN octet_length(m.payload) <= {{max}} THEN m.payload END, m.enqueued_at, \
                   l.is_ordered, coalesce(m.sealed, 0) <> 0, ({DISCLOSURE})::bigint \
                 FROM leased AS l JOIN open AS e ON e.place = l.place \
                 LEFT JOIN {{p}}message AS m ON m.seq = l.seq AND m.seq <> ALL ($7::bigint[]) \
                 ORDER BY l.place, l.next_at = 0, l.next_at, l.seq",
                DUE.replace("{lock}", "FOR UPDATE OF p SKIP LOCKED")
            )),
            due: fill(&format!("{} SELECT seq FROM due", DUE.replace("{lock}", ""))),
            message: fill("SELECT id, content_type, payload FROM {p}message WHERE seq = $1"),
            disable_damaged: fill(
                "UPDATE {p}endpoint SET disabled_code = 'outbox.corrupt', revision = revision + 1 \
                 WHERE seq = $1 AND disabled_code IS NULL",
            ),
        }
    }
}

impl PostgresOutbox {
    pub(super) async fn ready_in(
        &self,
        connection: &mut PgConnection,
        after: Option<&EndpointId>,
        limit: usize,
    ) -> Result<Due, OutboxError> {
        let statements = &self.shared.statements.claim;
        let mut damaged = Vec::new();
        loop {
            let rows = query(&statements.ready)
                .bind(self.shared.time.now())
                .bind(sql_limit(limit))
                .bind(after.map(EndpointId::as_str))
                .fetch_all(&mut *connection)
                .await
                .map_err(database_error)?;
            let ready: Vec<Option<Ready>> = rows.iter().map(read_ready).collect();
            if ready.iter().all(Option::is_some) {
                return Ok(Due { ready: ready.into_iter().flatten().collect(), damaged });
            }
            // Out of the way, or nobody behind them would ever be seen.
            for (row, ready) in rows.iter().zip(&ready) {
                if ready.is_none() {
                    let sequence: i64 = row.try_get(3).map_err(database_error)?;
                    let disable = query(&statements.disable_damaged).bind(sequence);
                    let done = disable.execute(&mut *connection).await.map_err(database_error)?;
                    // Of several that find it, one reports it.
                    if done.rows_affected() > 0 {
                        damaged.push(sequence);
                    }
                }
            }
        }
    }

    /// Claims what is wanted into `result`, in one statement unless an endpoint is wanted twice. Messages known to be
    /// `unreadable` are claimed unread.
    pub(super) async fn claim_in(
        &self,
        connection: &mut PgConnection,
        worker: &Worker,
        wants: &[Want],
        unreadable: &[i64],
        result: &mut RoundResult,
    ) -> Result<(), OutboxError> {
        for wants in without_repetition(wants) {
            let rows = self
                .due(&self.shared.statements.claim.claim, wants)
                .bind(worker.id())
                .bind(unreadable.to_vec())
                .fetch_all(&mut *connection)
                .await
                .map_err(database_error)?;
            for row in &rows {
                let number = |column: usize| row.try_get::<i64, _>(column).map_err(|_| corrupt("delivery"));
                let place = usize::try_from(number(0)?.saturating_sub(1)).ok();
                let want = place.and_then(|place| wants.get(place)).ok_or_else(|| corrupt("endpoint.id"))?;
                let token = LeaseToken::new(number(1)?, number(2)?);
                let is = |column: usize| row.try_get::<bool, _>(column).map_err(|_| corrupt("delivery"));
                let claimed = Claimed {
                    token,
                    attempts: number(3)?,
                    revision: number(4)?,
                    is_ordered: is(9)?,
                    is_sealed: is(10)?,
                    disclosure: disclosure(number(11)?, self.shared.enforcement),
                };
                match claimed.read(read_message(row), want) {
                    Ok(leased) => result.leased.push(leased),
                    Err(damaged) => result.damaged.push(damaged),
                }
            }
        }
        Ok(())
    }

    fn due(&self, statement: &Arc<str>, wants: &[Want]) -> Query<'static> {
        query(statement)
            .bind(wants.iter().map(|want| want.endpoint.as_str().to_owned()).collect::<Vec<_>>())
            .bind(wants.iter().map(|want| sql_limit(want.limit)).collect::<Vec<_>>())
            .bind(wants.iter().map(|want| sql_limit(want.limit.div_ceil(4))).collect::<Vec<_>>())
            .bind(wants.iter().map(|want| sql_limit(want.max_bytes)).collect::<Vec<_>>())
            .bind(self.shared.time.now())
    }

    /// Which of the messages that could be claimed cannot be read from the disk.
    pub(super) async fn unreadable(&self, wants: &[Want]) -> Result<Vec<i64>, OutboxError> {
        let statements = &self.shared.statements.claim;
        let mut connection = self.acquire().await?;
        let mut unreadable = Vec::new();
        for wants in without_repetition(wants) {
            let due = self.due(&statements.due, wants).fetch_all(&mut *connection).await;
            for row in due.map_err(database_error)? {
                let sequence: i64 = row.try_get(0).map_err(database_error)?;
                let message =
                    query(&statements.message).bind(sequence).fetch_optional(&mut *connection).await;
                match message.map_err(database_error) {
                    Ok(_) => {}
                    Err(error) if is_damage(error) => unreadable.push(sequence),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(unreadable)
    }
}

/// Cut where an endpoint comes again: whoever is asked for twice must see what it has been given before.
fn without_repetition(mut wants: &[Want]) -> Vec<&[Want]> {
    let mut parts = Vec::new();
    while !wants.is_empty() {
        let mut seen = HashSet::new();
        let len = wants.iter().position(|want| !seen.insert(&want.endpoint)).unwrap_or(wants.len());
        let (part, rest) = wants.split_at_checked(len).unwrap_or((wants, &[]));
        parts.push(part);
        wants = rest;
    }
    parts
}

fn read_ready(row: &PgRow) -> Option<Ready> {
    let (id, tenant): (&str, &str) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
    Some(Ready {
        endpoint: EndpointId::parse(id).ok()?,
        tenant: TenantId::new(tenant).ok()?,
        revision: row.try_get(2).ok()?,
    })
}

fn read_message(row: &PgRow) -> Option<StoredMessage<'_>> {
    Some(StoredMessage {
        id: row.try_get::<&str, _>(5).ok()?.as_bytes(),
        content_type: row.try_get::<&str, _>(6).ok()?.as_bytes(),
        payload: row.try_get(7).ok()?,
        enqueued_at: row.try_get(8).ok()?,
    })
}

/// Whether PostgreSQL met a page or an index that is not what it wrote.
pub(super) fn is_damage(error: OutboxError) -> bool {
    matches!(error.kind(), OutboxErrorKind::Database { code } if matches!(code.sql_state(), Some("XX001" | "XX002")))
}
