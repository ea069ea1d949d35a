//! For tests, of this family and of its users: repeatable chance, a sink that remembers, and the kit every
//! [`Sink`] implementation should pass.
//!
//! Nothing here mints a proof. Tests get proofs the way programs do, from the real check with a policy made
//! for the test.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use sha2::{Digest, Sha256};

pub use crate::clock::ManualClock;

use crate::class::{Internal, Public};
use crate::clock::Timestamp;
use crate::event::{
    Actor, AuditReceipt, Durability, Event, EventKind, RecordError, RecordErrorKind, Recording, Sink,
};
use crate::finding::{Outcome, PolicyVersion};
use crate::id::{ActorId, SubjectId, TenantId};
use crate::random::{RandomError, SecureRandom};

/// The same bytes for the same seed, on every machine. **Predictable: for tests only.**
///
/// ```
/// use compliance_core::random::SecureRandom;
/// use compliance_core::testing::DeterministicRandom;
///
/// let (mut a, mut b) = ([0; 8], [0; 8]);
/// DeterministicRandom::new(7).fill(&mut a)?;
/// DeterministicRandom::new(7).fill(&mut b)?;
/// assert_eq!(a, b);
/// # Ok::<(), compliance_core::random::RandomError>(())
/// ```
#[derive(Debug)]
pub struct DeterministicRandom {
    seed: u64,
    counter: Mutex<u64>,
}

impl DeterministicRandom {
    /// SHA-256 of seed and counter, block after block.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: Mutex::new(0) }
    }
}

impl SecureRandom for DeterministicRandom {
    fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError> {
        let mut counter = self.counter.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in dest.chunks_mut(32) {
            *counter = counter.wrapping_add(1);
            let block =
                Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(counter.to_be_bytes());
            chunk.iter_mut().zip(block.finalize()).for_each(|(slot, byte)| *slot = byte);
        }
        Ok(())
    }
}

/// The policy version tests put into findings: `test/0`.
#[must_use]
pub fn test_policy_version() -> PolicyVersion {
    PolicyVersion::new("test", "0")
}

/// A sink in memory that remembers every event and can be told to fail.
#[derive(Debug, Default)]
pub struct MemorySink {
    state: Mutex<MemoryState>,
}

#[derive(Debug, Default)]
struct MemoryState {
    events: Vec<Event>,
    failure: Option<RecordErrorKind>,
}

impl MemorySink {
    /// The events recorded so far, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// From now on, answer with this error (`None`: record again).
    pub fn fail_with(&self, failure: Option<RecordErrorKind>) {
        self.lock().failure = failure;
    }

    fn lock(&self) -> MutexGuard<'_, MemoryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for MemorySink {
    fn record(&self, event: Event) -> Recording {
        let mut state = self.lock();
        if let Some(kind) = state.failure {
            return Recording::ready(Err(RecordError::new(kind)));
        }
        let sequence = u64::try_from(state.events.len()).unwrap_or(u64::MAX);
        let receipt = AuditReceipt::attest(event.digest(), sequence, Durability::Memory);
        state.events.push(event);
        Recording::ready(Ok(receipt))
    }
}

