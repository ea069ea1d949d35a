//! The SQLite outbox: the caller's transaction, durability, refusals.
#![cfg(feature = "sqlite")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::{Clock, ManualClock, SystemClock};
use compliance_core::event::EventKind;
use compliance_core::finding::Enforcement;
use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::MemorySink;
use compliance_webhook::deliver::{Answer, Attempt, ContentType, Deliver, Outcome};
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options, enqueue_statement, migrations};
use compliance_webhook::outbox::{
    Dispatcher, EndpointBook, EndpointId, EndpointNote, EndpointState, Leased, Lesson, NewMessage, Outbox,
    Round, Settlement, SqliteOutbox, TablePrefix, Verdict, Want,
};
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey};
use secrecy::ExposeSecret as _;
use sqlx::sqlite::{SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, SqlitePool};

const LEASE: Duration = Duration::from_secs(10);

struct House {
    directory: tempfile::TempDir,
    pool: SqlitePool,
    outbox: SqliteOutbox,
    clock: Arc<ManualClock>,
    to: EndpointId,
    key: SigningKey,
    keys: Arc<MemoryKeyStore>,
}

impl House {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let pool = SqlitePool::connect_with(durable_options(&directory.path().join("a.db"))).await.unwrap();
        let clock = Arc::new(ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let outbox =
            SqliteOutbox::open(&pool, OutboxOptions::default().with_clock(clock.clone())).await.unwrap();
        let key = SigningKey::generate(&SystemRandom).unwrap();
        let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
        let to = register(&outbox, keys.clone(), &key).await;
        Self { directory, pool, outbox, clock, to, key, keys }
    }

    fn message(&self) -> NewMessage {
        NewMessage::impersonal(&acme(), &self.to, b"{}".to_vec()).unwrap()
    }

    async fn want(&self, instance: &str, limit: usize) -> Vec<Leased> {
        let worker = self.outbox.join(instance, LEASE).await.unwrap();
        let round = Round {
            wants: vec![Want { endpoint: self.to.clone(), limit, max_bytes: usize::MAX }],
            ..Round::default()
        };
        self.outbox.round(&worker, &round).await.unwrap().leased
    }
}

