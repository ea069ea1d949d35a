//! `Verifier::http_signatures` of a request: method and target, header lines, an empty line, the body.
//!
//! Oracle: one request was ever signed under the key; whatever verifies is that request: same method, target, id, digest
//! and body, and a `Signature-Input` that an independent parser reads as it was printed.
#![no_main]

use std::sync::LazyLock;

use compliance_core::clock::Timestamp;
use compliance_webhook::sign::KeyId;
use compliance_webhook::verify::{HttpSignatures, RequestHead};
use compliance_webhook::{SigningKey, Verifier};
use libfuzzer_sys::fuzz_target;
use sfv::{Dictionary, FieldType as _, Parser};

// The request of the seed `signed`.
const SENT: i64 = 1_795_262_400;
const BODY: &[u8] = b"{}";
static VERIFIER: LazyLock<Verifier<HttpSignatures>> = LazyLock::new(|| {
    let key = SigningKey::from_bytes(&[7; 32]).unwrap();
    Verifier::http_signatures("hooks.example.net", KeyId::parse("billing").unwrap(), key).unwrap()
});

fuzz_target!(|request: &[u8]| {
    let end = request.windows(2).position(|pair| pair == b"\n\n").unwrap_or(request.len());
    let body = request.get(end.saturating_add(2)..).unwrap_or_default();
    let mut lines = request[..end].split(|b| *b == b'\n');
    let Some(Ok(first)) = lines.next().map(str::from_utf8) else { return };
    let (method, target) = first.split_once(' ').unwrap_or((first, ""));
    let fields: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let colon = line.iter().position(|b| *b == b':')?;
            Some((str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii_start()))
        })
        .collect();
    let head = RequestHead::new(method, target, fields.iter().copied());
    if let Ok(verified) = VERIFIER.verify(&head, body, Timestamp::from_unix_seconds(SENT)) {
        let message = verified.message();
        assert_eq!(message.id().as_str(), "msg_1");
        assert_eq!(message.sent().map(Timestamp::as_unix_seconds), Some(SENT));
        assert_eq!((method, target, *message.body()), ("POST", "/in?team=7", BODY));
        let input = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("signature-input")).unwrap().1;
        let parsed: Dictionary = Parser::new(input.trim_ascii()).parse().unwrap();
        assert_eq!(parsed.serialize().unwrap().as_bytes(), input.trim_ascii());
    }
});
