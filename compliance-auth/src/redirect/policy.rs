//! The policy and its check.

use std::fmt;

use compliance_core::finding::{Enforcement, Finding, Outcome, PolicyVersion};
use compliance_core::origin::Scheme;
use compliance_core::reason_code;
use url::Url;

use super::SafeRedirect;
use super::builder::RedirectPolicyBuilder;
use super::decision::RedirectDecision;
use super::error::{RedirectError, RedirectErrorKind as Kind};
use super::origin_pattern::{OriginPattern, is_host_byte, read_scheme};

/// Where visitors may be sent: the base's own origin, and the origins allowed beside it.
///
/// ```
/// use compliance_auth::redirect::RedirectPolicy;
///
/// let policy = RedirectPolicy::builder("https://app.example/login").allow("https://help.example".parse()?).build()?;
///
/// assert_eq!(policy.check("/home?tab=1")?.location(), "https://app.example/home?tab=1");
/// assert_eq!(policy.check("https://help.example/faq")?.location(), "https://help.example/faq");
/// assert_eq!(policy.check("//evil.example").unwrap_err().code(), "redirect.network_path");
/// assert_eq!(policy.check("https://help.example.evil.example/").unwrap_err().code(), "redirect.other_origin");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RedirectPolicy {
    pub(super) base: Url,
    /// The base's origin first, then the allowed ones.
    pub(super) origins: Vec<OriginPattern>,
    pub(super) schemes: Schemes,
    pub(super) path_prefixes: Vec<Box<str>>,
    pub(super) encoded_separators: bool,
    pub(super) enforcement: Enforcement,
    pub(super) version: PolicyVersion,
    pub(super) default_target: SafeRedirect,
}

impl RedirectPolicy {
    /// The longest target, in bytes, as given and as sent. Longer ones break in proxies and browsers.
    pub const MAX_LEN: usize = 2048;

