//! Layers for anything built on `tower-service` and `http`.
//!
//! ```
//! use std::convert::Infallible;
//! use std::net::IpAddr;
//! use std::sync::Arc;
//!
//! use compliance_core::clock::ManualClock;
//! use compliance_core::testing::block_on;
//! use compliance_geo::client_ip::ClientIp;
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
//! let peer = |extensions: &Extensions| extensions.get::<IpAddr>().copied();
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
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use compliance_core::clock::Clock;
use compliance_core::event::{Actor, Event, EventKind, Recorded, Recorder, Sink};
use compliance_core::finding::{Enforcement, Explain};
use compliance_core::request::{ClientAddress, Correlation, Principal, Transport};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY};
use http::{Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::Refusal;
use crate::client_ip::ClientIp;
use crate::embargo::{Embargo, Verdict};
use crate::transport::{HSTS, TransportRule};

/// What a layer does before and after the service it guards.
pub trait Gate {
    /// Looks at a request; may add to its extensions.
    ///
    /// # Errors
    /// [`Refusal`]: the service is not called.
    fn enter(&self, headers: &HeaderMap, extensions: &mut Extensions) -> Result<(), Refusal>;

    /// Adds to the headers of the service's response.
    fn leave(&self, _headers: &mut HeaderMap) {}
}

/// Establishes the client's address and adds it to the request's extensions as
/// [`ClientAddress`].
///
/// `peer` reads from the extensions who made the connection; how it got there is the server's business.
#[derive(Clone)]
pub struct ClientIpLayer<P> {
    gate: Arc<ClientIpGate<P>>,
}

impl<P: Fn(&Extensions) -> Option<IpAddr>> ClientIpLayer<P> {
    /// A layer that finds clients by `rule`.
    #[must_use]
    pub fn new(rule: ClientIp, peer: P) -> Self {
        Self { gate: Arc::new(ClientIpGate { rule, peer }) }
    }
}

impl<P> fmt::Debug for ClientIpLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientIpLayer").field(&self.gate.rule).finish()
    }
}

impl<S, P> Layer<S> for ClientIpLayer<P> {
    type Service = Gated<S, ClientIpGate<P>>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { inner, gate: Arc::clone(&self.gate) }
    }
}

/// See [`ClientIpLayer`].
pub struct ClientIpGate<P> {
    rule: ClientIp,
    peer: P,
}

impl<P> fmt::Debug for ClientIpGate<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientIpGate").field(&self.rule).finish()
    }
}

impl<P: Fn(&Extensions) -> Option<IpAddr>> Gate for ClientIpGate<P> {
    fn enter(&self, headers: &HeaderMap, extensions: &mut Extensions) -> Result<(), Refusal> {
        let peer = (self.peer)(extensions).ok_or(Refusal::PeerUnknown)?;
        let client = self.rule.find(peer, headers).map_err(|error| Refusal::ClientIp(error.kind()))?;
        extensions.insert(client);
        Ok(())
    }
}

/// Refuses requests that did not come over TLS, adds [`Transport`] to the extensions of those that did, and sets
/// HSTS (RFC 6797) on their responses.
#[derive(Clone)]
pub struct TransportLayer<P> {
    gate: Arc<TransportGate<P>>,
}

impl<P: Fn(&Extensions) -> Option<IpAddr>> TransportLayer<P> {
    /// A layer for a listener whose own connections are `connection`.
    #[must_use]
    pub fn new(rule: TransportRule, connection: Transport, peer: P) -> Self {
        Self { gate: Arc::new(TransportGate { rule, connection, peer }) }
    }
}

impl<P> fmt::Debug for TransportLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransportLayer").field(&self.gate.rule).finish()
    }
}

impl<S, P> Layer<S> for TransportLayer<P> {
    type Service = Gated<S, TransportGate<P>>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { inner, gate: Arc::clone(&self.gate) }
    }
}

/// See [`TransportLayer`].
pub struct TransportGate<P> {
    rule: TransportRule,
    connection: Transport,
    peer: P,
}

impl<P> fmt::Debug for TransportGate<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransportGate").field(&self.rule).finish()
    }
}

impl<P: Fn(&Extensions) -> Option<IpAddr>> Gate for TransportGate<P> {
    fn enter(&self, headers: &HeaderMap, extensions: &mut Extensions) -> Result<(), Refusal> {
        let peer = (self.peer)(extensions).ok_or(Refusal::PeerUnknown)?;
        self.rule.require_tls(peer, self.connection, headers).map_err(|_| Refusal::Plaintext)?;
        extensions.insert(Transport::Tls);
        Ok(())
    }

    fn leave(&self, headers: &mut HeaderMap) {
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(HeaderValue::from_static(HSTS));
    }
}

/// Screens the [`ClientAddress`] in the request's extensions: 451 when embargoed, 403 for review, and an
/// `Arc<`[`ServablePlace`](crate::embargo::ServablePlace)`>` in the extensions when servable.
///
/// An [`Embargo`] that only reports lets everybody pass; who is not servable then has no proof in the extensions.
#[derive(Clone)]
pub struct EmbargoLayer {
    gate: Arc<EmbargoGate>,
}

