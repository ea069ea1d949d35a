//! The sign-up itself: every check leaves a finding, every next step takes the proof.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use compliance_auth::password::service::{Attempt, PasswordServiceError, SetPassword};
use compliance_auth::password::{Language, PasswordContext, SecretForm, SecretFormRejection};
use compliance_core::class::Personal;
use compliance_core::event::{Actor, Event, EventKind, Recorded};
use compliance_core::finding::{Explain, Finding, Outcome, ReasonCode};
use compliance_core::id::{ActorId, CorrelationId, SubjectId};
use compliance_core::request::{ClientAddress, Correlation};
use compliance_core::{purpose, reason_code};
use compliance_geo::integrations::axum::Servable;
use secrecy::SecretString;
use serde::Deserialize;

use crate::Failure;
use crate::accounts::AccountError;
use crate::pages::{self, FormState};
use crate::service::App;

/// What the visitor sends. The classes keep the values out of every log and every error.
#[derive(Deserialize)]
pub(crate) struct SignupForm {
    email: Personal<String>,
    password: SecretString,
    next: Option<String>,
}

/// Where the link that brought the visitor wants them to go afterwards.
#[derive(Deserialize)]
pub(crate) struct Arrival {
    next: Option<String>,
}

/// Shows the form. A `next` that is not ours does not even get into it; what does is checked again when it comes back.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(correlation): Extension<Correlation>,
    arrival: Result<Query<Arrival>, QueryRejection>,
) -> Response {
    let Ok(Query(Arrival { next })) = arrival else {
        return pages::form_not_whole(StatusCode::BAD_REQUEST);
    };
    let mut state = FormState::default();
    if let Some(next) = next {
        let decision = app.redirects.decide(&next);
        let report = Reporter { app: &app, client, correlation };
        if report.finding(&decision.finding()).await.is_err() {
            return pages::busy();
        }
        state.next = decision.refusal().is_none().then_some(next);
    }
    pages::signup(StatusCode::OK, &state)
}

/// Takes the form. That the visitor may be served is settled: without `Servable` this is not called.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    Servable(place): Servable,
    Extension(client): Extension<ClientAddress>,
    Extension(correlation): Extension<Correlation>,
    form: Result<SecretForm<SignupForm>, SecretFormRejection>,
) -> Response {
    let report = Reporter { app: &app, client, correlation };
    let form = match form {
        Ok(SecretForm(form)) => form,
        Err(rejection) => return pages::form_not_whole(rejection.into_response().status()),
    };

    // Where do they want to go? A target that is not ours becomes the welcome page.
    let next = app.redirects.decide(form.next.as_deref().unwrap_or("/welcome"));
    if report.finding(&next.finding()).await.is_err() {
        return pages::busy();
    }
    let target = next.target().unwrap_or(app.redirects.default_target()).clone();
    let next = next.refusal().is_none().then_some(form.next).flatten();

    // Is it an address? Whether it is theirs, a letter will tell.
    let email = form.email.disclose(&purpose!("account.form_check")).trim();
    if !looks_like_an_address(email) {
        let email_problem = Some("This does not look like an e-mail address.");
        let email = Some(email.to_owned());
        return pages::signup(
            StatusCode::UNPROCESSABLE_ENTITY,
            &FormState { next, email, email_problem, ..FormState::default() },
        );
    }

    // Is the password one that nobody expects? Only an accepted one is hashed; the decision is on record either way.
    let attempt = Attempt::new().client(report.client).correlation(report.correlation);
    let context = PasswordContext::new().user(email).service("Lantern");
    let hash = match app.passwords.set(SetPassword { attempt, password: form.password, context }).await {
        Ok(hash) => hash,
        Err(PasswordServiceError::Refused(refusal)) => {
            let password_problems = refusal.messages(Language::En).collect();
            let email = Some(email.to_owned());
            return pages::signup(
                StatusCode::UNPROCESSABLE_ENTITY,
                &FormState { next, email, password_problems, ..FormState::default() },
            );
        }
        Err(_) => return pages::busy(),
    };
    let email = Personal::new(email.to_owned());

    // The audit record first, then account and webhook in one transaction. A visitor who hangs up meanwhile does not
    // stop it half-way: it runs on its own.
    let Ok((id, created)) = report.account_created() else {
        return pages::busy();
    };
    let (creating, of_account) = (Arc::clone(&app), id.clone());
    let creation = tokio::spawn(async move {
        let done = creating.accounts.create(&place, &of_account, &email, &hash, created).await;
        done.map(|()| email)
    });
    match creation.await.unwrap_or(Err(AccountError::Unavailable)) {
        Ok(email) => {
            // `Personal` prints its class only.
            tracing::info!(account = %id, ?email, "account created");
            target.into_response()
        }
        // The same answer as for a new account: who has one is nobody else's business. A letter tells the owner.
        Err(AccountError::AlreadyRegistered) => {
            let refused = reason_code!("signup.already_registered");
            if report.failure(refused).await.is_err() { pages::busy() } else { target.into_response() }
        }
        Err(AccountError::PlaceLapsed | AccountError::Unavailable) => pages::busy(),
    }
}

/// Writes what happens in one request to the trail.
struct Reporter<'a> {
    app: &'a App,
    client: ClientAddress,
    correlation: Correlation,
}

impl Reporter<'_> {
    /// Records a finding. A refusal is on disk when this returns; passes are counted.
    async fn finding(&self, finding: &Finding) -> Result<(), Failure> {
        let event = Event::builder(
            EventKind::CheckDecided,
            finding.outcome(),
            Actor::Anonymous,
            self.app.clock.now(),
        )
        .client(&self.client)
        .correlation(self.correlation)
        .finding(finding)
        .build()?;
        self.keep(event).await
    }

    async fn failure(&self, code: ReasonCode) -> Result<(), Failure> {
        let now = self.app.clock.now();
        let event = Event::builder(EventKind::AccountCreated, Outcome::Refused, Actor::Anonymous, now)
            .client(&self.client)
            .correlation(self.correlation)
            .reason(code)
            .build()?;
        self.keep(event).await
    }

    async fn keep(&self, event: Event) -> Result<(), Failure> {
        match self.app.recorder.record(event.clone()) {
            Recorded::Counted => Ok(()),
            Recorded::Sent(recording) => Ok(recording.await?.redeem(&event, self.app.accounts.least)?),
        }
    }

    /// A new account's id, and the event that says it came into being.
    fn account_created(&self) -> Result<(ActorId, Event), Failure> {
        let id = ActorId::new(format!("user-{}", CorrelationId::generate(&self.app.random)?))?;
        let now = self.app.clock.now();
        let event =
            Event::builder(EventKind::AccountCreated, Outcome::Passed, Actor::Person(id.clone()), now)
                .subject(SubjectId::new(id.as_str())?)
                .client(&self.client)
                .correlation(self.correlation)
                .purpose(purpose!("account.signup"))
                .build()?;
        Ok((id, event))
    }
}

/// One `@` with something on both sides, no space, no longer than SMTP allows (RFC 5321 §4.5.3.1.3).
fn looks_like_an_address(text: &str) -> bool {
    const MAX_LEN: usize = 254;
    text.len() <= MAX_LEN
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        && text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.contains('@') && domain.contains('.') && !domain.starts_with('.')
        })
}
