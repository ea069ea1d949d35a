//! Addresses: the registries row by row, embedded IPv4, and the corpus.

#![expect(clippy::cast_possible_truncation, reason = "the values are small, or meant to be cut")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compliance_core::address::{
    AddressClass, AddressReason, EmbeddedKind, IPV4_SPECIAL, IPV6_SPECIAL, Nat64Prefix, REGISTRY_UPDATED,
    SpecialBlock, SpecialRegistry, canonical, classify, classify_with, embedded_ipv4, outside, outside_with,
};
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

#[track_caller]
fn check(text: &str, expected: Result<(), &str>) {
    assert_eq!(outside(ip(text)).map(|_| ()).map_err(|e| e.code()), expected, "{text}");
}

fn all_blocks() -> impl Iterator<Item = &'static SpecialBlock> {
    IPV4_SPECIAL.iter().chain(IPV6_SPECIAL)
}

fn holds(block: &SpecialBlock, address: IpAddr) -> bool {
    (block.network()..=block.last()).contains(&address) && block.network().is_ipv4() == address.is_ipv4()
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(family: IpAddr, bits: u128) -> IpAddr {
    match family {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(bits as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// The plain reading of the tables: every row looked at, the longest prefix wins, the RFCs' embedded forms
/// followed. Slow, and independent of the bit vectors; that the tables are right is another test's affair.
fn by_the_book(address: IpAddr) -> Option<AddressReason> {
    let block = all_blocks().filter(|b| holds(b, address)).max_by_key(|b| b.prefix_len());
    let IpAddr::V6(v6) = address else { return block.map(SpecialBlock::reason) };
    let carried: Vec<_> = embedded_ipv4(v6)
        .map(|e| (e.kind, by_the_book(IpAddr::V4(e.address))))
        .filter(|(kind, _)| *kind != EmbeddedKind::Nat64Local)
        .collect();
    let of = |wanted: fn(EmbeddedKind) -> bool| {
        carried.iter().filter(|(kind, _)| wanted(*kind)).find_map(|(_, reason)| *reason)
    };
    match block.map(SpecialBlock::reason) {
        None => of(|kind| kind == EmbeddedKind::Isatap),
        Some(AddressReason::Ipv4Mapped | AddressReason::Nat64) => of(|kind| kind != EmbeddedKind::Isatap),
        Some(
            reason @ (AddressReason::Ipv4Compatible
            | AddressReason::Ipv4Translated
            | AddressReason::SixToFour
            | AddressReason::Teredo),
        ) => of(|kind| kind != EmbeddedKind::Isatap).or(Some(reason)),
        Some(reason) => Some(reason),
    }
}

fn reason(address: IpAddr) -> Option<AddressReason> {
    match classify(address) {
        AddressClass::Global => None,
        AddressClass::Special(special) => Some(special.reason()),
    }
}

/// The registries as IANA publishes them, copied by hand from there and not from the tables.
#[test]
fn both_registries_are_whole_and_dated() {
    let published = include_str!("vectors/iana_special_purpose.csv");
    assert!(published.contains(REGISTRY_UPDATED));
    let published: Vec<_> = published.lines().filter(|line| !line.starts_with('#')).collect();
    let mut held: Vec<_> = all_blocks()
        .filter(|block| block.registry() == SpecialRegistry::Iana)
        .map(|block| {
            let reachable = match block.globally_reachable() {
                Some(true) => "True",
                Some(false) => "False",
                None => "",
            };
            format!("{}/{},{reachable},{}", block.network(), block.prefix_len(), block.name())
        })
        .collect();
    // 25 records each on that date; the IPv4 record of two /32s makes two rows.
    assert_eq!((published.len(), held.len()), (26 + 25, 26 + 25));
    for line in published {
        let line = line.replace(",N/A,", ",,");
        let at = held.iter().position(|row| row.replace("::ffff:0.0.0.0/", "::ffff:0:0/") == line);
        held.remove(at.unwrap_or_else(|| panic!("the tables lack `{line}`")));
    }
}

/// What each published block comes to, read from the published line alone.
#[test]
fn no_published_block_is_outside_but_the_two_forms_of_ipv4() {
    let lines = include_str!("vectors/iana_special_purpose.csv").lines();
    for line in lines.filter(|line| !line.starts_with('#')) {
        let (block, _) = line.split_once(',').unwrap();
        let (first, len) = block.split_once('/').unwrap();
        let (first, len): (_, u32) = (ip(first), len.parse().unwrap());
        let width = if first.is_ipv4() { 32 } else { 128 };
        let host = u128::MAX.checked_shr(128 - width + len).unwrap_or(0) & (u128::MAX >> (128 - width));
        for bits in [bits(first), bits(first) + host / 2, bits(first) + host] {
            let address = from_bits(first, bits);
            if ["::ffff:0:0/96", "64:ff9b::/96"].contains(&block) {
                let carried = IpAddr::V4(Ipv4Addr::from_bits(bits as u32));
                assert_eq!(outside(address).is_ok(), outside(carried).is_ok(), "{address}");
            } else {
                assert!(outside(address).is_err(), "{address} of {block}");
            }
        }
    }
}

#[test]
fn every_row_is_a_prefix_and_stands_once() {
    for block in all_blocks() {
        let width = if block.network().is_ipv4() { 32 } else { 128 };
        let size = (bits(block.last()) - bits(block.network())).checked_add(1);
        assert_eq!(size, 1_u128.checked_shl(width - u32::from(block.prefix_len())), "{}", block.name());
        assert!(!block.source().is_empty());
        let twins = all_blocks()
            .filter(|other| other.network() == block.network() && other.prefix_len() == block.prefix_len());
        assert_eq!(twins.count(), 1, "{}", block.name());
    }
}

#[test]
fn first_last_and_neighbours_of_every_row_are_read_as_written() {
    let mut looked_at = 0;
    for block in all_blocks() {
        let (first, last) = (bits(block.network()), bits(block.last()));
        let width_max = if block.network().is_ipv4() { u32::MAX.into() } else { u128::MAX };
        let neighbours = [first.checked_sub(1), last.checked_add(1).filter(|next| *next <= width_max)];
        for bits in [Some(first), Some(last)].into_iter().chain(neighbours).flatten() {
            let address = from_bits(block.network(), bits);
            assert_eq!(reason(address), by_the_book(address), "{address} at {}", block.name());
            looked_at += 1;
        }
        for inside in [block.network(), block.last()] {
            let forms = [AddressReason::Ipv4Mapped, AddressReason::Nat64];
            if !forms.contains(&block.reason()) {
                assert!(outside(inside).is_err(), "{inside} of {}", block.name());
            }
        }
    }
    assert!(looked_at > 250, "{looked_at}");
}

#[test]
fn what_borders_on_special_blocks_is_outside() {
    for text in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.1.255",
        "192.0.3.0",
        "192.31.195.255",
        "192.31.197.0",
        "192.52.192.255",
        "192.52.194.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "192.175.47.255",
        "192.175.49.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "168.63.129.15",
        "168.63.129.17",
        "2000::",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2003::",
        "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
        "2620:4f:8001::",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
    ] {
        check(text, Ok(()));
    }
}

#[test]
fn every_kind_of_inside_has_its_code() {
    check("0.0.0.0", Err("address.unspecified"));
    check("0.1.2.3", Err("address.this_network"));
    check("10.1.2.3", Err("address.private"));
    check("100.64.0.1", Err("address.shared"));
    check("100.100.100.200", Err("address.cloud_metadata"));
    check("127.0.0.53", Err("address.loopback"));
    check("168.63.129.16", Err("address.cloud_metadata"));
    check("169.254.1.1", Err("address.link_local"));
    check("169.254.169.254", Err("address.cloud_metadata"));
    check("172.31.0.1", Err("address.private"));
    check("192.0.0.1", Err("address.protocol_assignment"));
    check("192.0.0.8", Err("address.dummy"));
    check("192.0.0.9", Err("address.anycast_service"));
    check("192.0.0.192", Err("address.cloud_metadata"));
    check("192.0.2.1", Err("address.documentation"));
    check("192.88.99.1", Err("address.anycast_service"));
    check("198.19.0.1", Err("address.benchmarking"));
    check("224.0.0.251", Err("address.multicast"));
    check("250.0.0.1", Err("address.reserved"));
    check("255.255.255.255", Err("address.broadcast"));
    check("::", Err("address.unspecified"));
    check("::1", Err("address.loopback"));
    check("64:ff9b:1::", Err("address.nat64_local"));
    check("100::1", Err("address.discard"));
    check("100:0:0:1::1", Err("address.dummy"));
    check("200::1", Err("address.reserved"));
    check("2001:1::1", Err("address.anycast_service"));
    check("2001:1::4", Err("address.protocol_assignment"));
    check("2001:2::1", Err("address.benchmarking"));
    check("2001:20::1", Err("address.identifier"));
    check("2001:db8::1", Err("address.documentation"));
    check("3fff::1", Err("address.documentation"));
    check("4000::1", Err("address.reserved"));
    check("5f00::1", Err("address.segment_routing"));
    check("fd12:3456::1", Err("address.unique_local"));
    for metadata in [
        "fd00:42::42",
        "fd00:c1::a9fe:a9fe",
        "fd00:100::100:200",
        "fd00:ec2::254",
        "fd00:a9fe:a9fe::1",
        "fd20:ce::254",
    ] {
        check(metadata, Err("address.cloud_metadata"));
    }
    check("fe80::1", Err("address.link_local"));
    check("fec0::1", Err("address.site_local"));
    check("ff02::1", Err("address.multicast"));
}

#[test]
fn ipv4_hidden_in_ipv6_is_judged() {
    check("::ffff:127.0.0.1", Err("address.loopback"));
    check("::ffff:93.184.216.34", Ok(()));
    check("64:ff9b::169.254.169.254", Err("address.cloud_metadata"));
    check("64:ff9b::8.8.8.8", Ok(()));
    check("::10.0.0.1", Err("address.private"));
    check("::8.8.8.8", Err("address.ipv4_compatible"));
    check("::ffff:0:10.0.0.1", Err("address.private"));
    check("::ffff:0:8.8.8.8", Err("address.ipv4_translated"));
    check("2002:7f00:1::1", Err("address.loopback"));
    check("2002:808:808::1", Err("address.six_to_four"));
    // The server is public, the inverted client is 127.0.0.1; then the server is private.
    check("2001:0:4136:e378::80ff:fffe", Err("address.loopback"));
    check("2001:0:a00:1::f7f7:f7f7", Err("address.private"));
    check("2001:0:4136:e378::f7f7:f7f7", Err("address.teredo"));
    check("2001:470::5efe:7f00:1", Err("address.loopback"));
    check("2001:470::200:5efe:a00:1", Err("address.private"));
    check("2001:470::5efe:5db8:d822", Ok(()));
    // The outer block says it all where the inner reading is uncertain.
    check("64:ff9b:1:808:8:800::", Err("address.nat64_local"));
    check("fd00::5efe:7f00:1", Err("address.unique_local"));
}

#[test]
fn the_deciding_embedded_address_is_named() {
    let AddressClass::Special(special) = classify(ip("2001:0:4136:e378::80ff:fffe")) else { panic!() };
    let embedded = special.embedded().unwrap();
    assert_eq!(embedded.kind, EmbeddedKind::TeredoClient);
    assert_eq!(embedded.address, Ipv4Addr::LOCALHOST);
    assert_eq!(special.block().name(), "Loopback");

    let AddressClass::Special(special) = classify(ip("2002:808:808::1")) else { panic!() };
    assert_eq!(special.embedded(), None);
    assert_eq!(special.block().name(), "6to4");
    assert_eq!(special.block().globally_reachable(), None);
}

#[test]
fn every_embedded_form_is_read() {
    #[track_caller]
    fn check(text: &str, expected: &[(EmbeddedKind, &str)]) {
        let found: Vec<_> = embedded_ipv4(v6(text)).map(|e| (e.kind, e.address.to_string())).collect();
        let expected: Vec<_> = expected.iter().map(|(kind, a)| (*kind, (*a).to_owned())).collect();
        assert_eq!(found, expected, "{text}");
    }
    check("::", &[]);
    check("::1", &[]);
    check("::2", &[(EmbeddedKind::Compatible, "0.0.0.2")]);
    check("::ffff:1.2.3.4", &[(EmbeddedKind::Mapped, "1.2.3.4")]);
    check("::ffff:0:1.2.3.4", &[(EmbeddedKind::Translated, "1.2.3.4")]);
    check("64:ff9b::1.2.3.4", &[(EmbeddedKind::Nat64, "1.2.3.4")]);
    check("64:ff9b::1:1.2.3.4", &[]);
    check("2002:102:304::", &[(EmbeddedKind::SixToFour, "1.2.3.4")]);
    check(
        "2001:0:102:304::fefd:fcfb",
        &[(EmbeddedKind::TeredoServer, "1.2.3.4"), (EmbeddedKind::TeredoClient, "1.2.3.4")],
    );
    check("2606::200:5efe:102:304", &[(EmbeddedKind::Isatap, "1.2.3.4")]);
    check("2606::300:5efe:102:304", &[]);
    check(
        "2002:102:304::5efe:506:708",
        &[(EmbeddedKind::SixToFour, "1.2.3.4"), (EmbeddedKind::Isatap, "5.6.7.8")],
    );
    // /48, /56, /64 and /96 layouts of the local-use prefix.
    check(
        "64:ff9b:1:102:3:400::",
        &[
            (EmbeddedKind::Nat64Local, "1.2.3.4"),
            (EmbeddedKind::Nat64Local, "2.3.4.0"),
            (EmbeddedKind::Nat64Local, "3.4.0.0"),
            (EmbeddedKind::Nat64Local, "0.0.0.0"),
        ],
    );
}

/// RFC 6052 §2.4, table 1: 192.0.2.33 under each prefix length.
#[test]
fn rfc_6052_examples_decode() {
    for (prefix, address) in [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ] {
        let parsed: Nat64Prefix = prefix.parse().unwrap();
        assert_eq!(parsed.to_string(), prefix);
        assert_eq!(parsed.decode(v6(address)), Some(Ipv4Addr::new(192, 0, 2, 33)), "{prefix}");
        assert_eq!(parsed.decode(v6("2001:db9::1")), None, "{prefix}");
    }
}

#[test]
fn configured_nat64_prefixes_add_refusals_only() {
    let prefixes = ["2a00:64::/96".parse().unwrap(), "fd00:64::/96".parse().unwrap()];
    let code = |text| outside_with(ip(text), &prefixes).map(|_| ()).map_err(|e| e.code());
    assert_eq!(outside(ip("2a00:64::10.0.0.1")).map(|_| ()), Ok(()));
    assert_eq!(code("2a00:64::10.0.0.1"), Err("address.private"));
    assert_eq!(code("2a00:64::8.8.8.8"), Ok(()));
    assert_eq!(code("2a00:65::10.0.0.1"), Ok(()));
    assert_eq!(code("fd00:64::8.8.8.8"), Err("address.unique_local"));
    assert_eq!(code("10.0.0.1"), Err("address.private"));

    let AddressClass::Special(special) = classify_with(ip("2a00:64::10.0.0.1"), &prefixes) else { panic!() };
    assert_eq!(special.embedded().unwrap().kind, EmbeddedKind::Nat64Configured);
}

#[test]
fn nat64_prefixes_outside_rfc_6052_are_refused() {
    #[track_caller]
    fn check(text: &str, code: &str) {
        assert_eq!(text.parse::<Nat64Prefix>().unwrap_err().code(), code, "{text}");
    }
    check("2001:db8::/33", "address.nat64_prefix.length");
    check("2001:db8::/0", "address.nat64_prefix.length");
    check("2001:db8::/128", "address.nat64_prefix.length");
    check("2001:db8:1::/32", "address.nat64_prefix.host_bits");
    check("2001:db8:122:344:100::/96", "address.nat64_prefix.reserved_octet");
    check("2001:db8::", "address.nat64_prefix.syntax");
    check("2001:db8::/", "address.nat64_prefix.syntax");
    check("2001:db8::/+32", "address.nat64_prefix.syntax");
    check("2001:db8::/999", "address.nat64_prefix.syntax");
    check("10.0.0.0/32", "address.nat64_prefix.syntax");
}

#[test]
fn the_proof_holds_the_canonical_form() {
    assert_eq!(outside(ip("::ffff:1.1.1.1")).unwrap().ip(), ip("1.1.1.1"));
    assert_eq!(outside(ip("2606:4700::1111")).unwrap().ip(), ip("2606:4700::1111"));
    assert_eq!(canonical(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    assert_eq!(canonical(ip("64:ff9b::10.0.0.1")), ip("64:ff9b::10.0.0.1"));
}

#[test]
fn errors_do_not_echo_the_address() {
    let error = outside(ip("10.20.30.40")).unwrap_err();
    assert_eq!(error.to_string(), "address is not outside: it is set aside as `Private-Use` (RFC 1918)");
}

proptest! {
    #[test]
    fn any_ipv4_is_read_as_written(bits: u32) {
        let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
        prop_assert_eq!(reason(address), by_the_book(address));
    }

    #[test]
    fn any_ipv6_is_read_as_written(bits: u128) {
        let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
        prop_assert_eq!(reason(address), by_the_book(address));
    }

    /// Random addresses seldom fall into a small block, so draw them from the blocks.
    #[test]
    fn any_address_near_a_block_is_read_as_written(index: usize, offset: u128, flip in 0_u32..128) {
        let blocks: Vec<_> = all_blocks().collect();
        let block = blocks[index % blocks.len()];
        let size = bits(block.last()) - bits(block.network());
        let inside = bits(block.network()) + offset % size.saturating_add(1).max(1);
        for bits in [inside, inside ^ (1 << flip)] {
            let address = from_bits(block.network(), bits);
            prop_assert_eq!(reason(address), by_the_book(address), "{}", address);
        }
    }

    /// However a special IPv4 address is written as IPv6, it does not get outside.
    #[test]
    fn no_embedding_lets_a_special_ipv4_out(index: usize, offset: u32, server: u32) {
        let block = &IPV4_SPECIAL[index % IPV4_SPECIAL.len()];
        let size = bits(block.last()) - bits(block.network());
        let v4 = u128::from(offset) % (size + 1) + bits(block.network());
        let inverted = u128::from(!(v4 as u32));
        for bits in [
            v4,
            0xffff << 32 | v4,
            0xffff << 48 | v4,
            0x64_ff9b << 96 | v4,
            0x64_ff9b_0001 << 80 | v4,
            0x2002 << 112 | v4 << 80,
            0x2001_0000 << 96 | v4 << 64 | u128::from(server),
            0x2001_0000 << 96 | u128::from(server) << 64 | inverted,
            0x2606_4700 << 96 | 0x5efe << 32 | v4,
            0x2606_4700 << 96 | 0x0200_5efe << 32 | v4,
        ] {
            let address = IpAddr::V6(Ipv6Addr::from_bits(bits));
            prop_assert!(outside(address).is_err(), "{}", address);
        }
    }
}

#[test]
fn corpus_of_addresses_is_judged_without_error() {
    let Some(folder) = std::env::var_os("COMPLIANCE_CORPUS") else {
        println!("skipped: COMPLIANCE_CORPUS is not set");
        return;
    };
    let file = std::path::Path::new(&folder).join("url/corpus.json");
    let corpus: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let (mut rows, mut wrong) = (0, Vec::new());
    for row in corpus["rows"].as_array().unwrap().iter().filter(|row| row["kind"] == "ssrf_ip") {
        let input = row["input"].as_str().unwrap();
        let verdict = outside(ip(input));
        match row["verdict"].as_str().unwrap() {
            "deny" if verdict.is_ok() => wrong.push(format!("{input} got out")),
            "allow" if verdict.is_err() => wrong.push(format!("{input} was refused")),
            "deny" | "allow" | "either" => {}
            other => panic!("verdict `{other}` is not known"),
        }
        rows += 1;
    }
    assert!(rows > 0, "the corpus has no address rows");
    assert_eq!(wrong, Vec::<String>::new());
    println!("{rows} addresses judged, 0 wrong");
}
