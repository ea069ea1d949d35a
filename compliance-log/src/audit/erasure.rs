//! Forgetting people without breaking the trail.
//!
//! A trail opened with `AuditConfig::seal_people` holds every person sealed under a key of their own, and its hashes
//! cover the sealed form. Destroying the key erases the person from every record at once; nothing in the trail
//! changes, and it goes on verifying.
//!
//! Two keys per person keep two duties apart: as a data subject they may ask to be forgotten (GDPR Art. 17); as the
//! one who acted they may not shred the record of what they did.
//!
//! The latter takes two others, each in an act of their own, or the end of its time.
//!
//! A legal hold wins over both. Holds are kept with the keys ([`HeldKeyStore`]), survive a restart, and are looked at in
//! the same step that destroys a key.
//!
//! Every erasure is written to a ledger before the key is destroyed. After a backup of the key store was restored,
//! [`Erasures::replay`] destroys again what had been destroyed since.
//!
//! ```
//! use std::sync::Arc;
//! use compliance_core::clock::{Clock, SystemClock};
//! use compliance_core::event::{Actor, Event, EventKind, Person, Sink};
//! use compliance_core::finding::Outcome;
//! use compliance_core::id::SubjectId;
//! use compliance_core::random::SystemRandom;
//! use compliance_core::seal::{KeyEncryptionKey, KeyRing};
//! use compliance_log::audit::erasure::Erasures;
//! use compliance_log::audit::record::Circumstances;
//! use compliance_log::audit::segment::records;
//! use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
//! use compliance_log::key_store::FileKeyStore;
//!
//! # let dir = tempfile::tempdir()?;
//! let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32])?);
//! let keys = Arc::new(FileKeyStore::open(dir.path().join("keys"), ring)?);
//! let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
//! let config = AuditConfig::new(key).seal_people(keys.clone(), Arc::new(SystemRandom));
//! # let config = config.on_any_storage();
//! let (log, _) = AuditLog::open(dir.path().join("trail"), config, SystemClock)?;
//!
//! let anna = SubjectId::new("user-4711")?;
//! let read = Event::builder(EventKind::DataRead, Outcome::Passed, Actor::System, SystemClock.now());
//! log.record(read.subject(anna.clone()).build()?).wait()?;
//!
//! let mut erasures = Erasures::open(keys.clone(), dir.path().join("erasures"))?;
//! let by = Circumstances::new(Actor::System, SystemClock.now());
//! erasures.erase(&anna, None, &by, &log)?;
//!
//! let first = records(dir.path().join("trail"))?.next().expect("one record was written")?;
//! assert!(matches!(first.event().people(&*keys)?.subjects(), [Person::Erased(_)]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use compliance_core::class::Internal;
use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, EventError, Person, RecordError, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, SubjectId, TenantId};
use compliance_core::seal::{
    DestroyReceipt, KeyId, KeyOwner, KeyStore, KeyStoreError, KeyStoreErrorKind, OpenErrorKind,
};

use super::ledger::Ledger;
use super::record::{Administration, Circumstances, Erasure};
use super::retention::Retention;
use super::segment::{AuditError, records};
use crate::key_store::{Approval, CaseId, Consent, HeldKeyStore, LegalHold, UnheldError};

/// Carries erasures out: check of holds and approvals, ledger, key, record; in this order, the first three in one step of
/// the key store.
pub struct Erasures {
    keys: Arc<dyn HeldKeyStore>,
    ledger: Ledger,
}

/// What an erasure came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ErasureReceipt {
    destroyed: Option<DestroyReceipt>,
}

impl ErasureReceipt {
    /// The key store's receipt; `None` when the trail never had the person.
    #[must_use]
    pub fn destroyed(&self) -> Option<&DestroyReceipt> {
        self.destroyed.as_ref()
    }

