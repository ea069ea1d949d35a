//! Endpoints, dead letters, replay, retention, counts.

use std::sync::Arc;

use compliance_core::clock::Timestamp;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::{SqliteOutbox, TablePrefix, database_error, query};
use crate::handshake::Ownership;
use crate::outbox::sql::{
    ENDPOINT_COLUMNS, EndpointRow, HAS_PAYLOAD, StatusRow, ceil_millis, counts, delivery_status,
    disabled_code, endpoint_record, millis, sql_limit, stored_events, stored_instruction, stored_key_id,
    stored_rate, unreadable_id,
};
use crate::outbox::{
    Counts, DeadLetter, DeliveryState, DeliveryStatus, EndpointId, EndpointRecord, OutboxError,
    OutboxErrorKind, Replay, Retention,
};
use crate::sign::MessageId;

#[derive(Debug)]
pub(super) struct ReadStatements {
    insert_endpoint: Arc<str>,
    update_endpoint: Arc<str>,
    endpoint: Arc<str>,
    dead_letters: Arc<str>,
    delivery: Arc<str>,
    pending: Arc<str>,
    leased: Arc<str>,
    delivered: Arc<str>,
    dead: Arc<str>,
    replay_message: Arc<str>,
    replay_settled: Arc<str>,
    purge: Arc<str>,
    counts: Arc<str>,
}

/// What [`delivery_status`] takes, for delivery `d` and its message `m` to endpoint ?1.
const STATUS: &str = "SELECT CAST(m.id AS BLOB), d.seq, d.state, d.attempts, m.enqueued_at, d.next_at, d.settled_at, d.last_status, \
     d.last_code, d.excerpt \
     FROM {p}delivery AS d LEFT JOIN {p}message AS m ON m.seq = d.seq \
     WHERE d.endpoint = (SELECT seq FROM {p}endpoint WHERE id = ?1)";

impl ReadStatements {
    pub(super) fn new(prefix: TablePrefix) -> Self {
        let fill = |statement: &str| Arc::from(prefix.fill(&statement.replace("{has_payload}", HAS_PAYLOAD)));
        Self {
            insert_endpoint: fill(
                "INSERT INTO {p}endpoint \
                 (id, tenant, url, sealed_keys, disabled_code, failing_since, revision, rate, \
                  classes, purpose, recipient, instructed_by, instructed_at, signature_key_id, events, owned_at, owned_proof) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) ON CONFLICT DO NOTHING",
            ),
            update_endpoint: fill(
                "UPDATE {p}endpoint SET url = ?3, sealed_keys = ?4, disabled_code = ?5, failing_since = ?6, \
                 revision = ?7, rate = ?8, classes = ?9, purpose = ?10, recipient = ?11, \
                 instructed_by = ?12, instructed_at = ?13, signature_key_id = ?14, events = ?15, \
                 owned_at = ?16, owned_proof = ?17, \
                 hold_since = 0, hold_until = 0 WHERE id = ?1 AND tenant = ?2 AND revision = ?7 - 1",
            ),
            endpoint: fill(&format!("SELECT {ENDPOINT_COLUMNS} FROM {{p}}endpoint WHERE id = ?")),
            dead_letters: fill(
                "SELECT d.seq, m.id, d.attempts, d.last_status, coalesce(d.last_code, ''), coalesce(d.settled_at, 0) \
                 FROM {p}delivery AS d LEFT JOIN {p}message AS m ON m.seq = d.seq \
                 WHERE d.state = 3 AND d.endpoint = (SELECT seq FROM {p}endpoint WHERE id = ?1) \
                 ORDER BY d.settled_at DESC, d.seq DESC LIMIT ?2",
            ),
            delivery: fill(&format!(
                "{STATUS} AND d.seq = (SELECT n.seq FROM {{p}}message AS n JOIN {{p}}endpoint AS e ON e.seq = n.endpoint \
                 WHERE n.id = ?2 AND e.id = ?1)"
            )),
            pending: fill(&format!("{STATUS} AND d.state = 0 ORDER BY d.next_at, d.seq LIMIT ?2")),
            leased: fill(&format!("{STATUS} AND d.state = 1 ORDER BY d.seq LIMIT ?2")),
            delivered: fill(&format!(
                "{STATUS} AND d.state = 2 ORDER BY d.settled_at DESC, d.seq DESC LIMIT ?2"
            )),
            dead: fill(&format!("{STATUS} AND d.state = 3 ORDER BY d.settled_at DESC, d.seq DESC LIMIT ?2")),
            replay_message: fill(
                "UPDATE {p}delivery SET state = 0, next_at = 0, attempts = 0, settled_at = NULL \
                 WHERE state >= 2 AND seq = (SELECT m.seq FROM {p}message AS m \
                 JOIN {p}endpoint AS e ON e.seq = m.endpoint WHERE e.id = ?1 AND m.id = ?2) \
                 AND {has_payload}",
            ),
            replay_settled: fill(
                "UPDATE {p}delivery SET state = 0, next_at = 0, attempts = 0, settled_at = NULL \
                 WHERE state >= ?4 AND state >= 2 AND settled_at >= ?2 AND settled_at < ?3 \
                 AND endpoint = (SELECT seq FROM {p}endpoint WHERE id = ?1) AND {has_payload}",
            ),
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
            counts: fill("SELECT state, count(*) FROM {p}delivery GROUP BY state"),
        }
    }
}

