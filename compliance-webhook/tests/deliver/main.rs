//! Attempts over real sockets and TLS, on loopback.
#![cfg(feature = "deliver")]

#[cfg(feature = "axum")]
mod callback;
mod client_certificate;
#[cfg(feature = "connector")]
mod connector;
mod discovery;
mod faults;
mod handshake;
#[cfg(feature = "hickory")]
mod hickory;
#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "outbox")]
mod ownership;
mod receiver;
mod redirects;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, ManualClock, Timestamp};
use compliance_core::finding::{Reason, RiskAcceptance};
use compliance_webhook::deliver::{
    Attempt, BodyEnd, ContentType, Deliver as _, HttpsTransport, HttpsTransportBuilder, Outcome, Timeouts,
    TlsRoots, TlsVersions,
};
use compliance_webhook::endpoint::{EndpointPolicy, WebhookEndpoint};
use compliance_webhook::guard::{Guard, TableResolver};
use compliance_webhook::sign::{MessageId, Signer, SigningKey};
use compliance_webhook::verify::Verifier;
use receiver::{Authority, Certificate, Receiver, Script};

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const NAME: &str = "hooks.corp";
const PAYLOAD: &[u8] = b"{\"n\":1,\"bin\":\"\xff\"}";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An endpoint that may be on 127.0.0.1, and nowhere else inside.
fn endpoint(port: u16, path: &str) -> WebhookEndpoint {
    policy(port).check_at(&format!("https://{NAME}:{port}{path}"), now()).unwrap()
}

fn policy(port: u16) -> EndpointPolicy {
    let risk = RiskAcceptance::new("test", "the receiver is a test", Timestamp::MAX).unwrap();
    let policy = EndpointPolicy::new().with_ports(&[port]).unwrap().dangerous(risk);
    policy.allow_receiver(NAME, ip("127.0.0.1"), 32).unwrap().build()
}

fn table() -> TableResolver {
    TableResolver::new().with(NAME, &[ip("127.0.0.1")])
}

fn transport(authority: &Authority) -> HttpsTransportBuilder<TableResolver> {
    let short = Duration::from_millis(400);
    HttpsTransport::builder(Arc::new(ManualClock::at(now())))
        .with_resolver(table())
        .with_roots(TlsRoots::none().with_pem(&authority.pem()).unwrap())
        .with_timeouts(Timeouts { response: short, tls: short, ..Timeouts::default() })
}

fn signer() -> Signer {
    Signer::new(SigningKey::parse(SECRET).unwrap())
}

async fn deliver(builder: HttpsTransportBuilder<TableResolver>, endpoint: &WebhookEndpoint) -> Outcome {
    let id = MessageId::parse("msg_1").unwrap();
    builder.build().unwrap().deliver(Attempt::new(endpoint, &id, PAYLOAD, &signer())).await
}

/// What a receiver that answers `response` gets out of a default transport.
async fn answered_with(response: &[u8]) -> Outcome {
    let authority = Authority::new();
    let receiver =
        Receiver::start(authority.issue(&Certificate::for_name(NAME)), Script::answer(response)).await;
    deliver(transport(&authority), &endpoint(receiver.port(), "/in")).await
}

#[track_caller]
fn check(outcome: &Outcome, expected: &str) {
    assert_eq!(outcome.code().as_str(), expected, "{outcome:?}");
    if let Outcome::Unanswered(error) = outcome {
        assert_eq!(error.reason().public_code().as_str(), "endpoint.unreachable");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("127.0.0.1") && !shown.contains(NAME), "{shown}");
    }
}

#[tokio::test]
async fn a_delivered_message_verifies_on_the_other_side() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 No Content\r\n\r\n")).await;
    let endpoint = endpoint(receiver.port(), "/in?team=7");
    let outcome = deliver(transport(&authority), &endpoint).await;
    check(&outcome, "deliver.delivered");
    assert!(outcome.is_delivered());

    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.line, "POST /in?team=7 HTTP/1.1");
    assert_eq!(request.header("host"), Some(format!("{NAME}:{}", receiver.port()).as_str()));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.sni.as_deref(), Some(NAME));
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let verified =
        Verifier::new(SigningKey::parse(SECRET).unwrap()).verify(headers, &request.body[..], now()).unwrap();
    assert_eq!(verified.message().id().as_str(), "msg_1");
    assert_eq!(verified.into_body(), PAYLOAD);
}

