use std::time::Duration;

use compliance_core::class::{Internal, Purpose};
use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, Event, EventBuilder, EventError, EventKind, FieldValue, Value};
use compliance_core::finding::{Finding, Outcome, ReasonCode, RiskAcceptance};
use compliance_core::id::{SubjectId, TenantId};
use compliance_core::pseudonym::Pseudonym;
use compliance_core::request::{ClientAddress, Correlation};

use super::route::RouteTemplate;

/// Who acts, when, in which tenant, from where, as part of which request: what every event of one request shares.
///
/// ```
/// use compliance_core::event::{Actor, EventClass};
/// use compliance_core::id::{ActorId, SubjectId, TenantId};
/// use compliance_core::purpose;
/// use compliance_log::audit::record::{Circumstances, DataAccess};
///
/// let staff = Actor::Person(ActorId::new("staff-17")?);
/// let request = Circumstances::new(staff, "2026-11-21T12:00:00Z".parse()?).tenant(TenantId::new("acme")?);
/// let read = DataAccess::read(&request, "customer", purpose!("support.ticket"))
///     .subject(SubjectId::new("user-4711")?)
///     .fields(&["name", "email"])
///     .count(1)
///     .build()?;
/// assert_eq!(read.kind().class(), EventClass::Data);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Circumstances {
    actor: Actor,
    at: Timestamp,
    on_behalf_of: Option<Actor>,
    tenant: Option<TenantId>,
    client: Option<ClientAddress>,
    correlation: Option<Correlation>,
}

impl Circumstances {
    /// Who, and when.
    pub fn new(actor: Actor, at: Timestamp) -> Self {
        Self { actor, at, on_behalf_of: None, tenant: None, client: None, correlation: None }
    }

    /// On behalf of whom.
    pub fn on_behalf_of(self, actor: Actor) -> Self {
        Self { on_behalf_of: Some(actor), ..self }
    }

    /// In which tenant.
    pub fn tenant(self, tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), ..self }
    }

    /// From where; the network is kept, not the address.
    pub fn client(self, client: ClientAddress) -> Self {
        Self { client: Some(client), ..self }
    }

    /// As part of which request.
    pub fn correlation(self, correlation: Correlation) -> Self {
        Self { correlation: Some(correlation), ..self }
    }

    pub(in crate::audit) fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The same without this person: who erases themselves is not named by the record of it, and neither network nor
    /// request leads to other records that do.
    #[cfg(feature = "key-store")]
    pub(in crate::audit) fn unnamed(&self, name: &str) -> Self {
        let is_named = |actor: &Actor| actor.id().is_some_and(|id| id.as_str() == name);
        if !is_named(&self.actor) && !self.on_behalf_of.as_ref().is_some_and(is_named) {
            return self.clone();
        }
        let on_behalf_of = self.on_behalf_of.clone().filter(|actor| !is_named(actor));
        let actor = if is_named(&self.actor) { Actor::System } else { self.actor.clone() };
        Self { actor, on_behalf_of, client: None, correlation: None, ..self.clone() }
    }

    fn event(&self, kind: EventKind, outcome: Outcome) -> EventBuilder {
        let mut event = Event::builder(kind, outcome, self.actor.clone(), self.at);
        if let Some(actor) = &self.on_behalf_of {
            event = event.on_behalf_of(actor.clone());
        }
        if let Some(tenant) = &self.tenant {
            event = event.tenant(tenant.clone());
        }
        if let Some(client) = &self.client {
            event = event.client(client);
        }
        match self.correlation {
            Some(correlation) => event.correlation(correlation),
            None => event,
        }
    }
}

/// That somebody accepts the risk of a setting: who, why, until when.
pub(in crate::audit) fn risk_accepted(
    acceptance: &RiskAcceptance,
    setting: &'static str,
    now: Timestamp,
) -> EventBuilder {
    Event::builder(EventKind::CheckRiskAccepted, Outcome::Passed, Actor::System, now)
        .field("setting", Internal(setting))
        .field("approver", Internal(acceptance.approver()))
        .field("reason", Internal(acceptance.reason()))
        .field("expires", Internal(acceptance.expires()))
}

