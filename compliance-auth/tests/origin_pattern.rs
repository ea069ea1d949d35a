//! Origin patterns: which may be configured.

use std::path::PathBuf;
use std::process::Command;

use compliance_auth::redirect::{OriginPattern, OriginPatternErrorKind as Kind};
use serde_json::Value;

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

#[test]
fn a_wildcard_never_covers_a_domain_with_a_public_suffix_below() {
    for domain in ["amazonaws.com", "amazonaws.com.cn", "platform.sh"] {
        check(&format!("https://*.{domain}"), Err(Kind::PublicSuffix));
    }
    check("https://*.console.amazonaws.com", Ok("https://*.console.amazonaws.com"));
    check("https://*.example.github.io", Ok("https://*.example.github.io"));
    check("https://amazonaws.com", Ok("https://amazonaws.com"));
}

/// The list itself, as the package of `psl` ships it, decides.
#[test]
fn no_rule_of_the_list_lies_below_an_accepted_wildcard() {
    let rules = public_suffix_rules();
    let rules: Vec<&str> =
        rules.lines().map(str::trim).filter(|rule| !rule.is_empty() && !rule.starts_with("//")).collect();
    assert!(rules.len() > 9_000, "{}", rules.len());
    let (mut refused, mut accepted) = (0, 0);
    for rule in rules.iter().filter(|rule| rule.is_ascii()) {
        let name = rule.trim_start_matches('!').trim_start_matches("*.");
        let mut above = Some(name);
        if !rule.starts_with('*') {
            above = name.split_once('.').map(|(_, above)| above);
        }
        while let Some(domain) = above {
            check(&format!("https://*.{domain}"), Err(Kind::PublicSuffix));
            refused += 1;
            above = domain.split_once('.').map(|(_, above)| above);
        }
        // What somebody registered under it is theirs, unless another rule says more.
        accepted += usize::from(OriginPattern::parse(&format!("https://*.x--x.{name}")).is_ok());
    }
    assert!(refused > 5_000 && accepted > 9_000, "{refused} {accepted}");
}

fn public_suffix_rules() -> String {
    let metadata = |offline: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .args(offline)
            .output()
            .unwrap();
        output.status.success().then(|| serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let metadata = metadata(&["--offline"]).or_else(|| metadata(&[])).expect("cargo metadata");
    let packages = metadata["packages"].as_array().unwrap();
    let psl =
        packages.iter().find(|package| package["name"] == "psl").expect("psl is a dependency of the list");
    let manifest = PathBuf::from(psl["manifest_path"].as_str().unwrap());
    std::fs::read_to_string(manifest.with_file_name("data").join("rules.txt"))
        .expect("the package has its rules")
}
