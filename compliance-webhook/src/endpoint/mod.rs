//! Where a webhook may go: an https URL on a public name, and nothing else.
//!
//! [`EndpointPolicy::check`] reads a URL with a WHATWG parser and returns a [`WebhookEndpoint`], the only thing
//! the signer's transport and the outbox take. The rules, in the order they are applied:
//!
//! 1. at most [`MAX_URL_LEN`] bytes, no white space and no control character of Unicode, no backslash;
//! 2. `https://` and an authority, written out (no `https:host`, no `https:////host`);
//! 3. no user info, no percent-encoding and no invisible character in the authority, no fragment;
//! 4. a port of the policy's list, by default 443 alone;
//! 5. a host *name* of two labels or more; address literals in every spelling are refused by default;
//! 6. not a name that means "inside": `localhost`, special-use and private-use suffixes
//!    ([`INTERNAL_SUFFIXES`]), cloud metadata services ([`METADATA_NAMES`]), the policy's own list.
//!
//! A name that passes may still resolve to an inside address: that is decided at each attempt by
//! [`guard`](crate::guard).

mod decision;
mod error;
mod name;
mod policy;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use compliance_core::address::{EmbeddedKind, canonical, embedded_ipv4};
use compliance_core::clock::Timestamp;
use compliance_core::finding::{Explain, Finding, PolicyVersion, RiskAcceptance};
use compliance_core::reason_code;
use ipnet::IpNet;
use url::Url;

pub use decision::EndpointDecision;
pub use error::{EndpointError, EndpointPolicyError, EndpointReason};
pub use name::{INTERNAL_SUFFIXES, METADATA_NAMES};
#[cfg(feature = "deliver")]
pub(crate) use name::{is_internal, is_localhost};
pub use policy::{DangerousEndpointPolicy, EndpointPolicy};

/// The longest URL, in bytes, as it comes in and as it is kept. Longer ones are cut or refused by servers and
/// proxies on the way.
pub const MAX_URL_LEN: usize = 2048;

/// The port of https, RFC 9110 §4.2.2; the only one a policy allows unless told otherwise.
pub const DEFAULT_PORT: u16 = 443;

/// An https URL outside: proof that an [`EndpointPolicy`] accepted it.
///
/// It holds the re-serialised URL: host in lower-case ASCII without trailing dot, no user info, no fragment.
/// Cheap to clone. It never expires; to reload one from a store, keep [`as_str`](Self::as_str) and check it
/// again.
///
/// `Debug` prints scheme, host and port: paths and queries of webhook URLs often carry a secret.
///
/// ```
/// use compliance_webhook::endpoint::EndpointPolicy;
///
/// let policy = EndpointPolicy::new();
/// let endpoint = policy.check("https://Hooks.Example.net./in?team=7")?;
/// assert_eq!(endpoint.as_str(), "https://hooks.example.net/in?team=7");
/// assert_eq!(policy.check("http://hooks.example.net/").unwrap_err().code(), "endpoint.scheme");
/// assert_eq!(policy.check("https://0x7f.1/").unwrap_err().code(), "endpoint.address_literal");
/// # Ok::<(), compliance_webhook::endpoint::EndpointError>(())
/// ```
#[derive(Clone)]
pub struct WebhookEndpoint {
    inner: Arc<Inner>,
}

struct Inner {
    url: Url,
    /// Where in the URL the authority is.
    authority: Range<usize>,
    host: Host,
    /// What calls to the host are counted under.
    host_key: Arc<str>,
    port: u16,
    policy: PolicyVersion,
    accepted: Option<AcceptedRisk>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(Box<str>),
}

/// The part of a dangerous policy that covers one endpoint.
#[derive(Clone, Debug)]
struct AcceptedRisk {
    acceptance: Arc<RiskAcceptance>,
    networks: Vec<IpNet>,
}

/// An accepted risk and an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RiskCover {
    /// Nobody signed for the endpoint: it is an ordinary one.
    None,
    Covered,
    /// In none of its networks.
    Elsewhere,
    Expired,
}

