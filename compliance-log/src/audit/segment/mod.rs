//! The trail on disk: segments of plain files, one writer, group commit.
//!
//! A directory holds the segments (`00000000000000000000.seg`, named after the first sequence number in
//! them), the latest checkpoint (`checkpoint`, a signed note) and the writer's `lock`. A segment is a sequence
//! of frames: a header that repeats where the segment before it ended, then records and checkpoints, then
//! zeros where space was made ahead.
//!
//! **Durability.** Callers hand events over; one thread writes what has gathered, synchronises once
//! (`fdatasync`), and only then gives the receipts. Each frame says where its group commit began. A crash
//! leaves at most one commit that was never acknowledged; [`AuditLog::open`] cuts it and says so. If anything
//! behind a damaged place was begun after that place was durable, no crash explains it, and the trail is not
//! opened.
//!
//! **Errors.** After a failed write or synchronisation nobody knows what the disk holds, and asking again
//! may be answered wrongly. The log takes nothing more until it is opened anew, which reads back what there
//! is and writes the last commit once more. A full disk is told beforehand, when space is made ahead: events
//! are refused with [`Full`](compliance_core::event::RecordErrorKind::Full), and taken again once there is
//! room.

mod chain;
mod config;
mod engine;
mod error;
mod file;
mod frame;
mod log;
mod reader;
mod records;
mod recover;
mod writer;

pub use self::config::{AuditConfig, RecordPolicy};
pub use self::error::{AuditError, AuditErrorKind};
pub use self::log::{AuditLog, OpenReport};
pub use self::records::{Records, records};

pub(super) use self::chain::Chain;
pub use self::chain::Gap;
#[cfg(feature = "postgres")]
pub(super) use self::config::Policies;
#[cfg(all(feature = "key-store", feature = "postgres"))]
pub(super) use self::config::Sealing;
pub(super) use self::file::segments;
pub(super) use self::reader::{Damage, FrameReader, Step};
#[cfg(feature = "sqlite")]
pub(super) use self::records::Place;
pub(super) use self::records::records_from;
pub(super) use self::recover::head;
#[cfg(feature = "postgres")]
pub(super) use self::writer::dropped_event;

/// The most written in one group commit, in bytes, before its last frame.
const MAX_BATCH_LEN: usize = 4 * 1024 * 1024;
