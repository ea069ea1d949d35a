//! What every frame of a trail must be, given the frames before it.

use compliance_core::clock::Timestamp;

use super::frame::{CheckpointBody, FrameKind, Header, HeaderError};
use super::reader::Frame;
use crate::audit::checkpoint::{CheckpointNote, SignedCheckpoint, VerifyingKey};
use crate::audit::fault::{Fault, FaultKind, Position};
use crate::audit::record::{OwnWord, RecordHead};
use crate::audit::tree::CompactTree;

/// The trail up to a place, each frame checked against those before it.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    key: VerifyingKey,
    tree: CompactTree,
    last: SignedCheckpoint,
    /// Records after the last checkpoint.
    uncovered: u64,
    segment: u64,
    /// When the segment was begun: the time of the checkpoint in its header.
    begun_at: Timestamp,
    batch: Option<u32>,
    /// The key the trail says it goes on under.
    next_key: Option<Box<str>>,
    /// Records before this one were retired, as the trail says.
    retired_before: u64,
}

impl Chain {
    /// Begins with the header of a segment: the signed checkpoint in it vouches for what came before.
    /// Without a key, the header's own is taken.
    pub(crate) fn begin(frame: &Frame<'_>, name: u64, key: Option<&VerifyingKey>) -> Result<Self, Fault> {
        let err = |kind| fault(kind, name, name, frame);
        let header = decode_header(frame, name, name)?;
        if key.is_some_and(|key| *key != header.key) {
            return Err(err(FaultKind::OtherKey));
        }
        let last = header.checkpoint.verify(&header.key).map_err(|_| err(FaultKind::CheckpointSignature))?;
        if last.size() != header.first || *last.root() != header.tree.root() {
            return Err(err(FaultKind::CheckpointRoot));
        }
        let begun_at = last.at();
        Ok(Self {
            key: header.key,
            tree: header.tree,
            last,
            uncovered: 0,
            segment: name,
            begun_at,
            batch: None,
            next_key: None,
            retired_before: 0,
        })
    }

    /// Goes on with the next segment, whose header must repeat where this one ends.
    pub(crate) fn continue_with(&mut self, frame: &Frame<'_>, name: u64) -> Result<(), Fault> {
        let next = self.tree.size();
        let header = decode_header(frame, name, next)?;
        if header.key != self.key {
            // Said in a record the old key's checkpoint covers, and that checkpoint signed by the new key too.
            let is_announced = self.next_key.as_deref() == Some(&*header.key.to_string());
            if !is_announced || header.checkpoint.verify(&header.key).is_err() {
                return Err(fault(FaultKind::OtherKey, next, name, frame));
            }
        }
        let repeats = self.uncovered == 0
            && header.tree == self.tree
            && header.checkpoint.statement() == self.last.statement()
            && header.checkpoint.note() == self.last.note();
        if !repeats {
            return Err(fault(FaultKind::SegmentHeader, next, name, frame));
        }
        self.key = header.key;
        (self.segment, self.begun_at, self.batch) = (name, self.last.at(), None);
        Ok(())
    }

    /// Takes the next frame of the segment; gives back its record, if it is one.
    pub(crate) fn take<'a>(&mut self, frame: &Frame<'a>) -> Result<Option<RecordHead<'a>>, Fault> {
        self.take_kind(frame).map_err(|kind| {
            // Under a wrong root, any record since the last good checkpoint may be the bad one.
            let is_root = kind == FaultKind::CheckpointRoot;
            let sequence = if is_root { self.last.size() } else { self.tree.size() };
            fault(kind, sequence, self.segment, frame)
        })
    }

    fn take_kind<'a>(&mut self, frame: &Frame<'a>) -> Result<Option<RecordHead<'a>>, FaultKind> {
        match frame.kind {
            FrameKind::Header => Err(FaultKind::FrameKind),
            FrameKind::Record => {
                let head = RecordHead::decode(frame.body).map_err(|error| {
                    if error.is_version() { FaultKind::RecordVersion } else { FaultKind::RecordForm }
                })?;
                self.take_batch(head.batch, frame.offset)?;
                if head.sequence != self.tree.size() {
                    return Err(FaultKind::RecordSequence);
                }
                if self.uncovered >= self.last.every() {
                    return Err(FaultKind::CheckpointMissing);
                }
                self.tree.push(frame.hash);
                self.uncovered = self.uncovered.saturating_add(1);
                match head.own_word() {
                    None => {}
                    Some(OwnWord::KeyChangedTo(key)) => self.next_key = Some(key),
                    Some(OwnWord::RetiredBefore(before)) => {
                        self.retired_before = self.retired_before.max(before);
                    }
                }
                Ok(Some(head))
            }
            FrameKind::Checkpoint => {
                let body = CheckpointBody::decode(frame.body).ok_or(FaultKind::CheckpointForm)?;
                self.take_batch(body.batch, frame.offset)?;
                let note = CheckpointNote::parse(body.note).map_err(|_| FaultKind::CheckpointForm)?;
                let signed = note.verify(&self.key).map_err(|_| FaultKind::CheckpointSignature)?;
                if Some(signed.number()) != self.last.number().checked_add(1) {
                    return Err(FaultKind::CheckpointNumber);
                }
                if signed.size() != self.tree.size() || *signed.root() != self.tree.root() {
                    return Err(FaultKind::CheckpointRoot);
                }
                self.last = signed;
                self.uncovered = 0;
                Ok(None)
            }
        }
    }

    /// A frame either goes on with the group commit of the frame before it or begins one where it stands.
    fn take_batch(&mut self, batch: u32, offset: u64) -> Result<(), FaultKind> {
        if u64::from(batch) != offset && Some(batch) != self.batch {
            return Err(FaultKind::Batch);
        }
        self.batch = Some(batch);
        Ok(())
    }

    pub(crate) fn fault(&self, kind: FaultKind, offset: u64) -> Fault {
        Fault::new(kind, Position { sequence: self.tree.size(), segment: self.segment, offset })
    }

    pub(crate) fn tree(&self) -> &CompactTree {
        &self.tree
    }

    pub(crate) fn key(&self) -> &VerifyingKey {
        &self.key
    }

    pub(crate) fn last(&self) -> &SignedCheckpoint {
        &self.last
    }

    pub(crate) fn uncovered(&self) -> u64 {
        self.uncovered
    }

    pub(crate) fn retired_before(&self) -> u64 {
        self.retired_before
    }

    pub(super) fn begun_at(&self) -> Timestamp {
        self.begun_at
    }

    pub(super) fn into_parts(self) -> (CompactTree, SignedCheckpoint, u64) {
        (self.tree, self.last, self.uncovered)
    }
}

fn decode_header(frame: &Frame<'_>, name: u64, sequence: u64) -> Result<Header, Fault> {
    let err = |kind| Err(fault(kind, sequence, name, frame));
    if frame.kind != FrameKind::Header {
        return err(FaultKind::FrameKind);
    }
    match Header::decode(frame.body) {
        Ok(header) if header.first == name => Ok(header),
        Ok(_) | Err(HeaderError::Form) => err(FaultKind::SegmentHeader),
        Err(HeaderError::Version) => err(FaultKind::SegmentVersion),
    }
}

fn fault(kind: FaultKind, sequence: u64, segment: u64, frame: &Frame<'_>) -> Fault {
    Fault::new(kind, Position { sequence, segment, offset: frame.offset })
}
