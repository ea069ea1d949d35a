//! Addresses of machines.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::detector::Detector;
use super::super::text::{ALNUM, DIGIT, HEX, LOWER, Text, UPPER, WORD};
use super::super::words::WordSet;
use super::{BEHIND, Scan};

/// An IPv4 address whose first digit stands at `start`. Tells whether one stands there, be it kept or not.
pub(crate) fn ipv4(scan: &mut Scan<'_, '_>, start: usize) -> bool {
    let text = scan.text;
    let Some((address, end)) = read_ipv4(text, start) else { return false };
    if kept_v4(address) {
        return true;
    }
    let before = text.before(start);
    // `1.2.3.4.5` and `v1.2.3.4` are versions, `::1.2.3.4` belongs to an IPv6 address.
    let glued = (before == b'.' && text.is_before(start.wrapping_sub(1), DIGIT))
        || (before == b':' && text.before(start.wrapping_sub(1)) == b':')
        || before == b'_';
    let network = text.at(end) == b'/' && is_network(text, end, u32::from(address).trailing_zeros(), 24, 32);
    if network {
        scan.hangs_on(start, start, end.saturating_add(BEHIND));
    }
    if !glued && !network && !is_file(text, start, end) && !scan.is_version(start) {
        scan.hit(start, end, Detector::Ipv4);
    }
    true
}

/// Whether a number of four parts is the version in a library's or package's name: `foo-1.2.3.4.jar`, `libfoo.so.1.2.3.4`.
fn is_file(text: Text<'_>, start: usize, end: usize) -> bool {
    static PACKAGES: WordSet = WordSet::new(&[
        "jar", "war", "whl", "tar", "tgz", "gz", "zip", "deb", "rpm", "apk", "dll", "exe", "msi", "nupkg",
        "gem",
    ]);
    let named = text.before(start) == b'-' && text.is_before(start.wrapping_sub(1), UPPER | LOWER);
    let ending = end.wrapping_add(1);
    let package = || PACKAGES.has(text.slice(ending, text.run_end(ending, LOWER | DIGIT, 8)));
    (named && text.at(end) == b'.' && package()) || text.has(start.wrapping_sub(4), b".so.")
}

/// Four decimal octets with points between and a boundary after them.
fn read_ipv4(text: Text<'_>, start: usize) -> Option<(Ipv4Addr, usize)> {
    let mut octets = [0_u8; 4];
    let mut at = start;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            if text.at(at) != b'.' {
                return None;
            }
            at = at.wrapping_add(1);
        }
        let end = text.run_end(at, DIGIT, 4);
        let value = text
            .slice(at, end)
            .iter()
            .fold(0_u32, |value, byte| value.wrapping_mul(10).wrapping_add(u32::from(byte & 0x0f)));
        if !(1..=3).contains(&end.wrapping_sub(at)) {
            return None;
        }
        *octet = u8::try_from(value).ok()?;
        at = end;
    }
    let after = text.at(at);
    let longer = text.is(at, ALNUM)
        || after == b'_'
        || (matches!(after, b'.' | b'-')
            && text.is(at.wrapping_add(1), DIGIT)
            && !is_traced(text, start, at));
    (!longer).then_some((Ipv4Addr::from(octets), at))
}

/// Whether a port follows the address at `start..end` as tcpdump writes it: `203.0.113.7.443 > 203.0.113.9.51514:`.
fn is_traced(text: Text<'_>, start: usize, end: usize) -> bool {
    let port = text.run_end(end.wrapping_add(1), DIGIT, 6);
    text.at(end) == b'.'
        && (text.has(port, b" > ") || (text.has(start.wrapping_sub(2), b"> ") && text.at(port) == b':'))
}

/// Whether a prefix length follows at `slash` that leaves only zeroes of the address behind it, and is no longer
/// than `longest`: a network of many, and nobody's address.
fn is_network(text: Text<'_>, slash: usize, zeros: u32, longest: u32, bits: u32) -> bool {
    let start = slash.wrapping_add(1);
    let end = text.run_end(start, DIGIT, 4);
    let prefix = text.str(start, end).parse::<u32>().unwrap_or(u32::MAX);
    prefix <= longest && zeros >= bits.saturating_sub(prefix)
}

/// Addresses that lead to nobody: private (RFC 1918), loopback, unspecified, multicast (RFC 5771), and those whose last 24
/// bits are zero: masks, networks, and the versions of browsers, `Chrome/120.0.0.0`.
fn kept_v4(address: Ipv4Addr) -> bool {
    let bits = u32::from(address);
    let netmask = bits.leading_ones().saturating_add(bits.trailing_zeros()) >= 32;
    address.is_private()
        || address.is_loopback()
        || address.is_multicast()
        || address.octets().first() == Some(&0)
        || bits.trailing_zeros() >= 24
        || netmask
}

