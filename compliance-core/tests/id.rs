//! Identifiers and `traceparent`.

use compliance_core::id::{ActorId, CorrelationId, MAX_ID_LEN, SubjectId, TenantId, TraceParent};
use compliance_core::testing::DeterministicRandom;

#[test]
fn identifiers_are_bounded_tokens_that_cannot_be_names_or_addresses() {
    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        let codes = [
            TenantId::new(text).map(drop).map_err(|e| e.code()),
            ActorId::new(text).map(drop).map_err(|e| e.code()),
            SubjectId::new(text).map(drop).map_err(|e| e.code()),
        ];
        assert_eq!(codes, [expected; 3], "{text:?}");
    }
    check("user-4711", Ok(()));
    check("0190f3c5-7e2a-7c3e-9a53-0123456789ab", Ok(()));
    check("urn:acme:staff.17_b", Ok(()));
    check(&"x".repeat(MAX_ID_LEN), Ok(()));
    check(&"x".repeat(MAX_ID_LEN + 1), Err("id.length"));
    check("", Err("id.empty"));
    check("anna@example.com", Err("id.character"));
    check("Anna Muster", Err("id.character"));
    check("-rf", Err("id.character"));
    check("../etc", Err("id.character"));
    check("a/b", Err("id.character"));
    check("a\nb", Err("id.character"));
    check("m\u{fc}ller", Err("id.character"));
    check("a\u{0}", Err("id.character"));
}

#[test]
fn a_subject_is_not_printed() {
    let subject = SubjectId::new("user-4711").unwrap();
    assert_eq!(format!("{subject:?}"), "[subject]");
    assert_eq!(subject.as_str(), "user-4711");
}

#[test]
fn correlation_ids_come_from_the_random_source_and_survive_a_round_trip() {
    let random = DeterministicRandom::new(1);
    let (a, b) = (CorrelationId::generate(&random).unwrap(), CorrelationId::generate(&random).unwrap());
    assert_ne!(a, b);
    assert_eq!(a.to_string().len(), 32);
    assert_eq!(CorrelationId::from_stored(&a.to_string()), Ok(a));
    assert!(CorrelationId::from_stored("ABCDEF00000000000000000000000000").is_err());
}

/// The cases follow W3C Trace Context Level 2, §3.2 and its validation suite's headings.
#[test]
fn traceparent_is_parsed_strictly() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";
    #[track_caller]
    fn check(header: &str, expected: Result<(), &str>) {
        assert_eq!(TraceParent::parse(header).map(drop).map_err(|e| e.code()), expected, "{header:?}");
    }
    check(&format!("00-{TRACE}-{SPAN}-01"), Ok(()));
    check(&format!("00-{TRACE}-{SPAN}-00"), Ok(()));
    check(&format!("00-{TRACE}-{SPAN}-ff"), Ok(()));
    check(&format!("cc-{TRACE}-{SPAN}-01"), Ok(()));
    check(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like"), Ok(()));
    check(&format!("cc-{TRACE}-{SPAN}-01.what-the-future"), Err("id.length"));
    check(&format!("00-{TRACE}-{SPAN}-01-extra"), Err("id.length"));
    check(&format!("00-{TRACE}-{SPAN}-01-"), Err("id.length"));
    check(&format!("ff-{TRACE}-{SPAN}-01"), Err("id.reserved"));
    check(&format!("00-{}-{SPAN}-01", "0".repeat(32)), Err("id.reserved"));
    check(&format!("00-{TRACE}-{}-01", "0".repeat(16)), Err("id.reserved"));
    check(&format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), Err("id.character"));
    check(&format!("00-{TRACE}-{SPAN}-0G"), Err("id.character"));
    check(&format!("0-{TRACE}-{SPAN}-01"), Err("id.length"));
    check(&format!(" 00-{TRACE}-{SPAN}-01"), Err("id.length"));
    check(&format!("00-{TRACE}-{SPAN}-01 "), Err("id.length"));
    check(&format!("00-{TRACE}{SPAN}-01"), Err("id.length"));
    check("", Err("id.length"));
    check("\u{e9}0-a-b-c", Err("id.length"));
}

#[test]
fn traceparent_prints_what_it_parsed() {
    let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let parent = TraceParent::parse(header).unwrap();
    assert_eq!(parent.to_string(), header);
    assert!(parent.sampled());
    assert_eq!(parent.trace_id()[0], 0x0a);
    assert_eq!(parent.parent_id()[7], 0x31);
}

proptest::proptest! {
    #[test]
    fn no_text_panics_and_what_parses_prints_and_parses_again(text in "\\PC{0,70}") {
        if let Ok(parent) = TraceParent::parse(&text) {
            proptest::prop_assert_eq!(TraceParent::parse(&parent.to_string()), Ok(parent));
        }
        let _ = TenantId::new(&text);
    }
}
