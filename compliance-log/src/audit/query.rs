//! Reading the trail: by tenant, subject, actor, time, class and correlation id. Reading is itself recorded, before
//! the first record is given out, with what was asked for.
//!
//! Whoever has the directory has other doors, and none of them records who goes through:
//! [`records`], [`RecordProof`](super::proof::RecordProof), `verify_people`, the files. They are for
//! programs that run the trail; what people ask for goes through a query or an export.
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
//! # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
//! let (acme, anna) = (TenantId::new("acme")?, SubjectId::new("user-4711")?);
//! let staff = Circumstances::new(Actor::Person(ActorId::new("staff-17")?), SystemClock.now()).tenant(acme.clone());
//! let read = DataAccess::read(&staff, "customer", purpose!("support.ticket")).subject(anna.clone());
//! let _receipt = log.record(read.build()?).wait()?;
//!
//! let who_read_anna = Query::in_tenant(acme).subject(anna);
//! let found: Vec<_> = who_read_anna.run(dir.path(), &staff, &log)?.collect::<Result<_, _>>()?;
//! assert_eq!(found.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::PathBuf;

use compliance_core::class::Internal;
use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, Event, EventClass, EventError, RecordError, Sink};
use compliance_core::id::{ActorId, CorrelationId, SubjectId, TenantId};
use compliance_core::seal::KeyId;

#[cfg(feature = "sqlite")]
use super::index::IndexErrorKind;
use super::record::{Circumstances, Record, System};
use super::segment::{AuditError, Records, records, records_from, segments};

