//! Consents that came by callback, in the table `…consent`.

use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::Arc;

use compliance_core::clock::Timestamp;
use sqlx::{AssertSqlSafe, Database, Encode, Executor, FromRow, IntoArguments, Pool, Type};

use super::{Engine, TablePrefix};
use crate::handshake::{AllowedRate, ConsentGrant, ConsentStoreError, EndpointDigest};

#[derive(Debug)]
pub(in crate::outbox) struct Consents<DB> {
    grant: Arc<str>,
    granted: Arc<str>,
    of: PhantomData<fn() -> DB>,
}

/// Requests a minute or null for any number, the callback's time, until when.
type Row = (Option<i64>, i64, i64);

impl<DB: Engine> Consents<DB>
where
    for<'c> &'c mut <DB as Database>::Connection: Executor<'c, Database = DB>,
    DB::Arguments: IntoArguments<DB>,
    for<'q> Vec<u8>: Encode<'q, DB> + Type<DB>,
    for<'q> i64: Encode<'q, DB> + Type<DB>,
    for<'q> Option<i64>: Encode<'q, DB> + Type<DB>,
    for<'r> Row: FromRow<'r, DB::Row> + Send + Unpin,
{
    pub(in crate::outbox) fn new(prefix: TablePrefix) -> Self {
        let grant = "INSERT INTO {p}consent (endpoint, rate, callback, until) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (endpoint) DO UPDATE \
                     SET rate = excluded.rate, callback = excluded.callback, until = excluded.until \
                     WHERE {p}consent.callback < excluded.callback";
        let granted = "SELECT rate, callback, until FROM {p}consent WHERE endpoint = $1";
        Self { grant: prefix.fill(grant).into(), granted: prefix.fill(granted).into(), of: PhantomData }
    }

    pub(in crate::outbox) async fn grant(
        &self,
        pool: &Pool<DB>,
        grant: &ConsentGrant,
    ) -> Result<bool, ConsentStoreError> {
        let rate = match grant.rate() {
            AllowedRate::PerMinute(rate) => Some(i64::from(rate.get())),
            AllowedRate::Unlimited => None,
        };
        let done = sqlx::query(AssertSqlSafe(Arc::clone(&self.grant)))
            .bind(grant.endpoint().as_bytes().to_vec())
            .bind(rate)
            .bind(grant.callback().as_unix_millis())
            .bind(grant.until().as_unix_millis())
            .execute(pool)
            .await
            .map_err(|_| ConsentStoreError::new())?;
        Ok(DB::affected(&done) > 0)
    }

    pub(in crate::outbox) async fn granted(
        &self,
        pool: &Pool<DB>,
        endpoint: EndpointDigest,
    ) -> Result<Option<ConsentGrant>, ConsentStoreError> {
        let row: Option<Row> = sqlx::query_as(AssertSqlSafe(Arc::clone(&self.granted)))
            .bind(endpoint.as_bytes().to_vec())
            .fetch_optional(pool)
            .await
            .map_err(|_| ConsentStoreError::new())?;
        let Some((rate, callback, until)) = row else { return Ok(None) };
        let rate = match rate {
            None => AllowedRate::Unlimited,
            // A rate nobody wrote is no consent.
            Some(rate) => {
                let rate = u32::try_from(rate).ok().and_then(NonZeroU32::new);
                AllowedRate::PerMinute(rate.ok_or(ConsentStoreError::new())?)
            }
        };
        let at = Timestamp::from_unix_millis;
        Ok(Some(ConsentGrant::from_stored(endpoint, rate, at(callback), at(until))))
    }
}
