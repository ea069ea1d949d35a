//! The fast path for global unicast IPv6 (2000::/3): a code for every /48, in three or four reads.
//!
//! The first segment leads to a block of entries by the next octet. Most of them are one code. Of the others, those with
//! few pieces lead to a list, those with many to an index by the bits after that, so that what is left to look through is
//! short, too.

use std::net::Ipv6Addr;

use super::{Code, OTHER};

/// The first segment of 2000::/3, and how many there are.
const FIRST: u16 = 0x2000;
const SEGMENTS: u16 = 0x2000;

/// In an entry of the root: the rest is where a block begins.
const BLOCK: u32 = 1 << 31;
/// In an entry of a block: the rest is where a list begins.
const LIST: u32 = 1 << 31;
/// In an entry of a block: the rest is where an index begins.
const INDEX: u32 = 1 << 30;
const POSITION: u32 = INDEX - 1;

/// An index tells apart so many of the next bits: all eight of the octet would make it larger than what it leads to.
const INDEXED: u32 = 6;

/// Up to how many pieces an entry has a list.
const SHORT: usize = 16;

/// From this /48 on, a code.
type Network = (u64, Code);

#[derive(Default)]
pub(super) struct MapV6 {
    // By the first segment: a code, or `BLOCK` and a position.
    root: Vec<u32>,
    // By the octet behind it: a code, or `LIST` or `INDEX` and a position.
    blocks: Vec<u32>,
    // How many pieces, and the pieces: where each starts within the next 24 bits, and its code in the lowest octet.
    lists: Vec<u32>,
    // By the next bits: where among `pieces` is the one that holds their first network. One more follows, so that all
    // have an end.
    indexes: Vec<u32>,
    pieces: Vec<u32>,
}

impl MapV6 {
    /// Lays out runs of codes.
    pub(super) fn new(runs: &[(u128, u16)], code: impl Fn(u16) -> Code) -> Self {
        let networks = networks(runs, code);
        let mut map = Self::default();
        for segment in FIRST..FIRST.wrapping_add(SEGMENTS) {
            let first = u64::from(segment) << 32;
            let entry = match holding(&networks, first, 32) {
                [(_, code)] => u32::from(*code),
                _ => map.push_block(&networks, first).unwrap_or(u32::from(OTHER)),
            };
            map.root.push(entry);
        }
        for part in [&mut map.blocks, &mut map.lists, &mut map.indexes, &mut map.pieces] {
            part.shrink_to_fit();
        }
        map
    }

    // What follows answers none where a position does not fit; the entry then sends to the table.

    fn push_block(&mut self, networks: &[Network], first: u64) -> Option<u32> {
        let position = BLOCK | fitting(self.blocks.len())?;
        for octet in 0..=0xff {
            let first = first | octet << 24;
            let entry = match holding(networks, first, 24) {
                [(_, code)] => u32::from(*code),
                held if held.len() <= SHORT => self.push_list(held, first).unwrap_or(u32::from(OTHER)),
                held => self.push_index(held, first).unwrap_or(u32::from(OTHER)),
            };
            self.blocks.push(entry);
        }
        Some(position)
    }

    fn push_list(&mut self, held: &[Network], first: u64) -> Option<u32> {
        let position = LIST | fitting(self.lists.len())?;
        self.lists.push(fitting(held.len())?);
        self.lists.extend(held.iter().map(|network| piece(*network, first)));
        Some(position)
    }

    fn push_index(&mut self, held: &[Network], first: u64) -> Option<u32> {
        let position = INDEX | fitting(self.indexes.len())?;
        let starts = (0..=1 << INDEXED).map(|bits| {
            let network = first.wrapping_add(bits << (24 - INDEXED));
            let before = held.partition_point(|(start, _)| *start <= network).saturating_sub(1);
            fitting(self.pieces.len().saturating_add(before))
        });
        let starts: Vec<u32> = starts.collect::<Option<_>>()?;
        self.indexes.extend(starts);
        self.pieces.extend(held.iter().map(|network| piece(*network, first)));
        Some(position)
    }

    /// The code of an address, if it has one; none has outside of 2000::/3.
    #[inline]
    pub(super) fn code(&self, ip: Ipv6Addr) -> Option<Code> {
        let [code, ..] = self.entry(ip)?.to_le_bytes();
        if code == OTHER { None } else { Some(code) }
    }

    /// The entry or piece with the code of an address in its lowest octet.
    #[inline]
    fn entry(&self, ip: Ipv6Addr) -> Option<u32> {
        let [first, second, third, ..] = ip.segments();
        let [octet, next] = second.to_be_bytes();
        let entry = *self.root.get(usize::from(first.wrapping_sub(FIRST)))?;
        if entry & BLOCK == 0 {
            return Some(entry);
        }
        let entry = *self.blocks.get(position(entry).wrapping_add(usize::from(octet)))?;
        let pieces = if entry & LIST != 0 {
            let (len, rest) = self.lists.get(position(entry)..)?.split_first()?;
            rest.get(..*len as usize)?
        } else if entry & INDEX != 0 {
            let bits = usize::from(next >> (8 - INDEXED));
            let bounds = self.indexes.get(position(entry).wrapping_add(bits)..)?;
            let [from, to] = *bounds.first_chunk()?;
            self.pieces.get(from as usize..=to as usize)?
        } else {
            return Some(entry);
        };
        let last = u32::from(next) << 24 | u32::from(third) << 8 | 0xff;
        let before = if pieces.len() <= SHORT {
            // Counting all of a short list needs no guess at a branch.
            pieces.iter().map(|piece| u32::from(*piece <= last)).sum::<u32>() as usize
        } else {
            pieces.partition_point(|piece| *piece <= last)
        };
        pieces.get(before.wrapping_sub(1)).copied()
    }

