//! From a request to its handler, through axum and actix-web.
#![cfg(feature = "receiver")]

use std::sync::Arc;

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{PassPolicy, Recorder, Sink};
use compliance_core::finding::{Enforcement, Reason as _};
use compliance_core::testing::MemorySink;
use compliance_webhook::verify::{
    MemoryReplayCache, Received, ReplayCache, ReplayError, ReplayGate, ReplayKey, RequestHead, Reservation,
    VerifyDecision, VerifyRequest, WebhookReceiver,
};
use compliance_webhook::{MessageId, Signer, SigningKey, Verifier};

const BODY: &str = r#"{"type":"paid"}"#;

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_795_262_400)
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32]).unwrap()
}

fn gate() -> ReplayGate<Arc<MemoryReplayCache>> {
    ReplayGate::new(Arc::new(MemoryReplayCache::new(100)), "billing")
}

fn receiver() -> WebhookReceiver {
    WebhookReceiver::new(
        Verifier::new(key()).with_max_body_len(1000),
        gate(),
        Arc::new(ManualClock::at(now())),
    )
}

fn signed(id: &str, body: &[u8]) -> Vec<(&'static str, String)> {
    let id = MessageId::parse(id).unwrap();
    let headers = Signer::new(key()).sign(&id, now(), body).unwrap();
    headers.pairs().map(|(name, value)| (name, value.to_owned())).to_vec()
}

/// A cache that does not answer.
#[derive(Clone)]
struct Away;

impl ReplayCache for Away {
    async fn reserve(&self, _: &ReplayKey, _: Timestamp, _: Timestamp) -> Result<Reservation, ReplayError> {
        Err(ReplayError::unavailable())
    }

    async fn commit(&self, _: &ReplayKey, _: u64, _: Timestamp, _: Timestamp) -> Result<(), ReplayError> {
        Err(ReplayError::unavailable())
    }

    async fn release(&self, _: &ReplayKey, _: u64) -> Result<(), ReplayError> {
        Err(ReplayError::unavailable())
    }
}

fn away() -> WebhookReceiver<Away> {
    let gate = ReplayGate::new(Away, "billing");
    WebhookReceiver::new(Verifier::new(key()), gate, Arc::new(ManualClock::at(now())))
}

