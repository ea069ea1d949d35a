//! `BreachFilter::from_bytes` and look-ups, on files whose checksums hold.
//!
//! Oracle: a file that is taken answers every look-up, and has the fingerprints that its header promised.
#![no_main]

use compliance_auth::password::breach::BreachFilter;
use libfuzzer_sys::fuzz_target;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

/// Magic, version, fingerprint bits, shard bits, source length, as-of date, two zero bytes, entries, body digest.
const FIXED_LEN: usize = 64;
const SHARD_LEN: usize = 16;

fuzz_target!(|input: &[u8]| {
    let mut file = input.to_vec();
    if file.len() >= FIXED_LEN {
        file[..9].copy_from_slice(b"BREACHF\n\x01");
        let header = FIXED_LEN + usize::from(file[11]) + (SHARD_LEN << (file[10] % 17));
        if file.len() >= header + 32 {
            let body: [u8; 32] = Sha256::digest(&file[header + 32..]).into();
            file[32..64].copy_from_slice(&body);
            let checksum: [u8; 32] = Sha256::digest(&file[..header]).into();
            file[header..header + 32].copy_from_slice(&checksum);
        }
    }
    let Ok(filter) = BreachFilter::from_bytes(file) else { return };
    for password in ["", "password", "zq7-velour-antelope-91", "\u{301}"] {
        let _ = filter.lookup(&SecretString::from(password)).expect("a filter in memory answers");
    }
});
