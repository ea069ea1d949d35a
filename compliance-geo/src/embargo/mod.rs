//! Whether a client may be served from where it is, under an explicitly chosen policy.
//!
//! Policies are dated data ([`ProgrammeList`]); policy and databases are compiled into one immutable table, so that
//! a verdict costs a couple of cache lines. Three answers are possible, and only the first carries a proof:
//!
//! - [`Verdict::Servable`] with a [`ServablePlace`], the proof that later steps demand;
//! - [`Verdict::Embargoed`], in the scope of a programme;
//! - [`Verdict::Review`], whenever anything is in doubt: no record, not a public address, an anonymiser, a region
//!   the database does not know, databases or the ends of a tunnel that disagree, data that is too old.
//!
//! ```
//! use compliance_geo::embargo::{Embargo, Policy, Verdict};
//!
//! let embargo = Embargo::builder().policy(Policy::Us).build()?;
//! let now = "2026-07-01T00:00:00Z".parse().unwrap();
//!
//! match embargo.screen("1.1.1.1".parse().unwrap(), now) {
//!     Verdict::Servable(place) => assert!(place.in_force(now).is_ok()),
//!     Verdict::Embargoed(_) | Verdict::Review(_) => unreachable!(),
//! }
//!
//! // Iran, in each form under which a socket may show it.
//! for ip in ["5.22.4.4", "::ffff:5.22.4.4", "2002:516:404::1", "64:ff9b::5.22.4.4"] {
//!     let Verdict::Embargoed(place) = embargo.screen(ip.parse().unwrap(), now) else { unreachable!() };
//!     assert_eq!(place.country().unwrap().as_str(), "IR");
//!     assert_eq!(place.programmes().next().unwrap().id(), "ofac.iran");
//! }
//! # Ok::<(), compliance_geo::embargo::EmbargoError>(())
//! ```

mod compile;
mod map;
mod programme;
mod reason;
mod verdict;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::finding::{Enforcement, PolicyVersion, RiskAcceptance};
use compliance_core::snapshot::{Snapshot, Staleness};

use crate::database::{Database, DatabaseError, Quorum};
use compile::Compiled;
pub use programme::{
    Authority, Effect, Extent, Policy, Programme, ProgrammeKind, ProgrammeList, ProgrammeListError, Scope,
    UnknownPolicy,
};
pub use reason::EmbargoReason;
pub use verdict::{EmbargoedPlace, PlaceLapsed, ReviewPlace, ServablePlace, Verdict, VerdictClass};

/// The check: policy and databases, compiled. Cheap to clone and safe to share.
#[derive(Clone)]
pub struct Embargo {
    compiled: Arc<Compiled>,
}

impl Embargo {
    /// How long a [`ServablePlace`] is valid unless the builder says otherwise: 15 minutes. Long enough for a
    /// sign-up form, short enough that the next step of a session asks again.
    pub const DEFAULT_VALIDITY: Duration = Duration::from_secs(15 * 60);

    /// Starts a check. It can be built once a policy is chosen: there is no default jurisdiction.
    ///
    /// ```compile_fail
    /// let embargo = compliance_geo::embargo::Embargo::builder().build();
    /// ```
    #[must_use]
    pub fn builder() -> EmbargoBuilder<NoPolicy> {
        EmbargoBuilder {
            policies: NoPolicy(()),
            settings: Settings {
                databases: Vec::new(),
                programmes: None,
                quorum: Quorum::default(),
                staleness: Staleness::default(),
                validity: Self::DEFAULT_VALIDITY,
                enforcement: Enforcement::default(),
                review_conflicts: false,
                unknown_regions: None,
            },
        }
    }

    /// Judges an address.
    ///
    /// Looked at are the address itself and every IPv4 address it carries (mapped, compatible, SIIT, NAT64, 6to4,
    /// Teredo, ISATAP). A form that stands for an IPv4 client is judged by that client; where it carries several,
    /// or its own network has a record elsewhere, disagreement is a review. Precedence: embargoed, then
    /// disagreement, then what the place gives reason for, then stale, then no record.
    ///
    /// # Security
    /// An attacker chooses from where to connect. A VPN in a servable country passes unless a database knows it
    /// for one. Screen at every step that matters, not at sign-up only: what regulators settled over was having
    /// the address and not using it.
    pub fn screen(&self, ip: IpAddr, now: Timestamp) -> Verdict {
        Verdict::new(&self.compiled, ip, now, self.compiled.judge(ip, now))
    }

