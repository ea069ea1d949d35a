//! axum: `SafeRedirect` is a response, `SecretForm` an extractor.

use axum_core::body::Body;
use axum_core::extract::{FromRequest, Request};
use axum_core::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::form;
use crate::redirect::SafeRedirect;

/// `303 See Other` to the target, see [`SafeRedirect::to_response`].
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for SafeRedirect {
    fn into_response(self) -> Response {
        self.to_response()
    }
}

/// A posted form (`application/x-www-form-urlencoded`) whose password fields go straight into secrets.
///
/// The body is gathered in one buffer that is wiped; each field is decoded into an allocation of exactly its length, which
/// a `secrecy::SecretString` field takes over without a copy. Names the form has twice, or `T` does not know, are `T`'s to
/// judge, as with any `Deserialize`.
///
/// ```
/// use compliance_auth::password::SecretForm;
/// use secrecy::SecretString;
///
/// #[derive(serde::Deserialize)]
/// struct SignUp {
///     email: String,
///     password: SecretString,
/// }
///
/// async fn sign_up(SecretForm(form): SecretForm<SignUp>) -> &'static str {
///     // form.password shows nothing, and is wiped when dropped.
///     "thank you"
/// }
/// ```
///
/// # Security
/// What the HTTP server and TLS below keep of the bytes is theirs. Take it over TLS.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "an extractor is taken apart in the handler's arguments")]
pub struct SecretForm<T>(pub T);

impl<T> SecretForm<T> {
    /// The longest body read, in bytes.
    pub const MAX_LEN: usize = 16 * 1024;
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for SecretForm<T> {
    type Rejection = SecretFormRejection;

    async fn from_request(request: Request, _: &S) -> Result<Self, SecretFormRejection> {
        if request.method() == Method::GET || request.method() == Method::HEAD {
            return Err(SecretFormRejection::Method);
        }
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = media_type.and_then(|value| value.split(';').next()).map(str::trim);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")) {
            return Err(SecretFormRejection::ContentType);
        }
        let body = gather(request.into_body(), Self::MAX_LEN).await?;
        form::read(&body).map(Self).map_err(|form::Malformed| SecretFormRejection::Malformed)
    }
}

/// The whole body in one allocation: growing would leave copies behind.
async fn gather(mut body: Body, max: usize) -> Result<Zeroizing<Vec<u8>>, SecretFormRejection> {
    let mut all = Zeroizing::new(Vec::with_capacity(max));
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame.map_err(|_| SecretFormRejection::Malformed)?.into_data() else { continue };
        if all.len().saturating_add(frame.len()) > max {
            return Err(SecretFormRejection::TooLong);
        }
        all.extend_from_slice(&frame);
    }
    Ok(all)
}

/// A request without a form that can be read. Says nothing of what was in it.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFormRejection {
    /// `415`: another media type.
    #[error("expected application/x-www-form-urlencoded")]
    ContentType,
    /// `422`: the fields are not those expected.
    #[error("the form's fields are not those expected")]
    Malformed,
    /// `405`: a password in a URL ends up in logs.
    #[error("expected a request with a body")]
    Method,
    /// `413`: longer than [`SecretForm::MAX_LEN`].
    #[error("the form is longer than 16384 bytes")]
    TooLong,
}

impl SecretFormRejection {
    /// `form.content_type`, `.malformed`, `.method` or `.too_long`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ContentType => "form.content_type",
            Self::Malformed => "form.malformed",
            Self::Method => "form.method",
            Self::TooLong => "form.too_long",
        }
    }
}

impl IntoResponse for SecretFormRejection {
    fn into_response(self) -> Response {
        let status = match self {
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
        };
        (status, self.to_string()).into_response()
    }
}
