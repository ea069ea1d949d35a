//! Data classes, and wrappers that keep a value's class with it.
//!
//! A value wrapped in [`Confidential`], [`Personal`] or [`Sensitive`] has no `Display` and no `Serialize`,
//! its `Debug` prints the class only, and it comes out through `disclose(&purpose)` alone: whoever reads it
//! says what for. [`Public`] and [`Internal`] are the two classes an audit event's field may hold as they are.
//!
//! ```
//! use compliance_core::class::Personal;
//! use compliance_core::purpose;
//!
//! let email = Personal::new("anna@example.com".to_owned());
//! assert_eq!(format!("{email:?}"), "[personal]");
//! assert_eq!(email.disclose(&purpose!("account.welcome_mail")), "anna@example.com");
//! ```
//!
//! What must not compile:
//!
//! ```compile_fail,E0277
//! let name = compliance_core::class::Personal::new("Anna");
//! println!("{name}"); // No `Display`.
//! ```
//! ```compile_fail,E0277
//! let name = compliance_core::class::Sensitive::new("flu");
//! println!("{name}"); // No `Display`.
//! ```
//! ```compile_fail,E0277
//! let name = compliance_core::class::Confidential::new("margin 31 %");
//! println!("{name}"); // No `Display`.
//! ```
//! ```compile_fail,E0277
//! fn serialise(_: impl serde::Serialize) {}
//! serialise(compliance_core::class::Personal::new("Anna")); // No `Serialize`.
//! ```
//! ```compile_fail,E0277
//! fn serialise(_: impl serde::Serialize) {}
//! serialise(compliance_core::class::Sensitive::new("flu")); // No `Serialize`.
//! ```
//! ```compile_fail,E0277
//! fn serialise(_: impl serde::Serialize) {}
//! serialise(compliance_core::class::Confidential::new("margin 31 %")); // No `Serialize`.
//! ```
//! ```compile_fail,E0616
//! let name = compliance_core::class::Personal::new("Anna");
//! let _ = name.0; // The value is private.
//! ```
//! ```compile_fail,E0061
//! let name = compliance_core::class::Personal::new("Anna");
//! let _ = name.disclose(); // A read names its purpose.
//! ```

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How much harm a value does in the wrong place, from none to most. The order is the lattice: joining
/// two values yields the higher class.
///
/// ```
/// use compliance_core::class::DataClass;
///
/// assert!(DataClass::Personal < DataClass::Sensitive);
/// assert_eq!(DataClass::Internal.max(DataClass::Secret), DataClass::Secret);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a lattice: code that matches on it must be revisited when it changes"
)]
pub enum DataClass {
    /// May be published.
    Public,
    /// For the organisation; harmless to its staff and to people outside.
    Internal,
    /// Business secrets; harmful to the organisation.
    Confidential,
    /// Relates to an identified or identifiable person (GDPR Art. 4(1)).
    Personal,
    /// Special categories (GDPR Art. 9(1)): health, beliefs, biometrics, sex life and the like.
    Sensitive,
    /// Keys, passwords, tokens. Held in `secrecy` types, never in the wrappers here.
    Secret,
}

impl DataClass {
    /// All classes, lowest first.
    pub const ALL: [Self; 6] =
        [Self::Public, Self::Internal, Self::Confidential, Self::Personal, Self::Sensitive, Self::Secret];

    /// The lower-case name: `public`, `internal`, `confidential`, `personal`, `sensitive`, `secret`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Personal => "personal",
            Self::Sensitive => "sensitive",
            Self::Secret => "secret",
        }
    }
}

impl fmt::Display for DataClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a value is read or used for: one to eight dotted parts of `[a-z0-9_]`, each starting with a
/// letter, at most [`Purpose::MAX_LEN`] bytes; `billing.invoice`, `account.welcome_mail`.
///
/// A purpose is [`Public`]: it names a processing activity (GDPR Art. 5(1)(b), Art. 30(1)(b)), never a person.
/// Use [`purpose!`](crate::purpose) for literals; it is checked by the compiler.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Purpose(Cow<'static, str>);

impl Purpose {
    /// The longest purpose, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Takes a purpose that is known only at run time.
    ///
    /// # Errors
    /// [`PurposeError`] when the text is not of the shape above.
    pub fn new(text: impl Into<String>) -> Result<Self, PurposeError> {
        let text = text.into();
        if dotted_code(&text) {
            Ok(Self(Cow::Owned(text)))
        } else {
            Err(PurposeError { found_len: text.len() })
        }
    }

