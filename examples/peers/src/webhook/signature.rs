//! Signatures.

use std::hint::black_box;

use compliance_core::clock::{Clock as _, SystemClock};
use compliance_webhook::sign::{MessageId, Signer, SigningKey};
use compliance_webhook::verify::Verifier;
use http::HeaderMap;
use standardwebhooks::Webhook;

use super::payload::payloads;
use crate::measure::{Effort, Failure, Measured, side_by_side};

const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
/// Distinct payloads, so that none is special.
const PAYLOADS: usize = 64;

/// Both have their key ready and make the `webhook-signature` value of one message. Ours checks the id first, the
/// peer that the payload is UTF-8.
pub(super) fn sign(effort: Effort) -> Result<Measured, Failure> {
    let payloads = payloads(PAYLOADS);
    let (signer, webhook) = (Signer::new(key()?), peer()?);
    let at = SystemClock.now();
    let peer = |payload: &[u8]| webhook.sign(black_box(ID), black_box(at).as_unix_seconds(), payload).ok();
    let ours = |payload: &[u8], see: fn(&str) -> String| {
        let id = MessageId::parse(black_box(ID)).ok()?;
        Some(see(black_box(signer.sign(&id, black_box(at), payload).ok()?).signature()))
    };
    for payload in &payloads {
        let signature = ours(payload, str::to_owned);
        if signature.is_none() || signature != peer(payload) {
            return Err("the two signatures differ".into());
        }
    }
    // No copy: the signature is there already.
    let all_ours = || payloads.iter().filter_map(|payload| ours(payload, |_| String::new())).count();
    let all_peer = || payloads.iter().filter_map(|payload| black_box(peer(payload))).count();
    Ok(side_by_side(effort, payloads.len(), all_ours, all_peer))
}

/// Both get the header map of a whole request, read the system clock, and find the signature right.
pub(super) fn verify(effort: Effort) -> Result<Measured, Failure> {
    let signer = Signer::new(key()?);
    let id = MessageId::parse(ID)?;
    let mut messages = Vec::new();
    for payload in payloads(PAYLOADS) {
        let signed = signer.sign(&id, SystemClock.now(), &payload)?;
        let mut headers = HeaderMap::new();
        for (name, value) in REQUEST.into_iter().chain(signed.pairs()) {
            headers.insert(name, value.parse()?);
        }
        messages.push((headers, payload));
    }
    let (verifier, webhook) = (Verifier::new(key()?), peer()?);
    let ours = |headers: &HeaderMap, payload: &[u8]| {
        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        black_box(verifier.verify(fields, payload, SystemClock.now())).is_ok()
    };
    let peer = |headers: &HeaderMap, payload: &[u8]| black_box(webhook.verify(payload, headers)).is_ok();
    if !messages.iter().all(|(headers, payload)| ours(headers, payload) && peer(headers, payload)) {
        return Err("a good signature was refused".into());
    }
    // The peer refuses messages older than five minutes, which is more than any run takes.
    let all_ours = || messages.iter().filter(|(headers, payload)| ours(headers, payload)).count();
    let all_peer = || messages.iter().filter(|(headers, payload)| peer(headers, payload)).count();
    Ok(side_by_side(effort, messages.len(), all_ours, all_peer))
}

/// What comes along with the three headers.
const REQUEST: [(&str, &str); 5] = [
    ("host", "hooks.example.com"),
    ("user-agent", "example-webhooks/1.0 (+https://example.com/docs/webhooks)"),
    ("content-type", "application/json"),
    ("content-length", "1024"),
    ("accept", "*/*"),
];

fn key() -> Result<SigningKey, Failure> {
    Ok(SigningKey::from_bytes(&[7; 32])?)
}

fn peer() -> Result<Webhook, Failure> {
    Ok(Webhook::from_bytes(vec![7; 32])?)
}
