//! The three answers.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use compliance_core::clock::Timestamp;
use compliance_core::country::{CountryCode, SubdivisionCode};
use compliance_core::finding::{
    Explain, Finding, Outcome, PolicyVersion, Reason, ReasonCode, RiskAcceptance,
};
use compliance_core::reason_code;
use compliance_core::request::{AddressSource, ClientAddress};
use compliance_core::snapshot::Snapshot;

use super::compile::{Compiled, Judged, place_at_edge};
use super::programme::Programme;
use super::reason::{EmbargoReason, Reasons};
use crate::client_ip::EdgeCountry;
use crate::database::{Located, Place};

/// What [`Embargo::screen`](super::Embargo::screen) answers.
#[derive(Debug)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where an embargo fails open")]
pub enum Verdict {
    /// May be served: the proof.
    Servable(ServablePlace),
    /// Must not be served.
    Embargoed(EmbargoedPlace),
    /// Nobody can tell: a person has to look, or the request is refused.
    Review(ReviewPlace),
}

/// A [`Verdict`] without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where an embargo fails open")]
pub enum VerdictClass {
    /// May be served.
    Servable,
    /// Must not be served.
    Embargoed,
    /// Nobody can tell.
    Review,
}

impl VerdictClass {
    /// `servable`, `embargoed` or `review`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embargoed => "embargoed",
            Self::Review => "review",
            Self::Servable => "servable",
        }
    }
}

impl fmt::Display for VerdictClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Verdict {
    pub(super) fn new(
        compiled: &Arc<Compiled>,
        ip: IpAddr,
        edge: Option<EdgeCountry>,
        now: Timestamp,
    ) -> Self {
        let edge = edge.map(place_at_edge);
        let judged = match &edge {
            Some(edge) => compiled.judge_with_edge(ip, edge, now),
            None => compiled.judge(ip, now),
        };
        let screened = Screened { compiled: Arc::clone(compiled), ip, at: now, judged, edge };
        match judged.class() {
            VerdictClass::Embargoed => Self::Embargoed(EmbargoedPlace(screened)),
            VerdictClass::Review => Self::Review(ReviewPlace(screened)),
            VerdictClass::Servable => {
                let valid_until = screened.compiled.valid_until(now, judged.at_risk);
                Self::Servable(ServablePlace { screened, valid_until })
            }
        }
    }

    /// Which of the three.
    pub fn class(&self) -> VerdictClass {
        match self {
            Self::Embargoed(_) => VerdictClass::Embargoed,
            Self::Review(_) => VerdictClass::Review,
            Self::Servable(_) => VerdictClass::Servable,
        }
    }

    fn screened(&self) -> &Screened {
        match self {
            Self::Embargoed(EmbargoedPlace(screened)) | Self::Review(ReviewPlace(screened)) => screened,
            Self::Servable(place) => &place.screened,
        }
    }

    /// The exact code: `embargo.servable`, `embargo.servable_stale` where data should be renewed,
    /// `embargo.servable_region_accepted`, or that of the first reason.
    #[must_use]
    pub fn code(&self) -> ReasonCode {
        self.screened().code()
    }

    /// The country of the address that decided, if a database says.
    #[must_use]
    pub fn country(&self) -> Option<CountryCode> {
        self.screened().country()
    }

    /// The part of the country, if a database says.
    #[must_use]
    pub fn subdivision(&self) -> Option<SubdivisionCode> {
        self.screened().subdivision()
    }

    /// Every reason against serving, the first one first; none when servable.
    pub fn reasons(&self) -> impl Iterator<Item = EmbargoReason> {
        let reasons: Reasons = self.screened().judged.reasons;
        reasons.iter()
    }

    /// The programmes in force that say something of the place.
    pub fn programmes(&self) -> impl Iterator<Item = &Programme> {
        self.screened().programmes()
    }

