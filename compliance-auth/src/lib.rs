#![doc = include_str!("../README.md")]
#![cfg_attr(compliance_docsrs, feature(doc_cfg))]

pub mod password;
pub mod redirect;

pub mod integrations;

#[doc(inline)]
pub use password::{AcceptedPassword, PasswordHash, PasswordHasher, PasswordPolicy, VerifiedPassword};
#[doc(inline)]
pub use redirect::{OriginPattern, RedirectError, RedirectPolicy, SafeRedirect};
