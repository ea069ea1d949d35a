//! From a name to addresses that may be dialled.
//!
//! An [`EndpointPolicy`](crate::endpoint::EndpointPolicy) judges a URL once; where its name leads may change
//! with every lookup (DNS rebinding). So each attempt resolves once, and [`Guard::check_answers`] judges every
//! answer: if a single one is inside, the whole set is refused, because an attacker who mixes answers chooses
//! which one is dialled. What passes is a [`GuardedAddr`], the only thing our connector dials. Address literals
//! go through the same check.
//!
//! The decision is a plain function and works offline; resolving is the [`Resolve`] trait.

mod error;
mod resolve;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use compliance_core::address::{AddressReason, Nat64Prefix, canonical, embedded_ipv4, outside_with};
use compliance_core::clock::Timestamp;
use compliance_core::finding::PolicyVersion;
use ipnet::IpNet;

use crate::endpoint::{EndpointHost, WebhookEndpoint};

pub use error::{GuardError, GuardReason};
#[cfg(feature = "deliver")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "deliver")))]
pub use resolve::SystemResolver;
pub use resolve::{Resolve, ResolveError, TableResolver};

/// How long a [`GuardedAddr`] may be dialled: long enough to try the next address when one does not answer,
/// too short to be worth keeping.
pub const GUARDED_ADDR_LIFETIME: Duration = Duration::from_secs(30);

/// The most answers looked at. More than a reply over UDP carries is no endpoint but an attack on whoever
/// tries them one by one.
pub const MAX_ANSWERS: usize = 32;

/// Judges the addresses a name resolved to.
///
/// ```
/// use compliance_core::clock::Timestamp;
/// use compliance_webhook::endpoint::EndpointPolicy;
/// use compliance_webhook::guard::Guard;
///
/// let now: Timestamp = "2026-11-21T12:00:00Z".parse()?;
/// let endpoint = EndpointPolicy::new().check("https://hooks.example.net/in")?;
/// let guard = Guard::new();
///
/// let dial = guard.check_answers(&endpoint, &["93.184.216.34".parse()?], now)?;
/// assert_eq!(dial[0].socket_addr(now)?, "93.184.216.34:443".parse()?);
///
/// let mixed = ["93.184.216.34".parse()?, "::ffff:10.0.0.1".parse()?];
/// let refused = guard.check_answers(&endpoint, &mixed, now).unwrap_err();
/// assert_eq!(refused.code(), "address.private");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Guard {
    own_networks: Vec<IpNet>,
    nat64_prefixes: Vec<Nat64Prefix>,
    version: PolicyVersion,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new()
    }
}

impl Guard {
    /// Lets through what both IANA special-purpose registries call outside.
    #[must_use]
    pub fn new() -> Self {
        Self {
            own_networks: Vec::new(),
            nat64_prefixes: Vec::new(),
            version: PolicyVersion::new("webhook-guard", "1"),
        }
    }

    /// Refuses an own public address: the registries cannot know it, and what it serves to this host may not be
    /// what it serves to the world.
    #[must_use]
    pub fn with_own_address(mut self, address: IpAddr) -> Self {
        self.own_networks.push(IpNet::from(canonical(address)));
        self
    }

    /// Refuses a whole own network, also where an IPv6 address carries one of its IPv4 addresses.
    ///
    /// # Errors
    /// `guard.network` when the prefix is longer than the address, or shorter than the part that maps IPv4 into IPv6:
    /// such a network could never match an address in canonical form.
    pub fn with_own_network(mut self, network: IpAddr, prefix_len: u8) -> Result<Self, GuardError> {
        /// How many bits in front of the IPv4 address make a mapped address (RFC 4291 §2.5.5.2).
        const MAPPED_LEN: u8 = 96;
        let plain = canonical(network);
        let prefix_len = if plain == network {
            prefix_len
        } else {
            prefix_len.checked_sub(MAPPED_LEN).ok_or(GuardReason::Network)?
        };
        self.own_networks.push(IpNet::new(plain, prefix_len).map_err(|_| GuardReason::Network)?);
        Ok(self)
    }

    /// Judges the IPv4 address inside answers under a NAT64 prefix of this network, configured or found by
    /// RFC 7050 discovery. The well-known prefixes need no entry.
    #[must_use]
    pub fn with_nat64_prefix(mut self, prefix: Nat64Prefix) -> Self {
        self.nat64_prefixes.push(prefix);
        self
    }

