use compliance_core::event::{RecordError, RecordErrorKind};

use crate::audit::postgres::{PostgresError, PostgresErrorKind};
use crate::audit::segment::AuditError;

/// Events were not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sequencer: {0}")]
pub struct SequencerError(SequencerErrorKind);

/// Why events were not taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SequencerErrorKind {
    /// The trail was not opened or read.
    #[error("{0}")]
    Audit(AuditError),
    /// The database failed.
    #[error("{0}")]
    Database(PostgresError),
    /// Another sequencer has taken over since; nothing was marked.
    #[error("another sequencer leads now")]
    Fenced,
    /// The runtime is shutting down, or the trail is still being written to.
    #[error("the runtime ended before the trail was written")]
    Interrupted,
    /// Another sequencer leads.
    #[error("another sequencer leads")]
    NotLeader,
    /// The trail in the directory is not the one the database was drained into.
    #[error("the database was drained into another trail")]
    OtherTrail,
    /// The trail did not take an event.
    #[error("{0}")]
    Record(RecordError),
    /// The configuration seals people, which is the sink's to do.
    #[error("people are sealed by the sink, not by the sequencer")]
    Seals,
    /// Records are gone, or were in a trail elsewhere.
    #[error("the trail has {found} records, {expected} were taken over")]
    TrailBehind {
        /// Records in the trail.
        found: u64,
        /// Records there were when rows were last marked.
        expected: u64,
    },
    /// The trail has a record that did not come from the database.
    #[error("record {sequence} of the trail did not come from the database")]
    UnknownRecord {
        /// Its number.
        sequence: u64,
    },
}

impl SequencerError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> SequencerErrorKind {
        self.0
    }

    /// `sequencer.fenced`, `sequencer.interrupted`, `sequencer.not_leader`, `sequencer.other_trail`,
    /// `sequencer.seals`, `sequencer.trail_behind`, `sequencer.unknown_record`, or the code of the trail's, the
    /// database's or the recording's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            SequencerErrorKind::Audit(error) => error.code(),
            SequencerErrorKind::Database(error) => error.code(),
            SequencerErrorKind::Fenced => "sequencer.fenced",
            SequencerErrorKind::Interrupted => "sequencer.interrupted",
            SequencerErrorKind::NotLeader => "sequencer.not_leader",
            SequencerErrorKind::OtherTrail => "sequencer.other_trail",
            SequencerErrorKind::Record(error) => error.code(),
            SequencerErrorKind::Seals => "sequencer.seals",
            SequencerErrorKind::TrailBehind { .. } => "sequencer.trail_behind",
            SequencerErrorKind::UnknownRecord { .. } => "sequencer.unknown_record",
        }
    }

    /// Whether trying again with this sequencer is in vain: somebody has to look.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.0 {
            SequencerErrorKind::Fenced | SequencerErrorKind::NotLeader => false,
            SequencerErrorKind::Database(error) => {
                matches!(error.kind(), PostgresErrorKind::SchemaTooNew { .. })
            }
            SequencerErrorKind::Record(error) => {
                !matches!(error.kind(), RecordErrorKind::Full | RecordErrorKind::Unavailable)
            }
            SequencerErrorKind::Audit(_)
            | SequencerErrorKind::Interrupted
            | SequencerErrorKind::OtherTrail
            | SequencerErrorKind::Seals
            | SequencerErrorKind::TrailBehind { .. }
            | SequencerErrorKind::UnknownRecord { .. } => true,
        }
    }
}

impl From<SequencerErrorKind> for SequencerError {
    fn from(kind: SequencerErrorKind) -> Self {
        Self(kind)
    }
}

impl From<AuditError> for SequencerError {
    fn from(error: AuditError) -> Self {
        Self(SequencerErrorKind::Audit(error))
    }
}

impl From<PostgresError> for SequencerError {
    fn from(error: PostgresError) -> Self {
        Self(SequencerErrorKind::Database(error))
    }
}

impl From<RecordError> for SequencerError {
    fn from(error: RecordError) -> Self {
        Self(SequencerErrorKind::Record(error))
    }
}
