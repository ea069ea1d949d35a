//! Which messages a receiver accepts.

use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::finding::Reason;
use compliance_webhook::sign::{Ed25519Key, MessageId, SenderKey, Signer, SigningKey};
use compliance_webhook::verify::{
    DEFAULT_MAX_BODY_LEN, DEFAULT_TOLERANCE, MAX_ED25519_SIGNATURES, MAX_SIGNATURE_HEADER_LEN,
    MAX_SIGNATURES, MAX_TOLERANCE, Verifier,
};
use proptest::prelude::*;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const SENT: i64 = 1_649_367_553;
const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
const GOOD: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

fn verifier() -> Verifier {
    Verifier::new(SigningKey::parse(SECRET).unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

struct Case<'a> {
    id: &'a str,
    sent: &'a str,
    signature: &'a str,
    body: &'a [u8],
    now: Timestamp,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self { id: ID, sent: "1649367553", signature: GOOD, body: BODY.as_bytes(), now: at(SENT) }
    }
}

impl Case<'_> {
    fn verify_with(&self, verifier: &Verifier) -> Result<(), &'static str> {
        let headers = [
            ("Webhook-Id", self.id),
            ("webhook-timestamp", self.sent),
            ("WEBHOOK-SIGNATURE", self.signature),
        ];
        let verified = verifier.verify(headers, self.body, self.now).map_err(|error| {
            assert_eq!(error.public_code().as_str(), "verify.refused");
            error.code()
        })?;
        assert_eq!(verified.message().id().as_str(), self.id);
        assert_eq!(verified.message().sent().unwrap().as_unix_seconds().to_string(), self.sent);
        assert_eq!(verified.into_body(), self.body);
        Ok(())
    }

    #[track_caller]
    fn check(&self, expected: Result<(), &str>) {
        assert_eq!(self.verify_with(&verifier()), expected);
    }
}

#[test]
fn the_published_vector_verifies() {
    Case::default().check(Ok(()));
}

#[track_caller]
fn check_signature(signature: &str, expected: Result<(), &str>) {
    Case { signature, ..Case::default() }.check(expected);
}

#[test]
fn near_miss_signatures_are_refused() {
    // One bit of the base64, of the tag, of the scheme; cut, padded and wrapped.
    check_signature("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkk=", Err("verify.signature"));
    check_signature("v1,uZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=", Err("verify.signature"));
    check_signature("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkx=", Err("verify.signature_syntax"));
    check_signature("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw", Err("verify.signature_syntax"));
    check_signature("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw==", Err("verify.signature_syntax"));
    check_signature("v1,tZ1I4_hDygAJgO5TYxiSd6Sd0kDW6hPenDe-bTa3Kkw=", Err("verify.signature_syntax"));
    check_signature("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3", Err("verify.signature_syntax"));
    check_signature("v1,AAAA", Err("verify.signature_syntax"));
    check_signature("v1,", Err("verify.signature_syntax"));
    check_signature("v1", Err("verify.signature_syntax"));
    check_signature("", Err("verify.signature_syntax"));
    check_signature(&GOOD[3..], Err("verify.signature_syntax"));
    check_signature(&format!("v1a,{}", &GOOD[3..]), Err("verify.scheme"));
    check_signature(&format!("V1,{}", &GOOD[3..]), Err("verify.scheme"));
    check_signature(&format!("v2,{}", &GOOD[3..]), Err("verify.scheme"));
    check_signature(&format!(" {GOOD}"), Err("verify.signature_syntax"));
    check_signature(&format!("{GOOD} "), Err("verify.signature_syntax"));
    check_signature(&format!("{GOOD},"), Err("verify.signature_syntax"));
    check_signature(&format!("{GOOD}\t"), Err("verify.signature_syntax"));
}

#[test]
fn one_good_signature_among_others_is_enough() {
    let wrong = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    check_signature(&format!("{wrong} v2,x {GOOD} {wrong}"), Ok(()));
    check_signature(&format!("v1a,xyz {GOOD}"), Ok(()));
    check_signature(&format!("v1,AAAA {GOOD}"), Ok(()));
    check_signature(&format!("{wrong} {wrong}"), Err("verify.signature"));
}

