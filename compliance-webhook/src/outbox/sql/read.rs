//! Endpoints, what became of messages, replay, counts: the same statements for every database.

use std::marker::PhantomData;
use std::sync::Arc;

use compliance_core::clock::Timestamp;
use sqlx::query::{Query, QueryAs};
use sqlx::{AssertSqlSafe, Database, Encode, Executor, FromRow, IntoArguments, Type};

use super::{
    ENDPOINT_COLUMNS, EndpointRow, Engine, HAS_PAYLOAD, LetterRow, StatusRow, TablePrefix, ceil_millis,
    counts, dead_letter, delivery_status, disabled_code, endpoint_record, sql_limit, stored_events,
    stored_instruction, stored_key_id, stored_rate,
};
use crate::handshake::Ownership;
use crate::outbox::{
    Counts, DeadLetter, DeliveryState, DeliveryStatus, EndpointId, EndpointRecord, OutboxError,
    OutboxErrorKind, Replay,
};
use crate::sign::MessageId;

#[derive(Debug)]
pub(in crate::outbox) struct Reads<DB> {
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
    counts: Arc<str>,
    of: PhantomData<fn() -> DB>,
}

/// What [`delivery_status`] takes, for delivery `d` and its message `m` to endpoint $1.
const STATUS: &str = "SELECT {id}, d.seq, CAST(d.state AS BIGINT), d.attempts, m.enqueued_at, d.next_at, \
     d.settled_at, CAST(d.last_status AS BIGINT), d.last_code, d.excerpt \
     FROM {p}delivery AS d LEFT JOIN {p}message AS m ON m.seq = d.seq \
     WHERE d.endpoint = (SELECT seq FROM {p}endpoint WHERE id = $1)";

