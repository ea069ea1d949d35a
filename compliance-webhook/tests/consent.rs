//! Consents that come by callback: what is a callback, what is granted, what is kept.

use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::{Actor, EventKind, RecordErrorKind};
use compliance_core::finding::Reason as _;
use compliance_core::testing::MemorySink;
use compliance_webhook::endpoint::{EndpointPolicy, WebhookEndpoint};
use compliance_webhook::handshake::{
    AllowedRate, CALLBACK_LIFETIME, CallbackError, ConsentCallbacks, ConsentGrant, ConsentStore,
    ConsentStoreError, Consenting, EndpointDigest, MemoryConsents,
};
use compliance_webhook::sign::SigningKey;
use compliance_webhook::verify::RequestHead;

#[cfg(feature = "postgres")]
mod services;

const URL: &str = "https://events.example.com/webhooks/consent";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32]).unwrap()
}

fn endpoint(url: &str) -> WebhookEndpoint {
    EndpointPolicy::new().check(url).unwrap()
}

struct House {
    clock: Arc<ManualClock>,
    callbacks: ConsentCallbacks,
    to: WebhookEndpoint,
}

impl House {
    fn new() -> Self {
        let (clock, store) = (Arc::new(ManualClock::at(now())), Arc::new(MemoryConsents::default()));
        let callbacks = ConsentCallbacks::new(URL, key(7), store, clock.clone()).unwrap();
        Self { clock, callbacks, to: endpoint("https://hooks.example.net/in?team=7") }
    }

    /// Path and query of the callback.
    fn target(&self) -> String {
        self.callbacks.url_for(&self.to).strip_prefix("https://events.example.com").unwrap().to_owned()
    }

    async fn call(&self, method: &str, target: &str, rates: &[&str]) -> Result<ConsentGrant, CallbackError> {
        let fields = rates.iter().map(|rate| ("WebHook-Allowed-Rate", rate.as_bytes()));
        self.callbacks.accept(&RequestHead::new(method, target, fields)).await
    }

    #[track_caller]
    fn refused(called: Result<ConsentGrant, CallbackError>, code: &str, public: &str, status: u16) {
        let error = called.unwrap_err();
        assert_eq!((error.code(), error.public_code().as_str(), error.status()), (code, public, status));
    }
}

#[test]
fn callbacks_are_https_urls_of_ones_own() {
    let check = |url: &str| {
        let store = Arc::new(MemoryConsents::default());
        ConsentCallbacks::new(url, key(7), store, Arc::new(ManualClock::at(now()))).map(drop)
    };
    assert_eq!(check(URL), Ok(()));
    assert_eq!(check("https://events.example.com/"), Ok(()));
    let long = format!("{URL}/{}", "a".repeat(512));
    for url in [
        "http://events.example.com/",
        "https://events.example.com",
        "https://a@events.example.com/",
        "https://a:b@events.example.com/",
        "https://events.example.com/?a=b",
        "https://events.example.com/?",
        "https://events.example.com/#a",
        "https://EVENTS.example.com/",
        "https://events.example.com/ü",
        "https://events.example.com/a b",
        "https://events.example.com/a\r\nx: y",
        "//events.example.com/",
        "",
        &long,
    ] {
        assert_eq!(check(url).unwrap_err().code(), "handshake.callback_url", "{url:?}");
    }
}

#[tokio::test]
async fn a_callback_grants_once_and_says_how_often() {
    let house = House::new();
    assert!(
        house
            .callbacks
            .url_for(&house.to)
            .starts_with("https://events.example.com/webhooks/consent?endpoint=")
    );
    let grant = house.call("POST", &house.target(), &["120"]).await.unwrap();
    assert_eq!(*grant.endpoint(), EndpointDigest::of(&house.to));
    assert_eq!(grant.rate(), AllowedRate::PerMinute(120.try_into().unwrap()));
    assert_eq!(grant.until(), now().saturating_add(ConsentCallbacks::DEFAULT_CONSENT_LIFETIME));
    for method in ["GET", "POST"] {
        let again = house.call(method, &house.target(), &[]).await;
        House::refused(again, "handshake.callback_used", "handshake.callback", 403);
    }

    // Asked again, it is another one; what was given earlier is used up with it.
    let older = house.target();
    house.clock.advance(Duration::from_secs(3600));
    let newer = house.target();
    assert_ne!(older, newer);
    house.clock.advance(Duration::from_secs(3600));
    let newest = house.target();
    assert_eq!(house.call("GET", &newest, &[]).await.unwrap().rate(), AllowedRate::Unlimited);
    let late = house.call("GET", &newer, &[]).await;
    House::refused(late, "handshake.callback_used", "handshake.callback", 403);
}

