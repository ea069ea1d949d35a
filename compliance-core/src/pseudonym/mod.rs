//! Pseudonyms: keyed, rotating tokens, so that one person's entries can be told to be one person's without
//! naming the person.
//!
//! [`Pseudonym`] is the value that logs and audit events hold. Making one takes a `Pseudonymiser` (feature
//! `pseudonym`): HMAC-SHA256 under a key derived with HKDF (RFC 5869) from tenant, domain and epoch, so that
//! tokens of different tenants, domains and epochs cannot be joined without the key.
//!
//! ```
//! # #[cfg(feature = "pseudonym")] {
//! use compliance_core::pseudonym::{Epoch, PseudonymKey};
//! use compliance_core::pseudonym_domain;
//!
//! # let secret = [7; 32];
//! let key = PseudonymKey::new(&secret, Epoch::new(0)).unwrap();
//! let emails = key.pseudonymiser(None, pseudonym_domain!("log.email"), Epoch::new(3)).unwrap();
//!
//! let anna = emails.pseudonym(b"anna@example.com");
//! assert_eq!(anna, emails.pseudonym(b"anna@example.com"));
//! assert_ne!(anna, emails.pseudonym(b"ben@example.com"));
//! assert!(anna.to_string().starts_with("pn1_"));
//! # }
//! ```
//!
//! # What it does not do
//! A pseudonym is still personal data for whoever can get at the key (GDPR Art. 4(5), recital 26): it lowers the
//! risk, it does not anonymise. Whoever holds the key can try identifiers one by one, and identifiers of low
//! entropy – phone numbers, birth dates, national numbers, IPv4 addresses – are found that way within minutes:
//! drop those instead. Equal identifiers have equal tokens, so how often someone appears stays visible. Length
//! and content of the rest of a line are not hidden.

#[cfg(feature = "pseudonym")]
mod key;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::clock::Timestamp;

#[cfg(feature = "pseudonym")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "pseudonym")))]
pub use key::{PseudonymKey, PseudonymKeyError, PseudonymKeyErrorKind, Pseudonymiser};

/// A keyed token that stands for an identifier, with the key and the epoch it was made under.
///
/// Its text is `pn1_<key id>_<epoch>_<token>`: 8 and 32 lower-case hexadecimal digits around a decimal number
/// without leading zeros, at most [`Pseudonym::MAX_LEN`] bytes. `pn1` is the version of the whole derivation.
///
/// ```
/// use compliance_core::pseudonym::Pseudonym;
///
/// let text = "pn1_0123abcd_42_00112233445566778899aabbccddeeff";
/// assert_eq!(text.parse::<Pseudonym>().unwrap().to_string(), text);
/// assert_eq!("pn2_0".parse::<Pseudonym>().unwrap_err().code(), "pseudonym.unknown_version");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym {
    key: PseudonymKeyId,
    epoch: Epoch,
    token: [u8; Self::TOKEN_LEN],
}

impl Pseudonym {
    /// The length of the token in bytes: 128 bits.
    pub const TOKEN_LEN: usize = 16;
    /// The longest text form, in bytes.
    pub const MAX_LEN: usize = 56;

    #[cfg(feature = "pseudonym")]
    pub(super) const fn from_parts(key: PseudonymKeyId, epoch: Epoch, token: [u8; Self::TOKEN_LEN]) -> Self {
        Self { key, epoch, token }
    }

    /// Which key made it.
    #[must_use]
    pub const fn key(&self) -> PseudonymKeyId {
        self.key
    }

    /// In which epoch it was made. Tokens of two epochs cannot be compared.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The token.
    #[must_use]
    pub const fn token(&self) -> &[u8; Self::TOKEN_LEN] {
        &self.token
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`PseudonymErrorKind::UnknownVersion`] when it starts with `pn` and a version other than 1,
    /// [`PseudonymErrorKind::Shape`] for anything else but what `Display` prints.
    pub fn parse(text: &str) -> Result<Self, PseudonymError> {
        let shape = PseudonymError { kind: PseudonymErrorKind::Shape };
        let mut parts = text.split('_');
        let (key, epoch, token) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("pn1"), Some(key), Some(epoch), Some(token)) if parts.next().is_none() => {
                (key, epoch, token)
            }
            (Some(version), ..) if is_other_version(version) => {
                return Err(PseudonymError { kind: PseudonymErrorKind::UnknownVersion });
            }
            _ => return Err(shape),
        };
        let canonical = epoch == "0" || !epoch.starts_with('0');
        if !canonical || epoch.len() > 10 || !epoch.bytes().all(|b| b.is_ascii_digit()) {
            return Err(shape);
        }
        Ok(Self {
            key: PseudonymKeyId(hex(key).ok_or(shape)?),
            epoch: Epoch(epoch.parse().map_err(|_| shape)?),
            token: hex(token).ok_or(shape)?,
        })
    }
}