#[test]
fn signatures_are_counted_before_they_are_tried() {
    let others = |count: usize| "v1,AAAA ".repeat(count);
    check_signature(&format!("{}{GOOD}", others(MAX_SIGNATURES - 1)), Ok(()));
    check_signature(&format!("{}{GOOD}", others(MAX_SIGNATURES)), Err("verify.too_many_signatures"));
    check_signature(&format!("{GOOD} {}v1,A", others(MAX_SIGNATURES)), Err("verify.too_many_signatures"));
    check_signature(&format!("{}{GOOD}", others(10_000)), Err("verify.header_length"));
    check_signature(&"v".repeat(MAX_SIGNATURE_HEADER_LEN), Err("verify.signature_syntax"));
    check_signature(&"v".repeat(MAX_SIGNATURE_HEADER_LEN + 1), Err("verify.header_length"));
}

#[test]
fn timestamps_are_plain_decimal() {
    for sent in [
        "",
        "+1649367553",
        "+001649367553",
        "-1649367553",
        "01649367553",
        "001649367553",
        " 1649367553",
        "1649367553 ",
        "1649367553.0",
        "1.649367553e9",
        "0x624F5AC1",
        "1_649_367_553",
        "1649367553\0",
        "\u{661}\u{666}",
        "00",
        "-0",
        "-9223372036854775808",
        "9223372036854775808",
        "1000000000000",
        "99999999999999999999",
    ] {
        Case { sent, ..Case::default() }.check(Err("verify.timestamp_syntax"));
    }
    Case { sent: &"1".repeat(33), ..Case::default() }.check(Err("verify.header_length"));
    Case { sent: "0", ..Case::default() }.check(Err("verify.timestamp_too_old"));
    Case { sent: "999999999999", ..Case::default() }.check(Err("verify.timestamp_too_new"));
}

#[test]
fn tolerance_counts_whole_seconds_each_way() {
    let tolerance = i64::try_from(DEFAULT_TOLERANCE.as_secs()).unwrap();
    for (now, expected) in [
        (at(SENT + tolerance), Ok(())),
        (at(SENT + tolerance).saturating_add(Duration::from_millis(999)), Ok(())),
        (at(SENT + tolerance + 1), Err("verify.timestamp_too_old")),
        (at(SENT - tolerance), Ok(())),
        (at(SENT - tolerance - 1), Err("verify.timestamp_too_new")),
        (Timestamp::MIN, Err("verify.timestamp_too_new")),
        (Timestamp::MAX, Err("verify.timestamp_too_old")),
    ] {
        Case { now, ..Case::default() }.check(expected);
    }
}

#[test]
fn past_and_future_are_separate() {
    let strict = verifier().with_tolerance(Duration::from_secs(60), Duration::ZERO).unwrap();
    for (now, expected) in [
        (at(SENT), Ok(())),
        (at(SENT + 60), Ok(())),
        (at(SENT + 61), Err("verify.timestamp_too_old")),
        (at(SENT - 1), Err("verify.timestamp_too_new")),
    ] {
        assert_eq!(Case { now, ..Case::default() }.verify_with(&strict), expected);
    }
    let too_wide = MAX_TOLERANCE + Duration::from_secs(1);
    assert_eq!(verifier().with_tolerance(too_wide, Duration::ZERO).unwrap_err().code(), "verifier.tolerance");
    assert_eq!(
        verifier().with_tolerance(Duration::ZERO, Duration::MAX).unwrap_err().code(),
        "verifier.tolerance"
    );
}

#[test]
fn ids_are_those_a_sender_may_use() {
    for id in ["", "a.1", "a b", "a\0", "é", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk\n"] {
        Case { id, ..Case::default() }.check(Err("verify.id"));
    }
    Case { id: &"a".repeat(129), ..Case::default() }.check(Err("verify.header_length"));
    Case { id: "msg_27UH4WbU6Z5A5EzD8u03UvzRbpK", ..Case::default() }.check(Err("verify.signature"));
}

#[test]
fn every_byte_of_the_body_counts() {
    Case { body: b"", ..Case::default() }.check(Err("verify.signature"));
    for (at, _) in BODY.bytes().enumerate() {
        let mut body = BODY.as_bytes().to_vec();
        body[at] ^= 1;
        Case { body: &body, ..Case::default() }.check(Err("verify.signature"));
    }
    let longer = vec![b'x'; DEFAULT_MAX_BODY_LEN + 1];
    Case { body: &longer, ..Case::default() }.check(Err("verify.body_length"));
    Case { body: &longer[1..], ..Case::default() }.check(Err("verify.signature"));
    let tiny = verifier().with_max_body_len(8);
    assert_eq!(Case::default().verify_with(&tiny), Err("verify.body_length"));
}

