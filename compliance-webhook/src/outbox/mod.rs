//! The durable outbox: messages are stored in the caller's own transaction and leave at least once.
//!
//! 1. [`EndpointBook`] registers a checked [`WebhookEndpoint`](crate::WebhookEndpoint) with its signing key,
//!    sealed; what comes back is an [`EndpointId`].
//! 2. `SqliteOutbox::enqueue_in` or `PostgresOutbox::enqueue_in` writes a [`NewMessage`] beside the caller's own rows:
//!    both commit, or neither.
//! 3. A [`Dispatcher`] claims what is due, delivers it outside any transaction and commits verdicts and claims
//!    in groups.
//!
//! A message is *pending*, *leased*, *delivered* or *dead*. Each claim gives it a new fencing token
//! ([`LeaseToken`]); word about a message is taken from the holder of the latest token only, so a dispatcher
//! that was paused past its lease cannot settle what others have taken over. A lease lives as long as its
//! worker's heartbeat; a worker that starts under the same instance name takes its predecessor's messages over
//! at once.
//!
//! [`Outbox`] is the small trait behind it: [`MemoryOutbox`] for tests, `SqliteOutbox` (feature `sqlite`) for
//! one machine, `PostgresOutbox` (feature `postgres`) for dispatchers on several.

mod book;
mod dispatch;
mod endpoint;
mod error;
mod instruction;
mod memory;
mod message;
mod payload;
#[cfg(feature = "postgres")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "postgres")))]
pub mod postgres;
mod profile;
mod round;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "sqlite")))]
pub mod sqlite;

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use self::book::{EndpointBook, EndpointBookError, EndpointBookErrorKind, PAYLOAD_KEY};
pub use self::dispatch::{DispatchError, DispatchLimits, DispatchReport, Dispatcher, Running};
pub use self::endpoint::{EndpointId, EndpointIdError, EndpointRecord, EndpointState};
pub use self::error::{DatabaseCode, OutboxError, OutboxErrorKind};
pub use self::instruction::{DataClasses, Disclosure, Instruction};
pub use self::memory::MemoryOutbox;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(compliance_docsrs, doc(cfg(any(feature = "sqlite", feature = "postgres"))))]
pub use self::message::Uncommitted;
pub use self::message::{NewMessage, NewMessageError};
pub use self::payload::{EventPayload, PayloadField};
#[cfg(feature = "postgres")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "postgres")))]
pub use self::postgres::PostgresOutbox;
pub use self::profile::{CloudEventsMode, DeliveryProfile, SignatureProfile};
pub use self::round::{
    Counts, Damaged, DeadLetter, DeliveryState, DeliveryStatus, Due, EndpointNote, LeaseToken, Leased,
    Lesson, Ready, Replay, Retention, Round, RoundResult, Settlement, Verdict, Want, Worker,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
#[cfg_attr(compliance_docsrs, doc(cfg(any(feature = "sqlite", feature = "postgres"))))]
pub use self::sql::{TablePrefix, TablePrefixError};
#[cfg(feature = "sqlite")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "sqlite")))]
pub use self::sqlite::SqliteOutbox;

use crate::sign::MessageId;

/// A store of messages and endpoints. Time comes from the store's own clock.
///
/// The contract, which `tests/outbox_model.rs` holds every implementation to:
///
/// 1. A message leaves a store only through [`purge`](Self::purge): delivered, dead, or for an endpoint that is
///    switched off, and older than its [`Retention`]. Anything else keeps it.
/// 2. At any time at most one token of a message is good: that of its latest claim, while it is leased.
/// 3. [`round`](Self::round) is one transaction: verdicts first, then notes, then the heartbeat, then what is
///    [held](Round::held), then claims.
/// 4. What is claimed is due, of an endpoint that is enabled and not held, and no longer pending. It says which
///    revision of the endpoint that was.
/// 5. A failure, or a lesson, of a revision that is not the stored one changes nothing but the lease: the message
///    is pending again. What was delivered stays delivered, and its endpoint does not count as failing any more.
/// 6. A row that cannot be read, or is larger than [`NewMessage::MAX_PAYLOAD_LEN`], stands in nobody's way: a message
///    is claimed as [`Damaged`], an endpoint is switched off with `outbox.corrupt`.
/// 7. Of messages of one endpoint with one ordering key, only the first that is not settled is claimed.
/// 8. A message with classes is taken only under an instruction of its endpoint that covers them, and comes out of a
///    claim with what the endpoint's instruction then says. A report-only store takes it without one, and says so.
/// 9. Of an endpoint, all that is saved is loaded again: signing keys, state, rate, instruction, profile.
/// 10. Nothing here calls out, and no transaction stays open between two calls.
pub trait Outbox: Send + Sync + fmt::Debug {
    /// Stores an endpoint, or a change of one: `revision` must be one more than what is stored, 1 for a new
    /// one.
    ///
    /// # Errors
    /// `outbox.endpoint_unknown` when the revision does not follow or the tenant is another.
    fn save_endpoint(&self, record: &EndpointRecord) -> impl Future<Output = Result<(), OutboxError>> + Send;

    /// Loads an endpoint.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn endpoint(
        &self,
        id: &EndpointId,
    ) -> impl Future<Output = Result<Option<EndpointRecord>, OutboxError>> + Send;

    /// Stores a message in a transaction of its own. Stores for SQL databases have an `enqueue_in`, which is
    /// what to use where the message tells of something that is being stored itself.
    ///
    /// # Errors
    /// `outbox.endpoint_unknown` when the endpoint is not the tenant's, `outbox.not_instructed` when no instruction of
    /// the client covers the message's classes, `outbox.idempotency_conflict` when the key or the id was used for
    /// another payload, `outbox.sealed_for_another` when its payload is sealed under another id.
    fn enqueue(&self, message: &NewMessage) -> impl Future<Output = Result<MessageId, OutboxError>> + Send;

    /// Resolves when something was enqueued through this value since the last call: a hint, not a promise.
    fn enqueued(&self) -> impl Future<Output = ()> + Send;

    /// Takes a place as a dispatcher. Whatever an earlier dispatcher under the same instance name still held
    /// is pending again, and that dispatcher is lost. `lease` is brought within [`Worker::MIN_LEASE`] and
    /// [`Worker::MAX_LEASE`].
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn join(
        &self,
        instance: &str,
        lease: Duration,
    ) -> impl Future<Output = Result<Worker, OutboxError>> + Send;

    /// Gives the place up; what it still held is pending again.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn leave(&self, worker: &Worker) -> impl Future<Output = Result<(), OutboxError>> + Send;

    /// Puts what lapsed workers held back to pending and says how many messages that were. `worker` itself is
    /// left alone. A lease that ends later than two leases from now is made to end one lease from now: the clock was
    /// set back, and whoever lives beats again before that.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn recover(&self, worker: &Worker) -> impl Future<Output = Result<u64, OutboxError>> + Send;

    /// The endpoints that have messages due, at most `limit`, in an order of the store's own; those that come
    /// behind `after` in it, if given, so that a dispatcher gets around to all of them.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn ready(
        &self,
        after: Option<&EndpointId>,
        limit: usize,
    ) -> impl Future<Output = Result<Due, OutboxError>> + Send;

    /// One round.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails: then it is not known whether the round has happened. The same verdicts may
    /// be given again; what may have been claimed is given back by the next round, which says what is
    /// [held](Round::held).
    fn round(
        &self,
        worker: &Worker,
        round: &Round,
    ) -> impl Future<Output = Result<RoundResult, OutboxError>> + Send;

    /// The dead letters of an endpoint, the latest first. One that cannot be read is listed as `unreadable_…`.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn dead_letters(
        &self,
        endpoint: &EndpointId,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, OutboxError>> + Send;

    /// What became of a message.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn delivery(
        &self,
        endpoint: &EndpointId,
        id: &MessageId,
    ) -> impl Future<Output = Result<Option<DeliveryStatus>, OutboxError>> + Send;

    /// An endpoint's messages in a state: pending ones in the order they fall due, leased ones in the order they were
    /// enqueued, settled ones the latest first.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn deliveries(
        &self,
        endpoint: &EndpointId,
        state: DeliveryState,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<DeliveryStatus>, OutboxError>> + Send;

    /// Sends settled messages again and says how many. [`EndpointBook::replay`] has it recorded.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn replay(&self, replay: &Replay) -> impl Future<Output = Result<u64, OutboxError>> + Send;

    /// Deletes at most `limit` messages that are older than `retention` and says how many.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn purge(
        &self,
        retention: &Retention,
        limit: usize,
    ) -> impl Future<Output = Result<u64, OutboxError>> + Send;

    /// How many messages are in which state.
    ///
    /// # Errors
    /// [`OutboxError`] when the store fails.
    fn counts(&self) -> impl Future<Output = Result<Counts, OutboxError>> + Send;
}
