//! What reaches a span past `tracing`, and leaves it redacted.

use compliance_log::integrations::opentelemetry::RedactingSpanExporter;
use compliance_log::redact::{FieldRule, Redactor};
use opentelemetry::trace::{
    SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Array, KeyValue, Value};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::prelude::*;

/// One span as it was exported: with the exporter of ours, and without.
fn exported(redactor: Option<Redactor>, run: impl Fn(&tracing::Span)) -> SpanData {
    let memory = InMemorySpanExporter::default();
    let builder = SdkTracerProvider::builder();
    let provider = match redactor {
        Some(redactor) => builder.with_simple_exporter(RedactingSpanExporter::new(memory.clone(), redactor)),
        None => builder.with_simple_exporter(memory.clone()),
    }
    .build();
    let stack = tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    tracing::dispatcher::with_default(
        &compliance_log::layer::redacting(stack, Redactor::new()).into_dispatch(),
        || {
            let span = tracing::error_span!("opened");
            run(&span);
        },
    );
    memory.get_finished_spans().unwrap().remove(0)
}

fn leaking(span: &tracing::Span) {
    span.set_attribute("user", "w1@leak.example");
    span.set_attribute("db.password", "hunter2-Geheim");
    span.set_attribute("users", Value::Array(Array::String(vec!["w2@leak.example".into(), "none".into()])));
    span.set_attribute("ssn", 219_099_999_i64);
    span.add_event("for w3@leak.example", vec![KeyValue::new("to", "w4@leak.example")]);
    let other = SpanContext::new(
        TraceId::from(7_u128),
        SpanId::from(7_u64),
        TraceFlags::default(),
        true,
        TraceState::default(),
    );
    span.add_link_with_attributes(other, vec![KeyValue::new("of", "w5@leak.example")]);
    span.set_status(Status::error("refused w6@leak.example"));
}

const VALUES: [&str; 8] = ["w1@", "w2@", "w3@", "w4@", "w5@", "w6@", "hunter2-Geheim", "219099999"];

#[test]
fn what_is_set_on_the_span_itself_leaves_redacted() {
    let span = exported(Some(Redactor::new()), leaking);
    let text = format!("{span:?}");
    for value in VALUES {
        assert!(!text.contains(value), "{value}: {text}");
    }
    assert_eq!(text.matches("[EMAIL]").count(), 6, "{text}");
    assert_eq!(span.status, Status::error("refused [EMAIL]"));
}

#[test]
fn without_the_exporter_it_leaks() {
    let span = exported(None, leaking);
    let text = format!("{span:?}");
    for value in VALUES {
        assert!(text.contains(value), "{value} does not enter: {text}");
    }
}

#[test]
fn clean_values_keep_their_types() {
    let redactor = Redactor::builder().field("note", FieldRule::Drop).build();
    let span = exported(Some(redactor), |span| {
        span.set_attribute("rows", 4711_i64);
        span.set_attribute("ratio", 0.5);
        span.set_attribute("cached", true);
        span.set_attribute("codes", Value::Array(Array::I64(vec![200, 404])));
        span.set_attribute("note", Value::Array(Array::Bool(vec![true])));
    });
    let of = |name: &str| span.attributes.iter().find(|one| one.key.as_str() == name).unwrap().value.clone();
    assert_eq!(of("rows"), Value::I64(4711));
    assert_eq!(of("ratio"), Value::F64(0.5));
    assert_eq!(of("cached"), Value::Bool(true));
    assert_eq!(of("codes"), Value::Array(Array::I64(vec![200, 404])));
    assert_eq!(of("note"), Value::Array(Array::String(vec!["[DROPPED]".into()])));
    assert_eq!(span.name, "opened");
}
