//! The one binary form of an event: what digests cover and trails store.
//!
//! Version byte, then tag–length–value triples in ascending tag order: one byte tag, four bytes big-endian
//! length, value. Every part is length-prefixed, so that no two events share a form. Absent parts are left
//! out; subjects, snapshots and fields repeat their tag in the order given. A reader refuses what it does
//! not know.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::field::FieldName;
use super::{Actor, Event, EventKind, Field, FieldValueKind, Value};
use crate::class::{DataClass, Purpose, dotted_code};
use crate::clock::Timestamp;
use crate::finding::{Enforcement, Outcome, PolicyVersion};
use crate::id::{ActorId, CorrelationId, SubjectId, TenantId, TraceParent};
use crate::request::{ClientNetwork, Correlation};
use crate::seal::Sealed;
use crate::snapshot::Snapshot;

/// The version this crate writes. It reads no other.
pub const CANONICAL_VERSION: u8 = 1;

/// Keeps an event's digest apart from the digest of anything else.
const DIGEST_DOMAIN: &[u8] = b"compliance event\0";

/// SHA-256 (FIPS 180-4) over a domain separator and the canonical form of an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventDigest([u8; 32]);

impl EventDigest {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for EventDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for EventDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventDigest({self})")
    }
}

/// Bytes that should have been an event were none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event: {0}")]
pub struct DecodeError(DecodeErrorKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum DecodeErrorKind {
    #[error("a part is malformed (tag {tag})")]
    Malformed { tag: u8 },
    #[error("a required part is missing (tag {tag})")]
    Missing { tag: u8 },
    #[error("parts are out of order or repeated (tag {tag})")]
    Order { tag: u8 },
    #[error("it ends in the middle of a part")]
    Truncated,
    #[error("version {found} is unknown, expected {CANONICAL_VERSION}")]
    Version { found: u8 },
}

impl DecodeError {
    /// `event.malformed`, `event.missing`, `event.order`, `event.truncated` or `event.version`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            DecodeErrorKind::Malformed { .. } => "event.malformed",
            DecodeErrorKind::Missing { .. } => "event.missing",
            DecodeErrorKind::Order { .. } => "event.order",
            DecodeErrorKind::Truncated => "event.truncated",
            DecodeErrorKind::Version { .. } => "event.version",
        }
    }
}

mod tag {
    pub(super) const KIND: u8 = 1;
    pub(super) const OUTCOME: u8 = 2;
    pub(super) const AT: u8 = 3;
    pub(super) const ACTOR: u8 = 4;
    pub(super) const ON_BEHALF_OF: u8 = 5;
    pub(super) const TENANT: u8 = 6;
    pub(super) const SUBJECT: u8 = 7;
    pub(super) const CLIENT: u8 = 8;
    pub(super) const PURPOSE: u8 = 9;
    pub(super) const CORRELATION: u8 = 10;
    pub(super) const PARENT: u8 = 11;
    pub(super) const REASON: u8 = 12;
    pub(super) const POLICY: u8 = 13;
    pub(super) const ENFORCEMENT: u8 = 14;
    pub(super) const SNAPSHOT: u8 = 15;
    pub(super) const FIELD: u8 = 16;
    pub(super) const SEALED_SUBJECT: u8 = 17;

    pub(super) const REPEATING: [u8; 4] = [SUBJECT, SNAPSHOT, FIELD, SEALED_SUBJECT];
}