    /// Whether the erasure is complete, or still pending on a backup of the key.
    #[must_use]
    pub fn is_complete(&self, now: Timestamp) -> bool {
        self.destroyed.is_none_or(|receipt| receipt.is_complete(now))
    }
}

/// What a replay of the ledger came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ReplayReport {
    destroyed: usize,
    gone: usize,
    unknown: usize,
}

impl ReplayReport {
    /// Keys a backup had brought back, destroyed again.
    #[must_use]
    pub fn destroyed(&self) -> usize {
        self.destroyed
    }

    /// Keys that were still destroyed.
    #[must_use]
    pub fn gone(&self) -> usize {
        self.gone
    }

    /// Keys the store does not know: the backup was older than they are.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.unknown
    }
}

impl Erasures {
    /// Works on the keys in `keys` with the ledger in the file `ledger`, created where there is none.
    ///
    /// Keep the ledger where a restored backup of the keys does not overwrite it. It holds key ids and times; nobody's
    /// name.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Ledger`] when the file cannot be read, or is no ledger.
    pub fn open(keys: Arc<dyn HeldKeyStore>, ledger: impl AsRef<Path>) -> Result<Self, ErasureError> {
        let ledger = Ledger::open(ledger.as_ref()).map_err(|_| ErasureErrorKind::Ledger)?;
        Ok(Self { keys, ledger })
    }