fn is_other_version(part: &str) -> bool {
    part.strip_prefix("pn")
        .is_some_and(|n| n != "1" && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Exactly `2 * N` lower-case hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => b.checked_sub(b'0'),
        b'a'..=b'f' => b.checked_sub(b'a' - 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pn1_{}_{}_", self.key, self.epoch.0)?;
        write_hex(f, &self.token)
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Pseudonym {
    type Err = PseudonymError;

    fn from_str(text: &str) -> Result<Self, PseudonymError> {
        Self::parse(text)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Pseudonym {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Pseudonym {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;

        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)
            .map_err(|_| D::Error::custom("expected a pseudonym as text"))?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

/// Names the key of one epoch: 32 bits derived from the key itself, so that no two keys can be given one name
/// by mistake. Tells nothing about the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PseudonymKeyId([u8; 4]);

impl PseudonymKeyId {
    #[cfg(feature = "pseudonym")]
    pub(super) const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for PseudonymKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for PseudonymKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A period of rotation, by number. Within one, a person keeps their pseudonym; across two, nothing joins them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u32);

impl Epoch {
    /// The epoch with a number of the service's own choosing.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The epoch that `time` lies in when epochs are `length_days` long and the first began on 1970-01-01 (UTC).
    /// Earlier times are in epoch 0.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use compliance_core::{clock::Timestamp, pseudonym::Epoch};
    ///
    /// let month = NonZeroU32::new(30).unwrap();
    /// let now = "2026-11-21T12:00:00Z".parse::<Timestamp>().unwrap();
    /// assert_eq!(Epoch::at(now, month), Epoch::new(692));
    /// ```
    #[must_use]
    pub fn at(time: Timestamp, length_days: NonZeroU32) -> Self {
        let length_seconds = i64::from(length_days.get()).saturating_mul(86_400);
        let number = time.as_unix_seconds().checked_div(length_seconds).unwrap_or(0);
        Self(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What kind of identifier is pseudonymised, for which use: a dotted lower-case code such as `log.email`.
///
/// The same address has unrelated tokens in two domains. Made from a literal by
/// [`pseudonym_domain!`](crate::pseudonym_domain), which checks it at compile time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PseudonymDomain(&'static str);

impl PseudonymDomain {
    /// For [`pseudonym_domain!`](crate::pseudonym_domain), which checks the literal at compile time.
    #[doc(hidden)]
    #[must_use]
    pub const fn from_checked_literal(text: &'static str) -> Self {
        Self(text)
    }

    /// The code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// A [`PseudonymDomain`](crate::pseudonym::PseudonymDomain) from a literal; a malformed one does not compile.
///
/// ```
/// let domain = compliance_core::pseudonym_domain!("log.email");
/// assert_eq!(domain.as_str(), "log.email");
/// ```
/// ```compile_fail
/// let domain = compliance_core::pseudonym_domain!("E-mail addresses");
/// ```
#[macro_export]
macro_rules! pseudonym_domain {
    ($text:literal) => {{
        const { assert!($crate::class::dotted_code($text), "a domain is dotted lower-case, like `log.email`") };
        $crate::pseudonym::PseudonymDomain::from_checked_literal($text)
    }};
}

/// A text that is no pseudonym.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct PseudonymError {
    kind: PseudonymErrorKind,
}

impl PseudonymError {
    /// What was wrong.
    #[must_use]
    pub const fn kind(&self) -> PseudonymErrorKind {
        self.kind
    }

    /// The stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            PseudonymErrorKind::Shape => "pseudonym.shape",
            PseudonymErrorKind::UnknownVersion => "pseudonym.unknown_version",
        }
    }
}

/// What was wrong with a pseudonym's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PseudonymErrorKind {
    /// Not what `Display` prints.
    #[error("pseudonym is not of the form `pn1_<8 hex digits>_<number>_<32 hex digits>`")]
    Shape,
    /// Another version than 1.
    #[error("pseudonym has a version that is not known, expected `pn1`")]
    UnknownVersion,
}
