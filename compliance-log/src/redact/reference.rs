//! The engine beside one that has no masks: it calls detectors at every byte where one may be called. And what was redacted
//! beside a second scan of it, whether that was needed or not.

use proptest::prelude::*;

use super::Redactor;
use super::anchor::Anchors;
use super::custom::Customs;
use super::detect::{Hits, Scan};
use super::detector::Detector;
use super::engine::{Search, find, find_from, find_rest, merge, pass, windows};
use super::lexicon::starts_word;
use super::rule::Rules;
use super::settled::Doubts;
use super::text::{ALNUM, DIGIT, Text, WORD};
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
        let run = text.slice(at, text.run_end(at, ALNUM, usize::MAX));
        if !text.is_before(at, WORD) && run.len() >= 8 && run.iter().any(u8::is_ascii_uppercase) {
            anchors.runs |= one;
        }
        if !text.is(at, ALNUM) {
            anchors.all |= one;
        }
    }
    anchors.all |= anchors.words | anchors.numbers | anchors.runs;
    anchors
}

/// The merged hits; where all values are replaced, what lies in one goes with it.
fn slow(text: &str, replaces_all: bool) -> Hits {
    let source = Text::new(text);
    let from = timestamp_end(source);
    let mut windows =
        (0..text.len()).step_by(64).map(|start| window(source, from, start)).filter(|found| found.all != 0);
    let (mut hits, mut hidden, mut doubts) = (Hits::new(), Vec::new(), Doubts::new());
    if let Some(first) = windows.next() {
        let mut scan = Scan::new(text, &[], replaces_all, &mut hits, &mut doubts);
        pass(&mut scan, &mut hidden, &first, |_, _| windows.next());
        // Whether anything is encoded is asked of the text itself.
        find_rest(text, &[], Search::new(&Rules::default(), &Customs::none()), &mut hits, hidden, true)
            .unwrap();
    }
    merged(text, hits)
}

fn fast(text: &str) -> Hits {
    let mut hits = Hits::new();
    find(text, &[], Search::new(&Rules::default(), &Customs::none()), &mut hits).unwrap();
    merged(text, hits)
}

fn merged(text: &str, mut hits: Hits) -> Hits {
    merge(text, &mut hits);
    hits
}

#[track_caller]
fn check(text: &str) {
    let found = fast(text);
    assert_eq!(found, slow(text, true), "{text:?}");
    // What is not looked at because it lies in a value would add nothing but another name for it.
    let places = |hits: &Hits| hits.iter().map(|hit| (hit.start, hit.end)).collect::<Vec<_>>();
    assert_eq!(places(&found), places(&slow(text, false)), "{text:?}");
}

#[track_caller]
fn check_settled(text: &str) {
    let redacted = Redactor::new().redact(text);
    let mut left = fast(&redacted);
    left.retain(|hit| hit.detector != Detector::Geo);
    assert!(left.is_empty(), "{left:?} in {redacted:?} of {text:?}");
}

/// Values in which windows are left out.
const LONG_JWT: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJkSWtLczliUDFaIiwiaWF0IjoxNzA3MDkyNDg0LCJzY29wZSI6InJlYWQ\
                        ifQ.lItOyYsVVRRGvBrmUBUGoqckGL7Qpmw-tjh9w-iFVsM";