    /// Puts a legal hold on somebody: until it is [lifted](Self::lift), nothing erases them, and
    /// [`Retention::holds_of`](super::retention::Retention::holds_of) keeps what there is about them. It is kept with the
    /// keys and recorded.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Keys`] when it could not be kept; [`Record`](ErasureErrorKind::Record) when it is in force
    /// but not recorded: call again.
    pub fn hold(
        &self,
        owner: &KeyOwner,
        case: &CaseId,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<(), ErasureError> {
        self.keys.place_hold(&LegalHold::new(owner.clone(), case.clone(), by.at()))?;
        record_hold("audit.legal_hold.place", owner, case, by, sink)
    }

    /// Lifts the legal hold of one case; others on the same person stay. `false`: there was none. It is recorded before
    /// it is lifted.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Record`] when it was not recorded, and then not lifted; [`Keys`](ErasureErrorKind::Keys).
    pub fn lift(
        &self,
        owner: &KeyOwner,
        case: &CaseId,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<bool, ErasureError> {
        record_hold("audit.legal_hold.lift", owner, case, by, sink)?;
        Ok(self.keys.lift_hold(owner, case)?)
    }

    /// What was erased but may still be in a backup as of `now`, the oldest first.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Keys`].
    pub fn pending(&self, now: Timestamp) -> Result<Vec<DestroyReceipt>, ErasureError> {
        Ok(self.keys.pending(now)?)
    }

    /// Erases somebody as a data subject: acted for, target or mentioned, in every record of the tenant.
    ///
    /// The ledger has it before the key is destroyed, the trail after; the record of it does not name them. What they
    /// did themselves stays attributable. Erasing somebody again is no error.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Held`] under a legal hold; [`Ledger`](ErasureErrorKind::Ledger) and
    /// [`Keys`](ErasureErrorKind::Keys) when it could not be carried out; [`Record`](ErasureErrorKind::Record) when it
    /// was carried out but not recorded: call again.
    pub fn erase(
        &mut self,
        subject: &SubjectId,
        tenant: Option<&TenantId>,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<ErasureReceipt, ErasureError> {
        let Some(owner) = subject.key_owner(tenant) else { return Ok(ErasureReceipt { destroyed: None }) };
        let destroyed = self.destroy(&owner, Consent::NotNeeded, by.at())?;
        let by = by.unnamed(subject.as_str());
        record_completed(&by, u32::from(destroyed.is_some()), destroyed.as_ref(), sink)?;
        Ok(ErasureReceipt { destroyed })
    }

    /// Approves, as the person `by` says, that somebody's key as the one who acted be destroyed before its time. It is
    /// recorded, then kept with the key, and counts for [`Approval::LIFE`]; approving again renews it. The record names
    /// the key, not the person.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Approver`] when `by` is the person themselves, or none; [`Held`](ErasureErrorKind::Held)
    /// under a legal hold, which nobody's approval lifts; [`Record`](ErasureErrorKind::Record) when it was not recorded,
    /// and then does not count; [`Keys`](ErasureErrorKind::Keys), also when they have no key.
    ///
    /// # Security
    /// `by` is whoever the service has authenticated for this very call. Two approvals out of one session are one
    /// person's.
    pub fn approve_retirement(
        &self,
        actor: &ActorId,
        tenant: Option<&TenantId>,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<(), ErasureError> {
        let Actor::Person(approver) = by.actor() else { return Err(ErasureErrorKind::Approver.into()) };
        if approver == actor {
            return Err(ErasureErrorKind::Approver.into());
        }
        let unknown = || ErasureError::from(KeyStoreError::from(KeyStoreErrorKind::UnknownKey));
        let owner = actor.key_owner(tenant).ok_or_else(unknown)?;
        if self.keys.holds()?.iter().any(|hold| *hold.owner() == owner) {
            return Err(ErasureErrorKind::Held.into());
        }
        let key = self.keys.find(&owner)?.ok_or_else(unknown)?;
        let event = Administration::performed(by, "audit.actor_key_destruction.approve", Outcome::Passed)
            .field("key", Internal(key.to_string()))
            .build()?;
        let _receipt = sink.record(event).wait()?;
        Ok(self.keys.approve(key, Approval::new(approver.clone(), by.at()))?)
    }

    /// Destroys somebody's key as the one who acted, once the retention of everything the trail in `trail` has of them as
    /// such has ended, by the times they were recorded at. Before that it takes the
    /// [approval](Self::approve_retirement) of two others: that they gave it and that no hold is on is looked at in the
    /// step that destroys the key; in SQLite, in the same transaction. Reads the whole trail.
    ///
    /// What still waits in a database for the sequencer is not in the trail: call this once that is taken over.
    ///
    /// # Errors
    /// As [`erase`](Self::erase); [`ErasureErrorKind::Retained`] before that end without two approvals;
    /// [`Held`](ErasureErrorKind::Held) also under a hold of `retention`; [`Trail`](ErasureErrorKind::Trail) when the
    /// trail cannot be read or is none.
    pub fn retire_actor(
        &mut self,
        actor: &ActorId,
        tenant: Option<&TenantId>,
        retention: &Retention,
        trail: impl AsRef<Path>,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<ErasureReceipt, ErasureError> {
        let Some(owner) = actor.key_owner(tenant) else { return Ok(ErasureReceipt { destroyed: None }) };
        let ends = match self.keys.find(&owner)? {
            Some(key) => retention_ends(trail.as_ref(), key, retention)?,
            None => None,
        };
        let is_early = ends.is_some_and(|ends| by.at() < ends);
        let consent = if is_early { Consent::OfTwoOthers } else { Consent::NotNeeded };
        let destroyed = self.destroy(&owner, consent, by.at())?;
        let by = by.unnamed(actor.as_str());
        record_completed(&by, u32::from(destroyed.is_some()), destroyed.as_ref(), sink)?;
        Ok(ErasureReceipt { destroyed })
    }

    /// Destroys again whatever the ledger says was destroyed: after a backup of the key store was restored, before
    /// anybody reads the trail.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Keys`] when the store fails; [`Record`](ErasureErrorKind::Record) when it was carried out
    /// but not recorded.
    pub fn replay(&mut self, by: &Circumstances, sink: &dyn Sink) -> Result<ReplayReport, ErasureError> {
        let mut report = ReplayReport::default();
        for key in self.ledger.keys() {
            match self.keys.unwrap_key(key).map_err(|error| error.kind()) {
                Err(KeyStoreErrorKind::Destroyed) => report.gone = report.gone.saturating_add(1),
                Err(KeyStoreErrorKind::UnknownKey) => report.unknown = report.unknown.saturating_add(1),
                Ok(_) | Err(KeyStoreErrorKind::NotUnwrapped) => {
                    let _receipt = self.keys.destroy(key, by.at())?;
                    report.destroyed = report.destroyed.saturating_add(1);
                }
                Err(kind) => return Err(KeyStoreError::from(kind).into()),
            }
        }
        if report.destroyed > 0 {
            let count = u32::try_from(report.destroyed).unwrap_or(u32::MAX);
            record_completed(by, count, None, sink)?;
        }
        Ok(report)
    }

    fn destroy(
        &mut self,
        owner: &KeyOwner,
        consent: Consent,
        at: Timestamp,
    ) -> Result<Option<DestroyReceipt>, ErasureError> {
        let Self { keys, ledger } = self;
        keys.destroy_unheld(owner, consent, at, &mut |key| ledger.append(key, at).is_ok()).map_err(|error| {
            match error {
                UnheldError::Held => ErasureErrorKind::Held,
                UnheldError::NotApproved => ErasureErrorKind::Retained,
                UnheldError::NotNoted => ErasureErrorKind::Ledger,
                UnheldError::Store(error) => ErasureErrorKind::Keys(error),
            }
            .into()
        })
    }
}

/// When what was recorded of somebody as the one who acted need not be kept any more; `None`: there is nothing.
fn retention_ends(
    trail: &Path,
    key: KeyId,
    retention: &Retention,
) -> Result<Option<Timestamp>, ErasureError> {
    let mut records = records(trail)?.peekable();
    // No trail is no proof that they did nothing.
    records.peek().ok_or_else(AuditError::no_trail)?;
    let mut ends = None;
    for record in records {
        let record = record?;
        if matches!(record.event().actor(), Actor::SealedPerson(person) if person.key() == key) {
            if retention.holds(record.event()) {
                return Err(ErasureErrorKind::Held.into());
            }
            ends = ends.max(Some(retention.ends(&record)));
        }
    }
    Ok(ends)
}

fn record_hold(
    action: &'static str,
    owner: &KeyOwner,
    case: &CaseId,
    by: &Circumstances,
    sink: &dyn Sink,
) -> Result<(), ErasureError> {
    let case = Internal(case.as_str().to_owned());
    let mut event = Administration::performed(by, action, Outcome::Passed).field("case", case);
    // Sealed like everybody in the trail, where the trail seals people.
    if let Ok(subject) = SubjectId::new(owner.name()) {
        event = event.subject(subject);
    }
    let _receipt = sink.record(event.build()?).wait()?;
    Ok(())
}

impl fmt::Debug for Erasures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erasures").finish_non_exhaustive()
    }
}

fn record_completed(
    by: &Circumstances,
    keys: u32,
    destroyed: Option<&DestroyReceipt>,
    sink: &dyn Sink,
) -> Result<(), ErasureError> {
    let mut event = Erasure::completed(by, keys);
    if let Some(until) = destroyed.and_then(DestroyReceipt::backups_until) {
        event = event.pending_until(until);
    }
    let _receipt = sink.record(event.build()?).wait()?;
    Ok(())
}

/// What is left of the people in a trail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct PeopleReport {
    verified: u64,
    erased: u64,
    tampered: u64,
    first_tampered: Option<u64>,
}

impl PeopleReport {
    /// People whose sealed identifier opens, or stands there in plain.
    #[must_use]
    pub fn verified(&self) -> u64 {
        self.verified
    }

    /// People whose key was destroyed.
    #[must_use]
    pub fn erased(&self) -> u64 {
        self.erased
    }

    /// Records with a person who can neither be opened nor was erased.
    #[must_use]
    pub fn tampered(&self) -> u64 {
        self.tampered
    }

    /// The first of those.
    #[must_use]
    pub fn first_tampered(&self) -> Option<u64> {
        self.first_tampered
    }
}

/// Tells, for every person in every record of the trail in `dir`, whether they can be read, were erased, or neither:
/// then key store or trail was tampered with. Whether the records are what was signed,
/// [`verify`](crate::audit::verify::verify) tells.
///
/// # Errors
/// [`ErasureErrorKind::Trail`] when the trail cannot be read; [`Keys`](ErasureErrorKind::Keys) when the store is not
/// available.
pub fn verify_people(dir: impl AsRef<Path>, keys: &dyn KeyStore) -> Result<PeopleReport, ErasureError> {
    let mut report = PeopleReport::default();
    for record in records(dir)? {
        let record = record?;
        match record.event().people(keys) {
            Ok(people) => {
                for person in
                    [people.actor(), people.on_behalf_of()].into_iter().flatten().chain(people.subjects())
                {
                    let count = match person {
                        Person::Erased(_) => &mut report.erased,
                        Person::Known(_) => &mut report.verified,
                    };
                    *count = count.saturating_add(1);
                }
            }
            Err(error) if error.kind() == OpenErrorKind::Unavailable => {
                return Err(KeyStoreError::from(KeyStoreErrorKind::Unavailable).into());
            }
            Err(_) => {
                report.tampered = report.tampered.saturating_add(1);
                report.first_tampered.get_or_insert(record.sequence());
            }
        }
    }
    Ok(report)
}

/// An erasure was not carried out, or not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("erasure: {0}")]
pub struct ErasureError(ErasureErrorKind);

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErasureErrorKind {
    /// Who acted cannot approve that it be forgotten; nor can who is no person.
    #[error("only another person can approve")]
    Approver,
    /// The event about it was not of its shape.
    #[error("its event was refused")]
    Event,
    /// A legal hold is on them.
    #[error("a legal hold is on the key")]
    Held,
    /// The key store failed.
    #[error("{0}")]
    Keys(KeyStoreError),
    /// The ledger could not be read or written, or is none.
    #[error("the erasure ledger could not be read or written")]
    Ledger,
    /// It was carried out, but its record was not written.
    #[error("{0}")]
    Record(RecordError),
    /// The retention of what they did has not ended, and no two others approve.
    #[error("what they did must be kept, and no two others approve")]
    Retained,
    /// The trail could not be read.
    #[error("{0}")]
    Trail(AuditError),
}

impl ErasureError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> ErasureErrorKind {
        self.0
    }

    /// `erasure.approver`, `erasure.event`, `erasure.held`, `erasure.ledger`, `erasure.retained`, or the code of the key
    /// store's, the recording's or the trail's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            ErasureErrorKind::Approver => "erasure.approver",
            ErasureErrorKind::Event => "erasure.event",
            ErasureErrorKind::Held => "erasure.held",
            ErasureErrorKind::Keys(error) => error.code(),
            ErasureErrorKind::Ledger => "erasure.ledger",
            ErasureErrorKind::Record(error) => error.code(),
            ErasureErrorKind::Retained => "erasure.retained",
            ErasureErrorKind::Trail(error) => error.code(),
        }
    }
}

impl From<ErasureErrorKind> for ErasureError {
    fn from(kind: ErasureErrorKind) -> Self {
        Self(kind)
    }
}

impl From<KeyStoreError> for ErasureError {
    fn from(error: KeyStoreError) -> Self {
        Self(ErasureErrorKind::Keys(error))
    }
}

impl From<RecordError> for ErasureError {
    fn from(error: RecordError) -> Self {
        Self(ErasureErrorKind::Record(error))
    }
}

impl From<AuditError> for ErasureError {
    fn from(error: AuditError) -> Self {
        Self(ErasureErrorKind::Trail(error))
    }
}

impl From<EventError> for ErasureError {
    fn from(_: EventError) -> Self {
        Self(ErasureErrorKind::Event)
    }
}
