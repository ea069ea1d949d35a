//! Calls of the API in the trail: who, which route, how it ended; never the path.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{
    Actor, Durability, Event, EventKind, FieldValueKind, RecordErrorKind, Recording, Sink, Value,
};
use compliance_core::finding::Outcome;
use compliance_core::id::{ActorId, CorrelationId, TenantId};
use compliance_core::request::{AddressSource, ClientAddress, Correlation, Principal};
use compliance_core::testing::{MemorySink, block_on};
use compliance_log::integrations::tower::AuditLayer;
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt, service_fn};

/// What a router puts into the extensions.
#[derive(Clone)]
struct Matched(&'static str);

fn layer(sink: impl Sink + 'static) -> AuditLayer {
    let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
    AuditLayer::new(sink, clock, |request| request.get::<Matched>().map(|matched| matched.0.to_owned()))
        .dangerous_at_least(Durability::Memory)
}

fn principal() -> Principal {
    Principal::new(ActorId::new("staff-17").unwrap(), TenantId::new("acme").unwrap())
}

fn request(method: &str, route: &'static str) -> Request<()> {
    let mut request =
        Request::builder().method(method).uri("/users/anna@example.com?q=secret").body(()).unwrap();
    request.extensions_mut().insert(Matched(route));
    request
}

type Answering = tower::util::BoxCloneService<Request<()>, Response<String>, Infallible>;

fn answering(status: u16, calls: &Arc<AtomicU32>) -> Answering {
    let calls = Arc::clone(calls);
    tower::util::BoxCloneService::new(service_fn(move |_: Request<()>| {
        calls.fetch_add(1, Ordering::Relaxed);
        let mut answer = Response::new("personal data".to_owned());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        async { Ok(answer) }
    }))
}

fn text(event: &Event, name: &str) -> String {
    let field = event.fields().iter().find(|field| field.name() == name);
    match field.map(|field| field.value()) {
        Some(FieldValueKind::Plain { value: Value::Integer(number), .. }) => number.to_string(),
        Some(FieldValueKind::Plain { value, .. }) => value.to_string(),
        _ => String::new(),
    }
}

fn told(sink: &MemorySink) -> Vec<(String, String, String, String, Outcome)> {
    sink.events()
        .iter()
        .map(|event| {
            assert_eq!(event.kind(), EventKind::ApiCalled);
            let [phase, method, route, status] =
                ["phase", "method", "route", "status"].map(|name| text(event, name));
            (phase, method, route, status, event.outcome())
        })
        .collect()
}

#[track_caller]
fn check(method: &str, route: &'static str, status: u16, expected: &[(&str, &str, &str, &str, Outcome)]) {
    let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
    let service = layer(sink.clone()).layer(answering(status, &calls));
    let answer = block_on(service.oneshot(request(method, route))).unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_str()), (status, "personal data"));
    let told = told(&sink);
    let told: Vec<_> =
        told.iter().map(|(a, b, c, d, e)| (a.as_str(), b.as_str(), c.as_str(), d.as_str(), *e)).collect();
    assert_eq!(told, expected);
    assert!(!format!("{:?}", sink.events()).contains("anna@"));
}

#[test]
fn a_call_is_recorded_with_its_route_and_how_it_ended() {
    use Outcome::{Passed, Refused, Review};
    check("GET", "/users/{id}", 200, &[("ended", "GET", "/users/{id}", "200", Passed)]);
    check("GET", "/users/{id}", 404, &[("ended", "GET", "/users/{id}", "404", Refused)]);
    check(
        "DELETE",
        "/users/:id",
        204,
        &[("begun", "DELETE", "/users/:id", "", Review), ("ended", "DELETE", "/users/:id", "204", Passed)],
    );
    check(
        "BREW",
        "/pots",
        500,
        &[("begun", "OTHER", "/pots", "", Review), ("ended", "OTHER", "/pots", "500", Refused)],
    );
}

#[test]
fn what_is_no_template_is_not_repeated() {
    let ended = [("ended", "GET", "/{unmatched}", "200", Outcome::Passed)];
    for raw in [
        "",
        "users",
        "/users/anna@example.com",
        "/users/4711",
        "/users?id=1",
        "/a b",
        "/x/0b5e1c6e-3f5a-4f6e-9d0e-0123456789ab",
    ] {
        check("GET", raw, 200, &ended);
    }
}

