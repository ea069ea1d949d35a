//! What is recorded about endpoints.

use compliance_core::class::Internal;
use compliance_core::event::{Actor, Event, EventBuilder, EventKind};
use compliance_core::finding::Outcome;

use super::{EndpointBook, EndpointBookError, EndpointBookErrorKind};
use crate::outbox::{EndpointRecord, Instruction, Replay};

impl EndpointBook {
    /// Has the sink record it, if there is one.
    pub(super) async fn record(
        &self,
        kind: EventKind,
        endpoint: &EndpointRecord,
        detail: impl FnOnce(EventBuilder) -> EventBuilder,
    ) -> Result<(), EndpointBookError> {
        let Some(sink) = &self.sink else { return Ok(()) };
        let event = Event::builder(kind, Outcome::Passed, self.actor.clone(), self.clock.now())
            .tenant(endpoint.tenant.clone())
            .field("endpoint", Internal(endpoint.id.as_str()))
            .field("revision", Internal(endpoint.revision));
        let recording = detail(event).build().map(|event| sink.record(event));
        let recording = recording.map_err(|_| EndpointBookErrorKind::Unrecorded)?;
        recording.await.map(drop).map_err(|_| EndpointBookErrorKind::Unrecorded.into())
    }

    pub(super) async fn changed(
        &self,
        endpoint: &EndpointRecord,
        what: &'static str,
    ) -> Result<(), EndpointBookError> {
        let told = |event: EventBuilder| event.field("change", Internal(what));
        self.record(EventKind::WebhookEndpointChanged, endpoint, told).await
    }

    pub(super) async fn instructed(
        &self,
        endpoint: &EndpointRecord,
        instruction: &Instruction,
    ) -> Result<(), EndpointBookError> {
        let told = |event: EventBuilder| {
            event
                .on_behalf_of(Actor::Person(instruction.by().clone()))
                .purpose(instruction.purpose().clone())
                .field("change", Internal("instruction"))
                .field("instructed_at", Internal(instruction.at()))
                .field("classes", Internal(instruction.classes().to_string()))
                .field("recipient_country", Internal(instruction.recipient().as_str()))
        };
        self.record(EventKind::WebhookEndpointChanged, endpoint, told).await
    }

    pub(super) async fn replayed(
        &self,
        endpoint: &EndpointRecord,
        replay: &Replay,
    ) -> Result<(), EndpointBookError> {
        let told = |event: EventBuilder| match replay {
            Replay::Message { id, .. } => event.field("message", Internal(id.as_str())),
            Replay::Dead { from, until, .. } => event
                .field("which", Internal("dead"))
                .field("from", Internal(*from))
                .field("until", Internal(*until)),
            Replay::Settled { from, until, .. } => event
                .field("which", Internal("settled"))
                .field("from", Internal(*from))
                .field("until", Internal(*until)),
        };
        self.record(EventKind::WebhookReplayed, endpoint, told).await
    }
}