    /// The programmes that said something of the place and have ended: why an answer is not what it used to be.
    pub fn ended_programmes(&self) -> impl Iterator<Item = &Programme> {
        let screened = self.screened();
        let has_ended =
            |programme: &&Programme| programme.effective_to().is_some_and(|end| end.start() <= screened.at);
        screened.concerning().filter(has_ended)
    }

    /// Who said what of the address that decided: every database in its order, then the edge.
    ///
    /// ```
    /// use compliance_geo::database::Located;
    /// use compliance_geo::embargo::{Embargo, Policy};
    ///
    /// let embargo = Embargo::builder().policy(Policy::Us).build()?;
    /// let verdict = embargo.screen("5.22.4.4".parse()?, "2026-07-01T00:00:00Z".parse()?);
    /// let [voice] = &verdict.voices()[..] else { panic!() };
    /// assert!(voice.source().contains("iptoasn"));
    /// assert!(matches!(voice.said(), Located::Place(place) if place.country().unwrap().as_str() == "IR"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn voices(&self) -> Vec<Voice<'_>> {
        self.screened().voices()
    }

    /// Who accepted the risk on which alone a servable answer rests.
    #[must_use]
    pub fn accepted_risk(&self) -> Option<&RiskAcceptance> {
        let screened = self.screened();
        screened.compiled.accepted_risk().filter(|_| screened.judged.at_risk)
    }

    /// The databases and programme lists that were used.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.screened().compiled.snapshots()
    }

    /// Those of [`snapshots`](Self::snapshots) that were no longer fresh: a warning, long before answers change.
    pub fn stale_snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        let screened = self.screened();
        screened.compiled.stale_snapshots(screened.at)
    }
}

/// What one source said of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice<'v> {
    source: &'v str,
    said: Located<'v>,
}

impl<'v> Voice<'v> {
    /// The source of the edge's voice.
    pub const EDGE: &'static str = "cf-ipcountry";

    /// The database's source as it names itself, or [`EDGE`](Self::EDGE).
    #[must_use]
    pub fn source(&self) -> &'v str {
        self.source
    }

    /// What it said.
    pub fn said(&self) -> Located<'v> {
        self.said
    }
}

impl fmt::Display for Voice<'_> {
    /// `source=IR`, `source=UA-43`, `source=tor`, `source=nothing`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.source)?;
        let place = match self.said {
            Located::NoRecord => return f.write_str("nothing"),
            Located::NotPublic => return f.write_str("not_public"),
            Located::Place(place) => place,
        };
        match (place.subdivision(), place.country()) {
            (Some(part), _) => write!(f, "{part}")?,
            (None, Some(country)) => write!(f, "{country}")?,
            (None, None) => f.write_str("nowhere")?,
        }
        let others =
            [("registered", place.registered_country()), ("represented", place.represented_country())];
        for (how, country) in others {
            if let Some(country) = country {
                write!(f, "+{how}:{country}")?;
            }
        }
        match place.anonymity() {
            anonymity if anonymity.is_tor_exit_node() => f.write_str("+tor"),
            anonymity if anonymity.is_anonymous() => f.write_str("+anonymiser"),
            _ => Ok(()),
        }
    }
}

impl Explain for Verdict {
    fn finding(&self) -> Finding {
        self.screened().finding()
    }
}

/// What all three share.
struct Screened {
    compiled: Arc<Compiled>,
    ip: IpAddr,
    at: Timestamp,
    judged: Judged,
    edge: Option<Place>,
}

impl Screened {
    fn country(&self) -> Option<CountryCode> {
        let at_edge = || self.edge.as_ref().and_then(Place::country);
        self.compiled.country(self.judged.value).or_else(at_edge)
    }

    fn subdivision(&self) -> Option<SubdivisionCode> {
        self.compiled.opinions(self.judged.value).into_iter().find_map(|said| match said {
            Located::Place(place) => place.subdivision(),
            Located::NoRecord | Located::NotPublic => None,
        })
    }

