//! Events, their canonical form, recordings and receipts.

use std::num::NonZeroU32;
use std::time::Duration;

use compliance_core::class::{Internal, Public};
use compliance_core::clock::Timestamp;
use compliance_core::event::{
    Actor, AuditReceipt, Durability, Event, EventBuilder, EventKind, FailurePolicy, FieldValueKind,
    PassPolicy, RecordError, RecordErrorKind, Recorded, Recorder, Recording, Sink,
};
use compliance_core::finding::{Enforcement, Finding, Outcome};
use compliance_core::id::{ActorId, CorrelationId, SubjectId, TenantId, TraceParent};
use compliance_core::pseudonym::Pseudonym;
use compliance_core::request::{AddressSource, ClientAddress, Correlation};
use compliance_core::seal::Sealed;
use compliance_core::snapshot::Snapshot;
use compliance_core::testing::{
    DeterministicRandom, MemorySink, SinkConformance, block_on, test_policy_version,
};
use compliance_core::{purpose, reason_code};
use proptest::prelude::*;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn minimal() -> EventBuilder {
    Event::builder(EventKind::AuthenticationLogin, Outcome::Refused, Actor::Anonymous, now())
}

fn full() -> Event {
    let finding = Finding::refused(
        reason_code!("embargo.country"),
        reason_code!("embargo.refused"),
        test_policy_version(),
    )
    .with_enforcement(Enforcement::ReportOnly)
    .with_snapshot(Snapshot::of("list", "2026-06-17".parse().unwrap(), b"x", 9));
    let parent = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let id = CorrelationId::generate(&DeterministicRandom::new(3)).unwrap();
    Event::builder(
        EventKind::CheckDecided,
        Outcome::Passed,
        Actor::Person(ActorId::new("staff-17").unwrap()),
        now(),
    )
    .on_behalf_of(Actor::Program(ActorId::new("job").unwrap()))
    .tenant(TenantId::new("acme").unwrap())
    .subject(SubjectId::new("user-1").unwrap())
    .subject(SubjectId::new("user-2").unwrap())
    .client(&ClientAddress::new("203.0.113.7".parse().unwrap(), AddressSource::Header))
    .purpose(purpose!("signup.screening"))
    .correlation(Correlation::new(id, Some(parent)))
    .finding(&finding)
    .field("text", Public("value"))
    .field("flag", Internal(true))
    .field("count", Public(-7_i64))
    .field("until", Internal(now()))
    .build()
    .unwrap()
}

fn canonical(event: &Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    bytes
}

#[test]
fn the_canonical_form_is_fixed() {
    // A change of these digests is a change of every stored trail: it needs a new version byte.
    assert_eq!(
        minimal().build().unwrap().digest().to_string(),
        "d4e35449ce93e1ebe41b80f06125e5f16888ccee0f8c7e2b9b08c10923948758"
    );
    assert_eq!(
        full().digest().to_string(),
        "865d7dcd19029a64400122bb50bb465d910a8eb9ea8784ac87c0d8d5ebc131a7"
    );
}

#[test]
fn what_is_encoded_decodes_to_the_same_event() {
    for event in [minimal().build().unwrap(), full()] {
        assert_eq!(Event::decode(&canonical(&event)).unwrap(), event);
    }
}

#[test]
fn a_pseudonym_and_a_sealed_value_may_stand_in_a_field() {
    let pseudonym: Pseudonym = "pn1_0123abcd_1_000102030405060708090a0b0c0d0e0f".parse().unwrap();
    // Version, key id, nonce, commitment, length, tag of an empty value.
    let sealed =
        Sealed::from_bytes(&[&[1][..], &[2; 16], &[3; 12], &[4; 32], &[0, 0, 0, 16], &[5; 16]].concat())
            .unwrap();
    let event =
        minimal().field("attempted_name", pseudonym).field("address", sealed.clone()).build().unwrap();
    let read = Event::decode(&canonical(&event)).unwrap();
    assert_eq!(read, event);
    assert_eq!(*read.fields()[0].value(), FieldValueKind::Pseudonym(pseudonym));
    assert_eq!(*read.fields()[1].value(), FieldValueKind::Sealed(sealed));
}

