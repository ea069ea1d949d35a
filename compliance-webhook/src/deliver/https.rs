//! The transport: hyper over rustls, on sockets to guarded addresses.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use compliance_core::clock::{Clock, SystemClock, Timestamp};
use compliance_core::event::{Recorder, Sink};
use compliance_core::id::TenantId;
use compliance_core::random::SecureRandom;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::request::Builder;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::Full;
use hyper::body::Incoming;
use subtle::ConstantTimeEq as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::pool::{Connection, Pool};
#[cfg(feature = "http2")]
use super::tls::Protocols;
use super::tls::problem_under;
use super::{
    Answer, Attempt, BodyEnd, ClientCertificate, ContentType, Deliver, DeliverReason, Outcome, Pace,
    TlsRoots, TlsVersions,
};
use crate::endpoint::WebhookEndpoint;
use crate::guard::{Dialer, DialerBuilder, Guard, GuardedAddr, Resolve, SystemResolver};
use crate::handshake::{AllowedRate, CONSENT_LIFETIME, Challenge, Handshake, HandshakeError, OwnedEndpoint};
use crate::schedule::{HostLimit, Rate};
use crate::sign::{MessageId, Signer, SigningKey};

/// How many endpoints' consents are remembered; past that, the one asked first is asked again.
const MAX_CONSENTS: usize = 10_000;

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
    /// No private key, or not the certificate's.
    #[error("expected the private key of the client certificate, in pem")]
    PrivateKey,
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
    /// `deliver.certificate`, `deliver.no_roots`, `deliver.private_key`, `deliver.tls_config` or `deliver.user_agent`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate => "deliver.certificate",
            Self::NoRoots => "deliver.no_roots",
            Self::PrivateKey => "deliver.private_key",
            Self::Tls => "deliver.tls_config",
            Self::UserAgent => "deliver.user_agent",
        }
    }
}

/// Delivers over HTTP and TLS, to guarded addresses only.
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
    handshake: Option<Handshake>,
    consents: Mutex<HashMap<Box<str>, Consent>>,
    hosts: HostLimit,
}

/// What an endpoint said, and until when it counts.
#[derive(Clone, Copy)]
struct Consent {
    rate: AllowedRate,
    until: Timestamp,
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
    dialer: DialerBuilder<R>,
    limits: Limits,
    user_agent: String,
    handshake: Option<Handshake>,
    hosts: HostLimit,
}

