//! The tables: both IANA special-purpose registries, and what lies beyond them but is no place to dial.
//!
//! Rows stand in the order of their registry. To refresh: read the two CSV exports named at
//! [`REGISTRY_UPDATED`], change the rows and the date together, and run `tests/address.rs`, which walks the
//! first and last address of every row and both neighbours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::AddressReason;
use super::AddressReason::{
    AnycastService, Benchmarking, Broadcast, CloudMetadata, Discard, Documentation, Dummy, Identifier,
    Ipv4Compatible, Ipv4Mapped, Ipv4Translated, LinkLocal, Loopback, Multicast, Nat64, Nat64Local, Private,
    ProtocolAssignment, Reserved, SegmentRouting, Shared, SiteLocal, SixToFour, Teredo, ThisNetwork,
    UniqueLocal, Unspecified,
};
use super::SpecialRegistry::{self, Iana, IanaAddressSpace, Provider};

/// Date of the last change to both IANA special-purpose registries that the tables here hold.
///
/// Sources: `iana-ipv4-special-registry` and `iana-ipv6-special-registry` (RFC 6890, RFC 8190), 25 records
/// each, both last updated on this date and read again without change in September 2026.
pub const REGISTRY_UPDATED: &str = "2025-10-09";

/// One row: a block of addresses set aside, for what, by which document.
#[derive(Debug, PartialEq, Eq)]
pub struct SpecialBlock {
    network: IpAddr,
    prefix_len: u8,
    name: &'static str,
    source: &'static str,
    globally_reachable: Option<bool>,
    reason: AddressReason,
    registry: SpecialRegistry,
}

impl SpecialBlock {
    /// The first address of the block.
    #[must_use]
    pub const fn network(&self) -> IpAddr {
        self.network
    }

    /// The length of the prefix in bits: 0–32 for IPv4, 0–128 for IPv6.
    #[must_use]
    pub const fn prefix_len(&self) -> u8 {
        self.prefix_len
    }

    /// The last address of the block.
    #[must_use]
    pub const fn last(&self) -> IpAddr {
        match self.network {
            IpAddr::V4(first) => {
                let host = match u32::MAX.checked_shr(self.prefix_len as u32) {
                    Some(host) => host,
                    None => 0,
                };
                IpAddr::V4(Ipv4Addr::from_bits(first.to_bits() | host))
            }
            IpAddr::V6(first) => {
                let host = match u128::MAX.checked_shr(self.prefix_len as u32) {
                    Some(host) => host,
                    None => 0,
                };
                IpAddr::V6(Ipv6Addr::from_bits(first.to_bits() | host))
            }
        }
    }

    /// The name the registry gives the block.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The document that set the block aside.
    #[must_use]
    pub const fn source(&self) -> &'static str {
        self.source
    }

    /// The registry's "Globally Reachable" column; `None` where it is empty or "N/A" (terminated blocks, 6to4,
    /// Teredo).
    ///
    /// This is what IANA says, not our verdict: see [`classify`](super::classify).
    #[must_use]
    pub const fn globally_reachable(&self) -> Option<bool> {
        self.globally_reachable
    }

    /// Why the block is no place to dial, as a stable code.
    #[must_use]
    pub const fn reason(&self) -> AddressReason {
        self.reason
    }

    /// Where the row comes from.
    #[must_use]
    pub const fn registry(&self) -> SpecialRegistry {
        self.registry
    }

    const fn v4(
        [a, b, c, d]: [u8; 4],
        prefix_len: u8,
        name: &'static str,
        source: &'static str,
        globally_reachable: Option<bool>,
        reason: AddressReason,
    ) -> Self {
        let network = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        Self { network, prefix_len, name, source, globally_reachable, reason, registry: Iana }
    }

    const fn v6(
        network: u128,
        prefix_len: u8,
        name: &'static str,
        source: &'static str,
        globally_reachable: Option<bool>,
        reason: AddressReason,
    ) -> Self {
        let network = IpAddr::V6(Ipv6Addr::from_bits(network));
        Self { network, prefix_len, name, source, globally_reachable, reason, registry: Iana }
    }

    const fn beyond(self, registry: SpecialRegistry) -> Self {
        Self { registry, ..self }
    }
}

const NO: Option<bool> = Some(false);
const YES: Option<bool> = Some(true);
/// The registry leaves the cell empty, or says "N/A" and points to a document.
const UNSAID: Option<bool> = None;

