//! Why a target was refused, and why a policy could not be built.

use std::fmt;

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

/// A redirect target that was refused.
///
/// Names the rule and, where there is one, the byte position; never the target itself, which may be hostile
/// or personal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectError {
    kind: RedirectErrorKind,
    position: Option<usize>,
}

impl RedirectError {
    pub(crate) const fn new(kind: RedirectErrorKind) -> Self {
        Self { kind, position: None }
    }

    pub(super) const fn at(kind: RedirectErrorKind, position: usize) -> Self {
        Self { kind, position: Some(position) }
    }

    /// The rule that refused.
    #[must_use]
    pub const fn kind(&self) -> RedirectErrorKind {
        self.kind
    }

    /// Where in the input, in bytes, when the rule is about one place.
    #[must_use]
    pub const fn position(&self) -> Option<usize> {
        self.position
    }

    /// The stable operator code, `redirect.other_origin` for one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }
}

impl Reason for RedirectError {
    fn code(&self) -> ReasonCode {
        self.kind.code()
    }

    fn public_code(&self) -> ReasonCode {
        self.kind.public_code()
    }
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redirect refused: {}", self.kind.text())?;
        match self.position {
            Some(position) => write!(f, " at byte {position}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RedirectError {}

/// The rule that refused a redirect target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectErrorKind {
    /// The authority holds something other than an ASCII host and a port: percent signs, Unicode, `*`.
    Authority,
    /// A backslash, which browsers read as a slash.
    Backslash,
    /// A control character (C0, DEL or C1).
    Control,
    /// The resolved path starts with two slashes: it would turn into a host when read as a relative target.
    DoubleSlash,
    /// A response has the header twice: which one counts is up to the browser.
    Duplicate,
    /// Nothing to go to.
    Empty,
    /// The first path segment holds an encoded slash, backslash or control character; with path prefixes in
    /// force, any segment, or an encoded percent sign.
    EncodedSeparator,
    /// The URL parser refused it.
    Malformed,
    /// The target names another host, whatever it looks like at first sight.
    NetworkPath,
    /// A header value holds bytes outside ASCII, which browsers decode in different ways.
    NotAscii,
    /// The scheme is not followed by `//` and a host.
    NotHierarchical,
    /// Another origin than the allowed ones.
    OtherOrigin,
    /// An allowed host at a port that is not allowed.
    OtherPort,
    /// The path is under none of the allowed prefixes, or has a segment that begins with two dots.
    PathPrefix,
    /// A `Refresh` header that is not seconds, or seconds and one `url=`.
    Refresh,
    /// The scheme is not allowed, `javascript:` for one, or the first segment of a path holds a colon.
    Scheme,
    /// Longer than [`RedirectPolicy::MAX_LEN`](super::RedirectPolicy::MAX_LEN) bytes as given or as it would be sent.
    TooLong,
    /// User name or password before the host.
    UserInfo,
    /// A space or another white-space character.
    Whitespace,
}

impl RedirectErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Authority => {
                "expected a host of ASCII letters, digits, dots and hyphens, found something else"
            }
            Self::Backslash => "found a backslash",
            Self::Control => "found a control character",
            Self::DoubleSlash => "the path starts with two slashes",
            Self::Duplicate => "expected the header once, found it several times",
            Self::Empty => "expected a target, found nothing",
            Self::EncodedSeparator => {
                "found an encoded separator, control character or percent sign in the path"
            }
            Self::Malformed => "expected a url, found something else",
            Self::NetworkPath => "expected a path or a full url, found a host without a scheme",
            Self::NotAscii => "found bytes outside ascii",
            Self::NotHierarchical => "expected `//` and a host after the scheme",
            Self::OtherOrigin => "the origin is not an allowed one",
            Self::OtherPort => "the port is not an allowed one",
            Self::PathPrefix => "the path is under none of the allowed prefixes, or may lead out of them",
            Self::Refresh => "expected seconds, or seconds and `url=` with a target",
            Self::Scheme => "the scheme is not an allowed one",
            Self::TooLong => "the target is longer than the limit",
            Self::UserInfo => "found user information before the host",
            Self::Whitespace => "found white space",
        }
    }
}

