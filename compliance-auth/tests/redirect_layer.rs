//! The layer that inspects outgoing redirects: whoever wrote the header, only a checked target leaves.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use compliance_auth::integrations::tower::RedirectLayer;
use compliance_auth::redirect::{
    RedirectError, RedirectErrorKind as Kind, RedirectPolicy, RegisteredRedirectUris,
};
use compliance_core::clock::ManualClock;
use compliance_core::event::{Actor, EventKind, PassPolicy, Recorder, Sink};
use compliance_core::finding::{Enforcement, Outcome};
use compliance_core::id::CorrelationId;
use compliance_core::request::{AddressSource, ClientAddress, Correlation, Principal};
use compliance_core::testing::{DeterministicRandom, MemorySink, block_on};
use http::{HeaderName, HeaderValue, Request, Response};
use tower_layer::Layer as _;
use tower_service::Service;

/// Answers with what it was given.
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

fn policy(enforcement: Enforcement) -> RedirectPolicy {
    RedirectPolicy::builder("https://app.example/")
        .allow("https://partner.example".parse().unwrap())
        .default_target("/home")
        .enforcement(enforcement)
        .build()
        .unwrap()
}

fn response(status: u16, headers: &[(&str, &[u8])]) -> Response<()> {
    let mut response = Response::builder().status(status).body(()).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    response
}

fn through(layer: &RedirectLayer, uri: &str, response: Response<()>) -> Response<()> {
    let request = Request::get(uri).header("host", "evil.example").body(()).unwrap();
    block_on(layer.layer(Canned(Some(response))).call(request)).unwrap()
}

fn values<'r>(response: &'r Response<()>, name: &str) -> Vec<&'r str> {
    response.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

const PAGE: &str = "/team/7?tab=1";

/// What becomes of a 302 with this `Location`: where it leads, or the rule that sent it to the default target.
#[track_caller]
fn check_location(value: &[u8], expected: Result<&str, Kind>) {
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    let sent = through(&layer, PAGE, response(302, &[("location", value)]));
    let refusal = sent.extensions().get::<RedirectError>().map(RedirectError::kind);
    match expected {
        Ok(location) => {
            assert_eq!((sent.status().as_u16(), refusal), (302, None), "{value:?}");
            assert_eq!(values(&sent, "location"), [location]);
        }
        Err(kind) => {
            assert_eq!((sent.status().as_u16(), refusal), (303, Some(kind)), "{value:?}");
            assert_eq!(values(&sent, "location"), ["https://app.example/home"]);
            assert_eq!(values(&sent, "cache-control"), ["no-store"]);
        }
    }
}

/// What becomes of this `Refresh`.
#[track_caller]
fn check_refresh(value: &str, expected: Result<&str, Kind>) {
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    let sent = through(&layer, PAGE, response(200, &[("refresh", value.as_bytes())]));
    let refusal = sent.extensions().get::<RedirectError>().map(RedirectError::kind);
    let sent = (sent.status().as_u16(), values(&sent, "refresh"), refusal);
    match expected {
        Ok(refresh) => assert_eq!(sent, (200, vec![refresh], None), "{value}"),
        Err(kind) => assert_eq!(sent, (200, vec![], Some(kind)), "{value}"),
    }
}

#[test]
fn a_location_leaves_in_its_checked_form() {
    check_location(b"/invoices", Ok("https://app.example/invoices"));
    check_location(b"https://partner.example", Ok("https://partner.example/"));
    check_location(b"https://app.example/a/../b", Ok("https://app.example/b"));
    check_location(b"https://evil.example/", Err(Kind::OtherOrigin));
    check_location(b"//evil.example/", Err(Kind::NetworkPath));
    check_location(b"/\\evil.example", Err(Kind::Backslash));
    check_location(b"/\t/evil.example", Err(Kind::Control));
    check_location(b" https://evil.example", Err(Kind::Whitespace));
    check_location(b"/.//evil.example", Err(Kind::DoubleSlash));
    check_location(b"javascript:alert(1)", Err(Kind::Scheme));
    check_location(b"https://app.example@evil.example", Err(Kind::UserInfo));
    check_location(b"", Err(Kind::Empty));
}

#[test]
fn a_relative_location_is_resolved_against_the_request_and_never_its_host_header() {
    check_location(b"edit", Ok("https://app.example/team/edit"));
    check_location(b"?tab=2", Ok("https://app.example/team/7?tab=2"));
    check_location(b"#top", Ok("https://app.example/team/7?tab=1#top"));
    check_location(b"../x", Ok("https://app.example/x"));
    check_location(b"https://evil.example/team/7", Err(Kind::OtherOrigin));
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    for (uri, expected) in [
        ("https://evil.example/a/b", "https://app.example/a/next"),
        ("//evil.example/a/b", "https://app.example/home"),
        ("/%2f/evil.example/", "https://app.example/home"),
    ] {
        let sent = through(&layer, uri, response(302, &[("location", b"next")]));
        assert_eq!(values(&sent, "location"), [expected], "{uri}");
    }
}

