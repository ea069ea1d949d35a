//! The one thread that writes.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use compliance_core::clock::Clock;
use compliance_core::event::{AuditReceipt, Durability, RecordError, RecordErrorKind};

use super::MAX_BATCH_LEN;
use super::config::AuditConfig;
use super::file::{self, SegmentFile};
use super::frame::{self, FrameKind, Header, OVERHEAD};
use super::log::{Pending, Shared};
use super::reader::MAX_TORN_LEN;
use super::recover::Recovered;
use crate::audit::checkpoint::{SignedCheckpoint, Statement};
use crate::audit::record::{self, HEAD_LEN};
use crate::audit::tree::CompactTree;

/// What a record takes besides its event.
pub(super) const RECORD_OVERHEAD: usize = OVERHEAD + HEAD_LEN;

pub(super) struct Writer {
    shared: Arc<Shared>,
    dir: PathBuf,
    config: AuditConfig,
    clock: Box<dyn Clock>,
    file: SegmentFile,
    /// The sequence number the segment starts with.
    first: u64,
    edge: Edge,
    last_checkpoint: Instant,
    buffer: Vec<u8>,
    /// Held as long as the writer lives.
    _lock: File,
}

/// Where the trail ends.
#[derive(Clone)]
struct Edge {
    tree: CompactTree,
    last: SignedCheckpoint,
    uncovered: u64,
}

/// A commit that came to nothing.
enum CommitError {
    /// There is no room; nothing was written.
    Full,
    /// What the disk holds is not known.
    Failed,
}

