//! Which IPv6 addresses this network translates to IPv4: RFC 7050 discovery.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compliance_core::address::Nat64Prefix;

/// The name with no other addresses than two well-known IPv4 ones (RFC 7050 §8.1). An AAAA answer for it was
/// made by a DNS64 of this network and shows its prefix.
pub const NAT64_DISCOVERY_NAME: &str = "ipv4only.arpa";

/// RFC 7050 §8.2.
const WELL_KNOWN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// RFC 6052 §2.2.
const LENGTHS: [u8; 6] = [96, 64, 56, 48, 40, 32];

/// The NAT64 prefixes in the answers for [`NAT64_DISCOVERY_NAME`].
///
/// Where a well-known address appears at more than one place, RFC 7050 §3 has a host look for a tie-breaker; here
/// every reading counts, since a prefix only ever adds refusals.
///
/// ```
/// use compliance_webhook::guard::nat64_prefixes;
///
/// let found = nat64_prefixes(&["192.0.0.170".parse()?, "2001:67c:2b0:db32:0:1:c000:aa".parse()?]);
/// assert_eq!(found, ["2001:67c:2b0:db32:0:1::/96".parse().expect("a prefix")]);
/// assert_eq!(nat64_prefixes(&["192.0.0.170".parse()?]), []);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
///
/// # Security
/// Whoever answers for the name chooses the prefixes. They cannot make an inside address pass; a wrong one makes
/// some outside addresses look inside.
#[must_use]
pub fn nat64_prefixes(answers: &[IpAddr]) -> Vec<Nat64Prefix> {
    let mut found = Vec::new();
    for answer in answers {
        let IpAddr::V6(v6) = answer else { continue };
        for prefix in prefixes_of(*v6) {
            let shows = prefix.decode(*v6).is_some_and(|carried| WELL_KNOWN.contains(&carried));
            if shows && !found.contains(&prefix) {
                found.push(prefix);
            }
        }
    }
    found
}

/// Every IPv4 address that some NAT64 prefix could take out of the address.
pub(super) fn every_layout(ip: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let v6 = match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(v6),
    };
    v6.into_iter().flat_map(|v6| prefixes_of(v6).filter_map(move |prefix| prefix.decode(v6)))
}

/// The address's own prefix of each length.
fn prefixes_of(v6: Ipv6Addr) -> impl Iterator<Item = Nat64Prefix> {
    LENGTHS.into_iter().filter_map(move |length| {
        let host = u128::MAX.checked_shr(length.into()).unwrap_or(0);
        Nat64Prefix::new(Ipv6Addr::from_bits(v6.to_bits() & !host), length).ok()
    })
}

#[cfg(feature = "deliver")]
pub(super) use discovery::Nat64Discovery;

#[cfg(feature = "deliver")]
mod discovery {
    use std::sync::{Arc, Mutex, PoisonError};
    use std::time::Duration;

    use compliance_core::address::Nat64Prefix;
    use compliance_core::clock::Timestamp;
    use tokio::time::timeout;

    use super::{NAT64_DISCOVERY_NAME, nat64_prefixes};
    use crate::guard::Resolve;

    /// How long what was found counts. A server does not move between networks often.
    const LIFETIME: Duration = Duration::from_secs(3600);

    /// How long a failure counts, so that a dead resolver is not asked with every attempt.
    const RETRY: Duration = Duration::from_secs(60);

    /// How long an answer is waited for; less than a look-up's own limit.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// What DNS said about this network, for all attempts of one transport.
    #[derive(Default)]
    pub(in crate::guard) struct Nat64Discovery {
        heard: Mutex<Option<Heard>>,
        asking: tokio::sync::Mutex<()>,
    }

    #[derive(Clone)]
    struct Heard {
        /// `None`: nobody ever answered.
        prefixes: Option<Arc<[Nat64Prefix]>>,
        from: Timestamp,
        until: Timestamp,
    }

    impl Nat64Discovery {
        /// The prefixes as of `now`; asks when what is known is too old. `None` when nobody ever answered.
        pub(in crate::guard) async fn prefixes<R: Resolve>(
            &self,
            resolver: &R,
            now: Timestamp,
        ) -> Option<Arc<[Nat64Prefix]>> {
            if let Some(heard) = self.fresh(now) {
                return heard.prefixes;
            }
            // One asks, the others wait for what it hears.
            let _turn = self.asking.lock().await;
            if let Some(heard) = self.fresh(now) {
                return heard.prefixes;
            }
            let answers = timeout(PATIENCE, resolver.resolve(NAT64_DISCOVERY_NAME)).await;
            // The name has addresses, if only IPv4 ones: an empty answer is none.
            let answers = answers.ok().and_then(Result::ok).filter(|answers| !answers.is_empty());
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let (prefixes, lifetime) = match answers {
                Some(answers) => (Some(nat64_prefixes(&answers).into()), LIFETIME),
                // What was true an hour ago only adds refusals.
                None => (heard.take().and_then(|heard| heard.prefixes), RETRY),
            };
            *heard =
                Some(Heard { prefixes: prefixes.clone(), from: now, until: now.saturating_add(lifetime) });
            prefixes
        }

        fn fresh(&self, now: Timestamp) -> Option<Heard> {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.clone().filter(|heard| heard.from <= now && now < heard.until)
        }
    }
}
