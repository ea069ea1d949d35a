//! The client's address behind proxies.
//!
//! 1. The peer must be one of our own proxies ([`TrustedProxies`]); otherwise it *is* the client, whatever the
//!    headers say.
//! 2. Then one configured [`Source`] speaks, and no other: a list of headers to try is a list of ways to lie.
//! 3. Lists are read from right to left, over all lines: each proxy appends whom it saw, so the first address
//!    that is none of our proxies is the client. What stands left of it was written by the client.
//! 4. An entry that cannot be read is an error, not skipped: behind it anybody may have written anything. So is
//!    the second line of a header that can have only one.
//!
//! ```
//! use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
//!
//! let behind_proxy = ClientIp::new(TrustedProxies::parse(["10.0.0.0/8"])?, Source::XForwardedFor)?;
//!
//! let headers = [("X-Forwarded-For", "1.1.1.1, 198.51.100.7"), ("X-Forwarded-For", "10.0.0.2:4711")];
//! let client = behind_proxy.find("10.0.0.1".parse().unwrap(), &headers).unwrap();
//! assert_eq!(client.ip().to_string(), "198.51.100.7");
//!
//! // Not from a proxy of ours: the headers are the client's own words.
//! let client = behind_proxy.find("192.0.2.9".parse().unwrap(), &headers).unwrap();
//! assert_eq!(client.ip().to_string(), "192.0.2.9");
//!
//! let headers = [("X-Forwarded-For", "198.51.100.7, oops, 10.0.0.2")];
//! let error = behind_proxy.find("10.0.0.1".parse().unwrap(), &headers).unwrap_err();
//! assert_eq!(error.code(), "client_ip.malformed");
//! # Ok::<(), compliance_geo::client_ip::ClientIpConfigError>(())
//! ```

pub(crate) mod forwarded;
mod header;
mod proxies;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;
use compliance_core::request::{AddressSource, ClientAddress};

use forwarded::Node;
pub(crate) use header::trim;
pub use header::{FieldName, Headers};
pub use proxies::{ClientIpConfigError, TrustedProxies};

/// Who says what the client's address is. Exactly one does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// `CF-Connecting-IP`, set by Cloudflare's edge. Needs the proof that requests came through your own zone.
    CfConnectingIp(OriginProof),
    /// `Forwarded` (RFC 7239), right to left, first address that is no proxy of ours.
    Forwarded,
    /// Nobody: there is no proxy, the peer is the client.
    Peer,
    /// A header with one address, set by your own proxy, which must remove what the client sent under that name.
    SingleHeader(FieldName),
    /// `True-Client-IP`, set by Akamai or Cloudflare where enabled. A client can set it elsewhere, hence the proof.
    TrueClientIp(OriginProof),
    /// `X-Forwarded-For`, right to left, first address that is no proxy of ours.
    XForwardedFor,
    /// `X-Forwarded-For`, the entry at this place from the right, from 1. For load balancers whose addresses are
    /// not known: Google Cloud's client is at place 2. At most [`ClientIp::MAX_HOPS`].
    XForwardedForHops(u8),
    /// `X-Real-IP`, as nginx sets it.
    XRealIp,
}

/// What proves that a request reached the origin through your own zone of a shared edge.
///
/// Ranges alone do not: anybody with an account at the same provider can point its edge at your origin, and the
/// edge then vouches for an address that the attacker chose. The operator states here what is in place; nothing in
/// a request can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OriginProof {
    /// The origin accepts only connections with a client certificate of your own zone (Cloudflare: *authenticated
    /// origin pulls* with a certificate of yours, not the shared one).
    ClientCertificate,
    /// The origin is reachable only through a tunnel that your zone holds.
    Tunnel,
}

/// The rule by which the client's address is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIp {
    proxies: TrustedProxies,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Forwarded(FieldName),
    Hops(FieldName, u8),
    Peer,
    Rightmost(FieldName),
    Single(FieldName, Edge),
}

/// Whose peculiarities to look for in a single-value header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    Cloudflare,
    Other,
}

/// The address from which one Cloudflare zone's Worker reaches another zone: no client at all.
const CLOUDFLARE_WORKER: Ipv6Addr = Ipv6Addr::new(0x2a06, 0x98c0, 0x3600, 0, 0, 0, 0, 0x103);

impl ClientIp {
    /// The largest place for [`Source::XForwardedForHops`].
    pub const MAX_HOPS: u8 = 32;