async fn register(outbox: &SqliteOutbox, keys: Arc<MemoryKeyStore>, key: &SigningKey) -> EndpointId {
    let book = EndpointBook::new(EndpointPolicy::new(), keys);
    let endpoint = book.policy().check("https://hooks.example.com/in").unwrap();
    book.register(outbox, &acme(), &endpoint, key).await.unwrap()
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

#[tokio::test]
async fn a_message_is_there_exactly_when_the_callers_transaction_is() {
    let house = House::new().await;
    sqlx::query("CREATE TABLE account (name TEXT)").execute(&house.pool).await.unwrap();

    let mut transaction = house.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO account VALUES ('anna')").execute(&mut *transaction).await.unwrap();
    let queued = house.outbox.enqueue_in(&mut transaction, &house.message()).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(house.outbox.confirm(queued).await.unwrap_err().code(), "outbox.not_committed");
    assert_eq!(house.outbox.counts().await.unwrap().pending, 0);

    let mut transaction = house.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("INSERT INTO account VALUES ('anna')").execute(&mut *transaction).await.unwrap();
    let queued = house.outbox.enqueue_in(&mut transaction, &house.message()).await.unwrap();
    let tentative = queued.tentative().clone();
    transaction.commit().await.unwrap();
    assert_eq!(house.outbox.confirm(queued).await.unwrap(), tentative);
    assert_eq!(house.outbox.counts().await.unwrap().pending, 1);
}

#[tokio::test]
async fn a_refusal_leaves_the_callers_transaction_usable() {
    let house = House::new().await;
    sqlx::query("CREATE TABLE account (name TEXT)").execute(&house.pool).await.unwrap();
    let mut transaction = house.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
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
async fn one_key_is_one_message() {
    let house = House::new().await;
    let first = house.message().with_idempotency_key("signup:1").unwrap();
    let id = house.outbox.enqueue(&first).await.unwrap();
    assert_eq!(house.outbox.enqueue(&first).await.unwrap(), id);
    assert_eq!(house.outbox.counts().await.unwrap().pending, 1);

    let changed = NewMessage::impersonal(&acme(), &house.to, b"{\"a\":1}".to_vec()).unwrap();
    let changed = changed.with_idempotency_key("signup:1").unwrap();
    assert_eq!(house.outbox.enqueue(&changed).await.unwrap_err().code(), "outbox.idempotency_conflict");

    let id = MessageId::parse("msg_own").unwrap();
    assert_eq!(house.outbox.enqueue(&house.message().with_id(id.clone())).await.unwrap(), id);
    assert_eq!(house.outbox.enqueue(&house.message().with_id(id.clone())).await.unwrap(), id);
    assert_eq!(house.outbox.counts().await.unwrap().pending, 2);
}

#[tokio::test]
async fn keys_of_another_shape_are_refused() {
    let house = House::new().await;
    for key in ["", "a\nb", "ä", &"k".repeat(256)] {
        assert_eq!(house.message().with_idempotency_key(key).unwrap_err().code(), "message.key");
    }
}

#[tokio::test]
async fn a_database_that_may_forget_commits_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let code = async |options| {
        let pool = SqlitePool::connect_with(options).await.unwrap();
        SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap_err().code()
    };
    let durable = durable_options(&directory.path().join("a.db"));
    assert_eq!(code(durable.clone().synchronous(SqliteSynchronous::Normal)).await, "outbox.not_durable");
    assert_eq!(code(durable.clone().synchronous(SqliteSynchronous::Off)).await, "outbox.not_durable");
    let other = durable_options(&directory.path().join("b.db"));
    assert_eq!(code(other.journal_mode(SqliteJournalMode::Delete)).await, "outbox.not_durable");
}

#[tokio::test]
async fn a_pool_without_foreign_keys_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let options = durable_options(&directory.path().join("a.db")).foreign_keys(false);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    let refused = SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), "outbox.foreign_keys");
}

#[tokio::test]
async fn tables_made_by_a_later_version_are_left_alone() {
    let house = House::new().await;
    sqlx::query("INSERT INTO webhook_schema VALUES (99)").execute(&house.pool).await.unwrap();
    let refused = SqliteOutbox::open(&house.pool, OutboxOptions::default()).await.unwrap_err();
    assert_eq!(refused.code(), "outbox.schema_too_new");
    assert_eq!(
        refused.to_string(),
        format!(
            "outbox: the schema has version 99, this crate knows up to {}",
            migrations(TablePrefix::default()).len()
        )
    );
}

#[tokio::test]
async fn two_outboxes_live_in_one_database_under_their_prefixes() {
    let house = House::new().await;
    let prefix = TablePrefix::new("billing_").unwrap();
    let billing =
        SqliteOutbox::open(&house.pool, OutboxOptions::default().with_prefix(prefix)).await.unwrap();
    let to = register(&billing, house.keys.clone(), &house.key).await;
    billing.enqueue(&NewMessage::impersonal(&acme(), &to, b"{}".to_vec()).unwrap()).await.unwrap();
    assert_eq!(billing.counts().await.unwrap().pending, 1);
    assert_eq!(house.outbox.counts().await.unwrap().pending, 0);
}

#[tokio::test]
async fn the_published_statement_enqueues() {
    let house = House::new().await;
    let with = |id: &'static str, tenant: &'static str, payload: Vec<u8>| {
        sqlx::query(AssertSqlSafe(enqueue_statement(TablePrefix::default(), Enforcement::Enforce)))
            .bind(id)
            .bind(house.to.as_str().to_owned())
            .bind(tenant)
            .bind(None::<String>)
            .bind("application/json")
            .bind(payload)
            .bind(house.clock.now().as_unix_millis())
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
    for id in ["", "msg.2", "msg 2", "msg\u{7f}", "msg_\u{e9}"] {
        assert!(enqueue(id, "acme").await.unwrap().is_none(), "{id:?}");
    }
    let leased = house.want("a", 10).await;
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].id.as_str(), "msg_1");
    assert!(with("msg_3", "acme", vec![0; NewMessage::MAX_PAYLOAD_LEN]).await.unwrap().is_some());
    assert!(with("msg_4", "acme", vec![0; NewMessage::MAX_PAYLOAD_LEN + 1]).await.unwrap().is_none());
}

