//! A visitor's browser, as far as the round needs one: real HTTP over a real connection, through the proxy
//! that says where the visitor comes from.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use url::form_urlencoded;

use crate::Failure;

/// Somebody at an address.
pub(crate) struct Visitor {
    pub(crate) service: SocketAddr,
    /// What the trusted proxy writes into `X-Forwarded-For`.
    pub(crate) address: &'static str,
}

impl Visitor {
    /// Sends the form.
    pub(crate) async fn submit(
        &self,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Response<Bytes>, Failure> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let tcp = TcpStream::connect(self.service).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, self.service.to_string())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("x-forwarded-for", self.address)
            .body(Full::new(Bytes::from(form)))?;
        let (parts, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(parts, body.collect().await?.to_bytes()))
    }
}
