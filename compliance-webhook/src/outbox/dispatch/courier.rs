//! Tasks that make one attempt after the other.
//!
//! A task of its own for each attempt would cost more than signing the message: room for the whole of the attempt is
//! allocated, filled by copying, and given back.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use compliance_core::id::TenantId;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, Sleep, sleep_until};

use super::judge::Ended;
use super::run::Done;
use super::{Dispatcher, telemetry};
#[cfg(feature = "cloud-events")]
use crate::cloud_event::CloudEvent;
use crate::deliver::{Attempt, Deliver};
#[cfg(feature = "cloud-events")]
use crate::outbox::CloudEventsMode;
use crate::outbox::book::OpenEndpoint;
use crate::outbox::{EndpointBookErrorKind, Leased, Outbox};

/// What a courier is sent with.
pub(super) struct Errand {
    /// With a sealed message: it takes the tenant to open it.
    pub(super) tenant: Option<TenantId>,
    pub(super) message: Arc<Leased>,
    pub(super) open: Arc<OpenEndpoint>,
}

/// Where a courier is reached. It ends when nobody has this any more, so it carries it along while it is out.
pub(super) struct Courier {
    id: task::Id,
    errands: UnboundedSender<(Errand, Courier)>,
}

impl Courier {
    /// Of its task.
    pub(super) fn id(&self) -> task::Id {
        self.id
    }
}

/// A courier, and how its attempt has ended.
pub(super) type Returned = (Courier, Ended);

/// The couriers that have nothing to do, and word of those that come back.
pub(super) struct Couriers {
    idle: Vec<Courier>,
    back: UnboundedReceiver<Returned>,
    home: UnboundedSender<Returned>,
}

impl Default for Couriers {
    fn default() -> Self {
        let (home, back) = mpsc::unbounded_channel();
        Self { idle: Vec::new(), back, home }
    }
}

impl Couriers {
    /// The most that are kept for later: what is under way for two endpoints. Each takes some 4 KiB.
    const MAX_IDLE: usize = 64;

    /// Sends one of them, or a new one, which is one of `tasks` from then on.
    pub(super) fn send<O, D>(
        &mut self,
        errand: Errand,
        dispatcher: &Arc<Dispatcher<O, D>>,
        tasks: &mut JoinSet<Done>,
    ) -> task::Id
    where
        O: Outbox + Clone + 'static,
        D: Deliver + 'static,
    {
        let courier = self.idle.pop().unwrap_or_else(|| {
            let (errands, inbox) = mpsc::unbounded_channel();
            let task = tasks.spawn(run(Arc::clone(dispatcher), inbox, self.home.clone()));
            Courier { id: task.id(), errands }
        });
        let (id, errands) = (courier.id, courier.errands.clone());
        // Were its task gone, the set of tasks would say so: none is kept here that did not come back.
        let _ = errands.send((errand, courier));
        id
    }

    /// Keeps one for later, or lets it go.
    pub(super) fn rest(&mut self, courier: Courier) {
        if self.idle.len() < Self::MAX_IDLE {
            self.idle.push(courier);
        }
    }

    pub(super) async fn returned(&mut self) -> Returned {
        match self.back.recv().await {
            Some(returned) => returned,
            // Never: there is a sender here.
            None => std::future::pending().await,
        }
    }

    pub(super) fn try_returned(&mut self) -> Option<Returned> {
        self.back.try_recv().ok()
    }
}

async fn run<O, D>(
    dispatcher: Arc<Dispatcher<O, D>>,
    mut inbox: UnboundedReceiver<(Errand, Courier)>,
    home: UnboundedSender<Returned>,
) -> Done
where
    O: Outbox + Clone + 'static,
    D: Deliver + 'static,
{
    let mut alarm = pin!(sleep_until(Instant::now()));
    while let Some((errand, courier)) = inbox.recv().await {
        let ended = attempt(&dispatcher, &errand, alarm.as_mut()).await;
        drop(errand);
        if home.send((courier, ended)).is_err() {
            break;
        }
    }
    Done::Dismissed
}

async fn attempt<O, D: Deliver>(
    dispatcher: &Dispatcher<O, D>,
    errand: &Errand,
    mut alarm: Pin<&mut Sleep>,
) -> Ended {
    let Errand { tenant, message, open } = errand;
    let end = Instant::now().checked_add(dispatcher.limits.attempt_timeout);
    let opened = match tenant {
        Some(tenant) => {
            let opened = pin!(dispatcher.book.open_payload(tenant, message));
            match in_time(end, opened, alarm.as_mut()).await {
                Some(Ok(opened)) => Some(opened),
                Some(Err(error)) => return Ended::Unopened(error),
                None => return Ended::Unopened(EndpointBookErrorKind::KeyStoreUnavailable.into()),
            }
        }
        None => None,
    };
    let payload = opened.as_ref().map_or(&*message.payload, |opened| opened.as_slice());
    let attempt = Attempt::new(&open.endpoint, &message.id, payload, &open.signer)
        .with_content_type(&message.content_type);
    #[cfg(feature = "cloud-events")]
    let event;
    #[cfg(feature = "cloud-events")]
    let attempt = match open.events {
        CloudEventsMode::None => attempt,
        mode => match CloudEvent::in_body(&message.content_type, payload) {
            Err(_) => return Ended::NoEvent,
            Ok(parsed) if mode == CloudEventsMode::Binary => {
                event = parsed.binary();
                attempt.with_binary_event(&event)
            }
            Ok(_) => attempt,
        },
    };
    #[cfg(feature = "http-signatures")]
    let attempt = match &open.http_signer {
        Some(signer) => attempt.with_http_signer(signer),
        None => attempt,
    };
    // Pinned before it is handed on: it is large, and each hand would copy it.
    let attempt = pin!(dispatcher.deliver.deliver(attempt));
    let attempt = pin!(telemetry::in_span(message, attempt));
    let outcome = in_time(end, attempt, alarm).await;
    outcome.map_or(Ended::TimedOut, Ended::Outcome)
}

/// What comes of it until `end`; without an end, whenever. The alarm goes from one attempt to the next and is set again
/// only when it has gone off: nearly every attempt is over by then, and setting it costs as much as signing.
async fn in_time<T>(
    end: Option<Instant>,
    mut attempt: Pin<&mut impl Future<Output = T>>,
    mut alarm: Pin<&mut Sleep>,
) -> Option<T> {
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = attempt.as_mut().poll(cx) {
            return Poll::Ready(Some(outcome));
        }
        let Some(end) = end else { return Poll::Pending };
        // It goes off too early, never too late: the attempt before this one ended its time earlier.
        while alarm.as_mut().poll(cx).is_ready() {
            if Instant::now() >= end {
                return Poll::Ready(None);
            }
            alarm.as_mut().reset(end);
        }
        Poll::Pending
    })
    .await
}
