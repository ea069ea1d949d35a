//! Layers for anything built on `tower-service` and `http`.
//!
//! ```
//! use std::convert::Infallible;
//! use std::net::IpAddr;
//! use std::sync::Arc;
//!
//! use compliance_core::clock::ManualClock;
//! use compliance_core::testing::block_on;
//! use compliance_geo::client_ip::{ClientIp, Peer};
//! use compliance_geo::embargo::{Embargo, Policy};
//! use compliance_geo::integrations::Refusal;
//! use compliance_geo::integrations::tower::{ClientIpLayer, EmbargoLayer};
//! use http::{Extensions, Request, Response};
//! use tower_layer::Layer;
//! use tower_service::Service;
//!
//! #[derive(Clone)]
//! struct Hello;
//!
//! impl Service<Request<()>> for Hello {
//!     type Response = Response<String>;
//!     type Error = Infallible;
//!     type Future = std::future::Ready<Result<Response<String>, Infallible>>;
//!
//!     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
//!         std::task::Poll::Ready(Ok(()))
//!     }
//!
//!     fn call(&mut self, _: Request<()>) -> Self::Future {
//!         std::future::ready(Ok(Response::new("hello".to_owned())))
//!     }
//! }
//!
//! // The server says who the peer is; here it left the address itself in the extensions.
//! let peer = |extensions: &Extensions| extensions.get::<IpAddr>().copied().map(Peer::Ip);
//! let clock = ManualClock::at("2026-07-01T00:00:00Z".parse()?);
//! let embargo = EmbargoLayer::new(Embargo::builder().policy(Policy::Us).build()?, Arc::new(clock));
//! let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(embargo.layer(Hello));
//!
//! let mut ask = |ip: &str| {
//!     let mut request = Request::new(());
//!     request.extensions_mut().insert(ip.parse::<IpAddr>().unwrap());
//!     block_on(service.call(request)).unwrap()
//! };
//! assert_eq!(ask("1.1.1.1").status(), 200);
//! let refused = ask("5.22.4.4");
//! assert_eq!(refused.status(), 451);
//! assert!(matches!(refused.extensions().get(), Some(Refusal::Embargoed(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use compliance_core::clock::Clock;
use compliance_core::event::{Recorder, Sink};
use compliance_core::finding::Enforcement;
use compliance_core::request::Transport;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::Refusal;
use super::gate::{Check, Exchange, Gate, Ledger, Passage, Pending, settings};
use crate::client_ip::{ClientIp, Peer};
use crate::embargo::Screening;
use crate::transport::{Hsts, TransportRule};

/// Reads from the extensions who made the connection; how it got there is the server's business.
type FindPeer = Arc<dyn Fn(&Extensions) -> Option<Peer> + Send + Sync>;

/// Establishes the client's address and adds it to the request's extensions as
/// [`ClientAddress`](compliance_core::request::ClientAddress), with what a trusted edge says of its country as
/// [`EdgeCountry`](crate::client_ip::EdgeCountry).
#[derive(Clone)]
pub struct ClientIpLayer {
    gate: Gate,
    peer: FindPeer,
}

impl ClientIpLayer {
    /// A layer that finds clients by `rule`. `peer` reads from the extensions who made the connection: an address,
    /// or [`Peer::UnixSocket`] where the listener is one.
    #[must_use]
    pub fn new(rule: ClientIp, peer: impl Fn(&Extensions) -> Option<Peer> + Send + Sync + 'static) -> Self {
        Self { gate: Gate::new(Check::ClientIp(rule)), peer: Arc::new(peer) }
    }
}

settings!(client_ip ClientIpLayer);

impl fmt::Debug for ClientIpLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientIpLayer").field(&self.gate).finish()
    }
}

impl<S> Layer<S> for ClientIpLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated::new(inner, &self.gate, Some(&self.peer))
    }
}

/// Refuses requests that did not come over TLS, adds [`Transport`] to the extensions of those that did, and sets
/// [`TransportRule::hsts`] on their responses, unless the service set it itself.
#[derive(Clone)]
pub struct TransportLayer {
    gate: Gate,
    peer: FindPeer,
}

impl TransportLayer {
    /// A layer for a listener whose own connections are `connection`. `peer` as for [`ClientIpLayer::new`].
    #[must_use]
    pub fn new(
        rule: TransportRule,
        connection: Transport,
        peer: impl Fn(&Extensions) -> Option<Peer> + Send + Sync + 'static,
    ) -> Self {
        Self { gate: Gate::new(Check::Transport(rule, connection)), peer: Arc::new(peer) }
    }
}

