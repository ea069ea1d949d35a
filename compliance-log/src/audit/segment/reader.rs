//! Reads the frames of one segment in order, in bounded memory, and judges a damaged place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::file;
use super::frame::{self, FrameKind, MAX_FRAME_LEN, PREFIX_LEN, Prefix};
use crate::audit::tree::TreeHash;

const CHUNK_LEN: usize = 64 * 1024;

/// The most a crash can tear: a group commit. Whatever is larger was not torn by one.
pub(super) const MAX_TORN_LEN: u64 = (super::MAX_BATCH_LEN + 2 * MAX_FRAME_LEN) as u64;

/// The most that lies behind the last whole frame: a torn commit, and space that was made ahead. Whatever is longer no
/// writer of this crate left.
const MAX_TAIL_LEN: u64 = MAX_TORN_LEN + file::AHEAD_LEN.1;

/// The most that is hashed to judge a damaged place: a torn commit has each byte in one frame at most.
const MAX_JUDGED_LEN: u64 = 4 * MAX_TORN_LEN;

pub(crate) struct FrameReader {
    /// `None` for what is no regular file: there is no frame in it.
    file: Option<File>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Of the byte at `start`, from the start of the segment.
    offset: u64,
}

pub(crate) enum Step<'a> {
    Frame(Frame<'a>),
    /// The file ends here, or holds nothing but zeros from here on.
    End {
        offset: u64,
        file_len: u64,
    },
    /// What starts here is no whole frame.
    Damaged {
        offset: u64,
    },
}

pub(crate) struct Frame<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) body: &'a [u8],
    pub(crate) hash: TreeHash,
    pub(crate) offset: u64,
}

/// What a damaged place at the end of the last segment is.
pub(crate) enum Damage {
    /// Everything from here on belongs to one group commit that was never acknowledged.
    Torn { bytes: u64 },
    /// Something behind it was written after the damaged place was durable.
    Tampered,
    /// A writer was at work here and has gone on; the reader stands before the place, which is whole now.
    Passing,
}

