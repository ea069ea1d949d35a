//! Why a request is not served, and which reason goes first.

use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;

use super::programme::{Effect, Extent, Programme, Touch};
use crate::database::{Located, Place, Quorum};

/// Why an address is embargoed or to be reviewed. In order: where several apply, the first is the one reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum EmbargoReason {
    /// In an embargoed country.
    Country,
    /// In an embargoed region.
    Region,
    /// The address carries another one that is elsewhere: a tunnel whose ends disagree.
    TunnelDisagrees,
    /// The databases do not agree as the quorum asks.
    DatabasesDisagree,
    /// Embargoed, but only by programmes that other law forbids the operator to follow.
    ConflictOfLaw,
    /// In a region of which a part is embargoed.
    PartOfRegion,
    /// In the scope of a programme that asks for review.
    Programme,
    /// In a country of which a region is embargoed, and the database does not say which region.
    RegionUnknown,
    /// Located elsewhere or nowhere, but registered in an embargoed country.
    RegisteredCountry,
    /// Located elsewhere or nowhere, but used by an embargoed country's embassy or armed forces.
    RepresentedCountry,
    /// A Tor exit node.
    Tor,
    /// A VPN, an open or a residential proxy.
    Anonymiser,
    /// The database or the programme list is too old, or dated in the future.
    Stale,
    /// The database says nothing.
    NoRecord,
    /// Not an address of the public internet.
    NotPublic,
}

impl EmbargoReason {
    const ALL: [Self; 15] = [
        Self::Country,
        Self::Region,
        Self::TunnelDisagrees,
        Self::DatabasesDisagree,
        Self::ConflictOfLaw,
        Self::PartOfRegion,
        Self::Programme,
        Self::RegionUnknown,
        Self::RegisteredCountry,
        Self::RepresentedCountry,
        Self::Tor,
        Self::Anonymiser,
        Self::Stale,
        Self::NoRecord,
        Self::NotPublic,
    ];
}

impl Reason for EmbargoReason {
    fn code(&self) -> ReasonCode {
        match self {
            Self::Anonymiser => reason_code!("embargo.anonymiser"),
            Self::ConflictOfLaw => reason_code!("embargo.conflict_of_law"),
            Self::Country => reason_code!("embargo.country"),
            Self::DatabasesDisagree => reason_code!("embargo.databases_disagree"),
            Self::NoRecord => reason_code!("embargo.no_record"),
            Self::NotPublic => reason_code!("embargo.not_public"),
            Self::PartOfRegion => reason_code!("embargo.part_of_region"),
            Self::Programme => reason_code!("embargo.programme"),
            Self::Region => reason_code!("embargo.region"),
            Self::RegionUnknown => reason_code!("embargo.region_unknown"),
            Self::RegisteredCountry => reason_code!("embargo.registered_country"),
            Self::RepresentedCountry => reason_code!("embargo.represented_country"),
            Self::Stale => reason_code!("embargo.stale"),
            Self::Tor => reason_code!("embargo.tor"),
            Self::TunnelDisagrees => reason_code!("embargo.tunnel_disagrees"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        reason_code!("embargo.unavailable")
    }
}

/// A set of reasons; empty means servable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reasons(u16);

impl Reasons {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u16::MAX);
    const EMBARGO: u16 = Self::of(EmbargoReason::Country).0 | Self::of(EmbargoReason::Region).0;

    pub(super) const fn of(reason: EmbargoReason) -> Self {
        Self(1 << reason as u8)
    }

    /// Those in both sets.
    pub(super) const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, reason: EmbargoReason) -> Self {
        Self(self.0 & !Self::of(reason).0)
    }

    pub(super) const fn contains(self, reason: EmbargoReason) -> bool {
        self.0 & Self::of(reason).0 != 0
    }