#[tokio::test]
async fn signing_keys_do_not_stand_in_the_file() {
    let house = House::new().await;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&house.pool).await.unwrap();
    let text = house.key.to_secret();
    let secret = text.expose_secret().strip_prefix("whsec_").unwrap();
    let mut read = 0;
    for file in std::fs::read_dir(house.directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        read += bytes.len();
        assert!(!contains(&bytes, secret.as_bytes()), "the secret in base64");
        assert!(!contains(&bytes, b"whsec_"), "a secret's prefix");
    }
    assert!(read > 4096);
    let bytes = std::fs::read(house.directory.path().join("a.db")).unwrap();
    assert!(contains(&bytes, b"https://hooks.example.com/in"), "the search finds what is there");
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn a_restarted_dispatcher_takes_over_at_once_what_its_predecessor_held() {
    let house = House::new().await;
    for _ in 0..5 {
        house.outbox.enqueue(&house.message()).await.unwrap();
    }
    let before = house.want("a", 3).await;
    assert_eq!(before.len(), 3);
    // The process is gone and comes back; not a moment has passed.
    let worker = house.outbox.join("a", LEASE).await.unwrap();
    let wants = vec![Want { endpoint: house.to.clone(), limit: 10, max_bytes: usize::MAX }];
    // Whoever speaks for the predecessor is not heard.
    let settlements =
        vec![Settlement { token: before[0].token, revision: 1, verdict: Verdict::Delivered { status: 204 } }];
    let round = Round { settlements, wants, ..Round::default() };
    let result = house.outbox.round(&worker, &round).await.unwrap();
    assert_eq!(result.fenced, [before[0].token]);
    assert_eq!(result.leased.len(), 5);
}

#[tokio::test]
async fn others_take_over_when_the_lease_lapses_and_the_late_verdict_is_fenced_off() {
    let house = House::new().await;
    house.outbox.enqueue(&house.message()).await.unwrap();
    let paused = house.outbox.join("a", LEASE).await.unwrap();
    let wants = vec![Want { endpoint: house.to.clone(), limit: 1, max_bytes: usize::MAX }];
    let round = Round { wants: wants.clone(), ..Round::default() };
    let leased = house.outbox.round(&paused, &round).await.unwrap().leased;

    let other = house.outbox.join("b", LEASE).await.unwrap();
    house.clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(house.outbox.recover(&other).await.unwrap(), 0, "the lease holds");
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(house.outbox.recover(&other).await.unwrap(), 1);
    let again = house.outbox.round(&other, &round).await.unwrap().leased;
    assert_eq!(again[0].id, leased[0].id);
    assert!(again[0].token.fence() > leased[0].token.fence());

    let verdict = |token| Settlement { token, revision: 1, verdict: Verdict::Delivered { status: 204 } };
    let late = Round { settlements: vec![verdict(leased[0].token)], wants, ..Round::default() };
    let result = house.outbox.round(&paused, &late).await.unwrap();
    assert!(result.is_lost && result.leased.is_empty());
    assert_eq!(result.fenced, [leased[0].token]);
    let ack = Round { settlements: vec![verdict(again[0].token)], ..Round::default() };
    assert_eq!(house.outbox.round(&other, &ack).await.unwrap().fenced, []);
    assert_eq!(house.outbox.counts().await.unwrap().delivered, 1);
}

#[tokio::test]
async fn a_clock_set_back_does_not_keep_a_dead_workers_messages() {
    let house = House::new().await;
    house.outbox.enqueue(&house.message()).await.unwrap();
    assert_eq!(house.want("a", 1).await.len(), 1);
    house.clock.set(house.clock.now().saturating_sub(Duration::from_secs(3600)));
    let other = house.outbox.join("b", LEASE).await.unwrap();
    assert_eq!(house.outbox.recover(&other).await.unwrap(), 0, "it may live");
    house.clock.advance(LEASE);
    assert_eq!(house.outbox.recover(&other).await.unwrap(), 1);
}

