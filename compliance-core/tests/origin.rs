//! Origins and registrable domains.

use std::net::{Ipv4Addr, Ipv6Addr};

use compliance_core::origin::{Host, Origin, OriginErrorKind, Scheme};
use proptest::prelude::*;
use url::Url;

#[track_caller]
fn check(text: &str, expected: Result<&str, OriginErrorKind>) {
    let found = Origin::parse(text);
    assert_eq!(
        found.as_ref().map(ToString::to_string).map_err(|e| e.kind()),
        expected.map(str::to_owned),
        "{text}"
    );
}

#[test]
fn an_origin_is_scheme_host_and_port() {
    let origin = Origin::parse("https://app.example.com:8443").unwrap();
    assert_eq!(origin.scheme(), Scheme::Https);
    assert_eq!(origin.host(), &Host::Domain("app.example.com".into()));
    assert_eq!(origin.port(), 8443);

    assert_eq!(Origin::parse("http://127.0.0.1").unwrap().host(), &Host::Ipv4(Ipv4Addr::LOCALHOST));
    assert_eq!(Origin::parse("http://[::1]").unwrap().host(), &Host::Ipv6(Ipv6Addr::LOCALHOST));
    assert_eq!(Origin::parse("http://[::1]").unwrap().port(), 80);
}

#[test]
fn the_usual_spellings_are_one_origin() {
    check("https://app.example.com", Ok("https://app.example.com"));
    check("https://app.example.com/", Ok("https://app.example.com"));
    check("https://app.example.com:443", Ok("https://app.example.com"));
    check("https://app.example.com:443/", Ok("https://app.example.com"));
    check("HTTPS://App.Example.COM", Ok("https://app.example.com"));
    check("http://localhost:3000", Ok("http://localhost:3000"));
    check("http://[::1]:8080", Ok("http://[::1]:8080"));
    check("https://xn--bcher-kva.example", Ok("https://xn--bcher-kva.example"));
}

#[test]
fn the_trailing_dot_is_another_origin() {
    check("https://app.example.com.", Ok("https://app.example.com."));
    let plain = Origin::parse("https://app.example.com").unwrap();
    assert_ne!(Origin::parse("https://app.example.com.").unwrap(), plain);
    assert!(!plain.matches(&Url::parse("https://app.example.com./").unwrap()));
}

#[test]
fn what_is_more_than_an_origin_is_refused() {
    use OriginErrorKind::{NotCanonical, UserInfo};
    check("https://app.example.com/path", Err(NotCanonical));
    check("https://app.example.com//", Err(NotCanonical));
    check("https://app.example.com?", Err(NotCanonical));
    check("https://app.example.com/?q", Err(NotCanonical));
    check("https://app.example.com#", Err(NotCanonical));
    check("https://app.example.com/.", Err(NotCanonical));
    check("https://user@app.example.com", Err(UserInfo));
    check("https://:pw@app.example.com", Err(UserInfo));
    // An empty user is dropped by the parser, but is not what an origin looks like.
    check("https://@app.example.com", Err(NotCanonical));
}

#[test]
fn what_a_parser_would_repair_is_refused() {
    use OriginErrorKind::{NotCanonical, Port, Syntax};
    check(" https://app.example.com", Err(NotCanonical));
    check("https://app.example.com\n", Err(NotCanonical));
    check("ht\ttps://app.example.com", Err(NotCanonical));
    check("https://app.exa\tmple.com", Err(NotCanonical));
    check("https:app.example.com", Err(NotCanonical));
    check("https:/app.example.com", Err(NotCanonical));
    check("https:///app.example.com", Err(NotCanonical));
    check("https:\\\\app.example.com", Err(NotCanonical));
    check("https://app.example.com\\", Err(NotCanonical));
    check("https://ex%61mple.com", Err(NotCanonical));
    check("https://bücher.example", Err(NotCanonical));
    check("https://ＡＰＰ.example.com", Err(NotCanonical));
    check("https://0x7f.1", Err(NotCanonical));
    check("https://2130706433", Err(NotCanonical));
    check("https://[::0:1]", Err(NotCanonical));
    check("https://app.example.com:", Err(NotCanonical));
    check("https://app.example.com:0443", Err(NotCanonical));
    check("https://app.example.com:0", Err(Port));
    check("https://app.example.com:65536", Err(Syntax));
    check("https://", Err(Syntax));
    check("//app.example.com", Err(Syntax));
    check("app.example.com", Err(Syntax));
    check("", Err(Syntax));
}

