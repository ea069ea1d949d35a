//! Origins: scheme, ASCII host and port, and (feature `registrable-domain`) who may register what below which
//! domain.
//!
//! ```
//! use compliance_core::origin::Origin;
//! use url::Url;
//!
//! let app = Origin::parse("https://app.example.com")?;
//! assert!(app.matches(&Url::parse("https://app.example.com:443/next?step=2").unwrap()));
//! assert!(!app.matches(&Url::parse("https://app.example.com.evil.test/").unwrap()));
//!
//! assert_eq!(Origin::parse("https://app.example.com/path").unwrap_err().code(), "origin.not_canonical");
//! # Ok::<(), compliance_core::origin::OriginError>(())
//! ```

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::Url;

/// An origin a browser can be at: `http` or `https`, a host, a port (WHATWG URL §4.7, RFC 6454 §4).
///
/// Two origins are equal when all three parts are. `example.com.` with the trailing dot is a host of its own,
/// as it is for browsers; the default port and no port are the same. `Display` gives the ASCII serialisation
/// (`https://xn--bcher-kva.example`, default port left out).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    scheme: Scheme,
    host: Host,
    port: u16,
}

/// The schemes an [`Origin`] can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "whoever decides on a scheme must see both cases")]
pub enum Scheme {
    /// Plain text, default port 80.
    Http,
    /// TLS, default port 443.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn of(url: &Url) -> Option<Self> {
        match url.scheme() {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }
}

/// The host of an [`Origin`].
///
/// A variant for each kind, because text is a trap: an IPv6 host reads `[::1]` in a URL, so parsing that text
/// as an address fails and a guard that falls back to "then it is a name" is passed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "whoever judges a host must see every kind")]
pub enum Host {
    /// A domain name, lower-case ASCII (Punycode), as the URL parser left it: with its trailing dot, if any.
    Domain(Box<str>),
    /// An IPv4 address; `0x7f.1` and `2130706433` have become `127.0.0.1`.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => f.write_str(name),
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => write!(f, "[{address}]"),
        }
    }
}

impl Origin {
    /// The longest domain name taken, in bytes: 253 (RFC 1035 §3.1 as text) and a trailing dot.
    pub const MAX_DOMAIN_LEN: usize = 254;

