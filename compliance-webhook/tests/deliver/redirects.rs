//! A redirect is a failed delivery and leads nowhere, whatever it says.

use std::path::PathBuf;

use serde_json::Value;

use super::receiver::{Authority, Certificate, Receiver, Script};
use super::{NAME, check, deliver, endpoint, transport};

/// An endpoint that redirects to `location`, or to a second receiver which the guard would let us dial.
async fn check_redirect(status: u64, location: Option<&str>) {
    let authority = Authority::new();
    let certificate = || authority.issue(&Certificate::for_name(NAME));
    let elsewhere = Receiver::start(certificate(), Script::answer(b"HTTP/1.1 204 Ok\r\n\r\n")).await;
    let own = format!("https://{NAME}:{}/other", elsewhere.port());
    let location = location.unwrap_or(&own);
    let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let receiver = Receiver::start(certificate(), Script::answer(answer.as_bytes())).await;
    let outcome = deliver(transport(&authority), &endpoint(receiver.port(), "/in")).await;
    check(&outcome, "deliver.redirect");
    assert!(!outcome.is_delivered());
    assert_eq!((receiver.requests().len(), elsewhere.connections()), (1, 0), "{status} {location}");
}

#[tokio::test]
async fn no_status_of_3xx_leads_to_a_second_receiver() {
    for status in [300, 301, 302, 303, 305, 307, 308, 399] {
        check_redirect(status, None).await;
    }
    check_redirect(302, Some("/other")).await;
}

#[tokio::test]
async fn delivery_redirect_rows_are_not_followed() {
    let Some(folder) = std::env::var_os("COMPLIANCE_CORPUS") else {
        println!("skipped: COMPLIANCE_CORPUS is not set");
        return;
    };
    let file = PathBuf::from(folder).join("url/corpus.json");
    let text =
        std::fs::read_to_string(file).expect("COMPLIANCE_CORPUS is set: url/corpus.json must be there");
    let corpus: Value = serde_json::from_str(&text).unwrap();
    let rows = corpus["rows"].as_array().unwrap().iter().filter(|row| row["kind"] == "delivery_redirect");
    let mut looked_at = 0;
    for row in rows {
        assert_eq!(row["verdict"], "not-followed");
        let response = &row["context"]["response"];
        check_redirect(response["status"].as_u64().unwrap(), response["location"].as_str()).await;
        looked_at += 1;
    }
    assert!(looked_at >= 8, "{looked_at} rows");
}
