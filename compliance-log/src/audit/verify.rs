//! Reads a whole trail back and says how much of it holds, and against whom.
//!
//! Two questions are answered apart. *Integrity*: is every record what was written? A [`Fault`] names the
//! first that is not. *Completeness*: is the end there? ([`Completeness`]). The [`Verdict`] puts both into one
//! word, and says no more than what was proven:
//!
//! | given | a whole trail is called |
//! |---|---|
//! | nothing, or only one of the two | `tamper-detecting`: accidents show, and changes by whoever lacks the key |
//! | a key and an anchor from before all that is left (the rest was retired) | `tamper-detecting` |
//! | the verifying key and an anchored checkpoint, both from outside the directory | `tamper-evident since checkpoint N`: the first N records are the ones the anchor was made over, whoever has the directory and the key since |

use std::fmt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use compliance_core::finding::Outcome;

use super::checkpoint::{CheckpointError, CheckpointNote, SignedCheckpoint, Statement, VerifyingKey};
use super::fault::{Fault, FaultKind, Position};
use super::record::{RecordFormError, RecordHead};
pub use super::segment::Gap;
use super::segment::{self, AuditError, AuditErrorKind, Chain, Damage, FrameReader, Step};
use super::tree::TreeHash;

/// What to verify a trail against. Without anything, it is verified against the key it names itself.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct VerifyOptions {
    key: Option<VerifyingKey>,
    anchor: Option<CheckpointNote>,
    after: Option<After>,
    reads_events: bool,
    is_patient: bool,
}

/// Where an earlier run ended.
#[derive(Clone, Debug)]
struct After {
    checkpoint: SignedCheckpoint,
    keys: Vec<VerifyingKey>,
}

impl VerifyOptions {
    /// Neither key nor anchor.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key from outside the directory.
    pub fn key(mut self, key: VerifyingKey) -> Self {
        self.key = Some(key);
        self
    }

    /// A checkpoint that was kept where the trail's writer cannot change it. Signed by the given key or by another that
    /// the trail was written under: each of those vouches for the next.
    pub fn anchor(mut self, anchor: CheckpointNote) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// Verifies only what came after the last checkpoint that an earlier run verified: segments that end before it are
    /// not read again. That the trail still has the root it had then is checked, and so is everything from the segment
    /// on in which that checkpoint lies; that it goes on under the key it had then, too. Where that segment was retired
    /// meanwhile, everything is read. A report with a fault, or of a truncated trail, counts for nothing.
    pub fn after(mut self, verified: &VerifyReport) -> Self {
        self.after = verified.checkpoint.clone().filter(|_| verified.is_whole()).map(|checkpoint| {
            let keys = verified.keys.clone();
            After { checkpoint, keys }
        });
        self
    }

    pub(super) fn given_key(&self) -> Option<&VerifyingKey> {
        self.key.as_ref()
    }

    pub(super) fn given_anchor(&self) -> Option<&CheckpointNote> {
        self.anchor.as_ref()
    }

    /// Waits a little for a commit that is under way at the end.
    pub(super) fn patient(mut self) -> Self {
        self.is_patient = true;
        self
    }

    /// Also reads every event as an event, not only as bytes that were hashed. Takes about three times as
    /// long, and finds what only a faulty writer can have made.
    pub fn read_events(mut self) -> Self {
        self.reads_events = true;
        self
    }
}

/// The outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where a broken trail passes for whole")]
pub enum Verdict {
    /// Some record is not what was written.
    Tampered,
    /// Whole, and every change would show to whoever did not make it with the trail's own key.
    TamperDetecting,
    /// Whole, and the same as when the anchored checkpoint was made.
    TamperEvident {
        /// Records the anchored checkpoint covers.
        since: u64,
    },
    /// What is there is what was written, but the end is gone.
    Truncated,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tampered => f.write_str("tampered"),
            Self::TamperDetecting => f.write_str("tamper-detecting"),
            Self::TamperEvident { since } => write!(f, "tamper-evident since checkpoint {since}"),
            Self::Truncated => f.write_str("truncated"),
        }
    }
}

