//! The only files that name a framework. Trait implementations; nothing here is public by itself.

#[cfg(feature = "actix-web")]
mod actix_web;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "axum")]
mod form;
#[cfg(feature = "http")]
mod http;

#[cfg(feature = "axum")]
pub use axum::{SecretForm, SecretFormRejection};
