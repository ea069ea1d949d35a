//! Redacting everything that goes through `tracing`.

use std::io;

use compliance_log::layer::redacting;
use compliance_log::redact::Redactor;
use tracing::dispatcher::with_default;
use tracing::{Dispatch, info, info_span, warn};
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, fmt};

use crate::measure::{Effort, Measured, side_by_side};

/// Events of one request, see [`request`].
const EVENTS: usize = 4;

/// Nanoseconds per event. The peer: `tracing-subscriber`'s JSON format, written to nowhere. Ours: the same behind the
/// redacting subscriber.
pub(super) fn json(effort: Effort) -> Measured {
    let redacted: Dispatch = redacting(stack(), Redactor::new()).into();
    let plain = Dispatch::new(stack());
    side_by_side(effort, EVENTS, || with_default(&redacted, request), || with_default(&plain, request))
}

fn stack() -> impl tracing::Subscriber + Send + Sync + 'static {
    let layer = fmt::layer().json().with_span_events(FmtSpan::NONE).with_writer(io::sink);
    Registry::default().with(layer)
}

/// What a service logs about a request: a span with three attributes and four events, one of which names a person.
fn request() {
    let span = info_span!(
        "request",
        method = "POST",
        path = "/v1/orders/7735643633",
        request_id = "47b5aa66-6347-428c-9dd4-6c036bb3a62f",
    );
    let _entered = span.enter();
    info!(target: "app::http", "request started");
    info!(target: "app::orders", order = "ORD-7735643633", items = 3_u64, total = 1200.5_f64, "order placed");
    warn!(target: "app::mail", to = "lhayes@gmail.com", attempt = 2_u64, "delivery deferred");
    info!(target: "app::http", status = 201_u64, latency_ms = 35_u64, "request completed");
}
