//! What whoever leads writes: group commits, checkpoints, the next segment.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use compliance_core::class::Internal;
use compliance_core::clock::{Clock, Timestamp};
use compliance_core::event::{
    Actor, AuditReceipt, Durability, Event, EventKind, RecordError, RecordErrorKind,
};
use compliance_core::finding::Outcome as EventOutcome;

use super::MAX_BATCH_LEN;
use super::config::AuditConfig;
use super::engine::{Outcome, Pending, Queue, Rank, Round};
use super::file::{self, Lock, SegmentFile};
use super::frame::{self, FrameKind, Header, OVERHEAD};
use super::reader::MAX_TORN_LEN;
use super::recover::Recovered;
use crate::audit::checkpoint::{self, SignedCheckpoint, State, Statement};
use crate::audit::record::{self, HEAD_LEN, KEY_CHANGED_FROM, KEY_CHANGED_TO};
use crate::audit::tree::CompactTree;

/// What a record takes besides its event.
pub(super) const RECORD_OVERHEAD: usize = OVERHEAD + HEAD_LEN;

pub(super) struct Writer {
    dir: PathBuf,
    /// What is written is worth no more than what it is written to.
    durability: Durability,
    config: AuditConfig,
    clock: Box<dyn Clock>,
    file: SegmentFile,
    /// The sequence number the segment starts with.
    first: u64,
    /// When the segment was begun.
    begun_at: Timestamp,
    /// Bytes of the segments before this one.
    closed_len: u64,
    edge: Edge,
    heartbeat: Heartbeat,
    /// The reserve is there; what is written at best effort is written.
    has_reserve: bool,
    buffer: Vec<u8>,
    /// Held as long as the writer lives.
    lock: Lock,
}

/// When the next checkpoint is due though nobody asks for one.
struct Heartbeat {
    since: Instant,
    wait: Duration,
    interval: Duration,
    /// How long it waited after the last attempt that failed; 0 when none did.
    retry: Duration,
}

impl Heartbeat {
    /// How long it waits after the first attempt that fails, twice as long after each further one, and never longer than
    /// the interval.
    const FIRST_RETRY: Duration = Duration::from_secs(1);

    fn new(interval: Duration) -> Self {
        Self { since: Instant::now(), wait: interval, interval, retry: Duration::ZERO }
    }

    fn left(&self) -> Duration {
        self.wait.saturating_sub(self.since.elapsed())
    }

    fn is_due(&self) -> bool {
        self.left().is_zero()
    }

    fn made(&mut self) {
        *self = Self::new(self.interval);
    }

    fn failed(&mut self) {
        self.retry = self.retry.saturating_mul(2).max(Self::FIRST_RETRY).min(self.interval);
        (self.since, self.wait) = (Instant::now(), self.retry);
    }
}

/// Where the trail ends.
#[derive(Clone)]
struct Edge {
    tree: CompactTree,
    last: SignedCheckpoint,
    uncovered: u64,
    /// Some of the uncovered were found here on opening; whoever had the directory can have written them.
    has_found: bool,
}

/// A commit that came to nothing.
#[derive(Clone, Copy)]
enum CommitError {
    /// There is no room on the disk, or no file to be had; nothing was written.
    Full,
    /// What the disk holds is not known.
    Failed,
    /// The quota is used up, or the segment as long as can be; nothing was written.
    OverQuota,
    /// The checkpoint was not signed; nothing was written.
    Unsigned,
}

