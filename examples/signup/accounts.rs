//! Where accounts are kept. Creating one takes the proofs of the checks before it.

use std::sync::Arc;

use compliance_auth::password::PasswordHash;
use compliance_core::class::Personal;
use compliance_core::clock::Clock;
use compliance_core::event::{Actor, Durability, Event, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, TenantId};
use compliance_core::{purpose, reason_code};
use compliance_geo::embargo::ServablePlace;
use compliance_webhook::outbox::{EndpointId, NewMessage, SqliteOutbox};
use sqlx::SqlitePool;

/// The accounts of one tenant.
pub(crate) struct Accounts {
    pub(crate) pool: SqlitePool,
    pub(crate) outbox: SqliteOutbox,
    pub(crate) trail: Arc<dyn Sink>,
    /// What a receipt must say.
    pub(crate) least: Durability,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tenant: TenantId,
    pub(crate) endpoint: EndpointId,
}

/// Why there is no account.
#[derive(Debug)]
pub(crate) enum AccountError {
    /// There is one with this address. The visitor is not told.
    AlreadyRegistered,
    /// The check of the place is too long ago.
    PlaceLapsed,
    /// Store or trail failed: nothing was created.
    Unavailable,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS account (
        id TEXT PRIMARY KEY,
        email TEXT NOT NULL UNIQUE COLLATE NOCASE,
        password_hash TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS customer_endpoint (id TEXT PRIMARY KEY) STRICT";

impl Accounts {
    pub(crate) async fn migrate(pool: &SqlitePool) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(SCHEMA).execute(pool).await.map(drop)
    }

    /// Creates an account and its webhook, which commit together, after their audit record is on disk.
    ///
    /// `created` is that record. When the trail cannot take it, there is no account. When the commit fails, the trail
    /// says so in a second record; only a crash in between leaves a record for an account that is not there, never
    /// the other way round.
    pub(crate) async fn create(
        &self,
        place: &ServablePlace,
        id: &ActorId,
        email: &Personal<String>,
        password: &PasswordHash,
        created: Event,
    ) -> Result<(), AccountError> {
        let now = self.clock.now();
        place.in_force(now).map_err(|_| AccountError::PlaceLapsed)?;

        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let inserted = sqlx::query(
            "INSERT INTO account (id, email, password_hash, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(id.as_str())
        .bind(email.disclose(&purpose!("account.contact")))
        .bind(password.as_str())
        .bind(now.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        if inserted.rows_affected() == 0 {
            return Err(AccountError::AlreadyRegistered);
        }

        // A thin message: the customer asks for more if they may know more.
        let payload =
            format!(r#"{{"type":"account.created","timestamp":"{now}","data":{{"account":"{id}"}}}}"#);
        let message =
            NewMessage::impersonal(&self.tenant, &self.endpoint, payload.as_bytes()).map_err(failed)?;
        let message = self.outbox.enqueue_in(&mut transaction, &message).await.map_err(failed)?;

        let receipt = self.trail.record(created.clone()).await.map_err(failed)?;
        receipt.redeem(&created, self.least).map_err(failed)?;

        if let Err(error) = transaction.commit().await {
            self.record_not_committed(id).await;
            return Err(failed(error));
        }
        // It only wakes the dispatcher, which looks by itself a moment later anyway.
        if let Err(error) = self.outbox.confirm(message).await {
            tracing::warn!(code = error.code(), "the dispatcher was not woken");
        }
        Ok(())
    }

    async fn record_not_committed(&self, id: &ActorId) {
        let event = Event::builder(
            EventKind::AccountCreated,
            Outcome::Refused,
            Actor::Person(id.clone()),
            self.clock.now(),
        )
        .tenant(self.tenant.clone())
        .reason(reason_code!("signup.not_committed"))
        .build();
        if let Ok(event) = event
            && let Err(error) = self.trail.record(event).await
        {
            tracing::error!(code = error.code(), "the trail has a record too many");
        }
    }
}

/// The visitor learns that it did not work, the operator why.
fn failed(error: impl std::error::Error) -> AccountError {
    tracing::error!(%error, "sign-up failed");
    AccountError::Unavailable
}
