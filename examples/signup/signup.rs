//! The sign-up itself: every check leaves a finding, every next step takes the proof.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use compliance_auth::password::{Language, PasswordContext};
use compliance_auth::redirect::SafeRedirect;
use compliance_core::class::{Internal, Personal};
use compliance_core::event::{Actor, Event, EventBuilder, EventKind, Sink};
use compliance_core::finding::{Explain, Finding, Outcome};
use compliance_core::id::{ActorId, SubjectId};
use compliance_core::purpose;
use compliance_core::reason_code;
use compliance_core::request::{ClientAddress, Correlation};
use compliance_geo::embargo::ServablePlace;
use secrecy::SecretString;
use serde::Deserialize;

use crate::accounts::AccountError;
use crate::pages::{self, FormState};
use crate::service::App;

/// What the visitor sends. The classes keep the values out of every log and error.
#[derive(Deserialize)]
pub(crate) struct SignupForm {
    email: Personal<String>,
    password: SecretString,
    next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Arrival {
    next: Option<String>,
}

/// Shows the form. A `next` that is not ours is dropped here already.
pub(crate) async fn show(State(app): State<Arc<App>>, Query(arrival): Query<Arrival>) -> Response {
    let next = arrival.next.filter(|next| app.redirects.check(next).is_ok());
    pages::signup(StatusCode::OK, &FormState { next, ..FormState::default() })
}

/// Takes the form.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    Extension(client): Extension<ClientAddress>,
    Extension(correlation): Extension<Correlation>,
    form: Result<Form<SignupForm>, FormRejection>,
) -> Response {
    let Ok(Form(form)) = form else {
        return pages::problem(StatusCode::BAD_REQUEST, "That form did not arrive whole", "Please try again.");
    };
    let request = Request { app: &app, client, correlation };

    // 1. Where is the visitor? Without a place we may serve, there is nothing further.
    let verdict = app.embargo.screen(client.ip(), app.clock.now());
    request.report(&verdict.finding()).await;
    let place: ServablePlace = match verdict.servable() {
        Ok(place) => place,
        Err(refused) => return pages::unavailable_here(refused.class()),
    };

    // 2. Where do they want to go? A target that is not ours becomes the welcome page.
    let next = app.redirects.decide(form.next.as_deref().unwrap_or("/welcome"));
    request.report(&next.finding()).await;
    let target: &SafeRedirect = next.target().unwrap_or(app.redirects.default_target());

    // 3. Is it an address? Whether it is theirs, a letter will tell.
    let email = form.email.disclose(&purpose!("account.form_check")).trim();
    if !looks_like_an_address(email) {
        let state = FormState {
            next: form.next,
            email_problem: Some("This does not look like an e-mail address."),
            ..FormState::default()
        };
        return pages::signup(StatusCode::UNPROCESSABLE_ENTITY, &state);
    }

    // 4. Is the password one that nobody expects?
    let context = PasswordContext::new().user(email).service("Lantern");
    let accepted = match app.passwords.check(form.password, &context) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            request.report(&refusal.finding()).await;
            let state = FormState {
                next: form.next,
                password_problems: refusal.messages(Language::En).collect(),
                ..FormState::default()
            };
            return pages::signup(StatusCode::UNPROCESSABLE_ENTITY, &state);
        }
    };

    // 5. Only an accepted password can be hashed; hashing is slow on purpose, so it leaves the async threads.
    let hasher = Arc::clone(&app.hasher);
    let hashed = tokio::task::spawn_blocking(move || hasher.hash(accepted)).await;
    let Ok(Ok(hash)) = hashed else {
        return busy();
    };

    // 6. Account, audit record and webhook, all or none.
    let Ok(id) = new_account_id(&app) else { return busy() };
    let Ok(created) = request
        .event(EventKind::AccountCreated, Outcome::Passed, Actor::Person(id.clone()))
        .purpose(purpose!("account.signup"))
        .build_for(&id)
    else {
        return busy();
    };
    match app.accounts.create(&place, &id, &form.email, &hash, created).await {
        Ok(()) => {
            // `Personal` prints its class; and were it printed in the clear, the layer would catch it.
            tracing::info!(account = %id, email = ?form.email, "account created");
            target.clone().into_response()
        }
        // The same answer as for a new account: who has one is nobody's business. A letter tells the owner.
        Err(AccountError::AlreadyRegistered) => {
            request.report_failure(reason_code!("signup.already_registered")).await;
            target.clone().into_response()
        }
        Err(AccountError::PlaceLapsed) => busy(),
        Err(AccountError::Unavailable(code)) => {
            tracing::error!(%code, "sign-up failed");
            busy()
        }
    }
}
