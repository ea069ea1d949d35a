//! The layers, around a service that answers everybody.
#![cfg(feature = "tower")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use compliance_core::clock::{Clock, ManualClock};
use compliance_core::event::{
    AuditReceipt, Completion, Durability, Event, EventKind, FailurePolicy, PassPolicy, RecordErrorKind,
    Recorder, Recording, Sink,
};
use compliance_core::finding::{Enforcement, Outcome, Reason, RiskAcceptance};
use compliance_core::request::{ClientAddress, Transport};
use compliance_core::testing::{MemorySink, block_on};
use compliance_geo::client_ip::{ClientIp, OriginProof, Peer, Source, TrustedProxies};
use compliance_geo::embargo::{Embargo, Policy, ServablePlace};
use compliance_geo::integrations::Refusal;
use compliance_geo::integrations::tower::{ClientIpLayer, EmbargoLayer, TransportLayer};
use compliance_geo::transport::{Hsts, SchemeSource, TransportRule};
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

fn peer(extensions: &Extensions) -> Option<Peer> {
    extensions.get::<IpAddr>().copied().map(Peer::Ip)
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

fn client_ip() -> ClientIpLayer {
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

type SharedRecorder = Arc<Recorder<Arc<dyn Sink>>>;

fn recorder(passes: PassPolicy) -> (Arc<MemorySink>, SharedRecorder) {
    let sink = Arc::new(MemorySink::default());
    let recorder = Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, passes);
    (sink, Arc::new(recorder))
}

fn codes(sink: &MemorySink) -> Vec<(Outcome, String)> {
    sink.events()
        .iter()
        .map(|event| (event.outcome(), event.reason().unwrap_or_default().to_owned()))
        .collect()
}

#[test]
fn refusals_are_recorded_and_passes_counted() {
    let (sink, recorder) = recorder(PassPolicy::default());
    let layer = EmbargoLayer::new(embargo(), clock()).recording(Arc::clone(&recorder));
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

/// A refusal that was only counted would be an answer without a record.
#[test]
fn a_limit_on_failures_leaves_no_refusal_unrecorded() {
    let sink = Arc::new(MemorySink::default());
    let limit = FailurePolicy::new(1, Duration::from_secs(3_600));
    let recorder = Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::default());
    let recorder = Arc::new(recorder.limit_failures(limit));
    let layer = EmbargoLayer::new(embargo(), clock()).recording(Arc::clone(&recorder));
    let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(layer.layer(Echo));
    for _ in 0..3 {
        check(&mut service, request(Some("5.22.4.4"), &[]), 451, Refusal::BODY, Some("embargo.country"));
    }
    assert_eq!(codes(&sink), vec![(Outcome::Refused, "embargo.country".to_owned()); 3]);
}

#[test]
fn report_only_records_and_lets_pass_without_a_proof() {
    let (sink, recorder) = recorder(PassPolicy::Each);
    let embargo = Embargo::builder().policy(Policy::Us).report_only().build().unwrap();
    let layer = EmbargoLayer::new(embargo, clock()).recording(recorder);
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
    assert_eq!(response.headers().get("strict-transport-security").unwrap(), "max-age=31536000");
    let plain = request(Some(PROXY), &[("x-forwarded-proto", "http")]);
    let response = check(&mut service, plain, 403, Refusal::BODY, Some("transport.plaintext"));
    assert!(response.headers().get("location").is_none());
    let stranger = request(Some("1.1.1.1"), &[("x-forwarded-proto", "https")]);
    check(&mut service, stranger, 403, Refusal::BODY, Some("transport.plaintext"));
}

#[test]
fn hsts_says_what_was_configured_and_nothing_on_trial() {
    let layer = |hsts| {
        let rule = TransportRule::new(proxies(), SchemeSource::XForwardedProto).unwrap();
        TransportLayer::new(rule.with_hsts(hsts), Transport::Plaintext, peer)
    };
    let said = |layer: TransportLayer| {
        let secure = request(Some(PROXY), &[("x-forwarded-proto", "https")]);
        let response = check(&mut layer.layer(Echo), secure, 200, " proof=false tls=true", None);
        let value = response.headers().get("strict-transport-security");
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    let site = Hsts::default().max_age(Duration::from_secs(300)).include_subdomains();
    assert_eq!(said(layer(site)).unwrap(), "max-age=300; includeSubDomains");
    assert_eq!(said(layer(site.max_age(Duration::ZERO))).unwrap(), "max-age=0; includeSubDomains");
    assert_eq!(said(layer(Hsts::default()).report_only()), None);
    assert_eq!(said(layer(site).report_only()), None);
}

fn text(event: &Event, name: &str) -> String {
    let field = event.fields().iter().find(|field| field.name() == name).unwrap();
    format!("{:?}", field.value())
}

#[test]
fn events_say_which_programmes_and_who_said_what() {
    let (sink, recorder) = recorder(PassPolicy::default());
    let layer = EmbargoLayer::new(embargo(), clock()).recording(recorder);
    let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(layer.layer(Echo));
    block_on(service.call(request(Some("5.22.4.4"), &[]))).unwrap();
    let [event] = &sink.events()[..] else { panic!() };
    assert!(text(event, "programmes").contains("ofac.iran,ear.iran"));
    assert!(text(event, "voices").contains("iptoasn") && text(event, "voices").contains("=IR"));
    assert!(text(event, "reasons").contains("embargo.country"));
}

#[test]
fn refusals_of_client_address_and_transport_are_recorded() {
    let (sink, recorder) = recorder(PassPolicy::default());
    let rule = TransportRule::new(proxies(), SchemeSource::XForwardedProto).unwrap();
    let transport =
        TransportLayer::new(rule, Transport::Plaintext, peer).recording(Arc::clone(&recorder), clock());
    let mut service = client_ip().recording(Arc::clone(&recorder), clock()).layer(transport.layer(Echo));
    let mut ask = |peer, headers: &[(&'static str, &'static str)], code| {
        check(&mut service, request(peer, headers), 403, Refusal::BODY, Some(code));
    };
    ask(None, &[], "client_ip.no_peer");
    ask(Some(PROXY), &[("x-forwarded-for", "x")], "client_ip.malformed");
    ask(Some("198.51.100.7"), &[], "transport.plaintext");
    let events = sink.events();
    assert_eq!(
        codes(&sink),
        [
            (Outcome::Refused, "client_ip.no_peer".to_owned()),
            (Outcome::Refused, "client_ip.malformed".to_owned()),
            (Outcome::Refused, "transport.plaintext".to_owned()),
        ]
    );
    assert_eq!(events[1].client(), None);
    assert_eq!(events[2].client().unwrap().to_string(), "198.51.100.0/24");
    // What passed is counted: the third request's client address.
    recorder.flush("2026-07-01T00:01:00Z".parse().unwrap());
    let aggregated = sink.events().split_off(3);
    assert!(aggregated.iter().all(|event| event.kind() == EventKind::SystemPassesAggregated));
    assert_eq!(aggregated.len(), 1);
}

#[test]
fn without_a_record_a_refusal_is_no_statement() {
    let (sink, recorder) = recorder(PassPolicy::default());
    sink.fail_with(Some(RecordErrorKind::Full));
    let layer = EmbargoLayer::new(embargo(), clock()).recording(Arc::clone(&recorder));
    let mut service = client_ip().recording(recorder, clock()).layer(layer.layer(Echo));
    let mut ask = |forwarded, status, body, code| {
        check(&mut service, request(Some(PROXY), &[("x-forwarded-for", forwarded)]), status, body, code);
    };
    ask("5.22.4.4", 503, Refusal::BODY, Some("refusal.unrecorded"));
    ask("192.168.1.1", 503, Refusal::BODY, Some("refusal.unrecorded"));
    ask("nonsense", 503, Refusal::BODY, Some("refusal.unrecorded"));
    // Passes do not depend on the trail.
    ask("1.1.1.1", 200, "1.1.1.1 proof=true tls=false", None);
}

/// Keeps nothing until it is told to.
#[derive(Default)]
struct SlowSink(Mutex<Vec<(Event, Completion)>>);

impl Sink for SlowSink {
    fn record(&self, event: Event) -> Recording {
        let (completion, recording) = Recording::pending();
        self.0.lock().unwrap().push((event, completion));
        recording
    }
}

#[test]
fn a_refusal_is_answered_only_once_it_is_kept() {
    let sink = Arc::new(SlowSink::default());
    let recorder = Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::default());
    let layer = EmbargoLayer::new(embargo(), clock()).recording(Arc::new(recorder));
    let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(layer.layer(Echo));
    let mut ask = |answer: fn(Event, Completion)| {
        let mut response = pin!(service.call(request(Some("5.22.4.4"), &[])));
        let mut context = Context::from_waker(Waker::noop());
        assert!(response.as_mut().poll(&mut context).is_pending());
        let (event, completion) = sink.0.lock().unwrap().pop().unwrap();
        answer(event, completion);
        let Poll::Ready(Ok(response)) = response.poll(&mut context) else { panic!() };
        response.status().as_u16()
    };
    assert_eq!(
        ask(|event, completion| completion.complete(Ok(AuditReceipt::attest(
            event.digest(),
            1,
            Durability::Disk
        )))),
        451
    );
    assert_eq!(ask(|_, completion| drop(completion)), 503);
    // Another event's receipt says nothing of this one.
    assert_eq!(
        ask(|event, completion| {
            let other = Event::builder(event.kind(), event.outcome(), event.actor().clone(), event.at());
            let receipt = AuditReceipt::attest(other.build().unwrap().digest(), 1, Durability::Disk);
            completion.complete(Ok(receipt));
        }),
        503
    );
}

#[test]
fn every_check_can_only_report() {
    let (sink, recorder) = recorder(PassPolicy::Each);
    let rule = TransportRule::new(proxies(), SchemeSource::XForwardedProto).unwrap();
    let embargo = Embargo::builder().policy(Policy::Us).report_only().build().unwrap();
    let embargo = EmbargoLayer::new(embargo, clock()).recording(Arc::clone(&recorder));
    let transport = TransportLayer::new(rule, Transport::Plaintext, peer).report_only();
    let transport = transport.recording(Arc::clone(&recorder), clock());
    let client_ip = client_ip().report_only().recording(recorder, clock());
    let mut service = client_ip.layer(transport.layer(embargo.layer(Echo)));
    let broken = request(Some(PROXY), &[("x-forwarded-for", "x")]);
    let response = check(&mut service, broken, 200, " proof=false tls=false", None);
    assert!(response.headers().get("strict-transport-security").is_none());
    let events = sink.events();
    assert_eq!(
        events.iter().map(|event| event.reason().unwrap_or_default().to_owned()).collect::<Vec<_>>(),
        ["client_ip.malformed", "transport.plaintext", "client_ip.not_established"]
    );
    assert!(events.iter().all(|event| event.enforcement() == Enforcement::ReportOnly));
}

/// Two policies, one after the other: what the first proved is not the second's proof.
#[test]
fn a_proof_of_another_policy_does_not_outlive_a_verdict_that_only_reports() {
    let un = EmbargoLayer::new(Embargo::builder().policy(Policy::Un).build().unwrap(), clock());
    let reporting = Embargo::builder().policy(Policy::Us).report_only().build().unwrap();
    let us = EmbargoLayer::new(reporting, clock());
    let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(un.layer(us.layer(Echo)));
    let cuba = "200.55.128.1 proof=false tls=false";
    check(&mut service, request(Some("200.55.128.1"), &[]), 200, cuba, None);
    let us = "8.8.8.8 proof=true tls=false";
    check(&mut service, request(Some("8.8.8.8"), &[]), 200, us, None);
}

#[test]
fn events_warn_of_stale_data() {
    let (sink, recorder) = recorder(PassPolicy::default());
    let later = Arc::new(ManualClock::at("2026-11-21T00:00:00Z".parse().unwrap()));
    let layer = EmbargoLayer::new(embargo(), later).recording(recorder);
    let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(layer.layer(Echo));
    block_on(service.call(request(Some("5.22.4.4"), &[]))).unwrap();
    assert!(text(&sink.events()[0], "stale").contains("@2026-06-17"));
}

/// The warning is in the trail before anybody is refused: in each pass, and in the count of passes.
#[test]
fn passes_warn_of_stale_data() {
    let serve = |passes, now: &str| {
        let (sink, recorder) = recorder(passes);
        let now = Arc::new(ManualClock::at(now.parse().unwrap()));
        let layer = EmbargoLayer::new(embargo(), now).recording(Arc::clone(&recorder));
        let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(layer.layer(Echo));
        check(&mut service, request(Some("8.8.8.8"), &[]), 200, "8.8.8.8 proof=true tls=false", None);
        recorder.flush("2027-01-01T00:00:00Z".parse().unwrap());
        let [event] = &sink.events()[..] else { panic!() };
        event.clone()
    };
    let each = serve(PassPolicy::Each, "2026-11-21T00:00:00Z");
    assert_eq!(each.reason(), Some("embargo.servable_stale"));
    assert!(text(&each, "stale").contains("iptoasn") && text(&each, "stale").contains("@2026-06-17"));
    let counted = serve(PassPolicy::default(), "2026-11-21T00:00:00Z");
    assert!(text(&counted, "code").contains("embargo.servable_stale"));
    let fresh = serve(PassPolicy::Each, "2026-08-01T00:00:00Z");
    assert_eq!(fresh.reason(), Some("embargo.servable"));
    assert!(fresh.fields().is_empty());
}

#[test]
fn an_accepted_risk_is_recorded_each_time_with_who_accepted_it() {
    let (sink, recorder) = recorder(PassPolicy::default());
    let accepted =
        RiskAcceptance::new("head-of-compliance", "text only", "2026-08-01T00:00:00Z".parse().unwrap());
    let embargo = Embargo::builder()
        .policy(Policy::Us)
        .dangerous(accepted.unwrap())
        .serve_unknown_regions()
        .build()
        .unwrap();
    let layer = EmbargoLayer::new(embargo, clock()).recording(recorder);
    let mut service = ClientIpLayer::new(ClientIp::peer(), peer).layer(layer.layer(Echo));
    for _ in 0..2 {
        let body = "194.0.200.1 proof=true tls=false";
        check(&mut service, request(Some("194.0.200.1"), &[]), 200, body, None);
    }
    let events = sink.events();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.kind() == EventKind::CheckRiskAccepted));
    assert!(text(&events[0], "approver").contains("head-of-compliance"));
}

