//! Hash: Argon2id (RFC 9106) within a memory budget, PHC strings, one path for every log-in.
//!
//! [`PasswordHasher::hash`] takes an [`AcceptedPassword`] and nothing else. [`PasswordHasher::verify`] takes
//! the stored hash of the user *or none*, and does the same work for both: an unknown user looks like a wrong
//! password, in the answer and in time.
//!
//! Each hash takes tens of megabytes. A hundred log-ins at once must not take a hundred times that, so memory
//! comes from a budget; who finds it spent waits a bounded time in a bounded queue and is then told to come
//! back ([`VerifyErrorKind::Overloaded`]). No [source](HashSource) gets more than a quarter of that queue.
//!
//! Hashes of other systems are [imported](PasswordHash::import), verified, and replaced at the next log-in.

mod legacy;
mod memory;
mod pepper;
mod phc;

pub use memory::HashSource;
pub use pepper::{Pepper, PepperError, PepperErrorKind};
pub use phc::{
    HashParameters, HashParametersError, HashScheme, PasswordHash, PasswordHashError, PasswordHashErrorKind,
};

use std::fmt;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use compliance_core::finding::{Enforcement, Reason, ReasonCode};
use compliance_core::random::SecureRandom;
use compliance_core::reason_code;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::context::PasswordContext;
use super::policy::{AcceptedPassword, PasswordPolicy, PasswordRefusal, nfc};
use legacy::Legacy;
use memory::{Caller, MemoryBudget};
use pepper::PepperId;
use phc::{Argon2Hash, Kind};

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
    /// The current one first.
    peppers: Vec<Pepper>,
    /// What stands in for the hash of an unknown user, and for hashes still to be migrated.
    stand_ins: Vec<PasswordHash>,
}

impl PasswordHasher {
    /// The longest password verified, in bytes. No accepted password is longer.
    pub const MAX_PASSWORD_LEN: usize = 4096;

