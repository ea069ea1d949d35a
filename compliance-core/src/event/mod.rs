//! The vocabulary of the audit trail, and the seam to whoever keeps it.
//!
//! An [`Event`] says who did what, on behalf of whom, to whose data, in which tenant, from where, how it
//! ended, for which purpose and as part of which request. Blocks hand events to a [`Sink`]; they do not know
//! who implements it. A sink answers with a [`Recording`] that resolves to an [`AuditReceipt`] once the event
//! is as durable as the receipt says.
//!
//! A field holds a [`Public`](crate::class::Public) or [`Internal`](crate::class::Internal) value, a
//! pseudonym or a sealed value. Anything else does not compile:
//!
//! ```compile_fail,E0277
//! # use compliance_core::{class::Personal, event::*, finding::Outcome, clock::Timestamp};
//! Event::builder(EventKind::AccountCreated, Outcome::Passed, Actor::Anonymous, Timestamp::UNIX_EPOCH)
//!     .field("email", Personal::new("anna@example.com".to_owned()));
//! ```
//! ```compile_fail,E0277
//! # use compliance_core::{class::Sensitive, event::*, finding::Outcome, clock::Timestamp};
//! Event::builder(EventKind::AccountCreated, Outcome::Passed, Actor::Anonymous, Timestamp::UNIX_EPOCH)
//!     .field("diagnosis", Sensitive::new("flu".to_owned()));
//! ```
//! ```compile_fail,E0277
//! # use compliance_core::{class::Confidential, event::*, finding::Outcome, clock::Timestamp};
//! Event::builder(EventKind::AccountCreated, Outcome::Passed, Actor::Anonymous, Timestamp::UNIX_EPOCH)
//!     .field("margin", Confidential::new(31));
//! ```
//! ```compile_fail,E0277
//! # use compliance_core::{event::*, finding::Outcome, clock::Timestamp};
//! Event::builder(EventKind::AccountCreated, Outcome::Passed, Actor::Anonymous, Timestamp::UNIX_EPOCH)
//!     .field("email", "anna@example.com"); // Of no declared class.
//! ```

mod canonical;
mod field;
mod kind;
mod recorder;
#[cfg(feature = "seal")]
mod seal;
mod sink;

use std::borrow::Cow;

pub use self::canonical::{CANONICAL_VERSION, DecodeError, EventDigest};
pub use self::field::{Field, FieldName, FieldValue, FieldValueKind, Value};
pub use self::kind::{EventClass, EventKind};
pub use self::recorder::{FailurePolicy, PassPolicy, Recorded, Recorder};
#[cfg(feature = "seal")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "seal")))]
pub use self::seal::{ACTOR_KEY, People, Person, SUBJECT_KEY};
pub use self::sink::{
    AuditReceipt, Completion, Drive, Durability, ReceiptError, RecordError, RecordErrorKind, Recording,
    RecordingGroup, Sink,
};

use crate::class::Purpose;
use crate::clock::Timestamp;
use crate::finding::{Enforcement, Finding, Outcome, PolicyVersion};
use crate::id::{ActorId, SubjectId, TenantId};
use crate::request::{ClientAddress, ClientNetwork, Correlation, Principal};
use crate::seal::Sealed;
use crate::snapshot::Snapshot;

const USUAL_FIELDS: usize = 6;

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Actor {
    /// Somebody who is not, or not yet, authenticated.
    Anonymous,
    /// A person: user, staff member, administrator.
    Person(ActorId),
    /// A program with an identity of its own: service account, job, partner system.
    Program(ActorId),
    /// A person whose identifier is sealed under a key of their own, so that it can be erased.
    SealedPerson(Box<Sealed>),
    /// The service itself.
    System,
}

impl Actor {
    /// The identifier, where there is one.
    #[must_use]
    pub fn id(&self) -> Option<&ActorId> {
        match self {
            Self::Person(id) | Self::Program(id) => Some(id),
            Self::Anonymous | Self::SealedPerson(_) | Self::System => None,
        }
    }
}

