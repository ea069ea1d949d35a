//! Joined crates.
