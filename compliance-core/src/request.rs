//! What the layers of a service learn about a request and hand on.
//!
//! One layer puts such a value into the request's extensions (any type map will do), a later one takes it
//! out: the two need not know each other's crate. None of these is a proof; they are what a layer
//! *established*, and each says how.
//!
//! | type | put there by | read by |
//! |---|---|---|
//! | [`ClientAddress`] | `compliance-geo` `client_ip` | embargo, throttle, audit |
//! | [`Transport`] | `compliance-geo` `transport` | cookies, webhook verification |
//! | [`Correlation`] | `compliance-log` `correlation` | every event and span |
//! | [`Principal`] | the service's authentication | access checks, audit |

use std::fmt;
use std::net::IpAddr;

use crate::id::{ActorId, CorrelationId, TenantId, TraceParent};

/// The client's address, canonical (an IPv4-mapped IPv6 address is IPv4 here), and how it was found.
///
/// Personal data (CJEU C-582/14, Breyer): `Debug` prints the network prefix only.
///
/// ```
/// use compliance_core::request::{AddressSource, ClientAddress};
///
/// let client = ClientAddress::new("::ffff:203.0.113.7".parse().unwrap(), AddressSource::Peer);
/// assert_eq!(client.ip().to_string(), "203.0.113.7");
/// assert_eq!(format!("{client:?}"), "ClientAddress(203.0.113.0/24, Peer)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress {
    ip: IpAddr,
    source: AddressSource,
}

/// Where a client address came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressSource {
    /// A header that a trusted proxy set.
    Header,
    /// The connection's own peer.
    Peer,
}

impl ClientAddress {
    /// Notes an address; IPv4-mapped IPv6 becomes IPv4 (RFC 4291 §2.5.5.2).
    #[must_use]
    pub fn new(ip: IpAddr, source: AddressSource) -> Self {
        Self { ip: ip.to_canonical(), source }
    }

    /// The address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// How it was found.
    #[must_use]
    pub fn source(&self) -> AddressSource {
        self.source
    }

    /// The network the address is in: IPv4 cut to /24, IPv6 to /48. What a log or a trail may keep.
    #[must_use]
    pub fn network(&self) -> ClientNetwork {
        match self.ip {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                ClientNetwork { prefix: IpAddr::from([a, b, c, 0]), prefix_len: 24 }
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                ClientNetwork { prefix: IpAddr::from([a, b, c, 0, 0, 0, 0, 0]), prefix_len: 48 }
            }
        }
    }
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientAddress({}, {:?})", self.network(), self.source)
    }
}

/// A client's network: its address cut to /24 (IPv4) or /48 (IPv6).
///
/// Made by [`ClientAddress::network`] only, so that a full address cannot stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork {
    prefix: IpAddr,
    prefix_len: u8,
}

impl ClientNetwork {
    /// Reads one back from where it was stored; `None` unless it is a whole /24 or /48.
    #[must_use]
    pub fn from_stored(prefix: IpAddr) -> Option<Self> {
        let network = ClientAddress::new(prefix, AddressSource::Peer).network();
        (network.prefix == prefix).then_some(network)
    }

    /// The first address of the network.
    #[must_use]
    pub fn prefix(&self) -> IpAddr {
        self.prefix
    }

    /// 24 or 48.
    #[must_use]
    pub fn prefix_len(&self) -> u8 {
        self.prefix_len
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.prefix, self.prefix_len)
    }
}

/// How the request reached the service's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where plaintext slips through")]
pub enum Transport {
    /// Without TLS, or nobody trustworthy said otherwise.
    Plaintext,
    /// Over TLS: seen by this process, or said by a trusted proxy.
    Tls,
}

/// Our id for the request, and the caller's claim beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Correlation {
    id: CorrelationId,
    parent: Option<TraceParent>,
}

impl Correlation {
    /// Ties an id of our own to what the caller sent, if anything.
    #[must_use]
    pub fn new(id: CorrelationId, parent: Option<TraceParent>) -> Self {
        Self { id, parent }
    }

    /// Our own id.
    #[must_use]
    pub fn id(&self) -> CorrelationId {
        self.id
    }

    /// The caller's `traceparent`: recorded, never trusted.
    #[must_use]
    pub fn parent(&self) -> Option<TraceParent> {
        self.parent
    }
}

/// Who the service's authentication says is asking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal {
    actor: ActorId,
    tenant: TenantId,
}

impl Principal {
    /// Notes who was authenticated, and in which tenant.
    #[must_use]
    pub fn new(actor: ActorId, tenant: TenantId) -> Self {
        Self { actor, tenant }
    }

    /// Who.
    #[must_use]
    pub fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// In which tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}
