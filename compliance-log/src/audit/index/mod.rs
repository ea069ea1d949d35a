//! An index over a trail, for queries that do not read all of it.
//!
//! One SQLite file, made from the segments and from nothing else: throw it away, and the next one answers the same.
//! Each query first takes in what was recorded since the last one, and every record the index names is read from its
//! segment and checked before it is given out. An index that is behind catches up; one that is damaged, of another
//! trail or of another form is made anew; one that turns out wrong in the middle of a query is left, and the segments
//! are read instead.
//!
//! No identifier stands in it: tenants, people, requests and classes are 64-bit hashes.
//!
//! ```
//! # use compliance_core::clock::{Clock, SystemClock};
//! # use compliance_core::event::{Actor, Sink};
//! # use compliance_core::id::{ActorId, SubjectId, TenantId};
//! # use compliance_core::purpose;
//! # use compliance_core::random::SystemRandom;
//! # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
//! # use compliance_log::audit::record::{Circumstances, DataAccess};
//! use compliance_log::audit::index::TrailIndex;
//! use compliance_log::audit::query::{Query, TenantTrail};
//!
//! # let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
//! # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
//! # let (acme, anna) = (TenantId::new("acme")?, SubjectId::new("user-4711")?);
//! # let staff = Circumstances::new(Actor::Person(ActorId::new("staff-17")?), SystemClock.now()).tenant(acme.clone());
//! # let read = DataAccess::read(&staff, "customer", purpose!("support.ticket")).subject(anna.clone());
//! # log.record(read.build()?).wait()?;
//! let index = TrailIndex::open(dir.path(), elsewhere.path())?;
//! let found = Query::in_tenant(acme.clone()).subject(anna.clone()).run(&index, &staff, &log)?;
//! assert_eq!(found.count(), 1);
//!
//! // What a handler of one tenant is given: it reads that tenant's records and no others.
//! let trail = TenantTrail::new(index, acme);
//! let other = Query::in_tenant(TenantId::new("other")?).run(&trail, &staff, &log);
//! assert_eq!(other.unwrap_err().code(), "query.other_tenant");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Security
//! Whoever can write the file can make queries through it overlook records, and nothing else: keep it where only the
//! service writes. A query over the directory itself believes no index, and
//! [`rebuild`](TrailIndex::rebuild) makes a new one at any time.

mod table;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::{Connection as _, SqliteConnection};

use self::table::{BATCH, Batch, Hit, State, Wanted};
use super::query::Query;
use super::record::Record;
use super::segment::{AuditError, Records, records};
use crate::blocking::block_on;

/// The name of the index's file. Whatever has this name in the folder given is taken for an index, and removed when it
/// is none.
pub const INDEX_FILE: &str = "audit-index.sqlite";

/// An index over one trail, in a folder. One process has it open at a time; cheap to clone.
#[derive(Clone, Debug)]
pub struct TrailIndex {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    trail: PathBuf,
    file: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    connection: SqliteConnection,
    state: State,
    /// It named a record that is not so; made anew before it is asked again.
    is_wrong: bool,
}

/// Why an index was made from the first record on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RebuildReason {
    /// Somebody asked for it.
    Asked,
    /// The file was damaged, of another form, or none of an index.
    Damaged,
    /// It was over another trail, or over records that this one does not have.
    Foreign,
    /// There was none.
    New,
}

/// What taking in the trail came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct IndexReport {
    records: u64,
    added: u64,
    rebuilt: Option<RebuildReason>,
}

impl IndexReport {
    /// Records in the index.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Records that were taken in.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Why it was made from the first record on, if it was.
    #[must_use]
    pub fn rebuilt(&self) -> Option<RebuildReason> {
        self.rebuilt
    }
}

impl TrailIndex {
    /// Opens the index over the trail in `trail` that lies in the folder `index`, which is created where there is none.
    /// Reads the whole index to see that it is whole. Takes nothing in; the first query or [`refresh`](Self::refresh)
    /// does.
    ///
    /// # Errors
    /// [`IndexError`]: `index.io` when the folder cannot be written, `index.busy` when another process has it open.
    pub fn open(trail: impl AsRef<Path>, index: impl AsRef<Path>) -> Result<Self, IndexError> {
        create_private_dir(index.as_ref())?;
        let (trail, file) = (trail.as_ref().to_owned(), index.as_ref().join(INDEX_FILE));
        let inner = Inner { trail, file, open: Mutex::new(None) };
        let index = Self { inner: Arc::new(inner) };
        let is_there = index.inner.file.exists();
        let mut open = index.lock();
        *open = index.inner.open_whole(is_there)?;
        drop(open);
        Ok(index)
    }

