use std::path::{Path, PathBuf};

use super::error::AuditError;
use super::file;
use super::frame::{FrameKind, Header};
use super::reader::{Damage, FrameReader, Step};
use crate::audit::fault::{Fault, FaultKind, Position};
use crate::audit::record::{Record, RecordFormError, RecordHead};
use crate::audit::tree::{CompactTree, TreeHash};

/// Reads the records of the trail in `dir`, in order, in bounded memory.
///
/// Checks each record's own form and number, and that none is missing in between; whether the trail is what
/// was signed, [`verify`](crate::audit::verify::verify) tells. The trail may be open for writing meanwhile:
/// a commit under way is not read.
///
/// ```
/// # use compliance_core::{clock::SystemClock, random::SystemRandom};
/// # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
/// use compliance_log::audit::segment::records;
///
/// # let dir = tempfile::tempdir()?;
/// # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
/// for record in records(dir.path())? {
///     let record = record?;
///     println!("{} {} {}", record.sequence(), record.recorded_at(), record.event().kind());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`AuditError`] `audit.io` when the directory cannot be read.
pub fn records(dir: impl AsRef<Path>) -> Result<Records, AuditError> {
    let segments =
        file::segments(dir.as_ref()).map_err(|error| AuditError::io("list the segments", &error))?;
    // What was before the first segment was retired, or `verify` says it is missing.
    let next = segments.first().map_or(0, |(first, _)| *first);
    Ok(Records { segments, following: 0, current: None, next, place: Place::default(), has_ended: false })
}

/// Where a record's frame lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::audit) struct Place {
    /// The first sequence number of its segment.
    pub(in crate::audit) segment: u64,
    /// From the start of the segment, in bytes.
    pub(in crate::audit) offset: u64,
}

/// The records from the segment on that holds number `sequence`, or would.
pub(in crate::audit) fn records_from(dir: &Path, sequence: u64) -> Result<Records, AuditError> {
    let mut records = records(dir)?;
    records.following = records.segments.partition_point(|(first, _)| *first <= sequence).saturating_sub(1);
    records.next = records.segments.get(records.following).map_or(0, |(first, _)| *first);
    Ok(records)
}

/// An iterator over the records of a trail; ends after the first error.
#[must_use]
pub struct Records {
    segments: Vec<(u64, PathBuf)>,
    /// The segment, by its place in the list, that comes after the current one.
    following: usize,
    current: Option<(u64, FrameReader)>,
    next: u64,
    /// Of the record given last.
    place: Place,
    has_ended: bool,
}

impl Records {
    /// The number of the first record there is.
    #[cfg(feature = "sqlite")]
    pub(in crate::audit) fn first(&self) -> Option<u64> {
        self.segments.first().map(|(first, _)| *first)
    }

    /// Where the record given last lies.
    #[cfg(feature = "sqlite")]
    pub(in crate::audit) fn place(&self) -> Place {
        self.place
    }

    /// Goes on with record `next`, which is said to lie at `place`; whether it does, reading it tells. `false` when
    /// there is no such segment.
    #[cfg(feature = "sqlite")]
    pub(in crate::audit) fn jump(&mut self, place: Place, next: u64) -> Result<bool, AuditError> {
        let io = |error| AuditError::io("read a segment", &error);
        let Ok(at) = self.segments.binary_search_by_key(&place.segment, |(first, _)| *first) else {
            return Ok(false);
        };
        match &mut self.current {
            Some((segment, reader)) if *segment == place.segment => {
                reader.seek(place.offset).map_err(io)?;
            }
            current => {
                let Some((_, path)) = self.segments.get(at) else { return Ok(false) };
                let mut reader = FrameReader::open(path).map_err(io)?;
                reader.seek(place.offset).map_err(io)?;
                *current = Some((place.segment, reader));
            }
        }
        (self.following, self.next, self.has_ended) = (at.saturating_add(1), next, false);
        Ok(true)
    }

    /// The tree over the records before the first there is, as the first segment's header has it, unproven.
    pub(in crate::audit) fn tree_before(&self) -> Result<CompactTree, AuditError> {
        let Some((first, path)) = self.segments.first() else { return Ok(CompactTree::new()) };
        let io = |error| AuditError::io("read a segment", &error);
        let mut reader = FrameReader::open(path).map_err(io)?;
        match reader.step().map_err(io)? {
            Step::Frame(frame) => Ok(Header::of_segment(&frame, *first, *first)?.tree),
            Step::End { offset, .. } | Step::Damaged { offset } => {
                let position = Position { sequence: *first, segment: *first, offset };
                Err(Fault::new(FaultKind::FrameDamaged, position).into())
            }
        }
    }

    /// The next record in the form `take` gives it.
    pub(in crate::audit) fn next_with<T>(
        &mut self,
        take: impl FnOnce(RecordHead<'_>, &[u8], TreeHash) -> Result<T, RecordFormError>,
    ) -> Option<Result<T, AuditError>> {
        if self.has_ended {
            return None;
        }
        let next = self.read(take).transpose();
        self.has_ended = !matches!(next, Some(Ok(_)));
        next
    }

    fn read<T>(
        &mut self,
        take: impl FnOnce(RecordHead<'_>, &[u8], TreeHash) -> Result<T, RecordFormError>,
    ) -> Result<Option<T>, AuditError> {
        let io = |error| AuditError::io("read a segment", &error);
        loop {
            if self.current.is_none() {
                let Some((first, path)) = self.segments.get(self.following) else { return Ok(None) };
                if *first != self.next {
                    let position = Position { sequence: self.next, segment: *first, offset: 0 };
                    return Err(Fault::new(FaultKind::SegmentMissing, position).into());
                }
                self.current = Some((*first, FrameReader::open(path).map_err(io)?));
                self.following = self.following.saturating_add(1);
            }
            let Some((segment, reader)) = &mut self.current else { continue };
            let position = |offset| Position { sequence: self.next, segment: *segment, offset };
            match reader.step().map_err(io)? {
                Step::Frame(frame) if frame.kind == FrameKind::Record => {
                    let form = |error: RecordFormError| {
                        let kind =
                            if error.is_version() { FaultKind::RecordVersion } else { FaultKind::RecordForm };
                        Fault::new(kind, position(frame.offset))
                    };
                    let head = RecordHead::decode(frame.body).map_err(form)?;
                    if head.sequence != self.next {
                        return Err(Fault::new(FaultKind::RecordSequence, position(frame.offset)).into());
                    }
                    let taken = take(head, frame.body, frame.hash).map_err(form)?;
                    self.next = self.next.saturating_add(1);
                    self.place = Place { segment: *segment, offset: frame.offset };
                    return Ok(Some(taken));
                }
                Step::Frame(_) => {}
                // A segment gets its name only once its header is durable.
                Step::End { offset: 0, .. } => {
                    return Err(Fault::new(FaultKind::FrameDamaged, position(0)).into());
                }
                Step::End { .. } => self.current = None,
                Step::Damaged { offset } => {
                    let fault = Fault::new(FaultKind::FrameDamaged, position(offset));
                    let is_last = self.following >= self.segments.len();
                    match reader.judge(offset).map_err(io)? {
                        Damage::Passing => {}
                        Damage::Torn { .. } if is_last => return Ok(None),
                        Damage::Torn { .. } | Damage::Tampered => return Err(fault.into()),
                    }
                }
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_with(|head, _, digest| Record::new(&head, digest))
    }
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("next", &self.next).finish_non_exhaustive()
    }
}
