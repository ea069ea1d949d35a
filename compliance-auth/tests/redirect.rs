//! Redirect: the rules, one test each, and what must hold for any input.

use compliance_auth::redirect::{RedirectErrorKind as Kind, RedirectPolicy, SafeRedirect, Scheme};
use compliance_core::finding::{Enforcement, Explain as _, Outcome, Reason as _};
use proptest::prelude::*;
use url::Url;

const BASE: &str = "https://app.example/login?step=1";

fn policy() -> RedirectPolicy {
    RedirectPolicy::builder(BASE)
        .allow("https://partner.example".parse().unwrap())
        .allow("https://api.example:8443".parse().unwrap())
        .allow("https://*.example.net".parse().unwrap())
        .build()
        .unwrap()
}

#[track_caller]
fn check(input: &str, expected: Result<&str, Kind>) {
    let found = policy().check(input);
    assert_eq!(found.as_ref().map(SafeRedirect::location).map_err(|e| e.kind()), expected, "{input:?}");
}

#[test]
fn a_path_is_resolved_against_the_base() {
    check("/home", Ok("https://app.example/home"));
    check("/a/../b/./c", Ok("https://app.example/b/c"));
    check("home", Ok("https://app.example/home"));
    check("../home", Ok("https://app.example/home"));
    check("?page=2", Ok("https://app.example/login?page=2"));
    check("#top", Ok("https://app.example/login?step=1#top"));
    check("/search?q=https://evil.example//x", Ok("https://app.example/search?q=https://evil.example//x"));
    check("/mail/a@b.example", Ok("https://app.example/mail/a@b.example"));
}

#[test]
fn non_ascii_text_after_the_host_is_percent_encoded() {
    check("/bücher?q=ü#ü", Ok("https://app.example/b%C3%BCcher?q=%C3%BC#%C3%BC"));
}

#[test]
fn a_full_url_needs_an_allowed_origin() {
    check("https://app.example", Ok("https://app.example/"));
    check("HTTPS://APP.EXAMPLE/Home", Ok("https://app.example/Home"));
    check("https://partner.example/p", Ok("https://partner.example/p"));
    check("https://partner.example.evil.example/", Err(Kind::OtherOrigin));
    check("https://evil.example/#https://app.example", Err(Kind::OtherOrigin));
    check("https://app.example./", Err(Kind::OtherOrigin));
    check("https://[::1]/", Err(Kind::OtherOrigin));
}

#[test]
fn a_port_is_part_of_the_origin() {
    check("https://app.example:443/", Ok("https://app.example/"));
    check("https://app.example:0443/", Ok("https://app.example/"));
    check("https://api.example:8443/cb", Ok("https://api.example:8443/cb"));
    check("https://api.example/cb", Err(Kind::OtherPort));
    check("https://app.example:80/", Err(Kind::OtherPort));
    check("https://app.example:+443/", Err(Kind::Authority));
    check("https://app.example:99999/", Err(Kind::Authority));
    check("https://app.example:443:443/", Err(Kind::Authority));
}

#[test]
fn a_wildcard_stands_for_one_or_more_labels() {
    check("https://a.example.net/r", Ok("https://a.example.net/r"));
    check("https://A.B.Example.net/r", Ok("https://a.b.example.net/r"));
    check("https://example.net/", Err(Kind::OtherOrigin));
    check("https://fooexample.net/", Err(Kind::OtherOrigin));
    check("https://.example.net/", Err(Kind::OtherOrigin));
    check("https://a..example.net/", Err(Kind::OtherOrigin));
    check("https://a.example.net:8443/", Err(Kind::OtherPort));
}

#[test]
fn what_stands_for_the_wildcard_is_a_name() {
    check("https://a-b_c.example.net/", Ok("https://a-b_c.example.net/"));
    check("https://[::1].example.net/", Err(Kind::Authority));
    check("https://a[b].example.net/", Err(Kind::OtherOrigin));
    check(&format!("https://{}.example.net/", "a".repeat(64)), Err(Kind::OtherOrigin));
    check(&format!("https://{}example.net/", "a.".repeat(122)), Err(Kind::OtherOrigin));
}

