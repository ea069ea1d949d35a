//! Country tables: the compact file behind the embedded database.
//!
//! Layout, numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `CGEOTBL` and the version, 2 |
//! | 10 | day of the data, `YYYY-MM-DD` |
//! | 1 + n | length of the source's name, and the name |
//! | 1 + 2n | number of country codes, and the codes |
//! | 4, 4 | number of IPv4 runs, of IPv6 runs |
//! | 8 | number of records: runs that name a country |
//! | 32 | SHA-256 of everything before and after it |
//! | rest | the runs |
//!
//! A run is its distance from the one before, as a LEB128 number `distance << 1 | fine`, and one byte: 0 for no
//! record, else the code's position from 1. The distance counts /24 networks (IPv4) or /48 networks (IPv6); with
//! `fine` set, that part is 0 and a second LEB128 number follows, which counts addresses.

use std::sync::OnceLock;

use compliance_core::clock::Date;
use compliance_core::country::CountryCode;
use compliance_core::snapshot::Snapshot;
use sha2::{Digest, Sha256};

use super::runs::{NO_RECORD, Run, append};
use super::{Database, DatabaseError, DatabaseErrorKind, Place, Places};

const MAGIC: &[u8; 8] = b"CGEOTBL\x02";
const SHA256_LEN: usize = 32;
const SHIFT_V4: u32 = 8;
const SHIFT_V6: u32 = 80;

static EMBEDDED: &[u8] = include_bytes!("../../data/country.table");

impl Database {
    /// The largest country table [`from_country_table`](Self::from_country_table) takes, in bytes: 16 MiB.
    pub const MAX_COUNTRY_TABLE_BYTES: usize = 16 << 20;

    /// The table compiled into the crate: countries only, from public-domain BGP and registry data. `data/ORIGIN.md`
    /// says what it was made from and when; [`snapshot`](Self::snapshot) says so at run time.
    ///
    /// Decoded once per process, in some tens of milliseconds; every call after that is a clone.
    ///
    /// # Errors
    /// None while the crate's own data file is whole; a damaged one is refused like any other.
    pub fn embedded() -> Result<Self, DatabaseError> {
        static DECODED: OnceLock<Result<Database, DatabaseError>> = OnceLock::new();
        DECODED.get_or_init(|| Self::from_country_table(EMBEDDED)).clone()
    }

    /// Decodes a country table, as [`to_country_table`](Self::to_country_table) writes them.
    ///
    /// # Errors
    /// [`DatabaseError`]: `database.too_large`, `database.format`, `database.digest`, `database.empty`.
    pub fn from_country_table(bytes: &[u8]) -> Result<Self, DatabaseError> {
        if bytes.len() > Self::MAX_COUNTRY_TABLE_BYTES {
            let (limit, found) = (Self::MAX_COUNTRY_TABLE_BYTES, bytes.len());
            return Err(DatabaseErrorKind::TooLarge { limit, found }.into());
        }
        let format = || DatabaseError::from(DatabaseErrorKind::Format { expected: "country table" });
        let mut input = Input(bytes);
        let header = Header::read(&mut input).ok_or_else(format)?;
        let before = bytes.len().saturating_sub(input.0.len()).saturating_sub(SHA256_LEN);
        if digest(bytes.get(..before).unwrap_or_default(), input.0) != header.sha256 {
            return Err(DatabaseErrorKind::Digest.into());
        }
        if header.records == 0 {
            return Err(DatabaseErrorKind::Empty.into());
        }
        let mut places = Places::default();
        let mut values = vec![NO_RECORD];
        for code in &header.codes {
            values.push(places.value(Place { country: Some(*code), ..Place::default() })?);
        }
        let v4 = input.runs(header.v4_runs, SHIFT_V4, &values).ok_or_else(format)?;
        let v6 = input.runs(header.v6_runs, SHIFT_V6, &values).ok_or_else(format)?;
        if !input.0.is_empty() || records(&v4).saturating_add(records(&v6)) != header.records {
            return Err(format());
        }
        let v4: Vec<Run<u32>> = v4
            .into_iter()
            .map(|(start, value)| u32::try_from(start).map(|start| (start, value)))
            .collect::<Result<_, _>>()
            .map_err(|_| format())?;
        Self::build((&v4, &v6), places, Snapshot::of(header.source, header.as_of, bytes, header.records))
    }

