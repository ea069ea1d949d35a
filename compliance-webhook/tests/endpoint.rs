//! Which URLs become endpoints.

use compliance_core::clock::Timestamp;
use compliance_core::finding::{Enforcement, Explain, Outcome, Reason, RiskAcceptance};
use compliance_webhook::endpoint::{
    EndpointHost, EndpointPolicy, EndpointPolicyError, INTERNAL_SUFFIXES, MAX_URL_LEN, METADATA_NAMES,
};
use proptest::prelude::*;

fn policy() -> EndpointPolicy {
    EndpointPolicy::new().with_ports(&[443, 8443]).unwrap()
}

/// `Ok` is the URL that is kept, `Err` the code that refuses.
#[track_caller]
fn check(input: &str, expected: Result<&str, &str>) {
    let found = policy().check(input);
    let found = found.as_ref().map(|endpoint| endpoint.as_str()).map_err(|error| error.code());
    assert_eq!(found, expected, "{input:?}");
}

#[test]
fn public_https_names_are_kept_in_ascii_and_lower_case() {
    check("https://hooks.example.net/in", Ok("https://hooks.example.net/in"));
    check("HTTPS://Hooks.Example.NET", Ok("https://hooks.example.net/"));
    check("https://hooks.example.net:443/in?x=1", Ok("https://hooks.example.net/in?x=1"));
    check("https://hooks.example.net:8443/", Ok("https://hooks.example.net:8443/"));
    check("https://bücher.example.net/ü", Ok("https://xn--bcher-kva.example.net/%C3%BC"));
    check("https://my_hooks.example.net/../a/./b", Ok("https://my_hooks.example.net/a/b"));
}

#[test]
fn a_trailing_dot_is_dropped_before_any_rule() {
    check("https://hooks.example.net./in", Ok("https://hooks.example.net/in"));
    check("https://localhost./", Err("endpoint.localhost"));
    check("https://metadata.google.internal./", Err("endpoint.internal_name"));
    check("https://redis./", Err("endpoint.single_label"));
    check("https://hooks.example.net../", Err("endpoint.host"));
}

#[test]
fn only_https_written_out() {
    check("http://hooks.example.net/", Err("endpoint.scheme"));
    check("ftp://hooks.example.net/", Err("endpoint.scheme"));
    check("https:hooks.example.net", Err("endpoint.scheme"));
    check("//hooks.example.net/", Err("endpoint.scheme"));
    check("hooks.example.net", Err("endpoint.scheme"));
    check("javascript:alert(1)", Err("endpoint.scheme"));
    check("blob:https://hooks.example.net/x", Err("endpoint.scheme"));
    check("https:////hooks.example.net/", Err("endpoint.syntax"));
    check("https://", Err("endpoint.syntax"));
    check("", Err("endpoint.scheme"));
}

#[test]
fn nothing_is_trimmed_or_repaired() {
    check(" https://hooks.example.net/", Err("endpoint.character"));
    check("https://hooks.example.net/ ", Err("endpoint.character"));
    check("https://hooks.example.net/\r\nX: y", Err("endpoint.character"));
    check("https://hooks.exa\tmple.net/", Err("endpoint.character"));
    check("https:\\\\hooks.example.net/", Err("endpoint.character"));
    check("https://hooks.example.net\\@evil.example/", Err("endpoint.character"));
    check("https://hooks.example.net/\u{7f}", Err("endpoint.character"));
    check("https://hooks.example.net/\0", Err("endpoint.character"));
    for char in ['\u{80}', '\u{85}', '\u{9f}', '\u{a0}', '\u{1680}', '\u{2028}', '\u{2029}', '\u{3000}'] {
        for input in
            [format!("https://hooks{char}.example.net/"), format!("https://hooks.example.net/{char}")]
        {
            check(&input, Err("endpoint.character"));
        }
    }
}

