//! Databases replaced while the check is in use.
#![cfg(all(feature = "reload", feature = "maxminddb"))]

mod mmdb_file;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use compliance_core::clock::Timestamp;
use compliance_core::country::{CountryCode, SubdivisionCode};
use compliance_core::event::EventKind;
use compliance_core::finding::{Explain, Outcome};
use compliance_core::snapshot::ReplacementRule;
use compliance_core::testing::MemorySink;
use compliance_geo::database::{Database, DatabaseError};
use compliance_geo::embargo::reload::{Canaries, ReloadError, ReloadErrorKind, ReloadableEmbargo};
use compliance_geo::embargo::{Embargo, Policy, ProgrammeList, Screening, VerdictClass};
use mmdb_file::{File, Value, country, map};

const SOURCE: &str = "test-countries";
const JUNE_17: u64 = 1_781_654_400;
const DAY: u64 = 86_400;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    "2026-07-01T00:00:00Z".parse().unwrap()
}

/// The canaries, and ten networks of Germany.
fn file(built: u64, iran: &str) -> File {
    let mut file = File::built_at(built)
        .with("5.22.4.0/24", &country(iran))
        .with("2.144.0.0/14", &country("IR"))
        .with("175.45.176.0/22", &country("KP"))
        .with("152.206.0.0/16", &country("CU"))
        .with("200.55.128.0/19", &country("CU"))
        .with("5.0.0.0/16", &country("SY"))
        .with("82.137.192.0/18", &country("SY"));
    for third in 0..10 {
        file = file.with(&format!("217.0.{third}.0/24"), &country("DE"));
    }
    file
}

fn load(file: File) -> Result<Database, DatabaseError> {
    Database::from_mmdb(file.bytes(), SOURCE)
}

fn reloadable() -> ReloadableEmbargo {
    let builder = Embargo::builder().policy(Policy::Us).database(load(file(JUNE_17, "IR")).unwrap());
    ReloadableEmbargo::new(builder, Canaries::embedded()).unwrap()
}

fn class(embargo: &ReloadableEmbargo, text: &str) -> VerdictClass {
    embargo.current().class(ip(text), now())
}

/// Refused with this code, and nothing changed.
#[track_caller]
fn refuse(embargo: &ReloadableEmbargo, candidate: Result<Database, DatabaseError>, code: &str) {
    let before: Vec<_> = embargo.current().snapshots().cloned().collect();
    let error = embargo.replace(SOURCE, candidate, now()).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert_eq!(error.finding().outcome(), Outcome::Refused);
    assert_eq!(error.finding().operator_code().as_str(), code);
    assert_eq!(embargo.current().snapshots().cloned().collect::<Vec<_>>(), before);
}

#[test]
fn canaries_are_where_they_are_known_to_be() {
    let embedded = Database::embedded().unwrap();
    let source = embedded.snapshot().source().to_owned();
    let builder = Embargo::builder().policy(Policy::All).database(embedded.clone());
    let embargo = ReloadableEmbargo::new(builder, Canaries::embedded()).unwrap();
    assert!(!embargo.replace(&source, Ok(embedded), now()).unwrap().is_new());
}

/// The networks of the canaries in IPv6, with what the first is said to be in.
fn with_ipv6(file: File, first: &str) -> File {
    file.with("2001:4188::/48", &country(first))
        .with("2a06:db80::/29", &country("IR"))
        .with("2001:1340::/32", &country("CU"))
        .with("2001:1358::/32", &country("CU"))
        .with("2a14:6540::/31", &country("SY"))
        .with("2003::/19", &country("DE"))
}

