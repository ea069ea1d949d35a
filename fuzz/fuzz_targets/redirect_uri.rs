//! `RegisteredRedirectUris::check`: the registered URI and the requested one, a line each.
//!
//! Oracle: what passes is byte for byte what was registered, or both are `http` on the same loopback address literal and
//! a WHATWG parser finds no other difference than the port.
#![no_main]

use std::net::{Ipv4Addr, Ipv6Addr};

use compliance_auth::redirect::RegisteredRedirectUris;
use libfuzzer_sys::fuzz_target;
use url::{Host, Url};

fuzz_target!(|input: &str| {
    let Some((registered, requested)) = input.split_once('\n') else { return };
    let Ok(client) = RegisteredRedirectUris::parse([registered]) else { return };
    assert!(client.check(registered).is_ok());
    let Ok(passed) = client.check(requested) else { return };
    assert_eq!(passed.as_str(), requested);
    if registered != requested {
        let [mut a, mut b] = [registered, requested].map(|uri| Url::parse(uri).unwrap());
        assert_eq!(a.scheme(), "http");
        assert!(matches!(a.host(), Some(Host::Ipv4(Ipv4Addr::LOCALHOST) | Host::Ipv6(Ipv6Addr::LOCALHOST))));
        a.set_port(None).unwrap();
        b.set_port(None).unwrap();
        assert_eq!(a, b);
    }
    if let Ok(answer) = passed.with_query([("code", requested), ("state", registered)]) {
        let head = requested.split('?').next().unwrap();
        assert!(
            answer.location().starts_with(head) && answer.location().bytes().all(|b| b.is_ascii_graphic())
        );
    }
});
