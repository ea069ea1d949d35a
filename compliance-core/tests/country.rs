//! Country and subdivision codes.

use compliance_core::country::{CountryCode, CountryErrorKind, SubdivisionCode};
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, expected: Result<&str, CountryErrorKind>) {
    let found = CountryCode::parse(text).map(CountryCode::name).map_err(|e| e.kind());
    assert_eq!(found, expected, "{text}");
}

#[test]
fn assigned_codes_are_countries() {
    check("AD", Ok("Andorra"));
    check("DE", Ok("Germany"));
    check("KP", Ok("North Korea"));
    check("SS", Ok("South Sudan"));
    check("ZW", Ok("Zimbabwe"));
}

#[test]
fn kosovo_is_the_one_user_assigned_code() {
    check("XK", Ok("Kosovo"));
    assert_eq!(CountryCode::all().filter(|code| code.as_str().starts_with('X')).count(), 1);
    // 249 officially assigned and XK.
    assert_eq!(CountryCode::all().len(), 250);
    assert_eq!(CountryCode::COUNT, 250);
}

#[test]
fn reserved_and_withdrawn_codes_are_not_countries() {
    for text in ["UK", "EU", "SU", "YU", "AN", "CS", "TP", "ZZ", "AA", "QM", "XX", "T1"] {
        let kind = if text == "T1" { CountryErrorKind::Shape } else { CountryErrorKind::NotAssigned };
        check(text, Err(kind));
    }
}

#[test]
fn only_two_upper_case_letters_have_the_shape() {
    for text in ["", "D", "DEU", "de", "De", " DE", "DE ", "D\u{0}", "Ä", "ＤＥ", "@A", "[A", "A[", "A@"] {
        check(text, Err(CountryErrorKind::Shape));
    }
}

#[test]
fn case_is_ignored_only_when_asked() {
    assert_eq!(CountryCode::parse_ignore_case("ua").unwrap().as_str(), "UA");
    assert_eq!(CountryCode::parse_ignore_case("uA").unwrap().as_str(), "UA");
    assert_eq!(CountryCode::parse_ignore_case("ſs").unwrap_err().code(), "country.shape");
    assert_eq!(CountryCode::parse_ignore_case("zz").unwrap_err().code(), "country.not_assigned");
}

#[test]
fn codes_are_ordered_as_text_and_survive_the_round_trip() {
    let codes: Vec<_> = CountryCode::all().collect();
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1] && pair[0].as_str() < pair[1].as_str()));
    for code in codes {
        assert_eq!(code.to_string().parse(), Ok(code));
        assert!(!code.name().is_empty());
        assert_eq!(format!("{code:>4}"), format!("  {}", code.as_str()));
    }
}

#[test]
fn exactly_the_table_is_accepted() {
    let accepted = (b'A'..=b'Z')
        .flat_map(|a| (b'A'..=b'Z').map(move |b| [a, b]))
        .filter(|pair| CountryCode::parse(std::str::from_utf8(pair).unwrap()).is_ok())
        .count();
    assert_eq!(accepted, CountryCode::COUNT);
}

#[test]
fn subdivisions_have_a_country_and_one_to_three_characters() {
    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str), CountryErrorKind>) {
        let parsed = SubdivisionCode::parse(text);
        let found = parsed.as_ref().map(|s| (s.country().as_str(), s.part())).map_err(|e| e.kind());
        assert_eq!(found, expected, "{text}");
        if let Ok(subdivision) = parsed {
            assert_eq!(subdivision.to_string(), text);
        }
    }
    check("UA-43", Ok(("UA", "43")));
    check("UA-9", Ok(("UA", "9")));
    check("GB-NIR", Ok(("GB", "NIR")));
    check("UA", Err(CountryErrorKind::SubdivisionShape));
    check("UA-", Err(CountryErrorKind::SubdivisionShape));
    check("UA-1234", Err(CountryErrorKind::SubdivisionShape));
    check("UA-ab", Err(CountryErrorKind::SubdivisionShape));
    check("UA-4-", Err(CountryErrorKind::SubdivisionShape));
    check("UA-4\u{0}", Err(CountryErrorKind::SubdivisionShape));
    check("UA_43", Err(CountryErrorKind::SubdivisionShape));
    check("ZZ-43", Err(CountryErrorKind::NotAssigned));
    check("ua-43", Err(CountryErrorKind::Shape));
    check("-43", Err(CountryErrorKind::Shape));
}

#[test]
fn subdivisions_are_ordered_as_text() {
    let mut codes = ["UA-9", "UA-43", "US-CA", "DE-BE", "UA-431"].map(|t| SubdivisionCode::parse(t).unwrap());
    codes.sort();
    assert_eq!(codes.map(|c| c.to_string()), ["DE-BE", "UA-43", "UA-431", "UA-9", "US-CA"]);
}

#[cfg(feature = "serde")]
#[test]
fn serde_goes_by_text_and_its_errors_echo_nothing() {
    let code: CountryCode = serde_json::from_str("\"UA\"").unwrap();
    assert_eq!(serde_json::to_string(&code).unwrap(), "\"UA\"");
    let part: SubdivisionCode = serde_json::from_str("\"UA-43\"").unwrap();
    assert_eq!(serde_json::to_string(&part).unwrap(), "\"UA-43\"");
    for secret in ["\"secret\"", "815.4711", "8154711", "-8154711", "true"] {
        for text in [
            serde_json::from_str::<CountryCode>(secret).unwrap_err().to_string(),
            serde_json::from_str::<SubdivisionCode>(secret).unwrap_err().to_string(),
        ] {
            assert!(!text.contains(secret.trim_matches('"')), "{text}");
        }
    }
}

proptest! {
    #[test]
    fn any_text_parses_to_itself_or_not_at_all(text in "\\PC{0,4}|[A-Z]{2}-?[A-Z0-9]{0,4}") {
        if let Ok(code) = CountryCode::parse(&text) {
            prop_assert_eq!(code.as_str(), &text);
        }
        if let Ok(code) = SubdivisionCode::parse(&text) {
            prop_assert_eq!(code.as_str(), &text);
        }
    }
}
