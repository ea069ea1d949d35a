//! Password policy: the profiles, all reasons at once, and what the standards say about length and form.

use compliance_auth::password::policy::PasswordForm;
use compliance_auth::password::{
    Language, PasswordContext, PasswordPolicy, PasswordProfile, PasswordReason, Score,
};
use compliance_core::finding::{Enforcement, Explain as _, Outcome, PolicyVersion};
use proptest::prelude::*;
use secrecy::SecretString;

fn context() -> PasswordContext {
    PasswordContext::new().user("jane.doe@acme.test").user("Jane Doe").service("acme")
}

fn codes(policy: &PasswordPolicy, password: &str) -> Vec<&'static str> {
    match policy.check(&SecretString::from(password), &context()) {
        Ok(_) => Vec::new(),
        Err(refusal) => refusal.reasons().iter().map(PasswordReason::code).collect(),
    }
}

#[track_caller]
fn check(profile: PasswordProfile, password: &str, expected: &[&str]) {
    assert_eq!(codes(&PasswordPolicy::of(profile), password), expected, "{profile:?} {password:?}");
}

#[test]
fn nist_counts_code_points_and_asks_for_fifteen() {
    use PasswordProfile::Nist80063b4 as Nist;
    check(Nist, "zq7-velour-ante", &[]);
    check(Nist, "zq7-velour-ant", &["password.too_short"]);
    check(Nist, "жёлтаяподлодка ", &[]);
    check(Nist, "ёжикжёлтый", &["password.too_short"]);
    check(Nist, "ein Wal kennt keinen Bahnsteig", &[]);
    check(Nist, "🐳 kennt 🚉 nicht so", &[]);
    check(Nist, "", &["password.too_short"]);
}

#[test]
fn nist_with_a_second_factor_asks_for_eight() {
    use PasswordProfile::Nist80063b4WithMfa as Mfa;
    check(Mfa, "velourzq", &[]);
    check(Mfa, "velourz", &["password.too_short"]);
    check(Mfa, "password", &["password.common"]);
}

#[test]
fn nist_has_no_composition_rules_and_no_required_score() {
    check(PasswordProfile::Nist80063b4, "zqvelourwhalezq", &[]);
    check(PasswordProfile::Nist80063b4, "zq velour whale zq", &[]);
    check(PasswordProfile::Nist80063b4, "             zq", &[]);
}

#[test]
fn expected_passwords_are_refused_by_rule() {
    use PasswordProfile::Nist80063b4 as Nist;
    check(Nist, "correcthorsebatterystaple", &["password.common"]);
    check(Nist, "letmeinletmein123", &["password.derived"]);
    check(Nist, "janedoe.janedoe1990", &["password.context"]);
    check(Nist, "qwertyuiopåasdfghjkl", &["password.pattern"]);
    check(Nist, "zq7-velour-antelope-91", &[]);
}

#[test]
fn every_reason_is_given_at_once() {
    check(
        PasswordProfile::Pci401,
        "janedoe",
        &["password.too_short", "password.no_digit", "password.context"],
    );
    check(
        PasswordProfile::Nist80063b4,
        "pass\tword",
        &["password.too_short", "password.control", "password.common"],
    );
    check(PasswordProfile::Nist80063b4, "zq7-velour-ant\u{e000}x", &["password.unassigned"]);
}

#[test]
fn pci_asks_for_letters_and_digits() {
    check(PasswordProfile::Pci401, "velourzqwhale", &["password.no_digit"]);
    check(PasswordProfile::Pci401, "80264 71935 60", &["password.no_letter"]);
    check(PasswordProfile::Pci401, "velourzqwh4le", &[]);
}

