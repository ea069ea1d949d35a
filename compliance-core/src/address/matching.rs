//! Finds the most specific block for an address, by bit vectors.
//!
//! Each block owns one bit, the most specific the lowest. For each of the first four octets a table, made at
//! compile time from the registry rows, says which blocks the octet's value leaves possible. The four answers
//! ANDed are the blocks that hold an IPv4 address, and the few candidates for an IPv6 address: an ordinary
//! address ends there, with nothing left.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::registry::{IPV4_SPECIAL, IPV6_SPECIAL, SpecialBlock};

static IPV4: Matcher = Matcher::of(IPV4_SPECIAL);
static IPV6: Matcher = Matcher::of(IPV6_SPECIAL);

#[inline]
pub(super) fn ipv4(address: Ipv4Addr) -> Option<&'static SpecialBlock> {
    IPV4.block(IPV4.possible(address.octets()).trailing_zeros())
}

#[inline]
pub(super) fn ipv6(address: Ipv6Addr) -> Option<&'static SpecialBlock> {
    let [a, b, c, d, ..] = address.octets();
    let mut blocks = IPV6.possible([a, b, c, d]);
    while blocks != 0 {
        let bit = blocks.trailing_zeros();
        if IPV6.holds(bit, address.to_bits()) {
            return IPV6.block(bit);
        }
        blocks &= blocks.wrapping_sub(1);
    }
    None
}

struct Matcher {
    octets: [[u64; 256]; 4],
    blocks: [Option<&'static SpecialBlock>; 64],
    /// First and last address of each block.
    ranges: [(u128, u128); 64],
}

impl Matcher {
    /// The blocks that an address with these first octets may be in, one bit each.
    #[inline]
    fn possible(&self, [a, b, c, d]: [u8; 4]) -> u64 {
        let [ta, tb, tc, td] = &self.octets;
        let at = |table: &[u64; 256], octet: u8| table.get(usize::from(octet)).copied().unwrap_or(u64::MAX);
        // Most public addresses are told by their first octet.
        match at(ta, a) {
            0 => 0,
            some => some & at(tb, b) & at(tc, c) & at(td, d),
        }
    }

    /// The block that owns a bit; none for 64, where no bit was set.
    #[inline]
    fn block(&self, bit: u32) -> Option<&'static SpecialBlock> {
        self.blocks.get(usize::try_from(bit).ok()?).copied().flatten()
    }

    #[inline]
    fn holds(&self, bit: u32, address: u128) -> bool {
        let range = usize::try_from(bit).ok().and_then(|bit| self.ranges.get(bit));
        range.is_none_or(|(first, last)| (*first..=*last).contains(&address))
    }

    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "evaluated at compile time, where a mistake fails the build"
    )]
    const fn of(rows: &'static [SpecialBlock]) -> Self {
        assert!(rows.len() <= 64, "one bit per block");
        let mut blocks = [None; 64];
        let mut octets = [[0; 256]; 4];
        let mut ranges = [(0, 0); 64];
        let mut bit = 0;
        let mut prefix_len = 128_u8;
        loop {
            let mut row = 0;
            while row < rows.len() {
                if rows[row].prefix_len() == prefix_len {
                    blocks[bit] = Some(&rows[row]);
                    ranges[bit] = (bits(rows[row].network()), bits(rows[row].last()));
                    mark(&mut octets, 1 << bit, &rows[row]);
                    bit += 1;
                }
                row += 1;
            }
            if prefix_len == 0 {
                break;
            }
            prefix_len -= 1;
        }
        assert!(bit == rows.len(), "every row has its bit");
        Self { octets, blocks, ranges }
    }
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated at compile time, where a mistake fails the build"
)]
const fn mark(octets: &mut [[u64; 256]; 4], bit: u64, block: &SpecialBlock) {
    let (first, last) = (first_octets(block.network()), first_octets(block.last()));
    let mut position = 0;
    while position < 4 {
        let mut value = first[position] as usize;
        while value <= last[position] as usize {
            octets[position][value] |= bit;
            value += 1;
        }
        position += 1;
    }
}

const fn first_octets(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.octets();
            [a, b, c, d]
        }
    }
}

const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}
