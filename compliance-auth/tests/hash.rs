//! Hash: PHC strings, one path for every log-in, a bounded amount of memory.

use std::time::Duration;

use compliance_auth::password::hash::{
    HashErrorKind, HashScheme, PasswordHashErrorKind as Kind, PepperErrorKind, VerifyErrorKind,
};
use compliance_auth::password::{
    HashParameters, PasswordContext, PasswordHash, PasswordHasher, PasswordPolicy, PasswordProfile, Pepper,
};
use compliance_core::finding::{Enforcement, Explain as _};
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
    assert_eq!(renewed.parameters(), Some(HashParameters::M19456_T2));
    assert!(!hasher.verify(Some(&renewed), &secret("password")).unwrap().needs_rehash());
}

#[test]
fn a_hash_that_only_import_reads_is_replaced() {
    let accepted = PasswordPolicy::of(PasswordProfile::Nist80063b4)
        .check(&secret(GOOD), &PasswordContext::new())
        .unwrap();
    let hasher = hasher();
    let stored = hasher.hash(&accepted, &SystemRandom).unwrap();
    for (prefix, needs_rehash) in [("", false), ("argon2", true), ("{argon2}", true)] {
        let stored = import(&format!("{prefix}{}", stored.as_str()));
        let verified = hasher.verify(Some(&stored), &secret(GOOD)).unwrap();
        assert_eq!(verified.needs_rehash(), needs_rehash, "{prefix}");
    }
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
    check_parse(&SMALL.replace("argon2id", "argon2i"), Err(Kind::Algorithm));
    check_parse(&SMALL.replace("v=19", "v=16"), Err(Kind::Algorithm));
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

fn import(text: &str) -> PasswordHash {
    PasswordHash::import(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn hashes_of_other_systems_verify_and_are_replaced() {
    let hasher = hasher();
    let vectors = include_str!("vectors/legacy_hashes.tsv");
    let mut count = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let [from, text, password]: [&str; 3] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let stored = import(text);
        let verified =
            hasher.verify(Some(&stored), &secret(password)).unwrap_or_else(|e| panic!("{from}: {e}"));
        assert!(verified.needs_rehash() && !verified.is_truncated(), "{from}");
        assert_eq!(verified.scheme(), stored.scheme(), "{from}");
        let wrong = hasher.verify(Some(&stored), &secret(&format!("y{password}"))).unwrap_err();
        assert_eq!(wrong.kind(), VerifyErrorKind::Rejected, "{from}");
        count += 1;
    }
    assert!(count > 25);
}

/// RFC 9106 §5.1 to §5.3 have a key and associated data, which PHC strings do not carry; the reference
/// implementation's test suite (test.c, CC0) has these for the same parameters of each variant.
#[test]
fn the_reference_implementations_vectors_verify_in_every_variant() {
    for text in [
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E",
        "$argon2i$v=16$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
    ] {
        let stored = import(text);
        assert!(hasher().verify(Some(&stored), &secret("password")).is_ok(), "{text}");
        assert!(hasher().verify(Some(&stored), &secret("Password")).is_err(), "{text}");
    }
}

#[test]
fn a_stored_hash_of_another_system_cannot_ask_for_more_than_the_maxima() {
    for text in [
        "$2b$16$J20ZkN5WTuaTnapZ9aytIeafWhEwrx/C13N1xQkYJNkoilrZtMDcW",
        "$2b$03$J20ZkN5WTuaTnapZ9aytIeafWhEwrx/C13N1xQkYJNkoilrZtMDcW",
        "pbkdf2_sha256$5000001$saltsaltsalt12$3DvLkzN+TSMSVuxyn/pE//+svSHkETZw/BlRGwKAMdI=",
        "$scrypt$ln=18,r=8,p=1$5hxD6N3be89ZK+WcU6q1lg$aFrw3YxpyYiYTotmmUUDtArf5P+UUgpx0UsPoZLRQ5c",
        "$scrypt$ln=17,r=32,p=1$5hxD6N3be89ZK+WcU6q1lg$aFrw3YxpyYiYTotmmUUDtArf5P+UUgpx0UsPoZLRQ5c",
        "$5$rounds=1000001$NrDRSdWz5koNImcA$.LbyGplgQsnAus/APT3E6IWE5LJKE7iZot6a8kyvFl.",
        "$argon2i$v=19$m=2097152,t=2,p=1$c2FsdHNhbHRzYWx0$gV+fhkBpehzZGWBQ6t2DY7fnfGZe8D4u",
    ] {
        assert_eq!(PasswordHash::import(text).unwrap_err().kind(), Kind::Cost, "{text}");
    }
    for (text, kind) in [
        ("{noop}password", Kind::Algorithm),
        ("5f4dcc3b5aa765d61d8327deb882cf99", Kind::Algorithm),
        ("$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/", Kind::Algorithm),
        ("$2x$12$J20ZkN5WTuaTnapZ9aytIeafWhEwrx/C13N1xQkYJNkoilrZtMDcW", Kind::Malformed),
        ("pbkdf2_sha256$1000$salt", Kind::Malformed),
        ("!unusable", Kind::Algorithm),
        ("", Kind::Algorithm),
    ] {
        assert_eq!(PasswordHash::import(text).unwrap_err().kind(), kind, "{text}");
    }
    // Only `import` reads them.
    check_parse("$2b$12$J20ZkN5WTuaTnapZ9aytIeafWhEwrx/C13N1xQkYJNkoilrZtMDcW", Err(Kind::Malformed));
}

#[test]
fn bcrypt_reads_72_bytes_and_no_nul() {
    // `x` 72 times.
    let stored = import("$2b$04$Atu3SvviH1HTTMSDvdt/XelytDFpNfGr9S9iXHG3kHnzXkaXSnt16");
    let hasher = hasher();
    let whole = hasher.verify(Some(&stored), &secret(&"x".repeat(72))).unwrap();
    assert!(!whole.is_truncated());
    let longer = hasher.verify(Some(&stored), &secret(&"x".repeat(80))).unwrap();
    assert!(longer.is_truncated() && !longer.needs_rehash());
    // The new hash covers all of it.
    let renewed = hasher.rehash(&longer, &SystemRandom).unwrap();
    assert!(hasher.verify(Some(&renewed), &secret(&"x".repeat(80))).is_ok());
    assert!(hasher.verify(Some(&renewed), &secret(&"x".repeat(79))).is_err());
    // A C implementation would stop at the NUL and let `korrekt Pferd\0anything` in.
    let stored = import("$2a$04$y/e/UsrLFOOpYHp08V/dYOc5tE3xpslfpkF0BaukuxkF/P0ZKYi/.");
    assert!(hasher.verify(Some(&stored), &secret("korrekt Pferd")).is_ok());
    assert!(hasher.verify(Some(&stored), &secret("korrekt Pferd\0anything")).is_err());
}

#[test]
fn a_verified_password_that_fails_todays_policy_moves_with_a_finding() {
    let stored: PasswordHash = SMALL.parse().unwrap();
    let hasher = hasher();
    let verified = hasher.verify(Some(&stored), &secret("password")).unwrap();
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let refusal = verified.review(&policy, &PasswordContext::new()).unwrap();
    assert_eq!(refusal.finding().enforcement(), Enforcement::ReportOnly);
    assert_eq!(refusal.code(), "password.too_short");
    assert!(hasher.rehash(&verified, &SystemRandom).is_ok());
}

fn pepper(id: &str, byte: u8) -> Pepper {
    Pepper::new(id, &[byte; 32]).unwrap()
}

#[test]
fn a_peppered_hash_needs_its_pepper() {
    let accepted = PasswordPolicy::of(PasswordProfile::Nist80063b4)
        .check(&secret(GOOD), &PasswordContext::new())
        .unwrap();
    let peppered = PasswordHasher::builder().pepper(pepper("2026", 1)).build();
    let stored = peppered.hash(&accepted, &SystemRandom).unwrap();
    assert!(stored.as_str().starts_with("$hmac-sha256$k=2026$argon2id$v=19$m=19456,t=2,p=1$"));
    let read: PasswordHash = stored.as_str().parse().unwrap();
    assert!(!peppered.verify(Some(&read), &secret(GOOD)).unwrap().needs_rehash());
    assert_eq!(peppered.verify(None, &secret(GOOD)).unwrap_err().kind(), VerifyErrorKind::Rejected);
    // Without it, or with another of the same name.
    assert_eq!(hasher().verify(Some(&read), &secret(GOOD)).unwrap_err().kind(), VerifyErrorKind::Pepper);
    let other = PasswordHasher::builder().pepper(pepper("2026", 2)).build();
    assert_eq!(other.verify(Some(&read), &secret(GOOD)).unwrap_err().kind(), VerifyErrorKind::Rejected);
}

#[test]
fn peppers_rotate_by_wrapping_without_the_password() {
    let stored: PasswordHash = SMALL.parse().unwrap();
    let first = PasswordHasher::builder().pepper(pepper("a", 1)).build();
    let wrapped = first.wrap(&stored).unwrap();
    assert_eq!(first.wrap(&wrapped).unwrap(), wrapped);
    assert!(first.verify(Some(&wrapped), &secret("password")).is_ok());
    let second = PasswordHasher::builder().pepper(pepper("b", 2)).retired_pepper(pepper("a", 1)).build();
    let twice = second.wrap(&wrapped).unwrap();
    assert!(twice.as_str().starts_with("$hmac-sha256$k=a,b$argon2id$"));
    let verified = second.verify(Some(&twice), &secret("password")).unwrap();
    assert!(verified.needs_rehash());
    let renewed = second.rehash(&verified, &SystemRandom).unwrap();
    assert!(renewed.as_str().starts_with("$hmac-sha256$k=b$argon2id$"));
    assert!(second.verify(Some(&stored), &secret("password")).unwrap().needs_rehash());

    assert_eq!(hasher().wrap(&stored).unwrap_err().kind(), PepperErrorKind::None);
    let bcrypt = import("$2a$04$y/e/UsrLFOOpYHp08V/dYOc5tE3xpslfpkF0BaukuxkF/P0ZKYi/.");
    assert_eq!(bcrypt.scheme(), HashScheme::Bcrypt);
    assert_eq!(first.wrap(&bcrypt).unwrap_err().kind(), PepperErrorKind::Scheme);
    assert_eq!(Pepper::new("A", &[0; 32]).unwrap_err().kind(), PepperErrorKind::Id);
    assert_eq!(Pepper::new("a", &[0; 31]).unwrap_err().kind(), PepperErrorKind::Key { found: 31 });
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
