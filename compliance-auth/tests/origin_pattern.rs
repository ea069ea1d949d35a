//! Origin patterns: which may be configured.

use compliance_auth::redirect::{OriginPattern, OriginPatternErrorKind as Kind};

#[track_caller]
fn check(text: &str, expected: Result<&str, Kind>) {
    let found = OriginPattern::parse(text);
    assert_eq!(
        found.as_ref().map(ToString::to_string).map_err(|e| e.kind()),
        expected.map(str::to_owned),
        "{text}"
    );
}

#[test]
fn exact_origins_are_kept_in_canonical_form() {
    check("https://partner.example", Ok("https://partner.example"));
    check("HTTPS://Partner.Example:443", Ok("https://partner.example"));
    check("https://xn--bcher-kva.example", Ok("https://xn--bcher-kva.example"));
    check("http://127.0.0.1:3000", Ok("http://127.0.0.1:3000"));
    check("https://[2001:db8::1]:8443", Ok("https://[2001:db8::1]:8443"));
}

#[test]
fn an_origin_has_no_path_user_or_spaces() {
    for text in [
        "https://partner.example/",
        "https://partner.example/x",
        "https://partner.example?x",
        "https://u@partner.example",
        "https://partner.example\n",
        "https://",
        "partner.example",
        "",
        "https://%61.example",
        "https://bücher.example",
        "http://0x7f.1",
        "https://partner.example:0",
        "https://partner.example:x",
        "https:\\\\partner.example",
    ] {
        check(text, Err(Kind::Syntax));
    }
    check("ftp://partner.example", Err(Kind::Scheme));
    check(" https://partner.example", Err(Kind::Scheme));
    check("https://partner.example.", Err(Kind::TrailingDot));
    check(&format!("https://{}", "a".repeat(300)), Err(Kind::TooLong));
}

#[test]
fn a_wildcard_is_the_whole_leftmost_label_on_https() {
    check("https://*.example.net", Ok("https://*.example.net"));
    check("https://*.a.example.net:8443", Ok("https://*.a.example.net:8443"));
    check("http://*.example.net", Err(Kind::WildcardScheme));
    check("https://*a.example.net", Err(Kind::WildcardPlace));
    check("https://a.*.example.net", Err(Kind::WildcardPlace));
    check("https://*.*.example.net", Err(Kind::WildcardPlace));
    check("https://*", Err(Kind::WildcardPlace));
    check("https://*.example.net.", Err(Kind::TrailingDot));
    check("https://*.[::1]", Err(Kind::Address));
    check("https://*.127.0.0.1", Err(Kind::Address));
    check("*.example.net", Err(Kind::Syntax));
}

#[test]
fn a_wildcard_never_covers_a_public_suffix() {
    for suffix in
        ["com", "co.uk", "github.io", "s3.amazonaws.com", "kawasaki.jp", "localhost", "test", "xn--p1ai"]
    {
        check(&format!("https://*.{suffix}"), Err(Kind::PublicSuffix));
    }
}
