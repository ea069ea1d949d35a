//! A subscriber around all others: whatever they print, export or keep, they see redacted values only.
//!
//! A `tracing` layer cannot change what its siblings see. A *subscriber* around the whole stack can: it takes
//! every event, span and record, rebuilds the values with personal data and secrets taken out, and hands only
//! those inside. [`redacting`] makes it, and what it makes is finished: it is no `Subscriber`, so no layer can be
//! put above it, and it turns into a [`Dispatch`] for `init`, `set_default` and the like.
//!
//! ```
//! use compliance_log::layer::redacting;
//! use compliance_log::redact::Redactor;
//! use tracing_subscriber::prelude::*;
//!
//! let stack = tracing_subscriber::registry().with(tracing_subscriber::fmt::layer());
//! let _guard = redacting(stack, Redactor::new()).set_default();
//! tracing::info!(email = "anna@example.com", "signed up"); // prints email="[EMAIL]"
//! ```
//!
//! Nothing goes above it:
//!
//! ```compile_fail,E0277
//! use tracing_subscriber::prelude::*;
//! # use compliance_log::{layer::redacting, redact::Redactor};
//! let done = redacting(tracing_subscriber::registry(), Redactor::new());
//! done.with(tracing_subscriber::layer::Identity::new()); // No `Subscriber`.
//! ```
//!
//! # What the layers inside see
//! | recorded | seen |
//! |---|---|
//! | text, `Display`, `Debug`, the message | the redacted text, control characters and line breaks escaped |
//! | an error | an error of ours with the same chain of redacted texts; its own type is gone |
//! | numbers and booleans | themselves, unless they are a hit: `ssn = 219099999_u64` by its name, a card's number by its check |
//! | bytes | themselves if they are clean UTF-8; redacted text if they hold a hit; `[DROPPED]` if they are no text |
//! | names of fields, spans and targets | themselves: they are literals of the program |
//!
//! # Security
//! What does not pass through `tracing` is not seen: `println!`, the default panic hook (install
//! [`install_panic_hook`]), a crash dump; the names of threads, which some layers print; what is set on an exporter's own
//! span or scope (`OpenTelemetrySpanExt`: see `integrations::opentelemetry`; `sentry::configure_scope`). Bytes that a value's
//! `Debug` prints as a list of numbers, as `Vec<u8>` does, are numbers to us too. Who finds a layer inside by downcasting can
//! hand it values of their own. Filters on field values see the redacted values as well.

mod panic;
mod values;

use std::any::TypeId;
use std::fmt;

use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::subscriber::{Interest, Subscriber};
use tracing_core::{Dispatch, Event, LevelFilter, Metadata};

pub use self::panic::{install_panic_hook, panic_line};
use crate::redact::Redactor;

/// Wraps a finished stack of layers, so that all of them see redacted values only.
///
/// Do this last: after every `.with(…)`, before `.init()`.
#[must_use = "nothing is logged until it is installed: call `.init()` or `.set_default()`"]
pub fn redacting<S>(stack: S, redactor: Redactor) -> RedactingSubscriber<S>
where
    S: Subscriber + Send + Sync + 'static,
{
    RedactingSubscriber { inner: Outermost { stack, redactor } }
}

/// A stack of layers behind a redactor, ready to be installed.
///
/// It turns into a [`Dispatch`], so `tracing_subscriber::util::SubscriberInitExt` gives it `init`, `try_init` and
/// `set_default`.
#[must_use = "nothing is logged until it is installed: call `.init()` or `.set_default()`"]
pub struct RedactingSubscriber<S> {
    inner: Outermost<S>,
}

impl<S> RedactingSubscriber<S>
where
    S: Subscriber + Send + Sync + 'static,
{
    /// The stack as a dispatcher, for `tracing::dispatcher::set_global_default` and `with_default`.
    #[must_use]
    pub fn into_dispatch(self) -> Dispatch {
        Dispatch::new(self.inner)
    }
}

impl<S> From<RedactingSubscriber<S>> for Dispatch
where
    S: Subscriber + Send + Sync + 'static,
{
    fn from(subscriber: RedactingSubscriber<S>) -> Self {
        subscriber.into_dispatch()
    }
}

impl<S> fmt::Debug for RedactingSubscriber<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactingSubscriber").finish_non_exhaustive()
    }
}

/// The subscriber itself. Private: a public one could be layered upon.
struct Outermost<S> {
    stack: S,
    redactor: Redactor,
}

impl<S: Subscriber + 'static> Subscriber for Outermost<S> {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.stack.on_register_dispatch(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        self.stack.register_callsite(metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.stack.enabled(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.stack.max_level_hint()
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        values::rebuild(
            &self.redactor,
            span.metadata(),
            |visitor| span.record(visitor),
            |values| {
                let attributes = match (span.parent(), span.is_root()) {
                    (Some(parent), _) => Attributes::child_of(parent.clone(), span.metadata(), values),
                    (None, true) => Attributes::new_root(span.metadata(), values),
                    (None, false) => Attributes::new(span.metadata(), values),
                };
                self.stack.new_span(&attributes)
            },
        )
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        // A record does not say which span's fields it has; each field does.
        let mut metadata = None;
        values.record(&mut |field: &tracing_core::Field, _: &dyn fmt::Debug| {
            metadata = Some(field.callsite().0.metadata());
        });
        if let Some(metadata) = metadata {
            values::rebuild(
                &self.redactor,
                metadata,
                |visitor| values.record(visitor),
                |values| {
                    self.stack.record(span, &Record::new(values));
                },
            );
        }
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.stack.record_follows_from(span, follows);
    }

    // `event_enabled` would show the filters inside the values as they are; they are asked in `event` instead.

    fn event(&self, event: &Event<'_>) {
        values::rebuild(
            &self.redactor,
            event.metadata(),
            |visitor| event.record(visitor),
            |values| {
                let rebuilt = match (event.parent(), event.is_root()) {
                    (Some(parent), _) => Event::new_child_of(parent.clone(), event.metadata(), values),
                    (None, true) => Event::new_child_of(None, event.metadata(), values),
                    (None, false) => Event::new(event.metadata(), values),
                };
                if self.stack.event_enabled(&rebuilt) {
                    self.stack.event(&rebuilt);
                }
            },
        );
    }

    fn enter(&self, span: &Id) {
        self.stack.enter(span);
    }

    fn exit(&self, span: &Id) {
        self.stack.exit(span);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.stack.clone_span(id)
    }

    #[expect(deprecated, reason = "a stack may still rely on it")]
    fn drop_span(&self, id: Id) {
        self.stack.drop_span(id);
    }

    fn try_close(&self, id: Id) -> bool {
        self.stack.try_close(id)
    }

    fn current_span(&self) -> Current {
        self.stack.current_span()
    }

    #[expect(unsafe_code, reason = "span traces and exporters find their layer by downcasting through us")]
    unsafe fn downcast_raw(&self, id: TypeId) -> Option<*const ()> {
        // SAFETY: The pointer comes from the stack's own `downcast_raw`, under the same contract: it is valid for
        // the type `id` names as long as `stack` is, and `self` owns `stack` and hands it out to nobody. We never
        // offer a pointer to ourselves.
        unsafe { self.stack.downcast_raw(id) }
    }
}
