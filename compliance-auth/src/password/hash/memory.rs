//! The memory budget: how much hashing may use at once, with blocks that are used again.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use argon2::Block;
use compliance_core::request::{ClientAddress, ClientNetwork};
use zeroize::Zeroize as _;

/// How long blocks stay unwiped after their last use. Whoever uses them again overwrites them first.
const WIPE_AFTER: Duration = Duration::from_secs(1);

/// Who asks for a hash: a network, a tenant, whatever must not take the whole queue.
///
/// A source may have at most a quarter of the queue (at least one place) waiting; its further requests are refused
/// as overloaded while others still get in.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HashSource(Source);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Source {
    Named(Box<str>),
    Network(ClientNetwork),
}

impl HashSource {
    /// The longest name kept, in bytes; the rest is cut.
    pub const MAX_NAME_LEN: usize = 256;

    /// The network of the client: /24 or /48.
    #[must_use]
    pub fn client(client: &ClientAddress) -> Self {
        Self(Source::Network(client.network()))
    }

    /// Anything else with a name: a tenant, an API client.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut end = name.len().min(Self::MAX_NAME_LEN);
        while !name.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        Self(Source::Named(name.get(..end).unwrap_or_default().into()))
    }
}

impl fmt::Debug for HashSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Named(_) => "HashSource::Named",
            Source::Network(_) => "HashSource::Network",
        })
    }
}

/// Memory for a bounded number of hashes at a time, and a bounded queue before it.
pub(super) struct MemoryBudget {
    inner: Arc<Inner>,
    max_waiting: usize,
    max_wait: Duration,
}

struct Inner {
    budget_kib: u64,
    /// What a new hash takes. Only blocks of this size are kept, so that what is kept stays in the budget.
    usual_kib: u32,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    used_kib: u64,
    /// Tickets, the next one first.
    queue: VecDeque<u64>,
    last_ticket: u64,
    waiting_by_source: HashMap<HashSource, usize>,
    idle: Vec<Idle>,
    /// Whether a thread is there to wipe what lies idle.
    wiping: bool,
}

struct Idle {
    blocks: Vec<Block>,
    /// When they were used; `None` once they are wiped.
    used: Option<Instant>,
}

/// Who asks, and until when they wait: over all the memory one call needs.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    source: Option<&'a HashSource>,
    deadline: Option<Instant>,
}

/// Nothing free within the time a caller waits, or too many callers waiting.
pub(super) struct Full;

impl MemoryBudget {
    pub(super) fn new(budget_kib: u64, usual_kib: u32, max_waiting: usize, max_wait: Duration) -> Self {
        let inner = Inner { budget_kib, usual_kib, state: Mutex::default(), returned: Condvar::new() };
        Self { inner: Arc::new(inner), max_waiting, max_wait }
    }

    /// Somebody who waits from now on.
    pub(super) fn caller<'a>(&self, source: Option<&'a HashSource>) -> Caller<'a> {
        Caller { source, deadline: Instant::now().checked_add(self.max_wait) }
    }

    pub(super) fn max_wait(&self) -> Duration {
        self.max_wait
    }

    /// How many usual hashes run and wait at most.
    pub(super) fn capacity(&self) -> usize {
        let running = self.inner.budget_kib.checked_div(u64::from(self.inner.usual_kib)).unwrap_or(1).max(1);
        usize::try_from(running).unwrap_or(usize::MAX).saturating_add(self.max_waiting)
    }

    /// Waits for `kib` of memory and hands out blocks of it.
    pub(super) fn take(&self, kib: u32, caller: Caller<'_>) -> Result<Memory, Full> {
        let count = kib.max(self.inner.usual_kib);
        let mut memory = self.enter(count, caller, count == self.inner.usual_kib)?;
        if memory.blocks.is_empty() {
            // Outside the lock, and only until enough are kept.
            memory.blocks = vec![Block::new(); usize::try_from(count).unwrap_or(usize::MAX)];
        }
        Ok(memory)
    }

    /// Waits for `kib` of memory that the caller brings. What is dearer than the whole budget gets it all, alone.
    pub(super) fn reserve(&self, kib: u32, caller: Caller<'_>) -> Result<Memory, Full> {
        self.enter(kib, caller, false)
    }

    /// Waits for `kib` of memory; with `usual`, hands out blocks that lie idle, if there are any.
    fn enter(&self, kib: u32, Caller { source, deadline }: Caller<'_>, usual: bool) -> Result<Memory, Full> {
        let wanted = u64::from(kib).min(self.inner.budget_kib);
        let mut state = self.inner.lock();
        let fits = |state: &State| state.used_kib.saturating_add(wanted) <= self.inner.budget_kib;
        // Whoever comes later does not overtake those who wait.
        if !fits(&state) || !state.queue.is_empty() {
            let share = (self.max_waiting / 4).max(1);
            let mine = source.and_then(|source| state.waiting_by_source.get(source)).copied().unwrap_or(0);
            if state.queue.len() >= self.max_waiting || (source.is_some() && mine >= share) {
                return Err(Full);
            }
            let ticket = state.enqueue(source);
            let mut served = true;
            while state.queue.front() != Some(&ticket) || !fits(&state) {
                let left = deadline.map_or(self.max_wait, |at| at.saturating_duration_since(Instant::now()));
                if left.is_zero() {
                    served = false;
                    break;
                }
                let woken = self.inner.returned.wait_timeout(state, left);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            state.dequeue(ticket, source);
            // The next in the queue may have its turn now.
            self.inner.returned.notify_all();
            if !served {
                return Err(Full);
            }
        }
        state.used_kib = state.used_kib.saturating_add(wanted);
        let blocks = if usual { state.idle.pop() } else { None }.map(|idle| idle.blocks).unwrap_or_default();
        let surplus = self.inner.surplus(&mut state);
        drop(state);
        wipe_all(surplus);
        Ok(Memory { inner: Arc::clone(&self.inner), kib: wanted, blocks })
    }
}