/// Runs a future on the current thread: enough of a runtime for a [`Recording`].
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread, AtomicBool);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.1.store(true, Ordering::Release);
            self.0.unpark();
        }
    }
    let unpark = Arc::new(Unpark(thread::current(), AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !unpark.1.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// Checks an implementation of [`Sink`] against the contract of the trait.
///
/// `read_back` returns everything the sink holds, in sequence order: from memory, or by opening the file
/// again. Each rule gets a fresh sink from `make`.
///
/// ```
/// use compliance_core::testing::{MemorySink, SinkConformance};
///
/// let report = SinkConformance::new(MemorySink::default, MemorySink::events).run();
/// assert_eq!(report, Ok(SinkConformance::RULES));
/// ```
#[derive(Debug)]
pub struct SinkConformance<M, R> {
    make: M,
    read_back: R,
}

/// The first rule of the contract a sink broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sink breaks its contract: {rule}")]
pub struct ConformanceError {
    rule: &'static str,
}

/// `None`: the sink did not even record.
type Rule<Kit> = fn(&Kit) -> Option<bool>;

impl SinkConformance<(), ()> {
    /// How many rules [`run`](SinkConformance::run) checks.
    pub const RULES: usize = 6;
}

impl<S, M, R> SinkConformance<M, R>
where
    S: Sink,
    M: Fn() -> S,
    R: Fn(&S) -> Vec<Event>,
{
    /// A kit for the sinks `make` makes.
    pub fn new(make: M, read_back: R) -> Self {
        Self { make, read_back }
    }

    /// Checks every rule and says how many there were.
    ///
    /// # Errors
    /// [`ConformanceError`] names the first rule that does not hold.
    pub fn run(&self) -> Result<usize, ConformanceError> {
        let rules: [(&'static str, Rule<Self>); SinkConformance::RULES] = [
            ("a receipt carries the digest of its event", Self::receipt_is_for_its_event),
            ("the future and the blocking wait both resolve", Self::both_ways_resolve),
            ("what is read back equals what was recorded", Self::reads_back_equal),
            ("dropping a recording does not cancel the write", Self::drop_does_not_cancel),
            ("sequence numbers grow strictly", Self::sequence_grows),
            ("concurrent callers lose nothing and share no number", Self::concurrent_callers),
        ];
        for (rule, holds) in rules {
            if holds(self) != Some(true) {
                return Err(ConformanceError { rule });
            }
        }
        Ok(rules.len())
    }

    fn receipt_is_for_its_event(&self) -> Option<bool> {
        let (sink, event) = ((self.make)(), sample_event(1)?);
        let receipt = sink.record(event.clone()).wait().ok()?;
        Some(receipt.redeem(&event, Durability::Memory).is_ok())
    }

    fn both_ways_resolve(&self) -> Option<bool> {
        let sink = (self.make)();
        let polled = block_on(sink.record(sample_event(1)?)).ok()?;
        let waited = sink.record(sample_event(2)?).wait().ok()?;
        Some(polled.durability() == waited.durability())
    }

    fn reads_back_equal(&self) -> Option<bool> {
        let sink = (self.make)();
        let events = (0..20).map(sample_event).collect::<Option<Vec<_>>>()?;
        for event in &events {
            sink.record(event.clone()).wait().ok()?.redeem(event, Durability::Memory).ok()?;
        }
        Some((self.read_back)(&sink) == events)
    }

    fn drop_does_not_cancel(&self) -> Option<bool> {
        let sink = (self.make)();
        let events = (0..10).map(sample_event).collect::<Option<Vec<_>>>()?;
        for event in &events {
            drop(sink.record(event.clone()));
        }
        let last = sample_event(10)?;
        // Whoever waits for the last has waited for those before it.
        sink.record(last.clone()).wait().ok()?.redeem(&last, Durability::Memory).ok()?;
        let found = (self.read_back)(&sink);
        Some(events.iter().chain([&last]).all(|event| found.contains(event)))
    }

    fn sequence_grows(&self) -> Option<bool> {
        let sink = (self.make)();
        let mut last = None;
        for number in 0..10 {
            let sequence = sink.record(sample_event(number)?).wait().ok()?.sequence();
            if last.is_some_and(|last| sequence <= last) {
                return Some(false);
            }
            last = Some(sequence);
        }
        Some(true)
    }

    fn concurrent_callers(&self) -> Option<bool> {
        const THREADS: u32 = 8;
        const EACH: u32 = 25;
        let sink = (self.make)();
        let all: Vec<u64> = thread::scope(|scope| {
            let callers: Vec<_> = (0..THREADS)
                .map(|caller| {
                    let sink = &sink;
                    scope.spawn(move || {
                        (0..EACH)
                            .map(|number| {
                                let event = sample_event(caller.wrapping_mul(EACH).wrapping_add(number))?;
                                sink.record(event).wait().ok().map(|receipt| receipt.sequence())
                            })
                            .collect::<Option<Vec<_>>>()
                    })
                })
                .collect();
            callers.into_iter().filter_map(|caller| caller.join().ok().flatten()).flatten().collect()
        });
        let expected = usize::try_from(THREADS.wrapping_mul(EACH)).ok()?;
        let distinct = all.iter().collect::<BTreeSet<_>>().len();
        let kept = (self.read_back)(&sink);
        let kept_distinct = kept.iter().map(Event::digest).collect::<BTreeSet<_>>().len();
        Some(all.len() == expected && distinct == expected && kept_distinct == expected)
    }
}

/// An event that uses every part of the vocabulary, different for each number.
fn sample_event(number: u32) -> Option<Event> {
    let outcome = match number % 3 {
        0 => Outcome::Passed,
        1 => Outcome::Refused,
        _ => Outcome::Review,
    };
    let at = Timestamp::from_unix_seconds(1_795_262_400_i64.saturating_add(number.into()));
    Event::builder(EventKind::DataRead, outcome, Actor::Person(ActorId::new("staff-17").ok()?), at)
        .on_behalf_of(Actor::Program(ActorId::new("import-job").ok()?))
        .tenant(TenantId::new("acme").ok()?)
        .subject(SubjectId::new(format!("user-{number}")).ok()?)
        .purpose(crate::purpose!("support.data_request"))
        .field("count", Public(number))
        .field("table", Internal("customer"))
        .build()
        .ok()
}
