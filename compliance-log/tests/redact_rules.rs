//! What rules, counters and the service's own detectors do.

use compliance_log::redact::{Detector, FieldRule, Redactor, Rule};

#[test]
fn rules_of_fields_beat_what_the_value_is() {
    let redactor = Redactor::builder()
        .field("note", FieldRule::Drop)
        .field("Colour", FieldRule::Mask)
        .field("host", FieldRule::Keep)
        .build();
    assert_eq!(redactor.redact_field("NOTE", "green"), "[DROPPED]");
    assert_eq!(redactor.redact_field("colour", "green"), "*****");
    assert_eq!(redactor.redact_field("host", "203.0.113.7"), "203.0.113.7");
    assert_eq!(redactor.redact_field("peer", "203.0.113.7"), "[IPV4]");
    assert_eq!(redactor.redact("note=green host=203.0.113.7"), "note=green host=[IPV4]");
}

#[test]
fn a_private_key_that_stays_hides_nothing() {
    let redactor = Redactor::builder().rule(Detector::PemKey, Rule::Keep).build();
    for (text, redacted) in [
        (r"-----BEGIN PRIVATE KEY-----\n473-66-6181", r"-----BEGIN PRIVATE KEY-----\n[US_SSN]"),
        (
            "-----BEGIN PRIVATE KEY-----%404802%207079%202164%209606",
            "-----BEGIN PRIVATE KEY-----%40[CREDIT_CARD]",
        ),
    ] {
        assert_eq!(redactor.redact(text), redacted);
    }
    for text in [
        "-----BEGIN PRIVATE KEY-----6%32%39%39%37%34%38%38%37%36%30%31%35%32%37%33",
        "-----BEGIN PRIVATE KEY-----%0Ad1J1S25rQFR5RzRnLmNvLnVr",
    ] {
        assert_ne!(redactor.redact(text), text);
    }
}

#[test]
fn what_lies_in_a_value_that_stays_is_found() {
    let token = "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";
    let bearer = format!("Bearer {}.{token}.{}", "aB3".repeat(40), "aB3".repeat(40));
    for (stays, text, redacted) in [
        (Detector::Phone, "phone 30 219-09-9999", "phone 30 [US_SSN]"),
        (Detector::Bearer, &bearer, &bearer.replace(token, "[GITHUB_TOKEN]")),
    ] {
        let redactor = Redactor::builder().rule(stays, Rule::Keep).build();
        assert_eq!(redactor.redact(text), redacted);
    }
    // Where every value is replaced by a placeholder, it goes with the value it lies in.
    assert_eq!(Redactor::new().redact("phone 30 219-09-9999"), "phone [PHONE]");
    // Where rules differ, the one that knows most of the value names it.
    let redactor = Redactor::builder().rule(Detector::UsSsn, Rule::Mask).build();
    assert_eq!(redactor.redact("phone 30 219-09-9999"), "phone *****");
}

#[test]
fn a_run_of_base64_is_replaced_for_any_value_in_it_that_is() {
    // An address and a card number.
    let text = "saw bWFpbCBhbm5hQGV4YW1wbGUuY29tIGFib3V0IDQxMTEgMTExMSAxMTExIDExMTEsIHBsZWFzZQ==";
    assert_eq!(Redactor::new().redact(text), "saw [CREDIT_CARD]");
    for (keep, redacted) in [(Detector::CreditCard, "saw [EMAIL]"), (Detector::Email, "saw [CREDIT_CARD]")] {
        let redactor = Redactor::builder().rule(keep, Rule::Keep).build();
        assert_eq!(redactor.redact(text), redacted);
    }
}

#[test]
fn only_declared_fields_pass_in_allow_list_mode() {
    let redactor = Redactor::builder().allow_fields(["status"]).field("trace", FieldRule::Keep).build();
    assert_eq!(redactor.redact_field("status", "ok for anna@example.com"), "ok for [EMAIL]");
    assert_eq!(redactor.redact_field("trace", "t-1"), "t-1");
    assert_eq!(redactor.redact_field("colour", "green"), "[DROPPED]");
}

#[cfg(feature = "json")]
#[test]
fn rules_of_fields_hold_for_whole_json_members() {
    let redactor = Redactor::builder().field("profile", FieldRule::Drop).field("on", FieldRule::Mask).build();
    let mut value = serde_json::json!({"profile": {"a": [1, true]}, "on": true, "rest": [7]});
    redactor.redact_json(&mut value);
    assert_eq!(value, serde_json::json!({"profile": "[DROPPED]", "on": "*****", "rest": [7]}));
}

