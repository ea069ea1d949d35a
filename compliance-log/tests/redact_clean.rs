//! A thousand lines of a service's own, none with anybody in it: identifiers, digests, times, versions, sizes.

use std::borrow::Cow;

use compliance_log::redact::Redactor;

/// The same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 20
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| char::from_digit((self.next() % 16) as u32, 16).unwrap()).collect()
    }

    fn digits(&mut self, digits: usize) -> String {
        (0..digits)
            .map(|at| {
                char::from_digit(u32::try_from(self.next() % if at == 0 { 9 } else { 10 }).unwrap(), 10)
                    .unwrap()
            })
            .collect()
    }
}

fn line(n: u64, random: &mut Numbers) -> String {
    let time = format!(
        "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{}Z",
        random.below(12) + 1,
        random.below(28) + 1,
        random.below(24),
        random.below(60),
        random.below(60),
        random.digits(6)
    );
    let uuid = format!(
        "{}-{}-4{}-a{}-{}",
        random.hex(8),
        random.hex(4),
        random.hex(3),
        random.hex(3),
        random.hex(12)
    );
    let (a, b, c) = (random.below(40), random.below(99), random.below(9999));
    match n % 24 {
        0 => format!("{time} INFO http: GET /v1/items/{c} 200 {b}ms trace_id={}", random.hex(32)),
        1 => format!("{time} DEBUG cache hit key={uuid}"),
        2 => format!("build {a}.{b}.{c} commit {}", random.hex(40)),
        3 => format!("{time} receiving block blk_-{} size {}", random.digits(19), random.digits(8)),
        4 => format!("shipped ORD-{} sku=SKU{b}-{c}-{a} parcel {}", random.digits(10), random.digits(12)),
        5 => format!("epoch={} offset={} partition={a}", random.digits(10), random.digits(9)),
        6 => format!("{time} WARN slow query took {c}.{b}ms rows={}", random.digits(7)),
        7 => format!(
            "thread 'worker-{a}' panicked at src/engine.rs:{c}:{b}: index out of bounds: the len is {a}"
        ),
        8 => format!("sha256:{} pushed to registry/app:{a}.{b}.{c}-rc.1", random.hex(64)),
        9 => format!(
            "listening on 0.0.0.0:{c}, metrics on 127.0.0.1:{}, peer 10.{a}.{b}.7",
            random.below(9999)
        ),
        10 => format!(
            "{time} Datei geschrieben: /var/lib/app/{}/daten.bin ({} Bytes)",
            random.hex(8),
            random.digits(9)
        ),
        11 => format!("{time} requête terminée en {c} ms, statut 200, jeton de synchronisation {a}"),
        12 => format!("{time} verzoek voltooid in {c} ms, poging {a} van {b}"),
        13 => format!("at std::io::Error::new (a::b::c::h{}:{c})", random.hex(16)),
        14 => format!(
            "gc: heap {}K->{}K, pause {a}.{b}ms, 0x{}",
            random.digits(6),
            random.digits(5),
            random.hex(12)
        ),
        15 => format!("etag W/\"{}-{}\" max-age={c}", random.hex(4), random.hex(10)),
        20 => format!(
            "\"GET /a HTTP/2\" 200 \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 \
             Safari/537.36 Edg/{}.0.0.0\"",
            100 + a,
            100 + a
        ),
        21 => format!("snmp oid=1.3.6.1.4.1.{c}.{a} and section {a}.{}.{}.1 of RFC {c}", b % 9, a % 5),
        22 => format!(
            "rotated app-{:02}{:02}{:02}-{:02}{:02}.log, calls=1{} call_id=8{} uid={c} rc=-1{} pps=1{}",
            20 + a % 10,
            random.below(12) + 1,
            random.below(28) + 1,
            random.below(24),
            random.below(60),
            random.digits(7),
            random.digits(8),
            random.digits(9),
            random.digits(7)
        ),
        23 => {
            format!("C:\\new\\build\\{a}\\file_{c}.txt → {{\"m\":\"line\\nnext\\t{c}\"}} … “done” in {b} ms")
        }
        16 => format!("invoice run {} finished: {c} ok, {a} failed, version v{a}.{b}", random.digits(6)),
        17 => format!(
            "{{\"level\":\"info\",\"id\":\"{uuid}\",\"took_ms\":{c},\"ratio\":0.{}}}",
            random.digits(6)
        ),
        18 => format!(
            "job {uuid} retried {a} times, next in {b}s (kubernetes pod api-{}-{})",
            random.hex(10),
            random.hex(5)
        ),
        _ => format!("{time} TRACE poll ready=true tasks={a} steals={b} span={}", random.hex(16)),
    }
}

#[test]
fn technical_lines_are_nobodys() {
    let redactor = Redactor::new();
    let mut random = Numbers(7);
    for n in 0..1000 {
        let line = line(n, &mut random);
        assert!(matches!(redactor.redact(&line), Cow::Borrowed(_)), "{line}\n{}", redactor.redact(&line));
    }
}
