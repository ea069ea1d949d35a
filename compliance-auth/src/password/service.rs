//! Service: policy and hasher for async code, with every decision in the audit trail.
//!
//! [`PasswordService`] does the blocking work on Tokio's blocking threads. What a request holds there – its place in the
//! queue, its memory – belongs to the work and not to the future: a cancelled request frees nothing before the work is
//! done. Requests beyond what can run and wait are refused before a thread is taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use compliance_core::class::Public;
use compliance_core::clock::Clock;
use compliance_core::event::{
    Actor, Event, EventKind, RecordError, RecordErrorKind, Recorded, Recorder, Recording, Sink,
};
use compliance_core::finding::{Explain as _, Finding, Outcome, Reason, ReasonCode};
use compliance_core::id::{SubjectId, TenantId};
use compliance_core::random::SecureRandom;
use compliance_core::reason_code;
use compliance_core::request::{ClientAddress, Correlation};
use secrecy::SecretString;

use super::context::PasswordContext;
use super::hash::{
    HashError, HashErrorKind, HashSource, PasswordHash, PasswordHasher, VerifyError, VerifyErrorKind,
};
use super::policy::{AcceptedPassword, PasswordPolicy, PasswordRefusal};

/// Who tries, from where: what goes into the trail beside the decision.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Attempt {
    subject: Option<SubjectId>,
    tenant: Option<TenantId>,
    client: Option<ClientAddress>,
    correlation: Option<Correlation>,
}

impl Attempt {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whose account.
    pub fn subject(mut self, subject: SubjectId) -> Self {
        self.subject = Some(subject);
        self
    }

    /// In which tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// From where. Its network is the source that may not take the whole queue; the trail keeps the network too.
    pub fn client(mut self, client: ClientAddress) -> Self {
        self.client = Some(client);
        self
    }

    /// As part of which request.
    pub fn correlation(mut self, correlation: Correlation) -> Self {
        self.correlation = Some(correlation);
        self
    }
}

/// A new password to be checked and hashed.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a request: what it takes to set a password")]
pub struct SetPassword {
    /// Who tries.
    pub attempt: Attempt,
    /// What they chose.
    pub password: SecretString,
    /// What is known of them and of the service.
    pub context: PasswordContext,
}

/// A password to be verified.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "a request: what it takes to verify a password")]
pub struct LogIn {
    /// Who tries.
    pub attempt: Attempt,
    /// What they typed.
    pub password: SecretString,
    /// What is stored for the user; `None` for an unknown one.
    pub stored: Option<PasswordHash>,
    /// What is known of them and of the service, to say what today's policy has against the password.
    pub context: PasswordContext,
}

/// A password that verified.
#[derive(Debug)]
#[must_use]
pub struct LoggedIn {
    renewed: Option<PasswordHash>,
    outdated: Option<PasswordRefusal>,
    is_truncated: bool,
}

impl LoggedIn {
    /// A new hash to store instead of the old one, if that is outdated.
    #[must_use]
    pub fn renewed(&self) -> Option<&PasswordHash> {
        self.renewed.as_ref()
    }

    /// Whether only the first 72 bytes of the password were compared (bcrypt). Nobody knows whether the rest was right, so
    /// the hash is not renewed: ask for a new password.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// What today's policy has against the password. Ask for a new one at a good moment.
    #[must_use]
    pub fn outdated(&self) -> Option<&PasswordRefusal> {
        self.outdated.as_ref()
    }
}

/// Policy and hasher for async code. Cheap to clone; one for the whole process.
///
/// A decision that cannot be recorded is not made: the answer is [`PasswordServiceError::NotRecorded`]. Who is turned away
/// because too many are there is on record, too (`password.overloaded`). Every log-in that fails is a record unless the
/// recorder [limits failures](Recorder::limit_failures): give it a limit, or a flood of them fills the disk.
///
/// Also a [`tower_service::Service`] of [`SetPassword`] and of [`LogIn`], to put limits and time-outs around it.
#[derive(Clone)]
pub struct PasswordService {
    inner: Arc<Inner>,
}

struct Inner {
    policy: PasswordPolicy,
    hasher: PasswordHasher,
    recorder: Arc<Recorder<Arc<dyn Sink>>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn SecureRandom>,
    in_flight: AtomicUsize,
}

