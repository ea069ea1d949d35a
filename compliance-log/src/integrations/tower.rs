//! Every call of the API in the trail: who, which route, how it ended.
//!
//! ```
//! use std::sync::Arc;
//!
//! use compliance_core::clock::SystemClock;
//! use compliance_core::testing::MemorySink;
//! use compliance_log::integrations::tower::AuditLayer;
//! # use compliance_core::event::{Durability, EventKind};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! /// What the router puts there; in axum, `axum::extract::MatchedPath`.
//! #[derive(Clone)]
//! struct Matched(&'static str);
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let sink = Arc::new(MemorySink::default());
//! let layer = AuditLayer::new(sink.clone(), SystemClock, |request| {
//!     request.get::<Matched>().map(|matched| matched.0.to_owned())
//! });
//! # let layer = layer.dangerous_at_least(Durability::Memory);
//! let service = ServiceBuilder::new()
//!     .layer(layer)
//!     .service(service_fn(async |_| Ok::<_, std::convert::Infallible>(http::Response::new(()))));
//! let mut request = http::Request::get("/users/4711").body(())?;
//! request.extensions_mut().insert(Matched("/users/{id}"));
//! service.oneshot(request).await?;
//!
//! let events = sink.events();
//! assert_eq!(events[0].kind(), EventKind::ApiCalled);
//! assert!(!format!("{events:?}").contains("4711"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use compliance_core::clock::Clock;
use compliance_core::event::{
    Actor, Durability, Event, EventError, FailurePolicy, PassPolicy, Recorded, Recorder, Sink,
};
use compliance_core::request::{ClientAddress, Correlation, Principal};
use http::{Extensions, Method, Request, Response, StatusCode};
use tower_layer::Layer;
use tower_service::Service;

use crate::audit::record::{ApiCall, Circumstances, RouteTemplate};

type Route = dyn Fn(&Extensions) -> Option<String> + Send + Sync;

/// Records each call: method, route template, status, and from the request's extensions the
/// [`Principal`], the [`ClientAddress`] and the [`Correlation`]. Never the path, the query or a header.
///
/// Put it inside what puts those there, and around the handlers. A principal that only the answer's extensions have is
/// taken from there.
///
/// * A call that may change something (any method but GET, HEAD, OPTIONS and TRACE) is recorded before it is carried out
///   and again when it has ended. Where the first cannot be recorded, it is not carried out.
/// * The answer is held back until the record of how it ended is durable; where that cannot be recorded, the caller gets
///   503 and nothing of the answer.
/// * A call that is given up half-way, because the caller went away or the handler panicked, is recorded as such.
///
/// * Calls of nobody known are recorded up to a [limit](Self::limit_anonymous) each, by what became of them, and counted
///   beyond it; those that changed something each.
///
/// # Security
/// 503 after a change does not undo it; the record of its beginning says that it was tried.
///
/// Whoever has no account can make as many calls as the network bears. Of these at most
/// [`ANONYMOUS`](Self::ANONYMOUS) per minute are recorded each of those that were refused, that met no route, that were
/// read-only, that were given up, and of the beginnings of the others; the rest is in a `system.failures_aggregated` with
/// their number. What is left is an anonymous call that may change something and is answered below 400, a sign-up: throttle
/// those routes. A process that dies in a flood loses the counts of that minute, and beginnings beyond the limit leave no
/// record of calls it died in.
#[derive(Clone)]
pub struct AuditLayer {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    sink: Arc<dyn Sink>,
    recorder: Arc<Recorder<Arc<dyn Sink>>>,
    clock: Arc<dyn Clock>,
    route: Arc<Route>,
    least: Durability,
    is_report_only: bool,
}

impl AuditLayer {
    /// How many anonymous calls per minute of each sort are recorded each.
    pub const ANONYMOUS: u32 = 20;

