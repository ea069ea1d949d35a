//! Makes filter files from the published SHA-1 ranges.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use compliance_core::clock::Date;
use sha2::{Digest as _, Sha256};
use xorf::{BinaryFuse8, BinaryFuse16, DmaSerializable as _};

use super::filter::{BreachFilter, FIXED_LEN, FingerprintBits, MAGIC, SHARD_LEN, VERSION};
use super::key;

/// Makes a filter file out of SHA-1 hashes, shard by shard, so that memory holds one shard at a time.
///
/// At 12 shard bits, the default, a billion passwords make shards of 250,000, each built in some 20 MB. The
/// file is 2.3 GB at 16 bits and 1.2 GB at 8.
#[derive(Clone, Debug)]
#[must_use]
pub struct BreachFilterBuilder {
    source: String,
    as_of: Date,
    bits: FingerprintBits,
    shard_bits: u32,
    min_count: u64,
}

impl BreachFilterBuilder {
    /// The most passwords in one shard: half a gigabyte while it is built.
    pub const MAX_SHARD_ENTRIES: usize = 1 << 23;

    /// How many ranges a whole corpus has: all values of five hex digits.
    const RANGES: usize = 1 << 20;

    /// Starts a file with the name of the corpus, at most [`BreachFilter::MAX_SOURCE_LEN`] bytes, and the day it
    /// is of: 16-bit fingerprints, 4,096 shards, every hash.
    pub fn new(source: impl Into<String>, as_of: Date) -> Self {
        Self { source: source.into(), as_of, bits: FingerprintBits::default(), shard_bits: 12, min_count: 1 }
    }

    /// Sets the width of the fingerprints.
    pub fn fingerprint_bits(mut self, bits: FingerprintBits) -> Self {
        self.bits = bits;
        self
    }

    /// Sets the number of shards, as a power of two up to [`BreachFilter::MAX_SHARD_BITS`].
    pub fn shard_bits(mut self, bits: u32) -> Self {
        self.shard_bits = bits.min(BreachFilter::MAX_SHARD_BITS);
        self
    }

    /// Leaves out hashes seen less often than this. Padding, which has the count 0, is always left out.
    pub fn min_count(mut self, count: u64) -> Self {
        self.min_count = count.max(1);
        self
    }

    /// Reads a folder of ranges, as the range service hands them out: files `00000` to `FFFFF`, with or without
    /// `.txt`, whose lines are the other 35 digits of a SHA-1 and a count (`SUFFIX:COUNT`).
    ///
    /// Returns how many hashes went in.
    ///
    /// # Errors
    /// [`BuildError`], also when a range is missing or empty: half a corpus would pass for a whole one. With
    /// `allow_missing` it may be a part.
    pub fn ranges(
        &self,
        folder: impl AsRef<Path>,
        allow_missing: bool,
        out: &mut (impl Write + Seek),
    ) -> Result<u64, BuildError> {
        let folder = folder.as_ref();
        let mut ranges: Vec<(u32, Box<str>)> = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let prefix = name.strip_suffix(".txt").unwrap_or(name);
            let is_range = prefix.len() == 5 && prefix.bytes().all(|b| b.is_ascii_hexdigit());
            if let (true, Ok(prefix)) = (is_range, u32::from_str_radix(prefix, 16)) {
                // Every range has hundreds of hashes: nothing is a download that failed.
                if !allow_missing && std::fs::metadata(entry.path())?.len() == 0 {
                    return Err(BuildError(BuildErrorKind::Empty));
                }
                ranges.push((prefix, name.into()));
            }
        }
        ranges.sort_unstable();
        ranges.dedup_by_key(|(prefix, _)| *prefix);
        if ranges.len() < Self::RANGES && !allow_missing {
            return Err(io::Error::from(io::ErrorKind::NotFound).into());
        }
        let mut build = Build::begin(self, out)?;
        for (prefix, name) in ranges {
            build.lines(BufReader::new(File::open(folder.join(&*name))?), &format!("{prefix:05X}"))?;
        }
        build.finish(allow_missing)
    }

    /// Reads one text of all hashes in ascending order, one `SHA1:COUNT` (or `SHA1`) a line.
    ///
    /// Returns how many hashes went in.
    ///
    /// # Errors
    /// [`BuildError`], also when a line is out of order, or when nothing goes in.
    pub fn sorted_hashes(&self, hashes: impl Read, out: &mut (impl Write + Seek)) -> Result<u64, BuildError> {
        let mut build = Build::begin(self, out)?;
        build.lines(BufReader::with_capacity(1 << 20, hashes), "")?;
        build.finish(false)
    }

    /// Hashes passwords, in any order, and makes a file of them. For lists that fit into memory.
    ///
    /// # Errors
    /// [`BuildError`], also when there are none.
    pub fn passwords<'p>(
        &self,
        passwords: impl IntoIterator<Item = &'p str>,
        out: &mut (impl Write + Seek),
    ) -> Result<u64, BuildError> {
        let mut keys: Vec<u64> = passwords.into_iter().map(|text| key(&super::digest(text))).collect();
        keys.sort_unstable();
        let mut build = Build::begin(self, out)?;
        for key in keys {
            build.push(key)?;
        }
        build.finish(false)
    }
}

