//! Verification that is run. One that nobody runs is no control.

use std::path::PathBuf;
use std::time::Instant;

use compliance_core::clock::{Clock, Timestamp};
use compliance_core::event::Sink;

use super::record::{Circumstances, System};
use super::segment::AuditError;
use super::verify::{VerifyOptions, VerifyReport, verify};
use compliance_core::finding::Outcome;

/// Verifies a trail again and again: all of it at first and then every so many runs, what is new in between. Each run
/// is recorded with its outcome.
///
/// Call [`run`](Self::run) from whatever schedules jobs in the service, and alert on
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
/// # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key), SystemClock)?;
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
#[derive(Debug)]
#[must_use]
pub struct VerifySchedule {
    dir: PathBuf,
    options: VerifyOptions,
    all_every: u32,
    /// Runs since the last one over everything.
    partial_runs: u32,
    last: Option<VerifyReport>,
    verified_at: Option<Timestamp>,
}

impl VerifySchedule {
    /// Verifies the trail in `dir` against key and anchor of `options`.
    pub fn new(dir: impl Into<PathBuf>, options: VerifyOptions) -> Self {
        Self { dir: dir.into(), options, all_every: 24, partial_runs: 0, last: None, verified_at: None }
    }

    /// Reads everything again on every so-many-th run, at least 1; 24 unless stated. Only that finds what was changed
    /// in a segment after it was first verified.
    pub fn all_every(mut self, runs: u32) -> Self {
        self.all_every = runs.max(1);
        self
    }

    /// Verifies now, and records that. A run that finds a fault is followed by one over everything.
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
        let since = self.last.as_ref().filter(|_| self.partial_runs.saturating_add(1) < self.all_every);
        let since = since.and_then(VerifyReport::checkpoint).cloned();
        self.partial_runs = if since.is_some() { self.partial_runs.saturating_add(1) } else { 0 };
        let options = match since {
            Some(checkpoint) => self.options.clone().after(checkpoint),
            None => self.options.clone(),
        };
        let started = Instant::now();
        let report = verify(&self.dir, &options);
        let (outcome, records) =
            report.as_ref().map_or((Outcome::Review, 0), |report| (report.outcome(), report.records()));
        if outcome == Outcome::Passed {
            self.verified_at = Some(clock.now());
            self.last = report.as_ref().ok().cloned();
        } else {
            self.last = None;
        }
        if let Ok(event) = System::trail_verified(by, outcome, records, started.elapsed()).build() {
            drop(sink.record(event));
        }
        report
    }

    /// How long ago the trail was last found whole; `None`: never by this schedule.
    #[must_use]
    pub fn seconds_since_verified(&self, now: Timestamp) -> Option<f64> {
        self.verified_at.map(|at| now.saturating_since(at).as_secs_f64())
    }
}
