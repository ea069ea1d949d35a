//! What is written: typed builders, and the form that is hashed.

mod trail;

use std::fs;
use std::path::{Path, PathBuf};

use compliance_core::class::{Internal, Public};
use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, Event, EventKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, CorrelationId, SubjectId, TenantId};
use compliance_core::purpose;
use compliance_core::request::{AddressSource, ClientAddress, Correlation};
use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::record::{
    Account, Administration, ApiCall, Authentication, Authorization, Circumstances, Configuration, Consent,
    DataAccess, Erasure, RouteTemplate, System,
};
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::verify;
use compliance_log::audit::{AuditLog, Verdict, VerifyOptions};
use trail::{Trail, config, key};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn by() -> Circumstances {
    let client = ClientAddress::new([203, 0, 113, 7].into(), AddressSource::Header);
    Circumstances::new(Actor::Person(ActorId::new("staff-17").unwrap()), NOW)
        .on_behalf_of(Actor::Program(ActorId::new("job-3").unwrap()))
        .tenant(TenantId::new("acme").unwrap())
        .client(client)
        .correlation(Correlation::new(CorrelationId::from_stored_bytes([7; 16]), None))
}

fn anna() -> SubjectId {
    SubjectId::new("user-4711").unwrap()
}

/// The kind, the outcome, and the names of the fields, of which none is personal.
#[track_caller]
fn check(
    event: Result<Event, compliance_core::event::EventError>,
    kind: EventKind,
    outcome: Outcome,
    fields: &[&str],
) {
    let event = event.unwrap();
    assert_eq!((event.kind(), event.outcome(), event.at()), (kind, outcome, NOW));
    assert_eq!(event.fields().iter().map(|field| field.name()).collect::<Vec<_>>(), fields);
    assert_eq!(event.tenant(), Some(&TenantId::new("acme").unwrap()));
    assert!(event.on_behalf_of().is_some() && event.correlation().is_some());
    // What is hashed is what comes back.
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    assert_eq!(Event::decode(&bytes).unwrap(), event);
}

#[test]
fn each_class_has_its_builders() {
    use EventKind as K;
    use Outcome::{Passed, Refused, Review};
    let route = RouteTemplate::new("/v1/customers/{id}").unwrap();
    let purpose = || purpose!("support.ticket");
    check(
        Authentication::login(&by(), Refused).method("password").build(),
        K::AuthenticationLogin,
        Refused,
        &["method"],
    );
    check(Authentication::logout(&by()).build(), K::AuthenticationLogout, Passed, &[]);
    check(Authentication::mfa(&by(), Passed).subject(anna()).build(), K::AuthenticationMfa, Passed, &[]);
    check(Authentication::session(&by(), Passed).build(), K::AuthenticationSession, Passed, &[]);
    let decided = Authorization::decided(&by(), "export", "customer", Refused).subject(anna());
    check(decided.build(), K::AuthorizationDecided, Refused, &["action", "resource"]);
    for (account, kind) in [
        (Account::created(&by(), anna()), K::AccountCreated),
        (Account::deleted(&by(), anna()), K::AccountDeleted),
        (Account::locked(&by(), anna()), K::AccountLocked),
        (Account::unlocked(&by(), anna()), K::AccountUnlocked),
        (Account::password_changed(&by(), anna()), K::AccountPasswordChanged),
        (Account::mfa_enabled(&by(), anna()), K::AccountMfaEnabled),
        (Account::mfa_disabled(&by(), anna()), K::AccountMfaDisabled),
    ] {
        check(account.build(), kind, Passed, &[]);
    }
    check(Account::role_assigned(&by(), anna(), "admin").build(), K::AccountRoleAssigned, Passed, &["role"]);
    check(Account::role_revoked(&by(), anna(), "admin").build(), K::AccountRoleRevoked, Passed, &["role"]);
    check(Account::updated(&by(), anna(), &["email"]).build(), K::AccountUpdated, Passed, &["attributes"]);
    for (access, kind) in [
        (DataAccess::created(&by(), "customer", purpose()), K::DataCreated),
        (DataAccess::deleted(&by(), "customer", purpose()), K::DataDeleted),
        (DataAccess::exported(&by(), "customer", purpose()), K::DataExported),
        (DataAccess::read(&by(), "customer", purpose()), K::DataRead),
        (DataAccess::updated(&by(), "customer", purpose()), K::DataUpdated),
    ] {
        let access = access.subjects([anna()]).fields(&["name", "email"]).count(3).build();
        assert_eq!(access.as_ref().unwrap().subjects(), [anna()]);
        assert_eq!(access.as_ref().unwrap().purpose(), Some(&purpose()));
        check(access, kind, Passed, &["resource", "fields", "count"]);
    }
    let performed = Administration::performed(&by(), "cache.clear", Passed);
    check(performed.build(), K::AdministrationPerformed, Passed, &["action"]);
    check(ApiCall::begun(&by(), "POST", &route).build(), K::ApiCalled, Review, &["method", "route", "phase"]);
    let ended = ApiCall::ended(&by(), "POST", &route, 404).build();
    check(ended, K::ApiCalled, Refused, &["method", "route", "phase", "status"]);
    let abandoned = ApiCall::abandoned(&by(), "POST", &route).build();
    check(abandoned, K::ApiCalled, Review, &["method", "route", "phase"]);
    let changed = Configuration::changed(&by(), "mfa.required").from(Internal(false)).to(Internal(true));
    check(changed.build(), K::ConfigurationChanged, Passed, &["setting", "from", "to"]);
    for (consent, kind) in [
        (Consent::given(&by(), anna(), purpose(), "newsletter", 3), K::ConsentGiven),
        (Consent::refused(&by(), anna(), purpose(), "newsletter", 3), K::ConsentRefused),
        (Consent::withdrawn(&by(), anna(), purpose(), "newsletter", 3), K::ConsentWithdrawn),
    ] {
        check(consent.build(), kind, Passed, &["notice", "notice_version"]);
    }
    check(Erasure::requested(&by()).build(), K::ErasureRequested, Passed, &[]);
    let completed = Erasure::completed(&by(), 1).pending_until(NOW);
    check(completed.build(), K::ErasureCompleted, Passed, &["keys", "pending_until"]);
    check(System::started(&by(), "api").build(), K::SystemStarted, Passed, &["component"]);
    check(System::stopped(&by(), "api").build(), K::SystemStopped, Passed, &["component"]);
    check(System::trail_exported(&by(), "csv").build(), K::SystemTrailExported, Passed, &["format"]);
    check(System::trail_read(&by()).build(), K::SystemTrailRead, Passed, &[]);
    let verified = System::trail_verified(&by(), Passed, 7, std::time::Duration::from_millis(5));
    check(verified.build(), K::SystemTrailVerified, Passed, &["records", "millis"]);
}

