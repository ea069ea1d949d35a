use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Actor, Event, EventKind, Recording, Sink};
use crate::class::Internal;
use crate::clock::Timestamp;
use crate::finding::Outcome;

/// What becomes of the passes of checks. Refusals, reviews and every other event are always recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassPolicy {
    /// Passes are counted per reason code; one event with the counts is recorded when `window` has gone by.
    Aggregate {
        /// How long passes are counted before the count is recorded.
        window: Duration,
    },
    /// Each pass is recorded.
    Each,
    /// The first of every `one_in` passes of a reason code is recorded.
    Sample {
        /// The size of the group one pass stands for.
        one_in: NonZeroU32,
    },
}

impl Default for PassPolicy {
    /// Aggregate over a minute: the trail shows that the check ran, at no cost per request.
    fn default() -> Self {
        Self::Aggregate { window: Duration::from_secs(60) }
    }
}

/// How many failures of people nobody knows are recorded each before the rest is counted: what keeps a flood of
/// failed logins from filling the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePolicy {
    each: u32,
    window: Duration,
}

impl FailurePolicy {
    /// Per kind and reason code, the first `each` in every `window` are recorded; of the further ones how many there
    /// were. A window begins with its first failure.
    #[must_use]
    pub const fn new(each: u32, window: Duration) -> Self {
        Self { each, window }
    }
}

/// What a [`Recorder`] did with an event.
#[derive(Debug)]
#[must_use = "whether the event was recorded is known only to who awaits the recording"]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where a recording is lost")]
pub enum Recorded {
    /// A pass or an anonymous failure that is counted or left to its group's sample.
    Counted,
    /// Handed to the sink.
    Sent(Recording),
}

/// Stands before a sink and spares it the flood of passes.
///
/// Only events of kind [`EventKind::CheckDecided`] whose outcome is [`Outcome::Passed`] are aggregated or
/// sampled, and, with [`limit_failures`](Self::limit_failures), refusals of [`Actor::Anonymous`] of every other kind: a
/// check's refusals and reviews reach the sink each. Counts of passes are flushed by the next pass after their window,
/// counts of failures by the next event of any kind, both on [`flush`](Self::flush) and on drop.
///
#[cfg_attr(feature = "testing", doc = "```")]
#[cfg_attr(not(feature = "testing"), doc = "```ignore")]
/// use compliance_core::event::{Actor, Event, EventKind, PassPolicy, Recorded, Recorder};
/// use compliance_core::finding::Outcome;
/// use compliance_core::testing::MemorySink;
///
/// let sink = MemorySink::default();
/// let recorder = Recorder::new(&sink, PassPolicy::default());
/// let now = "2026-11-21T12:00:00Z".parse()?;
/// let check = |outcome| Event::builder(EventKind::CheckDecided, outcome, Actor::Anonymous, now).build();
/// assert!(matches!(recorder.record(check(Outcome::Passed)?), Recorded::Counted));
/// assert!(matches!(recorder.record(check(Outcome::Refused)?), Recorded::Sent(_)));
/// recorder.flush(now);
/// assert_eq!(sink.events().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recorder<S: Sink> {
    sink: S,
    passes: PassPolicy,
    failures: Option<FailurePolicy>,
    tallies: Mutex<BTreeMap<Box<str>, Tally>>,
    floods: Mutex<Floods>,
    unheard: Mutex<Vec<Unheard>>,
}

/// A count on its way.
#[derive(Debug)]
struct Unheard {
    kind: &'static str,
    code: Box<str>,
    counted: u32,
    until: Timestamp,
    recording: Recording,
}