#[tokio::test]
async fn a_callback_is_good_for_a_week() {
    let house = House::new();
    let target = house.target();
    assert_eq!(house.target(), target, "asking again makes no other within the hour");
    house.clock.advance(CALLBACK_LIFETIME);
    let late = house.call("GET", &target, &[]).await;
    House::refused(late, "handshake.callback_expired", "handshake.callback", 403);
    house.clock.set(now().saturating_add(CALLBACK_LIFETIME - Duration::from_secs(3601)));
    assert!(house.call("GET", &target, &[]).await.is_ok());
}

#[tokio::test]
async fn what_is_refused_for_its_method_or_rate_can_still_be_called() {
    let house = House::new();
    let target = house.target();
    for method in ["HEAD", "PUT", "OPTIONS", "get", ""] {
        let called = house.call(method, &target, &[]).await;
        House::refused(called, "handshake.callback_method", "handshake.callback_method", 405);
    }
    for rates in [&["0"][..], &[""], &["1.5"], &["01"], &["-1"], &["1", "1"], &["*", "*"]] {
        let called = house.call("POST", &target, rates).await;
        House::refused(called, "handshake.callback_rate", "handshake.callback_rate", 400);
    }
    assert!(house.call("POST", &target, &["*"]).await.is_ok());
}

#[tokio::test]
async fn nobody_makes_a_callback_without_the_key() {
    let house = House::new();
    let target = house.target();
    let (path, query) = target.split_once('?').unwrap();
    let fields: Vec<&str> = query.split('&').collect();
    let [of, until, tag] = fields[..] else { panic!("{query}") };
    let others = House { to: endpoint("https://hooks.example.net/in"), ..House::new() }.target();
    let other_of = others.split_once('?').unwrap().1.split('&').next().unwrap();
    let seconds: i64 = until.strip_prefix("until=").unwrap().parse().unwrap();
    let cut = &tag[..tag.len() - 1];
    for forged in [
        path.to_owned(),
        format!("{path}?"),
        format!("{path}?{other_of}&{until}&{tag}"),
        format!("{path}?{of}&until={}&{tag}", seconds + 3600),
        format!("{path}?{of}&until=+{seconds}&{tag}"),
        format!("{path}?{of}&until=0{seconds}&{tag}"),
        format!("{path}?{of}&until={}&{tag}", i64::MIN),
        format!("{path}?{of}&until=99999999999999999999&{tag}"),
        format!("{path}?{of}&{until}&key={}", "A".repeat(43)),
        format!("{path}?{of}&{until}&key="),
        format!("{path}?{of}&{until}&{cut}"),
        format!("{path}?{of}&{until}&{tag}A"),
        format!("{path}?{of}&{until}&{tag}&utm=1"),
        format!("{path}?{until}&{of}&{tag}"),
        format!("{path}?{of}&{of}&{until}&{tag}"),
        format!("{path}?{of}&{until}&{tag}\u{0}"),
    ] {
        let called = house.call("GET", &forged, &[]).await;
        House::refused(called, "handshake.callback", "handshake.callback", 403);
    }
    let clock = house.clock.clone();
    let stranger = ConsentCallbacks::new(URL, key(8), Arc::new(MemoryConsents::default()), clock).unwrap();
    let theirs = stranger.url_for(&house.to);
    let called = house.call("GET", theirs.strip_prefix("https://events.example.com").unwrap(), &[]).await;
    House::refused(called, "handshake.callback", "handshake.callback", 403);
    assert!(house.call("GET", &target, &[]).await.is_ok());
    assert!(!format!("{:?}", house.callbacks).contains("key"));
}

