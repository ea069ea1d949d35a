//! Frameworks: what calls of an API and changes of tables become in the trail, and what leaves with a trace.

#[cfg(feature = "opentelemetry")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "opentelemetry")))]
pub mod opentelemetry;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
#[cfg_attr(compliance_docsrs, doc(cfg(any(feature = "postgres", feature = "sqlite"))))]
pub mod sqlx;
#[cfg(feature = "tower")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "tower")))]
pub mod tower;
