//! Forgetting people without breaking the trail.
//!
//! A trail opened with `AuditConfig::seal_people` holds every person sealed under a key of their own, and its hashes
//! cover the sealed form. Destroying the key erases the person from every record at once; nothing in the trail
//! changes, and it goes on verifying.
//!
//! Two keys per person keep two duties apart: as a data subject they may ask to be forgotten (GDPR Art. 17); as the
//! one who acted they may not shred the record of what they did.
//!
//! The latter takes two others, each in an act of their own, or the end of its time, which the trail, the configured
//! [`Retention`] and the clock tell, never whoever asks.
//!
//! A legal hold wins over both. Holds are kept with the keys ([`HeldKeyStore`]), survive a restart, and are looked at in
//! the same step that destroys a key.
//!
//! Every erasure is written to a ledger before the key is destroyed, and again once it is recorded: one that was carried
//! out and not recorded is by the next call. After a backup of the key store was restored, [`Erasures::replay`] destroys
//! again what had been destroyed since.
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
//! let _receipt = log.record(read.subject(anna.clone()).build()?).wait()?;
//!
//! let mut erasures = Erasures::open(keys.clone(), dir.path().join("erasures"), SystemClock)?;
//! let by = Circumstances::new(Actor::System, SystemClock.now());
//! let receipt = erasures.erase(&anna, None, &by, &log)?;
//! assert!(receipt.is_complete(SystemClock.now()));
//! // Nothing is there to erase: of somebody else, in another tenant, or over a trail that seals nobody.
//! let receipt = erasures.erase(&SubjectId::new("user-4712")?, None, &by, &log)?;
//! assert!(!receipt.is_complete(SystemClock.now()));
//!
//! let first = records(dir.path().join("trail"))?.next().expect("one record was written")?;
//! assert!(matches!(first.event().people(&*keys)?.subjects(), [Person::Erased(_)]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use compliance_core::class::Internal;
use compliance_core::clock::{Clock, Timestamp};
use compliance_core::event::{ACTOR_KEY, Actor, EventError, Person, RecordError, SUBJECT_KEY, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, SubjectId, TenantId};
use compliance_core::seal::{
    DestroyReceipt, KeyId, KeyOwner, KeyStore, KeyStoreError, KeyStoreErrorKind, OpenErrorKind,
};

use super::ledger::Ledger;
use super::record::{Administration, Circumstances, Erasure};
use super::retention::Retention;
use super::segment::{AuditError, records};
use super::verify::VerifyOptions;
use crate::key_store::{Approval, CaseId, Consent, HeldKeyStore, LegalHold, UnheldError};

/// Carries erasures out: check of holds and approvals, ledger, key, record; in this order, the first three in one step of
/// the key store. What is given out is kept until it is recorded.
pub struct Erasures {
    keys: Arc<dyn HeldKeyStore>,
    ledger: Ledger,
    clock: Box<dyn Clock>,
    /// How long what people did is kept, and where it is.
    retention: Option<(Retention, PathBuf, VerifyOptions)>,
    /// Whose key was noted, until its destruction is recorded: the store does not remember owners.
    noted: BTreeMap<KeyOwner, KeyId>,
}

/// What an erasure came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct ErasureReceipt {
    destroyed: Option<DestroyReceipt>,
    settled: Vec<DestroyReceipt>,
}

impl ErasureReceipt {
    /// The key store's receipt. `None`: the person has no key, and nothing was erased. They were erased before, have no
    /// record in this tenant, or stand in plain in a trail that [seals](super::AuditConfig::seal_people) nobody.
    #[must_use]
    pub fn destroyed(&self) -> Option<&DestroyReceipt> {
        self.destroyed.as_ref()
    }

    /// Receipts of earlier erasures that were carried out, could not be recorded then, and are now.
    pub fn settled(&self) -> &[DestroyReceipt] {
        &self.settled
    }

    /// Whether somebody was erased and no backup of their key is left. Where there was no key, nothing is complete.
    #[must_use]
    pub fn is_complete(&self, now: Timestamp) -> bool {
        self.destroyed.is_some_and(|receipt| receipt.is_complete(now))
    }
}

/// What a replay of the ledger came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ReplayReport {
    destroyed: usize,
    gone: usize,
    held: usize,
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

    /// Keys a legal hold is on: those who would have been erased can be read. Lift the holds and replay again, or keep
    /// them.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Keys the store does not know: the backup was older than they are.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.unknown
    }
}

