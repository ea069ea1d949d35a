//! Hash: PHC strings, one path for every log-in, a bounded amount of memory.

use std::sync::Barrier;
use std::time::Duration;

use compliance_auth::password::hash::{HashErrorKind, PasswordHashErrorKind as Kind, VerifyErrorKind};
use compliance_auth::password::{
    HashParameters, PasswordContext, PasswordHash, PasswordHasher, PasswordPolicy, PasswordProfile,
};
use compliance_core::random::{RandomError, SecureRandom, SystemRandom};
use secrecy::SecretString;

/// The Argon2 reference implementation's test: t = 2, m = 64 MiB, p = 1, "password", "somesalt" (CC0).
const REFERENCE: &str =
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
/// The same at m = 256 KiB, quick enough for a test.
const SMALL: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
const GOOD: &str = "zq7-velour-antelope-91";

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn hasher() -> PasswordHasher {
    PasswordHasher::builder().build()
}

#[track_caller]
fn check_parse(text: &str, expected: Result<(), Kind>) {
    assert_eq!(text.parse::<PasswordHash>().map(|_| ()).map_err(|e| e.kind()), expected, "{text}");
}

#[test]
fn the_reference_implementations_hashes_verify() {
    for stored in [REFERENCE, SMALL] {
        let stored: PasswordHash = stored.parse().unwrap();
        let verified = hasher().verify(Some(&stored), &secret("password")).unwrap();
        assert!(verified.needs_rehash());
        assert_eq!(
            hasher().verify(Some(&stored), &secret("passwore")).unwrap_err().kind(),
            VerifyErrorKind::Rejected
        );
    }
}

#[test]
fn a_hash_verifies_and_is_salted_afresh() {
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let accepted = policy.check(&secret(GOOD), &PasswordContext::new()).unwrap();
    let hasher = hasher();
    let first = hasher.hash(&accepted, &SystemRandom).unwrap();
    let second = hasher.hash(&accepted, &SystemRandom).unwrap();
    assert_ne!(first, second);
    assert!(first.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_eq!(first.as_str().parse::<PasswordHash>().unwrap(), first);
    assert!(!hasher.verify(Some(&first), &secret(GOOD)).unwrap().needs_rehash());
    assert!(hasher.verify(Some(&second), &secret(GOOD)).is_ok());
}

#[test]
fn a_verified_password_moves_to_todays_parameters() {
    let stored: PasswordHash = SMALL.parse().unwrap();
    let hasher = hasher();
    let verified = hasher.verify(Some(&stored), &secret("password")).unwrap();
    let renewed = hasher.rehash(&verified, &SystemRandom).unwrap();
    assert_eq!(renewed.parameters(), HashParameters::M19456_T2);
    assert!(!hasher.verify(Some(&renewed), &secret("password")).unwrap().needs_rehash());
}

#[test]
fn an_unknown_user_is_a_wrong_password() {
    let hasher = hasher();
    let unknown = hasher.verify(None, &secret(GOOD)).unwrap_err();
    let stored: PasswordHash = SMALL.parse().unwrap();
    assert_eq!(unknown, hasher.verify(Some(&stored), &secret(GOOD)).unwrap_err());
    assert_eq!(unknown.code(), "password.rejected");
    // Not even the all-zero tag that stands in for the unknown user lets anybody in.
    assert_eq!(hasher.verify(None, &secret("")).unwrap_err().kind(), VerifyErrorKind::Rejected);
}

#[test]
fn composed_and_decomposed_input_verify_alike() {
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let accepted = policy.check(&secret("größenwahn zq7 velour"), &PasswordContext::new()).unwrap();
    let hasher = hasher();
    let stored = hasher.hash(&accepted, &SystemRandom).unwrap();
    assert!(hasher.verify(Some(&stored), &secret("gro\u{308}ßenwahn zq7 velour")).is_ok());

    let policy = PasswordPolicy::of(PasswordProfile::Asvs5);
    let accepted = policy.check(&secret("gro\u{308}ßenwahn zq7 velour"), &PasswordContext::new()).unwrap();
    let stored = hasher.hash(&accepted, &SystemRandom).unwrap();
    assert!(hasher.verify(Some(&stored), &secret("gro\u{308}ßenwahn zq7 velour")).is_ok());
    assert!(hasher.verify(Some(&stored), &secret("größenwahn zq7 velour")).is_err());
}

#[test]
fn what_is_not_a_canonical_argon2id_string_is_refused() {
    check_parse(REFERENCE, Ok(()));
    for text in [
        "",
        "$",
        "password",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
        "$argon2id$v=19$t=2,m=256,p=1$c29tZXNhbHQ$AAAA",
        "$argon2id$v=19$m=0256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=+256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1,x=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29t$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4$",
    ] {
        check_parse(text, Err(Kind::Malformed));
    }
    check_parse(&format!("{REFERENCE}{}", "A".repeat(300)), Err(Kind::Malformed));
    check_parse("$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA", Err(Kind::Algorithm));
    check_parse("$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$AAAA", Err(Kind::Algorithm));
}

#[test]
fn a_stored_hash_cannot_ask_for_more_than_the_maxima() {
    for costs in
        ["m=1048577,t=2,p=1", "m=4294967295,t=2,p=1", "m=256,t=11,p=1", "m=256,t=2,p=17", "m=8,t=2,p=2"]
    {
        let text = format!("$argon2id$v=19${costs}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4");
        check_parse(&text, Err(Kind::Cost));
    }
}

#[test]
fn parameters_below_asvs_are_refused_for_new_hashes() {
    for (memory, passes, lanes, fine) in [
        (19_456, 2, 1, true),
        (47_104, 1, 1, true),
        (12_288, 3, 1, true),
        (65_536, 3, 4, true),
        (19_455, 2, 1, false),
        (47_103, 1, 1, false),
        (12_287, 3, 1, false),
        (12_288, 0, 1, false),
        (65_536, 3, 0, false),
        (1_048_577, 3, 1, false),
        (65_536, 11, 1, false),
        (65_536, 3, 17, false),
    ] {
        assert_eq!(HashParameters::new(memory, passes, lanes).is_ok(), fine, "{memory} {passes} {lanes}");
    }
}

#[test]
fn a_password_too_long_to_have_been_accepted_is_rejected_without_work() {
    let long = "x".repeat(PasswordHasher::MAX_PASSWORD_LEN + 1);
    assert_eq!(hasher().verify(None, &secret(&long)).unwrap_err().kind(), VerifyErrorKind::Rejected);
}

#[test]
fn without_randomness_nothing_is_hashed() {
    #[derive(Debug)]
    struct Broken;
    impl SecureRandom for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError::new())
        }
    }
    let accepted = PasswordPolicy::of(PasswordProfile::Nist80063b4)
        .check(&secret(GOOD), &PasswordContext::new())
        .unwrap();
    assert_eq!(hasher().hash(&accepted, &Broken).unwrap_err().kind(), HashErrorKind::Random);
}

