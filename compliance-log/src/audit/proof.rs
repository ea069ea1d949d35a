//! A receipt for one record that stands by itself: the C2SP tlog-proof (v1).
//!
//! It holds the record, its place in the tree and a signed checkpoint over the tree. Whoever has the verifying key can
//! check it without the trail: a data subject, an auditor, a court. The record stands in the `extra` line, which the
//! format leaves to the application; it counts only because it hashes to the leaf that is proven.
//!
//! ```
//! # use compliance_core::clock::{Clock, SystemClock};
//! # use compliance_core::event::{Actor, Event, EventKind, Sink};
//! # use compliance_core::finding::Outcome;
//! # use compliance_core::random::SystemRandom;
//! # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
//! use compliance_log::audit::proof::RecordProof;
//!
//! # let dir = tempfile::tempdir()?;
//! # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
//! # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
//! # let event = Event::builder(EventKind::SystemStarted, Outcome::Passed, Actor::System, SystemClock.now());
//! # log.record(event.build()?).wait()?;
//! # let key = log.verifying_key().clone();
//! # log.close()?;
//! let file = RecordProof::make(dir.path(), 0)?.to_string();
//!
//! let record = RecordProof::parse(&file)?.verify(&key)?;
//! assert_eq!(record.sequence(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checkpoint::{CheckpointError, CheckpointNote, MAX_NOTE_LEN, VerifyingKey};
use super::record::{HEAD_LEN, MAX_EVENT_LEN, Record, RecordFormError};
use super::segment::{self, AuditError, records};
use super::tree::{InclusionProof, ProofError, TreeHash};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The most hashes a proof may have: the height of a tree of 2⁶⁴ leaves.
const MAX_PATH_LEN: usize = 64;

/// The longest text read, in bytes: the longest record in base64, a full path and a note.
pub const MAX_PROOF_LEN: usize = (MAX_EVENT_LEN + HEAD_LEN) / 3 * 4 + MAX_PATH_LEN * 46 + MAX_NOTE_LEN + 128;

/// One record with the proof that it is in the trail. Nothing is known about it until [`verify`](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct RecordProof {
    record: Vec<u8>,
    inclusion: InclusionProof,
    checkpoint: CheckpointNote,
}

impl RecordProof {
    /// Proves record `sequence` of the trail in `dir` under the latest checkpoint beside its segments. Reads the trail
    /// once, in bounded memory. Where its beginning was retired, what is left has its receipts all the same.
    ///
    /// # Errors
    /// [`RecordProofErrorKind::NotCovered`] when no checkpoint covers the record yet, or it is not there;
    /// [`Inclusion`](RecordProofErrorKind::Inclusion) when the trail is not what the checkpoint states;
    /// [`Trail`](RecordProofErrorKind::Trail) when the trail cannot be read.
    pub fn make(dir: impl AsRef<Path>, sequence: u64) -> Result<Self, RecordProofError> {
        let not_covered = RecordProofErrorKind::NotCovered;
        let checkpoint = segment::head(dir.as_ref())?.ok_or(not_covered)?;
        let size = checkpoint.statement().size;
        let (mut record, mut failure) = (None, None);
        let mut records = records(dir)?;
        let before = records.tree_before()?;
        let leaves = std::iter::from_fn(|| {
            let next = records.next_with(|head, body, hash| {
                if head.sequence == sequence {
                    record = Some(body.to_vec());
                }
                Ok(hash)
            })?;
            next.map_err(|error| failure = Some(error)).ok()
        });
        let inclusion = InclusionProof::prove_after(&before, leaves, sequence, size);
        if let Some(error) = failure {
            return Err(error.into());
        }
        let (Some(inclusion), Some(record)) = (inclusion, record) else { return Err(not_covered.into()) };
        // What would prove nothing is not handed out.
        inclusion
            .verify(&TreeHash::leaf(&record), &checkpoint.statement().root)
            .map_err(RecordProofErrorKind::Inclusion)?;
        Ok(Self { record, inclusion, checkpoint })
    }

