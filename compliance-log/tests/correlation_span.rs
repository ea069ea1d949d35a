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

#[test]
fn every_span_and_event_inside_has_the_id() {
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
    let lines = Lines::default();
    let writer = lines.clone();
    let format = tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone());
    let stack = compliance_log::layer::redacting(
        tracing_subscriber::registry().with(format),
        compliance_log::redact::Redactor::new(),
    );
    let request = Request::builder().header("traceparent", PARENT).body(()).unwrap();
    let answer = tracing::dispatcher::with_default(&stack.into_dispatch(), || {
        let service = ServiceBuilder::new().layer(CorrelationLayer::new(SystemRandom)).service(service_fn(
            async |_: Request<()>| {
                tracing::info_span!("inner").in_scope(|| tracing::info!("handled"));
                Ok::<_, Infallible>(Response::new(()))
            },
        ));
        match pin!(service.oneshot(request)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer.unwrap(),
            Poll::Pending => panic!("the service does not wait"),
        }
    });
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["spans"][0]["correlation_id"], answer.headers()[REQUEST_ID].to_str().unwrap());
    assert_eq!(line["spans"][0]["traceparent"], PARENT);
    assert_eq!(line["span"]["name"], "inner");
}
