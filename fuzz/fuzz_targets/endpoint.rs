//! `EndpointPolicy::check`.
//!
//! Oracle: a WHATWG parse of an accepted endpoint is HTTPS at an allowed port, names its host in ASCII, has
//! neither user information nor a fragment; it agrees with every accessor, and checking it again gives the same.
#![no_main]

use std::sync::LazyLock;

use compliance_webhook::EndpointPolicy;
use compliance_webhook::endpoint::{EndpointHost, INTERNAL_SUFFIXES};
use libfuzzer_sys::fuzz_target;
use url::Url;

const PORTS: [u16; 2] = [443, 8443];
static POLICY: LazyLock<EndpointPolicy> = LazyLock::new(|| EndpointPolicy::new().with_ports(&PORTS).unwrap());

fuzz_target!(|input: &str| {
    let Ok(endpoint) = POLICY.check(input) else { return };
    let url = Url::parse(endpoint.as_str()).expect("an accepted endpoint is a URL");
    assert_eq!((url.as_str(), url.scheme()), (endpoint.as_str(), "https"));
    assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
    assert!(PORTS.contains(&endpoint.port()));
    assert_eq!(url.port_or_known_default(), Some(endpoint.port()));
    let EndpointHost::Name(name) = endpoint.host() else { panic!("an address literal was accepted") };
    assert_eq!(url.host_str(), Some(name));
    assert!(INTERNAL_SUFFIXES.iter().all(|suffix| {
        name.strip_suffix(suffix.trim_start_matches('.'))
            .is_none_or(|rest| !rest.is_empty() && !rest.ends_with('.'))
    }));
    assert!(
        endpoint.path_and_query().starts_with('/') && endpoint.as_str().ends_with(endpoint.path_and_query())
    );
    assert_eq!(POLICY.check(endpoint.as_str()).as_ref(), Ok(&endpoint));
});