#[test]
fn each_header_comes_exactly_once() {
    let all = [("webhook-id", ID), ("webhook-timestamp", "1649367553"), ("webhook-signature", GOOD)];
    let code = |headers: &[(&str, &str)]| {
        verifier().verify(headers.iter().copied(), BODY, at(SENT)).map(drop).map_err(|error| error.code())
    };
    assert_eq!(code(&all), Ok(()));
    assert_eq!(code(&[]), Err("verify.header_missing"));
    for skipped in 0..all.len() {
        let some: Vec<_> =
            all.iter().enumerate().filter(|(at, _)| *at != skipped).map(|(_, pair)| *pair).collect();
        assert_eq!(code(&some), Err("verify.header_missing"));
        let doubled: Vec<_> = all.iter().chain([&all[skipped]]).copied().collect();
        assert_eq!(code(&doubled), Err("verify.header_duplicate"));
        let shouted: Vec<_> = doubled.iter().map(|(name, value)| (name.to_uppercase(), *value)).collect();
        let shouted: Vec<_> = shouted.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(code(&shouted), Err("verify.header_duplicate"));
    }
    let others: Vec<_> = std::iter::repeat_n(("x-other", "1"), 1_000).chain(all).collect();
    assert_eq!(code(&others), Ok(()));
    let flood: Vec<_> = std::iter::repeat_n(("x-other", "1"), 100_000).chain(all).collect();
    assert_eq!(code(&flood), Err("verify.header_length"));
}

#[test]
fn header_values_need_not_be_text() {
    let headers: [(&str, &[u8]); 3] = [
        ("webhook-id", &[0xff, 0xfe]),
        ("webhook-timestamp", b"1649367553"),
        ("webhook-signature", GOOD.as_bytes()),
    ];
    assert_eq!(verifier().verify(headers, BODY, at(SENT)).unwrap_err().code(), "verify.id");
}

#[test]
fn any_of_the_verifiers_keys_will_do() {
    let other = SigningKey::parse(OTHER_SECRET).unwrap();
    assert_eq!(Case::default().verify_with(&Verifier::new(other.clone())), Err("verify.signature"));
    let both = Verifier::new(other.clone()).with_key(SigningKey::parse(SECRET).unwrap()).unwrap();
    assert_eq!(Case::default().verify_with(&both), Ok(()));
    let mut full = both;
    for _ in 2..Verifier::MAX_KEYS {
        full = full.with_key(other.clone()).unwrap();
    }
    assert_eq!(full.with_key(other).unwrap_err().code(), "verifier.too_many_keys");
}

#[test]
fn nothing_received_shows_in_errors_or_debug() {
    let verified = verifier()
        .verify(
            [("webhook-id", ID), ("webhook-timestamp", "1649367553"), ("webhook-signature", GOOD)],
            BODY,
            at(SENT),
        )
        .unwrap();
    let shown = format!("{verified:?} {:?}", verifier());
    assert!(!shown.contains("test@example.com") && !shown.contains("C2FV"), "{shown}");
}

/// The official library, which reads the system clock itself.
mod official {
    use super::*;
    use compliance_core::clock::{Clock as _, SystemClock};
    use standardwebhooks::Webhook;