#[tokio::test]
async fn the_id_stays_and_the_timestamp_is_fresh_on_each_attempt() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver =
        Receiver::start(certificate, Script::answer(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n")).await;
    let clock = Arc::new(ManualClock::at(now()));
    let transport = HttpsTransport::builder(clock.clone())
        .with_resolver(table())
        .with_roots(TlsRoots::none().with_pem(&authority.pem()).unwrap())
        .build()
        .unwrap();
    let endpoint = endpoint(receiver.port(), "/");
    let id = MessageId::parse("msg_1").unwrap();
    for _ in 0..2 {
        let cloud = ContentType::CLOUDEVENTS_JSON;
        let signer = signer();
        let attempt = Attempt::new(&endpoint, &id, PAYLOAD, &signer).with_content_type(&cloud);
        check(&transport.deliver(attempt).await, "deliver.status");
        clock.advance(Duration::from_secs(300));
    }
    let requests = receiver.requests();
    let header = |name| [0, 1].map(|at: usize| requests[at].header(name).unwrap().to_owned());
    assert_eq!(header("webhook-id"), ["msg_1", "msg_1"]);
    assert_eq!(header("webhook-timestamp"), ["1795262400", "1795262700"]);
    assert_eq!(header("content-type"), ["application/cloudevents+json"; 2]);
    let [first, second] = header("webhook-signature");
    assert_ne!(first, second);
}

#[tokio::test]
async fn statuses_are_told_and_redirects_are_not_followed() {
    for (response, status, code) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", 200, "deliver.delivered"),
        ("HTTP/1.1 299 Fine\r\ncontent-length: 0\r\n\r\n", 299, "deliver.delivered"),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", 500, "deliver.status"),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", 404, "deliver.status"),
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", 410, "deliver.gone"),
        (
            "HTTP/1.1 302 Found\r\nlocation: https://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            302,
            "deliver.redirect",
        ),
        ("HTTP/1.1 308 Moved\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n", 308, "deliver.redirect"),
        ("HTTP/1.1 304 Not Modified\r\n\r\n", 304, "deliver.redirect"),
    ] {
        let outcome = answered_with(response.as_bytes()).await;
        check(&outcome, code);
        assert_eq!(outcome.status(), Some(status));
        assert_eq!(outcome.is_delivered(), (200..300).contains(&status));
    }
}