    /// Records into `sink`. `route` says from a request's extensions which route matched; `None`, and whatever is no
    /// [`RouteTemplate`], is recorded as `/{unmatched}`.
    #[must_use]
    pub fn new(
        sink: impl Sink + 'static,
        clock: impl Clock + 'static,
        route: impl Fn(&Extensions) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let sink: Arc<dyn Sink> = Arc::new(sink);
        let limit = FailurePolicy::new(Self::ANONYMOUS, Duration::from_secs(60));
        Self {
            shared: Arc::new(Shared {
                recorder: recorder(&sink, limit),
                sink,
                clock: Arc::new(clock),
                route: Arc::new(route),
                least: Durability::Disk,
                is_report_only: false,
            }),
        }
    }

    /// Asks for more than [`Durability::Disk`]; what is less changes nothing.
    #[must_use]
    pub fn at_least(self, least: Durability) -> Self {
        self.dangerous_at_least(least.max(Durability::Disk))
    }

    /// Is content with less than [`Durability::Disk`].
    ///
    /// # Security
    /// Records that do not outlast the instance do not tell afterwards what was called.
    #[must_use]
    pub fn dangerous_at_least(mut self, least: Durability) -> Self {
        Arc::make_mut(&mut self.shared).least = least;
        self
    }

    /// Records so many calls of nobody known each, in place of [`ANONYMOUS`](Self::ANONYMOUS) a minute, by what became
    /// of them: `refused` (400 and above), `unmatched`, `answered` (read-only, below 400), `begun`, `abandoned`.
    #[must_use]
    pub fn limit_anonymous(mut self, limit: FailurePolicy) -> Self {
        let shared = Arc::make_mut(&mut self.shared);
        shared.recorder = recorder(&shared.sink, limit);
        self
    }

    /// Lets calls pass that could not be recorded: to roll the layer out.
    #[must_use]
    pub fn report_only(mut self) -> Self {
        Arc::make_mut(&mut self.shared).is_report_only = true;
        self
    }
}

fn recorder(sink: &Arc<dyn Sink>, limit: FailurePolicy) -> Arc<Recorder<Arc<dyn Sink>>> {
    Arc::new(Recorder::new(Arc::clone(sink), PassPolicy::Each).limit_failures(limit))
}

impl fmt::Debug for AuditLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLayer").finish_non_exhaustive()
    }
}

impl<S> Layer<S> for AuditLayer {
    type Service = AuditService<S>;

    fn layer(&self, inner: S) -> AuditService<S> {
        AuditService { inner, shared: Arc::clone(&self.shared) }
    }
}

/// The service [`AuditLayer`] makes.
#[derive(Clone)]
pub struct AuditService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> fmt::Debug for AuditService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditService").finish_non_exhaustive()
    }
}

/// The answer on its way.
pub type AuditFuture<A, E> = Pin<Box<dyn Future<Output = Result<Response<A>, E>> + Send>>;

impl<S, Body, A> Service<Request<Body>> for AuditService<S>
where
    S: Service<Request<Body>, Response = Response<A>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    Body: Send + 'static,
    A: Default + Send + 'static,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = AuditFuture<A, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready is the one that is called.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let mut call = Call::of(&self.shared, &request);
        Box::pin(async move {
            if call.may_change && !call.is_kept(call.begun(), Some(call.sort("begun"))).await {
                call.end();
                return Ok(unrecorded());
            }
            let answer = inner.call(request).await?;
            call.end();
            if call.principal.is_none() {
                call.principal = answer.extensions().get().cloned();
            }
            let is_refused = answer.status().as_u16() >= 400;
            let sort = match (is_refused, call.may_change) {
                (true, _) => Some(call.sort("refused")),
                (false, false) => Some(call.sort("answered")),
                // Something may have come of it.
                (false, true) => None,
            };
            if call.is_kept(call.ended(answer.status()), sort).await { Ok(answer) } else { Ok(unrecorded()) }
        })
    }
}

