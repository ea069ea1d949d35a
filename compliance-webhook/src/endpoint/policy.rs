//! The rules, and the loud way around them for receivers inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use compliance_core::address::outside;
use compliance_core::clock::Timestamp;
use compliance_core::finding::{Enforcement, PolicyVersion, RiskAcceptance};
use ipnet::IpNet;
use url::Url;

use super::name::{check_outside, check_syntax, is_localhost};
use super::{
    AcceptedRisk, DEFAULT_PORT, EndpointDecision, EndpointError, EndpointPolicyError, EndpointReason, Host,
    Inner, MAX_URL_LEN, WebhookEndpoint,
};

/// Which URLs may be webhook endpoints.
///
/// The default allows port 443 and public host names. What can be widened without danger (ports) or narrowed
/// (own hosts) is a `with_…` method; receivers inside go through [`dangerous`](Self::dangerous).
///
/// ```
/// use compliance_webhook::endpoint::EndpointPolicy;
///
/// let policy = EndpointPolicy::new().with_ports(&[443, 8443])?.with_refused_host("ourselves.example.com")?;
/// assert!(policy.check("https://hooks.example.net:8443/in").is_ok());
/// let refused = policy.check("https://api.ourselves.example.com/").unwrap_err();
/// assert_eq!(refused.code(), "endpoint.refused_host");
/// # Ok::<(), compliance_webhook::endpoint::EndpointPolicyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct EndpointPolicy {
    ports: Vec<u16>,
    refused_hosts: Vec<Box<str>>,
    address_literals: bool,
    enforcement: Enforcement,
    version: PolicyVersion,
    dangers: Option<Dangers>,
}

#[derive(Clone, Debug)]
struct Dangers {
    acceptance: Arc<RiskAcceptance>,
    receivers: Vec<Receiver>,
}

#[derive(Clone, Debug)]
struct Receiver {
    host: ReceiverHost,
    network: IpNet,
}

#[derive(Clone, Debug)]
enum ReceiverHost {
    Exactly(Box<str>),
    Localhost,
}