/// The host of a [`WebhookEndpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a host is a name or an address; a connector must treat both")]
pub enum EndpointHost<'a> {
    /// An address literal, which only a policy that says so accepts.
    Address(IpAddr),
    /// A name in lower-case ASCII (`xn--` form), without trailing dot.
    Name(&'a str),
}

impl WebhookEndpoint {
    /// The URL as it will be requested.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.inner.url.as_str()
    }

    /// Name or address.
    #[must_use]
    pub fn host(&self) -> EndpointHost<'_> {
        match &self.inner.host {
            Host::Address(address) => EndpointHost::Address(*address),
            Host::Name(name) => EndpointHost::Name(name),
        }
    }

    /// The port to dial.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.inner.port
    }

    /// The value of the `Host` header: the host, brackets around an IPv6 literal, the port unless it is 443.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.inner.url.as_str().get(self.inner.authority.clone()).unwrap_or_default()
    }

    /// The request target: path and query, starting with `/`.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        // A WHATWG serialisation of an https URL always has a path.
        self.inner.url.as_str().get(self.inner.authority.end..).unwrap_or("/")
    }

    /// The name in the URL, or the address that packets end up at: what calls are counted under.
    pub(crate) fn host_key(&self) -> &Arc<str> {
        &self.inner.host_key
    }

    /// The policy that accepted it.
    #[must_use]
    pub fn policy(&self) -> &PolicyVersion {
        &self.inner.policy
    }

    /// Whose signature lets this endpoint be inside, if it may be.
    #[must_use]
    pub fn accepted_risk(&self) -> Option<&RiskAcceptance> {
        self.inner.accepted.as_ref().map(|risk| &*risk.acceptance)
    }

    /// How the risk accepted for this endpoint stands to `address` at `now`.
    pub(crate) fn risk_cover(&self, address: IpAddr, now: Timestamp) -> RiskCover {
        match &self.inner.accepted {
            None => RiskCover::None,
            Some(risk) if !risk.networks.iter().any(|network| network.contains(&address)) => {
                RiskCover::Elsewhere
            }
            Some(risk) if risk.acceptance.in_force(now).is_err() => RiskCover::Expired,
            Some(_) => RiskCover::Covered,
        }
    }
}

impl Inner {
    fn new(url: Url, host: Host, port: u16, policy: PolicyVersion, accepted: Option<AcceptedRisk>) -> Self {
        let text = url.as_str();
        let start = text.find("://").map_or(0, |at| at.saturating_add(3));
        let rest = text.get(start..).unwrap_or_default();
        let len = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, host_key) = (start..start.saturating_add(len), host.key());
        Self { url, authority, host, host_key, port, policy, accepted }
    }
}

impl Host {
    fn key(&self) -> Arc<str> {
        match self {
            Self::Address(address) => plain(*address).to_string().into(),
            Self::Name(name) => Arc::from(&**name),
        }
    }
}

/// The address a packet ends up at.
fn plain(address: IpAddr) -> IpAddr {
    let translated = |address: Ipv6Addr| {
        let mut carried = embedded_ipv4(address);
        carried.find(|carried| carried.kind == EmbeddedKind::Nat64).map(|carried| carried.address)
    };
    match canonical(address) {
        IpAddr::V6(address) => translated(address).map_or(address.into(), IpAddr::from),
        address @ IpAddr::V4(_) => address,
    }
}

impl PartialEq for WebhookEndpoint {
    /// Same URL.
    fn eq(&self, other: &Self) -> bool {
        self.inner.url == other.inner.url
    }
}

impl Eq for WebhookEndpoint {}

impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebhookEndpoint(https://{}/…)", self.authority())
    }
}

impl Explain for WebhookEndpoint {
    /// `endpoint.accepted`, or `endpoint.risk_accepted` when it lies inside under a risk acceptance.
    fn finding(&self) -> Finding {
        let code = if self.inner.accepted.is_some() {
            reason_code!("endpoint.risk_accepted")
        } else {
            reason_code!("endpoint.accepted")
        };
        Finding::passed(code, self.inner.policy.clone())
    }
}
