//! Which IP addresses lie outside: both IANA special-purpose registries, and the IPv4 hidden in IPv6.
//!
//! A service that dials an address someone else chose must not be led to its own insides (server-side request
//! forgery, CWE-918). [`outside`] returns the proof that an address is not there; [`classify`] says what it is
//! otherwise. std's `is_global` is unstable and knows none of the embedded forms.
//!
//! ```
//! use compliance_core::address::{AddressReason, outside};
//!
//! assert!(outside("93.184.216.34".parse()?).is_ok());
//!
//! let refused = outside("::ffff:127.0.0.1".parse()?).unwrap_err();
//! assert_eq!(refused.reason(), AddressReason::Loopback);
//! assert_eq!(refused.code(), "address.loopback");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

mod embedded;
mod matching;
mod registry;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::finding::{Reason, ReasonCode};
use crate::reason_code;

pub use embedded::{
    Embedded, EmbeddedIpv4, EmbeddedKind, Nat64Prefix, Nat64PrefixError, Nat64PrefixErrorKind, embedded_ipv4,
};
pub use registry::{IPV4_SPECIAL, IPV6_SPECIAL, REGISTRY_UPDATED, SpecialBlock};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "whoever decides on an address must see both cases")]
pub enum AddressClass {
    /// In no special block, and carrying no IPv4 address that is in one.
    Global,
    /// Set aside, or carrying an IPv4 address that is.
    Special(SpecialPurpose),
}

/// Why an address is special: the block, and the embedded IPv4 address if that one decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialPurpose {
    block: &'static SpecialBlock,
    embedded: Option<EmbeddedIpv4>,
}

impl SpecialPurpose {
    /// The most specific block that holds the address, or the embedded one.
    #[must_use]
    pub const fn block(&self) -> &'static SpecialBlock {
        self.block
    }

    /// The embedded IPv4 address that lies in [`block`](Self::block); `None` when the address itself does.
    #[must_use]
    pub const fn embedded(&self) -> Option<EmbeddedIpv4> {
        self.embedded
    }

    /// The reason, as a stable code.
    #[must_use]
    pub const fn reason(&self) -> AddressReason {
        self.block.reason()
    }
}

/// Why an address is no place to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AddressReason {
    /// Anycast addresses of a protocol: the nearest instance answers, which may be our own gateway.
    AnycastService,
    /// Network benchmarks.
    Benchmarking,
    /// The limited broadcast address.
    Broadcast,
    /// Where a cloud hands instances their credentials.
    CloudMetadata,
    /// Traffic is to be dropped.
    Discard,
    /// Examples in texts.
    Documentation,
    /// Placeholders that are never on the wire.
    Dummy,
    /// Identifiers in the shape of addresses (ORCHID, drone tags); no host is reached by routing them.
    Identifier,
    /// The deprecated form `::a.b.c.d` of an address that would be global on its own.
    Ipv4Compatible,
    /// The form `::ffff:a.b.c.d`. Never a verdict: the carried address decides.
    Ipv4Mapped,
    /// The SIIT form `::ffff:0:a.b.c.d` of an address that would be global on its own.
    Ipv4Translated,
    /// The local network segment.
    LinkLocal,
    /// This host.
    Loopback,
    /// A group of hosts.
    Multicast,
    /// The well-known NAT64 prefix. Never a verdict: the carried address decides.
    Nat64,
    /// NAT64 for local use: where packets come out is up to a gateway on our side.
    Nat64Local,
    /// Private use inside an organisation.
    Private,
    /// Set aside for protocols by the IETF.
    ProtocolAssignment,
    /// Not allocated for unicast.
    Reserved,
    /// Segment identifiers inside a provider's network.
    SegmentRouting,
    /// Carrier-grade NAT, also used by overlay networks.
    Shared,
    /// The deprecated site-local prefix, still routed by some networks.
    SiteLocal,
    /// 6to4: where packets come out is up to a relay.
    SixToFour,
    /// Teredo: where packets come out is up to a server the address names.
    Teredo,
    /// The network this host is on.
    ThisNetwork,
    /// Private use in IPv6.
    UniqueLocal,
    /// No address; most systems dial themselves.
    Unspecified,
}

