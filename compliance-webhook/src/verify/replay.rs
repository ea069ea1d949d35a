//! Handling each message once.
//!
//! A sender repeats a message until it hears a 2xx, and anybody who saw one can send it again within the tolerance.
//! [`ReplayGate::admit`] takes a [`Verified`] message, so that nobody without a key can fill the cache, and lets it
//! through once: the first comer handles it and [commits](Admitted::commit) when that is done.
//!
//! | who comes | gets | answer with |
//! |---|---|---|
//! | the first | [`Admission::Fresh`] | 2xx after the commit |
//! | after the commit | [`Admission::Duplicate`] | 2xx: it is done |
//! | while it is being handled | `replay.in_flight` | 409: the sender comes again |
//! | when the cache does not answer | `replay.unavailable` | 503: the sender comes again |

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use compliance_core::clock::Timestamp;

use super::{MAX_TOLERANCE, Message, Verified};
use crate::sign::MessageId;

/// How long a message is remembered unless told otherwise: four days, longer than the longest retry schedule of
/// Standard Webhooks (75 h 35 min 5 s).
pub const DEFAULT_MEMORY: Duration = Duration::from_secs(4 * 24 * 60 * 60);

/// How long handling may take unless told otherwise; after that, another attempt may try. Longer than senders wait.
pub const DEFAULT_HANDLING: Duration = Duration::from_secs(60);

/// What a message is known by: ids are unique for one endpoint, not over all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey {
    endpoint: Arc<str>,
    id: MessageId,
}

impl ReplayKey {
    /// The receiving endpoint, as the [`ReplayGate`] was told.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The message.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }
}

/// What a cache says to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm is where a message is handled twice")]
#[must_use]
pub enum Reservation {
    /// It was committed before.
    Committed,
    /// It is yours. The number is needed to commit or release it.
    Granted(u64),
    /// Somebody is handling it.
    Taken,
}

/// Remembers messages. Whatever goes wrong is [`ReplayError::unavailable`]: a cache never guesses.
pub trait ReplayCache: Send + Sync {
    /// Reserves `key` until `until` unless it is committed or reserved, in one step.
    ///
    /// # Errors
    /// `replay.unavailable` when the cache does not answer, or has no room.
    fn reserve(
        &self,
        key: &ReplayKey,
        until: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Result<Reservation, ReplayError>> + Send;

    /// Remembers `key` as done until `until`, if the reservation `number` still stands.
    ///
    /// # Errors
    /// `replay.lapsed` when it does not: somebody else may have handled the message, too. `replay.unavailable`
    /// when the cache does not answer.
    fn commit(
        &self,
        key: &ReplayKey,
        number: u64,
        until: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), ReplayError>> + Send;

    /// Gives the reservation up, if it still stands.
    ///
    /// # Errors
    /// `replay.unavailable` when the cache does not answer; the reservation lapses by itself then.
    fn release(&self, key: &ReplayKey, number: u64) -> impl Future<Output = Result<(), ReplayError>> + Send;
}

impl<C: ReplayCache + ?Sized> ReplayCache for Arc<C> {
    fn reserve(
        &self,
        key: &ReplayKey,
        until: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Result<Reservation, ReplayError>> + Send {
        (**self).reserve(key, until, now)
    }

    fn commit(
        &self,
        key: &ReplayKey,
        number: u64,
        until: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), ReplayError>> + Send {
        (**self).commit(key, number, until, now)
    }

    fn release(&self, key: &ReplayKey, number: u64) -> impl Future<Output = Result<(), ReplayError>> + Send {
        (**self).release(key, number)
    }
}

/// Lets each verified message of one endpoint through once.
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::Timestamp;
/// use compliance_webhook::verify::{Admission, MemoryReplayCache, ReplayGate};
/// use compliance_webhook::{MessageId, Signer, SigningKey, Verifier};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let key = SigningKey::from_bytes(&[7; 32])?;
/// let now = Timestamp::from_unix_seconds(1_795_262_400);
/// let id = MessageId::parse("msg_1")?;
/// let signed = Signer::new(key.clone()).sign(&id, now, b"{}")?;
/// let verifier = Verifier::new(key);
/// let gate = ReplayGate::new(Arc::new(MemoryReplayCache::new(10_000)), "billing");
///
/// let Admission::Fresh(admitted) = gate.admit(verifier.verify(signed.pairs(), "{}", now)?, now).await? else {
///     panic!("nobody has seen it");
/// };
/// // Again, while it is being handled, and after.
/// let refused = gate.admit(verifier.verify(signed.pairs(), "{}", now)?, now).await.unwrap_err();
/// assert_eq!((refused.code(), refused.status()), ("replay.in_flight", 409));
/// assert_eq!(*admitted.message().body(), "{}");
/// admitted.commit(now).await?;
/// let again = gate.admit(verifier.verify(signed.pairs(), "{}", now)?, now).await?;
/// assert!(matches!(again, Admission::Duplicate));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReplayGate<C> {
    cache: C,
    endpoint: Arc<str>,
    memory: Duration,
    handling: Duration,
}

impl<C: ReplayCache + Clone> ReplayGate<C> {
    /// For one receiving endpoint: any name that no other one in the cache has.
    #[must_use]
    pub fn new(cache: C, endpoint: &str) -> Self {
        Self { cache, endpoint: endpoint.into(), memory: DEFAULT_MEMORY, handling: DEFAULT_HANDLING }
    }