#[test]
fn backslashes_do_not_hide_a_host() {
    check("/\\evil.example", Err(Kind::Backslash));
    check("https:\\\\evil.example", Err(Kind::Backslash));
    check("/ok?q=\\", Err(Kind::Backslash));
}

#[test]
fn nothing_is_trimmed_or_stripped() {
    check(" /home", Err(Kind::Whitespace));
    check("/home ", Err(Kind::Whitespace));
    check("/\t/evil.example", Err(Kind::Control));
    check("java\nscript:alert(1)", Err(Kind::Control));
    check("/\u{7f}", Err(Kind::Control));
    check("/\u{85}", Err(Kind::Control));
    check("/\u{3000}", Err(Kind::Whitespace));
    check("/\u{2028}", Err(Kind::Whitespace));
}

#[test]
fn a_host_needs_a_scheme_even_our_own() {
    check("//app.example/home", Err(Kind::NetworkPath));
    check("//evil.example", Err(Kind::NetworkPath));
    // `url` 2.5 calls this an error; taken for a path, it would be an open redirect.
    check("///evil.example", Err(Kind::NetworkPath));
}

#[test]
fn a_path_never_starts_with_two_slashes() {
    check("/.//evil.example", Err(Kind::DoubleSlash));
    check("/x/..//evil.example", Err(Kind::DoubleSlash));
    check("/%2e%2e//evil.example", Err(Kind::DoubleSlash));
    check(".//evil.example", Err(Kind::DoubleSlash));
    check("https://app.example//evil.example", Err(Kind::DoubleSlash));
    check("/a//b", Ok("https://app.example/a//b"));
}

#[test]
fn other_schemes_are_refused() {
    check("javascript:alert(1)", Err(Kind::Scheme));
    check("JaVaScRiPt:alert(1)", Err(Kind::Scheme));
    check("data:text/html,x", Err(Kind::Scheme));
    check("blob:https://app.example/x", Err(Kind::Scheme));
    check("http://app.example/", Err(Kind::Scheme));
    check("a:b", Err(Kind::Scheme));
    check(":b", Err(Kind::Scheme));
    check("/a:b", Ok("https://app.example/a:b"));
}

#[test]
fn a_scheme_is_followed_by_two_slashes_and_a_host() {
    check("https:evil.example", Err(Kind::NotHierarchical));
    check("https:/evil.example", Err(Kind::NotHierarchical));
    check("https:///evil.example", Err(Kind::NotHierarchical));
    check("https://", Err(Kind::NotHierarchical));
    check("https:", Err(Kind::NotHierarchical));
}

#[test]
fn an_authority_is_plain() {
    check("https://app.example@evil.example/", Err(Kind::UserInfo));
    check("https://user@app.example/", Err(Kind::UserInfo));
    check("https://@app.example/", Err(Kind::UserInfo));
    check("https://%61pp.example/", Err(Kind::Authority));
    check("https://app.example%00.evil.example/", Err(Kind::Authority));
    check("https://äpp.example/", Err(Kind::Authority));
    check("https://app。example/", Err(Kind::Authority));
}

#[test]
fn encoded_separators_are_refused_where_a_proxy_could_decode_them_into_a_host() {
    check("/%2fevil.example", Err(Kind::EncodedSeparator));
    check("/%2Fevil.example", Err(Kind::EncodedSeparator));
    check("/%5cevil.example", Err(Kind::EncodedSeparator));
    check("/%0d%0aLocation:x", Err(Kind::EncodedSeparator));
    check("%2f%2fevil.example", Err(Kind::EncodedSeparator));
    check("/files/a%2fb", Ok("https://app.example/files/a%2fb"));
    check("/%252fevil.example", Ok("https://app.example/%252fevil.example"));

    let lenient = RedirectPolicy::builder(BASE).allow_encoded_separators().build().unwrap();
    assert_eq!(lenient.check("/a%2fb").unwrap().location(), "https://app.example/a%2fb");
}

