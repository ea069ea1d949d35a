//! An address space cut into runs, and how several such cuts become one.

use std::net::IpAddr;

use compliance_core::address::{AddressReason, IPV4_SPECIAL, IPV6_SPECIAL, SpecialBlock};

/// From `.0` up to the next run's start every address has the value `.1`. The first run starts at zero.
pub(crate) type Run<A> = (A, u16);

/// No record.
pub(crate) const NO_RECORD: u16 = 0;
/// In a special-purpose block: whatever a database says there, no client on the internet comes from it.
pub(crate) const NOT_PUBLIC: u16 = 1;

/// An address as a number.
pub(crate) trait Address: Copy + Ord {
    const ZERO: Self;
    /// The next address, if this is not the last one.
    fn next(self) -> Option<Self>;
}

impl Address for u32 {
    const ZERO: Self = 0;
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Address for u128 {
    const ZERO: Self = 0;
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// Builds runs from ranges in ascending order; what lies between them has no record.
#[derive(Debug)]
pub(crate) struct RunBuilder<A> {
    runs: Vec<Run<A>>,
    // The first address not covered yet; `None` once the last address is.
    open: Option<A>,
}

/// A range began before the end of the one before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfOrder;

impl<A: Address> RunBuilder<A> {
    pub(crate) fn new() -> Self {
        Self { runs: Vec::new(), open: Some(A::ZERO) }
    }

    pub(crate) fn push(&mut self, first: A, last: A, value: u16) -> Result<(), OutOfOrder> {
        let open = self.open.filter(|open| *open <= first && first <= last).ok_or(OutOfOrder)?;
        if open < first {
            self.append(open, NO_RECORD);
        }
        self.append(first, value);
        self.open = last.next();
        Ok(())
    }

    fn append(&mut self, start: A, value: u16) {
        append(&mut self.runs, start, value);
    }

    pub(crate) fn finish(mut self) -> Vec<Run<A>> {
        if let Some(open) = self.open {
            self.append(open, NO_RECORD);
        }
        self.runs
    }
}

/// Adds a run unless it only continues the last one.
pub(crate) fn append<A>(runs: &mut Vec<Run<A>>, start: A, value: u16) {
    if runs.last().is_none_or(|(_, last)| *last != value) {
        runs.push((start, value));
    }
}

/// Merges several cuts of the same space; `pick` turns the values at one place into one.
pub(crate) fn merge<A: Address>(lists: &[&[Run<A>]], mut pick: impl FnMut(&[u16]) -> u16) -> Vec<Run<A>> {
    let mut rest: Vec<&[Run<A>]> = lists.to_vec();
    let mut values = vec![NO_RECORD; lists.len()];
    let mut merged = Vec::with_capacity(lists.iter().map(|list| list.len()).max().unwrap_or(0));
    while let Some(start) = rest.iter().filter_map(|list| list.first()).map(|(start, _)| *start).min() {
        for (list, value) in rest.iter_mut().zip(&mut values) {
            if let Some(((first, new), tail)) = list.split_first()
                && *first == start
            {
                (*value, *list) = (*new, tail);
            }
        }
        append(&mut merged, start, pick(&values));
    }
    merged
}

/// Cuts the special-purpose blocks out of IPv4 runs.
pub(crate) fn without_special_v4(runs: &[Run<u32>]) -> Vec<Run<u32>> {
    overlay(runs, IPV4_SPECIAL, |ip| match ip {
        IpAddr::V4(ip) => Some(ip.to_bits()),
        IpAddr::V6(_) => None,
    })
}

/// Cuts the special-purpose blocks out of IPv6 runs, except the forms that stand for an IPv4 address: those are
/// judged by what they carry.
pub(crate) fn without_special_v6(runs: &[Run<u128>]) -> Vec<Run<u128>> {
    overlay(runs, IPV6_SPECIAL, |ip| match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some(ip.to_bits()),
    })
}

fn overlay<A: Address>(
    runs: &[Run<A>],
    blocks: &[SpecialBlock],
    bits: impl Fn(IpAddr) -> Option<A>,
) -> Vec<Run<A>> {
    let mut special: Vec<Run<A>> = Vec::new();
    // Wider blocks first, so that a narrower one inside wins.
    let mut blocks: Vec<&SpecialBlock> = blocks.iter().collect();
    blocks.sort_by_key(|block| block.prefix_len());
    for block in blocks {
        let (Some(first), Some(last)) = (bits(block.network()), bits(block.last())) else { continue };
        let value = if carries_ipv4(block.reason()) { NO_RECORD } else { NOT_PUBLIC };
        let mut patch = RunBuilder::new();
        // A patch is one range, so it is in order. Values are shifted by one: 0 leaves what is below.
        if patch.push(first, last, value.saturating_add(1)).is_ok() {
            special = merge(&[&special, &patch.finish()], |values| match values {
                [below, 0] => *below,
                [_, patched] => patched.saturating_sub(1),
                _ => NO_RECORD,
            });
        }
    }
    merge(&[runs, &special], |values| match values {
        [_, NOT_PUBLIC] => NOT_PUBLIC,
        [value, _] => *value,
        _ => NO_RECORD,
    })
}

fn carries_ipv4(reason: AddressReason) -> bool {
    matches!(
        reason,
        AddressReason::Ipv4Compatible
            | AddressReason::Ipv4Mapped
            | AddressReason::Ipv4Translated
            | AddressReason::Nat64
            | AddressReason::SixToFour
            | AddressReason::Teredo
    )
}
