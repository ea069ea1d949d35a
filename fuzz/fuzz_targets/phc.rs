//! `PasswordHash::parse`.
//!
//! Oracle: a stored hash prints as it came and reads back equal; its costs are those written and within the
//! maxima, so that none can exhaust memory at log-in.
#![no_main]

use compliance_auth::password::{HashParameters, PasswordHash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(hash) = PasswordHash::parse(text) else { return };
    assert_eq!(hash.as_str(), text);
    assert_eq!(PasswordHash::parse(hash.as_str()).as_ref(), Ok(&hash));
    let (m, t, p) = (hash.parameters().memory_kib(), hash.parameters().passes(), hash.parameters().lanes());
    assert!(text.starts_with(&format!("$argon2id$v=19$m={m},t={t},p={p}$")));
    assert!(m <= HashParameters::MAX_MEMORY_KIB && t <= HashParameters::MAX_PASSES);
    assert!(p <= HashParameters::MAX_LANES && text.is_ascii());
});
