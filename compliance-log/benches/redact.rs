//! What redaction costs: on clean lines, on lines full of hits, and around a JSON log.

use compliance_log::redact::Redactor;
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const CLEAN: &[&str] = &[
    "2026-10-20T19:12:18.370017Z WARN reqwest::connect: slow query took 1087ms rows=54851149 span=7141984226eac7e5",
    "build 2.30.60 commit 442aab094052a89b99cb4fbd0388c0bdcdc13927 listening on 0.0.0.0:36761",
    "2026-11-16T22:00:22.110274Z INFO app::auth: request completed method=GET path=/a/b/c status=200 latency_ms=7528",
    "2026-06-09T22:25:03.091007Z DEBUG app::billing: cache hit key=42910ef4-d70a-4aec-83f1-2d35604b415a ratio=37.254527",
];

const DENSE: &[&str] = &[
    "login failed for anna@example.com from 203.0.113.7:4040, attempts=3",
    "{\"level\":\"error\",\"password\":\"Geheim!99\",\"user\":\"anna@example.com\",\"err\":\"invalid credentials\"}",
    "Rechnung an Frau Jelena Hoffmann, IBAN DE89 3704 0044 0532 0130 00, USt-IdNr. DE136695976",
    "charge card=4111111111111111 amount=42.50 order=ORD-6152621885",
];

#[divan::bench]
fn clean(bencher: Bencher<'_, '_>) {
    let redactor = Redactor::new();
    bencher.bench_local(|| CLEAN.iter().map(|line| redactor.redact(black_box(line)).len()).sum::<usize>());
}

/// The floor: one pass over the same lines for one byte.
#[divan::bench]
fn clean_memchr() -> usize {
    CLEAN.iter().filter(|line| memchr::memchr(b'@', black_box(line.as_bytes())).is_some()).count()
}

#[divan::bench]
fn dense(bencher: Bencher<'_, '_>) {
    let redactor = Redactor::new();
    bencher.bench_local(|| DENSE.iter().map(|line| redactor.redact(black_box(line)).len()).sum::<usize>());
}

#[cfg(feature = "tracing")]
mod layer {
    use super::*;
    use compliance_log::layer::redacting;
    use tracing_subscriber::prelude::*;

    fn json() -> impl tracing::Subscriber + Send + Sync {
        tracing_subscriber::registry()
            .with(tracing_subscriber::fmt::layer().json().with_writer(std::io::sink))
    }

    fn log() {
        tracing::info!(method = "GET", path = "/a/b/c", status = 200, latency_ms = 7528, "request completed");
    }

    #[divan::bench]
    fn json_alone(bencher: Bencher<'_, '_>) {
        let dispatch = tracing::Dispatch::new(json());
        tracing::dispatcher::with_default(&dispatch, || bencher.bench_local(log));
    }

    #[divan::bench]
    fn json_redacted(bencher: Bencher<'_, '_>) {
        let dispatch = redacting(json(), Redactor::new()).into_dispatch();
        tracing::dispatcher::with_default(&dispatch, || bencher.bench_local(log));
    }
}
