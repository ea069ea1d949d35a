//! `Verifier::verify` of a request: header lines, an empty line, the body.
//!
//! Oracle: one message was ever signed under the key; whatever verifies is that message, to the byte.
#![no_main]

use std::sync::LazyLock;

use compliance_core::clock::Timestamp;
use compliance_webhook::{SigningKey, Verifier};
use libfuzzer_sys::fuzz_target;

// The message of the seed `signed`, which is Standard Webhooks' own example.
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const SENT: i64 = 1_649_367_553;
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap()));

fuzz_target!(|request: &[u8]| {
    let end = request.windows(2).position(|pair| pair == b"\n\n").unwrap_or(request.len());
    let body = request.get(end.saturating_add(2)..).unwrap_or_default();
    let headers = request[..end].split(|b| *b == b'\n').filter_map(|line| {
        let colon = line.iter().position(|b| *b == b':')?;
        Some((str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii_start()))
    });
    if let Ok(verified) = VERIFIER.verify(headers, body, Timestamp::from_unix_seconds(SENT)) {
        let message = verified.message();
        assert_eq!(message.id().as_str(), ID);
        assert_eq!(message.sent().map(Timestamp::as_unix_seconds), Some(SENT));
        assert_eq!(*message.body(), BODY);
    }
});