    /// Starts a policy. `base` is the URL of the page that redirects, as visitors see it: what relative
    /// targets are resolved against. Its origin is allowed.
    ///
    /// # Security
    /// `base` is configuration. Never take it from the `Host` header of the request.
    pub fn builder(base: &str) -> RedirectPolicyBuilder<'_> {
        RedirectPolicyBuilder::new(base)
    }

    /// Checks a target and resolves it against the base. See the [module](super) for the rules.
    ///
    /// Costs at most about as much as parsing a URL, a fraction of it for an ordinary target; what is refused by its looks
    /// allocates nothing.
    ///
    /// # Errors
    /// [`RedirectError`]; its [`kind`](RedirectError::kind) names the rule.
    pub fn check(&self, input: &str) -> Result<SafeRedirect, RedirectError> {
        self.check_against(&self.base, input)
    }

    /// Checks a target and resolves it against another page of the base's origin, given by the path and query it
    /// was requested with: `next` on `/a/b` is `/a/next`, and `?page=2` stays on the page.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    ///
    /// # Security
    /// Path and query may be hostile, they only ever change what is relative to them. The origin stays the
    /// configured base's, whatever the request's `Host` header says.
    ///
    /// ```
    /// use compliance_auth::redirect::RedirectPolicy;
    ///
    /// let policy = RedirectPolicy::builder("https://app.example/").build()?;
    /// assert_eq!(policy.check_from("/team/7", None, "edit?x=1")?.location(), "https://app.example/team/edit?x=1");
    /// assert_eq!(policy.check_from("//evil.example/", None, "x").unwrap_err().code(), "redirect.double_slash");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_from(
        &self,
        path: &str,
        query: Option<&str>,
        input: &str,
    ) -> Result<SafeRedirect, RedirectError> {
        self.check_against(&self.page(path, query), input)
    }

    /// The page of the base's origin with this path and query.
    fn page(&self, path: &str, query: Option<&str>) -> Url {
        let mut page = self.base.clone();
        page.set_path(path);
        page.set_query(query);
        page
    }

    /// Whether the default target is the page with this path and query, whose answer a visitor would get again.
    #[cfg(feature = "tower")]
    pub(crate) fn defaults_to(&self, path: &str, query: Option<&str>) -> bool {
        self.default_target.location().split('#').next() == Some(self.page(path, query).as_str())
    }

    fn check_against(&self, page: &Url, input: &str) -> Result<SafeRedirect, RedirectError> {
        let shape = self.read(input)?;
        if let Some((location, path)) = self.unchanged(&shape, input) {
            debug_assert_eq!(
                page.join(input).as_ref().map(Url::as_str),
                Ok(location.as_str()),
                "the parser agrees"
            );
            self.check_path(path)?;
            return if location.len() > Self::MAX_LEN {
                Err(RedirectError::new(Kind::TooLong))
            } else {
                Ok(SafeRedirect::sealed(location))
            };
        }
        let url = match shape {
            Shape::Relative => {
                let url = page.join(input).map_err(|_| RedirectError::new(Kind::Malformed))?;
                let own = self.origins.first().is_some_and(|own| own.confirms(&url, own.host()));
                if !own {
                    return Err(RedirectError::new(Kind::OtherOrigin));
                }
                url
            }
            Shape::Absolute(pattern, host) => {
                let url = Url::parse(input).map_err(|_| RedirectError::new(Kind::Malformed))?;
                if !pattern.confirms(&url, host) {
                    return Err(RedirectError::new(Kind::OtherOrigin));
                }
                url
            }
        };
        self.check_path(url.path())?;
        let location = String::from(url);
        if location.len() > Self::MAX_LEN {
            return Err(RedirectError::new(Kind::TooLong));
        }
        if !location.bytes().fold(true, |fine, b| fine & b.is_ascii_graphic() & (b != b'\\')) {
            return Err(RedirectError::new(Kind::Malformed));
        }
        Ok(SafeRedirect::sealed(location))
    }

    /// The location and its path when a URL parser has nothing to change or to object to, as with most targets. It need not
    /// be asked then: what is left is an allowed origin, in the form a parser writes it, and a [plain](plain_path) rest.
    fn unchanged<'a>(&self, shape: &Shape<'_>, input: &'a str) -> Option<(String, &'a str)> {
        match shape {
            Shape::Relative => {
                let origin = self.origins.first()?.written()?;
                let path = plain_path(input)?;
                let mut location = String::with_capacity(origin.len().saturating_add(input.len()));
                location.push_str(origin);
                location.push_str(input);
                Some((location, path))
            }
            Shape::Absolute(pattern, _) => {
                let path = plain_path(input.strip_prefix(pattern.written()?)?)?;
                Some((input.to_owned(), path))
            }
        }
    }

    /// Checks a target; a refused one is replaced by the [default target](Self::default_target).
    ///
    /// Enforces even when the policy is report-only: nothing unchecked ever becomes a [`SafeRedirect`].
    pub fn check_or_default(&self, input: &str) -> SafeRedirect {
        self.check(input).unwrap_or_else(|_| self.default_target.clone())
    }

    /// Checks a target the way the policy is rolled out, with a finding at hand.
    pub fn decide(&self, input: &str) -> RedirectDecision<'_> {
        RedirectDecision { policy: self, result: self.check(input) }
    }

    /// Where refused visitors go.
    pub fn default_target(&self) -> &SafeRedirect {
        &self.default_target
    }

    /// The allowed origins, the base's own first.
    #[must_use]
    pub fn origins(&self) -> &[OriginPattern] {
        &self.origins
    }

    /// Name and version, for findings.
    #[must_use]
    pub fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// Whether refusals are carried out.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// What happened to a target, for the audit trail.
    pub(crate) fn explain(&self, result: Result<(), RedirectError>) -> Finding {
        let version = self.version.clone();
        match result {
            Ok(()) => Finding::passed(reason_code!("redirect.passed"), version),
            Err(error) => Finding::for_reason(Outcome::Refused, &error, version),
        }
        .with_enforcement(self.enforcement)
    }

    /// Rules 1 to 3: everything that is decided on the text alone.
    fn read<'a>(&'a self, input: &'a str) -> Result<Shape<'a>, RedirectError> {
        if input.is_empty() {
            return Err(RedirectError::new(Kind::Empty));
        }
        if input.len() > Self::MAX_LEN {
            return Err(RedirectError::new(Kind::TooLong));
        }
        // Without early exits, so that the compiler makes one vectorised pass of each.
        let ascii = input.is_ascii();
        let ugly = input.bytes().fold(false, |ugly, b| ugly | (b <= b' ') | (b == 0x7f) | (b == b'\\'));
        if ugly || !ascii {
            refuse_ugly(input)?;
        }
        match input.bytes().enumerate().find(|(_, b)| matches!(b, b':' | b'/' | b'?' | b'#')) {
            Some((at, b':')) => {
                let (scheme, rest) = input.split_at_checked(at).unwrap_or_default();
                self.read_absolute(scheme, rest)
            }
            Some((0, b'/')) if input.as_bytes().get(1) == Some(&b'/') => {
                Err(RedirectError::new(Kind::NetworkPath))
            }
            _ => Ok(Shape::Relative),
        }
    }

    /// `rest` starts with the colon.
    fn read_absolute<'a>(&'a self, scheme: &str, rest: &'a str) -> Result<Shape<'a>, RedirectError> {
        let scheme = read_scheme(scheme)
            .filter(|scheme| self.schemes.contains(*scheme))
            .ok_or(RedirectError::new(Kind::Scheme))?;
        let rest = rest.strip_prefix("://").ok_or(RedirectError::new(Kind::NotHierarchical))?;
        let authority = match rest.bytes().position(|b| matches!(b, b'/' | b'?' | b'#')) {
            Some(end) => rest.split_at_checked(end).unwrap_or_default().0,
            None => rest,
        };
        if authority.is_empty() {
            return Err(RedirectError::new(Kind::NotHierarchical));
        }
        if !authority.bytes().all(is_host_byte) {
            let kind = if authority.contains('@') { Kind::UserInfo } else { Kind::Authority };
            return Err(RedirectError::new(kind));
        }
        let (host, port) = split_port(authority, scheme).ok_or(RedirectError::new(Kind::Authority))?;
        let mut refusal = Kind::OtherOrigin;
        for pattern in &self.origins {
            if pattern.matches_host(host) {
                if pattern.scheme() == scheme && pattern.port() == port {
                    return Ok(Shape::Absolute(pattern, host));
                }
                refusal = if pattern.scheme() == scheme { Kind::OtherPort } else { refusal };
            }
        }
        Err(RedirectError::new(refusal))
    }

    /// Rule 4, on the path of the parsed URL.
    fn check_path(&self, path: &str) -> Result<(), RedirectError> {
        let bytes = path.as_bytes();
        if bytes.get(1) == Some(&b'/') {
            return Err(RedirectError::new(Kind::DoubleSlash));
        }
        if !self.encoded_separators {
            let first = bytes.split(|b| *b == b'/').nth(1).unwrap_or_default();
            if has_encoded_separator(first) {
                return Err(RedirectError::new(Kind::EncodedSeparator));
            }
        }
        if self.path_prefixes.is_empty() {
            return Ok(());
        }
        refuse_ways_out(path)?;
        let under = |prefix: &str| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
        };
        if self.path_prefixes.iter().any(|prefix| under(prefix)) {
            Ok(())
        } else {
            Err(RedirectError::new(Kind::PathPrefix))
        }
    }
}

