//! The other side: a customer's HTTPS endpoint with a certificate of its own CA, verifying what arrives.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use compliance_core::clock::Clock;
use compliance_webhook::sign::SigningKey;
use compliance_webhook::verify::Verifier;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::Failure;

/// How many verified bodies are kept for whoever looks.
const KEPT: usize = 16;

/// How long a sender may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A running receiver: where it listens, whom it trusts, and what it verified.
pub(crate) struct Receiver {
    pub(crate) url: String,
    pub(crate) port: u16,
    pub(crate) ca_pem: String,
    /// The bodies of the first messages whose signature held, in the order of arrival.
    pub(crate) verified: mpsc::Receiver<Bytes>,
}

#[derive(Clone)]
struct Inbox {
    verifier: Arc<Verifier>,
    clock: Arc<dyn Clock>,
    verified: mpsc::Sender<Bytes>,
}

impl Receiver {
    /// Listens on a free port of this machine.
    pub(crate) async fn start(key: SigningKey, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let (ca_pem, tls) = certificate()?;
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = tcp.local_addr()?.port();
        let url = format!("https://localhost:{port}/hooks");
        let (sender, verified) = mpsc::channel(KEPT);
        let inbox = Inbox { verifier: Arc::new(Verifier::new(key)), clock, verified: sender };
        let app = Router::new().route("/hooks", post(receive)).with_state(inbox);
        let listener = TlsListener { tcp, tls: TlsAcceptor::from(Arc::new(tls)) };
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { url, port, ca_pem, verified })
    }
}

/// A message reaches the inbox only as `Verified`.
async fn receive(State(inbox): State<Inbox>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match inbox.verifier.verify(&headers, body, inbox.clock.now()) {
        Ok(message) => {
            // Nobody may be looking, or enough have been kept; the message is verified all the same.
            drop(inbox.verified.try_send(message.into_body()));
            StatusCode::NO_CONTENT
        }
        Err(error) => {
            tracing::warn!(code = error.code(), "webhook refused");
            StatusCode::UNAUTHORIZED
        }
    }
}

/// A CA made for this run, and a server configuration with a certificate of it for `localhost`.
fn certificate() -> Result<(String, ServerConfig), Failure> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let leaf =
        CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok((ca_certificate.pem(), tls))
}

struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((tcp, peer)) = self.tcp.accept().await
                && let Ok(Ok(tls)) = timeout(HANDSHAKE, self.tls.accept(tcp)).await
            {
                return (tls, peer);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}
