//! Addresses and endpoints: is it outside, may we dial it?

use std::collections::BTreeMap;
use std::net::IpAddr;

use compliance_core::address;
use compliance_core::clock::{Clock, SystemClock};
use compliance_webhook::endpoint::{EndpointHost, EndpointPolicy};
use compliance_webhook::guard::{Guard, GuardedAddr};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Address {
    input: String,
}

/// `{"input":"ip"}` → `{"verdict":"allow"|"deny","reason"?}`
pub(crate) fn address(line: Address) -> Value {
    let Ok(ip) = line.input.parse() else {
        return json!({"verdict": "deny", "reason": "toolbox.address"});
    };
    match address::outside(ip) {
        Ok(_) => json!({"verdict": "allow"}),
        Err(error) => json!({"verdict": "deny", "reason": error.code()}),
    }
}

#[derive(Deserialize)]
pub(crate) struct Endpoint {
    input: String,
    #[serde(default = "https_port")]
    ports: Vec<u16>,
    resolve: Option<BTreeMap<String, Vec<String>>>,
}

fn https_port() -> Vec<u16> {
    vec![443]
}

/// `{"input":"url","ports":[443],"resolve":{"host":["ip"]}}` → `{"verdict","reason"?,"dial":["ip"]?}`
///
/// With `resolve` in place of DNS; without it the URL alone is judged. An answer that is no address, as one with a
/// zone, denies as `toolbox.address`.
pub(crate) fn endpoint(line: Endpoint) -> Value {
    match judge_endpoint(&line) {
        Ok(None) => json!({"verdict": "allow"}),
        Ok(Some(dial)) => json!({"verdict": "allow", "dial": dial}),
        Err(reason) => json!({"verdict": "deny", "reason": reason}),
    }
}

fn judge_endpoint(line: &Endpoint) -> Result<Option<Vec<IpAddr>>, &'static str> {
    let policy = EndpointPolicy::new().with_ports(&line.ports).map_err(|e| e.code())?;
    let endpoint = policy.check(&line.input).map_err(|e| e.code())?;
    let Some(resolve) = &line.resolve else { return Ok(None) };
    let answers = match endpoint.host() {
        EndpointHost::Name(name) => resolve.get(name).map_or(&[][..], Vec::as_slice),
        EndpointHost::Address(_) => &[],
    };
    // The URLs of a corpus without answers are judged as URLs.
    if resolve.is_empty() {
        return Ok(None);
    }
    let answers: Result<Vec<IpAddr>, _> = answers.iter().map(|answer| answer.parse()).collect();
    let answers = answers.map_err(|_| "toolbox.address")?;
    let guarded = Guard::new().check_answers(&endpoint, &answers, SystemClock.now()).map_err(|e| e.code())?;
    Ok(Some(guarded.iter().map(GuardedAddr::ip).collect()))
}
