//! One id per request, of our own making, for every span, event and answer.
//!
//! The layer makes a [`CorrelationId`], reads the caller's `traceparent` if it parses, puts both into the
//! request's extensions as a [`Correlation`] and answers with the id in `x-request-id`. What the caller sends as
//! `x-request-id` is not looked at: a caller who chooses the id can mix their actions into somebody else's trail.
//!
//! The service inside is called, polled and dropped in a `tracing` span `request` with the fields `correlation_id` and
//! `traceparent`, so every span and event of its has the id, that of a request which was cancelled included. The span is of
//! level `ERROR`: a filter that lets any event pass lets its id pass. Two things happen outside: an answer's body that is
//! polled later, and tasks that the service spawns (`tracing::Instrument` takes the span along). Audit events take the id
//! from the request's extensions: `EventBuilder::correlation`.
//!
//! ```
//! use compliance_core::random::SystemRandom;
//! use compliance_core::request::Correlation;
//! use compliance_log::correlation::{CorrelationLayer, REQUEST_ID};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # tokio_test(async {
//! let service = ServiceBuilder::new().layer(CorrelationLayer::new(SystemRandom)).service(service_fn(
//!     async |request: http::Request<()>| {
//!         assert!(request.extensions().get::<Correlation>().is_some());
//!         Ok::<_, std::convert::Infallible>(http::Response::new(()))
//!     },
//! ));
//! let answer = service.oneshot(http::Request::new(())).await.unwrap();
//! assert_eq!(answer.headers()[REQUEST_ID].len(), 32);
//! # });
//! # fn tokio_test(run: impl Future<Output = ()>) {
//! #     let mut run = std::pin::pin!(run);
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     assert!(run.as_mut().poll(&mut context).is_ready());
//! # }
//! ```
//!
//! With axum it is one line, and with the redacting subscriber the set-up is this:
//!
//! ```
//! # #[cfg(feature = "tracing")] {
//! # use compliance_core::random::SystemRandom;
//! # use compliance_log::{correlation::CorrelationLayer, layer::redacting, redact::Redactor};
//! # use tracing_subscriber::prelude::*;
//! let stack = tracing_subscriber::registry().with(tracing_subscriber::fmt::layer().json());
//! let _logging = redacting(stack, Redactor::new()).set_default();
//! let app: axum::Router = axum::Router::new()
//!     .route("/", axum::routing::get(async || "hello"))
//!     .layer(CorrelationLayer::new(SystemRandom)); // Outermost: the last one added.
//! # drop(app);
//! # }
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use compliance_core::id::{CorrelationId, TraceParent};
use compliance_core::random::SecureRandom;
use compliance_core::request::Correlation;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;
use tracing::Span;

/// The header the id is answered in.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Gives every request a [`Correlation`]. Put it outermost.
#[derive(Clone, Debug)]
pub struct CorrelationLayer {
    random: Arc<dyn SecureRandom>,
}

impl CorrelationLayer {
    /// Ids come from `random`.
    #[must_use]
    pub fn new(random: impl SecureRandom + 'static) -> Self {
        Self { random: Arc::new(random) }
    }
}

impl<S> Layer<S> for CorrelationLayer {
    type Service = CorrelationService<S>;

    fn layer(&self, inner: S) -> CorrelationService<S> {
        CorrelationService { inner, random: Arc::clone(&self.random) }
    }
}

/// The service [`CorrelationLayer`] makes.
#[derive(Clone)]
pub struct CorrelationService<S> {
    inner: S,
    random: Arc<dyn SecureRandom>,
}

impl<S> fmt::Debug for CorrelationService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorrelationService").finish_non_exhaustive()
    }
}

impl<S, Body, Answer> Service<Request<Body>> for CorrelationService<S>
where
    S: Service<Request<Body>, Response = Response<Answer>>,
    Answer: Default,
{
    type Response = Response<Answer>;
    type Error = S::Error;
    type Future = CorrelationFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Without an id the request could not be traced: it is refused, not served anonymously.
        let Ok(id) = CorrelationId::generate(&self.random) else { return CorrelationFuture { state: None } };
        let correlation = Correlation::new(id, parent(request.headers()));
        request.extensions_mut().insert(correlation);
        let span = tracing::error_span!("request", correlation_id = %id, traceparent = tracing::field::Empty);
        if let Some(parent) = correlation.parent() {
            span.record("traceparent", tracing::field::display(parent));
        }
        let future = span.in_scope(|| Box::pin(self.inner.call(request)));
        CorrelationFuture { state: Some(Traced { future: Some(future), id, span }) }
    }
}

/// The caller's `traceparent`, if there is exactly one and it parses (W3C Trace Context section 3.2.2).
fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    let mut found = headers.get_all(TRACEPARENT).iter();
    let (Some(one), None) = (found.next(), found.next()) else { return None };
    TraceParent::parse(one.to_str().ok()?).ok()
}

/// The answer with its id; 500 without a body when no id could be made.
pub struct CorrelationFuture<F> {
    state: Option<Traced<F>>,
}

/// A future on its way, its id and its span.
struct Traced<F> {
    /// There until it is dropped.
    future: Option<Pin<Box<F>>>,
    id: CorrelationId,
    span: Span,
}

impl<F> Drop for Traced<F> {
    fn drop(&mut self) {
        // What a cancelled request logs on its way out has its id as well.
        self.span.in_scope(|| drop(self.future.take()));
    }
}

impl<F> fmt::Debug for CorrelationFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CorrelationFuture").finish_non_exhaustive()
    }
}

impl<F, Answer, E> Future for CorrelationFuture<F>
where
    F: Future<Output = Result<Response<Answer>, E>>,
    Answer: Default,
{
    type Output = Result<Response<Answer>, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(Traced { future: Some(future), id, span }) = &mut self.state else {
            let mut refused = Response::new(Answer::default());
            *refused.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return Poll::Ready(Ok(refused));
        };
        let mut answer = ready!(span.in_scope(|| future.as_mut().poll(context)))?;
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            answer.headers_mut().insert(REQUEST_ID, value);
        }
        Poll::Ready(Ok(answer))
    }
}
