//! What must be recorded has room; what need not be is counted when it has none.

mod trail;

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, Durability, Event, EventClass, EventKind, FieldValueKind, Sink, Value};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, SubjectId};
use compliance_core::testing::MemorySink;
use compliance_log::audit::record::{Circumstances, DataAccess};
use compliance_log::audit::segment::records;
use compliance_log::audit::{AuditConfig, AuditLog, Audited};
use trail::{Trail, config, event, key};

fn check_event(number: i64) -> Event {
    let at = Timestamp::from_unix_seconds(number);
    Event::builder(EventKind::CheckDecided, Outcome::Passed, Actor::System, at).build().unwrap()
}

fn open(trail: &Trail, config: AuditConfig) -> AuditLog {
    AuditLog::open(trail.path(), config, ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap().0
}

fn dropped(trail: &Trail) -> i64 {
    let mut sum = 0;
    for record in records(trail.path()).unwrap() {
        let record = record.unwrap();
        if record.event().kind() != EventKind::SystemEventsDropped {
            continue;
        }
        match record.event().fields()[0].value() {
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

#[test]
fn segments_are_closed_by_time() {
    let trail = Trail::new();
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let hour = std::time::Duration::from_secs(3600);
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
    let log = open(&trail, AuditConfig::new(key()));
    let staff = Circumstances::new(Actor::Person(ActorId::new("staff-17").unwrap()), Timestamp::UNIX_EPOCH);
    let access = || {
        DataAccess::read(&staff, "customer", compliance_core::purpose!("support.ticket"))
            .subject(SubjectId::new("user-4711").unwrap())
            .fields(&["email"])
            .count(1)
    };
    assert_eq!(
        Audited::new("anna@example.com", access()).unwrap().release(&log).wait(),
        Ok("anna@example.com")
    );
    let released = Audited::new("anna@example.com", access()).unwrap().release(&log);
    assert_eq!(compliance_core::testing::block_on(released), Ok("anna@example.com"));
    let email = Audited::new("anna@example.com", access()).unwrap();
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
