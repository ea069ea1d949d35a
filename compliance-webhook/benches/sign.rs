//! `cargo bench -p compliance-webhook --bench sign`

use compliance_core::clock::Timestamp;
use compliance_webhook::sign::{MessageId, Signer, SigningKey};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

#[divan::bench(args = [0, 1024, 20_000])]
fn ours(bencher: Bencher<'_, '_>, len: usize) {
    let signer = Signer::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let id = MessageId::parse("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk").unwrap();
    let payload = vec![b'x'; len];
    let at = Timestamp::from_unix_seconds(1_649_367_553);
    bencher.bench(|| {
        signer.sign(black_box(&id), at, black_box(&payload)).map(|signed| signed.signature().len())
    });
}

#[divan::bench(args = [0, 1024, 20_000])]
fn standardwebhooks(bencher: Bencher<'_, '_>, len: usize) {
    let webhook = standardwebhooks::Webhook::from_bytes(vec![7; 32]).unwrap();
    let payload = vec![b'x'; len];
    bencher.bench(|| {
        webhook.sign(black_box("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"), 1_649_367_553, black_box(&payload))
    });
}
