//! Everything between a request and its handler.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use compliance_core::clock::Clock;
use compliance_core::event::{Actor, Event, EventKind, Recorded, Recorder, Sink};
use compliance_core::finding::{Explain as _, Finding, Reason, ReasonCode};
use compliance_core::reason_code;

use super::{
    Admission, Admitted, MemoryReplayCache, Message, Received, ReplayCache, ReplayError, ReplayErrorKind,
    ReplayGate, RequestHead, Verified, VerifyError, VerifyReason, VerifyRequest,
};

/// Verifies requests and lets each message through once.
///
/// A server reads the body up to [`max_body_len`](Self::max_body_len) and hands it to [`receive`](Self::receive). The
/// extractors for axum and actix-web (features `axum`, `actix-web`) do so by themselves: they take a receiver from the
/// application's state and give the handler a [`Webhook`].
///
/// ```
/// use std::sync::Arc;
/// use compliance_core::clock::{Clock as _, SystemClock};
/// use compliance_webhook::verify::{MemoryReplayCache, ReplayGate, RequestHead, WebhookReceiver};
/// use compliance_webhook::{MessageId, Signer, SigningKey, Verifier};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let key = SigningKey::from_bytes(&[7; 32])?;
/// let gate = ReplayGate::new(Arc::new(MemoryReplayCache::new(10_000)), "billing");
/// let receiver = WebhookReceiver::new(Verifier::new(key.clone()), gate, Arc::new(SystemClock));
///
/// let id = MessageId::parse("msg_1")?;
/// let signed = Signer::new(key).sign(&id, SystemClock.now(), b"{}")?;
/// let pairs = signed.pairs();
/// let request = || RequestHead::new("POST", "/hooks", pairs.iter().map(|(name, value)| (*name, value.as_bytes())));
///
/// let webhook = receiver.receive(&request(), "{}".into()).await?;
/// assert_eq!(*webhook.message().body(), "{}");
/// webhook.commit().await?;
///
/// // A sender that did not hear the answer comes again, and hears it now.
/// let again = receiver.receive(&request(), "{}".into()).await.unwrap_err();
/// assert_eq!((again.status(), again.code()), (200, "replay.duplicate"));
/// let forged = receiver.receive(&request(), "{\"paid\":true}".into()).await.unwrap_err();
/// assert_eq!((forged.status(), forged.code()), (403, "verify.signature"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
/// It sets no time limit on a body that drips in; that is for the server below.
pub struct WebhookReceiver<C = Arc<MemoryReplayCache>> {
    verifier: Arc<dyn VerifyRequest<Bytes>>,
    gate: ReplayGate<C>,
    clock: Arc<dyn Clock>,
    recorder: Option<Arc<Recorder<Arc<dyn Sink>>>>,
}

impl<C: Clone> Clone for WebhookReceiver<C> {
    fn clone(&self) -> Self {
        Self {
            verifier: Arc::clone(&self.verifier),
            gate: self.gate.clone(),
            clock: Arc::clone(&self.clock),
            recorder: self.recorder.clone(),
        }
    }
}

impl<C> fmt::Debug for WebhookReceiver<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookReceiver").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl<C: ReplayCache + Clone> WebhookReceiver<C> {
    /// One receiver per endpoint: verifier and gate know one sender's messages.
    #[must_use]
    pub fn new(
        verifier: impl VerifyRequest<Bytes> + 'static,
        gate: ReplayGate<C>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { verifier: Arc::new(verifier), gate, clock, recorder: None }
    }

    /// Records what the verifier decides about each request: refusals always, passes as the recorder's policy says.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<Recorder<Arc<dyn Sink>>>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The longest body, in bytes: stop reading a request there and answer with
    /// [`ReceiveError::body_too_long`].
    #[must_use]
    pub fn max_body_len(&self) -> usize {
        self.verifier.max_body_len()
    }

    /// Verifies the request and reserves its message.
    ///
    /// A verifier on trial enforces here: what it refuses is no [`Webhook`]. See
    /// [`receive_on_trial`](Self::receive_on_trial).
    ///
    /// # Errors
    /// [`ReceiveError`], which knows the status to answer with; for a duplicate that is 200.
    pub async fn receive(&self, head: &RequestHead<'_>, body: Bytes) -> Result<Webhook<C>, ReceiveError> {
        let now = self.clock.now();
        let decision = self.verifier.decide_request(head, body, now);
        self.record(|| decision.finding());
        match self.gate.admit(decision.into_verified()?, now).await? {
            Admission::Duplicate => Err(ReceiveReason::Duplicate.into()),
            Admission::Fresh(admitted) => Ok(Webhook { admitted, clock: Arc::clone(&self.clock) }),
        }
    }

    /// Verifies the request and says what came of it, without the replay gate: what nobody signed has no id.
    ///
    /// # Errors
    /// [`ReceiveError`] when a verifier that is not on trial refuses.
    pub fn receive_on_trial(
        &self,
        head: &RequestHead<'_>,
        body: Bytes,
    ) -> Result<Received<Bytes>, ReceiveError> {
        let decision = self.verifier.decide_request(head, body, self.clock.now());
        self.record(|| decision.finding());
        Ok(decision.into_result()?)
    }

    fn record(&self, finding: impl FnOnce() -> Finding) {
        let Some(recorder) = &self.recorder else { return };
        let finding = finding();
        let event =
            Event::builder(EventKind::CheckDecided, finding.outcome(), Actor::Anonymous, self.clock.now());
        // An event of a finding is within every limit.
        if let Ok(event) = event.finding(&finding).build() {
            match recorder.record(event) {
                // The sink has taken it over; a sender does not wait for the disk.
                Recorded::Counted | Recorded::Sent(_) => {}
            }
        }
    }
}

