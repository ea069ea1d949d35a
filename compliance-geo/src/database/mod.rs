//! In which country an address is: the embedded table, MaxMind DB files, or several of them at once.
//!
//! Every source becomes the same resident table, so that a look-up costs the same whatever it came from, and
//! nothing is read, mapped or decoded after loading. Special-purpose blocks (private, loopback, documentation
//! …) are cut out while it is built: whatever a file says there, no client on the internet comes from them.
//!
//! ```
//! use compliance_geo::database::{Database, Located};
//!
//! let database = Database::embedded()?;
//! let Located::Place(place) = database.locate("5.22.4.4".parse().unwrap()) else { panic!() };
//! assert_eq!(place.country().unwrap().as_str(), "IR");
//! assert_eq!(database.locate("192.168.1.1".parse().unwrap()), Located::NotPublic);
//! # Ok::<(), compliance_geo::database::DatabaseError>(())
//! ```

mod country_table;
mod error;
#[cfg(feature = "manifest")]
pub mod manifest;
#[cfg(feature = "maxminddb")]
mod mmdb;
mod place;
mod quorum;
mod runs;
mod table;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use compliance_core::address::embedded_ipv4;
use compliance_core::country::CountryCode;
use compliance_core::snapshot::Snapshot;

pub use error::{DatabaseError, DatabaseErrorKind};
pub use place::{Anonymity, Place};
pub use quorum::Quorum;

pub(crate) use quorum::{Combined, combine};
use runs::{NO_RECORD, NOT_PUBLIC, Run, without_special_v4, without_special_v6};
use table::MAX_VALUE;
pub(crate) use table::Table;

/// A country database in memory. Cheap to clone: clones share the table.
///
/// # Security
/// An IP address says where a network is *said* to be, by whoever compiled the database. It is no evidence of
/// where a person is: VPNs, mobile roaming and re-registered networks all mislead it, and databases disagree on
/// about one address in twenty.
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    table: Arc<Table>,
    // By value of the table, from 2 on: 0 is no record, 1 is not public.
    places: Vec<Place>,
    snapshot: Snapshot,
    coverage: Coverage,
}

/// What kinds of statement a database makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Coverage {
    countries: bool,
    subdivisions: bool,
    anonymity: bool,
    ipv6: bool,
}

impl Coverage {
    fn of<'p>(places: impl IntoIterator<Item = &'p Place>) -> Self {
        places.into_iter().fold(Self::default(), |seen, place| Self {
            countries: seen.countries || place.country.is_some(),
            subdivisions: seen.subdivisions || place.subdivision.is_some(),
            anonymity: seen.anonymity || place.anonymity != Anonymity::default(),
            ipv6: false,
        })
    }

    fn says_anything(self) -> bool {
        self.countries || self.anonymity
    }
}

/// What a database says of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "whoever decides must see that there may be no place")]
pub enum Located<'a> {
    /// Nothing.
    NoRecord,
    /// In a special-purpose block: not an address of the public internet.
    NotPublic,
    /// A place, or at least traits of the network.
    Place(&'a Place),
}

impl Database {
    /// The largest file [`from_mmdb`](Self::from_mmdb) takes, in bytes: 256 MiB. The largest public country and
    /// city databases have less than half of it.
    pub const MAX_MMDB_BYTES: usize = 256 << 20;

