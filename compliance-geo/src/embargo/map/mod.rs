//! The fast path: a small code for every network of which every programme says the same at all times.
//!
//! Places of which that is true form a group, and a group's number is its code. What a map is too coarse to tell
//! apart has the code that sends an address to the table, which knows every place.

mod v4;
mod v6;

use std::net::{Ipv4Addr, Ipv6Addr};

use v4::MapV4;
use v6::MapV6;

/// A group's number. The first have most of IPv4.
pub(super) type Code = u8;
/// Ask the table.
pub(super) const OTHER: Code = u8::MAX;

pub(super) struct Map {
    v4: MapV4,
    v6: MapV6,
}

impl Map {
    /// Lays out runs of values; `codes` are by value.
    pub(super) fn new(v4: &[(u32, u16)], v6: &[(u128, u16)], codes: &[Code]) -> Self {
        let code = |value: u16| codes.get(usize::from(value)).copied().unwrap_or(OTHER);
        Self { v4: MapV4::new(v4, code), v6: MapV6::new(v6, code) }
    }

    /// The code of an address, unless only the table knows.
    #[inline]
    pub(super) fn v4(&self, ip: Ipv4Addr) -> Option<Code> {
        self.v4.code(ip)
    }

    /// The code of an address, unless only the table knows.
    #[inline]
    pub(super) fn v6(&self, ip: Ipv6Addr) -> Option<Code> {
        self.v6.code(ip)
    }

    pub(super) fn bytes(&self) -> usize {
        self.v4.bytes().saturating_add(self.v6.bytes())
    }
}
