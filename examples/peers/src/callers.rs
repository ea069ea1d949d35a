//! Many threads that do the same thing, timed from when all are ready to when the last is done.

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use crate::measure::Failure;

/// Operations per second over all of `callers` threads, each of which calls `operation` `each` times and waits for
/// it. `operation` says whether it succeeded.
pub(crate) fn rate(callers: usize, each: usize, operation: impl Fn() -> bool + Sync) -> Result<f64, Failure> {
    let start = Barrier::new(callers + 1);
    let work = || {
        start.wait();
        (0..each).all(|_| operation())
    };
    let (succeeded, took) = thread::scope(|scope| {
        let threads: Vec<_> = (0..callers).map(|_| scope.spawn(work)).collect();
        start.wait();
        let started = Instant::now();
        let succeeded = threads.into_iter().all(|thread| thread.join().unwrap_or(false));
        (succeeded, started.elapsed())
    });
    if !succeeded {
        return Err("an operation failed".into());
    }
    Ok((callers * each) as f64 / took.as_secs_f64())
}
