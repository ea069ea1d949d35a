#![doc = include_str!("../README.md")]
#![cfg_attr(compliance_docsrs, feature(doc_cfg))]

pub mod endpoint;
pub mod sign;

pub mod deliver;

pub use deliver::{Attempt, Deliver, Outcome};
pub use endpoint::{EndpointPolicy, WebhookEndpoint};
pub use sign::{MessageId, Signer, SigningKey};
