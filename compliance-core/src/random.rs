//! Chance comes in: the source of random bytes is an argument, so that tests can repeat a run.
//!
//! Production code passes [`SystemRandom`]; tests pass `testing::DeterministicRandom` (feature `testing`).

use std::fmt;

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