/// Names of fields, roles or columns: the program's own words, so that nothing of a user's can be among them.
fn list(names: &[&'static str]) -> Internal<String> {
    Internal(names.join(","))
}

macro_rules! typed {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        #[must_use]
        pub struct $name(EventBuilder);

        impl $name {
            /// A further fact. `name` is dotted lower-case; each name once. The value is public, internal, a
            /// pseudonym or sealed; nothing else compiles.
            pub fn field(self, name: &'static str, value: impl FieldValue) -> Self {
                Self(self.0.field(name, value))
            }

            /// What a check found: outcome, operator code, policy and snapshots.
            pub fn finding(self, finding: &Finding) -> Self {
                Self(self.0.finding(finding))
            }

            /// Why it failed, where no finding says so.
            pub fn reason(self, code: ReasonCode) -> Self {
                Self(self.0.reason(code))
            }

            /// Finishes the event.
            ///
            /// # Errors
            /// [`EventError`] for the first mistake made on the way.
            pub fn build(self) -> Result<Event, EventError> {
                self.0.build()
            }
        }
    };
}

typed!(
    /// Logins, logouts, second factors, sessions.
    ///
    /// The name somebody tried to log in with is kept as a pseudonym only: people type passwords there.
    ///
    /// ```compile_fail,E0308
    /// # use compliance_core::{class::Internal, clock::Timestamp, event::Actor, finding::Outcome};
    /// # use compliance_log::audit::record::{Authentication, Circumstances};
    /// let request = Circumstances::new(Actor::Anonymous, Timestamp::UNIX_EPOCH);
    /// Authentication::login(&request, Outcome::Refused).attempted_name("hunter2");
    /// ```
    Authentication
);

impl Authentication {
    /// A login was tried.
    pub fn login(by: &Circumstances, outcome: Outcome) -> Self {
        Self(by.event(EventKind::AuthenticationLogin, outcome))
    }

    /// A session was ended by its owner.
    pub fn logout(by: &Circumstances) -> Self {
        Self(by.event(EventKind::AuthenticationLogout, Outcome::Passed))
    }

    /// A second factor was asked for.
    pub fn mfa(by: &Circumstances, outcome: Outcome) -> Self {
        Self(by.event(EventKind::AuthenticationMfa, outcome))
    }

    /// A session was begun, renewed, or ended by the service.
    pub fn session(by: &Circumstances, outcome: Outcome) -> Self {
        Self(by.event(EventKind::AuthenticationSession, outcome))
    }

    /// The name that was typed in, as a keyed pseudonym: attempts on one name can be told to be on one name.
    pub fn attempted_name(self, name: Pseudonym) -> Self {
        Self(self.0.field("attempted_name", name))
    }

    /// By which method: `password`, `totp`, `passkey`.
    pub fn method(self, method: &'static str) -> Self {
        Self(self.0.field("method", Internal(method)))
    }

    /// Whose account it is about.
    pub fn subject(self, subject: SubjectId) -> Self {
        Self(self.0.subject(subject))
    }
}

typed!(
    /// Whether somebody may.
    Authorization
);

impl Authorization {
    /// Somebody asked to do `action` on a `resource`, both the program's own words.
    pub fn decided(
        by: &Circumstances,
        action: &'static str,
        resource: &'static str,
        outcome: Outcome,
    ) -> Self {
        let event = by.event(EventKind::AuthorizationDecided, outcome);
        Self(event.field("action", Internal(action)).field("resource", Internal(resource)))
    }

    /// Whose data was asked for.
    pub fn subject(self, subject: SubjectId) -> Self {
        Self(self.0.subject(subject))
    }
}

typed!(
    /// Accounts, their credentials, roles and locks.
    Account
);

macro_rules! account {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Account {
            $($(#[$doc])*
            pub fn $name(by: &Circumstances, account: SubjectId) -> Self {
                Self(by.event(EventKind::$kind, Outcome::Passed).subject(account))
            })*
        }
    };
}

account! {
    /// It came into being.
    created => AccountCreated;
    /// It was removed.
    deleted => AccountDeleted;
    /// It was locked.
    locked => AccountLocked;
    /// A lock was lifted.
    unlocked => AccountUnlocked;
    /// Its password was set or changed.
    password_changed => AccountPasswordChanged;
    /// A second factor was switched on.
    mfa_enabled => AccountMfaEnabled;
    /// A second factor was switched off.
    mfa_disabled => AccountMfaDisabled;
}

impl Account {
    /// A role was given.
    pub fn role_assigned(by: &Circumstances, account: SubjectId, role: &'static str) -> Self {
        let event = by.event(EventKind::AccountRoleAssigned, Outcome::Passed).subject(account);
        Self(event.field("role", Internal(role)))
    }

    /// A role was taken away.
    pub fn role_revoked(by: &Circumstances, account: SubjectId, role: &'static str) -> Self {
        let event = by.event(EventKind::AccountRoleRevoked, Outcome::Passed).subject(account);
        Self(event.field("role", Internal(role)))
    }

