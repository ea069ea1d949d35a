//! What a dispatcher and a store say to each other.

use std::fmt;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::finding::ReasonCode;
use compliance_core::id::TenantId;

use super::{Disclosure, EndpointId};
use crate::deliver::ContentType;
use crate::sign::MessageId;

/// A dispatcher's place in the store. Everything it has leased is its own as long as it keeps its heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    id: i64,
    lease: Duration,
}

impl Worker {
    /// The shortest lease. Anything shorter is lost to one slow disk.
    pub const MIN_LEASE: Duration = Duration::from_secs(1);
    /// The longest lease.
    pub const MAX_LEASE: Duration = Duration::from_secs(600);

    /// For implementations of [`Outbox`](super::Outbox): `id` is never used twice.
    #[must_use]
    pub fn new(id: i64, lease: Duration) -> Self {
        Self { id, lease }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// How long its leases hold after a heartbeat.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.lease
    }
}

/// Which lease: the message and its fencing token, which grows with each claim. A store takes word about a
/// message only from whoever holds its latest token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseToken {
    sequence: i64,
    fence: i64,
}

impl LeaseToken {
    /// For implementations of [`Outbox`](super::Outbox).
    #[must_use]
    pub fn new(sequence: i64, fence: i64) -> Self {
        Self { sequence, fence }
    }

    /// The message's number in its store.
    #[must_use]
    pub fn sequence(&self) -> i64 {
        self.sequence
    }

    /// How often the message has been claimed.
    #[must_use]
    pub fn fence(&self) -> i64 {
        self.fence
    }
}

/// A message a dispatcher may deliver now.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leased {
    /// To answer for it.
    pub token: LeaseToken,
    /// The message's id, the same on each attempt.
    pub id: MessageId,
    /// Where to.
    pub endpoint: EndpointId,
    /// The endpoint's revision at the time of the claim: it goes to what the endpoint was then, or later.
    pub revision: i64,
    /// The body.
    pub payload: Box<[u8]>,
    /// What the body is.
    pub content_type: ContentType,
    /// How many attempts have failed so far.
    pub attempts: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// Whether others wait for it because they have the same ordering key.
    pub is_ordered: bool,
    /// Whether the payload is sealed.
    pub is_sealed: bool,
    /// Whether it may leave, by what the endpoint's client has instructed as of `revision`.
    pub disclosure: Disclosure,
}

impl Leased {
    /// For implementations of [`Outbox`](super::Outbox). A JSON message enqueued at the epoch with no attempt
    /// yet, for the endpoint's first revision; set the rest.
    #[must_use]
    pub fn new(token: LeaseToken, id: MessageId, endpoint: EndpointId, payload: Box<[u8]>) -> Self {
        Self {
            token,
            id,
            endpoint,
            revision: 1,
            payload,
            content_type: ContentType::JSON,
            attempts: 0,
            enqueued_at: Timestamp::UNIX_EPOCH,
            is_ordered: false,
            is_sealed: false,
            disclosure: Disclosure::Free,
        }
    }
}

