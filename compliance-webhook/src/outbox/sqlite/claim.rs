//! What is due, and who gets it.

use std::collections::HashSet;
use std::sync::Arc;

use compliance_core::id::TenantId;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::parcel::{self, Item};
use super::{MOST_NUMBERS, Query, SqliteOutbox, TablePrefix, database_error, query, run};
use crate::outbox::sql::{Claimed, DISCLOSURE, StoredMessage, corrupt, disclosure, sql_limit};
use crate::outbox::{
    Damaged, Disclosure, Due, EndpointId, LeaseToken, Leased, OutboxError, OutboxErrorKind, Ready,
    RoundResult, Want, Worker,
};

#[derive(Debug)]
pub(super) struct ClaimStatements {
    ready: Arc<str>,
    due: Arc<str>,
    due_without_message: Arc<str>,
    message: Arc<str>,
    lease: Arc<str>,
    disable_damaged: Arc<str>,
}

/// What may be claimed of endpoint ?1 at time ?2: at most ?3 messages tried before, ?4 in all, of ?5 bytes.
///
/// Running totals are only made where not all of it fits: they take as long as reading the messages.
///
/// `| 0`: with a parameter alone as the limit, SQLite prepares the statement anew each time it is bound.
const DUE: &str = "WITH open (seq, revision, classes, purpose) AS (SELECT seq, revision, classes, purpose \
       FROM {p}endpoint WHERE id = ?1 AND disabled_code IS NULL AND (hold_until <= ?2 OR hold_since > ?2)), \
     again AS MATERIALIZED (SELECT seq, fence, attempts, next_at, size, ordering_key FROM {p}delivery AS d \
       WHERE state = 0 AND endpoint = (SELECT seq FROM open) AND next_at > 0 AND next_at <= ?2 AND {is_first} \
       ORDER BY next_at, seq LIMIT ?3 | 0), \
     fresh AS MATERIALIZED (SELECT seq, fence, attempts, next_at, size, ordering_key FROM {p}delivery AS d \
       WHERE state = 0 AND endpoint = (SELECT seq FROM open) AND next_at = 0 AND {is_first} \
       ORDER BY seq LIMIT ?4 - (SELECT count(*) FROM again)), \
     sized AS MATERIALIZED ( \
       SELECT *, CASE WHEN size BETWEEN 0 AND {max} THEN size ELSE 0 END AS bytes \
       FROM (SELECT * FROM again UNION ALL SELECT * FROM fresh)), \
     due AS (SELECT * FROM sized WHERE (SELECT sum(bytes) FROM sized) <= ?5 OR seq IN (SELECT seq FROM ( \
       SELECT seq, sum(bytes) OVER (ORDER BY next_at = 0, next_at, seq ROWS UNBOUNDED PRECEDING) AS total \
       FROM sized) WHERE total <= ?5)) ";

/// Whether delivery `d` is the first of those it is kept in order with.
const IS_FIRST: &str = "(d.ordering_key IS NULL OR NOT EXISTS (SELECT 1 FROM {p}delivery AS b \
     WHERE b.endpoint = d.endpoint AND b.ordering_key = d.ordering_key AND b.seq < d.seq AND b.state < 2))";

impl ClaimStatements {
    pub(super) fn new(prefix: TablePrefix) -> Self {
        let fill = |statement: &str| Arc::from(prefix.fill(&statement.replace("{is_first}", IS_FIRST)));
        Self {
            // Jumps from endpoint to endpoint in the index of pending messages instead of reading them all.
            ready: fill(
                "WITH RECURSIVE waiting (endpoint) AS ( \
                   SELECT min(endpoint) FROM {p}delivery WHERE state = 0 \
                   AND endpoint > coalesce((SELECT seq FROM {p}endpoint WHERE id = ?3), 0) \
                   UNION ALL \
                   SELECT (SELECT min(d.endpoint) FROM {p}delivery AS d \
                           WHERE d.state = 0 AND d.endpoint > waiting.endpoint) \
                   FROM waiting WHERE waiting.endpoint IS NOT NULL) \
                 SELECT e.id, e.tenant, e.revision, e.seq \
                 FROM waiting JOIN {p}endpoint AS e ON e.seq = waiting.endpoint \
                 WHERE e.disabled_code IS NULL AND (e.hold_until <= ?1 OR e.hold_since > ?1) \
                 AND EXISTS (SELECT 1 FROM {p}delivery AS d \
                             WHERE d.state = 0 AND d.endpoint = e.seq AND d.next_at <= ?1) \
                 LIMIT ?2 | 0",
            ),
            // A left join: a delivery without its message has to be seen, too, and one that is too large must not be
            // read.
            due: fill(&format!(
                "{DUE} SELECT max(e.revision), {} \
                 FROM due AS d CROSS JOIN open AS e LEFT JOIN {{p}}message AS m ON m.seq = d.seq \
                 AND d.size BETWEEN 0 AND {{max}}",
                parcel::columns()
            )),
            due_without_message: fill(&format!(
                "{DUE} SELECT seq, fence + 1, attempts, (SELECT revision FROM open), next_at, \
                 ordering_key IS NOT NULL FROM due"
            )),
            message: fill(&format!(
                "SELECT m.id, m.content_type, m.payload, m.enqueued_at, m.sealed, {DISCLOSURE} \
                 FROM {{p}}message AS m JOIN {{p}}endpoint AS e ON e.seq = m.endpoint \
                 WHERE m.seq = ?1 AND octet_length(m.payload) <= {{max}}"
            )),
            lease: fill(
                "UPDATE {p}delivery SET state = 1, worker = {worker}, fence = fence + 1 \
                 WHERE state = 0 AND seq IN (SELECT value FROM json_each('{sequences}'));",
            ),
            disable_damaged: fill(
                "UPDATE {p}endpoint SET disabled_code = 'outbox.corrupt', revision = revision + 1 \
                 WHERE seq = ?1 AND disabled_code IS NULL",
            ),
        }
    }
}