impl AddressReason {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.reason_code().as_str()
    }

    const fn reason_code(self) -> ReasonCode {
        match self {
            Self::AnycastService => reason_code!("address.anycast_service"),
            Self::Benchmarking => reason_code!("address.benchmarking"),
            Self::Broadcast => reason_code!("address.broadcast"),
            Self::CloudMetadata => reason_code!("address.cloud_metadata"),
            Self::Discard => reason_code!("address.discard"),
            Self::Documentation => reason_code!("address.documentation"),
            Self::Dummy => reason_code!("address.dummy"),
            Self::Identifier => reason_code!("address.identifier"),
            Self::Ipv4Compatible => reason_code!("address.ipv4_compatible"),
            Self::Ipv4Mapped => reason_code!("address.ipv4_mapped"),
            Self::Ipv4Translated => reason_code!("address.ipv4_translated"),
            Self::LinkLocal => reason_code!("address.link_local"),
            Self::Loopback => reason_code!("address.loopback"),
            Self::Multicast => reason_code!("address.multicast"),
            Self::Nat64 => reason_code!("address.nat64"),
            Self::Nat64Local => reason_code!("address.nat64_local"),
            Self::Private => reason_code!("address.private"),
            Self::ProtocolAssignment => reason_code!("address.protocol_assignment"),
            Self::Reserved => reason_code!("address.reserved"),
            Self::SegmentRouting => reason_code!("address.segment_routing"),
            Self::Shared => reason_code!("address.shared"),
            Self::SiteLocal => reason_code!("address.site_local"),
            Self::SixToFour => reason_code!("address.six_to_four"),
            Self::Teredo => reason_code!("address.teredo"),
            Self::ThisNetwork => reason_code!("address.this_network"),
            Self::UniqueLocal => reason_code!("address.unique_local"),
            Self::Unspecified => reason_code!("address.unspecified"),
        }
    }
}

impl Reason for AddressReason {
    fn code(&self) -> ReasonCode {
        self.reason_code()
    }

    /// `address.refused`: which block it was would map the inside.
    fn public_code(&self) -> ReasonCode {
        reason_code!("address.refused")
    }
}

/// Where a [`SpecialBlock`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpecialRegistry {
    /// An IANA special-purpose address registry (RFC 6890, RFC 8190).
    Iana,
    /// IANA's address space registries and the RFCs they cite: multicast, blocks not allocated for unicast,
    /// withdrawn forms.
    IanaAddressSpace,
    /// A cloud provider's documentation.
    Provider,
}

/// Says what an address is.
///
/// An address is special when the most specific block that holds it is, or when an IPv4 address it carries is
/// (see [`embedded_ipv4`]). Two forms are judged by the carried address alone: `::ffff:a.b.c.d`, which is the
/// same host, and `64:ff9b::a.b.c.d`, which DNS64 answers for any public name. 6to4, Teredo, `64:ff9b:1::/48`
/// and the withdrawn forms are special whatever they carry, since a relay or gateway decides where their
/// packets come out.
///
/// A block counts as special even where IANA lists it as globally reachable (AS112, AMT, PCP and TURN anycast,
/// ORCHIDv2): these are anycast services, answered by the nearest instance, which may be on our side, or
/// identifiers no host answers to. [`SpecialBlock::globally_reachable`] keeps what IANA says.
///
/// Allocates nothing; a few nanoseconds.
///
/// # Security
/// An attacker chooses the address. What the tables cannot know: which public addresses are your own, and which
/// network-specific NAT64 prefixes your network uses ([`classify_with`]).
#[inline]
pub fn classify(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => classify_v4(address, None),
        IpAddr::V6(address) => classify_v6(address),
    }
}

/// As [`classify`], and also judges the IPv4 addresses carried under `prefixes`.
///
/// # Security
/// The prefixes only ever add refusals: a prefix learnt from DNS (RFC 7050) cannot make a private address pass.
pub fn classify_with(address: IpAddr, prefixes: &[Nat64Prefix]) -> AddressClass {
    if let (AddressClass::Global, IpAddr::V6(v6)) = (classify(address), address) {
        for carried in prefixes.iter().filter_map(|prefix| prefix.decode(v6)) {
            let embedded = EmbeddedIpv4 { kind: EmbeddedKind::Nat64Configured, address: carried };
            if let special @ AddressClass::Special(_) = classify_v4(carried, Some(embedded)) {
                return special;
            }
        }
        return AddressClass::Global;
    }
    classify(address)
}

