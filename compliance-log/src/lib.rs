#![doc = include_str!("../README.md")]
#![cfg_attr(compliance_docsrs, feature(doc_cfg))]

pub mod audit;
#[cfg(feature = "key-store")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "key-store")))]
pub mod key_store;
pub mod redact;
