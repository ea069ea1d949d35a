//! One id per request, of our own making.
#![cfg(feature = "tower")]

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use compliance_core::random::{RandomError, SecureRandom, SystemRandom};
use compliance_core::request::Correlation;
use compliance_log::correlation::{CorrelationLayer, REQUEST_ID};
use http::{Request, Response, StatusCode};
use tower::{ServiceBuilder, ServiceExt, service_fn};

fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the service does not wait"),
    }
}

/// Answers with what the handler saw of the correlation.
fn ask(layer: CorrelationLayer, request: Request<()>) -> (Response<String>, Option<Correlation>) {
    let service = ServiceBuilder::new().layer(layer).service(service_fn(async |request: Request<()>| {
        let seen = request.extensions().get::<Correlation>().copied();
        let mut answer = Response::new(String::new());
        answer.extensions_mut().insert(seen);
        Ok::<_, Infallible>(answer)
    }));
    let mut answer = now(service.oneshot(request)).unwrap();
    let seen = answer.extensions_mut().remove::<Option<Correlation>>().flatten();
    (answer, seen)
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn the_id_is_ours_and_is_answered() {
    let request = Request::builder().header("x-request-id", "chosen-by-caller").body(()).unwrap();
    let (answer, seen) = ask(CorrelationLayer::new(SystemRandom), request);
    let seen = seen.expect("the handler sees it");
    assert_eq!(answer.headers().get(REQUEST_ID).unwrap(), seen.id().to_string().as_str());
    assert_eq!(answer.headers().get_all(REQUEST_ID).iter().count(), 1);
    assert_eq!(seen.parent(), None);
}

#[test]
fn the_callers_parent_is_kept_beside_it() {
    let request = Request::builder().header("traceparent", PARENT).body(()).unwrap();
    let (_, seen) = ask(CorrelationLayer::new(SystemRandom), request);
    assert_eq!(seen.unwrap().parent().unwrap().to_string(), PARENT);
}

#[test]
fn a_parent_that_is_doubtful_is_none() {
    for headers in [
        vec!["garbage"],
        vec![PARENT, PARENT],
        vec!["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    ] {
        let mut request = Request::builder();
        for header in headers {
            request = request.header("traceparent", header);
        }
        let (_, seen) = ask(CorrelationLayer::new(SystemRandom), request.body(()).unwrap());
        assert_eq!(seen.unwrap().parent(), None);
    }
}

#[test]
fn without_an_id_the_request_is_refused() {
    #[derive(Debug)]
    struct Broken;
    impl SecureRandom for Broken {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError::new())
        }
    }
    let (answer, seen) = ask(CorrelationLayer::new(Broken), Request::new(()));
    assert_eq!((answer.status(), seen), (StatusCode::INTERNAL_SERVER_ERROR, None));
}
