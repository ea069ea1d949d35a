//! `classify` of an address: 4 bytes, or 16.
//!
//! Oracle: a plain reading of the published tables, row by row. Special is what some row holds or what carries an
//! IPv4 address some row holds, in the two forms judged by content the latter alone; the block named is the
//! longest prefix of one or the other.
#![no_main]

use std::net::IpAddr;

use compliance_core::address::{
    AddressClass, EmbeddedKind, IPV4_SPECIAL, IPV6_SPECIAL, SpecialBlock, classify, embedded_ipv4, outside,
};
use libfuzzer_sys::fuzz_target;

fn longest(ip: IpAddr) -> Option<&'static SpecialBlock> {
    let rows = if ip.is_ipv4() { IPV4_SPECIAL } else { IPV6_SPECIAL };
    let holds = |row: &&SpecialBlock| row.network() <= ip && ip <= row.last();
    rows.iter().filter(holds).max_by_key(|row| row.prefix_len())
}

fn check(ip: IpAddr, found: Option<&'static SpecialBlock>) {
    let own = longest(ip);
    let carried: Vec<_> = match ip {
        IpAddr::V4(_) => Vec::new(),
        IpAddr::V6(v6) => embedded_ipv4(v6).collect(),
    };
    let by_content = |kind| matches!(kind, EmbeddedKind::Mapped | EmbeddedKind::Nat64);
    let own = own.filter(|_| !carried.iter().any(|embedded| by_content(embedded.kind)));
    let inside: Vec<_> = carried.iter().filter_map(|embedded| longest(embedded.address.into())).collect();
    match found {
        None => assert!(own.is_none() && inside.is_empty(), "{ip}"),
        found => assert!(found == own || found.is_some_and(|block| inside.contains(&block)), "{ip}"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let ip: IpAddr = match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(v4), _) => v4.into(),
        (_, Ok(v6)) => v6.into(),
        _ => return,
    };
    let found = match classify(ip) {
        AddressClass::Global => None,
        AddressClass::Special(special) => Some(special.block()),
    };
    check(ip, found);
    assert_eq!(outside(ip).ok().map(|proof| proof.ip()), found.is_none().then(|| ip.to_canonical()));
});
