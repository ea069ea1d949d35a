//! The `Forwarded` header (RFC 7239 §4), read without allocating.
//!
//! A line is read from left to right, since only so can one know what is quoted; whoever walks from right to left
//! keeps the last element that matters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::header::{is_token, trim};

/// One element: what one proxy says of the request it received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) node: Option<Node>,
    pub(crate) proto: Option<Proto>,
}

/// Who made the request the proxy received: `for=` (RFC 7239 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Address(IpAddr),
    Obfuscated,
    Unknown,
}

/// `proto=` (RFC 7239 §5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proto {
    Http,
    Https,
    Other,
}

/// The element does not follow the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The longest value that is looked at after unquoting: the longest address with brackets and port has 54 bytes.
const MAX_VALUE_LEN: usize = 64;

/// The elements of one line, from left to right. Empty ones are skipped (RFC 9110 §5.6.1.2).
pub(crate) fn elements(line: &[u8]) -> impl Iterator<Item = Result<Element, Malformed>> {
    Elements { rest: Some(line) }
}

struct Elements<'a> {
    rest: Option<&'a [u8]>,
}

impl Iterator for Elements<'_> {
    type Item = Result<Element, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.rest.take()?;
            let Some(end) = element_end(rest) else {
                // A quote is open at the end of the line: nobody can say where this element ends.
                return Some(Err(Malformed));
            };
            let (text, after) = rest.split_at_checked(end)?;
            self.rest = after.split_first().map(|(_comma, after)| after);
            let text = trim(text);
            if !text.is_empty() {
                return Some(element(text));
            }
        }
    }
}

/// The position of the comma that ends the element, or of the end of the line.
fn element_end(text: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (position, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Some(position),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

/// `[ forwarded-pair ] *( ";" [ forwarded-pair ] )`: no white space inside, no parameter twice.
fn element(mut text: &[u8]) -> Result<Element, Malformed> {
    let mut element = Element { node: None, proto: None };
    loop {
        if !matches!(text, [] | [b';', ..]) {
            let name_len = text.iter().take_while(|byte| is_token(**byte)).count();
            let (name, rest) = text.split_at_checked(name_len).ok_or(Malformed)?;
            let [b'=', rest @ ..] = rest else { return Err(Malformed) };
            let mut buffer = [0; MAX_VALUE_LEN];
            let (value, rest) = value(rest, &mut buffer)?;
            if name.is_empty() {
                return Err(Malformed);
            } else if name.eq_ignore_ascii_case(b"for") {
                set(&mut element.node, node(value)?)?;
            } else if name.eq_ignore_ascii_case(b"proto") {
                set(&mut element.proto, proto(value))?;
            }
            text = rest;
        }
        match text {
            [] => return Ok(element),
            [b';', rest @ ..] => text = rest,
            _ => return Err(Malformed),
        }
    }
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), Malformed> {
    if field.replace(value).is_some() { Err(Malformed) } else { Ok(()) }
}

/// A token or a quoted string (RFC 9110 §5.6.4), unquoted into `buffer`, and what follows it. A value that does
/// not fit comes out as `\0`, which is no address and no scheme.
fn value<'t, 'b>(text: &'t [u8], buffer: &'b mut [u8]) -> Result<(&'b [u8], &'t [u8]), Malformed> {
    let mut kept = 0_usize;
    let mut keep = |byte: u8| {
        if let Some(slot) = buffer.get_mut(kept) {
            *slot = byte;
        }
        kept = kept.saturating_add(1);
    };
    let rest = match text {
        [b'"', quoted @ ..] => {
            let mut bytes = quoted.iter();
            loop {
                match bytes.next().ok_or(Malformed)? {
                    b'"' => break bytes.as_slice(),
                    b'\\' => match bytes.next().ok_or(Malformed)? {
                        byte @ (b'\t' | b' '..=b'~' | 0x80..) => keep(*byte),
                        _ => return Err(Malformed),
                    },
                    byte @ (b'\t' | b' '..=b'~' | 0x80..) => keep(*byte),
                    _ => return Err(Malformed),
                }
            }
        }
        token => {
            let len = token.iter().take_while(|byte| is_token(**byte)).count();
            let (token, rest) = token.split_at_checked(len).filter(|_| len > 0).ok_or(Malformed)?;
            token.iter().for_each(|byte| keep(*byte));
            rest
        }
    };
    Ok((buffer.get(..kept).unwrap_or(b"\0"), rest))
}

/// `nodename [ ":" node-port ]` (RFC 7239 §6).
fn node(text: &[u8]) -> Result<Node, Malformed> {
    let text = str::from_utf8(text).map_err(|_| Malformed)?;
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(Malformed)?;
            // `IPv6address` of RFC 3986: no zone.
            let address: Ipv6Addr = address.parse().map_err(|_| Malformed)?;
            return port_ok(port).then_some(Node::Address(IpAddr::V6(address))).ok_or(Malformed);
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if !port_ok(port) {
        return Err(Malformed);
    }
    if name.eq_ignore_ascii_case("unknown") {
        Ok(Node::Unknown)
    } else if is_obfuscated(name) {
        Ok(Node::Obfuscated)
    } else {
        name.parse::<Ipv4Addr>().map(|address| Node::Address(IpAddr::V4(address))).map_err(|_| Malformed)
    }
}

/// Nothing, or a colon and a port: one to five digits, or an obfuscated one.
fn port_ok(text: &str) -> bool {
    match text.strip_prefix(':') {
        None => text.is_empty(),
        Some(port) => {
            let digits = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
            digits || is_obfuscated(port)
        }
    }
}

/// `"_" 1*( ALPHA / DIGIT / "." / "_" / "-" )` (RFC 7239 §6.3).
fn is_obfuscated(text: &str) -> bool {
    text.strip_prefix('_').is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    })
}

fn proto(text: &[u8]) -> Proto {
    if text.eq_ignore_ascii_case(b"https") {
        Proto::Https
    } else if text.eq_ignore_ascii_case(b"http") {
        Proto::Http
    } else {
        Proto::Other
    }
}