#[derive(Debug)]
struct Away;

impl ConsentStore for Away {
    fn grant<'a>(&'a self, _: &'a ConsentGrant) -> Consenting<'a, bool> {
        Box::pin(async { Err(ConsentStoreError::new()) })
    }

    fn granted<'a>(&'a self, _: &'a EndpointDigest) -> Consenting<'a, Option<ConsentGrant>> {
        Box::pin(async { Err(ConsentStoreError::new()) })
    }
}

#[tokio::test]
async fn a_store_that_is_away_grants_nothing() {
    let house = House::new();
    let callbacks = ConsentCallbacks::new(URL, key(7), Arc::new(Away), house.clock.clone()).unwrap();
    let house = House { callbacks, ..house };
    let called = house.call("GET", &house.target(), &[]).await;
    let code = "handshake.callback_unavailable";
    House::refused(called, code, code, 503);
}

impl House {
    fn recorded() -> (Self, Arc<MemorySink>) {
        let (house, sink) = (Self::new(), Arc::new(MemorySink::default()));
        let callbacks = house.callbacks.clone().with_sink(sink.clone());
        (Self { callbacks, ..house }, sink)
    }
}

fn kinds(sink: &MemorySink) -> Vec<EventKind> {
    sink.events().iter().map(|event| event.kind()).collect()
}

#[tokio::test]
async fn a_consent_is_recorded_before_it_counts_and_once() {
    let (house, sink) = House::recorded();
    sink.fail_with(Some(RecordErrorKind::Unavailable));
    let called = house.call("GET", &house.target(), &[]).await;
    House::refused(called, "handshake.callback_unavailable", "handshake.callback_unavailable", 503);
    sink.fail_with(None);
    let grant = house.call("GET", &house.target(), &["120"]).await.unwrap();
    for _ in 0..2 {
        let again = house.call("GET", &house.target(), &[]).await;
        House::refused(again, "handshake.callback_used", "handshake.callback", 403);
    }
    assert_eq!(kinds(&sink), [EventKind::WebhookConsentGranted]);
    let event = &sink.events()[0];
    assert_eq!((event.actor(), event.kind().code()), (&Actor::Anonymous, "webhook.consent_granted"));
    let shown = format!("{event:?}");
    assert!(shown.contains("120") && !shown.contains("hooks.example.net"), "{shown}");
    assert_eq!(grant.rate(), AllowedRate::PerMinute(120.try_into().unwrap()));
}

#[tokio::test]
async fn a_consent_that_is_taken_back_ends_with_its_callbacks_and_is_recorded() {
    let (clock, store) = (Arc::new(ManualClock::at(now())), Arc::new(MemoryConsents::default()));
    let sink = Arc::new(MemorySink::default());
    let callbacks = ConsentCallbacks::new(URL, key(7), store.clone(), clock.clone()).unwrap();
    let callbacks = callbacks.with_sink(sink.clone());
    let house = House { clock, callbacks, to: endpoint("https://hooks.example.net/in?team=7") };
    let target = house.target();
    assert!(house.call("GET", &target, &[]).await.is_ok());
    let digest = EndpointDigest::of(&house.to);
    // By a clock that is behind, too.
    let is_over = async || {
        let kept = store.granted(&digest).await.unwrap().unwrap();
        kept.until() < "2026-10-21T12:00:00Z".parse().unwrap()
    };
    assert!(!is_over().await);

    // What takes something away happens, recorded or not.
    sink.fail_with(Some(RecordErrorKind::Unavailable));
    let refused = house.callbacks.revoke(&house.to, Actor::System).await.unwrap_err();
    assert_eq!(refused.code(), "handshake.callback_unavailable");
    assert!(is_over().await);
    sink.fail_with(None);
    assert_eq!(house.callbacks.revoke(&house.to, Actor::System).await, Ok(()));
    assert_eq!(kinds(&sink), [EventKind::WebhookConsentGranted, EventKind::WebhookConsentRevoked]);
    assert!(is_over().await);

    for target in [target, house.target()] {
        let called = house.call("GET", &target, &[]).await;
        House::refused(called, "handshake.callback_used", "handshake.callback", 403);
    }
    house.clock.advance(Duration::from_secs(2 * 3600));
    assert!(house.call("GET", &house.target(), &[]).await.is_ok(), "asked again, it may consent again");
}