#[test]
fn length_counts_as_given_and_as_sent() {
    check("", Err(Kind::Empty));
    let fits = format!("/{}", "a".repeat(RedirectPolicy::MAX_LEN - "https://app.example/".len()));
    assert!(policy().check(&fits).is_ok());
    check(&format!("{fits}a"), Err(Kind::TooLong));
    check(&"a".repeat(RedirectPolicy::MAX_LEN + 1), Err(Kind::TooLong));
    check(&format!("/{}", "ü".repeat(500)), Err(Kind::TooLong));
}

#[test]
fn path_prefixes_end_at_a_segment() {
    let policy = RedirectPolicy::builder(BASE)
        .path_prefix("/app")
        .path_prefix("/docs/")
        .default_target("/app")
        .build()
        .unwrap();
    let kind = |input| policy.check(input).map(SafeRedirect::into_location).map_err(|e| e.kind());
    assert_eq!(kind("/app"), Ok("https://app.example/app".into()));
    assert_eq!(kind("/app/x?y"), Ok("https://app.example/app/x?y".into()));
    assert_eq!(kind("/docs/"), Ok("https://app.example/docs/".into()));
    assert_eq!(kind("/docs"), Err(Kind::PathPrefix));
    assert_eq!(kind("/apple"), Err(Kind::PathPrefix));
    assert_eq!(kind("/app/../admin"), Err(Kind::PathPrefix));
    assert_eq!(kind("/app/%2e%2e/admin"), Err(Kind::PathPrefix));
    assert_eq!(kind("/app/a..b/.c;d"), Ok("https://app.example/app/a..b/.c;d".into()));
    assert_eq!(policy.check_or_default("/admin").location(), "https://app.example/app");
}

#[test]
fn what_a_server_may_read_as_a_step_out_of_a_prefix_is_refused() {
    let builder = RedirectPolicy::builder(BASE).path_prefix("/app").default_target("/app");
    for builder in [builder.clone(), builder.allow_encoded_separators()] {
        let policy = builder.build().unwrap();
        let kind = |input| policy.check(input).unwrap_err().kind();
        for path in [
            "/app/..%2fadmin",
            "/app/..%5Cadmin",
            "/app/a%2fb",
            "/app/..%00/x",
            "/app/..%252fadmin",
            "/app/100%25",
        ] {
            assert_eq!(kind(path), Kind::EncodedSeparator, "{path}");
        }
        for path in ["/app/..;/admin", "/app/%2e%2E;a=b/admin", "/app/.%2e%3b/admin", "/app/x/..;"] {
            assert_eq!(kind(path), Kind::PathPrefix, "{path}");
        }
        assert!(policy.check("/app/x?next=..;/%252f").is_ok());
    }
}

