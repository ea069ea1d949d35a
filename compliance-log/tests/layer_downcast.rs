//! What is found through the redacting subscriber by downcasting: the one place with `unsafe`. Small, so that Miri can run it.
#![cfg(feature = "tracing")]

use compliance_log::layer::redacting;
use compliance_log::redact::Redactor;
use tracing::Dispatch;
use tracing_error::{ErrorLayer, SpanTrace};
use tracing_subscriber::Registry;
use tracing_subscriber::prelude::*;

fn stack() -> Dispatch {
    let stack = tracing_subscriber::registry().with(ErrorLayer::default());
    redacting(stack, Redactor::new()).into_dispatch()
}

#[test]
fn the_registry_inside_is_found_and_lives_as_long_as_the_dispatcher() {
    let dispatch = stack();
    let registry = dispatch.downcast_ref::<Registry>().unwrap();
    let copy = dispatch.clone();
    drop(copy);
    // Read through the pointer after a clone is gone.
    assert!(!format!("{registry:?}").is_empty());
}

#[test]
fn nothing_else_is_found() {
    assert!(stack().downcast_ref::<String>().is_none());
    assert!(stack().downcast_ref::<Redactor>().is_none());
}

#[test]
fn a_span_trace_is_captured_through_it() {
    tracing::dispatcher::with_default(&stack(), || {
        let span = tracing::info_span!("outer", rows = 7);
        let trace = span.in_scope(SpanTrace::capture);
        assert!(trace.to_string().contains("rows=7"), "{trace}");
    });
}