#[test]
fn other_schemes_have_no_origin() {
    use OriginErrorKind::Scheme;
    check("ftp://app.example.com", Err(Scheme));
    check("ws://app.example.com", Err(Scheme));
    check("file:///etc/passwd", Err(Scheme));
    check("javascript:alert(1)", Err(Scheme));
    check("app.example.com:443", Err(Scheme));
    // Its `Url::origin` is the application's.
    check("blob:https://app.example.com/1", Err(Scheme));
}

#[test]
fn names_that_cannot_resolve_are_refused() {
    use OriginErrorKind::Host;
    check("https://*.example.com", Err(Host));
    check("https://a..example.com", Err(Host));
    check("https://.example.com", Err(Host));
    check("https://example.com..", Err(Host));
    check("https://a!b.example.com", Err(Host));
    check(&format!("https://{}.com", "a".repeat(64)), Err(Host));
    check("https://my_app.example.com", Ok("https://my_app.example.com"));
}

#[test]
fn names_past_the_limit_are_refused() {
    let label = "a".repeat(61);
    let long = |dots| vec![label.as_str(); dots].join(".");
    check(&format!("https://{}.abcde", long(4)), Ok(&format!("https://{}.abcde", long(4))));
    check(&format!("https://{}.abcdefgh", long(4)), Err(OriginErrorKind::Host));
}

#[test]
fn only_the_same_origin_matches() {
    let app = Origin::parse("https://app.example.com").unwrap();
    let matches = |text: &str| app.matches(&Url::parse(text).unwrap());
    assert!(matches("https://app.example.com/a?b#c"));
    assert!(matches("https://APP.example.com:443/"));
    for text in [
        "http://app.example.com/",
        "https://app.example.com:8443/",
        "https://app.example.com.evil.test/",
        "https://evil.test/app.example.com",
        "https://app.example.com@evil.test/",
        "https://user@app.example.com/",
        "https://:pw@app.example.com/",
        "https://127.0.0.1/",
        "blob:https://app.example.com/1",
        "ftp://app.example.com/",
        "javascript://app.example.com/%0aalert(1)",
    ] {
        assert!(!matches(text), "{text}");
    }
    let numeric = Origin::parse("http://127.0.0.1").unwrap();
    assert!(numeric.matches(&Url::parse("http://0x7f.1/").unwrap()));
    assert!(!numeric.matches(&Url::parse("http://[::1]/").unwrap()));
}

#[test]
fn errors_do_not_echo_the_text() {
    for text in ["https://secret@app.example.com", "https://app.example.com/secret", "secret"] {
        assert!(!Origin::parse(text).unwrap_err().to_string().contains("secret"));
    }
}

#[cfg(feature = "serde")]
#[test]
fn serde_goes_by_text() {
    let origin: Origin = serde_json::from_str("\"https://app.example.com\"").unwrap();
    assert_eq!(serde_json::to_string(&origin).unwrap(), "\"https://app.example.com\"");
    for text in ["\"https://secret@a.example\"", "4711"] {
        let error = serde_json::from_str::<Origin>(text).unwrap_err().to_string();
        assert!(!error.contains("secret") && !error.contains("4711"), "{error}");
    }
}