enum Shape<'a> {
    Relative,
    /// On an origin of the pattern, with this host.
    Absolute(&'a OriginPattern, &'a str),
}

/// A set of [`Scheme`]s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Schemes {
    http: bool,
    https: bool,
}

impl Schemes {
    pub(super) const NONE: Self = Self { http: false, https: false };
    pub(super) const HTTPS: Self = Self { http: false, https: true };

    pub(super) fn with(self, scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Self { http: true, ..self },
            Scheme::Https => Self { https: true, ..self },
        }
    }

    pub(super) fn contains(self, scheme: Scheme) -> bool {
        match scheme {
            Scheme::Http => self.http,
            Scheme::Https => self.https,
        }
    }
}

impl fmt::Debug for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let both = [Scheme::Http, Scheme::Https];
        f.debug_set().entries(both.into_iter().filter(|scheme| self.contains(*scheme))).finish()
    }
}

/// Finds the control character, white space or backslash; other non-ASCII text is percent-encoded by the
/// parser.
fn refuse_ugly(input: &str) -> Result<(), RedirectError> {
    for (position, c) in input.char_indices() {
        let kind = match c {
            '\\' => Kind::Backslash,
            c if c.is_control() => Kind::Control,
            c if c.is_whitespace() => Kind::Whitespace,
            _ => continue,
        };
        return Err(RedirectError::at(kind, position));
    }
    Ok(())
}

