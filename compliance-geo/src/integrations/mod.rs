//! The checks as layers of a web service. Only the files in here name a framework.
//!
//! | check | reads from the request's extensions | adds | refuses with |
//! |---|---|---|---|
//! | client address | the peer | `ClientAddress`, `EdgeCountry` | 403 |
//! | transport | the peer | `Transport`, HSTS on the response where it is enforced | 403 |
//! | embargo | `ClientAddress`, `EdgeCountry` | `Arc<ServablePlace>` | 451 embargoed, 403 review |
//!
//! Every refusal has `Cache-Control: no-store`, a body that quotes neither data nor law, and the [`Refusal`] in the
//! response's extensions, for the service's own error pages and logs.
//!
//! # Records
//!
//! A check made with `recording` hands each decision to a `Recorder`: refusals and reviews one by one, passes as its
//! policy aggregates them. **A refusal is answered only once its record is kept.** Where it cannot be kept, the
//! request is refused all the same, with [`Refusal::Unrecorded`] and 503: a refusal for legal reasons that left no
//! trace is one nobody can show later. Passes, and everything in report-only mode, do not wait.
//!
//! A servable answer that rests on an accepted risk is recorded each time, with who accepted it.
//!
//! # Report-only
//!
//! A check that only reports decides and records as ever, and lets everybody pass. A handler that takes `Servable`
//! still refuses whoever comes without a proof ([`Refusal::NoProof`], `embargo.no_proof`), and extractors record
//! nothing: while a check is rolled out, handlers take `Option<Servable>`.

#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(any(feature = "actix-web", feature = "tower"))]
mod gate;
#[cfg(feature = "tower")]
pub mod tower;

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

use crate::client_ip::ClientIpErrorKind;
use crate::embargo::{EmbargoReason, VerdictClass};

/// Why a layer refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The client's address could not be established.
    ClientIp(ClientIpErrorKind),
    /// No layer before this one established the client's address.
    ClientUnknown,
    /// In the scope of an embargo programme.
    Embargoed(EmbargoReason),
    /// A handler demands the proof, and no embargo check left one: none ran before it, or it only reports.
    NoProof,
    /// The server did not say who the peer is.
    PeerUnknown,
    /// Not over TLS.
    Plaintext,
    /// Nobody can tell whether the client may be served.
    Review(EmbargoReason),
    /// Refused for another reason, the record of which could not be kept.
    Unrecorded,
}

impl Refusal {
    /// The body of every refusal.
    pub const BODY: &str = "This service is not available to you.\n";

    /// The HTTP status: 451 (RFC 7725) where law is the reason, 503 where the record could not be kept, else 403.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Embargoed(_) => 451,
            Self::Unrecorded => 503,
            Self::ClientIp(_)
            | Self::ClientUnknown
            | Self::NoProof
            | Self::PeerUnknown
            | Self::Plaintext
            | Self::Review(_) => 403,
        }
    }

    /// The verdict's class, if an embargo check refused.
    #[must_use]
    pub const fn verdict(&self) -> Option<VerdictClass> {
        match self {
            Self::Embargoed(_) => Some(VerdictClass::Embargoed),
            Self::Review(_) => Some(VerdictClass::Review),
            Self::ClientIp(_)
            | Self::ClientUnknown
            | Self::NoProof
            | Self::PeerUnknown
            | Self::Plaintext
            | Self::Unrecorded => None,
        }
    }
}

impl Reason for Refusal {
    fn code(&self) -> ReasonCode {
        match self {
            Self::ClientIp(kind) => kind.code(),
            Self::ClientUnknown => reason_code!("client_ip.not_established"),
            Self::Embargoed(reason) | Self::Review(reason) => reason.code(),
            Self::NoProof => reason_code!("embargo.no_proof"),
            Self::PeerUnknown => reason_code!("client_ip.no_peer"),
            Self::Plaintext => reason_code!("transport.plaintext"),
            Self::Unrecorded => reason_code!("refusal.unrecorded"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        match self {
            Self::ClientIp(_) | Self::ClientUnknown | Self::PeerUnknown => reason_code!("client_ip.refused"),
            Self::Embargoed(reason) | Self::Review(reason) => reason.public_code(),
            Self::NoProof => reason_code!("embargo.unavailable"),
            Self::Plaintext => reason_code!("transport.plaintext"),
            Self::Unrecorded => reason_code!("refusal.unrecorded"),
        }
    }
}
