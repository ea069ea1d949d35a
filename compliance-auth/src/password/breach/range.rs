//! The range client: asks by the first five hex digits of the password's SHA-1.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use lru::LruCache;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::super::policy::{AcceptedPassword, PasswordReason, PasswordRefusal, nfc};
use super::{Breach, OnUnavailable, digest};

/// How long an answer is used again.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// Ranges have some thousand lines of some forty bytes, padding included.
const MAX_ANSWER_LEN: usize = 1 << 20;

/// Asks a range service whether a password is known from a breach, by k-anonymity: it learns five of forty hex digits of
/// the SHA-1, and answers with all that share them. The answer is padded (`Add-Padding`), so that its length does not
/// tell them either.
///
/// Speaks the protocol of Have I Been Pwned's Pwned Passwords, over HTTPS only. Needs a Tokio runtime.
///
/// ```no_run
/// use compliance_auth::password::breach::RangeClient;
/// use compliance_auth::password::{PasswordContext, PasswordPolicy, PasswordProfile};
/// # async fn sign_up(password: secrecy::SecretString) -> Result<(), Box<dyn std::error::Error>> {
/// let breaches = RangeClient::builder().build()?;
/// let policy = PasswordPolicy::of(PasswordProfile::Asvs5);
/// let accepted = policy.check(&password, &PasswordContext::new())?;
/// let accepted = breaches.check(accepted).await?; // refuses what is listed
/// # Ok(()) }
/// ```
pub struct RangeClient {
    tls: TlsConnector,
    host: String,
    port: u16,
    path: String,
    server: ServerName<'static>,
    timeout: Duration,
    min_count: u64,
    on_unavailable: OnUnavailable,
    cache: Mutex<LruCache<u32, Answer>>,
}

#[derive(Clone)]
struct Answer {
    at: Instant,
    /// The first 32 of the 35 further digits, and the count. Sorted.
    lines: Arc<[(u128, u64)]>,
}

impl RangeClient {
    /// The public service.
    pub const DEFAULT_ENDPOINT: &'static str = "https://api.pwnedpasswords.com/range/";

    /// Starts a client: the public service, one second, 256 ranges (some four megabytes) remembered for an hour,
    /// any count, refusing while the service is unavailable.
    pub fn builder() -> RangeClientBuilder {
        RangeClientBuilder {
            endpoint: Self::DEFAULT_ENDPOINT.to_owned(),
            timeout: Duration::from_secs(1),
            remembered: 256,
            min_count: 1,
            on_unavailable: OnUnavailable::default(),
            roots: Vec::new(),
        }
    }

    /// Whether `password` is listed, in NFC.
    ///
    /// # Errors
    /// [`RangeError`] when the service does not answer in time, or not as it should.
    pub async fn lookup(&self, password: &SecretString) -> Result<Breach, RangeError> {
        let digest = digest(&nfc(password.expose_secret()));
        let (prefix, rest) = split(&digest);
        let lines = match self.remembered(prefix) {
            Some(lines) => lines,
            None => {
                let asked = tokio::time::timeout(self.timeout, self.ask(prefix)).await;
                let lines = asked.map_err(|_| RangeError(RangeErrorKind::Timeout))??;
                let answer = Answer { at: Instant::now(), lines: Arc::clone(&lines) };
                self.cache.lock().unwrap_or_else(PoisonError::into_inner).put(prefix, answer);
                lines
            }
        };
        let at = lines.binary_search_by_key(&rest, |(digits, _)| *digits).ok();
        let count = at.and_then(|at| lines.get(at)).map_or(0, |(_, count)| *count);
        Ok(Breach::from(count >= self.min_count))
    }

    /// Passes an accepted password on unless it is listed. While the service is unavailable, the
    /// [policy for that](RangeClientBuilder::on_unavailable) decides. A [report-only](super::super::PasswordPolicy::enforcement)
    /// policy's password is passed on with what it would have been refused for.
    ///
    /// # Errors
    /// [`PasswordRefusal`] with `password.breached` or `password.breach_unknown`.
    pub async fn check(&self, password: AcceptedPassword) -> Result<AcceptedPassword, PasswordRefusal> {
        match (self.lookup(password.secret()).await, self.on_unavailable) {
            (Ok(Breach::NotListed), _) => Ok(password),
            (Ok(Breach::Listed), _) => password.refuse(PasswordReason::Breached),
            (Err(_), OnUnavailable::Refuse) => password.refuse(PasswordReason::BreachUnknown),
            (Err(_), OnUnavailable::Review) => Ok(password.with_breach_unknown()),
        }
    }

