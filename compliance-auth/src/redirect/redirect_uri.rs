//! OAuth 2 `redirect_uri`: exact comparison with what the client registered, and the one exception native
//! apps need.

use std::fmt;

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

use super::SafeRedirect;
use super::app_scheme::is_for_apps;

/// The prefixes of RFC 8252 §7.3: loopback interface redirection by IP literal. `localhost` is not among
/// them (§8.3).
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// A redirect URI as a client registers it.
///
/// Accepted: `https` with a host; `http` for `127.0.0.1`, `[::1]` and (exact port only) `localhost`; a
/// private-use scheme of an app, such as `com.example.app:/callback`. Refused:
///
/// - a fragment (RFC 6749 §3.1.2), a `*`, user information, anything outside printable ASCII, backslashes;
/// - plain `http` to anywhere else (RFC 9700 §2.6);
/// - a host that is not written as a WHATWG parser reads it: `exa%6dple.com`, `0x7f.1`;
/// - schemes that are no app's own: what browsers run or read by themselves (`javascript:`, `view-source:`), the
///   protocols and formats in IANA's registry of URI schemes (`ws:`, `ldap:`, `tel:`), what operating systems answer
///   to (`search-ms:`, every `ms-…:`);
/// - a colon in the first segment after an app's scheme, as in `com.example.app:javascript:x`.
///
/// # Security
/// RFC 8252 §7.1 wants private-use schemes to be reversed domain names; §8.4 says that a server SHOULD reject one
/// without a dot. These are accepted here, as many clients have them. Any app on the device may claim any scheme: PKCE
/// (RFC 7636) is what protects the code.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RegisteredRedirectUri {
    text: Box<str>,
}

impl RegisteredRedirectUri {
    /// The longest registered or requested URI, in bytes.
    pub const MAX_LEN: usize = 2048;

    /// Reads a URI at registration.
    ///
    /// # Errors
    /// [`RedirectUriError`] `redirect_uri.registration` for what must not be registered,
    /// `redirect_uri.too_long` above [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn parse(text: &str) -> Result<Self, RedirectUriError> {
        if text.len() > Self::MAX_LEN {
            return Err(RedirectUriError::new(RedirectUriErrorKind::TooLong));
        }
        if may_register(text) {
            Ok(Self { text: text.into() })
        } else {
            Err(RedirectUriError::new(RedirectUriErrorKind::Registration))
        }
    }

    /// The URI, byte for byte as registered.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn matches(&self, input: &str) -> bool {
        *self.text == *input || self.matches_but_for_the_port(input)
    }

    fn matches_but_for_the_port(&self, input: &str) -> bool {
        LOOPBACK.iter().any(|prefix| {
            let registered = self.text.strip_prefix(prefix).and_then(without_port);
            registered.is_some() && registered == input.strip_prefix(prefix).and_then(without_port)
        })
    }
}

impl fmt::Debug for RegisteredRedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.text.split('?').next().unwrap_or_default();
        f.debug_tuple("RegisteredRedirectUri").field(&shown).finish()
    }
}

/// All redirect URIs one client registered.
///
/// ```
/// use compliance_auth::redirect::RegisteredRedirectUris;
///
/// let client = RegisteredRedirectUris::parse(["https://app.example/cb", "http://127.0.0.1/cb"])?;
///
/// let uri = client.check("https://app.example/cb")?;
/// let response = uri.with_query([("code", "SplxlOBeZQQYbYS6WxSbIA"), ("state", "xyz")])?;
/// assert_eq!(response.location(), "https://app.example/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=xyz");
///
/// // RFC 8252 §7.3: any port on a loopback address, nothing else.
/// assert!(client.check("http://127.0.0.1:51004/cb").is_ok());
/// assert_eq!(client.check("https://app.example/cb/").unwrap_err().code(), "redirect_uri.not_registered");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisteredRedirectUris(Vec<RegisteredRedirectUri>);