    /// A rule for requests that come through `proxies`.
    ///
    /// # Errors
    /// [`ClientIpConfigError`] for a rule that could never match: `client_ip.no_proxies` when a header is to be
    /// read but nobody may set it, `client_ip.hops` outside 1 to [`MAX_HOPS`](Self::MAX_HOPS).
    pub fn new(proxies: TrustedProxies, source: Source) -> Result<Self, ClientIpConfigError> {
        let name = |text: &'static str| FieldName::parse(text).ok_or(ClientIpConfigError::HeaderName);
        let rule = match source {
            Source::CfConnectingIp(_) => Rule::Single(name("cf-connecting-ip")?, Edge::Cloudflare),
            Source::Forwarded => Rule::Forwarded(name("forwarded")?),
            Source::Peer => Rule::Peer,
            Source::SingleHeader(name) => Rule::Single(name, Edge::Other),
            Source::TrueClientIp(_) => Rule::Single(name("true-client-ip")?, Edge::Cloudflare),
            Source::XForwardedFor => Rule::Rightmost(name("x-forwarded-for")?),
            Source::XForwardedForHops(hops) if (1..=Self::MAX_HOPS).contains(&hops) => {
                Rule::Hops(name("x-forwarded-for")?, hops)
            }
            Source::XForwardedForHops(found) => return Err(ClientIpConfigError::Hops { found }),
            Source::XRealIp => Rule::Single(name("x-real-ip")?, Edge::Other),
        };
        if proxies.is_empty() && rule != Rule::Peer {
            return Err(ClientIpConfigError::NoProxies);
        }
        Ok(Self { proxies, rule })
    }

    /// A rule for a service without any proxy: the peer is the client.
    #[must_use]
    pub fn peer() -> Self {
        Self { proxies: TrustedProxies::default(), rule: Rule::Peer }
    }

    /// The proxies.
    #[must_use]
    pub fn proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// Finds the client of a request that `peer` made.
    ///
    /// IPv4-mapped addresses become IPv4; ports and zone ids are read and dropped. Allocates nothing.
    ///
    /// # Errors
    /// [`ClientIpError`] when a proxy of ours made the request, but what it says cannot be used.
    ///
    /// # Security
    /// Everything left of the answer is the client's own text and is not even parsed where the grammar allows. A
    /// proxy that passes a client's single-value header through, or that can be reached from outside under a
    /// trusted address, hands the choice of address to the client: no rule here can see that.
    #[inline]
    pub fn find(
        &self,
        peer: IpAddr,
        headers: &(impl Headers + ?Sized),
    ) -> Result<ClientAddress, ClientIpError> {
        if matches!(self.rule, Rule::Peer) || !self.proxies.contains(peer) {
            return Ok(ClientAddress::new(peer, AddressSource::Peer));
        }
        let found = match &self.rule {
            Rule::Forwarded(name) => self.in_forwarded(name, headers),
            Rule::Hops(name, hops) => self.in_list(name, headers, Some(*hops)),
            Rule::Peer => Ok(peer),
            Rule::Rightmost(name) => self.in_list(name, headers, None),
            Rule::Single(name, edge) => in_single(name, headers, *edge),
        };
        Ok(ClientAddress::new(found?, AddressSource::Header))
    }

    #[inline]
    fn in_list(
        &self,
        name: &FieldName,
        headers: &(impl Headers + ?Sized),
        hops: Option<u8>,
    ) -> Result<IpAddr, ClientIpError> {
        let mut place = 0_usize;
        for line in headers.lines(name).rev() {
            let mut rest = Some(line);
            while let Some(line) = rest {
                // Entries are short: a search that sets out to be fast takes longer to begin.
                let (entry, before) = match line.iter().rposition(|byte| *byte == b',') {
                    Some(comma) => {
                        let (before, entry) = line.split_at_checked(comma).unwrap_or_default();
                        (entry.get(1..).unwrap_or_default(), Some(before))
                    }
                    None => (line, None),
                };
                rest = before;
                place = place.saturating_add(1);
                let entry = trim(entry);
                // Most entries are plain IPv4: those are judged without ever becoming an `IpAddr`.
                let (ip, ours) = match ipv4(entry) {
                    Some((ip, [])) => (Ok(ip), self.proxies.contains_v4(ip)),
                    _ => {
                        let ip = address(entry).map_err(|kind| ClientIpError { kind, place })?;
                        (Err(ip), self.proxies.contains(ip))
                    }
                };
                if hops.map_or(!ours, |hops| place == usize::from(hops)) {
                    return Ok(ip.map_or_else(|ip| ip, IpAddr::V4));
                }
            }
        }
        let kind = match (place, hops) {
            (0, _) => ClientIpErrorKind::Missing,
            (_, None) => ClientIpErrorKind::OnlyProxies,
            (_, Some(_)) => ClientIpErrorKind::TooFewHops,
        };
        Err(ClientIpError { kind, place })
    }