#[tokio::test]
async fn a_clock_set_back_takes_nothing_from_a_worker_that_lives() {
    let house = House::new().await;
    house.outbox.enqueue(&house.message()).await.unwrap();
    let alive = house.outbox.join("a", LEASE).await.unwrap();
    let wants = vec![Want { endpoint: house.to.clone(), limit: 1, max_bytes: usize::MAX }];
    let round = Round { wants, ..Round::default() };
    let leased = house.outbox.round(&alive, &round).await.unwrap().leased;
    house.clock.set(house.clock.now().saturating_sub(Duration::from_secs(3600)));
    let other = house.outbox.join("b", LEASE).await.unwrap();
    for _ in 0..10 {
        assert_eq!(house.outbox.recover(&other).await.unwrap(), 0);
        house.clock.advance(LEASE / 3);
        assert!(!house.outbox.round(&alive, &Round::default()).await.unwrap().is_lost);
    }
    let verdict = Verdict::Delivered { status: 204 };
    let settlements = vec![Settlement { token: leased[0].token, revision: 1, verdict }];
    let round = Round { settlements, ..Round::default() };
    assert_eq!(house.outbox.round(&alive, &round).await.unwrap().fenced, []);
}

#[tokio::test]
async fn another_endpoints_message_of_the_same_id_confirms_nothing() {
    let house = House::new().await;
    let other = register(&house.outbox, house.keys.clone(), &house.key).await;
    let id = MessageId::parse("msg_shared").unwrap();
    house.outbox.enqueue(&house.message().with_id(id.clone())).await.unwrap();
    let message = NewMessage::impersonal(&acme(), &other, b"{}".to_vec()).unwrap().with_id(id);
    let mut transaction = house.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let queued = house.outbox.enqueue_in(&mut transaction, &message).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(house.outbox.confirm(queued).await.unwrap_err().code(), "outbox.not_committed");
}