#[test]
fn nothing_invisible_stands_in_a_host() {
    for char in ['\u{ad}', '\u{200b}', '\u{200d}', '\u{2060}', '\u{fe0f}', '\u{feff}', '\u{e0100}'] {
        check(&format!("https://hooks{char}.example.net/"), Err("endpoint.character"));
        check(&format!("https://hooks.example.net:4{char}43/"), Err("endpoint.character"));
    }
    assert_eq!(
        policy().check("https://a\u{ad}b.example.net/").unwrap_err().to_string(),
        "endpoint refused: has white space, a backslash, a control or an invisible character at byte 9"
    );
    // What a parser would drop from a host without a word, over every character there is.
    let dropped: Vec<char> = ('\u{80}'..=char::MAX)
        .filter(|char| !matches!(u32::from(*char), 0x2_0000..0xe_0000 | 0xf_0000..))
        .filter(|char| {
            let parsed = url::Url::parse(&format!("https://a{char}b.example/"));
            parsed.is_ok_and(|url| url.host_str() == Some("ab.example"))
        })
        .collect();
    assert!(dropped.len() > 200, "{}", dropped.len());
    for char in dropped {
        check(&format!("https://a{char}b.example.net/"), Err("endpoint.character"));
    }
}

#[test]
fn no_user_info_even_empty() {
    check("https://user:pw@hooks.example.net/", Err("endpoint.userinfo"));
    check("https://user@hooks.example.net/", Err("endpoint.userinfo"));
    check("https://@hooks.example.net/", Err("endpoint.userinfo"));
    check("https://:@hooks.example.net/", Err("endpoint.userinfo"));
    check("https://hooks.example.net/@x", Ok("https://hooks.example.net/@x"));
}

#[test]
fn no_fragment_even_empty() {
    check("https://hooks.example.net/#x", Err("endpoint.fragment"));
    check("https://hooks.example.net/#", Err("endpoint.fragment"));
    check("https://hooks.example.net#@evil.example/", Err("endpoint.fragment"));
}

#[test]
fn only_listed_ports() {
    check("https://hooks.example.net:444/", Err("endpoint.port"));
    check("https://hooks.example.net:0/", Err("endpoint.port"));
    check("https://hooks.example.net:22/", Err("endpoint.port"));
    check("https://hooks.example.net:65536/", Err("endpoint.syntax"));
    check("https://hooks.example.net:443:443/", Err("endpoint.syntax"));
    let refused = EndpointPolicy::new().check("https://hooks.example.net:8443/").unwrap_err();
    assert_eq!(refused.code(), "endpoint.port");
    assert_eq!(EndpointPolicy::new().with_ports(&[]).unwrap_err().code(), "endpoint_policy.ports");
    assert_eq!(EndpointPolicy::new().with_ports(&[443, 0]).unwrap_err().code(), "endpoint_policy.ports");
}

#[test]
fn length_is_capped_before_and_after_encoding() {
    let path = |len: usize| format!("https://hooks.example.net/{}", "a".repeat(len - 26));
    assert!(policy().check(&path(MAX_URL_LEN)).is_ok());
    check(&path(MAX_URL_LEN + 1), Err("endpoint.length"));
    // Each character takes two bytes as it comes and six as it is kept.
    check(&format!("https://hooks.example.net/{}", "ü".repeat(400)), Err("endpoint.length"));
}

#[test]
fn address_literals_in_every_spelling_are_refused() {
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0",
        "127.0.0.1.",
        "127.0.0.1",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "93.184.216.34",
        "[2606:2800:220:1:248:1893:25c8:1946]",
    ] {
        check(&format!("https://{host}/"), Err("endpoint.address_literal"));
    }
    check("https://127%2e0%2e0%2e1/", Err("endpoint.host"));
    check("https://[::1%25eth0]/", Err("endpoint.host"));
    check("https://::1/", Err("endpoint.syntax"));
    check("https://1.2.3.4.5/", Err("endpoint.syntax"));
}

#[test]
fn outside_literals_pass_where_the_policy_says_so() {
    let literals = EndpointPolicy::new().with_address_literals();
    let endpoint = literals.check("https://93.184.216.34/in").unwrap();
    assert_eq!(endpoint.host(), EndpointHost::Address("93.184.216.34".parse().unwrap()));
    assert!(literals.check("https://[2606:2800:220:1:248:1893:25c8:1946]/").is_ok());
    for inside in ["127.0.0.1", "10.0.0.1", "0x7f.1", "169.254.169.254", "[::ffff:10.0.0.1]", "[fd00::1]"] {
        let refused = literals.check(&format!("https://{inside}/")).unwrap_err();
        assert_eq!(refused.code(), "endpoint.address_literal", "{inside}");
    }
}

