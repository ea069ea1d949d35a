//! Why an endpoint was refused.

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

use super::MAX_URL_LEN;

/// The URL is not one a webhook may go to. Never carries the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint refused: {reason}")]
pub struct EndpointError {
    reason: EndpointReason,
}

impl EndpointError {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> EndpointReason {
        self.reason
    }

    /// The stable code, such as `endpoint.scheme`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.reason.code().as_str()
    }
}

impl From<EndpointReason> for EndpointError {
    fn from(reason: EndpointReason) -> Self {
        Self { reason }
    }
}

impl Reason for EndpointError {
    fn code(&self) -> ReasonCode {
        self.reason.code()
    }

    fn public_code(&self) -> ReasonCode {
        self.reason.public_code()
    }
}

/// Which rule refused an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointReason {
    /// The host is an address literal.
    #[error("the host is an address literal, expected a name")]
    AddressLiteral,
    /// White space, a control character, a backslash, or an invisible character in the authority.
    #[error("has white space, a backslash, a control or an invisible character at byte {at}")]
    Character {
        /// Byte offset of the first one.
        at: usize,
    },
    /// There is a fragment, which would never be sent.
    #[error("has a fragment")]
    Fragment,
    /// The host is no host name.
    #[error("the host is not a host name of letters, digits, hyphens and underscores")]
    Host,
    /// The host ends in a special-use or private-use suffix.
    #[error("the host ends in a suffix reserved for internal names")]
    InternalName,
    /// Too long.
    #[error("is {found} bytes long, at most {max} allowed", max = MAX_URL_LEN)]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// The host is `localhost` or below it.
    #[error("the host is localhost")]
    Localhost,
    /// The host is a cloud metadata service.
    #[error("the host is a cloud metadata service")]
    Metadata,
    /// The port is not on the policy's list.
    #[error("port {found} is not on the list of allowed ports")]
    Port {
        /// The port asked for.
        found: u16,
    },
    /// The host is on the policy's own list.
    #[error("the host is on the policy's list of refused hosts")]
    RefusedHost,
    /// The host lies inside and its risk acceptance has expired.
    #[error("the risk acceptance for this internal host has expired")]
    RiskExpired,
    /// Not `https://`.
    #[error("does not start with `https://`")]
    Scheme,
    /// The host has one label.
    #[error("the host has one label, expected a full domain name")]
    SingleLabel,
    /// No URL.
    #[error("is not a URL")]
    Syntax,
    /// There is a user name or password.
    #[error("has user info before the host")]
    UserInfo,
}

impl Reason for EndpointReason {
    fn code(&self) -> ReasonCode {
        match self {
            Self::AddressLiteral => reason_code!("endpoint.address_literal"),
            Self::Character { .. } => reason_code!("endpoint.character"),
            Self::Fragment => reason_code!("endpoint.fragment"),
            Self::Host => reason_code!("endpoint.host"),
            Self::InternalName => reason_code!("endpoint.internal_name"),
            Self::Length { .. } => reason_code!("endpoint.length"),
            Self::Localhost => reason_code!("endpoint.localhost"),
            Self::Metadata => reason_code!("endpoint.metadata"),
            Self::Port { .. } => reason_code!("endpoint.port"),
            Self::RefusedHost => reason_code!("endpoint.refused_host"),
            Self::RiskExpired => reason_code!("endpoint.risk_expired"),
            Self::Scheme => reason_code!("endpoint.scheme"),
            Self::SingleLabel => reason_code!("endpoint.single_label"),
            Self::Syntax => reason_code!("endpoint.syntax"),
            Self::UserInfo => reason_code!("endpoint.userinfo"),
        }
    }

    /// How the URL is written is told; which list a host is on is not.
    fn public_code(&self) -> ReasonCode {
        match self {
            Self::Host
            | Self::InternalName
            | Self::Localhost
            | Self::Metadata
            | Self::RefusedHost
            | Self::RiskExpired
            | Self::SingleLabel => reason_code!("endpoint.host_refused"),
            Self::AddressLiteral
            | Self::Character { .. }
            | Self::Fragment
            | Self::Length { .. }
            | Self::Port { .. }
            | Self::Scheme
            | Self::Syntax
            | Self::UserInfo => self.code(),
        }
    }
}

/// A policy that could never do what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointPolicyError {
    /// A host that is no host name.
    #[error("a host of the endpoint policy is not a host name")]
    Host,
    /// A network that is not private use, or a prefix length past its end.
    #[error("an accepted network must lie within loopback, private-use, shared or unique local space")]
    Network,
    /// No port, or port 0.
    #[error("an endpoint policy needs at least one port, and port 0 is none")]
    Ports,
}

impl EndpointPolicyError {
    /// `endpoint_policy.host`, `endpoint_policy.network` or `endpoint_policy.ports`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Host => "endpoint_policy.host",
            Self::Network => "endpoint_policy.network",
            Self::Ports => "endpoint_policy.ports",
        }
    }
}