#[tokio::test]
async fn messages_tried_before_take_a_quarter_of_the_line_at_most() {
    let house = House::new().await;
    for _ in 0..20 {
        house.outbox.enqueue(&house.message()).await.unwrap();
    }
    let worker = house.outbox.join("a", LEASE).await.unwrap();
    let want = |limit| Round {
        wants: vec![Want { endpoint: house.to.clone(), limit, max_bytes: usize::MAX }],
        ..Round::default()
    };
    let leased = house.outbox.round(&worker, &want(10)).await.unwrap().leased;
    let at = house.clock.now();
    let settlements = leased.iter().map(|leased| Settlement {
        token: leased.token,
        revision: leased.revision,
        verdict: Verdict::Retry {
            at,
            code: compliance_core::reason_code!("deliver.status"),
            status: Some(500),
        },
    });
    let retry = Round { settlements: settlements.collect(), ..Round::default() };
    assert_eq!(house.outbox.round(&worker, &retry).await.unwrap().fenced, []);
    let leased = house.outbox.round(&worker, &want(8)).await.unwrap().leased;
    assert_eq!(leased.iter().map(|leased| leased.attempts).collect::<Vec<_>>(), [1, 1, 0, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_message_for_an_endpoint_switched_off_is_taken_and_waits() {
    let house = House::new().await;
    let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let book = EndpointBook::new(EndpointPolicy::new(), Arc::new(keys));
    let off = EndpointState::Disabled { code: "operator".into() };
    book.switch(&house.outbox, &acme(), &house.to, off).await.unwrap();
    house.outbox.enqueue(&house.message()).await.unwrap();
    assert_eq!(house.outbox.ready(None, 10).await.unwrap().ready, []);
    assert_eq!(house.want("a", 1).await, []);
    book.switch(&house.outbox, &acme(), &house.to, EndpointState::Enabled).await.unwrap();
    assert_eq!(house.want("a", 1).await.len(), 1);
}

#[tokio::test]
async fn a_look_at_the_endpoints_goes_on_where_the_last_one_ended() {
    let house = House::new().await;
    let mut registered = vec![house.to.clone()];
    for _ in 0..6 {
        registered.push(register(&house.outbox, house.keys.clone(), &house.key).await);
    }
    for to in &registered {
        house.outbox.enqueue(&NewMessage::impersonal(&acme(), to, b"{}".to_vec()).unwrap()).await.unwrap();
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let ready = house.outbox.ready(after.as_ref(), 3).await.unwrap().ready;
        seen.extend(ready.iter().map(|ready| ready.endpoint.clone()));
        after = ready.last().map(|last| last.endpoint.clone());
        if ready.len() < 3 {
            break;
        }
    }
    assert_eq!(seen, registered);
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let directory = tempfile::tempdir().unwrap();
    // One connection, since the limit is the connection's.
    let pool = SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect_with(durable_options(&directory.path().join("a.db"))).await.unwrap();
    let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap();
    let to = register(
        &outbox,
        Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap())),
        &SigningKey::generate(&SystemRandom).unwrap(),
    )
    .await;
    let message = || NewMessage::impersonal(&acme(), &to, vec![b' '; 64 * 1024]).unwrap();
    sqlx::query("PRAGMA max_page_count = 64").execute(&pool).await.unwrap();
    let mut stored = 0;
    let refused = loop {
        match outbox.enqueue(&message()).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.code(), "outbox.full");
    assert_eq!(outbox.counts().await.unwrap().pending, stored);
    sqlx::query("PRAGMA max_page_count = 100000").execute(&pool).await.unwrap();
    outbox.enqueue(&message()).await.unwrap();
    assert_eq!(outbox.counts().await.unwrap().pending, stored + 1);
}

#[tokio::test]
async fn a_locked_database_is_busy_and_no_lock_outlives_a_call() {
    let house = House::new().await;
    house.outbox.enqueue(&house.message()).await.unwrap();
    let leased = house.want("a", 1).await;
    assert_eq!(leased.len(), 1);
    // While the message is on its way, anybody may write without waiting.
    let impatient = durable_options(&house.directory.path().join("a.db")).busy_timeout(Duration::ZERO);
    let pool = SqlitePool::connect_with(impatient).await.unwrap();
    let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap();
    outbox.enqueue(&house.message()).await.unwrap();

    let lock = house.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    assert_eq!(outbox.enqueue(&house.message()).await.unwrap_err().code(), "outbox.busy");
    lock.rollback().await.unwrap();
    outbox.enqueue(&house.message()).await.unwrap();
}

#[tokio::test]
async fn a_round_abandoned_anywhere_is_done_wholly_or_not_at_all_and_holds_no_lock() {
    let house = House::new().await;
    let outbox = &house.outbox;
    let worker = outbox.join("a", LEASE).await.unwrap();
    let wants = || vec![Want { endpoint: house.to.clone(), limit: 2, max_bytes: usize::MAX }];
    let mut was_abandoned = 0;
    for most in 0_usize.. {
        for _ in 0..4 {
            outbox.enqueue(&house.message()).await.unwrap();
        }
        let first = Round { wants: wants(), held: Some(Vec::new()), ..Round::default() };
        let leased = outbox.round(&worker, &first).await.unwrap().leased;
        let before = outbox.counts().await.unwrap();
        let delivered = |it: &Leased| {
            let (token, revision) = (it.token, it.revision);
            Settlement { token, revision, verdict: Verdict::Delivered { status: 204 } }
        };
        let second =
            Round { settlements: leased.iter().map(delivered).collect(), wants: wants(), ..Round::default() };
        let mut polls = 0;
        let mut round = Box::pin(outbox.round(&worker, &second));
        let done = std::future::poll_fn(|cx| {
            if polls == most {
                return std::task::Poll::Ready(false);
            }
            polls += 1;
            round.as_mut().poll(cx).map(|done| done.is_ok())
        });
        let is_done = done.await;
        drop(round);
        outbox.enqueue(&house.message()).await.unwrap();
        let after = outbox.counts().await.unwrap();
        let left = (after.delivered - before.delivered, after.leased, after.pending + after.leased);
        let held = before.pending + before.leased + 1;
        if left.0 == 2 {
            assert_eq!(left, (2, 2, held - 2));
        } else {
            assert_eq!(left, (0, 2, held));
            assert!(!is_done);
        }
        if is_done {
            break;
        }
        was_abandoned += 1;
    }
    assert!(was_abandoned > 3, "{was_abandoned}");
}

#[tokio::test]
async fn what_is_no_row_of_ours_is_said_to_be_corrupt() {
    let house = House::new().await;
    sqlx::query("UPDATE webhook_endpoint SET tenant = 'a b'").execute(&house.pool).await.unwrap();
    assert_eq!(house.outbox.endpoint(&house.to).await.unwrap_err().code(), "outbox.corrupt");
}

#[tokio::test]
async fn a_file_cut_short_anywhere_loses_the_tail_and_nothing_else() {
    let house = House::new().await;
    for _ in 0..8 {
        house.outbox.enqueue(&house.message()).await.unwrap();
    }
    let (db, wal) = (file(house.directory.path(), "a.db"), file(house.directory.path(), "a.db-wal"));
    for part in 0..12 {
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join("a.db"), &db).unwrap();
        std::fs::write(copy.path().join("a.db-wal"), &wal[..wal.len() * part / 11]).unwrap();
        let pool = SqlitePool::connect_with(durable_options(&copy.path().join("a.db"))).await.unwrap();
        let options = OutboxOptions::default().with_clock(Arc::new(SystemClock));
        let outbox = SqliteOutbox::open(&pool, options).await.unwrap();
        let pending = outbox.counts().await.unwrap().pending;
        assert!(pending <= 8);
        assert!(part < 11 || pending == 8, "the whole file has every commit");
        pool.close().await;
    }
}

