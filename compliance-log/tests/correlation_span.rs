//! The span of a request. In a binary of its own: `tracing` remembers whether anybody listens to a callsite, and a test
//! beside this one that asks for the same span without a subscriber would race with it.
#![cfg(all(feature = "tower", feature = "tracing"))]

use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use compliance_core::random::SystemRandom;
use compliance_log::correlation::{CorrelationLayer, REQUEST_ID};
use http::{Request, Response};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tracing_subscriber::prelude::*;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged while `run` runs, at `level` and above, line by line.
fn logged(level: tracing::level_filters::LevelFilter, run: impl FnOnce()) -> Vec<serde_json::Value> {
    let lines = Lines::default();
    let writer = lines.clone();
    let format = tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone());
    let stack = compliance_log::layer::redacting(
        tracing_subscriber::registry().with(level).with(format),
        compliance_log::redact::Redactor::new(),
    );
    tracing::dispatcher::with_default(&stack.into_dispatch(), run);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One test, since a callsite's level is asked for once in a process: at a level that hides all but warnings.
#[test]
fn every_span_and_event_inside_has_the_id() {
    let request = || Request::builder().header("traceparent", PARENT).body(()).unwrap();
    let mut id = None;
    let lines = logged(tracing::level_filters::LevelFilter::WARN, || {
        let service = ServiceBuilder::new().layer(CorrelationLayer::new(SystemRandom)).service(service_fn(
            async |_: Request<()>| {
                tracing::error_span!("inner").in_scope(|| tracing::warn!("handled"));
                Ok::<_, Infallible>(Response::new(()))
            },
        ));
        match pin!(service.oneshot(request())).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => {
                id = Some(answer.unwrap().headers()[REQUEST_ID].to_str().unwrap().to_owned())
            }
            Poll::Pending => panic!("the service does not wait"),
        }
        // Cancelled: what the service had in hand says so as it goes.
        struct Held;
        impl Drop for Held {
            fn drop(&mut self) {
                tracing::warn!("cancelled");
            }
        }
        let service = ServiceBuilder::new().layer(CorrelationLayer::new(SystemRandom)).service(service_fn(
            async |_: Request<()>| {
                let held = Held;
                std::future::pending::<()>().await;
                drop(held);
                Ok::<_, Infallible>(Response::new(()))
            },
        ));
        let mut waiting = Box::pin(service.oneshot(request()));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(waiting);
    });
    let [handled, cancelled] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(handled["spans"][0]["correlation_id"], id.unwrap());
    assert_eq!(handled["spans"][0]["traceparent"], PARENT);
    assert_eq!(handled["span"]["name"], "inner");
    assert_eq!(cancelled["fields"]["message"], "cancelled");
    assert_eq!(cancelled["span"]["correlation_id"].as_str().unwrap().len(), 32);
    assert_eq!(cancelled["span"]["traceparent"], PARENT);
}