/// What both frameworks must do. `$send!(headers, body)` yields status and text.
macro_rules! rules {
    ($send:ident, $away:ident) => {{
        let message = signed("msg_1", BODY.as_bytes());
        // Each once: the handler says the id.
        assert_eq!($send!(&message, BODY), (200, "handled msg_1".to_owned()));
        assert_eq!($send!(&message, BODY), (200, "replay.duplicate".to_owned()));

        // A handler that fails releases: the next attempt may try at once.
        let failing = signed("msg_fails", BODY.as_bytes());
        assert_eq!($send!(&failing, BODY).0, 500);
        assert_eq!($send!(&failing, BODY).0, 500);
        // One that neither commits nor releases keeps its reservation.
        let stuck = signed("msg_stuck", BODY.as_bytes());
        assert_eq!($send!(&stuck, BODY).0, 500);
        assert_eq!($send!(&stuck, BODY), (409, "replay.in_flight".to_owned()));

        // One answer for whatever is wrong with a signature, and nothing reserved.
        let other = signed("msg_2", BODY.as_bytes());
        for (headers, body) in [
            (&other[..], r#"{"type":"free"}"#),
            (&other[..2], BODY),
            (&other[..0], BODY),
            (&[("webhook-id", "a.b".to_owned())][..], BODY),
        ] {
            assert_eq!($send!(headers, body), (403, "verify.refused".to_owned()));
        }
        assert_eq!($send!(&other, BODY), (200, "handled msg_2".to_owned()));

        let longest = "x".repeat(1000);
        let longer = "x".repeat(1001);
        assert_eq!($send!(&signed("msg_3", longest.as_bytes()), &longest).0, 200);
        assert_eq!(
            $send!(&signed("msg_4", longer.as_bytes()), &longer),
            (413, "receive.body_length".to_owned())
        );
        assert_eq!($away!(&message, BODY), (503, "replay.unavailable".to_owned()));
        assert_eq!($away!(&other[..2], BODY), (403, "verify.refused".to_owned()));
    }};
}

#[cfg(feature = "axum")]
mod axum_extractor {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::routing::post;
    use compliance_webhook::verify::{ReceiveError, Webhook, WebhookOnTrial};
    use tower::ServiceExt as _;

    use super::*;

    async fn handle(webhook: Webhook) -> Result<String, (StatusCode, ReceiveError)> {
        let refused = |error| (StatusCode::INTERNAL_SERVER_ERROR, error);
        let id = webhook.message().id().to_string();
        match id.as_str() {
            "msg_fails" => {
                webhook.release().await.map_err(refused)?;
                Err(refused(ReceiveError::body_broken()))
            }
            "msg_stuck" => Err(refused(ReceiveError::body_broken())),
            _ => {
                webhook.commit().await.map_err(refused)?;
                Ok(format!("handled {id}"))
            }
        }
    }

    async fn handle_away(webhook: Webhook<Away>) -> String {
        webhook.message().id().to_string()
    }

    async fn handle_on_trial(webhook: WebhookOnTrial) -> &'static str {
        match webhook.into_received() {
            Received::Unverified(_) => "unverified",
            Received::Verified(_) => "verified",
        }
    }

    async fn send(app: &Router, headers: &[(&'static str, String)], body: impl Into<Body>) -> (u16, String) {
        let mut request = Request::post("/hooks");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn each_message_reaches_its_handler_once() {
        let app = Router::new().route("/hooks", post(handle)).with_state(receiver());
        let dark = Router::new().route("/hooks", post(handle_away)).with_state(away());
        macro_rules! send {
            ($headers:expr, $body:expr) => {
                send(&app, $headers, $body.to_owned()).await
            };
        }
        macro_rules! send_away {
            ($headers:expr, $body:expr) => {
                send(&dark, $headers, $body.to_owned()).await
            };
        }
        rules!(send, send_away);
    }

    #[tokio::test]
    async fn a_receiver_on_trial_lets_pass_and_records() {
        let sink = Arc::new(MemorySink::default());
        let recorder = Arc::new(Recorder::new(Arc::clone(&sink) as Arc<dyn Sink>, PassPolicy::Each));
        let verifier = Verifier::new(key()).with_enforcement(Enforcement::ReportOnly);
        let receiver =
            WebhookReceiver::new(verifier, gate(), Arc::new(ManualClock::at(now()))).with_recorder(recorder);
        let app = Router::new().route("/hooks", post(handle_on_trial)).with_state(receiver.clone());
        let good = signed("msg_1", BODY.as_bytes());
        assert_eq!(send(&app, &good, BODY).await, (200, "verified".to_owned()));
        assert_eq!(send(&app, &good[..1], BODY).await, (200, "unverified".to_owned()));
        let events = sink.events();
        let codes: Vec<_> = events.iter().map(|event| event.reason()).collect();
        assert_eq!(codes, [Some("verify.passed"), Some("verify.header_missing")]);

        // The other extractor enforces all the same.
        let app = Router::new().route("/hooks", post(handle)).with_state(receiver);
        assert_eq!(send(&app, &good[..1], BODY).await.0, 403);
        // And without a trial this one does.
        let app = Router::new().route("/hooks", post(handle_on_trial)).with_state(super::receiver());
        assert_eq!(send(&app, &good[..1], BODY).await, (403, "verify.refused".to_owned()));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_message() {
        struct Breaking(bool);

        impl http_body::Body for Breaking {
            type Data = bytes::Bytes;
            type Error = std::io::Error;

            fn poll_frame(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, std::io::Error>>> {
                let first = std::mem::take(&mut self.0);
                let piece = http_body::Frame::data(bytes::Bytes::from_static(b"{"));
                std::task::Poll::Ready(Some(if first {
                    Ok(piece)
                } else {
                    Err(std::io::ErrorKind::ConnectionReset.into())
                }))
            }
        }

        let app = Router::new().route("/hooks", post(handle)).with_state(receiver());
        let refused = send(&app, &signed("msg_1", b"{"), Body::new(Breaking(true))).await;
        assert_eq!(refused, (400, "receive.body".to_owned()));
    }
}

#[cfg(feature = "actix-web")]
mod actix_extractor {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, HttpResponse, web};
    use compliance_webhook::verify::{Webhook, WebhookOnTrial};

    use super::*;

    async fn handle(webhook: Webhook) -> HttpResponse {
        let id = webhook.message().id().to_string();
        match id.as_str() {
            "msg_fails" => {
                webhook.release().await.unwrap();
                HttpResponse::InternalServerError().finish()
            }
            "msg_stuck" => HttpResponse::InternalServerError().finish(),
            _ => match webhook.commit().await {
                Ok(_) => HttpResponse::Ok().body(format!("handled {id}")),
                Err(error) => HttpResponse::from_error(error),
            },
        }
    }

    async fn handle_away(webhook: Webhook<Away>) -> String {
        webhook.message().id().to_string()
    }

    async fn handle_on_trial(webhook: WebhookOnTrial) -> &'static str {
        match webhook.into_received() {
            Received::Unverified(_) => "unverified",
            Received::Verified(_) => "verified",
        }
    }

    fn run<F: Future>(future: F) -> F::Output {
        actix_web::rt::System::new().block_on(future)
    }

    macro_rules! call {
        ($app:expr, $headers:expr, $body:expr) => {{
            let mut request = TestRequest::post().uri("/hooks").set_payload($body.to_owned());
            for (name, value) in $headers.iter() {
                request = request.append_header((*name, value.as_str()));
            }
            let response = call_service(&$app, request.to_request()).await;
            let status = response.status().as_u16();
            (status, String::from_utf8(read_body(response).await.to_vec()).unwrap())
        }};
    }

    #[test]
    fn each_message_reaches_its_handler_once() {
        run(async {
            let app = App::new().app_data(web::Data::new(receiver())).route("/hooks", web::post().to(handle));
            let app = init_service(app).await;
            let dark = App::new().app_data(away()).route("/hooks", web::post().to(handle_away));
            let dark = init_service(dark).await;
            macro_rules! send {
                ($headers:expr, $body:expr) => {
                    call!(app, $headers, $body)
                };
            }
            macro_rules! send_away {
                ($headers:expr, $body:expr) => {
                    call!(dark, $headers, $body)
                };
            }
            rules!(send, send_away);
        });
    }

    #[test]
    fn a_receiver_on_trial_lets_pass() {
        run(async {
            let verifier = Verifier::new(key()).with_enforcement(Enforcement::ReportOnly);
            let receiver = WebhookReceiver::new(verifier, gate(), Arc::new(ManualClock::at(now())));
            let app = App::new().app_data(receiver).route("/hooks", web::post().to(handle_on_trial));
            let app = init_service(app).await;
            let good = signed("msg_1", BODY.as_bytes());
            assert_eq!(call!(app, good, BODY), (200, "verified".to_owned()));
            assert_eq!(call!(app, good[..1], BODY), (200, "unverified".to_owned()));
        });
    }

    #[test]
    fn an_application_without_a_receiver_takes_nothing() {
        run(async {
            let app = init_service(App::new().route("/hooks", web::post().to(handle))).await;
            let message = signed("msg_1", BODY.as_bytes());
            assert_eq!(call!(app, message, BODY), (500, "receive.no_receiver".to_owned()));
        });
    }
}

/// A verifier of the service's own: two senders on two paths.
#[derive(Debug)]
struct BySender {
    first: Verifier,
    second: Verifier,
}

impl<B: AsRef<[u8]>> VerifyRequest<B> for BySender {
    fn max_body_len(&self) -> usize {
        1000
    }

    fn decide_request(&self, head: &RequestHead<'_>, body: B, now: Timestamp) -> VerifyDecision<B> {
        let verifier = if head.target() == "/second" { &self.second } else { &self.first };
        verifier.decide_request(head, body, now)
    }
}

#[tokio::test]
async fn a_receiver_may_choose_the_verifier_by_the_target() {
    let other = SigningKey::from_bytes(&[8; 32]).unwrap();
    let by_sender = BySender { first: Verifier::new(other), second: Verifier::new(key()) };
    let receiver = WebhookReceiver::new(by_sender, gate(), Arc::new(ManualClock::at(now())));
    let headers = signed("msg_1", BODY.as_bytes());
    let receive = async |target: &str| {
        let fields = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let head = RequestHead::new("POST", target, fields);
        receiver.receive(&head, BODY.into()).await.map(drop).map_err(|error| error.code())
    };
    assert_eq!(receive("/first").await, Err("verify.signature"));
    assert_eq!(receive("/second").await, Ok(()));
}

#[test]
fn a_head_shows_no_values_and_knows_one_host() {
    let fields: [(&str, &[u8]); 2] = [("Host", b"hooks.example.net"), ("authorization", b"Bearer hush")];
    let head = RequestHead::new("POST", "/", fields);
    assert_eq!(head.authority(), Some("hooks.example.net"));
    assert!(!format!("{head:?}").contains("hush"));
    let two: [(&str, &[u8]); 2] = [("host", b"a"), ("HOST", b"b")];
    assert_eq!(RequestHead::new("POST", "/", two).authority(), None);
    assert_eq!(RequestHead::new("POST", "/", two).with_authority("c").authority(), Some("c"));
    let error = compliance_webhook::verify::ReceiveError::body_too_long();
    assert_eq!((error.public_code().as_str(), error.status()), ("receive.body_length", 413));
}
