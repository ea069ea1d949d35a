//! `Origin::parse`.
//!
//! Oracle: parse → print → parse is stable, what is printed is what the `url` crate says is the origin of the
//! input, and differs from the input in case, a default port and one trailing `/` alone.
#![no_main]

use compliance_core::origin::Origin;
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|text: &str| {
    let Ok(origin) = Origin::parse(text) else { return };
    let printed = origin.to_string();
    assert_eq!(Origin::parse(&printed).as_ref(), Ok(&origin));
    let url = Url::parse(text).expect("an origin is a URL");
    assert!(origin.matches(&url) && url.path() == "/" && url.query().is_none() && url.fragment().is_none());
    assert_eq!(url.origin().ascii_serialization(), printed);
    let with_port = format!("{}://{}:{}", origin.scheme().as_str(), origin.host(), origin.port());
    let written = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    assert!(written == printed || written == with_port);
});
