//! Policy and databases, laid out for the fast path.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use compliance_core::address::{EmbeddedKind, embedded_ipv4};
use compliance_core::clock::Timestamp;
use compliance_core::country::CountryCode;
use compliance_core::finding::{Enforcement, PolicyVersion, RiskAcceptance};
use compliance_core::snapshot::{Freshness, Snapshot, Staleness};

use super::programme::{Policy, Programme, ProgrammeList};
use super::reason::{EmbargoReason, Reasons, of_opinions};
use super::verdict::VerdictClass;
use super::{EmbargoError, EmbargoErrorKind, Settings};
use crate::database::{Combined, Database, Located, Place, Table, combine};

pub(super) struct Compiled {
    policy: PolicyVersion,
    enforcement: Enforcement,
    databases: Vec<Database>,
    // With more than one database: their tables laid over one another.
    combined: Option<Combined>,
    programmes: Vec<Programme>,
    lists: Vec<Snapshot>,
    staleness: Staleness,
    validity: Duration,
    unknown_regions: Option<RiskAcceptance>,
    // What holds from when on, in order; the first from the beginning of time.
    spans: Vec<Span>,
    // By value.
    countries: Vec<Option<CountryCode>>,
    // Servable answers hold from the first to before the second.
    fresh: (Timestamp, Timestamp),
}

/// A stretch of time in which no programme begins or ends.
struct Span {
    from: Timestamp,
    // By value.
    reasons: Vec<Reasons>,
}

/// The outcome for one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged {
    pub(super) reasons: Reasons,
    // The value that decided: the address's own or that of one it carries.
    pub(super) value: u16,
    // Servable only because somebody accepted the risk.
    pub(super) at_risk: bool,
}

impl Judged {
    #[inline]
    pub(super) fn class(self) -> VerdictClass {
        if self.reasons.servable() {
            VerdictClass::Servable
        } else if self.reasons.embargoed() {
            VerdictClass::Embargoed
        } else {
            VerdictClass::Review
        }
    }
}

impl Compiled {
    pub(super) fn new(policies: &[Policy], settings: Settings) -> Result<Self, EmbargoError> {
        let list = settings.programmes.map_or_else(ProgrammeList::embedded, Ok)?;
        let (programmes, lists) = list.into_parts();
        let chosen =
            |programme: &Programme| policies.iter().any(|policy| policy.includes(programme.authority()));
        let programmes: Vec<Programme> = programmes.into_iter().filter(chosen).collect();
        if programmes.is_empty() {
            return Err(EmbargoErrorKind::NoProgrammes.into());
        }
        let mut databases = settings.databases;
        if databases.is_empty() {
            databases.push(Database::embedded()?);
        }
        if !databases.iter().any(Database::knows_countries) {
            return Err(EmbargoErrorKind::NoCountries.into());
        }
        let combined = combine(&databases)?;
        let mut compiled = Self {
            policy: policy_version(policies, &lists),
            enforcement: settings.enforcement,
            fresh: fresh(&databases, &lists, settings.staleness),
            databases,
            combined,
            programmes,
            lists,
            staleness: settings.staleness,
            validity: settings.validity,
            unknown_regions: settings.unknown_regions,
            spans: Vec::new(),
            countries: Vec::new(),
        };
        let values = compiled.values();
        compiled.countries = (0..values)
            .map(|value| compiled.opinions(value).iter().find_map(|said| place(*said)?.country()))
            .collect();
        let mut begins = vec![Timestamp::MIN];
        for programme in &compiled.programmes {
            begins.push(programme.effective_from().start());
            begins.extend(programme.effective_to().map(|end| end.start()));
        }
        begins.sort_unstable();
        begins.dedup();
        let span = |from| {
            let in_force = compiled.programmes.iter().filter(move |programme| programme.in_force(from));
            let reasons = (0..values).map(|value| {
                of_opinions(&compiled.opinions(value), settings.quorum, &in_force, settings.review_conflicts)
            });
            Span { from, reasons: reasons.collect() }
        };
        let spans = begins.into_iter().map(span).collect();
        compiled.spans = spans;
        Ok(compiled)
    }

    fn values(&self) -> u16 {
        match (&self.combined, self.databases.first()) {
            (Some(combined), _) => combined.values(),
            (None, Some(database)) => database.values(),
            (None, None) => 0,
        }
    }

