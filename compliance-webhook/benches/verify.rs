//! `cargo bench -p compliance-webhook --bench verify`

use compliance_core::clock::{Clock as _, SystemClock};
use compliance_webhook::sign::{MessageId, Signer, SigningKey};
use compliance_webhook::verify::Verifier;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// The official library reads the system clock, so the message has to be fresh.
fn headers(payload: &[u8]) -> http::HeaderMap {
    let id = MessageId::parse("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk").unwrap();
    let signer = Signer::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let signed = signer.sign(&id, SystemClock.now(), payload).unwrap();
    signed.pairs().into_iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[divan::bench(args = [0, 1024, 20_000])]
fn ours(bencher: Bencher<'_, '_>, len: usize) {
    let payload = vec![b'x'; len];
    let headers = headers(&payload);
    let verifier = Verifier::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let now = SystemClock.now();
    bencher.bench(|| {
        let fields = black_box(&headers).iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        verifier.verify(fields, black_box(&payload[..]), now).unwrap();
    });
}

#[divan::bench(args = [0, 1024, 20_000])]
fn standardwebhooks(bencher: Bencher<'_, '_>, len: usize) {
    let payload = vec![b'x'; len];
    let headers = headers(&payload);
    let webhook = standardwebhooks::Webhook::from_bytes(vec![7; 32]).unwrap();
    bencher.bench(|| webhook.verify(black_box(&payload), black_box(&headers)).unwrap());
}
