//! IPv4 addresses hidden in IPv6 addresses.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// How an IPv6 address carries an IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EmbeddedKind {
    /// `::ffff:a.b.c.d`, the same host as `a.b.c.d` (RFC 4291 §2.5.5.2).
    Mapped,
    /// `::a.b.c.d`, deprecated (RFC 4291 §2.5.5.1).
    Compatible,
    /// `::ffff:0:a.b.c.d`, SIIT (RFC 2765 §2.1).
    Translated,
    /// `64:ff9b::a.b.c.d`, the well-known NAT64 prefix (RFC 6052 §2.1).
    Nat64,
    /// Under `64:ff9b:1::/48`, NAT64 for local use (RFC 8215); every layout of RFC 6052 §2.2 that fits is read.
    Nat64Local,
    /// Under a prefix the caller named, see [`Nat64Prefix`].
    Nat64Configured,
    /// `2002:aabb:ccdd::/48`, 6to4 (RFC 3056 §2).
    SixToFour,
    /// The server of a Teredo address, bits 32–63 (RFC 4380 §4).
    TeredoServer,
    /// The client of a Teredo address, bits 96–127 inverted (RFC 4380 §4).
    TeredoClient,
    /// Interface identifier `::0:5efe:a.b.c.d` or `::200:5efe:a.b.c.d`, ISATAP (RFC 5214 §6.1).
    Isatap,
}

/// One IPv4 address found inside an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EmbeddedIpv4 {
    /// Which form carries it.
    pub kind: EmbeddedKind,
    /// The address carried.
    pub address: Ipv4Addr,
}

/// The IPv4 addresses found inside one IPv6 address, at most [`Embedded::MAX`]; iterate it.
#[derive(Clone, Debug)]
pub struct Embedded {
    found: std::iter::Flatten<std::array::IntoIter<Option<EmbeddedIpv4>, { Self::MAX }>>,
}

impl Embedded {
    /// The most that one address can carry: four layouts under `64:ff9b:1::/48` and an ISATAP identifier.
    pub const MAX: usize = 5;
}

impl Iterator for Embedded {
    type Item = EmbeddedIpv4;

    fn next(&mut self) -> Option<EmbeddedIpv4> {
        self.found.next()
    }
}

/// Finds every IPv4 address that `address` carries in a form the RFCs define.
///
/// A gateway that understands the form delivers a packet for the IPv6 address to that IPv4 address, so a guard
/// must judge it too. Does not allocate. `::` and `::1` carry nothing. An interface identifier may look like
/// ISATAP by chance (one in 2³²), and under `64:ff9b:1::/48` only the operator knows which of the layouts read
/// is the true one.
///
/// ```
/// use compliance_core::address::{EmbeddedKind, embedded_ipv4};
///
/// let found: Vec<_> = embedded_ipv4("2002:a00:1::".parse()?).collect();
/// assert_eq!(found.len(), 1);
/// assert_eq!(found[0].kind, EmbeddedKind::SixToFour);
/// assert_eq!(found[0].address.to_string(), "10.0.0.1");
///
/// assert_eq!(embedded_ipv4("2606:4700::1111".parse()?).count(), 0);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
pub fn embedded_ipv4(address: Ipv6Addr) -> Embedded {
    let isatap = isatap(address);
    let prefix_forms = match address.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 4],
        [0, 0, 0, 0, 0, 0, _, _] => one(EmbeddedKind::Compatible, low_32(address)),
        [0, 0, 0, 0, 0, 0xffff, _, _] => one(EmbeddedKind::Mapped, low_32(address)),
        [0, 0, 0, 0, 0xffff, 0, _, _] => one(EmbeddedKind::Translated, low_32(address)),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => one(EmbeddedKind::Nat64, low_32(address)),
        [0x64, 0xff9b, 1, ..] => {
            [PrefixLength::Bits48, PrefixLength::Bits56, PrefixLength::Bits64, PrefixLength::Bits96].map(
                |length| {
                    Some(EmbeddedIpv4 { kind: EmbeddedKind::Nat64Local, address: length.decode(address) })
                },
            )
        }
        [0x2002, ..] => one(EmbeddedKind::SixToFour, bits_16_to_47(address)),
        [0x2001, 0, ..] => {
            let [server, client] = teredo(address);
            [Some(server), Some(client), None, None]
        }
        _ => [None; 4],
    };
    let [a, b, c, d] = prefix_forms;
    Embedded { found: [a, b, c, d, isatap].into_iter().flatten() }
}

