#![doc = include_str!("../README.md")]
#![cfg_attr(compliance_docsrs, feature(doc_cfg))]

pub mod endpoint;
pub mod sign;
pub mod verify;

pub mod guard;

pub mod deliver;

pub mod handshake;

#[cfg(feature = "cloud-events")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "cloud-events")))]
pub mod cloud_event;

pub mod schedule;

#[cfg(feature = "outbox")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "outbox")))]
pub mod outbox;

#[cfg(any(feature = "actix-web", feature = "axum"))]
mod integrations;

pub use deliver::{Attempt, Deliver, Outcome};
pub use endpoint::{EndpointPolicy, WebhookEndpoint};
pub use guard::{Guard, GuardedAddr};
pub use sign::{MessageId, Signer, SigningKey};
pub use verify::{Verified, Verifier};