const LONG_KEY: &str = "-----BEGIN PRIVATE KEY-----\\nrIe9GhKaHknsZtUC72GdJHnRmCTxn1f4JlHiwwVZs7JTY9S613UfJnApjzwL2tV7\\neKBfSV7hJ2Xgg\
                        PP62DwcydkcGSJZ1cJXpbAk1xgokjvmFYuzUsBAtKk3jlOXP4O7\\nkYy7LFfFZLOIWXbfq5tnX4Qxfrj\\n-----END PRIVATE KEY-----";

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
    "7password\":\"hunter22\"",
    "7password\"=hunter22",
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
    LONG_JWT,
    LONG_KEY,
    "-----BEGIN EC PRIVATE KEY-----",
    "Bearer tZ5bhNGVwQO2RE20Nd5QA6ZjbfUAIaUNRzDIEb2KjrNK8bQv8wUodX2ooK5RDO1BtZ5bhNGVwQO2RE20Nd5QA6ZjbfUAIaUNRz",
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
    "Set-Cookie: ",
    "redis-cli -a ",
    "+33 6 94 80 51 52",
    "%2B33%206%2036285169",
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
        check(&text);
    }

    #[test]
    fn masks_miss_nothing_at_any_offset(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 1..6), before in 0_usize..260, after in 0_usize..70,
    ) {
        let text = format!("{} {}{}", "x".repeat(before), pieces.concat(), "é".repeat(after));
        check(&text);
    }

    #[test]
    fn what_is_not_looked_at_again_holds_nothing(
        pieces in prop::collection::vec((prop::sample::select(PIECES), prop::sample::select(BETWEEN)), 1..14),
    ) {
        let text: String = pieces.iter().flat_map(|(piece, between)| [*piece, *between]).collect();
        check_settled(&text);
    }
}

/// What stands between values that are read apart.
const BETWEEN: &[&str] = &[
    "", " ", " ", " ", "=", ": ", ":", "\"", " \"", "'", ",", ", ", ".", ". ", "/", "(", ") ", "<", "> ",
    ";", "@", "\\\"", ":80 ",
];

#[test]
fn a_detector_that_reads_on_into_a_value_is_asked_again() {
    // The date of birth is gone, the next one takes its place.
    check_settled("dob=26/05/1997 until 27/06/1998");
    check_settled("born 1997-05-26 \"anna@example.com\" July 14, 1974");
    // The word comes nearer, or goes.
    check_settled("phone of anna.with.a.very.long.name@mail.of.a.very.long.example.com is 943 216 1068");
    check_settled("contact=Anna card anna@example.com cvv 123");
    // Groups that were read on into the value.
    check_settled("phone 12345678 216-1068-943-1234");
    check_settled("ssn 219099999 111222333");
    // A second `::`, a name that went on, a key between name and value.
    check_settled("client 2001:db8::anna@example.com");
    check_settled("Frau Müller'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");
    check_settled("<password token=\"horse7 staple\">hunter2</password>");
    check_settled("Set-Cookie: session_id=7686e0c9db43d6f1d099dd2ec4f05cea; Path=/; theme=dark");
    check_settled("login Anna 203.0.113.7 password hunter22");
    check_settled("<password> &_auth=correct-horse7DE8937040044053201300012345678Z AB 12 34 56 C");
    check_settled("Authorization: git@github.com:name= pass \"value\":\"1974-07-14 hunter22");
    check_settled("GET /order 4111111111111111 order 219-09-9999");
    check_settled("redis anna@example.com -cli -a hunter22");
    check_settled("Set-Cookie: session_2001:db8::1id=114a56d108889771fc00e2e80dfabcf5; Path=/");
    check_settled("{\"cookie\":\"sid=\\\"9ab  364cd88e\\\"; t=\\\"abcdef1\\\"\"}");
    check_settled("born 1974-07-14, geprüft, phone 12133835, 1974-07-15");
    // Of what is encoded some stays.
    check_settled("GET /?email=anna%40example.com&phone=%2B31%206%2036285169&q=4111%201111%201111%201111%20");
}

