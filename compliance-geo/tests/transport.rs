//! Whether a request came over TLS.

use std::net::IpAddr;

use compliance_core::request::Transport;
use compliance_geo::client_ip::{Peer, TrustedProxies};
use compliance_geo::transport::{SchemeSource, TransportRule};

#[track_caller]
fn check(source: SchemeSource, headers: &[(&str, &str)], expected: Transport) {
    let rule = TransportRule::new(TrustedProxies::parse(["10.0.0.0/8"]).unwrap(), source).unwrap();
    let proxy: IpAddr = "10.0.0.1".parse().unwrap();
    assert_eq!(rule.find(proxy, Transport::Plaintext, headers), expected, "{headers:?}");
    assert_eq!(rule.require_tls(proxy, Transport::Plaintext, headers).is_ok(), expected == Transport::Tls);
    // A stranger's headers never count, in either direction.
    let stranger: IpAddr = "192.0.2.1".parse().unwrap();
    for connection in [Transport::Plaintext, Transport::Tls] {
        assert_eq!(rule.find(stranger, connection, headers), connection, "{headers:?}");
    }
}

#[test]
fn only_an_unambiguous_https_is_tls() {
    let check = |headers: &[(&str, &str)], expected| check(SchemeSource::XForwardedProto, headers, expected);
    check(&[("X-Forwarded-Proto", "https")], Transport::Tls);
    check(&[("x-forwarded-proto", " HTTPS ")], Transport::Tls);
    check(&[("X-Forwarded-Proto", "https, https")], Transport::Tls);
    check(&[("X-Forwarded-Proto", "https, http")], Transport::Plaintext);
    check(&[("X-Forwarded-Proto", "http, https")], Transport::Plaintext);
    check(&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "https")], Transport::Plaintext);
    check(&[("X-Forwarded-Proto", "")], Transport::Plaintext);
    check(&[("X-Forwarded-Proto", "wss")], Transport::Plaintext);
    check(&[], Transport::Plaintext);
}

#[test]
fn forwarded_counts_from_the_client_edge_inwards() {
    let check = |value: &str, expected| check(SchemeSource::Forwarded, &[("Forwarded", value)], expected);
    check("for=1.1.1.1;proto=https", Transport::Tls);
    check("for=1.1.1.1;proto=http", Transport::Plaintext);
    check("for=1.1.1.1", Transport::Plaintext);
    check("for=6.6.6.6;proto=http, for=1.1.1.1;proto=https", Transport::Tls);
    check("for=6.6.6.6;proto=https, for=1.1.1.1;proto=http", Transport::Plaintext);
    check("for=1.1.1.1;proto=https, for=10.0.0.2;proto=https", Transport::Tls);
    check("for=1.1.1.1;proto=https, for=10.0.0.2;proto=http", Transport::Plaintext);
    check("for=1.1.1.1;proto=http, for=10.0.0.2;proto=https", Transport::Plaintext);
    // Nobody named: what stands left of it may be a proxy's word.
    check("for=1.1.1.1;proto=http, proto=https", Transport::Plaintext);
    check("for=1.1.1.1;proto=http, for=_hidden;proto=https", Transport::Plaintext);
    check("for=1.1.1.1;proto=http, for=unknown;proto=https", Transport::Plaintext);
    check("for=1.1.1.1;proto=https, for=_hidden;proto=https", Transport::Tls);
    check("broken=, for=10.0.0.2;proto=https", Transport::Plaintext);
    check("broken=, for=1.1.1.1;proto=https", Transport::Tls);
    check("", Transport::Plaintext);
}

#[test]
fn the_connection_alone_can_count() {
    check(SchemeSource::Connection, &[("X-Forwarded-Proto", "https")], Transport::Plaintext);
    let rule = TransportRule::new(TrustedProxies::default(), SchemeSource::Connection).unwrap();
    let none: [(&str, &str); 0] = [];
    assert!(rule.require_tls(IpAddr::from([10, 0, 0, 1]), Transport::Tls, &none).is_ok());
    let error = TransportRule::new(TrustedProxies::default(), SchemeSource::Forwarded).unwrap_err();
    assert_eq!(error.code(), "client_ip.no_proxies");
}

#[test]
fn a_trusted_unix_socket_speaks_for_the_client() {
    let said = [("X-Forwarded-Proto", "https")];
    let check = |trusted: &str, expected| {
        let proxies = TrustedProxies::parse([trusted]).unwrap();
        let rule = TransportRule::new(proxies, SchemeSource::XForwardedProto).unwrap();
        assert_eq!(rule.find(Peer::UnixSocket, Transport::Plaintext, &said), expected);
    };
    check("unix:", Transport::Tls);
    check("10.0.0.0/8", Transport::Plaintext);
}