impl RegisteredRedirectUris {
    /// Reads all of a client's URIs.
    ///
    /// # Errors
    /// [`RedirectUriError`] for the first that must not be registered.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, RedirectUriError> {
        texts.into_iter().map(RegisteredRedirectUri::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Checks the `redirect_uri` of an authorization request: byte-for-byte equal to a registered one
    /// (RFC 9700 §4.1.3), except for the port of a loopback IP literal (RFC 8252 §7.3).
    ///
    /// Nothing is normalised, decoded or trimmed. Allocates on success only.
    ///
    /// # Errors
    /// [`RedirectUriError`] `redirect_uri.not_registered` or `redirect_uri.too_long`. Show an error page then:
    /// an error *redirect* to an unchecked URI is an open redirector (RFC 9700 §4.11).
    pub fn check(&self, input: &str) -> Result<RedirectUri, RedirectUriError> {
        if input.len() > RegisteredRedirectUri::MAX_LEN {
            return Err(RedirectUriError::new(RedirectUriErrorKind::TooLong));
        }
        if self.0.iter().any(|registered| registered.matches(input)) {
            Ok(RedirectUri(input.into()))
        } else {
            Err(RedirectUriError::new(RedirectUriErrorKind::NotRegistered))
        }
    }

    /// The registered URIs.
    #[must_use]
    pub fn as_slice(&self) -> &[RegisteredRedirectUri] {
        &self.0
    }
}

impl FromIterator<RegisteredRedirectUri> for RegisteredRedirectUris {
    fn from_iter<I: IntoIterator<Item = RegisteredRedirectUri>>(uris: I) -> Self {
        Self(uris.into_iter().collect())
    }
}

/// A `redirect_uri` that the client had registered.
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct RedirectUri(Box<str>);

impl RedirectUri {
    /// The URI, byte for byte as requested.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds the response parameters (`code`, `state`, `iss`, or `error`) to the query, form-encoded
    /// (RFC 6749 §4.1.2), and gives the redirect to answer with.
    ///
    /// # Errors
    /// [`RedirectUriError`] `redirect_uri.too_long` when the result is longer than
    /// [`RegisteredRedirectUri::MAX_LEN`] bytes.
    pub fn with_query<'a>(
        &self,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<SafeRedirect, RedirectUriError> {
        let mut location = String::from(&*self.0);
        let mut separator = match location.split_once('?') {
            None => "?",
            Some((_, "")) => "",
            Some(_) => "&",
        };
        for (name, value) in parameters {
            location.push_str(separator);
            separator = "&";
            location.extend(url::form_urlencoded::byte_serialize(name.as_bytes()));
            location.push('=');
            location.extend(url::form_urlencoded::byte_serialize(value.as_bytes()));
        }
        if location.len() > RegisteredRedirectUri::MAX_LEN {
            return Err(RedirectUriError::new(RedirectUriErrorKind::TooLong));
        }
        Ok(SafeRedirect::sealed(location))
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedirectUri").field(&self.0.split('?').next().unwrap_or_default()).finish()
    }
}

/// Path and query of `rest`, which follows a host, without a port. `None` when something else follows.
fn without_port(rest: &str) -> Option<&str> {
    const MAX_DIGITS: usize = 5;
    let after_port = match rest.strip_prefix(':') {
        None => rest,
        Some(port) => {
            let digits = port.bytes().take_while(u8::is_ascii_digit).count();
            let (port, after) = port.split_at_checked(digits)?;
            if digits > MAX_DIGITS || port.parse::<u16>().is_ok_and(|port| port == 0) {
                return None;
            }
            port.parse::<u16>().ok()?;
            after
        }
    };
    (after_port.is_empty() || after_port.starts_with(['/', '?'])).then_some(after_port)
}

fn may_register(text: &str) -> bool {
    let printable = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'#' | b'*'));
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !printable || !named {
        return false;
    }
    let authority = rest.strip_prefix("//").map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    if !is_read_as_written(text, authority) {
        return false;
    }
    if scheme.eq_ignore_ascii_case("https") {
        authority.is_some_and(|authority| !authority.is_empty())
    } else if scheme.eq_ignore_ascii_case("http") {
        let localhost = |rest: &str| without_port(rest).is_some();
        LOOPBACK
            .iter()
            .chain(&["http://localhost"])
            .any(|host| text.strip_prefix(host).is_some_and(localhost))
    } else {
        let wraps = rest.split(['/', '?']).next().unwrap_or_default().contains(':');
        !rest.is_empty() && !wraps && is_for_apps(scheme)
    }
}

/// Whether a WHATWG parser finds the host that stands there, and no user information. What is registered is sent
/// byte for byte: nobody may read another host into it.
fn is_read_as_written(text: &str, authority: Option<&str>) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let parsed = url.host_str().unwrap_or_default();
    let written = authority.unwrap_or_default();
    let Some((host, port)) = written.split_at_checked(parsed.len()) else { return false };
    let port = port.strip_prefix(':').unwrap_or(port);
    host.eq_ignore_ascii_case(parsed) && port.bytes().all(|b| b.is_ascii_digit())
}

/// A redirect URI that was refused. Never holds the URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redirect uri refused: {text}", text = .kind.text())]
pub struct RedirectUriError {
    kind: RedirectUriErrorKind,
}

impl RedirectUriError {
    const fn new(kind: RedirectUriErrorKind) -> Self {
        Self { kind }
    }

    /// The rule that refused.
    #[must_use]
    pub const fn kind(&self) -> RedirectUriErrorKind {
        self.kind
    }

    /// The stable operator code, `redirect_uri.not_registered` for one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }
}

impl Reason for RedirectUriError {
    fn code(&self) -> ReasonCode {
        match self.kind {
            RedirectUriErrorKind::NotRegistered => reason_code!("redirect_uri.not_registered"),
            RedirectUriErrorKind::Registration => reason_code!("redirect_uri.registration"),
            RedirectUriErrorKind::TooLong => reason_code!("redirect_uri.too_long"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        reason_code!("redirect_uri.refused")
    }
}

/// The rule that refused a redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectUriErrorKind {
    /// Not byte-for-byte one of the registered URIs.
    NotRegistered,
    /// A URI that must not be registered, see [`RegisteredRedirectUri`].
    Registration,
    /// Longer than [`RegisteredRedirectUri::MAX_LEN`] bytes.
    TooLong,
}

impl RedirectUriErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::NotRegistered => "expected one of the client's registered uris, byte for byte",
            Self::Registration => {
                "expected https, loopback http or an app's own scheme, with a plain host and no fragment, `*` or user information"
            }
            Self::TooLong => "the uri is longer than 2048 bytes",
        }
    }
}