impl fmt::Debug for Leased {
    /// Without the payload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased")
            .field("token", &self.token)
            .field("id", &self.id)
            .field("endpoint", &self.endpoint)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// What became of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store that skipped one would lose a message")]
#[must_use]
pub enum Verdict {
    /// Given up: to the dead letters. With `dispatch.not_instructed`, its payload is deleted.
    Dead {
        /// Why.
        code: ReasonCode,
        /// The last response status, if there was one.
        status: Option<u16>,
    },
    /// The receiver has it.
    Delivered {
        /// The response status.
        status: u16,
    },
    /// Not attempted: back as it was.
    Released,
    /// The attempt failed; the next one not before `at`.
    Retry {
        /// When.
        at: Timestamp,
        /// Why.
        code: ReasonCode,
        /// The response status, if there was one.
        status: Option<u16>,
    },
}

/// A verdict on a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "every field decides what is written")]
#[must_use]
pub struct Settlement {
    /// Which lease.
    pub token: LeaseToken,
    /// The revision of the endpoint that was attempted. A failure says nothing about what the endpoint has become
    /// since: where the store has another revision, [`Verdict::Dead`] and [`Verdict::Retry`] count as
    /// [`Verdict::Released`].
    pub revision: i64,
    /// What became of it.
    pub verdict: Verdict,
}

/// Messages a dispatcher has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "every field bounds what is claimed")]
pub struct Want {
    /// Of which endpoint.
    pub endpoint: EndpointId,
    /// How many. At most a quarter of them, rounded up, are messages that were tried before, the rest are fresh
    /// ones, so that neither starves the other.
    pub limit: usize,
    /// How many bytes of payload they may have together: as many messages as fit, in the order to send them. Below
    /// [`MAX_PAYLOAD_LEN`](super::NewMessage::MAX_PAYLOAD_LEN), there may be one that never fits.
    pub max_bytes: usize,
}

/// A [`Lesson`], and of which endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "every field decides what is written")]
pub struct EndpointNote {
    /// Which one.
    pub endpoint: EndpointId,
    /// Of which revision that was learned. Where the store has another one, nothing is noted.
    pub revision: i64,
    /// What.
    pub lesson: Lesson,
}

/// What a dispatcher learned about an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store must keep each")]
pub enum Lesson {
    /// Switch it off. Its messages wait.
    Disable {
        /// Why.
        code: ReasonCode,
        /// Only if every attempt of any dispatcher has failed for so long, as the store knows.
        failing_for: Option<Duration>,
    },
    /// It fails since then; kept until something is delivered to it. The earliest time noted stands.
    Failing {
        /// Since when.
        since: Timestamp,
    },
    /// Claim none of its messages between now and then. The latest time noted stands. A clock that goes back behind
    /// now ends it.
    Hold {
        /// Until when.
        until: Timestamp,
    },
}

/// One transaction's worth of work: verdicts, lessons, claims, and the worker's heartbeat with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "every field is something a store must do")]
pub struct Round {
    /// Verdicts.
    pub settlements: Vec<Settlement>,
    /// Lessons.
    pub notes: Vec<EndpointNote>,
    /// Claims.
    pub wants: Vec<Want>,
    /// The first bytes of what was answered to these leases, for a console. Kept where the token is still the message's
    /// latest.
    pub excerpts: Vec<(LeaseToken, Box<[u8]>)>,
    /// All the worker holds beside what it gives a verdict on here: whatever else is leased to it is pending again.
    /// Given after a round whose answer was lost, and with it what it claimed.
    pub held: Option<Vec<LeaseToken>>,
}

/// What came of a [`Round`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "every field is something a dispatcher must look at")]
#[must_use]
pub struct RoundResult {
    /// The tokens whose verdict was refused because the lease had lapsed: somebody else holds the message, or
    /// it waits again.
    pub fenced: Vec<LeaseToken>,
    /// The messages claimed, those of one endpoint in the order to send them.
    pub leased: Vec<Leased>,
    /// Messages claimed that cannot be read. They are to be given up, so that they hold up nobody else.
    pub damaged: Vec<Damaged>,
    /// The worker's leases had lapsed and were given to others: nothing was claimed, join again.
    pub is_lost: bool,
}

/// A message that is leased and whose row cannot be read: damaged on disk, or written by somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Damaged {
    /// To answer for it.
    pub token: LeaseToken,
    /// Where to.
    pub endpoint: EndpointId,
    /// The endpoint's revision at the time of the claim.
    pub revision: i64,
}

/// What a look for due messages finds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "every field is something a dispatcher must look at")]
#[must_use]
pub struct Due {
    /// Endpoints with messages due.
    pub ready: Vec<Ready>,
    /// Endpoints that cannot be read, by their numbers in the store: just switched off, with `outbox.corrupt`.
    pub damaged: Vec<i64>,
}

/// An endpoint with messages due.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Ready {
    /// Which one.
    pub endpoint: EndpointId,
    /// Whose.
    pub tenant: TenantId,
    /// Grows with each change of the endpoint.
    pub revision: i64,
}

