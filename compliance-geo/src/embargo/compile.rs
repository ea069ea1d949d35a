//! Policy and databases, laid out for the fast path.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use compliance_core::address::{EmbeddedKind, embedded_ipv4};
use compliance_core::clock::Timestamp;
use compliance_core::country::CountryCode;
use compliance_core::finding::{Enforcement, PolicyVersion, RiskAcceptance};
use compliance_core::snapshot::{Freshness, Snapshot, Staleness};

use super::list::ProgrammeList;
use super::map::{Code, Map, OTHER};
use super::policy::Policy;
use super::programme::Programme;
use super::reason::{EmbargoReason, Reasons, of_opinions};
use super::verdict::VerdictClass;
use super::{Embargo, EmbargoError, EmbargoErrorKind, Settings};
use crate::client_ip::EdgeCountry;
use crate::database::{Combined, Database, Located, Place, Quorum, Table, combine};

pub(super) struct Compiled {
    policy: PolicyVersion,
    enforcement: Enforcement,
    databases: Vec<Database>,
    // With more than one database: what each says under the values of the table.
    combined: Option<Combined>,
    // That of the only database, or those of several laid over one another.
    table: Arc<Table>,
    programmes: Vec<Programme>,
    lists: Vec<Snapshot>,
    staleness: Staleness,
    validity: Duration,
    quorum: Quorum,
    review_conflicts: bool,
    refused_reviews: Reasons,
    unknown_regions: Option<RiskAcceptance>,
    // What holds from when on, in order; the first from the beginning of time.
    spans: Vec<Span>,
    map: Map,
    // By value.
    countries: Vec<Option<CountryCode>>,
    // Servable answers hold from the first to before the second.
    fresh: (Timestamp, Timestamp),
    windows: Windows,
}

/// In order, and apart from each other.
struct Windows {
    // Nearly always the only one, so not behind a pointer.
    first: Window,
    // While a programme that begins or ends later is known.
    later: Vec<Window>,
}

impl Windows {
    fn new(windows: impl IntoIterator<Item = Window>) -> Self {
        let mut windows = windows.into_iter();
        Self { first: windows.next().unwrap_or(Window::NONE), later: windows.collect() }
    }

    fn all(&self) -> impl Iterator<Item = &Window> {
        std::iter::once(&self.first).chain(&self.later)
    }

    #[inline]
    fn at(&self, second: i64) -> Option<&Window> {
        if self.first.holds(second) { Some(&self.first) } else { self.later_at(second) }
    }

    #[cold]
    fn later_at(&self, second: i64) -> Option<&Window> {
        self.later.iter().find(|window| window.holds(second))
    }
}

/// A time for which everything that depends on time is settled already: within one span, while the data is fresh, up to
/// the end of the accepted risk or from there on.
struct Window {
    // In seconds since the Unix epoch: from the first to before the second.
    from: i64,
    until: i64,
    // By the map's code.
    groups: [VerdictClass; 1 << Code::BITS],
    // By value.
    classes: Vec<VerdictClass>,
}

impl Window {
    /// At no time.
    const NONE: Self =
        Self { from: 0, until: 0, groups: [VerdictClass::Review; 1 << Code::BITS], classes: Vec::new() };

    #[inline]
    fn holds(&self, second: i64) -> bool {
        self.from <= second && second < self.until
    }

    #[inline]
    fn of_code(&self, code: Code) -> VerdictClass {
        self.groups.get(usize::from(code)).copied().unwrap_or(VerdictClass::Review)
    }