/// A verified message for the handler, which nobody else handles now: an extractor for axum and actix-web.
///
/// [Commit](Self::commit) it when it is handled and answer 2xx. [Release](Self::release) it when handling failed, so
/// that the sender's next attempt may try at once; dropped, it is free again when the gate's time for handling is over.
#[must_use = "commit it when it is handled"]
pub struct Webhook<C = Arc<MemoryReplayCache>> {
    admitted: Admitted<Bytes, C>,
    clock: Arc<dyn Clock>,
}

impl<C: ReplayCache> Webhook<C> {
    /// The message.
    #[must_use]
    pub fn message(&self) -> &Message<Bytes> {
        self.admitted.message()
    }

    /// Says that it is handled, see [`Admitted::commit`].
    ///
    /// # Errors
    /// `replay.lapsed` when handling took too long, `replay.unavailable` when the cache does not answer.
    pub async fn commit(self) -> Result<Verified<Message<Bytes>>, ReceiveError> {
        Ok(self.admitted.commit(self.clock.now()).await?)
    }

    /// Says that handling it failed.
    ///
    /// # Errors
    /// `replay.unavailable` when the cache does not answer.
    pub async fn release(self) -> Result<(), ReceiveError> {
        Ok(self.admitted.release().await?)
    }
}

impl<C> fmt::Debug for Webhook<C> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.admitted).finish()
    }
}

/// A message for the handler while the verifier is on trial: an extractor as [`Webhook`] is one, without the replay
/// gate.
pub struct WebhookOnTrial<C = Arc<MemoryReplayCache>> {
    received: Received<Bytes>,
    of: PhantomData<fn() -> C>,
}

impl<C> WebhookOnTrial<C> {
    #[cfg(any(feature = "actix-web", feature = "axum"))]
    pub(crate) fn new(received: Received<Bytes>) -> Self {
        Self { received, of: PhantomData }
    }

    /// The message, verified or not.
    pub fn into_received(self) -> Received<Bytes> {
        self.received
    }
}

impl<C> fmt::Debug for WebhookOnTrial<C> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebhookOnTrial").field(&self.received).finish()
    }
}

/// A request brought no message to handle. Never carries any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("webhook not received: {reason}")]
pub struct ReceiveError {
    reason: ReceiveReason,
}

/// Why there is nothing to handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveReason {
    /// `400`: the body did not come to its end.
    #[error("the body did not come to its end")]
    Body,
    /// `413`: the body is longer than the verifier takes.
    #[error("the body is longer than this receiver takes")]
    BodyLength,
    /// `200`: it has been handled before, and the sender may forget it.
    #[error("it has been handled before")]
    Duplicate,
    /// `500`: the application's state has no receiver.
    #[error("the application's state has no webhook receiver")]
    NoReceiver,
    /// `409` while it is being handled, or `503` when the cache does not answer.
    #[error("{}", ReplayError::from(*.0))]
    Replay(ReplayErrorKind),
    /// `403`: the verifier refused.
    #[error(transparent)]
    Verify(VerifyReason),
}

impl ReceiveError {
    /// For servers that stopped reading at [`WebhookReceiver::max_body_len`].
    #[must_use]
    pub fn body_too_long() -> Self {
        ReceiveReason::BodyLength.into()
    }

    /// For servers whose client stopped sending.
    #[must_use]
    pub fn body_broken() -> Self {
        ReceiveReason::Body.into()
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> ReceiveReason {
        self.reason
    }

    /// The exact code, for the operator.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }

    /// The HTTP status to answer with. Refusals of the verifier have one status, whatever the reason: 403, as 401 would
    /// need a challenge (RFC 9110 §15.5.2).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.reason {
            ReceiveReason::Body => 400,
            ReceiveReason::BodyLength | ReceiveReason::Verify(VerifyReason::BodyLength) => 413,
            ReceiveReason::Duplicate => 200,
            ReceiveReason::NoReceiver => 500,
            ReceiveReason::Replay(kind) => ReplayError::from(kind).status(),
            ReceiveReason::Verify(_) => 403,
        }
    }
}

impl Reason for ReceiveError {
    fn code(&self) -> ReasonCode {
        match self.reason {
            ReceiveReason::Body => reason_code!("receive.body"),
            ReceiveReason::BodyLength => reason_code!("receive.body_length"),
            ReceiveReason::Duplicate => reason_code!("replay.duplicate"),
            ReceiveReason::NoReceiver => reason_code!("receive.no_receiver"),
            ReceiveReason::Replay(ReplayErrorKind::InFlight) => reason_code!("replay.in_flight"),
            ReceiveReason::Replay(ReplayErrorKind::Lapsed) => reason_code!("replay.lapsed"),
            ReceiveReason::Replay(ReplayErrorKind::Unavailable) => reason_code!("replay.unavailable"),
            ReceiveReason::Verify(reason) => reason.code(),
        }
    }

    /// What may be told: `verify.refused` for whatever the verifier refused.
    fn public_code(&self) -> ReasonCode {
        match self.reason {
            ReceiveReason::Verify(reason) => reason.public_code(),
            _ => Reason::code(self),
        }
    }
}

impl From<ReceiveReason> for ReceiveError {
    fn from(reason: ReceiveReason) -> Self {
        Self { reason }
    }
}

impl From<ReplayError> for ReceiveError {
    fn from(error: ReplayError) -> Self {
        ReceiveReason::Replay(error.kind()).into()
    }
}

impl From<VerifyError> for ReceiveError {
    fn from(error: VerifyError) -> Self {
        ReceiveReason::Verify(error.reason()).into()
    }
}
