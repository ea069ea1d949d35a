//! The layers, around a service that answers everybody.
#![cfg(feature = "tower")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use compliance_core::clock::{Clock, ManualClock};
use compliance_core::event::{PassPolicy, Recorder, Sink};
use compliance_core::finding::{Enforcement, Outcome, Reason};
use compliance_core::request::{ClientAddress, Transport};
use compliance_core::testing::{MemorySink, block_on};
use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
use compliance_geo::embargo::{Embargo, Policy, ServablePlace};
use compliance_geo::integrations::Refusal;
use compliance_geo::integrations::tower::{ClientIpLayer, EmbargoLayer, TransportLayer};
use compliance_geo::transport::{SchemeSource, TransportRule};
use http::{Extensions, Request, Response};
use tower_layer::Layer;
use tower_service::Service;

const PROXY: &str = "10.0.0.1";

/// Answers with what the layers put into the extensions.
#[derive(Clone)]
struct Echo;

impl Service<Request<()>> for Echo {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let extensions = request.extensions();
        let client = extensions.get::<ClientAddress>().map(|client| client.ip().to_string());
        let proof = extensions.get::<Arc<ServablePlace>>().is_some();
        let tls = extensions.get::<Transport>() == Some(&Transport::Tls);
        ready(Ok(Response::new(format!("{} proof={proof} tls={tls}", client.unwrap_or_default()))))
    }
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<IpAddr>().copied()
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at("2026-07-01T00:00:00Z".parse().unwrap()))
}

fn request(peer: Option<&str>, headers: &[(&'static str, &'static str)]) -> Request<()> {
    let mut request = Request::new(());
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer.parse::<IpAddr>().unwrap());
    }
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

fn proxies() -> TrustedProxies {
    TrustedProxies::parse(["10.0.0.0/8"]).unwrap()
}

fn client_ip() -> ClientIpLayer<fn(&Extensions) -> Option<IpAddr>> {
    ClientIpLayer::new(ClientIp::new(proxies(), Source::XForwardedFor).unwrap(), peer)
}

fn embargo() -> Embargo {
    Embargo::builder().policy(Policy::Us).build().unwrap()
}

#[track_caller]
fn check<S>(
    service: &mut S,
    request: Request<()>,
    status: u16,
    body: &str,
    code: Option<&str>,
) -> Response<String>
where
    S: Service<Request<()>, Response = Response<String>, Error = Infallible>,
{
    let response = block_on(service.call(request)).unwrap();
    assert_eq!(response.status(), status);
    assert_eq!(response.body(), body);
    let refusal = response.extensions().get::<Refusal>();
    assert_eq!(refusal.map(|refusal| refusal.code().as_str()), code);
    if refusal.is_some() {
        assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
    }
    response
}

#[test]
fn embargoed_is_451_and_review_403() {
    let mut service = client_ip().layer(EmbargoLayer::new(embargo(), clock()).layer(Echo));
    let mut ask = |forwarded, status, body, code| {
        check(&mut service, request(Some(PROXY), &[("x-forwarded-for", forwarded)]), status, body, code);
    };
    ask("1.1.1.1", 200, "1.1.1.1 proof=true tls=false", None);
    ask("5.22.4.4", 451, Refusal::BODY, Some("embargo.country"));
    ask("::ffff:5.22.4.4", 451, Refusal::BODY, Some("embargo.country"));
    ask("192.168.1.1", 403, Refusal::BODY, Some("embargo.not_public"));
    ask("nonsense", 403, Refusal::BODY, Some("client_ip.malformed"));
}

#[test]
fn what_was_not_established_is_refused() {
    let mut service = client_ip().layer(Echo);
    check(&mut service, request(None, &[]), 403, Refusal::BODY, Some("client_ip.no_peer"));
    check(&mut service, request(Some(PROXY), &[]), 403, Refusal::BODY, Some("client_ip.missing"));
    let mut service = EmbargoLayer::new(embargo(), clock()).layer(Echo);
    check(&mut service, request(Some("1.1.1.1"), &[]), 403, Refusal::BODY, Some("client_ip.not_established"));
}

#[test]
fn refusals_are_recorded_and_passes_counted() {
    let sink = Arc::new(MemorySink::default());
    let recorder = Arc::new(Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::default()));
    let layer = EmbargoLayer::recording(embargo(), clock(), Arc::clone(&recorder));
    let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(layer.layer(Echo));
    for ip in ["1.1.1.1", "5.22.4.4", "8.8.8.8", "127.0.0.1"] {
        block_on(service.call(request(Some(ip), &[]))).unwrap();
    }
    let events = sink.events();
    let outcomes: Vec<_> =
        events.iter().map(|event| (event.outcome(), event.reason().unwrap_or(""))).collect();
    assert_eq!(outcomes, [(Outcome::Refused, "embargo.country"), (Outcome::Review, "embargo.not_public")]);
    assert_eq!(events[0].client().unwrap().to_string(), "5.22.4.0/24");
    assert_eq!(events[0].snapshots().len(), 2);
    recorder.flush("2026-07-01T00:01:00Z".parse().unwrap());
    assert_eq!(sink.events().len(), 3);
}

#[test]
fn report_only_records_and_lets_pass_without_a_proof() {
    let sink = Arc::new(MemorySink::default());
    let recorder = Arc::new(Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::Each));
    let embargo = Embargo::builder().policy(Policy::Us).report_only().build().unwrap();
    let layer = EmbargoLayer::recording(embargo, clock(), recorder);
    let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(layer.layer(Echo));
    check(&mut service, request(Some("5.22.4.4"), &[]), 200, "5.22.4.4 proof=false tls=false", None);
    let [event] = &sink.events()[..] else { panic!() };
    assert_eq!((event.outcome(), event.enforcement()), (Outcome::Refused, Enforcement::ReportOnly));
}

#[test]
fn plaintext_is_refused_and_tls_gets_hsts() {
    let rule = TransportRule::new(proxies(), SchemeSource::XForwardedProto).unwrap();
    let mut service = TransportLayer::new(rule, Transport::Plaintext, peer).layer(Echo);
    let secure = request(Some(PROXY), &[("x-forwarded-proto", "https")]);
    let response = check(&mut service, secure, 200, " proof=false tls=true", None);
    assert!(
        response
            .headers()
            .get("strict-transport-security")
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("max-age=")
    );
    let plain = request(Some(PROXY), &[("x-forwarded-proto", "http")]);
    let response = check(&mut service, plain, 403, Refusal::BODY, Some("transport.plaintext"));
    assert!(response.headers().get("location").is_none());
    let stranger = request(Some("1.1.1.1"), &[("x-forwarded-proto", "https")]);
    check(&mut service, stranger, 403, Refusal::BODY, Some("transport.plaintext"));
}