impl CommitError {
    fn record_error(self) -> RecordError {
        RecordError::new(match self {
            Self::Full | Self::OverQuota => RecordErrorKind::Full,
            Self::Failed => RecordErrorKind::Poisoned,
            Self::Unsigned => RecordErrorKind::Unavailable,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A checkpoint only where the promise of the last one asks for it.
    AsPromised,
    Now,
    Closing,
}

/// Some events of a round, with their canonical forms.
struct Batch<'a> {
    entries: &'a [Pending],
    /// Where the first one begins.
    start: usize,
    bytes: &'a [u8],
}

impl Batch<'_> {
    fn events(&self) -> impl Iterator<Item = (&Pending, &[u8])> {
        let ends = self.entries.iter().map(|pending| pending.end);
        let starts = std::iter::once(self.start).chain(ends.clone());
        self.entries.iter().zip(starts.zip(ends)).map(|(pending, (start, end))| {
            // INVARIANT: the ends lie within the bytes, in order.
            (pending, self.bytes.get(start..end).unwrap_or_default())
        })
    }
}

impl Writer {
    pub(super) fn start(
        dir: &Path,
        durability: Durability,
        config: AuditConfig,
        clock: Box<dyn Clock>,
        recovered: Option<Recovered>,
        lock: Lock,
    ) -> io::Result<Self> {
        let mut closed_len = 0_u64;
        let rotates = recovered
            .as_ref()
            .is_some_and(|recovered| recovered.chain.key() != config.signer.verifying_key());
        let (file, first, begun_at, edge) = match recovered {
            Some(Recovered { chain, path, first, len, torn_bytes }) => {
                for (_, path) in file::segments(dir)?.iter().filter(|(other, _)| *other != first) {
                    closed_len = closed_len.saturating_add(std::fs::metadata(path)?.len());
                }
                let is_clean = chain.last().is_closing() && chain.uncovered() == 0 && torn_bytes == 0;
                let heal = (!is_clean).then_some(MAX_TORN_LEN);
                let file = SegmentFile::reopen(&path, len, heal, config.segment_len)?;
                let begun_at = chain.begun_at();
                let (tree, last, uncovered) = chain.into_parts();
                (file, first, begun_at, Edge { tree, last, uncovered, has_found: uncovered > 0 })
            }
            None => {
                let tree = CompactTree::new();
                let begun_at = clock.now();
                let statement = Statement {
                    size: 0,
                    root: tree.root(),
                    number: 0,
                    at: begun_at,
                    every: config.checkpoint_every,
                    interval: Some(whole_seconds(config.checkpoint_interval)),
                    state: State::Open,
                };
                let last = checkpoint::sign(&*config.signer, statement).map_err(io::Error::other)?;
                let mut header = Vec::new();
                Header::put(&mut header, &tree, &last, config.signer.verifying_key());
                let file = file::open_next_segment(dir)?;
                let file = SegmentFile::prepare(dir, file, &header, config.segment_len)?;
                let file = file.install(dir, &lock, 0)?;
                (file, 0, begun_at, Edge { tree, last, uncovered: 0, has_found: false })
            }
        };
        let has_reserve = file::fill_reserve(dir, config.reserve_len)?;
        let mut writer = Self {
            dir: dir.to_owned(),
            durability,
            heartbeat: Heartbeat::new(config.checkpoint_interval),
            config,
            clock,
            file,
            first,
            begun_at,
            closed_len,
            edge,
            has_reserve,
            buffer: Vec::new(),
            lock,
        };
        if rotates {
            writer.rotate()?;
        } else if writer.edge.uncovered > 0 || writer.edge.last.is_closing() {
            // Over what was found; or that the trail is open again, and heartbeats are promised. Without room or signer
            // that waits for the next heartbeat.
            let nothing = Batch { entries: &[], start: 0, bytes: &[] };
            if let Err(CommitError::Failed) = writer.commit(&nothing, 0, Mark::Now, Rank::MustRecord) {
                return Err(io::Error::other("the checkpoint was not written"));
            }
        }
        Ok(writer)
    }

    /// Goes on under the new key: a record that names it, a checkpoint by both keys over it, a segment of its own.
    fn rotate(&mut self) -> io::Result<()> {
        let refused = |_| io::Error::other("the key was not rotated");
        let previous = self.config.previous.take().ok_or(io::ErrorKind::InvalidInput)?;
        let next = file::open_next_segment(&self.dir)?;
        let now = self.clock.now();
        let key = self.config.signer.verifying_key().clone();
        let mut bytes = Vec::new();
        Event::builder(EventKind::SystemTrailKeyChanged, EventOutcome::Passed, Actor::System, now)
            .field(KEY_CHANGED_TO, Internal(key.to_string()))
            .field(KEY_CHANGED_FROM, Internal(previous.verifying_key().to_string()))
            .build()
            .map_err(io::Error::other)?
            .encode(&mut bytes);
        let before = self.edge.clone();
        self.buffer.clear();
        let new = std::mem::replace(&mut self.config.signer, previous);
        if self.edge.has_found {
            // Apart from what this process says itself.
            self.put_checkpoint(false).map_err(refused)?;
        }
        self.put_record(&bytes, now).map_err(refused)?;
        let statement = self.next_statement(State::Open);
        let old = std::mem::replace(&mut self.config.signer, new);
        self.edge.last =
            checkpoint::sign_by_both(&*old, &*self.config.signer, statement).map_err(io::Error::other)?;
        self.edge.uncovered = 0;
        let batch = self.batch();
        frame::put_checkpoint(&mut self.buffer, batch, self.edge.last.note());
        self.write(before, Rank::Own).map_err(refused)?;
        self.publish_head().map_err(refused)?;
        self.next_segment(next).map_err(refused)
    }

