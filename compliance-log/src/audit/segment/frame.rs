//! How things lie in a segment: marker, kind, length, body, check.
//!
//! The check is the first eight bytes of a SHA-256 under a prefix of the kind's own. For records that is the
//! leaf hash the tree needs anyway.

use crate::audit::checkpoint::{CheckpointNote, SignedCheckpoint, VerifyingKey};
use crate::audit::hash;
use crate::audit::record::{HEAD_LEN, MAX_EVENT_LEN, RecordHead};
use crate::audit::tree::{CompactTree, TreeHash};

/// First byte of a frame. With a kind byte after it, it cannot occur in UTF-8, so that no text in an event
/// looks like a frame to whoever searches one behind a damaged place.
pub(super) const MARKER: u8 = 0xC5;

/// Marker, kind, length.
pub(super) const PREFIX_LEN: usize = 6;
const CHECK_LEN: usize = 8;

/// What a frame takes besides its body.
pub(crate) const OVERHEAD: usize = PREFIX_LEN + CHECK_LEN;

/// The longest body: a record with the longest event.
const MAX_BODY_LEN: usize = MAX_EVENT_LEN + HEAD_LEN;

/// The longest frame.
pub(super) const MAX_FRAME_LEN: usize = MAX_BODY_LEN + OVERHEAD;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Record = 1,
    Checkpoint = 2,
    Header = 3,
}

impl FrameKind {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Record),
            2 => Some(Self::Checkpoint),
            3 => Some(Self::Header),
            _ => None,
        }
    }

    /// What is hashed before the body. 0x00 and 0x01 are the tree's own.
    fn prefix(self) -> u8 {
        match self {
            Self::Record => TreeHash::LEAF_PREFIX,
            Self::Checkpoint => 0x02,
            Self::Header => 0x03,
        }
    }

    fn hash(self, body: &[u8]) -> TreeHash {
        TreeHash::from_bytes(hash::prefixed(self.prefix(), body))
    }
}

/// Appends a frame whose body `write` appends; the hash is the leaf hash where the body is a record.
pub(super) fn put(out: &mut Vec<u8>, kind: FrameKind, write: impl FnOnce(&mut Vec<u8>)) -> TreeHash {
    out.extend_from_slice(&[MARKER, kind as u8]);
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    let body_at = out.len();
    write(out);
    let body = out.get(body_at..).unwrap_or_default();
    let hash = kind.hash(body);
    // Bodies are limited far below 4 GiB.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(slot) = out.get_mut(length_at..body_at) {
        slot.copy_from_slice(&length);
    }
    out.extend_from_slice(check(&hash));
    hash
}

fn check(hash: &TreeHash) -> &[u8] {
    hash.as_bytes().get(..CHECK_LEN).unwrap_or_default()
}

/// What the bytes at a place say about the frame that starts there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prefix {
    /// A frame of so many bytes, if its check holds.
    Frame { kind: FrameKind, len: usize },
    /// Zero: nothing was written here, if all that follows is zero too.
    Unwritten,
    /// No frame starts here.
    Other,
}

/// Reads a frame's first [`PREFIX_LEN`] bytes.
pub(super) fn prefix(bytes: &[u8]) -> Prefix {
    let Some((&[marker, kind, a, b, c, d], _)) = bytes.split_first_chunk::<PREFIX_LEN>() else {
        return if bytes.iter().all(|byte| *byte == 0) { Prefix::Unwritten } else { Prefix::Other };
    };
    if marker == 0 {
        return Prefix::Unwritten;
    }
    let body_len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    match FrameKind::of(kind) {
        Some(kind) if marker == MARKER && body_len <= MAX_BODY_LEN => {
            Prefix::Frame { kind, len: body_len.saturating_add(OVERHEAD) }
        }
        _ => Prefix::Other,
    }
}

/// The hash of a whole frame's body, if its check holds. Puts the kind's prefix before the body meanwhile, so that
/// both are hashed where they lie.
pub(super) fn verify(kind: FrameKind, frame: &mut [u8]) -> Option<TreeHash> {
    let (message, found) = frame.split_at_mut_checked(frame.len().checked_sub(CHECK_LEN)?)?;
    let message = message.get_mut(PREFIX_LEN.saturating_sub(1)..)?;
    let last_of_length = std::mem::replace(message.first_mut()?, kind.prefix());
    let hash = TreeHash::from_bytes(hash::message(message));
    *message.first_mut()? = last_of_length;
    (check(&hash) == found).then_some(hash)
}