    fn remembered(&self, prefix: u32) -> Option<Arc<[(u128, u64)]>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = cache.get(&prefix).filter(|answer| answer.at.elapsed() < MAX_AGE)?;
        Some(Arc::clone(&answer.lines))
    }

    async fn ask(&self, prefix: u32) -> Result<Arc<[(u128, u64)]>, RangeError> {
        let unavailable = RangeError(RangeErrorKind::Unavailable);
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|_| unavailable)?;
        let tls = self.tls.connect(self.server.clone(), tcp).await.map_err(|_| unavailable)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(|_| unavailable)?;
        // Ends when the sender is dropped, or with the time-out.
        let connection = async {
            // Its error comes out of the request as well.
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        let host = authority(&self.host, self.port);
        let request = Request::get(format!("{}{prefix:05X}", self.path))
            .header(HOST, host)
            .header("Add-Padding", HeaderValue::from_static("true"))
            .header(
                USER_AGENT,
                HeaderValue::from_static(concat!("compliance-auth/", env!("CARGO_PKG_VERSION"))),
            )
            .header(ACCEPT, HeaderValue::from_static("text/plain"))
            .body(Empty::<Bytes>::new())
            .map_err(|_| unavailable)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|_| unavailable)?;
            if response.status() != StatusCode::OK {
                return Err(RangeError(RangeErrorKind::Answer));
            }
            let body = Limited::new(response.into_body(), MAX_ANSWER_LEN).collect().await;
            let body = body.map_err(|_| RangeError(RangeErrorKind::Answer))?.to_bytes();
            read_lines(&body).ok_or(RangeError(RangeErrorKind::Answer))
        };
        tokio::select! {
            answer = exchange => answer,
            () = connection => Err(unavailable),
        }
    }
}

impl fmt::Debug for RangeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeClient")
            .field("host", &self.host)
            .field("timeout", &self.timeout)
            .field("on_unavailable", &self.on_unavailable)
            .finish_non_exhaustive()
    }
}

/// As in a `Host` header: an IPv6 address in brackets, the usual port left out.
fn authority(host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == 443 { host } else { format!("{host}:{port}") }
}

/// The first five hex digits, and the 32 after them.
fn split(digest: &[u8; 20]) -> (u32, u128) {
    let [a, b, c, rest @ ..] = digest;
    let prefix = u32::from_be_bytes([0, *a, *b, *c]) >> 4;
    // The sixth digit, then 31 more.
    let first = u128::from(c & 15);
    let digits = rest.iter().take(15).fold(first, |number, byte| (number << 8) | u128::from(*byte));
    let last = rest.get(15).copied().unwrap_or_default() >> 4;
    (prefix, (digits << 4) | u128::from(last))
}

/// `SUFFIX:COUNT` a line; anything else makes the answer unusable, and so does nothing but padding (count 0).
fn read_lines(body: &[u8]) -> Option<Arc<[(u128, u64)]>> {
    let text = std::str::from_utf8(body).ok()?;
    let mut lines = Vec::with_capacity(text.len() / 37);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (suffix, count) = line.split_once(':')?;
        if suffix.len() != 35 || !suffix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let (suffix, count) =
            (u128::from_str_radix(suffix.get(..32)?, 16).ok()?, count.trim_end().parse().ok()?);
        if count > 0 {
            lines.push((suffix, count));
        }
    }
    lines.sort_unstable();
    (!lines.is_empty()).then(|| lines.into())
}

/// Builds a [`RangeClient`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RangeClientBuilder {
    endpoint: String,
    timeout: Duration,
    remembered: usize,
    min_count: u64,
    on_unavailable: OnUnavailable,
    roots: Vec<Vec<u8>>,
}

