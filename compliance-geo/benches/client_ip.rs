//! What a request pays for finding its client.

use std::hint::black_box;
use std::net::IpAddr;

use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
use divan::Bencher;

fn main() {
    divan::main();
}

#[divan::bench]
fn x_forwarded_for(bencher: Bencher<'_, '_>) {
    let rule = ClientIp::new(TrustedProxies::parse(["10.0.0.0/8"]).unwrap(), Source::XForwardedFor).unwrap();
    let headers = [("x-forwarded-for", "198.51.100.7, 10.0.0.2, 10.0.0.3")];
    let peer: IpAddr = "10.0.0.1".parse().unwrap();
    bencher.bench_local(|| rule.find(black_box(peer), black_box(&headers)));
}
