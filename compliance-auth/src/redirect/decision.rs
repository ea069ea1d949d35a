//! A policy's word on one target.

use compliance_core::finding::{Enforcement, Explain, Finding};

use super::SafeRedirect;
use super::error::RedirectError;
use super::policy::RedirectPolicy;

/// What a policy says to one target, the way it is rolled out.
///
/// [`target`](Self::target) is where to go. In a report-only policy it is `None` for a target that would have
/// been refused: go on as before the policy was there, and keep the [`Finding`]. Nothing here turns an
/// unchecked target into a [`SafeRedirect`].
///
/// ```
/// use compliance_auth::redirect::RedirectPolicy;
/// use compliance_core::finding::{Enforcement, Explain};
///
/// let policy = RedirectPolicy::builder("https://app.example/").default_target("/home").build()?;
/// let decision = policy.decide("//evil.example");
/// assert_eq!(decision.target().map(|t| t.location()), Some("https://app.example/home"));
/// assert_eq!(decision.finding().to_string(), "refused redirect.network_path (redirect/1)");
///
/// let trial = RedirectPolicy::builder("https://app.example/").enforcement(Enforcement::ReportOnly).build()?;
/// assert_eq!(trial.decide("//evil.example").target(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct RedirectDecision<'p> {
    pub(super) policy: &'p RedirectPolicy,
    pub(super) result: Result<SafeRedirect, RedirectError>,
}

impl RedirectDecision<'_> {
    /// Where to go: the checked target, or the default target of an enforcing policy that refused.
    #[must_use]
    pub fn target(&self) -> Option<&SafeRedirect> {
        match (&self.result, self.policy.enforcement()) {
            (Ok(target), _) => Some(target),
            (Err(_), Enforcement::Enforce) => Some(self.policy.default_target()),
            (Err(_), Enforcement::ReportOnly) => None,
        }
    }

    /// The rule that refused or would have refused.
    #[must_use]
    pub fn refusal(&self) -> Option<RedirectError> {
        self.result.as_ref().err().copied()
    }
}

impl Explain for RedirectDecision<'_> {
    fn finding(&self) -> Finding {
        self.policy.explain(self.result.as_ref().map(drop).map_err(|error| *error))
    }
}
