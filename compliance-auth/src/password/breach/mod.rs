//! Breach: whether a password is known from a breach, offline or by range.
//!
//! SP 800-63B-4 §3.1.1.2 and ASVS 5.0 6.2.12 want new passwords compared with those of earlier breaches. Two
//! ways, which may be combined:
//!
//! - [`BreachFilter`] asks a file, so that nothing leaves the house. The file is a binary fuse filter over the
//!   published SHA-1 ranges, about 2.3 bytes a password at 16 bits, made by [`BreachFilterBuilder`]. A password
//!   that is in the corpus is always found; one that is not is found in one case of 65,536 (or of 256, at 8 bits).
//! - `RangeClient` (feature `breach-range`) asks a range service for everything that shares the first five hex
//!   digits of the password's SHA-1. The service learns these five digits and nothing else.

mod build;
mod filter;
#[cfg(feature = "breach-range")]
mod range;

pub use build::{BreachFilterBuilder, BuildError, BuildErrorKind};
pub use filter::{BreachFilter, BreachFilterError, BreachFilterErrorKind, FingerprintBits};
#[cfg(feature = "breach-range")]
pub use range::{RangeClient, RangeClientBuilder, RangeError, RangeErrorKind};

use sha1::{Digest as _, Sha1};

/// What becomes of a password when nobody can say whether it is in a breach: a file that cannot be read, a service
/// that does not answer in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where doubt is forgotten")]
pub enum OnUnavailable {
    /// Accept it and leave a finding `password.breach_unknown` under [`Outcome::Review`](compliance_core::finding::Outcome).
    Review,
    /// Refuse it, with `password.breach_unknown`. The default.
    #[default]
    Refuse,
}

/// Whether a password is known from a breach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the two answers there are")]
#[must_use]
pub enum Breach {
    /// It is, or, with the probability of the filter, looks as if it were.
    Listed,
    /// It is not.
    NotListed,
}

impl From<bool> for Breach {
    fn from(listed: bool) -> Self {
        if listed { Self::Listed } else { Self::NotListed }
    }
}

/// SHA-1 of the text: what the public corpora are keyed by. No security rests on it.
pub(super) fn digest(text: &str) -> [u8; 20] {
    Sha1::digest(text.as_bytes()).into()
}

/// The part of a digest that the filters hold.
fn key(digest: &[u8; 20]) -> u64 {
    digest.first_chunk::<8>().map_or(0, |head| u64::from_be_bytes(*head))
}
