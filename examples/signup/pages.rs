//! The pages. Rendered on the server, no script, readable on a phone.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use compliance_geo::integrations::Refusal;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// Only what the page itself brings: one style block, no script, no frame, forms to this origin.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the form shows when it comes back.
#[derive(Debug, Default)]
pub(crate) struct FormState {
    pub(crate) next: Option<String>,
    /// What the visitor typed, so that they need not type it again.
    pub(crate) email: Option<String>,
    /// One line per problem, in the visitor's words.
    pub(crate) email_problem: Option<&'static str>,
    pub(crate) password_problems: Vec<String>,
}

pub(crate) fn signup(status: StatusCode, state: &FormState) -> Response {
    page(
        status,
        "Create your account",
        html! {
            h1 { "Create your account" }
            p.lead { "Status pages for small teams. Free while you have fewer than three of them." }
            form method="post" action="/signup" novalidate {
                @if let Some(next) = &state.next {
                    input type="hidden" name="next" value=(next);
                }
                (field("E-mail", "email", state.email.as_deref(), "username", state.email_problem.as_slice()))
                (field("Password", "password", None, "new-password", &state.password_problems))
                p.hint {
                    "At least 15 characters; spaces and any script are welcome. A sentence only you would think of beats \
                     a word with symbols in it."
                }
                button type="submit" { "Sign up" }
            }
            p.fine { "We keep your address to run your account and tell nobody else. You can have it erased at any time." }
        },
    )
}

pub(crate) fn welcome() -> Response {
    page(
        StatusCode::OK,
        "Welcome aboard",
        html! {
            p.badge { "✓" }
            h1 { "Welcome aboard" }
            p.lead { "Your account is ready, and its creation is on record: durably, before this page was sent." }
            p { a.button href="/signup" { "Back to the form" } }
        },
    )
}

pub(crate) fn dashboard() -> Response {
    page(
        StatusCode::OK,
        "Your dashboard",
        html! {
            p.badge { "✓" }
            h1 { "Your dashboard" }
            p.lead { "This is where the link you came by wanted to take you. It was checked before you were sent here." }
        },
    )
}

/// Quotes neither data nor law: what exactly decided is between the operator and the trail.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    if refusal.verdict().is_none() {
        return problem(
            status,
            "We could not serve this request",
            "It did not reach us the way requests do.",
        );
    }
    page(
        status,
        "Not available where you are",
        html! {
            h1 { "Not available where you are" }
            p.lead { "We cannot offer this service from your location." }
            p.fine { "If you think this is a mistake, write to support@lantern.example." }
        },
    )
}

/// Too large, not UTF-8, a field missing: what it was is in the status.
pub(crate) fn form_not_whole(status: StatusCode) -> Response {
    problem(status, "That form did not arrive whole", "Nothing was stored. Please try again.")
}

pub(crate) fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "There is nothing here", "The page you asked for does not exist.")
}

pub(crate) fn busy() -> Response {
    let text = "Nothing was stored. Please try again in a minute.";
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, "We are busy at the moment", text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    response
}

fn problem(status: StatusCode, headline: &str, text: &str) -> Response {
    page(
        status,
        headline,
        html! {
            h1 { (headline) }
            p.lead { (text) }
            p { a.button href="/signup" { "Back to the form" } }
        },
    )
}

/// A field of the type its name says. A password is never sent back.
fn field(
    label: &str,
    name: &str,
    value: Option<&str>,
    autocomplete: &str,
    problems: &[impl AsRef<str>],
) -> Markup {
    let describes = format!("{name}-problems");
    html! {
        label for=(name) { (label) }
        input id=(name) name=(name) type=(name) value=[value] autocomplete=(autocomplete) required
            aria-invalid=[(!problems.is_empty()).then_some("true")]
            aria-describedby=[(!problems.is_empty()).then_some(&describes)];
        @if !problems.is_empty() {
            ul.problems id=(describes) {
                @for problem in problems { li { (problem.as_ref()) } }
            }
        }
    }
}

fn page(status: StatusCode, title: &str, body: Markup) -> Response {
    (status, document(title, body)).into_response()
}

fn document(title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Lantern" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { a.brand href="/signup" { span.flame { "◉" } " Lantern" } }
                main { (body) }
                footer { "A demonstration of the compliance crates. Nothing you enter leaves this machine." }
            }
        }
    }
}

/// Headers every page carries.
pub(crate) async fn secure_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
