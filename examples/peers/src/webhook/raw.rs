//! The peer without durability: as many connections as ours keeps per endpoint, each of which posts one message
//! after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::receiver::Receiver;
use crate::measure::Failure;

/// Posts all payloads and answers how many per second that were.
pub(super) async fn post(
    receiver: &Receiver,
    payloads: Vec<Bytes>,
    connections: usize,
) -> Result<f64, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(receiver.ca.as_bytes())?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (tls, port) = (TlsConnector::from(Arc::new(config)), receiver.port);
    let (payloads, next) = (Arc::new(payloads), Arc::new(AtomicUsize::new(0)));
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (tls, payloads, next) = (tls.clone(), Arc::clone(&payloads), Arc::clone(&next));
        senders.spawn(
            async move { send(&tls, port, &payloads, &next).await.map_err(|error| error.to_string()) },
        );
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(payloads.len() as f64 / started.elapsed().as_secs_f64())
}

async fn send(tls: &TlsConnector, port: u16, payloads: &[Bytes], next: &AtomicUsize) -> Result<(), Failure> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let stream = tls.connect(ServerName::try_from("localhost")?, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    while let Some(payload) = payloads.get(next.fetch_add(1, Ordering::Relaxed)) {
        let request = Request::post("/in")
            .header("host", format!("localhost:{port}"))
            .header("content-type", "application/json")
            .body(Full::new(payload.clone()))?;
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err("the receiver refused".into());
        }
        response.into_body().collect().await?;
    }
    Ok(())
}
