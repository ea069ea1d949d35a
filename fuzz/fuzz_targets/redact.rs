//! `Redactor`; the first line is a field name as well.
//!
//! Oracle: nothing is found in the redacted text, redacting it again changes nothing, and the spans lie in order
//! on character boundaries of the original.
#![no_main]

use compliance_log::redact::Redactor;
use libfuzzer_sys::fuzz_target;

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

    if let Some((name, value)) = text.split_once('\n') {
        let once = redactor.redact_field(name, value).into_owned();
        assert!(redactor.scan(&once).is_empty(), "{once:?}");
    }
});
