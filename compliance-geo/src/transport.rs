//! Whether a request came over TLS, and the refusal of one that did not.
//!
//! An API call in plaintext has already leaked its token: a redirect to `https` hides the mistake and lets it
//! happen again. So it is refused, and browsers are told with HSTS (RFC 6797) not to try.
//!
//! ```
//! use std::net::IpAddr;
//!
//! use compliance_core::request::Transport;
//! use compliance_geo::client_ip::TrustedProxies;
//! use compliance_geo::transport::{SchemeSource, TransportRule};
//!
//! let rule = TransportRule::new(TrustedProxies::parse(["10.0.0.0/8"])?, SchemeSource::XForwardedProto)?;
//! let said_https = [("X-Forwarded-Proto", "https")];
//! let (proxy, stranger): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
//!
//! assert!(rule.require_tls(proxy, Transport::Plaintext, &said_https).is_ok());
//! // Anybody can write the header; only our proxies are believed.
//! let refused = rule.require_tls(stranger, Transport::Plaintext, &said_https).unwrap_err();
//! assert_eq!(refused.code(), "transport.plaintext");
//! # Ok::<(), compliance_geo::client_ip::ClientIpConfigError>(())
//! ```

use std::fmt;
use std::time::Duration;

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;
use compliance_core::request::Transport;

use crate::client_ip::forwarded::{self, Node, Proto};
use crate::client_ip::{ClientIpConfigError, FieldName, Headers, Peer, TrustedProxies, trim};

/// How our proxies say over what they received a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SchemeSource {
    /// They do not: only the connection to this process counts.
    Connection,
    /// `proto=` of `Forwarded` (RFC 7239 §5.4), up to the first element that is none of our proxies.
    Forwarded,
    /// `X-Forwarded-Proto`. Where it is a list, every entry must be `https`.
    XForwardedProto,
}

/// What `Strict-Transport-Security` (RFC 6797 §6.1) says on responses to requests over TLS.
///
/// Default: `max-age=31536000`, one year, which OWASP ASVS 5.0 (3.4.1) asks for at least, and nothing about subdomains.
/// Browsers keep to it for that long, whatever the service does meanwhile; with subdomains it also shuts those that
/// somebody else runs without TLS (RFC 6797 §11.4), and only their operators can say that there is none.
///
/// There is no `preload`: what browsers ship is not for a header to ask.
///
/// ```
/// use std::time::Duration;
///
/// use compliance_geo::transport::Hsts;
///
/// assert_eq!(Hsts::default().to_string(), "max-age=31536000");
/// let first_week = Hsts::default().max_age(Duration::from_secs(300));
/// assert_eq!(first_week.to_string(), "max-age=300");
/// let whole_site = Hsts::default().include_subdomains();
/// assert_eq!(whole_site.to_string(), "max-age=31536000; includeSubDomains");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hsts {
    max_age: Duration,
    include_subdomains: bool,
}

impl Hsts {
    /// How long browsers keep to it unless told otherwise: 365 days.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(365 * 86_400);

    /// How long browsers keep to it, in whole seconds. A roll-out begins with minutes; zero has them forget it.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = max_age;
        self
    }

    /// Speaks for every subdomain, too. ASVS 5.0 asks for it from level 2.
    ///
    /// # Security
    /// A subdomain without TLS cannot be reached any more by whoever has seen this once, for as long as
    /// [`max_age`](Self::max_age). Without it, somebody on the wire can play an unused subdomain and set cookies for
    /// the whole site (RFC 6797 §14.4).
    #[must_use]
    pub fn include_subdomains(mut self) -> Self {
        self.include_subdomains = true;
        self
    }
}

impl Default for Hsts {
    fn default() -> Self {
        Self { max_age: Self::DEFAULT_MAX_AGE, include_subdomains: false }
    }
}

impl fmt::Display for Hsts {
    /// The field's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "max-age={}", self.max_age.as_secs())?;
        f.write_str(if self.include_subdomains { "; includeSubDomains" } else { "" })
    }
}

/// The rule by which a request's transport is established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportRule {
    proxies: TrustedProxies,
    said: Said,
    hsts: Hsts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Connection,
    Forwarded(FieldName),
    XForwardedProto(FieldName),
}

