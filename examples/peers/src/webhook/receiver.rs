//! The endpoint, in a process of its own: this executable, called as `compliance-peers receiver https|http`.
//!
//! hyper over rustls with TLS 1.3, HTTP/1.1 with connections kept alive. Reads each body to its end and answers 204;
//! `/busy` answers 503, `/hang` after 30 seconds. Lives until its standard input ends.

use std::convert::Infallible;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::measure::Failure;

/// The receiver is `localhost`, and `h0.localhost` to `h99.localhost`.
pub(super) const NAMES: usize = 100;

/// A running receiver. Dropping it ends the process.
pub(super) struct Receiver {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(super) port: u16,
    /// The authority that vouches for it, in PEM.
    pub(super) ca: String,
}

impl Receiver {
    pub(super) fn start(scheme: &str) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["receiver", scheme])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().ok_or("the receiver has no output")?).lines();
        let port = lines.next().ok_or("the receiver did not start")??.parse()?;
        let ca =
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        Ok(Self { child, stdin, port, ca })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It ends by itself; a zombie would stay behind otherwise.
        drop(self.child.wait());
    }
}

/// What the other process does.
pub(crate) fn serve(scheme: &str) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (ca, config) = certificate()?;
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}\n{}\n", listener.local_addr()?.port(), ca.trim())?;
        stdout.flush()?;
        let tls = (scheme == "https").then(|| TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(accept(listener, tls));
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
        Ok(())
    })
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // A refusal to do without Nagle's algorithm costs time, nothing else.
        drop(stream.set_nodelay(true));
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => answer(stream).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream).await;
                    }
                }
            }
        });
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin) {
    // However the connection ends, the sender knows.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(respond)).await);
}

async fn respond(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let read = request.into_body().collect().await.is_ok();
    let status = match path.as_str() {
        _ if !read => StatusCode::BAD_REQUEST,
        "/busy" => StatusCode::SERVICE_UNAVAILABLE,
        "/hang" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            StatusCode::NO_CONTENT
        }
        _ => StatusCode::NO_CONTENT,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

/// An authority made for this run, in PEM, and a server with a certificate of it.
fn certificate() -> Result<(String, ServerConfig), Failure> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key)?.pem();
    let key = KeyPair::generate()?;
    let below = (0..NAMES).map(|n| format!("h{n}.localhost"));
    let names: Vec<String> = std::iter::once("localhost".to_owned()).chain(below).collect();
    let leaf = CertificateParams::new(names)?.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((pem, config))
}
