//! Where the client is: client address, embargo.

use std::net::IpAddr;

use compliance_geo::client_ip::{ClientIp, OriginProof, Source, TrustedProxies};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Request {
    peer: String,
    headers: Vec<(String, String)>,
    trusted: Vec<String>,
    source: Option<String>,
}

/// `{"peer","headers":[[name,value]],"trusted":[cidr],"source"?}` → `{"verdict":"found"|"refused","ip"?,"reason"?}`
///
/// `source` is one of `x-forwarded-for` (the default), `forwarded`, `cf-connecting-ip`, `true-client-ip`,
/// `x-real-ip`, `peer` or `hops:N`.
pub(crate) fn client_ip(line: Request) -> Value {
    match find_client(&line) {
        Ok(ip) => json!({"verdict": "found", "ip": ip}),
        Err(reason) => json!({"verdict": "refused", "reason": reason}),
    }
}

fn find_client(line: &Request) -> Result<IpAddr, &'static str> {
    let peer = line.peer.parse().map_err(|_| "client_ip.peer")?;
    // On a command line there is no edge to prove anything: the caller vouches.
    let source = match line.source.as_deref().unwrap_or("x-forwarded-for") {
        "cf-connecting-ip" => Source::CfConnectingIp(OriginProof::Tunnel),
        "forwarded" => Source::Forwarded,
        "peer" => Source::Peer,
        "true-client-ip" => Source::TrueClientIp(OriginProof::Tunnel),
        "x-forwarded-for" => Source::XForwardedFor,
        "x-real-ip" => Source::XRealIp,
        other => {
            let hops = other.strip_prefix("hops:").and_then(|hops| hops.parse().ok());
            Source::XForwardedForHops(hops.ok_or("client_ip.unknown_source")?)
        }
    };
    let proxies = TrustedProxies::parse(&line.trusted).map_err(|e| e.code())?;
    let rule = ClientIp::new(proxies, source).map_err(|e| e.code())?;
    rule.find(peer, line.headers.as_slice()).map(|client| client.ip()).map_err(|e| e.code())
}