    #[inline]
    fn of_value(&self, value: u16) -> VerdictClass {
        self.classes.get(usize::from(value)).copied().unwrap_or(VerdictClass::Review)
    }
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
    // Among them those of a network around the address that decided.
    outer: Reasons,
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
        // A policy's name must not stand for a list in which none of its law is.
        let has_law =
            |policy: &Policy| programmes.iter().any(|programme| policy.is_behind(programme.authority()));
        if programmes.is_empty() || !policies.iter().all(has_law) {
            return Err(EmbargoErrorKind::NoProgrammes.into());
        }
        let mut databases = settings.databases;
        if databases.is_empty() {
            databases.push(Database::embedded()?);
        }
        if !databases.iter().any(Database::knows_countries) {
            return Err(EmbargoErrorKind::NoCountries.into());
        }
        let (found, limit) = (databases.len().saturating_add(lists.len()), Embargo::MAX_SNAPSHOTS);
        if found > limit {
            return Err(EmbargoErrorKind::TooManySnapshots { found, limit }.into());
        }
        let combined = combine(&databases)?;
        let values = match (&combined, databases.first()) {
            (Some(combined), _) => combined.values(),
            (None, Some(database)) => database.values(),
            (None, None) => 0,
        };
        let opinions: Vec<_> =
            (0..values).map(|value| opinions(&databases, combined.as_ref(), value)).collect();
        let countries =
            opinions.iter().map(|said| said.iter().find_map(|said| place(*said)?.country())).collect();
        let mut spans: Vec<Span> = Vec::new();
        for from in begins(&programmes) {
            let in_force = programmes.iter().filter(|programme| programme.in_force(from));
            let of = |said: &Vec<_>| of_opinions(said, settings.quorum, &in_force, settings.review_conflicts);
            let reasons = opinions.iter().map(of).collect();
            spans.push(Span { from, reasons });
        }
        drop(opinions);
        let table = match (&combined, databases.first()) {
            (Some(combined), _) => Arc::clone(&combined.table),
            (None, Some(database)) => Arc::clone(database.table()),
            (None, None) => return Err(EmbargoErrorKind::NoCountries.into()),
        };
        let runs = table.runs_v4();
        let (codes, groups) = codes(&runs, &spans);
        let map = Map::new(&runs, &table.runs_v6(), &codes);
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
            quorum: settings.quorum,
            review_conflicts: settings.review_conflicts,
            refused_reviews: settings.refused_reviews,
            unknown_regions: settings.unknown_regions,
            spans,
            table,
            map,
            countries,
            windows: Windows::new(None),
        };
        compiled.windows = Windows::new(compiled.settled_windows(&groups));
        Ok(compiled)
    }

    /// `groups` are values of which each stands for its group, by code.
    fn settled_windows(&self, groups: &[u16]) -> Vec<Window> {
        let (fresh_from, fresh_until) = self.fresh;
        let accepted = self.unknown_regions.as_ref().map(RiskAcceptance::expires);
        let changes = self.spans.iter().map(|span| span.from).chain(accepted);
        let mut edges: Vec<Timestamp> =
            changes.filter(|change| fresh_from < *change && *change < fresh_until).collect();
        edges.push(fresh_from);
        edges.sort_unstable();
        edges.dedup();
        let ends = edges.iter().skip(1).copied().chain([fresh_until]);
        edges.iter().zip(ends).filter_map(|(from, until)| self.window(*from, until, groups)).collect()
    }

    fn window(&self, from: Timestamp, until: Timestamp, groups: &[u16]) -> Option<Window> {
        let settled = |reasons: &Reasons| {
            self.settle(Judged { reasons: *reasons, outer: Reasons::NONE, value: 0, at_risk: false }, from)
                .class()
        };
        let classes: Vec<VerdictClass> = self.span(from)?.reasons.iter().map(settled).collect();
        let mut by_code = [VerdictClass::Review; 1 << Code::BITS];
        for (class, value) in by_code.iter_mut().zip(groups) {
            *class = classes.get(usize::from(*value)).copied().unwrap_or(*class);
        }
        // Whole seconds inside the window: what is cut off at its ends is judged the long way.
        let first = from.as_unix_seconds();
        let first = if Timestamp::from_unix_seconds(first) < from { first.saturating_add(1) } else { first };
        let until = until.as_unix_seconds();
        (first < until).then_some(Window { from: first, until, groups: by_code, classes })
    }

    /// What each database says under a value.
    pub(super) fn opinions(&self, value: u16) -> Vec<Located<'_>> {
        opinions(&self.databases, self.combined.as_ref(), value)
    }

    #[inline]
    pub(super) fn judge(&self, ip: IpAddr, now: Timestamp) -> Judged {
        self.settle(self.by_place(ip, now), now)
    }

    /// As [`judge`](Self::judge), with one more voice in the quorum: the last one asked.
    pub(super) fn judge_with_edge(&self, ip: IpAddr, edge: &Place, now: Timestamp) -> Judged {
        let judged = self.by_place(ip, now);
        let carries = matches!(ip, IpAddr::V6(ip) if may_carry_ipv4(ip));
        if carries && judged.reasons.embargoed() {
            // An end of a tunnel is embargoed: whom the edge saw at the other end changes nothing.
            return self.settle(judged, now);
        }
        let in_force = self.programmes.iter().filter(|programme| programme.in_force(now));
        let mut said = self.opinions(judged.value);
        said.push(Located::Place(edge));
        let together = of_opinions(&said, self.quorum, &in_force, self.review_conflicts);
        // Of the address itself, not of its place.
        let own = NOT_PUBLIC.and(Reasons::of(EmbargoReason::TunnelDisagrees)).and(HIDES);
        let own = judged.reasons.within(own).and(judged.outer);
        let reasons = if together.embargoed() { together } else { together.and(own) };
        self.settle(Judged { reasons, ..judged }, now)
    }

    #[inline]
    fn by_place(&self, ip: IpAddr, now: Timestamp) -> Judged {
        let span = self.span(now);
        match ip {
            IpAddr::V4(ip) => self.v4(ip, span),
            IpAddr::V6(ip) if may_carry_ipv4(ip) => self.carrying(ip, span),
            IpAddr::V6(ip) => self.v6(ip, span),
        }
    }

    #[inline]
    fn span(&self, now: Timestamp) -> Option<&Span> {
        self.spans.iter().rev().find(|span| span.from <= now)
    }

    /// The class of an address, by the shortest way.
    #[inline]
    pub(super) fn class(&self, ip: IpAddr, now: Timestamp) -> VerdictClass {
        let second = now.as_unix_seconds();
        let window = self.windows.at(second);
        // The address is taken apart at once and put together again for the long way only: kept whole it would be
        // copied to the stack and read back across the copy's seam, which costs more than all the rest.
        match ip {
            IpAddr::V4(ip) => match window {
                Some(window) => match self.map.v4(ip) {
                    Some(code) => window.of_code(code),
                    None => window.of_value(self.table.v4(ip)),
                },
                None => self.class_in_full(IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits())), now),
            },
            IpAddr::V6(ip) => match window {
                Some(window) if !may_carry_ipv4(ip) => match self.map.v6(ip) {
                    Some(code) => window.of_code(code),
                    None => window.of_value(self.table.v6(ip)),
                },
                _ => self.class_in_full(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits())), now),
            },
        }
    }

    #[cold]
    fn class_in_full(&self, ip: IpAddr, now: Timestamp) -> VerdictClass {
        self.judge(ip, now).class()
    }

    #[inline]
    fn v4(&self, ip: Ipv4Addr, span: Option<&Span>) -> Judged {
        self.judged(self.table.v4(ip), span)
    }

    #[inline]
    fn v6(&self, ip: Ipv6Addr, span: Option<&Span>) -> Judged {
        self.judged(self.table.v6(ip), span)
    }

    #[inline]
    fn judged(&self, value: u16, span: Option<&Span>) -> Judged {
        let reasons = span.and_then(|span| span.reasons.get(usize::from(value)));
        let reasons = reasons.copied().unwrap_or(Reasons::of(EmbargoReason::NoRecord));
        Judged { reasons, outer: Reasons::NONE, value, at_risk: false }
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
        // Who hides its users, is an embargoed state's or in doubt is so for those behind its tunnel, too. That the
        // tunnel's own address is in no database, or not public, is as it should be.
        let around = outer.reasons.without(EmbargoReason::NoRecord).without(EmbargoReason::NotPublic);
        let around = if client.is_some() { around } else { Reasons::NONE };
        let judged = Judged { reasons: judged.reasons.and(around), outer: around, ..judged };
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

    /// The programmes that say something of the places under a value, or of what the edge said; in force or not.
    pub(super) fn concerning<'c>(
        &'c self,
        value: u16,
        edge: Option<&'c Place>,
    ) -> impl Iterator<Item = &'c Programme> {
        let places: Vec<&Place> = self.opinions(value).into_iter().filter_map(place).chain(edge).collect();
        self.programmes.iter().filter(move |programme| places.iter().any(|place| programme.concerns(place)))
    }

    /// Whether a review for these reasons is carried out as a refusal.
    pub(super) fn refuses(&self, reasons: Reasons) -> bool {
        !reasons.within(self.refused_reviews).servable()
    }

    pub(super) fn databases(&self) -> &[Database] {
        &self.databases
    }

    /// The risk that was accepted, where it made an answer servable.
    pub(super) fn accepted_risk(&self) -> Option<&RiskAcceptance> {
        self.unknown_regions.as_ref()
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
        let databases = self.databases.iter().map(Database::snapshot);
        let databases =
            databases.filter(move |snapshot| self.staleness.freshness(snapshot, now) != Freshness::Fresh);
        databases.chain(self.lists.iter().filter(move |list| list_is_stale(list, self.staleness, now)))
    }

    pub(super) fn table_bytes(&self) -> usize {
        let tables = self.databases.iter().map(Database::table_bytes);
        let combined = self.combined.as_ref().map_or(0, |combined| combined.bytes());
        let spans = self.spans.iter().map(|span| size_of_val(span.reasons.as_slice()));
        let windows = self.windows.all();
        let windows =
            windows.map(|window| size_of_val(window).saturating_add(size_of_val(window.classes.as_slice())));
        let countries = size_of_val(self.countries.as_slice());
        tables.chain(spans).chain(windows).chain([combined, self.map.bytes(), countries]).sum()
    }
}

