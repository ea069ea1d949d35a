//! How long records are kept, and who says so.
//!
//! Whole closed segments are deleted, oldest first, once every record in them is past the retention of its class and
//! nobody in them is under a legal hold. How old a record is, and whose, is taken from a trail that was verified in the
//! same reading: one that does not verify keeps everything. That segments go is recorded in the trail, and signed by a
//! checkpoint, before they do; verification passes over what is left, and says what was retired.
//!
//! ```
//! # use std::sync::Arc;
//! # use std::time::Duration;
//! # use compliance_core::clock::{Clock, SystemClock};
//! # use compliance_core::event::{Actor, EventClass};
//! # use compliance_core::random::SystemRandom;
//! # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
//! use compliance_log::audit::record::Circumstances;
//! use compliance_log::audit::retention::{OFAC_501_601, PCI_DSS_10_5_1, Retention};
//!
//! # let dir = tempfile::tempdir()?;
//! # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
//! # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
//! let retention = Retention::new(PCI_DSS_10_5_1.period()).class(EventClass::Check, OFAC_501_601.period());
//! let by = Circumstances::new(Actor::System, SystemClock.now());
//! let report = retention.retire(&log, &by)?;
//! assert_eq!(report.segments(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
#[cfg(feature = "key-store")]
use std::path::Path;
use std::time::Duration;

use compliance_core::clock::{Date, Timestamp};
use compliance_core::event::{Actor, Event, EventClass, EventError, FieldValueKind, RecordError};
#[cfg(feature = "key-store")]
use compliance_core::id::ActorId;
use compliance_core::id::SubjectId;
use compliance_core::seal::KeyId;

use super::record::{Circumstances, Record, System};
use super::segment::{self, AuditError, AuditLog};
use super::verify::{VerifyOptions, verify_each};
use crate::directory;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// For how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPeriod {
    length: Duration,
    from_year_end: bool,
}

impl RetentionPeriod {
    /// From the record on.
    #[must_use]
    pub const fn of(length: Duration) -> Self {
        Self { length, from_year_end: false }
    }

    /// From the end of the calendar year in which the record was made, in whichever time zone that is latest: what was
    /// made in the last fourteen hours of a year in UTC, when the next has begun somewhere, counts as made in that, and a
    /// year ends twelve hours later than in UTC.
    #[must_use]
    pub const fn from_year_end(length: Duration) -> Self {
        Self { length, from_year_end: true }
    }

    /// When a record made at `at` may go.
    #[must_use]
    pub fn ends(&self, at: Timestamp) -> Timestamp {
        let start = if self.from_year_end { year_end(at.saturating_add(AHEAD)) } else { at };
        start.saturating_add(self.length)
    }
}

/// How far clocks are ahead of UTC at most, in Kiribati, and behind it at most, on Baker Island.
const AHEAD: Duration = Duration::from_secs(14 * 3600);
const BEHIND: Duration = Duration::from_secs(12 * 3600);

fn year_end(at: Timestamp) -> Timestamp {
    let date = at.date().to_string();
    let year = date.get(..4).and_then(|year| year.parse::<i16>().ok());
    let next = year.and_then(|year| Date::new(year.saturating_add(1), 1, 1).ok());
    // Dates with other than four digits have no business in a trail; a year more keeps them.
    next.map_or(at.saturating_add(DAY.saturating_mul(366)), Date::start).saturating_add(BEHIND)
}

/// A period somebody prescribes, and what that binds. A preset claims no more than its source says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPreset {
    source: &'static str,
    binds: &'static str,
    period: RetentionPeriod,
}

impl RetentionPreset {
    /// Where it is written.
    #[must_use]
    pub const fn source(&self) -> &'static str {
        self.source
    }

    /// What it binds.
    #[must_use]
    pub const fn binds(&self) -> &'static str {
        self.binds
    }

    /// The least to be kept.
    #[must_use]
    pub const fn period(&self) -> RetentionPeriod {
        self.period
    }
}

const fn years(years: u64) -> Duration {
    // 366 days each: never a day short.
    Duration::from_secs(years.saturating_mul(366 * 24 * 3600))
}

/// Twelve months, of which the last three must be at hand for analysis: keep those segments on the machine.
pub const PCI_DSS_10_5_1: RetentionPreset = RetentionPreset {
    source: "PCI DSS v4.0.1, requirement 10.5.1",
    binds: "audit log history of system components in the cardholder data environment",
    period: RetentionPeriod::of(years(1)),
};

/// Ten years.
pub const OFAC_501_601: RetentionPreset = RetentionPreset {
    source: "31 CFR 501.601",
    binds: "records of transactions subject to the regulations of 31 CFR chapter V",
    period: RetentionPeriod::of(years(10)),
};