/// By kind and code.
type Floods = BTreeMap<(&'static str, Box<str>), Tally>;

#[derive(Clone, Copy, Debug)]
struct Tally {
    count: u32,
    /// Counted in earlier windows, which could not be recorded.
    owed: u32,
    from: Timestamp,
    until: Timestamp,
}

impl Tally {
    fn begun(at: Timestamp) -> Self {
        Self { count: 0, owed: 0, from: at, until: at }
    }
}

impl<S: Sink> Recorder<S> {
    /// The most reason codes counted at a time; passes of further ones are recorded each.
    pub const MAX_CODES: usize = 256;

    /// Stands before `sink`.
    pub fn new(sink: S, passes: PassPolicy) -> Self {
        Self {
            sink,
            passes,
            failures: None,
            tallies: Mutex::default(),
            floods: Mutex::default(),
            unheard: Mutex::default(),
        }
    }

    /// Counts the failures of people nobody knows beyond so many. Without this, each is recorded. What a check
    /// decided ([`EventKind::CheckDecided`]) is recorded each in any case: the check's answer waits for it.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use compliance_core::event::{Actor, Event, EventKind, FailurePolicy, PassPolicy, Recorder};
    /// use compliance_core::finding::Outcome;
    /// use compliance_core::testing::MemorySink;
    ///
    /// let sink = MemorySink::default();
    /// let recorder = Recorder::new(&sink, PassPolicy::Each)
    ///     .limit_failures(FailurePolicy::new(2, Duration::from_secs(60)));
    /// let now = "2026-11-21T12:00:00Z".parse()?;
    /// for _ in 0..1_000 {
    ///     let login = Event::builder(EventKind::AuthenticationLogin, Outcome::Refused, Actor::Anonymous, now);
    ///     drop(recorder.record(login.build()?));
    /// }
    /// recorder.flush(now);
    /// assert_eq!(sink.events().len(), 3); // Two failures, and that there were 998 more.
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn limit_failures(mut self, policy: FailurePolicy) -> Self {
        self.failures = Some(policy);
        self
    }

    /// Records, counts or samples an event.
    pub fn record(&self, event: Event) -> Recorded {
        self.close_windows(event.at());
        let is_pass = event.kind() == EventKind::CheckDecided && event.outcome() == Outcome::Passed;
        if (is_pass && self.is_spared(&event)) || self.is_flood(&event) {
            Recorded::Counted
        } else {
            Recorded::Sent(self.sink.record(event))
        }
    }

    /// Records an event, or counts it when nobody known is its actor and it is one more than the
    /// [limit](Self::limit_failures), whatever its outcome: for what anybody can cause as often as they like. `code` says
    /// what of, and stands in the count; an event's own reason does not.
    ///
    #[cfg_attr(feature = "testing", doc = "```")]
    #[cfg_attr(not(feature = "testing"), doc = "```ignore")]
    /// use std::time::Duration;
    /// use compliance_core::event::{Actor, Event, EventKind, FailurePolicy, PassPolicy, Recorder};
    /// use compliance_core::finding::Outcome;
    /// use compliance_core::testing::MemorySink;
    ///
    /// let sink = MemorySink::default();
    /// let recorder = Recorder::new(&sink, PassPolicy::Each)
    ///     .limit_failures(FailurePolicy::new(2, Duration::from_secs(60)));
    /// let now = "2026-11-21T12:00:00Z".parse()?;
    /// for _ in 0..1_000 {
    ///     let call = Event::builder(EventKind::ApiCalled, Outcome::Passed, Actor::Anonymous, now);
    ///     drop(recorder.record_within(call.build()?, "answered"));
    /// }
    /// recorder.flush(now);
    /// assert_eq!(sink.events().len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record_within(&self, event: Event, code: &'static str) -> Recorded {
        self.close_windows(event.at());
        if *event.actor() == Actor::Anonymous && self.is_beyond(&event, code) {
            Recorded::Counted
        } else {
            Recorded::Sent(self.sink.record(event))
        }
    }

    /// Records every count that is open, as of `now`.
    pub fn flush(&self, now: Timestamp) {
        let tallies = std::mem::take(&mut *lock(&self.tallies));
        for (code, tally) in tallies {
            self.send(&code, Tally { until: now, ..tally });
        }
        self.hear();
        let floods = std::mem::take(&mut *lock(&self.floods));
        for ((kind, code), tally) in floods {
            self.send_flood(kind, code, Tally { until: now, ..tally });
        }
    }

    /// Whether this is one anonymous failure more than is recorded.
    fn is_flood(&self, event: &Event) -> bool {
        if event.outcome() != Outcome::Refused || *event.actor() != Actor::Anonymous {
            return false;
        }
        // A check's answer waits for its record.
        event.kind() != EventKind::CheckDecided && self.is_beyond(event, event.reason().unwrap_or(""))
    }

    fn is_beyond(&self, event: &Event, code: &str) -> bool {
        let Some(policy) = self.failures else { return false };
        let now = event.at();
        let mut floods = lock(&self.floods);
        let mut key = (event.kind().code(), Box::from(code));
        if !floods.contains_key(&key) && floods.len() >= Self::MAX_CODES {
            // Whoever can choose reasons must not open ever more windows.
            key = ("", Box::default());
        }
        let tally = floods.entry(key).or_insert(Tally::begun(now));
        tally.count = tally.count.saturating_add(1);
        tally.until = now;
        tally.count > policy.each
    }

    /// Records the counts of windows that are over by `now`: whatever event comes next, so that a flood's end is told
    /// without another flood.
    fn close_windows(&self, now: Timestamp) {
        let Some(policy) = self.failures else { return };
        self.hear();
        let mut ended = Vec::new();
        lock(&self.floods).retain(|(kind, code), tally| {
            let is_open = now.saturating_since(tally.from) < policy.window;
            if !is_open {
                ended.push((*kind, code.clone(), *tally));
            }
            is_open
        });
        for (kind, code, tally) in ended {
            self.send_flood(kind, code, tally);
        }
    }

    /// Records how many failures of a window were not recorded each. What cannot be recorded is owed by the next window.
    fn send_flood(&self, kind: &'static str, code: Box<str>, tally: Tally) {
        let each = self.failures.map_or(0, |policy| policy.each);
        let counted = tally.count.saturating_sub(each).saturating_add(tally.owed);
        let event =
            Event::builder(EventKind::SystemFailuresAggregated, Outcome::Refused, Actor::System, tally.until)
                .field("kind", Internal(kind))
                .field("code", Internal(&*code))
                .field("count", Internal(counted))
                .field("from", Internal(tally.from))
                .build();
        if let (Ok(event), 1..) = (event, counted) {
            // Nobody waits for a count; how it ended is looked at with the next event.
            let recording = self.sink.record(event);
            lock(&self.unheard).push(Unheard { kind, code, counted, until: tally.until, recording });
        }
    }

    /// Counts what could not be recorded again, for the next window.
    fn hear(&self) {
        let mut context = Context::from_waker(Waker::noop());
        let (mut waiting, mut lost) = (Vec::new(), Vec::new());
        // Out of the lock: whatever a sink does when it is asked, it may record something.
        let counts = std::mem::take(&mut *lock(&self.unheard));
        for mut count in counts {
            match Pin::new(&mut count.recording).poll(&mut context) {
                Poll::Pending => waiting.push(count),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => lost.push(count),
            }
        }
        lock(&self.unheard).append(&mut waiting);
        let mut floods = lock(&self.floods);
        for Unheard { kind, code, counted, until, .. } in lost {
            let next = floods.entry((kind, code)).or_insert(Tally::begun(until));
            next.owed = next.owed.saturating_add(counted);
        }
    }

    fn is_spared(&self, event: &Event) -> bool {
        let code = event.reason().unwrap_or("");
        let mut tallies = lock(&self.tallies);
        if !tallies.contains_key(code) && tallies.len() >= Self::MAX_CODES {
            return false;
        }
        let now = event.at();
        match self.passes {
            PassPolicy::Each => false,
            PassPolicy::Sample { one_in } => {
                let tally = tallies.entry(code.into()).or_insert(Tally::begun(now));
                let is_first = tally.count == 0;
                tally.count = tally.count.saturating_add(1) % one_in;
                !is_first
            }
            PassPolicy::Aggregate { window } => {
                let tally = tallies.entry(code.into()).or_insert(Tally::begun(now));
                tally.count = tally.count.saturating_add(1);
                tally.until = now;
                if now.saturating_since(tally.from) >= window || tally.count == u32::MAX {
                    let full = tallies.remove(code);
                    drop(tallies);
                    if let Some(full) = full {
                        self.send(code, full);
                    }
                }
                true
            }
        }
    }

    fn send(&self, code: &str, tally: Tally) {
        if !matches!(self.passes, PassPolicy::Aggregate { .. }) {
            return;
        }
        let event =
            Event::builder(EventKind::SystemPassesAggregated, Outcome::Passed, Actor::System, tally.until)
                .field("code", Internal(code))
                .field("count", Internal(tally.count))
                .field("from", Internal(tally.from))
                .build();
        if let Ok(event) = event {
            // Nobody waits for a count; dropping the recording does not cancel the write.
            drop(self.sink.record(event));
        }
    }
}

impl<S: Sink> Drop for Recorder<S> {
    fn drop(&mut self) {
        let tallies = std::mem::take(&mut *lock(&self.tallies));
        for (code, tally) in tallies {
            self.send(&code, tally);
        }
        self.hear();
        let floods = std::mem::take(&mut *lock(&self.floods));
        for ((kind, code), tally) in floods {
            self.send_flood(kind, code, tally);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