    /// Reads a proof of at most [`MAX_PROOF_LEN`] bytes.
    ///
    /// # Errors
    /// [`RecordProofErrorKind::Form`] with the line that is not of its form, [`Checkpoint`](
    /// RecordProofErrorKind::Checkpoint) for the part after the empty line.
    pub fn parse(text: &str) -> Result<Self, RecordProofError> {
        let form = |line| RecordProofErrorKind::Form { line };
        if text.len() > MAX_PROOF_LEN {
            return Err(form(1).into());
        }
        let (head, note) = text.split_once("\n\n").ok_or(form(1))?;
        let checkpoint = CheckpointNote::parse(note).map_err(RecordProofErrorKind::Checkpoint)?;
        let mut lines = head.split('\n');
        lines.next().filter(|line| *line == FIRST_LINE).ok_or(form(1))?;
        // The format allows proofs without; this one's leaf is in it.
        let extra = lines.next().and_then(|line| line.strip_prefix("extra ")).ok_or(form(2))?;
        let record = BASE64.decode(extra).map_err(|_| form(2))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or(form(3))?;
        let index = index.parse().ok().filter(|number: &u64| number.to_string() == index).ok_or(form(3))?;
        let mut path = Vec::new();
        for (at, line) in lines.enumerate() {
            let hash = BASE64.decode(line).ok().and_then(|hash| hash.try_into().ok());
            let hash = hash.filter(|_| at < MAX_PATH_LEN).ok_or(form(at.saturating_add(4)))?;
            path.push(TreeHash::from_bytes(hash));
        }
        let size = checkpoint.statement().size;
        Ok(Self { record, inclusion: InclusionProof::from_parts(index, size, path), checkpoint })
    }

    /// Checks the checkpoint's signature, the way from the record to its root, and the record's own number and form;
    /// gives the record.
    ///
    /// # Errors
    /// [`RecordProofError`] for whichever of these does not hold.
    pub fn verify(&self, key: &VerifyingKey) -> Result<Record, RecordProofError> {
        let checkpoint = self.checkpoint.verify(key).map_err(RecordProofErrorKind::Checkpoint)?;
        self.inclusion
            .verify(&TreeHash::leaf(&self.record), checkpoint.root())
            .map_err(RecordProofErrorKind::Inclusion)?;
        let record = Record::decode(&self.record).map_err(RecordProofErrorKind::Record)?;
        if record.sequence() != self.inclusion.index() {
            return Err(RecordProofErrorKind::Form { line: 3 }.into());
        }
        Ok(record)
    }
}

/// The text of a `.tlog-proof` file.
impl fmt::Display for RecordProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}\nextra {}\nindex {}", BASE64.encode(&self.record), self.inclusion.index())?;
        for hash in self.inclusion.path() {
            writeln!(f, "{}", BASE64.encode(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint.note())
    }
}

/// A proof was not made or does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proof of a record refused: {0}")]
pub struct RecordProofError(RecordProofErrorKind);

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordProofErrorKind {
    /// The checkpoint is not of its form or not the key's.
    #[error("{0}")]
    Checkpoint(CheckpointError),
    /// A line is not of its form.
    #[error("line {line} is not of its form")]
    Form {
        /// Line number, from 1.
        line: usize,
    },
    /// The record does not lead to the checkpoint's root.
    #[error("{0}")]
    Inclusion(ProofError),
    /// No checkpoint covers the record yet, or there is none of this number.
    #[error("no checkpoint covers a record of this number")]
    NotCovered,
    /// What is proven is no record.
    #[error("{0}")]
    Record(RecordFormError),
    /// The trail could not be read.
    #[error("{0}")]
    Trail(AuditError),
}

impl RecordProofError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> RecordProofErrorKind {
        self.0
    }

    /// `proof.form`, `proof.not_covered`, or the code of the checkpoint's, the inclusion's, the record's or the trail's
    /// error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            RecordProofErrorKind::Checkpoint(error) => error.code(),
            RecordProofErrorKind::Form { .. } => "proof.form",
            RecordProofErrorKind::Inclusion(error) => error.code(),
            RecordProofErrorKind::NotCovered => "proof.not_covered",
            RecordProofErrorKind::Record(error) => error.code(),
            RecordProofErrorKind::Trail(error) => error.code(),
        }
    }
}

impl From<RecordProofErrorKind> for RecordProofError {
    fn from(kind: RecordProofErrorKind) -> Self {
        Self(kind)
    }
}

impl From<AuditError> for RecordProofError {
    fn from(error: AuditError) -> Self {
        Self(RecordProofErrorKind::Trail(error))
    }
}