/// A file without IPv6 serves no IPv6 client, and none is asked of it; one with IPv6 has to place the canaries, and stays.
#[test]
fn ipv6_is_guarded_where_a_file_has_it() {
    let reloadable = |file| {
        let builder = Embargo::builder().policy(Policy::Us).database(load(file).unwrap());
        ReloadableEmbargo::new(builder, Canaries::embedded())
    };
    assert!(!load(file(JUNE_17, "IR")).unwrap().knows_ipv6());
    assert!(Database::embedded().unwrap().knows_ipv6());
    // What carries IPv4 only is no IPv6 network.
    let carried = file(JUNE_17, "IR").with("2002::/16", &country("DE")).with("2001::/32", &country("DE"));
    assert!(!load(carried).unwrap().knows_ipv6());

    let embargo = reloadable(file(JUNE_17, "IR")).unwrap();
    assert_eq!(class(&embargo, "2003::1"), VerdictClass::Review);
    refuse(&embargo, load(with_ipv6(file(JUNE_17 + DAY, "IR"), "DE")), "reload.canary");
    // Nor does a file help that has some IPv6 and none of these.
    let other = file(JUNE_17 + DAY, "IR").with("2003::/19", &country("DE"));
    refuse(&embargo, load(other), "reload.canary");
    let next = load(with_ipv6(file(JUNE_17 + DAY, "IR"), "IR"));
    assert!(embargo.replace(SOURCE, next, now()).unwrap().is_new());
    assert_eq!(class(&embargo, "2003::1"), VerdictClass::Servable);
    assert_eq!(class(&embargo, "2001:4188::1"), VerdictClass::Embargoed);
    let without = (10..30).fold(file(JUNE_17 + 2 * DAY, "IR"), |file, third| {
        file.with(&format!("217.0.{third}.0/24"), &country("DE"))
    });
    refuse(&embargo, load(without), "reload.coverage");
    // Who guards a country by IPv6 networks alone has no guard in a file without any.
    let only_ipv6 = ["CU", "IR", "KP", "SY"].map(|code| (ip("2003::1"), CountryCode::parse(code).unwrap()));
    let builder = Embargo::builder().policy(Policy::Us).database(load(file(JUNE_17, "IR")).unwrap());
    let error = ReloadableEmbargo::new(builder, Canaries::new(only_ipv6)).unwrap_err();
    assert_eq!(error.code(), "reload.no_canary");
}

#[test]
fn a_sound_successor_takes_over_at_once() {
    let embargo = reloadable();
    let held = embargo.current();
    assert_eq!(class(&embargo, "217.0.10.1"), VerdictClass::Review);
    let next = load(file(JUNE_17 + DAY, "IR").with("217.0.10.0/24", &country("DE")));
    assert!(embargo.replace(SOURCE, next.clone(), now()).unwrap().is_new());
    assert_eq!(class(&embargo, "217.0.10.1"), VerdictClass::Servable);
    assert_eq!(class(&embargo, "5.22.4.4"), VerdictClass::Embargoed);
    // Whoever began with the old one ends with it.
    assert_eq!(held.class(ip("217.0.10.1"), now()), VerdictClass::Review);
    assert!(!embargo.replace(SOURCE, next, now()).unwrap().is_new());
}

#[test]
fn unsound_successors_leave_the_old_one_in_place() {
    let embargo = reloadable();
    refuse(&embargo, Database::from_mmdb(b"404 Not Found".to_vec(), SOURCE), "reload.database");
    refuse(&embargo, load(file(JUNE_17 - DAY, "IR")), "reload.older");
    refuse(&embargo, load(file(JUNE_17 + DAY, "DE")), "reload.canary");
    // Dated in the future it would keep every honest successor out.
    refuse(&embargo, load(file(JUNE_17 + 30 * DAY, "IR")), "reload.date");
    let few = File::built_at(JUNE_17 + DAY)
        .with("5.22.4.0/24", &country("IR"))
        .with("2.144.0.0/14", &country("IR"))
        .with("175.45.176.0/22", &country("KP"));
    refuse(&embargo, load(few), "reload.shrunken");
    let flags = (0..20).fold(File::built_at(JUNE_17 + DAY), |file, third| {
        file.with(&format!("217.1.{third}.0/24"), &map([("is_anonymous", true.into())]))
    });
    refuse(&embargo, load(flags), "reload.coverage");
    let other = Database::from_mmdb(file(JUNE_17 + DAY, "IR").bytes(), "something else");
    refuse(&embargo, other, "reload.other_source");
    let unknown = embargo.replace("something else", load(file(JUNE_17 + DAY, "IR")), now()).unwrap_err();
    assert_eq!(unknown.code(), "reload.unknown_source");
}

