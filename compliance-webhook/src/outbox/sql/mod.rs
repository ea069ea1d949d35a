//! What the stores for SQL databases have in common.

mod consent;
mod enqueue;
mod read;

use std::num::NonZeroU32;
use std::time::Duration;

use compliance_core::class::Purpose;
use compliance_core::clock::Timestamp;
use compliance_core::country::CountryCode;
use compliance_core::finding::Enforcement;
use compliance_core::id::{ActorId, TenantId};
use sqlx::Database;

pub(in crate::outbox) use self::consent::Consents;
pub(in crate::outbox) use self::enqueue::Enqueues;
pub(in crate::outbox) use self::read::Reads;
use super::instruction::NOT_INSTRUCTED;
use super::{
    CloudEventsMode, Counts, Damaged, DataClasses, DeadLetter, DeliveryProfile, DeliveryState,
    DeliveryStatus, Disclosure, EndpointId, EndpointRecord, EndpointState, Instruction, LeaseToken, Leased,
    NewMessage, OutboxError, OutboxErrorKind, Settlement, SignatureProfile, Verdict, Want,
};
use crate::deliver::ContentType;
use crate::handshake::Ownership;
use crate::schedule::Rate;
use crate::sign::{KeyId, MessageId};

/// What the names of the outbox's tables start with, `webhook_` unless said otherwise.
///
/// ```
/// use compliance_webhook::outbox::TablePrefix;
///
/// assert_eq!(TablePrefix::new("billing_hooks_")?.as_str(), "billing_hooks_");
/// assert_eq!(TablePrefix::new("a; DROP").unwrap_err().code(), "outbox.table_prefix");
/// # Ok::<(), compliance_webhook::outbox::TablePrefixError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePrefix(&'static str);

impl TablePrefix {
    /// The longest prefix, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Takes a prefix: lower-case letters, digits and underscores, starting with a letter.
    ///
    /// # Errors
    /// `outbox.table_prefix` on another length or another character.
    pub fn new(prefix: &'static str) -> Result<Self, TablePrefixError> {
        let shaped = prefix.len() <= Self::MAX_LEN
            && prefix.starts_with(|first: char| first.is_ascii_lowercase())
            && prefix.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if shaped { Ok(Self(prefix)) } else { Err(TablePrefixError(())) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Puts the prefix into a statement that says `{p}`, and the size of the largest payload where it says `{max}`.
    pub(in crate::outbox) fn fill(self, statement: &str) -> String {
        statement.replace("{p}", self.0).replace("{max}", &NewMessage::MAX_PAYLOAD_LEN.to_string())
    }
}

impl Default for TablePrefix {
    fn default() -> Self {
        Self("webhook_")
    }
}

/// A table prefix was not of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "table prefix is not of the form `[a-z][a-z0-9_]*` up to {max} bytes",
    max = TablePrefix::MAX_LEN
)]
pub struct TablePrefixError(());

impl TablePrefixError {
    /// `outbox.table_prefix`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "outbox.table_prefix"
    }
}

/// A database of `sqlx` that takes the statements of this module: their parameters are `$1` and so on, which SQLite
/// reads as well.
pub(in crate::outbox) trait Engine: Database {
    /// The bytes of message `m`'s id, whatever they are.
    const ID_BYTES: &'static str;

    fn affected(done: &Self::QueryResult) -> u64;

    fn failed(error: sqlx::Error) -> OutboxError;
}

/// What stands beside a message that was claimed.
pub(in crate::outbox) struct Claimed {
    pub(in crate::outbox) token: LeaseToken,
    pub(in crate::outbox) attempts: i64,
    pub(in crate::outbox) revision: i64,
    pub(in crate::outbox) is_ordered: bool,
    pub(in crate::outbox) is_sealed: bool,
    pub(in crate::outbox) disclosure: Disclosure,
}