/// Whether the end of a trail is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where a truncated trail passes for whole")]
pub enum Completeness {
    /// The writer closed the trail; its last checkpoint says so and covers every record.
    Closed,
    /// The trail ends with a whole commit but was not closed: it is being written, or the writer was killed,
    /// or the end was cut where no checkpoint known here says so.
    Open {
        /// Records behind the last checkpoint, which no signature covers.
        uncovered: u64,
    },
    /// The trail ends within a commit: it is being written, or a crash tore it. Nothing torn was
    /// acknowledged; opening the trail cuts it.
    Torn {
        /// Bytes of the torn commit.
        bytes: u64,
        /// Whole records behind the last checkpoint, which no signature covers.
        uncovered: u64,
    },
    /// A checkpoint speaks of more records than there are.
    Truncated {
        /// Records that checkpoint covers.
        expected: u64,
    },
}

/// What verifying a trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct VerifyReport {
    verdict: Verdict,
    records: u64,
    first: u64,
    segments: u64,
    fault: Option<Fault>,
    completeness: Completeness,
    checkpoint: Option<SignedCheckpoint>,
    longest_gap: Option<Gap>,
    recovered: u64,
    keys: Vec<VerifyingKey>,
}

impl VerifyReport {
    /// The outcome in one word.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Records that were read and hold, before the first fault if there is one.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The first record that was read; more than 0 when those before it were retired, as the trail itself says, or had
    /// been verified by an earlier run.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Segments that were read.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// The first fault. `None`: every record there is is what was written.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// Whether the end is there, as far as was read.
    pub fn completeness(&self) -> Completeness {
        self.completeness
    }

    /// The last checkpoint that holds.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.checkpoint.as_ref()
    }

    /// The keys the trail was written under, oldest first, as far as this run and those it goes on from have read. Each
    /// signed the change to the next: what one of them vouches for, all do.
    #[must_use]
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// An error unless every record there is is what was written, and no checkpoint speaks of more.
    pub(super) fn whole(&self) -> Result<(), AuditError> {
        match (&self.fault, self.completeness) {
            (Some(fault), _) => Err((*fault).into()),
            (None, Completeness::Truncated { expected }) => {
                Err(AuditError::truncated(self.records, expected))
            }
            (None, _) => Ok(()),
        }
    }

    /// Whether every record there is is what was written, and no checkpoint speaks of more.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.verdict, Verdict::TamperDetecting | Verdict::TamperEvident { .. })
    }

    /// How many of the records that were read a writer did not write but [found](SignedCheckpoint::is_recovery) when it
    /// opened the trail, behind the last checkpoint of one that was killed. They are the same since; before, whoever could
    /// write the directory can have altered, cut or added them. 0 where every writer closed the trail.
    #[must_use]
    pub fn recovered(&self) -> u64 {
        self.recovered
    }

    /// The longest time without a checkpoint in what was read, or the one that is longest overdue if any is. Checkpoints
    /// are made at an interval also when nothing happens, and state it: an overdue one means that nothing was recorded
    /// although the trail was open. No verdict depends on it; whether the service was down then, you know.
    #[must_use]
    pub fn longest_gap(&self) -> Option<Gap> {
        self.longest_gap
    }

    /// [`Passed`](Outcome::Passed) when the trail is whole, [`Review`](Outcome::Review) when it ends within a
    /// commit, [`Refused`](Outcome::Refused) when it is tampered with or truncated.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match (self.verdict, self.completeness) {
            (Verdict::Tampered | Verdict::Truncated, _) => Outcome::Refused,
            (_, Completeness::Torn { .. }) => Outcome::Review,
            (Verdict::TamperDetecting | Verdict::TamperEvident { .. }, _) => Outcome::Passed,
        }
    }
}

