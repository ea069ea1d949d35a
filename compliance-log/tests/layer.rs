//! Every way a value enters `tracing`, against every kind of layer that could let it out.
#![cfg(feature = "tracing")]

use std::error::Error;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use compliance_core::class::Personal;
use compliance_log::layer::{RedactingSubscriber, redacting};
use compliance_log::redact::Redactor;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use sentry_core::test::with_captured_envelopes_options;
use tracing::field::{Empty, Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_error::{ErrorLayer, SpanTrace};
use tracing_subscriber::layer::Context;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt as format, reload};

/// Where a sink writes.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> format::MakeWriter<'w> for Sink {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// A layer that writes down whatever it is shown, by whichever visitor method, error chains included.
struct Sibling(Sink);

impl Visit for Sink {
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut next = Some(value);
        while let Some(error) = next {
            writeln!(self, "{field}: {error} {error:?}").unwrap();
            next = error.source();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        writeln!(self, "{field}: {value:?}").unwrap();
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        writeln!(self, "{field}: {}", String::from_utf8_lossy(value)).unwrap();
    }
}

impl<S: Subscriber + for<'l> LookupSpan<'l>> Layer<S> for Sibling {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        attributes.record(&mut self.0.clone());
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut self.0.clone());
    }

    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        event.record(&mut self.0.clone());
        true
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.0.clone());
    }
}

/// All sinks of one run.
#[derive(Default)]
struct Sinks {
    text: Sink,
    json: Sink,
    pretty: Sink,
    sibling: Sink,
    filtered: Sink,
    reloaded: Sink,
    trace: Sink,
    exported: InMemorySpanExporter,
    /// Forgets what it exported when it is dropped.
    provider: Option<SdkTracerProvider>,
    /// Where a file appender writes from a thread of its own, and what keeps that thread.
    file: Option<(tempfile::TempDir, tracing_appender::non_blocking::WorkerGuard)>,
}

impl Sinks {
    fn stack(&mut self) -> impl Subscriber + Send + Sync + for<'l> LookupSpan<'l> + use<> {
        let directory = tempfile::tempdir().unwrap();
        let appender = tracing_appender::rolling::never(directory.path(), "service.log");
        let (appender, guard) = tracing_appender::non_blocking(appender);
        self.file = Some((directory, guard));
        let provider = SdkTracerProvider::builder().with_simple_exporter(self.exported.clone()).build();
        let (late, handle) = reload::Layer::new(None);
        let stack = tracing_subscriber::registry()
            .with(late)
            .with(EnvFilter::new("trace"))
            .with(format::layer().with_writer(self.text.clone()).with_ansi(false))
            .with(format::layer().json().with_writer(self.json.clone()))
            .with(format::layer().pretty().with_writer(self.pretty.clone()).with_ansi(false))
            .with(Sibling(self.sibling.clone()))
            .with(Sibling(self.filtered.clone()).with_filter(EnvFilter::new("layer=trace")))
            .with(ErrorLayer::default())
            .with(format::layer().with_writer(appender).with_ansi(false))
            .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")))
            .with(sentry_tracing::layer().enable_span_attributes());
        self.provider = Some(provider);
        handle.modify(|layer| *layer = Some(Sibling(self.reloaded.clone()))).unwrap();
        stack
    }

    fn all(&mut self) -> [(&'static str, String); 9] {
        let (directory, guard) = self.file.take().unwrap();
        // Waits until everything is written.
        drop(guard);
        [
            ("file", std::fs::read_to_string(directory.path().join("service.log")).unwrap()),
            ("OpenTelemetry", format!("{:?}", self.exported.get_finished_spans().unwrap())),
            ("text", self.text.text()),
            ("json", self.json.text()),
            ("pretty", self.pretty.text()),
            ("sibling", self.sibling.text()),
            ("filtered", self.filtered.text()),
            ("reloaded", self.reloaded.text()),
            ("span trace", self.trace.text()),
        ]
    }
}

#[derive(Debug)]
struct Failed {
    text: &'static str,
    source: Option<Box<Failed>>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "read by Debug only")]
