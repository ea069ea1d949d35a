//! Identifiers: tenant, actor, subject, correlation.
//!
//! The first three are opaque tokens the service chose: 1 to 128 bytes of `[A-Za-z0-9._:-]`, starting with a
//! letter or a digit. `@` and space are not in the alphabet, so that e-mail addresses and names cannot pass
//! for identifiers. The correlation id is made by the family itself, from a [`SecureRandom`].

use std::fmt;
use std::str::FromStr;

use crate::random::{RandomError, SecureRandom};

/// The longest identifier, in bytes.
pub const MAX_ID_LEN: usize = 128;

/// An identifier was not of its shape. Carries length or position, never the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {kind}")]
pub struct IdError {
    what: &'static str,
    kind: IdErrorKind,
}

/// Why an identifier was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdErrorKind {
    /// A byte outside the alphabet.
    #[error("has a character outside its alphabet at byte {at}")]
    Character {
        /// Byte offset of the first such character.
        at: usize,
    },
    /// Nothing at all.
    #[error("is empty")]
    Empty,
    /// Not as long as it must be.
    #[error("is {found} bytes long, expected {expected}")]
    Length {
        /// What was found, in bytes.
        found: usize,
        /// The limit or the exact length, in bytes.
        expected: usize,
    },
    /// A value the standard forbids, such as an all-zero trace id.
    #[error("has a value its standard forbids")]
    Reserved,
}

impl IdError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> IdErrorKind {
        self.kind
    }

    /// `id.character`, `id.empty`, `id.length` or `id.reserved`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            IdErrorKind::Character { .. } => "id.character",
            IdErrorKind::Empty => "id.empty",
            IdErrorKind::Length { .. } => "id.length",
            IdErrorKind::Reserved => "id.reserved",
        }
    }
}

fn check_opaque(what: &'static str, text: &str) -> Result<(), IdError> {
    let err = |kind| Err(IdError { what, kind });
    if text.is_empty() {
        return err(IdErrorKind::Empty);
    }
    if text.len() > MAX_ID_LEN {
        return err(IdErrorKind::Length { found: text.len(), expected: MAX_ID_LEN });
    }
    let bad = text.bytes().enumerate().position(|(at, byte)| {
        !(byte.is_ascii_alphanumeric() || (at > 0 && matches!(byte, b'.' | b'_' | b':' | b'-')))
    });
    bad.map_or(Ok(()), |at| err(IdErrorKind::Character { at }))
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks and takes an identifier.
            ///
            /// # Errors
            /// [`IdError`] when it is empty, longer than [`MAX_ID_LEN`] bytes or has a character outside
            /// `[A-Za-z0-9._:-]`.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                check_opaque($what, text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)
                    .map_err(|_| serde::de::Error::custom(concat!("expected a ", $what, " as text")))?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! shown {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

opaque_id!(
    /// Whose data it is: the customer organisation a record belongs to.
    ///
    /// ```
    /// use compliance_core::id::TenantId;
    ///
    /// assert_eq!(TenantId::new("acme-7")?.as_str(), "acme-7");
    /// assert_eq!(TenantId::new("acme 7").unwrap_err().code(), "id.character");
    /// # Ok::<(), compliance_core::id::IdError>(())
    /// ```
    TenantId,
    "tenant id"
);
shown!(TenantId);

opaque_id!(
    /// Who acts: the service's own identifier of a user, a staff member or a program.
    ///
    /// It is shown and serialised, because a trail without actors is none; use a surrogate key, never a
    /// login name.
    ActorId,
    "actor id"
);
shown!(ActorId);

opaque_id!(
    /// Whom data is about: the service's own identifier of a data subject (GDPR Art. 4(1)).
    ///
    /// Personal data: `Debug` prints `[subject]`, there is no `Display` and no `Serialize`.
    ///
    /// ```compile_fail,E0277
    /// let subject = compliance_core::id::SubjectId::new("user-1").unwrap();
    /// println!("{subject}"); // No `Display`.
    /// ```
    /// ```compile_fail,E0277
    /// fn serialise(_: impl serde::Serialize) {}
    /// serialise(compliance_core::id::SubjectId::new("user-1").unwrap()); // No `Serialize`.
    /// ```
    SubjectId,
    "subject id"
);

impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[subject]")
    }
}

