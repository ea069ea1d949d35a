//! MaxMind DB files, read into memory and checked whole before the first look-up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::Read;
use std::net::IpAddr;

use compliance_core::clock::Timestamp;
use compliance_core::country::{CountryCode, SubdivisionCode};
use compliance_core::snapshot::Snapshot;
use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::runs::{NO_RECORD, RunBuilder};
use super::{Anonymity, Database, DatabaseError, DatabaseErrorKind, Place, Places};

const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Text bytes decoded in the time of one more value.
const TEXT_PER_VALUE: usize = 64;
/// Values decoded per byte of file before it counts as hostile. Real databases need less than five: records are
/// small, and what they share (names, continents) is decoded once per record.
const VALUES_PER_BYTE: usize = 16;

impl Database {
    /// Reads a MaxMind DB file: Country, City, Enterprise, Anonymous-IP, Anonymous-Plus, or flat files with
    /// `country_code`. `source` names it in findings.
    ///
    /// Opening is not validation: the search tree is walked to every end and every record decoded before
    /// anything is answered, so that a damaged file is refused here instead of failing, or lying, later. Time and
    /// memory are bounded by the file's size. Countries, also those of registration and representation, are two letters in
    /// either case; those that are no country of ISO 3166-1 (`EU`, `AP`, `ZZ`), an empty text and `-` count as none. Any
    /// other text is `database.schema`: three letters may be a country that would be missed.
    ///
    /// ```no_run
    /// use compliance_geo::database::Database;
    ///
    /// let bytes = std::fs::read("GeoLite2-Country.mmdb").unwrap();
    /// let database = Database::from_mmdb(bytes, "GeoLite2-Country")?;
    /// # Ok::<(), compliance_geo::database::DatabaseError>(())
    /// ```
    ///
    /// # Errors
    /// [`DatabaseError`]: `database.too_large` over [`MAX_MMDB_BYTES`](Self::MAX_MMDB_BYTES), `database.format`,
    /// `database.structure`, `database.schema`, `database.empty`, `database.too_many_places`.
    pub fn from_mmdb(
        bytes: impl Into<Vec<u8>>,
        source: impl Into<Cow<'static, str>>,
    ) -> Result<Self, DatabaseError> {
        let bytes = bytes.into();
        let (limit, found) = (Self::MAX_MMDB_BYTES, bytes.len());
        if found > limit {
            return Err(DatabaseErrorKind::TooLarge { limit, found }.into());
        }
        load(bytes, source.into())
    }

    /// As [`from_mmdb`](Self::from_mmdb), from a reader, of which at most
    /// [`MAX_MMDB_BYTES`](Self::MAX_MMDB_BYTES) and one more are read.
    ///
    /// # Errors
    /// As [`from_mmdb`](Self::from_mmdb), and `database.io`.
    pub fn read_mmdb(reader: impl Read, source: impl Into<Cow<'static, str>>) -> Result<Self, DatabaseError> {
        let limit = u64::try_from(Self::MAX_MMDB_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        match reader.take(limit).read_to_end(&mut bytes) {
            Ok(_) => Self::from_mmdb(bytes, source),
            Err(error) => Err(DatabaseErrorKind::Io { kind: error.kind() }.into()),
        }
    }
}

fn load(bytes: Vec<u8>, source: Cow<'static, str>) -> Result<Database, DatabaseError> {
    let reader = open(&bytes)?;
    let mut networks = Networks::of(bytes.len());
    // Networks without data count too, so that a tree of nothing but dead ends is bounded as well.
    let options = WithinOptions::default().include_networks_without_data();
    let mut empty = true;
    for found in reader.networks(options).map_err(structure)? {
        let found = found.map_err(structure)?;
        let Some(offset) = found.offset() else { continue };
        empty = false;
        let value = networks.value(offset, || found.decode().map_err(structure)?.ok_or_else(damaged))?;
        let network = found.network().map_err(structure)?;
        networks.push(network.ip(), network.prefix(), value)?;
    }
    if empty {
        return Err(DatabaseErrorKind::Empty.into());
    }
    let built = i64::try_from(reader.metadata().build_epoch).unwrap_or(i64::MAX);
    let as_of = Timestamp::from_unix_seconds(built).date();
    let snapshot = Snapshot::of(source, as_of, &bytes, networks.count);
    let (v4, v6) = (networks.v4.finish(), networks.v6.finish());
    Database::build((&v4, &v6), networks.places, snapshot)
}

/// Opens and verifies the search tree and all data it leads to.
fn open(bytes: &[u8]) -> Result<Reader<Cow<'_, [u8]>>, DatabaseError> {
    let format = |_| DatabaseError::from(DatabaseErrorKind::Format { expected: "MaxMind DB" });
    let reader = Reader::from_source(Cow::Borrowed(bytes)).map_err(format)?;
    let metadata = reader.metadata();
    if metadata.description.is_empty() || metadata.database_type.is_empty() {
        // The verifier insists on texts for people, which common flat files leave out. It looks at a copy that
        // has them, so that what matters is verified in full.
        let verified = Reader::from_source(with_description(bytes, metadata)).map_err(format)?;
        verified.verify().map_err(structure)?;
    } else {
        reader.verify().map_err(structure)?;
    }
    Ok(reader)
}