struct User {
    id: u64,
    email: &'static str,
    password: &'static str,
}

#[tracing::instrument]
fn instrumented(email: &str) {
    tracing::info!("inside");
}

#[tracing::instrument(ret, err(Debug))]
fn returning(_seed: u8) -> Result<String, String> {
    Err("for w15@leak.example".to_owned())
}

/// Every way in, each with a value of its own; returns the values.
fn enter_every_way(sinks: &Sinks) -> Vec<&'static str> {
    tracing::info!(email = "w01@leak.example", "field");
    tracing::info!(email = %"w02@leak.example", "display");
    tracing::info!(user = ?User { id: 7, email: "w03@leak.example", password: "w03-Geheim" }, "debug");
    tracing::info!("message for {}", "w04@leak.example");
    let span = tracing::info_span!("opened", email = "w05@leak.example", later = Empty, seen = Empty);
    span.record("later", "w06@leak.example");
    span.record("seen", tracing::field::debug(Some("w07@leak.example")));
    span.in_scope(|| {
        tracing::info!("in span");
        let mut trace = sinks.trace.clone();
        writeln!(trace, "{} {:?}", SpanTrace::capture(), SpanTrace::capture()).unwrap();
    });
    let failed = Failed {
        text: "refused w08@leak.example",
        source: Some(Box::new(Failed { text: "caused by w09@leak.example", source: None })),
    };
    tracing::error!(error = &failed as &(dyn Error + 'static), "failed");
    instrumented("w10@leak.example");
    tracing::info!(parent: None, email = "w11@leak.example", "no parent");
    tracing::info!(parent: &span, email = "w12@leak.example", "explicit parent");
    log::warn!("bridged w13@leak.example");
    log::warn!(target: "other", "bridged with target {}", "w14@leak.example");
    let _ = returning(1);
    tracing::info!(ssn = 219_099_999_u64, "number");
    tracing::info!(card = 4_111_111_111_111_111_i128, "wide number");
    tracing::info!(raw = b"w16@leak.example".as_slice(), "bytes");
    tracing::info!(raw = b"\xffw17@leak.example\xfe".as_slice(), "bytes that are no text");
    tracing::info!(password = "w18-Geheim", "named field");
    tracing::info!(query = "email=w19%40leak.example", "encoded");
    tracing::info!(target: "elsewhere", iban = "DE89370400440532013000", "other target");
    tracing::info!(owner = ?Personal::new("w20@leak.example"), "typed");
    vec![
        "w01@",
        "w02@",
        "w03@",
        "w03-Geheim",
        "w04@",
        "w05@",
        "w06@",
        "w07@",
        "w08@",
        "w09@",
        "w10@",
        "w11@",
        "w12@",
        "w13@",
        "w14@",
        "w15@",
        "219099999",
        "4111111111111111",
        "w16@",
        "w17@",
        "w18-Geheim",
        "w19%40",
        "DE89370400440532013000",
    ]
}

/// One test at a time: `reload` recomputes the process's level from the thread it runs on while a single dispatcher
/// lives, and so switches the others' levels off for a moment.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bridge() {
    static BRIDGE: Once = Once::new();
    BRIDGE.call_once(|| {
        // Installing a subscriber in another test may have done it already.
        let _ = tracing_log::LogTracer::init();
        log::set_max_level(log::LevelFilter::Trace);
    });
}