struct Build<'a, W> {
    plan: &'a BreachFilterBuilder,
    out: &'a mut W,
    table: Vec<u8>,
    keys: Vec<u64>,
    last: u64,
    shard: u64,
    entries: u64,
    line: u64,
    digest: Sha256,
}

impl<'a, W: Write + Seek> Build<'a, W> {
    fn begin(plan: &'a BreachFilterBuilder, out: &'a mut W) -> Result<Self, BuildError> {
        if plan.source.len() > BreachFilter::MAX_SOURCE_LEN {
            return Err(BuildError(BuildErrorKind::Source));
        }
        let build = Self {
            plan,
            out,
            table: Vec::new(),
            keys: Vec::new(),
            last: 0,
            shard: 0,
            entries: 0,
            line: 0,
            digest: Sha256::new(),
        };
        // Room for the header, which is written last: an unfinished file has no magic.
        let len = build.header_len();
        build.out.seek(SeekFrom::Start(0))?;
        build.out.write_all(&vec![0; len])?;
        Ok(build)
    }

    fn header_len(&self) -> usize {
        let table = SHARD_LEN.checked_shl(self.plan.shard_bits).unwrap_or(0);
        FIXED_LEN.saturating_add(self.plan.source.len()).saturating_add(table).saturating_add(32)
    }

    /// Lines of hex digits and, after a colon, a count. `prefix` stands before the digits of every line.
    fn lines(&mut self, mut lines: impl BufRead, prefix: &str) -> Result<(), BuildError> {
        const MAX_LINE: u64 = 128;
        let mut line = Vec::new();
        loop {
            line.clear();
            self.line = self.line.saturating_add(1);
            if (&mut lines).take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let malformed = BuildError(BuildErrorKind::Line { line: self.line });
            let (digits, count) = match text.iter().position(|byte| *byte == b':') {
                Some(colon) => {
                    let (digits, count) = text.split_at_checked(colon).ok_or(malformed)?;
                    let count = std::str::from_utf8(count.get(1..).unwrap_or_default()).ok();
                    (digits, count.and_then(|count| count.parse::<u64>().ok()).ok_or(malformed)?)
                }
                None => (text, u64::MAX),
            };
            let digest = read_digest(prefix.as_bytes(), digits).ok_or(malformed)?;
            if count >= self.plan.min_count {
                self.push(key(&digest))?;
            }
        }
    }

    fn push(&mut self, key: u64) -> Result<(), BuildError> {
        if key < self.last {
            return Err(BuildError(BuildErrorKind::Order { line: self.line }));
        }
        self.last = key;
        let shard = key.checked_shr(64_u32.saturating_sub(self.plan.shard_bits)).unwrap_or(0);
        while self.shard < shard {
            self.close_shard()?;
        }
        if self.keys.last() != Some(&key) {
            self.keys.push(key);
        }
        if self.keys.len() > BreachFilterBuilder::MAX_SHARD_ENTRIES {
            return Err(BuildError(BuildErrorKind::ShardTooLarge));
        }
        Ok(())
    }

    fn close_shard(&mut self) -> Result<(), BuildError> {
        self.shard = self.shard.saturating_add(1);
        self.entries = self.entries.saturating_add(u64::try_from(self.keys.len()).unwrap_or(u64::MAX));
        if self.keys.is_empty() {
            self.table.extend([0; SHARD_LEN]);
            return Ok(());
        }
        let failed = |_| BuildError(BuildErrorKind::Construction);
        let (descriptor, bytes) = match self.plan.bits {
            FingerprintBits::Eight => {
                let filter = BinaryFuse8::try_from(&self.keys).map_err(failed)?;
                let bytes = filter.dma_fingerprints().to_vec();
                (filter.descriptor, bytes)
            }
            FingerprintBits::Sixteen => {
                let filter = BinaryFuse16::try_from(&self.keys).map_err(failed)?;
                let bytes = filter.fingerprints.iter().flat_map(|print| print.to_le_bytes()).collect();
                (filter.descriptor, bytes)
            }
        };
        self.table.extend(descriptor.seed.to_le_bytes());
        self.table.extend(descriptor.segment_length.to_le_bytes());
        self.table.extend(descriptor.segment_count_length.to_le_bytes());
        self.digest.update(&bytes);
        self.out.write_all(&bytes)?;
        self.keys.clear();
        Ok(())
    }

