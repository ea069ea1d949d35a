//! What must be recorded has room; what need not be is counted when it has none.

mod trail;

use std::time::Duration;

use compliance_core::clock::{Clock, ManualClock, Timestamp};
use compliance_core::event::{
    Actor, Durability, Event, EventClass, EventKind, FailurePolicy, FieldValueKind, PassPolicy, Recorded,
    Recorder, Sink, Value,
};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, SubjectId};
use compliance_core::testing::MemorySink;
use compliance_log::audit::checkpoint::SignError;
use compliance_log::audit::record::{Authentication, Circumstances, DataAccess};
use compliance_log::audit::retention::{Retention, RetentionPeriod};
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditConfig, AuditLog, Audited, CheckpointKey, CheckpointSigner, VerifyingKey};
use compliance_log::audit::{FaultKind, VerifyOptions};
use trail::{Trail, config, event, key};

fn check_event(number: i64) -> Event {
    let at = Timestamp::from_unix_seconds(number);
    Event::builder(EventKind::CheckDecided, Outcome::Passed, Actor::System, at).build().unwrap()
}

fn open(trail: &Trail, config: AuditConfig) -> AuditLog {
    AuditLog::open(trail.path(), config, ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap().0
}

fn dropped(trail: &Trail) -> i64 {
    sum_of_counts(trail, EventKind::SystemEventsDropped)
}

/// What the records of a kind say in their field `count`, added up.
fn sum_of_counts(trail: &Trail, kind: EventKind) -> i64 {
    let mut sum = 0;
    for record in records(trail.path()).unwrap() {
        let record = record.unwrap();
        if record.event().kind() != kind {
            continue;
        }
        let count = record.event().fields().iter().find(|field| field.name() == "count").unwrap();
        match count.value() {
            FieldValueKind::Plain { value: Value::Integer(count), .. } => sum += count,
            other => panic!("{other:?}"),
        }
    }
    sum
}

#[test]
fn under_a_quota_best_effort_ends_first_and_its_number_is_recorded() {
    let trail = Trail::new();
    let config = config().best_effort(EventClass::Check).quota(24 * 1024).reserve_len(8 * 1024);
    let log = open(&trail, config);
    let (mut kept, mut refused) = (0, 0);
    while refused < 20 {
        match log.record(check_event(kept)).wait() {
            Ok(_) => kept += 1,
            Err(error) => {
                assert_eq!(error.code(), "record.full");
                refused += 1;
            }
        }
    }
    assert!(kept > 50);
    // What must be recorded goes on into the reserve, until that is used up too.
    let mut must = 0;
    let ended = loop {
        match log.record(event(must)).wait() {
            Ok(_) => must += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(ended.code(), "record.full");
    assert!(must >= 20, "{must}");
    drop(log);
    assert_eq!(dropped(&trail), 20);
    let total: u64 = trail.segments().iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(total <= 25 * 1024, "{total}");
    assert!(trail.verify().fault().is_none());
    println!(
        "{kept} at best effort, then 20 dropped and recorded as dropped, {must} more into the reserve, 0 silent"
    );
}

/// An attacker tries passwords for an hour. What that takes of the disk is bounded by time, not by attempts; none is
/// left uncounted, and what must be recorded goes on being so.
#[test]
fn a_flood_of_failed_logins_does_not_fill_the_disk() {
    const ATTEMPTS: i64 = 60_000;
    let trail = Trail::new();
    let log = open(&trail, config().quota(256 * 1024));
    let recorder = Recorder::new(&log, PassPolicy::default())
        .limit_failures(FailurePolicy::new(5, Duration::from_secs(60)));
    let mut listed = 0;
    for number in 0..ATTEMPTS {
        let at = Timestamp::from_unix_millis(number * 3_600_000 / ATTEMPTS);
        let attempt = Authentication::login(&Circumstances::new(Actor::Anonymous, at), Outcome::Refused);
        if let Recorded::Sent(recording) = recorder.record(attempt.build().unwrap()) {
            drop(recording.wait().unwrap());
            listed += 1;
        }
    }
    recorder.flush(Timestamp::from_unix_seconds(3600));
    drop(log.record(event(1)).wait().unwrap());
    drop(recorder);
    log.close().unwrap();
    let counted = sum_of_counts(&trail, EventKind::SystemFailuresAggregated);
    assert_eq!(listed + counted, ATTEMPTS, "every attempt is listed or counted");
    assert!(listed <= 5 * 61, "{listed}");
    let total: u64 = trail.segments().iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(total < 128 * 1024, "{total}");
    println!("{ATTEMPTS} attempts: {listed} listed, {counted} counted, {total} bytes");
}

#[test]
fn what_is_retired_goes_back_to_the_quota() {
    let trail = Trail::new();
    let day = Duration::from_secs(24 * 3600);
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let config = config().best_effort(EventClass::Check).quota(24 * 1024).reserve_len(8 * 1024);
    let (log, _) = AuditLog::open(trail.path(), config, clock.clone()).unwrap();
    let fill = || {
        let full = (0..)
            .find_map(|number| log.record(check_event(number)).wait().err().map(|error| (number, error)));
        let (kept, error) = full.unwrap();
        assert_eq!(error.code(), "record.full");
        kept
    };
    let first = fill();
    for _ in 0..3 {
        clock.advance(2 * day);
        let by = Circumstances::new(Actor::System, clock.now());
        let report = Retention::new(RetentionPeriod::of(day)).retire(&log, &by).unwrap();
        assert!(report.segments() > 1);
        // A round of the writer's, so that it knows.
        let _heard = log.checkpoint().unwrap();
        let again = fill();
        assert!(again > first / 2, "{again} after {first}");
    }
    drop(log);
    let total: u64 = trail.segments().iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(total <= 25 * 1024, "{total}");
    assert!(trail.verify().fault().is_none());
}

/// Room is made by a retirement, which is a record too.
#[test]
fn a_quota_used_to_its_last_byte_is_retired_from() {
    for best_effort in [None, Some(EventClass::System)] {
        let trail = Trail::new();
        let clock = std::sync::Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let quota = config().quota(24 * 1024).reserve_len(8 * 1024).checkpoint_every(100_000);
        let quota = best_effort.into_iter().fold(quota, AuditConfig::best_effort);
        let (log, _) = AuditLog::open(trail.path(), quota, clock.clone()).unwrap();
        let fill = || (0..).find_map(|number| log.record(event(number)).wait().err()).unwrap().code();
        assert_eq!(fill(), "record.full");
        // Not for this: who asks makes no room.
        while log.checkpoint().is_ok() {}
        assert_eq!(log.checkpoint().unwrap_err().code(), "record.full");
        let full = trail.verify().records();

        let day = Duration::from_secs(24 * 3600);
        let retention = Retention::new(RetentionPeriod::of(day));
        let retire = || {
            let by = Circumstances::new(Actor::System, clock.now());
            retention.retire(&log, &by).unwrap().segments()
        };
        assert_eq!(retire(), 0, "nothing is old enough");
        assert_eq!(log.record(event(0)).wait().unwrap_err().code(), "record.full");
        clock.advance(2 * day);
        assert!(retire() > 1);
        assert_eq!(fill(), "record.full");
        log.close().unwrap_err();
        let report = trail.verify();
        assert!(report.fault().is_none() && report.records() > full + 50, "{report:?}");
        let total: u64 = trail.segments().iter().map(|path| path.metadata().unwrap().len()).sum();
        assert!(total <= 25 * 1024, "{total}");
    }
}

#[test]
fn segments_are_closed_by_time() {
    let trail = Trail::new();
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let hour = Duration::from_secs(3600);
    let config = config().segment_len(1024 * 1024).segment_interval(hour);
    let (log, _) = AuditLog::open(trail.path(), config, clock.clone()).unwrap();
    for number in 0..10 {
        drop(log.record(event(number)).wait().unwrap());
        clock.advance(hour / 2);
    }
    drop(log);
    assert_eq!(trail.segments().len(), 5);
    assert!(trail.verify().fault().is_none());
}

#[test]
fn personal_data_comes_out_against_a_durable_record_of_exactly_that() {
    let trail = Trail::new();
    let log = open(&trail, AuditConfig::new(key()).on_any_storage());
    let staff = Circumstances::new(Actor::Person(ActorId::new("staff-17").unwrap()), Timestamp::UNIX_EPOCH);
    let access = || {
        DataAccess::read(&staff, "customer", compliance_core::purpose!("support.ticket"))
            .subject(SubjectId::new("user-4711").unwrap())
            .fields(&["email"])
            .count(1)
    };
    let email = || Audited::new("anna@example.com", access()).unwrap().dangerous_at_least(log.durability());
    assert_eq!(email().release(&log).wait(), Ok("anna@example.com"));
    assert_eq!(compliance_core::testing::block_on(email().release(&log)), Ok("anna@example.com"));
    let email = email();
    assert!(!format!("{email:?}").contains("anna"));
    let expected = email.event().clone();
    let refused = email.at_least(Durability::Remote).release(&log).wait().unwrap_err();
    assert_eq!(refused.code(), "receipt.not_durable");
    let memory = MemorySink::default();
    let refused = Audited::new(1, access()).unwrap().release(&memory).wait().unwrap_err();
    assert_eq!(refused.code(), "receipt.not_durable");
    let closed = MemorySink::default();
    closed.fail_with(Some(compliance_core::event::RecordErrorKind::Full));
    assert_eq!(Audited::new(1, access()).unwrap().release(&closed).wait().unwrap_err().code(), "record.full");
    drop(log);
    let kept: Vec<_> = records(trail.path()).unwrap().map(|record| record.unwrap().event().clone()).collect();
    assert_eq!(kept, [expected.clone(), expected.clone(), expected]);
}

/// A key store behind a network that is down.
#[cfg(feature = "key-store")]
#[derive(Debug)]
struct Away;

#[cfg(feature = "key-store")]
impl compliance_core::seal::KeyStore for Away {
    fn create(
        &self,
        _: &compliance_core::seal::KeyOwner,
        _: &dyn compliance_core::random::SecureRandom,
    ) -> Result<compliance_core::seal::DataKey, compliance_core::seal::KeyStoreError> {
        Err(compliance_core::seal::KeyStoreErrorKind::Unavailable.into())
    }

    fn find(
        &self,
        _: &compliance_core::seal::KeyOwner,
    ) -> Result<Option<compliance_core::seal::KeyId>, compliance_core::seal::KeyStoreError> {
        Err(compliance_core::seal::KeyStoreErrorKind::Unavailable.into())
    }

    fn unwrap_key(
        &self,
        _: compliance_core::seal::KeyId,
    ) -> Result<compliance_core::seal::DataKey, compliance_core::seal::KeyStoreError> {
        Err(compliance_core::seal::KeyStoreErrorKind::Unavailable.into())
    }

    fn destroy(
        &self,
        _: compliance_core::seal::KeyId,
        _: Timestamp,
    ) -> Result<compliance_core::seal::DestroyReceipt, compliance_core::seal::KeyStoreError> {
        Err(compliance_core::seal::KeyStoreErrorKind::Unavailable.into())
    }

    fn rotate(
        &self,
        _: compliance_core::seal::KeyEncryptionKey,
        _: &dyn compliance_core::random::SecureRandom,
    ) -> Result<usize, compliance_core::seal::KeyStoreError> {
        Err(compliance_core::seal::KeyStoreErrorKind::Unavailable.into())
    }
}

#[cfg(feature = "key-store")]
#[test]
fn best_effort_that_cannot_be_sealed_or_is_too_large_is_counted_and_recorded() {
    use std::sync::Arc;
    let trail = Trail::new();
    let random = Arc::new(compliance_core::random::SystemRandom);
    let config = config().best_effort(EventClass::Data).seal_people(Arc::new(Away), random);
    let log = open(&trail, config);
    let code = |event| log.record(event).wait().unwrap_err().code();
    for number in 0..3 {
        assert_eq!(code(event(number)), "record.unavailable");
    }
    assert_eq!(code(trail::sealed_fields(17)), "record.too_large");
    // What must be recorded is denied, which is told at once and counted nowhere.
    let staff = Actor::Person(ActorId::new("staff-17").unwrap());
    let must = Event::builder(EventKind::AccountCreated, Outcome::Passed, staff, Timestamp::UNIX_EPOCH);
    assert_eq!(code(must.build().unwrap()), "record.unavailable");
    log.close().unwrap();
    assert_eq!(dropped(&trail), 4);
}

/// A signer behind a network that comes and goes.
#[derive(Debug, Default)]
struct Remote {
    is_away: std::sync::atomic::AtomicBool,
    signs_wrongly: std::sync::atomic::AtomicBool,
}

#[derive(Debug)]
struct Kms(CheckpointKey, std::sync::Arc<Remote>);

impl CheckpointSigner for Kms {
    fn verifying_key(&self) -> &VerifyingKey {
        self.0.verifying_key()
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], SignError> {
        use std::sync::atomic::Ordering::Relaxed;
        match (self.1.is_away.load(Relaxed), self.1.signs_wrongly.load(Relaxed)) {
            (true, _) => Err(SignError::new()),
            (false, true) => Ok([7; 64]),
            (false, false) => CheckpointSigner::sign(&self.0, text),
        }
    }
}

#[test]
fn a_signer_that_fails_holds_checkpoints_up_and_spoils_nothing() {
    use std::sync::atomic::Ordering::Relaxed;
    let trail = Trail::new();
    let remote = std::sync::Arc::new(Remote::default());
    let config =
        AuditConfig::with_signer(Box::new(Kms(key(), remote.clone()))).on_any_storage().checkpoint_every(4);
    let log = open(&trail, config);
    let mut numbers = 0..;
    let mut record = || log.record(event(numbers.next().unwrap())).wait().map(|receipt| receipt.sequence());
    assert_eq!([record(), record()], [Ok(0), Ok(1)]);
    remote.is_away.store(true, Relaxed);
    assert_eq!(record(), Ok(2), "needs no checkpoint");
    assert_eq!(record().unwrap_err().code(), "record.unavailable");
    assert_eq!(log.checkpoint().unwrap_err().code(), "record.unavailable");
    remote.is_away.store(false, Relaxed);
    remote.signs_wrongly.store(true, Relaxed);
    assert_eq!(record().unwrap_err().code(), "record.unavailable");
    remote.signs_wrongly.store(false, Relaxed);
    assert_eq!(record(), Ok(3));
    log.close().unwrap();
    let report = trail.verify();
    assert_eq!((report.fault(), report.records()), (None, 4));
}

#[test]
fn a_rotated_key_is_vouched_for_by_the_old_one_and_vouches_for_it() {
    let trail = Trail::new();
    let key = |seed| CheckpointKey::from_seed("test.example/audit", [seed; 32]).unwrap();
    let base = |seed| AuditConfig::new(key(seed)).on_any_storage().checkpoint_every(16);
    let record = |log: &AuditLog, numbers: std::ops::Range<u64>| {
        numbers.for_each(|number| drop(log.record(event(number)).wait().unwrap()));
    };
    record(&open(&trail, base(7)), 0..20);
    let refused = AuditLog::open(trail.path(), base(8), ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap_err();
    assert_eq!(refused.code(), "audit.other_key");
    for _ in 0..2 {
        // The second time it is under the new key already.
        record(&open(&trail, base(8).rotate_from(Box::new(key(7)))), 20..30);
    }
    record(&open(&trail, base(9).rotate_from(Box::new(key(8)))), 30..40);
    for seed in [7, 8, 9] {
        let options = VerifyOptions::new().key(key(seed).verifying_key().clone()).read_events();
        let report = verify(trail.path(), &options).unwrap();
        assert_eq!((report.fault(), report.records()), (None, 52), "{seed}");
    }
    let options = VerifyOptions::new().key(key(6).verifying_key().clone());
    let fault = *verify(trail.path(), &options).unwrap().fault().unwrap();
    assert_eq!(fault.kind(), FaultKind::OtherKey);

    // Whoever has no key can neither announce one nor retire what stands there.
    let log = open(&trail, base(9));
    for kind in [EventKind::SystemTrailKeyChanged, EventKind::SystemTrailRetired] {
        let event =
            Event::builder(kind, Outcome::Passed, Actor::System, Timestamp::UNIX_EPOCH).build().unwrap();
        assert_eq!(log.record(event).wait().unwrap_err().code(), "record.reserved");
    }
}

#[test]
fn a_trail_does_not_go_on_under_a_key_it_did_not_name() {
    // Two trails of the same records; the second's later segments under another key.
    let (trail, forged) = (Trail::new(), Trail::new());
    let key = |seed| CheckpointKey::from_seed("test.example/audit", [seed; 32]).unwrap();
    let config = |seed| AuditConfig::new(key(seed)).on_any_storage().segment_len(4096).checkpoint_every(16);
    for (trail, seed) in [(&trail, 7), (&forged, 8)] {
        let log = open(trail, config(seed));
        (0..100).for_each(|number| drop(log.record(event(number)).wait().unwrap()));
    }
    let (ours, theirs) = (trail.segments(), forged.segments());
    for (from, to) in theirs.iter().zip(&ours).skip(1) {
        std::fs::copy(from, to).unwrap();
    }
    std::fs::remove_file(trail.path().join("checkpoint")).unwrap();
    for options in [VerifyOptions::new(), VerifyOptions::new().key(key(7).verifying_key().clone())] {
        let fault = *verify(trail.path(), &options).unwrap().fault().unwrap();
        assert_eq!(fault.kind(), FaultKind::OtherKey);
    }
}
