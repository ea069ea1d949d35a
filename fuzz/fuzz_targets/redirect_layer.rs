//! `RedirectLayer` over a response with one or two headers.
//!
//! Oracle: whatever a service wrote, what leaves is at most one `Location` and one `Refresh`, and the generous reading
//! of HTML's refresh steps and of a WHATWG parser takes either to an allowed origin.
#![no_main]

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use compliance_auth::integrations::tower::RedirectLayer;
use compliance_auth::redirect::RedirectPolicy;
use http::{HeaderValue, Request, Response};
use libfuzzer_sys::fuzz_target;
use tower_layer::Layer;
use tower_service::Service;
use url::Url;

const PAGE: &str = "https://app.example/team/7?tab=1";

static LAYER: LazyLock<RedirectLayer> = LazyLock::new(|| {
    let policy = RedirectPolicy::builder("https://app.example/");
    RedirectLayer::new(policy.allow("https://partner.example".parse().unwrap()).build().unwrap())
});

struct Canned(Option<Response<()>>);

impl Service<Request<()>> for Canned {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        ready(Ok(self.0.take().unwrap()))
    }
}

fn check(target: &str) {
    let Ok(url) = Url::parse(PAGE).unwrap().join(target) else { return };
    let origin = url.origin().ascii_serialization();
    assert!(["https://app.example", "https://partner.example"].contains(&origin.as_str()), "{target}");
}

/// HTML, "shared declarative refresh steps", which never refuse what they can read.
fn refreshes_to(value: &str) -> Option<&str> {
    let space = |c: char| c.is_ascii_whitespace();
    let rest = value.trim_start_matches(space);
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim_start_matches(space);
    let whole = rest.trim_start_matches([';', ',']).trim_start_matches(space);
    if whole.is_empty() {
        return None;
    }
    let named = whole
        .get(..3)
        .filter(|name| name.eq_ignore_ascii_case("url"))
        .and_then(|_| whole[3..].trim_start_matches(space).strip_prefix('='));
    let target = named.map_or(whole, |target| target.trim_start_matches(space));
    match target.chars().next() {
        Some(quote @ ('\'' | '"')) => target[1..].split(quote).next(),
        _ => Some(target),
    }
}

fuzz_target!(|input: (bool, u16, &[u8], Option<&[u8]>)| {
    let (is_refresh, status, first, second) = input;
    let name = if is_refresh { "refresh" } else { "location" };
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status % 500 + 100).unwrap();
    for value in [Some(first), second].into_iter().flatten() {
        let Ok(value) = HeaderValue::from_bytes(value) else { return };
        response.headers_mut().append(name, value);
    }
    if response.status() == 201 && !is_refresh {
        return;
    }
    let mut service = LAYER.layer(Canned(Some(response)));
    let answer = pin!(service.call(Request::get("/team/7?tab=1").body(()).unwrap()));
    let Poll::Ready(Ok(sent)) = answer.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("pending")
    };
    let values: Vec<_> = sent.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
    assert!(values.len() <= 1, "{values:?}");
    for value in values {
        if is_refresh { refreshes_to(value).into_iter().for_each(check) } else { check(value) }
    }
});