#[tokio::test]
async fn retry_after_comes_raw_and_bounded() {
    let long = "9".repeat(65);
    for (value, expected) in [
        ("120", Some("120")),
        ("Wed, 21 Oct 2026 07:28:00 GMT", Some("Wed, 21 Oct 2026 07:28:00 GMT")),
        ("1e30", Some("1e30")),
        (long.as_str(), None),
        ("\u{e9}", None),
    ] {
        let response = format!("HTTP/1.1 503 Busy\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
        let Outcome::Answered(answer) = answered_with(response.as_bytes()).await else { panic!("{value}") };
        assert_eq!((answer.status(), answer.retry_after()), (503, expected));
    }
}

async fn body_end(response: Vec<u8>, hang: bool) -> BodyEnd {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let script = if hang { Script::answer_and_hang(&response) } else { Script::answer(&response) };
    let receiver = Receiver::start(certificate, script).await;
    match deliver(transport(&authority), &endpoint(receiver.port(), "/")).await {
        Outcome::Answered(answer) => {
            // The receiver said 200: it has the message, whatever becomes of its body.
            assert!(answer.is_success());
            answer.body_end()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bodies_are_read_to_a_cap_and_a_deadline() {
    let with_body = |len: usize, sent: usize| {
        [format!("HTTP/1.1 200 OK\r\ncontent-length: {len}\r\n\r\n").into_bytes(), vec![b'x'; sent]].concat()
    };
    let cap = HttpsTransport::DEFAULT_MAX_BODY_LEN;
    assert_eq!(body_end(with_body(cap, cap), false).await, BodyEnd::Complete);
    assert_eq!(body_end(with_body(1 << 30, 1 << 20), true).await, BodyEnd::Capped);
    assert_eq!(body_end(with_body(100, 10), true).await, BodyEnd::TimedOut);
    assert_eq!(body_end(with_body(100, 10), false).await, BodyEnd::Broken);
    let endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec();
    assert_eq!(body_end(endless, false).await, BodyEnd::Broken);
}

#[tokio::test]
async fn an_excerpt_is_kept_only_on_request_and_as_it_came() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    // The head of a gzip stream: nothing is unpacked.
    let response =
        b"HTTP/1.1 400 Bad\r\ncontent-encoding: gzip\r\ncontent-length: 8\r\n\r\n\x1f\x8b\x08\0\0\0\0\0";
    let receiver = Receiver::start(certificate, Script::answer(response)).await;
    let endpoint = endpoint(receiver.port(), "/");
    for (len, expected) in [(0, None), (3, Some(&b"\x1f\x8b\x08"[..])), (99, Some(b"\x1f\x8b\x08\0\0\0\0\0"))]
    {
        let outcome = deliver(transport(&authority).with_excerpt(len), &endpoint).await;
        let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
        assert_eq!(answer.excerpt(), expected);
        assert!(!format!("{answer:?}").contains("31, 139"));
    }
}

#[tokio::test]
async fn no_answer_is_no_delivery() {
    let authority = Authority::new();
    for (script, code) in [
        (Script::answer(b""), "deliver.response"),
        (Script::answer(b"SSH-2.0-OpenSSH_9.9\r\n"), "deliver.response"),
        (Script::answer(b"HTTP/1.1 200"), "deliver.response"),
        (
            Script::answer(&[b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &vec![b'y'; 1 << 20]].concat()),
            "deliver.response",
        ),
        (
            Script::answer(
                &[b"HTTP/1.1 200 OK\r\n".as_slice(), &b"x: y\r\n".repeat(1_000), b"\r\n"].concat(),
            ),
            "deliver.response",
        ),
        (Script::answer_and_hang(b""), "deliver.response_timeout"),
        (Script::answer_and_hang(b"HTTP/1.1 200 OK\r\nx: "), "deliver.response_timeout"),
        (Script::HangBeforeTls, "deliver.tls_timeout"),
        (Script::PlainText, "deliver.tls"),
    ] {
        let certificate = authority.issue(&Certificate::for_name(NAME));
        let receiver = Receiver::start(certificate, script).await;
        check(&deliver(transport(&authority), &endpoint(receiver.port(), "/")).await, code);
    }
}

#[tokio::test]
async fn a_closed_port_is_no_delivery() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    check(&deliver(transport(&Authority::new()), &endpoint(port, "/")).await, "deliver.connect");
}

#[tokio::test]
async fn certificates_are_for_the_name_in_time_and_from_a_trusted_authority() {
    let authority = Authority::new();
    let good = Certificate::for_name(NAME);
    let cases = [
        (authority.issue(&good), "deliver.delivered"),
        (authority.issue(&Certificate::for_name("other.corp")), "deliver.tls_name"),
        (authority.issue(&Certificate::for_name("127.0.0.1")), "deliver.tls_name"),
        (authority.issue(&good.clone().valid(2020, 2026)), "deliver.tls_expired"),
        (authority.issue(&good.clone().valid(2027, 2030)), "deliver.tls_expired"),
        (Authority::new().issue(&good), "deliver.tls_issuer"),
        (good.self_signed(), "deliver.tls_issuer"),
    ];
    for (certificate, code) in cases {
        let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
        check(&deliver(transport(&authority), &endpoint(receiver.port(), "/")).await, code);
        assert_eq!(receiver.requests().len(), usize::from(code == "deliver.delivered"), "{code}");
    }
    // Mozilla's list does not know our authority.
    let receiver = Receiver::start(authority.issue(&good), Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let public = transport(&authority).with_roots(TlsRoots::webpki());
    check(&deliver(public, &endpoint(receiver.port(), "/")).await, "deliver.tls_issuer");
}

#[tokio::test]
async fn tls_1_2_needs_the_intermediate_policy() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start_tls12(certificate, Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let endpoint = endpoint(receiver.port(), "/");
    check(&deliver(transport(&authority), &endpoint).await, "deliver.tls_version");
    let wider = transport(&authority).with_versions(TlsVersions::Intermediate);
    check(&deliver(wider, &endpoint).await, "deliver.delivered");
}

#[tokio::test]
async fn a_name_that_turns_inside_between_attempts_gets_no_second_packet() {
    let authority = Authority::new();
    let certificate = || authority.issue(&Certificate::for_name(NAME));
    let answer = || Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n");
    let first = Receiver::start(certificate(), answer()).await;
    let second = Receiver::start_on("127.0.0.2", first.port(), certificate(), answer()).await;
    let rebinding = table().with(NAME, &[ip("127.0.0.2")]).with(NAME, &[ip("127.0.0.1"), ip("127.0.0.2")]);
    let transport = transport(&authority).with_resolver(rebinding).build().unwrap();
    let endpoint = endpoint(first.port(), "/");
    let id = MessageId::parse("msg_1").unwrap();
    for code in ["deliver.delivered", "address.loopback", "address.loopback"] {
        let signer = signer();
        check(&transport.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await, code);
    }
    assert_eq!((first.connections(), second.connections()), (1, 0));
}

#[tokio::test]
async fn the_name_is_looked_up_once_per_attempt() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let table = Arc::new(table());
    let transport = transport(&authority).with_resolver(Arc::clone(&table)).build().unwrap();
    let endpoint = endpoint(receiver.port(), "/");
    let id = MessageId::parse("msg_1").unwrap();
    for lookups in 1..=3 {
        let signer = signer();
        check(&transport.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await, "deliver.delivered");
        assert_eq!(table.lookups(), lookups);
    }
}

/// Deliveries over one transport, and how many connections the receiver saw.
async fn connections(max_idle: usize, requests: usize, attempts: usize) -> usize {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::KeepAlive { requests }).await;
    let transport = transport(&authority).with_max_idle(max_idle).build().unwrap();
    let endpoint = endpoint(receiver.port(), "/");
    let id = MessageId::parse("msg_1").unwrap();
    for _ in 0..attempts {
        let signer = signer();
        check(&transport.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await, "deliver.delivered");
    }
    assert_eq!(receiver.requests().len(), attempts);
    receiver.connections()
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_again_at_once() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::KeepAlive { requests: 1 }).await;
    let transport = transport(&authority).build().unwrap();
    let endpoint = endpoint(receiver.port(), "/");
    let id = MessageId::parse("msg_1").unwrap();
    // The second one is read by a server that then closes the connection.
    for expected in ["deliver.delivered", "deliver.response", "deliver.delivered"] {
        let signer = signer();
        check(&transport.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await, expected);
    }
    assert_eq!((receiver.requests().len(), receiver.connections()), (2, 2));
}