    /// The verdict's class alone: allocates nothing and leaves nothing to explain. For counting and shedding; a
    /// step that serves needs the proof from [`screen`](Self::screen).
    #[inline]
    pub fn class(&self, ip: IpAddr, now: Timestamp) -> VerdictClass {
        self.compiled.class(ip, now)
    }

    /// Name and version of the policy: the chosen policies and the day of the newest programme list.
    #[must_use]
    pub fn policy(&self) -> &PolicyVersion {
        self.compiled.policy()
    }

    /// Whether refusals are carried out. The layers of this crate obey it.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.compiled.enforcement()
    }

    /// The databases and programme lists in use.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.compiled.snapshots()
    }

    /// Those of [`snapshots`](Self::snapshots) that are no longer fresh at `now`: what an operator should be
    /// warned of, long before verdicts change.
    pub fn stale_snapshots(&self, now: Timestamp) -> impl Iterator<Item = &Snapshot> {
        self.compiled.stale_snapshots(now)
    }

    /// The chosen programmes, in force or not.
    #[must_use]
    pub fn programmes(&self) -> &[Programme] {
        self.compiled.programmes()
    }

    /// Resident size in bytes, tables and places included.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.compiled.table_bytes()
    }
}

impl fmt::Debug for Embargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Embargo({}, {:?}", self.policy(), self.enforcement())?;
        self.snapshots().try_for_each(|snapshot| write!(f, ", {snapshot}"))?;
        f.write_str(")")
    }
}

/// Says in the type that no policy is chosen yet.
#[derive(Clone, Copy, Debug)]
pub struct NoPolicy(());

/// Says in the type that at least one policy is chosen.
#[derive(Clone, Debug)]
pub struct Chosen(Vec<Policy>);

/// Builds an [`Embargo`]. See [`Embargo::builder`].
#[derive(Clone, Debug)]
pub struct EmbargoBuilder<P> {
    policies: P,
    settings: Settings,
}

#[derive(Clone, Debug)]
struct Settings {
    databases: Vec<Database>,
    programmes: Option<ProgrammeList>,
    quorum: Quorum,
    staleness: Staleness,
    validity: Duration,
    enforcement: Enforcement,
    review_conflicts: bool,
    unknown_regions: Option<RiskAcceptance>,
}

impl EmbargoBuilder<NoPolicy> {
    /// Chooses whose programmes apply.
    #[must_use]
    pub fn policy(self, policy: Policy) -> EmbargoBuilder<Chosen> {
        EmbargoBuilder { policies: Chosen(vec![policy]), settings: self.settings }
    }
}

impl EmbargoBuilder<Chosen> {
    /// Adds another policy: the programmes of both apply.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        if !self.policies.0.contains(&policy) {
            self.policies.0.push(policy);
        }
        self
    }

    /// Compiles policy and databases.
    ///
    /// # Errors
    /// [`EmbargoError`]: `embargo.no_programmes` when the policies name none of the list's programmes,
    /// `embargo.no_countries` when no database knows countries; those of [`ProgrammeListError`] and
    /// [`DatabaseError`] where the embedded data is used.
    pub fn build(self) -> Result<Embargo, EmbargoError> {
        Ok(Embargo { compiled: Arc::new(Compiled::new(&self.policies.0, self.settings)?) })
    }
}

impl<P> EmbargoBuilder<P> {
    /// Adds a database. Without any, the embedded country table is used; with some, only they.
    #[must_use]
    pub fn database(mut self, database: Database) -> Self {
        self.settings.databases.push(database);
        self
    }

    /// Whose word counts when databases disagree. Default: [`Quorum::Any`].
    #[must_use]
    pub fn quorum(mut self, quorum: Quorum) -> Self {
        self.settings.quorum = quorum;
        self
    }

    /// Uses another list of programmes. Default: [`ProgrammeList::embedded`].
    #[must_use]
    pub fn programmes(mut self, programmes: ProgrammeList) -> Self {
        self.settings.programmes = Some(programmes);
        self
    }

    /// From which age data is warned about, and from which it no longer carries a servable answer. Default: 45 and
    /// 365 days. An embargo stands however old the data is.
    #[must_use]
    pub fn staleness(mut self, staleness: Staleness) -> Self {
        self.settings.staleness = staleness;
        self
    }

