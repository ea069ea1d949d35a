//! Networks of which it is known where they are.

use std::net::IpAddr;

use compliance_core::country::{CountryCode, SubdivisionCode};

use super::ReloadErrorKind;
use crate::database::{Database, Located};
use crate::embargo::{Effect, Extent, Programme};

/// Networks that every database must place where they are known to be: a file that misplaces one was built, or
/// changed, wrongly.
///
/// A database that knows no countries is not asked; one that knows no subdivisions is not asked for regions, and one that
/// knows no IPv6 networks ([`Database::knows_ipv6`]) not for those: it reviews every IPv6 client. A successor may not lose
/// any of the three.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canaries {
    known: Vec<Canary>,
    regions: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Canary {
    ip: IpAddr,
    country: CountryCode,
    region: Option<SubdivisionCode>,
}

/// Addresses of state and incumbent operators, unmoved for years; see `tests/reload.rs` for the check against the
/// embedded table.
const KNOWN: [(&str, &[&str]); 7] = [
    ("CU", &["152.206.0.1", "200.55.128.1"]),
    ("IR", &["2.144.0.1", "5.22.4.4"]),
    ("KP", &["175.45.176.1", "175.45.178.2"]),
    ("SY", &["5.0.0.1", "82.137.192.1"]),
    // Two /32 of LACNIC's 2001:1200::/23.
    ("CU", &["2001:1340::1", "2001:1358::1"]),
    // Of RIPE NCC's 2001:4000::/23, its second block, and a /29 of its 2a00::/12, as it allocates today.
    ("IR", &["2001:4188::1", "2a06:db80::1"]),
    // The one Syrian allocation that is announced: of RIPE NCC's 2a10::/12. North Korea has none.
    ("SY", &["2a14:6540::1"]),
];

impl Canary {
    /// Whether a database speaks of networks of this kind at all.
    fn asks(&self, database: &Database) -> bool {
        self.ip.to_canonical().is_ipv4() || database.knows_ipv6()
    }
}

impl Canaries {
    /// Two IPv4 networks each of Cuba, Iran, North Korea and Syria, of their state or incumbent operators; two IPv6 networks
    /// each of Cuba and Iran, one of Syria.
    #[must_use]
    pub fn embedded() -> Self {
        let known = KNOWN.into_iter().flat_map(|(country, ips)| ips.iter().map(move |ip| (ip, country)));
        // The list is constant; `tests/reload.rs` says that no entry is lost here.
        Self::new(
            known.filter_map(|(ip, country)| Some((ip.parse().ok()?, CountryCode::parse(country).ok()?))),
        )
    }

    /// Only these.
    #[must_use]
    pub fn new(known: impl IntoIterator<Item = (IpAddr, CountryCode)>) -> Self {
        let known = known.into_iter().map(|(ip, country)| Canary { ip, country, region: None }).collect();
        Self { known, regions: true }
    }

    /// Adds a network of a country.
    #[must_use]
    pub fn with(mut self, ip: IpAddr, country: CountryCode) -> Self {
        self.known.push(Canary { ip, country, region: None });
        self
    }

    /// Adds a network of a region.
    #[must_use]
    pub fn with_region(mut self, ip: IpAddr, region: SubdivisionCode) -> Self {
        self.known.push(Canary { ip, country: region.country(), region: Some(region) });
        self
    }

    /// Does without a canary for each embargoed region. Default: where a database knows subdivisions, every region that a
    /// chosen programme embargoes as a whole needs one, as every country does.
    ///
    /// # Security
    /// A successor that still has subdivisions but has lost those of Crimea is taken then.
    #[must_use]
    pub fn without_regions(mut self) -> Self {
        self.regions = false;
        self
    }

    pub(super) fn check(&self, database: &Database) -> Result<(), ReloadErrorKind> {
        if !database.knows_countries() {
            return Ok(());
        }
        for canary in self.known.iter().filter(|canary| canary.asks(database)) {
            let place = match database.locate(canary.ip) {
                Located::Place(place) => Some(place),
                Located::NoRecord | Located::NotPublic => None,
            };
            let country_ok = place.and_then(|place| place.country()) == Some(canary.country);
            let region_ok = canary.region.is_none()
                || !database.knows_subdivisions()
                || place.and_then(|place| place.subdivision()) == canary.region;
            if !(country_ok && region_ok) {
                return Err(ReloadErrorKind::Canary { country: canary.country });
            }
        }
        Ok(())
    }

    /// Every place that is embargoed as a whole, at whatever time, has one.
    pub(super) fn check_cover(
        &self,
        programmes: &[Programme],
        databases: &[Database],
    ) -> Result<(), ReloadErrorKind> {
        let regions = self.regions && databases.iter().any(Database::knows_subdivisions);
        let embargoing = programmes.iter().filter(|programme| programme.effect() == Effect::Embargo);
        for scope in embargoing.flat_map(Programme::scope).filter(|scope| scope.extent() == Extent::Whole) {
            let (country, region) = (scope.country(), scope.subdivision());
            let asked = region.is_none() || regions;
            let is_canary =
                |canary: &Canary| canary.country == country && (region.is_none() || canary.region == region);
            let is_canary =
                |canary: &Canary| is_canary(canary) && databases.iter().any(|database| canary.asks(database));
            if asked && !self.known.iter().any(is_canary) {
                return Err(ReloadErrorKind::NoCanary { country, region });
            }
        }
        Ok(())
    }
}