/// The ISATAP address in the interface identifier, whatever the prefix.
#[inline]
pub(super) fn isatap(address: Ipv6Addr) -> Option<EmbeddedIpv4> {
    match address.octets() {
        [_, _, _, _, _, _, _, _, 0 | 2, 0, 0x5e, 0xfe, a, b, c, d] => {
            Some(EmbeddedIpv4 { kind: EmbeddedKind::Isatap, address: Ipv4Addr::new(a, b, c, d) })
        }
        _ => None,
    }
}

/// Server and client of an address under 2001::/32.
pub(super) fn teredo(address: Ipv6Addr) -> [EmbeddedIpv4; 2] {
    let client = Ipv4Addr::from_bits(!low_32(address).to_bits());
    [
        EmbeddedIpv4 { kind: EmbeddedKind::TeredoServer, address: PrefixLength::Bits32.decode(address) },
        EmbeddedIpv4 { kind: EmbeddedKind::TeredoClient, address: client },
    ]
}

fn one(kind: EmbeddedKind, address: Ipv4Addr) -> [Option<EmbeddedIpv4>; 4] {
    [Some(EmbeddedIpv4 { kind, address }), None, None, None]
}

#[inline]
pub(super) fn low_32(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[inline]
pub(super) fn bits_16_to_47(address: Ipv6Addr) -> Ipv4Addr {
    let [_, _, a, b, c, d, ..] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// The prefix lengths of RFC 6052 §2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum PrefixLength {
    Bits32,
    Bits40,
    Bits48,
    Bits56,
    Bits64,
    Bits96,
}

impl PrefixLength {
    const fn of(bits: u8) -> Option<Self> {
        match bits {
            32 => Some(Self::Bits32),
            40 => Some(Self::Bits40),
            48 => Some(Self::Bits48),
            56 => Some(Self::Bits56),
            64 => Some(Self::Bits64),
            96 => Some(Self::Bits96),
            _ => None,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Bits32 => 32,
            Self::Bits40 => 40,
            Self::Bits48 => 48,
            Self::Bits56 => 56,
            Self::Bits64 => 64,
            Self::Bits96 => 96,
        }
    }

    /// RFC 6052 §2.2, figure 1. The `u` octet (bits 64–71) is skipped and not looked at: translators differ in
    /// whether they check it, so a guard must not.
    fn decode(self, address: Ipv6Addr) -> Ipv4Addr {
        let [_, _, _, _, o4, o5, o6, o7, _u, o9, o10, o11, o12, o13, o14, o15] = address.octets();
        let [a, b, c, d] = match self {
            Self::Bits32 => [o4, o5, o6, o7],
            Self::Bits40 => [o5, o6, o7, o9],
            Self::Bits48 => [o6, o7, o9, o10],
            Self::Bits56 => [o7, o9, o10, o11],
            Self::Bits64 => [o9, o10, o11, o12],
            Self::Bits96 => [o12, o13, o14, o15],
        };
        Ipv4Addr::new(a, b, c, d)
    }
}

/// A network-specific NAT64 prefix, configured or found by RFC 7050 discovery.
///
/// Accepted: the lengths of RFC 6052 §2.2 (32, 40, 48, 56, 64, 96), no bits set past the length, and bits 64–71
/// zero in a /96. Written as `2001:db8:122::/48`.
///
/// ```
/// use compliance_core::address::Nat64Prefix;
///
/// let prefix: Nat64Prefix = "2001:db8:122::/48".parse().expect("a length of RFC 6052");
/// let hidden = prefix.decode("2001:db8:122:c000:2:2100::".parse()?);
/// assert_eq!(hidden, Some("192.0.2.33".parse()?));
///
/// assert_eq!("2001:db8:122::/49".parse::<Nat64Prefix>().unwrap_err().code(), "address.nat64_prefix.length");
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat64Prefix {
    network: Ipv6Addr,
    length: PrefixLength,
}

impl Nat64Prefix {
    /// Checks and keeps a prefix.
    ///
    /// # Errors
    /// [`Nat64PrefixErrorKind::Length`] unless `length` is 32, 40, 48, 56, 64 or 96;
    /// [`Nat64PrefixErrorKind::HostBits`] when `network` has bits set past it;
    /// [`Nat64PrefixErrorKind::ReservedOctet`] when bits 64–71 of a /96 are not zero.
    pub fn new(network: Ipv6Addr, length: u8) -> Result<Self, Nat64PrefixError> {
        let length =
            PrefixLength::of(length).ok_or(Nat64PrefixError { kind: Nat64PrefixErrorKind::Length })?;
        let host = u128::MAX.checked_shr(length.bits().into()).unwrap_or(0);
        if network.to_bits() & host != 0 {
            return Err(Nat64PrefixError { kind: Nat64PrefixErrorKind::HostBits });
        }
        let [_, _, _, _, _, _, _, _, reserved, ..] = network.octets();
        if reserved != 0 {
            return Err(Nat64PrefixError { kind: Nat64PrefixErrorKind::ReservedOctet });
        }
        Ok(Self { network, length })
    }

    /// The first address under the prefix.
    #[must_use]
    pub const fn network(&self) -> Ipv6Addr {
        self.network
    }

    /// The length of the prefix in bits.
    #[must_use]
    pub const fn prefix_len(&self) -> u8 {
        self.length.bits()
    }

    /// The IPv4 address that `address` stands for, `None` when it is not under the prefix.
    #[must_use]
    pub fn decode(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let host = u128::MAX.checked_shr(self.length.bits().into()).unwrap_or(0);
        (address.to_bits() & !host == self.network.to_bits()).then(|| self.length.decode(address))
    }
}

impl fmt::Display for Nat64Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length.bits())
    }
}