impl SqliteOutbox {
    fn read_statements(&self) -> &ReadStatements {
        &self.shared.statements.read
    }

    pub(super) async fn save_endpoint_in(
        &self,
        connection: &mut SqliteConnection,
        record: &EndpointRecord,
    ) -> Result<(), OutboxError> {
        let statements = self.read_statements();
        let is_new = record.revision() == 1;
        let statement = if is_new { &statements.insert_endpoint } else { &statements.update_endpoint };
        let (classes, purpose, recipient, by, at) = stored_instruction(record);
        let done = query(statement)
            .bind(record.id().as_str())
            .bind(record.tenant().as_str())
            .bind(record.url())
            .bind(record.sealed_keys())
            .bind(disabled_code(record.state()))
            .bind(record.failing_since().map(Timestamp::as_unix_millis))
            .bind(record.revision())
            .bind(stored_rate(record))
            .bind(classes)
            .bind(purpose)
            .bind(recipient)
            .bind(by)
            .bind(at)
            .bind(stored_key_id(record))
            .bind(stored_events(record.profile().events))
            .bind(record.ownership().map(|ownership| ownership.answered().as_unix_millis()))
            .bind(record.ownership().map(Ownership::proof))
            .execute(connection)
            .await
            .map_err(database_error)?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(OutboxErrorKind::EndpointUnknown.into()) }
    }

    pub(super) async fn endpoint_in(
        &self,
        connection: &mut SqliteConnection,
        id: &EndpointId,
    ) -> Result<Option<EndpointRecord>, OutboxError> {
        let row: Option<EndpointRow> =
            sqlx::query_as(AssertSqlSafe(Arc::clone(&self.read_statements().endpoint)))
                .bind(id.as_str())
                .fetch_optional(connection)
                .await
                .map_err(database_error)?;
        row.map(|row| endpoint_record(id, row)).transpose()
    }

    pub(super) async fn dead_letters_in(
        &self,
        connection: &mut SqliteConnection,
        endpoint: &EndpointId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, OutboxError> {
        let rows = query(&self.read_statements().dead_letters)
            .bind(endpoint.as_str().to_owned())
            .bind(sql_limit(limit))
            .fetch_all(connection)
            .await
            .map_err(database_error)?;
        rows.iter()
            .map(|row| {
                let number = |column: usize| row.try_get::<i64, _>(column).map_err(database_error);
                let last_status: Option<i64> = row.try_get(3).map_err(database_error)?;
                let last_code: &str = row.try_get(4).map_err(database_error)?;
                let readable = row.try_get::<&str, _>(1).ok().and_then(|id| MessageId::parse(id).ok());
                let id = match readable {
                    Some(id) => id,
                    None => unreadable_id(number(0)?)?,
                };
                Ok(DeadLetter {
                    id,
                    endpoint: endpoint.clone(),
                    attempts: u32::try_from(number(2)?).unwrap_or(u32::MAX),
                    last_status: last_status.and_then(|status| u16::try_from(status).ok()),
                    last_code: last_code.into(),
                    died_at: Timestamp::from_unix_millis(number(5)?),
                })
            })
            .collect()
    }

    pub(super) async fn delivery_in(
        &self,
        connection: &mut SqliteConnection,
        endpoint: &EndpointId,
        id: &MessageId,
    ) -> Result<Option<DeliveryStatus>, OutboxError> {
        let row: Option<StatusRow> =
            sqlx::query_as(AssertSqlSafe(Arc::clone(&self.read_statements().delivery)))
                .bind(endpoint.as_str())
                .bind(id.as_str())
                .fetch_optional(connection)
                .await
                .map_err(database_error)?;
        row.map(delivery_status).transpose()
    }

    pub(super) async fn deliveries_in(
        &self,
        connection: &mut SqliteConnection,
        endpoint: &EndpointId,
        state: DeliveryState,
        limit: usize,
    ) -> Result<Vec<DeliveryStatus>, OutboxError> {
        let statements = self.read_statements();
        let statement = match state {
            DeliveryState::Dead => &statements.dead,
            DeliveryState::Delivered => &statements.delivered,
            DeliveryState::Leased => &statements.leased,
            DeliveryState::Pending => &statements.pending,
        };
        let rows: Vec<StatusRow> = sqlx::query_as(AssertSqlSafe(Arc::clone(statement)))
            .bind(endpoint.as_str())
            .bind(sql_limit(limit))
            .fetch_all(connection)
            .await
            .map_err(database_error)?;
        rows.into_iter().map(delivery_status).collect()
    }

    pub(super) async fn replay_in(
        &self,
        connection: &mut SqliteConnection,
        replay: &Replay,
    ) -> Result<u64, OutboxError> {
        let statements = self.read_statements();
        let range = |endpoint: &EndpointId, from: Timestamp, until: Timestamp, least_state: i64| {
            query(&statements.replay_settled)
                .bind(endpoint.as_str().to_owned())
                .bind(ceil_millis(from))
                .bind(ceil_millis(until))
                .bind(least_state)
        };
        let statement = match replay {
            Replay::Message { endpoint, id } => query(&statements.replay_message)
                .bind(endpoint.as_str().to_owned())
                .bind(id.as_str().to_owned()),
            Replay::Dead { endpoint, from, until } => range(endpoint, *from, *until, 3),
            Replay::Settled { endpoint, from, until } => range(endpoint, *from, *until, 2),
        };
        Ok(statement.execute(connection).await.map_err(database_error)?.rows_affected())
    }

    pub(super) async fn purge_in(
        &self,
        connection: &mut SqliteConnection,
        retention: &Retention,
        limit: usize,
    ) -> Result<u64, OutboxError> {
        let now = self.now_millis();
        let done = query(&self.read_statements().purge)
            .bind(now.saturating_sub(millis(retention.delivered)))
            .bind(now.saturating_sub(millis(retention.dead)))
            .bind(sql_limit(limit))
            .bind(now.saturating_sub(millis(retention.disabled)))
            .execute(connection)
            .await
            .map_err(database_error)?;
        Ok(done.rows_affected())
    }

    pub(super) async fn counts_in(&self, connection: &mut SqliteConnection) -> Result<Counts, OutboxError> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.read_statements().counts)))
            .fetch_all(connection)
            .await
            .map_err(database_error)?;
        counts(rows)
    }
}
