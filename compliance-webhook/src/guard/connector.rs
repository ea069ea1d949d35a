//! The guard under any HTTP client that takes a `tower` connector.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use compliance_core::clock::Clock;
use compliance_core::event::{Recorder, Sink};
use compliance_core::finding::{Finding, Outcome, Reason, ReasonCode};
use compliance_core::reason_code;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::{Dialer, DialerBuilder, Guard, Resolve, SystemResolver};
use crate::deliver::{ClientCertificate, DeliverReason, Timeouts, TlsRoots, TlsVersions, TransportError};
use crate::endpoint::{EndpointPolicy, EndpointReason};

/// Connects over TLS to endpoints that pass an [`EndpointPolicy`], at addresses that pass a [`Guard`]: a
/// `tower_service::Service<Uri>` for hyper-util's client and whatever takes the like.
///
/// Each connection resolves the URI's host once, judges every answer, dials only what passed, checks the socket's
/// peer, and authenticates the host under its own name. Address literals, which other connectors dial without asking
/// a resolver, go through the same checks. No proxy is asked, and the host is read by the same WHATWG parser as
/// every endpoint, so that `https://0x7f.1/` is what a browser would take it for.
///
/// A connection carries one request: it tells the client's pool not to keep it, so that every request has its own
/// check. What needs kept connections is [`HttpsTransport`](crate::deliver::HttpsTransport), which checks those
/// again before each use. HTTP/1.1 is what it offers.
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::SystemClock;
/// use compliance_webhook::guard::GuardedConnector;
/// use http_body_util::Empty;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let connector = GuardedConnector::builder(Arc::new(SystemClock)).build()?;
/// let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
///
/// // Decided before any packet; the error's text is fit for the tenant, the code is for the operator.
/// let refused = client.get("https://[::ffff:169.254.169.254]/latest/meta-data/".parse()?).await.unwrap_err();
/// let cause = std::error::Error::source(&refused).unwrap();
/// assert_eq!(cause.to_string(), "endpoint.unreachable");
/// let cause = cause.downcast_ref::<compliance_webhook::guard::ConnectError>().unwrap();
/// assert_eq!(cause.code(), "endpoint.address_literal");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
/// A client that follows redirects connects through here for each hop; whether it should, and with which headers, is
/// the client's affair. Cheap to clone; clones share what was discovered about NAT64.
pub struct GuardedConnector<R = SystemResolver> {
    inner: Arc<Inner<R>>,
}

struct Inner<R> {
    policy: EndpointPolicy,
    dialer: Dialer<R>,
}

impl<R> Clone for GuardedConnector<R> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R> fmt::Debug for GuardedConnector<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedConnector")
            .field("policy", &self.inner.policy)
            .field("guard", self.inner.dialer.guard())
            .finish_non_exhaustive()
    }
}

/// A [`GuardedConnector`] in the making.
#[must_use]
pub struct GuardedConnectorBuilder<R = SystemResolver> {
    policy: EndpointPolicy,
    dialer: DialerBuilder<R>,
}

impl<R> fmt::Debug for GuardedConnectorBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedConnectorBuilder")
            .field("policy", &self.policy)
            .field("dialer", &self.dialer)
            .finish()
    }
}

impl GuardedConnector {
    /// System resolver, default endpoint policy and guard, Mozilla's roots, TLS 1.3. `clock` ages checked addresses and
    /// judges certificates and risk acceptances.
    pub fn builder(clock: Arc<dyn Clock>) -> GuardedConnectorBuilder {
        GuardedConnectorBuilder { policy: EndpointPolicy::new(), dialer: DialerBuilder::new(clock) }
    }
}

impl<R: Resolve> GuardedConnectorBuilder<R> {
    /// Looks names up elsewhere.
    pub fn with_resolver<S: Resolve>(self, resolver: S) -> GuardedConnectorBuilder<S> {
        GuardedConnectorBuilder { policy: self.policy, dialer: self.dialer.with_resolver(resolver) }
    }

    /// Takes other hosts and ports than the default policy. A [report-only](EndpointPolicy::with_enforcement) policy
    /// is enforced here: what it refuses has no endpoint to dial. Only the [guard](Self::with_guard) can be on trial.
    pub fn with_endpoints(self, policy: EndpointPolicy) -> Self {
        Self { policy, ..self }
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

    /// Shows this certificate to every host that asks for one.
    pub fn with_client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.dialer.client_certificate = Some(certificate);
        self
    }

    /// Waits longer or shorter. `response` is the client's own affair and not looked at.
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.dialer.timeouts = timeouts;
        self
    }

    /// Records every decision: refusals and uses of an accepted risk always, passes as the recorder's policy says.
    pub fn with_recorder(mut self, recorder: Arc<Recorder<Arc<dyn Sink>>>) -> Self {
        self.dialer.recorder = Some(recorder);
        self
    }

    /// The connector.
    ///
    /// # Errors
    /// [`TransportError`] when nobody is trusted.
    pub fn build(self) -> Result<GuardedConnector<R>, TransportError> {
        let inner = Inner { policy: self.policy, dialer: self.dialer.build()? };
        Ok(GuardedConnector { inner: Arc::new(inner) })
    }
}

impl<R: Resolve> Inner<R> {
    async fn connect(&self, uri: &Uri) -> Result<GuardedStream, ConnectReason> {
        let endpoint = match self.policy.check_at(&uri.to_string(), self.dialer.clock().now()) {
            Ok(endpoint) => endpoint,
            Err(refused) => {
                let version = self.policy.version().clone();
                let finding = Finding::for_reason(Outcome::Refused, &refused.reason(), version);
                self.dialer.record_finding(&finding, None);
                return Err(ConnectReason::Endpoint(refused.reason()));
            }
        };
        let guarded = self.dialer.resolve(&endpoint).await?;
        let (stream, _) = self.dialer.connect(&guarded).await?;
        let stream = self.dialer.secure(&endpoint, stream).await?;
        Ok(GuardedStream { io: TokioIo::new(stream) })
    }
}

impl<R: Resolve + 'static> Service<Uri> for GuardedConnector<R> {
    type Response = GuardedStream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<GuardedStream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { inner.connect(&uri).await.map_err(|reason| ConnectError { reason }) })
    }
}

/// A TLS session with a guarded endpoint, for one request.
#[derive(Debug)]
pub struct GuardedStream {
    io: TokioIo<TlsStream<TcpStream>>,
}

impl Connection for GuardedStream {
    fn connected(&self) -> Connected {
        // INVARIANT: never kept by a pool, which would hand it out again without a check.
        let connected = Connected::new();
        connected.poison();
        connected
    }
}

impl Read for GuardedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for GuardedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }
}

/// No connection. The text is the public code and nothing else, wherever a client prints it; [`code`](Self::code) and
/// `Debug` are for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint.unreachable")]
pub struct ConnectError {
    reason: ConnectReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectReason {
    Deliver(DeliverReason),
    Endpoint(EndpointReason),
}

impl From<DeliverReason> for ConnectReason {
    fn from(reason: DeliverReason) -> Self {
        Self::Deliver(reason)
    }
}

impl ConnectError {
    /// The exact code, such as `address.private`, `endpoint.port` or `deliver.tls_name`; for the operator only.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }
}

impl Reason for ConnectError {
    fn code(&self) -> ReasonCode {
        match &self.reason {
            ConnectReason::Deliver(reason) => reason.code(),
            ConnectReason::Endpoint(reason) => reason.code(),
        }
    }

    /// Always `endpoint.unreachable`.
    fn public_code(&self) -> ReasonCode {
        reason_code!("endpoint.unreachable")
    }
}
