//! `ClientIp::find` over `X-Forwarded-For` and `Forwarded`; one header line per line of input.
//!
//! Oracle: `X-Forwarded-For` is read as a slow reference reads it: over all lines, from the right, the first
//! address that is no proxy, or nothing once an entry is none. `Forwarded`: the answer is no proxy, and whatever
//! a client writes in front, as a line of its own or on the same line, does not make it another address.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
use libfuzzer_sys::fuzz_target;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
static PROXIES: LazyLock<TrustedProxies> =
    LazyLock::new(|| TrustedProxies::parse(["10.0.0.0/8", "2001:db8::/32"]).unwrap());
static LIST: LazyLock<ClientIp> =
    LazyLock::new(|| ClientIp::new(PROXIES.clone(), Source::XForwardedFor).unwrap());
static FORWARDED: LazyLock<ClientIp> =
    LazyLock::new(|| ClientIp::new(PROXIES.clone(), Source::Forwarded).unwrap());

fn find(rule: &ClientIp, name: &'static str, lines: &[&[u8]]) -> Option<IpAddr> {
    let headers: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
    rule.find(PEER, &headers).ok().map(|client| client.ip())
}

fn slow_address(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let is_port = |port: &str| {
        port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
    };
    let host = match text.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => is_port(port).then_some(host)?,
        _ => text,
    };
    if let Ok(v4) = host.parse::<Ipv4Addr>() {
        return Some(v4.into());
    }
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None => host,
    };
    let (address, zone) = host.split_once('%').unwrap_or((host, "none"));
    let is_zone = !zone.is_empty() && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    address.parse::<Ipv6Addr>().ok().filter(|_| is_zone).map(IpAddr::V6)
}

fn slow_list(lines: &[&[u8]]) -> Option<IpAddr> {
    let mut entries: Vec<&[u8]> = lines.iter().flat_map(|line| line.split(|b| *b == b',')).collect();
    while let Some(entry) = entries.pop() {
        let ip = slow_address(entry)?;
        if !PROXIES.contains(ip) {
            return Some(ip);
        }
    }
    None
}

fuzz_target!(|input: &[u8]| {
    let lines: Vec<&[u8]> = input.split(|b| *b == b'\n').collect();
    assert_eq!(find(&LIST, "x-forwarded-for", &lines), slow_list(&lines));

    let Some((written_by_client, ours)) = lines.split_first() else { return };
    if let Some(ip) = find(&FORWARDED, "forwarded", ours) {
        assert!(!PROXIES.contains(ip));
        assert_eq!(find(&FORWARDED, "forwarded", &lines), Some(ip));
        // Our proxies write no backslash; a client's open quote could make one of theirs mean something else.
        if let [first, rest @ ..] = ours
            && !first.contains(&b'\\')
        {
            let joined = [written_by_client, *first].join(&b',');
            let found = find(&FORWARDED, "forwarded", &[&[joined.as_slice()], rest].concat());
            assert!(found.is_none_or(|found| found == ip));
        }
    }
});
