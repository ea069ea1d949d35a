//! `cargo bench -p compliance-core --features pseudonym --bench pseudonym`

use compliance_core::pseudonym::{Epoch, PseudonymKey};
use compliance_core::pseudonym_domain;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

#[divan::bench]
fn one(bencher: Bencher<'_, '_>) {
    let key = PseudonymKey::new(&[7; 32], Epoch::new(0)).unwrap();
    let emails = key.pseudonymiser(None, pseudonym_domain!("log.email"), Epoch::new(0)).unwrap();
    bencher.bench(|| emails.pseudonym(black_box(b"anna@example.com")));
}

#[divan::bench(args = [0, 100])]
fn pseudonymiser_of_epoch(bencher: Bencher<'_, '_>, epoch: u32) {
    let key = PseudonymKey::new(&[7; 32], Epoch::new(0)).unwrap();
    bencher.bench(|| key.pseudonymiser(None, pseudonym_domain!("log.email"), Epoch::new(epoch)).unwrap());
}