    fn concerning(&self) -> impl Iterator<Item = &Programme> {
        self.compiled.concerning(self.judged.value, self.edge.as_ref())
    }

    fn programmes(&self) -> impl Iterator<Item = &Programme> {
        self.concerning().filter(|programme| programme.in_force(self.at))
    }

    fn voices(&self) -> Vec<Voice<'_>> {
        let databases = self.compiled.databases().iter().map(|database| database.snapshot().source());
        let voices = databases.zip(self.compiled.opinions(self.judged.value));
        let edge = self.edge.as_ref().map(|place| (Voice::EDGE, said_at_edge(place)));
        voices.chain(edge).map(|(source, said)| Voice { source, said }).collect()
    }

    fn code(&self) -> ReasonCode {
        match self.judged.reasons.iter().next() {
            Some(reason) => reason.code(),
            None if self.judged.at_risk => reason_code!("embargo.servable_region_accepted"),
            // Passes are counted by their code: the count itself warns.
            None if self.compiled.stale_snapshots(self.at).next().is_some() => {
                reason_code!("embargo.servable_stale")
            }
            None => reason_code!("embargo.servable"),
        }
    }

    fn finding(&self) -> Finding {
        let policy = self.compiled.policy().clone();
        let finding = match (self.judged.reasons.iter().next(), self.judged.reasons.embargoed()) {
            (None, _) => Finding::passed(self.code(), policy),
            (Some(reason), true) => Finding::for_reason(Outcome::Refused, &reason, policy),
            (Some(reason), false) if self.compiled.refuses(self.judged.reasons) => {
                Finding::for_reason(Outcome::Refused, &reason, policy)
            }
            (Some(reason), false) => Finding::for_reason(Outcome::Review, &reason, policy),
        };
        let finding = finding.with_enforcement(self.compiled.enforcement());
        self.compiled.snapshots().cloned().fold(finding, Finding::with_snapshot)
    }

    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = ClientAddress::new(self.ip, AddressSource::Peer).network();
        write!(f, "{name}({network}, {}, {})", self.code(), self.compiled.policy())
    }
}

fn said_at_edge(place: &Place) -> Located<'_> {
    if *place == Place::default() { Located::NoRecord } else { Located::Place(place) }
}

/// The proof that a client is where it may be served: from [`Embargo::screen`](super::Embargo::screen) only.
///
/// A state proof: it speaks of one address, one policy, one state of the data, and lapses. It is neither `Clone` nor
/// deserialisable; a step that needs it takes it, and `now`:
///
/// ```
/// use compliance_core::clock::Timestamp;
/// use compliance_geo::embargo::{PlaceLapsed, ServablePlace};
///
/// fn open_account(place: &ServablePlace, now: Timestamp) -> Result<(), PlaceLapsed> {
///     let place = place.in_force(now)?;
///     println!("account opened under {}", place.policy());
///     Ok(())
/// }
/// ```
///
/// ```compile_fail
/// fn copy(place: &compliance_geo::embargo::ServablePlace) -> compliance_geo::embargo::ServablePlace {
///     place.clone()
/// }
/// ```
#[must_use]
pub struct ServablePlace {
    screened: Screened,
    valid_until: Timestamp,
}

impl ServablePlace {
    /// The proof itself while it holds: from the moment of screening until [`valid_until`](Self::valid_until).
    ///
    /// # Errors
    /// [`PlaceLapsed`] after it, and before the screening, when the clock was turned back.
    pub fn in_force(&self, now: Timestamp) -> Result<&Self, PlaceLapsed> {
        if self.screened.at <= now && now < self.valid_until { Ok(self) } else { Err(PlaceLapsed(())) }
    }

    /// Until when it holds: never longer than the data and the programmes it rests on.
    #[must_use]
    pub fn valid_until(&self) -> Timestamp {
        self.valid_until
    }

    /// When the address was screened.
    #[must_use]
    pub fn screened_at(&self) -> Timestamp {
        self.screened.at
    }

