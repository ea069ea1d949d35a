//! The range client, against a local server that speaks the same protocol over TLS.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use compliance_auth::password::breach::{
    Breach, OnUnavailable, RangeClient, RangeClientBuilder, RangeErrorKind,
};
use compliance_auth::password::{PasswordContext, PasswordPolicy, PasswordProfile};
use compliance_core::finding::{Enforcement, Explain as _, Outcome};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use secrecy::SecretString;
use sha1::{Digest as _, Sha1};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const LISTED: &str = "zq7-velour-antelope-91";
const GOOD: &str = "zq7-velour-antelope-92";

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Answers,
    Errors,
    Garbage,
    Hangs,
}

struct Server {
    port: u16,
    certificate: Vec<u8>,
    requests: Arc<AtomicUsize>,
}

/// Every range holds `LISTED`'s suffix, and padding.
async fn serve(mode: Mode) -> Server {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = cert.der().to_vec();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let answer = service_fn(move |request| {
                    count.fetch_add(1, Ordering::SeqCst);
                    answer(mode, request)
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tls), answer)
                    .await;
            });
        }
    });
    Server { port, certificate, requests }
}

async fn answer(
    mode: Mode,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match mode {
        Mode::Hangs => std::future::pending().await,
        Mode::Garbage => "<html>".to_owned(),
        Mode::Answers | Mode::Errors => {
            let digest: String = Sha1::digest(LISTED).iter().map(|byte| format!("{byte:02X}")).collect();
            // Five digits, and the padding asked for.
            assert_eq!(request.headers()["add-padding"], "true");
            assert_eq!(request.uri().path().len(), "/range/".len() + 5);
            let padding = "0000000000000000000000000000000000A:0";
            format!("{padding}\r\n{}:7\r\n", &digest[5..])
        }
    };
    let mut response = Response::new(Full::from(text));
    if mode == Mode::Errors {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(response)
}

fn client(server: &Server) -> RangeClientBuilder {
    RangeClient::builder()
        .endpoint(format!("https://localhost:{}/range/", server.port))
        .root_certificate(server.certificate.clone())
        // The machine may be busy; the default is a second.
        .timeout(Duration::from_secs(60))
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[tokio::test]
async fn listed_passwords_are_found_and_ranges_are_remembered() {
    let server = serve(Mode::Answers).await;
    let client = client(&server).build().unwrap();
    assert_eq!(client.lookup(&secret(LISTED)).await.unwrap(), Breach::Listed);
    assert_eq!(client.lookup(&secret(LISTED)).await.unwrap(), Breach::Listed);
    assert_eq!(server.requests.load(Ordering::SeqCst), 1);
    assert_eq!(client.lookup(&secret(GOOD)).await.unwrap(), Breach::NotListed);
    assert_eq!(server.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_least_recently_asked_range_is_forgotten() {
    let server = serve(Mode::Answers).await;
    let client = client(&server).remembered(1).build().unwrap();
    for password in [LISTED, GOOD, LISTED] {
        assert!(client.lookup(&secret(password)).await.is_ok());
    }
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn rare_passwords_may_pass() {
    let server = serve(Mode::Answers).await;
    for (min_count, expected) in [(7, Breach::Listed), (8, Breach::NotListed)] {
        let client = client(&server).min_count(min_count).build().unwrap();
        assert_eq!(client.lookup(&secret(LISTED)).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_listed_password_is_refused_or_noted() {
    let server = serve(Mode::Answers).await;
    let client = client(&server).build().unwrap();
    let policy = PasswordPolicy::of(PasswordProfile::Asvs5);
    let accepted = policy.check(&secret(LISTED), &PasswordContext::new()).unwrap();
    assert_eq!(client.check(accepted).await.unwrap_err().code(), "password.breached");
    let accepted = policy.check(&secret(GOOD), &PasswordContext::new()).unwrap();
    assert!(client.check(accepted).await.is_ok());
    let trial = policy.enforcement(Enforcement::ReportOnly);
    let accepted = trial.check(&secret(LISTED), &PasswordContext::new()).unwrap();
    let accepted = client.check(accepted).await.unwrap();
    assert_eq!(accepted.overruled().unwrap().code(), "password.breached");
    assert_eq!(accepted.finding().enforcement(), Enforcement::ReportOnly);
}

#[tokio::test]
async fn what_happens_without_an_answer_is_said_beforehand() {
    let policy = PasswordPolicy::of(PasswordProfile::Asvs5);
    for (mode, kind) in [
        (Mode::Errors, RangeErrorKind::Answer),
        (Mode::Garbage, RangeErrorKind::Answer),
        (Mode::Hangs, RangeErrorKind::Timeout),
    ] {
        let server = serve(mode).await;
        let timeout = Duration::from_secs(if mode == Mode::Hangs { 1 } else { 60 });
        let client = client(&server).timeout(timeout);
        let refusing = client.clone().build().unwrap();
        assert_eq!(refusing.lookup(&secret(GOOD)).await.unwrap_err().kind(), kind);
        let accepted = policy.check(&secret(GOOD), &PasswordContext::new()).unwrap();
        assert_eq!(refusing.check(accepted).await.unwrap_err().code(), "password.breach_unknown");
        let reviewing = client.on_unavailable(OnUnavailable::Review).build().unwrap();
        let accepted = policy.check(&secret(GOOD), &PasswordContext::new()).unwrap();
        let accepted = reviewing.check(accepted).await.unwrap();
        assert_eq!(accepted.finding().outcome(), Outcome::Review);
    }
}

#[tokio::test]
async fn a_server_without_our_certificate_is_not_asked() {
    let server = serve(Mode::Answers).await;
    let endpoint = format!("https://localhost:{}/range/", server.port);
    let client = RangeClient::builder().endpoint(endpoint).timeout(Duration::from_secs(60)).build().unwrap();
    assert_eq!(client.lookup(&secret(GOOD)).await.unwrap_err().kind(), RangeErrorKind::Unavailable);
    assert_eq!(server.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn an_endpoint_is_an_https_url_that_digits_can_be_appended_to() {
    for endpoint in [
        "http://localhost/range/",
        "https://localhost/range",
        "https://localhost/?a=",
        "https://a@localhost/",
        "x",
        "",
    ] {
        let error = RangeClient::builder().endpoint(endpoint).build().unwrap_err();
        assert_eq!(error.kind(), RangeErrorKind::Endpoint, "{endpoint}");
    }
    assert!(RangeClient::builder().build().is_ok());
}
