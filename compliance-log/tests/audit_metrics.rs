//! Metrics: every event is counted in and out, and how long ago the trail was verified is told.

mod trail;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, RecordErrorKind, Sink};
use compliance_core::testing::MemorySink;
use compliance_log::audit::VerifyOptions;
use compliance_log::audit::anchor::AnchorError;
use compliance_log::audit::metrics::{MeteredSink, last_verified};
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::schedule::{VerifySchedule, Verifying};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use trail::{Trail, event};

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, f64>>>);

struct One(Kept, String);

impl One {
    fn set(&self, change: impl FnOnce(f64) -> f64) {
        let mut all = self.0.0.lock().unwrap();
        let value = all.entry(self.1.clone()).or_insert(0.0);
        *value = change(*value);
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.set(|so_far| so_far + value as f64);
    }
    fn absolute(&self, value: u64) {
        self.set(|_| value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.set(|so_far| so_far + value);
    }
    fn decrement(&self, value: f64) {
        self.set(|so_far| so_far - value);
    }
    fn set(&self, value: f64) {
        One::set(self, |_| value);
    }
}

impl Kept {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(One(self.clone(), format!("{}{{{}}}", key.name(), labels.join(","))))
    }

    fn all(&self) -> Vec<(String, f64)> {
        self.0.lock().unwrap().clone().into_iter().collect()
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn every_event_is_counted_in_and_out() {
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || {
        let sink = MeteredSink::new(MemorySink::default());
        for number in 0..3 {
            drop(sink.record(event(number)).wait().unwrap());
        }
        sink.inner().fail_with(Some(RecordErrorKind::Full));
        assert_eq!(sink.record(event(3)).wait().unwrap_err().code(), "record.full");
        // Whoever does not wait is counted all the same.
        drop(sink.record(event(4)));
    });
    let all = kept.all();
    let expected = [
        ("audit_events_total{class=data,outcome=passed}", 5.0),
        ("audit_recorded_total{class=data,durability=memory}", 3.0),
        ("audit_unrecorded_total{class=data,code=record.full}", 2.0),
    ];
    assert_eq!(all, expected.map(|(name, count)| (name.to_owned(), count)));
}

/// When the last checkpoint was signed.
fn last_signed(trail: &Trail) -> f64 {
    let at = trail.verify().checkpoint().unwrap().at();
    at.saturating_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

#[test]
fn how_long_ago_the_trail_was_verified_is_told_and_never_is_for_ever() {
    let trail = Trail::new();
    trail.record(20);
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || {
        let clock = ManualClock::at(Timestamp::from_unix_seconds(10));
        let mut schedule = VerifySchedule::new(trail.path(), VerifyOptions::new());
        last_verified(&schedule, Timestamp::UNIX_EPOCH);
        assert_eq!(kept.all(), [("audit_last_verified_seconds{}".to_owned(), f64::INFINITY)]);
        let by = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
        let sink = MemorySink::default();
        assert!(schedule.run(&by, &clock, &sink).unwrap().fault().is_none());
        let later = Timestamp::UNIX_EPOCH.saturating_add(Duration::from_secs(100));
        last_verified(&schedule, later);
        let checkpoint = last_signed(&trail);
        let values: Vec<_> = kept.all().iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [checkpoint, 90.0, 10.0]);
        // A fault does not count as verified, and is counted.
        let path = &trail.segments()[0];
        let mut bytes = std::fs::read(path).unwrap();
        let frames = trail::frames(&bytes);
        bytes[frames[1].0 + 20] ^= 1;
        std::fs::write(path, bytes).unwrap();
        let mut schedule = VerifySchedule::new(trail.path(), VerifyOptions::new());
        assert!(schedule.run(&by, &clock, &sink).unwrap().fault().is_some());
        last_verified(&schedule, later);
    });
    let all: BTreeMap<_, _> = kept.all().into_iter().collect();
    assert_eq!(all["audit_last_verified_seconds{}"], f64::INFINITY);
    assert_eq!(all["audit_verify_failures_total{code=audit.frame_damaged}"], 1.0);
}

/// A commit a crash tore was never acknowledged: what was is whole.
#[test]
fn a_torn_commit_is_no_failure_and_a_missing_anchor_is_one() {
    let trail = Trail::new();
    trail.record(20);
    let last = trail.segments().pop().unwrap();
    trail::forge(&last, 20, &event(20));
    let content = std::fs::read(&last).unwrap();
    std::fs::write(&last, &content[..content.len() - 10]).unwrap();
    let (kept, sink) = (Kept::default(), MemorySink::default());
    let (clock, by) = (
        ManualClock::at(Timestamp::from_unix_seconds(10)),
        Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH),
    );
    metrics::with_local_recorder(&kept, || {
        let mut schedule = VerifySchedule::new(trail.path(), VerifyOptions::new());
        assert!(schedule.run(&by, &clock, &sink).unwrap().fault().is_none());
    });
    let all: Vec<_> = kept.all().into_iter().map(|(name, _)| name).collect();
    assert_eq!(all, ["audit_last_checkpoint_timestamp_seconds{}", "audit_last_verified_timestamp_seconds{}"]);
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || {
        let mut schedule = VerifySchedule::new(trail.path(), VerifyOptions::new())
            .anchored_by(|| Err(AnchorError::Unavailable));
        assert!(schedule.run(&by, &clock, &sink).unwrap().fault().is_none());
    });
    let all: BTreeMap<_, _> = kept.all().into_iter().collect();
    for name in ["audit_anchor_failures_total", "audit_verify_failures_total"] {
        assert_eq!(all[&format!("{name}{{code=anchor.unavailable}}")], 1.0);
    }
    assert!(!all.contains_key("audit_last_verified_timestamp_seconds{}"));
}

#[test]
fn verification_runs_by_itself_until_it_is_dropped() {
    let trail = Trail::new();
    trail.record(20);
    let sink = Arc::new(MemorySink::default());
    let schedule = VerifySchedule::new(trail.path(), VerifyOptions::new());
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    let verifying =
        Verifying::start(schedule, sink.clone(), Actor::System, clock, Duration::from_millis(1)).unwrap();
    // Ends as soon as there were three, however long that takes.
    while sink.events().len() < 3 {
        std::thread::yield_now();
    }
    assert!(verifying.last().unwrap().unwrap().fault().is_none());
    drop(verifying);
    assert_eq!(Arc::strong_count(&sink), 1, "the thread has ended");
    assert!(sink.events().iter().all(|event| event.kind().code() == "system.trail_verified"));
}
