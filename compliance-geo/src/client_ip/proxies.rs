//! Which peers are our own proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::cloudflare::RANGES;
use super::{ClientIpConfigError, Peer};

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
    unix_socket: bool,
    // Whether an edge that others use too is among them, and whether anything else is.
    shared_edge: bool,
    own: bool,
}

impl TrustedProxies {
    /// Day of Cloudflare's last change to the list behind [`cloudflare`](Self::cloudflare).
    pub const CLOUDFLARE_UPDATED: &str = "2023-09-28";

    /// Reads networks in CIDR form (RFC 4632 §3.1, RFC 4291 §2.3) and single addresses. IPv4-mapped IPv6 networks
    /// become IPv4. Networks that overlap Cloudflare's count as
    /// [`cloudflare`](Self::cloudflare)'s. `unix:`, as nginx spells it, stands for peers that connect over a Unix socket
    /// of this machine.
    ///
    /// # Errors
    /// [`ClientIpConfigError`]: `client_ip.network` for anything else, bits set behind the prefix included;
    /// `client_ip.trusts_everyone` for a network wider than /8 (IPv4) or /16 (IPv6, unique local addresses aside), and
    /// when the networks cover all of IPv4 or all of IPv6.
    pub fn parse<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, ClientIpConfigError> {
        let mut proxies = Self::default();
        for (position, text) in networks.into_iter().enumerate() {
            let (text, mut one) = (text.as_ref(), Self::default());
            one.add(text).ok_or(ClientIpConfigError::Network { position })?;
            // However the edge's networks came here, their word is worth the same.
            let is_shared = one.overlaps(&RANGES);
            proxies.shared_edge |= is_shared;
            proxies.own |= !is_shared;
            proxies.v4.append(&mut one.v4);
            proxies.v6.append(&mut one.v6);
            proxies.unix_socket |= one.unix_socket;
        }
        if proxies.v4.iter().any(is_wide_v4) || proxies.v6.iter().any(is_wide_v6) {
            return Err(ClientIpConfigError::TrustsEveryone);
        }
        proxies.merged()
    }

    /// Cloudflare's edge, as of [`CLOUDFLARE_UPDATED`](Self::CLOUDFLARE_UPDATED).
    ///
    /// # Security
    /// Anybody with a Cloudflare account can have its edge send requests to your origin. The ranges say that a
    /// request came through Cloudflare, not that it came through *your* zone: see
    /// [`OriginProof`](super::OriginProof).
    ///
    /// # Errors
    /// None; the list is well formed. [`ClientIp::new`](super::ClientIp::new) takes it only together with a proof.
    pub fn cloudflare() -> Result<Self, ClientIpConfigError> {
        Ok(Self { shared_edge: true, own: false, ..Self::parse(RANGES)? })
    }

    /// Trusts what either trusts: `cloudflare()?.and(parse(["10.0.0.0/8"])?)?` for an own load balancer behind the edge.
    ///
    /// # Errors
    /// [`ClientIpConfigError`] `client_ip.trusts_everyone` when together they cover all of IPv4 or all of IPv6.
    pub fn and(mut self, other: Self) -> Result<Self, ClientIpConfigError> {
        self.v4.extend(other.v4);
        self.v6.extend(other.v6);
        self.unix_socket |= other.unix_socket;
        self.shared_edge |= other.shared_edge;
        self.own |= other.own;
        self.merged()
    }

    fn merged(mut self) -> Result<Self, ClientIpConfigError> {
        merge(&mut self.v4, |last| last.checked_add(1));
        merge(&mut self.v6, |last| last.checked_add(1));
        if self.v4.contains(&(0, u32::MAX)) || self.v6.contains(&(0, u128::MAX)) {
            return Err(ClientIpConfigError::TrustsEveryone);
        }
        Ok(self)
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

    /// As [`contains`](Self::contains), for a peer that may have no address.
    pub(crate) fn contains_peer(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(ip) => self.contains(ip),
            Peer::UnixSocket => self.unix_socket,
        }
    }

    #[inline]
    pub(crate) fn contains_v4(&self, ip: Ipv4Addr) -> bool {
        within(&self.v4, ip.to_bits())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty() && !self.unix_socket
    }

    /// Whether peers that connect over a Unix socket are proxies of ours.
    #[must_use]
    pub fn trusts_unix_socket(&self) -> bool {
        self.unix_socket
    }

    /// Whether an edge is among them that serves other people's zones too.
    pub(super) fn has_shared_edge(&self) -> bool {
        self.shared_edge
    }

    /// Whether such an edge is all there is.
    pub(super) fn only_shared_edge(&self) -> bool {
        self.shared_edge && !self.own
    }

    /// Whether any address is in one of these networks.
    fn overlaps(&self, networks: &[&str]) -> bool {
        let mut known = Self::default();
        let unread = networks.iter().any(|network| known.add(network).is_none());
        let v4 = self.v4.iter().any(|one| known.v4.iter().any(|edge| edge.0 <= one.1 && one.0 <= edge.1));
        let v6 = self.v6.iter().any(|one| known.v6.iter().any(|edge| edge.0 <= one.1 && one.0 <= edge.1));
        unread || v4 || v6
    }

    fn add(&mut self, text: &str) -> Option<()> {
        if text == UNIX_SOCKET {
            self.unix_socket = true;
            return Some(());
        }
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

/// Nobody's proxies are as many as a /8.
fn is_wide_v4((first, last): &(u32, u32)) -> bool {
    last.saturating_sub(*first) > u32::MAX >> 8
}

/// Unique local addresses (RFC 4193) are nobody else's, however many.
fn is_wide_v6((first, last): &(u128, u128)) -> bool {
    last.saturating_sub(*first) > u128::MAX >> 16 && !(first >> 121 == 0xfc >> 1 && last >> 121 == 0xfc >> 1)
}

/// Stands for every peer that connects over a Unix socket.
const UNIX_SOCKET: &str = "unix:";

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
