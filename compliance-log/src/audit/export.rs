//! Export: JSON Lines, CSV, and OCSF 1.8.0 for systems that take security events.
//!
//! | class of event | OCSF class |
//! |---|---|
//! | api | API Activity (6003) |
//! | account | Account Change (3001), User Access Management (3005) for roles |
//! | authentication | Authentication (3002) |
//! | data | Entity Management (3004), Web Resources Activity (6001) for exports |
//! | all others | Base Event (0), with the kind as its activity |
//!
//! What OCSF has no place for stands under `unmapped`. Sealed people are given as `sealed:` and the id of their key,
//! or by name with `Exporter::open_people`.

use std::io::Write;

use compliance_core::event::{Actor, Event, EventKind, Field, FieldValueKind, Sink, Value as FieldContent};
use compliance_core::finding::{Enforcement, Outcome};
use compliance_core::snapshot::Snapshot;
use serde_json::{Map, Value, json};

use super::query::{Query, QueryError, QueryErrorKind, TrailSource};
use super::record::{Circumstances, Record, System};

/// The version of OCSF written.
pub const OCSF_VERSION: &str = "1.8.0";

/// The columns of a CSV export: the members of a line of JSON, the actor in two. `fields` and `snapshots` are JSON.
pub const CSV_COLUMNS: [&str; 20] = [
    "sequence",
    "recorded_at",
    "at",
    "kind",
    "outcome",
    "actor_type",
    "actor",
    "on_behalf_of",
    "tenant",
    "subjects",
    "client",
    "purpose",
    "correlation_id",
    "reason",
    "fields",
    "policy",
    "report_only",
    "snapshots",
    "traceparent",
    "leaf",
];

/// In which form records are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExportFormat {
    /// RFC 4180, with a header line. A cell that a spreadsheet would take for a formula begins with an apostrophe.
    Csv,
    /// One JSON object per record and line.
    Jsonl,
    /// One OCSF event per record and line.
    Ocsf,
}

impl ExportFormat {
    /// `csv`, `jsonl` or `ocsf`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Csv, Self::Jsonl, Self::Ocsf].into_iter().find(|format| format.as_str() == name)
    }
}

/// Writes records in an [`ExportFormat`].
///
/// ```
/// # use compliance_core::clock::{Clock, SystemClock};
/// # use compliance_core::event::{Actor, Sink};
/// # use compliance_core::finding::Outcome;
/// # use compliance_core::random::SystemRandom;
/// # use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
/// # use compliance_log::audit::record::{Authentication, Circumstances};
/// use compliance_log::audit::export::{ExportFormat, Exporter};
/// use compliance_log::audit::query::Query;
///
/// # let dir = tempfile::tempdir()?;
/// # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// # let (log, _) = AuditLog::open(dir.path(), AuditConfig::new(key).on_any_storage(), SystemClock)?;
/// # let by = Circumstances::new(Actor::Anonymous, SystemClock.now());
/// # log.record(Authentication::login(&by, Outcome::Refused).build()?).wait()?;
/// let mut out = Vec::new();
/// let exporter = Exporter::new("service", "1.4.2");
/// let count = exporter.export(dir.path(), Query::in_all_tenants(), ExportFormat::Ocsf, &mut out, &by, &log)?;
/// assert_eq!(count, 1);
/// let event: serde_json::Value = serde_json::from_slice(&out)?;
/// assert_eq!((&event["class_uid"], &event["status_id"]), (&3002.into(), &2.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Exporter {
    product: Box<str>,
    version: Box<str>,
    #[cfg(feature = "key-store")]
    keys: Option<std::sync::Arc<dyn compliance_core::seal::KeyStore>>,
}

/// How people are given.
struct Names {
    actor: Option<String>,
    on_behalf_of: Option<String>,
    subjects: Vec<String>,
}

impl Exporter {
    /// The name and version of the service whose trail it is, which OCSF asks for.
    pub fn new(product: &str, version: &str) -> Self {
        Self {
            product: product.into(),
            version: version.into(),
            #[cfg(feature = "key-store")]
            keys: None,
        }
    }