#[tokio::test]
async fn connections_are_kept() {
    assert_eq!(connections(4, 100, 5).await, 1);
    assert_eq!(connections(0, 100, 5).await, 5);
}

#[tokio::test]
async fn a_kept_connection_is_not_used_once_its_address_is_no_longer_the_names() {
    let authority = Authority::new();
    let certificate = || authority.issue(&Certificate::for_name(NAME));
    let first = Receiver::start(certificate(), Script::KeepAlive { requests: 9 }).await;
    let second =
        Receiver::start_on("127.0.0.2", first.port(), certificate(), Script::KeepAlive { requests: 9 }).await;
    let risk = RiskAcceptance::new("test", "the receivers are tests", Timestamp::MAX).unwrap();
    let policy = EndpointPolicy::new().with_ports(&[first.port()]).unwrap().dangerous(risk);
    let policy = policy.allow_receiver(NAME, ip("127.0.0.0"), 30).unwrap().build();
    let endpoint = policy.check_at(&format!("https://{NAME}:{}/", first.port()), now()).unwrap();
    let moving = ["127.0.0.1", "127.0.0.2", "10.0.0.1", "127.0.0.1", "127.0.0.2"]
        .iter()
        .fold(TableResolver::new(), |table, address| table.with(NAME, &[ip(address)]));
    let transport = transport(&authority).with_resolver(moving).build().unwrap();
    let id = MessageId::parse("msg_1").unwrap();
    let delivered = "deliver.delivered";
    for (code, seen) in [
        (delivered, (1, 0)),
        (delivered, (1, 1)),
        ("address.private", (1, 1)),
        (delivered, (2, 1)),
        (delivered, (2, 2)),
    ] {
        let signer = signer();
        check(&transport.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await, code);
        assert_eq!((first.requests().len(), second.requests().len()), seen);
    }
    assert_eq!((first.connections(), second.connections()), (1, 1));
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_is_dead() {
    let authority = Authority::new();
    let receiver = Receiver::start(
        authority.issue(&Certificate::for_name("localhost")),
        Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n"),
    )
    .await;
    let risk = RiskAcceptance::new("test", "the receiver is a test", Timestamp::MAX).unwrap();
    let policy = EndpointPolicy::new()
        .with_ports(&[receiver.port()])
        .unwrap()
        .dangerous(risk)
        .allow_loopback()
        .build();
    let local = policy.check_at(&format!("https://localhost:{}/", receiver.port()), now()).unwrap();
    let dead_first = TableResolver::new().with("localhost", &[ip("127.0.0.3"), ip("127.0.0.1")]);
    check(&deliver(transport(&authority).with_resolver(dead_first), &local).await, "deliver.delivered");
}

#[tokio::test]
async fn unresolved_and_refused_names_are_not_dialled() {
    let authority = Authority::new();
    let endpoint = endpoint(8443, "/");
    let empty = TableResolver::new();
    check(&deliver(transport(&authority).with_resolver(empty), &endpoint).await, "deliver.resolve");
    let nothing = TableResolver::new().with(NAME, &[]);
    check(&deliver(transport(&authority).with_resolver(nothing), &endpoint).await, "guard.no_answers");
    let own = Guard::new().with_own_address(ip("127.0.0.1"));
    check(&deliver(transport(&authority).with_guard(own), &endpoint).await, "guard.own_address");
    let metadata = TableResolver::new().with(NAME, &[ip("169.254.169.254")]);
    check(&deliver(transport(&authority).with_resolver(metadata), &endpoint).await, "address.cloud_metadata");
}

/// A clock that is read a minute later each time.
#[derive(Debug)]
struct Slow(ManualClock);

impl Clock for Slow {
    fn now(&self) -> Timestamp {
        self.0.advance(Duration::from_secs(60));
        self.0.now()
    }
}

#[tokio::test]
async fn an_address_that_expires_before_its_turn_is_not_dialled() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let builder = HttpsTransport::builder(Arc::new(Slow(ManualClock::at(now()))))
        .with_resolver(table())
        .with_roots(TlsRoots::none().with_pem(&authority.pem()).unwrap());
    check(&deliver(builder, &endpoint(receiver.port(), "/")).await, "guard.expired");
    assert_eq!(receiver.connections(), 0);
}