    fn finish(mut self, allow_empty: bool) -> Result<u64, BuildError> {
        let shards = 1_u64.checked_shl(self.plan.shard_bits).unwrap_or(1);
        while self.shard < shards {
            self.close_shard()?;
        }
        if self.entries == 0 && !allow_empty {
            return Err(BuildError(BuildErrorKind::Empty));
        }
        let bits: u8 = match self.plan.bits {
            FingerprintBits::Eight => 8,
            FingerprintBits::Sixteen => 16,
        };
        let shard_bits = u8::try_from(self.plan.shard_bits).unwrap_or(0);
        let source_len = u8::try_from(self.plan.source.len()).unwrap_or(0);
        let mut header = Vec::with_capacity(self.header_len());
        header.extend(MAGIC);
        header.extend([VERSION, bits, shard_bits, source_len]);
        header.extend(self.plan.as_of.to_string().bytes());
        header.extend([0; 2]);
        header.extend(self.entries.to_le_bytes());
        header.extend(std::mem::take(&mut self.digest).finalize());
        header.extend(self.plan.source.bytes());
        header.extend(&self.table);
        let checksum: [u8; 32] = Sha256::digest(&header).into();
        header.extend(checksum);
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header)?;
        self.out.flush()?;
        Ok(self.entries)
    }
}

/// Forty hex digits, in either case.
fn read_digest(prefix: &[u8], digits: &[u8]) -> Option<[u8; 20]> {
    let mut digest = [0; 20];
    let mut nibbles = prefix.iter().chain(digits);
    for byte in &mut digest {
        let mut next =
            || char::from(*nibbles.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = (next()? << 4) | next()?;
    }
    nibbles.next().is_none().then_some(digest)
}

/// A filter file that was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("breach filter not made: {text}", text = .0.text())]
pub struct BuildError(BuildErrorKind);

impl BuildError {
    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> BuildErrorKind {
        self.0
    }

    /// `breach_build.construction`, `.empty`, `.io`, `.line`, `.order`, `.shard_too_large` or `.source`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.0 {
            BuildErrorKind::Construction => "breach_build.construction",
            BuildErrorKind::Empty => "breach_build.empty",
            BuildErrorKind::Io(_) => "breach_build.io",
            BuildErrorKind::Line { .. } => "breach_build.line",
            BuildErrorKind::Order { .. } => "breach_build.order",
            BuildErrorKind::ShardTooLarge => "breach_build.shard_too_large",
            BuildErrorKind::Source => "breach_build.source",
        }
    }
}

/// Why a filter file was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BuildErrorKind {
    /// A shard could not be built. Another number of shards helps.
    Construction,
    /// A range without hashes, or none at all.
    Empty,
    /// A file could not be read or written.
    Io(io::ErrorKind),
    /// Not 40 hex digits, or no number after the colon.
    Line {
        /// The line, counted from 1 over all files.
        line: u64,
    },
    /// A hash that is smaller than the one before it.
    Order {
        /// The line, counted from 1 over all files.
        line: u64,
    },
    /// More than [`BreachFilterBuilder::MAX_SHARD_ENTRIES`] in one shard. More shard bits help.
    ShardTooLarge,
    /// The name of the source is longer than [`BreachFilter::MAX_SOURCE_LEN`] bytes.
    Source,
}

impl BuildErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Construction => "a shard could not be built",
            Self::Empty => "expected hashes, found none",
            Self::Io(_) => "a file could not be read or written",
            Self::Line { .. } => "expected 40 hex digits and a count on each line",
            Self::Order { .. } => "expected hashes in ascending order",
            Self::ShardTooLarge => "too many hashes in one shard",
            Self::Source => "the name of the source is too long",
        }
    }
}

impl From<io::Error> for BuildError {
    fn from(error: io::Error) -> Self {
        Self(BuildErrorKind::Io(error.kind()))
    }
}