    /// Writes what was handed over in as many commits as it needs.
    pub(super) fn round(&mut self, round: Round) -> (Outcome, Queue) {
        let Round { mut queue, dropped, retired_len, wants_checkpoint, is_closing } = round;
        self.closed_len = self.closed_len.saturating_sub(retired_len);
        let mark = if is_closing {
            Mark::Closing
        } else if wants_checkpoint.is_some() || self.heartbeat.is_due() {
            Mark::Now
        } else {
            Mark::AsPromised
        };
        if mark != Mark::AsPromised {
            self.refill_reserve();
        }
        let mut results = Vec::with_capacity(queue.entries.len());
        let mut dropped_left = dropped;
        let is_own = wants_checkpoint == Some(Rank::Own);
        let outcome = self.commit_all(&queue, (mark, is_own), &mut dropped_left, &mut results);
        if mark != Mark::AsPromised && self.heartbeat.is_due() {
            self.heartbeat.failed();
        }
        if is_closing {
            // What was to be kept is kept; space ahead that stays is no loss.
            drop(self.file.trim());
        }
        let answers: Vec<_> = queue
            .entries
            .drain(..)
            .zip(results)
            .map(|(pending, result)| {
                let receipt =
                    result.map(|sequence| AuditReceipt::attest(pending.digest, sequence, self.durability));
                (pending.completion, receipt)
            })
            .collect();
        queue.bytes.clear();
        let outcome = Outcome {
            answers,
            group: std::mem::take(&mut queue.group),
            checkpoint: outcome.map(|()| self.edge.last.clone()).map_err(CommitError::record_error),
            has_failed: matches!(outcome, Err(CommitError::Failed)),
            dropped: dropped_left,
            is_scarce: self.is_scarce(),
            until_heartbeat: self.heartbeat.left(),
        };
        (outcome, queue)
    }

    /// One result per entry of the queue, in order; `dropped` keeps what is still to be recorded as dropped.
    fn commit_all(
        &mut self,
        queue: &Queue,
        (mark, is_own): (Mark, bool),
        dropped: &mut u64,
        results: &mut Vec<Result<u64, RecordError>>,
    ) -> Result<(), CommitError> {
        let (mut entries, mut start) = (&queue.entries[..], 0);
        let mut ended = Ok(());
        loop {
            let fits = entries.partition_point(|pending| pending.end.saturating_sub(start) < MAX_BATCH_LEN);
            let (now, later) = entries.split_at(fits.saturating_add(1).min(entries.len()));
            let batch = Batch { entries: now, start, bytes: &queue.bytes };
            // Only the last of several commits carries the checkpoint that was asked for.
            let mark = if later.is_empty() { mark } else { Mark::AsPromised };
            let mut least = if self.is_scarce() { Rank::MustRecord } else { Rank::BestEffort };
            let mut outcome = self.commit(&batch, *dropped, mark, least);
            let has_reserve = self.has_reserve && self.config.reserve_len > 0;
            let gets_reserve = has_reserve && matches!(outcome, Err(CommitError::Full));
            if gets_reserve {
                self.give_up_reserve();
            }
            if gets_reserve || (is_full(&outcome) && least == Rank::BestEffort) {
                // What must be recorded gets what there is; the rest goes.
                least = Rank::MustRecord;
                outcome = self.commit(&batch, *dropped, mark, least);
            }
            if is_full(&outcome) && (is_own || now.iter().any(|pending| pending.rank == Rank::Own)) {
                // Alone, with the last of the reserve, and whatever the quota: room comes of it.
                drop(file::release_reserve(&self.dir));
                least = Rank::Own;
                outcome = self.commit(&batch, *dropped, mark, least);
            }
            if matches!(outcome, Err(CommitError::Unsigned)) && mark != Mark::AsPromised {
                // Whoever asked for the checkpoint does not get it. Records need none as long as the last one's promise
                // holds.
                ended = Err(CommitError::Unsigned);
                outcome = self.commit(&batch, *dropped, Mark::AsPromised, least);
            }
            match outcome {
                Ok(first) => {
                    if least < Rank::Own {
                        *dropped = 0;
                    }
                    let mut next = first;
                    for pending in now {
                        results.push(if pending.rank < least {
                            *dropped = dropped.saturating_add(u64::from(pending.rank == Rank::BestEffort));
                            Err(CommitError::Full.record_error())
                        } else {
                            let sequence = next;
                            next = next.saturating_add(1);
                            Ok(sequence)
                        });
                    }
                }
                Err(error) => {
                    let is_best_effort = |pending: &&Pending| pending.rank == Rank::BestEffort;
                    let lost = entries.iter().filter(is_best_effort).count();
                    *dropped = dropped.saturating_add(lost as u64);
                    results.extend(entries.iter().map(|_| Err(error.record_error())));
                    return Err(error);
                }
            }
            // A closed trail ends with its closing checkpoint; the next process begins the next segment.
            if mark != Mark::Closing
                && let Err(CommitError::Failed) = self.roll()
            {
                // The records are durable, and have their receipts; only the log cannot go on.
                ended = Err(CommitError::Failed);
            }
            start = now.last().map_or(start, |pending| pending.end);
            entries = later;
            if entries.is_empty() || ended.is_err() {
                results.extend(entries.iter().map(|_| Err(CommitError::Failed.record_error())));
                return ended;
            }
        }
    }

