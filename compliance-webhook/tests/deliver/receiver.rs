//! A receiver that reads requests properly and answers whatever its script says.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

#[derive(Clone)]
pub(crate) struct Certificate(CertificateParams);

impl Certificate {
    pub(crate) fn for_name(name: &str) -> Self {
        Self(CertificateParams::new([name.to_owned()]).unwrap()).valid(2026, 2027)
    }

    /// From the first day of one year to the first day of another.
    pub(crate) fn valid(mut self, from: i32, to: i32) -> Self {
        self.0.not_before = date_time_ymd(from, 1, 1);
        self.0.not_after = date_time_ymd(to, 1, 1);
        self
    }

    pub(crate) fn self_signed(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = self.0.self_signed(&key).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: key.into() }
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::from_params(CertificateParams::default())
    }

    /// Of another name than [`new`](Self::new) has.
    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        Self::from_params(params)
    }

    fn from_params(mut params: CertificateParams) -> Self {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn pem(&self) -> String {
        self.pem.clone()
    }

    /// Certificate and key, both in PEM.
    pub(crate) fn issue_pem(&self, certificate: &Certificate) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let signed = certificate.0.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }

    pub(crate) fn issue(&self, certificate: &Certificate) -> Identity {
        let key = KeyPair::generate().unwrap();
        let signed = certificate.0.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![signed.der().clone()], key: key.into() }
    }
}

pub(crate) type Reply = Arc<dyn Fn(&Received) -> Vec<u8> + Send + Sync>;

#[derive(Clone)]
pub(crate) enum Script {
    Answer {
        bytes: Arc<[u8]>,
        hang: bool,
    },
    /// Answers this many requests on one connection and closes it on the next.
    KeepAlive {
        requests: usize,
    },
    HangBeforeTls,
    PlainText,
    /// Writes these bytes after each request, then resets the connection.
    AnswerAndReset(Arc<[u8]>),
    /// Answers 200 with so many pieces of so many bytes, pausing before each.
    Endless {
        piece: usize,
        pieces: usize,
        pause: Option<Duration>,
    },
    /// Answers each request with what this says, then closes.
    Reply(Reply),
}

impl Script {
    /// Writes these bytes after each request, then closes.
    pub(crate) fn answer(bytes: &[u8]) -> Self {
        Self::Answer { bytes: bytes.into(), hang: false }
    }

    /// Writes these bytes after the first request, then does nothing any more.
    pub(crate) fn answer_and_hang(bytes: &[u8]) -> Self {
        Self::Answer { bytes: bytes.into(), hang: true }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) sni: Option<String>,
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    written: AtomicUsize,
    requests: Mutex<Vec<Received>>,
}

impl Receiver {
    pub(crate) async fn start(identity: Identity, script: Script) -> Self {
        Self::start_on("127.0.0.1", 0, identity, script).await
    }

    pub(crate) async fn start_on(address: &str, port: u16, identity: Identity, script: Script) -> Self {
        Self::listen(address, port, identity, script, &[&rustls::version::TLS13]).await
    }

    pub(crate) async fn start_tls12(identity: Identity, script: Script) -> Self {
        Self::listen("127.0.0.1", 0, identity, script, &[&rustls::version::TLS12]).await
    }

    async fn listen(
        address: &str,
        port: u16,
        identity: Identity,
        script: Script,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let config = builder(versions).with_no_client_auth().with_single_cert(identity.chain, identity.key);
        Self::serve(address, port, config.unwrap(), script).await
    }

    /// Takes connections of clients with a certificate of `authority` only.
    pub(crate) async fn start_for_clients(
        identity: Identity,
        script: Script,
        authority: &Authority,
        tls12: bool,
    ) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let version = if tls12 { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
        let config = builder(&[version]).with_client_cert_verifier(verifier);
        let config = config.with_single_cert(identity.chain, identity.key).unwrap();
        Self::serve("127.0.0.1", 0, config, script).await
    }

