//! The pages. Rendered on the server, no script, readable on a phone.

use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use axum::http::{StatusCode, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// Only what the page itself brings: one style block, no script, no frame, forms to this origin.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What the form shows when it comes back.
#[derive(Debug, Default)]
pub(crate) struct FormState {
    pub(crate) next: Option<String>,
    /// One line per problem, in the visitor's words.
    pub(crate) email_problem: Option<&'static str>,
    pub(crate) password_problems: Vec<String>,
    pub(crate) notice: Option<&'static str>,
}

pub(crate) fn signup(status: StatusCode, state: &FormState) -> Response {
    page(
        status,
        "Create your account",
        html! {
            h1 { "Create your account" }
            p.lead { "Status pages for small teams. Free while you have fewer than three of them." }
            @if let Some(notice) = state.notice {
                p.notice role="status" { (notice) }
            }
            form method="post" action="/signup" novalidate {
                @if let Some(next) = &state.next {
                    input type="hidden" name="next" value=(next);
                }
                (field("E-mail", "email", "email", "username", state.email_problem.as_slice()))
                (field("Password", "password", "password", "new-password", &state.password_problems))
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

pub(crate) fn unavailable_here() -> Markup {
    document(
        "Not available where you are",
        html! {
            h1 { "Not available where you are" }
            p.lead { "We cannot offer this service from your location." }
            p.fine { "If you think this is a mistake, write to support and name the number at the foot of this page." }
        },
    )
}

pub(crate) fn problem(status: StatusCode, headline: &'static str, text: &'static str) -> Response {
    page(status, headline, html! { h1 { (headline) } p.lead { (text) } p { a.button href="/signup" { "Back to the form" } } })
}

fn field(label: &str, name: &str, kind: &str, autocomplete: &str, problems: &[impl AsRef<str>]) -> Markup {
    let describes = format!("{name}-problems");
    html! {
        label for=(name) { (label) }
        input id=(name) name=(name) type=(kind) autocomplete=(autocomplete) required
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
