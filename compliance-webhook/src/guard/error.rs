//! Why nothing may be dialled.

use compliance_core::address::AddressReason;
use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

use super::MAX_ANSWERS;

/// An endpoint's addresses were refused. Never carries an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address refused: {reason}")]
pub struct GuardError {
    reason: GuardReason,
}

impl GuardError {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> GuardReason {
        self.reason
    }

    /// The exact code, such as `address.loopback`; for the operator only.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(&self.reason).as_str()
    }
}

impl From<GuardReason> for GuardError {
    fn from(reason: GuardReason) -> Self {
        Self { reason }
    }
}

impl Reason for GuardError {
    fn code(&self) -> ReasonCode {
        Reason::code(&self.reason)
    }

    fn public_code(&self) -> ReasonCode {
        self.reason.public_code()
    }
}

/// Which rule refused the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum GuardReason {
    /// The proof is too old.
    #[error("the checked address has expired, resolve again")]
    Expired,
    /// An answer is inside.
    #[error("an answer lies inside ({})", .0.code())]
    Inside(AddressReason),
    /// Whether this network translates IPv6 addresses is not known, and an answer is one.
    #[error("an answer is an ipv6 address, and which of them this network translates is not known")]
    Nat64Unknown,
    /// An own network whose prefix is longer than its address.
    #[error("an own network's prefix is longer than its address")]
    Network,
    /// The name has no address.
    #[error("the name has no address")]
    NoAnswers,
    /// An answer is one of our own addresses.
    #[error("an answer is one of our own addresses")]
    OwnAddress,
    /// The socket is connected to something else.
    #[error("connected to another address than the checked one")]
    Peer,
    /// An answer lies inside and the acceptance for it has expired.
    #[error("an answer lies inside and the risk acceptance has expired")]
    RiskExpired,
    /// An answer lies outside the network that was accepted for the endpoint.
    #[error("an answer does not lie in the network accepted for the endpoint")]
    RiskNetwork,
    /// Too many answers.
    #[error("the name has more than {MAX_ANSWERS} addresses")]
    TooManyAnswers,
}

impl Reason for GuardReason {
    /// For an inside answer, the code of `compliance_core::address`: `address.private`.
    fn code(&self) -> ReasonCode {
        match self {
            Self::Expired => reason_code!("guard.expired"),
            Self::Inside(reason) => Reason::code(reason),
            Self::Nat64Unknown => reason_code!("guard.nat64_unknown"),
            Self::Network => reason_code!("guard.network"),
            Self::NoAnswers => reason_code!("guard.no_answers"),
            Self::OwnAddress => reason_code!("guard.own_address"),
            Self::Peer => reason_code!("guard.peer"),
            Self::RiskExpired => reason_code!("guard.risk_expired"),
            Self::RiskNetwork => reason_code!("guard.risk_network"),
            Self::TooManyAnswers => reason_code!("guard.too_many_answers"),
        }
    }

    /// Always `endpoint.unreachable`: a refusal that looks different from a dead host maps the inside.
    fn public_code(&self) -> ReasonCode {
        reason_code!("endpoint.unreachable")
    }
}