    #[inline]
    pub(super) const fn servable(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(super) const fn embargoed(self) -> bool {
        self.0 & Self::EMBARGO != 0
    }

    /// An embargo says it all; reasons for a review fall away.
    fn settled(self) -> Self {
        if self.embargoed() { Self(self.0 & Self::EMBARGO) } else { self }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = EmbargoReason> {
        EmbargoReason::ALL.into_iter().filter(move |reason| self.contains(*reason))
    }
}

/// What the databases say of one address, judged by the programmes.
pub(super) fn of_opinions<'p>(
    opinions: &[Located<'_>],
    quorum: Quorum,
    programmes: &(impl Iterator<Item = &'p Programme> + Clone),
    review_conflicts: bool,
) -> Reasons {
    let mut anonymity = Reasons::NONE;
    let mut said: Vec<Reasons> = Vec::with_capacity(opinions.len());
    for opinion in opinions {
        match opinion {
            Located::NoRecord => {}
            Located::NotPublic => return Reasons::of(EmbargoReason::NotPublic),
            Located::Place(place) => {
                anonymity = anonymity.and(of_anonymity(place));
                // Who knows neither has no say on the place.
                let countries = [place.country(), place.registered_country(), place.represented_country()];
                if countries.iter().any(Option::is_some) {
                    said.push(of_place(place, programmes.clone(), review_conflicts));
                }
            }
        }
    }
    let together = match (said.first(), quorum) {
        (None, _) => Reasons::of(EmbargoReason::NoRecord),
        (Some(_), Quorum::Any) => said.iter().copied().fold(Reasons::NONE, Reasons::and),
        (Some(first), Quorum::First) => *first,
        (Some(_), Quorum::Majority) => majority(&said),
    };
    together.and(anonymity).settled()
}

fn of_place<'p>(
    place: &Place,
    programmes: impl Iterator<Item = &'p Programme> + Clone,
    review_conflicts: bool,
) -> Reasons {
    let mut reasons = Reasons::NONE;
    for programme in programmes.clone() {
        let Some(touch) = programme.touches(place) else { continue };
        let conflict = review_conflicts && programme.blocking_statute().is_some();
        let reason = match (touch, programme.effect()) {
            (Touch::RegionUnknown, _) => EmbargoReason::RegionUnknown,
            (Touch::Region(Extent::Part) | Touch::Country(Extent::Part), _) => EmbargoReason::PartOfRegion,
            (_, Effect::Review) => EmbargoReason::Programme,
            (_, Effect::Embargo) if conflict => EmbargoReason::ConflictOfLaw,
            (Touch::Country(Extent::Whole), Effect::Embargo) => EmbargoReason::Country,
            (Touch::Region(Extent::Whole), Effect::Embargo) => EmbargoReason::Region,
        };
        reasons = reasons.and(Reasons::of(reason));
    }
    if place.country().is_none() {
        reasons = reasons.and(Reasons::of(EmbargoReason::NoRecord));
    }
    let covered = |country| programmes.clone().any(|programme: &Programme| programme.covers_country(country));
    if place.registered_country().is_some_and(covered) {
        reasons = reasons.and(Reasons::of(EmbargoReason::RegisteredCountry));
    }
    if place.represented_country().is_some_and(covered) {
        reasons = reasons.and(Reasons::of(EmbargoReason::RepresentedCountry));
    }
    reasons.settled()
}

fn of_anonymity(place: &Place) -> Reasons {
    let anonymity = place.anonymity();
    if anonymity.is_tor_exit_node() {
        Reasons::of(EmbargoReason::Tor)
    } else if anonymity.is_anonymous() {
        Reasons::of(EmbargoReason::Anonymiser)
    } else {
        Reasons::NONE
    }
}

fn majority(said: &[Reasons]) -> Reasons {
    let kinds: [fn(&Reasons) -> bool; 3] = [
        |reasons| reasons.embargoed(),
        |reasons| reasons.servable(),
        |reasons| !reasons.embargoed() && !reasons.servable(),
    ];
    for kind in kinds {
        let agreeing = said.iter().copied().filter(kind);
        if agreeing.clone().count() > said.len() / 2 {
            return agreeing.fold(Reasons::NONE, Reasons::and);
        }
    }
    Reasons::of(EmbargoReason::DatabasesDisagree)
}
