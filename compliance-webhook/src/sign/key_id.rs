//! Names of keys.

use std::fmt;

use super::{KeyError, KeyErrorKind};

/// Which key made a signature: what a receiver looks a key up by.
///
/// 1 to [`MAX_LEN`](Self::MAX_LEN) visible ASCII characters without `"` and `\`.
///
/// ```
/// use compliance_webhook::sign::KeyId;
///
/// assert!(KeyId::parse("billing-2026-11").is_ok());
/// assert_eq!(KeyId::parse("a\"b").unwrap_err().code(), "sign.key_id");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(Box<str>);

impl KeyId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Takes an id.
    ///
    /// # Errors
    /// `sign.key_id` when it is not of its shape.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if fits && text.bytes().all(is_plain) {
            Ok(Self(text.into()))
        } else {
            Err(KeyErrorKind::KeyId.into())
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