/// Verifies the trail in `dir`: every byte of every record, every checkpoint, every number; that it grew from
/// the anchor, if one is given, and from the checkpoint beside the segments.
///
/// Streams in bounded memory. The trail may be open for writing meanwhile: what is being written is looked at again, and
/// shows as [`Completeness::Torn`] only where it does not get on. Nothing is changed.
///
/// ```
/// use compliance_core::{clock::SystemClock, random::SystemRandom};
/// use compliance_log::audit::checkpoint::CheckpointNote;
/// use compliance_log::audit::verify::{VerifyOptions, verify};
/// use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
///
/// let dir = tempfile::tempdir()?;
/// let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// let config = AuditConfig::new(key);
/// # let config = config.on_any_storage();
/// let (log, _) = AuditLog::open(dir.path(), config, SystemClock)?;
/// // Both leave the machine.
/// let key = log.verifying_key().clone();
/// let anchor = log.close()?.to_string();
///
/// let options = VerifyOptions::new().key(key).anchor(CheckpointNote::parse(&anchor)?);
/// assert_eq!(verify(dir.path(), &options)?.verdict().to_string(), "tamper-evident since checkpoint 0");
/// assert_eq!(verify(dir.path(), &VerifyOptions::new())?.verdict().to_string(), "tamper-detecting");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`AuditError`] when nothing could be said: `audit.io`; `audit.no_trail` when there is none and no
/// checkpoint says there was; `audit.anchor` when neither the key nor another that the trail was written under signed
/// the anchor. A bad trail is not an error but a report.
///
/// # Security
/// Take key and anchor from where the trail's writer cannot write. Records behind the anchored checkpoint are
/// bound by the trail's own signatures alone, those behind its last checkpoint by nothing; the last
/// checkpoint states how many of those there may be at most.
///
/// After a rotation hand the new key to whoever verifies. Whoever stole an old one can fork the trail from any place
/// before the rotation on, and go on under a third key: to a verifier who knows only the old key, and has no anchor from
/// after that place, the fork is as good as the trail. Under the new key it is another's.
pub fn verify(dir: impl AsRef<Path>, options: &VerifyOptions) -> Result<VerifyReport, AuditError> {
    let mut read_event = |record: &RecordHead<'_>, _| record.event().and(record.recorded_at()).map(drop);
    run(dir.as_ref(), options, options.reads_events.then_some(&mut read_event))
}

/// The same over everything there is, and gives each record out as it is read. What was made of them counts only when
/// the trail turns out to be whole: an error otherwise.
pub(super) fn verify_each<'a>(
    dir: &Path,
    options: &VerifyOptions,
    visit: &'a mut Visit<'a>,
) -> Result<(), AuditError> {
    run(dir, &VerifyOptions { after: None, ..options.clone() }, Some(visit))?.whole()
}

/// Told each record and its leaf.
type Visit<'a> = dyn FnMut(&RecordHead<'_>, TreeHash) -> Result<(), RecordFormError> + 'a;

fn run<'a>(
    dir: &Path,
    options: &VerifyOptions,
    visit: Option<&'a mut Visit<'a>>,
) -> Result<VerifyReport, AuditError> {
    // In this order: what a writer adds meanwhile makes the trail longer than its checkpoint, never shorter.
    let head = match segment::head(dir) {
        Err(error) if matches!(error.kind(), AuditErrorKind::Io { .. }) => return Err(error),
        head => head,
    };
    let mut segments = segment::segments(dir).map_err(|error| AuditError::io("list the segments", &error))?;
    // Where not even the beginning of what came after is left, everything is read that is.
    let after = options
        .after
        .as_ref()
        .filter(|after| segments.first().is_some_and(|(lowest, _)| *lowest <= after.checkpoint.size()));
    if let Some(after) = after {
        // The last segment that begins before it holds it, and is under the key the earlier run ended with.
        let skipped = segments.partition_point(|(name, _)| *name < after.checkpoint.size()).saturating_sub(1);
        segments.drain(..skipped);
    }
    // Whether what was before was retired, the trail must say itself, or an earlier run has seen it.
    let first = segments.first().map_or(0, |(name, _)| *name);
    let is_incremental = after.is_some();
    let keys = after.map_or(Vec::new(), |after| after.keys.clone());
    let anchored = options.anchor.as_ref().map(|anchor| anchor.statement().size);
    let mut run = Run {
        anchor: Witness::new(options.anchor.as_ref().map(CheckpointNote::statement)),
        head: Witness::new(head.as_ref().ok().and_then(Option::as_ref).map(CheckpointNote::statement)),
        after: Witness::new(options.after.as_ref().map(|after| after.checkpoint.statement())),
        first,
        first_number: 0,
        keys,
        chain: None,
        segments: 0,
        completeness: Completeness::Open { uncovered: 0 },
        visit,
        is_patient: options.is_patient,
    };
    if segments.is_empty() && run.anchor.statement.is_none() && matches!(head, Ok(None)) {
        return Err(AuditError::no_trail());
    }
    let fault = match run.read(&segments) {
        Ok(()) if !is_incremental && first > run.retired_before() => {
            let position = Position { sequence: run.retired_before(), segment: first, offset: 0 };
            Some(Fault::new(FaultKind::SegmentMissing, position))
        }
        Ok(()) if options.key.as_ref().is_some_and(|key| run.is_not_under(key)) => {
            Some(Fault::new(FaultKind::OtherKey, Position { segment: first, sequence: first, offset: 0 }))
        }
        Ok(()) => {
            if let (Some(key), Some(anchor)) = (&options.key, &options.anchor) {
                run.check_signer(anchor, key).map_err(AuditError::anchor)?;
            }
            run.compare(head).err()
        }
        Err(Stop::Fault(fault)) => Some(fault),
        Err(Stop::Error(error)) => return Err(error),
    };
    let (records, checkpoint) =
        run.chain.as_ref().map_or((0, None), |chain| (chain.tree().size(), Some(chain.last().clone())));
    let expected = run.anchor.size().max(run.head.size()).max(run.after.size());
    let is_truncated = fault.is_none() && expected > records;
    if is_truncated {
        run.completeness = Completeness::Truncated { expected };
    }
    let verdict = match (&options.key, anchored) {
        _ if fault.is_some() => Verdict::Tampered,
        _ if is_truncated => Verdict::Truncated,
        // An anchor from before what was read says nothing about it by itself; the earlier run did.
        (Some(_), Some(since)) if since >= first => Verdict::TamperEvident { since },
        _ => Verdict::TamperDetecting,
    };
    let (segments, completeness) = (run.segments, run.completeness);
    let longest_gap = run.chain.as_ref().and_then(Chain::longest_gap);
    let recovered = run.chain.as_ref().map_or(0, Chain::recovered);
    let keys = run.keys;
    Ok(VerifyReport {
        verdict,
        records,
        first,
        segments,
        fault,
        completeness,
        checkpoint,
        longest_gap,
        recovered,
        keys,
    })
}

