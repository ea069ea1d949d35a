//! `RedactorBuilder::toml`: rules from a file, then a text through them; the two are divided by a line `---`.
//!
//! Oracle: a refusal names a line of the file and repeats nothing of it; what is accepted makes a redactor whose result it
//! leaves alone, unless it only reports, and then the text passes as it is.
#![no_main]

use compliance_log::redact::Redactor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &str| {
    let (rules, text) = input.split_once("\n---\n").unwrap_or((input, "by anna@example.com"));
    match Redactor::builder().toml(rules) {
        Ok(builder) => {
            let redactor = builder.build();
            let once = redactor.redact(text).into_owned();
            assert_eq!(redactor.redact(&once), once);
        }
        Err(error) => {
            assert!((1..=rules.split('\n').count()).contains(&error.line()), "{error}");
            assert!(error.code().starts_with("redact_rules."));
        }
    }
});
