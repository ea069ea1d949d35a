//! `Database::from_mmdb`.
//!
//! Oracle: a file that opens answers every boundary, as IPv4 and as IPv4-mapped IPv6 alike; no run's answer is
//! its neighbour's; what lies inside is not public whatever the file says; and the country table written from it
//! says the same. A file that takes long or much memory fails by libFuzzer's own limits.
#![no_main]

use std::net::IpAddr;

use compliance_core::address::outside;
use compliance_geo::database::{Database, Located};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(database) = Database::from_mmdb(bytes, "fuzz") else { return };
    let table = database.knows_countries().then(|| {
        Database::from_country_table(&database.to_country_table()).expect("the table we wrote is of its form")
    });
    let mut before = None;
    for ip in database.boundaries() {
        let located = database.locate(ip);
        if let IpAddr::V4(v4) = ip {
            assert_eq!(database.locate(v4.to_ipv6_mapped().into()), located);
        }
        assert!(before != Some((ip.is_ipv4(), located)), "two runs are one at {ip}");
        before = Some((ip.is_ipv4(), located));
        if matches!(located, Located::Place(_)) {
            assert!(outside(ip).is_ok(), "{ip} is placed");
        }
        if let Some(table) = &table {
            assert_eq!(table.country(ip), database.country(ip), "{ip}");
        }
    }
});
