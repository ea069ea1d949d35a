//! The transport: hyper over rustls, on sockets to guarded addresses.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use compliance_core::clock::{Clock, SystemClock};
use compliance_core::event::{Recorder, Sink};
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::pool::{Connection, Pool};
use super::tls::client_config;
use super::{Answer, Attempt, BodyEnd, Deliver, DeliverReason, Outcome, TlsRoots, TlsVersions};
use crate::endpoint::WebhookEndpoint;
use crate::guard::{Dialer, Guard, GuardedAddr, Resolve, SystemResolver};

/// The most of an answer's head that is read, in bytes.
const MAX_HEAD_LEN: usize = 32 * 1024;

/// How long each phase of an attempt may take. The sum of the defaults is 30 seconds, the longest Standard
/// Webhooks recommends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "any value may fill any field, and a new phase must be seen")]
pub struct Timeouts {
    /// Looking the name up; 5 seconds.
    pub resolve: Duration,
    /// Connecting, all addresses together; 5 seconds.
    pub connect: Duration,
    /// The TLS handshake; 5 seconds.
    pub tls: Duration,
    /// From sending the request to the end of the answer's body; 15 seconds.
    pub response: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let five = Duration::from_secs(5);
        Self { resolve: five, connect: five, tls: five, response: Duration::from_secs(15) }
    }
}

/// A transport could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// What should be a certificate is none.
    #[error("expected at least one certificate authority in pem")]
    Certificate,
    /// Nobody is trusted.
    #[error("no certificate authority is trusted")]
    NoRoots,
    /// The TLS library refused its own defaults.
    #[error("the tls configuration was refused")]
    Tls,
    /// A user agent no header may carry.
    #[error("the user agent is not visible ascii")]
    UserAgent,
}

impl TransportError {
    /// `deliver.certificate`, `deliver.no_roots`, `deliver.tls_config` or `deliver.user_agent`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate => "deliver.certificate",
            Self::NoRoots => "deliver.no_roots",
            Self::Tls => "deliver.tls_config",
            Self::UserAgent => "deliver.user_agent",
        }
    }
}

/// Delivers over HTTP/1.1 and TLS, to guarded addresses only.
///
/// Each attempt resolves the name once, lets the [`Guard`] judge every answer, dials only what passed, checks
/// the socket's peer, authenticates the endpoint's own name, signs, and reads a bounded answer. It asks no
/// proxy, whatever the environment says, follows no redirect and decompresses nothing.
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::SystemClock;
/// use compliance_webhook::deliver::HttpsTransport;
///
/// let transport = HttpsTransport::builder(Arc::new(SystemClock)).build()?;
/// let nobody = compliance_webhook::deliver::TlsRoots::none();
/// let refused = HttpsTransport::builder(Arc::new(SystemClock)).with_roots(nobody).build().unwrap_err();
/// assert_eq!(refused.code(), "deliver.no_roots");
/// # Ok::<(), compliance_webhook::deliver::TransportError>(())
/// ```
///
/// Cheap to clone; clones share their connections.
pub struct HttpsTransport<R = SystemResolver> {
    inner: Arc<Inner<R>>,
}

impl<R> Clone for HttpsTransport<R> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R> fmt::Debug for HttpsTransport<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsTransport")
            .field("guard", self.inner.dialer.guard())
            .field("limits", &self.inner.limits)
            .finish_non_exhaustive()
    }
}

struct Inner<R> {
    dialer: Dialer<R>,
    limits: Limits,
    pool: Pool,
    user_agent: HeaderValue,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    timeouts: Timeouts,
    max_body_len: usize,
    excerpt_len: usize,
    max_idle: usize,
}

/// An [`HttpsTransport`] in the making.
#[derive(Clone)]
#[must_use]
pub struct HttpsTransportBuilder<R = SystemResolver> {
    resolver: R,
    guard: Guard,
    clock: Arc<dyn Clock>,
    roots: TlsRoots,
    versions: TlsVersions,
    limits: Limits,
    user_agent: String,
    recorder: Option<Arc<Recorder<Arc<dyn Sink>>>>,
}

