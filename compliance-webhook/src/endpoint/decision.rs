//! A policy on trial.

use compliance_core::finding::{Enforcement, Explain, Finding, Outcome, PolicyVersion};

use super::{EndpointError, WebhookEndpoint};

/// What a policy says to one URL, the way it is rolled out.
///
/// A report-only policy lets pass: [`into_result`](Self::into_result) is `Ok(None)` for a URL it would have refused.
/// Go on as before the policy was there, and keep the finding. Nothing here turns an unchecked URL into a
/// [`WebhookEndpoint`].
#[derive(Clone, Debug)]
#[must_use]
pub struct EndpointDecision {
    pub(super) result: Result<WebhookEndpoint, EndpointError>,
    pub(super) enforcement: Enforcement,
    pub(super) version: PolicyVersion,
}

impl EndpointDecision {
    /// The endpoint, if the URL passed.
    #[must_use]
    pub fn endpoint(&self) -> Option<&WebhookEndpoint> {
        self.result.as_ref().ok()
    }

    /// The rule that refused or would have refused.
    #[must_use]
    pub fn refusal(&self) -> Option<EndpointError> {
        self.result.as_ref().err().copied()
    }

    /// The endpoint; `None` for a URL that a report-only policy would have refused.
    ///
    /// # Errors
    /// [`EndpointError`] when an enforcing policy refused.
    pub fn into_result(self) -> Result<Option<WebhookEndpoint>, EndpointError> {
        match (self.result, self.enforcement) {
            (Ok(endpoint), _) => Ok(Some(endpoint)),
            (Err(refused), Enforcement::Enforce) => Err(refused),
            (Err(_), Enforcement::ReportOnly) => Ok(None),
        }
    }
}

impl Explain for EndpointDecision {
    fn finding(&self) -> Finding {
        match &self.result {
            Ok(endpoint) => endpoint.finding(),
            Err(refused) => Finding::for_reason(Outcome::Refused, refused, self.version.clone()),
        }
        .with_enforcement(self.enforcement)
    }
}