    /// Reads an origin as an operator writes it: `https://app.example.com`, `http://[::1]:8080`.
    ///
    /// Accepted: what this type prints, also with the default port or a trailing `/`, and in any ASCII case.
    /// Nothing else that a URL parser would understand or repair: no path, query, fragment or user info, no
    /// space, no backslash, no `https:host`, no `0x7f.1`, no percent-encoded or Unicode host (write `xn--…`: two
    /// parsers may map Unicode differently).
    ///
    /// # Errors
    /// [`OriginErrorKind::Scheme`], [`Host`](OriginErrorKind::Host), [`Port`](OriginErrorKind::Port) and
    /// [`UserInfo`](OriginErrorKind::UserInfo) as [`of`](Self::of); [`OriginErrorKind::Syntax`] when `text` is no
    /// URL; [`OriginErrorKind::NotCanonical`] when it is one, but not written as above.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let url = Url::parse(text).map_err(|_| OriginError { kind: OriginErrorKind::Syntax })?;
        let origin = Self::of(&url)?;
        let written = text.strip_suffix('/').unwrap_or(text);
        if written.eq_ignore_ascii_case(&origin.to_string())
            || written.eq_ignore_ascii_case(&format!(
                "{}://{}:{}",
                origin.scheme.as_str(),
                origin.host,
                origin.port
            ))
        {
            Ok(origin)
        } else {
            Err(OriginError { kind: OriginErrorKind::NotCanonical })
        }
    }

    /// The origin of a URL.
    ///
    /// Stricter than [`Url::origin`], which finds an origin inside `blob:` URLs and overlooks user info.
    ///
    /// # Errors
    /// [`OriginErrorKind::Scheme`] unless the scheme is `http` or `https`; [`OriginErrorKind::UserInfo`] when
    /// there is a user name or password; [`OriginErrorKind::Host`] when there is no host, or a name that could
    /// not resolve (past [`MAX_DOMAIN_LEN`](Self::MAX_DOMAIN_LEN), empty labels or labels past 63 bytes, other
    /// characters than letters, digits, `-` and `_`, such as the `*` of a pattern); [`OriginErrorKind::Port`] for
    /// port 0.
    pub fn of(url: &Url) -> Result<Self, OriginError> {
        let refused = |kind| Err(OriginError { kind });
        let Some(scheme) = Scheme::of(url) else { return refused(OriginErrorKind::Scheme) };
        if has_user_info(url) {
            return refused(OriginErrorKind::UserInfo);
        }
        let host = match url.host() {
            Some(url::Host::Domain(name)) if is_domain_name(name) => Host::Domain(name.into()),
            Some(url::Host::Ipv4(address)) => Host::Ipv4(address),
            Some(url::Host::Ipv6(address)) => Host::Ipv6(address),
            Some(url::Host::Domain(_)) | None => return refused(OriginErrorKind::Host),
        };
        match url.port().unwrap_or(scheme.default_port()) {
            0 => refused(OriginErrorKind::Port),
            port => Ok(Self { scheme, host, port }),
        }
    }

    /// Whether a URL has this origin and no user info. Allocates nothing.
    #[must_use]
    pub fn matches(&self, url: &Url) -> bool {
        let same_host = match (&self.host, url.host()) {
            (Host::Domain(ours), Some(url::Host::Domain(theirs))) => **ours == *theirs,
            (Host::Ipv4(ours), Some(url::Host::Ipv4(theirs))) => *ours == theirs,
            (Host::Ipv6(ours), Some(url::Host::Ipv6(theirs))) => *ours == theirs,
            (Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_), _) => false,
        };
        same_host
            && Scheme::of(url) == Some(self.scheme)
            && url.port().unwrap_or(self.scheme.default_port()) == self.port
            && !has_user_info(url)
    }

    /// The scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port, also when it is the default.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

fn has_user_info(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Origin {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)
            .map_err(|_| D::Error::custom("expected an origin as text"))?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// Why a text or URL has no [`Origin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("origin refused: {kind}")]
pub struct OriginError {
    kind: OriginErrorKind,
}

impl OriginError {
    /// What was wrong.
    #[must_use]
    pub const fn kind(&self) -> OriginErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            OriginErrorKind::Host => "origin.host",
            OriginErrorKind::NotCanonical => "origin.not_canonical",
            OriginErrorKind::Port => "origin.port",
            OriginErrorKind::Scheme => "origin.scheme",
            OriginErrorKind::Syntax => "origin.syntax",
            OriginErrorKind::UserInfo => "origin.user_info",
        }
    }
}

/// What was wrong with an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginErrorKind {
    /// No host, or a name that could not resolve.
    #[error(
        "expected an IP address or a domain name of letters, digits, `-` and `_`, at most {} bytes",
        Origin::MAX_DOMAIN_LEN
    )]
    Host,
    /// A URL, but not written as `scheme://host` or `scheme://host:port`.
    #[error("expected `scheme://host` or `scheme://host:port` in ASCII and nothing else")]
    NotCanonical,
    /// Port 0.
    #[error("port 0 cannot be dialled")]
    Port,
    /// Neither `http` nor `https`.
    #[error("scheme is neither `http` nor `https`")]
    Scheme,
    /// No URL at all.
    #[error("not an absolute URL")]
    Syntax,
    /// A user name or a password stands before the host.
    #[error("user name or password before the host")]
    UserInfo,
}

/// Labels of 1 to 63 lower-case letters, digits, `-` and `_`, at most 253 bytes, one trailing dot or none.
///
/// The underscore is no host name by RFC 1123, but browsers and resolvers take it and it is in use.
fn is_domain_name(domain: &str) -> bool {
    let name = domain.strip_suffix('.').unwrap_or(domain);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    domain.len() <= Origin::MAX_DOMAIN_LEN && name.len() <= 253 && name.split('.').all(label)
}