#[test]
fn a_refusal_names_rule_and_place_and_never_the_input() {
    let error = policy().check("/secret\\token").unwrap_err();
    assert_eq!((error.code(), error.position()), ("redirect.backslash", Some(7)));
    assert_eq!(error.public_code().as_str(), "redirect.refused");
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[test]
fn debug_of_a_target_hides_its_query() {
    let target = policy().check("/reset?token=s3cret#frag").unwrap();
    assert_eq!(format!("{target:?}"), r#"SafeRedirect("https://app.example/reset")"#);
}

#[test]
fn report_only_decides_and_records_but_replaces_nothing() {
    let policy = RedirectPolicy::builder(BASE).enforcement(Enforcement::ReportOnly).build().unwrap();
    let refused = policy.decide("//evil.example");
    assert_eq!(refused.target(), None);
    assert_eq!(refused.finding().outcome(), Outcome::Refused);
    assert_eq!(refused.finding().enforcement(), Enforcement::ReportOnly);
    assert_eq!(policy.decide("/x").target().unwrap().location(), "https://app.example/x");
    assert_eq!(policy.check_or_default("//evil.example").location(), "https://app.example/");
}

#[test]
fn a_configuration_that_could_never_work_is_refused() {
    let code =
        |builder: compliance_auth::redirect::RedirectPolicyBuilder<'_>| builder.build().unwrap_err().code();
    assert_eq!(code(RedirectPolicy::builder("/login")), "redirect_policy.base");
    assert_eq!(code(RedirectPolicy::builder("file:///x")), "redirect_policy.base");
    assert_eq!(code(RedirectPolicy::builder("https://u@app.example/")), "redirect_policy.base");
    assert_eq!(code(RedirectPolicy::builder("https://app.example./")), "redirect_policy.base");
    assert_eq!(code(RedirectPolicy::builder("http://app.example/")), "redirect_policy.base_scheme");
    let base = RedirectPolicy::builder(BASE);
    assert_eq!(
        code(base.clone().allow("http://x.example".parse().unwrap())),
        "redirect_policy.origin_scheme"
    );
    assert_eq!(code(base.clone().default_target("//x")), "redirect_policy.default_target");
    for prefix in ["app", "/a/../b", "/a?b", "/ü", "", "/app%2fb", "/a/b%5c", "/a%25", "/..;/a", "/.//a"] {
        assert_eq!(code(base.clone().path_prefix(prefix)), "redirect_policy.path_prefix", "{prefix}");
    }
}

#[test]
fn plain_http_is_there_for_who_asks() {
    let policy = RedirectPolicy::builder("http://127.0.0.1:3000/")
        .schemes([Scheme::Http, Scheme::Https])
        .build()
        .unwrap();
    assert_eq!(policy.check("/x").unwrap().location(), "http://127.0.0.1:3000/x");
    assert_eq!(policy.check("http://127.0.0.1:3000/x").unwrap().location(), "http://127.0.0.1:3000/x");
    assert_eq!(policy.check("http://127.1:3000/x").unwrap_err().kind(), Kind::OtherOrigin);
    assert_eq!(policy.check("https://127.0.0.1:3000/x").unwrap_err().kind(), Kind::OtherOrigin);
}

/// Pieces that hostile targets are made of.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("/".to_owned()),
        Just("//".to_owned()),
        Just("\\".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("%2e".to_owned()),
        Just("%2f".to_owned()),
        Just("@".to_owned()),
        Just(":".to_owned()),
        Just("?".to_owned()),
        Just("#".to_owned()),
        Just("https:".to_owned()),
        Just("https://".to_owned()),
        Just("http://".to_owned()),
        Just("javascript:".to_owned()),
        Just("app.example".to_owned()),
        Just("partner.example".to_owned()),
        Just("a.example.net".to_owned()),
        Just("evil.example".to_owned()),
        Just(":443".to_owned()),
        Just(":8443".to_owned()),
        Just("\t".to_owned()),
        Just("[::1]".to_owned()),
        "[ -~]{0,4}",
        "\\PC{0,3}",
    ];
    prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
}

fn allowed(url: &Url) -> bool {
    let origin = url.origin().ascii_serialization();
    ["https://app.example", "https://partner.example", "https://api.example:8443"].contains(&origin.as_str())
        || (origin.starts_with("https://") && origin.ends_with(".example.net"))
}

#[test]
fn every_two_characters_are_read_as_a_parser_reads_them() {
    let policy = policy();
    let base = Url::parse(BASE).unwrap();
    let mut accepted = 0;
    for (a, b) in (0x21..=0x7e_u8).flat_map(|a| (0x21..=0x7e_u8).map(move |b| (char::from(a), char::from(b))))
    {
        for start in
            ["/x", "/", "/x?", "/x#", "/x?y#", "https://partner.example/x", "https://api.example:8443/"]
        {
            let input = format!("{start}{a}{b}z");
            let Ok(target) = policy.check(&input) else { continue };
            assert_eq!(target.location(), base.join(&input).unwrap().as_str(), "{input}");
            accepted += 1;
        }
    }
    assert!(accepted > 50_000, "{accepted}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn whatever_is_accepted_stays_on_an_allowed_origin_and_is_stable(input in hostile()) {
        let policy = policy();
        if let Ok(target) = policy.check(&input) {
            let location = target.location();
            let base = Url::parse(BASE).unwrap();
            let landed = base.join(location).unwrap();
            prop_assert!(allowed(&landed), "{input:?} -> {location}");
            // It is what a browser makes of the input.
            let joined = base.join(&input).unwrap();
            prop_assert_eq!(joined.as_str(), location, "{:?}", input);
            prop_assert!(landed.username().is_empty() && landed.password().is_none());
            prop_assert!(location.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'\\'));
            prop_assert!(!location.starts_with('/') && !landed.path().starts_with("//"));
            prop_assert_eq!(policy.check(location), Ok(target.clone()));
        }
    }

    #[test]
    fn any_text_gets_a_verdict(input in any::<String>()) {
        let _ = policy().check(&input);
    }
}