    /// Writes one group commit; gives back the sequence number of the batch's first record. What ranks below `least` is
    /// left out.
    fn commit(
        &mut self,
        batch: &Batch<'_>,
        dropped: u64,
        mark: Mark,
        least: Rank,
    ) -> Result<u64, CommitError> {
        let before = self.edge.clone();
        let first = match self.fill(batch, dropped, mark, least) {
            Ok(first) => first,
            Err(error) => {
                self.edge = before;
                return Err(error);
            }
        };
        if self.buffer.is_empty() {
            return Ok(first);
        }
        let number = before.last.number();
        self.write(before, least)?;
        if self.edge.last.number() > number {
            self.heartbeat.made();
            self.publish_head()?;
        }
        Ok(first)
    }

    /// Lays a commit out in the buffer.
    fn fill(&mut self, batch: &Batch<'_>, dropped: u64, mark: Mark, least: Rank) -> Result<u64, CommitError> {
        let now = self.clock.now();
        self.buffer.clear();
        if let Some(event) = dropped_event(dropped, now).filter(|_| least < Rank::Own) {
            let mut bytes = Vec::new();
            event.encode(&mut bytes);
            self.put_record(&bytes, now)?;
        }
        let first = self.edge.tree.size();
        for (pending, bytes) in batch.events() {
            if pending.rank >= least {
                self.put_record(bytes, now)?;
            }
        }
        if mark != Mark::AsPromised {
            self.put_checkpoint(mark == Mark::Closing)?;
        }
        Ok(first)
    }

    /// Whether there is room only for what must be recorded.
    fn is_scarce(&self) -> bool {
        let used = self.closed_len.saturating_add(self.file.len());
        !self.has_reserve || used.saturating_add(self.config.reserve_len) > self.config.quota
    }

    fn refill_reserve(&mut self) {
        if !self.has_reserve {
            self.has_reserve = file::fill_reserve(&self.dir, self.config.reserve_len).unwrap_or(false);
        }
    }

    fn give_up_reserve(&mut self) {
        self.has_reserve = false;
        // Where that fails, the disk stays as full as it is.
        drop(file::give_up_reserve(&self.dir, self.config.reserve_len));
    }

    fn put_record(&mut self, event: &[u8], now: Timestamp) -> Result<(), CommitError> {
        let batch = self.batch();
        let sequence = self.edge.tree.size();
        let hash = frame::put(&mut self.buffer, FrameKind::Record, |out| {
            record::encode_head(out, batch, sequence, now);
            out.extend_from_slice(event);
        });
        self.edge.tree.push(hash);
        self.edge.uncovered = self.edge.uncovered.saturating_add(1);
        if self.edge.uncovered >= self.edge.last.every() {
            self.put_checkpoint(false)?;
        }
        Ok(())
    }

    fn next_statement(&self, state: State) -> Statement {
        Statement {
            size: self.edge.tree.size(),
            root: self.edge.tree.root(),
            number: self.edge.last.number().saturating_add(1),
            at: self.clock.now(),
            every: self.config.checkpoint_every,
            interval: Some(whole_seconds(self.config.checkpoint_interval)),
            state,
        }
    }

    fn put_checkpoint(&mut self, is_closing: bool) -> Result<(), CommitError> {
        if self.edge.has_found {
            self.put_signed(State::Recovered)?;
            self.edge.has_found = false;
            return if is_closing { self.put_signed(State::Closed) } else { Ok(()) };
        }
        self.put_signed(if is_closing { State::Closed } else { State::Open })
    }

    fn put_signed(&mut self, state: State) -> Result<(), CommitError> {
        let signed = checkpoint::sign(&*self.config.signer, self.next_statement(state));
        self.edge.last = signed.map_err(|_| CommitError::Unsigned)?;
        self.edge.uncovered = 0;
        let batch = self.batch();
        frame::put_checkpoint(&mut self.buffer, batch, self.edge.last.note());
        Ok(())
    }