impl Erasures {
    /// Works on the keys in `keys` with the ledger in the file `ledger`, created where there is none. `clock` says when
    /// something is done, and whether its time has come.
    ///
    /// Keep the ledger where a restored backup of the keys does not overwrite it. It holds key ids and times; nobody's
    /// name. One process has it open at a time.
    ///
    /// # Security
    /// What the ledger names, a [replay](Self::replay) destroys, whoever agreed to it once. Its lines are checked against
    /// accidents only: let nobody write the file who may not write the key store.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Ledger`] when the file cannot be read, is open elsewhere, or is no ledger.
    pub fn open(
        keys: Arc<dyn HeldKeyStore>,
        ledger: impl AsRef<Path>,
        clock: impl Clock + 'static,
    ) -> Result<Self, ErasureError> {
        let ledger = Ledger::open(ledger.as_ref()).map_err(|_| ErasureErrorKind::Ledger)?;
        Ok(Self { keys, ledger, clock: Box::new(clock), retention: None, noted: BTreeMap::new() })
    }

    /// Says how long what people did is kept, and in which trail it stands: from the last record of it on, nobody need
    /// approve that their key is [destroyed](Self::retire_actor). Without this, two others always must.
    ///
    /// # Security
    /// The trail is verified against `options` in the same reading. Give them the trail's key, and an anchor: else whoever
    /// can write the directory can rewrite the trail, or put an older one in its place, so that what somebody did looks
    /// older than it is.
    #[must_use]
    pub fn retaining(self, retention: Retention, trail: impl Into<PathBuf>, options: VerifyOptions) -> Self {
        Self { retention: Some((retention, trail.into(), options)), ..self }
    }

