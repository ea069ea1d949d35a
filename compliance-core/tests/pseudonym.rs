//! Pseudonyms: what they look like, what they keep apart, and what a forgotten epoch gives up.

use std::num::NonZeroU32;

use compliance_core::clock::Timestamp;
use compliance_core::pseudonym::{Epoch, Pseudonym};
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, expected: Result<(), &str>) {
    let parsed = text.parse::<Pseudonym>();
    if let Ok(pseudonym) = parsed {
        assert_eq!(pseudonym.to_string(), text);
    }
    assert_eq!(parsed.map(|_| ()).map_err(|e| e.code()), expected, "{text}");
}

#[test]
fn only_the_printed_form_is_read() {
    const TOKEN: &str = "00112233445566778899aabbccddeeff";
    let with = |head: &str| format!("{head}{TOKEN}");
    check(&with("pn1_0123abcd_0_"), Ok(()));
    check(&with("pn1_0123abcd_4294967295_"), Ok(()));
    for shape in [
        "".to_owned(),
        "pn1".to_owned(),
        with("pn_0123abcd_0_"),
        with("pnx_0123abcd_0_"),
        with("PN1_0123abcd_0_"),
        with("pn1_0123ABCD_0_"),
        with("pn1_0123abc_0_"),
        with("pn1_0123abcde_0_"),
        with("pn1_0123abcg_0_"),
        with("pn1_0123abcd_00_"),
        with("pn1_0123abcd_07_"),
        with("pn1_0123abcd_+7_"),
        with("pn1_0123abcd_-7_"),
        with("pn1_0123abcd_4294967296_"),
        with("pn1_0123abcd__"),
        with("pn1_0123abcd_0_0"),
        with(" pn1_0123abcd_0_"),
        with("pn1_0123abcd_0_") + "\n",
        with("pn1_0123abcd_0_") + "_",
        "pn1_0123abcd_0_00112233445566778899aabbccddeef".to_owned(),
        "pn1_0123abcd_0_00112233445566778899aabbccddeeé".to_owned(),
    ] {
        check(&shape, Err("pseudonym.shape"));
    }
    check(&with("pn2_0123abcd_0_"), Err("pseudonym.unknown_version"));
    check("pn10_whatever", Err("pseudonym.unknown_version"));
}

#[test]
fn errors_do_not_echo_the_text() {
    let error = "anna@example.com".parse::<Pseudonym>().unwrap_err();
    assert!(!error.to_string().contains("anna"));
}

#[test]
fn epochs_are_counted_in_days_from_1970() {
    #[track_caller]
    fn check(time: &str, days: u32, expected: u32) {
        let time: Timestamp = time.parse().unwrap();
        assert_eq!(Epoch::at(time, NonZeroU32::new(days).unwrap()).number(), expected, "{time}");
    }
    check("1970-01-01T00:00:00Z", 1, 0);
    check("1970-01-01T23:59:59Z", 1, 0);
    check("1970-01-02T00:00:00Z", 1, 1);
    check("1969-12-31T23:59:59Z", 1, 0);
    check("2026-11-21T00:00:00Z", 1, 20_778);
    check("2026-11-21T00:00:00Z", u32::MAX, 0);
}

