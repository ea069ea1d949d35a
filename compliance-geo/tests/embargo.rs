//! Verdicts through the public API, on the embedded data.

#[cfg(feature = "maxminddb")]
mod mmdb_file;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use compliance_core::address::embedded_ipv4;
use compliance_core::clock::Timestamp;
use compliance_core::country::CountryCode;
use compliance_core::finding::{Enforcement, Explain, Outcome, Reason, RiskAcceptance};
use compliance_core::snapshot::Staleness;
use compliance_geo::client_ip::EdgeCountry;
use compliance_geo::database::{Database, Quorum};
use compliance_geo::embargo::{
    Authority, Effect, Embargo, EmbargoReason, Extent, Policy, ProgrammeList, Verdict, VerdictClass,
};
use proptest::prelude::*;

static US: LazyLock<Embargo> = LazyLock::new(|| of(Policy::Us));
const NOW: &str = "2026-07-01T00:00:00Z";

const IRAN: &str = "5.22.4.4";
const NORTH_KOREA: &str = "175.45.178.2";
const CUBA: &str = "200.55.128.1";
const SYRIA: &str = "5.0.0.1";
const UKRAINE: &str = "194.0.200.1";
const RUSSIA: &str = "95.24.0.1";

fn of(policy: Policy) -> Embargo {
    Embargo::builder().policy(policy).build().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[track_caller]
fn check_at(embargo: &Embargo, text: &str, now: &str, class: VerdictClass, code: &str) {
    let verdict = embargo.screen(ip(text), at(now));
    assert_eq!((verdict.class(), verdict.code().as_str()), (class, code), "{text} at {now}: {verdict:?}");
    assert_eq!(embargo.class(ip(text), at(now)), class, "{text}: class and screen differ");
}

#[track_caller]
fn embargoed(text: &str) {
    check_at(&US, text, NOW, VerdictClass::Embargoed, "embargo.country");
}

#[track_caller]
fn servable(text: &str) {
    check_at(&US, text, NOW, VerdictClass::Servable, "embargo.servable");
}

#[track_caller]
fn review(text: &str, code: &str) {
    check_at(&US, text, NOW, VerdictClass::Review, code);
}

/// Every form under which a socket may show an IPv4 client.
fn forms(v4: &str) -> Vec<String> {
    let bits = v4.parse::<std::net::Ipv4Addr>().unwrap().to_bits();
    let (high, low, inverted) = (bits >> 16, bits & 0xffff, !bits);
    vec![
        v4.to_owned(),
        format!("::ffff:{v4}"),
        format!("::{v4}"),
        format!("::ffff:0:{v4}"),
        format!("64:ff9b::{v4}"),
        format!("2002:{high:x}:{low:x}::1"),
        format!("2001:0:4136:e378:8000:63bf:{:x}:{:x}", inverted >> 16, inverted & 0xffff),
    ]
}

#[test]
fn each_tunnel_form_is_judged_by_its_client() {
    for v4 in [IRAN, NORTH_KOREA, CUBA] {
        forms(v4).iter().for_each(|form| embargoed(form));
    }
    for v4 in ["1.1.1.1", "8.8.8.8"] {
        forms(v4).iter().for_each(|form| servable(form));
    }
    for v4 in ["127.0.0.1", "10.0.0.1"] {
        forms(v4).iter().for_each(|form| review(form, "embargo.not_public"));
    }
}

#[test]
fn addresses_that_only_hint_at_a_place_are_reviewed() {
    // NAT64 for local use: a gateway of ours decides what the bits mean.
    review("64:ff9b:1::1.1.1.1", "embargo.not_public");
    embargoed(&format!("64:ff9b:1::{IRAN}"));
    // ISATAP: the network and the interface identifier disagree.
    review("2a01:4f8::5efe:1.1.1.1", "embargo.tunnel_disagrees");
    embargoed(&format!("2606:4700:4700::5efe:{IRAN}"));
    servable("2606:4700:4700::5efe:10.0.0.1");
    // A Teredo server in an embargoed country relays for a client elsewhere.
    review("2001:0:516:404:8000:63bf:fefe:fefe", "embargo.tunnel_disagrees");
}

#[test]
fn what_is_not_public_or_not_known_is_never_servable() {
    for text in
        ["192.168.1.1", "::1", "::", "0.0.0.0", "fe80::1", "224.0.0.1", "255.255.255.255", "2001:db8::1"]
    {
        review(text, "embargo.not_public");
    }
    // Not routed when the table was made.
    review("6.0.0.0", "embargo.no_record");
    review("2000::1", "embargo.no_record");
}

#[test]
fn without_a_known_region_ukraine_and_russia_are_reviewed() {
    review(UKRAINE, "embargo.region_unknown");
    review(RUSSIA, "embargo.region_unknown");
    // No UN programme names a region.
    check_at(&of(Policy::Un), UKRAINE, NOW, VerdictClass::Servable, "embargo.servable");
}

#[test]
fn programmes_end() {
    check_at(&US, SYRIA, "2026-06-30T12:00:00Z", VerdictClass::Review, "embargo.programme");
    let verdict = US.screen(ip(SYRIA), at(NOW));
    let programmes: Vec<&str> = verdict.programmes().map(|programme| programme.id()).collect();
    assert_eq!(programmes, ["ear.syria"]);
    // While OFAC's programme was in force, both covered it.
    check_at(&US, SYRIA, "2025-06-30T23:59:59Z", VerdictClass::Embargoed, "embargo.country");
    let verdict = US.screen(ip(SYRIA), at("2025-06-30T23:59:59Z"));
    let programmes: Vec<&str> = verdict.programmes().map(|programme| programme.id()).collect();
    assert_eq!(programmes, ["ofac.syria", "ear.syria"]);
    // Nobody else's programme covers it.
    check_at(&of(Policy::Eu), SYRIA, NOW, VerdictClass::Servable, "embargo.servable");
}

#[test]
fn policies_differ() {
    let [of_us, of_eu, of_uk, of_un, all] =
        [Policy::Us, Policy::Eu, Policy::Uk, Policy::Un, Policy::All].map(of);
    for (text, us, eu, uk, un) in [
        (NORTH_KOREA, "embargoed", "embargoed", "embargoed", "embargoed"),
        (IRAN, "embargoed", "review", "review", "review"),
        (CUBA, "embargoed", "servable", "servable", "servable"),
        (SYRIA, "review", "servable", "servable", "servable"),
        (UKRAINE, "review", "review", "review", "servable"),
        ("1.1.1.1", "servable", "servable", "servable", "servable"),
    ] {
        for (embargo, expected) in [(&of_us, us), (&of_eu, eu), (&of_uk, uk), (&of_un, un)] {
            assert_eq!(
                embargo.class(ip(text), at(NOW)).as_str(),
                expected,
                "{text} under {}",
                embargo.policy()
            );
        }
        assert_eq!(all.class(ip(text), at(NOW)), of_us.class(ip(text), at(NOW)), "{text}");
    }
    let both = Embargo::builder().policy(Policy::Eu).policy(Policy::Us).build().unwrap();
    assert_eq!(both.class(ip(CUBA), at(NOW)), VerdictClass::Embargoed);
    assert_eq!(both.policy().name(), "embargo-eu+us");
}

#[test]
fn conflicts_of_law_can_be_reviewed() {
    let embargo = Embargo::builder().policy(Policy::Us).review_conflicts_of_law().build().unwrap();
    check_at(&embargo, CUBA, NOW, VerdictClass::Review, "embargo.conflict_of_law");
    check_at(&embargo, IRAN, NOW, VerdictClass::Review, "embargo.conflict_of_law");
    check_at(&embargo, NORTH_KOREA, NOW, VerdictClass::Embargoed, "embargo.country");
}

#[test]
fn stale_data_refuses_to_serve_but_an_embargo_stands() {
    check_at(&US, "1.1.1.1", "2026-08-01T23:59:59Z", VerdictClass::Servable, "embargo.servable");
    check_at(&US, "1.1.1.1", "2026-08-02T00:00:00Z", VerdictClass::Servable, "embargo.servable_stale");
    check_at(&US, "1.1.1.1", "2027-06-17T23:59:59Z", VerdictClass::Servable, "embargo.servable_stale");
    check_at(&US, "1.1.1.1", "2027-06-18T00:00:00Z", VerdictClass::Review, "embargo.stale");
    check_at(&US, "1.1.1.1", "2030-01-01T00:00:00Z", VerdictClass::Review, "embargo.stale");
    check_at(&US, IRAN, "2030-01-01T00:00:00Z", VerdictClass::Embargoed, "embargo.country");
    // A database from the future: one of the clocks is wrong.
    check_at(&US, "1.1.1.1", "2026-06-16T00:00:00Z", VerdictClass::Servable, "embargo.servable");
    check_at(&US, "1.1.1.1", "2026-06-15T23:59:59Z", VerdictClass::Review, "embargo.stale");
    let never = Embargo::builder().policy(Policy::Us).staleness(Staleness::new(0, u32::MAX)).build().unwrap();
    check_at(&never, "1.1.1.1", "2030-01-01T00:00:00Z", VerdictClass::Servable, "embargo.servable_stale");
}

/// Law of a year ago is old; a rule of the house is not.
#[test]
fn an_operators_own_list_warns_but_never_stops_serving_by_its_age() {
    let own = "version = \"2020-01-01\"\n[[programme]]\nid = \"own.x\"\nauthority = \"own\"\ntitle = \"t\"\nlegal_basis = \"l\"\n\
               kind = \"export\"\neffect = \"embargo\"\neffective_from = \"2026-01-01\"\nscope = [{ country = \"FR\" }]";
    let (list, _) = ProgrammeList::embedded().unwrap().with(ProgrammeList::parse(own).unwrap());
    let embargo = Embargo::builder().policy(Policy::Us).programmes(list).build().unwrap();
    check_at(&embargo, "1.1.1.1", NOW, VerdictClass::Servable, "embargo.servable_stale");
    let Verdict::Servable(place) = embargo.screen(ip("1.1.1.1"), at(NOW)) else { panic!() };
    assert!(place.in_force(at(NOW)).is_ok());
    let stale: Vec<_> = embargo.stale_snapshots(at(NOW)).map(|list| list.source().to_owned()).collect();
    assert_eq!(stale, ["operator's programmes"]);
    // It is not warned of while it is younger than the limit, as a database would be.
    let days = |days: u64| at("2020-01-01T00:00:00Z").saturating_add(Duration::from_secs(days * 86_400));
    assert_eq!(place.stale_snapshots().count(), 1);
    let warned = |now| embargo.stale_snapshots(now).any(|list| list.source() == "operator's programmes");
    assert!(!warned(days(46)) && !warned(days(365)) && warned(days(366)));
}

#[cfg(feature = "maxminddb")]
#[test]
fn the_embedded_programmes_end_by_their_age_whatever_the_database() {
    const NOVEMBER_1_OF_2027: u64 = 1_825_027_200;
    let file = mmdb_file::File::built_at(NOVEMBER_1_OF_2027).with("1.1.1.0/24", &mmdb_file::country("AU"));
    let database = Database::from_mmdb(file.bytes(), "test").unwrap();
    let embargo = Embargo::builder().policy(Policy::Us).database(database).build().unwrap();
    check_at(&embargo, "1.1.1.1", "2027-11-21T23:59:59Z", VerdictClass::Servable, "embargo.servable_stale");
    check_at(&embargo, "1.1.1.1", "2027-11-22T00:00:00Z", VerdictClass::Review, "embargo.stale");
}

#[test]
fn the_manual_says_from_when_the_embedded_data_is_old() {
    const MANUAL: &str = include_str!("../README.md");
    for snapshot in US.snapshots() {
        let day = snapshot.as_of().start();
        let after = |days: u64| day.saturating_add(Duration::from_secs(days * 86_400)).date().to_string();
        let row = format!("| {} | {} | {} |", after(0), after(46), after(366));
        assert!(MANUAL.contains(&row), "{snapshot}: {row}");
    }
}

/// What README's table says.
#[test]
fn the_manual_says_what_each_policy_makes_of_each_place() {
    const MANUAL: &str = include_str!("../README.md");
    let places = [
        ("Cuba", CUBA),
        ("Iran", IRAN),
        ("North Korea", NORTH_KOREA),
        ("Russia", RUSSIA),
        ("Syria", SYRIA),
        ("Ukraine", UKRAINE),
    ];
    let checks = [Policy::Us, Policy::Eu, Policy::Uk, Policy::Un].map(of);
    for (name, text) in places {
        let said = checks.iter().map(|check| check.class(ip(text), at("2026-11-21T12:00:00Z")).as_str());
        let row = format!("| {name} | {} |", said.collect::<Vec<_>>().join(" | "));
        assert!(MANUAL.contains(&row), "{row}");
    }
}

#[test]
fn operators_are_warned_before_verdicts_change() {
    assert_eq!(US.stale_snapshots(at("2026-08-01T00:00:00Z")).count(), 0);
    let stale: Vec<_> =
        US.stale_snapshots(at("2026-08-02T00:00:00Z")).map(|snapshot| snapshot.source()).collect();
    assert!(stale.iter().any(|source| source.contains("iptoasn")), "{stale:?}");
}

#[test]
fn proofs_lapse() {
    let Verdict::Servable(place) = US.screen(ip("1.1.1.1"), at(NOW)) else { panic!() };
    assert!(place.in_force(at(NOW)).is_ok());
    assert!(place.in_force(at("2026-07-01T00:14:59Z")).is_ok());
    assert_eq!(place.in_force(at("2026-07-01T00:15:00Z")).unwrap_err().code(), "embargo.lapsed");
    assert!(place.in_force(at("2026-06-30T23:59:59Z")).is_err());
    assert!(place.is_for(ip("::ffff:1.1.1.1")) && !place.is_for(ip("1.1.1.2")));
}

#[test]
fn proofs_never_outlive_what_they_rest_on() {
    let long = Embargo::builder().policy(Policy::Us).validity(Duration::from_secs(u64::MAX)).build().unwrap();
    let Verdict::Servable(place) = long.screen(ip("1.1.1.1"), at(NOW)) else { panic!() };
    assert_eq!(place.valid_until().to_string(), "2027-06-18T00:00:00Z");
    let ends = r#"
        version = "2026-06-01"
        [[programme]]
        id = "own.rule"
        authority = "own"
        title = "t"
        legal_basis = "l"
        kind = "comprehensive"
        effect = "embargo"
        effective_from = "2026-08-01"
        scope = [{ country = "AU" }, { country = "US" }]
    "#;
    let begins_soon = Embargo::builder()
        .policy(Policy::Un)
        .programmes(ProgrammeList::embedded().unwrap().with(ProgrammeList::parse(ends).unwrap()).0)
        .validity(Duration::from_secs(u64::MAX))
        .build()
        .unwrap();
    let Verdict::Servable(place) = begins_soon.screen(ip("8.8.8.8"), at(NOW)) else { panic!() };
    assert_eq!(place.valid_until().to_string(), "2026-08-01T00:00:00Z");
    check_at(&begins_soon, "8.8.8.8", "2026-08-01T00:00:00Z", VerdictClass::Embargoed, "embargo.country");
}

#[test]
fn accepted_risks_are_marked_and_expire() {
    let accepted = RiskAcceptance::new("ops", "text only", at("2026-07-01T00:05:00Z")).unwrap();
    let embargo =
        Embargo::builder().policy(Policy::Us).dangerous(accepted).serve_unknown_regions().build().unwrap();
    check_at(&embargo, UKRAINE, NOW, VerdictClass::Servable, "embargo.servable_region_accepted");
    let Verdict::Servable(place) = embargo.screen(ip(UKRAINE), at(NOW)) else { panic!() };
    assert!(place.is_at_risk());
    assert_eq!(place.valid_until(), at("2026-07-01T00:05:00Z"));
    check_at(&embargo, UKRAINE, "2026-07-01T00:05:00Z", VerdictClass::Review, "embargo.region_unknown");
    check_at(&embargo, UKRAINE, "2030-07-01T00:05:00Z", VerdictClass::Review, "embargo.region_unknown");
}

#[test]
fn findings_name_outcome_policy_and_data_but_no_address() {
    let finding = US.screen(ip(IRAN), at(NOW)).finding();
    assert_eq!(finding.outcome(), Outcome::Refused);
    assert_eq!(finding.operator_code().as_str(), "embargo.country");
    assert_eq!(finding.public_code().as_str(), "embargo.unavailable");
    assert_eq!(finding.policy().to_string(), "embargo-us/2026-11-21");
    assert_eq!(finding.snapshots().len(), 2);
    assert_eq!(finding.enforcement(), Enforcement::Enforce);
    let review = US.screen(ip("127.0.0.1"), at(NOW)).finding();
    assert_eq!((review.outcome(), review.public_code().as_str()), (Outcome::Review, "embargo.unavailable"));
    assert_eq!(US.screen(ip("1.1.1.1"), at(NOW)).finding().outcome(), Outcome::Passed);
    for text in [IRAN, "1.1.1.1", "127.0.0.1"] {
        let printed = format!("{:?}", US.screen(ip(text), at(NOW)));
        assert!(!printed.contains(text), "{printed}");
    }
    let report = Embargo::builder().policy(Policy::Us).report_only().build().unwrap();
    let finding = report.screen(ip(IRAN), at(NOW)).finding();
    assert_eq!((finding.outcome(), finding.enforcement()), (Outcome::Refused, Enforcement::ReportOnly));
}

#[test]
fn reasons_come_strictest_first() {
    let Verdict::Review(place) = US.screen(ip(UKRAINE), at("2030-01-01T00:00:00Z")) else { panic!() };
    let codes: Vec<&str> = place.reasons().map(|reason| reason.code().as_str()).collect();
    assert_eq!(codes, ["embargo.region_unknown", "embargo.stale"]);
}

#[test]
fn the_table_fits() {
    assert!(US.table_bytes() <= 4 << 20, "{} bytes", US.table_bytes());
}

/// The verdict of a country computed the slow way: every programme, every scope.
fn reference(list: &ProgrammeList, country: CountryCode, now: Timestamp) -> VerdictClass {
    let mut review = false;
    for programme in list.programmes() {
        if !Policy::Us.includes(programme.authority()) || !programme.in_force(now) {
            continue;
        }
        review |= programme.networks_may_be_registered_in().contains(&country);
        for scope in programme.scope().iter().filter(|scope| scope.country() == country) {
            match (scope.subdivision(), programme.effect()) {
                (None, Effect::Embargo) => return VerdictClass::Embargoed,
                _ => review = true,
            }
        }
    }
    if review { VerdictClass::Review } else { VerdictClass::Servable }
}

#[test]
fn table_and_slow_reference_agree_on_every_boundary() {
    let now = at(NOW);
    let database = Database::embedded().unwrap();
    let list = ProgrammeList::embedded().unwrap();
    let by_country: BTreeMap<CountryCode, VerdictClass> =
        CountryCode::all().map(|country| (country, reference(&list, country, now))).collect();
    for address in database.boundaries() {
        let neighbours = match address {
            IpAddr::V4(v4) => {
                [v4.to_bits().wrapping_sub(1), v4.to_bits()].map(|bits| IpAddr::V4(bits.into()))
            }
            IpAddr::V6(v6) => {
                [v6.to_bits().wrapping_sub(1), v6.to_bits()].map(|bits| IpAddr::V6(bits.into()))
            }
        };
        for address in neighbours {
            // What carries an IPv4 address is judged by it, and has tests of its own.
            let carries = matches!(address, IpAddr::V6(v6) if embedded_ipv4(v6).next().is_some());
            if !carries {
                let country = database.country(address);
                let expected = country.map_or(VerdictClass::Review, |country| by_country[&country]);
                assert_eq!(US.class(address, now), expected, "{address}");
            }
        }
    }
}

#[test]
fn an_ended_programme_explains_why_the_answer_changed() {
    let ids = |now: &str| -> (Vec<String>, Vec<String>) {
        let verdict = US.screen(ip(SYRIA), at(now));
        let owned = |programme: &compliance_geo::embargo::Programme| programme.id().to_owned();
        (verdict.programmes().map(owned).collect(), verdict.ended_programmes().map(owned).collect())
    };
    assert_eq!(ids(NOW), (vec!["ear.syria".to_owned()], vec!["ofac.syria".to_owned()]));
    assert_eq!(ids("2025-06-30T23:59:59Z").1, Vec::<String>::new());
    assert_eq!(US.screen(ip(IRAN), at(NOW)).ended_programmes().count(), 0);
}

#[test]
fn reviews_can_be_carried_out_as_refusals() {
    let outcome = |embargo: &Embargo, text: &str| {
        let verdict = embargo.screen(ip(text), at(NOW));
        let refused = matches!(&verdict, Verdict::Review(place) if place.is_refused());
        (verdict.class(), verdict.finding().outcome(), refused)
    };
    let all = Embargo::builder().policy(Policy::Us).refuse_reviews().build().unwrap();
    let some = [EmbargoReason::NotPublic, EmbargoReason::Tor];
    let some = Embargo::builder().policy(Policy::Us).refuse_reviews_for(some).build().unwrap();
    let refused = (VerdictClass::Review, Outcome::Refused, true);
    let review = (VerdictClass::Review, Outcome::Review, false);
    for (text, by_default, where_named, everywhere) in [
        ("10.0.0.1", review, refused, refused),
        (UKRAINE, review, review, refused),
        (SYRIA, review, review, refused),
        ("6.0.0.0", review, review, refused),
    ] {
        assert_eq!(outcome(&US, text), by_default, "{text}");
        assert_eq!(outcome(&some, text), where_named, "{text}");
        assert_eq!(outcome(&all, text), everywhere, "{text}");
    }
    assert_eq!(outcome(&all, "1.1.1.1"), (VerdictClass::Servable, Outcome::Passed, false));
    assert_eq!(outcome(&all, IRAN), (VerdictClass::Embargoed, Outcome::Refused, false));
    // Stale data is a review like the others.
    let Verdict::Review(stale) = all.screen(ip("1.1.1.1"), at("2030-01-01T00:00:00Z")) else { panic!() };
    assert!(stale.is_refused());
}

#[track_caller]
fn check_edge(quorum: Quorum, text: &str, edge: &str, class: VerdictClass, code: &str) {
    let edge = match edge {
        "XX" => EdgeCountry::Unknown,
        "T1" => EdgeCountry::Tor,
        code => EdgeCountry::Country(CountryCode::parse(code).unwrap()),
    };
    let embargo = Embargo::builder().policy(Policy::Us).quorum(quorum).build().unwrap();
    let verdict = embargo.screen_with_edge(ip(text), edge, at(NOW));
    assert_eq!((verdict.class(), verdict.code().as_str()), (class, code), "{text} {edge:?} {quorum:?}");
}

#[test]
fn the_edge_is_one_more_voice() {
    use VerdictClass::{Embargoed, Review, Servable};
    for quorum in [Quorum::Any, Quorum::First, Quorum::Majority] {
        check_edge(quorum, "1.1.1.1", "US", Servable, "embargo.servable");
        check_edge(quorum, "1.1.1.1", "XX", Servable, "embargo.servable");
        check_edge(quorum, "1.1.1.1", "T1", Review, "embargo.tor");
        check_edge(quorum, IRAN, "IR", Embargoed, "embargo.country");
        check_edge(quorum, "192.168.1.1", "DE", Review, "embargo.not_public");
    }
    check_edge(Quorum::Any, "1.1.1.1", "IR", Embargoed, "embargo.country");
    check_edge(Quorum::First, "1.1.1.1", "IR", Servable, "embargo.servable");
    check_edge(Quorum::Majority, "1.1.1.1", "IR", Review, "embargo.databases_disagree");
    check_edge(Quorum::Any, IRAN, "DE", Embargoed, "embargo.country");
    check_edge(Quorum::First, IRAN, "DE", Embargoed, "embargo.country");
    check_edge(Quorum::Majority, IRAN, "DE", Review, "embargo.databases_disagree");
    check_edge(Quorum::Any, "1.1.1.1", "UA", Review, "embargo.region_unknown");
    // An embargoed end of a tunnel stays embargoed.
    check_edge(
        Quorum::Majority,
        &format!("2002:{:x}:{:x}::1", 0x0516, 0x0404),
        "DE",
        Embargoed,
        "embargo.country",
    );
    // Where no database has a record, the edge alone has a say.
    check_edge(Quorum::Any, "6.0.0.0", "DE", Servable, "embargo.servable");
    check_edge(Quorum::Any, "6.0.0.0", "IR", Embargoed, "embargo.country");
    check_edge(Quorum::Any, "6.0.0.0", "XX", Review, "embargo.no_record");
    // A tunnel whose ends disagree still does.
    check_edge(Quorum::Any, "2a01:4f8::5efe:1.1.1.1", "DE", Review, "embargo.tunnel_disagrees");
}

#[test]
fn voices_name_databases_and_edge() {
    let edge = EdgeCountry::Country(CountryCode::parse("DE").unwrap());
    let verdict = US.screen_with_edge(ip(IRAN), edge, at(NOW));
    let voices: Vec<String> = verdict.voices().iter().map(ToString::to_string).collect();
    assert_eq!(voices.len(), 2);
    assert!(voices[0].ends_with("=IR") && voices[0].contains("iptoasn"), "{voices:?}");
    assert_eq!(voices[1], "cf-ipcountry=DE");
    let nothing = US.screen(ip("6.0.0.0"), at(NOW));
    assert!(nothing.voices()[0].to_string().ends_with("=nothing"));
}

#[test]
fn more_databases_than_an_event_names_are_refused() {
    let database = Database::embedded().unwrap();
    let with = |count: usize| {
        let builder = Embargo::builder().policy(Policy::Un);
        (0..count).fold(builder, |builder, _| builder.database(database.clone())).build()
    };
    assert!(with(2).is_ok());
    assert_eq!(with(Embargo::MAX_SNAPSHOTS).unwrap_err().code(), "embargo.too_many_snapshots");
}

#[test]
fn the_eu_names_four_occupied_oblasts_and_ofac_two() {
    let list = ProgrammeList::embedded().unwrap();
    let parts = |authority: Authority| -> Vec<String> {
        let programmes = list.programmes().iter().filter(|programme| programme.authority() == authority);
        let scopes = programmes.flat_map(|programme| programme.scope().to_vec());
        let partial = scopes.filter(|scope| scope.extent() == Extent::Part);
        let mut parts: Vec<String> =
            partial.filter_map(|scope| scope.subdivision().map(|part| part.to_string())).collect();
        parts.sort_unstable();
        parts
    };
    assert_eq!(parts(Authority::Eu), ["UA-09", "UA-14", "UA-23", "UA-65"]);
    assert_eq!(parts(Authority::Uk), ["UA-09", "UA-14", "UA-23", "UA-65"]);
    assert_eq!(parts(Authority::Ofac), ["UA-09", "UA-14"]);
    // An address cannot tell on which side of a front it is, so every such entry asks for a person.
    let partial = list
        .programmes()
        .iter()
        .filter(|programme| programme.scope().iter().any(|scope| scope.extent() == Extent::Part));
    assert!(
        partial.clone().count() >= 5 && partial.clone().all(|entry| entry.needs_legal_review().is_some())
    );
}

#[cfg(feature = "maxminddb")]
mod with_files {
    use super::mmdb_file::{File, Value, country, map};
    use super::*;

    /// A file of a few networks in documented regions.
    fn regions(build_epoch: u64) -> Database {
        let place = |code: &str, part: &str| {
            map([
                ("country", map([("iso_code", code.into())])),
                ("subdivisions", Value::List(vec![map([("iso_code", part.into())])])),
            ])
        };
        let base = |others: (&'static str, &str)| {
            map([
                ("country", map([("iso_code", "DE".into())])),
                (others.0, map([("iso_code", others.1.into())])),
            ])
        };
        let file = File::built_at(build_epoch)
            .with("1.0.1.0/24", &place("UA", "43"))
            .with("1.0.2.0/24", &place("UA", "40"))
            .with("1.0.3.0/24", &place("UA", "14"))
            .with("1.0.4.0/24", &place("UA", "09"))
            .with("1.0.5.0/24", &place("UA", "65"))
            .with("1.0.6.0/24", &place("UA", "23"))
            .with("1.0.7.0/24", &place("UA", "30"))
            .with("1.0.8.0/24", &place("RU", "MOW"))
            .with("1.0.9.0/24", &country("RU"))
            .with("1.0.10.0/24", &country("UA"))
            .with("1.0.14.0/24", &place("RU", "CR"))
            .with("1.0.15.0/24", &place("RU", "SEV"))
            .with("1.0.16.0/24", &place("UA", "KR"))
            .with("1.0.17.0/24", &place("UA", "11"))
            .with("1.0.18.0/24", &place("UA", "46"))
            .with("1.0.19.0/24", &place("DE", "XX"))
            .with("1.0.11.0/24", &base(("registered_country", "IR")))
            .with("1.0.12.0/24", &base(("represented_country", "IR")))
            .with("1.0.13.0/24", &base(("represented_country", "US")));
        Database::from_mmdb(file.bytes(), "regions").unwrap()
    }

    #[test]
    fn regions_are_judged_as_each_programme_names_them() {
        use VerdictClass::{Embargoed, Review, Servable};
        let database = regions(1_781_654_400);
        let of = |policy| Embargo::builder().policy(policy).database(database.clone()).build().unwrap();
        let (us, eu, uk, un) = (of(Policy::Us), of(Policy::Eu), of(Policy::Uk), of(Policy::Un));
        for (text, in_us, in_eu, code) in [
            ("1.0.1.1", Embargoed, Embargoed, "embargo.region"),
            ("1.0.2.1", Embargoed, Embargoed, "embargo.region"),
            ("1.0.3.1", Review, Review, "embargo.part_of_region"),
            ("1.0.4.1", Review, Review, "embargo.part_of_region"),
            ("1.0.5.1", Servable, Review, "embargo.part_of_region"),
            ("1.0.6.1", Servable, Review, "embargo.part_of_region"),
            ("1.0.9.1", Review, Review, "embargo.region_unknown"),
            ("1.0.10.1", Review, Review, "embargo.region_unknown"),
            // Codes that ISO 3166-2 does not have: each may mean Crimea.
            ("1.0.14.1", Review, Review, "embargo.region_unknown"),
            ("1.0.15.1", Review, Review, "embargo.region_unknown"),
            ("1.0.16.1", Review, Review, "embargo.region_unknown"),
            ("1.0.17.1", Review, Review, "embargo.region_unknown"),
        ] {
            let code_us = if in_us == Servable { "embargo.servable" } else { code };
            check_at(&us, text, NOW, in_us, code_us);
            check_at(&eu, text, NOW, in_eu, code);
            check_at(&uk, text, NOW, in_eu, code);
            check_at(&un, text, NOW, Servable, "embargo.servable");
        }
        // Kyiv, Moscow, Lviv; a country that no programme divides.
        for text in ["1.0.7.1", "1.0.8.1", "1.0.18.1", "1.0.19.1"] {
            check_at(&us, text, NOW, Servable, "embargo.servable");
            check_at(&eu, text, NOW, Servable, "embargo.servable");
        }
        // Zaporizhzhia and Kherson: from the day the regulation was amended.
        check_at(&eu, "1.0.5.1", "2022-10-06T23:59:59Z", Review, "embargo.stale");
        let programmes = |now: &str| eu.screen(ip("1.0.5.1"), at(now)).programmes().count();
        assert_eq!((programmes("2022-10-06T23:59:59Z"), programmes("2022-10-07T00:00:00Z")), (0, 1));
    }

    /// Whoever comes out of a tunnel, its entrance may hide its users.
    #[test]
    fn an_anonymiser_at_the_outer_end_of_a_tunnel_counts() {
        let flagged = |code: &str, flag: &'static str| {
            map([("country", map([("iso_code", code.into())])), (flag, true.into())])
        };
        let file = File::built_at(1_781_654_400)
            .with("1.1.1.0/24", &country("US"))
            .with("1.1.2.0/24", &country("IR"))
            .with("2002:101:101::/48", &flagged("US", "is_tor_exit_node"))
            .with("2002:101:102::/48", &flagged("US", "is_anonymous"))
            .with("2002:101:103::/48", &country("US"))
            .with("2002:101:201::/48", &flagged("US", "is_tor_exit_node"))
            .with("64:ff9b::101:101/128", &map([("is_tor_exit_node", true.into())]))
            .with("2001:0:4136:e378::/64", &map([("is_anonymous", true.into())]));
        let database = Database::from_mmdb(file.bytes(), "tunnels").unwrap();
        let us = Embargo::builder().policy(Policy::Us).database(database).build().unwrap();
        let edge = EdgeCountry::Country(CountryCode::parse("US").unwrap());
        for (text, class, code) in [
            ("2002:101:101::1", VerdictClass::Review, "embargo.tor"),
            ("2002:101:102::1", VerdictClass::Review, "embargo.anonymiser"),
            ("2002:101:103::1", VerdictClass::Servable, "embargo.servable"),
            ("2002:101:201::1", VerdictClass::Embargoed, "embargo.country"),
            ("64:ff9b::1.1.1.1", VerdictClass::Review, "embargo.tor"),
            ("2001:0:4136:e378:8000:63bf:fefe:fefe", VerdictClass::Review, "embargo.anonymiser"),
        ] {
            check_at(&us, text, NOW, class, code);
            let with_edge = us.screen_with_edge(ip(text), edge, at(NOW));
            assert_eq!((with_edge.class(), with_edge.code().as_str()), (class, code), "{text} at the edge");
        }
    }

    /// Nor does an embargoed state's tunnel become somebody else's by whom it carries.
    #[test]
    fn what_the_outer_end_of_a_tunnel_gives_reason_for_counts() {
        let theirs = |name: &'static str| map([(name, map([("iso_code", "IR".into())]))]);
        let part = |code: &str| {
            map([
                ("country", map([("iso_code", "UA".into())])),
                ("subdivisions", Value::List(vec![map([("iso_code", code.into())])])),
            ])
        };
        let file = File::built_at(1_781_654_400)
            .with("8.8.8.0/24", &country("DE"))
            .with("8.8.9.0/24", &part("46"))
            .with("2002::/16", &theirs("registered_country"))
            .with("2002:808:900::/40", &part("14"))
            .with("2001:0:4136:e378::/64", &theirs("represented_country"));
        let database = Database::from_mmdb(file.bytes(), "tunnels").unwrap();
        let us = Embargo::builder().policy(Policy::Us).database(database).build().unwrap();
        check_at(&us, "8.8.8.8", NOW, VerdictClass::Servable, "embargo.servable");
        check_at(&us, "8.8.9.8", NOW, VerdictClass::Servable, "embargo.servable");
        for (text, at_edge, code) in [
            ("2002:808:808::1", "DE", "embargo.registered_country"),
            ("2002:808:908::1", "UA", "embargo.part_of_region"),
            ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", "DE", "embargo.represented_country"),
        ] {
            check_at(&us, text, NOW, VerdictClass::Review, code);
            let edge = EdgeCountry::Country(CountryCode::parse(at_edge).unwrap());
            let with_edge = us.screen_with_edge(ip(text), edge, at(NOW));
            let reasons: Vec<&str> = match &with_edge {
                Verdict::Review(place) => place.reasons().map(|reason| reason.code().as_str()).collect(),
                Verdict::Servable(_) | Verdict::Embargoed(_) => Vec::new(),
            };
            assert!(reasons.contains(&code), "{text} at the edge: {with_edge:?}");
        }
    }

    #[test]
    fn networks_of_an_embargoed_state_elsewhere_are_reviewed() {
        let database = regions(1_781_654_400);
        let us = Embargo::builder().policy(Policy::Us).database(database).build().unwrap();
        check_at(&us, "1.0.11.1", NOW, VerdictClass::Review, "embargo.registered_country");
        check_at(&us, "1.0.12.1", NOW, VerdictClass::Review, "embargo.represented_country");
        check_at(&us, "1.0.13.1", NOW, VerdictClass::Servable, "embargo.servable");
        let verdict = us.screen(ip("1.0.12.1"), at(NOW));
        assert!(verdict.programmes().any(|programme| programme.id() == "ofac.iran"));
    }

    fn load(file: &'static str) -> Option<Database> {
        let Some(folder) = std::env::var_os("COMPLIANCE_CORPUS") else {
            println!("skipped: COMPLIANCE_CORPUS is not set");
            return None;
        };
        let path = std::path::PathBuf::from(folder).join("geo/maxmind-test-data").join(file);
        Some(Database::from_mmdb(std::fs::read(path).unwrap(), file).unwrap())
    }

    fn with(databases: &[&Database], quorum: Quorum) -> Embargo {
        let builder =
            Embargo::builder().policy(Policy::Us).quorum(quorum).staleness(Staleness::new(0, u32::MAX));
        databases
            .iter()
            .fold(builder, |builder, database| builder.database((*database).clone()))
            .build()
            .unwrap()
    }

    #[test]
    fn known_regions_decide() {
        let Some(enterprise) = load("GeoIP2-Enterprise-Test.mmdb") else { return };
        let embargo = with(&[&enterprise], Quorum::Any);
        check_at(&embargo, "1.231.232.1", NOW, VerdictClass::Embargoed, "embargo.region");
        let verdict = embargo.screen(ip("1.231.232.1"), at(NOW));
        assert_eq!(verdict.subdivision().unwrap().as_str(), "UA-43");
        let programmes: Vec<&str> = verdict.programmes().map(|programme| programme.id()).collect();
        assert_eq!(programmes, ["ofac.crimea", "ear.crimea_donetsk_luhansk"]);
        check_at(&embargo, "1.124.213.1", NOW, VerdictClass::Embargoed, "embargo.country");
        let city = with(&[&load("GeoLite2-City-Test.mmdb").unwrap()], Quorum::Any);
        check_at(&city, "2a02:d300::1", NOW, VerdictClass::Review, "embargo.region_unknown");
        check_at(&city, "2a02:d2c0::1", NOW, VerdictClass::Embargoed, "embargo.country");
    }

    #[test]
    fn anonymisers_are_reviewed_whoever_else_says_servable() {
        let Some(anonymous) = load("GeoIP2-Anonymous-IP-Test.mmdb") else { return };
        // A file of months ago: whatever it lets pass carries that.
        let embedded = Database::embedded().unwrap();
        for quorum in [Quorum::Any, Quorum::First, Quorum::Majority] {
            let embargo = with(&[&embedded, &anonymous], quorum);
            check_at(&embargo, "81.2.69.1", NOW, VerdictClass::Review, "embargo.tor");
            check_at(&embargo, "1.2.0.1", NOW, VerdictClass::Review, "embargo.anonymiser");
            check_at(&embargo, "::ffff:1.2.0.1", NOW, VerdictClass::Review, "embargo.anonymiser");
            check_at(&embargo, "1.1.1.1", NOW, VerdictClass::Servable, "embargo.servable_stale");
            check_at(&embargo, IRAN, NOW, VerdictClass::Embargoed, "embargo.country");
            check_at(&embargo, "10.0.0.1", NOW, VerdictClass::Review, "embargo.not_public");
            check_at(&embargo, "6.0.0.0", NOW, VerdictClass::Review, "embargo.no_record");
        }
        let alone = Embargo::builder().policy(Policy::Us).database(anonymous).build().unwrap_err();
        assert_eq!(alone.code(), "embargo.no_countries");
    }

    /// One file says Iran, the other Australia.
    #[test]
    fn the_quorum_says_whose_word_counts() {
        let Some(enterprise) = load("GeoIP2-Enterprise-Test.mmdb") else { return };
        let embedded = Database::embedded().unwrap();
        let check = |databases: &[&Database], quorum, class, code| {
            check_at(&with(databases, quorum), "1.124.213.1", NOW, class, code);
        };
        let both = [&embedded, &enterprise];
        check(&both, Quorum::Any, VerdictClass::Embargoed, "embargo.country");
        check(&both, Quorum::First, VerdictClass::Servable, "embargo.servable_stale");
        check(&both, Quorum::Majority, VerdictClass::Review, "embargo.databases_disagree");
        check(&[&enterprise, &embedded], Quorum::First, VerdictClass::Embargoed, "embargo.country");
        check(
            &[&embedded, &embedded, &enterprise],
            Quorum::Majority,
            VerdictClass::Servable,
            "embargo.servable_stale",
        );
        check(
            &[&enterprise, &embedded, &enterprise],
            Quorum::Majority,
            VerdictClass::Embargoed,
            "embargo.country",
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_address_gets_one_of_three_answers(v4 in any::<u32>(), v6 in any::<u128>(), seconds in any::<i64>()) {
        let now = Timestamp::from_unix_seconds(seconds);
        for address in [IpAddr::V4(v4.into()), IpAddr::V6(v6.into()), IpAddr::V6(((v6 >> 3) | 1 << 125).into())] {
            let verdict = US.screen(address, now);
            prop_assert_eq!(verdict.class(), US.class(address, now));
            prop_assert_eq!(verdict.finding().outcome() == Outcome::Passed, verdict.class() == VerdictClass::Servable);
        }
    }
}
