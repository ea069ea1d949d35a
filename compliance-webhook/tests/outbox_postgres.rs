//! The PostgreSQL outbox: the caller's transaction, many dispatchers, whose time it is, a server that is away.
#![cfg(feature = "postgres")]

mod services;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use compliance_core::class::DataClass;
use compliance_core::clock::{Clock, ManualClock, SystemClock, Timestamp};
use compliance_core::finding::Enforcement;
use compliance_core::id::TenantId;
use compliance_core::purpose;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::{Answer, Attempt, Deliver, Outcome};
use compliance_webhook::handshake::Ownership;
use compliance_webhook::outbox::postgres::{CALL_TIMEOUT, OutboxOptions, enqueue_statement, migrations};
use compliance_webhook::outbox::{
    CloudEventsMode, DataClasses, DeliveryProfile, Disclosure, Dispatcher, EndpointBook, EndpointId,
    EndpointNote, EndpointRecord, Leased, Lesson, NewMessage, Outbox, PostgresOutbox, Round, Settlement,
    SignatureProfile, TablePrefix, Verdict, Want, Worker,
};
use compliance_webhook::sign::KeyId;
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const LEASE: Duration = Duration::from_secs(10);

struct House {
    pool: PgPool,
    outbox: PostgresOutbox,
    clock: Arc<ManualClock>,
    book: EndpointBook,
    to: EndpointId,
}

impl House {
    /// By a clock of its own. `None` without a database.
    async fn new(schema: &str) -> Option<Self> {
        let pool = services::postgres(schema).await?;
        let clock = Arc::new(ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let options = OutboxOptions::default().with_clock(clock.clone()).without_server_time();
        let outbox = PostgresOutbox::open(&pool, options).await.unwrap();
        let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
        let book = EndpointBook::new(EndpointPolicy::new(), keys);
        let to = register(&outbox, &book).await;
        Some(Self { pool, outbox, clock, book, to })
    }

    fn message(&self) -> NewMessage {
        NewMessage::impersonal(&acme(), &self.to, b"{}".to_vec()).unwrap()
    }

    fn want(&self, limit: usize) -> Round {
        Round {
            wants: vec![Want {
                endpoint: self.to.clone(),
                limit,
                max_bytes: 2 * NewMessage::MAX_PAYLOAD_LEN,
            }],
            ..Round::default()
        }
    }

    async fn claim(&self, instance: &str, limit: usize) -> Vec<Leased> {
        let worker = self.outbox.join(instance, LEASE).await.unwrap();
        self.outbox.round(&worker, &self.want(limit)).await.unwrap().leased
    }

    async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }
}