settings!(transport TransportLayer);

impl fmt::Debug for TransportLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransportLayer").field(&self.gate).finish()
    }
}

impl<S> Layer<S> for TransportLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated::new(inner, &self.gate, Some(&self.peer))
    }
}

/// Screens the client's address in the request's extensions: 451 when embargoed, 403 for review, and an
/// `Arc<`[`ServablePlace`](crate::embargo::ServablePlace)`>` in the extensions when servable.
///
/// An [`Embargo`](crate::embargo::Embargo) that only reports lets everybody pass; who is not servable then has no
/// proof in the extensions.
#[derive(Clone)]
pub struct EmbargoLayer {
    gate: Gate,
    clock: Arc<dyn Clock>,
}

impl EmbargoLayer {
    /// A layer for a check, or for one whose databases are replaced while it is in use.
    #[must_use]
    pub fn new(embargo: impl Screening + 'static, clock: Arc<dyn Clock>) -> Self {
        Self { gate: Gate::new(Check::Embargo(Arc::new(embargo), Arc::clone(&clock))), clock }
    }
}

settings!(embargo EmbargoLayer);

impl fmt::Debug for EmbargoLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbargoLayer").field(&self.gate).finish()
    }
}

impl<S> Layer<S> for EmbargoLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated::new(inner, &self.gate, None)
    }
}

/// A service behind one of the layers.
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    gate: Arc<Gate>,
    peer: Option<FindPeer>,
}

impl<S> Gated<S> {
    fn new(inner: S, gate: &Gate, peer: Option<&FindPeer>) -> Self {
        Self { inner, gate: Arc::new(gate.clone()), peer: peer.cloned() }
    }
}

impl<S> fmt::Debug for Gated<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gated").field(&self.gate).finish()
    }
}

/// The head of a request.
struct Parts<'r> {
    headers: &'r HeaderMap,
    extensions: &'r mut Extensions,
    peer: Option<Peer>,
}

impl Exchange for Parts<'_> {
    type Headers = HeaderMap;

    fn headers(&self) -> &HeaderMap {
        self.headers
    }

    fn peer(&self) -> Option<Peer> {
        self.peer
    }

    fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.extensions.get::<T>().cloned()
    }

    fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.extensions.insert(value);
    }

    fn remove<T: Send + Sync + 'static>(&mut self) {
        self.extensions.remove::<T>();
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Gated<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: From<&'static str>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = GatedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let peer = self.peer.as_ref().and_then(|peer| peer(&parts.extensions));
        let mut head = Parts { headers: &parts.headers, extensions: &mut parts.extensions, peer };
        let step = match self.gate.pass(&mut head) {
            Passage::Enter { hsts } => {
                Step::Inner { inner: self.inner.call(Request::from_parts(parts, body)), hsts }
            }
            Passage::Recorded(pending) => Step::Recording { pending },
            Passage::Refused(refusal) => Step::Refused { refusal },
        };
        GatedFuture { step }
    }
}

pin_project! {
    /// The response of a [`Gated`] service.
    pub struct GatedFuture<F> {
        #[pin]
        step: Step<F>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F> {
        Inner { #[pin] inner: F, hsts: Option<Hsts> },
        Recording { pending: Pending },
        Refused { refusal: Refusal },
    }
}

impl<F> fmt::Debug for GatedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatedFuture")
    }
}

impl<F, ResBody, E> Future for GatedFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: From<&'static str>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            StepProjection::Inner { inner, hsts } => {
                let mut response = ready!(inner.poll(context))?;
                if let Some(Ok(value)) = hsts.map(|hsts| HeaderValue::try_from(hsts.to_string())) {
                    response.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert(value);
                }
                Poll::Ready(Ok(response))
            }
            StepProjection::Recording { pending } => {
                let answer = ready!(Pin::new(&mut pending.recording).poll(context));
                Poll::Ready(Ok(response(pending.settle(answer))))
            }
            StepProjection::Refused { refusal } => Poll::Ready(Ok(response(*refusal))),
        }
    }
}

/// The response to a refused request.
#[must_use]
pub fn response<B: From<&'static str>>(refusal: Refusal) -> Response<B> {
    let mut response = Response::new(B::from(Refusal::BODY));
    *response.status_mut() = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.extensions_mut().insert(refusal);
    response
}
