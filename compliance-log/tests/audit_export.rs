//! Reading and exporting the trail.

mod trail;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use compliance_core::class::{Internal, Public};
use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, Event, EventClass, EventKind, FieldValueKind, Sink};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, CorrelationId, SubjectId, TenantId};
use compliance_core::request::{AddressSource, ClientAddress, Correlation};
use compliance_core::testing::MemorySink;
use compliance_log::audit::AuditLog;
use compliance_log::audit::export::{CSV_COLUMNS, ExportFormat, Exporter};
use compliance_log::audit::query::Query;
use compliance_log::audit::record::Circumstances;
use compliance_log::audit::segment::records;
use serde_json::Value;
use trail::{Trail, config};

const T0: i64 = 1_795_262_400;

fn staff() -> Circumstances {
    let at = Timestamp::from_unix_seconds(T0);
    Circumstances::new(Actor::Person(ActorId::new("staff-17").unwrap()), at)
}

/// Every kind but those that only the trail itself writes.
fn kinds() -> Vec<EventKind> {
    let own = [EventKind::SystemTrailKeyChanged, EventKind::SystemTrailRetired];
    EventKind::ALL.iter().filter(|kind| !own.contains(kind)).copied().collect()
}

/// One event of every kind, by every sort of actor.
fn every_kind(trail: &Trail) -> AuditLog {
    let clock = std::sync::Arc::new(ManualClock::at(Timestamp::from_unix_seconds(T0)));
    let (log, _) = AuditLog::open(trail.path(), config(), clock.clone()).unwrap();
    let actor = |name| Actor::Person(ActorId::new(name).unwrap());
    for (number, kind) in kinds().iter().enumerate() {
        let by = match number % 4 {
            0 => Actor::Anonymous,
            1 => actor("staff-17"),
            2 => Actor::Program(ActorId::new("job-3").unwrap()),
            _ => Actor::System,
        };
        let outcome = [Outcome::Passed, Outcome::Refused, Outcome::Review][number % 3];
        let at = Timestamp::from_unix_seconds(T0 + number as i64);
        let mut event = Event::builder(*kind, outcome, by, at)
            .client(&ClientAddress::new([203, 0, 113, 7].into(), AddressSource::Header))
            .field("resource", Internal("customer"))
            .field("role", Internal("admin"))
            .field("method", Internal("GET"))
            .field("route", Internal("/customers/{id}"))
            .field("status", Internal(200))
            .field("note", Public("=1+1, \"x\"\r\n"));
        if number % 2 == 0 {
            event = event
                .tenant(TenantId::new("acme").unwrap())
                .subject(SubjectId::new("user-4711").unwrap())
                .correlation(Correlation::new(CorrelationId::from_stored_bytes([7; 16]), None));
        }
        drop(log.record(event.build().unwrap()).wait().unwrap());
        clock.advance(std::time::Duration::from_secs(1));
    }
    log
}

fn run(trail: &Trail, query: Query) -> Vec<u64> {
    let sink = MemorySink::default();
    let found = query.run(trail.path(), &staff(), &sink).unwrap();
    let found = found.map(|record| record.unwrap().sequence()).collect();
    assert_eq!(sink.events().last().unwrap().kind(), EventKind::SystemTrailRead);
    found
}

#[test]
fn a_query_finds_exactly_what_it_asks_for() {
    let trail = Trail::new();
    drop(every_kind(&trail));
    let all = kinds().len() as u64;
    let even: Vec<_> = (0..all).step_by(2).collect();
    let anna = SubjectId::new("user-4711").unwrap();
    assert_eq!(run(&trail, Query::in_all_tenants()), (0..all).collect::<Vec<_>>());
    assert_eq!(run(&trail, Query::in_tenant(TenantId::new("acme").unwrap())), even);
    assert!(run(&trail, Query::in_tenant(TenantId::new("other").unwrap())).is_empty());
    assert_eq!(run(&trail, Query::in_all_tenants().subject(anna)), even);
    let by_staff = Query::in_all_tenants().actor(ActorId::new("staff-17").unwrap());
    assert_eq!(run(&trail, by_staff), (1..all).step_by(4).collect::<Vec<_>>());
    let correlation = Query::in_all_tenants().correlation(CorrelationId::from_stored_bytes([7; 16]));
    assert_eq!(run(&trail, correlation), even);
    let time = |seconds| Timestamp::from_unix_seconds(T0 + seconds);
    assert_eq!(run(&trail, Query::in_all_tenants().between(time(3), time(6))), [3, 4, 5]);
    let accounts = run(&trail, Query::in_all_tenants().class(EventClass::Account));
    let expected = kinds().iter().filter(|kind| kind.class() == EventClass::Account).count();
    assert_eq!(accounts.len(), expected);
}

