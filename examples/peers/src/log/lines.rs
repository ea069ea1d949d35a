//! Log lines.

use std::path::Path;

use crate::measure::Failure;
use crate::random::{ALPHANUMERIC, Random};

const COUNT: usize = 6000;

/// Lines to redact.
pub(super) struct Lines {
    pub(super) all: Vec<String>,
    /// Those in which there is nothing to find.
    pub(super) clean: Vec<String>,
}

impl Lines {
    /// From the corpus where there is one.
    pub(super) fn read() -> Result<Self, Failure> {
        match std::env::var_os("COMPLIANCE_CORPUS") {
            Some(corpus) => Self::labelled(&Path::new(&corpus).join("redact").join("dev.jsonl")),
            None => Ok(Self::made_up()),
        }
    }

    /// `{"text": "…", "spans": [{…}, …]}` per line.
    fn labelled(path: &Path) -> Result<Self, Failure> {
        let mut lines = Self { all: Vec::new(), clean: Vec::new() };
        for line in std::fs::read_to_string(path)?.lines() {
            let line: serde_json::Value = serde_json::from_str(line)?;
            let text = line.get("text").and_then(|text| text.as_str()).ok_or("a line without text")?;
            let spans = line.get("spans").and_then(|spans| spans.as_array()).ok_or("a line without spans")?;
            if spans.is_empty() {
                lines.clean.push(text.to_owned());
            }
            lines.all.push(text.to_owned());
        }
        Ok(lines)
    }

    /// One in ten clean, the others with one to three values, as in the corpus.
    fn made_up() -> Self {
        let mut random = Random::seeded(8);
        let all: Vec<(bool, String)> = (0..COUNT)
            .map(|n| if n % 10 == 0 { (true, clean(&mut random)) } else { (false, dense(n, &mut random)) })
            .collect();
        let clean = all.iter().filter(|(clean, _)| *clean).map(|(_, line)| line.clone()).collect();
        Self { all: all.into_iter().map(|(_, line)| line).collect(), clean }
    }
}

const HEX: &[u8] = b"0123456789abcdef";
const DIGITS: &[u8] = b"0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn clean(random: &mut Random) -> String {
    let target = random.pick(&["app::auth", "sqlx::query", "hyper::proto::h1::io"]).unwrap_or_default();
    let at = time(random);
    let mut hex = |len| random.text(HEX, len);
    let (id, short, long) = (hex(32), hex(16), hex(40));
    let number = random.below(9000) + 1000;
    match random.below(6) {
        0 => format!(
            "{at} INFO {target}: request completed method=GET path=/a/b/{number} status=200 latency_ms={number} trace_id={id}"
        ),
        1 => format!("{at} DEBUG {target}: cache hit key={} version=3.8.4 ratio=53.{number}", uuid(&id)),
        2 => format!("{at} WARN {target}: slow query took {number}ms rows=41858160 span={short}"),
        3 => format!("build 8.26.90 commit {long} listening on 0.0.0.0:17399"),
        4 => format!(
            "{at} INFO {target}: checkpoint {long} at 0x6b3b782d3cf1 epoch=178169767{number} size=13734420"
        ),
        _ => format!(
            "{at} INFO worker-6 {target}: shipped ORD-773564{number} tracking 639532275014{number} sku=SKU436-6875-97"
        ),
    }
}