impl FrameReader {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = file::open_regular(path)?;
        Ok(Self { file, buffer: vec![0; CHUNK_LEN], start: 0, end: 0, offset: 0 })
    }

    /// Stands before the byte at `offset`.
    #[cfg(feature = "sqlite")]
    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        let ahead = offset.checked_sub(self.offset).and_then(|ahead| usize::try_from(ahead).ok());
        match ahead.filter(|ahead| *ahead < self.unread().len()) {
            Some(ahead) => self.advance(ahead),
            None => self.reread(offset)?,
        }
        Ok(())
    }

    /// Stands before the byte at `offset`, and reads from the file again what it has read.
    pub(crate) fn reread(&mut self, offset: u64) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.seek(SeekFrom::Start(offset))?;
        }
        (self.start, self.end, self.offset) = (0, 0, offset);
        Ok(())
    }

    /// The next frame. After `Damaged` the reader stands before the damaged place.
    pub(crate) fn step(&mut self) -> io::Result<Step<'_>> {
        self.fill(PREFIX_LEN)?;
        let offset = self.offset;
        if self.unread().is_empty() {
            return Ok(Step::End { offset, file_len: offset });
        }
        match frame::prefix(self.unread()) {
            Prefix::Frame { kind, len } => match self.verify(kind, len)? {
                Some(hash) => Ok(Step::Frame(self.take(kind, len, hash))),
                None => Ok(Step::Damaged { offset }),
            },
            Prefix::Unwritten if self.skip_zeros()? => Ok(Step::End { offset, file_len: self.offset }),
            Prefix::Unwritten | Prefix::Other => Ok(Step::Damaged { offset }),
        }
    }

    /// Judges the damage at `damaged_at`, which the reader has just met: reads on to the end of the file and
    /// looks for whole frames of a group commit that began behind the damaged place. Such a commit was only
    /// begun when everything before it was durable; then no crash tore this place. Reads no further than a crash can
    /// tear, and hashes in proportion to that.
    pub(crate) fn judge(&mut self, damaged_at: u64) -> io::Result<Damage> {
        let (mut data_end, mut judged_len) = (damaged_at, 0_u64);
        loop {
            self.fill(PREFIX_LEN)?;
            if self.unread().is_empty() {
                break;
            }
            if self.offset.saturating_sub(damaged_at) > MAX_TAIL_LEN || judged_len > MAX_JUDGED_LEN {
                return Ok(Damage::Tampered);
            }
            if let Prefix::Frame { kind, len } = frame::prefix(self.unread()) {
                judged_len = judged_len.saturating_add(len as u64);
                if let Some(hash) = self.verify(kind, len)? {
                    let frame = self.take(kind, len, hash);
                    if frame::batch(kind, frame.body).is_some_and(|batch| u64::from(batch) > damaged_at) {
                        return self.look_again(damaged_at);
                    }
                    data_end = self.offset;
                    continue;
                }
            }
            // The byte here begins no frame; on to the next one that may.
            let skipped = self.unread().iter().skip(1).position(|byte| *byte == frame::MARKER);
            let skipped = skipped.map_or(self.unread().len(), |at| at.saturating_add(1));
            let bytes = self.unread().get(..skipped).unwrap_or_default();
            if let Some(at) = bytes.iter().rposition(|byte| *byte != 0) {
                data_end = self.offset.saturating_add(at as u64).saturating_add(1);
            }
            self.advance(skipped);
        }
        let bytes = data_end.saturating_sub(damaged_at);
        Ok(if bytes > MAX_TORN_LEN { Damage::Tampered } else { Damage::Torn { bytes } })
    }

    /// What was being written when it was first read is whole once a later commit has begun.
    fn look_again(&mut self, at: u64) -> io::Result<Damage> {
        self.reread(at)?;
        self.fill(PREFIX_LEN)?;
        let is_whole = match frame::prefix(self.unread()) {
            Prefix::Frame { kind, len } => self.verify(kind, len)?.is_some(),
            Prefix::Unwritten | Prefix::Other => false,
        };
        Ok(if is_whole { Damage::Passing } else { Damage::Tampered })
    }

    fn verify(&mut self, kind: FrameKind, len: usize) -> io::Result<Option<TreeHash>> {
        self.fill(len)?;
        let unread = self.buffer.get_mut(self.start..self.end).unwrap_or_default();
        Ok(unread.get_mut(..len).and_then(|bytes| frame::verify(kind, bytes)))
    }

    fn take(&mut self, kind: FrameKind, len: usize, hash: TreeHash) -> Frame<'_> {
        let (at, offset) = (self.start, self.offset);
        self.advance(len);
        let bytes = self.buffer.get(at..at.saturating_add(len)).unwrap_or_default();
        Frame { kind, body: frame::body(bytes), hash, offset }
    }

    /// Whether there are only zeros up to the end of the file, and not more than a writer makes ahead; stands before the
    /// first other byte.
    fn skip_zeros(&mut self) -> io::Result<bool> {
        let from = self.offset;
        loop {
            if self.offset.saturating_sub(from) > MAX_TAIL_LEN {
                return Ok(false);
            }
            if let Some(at) = self.unread().iter().position(|byte| *byte != 0) {
                self.advance(at);
                return Ok(false);
            }
            self.advance(self.unread().len());
            self.fill(1)?;
            if self.unread().is_empty() {
                return Ok(true);
            }
        }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn advance(&mut self, by: usize) {
        self.start = self.start.saturating_add(by).min(self.end);
        self.offset = self.offset.saturating_add(by as u64);
    }

    /// Has at least `want` bytes unread, fewer only at the end of the file.
    fn fill(&mut self, want: usize) -> io::Result<()> {
        if self.end.saturating_sub(self.start) >= want {
            return Ok(());
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end = self.end.saturating_sub(self.start);
        self.start = 0;
        if self.buffer.len() < want {
            self.buffer.resize(want.saturating_add(CHUNK_LEN), 0);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        while self.end < want {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match file.read(room) {
                Ok(0) => break,
                Ok(read) => self.end = self.end.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