/// Ties everything one request caused together: 128 random bits, made here and shown as 32 lower-case
/// hexadecimal digits.
///
/// # Security
/// Never taken from the request: a caller who chooses the id can mix their actions into somebody else's
/// trail. What the caller sent is kept beside it as a [`TraceParent`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorrelationId([u8; 16]);

impl CorrelationId {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`RandomError`] when the random source fails.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads one back from where the service itself stored it, as 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`IdError`] on another length or another character.
    pub fn from_stored(text: &str) -> Result<Self, IdError> {
        lower_hex("correlation id", text).map(Self)
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From the 16 bytes a store kept.
    #[must_use]
    pub fn from_stored_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CorrelationId({self})")
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for CorrelationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A caller's `traceparent` header (W3C Trace Context, Level 2, §3.2), parsed strictly.
///
/// It says where the caller *claims* the request belongs; it is recorded as a parent and never used as
/// our own identifier. Version `00` must be exactly 55 bytes; a later version may carry more after a `-`,
/// which is dropped; version `ff`, upper-case digits and all-zero ids are refused.
///
/// ```
/// use compliance_core::id::TraceParent;
///
/// let parent = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?;
/// assert!(parent.sampled());
/// assert!(TraceParent::parse("00-00000000000000000000000000000000-b7ad6b7169203331-01").is_err());
/// # Ok::<(), compliance_core::id::IdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: [u8; 16],
    parent_id: [u8; 8],
    flags: u8,
}

impl TraceParent {
    /// The length of a version `00` header, in bytes.
    pub const LEN: usize = 55;
    const WHAT: &'static str = "traceparent";
    const SAMPLED: u8 = 0x01;

    /// Parses one header value.
    ///
    /// # Errors
    /// [`IdError`] on any departure from the grammar; the caller then behaves as if there were no header
    /// (W3C Trace Context §4.3).
    pub fn parse(header: &str) -> Result<Self, IdError> {
        let err = |kind| Err(IdError { what: Self::WHAT, kind });
        let length = |found| IdErrorKind::Length { found, expected: Self::LEN };
        let mut parts = header.splitn(5, '-');
        let (Some(version), Some(trace_id), Some(parent_id), Some(flags)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return err(length(header.len()));
        };
        let [version] = lower_hex::<1>(Self::WHAT, version)?;
        let trace_id = lower_hex(Self::WHAT, trace_id)?;
        let parent_id = lower_hex(Self::WHAT, parent_id)?;
        let [flags] = lower_hex::<1>(Self::WHAT, flags)?;
        if version == 0 && header.len() != Self::LEN {
            return err(length(header.len()));
        }
        if version == 0xff || trace_id == [0; 16] || parent_id == [0; 8] {
            return err(IdErrorKind::Reserved);
        }
        Ok(Self { trace_id, parent_id, flags })
    }

    /// The caller's trace id.
    #[must_use]
    pub fn trace_id(&self) -> &[u8; 16] {
        &self.trace_id
    }

    /// The caller's span id.
    #[must_use]
    pub fn parent_id(&self) -> &[u8; 8] {
        &self.parent_id
    }

    /// The flags byte.
    #[must_use]
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Whether the caller says it recorded its part.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.flags & Self::SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    /// As a version `00` header.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        write_hex(f, &self.trace_id)?;
        f.write_str("-")?;
        write_hex(f, &self.parent_id)?;
        write!(f, "-{:02x}", self.flags)
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceParent({self})")
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn lower_hex<const N: usize>(what: &'static str, text: &str) -> Result<[u8; N], IdError> {
    let expected = N.saturating_mul(2);
    if text.len() != expected {
        return Err(IdError { what, kind: IdErrorKind::Length { found: text.len(), expected } });
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(byte.wrapping_sub(b'a').wrapping_add(10)),
        _ => None,
    };
    let mut out = [0; N];
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    for (at, (slot, [high, low])) in out.iter_mut().zip(pairs).enumerate() {
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return Err(IdError { what, kind: IdErrorKind::Character { at: at.saturating_mul(2) } });
        };
        *slot = (high << 4) | low;
    }
    Ok(out)
}