/// What each database says under a value.
fn opinions<'d>(databases: &'d [Database], combined: Option<&Combined>, value: u16) -> Vec<Located<'d>> {
    match (combined, databases) {
        (None, [database]) => vec![database.located(value)],
        (Some(combined), databases) if !combined.said(value).is_empty() => databases
            .iter()
            .zip(combined.said(value))
            .map(|(database, value)| database.located(*value))
            .collect(),
        // No record and not public have the same value in every table.
        (_, databases) => databases.iter().map(|database| database.located(value)).collect(),
    }
}

/// The moments at which a programme begins or ends, the beginning of time first.
fn begins(programmes: &[Programme]) -> Vec<Timestamp> {
    let mut begins = vec![Timestamp::MIN];
    for programme in programmes {
        begins.push(programme.effective_from().start());
        begins.extend(programme.effective_to().map(|end| end.start()));
    }
    begins.sort_unstable();
    begins.dedup();
    begins
}

/// Groups values of which every programme says the same at all times: each value's code, and by code a value of the
/// group. The groups with most of IPv4 come first.
fn codes(runs: &[(u32, u16)], spans: &[Span]) -> (Vec<Code>, Vec<u16>) {
    let mut covered: HashMap<u16, u64> = HashMap::new();
    let ends = runs.iter().skip(1).map(|(start, _)| *start).chain([u32::MAX]);
    for ((start, value), end) in runs.iter().zip(ends) {
        let sum = covered.entry(*value).or_default();
        *sum = sum.saturating_add(u64::from(end.saturating_sub(*start)));
    }
    // A group's values and how much they cover.
    let mut groups: HashMap<Vec<Reasons>, (Vec<u16>, u64)> = HashMap::new();
    let values = spans.first().map_or(0, |span| span.reasons.len());
    for value in (0..values).filter_map(|value| u16::try_from(value).ok()) {
        let said = spans.iter().filter_map(|span| span.reasons.get(usize::from(value)).copied()).collect();
        let (members, sum) = groups.entry(said).or_default();
        members.push(value);
        *sum = sum.saturating_add(covered.get(&value).copied().unwrap_or(0));
    }
    let mut ranked: Vec<(Vec<u16>, u64)> = groups.into_values().collect();
    ranked.sort_unstable_by(|(a, covered_a), (b, covered_b)| covered_b.cmp(covered_a).then_with(|| a.cmp(b)));
    let mut codes = vec![OTHER; values];
    // What has no code left goes to the table.
    for (code, (members, _)) in (0..OTHER).zip(&ranked) {
        for value in members {
            if let Some(cell) = codes.get_mut(usize::from(*value)) {
                *cell = code;
            }
        }
    }
    (codes, ranked.iter().filter_map(|(members, _)| members.first().copied()).collect())
}

