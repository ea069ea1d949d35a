use std::ops::RangeInclusive;

/// What a response status means for the message and for its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm is where a failure would pass for a delivery")]
#[must_use]
pub enum StatusAction {
    /// The receiver has the message.
    Delivered,
    /// The receiver wants no more messages: switch the endpoint off.
    DisableEndpoint,
    /// A failure: try this message again later.
    Retry,
    /// A failure that says the endpoint is overloaded: try again later, and hold back its other messages too.
    Throttle,
}

/// One row of a [`StatusPolicy`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusRule {
    /// The statuses it is about.
    pub statuses: RangeInclusive<u16>,
    /// What they mean.
    pub action: StatusAction,
    /// Where that is written.
    pub source: &'static str,
}

/// The table from status to meaning. The first row that covers a status decides; a status no row covers is a
/// failure to be retried.
///
/// ```
/// use compliance_webhook::schedule::{StatusAction, StatusPolicy};
///
/// let policy = StatusPolicy::standard();
/// assert_eq!(policy.action(204), StatusAction::Delivered);
/// assert_eq!(policy.action(302), StatusAction::Retry); // A redirect is a failure: it is never followed.
/// assert_eq!(policy.action(410), StatusAction::DisableEndpoint);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusPolicy(());

const RULES: &[StatusRule] = &[
    StatusRule {
        statuses: 200..=299,
        action: StatusAction::Delivered,
        source: "Standard Webhooks: 2xx is success, anything else is not",
    },
    StatusRule {
        statuses: 410..=410,
        action: StatusAction::DisableEndpoint,
        source: "Standard Webhooks: 410 disables the endpoint; RFC 9110 §15.5.11",
    },
    StatusRule {
        statuses: 429..=429,
        action: StatusAction::Throttle,
        source: "Standard Webhooks: throttle; RFC 6585 §4",
    },
    StatusRule {
        statuses: 502..=502,
        action: StatusAction::Throttle,
        source: "Standard Webhooks: throttle; RFC 9110 §15.6.3",
    },
    StatusRule {
        statuses: 504..=504,
        action: StatusAction::Throttle,
        source: "Standard Webhooks: throttle; RFC 9110 §15.6.5",
    },
];

impl StatusPolicy {
    /// The table of Standard Webhooks.
    #[must_use]
    pub fn standard() -> Self {
        Self(())
    }

    /// What `status` means. Numbers that are no HTTP status are failures.
    pub fn action(&self, status: u16) -> StatusAction {
        self.rules()
            .iter()
            .find(|rule| rule.statuses.contains(&status))
            .map_or(StatusAction::Retry, |rule| rule.action)
    }

    /// The rows, for documentation and consoles.
    #[must_use]
    pub fn rules(&self) -> &'static [StatusRule] {
        RULES
    }
}