async fn register(outbox: &PostgresOutbox, book: &EndpointBook) -> EndpointId {
    let endpoint = book.policy().check("https://hooks.example.com/in").unwrap();
    let key = SigningKey::generate(&SystemRandom).unwrap();
    book.register(outbox, &acme(), &endpoint, &key).await.unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn delivered(leased: &Leased) -> Settlement {
    Settlement { token: leased.token, revision: leased.revision, verdict: Verdict::Delivered { status: 204 } }
}

#[tokio::test]
async fn a_message_is_there_exactly_when_the_callers_transaction_is() {
    let Some(house) = House::new("transaction").await else { return };
    let mut transaction = house.pool.begin().await.unwrap();
    let queued = house.outbox.enqueue_in(&mut transaction, &house.message()).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(house.outbox.confirm(queued).await.unwrap_err().code(), "outbox.not_committed");
    assert_eq!(house.outbox.counts().await.unwrap().pending, 0);

    let mut transaction = house.pool.begin().await.unwrap();
    let queued = house.outbox.enqueue_in(&mut transaction, &house.message()).await.unwrap();
    let tentative = queued.tentative().clone();
    transaction.commit().await.unwrap();
    assert_eq!(house.outbox.confirm(queued).await.unwrap(), tentative);
    assert_eq!(house.outbox.counts().await.unwrap().pending, 1);
}

#[tokio::test]
async fn a_refusal_leaves_the_callers_transaction_usable() {
    let Some(house) = House::new("refusal").await else { return };
    house.sql("CREATE TABLE account (name TEXT)").await;
    let mut transaction = house.pool.begin().await.unwrap();
    sqlx::query("INSERT INTO account VALUES ('anna')").execute(&mut *transaction).await.unwrap();
    let unknown =
        NewMessage::impersonal(&acme(), &EndpointId::parse("ep_0").unwrap(), b"{}".to_vec()).unwrap();
    let refused = house.outbox.enqueue_in(&mut transaction, &unknown).await.unwrap_err();
    assert_eq!(refused.code(), "outbox.endpoint_unknown");
    transaction.commit().await.unwrap();
    let accounts: i64 =
        sqlx::query_scalar("SELECT count(*) FROM account").fetch_one(&house.pool).await.unwrap();
    assert_eq!(accounts, 1);
}

#[tokio::test]
async fn one_key_is_one_message_also_for_two_transactions_at_once() {
    let Some(house) = House::new("key").await else { return };
    let message = house.message().with_idempotency_key("signup:1").unwrap();
    let mut first = house.pool.begin().await.unwrap();
    let queued = house.outbox.enqueue_in(&mut first, &message).await.unwrap();
    let second = tokio::spawn({
        let (outbox, message) = (house.outbox.clone(), message.clone());
        async move { outbox.enqueue(&message).await }
    });
    // The second waits for the first: it cannot know yet.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE \
        '%webhook_message%' \
                 AND state = 'active' AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&house.pool).await.unwrap() == 0 {
        assert!(!second.is_finished());
    }
    first.commit().await.unwrap();
    let id = house.outbox.confirm(queued).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), id);
    assert_eq!(house.outbox.counts().await.unwrap().pending, 1);

    let changed = NewMessage::impersonal(&acme(), &house.to, b"{\"a\":1}".to_vec()).unwrap();
    let changed = changed.with_idempotency_key("signup:1").unwrap();
    assert_eq!(house.outbox.enqueue(&changed).await.unwrap_err().code(), "outbox.idempotency_conflict");
}

#[tokio::test]
async fn the_published_statement_enqueues() {
    let Some(house) = House::new("statement").await else { return };
    let with = |id: &'static str, tenant: &'static str, payload: Vec<u8>| {
        sqlx::query(AssertSqlSafe(enqueue_statement(TablePrefix::default(), Enforcement::Enforce)))
            .bind(id)
            .bind(house.to.as_str().to_owned())
            .bind(tenant)
            .bind(None::<String>)
            .bind("application/json")
            .bind(payload)
            .bind(None::<i64>)
            .bind(None::<String>)
            .bind(0_i64)
            .bind(None::<String>)
            .bind(0_i64)
            .fetch_optional(&house.pool)
    };
    let enqueue = |id, tenant| with(id, tenant, b"{}".to_vec());
    assert!(enqueue("msg_1", "acme").await.unwrap().is_some());
    assert!(enqueue("msg_1", "acme").await.unwrap().is_none(), "the same id once");
    assert!(enqueue("msg_2", "other").await.unwrap().is_none(), "another tenant's endpoint");
    let leased = house.claim("a", 10).await;
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].id.as_str(), "msg_1");
    assert!(enqueue("no id", "acme").await.is_err(), "what nobody could read is not taken");
    assert!(with("msg_3", "acme", vec![0; NewMessage::MAX_PAYLOAD_LEN]).await.unwrap().is_some());
    assert!(with("msg_4", "acme", vec![0; NewMessage::MAX_PAYLOAD_LEN + 1]).await.is_err());
}

#[tokio::test]
async fn report_only_what_no_instruction_covers_is_taken_and_told_apart() {
    let Some(house) = House::new("report_only").await else { return };
    let trial = OutboxOptions::default().with_clock(house.clock.clone()).without_server_time();
    let trial = trial.with_enforcement(Enforcement::ReportOnly);
    let trial = PostgresOutbox::open(&house.pool, trial).await.unwrap();
    let personal = house.message().with_classes(&[DataClass::Personal], purpose!("crm.sync")).unwrap();
    assert_eq!(house.outbox.enqueue(&personal).await.unwrap_err().code(), "outbox.not_instructed");
    let keyed = personal.with_idempotency_key("once").unwrap();
    let id = trial.enqueue(&keyed).await.unwrap();
    assert_eq!(trial.enqueue(&keyed).await.unwrap(), id);
    let worker = trial.join("trial", LEASE).await.unwrap();
    let leased = trial.round(&worker, &house.want(10)).await.unwrap().leased;
    let classes = DataClasses::of(&[DataClass::Personal]);
    assert_eq!(leased[0].disclosure, Disclosure::ReportOnly { classes });
    trial.leave(&worker).await.unwrap();
    assert_eq!(house.claim("enforces", 10).await[0].disclosure, Disclosure::Refused);
}