#[test]
fn the_edges_word_reaches_the_embargo_check() {
    let source = Source::CfConnectingIp(OriginProof::ClientCertificate);
    let rule = ClientIp::new(TrustedProxies::cloudflare().unwrap(), source).unwrap();
    let layer = ClientIpLayer::new(rule.with_edge_country().unwrap(), peer);
    let mut service = layer.layer(EmbargoLayer::new(embargo(), clock()).layer(Echo));
    let mut ask = |country, status, code| {
        let headers = [("cf-connecting-ip", "1.1.1.1"), ("cf-ipcountry", country)];
        let body = if status == 200 { "1.1.1.1 proof=true tls=false" } else { Refusal::BODY };
        check(&mut service, request(Some("172.64.0.1"), &headers), status, body, code);
    };
    ask("AU", 200, None);
    ask("XX", 200, None);
    ask("T1", 403, Some("embargo.tor"));
    ask("IR", 451, Some("embargo.country"));
    // The edge writes it once, and legibly.
    ask("AU, IR", 403, Some("client_ip.malformed"));
    ask("", 403, Some("client_ip.malformed"));
}

#[cfg(feature = "axum")]
#[test]
fn axum_reads_the_peer_and_hands_out_the_proof() {
    use axum::extract::ConnectInfo;
    use axum::routing::get;
    use compliance_geo::integrations::axum::{Servable, peer};

    async fn whoami(Servable(place): Servable) -> String {
        place.country().map(|country| country.to_string()).unwrap_or_default()
    }
    let guarded = || axum::Router::new().route("/", get(whoami));
    let layered = guarded()
        .layer(EmbargoLayer::new(embargo(), clock()))
        .layer(ClientIpLayer::new(ClientIp::peer(), peer));
    let ask = |mut app: axum::Router, from: &str| {
        let mut request = Request::new(axum::body::Body::empty());
        let address: std::net::SocketAddr = from.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(address));
        block_on(Service::<Request<_>>::call(&mut app, request)).unwrap().status().as_u16()
    };
    assert_eq!(ask(layered.clone(), "1.1.1.1:443"), 200);
    assert_eq!(ask(layered.clone(), "5.22.4.4:443"), 451);
    assert_eq!(ask(layered, "[::1]:443"), 403);
    // Without the layer there is no proof.
    assert_eq!(ask(guarded(), "1.1.1.1:443"), 403);
}

