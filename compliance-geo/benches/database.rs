//! What a start pays for a database, and a look-up for a country.

use std::hint::black_box;
use std::net::IpAddr;

use compliance_geo::database::Database;
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

#[divan::bench]
fn load_embedded(bencher: Bencher<'_, '_>) {
    let table = Database::embedded().unwrap().to_country_table();
    bencher.bench_local(|| Database::from_country_table(black_box(&table)));
}

#[divan::bench]
fn country(bencher: Bencher<'_, '_>) {
    const COUNT: u32 = 1 << 16;
    let database = Database::embedded().unwrap();
    // Spread by the golden ratio over all of IPv4.
    let addresses: Vec<IpAddr> = (0..COUNT).map(|n| IpAddr::V4(n.wrapping_mul(0x9e37_79b9).into())).collect();
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| {
        for ip in &addresses {
            black_box(database.country(black_box(*ip)));
        }
    });
}
