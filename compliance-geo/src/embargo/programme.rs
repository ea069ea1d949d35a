//! Embargo programmes as dated data.

use compliance_core::clock::{Date, Timestamp};
use compliance_core::country::{CountryCode, SubdivisionCode};
use serde::Deserialize;

use super::region;
use crate::database::Place;

/// Who runs a programme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Authority {
    /// US Department of Commerce, Bureau of Industry and Security: the EAR.
    Bis,
    /// Council of the European Union.
    Eu,
    /// US Department of the Treasury, Office of Foreign Assets Control.
    Ofac,
    /// The operator itself: a rule of the house or of a contract.
    Own,
    /// His Majesty's Government.
    Uk,
    /// United Nations Security Council.
    Un,
}

/// What kind of programme it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ProgrammeKind {
    /// Nearly every dealing with the place is banned.
    Comprehensive,
    /// Exports of goods, software and technology.
    Export,
    /// A part of a country.
    Regional,
    /// Goods, sectors and persons, short of a general ban.
    Sectoral,
}

/// What being in a programme's scope means for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where an embargo fails open")]
pub enum Effect {
    /// Refused.
    Embargo,
    /// A person has to look.
    Review,
}

/// How much of a place a programme covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where an embargo fails open")]
pub enum Extent {
    /// Some of it; an address cannot tell which, so it is a review at most.
    Part,
    /// All of it.
    #[default]
    Whole,
}

/// A place that a programme covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    pub(super) country: CountryCode,
    pub(super) subdivision: Option<SubdivisionCode>,
    pub(super) extent: Extent,
}

impl Scope {
    /// The country.
    #[must_use]
    pub fn country(&self) -> CountryCode {
        self.country
    }

    /// The part of the country, if not all of it.
    #[must_use]
    pub fn subdivision(&self) -> Option<SubdivisionCode> {
        self.subdivision
    }

    /// How much of the place.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.extent
    }
}

/// One embargo programme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programme {
    pub(super) id: Box<str>,
    pub(super) authority: Authority,
    pub(super) title: Box<str>,
    pub(super) legal_basis: Box<str>,
    pub(super) kind: ProgrammeKind,
    pub(super) effect: Effect,
    pub(super) effective_from: Date,
    pub(super) effective_to: Option<Date>,
    pub(super) scope: Vec<Scope>,
    pub(super) registered_in: Vec<CountryCode>,
    pub(super) blocking_statute: Option<Box<str>>,
    pub(super) needs_legal_review: Option<Box<str>>,
}

impl Programme {
    /// The day of the lists, from ISO 3166-2, by which a part of Ukraine or Russia counts as known. Any other code is as good
    /// as none: it may stand for an occupied region. Of other countries any code counts as known.
    pub const REGIONS_AS_OF: &'static str = region::AS_OF;

    /// The id, such as `ofac.cuba`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who runs it.
    #[must_use]
    pub fn authority(&self) -> Authority {
        self.authority
    }

    /// Its name.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The law it rests on.
    #[must_use]
    pub fn legal_basis(&self) -> &str {
        &self.legal_basis
    }

    /// What kind it is.
    #[must_use]
    pub fn kind(&self) -> ProgrammeKind {
        self.kind
    }

    /// What it means for a request.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The first day on which it applies.
    #[must_use]
    pub fn effective_from(&self) -> Date {
        self.effective_from
    }

    /// The first day on which it no longer applies, if it ended.
    #[must_use]
    pub fn effective_to(&self) -> Option<Date> {
        self.effective_to
    }

    /// The places it covers.
    #[must_use]
    pub fn scope(&self) -> &[Scope] {
        &self.scope
    }

    /// Countries in whose registries networks of the region may be, because they were re-registered under
    /// occupation.
    #[must_use]
    pub fn networks_may_be_registered_in(&self) -> &[CountryCode] {
        &self.registered_in
    }

    /// The law of other states that forbids their operators to comply, if there is any.
    #[must_use]
    pub fn blocking_statute(&self) -> Option<&str> {
        self.blocking_statute.as_deref()
    }

    /// What a lawyer has to decide or verify before the entry is relied on.
    #[must_use]
    pub fn needs_legal_review(&self) -> Option<&str> {
        self.needs_legal_review.as_deref()
    }

    /// Whether it is in force: from [`effective_from`](Self::effective_from) up to, not including,
    /// [`effective_to`](Self::effective_to), in UTC.
    #[must_use]
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.effective_from.start() <= now && self.effective_to.is_none_or(|end| now < end.start())
    }

    /// What it says of a place.
    pub(super) fn touches(&self, place: &Place) -> Option<Touch> {
        let country = place.country()?;
        let mut strictest = None;
        for scope in self.scope.iter().filter(|scope| scope.country == country) {
            let touch = match (scope.subdivision, place.subdivision()) {
                (None, _) => Touch::Country(scope.extent),
                (Some(covered), Some(found)) if covered == found => Touch::Region(scope.extent),
                (Some(_), Some(found)) if region::is_known(found) => continue,
                (Some(_), _) => Touch::RegionUnknown,
            };
            strictest = strictest.max(Some(touch));
        }
        let region_known = place.subdivision().is_some_and(region::is_known);
        let registered = !region_known && self.registered_in.contains(&country);
        strictest.max(registered.then_some(Touch::RegionUnknown))
    }

    /// Whether it has anything to do with a place: covers it, or the country it is registered in or represents.
    pub(super) fn concerns(&self, place: &Place) -> bool {
        let others = [place.registered_country(), place.represented_country()];
        self.touches(place).is_some()
            || others.into_iter().flatten().any(|country| self.covers_country(country))
    }

    /// Whether it covers all of a country.
    pub(super) fn covers_country(&self, country: CountryCode) -> bool {
        self.scope.iter().any(|scope| {
            scope.country == country && scope.subdivision.is_none() && scope.extent == Extent::Whole
        })
    }
}

/// In what way a place is in a programme's scope; later is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touch {
    RegionUnknown,
    Region(Extent),
    Country(Extent),
}

impl PartialOrd for Extent {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Extent {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        matches!(self, Self::Whole).cmp(&matches!(other, Self::Whole))
    }
}
