//! CloudEvents in structured and binary mode.
#![cfg(feature = "cloud-events")]

use compliance_webhook::MessageId;
use compliance_webhook::cloud_event::{CloudEvent, CloudEventError};
use compliance_webhook::deliver::ContentType;
use proptest::prelude::*;
use serde_json::Value;

fn event() -> CloudEvent {
    CloudEvent::new(MessageId::parse("msg_1").unwrap(), "/accounts", "com.example.created").unwrap()
}

fn structured(event: &CloudEvent) -> Value {
    serde_json::from_slice(&event.structured()).unwrap()
}

#[test]
fn attributes_and_data_are_one_json_object() {
    let full = event()
        .with_subject("a \"quoted\" \\ übject")
        .unwrap()
        .with_time("2026-11-21T12:00:00Z".parse().unwrap())
        .with_extension("traceparent", "00-x")
        .unwrap()
        .with_json("{\"ü\":[1, 2]}".as_bytes())
        .unwrap();
    let expected = serde_json::json!({
        "specversion": "1.0",
        "id": "msg_1",
        "source": "/accounts",
        "type": "com.example.created",
        "subject": "a \"quoted\" \\ übject",
        "time": "2026-11-21T12:00:00Z",
        "traceparent": "00-x",
        "datacontenttype": "application/json",
        "data": {"ü": [1, 2]},
    });
    assert_eq!(structured(&full), expected);
    assert_eq!(structured(&event()).get("data"), None);
    let bytes = event().with_data(ContentType::OCTET_STREAM, b"\xff\0");
    assert_eq!(structured(&bytes)["data_base64"], "/wA=");
    assert_eq!(structured(&bytes)["datacontenttype"], "application/octet-stream");
}

#[test]
fn data_cannot_break_out_of_the_body() {
    for data in
        [&b""[..], b"{", b"{}}", b"1,\"id\":\"msg_2\"", b"{}, {}", b"\"\xff\"", b"nul", b"\xef\xbb\xbf{}"]
    {
        assert_eq!(event().with_json(data), Err(CloudEventError::Data), "{data:?}");
    }
    // What is called JSON without having been parsed is sent as bytes.
    let unchecked = event().with_data(ContentType::JSON, b"1,\"id\":\"msg_2\"");
    assert_eq!(structured(&unchecked)["id"], "msg_1");
}

#[test]
fn binary_mode_has_attributes_as_headers() {
    let event = event().with_subject("50% \"ü\" ~").unwrap().with_json(b"{}").unwrap();
    let binary = event.binary();
    let headers: Vec<_> = binary.headers().collect();
    assert_eq!(
        headers,
        [
            ("ce-specversion", "1.0"),
            ("ce-id", "msg_1"),
            ("ce-source", "/accounts"),
            ("ce-type", "com.example.created"),
            ("ce-subject", "50%25%20%22%C3%BC%22%20~"),
        ]
    );
    assert_eq!((binary.content_type(), binary.data()), (&ContentType::JSON, &b"{}"[..]));
    let empty = event_without_data().binary();
    assert_eq!((empty.content_type(), empty.data()), (&ContentType::OCTET_STREAM, &b""[..]));
    assert!(!format!("{event:?} {binary:?}").contains("accounts"));
}

fn event_without_data() -> CloudEvent {
    event()
}

#[test]
fn attributes_are_bounded_and_plain() {
    let id = || MessageId::parse("msg_1").unwrap();
    let long = "x".repeat(1025);
    for (source, kind) in
        [("", "t"), ("/s", ""), ("/s s", "t"), ("/ü", "t"), ("/s", "t\n"), (&long, "t"), ("/s", &long)]
    {
        assert_eq!(CloudEvent::new(id(), source, kind).unwrap_err().code(), "cloud_event.attribute");
    }
    assert_eq!(event().with_subject("").unwrap_err().code(), "cloud_event.attribute");
    for name in ["", "Upper", "with-dash", "with_score", "ü", "id", "data", "time", &"x".repeat(21)] {
        assert_eq!(event().with_extension(name, "v").unwrap_err().code(), "cloud_event.name", "{name}");
    }
    assert_eq!(event().with_extension("a", "b\r\nc: d").unwrap_err().code(), "cloud_event.attribute");
    let mut full = event();
    for at in 0..16 {
        full = full.with_extension(&format!("ext{at}"), "v").unwrap();
    }
    assert_eq!(full.with_extension("another", "v").unwrap_err().code(), "cloud_event.extensions");
}

proptest! {
    #[test]
    fn whatever_the_attributes_say_is_read_back(subject in "\\PC{1,64}", kind in "\\PC{1,64}", data in any::<Vec<u8>>()) {
        let id = MessageId::parse("msg_1").unwrap();
        let event = CloudEvent::new(id, "/s", &kind).unwrap().with_subject(&subject).unwrap();
        let event = event.with_data(ContentType::OCTET_STREAM, &data);
        let read = structured(&event);
        prop_assert_eq!(read["subject"].as_str(), Some(subject.as_str()));
        prop_assert_eq!(read["type"].as_str(), Some(kind.as_str()));
        let binary = event.binary();
        for (name, value) in binary.headers() {
            prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()), "{}", name);
        }
        prop_assert_eq!(binary.data(), &data[..]);
    }
}
