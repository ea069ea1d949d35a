//! The filter file: a header, a table of shards, a checksum, the shards.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use compliance_core::clock::Date;
use compliance_core::snapshot::Snapshot;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::super::policy::nfc;
use super::{Breach, digest, key};

pub(super) const MAGIC: [u8; 8] = *b"BREACHF\n";
pub(super) const VERSION: u8 = 1;
/// Magic, version, fingerprint bits, shard bits, source length, as-of date, two zero bytes, entries, body digest.
pub(super) const FIXED_LEN: usize = 8 + 4 + 10 + 2 + 8 + 32;
/// Seed, segment length, length of all segments but the last two.
pub(super) const SHARD_LEN: usize = 8 + 4 + 4;
const CHECKSUM_LEN: usize = 32;
/// The longest segments a binary fuse filter has.
const MAX_SEGMENT_LENGTH: u32 = 1 << 18;

/// How wide a fingerprint is: what a false alarm costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the two widths the file format knows")]
pub enum FingerprintBits {
    /// 9 bits a password; one good password in 256 is taken for a breached one.
    Eight,
    /// 18 bits a password; one good password in 65,536 is taken for a breached one. The default.
    #[default]
    Sixteen,
}

impl FingerprintBits {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Eight => 1,
            Self::Sixteen => 2,
        }
    }
}

/// One binary fuse filter (Graf and Lemire, *Binary Fuse Filters*, 2022) within the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) seed: u64,
    pub(super) segment_length: u32,
    pub(super) segment_count_length: u32,
    /// Where its fingerprints begin, in fingerprints from the first one of the body.
    pub(super) offset: u64,
}

impl Shard {
    /// How many fingerprints it has; `None` unless its numbers fit together.
    fn len(&self) -> Option<u64> {
        if self.segment_length == 0 && self.segment_count_length == 0 {
            return Some(0);
        }
        let whole = self.segment_length.is_power_of_two()
            && self.segment_length <= MAX_SEGMENT_LENGTH
            && self.segment_count_length > 0
            && self.segment_count_length.checked_rem(self.segment_length) == Some(0);
        whole.then(|| {
            u64::from(self.segment_count_length)
                .saturating_add(u64::from(self.segment_length).saturating_mul(2))
        })
    }

    /// The fingerprint of `key` and the three places whose fingerprints combine to it, if it was put in.
    fn places(&self, key: u64) -> Option<(u16, [u64; 3])> {
        if self.segment_length == 0 {
            return None;
        }
        let hash = mix(key.wrapping_add(self.seed));
        let mask = u64::from(self.segment_length.saturating_sub(1));
        let first = (u128::from(hash).wrapping_mul(u128::from(self.segment_count_length)) >> 64) as u64;
        let second = first.wrapping_add(u64::from(self.segment_length));
        let third = second.wrapping_add(u64::from(self.segment_length));
        let places = [first, second ^ ((hash >> 18) & mask), third ^ (hash & mask)];
        let fingerprint = ((hash ^ (hash >> 32)) & 0xffff) as u16;
        Some((fingerprint, places.map(|place| place.wrapping_add(self.offset))))
    }
}

/// The finaliser of MurmurHash3 (public domain), which binary fuse filters are defined with.
const fn mix(mut k: u64) -> u64 {
    k ^= k >> 33;
    k = k.wrapping_mul(0xff51_afd7_ed55_8ccd);
    k ^= k >> 33;
    k = k.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    k ^ (k >> 33)
}

/// Which passwords are known from breaches, as a probabilistic set.
///
/// ```
/// use compliance_auth::password::breach::{Breach, BreachFilter, BreachFilterBuilder};
/// use secrecy::SecretString;
///
/// // Made once, from the published ranges: here from two lines of one.
/// let mut file = std::io::Cursor::new(Vec::new());
/// let lines = "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8:10434004\n";
/// BreachFilterBuilder::new("example", "2026-11-01".parse()?).sorted_hashes(lines.as_bytes(), &mut file)?;
///
/// let filter = BreachFilter::from_bytes(file.into_inner())?;
/// assert_eq!(filter.lookup(&SecretString::from("password"))?, Breach::Listed);
/// assert_eq!(filter.lookup(&SecretString::from("zq7-velour-antelope-91"))?, Breach::NotListed);
/// assert_eq!(filter.snapshot().as_of(), "2026-11-01".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BreachFilter {
    bits: FingerprintBits,
    shard_bits: u32,
    shards: Vec<Shard>,
    snapshot: Snapshot,
    body: Body,
}

/// Two filters are equal when they are the same file.
impl PartialEq for BreachFilter {
    fn eq(&self, other: &Self) -> bool {
        (self.bits, &self.shards, &self.snapshot) == (other.bits, &other.shards, &other.snapshot)
    }
}

impl Eq for BreachFilter {}