#[cfg(feature = "serde")]
#[test]
fn serde_goes_by_text() {
    let text = "\"pn1_0123abcd_42_00112233445566778899aabbccddeeff\"";
    let pseudonym: Pseudonym = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&pseudonym).unwrap(), text);
    for bad in ["4711", "\"anna@example.com\""] {
        let error = serde_json::from_str::<Pseudonym>(bad).unwrap_err().to_string();
        assert!(!error.contains("4711") && !error.contains("anna"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_parses_to_itself_or_not_at_all(
        text in "\\PC{0,60}|pn[12]_[0-9a-f]{7,9}_[0-9]{1,11}_[0-9a-f]{31,33}|pn1_[0-9a-f]{8}_[1-9][0-9]{0,8}_[0-9a-f]{32}"
    ) {
        if let Ok(pseudonym) = text.parse::<Pseudonym>() {
            prop_assert_eq!(pseudonym.to_string(), text.clone());
            prop_assert!(text.len() <= Pseudonym::MAX_LEN);
        }
    }
}

#[cfg(feature = "pseudonym")]
mod keyed {
    use std::collections::BTreeSet;

    use compliance_core::id::TenantId;
    use compliance_core::pseudonym::{Epoch, Pseudonym, PseudonymDomain, PseudonymKey};
    use compliance_core::pseudonym_domain;
    use proptest::prelude::*;

    const EMAIL: PseudonymDomain = pseudonym_domain!("log.email");

    fn key() -> PseudonymKey {
        PseudonymKey::new(&[7; 32], Epoch::new(10)).unwrap()
    }

    fn of(key: &PseudonymKey, tenant: Option<&str>, domain: PseudonymDomain, epoch: u32) -> Pseudonym {
        let tenant = tenant.map(|t| TenantId::new(t).unwrap());
        let pseudonymiser = key.pseudonymiser(tenant.as_ref(), domain, Epoch::new(epoch)).unwrap();
        pseudonymiser.pseudonym(b"anna@example.com")
    }

    /// Written once and never to change under version 1: a token in an old log must still be found. Made with
    /// Python's `hmac` and `hashlib`, independently of this code.
    #[test]
    fn version_1_is_what_it_always_was() {
        assert_eq!(
            of(&key(), None, EMAIL, 10).to_string(),
            "pn1_95be95b1_10_de7d8fc8e45b003968d818c60785db3d"
        );
        assert_eq!(
            of(&key(), Some("acme"), EMAIL, 12).to_string(),
            "pn1_f8bc0136_12_ac3fd4bbf357131a3fed8e166ea3e0c4"
        );
    }

    #[test]
    fn one_person_is_one_token_where_all_is_the_same() {
        assert_eq!(of(&key(), Some("acme"), EMAIL, 11), of(&key(), Some("acme"), EMAIL, 11));
    }

    #[test]
    fn tenant_domain_epoch_and_secret_keep_tokens_apart() {
        let other = PseudonymKey::new(&[8; 32], Epoch::new(10)).unwrap();
        let tokens = [
            of(&key(), None, EMAIL, 10),
            of(&key(), Some("acme"), EMAIL, 10),
            of(&key(), Some("acme2"), EMAIL, 10),
            of(&key(), None, pseudonym_domain!("log.phone"), 10),
            of(&key(), None, EMAIL, 11),
            of(&other, None, EMAIL, 10),
        ];
        let distinct: BTreeSet<_> = tokens.iter().map(|p| *p.token()).collect();
        assert_eq!(distinct.len(), tokens.len());
        // The id names the epoch's key, and nothing finer.
        assert_eq!(tokens[0].key(), tokens[1].key());
        assert_eq!(tokens[0].key(), tokens[3].key());
        assert_ne!(tokens[0].key(), tokens[4].key());
        assert_ne!(tokens[0].key(), tokens[5].key());
    }

    #[test]
    fn tenant_and_domain_cannot_run_into_each_other() {
        let a = of(&key(), Some("a"), pseudonym_domain!("b.c"), 10);
        let b = of(&key(), Some("ab"), pseudonym_domain!("c"), 10);
        let c = of(&key(), Some("ab.c"), pseudonym_domain!("c"), 10);
        assert!(a.token() != b.token() && b.token() != c.token() && a.token() != c.token());
    }

    #[test]
    fn a_key_kept_and_taken_up_again_is_the_same_key() {
        let kept = key().with_bytes(|bytes| bytes.to_vec());
        assert_eq!(
            of(&PseudonymKey::from_bytes(&kept).unwrap(), None, EMAIL, 15),
            of(&key(), None, EMAIL, 15)
        );
    }

    #[test]
    fn a_forgotten_epoch_is_gone_and_later_ones_stay() {
        let moved = key().forget_before(Epoch::new(12)).unwrap();
        assert_eq!(moved.first_epoch(), Epoch::new(12));
        assert_eq!(of(&moved, None, EMAIL, 12), of(&key(), None, EMAIL, 12));
        assert_eq!(of(&moved, None, EMAIL, 20), of(&key(), None, EMAIL, 20));

        let gone = moved.pseudonymiser(None, EMAIL, Epoch::new(11)).unwrap_err();
        assert_eq!(gone.code(), "pseudonym.epoch_gone");
        // What is kept from now on holds nothing of the earlier key.
        let (before, after) = (key().with_bytes(|b| *b), moved.with_bytes(|b| *b));
        assert_ne!(before[4..], after[4..]);
        assert_eq!(moved.forget_before(Epoch::new(11)).unwrap_err().code(), "pseudonym.epoch_gone");
    }

    #[test]
    fn a_far_epoch_is_refused_rather_than_computed() {
        let last = Epoch::new(10 + PseudonymKey::MAX_STEPS);
        assert!(key().pseudonymiser(None, EMAIL, last).is_ok());
        let error = key().pseudonymiser(None, EMAIL, Epoch::new(last.number() + 1)).unwrap_err();
        assert_eq!(error.code(), "pseudonym.epoch_too_far");
        assert!(key().pseudonymiser(None, EMAIL, Epoch::new(u32::MAX)).is_err());
    }

    #[test]
    fn short_secrets_and_cut_states_are_refused() {
        let error = PseudonymKey::new(&[7; 31], Epoch::new(0)).unwrap_err();
        assert_eq!(error.code(), "pseudonym.secret_too_short");
        assert_eq!(error.to_string(), "pseudonym secret is 31 bytes, need at least 32");
        for length in [0, 3, 35, 37] {
            let error = PseudonymKey::from_bytes(&vec![0; length]).unwrap_err();
            assert_eq!(error.code(), "pseudonym.state_length");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", key()), "PseudonymKey { first_epoch: 10, .. }");
        let shown = format!("{:?}", key().pseudonymiser(None, EMAIL, Epoch::new(10)).unwrap());
        assert!(shown.starts_with("Pseudonymiser { key: ") && shown.ends_with("domain: \"log.email\", .. }"));
    }

    proptest! {
        #[test]
        fn different_identifiers_have_different_tokens(a: Vec<u8>, b: Vec<u8>) {
            let emails = key().pseudonymiser(None, EMAIL, Epoch::new(10)).unwrap();
            prop_assert_eq!(a == b, emails.pseudonym(&a) == emails.pseudonym(&b));
            let parsed: Result<Pseudonym, _> = emails.pseudonym(&a).to_string().parse();
            prop_assert_eq!(parsed, Ok(emails.pseudonym(&a)));
        }
    }
}
