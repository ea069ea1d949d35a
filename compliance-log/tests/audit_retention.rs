//! Whole segments go when their time has come, on record, and never otherwise.

mod trail;

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, ManualClock, Timestamp};
use compliance_core::event::{Actor, EventClass, EventKind, Sink};
use compliance_core::id::SubjectId;
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::retention::{
    HGB_257_BOOKS, OFAC_501_601, PCI_DSS_10_5_1, Retention, RetentionPeriod,
};
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditLog, FaultKind, Verdict, VerifyOptions};
use trail::{RECORD, Trail, config, event, frames, key, repair};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A record a day, a segment every ten days or so.
fn days(trail: &Trail, days: u64) -> (AuditLog, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let config = config().segment_len(1024 * 1024).segment_interval(10 * DAY);
    let (log, _) = AuditLog::open(trail.path(), config, clock.clone()).unwrap();
    for number in 0..days {
        drop(log.record(event(number)).wait().unwrap());
        clock.advance(DAY);
    }
    (log, clock)
}

fn by(clock: &ManualClock) -> Circumstances {
    Circumstances::new(Actor::System, clock.now())
}

fn options() -> VerifyOptions {
    VerifyOptions::new().key(key().verifying_key().clone())
}

#[test]
fn what_is_past_its_time_goes_and_the_rest_verifies() {
    let trail = Trail::new();
    let (log, clock) = days(&trail, 100);
    let retention = Retention::new(RetentionPeriod::of(30 * DAY));
    let report = retention.retire(&log, &by(&clock)).unwrap();
    assert!(report.segments() >= 5 && report.before() <= 71, "{report:?}");
    let first = trail.segments()[0].file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(first, report.before());
    assert_eq!(retention.retire(&log, &by(&clock)).unwrap().segments(), 0, "nothing more to go");
    drop(log);
    let verified = verify(trail.path(), &options()).unwrap();
    assert_eq!((verified.fault(), verified.verdict()), (None, Verdict::TamperDetecting));
    assert_eq!((verified.first(), verified.records()), (report.before(), 101));
    let left: Vec<_> = records(trail.path()).unwrap().map(|record| record.unwrap()).collect();
    assert_eq!(left[0].sequence(), report.before());
    assert_eq!(left.last().unwrap().event().kind(), EventKind::SystemTrailRetired);
    // It goes on where it was.
    let (log, opened) = AuditLog::open(trail.path(), config(), clock).unwrap();
    assert_eq!(opened.records(), 101);
    drop(log);
}