#[test]
fn who_where_from_and_as_part_of_what_come_from_the_extensions() {
    let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
    let service = layer(sink.clone()).layer(answering(200, &calls));
    let mut request = request("GET", "/users/{id}");
    let correlation = Correlation::new(CorrelationId::from_stored_bytes([7; 16]), None);
    request.extensions_mut().insert(correlation);
    request.extensions_mut().insert(principal());
    request.extensions_mut().insert(ClientAddress::new([203, 0, 113, 7].into(), AddressSource::Peer));
    block_on(service.oneshot(request)).unwrap();
    let event = &sink.events()[0];
    assert_eq!(event.actor(), &Actor::Person(principal().actor().clone()));
    assert_eq!(event.tenant(), Some(principal().tenant()));
    assert_eq!(event.correlation(), Some(correlation));
    assert_eq!(event.client().unwrap().to_string(), "203.0.113.0/24");
}

#[test]
fn a_principal_that_only_the_answer_has_is_taken_from_there() {
    let sink = Arc::new(MemorySink::default());
    let inner = service_fn(|_: Request<()>| async {
        let mut answer = Response::new(());
        answer.extensions_mut().insert(principal());
        Ok::<_, Infallible>(answer)
    });
    block_on(layer(sink.clone()).layer(inner).oneshot(request("GET", "/users/{id}"))).unwrap();
    assert_eq!(sink.events()[0].actor(), &Actor::Person(principal().actor().clone()));
}

#[test]
fn what_cannot_be_recorded_is_not_carried_out_and_not_given_out() {
    for (method, expected) in [("POST", 0), ("PUT", 0), ("BREW", 0), ("GET", 1)] {
        let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
        sink.fail_with(Some(RecordErrorKind::Full));
        let service = layer(sink.clone()).layer(answering(200, &calls));
        let answer = block_on(service.oneshot(request(method, "/users/{id}"))).unwrap();
        assert_eq!(
            (answer.status(), answer.body().as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, ""),
            "{method}"
        );
        assert_eq!(calls.load(Ordering::Relaxed), expected, "{method}");
        assert!(sink.events().is_empty());
    }
}