/// Runs every way in against every sink; what each saw, and the values.
fn run(
    wrap: impl FnOnce(Box<dyn Subscriber + Send + Sync>) -> Dispatch,
) -> (Vec<(&'static str, String)>, Vec<&'static str>) {
    let mut sinks = Sinks::default();
    let dispatch = wrap(Box::new(sinks.stack()));
    let mut values = Vec::new();
    let options = sentry_core::ClientOptions::new().traces_sample_rate(1.0);
    let envelopes = with_captured_envelopes_options(
        || values = tracing::dispatcher::with_default(&dispatch, || enter_every_way(&sinks)),
        options,
    );
    let mut sentry = Vec::new();
    envelopes.iter().for_each(|envelope| envelope.to_writer(&mut sentry).unwrap());
    drop(dispatch);
    let mut all = Vec::from(sinks.all());
    all.push(("Sentry", String::from_utf8(sentry).unwrap()));
    (all, values)
}

#[test]
fn nothing_leaks_into_any_sink() {
    let _turn = turn();
    bridge();
    let (sinks, values) = run(|stack| redacting(stack, Redactor::new()).into_dispatch());
    for (sink, text) in sinks {
        assert!(!text.is_empty(), "{sink} saw nothing");
        for value in &values {
            assert!(!text.contains(value), "{value} leaks into {sink}:\n{text}");
        }
        assert!(!text.contains("leak.example"), "{sink}:\n{text}");
    }
}

#[test]
fn without_the_wrapper_everything_leaks() {
    let _turn = turn();
    bridge();
    let (sinks, values) = run(Dispatch::new);
    let sibling = &sinks.iter().find(|(sink, _)| *sink == "sibling").unwrap().1;
    for value in values {
        assert!(sibling.contains(value), "{value} does not enter");
    }
    for (sink, text) in sinks {
        assert!(text.contains("leak.example"), "{sink} could not leak:\n{text}");
    }
}

fn seen(run: impl FnOnce()) -> String {
    let sink = Sink::default();
    let stack = tracing_subscriber::registry()
        .with(format::layer().json().without_time().with_target(false).with_writer(sink.clone()));
    tracing::dispatcher::with_default(&redacting(stack, Redactor::new()).into_dispatch(), run);
    sink.text()
}

#[test]
fn numbers_and_clean_values_stay_what_they_are() {
    let _turn = turn();
    let line = seen(|| {
        tracing::info!(
            count = 12_345_678_u64, ratio = 1.5, ok = true, delta = -3, path = "/a/b", wide = u128::MAX,
            text = %"plain", "took {} ms", 35
        );
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let fields = &line["fields"];
    assert_eq!(fields["count"], 12_345_678);
    assert_eq!(fields["ratio"], 1.5);
    assert_eq!(fields["ok"], true);
    assert_eq!(fields["delta"], -3);
    assert_eq!(fields["path"], "/a/b");
    assert_eq!(fields["text"], "plain");
    assert_eq!(fields["message"], "took 35 ms");
}

#[test]
fn a_fraction_is_a_number_unless_its_size_or_name_says_otherwise() {
    let _turn = turn();
    let line = seen(|| {
        tracing::info!(
            card = 4_111_111_111_111_111.0_f64,
            rows = 4_111_111_111_111_111.0_f64,
            ssn = 219_099_999.0_f64,
            total = -219_099_999.25_f64,
            latency_ms = 35.5_f64,
            waited_ms = 219_099_999_u64,
            none = f64::NAN,
        );
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let fields = &line["fields"];
    assert_eq!(fields["card"], "[CREDIT_CARD]");
    assert_eq!(fields["rows"], "[CREDIT_CARD]");
    assert_eq!(fields["ssn"], "[US_SSN]");
    assert_eq!(fields["total"], -219_099_999.25);
    assert_eq!(fields["latency_ms"], 35.5);
    assert_eq!(fields["waited_ms"], 219_099_999);
}

#[test]
fn a_value_behind_more_fields_than_few_is_redacted() {
    let _turn = turn();
    let line = seen(|| {
        tracing::info!(a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, to = "anna@example.com", "h");
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["fields"]["to"], "[EMAIL]");
    assert_eq!(line["fields"]["g"], 7);
    assert_eq!(line["fields"]["message"], "h");
}

#[test]
fn a_value_cannot_start_a_line() {
    let _turn = turn();
    let line = seen(|| tracing::info!(agent = "x\r\nINFO forged \u{1b}[2J", "a\nb"));
    assert_eq!(line.lines().count(), 1);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["fields"]["agent"], "x\\r\\nINFO forged \\u{1b}[2J");
    assert_eq!(line["fields"]["message"], "a\\nb");
}

#[test]
fn spans_keep_parents_and_records() {
    let _turn = turn();
    let line = seen(|| {
        let outer = tracing::info_span!("outer", user = "anna@example.com", state = Empty);
        let inner = tracing::info_span!(parent: &outer, "inner");
        outer.record("state", "open");
        inner.in_scope(|| tracing::info!("here"));
    });
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["spans"][0]["name"], "outer");
    assert_eq!(line["spans"][0]["user"], "[EMAIL]");
    assert_eq!(line["spans"][0]["state"], "open");
    assert_eq!(line["span"]["name"], "inner");
}

#[test]
fn a_value_may_log_while_it_is_formatted() {
    let _turn = turn();
    struct Chatty;
    impl fmt::Debug for Chatty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!(email = "anna@example.com", "nested");
            f.write_str("by bob@example.com")
        }
    }
    let lines = seen(|| tracing::info!(value = ?Chatty, other = "carl@example.com", "outer"));
    assert!(!lines.contains("example.com"), "{lines}");
    // Under a dispatcher of one thread `tracing` drops what is logged while it dispatches; the global one does not, see
    // `layer_global.rs`.
    assert_eq!(lines.lines().count(), 1, "{lines}");
    assert!(lines.contains("by [EMAIL]"), "{lines}");
}

#[test]
fn filters_inside_still_filter() {
    let _turn = turn();
    let sink = Sink::default();
    let stack = tracing_subscriber::registry()
        .with(EnvFilter::new("warn,layer=info"))
        .with(format::layer().with_writer(sink.clone()).with_ansi(false));
    let dispatch: Dispatch = redacting(stack, Redactor::new()).into();
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::debug!("too low");
        tracing::info!("just right");
        tracing::info!(target: "elsewhere", "too low there");
    });
    assert!(sink.text().contains("just right"));
    assert!(!sink.text().contains("too low"));
}