enum Stop {
    Fault(Fault),
    Error(AuditError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Error(AuditError::io("read a segment", &error))
    }
}

/// A checkpoint from beside or outside the trail, looked for in it.
struct Witness {
    statement: Option<Statement>,
    contradicts: bool,
    is_found: bool,
}

impl Witness {
    fn new(statement: Option<&Statement>) -> Self {
        Self { statement: statement.copied(), contradicts: false, is_found: statement.is_none() }
    }

    fn look(&mut self, chain: &Chain) {
        let Some(stated) = &self.statement else { return };
        let found = chain.last().statement();
        if stated.number == found.number {
            self.is_found = true;
            self.contradicts |= stated != found;
        }
        if stated.size == chain.tree().size() && !self.contradicts {
            self.contradicts = stated.root != chain.tree().root();
        }
    }

    fn size(&self) -> u64 {
        self.statement.map_or(0, |statement| statement.size)
    }

    /// Whether it should have been met in what was read: it lies behind the first checkpoint read.
    fn is_missing(&self, chain: &Chain, first_number: u64) -> bool {
        let number = self.statement.map_or(0, |statement| statement.number);
        !self.is_found && number >= first_number && self.size() <= chain.tree().size()
    }
}

struct Run<'a> {
    anchor: Witness,
    head: Witness,
    after: Witness,
    /// The record the first segment that is read must begin with.
    first: u64,
    /// The number of the checkpoint it begins with.
    first_number: u64,
    /// Those the trail was written under, each of which vouches for the others.
    keys: Vec<VerifyingKey>,
    chain: Option<Chain>,
    segments: u64,
    completeness: Completeness,
    visit: Option<&'a mut Visit<'a>>,
    is_patient: bool,
}

/// How often a commit that seems to be under way is looked at.
const LOOKS: u32 = 8;

/// How long in between, where it is waited for.
const PAUSE: Duration = Duration::from_millis(20);

