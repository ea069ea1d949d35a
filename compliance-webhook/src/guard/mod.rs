//! From a name to addresses that may be dialled.
//!
//! An [`EndpointPolicy`](crate::endpoint::EndpointPolicy) judges a URL once; where its name leads may change
//! with every lookup (DNS rebinding). So each attempt resolves once, and [`Guard::check_answers`] judges every
//! answer: if a single one is inside, the whole set is refused, because an attacker who mixes answers chooses
//! which one is dialled. What passes is a [`GuardedAddr`], the only thing our connector dials. Address literals
//! go through the same check.
//!
//! The decision is a plain function and works offline; resolving is the [`Resolve`] trait. Whoever has an HTTP
//! client of their own puts `GuardedConnector` (feature `connector`) under it.

#[cfg(feature = "connector")]
mod connector;
#[cfg(feature = "deliver")]
mod dial;
mod error;
#[cfg(feature = "hickory")]
mod hickory;
mod nat64;
mod resolve;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use compliance_core::address::{AddressReason, Nat64Prefix, canonical, embedded_ipv4, outside, outside_with};
use compliance_core::clock::Timestamp;
use compliance_core::finding::{Enforcement, Finding, Outcome, PolicyVersion, RiskAcceptance};
use compliance_core::reason_code;
use ipnet::IpNet;

use crate::endpoint::{EndpointHost, RiskCover, WebhookEndpoint};