fn with_description(bytes: &[u8], metadata: &maxminddb::Metadata) -> Vec<u8> {
    let end = bytes.windows(MARKER.len()).rposition(|window| window == MARKER).unwrap_or(bytes.len());
    let mut copy: Vec<u8> = bytes.iter().take(end).copied().collect();
    copy.extend(MARKER);
    // The control byte's high three bits are the type (2 text, 5 u16, 6 u32, 7 map; 0 extended: the next byte
    // is 2 for u64, 4 for a list), the low five the length.
    let text = |copy: &mut Vec<u8>, text: &str| {
        copy.push(0b010_00000 | u8::try_from(text.len()).unwrap_or(0) & 0b1_1111);
        copy.extend(text.bytes());
    };
    copy.push(0b111_00000 | 9);
    text(&mut copy, "binary_format_major_version");
    copy.extend([0b101_00010, 0, 2]);
    text(&mut copy, "binary_format_minor_version");
    copy.extend([0b101_00010, 0, 0]);
    text(&mut copy, "build_epoch");
    copy.extend([0b000_01000, 2]);
    copy.extend(metadata.build_epoch.to_be_bytes());
    text(&mut copy, "database_type");
    text(&mut copy, "country");
    text(&mut copy, "description");
    copy.push(0b111_00001);
    text(&mut copy, "en");
    text(&mut copy, "country");
    text(&mut copy, "ip_version");
    copy.push(0b101_00010);
    copy.extend(metadata.ip_version.to_be_bytes());
    text(&mut copy, "languages");
    copy.extend([0b000_00000, 4]);
    text(&mut copy, "node_count");
    copy.push(0b110_00100);
    copy.extend(metadata.node_count.to_be_bytes());
    text(&mut copy, "record_size");
    copy.push(0b101_00010);
    copy.extend(metadata.record_size.to_be_bytes());
    copy
}

fn structure(_: maxminddb::MaxMindDbError) -> DatabaseError {
    damaged()
}

fn damaged() -> DatabaseError {
    DatabaseErrorKind::Structure.into()
}

/// What has been read so far.
struct Networks {
    v4: RunBuilder<u32>,
    v6: RunBuilder<u128>,
    places: Places,
    by_offset: HashMap<usize, u16>,
    count: u64,
    // Values that may still be decoded.
    budget: usize,
}

impl Networks {
    fn of(file_len: usize) -> Self {
        Self {
            v4: RunBuilder::new(),
            v6: RunBuilder::new(),
            places: Places::default(),
            by_offset: HashMap::new(),
            count: 0,
            budget: file_len.saturating_mul(VALUES_PER_BYTE),
        }
    }

    fn value<'de>(
        &mut self,
        offset: usize,
        decode: impl FnOnce() -> Result<Value<'de>, DatabaseError>,
    ) -> Result<u16, DatabaseError> {
        if let Some(value) = self.by_offset.get(&offset) {
            return Ok(*value);
        }
        let record = decode()?;
        self.budget = self.budget.checked_sub(record.count()).ok_or_else(damaged)?;
        let value = self.places.value(record.place()?)?;
        self.by_offset.insert(offset, value);
        Ok(value)
    }

    fn push(&mut self, ip: IpAddr, prefix_len: u8, value: u16) -> Result<(), DatabaseError> {
        if value == NO_RECORD {
            return Ok(());
        }
        self.count = self.count.saturating_add(1);
        let len = u32::from(prefix_len);
        match ip {
            IpAddr::V4(ip) => {
                let last = ip.to_bits() | u32::MAX.checked_shr(len).unwrap_or(0);
                self.v4.push(ip.to_bits(), last, value).map_err(|_| damaged())
            }
            IpAddr::V6(ip) => {
                // A file without an IPv4 tree of its own: one record above it answers for all of IPv4.
                if ip.is_unspecified() && len <= 96 {
                    self.v4.push(0, u32::MAX, value).map_err(|_| damaged())?;
                }
                let last = ip.to_bits() | u128::MAX.checked_shr(len).unwrap_or(0);
                self.v6.push(ip.to_bits(), last, value).map_err(|_| damaged())
            }
        }
    }
}

