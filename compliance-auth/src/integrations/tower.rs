//! A layer for anything built on `tower-service` and `http`: no redirect leaves unchecked, whoever wrote it.
//!
//! ```
//! use std::convert::Infallible;
//!
//! use compliance_auth::integrations::tower::RedirectLayer;
//! use compliance_auth::redirect::RedirectPolicy;
//! use compliance_core::testing::block_on;
//! use http::{Request, Response};
//! use tower_layer::Layer;
//! use tower_service::Service;
//!
//! /// Sends visitors wherever the query says.
//! #[derive(Clone)]
//! struct Careless;
//!
//! impl Service<Request<()>> for Careless {
//!     type Response = Response<()>;
//!     type Error = Infallible;
//!     type Future = std::future::Ready<Result<Response<()>, Infallible>>;
//!
//!     fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
//!         std::task::Poll::Ready(Ok(()))
//!     }
//!
//!     fn call(&mut self, request: Request<()>) -> Self::Future {
//!         let next = request.uri().query().unwrap_or_default().to_owned();
//!         std::future::ready(Ok(Response::builder().status(302).header("location", next).body(()).unwrap()))
//!     }
//! }
//!
//! let policy = RedirectPolicy::builder("https://app.example/").default_target("/home").build()?;
//! let mut service = RedirectLayer::new(policy).layer(Careless);
//! let mut location = |uri: &str| {
//!     let response = block_on(service.call(Request::get(uri).body(()).unwrap())).unwrap();
//!     response.headers()["location"].to_str().unwrap().to_owned()
//! };
//! assert_eq!(location("/login?/invoices"), "https://app.example/invoices");
//! assert_eq!(location("/login?//evil.example"), "https://app.example/home");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use compliance_core::class::Internal;
use compliance_core::clock::Clock;
use compliance_core::event::{Actor, Event, EventKind, Recorded, Recorder, Sink};
use compliance_core::finding::Enforcement;
use compliance_core::request::{ClientAddress, Correlation, Principal};
use http::header::{CACHE_CONTROL, LOCATION, REFRESH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::redirect::{RedirectError, RedirectErrorKind, RedirectPolicy, Refresh, SafeRedirect, header_text};

/// Checks the `Location` and `Refresh` headers of every response against a [`RedirectPolicy`].
///
/// What it looks at:
///
/// - `Location`, whatever the status, except with 201, where it names what was created (RFC 9110 §10.2.2);
/// - `Refresh`, whatever the status, as HTML's shared declarative refresh steps read it.
///
/// Relative targets are resolved against the path and query of the request and the origin of the policy's base.
/// A header that comes twice, and one with bytes outside ASCII, is refused.
///
/// An enforcing policy has what passes sent in its re-serialised form. Of what it refuses, nothing is sent:
/// a redirect (301, 302, 303, 307, 308) becomes a 303 to the policy's default target that no cache keeps; any other
/// response loses the header. Where the default target is the very page that was asked for (with GET or HEAD), a visitor
/// sent there would come back for the same answer: the redirect becomes a 500 then. The [`RedirectError`] is in the
/// response's extensions. A report-only policy changes nothing.
///
/// A [`SafeRedirect`] in the response's extensions is taken as the proof for a `Location` equal to it: so an OAuth
/// answer made by [`RedirectUri::with_query`](crate::redirect::RedirectUri::with_query) passes, although its
/// origin is the client's.
///
/// # Security
/// Put it outside of every router that strips prefixes from the path, and of every layer that adds headers. It does
/// not read bodies: `<meta http-equiv="refresh">`, scripts and links are the page's own.
#[derive(Clone, Debug)]
pub struct RedirectLayer {
    inspector: Arc<Inspector>,
}

impl RedirectLayer {
    /// A layer that leaves no events. See [`recording`](Self::recording).
    #[must_use]
    pub fn new(policy: RedirectPolicy) -> Self {
        Self { inspector: Arc::new(Inspector { policy, record: None }) }
    }

    /// A layer that records every decision: refusals always, passes as the recorder's policy says. The event's
    /// field `header` is `location` or `refresh`; the target is not in it.
    #[must_use]
    pub fn recording(
        policy: RedirectPolicy,
        clock: Arc<dyn Clock>,
        recorder: Arc<Recorder<Arc<dyn Sink>>>,
    ) -> Self {
        Self { inspector: Arc::new(Inspector { policy, record: Some(Record { clock, recorder }) }) }
    }
}

impl<S> Layer<S> for RedirectLayer {
    type Service = Inspected<S>;

    fn layer(&self, inner: S) -> Inspected<S> {
        Inspected { inner, inspector: Arc::clone(&self.inspector) }
    }
}

struct Inspector {
    policy: RedirectPolicy,
    record: Option<Record>,
}

struct Record {
    clock: Arc<dyn Clock>,
    recorder: Arc<Recorder<Arc<dyn Sink>>>,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inspector").field(&self.policy).finish()
    }
}

/// What is kept of the request.
struct Asked {
    uri: Uri,
    /// GET or HEAD, as a redirect's follower asks.
    reads: bool,
    principal: Option<Principal>,
    client: Option<ClientAddress>,
    correlation: Option<Correlation>,
}

/// A header's verdict: what is to be sent instead, if anything.
type Checked = Result<Option<HeaderValue>, RedirectError>;

