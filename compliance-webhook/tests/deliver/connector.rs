//! The guard under somebody else's client: hyper-util's.

use std::sync::Arc;

use bytes::Bytes;
use compliance_core::clock::ManualClock;
use compliance_core::event::{Event, EventKind, PassPolicy, Recorder, Sink};
use compliance_core::finding::{Enforcement, Outcome, Reason, RiskAcceptance};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::TlsRoots;
use compliance_webhook::endpoint::EndpointPolicy;
use compliance_webhook::guard::{
    ConnectError, Guard, GuardedConnector, GuardedConnectorBuilder, TableResolver,
};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::receiver::{Authority, Certificate, Receiver, Script};
use super::{NAME, ip, now, table};

/// `NAME` may be on 127.0.0.1, localhost on loopback, nothing else inside.
fn policy(port: u16) -> EndpointPolicy {
    let risk = RiskAcceptance::new("test", "the receiver is a test", "2026-12-01T00:00:00Z".parse().unwrap());
    EndpointPolicy::new()
        .with_ports(&[443, port])
        .unwrap()
        .dangerous(risk.unwrap())
        .allow_receiver(NAME, ip("127.0.0.1"), 32)
        .unwrap()
        .allow_loopback()
        .build()
}

fn connector(authority: &Authority, port: u16) -> GuardedConnectorBuilder<TableResolver> {
    GuardedConnector::builder(Arc::new(ManualClock::at(now())))
        .with_resolver(table())
        .with_endpoints(policy(port))
        .with_roots(TlsRoots::none().with_pem(&authority.pem()).unwrap())
}

/// The status, or the operator's code.
async fn post<R: compliance_webhook::guard::Resolve + 'static>(
    connector: &GuardedConnector<R>,
    uri: &str,
) -> Result<u16, &'static str> {
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector.clone());
    send(&client, uri).await
}

async fn send<R: compliance_webhook::guard::Resolve + 'static>(
    client: &Client<GuardedConnector<R>, Full<Bytes>>,
    uri: &str,
) -> Result<u16, &'static str> {
    let request = http::Request::post(uri).header("content-length", 2).body(Full::from("{}")).unwrap();
    let error = match client.request(request).await {
        Ok(response) => return Ok(response.status().as_u16()),
        Err(error) => error,
    };
    let cause = std::error::Error::source(&error).unwrap();
    // What a service prints of an error chain says no more than the public code.
    assert_eq!(cause.to_string(), "endpoint.unreachable");
    assert!(cause.source().is_none());
    let cause = cause.downcast_ref::<ConnectError>().unwrap();
    assert_eq!(cause.public_code().as_str(), "endpoint.unreachable");
    Err(cause.code())
}

#[tokio::test]
async fn another_client_reaches_what_passes_with_host_and_sni_kept() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 202 Ok\r\n\r\n")).await;
    let connector = connector(&authority, receiver.port()).build().unwrap();
    let uri = format!("https://{NAME}:{}/in", receiver.port());
    assert_eq!(post(&connector, &uri).await, Ok(202));
    let request = receiver.requests().pop().unwrap();
    assert_eq!(request.sni.as_deref(), Some(NAME));
    assert_eq!(request.header("host"), Some(format!("{NAME}:{}", receiver.port()).as_str()));
}

#[tokio::test]
async fn a_literal_is_judged_although_clients_do_not_resolve_it() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name("127.0.0.1"));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 202 Ok\r\n\r\n")).await;
    let port = receiver.port();
    let accepted = connector(&authority, port).build().unwrap();
    assert_eq!(post(&accepted, &format!("https://127.0.0.1:{port}/")).await, Ok(202));

    let literals = EndpointPolicy::new().with_ports(&[443, port]).unwrap().with_address_literals();
    let strict = connector(&authority, port).with_endpoints(literals).build().unwrap();
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0x7f.1",
        "2130706433",
        "169.254.169.254",
        "[64:ff9b::a00:1]",
    ] {
        let refused = post(&strict, &format!("https://{host}:{port}/")).await;
        assert_eq!(refused, Err("endpoint.address_literal"), "{host}");
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn only_https_to_listed_ports_and_public_names() {
    let authority = Authority::new();
    let connector = connector(&authority, 8443).build().unwrap();
    for (uri, code) in [
        ("http://hooks.example.net/", "endpoint.scheme"),
        ("https://hooks.example.net:22/", "endpoint.port"),
        ("https://metadata.google.internal/", "endpoint.internal_name"),
        ("https://user@hooks.example.net/", "endpoint.userinfo"),
        ("https://hooks.example.net/", "deliver.resolve"),
    ] {
        assert_eq!(post(&connector, uri).await, Err(code), "{uri}");
    }
}

#[tokio::test]
async fn every_request_has_its_own_look_up_and_connection() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::KeepAlive { requests: 9 }).await;
    let table = Arc::new(table());
    let connector = connector(&authority, receiver.port()).with_resolver(Arc::clone(&table)).build().unwrap();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    for requests in 1..=3 {
        assert_eq!(send(&client, &format!("https://{NAME}:{}/", receiver.port())).await, Ok(200));
        assert_eq!((receiver.connections(), table.lookups()), (requests, requests));
    }
}