impl<R> fmt::Debug for HttpsTransportBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsTransportBuilder")
            .field("dialer", &self.dialer)
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
            dialer: DialerBuilder::new(clock),
            limits: Limits {
                timeouts: Timeouts::default(),
                max_body_len: Self::DEFAULT_MAX_BODY_LEN,
                excerpt_len: 0,
                max_idle: Self::DEFAULT_MAX_IDLE,
            },
            user_agent: concat!("compliance-webhook/", env!("CARGO_PKG_VERSION")).to_owned(),
            handshake: None,
            hosts: HostLimit::default(),
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
        let Self { dialer, limits, user_agent, handshake, hosts } = self;
        HttpsTransportBuilder { dialer: dialer.with_resolver(resolver), limits, user_agent, handshake, hosts }
    }

    /// Judges answers with own addresses and NAT64 prefixes in mind.
    pub fn with_guard(mut self, guard: Guard) -> Self {
        self.dialer.guard = guard;
        self
    }

    /// Trusts other authorities.
    pub fn with_roots(mut self, roots: TlsRoots) -> Self {
        self.dialer.roots = roots;
        self
    }

    /// Offers other TLS versions.
    pub fn with_versions(mut self, versions: TlsVersions) -> Self {
        self.dialer.versions = versions;
        self
    }

    /// Shows this certificate to every endpoint that asks for one. Endpoints that must not see it need a transport of
    /// their own.
    pub fn with_client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.dialer.client_certificate = Some(certificate);
        self
    }

    /// Offers HTTP/2 before HTTP/1.1. One message at a time goes over each connection all the same, as each is checked
    /// by itself.
    #[cfg(feature = "http2")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "http2")))]
    pub fn with_http2(mut self) -> Self {
        self.dialer.protocols = Protocols::Http1And2;
        self
    }

    /// Sends nothing to an endpoint that does not consent: each is asked once a day, before its first message. Without
    /// consent an attempt ends with `deliver.no_consent`. With
    /// [callbacks](Handshake::with_callbacks), a consent that came later counts from the next attempt on.
    pub fn with_handshake(mut self, handshake: Handshake) -> Self {
        self.handshake = Some(handshake);
        self
    }

    /// Counts [challenges](HttpsTransport::challenge) with everybody else who has this limit, such as the dispatcher.
    /// What is delivered counts where it is scheduled. A [`HostLimit::default`] of its own unless told.
    pub fn with_host_limit(mut self, hosts: HostLimit) -> Self {
        self.hosts = hosts;
        self
    }

    /// Waits longer or shorter.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.limits.timeouts = timeouts;
        self.dialer.timeouts = timeouts;
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
    pub fn with_recorder(mut self, recorder: Arc<Recorder<Arc<dyn Sink>>>) -> Self {
        self.dialer.recorder = Some(recorder);
        self
    }

    /// The transport.
    ///
    /// # Errors
    /// [`TransportError`] when nobody is trusted, the user agent is no header value, or a client certificate is not its
    /// key's.
    pub fn build(self) -> Result<HttpsTransport<R>, TransportError> {
        let user_agent = HeaderValue::from_str(&self.user_agent).map_err(|_| TransportError::UserAgent)?;
        let inner = Inner {
            dialer: self.dialer.build()?,
            limits: self.limits,
            pool: Pool::new(self.limits.max_idle),
            user_agent,
            handshake: self.handshake,
            consents: Mutex::default(),
            hosts: self.hosts,
        };
        Ok(HttpsTransport { inner: Arc::new(inner) })
    }
}

impl<R: Resolve> HttpsTransport<R> {
    /// How often an endpoint wants to be sent to, if this transport has a [handshake](crate::handshake) and the
    /// endpoint's consent. A dispatcher keeps to it.
    #[must_use]
    pub fn allowed_rate(&self, endpoint: &WebhookEndpoint) -> Option<AllowedRate> {
        self.inner.consent(endpoint).map(|consent| consent.rate)
    }

    /// Asks whoever runs `endpoint` to show that they have its secret: sends a signed random token, and takes nothing
    /// but its [answer](Challenge::answer), with a status of 2xx and nothing else in the body. Do so before the first
    /// message. What comes back is for this tenant, URL and key.
    ///
    /// # Errors
    /// `handshake.challenge` when the answer is another, `handshake.host_busy` when the host has as many calls under
    /// way as it may, or too many have failed, `handshake.no_consent` when this transport needs a consent and
    /// has none, `handshake.unreachable` without an answer (the variant has the [cause](super::DeliverError)),
    /// `handshake.random` without random bytes.
    pub async fn challenge(
        &self,
        tenant: &TenantId,
        endpoint: &WebhookEndpoint,
        key: &SigningKey,
        random: &dyn SecureRandom,
    ) -> Result<OwnedEndpoint, HandshakeError> {
        let hosts = &self.inner.hosts;
        if hosts.wait(endpoint, Instant::now().into_std()).is_some() {
            return Err(HandshakeError::HostBusy);
        }
        let slot = hosts.try_enter(endpoint).ok_or(HandshakeError::HostBusy)?;
        let answered = self.ask(tenant, endpoint, key, random).await;
        if answered.is_err() {
            slot.failed(Instant::now().into_std());
        }
        answered
    }

