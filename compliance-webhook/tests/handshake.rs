//! What counts as an endpoint's consent, and as an answer to a challenge.

use std::num::NonZeroU32;

use compliance_core::clock::Timestamp;
use compliance_core::random::SystemRandom;
use compliance_webhook::handshake::{AllowedRate, Challenge, Handshake};
use compliance_webhook::{MessageId, Signer, SigningKey, Verifier};

fn per_minute(rate: u32) -> AllowedRate {
    AllowedRate::PerMinute(NonZeroU32::new(rate).unwrap())
}

#[track_caller]
fn check(status: u16, fields: &[(&str, &str)], expected: Option<AllowedRate>) {
    let read = Handshake::new("Events.Example.com").unwrap().read(status, fields.iter().copied());
    assert_eq!(read.ok(), expected);
    if let Err(error) = read {
        assert_eq!(error.code(), "handshake.no_consent");
    }
}

#[test]
fn consent_is_said_in_so_many_words() {
    let origin = ("WebHook-Allowed-Origin", "events.example.com");
    check(200, &[origin], Some(AllowedRate::Unlimited));
    check(204, &[("webhook-allowed-origin", "EVENTS.example.COM")], Some(AllowedRate::Unlimited));
    check(200, &[("WEBHOOK-ALLOWED-ORIGIN", "*")], Some(AllowedRate::Unlimited));
    check(200, &[origin, ("webhook-allowed-rate", "120")], Some(per_minute(120)));
    check(200, &[origin, ("webhook-allowed-rate", "*")], Some(AllowedRate::Unlimited));

    check(200, &[], None);
    check(200, &[("allow", "POST"), ("access-control-allow-origin", "*")], None);
    for other in [
        "",
        "example.com",
        "evil-events.example.com",
        "events.example.com.evil",
        "events.example.com, *",
        " *",
        "null",
    ] {
        check(200, &[("webhook-allowed-origin", other)], None);
    }
    for status in [100, 199, 301, 307, 400, 405, 410, 500] {
        check(status, &[origin], None);
    }
    for rate in ["", "0", "00", "01", "+1", "-1", "1.5", "1e3", "4294967296", "ü", "120, 5", "* "] {
        check(200, &[origin, ("webhook-allowed-rate", rate)], None);
    }
    check(200, &[origin, origin], None);
    check(200, &[origin, ("webhook-allowed-rate", "1"), ("Webhook-Allowed-Rate", "9")], None);
}

#[test]
fn origins_are_dns_names() {
    for (origin, ok) in [
        ("example.com", true),
        ("a-b.example.com", true),
        ("localhost", false),
        ("", false),
        (".", false),
        ("example.com.", false),
        ("-a.example.com", false),
        ("a_b.example.com", false),
        ("exa mple.com", false),
        ("example.com\r\nx: y", false),
        ("https://example.com", false),
        ("exämple.com", false),
    ] {
        assert_eq!(Handshake::new(origin).is_ok(), ok, "{origin:?}");
    }
    assert_eq!(Handshake::new(&format!("{}.com", "a".repeat(64))).unwrap_err().code(), "handshake.origin");
    assert_eq!(Handshake::new(&"a.".repeat(200)).unwrap_err().code(), "handshake.origin");
}

#[test]
fn only_a_verified_message_of_that_very_shape_is_a_challenge() {
    let key = SigningKey::from_bytes(&[7; 32]).unwrap();
    let now = Timestamp::from_unix_seconds(1_795_262_400);
    let challenge = |body: &str| {
        let id = MessageId::parse("msg_1").unwrap();
        let signed = Signer::new(key.clone()).sign(&id, now, body.as_bytes()).unwrap();
        let verified = Verifier::new(key.clone()).verify(signed.pairs(), body, now).unwrap();
        Challenge::in_message(&verified).map(|challenge| challenge.answer(&key))
    };
    let token = "A".repeat(43);
    let good = format!(r#"{{"type":"webhook.challenge","challenge":"{token}"}}"#);
    let answer = challenge(&good).unwrap();
    assert_eq!(answer.len(), 43);
    assert_ne!(challenge(&good.replace("AAA\"", "AAB\"")).unwrap(), answer);
    for other in [
        "{}".to_owned(),
        good.replace("AAA\"", "AA\""),
        good.replace("AAA\"", "AAAA\""),
        good.replace("AAA\"", "AA.\""),
        format!("{good} "),
        good.replace(",", ", "),
    ] {
        assert_eq!(challenge(&other), None, "{other}");
    }
    let random = Challenge::generate(&SystemRandom).unwrap();
    assert_eq!(format!("{random:?}"), "Challenge([redacted])");
}
