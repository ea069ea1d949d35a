//! actix-web: the checks as middleware, the proof as an extractor.
//!
//! ```
//! use std::sync::Arc;
//!
//! use actix_web::{App, web};
//! use compliance_core::clock::{Clock, SystemClock};
//! use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
//! use compliance_geo::embargo::{Embargo, Policy};
//! use compliance_geo::integrations::actix_web::{ClientIpMiddleware, EmbargoMiddleware, Servable};
//!
//! async fn sign_up(Servable(place): Servable) -> String {
//!     format!("welcome, under {}", place.policy())
//! }
//!
//! let rule = ClientIp::new(TrustedProxies::parse(["10.0.0.0/8"])?, Source::XForwardedFor)?;
//! let embargo = Embargo::builder().policy(Policy::Us).build()?;
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock);
//! let app = move || {
//!     App::new()
//!         .route("/sign-up", web::post().to(sign_up))
//!         // The middleware added last sees the request first.
//!         .wrap(EmbargoMiddleware::new(embargo.clone(), Arc::clone(&clock)))
//!         .wrap(ClientIpMiddleware::new(rule.clone()))
//! };
//! // HttpServer::new(app).bind(("0.0.0.0", 8080))?.run()
//! # let _ = app();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform};
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, STRICT_TRANSPORT_SECURITY,
};
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use compliance_core::clock::Clock;
use compliance_core::event::{Recorder, Sink};
use compliance_core::finding::{Enforcement, Reason};
use compliance_core::request::Transport;

use super::Refusal;
use super::gate::{Check, Exchange, Gate, Ledger, Passage, settings};
use crate::client_ip::{ClientIp, FieldName, Headers, Peer};
use crate::embargo::{Screening, ServablePlace};
use crate::transport::TransportRule;

#[cfg_attr(compliance_docsrs, doc(cfg(feature = "actix-web")))]
impl Headers for HeaderMap {
    fn lines(&self, name: &FieldName) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.get_all(name.as_str()).map(HeaderValue::as_bytes)
    }
}

/// Establishes the client's address and adds it to the request's extensions as
/// [`ClientAddress`](compliance_core::request::ClientAddress), with what a trusted edge says of its country as
/// [`EdgeCountry`](crate::client_ip::EdgeCountry).
#[derive(Clone, Debug)]
pub struct ClientIpMiddleware {
    gate: Gate,
    unix_socket: bool,
}

impl ClientIpMiddleware {
    /// Finds clients by `rule`.
    #[must_use]
    pub fn new(rule: ClientIp) -> Self {
        Self { gate: Gate::new(Check::ClientIp(rule)), unix_socket: false }
    }

    /// The server listens on a Unix socket and nothing else: a connection without an address is
    /// [`Peer::UnixSocket`], not a mistake.
    #[must_use]
    pub fn on_unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }
}

settings!(client_ip ClientIpMiddleware);

/// Refuses requests that did not come over TLS, adds [`Transport`] to the extensions of those that did, and sets
/// [`TransportRule::hsts`] on their responses, unless the service set it itself.
#[derive(Clone, Debug)]
pub struct TransportMiddleware {
    gate: Gate,
    unix_socket: bool,
}

impl TransportMiddleware {
    /// For a listener whose own connections are `connection`.
    #[must_use]
    pub fn new(rule: TransportRule, connection: Transport) -> Self {
        Self { gate: Gate::new(Check::Transport(rule, connection)), unix_socket: false }
    }

    /// As [`ClientIpMiddleware::on_unix_socket`].
    #[must_use]
    pub fn on_unix_socket(mut self) -> Self {
        self.unix_socket = true;
        self
    }
}

settings!(transport TransportMiddleware);

/// Screens the client's address in the request's extensions: 451 when embargoed, 403 for review, and an
/// `Arc<`[`ServablePlace`]`>` in the extensions when servable.
#[derive(Clone)]
pub struct EmbargoMiddleware {
    gate: Gate,
    clock: Arc<dyn Clock>,
}

impl EmbargoMiddleware {
    /// For a check, or for one whose databases are replaced while it is in use.
    #[must_use]
    pub fn new(embargo: impl Screening + 'static, clock: Arc<dyn Clock>) -> Self {
        Self { gate: Gate::new(Check::Embargo(Arc::new(embargo), Arc::clone(&clock))), clock }
    }
}

