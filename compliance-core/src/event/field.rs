use std::borrow::Cow;
use std::fmt;

use super::Event;
use crate::class::{DataClass, Internal, Public, Purpose, dotted_code};
use crate::clock::Timestamp;
use crate::pseudonym::Pseudonym;
use crate::seal::Sealed;

/// The name of a field: dotted lower-case, at most 64 bytes. Names are the program's, never the user's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldName(Cow<'static, str>);

impl FieldName {
    pub(super) fn new(name: impl Into<Cow<'static, str>>) -> Option<Self> {
        let name = name.into();
        dotted_code(&name).then_some(Self(name))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A plain value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Value {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Text of at most [`Event::MAX_TEXT_LEN`] bytes.
    Text(Box<str>),
    /// A point in time.
    Time(Timestamp),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Time(value) => value.fmt(f),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$name:ident| $make:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($name: $from) -> Self {
                $make
            }
        })*
    };
}

value_from! {
    &str => |text| Self::Text(text.into());
    String => |text| Self::Text(text.into());
    bool => |value| Self::Boolean(value);
    i32 => |value| Self::Integer(value.into());
    i64 => |value| Self::Integer(value);
    u16 => |value| Self::Integer(value.into());
    u32 => |value| Self::Integer(value.into());
    Timestamp => |time| Self::Time(time);
    Purpose => |purpose| Self::Text(purpose.as_str().into());
}

/// What may stand in a field: [`Public`] and [`Internal`] values, pseudonyms, sealed values. Sealed: the
/// list is complete, and that is the point.
pub trait FieldValue: sealed::Sealed {
    #[doc(hidden)]
    fn into_kind(self) -> FieldValueKind;
}

mod sealed {
    #[expect(unnameable_types, reason = "seals `FieldValue`")]
    pub trait Sealed {}
}

impl sealed::Sealed for Pseudonym {}

impl FieldValue for Pseudonym {
    fn into_kind(self) -> FieldValueKind {
        FieldValueKind::Pseudonym(self)
    }
}

impl sealed::Sealed for Sealed {}

impl FieldValue for Sealed {
    fn into_kind(self) -> FieldValueKind {
        FieldValueKind::Sealed(self)
    }
}

/// A field's value as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldValueKind {
    /// A plain value of a class that may be read by whoever reads the trail.
    Plain {
        /// [`DataClass::Public`] or [`DataClass::Internal`].
        class: DataClass,
        /// The value.
        value: Value,
    },
    /// A keyed pseudonym.
    Pseudonym(Pseudonym),
    /// A sealed value, at most [`Event::MAX_SEALED_LEN`] bytes encoded.
    Sealed(Sealed),
}

impl<T: Into<Value>> sealed::Sealed for Public<T> {}

impl<T: Into<Value>> FieldValue for Public<T> {
    fn into_kind(self) -> FieldValueKind {
        FieldValueKind::Plain { class: DataClass::Public, value: self.0.into() }
    }
}

impl<T: Into<Value>> sealed::Sealed for Internal<T> {}

impl<T: Into<Value>> FieldValue for Internal<T> {
    fn into_kind(self) -> FieldValueKind {
        FieldValueKind::Plain { class: DataClass::Internal, value: self.0.into() }
    }
}

/// A named value of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    name: FieldName,
    value: FieldValueKind,
}

impl Field {
    pub(super) fn new(name: FieldName, value: impl FieldValue) -> Self {
        Self { name, value: value.into_kind() }
    }

    pub(super) fn from_stored(name: FieldName, value: FieldValueKind) -> Self {
        Self { name, value }
    }

    pub(super) fn into_name(self) -> FieldName {
        self.name
    }

    /// Whether the value is within its limit.
    pub(super) fn fits(&self) -> bool {
        match &self.value {
            FieldValueKind::Plain { value: Value::Text(text), .. } => text.len() <= Event::MAX_TEXT_LEN,
            // Both have limits of their own, and no greater ones.
            FieldValueKind::Plain { .. } | FieldValueKind::Pseudonym(_) | FieldValueKind::Sealed(_) => true,
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &FieldValueKind {
        &self.value
    }
}