impl SqliteOutbox {
    pub(super) async fn ready_in(
        &self,
        connection: &mut SqliteConnection,
        after: Option<&EndpointId>,
        limit: usize,
    ) -> Result<Due, OutboxError> {
        let statements = &self.shared.statements.claim;
        let mut damaged = Vec::new();
        loop {
            let rows: Vec<SqliteRow> = query(&statements.ready)
                .bind(self.now_millis())
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

    /// Claims what is wanted into `result`. What lies on damaged pages has to be known to be `unreadable`. Answers with
    /// the statement that is still to be run, if any: it can go into one command with the commit.
    pub(super) async fn claim_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
        wants: &[Want],
        unreadable: &HashSet<i64>,
        result: &mut RoundResult,
    ) -> Result<String, OutboxError> {
        let now = self.now_millis();
        // Claims are noted together; an endpoint wanted twice must see what it has been given before.
        let mut unnoted = Vec::new();
        let mut seen = HashSet::new();
        for want in wants {
            if !seen.insert(&want.endpoint) {
                self.lease_in(connection, worker, &unnoted).await?;
                unnoted.clear();
            }
            let rows = if unreadable.is_empty() && self.shared.is_utf8 {
                self.claim_together(connection, want, now).await
            } else {
                self.claim_one_by_one(connection, want, now, unreadable).await
            };
            for row in rows? {
                match row {
                    Ok(leased) => {
                        unnoted.push(leased.token.sequence());
                        result.leased.push(leased);
                    }
                    Err(damaged) => {
                        unnoted.push(damaged.token.sequence());
                        result.damaged.push(damaged);
                    }
                }
            }
        }
        let (first, last) = unnoted.split_at(unnoted.len().saturating_sub(MOST_NUMBERS));
        self.lease_in(connection, worker, first).await?;
        Ok(if last.is_empty() { String::new() } else { self.lease(worker, last) })
    }

    fn due(&self, statement: &Arc<str>, want: &Want, now: i64) -> Query<'static> {
        query(statement)
            .bind(want.endpoint.as_str().to_owned())
            .bind(now)
            .bind(sql_limit(want.limit.div_ceil(4)))
            .bind(sql_limit(want.limit))
            .bind(sql_limit(want.max_bytes))
    }

