//! `SignedNextKey::open`.
//!
//! Oracle: a value that opens is the one the key itself would write for its target and expiry; a target that passes comes
//! back as it was.
#![no_main]

use std::sync::LazyLock;

use compliance_auth::redirect::{RedirectPolicy, SignedNextKey};
use compliance_core::clock::Timestamp;
use libfuzzer_sys::fuzz_target;

static POLICY: LazyLock<RedirectPolicy> =
    LazyLock::new(|| RedirectPolicy::builder("https://app.example/").build().unwrap());

fuzz_target!(|input: &str| {
    let key = SignedNextKey::new(&[7; 32], "login").unwrap();
    let now = Timestamp::UNIX_EPOCH;
    if let Ok(target) = key.open(input, &POLICY, now) {
        let expiry: i64 = input.split('.').nth(1).unwrap().parse().unwrap();
        assert_eq!(key.sign(&target, Timestamp::from_unix_seconds(expiry)), input);
    }
    if let Ok(target) = POLICY.check(input) {
        let signed = key.sign(&target, Timestamp::from_unix_seconds(600));
        assert_eq!(key.open(&signed, &POLICY, now).as_ref(), Ok(&target));
        assert!(key.open(&signed, &POLICY, Timestamp::from_unix_seconds(600)).is_err());
    }
});
