//! Idle connections.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use compliance_core::clock::Timestamp;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
#[cfg(feature = "http2")]
use hyper::client::conn::http2;
use hyper::client::conn::{TrySendError, http1};
#[cfg(feature = "http2")]
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use crate::endpoint::WebhookEndpoint;
use crate::guard::GuardedAddr;

/// How long an unused connection is kept: many servers close theirs after a minute.
const MAX_IDLE: Duration = Duration::from_secs(30);

/// How long a connection is used at all, so that a renewed certificate or a moved host is noticed.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The most connections kept over all endpoints.
const MAX_CONNECTIONS: usize = 1024;

/// One connection on which a TLS session for one endpoint's name stands.
///
/// Over HTTP/1.1 it has no task of its own: whoever waits for an answer drives it. An idle one stands still, and what
/// came meanwhile, its end first of all, is seen when it is used again. Over HTTP/2 a task reads what comes, within a
/// small window. Dropping it closes it.
pub(super) struct Connection {
    sender: Sender,
    driver: Option<Driver>,
    peer: SocketAddr,
    opened: Instant,
    idle_since: Instant,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    #[cfg(feature = "http2")]
    Http2(http2::SendRequest<Full<Bytes>>),
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// The head of an answer, or why there is none, with the request if nothing of it was written.
type Sent = Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>;

/// The most of an answer's head that is read, in bytes.
const MAX_HEAD_LEN: usize = 32 * 1024;

/// How far an HTTP/2 server may be ahead of what is read, in bytes: one body at the usual cap.
#[cfg(feature = "http2")]
const WINDOW: u32 = 64 * 1024;

impl Connection {
    /// Speaks what was agreed on in the handshake.
    pub(super) async fn open(stream: TlsStream<TcpStream>, peer: SocketAddr) -> hyper::Result<Self> {
        #[cfg(feature = "http2")]
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            let mut http2 = http2::Builder::new(TokioExecutor::new());
            http2.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
            #[expect(clippy::cast_possible_truncation, reason = "a constant far below")]
            http2.max_header_list_size(MAX_HEAD_LEN as u32);
            let (sender, driver) = http2.handshake(TokioIo::new(stream)).await?;
            return Ok(Self::new(Sender::Http2(sender), Box::pin(driver), peer));
        }
        let mut http1 = http1::Builder::new();
        http1.max_buf_size(MAX_HEAD_LEN);
        let (sender, driver) = http1.handshake(TokioIo::new(stream)).await?;
        Ok(Self::new(Sender::Http1(sender), Box::pin(driver), peer))
    }

    fn new(sender: Sender, driver: Driver, peer: SocketAddr) -> Self {
        let now = Instant::now();
        Self { sender, driver: Some(driver), peer, opened: now, idle_since: now }
    }

    /// Whether requests carry whole URLs and no `Host`.
    pub(super) fn is_http2(&self) -> bool {
        match self.sender {
            Sender::Http1(_) => false,
            #[cfg(feature = "http2")]
            Sender::Http2(_) => true,
        }
    }

    /// Whether it may take a request now.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        let ready = match &self.sender {
            Sender::Http1(sender) => sender.is_ready(),
            #[cfg(feature = "http2")]
            Sender::Http2(sender) => sender.is_ready(),
        };
        self.driver.is_some() && ready
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Sent {
        let Self { sender, driver, .. } = self;
        match sender {
            Sender::Http1(sender) => until(sender.try_send_request(request), driver).await,
            #[cfg(feature = "http2")]
            Sender::Http2(sender) => until(sender.try_send_request(request), driver).await,
        }
    }

    /// The next piece of a body that comes over it.
    pub(super) async fn frame(&mut self, body: &mut Incoming) -> Option<hyper::Result<Frame<Bytes>>> {
        poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame);
            }
            self.drive(cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
        .await
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.driver, cx);
    }

    fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            #[cfg(feature = "http2")]
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.driver.is_some()
            && !self.is_closed()
            && now.saturating_duration_since(self.opened) < MAX_AGE
            && now.saturating_duration_since(self.idle_since) < MAX_IDLE
    }
}

/// Waits for the head of an answer, and drives the connection meanwhile.
async fn until(sent: impl Future<Output = Sent>, driver: &mut Option<Driver>) -> Sent {
    let mut sent = pin!(sent);
    poll_fn(|cx| {
        if let Poll::Ready(sent) = sent.as_mut().poll(cx) {
            return Poll::Ready(sent);
        }
        drive(driver, cx);
        // Driving it may have brought the answer, and its end always brings one.
        sent.as_mut().poll(cx)
    })
    .await
}

/// How it ended shows in the answer.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
        *driver = None;
    }
}

/// Connections waiting for the next attempt at the same host and port.
///
/// INVARIANT: what comes out goes to an address that was checked for this very attempt, see [`Pool::take`]; a
/// kept connection spares the handshakes, never the guard.
pub(super) struct Pool {
    max_idle: usize,
    idle: Mutex<Idle>,
}

struct Idle {
    by_authority: HashMap<Box<str>, Vec<Connection>>,
    len: usize,
    swept: Instant,
}

impl Pool {
    /// Keeps at most `max_idle` connections per host and port.
    pub(super) fn new(max_idle: usize) -> Self {
        let idle = Idle { by_authority: HashMap::new(), len: 0, swept: Instant::now() };
        Self { max_idle, idle: Mutex::new(idle) }
    }

    /// A kept connection to one of the addresses just checked for `endpoint`.
    pub(super) fn take(
        &self,
        endpoint: &WebhookEndpoint,
        guarded: &[GuardedAddr],
        now: Timestamp,
    ) -> Option<Connection> {
        let checked = |connection: &Connection| {
            guarded.iter().any(|address| {
                address.endpoint() == endpoint
                    && address.socket_addr(now).is_ok()
                    && address.check_peer(connection.peer).is_ok()
            })
        };
        let instant = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let Idle { by_authority, len, .. } = &mut *idle;
        let connections = by_authority.get_mut(endpoint.authority())?;
        // The one used last is the likeliest to be alive.
        let at =
            connections.iter().rposition(|connection| connection.is_fresh(instant) && checked(connection))?;
        *len = len.saturating_sub(1);
        Some(connections.swap_remove(at))
    }

    /// Keeps a connection, if there is room.
    pub(super) fn put(&self, endpoint: &WebhookEndpoint, mut connection: Connection) {
        let now = Instant::now();
        connection.idle_since = now;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(idle.swept) >= MAX_IDLE || idle.len >= MAX_CONNECTIONS {
            idle.sweep(now);
        }
        let Idle { by_authority, len, .. } = &mut *idle;
        if *len >= MAX_CONNECTIONS || !connection.is_fresh(now) {
            return;
        }
        let connections = match by_authority.get_mut(endpoint.authority()) {
            Some(connections) => connections,
            None => by_authority.entry(endpoint.authority().into()).or_default(),
        };
        if connections.len() < self.max_idle {
            connections.push(connection);
            *len = len.saturating_add(1);
        }
    }
}

impl Idle {
    fn sweep(&mut self, now: Instant) {
        self.by_authority.retain(|_, connections| {
            connections.retain(|connection| connection.is_fresh(now));
            !connections.is_empty()
        });
        self.len = self.by_authority.values().map(Vec::len).sum();
        self.swept = now;
    }
}
