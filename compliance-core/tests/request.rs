//! What layers hand on.

use compliance_core::request::{AddressSource, ClientAddress, ClientNetwork};

#[test]
fn addresses_are_canonical_and_cut_to_their_network() {
    #[track_caller]
    fn check(ip: &str, canonical: &str, network: &str) {
        let client = ClientAddress::new(ip.parse().unwrap(), AddressSource::Peer);
        assert_eq!(client.ip().to_string(), canonical);
        assert_eq!(client.network().to_string(), network);
        assert!(!format!("{client:?}").contains(canonical));
    }
    check("203.0.113.7", "203.0.113.7", "203.0.113.0/24");
    check("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.0/24");
    check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1::/48");
}

#[test]
fn a_full_address_is_no_network() {
    assert!(ClientNetwork::from_stored("203.0.113.0".parse().unwrap()).is_some());
    assert!(ClientNetwork::from_stored("203.0.113.7".parse().unwrap()).is_none());
    assert!(ClientNetwork::from_stored("2001:db8:1::".parse().unwrap()).is_some());
    assert!(ClientNetwork::from_stored("2001:db8:1:2::".parse().unwrap()).is_none());
}