impl CommitError {
    fn record_error_kind(&self) -> RecordErrorKind {
        match self {
            Self::Full => RecordErrorKind::Full,
            Self::Failed => RecordErrorKind::Poisoned,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A checkpoint only where the promise of the last one asks for it.
    AsPromised,
    Now,
    Closing,
}

impl Writer {
    pub(super) fn start(
        shared: Arc<Shared>,
        dir: &Path,
        config: AuditConfig,
        clock: Box<dyn Clock>,
        recovered: Option<Recovered>,
        lock: File,
    ) -> io::Result<Self> {
        let (file, first, edge) = match recovered {
            Some(Recovered { chain, path, first, len, torn_bytes }) => {
                let is_clean = chain.last().is_closing() && chain.uncovered() == 0 && torn_bytes == 0;
                let heal = (!is_clean).then_some(MAX_TORN_LEN);
                let file = SegmentFile::reopen(&path, len, heal, config.segment_len)?;
                let (tree, last, uncovered) = chain.into_parts();
                (file, first, Edge { tree, last, uncovered })
            }
            None => {
                let tree = CompactTree::new();
                let last = config.key.sign(Statement {
                    size: 0,
                    root: tree.root(),
                    number: 0,
                    at: clock.now(),
                    every: config.checkpoint_every,
                    closing: false,
                });
                let mut header = Vec::new();
                Header::put(&mut header, &tree, &last, config.key.verifying_key());
                let file = SegmentFile::prepare(dir, &header, config.segment_len)?.install(dir, 0)?;
                (file, 0, Edge { tree, last, uncovered: 0 })
            }
        };
        Ok(Self {
            shared,
            dir: dir.to_owned(),
            config,
            clock,
            file,
            first,
            edge,
            last_checkpoint: Instant::now(),
            buffer: Vec::new(),
            _lock: lock,
        })
    }

    pub(super) fn run(mut self) {
        // However this thread ends, nobody may wait for it in vain.
        let _end = Poison(Arc::clone(&self.shared));
        if self.edge.uncovered > 0 && self.commit(&mut VecDeque::new(), Mark::Now).is_err() {
            return;
        }
        loop {
            let until_heartbeat =
                self.config.checkpoint_interval.saturating_sub(self.last_checkpoint.elapsed());
            let mut state = self.shared.lock();
            if !state.has_work() && !until_heartbeat.is_zero() {
                state = self.shared.wait_for_work(state, until_heartbeat);
            }
            let mut queue = state.take_queue();
            let waiting = std::mem::take(&mut state.checkpoints);
            let is_closing = state.is_closing;
            drop(state);
            self.shared.notify_room();

            let mark = if is_closing {
                Mark::Closing
            } else if !waiting.is_empty() || self.last_checkpoint.elapsed() >= self.config.checkpoint_interval
            {
                Mark::Now
            } else {
                Mark::AsPromised
            };
            let outcome = self.commit_all(&mut queue, mark);
            let answer = match &outcome {
                Ok(()) => Ok(self.edge.last.clone()),
                Err(error) => Err(RecordError::new(error.record_error_kind())),
            };
            if is_closing {
                // What was to be kept is kept; space ahead that stays is no loss.
                drop(self.file.trim());
                self.shared.lock().closed = Some(answer.clone());
            }
            for sender in waiting {
                // Whoever asked may have gone.
                drop(sender.try_send(answer.clone()));
            }
            if is_closing || matches!(outcome, Err(CommitError::Failed)) {
                return;
            }
        }
    }

    /// Writes what was taken from the queue in as many commits as it needs.
    fn commit_all(&mut self, queue: &mut VecDeque<Pending>, mark: Mark) -> Result<(), CommitError> {
        loop {
            // Only the last of several commits carries the checkpoint that was asked for.
            let outcome = self.commit(queue, mark);
            if let Err(error) = outcome {
                let kind = error.record_error_kind();
                self.shared.lock().is_poisoned |= matches!(error, CommitError::Failed);
                for pending in queue.drain(..) {
                    pending.completion.complete(Err(RecordError::new(kind)));
                }
                return Err(error);
            }
            if queue.is_empty() {
                return Ok(());
            }
        }
    }

    /// Writes one group commit from the front of `queue` and answers those in it.
    fn commit(&mut self, queue: &mut VecDeque<Pending>, mark: Mark) -> Result<(), CommitError> {
        let now = self.clock.now();
        let before = self.edge.clone();
        let mut kept = Vec::with_capacity(queue.len());
        self.buffer.clear();
        while self.buffer.len() < MAX_BATCH_LEN
            && let Some(pending) = queue.pop_front()
        {
            self.put_record(&pending, now);
            kept.push(pending);
        }
        if mark != Mark::AsPromised && queue.is_empty() {
            self.put_checkpoint(mark == Mark::Closing);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let first = before.tree.size();
        let numbers_before = before.last.number();
        if let Err(error) = self.write(before) {
            // Whoever hears of the failure must find the log poisoned.
            self.shared.lock().is_poisoned |= matches!(error, CommitError::Failed);
            for pending in kept {
                pending.completion.complete(Err(RecordError::new(error.record_error_kind())));
            }
            return Err(error);
        }
        for (pending, sequence) in kept.into_iter().zip(first..) {
            let receipt = AuditReceipt::attest(pending.digest, sequence, Durability::Disk);
            pending.completion.complete(Ok(receipt));
        }
        if self.edge.last.number() > numbers_before {
            self.last_checkpoint = Instant::now();
            self.publish_head()?;
        }
        self.roll()
    }

    fn put_record(&mut self, pending: &Pending, now: compliance_core::clock::Timestamp) {
        let batch = self.batch();
        let sequence = self.edge.tree.size();
        let hash = frame::put(&mut self.buffer, FrameKind::Record, |out| {
            record::encode_head(out, batch, sequence, now);
            out.extend_from_slice(&pending.bytes);
        });
        self.edge.tree.push(hash);
        self.edge.uncovered = self.edge.uncovered.saturating_add(1);
        if self.edge.uncovered >= self.edge.last.every() {
            self.put_checkpoint(false);
        }
    }

    fn put_checkpoint(&mut self, closing: bool) {
        let statement = Statement {
            size: self.edge.tree.size(),
            root: self.edge.tree.root(),
            number: self.edge.last.number().saturating_add(1),
            at: self.clock.now(),
            every: self.config.checkpoint_every,
            closing,
        };
        self.edge.last = self.config.key.sign(statement);
        self.edge.uncovered = 0;
        let batch = self.batch();
        frame::put_checkpoint(&mut self.buffer, batch, self.edge.last.note());
    }

    /// Where the commit being gathered will begin.
    fn batch(&self) -> u32 {
        // Segments are limited far below 4 GiB.
        u32::try_from(self.file.len()).unwrap_or(u32::MAX)
    }

    fn write(&mut self, before: Edge) -> Result<(), CommitError> {
        match self.file.reserve(self.buffer.len()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                self.edge = before;
                return Err(CommitError::Full);
            }
            Err(_) => return Err(CommitError::Failed),
        }
        self.file.append(&self.buffer).map_err(|_| CommitError::Failed)
    }

    /// A full disk keeps the older checkpoint in place, which is still true.
    fn publish_head(&self) -> Result<(), CommitError> {
        match file::write_head(&self.dir, self.edge.last.note()) {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(CommitError::Failed),
            _ => Ok(()),
        }
    }

    /// Closes the segment with a checkpoint and begins the next, once it is long enough. While the disk has
    /// no room for another, it goes on with this one.
    fn roll(&mut self) -> Result<(), CommitError> {
        if self.file.len() < self.config.segment_len || self.edge.tree.size() == self.first {
            return Ok(());
        }
        if self.edge.uncovered > 0 {
            let before = self.edge.clone();
            self.buffer.clear();
            self.put_checkpoint(false);
            match self.write(before) {
                Ok(()) => {}
                Err(CommitError::Full) => return Ok(()),
                Err(CommitError::Failed) => return Err(CommitError::Failed),
            }
            self.last_checkpoint = Instant::now();
            self.publish_head()?;
        }
        self.buffer.clear();
        let Edge { tree, last, .. } = &self.edge;
        Header::put(&mut self.buffer, tree, last, self.config.key.verifying_key());
        let next = match SegmentFile::prepare(&self.dir, &self.buffer, self.config.segment_len) {
            Ok(next) => next,
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(_) => return Err(CommitError::Failed),
        };
        self.file.trim().map_err(|_| CommitError::Failed)?;
        self.first = tree.size();
        self.file = next.install(&self.dir, self.first).map_err(|_| CommitError::Failed)?;
        Ok(())
    }
}

/// Leaves the log poisoned when the writer ends other than by closing, and gives nobody a reason to wait.
struct Poison(Arc<Shared>);

impl Drop for Poison {
    fn drop(&mut self) {
        let (queue, waiting) = {
            let mut state = self.0.lock();
            state.is_poisoned = state.closed.is_none();
            state.is_closing = true;
            (state.take_queue(), std::mem::take(&mut state.checkpoints))
        };
        self.0.notify_room();
        for pending in queue {
            pending.completion.complete(Err(RecordError::new(RecordErrorKind::Poisoned)));
        }
        for sender in waiting {
            drop(sender.try_send(Err(RecordError::new(RecordErrorKind::Poisoned))));
        }
    }
}