/// Which records are wanted. Every condition that is stated must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Query {
    pub(super) tenant: Option<TenantId>,
    pub(super) subject: Option<(SubjectId, Option<KeyId>)>,
    pub(super) actor: Option<(ActorId, Option<KeyId>)>,
    pub(super) class: Option<EventClass>,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) correlation: Option<CorrelationId>,
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
            from: Timestamp::MIN,
            until: Timestamp::MAX,
            correlation: None,
        }
    }

    /// About this subject, where subjects stand in plain. Where somebody is sealed in a record that is wanted but for that,
    /// nobody can tell whether it is them: what was found is followed by `query.sealed`. Ask such a trail with
    /// [`sealed_subject`](Self::sealed_subject).
    pub fn subject(self, subject: SubjectId) -> Self {
        Self { subject: Some((subject, None)), ..self }
    }

    /// By this actor, where actors stand in plain. Where actors are sealed, what was found is followed by `query.sealed`,
    /// as with [`subject`](Self::subject). Ask such a trail with [`sealed_actor`](Self::sealed_actor).
    pub fn actor(self, actor: ActorId) -> Self {
        Self { actor: Some((actor, None)), ..self }
    }

    /// About this subject also where they are sealed: by the id of their key, which the key store finds by its owner
    /// (`keys.find(&owner)` with the owner of `SubjectId::key_owner`). Nothing is opened. What they did to themselves is
    /// sealed under their key as actor: [`sealed_actor`](Self::sealed_actor) finds it.
    pub fn sealed_subject(self, subject: SubjectId, key: KeyId) -> Self {
        Self { subject: Some((subject, Some(key))), ..self }
    }

    /// By this actor also where they are sealed: by the id of their key as actor (`ActorId::key_owner`).
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
        self.covers(record)
            && self.subject.as_ref().is_none_or(|(subject, key)| concerns(event, subject, *key))
            && self.actor.as_ref().is_none_or(|(id, key)| is(event.actor(), id.as_str(), *key))
    }

    /// Whether a record is wanted but for who is in it.
    fn covers(&self, record: &Record) -> bool {
        let event = record.event();
        let is_in_time = (self.from..self.until).contains(&record.recorded_at());
        is_in_time
            && self.tenant.as_ref().is_none_or(|tenant| event.tenant() == Some(tenant))
            && self.class.is_none_or(|class| event.kind().class() == class)
            && self
                .correlation
                .is_none_or(|id| event.correlation().is_some_and(|correlation| correlation.id() == id))
    }

    /// Whether a record that does not match may be wanted all the same: somebody is sealed in it, and was asked for without
    /// their key.
    fn cannot_tell(&self, record: &Record) -> bool {
        let event = record.event();
        let may_concern = self.subject.as_ref().is_none_or(|(subject, key)| {
            concerns(event, subject, *key) || (key.is_none() && seals_subject(event))
        });
        let may_be = self.actor.as_ref().is_none_or(|(id, key)| {
            is(event.actor(), id.as_str(), *key) || (key.is_none() && seals_actor(event))
        });
        may_concern && may_be && self.covers(record) && !self.matches(record)
    }

    /// Reads the trail as it is by now, once it is recorded who does, in whichever sink. Over a directory it reads every
    /// segment, over an index those records that are wanted; memory does not grow with either.
    ///
    /// # Errors
    /// [`QueryError`] when the reading was not recorded, the query asks for more than its source may give
    /// (`query.other_tenant`, which is recorded), or the trail or its index cannot be read.
    pub fn run(
        self,
        trail: impl TrailSource,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<Matches, QueryError> {
        self.run_recorded(&trail, by, System::trail_read(by), sink)
    }

    /// What the record of a reading says of it. Somebody asked for by the id of their key is named by that, so that no
    /// key is made for them where the reader is; else they stand there as its subject, sealed where the trail seals.
    fn told(&self, mut event: System, by: &Circumstances) -> System {
        if let Some(tenant) = &self.tenant {
            event = event.field("query.tenant", Internal(tenant.as_str()));
        }
        if let Some(class) = self.class {
            event = event.field("query.class", Internal(class.as_str()));
        }
        if self.from > Timestamp::MIN {
            event = event.field("query.from", Internal(self.from));
        }
        if self.until < Timestamp::MAX {
            event = event.field("query.until", Internal(self.until));
        }
        if let Some(id) = self.correlation {
            event = event.field("query.correlation_id", Internal(id.to_string()));
        }
        let subject =
            self.subject.as_ref().map(|(id, key)| ("query.subject", SubjectId::new(id.as_str()), *key));
        let actor = self.actor.as_ref().map(|(id, key)| ("query.actor", SubjectId::new(id.as_str()), *key));
        for (role, person, key) in subject.into_iter().chain(actor) {
            let is_reader = person
                .as_ref()
                .is_ok_and(|person| by.actor().id().is_some_and(|reader| reader.as_str() == person.as_str()));
            event = match (key, person) {
                // Beside their own name the id of a key would say whose it is.
                (Some(key), _) if !is_reader => event.field(role, Internal(format!("key {key}"))),
                (_, Ok(person)) => event.field(role, Internal("a subject of this record")).subject(person),
                (_, Err(_)) => event.field(role, Internal("an identifier of no subject's form")),
            };
        }
        event
    }

    pub(super) fn run_recorded(
        self,
        trail: &impl TrailSource,
        by: &Circumstances,
        event: System,
        sink: &dyn Sink,
    ) -> Result<Matches, QueryError> {
        if trail.tenant().is_some_and(|tenant| self.tenant.as_ref() != Some(tenant)) {
            let refused = self.told(System::trail_read_refused(by), by).build()?;
            let _receipt = sink.record(refused).wait()?;
            return Err(QueryErrorKind::OtherTenant.into());
        }
        // Both before the reading is recorded, so that its record is not read. Its receipt does not tell: the sink may be
        // any.
        let records = records(trail.dir())?;
        let before = end(trail)?;
        let _receipt = sink.record(self.told(event, by).build()?).wait()?;
        let matches = Matches {
            query: self,
            dir: trail.dir().to_owned(),
            records,
            from: 0,
            before,
            unanswered: false,
            #[cfg(feature = "sqlite")]
            hits: None,
        };
        #[cfg(feature = "sqlite")]
        if let Some(index) = trail.index() {
            return matches.through(index);
        }
        Ok(matches)
    }
}

/// The number behind the last record there is.
fn end(trail: &impl TrailSource) -> Result<u64, AuditError> {
    #[cfg(feature = "sqlite")]
    if let Some(end) = trail.index().and_then(|index| index.end().ok()) {
        return Ok(end);
    }
    let io = |error| AuditError::io("list the segments", &error);
    let segments = segments(trail.dir()).map_err(io)?;
    // The last one may have been begun just now.
    let mut end = segments.last().map_or(0, |(first, _)| *first);
    let mut last = records_from(trail.dir(), end)?;
    while let Some(sequence) = last.next_with(|head, _, _| Ok(head.sequence)) {
        match sequence {
            Ok(sequence) => end = sequence.saturating_add(1),
            // Reading as far as there is something gives what is whole, then says what is not.
            Err(_) => return Ok(u64::MAX),
        }
    }
    Ok(end)
}

