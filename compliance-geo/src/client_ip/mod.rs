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
//! use std::net::IpAddr;
//!
//! use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
//!
//! let behind_proxy = ClientIp::new(TrustedProxies::parse(["10.0.0.0/8"])?, Source::XForwardedFor)?;
//!
//! let (proxy, stranger): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "192.0.2.9".parse().unwrap());
//! let headers = [("X-Forwarded-For", "1.1.1.1, 198.51.100.7"), ("X-Forwarded-For", "10.0.0.2:4711")];
//! let client = behind_proxy.find(proxy, &headers).unwrap();
//! assert_eq!(client.ip().to_string(), "198.51.100.7");
//!
//! // Not from a proxy of ours: the headers are the client's own words.
//! let client = behind_proxy.find(stranger, &headers).unwrap();
//! assert_eq!(client.ip().to_string(), "192.0.2.9");
//!
//! let headers = [("X-Forwarded-For", "198.51.100.7, oops, 10.0.0.2")];
//! let error = behind_proxy.find(proxy, &headers).unwrap_err();
//! assert_eq!(error.code(), "client_ip.malformed");
//! # Ok::<(), compliance_geo::client_ip::ClientIpConfigError>(())
//! ```

mod address;
mod cloudflare;
mod error;
pub(crate) mod forwarded;
mod header;
mod proxies;

use std::net::IpAddr;

use compliance_core::request::{AddressSource, ClientAddress};

use address::{address, ipv4};
use cloudflare::Edge;
pub use cloudflare::EdgeCountry;
pub use error::{ClientIpConfigError, ClientIpError, ClientIpErrorKind};
use forwarded::Node;
pub(crate) use header::trim;
pub use header::{FieldName, Headers};
pub use proxies::TrustedProxies;

/// Who made the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever asks about a peer must say what a socket without address means"
)]
pub enum Peer {
    /// Somebody at this address.
    Ip(IpAddr),
    /// Somebody on this machine, over a Unix socket: there is no address.
    UnixSocket,
}

impl From<IpAddr> for Peer {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

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
    Edge(Box<Edge>),
    Forwarded(FieldName),
    Hops(FieldName, u8),
    Peer,
    Rightmost(FieldName),
    Single(FieldName),
}

impl ClientIp {
    /// The largest place for [`Source::XForwardedForHops`].
    pub const MAX_HOPS: u8 = 32;

    /// A rule for requests that come through `proxies`.
    ///
    /// # Errors
    /// [`ClientIpConfigError`] for a rule that could never match, or would believe anybody:
    ///
    /// - `client_ip.no_proxies`: a header is to be read, but nobody may set it;
    /// - `client_ip.unused_proxies`: proxies are named, but [`Source::Peer`] makes each of them the client;
    /// - `client_ip.no_origin_proof`: Cloudflare's networks are trusted, or one of its headers is read, under a
    ///   source that names no [`OriginProof`];
    /// - `client_ip.tunnel_peer`: a tunnel is the proof, but only Cloudflare's networks are trusted, from which a
    ///   tunnel's requests never come;
    /// - `client_ip.hops`: outside 1 to [`MAX_HOPS`](Self::MAX_HOPS).
    pub fn new(proxies: TrustedProxies, source: Source) -> Result<Self, ClientIpConfigError> {
        let name = |text: &'static str| FieldName::parse(text).ok_or(ClientIpConfigError::HeaderName);
        let edge = |edge: Option<Edge>| edge.map(Box::new).ok_or(ClientIpConfigError::HeaderName);
        let proof = match source {
            Source::CfConnectingIp(proof) | Source::TrueClientIp(proof) => Some(proof),
            _ => None,
        };
        let rule = match source {
            Source::CfConnectingIp(_) => Rule::Edge(edge(Edge::cloudflare())?),
            Source::Forwarded => Rule::Forwarded(name("forwarded")?),
            Source::Peer => Rule::Peer,
            Source::SingleHeader(name) => {
                cloudflare::check_name(&name)?;
                Rule::Single(name)
            }
            Source::TrueClientIp(_) => Rule::Edge(edge(Edge::true_client())?),
            Source::XForwardedFor => Rule::Rightmost(name("x-forwarded-for")?),
            Source::XForwardedForHops(hops) if (1..=Self::MAX_HOPS).contains(&hops) => {
                Rule::Hops(name("x-forwarded-for")?, hops)
            }
            Source::XForwardedForHops(found) => return Err(ClientIpConfigError::Hops { found }),
            Source::XRealIp => Rule::Single(name("x-real-ip")?),
        };
        match (proxies.is_empty(), rule == Rule::Peer, proof) {
            (true, false, _) => Err(ClientIpConfigError::NoProxies),
            (false, true, _) => Err(ClientIpConfigError::UnusedProxies),
            (_, _, None) if proxies.has_shared_edge() => Err(ClientIpConfigError::NoOriginProof),
            (_, _, Some(OriginProof::Tunnel)) if proxies.only_shared_edge() => {
                Err(ClientIpConfigError::TunnelPeer)
            }
            _ => Ok(Self { proxies, rule }),
        }
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
    /// IPv4-mapped addresses become IPv4; ports and zone ids are read and dropped. Under
    /// [`Source::CfConnectingIp`], an address that Cloudflare made up (*Pseudo IPv4*) gives way to the one it stands
    /// for, from `CF-Connecting-IPv6`. Allocates nothing.
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
        peer: impl Into<Peer>,
        headers: &(impl Headers + ?Sized),
    ) -> Result<ClientAddress, ClientIpError> {
        let no_address = ClientIpError::new(ClientIpErrorKind::UnixSocket, 0);
        match peer.into() {
            Peer::Ip(ip) if matches!(self.rule, Rule::Peer) || !self.proxies.contains(ip) => {
                return Ok(ClientAddress::new(ip, AddressSource::Peer));
            }
            Peer::UnixSocket if !self.proxies.trusts_unix_socket() => return Err(no_address),
            Peer::Ip(_) | Peer::UnixSocket => {}
        }
        let found = match &self.rule {
            Rule::Edge(edge) => edge.client(headers),
            Rule::Forwarded(name) => self.in_forwarded(name, headers),
            Rule::Hops(name, hops) => self.in_list(name, headers, Some(*hops)),
            // A rule that looks at the peer trusts nobody, so nobody gets here.
            Rule::Peer => Err(no_address),
            Rule::Rightmost(name) => self.in_list(name, headers, None),
            Rule::Single(name) => single(name, headers),
        };
        Ok(ClientAddress::new(found?, AddressSource::Header))
    }