    async fn ask(
        &self,
        tenant: &TenantId,
        endpoint: &WebhookEndpoint,
        key: &SigningKey,
        random: &dyn SecureRandom,
    ) -> Result<OwnedEndpoint, HandshakeError> {
        let challenge = Challenge::generate(random).map_err(|_| HandshakeError::Random)?;
        let id = MessageId::generate(random).map_err(|_| HandshakeError::Random)?;
        let (body, signer) = (challenge.body(), Signer::new(key));
        let expected = challenge.answer(key);
        let attempt = Attempt::new(endpoint, &id, body.as_bytes(), &signer);
        // One more than the answer has shows what comes after it.
        let answered = self.inner.attempt(attempt, expected.len().saturating_add(1)).await;
        let answer = answered.map_err(|reason| match reason {
            DeliverReason::NoConsent => HandshakeError::NoConsent,
            reason => HandshakeError::Unreachable(reason.into()),
        })?;
        let found = answer.excerpt().unwrap_or_default();
        let is_theirs = bool::from(expected.as_bytes().ct_eq(found));
        if answer.is_success() && answer.body_end() == BodyEnd::Complete && is_theirs {
            Ok(OwnedEndpoint::new(endpoint, tenant, key, self.inner.dialer.clock().now()))
        } else {
            Err(HandshakeError::Challenge)
        }
    }
}

impl<R: Resolve> Deliver for HttpsTransport<R> {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        match self.inner.attempt(attempt, self.inner.limits.excerpt_len).await {
            Ok(answer) => Outcome::Answered(answer),
            Err(reason) => Outcome::Unanswered(reason.into()),
        }
    }

    fn pace(&self, endpoint: &WebhookEndpoint) -> Pace {
        if self.inner.handshake.is_none() {
            return Pace::Free;
        }
        match self.allowed_rate(endpoint) {
            None => Pace::Unasked,
            Some(AllowedRate::PerMinute(count)) => Pace::AtMost(Rate::per_minute(count)),
            Some(AllowedRate::Unlimited) => Pace::Free,
        }
    }
}

impl<R: Resolve> Inner<R> {
    async fn attempt(&self, attempt: Attempt<'_>, excerpt_len: usize) -> Result<Answer, DeliverReason> {
        let endpoint = attempt.endpoint();
        let guarded = self.dialer.resolve(endpoint).await?;
        if let Some(handshake) = &self.handshake
            && self.consent(endpoint).is_none()
        {
            // Boxed: it happens once a day.
            Box::pin(self.ask_consent(handshake, endpoint, &guarded)).await?;
        }
        let request = |http2| self.request(attempt, http2);
        let (answer, _) = self.round(endpoint, &guarded, request, excerpt_len).await?;
        Ok(answer)
    }

    /// One request and its answer, over a kept connection or a new one.
    async fn round(
        &self,
        endpoint: &WebhookEndpoint,
        guarded: &[GuardedAddr],
        request: impl Fn(bool) -> Result<Request<Full<Bytes>>, DeliverReason>,
        excerpt_len: usize,
    ) -> Result<(Answer, HeaderMap), DeliverReason> {
        while let Some(mut kept) = self.pool.take(endpoint, guarded, self.dialer.clock().now()) {
            if !kept.is_ready().await {
                continue;
            }
            match self.exchange(kept, endpoint, &request, excerpt_len).await {
                // The server closed it meanwhile, and has seen nothing of this request.
                Err(Failed::Unsent) => break,
                done => return done.map_err(DeliverReason::from),
            }
        }
        // Boxed: it takes ten times the room of an attempt on a kept connection, which is nearly every one.
        let opened = Box::pin(self.open(endpoint, guarded)).await?;
        self.exchange(opened, endpoint, &request, excerpt_len).await.map_err(DeliverReason::from)
    }

