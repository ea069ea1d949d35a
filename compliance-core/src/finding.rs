//! What a check leaves behind: outcome, reason, the policy that decided and the data it looked at.
//!
//! A check's verdict stays small and allocates nothing; it becomes a [`Finding`] when somebody asks
//! ([`Explain::finding`]): for the audit trail, the operator's log or the report.
//!
//! Every refusal has two codes. The *operator code* is exact (`redirect.other_origin`) and goes to logs and
//! trail; the *public code* is what the other side may learn (`redirect.refused`) and is never an oracle.

use std::borrow::Cow;
use std::fmt;

use crate::class::dotted_code;
use crate::clock::Timestamp;
use crate::snapshot::Snapshot;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm is where a check fails open")]
pub enum Outcome {
    /// The check yielded its proof.
    Passed,
    /// The check refused.
    Refused,
    /// The check could not tell: a person has to.
    Review,
}

impl Outcome {
    /// `passed`, `refused` or `review`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Review => "review",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A stable, dotted, lower-case code: `embargo.country`. Texts may change, codes may not.
///
/// Made from a literal by [`reason_code!`](crate::reason_code), which checks it at compile time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(&'static str);

impl ReasonCode {
    /// For [`reason_code!`](crate::reason_code), which checks the literal at compile time.
    #[doc(hidden)]
    #[must_use]
    pub const fn from_checked_literal(text: &'static str) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A [`ReasonCode`](crate::finding::ReasonCode) from a literal; a malformed one does not compile.
///
/// ```
/// let code = compliance_core::reason_code!("redirect.other_origin");
/// assert_eq!(code.as_str(), "redirect.other_origin");
/// ```
/// ```compile_fail
/// let code = compliance_core::reason_code!("Other origin!");
/// ```
#[macro_export]
macro_rules! reason_code {
    ($text:literal) => {{
        const { assert!($crate::class::dotted_code($text), "a code is dotted lower-case, like `embargo.country`") };
        $crate::finding::ReasonCode::from_checked_literal($text)
    }};
}

/// What every reason enum of the family can say of itself.
pub trait Reason {
    /// The exact code, for operators.
    fn code(&self) -> ReasonCode;

    /// The code the other side may learn. Several reasons share one, so that it is no oracle.
    fn public_code(&self) -> ReasonCode;
}

/// Which policy decided: a name and a version, both of the policy's author.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyVersion {
    name: Cow<'static, str>,
    version: Cow<'static, str>,
}

impl PolicyVersion {
    /// The longest name and the longest version kept, in bytes; the rest is cut.
    pub const MAX_LEN: usize = 64;

    /// Names a policy, such as `nist-800-63b-4` of `2025-08`.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>, version: impl Into<Cow<'static, str>>) -> Self {
        let bounded = |text: Cow<'static, str>| {
            if text.len() <= Self::MAX_LEN {
                return text;
            }
            let mut cut = text.into_owned();
            while cut.len() > Self::MAX_LEN {
                cut.pop();
            }
            Cow::Owned(cut)
        };
        Self { name: bounded(name.into()), version: bounded(version.into()) }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

impl fmt::Display for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.version)
    }
}

/// Whether a check's refusal is carried out.
///
/// Services roll a check out report-only first: it decides, leaves its finding and lets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where a check fails open")]
pub enum Enforcement {
    /// Refusals refuse. The default.
    #[default]
    Enforce,
    /// Refusals are recorded as what would have happened, and let pass.
    ReportOnly,
}

/// The record of one check.
///
/// ```
/// use compliance_core::finding::{Finding, Outcome, PolicyVersion};
/// use compliance_core::reason_code;
///
/// let finding = Finding::refused(
///     reason_code!("redirect.other_origin"),
///     reason_code!("redirect.refused"),
///     PolicyVersion::new("signup-next", "1"),
/// );
/// assert_eq!(finding.outcome(), Outcome::Refused);
/// assert_eq!(finding.public_code().as_str(), "redirect.refused");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Finding {
    outcome: Outcome,
    operator_code: ReasonCode,
    public_code: ReasonCode,
    policy: PolicyVersion,
    enforcement: Enforcement,
    snapshots: Vec<Snapshot>,
}

impl Finding {
    /// A check that yielded its proof. `code` serves operator and public alike: a pass hides nothing.
    pub fn passed(code: ReasonCode, policy: PolicyVersion) -> Self {
        Self::build(Outcome::Passed, code, code, policy)
    }

    /// A check that refused.
    pub fn refused(operator_code: ReasonCode, public_code: ReasonCode, policy: PolicyVersion) -> Self {
        Self::build(Outcome::Refused, operator_code, public_code, policy)
    }

    /// A check that could not tell.
    pub fn review(operator_code: ReasonCode, public_code: ReasonCode, policy: PolicyVersion) -> Self {
        Self::build(Outcome::Review, operator_code, public_code, policy)
    }