mod corpus {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;

    fn rows(kind: &str) -> Option<Vec<Value>> {
        let Some(folder) = std::env::var_os("COMPLIANCE_CORPUS") else {
            println!("skipped: COMPLIANCE_CORPUS is not set");
            return None;
        };
        let file = PathBuf::from(folder).join("url/corpus.json");
        let corpus: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let rows: Vec<Value> =
            corpus["rows"].as_array().unwrap().iter().filter(|row| row["kind"] == kind).cloned().collect();
        assert!(!rows.is_empty(), "no rows of kind {kind}");
        Some(rows)
    }

    fn texts(list: &Value) -> Vec<&str> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn location(row: &Value, input: &str) -> Option<String> {
        let context = &row["context"];
        let base = context["base"].as_str().unwrap();
        let mut builder = RedirectPolicy::builder(base).schemes(
            texts(&context["schemes"])
                .into_iter()
                .map(|s| if s == "https" { Scheme::Https } else { Scheme::Http }),
        );
        for origin in texts(&context["allow_origins"]) {
            // Some rows allow an origin that IDNA refuses today; nothing can match it then.
            if let Ok(pattern) = origin.parse() {
                builder = builder.allow(pattern);
            }
        }
        let policy = builder.build().unwrap();
        policy.check(input).ok().map(SafeRedirect::into_location)
    }

    fn origin_allowed(row: &Value, location: &str) -> bool {
        let base = Url::parse(row["context"]["base"].as_str().unwrap()).unwrap();
        let origin = base.join(location).unwrap().origin();
        let text = origin.ascii_serialization();
        origin == base.origin()
            || texts(&row["context"]["allow_origins"]).into_iter().any(|pattern| {
                pattern == text || pattern.strip_prefix("https://*").is_some_and(|end| text.ends_with(end))
            })
    }

    #[test]
    fn redirect_rows_get_their_verdict_and_emissions_hold_the_invariants() {
        let Some(rows) = rows("redirect") else { return };
        let (mut wrong, mut emitted) = (Vec::new(), 0);
        for row in &rows {
            let input = row["input"].as_str().unwrap();
            let found = location(row, input);
            let fits = match row["verdict"].as_str().unwrap() {
                "allow" => found.is_some(),
                "deny" => found.is_none(),
                "either" => true,
                other => panic!("verdict {other}"),
            };
            let sound = found.as_ref().is_none_or(|location| {
                emitted += 1;
                origin_allowed(row, location)
                    && location.bytes().all(|b| (0x21..=0x7e).contains(&b))
                    && !location.split('?').next().unwrap().contains('\\')
                    && !location.split('/').nth(2).unwrap().contains('@')
                    && self::location(row, location).as_ref() == Some(location)
            });
            if !fits || !sound {
                wrong.push((row["id"].clone(), input.to_owned(), row["verdict"].clone(), found));
            }
        }
        println!("{} rows, {emitted} emitted, {} wrong", rows.len(), wrong.len());
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn oauth_redirect_uri_rows_get_their_verdict() {
        use compliance_auth::redirect::{RegisteredRedirectUri, RegisteredRedirectUris};
        let Some(rows) = rows("oauth_redirect_uri") else { return };
        for row in &rows {
            let registered: RegisteredRedirectUris = texts(&row["context"]["registered"])
                .into_iter()
                .map(|uri| RegisteredRedirectUri::parse(uri).unwrap())
                .collect();
            let found = registered.check(row["input"].as_str().unwrap()).is_ok();
            assert_eq!(found, row["verdict"] == "allow", "{row}");
        }
    }

    #[test]
    fn allowlist_pattern_rows_get_their_verdict() {
        use compliance_auth::redirect::OriginPattern;
        let Some(rows) = rows("allowlist_pattern") else { return };
        for row in &rows {
            let found = OriginPattern::parse(row["input"].as_str().unwrap()).is_ok();
            assert_eq!(found, row["verdict"] == "accept-pattern", "{row}");
        }
    }
}
