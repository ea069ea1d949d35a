//! What `tracing` and `metrics` are told, where those features are on: ids and codes, never payloads, URLs or keys.

use std::time::Duration;

use compliance_core::finding::ReasonCode;

use super::judge::Ended;
use crate::outbox::{Leased, OutboxError};

/// Has an attempt run in a span of its own.
pub(super) async fn in_span<F: Future>(leased: &Leased, attempt: F) -> F::Output {
    #[cfg(feature = "tracing")]
    let attempt = tracing::Instrument::instrument(
        attempt,
        tracing::info_span!(
            "webhook.attempt",
            endpoint = leased.endpoint.as_str(),
            message = leased.id.as_str(),
            attempt = leased.attempts.saturating_add(1),
        ),
    );
    #[cfg(not(feature = "tracing"))]
    let _ = leased;
    attempt.await
}

/// An attempt has ended after `took`, and `since` the message was enqueued.
pub(super) fn attempted(leased: &Leased, ended: &Ended, took: Duration, since: Duration) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        name: "webhook.attempted",
        endpoint = leased.endpoint.as_str(),
        message = leased.id.as_str(),
        attempt = leased.attempts.saturating_add(1),
        code = ended.code().as_str(),
        status = ended.status(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    );
    #[cfg(feature = "metrics")]
    {
        let code = ended.code().as_str();
        metrics::counter!("webhook_attempts_total", "code" => code).increment(1);
        metrics::histogram!("webhook_attempt_seconds").record(took.as_secs_f64());
        if ended.is_delivered() {
            metrics::histogram!("webhook_delivery_seconds").record(since.as_secs_f64());
        }
    }
    let _ = (leased, ended, took, since);
}

/// A message leaves that would have been refused for `code`, were the outbox not report-only.
pub(super) fn reported(leased: &Leased, code: ReasonCode) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        name: "webhook.reported",
        endpoint = leased.endpoint.as_str(),
        message = leased.id.as_str(),
        code = code.as_str(),
    );
    #[cfg(feature = "metrics")]
    metrics::counter!("webhook_reported_total", "code" => code.as_str()).increment(1);
    let _ = (leased, code);
}

/// What a round with the store has changed.
pub(super) fn settled(delivered: u64, dead: u64, fenced: u64) {
    #[cfg(feature = "metrics")]
    for (name, count) in [
        ("webhook_delivered_total", delivered),
        ("webhook_dead_total", dead),
        ("webhook_fenced_total", fenced),
    ] {
        if count > 0 {
            metrics::counter!(name).increment(count);
        }
    }
    #[cfg(feature = "tracing")]
    if fenced > 0 {
        tracing::warn!(name: "webhook.fenced", fenced, "verdicts came after their leases had lapsed");
    }
    let _ = (delivered, dead, fenced);
}

/// What the dispatcher has on its hands.
pub(super) fn holds(in_flight: usize, held_bytes: usize) {
    #[cfg(feature = "metrics")]
    {
        let gauge = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        metrics::gauge!("webhook_in_flight").set(gauge(in_flight));
        metrics::gauge!("webhook_held_bytes").set(gauge(held_bytes));
    }
    let _ = (in_flight, held_bytes);
}

/// A call to the store failed and will be made again.
pub(super) fn store_failed(error: OutboxError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(name: "webhook.store_failed", code = error.code());
    #[cfg(feature = "metrics")]
    metrics::counter!("webhook_store_errors_total", "code" => error.code()).increment(1);
    let _ = error;
}