proptest! {
    /// Print, parse, print is stable, and what is accepted is what `url` reads.
    #[test]
    fn accepted_texts_are_fixed_points(
        text in "(https?|HTTP|ftp):(//|/|\\\\)?[a-zA-Z0-9.@:%\\[\\]\\-*_ äß]{0,16}(:[0-9]{0,5})?[/?#]?[a-z]{0,2}"
    ) {
        if let Ok(origin) = Origin::parse(&text) {
            let printed = origin.to_string();
            prop_assert_eq!(Origin::parse(&printed), Ok(origin.clone()));
            let url = Url::parse(&text).unwrap();
            prop_assert!(origin.matches(&url));
            prop_assert_eq!(url.origin().ascii_serialization(), printed);
            prop_assert!(text.is_ascii());
        }
    }

    #[test]
    fn matching_is_having_the_same_origin(a in "https?://[ab]\\.example(:80|:443|:81)?/x?", b in "https?://[ab]\\.example(:80|:443|:81)?") {
        let url = Url::parse(&a).unwrap();
        let origin = Origin::parse(&b).unwrap();
        prop_assert_eq!(origin.matches(&url), Origin::of(&url).unwrap() == origin);
    }
}

#[cfg(feature = "registrable-domain")]
mod registrable {
    use compliance_core::origin::{
        PUBLIC_SUFFIX_LIST_DATE, has_public_suffix_below, is_public_suffix, registrable_domain,
    };

    #[track_caller]
    fn check(domain: &str, expected: Option<&str>) {
        assert_eq!(registrable_domain(domain), expected, "{domain}");
    }

    #[test]
    fn the_registered_part_is_suffix_and_one_label() {
        check("example.com", Some("example.com"));
        check("a.b.example.com", Some("example.com"));
        check("example.co.uk", Some("example.co.uk"));
        check("www.example.co.uk", Some("example.co.uk"));
        check("user.github.io", Some("user.github.io"));
        check("a.user.github.io", Some("user.github.io"));
        check("xn--bcher-kva.de", Some("xn--bcher-kva.de"));
        check("city.kawasaki.jp", Some("city.kawasaki.jp"));
        check("a.b.kawasaki.jp", Some("a.b.kawasaki.jp"));
        check("www.ck", Some("www.ck"));
        check("example.com.", Some("example.com."));
    }

    #[test]
    fn a_rule_at_any_depth_below_is_found() {
        for domain in
            ["com", "uk", "kawasaki.jp", "ck", "amazonaws.com", "platform.sh", "amazonaws.com.cn", "com.cn"]
        {
            assert!(has_public_suffix_below(domain), "{domain}");
            assert!(has_public_suffix_below(&format!("{domain}.")), "{domain}.");
        }
        for domain in ["example.com", "github.io", "a.b.kawasaki.jp", "console.amazonaws.com", "nosuchtld"] {
            assert!(!has_public_suffix_below(domain), "{domain}");
        }
        for text in ["", ".", "a..example.com", "AMAZONAWS.com", "bücher.example"] {
            assert!(has_public_suffix_below(text), "{text}");
        }
    }

    #[test]
    fn public_suffixes_are_nobodys() {
        for suffix in [
            "com",
            "co.uk",
            "github.io",
            "s3.amazonaws.com",
            "kawasaki.jp",
            "b.kawasaki.jp",
            "ck",
            "x.ck",
            "compute.amazonaws.com",
            "localhost",
            "unknowntld",
            "com.",
            "co.uk.",
            "kawasaki.jp.",
        ] {
            assert!(is_public_suffix(suffix), "{suffix}");
            check(suffix, None);
        }
        for domain in ["example.com", "example.com.", "city.kawasaki.jp", "www.ck", "example.unknowntld"] {
            assert!(!is_public_suffix(domain), "{domain}");
        }
    }

    #[test]
    fn what_is_no_domain_name_is_refused() {
        for text in [
            "",
            ".",
            "..",
            ".example.com",
            "example..com",
            "example.com..",
            "Example.com",
            "bücher.de",
            "127.0.0.1",
            "[::1]",
            "::1",
            "example.com:443",
            "a b.com",
            "*.example.com",
            "example.com/",
        ] {
            check(text, None);
            assert!(is_public_suffix(text), "{text}");
        }
        check(&format!("{}.com", "a".repeat(64)), None);
        check(&"a.".repeat(130), None);
    }

    #[test]
    fn the_list_is_dated() {
        assert_eq!(PUBLIC_SUFFIX_LIST_DATE, "2026-11-05");
    }
}
