//! HTTP/2: agreed on in the handshake, one message at a time, with the same guard and limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use compliance_webhook::SigningKey;
use compliance_webhook::deliver::{Attempt, BodyEnd, Deliver as _, Outcome, Timeouts};
use compliance_webhook::endpoint::WebhookEndpoint;
use compliance_webhook::sign::MessageId;
use compliance_webhook::verify::Verifier;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::receiver::{Authority, Certificate, Receiver, Script, server_config};
use super::{NAME, PAYLOAD, SECRET, check, deliver, endpoint, now, signer, transport};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Answers 200 with a short body.
    Answer,
    /// The same, and says that it takes no more requests.
    AnswerAndGoAway,
    /// A body without end.
    Endless,
    /// A head past every limit.
    Flood,
    /// Says that it has seen no request, and closes.
    GoAway,
    /// Resets the stream.
    Reset,
}

struct Http2 {
    port: u16,
    connections: Arc<AtomicUsize>,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http2 {
    async fn start(authority: &Authority, manner: Manner) -> Self {
        let mut config = server_config(authority.issue(&Certificate::for_name(NAME)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, seen) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (counted, kept) = (Arc::clone(&connections), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let (acceptor, kept) = (acceptor.clone(), Arc::clone(&kept));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let Ok(connection) = h2::server::handshake(stream).await else { return };
                    serve(connection, manner, &kept).await;
                });
            }
        });
        Self { port, connections, seen, task }
    }

    fn endpoint(&self) -> WebhookEndpoint {
        endpoint(self.port, "/in?team=7")
    }
}

type Seen = std::sync::Mutex<Vec<(Request<()>, Vec<u8>)>>;

async fn serve(mut connection: Connection<TlsStream<TcpStream>, Bytes>, manner: Manner, seen: &Arc<Seen>) {
    if manner == Manner::GoAway {
        connection.abrupt_shutdown(Reason::NO_ERROR);
    }
    while let Some(Ok((request, respond))) = connection.accept().await {
        if manner == Manner::AnswerAndGoAway {
            connection.graceful_shutdown();
        }
        // The connection is driven by `accept`, so the answer needs a task of its own.
        tokio::spawn(answer(request, respond, manner, Arc::clone(seen)));
    }
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    manner: Manner,
    seen: Arc<Seen>,
) {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(piece)) = body.data().await {
        bytes.extend_from_slice(&piece);
        let _ = body.flow_control().release_capacity(piece.len());
    }
    seen.lock().unwrap().push((Request::from_parts(head, ()), bytes));
    match manner {
        Manner::Reset => respond.send_reset(Reason::REFUSED_STREAM),
        Manner::Flood => {
            let mut response = Response::new(());
            for at in 0..2_000 {
                let name: http::HeaderName = format!("x-{at}").parse().unwrap();
                response.headers_mut().insert(name, "y".repeat(100).parse().unwrap());
            }
            let _ = respond.send_response(response, true);
        }
        Manner::Endless => {
            let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
            let piece = Bytes::from(vec![b'x'; 16 * 1024]);
            loop {
                stream.reserve_capacity(piece.len());
                match std::future::poll_fn(|cx| stream.poll_capacity(cx)).await {
                    Some(Ok(len)) if stream.send_data(piece.slice(..len), false).is_ok() => {}
                    _ => return,
                }
            }
        }
        Manner::Answer | Manner::AnswerAndGoAway | Manner::GoAway => {
            let Ok(mut stream) = respond.send_response(Response::new(()), false) else { return };
            let _ = stream.send_data(Bytes::from_static(b"ok"), true);
        }
    }
}

/// Attempts over one transport, and how many connections they took.
async fn attempts(manner: Manner, count: usize) -> (Vec<Outcome>, usize) {
    let authority = Authority::new();
    let server = Http2::start(&authority, manner).await;
    // Nothing here is about time.
    let transport = transport(&authority).with_timeouts(Timeouts::default()).with_http2().build().unwrap();
    let (id, signer, endpoint) = (MessageId::parse("msg_1").unwrap(), signer(), server.endpoint());
    let mut outcomes = Vec::new();
    for _ in 0..count {
        outcomes.push(transport.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await);
    }
    (outcomes, server.connections.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_message_over_http2_verifies_on_the_other_side() {
    let authority = Authority::new();
    let server = Http2::start(&authority, Manner::Answer).await;
    check(&deliver(transport(&authority).with_http2(), &server.endpoint()).await, "deliver.delivered");
    let seen = server.seen.lock().unwrap();
    let (request, body) = &seen[0];
    assert_eq!(request.uri().to_string(), format!("https://{NAME}:{}/in?team=7", server.port));
    assert!(!request.headers().contains_key("host"));
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let verified =
        Verifier::new(SigningKey::parse(SECRET).unwrap()).verify(headers, &body[..], now()).unwrap();
    assert_eq!(verified.into_body(), PAYLOAD);
}

#[tokio::test]
async fn http2_is_spoken_only_where_it_is_offered_and_agreed_on() {
    let authority = Authority::new();
    // The server speaks nothing else.
    let server = Http2::start(&authority, Manner::Answer).await;
    check(&deliver(transport(&authority), &server.endpoint()).await, "deliver.tls");
    // The receiver speaks HTTP/1.1 only.
    let certificate = authority.issue(&Certificate::for_name(NAME));
    let receiver = Receiver::start(certificate, Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let outcome = deliver(transport(&authority).with_http2(), &endpoint(receiver.port(), "/")).await;
    check(&outcome, "deliver.delivered");
}

#[tokio::test]
async fn connections_are_kept() {
    let (outcomes, connections) = attempts(Manner::Answer, 4).await;
    outcomes.iter().for_each(|outcome| check(outcome, "deliver.delivered"));
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn a_server_that_goes_away_is_left_after_its_answer() {
    let (outcomes, connections) = attempts(Manner::AnswerAndGoAway, 3).await;
    outcomes.iter().for_each(|outcome| check(outcome, "deliver.delivered"));
    assert!((2..=3).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_server_that_goes_away_at_once_is_no_delivery() {
    let (outcomes, _) = attempts(Manner::GoAway, 1).await;
    check(&outcomes[0], "deliver.response");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_no_delivery() {
    let (outcomes, _) = attempts(Manner::Reset, 2).await;
    outcomes.iter().for_each(|outcome| check(outcome, "deliver.response"));
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let (outcomes, _) = attempts(Manner::Flood, 1).await;
    check(&outcomes[0], "deliver.response");
    let (outcomes, _) = attempts(Manner::Endless, 1).await;
    let Outcome::Answered(answer) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!((answer.status(), answer.body_end()), (200, BodyEnd::Capped));
}
