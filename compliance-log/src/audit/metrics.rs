//! What the trail does, as metrics of the `metrics` facade.
//!
//! | metric | kind | labels | |
//! |---|---|---|---|
//! | `audit_events_total` | counter | `class`, `outcome` | events handed over |
//! | `audit_recorded_total` | counter | `class`, `durability` | events recorded |
//! | `audit_unrecorded_total` | counter | `class`, `code` | events that were not: alert on any |
//! | `audit_last_verified_seconds` | gauge | | how long ago the trail was last found whole; infinite when it never was |
//! | `audit_last_verified_timestamp_seconds` | gauge | | when that was, in seconds since the Unix epoch: alert on this where a verifier that hangs must be noticed, for nobody keeps the other up to date then |
//! | `audit_last_checkpoint_timestamp_seconds` | gauge | | when the last checkpoint was signed that a verification found: alert when it stays, heartbeats are missing |
//! | `audit_verify_failures_total` | counter | `code` | verifications that found a fault or could say nothing |
//! | `audit_anchor_failures_total` | counter | `code` | checkpoints that were not anchored, and anchored ones that could not be read: alert on any `anchor.contradicts`, the trail or the anchor has another history |
//!
//! No label holds anything of a user's.

use compliance_core::clock::Timestamp;
use compliance_core::event::{Event, Recording, Sink};
use metrics::{counter, gauge};

use super::anchor::AnchorError;
use super::schedule::VerifySchedule;
use super::verify::VerifyReport;

/// Counts what goes into a sink.
///
/// ```
/// use compliance_core::testing::MemorySink;
/// use compliance_log::audit::metrics::MeteredSink;
///
/// let sink = MeteredSink::new(MemorySink::default());
/// # let _ = sink;
/// ```
#[derive(Clone, Debug)]
pub struct MeteredSink<S> {
    inner: S,
}

impl<S: Sink> MeteredSink<S> {
    /// Counts what goes into `inner`.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner }
    }

    /// The sink itself.
    #[must_use]
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Sink> Sink for MeteredSink<S> {
    fn record(&self, event: Event) -> Recording {
        let class = event.kind().class().as_str();
        counter!("audit_events_total", "class" => class, "outcome" => event.outcome().as_str()).increment(1);
        self.inner.record(event).observe(move |ended| match ended {
            Ok((_, durability)) => {
                counter!("audit_recorded_total", "class" => class, "durability" => durability.to_string())
                    .increment(1);
            }
            Err(error) => {
                counter!("audit_unrecorded_total", "class" => class, "code" => error.code()).increment(1);
            }
        })
    }
}

/// Sets `audit_last_verified_seconds` as of `now`. [`Verifying`](super::schedule::Verifying) does it by itself.
pub fn last_verified(schedule: &VerifySchedule, now: Timestamp) {
    gauge!("audit_last_verified_seconds").set(schedule.seconds_since_verified(now).unwrap_or(f64::INFINITY));
}

pub(super) fn verified(at: Timestamp) {
    let seconds = at.saturating_since(Timestamp::UNIX_EPOCH).as_secs_f64();
    gauge!("audit_last_verified_timestamp_seconds").set(seconds);
}

pub(super) fn anchor_failed(error: AnchorError) {
    counter!("audit_anchor_failures_total", "code" => error.code()).increment(1);
}

/// What a verification found, why it counts as failed, and why there was no anchor to compare with.
pub(super) fn looked(
    report: Option<&VerifyReport>,
    failure: Option<&'static str>,
    unanchored: Option<AnchorError>,
) {
    if let Some(checkpoint) = report.and_then(VerifyReport::checkpoint) {
        let seconds = checkpoint.at().saturating_since(Timestamp::UNIX_EPOCH).as_secs_f64();
        gauge!("audit_last_checkpoint_timestamp_seconds").set(seconds);
    }
    if let Some(code) = failure {
        counter!("audit_verify_failures_total", "code" => code).increment(1);
    }
    if let Some(error) = unanchored {
        anchor_failed(error);
    }
}