#[test]
fn segments_that_were_not_retired_are_missed() {
    let trail = Trail::new();
    let (log, clock) = days(&trail, 100);
    let report = Retention::new(RetentionPeriod::of(60 * DAY)).retire(&log, &by(&clock)).unwrap();
    assert!(report.segments() > 0);
    drop(log);
    // Somebody takes one more, as if that had been retired too.
    std::fs::remove_file(&trail.segments()[0]).unwrap();
    let fault = *verify(trail.path(), &options()).unwrap().fault().unwrap();
    assert_eq!((fault.kind(), fault.sequence()), (FaultKind::SegmentMissing, report.before()));
    let refused = AuditLog::open(trail.path(), config(), ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap_err();
    assert_eq!(refused.code(), "audit.segment_missing");
}

/// Whoever can write the directory and has no key makes records look old enough, and waits for the next retirement.
#[test]
fn what_was_altered_to_look_old_is_not_retired() {
    let trail = Trail::new();
    let (log, clock) = days(&trail, 40);
    let segment = trail.segments().remove(0);
    let mut content = std::fs::read(&segment).unwrap();
    for (at, len, kind) in frames(&content) {
        if kind == RECORD {
            // Version, group commit and number come before the time.
            let nanos = Timestamp::UNIX_EPOCH.as_unix_nanos().to_be_bytes();
            content[at + 6 + 13..at + 6 + 29].copy_from_slice(&nanos);
            repair(&mut content[at..at + len]);
        }
    }
    std::fs::write(&segment, content).unwrap();
    let retention = Retention::new(RetentionPeriod::of(365 * DAY));
    let refused = retention.retire(&log, &by(&clock)).unwrap_err();
    assert_eq!(refused.code(), FaultKind::CheckpointRoot.code());
    assert!(segment.exists());
    let left = records(trail.path()).unwrap().map(|record| record.unwrap().event().kind());
    assert!(left.into_iter().all(|kind| kind != EventKind::SystemTrailRetired), "it is not said either");
}

#[test]
fn the_longest_class_in_a_segment_keeps_it() {
    let trail = Trail::new();
    let (log, clock) = days(&trail, 50);
    let retention =
        Retention::new(RetentionPeriod::of(DAY)).class(EventClass::Data, RetentionPeriod::of(1000 * DAY));
    assert_eq!(retention.retire(&log, &by(&clock)).unwrap().segments(), 0);
}

#[test]
fn a_legal_hold_wins() {
    let trail = Trail::new();
    let (log, clock) = days(&trail, 100);
    let short = || Retention::new(RetentionPeriod::of(DAY));
    assert_eq!(short().hold_all().retire(&log, &by(&clock)).unwrap().segments(), 0);
    let held = short().hold(SubjectId::new("user-35").unwrap());
    let report = held.retire(&log, &by(&clock)).unwrap();
    assert!((1..=35).contains(&report.before()), "{report:?}");
    assert!(records(trail.path()).unwrap().any(|record| record.unwrap().sequence() == 35));
    let report = short().retire(&log, &by(&clock)).unwrap();
    assert!(report.before() > 35);
}

#[cfg(feature = "key-store")]
#[test]
fn a_hold_on_a_key_keeps_what_is_sealed_under_it_in_a_field() {
    use compliance_core::event::FieldValueKind;
    let trail = Trail::new();
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let config = config().segment_len(1024 * 1024).segment_interval(DAY);
    let (log, _) = AuditLog::open(trail.path(), config, clock.clone()).unwrap();
    let noted = trail::sealed_fields(1);
    let FieldValueKind::Sealed(sealed) = noted.fields()[0].value() else { panic!("it is sealed") };
    let key = sealed.key();
    let plain = |numbers: std::ops::Range<u64>| numbers.map(event);
    for event in plain(0..4).chain([noted]).chain(plain(5..10)) {
        drop(log.record(event).wait().unwrap());
        clock.advance(2 * DAY);
    }
    let short = || Retention::new(RetentionPeriod::of(DAY));
    let report = short().hold_sealed(key).retire(&log, &by(&clock)).unwrap();
    assert!((1..=4).contains(&report.before()), "{report:?}");
    assert!(short().retire(&log, &by(&clock)).unwrap().before() > 4);
}

#[test]
fn an_anchor_from_before_what_is_left_proves_nothing_about_it() {
    let trail = Trail::new();
    let (log, clock) = days(&trail, 30);
    let old = log.checkpoint().unwrap();
    (30..60).for_each(|number| {
        drop(log.record(event(number)).wait().unwrap());
        clock.advance(DAY);
    });
    let fresh = log.checkpoint().unwrap();
    let report = Retention::new(RetentionPeriod::of(5 * DAY)).retire(&log, &by(&clock)).unwrap();
    assert!(report.before() > 30);
    drop(log);
    let anchored = |note: &str| {
        let anchor = compliance_log::audit::checkpoint::CheckpointNote::parse(note).unwrap();
        verify(trail.path(), &options().anchor(anchor)).unwrap().verdict()
    };
    assert_eq!(anchored(fresh.note()), Verdict::TamperEvident { since: 60 });
    assert_eq!(anchored(old.note()), Verdict::TamperDetecting);
}

/// A year that ends in UTC has ended in Berlin an hour before: what is made in that hour is of the new year there.
#[test]
fn a_year_ends_when_it_has_everywhere() {
    for (at, ends) in [
        ("2026-12-31T09:59:59Z", "2027-01-01T12:00:00Z"),
        ("2026-12-31T10:00:00Z", "2028-01-01T12:00:00Z"),
        ("2026-12-31T23:30:00Z", "2028-01-01T12:00:00Z"),
        ("2027-01-01T00:00:00Z", "2028-01-01T12:00:00Z"),
    ] {
        let period = RetentionPeriod::from_year_end(Duration::ZERO);
        assert_eq!(period.ends(at.parse().unwrap()), ends.parse().unwrap(), "{at}");
    }
}

/// What time it is, the trail's clock says; a circumstance is no clock.
#[test]
fn nothing_goes_because_somebody_says_it_is_late() {
    let trail = Trail::new();
    let (log, _clock) = days(&trail, 30);
    let late = Circumstances::new(Actor::System, Timestamp::MAX);
    let retention = Retention::new(RetentionPeriod::of(60 * DAY));
    assert_eq!(retention.retire(&log, &late).unwrap().segments(), 0);
}

#[test]
fn presets_name_their_source_and_end_when_it_says() {
    let at = "2026-03-01T12:00:00Z".parse().unwrap();
    for (preset, ends) in [
        (PCI_DSS_10_5_1, "2027-03-02T12:00:00Z"),
        (OFAC_501_601, "2036-03-08T12:00:00Z"),
        (HGB_257_BOOKS, "2037-01-08T12:00:00Z"),
    ] {
        assert!(!preset.source().is_empty() && !preset.binds().is_empty());
        assert_eq!(preset.period().ends(at), ends.parse().unwrap(), "{}", preset.source());
    }
}

/// A store on which somebody places a hold as soon as it has said that there is none.
#[cfg(feature = "key-store")]
mod late {
    use std::sync::Mutex;
    use std::time::Duration;

    use compliance_core::clock::Timestamp;
    use compliance_core::random::SecureRandom;
    use compliance_core::seal::{
        DataKey, DestroyReceipt, KeyEncryptionKey, KeyId, KeyOwner, KeyStore, KeyStoreError,
    };
    use compliance_log::key_store::{
        Approval, CaseId, Consent, FileKeyStore, HeldKeyStore, LegalHold, UnheldError,
    };

    #[derive(Debug)]
    pub(super) struct LateHold(pub(super) FileKeyStore, pub(super) Mutex<Option<LegalHold>>);

    type Answer<T> = Result<T, KeyStoreError>;

    impl KeyStore for LateHold {
        fn create(&self, owner: &KeyOwner, random: &dyn SecureRandom) -> Answer<DataKey> {
            self.0.create(owner, random)
        }

        fn find(&self, owner: &KeyOwner) -> Answer<Option<KeyId>> {
            self.0.find(owner)
        }

        fn unwrap_key(&self, key: KeyId) -> Answer<DataKey> {
            self.0.unwrap_key(key)
        }

        fn destroy(&self, key: KeyId, at: Timestamp) -> Answer<DestroyReceipt> {
            self.0.destroy(key, at)
        }

        fn rotate(&self, to: KeyEncryptionKey, random: &dyn SecureRandom) -> Answer<usize> {
            self.0.rotate(to, random)
        }
    }

    impl HeldKeyStore for LateHold {
        fn place_hold(&self, hold: &LegalHold) -> Answer<()> {
            self.0.place_hold(hold)
        }

        fn lift_hold(&self, owner: &KeyOwner, case: &CaseId) -> Answer<bool> {
            self.0.lift_hold(owner, case)
        }

        fn holds(&self) -> Answer<Vec<LegalHold>> {
            let holds = self.0.holds();
            if let Some(hold) = self.1.lock().unwrap().take() {
                self.0.place_hold(&hold)?;
            }
            holds
        }

        fn approve(&self, key: KeyId, approval: Approval) -> Answer<()> {
            self.0.approve(key, approval)
        }

        fn destroy_unheld(
            &self,
            owner: &KeyOwner,
            consent: Consent,
            at: Timestamp,
            before: &mut dyn FnMut(KeyId) -> bool,
        ) -> Result<Option<DestroyReceipt>, UnheldError> {
            self.0.destroy_unheld(owner, consent, at, before)
        }

        fn destroy_key_unheld(
            &self,
            key: KeyId,
            at: Timestamp,
            before: &mut dyn FnMut(KeyId) -> bool,
        ) -> Result<DestroyReceipt, UnheldError> {
            self.0.destroy_key_unheld(key, at, before)
        }

        fn declare_backup(&self, name: &'static str, retention: Duration) -> Answer<()> {
            self.0.declare_backup(name, retention)
        }

        fn pending(&self, now: Timestamp) -> Answer<Vec<DestroyReceipt>> {
            self.0.pending(now)
        }
    }
}

#[cfg(feature = "key-store")]
#[test]
fn a_hold_placed_while_the_trail_is_read_wins() {
    use compliance_core::seal::{KeyEncryptionKey, KeyRing};
    use compliance_log::key_store::{CaseId, FileKeyStore, HeldKeyStore, LegalHold};
    let (trail, beside) = (Trail::new(), Trail::new());
    let (log, clock) = days(&trail, 100);
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let owner = SubjectId::new("user-35").unwrap().key_owner(None).unwrap();
    let hold = LegalHold::new(owner, CaseId::new("case-1").unwrap(), clock.now());
    let keys = late::LateHold(FileKeyStore::open(beside.path(), ring).unwrap(), Some(hold).into());
    let keys: Arc<dyn HeldKeyStore> = Arc::new(keys);
    let short = Retention::new(RetentionPeriod::of(DAY)).holds_of(keys);
    let report = short.retire(&log, &by(&clock)).unwrap();
    assert!((1..=35).contains(&report.before()), "{report:?}");
}
