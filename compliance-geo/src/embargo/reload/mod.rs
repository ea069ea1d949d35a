//! Databases replaced while the check is in use.
//!
//! A new file takes the old one's place only if it is whole, not older, not suspiciously smaller, says of known
//! networks what is known of them, and still knows what the old one knew. Otherwise the old one stays, and a finding
//! says why. Requests under way keep the check they began with; nobody waits.
//!
//! ```
//! use compliance_geo::database::Database;
//! use compliance_geo::embargo::reload::{Canaries, ReloadableEmbargo};
//! use compliance_geo::embargo::{Embargo, Policy, Screening};
//!
//! let database = Database::embedded()?;
//! let source = database.snapshot().source().to_owned();
//! let builder = Embargo::builder().policy(Policy::Us).database(database.clone());
//! let embargo = ReloadableEmbargo::new(builder, Canaries::embedded())?;
//!
//! // In a service: now and then, from a file that somebody downloaded.
//! let now = "2026-07-01T00:00:00Z".parse()?;
//! assert!(!embargo.replace(&source, Ok(database), now)?.is_new());
//! let broken = Database::from_country_table(b"404 Not Found");
//! assert_eq!(embargo.replace(&source, broken, now).unwrap_err().code(), "reload.database");
//! assert_eq!(embargo.current().snapshots().count(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canary;
mod error;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "manifest")]
use std::time::Duration;

use arc_swap::ArcSwap;
use compliance_core::class::Internal;
use compliance_core::clock::Timestamp;
use compliance_core::event::{Actor, Event, EventKind, Sink};
use compliance_core::finding::{Explain, Finding, Outcome};
use compliance_core::reason_code;
use compliance_core::snapshot::{Freshness, ReplacementRule, Snapshot};

use super::builder::{Chosen, EmbargoBuilder};
use super::compile::Compiled;
use super::{Embargo, Screening};
#[cfg(feature = "manifest")]
use crate::database::manifest::{Manifest, ManifestError, ManifestKey};
use crate::database::{Database, DatabaseError};
pub use canary::Canaries;
pub use error::{ReloadError, ReloadErrorKind};

/// A check whose databases are replaced while it is in use. Share it in an [`Arc`]; layers take it as it is.
pub struct ReloadableEmbargo {
    current: ArcSwap<Compiled>,
    // Held while a database is replaced, so that two replacements do not undo each other.
    builder: Mutex<EmbargoBuilder<Chosen>>,
    canaries: Canaries,
    rule: ReplacementRule,
    sink: Option<Arc<dyn Sink>>,
    #[cfg(feature = "manifest")]
    key: Option<ManifestKey>,
}

impl ReloadableEmbargo {
    /// Compiles what `builder` describes. Its databases are known by their sources from here on.
    ///
    /// There is no time here, so their days are not looked at: with one dated in the future everything that is not
    /// embargoed is a review, and honest successors are older than it.
    ///
    /// # Errors
    /// [`ReloadError`]: `reload.embargo` when the check is not built; `reload.no_database` when the builder names
    /// none, since the embedded table is replaced by a release; `reload.duplicate_source` when two have the same
    /// source; `reload.no_canary` when a place that a chosen programme embargoes has no canary; `reload.canary`
    /// when one of the databases fails one already.
    pub fn new(builder: EmbargoBuilder<Chosen>, canaries: Canaries) -> Result<Self, ReloadError> {
        let embargo = builder.clone().build().map_err(ReloadErrorKind::Embargo);
        let embargo = embargo.map_err(ReloadError::at_start)?;
        check_start(&builder.settings.databases, &embargo, &canaries)
            .map_err(|kind| ReloadError::new(kind, &embargo, None))?;
        Ok(Self {
            current: ArcSwap::new(embargo.compiled),
            builder: Mutex::new(builder),
            canaries,
            rule: ReplacementRule::default(),
            sink: None,
            #[cfg(feature = "manifest")]
            key: None,
        })
    }

    /// As [`new`](Self::new), when only databases with a manifest signed by `key` may be used: those it starts with,
    /// each of which needs its own among `manifests`, and every later one, as after [`signed_by`](Self::signed_by).
    ///
    /// # Errors
    /// As [`new`](Self::new), and `reload.unsigned` without a manifest; `reload.manifest` when one is not signed by
    /// the key, or none is a database's; `reload.date` for a database dated in the future, which would keep every
    /// honest successor out.
    ///
    /// # Security
    /// What was in use before a restart is not known here: an older database with its own manifest is taken at the
    /// start. Who keeps the newest day outside of the attacker's reach compares it with [`Snapshot::as_of`] before.
    #[cfg(feature = "manifest")]
    pub fn new_signed(
        builder: EmbargoBuilder<Chosen>,
        canaries: Canaries,
        key: ManifestKey,
        manifests: &[(&[u8], &[u8; ManifestKey::SIGNATURE_LEN])],
        now: Timestamp,
    ) -> Result<Self, ReloadError> {
        const DAY: Duration = Duration::from_secs(86_400);
        let reloadable = Self::new(builder, canaries)?.signed_by(key);
        let embargo = reloadable.current();
        let refuse =
            |kind, database: &Database| ReloadError::new(kind, &embargo, Some(database.snapshot().clone()));
        for database in &reloadable.lock().settings.databases {
            signed_at_start(database.snapshot(), reloadable.key.as_ref(), manifests)
                .map_err(|kind| refuse(kind, database))?;
            if now < database.snapshot().as_of().start().saturating_sub(DAY) {
                return Err(refuse(ReloadErrorKind::Date, database));
            }
        }
        Ok(reloadable)
    }

