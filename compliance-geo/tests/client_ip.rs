//! The client's address behind proxies.

use std::net::IpAddr;

use compliance_core::country::CountryCode;
use compliance_core::request::AddressSource;
use compliance_geo::client_ip::{
    ClientIp, EdgeCountry, FieldName, OriginProof, Peer, Source, TrustedProxies,
};
use proptest::prelude::*;

fn proxy() -> IpAddr {
    "10.0.0.1".parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rule(source: Source) -> ClientIp {
    let proxies = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"]).unwrap();
    ClientIp::new(proxies, source).unwrap()
}

#[track_caller]
fn check_with(source: Source, headers: &[(&str, &str)], expected: Result<&str, &str>) {
    let found = rule(source).find(proxy(), headers);
    let found = found.map(|client| {
        assert_eq!(client.source(), AddressSource::Header);
        client.ip().to_string()
    });
    assert_eq!(found.as_deref().map_err(|error| error.code()), expected, "{headers:?}");
}

#[track_caller]
fn xff(value: &str, expected: Result<&str, &str>) {
    check_with(Source::XForwardedFor, &[("X-Forwarded-For", value)], expected);
}

#[test]
fn the_first_stranger_from_the_right_is_the_client() {
    xff("1.1.1.1", Ok("1.1.1.1"));
    xff("6.6.6.6, 1.1.1.1", Ok("1.1.1.1"));
    xff("6.6.6.6,1.1.1.1,10.2.3.4 ,\t10.9.9.9", Ok("1.1.1.1"));
    xff("10.0.0.5, 1.1.1.1, fd00::5", Ok("1.1.1.1"));
    xff("nonsense, 1.1.1.1", Ok("1.1.1.1"));
}

#[test]
fn all_lines_count_as_one_list() {
    let lines =
        [("x-forwarded-for", "6.6.6.6"), ("X-FORWARDED-FOR", "1.1.1.1"), ("X-Forwarded-For", "10.0.0.3")];
    check_with(Source::XForwardedFor, &lines, Ok("1.1.1.1"));
    let lines =
        [("X-Forwarded-For", "1.1.1.1"), ("Via", "6.6.6.6"), ("X-Forwarded-For", "10.0.0.3, 10.0.0.4")];
    check_with(Source::XForwardedFor, &lines, Ok("1.1.1.1"));
}

#[test]
fn malformed_entries_before_the_answer_are_errors() {
    xff("1.1.1.1, nonsense", Err("client_ip.malformed"));
    xff("1.1.1.1, nonsense, 10.0.0.2", Err("client_ip.malformed"));
    xff("1.1.1.1,", Err("client_ip.malformed"));
    xff("1.1.1.1, , 10.0.0.2", Err("client_ip.malformed"));
    xff("", Err("client_ip.malformed"));
    xff("1.1.1.1, unknown", Err("client_ip.unknown"));
    for bad in [
        "1.1.1.256",
        "01.1.1.1",
        "1.1.1",
        "1.1.1.1:",
        "1.1.1.1:x",
        "1.1.1.1:65536",
        "1.1.1.1:123456",
        "[::1",
        "[1.1.1.1]",
        "[::1]x",
        "[::1]:",
        "::1::",
        "fe80::1%",
        "fe80::1%eth0]:80",
        "fe80::1%eth 0",
        "1.1.1.1%eth0",
        "1.1.1.1/32",
        "0x1.1.1.1",
        "\u{ff11}.1.1.1",
        "localhost",
        "_x",
    ] {
        xff(bad, Err("client_ip.malformed"));
    }
}

#[test]
fn ports_zones_and_mapped_forms_are_read() {
    xff("1.1.1.1:443", Ok("1.1.1.1"));
    xff("[2001:db8::1]:443", Ok("2001:db8::1"));
    xff("[2001:db8::1]", Ok("2001:db8::1"));
    xff("2001:DB8::0001", Ok("2001:db8::1"));
    xff("::ffff:1.1.1.1", Ok("1.1.1.1"));
    xff("[::ffff:1.1.1.1]:80", Ok("1.1.1.1"));
    xff("fe80::1%eth0", Ok("fe80::1"));
    xff("[fe80::1%25eth0]:80", Ok("fe80::1"));
    xff("1.1.1.1, ::ffff:10.0.0.9", Ok("1.1.1.1"));
}

#[test]
fn without_an_answer_there_is_no_guess() {
    xff("10.0.0.2, 10.0.0.3", Err("client_ip.only_proxies"));
    check_with(Source::XForwardedFor, &[], Err("client_ip.missing"));
    check_with(Source::XForwardedFor, &[("Forwarded", "for=1.1.1.1")], Err("client_ip.missing"));
}

#[test]
fn a_stranger_is_the_client_whatever_it_says() {
    let headers = [("X-Forwarded-For", "1.1.1.1"), ("X-Real-IP", "1.1.1.1"), ("Forwarded", "for=1.1.1.1")];
    for source in [Source::XForwardedFor, Source::Forwarded, Source::XRealIp] {
        let found = rule(source).find(ip("::ffff:9.9.9.9"), &headers).unwrap();
        assert_eq!((found.ip().to_string().as_str(), found.source()), ("9.9.9.9", AddressSource::Peer));
    }
    assert_eq!(ClientIp::peer().find(proxy(), &headers).unwrap().ip(), proxy());
}

#[test]
fn hops_count_from_the_right() {
    let hops = |hops, value, expected| {
        check_with(Source::XForwardedForHops(hops), &[("X-Forwarded-For", value)], expected)
    };
    hops(1, "6.6.6.6, 1.1.1.1", Ok("1.1.1.1"));
    hops(2, "6.6.6.6, 1.1.1.1, 35.191.0.1", Ok("1.1.1.1"));
    hops(2, "1.1.1.1", Err("client_ip.too_few_hops"));
    hops(2, "1.1.1.1, x", Err("client_ip.malformed"));
    hops(2, "x, 1.1.1.1", Err("client_ip.malformed"));
}

#[test]
fn single_headers_must_be_single() {
    let real = |headers: &[(&str, &str)], expected| check_with(Source::XRealIp, headers, expected);
    real(&[("X-Real-IP", "1.1.1.1")], Ok("1.1.1.1"));
    real(&[("X-Real-IP", " [2001:db8::1]:1 ")], Ok("2001:db8::1"));
    real(&[("X-Real-IP", "1.1.1.1"), ("x-real-ip", "1.1.1.1")], Err("client_ip.duplicate"));
    real(&[("X-Real-IP", "1.1.1.1, 2.2.2.2")], Err("client_ip.malformed"));
    real(&[("X-Real-IP", "")], Err("client_ip.malformed"));
    real(&[], Err("client_ip.missing"));
    let fly = Source::SingleHeader(FieldName::parse("Fly-Client-IP").unwrap());
    check_with(fly, &[("fly-client-ip", "1.1.1.1")], Ok("1.1.1.1"));
}

#[test]
fn cloudflare_peculiarities_are_refused() {
    let cf = |value, expected| {
        check_with(Source::CfConnectingIp(OriginProof::Tunnel), &[("CF-Connecting-IP", value)], expected);
    };
    cf("1.1.1.1", Ok("1.1.1.1"));
    cf("2001:db8::1", Ok("2001:db8::1"));
    cf("240.16.0.1", Err("client_ip.pseudo_ipv4"));
    cf("255.1.2.3", Err("client_ip.pseudo_ipv4"));
    cf("2a06:98c0:3600::103", Err("client_ip.cloudflare_worker"));
    check_with(
        Source::TrueClientIp(OriginProof::ClientCertificate),
        &[("True-Client-IP", "1.1.1.1"), ("CF-Connecting-IP", "6.6.6.6")],
        Ok("1.1.1.1"),
    );
}

/// `CF-Connecting-IP` was overwritten; the address it stands for is beside it.
#[test]
fn a_made_up_ipv4_gives_way_to_the_address_it_stands_for() {
    let source = || Source::CfConnectingIp(OriginProof::Tunnel);
    let fake = ("CF-Connecting-IP", "246.1.2.3");
    check_with(source(), &[fake, ("CF-Connecting-IPv6", "2001:db8::7")], Ok("2001:db8::7"));
    check_with(source(), &[fake, ("CF-Connecting-IPv6", "1.1.1.1")], Err("client_ip.malformed"));
    check_with(source(), &[fake, ("CF-Connecting-IPv6", "x")], Err("client_ip.malformed"));
    check_with(
        source(),
        &[fake, ("CF-Connecting-IPv6", "2a06:98c0:3600::103")],
        Err("client_ip.cloudflare_worker"),
    );
    let twice = [fake, ("CF-Connecting-IPv6", "2001:db8::7"), ("CF-Connecting-IPv6", "2001:db8::8")];
    check_with(source(), &twice, Err("client_ip.duplicate"));
    // Where the edge did not make an address up, the second header is the client's own.
    let own = [("CF-Connecting-IP", "1.1.1.1"), ("CF-Connecting-IPv6", "2001:db8::7")];
    check_with(source(), &own, Ok("1.1.1.1"));
    // Another edge knows no such header.
    let other = [("True-Client-IP", "246.1.2.3"), ("CF-Connecting-IPv6", "2001:db8::7")];
    check_with(Source::TrueClientIp(OriginProof::Tunnel), &other, Err("client_ip.pseudo_ipv4"));
}

#[test]
fn cloudflares_ranges_are_dated_and_whole() {
    let edge = TrustedProxies::cloudflare().unwrap();
    for inside in ["173.245.48.1", "104.27.255.255", "2606:4700::1", "2a06:98c7:ffff::1"] {
        assert!(edge.contains(ip(inside)), "{inside}");
    }
    for outside in ["104.15.255.255", "104.28.0.0", "2606:4701::", "1.1.1.1"] {
        assert!(!edge.contains(ip(outside)), "{outside}");
    }
    assert_eq!(TrustedProxies::CLOUDFLARE_UPDATED, "2023-09-28");
}

#[test]
fn cloudflares_word_counts_only_with_a_proof() {
    let code = |proxies, source| ClientIp::new(proxies, source).unwrap_err().code();
    let edge = || TrustedProxies::cloudflare().unwrap();
    let both = || edge().and(TrustedProxies::parse(["10.0.0.0/8"]).unwrap()).unwrap();
    for source in [Source::XForwardedFor, Source::Forwarded, Source::XRealIp, Source::XForwardedForHops(1)] {
        assert_eq!(code(edge(), source.clone()), "client_ip.no_origin_proof");
        assert_eq!(code(both(), source), "client_ip.no_origin_proof");
    }
    // Also where its networks were pasted in.
    for pasted in [
        "172.64.0.0/13",
        "172.64.7.0/24",
        "104.16.0.1",
        "::ffff:104.16.0.0/112",
        "2606:4700::/32",
        // Or a network that they are a part of.
        "104.16.0.0/12",
        "104.0.0.0/8",
        "2606:4700::/31",
        "2a06::/16",
    ] {
        let pasted = || TrustedProxies::parse([pasted]).unwrap();
        assert_eq!(code(pasted(), Source::XForwardedFor), "client_ip.no_origin_proof");
        assert_eq!(code(pasted(), Source::CfConnectingIp(OriginProof::Tunnel)), "client_ip.tunnel_peer");
        assert!(ClientIp::new(pasted(), Source::CfConnectingIp(OriginProof::ClientCertificate)).is_ok());
    }
    let wide = TrustedProxies::parse(["104.16.0.0/12", "172.64.0.0/13"]).unwrap();
    assert_eq!(code(wide, Source::CfConnectingIp(OriginProof::Tunnel)), "client_ip.tunnel_peer");
    let beside = TrustedProxies::parse(["172.16.0.0/12", "104.32.0.0/16", "2606:4701::/32"]).unwrap();
    assert!(ClientIp::new(beside, Source::XForwardedFor).is_ok());
    for name in ["CF-Connecting-IP", "cf-connecting-ipv6", "CF-Pseudo-IPv4", "True-Client-IP"] {
        let source = Source::SingleHeader(FieldName::parse(name).unwrap());
        assert_eq!(code(TrustedProxies::parse(["10.0.0.0/8"]).unwrap(), source), "client_ip.no_origin_proof");
    }
    // Requests through a tunnel come from its local end.
    assert_eq!(code(edge(), Source::CfConnectingIp(OriginProof::Tunnel)), "client_ip.tunnel_peer");
    assert!(ClientIp::new(both(), Source::CfConnectingIp(OriginProof::Tunnel)).is_ok());
    assert!(ClientIp::new(edge(), Source::CfConnectingIp(OriginProof::ClientCertificate)).is_ok());
}

#[test]
fn the_edges_country_is_read_where_it_is_configured() {
    let plain = rule(Source::CfConnectingIp(OriginProof::Tunnel));
    let with_country = plain.clone().with_edge_country().unwrap();
    let check = |value: &str, expected| {
        let headers = [("CF-IPCountry", value)];
        let found = with_country.edge_country(proxy(), &headers).map_err(|error| error.code());
        assert_eq!(found, expected, "{value}");
        assert_eq!(with_country.edge_country(ip("9.9.9.9"), &headers), Ok(None));
        assert_eq!(plain.edge_country(proxy(), &headers), Ok(None));
    };
    let country = |code| Ok(Some(EdgeCountry::Country(CountryCode::parse(code).unwrap())));
    check("DE", country("DE"));
    check(" IR ", country("IR"));
    check("T1", Ok(Some(EdgeCountry::Tor)));
    for unknown in ["XX", "EU"] {
        check(unknown, Ok(Some(EdgeCountry::Unknown)));
    }
    for unreadable in ["", "de,fr", "t1", "ir", "IRN", "\u{e9}"] {
        check(unreadable, Err("client_ip.malformed"));
    }
    let twice = [("CF-IPCountry", "DE"), ("cf-ipcountry", "DE")];
    assert_eq!(with_country.edge_country(proxy(), &twice).unwrap_err().code(), "client_ip.duplicate");
    let none: [(&str, &str); 0] = [];
    assert_eq!(with_country.edge_country(proxy(), &none), Ok(Some(EdgeCountry::Unknown)));
    for source in [Source::XForwardedFor, Source::TrueClientIp(OriginProof::Tunnel)] {
        assert_eq!(rule(source).with_edge_country().unwrap_err().code(), "client_ip.no_origin_proof");
    }
}

#[test]
fn a_unix_socket_is_a_proxy_or_nobody() {
    let headers = [("X-Forwarded-For", "6.6.6.6, 1.1.1.1")];
    let trusting = TrustedProxies::parse(["unix:"]).unwrap();
    let rule = ClientIp::new(trusting.clone(), Source::XForwardedFor).unwrap();
    assert_eq!(rule.find(Peer::UnixSocket, &headers).unwrap().ip(), ip("1.1.1.1"));
    assert_eq!(rule.find(ip("127.0.0.1"), &headers).unwrap().ip(), ip("127.0.0.1"));
    let networks = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    for rule in [ClientIp::new(networks, Source::XForwardedFor).unwrap(), ClientIp::peer()] {
        assert_eq!(rule.find(Peer::UnixSocket, &headers).unwrap_err().code(), "client_ip.unix_socket");
    }
    assert_eq!(ClientIp::new(trusting, Source::Peer).unwrap_err().code(), "client_ip.unused_proxies");
}

#[track_caller]
fn forwarded(value: &str, expected: Result<&str, &str>) {
    check_with(Source::Forwarded, &[("Forwarded", value)], expected);
}

#[test]
fn forwarded_follows_its_grammar() {
    forwarded("for=1.1.1.1", Ok("1.1.1.1"));
    forwarded("For=\"[2001:db8:cafe::17]:4711\"", Ok("2001:db8:cafe::17"));
    forwarded("for=6.6.6.6, for=1.1.1.1;proto=http;by=203.0.113.43", Ok("1.1.1.1"));
    forwarded("for=\"1.1.1.1:80\"", Ok("1.1.1.1"));
    forwarded("for=\"1.1.1.1:_port\"", Ok("1.1.1.1"));
    forwarded("for=\"\\1.1.1\\.1\"", Ok("1.1.1.1"));
    forwarded(";for=1.1.1.1;", Ok("1.1.1.1"));
    forwarded("by=\"a,b;for=6.6.6.6\";for=1.1.1.1", Ok("1.1.1.1"));
    forwarded("by=\"\\\",for=6.6.6.6\";for=1.1.1.1, for=10.0.0.2", Ok("1.1.1.1"));
    forwarded("for=1.1.1.1, , for=10.0.0.2,", Ok("1.1.1.1"));
    forwarded("for=nonsense, for=1.1.1.1", Ok("1.1.1.1"));
    for bad in [
        "for=1.1.1.1:80",
        "for=::1",
        "for=[::1]",
        "for=\"::1\"",
        "for = 1.1.1.1",
        "for=1.1.1.1; proto=http",
        "for=1.1.1.1;for=2.2.2.2",
        "for",
        "for=",
        "=1.1.1.1",
        "for=\"1.1.1.1",
        "for=\"1.1.1.1\"x",
        "for=x\"1.1.1.1\"",
        "for=\"fe80::1%eth0\"",
        "for=\"[fe80::1%eth0]\"",
        "for=\"1.1.1.1:123456\"",
        "f or=1.1.1.1",
        "for=_",
        "for=01.1.1.1",
        "for=\"\u{7}\"",
    ] {
        forwarded(bad, Err("client_ip.malformed"));
        forwarded(&format!("for=1.1.1.1, {bad}, for=10.0.0.1"), Err("client_ip.malformed"));
    }
    forwarded("for=1.1.1.1, for=unknown", Err("client_ip.unknown"));
    forwarded("for=1.1.1.1, for=\"_hidden:_port\"", Err("client_ip.obfuscated"));
    forwarded("for=1.1.1.1, proto=https", Err("client_ip.unknown"));
    forwarded("for=10.0.0.1", Err("client_ip.only_proxies"));
    forwarded("", Err("client_ip.missing"));
}

#[test]
fn quotes_do_not_span_lines() {
    let lines = [("Forwarded", "for=6.6.6.6;by=\""), ("Forwarded", "for=1.1.1.1")];
    check_with(Source::Forwarded, &lines, Ok("1.1.1.1"));
    let lines = [("Forwarded", "for=1.1.1.1"), ("Forwarded", "\", for=10.0.0.2")];
    check_with(Source::Forwarded, &lines, Err("client_ip.malformed"));
}

#[test]
fn errors_say_which_entry_but_not_what_it_held() {
    let error = rule(Source::XForwardedFor)
        .find(proxy(), &[("X-Forwarded-For", "1.1.1.1, secret, 10.0.0.2")])
        .unwrap_err();
    assert_eq!(error.place(), 2);
    assert_eq!(
        error.to_string(),
        "client address not established: an entry is no IP address (entry 2 from the right)"
    );
    let error = rule(Source::Forwarded)
        .find(proxy(), &[("Forwarded", "for=x, for=10.1.1.1"), ("Forwarded", "for=10.0.0.2, for=10.0.0.3")])
        .unwrap_err();
    assert_eq!(error.place(), 4);
}

#[test]
fn rules_that_can_never_match_are_refused() {
    let none = TrustedProxies::default;
    let code = |proxies, source| ClientIp::new(proxies, source).unwrap_err().code();
    assert_eq!(code(none(), Source::XForwardedFor), "client_ip.no_proxies");
    assert_eq!(code(none(), Source::XForwardedForHops(0)), "client_ip.hops");
    assert_eq!(code(none(), Source::XForwardedForHops(33)), "client_ip.hops");
    assert!(ClientIp::new(none(), Source::Peer).is_ok());
    let some = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
    assert_eq!(code(some, Source::Peer), "client_ip.unused_proxies");
    assert_eq!(FieldName::parse(""), None);
    assert_eq!(FieldName::parse("X Real IP"), None);
}

#[test]
fn networks_are_checked() {
    let code = |text: &str| TrustedProxies::parse([text]).unwrap_err().code();
    for bad in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0", "::/129", "example.org", ""] {
        assert_eq!(code(bad), "client_ip.network", "{bad}");
    }
    for wide in ["::/0", "2000::/3", "2a00::/12", "fc00::/6", "0.0.0.0/0", "64.0.0.0/7", "::ffff:0:0/96"] {
        assert_eq!(code(wide), "client_ip.trusts_everyone", "{wide}");
    }
    for narrow in ["10.0.0.0/8", "2a06::/16", "fc00::/7", "fd00::/8"] {
        assert!(TrustedProxies::parse([narrow]).is_ok(), "{narrow}");
    }
    assert_eq!(
        TrustedProxies::parse(["0.0.0.0/1", "128.0.0.0/1"]).unwrap_err().code(),
        "client_ip.trusts_everyone"
    );
    let mapped = TrustedProxies::parse(["::ffff:10.0.0.0/104", "255.255.255.255", "10.255.0.0/16"]).unwrap();
    for (text, inside) in
        [("10.1.1.1", true), ("11.0.0.0", false), ("255.255.255.255", true), ("::a00:1", false)]
    {
        assert_eq!(mapped.contains(text.parse().unwrap()), inside, "{text}");
    }
}

