//! `Sealed`, `WrappedKey` and `Pseudonym`. Oracle: what is read is written as it came.
#![no_main]

use compliance_core::pseudonym::Pseudonym;
use compliance_core::seal::{KeyId, Sealed, WrappedKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(sealed) = Sealed::from_bytes(bytes) {
        assert_eq!(sealed.to_bytes(), bytes);
        assert!(bytes.len() <= Sealed::MAX_LEN);
    }
    if let Ok(wrapped) = WrappedKey::from_bytes(bytes) {
        assert_eq!(wrapped.to_bytes(), bytes);
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(pseudonym) = Pseudonym::parse(text) {
        assert_eq!(pseudonym.to_string(), text);
        assert!(text.len() <= Pseudonym::MAX_LEN);
    }
    if let Ok(key) = text.parse::<KeyId>() {
        assert_eq!(key.to_string(), text);
    }
});