    /// Writes the countries of this database as a country table; everything else it knows is left out.
    ///
    /// At most [`u8::MAX`] countries can be told apart, which is more than ISO 3166-1 has.
    #[must_use]
    pub fn to_country_table(&self) -> Vec<u8> {
        let mut codes: Vec<CountryCode> = self.inner.places.iter().filter_map(Place::country).collect();
        codes.sort_unstable();
        codes.dedup();
        let position = |value: u16| {
            let country = self.place(value).and_then(Place::country);
            let position = country.and_then(|country| codes.binary_search(&country).ok());
            position.and_then(|position| u16::try_from(position.saturating_add(1)).ok()).unwrap_or(NO_RECORD)
        };
        let mut v4: Vec<Run<u128>> = Vec::new();
        let mut v6: Vec<Run<u128>> = Vec::new();
        for (start, value) in self.inner.table.runs_v4() {
            append(&mut v4, u128::from(start), position(value));
        }
        for (start, value) in self.inner.table.runs_v6() {
            append(&mut v6, start, position(value));
        }
        let records = records(&v4).saturating_add(records(&v6));
        let mut rest = Vec::new();
        write_runs(&mut rest, &v4, SHIFT_V4);
        write_runs(&mut rest, &v6, SHIFT_V6);
        let snapshot = self.snapshot();
        let source = snapshot.source().as_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(snapshot.as_of().to_string().bytes());
        // A snapshot's source is at most 128 bytes long, and there are 250 countries.
        bytes.push(u8::try_from(source.len()).unwrap_or(u8::MAX));
        bytes.extend(source.iter().take(usize::from(u8::MAX)));
        bytes.push(u8::try_from(codes.len()).unwrap_or(u8::MAX));
        bytes.extend(codes.iter().flat_map(|code| code.as_str().bytes()));
        bytes.extend(u32::try_from(v4.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(u32::try_from(v6.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend(records.to_le_bytes());
        bytes.extend(digest(&bytes, &rest));
        bytes.append(&mut rest);
        bytes
    }
}

/// Over everything but itself: a header that could be altered would give one country's networks to another.
fn digest(before: &[u8], after: &[u8]) -> [u8; SHA256_LEN] {
    Sha256::new().chain_update(before).chain_update(after).finalize().into()
}

/// How many runs name a country.
fn records(runs: &[Run<u128>]) -> u64 {
    runs.iter().fold(0_u64, |sum, (_, value)| sum.saturating_add(u64::from(*value != NO_RECORD)))
}

struct Header {
    as_of: Date,
    source: String,
    codes: Vec<CountryCode>,
    v4_runs: u32,
    v6_runs: u32,
    records: u64,
    sha256: [u8; SHA256_LEN],
}

impl Header {
    fn read(input: &mut Input<'_>) -> Option<Self> {
        if input.array()? != *MAGIC {
            return None;
        }
        let as_of = str::from_utf8(&input.array::<10>()?).ok()?.parse().ok()?;
        let source_len = input.byte()?;
        let source = str::from_utf8(input.take(usize::from(source_len))?).ok()?.to_owned();
        let mut codes = Vec::new();
        for _ in 0..input.byte()? {
            codes.push(CountryCode::parse(str::from_utf8(&input.array::<2>()?).ok()?).ok()?);
        }
        Some(Self {
            as_of,
            source,
            codes,
            v4_runs: u32::from_le_bytes(input.array()?),
            v6_runs: u32::from_le_bytes(input.array()?),
            records: u64::from_le_bytes(input.array()?),
            sha256: input.array()?,
        })
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u128> {
        let mut number = 0_u128;
        for shift in (0..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u128::from(byte & 0x7f);
            let shifted = bits.checked_shl(shift)?;
            if shifted.checked_shr(shift)? != bits {
                return None;
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Reads `count` runs. The first starts at zero, each later one after the one before it.
    fn runs(&mut self, count: u32, shift: u32, values: &[u16]) -> Option<Vec<Run<u128>>> {
        // Each run takes at least two bytes, so that a count cannot make us reserve more than the file explains.
        let mut runs = Vec::with_capacity((count as usize).min(self.0.len() / 2));
        let mut start = 0_u128;
        for position in 0..count {
            let number = self.number()?;
            let distance = match (number >> 1, number & 1) {
                (0, 1) => self.number()?,
                (coarse, 0) => coarse.checked_shl(shift).filter(|d| d.checked_shr(shift) == Some(coarse))?,
                _ => return None,
            };
            if (position == 0) != (distance == 0) {
                return None;
            }
            start = start.checked_add(distance)?;
            runs.push((start, *values.get(usize::from(self.byte()?))?));
        }
        (count > 0).then_some(runs)
    }
}

fn write_runs(bytes: &mut Vec<u8>, runs: &[Run<u128>], shift: u32) {
    let mut before = 0;
    for (start, value) in runs {
        let distance = start.saturating_sub(before);
        let coarse = distance.checked_shr(shift).unwrap_or(0);
        if coarse.checked_shl(shift) == Some(distance) {
            write_number(bytes, coarse << 1);
        } else {
            write_number(bytes, 1);
            write_number(bytes, distance);
        }
        bytes.push(u8::try_from(*value).unwrap_or(0));
        before = *start;
    }
}

fn write_number(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return;
        }
        bytes.push(low | 0x80);
    }
}
