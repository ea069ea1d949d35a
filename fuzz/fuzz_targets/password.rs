//! `PasswordPolicy::check` under two profiles; the first line is the user's name, the rest the password.
//!
//! Oracle: the same password gets the same verdict; an accepted one has a length the policy accepts; a refusal
//! has reasons, each once, and says `password.too_long` alone or with an estimate. The estimate agrees with a slow and
//! simple one where that is fast enough; the word list's nodes it visits stay below their bound; what is refused as derived
//! is covered by pieces from the first letter to the last.
#![no_main]

use std::sync::LazyLock;

use compliance_auth::password::{
    PasswordContext, PasswordPolicy, PasswordProfile, PasswordReason, Strength, blocklist,
};
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;

static POLICIES: LazyLock<[(PasswordPolicy, usize); 2]> = LazyLock::new(|| {
    [(PasswordPolicy::of(PasswordProfile::Asvs5), 8), (PasswordPolicy::of(PasswordProfile::Nist80063b4), 15)]
});

fuzz_target!(|input: &str| {
    let (user, password) = input.split_once('\n').unwrap_or(("", input));
    let context = PasswordContext::new().user(user).service("acme");
    let secret = SecretString::from(password);
    assert_ne!(Strength::agrees_with_reference(password, &context), Some(false));
    assert!(Strength::visited(password, &context).is_some());
    if password.chars().count() <= PasswordPolicy::MAX_CODE_POINTS {
        assert_ne!(blocklist::covers_every_letter(password, &context), Some(false));
        assert!(blocklist::reads_everything(password, &context));
    }
    for (policy, min) in POLICIES.iter() {
        let verdict = policy.check(&secret, &context).map(|accepted| accepted.strength());
        let again = policy.check(&secret, &context).map(|accepted| accepted.strength());
        assert_eq!(verdict, again);
        // NFC may make of one code point three.
        let length = password.chars().count();
        match verdict {
            Ok(_) => {
                assert!(length.saturating_mul(3) >= *min && length <= 4 * PasswordPolicy::MAX_CODE_POINTS)
            }
            Err(refusal) => {
                let reasons = refusal.reasons();
                assert!(!reasons.is_empty());
                assert!(reasons.iter().enumerate().all(|(at, reason)| !reasons[..at].contains(reason)));
                let is_too_long =
                    reasons.iter().any(|reason| matches!(reason, PasswordReason::TooLong { .. }));
                assert_eq!(is_too_long, refusal.strength().is_none());
                assert!(!is_too_long || reasons.len() == 1);
            }
        }
    }
});