#[test]
fn a_city_database_is_not_replaced_by_one_of_countries() {
    let crimea = map([
        ("country", map([("iso_code", "UA".into())])),
        ("subdivisions", Value::List(vec![map([("iso_code", "43".into())])])),
    ]);
    let region = SubdivisionCode::parse("UA-43").unwrap();
    let sevastopol = SubdivisionCode::parse("UA-40").unwrap();
    let canaries = Canaries::embedded().with_region(ip("217.0.200.1"), region);
    let city = |built, part: &Value| load(file(built, "IR").with("217.0.200.0/24", part));
    let builder = Embargo::builder().policy(Policy::Us).database(city(JUNE_17, &crimea).unwrap());
    let error = ReloadableEmbargo::new(builder.clone(), canaries.clone()).unwrap_err();
    assert_eq!(
        error.kind(),
        &ReloadErrorKind::NoCanary { country: sevastopol.country(), region: Some(sevastopol) }
    );
    assert!(error.to_string().contains("`UA-40`"), "{error}");
    let embargo = ReloadableEmbargo::new(builder, canaries.without_regions()).unwrap();
    refuse(&embargo, city(JUNE_17 + DAY, &country("UA")), "reload.coverage");
    let kyiv = map([
        ("country", map([("iso_code", "UA".into())])),
        ("subdivisions", Value::List(vec![map([("iso_code", "30".into())])])),
    ]);
    refuse(&embargo, city(JUNE_17 + DAY, &kyiv), "reload.canary");
    assert_eq!(class(&embargo, "217.0.200.1"), VerdictClass::Embargoed);
}

/// What is asked at the start is asked of the first file that makes it matter, too.
#[test]
fn the_first_database_with_regions_needs_their_canaries() {
    let region = |code: &str| {
        map([
            ("country", map([("iso_code", "UA".into())])),
            ("subdivisions", Value::List(vec![map([("iso_code", code.into())])])),
        ])
    };
    let file = |built, [crimea, sevastopol]: [&Value; 2]| {
        load(file(built, "IR").with("217.0.200.0/24", crimea).with("217.0.201.0/24", sevastopol))
    };
    let start = |canaries| {
        let countries = file(JUNE_17, [&country("UA"), &country("UA")]).unwrap();
        ReloadableEmbargo::new(Embargo::builder().policy(Policy::Us).database(countries), canaries).unwrap()
    };
    let city = || file(JUNE_17 + DAY, [&region("43"), &region("40")]);
    refuse(&start(Canaries::embedded()), city(), "reload.no_canary");
    // One of two is not enough.
    let part = |code| SubdivisionCode::parse(code).unwrap();
    let crimea = Canaries::embedded().with_region(ip("217.0.200.1"), part("UA-43"));
    refuse(&start(crimea.clone()), city(), "reload.no_canary");
    let embargo = start(crimea.with_region(ip("217.0.201.1"), part("UA-40")));
    assert!(embargo.replace(SOURCE, city(), now()).unwrap().is_new());
    assert_eq!(class(&embargo, "217.0.201.1"), VerdictClass::Embargoed);
    let without = start(Canaries::embedded().without_regions());
    assert!(without.replace(SOURCE, city(), now()).unwrap().is_new());
}

#[test]
fn the_rule_for_shrinking_can_be_chosen() {
    let lenient = reloadable().with_rule(ReplacementRule::new(100));
    let few = File::built_at(JUNE_17 + DAY)
        .with("5.22.4.0/24", &country("IR"))
        .with("2.144.0.0/14", &country("IR"))
        .with("175.45.176.0/22", &country("KP"))
        .with("152.206.0.0/16", &country("CU"))
        .with("200.55.128.0/19", &country("CU"))
        .with("5.0.0.0/16", &country("SY"))
        .with("82.137.192.0/18", &country("SY"));
    assert!(lenient.replace(SOURCE, load(few), now()).unwrap().is_new());
}

