//! The endpoint and DNS rows of the URL corpus, offline.

use std::path::PathBuf;

use compliance_core::clock::Timestamp;
use compliance_webhook::endpoint::{EndpointHost, EndpointPolicy};
use compliance_webhook::guard::Guard;
use serde_json::Value;

fn rows() -> Option<Vec<Value>> {
    let Some(folder) = std::env::var_os("COMPLIANCE_CORPUS") else {
        println!("skipped: COMPLIANCE_CORPUS is not set");
        return None;
    };
    let file = PathBuf::from(folder).join("url/corpus.json");
    let text =
        std::fs::read_to_string(&file).expect("COMPLIANCE_CORPUS is set: url/corpus.json must be there");
    let mut corpus: Value = serde_json::from_str(&text).expect("the corpus is JSON");
    match corpus["rows"].take() {
        Value::Array(rows) => Some(rows),
        other => panic!("rows: {other}"),
    }
}

/// What a service without a network would decide: `resolve` stands for DNS.
fn decide(row: &Value) -> Result<(), &'static str> {
    let now = Timestamp::UNIX_EPOCH;
    let context = &row["context"];
    let ports: Vec<u16> = match context["ports"].as_array() {
        Some(ports) => ports.iter().map(|port| u16::try_from(port.as_u64().unwrap()).unwrap()).collect(),
        None => vec![443],
    };
    let policy = EndpointPolicy::new().with_ports(&ports).unwrap();
    let endpoint = policy.check(row["input"].as_str().unwrap()).map_err(|error| error.code())?;
    let EndpointHost::Name(name) = endpoint.host() else { panic!("a literal passed: {row}") };
    let Some(answers) = context["resolve"][name].as_array() else { return Ok(()) };
    let answers: Vec<_> = answers.iter().map(|answer| answer.as_str().unwrap().parse().unwrap()).collect();
    Guard::new().check_answers(&endpoint, &answers, now).map(drop).map_err(|error| error.code())
}

#[track_caller]
fn check_kind(kind: &str, at_least: usize) {
    let Some(rows) = rows() else { return };
    let rows: Vec<_> = rows.iter().filter(|row| row["kind"] == kind).collect();
    let wrong: Vec<_> = rows
        .iter()
        .map(|row| (row, decide(row)))
        .filter(|(row, decided)| match row["verdict"].as_str().unwrap() {
            "deny" | "deny-strict" => decided.is_ok(),
            "allow" => decided.is_err(),
            "either" => false,
            other => panic!("verdict {other}"),
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows.len() >= at_least, "only {} rows of {kind}", rows.len());
}

#[test]
fn endpoint_rows() {
    check_kind("ssrf_url", 100);
}

#[test]
fn dns_rows() {
    check_kind("ssrf_dns", 14);
}

#[test]
fn rebinding_rows_are_judged_lookup_by_lookup() {
    let Some(rows) = rows() else { return };
    let mut seen = 0;
    for row in rows.iter().filter(|row| row["kind"] == "ssrf_dns_sequence") {
        let endpoint = EndpointPolicy::new().check(row["input"].as_str().unwrap()).unwrap();
        let EndpointHost::Name(name) = endpoint.host() else { unreachable!() };
        for lookup in row["context"]["resolve_sequence"][name].as_array().unwrap() {
            let answers: Vec<std::net::IpAddr> = lookup
                .as_array()
                .unwrap()
                .iter()
                .map(|answer| answer.as_str().unwrap().parse().unwrap())
                .collect();
            let public = answers.iter().all(|answer| answer.to_string().starts_with("93.184."));
            let decided = Guard::new().check_answers(&endpoint, &answers, Timestamp::UNIX_EPOCH);
            assert_eq!(decided.is_ok(), public, "{row}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} lookups");
}
