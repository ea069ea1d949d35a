//! A policy in the making.

use compliance_core::finding::{Enforcement, PolicyVersion};
use compliance_core::origin::{Origin, Scheme};
use url::Url;

use super::SafeRedirect;
use super::error::{RedirectPolicyError, RedirectPolicyErrorKind};
use super::origin_pattern::OriginPattern;
use super::policy::{RedirectPolicy, Schemes, refuse_ways_out};

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
    pub(super) fn new(base: &'a str) -> Self {
        Self {
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
    ///
    /// # Security
    /// A server may decode a path once more, or cut parameters off its segments, after it was compared. With prefixes in
    /// force a target is refused, too, that holds anywhere in its path an encoded slash, backslash or control character
    /// (`/app/..%2fadmin`), an encoded percent sign (`/app/..%252fadmin`), or a segment that begins with two dots
    /// (`/app/..;/admin`). [`allow_encoded_separators`](Self::allow_encoded_separators) does not change that. A prefix
    /// that holds one of these is refused by [`build`](Self::build).
    pub fn path_prefix(mut self, prefix: impl Into<Box<str>>) -> Self {
        self.path_prefixes.push(prefix.into());
        self
    }

    /// Lets encoded slashes, backslashes and control characters into the first path segment. Default: refused,
    /// because servers that decode twice turn `/%2fevil.example` into a host. Without effect where there is a
    /// [`path_prefix`](Self::path_prefix).
    pub fn allow_encoded_separators(mut self) -> Self {
        self.encoded_separators = true;
        self
    }

    /// Where refused visitors go; goes through the same check. Default: `/`.
    pub fn default_target(mut self, target: &'a str) -> Self {
        self.default_target = Some(target);
        self
    }

    /// Report-only for a roll-out, see [`RedirectDecision`](super::RedirectDecision). Default: [`Enforcement::Enforce`].
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
                && refuse_ways_out(prefix).is_ok()
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
