//! Which origins a redirect may go to: exact ones, and `https://*.registrable.domain`.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// The schemes a redirect may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "the web has these two; any other scheme is refused")]
pub enum RedirectScheme {
    /// `http`, for development and plain intranets.
    Http,
    /// `https`.
    Https,
}

impl RedirectScheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Reads a scheme, without its colon, in any ASCII case. `None` for every other scheme.
    ///
    /// ```
    /// use compliance_auth::redirect::RedirectScheme;
    ///
    /// assert_eq!(RedirectScheme::parse("HTTPS"), Some(RedirectScheme::Https));
    /// assert_eq!(RedirectScheme::parse("javascript"), None);
    /// ```
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else if text.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else {
            None
        }
    }

    pub(super) const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An origin that redirects may go to: `https://partner.example`, `https://partner.example:8443`, or every
/// host below a domain, `https://*.example.net`.
///
/// A wildcard is accepted only
/// - with `https`, as the whole leftmost label, once;
/// - on a registrable domain or below it, never on a public suffix (`https://*.com`, `https://*.github.io`)
///   and never on a domain whose children are public suffixes (`https://*.kawasaki.jp`).
///
/// It stands for one or more labels, not for none: `https://*.example.net` does not allow
/// `https://example.net`. A host that belongs to another registrable domain than the pattern does not match
/// either: `https://*.amazonaws.com` will not let `https://somebody.s3.amazonaws.com` through.
///
/// Public suffixes come from the `psl` crate's compiled-in list (feature `wildcard-origins`); its version is
/// the list's date.
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
    scheme: RedirectScheme,
    /// Lower-case ASCII, as the URL serialiser writes it. Without the `*.` of a wildcard.
    host: Box<str>,
    port: u16,
    wildcard: bool,
    /// For an exact origin, how every URL on it begins: `https://partner.example:8443/`.
    prefix: Box<str>,
}

impl OriginPattern {
    /// The longest pattern, in bytes: a scheme, a DNS name and a port fit in.
    pub const MAX_LEN: usize = 272;

    /// Reads a pattern. Same as its [`FromStr`].
    ///
    /// The host of an exact origin may be written with Unicode labels; it is kept in its ASCII form.
    ///
    /// # Errors
    /// [`OriginPatternError`], see its kinds.
    pub fn parse(text: &str) -> Result<Self, OriginPatternError> {
        use OriginPatternErrorKind as Kind;
        let fail = |kind| Err(OriginPatternError { kind });
        if text.len() > Self::MAX_LEN {
            return fail(Kind::TooLong);
        }
        if text.bytes().any(|b| b <= b' ' || b == 0x7f || b == b'\\') {
            return fail(Kind::Syntax);
        }
        let Some((scheme, authority)) = text.split_once("://") else { return fail(Kind::Syntax) };
        let Some(scheme) = RedirectScheme::parse(scheme) else { return fail(Kind::Scheme) };
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', '%']) {
            return fail(Kind::Syntax);
        }
        if authority.contains('*') { Self::wildcard(scheme, authority) } else { Self::exact(text, scheme) }
            .map_err(|kind| OriginPatternError { kind })
    }

    fn exact(text: &str, scheme: RedirectScheme) -> Result<Self, OriginPatternErrorKind> {
        use OriginPatternErrorKind as Kind;
        let url = Url::parse(text).map_err(|_| Kind::Syntax)?;
        let host = url.host_str().ok_or(Kind::Syntax)?;
        if host.ends_with('.') {
            return Err(Kind::TrailingDot);
        }
        if !host.bytes().all(is_host_byte) {
            return Err(Kind::Syntax);
        }
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(Kind::Syntax)?;
        Ok(Self { scheme, host: host.into(), port, wildcard: false, prefix: url.as_str().into() })
    }

    #[cfg(feature = "wildcard-origins")]
    fn wildcard(scheme: RedirectScheme, authority: &str) -> Result<Self, OriginPatternErrorKind> {
        use OriginPatternErrorKind as Kind;
        if scheme != RedirectScheme::Https {
            return Err(Kind::WildcardScheme);
        }
        let base =
            authority.strip_prefix("*.").filter(|rest| !rest.contains('*')).ok_or(Kind::WildcardPlace)?;
        let url = Url::parse(&format!("https://{base}")).map_err(|_| Kind::Syntax)?;
        let Some(url::Host::Domain(host)) = url.host() else { return Err(Kind::Address) };
        if host.ends_with('.') {
            return Err(Kind::TrailingDot);
        }
        if !host.bytes().all(is_host_byte) {
            return Err(Kind::Syntax);
        }
        // `kawasaki.jp` is no public suffix, but each of its children is: so ask about a child as well.
        let registrable = psl::domain_str(host).ok_or(Kind::PublicSuffix)?;
        if psl::domain_str(&format!("x.{host}")) != Some(registrable) {
            return Err(Kind::PublicSuffix);
        }
        let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(Kind::Syntax)?;
        Ok(Self { scheme, host: host.into(), port, wildcard: true, prefix: "".into() })
    }

    #[cfg(not(feature = "wildcard-origins"))]
    fn wildcard(_: RedirectScheme, _: &str) -> Result<Self, OriginPatternErrorKind> {
        // Without the public suffix list nobody can tell a safe wildcard from `https://*.github.io`.
        Err(OriginPatternErrorKind::WildcardUnavailable)
    }

    /// The pattern's scheme.
    #[must_use]
    pub const fn scheme(&self) -> RedirectScheme {
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
        self.wildcard
    }

    /// Whether `host`, ASCII in any case, is one the pattern stands for.
    pub(super) fn matches_host(&self, host: &str) -> bool {
        if self.wildcard { self.matches_below(host) } else { host.eq_ignore_ascii_case(&self.host) }
    }

    #[cfg(feature = "wildcard-origins")]
    fn matches_below(&self, host: &str) -> bool {
        let Some((below, domain)) =
            host.len().checked_sub(self.host.len()).and_then(|at| host.split_at_checked(at))
        else {
            return false;
        };
        let labels = below.strip_suffix('.').unwrap_or_default();
        if !domain.eq_ignore_ascii_case(&self.host)
            || labels.is_empty()
            || labels.split('.').any(str::is_empty)
        {
            return false;
        }
        // The list compares bytes, so it needs lower case; hosts are rarely anything else.
        let lower = if host.bytes().any(|b| b.is_ascii_uppercase()) {
            std::borrow::Cow::Owned(host.to_ascii_lowercase())
        } else {
            std::borrow::Cow::Borrowed(host)
        };
        psl::domain_str(&lower).is_some_and(|domain| Some(domain) == psl::domain_str(&self.host))
    }

    #[cfg(not(feature = "wildcard-origins"))]
    #[expect(clippy::unused_self, reason = "same shape as with the feature")]
    fn matches_below(&self, _: &str) -> bool {
        false
    }

    /// Whether the parsed `url` lies on an origin of this pattern. The last word: the text was compared before.
    pub(super) fn matches_url(&self, url: &Url) -> bool {
        if !self.wildcard {
            return url.as_str().starts_with(&*self.prefix);
        }
        url.scheme() == self.scheme.as_str()
            && url.port_or_known_default() == Some(self.port)
            && url.username().is_empty()
            && url.password().is_none()
            && url.host_str().is_some_and(|host| self.matches_host(host))
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
        let wildcard = if self.wildcard { "*." } else { "" };
        write!(f, "{}://{wildcard}{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
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
    /// A wildcard over a public suffix, or over a domain whose children are public suffixes.
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
            Self::PublicSuffix => "the wildcard covers a public suffix, under which anybody can register",
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
