//! What tokio-console is shown of a service whose stack is redacted, see `tests/leaks.rs`.
