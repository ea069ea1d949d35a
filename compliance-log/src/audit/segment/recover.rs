//! Opens a trail: reads the last segment, cuts what a crash tore, refuses what no crash explains.

use std::io;
use std::path::{Path, PathBuf};

use super::chain::Chain;
use super::error::AuditError;
use super::file;
use super::reader::{Damage, FrameReader, Step};
use crate::audit::checkpoint::{CheckpointNote, MAX_NOTE_LEN, VerifyingKey};
use crate::audit::fault::{Fault, FaultKind, Position};
use crate::audit::verify::{VerifyOptions, verify};

/// The last segment as far as it is good.
pub(super) struct Recovered {
    pub(super) chain: Chain,
    pub(super) path: PathBuf,
    pub(super) first: u64,
    pub(super) len: u64,
    pub(super) torn_bytes: u64,
}

/// `None` when the directory holds no trail yet.
pub(super) fn recover(dir: &Path, key: &VerifyingKey) -> Result<Option<Recovered>, AuditError> {
    let segments = file::segments(dir).map_err(|error| AuditError::io("list the segments", &error))?;
    let head = head(dir)?;
    let (Some((lowest, _)), Some((first, path))) = (segments.first(), segments.last()) else {
        return match head {
            Some(head) => Err(AuditError::truncated(0, head.statement().size)),
            None => Ok(None),
        };
    };
    if *lowest != 0 {
        // Only the trail itself can say that its beginning was retired.
        verify(dir, &VerifyOptions::new().key(key.clone()))?.whole()?;
    }
    let recovered = scan(path, *first, key, head.as_ref())?;
    if let Some(head) = head {
        let head = head.verify(key).map_err(|_| Fault::new(FaultKind::HeadForm, Position::default()))?;
        let chain = &recovered.chain;
        if head.size() > chain.tree().size() {
            return Err(AuditError::truncated(chain.tree().size(), head.size()));
        }
        // The checkpoint is put beside the segments only once it is durable in them.
        if head.number() > chain.last().number() {
            return Err(chain.fault(FaultKind::CheckpointGone, recovered.len).into());
        }
    }
    Ok(Some(recovered))
}

/// The checkpoint beside the segments, its signature not looked at yet.
pub(crate) fn head(dir: &Path) -> Result<Option<CheckpointNote>, AuditError> {
    let note = file::read_head(dir, MAX_NOTE_LEN)
        .map_err(|error| AuditError::io("read the checkpoint beside the segments", &error))?;
    let Some(note) = note else { return Ok(None) };
    match str::from_utf8(&note).ok().and_then(|note| CheckpointNote::parse(note).ok()) {
        Some(note) => Ok(Some(note)),
        None => Err(Fault::new(FaultKind::HeadForm, Position::default()).into()),
    }
}

fn scan(
    path: &Path,
    first: u64,
    key: &VerifyingKey,
    head: Option<&CheckpointNote>,
) -> Result<Recovered, AuditError> {
    let read = |error: io::Error| AuditError::io("read the last segment", &error);
    let mut reader = FrameReader::open(path).map_err(read)?;
    let mut chain = match reader.step().map_err(read)? {
        Step::Frame(frame) => Chain::begin(&frame, first, Some(key))?,
        // A segment gets its name only once its header is durable.
        Step::End { offset, .. } | Step::Damaged { offset } => {
            let position = Position { sequence: first, segment: first, offset };
            return Err(Fault::new(FaultKind::FrameDamaged, position).into());
        }
    };
    let (len, torn_bytes) = loop {
        match reader.step().map_err(read)? {
            Step::Frame(frame) => {
                chain.take(&frame)?;
                let offset = frame.offset;
                let head = head.map(CheckpointNote::statement);
                let contradicts = head
                    .is_some_and(|head| head.size == chain.tree().size() && head.root != chain.tree().root());
                if contradicts {
                    return Err(chain.fault(FaultKind::Head, offset).into());
                }
            }
            Step::End { offset, .. } => break (offset, 0),
            Step::Damaged { offset } => match reader.judge(offset).map_err(read)? {
                Damage::Torn { bytes } => break (offset, bytes),
                // Nobody else writes while this process holds the lock.
                Damage::Tampered | Damage::Passing => {
                    return Err(chain.fault(FaultKind::FrameDamaged, offset).into());
                }
            },
        }
    };
    Ok(Recovered { chain, path: path.to_owned(), first, len, torn_bytes })
}
