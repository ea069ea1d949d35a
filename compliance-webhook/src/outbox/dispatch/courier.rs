//! Tasks that make one attempt after the other.
//!
//! A task of its own for each attempt would cost more than signing the message: room for the whole of the attempt is
//! allocated, filled by copying, and given back.

use std::sync::Arc;

use compliance_core::id::TenantId;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::{self, JoinSet};
use tokio::time::timeout;

use super::judge::Ended;
use super::run::Done;
use super::{Dispatcher, telemetry};
#[cfg(feature = "cloud-events")]
use crate::cloud_event::CloudEvent;
use crate::deliver::{Attempt, Deliver};
#[cfg(feature = "cloud-events")]
use crate::outbox::CloudEventsMode;
use crate::outbox::book::OpenEndpoint;
use crate::outbox::{Leased, Outbox};

/// What a courier is sent with.
pub(super) struct Errand {
    pub(super) tenant: TenantId,
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
    while let Some((errand, courier)) = inbox.recv().await {
        let ended = attempt(&dispatcher, &errand).await;
        drop(errand);
        if home.send((courier, ended)).is_err() {
            break;
        }
    }
    Done::Dismissed
}

async fn attempt<O, D: Deliver>(dispatcher: &Dispatcher<O, D>, errand: &Errand) -> Ended {
    let Errand { tenant, message, open } = errand;
    let opened = match message.is_sealed {
        true => match dispatcher.book.open_payload(tenant, message).await {
            Ok(opened) => Some(opened),
            Err(error) => return Ended::Unopened(error),
        },
        false => None,
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
    let attempt = telemetry::in_span(message, dispatcher.deliver.deliver(attempt));
    match timeout(dispatcher.limits.attempt_timeout, attempt).await {
        Ok(outcome) => Ended::Outcome(outcome),
        Err(_) => Ended::TimedOut,
    }
}