#[test]
fn report_only_counts_and_lets_pass() {
    let redactor = Redactor::builder().report_only().field("note", FieldRule::Drop).build();
    let text = "by anna@example.com from 203.0.113.7";
    assert_eq!(redactor.redact(text), text);
    assert_eq!(redactor.redact_field("note", "x"), "x");
    assert_eq!(redactor.scan(text).len(), 2);
    let metrics = redactor.metrics().unwrap();
    assert_eq!(
        metrics.hits().collect::<Vec<_>>(),
        [(Detector::Email, 2), (Detector::Ipv4, 2), (Detector::Dropped, 1)]
    );
    assert_eq!((metrics.texts(), metrics.bytes()), (2, 72));
}

#[test]
fn counting_is_asked_for() {
    assert_eq!(Redactor::new().metrics(), None);
    let redactor = Redactor::builder().count().build();
    let clone = redactor.clone();
    assert_eq!(clone.redact("tel. 030 1234567"), "tel. [PHONE]");
    let metrics = redactor.metrics().unwrap();
    assert_eq!(metrics.hits().collect::<Vec<_>>(), [(Detector::Phone, 1)]);
    assert!(!format!("{metrics:?}").contains("1234567"));
}

#[test]
fn coordinates_are_found_when_asked_for() {
    let redactor = Redactor::builder().rule(Detector::Geo, Rule::Placeholder).build();
    for (text, expected) in [
        ("lat=52.516275 lon=13.377704", "lat=[GEO] lon=[GEO]"),
        ("coords: -33.8568, 151.2153 ok", "coords: [GEO] ok"),
        ("geo:48.2010,16.3695,183", "geo:[GEO],183"),
        (r#"{"latitude":"52.5163° N"}"#, r#"{"latitude":"[GEO]"}"#),
        ("location=[12.34567,-45.67891]", "location=[[GEO]]"),
        ("latency 52.516275 ms", "latency 52.516275 ms"),
        ("lat=1.5", "lat=1.5"),
        ("lat=252.51627", "lat=252.51627"),
    ] {
        assert_eq!(redactor.redact(text), expected, "{text}");
    }
    assert_eq!(Redactor::new().redact("lat=52.516275"), "lat=52.516275");
}

#[cfg(feature = "custom")]
mod custom {
    use compliance_log::redact::{CustomDetector, CustomDetectorErrorKind, Redactor};

    #[track_caller]
    fn refused(name: &str, pattern: &str, kind: CustomDetectorErrorKind) {
        assert_eq!(CustomDetector::new(name, pattern).unwrap_err().kind(), kind);
    }

    #[test]
    fn own_detectors_see_what_the_others_see() {
        let badge =
            CustomDetector::new("BADGE", r"\bB-[0-9]{6}\b").unwrap().check(|value| value != "B-000000");
        let redactor = Redactor::builder().custom(badge).build();
        for (text, expected) in [
            ("by B-104732.", "by [BADGE]."),
            ("by B-000000", "by B-000000"),
            ("q=B%2D104732&x", "q=[BADGE]&x"),
            ("b64 aWQgQi0xMDQ3MzIgaXM= ok", "b64 [BADGE] ok"),
            ("password=B-104732", "password=[PASSWORD]"),
        ] {
            let once = redactor.redact(text).into_owned();
            assert_eq!(once, expected, "{text}");
            assert_eq!(redactor.redact(&once), once);
        }
        assert_eq!(redactor.redact_field("badge", "B-104732"), "[BADGE]");
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(64))]

        #[test]
        fn overlapping_matches_leave_no_byte(text in "[abcd ]{0,60}") {
            let patterns = ["ab+c", "bc+d", "cd+a?b", "da"];
            let names = ["FIRST", "SECOND", "THIRD", "FOURTH"];
            let redactor = names.iter().zip(patterns).fold(Redactor::builder(), |builder, (name, pattern)| {
                builder.custom(CustomDetector::new(name, pattern).unwrap())
            });
            let spans = redactor.build().scan(&text);
            for pattern in patterns {
                for found in regex::Regex::new(pattern).unwrap().find_iter(&text) {
                    let covered = |span: &compliance_log::redact::Span| span.start() <= found.start() && found.end() <= span.end();
                    assert!(spans.iter().any(covered), "{found:?} in {spans:?}");
                }
            }
        }
    }

    #[test]
    fn many_detectors_find_what_each_finds_alone() {
        let names: Vec<String> = (0..300).map(|n| format!("CODE_{n}")).collect();
        let detector = |n: usize| CustomDetector::new(&names[n], &format!(r"\bC{n}-[0-9]{{4,8}}\b")).unwrap();
        let all = (0..300).fold(Redactor::builder(), |builder, n| builder.custom(detector(n))).build();
        for n in [0, 1, 63, 64, 254, 255, 299] {
            let text = format!("before C{n}-12345 and C301-12345 behind");
            let expected = format!("before [CODE_{n}] and C301-12345 behind");
            assert_eq!(all.redact(&text), expected);
            assert_eq!(Redactor::builder().custom(detector(n)).build().redact(&text), expected);
        }
        assert_eq!(all.redact("C3-1234 C170-1234"), "[CODE_3] [CODE_170]");
    }

    #[test]
    fn what_matches_beside_a_match_is_found() {
        let named = CustomDetector::new("CALLSIGN", r"\S+ zulu").unwrap();
        let redactor = Redactor::builder().custom(named).build();
        for text in ["ab zulu zulu", "ab zulu zulu to me@", "ab zulu zulu zulu zulu"] {
            let once = redactor.redact(text);
            assert!(!once.contains("zulu"), "{once}");
            assert_eq!(redactor.redact(&once), once);
        }
    }

    #[test]
    fn a_placeholder_is_no_hit() {
        let greedy = CustomDetector::new("SHOUT", "[A-Z_]{4,}").unwrap();
        let redactor = Redactor::builder().custom(greedy).build();
        assert_eq!(redactor.redact("HELLO from anna@example.com"), "[SHOUT] from [EMAIL]");
    }

    #[test]
    fn what_cannot_be_a_detector_is_refused() {
        refused("B", "x", CustomDetectorErrorKind::Name);
        refused("badge", "x", CustomDetectorErrorKind::Name);
        refused("EMAIL", "x", CustomDetectorErrorKind::Name);
        refused("BADGE", "x*", CustomDetectorErrorKind::Empty);
        refused("BADGE", "(", CustomDetectorErrorKind::Pattern);
        refused("BADGE", r"(a)\1", CustomDetectorErrorKind::Pattern);
        refused("BADGE", r"(\w{1000}){1000}", CustomDetectorErrorKind::Pattern);
        refused("BADGE", &"x".repeat(1025), CustomDetectorErrorKind::Pattern);
    }
}

