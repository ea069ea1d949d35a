//! IPv4: a root by the first two octets, nodes by the third, lists by the last.

use std::net::Ipv4Addr;

use super::lists::Lists;
use super::node::Node;
use super::split::{Piece, ROOT_LEN, split, spread};
use super::{DEEPER, INDEX, NODE, at, index, low_16};
use crate::database::runs::{NO_RECORD, Run, append};

#[derive(Debug)]
pub(super) struct TableV4 {
    // By the first two octets: a value, or `NODE` and a number.
    root: Vec<u32>,
    // By the third octet.
    nodes: Vec<Node>,
    values: Vec<u16>,
    // The /24 blocks that hold more than one value, ascending, and what they hold by the last octet.
    mixed: Vec<u32>,
    lists: Lists<u8>,
}

impl TableV4 {
    pub(super) fn new(runs: &[Run<u32>]) -> Self {
        let mut table = Self {
            root: Vec::with_capacity(ROOT_LEN),
            nodes: Vec::new(),
            values: Vec::new(),
            mixed: Vec::new(),
            lists: Lists::new(),
        };
        let mut entries = Vec::new();
        split(
            NO_RECORD,
            runs,
            u16::MAX,
            |start| (high_16(start), start & 0xffff == 0),
            &mut |child, piece| {
                let entry = match piece {
                    Piece::Mixed(before, runs) => NODE | table.push_node(before, runs),
                    Piece::Uniform(value) => u32::from(value),
                };
                entries.push((child, entry));
            },
        );
        table.root = spread(&entries);
        table.nodes.shrink_to_fit();
        table.values.shrink_to_fit();
        table.lists.shrink();
        table
    }

    fn push_node(&mut self, before: u16, runs: &[Run<u32>]) -> u32 {
        let mut node = Node::at(self.values.len());
        split(
            before,
            runs,
            255,
            |start| (u16::from(octets(start)[2]), start & 0xff == 0),
            &mut |child, piece| {
                node.mark(child);
                self.values.push(match piece {
                    Piece::Mixed(before, runs) => {
                        self.mixed.extend(runs.first().map(|(start, _)| start >> 8));
                        self.lists
                            .push(before, runs.iter().map(|(start, value)| (octets(*start)[3], *value)));
                        DEEPER
                    }
                    Piece::Uniform(value) => value,
                });
            },
        );
        push_node(&mut self.nodes, node)
    }

    #[inline]
    pub(super) fn value(&self, ip: Ipv4Addr) -> u16 {
        let [a, b, c, d] = ip.octets();
        let entry = at(&self.root, usize::from(u16::from_be_bytes([a, b])));
        if entry & NODE == 0 {
            return low_16(entry);
        }
        let Some(node) = self.nodes.get(index(entry)) else { return NO_RECORD };
        match self.values.get(node.slot(c)).copied().unwrap_or(NO_RECORD) {
            DEEPER => self.in_list(ip.to_bits() >> 8, d),
            value => value,
        }
    }

    #[cold]
    fn in_list(&self, block: u32, d: u8) -> u16 {
        self.mixed.binary_search(&block).map_or(NO_RECORD, |list| self.lists.value(list, d))
    }

    pub(super) fn runs(&self) -> Vec<Run<u32>> {
        let mut runs = Vec::with_capacity(self.values.len());
        for (high, entry) in (0_u32..).zip(&self.root) {
            let block = high << 16;
            let Some(node) = (entry & NODE != 0).then(|| self.nodes.get(index(*entry))).flatten() else {
                append(&mut runs, block, low_16(*entry));
                continue;
            };
            for (child, slot) in node.children() {
                let start = block | u32::from(child) << 8;
                match self.values.get(slot).copied().unwrap_or(NO_RECORD) {
                    DEEPER => {
                        if let Ok(list) = self.mixed.binary_search(&(start >> 8)) {
                            for (d, value) in self.lists.entries(list) {
                                append(&mut runs, start | u32::from(d), value);
                            }
                        }
                    }
                    value => append(&mut runs, start, value),
                }
            }
        }
        runs
    }

    pub(super) fn bytes(&self) -> usize {
        [
            size_of_val(self.root.as_slice()),
            size_of_val(self.nodes.as_slice()),
            size_of_val(self.values.as_slice()),
            size_of_val(self.mixed.as_slice()),
            self.lists.bytes(),
        ]
        .iter()
        .sum()
    }
}

fn push_node(nodes: &mut Vec<Node>, node: Node) -> u32 {
    let number = u32::try_from(nodes.len()).unwrap_or(INDEX) & INDEX;
    nodes.push(node);
    number
}

fn high_16(bits: u32) -> u16 {
    let [a, b, ..] = bits.to_be_bytes();
    u16::from_be_bytes([a, b])
}

fn octets(bits: u32) -> [u8; 4] {
    bits.to_be_bytes()
}