#[test]
fn bytes_outside_ascii_are_refused() {
    check_location("/bücher".as_bytes(), Err(Kind::NotAscii));
    check_location(b"/b\xfccher", Err(Kind::NotAscii));
    check_location("https://app。example/".as_bytes(), Err(Kind::NotAscii));
    check_refresh("0; url=/bücher", Err(Kind::NotAscii));
}

#[test]
fn two_headers_are_refused_even_when_both_are_good() {
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    for second in [&b"https://evil.example/"[..], b"/b", b"/a"] {
        let sent = through(&layer, "/", response(302, &[("location", b"/a"), ("location", second)]));
        assert_eq!(values(&sent, "location"), ["https://app.example/home"]);
        let sent = through(&layer, "/", response(200, &[("refresh", b"1"), ("refresh", second)]));
        assert!(values(&sent, "refresh").is_empty());
        assert_eq!(sent.extensions().get::<RedirectError>().unwrap().kind(), Kind::Duplicate);
    }
}

#[test]
fn a_refused_redirect_is_not_kept_and_does_not_post_again() {
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    for status in [301, 302, 303, 307, 308] {
        let sent = through(&layer, "/", response(status, &[("location", b"//evil.example")]));
        assert_eq!(sent.status(), 303);
        assert_eq!(values(&sent, "cache-control"), ["no-store"]);
    }
}

#[test]
fn a_page_is_not_redirected_to_itself() {
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    for status in [301, 302, 303, 307, 308] {
        for page in ["/home", "https://app.example/home", "https://evil.example/home", "/x/../home"] {
            let sent = through(&layer, page, response(status, &[("location", b"//evil.example")]));
            assert_eq!((sent.status().as_u16(), values(&sent, "location")), (500, vec![]), "{page}");
            assert_eq!(values(&sent, "cache-control"), ["no-store"]);
            assert_eq!(sent.extensions().get::<RedirectError>().unwrap().kind(), Kind::NetworkPath);
        }
    }
    for page in ["/", "/home/", "/home?step=2"] {
        let sent = through(&layer, page, response(302, &[("location", b"//evil.example")]));
        assert_eq!(
            (sent.status().as_u16(), values(&sent, "location")),
            (303, vec!["https://app.example/home"])
        );
    }
    // What a page decides by itself is its own.
    let sent = through(&layer, "/home", response(302, &[("location", b"/home")]));
    assert_eq!((sent.status().as_u16(), values(&sent, "location")), (302, vec!["https://app.example/home"]));
}

#[test]
fn a_posted_form_may_lead_back_to_its_page() {
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    for (method, status) in [("POST", 303), ("PUT", 303), ("GET", 500), ("HEAD", 500)] {
        let request = Request::builder().method(method).uri("/home").body(()).unwrap();
        let mut service = layer.layer(Canned(Some(response(302, &[("location", b"//evil.example")]))));
        assert_eq!(block_on(service.call(request)).unwrap().status(), status, "{method}");
    }
}

#[test]
fn a_fragment_of_the_default_target_is_on_the_same_page() {
    let policy = RedirectPolicy::builder("https://app.example/").default_target("/?a=b#top").build().unwrap();
    let layer = RedirectLayer::new(policy);
    let sent =
        |page| through(&layer, page, response(302, &[("location", b"//evil.example")])).status().as_u16();
    assert_eq!((sent("/?a=b"), sent("/?a=c"), sent("/")), (500, 303, 303));
}

#[test]
fn a_location_that_redirects_nobody_is_dropped_when_refused() {
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    for status in [200, 202, 300, 304, 401, 500] {
        let sent = through(&layer, "/", response(status, &[("location", b"//evil.example")]));
        assert_eq!((sent.status().as_u16(), values(&sent, "location")), (status, vec![]));
    }
    let created = through(&layer, "/", response(201, &[("location", b"https://store.example/7")]));
    assert_eq!(values(&created, "location"), ["https://store.example/7"]);
}

