//! Runs two things in turn and says what each costs.
//!
//! One round runs a batch of ours, then a batch of the peer's; what is reported is the round whose ratio is the median.
//! Whatever else the machine does meanwhile (a busy neighbour, a lower clock rate) then meets both alike: a clock rate that
//! changes from round to round would move the median of ours and that of the peer apart, and a ratio of one round hardly.
//! Batches are sized beforehand to take about [`BATCH`].
//!
//! Computations are measured in CPU time of the thread that does them, so that waiting for a processor does not
//! count. Whatever waits for a disk or a network measures itself by the wall clock and uses [`in_turns`].

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What a batch should take.
const BATCH: Duration = Duration::from_millis(20);

/// Why a figure could not be measured.
pub(crate) type Failure = Box<dyn Error>;

/// How often a comparison is repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds of two batches each; odd, so that one is in the middle.
    pub(crate) rounds: usize,
    /// Whether the caller is in a hurry: expensive figures then use fewer inputs, too.
    pub(crate) quick: bool,
}

impl Effort {
    pub(crate) const FULL: Self = Self { rounds: 101, quick: false };
    pub(crate) const QUICK: Self = Self { rounds: 21, quick: true };

    /// For what takes longer than a batch by itself.
    pub(crate) fn fewer(self) -> Self {
        Self { rounds: (self.rounds / 4) | 1, ..self }
    }
}

/// A figure of ours and, where there is one, the peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) ours: f64,
    pub(crate) peer: Option<f64>,
}

impl Measured {
    pub(crate) fn alone(ours: f64) -> Self {
        Self { ours, peer: None }
    }

    /// The same in another unit.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { ours: self.ours * factor, peer: self.peer.map(|peer| peer * factor) }
    }
}

/// Nanoseconds of CPU time one operation takes, ours and the peer's. Each closure performs `operations` of them
/// per call.
pub(crate) fn side_by_side<A, B>(
    effort: Effort,
    operations: usize,
    mut ours: impl FnMut() -> A,
    mut peer: impl FnMut() -> B,
) -> Measured {
    let (our_calls, peer_calls) = (calls_per_batch(&mut ours), calls_per_batch(&mut peer));
    let mut rounds = Vec::new();
    // The first round warms caches and branch predictors up again and is not kept.
    for round in 0..=effort.rounds {
        let a = batch(&mut ours, our_calls);
        let b = batch(&mut peer, peer_calls);
        if round > 0 {
            rounds.push((nanoseconds(a, our_calls, operations), nanoseconds(b, peer_calls, operations)));
        }
    }
    middle(rounds)
}

/// As [`side_by_side`], where nobody else has anything to compare with.
pub(crate) fn alone<A>(effort: Effort, operations: usize, mut ours: impl FnMut() -> A) -> Measured {
    let calls = calls_per_batch(&mut ours);
    batch(&mut ours, calls);
    let rounds = 0..effort.rounds;
    let mut ns: Vec<f64> = rounds.map(|_| nanoseconds(batch(&mut ours, calls), calls, operations)).collect();
    Measured::alone(median(&mut ns))
}

/// What each closure says of one round, where its ratio is the median; the first one is not counted.
pub(crate) fn in_turns(
    rounds: usize,
    mut ours: impl FnMut() -> Result<f64, Failure>,
    mut peer: impl FnMut() -> Result<f64, Failure>,
) -> Result<Measured, Failure> {
    let mut kept = Vec::new();
    for round in 0..=rounds {
        let (a, b) = (ours()?, peer()?);
        if round > 0 {
            kept.push((a, b));
        }
    }
    Ok(middle(kept))
}

/// The round, ours and the peer's, with the median ratio of all.
fn middle(mut rounds: Vec<(f64, f64)>) -> Measured {
    rounds.sort_by(|(a, b), (c, d)| (a / b).total_cmp(&(c / d)));
    let (ours, peer) = rounds.get(rounds.len() / 2).copied().unwrap_or((f64::NAN, f64::NAN));
    Measured { ours, peer: Some(peer) }
}

/// CPU time the closure takes on this thread.
pub(crate) fn cpu_time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = thread_cpu_time();
    let result = black_box(work());
    (result, thread_cpu_time().saturating_sub(before))
}

/// CPU time of all threads of this process so far.
pub(crate) fn process_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// The middle value, or the mean of the two in the middle.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// How many calls fill a batch: doubles until a quarter of one is reached, which also warms up.
fn calls_per_batch<T>(work: &mut impl FnMut() -> T) -> u32 {
    let mut calls = 1_u32;
    loop {
        let took = batch(work, calls);
        if took * 4 >= BATCH || calls >= 1 << 30 {
            let wanted = BATCH.as_secs_f64() / took.as_secs_f64() * f64::from(calls);
            // A float cast saturates.
            return (wanted as u32).max(1);
        }
        calls *= 2;
    }
}

fn batch<T>(work: &mut impl FnMut() -> T, calls: u32) -> Duration {
    let repeat = || {
        for _ in 0..calls {
            black_box(work());
        }
    };
    cpu_time(repeat).1
}

fn nanoseconds(took: Duration, calls: u32, operations: usize) -> f64 {
    took.as_secs_f64() * 1e9 / f64::from(calls) / operations as f64
}

fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The most memory this process has had, in MiB.
pub(crate) fn peak_mib() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    Ok(peak.ok_or("the system does not say how much memory was used")?.parse::<f64>()? / 1024.0)
}
