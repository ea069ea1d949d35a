use std::fmt;

/// The classes an audit trail is asked for; retention and recording policies go by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EventClass {
    /// Accounts and their credentials, roles and locks.
    Account,
    /// What administrators do.
    Administration,
    /// Calls of the service's own API.
    Api,
    /// Logins, logouts, second factors.
    Authentication,
    /// Whether somebody may.
    Authorization,
    /// What a check of the family decided: redirect, embargo, password policy and the like.
    Check,
    /// Settings, policies, lists.
    Configuration,
    /// Given, refused, withdrawn.
    Consent,
    /// Reading, creating, changing, deleting, exporting personal data.
    Data,
    /// Forgetting people.
    Erasure,
    /// The trail and the service themselves.
    System,
    /// What leaves the house.
    Webhook,
}

impl EventClass {
    /// The lower-case name, the first part of the class's codes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Administration => "administration",
            Self::Api => "api",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::Check => "check",
            Self::Configuration => "configuration",
            Self::Consent => "consent",
            Self::Data => "data",
            Self::Erasure => "erasure",
            Self::System => "system",
            Self::Webhook => "webhook",
        }
    }
}

impl fmt::Display for EventClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $class:ident, $code:literal;)*) => {
        /// What happened. Codes are stable and written into trails; the set grows.
        ///
        /// The vocabulary follows the OWASP Logging Vocabulary and the activities of OCSF 1.8.0, to which it
        /// is mapped on export.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* $name,)*
        }

        impl EventKind {
            /// Every kind this version knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The stable code, `account.created`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// The class.
            #[must_use]
            pub const fn class(self) -> EventClass {
                match self {
                    $(Self::$name => EventClass::$class,)*
                }
            }

            /// The kind with this code, if this version knows it.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// An account came into being.
    AccountCreated, Account, "account.created";
    /// An account was removed.
    AccountDeleted, Account, "account.deleted";
    /// An account was locked.
    AccountLocked, Account, "account.locked";
    /// A second factor was switched off.
    AccountMfaDisabled, Account, "account.mfa_disabled";
    /// A second factor was switched on.
    AccountMfaEnabled, Account, "account.mfa_enabled";
    /// A password was set or changed.
    AccountPasswordChanged, Account, "account.password_changed";
    /// A role was given.
    AccountRoleAssigned, Account, "account.role_assigned";
    /// A role was taken away.
    AccountRoleRevoked, Account, "account.role_revoked";
    /// A lock was lifted.
    AccountUnlocked, Account, "account.unlocked";
    /// Account attributes changed.
    AccountUpdated, Account, "account.updated";
    /// An administrator acted.
    AdministrationPerformed, Administration, "administration.performed";
    /// An API of the service was called; fields say which, the outcome how it ended.
    ApiCalled, Api, "api.called";
    /// A login was tried; the outcome says how it ended.
    AuthenticationLogin, Authentication, "authentication.login";
    /// A session was ended by its owner.
    AuthenticationLogout, Authentication, "authentication.logout";
    /// A second factor was asked for; the outcome says how it ended.
    AuthenticationMfa, Authentication, "authentication.mfa";
    /// A session was begun, renewed, or ended by the service.
    AuthenticationSession, Authentication, "authentication.session";
    /// Somebody asked to do something; the outcome says whether they may.
    AuthorizationDecided, Authorization, "authorization.decided";
    /// A check decided; the reason code names it.
    CheckDecided, Check, "check.decided";
    /// A danger was accepted in writing and used.
    CheckRiskAccepted, Check, "check.risk_accepted";
    /// A setting, policy or list changed.
    ConfigurationChanged, Configuration, "configuration.changed";
    /// Consent was given.
    ConsentGiven, Consent, "consent.given";
    /// Consent was refused.
    ConsentRefused, Consent, "consent.refused";
    /// Consent was withdrawn.
    ConsentWithdrawn, Consent, "consent.withdrawn";
    /// Personal data was stored.
    DataCreated, Data, "data.created";
    /// Personal data was deleted.
    DataDeleted, Data, "data.deleted";
    /// Personal data left as a file or a bulk answer.
    DataExported, Data, "data.exported";
    /// Personal data was read.
    DataRead, Data, "data.read";
    /// Personal data was changed.
    DataUpdated, Data, "data.updated";
    /// An erasure was carried out. Does not name the erased.
    ErasureCompleted, Erasure, "erasure.completed";
    /// An erasure was asked for.
    ErasureRequested, Erasure, "erasure.requested";
    /// Best-effort events were dropped; a field says how many.
    SystemEventsDropped, System, "system.events_dropped";
    /// Failures nobody was logged in for, counted instead of listed; fields say how many and of what kind.
    SystemFailuresAggregated, System, "system.failures_aggregated";
    /// Passes of a check, counted instead of listed.
    SystemPassesAggregated, System, "system.passes_aggregated";
    /// The service or a part of it started.
    SystemStarted, System, "system.started";
    /// The service or a part of it stopped.
    SystemStopped, System, "system.stopped";
    /// The trail was exported.
    SystemTrailExported, System, "system.trail_exported";
    /// The trail goes on under another key, which a field names. Written by the trail itself only.
    SystemTrailKeyChanged, System, "system.trail_key_changed";
    /// The trail was read.
    SystemTrailRead, System, "system.trail_read";
    /// Part of the trail reached the end of its retention and was removed. Written by the trail itself only.
    SystemTrailRetired, System, "system.trail_retired";
    /// The trail was verified; the outcome says how it ended.
    SystemTrailVerified, System, "system.trail_verified";
    /// Whoever runs an endpoint consented, by callback, to being sent to.
    WebhookConsentGranted, Webhook, "webhook.consent_granted";
    /// Such a consent was taken back.
    WebhookConsentRevoked, Webhook, "webhook.consent_revoked";
    /// An endpoint's address, secret or filter changed.
    WebhookEndpointChanged, Webhook, "webhook.endpoint_changed";
    /// An endpoint was registered.
    WebhookEndpointCreated, Webhook, "webhook.endpoint_created";
    /// An endpoint was switched off.
    WebhookEndpointDisabled, Webhook, "webhook.endpoint_disabled";
    /// A message was given up; it waits in the dead letters.
    WebhookMessageDead, Webhook, "webhook.message_dead";
    /// Messages were sent again on request.
    WebhookReplayed, Webhook, "webhook.replayed";
    /// A signing secret was rotated.
    WebhookSecretRotated, Webhook, "webhook.secret_rotated";
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