/// Host and port of an authority without user information; an absent or empty port is the scheme's default.
fn split_port(authority: &str, scheme: Scheme) -> Option<(&str, u16)> {
    let host_len = if authority.starts_with('[') {
        authority.find(']')?.checked_add(1)?
    } else {
        authority.find(':').unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at_checked(host_len)?;
    let digits = match rest.strip_prefix(':') {
        None if rest.is_empty() => "",
        None => return None,
        Some(digits) => digits,
    };
    let port = match digits {
        "" => scheme.default_port(),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
        _ => return None,
    };
    Some((host, port))
}

/// The path of a `path?query#fragment` that begins with a slash and that a parser leaves as it is: the bytes that the WHATWG
/// URL standard's percent-encode sets (§1.3) leave alone, no percent sign and no segment with a leading dot in the path.
fn plain_path(text: &str) -> Option<&str> {
    let is_plain = |b: u8| {
        let marks = b"/-_.~=&+,:;@!$()*";
        b.is_ascii_alphanumeric() || marks.contains(&b)
    };
    let end = text.bytes().position(|b| matches!(b, b'?' | b'#')).unwrap_or(text.len());
    let (path, rest) = text.split_at_checked(end)?;
    let fine =
        path.bytes().all(is_plain) && rest.bytes().all(|b| is_plain(b) || matches!(b, b'%' | b'?' | b'#'));
    (fine && path.starts_with('/') && !path.contains("/.")).then_some(path)
}

/// What a server may read as a step out of a path prefix: `/app/..%2fadmin`, decoded once; `/app/..%252fadmin`,
/// decoded twice; `/app/..;/admin`, with parameters cut off its segments.
pub(super) fn refuse_ways_out(path: &str) -> Result<(), RedirectError> {
    if path.contains("%25") || has_encoded_separator(path.as_bytes()) {
        return Err(RedirectError::new(Kind::EncodedSeparator));
    }
    let two_dots = |segment: &str| without_dot(segment).and_then(without_dot).is_some();
    if path.split('/').any(two_dots) { Err(RedirectError::new(Kind::PathPrefix)) } else { Ok(()) }
}

/// What follows a dot, encoded or not.
fn without_dot(segment: &str) -> Option<&str> {
    [".", "%2e", "%2E"].into_iter().find_map(|dot| segment.strip_prefix(dot))
}

/// An encoded slash, backslash, C0 control or DEL.
fn has_encoded_separator(segment: &[u8]) -> bool {
    let refused = |w: &[u8]| {
        matches!(
            w,
            [b'%', b'0' | b'1', _]
                | [b'%', b'2', b'f' | b'F']
                | [b'%', b'5', b'c' | b'C']
                | [b'%', b'7', b'f' | b'F']
        )
    };
    segment.contains(&b'%') && segment.windows(3).any(refused)
}
