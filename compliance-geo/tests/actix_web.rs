//! The checks as actix-web middleware, through actix's own test service and over a real connection.
#![cfg(feature = "actix-web")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, HttpServer, web};
use compliance_core::clock::{Clock, ManualClock};
use compliance_core::event::{PassPolicy, RecordErrorKind, Recorder, Sink};
use compliance_core::finding::Reason;
use compliance_core::request::Transport;
use compliance_core::testing::MemorySink;
use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
use compliance_geo::embargo::{Embargo, Policy};
use compliance_geo::integrations::Refusal;
use compliance_geo::integrations::actix_web::{
    ClientIpMiddleware, EmbargoMiddleware, Servable, TransportMiddleware,
};
use compliance_geo::transport::{SchemeSource, TransportRule};

const PROXY: &str = "10.0.0.1";

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at("2026-07-01T00:00:00Z".parse().unwrap()))
}

fn embargo() -> Embargo {
    Embargo::builder().policy(Policy::Us).build().unwrap()
}

fn proxies() -> TrustedProxies {
    TrustedProxies::parse(["10.0.0.0/8", "127.0.0.0/8", "unix:"]).unwrap()
}

fn client_ip() -> ClientIpMiddleware {
    ClientIpMiddleware::new(ClientIp::new(proxies(), Source::XForwardedFor).unwrap())
}

async fn whoami(Servable(place): Servable) -> String {
    place.country().map(|country| country.to_string()).unwrap_or_default()
}

fn run<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}

fn request(peer: Option<&str>, headers: &[(&'static str, &'static str)]) -> TestRequest {
    let mut request = TestRequest::get();
    if let Some(peer) = peer {
        request = request.peer_addr(SocketAddr::new(peer.parse().unwrap(), 4711));
    }
    headers.iter().fold(request, |request, header| request.append_header(*header))
}

async fn check<B: MessageBody>(response: ServiceResponse<B>, status: u16, code: Option<&str>) {
    assert_eq!(response.status().as_u16(), status, "{code:?}");
    let refusal = response.response().extensions().get::<Refusal>().copied();
    assert_eq!(refusal.map(|refusal| refusal.code().as_str()), code);
    if refusal.is_some() {
        assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
        assert_eq!(read_body(response).await, Refusal::BODY);
    }
}

#[test]
fn embargoed_is_451_review_403_and_servable_has_a_proof() {
    run(async {
        let app = App::new()
            .route("/", web::get().to(whoami))
            .wrap(EmbargoMiddleware::new(embargo(), clock()))
            .wrap(client_ip());
        let app = init_service(app).await;
        for (forwarded, status, code) in [
            ("1.1.1.1", 200, None),
            ("6.6.6.6, 1.1.1.1", 200, None),
            ("5.22.4.4", 451, Some("embargo.country")),
            ("::ffff:5.22.4.4", 451, Some("embargo.country")),
            ("192.168.1.1", 403, Some("embargo.not_public")),
            ("x", 403, Some("client_ip.malformed")),
        ] {
            check(
                call_service(&app, request(Some(PROXY), &[("x-forwarded-for", forwarded)]).to_request())
                    .await,
                status,
                code,
            )
            .await;
        }
        // Two lines are one list, in the order they came.
        let lines = [("x-forwarded-for", "5.22.4.4"), ("X-Forwarded-For", "1.1.1.1")];
        check(call_service(&app, request(Some(PROXY), &lines).to_request()).await, 200, None).await;
        // A stranger's header is not read.
        let stranger = request(Some("5.22.4.4"), &[("x-forwarded-for", "1.1.1.1")]);
        check(call_service(&app, stranger.to_request()).await, 451, Some("embargo.country")).await;
        check(call_service(&app, request(None, &[]).to_request()).await, 403, Some("client_ip.no_peer"))
            .await;
    });
}

#[test]
fn without_the_middleware_there_is_no_proof() {
    run(async {
        let app = init_service(App::new().route("/", web::get().to(whoami))).await;
        check(
            call_service(&app, request(Some(PROXY), &[]).to_request()).await,
            403,
            Some("embargo.no_proof"),
        )
        .await;
    });
}

#[test]
fn while_the_check_reports_handlers_can_do_without_the_proof() {
    async fn lenient(place: Option<Servable>) -> &'static str {
        if place.is_some() { "proof" } else { "no proof" }
    }
    run(async {
        let reporting = Embargo::builder().policy(Policy::Us).report_only().build().unwrap();
        for (embargo, status, code) in [(reporting, 200, None), (embargo(), 451, Some("embargo.country"))] {
            let app = App::new()
                .route("/", web::get().to(whoami))
                .route("/lenient", web::get().to(lenient))
                .wrap(EmbargoMiddleware::new(embargo, clock()))
                .wrap(client_ip());
            let app = init_service(app).await;
            let ask = |path, forwarded| {
                let request = request(Some(PROXY), &[("x-forwarded-for", forwarded)]).uri(path).to_request();
                call_service(&app, request)
            };
            check(ask("/lenient", "5.22.4.4").await, status, code).await;
            let strict = if status == 200 { (403, Some("embargo.no_proof")) } else { (status, code) };
            check(ask("/", "5.22.4.4").await, strict.0, strict.1).await;
            assert_eq!(read_body(ask("/lenient", "1.1.1.1").await).await, "proof");
        }
    });
}

