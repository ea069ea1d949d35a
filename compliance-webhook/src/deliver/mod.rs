//! One attempt to deliver one message.
//!
//! [`Deliver`] is the seam between whoever schedules attempts and the transport: an [`Attempt`] goes in, an
//! [`Outcome`] comes out, nothing is retried and nothing is remembered. `HttpsTransport` (feature `deliver`) is
//! the transport for production; tests of a scheduler bring their own.

mod attempt;
#[cfg(feature = "deliver")]
mod https;
mod outcome;
#[cfg(feature = "deliver")]
mod pool;
#[cfg(feature = "deliver")]
mod tls;

use std::future::Future;

pub use attempt::{Attempt, ContentType, ContentTypeError};
#[cfg(feature = "deliver")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "deliver")))]
pub use https::{HttpsTransport, HttpsTransportBuilder, Timeouts, TransportError};
pub use outcome::{Answer, BodyEnd, DeliverError, DeliverReason, Outcome, TlsProblem};
#[cfg(feature = "deliver")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "deliver")))]
pub use tls::{ClientCertificate, TlsRoots, TlsVersions};
#[cfg(feature = "deliver")]
pub(crate) use tls::{Protocols, client_config, problem as tls_problem, server_name};

use crate::endpoint::WebhookEndpoint;
use crate::schedule::Rate;

/// Makes one attempt.
pub trait Deliver: Send + Sync {
    /// Signs, sends and waits for the answer. Ends within the transport's own time limits; dropping the future
    /// closes the connection.
    ///
    /// The signature's timestamp is taken when the message is about to be sent.
    fn deliver(&self, attempt: Attempt<'_>) -> impl Future<Output = Outcome> + Send;

    /// How often attempts may be made at an endpoint. [`Pace::Free`], unless the transport asks endpoints for their
    /// consent.
    fn pace(&self, endpoint: &WebhookEndpoint) -> Pace {
        let _ = endpoint;
        Pace::Free
    }
}

/// How often attempts may be made at an endpoint, as far as the transport has been told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "whoever schedules attempts must treat each")]
pub enum Pace {
    /// So often: the endpoint said so.
    AtMost(Rate),
    /// It set no limit, or is not asked for one.
    Free,
    /// The next attempt asks it. One at a time until it has answered.
    Unasked,
}

impl<D: Deliver + ?Sized> Deliver for &D {
    fn deliver(&self, attempt: Attempt<'_>) -> impl Future<Output = Outcome> + Send {
        (**self).deliver(attempt)
    }

    fn pace(&self, endpoint: &WebhookEndpoint) -> Pace {
        (**self).pace(endpoint)
    }
}

impl<D: Deliver + ?Sized> Deliver for std::sync::Arc<D> {
    fn deliver(&self, attempt: Attempt<'_>) -> impl Future<Output = Outcome> + Send {
        (**self).deliver(attempt)
    }

    fn pace(&self, endpoint: &WebhookEndpoint) -> Pace {
        (**self).pace(endpoint)
    }
}
