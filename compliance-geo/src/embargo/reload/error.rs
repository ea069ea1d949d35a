//! Why a database did not take another's place.

use compliance_core::country::{CountryCode, SubdivisionCode};
use compliance_core::finding::{Explain, Finding, Outcome, PolicyVersion, Reason, ReasonCode};
use compliance_core::reason_code;
use compliance_core::snapshot::{Snapshot, SnapshotError, SnapshotErrorKind};

use crate::database::DatabaseError;
#[cfg(feature = "manifest")]
use crate::database::manifest::ManifestError;
use crate::embargo::{Embargo, EmbargoError};

/// A database did not take another's place, or the check was not built. What was in use stays in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("database not replaced: {kind}")]
pub struct ReloadError {
    kind: ReloadErrorKind,
    finding: Box<Finding>,
}

/// Why a database did not take another's place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadErrorKind {
    /// A network is not where it is known to be.
    #[error("a known network of `{country}` is not placed there")]
    Canary {
        /// Where the network is known to be.
        country: CountryCode,
    },
    /// The one in use knows countries, subdivisions, anonymisers or IPv6 networks; the successor does not.
    #[error(
        "it no longer knows countries, subdivisions, anonymisers or IPv6 networks, which the one in use does"
    )]
    Coverage,
    /// The file was refused.
    #[error(transparent)]
    Database(DatabaseError),
    /// Dated in the future, or too old to carry a servable answer.
    #[error("it is dated in the future, or too old to be used")]
    Date,
    /// Two databases have the same source.
    #[error("two databases have the same source")]
    DuplicateSource,
    /// The check could not be built with it.
    #[error(transparent)]
    Embargo(EmbargoError),
    /// Its manifest was refused.
    #[cfg(feature = "manifest")]
    #[error(transparent)]
    Manifest(ManifestError),
    /// An embargoed country or region has no canary.
    #[error("`{}` is embargoed but has no canary", .region.as_ref().map_or(.country.as_str(), SubdivisionCode::as_str))]
    NoCanary {
        /// The country.
        country: CountryCode,
        /// The region of it.
        region: Option<SubdivisionCode>,
    },
    /// There is no database to replace.
    #[error("the check uses the embedded table, which only a release replaces")]
    NoDatabase,
    /// It names another source.
    #[error("it has another source than the one it should replace")]
    OtherSource,
    /// Older, empty or suspiciously smaller.
    #[error(transparent)]
    Snapshot(SnapshotError),
    /// No database in use has the source.
    #[error("no database in use has this source")]
    UnknownSource,
    /// A signed manifest is demanded, or offered to a check that knows no key.
    #[error("a manifest signed by the configured key is needed")]
    Unsigned,
}

impl ReloadError {
    pub(super) fn new(kind: ReloadErrorKind, embargo: &Embargo, candidate: Option<Snapshot>) -> Self {
        let finding = Box::new(super::refused(&kind, embargo, candidate));
        Self { kind, finding }
    }

    /// Before there is a check.
    pub(super) fn at_start(kind: ReloadErrorKind) -> Self {
        let policy = PolicyVersion::new("embargo", "");
        let finding = Box::new(Finding::for_reason(Outcome::Refused, &kind, policy));
        Self { kind, finding }
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> &ReloadErrorKind {
        &self.kind
    }

    /// The stable code, `reload.` and the kind.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.kind.code().as_str()
    }
}

impl Explain for ReloadError {
    fn finding(&self) -> Finding {
        (*self.finding).clone()
    }
}

impl Reason for ReloadErrorKind {
    fn code(&self) -> ReasonCode {
        match self {
            Self::Canary { .. } => reason_code!("reload.canary"),
            Self::Coverage => reason_code!("reload.coverage"),
            Self::Database(_) => reason_code!("reload.database"),
            Self::Date => reason_code!("reload.date"),
            Self::DuplicateSource => reason_code!("reload.duplicate_source"),
            Self::Embargo(_) => reason_code!("reload.embargo"),
            #[cfg(feature = "manifest")]
            Self::Manifest(_) => reason_code!("reload.manifest"),
            Self::NoCanary { .. } => reason_code!("reload.no_canary"),
            Self::NoDatabase => reason_code!("reload.no_database"),
            Self::OtherSource => reason_code!("reload.other_source"),
            Self::Snapshot(error) => match error.kind() {
                SnapshotErrorKind::Empty => reason_code!("reload.empty"),
                SnapshotErrorKind::Older { .. } => reason_code!("reload.older"),
                SnapshotErrorKind::Shrunken { .. } => reason_code!("reload.shrunken"),
                _ => reason_code!("reload.snapshot"),
            },
            Self::UnknownSource => reason_code!("reload.unknown_source"),
            Self::Unsigned => reason_code!("reload.unsigned"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        reason_code!("reload.refused")
    }
}