settings!(embargo EmbargoMiddleware);

impl fmt::Debug for EmbargoMiddleware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbargoMiddleware").field(&self.gate).finish()
    }
}

/// A service behind one of the checks.
#[derive(Debug)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
    unix_socket: bool,
}

macro_rules! transform {
    ($middleware:ident, $unix_socket:expr) => {
        impl<S, B> Transform<S, ServiceRequest> for $middleware
        where
            S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
            S::Future: 'static,
            B: MessageBody + 'static,
        {
            type Response = ServiceResponse<EitherBody<B>>;
            type Error = Error;
            type Transform = Gated<S>;
            type InitError = ();
            type Future = Ready<Result<Gated<S>, ()>>;

            fn new_transform(&self, inner: S) -> Self::Future {
                let unix_socket: fn(&Self) -> bool = $unix_socket;
                ready(Ok(Gated { inner, gate: self.gate.clone(), unix_socket: unix_socket(self) }))
            }
        }
    };
}

transform!(ClientIpMiddleware, |middleware| middleware.unix_socket);
transform!(EmbargoMiddleware, |_| false);
transform!(TransportMiddleware, |middleware| middleware.unix_socket);

/// A request and who made its connection.
struct Visit<'r> {
    request: &'r ServiceRequest,
    peer: Option<Peer>,
}

impl Exchange for Visit<'_> {
    type Headers = HeaderMap;

    fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    fn peer(&self) -> Option<Peer> {
        self.peer
    }

    fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.request.extensions().get::<T>().cloned()
    }

    fn insert<T: Clone + Send + Sync + 'static>(&mut self, value: T) {
        self.request.extensions_mut().insert(value);
    }

    fn remove<T: Send + Sync + 'static>(&mut self) {
        self.request.extensions_mut().remove::<T>();
    }
}

impl<S, B> Service<ServiceRequest> for Gated<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>>>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let address = request.peer_addr().map(|address| Peer::Ip(address.ip()));
        let peer = address.or(self.unix_socket.then_some(Peer::UnixSocket));
        match self.gate.pass(&mut Visit { request: &request, peer }) {
            Passage::Enter { hsts } => {
                let inner = self.inner.call(request);
                Box::pin(async move {
                    let mut response = inner.await?;
                    let value = hsts.map(|hsts| HeaderValue::try_from(hsts.to_string()));
                    let headers = response.headers_mut();
                    if let (Some(Ok(value)), false) = (value, headers.contains_key(STRICT_TRANSPORT_SECURITY))
                    {
                        headers.insert(STRICT_TRANSPORT_SECURITY, value);
                    }
                    Ok(response.map_into_left_body())
                })
            }
            Passage::Recorded(mut pending) => Box::pin(async move {
                let answer = (&mut pending.recording).await;
                Ok(request.into_response(response(pending.settle(answer))).map_into_right_body())
            }),
            Passage::Refused(refusal) => {
                let refused = request.into_response(response(refusal)).map_into_right_body();
                Box::pin(ready(Ok(refused)))
            }
        }
    }
}

/// The response to a refused request.
#[must_use]
pub fn response(refusal: Refusal) -> HttpResponse {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = HttpResponse::with_body(status, Refusal::BODY).map_into_boxed_body();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.extensions_mut().insert(refusal);
    response
}

/// The proof that the client is where it may be served, from [`EmbargoMiddleware`]. Without it the request is
/// refused with 403 (`embargo.no_proof`).
///
/// `Option<Servable>` is for the roll-out: `None` where the middleware only reports and let somebody pass without a
/// proof. The `Option` is actix-web's own and cannot tell that from a route on which no middleware runs: such a route
/// is open. Demand the proof again once the check is enforced.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "extractors are taken apart in the handler's arguments")]
pub struct Servable(pub Arc<ServablePlace>);

impl FromRequest for Servable {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let place = request.extensions().get::<Arc<ServablePlace>>().cloned();
        ready(place.map(Self).ok_or(Refused(Refusal::NoProof)))
    }
}

/// A refusal as an actix-web error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(Refusal);

impl Refused {
    /// Why.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        self.0
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request refused: {}", self.0.public_code())
    }
}

impl std::error::Error for Refused {}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::FORBIDDEN)
    }

    fn error_response(&self) -> HttpResponse {
        response(self.0)
    }
}
