//! `http`: header value and response.

use crate::redirect::SafeRedirect;

impl SafeRedirect {
    /// The `Location` header.
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "http")))]
    #[must_use]
    pub fn to_header_value(&self) -> http::HeaderValue {
        // INVARIANT: a location is printable ASCII, which every header value may hold. An empty one goes
        // nowhere, if that should ever break.
        http::HeaderValue::from_str(self.location()).unwrap_or(http::HeaderValue::from_static(""))
    }

    /// A `303 See Other` to the target with an empty body.
    ///
    /// 303 and not 307: after a form with a password was posted, a browser must not post it again to the
    /// target (RFC 9700 §4.12). The target is in the response's extensions as well, as the proof for a layer that
    /// inspects `Location`.
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "http")))]
    #[must_use]
    pub fn to_response<B: Default>(&self) -> http::Response<B> {
        let mut response = http::Response::new(B::default());
        *response.status_mut() = http::StatusCode::SEE_OTHER;
        response.headers_mut().insert(http::header::LOCATION, self.to_header_value());
        response.extensions_mut().insert(self.clone());
        response
    }
}
