//! A receiver that consents later, by calling the sender over HTTPS.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use compliance_core::clock::{ManualClock, Timestamp};
use compliance_webhook::SigningKey;
use compliance_webhook::deliver::{
    Attempt, Deliver as _, HttpsTransport, HttpsTransportBuilder, Pace, TlsRoots,
};
use compliance_webhook::guard::TableResolver;
use compliance_webhook::handshake::{
    AllowedRate, CONSENT_LIFETIME, ConsentCallbacks, ConsentGrant, ConsentStore, Consenting, EndpointDigest,
    Handshake, MemoryConsents,
};
use compliance_webhook::schedule::Rate;
use compliance_webhook::sign::MessageId;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::receiver::{Authority, Certificate, Received, Receiver, Script, server_config};
use super::{NAME, PAYLOAD, check, endpoint, now, signer, table};

const SENDER: &str = "events.example.com";

/// axum behind TLS.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The sender's own service; its port.
async fn service(authority: &Authority, callbacks: ConsentCallbacks) -> u16 {
    async fn consented(grant: ConsentGrant) -> ConsentGrant {
        grant
    }
    let config = server_config(authority.issue(&Certificate::for_name(SENDER)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let routes = Router::new().route("/webhooks/consent", get(consented).post(consented));
    let tls = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
    tokio::spawn(async move { axum::serve(tls, routes.with_state(callbacks)).await });
    port
}

/// The time of the test.
#[derive(Debug)]
struct Now;

impl TimeProvider for Now {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(now().as_unix_seconds()).unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// What somebody gets who calls `url`, of a service on this port: the head of the answer, and its body.
async fn call(authority: &Authority, port: u16, method: &str, url: &str, header: &str) -> (String, String) {
    let target = url.strip_prefix("https://events.example.com").unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_details(provider, Arc::new(Now));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from(SENDER).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let request =
        format!("{method} {target} HTTP/1.1\r\nhost: {SENDER}\r\n{header}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // Closed without a farewell, maybe.
    let _ = stream.read_to_string(&mut answer).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// A receiver that knows nothing of the handshake, but whose administrator reads its log.
async fn receiver(authority: &Authority) -> Receiver {
    let reply = |request: &Received| match request.line.starts_with("OPTIONS ") {
        true => b"HTTP/1.1 200 OK\r\nallow: POST\r\ncontent-length: 0\r\n\r\n".to_vec(),
        false => b"HTTP/1.1 204 Ok\r\n\r\n".to_vec(),
    };
    Receiver::start(authority.issue(&Certificate::for_name(NAME)), Script::Reply(Arc::new(reply))).await
}

fn callbacks(clock: &Arc<ManualClock>, store: &Arc<dyn ConsentStore>) -> ConsentCallbacks {
    let key = SigningKey::from_bytes(&[9; 32]).unwrap();
    let url = "https://events.example.com/webhooks/consent";
    ConsentCallbacks::new(url, key, Arc::clone(store), clock.clone()).unwrap()
}

fn transport(
    authority: &Authority,
    clock: &Arc<ManualClock>,
    callbacks: &ConsentCallbacks,
) -> HttpsTransportBuilder<TableResolver> {
    HttpsTransport::builder(clock.clone())
        .with_resolver(table())
        .with_roots(TlsRoots::none().with_pem(&authority.pem()).unwrap())
        .with_handshake(Handshake::new(SENDER).unwrap().with_callbacks(callbacks.clone()))
}

#[tokio::test]
async fn consent_by_callback_opens_the_endpoint_and_outlives_the_process() {
    let authority = Authority::new();
    let receiver = receiver(&authority).await;
    let clock = Arc::new(ManualClock::at(now()));
    let store: Arc<dyn ConsentStore> = Arc::new(MemoryConsents::default());
    let callbacks = callbacks(&clock, &store);
    let port = service(&authority, callbacks.clone()).await;
    let sender = transport(&authority, &clock, &callbacks).build().unwrap();
    let endpoint = endpoint(receiver.port(), "/in?team=7");
    let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
    let attempt = Attempt::new(&endpoint, &id, PAYLOAD, &signer);
    check(&sender.deliver(attempt).await, "deliver.no_consent");

    let asked = receiver.requests();
    assert_eq!(asked[0].line, "OPTIONS /in?team=7 HTTP/1.1");
    assert_eq!(asked[0].header("webhook-request-origin"), Some(SENDER));
    let url = asked[0].header("webhook-request-callback").unwrap().to_owned();

    // Who has not read it there, cannot say yes for it.
    let guessed = url.replace("key=", "key=A");
    for (method, url, status) in [
        ("GET", guessed.as_str(), "403"),
        ("GET", "https://events.example.com/webhooks/consent", "403"),
        ("HEAD", url.as_str(), "405"),
        ("PUT", url.as_str(), "405"),
    ] {
        let (head, _) = call(&authority, port, method, url, "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {head}");
        check(&sender.deliver(attempt).await, "deliver.no_consent");
    }

    let (head, body) = call(&authority, port, "POST", &url, "webhook-allowed-rate: 120\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("cache-control: no-store"), "{head}");
    assert_eq!(body, "consent recorded");
    let (head, body) = call(&authority, port, "GET", &url, "").await;
    assert!(head.starts_with("HTTP/1.1 403 ") && body == "handshake.callback", "once: {head}");

    check(&sender.deliver(attempt).await, "deliver.delivered");
    assert_eq!(sender.pace(&endpoint), Pace::AtMost(Rate::per_minute(120.try_into().unwrap())));

    // Another process, or the next one: the consent is in the store.
    let options =
        |requests: &[Received]| requests.iter().filter(|it| it.line.starts_with("OPTIONS ")).count();
    let before = options(&receiver.requests());
    let next = transport(&authority, &clock, &callbacks).build().unwrap();
    check(&next.deliver(attempt).await, "deliver.delivered");
    clock.advance(ConsentCallbacks::DEFAULT_CONSENT_LIFETIME - Duration::from_secs(1));
    check(&next.deliver(attempt).await, "deliver.delivered");
    assert_eq!(options(&receiver.requests()), before);

    clock.advance(Duration::from_secs(1));
    check(&next.deliver(attempt).await, "deliver.no_consent");
    let asked = receiver.requests();
    assert_ne!(asked.last().unwrap().header("webhook-request-callback"), Some(url.as_str()));
    let (head, _) = call(&authority, port, "GET", &url, "").await;
    assert!(head.starts_with("HTTP/1.1 403 "), "an old one: {head}");
}

#[tokio::test]
async fn a_callback_is_for_one_endpoint() {
    let authority = Authority::new();
    let receiver = receiver(&authority).await;
    let clock = Arc::new(ManualClock::at(now()));
    let store: Arc<dyn ConsentStore> = Arc::new(MemoryConsents::default());
    let callbacks = callbacks(&clock, &store);
    let port = service(&authority, callbacks.clone()).await;
    let sender = transport(&authority, &clock, &callbacks).build().unwrap();
    let (mine, theirs) = (endpoint(receiver.port(), "/mine"), endpoint(receiver.port(), "/theirs"));
    let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
    for to in [&mine, &theirs] {
        check(&sender.deliver(Attempt::new(to, &id, PAYLOAD, &signer)).await, "deliver.no_consent");
    }
    let (head, _) = call(&authority, port, "GET", &callbacks.url_for(&mine), "").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    check(&sender.deliver(Attempt::new(&mine, &id, PAYLOAD, &signer)).await, "deliver.delivered");
    check(&sender.deliver(Attempt::new(&theirs, &id, PAYLOAD, &signer)).await, "deliver.no_consent");
}

/// Everybody has consented until then, or nobody.
#[derive(Debug, Default)]
struct Everybody(Mutex<Option<Timestamp>>);

impl ConsentStore for Everybody {
    fn grant<'a>(&'a self, _: &'a ConsentGrant) -> Consenting<'a, bool> {
        Box::pin(async { Ok(false) })
    }

    fn granted<'a>(&'a self, endpoint: &'a EndpointDigest) -> Consenting<'a, Option<ConsentGrant>> {
        let until = *self.0.lock().unwrap();
        let grant = |until| ConsentGrant::from_stored(*endpoint, AllowedRate::Unlimited, now(), until);
        Box::pin(async move { Ok(until.map(grant)) })
    }
}

#[tokio::test]
async fn a_consent_in_the_store_is_looked_up_again_after_a_day() {
    let authority = Authority::new();
    let receiver = receiver(&authority).await;
    let clock = Arc::new(ManualClock::at(now()));
    let everybody = Arc::new(Everybody(Mutex::new(Some(now().saturating_add(30 * CONSENT_LIFETIME)))));
    let store: Arc<dyn ConsentStore> = everybody.clone();
    let sender = transport(&authority, &clock, &callbacks(&clock, &store)).build().unwrap();
    let endpoint = endpoint(receiver.port(), "/in");
    let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
    let attempt = Attempt::new(&endpoint, &id, PAYLOAD, &signer);
    check(&sender.deliver(attempt).await, "deliver.delivered");
    *everybody.0.lock().unwrap() = None;
    clock.advance(CONSENT_LIFETIME - Duration::from_secs(1));
    check(&sender.deliver(attempt).await, "deliver.delivered");
    clock.advance(Duration::from_secs(1));
    check(&sender.deliver(attempt).await, "deliver.no_consent");
}

#[tokio::test]
async fn ten_thousand_consents_are_remembered_and_the_one_that_ends_first_is_forgotten() {
    let authority = Authority::new();
    // Nobody answers there: what counts comes before the connection.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let clock = Arc::new(ManualClock::at(now()));
    let everybody = Arc::new(Everybody::default());
    let store: Arc<dyn ConsentStore> = everybody.clone();
    let sender = transport(&authority, &clock, &callbacks(&clock, &store)).build().unwrap();
    let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
    let deliver = async |number: usize, until: u64| {
        let until = now().saturating_add(Duration::from_secs(until));
        *everybody.0.lock().unwrap() = Some(until);
        let endpoint = endpoint(port, &format!("/{number}"));
        check(&sender.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await, "deliver.connect");
    };
    let is_known = |number: usize| sender.allowed_rate(&endpoint(port, &format!("/{number}"))).is_some();
    for number in 0..10_000 {
        // In the midst of them, one that ends before the others.
        deliver(number, if number == 5000 { 30 } else { 60 }).await;
    }
    assert!([0, 5000, 9999].into_iter().all(is_known));
    deliver(10_000, 60).await;
    assert!(!is_known(5000), "no room for more");
    assert!([0, 4999, 5001, 9999, 10_000].into_iter().all(is_known));

    // Those that are over make room for as many.
    clock.advance(Duration::from_secs(60));
    deliver(10_001, 90).await;
    deliver(10_002, 120).await;
    assert!(!is_known(0) && is_known(10_001) && is_known(10_002));
}
