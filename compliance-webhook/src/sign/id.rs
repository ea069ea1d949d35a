//! The message id.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use compliance_core::random::{RandomError, SecureRandom};

/// What `webhook-id` names: one message, whatever the number of attempts. Receivers use it to drop duplicates.
///
/// 1 to [`MAX_LEN`](Self::MAX_LEN) visible ASCII characters without `.`: the signed text joins id, timestamp and
/// payload with dots, so `a.1` + `2` + `x` would sign like `a` + `1` + `2.x`.
///
/// ```
/// use compliance_core::random::SystemRandom;
/// use compliance_webhook::sign::MessageId;
///
/// assert!(MessageId::generate(&SystemRandom)?.as_str().starts_with("msg_"));
/// assert_eq!(MessageId::parse("").unwrap_err().code(), "sign.id_length");
/// # Ok::<(), compliance_core::random::RandomError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(Box<str>);

impl MessageId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks and takes an id.
    ///
    /// # Errors
    /// `sign.id_length` when it is empty or longer than [`MAX_LEN`](Self::MAX_LEN), `sign.id_character` when it
    /// has a `.` or anything but visible ASCII.
    pub fn parse(text: &str) -> Result<Self, MessageIdError> {
        check(text.as_bytes())?;
        Ok(Self(text.into()))
    }

    /// The same for bytes as they came. What has passed is ASCII.
    pub(crate) fn check(text: &[u8]) -> Result<&str, MessageIdError> {
        check(text)?;
        let broken = |error: std::str::Utf8Error| MessageIdErrorKind::Character { at: error.valid_up_to() };
        std::str::from_utf8(text).map_err(|error| MessageIdError { kind: broken(error) })
    }

    /// Takes what [`check`](Self::check) returned.
    pub(crate) fn from_checked(text: &str) -> Self {
        Self(text.into())
    }

    /// Makes one: `msg_` and 128 random bits.
    ///
    /// # Errors
    /// [`RandomError`] when the random source fails.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        let mut text = String::from("msg_");
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The rule, on bytes.
fn check(text: &[u8]) -> Result<(), MessageIdError> {
    let found = text.len();
    if found == 0 || found > MessageId::MAX_LEN {
        return Err(MessageIdError { kind: MessageIdErrorKind::Length { found } });
    }
    match text.iter().position(|&byte| byte == b'.' || !byte.is_ascii_graphic()) {
        Some(at) => Err(MessageIdError { kind: MessageIdErrorKind::Character { at } }),
        None => Ok(()),
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, MessageIdError> {
        Self::parse(text)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({})", self.0)
    }
}

/// A message id was not of its shape. Never carries the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message id {kind}")]
pub struct MessageIdError {
    kind: MessageIdErrorKind,
}

/// Why a message id was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageIdErrorKind {
    /// A dot, or something else than visible ASCII.
    #[error("has a dot or a character that is not visible ASCII at byte {at}")]
    Character {
        /// Byte offset of the first such character.
        at: usize,
    },
    /// Empty or too long.
    #[error("is {found} bytes long, expected 1 to {max}", max = MessageId::MAX_LEN)]
    Length {
        /// Its length in bytes.
        found: usize,
    },
}

impl MessageIdError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> MessageIdErrorKind {
        self.kind
    }

    /// `sign.id_character` or `sign.id_length`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            MessageIdErrorKind::Character { .. } => "sign.id_character",
            MessageIdErrorKind::Length { .. } => "sign.id_length",
        }
    }
}