    /// Gives sealed people by name; the erased as `erased`, and whoever cannot be opened as `unreadable`.
    #[cfg(feature = "key-store")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "key-store")))]
    pub fn open_people(mut self, keys: std::sync::Arc<dyn compliance_core::seal::KeyStore>) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Writes what the query wants of the trail, once it is recorded that it is exported. How many records
    /// were written.
    ///
    /// # Errors
    /// [`QueryError`] when the export was not recorded, the trail cannot be read or `out` not be written.
    pub fn export(
        &self,
        trail: impl TrailSource,
        query: Query,
        format: ExportFormat,
        out: &mut dyn Write,
        by: &Circumstances,
        sink: &dyn Sink,
    ) -> Result<u64, QueryError> {
        let event = System::trail_exported(by, format.as_str());
        let mut count = 0_u64;
        let write = |_| QueryError::from(QueryErrorKind::Write);
        if let Some(header) = Self::header(format) {
            writeln!(out, "{header}").map_err(write)?;
        }
        for record in query.run_recorded(&trail, by, event, sink)? {
            writeln!(out, "{}", self.line(&record?, format)).map_err(write)?;
            count = count.saturating_add(1);
        }
        out.flush().map_err(write)?;
        Ok(count)
    }

    /// The line before the first record, where the format has one.
    #[must_use]
    pub fn header(format: ExportFormat) -> Option<String> {
        (format == ExportFormat::Csv).then(|| CSV_COLUMNS.join(","))
    }

    /// One record as one line, without its end.
    #[must_use]
    pub fn line(&self, record: &Record, format: ExportFormat) -> String {
        match format {
            ExportFormat::Csv => self.csv(record),
            ExportFormat::Jsonl => self.json(record).to_string(),
            ExportFormat::Ocsf => self.ocsf(record).to_string(),
        }
    }

    /// One record as a JSON object.
    #[must_use]
    pub fn json(&self, record: &Record) -> Value {
        let event = record.event();
        let names = self.names(event);
        let mut object = json!({
            "sequence": record.sequence(),
            "recorded_at": record.recorded_at().to_string(),
            "at": event.at().to_string(),
            "kind": event.kind().code(),
            "outcome": event.outcome().as_str(),
            "actor": { "type": actor_type(event.actor()), "id": names.actor },
            "leaf": record.digest().to_string(),
        });
        let optional = [
            ("on_behalf_of", names.on_behalf_of),
            ("tenant", event.tenant().map(ToString::to_string)),
            ("client", client(event)),
            ("purpose", event.purpose().map(ToString::to_string)),
            ("correlation_id", correlation(event)),
            ("traceparent", traceparent(event)),
            ("reason", event.reason().map(ToOwned::to_owned)),
            ("policy", event.policy().map(|policy| format!("{} {}", policy.name(), policy.version()))),
        ];
        if let Some(object) = object.as_object_mut() {
            put_present(object, optional);
            if !names.subjects.is_empty() {
                object.insert("subjects".to_owned(), names.subjects.into());
            }
            if event.enforcement() == Enforcement::ReportOnly {
                object.insert("report_only".to_owned(), true.into());
            }
            if !event.fields().is_empty() {
                object.insert("fields".to_owned(), fields(event).into());
            }
            if !event.snapshots().is_empty() {
                object.insert("snapshots".to_owned(), snapshots(event));
            }
        }
        object
    }

    /// What the JSON object has, member by member.
    fn csv(&self, record: &Record) -> String {
        let object = self.json(record);
        let cell = |column| {
            let member = match column {
                "actor_type" => object.pointer("/actor/type"),
                "actor" => object.pointer("/actor/id"),
                member => object.get(member),
            };
            let text = match (column, member) {
                (_, None | Some(Value::Null)) => String::new(),
                (_, Some(Value::String(text))) => text.clone(),
                // No identifier has a blank in it.
                ("subjects", Some(Value::Array(subjects))) => {
                    subjects.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
                }
                (_, Some(other)) => other.to_string(),
            };
            csv_cell(&text)
        };
        CSV_COLUMNS.map(cell).join(",")
    }