    async fn serve(address: &str, port: u16, config: ServerConfig, script: Script) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(accept(listener, acceptor, script, Arc::clone(&seen)));
        Self { address, seen, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many bytes of an endless body the sender took.
    pub(crate) fn written(&self) -> usize {
        self.seen.written.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Received> {
        self.seen.requests.lock().unwrap().clone()
    }
}

fn builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap()
}

/// TLS 1.3 for anybody.
#[cfg(any(feature = "axum", feature = "http2"))]
pub(crate) fn server_config(identity: Identity) -> ServerConfig {
    let builder = builder(&[&rustls::version::TLS13]).with_no_client_auth();
    builder.with_single_cert(identity.chain, identity.key).unwrap()
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, script: Script, seen: Arc<Seen>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        seen.connections.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(serve(stream, acceptor.clone(), script.clone(), Arc::clone(&seen)));
    }
}

async fn serve(mut stream: TcpStream, acceptor: TlsAcceptor, script: Script, seen: Arc<Seen>) {
    let (bytes, hang) = match script {
        Script::Answer { bytes, hang } => (bytes, hang),
        Script::KeepAlive { requests } => return keep_alive(stream, acceptor, requests, &seen).await,
        Script::AnswerAndReset(bytes) => return answer_and_reset(stream, acceptor, &bytes, &seen).await,
        Script::Endless { piece, pieces, pause } => {
            return endless(stream, acceptor, piece, pieces, pause, &seen).await;
        }
        Script::Reply(reply) => return answer_with(stream, acceptor, reply, &seen).await,
        Script::HangBeforeTls => return std::future::pending().await,
        Script::PlainText => return stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap_or_default(),
    };
    // A client that refuses us ends here.
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let sni = stream.get_ref().1.server_name().map(str::to_owned);
    if let Some(request) = read(&mut stream, sni).await {
        seen.requests.lock().unwrap().push(request);
        // A client that has read enough hangs up.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.flush().await;
        if hang {
            return std::future::pending().await;
        }
        let _ = stream.shutdown().await;
    }
}

async fn keep_alive(stream: TcpStream, acceptor: TlsAcceptor, requests: usize, seen: &Seen) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    for _ in 0..requests {
        let Some(request) = read(&mut stream, None).await else { return };
        seen.requests.lock().unwrap().push(request);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let _ = stream.flush().await;
    }
    // The next request arrives and is dropped, as when a server's idle timer fires at that moment.
    let _ = read(&mut stream, None).await;
}

async fn answer_and_reset(stream: TcpStream, acceptor: TlsAcceptor, bytes: &[u8], seen: &Seen) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let Some(request) = read(&mut stream, None).await else { return };
    seen.requests.lock().unwrap().push(request);
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    // Until the client has read the answer: it speaks, or hangs up, next.
    let mut next = [0];
    let _ = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut next)).await;
    let _ = stream.get_ref().0.set_zero_linger();
}

async fn endless(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    piece: usize,
    pieces: usize,
    pause: Option<Duration>,
    seen: &Seen,
) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let Some(request) = read(&mut stream, None).await else { return };
    seen.requests.lock().unwrap().push(request);
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = [format!("{piece:x}\r\n").into_bytes(), vec![b'x'; piece], b"\r\n".to_vec()].concat();
    for _ in 0..pieces {
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
        if stream.write_all(&chunk).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        seen.written.fetch_add(piece, Ordering::SeqCst);
    }
}

async fn answer_with(stream: TcpStream, acceptor: TlsAcceptor, reply: Reply, seen: &Seen) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let Some(request) = read(&mut stream, None).await else { return };
    let bytes = reply(&request);
    seen.requests.lock().unwrap().push(request);
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), sni: Option<String>) -> Option<Received> {
    let mut bytes = Vec::new();
    let head_len = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_len].to_vec()).unwrap();
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut request = Received { sni, line, headers, body: bytes.split_off(head_len) };
    let len: usize = request.header("content-length").map_or(0, |len| len.parse().unwrap());
    while request.body.len() < len {
        if stream.read_buf(&mut request.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(request)
}
