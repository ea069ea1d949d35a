//! The resident table: one small number for every address, in a couple of cache lines.
//!
//! A trie with a 16-bit root and 256-way nodes. A node holds a bit per child that begins a new run and the
//! rank of the first one, so that equal neighbours share one value. What is finer than a node can tell apart
//! (IPv4 below /24, IPv6 below /32) stands in short sorted lists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::runs::{NO_RECORD, Run, append};

/// The largest value a table can hold.
pub(crate) const MAX_VALUE: u16 = u16::MAX - 1;

/// In a value: look into the list of this block.
const DEEPER: u16 = u16::MAX;
/// In an entry: the rest is the number of a node.
const NODE: u32 = 1 << 31;
/// In an entry: the rest is the number of a list.
const LIST: u32 = 1 << 30;
const INDEX: u32 = LIST - 1;

const ROOT_LEN: usize = 1 << 16;
/// How many words stand before a node's entries in the IPv6 table.
const NODE_HEAD: usize = 9;
/// The first segment of 2000::/3, and how many follow.
const UNICAST_FIRST: u16 = 0x2000;
const UNICAST_LEN: usize = 0x2000;
/// Up to how many starts a list is counted through rather than halved.
const SHORT: usize = 64;

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

#[derive(Debug)]
struct TableV4 {
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
    fn new(runs: &[Run<u32>]) -> Self {
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
    fn value(&self, ip: Ipv4Addr) -> u16 {
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

    fn runs(&self) -> Vec<Run<u32>> {
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

    fn bytes(&self) -> usize {
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

#[derive(Debug)]
struct TableV6 {
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
    fn new(runs: &[Run<u128>]) -> Self {
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
    fn value(&self, ip: Ipv6Addr) -> u16 {
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

    fn runs(&self) -> Vec<Run<u128>> {
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

    fn bytes(&self) -> usize {
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

/// 256 children, of which those that begin a new run have a bit and, in order, a slot.
#[derive(Clone, Copy, Debug)]
struct Node {
    bitmap: [u64; 4],
    // Bits set in the words before.
    ranks: [u8; 4],
    base: u32,
}

impl Node {
    fn at(base: usize) -> Self {
        Self { bitmap: [0; 4], ranks: [0; 4], base: u32::try_from(base).unwrap_or(u32::MAX) }
    }

    /// Children are marked in ascending order.
    fn mark(&mut self, child: u16) {
        let word = usize::from(child >> 6);
        if let Some(bits) = self.bitmap.get_mut(word) {
            *bits |= 1 << (child & 63);
        }
        for rank in self.ranks.iter_mut().skip(word.saturating_add(1)) {
            *rank = rank.saturating_add(1);
        }
    }

    #[inline]
    fn slot(&self, child: u8) -> usize {
        let word = usize::from(child >> 6);
        let (Some(bits), Some(rank)) = (self.bitmap.get(word), self.ranks.get(word)) else {
            return usize::MAX;
        };
        (self.base as usize).wrapping_add(slot(*bits, *rank, child))
    }

    fn children(&self) -> impl Iterator<Item = (u8, usize)> {
        let marked = [0_u8, 64, 128, 192].into_iter().zip(self.bitmap).flat_map(|(first, word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = u8::try_from(rest.trailing_zeros()).ok().filter(|bit| *bit < 64)?;
                rest &= rest.wrapping_sub(1);
                Some(first | bit)
            })
        });
        marked.zip(self.base as usize..)
    }
}

/// The slot of a child among its node's: `bits` is the word of the bitmap it is in, `rank` how many are set before.
#[inline]
fn slot(bits: u64, rank: u8, child: u8) -> usize {
    let up_to_child = u64::MAX >> (63 ^ (child & 63));
    // INVARIANT: child 0 is always marked, so at least one bit is set up to any child.
    usize::from(rank).wrapping_add((bits & up_to_child).count_ones() as usize).wrapping_sub(1)
}

/// Short sorted lists of starts and values, one after the other.
#[derive(Debug)]
struct Lists<S> {
    // Where each list begins, and where the last one ends.
    offsets: Vec<u32>,
    starts: Vec<S>,
    values: Vec<u16>,
}

impl<S: Copy + Ord + Default> Lists<S> {
    fn new() -> Self {
        Self { offsets: vec![0], starts: Vec::new(), values: Vec::new() }
    }

    /// Adds a list; `before` holds from zero up to its first start. Answers its number.
    fn push(&mut self, before: u16, list: impl Iterator<Item = (S, u16)>) -> usize {
        let mut list = list.peekable();
        if list.peek().is_none_or(|(start, _)| *start != S::default()) {
            self.starts.push(S::default());
            self.values.push(before);
        }
        for (start, value) in list {
            self.starts.push(start);
            self.values.push(value);
        }
        self.offsets.push(u32::try_from(self.starts.len()).unwrap_or(u32::MAX));
        self.offsets.len().saturating_sub(2)
    }

    fn bounds(&self, list: usize) -> Option<std::ops::Range<usize>> {
        let mut bounds = self.offsets.get(list..)?.iter();
        Some(*bounds.next()? as usize..*bounds.next()? as usize)
    }

    #[inline]
    fn value(&self, list: usize, at: S) -> u16 {
        let found = self.bounds(list).and_then(|bounds| {
            let starts = self.starts.get(bounds.clone())?;
            let position = starts.partition_point(|start| *start <= at).checked_sub(1)?;
            self.values.get(bounds)?.get(position)
        });
        found.copied().unwrap_or(NO_RECORD)
    }

    fn entries(&self, list: usize) -> impl Iterator<Item = (S, u16)> {
        let bounds = self.bounds(list).unwrap_or(0..0);
        let starts = self.starts.get(bounds.clone()).unwrap_or_default();
        starts.iter().copied().zip(self.values.get(bounds).unwrap_or_default().iter().copied())
    }

    fn shrink(&mut self) {
        self.offsets.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    fn bytes(&self) -> usize {
        size_of_val(self.offsets.as_slice())
            .saturating_add(size_of_val(self.starts.as_slice()))
            .saturating_add(size_of_val(self.values.as_slice()))
    }
}

/// What one child of a block holds.
enum Piece<'a, A> {
    /// Runs start inside it: the value before the first of them, and the runs.
    Mixed(u16, &'a [Run<A>]),
    /// One value, also for the children after it up to the next piece.
    Uniform(u16),
}

/// Cuts the runs of a block by child. `key` gives the child a start lies in and whether it is the child's first
/// address. The first piece is child 0's.
fn split<A: Copy>(
    before: u16,
    runs: &[Run<A>],
    last_child: u16,
    key: impl Fn(A) -> (u16, bool),
    emit: &mut dyn FnMut(u16, Piece<'_, A>),
) {
    let mut value = before;
    // The child from which `value` holds and has not been emitted yet.
    let mut pending = Some(0_u16);
    for group in runs.chunk_by(|(a, _), (b, _)| key(*a).0 == key(*b).0) {
        let (Some((first, first_value)), Some((_, last_value))) = (group.first(), group.last()) else {
            continue;
        };
        let (child, at_start) = key(*first);
        if let Some(from) = pending.filter(|from| *from < child) {
            emit(from, Piece::Uniform(value));
        }
        if group.len() == 1 && at_start {
            emit(child, Piece::Uniform(*first_value));
            pending = None;
        } else {
            emit(child, Piece::Mixed(value, group));
            pending = (child < last_child).then(|| child.saturating_add(1));
        }
        value = *last_value;
    }
    if let Some(from) = pending {
        emit(from, Piece::Uniform(value));
    }
}

/// One entry per child of the root from the entries of those that begin a new run.
fn spread(entries: &[(u16, u32)]) -> Vec<u32> {
    let mut root = Vec::with_capacity(ROOT_LEN);
    let ends = entries.iter().skip(1).map(|(child, _)| usize::from(*child)).chain([ROOT_LEN]);
    for ((_, entry), end) in entries.iter().zip(ends) {
        // A node holds for its own child only; what follows it has an entry of its own.
        root.resize(end, *entry);
    }
    root
}

fn push_node(nodes: &mut Vec<Node>, node: Node) -> u32 {
    let number = u32::try_from(nodes.len()).unwrap_or(INDEX) & INDEX;
    nodes.push(node);
    number
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

fn high_16(bits: u32) -> u16 {
    let [a, b, ..] = bits.to_be_bytes();
    u16::from_be_bytes([a, b])
}

fn octets(bits: u32) -> [u8; 4] {
    bits.to_be_bytes()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::runs::merge;
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