#[cfg(feature = "registrable-domain")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "registrable-domain")))]
pub use registrable::{
    PUBLIC_SUFFIX_LIST_DATE, has_public_suffix_below, is_public_suffix, registrable_domain,
};

#[cfg(feature = "registrable-domain")]
mod registrable {
    use psl::Psl as _;

    use super::is_domain_name;

    /// Date of the public suffix list compiled in, at the oldest: crate `psl` 2.1.247 was published with the list
    /// of this day, and `cargo update` may bring a newer one.
    pub const PUBLIC_SUFFIX_LIST_DATE: &str = "2026-11-05";

    /// The part of a domain name that one party registered: the public suffix and one label (publicsuffix.org).
    ///
    /// `None` for whatever [`is_public_suffix`] is true of, for names that are not lower-case ASCII (ask with what a URL parser
    /// returned), IP addresses, empty labels, and names past 253 bytes. A trailing dot is kept. Both sections of
    /// the list count: `example.github.io` is registrable, as its owner is not GitHub.
    ///
    /// ```
    /// use compliance_core::origin::registrable_domain;
    ///
    /// assert_eq!(registrable_domain("login.example.co.uk"), Some("example.co.uk"));
    /// assert_eq!(registrable_domain("co.uk"), None);
    /// ```
    #[must_use]
    pub fn registrable_domain(domain: &str) -> Option<&str> {
        if is_public_suffix(domain) {
            return None;
        }
        let name = domain.strip_suffix('.').unwrap_or(domain);
        let start = name.len().checked_sub(psl::domain_str(name)?.len())?;
        domain.get(start..)
    }

    /// Whether independent parties register names directly below `domain`, so that nobody can vouch for
    /// "everything under it".
    ///
    /// True for what stands on the list, for a top-level domain the list does not know, and for a name all of
    /// whose children are on it through a wildcard rule: `kawasaki.jp` is not listed, `*.kawasaki.jp` is. Also
    /// true, since doubt refuses, for whatever [`registrable_domain`] would not read as a domain name.
    ///
    /// ```
    /// use compliance_core::origin::is_public_suffix;
    ///
    /// assert!(is_public_suffix("co.uk"));
    /// assert!(is_public_suffix("kawasaki.jp"));
    /// assert!(!is_public_suffix("example.co.uk"));
    /// ```
    #[must_use]
    pub fn is_public_suffix(domain: &str) -> bool {
        let name = domain.strip_suffix('.').unwrap_or(domain);
        // No top-level domain is numeric (RFC 3696 §2): a host that ends in a number is an IPv4 address.
        let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if numeric || !is_domain_name(domain) || psl::suffix_str(name) == Some(name) {
            return true;
        }
        // A child that nobody would name on purpose: if it is a suffix, a wildcard rule made it one.
        let child = format!("x--x.{name}");
        psl::suffix_str(&child) == Some(child.as_str())
    }

    /// Whether the list has a rule below `domain`, at any depth: independent parties register names somewhere under
    /// it, though perhaps not directly.
    ///
    /// `amazonaws.com` belongs to one company, `compute.amazonaws.com` is a public suffix. Also true, since doubt
    /// refuses, for whatever [`registrable_domain`] would not read as a domain name.
    ///
    /// ```
    /// use compliance_core::origin::has_public_suffix_below;
    ///
    /// assert!(has_public_suffix_below("amazonaws.com"));
    /// assert!(!has_public_suffix_below("example.com"));
    /// ```
    #[must_use]
    pub fn has_public_suffix_below(domain: &str) -> bool {
        if !is_domain_name(domain) {
            return true;
        }
        let name = domain.strip_suffix('.').unwrap_or(domain);
        // The list is a tree that takes labels from the right, and one more only where it has rules for it.
        let mut asks_for_more = false;
        let one_more = std::iter::once_with(|| {
            asks_for_more = true;
            &b""[..]
        });
        psl::List.find(name.rsplit('.').map(str::as_bytes).chain(one_more));
        asks_for_more
    }
}