mod source {
    use std::path::Path;

    use compliance_core::id::TenantId;

    #[expect(unnameable_types, reason = "sealed: what can be read is decided here")]
    pub trait Source {
        fn dir(&self) -> &Path;

        /// Whose records alone it gives; `None`: everybody's.
        fn tenant(&self) -> Option<&TenantId> {
            None
        }

        #[cfg(feature = "sqlite")]
        fn index(&self) -> Option<&crate::audit::index::TrailIndex> {
            None
        }
    }

    impl<P: AsRef<Path>> Source for P {
        fn dir(&self) -> &Path {
            self.as_ref()
        }
    }

    #[cfg(feature = "sqlite")]
    impl Source for crate::audit::index::TrailIndex {
        fn dir(&self) -> &Path {
            self.trail()
        }

        fn index(&self) -> Option<&crate::audit::index::TrailIndex> {
            Some(self)
        }
    }

    #[cfg(feature = "sqlite")]
    impl Source for &crate::audit::index::TrailIndex {
        fn dir(&self) -> &Path {
            self.trail()
        }

        fn index(&self) -> Option<&crate::audit::index::TrailIndex> {
            Some(self)
        }
    }

    impl<S: Source> Source for super::TenantTrail<S> {
        fn dir(&self) -> &Path {
            self.source.dir()
        }

        fn tenant(&self) -> Option<&TenantId> {
            Some(&self.tenant)
        }

        #[cfg(feature = "sqlite")]
        fn index(&self) -> Option<&crate::audit::index::TrailIndex> {
            self.source.index()
        }
    }

    impl<S: Source> Source for &super::TenantTrail<S> {
        fn dir(&self) -> &Path {
            self.source.dir()
        }

        fn tenant(&self) -> Option<&TenantId> {
            Some(&self.tenant)
        }

        #[cfg(feature = "sqlite")]
        fn index(&self) -> Option<&crate::audit::index::TrailIndex> {
            self.source.index()
        }
    }
}

/// What a [`Query`] runs over: the directory of a trail, a `TrailIndex` (feature `sqlite`), or a [`TenantTrail`] over
/// either.
pub trait TrailSource: source::Source {}

impl<S: source::Source> TrailSource for S {}

/// The trail of one tenant: what code that acts for a tenant is given instead of the trail.
///
/// A query over it must [name](Query::in_tenant) its tenant; any other is refused with `query.other_tenant`, and that is
/// recorded. There is no way from it to another tenant's records:
///
/// ```compile_fail,E0616
/// # fn inner(trail: compliance_log::audit::query::TenantTrail<std::path::PathBuf>) {
/// let _ = trail.source;
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct TenantTrail<S> {
    source: S,
    tenant: TenantId,
}

impl<S: TrailSource> TenantTrail<S> {
    /// One tenant's part of the trail.
    pub fn new(source: S, tenant: TenantId) -> Self {
        Self { source, tenant }
    }

    /// Whose.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}

fn concerns(event: &Event, subject: &SubjectId, key: Option<KeyId>) -> bool {
    event.subjects().contains(subject)
        || event.sealed_subjects().iter().any(|sealed| Some(sealed.key()) == key)
        || event.on_behalf_of().is_some_and(|person| is(person, subject.as_str(), key))
}

/// Whether somebody whom a record is about is sealed in it.
pub(super) fn seals_subject(event: &Event) -> bool {
    !event.sealed_subjects().is_empty() || matches!(event.on_behalf_of(), Some(Actor::SealedPerson(_)))
}

/// Whether the actor of a record is sealed.
pub(super) fn seals_actor(event: &Event) -> bool {
    matches!(event.actor(), Actor::SealedPerson(_))
}

fn is(actor: &Actor, name: &str, key: Option<KeyId>) -> bool {
    match actor {
        Actor::SealedPerson(sealed) => Some(sealed.key()) == key,
        plain => plain.id().is_some_and(|id| id.as_str() == name),
    }
}

/// The records that were wanted, in order; ends after the first error. The last may be `query.sealed`: there are records of
/// which nobody can tell.
#[derive(Debug)]
#[must_use]
pub struct Matches {
    query: Query,
    #[cfg_attr(
        not(feature = "sqlite"),
        expect(dead_code, reason = "read again only where an index was wrong")
    )]
    dir: PathBuf,
    records: Records,
    /// The first record that was not looked at.
    from: u64,
    /// The number behind the last record there was when the reading began.
    before: u64,
    /// Of some record that was passed nobody can tell whether it was wanted.
    unanswered: bool,
    #[cfg(feature = "sqlite")]
    hits: Option<super::index::Hits>,
}

