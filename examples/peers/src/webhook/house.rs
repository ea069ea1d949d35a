//! A sender: outbox, endpoints and transport, all as they are by default, but for endpoints on this machine and their
//! authority. `localhost` and the names below it are resolved without asking anybody.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock as _, SystemClock};
use compliance_core::finding::RiskAcceptance;
use compliance_core::id::TenantId;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::{Deliver, HttpsTransport, TlsRoots};
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
use compliance_webhook::outbox::{
    Dispatcher, EndpointBook, EndpointId, NewMessage, SqliteOutbox, Uncommitted,
};
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey};
use sqlx::SqlitePool;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::receiver::Receiver;
use crate::disk;
use crate::measure::Failure;

/// Messages per transaction while a backlog is built.
const PER_TRANSACTION: usize = 500;

pub(super) struct House {
    pub(super) transport: Arc<HttpsTransport>,
    pub(super) runtime: Runtime,
    outbox: SqliteOutbox,
    endpoints: Vec<EndpointId>,
    pool: SqlitePool,
    book: EndpointBook,
    tenant: TenantId,
    _directory: TempDir,
}

impl House {
    /// `endpoints` are hosts and paths of the receiver.
    pub(super) fn open(receiver: &Receiver, endpoints: &[(String, &str)]) -> Result<Self, Failure> {
        let directory = disk::directory("outbox")?;
        let runtime = Runtime::new()?;
        let roots = TlsRoots::none().with_pem(&receiver.ca)?;
        let transport = HttpsTransport::builder(Arc::new(SystemClock)).with_roots(roots).build()?;
        let until = SystemClock.now().saturating_add(Duration::from_secs(24 * 60 * 60));
        let accepted =
            RiskAcceptance::new("bench", "the receiver is another process on this machine", until)?;
        let policy = EndpointPolicy::new().with_ports(&[receiver.port])?.dangerous(accepted).allow_loopback();
        let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32])?);
        let book = EndpointBook::new(policy.build(), Arc::new(keys));
        let tenant = TenantId::new("acme")?;
        let (pool, outbox, endpoints) = runtime.block_on(async {
            let file = directory.path().join("outbox.sqlite");
            let pool = SqlitePool::connect_with(durable_options(&file)).await?;
            let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await?;
            let mut ids = Vec::new();
            for (host, path) in endpoints {
                let url = format!("https://{host}:{}{path}", receiver.port);
                let endpoint = book.policy().check_at(&url, SystemClock.now())?;
                let key = SigningKey::from_bytes(&[7; 32])?;
                ids.push(book.register(&outbox, &tenant, &endpoint, &key).await?);
            }
            Ok::<_, Failure>((pool, outbox, ids))
        })?;
        let transport = Arc::new(transport);
        Ok(Self { outbox, transport, endpoints, runtime, pool, book, tenant, _directory: directory })
    }

    /// Enqueues one message for each payload, to one endpoint after the other. A dispatcher that starts later finds
    /// them without being told.
    pub(super) async fn enqueue(&self, payloads: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        for chunk in payloads.chunks(PER_TRANSACTION) {
            drop(self.commit(0, chunk).await?);
        }
        Ok(())
    }

    /// Enqueues one message for each payload, beginning where `first` messages before left off, and tells the
    /// dispatcher.
    pub(super) async fn send(&self, first: usize, payloads: &[impl AsRef<[u8]>]) -> Result<(), Failure> {
        for message in self.commit(first, payloads).await? {
            self.outbox.confirm(message).await?;
        }
        Ok(())
    }

    async fn commit(
        &self,
        first: usize,
        payloads: &[impl AsRef<[u8]>],
    ) -> Result<Vec<Uncommitted<MessageId>>, Failure> {
        let endpoints = self.endpoints.iter().cycle().skip(first % self.endpoints.len().max(1));
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut messages = Vec::with_capacity(payloads.len());
        for (payload, endpoint) in payloads.iter().zip(endpoints) {
            let message = NewMessage::impersonal(&self.tenant, endpoint, payload.as_ref())?;
            messages.push(self.outbox.enqueue_in(&mut transaction, &message).await?);
        }
        transaction.commit().await?;
        Ok(messages)
    }

    /// A dispatcher that delivers by way of `deliver`.
    pub(super) fn dispatcher<D: Deliver + 'static>(&self, deliver: D) -> Dispatcher<SqliteOutbox, D> {
        let sink = Arc::new(MemorySink::default());
        Dispatcher::new(self.outbox.clone(), self.book.clone(), deliver, sink)
    }
}
