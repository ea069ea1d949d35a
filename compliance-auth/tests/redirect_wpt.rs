//! The web platform tests' `urltestdata.json`, shipped inside the `url` crate, as a differential: what browsers have
//! to make of an input decides, not the parser we use.

use std::path::PathBuf;
use std::process::Command;

use compliance_auth::redirect::{OriginPattern, RedirectPolicy, Scheme};
use serde_json::Value;
use url::Url;

/// The file lies in the package that cargo fetched to build these tests; `cargo metadata` knows where.
fn cases() -> Vec<Value> {
    let metadata = |offline: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
            .args(offline)
            .output()
            .unwrap();
        output.status.success().then(|| serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    // Offline, it needs every package of the lock file; a machine that fetched fewer fetches the rest.
    let metadata = metadata(&["--offline"]).or_else(|| metadata(&[])).expect("cargo metadata");
    let packages = metadata["packages"].as_array().unwrap();
    let url = packages.iter().find(|package| package["name"] == "url").expect("url is a dependency");
    let manifest = PathBuf::from(url["manifest_path"].as_str().unwrap());
    let file = manifest.with_file_name("tests").join("urltestdata.json");
    let text = std::fs::read_to_string(&file).expect("the package of url has its tests");
    let Value::Array(cases) = serde_json::from_str(&text).unwrap() else { panic!("expected an array") };
    cases.into_iter().filter(Value::is_object).collect()
}

fn is_http(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

#[test]
fn nothing_accepted_leaves_the_allowed_origins_or_differs_from_what_browsers_do() {
    const OWN: &str = "https://app.example/login?step=1";
    let cases = cases();
    let (mut looked_at, mut accepted, mut same) = (0, 0, 0);
    for case in &cases {
        let (Some(input), base) = (case["input"].as_str(), case["base"].as_str()) else { continue };
        let expected = case["href"].as_str();
        // Under another base the expectation holds only for what does not depend on the base.
        let own_base = base.filter(|base| is_http(base));
        let depends_on_base = own_base.is_none() && (base.is_some() || expected.is_none());
        let Ok(page) = Url::parse(own_base.unwrap_or(OWN)) else { continue };
        let mut builder = RedirectPolicy::builder(page.as_str())
            .schemes([Scheme::Http, Scheme::Https])
            .allow_encoded_separators();
        let mut allowed = vec![page.origin().ascii_serialization()];
        // Allow where it would lead, so that more than the base's own paths are accepted.
        let pattern = case["origin"].as_str().and_then(|origin| OriginPattern::parse(origin).ok());
        if let Some(pattern) = pattern {
            allowed.push(pattern.to_string());
            builder = builder.allow(pattern);
        }
        let Ok(policy) = builder.build() else { continue };
        looked_at += 1;
        let Ok(target) = policy.check(input) else { continue };
        accepted += 1;
        let location = target.location();
        let landed = Url::parse(location).unwrap();
        assert!(allowed.contains(&landed.origin().ascii_serialization()), "{case}\n{location}");
        assert!(landed.username().is_empty() && landed.password().is_none(), "{case}");
        assert!(location.bytes().all(|b| (0x21..=0x7e).contains(&b) && b != b'\\'), "{case}");
        assert_eq!(policy.check(location).as_ref(), Ok(&target), "{case}");
        if !depends_on_base {
            assert_eq!(expected, Some(location), "{case}");
            same += 1;
        }
    }
    println!("{looked_at} of {} cases looked at, {accepted} accepted, {same} compared", cases.len());
    assert!(looked_at > 500 && accepted > 150 && same > 80, "{looked_at} {accepted} {same}");
}