enum Body {
    /// All of the file, and where its fingerprints begin.
    Memory(Cow<'static, [u8]>, usize),
    /// The file, and where its fingerprints begin.
    File(Mutex<File>, u64),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory(..) => "Memory",
            Self::File(..) => "File",
        })
    }
}

impl BreachFilter {
    /// The most shards a file has, as a power of two.
    pub const MAX_SHARD_BITS: u32 = 16;
    /// The longest name of a source, in bytes.
    pub const MAX_SOURCE_LEN: usize = 128;

    /// Takes a file that is in memory. Checks all of it.
    ///
    /// # Errors
    /// [`BreachFilterError`] for anything but a whole, unchanged file of this version.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, BreachFilterError> {
        let bytes = bytes.into();
        let mut rest: &[u8] = &bytes;
        let header = Header::read(&mut rest)?;
        header.check_body(&mut rest)?;
        let start = header.len;
        Ok(header.with(Body::Memory(bytes, start)))
    }

    /// Reads a file into memory: 2.3 GB for a billion passwords at 16 bits.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and when the file cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, BreachFilterError> {
        Self::from_bytes(std::fs::read(path).map_err(io_error)?)
    }

    /// Opens a file and leaves it where it is. Reads it once to check it; a lookup then reads three
    /// fingerprints. The table in memory is 16 bytes a shard.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes), and when the file cannot be read.
    ///
    /// # Security
    /// What is written into the file after it was opened is believed. Put a new file beside it and open that.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, BreachFilterError> {
        let mut file = File::open(path).map_err(io_error)?;
        let mut reader = BufReader::with_capacity(1 << 20, &mut file);
        let header = Header::read(&mut reader)?;
        header.check_body(&mut reader)?;
        drop(reader);
        let start = u64::try_from(header.len).unwrap_or(u64::MAX);
        Ok(header.with(Body::File(Mutex::new(file), start)))
    }

    /// Source, as-of date, digest of the fingerprints, number of passwords.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether `password` is in it, in NFC.
    ///
    /// # Errors
    /// [`BreachFilterErrorKind::Io`] when the file cannot be read any more. Never for a filter in memory.
    pub fn lookup(&self, password: &SecretString) -> Result<Breach, BreachFilterError> {
        self.lookup_text(&nfc(password.expose_secret()))
    }

    pub(in super::super) fn lookup_text(&self, text: &str) -> Result<Breach, BreachFilterError> {
        let key = key(&digest(text));
        let shard = key.checked_shr(64_u32.saturating_sub(self.shard_bits)).unwrap_or(0);
        let shard = usize::try_from(shard).ok().and_then(|shard| self.shards.get(shard));
        // INVARIANT: the table has 2^shard_bits shards.
        let Some((fingerprint, places)) = shard.and_then(|shard| shard.places(key)) else {
            return Ok(Breach::NotListed);
        };
        let mut found = 0;
        for place in places {
            found ^= self.fingerprint(place)?;
        }
        let fingerprint = if self.bits == FingerprintBits::Eight { fingerprint & 0xff } else { fingerprint };
        Ok(Breach::from(found == fingerprint))
    }

    fn fingerprint(&self, place: u64) -> Result<u16, BreachFilterError> {
        let width = self.bits.bytes();
        let at = place.saturating_mul(u64::try_from(width).unwrap_or(1));
        let mut bytes = [0_u8; 2];
        let (target, _) = bytes.split_at_mut(width);
        match &self.body {
            Body::Memory(all, start) => {
                let at = usize::try_from(at).ok().and_then(|at| at.checked_add(*start));
                let found = at.and_then(|at| all.get(at..at.checked_add(width)?));
                target.copy_from_slice(found.ok_or(BreachFilterError(BreachFilterErrorKind::Malformed))?);
            }
            Body::File(file, start) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(at.saturating_add(*start))).map_err(io_error)?;
                file.read_exact(target).map_err(io_error)?;
            }
        }
        Ok(u16::from_le_bytes(bytes))
    }
}

struct Header {
    bits: FingerprintBits,
    shard_bits: u32,
    shards: Vec<Shard>,
    source: String,
    as_of: Date,
    entries: u64,
    body_sha256: [u8; 32],
    body_len: u64,
    len: usize,
}

