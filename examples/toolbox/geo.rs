//! Where the client is: client address, embargo.

use std::net::IpAddr;
use std::path::Path;

use compliance_core::clock::{Clock, SystemClock};
use compliance_geo::client_ip::{ClientIp, OriginProof, Peer, Source, TrustedProxies};
use compliance_geo::database::Database;
use compliance_geo::embargo::{Embargo, EmbargoBuilder, Policy, VerdictClass};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Ended;
use crate::lines::answer_lines;

#[derive(Deserialize)]
pub(crate) struct Request {
    peer: String,
    headers: Vec<(String, String)>,
    trusted: Vec<String>,
    source: Option<String>,
}

/// `{"peer","headers":[[name,value]],"trusted":[cidr],"source"?}` → `{"verdict":"found"|"refused","ip"?,"reason"?}`
///
/// `peer` is an address or `unix:`. `source` is one of `x-forwarded-for` (the default), `forwarded`, `cf-connecting-ip`, `true-client-ip`,
/// `x-real-ip`, `peer` or `hops:N`.
pub(crate) fn client_ip(line: Request) -> Value {
    match find_client(&line) {
        Ok(ip) => json!({"verdict": "found", "ip": ip}),
        Err(reason) => json!({"verdict": "refused", "reason": reason}),
    }
}

fn find_client(line: &Request) -> Result<IpAddr, &'static str> {
    let peer = match line.peer.as_str() {
        "unix:" => Peer::UnixSocket,
        address => Peer::Ip(address.parse().map_err(|_| "toolbox.peer")?),
    };
    // On a command line there is no edge to prove anything: the caller vouches.
    let source = match line.source.as_deref().unwrap_or("x-forwarded-for") {
        "cf-connecting-ip" => Source::CfConnectingIp(OriginProof::ClientCertificate),
        "forwarded" => Source::Forwarded,
        // Who is trusted does not matter then.
        "peer" => return found(&ClientIp::peer(), peer, line),
        "true-client-ip" => Source::TrueClientIp(OriginProof::ClientCertificate),
        "x-forwarded-for" => Source::XForwardedFor,
        "x-real-ip" => Source::XRealIp,
        other => {
            let hops = other.strip_prefix("hops:").and_then(|hops| hops.parse().ok());
            Source::XForwardedForHops(hops.ok_or("toolbox.source")?)
        }
    };
    let proxies = TrustedProxies::parse(&line.trusted).map_err(|e| e.code())?;
    let rule = ClientIp::new(proxies, source).map_err(|e| e.code())?;
    found(&rule, peer, line)
}

fn found(rule: &ClientIp, peer: Peer, line: &Request) -> Result<IpAddr, &'static str> {
    rule.find(peer, line.headers.as_slice()).map(|client| client.ip()).map_err(|e| e.code())
}

#[derive(Deserialize)]
pub(crate) struct Visit {
    ip: String,
    policy: String,
    now: Option<String>,
}

/// `[--database FILE]…`, then lines of `{"ip","policy":"us"|"eu"|"uk"|"un"|"all","now"?}` →
/// `{"verdict":"servable"|"embargoed"|"review","country"?,"region"?,"programme"?,"reason"?,"snapshot"}`
pub(crate) fn embargo(options: &[&str]) -> Option<Ended> {
    let (flags, files) =
        options.as_chunks::<2>().0.iter().map(|[flag, file]| (*flag, *file)).unzip::<_, _, Vec<_>, Vec<_>>();
    if !options.len().is_multiple_of(2) || flags.iter().any(|flag| *flag != "--database") {
        return None;
    }
    let mut databases = Vec::new();
    for file in files {
        match open_database(file) {
            Ok(database) => databases.push(database),
            Err(why) => return Some(Ended::Failed(why)),
        }
    }
    let mut checks: Vec<(Policy, Embargo)> = Vec::new();
    Some(answer_lines(move |line: Visit| match screen(&mut checks, &databases, &line) {
        Ok(verdict) => verdict,
        Err(reason) => json!({"verdict": "review", "reason": reason}),
    }))
}

fn open_database(file: &str) -> Result<Database, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let source = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Database::from_mmdb(bytes, source).map_err(|error| format!("{file}: {error} ({})", error.code()))
}

fn screen(
    checks: &mut Vec<(Policy, Embargo)>,
    databases: &[Database],
    line: &Visit,
) -> Result<Value, &'static str> {
    let policy: Policy = line.policy.parse().map_err(|_| "embargo.unknown_policy")?;
    let ip = line.ip.parse().map_err(|_| "toolbox.address")?;
    let now = match &line.now {
        Some(now) => now.parse().map_err(|_| "time.timestamp")?,
        None => SystemClock.now(),
    };
    if !checks.iter().any(|(known, _)| *known == policy) {
        let builder =
            databases.iter().cloned().fold(Embargo::builder().policy(policy), EmbargoBuilder::database);
        checks.push((policy, builder.build().map_err(|e| e.code())?));
    }
    let (_, check) = checks.iter().find(|(known, _)| *known == policy).ok_or("embargo.unknown_policy")?;
    let verdict = check.screen(ip, now);
    let mut answer = Map::new();
    let word = match verdict.class() {
        VerdictClass::Embargoed => "embargoed",
        VerdictClass::Review => "review",
        VerdictClass::Servable => "servable",
    };
    answer.insert("verdict".to_owned(), word.into());
    answer.insert("reason".to_owned(), verdict.code().as_str().into());
    if let Some(country) = verdict.country() {
        answer.insert("country".to_owned(), country.as_str().into());
    }
    if let Some(region) = verdict.subdivision() {
        answer.insert("region".to_owned(), region.to_string().into());
    }
    if let Some(programme) = verdict.programmes().next() {
        answer.insert("programme".to_owned(), programme.id().into());
    }
    let snapshots: Vec<String> = verdict.snapshots().map(ToString::to_string).collect();
    answer.insert("snapshot".to_owned(), snapshots.join(", ").into());
    Ok(Value::Object(answer))
}
