//! Chance comes in: the source of random bytes is an argument, so that tests can repeat a run.
//!
//! Production code passes [`SystemRandom`], or [`BufferedRandom`] where nonces are many; tests pass `testing::DeterministicRandom` (feature `testing`).

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// A source of random bytes fit for keys, nonces and identifiers.
///
/// # Security
/// An implementation must be a cryptographically secure generator (NIST SP 800-90A/B/C or the operating
/// system's). It must fail rather than return predictable bytes.
pub trait SecureRandom: Send + Sync + fmt::Debug {
    /// Fills `dest` completely.
    ///
    /// # Errors
    /// [`RandomError`] when the source cannot deliver; `dest` must not be used then.
    fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError>;
}

impl<R: SecureRandom + ?Sized> SecureRandom for &R {
    fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError> {
        (**self).fill(dest)
    }
}

impl<R: SecureRandom + ?Sized> SecureRandom for std::sync::Arc<R> {
    fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError> {
        (**self).fill(dest)
    }
}

/// The operating system's generator (`getrandom(2)` and its equals).
///
/// ```
/// use compliance_core::random::{SecureRandom, SystemRandom};
///
/// let mut key = [0_u8; 32];
/// SystemRandom.fill(&mut key)?;
/// assert_ne!(key, [0_u8; 32]);
/// # Ok::<(), compliance_core::random::RandomError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a unit struct: the source is the operating system, nothing to configure"
)]
pub struct SystemRandom;

impl SecureRandom for SystemRandom {
    fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(dest).map_err(|_| RandomError(()))
    }
}

/// The operating system's generator, asked for [`BUFFER_LEN`](Self::BUFFER_LEN) bytes at a time: for who needs many
/// nonces, where a system call for each costs more than what is done with it.
///
/// Hands every byte out once and forgets it. Anything longer than [`MAX_BUFFERED_LEN`](Self::MAX_BUFFERED_LEN) comes from
/// the operating system directly, so that no key ever lies in the buffer. May be shared between threads.
///
/// ```
/// use compliance_core::random::{BufferedRandom, SecureRandom};
///
/// let random = BufferedRandom::new();
/// let (mut first, mut second) = ([0; 12], [0; 12]);
/// random.fill(&mut first)?;
/// random.fill(&mut second)?;
/// assert_ne!(first, second);
/// # Ok::<(), compliance_core::random::RandomError>(())
/// ```
///
/// # Security
/// Whatever copies the memory of a running process copies the bytes that come next: both copies then draw the same
/// ones. That is a child after `fork` that goes on without `exec` (safe Rust has no way to it) and a virtual machine
/// resumed twice from one snapshot. [`DataKey::seal`](crate::seal) bears a nonce drawn twice: all it shows is whether the
/// two values and their contexts are the same. For identifiers that must never meet, take [`SystemRandom`].
pub struct BufferedRandom {
    unused: Mutex<Unused>,
}

/// Bytes that nobody was given: the last `len` of the buffer.
struct Unused {
    bytes: [u8; BufferedRandom::BUFFER_LEN],
    len: usize,
}

impl BufferedRandom {
    /// How many bytes it asks for at a time.
    pub const BUFFER_LEN: usize = 768;
    /// The most bytes at once that come from the buffer.
    pub const MAX_BUFFERED_LEN: usize = 16;

    /// With an empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { unused: Mutex::new(Unused { bytes: [0; Self::BUFFER_LEN], len: 0 }) }
    }
}

impl SecureRandom for BufferedRandom {
    fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError> {
        if dest.len() > Self::MAX_BUFFERED_LEN {
            return SystemRandom.fill(dest);
        }
        // A panic while holding the lock cannot leave bytes behind that were given out: they are taken off first.
        let mut unused = self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        if unused.len < dest.len() {
            unused.len = 0;
            SystemRandom.fill(&mut unused.bytes)?;
            unused.len = Self::BUFFER_LEN;
        }
        let at = Self::BUFFER_LEN.saturating_sub(unused.len);
        unused.len = unused.len.saturating_sub(dest.len());
        let given = unused.bytes.get_mut(at..).and_then(|rest| rest.get_mut(..dest.len()));
        let given = given.ok_or(RandomError(()))?;
        dest.copy_from_slice(given);
        given.fill(0);
        Ok(())
    }
}

impl Default for BufferedRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BufferedRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedRandom").finish_non_exhaustive()
    }
}

/// The random source did not deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("random source failed")]
pub struct RandomError(());

impl RandomError {
    /// For implementations of [`SecureRandom`] outside this crate.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }

    /// `random.source_failed`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "random.source_failed"
    }
}

impl Default for RandomError {
    fn default() -> Self {
        Self::new()
    }
}