#[test]
fn names_that_mean_inside_are_refused() {
    check("https://localhost/", Err("endpoint.localhost"));
    check("https://LOCALHOST/", Err("endpoint.localhost"));
    check("https://a.localhost/", Err("endpoint.localhost"));
    check("https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", Err("endpoint.localhost"));
    check("https://localhost6/", Err("endpoint.single_label"));
    check("https://intranet/", Err("endpoint.single_label"));
    for suffix in INTERNAL_SUFFIXES {
        check(&format!("https://receiver.{suffix}/"), Err("endpoint.internal_name"));
        check(
            &format!("https://receiver.{suffix}.example.net/"),
            Ok(&format!("https://receiver.{suffix}.example.net/")),
        );
    }
    check("https://nas.home.arpa/", Err("endpoint.internal_name"));
    for name in METADATA_NAMES {
        check(&format!("https://{name}/"), Err("endpoint.metadata"));
        check(&format!("https://x.{name}/"), Err("endpoint.metadata"));
    }
    check("https://notmetadata.goog/", Ok("https://notmetadata.goog/"));
}

#[test]
fn hosts_are_host_names() {
    check("https://-a.example.net/", Err("endpoint.host"));
    check("https://a-.example.net/", Err("endpoint.host"));
    check("https://a..example.net/", Err("endpoint.host"));
    check("https://.example.net/", Err("endpoint.host"));
    check("https://*.example.net/", Err("endpoint.host"));
    check("https://a,b.example.net/", Err("endpoint.host"));
    check(&format!("https://{}.example.net/", "a".repeat(64)), Err("endpoint.host"));
    check(&format!("https://{}example.net/", "a.".repeat(130)), Err("endpoint.host"));
}

#[test]
fn own_hosts_are_refused_with_everything_below() {
    let policy = policy().with_refused_host("Api.Example.com.").unwrap();
    for host in ["api.example.com", "API.example.com.", "v2.api.example.com"] {
        let refused = policy.check(&format!("https://{host}/")).unwrap_err();
        assert_eq!(refused.code(), "endpoint.refused_host");
    }
    assert!(policy.check("https://notapi.example.com/").is_ok());
    assert_eq!(EndpointPolicy::new().with_refused_host("a b").unwrap_err(), EndpointPolicyError::Host);
}

#[test]
fn host_reasons_share_one_public_code() {
    for host in ["localhost", "redis", "a.internal", "metadata.goog", "-a.example.net"] {
        let refused = policy().check(&format!("https://{host}/")).unwrap_err();
        assert_eq!(refused.public_code().as_str(), "endpoint.host_refused", "{host}");
    }
}

#[test]
fn neither_errors_nor_debug_show_the_url() {
    let refused = policy().check("https://user:hunter2@hooks.example.net/").unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    let endpoint = policy().check("https://hooks.example.net:8443/T0KEN?key=T0KEN").unwrap();
    assert_eq!(format!("{endpoint:?}"), "WebhookEndpoint(https://hooks.example.net:8443/…)");
}

