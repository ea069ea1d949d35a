//! Hash: Argon2id (RFC 9106) within a memory budget, PHC strings, one path for every log-in.
//!
//! [`PasswordHasher::hash`] takes an [`AcceptedPassword`] and nothing else. [`PasswordHasher::verify`] takes
//! the stored hash of the user *or none*, and does the same work for both: an unknown user looks like a wrong
//! password, in the answer and in time.
//!
//! Each hash takes tens of megabytes. A hundred log-ins at once must not take a hundred times that, so memory
//! comes from a budget; who finds it spent waits a bounded time in a bounded queue and is then told to come
//! back ([`VerifyErrorKind::Overloaded`]).

mod memory;
mod phc;

pub use phc::{HashParameters, HashParametersError, PasswordHash, PasswordHashError, PasswordHashErrorKind};

use std::fmt;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::random::SecureRandom;
use compliance_core::reason_code;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::policy::{AcceptedPassword, nfc};
use memory::MemoryBudget;

/// Hashes and verifies passwords. One for the whole process, behind an `Arc`.
///
/// Blocks the calling thread for tens of milliseconds: call it from a thread that may block.
///
/// ```
/// use compliance_auth::password::{PasswordContext, PasswordHash, PasswordHasher, PasswordPolicy, PasswordProfile};
/// use compliance_core::random::SystemRandom;
/// use secrecy::SecretString;
///
/// let hasher = PasswordHasher::builder().build();
/// let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
///
/// // Sign-up.
/// let chosen = SecretString::from("zq7-velour-antelope-91");
/// let accepted = policy.check(&chosen, &PasswordContext::new())?;
/// let stored = hasher.hash(&accepted, &SystemRandom)?.as_str().to_owned();
///
/// // Log-in.
/// let stored: PasswordHash = stored.parse()?;
/// let verified = hasher.verify(Some(&stored), &chosen)?;
/// assert!(!verified.needs_rehash());
///
/// // An unknown user and a wrong password are the same.
/// let unknown = hasher.verify(None, &chosen).unwrap_err();
/// let wrong = hasher.verify(Some(&stored), &SecretString::from("zq7-velour-antelope-92")).unwrap_err();
/// assert_eq!(unknown.to_string(), wrong.to_string());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PasswordHasher {
    parameters: HashParameters,
    budget: MemoryBudget,
}

impl PasswordHasher {
    /// The longest password verified, in bytes. No accepted password is longer.
    pub const MAX_PASSWORD_LEN: usize = 4096;

    /// Starts a hasher: [default parameters](HashParameters::M19456_T2), 256 MiB, a queue of 64, a wait of
    /// two seconds.
    pub fn builder() -> PasswordHasherBuilder {
        PasswordHasherBuilder {
            parameters: HashParameters::default(),
            budget_mib: 256,
            max_waiting: 64,
            max_wait: Duration::from_secs(2),
        }
    }

    /// Hashes a password for storage, with a fresh salt.
    ///
    /// # Errors
    /// [`HashError`]: no randomness, or overloaded.
    pub fn hash(
        &self,
        password: &AcceptedPassword,
        random: &dyn SecureRandom,
    ) -> Result<PasswordHash, HashError> {
        self.hash_text(password.secret().expose_secret(), random)
    }

    /// Hashes a verified password again, with today's parameters and a fresh salt.
    ///
    /// A password that verified may be stored again even if today's policy would refuse it.
    ///
    /// # Errors
    /// [`HashError`]: no randomness, or overloaded. The old hash stays good then.
    pub fn rehash(
        &self,
        password: &VerifiedPassword,
        random: &dyn SecureRandom,
    ) -> Result<PasswordHash, HashError> {
        self.hash_text(&password.secret, random)
    }

