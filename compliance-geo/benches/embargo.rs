//! What a request pays for a verdict, and a start for compiling policy and databases.

#![expect(clippy::cast_possible_truncation, reason = "the values are small, or meant to be cut")]

use std::hint::black_box;
use std::net::IpAddr;

use compliance_core::clock::Timestamp;
use compliance_geo::database::Database;
use compliance_geo::embargo::{Embargo, Policy};
use divan::Bencher;
use divan::counter::ItemsCount;

const COUNT: usize = 1 << 16;

fn main() {
    divan::main();
}

/// A small multiplicative generator: the figures need spread, not secrecy.
fn random(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

fn v4() -> Vec<IpAddr> {
    random(1).take(COUNT).map(|bits| IpAddr::V4((bits as u32).into())).collect()
}

/// Random addresses inside announced networks: uniformly random ones would nearly all be unallocated.
fn v6() -> Vec<IpAddr> {
    let database = Database::embedded().unwrap();
    let starts: Vec<u128> = database
        .boundaries()
        .filter_map(|start| match start {
            IpAddr::V6(start) if database.country(start.into()).is_some() => Some(start.to_bits()),
            _ => None,
        })
        .collect();
    random(2)
        .take(COUNT)
        .map(|bits| IpAddr::V6((starts[bits as usize % starts.len()] | u128::from(bits)).into()))
        .collect()
}

fn embargo() -> (Embargo, Timestamp) {
    (Embargo::builder().policy(Policy::Us).build().unwrap(), "2026-07-01T00:00:00Z".parse().unwrap())
}

fn verdicts(bencher: Bencher<'_, '_>, addresses: &[IpAddr]) {
    let (embargo, now) = embargo();
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        for ip in addresses {
            let _ = black_box(embargo.class(black_box(*ip), now));
        }
    });
}

#[divan::bench]
fn verdict_v4(bencher: Bencher<'_, '_>) {
    verdicts(bencher, &v4());
}

#[divan::bench]
fn verdict_v6(bencher: Bencher<'_, '_>) {
    verdicts(bencher, &v6());
}

#[divan::bench]
fn screen_v4(bencher: Bencher<'_, '_>) {
    let (embargo, now) = embargo();
    let addresses = v4();
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        for ip in &addresses {
            let _ = black_box(embargo.screen(black_box(*ip), now));
        }
    });
}

#[divan::bench]
fn country_lazy(bencher: Bencher<'_, '_>) {
    let (embargo, now) = embargo();
    let addresses = v4();
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        for ip in &addresses {
            black_box(embargo.screen(black_box(*ip), now).country());
        }
    });
}

#[divan::bench]
fn compile(bencher: Bencher<'_, '_>) {
    bencher.bench_local(embargo);
}
