//! Reading the trail: by tenant, subject, actor, time, class and correlation id. Reading is itself recorded, before
//! the first record is given out.
//!
//! ```
//! # use std::sync::Arc;
//! # use compliance_core::clock::{Clock, SystemClock};
//! # use compliance_core::event::{Actor, Sink};
//! # use compliance_core::id::{ActorId, SubjectId, TenantId};
//! # use compliance_core::purpose;
//! # use compliance_core::random::SystemRandom;
//! # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
//! use compliance_log::audit::query::Query;
//! use compliance_log::audit::record::{Circumstances, DataAccess};
//!
//! # let dir = tempfile::tempdir()?;
//! # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
//! # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key), SystemClock)?;
//! let (acme, anna) = (TenantId::new("acme")?, SubjectId::new("user-4711")?);
//! let staff = Circumstances::new(Actor::Person(ActorId::new("staff-17")?), SystemClock.now()).tenant(acme.clone());
//! let read = DataAccess::read(&staff, "customer", purpose!("support.ticket")).subject(anna.clone());
//! log.record(read.build()?).wait()?;
//!
//! let who_read_anna = Query::in_tenant(acme).subject(anna);
//! let found: Vec<_> = who_read_anna.run(dir.path(), &staff, &log)?.collect::<Result<_, _>>()?;
//! assert_eq!(found.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, Event, EventClass, EventError, RecordError, Sink};
use compliance_core::id::{ActorId, CorrelationId, SubjectId, TenantId};
use compliance_core::seal::KeyId;

use super::record::{Circumstances, Record, System};
use super::segment::{AuditError, Records, records};

/// Which records are wanted. Every condition that is stated must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Query {
    tenant: Option<TenantId>,
    subject: Option<(SubjectId, Option<KeyId>)>,
    actor: Option<(ActorId, Option<KeyId>)>,
    class: Option<EventClass>,
    from: Timestamp,
    until: Timestamp,
    correlation: Option<CorrelationId>,
}

impl Query {
    /// Records of one tenant. What no tenant stands in is not among them.
    pub fn in_tenant(tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), ..Self::in_all_tenants() }
    }

    /// Records of all tenants and of none: for those who run the service.
    pub fn in_all_tenants() -> Self {
        Self {
            tenant: None,
            subject: None,
            actor: None,
            class: None,
            from: Timestamp::from_unix_nanos(i128::MIN),
            until: Timestamp::from_unix_nanos(i128::MAX),
            correlation: None,
        }
    }

    /// About this subject, where subjects stand in plain.
    pub fn subject(self, subject: SubjectId) -> Self {
        Self { subject: Some((subject, None)), ..self }
    }

    /// By this actor, where actors stand in plain.
    pub fn actor(self, actor: ActorId) -> Self {
        Self { actor: Some((actor, None)), ..self }
    }

    /// About this subject also where they are sealed: by the id of their key, which the key store
    /// [finds](compliance_core::seal::KeyOwner). Nothing is opened.
    pub fn sealed_subject(self, subject: SubjectId, key: KeyId) -> Self {
        Self { subject: Some((subject, Some(key))), ..self }
    }

    /// By this actor also where they are sealed.
    pub fn sealed_actor(self, actor: ActorId, key: KeyId) -> Self {
        Self { actor: Some((actor, Some(key))), ..self }
    }

    /// Of this class.
    pub fn class(self, class: EventClass) -> Self {
        Self { class: Some(class), ..self }
    }

    /// Recorded from `from` on and before `until`, by the trail's clock.
    pub fn between(self, from: Timestamp, until: Timestamp) -> Self {
        Self { from, until, ..self }
    }

    /// Of this request.
    pub fn correlation(self, id: CorrelationId) -> Self {
        Self { correlation: Some(id), ..self }
    }

    /// Whether a record is wanted.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        let event = record.event();
        let is_in_time = (self.from..self.until).contains(&record.recorded_at());
        is_in_time
            && self.tenant.as_ref().is_none_or(|tenant| event.tenant() == Some(tenant))
            && self.class.is_none_or(|class| event.kind().class() == class)
            && self
                .correlation
                .is_none_or(|id| event.correlation().is_some_and(|correlation| correlation.id() == id))
            && self.subject.as_ref().is_none_or(|(subject, key)| concerns(event, subject, *key))
            && self.actor.as_ref().is_none_or(|(id, key)| is(event.actor(), id.as_str(), *key))
    }

    /// Reads the trail in `dir`, once it is recorded who does. Reads every segment; memory does not grow with it.
    ///
    /// # Errors
    /// [`QueryError`] when the reading was not recorded, or the trail cannot be read.
    pub fn run(
        self,
        dir: impl AsRef<Path>,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<Matches, QueryError> {
        self.run_recorded(dir, System::trail_read(by).build()?, sink)
    }

    pub(super) fn run_recorded(
        self,
        dir: impl AsRef<Path>,
        event: Event,
        sink: &dyn Sink,
    ) -> Result<Matches, QueryError> {
        // The list of segments first, so that what records the reading is not read.
        let records = records(dir)?;
        let receipt = sink.record(event).wait()?;
        Ok(Matches { query: self, records, before: receipt.sequence() })
    }
}

