//! An audit trail that survives crashes and shows tampering.
//!
//! Events go in through [`AuditLog`], a [`Sink`](compliance_core::event::Sink) whose receipts mean: on disk,
//! synchronised. Every record is a leaf of an RFC 6962 Merkle tree; signed checkpoints state how many records
//! there are and what the tree's root is; [`verify`](verify::verify) reads everything back and says how much
//! of it holds, and against whom.
//!
//! In reading order: [`record`] (what is written), [`segment`] (where and how durably), [`tree`],
//! [`checkpoint`] (what is signed), [`verify`](mod@verify), [`schedule`] (that it is verified), [`anchor`] (where
//! checkpoints are kept), [`durable`] (that a receipt outlasts the instance), [`proof`] (receipts for single records),
//! [`query`] (who reads is recorded), [`retention`]; behind features `index`, `erasure`, `export`, `metrics` and
//! `postgres`.

pub mod anchor;
mod audited;
pub mod checkpoint;
pub mod durable;
#[cfg(feature = "key-store")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "key-store")))]
pub mod erasure;
#[cfg(feature = "json")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "json")))]
pub mod export;
mod fault;
mod hash;
#[cfg(feature = "sqlite")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "sqlite")))]
pub mod index;
#[cfg(feature = "key-store")]
mod ledger;
#[cfg(feature = "metrics")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
#[cfg(feature = "postgres")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "postgres")))]
pub mod postgres;
pub mod proof;
pub mod query;
pub mod record;
pub mod retention;
pub mod schedule;
pub mod segment;
pub mod tree;
pub mod verify;

pub use self::audited::{Audited, Release, ReleaseError, ReleaseErrorKind};
pub use self::checkpoint::{CheckpointKey, CheckpointSigner, SignedCheckpoint, VerifyingKey};
pub use self::fault::{Fault, FaultKind};
pub use self::record::Record;
pub use self::segment::{AuditConfig, AuditError, AuditErrorKind, AuditLog, OpenReport, RecordPolicy};
pub use self::verify::{Completeness, Verdict, VerifyOptions, VerifyReport};