    /// Sends one request and reads its answer.
    async fn exchange(
        &self,
        mut connection: Connection,
        endpoint: &WebhookEndpoint,
        request: impl Fn(bool) -> Result<Request<Full<Bytes>>, DeliverReason>,
        excerpt_len: usize,
    ) -> Result<(Answer, HeaderMap), Failed> {
        let deadline = Instant::now().checked_add(self.limits.timeouts.response);
        let deadline = deadline.ok_or(Failed::Otherwise(DeliverReason::Request))?;
        let request = request(connection.is_http2()).map_err(Failed::Otherwise)?;
        let response = match timeout_at(deadline, connection.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                // What was not written is given back.
                let is_unsent = error.take_message().is_some();
                let problem = problem_under(error.error());
                let otherwise = |reason| if is_unsent { Failed::Unsent } else { Failed::Otherwise(reason) };
                return Err(problem.map_or_else(
                    || otherwise(DeliverReason::Response),
                    |problem| Failed::Otherwise(DeliverReason::Tls(problem)),
                ));
            }
            Err(_) => return Err(Failed::Otherwise(DeliverReason::ResponseTimeout)),
        };
        let (head, body) = response.into_parts();
        let mut answer = Answer::new(head.status.as_u16());
        if let Some(value) = head.headers.get(RETRY_AFTER) {
            answer = answer.with_retry_after(value.as_bytes());
        }
        let answer = self.read(&mut connection, answer, body, excerpt_len, deadline).await;
        if answer.body_end() == BodyEnd::Complete {
            self.pool.put(endpoint, connection);
        }
        Ok((answer, head.headers))
    }

    async fn open(
        &self,
        endpoint: &WebhookEndpoint,
        guarded: &[GuardedAddr],
    ) -> Result<Connection, DeliverReason> {
        let (stream, peer) = self.dialer.connect(guarded).await?;
        let stream = self.dialer.secure(endpoint, stream).await?;
        let opened = timeout(self.limits.timeouts.response, Connection::open(stream, peer)).await;
        opened.map_err(|_| DeliverReason::ResponseTimeout)?.map_err(|_| DeliverReason::Response)
    }

    /// A consent that still counts.
    fn consent(&self, endpoint: &WebhookEndpoint) -> Option<Consent> {
        let consents = self.consents.lock().unwrap_or_else(PoisonError::into_inner);
        consents.get(endpoint.as_str()).copied().filter(|consent| self.dialer.clock().now() < consent.until)
    }

    async fn ask_consent(
        &self,
        handshake: &Handshake,
        endpoint: &WebhookEndpoint,
        guarded: &[GuardedAddr],
    ) -> Result<(), DeliverReason> {
        let now = self.dialer.clock().now();
        if let Some(callbacks) = handshake.callbacks()
            && let Some(grant) = callbacks.granted(endpoint).await
        {
            // Looked up again after a day: it may have been taken back.
            let until = grant.until().min(now.saturating_add(CONSENT_LIFETIME));
            self.remember(endpoint, Consent { rate: grant.rate(), until }, now);
            return Ok(());
        }
        let callback = handshake.callbacks().map(|callbacks| callbacks.url_for(endpoint));
        let request = |http2| {
            let request = self.address(Request::options(target(endpoint, http2)), endpoint, http2);
            let mut request = request.header("webhook-request-origin", handshake.origin());
            if let Some(rate) = handshake.rate() {
                request = request.header("webhook-request-rate", rate.get());
            }
            if let Some(callback) = &callback {
                request = request.header("webhook-request-callback", callback);
            }
            request.body(Full::default()).map_err(|_| DeliverReason::Request)
        };
        let (answer, headers) = self.round(endpoint, guarded, request, 0).await?;
        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let rate = handshake.read(answer.status(), fields).map_err(|_| DeliverReason::NoConsent)?;
        let now = self.dialer.clock().now();
        self.remember(endpoint, Consent { rate, until: now.saturating_add(CONSENT_LIFETIME) }, now);
        Ok(())
    }

    fn remember(&self, endpoint: &WebhookEndpoint, consent: Consent, now: Timestamp) {
        let mut consents = self.consents.lock().unwrap_or_else(PoisonError::into_inner);
        if consents.len() >= MAX_CONSENTS {
            consents.retain(|_, consent| now < consent.until);
        }
        if consents.len() >= MAX_CONSENTS {
            let first = consents.iter().min_by_key(|(_, consent)| consent.until).map(|(url, _)| url.clone());
            first.map(|url| consents.remove(&url));
        }
        consents.insert(endpoint.as_str().into(), consent);
    }

    fn address(&self, request: Builder, endpoint: &WebhookEndpoint, http2: bool) -> Builder {
        let request = if http2 { request } else { request.header(HOST, endpoint.authority()) };
        request.header(USER_AGENT, &self.user_agent)
    }

    /// Signed here, when everything that takes time is behind.
    fn request(&self, attempt: Attempt<'_>, http2: bool) -> Result<Request<Full<Bytes>>, DeliverReason> {
        let endpoint = attempt.endpoint();
        let now = self.dialer.clock().now();
        let signed = attempt.signer().sign(attempt.id(), now, attempt.payload());
        let signed = signed.map_err(|_| DeliverReason::Request)?;
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| DeliverReason::Request);
        // Into a map of that size at once: a builder moves all it has with each header.
        let mut headers = HeaderMap::with_capacity(8);
        if !http2 {
            headers.insert(HOST, value(endpoint.authority())?);
        }
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.insert(CONTENT_TYPE, content_type(attempt.content_type())?);
        for (name, text) in signed.pairs() {
            headers.insert(HeaderName::from_static(name), value(text)?);
        }
        if let Some(handshake) = &self.handshake {
            headers.insert("webhook-request-origin", value(handshake.origin())?);
        }
        #[cfg(feature = "cloud-events")]
        for (name, text) in attempt.binary_event().into_iter().flat_map(|event| event.headers()) {
            headers.append(header_name(name)?, value(text)?);
        }
        #[cfg(feature = "http-signatures")]
        if let Some(signer) = attempt.http_signer() {
            let (id, content_type) = (attempt.id(), attempt.content_type());
            let signed = signer.sign(endpoint, id, content_type, now, attempt.payload());
            for (name, text) in signed.map_err(|_| DeliverReason::Request)?.pairs() {
                headers.append(header_name(name)?, value(text)?);
            }
        }
        let body = Full::new(Bytes::copy_from_slice(attempt.payload()));
        let request = Request::post(target(endpoint, http2)).body(body);
        let mut request = request.map_err(|_| DeliverReason::Request)?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn read(
        &self,
        connection: &mut Connection,
        mut answer: Answer,
        mut body: Incoming,
        excerpt_len: usize,
        deadline: Instant,
    ) -> Answer {
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
            let wanted = excerpt_len.saturating_sub(excerpt.len());
            excerpt.extend(data.iter().take(wanted));
            len = len.saturating_add(data.len());
            if len > self.limits.max_body_len {
                break BodyEnd::Capped;
            }
        };
        if excerpt_len > 0 {
            answer = answer.with_excerpt(&excerpt);
        }
        answer.with_body_end(end)
    }
}

fn content_type(content_type: &ContentType) -> Result<HeaderValue, DeliverReason> {
    // Nearly every payload is.
    if *content_type == ContentType::JSON {
        return Ok(HeaderValue::from_static("application/json"));
    }
    HeaderValue::from_str(content_type.as_str()).map_err(|_| DeliverReason::Request)
}

/// HTTP/2 has scheme and authority in it, HTTP/1.1 its path and query only.
fn target(endpoint: &WebhookEndpoint, http2: bool) -> &str {
    if http2 { endpoint.as_str() } else { endpoint.path_and_query() }
}

#[cfg(any(feature = "cloud-events", feature = "http-signatures"))]
fn header_name(name: &str) -> Result<HeaderName, DeliverReason> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| DeliverReason::Request)
}

/// Why an exchange brought no answer.
enum Failed {
    /// The connection was closed before any of the request was written.
    Unsent,
    /// Anything else.
    Otherwise(DeliverReason),
}

impl From<Failed> for DeliverReason {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unsent => Self::Response,
            Failed::Otherwise(reason) => reason,
        }
    }
}
