//! The policy and its check.

use std::fmt;

use compliance_core::finding::{Enforcement, Explain, Finding, Outcome, PolicyVersion};
use compliance_core::origin::{Origin, Scheme};
use compliance_core::reason_code;
use url::Url;

use super::SafeRedirect;
use super::error::{RedirectError, RedirectErrorKind as Kind, RedirectPolicyError, RedirectPolicyErrorKind};
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
    base: Url,
    /// The base's origin first, then the allowed ones.
    origins: Vec<OriginPattern>,
    schemes: Schemes,
    path_prefixes: Vec<Box<str>>,
    encoded_separators: bool,
    enforcement: Enforcement,
    version: PolicyVersion,
    default_target: SafeRedirect,
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
        RedirectPolicyBuilder {
            base,
            origins: Vec::new(),
            schemes: Schemes::HTTPS,
            path_prefixes: Vec::new(),
            encoded_separators: false,
            enforcement: Enforcement::Enforce,
            version: PolicyVersion::new("redirect", "1"),
            default_target: None,
        }
    }

    /// Checks a target and resolves it against the base. See the [module](super) for the rules.
    ///
    /// Costs about as much as parsing a URL; what is refused by its looks allocates nothing.
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
        let mut page = self.base.clone();
        page.set_path(path);
        page.set_query(query);
        self.check_against(&page, input)
    }

    fn check_against(&self, page: &Url, input: &str) -> Result<SafeRedirect, RedirectError> {
        let url = match self.read(input)? {
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
        // A server that decodes `/app/..%2fadmin` leaves the prefix.
        if has_encoded_separator(bytes) {
            return Err(RedirectError::new(Kind::EncodedSeparator));
        }
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

/// Builds a [`RedirectPolicy`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RedirectPolicyBuilder<'a> {
    base: &'a str,
    origins: Vec<OriginPattern>,
    schemes: Schemes,
    path_prefixes: Vec<Box<str>>,
    encoded_separators: bool,
    enforcement: Enforcement,
    version: PolicyVersion,
    default_target: Option<&'a str>,
}

impl<'a> RedirectPolicyBuilder<'a> {
    /// Allows another origin, or all hosts below a domain.
    pub fn allow(mut self, origin: OriginPattern) -> Self {
        self.origins.push(origin);
        self
    }

    /// Sets the allowed schemes. Default: `https` only.
    pub fn schemes(mut self, schemes: impl IntoIterator<Item = Scheme>) -> Self {
        self.schemes = schemes.into_iter().fold(Schemes::NONE, Schemes::with);
        self
    }

    /// Allows only paths at or below `prefix`, on every allowed origin. May be given several times; without
    /// one, every path is allowed.
    ///
    /// `/app` covers `/app` and `/app/x`, not `/apple`; `/app/` covers what is below it.
    pub fn path_prefix(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.path_prefixes.push(prefix.into());
        self
    }

    /// Lets encoded slashes, backslashes and control characters into the first path segment. Default: refused,
    /// because servers that decode twice turn `/%2fevil.example` into a host.
    pub fn allow_encoded_separators(mut self) -> Self {
        self.encoded_separators = true;
        self
    }

    /// Where refused visitors go; goes through the same check. Default: `/`.
    pub fn default_target(mut self, target: &'a str) -> Self {
        self.default_target = Some(target);
        self
    }

    /// Report-only for a roll-out, see [`RedirectDecision`]. Default: [`Enforcement::Enforce`].
    pub fn enforcement(mut self, enforcement: Enforcement) -> Self {
        self.enforcement = enforcement;
        self
    }

    /// Name and version for findings. Default: `redirect/1`.
    pub fn version(mut self, version: PolicyVersion) -> Self {
        self.version = version;
        self
    }

    /// Builds the policy.
    ///
    /// # Errors
    /// [`RedirectPolicyError`] for a configuration that could never work: see its kinds.
    pub fn build(self) -> Result<RedirectPolicy, RedirectPolicyError> {
        use RedirectPolicyErrorKind as Wrong;
        let fail = RedirectPolicyError::new;
        let mut base = Url::parse(self.base).map_err(|_| fail(Wrong::Base))?;
        base.set_fragment(None);
        let own = Origin::of(&base).map_err(|_| fail(Wrong::Base))?;
        let own = OriginPattern::of_origin(&own).map_err(|_| fail(Wrong::Base))?;
        if !self.schemes.contains(own.scheme()) {
            return Err(fail(Wrong::BaseScheme));
        }
        if self.origins.iter().any(|origin| !self.schemes.contains(origin.scheme())) {
            return Err(fail(Wrong::OriginScheme));
        }
        let resolvable = |prefix: &str| {
            prefix.starts_with('/')
                && Url::parse("https://host.invalid")
                    .is_ok_and(|root| root.join(prefix).is_ok_and(|url| url.path() == prefix))
        };
        if !self.path_prefixes.iter().all(|prefix| resolvable(prefix)) {
            return Err(fail(Wrong::PathPrefix));
        }
        let mut policy = RedirectPolicy {
            base,
            origins: std::iter::once(own).chain(self.origins).collect(),
            schemes: self.schemes,
            path_prefixes: self.path_prefixes,
            encoded_separators: self.encoded_separators,
            enforcement: self.enforcement,
            version: self.version,
            default_target: SafeRedirect::sealed(String::new()),
        };
        policy.default_target =
            policy.check(self.default_target.unwrap_or("/")).map_err(|_| fail(Wrong::DefaultTarget))?;
        Ok(policy)
    }
}

/// What a policy says to one target, the way it is rolled out.
///
/// [`target`](Self::target) is where to go. In a report-only policy it is `None` for a target that would have
/// been refused: go on as before the policy was there, and keep the [`Finding`]. Nothing here turns an
/// unchecked target into a [`SafeRedirect`].
///
/// ```
/// use compliance_auth::redirect::RedirectPolicy;
/// use compliance_core::finding::{Enforcement, Explain};
///
/// let policy = RedirectPolicy::builder("https://app.example/").default_target("/home").build()?;
/// let decision = policy.decide("//evil.example");
/// assert_eq!(decision.target().map(|t| t.location()), Some("https://app.example/home"));
/// assert_eq!(decision.finding().to_string(), "refused redirect.network_path (redirect/1)");
///
/// let trial = RedirectPolicy::builder("https://app.example/").enforcement(Enforcement::ReportOnly).build()?;
/// assert_eq!(trial.decide("//evil.example").target(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct RedirectDecision<'p> {
    policy: &'p RedirectPolicy,
    result: Result<SafeRedirect, RedirectError>,
}