/// [`Disclosure`] of message `m` to endpoint `e` as a number, for [`disclosure`]: 8 and the classes that no instruction
/// covers.
pub(in crate::outbox) const DISCLOSURE: &str = "CASE WHEN coalesce(m.classes, 0) = 0 THEN 0 \
     WHEN e.classes & m.classes = m.classes AND e.purpose = m.purpose THEN 1 ELSE 8 | m.classes END";

/// Anything else that may stand there lets nothing out.
pub(in crate::outbox) fn disclosure(number: i64, enforcement: Enforcement) -> Disclosure {
    match number {
        0 => Disclosure::Free,
        1 => Disclosure::Instructed,
        _ => {
            let classes = number.checked_sub(8).and_then(|bits| u8::try_from(bits).ok());
            let classes = classes.and_then(DataClasses::from_bits).filter(|classes| !classes.is_none());
            classes.map_or(Disclosure::Refused, |classes| Disclosure::uncovered(classes, enforcement))
        }
    }
}

/// Whether an endpoint's instruction covers the classes in parameter 9 for the purpose in parameter 10. `sign` is what
/// the database's parameters begin with.
pub(in crate::outbox) fn instructed(enforcement: Enforcement, sign: char) -> String {
    match enforcement {
        Enforcement::Enforce => {
            format!("(CAST({sign}9 AS BIGINT) = 0 OR (classes & {sign}9 = {sign}9 AND purpose = {sign}10))")
        }
        Enforcement::ReportOnly => format!("CAST({sign}9 AS BIGINT) BETWEEN 0 AND 7"),
    }
}

/// Whether a settled message can be sent again: see [`NOT_INSTRUCTED`].
const HAS_PAYLOAD: &str = "coalesce(last_code, '') <> 'dispatch.not_instructed'";

/// The messages whose payload is not to be kept.
pub(in crate::outbox) fn not_instructed(settlements: &[Settlement]) -> Vec<i64> {
    let refused = settlements.iter().filter(
        |settlement| matches!(settlement.verdict, Verdict::Dead { code, .. } if code == NOT_INSTRUCTED),
    );
    refused.map(|settlement| settlement.token.sequence()).collect()
}

/// A message as it is stored.
pub(in crate::outbox) struct StoredMessage<'r> {
    pub(in crate::outbox) enqueued_at: i64,
    pub(in crate::outbox) id: &'r [u8],
    pub(in crate::outbox) content_type: &'r [u8],
    pub(in crate::outbox) payload: &'r [u8],
}

impl Claimed {
    /// The message to deliver, or what is known of one that cannot be read.
    pub(in crate::outbox) fn read(
        self,
        message: Option<StoredMessage<'_>>,
        want: &Want,
    ) -> Result<Leased, Damaged> {
        message.and_then(|message| self.readable(&message, want)).ok_or_else(|| Damaged {
            token: self.token,
            endpoint: want.endpoint.clone(),
            revision: self.revision,
        })
    }

    fn readable(&self, message: &StoredMessage<'_>, want: &Want) -> Option<Leased> {
        let text = |bytes| std::str::from_utf8(bytes).ok();
        if message.payload.len() > NewMessage::MAX_PAYLOAD_LEN {
            return None;
        }
        Some(Leased {
            token: self.token,
            id: MessageId::parse(text(message.id)?).ok()?,
            endpoint: want.endpoint.clone(),
            revision: self.revision,
            payload: message.payload.into(),
            content_type: ContentType::parse(text(message.content_type)?).ok()?,
            attempts: u32::try_from(self.attempts).ok()?,
            enqueued_at: Timestamp::from_unix_millis(message.enqueued_at),
            is_ordered: self.is_ordered,
            is_sealed: self.is_sealed,
            disclosure: self.disclosure,
        })
    }
}

const ENDPOINT_COLUMNS: &str = "tenant, url, sealed_keys, disabled_code, revision, failing_since, rate, \
     classes, purpose, recipient, instructed_by, instructed_at, signature_key_id, events, owned_at, owned_proof";