/// Ten years from the end of the year.
pub const HGB_257_BOOKS: RetentionPreset = RetentionPreset {
    source: "§ 257 (1) no. 1, (4), (5) HGB; § 147 (1) no. 1, (3), (4) AO",
    binds: "books of account, inventories, annual statements and the documentation needed to understand them",
    period: RetentionPeriod::from_year_end(years(10)),
};

/// How long each class is kept.
#[derive(Clone, Debug)]
#[must_use]
pub struct Retention {
    others: RetentionPeriod,
    classes: BTreeMap<EventClass, RetentionPeriod>,
    held_subjects: BTreeSet<SubjectId>,
    held_keys: BTreeSet<KeyId>,
    holds_all: bool,
    #[cfg(feature = "key-store")]
    holds_of: Option<std::sync::Arc<dyn crate::key_store::HeldKeyStore>>,
}

impl Retention {
    /// This long, whatever the class.
    pub fn new(period: RetentionPeriod) -> Self {
        Self {
            others: period,
            classes: BTreeMap::new(),
            held_subjects: BTreeSet::new(),
            held_keys: BTreeSet::new(),
            holds_all: false,
            #[cfg(feature = "key-store")]
            holds_of: None,
        }
    }

    /// This class otherwise.
    pub fn class(mut self, class: EventClass, period: RetentionPeriod) -> Self {
        self.classes.insert(class, period);
        self
    }

    /// A legal hold on everything.
    pub fn hold_all(mut self) -> Self {
        self.holds_all = true;
        self
    }

    /// A legal hold on somebody: segments with a record of them stay, and so does what follows.
    pub fn hold(mut self, subject: SubjectId) -> Self {
        self.held_subjects.insert(subject);
        self
    }

    /// A legal hold on somebody who is sealed, by the id of their key.
    pub fn hold_sealed(mut self, key: KeyId) -> Self {
        self.held_keys.insert(key);
        self
    }

    /// The legal holds kept in this store, as they are whenever something is retired: whoever is held, as data subject
    /// or as the one who acted, sealed or in plain. When they cannot be read, nothing is retired.
    #[cfg(feature = "key-store")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "key-store")))]
    pub fn holds_of(mut self, keys: std::sync::Arc<dyn crate::key_store::HeldKeyStore>) -> Self {
        self.holds_of = Some(keys);
        self
    }

    /// With what the store says is held by now.
    #[cfg(feature = "key-store")]
    fn with_holds(&self) -> Result<Self, RetireError> {
        let mut all = self.clone();
        let Some(keys) = &self.holds_of else { return Ok(all) };
        for hold in keys.holds().map_err(RetireErrorKind::Holds)? {
            // In plain, whichever tenant it is in: keeping too much is the lesser harm.
            all.held_subjects.extend(SubjectId::new(hold.owner().name()));
            all.held_keys.extend(keys.find(hold.owner()).map_err(RetireErrorKind::Holds)?);
        }
        Ok(all)
    }

    /// Holds are kept with the keys, of which there are none.
    #[cfg(not(feature = "key-store"))]
    fn with_holds(&self) -> Result<Self, RetireError> {
        Ok(self.clone())
    }

    fn holds_the_same(&self, other: &Self) -> bool {
        (&self.held_subjects, &self.held_keys) == (&other.held_subjects, &other.held_keys)
    }

    /// When the last that somebody did may go: the latest end over the records in `trail` whose actor they are, by their
    /// name or their key. A record that is held here may not ever. No trail is no proof that they did nothing, nor is one
    /// that does not verify.
    #[cfg(feature = "key-store")]
    pub(super) fn ends_for(
        &self,
        (trail, options): (&Path, &VerifyOptions),
        actor: &ActorId,
        key: KeyId,
    ) -> Result<Timestamp, AuditError> {
        let mut last = None;
        verify_each(trail, options, &mut |head, digest| {
            let record = Record::new(head, digest)?;
            let is_theirs = match record.event().actor() {
                Actor::SealedPerson(sealed) => sealed.key() == key,
                plain => plain.id() == Some(actor),
            };
            let ends = match is_theirs {
                true if self.holds_all || self.is_held(record.event()) => Timestamp::MAX,
                true => self.ends(&record),
                false => Timestamp::MIN,
            };
            last = last.max(Some(ends));
            Ok(())
        })?;
        last.ok_or_else(AuditError::no_trail)
    }