    /// One record as an OCSF 1.8.0 event.
    #[must_use]
    pub fn ocsf(&self, record: &Record) -> Value {
        let event = record.event();
        let names = self.names(event);
        let class = OcsfClass::of(event.kind());
        let (status, severity) = match event.outcome() {
            Outcome::Passed => (1, 1),
            Outcome::Refused => (2, 2),
            Outcome::Review => (99, 2),
        };
        let mut metadata = json!({
            "version": OCSF_VERSION,
            "product": { "name": self.product, "version": self.version },
            "sequence": record.sequence(),
            "event_code": event.kind().code(),
            "logged_time": record.recorded_at().as_unix_millis(),
            "uid": record.digest().to_string(),
        });
        let mut object = json!({
            "category_uid": class.category,
            "class_uid": class.uid,
            "activity_id": class.activity,
            "activity_name": class.activity_name,
            "type_uid": class.uid.saturating_mul(100).saturating_add(class.activity),
            "time": event.at().as_unix_millis(),
            "severity_id": severity,
            "status_id": status,
            "message": event.kind().code(),
        });
        let mut unmapped = Map::new();
        put_present(
            &mut unmapped,
            [
                ("on_behalf_of", names.on_behalf_of.clone()),
                ("purpose", event.purpose().map(ToString::to_string)),
                ("policy", event.policy().map(|policy| format!("{} {}", policy.name(), policy.version()))),
                ("client_network", client(event)),
                ("traceparent", traceparent(event)),
                ("actor_type", Some(actor_type(event.actor()).to_owned())),
            ],
        );
        if event.enforcement() == Enforcement::ReportOnly {
            unmapped.insert("report_only".to_owned(), true.into());
        }
        if !event.fields().is_empty() {
            unmapped.insert("fields".to_owned(), fields(event).into());
        }
        if !event.snapshots().is_empty() {
            unmapped.insert("snapshots".to_owned(), snapshots(event));
        }
        if let Some(metadata) = metadata.as_object_mut() {
            put_present(
                metadata,
                [
                    ("tenant_uid", event.tenant().map(ToString::to_string)),
                    ("correlation_uid", correlation(event)),
                ],
            );
        }
        if let Some(object) = object.as_object_mut() {
            put_present(object, [("status_code", event.reason().map(ToOwned::to_owned))]);
            // Whoever has no identifier is named by what they are.
            let actor = names.actor.clone();
            let subject = names.subjects.first().cloned();
            match class.uid {
                ACCOUNT_CHANGE | USER_ACCESS | AUTHENTICATION => {
                    // Whose account: the subject's, else the actor's own.
                    let user = subject.or(actor.clone()).map_or_else(
                        || json!({ "name": actor_type(event.actor()) }),
                        |uid| json!({ "uid": uid }),
                    );
                    object.insert("user".to_owned(), user);
                    if class.uid == AUTHENTICATION {
                        object.insert("service".to_owned(), json!({ "name": self.product }));
                    }
                    if class.uid == USER_ACCESS {
                        let role = text_field(event, "role").unwrap_or_else(|| "unknown".to_owned());
                        object.insert("privileges".to_owned(), json!([role]));
                    }
                }
                ENTITY_MANAGEMENT => {
                    let resource =
                        text_field(event, "resource").unwrap_or_else(|| "personal data".to_owned());
                    object.insert("entity".to_owned(), json!({ "name": resource, "type": "personal data" }));
                }
                API_ACTIVITY => {
                    let [method, route] = ["method", "route"]
                        .map(|name| text_field(event, name).unwrap_or_else(|| "unknown".to_owned()));
                    object.insert("api".to_owned(), json!({ "operation": format!("{method} {route}") }));
                    let from = client(event).unwrap_or_else(|| "unknown".to_owned());
                    object.insert("src_endpoint".to_owned(), json!({ "name": from }));
                    let status =
                        event.fields().iter().find(|field| field.name() == "status").map(field_value);
                    if let Some(Value::Number(code)) = status {
                        object.insert("http_response".to_owned(), json!({ "code": code }));
                    }
                    let user = actor.clone().map_or_else(
                        || json!({ "name": actor_type(event.actor()) }),
                        |uid| json!({ "uid": uid }),
                    );
                    object.insert("actor".to_owned(), json!({ "user": user }));
                }
                WEB_RESOURCES => {
                    let resource =
                        text_field(event, "resource").unwrap_or_else(|| "personal data".to_owned());
                    object.insert("web_resources".to_owned(), json!([{ "name": resource }]));
                }
                _ => {}
            }
            // These classes have an actor; the others do not.
            let has_actor =
                matches!(class.uid, ACCOUNT_CHANGE | USER_ACCESS | AUTHENTICATION | ENTITY_MANAGEMENT);
            match actor {
                _ if class.uid == API_ACTIVITY => {}
                Some(uid) if has_actor => {
                    object.insert("actor".to_owned(), json!({ "user": { "uid": uid } }));
                }
                Some(uid) => {
                    unmapped.insert("actor".to_owned(), uid.into());
                }
                None => {}
            }
            if !names.subjects.is_empty() {
                unmapped.insert("subjects".to_owned(), names.subjects.into());
            }
            object.insert("metadata".to_owned(), metadata);
            object.insert("unmapped".to_owned(), unmapped.into());
        }
        object
    }