    /// Looks an address up. An IPv4-mapped IPv6 address is looked up as IPv4; the other forms that carry an IPv4
    /// address are not taken apart here, see [`Embargo`](crate::embargo::Embargo), which judges both.
    ///
    /// Allocates nothing; tens of nanoseconds.
    #[inline]
    pub fn locate(&self, ip: IpAddr) -> Located<'_> {
        self.located(self.inner.table.value(ip.to_canonical()))
    }

    /// The country the network is in, if the database says.
    #[inline]
    #[must_use]
    pub fn country(&self, ip: IpAddr) -> Option<CountryCode> {
        match self.locate(ip) {
            Located::Place(place) => place.country(),
            Located::NoRecord | Located::NotPublic => None,
        }
    }

    /// Source, day and digest.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.inner.snapshot
    }

    /// Whether it says in which country networks are. Anonymiser databases do not.
    #[must_use]
    pub fn knows_countries(&self) -> bool {
        self.inner.coverage.countries
    }

    /// Whether it says in which part of a country networks are. The embedded table does not.
    #[must_use]
    pub fn knows_subdivisions(&self) -> bool {
        self.inner.coverage.subdivisions
    }

    /// Whether it says which networks hide their users (VPN, proxy, Tor).
    #[must_use]
    pub fn knows_anonymity(&self) -> bool {
        self.inner.coverage.anonymity
    }

    /// Whether it says of any IPv6 network in which country it is. Networks that only carry IPv4 (6to4, Teredo) do not count.
    #[must_use]
    pub fn knows_ipv6(&self) -> bool {
        self.inner.coverage.ipv6
    }

    /// Resident size of the table in bytes, holes and all places included.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.inner.table.bytes().saturating_add(size_of_val(self.inner.places.as_slice()))
    }

    /// Every first address of a run of equal answers, IPv4 then IPv6. For tests that compare the table with the
    /// file it came from.
    pub fn boundaries(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.inner.table.runs_v4().into_iter().map(|(start, _)| IpAddr::from(start.to_be_bytes()));
        let v6 = self.inner.table.runs_v6().into_iter().map(|(start, _)| IpAddr::from(start.to_be_bytes()));
        v4.chain(v6)
    }

    fn build(
        (v4, v6): (&[Run<u32>], &[Run<u128>]),
        places: Places,
        snapshot: Snapshot,
    ) -> Result<Self, DatabaseError> {
        if !Coverage::of(&places.list).says_anything() {
            return Err(DatabaseErrorKind::Schema.into());
        }
        let (v4, v6) = (without_special_v4(v4), without_special_v6(v6));
        // What a file says of special-purpose blocks only, it says of nobody.
        let values: HashSet<u16> =
            v4.iter().map(|(_, value)| *value).chain(v6.iter().map(|(_, value)| *value)).collect();
        let present = (FIRST_PLACE..)
            .zip(&places.list)
            .filter(|(value, _)| u16::try_from(*value).is_ok_and(|value| values.contains(&value)));
        let in_country = |value: u16| {
            let place = usize::from(value).checked_sub(FIRST_PLACE).and_then(|index| places.list.get(index));
            place.is_some_and(|place| place.country.is_some())
        };
        let ipv6 = v6.iter().any(|(start, value)| is_ipv6_client(*start) && in_country(*value));
        let coverage = Coverage { ipv6, ..Coverage::of(present.map(|(_, place)| place)) };
        if !coverage.says_anything() {
            return Err(DatabaseErrorKind::Empty.into());
        }
        let table = Arc::new(Table::new(&v4, &v6));
        Ok(Self { inner: Arc::new(Inner { table, places: places.list, snapshot, coverage }) })
    }

    pub(crate) fn table(&self) -> &Arc<Table> {
        &self.inner.table
    }

    /// How many values the table has: places, no record and not public.
    pub(crate) fn values(&self) -> u16 {
        u16::try_from(self.inner.places.len().saturating_add(FIRST_PLACE)).unwrap_or(u16::MAX)
    }

    pub(crate) fn located(&self, value: u16) -> Located<'_> {
        match value {
            NO_RECORD => Located::NoRecord,
            NOT_PUBLIC => Located::NotPublic,
            value => self.place(value).map_or(Located::NoRecord, Located::Place),
        }
    }

    fn place(&self, value: u16) -> Option<&Place> {
        self.inner.places.get(usize::from(value).checked_sub(FIRST_PLACE)?)
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.inner.snapshot)
    }
}

/// In global unicast space, and not a form of an IPv4 address.
fn is_ipv6_client(bits: u128) -> bool {
    bits >> 125 == 1 && embedded_ipv4(bits.into()).next().is_none()
}

/// The value of the first place.
const FIRST_PLACE: usize = 2;

/// Gives every distinct place a value.
#[derive(Debug, Default)]
struct Places {
    list: Vec<Place>,
    values: HashMap<Place, u16>,
}

impl Places {
    fn value(&mut self, place: Place) -> Result<u16, DatabaseError> {
        if place == Place::default() {
            return Ok(NO_RECORD);
        }
        if let Some(value) = self.values.get(&place) {
            return Ok(*value);
        }
        let value = u16::try_from(self.list.len().saturating_add(FIRST_PLACE))
            .ok()
            .filter(|value| *value <= MAX_VALUE)
            .ok_or(DatabaseErrorKind::TooManyPlaces { limit: usize::from(MAX_VALUE) })?;
        self.list.push(place);
        self.values.insert(place, value);
        Ok(value)
    }
}