/// What the edge said, as a database would say it.
pub(super) fn place_at_edge(edge: EdgeCountry) -> Place {
    match edge {
        EdgeCountry::Country(country) => Place::in_country(country),
        EdgeCountry::Tor => Place::behind_tor(),
        EdgeCountry::Unknown => Place::default(),
    }
}

const HIDES: Reasons = Reasons::of(EmbargoReason::Tor).and(Reasons::of(EmbargoReason::Anonymiser));
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
    let bits = ip.to_bits();
    let high = (bits >> 64) as u64;
    let isatap = bits & ISATAP_MASK == ISATAP;
    // Nearly every client is above 2003::.
    isatap || high >> 48 < 0x2003 && carries_ipv4_by_prefix(high)
}

/// The upper half of an interface identifier of ISATAP, `0:5efe` or `200:5efe`.
const ISATAP: u128 = 0x5efe << 32;
const ISATAP_MASK: u128 = 0xfdff_ffff << 32;

/// Compatible, mapped and SIIT; 64:ff9b::/32; Teredo; 6to4.
fn carries_ipv4_by_prefix(high: u64) -> bool {
    high == 0 || high >> 32 == 0x0064_ff9b || high >> 32 == 0x2001_0000 || high >> 48 == 0x2002
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

/// Whether a programme list is to be warned of: the embedded one as a database is, an operator's own once it is older
/// than the limit. Being newer than `now` is no fault: a replay of an old decision asks what is known today.
fn list_is_stale(list: &Snapshot, staleness: Staleness, now: Timestamp) -> bool {
    match staleness.freshness(list, now) {
        Freshness::Fresh => false,
        Freshness::Stale { .. } => ProgrammeList::is_embedded(list),
        Freshness::Expired { age_days } => age_days > 0,
    }
}

/// The time in which no database is too old or dated in the future, and the embedded programme list not too old. An
/// operator's own rules do not end by getting old.
fn fresh(databases: &[Database], lists: &[Snapshot], staleness: Staleness) -> (Timestamp, Timestamp) {
    const DAY: Duration = Duration::from_secs(86_400);
    let mut fresh = (Timestamp::MIN, Timestamp::MAX);
    let databases = databases.iter().map(Database::snapshot);
    for snapshot in databases.clone() {
        fresh.0 = fresh.0.max(snapshot.as_of().start().saturating_sub(DAY));
    }
    for snapshot in databases.chain(lists.iter().filter(|list| ProgrammeList::is_embedded(list))) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// What begins or ends later, programmes and accepted risks, does not send the time before it the long way.
    #[test]
    fn windows_cover_all_of_the_time_in_which_the_data_is_fresh() {
        const LATER: &str = r#"
            version = "2026-06-01"
            [[programme]]
            id = "own.rule"
            authority = "own"
            title = "t"
            legal_basis = "l"
            kind = "comprehensive"
            effect = "embargo"
            effective_from = "2027-01-01"
            effective_to = "2027-03-01"
            scope = [{ country = "US" }]
        "#;
        let (list, _) = ProgrammeList::embedded().unwrap().with(ProgrammeList::parse(LATER).unwrap());
        let accepted = RiskAcceptance::new("ops", "text only", at("2026-12-01T00:00:00.5Z")).unwrap();
        let embargo = Embargo::builder().policy(Policy::Us).programmes(list);
        let embargo = embargo.dangerous(accepted).serve_unknown_regions().build().unwrap();
        let windows: Vec<&Window> = embargo.compiled.windows.all().collect();
        let (fresh_from, fresh_until) = embargo.compiled.fresh;
        let begins: Vec<i64> = windows.iter().map(|window| window.from).collect();
        let starts =
            [fresh_from, at("2026-12-01T00:00:01Z"), at("2027-01-01T00:00:00Z"), at("2027-03-01T00:00:00Z")];
        assert_eq!(begins, starts.map(Timestamp::as_unix_seconds));
        // Nothing lies between but the second in which the acceptance expires.
        let gaps: Vec<i64> =
            windows.iter().zip(&begins[1..]).map(|(window, next)| next - window.until).collect();
        assert_eq!(gaps, [1, 0, 0]);
        assert_eq!(windows.last().map(|window| window.until), Some(fresh_until.as_unix_seconds()));
        let edges = begins.iter().chain([&fresh_until.as_unix_seconds()]).copied().collect::<Vec<_>>();
        for text in ["8.8.8.8", "194.0.200.1", "5.22.4.4", "2001:4860:4860::8888", "6.0.0.0"] {
            let ip: IpAddr = text.parse().unwrap();
            for second in edges.iter().flat_map(|edge| [edge - 2, edge - 1, *edge, edge + 1]) {
                let now = Timestamp::from_unix_seconds(second);
                assert_eq!(embargo.class(ip, now), embargo.screen(ip, now).class(), "{text} at {now}");
            }
        }
        let class = |now: &str| embargo.class("8.8.8.8".parse().unwrap(), at(now));
        assert_eq!(class("2026-12-31T23:59:59Z"), VerdictClass::Servable);
        assert_eq!(class("2027-01-01T00:00:00Z"), VerdictClass::Embargoed);
        assert_eq!(class("2027-03-01T00:00:00Z"), VerdictClass::Servable);
    }
}
