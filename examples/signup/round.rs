//! The scripted round: what a service like this must get right, through real HTTP, and what the trail says of it.

use std::path::Path;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Response, header};
use compliance_core::event::{Event, EventKind};
use compliance_log::audit::checkpoint::CheckpointNote;
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::{VerifyOptions, verify};
use compliance_log::correlation::REQUEST_ID;
use compliance_webhook::deliver::{Answer, Outcome as Delivery};
use compliance_webhook::outbox::sqlite::durable_options;
use sqlx::SqlitePool;

use crate::Failure;
use crate::logging::Logging;
use crate::service::{ClosedTrail, DATABASE, Service};
use crate::visitor::Visitor;

/// Somebody in Australia, as the proxy reports them.
const VISITOR: &str = "1.1.1.1";
/// Somebody in Iran, in the two forms a dual-stack socket may report.
const EMBARGOED: &str = "5.22.4.4";
const EMBARGOED_MAPPED: &str = "::ffff:5.22.4.4";

const GOOD_PASSWORD: &str = "ein Wal kennt keinen Bahnsteig";

/// What a step got, and what it should have got.
struct Step {
    title: &'static str,
    expected: Expected,
    answer: String,
    request_id: String,
}

/// The public answer, and what the trail must say of the request.
struct Expected {
    answer: &'static str,
    kind: EventKind,
    code: Option<&'static str>,
}

/// What was seen while the service ran. The trail is read when it has stopped.
pub(crate) struct Played {
    steps: Vec<Step>,
    webhook: Option<Bytes>,
    log_line: String,
    log_is_clean: bool,
}

/// Plays the round against a running service.
pub(crate) async fn play(service: &mut Service, logging: &Logging) -> Result<Played, Failure> {
    let visitor = |address| Visitor { service: service.address(), address };
    let form = |email, password, next| [("email", email), ("password", password), ("next", next)];
    let good = form("anna@example.com", GOOD_PASSWORD, "/dashboard");
    let decided = |answer, code| Expected { answer, kind: EventKind::CheckDecided, code: Some(code) };

    let own = format!("http://{}", service.address());
    let mut steps = Vec::new();
    let mut step = |title, expected, response: Response<Bytes>| {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let request_id = header(REQUEST_ID).to_owned();
        // A place of our own is shown by its path, any other in full.
        let location = header(header::LOCATION);
        let answer = match (response.status(), location.strip_prefix(&own).unwrap_or(location)) {
            (status, "") => status.as_str().to_owned(),
            (status, location) => format!("{} to {location}", status.as_str()),
        };
        steps.push(Step { title, expected, answer, request_id });
    };

    let created = Expected { answer: "303 to /dashboard", kind: EventKind::AccountCreated, code: None };
    step("a good sign-up", created, visitor(VISITOR).submit("/signup", &good).await?);
    let weak = form("max@example.com", "letmeinletmein123", "/dashboard");
    step(
        "a weak password",
        decided("422", "password.derived"),
        visitor(VISITOR).submit("/signup", &weak).await?,
    );
    let evil = form("eve@example.com", GOOD_PASSWORD, "//evil.example");
    let welcomed = decided("303 to /welcome", "redirect.network_path");
    step("an evil link", welcomed, visitor(VISITOR).submit("/signup", &evil).await?);
    let refused = || decided("451", "embargo.country");
    step("a visitor from Iran", refused(), visitor(EMBARGOED).submit("/signup", &good).await?);
    step("the same, IPv4-mapped", refused(), visitor(EMBARGOED_MAPPED).submit("/signup", &good).await?);

    // Somebody forgot what may be logged. The layer did not.
    tracing::info!(card = "4111 1111 1111 1111", "support wrote to anna@example.com");
    let log = logging.text();
    let log_line = log.lines().find(|line| line.contains("support wrote")).unwrap_or("").trim().to_owned();
    let log_is_clean = !log_line.is_empty() && ["anna@", "4111"].iter().all(|value| !log.contains(value));

    let webhook = tokio::time::timeout(Duration::from_secs(10), service.receiver.verified.recv()).await;
    Ok(Played { steps, webhook: webhook.ok().flatten(), log_line, log_is_clean })
}

/// Reads the closed trail, prints each outcome, and says whether all went as it should.
pub(crate) async fn report(played: &Played, data: &Path, closed: &ClosedTrail) -> Result<bool, Failure> {
    let dir = data.join("trail");
    let events: Vec<Event> =
        records(&dir)?.map(|record| record.map(|record| record.event().clone())).collect::<Result<_, _>>()?;
    let mut went_well = true;
    let mut line = |ok: bool, title: &str, answer: &str, code: &str| {
        went_well &= ok;
        let line = format!("  {} {title:<24} {answer:<46} {code}", if ok { '✓' } else { '✗' });
        println!("{}", line.trim_end());
    };

    println!("\nOne round at Lantern, on {}\n", crate::DAY_OF_THE_ROUND);
    for Step { title, expected, answer, request_id } in &played.steps {
        let of_request =
            |event: &&Event| event.correlation().is_some_and(|c| c.id().to_string() == *request_id);
        let told = events.iter().filter(of_request).find(|event| {
            event.kind() == expected.kind && expected.code.is_none_or(|code| event.reason() == Some(code))
        });
        let found =
            told.map_or("nothing in the trail", |event| event.reason().unwrap_or(event.kind().code()));
        line(told.is_some() && answer == expected.answer, title, answer, found);
    }
    let redacted = if played.log_is_clean { "redacted before any sink saw it" } else { "reached the sink" };
    line(played.log_is_clean, "personal data in a log", redacted, "redact.email redact.credit_card");
    println!("    {:<24} {}", "", played.log_line);
    let body = played.webhook.as_deref().map(String::from_utf8_lossy);
    let delivered = body.as_ref().is_some_and(|body| body.contains("account.created"));
    let arrived = if delivered { "signature verified by the receiver" } else { "did not arrive" };
    line(delivered, "a webhook over HTTPS", arrived, &delivery_code(data).await?);

    // Against the key and the closing checkpoint, which in earnest lie on another machine.
    let options =
        VerifyOptions::new().key(closed.key.clone()).anchor(CheckpointNote::parse(closed.anchor.note())?);
    let verified = verify(&dir, &options)?;
    let whole = verified.fault().is_none() && verified.outcome() == compliance_core::finding::Outcome::Passed;
    let answer = format!("{} records, {}", verified.records(), verified.verdict());
    line(whole, "the audit trail", &answer, "");
    println!();
    Ok(went_well)
}

/// The operator code of the first delivery, by the status the outbox noted.
async fn delivery_code(data: &Path) -> Result<String, Failure> {
    let pool = SqlitePool::connect_with(durable_options(&data.join(DATABASE))).await?;
    let noted: Option<(Option<u16>,)> =
        sqlx::query_as("SELECT last_status FROM webhook_delivery ORDER BY seq").fetch_optional(&pool).await?;
    let status = noted.and_then(|(status,)| status);
    Ok(status.map_or_else(String::new, |status| Delivery::Answered(Answer::new(status)).code().to_string()))
}
