//! Redirect: where a visitor may be sent next (CWE-601, open redirect).
//!
//! Give [`RedirectPolicy::check`] whatever came in as `?next=`; it gives back a [`SafeRedirect`] or the rule
//! that refused. The rules, in the order they are applied:
//!
//! 1. 1 to [`RedirectPolicy::MAX_LEN`] bytes; no control character, no white space, no backslash, anywhere.
//!    Nothing is trimmed: a browser strips what we would strip, and then some.
//! 2. A path (`/home`, `home`, `../home`), a query (`?page=2`), a fragment (`#top`), or a full URL. A host
//!    without a scheme (`//host`) is refused even for our own host; so is a colon in the first segment.
//! 3. A full URL has an allowed scheme, `//`, and a plain ASCII authority without user information; that
//!    authority, compared as text, is an allowed host at an allowed port. No percent-decoding, no IDNA mapping:
//!    write Unicode hosts in their `xn--` form.
//! 4. What passed is resolved by the WHATWG parser (`url`) against the real base, and the *result* is looked
//!    at again: origin, path not starting with `//`, path prefixes, encoded separators in the first segment
//!    ([path prefixes](RedirectPolicyBuilder::path_prefix) ask for more). A parser error is a refusal.
//! 5. What is sent is the parser's serialisation, always a full URL in printable ASCII. Checking it again gives the same.
//!
//! The parser is not asked where its answer is certain: for a path that begins with a slash, on the base's origin or an
//! allowed one written as a parser writes it, all of it characters that the URL standard leaves alone, without percent signs
//! and without segments that begin with a dot. Debug builds ask it all the same and compare; so do the tests, over every two
//! printable characters, and the fuzz target.
//!
//! Refusals of rules 1 to 3 do not allocate.

mod app_scheme;
mod builder;
mod decision;
mod error;
#[cfg(feature = "tower")]
mod header;
mod origin_pattern;
mod policy;
mod redirect_uri;
mod signed_next;

pub use builder::RedirectPolicyBuilder;
pub use compliance_core::origin::Scheme;
pub use decision::RedirectDecision;
pub use error::{RedirectError, RedirectErrorKind, RedirectPolicyError, RedirectPolicyErrorKind};
#[cfg(feature = "tower")]
pub(crate) use header::{Refresh, header_text};
pub use origin_pattern::{OriginPattern, OriginPatternError, OriginPatternErrorKind};
pub use policy::RedirectPolicy;
pub use redirect_uri::{
    RedirectUri, RedirectUriError, RedirectUriErrorKind, RegisteredRedirectUri, RegisteredRedirectUris,
};
pub use signed_next::{SignedNextError, SignedNextErrorKind, SignedNextKey, SignedNextKeyError};

use std::fmt;

/// A redirect target that passed its policy: the one thing that turns into a redirect response.
///
/// [`location`](Self::location) is exactly what goes into the header. Made by [`RedirectPolicy::check`], which
/// writes the target as a URL parser does, and by [`RedirectUri::with_query`], which keeps what the client registered byte for
/// byte; by nothing else.
///
/// `Debug` shows the target up to its query, which may hold codes or personal data.
///
/// # Security
/// The proof is about where the browser goes, not about what waits there: an allowed origin with an open
/// redirect of its own sends the visitor on.
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct SafeRedirect(String);

impl SafeRedirect {
    /// For `Location`: a full URL of printable ASCII (0x21–0x7E), no user information, no backslash.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.0
    }

    /// The target as an owned string.
    #[must_use]
    pub fn into_location(self) -> String {
        self.0
    }

    /// INVARIANT: `location` is a URL in printable ASCII, without user information, that names the host a parser
    /// finds in it; its origin was checked, or it was registered whole.
    const fn sealed(location: String) -> Self {
        Self(location)
    }
}

impl fmt::Debug for SafeRedirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.split(['?', '#']).next().unwrap_or_default();
        f.debug_tuple("SafeRedirect").field(&shown).finish()
    }
}