    /// What each database says under a value.
    pub(super) fn opinions(&self, value: u16) -> Vec<Located<'_>> {
        match (&self.combined, self.databases.as_slice()) {
            (None, [database]) => vec![database.located(value)],
            (Some(combined), databases) if !combined.said(value).is_empty() => databases
                .iter()
                .zip(combined.said(value))
                .map(|(database, value)| database.located(*value))
                .collect(),
            // No record and not public have the same value in every table.
            (_, [database, ..]) => vec![database.located(value)],
            (_, []) => Vec::new(),
        }
    }

    #[inline]
    fn table(&self) -> Option<&Table> {
        match &self.combined {
            Some(combined) => Some(&combined.table),
            None => self.databases.first().map(Database::table),
        }
    }

    #[inline]
    pub(super) fn judge(&self, ip: IpAddr, now: Timestamp) -> Judged {
        let span = self.span(now);
        match ip {
            IpAddr::V4(ip) => self.settle(self.v4(ip, span), now),
            IpAddr::V6(ip) if may_carry_ipv4(ip) => self.settle(self.carrying(ip, span), now),
            IpAddr::V6(ip) => self.settle(self.v6(ip, span), now),
        }
    }

    #[inline]
    fn span(&self, now: Timestamp) -> Option<&Span> {
        self.spans.iter().rev().find(|span| span.from <= now)
    }

    #[inline]
    fn v4(&self, ip: Ipv4Addr, span: Option<&Span>) -> Judged {
        self.judged(self.table().map_or(0, |table| table.v4(ip)), span)
    }

    #[inline]
    fn v6(&self, ip: Ipv6Addr, span: Option<&Span>) -> Judged {
        self.judged(self.table().map_or(0, |table| table.v6(ip)), span)
    }

    #[inline]
    fn judged(&self, value: u16, span: Option<&Span>) -> Judged {
        let reasons = span.and_then(|span| span.reasons.get(usize::from(value)));
        let reasons = reasons.copied().unwrap_or(Reasons::of(EmbargoReason::NoRecord));
        Judged { reasons, value, at_risk: false }
    }

    /// Judges an address by itself and by every IPv4 address it carries.
    #[cold]
    fn carrying(&self, ip: Ipv6Addr, span: Option<&Span>) -> Judged {
        let outer = self.v6(ip, span);
        let mut client: Option<Judged> = None;
        let mut disagrees = false;
        for embedded in embedded_ipv4(ip) {
            let inner = self.v4(embedded.address, span);
            let elsewhere = match (self.country(inner.value), self.country(outer.value)) {
                (Some(inner), Some(outer)) => inner != outer,
                _ => false,
            };
            match embedded.kind {
                // The server only relays: it does not say where the client is, but an embargoed one is no accident.
                EmbeddedKind::TeredoServer => disagrees |= inner.reasons.embargoed(),
                _ if inner.reasons.embargoed() => return inner,
                // Part of an interface identifier: the network is the outer one's.
                EmbeddedKind::Isatap => disagrees |= elsewhere,
                // Where it comes out is up to a gateway of ours, and which bits it reads is not known.
                EmbeddedKind::Nat64Local => client = Some(Judged { reasons: NOT_PUBLIC, ..inner }),
                _ => {
                    disagrees |= elsewhere;
                    client = Some(inner);
                }
            }
        }
        if outer.reasons.embargoed() {
            return outer;
        }
        let judged = client.unwrap_or(outer);
        if disagrees {
            let reasons = judged.reasons.and(Reasons::of(EmbargoReason::TunnelDisagrees));
            return Judged { reasons, ..judged };
        }
        judged
    }

    /// Applies what depends on the very moment: accepted risks and the age of the data.
    #[inline]
    fn settle(&self, judged: Judged, now: Timestamp) -> Judged {
        if judged.reasons.embargoed() {
            return judged;
        }
        let accepted = judged.reasons.contains(EmbargoReason::RegionUnknown)
            && self.unknown_regions.as_ref().is_some_and(|accepted| accepted.in_force(now).is_ok());
        let mut reasons = judged.reasons;
        if accepted {
            reasons = reasons.without(EmbargoReason::RegionUnknown);
        }
        let (from, until) = self.fresh;
        if !(from <= now && now < until) {
            reasons = reasons.and(Reasons::of(EmbargoReason::Stale));
        }
        Judged { reasons, at_risk: accepted && reasons.servable(), ..judged }
    }

    pub(super) fn country(&self, value: u16) -> Option<CountryCode> {
        self.countries.get(usize::from(value)).copied().flatten()
    }

    /// The programmes in force at `now` that say something of the places under a value.
    pub(super) fn touching(&self, value: u16, now: Timestamp) -> impl Iterator<Item = &Programme> {
        let opinions = self.opinions(value);
        self.programmes.iter().filter(move |programme| {
            let touches =
                |said: &Located<'_>| place(*said).is_some_and(|place| programme.touches(place).is_some());
            programme.in_force(now) && opinions.iter().any(touches)
        })
    }

    /// Until when a servable answer given at `now` holds.
    pub(super) fn valid_until(&self, now: Timestamp, at_risk: bool) -> Timestamp {
        let next = self.spans.iter().map(|span| span.from).find(|from| *from > now);
        let accepted = self.unknown_regions.as_ref().filter(|_| at_risk).map(RiskAcceptance::expires);
        let limits = [next, accepted, Some(self.fresh.1)];
        limits.into_iter().flatten().fold(now.saturating_add(self.validity), Timestamp::min)
    }

    pub(super) fn policy(&self) -> &PolicyVersion {
        &self.policy
    }

    pub(super) fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    pub(super) fn programmes(&self) -> &[Programme] {
        &self.programmes
    }

    pub(super) fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.databases.iter().map(Database::snapshot).chain(&self.lists)
    }

    pub(super) fn stale_snapshots(&self, now: Timestamp) -> impl Iterator<Item = &Snapshot> {
        self.snapshots().filter(move |snapshot| self.staleness.freshness(snapshot, now) != Freshness::Fresh)
    }

    pub(super) fn table_bytes(&self) -> usize {
        let tables = self.databases.iter().map(Database::table_bytes);
        let combined = self.combined.as_ref().map_or(0, |combined| combined.table.bytes());
        let spans = self.spans.iter().map(|span| size_of_val(span.reasons.as_slice()));
        tables.chain(spans).chain([combined, size_of_val(self.countries.as_slice())]).sum()
    }
}