    /// Remembers messages for so long, two days at least: as long as a message may be valid for a verifier at its most
    /// tolerant, twice [`MAX_TOLERANCE`]. Take more than the sender's retries take.
    #[must_use]
    pub fn with_memory(mut self, memory: Duration) -> Self {
        self.memory = memory.max(MAX_TOLERANCE.saturating_mul(2));
        self
    }

    /// Lets another attempt try when handling has taken so long.
    #[must_use]
    pub fn with_handling(mut self, handling: Duration) -> Self {
        self.handling = handling;
        self
    }

    /// Lets the message through if nobody has handled it or is handling it.
    ///
    /// # Errors
    /// `replay.in_flight` while somebody handles it, `replay.unavailable` when the cache does not answer.
    pub async fn admit<B>(
        &self,
        verified: Verified<Message<B>>,
        now: Timestamp,
    ) -> Result<Admission<B, C>, ReplayError> {
        let id = verified.message().id().clone();
        self.admit_as(verified, id, now).await
    }

    /// As [`admit`](Self::admit), with the message known by another id: one its body names, say, such as Stripe's or
    /// Slack's event id, which stays the same when a provider's attempts differ otherwise.
    ///
    /// # Errors
    /// Those of [`admit`](Self::admit).
    ///
    /// # Security
    /// Take the id from the verified body; a header nobody signed can be changed on a copy.
    pub async fn admit_as<B>(
        &self,
        verified: Verified<Message<B>>,
        id: MessageId,
        now: Timestamp,
    ) -> Result<Admission<B, C>, ReplayError> {
        let key = ReplayKey { endpoint: Arc::clone(&self.endpoint), id };
        match self.cache.reserve(&key, now.saturating_add(self.handling), now).await? {
            Reservation::Committed => Ok(Admission::Duplicate),
            Reservation::Taken => Err(ReplayError::in_flight()),
            Reservation::Granted(number) => {
                let (cache, memory) = (self.cache.clone(), self.memory);
                Ok(Admission::Fresh(Admitted { verified, key, number, cache, memory }))
            }
        }
    }
}

/// Whether a verified message is to be handled.
#[expect(clippy::exhaustive_enums, reason = "a receiver must treat both")]
#[must_use]
pub enum Admission<B, C> {
    /// It has been handled: answer 2xx and do nothing.
    Duplicate,
    /// Handle it, then commit.
    Fresh(Admitted<B, C>),
}

impl<B, C> fmt::Debug for Admission<B, C> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate => f.write_str("Duplicate"),
            Self::Fresh(admitted) => f.debug_tuple("Fresh").field(admitted).finish(),
        }
    }
}

/// A verified message nobody else handles now.
///
/// Dropped without a [`commit`](Self::commit), it is free again when the time for handling is over;
/// [`release`](Self::release) frees it at once.
#[must_use = "commit it when it is handled"]
pub struct Admitted<B, C> {
    verified: Verified<Message<B>>,
    key: ReplayKey,
    number: u64,
    cache: C,
    memory: Duration,
}

impl<B, C: ReplayCache> Admitted<B, C> {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message<B> {
        self.verified.message()
    }

