//! What it costs to enqueue inside the caller's own transaction.

use std::time::Instant;

use compliance_core::clock::{Clock as _, SystemClock};
use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
use compliance_webhook::outbox::{EndpointBook, NewMessage, SqliteOutbox};
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey};
use sqlx::SqlitePool;
use tokio::runtime::Runtime;

use super::payload::payloads;
use crate::disk;
use crate::measure::{Effort, Failure, Measured, in_turns};

const BATCH: usize = 100;
const TRANSACTIONS: usize = 5;

/// The table somebody would make who writes the inserts by hand: one row per message with its state in it, an
/// unguessable id, and an index to find what is due.
const BARE_TABLE: &str = "
    CREATE TABLE bare_message (
        seq          INTEGER PRIMARY KEY,
        id           TEXT    NOT NULL UNIQUE,
        endpoint     TEXT    NOT NULL,
        tenant       TEXT    NOT NULL,
        content_type TEXT    NOT NULL,
        payload      BLOB    NOT NULL,
        enqueued_at  INTEGER NOT NULL,
        state        INTEGER NOT NULL DEFAULT 0,
        next_at      INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX bare_message_due ON bare_message (endpoint, next_at) WHERE state = 0;
";

const BARE_INSERT: &str = "INSERT INTO bare_message (id, endpoint, tenant, content_type, payload, enqueued_at) \
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Nanoseconds per message, commit included, in transactions of 100 on one connection to one database. Ours also
/// checks that the endpoint is the tenant's and that id and key are not used twice, and keeps what changes apart from
/// what does not.
pub(super) fn in_a_transaction(effort: Effort) -> Result<Measured, Failure> {
    let runtime = Runtime::new()?;
    let directory = disk::directory("enqueue")?;
    let options = durable_options(&directory.path().join("outbox.sqlite"));
    let (pool, outbox) = runtime.block_on(async {
        let pool = SqlitePool::connect_with(options).await?;
        let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await?;
        sqlx::raw_sql(BARE_TABLE).execute(&pool).await?;
        Ok::<_, Failure>((pool, outbox))
    })?;
    let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32])?);
    let book = EndpointBook::new(EndpointPolicy::new(), std::sync::Arc::new(keys));
    let tenant = TenantId::new("acme")?;
    let endpoint = book.policy().check("https://hooks.example.com/in")?;
    let key = SigningKey::from_bytes(&[7; 32])?;
    let endpoint = runtime.block_on(book.register(&outbox, &tenant, &endpoint, &key))?;
    let payloads = payloads(BATCH);

    let ours = async || -> Result<(), Failure> {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        for payload in &payloads {
            let message = NewMessage::impersonal(&tenant, &endpoint, payload.as_slice())?;
            drop(outbox.enqueue_in(&mut transaction, &message).await?);
        }
        Ok(transaction.commit().await?)
    };
    let bare = async || -> Result<(), Failure> {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        for payload in &payloads {
            sqlx::query(BARE_INSERT)
                .bind(MessageId::generate(&SystemRandom)?.as_str())
                .bind(endpoint.as_str())
                .bind(tenant.as_str())
                .bind("application/json")
                .bind(payload.as_slice())
                .bind(SystemClock.now().as_unix_millis())
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    };
    // A disk has good and bad seconds.
    in_turns(effort.rounds * 3, || per_message(&runtime, &ours), || per_message(&runtime, &bare))
}

fn per_message(runtime: &Runtime, enqueue: &impl AsyncFn() -> Result<(), Failure>) -> Result<f64, Failure> {
    runtime.block_on(async {
        let started = Instant::now();
        for _ in 0..TRANSACTIONS {
            enqueue().await?;
        }
        Ok(started.elapsed().as_secs_f64() * 1e9 / (BATCH * TRANSACTIONS) as f64)
    })
}