impl Event {
    /// Appends the canonical form to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(CANONICAL_VERSION);
        put(out, tag::KIND, [self.kind.code().as_bytes()]);
        put(out, tag::OUTCOME, [&[outcome_byte(self.outcome)]]);
        put(out, tag::AT, [&self.at.as_unix_nanos().to_be_bytes()]);
        put_actor(out, tag::ACTOR, &self.actor);
        if let Some(actor) = &self.on_behalf_of {
            put_actor(out, tag::ON_BEHALF_OF, actor);
        }
        if let Some(tenant) = &self.tenant {
            put(out, tag::TENANT, [tenant.as_str().as_bytes()]);
        }
        for subject in &self.subjects {
            put(out, tag::SUBJECT, [subject.as_str().as_bytes()]);
        }
        match self.client.map(|client| client.prefix()) {
            Some(IpAddr::V4(v4)) => put(out, tag::CLIENT, [&v4.octets()]),
            Some(IpAddr::V6(v6)) => put(out, tag::CLIENT, [&v6.octets()]),
            None => {}
        }
        if let Some(purpose) = &self.purpose {
            put(out, tag::PURPOSE, [purpose.as_str().as_bytes()]);
        }
        if let Some(correlation) = &self.correlation {
            put(out, tag::CORRELATION, [correlation.id().as_bytes()]);
            if let Some(parent) = correlation.parent() {
                put(out, tag::PARENT, [parent.to_string().as_bytes()]);
            }
        }
        if let Some(reason) = &self.reason {
            put(out, tag::REASON, [reason.as_bytes()]);
        }
        if let Some(policy) = &self.policy {
            let name = policy.name().as_bytes();
            put(out, tag::POLICY, [&length(name), name, policy.version().as_bytes()]);
        }
        if self.enforcement == Enforcement::ReportOnly {
            put(out, tag::ENFORCEMENT, [&[1]]);
        }
        for snapshot in &self.snapshots {
            let source = snapshot.source().as_bytes();
            let as_of = snapshot.as_of().to_string();
            let parts: [&[u8]; 5] = [
                &length(source),
                source,
                snapshot.sha256(),
                &snapshot.entries().to_be_bytes(),
                as_of.as_bytes(),
            ];
            put(out, tag::SNAPSHOT, parts);
        }
        for field in &self.fields {
            let name = field.name().as_bytes();
            let name_length = length(name);
            let put_field = |out: &mut Vec<u8>, type_byte: u8, value: &[u8]| {
                put(out, tag::FIELD, [&name_length, name, &[type_byte], value]);
            };
            match field.value() {
                FieldValueKind::Plain { class, value } => {
                    // The high bit tells the two plain classes apart.
                    let class_bit = if *class == DataClass::Public { 0 } else { INTERNAL_BIT };
                    match value {
                        Value::Boolean(value) => put_field(out, class_bit, &[u8::from(*value)]),
                        Value::Integer(value) => put_field(out, class_bit | 1, &value.to_be_bytes()),
                        Value::Text(text) => put_field(out, class_bit | 2, text.as_bytes()),
                        Value::Time(time) => {
                            put_field(out, class_bit | 3, &time.as_unix_nanos().to_be_bytes())
                        }
                    }
                }
                FieldValueKind::Pseudonym(pseudonym) => {
                    put_field(out, PSEUDONYM, pseudonym.to_string().as_bytes())
                }
                FieldValueKind::Sealed(sealed) => {
                    let (head, ciphertext) = sealed.parts();
                    put(out, tag::FIELD, [&name_length[..], name, &[SEALED], &head, ciphertext]);
                }
            }
        }
        for subject in &self.sealed_subjects {
            let (head, ciphertext) = subject.parts();
            put(out, tag::SEALED_SUBJECT, [&head[..], ciphertext]);
        }
    }

    /// The digest of the canonical form.
    #[must_use]
    pub fn digest(&self) -> EventDigest {
        self.encode_with_digest(&mut Vec::with_capacity(512))
    }

    /// Appends the canonical form to `out` and gives its [`digest`](Self::digest): for who needs both.
    pub fn encode_with_digest(&self, out: &mut Vec<u8>) -> EventDigest {
        let start = out.len();
        self.encode(out);
        let form = out.get(start..).unwrap_or_default();
        EventDigest(Sha256::new_with_prefix(DIGEST_DOMAIN).chain_update(form).finalize().into())
    }

    /// Reads an event back from its canonical form.
    ///
    /// # Errors
    /// [`DecodeError`] on an unknown version and on every departure from the form; nothing is skipped.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (&found, mut rest) = bytes.split_first().ok_or(DecodeError(DecodeErrorKind::Truncated))?;
        if found != CANONICAL_VERSION {
            return Err(DecodeError(DecodeErrorKind::Version { found }));
        }
        let mut parts = Parts::default();
        let mut last_tag = 0;
        while !rest.is_empty() {
            let (tag, value, after) = split_part(rest)?;
            if tag < last_tag || (tag == last_tag && !tag::REPEATING.contains(&tag)) {
                return Err(DecodeError(DecodeErrorKind::Order { tag }));
            }
            parts.take(tag, value).ok_or(DecodeError(DecodeErrorKind::Malformed { tag }))?;
            last_tag = tag;
            rest = after;
        }
        parts.finish()
    }
}

/// What stands before each value.
const TAG_AND_LENGTH: usize = 1 + 4;
const INTERNAL_BIT: u8 = 0x80;
const PSEUDONYM: u8 = 0x10;
const SEALED: u8 = 0x11;

