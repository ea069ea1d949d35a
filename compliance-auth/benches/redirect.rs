//! Redirect checks beside what everybody can write with `url`: join, then compare origins.

use std::hint::black_box;

use compliance_auth::redirect::RedirectPolicy;
use url::Url;

const BASE: &str = "https://app.example.com/login";

fn main() {
    divan::main();
}

fn policy() -> RedirectPolicy {
    RedirectPolicy::builder(BASE)
        .allow("https://partner.example.net".parse().expect("pattern"))
        .build()
        .expect("policy")
}

/// A path and a full URL of 100 bytes each.
fn targets() -> [String; 2] {
    let path = "/projects/7/reports?from=2026-01-01&to=2026-11-21&columns=name,owner,status&sort=-updated&page=12#row-8";
    let full = "https://app.example.com/projects/7/reports?from=2026-01-01&to=2026-11-21&columns=name,owner&page=2#r";
    [path.chars().take(100).collect(), full.chars().take(100).collect()]
}

const HOSTILE: [&str; 6] = [
    "//evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "https://app.example.com@evil.example/",
    "https://app.example.com.evil.example/projects/7",
    "/\t/evil.example",
];

fn join_and_compare(base: &Url, input: &str) -> Option<Url> {
    base.join(input).ok().filter(|url| url.origin() == base.origin())
}

#[divan::bench]
fn check_100_bytes(bencher: divan::Bencher<'_, '_>) {
    let (policy, targets) = (policy(), targets());
    bencher.bench(|| targets.each_ref().map(|target| policy.check(black_box(target)).is_ok()));
}

#[divan::bench]
fn peer_100_bytes(bencher: divan::Bencher<'_, '_>) {
    let (base, targets) = (Url::parse(BASE).expect("base"), targets());
    bencher.bench(|| {
        targets.each_ref().map(|target| join_and_compare(&base, black_box(target)).map(String::from))
    });
}

#[divan::bench]
fn refuse_hostile(bencher: divan::Bencher<'_, '_>) {
    let policy = policy();
    bencher.bench(|| HOSTILE.map(|target| policy.check(black_box(target)).is_err()));
}

#[divan::bench]
fn peer_hostile(bencher: divan::Bencher<'_, '_>) {
    let base = Url::parse(BASE).expect("base");
    bencher.bench(|| HOSTILE.map(|target| join_and_compare(&base, black_box(target)).is_none()));
}