#[test]
fn long_passwords_are_accepted_and_longer_ones_are_not_looked_at() {
    let long = "ein Wal kennt keinen Bahnsteig ".repeat(9);
    for (len, expected) in [(64, None), (256, None), (257, Some("password.too_long"))] {
        let password: String = long.chars().take(len).collect();
        let found = codes(&PasswordPolicy::of(PasswordProfile::Nist80063b4), &password);
        assert_eq!(found.first().copied(), expected, "{len}");
    }
    let huge = "ü".repeat(1 << 20);
    let refusal =
        PasswordPolicy::of(PasswordProfile::Asvs5).check(&SecretString::from(huge), &context()).unwrap_err();
    assert_eq!((refusal.code(), refusal.strength()), ("password.too_long", None));
}

#[test]
fn the_maximum_counts_code_points_of_the_form_that_is_stored() {
    let short = PasswordPolicy::custom(PolicyVersion::new("ours", "3")).max_code_points(64);
    // `ệ` decomposed: three code points, five bytes.
    let decomposed = |len: usize| "e\u{323}\u{302}".repeat(len);
    assert!(!codes(&short, &decomposed(64)).contains(&"password.too_long"));
    assert_eq!(codes(&short, &decomposed(65)), ["password.too_long"]);
}

#[test]
fn names_are_known_in_every_usual_spelling() {
    let refused = |user: &str, password: &str| {
        let context = PasswordContext::new().user(user);
        let policy = PasswordPolicy::of(PasswordProfile::Asvs5);
        policy.check(&SecretString::from(password), &context).map_err(|refusal| refusal.code())
    };
    for (user, password) in [
        ("Mu\u{308}ggenqx", "müggenqx-müggenqx"),
        ("Mu\u{308}ggenqx", "muggenqx2024"),
        ("O'Quigzleyx", "oquigzleyx1990"),
        ("O'Quigzleyx", "Quigzleyx.1990"),
        ("quigzleyx1990@acme.test", "quigzleyx2024"),
        ("li.wu@acme.test", "liwu-liwu-2024"),
    ] {
        assert_eq!(refused(user, password).unwrap_err(), "password.context", "{user} {password}");
    }
}

#[test]
fn what_a_context_holds_is_bounded() {
    let letters = |len: usize| PasswordContext::new().user(&"a".repeat(len));
    assert_eq!(letters(PasswordContext::MAX_LETTERS).len(), 1);
    assert_eq!(letters(PasswordContext::MAX_LETTERS + 1).len(), 0);
    assert_eq!(letters(PasswordContext::MAX_LETTERS).user("jane").len(), 1);
    assert_eq!(letters(PasswordContext::MAX_LETTERS - 4).user("jane").len(), 2);
}

#[test]
fn composed_and_decomposed_are_one_password_under_nist() {
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4WithMfa);
    // Eight code points as typed, seven in NFC.
    assert_eq!(codes(&policy, "velo\u{308}urz"), ["password.too_short"]);
    assert_eq!(codes(&policy.form(PasswordForm::AsReceived), "velo\u{308}urz"), [""; 0]);
}

#[test]
fn a_custom_policy_is_named_bounded_and_may_ask_for_a_score() {
    let policy =
        PasswordPolicy::custom(PolicyVersion::new("ours", "3")).min_code_points(1).min_score(Score::Four);
    assert_eq!(codes(&policy, "zqvel7"), ["password.too_short", "password.too_weak"]);
    assert_eq!(codes(&policy, "velour-zq7-whale"), [""; 0]);
    let short = PasswordPolicy::custom(PolicyVersion::new("ours", "3")).max_code_points(10);
    assert_eq!(codes(&short, &"ein Wal kennt keinen Bahnsteig ".repeat(2)), [""; 0]);
}

#[test]
fn a_finding_names_policy_and_lists() {
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let refusal = policy.check(&SecretString::from("letmeinletmein123"), &context()).unwrap_err();
    let finding = refusal.finding();
    assert_eq!(finding.outcome(), Outcome::Refused);
    assert_eq!(finding.operator_code().as_str(), "password.derived");
    assert_eq!(finding.policy().to_string(), "nist-800-63b-4/2025-07");
    assert_eq!(finding.snapshots().len(), 2);
    let accepted = policy.check(&SecretString::from("zq7-velour-antelope-91"), &context()).unwrap();
    assert_eq!(accepted.finding().operator_code().as_str(), "password.accepted");
}

