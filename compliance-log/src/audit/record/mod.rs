//! One record: an event, its number, and when the trail took it. Its bytes are a leaf of the tree.
//!
//! | bytes | part |
//! |---|---|
//! | 1 | version, [`RECORD_VERSION`] |
//! | 4 | where the group commit it was written in began, in bytes from the start of the segment |
//! | 8 | sequence number, from 0, without gaps; the leaf's index |
//! | 16 | when it was recorded, nanoseconds since the Unix epoch |
//! | rest | the event in its canonical form ([`Event::encode`]) |
//!
//! Numbers are big-endian. Every byte is hashed; there is nothing an attacker could vary unseen. The second
//! part tells a write torn by a crash from a record damaged later: see [`segment`](super::segment).
//! People stand in the event as the opaque identifiers the service chose, or sealed under a key of their own each
//! (`AuditConfig::seal_people`). A reader that does not know a version refuses the trail.
//!
//! What happened is said with a typed builder per class of event: [`Authentication`], [`Authorization`], [`Account`],
//! [`DataAccess`], [`ApiCall`], [`Administration`], [`Configuration`], [`Consent`], [`Erasure`], [`System`].

mod route;
mod typed;

pub use self::route::{RouteError, RouteTemplate};
pub(super) use self::typed::risk_accepted;
pub use self::typed::{
    Account, Administration, ApiCall, Authentication, Authorization, Circumstances, Configuration, Consent,
    DataAccess, Erasure, System,
};

use compliance_core::clock::Timestamp;
use compliance_core::event::{CANONICAL_VERSION, DecodeError, Event, EventKind, FieldValueKind, Value};

use super::tree::TreeHash;

/// The version this crate writes. It reads no other.
pub const RECORD_VERSION: u8 = 1;

/// The longest canonical form of an event a trail takes, in bytes. Longer ones are refused with
/// [`TooLarge`](compliance_core::event::RecordErrorKind::TooLarge).
pub const MAX_EVENT_LEN: usize = 1024 * 1024;

/// What precedes the event.
pub(super) const HEAD_LEN: usize = 1 + 4 + 8 + 16;

/// A record as it stands in the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    sequence: u64,
    recorded_at: Timestamp,
    event: Event,
    digest: TreeHash,
}

impl Record {
    /// Reads a record from its bytes.
    ///
    /// # Errors
    /// [`RecordFormError`] on an unknown version and on every departure from the form.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordFormError> {
        Self::new(&RecordHead::decode(bytes)?, TreeHash::leaf(bytes))
    }

    pub(super) fn new(head: &RecordHead<'_>, digest: TreeHash) -> Result<Self, RecordFormError> {
        let (recorded_at, event) = (head.recorded_at()?, head.event()?);
        Ok(Self { sequence: head.sequence, recorded_at, event, digest })
    }

    /// Its number: 0 for the first of the trail, each one more than the one before.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When the trail took it, by the trail's clock. Order follows the sequence, not this.
    #[must_use]
    pub fn recorded_at(&self) -> Timestamp {
        self.recorded_at
    }

    /// What happened.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Its hash as a leaf of the tree.
    #[must_use]
    pub fn digest(&self) -> &TreeHash {
        &self.digest
    }
}

/// The fields that name the key a trail goes on under, and the one it was under.
pub(super) const KEY_CHANGED_TO: &str = "to";
pub(super) const KEY_CHANGED_FROM: &str = "from";

/// Whether verification takes a trail's own word for events of this kind: nobody else may record them.
pub(super) fn is_reserved(kind: EventKind) -> bool {
    matches!(kind, EventKind::SystemTrailKeyChanged | EventKind::SystemTrailRetired)
}

/// What verification takes a trail's own word for.
pub(super) enum OwnWord {
    /// The text of the key it goes on under, and of the one it was under where that is said.
    KeyChanged { to: Box<str>, from: Option<Box<str>> },
    /// The first record that was kept.
    RetiredBefore(u64),
}