    /// Puts a legal hold on somebody, as data subject and as the one who acted: until it is [lifted](Self::lift), nothing
    /// erases them, and [`Retention::holds_of`] keeps what there is about them. It is kept with the keys and recorded;
    /// the record names the case and the key, not the person.
    ///
    /// An owner of any other kind is held as this kind alone.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Approver`] when `by` is the person themselves; [`Keys`](ErasureErrorKind::Keys) when it could
    /// not be kept; [`Record`](ErasureErrorKind::Record) when it is in force but not recorded: call again.
    pub fn hold(
        &self,
        owner: &KeyOwner,
        case: &CaseId,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<(), ErasureError> {
        if is_by(by, owner.name()) {
            return Err(ErasureErrorKind::Approver.into());
        }
        for owner in roles(owner) {
            self.keys.place_hold(&LegalHold::new(owner, case.clone(), self.clock.now()))?;
        }
        self.record_hold("audit.legal_hold.place", owner, case, by, sink)
    }

    /// Lifts the legal hold of one case, as it was [placed](Self::hold); others on the same person stay. `false`: there
    /// was none. It is recorded before it is lifted.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Approver`] when `by` is the person themselves; [`Record`](ErasureErrorKind::Record) when it
    /// was not recorded, and then not lifted; [`Keys`](ErasureErrorKind::Keys).
    pub fn lift(
        &self,
        owner: &KeyOwner,
        case: &CaseId,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<bool, ErasureError> {
        if is_by(by, owner.name()) {
            return Err(ErasureErrorKind::Approver.into());
        }
        self.record_hold("audit.legal_hold.lift", owner, case, by, sink)?;
        let mut was_there = false;
        for owner in roles(owner) {
            was_there |= self.keys.lift_hold(&owner, case)?;
        }
        Ok(was_there)
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
    /// did themselves stays attributable, also what they did to themselves. Erasing somebody who has no key is no error,
    /// and [not complete](ErasureReceipt::is_complete); that it was asked for is recorded.
    ///
    /// # Errors
    /// [`ErasureErrorKind::Held`] under a legal hold; [`Ledger`](ErasureErrorKind::Ledger) and
    /// [`Keys`](ErasureErrorKind::Keys) when it could not be carried out, or not to its end;
    /// [`Record`](ErasureErrorKind::Record) when it was carried out but not recorded. Call again: the receipt is given
    /// out then. After a restart the next call, for whomever, records it and has its receipt among those
    /// [settled](ErasureReceipt::settled).
    pub fn erase(
        &mut self,
        subject: &SubjectId,
        tenant: Option<&TenantId>,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<ErasureReceipt, ErasureError> {
        let by = by.unnamed(subject.as_str());
        self.carry_out(subject.key_owner(tenant), Consent::NotNeeded, &by, sink)
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
        // Nobody is to be named beside the id of their own key.
        let by = by.unnamed(actor.as_str());
        let event = Administration::performed(&by, "audit.actor_key_destruction.approve", Outcome::Passed)
            .field("key", Internal(key.to_string()))
            .build()?;
        let _receipt = sink.record(event).wait()?;
        Ok(self.keys.approve(key, Approval::new(approver.clone(), self.clock.now()))?)
    }

    /// Destroys somebody's key as the one who acted, once the [configured](Self::retaining) retention of the last they did
    /// has ended. Before that it takes the [approval](Self::approve_retirement) of two others: that they gave it and that
    /// no hold is on is looked at in the step that destroys the key; in SQLite, in the same transaction.
    ///
    /// Reads and verifies the whole trail. An event that is on its way there, in a queue or in a database, is not looked at: let the
    /// sequencer take it over first, until `SequencedTrail::waiting` says that there is none. What a hold of the configured retention itself is on never ends.
    ///
    /// # Errors
    /// As [`erase`](Self::erase); [`ErasureErrorKind::Approver`] when `by` is the person themselves;
    /// [`Retained`](ErasureErrorKind::Retained) before its time without two approvals;
    /// [`Trail`](ErasureErrorKind::Trail) when the trail cannot be read, does not verify, or is none.
    pub fn retire_actor(
        &mut self,
        actor: &ActorId,
        tenant: Option<&TenantId>,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<ErasureReceipt, ErasureError> {
        if is_by(by, actor.as_str()) {
            return Err(ErasureErrorKind::Approver.into());
        }
        let owner = actor.key_owner(tenant);
        let consent = match &owner {
            Some(owner) if self.is_retained(actor, owner)? => Consent::OfTwoOthers,
            _ => Consent::NotNeeded,
        };
        self.carry_out(owner, consent, &by.unnamed(actor.as_str()), sink)
    }

    /// Destroys again whatever the ledger says was to be destroyed: after a backup of the key store was restored, before
    /// anybody reads the trail. A legal hold wins here, too, and is [reported](ReplayReport::held).
    ///
    /// # Errors
    /// [`ErasureErrorKind::Ledger`] and [`Keys`](ErasureErrorKind::Keys) when one fails;
    /// [`Record`](ErasureErrorKind::Record) when it was carried out but not recorded: call again.
    pub fn replay(&mut self, by: &Circumstances, sink: &dyn Sink) -> Result<ReplayReport, ErasureError> {
        let mut report = ReplayReport::default();
        let now = self.clock.now();
        for key in self.ledger.keys() {
            match self.keys.unwrap_key(key).map_err(|error| error.kind()) {
                Err(KeyStoreErrorKind::Destroyed) => report.gone = report.gone.saturating_add(1),
                Err(KeyStoreErrorKind::UnknownKey) => report.unknown = report.unknown.saturating_add(1),
                Ok(_) | Err(KeyStoreErrorKind::NotUnwrapped) => {
                    let ledger = &mut self.ledger;
                    let noted = &mut |key| ledger.note(key, now).is_ok();
                    match self.keys.destroy_key_unheld(key, now, noted) {
                        Ok(_receipt) => report.destroyed = report.destroyed.saturating_add(1),
                        Err(UnheldError::Held) => report.held = report.held.saturating_add(1),
                        Err(error) => return Err(error.into()),
                    }
                }
                Err(kind) => return Err(KeyStoreError::from(kind).into()),
            }
        }
        let _settled = self.settle(None, by, sink)?;
        Ok(report)
    }

    /// Whether what they did must be kept still, as far as can be told.
    fn is_retained(&self, actor: &ActorId, owner: &KeyOwner) -> Result<bool, ErasureError> {
        let Some((retention, trail, options)) = &self.retention else { return Ok(true) };
        let Some(key) = self.keys.find(owner)? else { return Ok(false) };
        Ok(self.clock.now() < retention.ends_for((trail, options), actor, key)?)
    }

    fn carry_out(
        &mut self,
        owner: Option<KeyOwner>,
        consent: Consent,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<ErasureReceipt, ErasureError> {
        let destroyed = match &owner {
            Some(owner) => self.destroy(owner, consent)?,
            None => None,
        };
        let mut settled = self.settle(destroyed, by, sink)?;
        settled.retain(|receipt| Some(*receipt) != destroyed);
        match &owner {
            Some(owner) if destroyed.is_some() => drop(self.noted.remove(owner)),
            _ => drop(sink.record(Erasure::requested(by).build()?).wait()?),
        }
        Ok(ErasureReceipt { destroyed, settled })
    }

    fn destroy(
        &mut self,
        owner: &KeyOwner,
        consent: Consent,
    ) -> Result<Option<DestroyReceipt>, ErasureError> {
        let now = self.clock.now();
        let Self { keys, ledger, noted, .. } = self;
        let mut note = |key| {
            noted.insert(owner.clone(), key);
            ledger.note(key, now).is_ok()
        };
        let destroyed = keys.destroy_unheld(owner, consent, now, &mut note)?;
        match self.noted.get(owner) {
            // An earlier call destroyed it and did not come to its end: the same receipt again.
            Some(key) if destroyed.is_none() => Ok(Some(self.keys.destroy(*key, now)?)),
            _ => Ok(destroyed),
        }
    }

    /// Records what was carried out and is on no record yet, `known` among it.
    fn settle(
        &mut self,
        known: Option<DestroyReceipt>,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<Vec<DestroyReceipt>, ErasureError> {
        let now = self.clock.now();
        let mut carried_out = Vec::new();
        for key in self.ledger.unrecorded() {
            if let Some(known) = known.filter(|known| known.key() == key) {
                carried_out.push(known);
                continue;
            }
            match self.keys.unwrap_key(key).map_err(|error| error.kind()) {
                // A destroyed key's first receipt again.
                Err(KeyStoreErrorKind::Destroyed) => carried_out.push(self.keys.destroy(key, now)?),
                // It was noted, and nothing came of it.
                Ok(_) | Err(KeyStoreErrorKind::NotUnwrapped | KeyStoreErrorKind::UnknownKey) => {}
                Err(kind) => return Err(KeyStoreError::from(kind).into()),
            }
        }
        if carried_out.is_empty() {
            return Ok(carried_out);
        }
        let count = u32::try_from(carried_out.len()).unwrap_or(u32::MAX);
        let mut event = Erasure::completed(by, count);
        if let Some(until) = carried_out.iter().filter_map(DestroyReceipt::backups_until).max() {
            event = event.pending_until(until);
        }
        let _receipt = sink.record(event.build()?).wait()?;
        for receipt in &carried_out {
            self.ledger.settle(receipt.key(), now).map_err(|_| ErasureErrorKind::Ledger)?;
        }
        Ok(carried_out)
    }

    fn record_hold(
        &self,
        action: &'static str,
        owner: &KeyOwner,
        case: &CaseId,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<(), ErasureError> {
        let case = Internal(case.as_str().to_owned());
        let by = by.unnamed(owner.name());
        let mut event = Administration::performed(&by, action, Outcome::Passed).field("case", case);
        // A name would outlive the erasure that comes once the hold is lifted.
        if let Some(key) = self.keys.find(owner)? {
            event = event.field("key", Internal(key.to_string()));
        }
        let _receipt = sink.record(event.build()?).wait()?;
        Ok(())
    }
}

/// Whether it is this very person who acts, or nobody can tell that it is not.
fn is_by(by: &Circumstances, name: &str) -> bool {
    match by.actor() {
        Actor::SealedPerson(_) => true,
        actor => actor.id().is_some_and(|id| id.as_str() == name),
    }
}

/// One person's keys in their two roles; any other owner is alone.
fn roles(owner: &KeyOwner) -> Vec<KeyOwner> {
    if ![SUBJECT_KEY, ACTOR_KEY].contains(&owner.kind()) {
        return vec![owner.clone()];
    }
    let of_kind = |kind| {
        let role = KeyOwner::new(kind, owner.name()).ok()?;
        Some(owner.tenant().map_or(role.clone(), |tenant| role.of_tenant(tenant.clone())))
    };
    [SUBJECT_KEY, ACTOR_KEY].into_iter().filter_map(of_kind).collect()
}

impl fmt::Debug for Erasures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erasures").finish_non_exhaustive()
    }
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
    /// Who it is about cannot have a say in it, nor carry it out; nor can who is no person approve.
    #[error("only another person can do this")]
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

impl From<UnheldError> for ErasureError {
    fn from(error: UnheldError) -> Self {
        Self(match error {
            UnheldError::Held => ErasureErrorKind::Held,
            UnheldError::NotApproved => ErasureErrorKind::Retained,
            UnheldError::NotNoted => ErasureErrorKind::Ledger,
            UnheldError::Store(error) => ErasureErrorKind::Keys(error),
        })
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
