//! axum: `SafeRedirect` is a response.

use axum_core::response::{IntoResponse, Response};

use crate::redirect::SafeRedirect;

/// `303 See Other` to the target, see [`SafeRedirect::to_response`].
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "axum")))]
impl IntoResponse for SafeRedirect {
    fn into_response(self) -> Response {
        self.to_response()
    }
}