#[test]
fn nothing_is_read_or_exported_that_could_not_be_recorded() {
    let trail = Trail::new();
    drop(every_kind(&trail));
    let sink = MemorySink::default();
    sink.fail_with(Some(compliance_core::event::RecordErrorKind::Full));
    let refused = Query::in_all_tenants().run(trail.path(), &staff(), &sink).unwrap_err();
    assert_eq!(refused.code(), "record.full");
    let mut out = Vec::new();
    let refused = Exporter::new("service", "1")
        .export(trail.path(), Query::in_all_tenants(), ExportFormat::Csv, &mut out, &staff(), &sink)
        .unwrap_err();
    assert_eq!(refused.code(), "record.full");
    assert!(!String::from_utf8(out).unwrap().contains("user-4711"));
}

/// What the record of a reading says of it, by field, and whom it is about.
fn told(sink: &MemorySink) -> (Vec<(String, String)>, Vec<String>) {
    let events = sink.events();
    let event = events.last().unwrap();
    let field = |field: &compliance_core::event::Field| match field.value() {
        FieldValueKind::Plain { value, .. } => (field.name().to_owned(), value.to_string()),
        other => panic!("{other:?}"),
    };
    let subjects = event.subjects().iter().map(|subject| subject.as_str().to_owned());
    (event.fields().iter().map(field).collect(), subjects.collect())
}

#[test]
fn the_record_of_a_reading_says_what_was_asked_for() {
    let trail = Trail::new();
    drop(every_kind(&trail));
    let (acme, anna) = (TenantId::new("acme").unwrap(), SubjectId::new("user-4711").unwrap());
    let key = compliance_core::seal::KeyId::from_bytes([0xAB; 16]);
    let check = |query: Query, fields: &[(&str, &str)], subjects: &[&str]| {
        let sink = MemorySink::default();
        drop(query.clone().run(trail.path(), &staff(), &sink).unwrap());
        let expected: Vec<_> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(told(&sink), (expected.clone(), subjects.iter().map(|name| (*name).to_owned()).collect()));
        // An export says the same, and in which form.
        let mut out = Vec::new();
        let exporter = Exporter::new("service", "1");
        exporter.export(trail.path(), query, ExportFormat::Csv, &mut out, &staff(), &sink).unwrap();
        assert_eq!(told(&sink).0, [vec![("format".to_owned(), "csv".to_owned())], expected].concat());
    };
    check(Query::in_all_tenants(), &[], &[]);
    let here = "a subject of this record";
    let (from, until) = (Timestamp::from_unix_seconds(T0), Timestamp::from_unix_seconds(T0 + 9));
    check(
        Query::in_tenant(acme)
            .class(EventClass::Data)
            .between(from, until)
            .correlation(CorrelationId::from_stored_bytes([7; 16]))
            .subject(anna.clone()),
        &[
            ("query.tenant", "acme"),
            ("query.class", "data"),
            ("query.from", &from.to_string()),
            ("query.until", &until.to_string()),
            ("query.correlation_id", &CorrelationId::from_stored_bytes([7; 16]).to_string()),
            ("query.subject", here),
        ],
        &["user-4711"],
    );
    let keyed = format!("key {key}");
    check(Query::in_all_tenants().sealed_subject(anna.clone(), key), &[("query.subject", &keyed)], &[]);
    let by_staff = ActorId::new("staff-9").unwrap();
    check(Query::in_all_tenants().sealed_actor(by_staff.clone(), key), &[("query.actor", &keyed)], &[]);
    check(Query::in_all_tenants().actor(by_staff), &[("query.actor", here)], &["staff-9"]);
    // Who asks for themselves is not told by a key beside their own name.
    let own = SubjectId::new("staff-17").unwrap();
    check(Query::in_all_tenants().sealed_subject(own, key), &[("query.subject", here)], &["staff-17"]);
}

