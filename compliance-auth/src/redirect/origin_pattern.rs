//! Which origins a redirect may go to: exact ones, and `https://*.registrable.domain`.

use std::fmt;
use std::str::FromStr;

#[cfg(feature = "wildcard-origins")]
use compliance_core::origin::{Host, has_public_suffix_below, registrable_domain};
use compliance_core::origin::{Origin, OriginErrorKind, Scheme};
use url::Url;

/// An origin that redirects may go to: `https://partner.example`, `https://partner.example:8443`, or every
/// host below a domain, `https://*.example.net`.
///
/// A wildcard is accepted only
/// - with `https`, as the whole leftmost label, once;
/// - on a registrable domain or below it, never on a public suffix (`https://*.com`, `https://*.github.io`)
///   and never on a domain with a public suffix anywhere below it: `https://*.kawasaki.jp`, and
///   `https://*.amazonaws.com` because of `compute.amazonaws.com`. Write the hosts out there.
///
/// It stands for one or more labels, not for none: `https://*.example.net` does not allow
/// `https://example.net`.
///
/// Public suffixes come from [`compliance_core::origin`]'s list (feature `wildcard-origins`).
///
/// ```
/// use compliance_auth::redirect::OriginPattern;
///
/// assert!("https://partner.example:8443".parse::<OriginPattern>().is_ok());
/// # #[cfg(feature = "wildcard-origins")]
/// assert!("https://*.example.net".parse::<OriginPattern>().is_ok());
/// assert!("https://*.github.io".parse::<OriginPattern>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginPattern {
    scheme: Scheme,
    /// Lower-case ASCII, as the URL serialiser writes it. Without the `*.` of a wildcard.
    host: Box<str>,
    port: u16,
    reach: Reach,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reach {
    /// How every URL on the origin begins: `https://partner.example:8443/`.
    Exact { prefix: Box<str> },
    /// Every host below. The list has no rule there, so all of them belong to one registrable domain.
    #[cfg(feature = "wildcard-origins")]
    Below,
}

impl OriginPattern {
    /// The longest pattern, in bytes: a scheme, a DNS name and a port fit in.
    pub const MAX_LEN: usize = 272;

    /// Reads a pattern. Same as its [`FromStr`].
    ///
    /// Hosts are ASCII; write Unicode names in their `xn--` form.
    ///
    /// # Errors
    /// [`OriginPatternError`], see its kinds.
    pub fn parse(text: &str) -> Result<Self, OriginPatternError> {
        use OriginPatternErrorKind as Kind;
        let fail = |kind| Err(OriginPatternError { kind });
        if text.len() > Self::MAX_LEN {
            return fail(Kind::TooLong);
        }
        let Some((scheme, authority)) = text.split_once("://") else { return fail(Kind::Syntax) };
        let Some(scheme) = read_scheme(scheme) else { return fail(Kind::Scheme) };
        if authority.is_empty() || !authority.bytes().all(|b| is_host_byte(b) || b == b'*') {
            return fail(Kind::Syntax);
        }
        if authority.contains('*') { Self::wildcard(scheme, authority) } else { Self::exact(text) }
            .map_err(|kind| OriginPatternError { kind })
    }

    fn exact(text: &str) -> Result<Self, OriginPatternErrorKind> {
        let origin = Origin::parse(text).map_err(|error| match error.kind() {
            OriginErrorKind::Scheme => OriginPatternErrorKind::Scheme,
            _ => OriginPatternErrorKind::Syntax,
        })?;
        Self::of_origin(&origin)
    }

    pub(super) fn of_origin(origin: &Origin) -> Result<Self, OriginPatternErrorKind> {
        let host = origin.host().to_string();
        if host.ends_with('.') {
            return Err(OriginPatternErrorKind::TrailingDot);
        }
        let prefix = format!("{origin}/").into();
        Ok(Self {
            scheme: origin.scheme(),
            host: host.into(),
            port: origin.port(),
            reach: Reach::Exact { prefix },
        })
    }

    #[cfg(feature = "wildcard-origins")]
    fn wildcard(scheme: Scheme, authority: &str) -> Result<Self, OriginPatternErrorKind> {
        use OriginPatternErrorKind as Kind;
        if scheme != Scheme::Https {
            return Err(Kind::WildcardScheme);
        }
        let below =
            authority.strip_prefix("*.").filter(|rest| !rest.contains('*')).ok_or(Kind::WildcardPlace)?;
        let base = Origin::parse(&format!("https://{below}")).map_err(|_| Kind::Syntax)?;
        let Host::Domain(host) = base.host() else { return Err(Kind::Address) };
        if host.ends_with('.') {
            return Err(Kind::TrailingDot);
        }
        if registrable_domain(host).is_none() || has_public_suffix_below(host) {
            return Err(Kind::PublicSuffix);
        }
        Ok(Self { scheme, host: host.clone(), port: base.port(), reach: Reach::Below })
    }

    #[cfg(not(feature = "wildcard-origins"))]
    fn wildcard(_: Scheme, _: &str) -> Result<Self, OriginPatternErrorKind> {
        // Without the public suffix list nobody can tell a safe wildcard from `https://*.github.io`.
        Err(OriginPatternErrorKind::WildcardUnavailable)
    }

    /// The pattern's scheme.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host, lower-case ASCII; of a wildcard, the domain below `*.`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's default where none was written.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the pattern stands for all hosts below [`host`](Self::host).
    #[must_use]
    pub const fn is_wildcard(&self) -> bool {
        !matches!(self.reach, Reach::Exact { .. })
    }

