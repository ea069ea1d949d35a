//! The only files that name a framework: `verify::Webhook` and `handshake::ConsentGrant` as extractors.

#[cfg(feature = "actix-web")]
mod actix_web;
#[cfg(feature = "axum")]
mod axum;