    async fn claim_together(
        &self,
        connection: &mut SqliteConnection,
        want: &Want,
        now: i64,
    ) -> Result<Vec<Result<Leased, Damaged>>, OutboxError> {
        let due = self.due(&self.shared.statements.claim.due, want, now);
        let row = due.fetch_one(connection).await.map_err(database_error)?;
        let Some(revision) = row.try_get::<Option<i64>, _>(0).map_err(database_error)? else {
            return Ok(Vec::new());
        };
        let mut items = parcel::unpack(&row, 1, self.shared.enforcement)?;
        items.sort_unstable_by_key(|item| send_order(item.next_at, item.sequence));
        let read = |item: Item<'_>| {
            let token = LeaseToken::new(item.sequence, item.fence);
            let Item { attempts, is_ordered, is_sealed, disclosure, .. } = item;
            Claimed { token, attempts, revision, is_ordered, is_sealed, disclosure }.read(item.message, want)
        };
        Ok(items.into_iter().map(read).collect())
    }

    async fn claim_one_by_one(
        &self,
        connection: &mut SqliteConnection,
        want: &Want,
        now: i64,
        unreadable: &HashSet<i64>,
    ) -> Result<Vec<Result<Leased, Damaged>>, OutboxError> {
        let statements = &self.shared.statements.claim;
        let due = self.due(&statements.due_without_message, want, now);
        let rows = due.fetch_all(&mut *connection).await.map_err(database_error)?;
        let mut found = Vec::new();
        for mut claimed in read_all_claimed(&rows)? {
            let sequence = claimed.token.sequence();
            let message = if unreadable.contains(&sequence) {
                None
            } else {
                let message = query(&statements.message).bind(sequence);
                message.fetch_optional(&mut *connection).await.map_err(database_error)?
            };
            if let Some(message) = &message {
                let number =
                    |column: usize| message.try_get::<i64, _>(column).map_err(|_| corrupt("message"));
                claimed.is_sealed = number(4)? != 0;
                claimed.disclosure = disclosure(number(5)?, self.shared.enforcement);
            }
            found.push(claimed.read(message.as_ref().and_then(read_message), want));
        }
        Ok(found)
    }

    /// Which of the messages that could be claimed lie on damaged pages. Outside any transaction: one in which
    /// SQLite has met such a page cannot be committed any more.
    pub(super) async fn unreadable(&self, wants: &[Want]) -> Result<HashSet<i64>, OutboxError> {
        let statements = &self.shared.statements.claim;
        let now = self.now_millis();
        let mut connection = self.acquire().await?;
        let mut unreadable = HashSet::new();
        for want in wants {
            let due = self.due(&statements.due_without_message, want, now);
            let rows = due.fetch_all(&mut *connection).await.map_err(database_error)?;
            for claimed in read_all_claimed(&rows)? {
                let sequence = claimed.token.sequence();
                let message = query(&statements.message).bind(sequence);
                match message.fetch_optional(&mut *connection).await.map_err(database_error) {
                    Ok(_) => {}
                    Err(error) if is_damage(error) => {
                        unreadable.insert(sequence);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(unreadable)
    }

    async fn lease_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
        sequences: &[i64],
    ) -> Result<(), OutboxError> {
        for sequences in sequences.chunks(MOST_NUMBERS) {
            run(connection, self.lease(worker, sequences)).await?;
        }
        Ok(())
    }

    fn lease(&self, worker: &Worker, sequences: &[i64]) -> String {
        // The debug form of a list of numbers is its JSON.
        let sequences = format!("{sequences:?}");
        let lease = self.shared.statements.claim.lease.replace("{sequences}", &sequences);
        lease.replace("{worker}", &worker.id().to_string())
    }
}

fn read_claimed(row: &SqliteRow) -> Result<(Claimed, i64), OutboxError> {
    let number = |column: usize| row.try_get::<i64, _>(column).map_err(|_| corrupt("delivery"));
    let token = LeaseToken::new(number(0)?, number(1)?);
    let (attempts, revision, is_ordered) = (number(2)?, number(3)?, number(5)? != 0);
    let disclosure = Disclosure::Refused;
    let claimed = Claimed { token, attempts, revision, is_ordered, is_sealed: false, disclosure };
    Ok((claimed, number(4)?))
}

/// In the order to send them.
fn read_all_claimed(rows: &[SqliteRow]) -> Result<Vec<Claimed>, OutboxError> {
    let mut claimed = rows.iter().map(read_claimed).collect::<Result<Vec<_>, _>>()?;
    claimed.sort_unstable_by_key(|(claimed, next_at)| send_order(*next_at, claimed.token.sequence()));
    Ok(claimed.into_iter().map(|(claimed, _)| claimed).collect())
}

fn read_message(row: &SqliteRow) -> Option<StoredMessage<'_>> {
    Some(StoredMessage {
        enqueued_at: row.try_get(3).ok()?,
        id: row.try_get::<&str, _>(0).ok()?.as_bytes(),
        content_type: row.try_get::<&str, _>(1).ok()?.as_bytes(),
        payload: row.try_get(2).ok()?,
    })
}

/// Those tried before first, then fresh ones. Sorted here: SQLite would copy the payloads to sort them.
fn send_order(next_at: i64, sequence: i64) -> (bool, i64, i64) {
    (next_at == 0, next_at, sequence)
}

fn read_ready(row: &SqliteRow) -> Option<Ready> {
    let (id, tenant): (&str, &str) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
    Some(Ready {
        endpoint: EndpointId::parse(id).ok()?,
        tenant: TenantId::new(tenant).ok()?,
        revision: row.try_get(2).ok()?,
    })
}

/// Whether SQLite met a page that is not what it wrote.
pub(super) fn is_damage(error: OutboxError) -> bool {
    const CORRUPT: i32 = 11;
    let is_corrupt = |code: i32| code & 0xff == CORRUPT;
    matches!(error.kind(), OutboxErrorKind::Database { code } if code.sqlite().is_some_and(is_corrupt))
}