    /// These attributes changed. Names, never values.
    pub fn updated(by: &Circumstances, account: SubjectId, attributes: &[&'static str]) -> Self {
        let event = by.event(EventKind::AccountUpdated, Outcome::Passed).subject(account);
        Self(event.field("attributes", list(attributes)))
    }
}

typed!(
    /// Reading, creating, changing, deleting, exporting personal data: whose, which fields, what for, how many. Never
    /// the rows.
    ///
    /// Field names are the program's own words; a value that was read does not compile:
    ///
    /// ```compile_fail,E0597
    /// # use compliance_core::{clock::Timestamp, event::Actor, purpose};
    /// # use compliance_log::audit::record::{Circumstances, DataAccess};
    /// let request = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    /// let row = String::from("anna@example.com");
    /// DataAccess::read(&request, "customer", purpose!("support.ticket")).fields(&[&row]);
    /// ```
    /// ```compile_fail,E0277
    /// # use compliance_core::{class::Personal, clock::Timestamp, event::Actor, purpose};
    /// # use compliance_log::audit::record::{Circumstances, DataAccess};
    /// let request = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    /// let email = Personal::new(String::from("anna@example.com"));
    /// DataAccess::read(&request, "customer", purpose!("support.ticket")).field("email", email);
    /// ```
    DataAccess
);

macro_rules! data {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl DataAccess {
            $($(#[$doc])*
            pub fn $name(by: &Circumstances, resource: &'static str, purpose: Purpose) -> Self {
                let event = by.event(EventKind::$kind, Outcome::Passed).purpose(purpose);
                Self(event.field("resource", Internal(resource)))
            })*
        }
    };
}

data! {
    /// It was stored.
    created => DataCreated;
    /// It was deleted.
    deleted => DataDeleted;
    /// It left as a file or a bulk answer.
    exported => DataExported;
    /// It was read.
    read => DataRead;
    /// It was changed.
    updated => DataUpdated;
}

impl DataAccess {
    /// Whose data; at most [`Event::MAX_SUBJECTS`] per event.
    pub fn subject(self, subject: SubjectId) -> Self {
        Self(self.0.subject(subject))
    }

    /// Whose data.
    pub fn subjects(self, subjects: impl IntoIterator<Item = SubjectId>) -> Self {
        Self(subjects.into_iter().fold(self.0, EventBuilder::subject))
    }

    /// Which fields of the resource. Names, never values.
    pub fn fields(self, names: &[&'static str]) -> Self {
        Self(self.0.field("fields", list(names)))
    }

    /// How many rows or files.
    pub fn count(self, count: u32) -> Self {
        Self(self.0.field("count", Internal(count)))
    }
}

typed!(
    /// What administrators do.
    Administration
);

impl Administration {
    /// An administrator did `action`, the program's own word.
    pub fn performed(by: &Circumstances, action: &'static str, outcome: Outcome) -> Self {
        Self(by.event(EventKind::AdministrationPerformed, outcome).field("action", Internal(action)))
    }

    /// Whom it was about.
    pub fn subject(self, subject: SubjectId) -> Self {
        Self(self.0.subject(subject))
    }
}

typed!(
    /// Calls of the service's own API: method, route template, status. Never the path that was called.
    ApiCall
);

impl ApiCall {
    /// A call that may change something is about to be carried out.
    pub fn begun(by: &Circumstances, method: &'static str, route: &RouteTemplate) -> Self {
        Self::call(by, Outcome::Review, method, route, "begun")
    }

    /// A call was answered with this HTTP status: passed below 400, refused from there on.
    pub fn ended(by: &Circumstances, method: &'static str, route: &RouteTemplate, status: u16) -> Self {
        let outcome = if status < 400 { Outcome::Passed } else { Outcome::Refused };
        let call = Self::call(by, outcome, method, route, "ended");
        Self(call.0.field("status", Internal(i64::from(status))))
    }

    /// A call was given up before it was answered; how far it came is not known.
    pub fn abandoned(by: &Circumstances, method: &'static str, route: &RouteTemplate) -> Self {
        Self::call(by, Outcome::Review, method, route, "abandoned")
    }

    fn call(
        by: &Circumstances,
        outcome: Outcome,
        method: &'static str,
        route: &RouteTemplate,
        phase: &'static str,
    ) -> Self {
        let event = by.event(EventKind::ApiCalled, outcome).field("method", Internal(method));
        Self(event.field("route", Internal(route.to_string())).field("phase", Internal(phase)))
    }
}

typed!(
    /// Settings, policies, lists.
    Configuration
);

impl Configuration {
    /// A setting changed. State the values with [`from`](Self::from) and [`to`](Self::to) where they are no secrets.
    pub fn changed(by: &Circumstances, setting: &'static str) -> Self {
        Self(by.event(EventKind::ConfigurationChanged, Outcome::Passed).field("setting", Internal(setting)))
    }