fn outcome_byte(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Passed => 0,
        Outcome::Refused => 1,
        Outcome::Review => 2,
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    // Every part has a limit far below 4 GiB.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// An array, so that the number of pieces is known where this is compiled.
#[inline]
fn put<const N: usize>(out: &mut Vec<u8>, tag: u8, value: [&[u8]; N]) {
    let total: usize = value.iter().map(|part| part.len()).sum();
    let [a, b, c, d] = u32::try_from(total).unwrap_or(u32::MAX).to_be_bytes();
    out.reserve(total.saturating_add(TAG_AND_LENGTH));
    out.extend_from_slice(&[tag, a, b, c, d]);
    value.iter().for_each(|part| out.extend_from_slice(part));
}

fn put_actor(out: &mut Vec<u8>, tag: u8, actor: &Actor) {
    let (kind, id) = match actor {
        Actor::SealedPerson(sealed) => {
            let (head, ciphertext) = sealed.parts();
            return put(out, tag, [&[4][..], &head, ciphertext]);
        }
        Actor::Anonymous => (0, ""),
        Actor::Person(id) => (1, id.as_str()),
        Actor::Program(id) => (2, id.as_str()),
        Actor::System => (3, ""),
    };
    put(out, tag, [&[kind], id.as_bytes()]);
}

fn split_part(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), DecodeError> {
    let truncated = DecodeError(DecodeErrorKind::Truncated);
    let (&tag, rest) = bytes.split_first().ok_or(truncated)?;
    let (value, after) = split_length(rest).ok_or(truncated)?;
    Ok((tag, value, after))
}

/// Splits a value with its four-byte length off the front.
fn split_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn time(bytes: &[u8]) -> Option<Timestamp> {
    let nanos = i128::from_be_bytes(bytes.try_into().ok()?);
    let time = Timestamp::from_unix_nanos(nanos);
    (time.as_unix_nanos() == nanos).then_some(time)
}

fn actor(bytes: &[u8]) -> Option<Actor> {
    let (kind, id) = bytes.split_first()?;
    match kind {
        0 if id.is_empty() => Some(Actor::Anonymous),
        1 => Some(Actor::Person(ActorId::new(text(id)?).ok()?)),
        2 => Some(Actor::Program(ActorId::new(text(id)?).ok()?)),
        3 if id.is_empty() => Some(Actor::System),
        4 => Some(Actor::SealedPerson(Box::new(Sealed::from_bytes(id).ok()?))),
        _ => None,
    }
}

fn snapshot(bytes: &[u8]) -> Option<Snapshot> {
    let (source, rest) = split_length(bytes)?;
    let (sha256, rest) = rest.split_first_chunk::<32>()?;
    let (entries, as_of) = rest.split_first_chunk::<8>()?;
    if source.len() > Snapshot::MAX_SOURCE_LEN {
        return None;
    }
    let source = text(source)?.to_owned();
    Some(Snapshot::from_parts(source, text(as_of)?.parse().ok()?, *sha256, u64::from_be_bytes(*entries)))
}

fn field(bytes: &[u8]) -> Option<Field> {
    let (name, rest) = split_length(bytes)?;
    let name = FieldName::new(text(name)?.to_owned())?;
    let (&type_byte, value) = rest.split_first()?;
    let value = match type_byte {
        PSEUDONYM => FieldValueKind::Pseudonym(text(value)?.parse().ok()?),
        SEALED => FieldValueKind::Sealed(Sealed::from_bytes(value).ok()?),
        plain => {
            let class = if plain & INTERNAL_BIT == 0 { DataClass::Public } else { DataClass::Internal };
            let value = match (plain & !INTERNAL_BIT, value) {
                (0, [0]) => Value::Boolean(false),
                (0, [1]) => Value::Boolean(true),
                (1, value) => Value::Integer(i64::from_be_bytes(value.try_into().ok()?)),
                (2, value) => Value::Text(text(value)?.into()),
                (3, value) => Value::Time(time(value)?),
                _ => return None,
            };
            FieldValueKind::Plain { class, value }
        }
    };
    let field = Field::from_stored(name, value);
    field.fits().then_some(field)
}

#[derive(Default)]
struct Parts {
    kind: Option<EventKind>,
    outcome: Option<Outcome>,
    at: Option<Timestamp>,
    actor: Option<Actor>,
    on_behalf_of: Option<Actor>,
    tenant: Option<TenantId>,
    subjects: Vec<SubjectId>,
    sealed_subjects: Vec<Sealed>,
    client: Option<ClientNetwork>,
    purpose: Option<Purpose>,
    correlation: Option<CorrelationId>,
    parent: Option<TraceParent>,
    reason: Option<Cow<'static, str>>,
    policy: Option<PolicyVersion>,
    enforcement: Enforcement,
    snapshots: Vec<Snapshot>,
    fields: Vec<Field>,
}

impl Parts {
    /// Takes one part; `None` when its value is malformed.
    fn take(&mut self, tag: u8, value: &[u8]) -> Option<()> {
        match tag {
            tag::KIND => self.kind = Some(EventKind::from_code(text(value)?)?),
            tag::OUTCOME => {
                self.outcome = Some(match value {
                    [0] => Outcome::Passed,
                    [1] => Outcome::Refused,
                    [2] => Outcome::Review,
                    _ => return None,
                });
            }
            tag::AT => self.at = Some(time(value)?),
            tag::ACTOR => self.actor = Some(actor(value)?),
            tag::ON_BEHALF_OF => self.on_behalf_of = Some(actor(value)?),
            tag::TENANT => self.tenant = Some(TenantId::new(text(value)?).ok()?),
            tag::SUBJECT => {
                let subject = SubjectId::new(text(value)?).ok()?;
                if self.subjects.len() >= Event::MAX_SUBJECTS || self.subjects.contains(&subject) {
                    return None;
                }
                self.subjects.push(subject);
            }
            tag::CLIENT => {
                let prefix = match value.len() {
                    4 => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
                    16 => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
                    _ => return None,
                };
                self.client = Some(ClientNetwork::from_stored(prefix)?);
            }
            tag::PURPOSE => self.purpose = Some(Purpose::new(text(value)?).ok()?),
            tag::CORRELATION => {
                self.correlation = Some(CorrelationId::from_stored_bytes(value.try_into().ok()?));
            }
            tag::PARENT => {
                let header = text(value)?;
                let parent = TraceParent::parse(header).ok()?;
                self.parent = (self.correlation.is_some() && parent.to_string() == header).then_some(parent);
                self.parent?;
            }
            tag::REASON => {
                let reason = text(value)?;
                self.reason = dotted_code(reason).then(|| Cow::Owned(reason.to_owned()));
                self.reason.as_ref()?;
            }
            tag::POLICY => {
                let (name, version) = split_length(value)?;
                if name.len() > PolicyVersion::MAX_LEN || version.len() > PolicyVersion::MAX_LEN {
                    return None;
                }
                self.policy = Some(PolicyVersion::new(text(name)?.to_owned(), text(version)?.to_owned()));
            }
            tag::ENFORCEMENT if value == [1] => self.enforcement = Enforcement::ReportOnly,
            tag::SNAPSHOT if self.snapshots.len() < Event::MAX_SNAPSHOTS => {
                self.snapshots.push(snapshot(value)?)
            }
            tag::FIELD if self.fields.len() < Event::MAX_FIELDS => {
                let field = field(value)?;
                if self.fields.iter().any(|known| known.name() == field.name()) {
                    return None;
                }
                self.fields.push(field);
            }
            tag::SEALED_SUBJECT
                if self.subjects.is_empty() && self.sealed_subjects.len() < Event::MAX_SUBJECTS =>
            {
                self.sealed_subjects.push(Sealed::from_bytes(value).ok()?);
            }
            _ => return None,
        }
        Some(())
    }

    fn finish(self) -> Result<Event, DecodeError> {
        let missing = |tag| DecodeError(DecodeErrorKind::Missing { tag });
        Ok(Event {
            kind: self.kind.ok_or(missing(tag::KIND))?,
            outcome: self.outcome.ok_or(missing(tag::OUTCOME))?,
            at: self.at.ok_or(missing(tag::AT))?,
            actor: self.actor.ok_or(missing(tag::ACTOR))?,
            on_behalf_of: self.on_behalf_of,
            tenant: self.tenant,
            subjects: self.subjects,
            sealed_subjects: self.sealed_subjects,
            client: self.client,
            purpose: self.purpose,
            correlation: self.correlation.map(|id| Correlation::new(id, self.parent)),
            reason: self.reason,
            policy: self.policy,
            enforcement: self.enforcement,
            snapshots: self.snapshots,
            fields: self.fields,
        })
    }
}
