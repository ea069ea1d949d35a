#![doc = include_str!("../README.md")]
#![cfg_attr(compliance_docsrs, feature(doc_cfg))]

pub mod audit;
#[cfg(feature = "sqlite")]
mod blocking;
#[cfg(feature = "tower")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "tower")))]
pub mod correlation;
mod directory;
#[cfg(any(feature = "postgres", feature = "sqlite", feature = "tower"))]
#[cfg_attr(compliance_docsrs, doc(cfg(any(feature = "postgres", feature = "sqlite", feature = "tower"))))]
pub mod integrations;
#[cfg(feature = "key-store")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "key-store")))]
pub mod key_store;
#[cfg(feature = "tracing")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "tracing")))]
pub mod layer;
pub mod redact;