    /// Reads Cloudflare's `CF-IPCountry`, too, for [`edge_country`](Self::edge_country).
    ///
    /// # Errors
    /// [`ClientIpConfigError`] `client_ip.no_origin_proof` for any source but [`Source::CfConnectingIp`].
    ///
    /// # Security
    /// Switch it on only where the zone adds the header (*IP geolocation*): where it does not, a client's own may
    /// come through.
    pub fn with_edge_country(self) -> Result<Self, ClientIpConfigError> {
        let Rule::Edge(edge) = self.rule else { return Err(ClientIpConfigError::NoOriginProof) };
        let edge = edge.with_country().ok_or(ClientIpConfigError::NoOriginProof)?;
        Ok(Self { proxies: self.proxies, rule: Rule::Edge(Box::new(edge)) })
    }

    /// What the edge says of the client's country: only after [`with_edge_country`](Self::with_edge_country), and from
    /// a trusted peer. Without the header nobody knows: [`EdgeCountry::Unknown`].
    ///
    /// ```
    /// use std::net::IpAddr;
    ///
    /// use compliance_geo::client_ip::{ClientIp, EdgeCountry, OriginProof, Source, TrustedProxies};
    ///
    /// let source = Source::CfConnectingIp(OriginProof::ClientCertificate);
    /// let rule = ClientIp::new(TrustedProxies::cloudflare()?, source)?.with_edge_country()?;
    /// let headers = [("CF-Connecting-IP", "198.51.100.7"), ("CF-IPCountry", "T1")];
    /// let (edge, stranger): (IpAddr, IpAddr) = ("172.64.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
    ///
    /// assert_eq!(rule.edge_country(edge, &headers), Ok(Some(EdgeCountry::Tor)));
    /// assert_eq!(rule.edge_country(stranger, &headers), Ok(None));
    /// # Ok::<(), compliance_geo::client_ip::ClientIpConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ClientIpError`] `client_ip.duplicate` for two such headers, `client_ip.malformed` for what is not two capital
    /// letters or digits: the edge wrote neither.
    pub fn edge_country(
        &self,
        peer: impl Into<Peer>,
        headers: &(impl Headers + ?Sized),
    ) -> Result<Option<EdgeCountry>, ClientIpError> {
        match &self.rule {
            Rule::Edge(edge) if self.proxies.contains_peer(peer.into()) => edge.country(headers),
            _ => Ok(None),
        }
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
                        let ip = address(entry).map_err(|kind| ClientIpError::new(kind, place))?;
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
        Err(ClientIpError::new(kind, place))
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
                return found.map_err(|kind| ClientIpError::new(kind, place));
            }
            before = before.saturating_add(after);
        }
        let kind = if before == 0 { ClientIpErrorKind::Missing } else { ClientIpErrorKind::OnlyProxies };
        Err(ClientIpError::new(kind, before))
    }
}

/// The address in a header that has one line with one address.
fn single(name: &FieldName, headers: &(impl Headers + ?Sized)) -> Result<IpAddr, ClientIpError> {
    let error = |kind| ClientIpError::new(kind, 1);
    let mut lines = headers.lines(name);
    let line = lines.next().ok_or(ClientIpError::new(ClientIpErrorKind::Missing, 0))?;
    if lines.next().is_some() {
        return Err(error(ClientIpErrorKind::Duplicate));
    }
    address(trim(line)).map(|ip| ip.to_canonical()).map_err(error)
}