/// [`ENDPOINT_COLUMNS`].
type EndpointRow = (
    String,
    String,
    Vec<u8>,
    Option<String>,
    i64,
    Option<i64>,
    Option<i64>,
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<String>,
    i64,
    Option<i64>,
    Option<String>,
);

fn endpoint_record(id: &EndpointId, row: EndpointRow) -> Result<EndpointRecord, OutboxError> {
    let (
        tenant,
        url,
        sealed_keys,
        disabled,
        revision,
        failing_since,
        rate,
        classes,
        purpose,
        recipient,
        by,
        at,
        key_id,
        events,
        owned_at,
        owned_proof,
    ) = row;
    // All of it or nothing: half an instruction is none anybody gave.
    let instruction = purpose.map(|purpose| {
        let classes = u8::try_from(classes).ok().and_then(DataClasses::from_bits)?;
        let recipient = CountryCode::parse(&recipient?).ok()?;
        let at = Timestamp::from_unix_millis(at?);
        Some(Instruction::new(ActorId::new(by?).ok()?, at, classes, Purpose::new(purpose).ok()?, recipient))
    });
    let rate = rate.map(|rate| u32::try_from(rate).ok().and_then(NonZeroU32::new));
    Ok(EndpointRecord {
        id: id.clone(),
        tenant: TenantId::new(tenant).map_err(|_| corrupt("endpoint.tenant"))?,
        url: url.into(),
        sealed_keys: sealed_keys.into(),
        state: disabled.map_or(EndpointState::Enabled, |code| EndpointState::Disabled { code: code.into() }),
        revision,
        failing_since: failing_since.map(Timestamp::from_unix_millis),
        rate: rate.map(|rate| rate.ok_or(corrupt("endpoint.rate"))).transpose()?.map(Rate::per_minute),
        instruction: instruction.map(|it| it.ok_or(corrupt("endpoint.purpose"))).transpose()?,
        profile: DeliveryProfile { signatures: signature_profile(key_id)?, events: events_mode(events)? },
        // Half of a proof is none.
        ownership: owned_at.zip(owned_proof).map(|(answered, proof)| {
            Ownership::from_stored(Timestamp::from_unix_millis(answered), proof.into())
        }),
    })
}

fn signature_profile(key_id: Option<String>) -> Result<SignatureProfile, OutboxError> {
    let Some(key_id) = key_id else { return Ok(SignatureProfile::StandardWebhooks) };
    let key_id = KeyId::parse(&key_id).map_err(|_| corrupt("endpoint.signature_key_id"))?;
    Ok(SignatureProfile::HttpSignature { key_id })
}

fn events_mode(number: i64) -> Result<CloudEventsMode, OutboxError> {
    let modes = [CloudEventsMode::None, CloudEventsMode::Structured, CloudEventsMode::Binary];
    modes.into_iter().find(|mode| stored_events(*mode) == number).ok_or(corrupt("endpoint.events"))
}

fn stored_key_id(record: &EndpointRecord) -> Option<&str> {
    match &record.profile().signatures {
        SignatureProfile::StandardWebhooks => None,
        SignatureProfile::HttpSignature { key_id } => Some(key_id.as_str()),
    }
}

fn stored_events(mode: CloudEventsMode) -> i64 {
    match mode {
        CloudEventsMode::None => 0,
        CloudEventsMode::Structured => 1,
        CloudEventsMode::Binary => 2,
    }
}

type StoredInstruction<'r> = (i64, Option<&'r str>, Option<&'r str>, Option<&'r str>, Option<i64>);

/// Classes, purpose, recipient, by whom and when.
fn stored_instruction(record: &EndpointRecord) -> StoredInstruction<'_> {
    record.instruction().map_or((0, None, None, None, None), |instruction| {
        let (classes, at) = (i64::from(instruction.classes().bits()), instruction.at().as_unix_millis());
        let (purpose, by) = (instruction.purpose().as_str(), instruction.by().as_str());
        (classes, Some(purpose), Some(instruction.recipient().as_str()), Some(by), Some(at))
    })
}