    /// Starts a hasher: [default parameters](HashParameters::M19456_T2), 256 MiB, a queue of 64, a wait of
    /// two seconds, no pepper.
    pub fn builder() -> PasswordHasherBuilder {
        PasswordHasherBuilder {
            parameters: HashParameters::default(),
            budget_mib: 256,
            max_waiting: 64,
            max_wait: Duration::from_secs(2),
            pepper: None,
            retired: Vec::new(),
            migrating: Vec::new(),
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
        self.hash_text(password.secret().expose_secret(), random, None)
    }

    /// [`hash`](Self::hash), for a source that may not take the whole queue.
    ///
    /// # Errors
    /// [`HashError`]: no randomness, or overloaded.
    pub fn hash_for(
        &self,
        source: &HashSource,
        password: &AcceptedPassword,
        random: &dyn SecureRandom,
    ) -> Result<PasswordHash, HashError> {
        self.hash_text(password.secret().expose_secret(), random, Some(source))
    }

    /// Hashes a verified password again, with today's parameters and pepper and a fresh salt.
    ///
    /// A password that verified may be stored again even if today's policy would refuse it:
    /// [`VerifiedPassword::review`] says so for the trail.
    ///
    /// # Errors
    /// [`HashError`]: no randomness, or overloaded. The old hash stays good then.
    pub fn rehash(
        &self,
        password: &VerifiedPassword,
        random: &dyn SecureRandom,
    ) -> Result<PasswordHash, HashError> {
        self.hash_text(&password.secret, random, None)
    }

    /// [`rehash`](Self::rehash), for a source that may not take the whole queue.
    ///
    /// # Errors
    /// [`HashError`]: no randomness, or overloaded. The old hash stays good then.
    pub fn rehash_for(
        &self,
        source: &HashSource,
        password: &VerifiedPassword,
        random: &dyn SecureRandom,
    ) -> Result<PasswordHash, HashError> {
        self.hash_text(&password.secret, random, Some(source))
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
    /// Every call does the work of today's parameters and of each kind of hash named with
    /// [`migrating_from`](PasswordHasherBuilder::migrating_from), so that unknown users, wrong passwords, today's and
    /// yesterday's hashes take the same time. A hash of another kind, or a dearer one, is verified on top, and takes longer:
    /// name its kind by the dearest.
    pub fn verify(
        &self,
        stored: Option<&PasswordHash>,
        password: &SecretString,
    ) -> Result<VerifiedPassword, VerifyError> {
        self.verify_text(stored, password.expose_secret(), None)
    }

    /// [`verify`](Self::verify), for a source that may not take the whole queue.
    ///
    /// # Errors
    /// [`VerifyError`]. Wrong password and unknown user are the same kind.
    pub fn verify_for(
        &self,
        source: &HashSource,
        stored: Option<&PasswordHash>,
        password: &SecretString,
    ) -> Result<VerifiedPassword, VerifyError> {
        self.verify_text(stored, password.expose_secret(), Some(source))
    }

    /// Puts today's pepper over a stored hash, without the password: to rotate, wrap the whole table. A hash that has it
    /// already stays as it is.
    ///
    /// # Errors
    /// [`PepperError`]: no pepper, another scheme than Argon2id, or wrapped [`Pepper::MAX_WRAPS`] times already.
    pub fn wrap(&self, stored: &PasswordHash) -> Result<PasswordHash, PepperError> {
        let pepper = self.peppers.first().filter(|_| self.current_pepper().is_some());
        let pepper = pepper.ok_or(PepperError::of(PepperErrorKind::None))?;
        let Kind::Argon2(hash) = stored.kind() else { return Err(PepperError::of(PepperErrorKind::Scheme)) };
        if PasswordHash::parse(stored.as_str()).is_err() || hash.tag.len() != PasswordHash::TAG_LEN {
            return Err(PepperError::of(PepperErrorKind::Scheme));
        }
        if hash.peppers.last() == Some(pepper.id()) {
            return Ok(stored.clone());
        }
        if hash.peppers.len() >= Pepper::MAX_WRAPS {
            return Err(PepperError::of(PepperErrorKind::Wraps));
        }
        let mut peppers = hash.peppers.clone();
        peppers.push(pepper.id().clone());
        Ok(PasswordHash::from_parts(hash.parameters, &hash.salt, &pepper.apply(&hash.tag), peppers))
    }

    /// The parameters of new hashes.
    #[must_use]
    pub const fn parameters(&self) -> HashParameters {
        self.parameters
    }

    /// How many callers hash and wait at most; further ones are refused.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.budget.capacity()
    }

    /// When to come back when it is overloaded.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        self.budget.max_wait()
    }

    fn current_pepper(&self) -> Option<&PepperId> {
        let stand_in = self.stand_ins.first()?;
        let Kind::Argon2(hash) = stand_in.kind() else { return None };
        hash.peppers.first()
    }

    fn verify_text(
        &self,
        stored: Option<&PasswordHash>,
        received: &str,
        source: Option<&HashSource>,
    ) -> Result<VerifiedPassword, VerifyError> {
        let rejected = VerifyError { kind: VerifyErrorKind::Rejected };
        if received.len() > Self::MAX_PASSWORD_LEN {
            return Err(rejected);
        }
        let mut work: Vec<(&PasswordHash, Choice)> =
            self.stand_ins.iter().map(|stand_in| (stand_in, Choice::from(0))).collect();
        let mut missing = Vec::new();
        if let Some(stored) = stored {
            let real = (stored, Choice::from(1));
            let slot = work.iter_mut().find_map(|slot| Some((stored.missing_work(slot.0)?, slot)));
            match slot {
                Some((rest, slot)) => (missing, *slot) = (rest, real),
                None => work.push(real),
            }
        }
        let mut forms = vec![nfc(received)];
        if forms.iter().any(|normal| normal.as_str() != received) {
            forms.push(Zeroizing::new(received.to_owned()));
        }
        let caller = self.budget.caller(source);
        let (mut found, mut lacks_pepper) = (None, false);
        for form in forms {
            let mut same = Choice::from(0);
            for (hash, real) in &work {
                match self.matches(hash, &form, caller) {
                    Ok(matches) => same |= matches & *real,
                    // The rest of the work is done all the same: the time does not tell that there is a user.
                    Err(Failure::Pepper) => lacks_pepper = true,
                    Err(failure) => return Err(self.verify_error(failure)),
                }
            }
            for dummy in &missing {
                self.legacy(dummy, &form, caller).map_err(|failure| self.verify_error(failure))?;
            }
            if bool::from(same) && found.is_none() {
                found = Some(form);
            }
        }
        if lacks_pepper {
            return Err(self.verify_error(Failure::Pepper));
        }
        let (secret, stored) = found.zip(stored).ok_or(rejected)?;
        let is_truncated = matches!(stored.kind(), Kind::Legacy(legacy) if legacy.truncates(&secret));
        let needs_rehash = self.is_outdated(stored) && !is_truncated;
        Ok(VerifiedPassword { secret, needs_rehash, is_truncated, scheme: stored.scheme() })
    }

