//! `cargo bench -p compliance-core --features seal --bench seal`

use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyRing, SealContext};
use divan::{Bencher, black_box};

const CONTEXT: SealContext<'_> = SealContext::new("audit.field").record(b"event-1/email");

fn main() {
    divan::main();
}

fn ring() -> (KeyRing, KeyOwner) {
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    (ring, KeyOwner::new("audit.subject", "user-17").unwrap())
}

#[divan::bench(args = [16, 256, 4096])]
fn seal(bencher: Bencher<'_, '_>, len: usize) {
    let (ring, owner) = ring();
    let (key, _) = ring.create(&owner, &SystemRandom).unwrap();
    let value = vec![b'x'; len];
    bencher.bench(|| key.seal(CONTEXT, black_box(&value), &SystemRandom).unwrap());
}

#[divan::bench(args = [16, 256, 4096])]
fn open(bencher: Bencher<'_, '_>, len: usize) {
    let (ring, owner) = ring();
    let (key, _) = ring.create(&owner, &SystemRandom).unwrap();
    let sealed = key.seal(CONTEXT, &vec![b'x'; len], &SystemRandom).unwrap();
    bencher.bench(|| key.open(CONTEXT, black_box(&sealed)).unwrap());
}

#[divan::bench]
fn unwrap_key(bencher: Bencher<'_, '_>) {
    let (ring, owner) = ring();
    let (_, wrapped) = ring.create(&owner, &SystemRandom).unwrap();
    bencher.bench(|| ring.unwrap_key(&owner, black_box(&wrapped)).unwrap());
}
