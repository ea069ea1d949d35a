//! Data classes and the wrappers that keep a value's class with it.

use compliance_core::class::{
    Classified, Confidential, DataClass, Internal, Personal, Public, Purpose, Sensitive,
};
use compliance_core::purpose;

#[test]
fn classes_are_ordered_from_harmless_to_harmful() {
    assert!(DataClass::ALL.is_sorted());
    assert_eq!(
        DataClass::ALL.map(DataClass::as_str).join(" "),
        "public internal confidential personal sensitive secret"
    );
}

#[test]
fn debug_prints_the_class_only() {
    let value = "4111 1111 1111 1111".to_owned();
    assert_eq!(format!("{:?}", Personal::new(value.clone())), "[personal]");
    assert_eq!(format!("{:#?}", Sensitive::new(value.clone())), "[sensitive]");
    assert_eq!(format!("{:?}", Some(Confidential::new(value))), "Some([confidential])");
}

#[test]
fn wrappers_know_their_class() {
    fn class<T: Classified>(_: &T) -> DataClass {
        T::CLASS
    }
    assert_eq!(class(&Public(1)), DataClass::Public);
    assert_eq!(class(&Internal(1)), DataClass::Internal);
    assert_eq!(class(&Confidential::new(1)), DataClass::Confidential);
    assert_eq!(class(&Personal::new(1)), DataClass::Personal);
    assert_eq!(class(&Sensitive::new(1)), DataClass::Sensitive);
}

#[test]
fn a_purpose_is_dotted_lower_case() {
    #[track_caller]
    fn check(text: &str, fits: bool) {
        assert_eq!(Purpose::new(text).is_ok(), fits, "{text:?}");
    }
    check("billing", true);
    check("billing.invoice_2", true);
    check(&"a".repeat(64), true);
    check(&"a".repeat(65), false);
    check("", false);
    check(".billing", false);
    check("billing.", false);
    check("billing..invoice", false);
    check("billing.2", false);
    check("_billing", false);
    check("Billing", false);
    check("billing invoice", false);
    check("billing-invoice", false);
    check("rechnungspr\u{fc}fung", false);
    assert_eq!(Purpose::new("Über anna@example.com").unwrap_err().code(), "purpose.shape");
}

#[test]
fn errors_do_not_echo_what_they_refused() {
    let text = Purpose::new("anna@example.com").unwrap_err().to_string();
    assert!(!text.contains("anna"), "{text}");
}

#[cfg(feature = "serde")]
mod deserialize {
    use super::*;

    #[test]
    fn a_value_arrives_wrapped() {
        let age: Personal<u8> = serde_json::from_str("41").unwrap();
        assert_eq!(*age.disclose(&purpose!("test.read")), 41);
        let name: Sensitive<String> = serde_json::from_str("\"flu\"").unwrap();
        assert_eq!(name.into_disclosed(&purpose!("test.read")), "flu");
    }

    #[test]
    fn the_inner_error_is_dropped_because_it_quotes_the_value() {
        #[track_caller]
        fn check<T: serde::de::DeserializeOwned + std::fmt::Debug>(expected: &str) {
            let error = serde_json::from_str::<T>("\"anna@example.com\"").unwrap_err().to_string();
            assert!(!error.contains("anna"), "{error}");
            assert!(error.starts_with(expected), "{error}");
        }
        check::<Personal<u8>>("[personal] value is not of its expected form");
        check::<Sensitive<u8>>("[sensitive] value is not of its expected form");
        check::<Confidential<u8>>("[confidential] value is not of its expected form");
    }
}