fn dense(n: usize, random: &mut Random) -> String {
    let at = time(random);
    let mail = email(random);
    let ip = random.u32().to_be_bytes();
    let ip = format!("{}.{}.{}.{}", ip[0] % 100 + 20, ip[1], ip[2], ip[3]);
    let token = random.text(ALPHANUMERIC, 36);
    let hex = random.text(HEX, 32);
    let phone = format!("+4930{}", random.text(b"23456789", 8));
    match n % 20 {
        0 | 1 => format!("{at} WARN app::auth: login failed for {mail} from {ip}:62883, attempts=3"),
        2 => format!("{at} INFO app::auth: login succeeded user={mail} ip={ip} session={hex}"),
        3 => format!(
            "{at} INFO app::billing: payout to iban={} order=ORD-{} amount=1200.00",
            iban(random),
            &hex.len()
        ),
        4 => format!(
            r#"{{"level":"warn","msg":"duplicate customer","name":"Vincent Lebreton","dob":"13.01.1946","email":"{mail}"}}"#
        ),
        5 => format!("payment with {} declined for {mail}", card(random)),
        6 => format!("GET /search?q=foo&email={}&phone={phone} HTTP/1.1 200 2044", mail.replace('@', "%40")),
        7 => format!(
            "client 2001:db8:{}:{}::9980:7b3 connected, sku SKU793-8347-01",
            &token_hex(&hex, 0),
            &token_hex(&hex, 4)
        ),
        8 => format!("dhcp lease for 16:c2:74:e1:{}:48 expires in 77938s", random.text(HEX, 2)),
        9 => format!("{at} DEBUG http: Set-Cookie: session_id={hex}; Path=/; HttpOnly"),
        10 => format!("password={} user=admin host=10", random.text(ALPHANUMERIC, 11)),
        11 => format!("customer Clifford Wilson called from {phone} about order ORD-0326755639"),
        12 => {
            format!("loaded aws credentials access_key_id=AKIA{} region=eu-central-1", random.text(UPPER, 16))
        }
        13 => format!("git clone https://ghp_{token}@github.com/acme/app.git failed after 643 ms"),
        14 => {
            format!("redis url redis://:{}@cache:6379/0 connected in 8639ms", random.text(ALPHANUMERIC, 12))
        }
        15 => format!(
            "{at} TRACE http: > Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJkSWtLcz{token}.{token}"
        ),
        16 => format!("applicant ssn={} dob=25.06.1987 status=ok", ssn(random)),
        17 => format!("{at} ERROR app::mail: SMTP 550 rejected RCPT TO:<{mail}> queue={hex}"),
        18 => format!(
            "thread 'main' panicked at src/user.rs:42:17: called `Result::unwrap()` on an `Err` value: InvalidPhone(\"{phone}\")"
        ),
        _ => format!("X-Forwarded-For: {ip}, 113.142.224.136"),
    }
}

fn time(random: &mut Random) -> String {
    let (month, day, hour) = (random.below(12) + 1, random.below(28) + 1, random.below(24));
    format!("2026-{month:02}-{day:02}T{hour:02}:51:02.{}Z", random.text(DIGITS, 6))
}

fn email(random: &mut Random) -> String {
    let name = random.pick(&["anna", "lhayes", "gail", "j.moss", "vowen", "delorme.j"]).unwrap_or_default();
    let host = random.pick(&["gmail.com", "yahoo.fr", "klein.com", "stichting.net"]).unwrap_or_default();
    format!("{name}{}@{host}", random.below(1000))
}

fn uuid(hex: &str) -> String {
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

fn token_hex(hex: &str, from: usize) -> String {
    format!("a{}", hex.get(from..from + 3).unwrap_or_default())
}

fn ssn(random: &mut Random) -> String {
    format!("{}-{:02}-{:04}", random.below(600) + 1, random.below(99) + 1, random.below(9999) + 1)
}

/// A German account number with its check digits (ISO 7064 MOD 97-10).
fn iban(random: &mut Random) -> String {
    let account = random.text(DIGITS, 18);
    // `DE00` behind the account, letters as two digits.
    let rest =
        format!("{account}131400").bytes().fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    format!("DE{:02}{account}", 98 - rest)
}

/// A card number with its Luhn digit.
fn card(random: &mut Random) -> String {
    let number = format!("4{}", random.text(DIGITS, 14));
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let digits = number.bytes().rev().map(|digit| u32::from(digit - b'0')).enumerate();
    let sum: u32 = digits.map(|(place, digit)| if place % 2 == 0 { doubled(digit) } else { digit }).sum();
    format!("{number}{}", (10 - sum % 10) % 10)
}
