//! axum: `Webhook` is an extractor, and what it refuses a response.

use axum_core::body::Body;
use axum_core::extract::{FromRef, FromRequest, FromRequestParts, Request};
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use compliance_core::finding::Reason;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::handshake::{CallbackError, ConsentCallbacks, ConsentGrant};
use crate::verify::{ReceiveError, ReplayCache, RequestHead, Webhook, WebhookOnTrial, WebhookReceiver};

/// Reads the body up to the verifier's limit, verifies it as it came, and passes the replay gate. The application's
/// state is or has a [`WebhookReceiver`].
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
impl<S, C> FromRequest<S> for Webhook<C>
where
    S: Send + Sync,
    C: ReplayCache + Clone,
    WebhookReceiver<C>: FromRef<S>,
{
    type Rejection = ReceiveError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ReceiveError> {
        let receiver = WebhookReceiver::from_ref(state);
        let (parts, body) = request.into_parts();
        let body = read(body, receiver.max_body_len()).await?;
        receiver.receive(&head(&parts), body).await
    }
}

#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
impl<S, C> FromRequest<S> for WebhookOnTrial<C>
where
    S: Send + Sync,
    C: ReplayCache + Clone,
    WebhookReceiver<C>: FromRef<S>,
{
    type Rejection = ReceiveError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ReceiveError> {
        let receiver = WebhookReceiver::from_ref(state);
        let (parts, body) = request.into_parts();
        let body = read(body, receiver.max_body_len()).await?;
        receiver.receive_on_trial(&head(&parts), body).map(Self::new)
    }
}

fn head(parts: &Parts) -> RequestHead<'_> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let fields = parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let head = RequestHead::new(parts.method.as_str(), target, fields);
    match parts.uri.authority() {
        Some(authority) => head.with_authority(authority.as_str()),
        None => head,
    }
}

async fn read(body: Body, max: usize) -> Result<Bytes, ReceiveError> {
    match Limited::new(body, max).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ReceiveError::body_too_long()),
        Err(_) => Err(ReceiveError::body_broken()),
    }
}

/// The [status](ReceiveError::status) and, as text, the public code.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for ReceiveError {
    fn into_response(self) -> Response {
        refusal(self.status(), &self)
    }
}

/// Takes a call to a callback. The application's state is or has [`ConsentCallbacks`].
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
impl<S: Sync> FromRequestParts<S> for ConsentGrant
where
    ConsentCallbacks: FromRef<S>,
{
    type Rejection = CallbackError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, CallbackError> {
        ConsentCallbacks::from_ref(state).accept(&head(parts)).await
    }
}

/// A word to whoever called by hand, that no cache keeps.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for ConsentGrant {
    fn into_response(self) -> Response {
        ([(CACHE_CONTROL, "no-store")], "consent recorded").into_response()
    }
}

/// The [status](CallbackError::status) and, as text, the public code.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for CallbackError {
    fn into_response(self) -> Response {
        refusal(self.status(), &self)
    }
}

fn refusal(status: u16, reason: &dyn Reason) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, reason.public_code().as_str()).into_response()
}