    /// How much smaller a successor may be than the one it replaces. Default: 10 % fewer records.
    #[must_use]
    pub fn with_rule(mut self, rule: ReplacementRule) -> Self {
        self.rule = rule;
        self
    }

    /// Records every replacement and every refusal of one as [`EventKind::ConfigurationChanged`].
    #[must_use]
    pub fn recording(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// From now on, only databases with a manifest signed by this key are taken. Those in use already are not
    /// checked: [`new_signed`](Self::new_signed) does that.
    #[cfg(feature = "manifest")]
    #[must_use]
    pub fn signed_by(mut self, key: ManifestKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Puts a database in the place of the one with this source, as it came out of loading: a file that could not
    /// be read is a refusal like the others, and leaves its finding.
    ///
    /// Blocks for as long as compiling takes, some hundred milliseconds; inside an async runtime, call it on a thread
    /// for blocking work.
    ///
    /// # Errors
    /// [`ReloadError`], and the old database stays: `reload.unknown_source`, `reload.other_source`,
    /// `reload.unsigned`, `reload.database`, `reload.older`, `reload.shrunken`, `reload.empty`, `reload.date`,
    /// `reload.coverage`, `reload.canary`, `reload.embargo`; `reload.no_canary` for the first database that knows
    /// subdivisions, when an embargoed region has no canary.
    pub fn replace(
        &self,
        source: &str,
        candidate: Result<Database, DatabaseError>,
        now: Timestamp,
    ) -> Result<Reloaded, ReloadError> {
        #[cfg(feature = "manifest")]
        let signed = self.key.is_none();
        #[cfg(not(feature = "manifest"))]
        let signed = true;
        let checked = if signed { Ok(()) } else { Err(ReloadErrorKind::Unsigned) };
        self.replace_checked(source, candidate, now, |_| checked)
    }

    /// As [`replace`](Self::replace), with a manifest and its signature.
    ///
    /// # Errors
    /// As [`replace`](Self::replace), and `reload.manifest` when the manifest is not signed by the key of
    /// [`signed_by`](Self::signed_by) or is another database's.
    #[cfg(feature = "manifest")]
    pub fn replace_signed(
        &self,
        source: &str,
        candidate: Result<Database, DatabaseError>,
        (manifest, signature): (&[u8], &[u8; ManifestKey::SIGNATURE_LEN]),
        now: Timestamp,
    ) -> Result<Reloaded, ReloadError> {
        self.replace_checked(source, candidate, now, |candidate| {
            let key = self.key.as_ref().ok_or(ReloadErrorKind::Unsigned)?;
            let manifest: Manifest = key.verify(manifest, signature).map_err(ReloadErrorKind::Manifest)?;
            manifest.check(candidate.snapshot()).map_err(ReloadErrorKind::Manifest)
        })
    }

    fn replace_checked(
        &self,
        source: &str,
        candidate: Result<Database, DatabaseError>,
        now: Timestamp,
        admitted: impl FnOnce(&Database) -> Result<(), ReloadErrorKind>,
    ) -> Result<Reloaded, ReloadError> {
        let described = candidate.as_ref().ok().map(|database| database.snapshot().clone());
        let mut builder = self.lock();
        let outcome = candidate
            .map_err(ReloadErrorKind::Database)
            .and_then(|candidate| self.successor(&builder, source, candidate, now, admitted));
        let result = match outcome {
            Ok(Some((next, embargo))) => {
                *builder = next;
                let policy = embargo.policy().clone();
                self.current.store(embargo.compiled);
                let finding = Finding::passed(reason_code!("reload.replaced"), policy);
                Ok(Reloaded { finding: with(finding, described), is_new: true })
            }
            Ok(None) => {
                let policy = self.current().policy().clone();
                let finding = Finding::passed(reason_code!("reload.unchanged"), policy);
                Ok(Reloaded { finding: with(finding, described), is_new: false })
            }
            Err(kind) => Err(ReloadError::new(kind, &self.current(), described)),
        };
        drop(builder);
        match &result {
            // Asking again for the file in use changes nothing.
            Ok(reloaded) if !reloaded.is_new => {}
            Ok(reloaded) => self.record(&reloaded.finding, now),
            Err(error) => self.record(&error.finding(), now),
        }
        result
    }

    /// The builder with the candidate in its place, and what it builds; none when the candidate is the one in use.
    fn successor(
        &self,
        builder: &EmbargoBuilder<Chosen>,
        source: &str,
        candidate: Database,
        now: Timestamp,
        admitted: impl FnOnce(&Database) -> Result<(), ReloadErrorKind>,
    ) -> Result<Option<(EmbargoBuilder<Chosen>, Embargo)>, ReloadErrorKind> {
        let mut next = builder.clone();
        let in_use = next.settings.databases.iter_mut().find(|known| known.snapshot().source() == source);
        let in_use = in_use.ok_or(ReloadErrorKind::UnknownSource)?;
        if candidate.snapshot().source() != source {
            return Err(ReloadErrorKind::OtherSource);
        }
        admitted(&candidate)?;
        if candidate.snapshot() == in_use.snapshot() {
            return Ok(None);
        }
        self.rule.check(in_use.snapshot(), candidate.snapshot()).map_err(ReloadErrorKind::Snapshot)?;
        // One dated in the future would also keep every honest successor out.
        let freshness = next.settings.staleness.freshness(candidate.snapshot(), now);
        if matches!(freshness, Freshness::Expired { .. }) {
            return Err(ReloadErrorKind::Date);
        }
        let lost = |knew: fn(&Database) -> bool| knew(in_use) && !knew(&candidate);
        if lost(Database::knows_countries)
            || lost(Database::knows_subdivisions)
            || lost(Database::knows_anonymity)
            || lost(Database::knows_ipv6)
        {
            return Err(ReloadErrorKind::Coverage);
        }
        self.canaries.check(&candidate)?;
        *in_use = candidate;
        let embargo = next.clone().build().map_err(ReloadErrorKind::Embargo)?;
        // It may be the first that knows subdivisions.
        self.canaries.check_cover(embargo.programmes(), &next.settings.databases)?;
        Ok(Some((next, embargo)))
    }

    fn record(&self, finding: &Finding, now: Timestamp) {
        let Some(sink) = &self.sink else { return };
        let event = Event::builder(EventKind::ConfigurationChanged, finding.outcome(), Actor::System, now);
        let subject = Internal("embargo.database");
        if let Ok(event) = event.finding(finding).field("subject", subject).build() {
            // Nobody waits for it: the finding is in the caller's hand, too.
            drop(sink.record(event));
        }
    }

    fn lock(&self) -> MutexGuard<'_, EmbargoBuilder<Chosen>> {
        // What a panic leaves behind is whole: it is replaced in one assignment.
        self.builder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Screening for ReloadableEmbargo {
    fn current(&self) -> Embargo {
        Embargo { compiled: self.current.load_full() }
    }
}

impl fmt::Debug for ReloadableEmbargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReloadableEmbargo").field(&self.current()).finish()
    }
}

/// A database was looked at and is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Reloaded {
    finding: Finding,
    is_new: bool,
}

