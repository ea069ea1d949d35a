//! Nothing is sent before an endpoint consents, and a challenge takes the secret to answer.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::ManualClock;
use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_webhook::SigningKey;
use compliance_webhook::deliver::{
    Attempt, Deliver as _, HttpsTransport, HttpsTransportBuilder, Pace, TlsRoots,
};
use compliance_webhook::guard::TableResolver;
use compliance_webhook::handshake::{AllowedRate, CONSENT_LIFETIME, Challenge, Handshake, HandshakeError};
use compliance_webhook::schedule::{HostLimit, Rate};
use compliance_webhook::sign::MessageId;
use compliance_webhook::verify::Verifier;

use super::receiver::{Authority, Certificate, Received, Receiver, Script};
use super::{NAME, PAYLOAD, SECRET, check, endpoint, now, signer, table};

const CONSENT: &str = "HTTP/1.1 200 OK\r\nwebhook-allowed-origin: events.example.com\r\n\
                       webhook-allowed-rate: 120\r\ncontent-length: 0\r\n\r\n";

/// Answers `OPTIONS` with `consent` and everything else with 204.
async fn receiver(authority: &Authority, consent: &'static str) -> Receiver {
    let reply = move |request: &Received| {
        let options = request.line.starts_with("OPTIONS ");
        if options { consent.as_bytes().to_vec() } else { b"HTTP/1.1 204 Ok\r\n\r\n".to_vec() }
    };
    Receiver::start(authority.issue(&Certificate::for_name(NAME)), Script::Reply(Arc::new(reply))).await
}

fn transport(authority: &Authority, clock: Arc<ManualClock>) -> HttpsTransportBuilder<TableResolver> {
    HttpsTransport::builder(clock)
        .with_resolver(table())
        .with_roots(TlsRoots::none().with_pem(&authority.pem()).unwrap())
        .with_handshake(Handshake::new("events.example.com").unwrap().with_rate(600.try_into().unwrap()))
}

#[tokio::test]
async fn consent_comes_before_the_first_message_and_is_asked_for_once_a_day() {
    let authority = Authority::new();
    let receiver = receiver(&authority, CONSENT).await;
    let clock = Arc::new(ManualClock::at(now()));
    let transport = transport(&authority, clock.clone()).build().unwrap();
    let endpoint = endpoint(receiver.port(), "/in?team=7");
    let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
    assert_eq!((transport.allowed_rate(&endpoint), transport.pace(&endpoint)), (None, Pace::Unasked));
    let attempt = Attempt::new(&endpoint, &id, PAYLOAD, &signer);
    for _ in 0..2 {
        check(&transport.deliver(attempt).await, "deliver.delivered");
    }
    assert_eq!(transport.allowed_rate(&endpoint), Some(AllowedRate::PerMinute(120.try_into().unwrap())));
    assert_eq!(transport.pace(&endpoint), Pace::AtMost(Rate::per_minute(120.try_into().unwrap())));
    clock.advance(CONSENT_LIFETIME - Duration::from_secs(1));
    check(&transport.deliver(attempt).await, "deliver.delivered");
    clock.advance(Duration::from_secs(1));
    assert_eq!(transport.allowed_rate(&endpoint), None);
    check(&transport.deliver(attempt).await, "deliver.delivered");

    let requests = receiver.requests();
    let lines: Vec<_> = requests.iter().map(|request| request.line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["OPTIONS", "POST", "POST", "POST", "OPTIONS", "POST"]);
    assert_eq!(requests[0].line, "OPTIONS /in?team=7 HTTP/1.1");
    assert_eq!(requests[0].header("webhook-request-rate"), Some("600"));
    assert!(
        requests.iter().all(|request| request.header("webhook-request-origin") == Some("events.example.com"))
    );
    assert!(requests[0].header("webhook-signature").is_none() && requests[0].body.is_empty());
}

#[tokio::test]
async fn without_consent_no_payload_leaves() {
    for refusal in [
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nwebhook-allowed-origin: other.example.com\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 307 Moved\r\nlocation: /\r\nwebhook-allowed-origin: *\r\ncontent-length: 0\r\n\r\n",
    ] {
        let authority = Authority::new();
        let receiver = receiver(&authority, refusal).await;
        let transport = transport(&authority, Arc::new(ManualClock::at(now()))).build().unwrap();
        let endpoint = endpoint(receiver.port(), "/");
        let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
        for _ in 0..2 {
            check(
                &transport.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await,
                "deliver.no_consent",
            );
        }
        let key = SigningKey::parse(SECRET).unwrap();
        let refused = transport.challenge(&acme(), &endpoint, &key, &SystemRandom).await.unwrap_err();
        assert_eq!(refused.code(), "handshake.no_consent");
        assert!(receiver.requests().iter().all(|request| request.line.starts_with("OPTIONS ")), "{refusal}");
    }
}