    /// An exact origin as a URL parser writes it: `https://partner.example:8443`.
    pub(super) fn written(&self) -> Option<&str> {
        match &self.reach {
            Reach::Exact { prefix } => prefix.strip_suffix('/'),
            #[cfg(feature = "wildcard-origins")]
            Reach::Below => None,
        }
    }

    /// Whether `host`, ASCII in any case, is one the pattern stands for.
    pub(super) fn matches_host(&self, host: &str) -> bool {
        match &self.reach {
            Reach::Exact { .. } => host.eq_ignore_ascii_case(&self.host),
            #[cfg(feature = "wildcard-origins")]
            Reach::Below => self.has_below(host),
        }
    }

    #[cfg(feature = "wildcard-origins")]
    fn has_below(&self, host: &str) -> bool {
        const MAX_NAME: usize = 253;
        const MAX_LABEL: usize = 63;
        let at = host.len().checked_sub(self.host.len());
        let Some((labels, domain)) = at.and_then(|at| host.split_at_checked(at)) else { return false };
        let Some(labels) = labels.strip_suffix('.') else { return false };
        let label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        host.len() <= MAX_NAME && domain.eq_ignore_ascii_case(&self.host) && labels.split('.').all(label)
    }

    /// Whether the parsed `url` lies where its text said: the last word of the check. `host` is the text that
    /// [`matches_host`](Self::matches_host).
    pub(super) fn confirms(&self, url: &Url, host: &str) -> bool {
        match &self.reach {
            Reach::Exact { prefix } => {
                url.as_str().starts_with(&**prefix) && host.eq_ignore_ascii_case(&self.host)
            }
            #[cfg(feature = "wildcard-origins")]
            Reach::Below => {
                url.scheme() == self.scheme.as_str()
                    && url.port_or_known_default() == Some(self.port)
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.host_str().is_some_and(|parsed| parsed.eq_ignore_ascii_case(host))
            }
        }
    }
}

impl FromStr for OriginPattern {
    type Err = OriginPatternError;

    fn from_str(text: &str) -> Result<Self, OriginPatternError> {
        Self::parse(text)
    }
}

impl fmt::Display for OriginPattern {
    /// The canonical form: default port left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wildcard = if self.is_wildcard() { "*." } else { "" };
        write!(f, "{}://{wildcard}{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl TryFrom<&Origin> for OriginPattern {
    type Error = OriginPatternError;

    /// The origin itself, unless its host has a trailing dot.
    fn try_from(origin: &Origin) -> Result<Self, OriginPatternError> {
        Self::of_origin(origin).map_err(|kind| OriginPatternError { kind })
    }
}

/// A scheme without its colon, in any ASCII case.
pub(super) fn read_scheme(text: &str) -> Option<Scheme> {
    [Scheme::Https, Scheme::Http].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
}

/// The bytes an authority may hold: host names, IPv4 addresses, IPv6 addresses in brackets.
pub(super) const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
}

/// A text that is no usable origin pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("origin pattern: {text}", text = .kind.text())]
pub struct OriginPatternError {
    kind: OriginPatternErrorKind,
}

impl OriginPatternError {
    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> OriginPatternErrorKind {
        self.kind
    }

    /// The stable code, `origin_pattern.public_suffix` for one.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            OriginPatternErrorKind::Address => "origin_pattern.address",
            OriginPatternErrorKind::PublicSuffix => "origin_pattern.public_suffix",
            OriginPatternErrorKind::Scheme => "origin_pattern.scheme",
            OriginPatternErrorKind::Syntax => "origin_pattern.syntax",
            OriginPatternErrorKind::TooLong => "origin_pattern.too_long",
            OriginPatternErrorKind::TrailingDot => "origin_pattern.trailing_dot",
            OriginPatternErrorKind::WildcardPlace => "origin_pattern.wildcard_place",
            OriginPatternErrorKind::WildcardScheme => "origin_pattern.wildcard_scheme",
            OriginPatternErrorKind::WildcardUnavailable => "origin_pattern.wildcard_unavailable",
        }
    }
}

/// What is wrong with an origin pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OriginPatternErrorKind {
    /// A wildcard over an IP address.
    Address,
    /// A wildcard over a public suffix, or over a domain with a public suffix below it.
    PublicSuffix,
    /// Another scheme than `http` or `https`.
    Scheme,
    /// Not `scheme://host` or `scheme://host:port`.
    Syntax,
    /// Longer than [`OriginPattern::MAX_LEN`] bytes.
    TooLong,
    /// A host with a trailing dot, which is another origin to a browser and could never match.
    TrailingDot,
    /// A `*` that is not the whole leftmost label, or a second one.
    WildcardPlace,
    /// A wildcard with another scheme than `https`.
    WildcardScheme,
    /// A wildcard in a build without the feature `wildcard-origins`.
    WildcardUnavailable,
}

impl OriginPatternErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Address => "expected a domain below the wildcard, found an address",
            Self::PublicSuffix => {
                "the wildcard covers names under a public suffix, where anybody can register"
            }
            Self::Scheme => "expected the scheme http or https",
            Self::Syntax => "expected `scheme://host` or `scheme://host:port`",
            Self::TooLong => "the pattern is longer than 272 bytes",
            Self::TrailingDot => "the host ends with a dot and could never match",
            Self::WildcardPlace => "expected one `*` as the whole leftmost label",
            Self::WildcardScheme => "a wildcard needs https",
            Self::WildcardUnavailable => "wildcards need the feature `wildcard-origins`",
        }
    }
}
