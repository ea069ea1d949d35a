#![doc = include_str!("../README.md")]
#![cfg_attr(compliance_docsrs, feature(doc_cfg))]

pub mod address;
pub mod class;
pub mod clock;
pub mod country;
pub mod event;
pub mod finding;
pub mod id;
#[cfg(any(feature = "pseudonym", feature = "seal"))]
mod kdf;
pub mod origin;
pub mod pseudonym;
pub mod random;
pub mod request;
pub mod seal;
pub mod snapshot;
#[cfg(feature = "testing")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
