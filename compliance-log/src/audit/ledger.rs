//! The erasure ledger: one line per destroyed key, synchronised before the key is destroyed.
//!
//! ```text
//! 1 0123456789abcdef0123456789abcdef 2026-11-21T12:00:00Z 5f1e2d3c4b5a6978
//! ```
//!
//! Version, key id, time, and the first eight bytes of a SHA-256 over the line so far. A last line without its end is
//! what a crash left and is cut; any other line that is not of its form refuses the ledger.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use compliance_core::clock::Timestamp;
use compliance_core::seal::KeyId;

use super::hash;

/// Larger ledgers than this, in bytes, are refused: some million erasures.
const MAX_LEN: u64 = 256 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    keys: Vec<KeyId>,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let is_new = !path.exists();
        let mut file = options.open(path)?;
        let mut text = Vec::new();
        (&file).take(MAX_LEN.saturating_add(1)).read_to_end(&mut text)?;
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        if text.len() as u64 > MAX_LEN {
            return Err(damaged());
        }
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        let lines = text.get(..whole).and_then(|lines| str::from_utf8(lines).ok()).ok_or_else(damaged)?;
        let keys = lines.lines().map(|line| parse(line).ok_or_else(damaged)).collect::<io::Result<_>>()?;
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::Start(whole as u64))?;
        if is_new && cfg!(unix) {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(Self { file, keys })
    }

    pub(super) fn append(&mut self, key: KeyId, at: Timestamp) -> io::Result<()> {
        let line = format!("1 {key} {at}");
        let written = writeln!(self.file, "{line} {}", check(&line)).and_then(|()| self.file.sync_data());
        if written.is_ok() && !self.keys.contains(&key) {
            self.keys.push(key);
        }
        written
    }

    pub(super) fn keys(&self) -> Vec<KeyId> {
        self.keys.clone()
    }
}

fn check(line: &str) -> String {
    let hash = hash::prefixed(0x04, line.as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn parse(line: &str) -> Option<KeyId> {
    let (stated, found) = line.rsplit_once(' ')?;
    let mut words = stated.split(' ');
    (words.next()? == "1" && check(stated) == found).then_some(())?;
    let key = words.next()?.parse().ok()?;
    let _at: Timestamp = words.next()?.parse().ok()?;
    words.next().is_none().then_some(key)
}