#[tokio::test]
async fn how_an_endpoint_is_delivered_to_is_stored_with_it() {
    let Some(house) = House::new("profile").await else { return };
    let stored = async || house.outbox.endpoint(&house.to).await.unwrap().unwrap();
    assert_eq!(*stored().await.profile(), DeliveryProfile::default());
    for events in [CloudEventsMode::Structured, CloudEventsMode::Binary, CloudEventsMode::None] {
        let mut profile = DeliveryProfile::default();
        profile.events = events;
        profile.signatures = SignatureProfile::HttpSignature { key_id: KeyId::parse("billing").unwrap() };
        let record = stored().await;
        let next = EndpointRecord::from_stored(
            record.id().clone(),
            acme(),
            record.url().into(),
            record.sealed_keys().into(),
            record.state().clone(),
            record.revision() + 1,
            None,
        );
        let ownership = Some(Ownership::from_stored(Timestamp::from_unix_millis(17), "v1,AAAA".into()));
        let next = next.with_profile(profile.clone()).with_ownership(ownership.clone());
        house.outbox.save_endpoint(&next).await.unwrap();
        assert_eq!((stored().await.profile(), stored().await.ownership()), (&profile, ownership.as_ref()));
    }
}

#[tokio::test]
async fn a_server_that_may_forget_commits_is_refused() {
    let Some(house) = House::new("durable").await else { return };
    let options = house.pool.connect_options().as_ref().clone().options([("synchronous_commit", "off")]);
    let pool = PgPool::connect_with(options).await.unwrap();
    let refused = PostgresOutbox::open(&pool, OutboxOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), "outbox.not_durable");
}

#[tokio::test]
async fn tables_made_by_a_later_version_are_left_alone() {
    let Some(house) = House::new("later").await else { return };
    house.sql("INSERT INTO webhook_schema VALUES (99)").await;
    let refused = PostgresOutbox::open(&house.pool, OutboxOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), "outbox.schema_too_new");
    assert!(!migrations(TablePrefix::default()).is_empty());
}

#[tokio::test]
async fn many_that_open_at_once_make_the_tables_once() {
    let Some(pool) = services::postgres("at_once").await else { return };
    let opened = (0..6).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { PostgresOutbox::open(&pool, OutboxOptions::default()).await.map(drop) })
    });
    for opened in opened.collect::<Vec<_>>() {
        assert_eq!(opened.await.unwrap(), Ok(()));
    }
}

#[tokio::test]
async fn dispatchers_at_once_claim_each_message_once() {
    let Some(house) = House::new("claims").await else { return };
    for _ in 0..200 {
        house.outbox.enqueue(&house.message()).await.unwrap();
    }
    let claims = (0..4).map(|number| {
        let (outbox, round) = (house.outbox.clone(), house.want(7));
        tokio::spawn(async move {
            let worker = outbox.join(&format!("instance-{number}"), LEASE).await.unwrap();
            let mut claimed = Vec::new();
            loop {
                let leased = outbox.round(&worker, &round).await.unwrap().leased;
                if leased.is_empty() {
                    return claimed;
                }
                claimed.extend(leased.iter().map(|leased| leased.token));
                let settlements = leased.iter().map(delivered).collect();
                let ack = Round { settlements, ..Round::default() };
                assert_eq!(outbox.round(&worker, &ack).await.unwrap().fenced, []);
            }
        })
    });
    let mut claimed = Vec::new();
    for claim in claims.collect::<Vec<_>>() {
        claimed.extend(claim.await.unwrap());
    }
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), claimed.len(), "a message was claimed twice");
    assert!(claimed.iter().all(|token| token.fence() == 1));
    assert_eq!(house.outbox.counts().await.unwrap().delivered, 200);
}