#[test]
fn a_line_has_the_snapshots_of_a_decision_and_the_callers_trace() {
    use compliance_core::finding::{Enforcement, Finding, PolicyVersion};
    use compliance_core::snapshot::Snapshot;
    let trail = Trail::new();
    let (log, _) = AuditLog::open(trail.path(), config(), ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let caller = Some(compliance_core::id::TraceParent::parse(parent).unwrap());
    let code = compliance_core::reason_code!("embargo.country");
    let list = Snapshot::of("countries", "2026-11-20".parse().unwrap(), b"list", 7);
    let finding =
        Finding::refused(code, code, PolicyVersion::new("embargo", "3")).with_snapshot(list.clone());
    let finding = finding.with_enforcement(Enforcement::ReportOnly);
    let event =
        Event::builder(EventKind::CheckDecided, Outcome::Refused, Actor::Anonymous, Timestamp::UNIX_EPOCH)
            .finding(&finding)
            .subject(SubjectId::new("user-1").unwrap())
            .subject(SubjectId::new("user-2").unwrap())
            .correlation(Correlation::new(CorrelationId::from_stored_bytes([7; 16]), caller));
    drop(log.record(event.build().unwrap()).wait().unwrap());
    drop(log);
    let record = records(trail.path()).unwrap().next().unwrap().unwrap();
    let exporter = Exporter::new("service", "1");
    let digest: String = list.sha256().iter().map(|byte| format!("{byte:02x}")).collect();
    let snapshots = serde_json::json!([{
        "source": "countries", "as_of": "2026-11-20", "sha256": digest, "entries": 7,
    }]);
    let line = exporter.json(&record);
    assert_eq!((&line["snapshots"], &line["traceparent"]), (&snapshots, &parent.into()));
    let cells = cells(&exporter.line(&record, ExportFormat::Csv));
    let cell = |name| cells[CSV_COLUMNS.iter().position(|column| *column == name).unwrap()].as_str();
    for (name, value) in line.as_object().unwrap() {
        match (name.as_str(), value) {
            ("actor", actor) => {
                assert_eq!((cell("actor_type"), &actor["type"]), ("anonymous", &"anonymous".into()))
            }
            ("subjects", _) => assert_eq!(cell(name), "user-1 user-2"),
            (_, Value::String(text)) => assert_eq!(cell(name), text, "{name}"),
            (_, other) => assert_eq!(cell(name), other.to_string(), "{name}"),
        }
    }
    assert_eq!((cell("report_only"), cell("policy")), ("true", "embargo 3"));
    let unmapped = &exporter.ocsf(&record)["unmapped"];
    assert_eq!((&unmapped["snapshots"], &unmapped["traceparent"]), (&snapshots, &parent.into()));
}

#[test]
fn an_export_is_in_the_trail_and_not_in_itself() {
    let trail = Trail::new();
    let log = every_kind(&trail);
    let mut out = Vec::new();
    let count = Exporter::new("service", "1")
        .export(trail.path(), Query::in_all_tenants(), ExportFormat::Jsonl, &mut out, &staff(), &log)
        .unwrap();
    drop(log);
    assert_eq!(count, kinds().len() as u64);
    let lines: Vec<Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, count);
    for (line, record) in lines.iter().zip(records(trail.path()).unwrap()) {
        let record = record.unwrap();
        assert_eq!(line["sequence"], record.sequence());
        assert_eq!(line["kind"], record.event().kind().code());
        assert_eq!(line["leaf"], record.digest().to_string());
        assert_eq!(line["fields"]["note"], "=1+1, \"x\"\r\n");
    }
    let last = records(trail.path()).unwrap().last().unwrap().unwrap();
    assert_eq!(last.event().kind(), EventKind::SystemTrailExported);
}