    /// Where the commit being gathered will begin.
    fn batch(&self) -> u32 {
        // Segments are limited far below 4 GiB.
        u32::try_from(self.file.len()).unwrap_or(u32::MAX)
    }

    fn write(&mut self, before: Edge, least: Rank) -> Result<(), CommitError> {
        let used = self.closed_len.saturating_add(self.file.len());
        let is_over_quota =
            least < Rank::Own && used.saturating_add(self.buffer.len() as u64) > self.config.quota;
        // Where a commit begins must fit into its frames; only a segment that could long not be closed gets there.
        if is_over_quota || self.file.len() > u64::from(u32::MAX) {
            self.edge = before;
            return Err(CommitError::OverQuota);
        }
        // Once the reserve is given up nothing is made ahead: that would be more than all the reserve is.
        match self.file.reserve(self.buffer.len(), self.has_reserve && least < Rank::Own) {
            Ok(()) => {}
            Err(error) if file::is_full(&error) => {
                self.edge = before;
                return Err(CommitError::Full);
            }
            Err(_) => return Err(CommitError::Failed),
        }
        self.file.append(&self.buffer).map_err(|_| CommitError::Failed)
    }

    /// A full disk, or a process that can open no more files, keeps the older checkpoint in place, which is still true,
    /// until the next one.
    fn publish_head(&self) -> Result<(), CommitError> {
        let Ok(next) = file::open_next_head(&self.dir) else { return Ok(()) };
        match file::write_head(&self.dir, next, self.edge.last.note()) {
            Err(error) if !file::is_full(&error) => Err(CommitError::Failed),
            _ => Ok(()),
        }
    }

    /// Closes the segment with a checkpoint and begins the next, once it is long enough. While the disk has
    /// no room for another, or no file can be opened, it goes on with this one.
    fn roll(&mut self) -> Result<(), CommitError> {
        let age = self.clock.now().saturating_since(self.begun_at);
        let is_due = self.file.len() >= self.config.segment_len
            || self.config.segment_interval.is_some_and(|interval| age >= interval);
        if !is_due || self.edge.tree.size() == self.first {
            return Ok(());
        }
        let Ok(next) = file::open_next_segment(&self.dir) else { return Ok(()) };
        if self.edge.uncovered > 0 {
            let before = self.edge.clone();
            self.buffer.clear();
            if self.put_checkpoint(false).is_err() {
                self.edge = before;
                return Ok(());
            }
            match self.write(before, Rank::MustRecord) {
                Err(CommitError::Failed) => return Err(CommitError::Failed),
                Err(_) => return Ok(()),
                Ok(()) => {}
            }
            self.heartbeat.made();
            self.publish_head()?;
        }
        match self.next_segment(next) {
            Err(CommitError::Failed) => Err(CommitError::Failed),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Begins the next segment, whose header repeats the checkpoint this one ends with.
    fn next_segment(&mut self, next: File) -> Result<(), CommitError> {
        self.buffer.clear();
        let Edge { tree, last, .. } = &self.edge;
        Header::put(&mut self.buffer, tree, last, self.config.signer.verifying_key());
        let next = match SegmentFile::prepare(&self.dir, next, &self.buffer, self.config.segment_len) {
            Ok(next) => next,
            Err(error) if file::is_full(&error) => return Err(CommitError::Full),
            Err(_) => return Err(CommitError::Failed),
        };
        self.file.trim().map_err(|_| CommitError::Failed)?;
        self.closed_len = self.closed_len.saturating_add(self.file.len());
        (self.first, self.begun_at) = (tree.size(), last.at());
        self.file = next.install(&self.dir, &self.lock, self.first).map_err(|_| CommitError::Failed)?;
        Ok(())
    }
}

fn is_full(outcome: &Result<u64, CommitError>) -> bool {
    matches!(outcome, Err(CommitError::Full | CommitError::OverQuota))
}

/// Rounded up: a promise may say more than is kept, never less.
fn whole_seconds(interval: Duration) -> u64 {
    interval.as_secs().saturating_add(u64::from(interval.subsec_nanos() > 0))
}

/// The record of events that were dropped; `None` when there were none.
pub(in crate::audit) fn dropped_event(count: u64, at: Timestamp) -> Option<Event> {
    let shown = i64::try_from(count).unwrap_or(i64::MAX);
    let event = Event::builder(EventKind::SystemEventsDropped, EventOutcome::Refused, Actor::System, at)
        .field("count", Internal(shown))
        .build();
    event.ok().filter(|_| count > 0)
}
