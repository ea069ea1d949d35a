//! The only files that name a framework: `verify::Webhook` as an extractor.

#[cfg(feature = "actix-web")]
mod actix_web;
#[cfg(feature = "axum")]
mod axum;