    /// The guard's name and version, for findings.
    #[must_use]
    pub fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// Judges every answer for `endpoint`, in the order they came; for an endpoint that is an address literal,
    /// judges the literal and ignores `answers`.
    ///
    /// # Errors
    /// [`GuardError`] with the first answer's reason; one bad answer refuses all. No answers are refused, too.
    ///
    /// # Security
    /// Whoever runs the name's DNS zone chooses the answers.
    pub fn check_answers(
        &self,
        endpoint: &WebhookEndpoint,
        answers: &[IpAddr],
        now: Timestamp,
    ) -> Result<Vec<GuardedAddr>, GuardError> {
        let literal;
        let answers = match endpoint.host() {
            EndpointHost::Address(address) => {
                literal = [address];
                &literal
            }
            EndpointHost::Name(_) => answers,
        };
        if answers.is_empty() {
            return Err(GuardReason::NoAnswers.into());
        }
        if answers.len() > MAX_ANSWERS {
            return Err(GuardReason::TooManyAnswers.into());
        }
        let valid_until = now.saturating_add(GUARDED_ADDR_LIFETIME);
        let guarded = |address: &IpAddr| {
            let ip = self.check_address(endpoint, *address, now)?;
            let addr = SocketAddr::new(ip, endpoint.port());
            Ok(GuardedAddr { addr, endpoint: endpoint.clone(), valid_until })
        };
        answers.iter().map(guarded).collect()
    }

    /// Whether the address, or an IPv4 address that a translator takes out of it, is one of our own.
    fn is_own(&self, plain: IpAddr) -> bool {
        let ours = |ip: IpAddr| self.own_networks.iter().any(|network| network.contains(&ip));
        let carries_ours = |v6| {
            let translated = self.nat64_prefixes.iter().filter_map(|prefix| prefix.decode(v6));
            let known = embedded_ipv4(v6).map(|embedded| embedded.address);
            translated.chain(known).any(|v4| ours(IpAddr::V4(v4)))
        };
        ours(plain) || matches!(plain, IpAddr::V6(v6) if carries_ours(v6))
    }

    /// The address to dial, in canonical form.
    fn check_address(
        &self,
        endpoint: &WebhookEndpoint,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<IpAddr, GuardReason> {
        let plain = canonical(address);
        if self.is_own(plain) {
            return Err(GuardReason::OwnAddress);
        }
        match outside_with(address, &self.nat64_prefixes) {
            Ok(proof) => Ok(proof.ip()),
            // No acceptance reaches what hands out credentials.
            Err(inside) if inside.reason() == AddressReason::CloudMetadata => {
                Err(GuardReason::Inside(inside.reason()))
            }
            Err(inside) => match endpoint.risk_covers(plain, now) {
                Ok(true) => Ok(plain),
                Ok(false) => Err(GuardReason::Inside(inside.reason())),
                Err(_) => Err(GuardReason::RiskExpired),
            },
        }
    }
}

/// An address that was checked for one endpoint, moments ago.
///
/// A state proof: neither `Clone` nor storable, and [`socket_addr`](Self::socket_addr) refuses it after
/// [`GUARDED_ADDR_LIFETIME`].
#[derive(Debug)]
pub struct GuardedAddr {
    addr: SocketAddr,
    endpoint: WebhookEndpoint,
    valid_until: Timestamp,
}

impl GuardedAddr {
    /// The address, to dial now.
    ///
    /// # Errors
    /// `guard.expired` from [`valid_until`](Self::valid_until) on: resolve and check again.
    pub fn socket_addr(&self, now: Timestamp) -> Result<SocketAddr, GuardError> {
        if now < self.valid_until { Ok(self.addr) } else { Err(GuardReason::Expired.into()) }
    }

    /// Whether a connected socket's peer is this address. The last line of defence: a transparent proxy or a
    /// connector that resolved on its own shows here.
    ///
    /// # Errors
    /// `guard.peer` when it is not.
    pub fn check_peer(&self, peer: SocketAddr) -> Result<(), GuardError> {
        let same = canonical(peer.ip()) == self.addr.ip() && peer.port() == self.addr.port();
        if same { Ok(()) } else { Err(GuardReason::Peer.into()) }
    }

    /// The address, for the operator's eyes.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.addr.ip()
    }

    /// What it was checked for.
    #[must_use]
    pub fn endpoint(&self) -> &WebhookEndpoint {
        &self.endpoint
    }

    /// Until when it may be dialled.
    #[must_use]
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }
}
