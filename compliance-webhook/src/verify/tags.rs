//! The decoded HMAC values of one header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};

use super::MAX_SIGNATURES;
use crate::sign::TAG_LEN;

/// At most [`MAX_SIGNATURES`] values. The first, which is nearly always the only one, needs no allocation.
pub(super) struct Tags {
    first: Option<[u8; TAG_LEN]>,
    others: Vec<[u8; TAG_LEN]>,
}

impl Tags {
    pub(super) fn new() -> Self {
        Self { first: None, others: Vec::new() }
    }

    /// Takes one; what is past the cap was counted by the caller.
    pub(super) fn push(&mut self, tag: [u8; TAG_LEN]) {
        if self.first.is_none() {
            self.first = Some(tag);
        } else if self.others.len() < MAX_SIGNATURES {
            self.others.push(tag);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Compares with each of them, whatever matched before.
    pub(super) fn contain(&self, expected: &[u8; TAG_LEN]) -> Choice {
        let expected = words(expected);
        self.first
            .iter()
            .chain(&self.others)
            .fold(Choice::from(0), |found, tag| found | expected.ct_eq(&words(tag)))
    }
}

/// Four numbers are compared faster than 32.
fn words(tag: &[u8; TAG_LEN]) -> [u64; TAG_LEN / 8] {
    let (words, _) = tag.as_chunks::<8>();
    let mut found = [0; TAG_LEN / 8];
    for (to, word) in found.iter_mut().zip(words) {
        *to = u64::from_ne_bytes(*word);
    }
    found
}

/// Canonical, padded base64 (RFC 4648 §4) of exactly one value.
pub(super) fn from_base64(text: &[u8]) -> Option<[u8; TAG_LEN]> {
    // The decoder wants room for a whole number of base64 groups.
    let mut buffer = [0; TAG_LEN + 1];
    match STANDARD.decode_slice(text, &mut buffer) {
        Ok(TAG_LEN) => buffer.first_chunk().copied(),
        _ => None,
    }
}

/// Lower-case hex (RFC 4648 §8) of exactly one value.
pub(super) fn from_hex(text: &[u8]) -> Option<[u8; TAG_LEN]> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let pairs: &[[u8; 2]; TAG_LEN] = pairs.try_into().ok()?;
    let mut tag = [0; TAG_LEN];
    for (byte, [high, low]) in tag.iter_mut().zip(pairs) {
        *byte = hex_digit(*high)?.wrapping_shl(4) | hex_digit(*low)?;
    }
    Some(tag)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    }
}