impl Header {
    fn read(from: &mut impl Read) -> Result<Self, BreachFilterError> {
        let malformed = BreachFilterError(BreachFilterErrorKind::Malformed);
        let mut all = vec![0; FIXED_LEN];
        from.read_exact(&mut all).map_err(io_error)?;
        let mut fixed = Fields(&all);
        if fixed.take::<8>() != Some(MAGIC) {
            return Err(malformed);
        }
        let [version, bits, shard_bits, source_len] = fixed.take::<4>().ok_or(malformed)?;
        if version != VERSION {
            return Err(BreachFilterError(BreachFilterErrorKind::Version));
        }
        let bits = match bits {
            8 => FingerprintBits::Eight,
            16 => FingerprintBits::Sixteen,
            _ => return Err(malformed),
        };
        let (shard_bits, source_len) = (u32::from(shard_bits), usize::from(source_len));
        if shard_bits > BreachFilter::MAX_SHARD_BITS || source_len > BreachFilter::MAX_SOURCE_LEN {
            return Err(malformed);
        }
        let as_of = fixed.take::<10>().ok_or(malformed)?;
        let as_of = std::str::from_utf8(&as_of).ok().and_then(|date| date.parse().ok()).ok_or(malformed)?;
        if fixed.take::<2>() != Some([0; 2]) {
            return Err(malformed);
        }
        let entries = u64::from_le_bytes(fixed.take().ok_or(malformed)?);
        let body_sha256 = fixed.take().ok_or(malformed)?;
        let table_len = SHARD_LEN.checked_shl(shard_bits).ok_or(malformed)?;
        let checked_len = FIXED_LEN.saturating_add(source_len).saturating_add(table_len);
        all.resize(checked_len, 0);
        from.read_exact(all.get_mut(FIXED_LEN..).unwrap_or_default()).map_err(io_error)?;
        let mut checksum = [0; CHECKSUM_LEN];
        from.read_exact(&mut checksum).map_err(io_error)?;
        if <[u8; 32]>::from(Sha256::digest(&all)) != checksum {
            return Err(BreachFilterError(BreachFilterErrorKind::Checksum));
        }
        let (source, table) =
            all.get(FIXED_LEN..).and_then(|rest| rest.split_at_checked(source_len)).ok_or(malformed)?;
        let source = std::str::from_utf8(source).map_err(|_| malformed)?.to_owned();
        let (shards, fingerprints) = read_table(table).ok_or(malformed)?;
        let width = u64::try_from(bits.bytes()).unwrap_or(1);
        Ok(Self {
            bits,
            shard_bits,
            shards,
            source,
            as_of,
            entries,
            body_sha256,
            body_len: fingerprints.saturating_mul(width),
            len: checked_len.saturating_add(CHECKSUM_LEN),
        })
    }

    /// All that follows the header must be the fingerprints it promised.
    fn check_body(&self, from: &mut impl Read) -> Result<(), BreachFilterError> {
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut found = 0_u64;
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(io_error(error)),
            };
            found = found.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            digest.update(buffer.get(..read).unwrap_or_default());
        }
        if found != self.body_len || <[u8; 32]>::from(digest.finalize()) != self.body_sha256 {
            return Err(BreachFilterError(BreachFilterErrorKind::Checksum));
        }
        Ok(())
    }

    fn with(self, body: Body) -> BreachFilter {
        let Self { bits, shard_bits, shards, source, as_of, entries, body_sha256, .. } = self;
        let snapshot = Snapshot::from_parts(source, as_of, body_sha256, entries);
        BreachFilter { bits, shard_bits, shards, snapshot, body }
    }
}

/// The shards, and how many fingerprints they have together.
fn read_table(table: &[u8]) -> Option<(Vec<Shard>, u64)> {
    let mut offset = 0_u64;
    let mut shards = Vec::with_capacity(table.len() / SHARD_LEN);
    for row in table.chunks_exact(SHARD_LEN) {
        let mut row = Fields(row);
        let shard = Shard {
            seed: u64::from_le_bytes(row.take()?),
            segment_length: u32::from_le_bytes(row.take()?),
            segment_count_length: u32::from_le_bytes(row.take()?),
            offset,
        };
        offset = offset.checked_add(shard.len()?)?;
        shards.push(shard);
    }
    Some((shards, offset))
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
}

/// A filter file that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("breach filter: {text}", text = .0.text())]
pub struct BreachFilterError(BreachFilterErrorKind);

impl BreachFilterError {
    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> BreachFilterErrorKind {
        self.0
    }

    /// `breach_filter.checksum`, `.io`, `.malformed` or `.version`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.0 {
            BreachFilterErrorKind::Checksum => "breach_filter.checksum",
            BreachFilterErrorKind::Io(_) => "breach_filter.io",
            BreachFilterErrorKind::Malformed => "breach_filter.malformed",
            BreachFilterErrorKind::Version => "breach_filter.version",
        }
    }
}

/// What is wrong with a filter file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreachFilterErrorKind {
    /// Its bytes are not those that were written.
    Checksum,
    /// It cannot be read.
    Io(io::ErrorKind),
    /// It is no filter file.
    Malformed,
    /// It is of another version of the format.
    Version,
}

impl BreachFilterErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Checksum => "its bytes are not those that were written",
            Self::Io(_) => "it cannot be read",
            Self::Malformed => "expected a breach filter file",
            Self::Version => "expected version 1 of the format",
        }
    }
}

fn io_error(error: io::Error) -> BreachFilterError {
    // Cut short: not a fault of the disk.
    BreachFilterError(match error.kind() {
        io::ErrorKind::UnexpectedEof => BreachFilterErrorKind::Malformed,
        kind => BreachFilterErrorKind::Io(kind),
    })
}