fn concerns(event: &Event, subject: &SubjectId, key: Option<KeyId>) -> bool {
    event.subjects().contains(subject)
        || event.sealed_subjects().iter().any(|sealed| Some(sealed.key()) == key)
        || event.on_behalf_of().is_some_and(|person| is(person, subject.as_str(), key))
}

fn is(actor: &Actor, name: &str, key: Option<KeyId>) -> bool {
    match actor {
        Actor::SealedPerson(sealed) => Some(sealed.key()) == key,
        plain => plain.id().is_some_and(|id| id.as_str() == name),
    }
}

/// The records that were wanted, in order; ends after the first error.
#[derive(Debug)]
#[must_use]
pub struct Matches {
    query: Query,
    records: Records,
    /// The record of this very reading; it and what follows are not part of it.
    before: u64,
}

impl Iterator for Matches {
    type Item = Result<Record, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { query, records, before } = self;
        let is_end = |record: &Result<Record, AuditError>| {
            record.as_ref().is_ok_and(|record| record.sequence() >= *before)
        };
        records
            .by_ref()
            .take_while(|record| !is_end(record))
            .find(|record| record.as_ref().map_or(true, |record| query.matches(record)))
    }
}

/// The trail was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trail not read: {0}")]
pub struct QueryError(QueryErrorKind);

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryErrorKind {
    /// The event about it was not of its shape.
    #[error("its event was refused")]
    Event,
    /// That it is read could not be recorded.
    #[error("{0}")]
    Record(RecordError),
    /// It could not be read.
    #[error("{0}")]
    Trail(AuditError),
    /// What was read could not be written.
    #[error("what was read could not be written")]
    Write,
}

impl QueryError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> QueryErrorKind {
        self.0
    }

    /// `query.event`, `query.write`, or the code of the recording's or the trail's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            QueryErrorKind::Event => "query.event",
            QueryErrorKind::Record(error) => error.code(),
            QueryErrorKind::Trail(error) => error.code(),
            QueryErrorKind::Write => "query.write",
        }
    }
}

impl From<QueryErrorKind> for QueryError {
    fn from(kind: QueryErrorKind) -> Self {
        Self(kind)
    }
}

impl From<EventError> for QueryError {
    fn from(_: EventError) -> Self {
        Self(QueryErrorKind::Event)
    }
}

impl From<RecordError> for QueryError {
    fn from(error: RecordError) -> Self {
        Self(QueryErrorKind::Record(error))
    }
}

impl From<AuditError> for QueryError {
    fn from(error: AuditError) -> Self {
        Self(QueryErrorKind::Trail(error))
    }
}
