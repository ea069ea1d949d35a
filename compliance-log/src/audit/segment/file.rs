//! The files of a trail: segments, the lock, the latest checkpoint.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::directory;
use crate::private;

const EXTENSION: &str = "seg";
const NEXT_SEGMENT: &str = "segment.tmp";
const LOCK: &str = "lock";
const HEAD: &str = "checkpoint";
const NEXT_HEAD: &str = "checkpoint.tmp";
const RESERVE: &str = "reserve";

/// The least and the most that is written in advance, in bytes; in between, as much as there is. A commit into
/// bytes that exist needs no metadata, which makes it cheaper than one that grows the file.
pub(super) const AHEAD_LEN: (u64, u64) = (64 * 1024, 4 * 1024 * 1024);

/// The segments of a trail, by the sequence number each starts with.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(first) = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok())
        {
            segments.push((first, path));
        }
    }
    segments.sort();
    Ok(segments)
}

/// Opens a file to read; `None` when it is none: a device never ends, a pipe never begins.
pub(super) fn open_regular(path: &Path) -> io::Result<Option<File>> {
    fs::metadata(path)?.is_file().then(|| File::open(path)).transpose()
}

/// The note of the latest checkpoint kept beside the segments. `None` when there is no such file.
pub(crate) fn read_head(dir: &Path, max_len: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match open_regular(&dir.join(HEAD)) {
        Ok(Some(file)) => file,
        // Read as an empty one.
        Ok(None) => return Ok(Some(Vec::new())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut note = Vec::new();
    file.take((max_len as u64).saturating_add(1)).read_to_end(&mut note)?;
    Ok(Some(note))
}

/// The file a checkpoint is written to before it takes the latest one's place. Where it cannot be opened, nothing has
/// changed.
pub(super) fn open_next_head(dir: &Path) -> io::Result<File> {
    private::open_own(OpenOptions::new().write(true).create(true).truncate(true), &dir.join(NEXT_HEAD))
}

/// Replaces the latest checkpoint. The old or the new one is there at any time, never half of one.
pub(super) fn write_head(dir: &Path, mut next: File, note: &str) -> io::Result<()> {
    next.write_all(note.as_bytes())?;
    next.sync_data()?;
    fs::rename(dir.join(NEXT_HEAD), dir.join(HEAD))
}

/// What keeps a second writer out, as long as it lives.
pub(super) struct Lock {
    _file: File,
    /// Open and locked too, for the file can be removed; `None` on Windows, where an open file cannot.
    dir: Option<File>,
}

impl Lock {
    /// Makes created and renamed files lasting.
    pub(super) fn sync_dir(&self) -> io::Result<()> {
        self.dir.as_ref().map_or(Ok(()), File::sync_all)
    }
}

/// Creates the directory where it is missing and takes the lock; `None` when another writer holds it.
pub(super) fn lock(dir: &Path) -> io::Result<Option<Lock>> {
    directory::create(dir, 0o700)?;
    let mut options = OpenOptions::new();
    let file = private::open_own(options.write(true).create(true).truncate(false), &dir.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    let dir = if cfg!(unix) { Some(File::open(dir)?) } else { None };
    // Where the file system locks no directories, the file alone must do.
    if let Some(Err(fs::TryLockError::WouldBlock)) = dir.as_ref().map(File::try_lock) {
        return Ok(None);
    }
    Ok(Some(Lock { _file: file, dir }))
}

/// Removes what a crash left of a segment or checkpoint that was being made.
pub(super) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for name in [NEXT_SEGMENT, NEXT_HEAD] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether the disk, or what the operating system grants of it, has no room left.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What of a reserve of `len` bytes is kept back when what must be recorded gets it: for the trail's own word on a
/// retirement, which makes room.
fn last_of_reserve(len: u64) -> u64 {
    (len / 2).min(16 * 1024)
}

/// Fills the reserve up to `len` bytes. Whether it is full then; on a disk without room only the last of it is kept.
pub(super) fn fill_reserve(dir: &Path, len: u64) -> io::Result<bool> {
    let path = dir.join(RESERVE);
    if len == 0 {
        release_reserve(dir)?;
        return Ok(true);
    }
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() == len) {
        return Ok(true);
    }
    let mut file = open_reserve(dir)?;
    // Not sparse: what is not written is not held back.
    match io::copy(&mut io::repeat(0).take(len), &mut file).and_then(|_| file.set_len(len)) {
        Ok(()) => file.sync_all().map(|()| true),
        Err(error) if is_full(&error) => {
            shorten(&file, last_of_reserve(len))?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Gives the reserve of `len` bytes, but for the last of it, to the segments.
pub(super) fn give_up_reserve(dir: &Path, len: u64) -> io::Result<()> {
    shorten(&open_reserve(dir)?, last_of_reserve(len))
}

fn open_reserve(dir: &Path) -> io::Result<File> {
    private::open_own(OpenOptions::new().write(true).create(true).truncate(false), &dir.join(RESERVE))
}

fn shorten(file: &File, len: u64) -> io::Result<()> {
    file.set_len(file.metadata()?.len().min(len))?;
    file.sync_all()
}

/// Gives all of the reserve to the segments.
pub(super) fn release_reserve(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(RESERVE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The segment being written.
#[derive(Debug)]
pub(super) struct SegmentFile {
    file: File,
    /// Up to here it is written and durable; the cursor stands here.
    len: u64,
    /// Up to here the file exists.
    allocated: u64,
    /// Space ahead is not made beyond this.
    max_len: u64,
}

/// A segment with a header, made but not yet in its place.
pub(super) struct Prepared {
    segment: SegmentFile,
    path: PathBuf,
}

/// The file a segment is made in before it gets its name. Where it cannot be opened, nothing has changed.
pub(super) fn open_next_segment(dir: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    private::open_own(options.read(true).write(true).create(true).truncate(true), &dir.join(NEXT_SEGMENT))
}

impl SegmentFile {
    /// Makes a segment aside, durable, header included.
    pub(super) fn prepare(dir: &Path, file: File, header: &[u8], max_len: u64) -> io::Result<Prepared> {
        let path = dir.join(NEXT_SEGMENT);
        let mut segment = Self { file, len: 0, allocated: 0, max_len };
        segment.file.write_all(header)?;
        segment.len = header.len() as u64;
        segment.allocated = segment.len;
        segment.file.sync_all()?;
        Ok(Prepared { segment, path })
    }

    /// Opens a segment of which the first `len` bytes are good. What follows is cut. With `heal`, the last
    /// group commit is written once more: after a failed or interrupted synchronisation the page cache may
    /// show what the disk does not hold.
    pub(super) fn reopen(path: &Path, len: u64, heal: Option<u64>, max_len: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.set_len(len)?;
        if let Some(heal_len) = heal {
            let from = len.saturating_sub(heal_len);
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(from))?;
            (&file).take(heal_len).read_to_end(&mut bytes)?;
            file.seek(SeekFrom::Start(from))?;
            file.write_all(&bytes)?;
        }
        file.sync_all()?;
        file.seek(SeekFrom::Start(len))?;
        Ok(Self { file, len, allocated: len, max_len })
    }

    /// Makes room for `bytes` more, and space ahead where that `is_generous`. When the disk is full, nothing has been
    /// written and the segment is as it was.
    pub(super) fn reserve(&mut self, bytes: usize, is_generous: bool) -> io::Result<()> {
        let needed = self.len.saturating_add(bytes as u64);
        if needed <= self.allocated {
            return Ok(());
        }
        let ahead = if is_generous { self.len.clamp(AHEAD_LEN.0, AHEAD_LEN.1) } else { 0 };
        let target = needed.saturating_add(ahead).min(self.max_len).max(needed);
        self.file.seek(SeekFrom::Start(self.allocated))?;
        let missing = target.saturating_sub(self.allocated);
        let written =
            io::copy(&mut io::repeat(0).take(missing), &mut self.file).and_then(|_| self.file.sync_all());
        self.file.seek(SeekFrom::Start(self.len))?;
        match written {
            Ok(()) => {
                self.allocated = target;
                Ok(())
            }
            Err(error) => {
                if is_full(&error) {
                    self.file.set_len(self.allocated)?;
                }
                Err(error)
            }
        }
    }

    /// Appends durably. After an error the state of the file is not known.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Gives back the space ahead.
    pub(super) fn trim(&mut self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        self.allocated = self.len;
        self.file.sync_all()
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }
}

impl Prepared {
    /// Puts the segment in its place.
    pub(super) fn install(self, dir: &Path, lock: &Lock, first: u64) -> io::Result<SegmentFile> {
        fs::rename(self.path, dir.join(format!("{first:020}.{EXTENSION}")))?;
        lock.sync_dir()?;
        Ok(self.segment)
    }
}