fn file(directory: &Path, name: &str) -> Vec<u8> {
    std::fs::read(directory.join(name)).unwrap()
}

#[tokio::test]
async fn a_failure_at_the_old_url_says_nothing_about_the_new_one() {
    let house = House::new().await;
    let id = house.outbox.enqueue(&house.message()).await.unwrap();
    let worker = house.outbox.join("a", LEASE).await.unwrap();
    let wants = vec![Want { endpoint: house.to.clone(), limit: 1, max_bytes: usize::MAX }];
    let round = Round { wants: wants.clone(), ..Round::default() };
    let leased = house.outbox.round(&worker, &round).await.unwrap().leased;
    let (token, before) = (leased[0].token, leased[0].revision);

    let moved = EndpointBook::new(EndpointPolicy::new(), house.keys.clone());
    let url = moved.policy().check("https://new.example.com/in").unwrap();
    moved.move_to(&house.outbox, &acme(), &house.to, &url).await.unwrap();

    let code = compliance_core::reason_code!("deliver.gone");
    let verdict = Verdict::Dead { code, status: Some(410) };
    let note = |lesson| EndpointNote { endpoint: house.to.clone(), revision: before, lesson };
    let until = house.clock.now().saturating_add(LEASE);
    let round = Round {
        settlements: vec![Settlement { token, revision: before, verdict }],
        notes: vec![note(Lesson::Hold { until }), note(Lesson::Disable { code, failing_for: None })],
        wants,
        ..Round::default()
    };
    let result = house.outbox.round(&worker, &round).await.unwrap();
    assert_eq!(result.fenced, []);
    // At once, with all its attempts, for the new one.
    let again = &result.leased[0];
    assert_eq!((&again.id, again.attempts, again.revision), (&id, 0, before + 1));
    let stored = house.outbox.endpoint(&house.to).await.unwrap().unwrap();
    assert_eq!(stored.state(), &EndpointState::Enabled);
}