#[test]
fn a_spreadsheet_takes_no_cell_for_a_formula() {
    let trail = Trail::new();
    let (log, _) = AuditLog::open(trail.path(), config(), ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap();
    for name in ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(1)", "plain", "a,b"] {
        let by = Actor::Program(ActorId::new(name).unwrap_or(ActorId::new("refused").unwrap()));
        let event = Event::builder(EventKind::SystemStarted, Outcome::Passed, by, Timestamp::UNIX_EPOCH);
        drop(log.record(event.build().unwrap()).wait().unwrap());
    }
    drop(log);
    let exporter = Exporter::new("service", "1");
    assert_eq!(Exporter::header(ExportFormat::Csv).unwrap().split(',').count(), CSV_COLUMNS.len());
    for record in records(trail.path()).unwrap() {
        let line = exporter.line(&record.unwrap(), ExportFormat::Csv);
        let cells = cells(&line);
        assert_eq!(cells.len(), CSV_COLUMNS.len(), "{line}");
        assert!(!cells.iter().any(|cell| cell.starts_with(['=', '+', '-', '@'])), "{line}");
    }
}

/// RFC 4180, one record.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', true) if chars.peek() == Some(&'"') => cell.extend(chars.next()),
            ('"', _) => quoted = !quoted,
            (',', false) => cells.push(std::mem::take(&mut cell)),
            (c, _) => cell.push(c),
        }
    }
    cells.push(cell);
    cells
}

/// The schemas of OCSF: a class or object with what it extends and includes.
struct Schemas {
    dir: PathBuf,
    dictionary: Value,
}

