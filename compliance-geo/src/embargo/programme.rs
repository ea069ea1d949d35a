//! Embargo programmes as dated data.

use std::str::FromStr;

use compliance_core::clock::{Date, Timestamp};
use compliance_core::country::{CountryCode, SubdivisionCode};
use compliance_core::snapshot::Snapshot;
use serde::Deserialize;

use crate::database::Place;

static EMBEDDED: &str = include_str!("../../data/programmes.toml");

/// Whose programmes apply. Nobody but the operator can say: there is no default.
///
/// `FromStr` takes `us`, `eu`, `uk`, `un` and `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever offers the choice must offer each")]
pub enum Policy {
    /// Every programme in the list.
    All,
    /// European Union. Member states' own measures are not in the list.
    Eu,
    /// United Kingdom.
    Uk,
    /// United Nations Security Council. Binds states; companies are bound by the law that implements it.
    Un,
    /// United States: OFAC and BIS.
    Us,
}

impl Policy {
    /// `all`, `eu`, `uk`, `un` or `us`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Eu => "eu",
            Self::Uk => "uk",
            Self::Un => "un",
            Self::Us => "us",
        }
    }

    /// Whether it includes an authority. The operator's own programmes are in every policy.
    #[must_use]
    pub const fn includes(self, authority: Authority) -> bool {
        match authority {
            Authority::Own => true,
            Authority::Bis | Authority::Ofac => matches!(self, Self::All | Self::Us),
            Authority::Eu => matches!(self, Self::All | Self::Eu),
            Authority::Uk => matches!(self, Self::All | Self::Uk),
            Authority::Un => matches!(self, Self::All | Self::Un),
        }
    }
}

/// Not the name of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a policy: one of `all`, `eu`, `uk`, `un`, `us`")]
pub struct UnknownPolicy(());

impl UnknownPolicy {
    /// `embargo.unknown_policy`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "embargo.unknown_policy"
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let all = [Self::All, Self::Eu, Self::Uk, Self::Un, Self::Us];
        all.into_iter().find(|policy| policy.as_str() == text).ok_or(UnknownPolicy(()))
    }
}

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
    country: CountryCode,
    subdivision: Option<SubdivisionCode>,
    extent: Extent,
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
    id: Box<str>,
    authority: Authority,
    title: Box<str>,
    legal_basis: Box<str>,
    kind: ProgrammeKind,
    effect: Effect,
    effective_from: Date,
    effective_to: Option<Date>,
    scope: Vec<Scope>,
    registered_in: Vec<CountryCode>,
    blocking_statute: Option<Box<str>>,
    needs_legal_review: Option<Box<str>>,
}

impl Programme {
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
                (Some(_), Some(_)) => continue,
                (Some(_), None) => Touch::RegionUnknown,
            };
            strictest = strictest.max(Some(touch));
        }
        let registered = place.subdivision().is_none() && self.registered_in.contains(&country);
        strictest.max(registered.then_some(Touch::RegionUnknown))
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

/// A dated list of programmes.
///
/// ```
/// use compliance_geo::embargo::ProgrammeList;
///
/// let own = r#"
///     version = "2026-11-01"
///     [[programme]]
///     id = "own.no_mars_customers"
///     authority = "own"
///     title = "Contract with Example Ltd: not in Belarus"
///     legal_basis = "contract 4711"
///     kind = "comprehensive"
///     effect = "embargo"
///     effective_from = "2026-01-01"
///     scope = [{ country = "BY" }]
/// "#;
/// let (list, overridden) = ProgrammeList::embedded()?.with(ProgrammeList::parse(own)?);
/// assert!(overridden.is_empty());
/// assert!(list.programme("own.no_mars_customers").is_some());
/// assert_eq!(ProgrammeList::parse("version = 1").unwrap_err().code(), "embargo.list_syntax");
/// # Ok::<(), compliance_geo::embargo::ProgrammeListError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgrammeList {
    programmes: Vec<Programme>,
    snapshots: Vec<Snapshot>,
}

impl ProgrammeList {
    /// The longest text of an entry, in bytes.
    pub const MAX_TEXT_LEN: usize = 400;
    /// The most entries of a list.
    pub const MAX_PROGRAMMES: usize = 1000;

    /// The list compiled into the crate, `data/programmes.toml`.
    ///
    /// # Errors
    /// None while the crate's own data file is whole.
    pub fn embedded() -> Result<Self, ProgrammeListError> {
        Self::read(EMBEDDED, "compliance-geo programmes")
    }

    /// Reads a list in TOML, in the form of the crate's `data/programmes.toml`: `version` (the day of the list) and
    /// one `[[programme]]` for each. Unknown fields are refused.
    ///
    /// # Errors
    /// [`ProgrammeListError`]: `embargo.list_syntax`, `embargo.list_empty`, `embargo.list_too_long`,
    /// `embargo.list_entry` for one that contradicts itself.
    pub fn parse(text: &str) -> Result<Self, ProgrammeListError> {
        Self::read(text, "operator's programmes")
    }