impl<R> fmt::Debug for HttpsTransportBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsTransportBuilder")
            .field("guard", &self.guard)
            .field("roots", &self.roots)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl HttpsTransport {
    /// The most of an answer's body that is read, in bytes, unless told otherwise.
    pub const DEFAULT_MAX_BODY_LEN: usize = 16 * 1024;

    /// The most unused connections kept per host and port, unless told otherwise: as many as a dispatcher uses for
    /// one endpoint at a time. Between two batches all of them are unused, and each that is not kept costs a
    /// handshake.
    pub const DEFAULT_MAX_IDLE: usize = 32;

    /// System resolver, default guard, Mozilla's roots, TLS 1.3, no excerpt. `clock` dates signatures, guards
    /// addresses and judges certificates.
    pub fn builder(clock: Arc<dyn Clock>) -> HttpsTransportBuilder {
        HttpsTransportBuilder {
            resolver: SystemResolver,
            guard: Guard::new(),
            clock,
            roots: TlsRoots::webpki(),
            versions: TlsVersions::default(),
            limits: Limits {
                timeouts: Timeouts::default(),
                max_body_len: Self::DEFAULT_MAX_BODY_LEN,
                excerpt_len: 0,
                max_idle: Self::DEFAULT_MAX_IDLE,
            },
            user_agent: concat!("compliance-webhook/", env!("CARGO_PKG_VERSION")).to_owned(),
            recorder: None,
        }
    }

    /// All defaults, on the system's clock.
    ///
    /// # Errors
    /// `deliver.tls_config` if the TLS library refuses its own defaults.
    pub fn system() -> Result<Self, TransportError> {
        Self::builder(Arc::new(SystemClock)).build()
    }
}

impl<R: Resolve> HttpsTransportBuilder<R> {
    /// Looks names up elsewhere.
    pub fn with_resolver<S: Resolve>(self, resolver: S) -> HttpsTransportBuilder<S> {
        let Self { resolver: _, guard, clock, roots, versions, limits, user_agent, recorder } = self;
        HttpsTransportBuilder { resolver, guard, clock, roots, versions, limits, user_agent, recorder }
    }

    /// Judges answers with own addresses and NAT64 prefixes in mind.
    pub fn with_guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// Trusts other authorities.
    pub fn with_roots(self, roots: TlsRoots) -> Self {
        Self { roots, ..self }
    }

    /// Offers other TLS versions.
    pub fn with_versions(self, versions: TlsVersions) -> Self {
        Self { versions, ..self }
    }

    /// Waits longer or shorter.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.limits.timeouts = timeouts;
        self
    }

    /// Reads more or less of an answer's body; in bytes.
    pub fn with_max_body_len(mut self, max_body_len: usize) -> Self {
        self.limits.max_body_len = max_body_len;
        self
    }

    /// Keeps the first `excerpt_len` bytes of each answer's body; none unless told. See
    /// [`Answer::excerpt`] for what that can hold.
    pub fn with_excerpt(mut self, excerpt_len: usize) -> Self {
        self.limits.excerpt_len = excerpt_len;
        self
    }

    /// Keeps at most this many unused connections per host and port, for half a minute; 0 opens a new one for
    /// each attempt. A kept one is used again only when its peer is among the addresses just resolved and
    /// checked.
    pub fn with_max_idle(mut self, max_idle: usize) -> Self {
        self.limits.max_idle = max_idle;
        self
    }

    /// Names the sender, `compliance-webhook/…` otherwise.
    pub fn with_user_agent(self, user_agent: &str) -> Self {
        Self { user_agent: user_agent.to_owned(), ..self }
    }

    /// Records what the guard decides about each attempt: refusals and uses of an accepted risk always, passes as
    /// the recorder's policy says.
    pub fn with_recorder(self, recorder: Arc<Recorder<Arc<dyn Sink>>>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// The transport.
    ///
    /// # Errors
    /// [`TransportError`] when nobody is trusted or the user agent is no header value.
    pub fn build(self) -> Result<HttpsTransport<R>, TransportError> {
        if self.roots.is_empty() {
            return Err(TransportError::NoRoots);
        }
        let user_agent = HeaderValue::from_str(&self.user_agent).map_err(|_| TransportError::UserAgent)?;
        let config = client_config(self.roots, self.versions, Arc::clone(&self.clock))?;
        let tls = TlsConnector::from(Arc::new(config));
        let timeouts = self.limits.timeouts;
        let inner = Inner {
            dialer: Dialer::new(self.resolver, self.guard, self.clock, tls, timeouts, self.recorder),
            limits: self.limits,
            pool: Pool::new(self.limits.max_idle),
            user_agent,
        };
        Ok(HttpsTransport { inner: Arc::new(inner) })
    }
}

impl<R: Resolve> Deliver for HttpsTransport<R> {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        match self.inner.attempt(attempt).await {
            Ok(answer) => Outcome::Answered(answer),
            Err(reason) => Outcome::Unanswered(reason.into()),
        }
    }
}

