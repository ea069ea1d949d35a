//! The decoded HMAC values of one header.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConstantTimeEq as _};

use super::MAX_SIGNATURES;
use crate::sign::TAG_LEN;

/// At most [`MAX_SIGNATURES`] values, on the stack.
pub(super) struct Tags {
    tags: [[u8; TAG_LEN]; MAX_SIGNATURES],
    len: usize,
}

impl Tags {
    pub(super) fn new() -> Self {
        Self { tags: [[0; TAG_LEN]; MAX_SIGNATURES], len: 0 }
    }

    /// Takes one; what is past the cap was counted by the caller.
    pub(super) fn push(&mut self, tag: [u8; TAG_LEN]) {
        if let Some(slot) = self.tags.get_mut(self.len) {
            *slot = tag;
            self.len = self.len.saturating_add(1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Compares with each of them, whatever matched before.
    pub(super) fn contain(&self, expected: &[u8; TAG_LEN]) -> Choice {
        let tags = self.tags.get(..self.len).unwrap_or_default();
        tags.iter().fold(Choice::from(0), |found, tag| found | expected.ct_eq(tag))
    }
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
