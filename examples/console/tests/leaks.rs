//! The leak matrix against tokio-console: what its layer keeps of tasks and resources, and sends to whoever connects.

use std::time::Duration;

use compliance_log::layer::redacting;
use compliance_log::redact::Redactor;
use console_api::instrument::InstrumentRequest;
use console_api::instrument::instrument_client::InstrumentClient;
use console_subscriber::{ConsoleLayer, ServerParts};
use tracing::{Dispatch, Subscriber};
use tracing_subscriber::prelude::*;

const VALUES: [&str; 5] = ["w1@", "w2@", "w3@", "w4-Geheim", "219099999"];

/// Spans as Tokio makes them for tasks and resources, with values in them.
fn enter() -> Vec<tracing::Span> {
    let task = tracing::error_span!(
        target: "tokio::task", "runtime.spawn", kind = "task", task.id = 7_u64,
        task.name = "worker of w1@leak.example", owner = ?Some("w2@leak.example"), password = "w4-Geheim",
        ssn = 219_099_999_u64, loc.file = "main.rs", loc.line = 1, loc.col = 1
    );
    let resource = tracing::error_span!(
        target: "tokio::sync", "runtime.resource", concrete_type = "Semaphore of w3@leak.example", kind = "Sync",
        is_internal = false, loc.file = "main.rs", loc.line = 2, loc.col = 1
    );
    task.in_scope(|| resource.in_scope(|| ()));
    vec![task, resource]
}

/// What a console sees.
async fn seen(wrap: impl FnOnce(Box<dyn Subscriber + Send + Sync>) -> Dispatch) -> String {
    let (layer, server) = ConsoleLayer::builder().publish_interval(Duration::from_millis(10)).build();
    let ServerParts { instrument_server, aggregator, .. } = server.into_parts();
    let dispatch = wrap(Box::new(tracing_subscriber::registry().with(layer)));
    let aggregator = tokio::spawn(aggregator.run());
    let mut console = InstrumentClient::new(instrument_server);
    let mut updates = console.watch_updates(InstrumentRequest {}).await.unwrap().into_inner();
    let spans = tracing::dispatcher::with_default(&dispatch, enter);
    let mut text = String::new();
    // Updates come at intervals; those of the spans are there when both names are.
    let whole = |text: &str| text.contains("worker of") && text.contains("Semaphore of");
    while !whole(&text) {
        text += &format!("{:?}", updates.message().await.unwrap().expect("the console goes on"));
    }
    drop((spans, console));
    aggregator.abort();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_into_the_console() {
    let text = seen(|stack| redacting(stack, Redactor::new()).into_dispatch()).await;
    for value in VALUES {
        assert!(!text.contains(value), "{value} leaks:\n{text}");
    }
    assert!(text.contains("[EMAIL]"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_wrapper_it_leaks() {
    let text = seen(Dispatch::new).await;
    for value in VALUES {
        assert!(text.contains(value), "{value} does not enter:\n{text}");
    }
}
