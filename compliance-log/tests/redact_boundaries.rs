//! Where a value begins and ends, whatever is written around it: escapes, signs of every script, colours, paths.

use compliance_log::redact::Redactor;
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(Redactor::new().redact(text), expected);
}

#[track_caller]
fn kept(texts: &[&str]) {
    for text in texts {
        check(text, text);
    }
}

/// Values that are found wherever they stand, and what stands in their place.
const VALUES: &[(&str, &str)] = &[
    ("4012888888881881", "[CREDIT_CARD]"),
    ("203.0.113.77", "[IPV4]"),
    ("2001:db8:9::77", "[IPV6]"),
    ("GB82WEST12345698765432", "[IBAN]"),
    ("00:1b:44:11:3a:b7", "[MAC]"),
    ("anna@example.com", "[EMAIL]"),
];

#[test]
fn an_escape_ends_before_a_value() {
    for escape in [r"\n", r"\t", r"\r\n", r"\b", r"\f", r"\v", r"\0", r"\\n", r"\u000a", r"\u0020", r"\x0a"] {
        for (value, placeholder) in VALUES {
            check(
                &format!(r#"{{"body":"first{escape}{value}{escape}last"}}"#),
                &format!(r#"{{"body":"first{escape}{placeholder}{escape}last"}}"#),
            );
        }
    }
    check(r#"{"m":"x\npassword: Quark77Blau\ny"}"#, r#"{"m":"x\npassword: [PASSWORD]\ny"}"#);
    check(r"anna\100example.com and anna\x40example.com", "[EMAIL] and [EMAIL]");
    kept(&[r"C:\new\table\bin\100\fonts", r"a\nb\tc", r#"{"path":"C:\\temp\\report"}"#, r"\d+\.\d+\b"]);
}

#[cfg(feature = "json")]
#[test]
fn json_stays_json() {
    for escape in [r"\n", r"\t", r"\u00fc", r"\u0020", r"\\", r#"\""#] {
        for (value, _) in VALUES {
            let text = format!(r#"{{"a":"x{escape}{value}{escape}y","b":"{value}"}}"#);
            let redacted = Redactor::new().redact(&text).into_owned();
            assert!(serde_json::from_str::<serde_json::Value>(&redacted).is_ok(), "{text} became {redacted}");
        }
    }
}

#[test]
fn a_sign_outside_ascii_is_a_boundary() {
    for (before, behind) in [
        ("“", "”"),
        ("„", "“"),
        ("«", "»"),
        ("‹", "›"),
        ("「", "」"),
        ("【", "】"),
        ("→", "→"),
        ("•", ""),
        ("│", "│"),
        ("…", "…"),
        ("№", ""),
        ("€", ""),
        ("×", "÷"),
        ("¿", "?"),
        ("✓", "✓"),
        ("📞", "📞"),
        ("：", "、"),
        ("番号", "です"),
        ("卡号", "已"),
        ("주소", "에서"),
    ] {
        for (value, placeholder) in VALUES.iter().filter(|(value, _)| !value.contains('@')) {
            check(&format!("log {before}{value}{behind} x"), &format!("log {before}{placeholder}{behind} x"));
        }
    }
    // Letters of a script with spaces hold together with digits, as those of ASCII do.
    kept(&["för4012888888881881", "из4012888888881881в", "x4012888888881881", "पता2345"]);
}

#[test]
fn digits_of_every_script_are_digits() {
    for nought in ['٠', '०', '𞥐', '𑄶', '𑱐', '𐴰', '𞅀'] {
        let digits = |text: &str| -> String {
            let digit = |byte| char::from_u32(u32::from(nought) + u32::from(byte & 15)).unwrap();
            text.bytes().map(digit).collect()
        };
        check(&format!("paid {} now", digits("4012888888881881")), "paid [CREDIT_CARD] now");
        kept(&[&format!("paid {} now", digits("4012888888881882"))]);
    }
}

#[test]
fn what_nobody_sees_parts_nothing() {
    for unseen in ['\u{200b}', '\u{115f}', '\u{17b4}', '\u{180b}', '\u{2065}', '\u{3164}', '\u{e0100}'] {
        check(&format!("paid 4012{unseen}888888881881 now"), "paid [CREDIT_CARD] now");
    }
    for space in ['\u{a0}', '\u{1680}', '\u{2009}', '·', '•', '‧'] {
        check(&format!("paid 4012{space}8888{space}8888{space}1881 now"), "paid [CREDIT_CARD] now");
    }
}

#[test]
fn a_colour_is_nothing() {
    for (on, off) in [("\x1b[32m", "\x1b[0m"), ("\x1b[1;38;5;208m", "\x1b[m"), (r"\u001b[31m", r"\u001b[0m")]
    {
        for (value, placeholder) in VALUES {
            check(&format!("from {on}{value}{off} on"), &format!("from {on}{placeholder}{off} on"));
        }
        check(
            &format!("{on}password{off}={on}Quark77Blau{off} x"),
            &format!("{on}password{off}={on}[PASSWORD]{off} x"),
        );
        kept(&[&format!("{on}INFO{off} request {on}done{off} in 35 ms")]);
    }
}

#[test]
fn a_reference_shields_its_own_number_only() {
    check("order from 203.0.113.77", "order from [IPV4]");
    check("64 bytes from 203.0.113.77: icmp_seq=1", "64 bytes from [IPV4]: icmp_seq=1");
    check("ticket for 219-09-9999", "ticket for [US_SSN]");
    check("block 203.0.113.77", "block [IPV4]");
    check("invoice to (943) 216-1068", "invoice to [PHONE]");
    check("commande de 203.0.113.77", "commande de [IPV4]");
    kept(&[
        "order 219-09-9999",
        "order no. 219-09-9999",
        "ticket number is 219-09-9999",
        "version 1.22.3.4 and build: 8.8.4.4",
        "oid=1.3.6.1 section 9.3.1.2",
    ]);
}

#[test]
fn a_checked_value_may_be_a_part_of_a_path() {
    check("GET /v1/cards/4012888888881881/limit", "GET /v1/cards/[CREDIT_CARD]/limit");
    check("/customers/219-09-9999/orders", "/customers/[US_SSN]/orders");
    check("card_4012888888881881_scan.png", "card_[CREDIT_CARD]_scan.png");
    check("user-4012888888881881", "user-[CREDIT_CARD]");
    check("4012888888881881/12/29", "[CREDIT_CARD]/12/29");
    check("4012-8888-8888-1881-123", "[CREDIT_CARD]-123");
    check("GB82WEST12345698765432_statement.pdf", "[IBAN]_statement.pdf");
    kept(&[
        "ratio 0.4012888888881881",
        "/v1/items/4012888888881882",
        "blk_6011000990139424993",
        "/files/4012888888881881a",
        "ORD-219-09-9999",
    ]);
}

#[test]
fn what_is_no_host_is_no_address() {
    check("IP 203.0.113.77.443 > 198.51.100.9.51514: tcp 0", "IP [IPV4].443 > [IPV4].51514: tcp 0");
    kept(&[
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36 \
         Edg/120.0.0.0",
        "joined 239.255.255.250:1900 and ff02::fb",
        "1.2.3.4.5: a heading",
        "archived 200226-1035 ok",
        "log 260617-1457",
        "job 150326-2210",
    ]);
    check("personnummer 200226-1035", "personnummer [SE_PNR]");
}

/// Pieces that begin what does not end, and words that shield what follows them.
const PIECES: &[&str] = &[
    "order",
    "from",
    "version",
    "password",
    "token",
    "Cookie:",
    "Authorization:",
    "Digest",
    "curl -u",
    "mysql -p",
    "card",
    "phone",
    "call",
    "name",
    "Dear Ms",
    "born",
    "-----BEGIN",
    "PRIVATE KEY-----",
    "\\",
    "\\n",
    "\\u00",
    "%",
    "%2",
    "&#",
    "\x1b[",
    "\x1b[3",
    "“",
    "番",
    "é",
    "\u{200b}",
    "\"",
    "'",
    "[",
    "(",
    "{",
    "<",
    ">",
    "=",
    ":",
    "+",
    "-",
    ".",
    "/",
    ";",
    ",",
    " ",
    " ",
    "\n",
    "0",
    "7",
    "12",
    "a",
    "Z",
    "@",
    "://",
    "YW5uYUBl",
    "ghp_",
    "eyJ",
    "[EMAIL]",
    "[PASSWORD]",
];

/// What is written around a value; the first field says whether it is percent-encoded.
const AROUND: &[(bool, &str, &str)] = &[
    (false, "{\"a\":\"b\\n", "\\n\"}"),
    (false, "\"x\\t", "\\r\""),
    (true, "/?a=", "&b=c"),
    (false, "\x1b[1;31m", "\x1b[0m"),
    (false, "“", "”"),
    (false, "'", "'"),
    (false, "【", "】です"),
    (false, "/p/", "/q"),
    (false, "a=", "&b=c+d"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn a_value_on_a_line_of_its_own_is_found(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..16),
        (value, _) in prop::sample::select(VALUES),
        (encoded, before, behind) in prop::sample::select(AROUND),
    ) {
        let text = pieces.concat();
        let written =
            if encoded { value.bytes().map(|byte| format!("%{byte:02x}")).collect() } else { value.to_owned() };
        let line = format!("{text}\n{before}{written}{behind}\n{text}");
        let start = text.len() + 1 + before.len();
        let spans = Redactor::new().scan(&line);
        let covered = |at| spans.iter().any(|span| (span.start()..span.end()).contains(&at));
        prop_assert!((start..start + written.len()).all(covered), "{:?}", line);
    }
}
