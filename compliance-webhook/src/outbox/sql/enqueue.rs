//! Messages written inside the caller's transaction: the same for every database but for the insert.

use std::marker::PhantomData;
use std::sync::Arc;

use compliance_core::class::Purpose;
use compliance_core::finding::Enforcement;
use compliance_core::random::SecureRandom;
use sqlx::{AssertSqlSafe, Database, Encode, Executor, FromRow, IntoArguments, Type};

use super::{EndpointRow, Engine, LetterRow, Reads, StatusRow, TablePrefix, corrupt};
use crate::outbox::{EndpointId, NewMessage, OutboxError, OutboxErrorKind, Uncommitted};
use crate::sign::MessageId;

#[derive(Debug)]
pub(in crate::outbox) struct Enqueues<DB> {
    insert: Arc<str>,
    known: Arc<str>,
    committed: Arc<str>,
    enforcement: Enforcement,
    random: Arc<dyn SecureRandom>,
    of: PhantomData<fn() -> DB>,
}

impl<DB: Engine> Enqueues<DB>
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
    for<'r> (String, bool): FromRow<'r, DB::Row> + Send + Unpin,
    for<'r> (bool,): FromRow<'r, DB::Row> + Send + Unpin,
{
    /// `insert` takes the parameters of the published statement.
    pub(in crate::outbox) fn new(
        prefix: TablePrefix,
        insert: String,
        enforcement: Enforcement,
        random: Arc<dyn SecureRandom>,
    ) -> Self {
        let fill = |statement: &str| Arc::from(prefix.fill(statement));
        Self {
            insert: insert.into(),
            known: fill(
                "SELECT m.id, (m.payload = $4 OR (m.sealed = 1 AND $6 = 1)) AND m.content_type = $5 \
                 FROM {p}message AS m JOIN {p}endpoint AS e ON e.seq = m.endpoint \
                 WHERE e.id = $1 AND (m.id = $2 OR m.idempotency_key = $3) ORDER BY m.seq LIMIT 1",
            ),
            committed: fill(
                "SELECT EXISTS (SELECT 1 FROM {p}message AS m JOIN {p}endpoint AS e ON e.seq = m.endpoint \
                 WHERE m.id = $1 AND e.id = $2)",
            ),
            enforcement,
            random,
            of: PhantomData,
        }
    }

    /// Writes a message, dated `now` or as the database has it.
    pub(in crate::outbox) async fn enqueue(
        &self,
        connection: &mut DB::Connection,
        message: &NewMessage,
        now: Option<i64>,
        read: &Reads<DB>,
    ) -> Result<Uncommitted<MessageId>, OutboxError> {
        message.check_seal()?;
        let id = match message.id() {
            Some(id) => id.clone(),
            None => MessageId::generate(&self.random).map_err(|_| OutboxErrorKind::Random)?,
        };
        let inserted = sqlx::query::<DB>(AssertSqlSafe(Arc::clone(&self.insert)))
            .bind(id.as_str())
            .bind(message.endpoint().as_str())
            .bind(message.tenant().as_str())
            .bind(message.idempotency_key())
            .bind(message.content_type().as_str())
            .bind(message.payload())
            .bind(now)
            .bind(message.ordering_key())
            .bind(i64::from(message.classes().bits()))
            .bind(message.purpose().map(Purpose::as_str))
            .bind(i64::from(message.is_sealed()))
            .execute(&mut *connection)
            .await
            .map_err(DB::failed)?;
        if DB::affected(&inserted) > 0 {
            return Ok(Uncommitted::new(id, message.endpoint()));
        }
        let known = self.known(connection, message, &id, read).await?;
        Ok(Uncommitted::new(known, message.endpoint()))
    }

    /// The message that stands in the way of an insert.
    async fn known(
        &self,
        connection: &mut DB::Connection,
        message: &NewMessage,
        id: &MessageId,
        read: &Reads<DB>,
    ) -> Result<MessageId, OutboxError> {
        let endpoint = read.endpoint(connection, message.endpoint()).await?;
        let Some(endpoint) = endpoint.filter(|endpoint| endpoint.tenant() == message.tenant()) else {
            return Err(OutboxErrorKind::EndpointUnknown.into());
        };
        endpoint.check_instruction(message, self.enforcement)?;
        let known: Option<(String, bool)> = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.known)))
            .bind(message.endpoint().as_str())
            .bind(id.as_str())
            .bind(message.idempotency_key())
            .bind(message.payload())
            .bind(message.content_type().as_str())
            .bind(i64::from(message.is_sealed()))
            .fetch_optional(connection)
            .await
            .map_err(DB::failed)?;
        match known {
            Some((id, true)) => MessageId::parse(&id).map_err(|_| corrupt("id")),
            _ => Err(OutboxErrorKind::IdempotencyConflict.into()),
        }
    }

    /// `outbox.not_committed` unless the message is in the database.
    pub(in crate::outbox) async fn check_committed(
        &self,
        connection: &mut DB::Connection,
        id: &MessageId,
        endpoint: &EndpointId,
    ) -> Result<(), OutboxError> {
        let (found,): (bool,) = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.committed)))
            .bind(id.as_str())
            .bind(endpoint.as_str())
            .fetch_one(connection)
            .await
            .map_err(DB::failed)?;
        if found { Ok(()) } else { Err(OutboxErrorKind::NotCommitted.into()) }
    }
}