impl Default for EndpointPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl EndpointPolicy {
    /// Port 443, public names.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ports: vec![DEFAULT_PORT],
            refused_hosts: Vec::new(),
            address_literals: false,
            enforcement: Enforcement::Enforce,
            version: PolicyVersion::new("webhook-endpoint", "1"),
            dangers: None,
        }
    }

    /// Names the policy for findings; `webhook-endpoint/1` otherwise.
    #[must_use]
    pub fn with_version(mut self, version: PolicyVersion) -> Self {
        self.version = version;
        self
    }

    /// Replaces the list of allowed ports.
    ///
    /// # Errors
    /// `endpoint_policy.ports` when the list is empty or has port 0.
    pub fn with_ports(mut self, ports: &[u16]) -> Result<Self, EndpointPolicyError> {
        if ports.is_empty() || ports.contains(&0) {
            return Err(EndpointPolicyError::Ports);
        }
        self.ports = ports.to_vec();
        Ok(self)
    }

    /// Refuses a host and everything below it: the service's own names, so that nobody turns its webhooks
    /// against itself.
    ///
    /// # Errors
    /// `endpoint_policy.host` when `host` is no host name.
    pub fn with_refused_host(mut self, host: &str) -> Result<Self, EndpointPolicyError> {
        self.refused_hosts.push(normalised_name(host)?);
        Ok(self)
    }

    /// Accepts literals of addresses that are outside, such as `https://93.184.216.34/`. Off by default: no
    /// public authority vouches for most of them, and they are rarely meant.
    #[must_use]
    pub fn with_address_literals(mut self) -> Self {
        self.address_literals = true;
        self
    }

    /// Report-only for a roll-out, see [`decide`](Self::decide). Default: [`Enforcement::Enforce`].
    #[must_use]
    pub fn with_enforcement(mut self, enforcement: Enforcement) -> Self {
        self.enforcement = enforcement;
        self
    }

    /// Opens the door for receivers inside, under somebody's written acceptance.
    ///
    /// # Security
    /// Each accepted receiver is one host with one network; a tenant's other names still cannot resolve
    /// inside. Endpoints accepted this way explain themselves as `endpoint.risk_accepted`, and both the check
    /// and the guard refuse them once the acceptance has expired.
    pub fn dangerous(self, acceptance: RiskAcceptance) -> DangerousEndpointPolicy {
        DangerousEndpointPolicy { policy: self, acceptance, receivers: Vec::new() }
    }

    /// The policy's name and version.
    #[must_use]
    pub fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// Checks a URL. Receivers accepted under [`dangerous`](Self::dangerous) are refused here, because their
    /// acceptance depends on the time: they need [`check_at`](Self::check_at).
    ///
    /// # Errors
    /// [`EndpointError`] with the first rule that refuses.
    ///
    /// # Security
    /// `input` may be hostile. One pass and one parse, both linear in at most [`MAX_URL_LEN`] bytes.
    pub fn check(&self, input: &str) -> Result<WebhookEndpoint, EndpointError> {
        let (url, host, port) = self.parse(input)?;
        self.check_host(&host)?;
        Ok(self.accept(url, host, port, None))
    }

    /// Checks a URL, and lets in the receivers accepted under [`dangerous`](Self::dangerous) while their
    /// acceptance is in force at `now`. The same as [`check`](Self::check) for a policy without such.
    ///
    /// # Errors
    /// [`EndpointError`] with the first rule that refuses; `endpoint.risk_expired` for an accepted receiver
    /// after the acceptance's end.
    pub fn check_at(&self, input: &str, now: Timestamp) -> Result<WebhookEndpoint, EndpointError> {
        let (url, host, port) = self.parse(input)?;
        let risk = self.dangers.as_ref().and_then(|dangers| dangers.covering(&host));
        match risk {
            None => self.check_host(&host)?,
            Some(ref risk) => {
                risk.acceptance.in_force(now).map_err(|_| EndpointReason::RiskExpired)?;
            }
        }
        Ok(self.accept(url, host, port, risk))
    }

    /// Checks a URL the way the policy is rolled out, with a finding at hand.
    ///
    /// ```
    /// use compliance_core::finding::{Enforcement, Explain};
    /// use compliance_webhook::EndpointPolicy;
    ///
    /// let trial = EndpointPolicy::new().with_enforcement(Enforcement::ReportOnly);
    /// let now = "2026-11-21T12:00:00Z".parse()?;
    /// let decision = trial.decide("http://hooks.example.net/in", now);
    /// assert_eq!(decision.finding().to_string(), "refused endpoint.scheme (webhook-endpoint/1, report only)");
    /// assert_eq!(decision.into_result()?, None); // send it the way it was sent before
    /// assert!(trial.decide("https://hooks.example.net/in", now).into_result()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide(&self, input: &str, now: Timestamp) -> EndpointDecision {
        EndpointDecision {
            result: self.check_at(input, now),
            enforcement: self.enforcement,
            version: self.version.clone(),
        }
    }

    fn accept(&self, url: Url, host: Host, port: u16, accepted: Option<AcceptedRisk>) -> WebhookEndpoint {
        let policy = self.version.clone();
        WebhookEndpoint { inner: Arc::new(Inner::new(url, host, port, policy, accepted)) }
    }

    fn check_host(&self, host: &Host) -> Result<(), EndpointReason> {
        match host {
            Host::Address(address) if self.address_literals && outside(*address).is_ok() => Ok(()),
            Host::Address(_) => Err(EndpointReason::AddressLiteral),
            Host::Name(name) => check_outside(name, &self.refused_hosts),
        }
    }

    fn parse(&self, input: &str) -> Result<(Url, Host, u16), EndpointReason> {
        check_shape(input)?;
        let mut url = Url::parse(input).map_err(|_| EndpointReason::Syntax)?;
        // The shape was read by eye, the rest is said by the parser; both must agree.
        if url.scheme() != "https" {
            return Err(EndpointReason::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointReason::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(EndpointReason::Fragment);
        }
        if let Some(name) = url.host_str().and_then(|host| host.strip_suffix('.')).map(str::to_owned) {
            url.set_host(Some(&name)).map_err(|_| EndpointReason::Host)?;
        }
        let host = match url.host().ok_or(EndpointReason::Syntax)? {
            url::Host::Domain(name) => {
                check_syntax(name)?;
                Host::Name(name.into())
            }
            url::Host::Ipv4(address) => Host::Address(IpAddr::V4(address)),
            url::Host::Ipv6(address) => Host::Address(IpAddr::V6(address)),
        };
        let port = url.port().unwrap_or(DEFAULT_PORT);
        if !self.ports.contains(&port) {
            return Err(EndpointReason::Port { found: port });
        }
        // Percent-encoding can make the kept form longer than what came in.
        let found = url.as_str().len();
        if found > MAX_URL_LEN { Err(EndpointReason::Length { found }) } else { Ok((url, host, port)) }
    }
}

/// What a parser would repair or drop in silence.
fn check_shape(input: &str) -> Result<(), EndpointReason> {
    if input.len() > MAX_URL_LEN {
        return Err(EndpointReason::Length { found: input.len() });
    }
    let repaired = |char: char| char.is_control() || char.is_whitespace() || char == '\\';
    if let Some((at, _)) = input.char_indices().find(|(_, char)| repaired(*char)) {
        return Err(EndpointReason::Character { at });
    }
    let Some((scheme, rest)) = input.split_once("://") else { return Err(EndpointReason::Scheme) };
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(EndpointReason::Scheme);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(EndpointReason::Syntax);
    }
    if authority.contains('@') {
        return Err(EndpointReason::UserInfo);
    }
    if authority.contains('%') {
        return Err(EndpointReason::Host);
    }
    let before = scheme.len().saturating_add("://".len());
    match authority.char_indices().find(|(_, char)| is_invisible(*char)) {
        Some((at, _)) => Err(EndpointReason::Character { at: before.saturating_add(at) }),
        None => Ok(()),
    }
}