    /// Whether the proof is about this address. IPv4-mapped IPv6 is the same as IPv4.
    #[must_use]
    pub fn is_for(&self, ip: IpAddr) -> bool {
        self.screened.ip.to_canonical() == ip.to_canonical()
    }

    /// The country, if a database says.
    #[must_use]
    pub fn country(&self) -> Option<CountryCode> {
        self.screened.country()
    }

    /// The part of the country, if a database says.
    #[must_use]
    pub fn subdivision(&self) -> Option<SubdivisionCode> {
        self.screened.subdivision()
    }

    /// Whether it was given only because somebody accepted the risk of an unknown region.
    #[must_use]
    pub fn is_at_risk(&self) -> bool {
        self.screened.judged.at_risk
    }

    /// Which policy decided.
    #[must_use]
    pub fn policy(&self) -> &PolicyVersion {
        self.screened.compiled.policy()
    }

    /// The databases and programme lists that were used.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.screened.compiled.snapshots()
    }

    /// Those of [`snapshots`](Self::snapshots) that were no longer fresh.
    pub fn stale_snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.screened.compiled.stale_snapshots(self.screened.at)
    }
}

impl Explain for ServablePlace {
    fn finding(&self) -> Finding {
        self.screened.finding()
    }
}

impl fmt::Debug for ServablePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.screened.debug("ServablePlace", f)
    }
}

/// A [`ServablePlace`] no longer holds, or not yet: screen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proof of a servable place has lapsed")]
pub struct PlaceLapsed(());

impl PlaceLapsed {
    /// `embargo.lapsed`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "embargo.lapsed"
    }
}

/// An address in the scope of an embargo programme.
pub struct EmbargoedPlace(Screened);

impl EmbargoedPlace {
    /// [`EmbargoReason::Country`] or [`EmbargoReason::Region`].
    #[must_use]
    pub fn reason(&self) -> EmbargoReason {
        self.0.judged.reasons.iter().next().unwrap_or(EmbargoReason::Country)
    }

    /// The programmes in force that cover the place.
    pub fn programmes(&self) -> impl Iterator<Item = &Programme> {
        self.0.programmes()
    }

    /// The country of the address that decided.
    #[must_use]
    pub fn country(&self) -> Option<CountryCode> {
        self.0.country()
    }

    /// The part of the country, if a database says.
    #[must_use]
    pub fn subdivision(&self) -> Option<SubdivisionCode> {
        self.0.subdivision()
    }
}

impl Explain for EmbargoedPlace {
    fn finding(&self) -> Finding {
        self.0.finding()
    }
}

impl fmt::Debug for EmbargoedPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("EmbargoedPlace", f)
    }
}

/// An address of which nobody can tell.
pub struct ReviewPlace(Screened);

impl ReviewPlace {
    /// The reason that goes first.
    #[must_use]
    pub fn reason(&self) -> EmbargoReason {
        self.reasons().next().unwrap_or(EmbargoReason::NoRecord)
    }

    /// Every reason, the first one first.
    pub fn reasons(&self) -> impl Iterator<Item = EmbargoReason> {
        let reasons: Reasons = self.0.judged.reasons;
        reasons.iter()
    }

    /// Whether the operator chose to have one of the reasons refused rather than looked at.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.0.compiled.refuses(self.0.judged.reasons)
    }

    /// The programmes in force that say something of the place.
    pub fn programmes(&self) -> impl Iterator<Item = &Programme> {
        self.0.programmes()
    }

    /// The country, if a database says.
    #[must_use]
    pub fn country(&self) -> Option<CountryCode> {
        self.0.country()
    }

    /// The part of the country, if a database says.
    #[must_use]
    pub fn subdivision(&self) -> Option<SubdivisionCode> {
        self.0.subdivision()
    }
}

impl Explain for ReviewPlace {
    fn finding(&self) -> Finding {
        self.0.finding()
    }
}

impl fmt::Debug for ReviewPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("ReviewPlace", f)
    }
}
