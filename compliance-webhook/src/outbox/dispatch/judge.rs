//! What an attempt's outcome means for its message and its endpoint. Changes nothing.

use std::time::Duration;

use compliance_core::class::Internal;
use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, Event, EventError, EventKind};
use compliance_core::finding::{Enforcement, Finding, Outcome as Ending, PolicyVersion, ReasonCode};
use compliance_core::id::TenantId;
use compliance_core::reason_code;

use crate::deliver::Outcome;
use crate::outbox::{Damaged, DataClasses, EndpointBookError, EndpointId, Leased, Verdict};
use crate::schedule::{RetryAfter, StatusAction};

use super::Dispatcher;
use crate::outbox::instruction::NOT_INSTRUCTED;

/// How an attempt ended, from where the dispatcher stands.
#[derive(Debug)]
pub(super) enum Ended {
    /// The transport says so.
    Outcome(Outcome),
    /// It did not even start: the endpoint cannot be used.
    Refused(ReasonCode),
    /// The transport did not keep its own time limit.
    TimedOut,
    /// The transport panicked.
    Panicked,
    /// It did not start: the payload is no CloudEvent, and the endpoint takes nothing else.
    #[cfg(feature = "cloud-events")]
    NoEvent,
    /// It did not start: the payload could not be opened.
    Unopened(EndpointBookError),
}

impl Ended {
    pub(super) fn code(&self) -> ReasonCode {
        match self {
            Self::Outcome(outcome) => outcome.code(),
            Self::Refused(code) => *code,
            Self::TimedOut => reason_code!("dispatch.attempt_timeout"),
            Self::Panicked => reason_code!("dispatch.panicked"),
            #[cfg(feature = "cloud-events")]
            Self::NoEvent => reason_code!("dispatch.no_event"),
            Self::Unopened(error) => error.reason_code(),
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Outcome(outcome) => outcome.status(),
            _ => None,
        }
    }

    pub(super) fn is_delivered(&self) -> bool {
        matches!(self, Self::Outcome(outcome) if outcome.is_delivered())
    }

    /// The first bytes of the answer.
    pub(super) fn excerpt(&self, most: usize) -> Option<Box<[u8]>> {
        let Self::Outcome(Outcome::Answered(answer)) = self else { return None };
        let excerpt = answer.excerpt()?;
        let kept = excerpt.get(..most).unwrap_or(excerpt);
        if kept.is_empty() { None } else { Some(kept.into()) }
    }

    fn retry_after(&self, now: Timestamp) -> Option<RetryAfter> {
        let Self::Outcome(Outcome::Answered(answer)) = self else { return None };
        RetryAfter::parse(answer.retry_after()?.as_bytes(), now).ok()
    }
}

/// What follows from an attempt.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    /// Leave the endpoint alone for so long.
    pub(super) pause: Option<Duration>,
    /// The receiver wants no more messages.
    pub(super) is_gone: bool,
}

const TOO_MANY_REQUESTS: u16 = 429;
const SERVICE_UNAVAILABLE: u16 = 503;

impl<O, D> Dispatcher<O, D> {
    pub(super) fn judge(&self, leased: &Leased, ended: &Ended, now: Timestamp) -> Judgement {
        let (code, status) = (ended.code(), ended.status());
        let action = status.map_or(StatusAction::Retry, |status| self.statuses.action(status));
        if action == StatusAction::Delivered {
            let verdict = Verdict::Delivered { status: status.unwrap_or_default() };
            return Judgement { verdict, pause: None, is_gone: false };
        }
        if action == StatusAction::DisableEndpoint {
            return Judgement { verdict: Verdict::Dead { code, status }, pause: None, is_gone: true };
        }
        let asked = ended.retry_after(now);
        let says_when = matches!(status, Some(TOO_MANY_REQUESTS | SERVICE_UNAVAILABLE));
        let observed = asked.filter(|_| says_when).map(|asked| self.schedule.observed(asked));
        let pause = match action {
            StatusAction::Throttle => Some(observed.unwrap_or_default().max(self.limits.throttle_pause)),
            _ => observed,
        };
        let attempts = leased.attempts.saturating_add(1);
        // Without chance there is no jitter; the message must not be lost for that.
        let delay =
            self.schedule.delay_after(attempts, asked, &self.random).unwrap_or(Some(Self::WITHOUT_RANDOM));
        let verdict = match delay {
            Some(delay) => Verdict::Retry { at: now.saturating_add(delay), code, status },
            None => Verdict::Dead { code, status },
        };
        Judgement { verdict, pause, is_gone: false }
    }

    const WITHOUT_RANDOM: Duration = Duration::from_secs(60);
}

/// A message is about to be given up.
pub(super) fn dead_event(
    tenant: &TenantId,
    leased: &Leased,
    code: ReasonCode,
    status: Option<u16>,
    now: Timestamp,
) -> Result<Event, EventError> {
    let mut event = Event::builder(EventKind::WebhookMessageDead, Ending::Refused, Actor::System, now)
        .tenant(tenant.clone())
        .reason(code)
        .field("endpoint", Internal(leased.endpoint.as_str()))
        .field("message", Internal(leased.id.as_str()))
        .field("attempts", Internal(leased.attempts.saturating_add(1)));
    if let Some(status) = status {
        event = event.field("status", Internal(status));
    }
    event.build()
}

/// A message leaves that would be given up, were the outbox not report-only.
pub(super) fn undisclosed_event(
    tenant: &TenantId,
    leased: &Leased,
    classes: DataClasses,
    now: Timestamp,
) -> Result<Event, EventError> {
    let policy = PolicyVersion::new("webhook-disclosure", "1");
    let finding = Finding::refused(NOT_INSTRUCTED, NOT_INSTRUCTED, policy);
    Event::builder(EventKind::CheckDecided, Ending::Refused, Actor::System, now)
        .finding(&finding.with_enforcement(Enforcement::ReportOnly))
        .tenant(tenant.clone())
        .field("endpoint", Internal(leased.endpoint.as_str()))
        .field("message", Internal(leased.id.as_str()))
        .field("classes", Internal(classes.to_string()))
        .build()
}

/// A message that cannot be read is about to be given up.
pub(super) fn damaged_event(
    tenant: &TenantId,
    damaged: &Damaged,
    code: ReasonCode,
    now: Timestamp,
) -> Result<Event, EventError> {
    Event::builder(EventKind::WebhookMessageDead, Ending::Refused, Actor::System, now)
        .tenant(tenant.clone())
        .reason(code)
        .field("endpoint", Internal(damaged.endpoint.as_str()))
        .field("sequence", Internal(damaged.token.sequence()))
        .build()
}

/// An endpoint was switched off because it cannot be read.
pub(super) fn damaged_endpoint_event(number: i64, now: Timestamp) -> Result<Event, EventError> {
    Event::builder(EventKind::WebhookEndpointDisabled, Ending::Refused, Actor::System, now)
        .reason(reason_code!("outbox.corrupt"))
        .field("endpoint_number", Internal(number))
        .build()
}

/// An endpoint is about to be switched off.
pub(super) fn disabled_event(
    tenant: &TenantId,
    endpoint: &EndpointId,
    code: ReasonCode,
    now: Timestamp,
) -> Result<Event, EventError> {
    Event::builder(EventKind::WebhookEndpointDisabled, Ending::Refused, Actor::System, now)
        .tenant(tenant.clone())
        .reason(code)
        .field("endpoint", Internal(endpoint.as_str()))
        .build()
}