    pub(super) fn bytes(&self) -> usize {
        [&self.root, &self.blocks, &self.lists, &self.indexes, &self.pieces]
            .iter()
            .map(|part| size_of_val(part.as_slice()))
            .sum()
    }
}

fn position(entry: u32) -> usize {
    (entry & POSITION) as usize
}

/// A position, or a length, if the bits beside the tags hold it.
fn fitting(position: usize) -> Option<u32> {
    u32::try_from(position).ok().filter(|position| *position <= POSITION)
}

/// The start within the 24 bits behind `first`, and the code.
fn piece((start, code): Network, first: u64) -> u32 {
    let start = u32::try_from(start.saturating_sub(first)).unwrap_or(0);
    start << 8 | u32::from(code)
}

/// What holds in the block of `1 << bits` networks from `first` on. The first may start before it.
fn holding(networks: &[Network], first: u64, bits: u32) -> &[Network] {
    let last = first | !(u64::MAX << bits);
    let from = networks.partition_point(|(start, _)| *start <= first).saturating_sub(1);
    let to = networks.partition_point(|(start, _)| *start <= last);
    networks.get(from..to).unwrap_or_default()
}

/// The runs by /48. A network inside of which a run begins holds more than one: [`OTHER`].
fn networks(runs: &[(u128, u16)], code: impl Fn(u16) -> Code) -> Vec<Network> {
    let mut networks: Vec<Network> = vec![(0, OTHER)];
    let mut push = |start: u64, code: Code| {
        while networks.last().is_some_and(|(last, _)| *last >= start) {
            networks.pop();
        }
        if networks.last().is_none_or(|(_, last)| *last != code) {
            networks.push((start, code));
        }
    };
    for (start, value) in runs {
        let [a, b, c, rest @ ..] = Ipv6Addr::from_bits(*start).segments();
        let network = u64::from(a) << 32 | u64::from(b) << 16 | u64::from(c);
        if rest == [0; 5] {
            push(network, code(*value));
        } else {
            push(network, OTHER);
            push(network.saturating_add(1), code(*value));
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_that_would_run_into_a_tag_is_none() {
        let largest = usize::try_from(POSITION).unwrap();
        for (position, expected) in
            [(0, Some(0)), (largest, Some(POSITION)), (largest + 1, None), (usize::MAX, None)]
        {
            assert_eq!(fitting(position), expected, "{position}");
        }
    }

    /// Starts that share their high bits, so that there are codes, lists, indexes and networks cut inside.
    fn start() -> impl Strategy<Value = u128> {
        let pick = |values: &'static [u128]| proptest::sample::select(values);
        let first = pick(&[0, 0x1fff, 0x2000, 0x2a00, 0x3fff, 0x4000, 0xffff]);
        let third = pick(&[0, 1, 2, 0x8000, 0xffff]);
        let second = prop_oneof![0x1200_u128..0x1240, pick(&[0, 0x12ff, 0xff00, 0xffff])];
        (first, second, third, pick(&[0, 0, 0, 1]))
            .prop_map(|(a, b, c, rest)| a << 112 | b << 96 | c << 80 | rest)
    }

    proptest! {
        /// Where the map has a code it is the run's, and it has one wherever a whole /48 of 2000::/3 is in one run.
        #[test]
        fn map_is_its_runs(
            starts in prop::collection::btree_map(start(), 0_u16..5, 0..150), probe in any::<u128>(),
        ) {
            let runs: Vec<(u128, u16)> = [(0, 4)].into_iter().chain(starts.into_iter().filter(|(start, _)| *start > 0)).collect();
            let map = MapV6::new(&runs, |value| value.to_le_bytes()[0]);
            let edges = runs.iter().flat_map(|(start, _)| [start.wrapping_sub(1), *start, *start + 1, start | u128::MAX >> 48]);
            for address in edges.chain([probe, probe >> 3 | 1 << 125]) {
                let value = |address: u128| runs.iter().rev().find(|(start, _)| *start <= address).unwrap().1;
                let network = (address & !(u128::MAX >> 48), address | u128::MAX >> 48);
                let cut = runs.iter().any(|(start, _)| network.0 < *start && *start <= network.1);
                let expected = if cut || address >> 125 != 1 { None } else { Some(value(address).to_le_bytes()[0]) };
                prop_assert_eq!(map.code(Ipv6Addr::from_bits(address)), expected, "{:x}", address);
            }
        }
    }
}