/// Unicode 16 `Default_Ignorable_Code_Point`: no reader sees them, and IDNA drops nearly all of them from a host.
/// A name whose script needs the joiners has its `xn--` form.
fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}'
    )
}

fn normalised_name(host: &str) -> Result<Box<str>, EndpointPolicyError> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    check_syntax(&host).map_err(|_| EndpointPolicyError::Host)?;
    Ok(host.into())
}

impl Dangers {
    fn covering(&self, host: &Host) -> Option<AcceptedRisk> {
        let networks: Vec<IpNet> = self
            .receivers
            .iter()
            .filter(|receiver| receiver.is(host))
            .map(|receiver| receiver.network)
            .collect();
        (!networks.is_empty()).then(|| AcceptedRisk { acceptance: Arc::clone(&self.acceptance), networks })
    }
}

impl Receiver {
    fn is(&self, host: &Host) -> bool {
        match (&self.host, host) {
            (ReceiverHost::Exactly(wanted), Host::Name(name)) => wanted == name,
            (ReceiverHost::Exactly(_), Host::Address(_)) => false,
            (ReceiverHost::Localhost, Host::Name(name)) => is_localhost(name),
            (ReceiverHost::Localhost, Host::Address(address)) => self.network.contains(address),
        }
    }
}

/// An [`EndpointPolicy`] in the making that lets named receivers be inside.
///
/// ```
/// use compliance_core::clock::Timestamp;
/// use compliance_core::finding::{Explain, RiskAcceptance};
/// use compliance_webhook::endpoint::EndpointPolicy;
///
/// let risk = RiskAcceptance::new("ops-lead", "receiver runs on this host", "2026-12-31T00:00:00Z".parse()?)?;
/// let policy = EndpointPolicy::new().with_ports(&[8443])?.dangerous(risk).allow_loopback().build();
///
/// let endpoint = policy.check_at("https://localhost:8443/in", "2026-11-21T00:00:00Z".parse()?)?;
/// assert_eq!(endpoint.finding().operator_code().as_str(), "endpoint.risk_accepted");
///
/// let late: Timestamp = "2027-01-01T00:00:00Z".parse()?;
/// assert_eq!(policy.check_at("https://localhost:8443/in", late).unwrap_err().code(), "endpoint.risk_expired");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct DangerousEndpointPolicy {
    policy: EndpointPolicy,
    acceptance: RiskAcceptance,
    receivers: Vec<Receiver>,
}

impl DangerousEndpointPolicy {
    /// Accepts `localhost`, names below it and loopback literals, on loopback addresses (127.0.0.0/8, ::1).
    pub fn allow_loopback(mut self) -> Self {
        for network in LOOPBACK_NETWORKS {
            self.receivers.push(Receiver { host: ReceiverHost::Localhost, network });
        }
        self
    }

    /// Accepts one internal receiver: exactly this host name, as long as it resolves into `network`/`prefix_len`.
    /// The guard refuses its answers anywhere else, outside included (`guard.risk_network`), and an IPv6 answer that
    /// carries an IPv4 address of anywhere else.
    ///
    /// The network must lie within 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7, or
    /// loopback. Cloud metadata addresses inside these are refused by the guard all the same.
    ///
    /// # Errors
    /// `endpoint_policy.host` when `host` is no host name, `endpoint_policy.network` when the network is not
    /// wholly in one of these.
    pub fn allow_receiver(
        mut self,
        host: &str,
        network: IpAddr,
        prefix_len: u8,
    ) -> Result<Self, EndpointPolicyError> {
        let host = ReceiverHost::Exactly(normalised_name(host)?);
        let network = IpNet::new(network, prefix_len).map_err(|_| EndpointPolicyError::Network)?.trunc();
        if !LOOPBACK_NETWORKS.iter().chain(&PRIVATE_NETWORKS).any(|private| private.contains(&network)) {
            return Err(EndpointPolicyError::Network);
        }
        self.receivers.push(Receiver { host, network });
        Ok(self)
    }

    /// The policy.
    #[must_use]
    pub fn build(self) -> EndpointPolicy {
        let dangers = Dangers { acceptance: Arc::new(self.acceptance), receivers: self.receivers };
        EndpointPolicy { dangers: Some(dangers), ..self.policy }
    }
}

const fn v4(octets: [u8; 4], prefix_len: u8) -> IpNet {
    let [a, b, c, d] = octets;
    IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix_len)
}

const fn v6(first: u16, last: u16, prefix_len: u8) -> IpNet {
    IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last)), prefix_len)
}

const LOOPBACK_NETWORKS: [IpNet; 2] = [v4([127, 0, 0, 0], 8), v6(0, 1, 128)];

const PRIVATE_NETWORKS: [IpNet; 5] = [
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v6(0xfc00, 0, 7),
];