    /// Verifies a password against the stored hash, or against none for an unknown user.
    ///
    /// Tries the password in NFC and, where that differs, as received (SP 800-63B-4 and ASVS 5.0 store
    /// different forms); how many are tried depends on the password alone.
    ///
    /// # Errors
    /// [`VerifyError`]. Wrong password and unknown user are the same kind.
    ///
    /// # Security
    /// The time depends on the stored hash's cost parameters. While old and new parameters are in use side by
    /// side, that tells an old account from an unknown one; re-hash at log-in, and let the throttle do the rest.
    pub fn verify(
        &self,
        stored: Option<&PasswordHash>,
        password: &SecretString,
    ) -> Result<VerifiedPassword, VerifyError> {
        let received = password.expose_secret();
        if received.len() > Self::MAX_PASSWORD_LEN {
            return Err(VerifyError { kind: VerifyErrorKind::Rejected });
        }
        let unknown = PasswordHash::from_parts(
            self.parameters,
            &[0; PasswordHash::SALT_LEN],
            &[0; PasswordHash::TAG_LEN],
        );
        let known = Choice::from(u8::from(stored.is_some()));
        let stored = stored.unwrap_or(&unknown);
        let normal = nfc(received);
        let mut forms = vec![normal];
        if forms.iter().any(|normal| normal.as_str() != received) {
            forms.push(Zeroizing::new(received.to_owned()));
        }
        let mut found = None;
        for form in forms {
            let mut tag = Zeroizing::new(vec![0; stored.tag().len()]);
            self.argon2(stored.parameters(), stored.salt(), &form, &mut tag).map_err(|failure| {
                VerifyError {
                    kind: match failure {
                        Failure::Overloaded => {
                            VerifyErrorKind::Overloaded { retry_after: self.budget.max_wait() }
                        }
                        Failure::Parameters => VerifyErrorKind::Internal,
                    },
                }
            })?;
            let same = tag.ct_eq(stored.tag()) & known;
            if bool::from(same) && found.is_none() {
                found = Some(form);
            }
        }
        let rejected = VerifyError { kind: VerifyErrorKind::Rejected };
        let secret = found.ok_or(rejected)?;
        Ok(VerifiedPassword { secret, needs_rehash: self.is_outdated(stored) })
    }

    /// The parameters of new hashes.
    #[must_use]
    pub const fn parameters(&self) -> HashParameters {
        self.parameters
    }

    fn is_outdated(&self, stored: &PasswordHash) -> bool {
        stored.parameters() != self.parameters
            || stored.salt().len() < PasswordHash::SALT_LEN
            || stored.tag().len() < PasswordHash::TAG_LEN
    }

    fn hash_text(&self, password: &str, random: &dyn SecureRandom) -> Result<PasswordHash, HashError> {
        let mut salt = [0; PasswordHash::SALT_LEN];
        random.fill(&mut salt).map_err(|_| HashError { kind: HashErrorKind::Random })?;
        let mut tag = [0; PasswordHash::TAG_LEN];
        self.argon2(self.parameters, &salt, password, &mut tag).map_err(|failure| HashError {
            kind: match failure {
                Failure::Overloaded => HashErrorKind::Overloaded { retry_after: self.budget.max_wait() },
                Failure::Parameters => HashErrorKind::Internal,
            },
        })?;
        Ok(PasswordHash::from_parts(self.parameters, &salt, &tag))
    }

    fn argon2(
        &self,
        parameters: HashParameters,
        salt: &[u8],
        password: &str,
        tag: &mut [u8],
    ) -> Result<(), Failure> {
        let params =
            Params::new(parameters.memory_kib(), parameters.passes(), parameters.lanes(), Some(tag.len()))
                .map_err(|_| Failure::Parameters)?;
        let memory = self.budget.take(parameters.memory_kib()).map_err(|memory::Full| Failure::Overloaded)?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password.as_bytes(), salt, tag, memory)
            .map_err(|_| Failure::Parameters)
    }
}

enum Failure {
    Overloaded,
    Parameters,
}

/// Builds a [`PasswordHasher`].
#[derive(Clone, Debug)]
#[must_use]
pub struct PasswordHasherBuilder {
    parameters: HashParameters,
    budget_mib: u32,
    max_waiting: usize,
    max_wait: Duration,
}

