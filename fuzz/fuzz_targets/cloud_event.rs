//! `CloudEvent::parse` of any bytes.
//!
//! Oracle: what is read is written and read again the same; its headers are fit to be sent; data that a general JSON
//! parser reads under `data` are what binary mode sends.
#![no_main]

use compliance_webhook::cloud_event::CloudEvent;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Ok(event) = CloudEvent::parse(body) else { return };
    let structured = event.structured();
    assert_eq!(CloudEvent::parse(&structured), Ok(event.clone()));
    let binary = event.binary();
    for (name, value) in binary.headers() {
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
        assert!(!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
    }
    // Deep nesting and numbers past what it holds are what the general parser refuses.
    let Ok(read) = serde_json::from_slice::<Value>(body) else { return };
    assert!(read["id"].as_str().is_none_or(|id| id == event.id()));
    if binary.content_type().as_str() == "application/json" && read.get("data").is_some() {
        assert_eq!(serde_json::from_slice::<Value>(binary.data()).ok().as_ref(), read.get("data"));
    }
});
