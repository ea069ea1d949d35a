//! Why a client was not found, and why a rule was not built.

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

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
    /// The connection came over a Unix socket that is not trusted: there is no address to fall back to.
    #[error("the connection came over a Unix socket, which is not among the trusted proxies")]
    UnixSocket,
    /// A proxy does not know, or does not say, whom it saw (RFC 7239 §6.2).
    #[error("an entry says that the address is unknown")]
    Unknown,
}

impl ClientIpError {
    pub(super) const fn new(kind: ClientIpErrorKind, place: usize) -> Self {
        Self { kind, place }
    }

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
            Self::UnixSocket => reason_code!("client_ip.unix_socket"),
            Self::Unknown => reason_code!("client_ip.unknown"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        reason_code!("client_ip.refused")
    }
}

/// A configuration that can never work, or not safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientIpConfigError {
    /// Not a header name.
    #[error("expected a header name of 1 to {max} token characters", max = super::FieldName::MAX_LEN)]
    HeaderName,
    /// Zero hops, or more than anybody has.
    #[error("expected 1 to {max} hops, found {found}", max = super::ClientIp::MAX_HOPS)]
    Hops {
        /// How many were asked for.
        found: u8,
    },
    /// Not a network.
    #[error(
        "expected a network like `10.0.0.0/8` with no bits behind the prefix, an address, or `unix:` at position {position}"
    )]
    Network {
        /// Its position, from 0.
        position: usize,
    },
    /// Cloudflare's edge is trusted, or one of its headers is read, without a proof of whose zone a request came through.
    #[error("Cloudflare's word counts only with an origin proof: use `CfConnectingIp` or `TrueClientIp`")]
    NoOriginProof,
    /// A header is to be read, but no proxy is trusted to set it: it would never be.
    #[error("a header is configured as the source, but no proxy is trusted to set it")]
    NoProxies,
    /// A tunnel ends at a process of ours; its requests never come from the edge's own networks.
    #[error("requests through a tunnel come from its local end, but only Cloudflare's networks are trusted")]
    TunnelPeer,
    /// A network is trusted in which nearly anybody may be: whoever asks first could name any client.
    #[error("a trusted network is wider than /8 (IPv4) or /16 (IPv6), or together they cover every address")]
    TrustsEveryone,
    /// Proxies are named, but the peer is to be the client: every request would be the proxy's own.
    #[error("proxies are trusted, but the peer is configured as the source")]
    UnusedProxies,
}

impl ClientIpConfigError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HeaderName => "client_ip.header_name",
            Self::Hops { .. } => "client_ip.hops",
            Self::Network { .. } => "client_ip.network",
            Self::NoOriginProof => "client_ip.no_origin_proof",
            Self::NoProxies => "client_ip.no_proxies",
            Self::TrustsEveryone => "client_ip.trusts_everyone",
            Self::TunnelPeer => "client_ip.tunnel_peer",
            Self::UnusedProxies => "client_ip.unused_proxies",
        }
    }
}