/// People type passwords where their name belongs. What they typed is told to be the same again, and nothing more.
#[cfg(feature = "pseudonym")]
#[test]
fn what_was_typed_as_a_name_is_nowhere_in_the_trail() {
    use compliance_core::event::FieldValueKind;
    use compliance_core::pseudonym::{Epoch, PseudonymKey};
    use compliance_core::pseudonym_domain;

    let epoch = Epoch::new(1);
    let names = PseudonymKey::new(&[7; 32], epoch).unwrap();
    let names = names.pseudonymiser(None, pseudonym_domain!("audit.attempted_name"), epoch).unwrap();
    let trail = Trail::new();
    let log = trail.open();
    for typed in ["hunter2-was-my-password", "hunter2-was-my-password", "anna@example.com"] {
        let request = Circumstances::new(Actor::Anonymous, NOW);
        let attempt = Authentication::login(&request, Outcome::Refused)
            .attempted_name(names.pseudonym(typed.as_bytes()))
            .build();
        drop(log.record(attempt.unwrap()).wait().unwrap());
    }
    drop(log);
    for (file, content) in trail.snapshot() {
        for part in ["hunter2", "anna"] {
            assert!(
                !content.windows(part.len()).any(|window| window == part.as_bytes()),
                "{part} is in {file}"
            );
        }
    }
    let told: Vec<_> = records(trail.path())
        .unwrap()
        .map(|record| match record.unwrap().event().fields()[0].value() {
            FieldValueKind::Pseudonym(name) => name.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(told[0] == told[1] && told[1] != told[2]);
}

/// Three records in the form of today. The first version differed in its checkpoints alone.
fn write_golden(dir: &Path) {
    let clock = ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap());
    let (log, _) = AuditLog::open(dir, config(), clock).unwrap();
    let access = DataAccess::exported(&by(), "customer", purpose!("support.data_request"))
        .subjects(["user-4711", "user-4712"].map(|name| SubjectId::new(name).unwrap()))
        .fields(&["name", "email"])
        .count(2)
        .field("note", Public("=1+1, \"x\"\r\n\u{202e}"))
        .field("until", Internal(NOW))
        .field("below", Internal(-7_i64))
        .build();
    let refused = Authentication::login(&Circumstances::new(Actor::Anonymous, NOW), Outcome::Refused).build();
    let started = System::started(&Circumstances::new(Actor::System, NOW), "api").build();
    for event in [access, refused, started] {
        drop(log.record(event.unwrap()).wait().unwrap());
    }
    log.close().unwrap();
}

fn golden(version: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors")).join(version)
}

/// What is written today is written so tomorrow, to the byte.
#[test]
fn a_trail_is_written_in_the_second_version() {
    let fresh = Trail::new();
    write_golden(fresh.path());
    for file in ["00000000000000000000.seg", "checkpoint"] {
        let golden = fs::read(golden("trail-v2").join(file)).unwrap();
        assert_eq!(fs::read(fresh.path().join(file)).unwrap(), golden, "{file}");
    }
}

/// Whatever this crate becomes, it reads and verifies the trails of its first versions.
#[test]
fn trails_of_every_version_are_read_and_verified_as_they_were() {
    for version in ["trail-v1", "trail-v2"] {
        check_golden(&golden(version));
    }
}

fn check_golden(golden: &Path) {
    let anchor = CheckpointNote::parse(&fs::read_to_string(golden.join("checkpoint")).unwrap()).unwrap();
    let options = VerifyOptions::new().key(key().verifying_key().clone()).anchor(anchor).read_events();
    let report = verify(golden, &options).unwrap();
    assert_eq!((report.records(), report.verdict()), (3, Verdict::TamperEvident { since: 3 }));
    let digests = [
        "698aa4d1d3c431dece301c15b3f9b1dfca37f422da9210e38794b989fe8019fd",
        "3c6b6f64f8840b98b76f081a94c375f7f1c3099b94a143c721a509edbb4d41c2",
        "d5a1a0d497208300584ce0a5b853f688a87dbd3275d137c5ea7aa7e05e1a93a6",
    ];
    let found: Vec<_> =
        records(golden).unwrap().map(|record| record.unwrap().event().digest().to_string()).collect();
    assert_eq!(found, digests);
}
