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

fn read(body: &str) -> Result<CloudEvent, &'static str> {
    CloudEvent::parse(body.as_bytes()).map_err(|error| error.code())
}

#[test]
fn an_event_of_another_system_is_read() {
    let body = r#" { "id" : "a.1", "specversion":"1.0","source":"urn:x","type":"t","time":"2026-11-21T12:00:00Z",
        "sequence":7,"sampled":true,"none":null,"datacontenttype":"application/vnd.x+json; v=1","data":{ "n":1e2 }}"#;
    let event = read(body).unwrap();
    let binary = event.binary();
    let headers: Vec<_> = binary.headers().collect();
    assert_eq!(
        headers,
        [
            ("ce-id", "a.1"),
            ("ce-specversion", "1.0"),
            ("ce-source", "urn:x"),
            ("ce-type", "t"),
            ("ce-time", "2026-11-21T12:00:00Z"),
            ("ce-sequence", "7"),
            ("ce-sampled", "true"),
        ]
    );
    assert_eq!(binary.content_type().as_str(), "application/vnd.x+json; v=1");
    assert_eq!(binary.data(), br#"{ "n":1e2 }"#, "data stay as they were");

    let with = |rest: &str| {
        let event = read(&format!(r#"{{"id":"1","specversion":"1.0","source":"/s","type":"t"{rest}}}"#));
        event.map(|event| (event.binary().content_type().as_str().to_owned(), event.binary().data().to_vec()))
    };
    assert_eq!(with(""), Ok(("application/octet-stream".to_owned(), Vec::new())));
    assert_eq!(with(r#","data":null"#), Ok(("application/json".to_owned(), b"null".to_vec())));
    let text = r#","datacontenttype":"text/plain","data":"\u00fc""#;
    assert_eq!(with(text), Ok(("text/plain".to_owned(), "ü".as_bytes().to_vec())));
    let bytes = r#","datacontenttype":"image/png","data_base64":"/wA=""#;
    assert_eq!(with(bytes), Ok(("image/png".to_owned(), vec![255, 0])));
}

#[test]
fn what_is_no_event_is_not_read() {
    for body in ["", "{", "[]", "1", "null", "{} {}", "\u{feff}{}", r#"{"id":"1","id":"1"}"#] {
        assert_eq!(read(body), Err("cloud_event.body"), "{body}");
    }
    assert_eq!(CloudEvent::parse(b"{\"id\":\"\xff\"}").unwrap_err().code(), "cloud_event.body");
    let many: String = (0..65).map(|at| format!("\"a{at}\":null,")).collect();
    assert_eq!(read(&format!("{{{}}}", many.trim_end_matches(','))), Err("cloud_event.body"));

    let with = |rest: &str| {
        read(&format!(r#"{{"id":"1","specversion":"1.0","source":"/s","type":"t",{rest}}}"#)).map(drop)
    };
    for (rest, code) in [
        (r#""data":1,"data_base64":"""#, "cloud_event.data"),
        (r#""data_base64":"&""#, "cloud_event.data"),
        (r#""data_base64":1"#, "cloud_event.data"),
        (r#""datacontenttype":"text/plain","data":{}"#, "cloud_event.data"),
        (r#""datacontenttype":"json","data":{}"#, "cloud_event.attribute"),
        (r#""a":1.5"#, "cloud_event.attribute"),
        (r#""a":2147483648"#, "cloud_event.attribute"),
        (r#""a":{}"#, "cloud_event.attribute"),
        (r#""a":"""#, "cloud_event.attribute"),
        (r#""a":"\r\nx: y""#, "cloud_event.attribute"),
        (r#""A":"v""#, "cloud_event.name"),
        (r#""with-dash":"v""#, "cloud_event.name"),
    ] {
        assert_eq!(with(rest), Err(code), "{rest}");
    }
    let extensions: String = (0..17).map(|at| format!("\"a{at}\":1,")).collect();
    assert_eq!(with(extensions.trim_end_matches(',')), Err("cloud_event.extensions"));
    for incomplete in [
        r#"{"specversion":"1.0","source":"/s","type":"t"}"#,
        r#"{"id":"1","source":"/s","type":"t"}"#,
        r#"{"id":"1","specversion":"0.3","source":"/s","type":"t"}"#,
        r#"{"id":"1","specversion":"1.0","source":"/ü","type":"t"}"#,
        r#"{"id":"1","specversion":"1.0","source":"/s","type":null}"#,
    ] {
        assert_eq!(read(incomplete), Err("cloud_event.attribute"), "{incomplete}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        subject in "\\PC{1,64}",
        extension in "[a-z0-9]{1,9}x",
        value in "\\PC{1,64}",
        data in any::<Vec<u8>>(),
        number in any::<i64>(),
        kind in 0..4,
    ) {
        let event = event().with_subject(&subject).unwrap().with_extension(&extension, &value).unwrap();
        let event = match kind {
            0 => event,
            1 => event.with_json(format!("[{number} , {}]", Value::from(&*subject)).as_bytes()).unwrap(),
            2 => event.with_data(ContentType::JSON, &data),
            _ => event.with_data(ContentType::parse("text/plain").unwrap(), &data),
        };
        prop_assert_eq!(CloudEvent::parse(&event.structured()), Ok(event));
    }
}