    fn names(&self, event: &Event) -> Names {
        #[cfg(feature = "key-store")]
        if let Some(keys) = &self.keys {
            use compliance_core::event::Person;
            let name = |person: &Person| match person {
                Person::Known(name) => name.to_string(),
                Person::Erased(_) => "erased".to_owned(),
            };
            return match event.people(&**keys) {
                Ok(people) => Names {
                    actor: people.actor().map(name),
                    on_behalf_of: people.on_behalf_of().map(name),
                    subjects: people.subjects().iter().map(name).collect(),
                },
                Err(_) => Names {
                    actor: event.actor().id().map(ToString::to_string),
                    on_behalf_of: None,
                    subjects: vec!["unreadable".to_owned()],
                },
            };
        }
        let actor = |actor: &Actor| match actor {
            Actor::SealedPerson(sealed) => Some(format!("sealed:{}", sealed.key())),
            plain => plain.id().map(ToString::to_string),
        };
        let sealed = event.sealed_subjects().iter().map(|sealed| format!("sealed:{}", sealed.key()));
        Names {
            actor: actor(event.actor()),
            on_behalf_of: event.on_behalf_of().and_then(actor),
            subjects: event.subjects().iter().map(|id| id.as_str().to_owned()).chain(sealed).collect(),
        }
    }
}

const ACCOUNT_CHANGE: u64 = 3001;
const AUTHENTICATION: u64 = 3002;
const ENTITY_MANAGEMENT: u64 = 3004;
const USER_ACCESS: u64 = 3005;
const WEB_RESOURCES: u64 = 6001;
const API_ACTIVITY: u64 = 6003;
const OTHER: u64 = 99;

struct OcsfClass {
    category: u64,
    uid: u64,
    activity: u64,
    activity_name: &'static str,
}

impl OcsfClass {
    fn of(kind: EventKind) -> Self {
        let (uid, activity, activity_name) = match kind {
            EventKind::AccountCreated => (ACCOUNT_CHANGE, 1, "Create"),
            EventKind::AccountPasswordChanged => (ACCOUNT_CHANGE, 3, "Password Change"),
            EventKind::AccountDeleted => (ACCOUNT_CHANGE, 6, "Delete"),
            EventKind::AccountLocked => (ACCOUNT_CHANGE, 9, "Lock"),
            EventKind::AccountMfaEnabled => (ACCOUNT_CHANGE, 10, "MFA Factor Enable"),
            EventKind::AccountMfaDisabled => (ACCOUNT_CHANGE, 11, "MFA Factor Disable"),
            EventKind::AccountUnlocked => (ACCOUNT_CHANGE, 12, "Unlock"),
            EventKind::AccountUpdated => (ACCOUNT_CHANGE, OTHER, kind.code()),
            EventKind::AccountRoleAssigned => (USER_ACCESS, 1, "Assign Privileges"),
            EventKind::AccountRoleRevoked => (USER_ACCESS, 2, "Revoke Privileges"),
            EventKind::ApiCalled => (API_ACTIVITY, OTHER, kind.code()),
            EventKind::AuthenticationLogin => (AUTHENTICATION, 1, "Logon"),
            EventKind::AuthenticationLogout => (AUTHENTICATION, 2, "Logoff"),
            EventKind::AuthenticationMfa | EventKind::AuthenticationSession => {
                (AUTHENTICATION, OTHER, kind.code())
            }
            EventKind::DataCreated => (ENTITY_MANAGEMENT, 1, "Create"),
            EventKind::DataRead => (ENTITY_MANAGEMENT, 2, "Read"),
            EventKind::DataUpdated => (ENTITY_MANAGEMENT, 3, "Update"),
            EventKind::DataDeleted => (ENTITY_MANAGEMENT, 4, "Delete"),
            EventKind::DataExported => (WEB_RESOURCES, 7, "Export"),
            // The base event stands for all that has no class of its own.
            _ => (0, OTHER, kind.code()),
        };
        Self { category: uid / 1000, uid, activity, activity_name }
    }
}