/// Systems that dial themselves for the unspecified address show what a transparent proxy would: another peer.
#[cfg(unix)]
#[tokio::test]
async fn a_connection_to_another_peer_carries_nothing() {
    let authority = Authority::new();
    let name = "hooks.example.net";
    let certificate = authority.issue(&Certificate::for_name(name));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let port = receiver.port();
    let endpoint = EndpointPolicy::new().with_ports(&[port]).unwrap();
    let endpoint = endpoint.check(&format!("https://{name}:{port}/")).unwrap();
    let risk = RiskAcceptance::new("test", "the receiver is a test", Timestamp::MAX).unwrap();
    let builder = transport(&authority)
        .with_resolver(TableResolver::new().with(name, &[ip("0.0.0.0")]))
        .with_guard(Guard::new().dangerous(risk).report_only());
    check(&deliver(builder, &endpoint).await, "guard.peer");
    assert!(receiver.requests().is_empty());
}

#[test]
fn no_proxy_is_asked_whatever_the_environment_says() {
    check_that_no_proxy_is_asked("a_delivered_message_verifies_on_the_other_side");
}

/// Runs the test once more, in a process whose environment names a proxy.
fn check_that_no_proxy_is_asked(test: &str) {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test]);
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, &url);
    }
    let done = child.env_remove("NO_PROXY").env_remove("no_proxy").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(proxy.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn transports_that_can_never_deliver_are_not_built() {
    let builder = || HttpsTransport::builder(Arc::new(ManualClock::at(now())));
    assert_eq!(builder().with_roots(TlsRoots::none()).build().unwrap_err().code(), "deliver.no_roots");
    assert_eq!(builder().with_user_agent("a\r\nb").build().unwrap_err().code(), "deliver.user_agent");
    for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert_eq!(TlsRoots::none().with_pem(pem).unwrap_err().code(), "deliver.certificate");
    }
}

