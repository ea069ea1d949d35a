//! What every frame of a trail must be, given the frames before it.

use std::time::Duration;

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
    longest_gap: Option<Gap>,
    /// Records under checkpoints over what was found.
    recovered: u64,
    /// What the trail says of itself under a checkpoint.
    said: OwnWords,
    /// The same in the records after the last checkpoint. Anybody can have written those.
    unsigned: OwnWords,
}

#[derive(Clone, Debug, Default)]
struct OwnWords {
    /// The key the trail goes on under, and the one it says it was under.
    next_key: Option<(Box<str>, Option<Box<str>>)>,
    /// Records before this one were retired.
    retired_before: u64,
}

impl OwnWords {
    fn add(&mut self, word: OwnWord) {
        match word {
            OwnWord::KeyChanged { to, from } => self.next_key = Some((to, from)),
            OwnWord::RetiredBefore(before) => self.retired_before = self.retired_before.max(before),
        }
    }

    fn add_all(&mut self, words: Self) {
        self.next_key = words.next_key.or(self.next_key.take());
        self.retired_before = self.retired_before.max(words.retired_before);
    }
}

/// The time between two checkpoints of a trail that was not closed in between, by the trail's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    after: u64,
    length: Duration,
    promised: Option<Duration>,
}

impl Gap {
    fn between(last: &SignedCheckpoint, next: &SignedCheckpoint) -> Option<Self> {
        let length = next.at().saturating_since(last.at());
        let gap = Self { after: last.number(), length, promised: last.interval() };
        (!last.is_closing()).then_some(gap)
    }

    /// The number of the checkpoint before it.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.after
    }

    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.length
    }

    /// How long that checkpoint said it would be at most; `None` where it did not say.
    #[must_use]
    pub fn promised(&self) -> Option<Duration> {
        self.promised
    }

    /// Whether it is more than twice as long as was promised: a heartbeat was not late but missing. Then nothing was
    /// recorded, or signed, for that long: the process was down or stopped, the signer away, or somebody took a stretch
    /// out together with its checkpoints, with the key.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        !self.excess().is_zero()
    }

    fn excess(&self) -> Duration {
        self.promised
            .map_or(Duration::ZERO, |promised| self.length.saturating_sub(promised.saturating_mul(2)))
    }
}

impl Chain {
    /// Begins with the header of a segment: the signed checkpoint in it vouches for what came before.
    /// Without a key, the header's own is taken.
    pub(crate) fn begin(frame: &Frame<'_>, name: u64, key: Option<&VerifyingKey>) -> Result<Self, Fault> {
        let err = |kind| fault(kind, name, name, frame);
        let header = Header::of_segment(frame, name, name)?;
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
            longest_gap: None,
            recovered: 0,
            said: OwnWords::default(),
            unsigned: OwnWords::default(),
        })
    }

    /// Goes on with the next segment, whose header must repeat where this one ends.
    pub(crate) fn continue_with(&mut self, frame: &Frame<'_>, name: u64) -> Result<(), Fault> {
        let next = self.tree.size();
        let header = Header::of_segment(frame, name, next)?;
        if header.key != self.key {
            // Said in a record the old key's checkpoint covers, and that checkpoint signed by the new key too. To whoever
            // knows the new key alone, the record tells the old one from any other in its place.
            let is_announced = self.said.next_key.as_ref().is_some_and(|(to, from)| {
                **to == *header.key.to_string()
                    && from.as_ref().is_none_or(|from| **from == *self.key.to_string())
            });
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
                if let Some(word) = head.own_word() {
                    self.unsigned.add(word);
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
                let words = std::mem::take(&mut self.unsigned);
                // Whoever recovers a trail signs what was found, not that it is true.
                if signed.is_recovery() {
                    self.recovered = self.recovered.saturating_add(self.uncovered);
                } else {
                    self.said.add_all(words);
                }
                let rank = |gap: &Gap| (gap.excess(), gap.length);
                self.longest_gap =
                    self.longest_gap.into_iter().chain(Gap::between(&self.last, &signed)).max_by_key(rank);
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

    /// Records before this one were retired, as the trail says under a checkpoint.
    pub(crate) fn retired_before(&self) -> u64 {
        self.said.retired_before
    }

    pub(crate) fn longest_gap(&self) -> Option<Gap> {
        self.longest_gap
    }

    pub(crate) fn recovered(&self) -> u64 {
        self.recovered
    }

    pub(super) fn begun_at(&self) -> Timestamp {
        self.begun_at
    }

    pub(super) fn into_parts(self) -> (CompactTree, SignedCheckpoint, u64) {
        (self.tree, self.last, self.uncovered)
    }
}

impl Header {
    /// The header of the segment of this name, which is to begin with record `sequence`.
    pub(super) fn of_segment(frame: &Frame<'_>, name: u64, sequence: u64) -> Result<Self, Fault> {
        let err = |kind| Err(fault(kind, sequence, name, frame));
        if frame.kind != FrameKind::Header {
            return err(FaultKind::FrameKind);
        }
        match Self::decode(frame.body) {
            Ok(header) if header.first == name => Ok(header),
            Ok(_) | Err(HeaderError::Form) => err(FaultKind::SegmentHeader),
            Err(HeaderError::Version) => err(FaultKind::SegmentVersion),
        }
    }
}

fn fault(kind: FaultKind, sequence: u64, segment: u64, frame: &Frame<'_>) -> Fault {
    Fault::new(kind, Position { sequence, segment, offset: frame.offset })
}