fn stored_rate(record: &EndpointRecord) -> Option<i64> {
    record.rate().map(|rate| i64::from(rate.as_per_minute().get()))
}

/// From states and how many messages are in each.
fn counts(rows: Vec<(i64, i64)>) -> Result<Counts, OutboxError> {
    let mut counts = Counts::default();
    for (state, count) in rows {
        let slot = match state {
            0 => &mut counts.pending,
            1 => &mut counts.leased,
            2 => &mut counts.delivered,
            3 => &mut counts.dead,
            _ => return Err(corrupt("delivery.state")),
        };
        *slot = u64::try_from(count).unwrap_or(0);
    }
    Ok(counts)
}

/// Of delivery `d` and message `m`: id as bytes, number, state, attempts, when it was enqueued, is due and was settled,
/// last status and code, excerpt.
type StatusRow = (
    Option<Vec<u8>>,
    i64,
    i64,
    i64,
    Option<i64>,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<Vec<u8>>,
);

fn delivery_status(row: StatusRow) -> Result<DeliveryStatus, OutboxError> {
    let (id, sequence, state, attempts, enqueued_at, next_at, settled_at, status, code, excerpt) = row;
    let state = match state {
        0 => DeliveryState::Pending,
        1 => DeliveryState::Leased,
        2 => DeliveryState::Delivered,
        3 => DeliveryState::Dead,
        _ => return Err(corrupt("delivery.state")),
    };
    let is_retry = state == DeliveryState::Pending && next_at > 0;
    Ok(DeliveryStatus {
        id: message_id(id, sequence)?,
        state,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        enqueued_at: Timestamp::from_unix_millis(enqueued_at.unwrap_or_default()),
        next_at: is_retry.then(|| Timestamp::from_unix_millis(next_at)),
        settled_at: settled_at.map(Timestamp::from_unix_millis),
        last_status: status.and_then(|status| u16::try_from(status).ok()),
        last_code: code.unwrap_or_default().into(),
        excerpt: excerpt.map(Into::into),
    })
}

/// Of delivery `d` and message `m`: id as bytes, number, attempts, last status and code, when it was settled.
type LetterRow = (Option<Vec<u8>>, i64, i64, Option<i64>, Option<String>, Option<i64>);

fn dead_letter(endpoint: &EndpointId, row: LetterRow) -> Result<DeadLetter, OutboxError> {
    let (id, sequence, attempts, status, code, settled_at) = row;
    Ok(DeadLetter {
        id: message_id(id, sequence)?,
        endpoint: endpoint.clone(),
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
        last_status: status.and_then(|status| u16::try_from(status).ok()),
        last_code: code.unwrap_or_default().into(),
        died_at: Timestamp::from_unix_millis(settled_at.unwrap_or_default()),
    })
}

/// A message's id, or what stands for that of one that cannot be read.
fn message_id(bytes: Option<Vec<u8>>, sequence: i64) -> Result<MessageId, OutboxError> {
    let readable = bytes.and_then(|id| MessageId::parse(std::str::from_utf8(&id).ok()?).ok());
    readable.map_or_else(
        || MessageId::parse(&format!("unreadable_{sequence}")).map_err(|_| corrupt("message.id")),
        Ok,
    )
}

pub(in crate::outbox) fn corrupt(column: &'static str) -> OutboxError {
    OutboxErrorKind::Corrupt { column }.into()
}

pub(in crate::outbox) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The first whole millisecond that is not before `at`, so that a range keeps its meaning.
fn ceil_millis(at: Timestamp) -> i64 {
    let floor = at.as_unix_millis();
    if Timestamp::from_unix_millis(floor) < at { floor.saturating_add(1) } else { floor }
}

pub(in crate::outbox) fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn disabled_code(state: &EndpointState) -> Option<&str> {
    match state {
        EndpointState::Disabled { code } => Some(code),
        EndpointState::Enabled => None,
    }
}