    fn matches(&self, stored: &PasswordHash, password: &str, caller: Caller<'_>) -> Result<Choice, Failure> {
        match stored.kind() {
            Kind::Argon2(hash) => {
                let mut tag = Zeroizing::new(vec![0; hash.tag.len()]);
                self.argon2(hash, password, &mut tag, caller)?;
                Ok(self.with_peppers(tag, &hash.peppers)?.ct_eq(&hash.tag))
            }
            Kind::Legacy(legacy) => self.legacy(legacy, password, caller),
        }
    }

    fn legacy(&self, legacy: &Legacy, password: &str, caller: Caller<'_>) -> Result<Choice, Failure> {
        // As much as a hash of ours, so that as few run at a time: their time is processor time.
        let memory = self.budget.reserve(legacy.memory_kib().max(self.parameters.memory_kib()), caller);
        let _permit = memory.map_err(|memory::Full| Failure::Overloaded)?;
        legacy.matches(password).map_err(|legacy::Refused| Failure::Parameters)
    }

    fn with_peppers(
        &self,
        mut tag: Zeroizing<Vec<u8>>,
        peppers: &[PepperId],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        for id in peppers {
            let pepper = self.peppers.iter().find(|pepper| pepper.id() == id).ok_or(Failure::Pepper)?;
            tag = pepper.apply(&tag);
        }
        Ok(tag)
    }

    fn is_outdated(&self, stored: &PasswordHash) -> bool {
        let Kind::Argon2(hash) = stored.kind() else { return true };
        (hash.algorithm, hash.version) != (Algorithm::Argon2id, Version::V0x13)
            || hash.parameters != self.parameters
            || hash.salt.len() < PasswordHash::SALT_LEN
            || hash.tag.len() < PasswordHash::TAG_LEN
            || !hash.peppers.iter().eq(self.current_pepper())
            // Written in a way that only `import` reads.
            || PasswordHash::parse(stored.as_str()).is_err()
    }

    fn hash_text(
        &self,
        password: &str,
        random: &dyn SecureRandom,
        source: Option<&HashSource>,
    ) -> Result<PasswordHash, HashError> {
        let mut salt = [0; PasswordHash::SALT_LEN];
        random.fill(&mut salt).map_err(|_| HashError { kind: HashErrorKind::Random })?;
        let peppers: Vec<PepperId> = self.current_pepper().cloned().into_iter().collect();
        let hash = Argon2Hash {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            parameters: self.parameters,
            salt: salt.to_vec(),
            tag: Vec::new(),
            peppers,
        };
        let mut tag = Zeroizing::new(vec![0; PasswordHash::TAG_LEN]);
        let tag = self
            .argon2(&hash, password, &mut tag, self.budget.caller(source))
            .and_then(|()| self.with_peppers(tag, &hash.peppers))
            .map_err(|failure| HashError {
                kind: match failure {
                    Failure::Overloaded => HashErrorKind::Overloaded { retry_after: self.budget.max_wait() },
                    Failure::Parameters | Failure::Pepper => HashErrorKind::Internal,
                },
            })?;
        Ok(PasswordHash::from_parts(self.parameters, &salt, &tag, hash.peppers))
    }

    fn argon2(
        &self,
        hash: &Argon2Hash,
        password: &str,
        tag: &mut [u8],
        caller: Caller<'_>,
    ) -> Result<(), Failure> {
        let (memory_kib, passes, lanes) =
            (hash.parameters.memory_kib(), hash.parameters.passes(), hash.parameters.lanes());
        let params =
            Params::new(memory_kib, passes, lanes, Some(tag.len())).map_err(|_| Failure::Parameters)?;
        let memory = self.budget.take(memory_kib, caller).map_err(|memory::Full| Failure::Overloaded)?;
        Argon2::new(hash.algorithm, hash.version, params)
            .hash_password_into_with_memory(password.as_bytes(), &hash.salt, tag, memory)
            .map_err(|_| Failure::Parameters)
    }

