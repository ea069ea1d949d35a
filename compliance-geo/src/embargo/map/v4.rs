//! The fast path for IPv4: two bits for every /24.
//!
//! The first three codes have a form of their own; the fourth form sends the rest, and /24 networks that hold more than
//! one group, to the table. Equal /16 blocks are kept once, so that the whole stays within a processor's cache.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::Code;

/// In two bits: ask the table.
const REST: u8 = 3;

/// Two bits for each /24 of a /16.
type Block = [u64; 8];

const PER_WORD: u8 = 32;
/// The code 1 for each /24 of a word.
const EACH: u64 = 0x5555_5555_5555_5555;

pub(super) struct MapV4 {
    // By the first two octets: which block.
    root: Vec<u16>,
    blocks: Vec<Block>,
}

impl MapV4 {
    /// Lays out runs of codes.
    pub(super) fn new(runs: &[(u32, u16)], code: impl Fn(u16) -> Code) -> Self {
        let mut coded: Vec<(u32, u8)> = Vec::with_capacity(runs.len());
        for (start, value) in runs {
            let code = code(*value).min(REST);
            if coded.last().is_none_or(|(_, last)| *last != code) {
                coded.push((*start, code));
            }
        }
        let mut blocks = vec![Block::default(); 1 << 16];
        let ends = coded.iter().skip(1).map(|(start, _)| start.wrapping_sub(1)).chain([u32::MAX]);
        for ((start, code), end) in coded.iter().zip(ends) {
            fill(&mut blocks, start >> 8, end >> 8, *code);
            // A /24 inside of which a run begins holds more than one; the run before it ends there too.
            if start & 0xff != 0 {
                fill(&mut blocks, start >> 8, start >> 8, REST);
            }
        }
        let mut map = Self { root: Vec::with_capacity(blocks.len()), blocks: Vec::new() };
        let mut numbers: HashMap<Block, u16> = HashMap::new();
        let mut before: Option<(Block, u16)> = None;
        for block in blocks {
            let number = match before {
                Some((same, number)) if same == block => number,
                _ => *numbers.entry(block).or_insert_with(|| {
                    let next = u16::try_from(map.blocks.len()).unwrap_or(u16::MAX);
                    map.blocks.push(block);
                    next
                }),
            };
            before = Some((block, number));
            map.root.push(number);
        }
        map.blocks.shrink_to_fit();
        map
    }

    /// The code of an address, if it has one.
    #[inline]
    pub(super) fn code(&self, ip: Ipv4Addr) -> Option<Code> {
        let [a, b, c, _] = ip.octets();
        let number = self.root.get(usize::from(u16::from_be_bytes([a, b])))?;
        let word = self.blocks.get(usize::from(*number))?.get(usize::from(c / PER_WORD))?;
        let [code, ..] = (word >> ((c % PER_WORD) << 1) & 3).to_le_bytes();
        if code == REST { None } else { Some(code) }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.root.as_slice()).saturating_add(size_of_val(self.blocks.as_slice()))
    }
}

/// Gives the /24 networks from `first` to `last` a code.
fn fill(blocks: &mut [Block], first: u32, last: u32, code: u8) {
    let code = EACH.wrapping_mul(u64::from(code));
    let word_of = |network: u32| (network >> 5) as usize;
    let (from, to) = (word_of(first), word_of(last));
    let low = u64::MAX << ((first & 31) << 1);
    let high = u64::MAX >> (62 ^ ((last & 31) << 1));
    let words = blocks.as_flattened_mut().get_mut(from..=to).unwrap_or_default();
    match words {
        [] => {}
        [only] => *only = *only & !(low & high) | code & low & high,
        [begin, between @ .., end] => {
            *begin = *begin & !low | code & low;
            between.fill(code);
            *end = *end & !high | code & high;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Where the map has a code it is the run's, and it has one wherever a whole /24 is in one run.
        #[test]
        fn map_is_its_runs(
            starts in prop::collection::btree_map(
                prop_oneof![any::<u32>(), (0_u32..4, 0_u32..300).prop_map(|(a, b)| a << 16 | b << 7)], 0_u16..5, 0..40),
            probe in any::<u32>(),
        ) {
            let runs: Vec<(u32, u16)> = [(0, 4)].into_iter().chain(starts.into_iter().filter(|(start, _)| *start > 0)).collect();
            let map = MapV4::new(&runs, |value| value.to_le_bytes()[0]);
            let edges = runs.iter().flat_map(|(start, _)| [start.wrapping_sub(1), *start, start | 0xff, *start & !0xff]);
            for address in edges.chain([probe]) {
                let value = |address: u32| runs.iter().rev().find(|(start, _)| *start <= address).unwrap().1;
                let whole = (address & !0xff..=address | 0xff).all(|other| value(other) == value(address));
                let code = map.code(Ipv4Addr::from_bits(address));
                if whole && value(address) < 3 {
                    prop_assert_eq!(code.map(u16::from), Some(value(address)));
                } else {
                    prop_assert_eq!(code, None);
                }
            }
        }
    }
}