#[test]
fn who_finds_the_memory_spent_is_told_to_come_back() {
    // Room for one hash, nobody may wait.
    let hasher = PasswordHasher::builder().memory_budget_mib(1).queue(0, Duration::from_secs(3)).build();
    let threads = 8;
    let barrier = Barrier::new(threads);
    let kinds: Vec<_> = std::thread::scope(|scope| {
        let run = || {
            barrier.wait();
            hasher.verify(None, &secret(GOOD)).unwrap_err().kind()
        };
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let overloaded = VerifyErrorKind::Overloaded { retry_after: Duration::from_secs(3) };
    assert!(kinds.contains(&VerifyErrorKind::Rejected) && kinds.contains(&overloaded), "{kinds:?}");
    // Memory came back.
    assert_eq!(hasher.verify(None, &secret(GOOD)).unwrap_err().kind(), VerifyErrorKind::Rejected);
}

#[test]
fn who_may_wait_gets_a_turn() {
    let hasher = PasswordHasher::builder().memory_budget_mib(1).queue(8, Duration::from_secs(600)).build();
    let kinds: Vec<_> = std::thread::scope(|scope| {
        let run = || hasher.verify(None, &secret(GOOD)).unwrap_err().kind();
        let running: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(kinds.iter().all(|kind| *kind == VerifyErrorKind::Rejected), "{kinds:?}");
}

#[test]
fn debug_shows_no_salt_and_no_tag() {
    let stored: PasswordHash = REFERENCE.parse().unwrap();
    let shown = format!("{stored:?}");
    assert!(!shown.contains("c29tZXNhbHQ") && !shown.contains("CTFh") && shown.contains("65536"), "{shown}");
}