#[cfg(feature = "pseudonym")]
mod pseudonym {
    use super::*;
    use compliance_core::pseudonym::{Epoch, Pseudonym, PseudonymKey, Pseudonymiser};
    use compliance_core::pseudonym_domain;

    fn pseudonymiser(epoch: u32) -> Pseudonymiser {
        let key = PseudonymKey::new(&[7; 32], Epoch::new(0)).unwrap();
        key.pseudonymiser(None, pseudonym_domain!("log.redact"), Epoch::new(epoch)).unwrap()
    }

    fn redactor() -> Redactor {
        let builder = Detector::ALL
            .iter()
            .fold(Redactor::builder(), |builder, detector| builder.rule(*detector, Rule::Pseudonym));
        builder.pseudonymiser(pseudonymiser(1)).build()
    }

    fn token(text: &str) -> Pseudonym {
        text.parse().unwrap()
    }

    #[test]
    fn one_person_has_one_token_however_written() {
        let redactor = redactor();
        let plain = redactor.redact("anna@example.com").into_owned();
        assert_eq!(token(&plain).epoch(), Epoch::new(1));
        assert_eq!(redactor.redact("Anna@Example.COM"), plain);
        assert_eq!(redactor.redact("anna%40example.com"), plain);
        assert_ne!(redactor.redact("bob@example.com"), plain);
        assert_eq!(redactor.redact(&plain), plain);
        assert_eq!(redactor.redact("2001:DB8:0::1"), redactor.redact("2001:db8::1"));
    }

    #[test]
    fn what_can_be_guessed_has_no_token() {
        let redactor = redactor();
        for (text, expected) in [
            ("tel. 030 1234567", "tel. [PHONE]"),
            ("card 4111111111111111", "card [CREDIT_CARD]"),
            ("from 203.0.113.7", "from [IPV4]"),
            ("born 1974-07-14", "born [DOB]"),
            ("SSN 219-09-9999", "SSN [US_SSN]"),
            ("password=hunter2", "password=[PASSWORD]"),
            ("session=12345678ab", "session=[SESSION_ID]"),
            ("b64 YW5uYUBleGFtcGxlLmNvbQ==", "b64 [EMAIL]"),
        ] {
            assert_eq!(redactor.redact(text), expected, "{text}");
        }
    }

    #[test]
    fn a_token_stays_where_a_secret_stood() {
        let redactor = redactor();
        let once = redactor.redact("session=15cd58f6825919c55c81505a3144e2de ok").into_owned();
        assert!(once.starts_with("session=pn1_"), "{once}");
        assert_eq!(redactor.redact(&once), once);
    }

