//! `PasswordHash::parse` and `import`.
//!
//! Oracle: a stored hash prints as it came and reads back equal; its costs are those written and within the
//! maxima, so that none can exhaust memory at log-in.
#![no_main]

use compliance_auth::password::{HashParameters, PasswordHash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(hash) = PasswordHash::import(text) {
        assert_eq!(hash.as_str(), text);
        assert_eq!(PasswordHash::import(hash.as_str()).as_ref(), Ok(&hash));
        assert!(text.len() <= PasswordHash::MAX_LEN && text.is_ascii());
    }
    let Ok(hash) = PasswordHash::parse(text) else { return };
    assert_eq!(PasswordHash::import(text).as_ref(), Ok(&hash));
    assert_eq!(hash.as_str(), text);
    assert_eq!(PasswordHash::parse(hash.as_str()).as_ref(), Ok(&hash));
    let parameters = hash.parameters().expect("parse reads argon2 only");
    let (m, t, p) = (parameters.memory_kib(), parameters.passes(), parameters.lanes());
    assert!(text.contains(&format!("$argon2id$v=19$m={m},t={t},p={p}$")));
    assert!(m <= HashParameters::MAX_MEMORY_KIB && t <= HashParameters::MAX_PASSES);
    assert!(p <= HashParameters::MAX_LANES && text.is_ascii());
});
