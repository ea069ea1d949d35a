//! `Database::from_mmdb`.
//!
//! Oracle: a file that opens answers every boundary, as IPv4 and as IPv4-mapped IPv6 alike; no run's answer is
//! its neighbour's; what lies inside is not public whatever the file says, forms that carry an IPv4 address aside;
//! and the country table written from it says the same. A file that takes long or much memory fails by libFuzzer's own limits.
#![no_main]

use std::net::IpAddr;

use compliance_core::address::{embedded_ipv4, outside};
use compliance_geo::database::{Database, Located};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(database) = Database::from_mmdb(bytes, "fuzz") else { return };
    let table = match Database::from_country_table(&database.to_country_table()) {
        Ok(table) => Some(table),
        // No country it names is on the public internet.
        Err(error) => {
            assert_eq!(error.code(), "database.empty");
            None
        }
    };
    let mut before = None;
    for ip in database.boundaries() {
        let located = database.locate(ip);
        if let IpAddr::V4(v4) = ip {
            assert_eq!(database.locate(v4.to_ipv6_mapped().into()), located);
        }
        // IPv4-mapped addresses are looked up among the IPv4 runs.
        let run = (ip.to_canonical() == ip).then_some((ip.is_ipv4(), located));
        assert!(run.is_none() || run != before, "two runs are one at {ip}");
        before = run;
        // An address that carries an IPv4 address is judged by both, which is the embargo's part.
        let carries_ipv4 = matches!(ip, IpAddr::V6(v6) if embedded_ipv4(v6).next().is_some());
        if matches!(located, Located::Place(_)) && !carries_ipv4 {
            assert!(outside(ip).is_ok(), "{ip} is placed");
        }
        assert_eq!(table.as_ref().and_then(|table| table.country(ip)), database.country(ip), "{ip}");
    }
});