/// An IPv6 address around the colon at `colon`.
pub(crate) fn ipv6(scan: &mut Scan<'_, '_>, colon: usize) {
    let text = scan.text;
    if colon < scan.address {
        return;
    }
    let mut start = colon;
    while colon.wrapping_sub(start) < 40 && (text.is_before(start, HEX) || text.before(start) == b':') {
        start = start.wrapping_sub(1);
    }
    // `at: fe80::1`, `x::y`: a colon that belongs to something else stands before the address.
    while text.at(start) == b':' && text.at(start.wrapping_add(1)) != b':' {
        start = start.wrapping_add(1);
    }
    if text.is_before(start, WORD) || text.before(start) == b'_' {
        return;
    }
    let mut end = start;
    while end.wrapping_sub(start) < 46 && (text.is(end, HEX) || matches!(text.at(end), b':' | b'.')) {
        end = end.wrapping_add(1);
    }
    scan.address = end;
    // A point or colon behind the address is punctuation, a port, or a reason.
    scan.hangs_on(colon, start.saturating_sub(1), end.saturating_add(BEHIND));
    let run = text.str(start, end);
    let Some((address, length)) = longest_ipv6(run) else { return };
    let end = start.wrapping_add(length);
    let colons = text.slice(start, end).iter().filter(|byte| **byte == b':').count();
    let digits = text.slice(start, end).iter().any(u8::is_ascii_digit);
    if text.is(end, WORD) || text.at(end) == b'_' || (!digits && colons < 4) || kept_v6(address) {
        return;
    }
    if text.at(end) == b'/' && is_network(text, end, u128::from(address).trailing_zeros(), 48, 128) {
        return;
    }
    let mut zone_end = end;
    if text.at(end) == b'%' && !text.is(end.wrapping_add(1), HEX) {
        zone_end = text.run_end(end.wrapping_add(1), WORD, 16);
    }
    scan.hit(start, zone_end, Detector::Ipv6);
}

/// The longest start of `run` that is an address, less trailing punctuation.
fn longest_ipv6(run: &str) -> Option<(Ipv6Addr, usize)> {
    let mut candidate = run;
    loop {
        if let Ok(address) = candidate.parse() {
            return Some((address, candidate.len()));
        }
        let cut = candidate.rfind([':', '.'])?;
        candidate = candidate.get(..cut)?;
        if candidate.len() < 3 {
            return None;
        }
    }
}

/// Loopback, unspecified, multicast (RFC 4291 section 2.7), and an IPv4-mapped address that is kept itself.
fn kept_v6(address: Ipv6Addr) -> bool {
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.to_ipv4_mapped().is_some_and(kept_v4)
}

/// A hardware address without separators behind a word for one, which ends at `end`: `mac=001b44113ab7`.
pub(crate) fn announced_mac(scan: &mut Scan<'_, '_>, end: usize) {
    let text = scan.text;
    let start = scan.value_after(end);
    let stop = text.run_end(start, HEX, 13);
    let digits = text.slice(start, stop).iter().filter(|byte| byte.is_ascii_digit()).count();
    if start > end
        && stop.wrapping_sub(start) == 12
        && digits > 1
        && !text.is(stop, WORD)
        && text.at(stop) != b'_'
    {
        scan.hit(start, stop, Detector::Mac);
    }
}

/// A hardware address whose first pair ends before the separator at `at`: six or eight pairs, or Cisco's
/// three groups of four.
pub(crate) fn mac(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    let separator = text.at(at);
    let width = if separator == b'.' { 4_usize } else { 2 };
    let step = width.wrapping_add(1);
    let start = at.wrapping_sub(width);
    if text.run_start(at, HEX, 5) != start || text.is_before(start, WORD) || text.before(start) == b'_' {
        return;
    }
    if text.before(start) == separator && text.is_before(start.wrapping_sub(1), HEX) {
        return;
    }
    let mut end = at;
    let mut groups = 1_usize;
    while groups < 21
        && text.at(end) == separator
        && text.run_end(end.wrapping_add(1), HEX, 5) == end.wrapping_add(step)
    {
        end = end.wrapping_add(step);
        groups = groups.wrapping_add(1);
    }
    let fits = if width == 4 { groups == 3 } else { groups == 6 || groups == 8 };
    let after = text.at(end);
    let longer =
        text.is(end, WORD) || after == b'_' || (after == separator && text.is(end.wrapping_add(1), HEX));
    let bytes = || text.slice(start, end).iter().filter(|byte| **byte != separator);
    let blank = bytes().all(|byte| *byte == b'0') || bytes().all(|byte| byte.eq_ignore_ascii_case(&b'f'));
    if fits && !longer && !blank {
        scan.hit(start, end, Detector::Mac);
    } else if fits {
        scan.hangs_on(at, start, end.saturating_add(BEHIND));
    }
}