/// A place among those that run and wait. Moves into the blocking work.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PasswordService {
    /// Joins its parts.
    pub fn new(
        policy: PasswordPolicy,
        hasher: PasswordHasher,
        recorder: Arc<Recorder<Arc<dyn Sink>>>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn SecureRandom>,
    ) -> Self {
        let in_flight = AtomicUsize::new(0);
        Self { inner: Arc::new(Inner { policy, hasher, recorder, clock, random, in_flight }) }
    }

    /// Checks a new password and hashes it. Records `check.decided` with the policy's finding.
    ///
    /// # Errors
    /// [`PasswordServiceError`].
    pub async fn set(&self, request: SetPassword) -> Result<PasswordHash, PasswordServiceError> {
        let SetPassword { attempt, password, context } = request;
        let (inner, place) = match self.enter() {
            Ok(entered) => entered,
            Err(error) => return self.turn_away(EventKind::CheckDecided, &attempt, error).await,
        };
        let work = move || {
            let _place = place;
            let checked = inner.policy.check(&password, &context);
            inner.keep(&attempt, checked)
        };
        finish(run(work).await?).await
    }

    /// Hashes what a policy has checked already, and something else after it, as a range client does. Records
    /// `check.decided` with the finding, of a refusal too.
    ///
    /// # Errors
    /// [`PasswordServiceError`].
    pub async fn set_checked(
        &self,
        attempt: Attempt,
        checked: Result<AcceptedPassword, PasswordRefusal>,
    ) -> Result<PasswordHash, PasswordServiceError> {
        let (inner, place) = match self.enter() {
            Ok(entered) => entered,
            Err(error) => return self.turn_away(EventKind::CheckDecided, &attempt, error).await,
        };
        let work = move || {
            let _place = place;
            inner.keep(&attempt, checked)
        };
        finish(run(work).await?).await
    }

    /// Verifies a password, in the same time for unknown users, and hashes it again where that is due. Records
    /// `authentication.login`; and `check.decided`, report-only, when today's policy would refuse the password.
    ///
    /// # Errors
    /// [`PasswordServiceError`]; wrong password and unknown user are the same.
    pub async fn log_in(&self, request: LogIn) -> Result<LoggedIn, PasswordServiceError> {
        let LogIn { attempt, password, stored, context } = request;
        let (inner, place) = match self.enter() {
            Ok(entered) => entered,
            Err(error) => return self.turn_away(EventKind::AuthenticationLogin, &attempt, error).await,
        };
        let work = move || {
            let _place = place;
            let source = attempt.client.as_ref().map(HashSource::client);
            let verified = match &source {
                Some(source) => inner.hasher.verify_for(source, stored.as_ref(), &password),
                None => inner.hasher.verify(stored.as_ref(), &password),
            };
            let verified = match verified {
                Ok(verified) => verified,
                Err(error) => {
                    let finding = inner.failure(&error);
                    let recorded = inner.record(EventKind::AuthenticationLogin, &attempt, &finding, None);
                    return (Err(error.into()), recorded);
                }
            };
            let outdated = verified.review(&inner.policy, &context);
            // An old hash stays good: a log-in does not fail for want of memory.
            let renew = || match &source {
                Some(source) => inner.hasher.rehash_for(source, &verified, &*inner.random),
                None => inner.hasher.rehash(&verified, &*inner.random),
            };
            let renewed = verified.needs_rehash().then(|| renew().ok()).flatten();
            let code = if verified.is_truncated() {
                reason_code!("password.verified_truncated")
            } else {
                reason_code!("password.verified")
            };
            let finding = Finding::passed(code, inner.policy.version().clone());
            let scheme = Some(verified.scheme().as_str());
            let mut recorded = inner.record(EventKind::AuthenticationLogin, &attempt, &finding, scheme);
            if let Some(refusal) = &outdated {
                recorded.extend(inner.record(EventKind::CheckDecided, &attempt, &refusal.finding(), None));
            }
            (Ok(LoggedIn { renewed, outdated, is_truncated: verified.is_truncated() }), recorded)
        };
        finish(run(work).await?).await
    }

    /// Takes a place, or refuses.
    fn enter(&self) -> Result<(Arc<Inner>, Place), PasswordServiceError> {
        let inner = Arc::clone(&self.inner);
        let before = inner.in_flight.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(&inner));
        if before >= inner.hasher.capacity() {
            return Err(PasswordServiceError::Overloaded { retry_after: inner.hasher.retry_after() });
        }
        Ok((inner, place))
    }

    /// Who found no place is on record like everybody else.
    async fn turn_away<T>(
        &self,
        kind: EventKind,
        attempt: &Attempt,
        error: PasswordServiceError,
    ) -> Result<T, PasswordServiceError> {
        let recorded = self.inner.record(kind, attempt, &self.inner.failure(&error), None);
        finish((Err(error), recorded)).await
    }
}

impl std::fmt::Debug for PasswordService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordService")
            .field("policy", self.inner.policy.version())
            .field("hasher", &self.inner.hasher)
            .finish_non_exhaustive()
    }
}

impl Inner {
    /// Hashes what passed, and records what was decided.
    fn keep(
        &self,
        attempt: &Attempt,
        checked: Result<AcceptedPassword, PasswordRefusal>,
    ) -> (Result<PasswordHash, PasswordServiceError>, Vec<Recording>) {
        let (result, finding) = match checked {
            Err(refusal) => {
                let finding = refusal.finding();
                (Err(PasswordServiceError::Refused(refusal)), finding)
            }
            Ok(accepted) => match self.hash(attempt, &accepted) {
                Ok(hash) => (Ok(hash), accepted.finding()),
                Err(error) => {
                    let finding = self.failure(&error);
                    (Err(error.into()), finding)
                }
            },
        };
        (result, self.record(EventKind::CheckDecided, attempt, &finding, None))
    }

