//! OpenTelemetry: the last door before a span leaves the process.
//!
//! [`layer::redacting`](crate::layer::redacting) sees what passes through `tracing`. What a service sets on a span by
//! `OpenTelemetrySpanExt` (`set_attribute`, `add_event`, `set_status`) or by OpenTelemetry's own interface does not: it is in
//! the span before anybody could look. [`RedactingSpanExporter`] looks when the span is exported, by whatever way its values
//! came, and redacting what is redacted changes nothing. Use both.
//!
//! ```
//! use compliance_log::integrations::opentelemetry::RedactingSpanExporter;
//! use compliance_log::redact::Redactor;
//! use opentelemetry::KeyValue;
//! use opentelemetry::trace::{Span, Tracer, TracerProvider};
//! use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
//!
//! let exported = InMemorySpanExporter::default(); // in a service: `opentelemetry_otlp::SpanExporter`
//! let exporter = RedactingSpanExporter::new(exported.clone(), Redactor::new());
//! let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
//! let mut span = provider.tracer("service").start("sign-up");
//! span.set_attribute(KeyValue::new("user", "anna@example.com"));
//! span.end();
//! assert_eq!(exported.get_finished_spans().unwrap()[0].attributes, [KeyValue::new("user", "[EMAIL]")]);
//! ```

use std::borrow::Cow;
use std::time::Duration;

use opentelemetry::trace::Status;
use opentelemetry::{Array, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::redact::Redactor;

/// An exporter of spans behind a redactor: names, attributes, events, links and the status's description.
///
/// # Security
/// Trace and span ids, times and the tracestate pass as they are, and so does the resource: the service's own description.
#[derive(Clone, Debug)]
pub struct RedactingSpanExporter<E> {
    exporter: E,
    redactor: Redactor,
}

impl<E: SpanExporter> RedactingSpanExporter<E> {
    /// Hands `exporter` only what `redactor` lets pass.
    #[must_use]
    pub fn new(exporter: E, redactor: Redactor) -> Self {
        Self { exporter, redactor }
    }

    fn redact(&self, span: &mut SpanData) {
        self.name(&mut span.name);
        self.attributes(&mut span.attributes);
        for event in &mut span.events.events {
            self.name(&mut event.name);
            self.attributes(&mut event.attributes);
        }
        for link in &mut span.links.links {
            self.attributes(&mut link.attributes);
        }
        if let Status::Error { description } = &mut span.status {
            self.name(description);
        }
    }

    fn name(&self, name: &mut Cow<'static, str>) {
        if let Cow::Owned(redacted) = self.redactor.redact(name) {
            *name = Cow::Owned(redacted);
        }
    }

    fn attributes(&self, attributes: &mut [KeyValue]) {
        for KeyValue { key, value, .. } in attributes {
            self.value(key.as_str(), value);
        }
    }

    /// Numbers and booleans stay what they are unless they are hits, or their name has a rule.
    fn value(&self, name: &str, value: &mut Value) {
        if let Value::Array(array) = value {
            self.array(name, array);
        } else if let Some(redacted) = self.field(name, &value.as_str()) {
            *value = Value::String(redacted);
        }
    }

    /// One value that is none of the others' type makes all of them text.
    fn array(&self, name: &str, array: &mut Array) {
        let texts: Vec<String> = match array {
            Array::Bool(all) => all.iter().map(ToString::to_string).collect(),
            Array::I64(all) => all.iter().map(ToString::to_string).collect(),
            Array::F64(all) => all.iter().map(ToString::to_string).collect(),
            Array::String(all) => all.iter().map(ToString::to_string).collect(),
            // A kind that came later: nobody looked at it.
            _ => vec![Redactor::DROPPED.to_owned()],
        };
        let redacted: Vec<Option<StringValue>> = texts.iter().map(|text| self.field(name, text)).collect();
        let known = matches!(array, Array::Bool(_) | Array::I64(_) | Array::F64(_) | Array::String(_));
        if known && redacted.iter().all(Option::is_none) {
            return;
        }
        let texts =
            texts.into_iter().zip(redacted).map(|(text, redacted)| redacted.unwrap_or_else(|| text.into()));
        *array = Array::String(texts.collect());
    }

    /// What stands in a value's place, where it does not stay.
    fn field(&self, name: &str, text: &str) -> Option<StringValue> {
        let redacted = self.redactor.redact_field(name, text);
        (redacted != text).then(|| redacted.into_owned().into())
    }
}

impl<E: SpanExporter> SpanExporter for RedactingSpanExporter<E> {
    fn export(&self, mut batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        batch.iter_mut().for_each(|span| self.redact(span));
        self.exporter.export(batch)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