#[test]
fn a_record_that_is_not_durable_enough_does_not_count() {
    let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
    let service = layer(sink).at_least(Durability::Disk).layer(answering(200, &calls));
    let answer = block_on(service.oneshot(request("POST", "/users"))).unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[test]
fn asking_for_less_than_a_disk_takes_a_dangerous_word() {
    let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
    let service = layer(sink).at_least(Durability::Memory).layer(answering(200, &calls));
    let answer = block_on(service.oneshot(request("POST", "/users"))).unwrap();
    assert_eq!((answer.status(), calls.load(Ordering::Relaxed)), (StatusCode::SERVICE_UNAVAILABLE, 0));
}

/// Whoever has no account must not be able to fill the disk.
#[test]
fn a_flood_of_anonymous_calls_is_recorded_up_to_a_limit_and_counted() {
    let matched = |route: &'static str| move |method: &'static str| request(method, route);
    for (sort, method, route, status, records) in [
        ("refused", "GET", "/users/{id}", 404, 1),
        ("answered", "GET", "/users/{id}", 200, 1),
        ("unmatched", "GET", "/users/4711", 404, 1),
        // What is about to be carried out, and what became of it, each up to the limit.
        ("begun", "POST", "/session", 401, 2),
        ("unmatched", "POST", "/users/4711", 404, 1),
    ] {
        let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
        {
            let service = layer(sink.clone()).layer(answering(status, &calls));
            for _ in 0..1_000 {
                let answer = block_on(service.clone().oneshot(matched(route)(method))).unwrap();
                assert_eq!(answer.status().as_u16(), status);
            }
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1_000);
        let (called, counts): (Vec<_>, Vec<_>) =
            sink.events().into_iter().partition(|event| event.kind() == EventKind::ApiCalled);
        assert_eq!(called.len(), records * AuditLayer::ANONYMOUS as usize, "{sort} {method}");
        assert!(counts.iter().all(|event| event.kind() == EventKind::SystemFailuresAggregated));
        assert!(counts.iter().any(|event| text(event, "code") == sort), "{counts:?}");
        let counted: usize = counts.iter().map(|event| text(event, "count").parse::<usize>().unwrap()).sum();
        let phases = if method == "POST" { 2 } else { 1 };
        assert_eq!(called.len() + counted, phases * 1_000, "{sort} {method}");
    }
}

/// A flood that is over is told by whatever is recorded next, not by the next flood.
#[test]
fn the_count_of_a_flood_that_is_over_does_not_wait_for_another() {
    let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
    let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let route = |request: &http::Extensions| request.get::<Matched>().map(|matched| matched.0.to_owned());
    let layer = AuditLayer::new(sink.clone(), clock.clone(), route).dangerous_at_least(Durability::Memory);
    let service = layer.layer(answering(404, &calls));
    for _ in 0..100 {
        block_on(service.clone().oneshot(request("GET", "/users/{id}"))).unwrap();
    }
    clock.advance(std::time::Duration::from_secs(60));
    let mut known = request("GET", "/users/{id}");
    known.extensions_mut().insert(principal());
    block_on(service.oneshot(known)).unwrap();
    let events = sink.events();
    let counted: Vec<_> =
        events.iter().filter(|event| event.kind() == EventKind::SystemFailuresAggregated).collect();
    assert_eq!(counted.len(), 1);
    assert_eq!((text(counted[0], "code").as_str(), text(counted[0], "count").as_str()), ("refused", "80"));
}

/// A count that could not be recorded is recorded when it can be.
#[test]
fn the_count_of_a_flood_outlives_a_sink_that_fails() {
    let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
    let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
    let route = |request: &http::Extensions| request.get::<Matched>().map(|matched| matched.0.to_owned());
    let layer = AuditLayer::new(sink.clone(), clock.clone(), route).dangerous_at_least(Durability::Memory);
    let service = layer.layer(answering(404, &calls));
    let call = |count| {
        for _ in 0..count {
            block_on(service.clone().oneshot(request("GET", "/users/{id}"))).unwrap();
        }
        clock.advance(std::time::Duration::from_secs(60));
    };
    call(100);
    sink.fail_with(Some(RecordErrorKind::Full));
    call(1);
    sink.fail_with(None);
    for _ in 0..3 {
        call(1);
    }
    let events = sink.events();
    let counts: Vec<_> = events
        .iter()
        .filter(|event| event.kind() == EventKind::SystemFailuresAggregated)
        .map(|event| text(event, "count"))
        .collect();
    assert_eq!(counts, ["80"]);
}

#[test]
fn calls_that_changed_something_and_calls_of_somebody_known_are_recorded_each() {
    for (method, who, records) in
        [("POST", None, 20 + 100), ("GET", Some(principal()), 100), ("POST", Some(principal()), 200)]
    {
        let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
        let service = layer(sink.clone()).layer(answering(200, &calls));
        for _ in 0..100 {
            let mut request = request(method, "/users");
            if let Some(who) = &who {
                request.extensions_mut().insert(who.clone());
            }
            block_on(service.clone().oneshot(request)).unwrap();
        }
        let called = sink.events().iter().filter(|event| event.kind() == EventKind::ApiCalled).count();
        assert_eq!(called, records, "{method} {who:?}");
    }
}

#[test]
fn report_only_lets_pass_what_could_not_be_recorded() {
    let (sink, calls) = (Arc::new(MemorySink::default()), Arc::default());
    sink.fail_with(Some(RecordErrorKind::Full));
    let service = layer(sink).report_only().layer(answering(200, &calls));
    let answer = block_on(service.oneshot(request("POST", "/users"))).unwrap();
    assert_eq!((answer.status(), answer.body().as_str()), (StatusCode::OK, "personal data"));
}

#[test]
fn a_call_that_is_given_up_is_recorded_as_such() {
    let sink = Arc::new(MemorySink::default());
    let never = service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, Infallible>>());
    let mut service = layer(sink.clone()).layer(never);
    {
        let mut call = pin!(service.call(request("POST", "/users")));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    let phases: Vec<_> = told(&sink).into_iter().map(|(phase, ..)| phase).collect();
    assert_eq!(phases, ["begun", "abandoned"]);
    // The same where the handler fails.
    let failing = service_fn(|_: Request<()>| async { Err::<Response<()>, _>("broken") });
    assert!(block_on(layer(sink.clone()).layer(failing).oneshot(request("GET", "/users"))).is_err());
    assert_eq!(told(&sink).last().unwrap().0, "abandoned");
}

#[test]
fn the_answer_waits_for_its_record() {
    /// Answers once it is told to.
    struct Slow(Arc<std::sync::Mutex<Vec<compliance_core::event::Completion>>>);
    impl Sink for Slow {
        fn record(&self, _: Event) -> Recording {
            let (completion, recording) = Recording::pending();
            self.0.lock().unwrap().push(completion);
            recording
        }
    }
    let waiting = Arc::default();
    let calls = Arc::default();
    let mut service = layer(Slow(Arc::clone(&waiting))).layer(answering(200, &calls));
    let mut call = pin!(service.call(request("GET", "/users")));
    let mut context = Context::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut context).is_pending());
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert!(call.as_mut().poll(&mut context).is_pending(), "not before the record is there");
    let error = compliance_core::event::RecordError::new(RecordErrorKind::Unavailable);
    waiting.lock().unwrap().pop().unwrap().complete(Err(error));
    assert!(call.as_mut().poll(&mut context).is_ready());
}
