//! The only files that name a framework.
//!
//! `http`, `axum` and `actix_web` make a [`SafeRedirect`](crate::redirect::SafeRedirect) a response; `tower` has a
//! layer.

#[cfg(feature = "actix-web")]
mod actix_web;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "axum")]
mod form;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "tower")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "tower")))]
pub mod tower;

#[cfg(feature = "axum")]
pub use axum::{SecretForm, SecretFormRejection};
