//! Every list, table or database is a snapshot: where it came from, how old it is, what exactly it was.
//!
//! A decision carries the snapshots it used, so that months later somebody can say what was known then.
//! A stale snapshot warns first ([`Freshness::Stale`]) and then turns servable answers into a review
//! ([`Freshness::Expired`]); a successor that shrank suspiciously is refused ([`ReplacementRule`]).

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::clock::{Date, Timestamp};

/// Source, day and digest of a list, table or database.
///
/// ```
/// use compliance_core::snapshot::{Snapshot, Staleness, Freshness};
///
/// let list = b"password\n123456\n";
/// let snapshot = Snapshot::of("example list", "2026-06-17".parse()?, list, 2);
/// let now = "2026-11-21T00:00:00Z".parse()?;
/// assert_eq!(Staleness::default().freshness(&snapshot, now), Freshness::Stale { age_days: 157 });
/// # Ok::<(), compliance_core::clock::TimeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    source: Cow<'static, str>,
    as_of: Date,
    sha256: [u8; 32],
    entries: u64,
}

impl Snapshot {
    /// The longest source name kept, in bytes; the rest is cut.
    pub const MAX_SOURCE_LEN: usize = 128;

    /// Describes `bytes`, hashing them. `entries` is how many rows, networks or words they hold.
    #[must_use]
    pub fn of(source: impl Into<Cow<'static, str>>, as_of: Date, bytes: &[u8], entries: u64) -> Self {
        Self::from_parts(source, as_of, Sha256::digest(bytes).into(), entries)
    }

    /// Describes data whose digest is known already, a compiled-in table for one.
    #[must_use]
    pub fn from_parts(
        source: impl Into<Cow<'static, str>>,
        as_of: Date,
        sha256: [u8; 32],
        entries: u64,
    ) -> Self {
        let mut source = source.into();
        if source.len() > Self::MAX_SOURCE_LEN {
            let mut cut = source.into_owned();
            while cut.len() > Self::MAX_SOURCE_LEN {
                cut.pop();
            }
            source = Cow::Owned(cut);
        }
        Self { source, as_of, sha256, entries }
    }

    /// Where it came from, such as a package name with its version.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The day its content speaks of.
    #[must_use]
    pub fn as_of(&self) -> Date {
        self.as_of
    }

    /// SHA-256 (FIPS 180-4) of the bytes as they were read.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// How many rows, networks or words it holds.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Checks that `bytes` are the ones this snapshot describes.
    ///
    /// # Errors
    /// [`SnapshotError`] `snapshot.digest` when they are not.
    pub fn check_digest(&self, bytes: &[u8]) -> Result<(), SnapshotError> {
        let found: [u8; 32] = Sha256::digest(bytes).into();
        if found == self.sha256 { Ok(()) } else { Err(SnapshotError(SnapshotErrorKind::Digest)) }
    }
}

impl fmt::Display for Snapshot {
    /// `source@2026-06-17#0123456789ab`: source, day, first six bytes of the digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#", self.source, self.as_of)?;
        self.sha256.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// From which age on a snapshot is stale, and from which it no longer carries a favourable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staleness {
    warn_after_days: u32,
    review_after_days: u32,
}

impl Staleness {
    /// Warns after `warn_after_days`, asks for review after `review_after_days`. The second is never
    /// earlier than the first.
    #[must_use]
    pub fn new(warn_after_days: u32, review_after_days: u32) -> Self {
        Self { warn_after_days, review_after_days: review_after_days.max(warn_after_days) }
    }

    /// Judges a snapshot's age at `now`.
    ///
    /// A snapshot dated more than a day ahead of `now` is [`Freshness::Expired`] too: one of the two
    /// clocks is wrong, and which one is not known.
    pub fn freshness(&self, snapshot: &Snapshot, now: Timestamp) -> Freshness {
        let age_days = snapshot.as_of.days_until(now.date());
        if age_days < -1 || age_days > i64::from(self.review_after_days) {
            Freshness::Expired { age_days }
        } else if age_days > i64::from(self.warn_after_days) {
            Freshness::Stale { age_days }
        } else {
            Freshness::Fresh
        }
    }
}

impl Default for Staleness {
    /// Warn after 45 days (address space moves by a few per cent a month), review after 365.
    fn default() -> Self {
        Self::new(45, 365)
    }
}

/// How old a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where an expired list is used")]
pub enum Freshness {
    /// Young enough.
    Fresh,
    /// Usable; the finding warns.
    Stale {
        /// Age in days.
        age_days: i64,
    },
    /// Too old, or dated in the future: favourable answers become a review.
    Expired {
        /// Age in days; negative when dated in the future.
        age_days: i64,
    },
}

/// When a newer snapshot may take an older one's place.
///
/// A list that lost much of its content is more likely a broken download than a better world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplacementRule {
    max_shrink_percent: u8,
}

impl ReplacementRule {
    /// Refuses a successor that lost more than `max_shrink_percent` of the entries; capped at 100.
    #[must_use]
    pub fn new(max_shrink_percent: u8) -> Self {
        Self { max_shrink_percent: max_shrink_percent.min(100) }
    }

    /// Checks whether `candidate` may replace `current`.
    ///
    /// # Errors
    /// [`SnapshotError`]: `snapshot.empty`, `snapshot.older` or `snapshot.shrunken`.
    pub fn check(&self, current: &Snapshot, candidate: &Snapshot) -> Result<(), SnapshotError> {
        let err = |kind| Err(SnapshotError(kind));
        if candidate.entries == 0 {
            return err(SnapshotErrorKind::Empty);
        }
        if candidate.as_of < current.as_of {
            return err(SnapshotErrorKind::Older { current: current.as_of, found: candidate.as_of });
        }
        let keep_percent = 100_u128.saturating_sub(u128::from(self.max_shrink_percent));
        let least = u128::from(current.entries).saturating_mul(keep_percent).div_ceil(100);
        if u128::from(candidate.entries) < least {
            return err(SnapshotErrorKind::Shrunken { current: current.entries, found: candidate.entries });
        }
        Ok(())
    }
}

impl Default for ReplacementRule {
    /// At most 10 % fewer entries.
    fn default() -> Self {
        Self::new(10)
    }
}

/// A snapshot was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("snapshot refused: {0}")]
pub struct SnapshotError(SnapshotErrorKind);

/// Why a snapshot was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotErrorKind {
    /// The bytes are not the described ones.
    #[error("the bytes do not have the expected digest")]
    Digest,
    /// No entries.
    #[error("it has no entries")]
    Empty,
    /// Dated before the one in use.
    #[error("it is dated {found}, the one in use {current}")]
    Older {
        /// Day of the snapshot in use.
        current: Date,
        /// Day of the refused one.
        found: Date,
    },
    /// Lost more entries than the rule allows.
    #[error("it has {found} entries, the one in use {current}")]
    Shrunken {
        /// Entries of the snapshot in use.
        current: u64,
        /// Entries of the refused one.
        found: u64,
    },
}

impl SnapshotError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> SnapshotErrorKind {
        self.0
    }

    /// `snapshot.digest`, `snapshot.empty`, `snapshot.older` or `snapshot.shrunken`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            SnapshotErrorKind::Digest => "snapshot.digest",
            SnapshotErrorKind::Empty => "snapshot.empty",
            SnapshotErrorKind::Older { .. } => "snapshot.older",
            SnapshotErrorKind::Shrunken { .. } => "snapshot.shrunken",
        }
    }
}
