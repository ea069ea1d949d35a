//! The trail in a service: what calls of its API, and changes of its tables, become in it.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[cfg_attr(compliance_docsrs, doc(cfg(any(feature = "postgres", feature = "sqlite"))))]
pub mod sqlx;
#[cfg(feature = "tower")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "tower")))]
pub mod tower;
