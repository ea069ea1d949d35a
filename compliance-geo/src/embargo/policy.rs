//! Whose programmes apply.

use std::str::FromStr;

use super::programme::Authority;

/// Whose programmes apply. Nobody but the operator can say: there is no default.
///
/// `FromStr` takes `us`, `eu`, `uk`, `un` and `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever offers the choice must offer each")]
pub enum Policy {
    /// Every programme in the list.
    All,
    /// European Union. Member states' own measures are not in the list.
    Eu,
    /// United Kingdom.
    Uk,
    /// United Nations Security Council. Binds states; companies are bound by the law that implements it.
    Un,
    /// United States: OFAC and BIS.
    Us,
}

impl Policy {
    /// `all`, `eu`, `uk`, `un` or `us`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Eu => "eu",
            Self::Uk => "uk",
            Self::Un => "un",
            Self::Us => "us",
        }
    }

    /// Whether it includes an authority. The operator's own programmes are in every policy.
    #[must_use]
    pub const fn includes(self, authority: Authority) -> bool {
        match authority {
            Authority::Own => true,
            Authority::Bis | Authority::Ofac => matches!(self, Self::All | Self::Us),
            Authority::Eu => matches!(self, Self::All | Self::Eu),
            Authority::Uk => matches!(self, Self::All | Self::Uk),
            Authority::Un => matches!(self, Self::All | Self::Un),
        }
    }

    /// Whether it includes an authority that is not the operator.
    pub(super) fn is_behind(self, authority: Authority) -> bool {
        authority != Authority::Own && self.includes(authority)
    }
}

/// Not the name of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a policy: one of `all`, `eu`, `uk`, `un`, `us`")]
pub struct UnknownPolicy(());

impl UnknownPolicy {
    /// `embargo.unknown_policy`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "embargo.unknown_policy"
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let all = [Self::All, Self::Eu, Self::Uk, Self::Un, Self::Us];
        all.into_iter().find(|policy| policy.as_str() == text).ok_or(UnknownPolicy(()))
    }
}