    /// Retires what may go by now. The time is the trail's own, of a checkpoint that is made first. Verifies and reads the
    /// whole trail, once more for each time that other holds are in force at its end than at its beginning.
    ///
    /// # Errors
    /// [`RetireError`] when the trail cannot be read or does not verify, the holds cannot be read, or the retirement
    /// cannot be recorded and signed – then nothing was deleted – or a file not be deleted.
    pub fn retire(&self, log: &AuditLog, by: &Circumstances) -> Result<RetireReport, RetireError> {
        // Also covers whatever an earlier process left unsigned: no word of the trail counts under the same checkpoint.
        let now = log.checkpoint_own()?.at();
        let may_go = loop {
            let all = self.with_holds()?;
            let may_go = all.before_what_stays(log, now)?;
            // Reading takes its time; a hold that was placed meanwhile counts.
            if self.with_holds()?.holds_the_same(&all) {
                break may_go;
            }
        };
        let dir = log.dir();
        let io = |error| RetireError::from(AuditError::io("retire segments", &error));
        let segments = segment::segments(dir).map_err(io)?;
        let first = segments.first().map_or(0, |(first, _)| *first);
        // A segment may go when the next one begins at or before what may go; the last is being written.
        let kept = segments.iter().skip(1).take_while(|(next, _)| *next <= may_go).count();
        let Some((before, _)) = segments.get(kept).filter(|_| kept > 0) else {
            return Ok(RetireReport { segments: 0, before: first });
        };
        let event = System::trail_retired(by, *before).build()?;
        let _receipt = log.record_own(&event).wait()?;
        // Unsigned, anybody could have written it: nothing goes before it is signed.
        let _signed = log.checkpoint_own()?;
        for (_, path) in segments.iter().take(kept) {
            let len = fs::metadata(path).map_err(io)?.len();
            fs::remove_file(path).map_err(io)?;
            log.give_back(len);
        }
        directory::sync(dir).map_err(io)?;
        Ok(RetireReport { segments: kept, before: *before })
    }

    /// The number of the first record that must stay.
    fn before_what_stays(&self, log: &AuditLog, now: Timestamp) -> Result<u64, AuditError> {
        let (mut may_go, mut must_stay) = (0, self.holds_all);
        let options = VerifyOptions::new().key(log.verifying_key().clone());
        verify_each(log.dir(), &options, &mut |head, digest| {
            if !must_stay {
                let record = Record::new(head, digest)?;
                must_stay = self.must_stay(&record, now);
                may_go = record.sequence().saturating_add(u64::from(!must_stay));
            }
            Ok(())
        })?;
        Ok(may_go)
    }

    fn must_stay(&self, record: &Record, now: Timestamp) -> bool {
        self.ends(record) > now || self.is_held(record.event())
    }

    fn ends(&self, record: &Record) -> Timestamp {
        let period = self.classes.get(&record.event().kind().class()).unwrap_or(&self.others);
        period.ends(record.recorded_at())
    }

    fn is_held(&self, event: &Event) -> bool {
        let is_person = |actor: &Actor| match actor {
            Actor::SealedPerson(sealed) => self.held_keys.contains(&sealed.key()),
            plain => plain
                .id()
                .is_some_and(|id| self.held_subjects.iter().any(|subject| subject.as_str() == id.as_str())),
        };
        event.subjects().iter().any(|subject| self.held_subjects.contains(subject))
            || event.sealed_subjects().iter().any(|sealed| self.held_keys.contains(&sealed.key()))
            || is_person(event.actor())
            || event.on_behalf_of().is_some_and(is_person)
            || event.fields().iter().any(|field| match field.value() {
                FieldValueKind::Sealed(sealed) => self.held_keys.contains(&sealed.key()),
                _ => false,
            })
    }
}

/// What was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct RetireReport {
    segments: usize,
    before: u64,
}

impl RetireReport {
    /// How many segments were deleted.
    #[must_use]
    pub fn segments(&self) -> usize {
        self.segments
    }

    /// The first record that is left.
    #[must_use]
    pub fn before(&self) -> u64 {
        self.before
    }
}

/// Nothing, or not everything, was retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not retired: {0}")]
pub struct RetireError(#[from] RetireErrorKind);

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RetireErrorKind {
    /// The event about it was not of its shape.
    #[error("its event was refused")]
    Event,
    /// Which legal holds are in force could not be read; nothing was deleted.
    #[cfg(feature = "key-store")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "key-store")))]
    #[error("{0}")]
    Holds(compliance_core::seal::KeyStoreError),
    /// It could not be recorded; nothing was deleted.
    #[error("{0}")]
    Record(RecordError),
    /// The trail could not be read, or a segment not be deleted.
    #[error("{0}")]
    Trail(AuditError),
}

impl RetireError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> RetireErrorKind {
        self.0
    }

    /// `retention.event`, or the code of the key store's, the recording's or the trail's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            RetireErrorKind::Event => "retention.event",
            #[cfg(feature = "key-store")]
            RetireErrorKind::Holds(error) => error.code(),
            RetireErrorKind::Record(error) => error.code(),
            RetireErrorKind::Trail(error) => error.code(),
        }
    }
}

impl From<AuditError> for RetireError {
    fn from(error: AuditError) -> Self {
        Self(RetireErrorKind::Trail(error))
    }
}

impl From<RecordError> for RetireError {
    fn from(error: RecordError) -> Self {
        Self(RetireErrorKind::Record(error))
    }
}

impl From<EventError> for RetireError {
    fn from(_: EventError) -> Self {
        Self(RetireErrorKind::Event)
    }
}