/// One thing that happened.
///
/// ```
/// use compliance_core::class::Public;
/// use compliance_core::event::{Actor, Event, EventKind};
/// use compliance_core::finding::Outcome;
/// use compliance_core::id::{ActorId, SubjectId, TenantId};
/// use compliance_core::purpose;
///
/// let event = Event::builder(
///     EventKind::DataExported,
///     Outcome::Passed,
///     Actor::Person(ActorId::new("staff-17")?),
///     "2026-11-21T12:00:00Z".parse()?,
/// )
/// .tenant(TenantId::new("acme")?)
/// .subject(SubjectId::new("user-4711")?)
/// .purpose(purpose!("support.data_request"))
/// .field("format", Public("csv"))
/// .build()?;
/// assert_eq!(event.kind().code(), "data.exported");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    kind: EventKind,
    outcome: Outcome,
    at: Timestamp,
    actor: Actor,
    on_behalf_of: Option<Actor>,
    tenant: Option<TenantId>,
    subjects: Vec<SubjectId>,
    sealed_subjects: Vec<Sealed>,
    client: Option<ClientNetwork>,
    purpose: Option<Purpose>,
    correlation: Option<Correlation>,
    reason: Option<Cow<'static, str>>,
    policy: Option<PolicyVersion>,
    enforcement: Enforcement,
    snapshots: Vec<Snapshot>,
    fields: Vec<Field>,
}

impl Event {
    /// How many subjects one event may name. A larger set is several events.
    pub const MAX_SUBJECTS: usize = 256;
    /// How many fields one event may have.
    pub const MAX_FIELDS: usize = 64;
    /// How many snapshots one event may carry.
    pub const MAX_SNAPSHOTS: usize = 16;
    /// The longest text in a field, in bytes.
    pub const MAX_TEXT_LEN: usize = 1024;
    /// The longest sealed value in a field, in bytes.
    pub const MAX_SEALED_LEN: usize = 64 * 1024;

    /// Starts an event with what every event must say.
    pub fn builder(kind: EventKind, outcome: Outcome, actor: Actor, at: Timestamp) -> EventBuilder {
        EventBuilder {
            event: Box::new(Self {
                kind,
                outcome,
                at,
                actor,
                on_behalf_of: None,
                tenant: None,
                subjects: Vec::new(),
                sealed_subjects: Vec::new(),
                client: None,
                purpose: None,
                correlation: None,
                reason: None,
                policy: None,
                enforcement: Enforcement::Enforce,
                snapshots: Vec::new(),
                fields: Vec::new(),
            }),
            error: None,
        }
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.kind
    }

    /// How it ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// When, by the clock of whoever reported it. A trail is ordered by sequence, not by this.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Who.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// On behalf of whom, when support or a job acted for somebody.
    #[must_use]
    pub fn on_behalf_of(&self) -> Option<&Actor> {
        self.on_behalf_of.as_ref()
    }

    /// In which tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Whose data was concerned.
    #[must_use]
    pub fn subjects(&self) -> &[SubjectId] {
        &self.subjects
    }

    /// Whose data was concerned, each identifier sealed under its subject's key. An event names its subjects
    /// plainly or sealed, not both.
    #[must_use]
    pub fn sealed_subjects(&self) -> &[Sealed] {
        &self.sealed_subjects
    }

    /// From which network.
    #[must_use]
    pub fn client(&self) -> Option<ClientNetwork> {
        self.client
    }

    /// What for.
    #[must_use]
    pub fn purpose(&self) -> Option<&Purpose> {
        self.purpose.as_ref()
    }

    /// As part of which request.
    #[must_use]
    pub fn correlation(&self) -> Option<Correlation> {
        self.correlation
    }

    /// The operator code of the check that decided, or of the failure.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The policy that decided.
    #[must_use]
    pub fn policy(&self) -> Option<&PolicyVersion> {
        self.policy.as_ref()
    }

    /// Whether the outcome was carried out or only reported.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// The lists and databases the decision used.
    #[must_use]
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// Further facts.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
}

/// Collects what an event says. Mistakes surface at [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct EventBuilder {
    /// Boxed: an event is moved once per part it is told otherwise.
    event: Box<Event>,
    error: Option<EventError>,
}

impl EventBuilder {
    /// On behalf of whom.
    pub fn on_behalf_of(mut self, actor: Actor) -> Self {
        self.event.on_behalf_of = Some(actor);
        self
    }