impl PasswordHasherBuilder {
    /// Sets the parameters of new hashes.
    pub fn parameters(mut self, parameters: HashParameters) -> Self {
        self.parameters = parameters;
        self
    }

    /// How much memory all hashes together may use, in MiB; at least one hash always fits. A stored hash that
    /// asks for more than all of it is verified alone.
    pub fn memory_budget_mib(mut self, mib: u32) -> Self {
        self.budget_mib = mib;
        self
    }

    /// How many callers may wait for memory, and how long.
    pub fn queue(mut self, max_waiting: usize, max_wait: Duration) -> Self {
        self.max_waiting = max_waiting;
        self.max_wait = max_wait;
        self
    }

    /// Builds the hasher. Memory is taken when it is first needed.
    #[must_use]
    pub fn build(self) -> PasswordHasher {
        let budget_kib =
            u64::from(self.budget_mib).saturating_mul(1024).max(u64::from(self.parameters.memory_kib()));
        let budget =
            MemoryBudget::new(budget_kib, self.parameters.memory_kib(), self.max_waiting, self.max_wait);
        PasswordHasher { parameters: self.parameters, budget }
    }
}

/// A password that matched its stored hash: what [`PasswordHasher::rehash`] takes. Zeroised when dropped.
#[must_use]
pub struct VerifiedPassword {
    secret: Zeroizing<String>,
    needs_rehash: bool,
}

impl VerifiedPassword {
    /// Whether the stored hash has other parameters than new ones get: store a
    /// [new one](PasswordHasher::rehash).
    #[must_use]
    pub const fn needs_rehash(&self) -> bool {
        self.needs_rehash
    }
}

impl fmt::Debug for VerifiedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedPassword").field("needs_rehash", &self.needs_rehash).finish_non_exhaustive()
    }
}

/// A password that could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("password not hashed: {text}", text = .kind.text())]
pub struct HashError {
    kind: HashErrorKind,
}

impl HashError {
    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> HashErrorKind {
        self.kind
    }

    /// The stable operator code, `password.overloaded` for one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }
}

impl Reason for HashError {
    fn code(&self) -> ReasonCode {
        match self.kind {
            HashErrorKind::Internal => reason_code!("password.internal"),
            HashErrorKind::Overloaded { .. } => reason_code!("password.overloaded"),
            HashErrorKind::Random => reason_code!("password.random"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        reason_code!("password.unavailable")
    }
}

/// What went wrong with hashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashErrorKind {
    /// Argon2 refused parameters that were checked before. Does not happen.
    Internal,
    /// The memory budget is spent.
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The random source failed.
    Random,
}

impl HashErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Internal => "argon2 refused its parameters",
            Self::Overloaded { .. } => "too many at once",
            Self::Random => "the random source failed",
        }
    }
}

/// A password that did not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("password not verified: {text}", text = .kind.text())]
pub struct VerifyError {
    kind: VerifyErrorKind,
}

impl VerifyError {
    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> VerifyErrorKind {
        self.kind
    }

    /// The stable operator code, `password.rejected` for one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }
}

impl Reason for VerifyError {
    fn code(&self) -> ReasonCode {
        match self.kind {
            VerifyErrorKind::Internal => reason_code!("password.internal"),
            VerifyErrorKind::Overloaded { .. } => reason_code!("password.overloaded"),
            VerifyErrorKind::Rejected => reason_code!("password.rejected"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        match self.kind {
            VerifyErrorKind::Rejected => reason_code!("password.rejected"),
            VerifyErrorKind::Internal | VerifyErrorKind::Overloaded { .. } => {
                reason_code!("password.unavailable")
            }
        }
    }
}

/// What went wrong with verifying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// Argon2 refused parameters that were checked before. Does not happen.
    Internal,
    /// The memory budget is spent.
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// Wrong password or unknown user; nothing tells them apart.
    Rejected,
}

impl VerifyErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Internal => "argon2 refused its parameters",
            Self::Overloaded { .. } => "too many at once",
            Self::Rejected => "wrong password or unknown user",
        }
    }
}