const AKAMAI: &str = "Akamai (Linode): Metadata service";
const ALIBABA: &str = "Alibaba Cloud ECS: instance metadata";
const AWS: &str = "AWS EC2: instance metadata service";
const AWS_ECS: &str = "AWS ECS: task metadata endpoint";
const AWS_EKS: &str = "AWS EKS: Pod Identity agent";
const AZURE: &str = "Azure: what is IP address 168.63.129.16";
const GOOGLE: &str = "Google Compute Engine: metadata server";
const ORACLE: &str = "Oracle Cloud Infrastructure: instance metadata";
const ORACLE_CLASSIC: &str = "Oracle Cloud Classic: instance metadata";
const SCALEWAY: &str = "Scaleway: instance metadata";
const TENCENT: &str = "Tencent Cloud CVM: instance metadata";

/// IPv4: the special-purpose registry, then multicast and the addresses at which clouds hand out credentials.
#[rustfmt::skip]
pub const IPV4_SPECIAL: &[SpecialBlock] = &[
    SpecialBlock::v4([0, 0, 0, 0], 8, "\"This network\"", "RFC 791 section 3.2", NO, ThisNetwork),
    SpecialBlock::v4([0, 0, 0, 0], 32, "\"This host on this network\"", "RFC 1122 section 3.2.1.3", NO, Unspecified),
    SpecialBlock::v4([10, 0, 0, 0], 8, "Private-Use", "RFC 1918", NO, Private),
    SpecialBlock::v4([100, 64, 0, 0], 10, "Shared Address Space", "RFC 6598", NO, Shared),
    SpecialBlock::v4([127, 0, 0, 0], 8, "Loopback", "RFC 1122 section 3.2.1.3", NO, Loopback),
    SpecialBlock::v4([169, 254, 0, 0], 16, "Link Local", "RFC 3927", NO, LinkLocal),
    SpecialBlock::v4([172, 16, 0, 0], 12, "Private-Use", "RFC 1918", NO, Private),
    SpecialBlock::v4([192, 0, 0, 0], 24, "IETF Protocol Assignments", "RFC 6890 section 2.1", NO, ProtocolAssignment),
    SpecialBlock::v4([192, 0, 0, 0], 29, "IPv4 Service Continuity Prefix", "RFC 7335", NO, ProtocolAssignment),
    SpecialBlock::v4([192, 0, 0, 8], 32, "IPv4 dummy address", "RFC 7600", NO, Dummy),
    SpecialBlock::v4([192, 0, 0, 9], 32, "Port Control Protocol Anycast", "RFC 7723", YES, AnycastService),
    SpecialBlock::v4([192, 0, 0, 10], 32, "Traversal Using Relays around NAT Anycast", "RFC 8155", YES, AnycastService),
    SpecialBlock::v4([192, 0, 0, 170], 32, "NAT64/DNS64 Discovery", "RFC 8880, RFC 7050 section 2.2", NO, ProtocolAssignment),
    SpecialBlock::v4([192, 0, 0, 171], 32, "NAT64/DNS64 Discovery", "RFC 8880, RFC 7050 section 2.2", NO, ProtocolAssignment),
    SpecialBlock::v4([192, 0, 2, 0], 24, "Documentation (TEST-NET-1)", "RFC 5737", NO, Documentation),
    SpecialBlock::v4([192, 31, 196, 0], 24, "AS112-v4", "RFC 7535", YES, AnycastService),
    SpecialBlock::v4([192, 52, 193, 0], 24, "AMT", "RFC 7450", YES, AnycastService),
    SpecialBlock::v4([192, 88, 99, 0], 24, "Deprecated (6to4 Relay Anycast)", "RFC 7526", UNSAID, AnycastService),
    SpecialBlock::v4([192, 88, 99, 2], 32, "6a44-relay anycast address", "RFC 6751", NO, AnycastService),
    SpecialBlock::v4([192, 168, 0, 0], 16, "Private-Use", "RFC 1918", NO, Private),
    SpecialBlock::v4([192, 175, 48, 0], 24, "Direct Delegation AS112 Service", "RFC 7534", YES, AnycastService),
    SpecialBlock::v4([198, 18, 0, 0], 15, "Benchmarking", "RFC 2544", NO, Benchmarking),
    SpecialBlock::v4([198, 51, 100, 0], 24, "Documentation (TEST-NET-2)", "RFC 5737", NO, Documentation),
    SpecialBlock::v4([203, 0, 113, 0], 24, "Documentation (TEST-NET-3)", "RFC 5737", NO, Documentation),
    SpecialBlock::v4([240, 0, 0, 0], 4, "Reserved", "RFC 1112 section 4", NO, Reserved),
    SpecialBlock::v4([255, 255, 255, 255], 32, "Limited Broadcast", "RFC 8190, RFC 919 section 7", NO, Broadcast),

    SpecialBlock::v4([224, 0, 0, 0], 4, "Multicast", "RFC 5771", NO, Multicast).beyond(IanaAddressSpace),

    SpecialBlock::v4([100, 100, 100, 200], 32, "Cloud metadata", ALIBABA, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v4([168, 63, 129, 16], 32, "Cloud metadata", AZURE, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v4([169, 254, 0, 23], 32, "Cloud metadata", TENCENT, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v4([169, 254, 42, 42], 32, "Cloud metadata", SCALEWAY, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v4([169, 254, 169, 254], 32, "Cloud metadata", AWS, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v4([169, 254, 170, 2], 32, "Cloud metadata", AWS_ECS, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v4([169, 254, 170, 23], 32, "Cloud metadata", AWS_EKS, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v4([192, 0, 0, 192], 32, "Cloud metadata", ORACLE_CLASSIC, NO, CloudMetadata).beyond(Provider),
];

/// IPv6: the special-purpose registry, then everything outside the one block from which unicast addresses are
/// allocated (2000::/3), then forms no registry lists any more and the clouds' addresses.
#[rustfmt::skip]
pub const IPV6_SPECIAL: &[SpecialBlock] = &[
    SpecialBlock::v6(0x0000_0000_0000_0000_0000_0000_0000_0001, 128, "Loopback Address", "RFC 4291", NO, Loopback),
    SpecialBlock::v6(0x0000_0000_0000_0000_0000_0000_0000_0000, 128, "Unspecified Address", "RFC 4291", NO, Unspecified),
    SpecialBlock::v6(0x0000_0000_0000_0000_0000_ffff_0000_0000, 96, "IPv4-mapped Address", "RFC 4291", NO, Ipv4Mapped),
    SpecialBlock::v6(0x0064_ff9b_0000_0000_0000_0000_0000_0000, 96, "IPv4-IPv6 Translat.", "RFC 6052", YES, Nat64),
    SpecialBlock::v6(0x0064_ff9b_0001_0000_0000_0000_0000_0000, 48, "IPv4-IPv6 Translat.", "RFC 8215", NO, Nat64Local),
    SpecialBlock::v6(0x0100_0000_0000_0000_0000_0000_0000_0000, 64, "Discard-Only Address Block", "RFC 6666", NO, Discard),
    SpecialBlock::v6(0x0100_0000_0000_0001_0000_0000_0000_0000, 64, "Dummy IPv6 Prefix", "RFC 9780", NO, Dummy),
    SpecialBlock::v6(0x2001_0000_0000_0000_0000_0000_0000_0000, 23, "IETF Protocol Assignments", "RFC 2928", NO, ProtocolAssignment),
    SpecialBlock::v6(0x2001_0000_0000_0000_0000_0000_0000_0000, 32, "TEREDO", "RFC 4380, RFC 8190", UNSAID, Teredo),
    SpecialBlock::v6(0x2001_0001_0000_0000_0000_0000_0000_0001, 128, "Port Control Protocol Anycast", "RFC 7723", YES, AnycastService),
    SpecialBlock::v6(0x2001_0001_0000_0000_0000_0000_0000_0002, 128, "Traversal Using Relays around NAT Anycast", "RFC 8155", YES, AnycastService),
    SpecialBlock::v6(0x2001_0001_0000_0000_0000_0000_0000_0003, 128, "DNS-SD Service Registration Protocol Anycast", "RFC 9665", YES, AnycastService),
    SpecialBlock::v6(0x2001_0002_0000_0000_0000_0000_0000_0000, 48, "Benchmarking", "RFC 5180, RFC Errata 1752", NO, Benchmarking),
    SpecialBlock::v6(0x2001_0003_0000_0000_0000_0000_0000_0000, 32, "AMT", "RFC 7450", YES, AnycastService),
    SpecialBlock::v6(0x2001_0004_0112_0000_0000_0000_0000_0000, 48, "AS112-v6", "RFC 7535", YES, AnycastService),
    SpecialBlock::v6(0x2001_0010_0000_0000_0000_0000_0000_0000, 28, "Deprecated (previously ORCHID)", "RFC 4843", UNSAID, Identifier),
    SpecialBlock::v6(0x2001_0020_0000_0000_0000_0000_0000_0000, 28, "ORCHIDv2", "RFC 7343", YES, Identifier),
    SpecialBlock::v6(0x2001_0030_0000_0000_0000_0000_0000_0000, 28, "Drone Remote ID Protocol Entity Tags (DETs) Prefix", "RFC 9374", YES, Identifier),
    SpecialBlock::v6(0x2001_0db8_0000_0000_0000_0000_0000_0000, 32, "Documentation", "RFC 3849", NO, Documentation),
    SpecialBlock::v6(0x2002_0000_0000_0000_0000_0000_0000_0000, 16, "6to4", "RFC 3056", UNSAID, SixToFour),
    SpecialBlock::v6(0x2620_004f_8000_0000_0000_0000_0000_0000, 48, "Direct Delegation AS112 Service", "RFC 7534", YES, AnycastService),
    SpecialBlock::v6(0x3fff_0000_0000_0000_0000_0000_0000_0000, 20, "Documentation", "RFC 9637", NO, Documentation),
    SpecialBlock::v6(0x5f00_0000_0000_0000_0000_0000_0000_0000, 16, "Segment Routing (SRv6) SIDs", "RFC 9602", NO, SegmentRouting),
    SpecialBlock::v6(0xfc00_0000_0000_0000_0000_0000_0000_0000, 7, "Unique-Local", "RFC 4193, RFC 8190", NO, UniqueLocal),
    SpecialBlock::v6(0xfe80_0000_0000_0000_0000_0000_0000_0000, 10, "Link-Local Unicast", "RFC 4291", NO, LinkLocal),

    SpecialBlock::v6(0x0000_0000_0000_0000_0000_0000_0000_0000, 8, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x0100_0000_0000_0000_0000_0000_0000_0000, 8, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x0200_0000_0000_0000_0000_0000_0000_0000, 7, "Reserved by IETF", "RFC 4048", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x0400_0000_0000_0000_0000_0000_0000_0000, 6, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x0800_0000_0000_0000_0000_0000_0000_0000, 5, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x1000_0000_0000_0000_0000_0000_0000_0000, 4, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x4000_0000_0000_0000_0000_0000_0000_0000, 3, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x6000_0000_0000_0000_0000_0000_0000_0000, 3, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x8000_0000_0000_0000_0000_0000_0000_0000, 3, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0xa000_0000_0000_0000_0000_0000_0000_0000, 3, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0xc000_0000_0000_0000_0000_0000_0000_0000, 3, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0xe000_0000_0000_0000_0000_0000_0000_0000, 4, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0xf000_0000_0000_0000_0000_0000_0000_0000, 5, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0xf800_0000_0000_0000_0000_0000_0000_0000, 6, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0xfe00_0000_0000_0000_0000_0000_0000_0000, 9, "Reserved by IETF", "RFC 4291", NO, Reserved).beyond(IanaAddressSpace),
    SpecialBlock::v6(0xfec0_0000_0000_0000_0000_0000_0000_0000, 10, "Site-Local Unicast (deprecated)", "RFC 3879", NO, SiteLocal).beyond(IanaAddressSpace),
    SpecialBlock::v6(0xff00_0000_0000_0000_0000_0000_0000_0000, 8, "Multicast", "RFC 4291", NO, Multicast).beyond(IanaAddressSpace),

    SpecialBlock::v6(0x0000_0000_0000_0000_0000_0000_0000_0000, 96, "IPv4-Compatible (deprecated)", "RFC 4291 section 2.5.5.1", NO, Ipv4Compatible).beyond(IanaAddressSpace),
    SpecialBlock::v6(0x0000_0000_0000_0000_ffff_0000_0000_0000, 96, "IPv4-Translated", "RFC 2765 section 2.1", NO, Ipv4Translated).beyond(IanaAddressSpace),

    SpecialBlock::v6(0xfd00_0042_0000_0000_0000_0000_0000_0042, 128, "Cloud metadata", SCALEWAY, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v6(0xfd00_00c1_0000_0000_0000_0000_a9fe_a9fe, 128, "Cloud metadata", ORACLE, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v6(0xfd00_0100_0000_0000_0000_0000_0100_0200, 128, "Cloud metadata", ALIBABA, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v6(0xfd00_0ec2_0000_0000_0000_0000_0000_0023, 128, "Cloud metadata", AWS_EKS, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v6(0xfd00_0ec2_0000_0000_0000_0000_0000_0254, 128, "Cloud metadata", AWS, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v6(0xfd00_a9fe_a9fe_0000_0000_0000_0000_0001, 128, "Cloud metadata", AKAMAI, NO, CloudMetadata).beyond(Provider),
    SpecialBlock::v6(0xfd20_00ce_0000_0000_0000_0000_0000_0254, 128, "Cloud metadata", GOOGLE, NO, CloudMetadata).beyond(Provider),
];