#[tokio::test]
async fn a_restarted_dispatcher_takes_over_at_once_what_its_predecessor_held() {
    let Some(house) = House::new("restart").await else { return };
    for _ in 0..5 {
        house.outbox.enqueue(&house.message()).await.unwrap();
    }
    let before = house.claim("a", 3).await;
    assert_eq!(before.len(), 3);
    let worker = house.outbox.join("a", LEASE).await.unwrap();
    let round = Round { settlements: vec![delivered(&before[0])], ..house.want(10) };
    let result = house.outbox.round(&worker, &round).await.unwrap();
    assert_eq!(result.fenced, [before[0].token]);
    assert_eq!(result.leased.len(), 5);
}

#[tokio::test]
async fn others_take_over_when_the_lease_lapses_and_the_late_verdict_is_fenced_off() {
    let Some(house) = House::new("lapse").await else { return };
    house.outbox.enqueue(&house.message()).await.unwrap();
    let paused = house.outbox.join("a", LEASE).await.unwrap();
    let leased = house.outbox.round(&paused, &house.want(1)).await.unwrap().leased;
    let other = house.outbox.join("b", LEASE).await.unwrap();
    house.clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(house.outbox.recover(&other).await.unwrap(), 0, "the lease holds");
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(house.outbox.recover(&other).await.unwrap(), 1);
    let again = house.outbox.round(&other, &house.want(1)).await.unwrap().leased;
    assert!(again[0].token.fence() > leased[0].token.fence());

    let late = Round { settlements: vec![delivered(&leased[0])], ..house.want(1) };
    let result = house.outbox.round(&paused, &late).await.unwrap();
    assert!(result.is_lost && result.leased.is_empty());
    assert_eq!(result.fenced, [leased[0].token]);
    let ack = Round { settlements: vec![delivered(&again[0])], ..Round::default() };
    assert_eq!(house.outbox.round(&other, &ack).await.unwrap().fenced, []);
    assert_eq!(house.outbox.counts().await.unwrap().delivered, 1);
}