    /// Says that it is handled. Where handling it is a transaction of one's own, storing the id there is safer
    /// still: a crash between that commit and this one has the message handled again.
    ///
    /// # Errors
    /// `replay.lapsed` when handling took too long and another attempt may have been let through,
    /// `replay.unavailable` when the cache does not answer.
    pub async fn commit(self, now: Timestamp) -> Result<Verified<Message<B>>, ReplayError> {
        self.cache.commit(&self.key, self.number, now.saturating_add(self.memory), now).await?;
        Ok(self.verified)
    }

    /// Says that handling it failed: the sender's next attempt may try.
    ///
    /// # Errors
    /// `replay.unavailable` when the cache does not answer.
    pub async fn release(self) -> Result<(), ReplayError> {
        self.cache.release(&self.key, self.number).await
    }
}

impl<B, C> fmt::Debug for Admitted<B, C> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A message was not let through, or its reservation did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("webhook not admitted: {kind}")]
pub struct ReplayError {
    kind: ReplayErrorKind,
}

/// Why a message was not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayErrorKind {
    /// Somebody is handling it.
    #[error("it is being handled")]
    InFlight,
    /// The reservation did not last.
    #[error("handling it took longer than it was reserved for")]
    Lapsed,
    /// The cache does not answer or has no room.
    #[error("the replay cache is not available")]
    Unavailable,
}

impl From<ReplayErrorKind> for ReplayError {
    fn from(kind: ReplayErrorKind) -> Self {
        Self { kind }
    }
}

impl ReplayError {
    fn in_flight() -> Self {
        Self { kind: ReplayErrorKind::InFlight }
    }

    /// For implementations of [`ReplayCache`].
    #[must_use]
    pub fn lapsed() -> Self {
        Self { kind: ReplayErrorKind::Lapsed }
    }

    /// For implementations of [`ReplayCache`].
    #[must_use]
    pub fn unavailable() -> Self {
        Self { kind: ReplayErrorKind::Unavailable }
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> ReplayErrorKind {
        self.kind
    }

    /// `replay.in_flight`, `replay.lapsed` or `replay.unavailable`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            ReplayErrorKind::InFlight => "replay.in_flight",
            ReplayErrorKind::Lapsed => "replay.lapsed",
            ReplayErrorKind::Unavailable => "replay.unavailable",
        }
    }

    /// The HTTP status to answer with: 409, or 503 where only the cache is to blame. Senders come again.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.kind {
            ReplayErrorKind::InFlight | ReplayErrorKind::Lapsed => 409,
            ReplayErrorKind::Unavailable => 503,
        }
    }
}

/// Remembers messages in this process: for a receiver that runs once. What it knows is gone with the process.
#[derive(Debug)]
pub struct MemoryReplayCache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<ReplayKey, Entry>,
    last_number: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// `None` once it is committed.
    number: Option<u64>,
    until: Timestamp,
}

impl MemoryReplayCache {
    /// With room for so many messages, which take some 200 bytes each. When it is full of messages that must be
    /// remembered, new ones are refused with 503 rather than let through unseen.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }
}

impl ReplayCache for MemoryReplayCache {
    async fn reserve(
        &self,
        key: &ReplayKey,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Reservation, ReplayError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.entries.get(key) {
            Some(Entry { until, number }) if now < *until => {
                return Ok(if number.is_some() { Reservation::Taken } else { Reservation::Committed });
            }
            Some(_) => {}
            None if state.entries.len() < self.capacity => {}
            None => {
                state.entries.retain(|_, entry| now < entry.until);
                if state.entries.len() >= self.capacity {
                    return Err(ReplayError::unavailable());
                }
            }
        }
        state.last_number = state.last_number.saturating_add(1);
        let number = state.last_number;
        state.entries.insert(key.clone(), Entry { number: Some(number), until });
        Ok(Reservation::Granted(number))
    }

    async fn commit(
        &self,
        key: &ReplayKey,
        number: u64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), ReplayError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.entries.get_mut(key) {
            Some(entry) if entry.number == Some(number) && now < entry.until => {
                *entry = Entry { number: None, until };
                Ok(())
            }
            _ => Err(ReplayError::lapsed()),
        }
    }

    async fn release(&self, key: &ReplayKey, number: u64) -> Result<(), ReplayError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.entries.get(key).is_some_and(|entry| entry.number == Some(number)) {
            state.entries.remove(key);
        }
        Ok(())
    }
}