    /// Takes in what was recorded since, and forgets what was retired. Queries do it themselves.
    ///
    /// # Errors
    /// [`IndexError`]: `index.io`, `index.busy`, `index.failed`, or the code of the trail's error.
    pub fn refresh(&self) -> Result<IndexReport, IndexError> {
        let mut open = self.lock();
        self.inner.refresh(&mut open, None)
    }

    /// Throws the index away and makes it from the segments.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub fn rebuild(&self) -> Result<IndexReport, IndexError> {
        let mut open = self.lock();
        close(&mut open);
        self.inner.refresh(&mut open, Some(RebuildReason::Asked))
    }

    /// The directory of the trail.
    #[must_use]
    pub fn trail(&self) -> &Path {
        &self.inner.trail
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        // What a panic leaves half-done is SQLite's to roll back; the state in memory follows the commit.
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number behind the last record there is by now.
    pub(super) fn end(&self) -> Result<u64, IndexError> {
        let mut open = self.lock();
        let _report = self.inner.refresh(&mut open, None)?;
        Ok(open.as_ref().map_or(0, |open| open.state.next))
    }

    /// Begins to answer a query over everything that is recorded by now.
    pub(super) fn hits(&self, query: &Query) -> Result<Hits, IndexError> {
        let mut open = self.lock();
        let _report = self.inner.refresh(&mut open, None)?;
        let wanted = Wanted::new(query);
        let span = match open.as_mut() {
            Some(open) => {
                block_on(table::span(&mut open.connection, &open.state, &wanted)).map_err(failed)?
            }
            None => None,
        };
        drop(open);
        let (from, before) = span.unwrap_or((0, 0));
        Ok(Hits { index: self.clone(), wanted, page: Vec::new().into_iter(), from, before })
    }
}

impl Inner {
    /// The file, if it is a whole index.
    fn open_whole(&self, is_there: bool) -> Result<Option<Open>, IndexError> {
        if !is_there {
            return Ok(None);
        }
        let opened = block_on(async {
            let mut connection = table::connect(&self.file).await?;
            match table::check(&mut connection).await {
                Ok(Some(state)) => Ok(Some(Open { connection, state, is_wrong: false })),
                other => {
                    let _closed = connection.close().await;
                    other.map(|_| None)
                }
            }
        });
        match opened {
            Ok(open) => Ok(open),
            Err(error) if is_busy(&error) => Err(IndexErrorKind::Busy.into()),
            // Whatever else SQLite has against it: it holds nothing that the segments do not.
            Err(_) => Ok(None),
        }
    }