impl<R: Resolve> Inner<R> {
    async fn attempt(&self, attempt: Attempt<'_>) -> Result<Answer, DeliverReason> {
        let endpoint = attempt.endpoint();
        let guarded = self.dialer.resolve(endpoint).await?;
        while let Some(mut kept) = self.pool.take(endpoint, &guarded, self.dialer.clock().now()) {
            if !kept.is_ready().await {
                continue;
            }
            match self.exchange(kept, attempt).await {
                // The server closed it meanwhile. Should the message have arrived all the same, its id tells.
                Err(Failed::Closed) => break,
                done => return done.map_err(DeliverReason::from),
            }
        }
        // Boxed: it takes ten times the room of an attempt on a kept connection, which is nearly every one.
        let opened = Box::pin(self.open(endpoint, &guarded)).await?;
        self.exchange(opened, attempt).await.map_err(DeliverReason::from)
    }

    /// Sends one request and reads its answer.
    async fn exchange(&self, mut connection: Connection, attempt: Attempt<'_>) -> Result<Answer, Failed> {
        let deadline = Instant::now().checked_add(self.limits.timeouts.response);
        let deadline = deadline.ok_or(Failed::Otherwise(DeliverReason::Request))?;
        let request = self.request(attempt).map_err(Failed::Otherwise)?;
        let response = match timeout_at(deadline, connection.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_parse() => return Err(Failed::Otherwise(DeliverReason::Response)),
            Ok(Err(_)) => return Err(Failed::Closed),
            Err(_) => return Err(Failed::Otherwise(DeliverReason::ResponseTimeout)),
        };
        let answer = self.read(&mut connection, response, deadline).await;
        if answer.body_end() == BodyEnd::Complete {
            self.pool.put(attempt.endpoint(), connection);
        }
        Ok(answer)
    }

    async fn open(
        &self,
        endpoint: &WebhookEndpoint,
        guarded: &[GuardedAddr],
    ) -> Result<Connection, DeliverReason> {
        let (stream, peer) = self.dialer.connect(guarded).await?;
        let stream = self.dialer.secure(endpoint, stream).await?;
        let mut http1 = http1::Builder::new();
        let handshake = http1.max_buf_size(MAX_HEAD_LEN).handshake(TokioIo::new(stream));
        let (sender, driver) = handshake.await.map_err(|_| DeliverReason::Response)?;
        Ok(Connection::new(sender, driver, peer))
    }

    /// Signed here, when everything that takes time is behind.
    fn request(&self, attempt: Attempt<'_>) -> Result<Request<Full<Bytes>>, DeliverReason> {
        let endpoint = attempt.endpoint();
        let signed = attempt.signer().sign(attempt.id(), self.dialer.clock().now(), attempt.payload());
        let signed = signed.map_err(|_| DeliverReason::Request)?;
        let mut request = Request::post(endpoint.path_and_query())
            .header(HOST, endpoint.authority())
            .header(USER_AGENT, &self.user_agent)
            .header(CONTENT_TYPE, attempt.content_type().as_str());
        for (name, value) in signed.pairs() {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::copy_from_slice(attempt.payload()));
        request.body(body).map_err(|_| DeliverReason::Request)
    }

    async fn read(
        &self,
        connection: &mut Connection,
        response: Response<Incoming>,
        deadline: Instant,
    ) -> Answer {
        let mut answer = Answer::new(response.status().as_u16());
        if let Some(value) = response.headers().get(RETRY_AFTER) {
            answer = answer.with_retry_after(value.as_bytes());
        }
        let mut body = response.into_body();
        let mut excerpt = Vec::new();
        let mut len = 0_usize;
        let end = loop {
            let frame = match timeout_at(deadline, connection.frame(&mut body)).await {
                Err(_) => break BodyEnd::TimedOut,
                Ok(None) => break BodyEnd::Complete,
                Ok(Some(Err(_))) => break BodyEnd::Broken,
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            let wanted = self.limits.excerpt_len.saturating_sub(excerpt.len());
            excerpt.extend(data.iter().take(wanted));
            len = len.saturating_add(data.len());
            if len > self.limits.max_body_len {
                break BodyEnd::Capped;
            }
        };
        if self.limits.excerpt_len > 0 {
            answer = answer.with_excerpt(&excerpt);
        }
        answer.with_body_end(end)
    }
}

/// Why an exchange brought no answer.
enum Failed {
    /// The connection was closed before an answer.
    Closed,
    /// Anything else.
    Otherwise(DeliverReason),
}

impl From<Failed> for DeliverReason {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Closed => Self::Response,
            Failed::Otherwise(reason) => reason,
        }
    }
}
