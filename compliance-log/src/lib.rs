#![doc = include_str!("../README.md")]
#![cfg_attr(compliance_docsrs, feature(doc_cfg))]

pub mod audit;
pub mod redact;