impl FromStr for Nat64Prefix {
    type Err = Nat64PrefixError;

    fn from_str(text: &str) -> Result<Self, Nat64PrefixError> {
        let syntax = Nat64PrefixError { kind: Nat64PrefixErrorKind::Syntax };
        let (network, length) = text.split_once('/').ok_or(syntax)?;
        if length.is_empty() || length.len() > 3 || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(syntax);
        }
        let network = network.parse().map_err(|_| syntax)?;
        Self::new(network, length.parse().map_err(|_| syntax)?)
    }
}

/// Why a NAT64 prefix was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("NAT64 prefix refused: {kind}")]
pub struct Nat64PrefixError {
    kind: Nat64PrefixErrorKind,
}

impl Nat64PrefixError {
    /// What was wrong.
    #[must_use]
    pub const fn kind(&self) -> Nat64PrefixErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            Nat64PrefixErrorKind::HostBits => "address.nat64_prefix.host_bits",
            Nat64PrefixErrorKind::Length => "address.nat64_prefix.length",
            Nat64PrefixErrorKind::ReservedOctet => "address.nat64_prefix.reserved_octet",
            Nat64PrefixErrorKind::Syntax => "address.nat64_prefix.syntax",
        }
    }
}

/// What was wrong with a NAT64 prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Nat64PrefixErrorKind {
    /// Bits are set past the prefix length.
    #[error("bits are set past the prefix length")]
    HostBits,
    /// The length is none of RFC 6052 §2.2.
    #[error("prefix length is not one of 32, 40, 48, 56, 64, 96")]
    Length,
    /// Bits 64–71 are not zero.
    #[error("bits 64 to 71 are not zero")]
    ReservedOctet,
    /// Not an IPv6 address, a slash and a decimal length.
    #[error("expected an IPv6 address, a slash and a prefix length")]
    Syntax,
}