impl Matches {
    #[cfg(feature = "sqlite")]
    fn through(self, index: &super::index::TrailIndex) -> Result<Self, QueryError> {
        let hits = match index.hits(&self.query) {
            Ok(hits) => Some(hits),
            // Reading the segments gives what is whole, then says the same.
            Err(error) if matches!(error.kind(), IndexErrorKind::Trail(_)) => None,
            Err(error) => return Err(QueryErrorKind::Index(error).into()),
        };
        // Listed anew: the index may know of a segment begun since.
        Ok(Self { records: records(&self.dir)?, hits, ..self })
    }

    /// The next wanted record that the index names; `None` where there is no index, or none to be believed.
    #[cfg(feature = "sqlite")]
    fn next_hit(&mut self) -> Option<Result<Option<Record>, AuditError>> {
        let hits = self.hits.as_mut()?;
        loop {
            match hits.next(&mut self.records, self.before) {
                Ok(None) => return Some(Ok(None)),
                Ok(Some(record)) => {
                    self.from = record.sequence().saturating_add(1);
                    if self.query.matches(&record) {
                        return Some(Ok(Some(record)));
                    }
                    self.unanswered |= self.query.cannot_tell(&record);
                }
                Err(super::index::Wrong) => break,
            }
        }
        // What it says is not so. The segments are read from here on.
        self.hits = None;
        match records(&self.dir) {
            Ok(records) => {
                self.records = records;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl Matches {
    /// The next wanted record that the segments have.
    fn next_read(&mut self) -> Option<Result<Record, AuditError>> {
        loop {
            let record = match self.records.next()? {
                Ok(record) => record,
                Err(error) => return Some(Err(error)),
            };
            if record.sequence() >= self.before {
                return None;
            }
            if record.sequence() < self.from {
                continue;
            }
            if self.query.matches(&record) {
                return Some(Ok(record));
            }
            self.unanswered |= self.query.cannot_tell(&record);
        }
    }

    fn next_record(&mut self) -> Option<Result<Record, AuditError>> {
        #[cfg(feature = "sqlite")]
        if let Some(next) = self.next_hit() {
            return next.transpose();
        }
        self.next_read()
    }
}

impl Iterator for Matches {
    type Item = Result<Record, QueryError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_record() {
            Some(next) => Some(next.map_err(QueryError::from)),
            None => std::mem::take(&mut self.unanswered).then(|| Err(QueryErrorKind::Sealed.into())),
        }
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
    /// The index could not be opened or asked.
    #[cfg(feature = "sqlite")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "sqlite")))]
    #[error("{0}")]
    Index(super::index::IndexError),
    /// The query is not about the tenant whose trail it was put to.
    #[error("the query asks for records of others than the tenant")]
    OtherTenant,
    /// That it is read could not be recorded.
    #[error("{0}")]
    Record(RecordError),
    /// Somebody was asked for without the id of their key, and people are sealed in records that are wanted but for that.
    #[error("people are sealed there: ask by the id of their key (`sealed_subject`, `sealed_actor`)")]
    Sealed,
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

    /// `query.event`, `query.other_tenant`, `query.sealed`, `query.write`, or the code of the recording's, the index's or the trail's
    /// error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            QueryErrorKind::Event => "query.event",
            #[cfg(feature = "sqlite")]
            QueryErrorKind::Index(error) => error.code(),
            QueryErrorKind::OtherTenant => "query.other_tenant",
            QueryErrorKind::Record(error) => error.code(),
            QueryErrorKind::Sealed => "query.sealed",
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