#[tokio::test]
async fn a_round_under_way_is_waited_for_before_its_worker_is_declared_dead() {
    let Some(house) = House::new("alive").await else { return };
    house.outbox.enqueue(&house.message()).await.unwrap();
    let slow = house.outbox.join("a", LEASE).await.unwrap();
    assert_eq!(house.outbox.round(&slow, &house.want(1)).await.unwrap().leased.len(), 1);
    let other = house.outbox.join("b", LEASE).await.unwrap();
    house.clock.advance(LEASE);
    // The slow one's heartbeat is written and not yet committed.
    let mut beat = house.pool.begin().await.unwrap();
    let until = house.clock.now().saturating_add(LEASE).as_unix_millis();
    let statement = "UPDATE webhook_worker SET until = $1 WHERE instance = 'a'";
    sqlx::query(statement).bind(until).execute(&mut *beat).await.unwrap();
    let recover = tokio::spawn({
        let outbox = house.outbox.clone();
        async move { outbox.recover(&other).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM \
        webhook_worker%' \
                 AND state = 'active' AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&house.pool).await.unwrap() == 0 {
        assert!(!recover.is_finished());
    }
    beat.commit().await.unwrap();
    assert_eq!(recover.await.unwrap(), Ok(0), "it lives");
}

/// A round of `a` is under way: it has claimed all there is and is not committed. `taker` takes its messages over.
async fn check_taken_over<T>(house: &House, taker: impl Future<Output = T> + Send + 'static) -> Worker
where
    T: Send + 'static,
{
    let mut round = house.pool.begin().await.unwrap();
    sqlx::raw_sql(
        "UPDATE webhook_worker SET until = until + 1 WHERE instance = 'a'; \
         UPDATE webhook_delivery SET state = 1, fence = fence + 1, \
           worker = (SELECT id FROM webhook_worker WHERE instance = 'a')",
    )
    .execute(&mut *round)
    .await
    .unwrap();
    let taker = tokio::spawn(taker);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND state = 'active' \
                 AND query LIKE 'DELETE FROM webhook_worker%' AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(waits).fetch_one(&house.pool).await.unwrap() == 0 {
        assert!(!taker.is_finished());
    }
    round.commit().await.unwrap();
    taker.await.unwrap();
    let counts = house.outbox.counts().await.unwrap();
    assert_eq!((counts.pending, counts.leased), (3, 0), "stranded");
    let other = house.outbox.join("other", LEASE).await.unwrap();
    assert_eq!(house.outbox.round(&other, &house.want(10)).await.unwrap().leased.len(), 3);
    other
}

#[tokio::test]
async fn what_a_round_under_way_claims_is_not_stranded_when_its_worker_goes() {
    for (schema, leaves) in [("namesake", false), ("leaves", true)] {
        let Some(house) = House::new(schema).await else { return };
        for _ in 0..3 {
            house.outbox.enqueue(&house.message()).await.unwrap();
        }
        let worker = house.outbox.join("a", LEASE).await.unwrap();
        let outbox = house.outbox.clone();
        let other = check_taken_over(&house, async move {
            if leaves {
                outbox.leave(&worker).await.unwrap();
            } else {
                let _ = outbox.join("a", LEASE).await.unwrap();
            }
        })
        .await;
        // What some other hand has left behind is found, too.
        house.sql("DELETE FROM webhook_worker WHERE instance = 'other'").await;
        let third = house.outbox.join("third", LEASE).await.unwrap();
        assert_ne!(third, other);
        assert_eq!(house.outbox.recover(&third).await, Ok(3));
    }
}

#[tokio::test]
async fn another_endpoints_message_of_the_same_id_confirms_nothing() {
    let Some(house) = House::new("confirm").await else { return };
    let other = register(&house.outbox, &house.book).await;
    let id = MessageId::parse("msg_shared").unwrap();
    house.outbox.enqueue(&house.message().with_id(id.clone())).await.unwrap();
    let message = NewMessage::impersonal(&acme(), &other, b"{}".to_vec()).unwrap().with_id(id);
    let mut transaction = house.pool.begin().await.unwrap();
    let queued = house.outbox.enqueue_in(&mut transaction, &message).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(house.outbox.confirm(queued).await.unwrap_err().code(), "outbox.not_committed");
}

#[tokio::test]
async fn hosts_whose_clocks_differ_by_hours_agree_on_who_lives_and_what_is_due() {
    let Some(pool) = services::postgres("clocks").await else { return };
    let hour = Duration::from_secs(3600);
    let ahead = Arc::new(ManualClock::at(SystemClock.now().saturating_add(hour)));
    let behind = Arc::new(ManualClock::at(SystemClock.now().saturating_sub(hour)));
    let open = async |clock: &Arc<ManualClock>| {
        PostgresOutbox::open(&pool, OutboxOptions::default().with_clock(clock.clone())).await.unwrap()
    };
    let (a, b) = (open(&ahead).await, open(&behind).await);
    let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
    let to = register(&a, &EndpointBook::new(EndpointPolicy::new(), keys)).await;
    a.enqueue(&NewMessage::impersonal(&acme(), &to, b"{}".to_vec()).unwrap()).await.unwrap();
    let want = Round {
        wants: vec![Want { endpoint: to.clone(), limit: 1, max_bytes: usize::MAX }],
        ..Round::default()
    };
    let lease = Worker::MAX_LEASE;
    let (first, second) = (a.join("a", lease).await.unwrap(), b.join("b", lease).await.unwrap());
    let leased = a.round(&first, &want).await.unwrap().leased;
    assert_eq!((a.recover(&first).await, b.recover(&second).await), (Ok(0), Ok(0)), "both live");

    // "In a quarter of an hour", says the one whose clock is ahead, and means it.
    let settle = |at, leased: &Leased| {
        let code = compliance_core::reason_code!("deliver.status");
        let verdict = Verdict::Retry { at, code, status: Some(500) };
        let settlement = Settlement { token: leased.token, revision: 1, verdict };
        Round { settlements: vec![settlement], ..Round::default() }
    };
    let before = SystemClock.now();
    let at = ahead.now().saturating_add(hour / 4);
    assert_eq!(a.round(&first, &settle(at, &leased[0])).await.unwrap().fenced, []);
    let until = SystemClock.now();
    let stored: i64 =
        sqlx::query_scalar("SELECT next_at FROM webhook_delivery").fetch_one(&pool).await.unwrap();
    let (least, most) = (before.saturating_add(hour / 4), until.saturating_add(hour / 4));
    // The server runs on this host.
    assert!((least.as_unix_millis()..=most.as_unix_millis() + 1).contains(&stored));
    assert_eq!(b.ready(None, 1).await.unwrap().ready, [], "not due for the other one either");

    let note = |lesson| {
        let notes = vec![EndpointNote { endpoint: to.clone(), revision: 1, lesson }];
        Round { notes, ..Round::default() }
    };
    let until = behind.now().saturating_add(hour);
    let _ = b.round(&second, &note(Lesson::Hold { until })).await.unwrap();
    let held: i64 =
        sqlx::query_scalar("SELECT hold_until FROM webhook_endpoint").fetch_one(&pool).await.unwrap();
    assert!(held > before.saturating_add(hour / 2).as_unix_millis());
}

/// Two of three messages leave, the second one is reported and can be given up.
async fn check_quarantine(house: &House, why: &str) {
    let worker = house.outbox.join("a", LEASE).await.unwrap();
    let result = house.outbox.round(&worker, &house.want(10)).await.unwrap();
    assert_eq!(result.leased.len(), 2, "{why}");
    let [damaged] = &result.damaged[..] else { panic!("{why}: {:?}", result.damaged) };
    let code = compliance_core::reason_code!("outbox.corrupt");
    let verdict = Verdict::Dead { code, status: None };
    let settlement = Settlement { token: damaged.token, revision: damaged.revision, verdict };
    let round = Round { settlements: vec![settlement], ..Round::default() };
    assert_eq!(house.outbox.round(&worker, &round).await.unwrap().fenced, [], "{why}");
    assert_eq!(
        &*house.outbox.dead_letters(&house.to, 10).await.unwrap()[0].last_code,
        "outbox.corrupt",
        "{why}"
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_read_holds_up_nobody() {
    let Some(house) = House::new("row").await else { return };
    house
        .sql(
            "ALTER TABLE webhook_message DROP CONSTRAINT webhook_message_id_check, \
             DROP CONSTRAINT webhook_message_content_type_check, \
             DROP CONSTRAINT webhook_message_payload_check; \
             ALTER TABLE webhook_delivery DROP CONSTRAINT webhook_delivery_seq_fkey",
        )
        .await;
    for statement in [
        "UPDATE webhook_message SET id = 'no id' WHERE seq = $1",
        "UPDATE webhook_message SET content_type = 'none' WHERE seq = $1",
        "DELETE FROM webhook_message WHERE seq = $1",
        "UPDATE webhook_delivery SET attempts = -1 WHERE seq = $1",
        "WITH large AS (UPDATE webhook_message SET payload = decode(repeat('00', 40000000), 'hex') WHERE seq = $1 \
           RETURNING seq, octet_length(payload) AS size) \
         UPDATE webhook_delivery AS d SET size = large.size FROM large WHERE d.seq = large.seq",
    ] {
        for _ in 0..3 {
            house.outbox.enqueue(&house.message()).await.unwrap();
        }
        let last: i64 =
            sqlx::query_scalar("SELECT max(seq) FROM webhook_message").fetch_one(&house.pool).await.unwrap();
        sqlx::query(statement).bind(last - 1).execute(&house.pool).await.unwrap();
        check_quarantine(&house, statement).await;
        house.sql("TRUNCATE webhook_message, webhook_delivery").await;
    }
}

#[tokio::test]
async fn a_payload_lost_on_the_disk_holds_up_nobody() {
    let Some(house) = House::new("disk").await else { return };
    house.sql("ALTER TABLE webhook_message ALTER payload SET STORAGE EXTERNAL").await;
    for number in 0..3_u8 {
        let message = NewMessage::impersonal(&acme(), &house.to, vec![b'a' + number; 100_000]).unwrap();
        house.outbox.enqueue(&message).await.unwrap();
    }
    let extension = sqlx::raw_sql("CREATE EXTENSION pg_surgery").execute(&house.pool).await;
    if extension.is_err() {
        println!("skipped: this server has no pg_surgery to lose a payload with");
        return;
    }
    // The second message's third piece.
    house
        .sql(
            "DO $$ DECLARE pieces regclass; piece tid; BEGIN \
               SELECT reltoastrelid::regclass INTO pieces FROM pg_class WHERE oid = 'webhook_message'::regclass; \
               EXECUTE format('SELECT ctid FROM %s WHERE chunk_id = (SELECT DISTINCT chunk_id FROM %s ORDER BY 1 \
                 OFFSET 1 LIMIT 1) AND chunk_seq = 2', pieces, pieces) INTO piece; \
               PERFORM heap_force_kill(pieces, ARRAY[piece]); END $$",
        )
        .await;
    check_quarantine(&house, "a piece").await;
    house.sql("DROP EXTENSION pg_surgery").await;
}

struct Says204(tokio::sync::mpsc::UnboundedSender<MessageId>);

impl Deliver for Says204 {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        let _ = self.0.send(attempt.id().clone());
        Outcome::Answered(Answer::new(204))
    }
}

/// What stands between the dispatcher and the server.
#[derive(Clone, Copy, PartialEq)]
enum Wire {
    Whole,
    /// Bytes go nowhere; nobody says so.
    Silent,
    /// Connections are closed, new ones not taken.
    Cut,
}

async fn proxy(listener: TcpListener, server: String, wire: watch::Receiver<Wire>) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else { return };
        let (mut wire, server) = (wire.clone(), server.clone());
        tokio::spawn(async move {
            if *wire.borrow_and_update() == Wire::Whole {
                let mut server = TcpStream::connect(server).await.unwrap();
                tokio::select! {
                    _ = wire.changed() => {}
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                }
            }
            // What was on its way is lost with the connection, at once or when the silence ends.
            if *wire.borrow_and_update() == Wire::Silent {
                let _ = wire.changed().await;
            }
        });
    }
}

/// For a minute with `COMPLIANCE_LONG_TESTS=1`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_for_a_while_costs_nothing_but_time() {
    let Some(direct) = House::new("away").await else { return };
    let long = std::env::var("COMPLIANCE_LONG_TESTS").is_ok_and(|value| value == "1");
    let away = if long { Duration::from_secs(60) } else { Duration::ZERO };
    let options = direct.pool.connect_options().as_ref().clone();
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (wire, wired) = watch::channel(Wire::Whole);
    tokio::spawn(proxy(listener, server, wired));
    let pool = PgPoolOptions::new().acquire_timeout(Duration::from_secs(1));
    let pool = pool.connect_with(options.host("127.0.0.1").port(port)).await.unwrap();
    let outbox = PostgresOutbox::open(&pool, OutboxOptions::default()).await.unwrap();
    let direct_outbox = PostgresOutbox::open(&direct.pool, OutboxOptions::default()).await.unwrap();
    let (sender, mut attempts) = tokio::sync::mpsc::unbounded_channel();
    let sink = Arc::new(MemorySink::default());
    let running = Dispatcher::new(outbox.clone(), direct.book.clone(), Says204(sender), sink).spawn();
    let is_over = Arc::new(AtomicBool::new(false));
    let enqueue = tokio::spawn({
        let (outbox, message, is_over) = (direct_outbox.clone(), direct.message(), is_over.clone());
        async move {
            let mut ids = BTreeSet::new();
            while !is_over.load(Ordering::SeqCst) {
                ids.insert(outbox.enqueue(&message).await.unwrap());
            }
            ids
        }
    });
    for state in [Wire::Cut, Wire::Silent] {
        wire.send_replace(state);
        let gone = Instant::now();
        for call in 1.. {
            let begun = Instant::now();
            let refused = outbox.counts().await.unwrap_err();
            assert!(["outbox.busy", "outbox.io"].contains(&refused.code()), "{}", refused.code());
            assert!(begun.elapsed() < CALL_TIMEOUT * 4, "{:?}", begun.elapsed());
            if call >= 2 && gone.elapsed() >= away {
                break;
            }
        }
        wire.send_replace(Wire::Whole);
        // It goes on by itself.
        let before = direct_outbox.counts().await.unwrap().delivered;
        let begun = Instant::now();
        while direct_outbox.counts().await.unwrap().delivered <= before {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing more is delivered");
        }
    }
    is_over.store(true, Ordering::SeqCst);
    let enqueued = enqueue.await.unwrap();
    let begun = Instant::now();
    while direct_outbox.counts().await.unwrap().delivered < enqueued.len() as u64 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", direct_outbox.counts().await);
    }
    let report = running.shutdown().await.unwrap();
    assert!(report.store_errors > 0);
    let mut arrived = BTreeSet::new();
    while let Ok(id) = attempts.try_recv() {
        arrived.insert(id);
    }
    assert_eq!(arrived, enqueued);
}