#[cfg(feature = "connector")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "connector")))]
pub use connector::{ConnectError, GuardedConnector, GuardedConnectorBuilder, GuardedStream};
#[cfg(feature = "deliver")]
pub(crate) use dial::{Dialer, DialerBuilder};
pub use error::{GuardError, GuardReason};
#[cfg(feature = "hickory")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "hickory")))]
pub use hickory::HickoryResolver;
pub use nat64::{NAT64_DISCOVERY_NAME, nat64_prefixes};
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
    nat64_discovery: bool,
    version: PolicyVersion,
    trial: Option<Arc<RiskAcceptance>>,
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
            nat64_discovery: true,
            trial: None,
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

    /// Judges the IPv4 address inside answers under a NAT64 prefix of this network. The well-known prefixes need no
    /// entry, and what a transport or connector discovers ([`NAT64_DISCOVERY_NAME`]) comes on top.
    #[must_use]
    pub fn with_nat64_prefix(mut self, prefix: Nat64Prefix) -> Self {
        self.nat64_prefixes.push(prefix);
        self
    }

    /// Has transports and connectors not ask DNS for this network's NAT64 prefixes (RFC 7050), which they do once
    /// an hour otherwise, refusing IPv6 answers while they get no answer. For networks whose DNS has no
    /// `ipv4only.arpa`; configured prefixes count all the same.
    #[must_use]
    pub fn without_nat64_discovery(mut self) -> Self {
        self.nat64_discovery = false;
        self
    }

    /// Opens the door for a trial, under somebody's written acceptance.
    ///
    /// ```
    /// use compliance_core::finding::{Enforcement, RiskAcceptance};
    /// use compliance_webhook::{EndpointPolicy, Guard};
    ///
    /// let risk = RiskAcceptance::new("ops-lead", "counting who would be hit", "2026-12-01T00:00:00Z".parse()?)?;
    /// let guard = Guard::new().dangerous(risk).report_only();
    ///
    /// let endpoint = EndpointPolicy::new().check("https://hooks.example.net/in")?;
    /// let trial = guard.check_answers(&endpoint, &["10.0.0.1".parse()?], "2026-11-21T12:00:00Z".parse()?);
    /// assert_eq!(guard.finding(&trial).to_string(), "refused address.private (webhook-guard/1, report only)");
    /// assert!(trial.is_ok());
    /// assert!(guard.check_answers(&endpoint, &["10.0.0.1".parse()?], "2026-12-01T00:00:00Z".parse()?).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn dangerous(self, acceptance: RiskAcceptance) -> DangerousGuard {
        DangerousGuard { guard: self, acceptance }
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
        self.judge(endpoint, answers, Some(&[]), now)
    }

    /// What a check came to, for the audit trail: refused, passed (`guard.passed`), or passed because somebody had
    /// accepted the risk (`guard.risk_accepted`). A refusal that a [report-only](DangerousGuard::report_only) guard
    /// let pass is a refusal marked as such.
    pub fn finding(&self, checked: &Result<Vec<GuardedAddr>, GuardError>) -> Finding {
        let version = self.version.clone();
        let guarded = match checked {
            Ok(guarded) => guarded,
            Err(error) => return Finding::for_reason(Outcome::Refused, error, version),
        };
        if let Some(waived) = guarded.iter().find_map(GuardedAddr::waived) {
            return Finding::for_reason(Outcome::Refused, &waived, version)
                .with_enforcement(Enforcement::ReportOnly);
        }
        let code = if guarded.iter().any(|addr| addr.grant == Grant::Risk) {
            reason_code!("guard.risk_accepted")
        } else {
            reason_code!("guard.passed")
        };
        Finding::passed(code, version)
    }

    /// As [`check_answers`](Self::check_answers), with the NAT64 prefixes DNS told of; `None` when nobody could say.
    pub(crate) fn judge(
        &self,
        endpoint: &WebhookEndpoint,
        answers: &[IpAddr],
        discovered: Option<&[Nat64Prefix]>,
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
            let (ip, grant) = self.check_address(endpoint, *address, discovered, now)?;
            let addr = SocketAddr::new(ip, endpoint.port());
            Ok(GuardedAddr { addr, endpoint: endpoint.clone(), checked_at: now, valid_until, grant })
        };
        answers.iter().map(guarded).collect()
    }

    /// The address, and every IPv4 address that a translator or tunnel may take out of it.
    fn readings<'a>(
        &'a self,
        plain: IpAddr,
        discovered: &'a [Nat64Prefix],
    ) -> impl Iterator<Item = IpAddr> + 'a {
        let v6 = match plain {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6),
        };
        let prefixes = self.nat64_prefixes.iter().chain(discovered);
        let translated = prefixes.filter_map(move |prefix| prefix.decode(v6?));
        let known = v6.into_iter().flat_map(embedded_ipv4).map(|embedded| embedded.address);
        let carried = known.chain(translated).map(IpAddr::V4);
        std::iter::once(plain).chain(carried)
    }

    /// The address to dial, in canonical form, and why it may be.
    fn check_address(
        &self,
        endpoint: &WebhookEndpoint,
        address: IpAddr,
        discovered: Option<&[Nat64Prefix]>,
        now: Timestamp,
    ) -> Result<(IpAddr, Grant), GuardReason> {
        let plain = canonical(address);
        // INVARIANT: before every rule that an acceptance can set aside. None reaches what hands out credentials,
        // in whatever form, and whichever prefix translates where nobody could say.
        let prefixes = discovered.unwrap_or_default();
        let untold = discovered.is_none().then_some(plain).into_iter().flat_map(nat64::every_layout);
        if self.readings(plain, prefixes).chain(untold.map(IpAddr::V4)).any(is_metadata) {
            return Err(GuardReason::Inside(AddressReason::CloudMetadata));
        }
        let refused = match self.judge_address(endpoint, plain, discovered, now) {
            Ok(grant) => return Ok((plain, grant)),
            Err(refused) => refused,
        };
        match &self.trial {
            Some(acceptance) if acceptance.in_force(now).is_ok() => Ok((plain, Grant::Waived(refused))),
            _ => Err(refused),
        }
    }

    fn judge_address(
        &self,
        endpoint: &WebhookEndpoint,
        plain: IpAddr,
        discovered: Option<&[Nat64Prefix]>,
        now: Timestamp,
    ) -> Result<Grant, GuardReason> {
        let prefixes = discovered.unwrap_or_default();
        let is_own = |ip: IpAddr| self.own_networks.iter().any(|network| network.contains(&ip));
        if self.readings(plain, prefixes).any(is_own) {
            return Err(GuardReason::OwnAddress);
        }
        // Loopback never leaves this host.
        let translatable = plain.is_ipv6() && !plain.is_loopback();
        let told = if translatable && discovered.is_none() { Err(GuardReason::Nat64Unknown) } else { Ok(()) };
        // Whoever signed for an endpoint signed for its network, and no reading of the address may lead elsewhere.
        for reading in self.readings(plain, prefixes) {
            match endpoint.risk_cover(reading, now) {
                RiskCover::None => {
                    let configured = outside_with(plain, &self.nat64_prefixes);
                    return match configured.and_then(|_| outside_with(plain, prefixes)) {
                        Ok(_) => told.map(|()| Grant::Outside),
                        Err(inside) => Err(GuardReason::Inside(inside.reason())),
                    };
                }
                RiskCover::Covered => {}
                RiskCover::Expired => return Err(GuardReason::RiskExpired),
                RiskCover::Elsewhere => {
                    return Err(match outside(reading) {
                        Ok(_) => GuardReason::RiskNetwork,
                        Err(inside) => GuardReason::Inside(inside.reason()),
                    });
                }
            }
        }
        told.map(|()| Grant::Risk)
    }
}

