//! Passwords: accepted by a policy, hashed, verified.
//!
//! In reading order: [`policy`] says whether a password may be used and why not; [`strength`] estimates how
//! hard it is to guess; [`blocklist`] knows what an attacker expects, [`breach`] what he has seen; [`hash`] stores and
//! verifies it. The module `service` (feature `service`) does it all for async code, with every decision on record.

pub mod blocklist;
pub mod breach;
mod context;
mod fold;
pub mod hash;
mod message;
pub mod policy;
#[cfg(feature = "service")]
pub mod service;
pub mod strength;
mod words;

#[doc(inline)]
pub use context::PasswordContext;
#[doc(inline)]
pub use hash::{
    HashError, HashParameters, HashSource, PasswordHash, PasswordHasher, Pepper, VerifiedPassword,
    VerifyError,
};
#[doc(inline)]
pub use message::Language;
#[doc(inline)]
pub use policy::{AcceptedPassword, PasswordPolicy, PasswordProfile, PasswordReason, PasswordRefusal};
#[doc(inline)]
pub use strength::{Score, Strength};

#[cfg(feature = "axum")]
#[doc(inline)]
pub use crate::integrations::{SecretForm, SecretFormRejection};
#[cfg(feature = "service")]
#[doc(inline)]
pub use service::PasswordService;
