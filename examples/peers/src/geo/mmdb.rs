//! Writes a MaxMind DB file out of a [`Database`], so that both sides answer from the same networks and nothing has
//! to be downloaded.
//!
//! The file is laid out like the country files of ip-location-db, the smallest ones in use: one tree over IPv6
//! with IPv4 at `::/96`, 24-bit records, and `{"country_code": "XX"}` per country. Format: MaxMind DB 2.0,
//! <https://maxmind.github.io/MaxMind-DB/>.

use std::collections::BTreeMap;
use std::net::IpAddr;

use compliance_core::country::CountryCode;
use compliance_geo::database::Database;

use crate::measure::Failure;

const METADATA_START: &[u8] = b"\xab\xcd\xefMaxMind.com";
const RECORD_BITS: u16 = 24;
/// Between the tree and the data.
const SEPARATOR: [u8; 16] = [0; 16];

/// The bytes of a file that answers as `database` does.
pub(super) fn write(database: &Database, build_epoch: u64) -> Result<Vec<u8>, Failure> {
    let mut tree = Tree::default();
    let mut runs = database.boundaries().map(|first| (first, database.country(first))).peekable();
    while let Some((first, country)) = runs.next() {
        let next = runs.peek().map(|(next, _)| *next);
        let Some(country) = country else { continue };
        match (first, next) {
            (IpAddr::V4(first), Some(IpAddr::V4(next))) => {
                tree.insert(first.to_bits().into(), u128::from(next.to_bits()) - 1, country);
            }
            (IpAddr::V4(first), _) => tree.insert(first.to_bits().into(), u32::MAX.into(), country),
            (IpAddr::V6(first), Some(IpAddr::V6(next))) => {
                tree.insert(first.to_bits(), next.to_bits() - 1, country);
            }
            (IpAddr::V6(first), _) => tree.insert(first.to_bits(), u128::MAX, country),
        }
    }
    tree.file(build_epoch)
}

/// What a node's record says.
#[derive(Clone, Copy, Default)]
enum Record {
    #[default]
    NoData,
    Node(usize),
    Country(CountryCode),
}

struct Tree {
    nodes: Vec<[Record; 2]>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![[Record::NoData; 2]] }
    }
}

impl Tree {
    /// All addresses from `first` to `last`, as the fewest networks that cover them.
    fn insert(&mut self, mut first: u128, last: u128, country: CountryCode) {
        loop {
            let aligned = first.trailing_zeros().min(127);
            let fits = (last - first).checked_add(1).map_or(127, u128::ilog2);
            let host_bits = aligned.min(fits);
            self.insert_network(first, 128 - host_bits, country);
            match first.checked_add(1 << host_bits) {
                Some(next) if next <= last => first = next,
                _ => return,
            }
        }
    }

    fn insert_network(&mut self, network: u128, prefix_len: u32, country: CountryCode) {
        let mut node = 0;
        for depth in 0..prefix_len {
            let side = usize::from(network >> (127 - depth) & 1 == 1);
            let grown = self.nodes.len();
            let Some(record) = self.nodes.get_mut(node).and_then(|records| records.get_mut(side)) else {
                return;
            };
            if depth + 1 == prefix_len {
                *record = Record::Country(country);
            } else if let Record::Node(next) = record {
                node = *next;
            } else {
                // Runs do not overlap, so that nothing but "no data" is ever replaced here.
                *record = Record::Node(grown);
                node = grown;
                self.nodes.push([Record::NoData; 2]);
            }
        }
    }

    fn file(&self, build_epoch: u64) -> Result<Vec<u8>, Failure> {
        let mut data = Vec::new();
        let mut offsets = BTreeMap::new();
        for record in self.nodes.iter().flatten() {
            if let Record::Country(country) = record {
                offsets.entry(*country).or_insert_with(|| {
                    let offset = data.len();
                    map(&mut data, 1);
                    text(&mut data, "country_code");
                    text(&mut data, country.as_str());
                    offset
                });
            }
        }
        let count = self.nodes.len();
        let mut file = Vec::with_capacity(count * 6 + data.len() + 512);
        for record in self.nodes.iter().flatten() {
            let value = match record {
                Record::NoData => count,
                Record::Node(node) => *node,
                Record::Country(country) => {
                    let offset = offsets.get(country).ok_or("a country without data")?;
                    count + SEPARATOR.len() + offset
                }
            };
            match u32::try_from(value)?.to_be_bytes() {
                [0, a, b, c] => file.extend([a, b, c]),
                _ => return Err("more than 24 bits of nodes and data".into()),
            }
        }
        file.extend(SEPARATOR);
        file.append(&mut data);
        file.extend(METADATA_START);
        metadata(&mut file, u32::try_from(count)?, build_epoch);
        Ok(file)
    }
}

fn metadata(out: &mut Vec<u8>, node_count: u32, build_epoch: u64) {
    map(out, 9);
    text(out, "binary_format_major_version");
    unsigned(out, 5, 2);
    text(out, "binary_format_minor_version");
    unsigned(out, 5, 0);
    text(out, "build_epoch");
    // The type is 9, past what fits in the control byte.
    out.extend([8, 2]);
    out.extend(build_epoch.to_be_bytes());
    text(out, "database_type");
    text(out, "Country");
    text(out, "description");
    map(out, 1);
    text(out, "en");
    text(out, "the embedded country table");
    text(out, "ip_version");
    unsigned(out, 5, 6);
    text(out, "languages");
    // An array of no elements: type 11.
    out.extend([0, 4]);
    text(out, "node_count");
    out.push(6 << 5 | 4);
    out.extend(node_count.to_be_bytes());
    text(out, "record_size");
    unsigned(out, 5, RECORD_BITS);
}

/// The control byte of a map of up to 28 pairs.
fn map(out: &mut Vec<u8>, pairs: u8) {
    out.push(7 << 5 | pairs);
}

/// A string of up to 28 bytes.
fn text(out: &mut Vec<u8>, text: &str) {
    out.push(2 << 5 | text.len() as u8);
    out.extend(text.as_bytes());
}

/// An unsigned number of two bytes.
fn unsigned(out: &mut Vec<u8>, kind: u8, number: u16) {
    out.push(kind << 5 | 2);
    out.extend(number.to_be_bytes());
}