#[test]
fn a_client_is_kept_as_its_network() {
    assert_eq!(full().client().unwrap().to_string(), "203.0.113.0/24");
    let bytes = canonical(&full());
    assert!(!bytes.windows(4).any(|window| window == [203, 0, 113, 7]));
}

#[test]
fn a_finding_decides_the_outcome() {
    assert_eq!(full().outcome(), Outcome::Refused);
    assert_eq!(full().reason(), Some("embargo.country"));
}

#[test]
fn every_cut_and_every_foreign_version_is_refused() {
    let bytes = canonical(&full());
    for end in 0..bytes.len() {
        // A cut at the end of a part leaves a shorter event, never this one.
        assert_ne!(Event::decode(&bytes[..end]).ok(), Some(full()), "cut at {end}");
    }
    let mut foreign = bytes.clone();
    foreign[0] = 2;
    assert_eq!(Event::decode(&foreign).unwrap_err().code(), "event.version");
    assert_eq!(Event::decode(&[]).unwrap_err().code(), "event.truncated");
    let mut doubled = bytes.clone();
    doubled.extend_from_slice(&bytes[1..]);
    assert_eq!(Event::decode(&doubled).unwrap_err().code(), "event.order");
}

#[test]
fn neighbouring_parts_cannot_borrow_from_each_other() {
    let with = |tenant: &str, subject: &str| {
        minimal()
            .tenant(TenantId::new(tenant).unwrap())
            .subject(SubjectId::new(subject).unwrap())
            .build()
            .unwrap()
            .digest()
    };
    assert_ne!(with("ab", "c"), with("a", "bc"));
    let field =
        |name: &'static str, value: &str| minimal().field(name, Public(value)).build().unwrap().digest();
    assert_ne!(field("a", "bc"), field("ab", "c"));
    let class = |public: bool| {
        let builder =
            if public { minimal().field("a", Public("b")) } else { minimal().field("a", Internal("b")) };
        builder.build().unwrap().digest()
    };
    assert_ne!(class(true), class(false));
}

#[test]
fn a_builder_names_the_first_mistake() {
    #[track_caller]
    fn check(builder: EventBuilder, code: &str) {
        assert_eq!(builder.build().unwrap_err().code(), code);
    }
    check(minimal().field("Bad Name", Public(1)), "event.field_name");
    check(minimal().field("a", Public(1)).field("a", Public(2)), "event.duplicate_field");
    check(minimal().field("a", Public("x".repeat(1025))), "event.field_too_long");
    let names: Vec<&'static str> = (0..=Event::MAX_FIELDS).map(|n| &*format!("f{n}").leak()).collect();
    let many = names.iter().fold(minimal(), |builder, name| builder.field(name, Public(1)));
    check(many, "event.too_many_fields");
    let crowd = (0..=Event::MAX_SUBJECTS)
        .fold(minimal(), |builder, n| builder.subject(SubjectId::new(format!("u{n}")).unwrap()));
    check(crowd, "event.too_many_subjects");
    let twice = minimal().subject(SubjectId::new("u").unwrap()).subject(SubjectId::new("u").unwrap());
    assert_eq!(twice.build().unwrap().subjects().len(), 1);
}

#[test]
fn every_kind_has_a_code_of_its_own_in_its_class() {
    for kind in EventKind::ALL {
        assert_eq!(EventKind::from_code(kind.code()), Some(*kind));
        assert_eq!(kind.code().split('.').next(), Some(kind.class().as_str()));
    }
    assert_eq!(EventKind::from_code("account.exploded"), None);
}

#[test]
fn the_memory_sink_conforms() {
    let kit = SinkConformance::new(MemorySink::default, MemorySink::events);
    assert_eq!(kit.run(), Ok(SinkConformance::RULES));
}

mod broken_sinks_fail_the_kit {
    use super::*;
    use std::sync::Mutex;

    /// A memory sink with one fault, to show that each rule can fail.
    #[derive(Default)]
    struct Faulty {
        inner: MemorySink,
        fault: &'static str,
        last: Mutex<u64>,
    }