fn unrecorded<A: Default>() -> Response<A> {
    let mut refused = Response::new(A::default());
    *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    refused
}

/// One call, from its beginning to its record.
struct Call {
    shared: Arc<Shared>,
    method: &'static str,
    may_change: bool,
    route: RouteTemplate,
    is_unmatched: bool,
    principal: Option<Principal>,
    client: Option<ClientAddress>,
    correlation: Option<Correlation>,
    is_over: bool,
}

impl Call {
    fn of<Body>(shared: &Arc<Shared>, request: &Request<Body>) -> Self {
        let extensions = request.extensions();
        let route = (shared.route)(extensions).and_then(|route| RouteTemplate::new(route).ok());
        Self {
            shared: Arc::clone(shared),
            method: method(request.method()),
            may_change: !request.method().is_safe(),
            is_unmatched: route.is_none(),
            route: route.unwrap_or_else(RouteTemplate::unmatched),
            principal: extensions.get().cloned(),
            client: extensions.get().copied(),
            correlation: extensions.get().copied(),
            is_over: false,
        }
    }

    /// From here on, being dropped is not being given up.
    fn end(&mut self) {
        self.is_over = true;
    }

    fn circumstances(&self) -> Circumstances {
        let actor =
            self.principal.as_ref().map_or(Actor::Anonymous, |who| Actor::Person(who.actor().clone()));
        let mut by = Circumstances::new(actor, self.shared.clock.now());
        if let Some(principal) = &self.principal {
            by = by.tenant(principal.tenant().clone());
        }
        if let Some(client) = self.client {
            by = by.client(client);
        }
        match self.correlation {
            Some(correlation) => by.correlation(correlation),
            None => by,
        }
    }

    fn begun(&self) -> Result<Event, EventError> {
        ApiCall::begun(&self.circumstances(), self.method, &self.route).build()
    }

    fn ended(&self, status: StatusCode) -> Result<Event, EventError> {
        ApiCall::ended(&self.circumstances(), self.method, &self.route, status.as_u16()).build()
    }

    /// What anonymous calls that end like this one are counted as.
    fn sort(&self, sort: &'static str) -> &'static str {
        if self.is_unmatched { "unmatched" } else { sort }
    }

    /// Whether the call may go on: it is recorded, counted among those of its sort, or only reported.
    fn is_kept(
        &self,
        event: Result<Event, EventError>,
        sort: Option<&'static str>,
    ) -> impl Future<Output = bool> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let Ok(event) = event else { return shared.is_report_only };
            let recording = match sort {
                None => shared.sink.record(event.clone()),
                Some(sort) => match shared.recorder.record_within(event.clone(), sort) {
                    Recorded::Counted => return true,
                    Recorded::Sent(recording) => recording,
                },
            };
            let receipt = recording.await;
            let is_kept = receipt.is_ok_and(|receipt| receipt.redeem(&event, shared.least).is_ok());
            is_kept || shared.is_report_only
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let event = ApiCall::abandoned(&self.circumstances(), self.method, &self.route);
        if let Ok(event) = event.build() {
            // Taken over by the sink; nobody is left to wait for it.
            drop(self.shared.recorder.record_within(event, self.sort("abandoned")));
        }
    }
}

/// The registered methods; anything else is the caller's own word and not repeated.
fn method(method: &Method) -> &'static str {
    [
        (Method::GET, "GET"),
        (Method::HEAD, "HEAD"),
        (Method::POST, "POST"),
        (Method::PUT, "PUT"),
        (Method::PATCH, "PATCH"),
        (Method::DELETE, "DELETE"),
        (Method::OPTIONS, "OPTIONS"),
        (Method::TRACE, "TRACE"),
        (Method::CONNECT, "CONNECT"),
    ]
    .into_iter()
    .find_map(|(known, name)| (known == *method).then_some(name))
    .unwrap_or("OTHER")
}