/// What a challenge comes to when the receiver answers so.
async fn challenged(reply: impl Fn(&Received) -> String + Send + Sync + 'static) -> Result<(), &'static str> {
    let authority = Authority::new();
    let script = Script::Reply(Arc::new(move |request| {
        let body = reply(request);
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }));
    let receiver = Receiver::start(authority.issue(&Certificate::for_name(NAME)), script).await;
    let transport = super::transport(&authority).build().unwrap();
    let endpoint = endpoint(receiver.port(), "/in");
    let key = SigningKey::parse(SECRET).unwrap();
    let owned =
        transport.challenge(&acme(), &endpoint, &key, &SystemRandom).await.map_err(|error| error.code())?;
    assert_eq!((owned.tenant(), owned.endpoint(), owned.answered()), (&acme(), &endpoint, now()));
    Ok(())
}

pub(super) fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

/// The right answer: from the verified message, under the secret.
pub(super) fn answer(request: &Received, secret: &SigningKey) -> String {
    let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let verified =
        Verifier::new(SigningKey::parse(SECRET).unwrap()).verify(headers, &request.body[..], now());
    Challenge::in_message(&verified.unwrap()).unwrap().answer(secret)
}

#[tokio::test]
async fn who_answers_a_challenge_has_the_secret() {
    let key = || SigningKey::parse(SECRET).unwrap();
    assert_eq!(challenged(move |request| answer(request, &key())).await, Ok(()));
    let refused = Err("handshake.challenge");
    let other = SigningKey::from_bytes(&[8; 32]).unwrap();
    assert_eq!(challenged(move |request| answer(request, &other)).await, refused);
    assert_eq!(challenged(move |request| format!("{}x", answer(request, &key()))).await, refused);
    assert_eq!(challenged(move |request| answer(request, &key())[1..].to_owned()).await, refused);
    // An echo, of the body or of the token, is no answer.
    let echo = |request: &Received| String::from_utf8(request.body.clone()).unwrap();
    assert_eq!(challenged(echo).await, refused);
    assert_eq!(challenged(move |request| echo(request).split('"').nth(7).unwrap().to_owned()).await, refused);
    assert_eq!(challenged(|_| String::new()).await, refused);
    assert_eq!(challenged(move |request| answer(request, &key()) + &"x".repeat(1 << 20)).await, refused);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_nobodys() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"")).await;
    let transport = super::transport(&authority).build().unwrap();
    let key = SigningKey::parse(SECRET).unwrap();
    let refused =
        transport.challenge(&acme(), &endpoint(receiver.port(), "/"), &key, &SystemRandom).await.unwrap_err();
    assert_eq!(refused.code(), "handshake.unreachable");
    // Whoever runs the sender is told why; the text may reach the endpoint's owner.
    let stranger = super::transport(&Authority::new()).build().unwrap();
    let refused =
        stranger.challenge(&acme(), &endpoint(receiver.port(), "/"), &key, &SystemRandom).await.unwrap_err();
    assert!(matches!(refused, HandshakeError::Unreachable(cause) if cause.code() == "deliver.tls_issuer"));
    assert_eq!(refused.to_string(), "the endpoint does not answer");
}

#[tokio::test]
async fn challenges_count_with_everything_else_a_host_gets() {
    let authority = Authority::new();
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"")).await;
    let limit = HostLimit::new(1).with_failures(Some(Rate::per_minute(1.try_into().unwrap())));
    let transport = super::transport(&authority).with_host_limit(limit.clone()).build().unwrap();
    let (endpoint, key) = (endpoint(receiver.port(), "/"), SigningKey::parse(SECRET).unwrap());
    let challenge = async || {
        let refused = transport.challenge(&acme(), &endpoint, &key, &SystemRandom).await;
        refused.unwrap_err().code()
    };
    let slot = limit.try_enter(&endpoint).unwrap();
    assert_eq!(challenge().await, "handshake.host_busy");
    drop(slot);
    assert_eq!(challenge().await, "handshake.unreachable");
    assert_eq!(challenge().await, "handshake.host_busy", "one failure a minute");
    assert!(limit.try_enter(&endpoint).is_some());
}