    #[test]
    fn the_next_epoch_has_other_tokens() {
        let redactor = redactor();
        let before = redactor.redact("anna@example.com").into_owned();
        redactor.clone().rotate(pseudonymiser(2));
        let after = redactor.redact("anna@example.com").into_owned();
        assert_ne!(token(&before).token(), token(&after).token());
        assert_eq!(token(&after).epoch(), Epoch::new(2));
    }

    #[test]
    fn without_a_key_there_is_a_placeholder() {
        let redactor = Redactor::builder().rule(Detector::Email, Rule::Pseudonym).build();
        assert_eq!(redactor.redact("anna@example.com"), "[EMAIL]");
    }
}

#[cfg(feature = "toml")]
mod toml {
    use super::*;
    use compliance_log::redact::RulesErrorKind;

    #[track_caller]
    fn refused(text: &str, line: usize, field: &str, code: &str) {
        let error = Redactor::builder().toml(text).unwrap_err();
        assert_eq!((error.line(), error.field(), error.code()), (line, field, code), "{error}");
    }

    #[test]
    fn a_file_says_what_the_builder_says() {
        let rules = r#"
            count = true
            allow_fields = ["message", "ip", "note"]
            [detectors]
            ipv4 = "truncate"
            us_ssn = "placeholder"
            [classes]
            personal = "mask"
            [fields]
            note = "drop"
        "#;
        let redactor = Redactor::builder().toml(rules).unwrap().build();
        assert_eq!(redactor.redact("203.0.113.7 anna@example.com"), "203.0.113.0/24 *****");
        assert_eq!(redactor.redact("SSN 219-09-9999"), "SSN [US_SSN]");
        assert_eq!(redactor.redact_field("note", "x"), "[DROPPED]");
        assert_eq!(redactor.redact_field("other", "x"), "[DROPPED]");
        assert_eq!(redactor.redact_field("ip", "x"), "x");
        assert!(redactor.metrics().is_some());
    }

    #[test]
    fn errors_name_line_and_member() {
        refused("x = = 1", 1, "", "redact_rules.syntax");
        refused("\nwhat = 1", 2, "", "redact_rules.unknown");
        refused("\"\" = 1", 1, "", "redact_rules.unknown");
        refused("[detectors]\nipv4 = \"mask\"\nemial = \"mask\"", 3, "detectors", "redact_rules.unknown");
        refused("[detectors]\nipv4 = \"half\"", 2, "detectors.ipv4", "redact_rules.value");
        refused("[detectors]\nipv4 = 4", 2, "detectors.ipv4", "redact_rules.value");
        refused("[detectors]\ndropped = \"keep\"", 2, "detectors", "redact_rules.unknown");
        refused("[classes]\nprivate = \"mask\"", 2, "classes", "redact_rules.unknown");
        refused("[classes]\nsecret = \"x\"", 2, "classes.secret", "redact_rules.value");
        refused("[fields]\na = \"drop\"\nb = \"placeholder\"", 3, "fields", "redact_rules.value");
        refused("detectors = 1", 1, "detectors", "redact_rules.value");
        refused("allow_fields = [\n\"a\",\n1]", 3, "allow_fields", "redact_rules.value");
        refused("report_only = \"yes\"", 1, "report_only", "redact_rules.value");
        refused(&"#".repeat(65_537), 1, "", "redact_rules.syntax");
        let error = Redactor::builder().toml("[detectors]\nipv4 = \"hunter2\"").unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(matches!(error.kind(), RulesErrorKind::Value(_)));
    }

    #[cfg(feature = "custom")]
    #[test]
    fn own_detectors_come_from_a_file() {
        let rules = "[[custom]]\nname = \"BADGE\"\npattern = 'B-[0-9]{6}'";
        let redactor = Redactor::builder().toml(rules).unwrap().build();
        assert_eq!(redactor.redact("by B-104732"), "by [BADGE]");
        refused("\n[[custom]]\nname = \"badge\"\npattern = 'x'", 3, "custom.name", "redact_rules.value");
        refused("[[custom]]\nname = \"BADGE\"\npattern = '('", 3, "custom.pattern", "redact_rules.value");
        refused("[[custom]]\nname = \"BADGE\"\npattern = 'x*'", 3, "custom.pattern", "redact_rules.value");
        refused("[[custom]]\nname = \"BADGE\"", 1, "custom", "redact_rules.value");
        refused("custom = [1]", 1, "custom", "redact_rules.value");
    }
}