#[test]
fn a_unix_socket_is_a_peer_where_it_is_configured() {
    run(async {
        let app = App::new()
            .route("/", web::get().to(whoami))
            .wrap(EmbargoMiddleware::new(embargo(), clock()))
            .wrap(client_ip().on_unix_socket());
        let app = init_service(app).await;
        check(
            call_service(&app, request(None, &[("x-forwarded-for", "1.1.1.1")]).to_request()).await,
            200,
            None,
        )
        .await;
        check(call_service(&app, request(None, &[]).to_request()).await, 403, Some("client_ip.missing"))
            .await;
    });
}

#[test]
fn plaintext_is_refused_and_tls_gets_hsts() {
    run(async {
        let rule = TransportRule::new(proxies(), SchemeSource::XForwardedProto).unwrap();
        let app = App::new()
            .route("/", web::get().to(|| async { "hello" }))
            .wrap(TransportMiddleware::new(rule, Transport::Plaintext));
        let app = init_service(app).await;
        let secure = request(Some(PROXY), &[("x-forwarded-proto", "https")]);
        let response = call_service(&app, secure.to_request()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers().get("strict-transport-security").unwrap(), "max-age=31536000");
        let plain = request(Some(PROXY), &[("x-forwarded-proto", "http")]);
        check(call_service(&app, plain.to_request()).await, 403, Some("transport.plaintext")).await;
        let stranger = request(Some("1.1.1.1"), &[("x-forwarded-proto", "https")]);
        check(call_service(&app, stranger.to_request()).await, 403, Some("transport.plaintext")).await;
    });
}

#[test]
fn refusals_are_recorded_before_they_are_answered() {
    run(async {
        let sink = Arc::new(MemorySink::default());
        let recorder = Arc::new(Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::default()));
        let app = App::new()
            .route("/", web::get().to(whoami))
            .wrap(EmbargoMiddleware::new(embargo(), clock()).recording(Arc::clone(&recorder)))
            .wrap(client_ip().recording(recorder, clock()));
        let app = init_service(app).await;
        let embargoed = || request(Some(PROXY), &[("x-forwarded-for", "5.22.4.4")]);
        check(call_service(&app, embargoed().to_request()).await, 451, Some("embargo.country")).await;
        check(
            call_service(&app, request(Some(PROXY), &[]).to_request()).await,
            403,
            Some("client_ip.missing"),
        )
        .await;
        assert_eq!(sink.events().len(), 2);
        sink.fail_with(Some(RecordErrorKind::Unavailable));
        check(call_service(&app, embargoed().to_request()).await, 503, Some("refusal.unrecorded")).await;
        check(
            call_service(&app, request(Some(PROXY), &[("x-forwarded-for", "1.1.1.1")]).to_request()).await,
            200,
            None,
        )
        .await;
    });
}

#[test]
fn report_only_lets_pass() {
    run(async {
        let embargo = Embargo::builder().policy(Policy::Us).report_only().build().unwrap();
        let rule = TransportRule::new(proxies(), SchemeSource::XForwardedProto).unwrap();
        let app = App::new()
            .route("/", web::get().to(|| async { "hello" }))
            .wrap(EmbargoMiddleware::new(embargo, clock()))
            .wrap(TransportMiddleware::new(rule, Transport::Plaintext).report_only())
            .wrap(client_ip().report_only());
        let app = init_service(app).await;
        check(call_service(&app, request(None, &[]).to_request()).await, 200, None).await;
        for scheme in ["http", "https"] {
            let headers = [("x-forwarded-proto", scheme)];
            let response = call_service(&app, request(Some(PROXY), &headers).to_request()).await;
            assert_eq!(response.status(), 200);
            assert!(!response.headers().contains_key("strict-transport-security"), "{scheme}");
        }
    });
}

#[test]
fn over_a_real_connection_the_peer_is_the_sockets() {
    run(async {
        let server = HttpServer::new(|| {
            App::new()
                .route("/", web::get().to(whoami))
                .wrap(EmbargoMiddleware::new(embargo(), clock()))
                .wrap(client_ip())
        });
        let server = server.workers(1).bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let ask = move |forwarded: &'static str| {
            web::block(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                write!(
                    stream,
                    "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {forwarded}\r\n\r\n"
                )
                .unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                answer
            })
        };
        let served = ask("1.1.1.1").await.unwrap();
        assert!(served.starts_with("HTTP/1.1 200") && served.ends_with("US"), "{served}");
        let refused = ask("5.22.4.4").await.unwrap();
        assert!(refused.starts_with("HTTP/1.1 451") && refused.ends_with(Refusal::BODY), "{refused}");
        handle.stop(false).await;
    });
}
