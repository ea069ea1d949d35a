//! Verification that is run. One that nobody runs is no control.

use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use compliance_core::clock::{Clock, Timestamp};
use compliance_core::event::{Actor, Sink};

use super::anchor::AnchorError;
use super::checkpoint::CheckpointNote;
use super::record::{Circumstances, System};
use super::segment::AuditError;
use super::verify::{VerifyOptions, VerifyReport, verify};
use compliance_core::finding::Outcome;

type Latest = Box<dyn FnMut() -> Result<Option<CheckpointNote>, AnchorError> + Send>;

/// Verifies a trail again and again: all of it at first and then every so many runs, what is new in between. Each run
/// is recorded with its outcome.
///
/// Call [`run`](Self::run) from whatever schedules jobs in the service, or leave it to [`Verifying`], and alert on
/// [`seconds_since_verified`](Self::seconds_since_verified), which metrics call `audit_last_verified_seconds`.
///
/// ```
/// # use compliance_core::clock::{Clock, SystemClock};
/// # use compliance_core::event::Actor;
/// # use compliance_core::random::SystemRandom;
/// # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
/// use compliance_log::audit::VerifyOptions;
/// use compliance_log::audit::record::Circumstances;
/// use compliance_log::audit::schedule::VerifySchedule;
///
/// # let dir = tempfile::tempdir()?;
/// # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
/// let options = VerifyOptions::new().key(log.verifying_key().clone());
/// let mut schedule = VerifySchedule::new(log.dir(), options).all_every(24);
/// assert_eq!(schedule.seconds_since_verified(SystemClock.now()), None);
///
/// let by = Circumstances::new(Actor::System, SystemClock.now());
/// let report = schedule.run(&by, &SystemClock, &log)?;
/// assert!(report.fault().is_none());
/// assert!(schedule.seconds_since_verified(SystemClock.now()).is_some_and(|seconds| seconds < 60.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct VerifySchedule {
    dir: PathBuf,
    options: VerifyOptions,
    latest: Option<Latest>,
    /// The highest anchored checkpoint that was heard of.
    anchor: Option<CheckpointNote>,
    /// The number of the one the trail was last found to agree with.
    compared: Option<u64>,
    all_every: u32,
    /// Runs since the last one over everything.
    partial_runs: u32,
    last: Option<VerifyReport>,
    verified_at: Option<Timestamp>,
}

impl VerifySchedule {
    /// Verifies the trail in `dir` against key and anchor of `options`.
    pub fn new(dir: impl Into<PathBuf>, options: VerifyOptions) -> Self {
        Self {
            dir: dir.into(),
            latest: None,
            anchor: options.given_anchor().cloned(),
            options,
            compared: None,
            all_every: 24,
            partial_runs: 0,
            last: None,
            verified_at: None,
        }
    }

    /// Compares the trail with the latest anchored checkpoint, which is asked for before each run:
    /// [`FileAnchor::latest`](super::anchor::FileAnchor::latest), `S3Anchor::latest`, or what a witness answers. Of that, the
    /// one of `options` and those of earlier runs, the highest counts. Where a checkpoint comes from before what was
    /// verified last and was not compared yet, everything is read. When none can be had, the run is a review, and does not
    /// count as verified.
    ///
    /// # Security
    /// Without this, anchors are kept and nobody looks at them: a trail that was rewritten with its own key goes on
    /// verifying.
    pub fn anchored_by(
        mut self,
        latest: impl FnMut() -> Result<Option<CheckpointNote>, AnchorError> + Send + 'static,
    ) -> Self {
        self.latest = Some(Box::new(latest));
        self
    }

    /// Reads everything again on every so-many-th run, at least 1; 24 unless stated. Only that finds what was changed
    /// in a segment after it was first verified.
    pub fn all_every(mut self, runs: u32) -> Self {
        self.all_every = runs.max(1);
        self
    }

    /// Verifies now, and records that. A run that finds a fault is followed by one over everything. A commit that is under
    /// way is waited for; one that a crash tore is a review and no failure, for nothing in it was acknowledged.
    ///
    /// # Errors
    /// [`AuditError`] when nothing could be said; that is recorded too, as a review. Whether the record was written is
    /// not waited for: a trail that takes no record must still be verified.
    pub fn run(
        &mut self,
        by: &Circumstances,
        clock: &dyn Clock,
        sink: &dyn Sink,
    ) -> Result<VerifyReport, AuditError> {
        let latest = self.latest.as_mut().map_or(Ok(None), |latest| latest());
        let unanchored = latest.as_ref().err().copied();
        // One that was rolled back does not get by, nor another of the same number: of those the last one counts.
        let known = latest.ok().flatten().into_iter().chain(self.anchor.clone());
        let anchor = known.max_by_key(|anchor| anchor.statement().number);
        let mut options = self.options.clone().patient();
        if let Some(anchor) = &anchor {
            options = options.anchor(anchor.clone());
        }
        let is_partial = self.partial_runs.saturating_add(1) < self.all_every;
        let since = self.last.as_ref().filter(|last| is_partial && self.meets(anchor.as_ref(), last));
        options = since.map_or(options.clone(), |last| options.after(last));
        self.partial_runs = if since.is_some() { self.partial_runs.saturating_add(1) } else { 0 };
        let started = Instant::now();
        let report = verify(&self.dir, &options);
        let (mut outcome, records) =
            report.as_ref().map_or((Outcome::Review, 0), |report| (report.outcome(), report.records()));
        let failure = match &report {
            Ok(report) if report.is_whole() => unanchored.map(|error| error.code()),
            Ok(report) => Some(report.fault().map_or("audit.truncated", |fault| fault.kind().code())),
            Err(error) => Some(error.code()),
        };
        #[cfg(feature = "metrics")]
        super::metrics::looked(report.as_ref().ok(), failure, unanchored);
        if let (Some(anchor), Ok(report)) = (anchor, &report)
            && self.is_genuine(&anchor, report)
        {
            self.anchor = Some(anchor);
        }
        self.last = report.as_ref().ok().filter(|report| report.is_whole()).cloned();
        if self.last.is_some() {
            self.compared = self.anchor.as_ref().map(|anchor| anchor.statement().number);
        }
        if failure.is_none() {
            let now = clock.now();
            self.verified_at = Some(now);
            #[cfg(feature = "metrics")]
            super::metrics::verified(now);
        } else if outcome == Outcome::Passed {
            outcome = Outcome::Review;
        }
        if let Ok(event) = System::trail_verified(by, outcome, records, started.elapsed()).build() {
            drop(sink.record(event));
        }
        report
    }