impl RangeClientBuilder {
    /// Asks another service, a mirror of your own for one: an `https` URL that the five digits are appended to.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = url.into();
        self
    }

    /// Trusts this certificate (DER) instead of Mozilla's list, for a mirror with a certificate of your own. May be called
    /// several times.
    pub fn root_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(der.into());
        self
    }

    /// How long an answer may take, from the name's resolution to the last byte.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many ranges are remembered, at least one.
    pub fn remembered(mut self, ranges: usize) -> Self {
        self.remembered = ranges;
        self
    }

    /// From how many sightings on a password counts as listed, at least one.
    pub fn min_count(mut self, count: u64) -> Self {
        self.min_count = count.max(1);
        self
    }

    /// What becomes of passwords while the service is unavailable.
    pub fn on_unavailable(mut self, policy: OnUnavailable) -> Self {
        self.on_unavailable = policy;
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`RangeError`] for an endpoint that is no `https` URL ending in `/`, and for certificates that are none.
    pub fn build(self) -> Result<RangeClient, RangeError> {
        let bad_endpoint = RangeError(RangeErrorKind::Endpoint);
        let url = Url::parse(&self.endpoint).map_err(|_| bad_endpoint)?;
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(bad_endpoint),
        };
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if url.scheme() != "https" || !plain || url.password().is_some() || !url.path().ends_with('/') {
            return Err(bad_endpoint);
        }
        let mut roots = RootCertStore::empty();
        if self.roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for der in self.roots {
            roots.add(CertificateDer::from(der)).map_err(|_| RangeError(RangeErrorKind::Certificate))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|_| RangeError(RangeErrorKind::Certificate))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let server = ServerName::try_from(host.clone()).map_err(|_| bad_endpoint)?;
        let remembered = NonZeroUsize::new(self.remembered).unwrap_or(NonZeroUsize::MIN);
        Ok(RangeClient {
            tls: TlsConnector::from(Arc::new(config)),
            host,
            port: url.port_or_known_default().unwrap_or(443),
            path: url.path().to_owned(),
            server,
            timeout: self.timeout,
            min_count: self.min_count,
            on_unavailable: self.on_unavailable,
            cache: Mutex::new(LruCache::new(remembered)),
        })
    }
}

/// The range service gave no usable answer, or the client cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("breach range: {text}", text = .0.text())]
pub struct RangeError(RangeErrorKind);

impl RangeError {
    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> RangeErrorKind {
        self.0
    }

    /// `breach_range.answer`, `.certificate`, `.endpoint`, `.timeout` or `.unavailable`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.0 {
            RangeErrorKind::Answer => "breach_range.answer",
            RangeErrorKind::Certificate => "breach_range.certificate",
            RangeErrorKind::Endpoint => "breach_range.endpoint",
            RangeErrorKind::Timeout => "breach_range.timeout",
            RangeErrorKind::Unavailable => "breach_range.unavailable",
        }
    }
}

/// What went wrong with a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RangeErrorKind {
    /// The answer is no range: another status, too long, or other lines than `SUFFIX:COUNT`.
    Answer,
    /// A root certificate is none.
    Certificate,
    /// The endpoint is no `https` URL that ends in `/`.
    Endpoint,
    /// No answer in time.
    Timeout,
    /// No connection.
    Unavailable,
}

impl RangeErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Answer => "expected lines of 35 hex digits and a count",
            Self::Certificate => "expected a root certificate in der",
            Self::Endpoint => "expected an https url ending in a slash",
            Self::Timeout => "no answer in time",
            Self::Unavailable => "no connection",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_split_after_the_fifth_digit() {
        // SHA-1 of `password`: 5BAA6 1E4C9B93F3F0682250B6CF8331B7EE6 8FD8.
        let (prefix, rest) = split(&digest("password"));
        assert_eq!(format!("{prefix:05X} {rest:032X}"), "5BAA6 1E4C9B93F3F0682250B6CF8331B7EE68");
    }

    #[test]
    fn lines_are_read_strictly() {
        let line = "1E4C9B93F3F0682250B6CF8331B7EE68FD8:3\r\n";
        assert_eq!(read_lines(line.as_bytes()).unwrap().len(), 1);
        let padding = "1E4C9B93F3F0682250B6CF8331B7EE68FD9:0\r\n";
        assert_eq!(read_lines(format!("{line}{padding}").as_bytes()).unwrap().len(), 1);
        for bad in ["", "x", "1E4C9B93F3F0682250B6CF8331B7EE68FD8", "1E4C:3", "<html>", padding] {
            assert!(read_lines(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(authority("::1", 443), "[::1]");
        assert_eq!(authority("::1", 8443), "[::1]:8443");
        assert_eq!(authority("ranges.example", 8443), "ranges.example:8443");
    }
}
