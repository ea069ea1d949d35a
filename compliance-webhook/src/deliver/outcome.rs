//! What comes out.

use std::fmt;

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

use crate::guard::GuardReason;
use crate::schedule::RetryAfter;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a scheduler must treat both")]
pub enum Outcome {
    /// The endpoint answered, whatever it said.
    Answered(Answer),
    /// There was no answer. The message may or may not have arrived.
    Unanswered(DeliverError),
}

impl Outcome {
    /// Whether the endpoint took the message: an answer from 200 to 299 and nothing else. A redirect is a
    /// failure and is not followed.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        matches!(self, Self::Answered(answer) if answer.is_success())
    }

    /// The status code, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answered(answer) => Some(answer.status),
            Self::Unanswered(_) => None,
        }
    }

    /// The exact code, for the operator: `deliver.delivered`, `deliver.gone` (410), `deliver.redirect` (3xx),
    /// `deliver.status` or the code of the error.
    #[must_use]
    pub fn code(&self) -> ReasonCode {
        match self {
            Self::Answered(answer) => match answer.status {
                200..=299 => reason_code!("deliver.delivered"),
                300..=399 => reason_code!("deliver.redirect"),
                410 => reason_code!("deliver.gone"),
                _ => reason_code!("deliver.status"),
            },
            Self::Unanswered(error) => Reason::code(&error.reason),
        }
    }
}

/// What an endpoint answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    retry_after: Option<Box<str>>,
    excerpt: Option<Box<[u8]>>,
    body_end: BodyEnd,
}

impl Answer {
    /// The longest `Retry-After` value kept, in bytes: the longest of its date forms has 33.
    pub const MAX_RETRY_AFTER_LEN: usize = RetryAfter::MAX_LEN;

    /// An answer with an empty body; for transports.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, retry_after: None, excerpt: None, body_end: BodyEnd::Complete }
    }

    /// Keeps the `Retry-After` header as it came. One that is longer than
    /// [`MAX_RETRY_AFTER_LEN`](Self::MAX_RETRY_AFTER_LEN) or not visible ASCII is dropped.
    #[must_use]
    pub fn with_retry_after(mut self, value: &[u8]) -> Self {
        let kept =
            value.len() <= Self::MAX_RETRY_AFTER_LEN && value.iter().all(|byte| matches!(byte, b' '..=b'~'));
        self.retry_after = if kept { str::from_utf8(value).ok().map(Into::into) } else { None };
        self
    }

    /// Keeps the first bytes of the body. The transport bounds them.
    #[must_use]
    pub fn with_excerpt(mut self, excerpt: &[u8]) -> Self {
        self.excerpt = Some(excerpt.into());
        self
    }

    /// Says how reading the body ended.
    #[must_use]
    pub fn with_body_end(mut self, body_end: BodyEnd) -> Self {
        self.body_end = body_end;
        self
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether it is from 200 to 299.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The `Retry-After` header as it came, unparsed and hostile.
    #[must_use]
    pub fn retry_after(&self) -> Option<&str> {
        self.retry_after.as_deref()
    }

    /// The first bytes of the body, where the transport was told to keep them.
    ///
    /// # Security
    /// Whatever the receiver chose to say: may hold personal data or, if a guard ever failed, an internal
    /// page. Never show it to the tenant unasked.
    #[must_use]
    pub fn excerpt(&self) -> Option<&[u8]> {
        self.excerpt.as_deref()
    }

    /// How reading the body ended.
    #[must_use]
    pub fn body_end(&self) -> BodyEnd {
        self.body_end
    }
}

impl fmt::Debug for Answer {
    /// Without the excerpt.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_end", &self.body_end)
            .finish_non_exhaustive()
    }
}

/// How reading an answer's body ended. It does not change what the status said: a receiver that has answered
/// 2xx has the message, and sending it again would only double it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyEnd {
    /// The connection broke.
    Broken,
    /// It was larger than the cap; the rest was not read.
    Capped,
    /// To its end.
    Complete,
    /// It did not end in time.
    TimedOut,
}