impl EmbargoLayer {
    /// A layer that leaves no events. See [`recording`](Self::recording).
    #[must_use]
    pub fn new(embargo: Embargo, clock: Arc<dyn Clock>) -> Self {
        Self { gate: Arc::new(EmbargoGate { embargo, clock, recorder: None }) }
    }

    /// A layer that records every decision: refusals and reviews always, passes as the recorder's policy says.
    #[must_use]
    pub fn recording(
        embargo: Embargo,
        clock: Arc<dyn Clock>,
        recorder: Arc<Recorder<Arc<dyn Sink>>>,
    ) -> Self {
        Self { gate: Arc::new(EmbargoGate { embargo, clock, recorder: Some(recorder) }) }
    }
}

impl fmt::Debug for EmbargoLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbargoLayer").field(&self.gate.embargo).finish()
    }
}

impl<S> Layer<S> for EmbargoLayer {
    type Service = Gated<S, EmbargoGate>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { inner, gate: Arc::clone(&self.gate) }
    }
}

/// See [`EmbargoLayer`].
pub struct EmbargoGate {
    embargo: Embargo,
    clock: Arc<dyn Clock>,
    recorder: Option<Arc<Recorder<Arc<dyn Sink>>>>,
}

impl fmt::Debug for EmbargoGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbargoGate").field(&self.embargo).finish()
    }
}

impl EmbargoGate {
    fn record(&self, recorder: &Recorder<Arc<dyn Sink>>, verdict: &Verdict, extensions: &Extensions) {
        let finding = verdict.finding();
        let actor = extensions
            .get()
            .map_or(Actor::Anonymous, |principal: &Principal| Actor::Person(principal.actor().clone()));
        let mut event = Event::builder(EventKind::CheckDecided, finding.outcome(), actor, self.clock.now())
            .finding(&finding);
        if let Some(client) = extensions.get::<ClientAddress>() {
            event = event.client(client);
        }
        if let Some(correlation) = extensions.get::<Correlation>() {
            event = event.correlation(*correlation);
        }
        // An event of a finding and a network is within every limit.
        if let Ok(event) = event.build() {
            match recorder.record(event) {
                // The sink has taken it over; a check does not wait for the disk.
                Recorded::Counted | Recorded::Sent(_) => {}
            }
        }
    }
}

impl Gate for EmbargoGate {
    fn enter(&self, _: &HeaderMap, extensions: &mut Extensions) -> Result<(), Refusal> {
        let client = *extensions.get::<ClientAddress>().ok_or(Refusal::ClientUnknown)?;
        let verdict = self.embargo.screen(client.ip(), self.clock.now());
        if let Some(recorder) = &self.recorder {
            self.record(recorder, &verdict, extensions);
        }
        let refusal = match verdict {
            Verdict::Servable(place) => {
                extensions.insert(Arc::new(place));
                return Ok(());
            }
            Verdict::Embargoed(place) => Refusal::Embargoed(place.reason()),
            Verdict::Review(place) => Refusal::Review(place.reason()),
        };
        match self.embargo.enforcement() {
            Enforcement::Enforce => Err(refusal),
            Enforcement::ReportOnly => Ok(()),
        }
    }
}

/// A service behind one of the layers.
pub struct Gated<S, G> {
    inner: S,
    gate: Arc<G>,
}

impl<S: Clone, G> Clone for Gated<S, G> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), gate: Arc::clone(&self.gate) }
    }
}

impl<S, G: fmt::Debug> fmt::Debug for Gated<S, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gated").field(&self.gate).finish()
    }
}

impl<S, G, ReqBody, ResBody> Service<Request<ReqBody>> for Gated<S, G>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    G: Gate,
    ResBody: From<&'static str>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = GatedFuture<S::Future, G>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        match self.gate.enter(&parts.headers, &mut parts.extensions) {
            Ok(()) => {
                let inner = self.inner.call(Request::from_parts(parts, body));
                GatedFuture { step: Step::Inner { inner, gate: Arc::clone(&self.gate) } }
            }
            Err(refusal) => GatedFuture { step: Step::Refused { refusal } },
        }
    }
}

pin_project! {
    /// The response of a [`Gated`] service.
    pub struct GatedFuture<F, G> {
        #[pin]
        step: Step<F, G>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<F, G> {
        Inner { #[pin] inner: F, gate: Arc<G> },
        Refused { refusal: Refusal },
    }
}

impl<F, G> fmt::Debug for GatedFuture<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatedFuture")
    }
}

impl<F, G, ResBody, E> Future for GatedFuture<F, G>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    G: Gate,
    ResBody: From<&'static str>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().step.project() {
            StepProjection::Inner { inner, gate } => {
                let mut response = ready!(inner.poll(context))?;
                gate.leave(response.headers_mut());
                Poll::Ready(Ok(response))
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