#[test]
fn report_only_accepts_and_says_what_it_would_have_refused() {
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4).enforcement(Enforcement::ReportOnly);
    let accepted = policy.check(&SecretString::from("letmeinletmein123"), &context()).unwrap();
    assert_eq!(accepted.overruled().unwrap().code(), "password.derived");
    let finding = accepted.finding();
    assert_eq!((finding.outcome(), finding.enforcement()), (Outcome::Refused, Enforcement::ReportOnly));
    // What was not looked at is not accepted either way.
    assert!(policy.check(&SecretString::from("x".repeat(257)), &context()).is_err());
    let accepted = policy.check(&SecretString::from("zq7-velour-antelope-91"), &context()).unwrap();
    assert!(accepted.overruled().is_none());
}

#[test]
fn passphrases_of_four_random_words_are_accepted() {
    // Ranks and words from the lists themselves: each of these is on one.
    for password in [
        "marble antelope battery staple",
        "velvet-candle-harbor-turtle",
        "lampe fluss gabel himmel",
        "chaise lumiere bateau citron",
    ] {
        check(PasswordProfile::Nist80063b4, password, &[]);
    }
}

#[test]
fn profiles_are_dated() {
    for (name, published, version) in [
        ("asvs", "2025-05-30", "asvs/5.0"),
        ("nist", "2025-07-31", "nist-800-63b-4/2025-07"),
        ("nist-mfa", "2025-07-31", "nist-800-63b-4-mfa/2025-07"),
        ("pci", "2024-06-11", "pci-dss/4.0.1"),
    ] {
        let profile = PasswordProfile::parse(name).unwrap();
        assert_eq!(profile.published(), published);
        assert_eq!(PasswordPolicy::of(profile).version().to_string(), version);
    }
}

#[test]
fn nothing_shows_the_password() {
    let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
    let accepted = policy.check(&SecretString::from("zq7-velour-antelope-91"), &context()).unwrap();
    let refusal = policy.check(&SecretString::from("velour"), &context()).unwrap_err();
    let shown = format!("{accepted:?} {refusal:?} {refusal} {:?}", context());
    assert!(!shown.contains("velour") && !shown.contains("jane"), "{shown}");
}

#[test]
fn every_reason_has_a_message_in_every_language() {
    let reasons = [
        PasswordReason::Breached,
        PasswordReason::BreachUnknown,
        PasswordReason::Common,
        PasswordReason::Context,
        PasswordReason::Control,
        PasswordReason::Derived,
        PasswordReason::NoDigit,
        PasswordReason::NoLetter,
        PasswordReason::Pattern,
        PasswordReason::TooLong { max: 256 },
        PasswordReason::TooShort { found: 3, min: 15 },
        PasswordReason::TooWeak { score: Score::One, min: Score::Three },
        PasswordReason::Unassigned,
    ];
    for reason in reasons {
        let (en, de) = (reason.message(Language::En), reason.message(Language::De));
        assert!(en.ends_with('.') && de.ends_with('.') && en != de, "{reason:?}");
    }
    assert!(PasswordReason::TooShort { found: 3, min: 15 }.message(Language::De).contains("15"));
}

proptest! {
    #[test]
    fn any_text_gets_a_verdict(password in any::<String>(), user in any::<String>()) {
        let context = PasswordContext::new().user(&user);
        for profile in [PasswordProfile::Nist80063b4, PasswordProfile::Asvs5, PasswordProfile::Pci401] {
            let _ = PasswordPolicy::of(profile).check(&SecretString::from(password.as_str()), &context);
        }
    }

    #[test]
    fn five_unlisted_words_are_accepted_whatever_the_context(words in prop::collection::vec("[bcdfgjklmpqvwxz]{5}", 4)) {
        let password = words.join(" ");
        prop_assert_eq!(codes(&PasswordPolicy::of(PasswordProfile::Nist80063b4), &password), [""; 0], "{}", password);
    }
}