impl TransportRule {
    /// A rule for requests that come through `proxies`.
    ///
    /// # Errors
    /// [`ClientIpConfigError`] `client_ip.no_proxies` when a header is to be read but nobody may set it.
    pub fn new(proxies: TrustedProxies, source: SchemeSource) -> Result<Self, ClientIpConfigError> {
        let name = |text: &'static str| FieldName::parse(text).ok_or(ClientIpConfigError::HeaderName);
        let said = match source {
            SchemeSource::Connection => Said::Connection,
            SchemeSource::Forwarded => Said::Forwarded(name("forwarded")?),
            SchemeSource::XForwardedProto => Said::XForwardedProto(name("x-forwarded-proto")?),
        };
        if proxies.is_empty() && said != Said::Connection {
            return Err(ClientIpConfigError::NoProxies);
        }
        Ok(Self { proxies, said, hsts: Hsts::default() })
    }

    /// What responses over TLS tell browsers. Default: one year, this host only.
    #[must_use]
    pub fn with_hsts(mut self, hsts: Hsts) -> Self {
        self.hsts = hsts;
        self
    }

    /// What responses over TLS tell browsers. The layers of this crate set it, unless they only report.
    #[must_use]
    pub fn hsts(&self) -> Hsts {
        self.hsts
    }

    /// The proxies.
    #[must_use]
    pub fn proxies(&self) -> &TrustedProxies {
        &self.proxies
    }

    /// Says how the request reached our edge. `connection` is how it reached this process.
    ///
    /// From a proxy of ours its word counts, even when the connection from it is encrypted; from anybody else
    /// only the connection does. Missing, repeated or unreadable words mean [`Transport::Plaintext`].
    pub fn find(
        &self,
        peer: impl Into<Peer>,
        connection: Transport,
        headers: &(impl Headers + ?Sized),
    ) -> Transport {
        if !self.proxies.contains_peer(peer.into()) {
            return connection;
        }
        let tls = match &self.said {
            Said::Connection => return connection,
            Said::Forwarded(name) => self.forwarded_tls(headers.lines(name)),
            Said::XForwardedProto(name) => {
                let mut lines = headers.lines(name);
                let line = lines.next().filter(|_| lines.next().is_none());
                line.is_some_and(|line| {
                    line.split(|byte| *byte == b',').all(|word| trim(word).eq_ignore_ascii_case(b"https"))
                })
            }
        };
        if tls { Transport::Tls } else { Transport::Plaintext }
    }

    /// Refuses a request that did not reach our edge over TLS.
    ///
    /// # Errors
    /// [`PlaintextRefused`] for [`Transport::Plaintext`].
    pub fn require_tls(
        &self,
        peer: impl Into<Peer>,
        connection: Transport,
        headers: &(impl Headers + ?Sized),
    ) -> Result<(), PlaintextRefused> {
        match self.find(peer, connection, headers) {
            Transport::Plaintext => Err(PlaintextRefused(())),
            Transport::Tls => Ok(()),
        }
    }

    fn forwarded_tls<'h>(&self, lines: impl Iterator<Item = &'h [u8]>) -> bool {
        let mut tls = false;
        let mut first = true;
        for element in lines.flat_map(forwarded::elements) {
            let (encrypted, is_stranger) = match element {
                Ok(element) => {
                    let stranger =
                        matches!(element.node, Some(Node::Address(ip)) if !self.proxies.contains(ip));
                    (element.proto == Some(Proto::Https), stranger)
                }
                Err(forwarded::Malformed) => (false, false),
            };
            // What stands left of an element that names a stranger is the stranger's own text. One that names nobody may be
            // about another proxy of ours.
            tls = encrypted && (tls || first || is_stranger);
            first = false;
        }
        tls
    }
}

/// The request came in plaintext, or nobody trustworthy said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request did not come over TLS")]
pub struct PlaintextRefused(());

impl PlaintextRefused {
    /// `transport.plaintext`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }
}

impl Reason for PlaintextRefused {
    fn code(&self) -> ReasonCode {
        reason_code!("transport.plaintext")
    }

    fn public_code(&self) -> ReasonCode {
        reason_code!("transport.plaintext")
    }
}