#[test]
fn what_goes_on_the_wire_comes_from_the_kept_url() {
    let endpoint = policy().check("https://hooks.example.net:8443/in?x=/1").unwrap();
    assert_eq!(endpoint.authority(), "hooks.example.net:8443");
    assert_eq!(endpoint.path_and_query(), "/in?x=/1");
    assert_eq!((endpoint.host(), endpoint.port()), (EndpointHost::Name("hooks.example.net"), 8443));
    let bare = policy().check("https://hooks.example.net?x").unwrap();
    assert_eq!((bare.authority(), bare.path_and_query()), ("hooks.example.net", "/?x"));
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn dangerous() -> EndpointPolicy {
    let risk = RiskAcceptance::new("ops-lead", "demo receiver", time("2026-12-01T00:00:00Z")).unwrap();
    policy()
        .dangerous(risk)
        .allow_loopback()
        .allow_receiver("hooks.corp", "10.1.0.0".parse().unwrap(), 16)
        .unwrap()
        .build()
}

#[test]
fn an_accepted_risk_lets_in_what_it_names_and_says_so() {
    let now = time("2026-11-21T00:00:00Z");
    for accepted in [
        "https://localhost:8443/",
        "https://a.localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://hooks.corp/",
    ] {
        let endpoint = dangerous().check_at(accepted, now).unwrap();
        assert_eq!(endpoint.finding().operator_code().as_str(), "endpoint.risk_accepted", "{accepted}");
        assert_eq!(endpoint.accepted_risk().unwrap().approver(), "ops-lead");
    }
    let refused = [
        ("https://other.corp/", "endpoint.internal_name"),
        ("https://a.hooks.corp/", "endpoint.internal_name"),
        ("https://10.1.0.1/", "endpoint.address_literal"),
        ("https://[::ffff:127.0.0.1]/", "endpoint.address_literal"),
        ("http://localhost/", "endpoint.scheme"),
        ("https://localhost:22/", "endpoint.port"),
    ];
    for (input, code) in refused {
        assert_eq!(dangerous().check_at(input, now).unwrap_err().code(), code, "{input}");
    }
    let ordinary = dangerous().check_at("https://hooks.example.net/", now).unwrap();
    assert_eq!(ordinary.finding().operator_code().as_str(), "endpoint.accepted");
    assert_eq!(ordinary.accepted_risk(), None);
}

#[test]
fn an_accepted_risk_ends() {
    let expiry = time("2026-12-01T00:00:00Z");
    for late in [expiry, Timestamp::MAX] {
        assert_eq!(
            dangerous().check_at("https://localhost/", late).unwrap_err().code(),
            "endpoint.risk_expired"
        );
        assert!(dangerous().check_at("https://hooks.example.net/", late).is_ok());
    }
}

#[test]
fn without_a_time_an_accepted_risk_counts_for_nothing() {
    assert_eq!(dangerous().check("https://localhost/").unwrap_err().code(), "endpoint.localhost");
    assert_eq!(dangerous().check("https://127.0.0.1/").unwrap_err().code(), "endpoint.address_literal");
}

#[test]
fn a_policy_on_trial_lets_pass_and_mints_nothing() {
    let now = time("2026-11-21T00:00:00Z");
    let trial = policy().with_enforcement(Enforcement::ReportOnly);
    let refused = trial.decide("https://localhost/", now);
    assert_eq!(
        (refused.finding().outcome(), refused.finding().enforcement()),
        (Outcome::Refused, Enforcement::ReportOnly)
    );
    assert_eq!(refused.finding().operator_code().as_str(), "endpoint.localhost");
    assert_eq!(refused.refusal().unwrap().code(), "endpoint.localhost");
    assert!(refused.endpoint().is_none());
    assert_eq!(refused.into_result().unwrap(), None);
    assert!(trial.decide("https://hooks.example.net/", now).into_result().unwrap().is_some());
    assert!(trial.check("https://localhost/").is_err());
    let enforced = policy().decide("https://localhost/", now);
    assert_eq!(enforced.finding().enforcement(), Enforcement::Enforce);
    assert_eq!(enforced.into_result().unwrap_err().code(), "endpoint.localhost");
}

#[test]
fn only_private_networks_can_be_accepted() {
    let risk = RiskAcceptance::new("ops-lead", "demo", time("2026-12-01T00:00:00Z")).unwrap();
    for (network, len, ok) in [
        ("10.0.0.0", 8, true),
        ("192.168.7.0", 24, true),
        ("fd00:1::", 32, true),
        ("127.0.0.1", 32, true),
        ("0.0.0.0", 0, false),
        ("10.0.0.0", 7, false),
        ("169.254.0.0", 16, false),
        ("93.184.216.0", 24, false),
        ("::", 0, false),
        ("fe80::", 10, false),
        ("10.0.0.0", 33, false),
    ] {
        let built =
            policy().dangerous(risk.clone()).allow_receiver("hooks.corp", network.parse().unwrap(), len);
        assert_eq!(built.is_ok(), ok, "{network}/{len}");
    }
}

proptest! {
    #[test]
    fn what_is_kept_is_accepted_again_unchanged(input in "https://[a-zA-Z0-9é]{1,8}\\.[a-z]{2,5}\\.?(:443|:8443)?[/?][!-\\[\\]-~ü]{0,24}") {
        if let Ok(endpoint) = policy().check(&input) {
            let kept = endpoint.as_str();
            prop_assert!(kept.starts_with("https://") && kept.bytes().all(|byte| byte.is_ascii_graphic()));
            let again = policy().check(kept).unwrap();
            prop_assert_eq!(again.as_str(), kept);
            prop_assert_eq!(format!("https://{}{}", endpoint.authority(), endpoint.path_and_query()), kept);
        }
    }

    #[test]
    fn no_input_panics(input in "\\PC{0,64}") {
        let _ = policy().check(&input);
        let _ = policy().check(&format!("https://{input}"));
    }
}
