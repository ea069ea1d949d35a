//! What is due, and who gets it.

use std::collections::HashSet;
use std::sync::Arc;

use compliance_core::clock::Timestamp;
use compliance_core::id::TenantId;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{SqliteOutbox, TablePrefix, corrupt, database_error, query, sql_limit};
use crate::deliver::ContentType;
use crate::outbox::{EndpointId, LeaseToken, Leased, OutboxError, Ready, Want, Worker};
use crate::sign::MessageId;

#[derive(Debug)]
pub(super) struct ClaimStatements {
    ready: Arc<str>,
    due: Arc<str>,
    lease: Arc<str>,
}

impl ClaimStatements {
    pub(super) fn new(prefix: TablePrefix) -> Self {
        let fill = |statement: &str| Arc::from(prefix.fill(statement));
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
                 SELECT e.id, e.tenant, e.revision FROM waiting JOIN {p}endpoint AS e ON e.seq = waiting.endpoint \
                 WHERE e.disabled_code IS NULL AND e.hold_until <= ?1 \
                 AND EXISTS (SELECT 1 FROM {p}delivery AS d \
                             WHERE d.state = 0 AND d.endpoint = e.seq AND d.next_at <= ?1) \
                 LIMIT ?2",
            ),
            due: fill(
                "WITH open (seq) AS (SELECT seq FROM {p}endpoint \
                   WHERE id = ?1 AND disabled_code IS NULL AND hold_until <= ?2), \
                 again AS MATERIALIZED (SELECT seq, fence, attempts, next_at FROM {p}delivery \
                   WHERE state = 0 AND endpoint = (SELECT seq FROM open) AND next_at > 0 AND next_at <= ?2 \
                   ORDER BY next_at, seq LIMIT ?3), \
                 fresh AS MATERIALIZED (SELECT seq, fence, attempts, next_at FROM {p}delivery \
                   WHERE state = 0 AND endpoint = (SELECT seq FROM open) AND next_at = 0 \
                   ORDER BY seq LIMIT ?4 - (SELECT count(*) FROM again)) \
                 SELECT d.seq, d.fence + 1, d.attempts, m.id, m.content_type, m.payload, m.enqueued_at \
                 FROM (SELECT *, 0 AS lane FROM again UNION ALL SELECT *, 1 FROM fresh) AS d \
                 JOIN {p}message AS m ON m.seq = d.seq ORDER BY d.lane, d.next_at, d.seq",
            ),
            lease: fill(
                "UPDATE {p}delivery SET state = 1, worker = ?1, fence = fence + 1 \
                 WHERE state = 0 AND seq IN (SELECT value FROM json_each(?2))",
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
    ) -> Result<Vec<Ready>, OutboxError> {
        let statement = Arc::clone(&self.shared.statements.claim.ready);
        let rows: Vec<(String, String, i64)> = sqlx::query_as(AssertSqlSafe(statement))
            .bind(self.now_millis())
            .bind(sql_limit(limit))
            .bind(after.map(EndpointId::as_str))
            .fetch_all(connection)
            .await
            .map_err(database_error)?;
        rows.into_iter()
            .map(|(id, tenant, revision)| {
                Ok(Ready {
                    endpoint: EndpointId::parse(&id).map_err(|_| corrupt("endpoint.id"))?,
                    tenant: TenantId::new(tenant).map_err(|_| corrupt("endpoint.tenant"))?,
                    revision,
                })
            })
            .collect()
    }

    pub(super) async fn claim_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
        wants: &[Want],
    ) -> Result<Vec<Leased>, OutboxError> {
        let now = self.now_millis();
        let mut leased = Vec::new();
        // Claims are noted together; an endpoint wanted twice must see what it has been given before.
        let mut unnoted = Vec::new();
        let mut seen = HashSet::new();
        for want in wants {
            if !seen.insert(&want.endpoint) {
                self.lease_in(connection, worker, &mut unnoted).await?;
            }
            let rows = query(&self.shared.statements.claim.due)
                .bind(want.endpoint.as_str())
                .bind(now)
                .bind(sql_limit(want.limit.div_ceil(4)))
                .bind(sql_limit(want.limit))
                .fetch_all(&mut *connection)
                .await
                .map_err(database_error)?;
            for row in rows {
                let message = read_leased(&row, &want.endpoint)?;
                unnoted.push(message.token.sequence());
                leased.push(message);
            }
        }
        self.lease_in(connection, worker, &mut unnoted).await?;
        Ok(leased)
    }

    async fn lease_in(
        &self,
        connection: &mut SqliteConnection,
        worker: &Worker,
        sequences: &mut Vec<i64>,
    ) -> Result<(), OutboxError> {
        if sequences.is_empty() {
            return Ok(());
        }
        // The debug form of a list of numbers is its JSON.
        let json = format!("{:?}", std::mem::take(sequences));
        let lease = query(&self.shared.statements.claim.lease).bind(worker.id()).bind(json);
        lease.execute(connection).await.map(drop).map_err(database_error)
    }
}

fn read_leased(row: &SqliteRow, endpoint: &EndpointId) -> Result<Leased, OutboxError> {
    let id: &str = row.try_get(3).map_err(database_error)?;
    let content_type: &str = row.try_get(4).map_err(database_error)?;
    let payload: &[u8] = row.try_get(5).map_err(database_error)?;
    let attempts: i64 = row.try_get(2).map_err(database_error)?;
    Ok(Leased {
        token: LeaseToken::new(
            row.try_get(0).map_err(database_error)?,
            row.try_get(1).map_err(database_error)?,
        ),
        id: MessageId::parse(id).map_err(|_| corrupt("message.id"))?,
        endpoint: endpoint.clone(),
        payload: payload.into(),
        content_type: ContentType::parse(content_type).map_err(|_| corrupt("message.content_type"))?,
        attempts: u32::try_from(attempts).map_err(|_| corrupt("delivery.attempts"))?,
        enqueued_at: Timestamp::from_unix_millis(row.try_get(6).map_err(database_error)?),
    })
}
