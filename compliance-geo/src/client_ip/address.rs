//! One address, as proxies write it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ClientIpErrorKind;

/// An address as proxies write it: plain, with a port, in brackets, with a zone.
#[inline]
pub(super) fn address(text: &[u8]) -> Result<IpAddr, ClientIpErrorKind> {
    match ipv4(text) {
        Some((ip, [])) => Ok(IpAddr::V4(ip)),
        Some((ip, [b':', port @ ..])) if is_port(port) => Ok(IpAddr::V4(ip)),
        _ => other_address(text),
    }
}

fn other_address(text: &[u8]) -> Result<IpAddr, ClientIpErrorKind> {
    let malformed = ClientIpErrorKind::Malformed;
    if text.eq_ignore_ascii_case(b"unknown") {
        return Err(ClientIpErrorKind::Unknown);
    }
    let text = str::from_utf8(text).map_err(|_| malformed)?;
    let address = match text.strip_prefix('[') {
        None => text,
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(malformed)?;
            if !port.is_empty() {
                port.strip_prefix(':').filter(|port| is_port(port.as_bytes())).ok_or(malformed)?;
            }
            address
        }
    };
    // The zone says which of our own links an address is on; it is no part of who the client is.
    let (address, zone) = address.split_once('%').unwrap_or((address, "-"));
    let address = address.parse::<Ipv6Addr>().ok().filter(|_| is_zone(zone));
    address.map(IpAddr::V6).ok_or(malformed)
}

/// A `ZoneID` of RFC 6874 §2 without percent-encoding: `unreserved` characters.
fn is_zone(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// A dotted quad (RFC 3986 §3.2.2: no leading zeros) and what follows it.
#[inline]
pub(super) fn ipv4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (a, [b'.', rest @ ..]) = octet(text)? else { return None };
    let (b, [b'.', rest @ ..]) = octet(rest)? else { return None };
    let (c, [b'.', rest @ ..]) = octet(rest)? else { return None };
    let (d, rest) = octet(rest)?;
    Some((Ipv4Addr::new(a, b, c, d), rest))
}

/// One to three digits without a leading zero, up to 255, and what follows them.
#[inline]
fn octet(text: &[u8]) -> Option<(u8, &[u8])> {
    let digit = |byte: u8| byte.wrapping_sub(b'0');
    let (a, rest) = text.split_first()?;
    let a = digit(*a);
    if a > 9 {
        return None;
    }
    let Some((b, tail)) = rest.split_first().map(|(b, tail)| (digit(*b), tail)).filter(|(b, _)| *b < 10)
    else {
        return Some((a, rest));
    };
    if a == 0 {
        return None;
    }
    let two = a.wrapping_mul(10).wrapping_add(b);
    let Some((c, rest)) = tail.split_first().map(|(c, rest)| (digit(*c), rest)).filter(|(c, _)| *c < 10)
    else {
        return Some((two, tail));
    };
    Some((two.checked_mul(10)?.checked_add(c)?, rest))
}

fn is_port(text: &[u8]) -> bool {
    let port = str::from_utf8(text).ok().filter(|text| text.len() <= 5 && !text.starts_with('+'));
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}