/// A decoded record, as far as we look at it.
enum Value<'de> {
    Bool(bool),
    Count(u16),
    List(Vec<Value<'de>>),
    Map(Vec<(&'de str, Value<'de>)>),
    Other,
    Text(&'de str),
}

impl Value<'_> {
    fn count(&self) -> usize {
        match self {
            Self::List(list) => list.iter().map(Self::count).fold(1, usize::saturating_add),
            Self::Map(map) => {
                let entries =
                    map.iter().map(|(key, value)| value.count().saturating_add(key.len() / TEXT_PER_VALUE));
                entries.fold(1, usize::saturating_add)
            }
            // Their encoding is checked byte by byte.
            Self::Text(text) => (text.len() / TEXT_PER_VALUE).saturating_add(1),
            Self::Bool(_) | Self::Count(_) | Self::Other => 1,
        }
    }

    fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(map) => map.iter().find(|(key, _)| *key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The place a record speaks of.
    fn place(&self) -> Result<Place, DatabaseError> {
        let schema = || DatabaseError::from(DatabaseErrorKind::Schema);
        if !matches!(self, Self::Map(_)) {
            return Err(schema());
        }
        let text = |value: Option<&Self>| match value {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some((*text).to_owned())),
            Some(_) => Err(schema()),
        };
        // `country: {iso_code}`; a text there is a flat file of another vendor.
        let code = |name: &str| match self.field(name) {
            None => Ok(None),
            Some(map @ Value::Map(_)) => text(map.field("iso_code")),
            Some(other) => text(Some(other)),
        };
        let country = match code("country")? {
            Some(code) => Some(code),
            None => text(self.field("country_code"))?,
        };
        let country = country_of(country)?;
        let largest = match self.field("subdivisions") {
            None => None,
            Some(Value::List(list)) => match list.first() {
                None => None,
                Some(map @ Value::Map(_)) => text(map.field("iso_code"))?,
                Some(_) => return Err(schema()),
            },
            Some(_) => return Err(schema()),
        };
        let subdivision =
            country.zip(largest).and_then(|(country, part)| SubdivisionCode::from_parts(country, &part).ok());
        let registered_country =
            country_of(code("registered_country")?)?.filter(|code| country != Some(*code));
        let represented_country =
            country_of(code("represented_country")?)?.filter(|code| country != Some(*code));
        let anonymity = self.anonymity()?;
        Ok(Place { country, subdivision, registered_country, represented_country, anonymity })
    }

    /// The flags stand in the record itself (Anonymous-IP, Anonymous-Plus) or under `traits` (Enterprise).
    fn anonymity(&self) -> Result<Anonymity, DatabaseError> {
        let traits = self.field("traits");
        let schema = || DatabaseError::from(DatabaseErrorKind::Schema);
        let field = |name: &str| self.field(name).or_else(|| traits.and_then(|traits| traits.field(name)));
        let flag = |name: &str| match field(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(schema()),
        };
        let confidence = match field("anonymizer_confidence") {
            None => None,
            Some(Value::Count(percent)) => {
                Some(u8::try_from(*percent).ok().filter(|percent| *percent <= 100).ok_or_else(schema)?)
            }
            Some(_) => return Err(schema()),
        };
        Ok(Anonymity {
            // Older files know the second name only.
            anonymous: flag("is_anonymous")? || flag("is_anonymous_proxy")?,
            confidence,
            hosting_provider: flag("is_hosting_provider")?,
            public_proxy: flag("is_public_proxy")?,
            residential_proxy: flag("is_residential_proxy")?,
            tor_exit_node: flag("is_tor_exit_node")?,
            vpn: flag("is_anonymous_vpn")?,
        })
    }
}

/// A country by its code: none for a text that says nothing, or for two letters that are no country's. Anything else may
/// be a country that we do not see.
fn country_of(code: Option<String>) -> Result<Option<CountryCode>, DatabaseError> {
    let Some(code) = code.filter(|code| !matches!(code.as_str(), "" | "-")) else { return Ok(None) };
    if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(DatabaseErrorKind::Schema.into());
    }
    Ok(CountryCode::parse(&code.to_ascii_uppercase()).ok())
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

macro_rules! other {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Value<'de>, E> {
            Ok(Value::Other)
        })*
    };
}

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a MaxMind DB record")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(text))
    }

    fn visit_u16<E>(self, count: u16) -> Result<Value<'de>, E> {
        Ok(Value::Count(count))
    }

    other!(visit_borrowed_bytes: &'de [u8], visit_bytes: &[u8], visit_f32: f32, visit_f64: f64, visit_i32: i32,
        visit_i64: i64, visit_u32: u32, visit_u64: u64, visit_u128: u128);

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}