impl Schemas {
    fn read(&self, path: &str) -> Value {
        let path = self.dir.join(path);
        serde_json::from_slice(&std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")))
            .unwrap()
    }

    /// Every attribute with its definition, the nearest first; and the constraints.
    fn attributes(&self, kind: &str, name: &str) -> (serde_json::Map<String, Value>, Vec<Value>) {
        let path = if kind == "objects" {
            format!("objects/{name}.json")
        } else {
            let found = ["", "iam/", "application/"]
                .map(|folder| format!("events/{folder}{name}.json"))
                .into_iter()
                .find(|path| self.dir.join(path).exists());
            found.unwrap_or_else(|| panic!("class {name}"))
        };
        let schema = self.read(&path);
        let mut constraints: Vec<Value> = schema.get("constraints").cloned().into_iter().collect();
        let mut all = match schema.get("extends").and_then(Value::as_str) {
            Some(base) => {
                let (all, inherited) = self.attributes(kind, base);
                if constraints.is_empty() {
                    constraints = inherited;
                }
                all
            }
            None => serde_json::Map::new(),
        };
        let own = schema["attributes"].as_object().unwrap();
        for (name, value) in own.iter().filter(|(name, _)| *name != "$include") {
            let entry = all.entry(name.clone()).or_insert_with(|| Value::Object(serde_json::Map::new()));
            for (key, value) in value.as_object().unwrap() {
                match (key.as_str(), entry.get_mut("enum"), value) {
                    ("enum", Some(Value::Object(known)), Value::Object(more)) => {
                        known.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
                    }
                    _ => {
                        entry.as_object_mut().unwrap().insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (all, constraints)
    }

    fn check(&self, kind: &str, name: &str, value: &Value, at: &str) -> usize {
        let (attributes, constraints) = self.attributes(kind, name);
        let value = value.as_object().unwrap_or_else(|| panic!("{at} is no object"));
        let mut checked = 0;
        for (key, definition) in &attributes {
            assert!(
                definition["requirement"] != "required" || value.contains_key(key),
                "{at}.{key} is required"
            );
        }
        for constraint in constraints {
            for (rule, names) in constraint.as_object().unwrap() {
                let present = names
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|name| value.contains_key(name.as_str().unwrap()))
                    .count();
                assert!(
                    if rule == "at_least_one" { present >= 1 } else { present == 1 },
                    "{at}: {rule} {names}"
                );
            }
        }
        for (key, value) in value {
            let definition = attributes.get(key).unwrap_or_else(|| panic!("{at}.{key} is not of the class"));
            let entry = &self.dictionary["attributes"][key];
            let values = match value {
                Value::Array(values) => {
                    assert_eq!(entry["is_array"], true, "{at}.{key} is no array");
                    values.clone()
                }
                one => {
                    assert_ne!(entry["is_array"], true, "{at}.{key} is an array");
                    vec![one.clone()]
                }
            };
            let allowed: BTreeSet<_> = [entry.get("enum"), definition.get("enum")]
                .into_iter()
                .flatten()
                .flat_map(|values| values.as_object().unwrap().keys().cloned())
                .collect();
            for value in values {
                checked += 1;
                let place = format!("{at}.{key}");
                let type_name =
                    entry["type"].as_str().unwrap_or_else(|| panic!("{place} is not in the dictionary"));
                match type_name {
                    "integer_t" | "long_t" | "timestamp_t" => {
                        let number = value.as_i64().unwrap_or_else(|| panic!("{place} is no number"));
                        assert!(
                            allowed.is_empty() || allowed.contains(&number.to_string()),
                            "{place}: {number}"
                        );
                    }
                    "boolean_t" => assert!(value.is_boolean(), "{place}"),
                    "json_t" => {}
                    // `unmapped` is the one object without attributes of its own.
                    "object_t" if key == "unmapped" => assert!(value.is_object()),
                    "object_t" => {
                        checked +=
                            self.check("objects", entry["object_type"].as_str().unwrap(), &value, &place);
                    }
                    object if self.dir.join(format!("objects/{object}.json")).exists() => {
                        if key != "unmapped" {
                            checked += self.check("objects", object, &value, &place);
                        }
                    }
                    _ => assert!(value.is_string(), "{place} is no string"),
                }
            }
        }
        checked
    }
}

#[test]
fn every_kind_exports_as_a_valid_ocsf_event() {
    let Some(corpus) = std::env::var_os("COMPLIANCE_CORPUS") else {
        println!("skipped: COMPLIANCE_CORPUS is not set");
        return;
    };
    let dir = Path::new(&corpus).join("ocsf");
    let dictionary = serde_json::from_slice(&std::fs::read(dir.join("dictionary.json")).unwrap()).unwrap();
    let schemas = Schemas { dir, dictionary };
    assert_eq!(schemas.read("version.json")["version"], compliance_log::audit::export::OCSF_VERSION);
    let trail = Trail::new();
    drop(every_kind(&trail));
    let exporter = Exporter::new("service", "1.4.2");
    let (mut events, mut checked) = (0, 0);
    for record in records(trail.path()).unwrap() {
        let event = exporter.ocsf(&record.unwrap());
        let (uid, category) = (event["class_uid"].as_u64().unwrap(), event["category_uid"].as_u64().unwrap());
        let class = match uid {
            0 => "base_event",
            3001 => "account_change",
            3002 => "authentication",
            3004 => "entity_management",
            3005 => "user_access",
            6001 => "web_resources_activity",
            6003 => "api_activity",
            other => panic!("class {other}"),
        };
        let schema_uid = if uid == 0 {
            0
        } else {
            let folder = if category == 3 { "iam" } else { "application" };
            schemas.read(&format!("events/{folder}/{class}.json"))["uid"].as_u64().unwrap()
        };
        assert_eq!(uid, category * 1000 + schema_uid);
        assert_eq!(event["type_uid"].as_u64().unwrap(), uid * 100 + event["activity_id"].as_u64().unwrap());
        let mut event = event;
        // These three are computed from the schema, not listed in it.
        for computed in ["class_uid", "category_uid", "type_uid"] {
            event[computed] = 0.into();
        }
        checked += schemas.check("events", class, &event, class);
        events += 1;
    }
    println!("{events} events of {} kinds valid, {checked} attributes checked", kinds().len());
    assert_eq!(events, kinds().len());
}