impl Run<'_> {
    fn is_not_under(&self, key: &VerifyingKey) -> bool {
        self.chain.is_some() && !self.keys.contains(key)
    }

    /// Whether the given key signed the anchor, or one that it vouches for.
    fn check_signer(&self, anchor: &CheckpointNote, key: &VerifyingKey) -> Result<(), CheckpointError> {
        match anchor.verify(key) {
            Err(_) if self.keys.iter().any(|other| anchor.verify(other).is_ok()) => Ok(()),
            signed => signed.map(|_| ()),
        }
    }

    fn retired_before(&self) -> u64 {
        self.chain.as_ref().map_or(0, Chain::retired_before)
    }

    fn read(&mut self, segments: &[(u64, PathBuf)]) -> Result<(), Stop> {
        let mut segments = segments.iter().peekable();
        while let Some((name, path)) = segments.next() {
            self.read_segment(path, *name, segments.peek().is_none())?;
            self.segments = self.segments.saturating_add(1);
        }
        Ok(())
    }

    fn read_segment(&mut self, path: &Path, name: u64, is_last: bool) -> Result<(), Stop> {
        let mut reader = FrameReader::open(path)?;
        let next = self.chain.as_ref().map_or(self.first, |chain| chain.tree().size());
        let position = |offset| Position { sequence: next, segment: name, offset };
        if name > next {
            return Err(Fault::new(FaultKind::SegmentMissing, position(0)).into());
        }
        let mut chain = match reader.step()? {
            Step::Frame(frame) => match self.chain.take() {
                None => {
                    // An earlier run ended under this key.
                    let chain = Chain::begin(&frame, name, self.keys.last())?;
                    self.first_number = chain.last().number();
                    chain
                }
                Some(chain) => {
                    // Kept for the report even where the next segment does not go on with it.
                    let chain = self.chain.insert(chain);
                    chain.continue_with(&frame, name)?;
                    chain.clone()
                }
            },
            Step::End { offset, .. } | Step::Damaged { offset } => {
                return Err(Fault::new(FaultKind::FrameDamaged, position(offset)).into());
            }
        };
        if self.keys.last() != Some(chain.key()) {
            self.keys.push(chain.key().clone());
        }
        let read = self.read_frames(&mut reader, &mut chain, is_last);
        self.chain = Some(chain);
        read
    }

    fn read_frames(
        &mut self,
        reader: &mut FrameReader,
        chain: &mut Chain,
        is_last: bool,
    ) -> Result<(), Stop> {
        let (mut looks, mut torn) = (0_u32, None);
        loop {
            self.anchor.look(chain);
            self.head.look(chain);
            self.after.look(chain);
            let (offset, damage) = match reader.step()? {
                Step::Frame(frame) => {
                    let Some(record) = chain.take(&frame)? else { continue };
                    if let Some(visit) = &mut self.visit
                        && visit(&record, frame.hash).is_err()
                    {
                        return Err(chain.fault(FaultKind::RecordForm, frame.offset).into());
                    }
                    continue;
                }
                Step::End { offset, file_len } if !is_last && file_len > offset => {
                    return Err(chain.fault(FaultKind::SegmentTrailing, offset).into());
                }
                Step::End { .. } => {
                    let uncovered = chain.uncovered();
                    let is_closed = uncovered == 0 && chain.last().is_closing();
                    self.completeness =
                        if is_closed { Completeness::Closed } else { Completeness::Open { uncovered } };
                    return Ok(());
                }
                Step::Damaged { offset } => (offset, reader.judge(offset)?),
            };
            match damage {
                Damage::Passing => {}
                // What a crash tore stays as it is; what is being written gets on.
                Damage::Torn { bytes }
                    if is_last && looks < LOOKS && (self.is_patient || torn != Some((offset, bytes))) =>
                {
                    if self.is_patient {
                        thread::sleep(PAUSE);
                    }
                    (looks, torn) = (looks.saturating_add(1), Some((offset, bytes)));
                    reader.reread(offset)?;
                }
                Damage::Torn { bytes } if is_last => {
                    self.completeness = Completeness::Torn { bytes, uncovered: chain.uncovered() };
                    return Ok(());
                }
                Damage::Torn { .. } | Damage::Tampered => {
                    return Err(chain.fault(FaultKind::FrameDamaged, offset).into());
                }
            }
        }
    }

    /// Compares with the checkpoints from outside and beside the trail. Where they contradict it, nothing
    /// in it is proven, from the first record on.
    fn compare(&self, head: Result<Option<CheckpointNote>, AuditError>) -> Result<(), Fault> {
        let unproven = |kind| Err(Fault::new(kind, Position::default()));
        let Some(chain) = &self.chain else {
            return if head.is_ok() { Ok(()) } else { unproven(FaultKind::HeadForm) };
        };
        if self.anchor.contradicts || self.after.contradicts {
            return unproven(FaultKind::Anchor);
        }
        match head {
            Ok(None) => {}
            Ok(Some(head)) if head.verify(chain.key()).is_ok() => {}
            Ok(Some(_)) | Err(_) => return Err(chain.fault(FaultKind::HeadForm, 0)),
        }
        if self.head.contradicts {
            return unproven(FaultKind::Head);
        }
        for witness in [&self.anchor, &self.head, &self.after] {
            if witness.is_missing(chain, self.first_number) {
                return Err(chain.fault(FaultKind::CheckpointGone, 0));
            }
        }
        Ok(())
    }
}
