//! The resident table: one small number for every address, in a couple of cache lines.
//!
//! A trie with a 16-bit root and 256-way nodes. A node holds a bit per child that begins a new run and the
//! rank of the first one, so that equal neighbours share one value. What is finer than a node can tell apart
//! (IPv4 below /24, IPv6 below /32) stands in short sorted lists.
//!
//! Who needs the class of an address only, not its place, goes by the smaller maps of `embargo/map`, made from this table.

mod lists;
mod node;
mod split;
mod v4;
mod v6;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::runs::Run;
use v4::TableV4;
use v6::TableV6;

/// The largest value a table can hold.
pub(crate) const MAX_VALUE: u16 = u16::MAX - 1;

/// In a value: look into the list of this block.
const DEEPER: u16 = u16::MAX;
/// In an entry: the rest is the number of a node.
const NODE: u32 = 1 << 31;
/// In an entry: the rest is a number or a position.
const INDEX: u32 = (1 << 30) - 1;

/// IPv4 and IPv6 together.
#[derive(Debug)]
pub(crate) struct Table {
    v4: TableV4,
    v6: TableV6,
}

impl Table {
    pub(crate) fn new(v4: &[Run<u32>], v6: &[Run<u128>]) -> Self {
        Self { v4: TableV4::new(v4), v6: TableV6::new(v6) }
    }

    #[inline]
    pub(crate) fn value(&self, ip: IpAddr) -> u16 {
        match ip {
            IpAddr::V4(ip) => self.v4(ip),
            IpAddr::V6(ip) => self.v6(ip),
        }
    }

    #[inline]
    pub(crate) fn v4(&self, ip: Ipv4Addr) -> u16 {
        self.v4.value(ip)
    }

    #[inline]
    pub(crate) fn v6(&self, ip: Ipv6Addr) -> u16 {
        self.v6.value(ip)
    }

    pub(crate) fn runs_v4(&self) -> Vec<Run<u32>> {
        self.v4.runs()
    }

    pub(crate) fn runs_v6(&self) -> Vec<Run<u128>> {
        self.v6.runs()
    }

    /// Heap bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.v4.bytes().saturating_add(self.v6.bytes())
    }
}

#[inline]
fn at(entries: &[u32], position: usize) -> u32 {
    entries.get(position).copied().unwrap_or(u32::MIN)
}

#[inline]
fn index(entry: u32) -> usize {
    (entry & INDEX) as usize
}

#[inline]
fn low_16(entry: u32) -> u16 {
    let [low, high, ..] = entry.to_le_bytes();
    u16::from_le_bytes([low, high])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::runs::{NO_RECORD, append, merge};
    use super::*;

    fn reference<A: Copy + Ord>(runs: &[Run<A>], address: A) -> u16 {
        runs.iter().rev().find(|(start, _)| *start <= address).map_or(NO_RECORD, |(_, value)| *value)
    }

    /// Starts that share their high bits, so that every level of the trie is cut inside.
    fn near_v6() -> impl Strategy<Value = u128> {
        let pick = |values: &'static [u128]| proptest::sample::select(values);
        let first = pick(&[0, 1, 0x1fff, 0x2000, 0x2001, 0x3fff, 0x4000, 0xffff]);
        let second = pick(&[0, 0x1234, 0x12ff, 0xff00, 0xffff]);
        let third = pick(&[0, 1, 2, 0x8000, 0xffff]);
        (first, second, third, 0_u128..3, 0_u128..3)
            .prop_map(|(a, b, c, d, e)| a << 112 | b << 96 | c << 80 | (d & 1) << 64 | e)
    }

    fn near_v4() -> impl Strategy<Value = u32> {
        prop_oneof![
            any::<u32>(),
            (0_u32..3, 0_u32..3, 0_u32..3).prop_map(|(a, b, c)| a << 16 | b << 8 | c),
            (0_u32..600).prop_map(|low| u32::MAX - low)
        ]
    }

    fn runs<A: Copy + Ord>(zero: A, starts: Vec<(A, u16)>) -> Vec<Run<A>> {
        let sorted: std::collections::BTreeMap<A, u16> = std::iter::once((zero, 7)).chain(starts).collect();
        let mut runs = Vec::new();
        for (start, value) in sorted {
            append(&mut runs, start, value);
        }
        runs
    }

    proptest! {
        #[test]
        fn ipv4_table_is_its_runs(starts in prop::collection::vec((near_v4(), 0_u16..5), 0..60)) {
            let runs = runs(0, starts);
            let table = TableV4::new(&runs);
            prop_assert_eq!(table.runs(), runs.clone());
            for address in runs.iter().flat_map(|(start, _)| [start.wrapping_sub(1), *start, start.wrapping_add(1)]) {
                prop_assert_eq!(table.value(Ipv4Addr::from_bits(address)), reference(&runs, address));
            }
        }

        #[test]
        fn ipv6_table_is_its_runs(starts in prop::collection::vec((near_v6(), 0_u16..5), 0..60)) {
            let runs = runs(0, starts);
            let table = TableV6::new(&runs);
            prop_assert_eq!(table.runs(), runs.clone());
            for address in runs.iter().flat_map(|(start, _)| [start.wrapping_sub(1), *start, start.wrapping_add(1)]) {
                prop_assert_eq!(table.value(Ipv6Addr::from_bits(address)), reference(&runs, address));
            }
        }

        #[test]
        fn merging_keeps_what_each_said(
            a in prop::collection::vec((near_v4(), 0_u16..5), 0..30),
            b in prop::collection::vec((near_v4(), 0_u16..5), 0..30),
            address in near_v4(),
        ) {
            let (a, b) = (runs(0, a), runs(0, b));
            let merged = merge(&[&a, &b], |values| values.iter().fold(0, |sum, value| sum * 10 + value));
            prop_assert_eq!(reference(&merged, address), reference(&a, address) * 10 + reference(&b, address));
        }
    }
}