    /// Whether the given key signed it, or one that the trail vouches for. What nobody did is not kept.
    fn is_genuine(&self, anchor: &CheckpointNote, report: &VerifyReport) -> bool {
        let vouched = if report.fault().is_none() { report.keys() } else { &[] };
        self.options.given_key().into_iter().chain(vouched).any(|key| anchor.verify(key).is_ok())
    }

    /// Whether a run that goes on from there meets the anchored checkpoint, or an earlier one has met it.
    fn meets(&self, anchor: Option<&CheckpointNote>, last: &VerifyReport) -> bool {
        let Some(anchor) = anchor else { return true };
        let number = anchor.statement().number;
        self.compared == Some(number)
            || last.checkpoint().is_some_and(|checkpoint| number >= checkpoint.number())
    }

    /// How long ago the trail was last found whole; `None`: never by this schedule.
    #[must_use]
    pub fn seconds_since_verified(&self, now: Timestamp) -> Option<f64> {
        self.verified_at.map(|at| now.saturating_since(at).as_secs_f64())
    }
}

impl fmt::Debug for VerifySchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dir, options, all_every, verified_at, .. } = self;
        f.debug_struct("VerifySchedule")
            .field("dir", dir)
            .field("options", options)
            .field("all_every", all_every)
            .field("verified_at", verified_at)
            .finish_non_exhaustive()
    }
}

/// A [`VerifySchedule`] on a thread of its own, which runs it at an interval and, with the feature `metrics`, keeps
/// `audit_last_verified_seconds` up to date in between. Dropping it ends the thread.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use compliance_core::clock::SystemClock;
/// # use compliance_core::event::Actor;
/// # use compliance_core::random::SystemRandom;
/// # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
/// use compliance_log::audit::VerifyOptions;
/// use compliance_log::audit::schedule::{Verifying, VerifySchedule};
///
/// # let dir = tempfile::tempdir()?;
/// # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
/// let log = Arc::new(log);
/// let schedule = VerifySchedule::new(log.dir(), VerifyOptions::new().key(log.verifying_key().clone()));
/// let verifying = Verifying::start(schedule, log.clone(), Actor::System, SystemClock, Duration::from_secs(3600))?;
/// # let _ = verifying.last();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Verifying {
    last: Arc<Mutex<Option<Result<VerifyReport, AuditError>>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How often the gauge is set between two runs.
const TICK: Duration = Duration::from_secs(10);

impl Verifying {
    /// Begins with a run, then one at each interval. Each is recorded in `sink` as by `actor`.
    ///
    /// # Errors
    /// [`AuditError`] `audit.io` when there is no thread to be had.
    pub fn start(
        mut schedule: VerifySchedule,
        sink: impl Sink + 'static,
        actor: Actor,
        clock: impl Clock + 'static,
        every: Duration,
    ) -> Result<Self, AuditError> {
        let last = Arc::<Mutex<Option<_>>>::default();
        let (stop, stopped) = channel();
        let thread_last = Arc::clone(&last);
        let work = move || {
            loop {
                let by = Circumstances::new(actor.clone(), clock.now());
                let report = schedule.run(&by, &clock, &sink);
                *lock(&thread_last) = Some(report);
                let begun = Instant::now();
                loop {
                    #[cfg(feature = "metrics")]
                    super::metrics::last_verified(&schedule, clock.now());
                    let left = every.saturating_sub(begun.elapsed());
                    if left.is_zero() {
                        break;
                    }
                    if !matches!(stopped.recv_timeout(left.min(TICK)), Err(RecvTimeoutError::Timeout)) {
                        return;
                    }
                }
            }
        };
        let thread = thread::Builder::new()
            .name("audit-verify".to_owned())
            .spawn(work)
            .map_err(|error| AuditError::io("start the verifier", &error))?;
        Ok(Self { last, stop: Some(stop), thread: Some(thread) })
    }

    /// What the last run found; `None` before the first has ended.
    #[must_use]
    pub fn last(&self) -> Option<Result<VerifyReport, AuditError>> {
        lock(&self.last).clone()
    }
}

fn lock<T>(last: &Mutex<T>) -> MutexGuard<'_, T> {
    // Set in one step; a panic leaves the older one.
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Verifying {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Verifying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifying").finish_non_exhaustive()
    }
}