    /// A finding for a reason of one of the family's reason enums.
    pub fn for_reason(outcome: Outcome, reason: &dyn Reason, policy: PolicyVersion) -> Self {
        Self::build(outcome, reason.code(), reason.public_code(), policy)
    }

    fn build(
        outcome: Outcome,
        operator_code: ReasonCode,
        public_code: ReasonCode,
        policy: PolicyVersion,
    ) -> Self {
        Self {
            outcome,
            operator_code,
            public_code,
            policy,
            enforcement: Enforcement::Enforce,
            snapshots: Vec::new(),
        }
    }

    /// Adds a snapshot the check used.
    pub fn with_snapshot(mut self, snapshot: Snapshot) -> Self {
        self.snapshots.push(snapshot);
        self
    }

    /// Says whether the outcome was carried out.
    pub fn with_enforcement(mut self, enforcement: Enforcement) -> Self {
        self.enforcement = enforcement;
        self
    }

    /// How the check ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The exact code, for operators.
    #[must_use]
    pub fn operator_code(&self) -> ReasonCode {
        self.operator_code
    }

    /// What the other side may learn.
    #[must_use]
    pub fn public_code(&self) -> ReasonCode {
        self.public_code
    }

    /// Which policy decided.
    #[must_use]
    pub fn policy(&self) -> &PolicyVersion {
        &self.policy
    }

    /// Whether the outcome was carried out.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// The lists and databases the check used.
    #[must_use]
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }
}

impl fmt::Display for Finding {
    /// One line for an operator: `refused redirect.other_origin (signup-next/1)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({}", self.outcome, self.operator_code, self.policy)?;
        if self.enforcement == Enforcement::ReportOnly {
            f.write_str(", report only")?;
        }
        self.snapshots.iter().try_for_each(|snapshot| write!(f, ", {snapshot}"))?;
        f.write_str(")")
    }
}

/// A verdict that can be turned into a [`Finding`] when somebody asks.
pub trait Explain {
    /// Builds the finding. Allocates; the verdict itself did not.
    fn finding(&self) -> Finding;
}

/// Somebody's written acceptance of a named danger: who, why, until when.
///
/// Builders that weaken a default (`dangerous(…)`) take one. It leaves a finding each time it is used and
/// counts for nothing once it has expired.
///
/// ```
/// use compliance_core::finding::RiskAcceptance;
///
/// let accepted = RiskAcceptance::new("ops-lead", "receiver runs on this host", "2026-12-31T00:00:00Z".parse()?)?;
/// assert!(accepted.in_force("2026-11-21T00:00:00Z".parse()?).is_ok());
/// assert_eq!(accepted.in_force("2027-01-01T00:00:00Z".parse()?).unwrap_err().code(), "risk.expired");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskAcceptance {
    approver: Box<str>,
    reason: Box<str>,
    expires: Timestamp,
}

impl RiskAcceptance {
    /// The longest approver and the longest reason, in bytes.
    pub const MAX_LEN: usize = 256;

    /// Writes the acceptance down. `approver` is a role or an actor id, `reason` a sentence; both go into
    /// findings as [`Internal`](crate::class::Internal) text.
    ///
    /// # Errors
    /// [`RiskError`] `risk.incomplete` when one of them is blank or longer than [`MAX_LEN`](Self::MAX_LEN) bytes.
    pub fn new(approver: &str, reason: &str, expires: Timestamp) -> Result<Self, RiskError> {
        let said = |text: &str| !text.trim().is_empty() && text.len() <= Self::MAX_LEN;
        if said(approver) && said(reason) {
            Ok(Self { approver: approver.into(), reason: reason.into(), expires })
        } else {
            Err(RiskError::Incomplete)
        }
    }

    /// Who accepted the risk.
    #[must_use]
    pub fn approver(&self) -> &str {
        &self.approver
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Until when.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Checks that the acceptance still counts at `now`.
    ///
    /// # Errors
    /// [`RiskError`] `risk.expired` from [`expires`](Self::expires) on.
    pub fn in_force(&self, now: Timestamp) -> Result<&Self, RiskError> {
        if now < self.expires { Ok(self) } else { Err(RiskError::Expired) }
    }
}

/// A risk acceptance that does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RiskError {
    /// Its time is over.
    #[error("the risk acceptance has expired")]
    Expired,
    /// Approver or reason is blank or too long.
    #[error("a risk acceptance needs an approver and a reason of 1 to {max} bytes each", max = RiskAcceptance::MAX_LEN)]
    Incomplete,
}

impl RiskError {
    /// `risk.expired` or `risk.incomplete`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Expired => "risk.expired",
            Self::Incomplete => "risk.incomplete",
        }
    }
}

/// Guards [`dotted_code`] against drift between the two macros that use it.
const _: () = assert!(dotted_code("embargo.country"));
