//! A verifier on trial.

use std::fmt;

use compliance_core::finding::{Enforcement, Explain, Finding, Outcome, PolicyVersion};
use compliance_core::reason_code;

use super::{Message, Verified, VerifyError};

/// What a verifier says to one message, the way it is rolled out.
///
/// A report-only verifier lets pass: [`into_result`](Self::into_result) hands the body of a message it would have
/// refused on as [`Received::Unverified`]. Nothing here turns it into a [`Verified`] one.
#[must_use]
pub struct VerifyDecision<B> {
    pub(super) result: Result<Verified<Message<B>>, (VerifyError, B)>,
    pub(super) enforcement: Enforcement,
    pub(super) version: PolicyVersion,
}

/// A message as a verifier on trial lets it pass.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a receiver must treat both")]
#[must_use]
pub enum Received<B> {
    /// Whose it is nobody knows: go on as before the verifier was there.
    Unverified(B),
    /// Its signature holds.
    Verified(Verified<Message<B>>),
}

impl<B> VerifyDecision<B> {
    /// The message, if it passed.
    #[must_use]
    pub fn verified(&self) -> Option<&Verified<Message<B>>> {
        self.result.as_ref().ok()
    }

    /// The rule that refused or would have refused.
    #[must_use]
    pub fn refusal(&self) -> Option<VerifyError> {
        self.result.as_ref().err().map(|(refused, _)| *refused)
    }

    /// The message, whatever the roll-out.
    ///
    /// # Errors
    /// [`VerifyError`] when the verifier refused or would have refused.
    pub fn into_verified(self) -> Result<Verified<Message<B>>, VerifyError> {
        self.result.map_err(|(refused, _)| refused)
    }

    /// The message, or the body alone where a report-only verifier would have refused.
    ///
    /// # Errors
    /// [`VerifyError`] when an enforcing verifier refused; the body is gone then.
    pub fn into_result(self) -> Result<Received<B>, VerifyError> {
        match (self.result, self.enforcement) {
            (Ok(verified), _) => Ok(Received::Verified(verified)),
            (Err((refused, _)), Enforcement::Enforce) => Err(refused),
            (Err((_, body)), Enforcement::ReportOnly) => Ok(Received::Unverified(body)),
        }
    }
}

impl<B> Explain for VerifyDecision<B> {
    fn finding(&self) -> Finding {
        let version = self.version.clone();
        match &self.result {
            Ok(_) => Finding::passed(reason_code!("verify.passed"), version),
            Err((refused, _)) => Finding::for_reason(Outcome::Refused, refused, version),
        }
        .with_enforcement(self.enforcement)
    }
}

impl<B> fmt::Debug for VerifyDecision<B> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyDecision")
            .field("refusal", &self.refusal())
            .field("enforcement", &self.enforcement)
            .finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for Received<B> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unverified(_) => f.write_str("Unverified"),
            Self::Verified(verified) => f.debug_tuple("Verified").field(verified.message()).finish(),
        }
    }
}