impl<DB: Engine> Reads<DB>
where
    for<'c> &'c mut <DB as Database>::Connection: Executor<'c, Database = DB>,
    DB::Arguments: IntoArguments<DB>,
    for<'q> &'q str: Encode<'q, DB> + Type<DB>,
    for<'q> Option<&'q str>: Encode<'q, DB> + Type<DB>,
    for<'q> &'q [u8]: Encode<'q, DB> + Type<DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Option<i64>: Encode<'q, DB> + Type<DB>,
    for<'r> EndpointRow: FromRow<'r, DB::Row> + Send + Unpin,
    for<'r> StatusRow: FromRow<'r, DB::Row> + Send + Unpin,
    for<'r> LetterRow: FromRow<'r, DB::Row> + Send + Unpin,
    for<'r> (i64, i64): FromRow<'r, DB::Row> + Send + Unpin,
{
    pub(in crate::outbox) fn new(prefix: TablePrefix) -> Self {
        let fill = |statement: &str| Arc::from(prefix.fill(&statement.replace("{has_payload}", HAS_PAYLOAD)));
        let status = |rest: &str| {
            Arc::from(prefix.fill(&format!("{STATUS} AND {rest}").replace("{id}", DB::ID_BYTES)))
        };
        Self {
            insert_endpoint: fill(
                "INSERT INTO {p}endpoint \
                 (id, tenant, url, sealed_keys, disabled_code, failing_since, revision, rate, \
                  classes, purpose, recipient, instructed_by, instructed_at, signature_key_id, events, \
                  owned_at, owned_proof) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
                 ON CONFLICT DO NOTHING",
            ),
            update_endpoint: fill(
                "UPDATE {p}endpoint SET url = $3, sealed_keys = $4, disabled_code = $5, failing_since = $6, \
                 revision = $7, rate = $8, classes = $9, purpose = $10, recipient = $11, \
                 instructed_by = $12, instructed_at = $13, signature_key_id = $14, events = $15, \
                 owned_at = $16, owned_proof = $17, hold_since = 0, hold_until = 0 \
                 WHERE id = $1 AND tenant = $2 AND revision = $7 - 1",
            ),
            endpoint: fill(&format!("SELECT {ENDPOINT_COLUMNS} FROM {{p}}endpoint WHERE id = $1")),
            // Nothing that stands behind the payload: its pages may be what killed the message.
            dead_letters: fill(&format!(
                "SELECT {}, d.seq, d.attempts, CAST(d.last_status AS BIGINT), d.last_code, d.settled_at \
                 FROM {{p}}delivery AS d LEFT JOIN {{p}}message AS m ON m.seq = d.seq \
                 WHERE d.state = 3 AND d.endpoint = (SELECT seq FROM {{p}}endpoint WHERE id = $1) \
                 ORDER BY d.settled_at DESC, d.seq DESC LIMIT $2",
                DB::ID_BYTES
            )),
            delivery: status(
                "d.seq = (SELECT n.seq FROM {p}message AS n JOIN {p}endpoint AS e ON e.seq = n.endpoint \
                 WHERE n.id = $2 AND e.id = $1)",
            ),
            pending: status("d.state = 0 ORDER BY d.next_at, d.seq LIMIT $2"),
            leased: status("d.state = 1 ORDER BY d.seq LIMIT $2"),
            delivered: status("d.state = 2 ORDER BY d.settled_at DESC, d.seq DESC LIMIT $2"),
            dead: status("d.state = 3 ORDER BY d.settled_at DESC, d.seq DESC LIMIT $2"),
            replay_message: fill(
                "UPDATE {p}delivery SET state = 0, next_at = 0, attempts = 0, settled_at = NULL \
                 WHERE state >= 2 AND seq = (SELECT m.seq FROM {p}message AS m \
                 JOIN {p}endpoint AS e ON e.seq = m.endpoint WHERE e.id = $1 AND m.id = $2) AND {has_payload}",
            ),
            replay_settled: fill(
                "UPDATE {p}delivery SET state = 0, next_at = 0, attempts = 0, settled_at = NULL \
                 WHERE state >= $4 AND state >= 2 AND settled_at >= $2 AND settled_at < $3 \
                 AND endpoint = (SELECT seq FROM {p}endpoint WHERE id = $1) AND {has_payload}",
            ),
            counts: fill("SELECT CAST(state AS BIGINT), count(*) FROM {p}delivery GROUP BY state"),
            of: PhantomData,
        }
    }

    pub(in crate::outbox) async fn save_endpoint(
        &self,
        connection: &mut DB::Connection,
        record: &EndpointRecord,
    ) -> Result<(), OutboxError> {
        let is_new = record.revision() == 1;
        let statement = if is_new { &self.insert_endpoint } else { &self.update_endpoint };
        let (classes, purpose, recipient, by, at) = stored_instruction(record);
        let done = query::<DB>(statement)
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
            .map_err(DB::failed)?;
        if DB::affected(&done) == 1 { Ok(()) } else { Err(OutboxErrorKind::EndpointUnknown.into()) }
    }

    pub(in crate::outbox) async fn endpoint(
        &self,
        connection: &mut DB::Connection,
        id: &EndpointId,
    ) -> Result<Option<EndpointRecord>, OutboxError> {
        let row = query_as::<DB, EndpointRow>(&self.endpoint).bind(id.as_str());
        let row = row.fetch_optional(connection).await.map_err(DB::failed)?;
        row.map(|row| endpoint_record(id, row)).transpose()
    }

    pub(in crate::outbox) async fn dead_letters(
        &self,
        connection: &mut DB::Connection,
        endpoint: &EndpointId,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, OutboxError> {
        let rows =
            query_as::<DB, LetterRow>(&self.dead_letters).bind(endpoint.as_str()).bind(sql_limit(limit));
        let rows = rows.fetch_all(connection).await.map_err(DB::failed)?;
        rows.into_iter().map(|row| dead_letter(endpoint, row)).collect()
    }

    pub(in crate::outbox) async fn delivery(
        &self,
        connection: &mut DB::Connection,
        endpoint: &EndpointId,
        id: &MessageId,
    ) -> Result<Option<DeliveryStatus>, OutboxError> {
        let row = query_as::<DB, StatusRow>(&self.delivery).bind(endpoint.as_str()).bind(id.as_str());
        row.fetch_optional(connection).await.map_err(DB::failed)?.map(delivery_status).transpose()
    }

    pub(in crate::outbox) async fn deliveries(
        &self,
        connection: &mut DB::Connection,
        endpoint: &EndpointId,
        state: DeliveryState,
        limit: usize,
    ) -> Result<Vec<DeliveryStatus>, OutboxError> {
        let statement = match state {
            DeliveryState::Dead => &self.dead,
            DeliveryState::Delivered => &self.delivered,
            DeliveryState::Leased => &self.leased,
            DeliveryState::Pending => &self.pending,
        };
        let rows = query_as::<DB, StatusRow>(statement).bind(endpoint.as_str()).bind(sql_limit(limit));
        let rows = rows.fetch_all(connection).await.map_err(DB::failed)?;
        rows.into_iter().map(delivery_status).collect()
    }

    pub(in crate::outbox) async fn replay(
        &self,
        connection: &mut DB::Connection,
        replay: &Replay,
    ) -> Result<u64, OutboxError> {
        let range = |endpoint: &EndpointId, from: Timestamp, until: Timestamp, least_state: i64| {
            let settled = query::<DB>(&self.replay_settled).bind(endpoint.as_str());
            settled.bind(ceil_millis(from)).bind(ceil_millis(until)).bind(least_state)
        };
        let statement = match replay {
            Replay::Message { endpoint, id } => {
                query::<DB>(&self.replay_message).bind(endpoint.as_str()).bind(id.as_str())
            }
            Replay::Dead { endpoint, from, until } => range(endpoint, *from, *until, 3),
            Replay::Settled { endpoint, from, until } => range(endpoint, *from, *until, 2),
        };
        Ok(DB::affected(&statement.execute(connection).await.map_err(DB::failed)?))
    }

    pub(in crate::outbox) async fn counts(
        &self,
        connection: &mut DB::Connection,
    ) -> Result<Counts, OutboxError> {
        let rows = query_as::<DB, (i64, i64)>(&self.counts).fetch_all(connection);
        counts(rows.await.map_err(DB::failed)?)
    }
}

/// The only parts that are not literals are prefixes checked by [`TablePrefix`].
fn query<DB: Database>(statement: &Arc<str>) -> Query<'static, DB, DB::Arguments> {
    sqlx::query(AssertSqlSafe(Arc::clone(statement)))
}

/// As [`query`].
fn query_as<DB, O>(statement: &Arc<str>) -> QueryAs<'static, DB, O, DB::Arguments>
where
    DB: Database,
    O: for<'r> FromRow<'r, DB::Row>,
{
    sqlx::query_as(AssertSqlSafe(Arc::clone(statement)))
}