impl Inspector {
    fn ask<B>(&self, request: &Request<B>) -> Asked {
        let records = self.record.is_some();
        let extensions = request.extensions();
        Asked {
            uri: request.uri().clone(),
            reads: request.method() == Method::GET || request.method() == Method::HEAD,
            principal: extensions.get().filter(|_| records).cloned(),
            client: extensions.get().copied(),
            correlation: extensions.get().copied(),
        }
    }

    fn inspect<B>(&self, asked: &Asked, response: &mut Response<B>) {
        let enforces = self.policy.enforcement() == Enforcement::Enforce;
        let proof = response.extensions().get::<SafeRedirect>().cloned();
        if response.status() != StatusCode::CREATED
            && let Some(checked) = self.location(asked, response.headers(), proof.as_ref())
        {
            self.record(asked, "location", &checked);
            if enforces {
                self.apply(asked, &LOCATION, checked, response);
            }
        }
        if let Some(checked) = self.refresh(asked, response.headers()) {
            self.record(asked, "refresh", &checked);
            if enforces {
                self.apply(asked, &REFRESH, checked, response);
            }
        }
    }

    fn location(&self, asked: &Asked, headers: &HeaderMap, proof: Option<&SafeRedirect>) -> Option<Checked> {
        let check = |value: &[u8]| {
            let text = header_text(value)?;
            if proof.is_some_and(|proof| proof.location() == text) {
                return Ok(None);
            }
            Ok(Some(self.check(asked, text)?.to_header_value()))
        };
        Some(only(headers, &LOCATION)?.and_then(check))
    }

    fn refresh(&self, asked: &Asked, headers: &HeaderMap) -> Option<Checked> {
        let check = |value: &[u8]| {
            let Refresh { seconds, target } = Refresh::parse(value)?;
            let Some(target) = target else { return Ok(None) };
            let value = format!("{seconds}; url={}", self.check(asked, target)?.location());
            let value = HeaderValue::from_str(&value);
            value.map(Some).map_err(|_| RedirectError::new(RedirectErrorKind::Malformed))
        };
        Some(only(headers, &REFRESH)?.and_then(check))
    }

    fn check(&self, asked: &Asked, target: &str) -> Result<SafeRedirect, RedirectError> {
        self.policy.check_from(asked.uri.path(), asked.uri.query(), target)
    }

    fn apply<B>(&self, asked: &Asked, name: &HeaderName, checked: Checked, response: &mut Response<B>) {
        match checked {
            Ok(None) => {}
            Ok(Some(value)) => {
                response.headers_mut().insert(name, value);
            }
            Err(error) => {
                response.headers_mut().remove(name);
                if *name == LOCATION && is_followed(response.status()) {
                    let headers = response.headers_mut();
                    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                    *response.status_mut() =
                        if asked.reads && self.policy.defaults_to(asked.uri.path(), asked.uri.query()) {
                            StatusCode::INTERNAL_SERVER_ERROR
                        } else {
                            headers.insert(LOCATION, self.policy.default_target().to_header_value());
                            // Not the status that was meant: a permanent one would be kept, and 307 posts the form
                            // again.
                            StatusCode::SEE_OTHER
                        };
                }
                response.extensions_mut().insert(error);
            }
        }
    }

    fn record(&self, asked: &Asked, header: &'static str, checked: &Checked) {
        let Some(Record { clock, recorder }) = &self.record else { return };
        let finding = self.policy.explain(checked.as_ref().map(drop).map_err(|error| *error));
        let person = |principal: &Principal| Actor::Person(principal.actor().clone());
        let actor = asked.principal.as_ref().map_or(Actor::Anonymous, person);
        let mut event = Event::builder(EventKind::CheckDecided, finding.outcome(), actor, clock.now())
            .finding(&finding)
            .field("header", Internal(header));
        if let Some(client) = &asked.client {
            event = event.client(client);
        }
        if let Some(correlation) = asked.correlation {
            event = event.correlation(correlation);
        }
        // An event of a finding, a network and a word is within every limit.
        if let Ok(event) = event.build() {
            match recorder.record(event) {
                // The sink has taken it over; a response does not wait for the disk.
                Recorded::Counted | Recorded::Sent(_) => {}
            }
        }
    }
}

/// The header's value, where it is there; two are an error.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Result<&'a [u8], RedirectError>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(match values.next() {
        None => Ok(first.as_bytes()),
        Some(_) => Err(RedirectError::new(RedirectErrorKind::Duplicate)),
    })
}

/// The redirect statuses of the Fetch standard.
fn is_followed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A service behind a [`RedirectLayer`].
#[derive(Clone, Debug)]
pub struct Inspected<S> {
    inner: S,
    inspector: Arc<Inspector>,
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Inspected<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = InspectedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let asked = self.inspector.ask(&request);
        InspectedFuture { inner: self.inner.call(request), inspector: Arc::clone(&self.inspector), asked }
    }
}

pin_project! {
    /// The response of an [`Inspected`] service.
    pub struct InspectedFuture<F> {
        #[pin]
        inner: F,
        inspector: Arc<Inspector>,
        asked: Asked,
    }
}

impl<F> fmt::Debug for InspectedFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InspectedFuture")
    }
}

impl<F, ResBody, E> Future for InspectedFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(context))?;
        this.inspector.inspect(this.asked, &mut response);
        Poll::Ready(Ok(response))
    }
}