impl Reason for RedirectErrorKind {
    fn code(&self) -> ReasonCode {
        match self {
            Self::Authority => reason_code!("redirect.authority"),
            Self::Backslash => reason_code!("redirect.backslash"),
            Self::Control => reason_code!("redirect.control"),
            Self::DoubleSlash => reason_code!("redirect.double_slash"),
            Self::Duplicate => reason_code!("redirect.duplicate"),
            Self::Empty => reason_code!("redirect.empty"),
            Self::EncodedSeparator => reason_code!("redirect.encoded_separator"),
            Self::Malformed => reason_code!("redirect.malformed"),
            Self::NetworkPath => reason_code!("redirect.network_path"),
            Self::NotAscii => reason_code!("redirect.not_ascii"),
            Self::NotHierarchical => reason_code!("redirect.not_hierarchical"),
            Self::OtherOrigin => reason_code!("redirect.other_origin"),
            Self::OtherPort => reason_code!("redirect.other_port"),
            Self::PathPrefix => reason_code!("redirect.path_prefix"),
            Self::Refresh => reason_code!("redirect.refresh"),
            Self::Scheme => reason_code!("redirect.scheme"),
            Self::TooLong => reason_code!("redirect.too_long"),
            Self::UserInfo => reason_code!("redirect.userinfo"),
            Self::Whitespace => reason_code!("redirect.whitespace"),
        }
    }

    /// `redirect.refused`, always: which rule refused helps only who tries to get round it.
    fn public_code(&self) -> ReasonCode {
        reason_code!("redirect.refused")
    }
}

/// A redirect policy that could not be built: a mistake of the caller, not of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redirect policy: {text}", text = .kind.text())]
pub struct RedirectPolicyError {
    kind: RedirectPolicyErrorKind,
}

impl RedirectPolicyError {
    pub(super) const fn new(kind: RedirectPolicyErrorKind) -> Self {
        Self { kind }
    }

    /// What is wrong with the configuration.
    #[must_use]
    pub const fn kind(&self) -> RedirectPolicyErrorKind {
        self.kind
    }

    /// The stable code, `redirect_policy.base` for one.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            RedirectPolicyErrorKind::Base => "redirect_policy.base",
            RedirectPolicyErrorKind::BaseScheme => "redirect_policy.base_scheme",
            RedirectPolicyErrorKind::DefaultTarget => "redirect_policy.default_target",
            RedirectPolicyErrorKind::OriginScheme => "redirect_policy.origin_scheme",
            RedirectPolicyErrorKind::PathPrefix => "redirect_policy.path_prefix",
        }
    }
}

/// What is wrong with a redirect policy's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectPolicyErrorKind {
    /// The base is no http(s) URL with a plain ASCII host and no user information.
    Base,
    /// The base's scheme is not among the allowed ones, so nothing relative could ever pass.
    BaseScheme,
    /// The default target fails the policy's own check.
    DefaultTarget,
    /// An allowed origin's scheme is not among the allowed ones, so it could never match.
    OriginScheme,
    /// A path prefix that no resolved path can start with.
    PathPrefix,
}

impl RedirectPolicyErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Base => {
                "expected the base as an http or https url with a plain host and no user information"
            }
            Self::BaseScheme => "the base's scheme is not among the allowed schemes",
            Self::DefaultTarget => "the default target fails the policy's own check",
            Self::OriginScheme => {
                "an allowed origin's scheme is not among the allowed schemes, it could never match"
            }
            Self::PathPrefix => {
                "expected path prefixes as they appear in a url: `/`, then unencoded segments"
            }
        }
    }
}