/// An attempt got no answer. Never carries an address, a URL or anything the endpoint sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("webhook not delivered: {reason}")]
pub struct DeliverError {
    reason: DeliverReason,
}

impl DeliverError {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> DeliverReason {
        self.reason
    }

    /// The exact code, such as `deliver.tls_name`; for the operator only.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.reason.code().as_str()
    }
}

impl From<DeliverReason> for DeliverError {
    fn from(reason: DeliverReason) -> Self {
        Self { reason }
    }
}

/// Why there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverReason {
    /// No connection.
    #[error("could not connect")]
    Connect,
    /// No connection in time.
    #[error("could not connect in time")]
    ConnectTimeout,
    /// The endpoint does not want to be sent to, as far as it says.
    #[error("the endpoint did not consent to messages from this origin")]
    NoConsent,
    /// No address may be dialled.
    #[error(transparent)]
    Guard(GuardReason),
    /// The request could not be made.
    #[error("the request could not be built")]
    Request,
    /// The name did not resolve.
    #[error("the host name did not resolve")]
    Resolve,
    /// The name did not resolve in time.
    #[error("the host name did not resolve in time")]
    ResolveTimeout,
    /// No HTTP answer came back.
    #[error("the connection ended without an http answer")]
    Response,
    /// No HTTP answer came back in time.
    #[error("no http answer in time")]
    ResponseTimeout,
    /// TLS was refused.
    #[error("tls: {0}")]
    Tls(TlsProblem),
    /// No TLS session in time.
    #[error("no tls session in time")]
    TlsTimeout,
}

/// What is wrong with an endpoint's TLS, and with that what its operator has to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// Ours is not what it wants: none, another authority's, one that is over.
    #[error("the endpoint refuses this sender's client certificate, configure one it accepts")]
    ClientCertificate,
    /// Past its end, or before its start.
    #[error("the certificate is not valid at this time, renew it")]
    Expired,
    /// Chains to no trusted authority: self-signed, or the intermediate is missing.
    #[error("the certificate chains to no trusted authority, send the full chain of a public one")]
    Issuer,
    /// For other names.
    #[error("the certificate is for another host name")]
    Name,
    /// Anything else.
    #[error("the handshake failed")]
    Other,
    /// No common protocol version.
    #[error("no common protocol version, offer tls 1.3")]
    Version,
}

impl Reason for DeliverReason {
    fn code(&self) -> ReasonCode {
        match self {
            Self::Connect => reason_code!("deliver.connect"),
            Self::ConnectTimeout => reason_code!("deliver.connect_timeout"),
            Self::Guard(reason) => Reason::code(reason),
            Self::NoConsent => reason_code!("deliver.no_consent"),
            Self::Request => reason_code!("deliver.request"),
            Self::Resolve => reason_code!("deliver.resolve"),
            Self::ResolveTimeout => reason_code!("deliver.resolve_timeout"),
            Self::Response => reason_code!("deliver.response"),
            Self::ResponseTimeout => reason_code!("deliver.response_timeout"),
            Self::Tls(TlsProblem::ClientCertificate) => reason_code!("deliver.tls_client_certificate"),
            Self::Tls(TlsProblem::Expired) => reason_code!("deliver.tls_expired"),
            Self::Tls(TlsProblem::Issuer) => reason_code!("deliver.tls_issuer"),
            Self::Tls(TlsProblem::Name) => reason_code!("deliver.tls_name"),
            Self::Tls(TlsProblem::Other) => reason_code!("deliver.tls"),
            Self::Tls(TlsProblem::Version) => reason_code!("deliver.tls_version"),
            Self::TlsTimeout => reason_code!("deliver.tls_timeout"),
        }
    }

    /// Always `endpoint.unreachable`: which ports answer inside is nobody's business.
    fn public_code(&self) -> ReasonCode {
        reason_code!("endpoint.unreachable")
    }
}
