//! The memory budget: how much Argon2 may use at once, with blocks that are used again.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argon2::Block;
use zeroize::Zeroize as _;

/// Memory for a bounded number of hashes at a time, and a bounded queue before it.
pub(super) struct MemoryBudget {
    budget_kib: u64,
    /// What a new hash takes. Only blocks of this size are kept, so that what is kept stays in the budget.
    usual_kib: u32,
    max_waiting: usize,
    max_wait: Duration,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    used_kib: u64,
    waiting: usize,
    idle: Vec<Vec<Block>>,
}

/// Nothing free within the time a caller waits, or too many callers waiting.
pub(super) struct Full;

impl MemoryBudget {
    pub(super) fn new(budget_kib: u64, usual_kib: u32, max_waiting: usize, max_wait: Duration) -> Self {
        Self {
            budget_kib,
            usual_kib,
            max_waiting,
            max_wait,
            state: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    pub(super) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// Waits for `kib` of memory. What is dearer than the whole budget gets it all, alone.
    pub(super) fn take(&self, kib: u32) -> Result<Memory<'_>, Full> {
        let count = kib.max(self.usual_kib);
        let wanted = u64::from(count).min(self.budget_kib);
        let mut state = self.lock();
        let fits = |state: &State| state.used_kib.saturating_add(wanted) <= self.budget_kib;
        if !fits(&state) {
            if state.waiting >= self.max_waiting {
                return Err(Full);
            }
            state.waiting = state.waiting.saturating_add(1);
            let deadline = Instant::now().checked_add(self.max_wait);
            while !fits(&state) {
                let left = deadline.map_or(self.max_wait, |at| at.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    state.waiting = state.waiting.saturating_sub(1);
                    return Err(Full);
                }
                state = self.returned.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            state.waiting = state.waiting.saturating_sub(1);
        }
        state.used_kib = state.used_kib.saturating_add(wanted);
        let blocks = if count == self.usual_kib { state.idle.pop() } else { None }.unwrap_or_default();
        drop(state);
        let mut memory = Memory { budget: self, kib: wanted, blocks };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if memory.blocks.is_empty() {
            // Outside the lock, and only until enough are kept.
            memory.blocks = vec![Block::new(); count];
        }
        Ok(memory)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("budget_kib", &self.budget_kib)
            .field("max_waiting", &self.max_waiting)
            .field("max_wait", &self.max_wait)
            .finish_non_exhaustive()
    }
}

impl Drop for MemoryBudget {
    fn drop(&mut self) {
        for blocks in &mut self.lock().idle {
            blocks.iter_mut().for_each(zeroize::Zeroize::zeroize);
        }
    }
}

/// Blocks on loan. Wiped and given back when dropped.
pub(super) struct Memory<'b> {
    budget: &'b MemoryBudget,
    kib: u64,
    blocks: Vec<Block>,
}

impl AsMut<[Block]> for Memory<'_> {
    fn as_mut(&mut self) -> &mut [Block] {
        &mut self.blocks
    }
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        let mut blocks = std::mem::take(&mut self.blocks);
        let kept = u32::try_from(blocks.len()).is_ok_and(|kib| kib == self.budget.usual_kib);
        if kept {
            // A plain fill: the blocks live on, so it is not optimised away, and costs a tenth of volatile writes.
            blocks.fill(Block::new());
        } else {
            blocks.iter_mut().for_each(|block| block.zeroize());
        }
        let mut state = self.budget.lock();
        state.used_kib = state.used_kib.saturating_sub(self.kib);
        if kept {
            state.idle.push(blocks);
        }
        drop(state);
        self.budget.returned.notify_one();
    }
}