fn is_metadata(ip: IpAddr) -> bool {
    outside(ip).is_err_and(|inside| inside.reason() == AddressReason::CloudMetadata)
}

/// A [`Guard`] in the making that lets pass what it would refuse.
#[derive(Clone, Debug)]
#[must_use]
pub struct DangerousGuard {
    guard: Guard,
    acceptance: RiskAcceptance,
}

impl DangerousGuard {
    /// Decides, says in its [finding](Guard::finding) what it would have refused, and lets pass, until the
    /// acceptance expires; from then on it refuses.
    ///
    /// Cloud metadata services are refused all the same, also where an IPv6 address carries theirs; so are names
    /// without an answer and names with too many.
    ///
    /// # Security
    /// As long as it lasts, this host reaches whatever a customer's DNS points at. For a roll-out in front of
    /// traffic that passes today, with the findings recorded.
    #[must_use]
    pub fn report_only(self) -> Guard {
        Guard { trial: Some(Arc::new(self.acceptance)), ..self.guard }
    }
}

/// Why an address may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    Outside,
    Risk,
    Waived(GuardReason),
}

/// An address that was checked for one endpoint, moments ago.
///
/// A state proof: neither `Clone` nor storable, and [`socket_addr`](Self::socket_addr) refuses it after
/// [`GUARDED_ADDR_LIFETIME`].
#[derive(Debug)]
pub struct GuardedAddr {
    addr: SocketAddr,
    endpoint: WebhookEndpoint,
    checked_at: Timestamp,
    valid_until: Timestamp,
    grant: Grant,
}

impl GuardedAddr {
    /// The address, to dial now.
    ///
    /// # Errors
    /// `guard.expired` from [`valid_until`](Self::valid_until) on, and before the time of the check, which a clock that
    /// was turned back shows: resolve and check again.
    pub fn socket_addr(&self, now: Timestamp) -> Result<SocketAddr, GuardError> {
        let is_moments_ago = self.checked_at <= now && now < self.valid_until;
        if is_moments_ago { Ok(self.addr) } else { Err(GuardReason::Expired.into()) }
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

    /// Whether a connected socket's own end is another address than its peer. The same one means that the name led
    /// to an address of this very host, configured as [own](Guard::with_own_address) or not.
    ///
    /// # Errors
    /// `guard.own_address` when both ends are one address, unless a risk acceptance covers it.
    pub fn check_local(&self, local: SocketAddr) -> Result<(), GuardError> {
        if self.grant == Grant::Outside && canonical(local.ip()) == self.addr.ip() {
            Err(GuardReason::OwnAddress.into())
        } else {
            Ok(())
        }
    }

    /// [`check_peer`](Self::check_peer) and [`check_local`](Self::check_local) for both ends of a connected socket:
    /// what is asked of each connection before a byte is sent.
    ///
    /// # Errors
    /// `guard.peer` or `guard.own_address`, as they say.
    pub fn check_socket(&self, peer: SocketAddr, local: SocketAddr) -> Result<(), GuardError> {
        self.check_peer(peer)?;
        self.check_local(local)
    }

    /// The reason that would have refused it, when a [report-only](DangerousGuard::report_only) guard let it pass.
    #[must_use]
    pub fn waived(&self) -> Option<GuardReason> {
        match self.grant {
            Grant::Waived(reason) => Some(reason),
            Grant::Outside | Grant::Risk => None,
        }
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
