//! IPv6: a root by the first segment, two levels of nodes by the second, lists by the third and the rest.

use std::net::Ipv6Addr;

use super::lists::Lists;
use super::node::{Node, slot};
use super::split::{Piece, split, spread};
use super::{DEEPER, INDEX, NODE, at, index, low_16};
use crate::database::runs::{NO_RECORD, Run, append};

/// In an entry: the rest is the position of a list.
const LIST: u32 = 1 << 30;
/// How many words stand before a node's entries in the IPv6 table.
const NODE_HEAD: usize = 9;
/// The first segment of 2000::/3, and how many follow.
const UNICAST_FIRST: u16 = 0x2000;
const UNICAST_LEN: usize = 0x2000;
/// Up to how many starts a list is counted through rather than halved.
const SHORT: usize = 64;

#[derive(Debug)]
pub(super) struct TableV6 {
    // By bits 0 to 15, for global unicast (2000::/3): a value, or `NODE` and a number.
    root: Vec<u32>,
    // The same for everything else, where little happens: ascending first segments, each up to the next.
    outer: Vec<(u16, u32)>,
    // Nodes by bits 16 to 23, then by bits 24 to 31, each with its entries behind it, so that a cache line often
    // holds both: eight half words of the bitmap, the ranks, the entries. An entry is a value, or `NODE` or `LIST`
    // and a position.
    nodes: Vec<u32>,
    // Lists by bits 32 to 47, each in one piece: how many starts, the starts of all pieces but the first, the
    // values of all.
    lists: Vec<u16>,
    // The /48 networks that hold more than one value, ascending, and what they hold by the last 80 bits.
    mixed: Vec<u64>,
    deep: Lists<u128>,
}

impl TableV6 {
    pub(super) fn new(runs: &[Run<u128>]) -> Self {
        let mut table = Self {
            root: Vec::new(),
            outer: Vec::new(),
            nodes: Vec::new(),
            lists: Vec::new(),
            mixed: Vec::new(),
            deep: Lists::new(),
        };
        let mut entries = Vec::new();
        let key = |start: u128| {
            let [first, rest @ ..] = segments(start);
            (first, rest == [0; 7])
        };
        split(NO_RECORD, runs, u16::MAX, key, &mut |child, piece| {
            entries.push((
                child,
                match piece {
                    Piece::Mixed(before, runs) => NODE | table.push_upper(before, runs),
                    Piece::Uniform(value) => u32::from(value),
                },
            ));
        });
        table.root = spread(&entries).into_iter().skip(UNICAST_FIRST.into()).take(UNICAST_LEN).collect();
        table.outer = entries;
        table.outer.shrink_to_fit();
        table.nodes.shrink_to_fit();
        table.lists.shrink_to_fit();
        table.deep.shrink();
        table
    }

    /// The node for bits 16 to 23.
    fn push_upper(&mut self, before: u16, runs: &[Run<u128>]) -> u32 {
        let key = |start: u128| {
            let [_, second, rest @ ..] = segments(start);
            (second >> 8, rest == [0; 6] && second & 0xff == 0)
        };
        let mut marks = Vec::new();
        split(before, runs, 255, key, &mut |child, piece| {
            marks.push((
                child,
                match piece {
                    Piece::Mixed(before, runs) => NODE | self.push_lower(before, runs),
                    Piece::Uniform(value) => u32::from(value),
                },
            ));
        });
        self.push_entries(&marks)
    }

    /// The node for bits 24 to 31.
    fn push_lower(&mut self, before: u16, runs: &[Run<u128>]) -> u32 {
        let key = |start: u128| {
            let [_, second, rest @ ..] = segments(start);
            (second & 0xff, rest == [0; 6])
        };
        let mut marks = Vec::new();
        split(before, runs, 255, key, &mut |child, piece| {
            marks.push((
                child,
                match piece {
                    Piece::Mixed(before, runs) => LIST | self.push_list(before, runs),
                    Piece::Uniform(value) => u32::from(value),
                },
            ));
        });
        self.push_entries(&marks)
    }

    /// Adds a node and its entries. Answers its position.
    fn push_entries(&mut self, marks: &[(u16, u32)]) -> u32 {
        let mut node = Node::at(0);
        marks.iter().for_each(|(child, _)| node.mark(*child));
        let position = u32::try_from(self.nodes.len()).unwrap_or(INDEX) & INDEX;
        for word in node.bitmap {
            self.nodes.extend(
                [word & u64::from(u32::MAX), word >> 32].map(|half| u32::try_from(half).unwrap_or(0)),
            );
        }
        self.nodes.push(u32::from_le_bytes(node.ranks));
        self.nodes.extend(marks.iter().map(|(_, entry)| *entry));
        position
    }

    /// The entry of a node for a child.
    #[inline]
    fn entry(&self, position: usize, child: u8) -> Option<u32> {
        let node = self.nodes.get(position..)?;
        let (head, entries) = node.split_at_checked(NODE_HEAD)?;
        let word = usize::from(child >> 6);
        let pair = head.get(word << 1..)?;
        let bits = u64::from(*pair.first()?) | u64::from(*pair.get(1)?) << 32;
        let rank = *head.last()?.to_le_bytes().get(word)?;
        entries.get(slot(bits, rank, child)).copied()
    }

    /// The node's own form again, and its entries.
    fn node(&self, position: usize) -> Option<(Node, &[u32])> {
        let (head, entries) = self.nodes.get(position..)?.split_at_checked(NODE_HEAD)?;
        let mut node = Node::at(0);
        for (word, pair) in node.bitmap.iter_mut().zip(head.chunks_exact(2)) {
            *word = pair.iter().rev().fold(0, |word, half| word << 32 | u64::from(*half));
        }
        Some((node, entries))
    }

