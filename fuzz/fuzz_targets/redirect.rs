//! `RedirectPolicy::check`.
//!
//! Oracle: what is emitted is what a WHATWG parser makes of the input; it is printable ASCII without a backslash, a WHATWG parse of it has an allowed origin and
//! neither user information nor a path that starts with `//`, and checking it again gives the same.
#![no_main]

use std::sync::LazyLock;

use compliance_auth::redirect::RedirectPolicy;
use libfuzzer_sys::fuzz_target;
use url::Url;

const PAGE: &str = "https://app.example/login?step=1";
static BASE: LazyLock<Url> = LazyLock::new(|| Url::parse(PAGE).unwrap());
static POLICY: LazyLock<RedirectPolicy> = LazyLock::new(|| {
    RedirectPolicy::builder(PAGE)
        .allow("https://partner.example".parse().unwrap())
        .allow("https://api.example:8443".parse().unwrap())
        .allow("https://*.example.net".parse().unwrap())
        .build()
        .unwrap()
});

fn is_allowed(url: &Url) -> bool {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default());
    let is_exact =
        matches!((host, port), ("app.example" | "partner.example", Some(443)) | ("api.example", Some(8443)));
    let is_below = host.strip_suffix(".example.net").is_some_and(|label| !label.is_empty());
    url.scheme() == "https" && (is_exact || (is_below && port == Some(443)))
}

fuzz_target!(|input: &str| {
    let Ok(target) = POLICY.check(input) else { return };
    let location = target.location();
    assert!(location.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'));
    let url = Url::parse(location).expect("what is emitted is a URL");
    assert_eq!(BASE.join(input).expect("what is accepted is a URL"), url, "{location}");
    assert!(is_allowed(&url), "{location}");
    assert!(url.username().is_empty() && url.password().is_none() && !url.path().starts_with("//"));
    assert_eq!(POLICY.check(location).as_ref(), Ok(&target));
});