    fn create(&self) -> Result<Open, IndexError> {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.file.clone().into_os_string();
            name.push(suffix);
            match fs::remove_file(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        private_file(&self.file)?;
        block_on(async {
            let mut connection = table::connect(&self.file).await?;
            table::create(&mut connection).await?;
            Ok(Open { connection, state: State::default(), is_wrong: false })
        })
        .map_err(failed)
    }

    fn refresh(
        &self,
        slot: &mut Option<Open>,
        mut rebuilt: Option<RebuildReason>,
    ) -> Result<IndexReport, IndexError> {
        let mut records = records(&self.trail)?;
        let first = records.first().unwrap_or(0);
        if slot.as_ref().is_some_and(|open| open.is_wrong) {
            close(slot);
            rebuilt = Some(RebuildReason::Damaged);
        }
        if let Some(open) = slot
            && !open.goes_on(&mut records)?
        {
            close(slot);
            rebuilt = Some(RebuildReason::Foreign);
        }
        let open = match slot {
            Some(open) => open,
            None => {
                let reason = if self.file.exists() { RebuildReason::Damaged } else { RebuildReason::New };
                rebuilt = rebuilt.or(Some(reason));
                slot.insert(self.create()?)
            }
        };
        let result = open.take_in(&mut records, first);
        match result {
            Ok(added) => {
                let records = open.state.next.saturating_sub(open.state.first);
                Ok(IndexReport { records, added, rebuilt })
            }
            Err(error) => {
                // A statement that failed may have left its transaction open. A trail that cannot be read on says
                // nothing against what was taken in before.
                if !matches!(error.kind(), IndexErrorKind::Trail(_)) {
                    close(slot);
                }
                Err(error)
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        close(self.open.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Waits until SQLite has let go of the file, so that the next to open or remove it finds it free.
fn close(slot: &mut Option<Open>) {
    if let Some(open) = slot.take() {
        let _closed = block_on(open.connection.close());
    }
}

impl Open {
    /// Whether the trail still has the last record the index has. Stands behind it then, or before the first.
    fn goes_on(&mut self, records: &mut Records) -> Result<bool, IndexError> {
        let first = records.first().unwrap_or(0);
        if self.state.next <= self.state.first.max(first) {
            // It has nothing that is left: the trail is taken in from its first record on.
            return Ok(true);
        }
        if first < self.state.first {
            return Ok(false);
        }
        let last = self.state.next.saturating_sub(1);
        let Ok(Some(hit)) = block_on(table::hit(&mut self.connection, last)) else { return Ok(false) };
        Ok(read(records, &hit)?.is_some())
    }

    fn take_in(&mut self, records: &mut Records, first: u64) -> Result<u64, IndexError> {
        if first != self.state.first {
            block_on(table::forget_before(&mut self.connection, &mut self.state, first)).map_err(failed)?;
        }
        let mut added = 0_u64;
        let mut batch = Batch::default();
        while let Some(record) = records.next() {
            let record = record?;
            batch.push(&record, records.place());
            added = added.saturating_add(1);
            if batch.len() >= BATCH {
                self.write(std::mem::take(&mut batch))?;
            }
        }
        self.write(batch)?;
        Ok(added)
    }

    fn write(&mut self, batch: Batch) -> Result<(), IndexError> {
        block_on(batch.write(&mut self.connection, &mut self.state)).map_err(failed)
    }
}

/// Reads the record the index names; `None` when the trail has another there, or none.
fn read(records: &mut Records, hit: &Hit) -> Result<Option<Record>, AuditError> {
    if !records.jump(hit.place, hit.seq)? {
        return Ok(None);
    }
    Ok(match records.next() {
        Some(Ok(record)) => Some(record).filter(|record| *record.digest().as_bytes() == hit.leaf),
        Some(Err(_)) | None => None,
    })
}

/// What the index names for a query, page by page.
#[derive(Debug)]
pub(super) struct Hits {
    index: TrailIndex,
    wanted: Wanted,
    page: std::vec::IntoIter<Hit>,
    from: u64,
    before: u64,
}

/// The index is wrong or cannot be asked.
pub(super) struct Wrong;

impl Hits {
    /// The next record the index names, read from its segment.
    pub(super) fn next(&mut self, records: &mut Records, before: u64) -> Result<Option<Record>, Wrong> {
        let before = before.min(self.before);
        let hit = match self.page.next() {
            Some(hit) => hit,
            None if self.from >= before => return Ok(None),
            None => {
                self.page = self.turn(before)?.into_iter();
                match self.page.next() {
                    Some(hit) => hit,
                    None => return Ok(None),
                }
            }
        };
        self.from = hit.seq.saturating_add(1);
        let record = if hit.seq < before { read(records, &hit).ok().flatten() } else { None };
        record.map(Some).ok_or_else(|| self.distrust())
    }

    fn turn(&mut self, before: u64) -> Result<Vec<Hit>, Wrong> {
        let mut open = self.index.lock();
        let page = open.as_mut().and_then(|open| {
            block_on(table::page(&mut open.connection, &self.wanted, self.from, before)).ok()
        });
        drop(open);
        page.flatten().ok_or_else(|| self.distrust())
    }

    fn distrust(&self) -> Wrong {
        if let Some(open) = self.index.lock().as_mut() {
            open.is_wrong = true;
        }
        Wrong
    }
}

fn create_private_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Made before SQLite opens it, so that nobody else can read it at any time; what SQLite makes beside it has its rights.
fn private_file(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create(true).truncate(false).open(path).map(drop)
}

fn is_busy(error: &sqlx::Error) -> bool {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    // The low byte of an extended result code is the primary one.
    code.is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED))
}

fn failed(error: sqlx::Error) -> IndexError {
    if is_busy(&error) { IndexErrorKind::Busy.into() } else { IndexErrorKind::Failed.into() }
}

/// The index could not be opened or asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("index not usable: {0}")]
pub struct IndexError(IndexErrorKind);

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexErrorKind {
    /// Another process has it open.
    #[error("another process has it open")]
    Busy,
    /// SQLite refused; the next use makes it anew.
    #[error("its database failed")]
    Failed,
    /// The folder or the file could not be made or removed.
    #[error("its folder could not be read or written: {0}")]
    Io(io::ErrorKind),
    /// The trail could not be read.
    #[error("{0}")]
    Trail(AuditError),
}

impl IndexError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> IndexErrorKind {
        self.0
    }

    /// `index.busy`, `index.failed`, `index.io`, or the code of the trail's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            IndexErrorKind::Busy => "index.busy",
            IndexErrorKind::Failed => "index.failed",
            IndexErrorKind::Io(_) => "index.io",
            IndexErrorKind::Trail(error) => error.code(),
        }
    }
}

impl From<IndexErrorKind> for IndexError {
    fn from(kind: IndexErrorKind) -> Self {
        Self(kind)
    }
}

impl From<AuditError> for IndexError {
    fn from(error: AuditError) -> Self {
        Self(IndexErrorKind::Trail(error))
    }
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        Self(IndexErrorKind::Io(error.kind()))
    }
}
