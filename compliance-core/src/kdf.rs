//! Key derivation for `pseudonym` and `seal`: HMAC-SHA256 (RFC 2104, FIPS 198-1) and HKDF-SHA256 (RFC 5869)
//! with outputs of one block, which cannot fail.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// 256 bits that are wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// Block length of SHA-256.
const BLOCK: usize = 64;

/// HMAC-SHA256 keyed with `key` of any length.
pub(crate) fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = [0; BLOCK];
    if key.len() <= BLOCK {
        block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    } else {
        block.iter_mut().zip(Sha256::digest(key)).for_each(|(to, from)| *to = from);
    }
    let mac = Hmac::new(&block.into());
    block.zeroize();
    mac
}

/// HKDF-Extract (RFC 5869 §2.2).
pub(crate) fn extract(salt: &[u8], secret: &[u8]) -> Key {
    finish(keyed(salt).chain_update(secret))
}

/// HKDF-Expand (RFC 5869 §2.3) with `L` = 32 and the concatenation of `info`.
///
/// The caller sees to it that no two different lists concatenate to the same bytes.
pub(crate) fn expand(key: &[u8; 32], info: &[&[u8]]) -> Key {
    finish(expansion(&keyed(key), info))
}

/// The MAC whose output is what [`expand`] gives for the key that `mac` was keyed with: to be compared in
/// constant time, or finished many times with one keying.
pub(crate) fn expansion(mac: &Hmac<Sha256>, info: &[&[u8]]) -> Hmac<Sha256> {
    // In place: moving the state from part to part costs as much as hashing them.
    let mut mac = mac.clone();
    info.iter().for_each(|part| mac.update(part));
    mac.update(&[1]);
    mac
}

pub(crate) fn finish(mac: Hmac<Sha256>) -> Key {
    let mut output: [u8; 32] = mac.finalize().into_bytes().into();
    let key = Zeroizing::new(output);
    output.zeroize();
    key
}

/// The length of `bytes` as eight bytes, big-endian, to stand before them.
pub(crate) fn length(bytes: &[u8]) -> [u8; 8] {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use hkdf::Hkdf;
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 4231 §4.2–4.8 without 4.6, which truncates.
    #[test]
    fn rfc_4231_vectors() {
        #[track_caller]
        fn check(key: &[u8], data: &[u8], expected: &str) {
            assert_eq!(finish(keyed(key).chain_update(data)).as_slice(), bytes(expected));
        }
        check(&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
        check(
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        );
        check(&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
        check(
            &bytes("0102030405060708090a0b0c0d0e0f10111213141516171819"),
            &[0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        );
        check(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        );
        check(
            &[0xaa; 131],
            b"This is a test using a larger than block-size key and a larger than block-size data. \
              The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        );
    }

    /// RFC 5869 appendix A.1–A.3; of the output the first block, which is what is used here.
    #[test]
    fn rfc_5869_vectors() {
        #[track_caller]
        fn check(ikm: &[u8], salt: &[u8], info: &[u8], prk: &str, okm: &str) {
            let key = extract(salt, ikm);
            assert_eq!(key.as_slice(), bytes(prk));
            assert_eq!(expand(&key, &[info]).as_slice(), bytes(okm));
        }
        check(
            &[0x0b; 22],
            &bytes("000102030405060708090a0b0c"),
            &bytes("f0f1f2f3f4f5f6f7f8f9"),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf",
        );
        let run = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
        check(
            &run(0x00, 0x4f),
            &run(0x60, 0xaf),
            &run(0xb0, 0xff),
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c",
        );
        check(
            &[0x0b; 22],
            &[],
            &[],
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d",
        );
    }

    proptest! {
        #[test]
        fn an_independent_hkdf_agrees(
            salt in prop::collection::vec(any::<u8>(), 0..100),
            secret in prop::collection::vec(any::<u8>(), 0..100),
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
        ) {
            let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(&salt), &secret);
            let key = extract(&salt, &secret);
            prop_assert_eq!(key.as_slice(), prk.as_slice());
            let info: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let mut expected = [0; 32];
            hkdf.expand_multi_info(&info, &mut expected).unwrap();
            prop_assert_eq!(*expand(&key, &info), expected);
        }
    }
}
