//! Why a message was refused.

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

use super::{MAX_SIGNATURES, MAX_TOLERANCE};

/// A message was refused. Never carries any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("webhook refused: {reason}")]
pub struct VerifyError {
    reason: VerifyReason,
}

impl VerifyError {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> VerifyReason {
        self.reason
    }

    /// The exact code, such as `verify.timestamp_too_old`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(&self.reason).as_str()
    }
}

impl From<VerifyReason> for VerifyError {
    fn from(reason: VerifyReason) -> Self {
        Self { reason }
    }
}

impl Reason for VerifyError {
    fn code(&self) -> ReasonCode {
        Reason::code(&self.reason)
    }

    fn public_code(&self) -> ReasonCode {
        self.reason.public_code()
    }
}

/// Which rule refused a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyReason {
    /// For another host.
    #[error("the request is for another host")]
    Authority,
    /// The body is longer than the verifier takes.
    #[error("the body is longer than this verifier takes")]
    BodyLength,
    /// The signature covers too little, or what it may not.
    #[error("the signature does not cover what makes the message, or covers what is not taken")]
    Component,
    /// The body is not the one digested.
    #[error("the content digest is not the body's")]
    Digest,
    /// A header came twice.
    #[error("a webhook header came more than once")]
    HeaderDuplicate,
    /// A header is too long.
    #[error("a webhook header is too long")]
    HeaderLength,
    /// A header is not there.
    #[error("a webhook header is missing")]
    HeaderMissing,
    /// The id is none.
    #[error("the id has a dot or a character that is not visible ascii, or is too long")]
    Id,
    /// No such key.
    #[error("the signature names no known key")]
    KeyId,
    /// No signature of a known scheme.
    #[error("the signature header has no signature of a known scheme")]
    Scheme,
    /// No signature matches.
    #[error("no signature matches")]
    Signature,
    /// The header is no list of signatures.
    #[error("the signature header is not of its shape")]
    SignatureSyntax,
    /// The timestamp is no plain number.
    #[error("the time of signing is not a plain decimal number of seconds")]
    TimestampSyntax,
    /// The timestamp lies too far ahead.
    #[error("the time of signing is too far in the future")]
    TimestampTooNew,
    /// The timestamp is too old.
    #[error("the time of signing is too old")]
    TimestampTooOld,
    /// Too many signatures.
    #[error("the signature header has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
}

impl Reason for VerifyReason {
    fn code(&self) -> ReasonCode {
        match self {
            Self::Authority => reason_code!("verify.authority"),
            Self::BodyLength => reason_code!("verify.body_length"),
            Self::Component => reason_code!("verify.component"),
            Self::Digest => reason_code!("verify.digest"),
            Self::HeaderDuplicate => reason_code!("verify.header_duplicate"),
            Self::HeaderLength => reason_code!("verify.header_length"),
            Self::HeaderMissing => reason_code!("verify.header_missing"),
            Self::Id => reason_code!("verify.id"),
            Self::KeyId => reason_code!("verify.key_id"),
            Self::Scheme => reason_code!("verify.scheme"),
            Self::Signature => reason_code!("verify.signature"),
            Self::SignatureSyntax => reason_code!("verify.signature_syntax"),
            Self::TimestampSyntax => reason_code!("verify.timestamp_syntax"),
            Self::TimestampTooNew => reason_code!("verify.timestamp_too_new"),
            Self::TimestampTooOld => reason_code!("verify.timestamp_too_old"),
            Self::TooManySignatures => reason_code!("verify.too_many_signatures"),
        }
    }

    /// Always `verify.refused`: a forger learns nothing from trying.
    fn public_code(&self) -> ReasonCode {
        reason_code!("verify.refused")
    }
}

/// A verifier that could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// No host.
    #[error("expected a host, and a port where it is not 443")]
    Authority,
    /// No header names the delivery.
    #[error("this provider sends no header that names the delivery")]
    NoDeliveryId,
    /// Too wide.
    #[error("tolerance is more than {max} seconds", max = MAX_TOLERANCE.as_secs())]
    Tolerance,
    /// One key too many.
    #[error("too many keys for one message")]
    TooManyKeys,
}

impl VerifierError {
    /// `verifier.authority`, `verifier.no_delivery_id`, `verifier.tolerance` or `verifier.too_many_keys`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Authority => "verifier.authority",
            Self::NoDeliveryId => "verifier.no_delivery_id",
            Self::Tolerance => "verifier.tolerance",
            Self::TooManyKeys => "verifier.too_many_keys",
        }
    }
}