    #[test]
    fn it_verifies_what_we_sign_and_we_verify_what_it_signs() {
        let now = SystemClock.now();
        let seconds = now.as_unix_seconds();
        let theirs = Webhook::new(SECRET).unwrap();
        let signer = Signer::new(SigningKey::parse(SECRET).unwrap());
        for (id, body) in [("msg_1", ""), ("msg_2", BODY), ("a-b_c", "ü\0\n"), (ID, &"x".repeat(20_000))] {
            let message = MessageId::parse(id).unwrap();
            let ours = signer.sign(&message, now, body.as_bytes()).unwrap();
            let mut headers = http::HeaderMap::new();
            for (name, value) in ours.pairs() {
                headers.insert(name, value.parse().unwrap());
            }
            theirs.verify(body.as_bytes(), &headers).unwrap();

            let signature = theirs.sign(id, seconds, body.as_bytes()).unwrap();
            assert_eq!(signature, ours.signature());
            let sent = seconds.to_string();
            let fields =
                [("webhook-id", id), ("webhook-timestamp", &sent), ("webhook-signature", &signature)];
            assert_eq!(verifier().verify(fields, body, now).unwrap().into_body(), body);
        }
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_nothing_else_does(
        id in "[!-\\-/-~]{1,128}",
        sent in 0_i64..253_402_207_200,
        body in prop::collection::vec(any::<u8>(), 0..256),
        flip in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let key = SigningKey::parse(SECRET).unwrap();
        let id = MessageId::parse(&id).unwrap();
        let signed = Signer::new(key.clone()).sign(&id, at(sent), &body).unwrap();
        let verifier = Verifier::new(key);
        let headers = signed.pairs();
        prop_assert!(verifier.verify(headers, &body[..], at(sent)).is_ok());

        // One bit anywhere in body or headers.
        let mut parts: Vec<Vec<u8>> =
            headers.iter().map(|(_, value)| value.as_bytes().to_vec()).chain([body.clone()]).collect();
        let total: usize = parts.iter().map(Vec::len).sum();
        let mut index = flip.index(total);
        for part in &mut parts {
            match part.get_mut(index) {
                Some(byte) => { *byte ^= 1 << bit; break }
                None => index -= part.len(),
            }
        }
        let body = parts.pop().unwrap();
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        prop_assert!(verifier.verify(names.into_iter().zip(parts), body, at(sent)).is_err());
    }

    #[test]
    fn no_header_panics(id in "\\PC{0,40}", sent in "[-+0-9. ]{0,24}", signature in "(v1,|v1a,)?[A-Za-z0-9+/=, ]{0,120}") {
        let case = Case { id: &id, sent: &sent, signature: &signature, ..Case::default() };
        prop_assert!(case.verify_with(&verifier()).is_err());
    }
}

fn pair() -> Ed25519Key {
    Ed25519Key::from_seed(&[9; 32])
}

/// The header of the usual message under a key.
fn signed_by(key: impl Into<SenderKey>) -> String {
    let id = MessageId::parse(ID).unwrap();
    Signer::new(key).sign(&id, at(SENT), BODY.as_bytes()).unwrap().signature().to_owned()
}

#[track_caller]
fn check_public(signature: &str, expected: Result<(), &'static str>) {
    let verifier = Verifier::new(pair().verifying_key());
    assert_eq!(Case { signature, ..Case::default() }.verify_with(&verifier), expected);
}

#[test]
fn a_public_key_verifies_what_its_private_key_signed() {
    let good = signed_by(pair());
    check_public(&good, Ok(()));
    check_public(&format!("{GOOD} v1a,xyz {good}"), Ok(()));
    check_public(&signed_by(Ed25519Key::from_seed(&[8; 32])), Err("verify.signature"));
    // Only its own scheme counts: an HMAC is none, whatever the key.
    check_public(GOOD, Err("verify.scheme"));
    check_public(&good.replace("v1a,", "v1,"), Err("verify.scheme"));
    check_public(&format!("v1a,{}", &GOOD[3..]), Err("verify.signature_syntax"));
    let verifier = Verifier::new(pair().verifying_key());
    let body = b"{}";
    assert_eq!(
        Case { signature: &good, body, ..Case::default() }.verify_with(&verifier),
        Err("verify.signature")
    );
    let sent = "1649367554";
    assert_eq!(
        Case { signature: &good, sent, ..Case::default() }.verify_with(&verifier),
        Err("verify.signature")
    );
}

#[test]
fn either_key_will_do_while_a_sender_changes_its_scheme() {
    let verifier = verifier().with_key(pair().verifying_key()).unwrap();
    for signature in [GOOD.to_owned(), signed_by(pair()), format!("{} {GOOD}", signed_by(pair()))] {
        assert_eq!(Case { signature: &signature, ..Case::default() }.verify_with(&verifier), Ok(()));
    }
}

#[test]
fn a_forger_cannot_buy_many_slow_verifications() {
    let good = signed_by(pair());
    let wrong = signed_by(Ed25519Key::from_seed(&[8; 32]));
    let header = |wrongs: usize| format!("{} {good}", vec![wrong.as_str(); wrongs].join(" "));
    check_public(&header(MAX_ED25519_SIGNATURES - 1), Ok(()));
    check_public(&header(MAX_ED25519_SIGNATURES), Err("verify.too_many_signatures"));
    // Nobody pays for them who has no public key.
    let signature = format!("{} {GOOD}", [wrong.as_str(); MAX_ED25519_SIGNATURES + 1].join(" "));
    assert_eq!(Case { signature: &signature, ..Case::default() }.verify_with(&verifier()), Ok(()));
}

#[test]
fn keys_of_both_schemes_count_towards_the_limit() {
    let mut verifier = verifier();
    for _ in 1..Verifier::MAX_KEYS {
        verifier = verifier.with_key(pair().verifying_key()).unwrap();
    }
    assert_eq!(verifier.with_key(pair().verifying_key()).unwrap_err().code(), "verifier.too_many_keys");
}