    /// The list for bits 32 to 47. Answers its position.
    fn push_list(&mut self, before: u16, runs: &[Run<u128>]) -> u32 {
        let mut pieces: Vec<(u16, u16)> = Vec::with_capacity(runs.len());
        let key = |start: u128| {
            let [_, _, third, rest @ ..] = segments(start);
            (third, rest == [0; 5])
        };
        split(before, runs, u16::MAX, key, &mut |child, piece| {
            pieces.push((
                child,
                match piece {
                    Piece::Mixed(before, runs) => {
                        self.mixed.extend(runs.first().map(|(start, _)| high_48(*start)));
                        self.deep.push(before, runs.iter().map(|(start, value)| (low_80(*start), *value)));
                        DEEPER
                    }
                    Piece::Uniform(value) => value,
                },
            ));
        });
        let position = u32::try_from(self.lists.len()).unwrap_or(INDEX) & INDEX;
        // There are at most as many pieces as third segments, so their starts but the first can be counted.
        self.lists.push(u16::try_from(pieces.len().saturating_sub(1)).unwrap_or(u16::MAX));
        self.lists.extend(pieces.iter().skip(1).map(|(start, _)| *start));
        self.lists.extend(pieces.iter().map(|(_, value)| *value));
        position
    }

    /// The starts of all pieces but the first, and the values.
    #[inline]
    fn list(&self, position: usize) -> Option<(&[u16], &[u16])> {
        let (len, rest) = self.lists.get(position..)?.split_first()?;
        let (starts, rest) = rest.split_at_checked(usize::from(*len))?;
        Some((starts, rest.get(..=starts.len())?))
    }

    #[inline]
    pub(super) fn value(&self, ip: Ipv6Addr) -> u16 {
        let bits = ip.to_bits();
        let [first, second, third, ..] = segments(bits);
        let mut entry = match self.root.get(usize::from(first.wrapping_sub(UNICAST_FIRST))) {
            Some(entry) => *entry,
            None => self.outer(first),
        };
        for octet in second.to_be_bytes() {
            if entry & NODE == 0 {
                return low_16(entry);
            }
            let Some(next) = self.entry(index(entry), octet) else { return NO_RECORD };
            entry = next;
        }
        if entry & LIST == 0 {
            return low_16(entry);
        }
        let Some((starts, values)) = self.list(index(entry)) else { return NO_RECORD };
        let before = if starts.len() <= SHORT {
            // Counting all of a short list needs no guess at a branch.
            starts.iter().map(|start| usize::from(*start <= third)).sum()
        } else {
            starts.partition_point(|start| *start <= third)
        };
        match values.get(before).copied().unwrap_or(NO_RECORD) {
            DEEPER => self.in_deep_list(bits),
            value => value,
        }
    }

    #[cold]
    fn outer(&self, first: u16) -> u32 {
        let after = self.outer.partition_point(|(start, _)| *start <= first);
        let entry = after.checked_sub(1).and_then(|position| self.outer.get(position));
        match entry {
            // A node holds for its own segment only, and what follows it has an entry of its own.
            Some((_, entry)) => *entry,
            None => u32::from(NO_RECORD),
        }
    }

    #[cold]
    fn in_deep_list(&self, ip: u128) -> u16 {
        let list = self.mixed.binary_search(&high_48(ip));
        list.map_or(NO_RECORD, |list| self.deep.value(list, low_80(ip)))
    }

    pub(super) fn runs(&self) -> Vec<Run<u128>> {
        let mut runs = Vec::new();
        for (first, entry) in &self.outer {
            self.runs_below(*entry, u128::from(*first) << 112, 104, &mut runs);
        }
        runs
    }

    fn runs_below(&self, entry: u32, block: u128, shift: u32, runs: &mut Vec<Run<u128>>) {
        if entry & NODE != 0 {
            let Some((node, entries)) = self.node(index(entry)) else { return };
            for (child, slot) in node.children() {
                let start = block | u128::from(child).checked_shl(shift).unwrap_or(0);
                self.runs_below(at(entries, slot), start, shift.saturating_sub(8), runs);
            }
        } else if entry & LIST != 0 {
            let Some((starts, values)) = self.list(index(entry)) else { return };
            for (start, value) in [0].iter().chain(starts).zip(values) {
                let start = block | u128::from(*start) << 80;
                match (*value, self.mixed.binary_search(&high_48(start))) {
                    (DEEPER, Ok(list)) => {
                        self.deep.entries(list).for_each(|(low, value)| append(runs, start | low, value));
                    }
                    (value, _) => append(runs, start, value),
                }
            }
        } else {
            append(runs, block, low_16(entry));
        }
    }

    pub(super) fn bytes(&self) -> usize {
        [
            size_of_val(self.root.as_slice()),
            size_of_val(self.nodes.as_slice()),
            size_of_val(self.outer.as_slice()),
            size_of_val(self.lists.as_slice()),
            size_of_val(self.mixed.as_slice()),
            self.deep.bytes(),
        ]
        .iter()
        .sum()
    }
}

fn segments(bits: u128) -> [u16; 8] {
    Ipv6Addr::from_bits(bits).segments()
}

fn high_48(bits: u128) -> u64 {
    (bits >> 80) as u64
}

fn low_80(bits: u128) -> u128 {
    bits & (u128::MAX >> 48)
}
