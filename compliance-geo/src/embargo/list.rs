//! Dated lists of programmes, in TOML.

use std::ops::Range;
use std::str::FromStr;

use compliance_core::clock::Date;
use compliance_core::country::{CountryCode, SubdivisionCode};
use compliance_core::snapshot::Snapshot;
use serde::Deserialize;
use toml::Spanned;

use super::programme::{Authority, Effect, Extent, Programme, ProgrammeKind, Scope};

static EMBEDDED: &str = include_str!("../../data/programmes.toml");
const EMBEDDED_SOURCE: &str = "compliance-geo programmes";

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
    /// The longest id, in bytes.
    pub const MAX_ID_LEN: usize = 64;
    /// The longest text of an entry, in bytes.
    pub const MAX_TEXT_LEN: usize = 400;
    /// The most entries of a list.
    pub const MAX_PROGRAMMES: usize = 1000;

    /// The list compiled into the crate, `data/programmes.toml`.
    ///
    /// # Errors
    /// None while the crate's own data file is whole.
    pub fn embedded() -> Result<Self, ProgrammeListError> {
        Self::read(EMBEDDED, EMBEDDED_SOURCE)
    }

    /// Whether a list is the one compiled into the crate. An operator's own has another source, always.
    pub(super) fn is_embedded(list: &Snapshot) -> bool {
        list.source() == EMBEDDED_SOURCE
    }

    /// Reads a list in TOML, in the form of the crate's `data/programmes.toml`: `version` (the day of the list) and
    /// one `[[programme]]` for each. Unknown fields are refused.
    ///
    /// # Errors
    /// [`ProgrammeListError`], with the line, the entry's id and the field: `embargo.list_syntax`,
    /// `embargo.list_entry`, `embargo.list_contradiction`, `embargo.list_duplicate`, `embargo.list_empty`,
    /// `embargo.list_too_long`.
    pub fn parse(text: &str) -> Result<Self, ProgrammeListError> {
        Self::read(text, "operator's programmes")
    }

    fn read(text: &str, source: &'static str) -> Result<Self, ProgrammeListError> {
        let raw: RawList = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            ProgrammeListError::Syntax { line: line(text, start), message: short(error.message()) }
        })?;
        let limit = Self::MAX_PROGRAMMES;
        if raw.programme.len() > limit {
            return Err(ProgrammeListError::TooLong { found: raw.programme.len(), limit });
        }
        let version = Entry { text, programme: None }.parsed("version", &raw.version, DAY)?;
        let mut programmes: Vec<Programme> = Vec::with_capacity(raw.programme.len());
        for raw in raw.programme {
            let start = raw.id.span().start;
            let programme = raw.check(text)?;
            if programmes.iter().any(|other| other.id == programme.id) {
                return Err(ProgrammeListError::Duplicate {
                    programme: programme.id,
                    line: line(text, start),
                });
            }
            programmes.push(programme);
        }
        if programmes.is_empty() {
            return Err(ProgrammeListError::Empty);
        }
        let entries = u64::try_from(programmes.len()).unwrap_or(u64::MAX);
        let snapshots = vec![Snapshot::of(source, version, text.as_bytes(), entries)];
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
    version: Text,
    #[serde(default)]
    programme: Vec<RawProgramme>,
}

/// A string, and where it is.
type Text = Spanned<Box<str>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProgramme {
    id: Text,
    authority: Authority,
    title: Text,
    legal_basis: Text,
    kind: ProgrammeKind,
    effect: Effect,
    effective_from: Text,
    effective_to: Option<Text>,
    scope: Spanned<Vec<RawScope>>,
    #[serde(default)]
    networks_may_be_registered_in: Vec<Text>,
    blocking_statute: Option<Text>,
    needs_legal_review: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScope {
    country: Text,
    subdivision: Option<Text>,
    #[serde(default)]
    extent: Extent,
}

const DAY: &str = "a day as YYYY-MM-DD";
const COUNTRY: &str = "an ISO 3166-1 alpha-2 code";
const SUBDIVISION: &str = "an ISO 3166-2 code";

impl RawProgramme {
    fn check(self, text: &str) -> Result<Programme, ProgrammeListError> {
        let id = self.id.get_ref();
        if !compliance_core::class::dotted_code(id) || id.len() > ProgrammeList::MAX_ID_LEN {
            let nameless = Entry { text, programme: None };
            return Err(nameless.malformed(
                "id",
                self.id.span(),
                "dotted lower-case words, at most 64 bytes",
            ));
        }
        let entry = Entry { text, programme: Some(id) };
        let effective_from: Date = entry.parsed("effective_from", &self.effective_from, DAY)?;
        let effective_to = entry.parsed_option("effective_to", self.effective_to.as_ref(), DAY)?;
        if let (Some(end), Some(raw)) = (effective_to, &self.effective_to)
            && end <= effective_from
        {
            return Err(entry.contradicts("effective_to", raw.span(), "a day after `effective_from`"));
        }
        if self.scope.get_ref().is_empty() {
            return Err(entry.malformed("scope", self.scope.span(), "at least one place"));
        }
        let scope = self.scope.get_ref().iter().map(|raw| raw.check(entry)).collect::<Result<_, _>>()?;
        let registered_in = self.networks_may_be_registered_in.iter();
        let registered_in = registered_in
            .map(|code| entry.parsed("networks_may_be_registered_in", code, COUNTRY))
            .collect::<Result<_, _>>()?;
        let texts = [("title", Some(&self.title)), ("legal_basis", Some(&self.legal_basis))];
        let statute = ("blocking_statute", self.blocking_statute.as_ref());
        let review = ("needs_legal_review", self.needs_legal_review.as_ref());
        for (field, found) in texts.into_iter().chain([statute, review]) {
            entry.some_text(field, found)?;
        }
        Ok(Programme {
            id: id.clone(),
            authority: self.authority,
            title: self.title.into_inner(),
            legal_basis: self.legal_basis.into_inner(),
            kind: self.kind,
            effect: self.effect,
            effective_from,
            effective_to,
            scope,
            registered_in,
            blocking_statute: self.blocking_statute.map(Spanned::into_inner),
            needs_legal_review: self.needs_legal_review.map(Spanned::into_inner),
        })
    }
}

impl RawScope {
    fn check(&self, entry: Entry<'_>) -> Result<Scope, ProgrammeListError> {
        let country: CountryCode = entry.parsed("country", &self.country, COUNTRY)?;
        let subdivision: Option<SubdivisionCode> =
            entry.parsed_option("subdivision", self.subdivision.as_ref(), SUBDIVISION)?;
        if let (Some(part), Some(raw)) = (subdivision, &self.subdivision)
            && part.country() != country
        {
            return Err(entry.contradicts("subdivision", raw.span(), "a part of the place's `country`"));
        }
        Ok(Scope { country, subdivision, extent: self.extent })
    }
}

/// The entry that is looked at, to name it in an error.
#[derive(Clone, Copy)]
struct Entry<'t> {
    text: &'t str,
    programme: Option<&'t str>,
}