/// How many messages are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "one field for each state")]
pub struct Counts {
    /// Wait for their time or for a dispatcher.
    pub pending: u64,
    /// With a dispatcher.
    pub leased: u64,
    /// Done, kept for a while.
    pub delivered: u64,
    /// Given up.
    pub dead: u64,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the states of the outbox")]
pub enum DeliveryState {
    /// Given up.
    Dead,
    /// Done, kept for a while.
    Delivered,
    /// With a dispatcher.
    Leased,
    /// Waits for its time or for a dispatcher.
    Pending,
}

/// What a console shows of a message. Neither payload nor URL.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryStatus {
    /// The message; `unreadable_…` where that cannot be read.
    pub id: MessageId,
    /// How far it has come.
    pub state: DeliveryState,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was enqueued.
    pub enqueued_at: Timestamp,
    /// Not to be tried again before that: of a pending message that was tried before. An endpoint that is paused has it
    /// wait for longer.
    pub next_at: Option<Timestamp>,
    /// When it was delivered or given up.
    pub settled_at: Option<Timestamp>,
    /// The last response status, if there was one.
    pub last_status: Option<u16>,
    /// The operator code of the last failure; empty after a delivery.
    pub last_code: Box<str>,
    /// The first bytes of the last answer, where
    /// [`DispatchLimits::excerpt`](super::DispatchLimits::excerpt) has them kept.
    ///
    /// # Security
    /// Whatever the receiver chose to say. Never show it to the tenant unasked.
    pub excerpt: Option<Box<[u8]>>,
}

impl DeliveryStatus {
    /// For implementations of [`Outbox`](super::Outbox). A fresh message; set the rest.
    #[must_use]
    pub fn new(id: MessageId, enqueued_at: Timestamp) -> Self {
        Self {
            id,
            state: DeliveryState::Pending,
            attempts: 0,
            enqueued_at,
            next_at: None,
            settled_at: None,
            last_status: None,
            last_code: "".into(),
            excerpt: None,
        }
    }
}

impl fmt::Debug for DeliveryStatus {
    /// Without the excerpt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryStatus")
            .field("id", &self.id)
            .field("state", &self.state)
            .field("attempts", &self.attempts)
            .field("last_code", &self.last_code)
            .finish_non_exhaustive()
    }
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The message.
    pub id: MessageId,
    /// Where it should have gone.
    pub endpoint: EndpointId,
    /// How many attempts were made.
    pub attempts: u32,
    /// The last response status, if there was one.
    pub last_status: Option<u16>,
    /// The operator code of the last failure.
    pub last_code: Box<str>,
    /// When it was given up.
    pub died_at: Timestamp,
}

impl DeadLetter {
    /// For implementations of [`Outbox`](super::Outbox).
    #[must_use]
    pub fn new(id: MessageId, endpoint: EndpointId, last_code: Box<str>, died_at: Timestamp) -> Self {
        Self { id, endpoint, attempts: 0, last_status: None, last_code, died_at }
    }
}

/// Which messages to send again. They start over with all their attempts and keep their ids. Those that were given up
/// because no instruction covered them (`dispatch.not_instructed`) have no payload any more and stay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replay {
    /// This one, dead or delivered.
    Message {
        /// Of which endpoint.
        endpoint: EndpointId,
        /// Which.
        id: MessageId,
    },
    /// The endpoint's dead letters given up in `from..until`.
    Dead {
        /// Of which endpoint.
        endpoint: EndpointId,
        /// From then on.
        from: Timestamp,
        /// Before then.
        until: Timestamp,
    },
    /// The endpoint's dead and delivered messages settled in `from..until`: after a receiver lost its data.
    Settled {
        /// Of which endpoint.
        endpoint: EndpointId,
        /// From then on.
        from: Timestamp,
        /// Before then.
        until: Timestamp,
    },
}

/// How long settled messages are kept, and those that cannot leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "one field for each settled state")]
pub struct Retention {
    /// Delivered ones; 72 hours by default: the time to notice that a receiver lost them.
    pub delivered: Duration,
    /// Dead ones; 30 days by default.
    pub dead: Duration,
    /// Those that wait for an endpoint that is switched off, from when they were enqueued; 30 days by default. They are
    /// deleted unsent: what was switched off is recorded, not each message.
    pub disabled: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        let month = Duration::from_secs(30 * DAY);
        Self { delivered: Duration::from_secs(3 * DAY), dead: month, disabled: month }
    }
}