    fn in_forwarded(
        &self,
        name: &FieldName,
        headers: &(impl Headers + ?Sized),
    ) -> Result<IpAddr, ClientIpError> {
        let mut before = 0_usize;
        for line in headers.lines(name).rev() {
            // Left to right inside a line: the last element that is none of our proxies is the first from the right.
            let mut answer = None;
            let mut after = 0_usize;
            for element in forwarded::elements(line) {
                after = after.saturating_add(1);
                let found = match element.map(|element| element.node) {
                    Ok(Some(Node::Address(ip))) if self.proxies.contains(ip) => continue,
                    Ok(Some(Node::Address(ip))) => Ok(ip),
                    Ok(Some(Node::Obfuscated)) => Err(ClientIpErrorKind::Obfuscated),
                    Ok(Some(Node::Unknown)) => Err(ClientIpErrorKind::Unknown),
                    Ok(None) => Err(ClientIpErrorKind::Unknown),
                    Err(forwarded::Malformed) => Err(ClientIpErrorKind::Malformed),
                };
                (answer, after) = (Some(found), 0);
            }
            if let Some(found) = answer {
                let place = before.saturating_add(after).saturating_add(1);
                return found.map_err(|kind| ClientIpError { kind, place });
            }
            before = before.saturating_add(after);
        }
        let kind = if before == 0 { ClientIpErrorKind::Missing } else { ClientIpErrorKind::OnlyProxies };
        Err(ClientIpError { kind, place: before })
    }
}

fn in_single(
    name: &FieldName,
    headers: &(impl Headers + ?Sized),
    edge: Edge,
) -> Result<IpAddr, ClientIpError> {
    let error = |kind| ClientIpError { kind, place: 1 };
    let mut lines = headers.lines(name);
    let line = lines.next().ok_or(ClientIpError { kind: ClientIpErrorKind::Missing, place: 0 })?;
    if lines.next().is_some() {
        return Err(error(ClientIpErrorKind::Duplicate));
    }
    let ip = address(trim(line)).map_err(error)?.to_canonical();
    match (edge, ip) {
        (Edge::Cloudflare, IpAddr::V6(CLOUDFLARE_WORKER)) => Err(error(ClientIpErrorKind::CloudflareWorker)),
        (Edge::Cloudflare, IpAddr::V4(v4)) if v4.octets() >= [240, 0, 0, 0] => {
            Err(error(ClientIpErrorKind::PseudoIpv4))
        }
        _ => Ok(ip),
    }
}

/// An address as proxies write it: plain, with a port, in brackets, with a zone.
#[inline]
fn address(text: &[u8]) -> Result<IpAddr, ClientIpErrorKind> {
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
fn ipv4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
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

/// The client's address could not be established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client address not established: {kind} (entry {place} from the right)")]
pub struct ClientIpError {
    kind: ClientIpErrorKind,
    place: usize,
}

/// Why the client's address could not be established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ClientIpErrorKind {
    /// The request was made by another Cloudflare customer's Worker.
    #[error("the header holds the address that stands for another zone's Cloudflare Worker")]
    CloudflareWorker,
    /// The header can have one line, and has more.
    #[error("the header occurs more than once")]
    Duplicate,
    /// An entry that had to be read is no address.
    #[error("an entry is no IP address")]
    Malformed,
    /// The proxy did not set the header.
    #[error("the trusted proxy sent no such header")]
    Missing,
    /// A proxy hides whom it saw (RFC 7239 §6.3).
    #[error("an entry is obfuscated")]
    Obfuscated,
    /// Every entry is one of our own proxies.
    #[error("every entry is a trusted proxy")]
    OnlyProxies,
    /// Cloudflare replaced an IPv6 address by one from 240.0.0.0/4 (*Pseudo IPv4*).
    #[error("the header holds a made-up address from 240.0.0.0/4")]
    PseudoIpv4,
    /// Fewer entries than hops.
    #[error("there are fewer entries than hops")]
    TooFewHops,
    /// A proxy does not know, or does not say, whom it saw (RFC 7239 §6.2).
    #[error("an entry says that the address is unknown")]
    Unknown,
}

impl ClientIpError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> ClientIpErrorKind {
        self.kind
    }

    /// Which entry, counted from the right, from 1; 0 when there was none to blame.
    #[must_use]
    pub fn place(&self) -> usize {
        self.place
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.code().as_str()
    }
}

impl Reason for ClientIpErrorKind {
    fn code(&self) -> ReasonCode {
        match self {
            Self::CloudflareWorker => reason_code!("client_ip.cloudflare_worker"),
            Self::Duplicate => reason_code!("client_ip.duplicate"),
            Self::Malformed => reason_code!("client_ip.malformed"),
            Self::Missing => reason_code!("client_ip.missing"),
            Self::Obfuscated => reason_code!("client_ip.obfuscated"),
            Self::OnlyProxies => reason_code!("client_ip.only_proxies"),
            Self::PseudoIpv4 => reason_code!("client_ip.pseudo_ipv4"),
            Self::TooFewHops => reason_code!("client_ip.too_few_hops"),
            Self::Unknown => reason_code!("client_ip.unknown"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        reason_code!("client_ip.refused")
    }
}