/// What stands in the database is not what this crate wrote there.
async fn damage(pool: &SqlitePool, statement: &'static str) {
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF")
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query(statement).execute(&mut *connection).await.unwrap();
    sqlx::raw_sql("PRAGMA ignore_check_constraints = OFF; PRAGMA foreign_keys = ON")
        .execute(&mut *connection)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_row_that_cannot_be_read_holds_up_nobody() {
    for statement in [
        "UPDATE webhook_message SET id = 'no id' WHERE seq = 2",
        "UPDATE webhook_message SET id = CAST(x'ff' AS TEXT) WHERE seq = 2",
        "UPDATE webhook_message SET content_type = 'none' WHERE seq = 2",
        "DELETE FROM webhook_message WHERE seq = 2",
        "UPDATE webhook_delivery SET attempts = -1 WHERE seq = 2",
        "UPDATE webhook_delivery SET size = 40000000 WHERE seq = 2",
        "UPDATE webhook_message SET payload = zeroblob(262145) WHERE seq = 2",
    ] {
        let house = House::new().await;
        for _ in 0..3 {
            house.outbox.enqueue(&house.message()).await.unwrap();
        }
        damage(&house.pool, statement).await;
        if statement.starts_with("DELETE") {
            // The deletion took its delivery with it where foreign keys were on.
            damage(&house.pool, "INSERT OR IGNORE INTO webhook_delivery (seq, endpoint) VALUES (2, 1)").await;
        }
        check_quarantine(&house, statement).await;
    }
}

/// Two of three messages leave, the second one is reported and can be given up.
async fn check_quarantine(house: &House, why: &str) {
    let worker = house.outbox.join("a", LEASE).await.unwrap();
    let round = Round {
        wants: vec![Want {
            endpoint: house.to.clone(),
            limit: 10,
            max_bytes: 2 * NewMessage::MAX_PAYLOAD_LEN,
        }],
        ..Round::default()
    };
    let result = house.outbox.round(&worker, &round).await.unwrap();
    assert_eq!(result.leased.len(), 2, "{why}");
    let [damaged] = &result.damaged[..] else { panic!("{why}: {:?}", result.damaged) };
    assert_eq!(damaged.token.sequence(), 2, "{why}");
    let code = compliance_core::reason_code!("outbox.corrupt");
    let verdict = Verdict::Dead { code, status: None };
    let settlement = Settlement { token: damaged.token, revision: damaged.revision, verdict };
    let round = Round { settlements: vec![settlement], ..Round::default() };
    assert_eq!(house.outbox.round(&worker, &round).await.unwrap().fenced, [], "{why}");
    let dead = house.outbox.dead_letters(&house.to, 10).await.unwrap();
    assert_eq!(dead.len(), 1, "{why}");
    assert_eq!(&*dead[0].last_code, "outbox.corrupt", "{why}");
}

#[tokio::test]
async fn a_damaged_page_holds_up_nobody() {
    let house = House::new().await;
    for number in 0..3_u8 {
        let payload = vec![b'a' + number; 100_000];
        let message = NewMessage::impersonal(&acme(), &house.to, payload).unwrap();
        house.outbox.enqueue(&message).await.unwrap();
    }
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&house.pool).await.unwrap();
    house.pool.close().await;
    // A payload is a chain of pages, each of which starts with the number of the next.
    let path = house.directory.path().join("a.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let page = bytes.chunks(4096).position(|page| page[4..].iter().all(|byte| *byte == b'b')).unwrap();
    bytes[page * 4096..][..4].copy_from_slice(&u32::MAX.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();

    let pool = SqlitePool::connect_with(durable_options(&path)).await.unwrap();
    let options = OutboxOptions::default().with_clock(house.clock.clone());
    let outbox = SqliteOutbox::open(&pool, options).await.unwrap();
    check_quarantine(&House { pool, outbox, ..house }, "a page").await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_read_is_switched_off_and_hides_nobody() {
    let house = House::new().await;
    let damaged = register(&house.outbox, house.keys.clone(), &house.key).await;
    for to in [&damaged, &house.to] {
        let message = NewMessage::impersonal(&acme(), to, b"{}".to_vec()).unwrap();
        house.outbox.enqueue(&message).await.unwrap();
    }
    damage(&house.pool, "UPDATE webhook_endpoint SET tenant = '' WHERE seq = 2").await;
    let due = house.outbox.ready(None, 10).await.unwrap();
    assert_eq!((due.damaged, house.outbox.ready(None, 10).await.unwrap().damaged), (vec![2], vec![]));
    let ready = due.ready;
    assert_eq!(ready.iter().map(|ready| &ready.endpoint).collect::<Vec<_>>(), [&house.to]);
    let code: String = sqlx::query_scalar("SELECT disabled_code FROM webhook_endpoint WHERE seq = 2")
        .fetch_one(&house.pool)
        .await
        .unwrap();
    assert_eq!(code, "outbox.corrupt");
}

struct Says204;

impl Deliver for Says204 {
    async fn deliver(&self, _: Attempt<'_>) -> Outcome {
        Outcome::Answered(Answer::new(204))
    }
}

#[tokio::test]
async fn a_dispatcher_gives_up_what_it_cannot_read_and_says_so() {
    let house = House::new().await;
    for _ in 0..3 {
        house.outbox.enqueue(&house.message()).await.unwrap();
    }
    damage(&house.pool, "UPDATE webhook_message SET id = 'no id' WHERE seq = 2").await;
    let other = register(&house.outbox, house.keys.clone(), &house.key).await;
    house.outbox.enqueue(&NewMessage::impersonal(&acme(), &other, b"{}".to_vec()).unwrap()).await.unwrap();
    damage(&house.pool, "UPDATE webhook_endpoint SET tenant = '' WHERE seq = 2").await;
    let sink = Arc::new(MemorySink::default());
    let book = EndpointBook::new(EndpointPolicy::new(), house.keys.clone());
    let running = Dispatcher::new(house.outbox.clone(), book, Says204, sink.clone()).spawn();
    while house.outbox.counts().await.unwrap().delivered + house.outbox.counts().await.unwrap().dead < 3 {
        tokio::task::yield_now().await;
    }
    let report = running.shutdown().await.unwrap();
    assert_eq!((report.delivered, report.dead), (2, 1));
    let events = sink.events();
    let mut kinds: Vec<_> = events.iter().map(|event| (event.kind().code(), event.reason())).collect();
    kinds.sort_unstable();
    let mut expected = [EventKind::WebhookMessageDead, EventKind::WebhookEndpointDisabled]
        .map(|kind| (kind.code(), Some("outbox.corrupt")));
    expected.sort_unstable();
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn payloads_come_out_as_they_went_in_whatever_the_databases_encoding() {
    let payloads: [&[u8]; 6] = [b"", b"\0", b"a\0b", b"\xff\xfe;7 8", "ä;,".as_bytes(), b"{}"];
    for encoding in ["UTF-8", "UTF-16le"] {
        let directory = tempfile::tempdir().unwrap();
        let options =
            durable_options(&directory.path().join("a.db")).pragma("encoding", format!("'{encoding}'"));
        let pool = SqlitePool::connect_with(options).await.unwrap();
        let found: String = sqlx::query_scalar("PRAGMA encoding").fetch_one(&pool).await.unwrap();
        assert_eq!(found, encoding);
        let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap();
        let keys = Arc::new(MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap()));
        let to = register(&outbox, keys, &SigningKey::from_bytes(&[7; 32]).unwrap()).await;
        let mut ids = Vec::new();
        for payload in payloads {
            let message = NewMessage::impersonal(&acme(), &to, payload).unwrap();
            let message = message.with_content_type(ContentType::parse("text/plain; a=b").unwrap());
            ids.push(outbox.enqueue(&message).await.unwrap());
        }
        let worker = outbox.join("a", LEASE).await.unwrap();
        let round = Round {
            wants: vec![Want { endpoint: to, limit: 10, max_bytes: usize::MAX }],
            ..Round::default()
        };
        let leased = outbox.round(&worker, &round).await.unwrap().leased;
        let found: Vec<&[u8]> = leased.iter().map(|leased| &*leased.payload).collect();
        assert_eq!(found, payloads, "{encoding}");
        assert_eq!(leased.iter().map(|leased| leased.id.clone()).collect::<Vec<_>>(), ids, "{encoding}");
        assert!(leased.iter().all(|leased| leased.content_type.as_str() == "text/plain; a=b"), "{encoding}");
    }
}
