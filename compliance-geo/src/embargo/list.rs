//! Dated lists of programmes, in TOML.

use std::str::FromStr;

use compliance_core::clock::Date;
use compliance_core::country::{CountryCode, SubdivisionCode};
use compliance_core::snapshot::Snapshot;
use serde::Deserialize;

use super::programme::{Authority, Effect, Extent, Programme, ProgrammeKind, Scope};

static EMBEDDED: &str = include_str!("../../data/programmes.toml");

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
