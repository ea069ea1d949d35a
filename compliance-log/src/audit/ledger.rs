//! The erasure ledger: a line for each key before it is destroyed, synchronised, and another once that is recorded.
//!
//! ```text
//! 1 0123456789abcdef0123456789abcdef 2026-11-21T12:00:00Z 5f1e2d3c4b5a6978
//! ```
//!
//! What it says (`1`: the key is to be destroyed, `2`: that it was is in the trail), key id, time, and the first eight
//! bytes of a SHA-256 over the line so far. A last line without its end is what a crash left and is cut; any other line
//! that is not of its form refuses the ledger.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use compliance_core::clock::Timestamp;
use compliance_core::seal::KeyId;

use super::hash;
use crate::{directory, private};

/// Larger ledgers than this, in bytes, are refused: some million erasures.
const MAX_LEN: u64 = 256 * 1024 * 1024;

const NOTED: &str = "1";
const RECORDED: &str = "2";

#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    /// How many bytes are whole lines; `None` once what is behind them could not be cut.
    whole: Option<u64>,
    /// Whether the last word on a key is that it is recorded.
    keys: BTreeMap<KeyId, bool>,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = private::open(&mut options, path)?;
        // Two would write over one another's lines.
        file.try_lock()?;
        let mut text = Vec::new();
        (&file).take(MAX_LEN.saturating_add(1)).read_to_end(&mut text)?;
        let damaged = || io::Error::from(io::ErrorKind::InvalidData);
        if text.len() as u64 > MAX_LEN {
            return Err(damaged());
        }
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at.saturating_add(1));
        let lines = text.get(..whole).and_then(|lines| str::from_utf8(lines).ok()).ok_or_else(damaged)?;
        let mut keys = BTreeMap::new();
        for line in lines.lines() {
            let (key, is_recorded) = parse(line).ok_or_else(damaged)?;
            keys.insert(key, is_recorded);
        }
        if whole < text.len() {
            cut(&mut file, whole as u64)?;
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        directory::sync(parent.unwrap_or(Path::new(".")))?;
        Ok(Self { file, whole: Some(whole as u64), keys })
    }

    /// Writes down that a key is to be destroyed.
    pub(super) fn note(&mut self, key: KeyId, at: Timestamp) -> io::Result<()> {
        self.append(NOTED, key, at)?;
        self.keys.insert(key, false);
        Ok(())
    }

    /// Writes down that the trail has it.
    pub(super) fn settle(&mut self, key: KeyId, at: Timestamp) -> io::Result<()> {
        self.append(RECORDED, key, at)?;
        self.keys.insert(key, true);
        Ok(())
    }

    pub(super) fn keys(&self) -> Vec<KeyId> {
        self.keys.keys().copied().collect()
    }

    /// Those of which the trail may not have that they were destroyed.
    pub(super) fn unrecorded(&self) -> Vec<KeyId> {
        self.keys.iter().filter(|(_, is_recorded)| !**is_recorded).map(|(key, _)| *key).collect()
    }

    fn append(&mut self, word: &str, key: KeyId, at: Timestamp) -> io::Result<()> {
        let whole = self.whole.ok_or(io::ErrorKind::Other)?;
        let stated = format!("{word} {key} {at}");
        let line = format!("{stated} {}\n", check(&stated));
        let file = &mut self.file;
        let written = file
            .seek(SeekFrom::Start(whole))
            .and_then(|_| file.write_all(line.as_bytes()))
            .and_then(|()| file.sync_all());
        self.whole = match &written {
            Ok(()) => Some(whole.saturating_add(line.len() as u64)),
            // Half a line would run into the next one.
            Err(_) => cut(file, whole).is_ok().then_some(whole),
        };
        written
    }
}

fn cut(file: &mut File, whole: u64) -> io::Result<()> {
    file.set_len(whole)?;
    file.sync_all()
}

fn check(line: &str) -> String {
    let hash = hash::prefixed(0x04, line.as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The key, and whether the line says that it is recorded.
fn parse(line: &str) -> Option<(KeyId, bool)> {
    let (stated, found) = line.rsplit_once(' ')?;
    let mut words = stated.split(' ');
    let is_recorded = match words.next()? {
        NOTED => false,
        RECORDED => true,
        _ => return None,
    };
    (check(stated) == found).then_some(())?;
    let key = words.next()?.parse().ok()?;
    let _at: Timestamp = words.next()?.parse().ok()?;
    words.next().is_none().then_some((key, is_recorded))
}
