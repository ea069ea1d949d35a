//! The engine beside one that has no masks: it calls detectors at every byte where one may be called.

use proptest::prelude::*;

use super::anchor::Anchors;
use super::custom::Customs;
use super::detect::{Hit, Scan};
use super::engine::{MAX_DEPTH, find, find_rest, merge, pass};
use super::lexicon::starts_word;
use super::text::{DIGIT, LOWER, Text, UPPER, WORD};
use super::timestamp::timestamp_end;

/// Every anchor of sixty-four bytes.
fn window(text: Text<'_>, from: usize, start: usize) -> Anchors {
    let mut anchors = Anchors { start, ..Anchors::default() };
    for at in start.max(from)..text.len().min(start + 64) {
        let one = 1 << (at - start);
        if starts_word(text, at) {
            anchors.words |= one;
            anchors.lettered |= one;
        }
        if text.is(at, DIGIT) && !text.is_before(at, WORD) {
            anchors.numbers |= one;
        }
        let plain = UPPER | LOWER | DIGIT;
        let run = text.slice(at, text.run_end(at, plain, usize::MAX));
        if !text.is_before(at, WORD) && run.len() >= 8 && run.iter().any(u8::is_ascii_uppercase) {
            anchors.runs |= one;
        }
        if !text.is(at, plain) {
            anchors.all |= one;
        }
    }
    anchors.all |= anchors.words | anchors.numbers | anchors.runs;
    anchors
}

fn slow(text: &str) -> Vec<Hit> {
    let source = Text::new(text);
    let from = timestamp_end(source);
    let mut windows =
        (0..text.len()).step_by(64).map(|start| window(source, from, start)).filter(|found| found.all != 0);
    let (mut hits, mut hidden) = (Vec::new(), Vec::new());
    if let Some(first) = windows.next() {
        let mut scan = Scan::new(text, &[], &mut hits);
        pass(&mut scan, &mut hidden, first, |_| windows.next());
        // Whether anything is encoded is asked of the text itself.
        find_rest(text, &[], &Customs::default(), MAX_DEPTH, &mut hits, hidden, true).unwrap();
    }
    merged(text, hits)
}

fn fast(text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    find(text, &[], &Customs::default(), MAX_DEPTH, &mut hits).unwrap();
    merged(text, hits)
}

fn merged(text: &str, mut hits: Vec<Hit>) -> Vec<Hit> {
    merge(text, &mut hits);
    hits
}

#[track_caller]
fn check(text: &str) {
    assert_eq!(fast(text), slow(text), "{text:?}");
}

const PIECES: &[&str] = &[
    "anna@example.com",
    "4111 1111 1111 1111",
    "4111111111111111",
    "DE89370400440532013000",
    "DE89 3704 0044 0532 0130 00",
    "AB 12 34 56 C",
    "AB123456C",
    "RSSMRA85T10A562S",
    "AFZPK7190K",
    "X-1234567-L",
    "131052-308T",
    "12345678Z",
    "65180539W001",
    "203.0.113.7",
    "8.8.8.8",
    "0.0.0.0:80",
    "2001:db8::1",
    "fe80::1",
    "00:1b:44:11:3a:b7",
    "00-1b-44-11-3a-b7",
    "001b.4411.3ab7",
    "+49 30 1234567",
    "(943) 216-1068",
    "943-216-1068",
    "06 58 19 40 35",
    "219-09-9999",
    "111222333",
    "756.9217.0769.85",
    "01010012356",
    "180126955222380",
    "1757282311145",
    "529.982.247-25",
    "11.222.333/0001-81",
    "85.07.30-033.28",
    "password",
    "dbpassword=",
    "mytoken=",
    "authtoken",
    "apiKey",
    "seSsion=81197ea861da1b1049204048e0dd7c7d",
    "IdNr 46 649508014",
    "firstName",
    "IdNr",
    "SSN",
    "ssn",
    "BSN",
    "phone",
    "born",
    "lat",
    "1974-07-14",
    "52.5163, 13.3777",
    "Dear",
    "Anna",
    "Kok",
    "client",
    "name",
    "Frau",
    "ms",
    "Ms",
    "Bearer",
    "Basic",
    "dXNlcjpwYXNz",
    "order",
    "key",
    "auth",
    "api_key",
    "ratio=37.807834",
    "2026-01-07T04:51:19.830010Z ",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.x",
    "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",
    "dapiabcdefabcdefabcdefabcdefabcdef12",
    "AKIAIOSFODNN7EXAMPLE",
    "YW5uYUBleGFtcGxlLmNvbQ==",
    "9da9065d-d92f-477b-a678-c077757e5228",
    "43d0e2466ecdd853389fb667dc1464036d77b202",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaY",
    "%40",
    "%20",
    "\\u0040",
    "&#64;",
    "\u{200b}",
    "é",
    "名",
    "телефон",
    "=",
    ":",
    "::",
    "\"",
    "\\\"",
    " ",
    " ",
    " ",
    ",",
    "-",
    ".",
    "/",
    "[",
    "]",
    "[EMAIL]",
    "&",
    "\n",
    "0",
    "7",
    "12",
    "x",
    "Cookie:",
    "sid=abc123;",
    "://",
    "@",
    "'",
    "(",
    ")",
    "app::auth: ",
    "_",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn masks_miss_nothing(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        let text = pieces.concat();
        prop_assert_eq!(fast(&text), slow(&text));
    }

    #[test]
    fn masks_miss_nothing_at_any_offset(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 1..6), before in 0_usize..260, after in 0_usize..70,
    ) {
        let text = format!("{} {}{}", "x".repeat(before), pieces.concat(), "é".repeat(after));
        prop_assert_eq!(fast(&text), slow(&text));
    }
}

#[test]
fn every_piece_is_found_at_every_place() {
    for piece in PIECES {
        for before in 0..190 {
            check(&format!("{:>before$}{piece}", ""));
            check(&format!("{:>before$}{piece}{:30}", "", ""));
        }
    }
}

#[test]
fn labelled_lines_are_the_same() {
    let Some(corpus) = std::env::var_os("COMPLIANCE_CORPUS") else {
        println!("skipped: COMPLIANCE_CORPUS is not set");
        return;
    };
    let path = std::path::Path::new(&corpus).join("redact/dev.jsonl");
    let lines = std::fs::read_to_string(path).expect("COMPLIANCE_CORPUS holds redact/dev.jsonl");
    lines.lines().for_each(check);
}
