//! The audit trail.

use compliance_core::finding::Outcome;
use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::{Completeness, VerifyOptions, verify};
use serde_json::{Value, json};

use crate::Ended;

/// `audit verify DIR [--key VKEY] [--anchor FILE]` → one JSON object. Exit 0: whole; 1: not; 2: could not tell.
pub(crate) fn verify(dir: &str, options: &[&str]) -> Option<Ended> {
    let (pairs, []) = options.as_chunks::<2>() else { return None };
    let mut given = VerifyOptions::new();
    for [flag, value] in pairs {
        given = match *flag {
            "--key" => match value.parse() {
                Ok(key) => given.key(key),
                Err(error) => return Some(failed("--key", &error)),
            },
            "--anchor" => match std::fs::read_to_string(value) {
                Ok(note) => match CheckpointNote::parse(&note) {
                    Ok(anchor) => given.anchor(anchor),
                    Err(error) => return Some(failed(value, &error)),
                },
                Err(error) => return Some(failed(value, &error)),
            },
            _ => return None,
        };
    }
    let report = match verify::verify(dir, &given) {
        Ok(report) => report,
        Err(error) => return Some(failed(dir, &error)),
    };
    let (completeness, uncovered) = match report.completeness() {
        Completeness::Closed => ("closed", 0),
        Completeness::Open { uncovered } => ("open", uncovered),
        Completeness::Torn { uncovered, .. } => ("torn", uncovered),
        Completeness::Truncated { .. } => ("truncated", 0),
    };
    let answer = json!({
        "verdict": report.verdict().to_string(),
        "records": report.records(),
        "completeness": completeness,
        "uncovered": uncovered,
        "checkpoint": report.checkpoint().map(|checkpoint| json!({
            "size": checkpoint.size(),
            "root": checkpoint.root().to_string(),
            "at": checkpoint.at().to_string(),
        })),
        "first_bad_sequence": report.fault().map(|fault| fault.sequence()),
        "reason": report.fault().map(|fault| fault.kind().code()),
    });
    print_answer(&answer);
    Some(match report.outcome() {
        Outcome::Passed => Ended::Done,
        Outcome::Refused | Outcome::Review => Ended::NotInOrder,
    })
}

#[expect(clippy::print_stdout, reason = "the answer of a command-line program")]
fn print_answer(answer: &Value) {
    println!("{answer}");
}

fn failed(what: &str, error: &dyn std::error::Error) -> Ended {
    Ended::Failed(format!("{what}: {error}"))
}