const NOT_PUBLIC: Reasons = Reasons::of(EmbargoReason::NotPublic);

fn place(said: Located<'_>) -> Option<&Place> {
    match said {
        Located::Place(place) => Some(place),
        Located::NoRecord | Located::NotPublic => None,
    }
}

/// Whether an address can be one of the forms of [`embedded_ipv4`]. A superset, in a few instructions.
#[inline]
fn may_carry_ipv4(ip: Ipv6Addr) -> bool {
    let [first, second, third, fourth, fifth, sixth, ..] = ip.segments();
    let prefix = match first {
        0 => second | third | fourth == 0,
        0x64 => second == 0xff9b,
        0x2001 => second == 0,
        0x2002 => true,
        _ => false,
    };
    prefix || (fifth & 0xfdff == 0 && sixth == 0x5efe)
}

fn policy_version(policies: &[Policy], lists: &[Snapshot]) -> PolicyVersion {
    let mut names: Vec<&str> = policies.iter().map(|policy| policy.as_str()).collect();
    names.sort_unstable();
    let newest = lists.iter().map(Snapshot::as_of).max();
    PolicyVersion::new(
        format!("embargo-{}", names.join("+")),
        newest.map_or_else(String::new, |day| day.to_string()),
    )
}

/// The time in which no database is too old or dated in the future, and no programme list too old. A list may be
/// newer than `now`: a replay of an old decision asks what is known today.
fn fresh(databases: &[Database], lists: &[Snapshot], staleness: Staleness) -> (Timestamp, Timestamp) {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut fresh = (Timestamp::MIN, Timestamp::MAX);
    let databases = databases.iter().map(Database::snapshot);
    for snapshot in databases.clone() {
        fresh.0 = fresh.0.max(snapshot.as_of().start().saturating_sub(DAY));
    }
    for snapshot in databases.chain(lists) {
        fresh.1 = fresh.1.min(expires(snapshot, staleness));
    }
    fresh
}

/// The first day on which a snapshot no longer carries a servable answer.
fn expires(snapshot: &Snapshot, staleness: Staleness) -> Timestamp {
    const DAY_SECONDS: u64 = 86_400;
    let start = snapshot.as_of().start();
    let after =
        |days: u32| start.saturating_add(Duration::from_secs(DAY_SECONDS.saturating_mul(u64::from(days))));
    let expired = |days| matches!(staleness.freshness(snapshot, after(days)), Freshness::Expired { .. });
    // The age at which it expires, found by halving: the rule itself does not tell.
    let (mut fresh, mut found) = (0_u32, 1 << 22);
    if !expired(found) {
        return Timestamp::MAX;
    }
    while found.saturating_sub(fresh) > 1 {
        let middle = fresh.midpoint(found);
        if expired(middle) { found = middle } else { fresh = middle }
    }
    after(found)
}