    impl Sink for Faulty {
        fn record(&self, event: Event) -> Recording {
            let digest = event.digest();
            match self.fault {
                "forgets" => Recording::ready(Ok(AuditReceipt::attest(digest, 0, Durability::Memory))),
                "mixes up" => {
                    drop(self.inner.record(event));
                    let other = minimal().build().unwrap().digest();
                    Recording::ready(Ok(AuditReceipt::attest(other, 0, Durability::Memory)))
                }
                "repeats numbers" => {
                    drop(self.inner.record(event));
                    let mut last = self.last.lock().unwrap();
                    *last = 1;
                    Recording::ready(Ok(AuditReceipt::attest(digest, *last, Durability::Memory)))
                }
                "walks away" => {
                    let (completion, recording) = Recording::pending();
                    drop(completion);
                    recording
                }
                other => panic!("no such fault: {other}"),
            }
        }
    }

    #[track_caller]
    fn check(fault: &'static str, rule: &str) {
        let kit = SinkConformance::new(
            || Faulty { fault, ..Faulty::default() },
            |sink: &Faulty| sink.inner.events(),
        );
        assert_eq!(kit.run().unwrap_err().to_string(), format!("sink breaks its contract: {rule}"));
    }

    #[test]
    fn each_with_its_rule() {
        check("forgets", "what is read back equals what was recorded");
        check("mixes up", "a receipt carries the digest of its event");
        check("repeats numbers", "sequence numbers grow strictly");
        check("walks away", "a receipt carries the digest of its event");
    }
}

#[test]
fn a_recording_resolves_from_another_thread_both_ways() {
    let answer = |completion: compliance_core::event::Completion| {
        std::thread::spawn(move || {
            completion.complete(Ok(AuditReceipt::attest(full().digest(), 5, Durability::Disk)));
        })
    };
    let (completion, recording) = Recording::pending();
    let thread = answer(completion);
    assert_eq!(recording.wait().unwrap().sequence(), 5);
    thread.join().unwrap();
    let (completion, recording) = Recording::pending();
    let thread = answer(completion);
    assert_eq!(block_on(recording).unwrap().durability(), Durability::Disk);
    thread.join().unwrap();
}

#[test]
fn an_abandoned_write_says_so() {
    let (completion, recording) = Recording::pending();
    drop(completion);
    assert_eq!(recording.wait().unwrap_err().kind(), RecordErrorKind::Abandoned);
}

#[test]
fn an_observer_is_told_once_how_a_write_ended_also_where_nobody_waits() {
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let note = |recording: Recording| {
        let told = std::sync::Arc::clone(&told);
        recording.observe(move |ended| told.lock().unwrap().push(ended.map_err(|error| error.code())))
    };
    let receipt = || AuditReceipt::attest(full().digest(), 7, Durability::Disk);
    // Ended before, ends later, is given up, is not waited for.
    drop(note(Recording::ready(Ok(receipt()))).wait().unwrap());
    let (completion, recording) = Recording::pending();
    let recording = note(recording);
    completion.complete(Ok(receipt()));
    drop(recording.wait().unwrap());
    let (completion, recording) = Recording::pending();
    drop(note(recording));
    drop(completion);
    let expected = [Ok((7, Durability::Disk)), Ok((7, Durability::Disk)), Err("record.abandoned")];
    assert_eq!(*told.lock().unwrap(), expected);
}

#[test]
fn asking_twice_does_not_hang() {
    let mut recording = Recording::ready(Err(RecordError::new(RecordErrorKind::Full)));
    assert_eq!(block_on(&mut recording).unwrap_err().code(), "record.full");
    assert_eq!(recording.wait().unwrap_err().code(), "record.abandoned");
}

#[test]
fn a_receipt_serves_its_event_at_its_durability_only() {
    let receipt = |durability| AuditReceipt::attest(full().digest(), 0, durability);
    assert!(receipt(Durability::Remote).redeem(&full(), Durability::Disk).is_ok());
    assert_eq!(
        receipt(Durability::Memory).redeem(&full(), Durability::Disk).unwrap_err().code(),
        "receipt.not_durable"
    );
    let other = minimal().build().unwrap();
    assert_eq!(
        receipt(Durability::Disk).redeem(&other, Durability::Memory).unwrap_err().code(),
        "receipt.other_event"
    );
}

fn check_event(outcome: Outcome, code: &'static str, seconds: u64) -> Event {
    let policy = test_policy_version();
    let finding = match (outcome, code) {
        (Outcome::Passed, "a") => Finding::passed(reason_code!("test.a"), policy),
        (Outcome::Passed, _) => Finding::passed(reason_code!("test.b"), policy),
        _ => Finding::refused(reason_code!("test.refused"), reason_code!("test.refused"), policy),
    };
    let at = now().saturating_add(Duration::from_secs(seconds));
    Event::builder(EventKind::CheckDecided, outcome, Actor::Anonymous, at).finding(&finding).build().unwrap()
}