    /// In which tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.event.tenant = Some(tenant);
        self
    }

    /// In the principal's tenant, with the principal as actor.
    pub fn principal(mut self, principal: &Principal) -> Self {
        self.event.actor = Actor::Person(principal.actor().clone());
        self.event.tenant = Some(principal.tenant().clone());
        self
    }

    /// Whose data was concerned; call it once per subject, at most [`Event::MAX_SUBJECTS`] times. Naming a
    /// subject twice is naming it once.
    pub fn subject(mut self, subject: SubjectId) -> Self {
        if self.event.subjects.contains(&subject) {
            return self;
        }
        if self.event.subjects.len() >= Event::MAX_SUBJECTS {
            return self.fail(EventErrorKind::TooManySubjects);
        }
        self.event.subjects.push(subject);
        self
    }

    /// From where: the network prefix of the client's address is kept, not the address.
    pub fn client(mut self, client: &ClientAddress) -> Self {
        self.event.client = Some(client.network());
        self
    }

    /// What for.
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.event.purpose = Some(purpose);
        self
    }

    /// As part of which request.
    pub fn correlation(mut self, correlation: Correlation) -> Self {
        self.event.correlation = Some(correlation);
        self
    }

    /// What a check found: its outcome, operator code, policy, enforcement and snapshots.
    pub fn finding(mut self, finding: &Finding) -> Self {
        if finding.snapshots().len() > Event::MAX_SNAPSHOTS {
            return self.fail(EventErrorKind::TooManySnapshots);
        }
        self.event.outcome = finding.outcome();
        self.event.reason = Some(Cow::Borrowed(finding.operator_code().as_str()));
        self.event.policy = Some(finding.policy().clone());
        self.event.enforcement = finding.enforcement();
        self.event.snapshots = finding.snapshots().to_vec();
        self
    }

    /// Why it failed, where no finding says so.
    pub fn reason(mut self, code: crate::finding::ReasonCode) -> Self {
        self.event.reason = Some(Cow::Borrowed(code.as_str()));
        self
    }

    /// A further fact. `name` is dotted lower-case like a [`Purpose`]; each name once.
    pub fn field(mut self, name: &'static str, value: impl FieldValue) -> Self {
        let Some(name) = FieldName::new(name) else {
            return self.fail(EventErrorKind::FieldName);
        };
        if self.event.fields.len() >= Event::MAX_FIELDS {
            return self.fail(EventErrorKind::TooManyFields);
        }
        if self.event.fields.iter().any(|field| field.name() == name.as_str()) {
            return self.fail(EventErrorKind::DuplicateField { name });
        }
        let field = Field::new(name, value);
        if !field.fits() {
            return self.fail(EventErrorKind::FieldTooLong { name: field.into_name() });
        }
        if self.event.fields.capacity() == 0 {
            // Most events have a handful: one allocation serves them.
            self.event.fields.reserve(USUAL_FIELDS);
        }
        self.event.fields.push(field);
        self
    }

    /// Finishes the event.
    ///
    /// # Errors
    /// [`EventError`] for the first mistake made on the way.
    pub fn build(self) -> Result<Event, EventError> {
        self.error.map_or(Ok(*self.event), Err)
    }

    fn fail(mut self, kind: EventErrorKind) -> Self {
        self.error.get_or_insert(EventError(kind));
        self
    }
}

/// An event was not of its shape: a mistake of the program that reports it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event refused: {0}")]
pub struct EventError(EventErrorKind);

/// Why an event was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventErrorKind {
    /// The same name twice.
    #[error("field `{name}` is given twice")]
    DuplicateField {
        /// The name.
        name: FieldName,
    },
    /// Not dotted lower-case.
    #[error("a field name is not of the form `[a-z][a-z0-9_.]*` up to 64 bytes")]
    FieldName,
    /// Longer than [`Event::MAX_TEXT_LEN`] or [`Event::MAX_SEALED_LEN`].
    #[error("field `{name}` is longer than its limit")]
    FieldTooLong {
        /// The name.
        name: FieldName,
    },
    /// More than [`Event::MAX_FIELDS`].
    #[error("more than {max} fields", max = Event::MAX_FIELDS)]
    TooManyFields,
    /// More than [`Event::MAX_SNAPSHOTS`].
    #[error("more than {max} snapshots", max = Event::MAX_SNAPSHOTS)]
    TooManySnapshots,
    /// More than [`Event::MAX_SUBJECTS`].
    #[error("more than {max} subjects", max = Event::MAX_SUBJECTS)]
    TooManySubjects,
}

impl EventError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> &EventErrorKind {
        &self.0
    }

    /// `event.duplicate_field`, `event.field_name`, `event.field_too_long`, `event.too_many_fields`,
    /// `event.too_many_snapshots` or `event.too_many_subjects`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            EventErrorKind::DuplicateField { .. } => "event.duplicate_field",
            EventErrorKind::FieldName => "event.field_name",
            EventErrorKind::FieldTooLong { .. } => "event.field_too_long",
            EventErrorKind::TooManyFields => "event.too_many_fields",
            EventErrorKind::TooManySnapshots => "event.too_many_snapshots",
            EventErrorKind::TooManySubjects => "event.too_many_subjects",
        }
    }
}