/// The same host's plain form: `::ffff:a.b.c.d` becomes `a.b.c.d`, every other address stays.
///
/// Compare and look up addresses in this form only.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The proof that an address is outside: in no special block and carrying none that is.
///
/// A value proof: it says nothing about a name that once resolved to the address. It comes from [`outside`] or
/// [`outside_with`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutsideAddress(IpAddr);

impl OutsideAddress {
    /// The address, in [`canonical`] form.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        self.0
    }
}

impl From<OutsideAddress> for IpAddr {
    fn from(address: OutsideAddress) -> Self {
        address.ip()
    }
}

/// Proves that an address is outside.
///
/// ```
/// use compliance_core::address::outside;
///
/// assert_eq!(outside("::ffff:1.1.1.1".parse()?).map(|a| a.ip().to_string()).as_deref(), Ok("1.1.1.1"));
/// assert_eq!(outside("64:ff9b::a00:1".parse()?).map_err(|e| e.code()), Err("address.private"));
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// # Errors
/// [`AddressError`] for every [`AddressClass::Special`] address, with its reason.
#[inline]
pub fn outside(address: IpAddr) -> Result<OutsideAddress, AddressError> {
    prove(address, classify(address))
}

/// As [`outside`], and also judges the IPv4 addresses carried under `prefixes`, see [`classify_with`].
///
/// # Errors
/// As [`outside`].
pub fn outside_with(address: IpAddr, prefixes: &[Nat64Prefix]) -> Result<OutsideAddress, AddressError> {
    prove(address, classify_with(address, prefixes))
}

fn prove(address: IpAddr, class: AddressClass) -> Result<OutsideAddress, AddressError> {
    match class {
        AddressClass::Global => Ok(OutsideAddress(canonical(address))),
        AddressClass::Special(special) => Err(AddressError { special }),
    }
}

/// An address that is not outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address is not outside: it is set aside as `{}` ({})", .special.block.name(), .special.block.source())]
pub struct AddressError {
    special: SpecialPurpose,
}

impl AddressError {
    /// The block and the embedded address, if any.
    #[must_use]
    pub const fn special(&self) -> SpecialPurpose {
        self.special
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> AddressReason {
        self.special.reason()
    }

    /// The stable code, for metrics and the operator. A tenant should not see it: it maps the inside.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.reason().code()
    }
}

fn classify_v4(address: Ipv4Addr, embedded: Option<EmbeddedIpv4>) -> AddressClass {
    match matching::ipv4(address) {
        Some(block) => AddressClass::Special(SpecialPurpose { block, embedded }),
        None => AddressClass::Global,
    }
}

// Not inlined into `classify`, so that the address arrives in registers: an `IpAddr` that is handed on whole goes
// through memory in pieces, and reading it back costs more than the look-up.
fn classify_v6(address: Ipv6Addr) -> AddressClass {
    let Some(block) = matching::ipv6(address) else {
        return match embedded::isatap(address) {
            Some(isatap) => classify_v4(isatap.address, Some(isatap)),
            None => AddressClass::Global,
        };
    };
    let carrying = |kind, carried| classify_v4(carried, Some(EmbeddedIpv4 { kind, address: carried }));
    // Where there is only one way to read it, the carried address says more than the form that carries it.
    let carried = match block.reason() {
        AddressReason::Ipv4Mapped => return carrying(EmbeddedKind::Mapped, embedded::low_32(address)),
        AddressReason::Nat64 => return carrying(EmbeddedKind::Nat64, embedded::low_32(address)),
        AddressReason::Ipv4Compatible => carrying(EmbeddedKind::Compatible, embedded::low_32(address)),
        AddressReason::Ipv4Translated => carrying(EmbeddedKind::Translated, embedded::low_32(address)),
        AddressReason::SixToFour => carrying(EmbeddedKind::SixToFour, embedded::bits_16_to_47(address)),
        AddressReason::Teredo => {
            let [server, client] = embedded::teredo(address);
            match carrying(server.kind, server.address) {
                AddressClass::Global => carrying(client.kind, client.address),
                special @ AddressClass::Special(_) => special,
            }
        }
        _ => AddressClass::Global,
    };
    match carried {
        AddressClass::Global => AddressClass::Special(SpecialPurpose { block, embedded: None }),
        special @ AddressClass::Special(_) => special,
    }
}