#[test]
fn refusals_are_always_recorded_and_passes_are_counted() {
    let sink = MemorySink::default();
    {
        let recorder = Recorder::new(&sink, PassPolicy::Aggregate { window: Duration::from_secs(60) });
        for second in 0..10 {
            assert!(matches!(recorder.record(check_event(Outcome::Passed, "a", second)), Recorded::Counted));
        }
        assert!(matches!(recorder.record(check_event(Outcome::Refused, "a", 10)), Recorded::Sent(_)));
        assert_eq!(sink.events().len(), 1);
        drop(recorder.record(check_event(Outcome::Passed, "a", 60)));
        assert_eq!(sink.events()[1].kind(), EventKind::SystemPassesAggregated);
        drop(recorder.record(check_event(Outcome::Passed, "b", 61)));
    }
    // Dropping the recorder flushes what is open: nothing is lost silently.
    let counts: Vec<String> =
        sink.events()[1..].iter().map(|event| format!("{:?}", event.fields()[1].value())).collect();
    assert_eq!(counts.len(), 2);
    assert!(counts[0].contains("Integer(11)"), "{counts:?}");
    assert!(counts[1].contains("Integer(1)"), "{counts:?}");
}

#[test]
fn sampling_keeps_the_first_of_each_group() {
    let sink = MemorySink::default();
    let recorder = Recorder::new(&sink, PassPolicy::Sample { one_in: NonZeroU32::new(4).unwrap() });
    for second in 0..9 {
        drop(recorder.record(check_event(Outcome::Passed, "a", second)));
    }
    assert_eq!(sink.events().len(), 3);
    drop(recorder.record(check_event(Outcome::Refused, "a", 9)));
    assert_eq!(sink.events().len(), 4);
}

#[test]
fn each_pass_can_be_recorded() {
    let sink = MemorySink::default();
    let recorder = Recorder::new(&sink, PassPolicy::Each);
    for second in 0..3 {
        assert!(matches!(recorder.record(check_event(Outcome::Passed, "a", second)), Recorded::Sent(_)));
    }
    recorder.flush(now());
    assert_eq!(sink.events().len(), 3);
}

#[test]
fn a_count_that_could_not_be_recorded_is_recorded_with_the_last() {
    let sink = MemorySink::default();
    let failed = |second: u64| {
        let at = now().saturating_add(Duration::from_secs(second));
        Event::builder(EventKind::AuthenticationLogin, Outcome::Refused, Actor::Anonymous, at)
            .build()
            .unwrap()
    };
    {
        let recorder = Recorder::new(&sink, PassPolicy::Each)
            .limit_failures(FailurePolicy::new(1, Duration::from_secs(60)));
        for second in 0..5 {
            drop(recorder.record_within(failed(second), "a"));
        }
        sink.fail_with(Some(RecordErrorKind::Unavailable));
        drop(recorder.record_within(failed(60), "b"));
        sink.fail_with(None);
    }
    let counted = |event: &Event| event.kind() == EventKind::SystemFailuresAggregated;
    assert_eq!(sink.events().iter().filter(|event| counted(event)).count(), 1);
    assert!(format!("{:?}", sink.events().last().unwrap().fields()).contains("Integer(4)"));
}

#[test]
fn a_failing_sink_is_heard() {
    let sink = MemorySink::default();
    sink.fail_with(Some(RecordErrorKind::Full));
    assert_eq!(sink.record(full()).wait().unwrap_err().code(), "record.full");
    assert!(sink.events().is_empty());
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(event) = Event::decode(&bytes) {
            prop_assert_eq!(canonical(&event), bytes);
        }
    }

    #[test]
    fn a_flipped_byte_never_yields_the_same_event(at in 0..canonical(&full()).len(), bit in 0..8_u8) {
        let mut bytes = canonical(&full());
        bytes[at] ^= 1 << bit;
        if let Ok(event) = Event::decode(&bytes) {
            prop_assert_ne!(event.digest(), full().digest());
            prop_assert_eq!(canonical(&event), bytes);
        }
    }
}