#[test]
fn a_refresh_is_seconds_and_one_checked_target() {
    check_refresh("5", Ok("5"));
    check_refresh("5;", Ok("5;"));
    check_refresh("5; url=/x", Ok("5; url=https://app.example/x"));
    check_refresh("0.5 , URL = '/x'", Ok("0.5; url=https://app.example/x"));
    check_refresh("5;url=\"next\"", Ok("5; url=https://app.example/team/next"));
    check_refresh("0; url=https://evil.example/", Err(Kind::OtherOrigin));
    check_refresh("0; url='https://evil.example/'", Err(Kind::OtherOrigin));
    check_refresh("0; url=//evil.example/", Err(Kind::NetworkPath));
    check_refresh("0; url=javascript:alert(1)", Err(Kind::Scheme));
    check_refresh("0; url=", Err(Kind::Empty));
}

#[test]
fn a_refresh_that_browsers_read_in_their_own_way_is_refused() {
    for value in [
        "0; https://evil.example/",
        "0;//evil.example",
        "0 url=https://evil.example/",
        "0 https://evil.example/",
        "; url=https://evil.example/",
        ".; url=https://evil.example/",
        "0; url='/a'https://evil.example/",
        "0; url='/a",
        "0; url=/a; url=https://evil.example/",
        "0; ur=/a",
        "x",
        "",
    ] {
        let layer = RedirectLayer::new(policy(Enforcement::Enforce));
        let sent = through(&layer, "/", response(200, &[("refresh", value.as_bytes())]));
        assert!(values(&sent, "refresh").is_empty(), "{value}: {sent:?}");
    }
}

#[test]
fn a_proof_in_the_extensions_passes_with_its_own_location_only() {
    let client = RegisteredRedirectUris::parse(["com.example.app:/cb"]).unwrap();
    let answer = client.check("com.example.app:/cb").unwrap().with_query([("code", "x")]).unwrap();
    let layer = RedirectLayer::new(policy(Enforcement::Enforce));
    let sent = through(&layer, "/", answer.to_response());
    assert_eq!(
        (sent.status().as_u16(), values(&sent, "location")),
        (303, vec!["com.example.app:/cb?code=x"])
    );

    let mut changed = answer.to_response::<()>();
    changed.headers_mut().insert("location", HeaderValue::from_static("com.example.app:/cb?code=y"));
    assert_eq!(values(&through(&layer, "/", changed), "location"), ["https://app.example/home"]);
}

#[test]
fn report_only_changes_nothing() {
    let layer = RedirectLayer::new(policy(Enforcement::ReportOnly));
    let headers: [(&str, &[u8]); 2] = [("location", b"/\\evil.example"), ("refresh", b"0;//evil.example")];
    let sent = through(&layer, "/", response(301, &headers));
    assert_eq!(sent.status(), 301);
    assert_eq!(values(&sent, "location"), ["/\\evil.example"]);
    assert_eq!(values(&sent, "refresh"), ["0;//evil.example"]);
    assert!(sent.extensions().get::<RedirectError>().is_none());
}

#[test]
fn every_decision_is_recorded_without_the_target() {
    for (enforcement, code) in
        [(Enforcement::Enforce, "//evil.example/s3cret"), (Enforcement::ReportOnly, "//s3cret")]
    {
        let sink = Arc::new(MemorySink::default());
        let recorder = Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::Each);
        let clock = Arc::new(ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let layer = RedirectLayer::recording(policy(enforcement), clock, Arc::new(recorder));
        through(&layer, "/", response(302, &[("location", code.as_bytes()), ("refresh", b"0; url=/x")]));
        through(&layer, "/", response(200, &[]));
        let mut request = Request::new(());
        request.extensions_mut().insert(Principal::new("staff-17".parse().unwrap(), "acme".parse().unwrap()));
        let client = ClientAddress::new("203.0.113.7".parse().unwrap(), AddressSource::Peer);
        let id = CorrelationId::generate(&DeterministicRandom::new(3)).unwrap();
        let correlation = Correlation::new(id, None);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(correlation);
        let mut service = layer.layer(Canned(Some(response(302, &[("location", b"/ok")]))));
        block_on(service.call(request)).unwrap();

        let events = sink.events();
        let seen: Vec<_> = events
            .iter()
            .map(|event| (event.outcome(), event.reason().unwrap(), event.enforcement()))
            .collect();
        assert_eq!(
            seen,
            [
                (Outcome::Refused, "redirect.network_path", enforcement),
                (Outcome::Passed, "redirect.passed", enforcement),
                (Outcome::Passed, "redirect.passed", enforcement),
            ]
        );
        assert!(events.iter().all(|event| event.kind() == EventKind::CheckDecided));
        assert_eq!(events[0].actor(), &Actor::Anonymous);
        assert_eq!((events[0].client(), events[0].correlation()), (None, None));
        assert_eq!(events[2].actor().id().unwrap().as_str(), "staff-17");
        assert_eq!(
            (events[2].client(), events[2].correlation()),
            (Some(client.network()), Some(correlation))
        );
        assert!(!format!("{events:?}").contains("s3cret"));
    }
}