    fn hash(&self, attempt: &Attempt, accepted: &AcceptedPassword) -> Result<PasswordHash, HashError> {
        match &attempt.client {
            Some(client) => self.hasher.hash_for(&HashSource::client(client), accepted, &*self.random),
            None => self.hasher.hash(accepted, &*self.random),
        }
    }

    fn failure(&self, reason: &dyn Reason) -> Finding {
        Finding::for_reason(Outcome::Refused, reason, self.policy.version().clone())
    }

    /// Hands an event over; never the password, nor anything about it but what the finding says.
    fn record(
        &self,
        kind: EventKind,
        attempt: &Attempt,
        finding: &Finding,
        scheme: Option<&'static str>,
    ) -> Vec<Recording> {
        let mut event =
            Event::builder(kind, finding.outcome(), Actor::Anonymous, self.clock.now()).finding(finding);
        if let Some(subject) = &attempt.subject {
            event = event.subject(subject.clone());
        }
        if let Some(tenant) = &attempt.tenant {
            event = event.tenant(tenant.clone());
        }
        if let Some(client) = &attempt.client {
            event = event.client(client);
        }
        if let Some(correlation) = attempt.correlation {
            event = event.correlation(correlation);
        }
        if let Some(scheme) = scheme {
            event = event.field("scheme", Public(scheme));
        }
        // INVARIANT: none of the parts above exceeds its limit. An event that does not build is one not recorded.
        match event.build() {
            Ok(event) => match self.recorder.record(event) {
                Recorded::Counted => Vec::new(),
                Recorded::Sent(recording) => vec![recording],
            },
            Err(_) => vec![Recording::ready(Err(RecordError::new(RecordErrorKind::Abandoned)))],
        }
    }
}

async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PasswordServiceError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| PasswordServiceError::Internal)
}

/// Waits until everything is recorded.
async fn finish<T>(
    (result, recorded): (Result<T, PasswordServiceError>, Vec<Recording>),
) -> Result<T, PasswordServiceError> {
    for recording in recorded {
        if recording.await.is_err() {
            return Err(PasswordServiceError::NotRecorded);
        }
    }
    result
}

/// Why there is no hash or no log-in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordServiceError {
    /// The work ended without an answer.
    #[error("the work ended without an answer")]
    Internal,
    /// The decision could not be recorded.
    #[error("the decision could not be recorded")]
    NotRecorded,
    /// Too many at once.
    #[error("too many at once")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The policy refused the password.
    #[error("{0}")]
    Refused(PasswordRefusal),
    /// Wrong password or unknown user.
    #[error("wrong password or unknown user")]
    Rejected,
}

impl Reason for PasswordServiceError {
    fn code(&self) -> ReasonCode {
        match self {
            Self::Internal => reason_code!("password.internal"),
            Self::NotRecorded => reason_code!("password.not_recorded"),
            Self::Overloaded { .. } => reason_code!("password.overloaded"),
            Self::Refused(refusal) => refusal.finding().operator_code(),
            Self::Rejected => reason_code!("password.rejected"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        match self {
            Self::Internal | Self::NotRecorded | Self::Overloaded { .. } => {
                reason_code!("password.unavailable")
            }
            Self::Refused(_) | Self::Rejected => Reason::code(self),
        }
    }
}

impl From<HashError> for PasswordServiceError {
    fn from(error: HashError) -> Self {
        match error.kind() {
            HashErrorKind::Overloaded { retry_after } => Self::Overloaded { retry_after },
            HashErrorKind::Internal | HashErrorKind::Random => Self::Internal,
        }
    }
}

impl From<VerifyError> for PasswordServiceError {
    fn from(error: VerifyError) -> Self {
        match error.kind() {
            VerifyErrorKind::Overloaded { retry_after } => Self::Overloaded { retry_after },
            // The trail says which of the two; an answer of its own would tell that there is a user.
            VerifyErrorKind::Rejected | VerifyErrorKind::Pepper => Self::Rejected,
            VerifyErrorKind::Internal => Self::Internal,
        }
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, PasswordServiceError>> + Send>>;

impl tower_service::Service<SetPassword> for PasswordService {
    type Response = PasswordHash;
    type Error = PasswordServiceError;
    type Future = Answer<PasswordHash>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PasswordServiceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: SetPassword) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { service.set(request).await })
    }
}

impl tower_service::Service<LogIn> for PasswordService {
    type Response = LoggedIn;
    type Error = PasswordServiceError;
    type Future = Answer<LoggedIn>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PasswordServiceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: LogIn) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { service.log_in(request).await })
    }
}