impl RedirectDecision<'_> {
    /// Where to go: the checked target, or the default target of an enforcing policy that refused.
    #[must_use]
    pub fn target(&self) -> Option<&SafeRedirect> {
        match (&self.result, self.policy.enforcement) {
            (Ok(target), _) => Some(target),
            (Err(_), Enforcement::Enforce) => Some(&self.policy.default_target),
            (Err(_), Enforcement::ReportOnly) => None,
        }
    }

    /// The rule that refused or would have refused.
    #[must_use]
    pub fn refusal(&self) -> Option<RedirectError> {
        self.result.as_ref().err().copied()
    }
}

impl Explain for RedirectDecision<'_> {
    fn finding(&self) -> Finding {
        self.policy.explain(self.result.as_ref().map(drop).map_err(|error| *error))
    }
}

enum Shape<'a> {
    Relative,
    /// On an origin of the pattern, with this host.
    Absolute(&'a OriginPattern, &'a str),
}

/// A set of [`Scheme`]s.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Schemes {
    http: bool,
    https: bool,
}

impl Schemes {
    const NONE: Self = Self { http: false, https: false };
    const HTTPS: Self = Self { http: false, https: true };

    fn with(self, scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Self { http: true, ..self },
            Scheme::Https => Self { https: true, ..self },
        }
    }

    fn contains(self, scheme: Scheme) -> bool {
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
