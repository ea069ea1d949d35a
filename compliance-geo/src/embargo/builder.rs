//! What an operator chooses.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::finding::{Enforcement, RiskAcceptance};
use compliance_core::snapshot::Staleness;

use super::compile::Compiled;
use super::reason::{EmbargoReason, Reasons};
use super::{Embargo, EmbargoError, Policy, ProgrammeList};
use crate::database::{Database, Quorum};

/// Says in the type that no policy is chosen yet.
#[derive(Clone, Copy, Debug)]
pub struct NoPolicy(pub(super) ());

/// Says in the type that at least one policy is chosen.
#[derive(Clone, Debug)]
pub struct Chosen(pub(super) Vec<Policy>);

/// Builds an [`Embargo`]. See [`Embargo::builder`].
#[derive(Clone, Debug)]
pub struct EmbargoBuilder<P> {
    pub(super) policies: P,
    pub(super) settings: Settings,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) databases: Vec<Database>,
    pub(super) programmes: Option<ProgrammeList>,
    pub(super) quorum: Quorum,
    pub(super) staleness: Staleness,
    pub(super) validity: Duration,
    pub(super) enforcement: Enforcement,
    pub(super) review_conflicts: bool,
    pub(super) refused_reviews: Reasons,
    pub(super) unknown_regions: Option<RiskAcceptance>,
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
    /// `embargo.no_countries` when no database knows countries, `embargo.too_many_snapshots` for more than
    /// [`Embargo::MAX_SNAPSHOTS`] databases and lists; those of [`ProgrammeListError`](super::ProgrammeListError) and
    /// [`DatabaseError`](crate::database::DatabaseError) where the embedded data is used.
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
    /// 365 days. An embargo stands however old the data is; an operator's own programme list carries answers at any
    /// age, and is warned about from the second.
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

    /// Carries every review out as a refusal: the finding says so, and nobody is asked to look. Default: a review is
    /// for a person, and the layers answer it with 403 meanwhile.
    #[must_use]
    pub fn refuse_reviews(mut self) -> Self {
        self.settings.refused_reviews = Reasons::ALL;
        self
    }

    /// As [`refuse_reviews`](Self::refuse_reviews), for reviews that have one of these reasons.
    ///
    /// ```
    /// use compliance_geo::embargo::{Embargo, EmbargoReason, Policy, Verdict};
    ///
    /// let embargo =
    ///     Embargo::builder().policy(Policy::Us).refuse_reviews_for([EmbargoReason::NotPublic]).build()?;
    /// let now = "2026-07-01T00:00:00Z".parse()?;
    /// let Verdict::Review(inside) = embargo.screen("192.168.1.1".parse()?, now) else { unreachable!() };
    /// let Verdict::Review(kyiv) = embargo.screen("194.0.200.1".parse()?, now) else { unreachable!() };
    /// assert!(inside.is_refused() && !kyiv.is_refused());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn refuse_reviews_for(mut self, reasons: impl IntoIterator<Item = EmbargoReason>) -> Self {
        let reasons = reasons.into_iter().map(Reasons::of);
        self.settings.refused_reviews = reasons.fold(self.settings.refused_reviews, Reasons::and);
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
