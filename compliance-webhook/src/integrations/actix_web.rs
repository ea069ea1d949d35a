//! actix-web: `Webhook` is an extractor, and what it refuses a response.

use std::future::Future;
use std::pin::Pin;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder, ResponseError, dev, web};
use bytes::Bytes;
use compliance_core::finding::Reason;

use crate::handshake::{CallbackError, CallbackReason, ConsentCallbacks, ConsentGrant};
use crate::verify::{
    ReceiveError, ReceiveReason, ReplayCache, RequestHead, Webhook, WebhookOnTrial, WebhookReceiver,
};

type Extracting<T, E = ReceiveError> = Pin<Box<dyn Future<Output = Result<T, E>>>>;

/// Reads the body up to the verifier's limit, verifies it as it came, and passes the replay gate. The application's
/// data has a [`WebhookReceiver`], as `web::Data` or by itself.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "actix-web")))]
impl<C: ReplayCache + Clone + 'static> FromRequest for Webhook<C> {
    type Error = ReceiveError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Extracting<Self> {
        let (request, payload) = (request.clone(), web::Payload::from_request(request, payload));
        Box::pin(async move {
            let receiver = receiver::<C>(&request)?;
            let body = read(payload.await, receiver.max_body_len()).await?;
            receiver.receive(&head(&request), body).await
        })
    }
}

#[cfg_attr(compliance_docsrs, doc(cfg(feature = "actix-web")))]
impl<C: ReplayCache + Clone + 'static> FromRequest for WebhookOnTrial<C> {
    type Error = ReceiveError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Extracting<Self> {
        let (request, payload) = (request.clone(), web::Payload::from_request(request, payload));
        Box::pin(async move {
            let receiver = receiver::<C>(&request)?;
            let body = read(payload.await, receiver.max_body_len()).await?;
            receiver.receive_on_trial(&head(&request), body).map(Self::new)
        })
    }
}

fn receiver<C: 'static>(request: &HttpRequest) -> Result<&WebhookReceiver<C>, ReceiveError> {
    app_data(request).ok_or_else(|| ReceiveReason::NoReceiver.into())
}

fn head(request: &HttpRequest) -> RequestHead<'_> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let fields = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let head = RequestHead::new(request.method().as_str(), target, fields);
    match request.uri().authority() {
        Some(authority) => head.with_authority(authority.as_str()),
        None => head,
    }
}

/// The bytes as they came: no content coding is undone, which the signature would not survive.
async fn read(payload: Result<web::Payload, actix_web::Error>, max: usize) -> Result<Bytes, ReceiveError> {
    let payload = payload.map_err(|_| ReceiveError::body_broken())?;
    let read = payload.to_bytes_limited(max).await.map_err(|_| ReceiveError::body_too_long())?;
    read.map_err(|_| ReceiveError::body_broken())
}

/// The [status](ReceiveError::status) and, as text, the public code.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "actix-web")))]
impl ResponseError for ReceiveError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        refusal(self.status_code(), self)
    }
}

/// Takes a call to a callback. The application's data has [`ConsentCallbacks`], as `web::Data` or by itself.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "actix-web")))]
impl FromRequest for ConsentGrant {
    type Error = CallbackError;
    type Future = Extracting<Self, CallbackError>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let callbacks: &ConsentCallbacks =
                app_data(&request).ok_or(CallbackError::from(CallbackReason::NoCallbacks))?;
            callbacks.accept(&head(&request)).await
        })
    }
}

/// A word to whoever called by hand, that no cache keeps.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "actix-web")))]
impl Responder for ConsentGrant {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        response.insert_header(ContentType::plaintext()).insert_header((CACHE_CONTROL, "no-store"));
        response.body("consent recorded")
    }
}

/// The [status](CallbackError::status) and, as text, the public code.
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "actix-web")))]
impl ResponseError for CallbackError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        refusal(self.status_code(), self)
    }
}

fn refusal(status: StatusCode, reason: &dyn Reason) -> HttpResponse<BoxBody> {
    let mut response = HttpResponse::build(status);
    response.insert_header(ContentType::plaintext()).body(reason.public_code().as_str())
}

/// As `web::Data` or by itself.
fn app_data<T: 'static>(request: &HttpRequest) -> Option<&T> {
    let shared = request.app_data::<web::Data<T>>().map(|data| &***data);
    shared.or_else(|| request.app_data::<T>())
}