#[test]
fn what_cannot_be_guarded_is_not_built() {
    let code = |builder, canaries| ReloadableEmbargo::new(builder, canaries).map(drop).unwrap_err().code();
    let with = |database: &Database| Embargo::builder().policy(Policy::Us).database(database.clone());
    let database = load(file(JUNE_17, "IR")).unwrap();
    assert_eq!(code(Embargo::builder().policy(Policy::Us), Canaries::embedded()), "reload.no_database");
    assert_eq!(code(with(&database), Canaries::new([])), "reload.no_canary");
    let twice = with(&database).database(database.clone());
    assert_eq!(code(twice, Canaries::embedded()), "reload.duplicate_source");
    let wrong = load(file(JUNE_17, "DE")).unwrap();
    assert_eq!(code(with(&wrong), Canaries::embedded()), "reload.canary");
    // A programme of the operator's own brings a country that needs one.
    let own = "version = \"2026-01-01\"\n[[programme]]\nid = \"own.x\"\nauthority = \"own\"\ntitle = \"t\"\nlegal_basis = \"l\"\n\
               kind = \"comprehensive\"\neffect = \"embargo\"\neffective_from = \"2026-01-01\"\nscope = [{ country = \"DE\" }]";
    let (list, _) = ProgrammeList::embedded().unwrap().with(ProgrammeList::parse(own).unwrap());
    let with_own = || with(&database).programmes(list.clone());
    assert_eq!(code(with_own(), Canaries::embedded()), "reload.no_canary");
    let germany = Canaries::embedded().with(ip("217.0.0.1"), CountryCode::parse("DE").unwrap());
    assert!(ReloadableEmbargo::new(with_own(), germany).is_ok());
}

#[test]
fn every_replacement_and_every_refusal_is_recorded() {
    let sink = Arc::new(MemorySink::default());
    let embargo = reloadable().recording(sink.clone());
    refuse(&embargo, load(file(JUNE_17 - DAY, "IR")), "reload.older");
    let _: Result<_, ReloadError> = embargo.replace(SOURCE, load(file(JUNE_17 + DAY, "IR")), now());
    // Looking at the same file again is nothing new.
    let _: Result<_, ReloadError> = embargo.replace(SOURCE, load(file(JUNE_17 + DAY, "IR")), now());
    let events = sink.events();
    let said: Vec<_> =
        events.iter().map(|event| (event.kind(), event.outcome(), event.reason().unwrap())).collect();
    assert_eq!(
        said,
        [
            (EventKind::ConfigurationChanged, Outcome::Refused, "reload.older"),
            (EventKind::ConfigurationChanged, Outcome::Passed, "reload.replaced"),
        ]
    );
    // The refusal names what stays in use and what was refused.
    let days: Vec<String> =
        events[0].snapshots().iter().map(|snapshot| snapshot.as_of().to_string()).collect();
    assert!(days.contains(&"2026-06-17".to_owned()) && days.contains(&"2026-06-16".to_owned()), "{days:?}");
}

/// With as many snapshots in use as an event holds, the refused one still is on record.
#[test]
fn a_refusal_beside_many_lists_is_recorded() {
    let sink = Arc::new(MemorySink::default());
    let mut list = ProgrammeList::embedded().unwrap();
    for number in 2..Embargo::MAX_SNAPSHOTS {
        let own = format!(
            "version = \"2026-01-01\"\n[[programme]]\nid = \"own.x{number}\"\nauthority = \"own\"\ntitle = \"t\"\n\
             legal_basis = \"l\"\nkind = \"export\"\neffect = \"review\"\neffective_from = \"2026-01-01\"\n\
             scope = [{{ country = \"DE\" }}]"
        );
        list = list.with(ProgrammeList::parse(&own).unwrap()).0;
    }
    let builder = Embargo::builder().policy(Policy::Us).database(load(file(JUNE_17, "IR")).unwrap());
    let embargo = ReloadableEmbargo::new(builder.programmes(list), Canaries::embedded()).unwrap();
    assert_eq!(embargo.current().snapshots().count(), Embargo::MAX_SNAPSHOTS);
    let embargo = embargo.recording(sink.clone());
    refuse(&embargo, load(file(JUNE_17 - DAY, "IR")), "reload.older");
    let events = sink.events();
    assert_eq!(events.len(), 1);
    assert!(events[0].snapshots().iter().any(|snapshot| snapshot.as_of().to_string() == "2026-06-16"));
}

/// Readers see the old check or the new one, never anything in between.
#[test]
fn readers_never_wait_nor_see_half_a_change() {
    let embargo = Arc::new(reloadable());
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (embargo, stop) = (Arc::clone(&embargo), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let check = embargo.current();
                    assert_eq!(check.class(ip("5.22.4.4"), now()), VerdictClass::Embargoed);
                    assert_eq!(check.class(ip("217.0.0.1"), now()), VerdictClass::Servable);
                }
            })
        })
        .collect();
    for day in 1..4 {
        assert!(embargo.replace(SOURCE, load(file(JUNE_17 + day * DAY, "IR")), now()).unwrap().is_new());
    }
    stop.store(true, Ordering::Relaxed);
    readers.into_iter().for_each(|reader| reader.join().unwrap());
}