    fn read(text: &str, source: &'static str) -> Result<Self, ProgrammeListError> {
        let raw: RawList = toml::from_str(text).map_err(|error| ProgrammeListError::Syntax {
            position: error.span().map_or(0, |span| span.start),
        })?;
        let limit = Self::MAX_PROGRAMMES;
        if raw.programme.len() > limit {
            return Err(ProgrammeListError::TooLong { found: raw.programme.len(), limit });
        }
        let mut programmes: Vec<Programme> = Vec::with_capacity(raw.programme.len());
        for (position, raw) in raw.programme.into_iter().enumerate() {
            let programme = raw.check().ok_or(ProgrammeListError::Entry { position })?;
            if programmes.iter().any(|other| other.id == programme.id) {
                return Err(ProgrammeListError::Entry { position });
            }
            programmes.push(programme);
        }
        if programmes.is_empty() {
            return Err(ProgrammeListError::Empty);
        }
        let entries = u64::try_from(programmes.len()).unwrap_or(u64::MAX);
        let snapshots = vec![Snapshot::of(source, raw.version, text.as_bytes(), entries)];
        Ok(Self { programmes, snapshots })
    }

    /// Adds another list, whose entries take the place of those with the same id. Answers the ids that were
    /// overridden: whoever loads a list should show them.
    #[must_use]
    pub fn with(mut self, other: Self) -> (Self, Vec<Box<str>>) {
        let mut overridden = Vec::new();
        for programme in other.programmes {
            match self.programmes.iter_mut().find(|ours| ours.id == programme.id) {
                Some(ours) => {
                    overridden.push(ours.id.clone());
                    *ours = programme;
                }
                None => self.programmes.push(programme),
            }
        }
        self.snapshots.extend(other.snapshots);
        (self, overridden)
    }

    /// The entries.
    #[must_use]
    pub fn programmes(&self) -> &[Programme] {
        &self.programmes
    }

    /// The entry with this id.
    #[must_use]
    pub fn programme(&self, id: &str) -> Option<&Programme> {
        self.programmes.iter().find(|programme| *programme.id == *id)
    }

    /// Day and digest of each list it was made from.
    #[must_use]
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    pub(super) fn into_parts(self) -> (Vec<Programme>, Vec<Snapshot>) {
        (self.programmes, self.snapshots)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawList {
    #[serde(deserialize_with = "parsed")]
    version: Date,
    #[serde(default)]
    programme: Vec<RawProgramme>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProgramme {
    id: Box<str>,
    authority: Authority,
    title: Box<str>,
    legal_basis: Box<str>,
    kind: ProgrammeKind,
    effect: Effect,
    #[serde(deserialize_with = "parsed")]
    effective_from: Date,
    #[serde(default, deserialize_with = "parsed_option")]
    effective_to: Option<Date>,
    scope: Vec<RawScope>,
    #[serde(default)]
    networks_may_be_registered_in: Vec<Box<str>>,
    blocking_statute: Option<Box<str>>,
    needs_legal_review: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScope {
    #[serde(deserialize_with = "parsed")]
    country: CountryCode,
    #[serde(default, deserialize_with = "parsed_option")]
    subdivision: Option<SubdivisionCode>,
    #[serde(default)]
    extent: Extent,
}

impl RawProgramme {
    fn check(self) -> Option<Programme> {
        let texts = [&self.title, &self.legal_basis].into_iter();
        let texts = texts.chain(&self.blocking_statute).chain(&self.needs_legal_review);
        let texts_ok =
            texts.into_iter().all(|text| (1..=ProgrammeList::MAX_TEXT_LEN).contains(&text.trim().len()));
        let id_ok = compliance_core::class::dotted_code(&self.id) && self.id.len() <= 64;
        let dates_ok = self.effective_to.is_none_or(|end| self.effective_from < end);
        let scope_ok = !self.scope.is_empty()
            && self
                .scope
                .iter()
                .all(|scope| scope.subdivision.is_none_or(|part| part.country() == scope.country));
        if !(texts_ok && id_ok && dates_ok && scope_ok) {
            return None;
        }
        let registered_in = self.networks_may_be_registered_in.iter();
        Some(Programme {
            id: self.id,
            authority: self.authority,
            title: self.title,
            legal_basis: self.legal_basis,
            kind: self.kind,
            effect: self.effect,
            effective_from: self.effective_from,
            effective_to: self.effective_to,
            scope: self
                .scope
                .iter()
                .map(|raw| Scope { country: raw.country, subdivision: raw.subdivision, extent: raw.extent })
                .collect(),
            registered_in: registered_in.map(|code| CountryCode::parse(code).ok()).collect::<Option<_>>()?,
            blocking_statute: self.blocking_statute,
            needs_legal_review: self.needs_legal_review,
        })
    }
}

fn parsed<'de, T: FromStr, D: serde::Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = <Box<str>>::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("not of the expected form"))
}

fn parsed_option<'de, T: FromStr, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    parsed(deserializer).map(Some)
}

/// A list of programmes was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgrammeListError {
    /// No programme.
    #[error("programme list refused: it has no entries")]
    Empty,
    /// An entry that contradicts itself: an id that is taken or malformed, no scope, a part of another country, an
    /// end before its start, a text that is empty or longer than [`ProgrammeList::MAX_TEXT_LEN`].
    #[error("programme list refused: the entry at position {position} contradicts itself or its id is taken")]
    Entry {
        /// Its position, from 0.
        position: usize,
    },
    /// Not TOML of the expected form.
    #[error(
        "programme list refused: expected TOML with `version` and `[[programme]]`, error at byte {position}"
    )]
    Syntax {
        /// Where.
        position: usize,
    },
    /// Too many entries.
    #[error("programme list refused: it has {found} entries, at most {limit} are read")]
    TooLong {
        /// How many it has.
        found: usize,
        /// The limit.
        limit: usize,
    },
}

impl ProgrammeListError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "embargo.list_empty",
            Self::Entry { .. } => "embargo.list_entry",
            Self::Syntax { .. } => "embargo.list_syntax",
            Self::TooLong { .. } => "embargo.list_too_long",
        }
    }
}
