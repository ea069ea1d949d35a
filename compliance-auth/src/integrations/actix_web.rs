//! actix-web: `SafeRedirect` is a response.

use actix_web::body::BoxBody;
use actix_web::http::header::{HeaderValue, LOCATION};
use actix_web::{HttpRequest, HttpResponse, Responder};

use crate::redirect::SafeRedirect;

/// `303 See Other` to the target: after a form was posted, a browser must not post it again (RFC 9700 §4.12).
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "actix-web")))]
impl Responder for SafeRedirect {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::SeeOther().finish();
        // INVARIANT: a location is printable ASCII, which every header value may hold.
        let location = HeaderValue::from_str(self.location()).unwrap_or(HeaderValue::from_static(""));
        response.headers_mut().insert(LOCATION, location);
        response
    }
}