fn actor_type(actor: &Actor) -> &'static str {
    match actor {
        Actor::Anonymous => "anonymous",
        Actor::Person(_) | Actor::SealedPerson(_) => "person",
        Actor::Program(_) => "program",
        Actor::System => "system",
        _ => "unknown",
    }
}

fn client(event: &Event) -> Option<String> {
    event.client().map(|client| format!("{}/{}", client.prefix(), client.prefix_len()))
}

fn correlation(event: &Event) -> Option<String> {
    event.correlation().map(|correlation| correlation.id().to_string())
}

fn traceparent(event: &Event) -> Option<String> {
    Some(event.correlation()?.parent()?.to_string())
}

/// The lists and databases a decision used.
fn snapshots(event: &Event) -> Value {
    let snapshot = |snapshot: &Snapshot| {
        let digest: String = snapshot.sha256().iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "source": snapshot.source(),
            "as_of": snapshot.as_of().to_string(),
            "sha256": digest,
            "entries": snapshot.entries(),
        })
    };
    event.snapshots().iter().map(snapshot).collect()
}

fn fields(event: &Event) -> Map<String, Value> {
    event.fields().iter().map(|field| (field.name().to_owned(), field_value(field))).collect()
}

fn field_value(field: &Field) -> Value {
    match field.value() {
        FieldValueKind::Plain { value: FieldContent::Boolean(value), .. } => (*value).into(),
        FieldValueKind::Plain { value: FieldContent::Integer(value), .. } => (*value).into(),
        FieldValueKind::Plain { value, .. } => value.to_string().into(),
        FieldValueKind::Pseudonym(pseudonym) => pseudonym.to_string().into(),
        FieldValueKind::Sealed(sealed) => format!("sealed:{}", sealed.key()).into(),
        _ => Value::Null,
    }
}

fn text_field(event: &Event, name: &str) -> Option<String> {
    let field = event.fields().iter().find(|field| field.name() == name)?;
    field_value(field).as_str().map(ToOwned::to_owned)
}

fn put_present<const N: usize>(object: &mut Map<String, Value>, values: [(&str, Option<String>); N]) {
    for (name, value) in values {
        if let Some(value) = value {
            object.insert(name.to_owned(), value.into());
        }
    }
}

/// RFC 4180, and no formula (CWE-1236): a cell that begins with one, also behind blanks or in full width, gets an
/// apostrophe. What any spreadsheet takes for the end of a cell is quoted.
fn csv_cell(text: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];
    let is_formula = text.trim_start().starts_with(FORMULA) || text.starts_with(['\t', '\r', '\n']);
    let guard = if is_formula { "'" } else { "" };
    if is_formula || text.contains([',', ';', '"', '\n', '\r', '\t']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::csv_cell;

    #[test]
    fn no_cell_is_a_formula_or_two_cells() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("=1+1", "\"'=1+1\""),
            ("  =1+1", "\"'  =1+1\""),
            ("\u{a0}@SUM(1)", "\"'\u{a0}@SUM(1)\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("-2", "\"'-2\""),
            ("\t=1", "\"'\t=1\""),
            ("\n=1", "\"'\n=1\""),
            ("a;=1", "\"a;=1\""),
            ("a\t=1", "\"a\t=1\""),
            ("say \"=1\"", "\"say \"\"=1\"\"\""),
        ] {
            assert_eq!(csv_cell(text), expected, "{text:?}");
        }
    }
}