/// The parts of a record, the event still encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordHead<'a> {
    pub(super) batch: u32,
    pub(super) sequence: u64,
    nanos: i128,
    event: &'a [u8],
}

impl<'a> RecordHead<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, RecordFormError> {
        let truncated = RecordFormError(FormError::Truncated);
        let (&version, rest) = bytes.split_first().ok_or(truncated)?;
        if version != RECORD_VERSION {
            return Err(RecordFormError(FormError::Version { found: version }));
        }
        let (batch, rest) = rest.split_first_chunk().ok_or(truncated)?;
        let (sequence, rest) = rest.split_first_chunk().ok_or(truncated)?;
        let (nanos, event) = rest.split_first_chunk().ok_or(truncated)?;
        match event.first() {
            Some(&CANONICAL_VERSION) => {}
            Some(&found) => return Err(RecordFormError(FormError::EventVersion { found })),
            None => return Err(truncated),
        }
        Ok(Self {
            batch: u32::from_be_bytes(*batch),
            sequence: u64::from_be_bytes(*sequence),
            nanos: i128::from_be_bytes(*nanos),
            event,
        })
    }

    /// What the trail says of itself in this record, if it does.
    pub(super) fn own_word(&self) -> Option<OwnWord> {
        // The kind comes first in the canonical form; nothing else need be read of all other records.
        let (head, rest) = self.event.split_at_checked(6)?;
        let is_own = *head.last()? >= 20 && rest.starts_with(b"system.trail_");
        let event = if is_own { self.event().ok()? } else { return None };
        let plain = |name| match event.fields().iter().find(|field| field.name() == name)?.value() {
            FieldValueKind::Plain { value, .. } => Some(value),
            _ => None,
        };
        let text = |name| match plain(name)? {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        match event.kind() {
            EventKind::SystemTrailKeyChanged => {
                Some(OwnWord::KeyChanged { to: text(KEY_CHANGED_TO)?, from: text(KEY_CHANGED_FROM) })
            }
            EventKind::SystemTrailRetired => match plain(typed::RETIRED_BEFORE)? {
                Value::Integer(before) => u64::try_from(*before).ok().map(OwnWord::RetiredBefore),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn recorded_at(&self) -> Result<Timestamp, RecordFormError> {
        let time = Timestamp::from_unix_nanos(self.nanos);
        if time.as_unix_nanos() == self.nanos { Ok(time) } else { Err(RecordFormError(FormError::Time)) }
    }

    pub(super) fn event(&self) -> Result<Event, RecordFormError> {
        Event::decode(self.event).map_err(|cause| RecordFormError(FormError::Event(cause)))
    }
}

/// Appends what precedes the event.
pub(super) fn encode_head(out: &mut Vec<u8>, batch: u32, sequence: u64, recorded_at: Timestamp) {
    out.push(RECORD_VERSION);
    out.extend_from_slice(&batch.to_be_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&recorded_at.as_unix_nanos().to_be_bytes());
}

/// Bytes that should have been a record were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record: {0}")]
pub struct RecordFormError(FormError);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum FormError {
    #[error("{0}")]
    Event(DecodeError),
    #[error("its event has version {found}, expected {CANONICAL_VERSION}")]
    EventVersion { found: u8 },
    #[error("its time is outside the years -9999 to 9999")]
    Time,
    #[error("it ends within its first {HEAD_LEN} bytes")]
    Truncated,
    #[error("version {found} is unknown, expected {RECORD_VERSION}")]
    Version { found: u8 },
}

impl RecordFormError {
    /// `audit.record_version` when the version is unknown, else `audit.record_form`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            FormError::Version { .. } | FormError::EventVersion { .. } => "audit.record_version",
            FormError::Event(_) | FormError::Time | FormError::Truncated => "audit.record_form",
        }
    }

    pub(super) fn is_version(&self) -> bool {
        matches!(self.0, FormError::Version { .. } | FormError::EventVersion { .. })
    }
}