/// What every store does.
async fn keeps_the_latest(store: &dyn ConsentStore) {
    let (to, other) = (EndpointDigest::from_bytes([1; 32]), EndpointDigest::from_bytes([2; 32]));
    let at = Timestamp::from_unix_seconds;
    let unlimited = |callback| ConsentGrant::from_stored(to, AllowedRate::Unlimited, at(callback), at(1000));
    assert_eq!(store.granted(&to).await, Ok(None));
    assert_eq!(store.grant(&unlimited(500)).await, Ok(true));
    assert_eq!(store.granted(&to).await, Ok(Some(unlimited(500))));
    for used in [500, 499, -1] {
        assert_eq!(store.grant(&unlimited(used)).await, Ok(false));
    }
    let most = AllowedRate::PerMinute(u32::MAX.try_into().unwrap());
    let limited = ConsentGrant::from_stored(to, most, at(501), at(2000));
    assert_eq!(store.grant(&limited).await, Ok(true));
    assert_eq!(store.granted(&to).await, Ok(Some(limited)));
    assert_eq!(store.granted(&other).await, Ok(None));
}

#[tokio::test]
async fn consents_are_kept_in_memory() {
    keeps_the_latest(&MemoryConsents::default()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn consents_are_kept_in_sqlite_over_a_restart() {
    use compliance_webhook::outbox::SqliteOutbox;
    use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};

    let directory = tempfile::tempdir().unwrap();
    let open = async || {
        let options = durable_options(&directory.path().join("a.db"));
        let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
        (SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap(), pool)
    };
    let (store, pool) = open().await;
    keeps_the_latest(&store).await;
    pool.close().await;
    assert!(store.granted(&EndpointDigest::from_bytes([1; 32])).await.is_err(), "it is away");
    let (store, pool) = open().await;
    let kept = store.granted(&EndpointDigest::from_bytes([1; 32])).await.unwrap();
    assert_eq!(kept.unwrap().until(), Timestamp::from_unix_seconds(2000));
    sqlx::query("UPDATE webhook_consent SET rate = 0").execute(&pool).await.unwrap();
    assert!(store.granted(&EndpointDigest::from_bytes([1; 32])).await.is_err(), "a rate nobody wrote");
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn consents_are_kept_in_postgresql_and_of_two_calls_one_grants() {
    use compliance_webhook::outbox::PostgresOutbox;
    use compliance_webhook::outbox::postgres::OutboxOptions;

    let Some(pool) = services::postgres("consent").await else { return };
    let store = PostgresOutbox::open(&pool, OutboxOptions::default()).await.unwrap();
    keeps_the_latest(&store).await;
    let (to, at) = (EndpointDigest::from_bytes([3; 32]), Timestamp::from_unix_seconds);
    let grant = ConsentGrant::from_stored(to, AllowedRate::Unlimited, at(1), at(2));
    let (first, second) = tokio::join!(store.grant(&grant), store.grant(&grant));
    assert_eq!(u8::from(first.unwrap()) + u8::from(second.unwrap()), 1);
}

#[cfg(feature = "actix-web")]
#[test]
fn actix_web_takes_callbacks() {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    use actix_web::{App, web};

    actix_web::rt::System::new().block_on(async {
        let house = House::new();
        let consented = async |grant: ConsentGrant| grant;
        let app = App::new()
            .app_data(web::Data::new(house.callbacks.clone()))
            .route("/webhooks/consent", web::get().to(consented))
            .route("/without", web::get().to(consented));
        let app = init_service(app).await;
        let target = house.target();
        for (status, text) in [(200, "consent recorded"), (403, "handshake.callback")] {
            let answer = call_service(&app, TestRequest::get().uri(&target).to_request()).await;
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(read_body(answer).await, text);
        }
        let app = init_service(App::new().route("/", web::get().to(consented))).await;
        let answer = call_service(&app, TestRequest::get().uri("/").to_request()).await;
        assert_eq!(answer.status().as_u16(), 500);
    });
}
