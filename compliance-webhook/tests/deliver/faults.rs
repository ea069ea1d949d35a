//! Receivers that misbehave on purpose: no attempt outlasts its time, takes more than its room, or is told wrongly.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use compliance_webhook::deliver::{Attempt, BodyEnd, Deliver as _, HttpsTransport, Outcome, Timeouts};
use compliance_webhook::sign::MessageId;

use super::receiver::{Authority, Certificate, Receiver, Script};
use super::{NAME, PAYLOAD, check, deliver, endpoint, signer, transport};

async fn start(authority: &Authority, script: Script) -> Receiver {
    Receiver::start(authority.issue(&Certificate::for_name(NAME)), script).await
}

#[tokio::test]
async fn a_body_that_never_ends_is_read_to_the_cap() {
    // A gibibyte, were it read: 16 KiB at a time, chunk after chunk.
    let authority = Authority::new();
    let receiver = start(&authority, Script::Endless { piece: 16 * 1024, pieces: 65_536, pause: None }).await;
    let long = Timeouts { response: Duration::from_secs(60), ..Timeouts::default() };
    let outcome = deliver(transport(&authority).with_timeouts(long), &endpoint(receiver.port(), "/")).await;
    let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
    assert_eq!((answer.status(), answer.body_end()), (200, BodyEnd::Capped));
    // What the sockets between hold, and no more.
    assert!(receiver.written() < 64 << 20, "{}", receiver.written());
}

#[tokio::test]
async fn a_body_that_drips_is_read_to_the_deadline() {
    let authority = Authority::new();
    let pause = Some(Duration::from_millis(20));
    let receiver = start(&authority, Script::Endless { piece: 1, pieces: usize::MAX, pause }).await;
    let outcome = deliver(transport(&authority), &endpoint(receiver.port(), "/")).await;
    let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
    assert_eq!((answer.status(), answer.body_end()), (200, BodyEnd::TimedOut));
}

#[tokio::test]
async fn a_gzip_bomb_is_as_large_as_it_comes() {
    // Eight mebibytes of zeros, which fit the cap as they come, and 128 times those one after the other (RFC 1952,
    // 2.2): a gibibyte, were it unpacked.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![0; 1 << 20];
    for _ in 0..8 {
        packed.write_all(&zeros).unwrap();
    }
    let member = packed.finish().unwrap();
    assert!(member.len() < HttpsTransport::DEFAULT_MAX_BODY_LEN, "{}", member.len());
    for (members, end) in [(1, BodyEnd::Complete), (128, BodyEnd::Capped)] {
        let bomb = member.repeat(members);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        );
        let authority = Authority::new();
        let receiver = start(&authority, Script::answer(&[head.as_bytes(), &bomb].concat())).await;
        let transport = transport(&authority).with_excerpt(1 << 24);
        let outcome = deliver(transport, &endpoint(receiver.port(), "/")).await;
        let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
        let read = answer.excerpt().unwrap();
        assert_eq!((answer.body_end(), bomb.starts_with(read)), (end, true), "{members}");
        // One piece past the cap, and pieces are small.
        assert!(read.len() == bomb.len() || read.len() < 1 << 17, "{} of {}", read.len(), bomb.len());
    }
}

#[tokio::test]
async fn a_reset_after_the_body_takes_nothing_back() {
    let authority = Authority::new();
    let script = Script::AnswerAndReset(Arc::from(&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..]));
    let receiver = start(&authority, script).await;
    let transport = transport(&authority).with_max_idle(0).build().unwrap();
    let endpoint = endpoint(receiver.port(), "/");
    let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
    for connections in 1..=3 {
        let outcome = transport.deliver(Attempt::new(&endpoint, &id, PAYLOAD, &signer)).await;
        check(&outcome, "deliver.delivered");
        assert_eq!(receiver.connections(), connections);
    }
}

#[tokio::test]
async fn interim_answers_without_end_are_no_answer() {
    let authority = Authority::new();
    let script = Script::answer_and_hang(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000));
    let receiver = start(&authority, script).await;
    check(&deliver(transport(&authority), &endpoint(receiver.port(), "/")).await, "deliver.response_timeout");
}

#[tokio::test]
async fn hostile_retry_after_headers_are_read_by_nobody_but_the_schedule() {
    use compliance_core::clock::Timestamp;
    use compliance_webhook::schedule::RetryAfter;

    let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    for (value, parses) in [
        ("120", true),
        ("0", true),
        ("Sat, 21 Nov 2026 12:02:00 GMT", true),
        ("Saturday, 21-Nov-26 12:02:00 GMT", true),
        ("Sat Nov 21 12:02:00 2026", true),
        ("1e30", false),
        ("inf", false),
        ("NaN", false),
        ("-1", false),
        ("+1", false),
        ("9223372036854775808", true),
        ("99999999999999999999999999", true),
        ("Sat, 99 Nov 2026 12:02:00 GMT", false),
    ] {
        let response = format!("HTTP/1.1 429 Slow\r\nretry-after: {value}\r\ncontent-length: 0\r\n\r\n");
        let authority = Authority::new();
        let receiver = start(&authority, Script::answer(response.as_bytes())).await;
        let outcome = deliver(transport(&authority), &endpoint(receiver.port(), "/")).await;
        let Outcome::Answered(answer) = outcome else { panic!("{outcome:?}") };
        let kept = answer.retry_after().unwrap();
        assert_eq!(kept, value);
        assert_eq!(RetryAfter::parse(kept.as_bytes(), now).is_ok(), parses, "{value}");
    }
}