impl Entry<'_> {
    fn parsed<T: FromStr>(
        self,
        field: &'static str,
        found: &Text,
        expected: &'static str,
    ) -> Result<T, ProgrammeListError> {
        found.get_ref().parse().map_err(|_| self.malformed(field, found.span(), expected))
    }

    fn parsed_option<T: FromStr>(
        self,
        field: &'static str,
        found: Option<&Text>,
        expected: &'static str,
    ) -> Result<Option<T>, ProgrammeListError> {
        found.map(|found| self.parsed(field, found, expected)).transpose()
    }

    fn some_text(self, field: &'static str, found: Option<&Text>) -> Result<(), ProgrammeListError> {
        let Some(found) = found else { return Ok(()) };
        if (1..=ProgrammeList::MAX_TEXT_LEN).contains(&found.get_ref().trim().len()) {
            return Ok(());
        }
        Err(self.malformed(field, found.span(), "1 to 400 bytes of text"))
    }

    fn malformed(self, field: &'static str, at: Range<usize>, expected: &'static str) -> ProgrammeListError {
        let programme = self.programme.map(Box::from);
        ProgrammeListError::Entry { programme, field, line: line(self.text, at.start), expected }
    }

    fn contradicts(
        self,
        field: &'static str,
        at: Range<usize>,
        expected: &'static str,
    ) -> ProgrammeListError {
        let programme = self.programme.map(Box::from).unwrap_or_default();
        ProgrammeListError::Contradiction { programme, field, line: line(self.text, at.start), expected }
    }
}

/// The line of a byte, from 1.
fn line(text: &str, position: usize) -> usize {
    let breaks = text.bytes().take(position).filter(|byte| *byte == b'\n').count();
    breaks.saturating_add(1)
}

/// The beginning of what the TOML reader says: it quotes values, and those can be long.
fn short(message: &str) -> Box<str> {
    let first = message.lines().next().unwrap_or_default();
    first.chars().take(ProgrammeListError::MAX_MESSAGE_CHARS).collect()
}

/// A list of programmes was refused. Lines are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgrammeListError {
    /// An entry that contradicts itself: an end that is not after its start, a part of another country.
    #[error("programme list refused: line {line}, `{field}` of `{programme}`: expected {expected}")]
    Contradiction {
        /// The entry's id.
        programme: Box<str>,
        /// The field.
        field: &'static str,
        /// Its line.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// Two entries with the same id.
    #[error("programme list refused: line {line}: the id `{programme}` is taken by an entry before")]
    Duplicate {
        /// The id.
        programme: Box<str>,
        /// The line of the second.
        line: usize,
    },
    /// No programme.
    #[error("programme list refused: it has no entries")]
    Empty,
    /// A field that is not of the expected form: no day, no country, no place, a text that is empty or longer than
    /// [`ProgrammeList::MAX_TEXT_LEN`].
    #[error("programme list refused: line {line}, `{field}`{}: expected {expected}", of(.programme.as_deref()))]
    Entry {
        /// The entry's id, if it has one.
        programme: Option<Box<str>>,
        /// The field.
        field: &'static str,
        /// Its line.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// Not TOML of the expected form: a field missing, unknown or of another type.
    #[error("programme list refused: line {line}: {message}")]
    Syntax {
        /// Where.
        line: usize,
        /// What the TOML reader says, at most [`MAX_MESSAGE_CHARS`](Self::MAX_MESSAGE_CHARS).
        message: Box<str>,
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

fn of(programme: Option<&str>) -> String {
    programme.map(|id| format!(" of `{id}`")).unwrap_or_default()
}

impl ProgrammeListError {
    /// The most that is kept of what the TOML reader says, in characters.
    pub const MAX_MESSAGE_CHARS: usize = 200;

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Contradiction { .. } => "embargo.list_contradiction",
            Self::Duplicate { .. } => "embargo.list_duplicate",
            Self::Empty => "embargo.list_empty",
            Self::Entry { .. } => "embargo.list_entry",
            Self::Syntax { .. } => "embargo.list_syntax",
            Self::TooLong { .. } => "embargo.list_too_long",
        }
    }
}
