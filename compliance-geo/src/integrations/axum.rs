//! axum: the peer's address for the layers, and the proof as an extractor.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::Router;
//! use axum::routing::post;
//! use compliance_core::clock::SystemClock;
//! use compliance_geo::client_ip::{ClientIp, Source, TrustedProxies};
//! use compliance_geo::embargo::{Embargo, Policy};
//! use compliance_geo::integrations::axum::{Servable, peer};
//! use compliance_geo::integrations::tower::{ClientIpLayer, EmbargoLayer};
//!
//! async fn sign_up(Servable(place): Servable) -> String {
//!     format!("welcome, under {}", place.policy())
//! }
//!
//! let rule = ClientIp::new(TrustedProxies::parse(["10.0.0.0/8"])?, Source::XForwardedFor)?;
//! let embargo = Embargo::builder().policy(Policy::Us).build()?;
//! let app: Router = Router::new()
//!     .route("/sign-up", post(sign_up))
//!     // The layer added last sees the request first.
//!     .layer(EmbargoLayer::new(embargo, Arc::new(SystemClock)))
//!     .layer(ClientIpLayer::new(rule, peer));
//! // axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>())
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;
use http::{Extensions, Response};

use super::gate::LetPass;
use super::{Refusal, tower};
use crate::client_ip::Peer;
use crate::embargo::ServablePlace;

/// Who made the connection, from axum's `ConnectInfo<SocketAddr>`. Serve with
/// `into_make_service_with_connect_info::<SocketAddr>()`, or every request is refused. Behind a Unix socket, hand the
/// layers `|_| Some(Peer::UnixSocket)` instead, and trust `unix:`.
#[must_use]
pub fn peer(extensions: &Extensions) -> Option<Peer> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| Peer::Ip(address.ip()))
}

/// The proof that the client is where it may be served, from the
/// [`EmbargoLayer`](super::tower::EmbargoLayer). Without it the request is refused with 403 (`embargo.no_proof`).
///
/// `Option<Servable>` is for the roll-out: `None` where the layer only reports and let somebody pass without a proof.
/// Where no layer ran at all, it refuses as well.
///
/// ```
/// use compliance_geo::integrations::axum::Servable;
///
/// async fn sign_up(place: Option<Servable>) -> &'static str {
///     match place {
///         Some(Servable(_)) => "welcome",
///         None => "welcome, while the check only reports",
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/sign-up", axum::routing::post(sign_up));
/// ```
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "extractors are taken apart in the handler's arguments")]
pub struct Servable(pub Arc<ServablePlace>);

impl<S: Sync> FromRequestParts<S> for Servable {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response<Body>> {
        proof(parts).ok_or_else(|| tower::response(Refusal::NoProof))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Servable {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Response<Body>> {
        let place = proof(parts);
        // A route that the layer was forgotten on is not open.
        if place.is_none() && parts.extensions.get::<LetPass>().is_none() {
            return Err(tower::response(Refusal::NoProof));
        }
        Ok(place)
    }
}

fn proof(parts: &Parts) -> Option<Servable> {
    parts.extensions.get::<Arc<ServablePlace>>().cloned().map(Servable)
}