/// The rule in its slowest form: all entries in one list, walked from the end.
fn reference(lines: &[String]) -> Option<IpAddr> {
    let entries: Vec<&str> = lines.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    for entry in entries.iter().rev() {
        let ip: IpAddr = entry.parse().ok()?;
        if !matches!(ip.to_canonical(), IpAddr::V4(v4) if v4.octets()[0] == 10) {
            return Some(ip.to_canonical());
        }
    }
    None
}

proptest! {
    #[test]
    fn agrees_with_the_slow_walk(lines in prop::collection::vec(
        prop::collection::vec(prop::sample::select(vec!["10.0.0.1", "10.9.9.9", "1.1.1.1", "::1", "::ffff:10.1.1.1", "x", "", " 8.8.8.8 "]), 1..5)
            .prop_map(|entries| entries.join(",")), 0..4)
    ) {
        let headers: Vec<(&str, &String)> = lines.iter().map(|line| ("x-forwarded-for", line)).collect();
        let found = rule(Source::XForwardedFor).find(proxy(), &headers).ok().map(|client| client.ip());
        prop_assert_eq!(found, reference(&lines));
    }

    /// Whatever the client puts before what our proxy appends, the answer is the proxy's or an error.
    #[test]
    fn nothing_left_of_the_answer_changes_it(prefix in "[ -~]{0,40}") {
        let headers = [("forwarded", format!("{prefix}, for=\"[2001:db8::7]\";proto=https"))];
        if let Ok(client) = rule(Source::Forwarded).find(proxy(), &headers) {
            prop_assert_eq!(client.ip(), "2001:db8::7".parse::<IpAddr>().unwrap());
        }
        let headers = [("x-forwarded-for", format!("{prefix}, 1.1.1.1"))];
        let client = rule(Source::XForwardedFor).find(proxy(), &headers).unwrap();
        prop_assert_eq!(client.ip(), "1.1.1.1".parse::<IpAddr>().unwrap());
    }

    /// The reader of dotted quads and the standard library's agree on everything near one.
    #[test]
    fn dotted_quads_are_read_as_std_reads_them(text in "[0-9]{0,4}\\.[0-9]{1,3}\\.[0-3]{1,3}\\.[0-9]{1,3}[.0-9]{0,2}") {
        let found = rule(Source::XForwardedForHops(1)).find(proxy(), &[("x-forwarded-for", &text)]);
        prop_assert_eq!(found.ok().map(|client| client.ip()), text.parse::<IpAddr>().ok());
    }

    #[test]
    fn any_bytes_get_an_answer(value in prop::collection::vec(any::<u8>(), 0..80)) {
        for source in [Source::XForwardedFor, Source::Forwarded, Source::XRealIp] {
            for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
                let _ = rule(source.clone()).find(proxy(), &[(name, &value)]);
            }
        }
    }
}

#[cfg(feature = "http")]
#[test]
fn header_maps_are_read() {
    let mut headers = http::HeaderMap::new();
    headers.append("x-forwarded-for", "6.6.6.6, 1.1.1.1".parse().unwrap());
    headers.append("x-forwarded-for", "10.0.0.2".parse().unwrap());
    let found = rule(Source::XForwardedFor).find(proxy(), &headers).unwrap();
    assert_eq!(found.ip().to_string(), "1.1.1.1");
}
