#![doc = include_str!("../README.md")]
#![cfg_attr(compliance_docsrs, feature(doc_cfg))]

pub mod client_ip;
pub mod database;
pub mod embargo;
pub mod integrations;
pub mod transport;