/// The body of a whole frame.
pub(super) fn body(frame: &[u8]) -> &[u8] {
    frame.get(PREFIX_LEN..frame.len().saturating_sub(CHECK_LEN)).unwrap_or_default()
}

/// Where the group commit began that a record or checkpoint was written in.
pub(super) fn batch(kind: FrameKind, body: &[u8]) -> Option<u32> {
    match kind {
        FrameKind::Record => RecordHead::decode(body).ok().map(|head| head.batch),
        FrameKind::Checkpoint => CheckpointBody::decode(body).map(|checkpoint| checkpoint.batch),
        FrameKind::Header => None,
    }
}

/// Version 1 of a checkpoint frame: version, start of its group commit, note.
pub(crate) struct CheckpointBody<'a> {
    pub(crate) batch: u32,
    pub(crate) note: &'a str,
}

const CHECKPOINT_VERSION: u8 = 1;

impl<'a> CheckpointBody<'a> {
    pub(crate) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&[CHECKPOINT_VERSION, a, b, c, d], note) = bytes.split_first_chunk::<5>()? else { return None };
        Some(Self { batch: u32::from_be_bytes([a, b, c, d]), note: str::from_utf8(note).ok()? })
    }
}

pub(super) fn put_checkpoint(out: &mut Vec<u8>, batch: u32, note: &str) {
    put(out, FrameKind::Checkpoint, |out| {
        out.push(CHECKPOINT_VERSION);
        out.extend_from_slice(&batch.to_be_bytes());
        out.extend_from_slice(note.as_bytes());
    });
}

/// What a segment begins with: the tree so far, the key, and the checkpoint that closed the segment before
/// it (for the first segment, the trail's first, over no records).
pub(crate) struct Header {
    pub(crate) first: u64,
    pub(crate) tree: CompactTree,
    pub(crate) key: VerifyingKey,
    pub(crate) checkpoint: CheckpointNote,
}

const HEADER_VERSION: u8 = 1;

pub(crate) enum HeaderError {
    Version,
    Form,
}

impl Header {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let (&version, rest) = bytes.split_first().ok_or(HeaderError::Form)?;
        if version != HEADER_VERSION {
            return Err(HeaderError::Version);
        }
        Self::decode_parts(rest).ok_or(HeaderError::Form)
    }

    fn decode_parts(rest: &[u8]) -> Option<Self> {
        let (first, rest) = rest.split_first_chunk()?;
        let first = u64::from_be_bytes(*first);
        let peaks_len = usize::try_from(first.count_ones()).ok()?.checked_mul(TreeHash::LEN)?;
        let (peaks, rest) = rest.split_at_checked(peaks_len)?;
        let peaks = peaks.as_chunks().0.iter().map(|hash| TreeHash::from_bytes(*hash)).collect();
        let (key_len, rest) = rest.split_first_chunk()?;
        let (key, note) = rest.split_at_checked(u16::from_be_bytes(*key_len).into())?;
        Some(Self {
            first,
            tree: CompactTree::from_peaks(first, peaks)?,
            key: str::from_utf8(key).ok()?.parse().ok()?,
            checkpoint: CheckpointNote::parse(str::from_utf8(note).ok()?).ok()?,
        })
    }

    pub(super) fn put(
        out: &mut Vec<u8>,
        tree: &CompactTree,
        checkpoint: &SignedCheckpoint,
        key: &VerifyingKey,
    ) {
        put(out, FrameKind::Header, |out| {
            out.push(HEADER_VERSION);
            out.extend_from_slice(&tree.size().to_be_bytes());
            tree.peaks().iter().for_each(|peak| out.extend_from_slice(peak.as_bytes()));
            let key = key.to_string();
            // A key's text is limited far below 64 KiB.
            out.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
            out.extend_from_slice(key.as_bytes());
            out.extend_from_slice(checkpoint.note().as_bytes());
        });
    }
}
