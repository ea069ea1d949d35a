//! Idle connections.

use std::collections::HashMap;
use std::future::{Future as _, poll_fn};
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
use hyper::client::conn::http1;
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
/// It has no task of its own: whoever waits for an answer drives it. An idle one stands still, and what came
/// meanwhile, its end first of all, is seen when it is used again. Dropping it closes it.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: Option<Driver>,
    peer: SocketAddr,
    opened: Instant,
    idle_since: Instant,
}

type Driver = Pin<Box<http1::Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>>>;

impl Connection {
    pub(super) fn new(
        sender: http1::SendRequest<Full<Bytes>>,
        driver: http1::Connection<TokioIo<TlsStream<TcpStream>>, Full<Bytes>>,
        peer: SocketAddr,
    ) -> Self {
        let now = Instant::now();
        Self { sender, driver: Some(Box::pin(driver)), peer, opened: now, idle_since: now }
    }

    /// Whether it may take a request now.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let Self { sender, driver, .. } = self;
        let mut sent = pin!(sender.send_request(request));
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

    fn is_fresh(&self) -> bool {
        self.driver.is_some()
            && !self.sender.is_closed()
            && self.opened.elapsed() < MAX_AGE
            && self.idle_since.elapsed() < MAX_IDLE
    }
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
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let Idle { by_authority, len, .. } = &mut *idle;
        let connections = by_authority.get_mut(endpoint.authority())?;
        // The one used last is the likeliest to be alive.
        let at = connections.iter().rposition(|connection| connection.is_fresh() && checked(connection))?;
        *len = len.saturating_sub(1);
        Some(connections.swap_remove(at))
    }

    /// Keeps a connection, if there is room.
    pub(super) fn put(&self, endpoint: &WebhookEndpoint, mut connection: Connection) {
        connection.idle_since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.swept.elapsed() >= MAX_IDLE || idle.len >= MAX_CONNECTIONS {
            idle.sweep();
        }
        let Idle { by_authority, len, .. } = &mut *idle;
        if *len >= MAX_CONNECTIONS || !connection.is_fresh() {
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
    fn sweep(&mut self) {
        self.by_authority.retain(|_, connections| {
            connections.retain(Connection::is_fresh);
            !connections.is_empty()
        });
        self.len = self.by_authority.values().map(Vec::len).sum();
        self.swept = Instant::now();
    }
}
