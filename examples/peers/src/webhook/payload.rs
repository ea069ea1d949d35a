//! What is sent: JSON of exactly 1 KiB.

use crate::random::{ALPHANUMERIC, Random};

/// The length of every payload, in bytes.
pub(super) const PAYLOAD_LEN: usize = 1024;

/// That many, each different.
pub(super) fn payloads(count: usize) -> Vec<Vec<u8>> {
    let mut random = Random::seeded(4);
    let payload = |n: usize| {
        let (head, tail) = (format!(r#"{{"type":"invoice.paid","sequence":{n:08},"data":""#), r#""}"#);
        let data = random.text(ALPHANUMERIC, PAYLOAD_LEN.saturating_sub(head.len() + tail.len()));
        format!("{head}{data}{tail}").into_bytes()
    };
    (0..count).map(payload).collect()
}