#[test]
fn content_types_are_header_values() {
    for (text, ok) in [
        ("application/json", true),
        ("text/plain; charset=utf-8", true),
        ("", false),
        ("json", false),
        ("/json", false),
        ("a/b\r\nx: y", false),
        ("a/b  c", false),
        ("a/ü", false),
    ] {
        assert_eq!(ContentType::parse(text).is_ok(), ok, "{text:?}");
    }
}

#[cfg(feature = "http-signatures")]
#[tokio::test]
async fn a_request_may_be_signed_as_rfc_9421_has_it_too() {
    use compliance_webhook::sign::{HttpSigner, KeyId};
    use compliance_webhook::verify::RequestHead;

    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let (key, key_id) = (SigningKey::parse(SECRET).unwrap(), KeyId::parse("billing").unwrap());
    let http_signer = HttpSigner::new(key_id.clone(), key.clone());
    let endpoint = endpoint(receiver.port(), "/in?team=7");
    let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
    let attempt = Attempt::new(&endpoint, &id, PAYLOAD, &signer).with_http_signer(&http_signer);
    check(&transport(&authority).build().unwrap().deliver(attempt).await, "deliver.delivered");

    let request = &receiver.requests()[0];
    let fields = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let head = RequestHead::new("POST", "/in?team=7", fields.clone());
    let verifier = Verifier::http_signatures(endpoint.authority(), key_id, key.clone()).unwrap();
    let verified = verifier.verify(&head, &request.body[..], now());
    assert_eq!(verified.unwrap().message().id(), &id);
    assert!(Verifier::new(key).verify(fields, &request.body[..], now()).is_ok());
}

#[cfg(feature = "cloud-events")]
#[tokio::test]
async fn an_event_in_binary_mode_has_its_attributes_as_headers() {
    use compliance_webhook::cloud_event::CloudEvent;

    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let id = MessageId::parse("msg_1").unwrap();
    let event =
        CloudEvent::new(id.clone(), "/accounts", "created").unwrap().with_json(b"{}").unwrap().binary();
    let (endpoint, signer) = (endpoint(receiver.port(), "/"), signer());
    let attempt = Attempt::new(&endpoint, &id, PAYLOAD, &signer).with_binary_event(&event);
    check(&transport(&authority).build().unwrap().deliver(attempt).await, "deliver.delivered");
    let request = &receiver.requests()[0];
    assert_eq!(request.header("ce-source"), Some("/accounts"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, b"{}");
}

#[cfg(feature = "platform-roots")]
#[test]
fn the_systems_authorities_are_some_or_an_error() {
    match TlsRoots::platform() {
        Ok(roots) => assert_ne!(format!("{roots:?}"), "TlsRoots(0)"),
        Err(error) => assert_eq!(error.code(), "deliver.no_roots"),
    }
}