    fn verify_error(&self, failure: Failure) -> VerifyError {
        VerifyError {
            kind: match failure {
                Failure::Overloaded => VerifyErrorKind::Overloaded { retry_after: self.budget.max_wait() },
                Failure::Parameters => VerifyErrorKind::Internal,
                Failure::Pepper => VerifyErrorKind::Pepper,
            },
        }
    }
}

enum Failure {
    Overloaded,
    Parameters,
    Pepper,
}

/// Builds a [`PasswordHasher`].
#[derive(Debug)]
#[must_use]
pub struct PasswordHasherBuilder {
    parameters: HashParameters,
    budget_mib: u32,
    max_waiting: usize,
    max_wait: Duration,
    pepper: Option<Pepper>,
    retired: Vec<Pepper>,
    migrating: Vec<PasswordHash>,
}

impl PasswordHasherBuilder {
    /// Sets the parameters of new hashes. Default: [`HashParameters::M19456_T2`].
    ///
    /// Hashes with other parameters stay good, and need a [rehash](PasswordHasher::rehash). While there are many, name the
    /// old ones with [`migrating_from`](Self::migrating_from), or time tells who has not logged in since.
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

    /// How many callers may wait for memory, and how long: one call waits no longer, however many hashes it needs.
    pub fn queue(mut self, max_waiting: usize, max_wait: Duration) -> Self {
        self.max_waiting = max_waiting;
        self.max_wait = max_wait;
        self
    }

    /// Sets the pepper of new hashes.
    pub fn pepper(mut self, pepper: Pepper) -> Self {
        self.pepper = Some(pepper);
        self
    }

    /// Adds a pepper that stored hashes still need. New ones do without.
    ///
    /// Each pepper has an id of its own. Of several with one id the current one counts, then the first: hashes made with
    /// the other keys are rejected.
    pub fn retired_pepper(mut self, pepper: Pepper) -> Self {
        self.retired.push(pepper);
        self
    }

    /// Names a kind of hash that is being migrated, by the dearest of them: every [`verify`](PasswordHasher::verify) then
    /// does its work, too, and cheaper ones of the kind (fewer rounds of PBKDF2 or SHA-crypt, a lower cost of bcrypt, a
    /// smaller N of scrypt) are topped up to it, so that time does not tell who has moved, nor when. Costs that much for
    /// each log-in until it is taken away again.
    ///
    /// Argon2 strings count as one kind for each set of parameters.
    pub fn migrating_from(mut self, sample: PasswordHash) -> Self {
        if self.migrating.iter().all(|known| sample.missing_work(known).is_none()) {
            self.migrating.retain(|known| known.missing_work(&sample).is_none());
            self.migrating.push(sample);
        }
        self
    }

    /// Builds the hasher. Memory is taken when it is first needed.
    #[must_use]
    pub fn build(self) -> PasswordHasher {
        let budget_kib =
            u64::from(self.budget_mib).saturating_mul(1024).max(u64::from(self.parameters.memory_kib()));
        let budget =
            MemoryBudget::new(budget_kib, self.parameters.memory_kib(), self.max_waiting, self.max_wait);
        let current: Vec<PepperId> = self.pepper.iter().map(|pepper| pepper.id().clone()).collect();
        let unknown = PasswordHash::from_parts(
            self.parameters,
            &[0; PasswordHash::SALT_LEN],
            &[0; PasswordHash::TAG_LEN],
            current,
        );
        let others = self
            .migrating
            .into_iter()
            .filter(|sample| sample.missing_work(&unknown).is_none())
            .collect::<Vec<_>>();
        let stand_ins = std::iter::once(unknown).chain(others).collect();
        let peppers = self.pepper.into_iter().chain(self.retired).collect();
        PasswordHasher { parameters: self.parameters, budget, peppers, stand_ins }
    }
}

