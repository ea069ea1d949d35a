//! The checks as layers of a web service. Only the files in here name a framework.
//!
//! | layer | reads from the request's extensions | adds | refuses with |
//! |---|---|---|---|
//! | `ClientIpLayer` | the peer | `ClientAddress` | 403 |
//! | `TransportLayer` | the peer | `Transport`, HSTS | 403 |
//! | `EmbargoLayer` | `ClientAddress` | `Arc<ServablePlace>` | 451 embargoed, 403 review |
//!
//! Every refusal has `Cache-Control: no-store`, a body that quotes neither data nor law, and the [`Refusal`] in the
//! response's extensions, for the service's own error pages and logs.

#[cfg(feature = "axum")]
pub mod axum;
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
    /// The server did not say who the peer is.
    PeerUnknown,
    /// Not over TLS.
    Plaintext,
    /// Nobody can tell whether the client may be served.
    Review(EmbargoReason),
}

impl Refusal {
    /// The body of every refusal.
    pub const BODY: &str = "This service is not available to you.\n";

    /// The HTTP status: 451 (RFC 7725) where law is the reason, else 403.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Embargoed(_) => 451,
            Self::ClientIp(_)
            | Self::ClientUnknown
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
            Self::ClientIp(_) | Self::ClientUnknown | Self::PeerUnknown | Self::Plaintext => None,
        }
    }
}

impl Reason for Refusal {
    fn code(&self) -> ReasonCode {
        match self {
            Self::ClientIp(kind) => kind.code(),
            Self::ClientUnknown => reason_code!("client_ip.not_established"),
            Self::Embargoed(reason) | Self::Review(reason) => reason.code(),
            Self::PeerUnknown => reason_code!("client_ip.no_peer"),
            Self::Plaintext => reason_code!("transport.plaintext"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        match self {
            Self::ClientIp(_) | Self::ClientUnknown | Self::PeerUnknown => reason_code!("client_ip.refused"),
            Self::Embargoed(reason) | Self::Review(reason) => reason.public_code(),
            Self::Plaintext => reason_code!("transport.plaintext"),
        }
    }
}