impl Reloaded {
    /// Whether it took another's place; false when it is the one that was in use already.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

impl Explain for Reloaded {
    fn finding(&self) -> Finding {
        self.finding.clone()
    }
}

fn with(finding: Finding, snapshot: Option<Snapshot>) -> Finding {
    snapshot.into_iter().fold(finding, Finding::with_snapshot)
}

/// One of the manifests is this database's.
#[cfg(feature = "manifest")]
fn signed_at_start(
    snapshot: &Snapshot,
    key: Option<&ManifestKey>,
    manifests: &[(&[u8], &[u8; ManifestKey::SIGNATURE_LEN])],
) -> Result<(), ReloadErrorKind> {
    let key = key.ok_or(ReloadErrorKind::Unsigned)?;
    if manifests.is_empty() {
        return Err(ReloadErrorKind::Unsigned);
    }
    let mut found = Err(ManifestError::OtherDatabase);
    for (manifest, signature) in manifests {
        let manifest: Manifest = key.verify(manifest, signature).map_err(ReloadErrorKind::Manifest)?;
        found = found.or_else(|_| manifest.check(snapshot));
    }
    found.map_err(ReloadErrorKind::Manifest)
}

fn check_start(
    databases: &[Database],
    embargo: &Embargo,
    canaries: &Canaries,
) -> Result<(), ReloadErrorKind> {
    if databases.is_empty() {
        return Err(ReloadErrorKind::NoDatabase);
    }
    let mut sources: Vec<&str> = databases.iter().map(|database| database.snapshot().source()).collect();
    sources.sort_unstable();
    if sources.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
        return Err(ReloadErrorKind::DuplicateSource);
    }
    canaries.check_cover(embargo.programmes(), databases)?;
    databases.iter().try_for_each(|database| canaries.check(database))
}

/// What a refused successor leaves behind: why, what stays in use, and what was refused.
fn refused(kind: &ReloadErrorKind, embargo: &Embargo, candidate: Option<Snapshot>) -> Finding {
    let finding = Finding::for_reason(Outcome::Refused, kind, embargo.policy().clone());
    // An event holds no more than so many snapshots; what was refused comes first.
    let in_use = embargo.snapshots().take(Event::MAX_SNAPSHOTS.saturating_sub(1)).cloned();
    in_use.fold(with(finding, candidate), Finding::with_snapshot)
}
