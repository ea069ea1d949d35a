use std::fmt;

/// Where a trail is not what was written, and why.
///
/// Positions only; nothing of a record's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {sequence}, segment {segment}, byte {offset}: {kind}")]
pub struct Fault {
    kind: FaultKind,
    sequence: u64,
    segment: u64,
    offset: u64,
}

impl Fault {
    pub(super) fn new(kind: FaultKind, position: Position) -> Self {
        let Position { sequence, segment, offset } = position;
        Self { kind, sequence, segment, offset }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// The first bad sequence number: every record before it is as it was written, as far as the trail
    /// itself can tell.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The segment, by the sequence number it starts with.
    #[must_use]
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// Bytes from the start of the segment.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The code of the [kind](Self::kind).
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    pub(super) sequence: u64,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident, $code:literal, $text:literal;)*) => {
        /// What is wrong with a trail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FaultKind {
            $($(#[doc = $doc])* $name,)*
        }

        impl FaultKind {
            /// Every kind this version knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }

        impl fmt::Display for FaultKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $text,)*
                })
            }
        }
    };
}

kinds! {
    /// The trail has another history than when the anchored checkpoint was made: it was rewritten.
    Anchor, "audit.anchor_contradicts", "the trail does not have the root the anchored checkpoint states";
    /// A frame says it belongs to a group commit that cannot be.
    Batch, "audit.batch", "the frame belongs to no group commit that could have been";
    /// A checkpoint that was anchored, or that stands beside the segments, is not in the trail.
    CheckpointGone, "audit.checkpoint_gone", "a checkpoint known from elsewhere is not in the trail";
    /// A checkpoint is not of its form.
    CheckpointForm, "audit.checkpoint_form", "the checkpoint is not of its form";
    /// More records follow a checkpoint than it promised: one was taken out, or records were put in.
    CheckpointMissing, "audit.checkpoint_missing", "more records follow the last checkpoint than it promised";
    /// A checkpoint is missing, repeated or out of order.
    CheckpointNumber, "audit.checkpoint_number", "the checkpoint does not have the next number";
    /// The checkpoint states another root or size than the records have.
    CheckpointRoot, "audit.checkpoint_root", "the tree does not have the size and root the checkpoint states";
    /// The checkpoint's signature does not hold, or is by another key.
    CheckpointSignature, "audit.checkpoint_signature", "the checkpoint is not signed by the trail's key";
    /// Bytes are not what was written: the frame's check does not hold.
    FrameDamaged, "audit.frame_damaged", "the frame is damaged";
    /// A frame of a kind that cannot be here.
    FrameKind, "audit.frame_kind", "the frame is of a kind that cannot be here";
    /// The trail has another history than when the checkpoint beside the segments was made.
    Head, "audit.head_contradicts", "the trail does not have the root the checkpoint beside the segments states";
    /// The checkpoint beside the segments is not of its form or not signed by the trail's key.
    HeadForm, "audit.head_form", "the checkpoint beside the segments is damaged";
    /// The trail is signed by another key than the one given.
    OtherKey, "audit.other_key", "the trail names another key";
    /// A record is not of its form though its check holds.
    RecordForm, "audit.record_form", "the record is not of its form";
    /// A record has another number than its place.
    RecordSequence, "audit.record_sequence", "the record does not have the next sequence number";
    /// A record of a version this reader does not know.
    RecordVersion, "audit.record_version", "the record's version is unknown";
    /// A segment's header contradicts what precedes it.
    SegmentHeader, "audit.segment_header", "the segment's header contradicts its place";
    /// A segment between others, or the first, is not there.
    SegmentMissing, "audit.segment_missing", "a segment is missing";
    /// A segment of a version this reader does not know.
    SegmentVersion, "audit.segment_version", "the segment's version is unknown";
    /// Something stands in a closed segment after its end.
    SegmentTrailing, "audit.segment_trailing", "the closed segment goes on after its end";
}
