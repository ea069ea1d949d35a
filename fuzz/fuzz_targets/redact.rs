//! `Redactor`; the first line is a field name as well.
//!
//! Oracle: nothing is found in the redacted text, redacting it again changes nothing, and the spans lie in order
//! on character boundaries of the original. A value planted on a line of its own is found there, whatever is written
//! around it: in a string of JSON, in an encoding, in colours, in quotes, in a path.
#![no_main]

use compliance_log::redact::Redactor;
use libfuzzer_sys::fuzz_target;

/// Values that are found without a word for them.
const PLANTED: &[&str] =
    &["4012888888881881", "anna@example.com", "203.0.113.77", "GB82WEST12345698765432", "2001:db8:9::77"];

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

fn is_found_anywhere(redactor: &Redactor, text: &str) {
    let choice = text.bytes().fold(0_usize, |sum, byte| sum + usize::from(byte));
    let value = PLANTED[choice % PLANTED.len()];
    let (encoded, before, behind) = AROUND[choice / PLANTED.len() % AROUND.len()];
    let written =
        if encoded { value.bytes().map(|byte| format!("%{byte:02x}")).collect() } else { value.to_owned() };
    let line = format!("{text}\n{before}{written}{behind}\n{text}");
    let start = text.len() + 1 + before.len();
    let spans = redactor.scan(&line);
    let covered = |at| spans.iter().any(|span| (span.start()..span.end()).contains(&at));
    assert!((start..start + written.len()).all(covered), "{line:?}: {spans:?}");
}

fuzz_target!(|text: &str| {
    let redactor = Redactor::new();
    let redaction = redactor.inspect(text);
    assert_eq!(redactor.redact(text), redaction.text());
    assert!(
        redactor.scan(redaction.text()).is_empty(),
        "{:?} in {:?}",
        redactor.scan(redaction.text()),
        redaction
    );
    assert_eq!(redactor.redact(redaction.text()), redaction.text());
    let mut at = 0;
    for span in redaction.spans() {
        assert!(at <= span.start() && span.start() < span.end(), "{redaction:?}");
        assert!(text.is_char_boundary(span.start()) && text.is_char_boundary(span.end()), "{redaction:?}");
        at = span.end();
    }
    assert_eq!(redaction.spans().is_empty(), redaction.text() == text);

    is_found_anywhere(&redactor, text);

    if let Some((name, value)) = text.split_once('\n') {
        let once = redactor.redact_field(name, value).into_owned();
        assert!(redactor.scan(&once).is_empty(), "{once:?}");
    }
});
