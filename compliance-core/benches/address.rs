//! `cargo bench -p compliance-core --bench address`

use std::net::IpAddr;

use compliance_core::address::{AddressClass, classify};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

#[divan::bench(args = [
    "93.184.216.34",
    "10.0.0.1",
    "192.0.2.1",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "fe80::1",
    "::ffff:10.0.0.1",
    "2001:0:4136:e378::f7f7:f7f7",
])]
fn classified(bencher: Bencher<'_, '_>, address: &str) {
    let address: IpAddr = address.parse().unwrap();
    bencher.bench(|| matches!(classify(*black_box(&address)), AddressClass::Global));
}
