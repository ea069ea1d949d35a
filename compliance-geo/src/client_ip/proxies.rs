//! Which peers are our own proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// The networks in which our own proxies are. Headers count only when the peer is in one of them.
///
/// Ranges go stale both ways: a proxy that moved out of them is treated as the client, and a range that was given
/// back is somebody else's tomorrow. Keep them as few and as narrow as the deployment allows.
///
/// ```
/// use compliance_geo::client_ip::TrustedProxies;
///
/// let proxies = TrustedProxies::parse(["10.0.0.0/8", "2001:db8:5::/48", "192.0.2.7"])?;
/// assert!(proxies.contains("10.1.2.3".parse().unwrap()));
/// assert!(proxies.contains("::ffff:10.1.2.3".parse().unwrap()));
/// assert!(!proxies.contains("192.0.2.8".parse().unwrap()));
/// assert_eq!(TrustedProxies::parse(["0.0.0.0/0"]).unwrap_err().code(), "client_ip.trusts_everyone");
/// # Ok::<(), compliance_geo::client_ip::ClientIpConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    // First and last addresses, ascending, not touching.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Networks that Cloudflare publishes for its edge, <https://www.cloudflare.com/ips/>.
const CLOUDFLARE: [&str; 22] = [
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "108.162.192.0/18",
    "131.0.72.0/22",
    "141.101.64.0/18",
    "162.158.0.0/15",
    "172.64.0.0/13",
    "173.245.48.0/20",
    "188.114.96.0/20",
    "190.93.240.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "2400:cb00::/32",
    "2405:8100::/32",
    "2405:b500::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
];

impl TrustedProxies {
    /// Day of Cloudflare's last change to the list behind [`cloudflare`](Self::cloudflare).
    pub const CLOUDFLARE_UPDATED: &str = "2023-09-28";

    /// Reads networks in CIDR form (RFC 4632 §3.1, RFC 4291 §2.3) and single addresses. IPv4-mapped IPv6 networks
    /// become IPv4.
    ///
    /// # Errors
    /// [`ClientIpConfigError`]: `client_ip.network` for anything else, bits set behind the prefix included;
    /// `client_ip.trusts_everyone` when the networks cover all of IPv4 or all of IPv6.
    pub fn parse<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, ClientIpConfigError> {
        let mut proxies = Self::default();
        for (position, text) in networks.into_iter().enumerate() {
            proxies.add(text.as_ref()).ok_or(ClientIpConfigError::Network { position })?;
        }
        merge(&mut proxies.v4, |last| last.checked_add(1));
        merge(&mut proxies.v6, |last| last.checked_add(1));
        if proxies.v4.contains(&(0, u32::MAX)) || proxies.v6.contains(&(0, u128::MAX)) {
            return Err(ClientIpConfigError::TrustsEveryone);
        }
        Ok(proxies)
    }

    /// Cloudflare's edge, as of [`CLOUDFLARE_UPDATED`](Self::CLOUDFLARE_UPDATED).
    ///
    /// # Security
    /// Anybody with a Cloudflare account can have its edge send requests to your origin. The ranges say that a
    /// request came through Cloudflare, not that it came through *your* zone: see
    /// [`OriginProof`](super::OriginProof).
    ///
    /// # Errors
    /// None; the list is well formed.
    pub fn cloudflare() -> Result<Self, ClientIpConfigError> {
        Self::parse(CLOUDFLARE)
    }

    /// Whether this address is one of our proxies. Allocates nothing; a binary search over the networks.
    #[inline]
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => self.contains_v4(ip),
            IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
                Some(ip) => self.contains_v4(ip),
                None => within(&self.v6, ip.to_bits()),
            },
        }
    }

    #[inline]
    pub(crate) fn contains_v4(&self, ip: Ipv4Addr) -> bool {
        within(&self.v4, ip.to_bits())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    fn add(&mut self, text: &str) -> Option<()> {
        let network = match text.parse::<IpAddr>() {
            Ok(ip) => IpNet::from(ip),
            Err(_) => text.parse().ok()?,
        };
        if network.addr() != network.network() {
            return None;
        }
        match network {
            IpNet::V4(network) => self.v4.push((bits_v4(network.network()), bits_v4(network.broadcast()))),
            IpNet::V6(network) => {
                match (network.network().to_ipv4_mapped(), network.broadcast().to_ipv4_mapped()) {
                    (Some(first), Some(last)) => self.v4.push((first.to_bits(), last.to_bits())),
                    _ => self.v6.push((bits_v6(network.network()), bits_v6(network.broadcast()))),
                }
            }
        }
        Some(())
    }
}

fn bits_v4(ip: Ipv4Addr) -> u32 {
    ip.to_bits()
}

fn bits_v6(ip: Ipv6Addr) -> u128 {
    ip.to_bits()
}

#[inline]
fn within<A: Copy + Ord>(ranges: &[(A, A)], ip: A) -> bool {
    if let [(first, last)] = ranges {
        return *first <= ip && ip <= *last;
    }
    let after = ranges.partition_point(|(first, _)| *first <= ip);
    after.checked_sub(1).and_then(|position| ranges.get(position)).is_some_and(|(_, last)| ip <= *last)
}

/// Sorts ranges and joins those that overlap or touch.
fn merge<A: Copy + Ord>(ranges: &mut Vec<(A, A)>, next: impl Fn(A) -> Option<A>) {
    ranges.sort_unstable();
    let mut merged: Vec<(A, A)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges.drain(..) {
        match merged.last_mut() {
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    *ranges = merged;
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
        "expected a network like `10.0.0.0/8` with no bits behind the prefix, or an address, at position {position}"
    )]
    Network {
        /// Its position, from 0.
        position: usize,
    },
    /// A header is to be read, but no proxy is trusted to set it: it would never be.
    #[error("a header is configured as the source, but no proxy is trusted to set it")]
    NoProxies,
    /// Every address is trusted: whoever asks first could name any client.
    #[error("the trusted networks cover every IPv4 or every IPv6 address")]
    TrustsEveryone,
}

impl ClientIpConfigError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::HeaderName => "client_ip.header_name",
            Self::Hops { .. } => "client_ip.hops",
            Self::Network { .. } => "client_ip.network",
            Self::NoProxies => "client_ip.no_proxies",
            Self::TrustsEveryone => "client_ip.trusts_everyone",
        }
    }
}