#[test]
fn what_goes_on_behind_a_value_is_found() {
    for (text, redacted) in [
        // A number in a value, and one that goes on behind it.
        ("phone 030 1234567, 4111 1111 1111 1111", "phone [PHONE], [CREDIT_CARD]"),
        ("+49 30 1234567 (943) 216-1068", "[PHONE]"),
        // An extension.
        ("tel: 1/4111 1111 1111 1111 x4", "tel: [CREDIT_CARD]"),
        // A cookie that is passed over, and a key.
        ("Cookie: password=abc; a=1234567", "Cookie: password=[PASSWORD]; a=[COOKIE]"),
        // What is no line of a key, and reads on behind it.
        (
            &format!(
                "-----BEGIN PRIVATE KEY----- M curl -x {0} -----END PRIVATE KEY----- -u admin:secret12 x",
                "a".repeat(200)
            ),
            "[PEM_KEY] -u admin:[PASSWORD] x",
        ),
        (
            &format!("-----BEGIN PRIVATE KEY-----Geburtsdatum{}-----END K----- 14.07.1974", "/".repeat(20)),
            "[PEM_KEY] [DOB]",
        ),
        (
            &format!("Bearer abc1.atlasv1.{}=secretsecret12345678901234567890 x", "A1b2C3d4E5".repeat(12)),
            "Bearer [API_KEY] x",
        ),
        // A name in the last letters of a token is a key's.
        (&format!("{LONG_JWT}/password=hunter22"), "[JWT]=[PASSWORD]"),
        (&format!("{LONG_JWT} password=hunter22"), "[JWT] password=[PASSWORD]"),
        (&format!("Bearer {LONG_JWT} ssn 219-09-9999"), "Bearer [JWT] ssn [US_SSN]"),
        (&format!("{LONG_KEY} anna@example.com"), "[PEM_KEY] [EMAIL]"),
    ] {
        assert_eq!(Redactor::new().redact(text), redacted);
    }
}

#[test]
fn a_sign_of_assignment_counts_behind_a_quote() {
    for text in [
        "anna@example.compassword\"=anna@example.com",
        "webtoken\"=horse7staple",
        "\"webtoken\":\"horse7staple\"",
    ] {
        assert!(!fast(text).is_empty(), "{text}");
        check(text);
    }
}

#[test]
fn a_timestamp_is_one_in_both_forms_of_the_look() {
    for stamp in ["2026-01-07T04:51:19.830010Z", "2026-01-07T04:51:19.83001Z", "2026-01-07T04:51:19.8300104Z"]
    {
        for behind in ["", " ", "BSN 205577465", " BSN 205577465", "  BSN 205577465", "9 BSN 205577465"] {
            check(&format!("{stamp}{behind}"));
            check(&format!("{stamp}{behind}{:80}", ""));
        }
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
fn a_value_behind_windows_that_are_left_out_is_found_at_every_place() {
    let bearer = format!("Bearer {}", "aB3".repeat(300));
    let jwt = format!("Bearer {LONG_JWT}");
    for value in [LONG_JWT, LONG_KEY, &jwt, &bearer] {
        for before in 0..260 {
            let text = format!("{:>before$}{value} anna@example.com", "");
            check(&text);
            assert!(Redactor::new().redact(&text).ends_with(" [EMAIL]"), "{text}");
        }
    }
}

/// Whether a text needs no second look.
fn is_settled(text: &str) -> bool {
    let (mut hits, mut doubts) = (Hits::new(), Doubts::new());
    let (rules, customs) = (Rules::default(), Customs::none());
    let search = Search::new(&rules, &customs);
    find_from(text, &[], search, &mut hits, windows(text, &[]).as_mut(), &mut doubts).unwrap();
    let hits = merged(text, hits);
    assert!(!hits.is_empty(), "{text:?}");
    doubts.settle(text, &hits)
}

#[test]
fn few_texts_need_a_second_look() {
    for text in [
        "by anna@example.com",
        // All that is encoded went.
        "q=%41nna%40example.com ok",
        // What a program's name is followed by is read, not the whole text.
        "curling anna@example.com",
        "Set-Cookie: sid=abc123def; Path=/ anna@example.com",
        "Cookie: sid=abc123def; lang=en",
        "dob=26/05/1997 phone 030 1234567",
    ] {
        assert!(is_settled(text), "{text:?}");
    }
    for text in [
        "mail=anna%40example.com 100%25",
        &"anna%40example.com ".repeat(17),
        "curl anna@example.com",
        "Set-Cookie: sid=\"abc123def\" anna@example.com",
        "Cookie: theme=dark; sid=abc123def; lang=en",
        "dob=26/05/1997 until 27/06/1998",
    ] {
        assert!(!is_settled(text), "{text:?}");
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
    lines.lines().for_each(|line| {
        check(line);
        check_settled(line);
    });
}