impl State {
    fn enqueue(&mut self, source: Option<&HashSource>) -> u64 {
        self.last_ticket = self.last_ticket.wrapping_add(1);
        self.queue.push_back(self.last_ticket);
        if let Some(source) = source {
            let count = self.waiting_by_source.entry(source.clone()).or_default();
            *count = count.saturating_add(1);
        }
        self.last_ticket
    }

    fn dequeue(&mut self, ticket: u64, source: Option<&HashSource>) {
        self.queue.retain(|waiting| *waiting != ticket);
        let Some(source) = source else { return };
        if let Some(count) = self.waiting_by_source.get_mut(source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.waiting_by_source.remove(source);
            }
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes idle blocks for which the budget has no room beside what is in use.
    fn surplus(&self, state: &mut State) -> Vec<Idle> {
        let room = self.budget_kib.saturating_sub(state.used_kib).checked_div(u64::from(self.usual_kib));
        let room = room.and_then(|room| usize::try_from(room).ok()).unwrap_or(usize::MAX);
        let surplus = state.idle.len().saturating_sub(room);
        state.idle.drain(..surplus).collect()
    }

    /// Takes blocks that have been idle for long enough, or says how long the next ones have still to wait; `None`
    /// when all are wiped.
    fn next_to_wipe(&self) -> Option<Result<Vec<Block>, Duration>> {
        let mut state = self.lock();
        let now = Instant::now();
        let age = |idle: &Idle| idle.used.map(|used| now.saturating_duration_since(used));
        let oldest = state.idle.iter().enumerate().filter_map(|(at, idle)| Some((age(idle)?, at))).max();
        let Some((age, at)) = oldest else {
            state.wiping = false;
            return None;
        };
        if age < WIPE_AFTER {
            return Some(Err(WIPE_AFTER.saturating_sub(age)));
        }
        Some(Ok(state.idle.swap_remove(at).blocks))
    }

    /// Runs on a thread of its own until all idle blocks are wiped, or the hasher is gone.
    fn wipe(inner: &Weak<Self>) {
        while let Some(strong) = inner.upgrade() {
            match strong.next_to_wipe() {
                None => return,
                Some(Ok(mut blocks)) => {
                    // A plain fill: the blocks live on, so it is not optimised away, and costs a tenth of volatile
                    // writes.
                    blocks.fill(Block::new());
                    // To the front: blocks used lately are handed out first.
                    let mut state = strong.lock();
                    state.idle.insert(0, Idle { blocks, used: None });
                    // Somebody may have taken their memory meanwhile.
                    let surplus = strong.surplus(&mut state);
                    drop(state);
                    wipe_all(surplus);
                }
                Some(Err(left)) => {
                    drop(strong);
                    std::thread::sleep(left);
                }
            }
        }
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("budget_kib", &self.inner.budget_kib)
            .field("max_waiting", &self.max_waiting)
            .field("max_wait", &self.max_wait)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        wipe_all(std::mem::take(&mut self.lock().idle));
    }
}

/// Zeroises what was used and gives all of it back.
fn wipe_all(idle: Vec<Idle>) {
    for mut idle in idle.into_iter().filter(|idle| idle.used.is_some()) {
        idle.blocks.iter_mut().for_each(zeroize::Zeroize::zeroize);
    }
}

/// Memory on loan. Given back when dropped; its blocks are wiped unless they are used again soon.
pub(super) struct Memory {
    inner: Arc<Inner>,
    kib: u64,
    blocks: Vec<Block>,
}

impl AsMut<[Block]> for Memory {
    fn as_mut(&mut self) -> &mut [Block] {
        &mut self.blocks
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let mut blocks = std::mem::take(&mut self.blocks);
        let kept = u32::try_from(blocks.len()).is_ok_and(|kib| kib == self.inner.usual_kib);
        if !kept {
            blocks.iter_mut().for_each(|block| block.zeroize());
        }
        let mut state = self.inner.lock();
        state.used_kib = state.used_kib.saturating_sub(self.kib);
        if kept {
            state.idle.push(Idle { blocks, used: Some(Instant::now()) });
        }
        let start = kept && !state.wiping;
        state.wiping |= start;
        drop(state);
        // All: only the one whose turn it is goes on.
        self.inner.returned.notify_all();
        if start {
            let inner = Arc::downgrade(&self.inner);
            let thread = std::thread::Builder::new().name("password-wipe".to_owned());
            if thread.spawn(move || Inner::wipe(&inner)).is_err() {
                let mut state = self.inner.lock();
                state.wiping = false;
                for idle in state.idle.iter_mut().filter(|idle| idle.used.is_some()) {
                    idle.blocks.fill(Block::new());
                    idle.used = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn caller() -> Caller<'static> {
        Caller { source: None, deadline: Instant::now().checked_add(HOUR) }
    }

    fn of(source: &HashSource) -> Caller<'_> {
        Caller { source: Some(source), ..caller() }
    }

    #[test]
    fn one_source_cannot_take_the_whole_queue() {
        // Room for one hash, eight may wait: two of one source.
        let budget = MemoryBudget::new(8, 8, 8, HOUR);
        let all = budget.take(8, caller()).ok().unwrap();
        let (flooder, other) = (HashSource::named("flooder"), HashSource::named("other"));
        std::thread::scope(|scope| {
            let wait = |source| {
                let waiting = budget.inner.lock().queue.len() + 1;
                let budget = &budget;
                let thread = scope.spawn(move || budget.take(8, of(source)).is_ok());
                while budget.inner.lock().queue.len() < waiting {
                    std::thread::yield_now();
                }
                thread
            };
            let mut waiting = vec![wait(&flooder), wait(&flooder)];
            assert!(budget.take(8, of(&flooder)).is_err());
            waiting.push(wait(&other));
            assert!(budget.take(8, of(&flooder)).is_err());
            drop(all);
            assert!(waiting.into_iter().all(|thread| thread.join().unwrap()));
        });
        // Whoever is served no longer waits.
        assert!(budget.inner.lock().waiting_by_source.is_empty());
        assert!(budget.take(8, of(&flooder)).is_ok());
    }

    #[test]
    fn idle_blocks_count_against_the_budget() {
        let budget = MemoryBudget::new(64, 8, 4, HOUR);
        let usual: Vec<_> = (0..8).map(|_| budget.take(8, caller()).ok().unwrap()).collect();
        drop(usual);
        assert_eq!(budget.inner.lock().idle.len(), 8);
        let one = budget.take(8, caller()).ok().unwrap();
        assert_eq!(budget.inner.lock().idle.len(), 7);
        // 8 + 40 in use leave room for two more.
        let large = budget.take(40, caller()).ok().unwrap();
        assert_eq!(budget.inner.lock().idle.len(), 2);
        let legacy = budget.reserve(9, caller()).ok().unwrap();
        assert_eq!(budget.inner.lock().idle.len(), 0);
        drop((one, large, legacy));
        assert_eq!(budget.inner.lock().used_kib, 0);
        // What is dearer than all of it has it alone.
        drop(budget.take(100, caller()).ok().unwrap());
        assert_eq!(budget.inner.lock().idle.len(), 0);
    }

    #[test]
    fn a_caller_waits_once_however_often_it_asks() {
        let budget = MemoryBudget::new(8, 8, 4, HOUR);
        let _all = budget.take(8, caller()).ok().unwrap();
        // Its time is over: an hour would pass otherwise.
        let late = Caller { source: None, deadline: Some(Instant::now()) };
        assert!(budget.take(8, late).is_err());
        assert!(budget.reserve(8, late).is_err());
    }
}