    /// How long a proof is valid. Default: [`Embargo::DEFAULT_VALIDITY`]. It never outlives the data or the
    /// programmes it rests on.
    #[must_use]
    pub fn validity(mut self, validity: Duration) -> Self {
        self.settings.validity = validity;
        self
    }

    /// Decides and leaves findings, but has the layers let everybody pass: how a check is rolled out.
    #[must_use]
    pub fn report_only(mut self) -> Self {
        self.settings.enforcement = Enforcement::ReportOnly;
        self
    }

    /// Turns embargoes that rest only on programmes with a blocking statute into a review
    /// ([`EmbargoReason::ConflictOfLaw`]): for operators whose own law forbids them to follow US programmes on Cuba
    /// and Iran (Council Regulation (EC) No 2271/96 and its UK counterpart).
    #[must_use]
    pub fn review_conflicts_of_law(mut self) -> Self {
        self.settings.review_conflicts = true;
        self
    }

    /// Opens what weakens the check, for as long as somebody has accepted the risk in writing.
    pub fn dangerous(self, accepted: RiskAcceptance) -> DangerousEmbargoBuilder<P> {
        DangerousEmbargoBuilder { builder: self, accepted }
    }
}

/// What can be weakened. See [`EmbargoBuilder::dangerous`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DangerousEmbargoBuilder<P> {
    builder: EmbargoBuilder<P>,
    accepted: RiskAcceptance,
}

impl<P> DangerousEmbargoBuilder<P> {
    /// Serves countries of which a region is embargoed although the database does not know regions. Default: review
    /// of every address in them.
    ///
    /// With a database of countries only and a policy that includes Crimea, the default sends all of Ukraine and
    /// Russia to review. Each proof given under the acceptance says so in its finding
    /// (`embargo.servable_region_accepted`); when it expires, the review is back.
    ///
    /// ```
    /// use compliance_core::finding::RiskAcceptance;
    /// use compliance_geo::embargo::{Embargo, Policy, Verdict};
    ///
    /// let accepted = RiskAcceptance::new("head-of-compliance", "no goods, text only", "2026-08-01T00:00:00Z".parse()?)?;
    /// let embargo =
    ///     Embargo::builder().policy(Policy::Us).dangerous(accepted).serve_unknown_regions().build()?;
    /// let kyiv = "194.0.200.1".parse()?;
    /// assert!(matches!(embargo.screen(kyiv, "2026-07-01T00:00:00Z".parse()?), Verdict::Servable(_)));
    /// assert!(matches!(embargo.screen(kyiv, "2026-08-01T00:00:00Z".parse()?), Verdict::Review(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn serve_unknown_regions(mut self) -> EmbargoBuilder<P> {
        self.builder.settings.unknown_regions = Some(self.accepted);
        self.builder
    }
}

/// The check could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("embargo check not built: {0}")]
pub struct EmbargoError(EmbargoErrorKind);

/// Why the check could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmbargoErrorKind {
    /// A database was refused.
    #[error(transparent)]
    Database(DatabaseError),
    /// No database says where networks are.
    #[error("no database knows countries")]
    NoCountries,
    /// The chosen policies name no programme of the list: everybody would be servable.
    #[error("the chosen policies name no programme of the list")]
    NoProgrammes,
    /// A programme list was refused.
    #[error(transparent)]
    Programmes(ProgrammeListError),
}

impl EmbargoError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> &EmbargoErrorKind {
        &self.0
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match &self.0 {
            EmbargoErrorKind::Database(error) => error.code(),
            EmbargoErrorKind::NoCountries => "embargo.no_countries",
            EmbargoErrorKind::NoProgrammes => "embargo.no_programmes",
            EmbargoErrorKind::Programmes(error) => error.code(),
        }
    }
}

impl From<EmbargoErrorKind> for EmbargoError {
    fn from(kind: EmbargoErrorKind) -> Self {
        Self(kind)
    }
}

impl From<DatabaseError> for EmbargoError {
    fn from(error: DatabaseError) -> Self {
        Self(EmbargoErrorKind::Database(error))
    }
}

impl From<ProgrammeListError> for EmbargoError {
    fn from(error: ProgrammeListError) -> Self {
        Self(EmbargoErrorKind::Programmes(error))
    }
}