    /// The value before.
    pub fn from(self, value: Internal<impl Into<Value>>) -> Self {
        Self(self.0.field("from", value))
    }

    /// The value after.
    pub fn to(self, value: Internal<impl Into<Value>>) -> Self {
        Self(self.0.field("to", value))
    }
}

typed!(
    /// Given, refused, withdrawn: with the notice that was shown and its version.
    Consent
);

macro_rules! consent {
    ($($(#[$doc:meta])* $name:ident => $kind:ident;)*) => {
        impl Consent {
            $($(#[$doc])*
            pub fn $name(
                by: &Circumstances,
                subject: SubjectId,
                purpose: Purpose,
                notice: &'static str,
                notice_version: u32,
            ) -> Self {
                let event = by.event(EventKind::$kind, Outcome::Passed).subject(subject).purpose(purpose);
                Self(event.field("notice", Internal(notice)).field("notice_version", Internal(notice_version)))
            })*
        }
    };
}

consent! {
    /// Consent was given.
    given => ConsentGiven;
    /// Consent was refused, which is recorded too.
    refused => ConsentRefused;
    /// Consent was withdrawn.
    withdrawn => ConsentWithdrawn;
}

typed!(
    /// Forgetting people. There is no way to name the forgotten:
    ///
    /// ```compile_fail,E0599
    /// # use compliance_core::{clock::Timestamp, event::Actor, id::SubjectId};
    /// # use compliance_log::audit::record::{Circumstances, Erasure};
    /// let request = Circumstances::new(Actor::System, Timestamp::UNIX_EPOCH);
    /// Erasure::completed(&request, 1).subject(SubjectId::new("user-4711").unwrap());
    /// ```
    Erasure
);

impl Erasure {
    /// An erasure was asked for.
    pub fn requested(by: &Circumstances) -> Self {
        Self(by.event(EventKind::ErasureRequested, Outcome::Passed))
    }

    /// So many keys were destroyed.
    pub fn completed(by: &Circumstances, keys: u32) -> Self {
        Self(by.event(EventKind::ErasureCompleted, Outcome::Passed).field("keys", Internal(keys)))
    }

    /// Until when a backup may still hold a destroyed key.
    pub fn pending_until(self, until: Timestamp) -> Self {
        Self(self.0.field("pending_until", Internal(until)))
    }
}

typed!(
    /// The trail and the service themselves.
    System
);

impl System {
    /// The service or a `component` of it started.
    pub fn started(by: &Circumstances, component: &'static str) -> Self {
        Self(by.event(EventKind::SystemStarted, Outcome::Passed).field("component", Internal(component)))
    }

    /// The service or a `component` of it stopped.
    pub fn stopped(by: &Circumstances, component: &'static str) -> Self {
        Self(by.event(EventKind::SystemStopped, Outcome::Passed).field("component", Internal(component)))
    }

    /// Whom it was about.
    pub(in crate::audit) fn subject(self, subject: SubjectId) -> Self {
        Self(self.0.subject(subject))
    }

    /// The trail is exported. Recorded before the first record leaves.
    pub fn trail_exported(by: &Circumstances, format: &'static str) -> Self {
        let event = by.event(EventKind::SystemTrailExported, Outcome::Passed);
        Self(event.field("format", Internal(format)))
    }

    /// The trail is read. Recorded before the first record is given out.
    pub fn trail_read(by: &Circumstances) -> Self {
        Self(by.event(EventKind::SystemTrailRead, Outcome::Passed))
    }

    /// Somebody tried to read what is not theirs to read.
    pub(in crate::audit) fn trail_read_refused(by: &Circumstances) -> Self {
        Self(by.event(EventKind::SystemTrailRead, Outcome::Refused))
    }

    /// Records before this number reached the end of their retention and are removed. Recorded before they are.
    pub(in crate::audit) fn trail_retired(by: &Circumstances, before: u64) -> Self {
        let event = by.event(EventKind::SystemTrailRetired, Outcome::Passed);
        Self(event.field(RETIRED_BEFORE, Internal(whole(before))))
    }

    /// The trail was verified, and how long that took.
    pub fn trail_verified(by: &Circumstances, outcome: Outcome, records: u64, took: Duration) -> Self {
        let millis = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
        let event = by.event(EventKind::SystemTrailVerified, outcome);
        Self(event.field("records", Internal(whole(records))).field("millis", Internal(millis)))
    }
}

/// The field that says before which record a trail was retired.
pub(in crate::audit) const RETIRED_BEFORE: &str = "before";

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