#[cfg(feature = "axum")]
#[test]
fn axum_serves_without_a_proof_only_where_the_check_reports() {
    use axum::extract::ConnectInfo;
    use axum::routing::get;
    use compliance_geo::integrations::axum::{Servable, peer};

    async fn strict(Servable(_): Servable) -> &'static str {
        "proof"
    }
    async fn lenient(place: Option<Servable>) -> &'static str {
        if place.is_some() { "proof" } else { "no proof" }
    }
    let routes = || axum::Router::new().route("/strict", get(strict)).route("/lenient", get(lenient));
    let (sink, recorder) = recorder(PassPolicy::default());
    let layered = |embargo| {
        let layer = EmbargoLayer::new(embargo, clock()).recording(Arc::clone(&recorder));
        routes().layer(layer).layer(ClientIpLayer::new(ClientIp::peer(), peer).report_only())
    };
    let reporting = layered(Embargo::builder().policy(Policy::Us).report_only().build().unwrap());
    let enforcing = layered(embargo());
    let check = |app: &axum::Router, path: &str, from: Option<&str>, status: u16, code: Option<&str>| {
        let mut request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        if let Some(from) = from {
            request.extensions_mut().insert(ConnectInfo(from.parse::<std::net::SocketAddr>().unwrap()));
        }
        let response = block_on(Service::<Request<_>>::call(&mut app.clone(), request)).unwrap();
        let refusal =
            response.extensions().get::<Refusal>().map(|refusal| refusal.code().as_str().to_owned());
        assert_eq!((response.status().as_u16(), refusal.as_deref()), (status, code), "{path} from {from:?}");
    };
    let (iran, kyiv, sydney) = (Some("5.22.4.4:443"), Some("194.0.200.1:443"), Some("1.1.1.1:443"));
    for from in [iran, kyiv, None] {
        check(&reporting, "/lenient", from, 200, None);
        check(&reporting, "/strict", from, 403, Some("embargo.no_proof"));
    }
    check(&reporting, "/lenient", sydney, 200, None);
    check(&reporting, "/strict", sydney, 200, None);
    assert!(sink.events().iter().all(|event| event.enforcement() == Enforcement::ReportOnly));
    // Enforced, neither handler is reached without a proof.
    for path in ["/lenient", "/strict"] {
        check(&enforcing, path, iran, 451, Some("embargo.country"));
        check(&enforcing, path, kyiv, 403, Some("embargo.region_unknown"));
        check(&enforcing, path, None, 403, Some("client_ip.not_established"));
        check(&enforcing, path, sydney, 200, None);
        // A route that the layer was forgotten on is not open.
        check(&routes(), path, sydney, 403, Some("embargo.no_proof"));
    }
    // What one policy reports does not open what the next one has to prove.
    let un = || EmbargoLayer::new(Embargo::builder().policy(Policy::Un).build().unwrap(), clock());
    let us =
        || EmbargoLayer::new(Embargo::builder().policy(Policy::Us).report_only().build().unwrap(), clock());
    let client = || ClientIpLayer::new(ClientIp::peer(), peer);
    let cuba = Some("200.55.128.1:443");
    check(&routes().layer(us()).layer(un()).layer(client()), "/strict", cuba, 403, Some("embargo.no_proof"));
    check(&routes().layer(us()).layer(un()).layer(client()), "/lenient", cuba, 200, None);
    check(&routes().layer(un()).layer(us()).layer(client()), "/strict", cuba, 200, None);
}