#[cfg(feature = "manifest")]
mod signed {
    use compliance_geo::database::manifest::{Manifest, ManifestKey};
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    fn signing_key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn sign(seed: u8, text: &str) -> [u8; 64] {
        signing_key(seed).sign(text.as_bytes()).to_bytes()
    }

    #[test]
    fn with_a_key_only_signed_databases_are_taken() {
        let key = ManifestKey::from_bytes(signing_key(7).verifying_key().as_bytes()).unwrap();
        let embargo = reloadable().signed_by(key);
        let next = load(file(JUNE_17 + DAY, "IR")).unwrap();
        let text = Manifest::text_for(next.snapshot());
        refuse(&embargo, Ok(next.clone()), "reload.unsigned");
        let check = |manifest: &str, signature: [u8; 64]| {
            let signed = (manifest.as_bytes(), &signature);
            embargo.replace_signed(SOURCE, Ok(next.clone()), signed, now()).map_err(|error| error.code())
        };
        assert_eq!(check(&text, sign(8, &text)).unwrap_err(), "reload.manifest");
        let other = Manifest::text_for(load(file(JUNE_17 + 2 * DAY, "IR")).unwrap().snapshot());
        assert_eq!(check(&other, sign(7, &other)).unwrap_err(), "reload.manifest");
        assert!(check(&text, sign(7, &text)).unwrap().is_new());
        // An old manifest and its database do not bring an old state back.
        let old = load(file(JUNE_17, "IR")).unwrap();
        let text = Manifest::text_for(old.snapshot());
        let signed = (text.as_bytes(), &sign(7, &text));
        let error = embargo.replace_signed(SOURCE, Ok(old), signed, now()).unwrap_err();
        assert_eq!(error.code(), "reload.older");
    }

    #[test]
    fn with_a_key_from_the_start_the_first_database_is_signed_too() {
        let key = ManifestKey::from_bytes(signing_key(7).verifying_key().as_bytes()).unwrap();
        let database = load(file(JUNE_17, "IR")).unwrap();
        let start = |manifests: &[(&[u8], &[u8; 64])], now: &str| {
            let builder = Embargo::builder().policy(Policy::Us).database(database.clone());
            let now = now.parse().unwrap();
            ReloadableEmbargo::new_signed(builder, Canaries::embedded(), key.clone(), manifests, now)
        };
        let code = |manifests: &[(&[u8], &[u8; 64])], now: &str| start(manifests, now).unwrap_err().code();
        const NOW: &str = "2026-07-01T00:00:00Z";
        let text = Manifest::text_for(database.snapshot());
        let other = Manifest::text_for(load(file(JUNE_17 + DAY, "IR")).unwrap().snapshot());
        let own = (text.as_bytes(), &sign(7, &text));
        assert_eq!(code(&[], NOW), "reload.unsigned");
        assert_eq!(code(&[(text.as_bytes(), &sign(8, &text))], NOW), "reload.manifest");
        assert_eq!(code(&[(other.as_bytes(), &sign(7, &other))], NOW), "reload.manifest");
        assert_eq!(code(&[own], "2026-06-15T23:59:59Z"), "reload.date");
        assert!(start(&[own], "2026-06-16T00:00:00Z").is_ok());
        let embargo = start(&[(other.as_bytes(), &sign(7, &other)), own], NOW).unwrap();
        refuse(&embargo, load(file(JUNE_17 + DAY, "IR")), "reload.unsigned");
    }

    #[test]
    fn a_manifest_without_a_key_to_check_it_is_refused() {
        let next = load(file(JUNE_17 + DAY, "IR")).unwrap();
        let text = Manifest::text_for(next.snapshot());
        let signed = (text.as_bytes(), &sign(7, &text));
        let error = reloadable().replace_signed(SOURCE, Ok(next), signed, now()).unwrap_err();
        assert_eq!(error.code(), "reload.unsigned");
    }
}
