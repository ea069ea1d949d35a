//! Signed `next` values: bound to key, purpose, time and policy.

use compliance_auth::redirect::{RedirectPolicy, SignedNextErrorKind as Kind, SignedNextKey};
use compliance_core::clock::Timestamp;

const SECRET: [u8; 32] = [42; 32];

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds)
}

fn policy() -> RedirectPolicy {
    RedirectPolicy::builder("https://app.example/").build().unwrap()
}

fn signed() -> String {
    SignedNextKey::new(&SECRET, "login").unwrap().sign(&policy().check("/invoices?id=7").unwrap(), at(1000))
}

#[track_caller]
fn check(secret: &[u8], purpose: &str, signed: &str, now: i64, expected: Result<&str, Kind>) {
    let found = SignedNextKey::new(secret, purpose).unwrap().open(signed, &policy(), at(now));
    assert_eq!(found.as_ref().map(|t| t.location()).map_err(|e| e.kind()), expected);
}

#[test]
fn a_value_opens_until_it_expires() {
    check(&SECRET, "login", &signed(), 999, Ok("https://app.example/invoices?id=7"));
    check(&SECRET, "login", &signed(), 1000, Err(Kind::Expired));
}

#[test]
fn a_value_is_bound_to_key_and_purpose() {
    check(&[43; 32], "login", &signed(), 0, Err(Kind::Signature));
    check(&SECRET, "logout", &signed(), 0, Err(Kind::Signature));
}

#[test]
fn every_change_is_noticed() {
    let good = signed();
    for (i, byte) in good.bytes().enumerate() {
        for other in [b'A', b'Q', b'1', b'.', b'~'] {
            let mut bytes = good.clone().into_bytes();
            bytes[i] = other;
            if byte != other {
                let changed = String::from_utf8(bytes).unwrap();
                assert!(
                    SignedNextKey::new(&SECRET, "login").unwrap().open(&changed, &policy(), at(0)).is_err(),
                    "{changed}"
                );
            }
        }
        assert!(SignedNextKey::new(&SECRET, "login").unwrap().open(&good[..i], &policy(), at(0)).is_err());
    }
    check(&SECRET, "login", &good.replace(".1000.", ".+1000."), 0, Err(Kind::Malformed));
    check(&SECRET, "login", &good.replace(".1000.", ".01000."), 0, Err(Kind::Malformed));
    check(&SECRET, "login", &"n1.".repeat(2000), 0, Err(Kind::Malformed));
}

#[test]
fn a_stricter_policy_holds_for_values_signed_before() {
    let wide = RedirectPolicy::builder("https://app.example/")
        .allow("https://old.example".parse().unwrap())
        .build()
        .unwrap();
    let key = SignedNextKey::new(&SECRET, "login").unwrap();
    let value = key.sign(&wide.check("https://old.example/x").unwrap(), at(1000));
    assert!(key.open(&value, &wide, at(0)).is_ok());
    check(&SECRET, "login", &value, 0, Err(Kind::Target));
}

#[test]
fn a_short_secret_or_no_purpose_makes_no_key() {
    assert_eq!(SignedNextKey::new(&[1; 31], "login").unwrap_err().code(), "next.key");
    assert_eq!(SignedNextKey::new(&SECRET, "").unwrap_err().code(), "next.key");
    assert_eq!(SignedNextKey::new(&SECRET, &"p".repeat(65)).unwrap_err().code(), "next.key");
    assert!(!format!("{:?}", SignedNextKey::new(&SECRET, "login").unwrap()).contains("42"));
}