#[tokio::test]
async fn a_name_that_turns_inside_gets_no_second_packet() {
    let authority = Authority::new();
    let certificate = || authority.issue(&Certificate::for_name(NAME));
    let first = Receiver::start(certificate(), Script::KeepAlive { requests: 9 }).await;
    let second =
        Receiver::start_on("127.0.0.2", first.port(), certificate(), Script::KeepAlive { requests: 9 }).await;
    let rebinding = table().with(NAME, &[ip("127.0.0.2")]).with(NAME, &[ip("127.0.0.1"), ip("127.0.0.2")]);
    let connector = connector(&authority, first.port()).with_resolver(rebinding).build().unwrap();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let uri = format!("https://{NAME}:{}/", first.port());
    for expected in [Ok(200), Err("address.loopback"), Err("address.loopback")] {
        assert_eq!(send(&client, &uri).await, expected);
    }
    assert_eq!((first.connections(), second.connections()), (1, 0));
}

#[tokio::test]
async fn every_decision_is_recorded_and_an_accepted_risk_each_time() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 202 Ok\r\n\r\n")).await;
    let sink = Arc::new(MemorySink::default());
    let recorder = Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::Each);
    let names = table().with("hooks.example.net", &[ip("10.0.0.1")]);
    let connector = connector(&authority, receiver.port())
        .with_resolver(names)
        .with_recorder(Arc::new(recorder))
        .build()
        .unwrap();
    let uri = format!("https://{NAME}:{}/s3cret", receiver.port());
    assert_eq!(post(&connector, &uri).await, Ok(202));
    assert_eq!(post(&connector, "https://hooks.example.net/").await, Err("address.private"));
    assert_eq!(post(&connector, "https://127.0.0.2:22/").await, Err("endpoint.port"));
    let told = |event: &Event| (event.kind(), event.outcome(), event.reason().unwrap().to_owned());
    assert_eq!(
        sink.events().iter().map(told).collect::<Vec<_>>(),
        [
            (EventKind::CheckRiskAccepted, Outcome::Passed, "guard.risk_accepted".to_owned()),
            (EventKind::CheckDecided, Outcome::Refused, "address.private".to_owned()),
            (EventKind::CheckDecided, Outcome::Refused, "endpoint.port".to_owned()),
        ]
    );
    assert!(!format!("{:?}", sink.events()).contains("s3cret"));
}

#[tokio::test]
async fn a_trial_lets_pass_and_says_so_until_it_expires() {
    let authority = Authority::new();
    let name = "hooks.example.net";
    let certificate = authority.issue(&Certificate::for_name(name));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 202 Ok\r\n\r\n")).await;
    let sink = Arc::new(MemorySink::default());
    let recorder = Arc::new(Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::Each));
    let end = now().saturating_add(std::time::Duration::from_secs(60));
    let risk = RiskAcceptance::new("ops-lead", "roll-out", end).unwrap();
    let clock = Arc::new(ManualClock::at(now()));
    let connector = GuardedConnector::builder(clock.clone())
        .with_resolver(TableResolver::new().with(name, &[ip("127.0.0.1")]))
        .with_endpoints(EndpointPolicy::new().with_ports(&[receiver.port()]).unwrap())
        .with_roots(TlsRoots::none().with_pem(&authority.pem()).unwrap())
        .with_guard(Guard::new().dangerous(risk).report_only())
        .with_recorder(recorder)
        .build()
        .unwrap();
    let uri = format!("https://{name}:{}/", receiver.port());
    assert_eq!(post(&connector, &uri).await, Ok(202));
    clock.advance(std::time::Duration::from_secs(60));
    assert_eq!(post(&connector, &uri).await, Err("address.loopback"));
    let told = |event: &Event| (event.reason().unwrap().to_owned(), event.enforcement());
    assert_eq!(
        sink.events().iter().map(told).collect::<Vec<_>>(),
        [
            ("address.loopback".to_owned(), Enforcement::ReportOnly),
            ("address.loopback".to_owned(), Enforcement::Enforce),
        ]
    );
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_connector_that_trusts_nobody_is_not_built() {
    let builder = GuardedConnector::builder(Arc::new(ManualClock::at(now())));
    assert_eq!(builder.with_roots(TlsRoots::none()).build().unwrap_err().code(), "deliver.no_roots");
}

#[test]
fn no_proxy_is_asked_whatever_the_environment_says() {
    super::check_that_no_proxy_is_asked(
        "connector::another_client_reaches_what_passes_with_host_and_sni_kept",
    );
}