#[test]
fn it_installs_like_any_subscriber() {
    let _turn = turn();
    fn installs(subscriber: RedactingSubscriber<impl Subscriber + Send + Sync>) {
        let _guard = subscriber.set_default();
        tracing::info!("installed by anna@example.com");
    }
    let sink = Sink::default();
    let stack =
        tracing_subscriber::registry().with(format::layer().with_writer(sink.clone()).with_ansi(false));
    installs(redacting(stack, Redactor::new()));
    tracing::info!("nobody listens any more");
    assert!(sink.text().ends_with("installed by [EMAIL]\n"), "{}", sink.text());
    assert_eq!(sink.text().lines().count(), 1);
}

/// The rebuilding rests on parts of `tracing-core` that are public but undocumented. Whoever raises the version
/// runs this file against it first and then raises the number here.
#[test]
fn tracing_core_is_the_version_this_was_tried_with() {
    let Ok(lock) = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock")) else {
        println!("skipped: outside of the workspace");
        return;
    };
    let version =
        lock.split("name = \"tracing-core\"\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    assert_eq!(version, Some("0.1.36"));
}

#[test]
fn rules_of_fields_hold_for_every_type() {
    let _turn = turn();
    let sink = Sink::default();
    let stack = tracing_subscriber::registry()
        .with(format::layer().json().without_time().with_target(false).with_writer(sink.clone()));
    let redactor = Redactor::builder().allow_fields(["message", "status", "client"]).build();
    tracing::dispatcher::with_default(&redacting(stack, redactor).into_dispatch(), || {
        tracing::info!(
            status = 201,
            client = "203.0.113.7",
            note = "ill",
            paid = true,
            rows = 7,
            "by bob@example.com"
        );
    });
    let line: serde_json::Value = serde_json::from_str(&sink.text()).unwrap();
    assert_eq!(
        line["fields"],
        serde_json::json!({
            "message": "by [EMAIL]", "status": 201, "client": "[IPV4]", "note": "[DROPPED]", "paid": "[DROPPED]", "rows": "[DROPPED]",
        })
    );
}