/// A password that matched its stored hash: what [`PasswordHasher::rehash`] takes. Zeroised when dropped.
#[must_use]
pub struct VerifiedPassword {
    secret: Zeroizing<String>,
    needs_rehash: bool,
    is_truncated: bool,
    scheme: HashScheme,
}

impl VerifiedPassword {
    /// Whether the stored hash has another scheme, other parameters or another pepper than new ones get: store a
    /// [new one](PasswordHasher::rehash).
    #[must_use]
    pub const fn needs_rehash(&self) -> bool {
        self.needs_rehash
    }

    /// What the stored hash was made with.
    #[must_use]
    pub const fn scheme(&self) -> HashScheme {
        self.scheme
    }

    /// Whether the stored hash covers only the first 72 bytes of the password (bcrypt). The rest was not compared: a new
    /// hash would make whatever was typed there part of the password. So it needs no rehash; ask for a new password.
    #[must_use]
    pub const fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// What today's policy has against it, for the trail: a log-in goes on all the same, and the password may be hashed
    /// again. The finding is [report-only](Enforcement::ReportOnly). Ask the person for a new password at a good moment.
    #[must_use]
    pub fn review(&self, policy: &PasswordPolicy, context: &PasswordContext) -> Option<PasswordRefusal> {
        let refusal = policy.judge(&self.secret, context).err()?;
        Some(refusal.with_enforcement(Enforcement::ReportOnly))
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
            VerifyErrorKind::Pepper => reason_code!("password.pepper"),
            VerifyErrorKind::Rejected => reason_code!("password.rejected"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        match self.kind {
            // Only a user who exists has a pepper to be missed.
            VerifyErrorKind::Pepper | VerifyErrorKind::Rejected => reason_code!("password.rejected"),
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
    /// The stored hash went through a pepper that the hasher does not have: a fault of the operator's. Its public code is
    /// that of a wrong password, as an unknown user has no pepper to be missed.
    Pepper,
    /// Wrong password or unknown user; nothing tells them apart.
    Rejected,
}

impl VerifyErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Internal => "argon2 refused its parameters",
            Self::Overloaded { .. } => "too many at once",
            Self::Pepper => "the hasher does not have its pepper",
            Self::Rejected => "wrong password or unknown user",
        }
    }
}

#[cfg(test)]
mod tests {
    use argon2::ParamsBuilder;

    use super::*;

    /// RFC 9106, sections 5.1 to 5.3. Secret and associated data are not in a PHC string, so these go to the engine.
    #[test]
    fn the_engine_computes_the_tags_of_rfc_9106() {
        for (algorithm, tag) in [
            (Algorithm::Argon2d, "512b391b6f1162975371d30919734294f868e3be3984f3c1a13a4db9fabe4acb"),
            (Algorithm::Argon2i, "c814d9d1dc7f37aa13f0d77f2494bda1c8de6b016dd388d29952a4c4672b6ce8"),
            (Algorithm::Argon2id, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"),
        ] {
            let data = argon2::AssociatedData::new(&[4; 12]).unwrap();
            let params = ParamsBuilder::new()
                .m_cost(32)
                .t_cost(3)
                .p_cost(4)
                .output_len(32)
                .data(data)
                .build()
                .unwrap();
            let engine = Argon2::new_with_secret(&[3; 8], algorithm, Version::V0x13, params).unwrap();
            let mut found = [0; 32];
            engine.hash_password_into(&[1; 32], &[2; 16], &mut found).unwrap();
            let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, tag, "{algorithm}");
        }
    }

    #[test]
    fn who_finds_the_memory_spent_is_told_to_come_back() {
        // Nobody may wait.
        let wait = Duration::from_secs(3);
        let hasher = PasswordHasher::builder().memory_budget_mib(20).queue(0, wait).build();
        let password = SecretString::from("zq7-velour-antelope-91");
        let verify = || hasher.verify(None, &password).unwrap_err().kind();
        let all = hasher.budget.take(19_456, hasher.budget.caller(None)).ok().unwrap();
        assert_eq!(verify(), VerifyErrorKind::Overloaded { retry_after: wait });
        drop(all);
        assert_eq!(verify(), VerifyErrorKind::Rejected);
    }
}