    /// For [`purpose!`](crate::purpose), which checks the literal at compile time.
    #[doc(hidden)]
    #[must_use]
    pub const fn from_checked_literal(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Purpose {
    type Err = PurposeError;

    fn from_str(text: &str) -> Result<Self, PurposeError> {
        Self::new(text)
    }
}

/// A [`Purpose`](crate::class::Purpose) from a literal; a malformed one does not compile.
///
/// ```
/// let purpose = compliance_core::purpose!("account.welcome_mail");
/// assert_eq!(purpose.as_str(), "account.welcome_mail");
/// ```
/// ```compile_fail
/// let purpose = compliance_core::purpose!("Send The Mail");
/// ```
#[macro_export]
macro_rules! purpose {
    ($text:literal) => {{
        const {
            assert!(
                $crate::class::dotted_code($text),
                "a purpose is dotted lower-case, like `billing.invoice`"
            )
        };
        $crate::class::Purpose::from_checked_literal($text)
    }};
}

/// A purpose was not of its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("purpose is {found_len} bytes of another shape, expected up to {max} bytes like `billing.invoice`", max = Purpose::MAX_LEN)]
pub struct PurposeError {
    found_len: usize,
}

impl PurposeError {
    /// `purpose.shape`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "purpose.shape"
    }
}

/// Whether `text` is a dotted lower-case code: parts of `[a-z][a-z0-9_]*` joined by `.`, at most 64 bytes.
#[doc(hidden)]
#[must_use]
#[expect(clippy::indexing_slicing, reason = "`at < bytes.len()`; const code has no `get` or iterators")]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "bounded by the length check; const code has no saturating loop"
)]
pub const fn dotted_code(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > Purpose::MAX_LEN {
        return false;
    }
    let mut at = 0;
    let mut part_starts = true;
    while at < bytes.len() {
        let fits = match bytes[at] {
            b'a'..=b'z' => {
                part_starts = false;
                true
            }
            b'0'..=b'9' | b'_' => !part_starts,
            b'.' if !part_starts => {
                part_starts = true;
                true
            }
            _ => false,
        };
        if !fits {
            return false;
        }
        at += 1;
    }
    !part_starts
}

/// A value that carries its [`DataClass`]. Sealed: the classes are the ones of this module.
pub trait Classified: sealed::Sealed {
    /// The class of every value of this type.
    const CLASS: DataClass;
}

mod sealed {
    #[expect(unnameable_types, reason = "seals `Classified`")]
    pub trait Sealed {}
}

macro_rules! guarded {
    ($(#[$doc:meta])* $name:ident, $class:ident, $debug:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name<T>(T);

        impl<T> $name<T> {
            /// Wraps a value.
            #[must_use]
            pub const fn new(value: T) -> Self {
                Self(value)
            }

            /// Reads the value for a named purpose.
            ///
            /// # Security
            /// What leaves here is out of the type's hands: pass it on in the narrowest scope.
            pub const fn disclose(&self, _purpose: &Purpose) -> &T {
                &self.0
            }

            /// Takes the value out for a named purpose.
            pub fn into_disclosed(self, _purpose: &Purpose) -> T {
                self.0
            }
        }

        impl<T> From<T> for $name<T> {
            fn from(value: T) -> Self {
                Self(value)
            }
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($debug)
            }
        }

        impl<T> sealed::Sealed for $name<T> {}

        impl<T> Classified for $name<T> {
            const CLASS: DataClass = DataClass::$class;
        }

        #[cfg(feature = "serde")]
        impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for $name<T> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // The inner error is dropped: serde quotes the value it did not like.
                T::deserialize(deserializer).map(Self).map_err(|_| {
                    serde::de::Error::custom(concat!($debug, " value is not of its expected form"))
                })
            }
        }
    };
}

guarded!(
    /// A business secret. `Debug` prints `[confidential]`.
    Confidential,
    Confidential,
    "[confidential]"
);
guarded!(
    /// A value about an identified or identifiable person (GDPR Art. 4(1)). `Debug` prints `[personal]`.
    Personal,
    Personal,
    "[personal]"
);
guarded!(
    /// A value of a special category (GDPR Art. 9(1)), health data for one. `Debug` prints `[sensitive]`.
    Sensitive,
    Sensitive,
    "[sensitive]"
);

macro_rules! open {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(clippy::exhaustive_structs, reason = "any value may fill it: wrapping is the statement")]
        pub struct $name<T>(pub T);

        impl<T: fmt::Display> fmt::Display for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<T> sealed::Sealed for $name<T> {}

        impl<T> Classified for $name<T> {
            const CLASS: DataClass = DataClass::$name;
        }
    };
}

open!(
    /// A value its author declares public. May stand in an audit event's field.
    Public
);
open!(
    /// A value its author declares internal: operational, about no person. May stand in an audit event's field.
    Internal
);
