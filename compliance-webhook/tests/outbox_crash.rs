//! kill -9, again and again: nothing acknowledged is lost, and what comes twice was leased when its process died.
//!
//! `OUTBOX_CRASH_SECONDS=60` kills every two seconds for a minute instead of a dozen times in a hurry.
#![cfg(all(feature = "sqlite", feature = "postgres", unix))]

mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use compliance_core::clock::SystemClock;
use compliance_core::id::TenantId;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::{DeterministicRandom, MemorySink};
use compliance_webhook::deliver::{Answer, Attempt, Deliver, DeliverReason, Outcome};
use compliance_webhook::outbox::{
    DeliveryState, DispatchLimits, Dispatcher, EndpointBook, EndpointId, MemoryOutbox, NewMessage, Outbox,
    PostgresOutbox, Running, SqliteOutbox, postgres, sqlite,
};
use compliance_webhook::schedule::{Jitter, RetrySchedule};
use compliance_webhook::{EndpointPolicy, MessageId, SigningKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const STORE: &str = "OUTBOX_CRASH_STORE";
const INSTANCE: &str = "OUTBOX_CRASH_INSTANCE";
const RECEIVER: &str = "OUTBOX_CRASH_RECEIVER";
const SECONDS: &str = "OUTBOX_CRASH_SECONDS";
const KILLS: usize = 12;
const SHORT_LEASE: Duration = Duration::from_secs(2);

/// How often each id came.
type Received = Arc<Mutex<BTreeMap<String, usize>>>;

/// Writes the id to the receiver and waits for its answer: a request without the ceremony.
struct Line(SocketAddr);

impl Deliver for Line {
    async fn deliver(&self, attempt: Attempt<'_>) -> Outcome {
        let exchange = async {
            let mut stream = tokio::net::TcpStream::connect(self.0).await?;
            stream.write_all(format!("{}\n", attempt.id()).as_bytes()).await?;
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).await
        };
        match exchange.await {
            Ok(_) => Outcome::Answered(Answer::new(204)),
            Err(_) => Outcome::Unanswered(DeliverReason::Response.into()),
        }
    }
}

fn receive(listener: TcpListener, received: Received, is_over: Arc<AtomicBool>) {
    for stream in listener.incoming() {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let received = received.clone();
        thread::spawn(move || {
            let Ok(mut stream) = stream else { return };
            let mut id = String::new();
            let Ok(clone) = stream.try_clone() else { return };
            if BufReader::new(clone).read_line(&mut id).is_ok() && id.ends_with('\n') {
                *received.lock().unwrap().entry(id.trim_end().to_owned()).or_default() += 1;
                let _ = stream.write_all(b"ok");
            }
        });
    }
}

/// What every process of this test has: the same endpoint, the same keys.
struct House<O> {
    outbox: O,
    book: EndpointBook,
    to: EndpointId,
}

impl<O: Outbox + Clone + 'static> House<O> {
    async fn open(outbox: O) -> Self {
        // A key store in memory dies with its process. The same chance makes the same keys, so that the next
        // process opens what the first one sealed.
        let random = Arc::new(DeterministicRandom::new(1));
        let keys = MemoryKeyStore::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
        let book = EndpointBook::new(EndpointPolicy::new(), Arc::new(keys)).with_random(random.clone());
        let model = MemoryOutbox::new(Arc::new(SystemClock), random);
        let endpoint = book.policy().check("https://hooks.example.com/in").unwrap();
        let key = SigningKey::from_bytes(&[9; 32]).unwrap();
        let to = book.register(&model, &tenant(), &endpoint, &key).await.unwrap();
        if outbox.endpoint(&to).await.unwrap().is_none() {
            // Somebody else may be faster.
            let _ = outbox.save_endpoint(&model.endpoint(&to).await.unwrap().unwrap()).await;
        }
        Self { outbox, book, to }
    }

    fn message(&self) -> NewMessage {
        NewMessage::impersonal(&tenant(), &self.to, b"{}".to_vec()).unwrap()
    }

    fn dispatch(&self, receiver: SocketAddr, instance: &str) -> Running {
        self.dispatch_with(receiver, instance, DispatchLimits::default())
    }

    fn dispatch_with(&self, receiver: SocketAddr, instance: &str, limits: DispatchLimits) -> Running {
        let schedule = RetrySchedule::new(&[Duration::ZERO; 20]).unwrap().with_jitter(Jitter::None);
        let sink = Arc::new(MemorySink::default());
        Dispatcher::new(self.outbox.clone(), self.book.clone(), Line(receiver), sink)
            .with_schedule(schedule)
            .with_limits(limits)
            .with_instance(instance)
            .spawn()
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

async fn sqlite(path: &str) -> (sqlx::SqlitePool, SqliteOutbox) {
    let pool = sqlx::SqlitePool::connect_with(sqlite::durable_options(path.as_ref())).await.unwrap();
    let outbox = SqliteOutbox::open(&pool, sqlite::OutboxOptions::default()).await.unwrap();
    (pool, outbox)
}

async fn postgres(schema: &str, name: &str) -> (sqlx::PgPool, PostgresOutbox) {
    let options = services::options(schema).expect("the parent found it").application_name(name);
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    let outbox = PostgresOutbox::open(&pool, postgres::OutboxOptions::default()).await.unwrap();
    (pool, outbox)
}

fn say(id: &str) {
    let mut out = std::io::stdout();
    // From here on it counts as acknowledged.
    writeln!(out, "acknowledged {id}").unwrap();
    out.flush().unwrap();
}

/// The victim. Without its variables it is no test and returns at once.
#[test]
fn child() {
    let Ok(store) = std::env::var(STORE) else { return };
    let (instance, receiver) = (std::env::var(INSTANCE).unwrap(), std::env::var(RECEIVER).unwrap());
    let receiver = receiver.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if store == "postgres" {
            let (pool, outbox) = postgres("crash", &instance).await;
            let house = House::open(outbox).await;
            let _running = house.dispatch(receiver, &instance);
            loop {
                let mut transaction = pool.begin().await.unwrap();
                let queued = house.outbox.enqueue_in(&mut transaction, &house.message()).await.unwrap();
                transaction.commit().await.unwrap();
                say(house.outbox.confirm(queued).await.unwrap().as_str());
            }
        } else {
            let (pool, outbox) = sqlite(&store).await;
            let house = House::open(outbox).await;
            let _running = house.dispatch(receiver, &instance);
            loop {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                let queued = house.outbox.enqueue_in(&mut transaction, &house.message()).await.unwrap();
                transaction.commit().await.unwrap();
                say(house.outbox.confirm(queued).await.unwrap().as_str());
            }
        }
    });
}

/// The one that is paused: enqueues one message, delivers, and at the end of its input says how many of its verdicts
/// were refused.
#[test]
fn paused_child() {
    let Ok(store) = std::env::var(STORE) else { return };
    let (instance, receiver) = (std::env::var(INSTANCE).unwrap(), std::env::var(RECEIVER).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(store, "postgres");
        let house = House::open(postgres("crash_pause", &instance).await.1).await;
        let mut limits = DispatchLimits::default();
        limits.lease = SHORT_LEASE;
        let running = house.dispatch_with(receiver.parse().unwrap(), &instance, limits);
        house.outbox.enqueue(&house.message()).await.unwrap();
        let wait = || std::io::stdin().read_line(&mut String::new());
        tokio::task::spawn_blocking(wait).await.unwrap().unwrap();
        let report = running.shutdown().await.unwrap();
        println!("report: {} delivered, {} fenced", report.delivered, report.fenced);
    });
}

#[test]
fn a_dispatcher_stopped_past_its_lease_is_fenced_off_when_it_wakes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if runtime.block_on(services::postgres("crash_pause")).is_none() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["paused_child", "--exact", "--nocapture"])
        .env(STORE, "postgres")
        .env(INSTANCE, "paused")
        .env(RECEIVER, address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut asked, _) = listener.accept().unwrap();
    let read_id = |stream: &TcpStream| {
        let mut id = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut id).unwrap();
        id
    };
    let id = read_id(&asked);
    let signal = |name: &str| {
        let done = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
        assert!(done.success());
    };
    signal("-STOP");
    runtime.block_on(async {
        let house = House::open(postgres("crash_pause", "other").await.1).await;
        let running = house.dispatch(address, "other");
        let answer = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let again = read_id(&stream);
            stream.write_all(b"ok").unwrap();
            again
        });
        assert_eq!(answer.await.unwrap(), id, "the other one takes over");
        assert_eq!(running.shutdown().await.unwrap().delivered, 1);
        assert_eq!(house.outbox.counts().await.unwrap().delivered, 1);
    });
    signal("-CONT");
    asked.write_all(b"ok").unwrap();
    drop(asked);
    drop(child.stdin.take());
    let mut out = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(out.contains("report: 0 delivered, 1 fenced"), "{out}");
}

/// The one whose file may not grow: enqueues until that fails.
#[test]
fn limited_child() {
    let Ok(store) = std::env::var(STORE) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let house = House::open(sqlite(&store).await.1).await;
        let refused = loop {
            match house.outbox.enqueue(&house.message()).await {
                Ok(id) => say(id.as_str()),
                Err(refused) => break refused,
            }
        };
        println!("refused {}", refused.code());
        // A dispatcher does no better.
        let receiver = std::env::var(RECEIVER).unwrap().parse().unwrap();
        let running = house.dispatch(receiver, "limited");
        let report = running.shutdown().await.unwrap();
        println!("store errors: {}", report.store_errors);
    });
}

#[test]
fn what_was_acknowledged_before_an_io_error_leaves_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let store = database.to_str().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    drop(runtime.block_on(sqlite(store)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (received, is_over) = (Received::default(), Arc::new(AtomicBool::new(false)));
    let receiver = thread::spawn({
        let (received, is_over) = (received.clone(), is_over.clone());
        move || receive(listener, received, is_over)
    });
    // Writes past a megabyte fail with EFBIG, which SQLite calls an I/O error.
    let limited = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" limited_child --exact --nocapture";
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .env(STORE, store)
        .env(RECEIVER, address.to_string())
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("refused outbox.io"), "{out}");
    assert!(!out.contains("store errors: 0"), "{out}");
    let acknowledged: BTreeSet<String> =
        out.lines().filter_map(|line| Some(line.split_once("acknowledged ")?.1.to_owned())).collect();
    assert!(acknowledged.len() > 10, "{out}");
    runtime.block_on(async {
        let house = House::open(sqlite(store).await.1).await;
        let running = house.dispatch(address, "limited");
        let begun = Instant::now();
        while house.outbox.counts().await.unwrap().delivered < acknowledged.len() as u64 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", house.outbox.counts().await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        running.shutdown().await.unwrap();
    });
    is_over.store(true, Ordering::SeqCst);
    drop(TcpStream::connect(address));
    receiver.join().unwrap();
    let received = received.lock().unwrap();
    assert!(acknowledged.iter().all(|id| received.contains_key(id)));
}

/// A process that enqueues and dispatches until it is killed.
struct Victim {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn start(store: &str, instance: &str, receiver: SocketAddr) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(STORE, store)
            .env(INSTANCE, instance)
            .env(RECEIVER, receiver.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Lets it acknowledge so many messages, or work for so long.
    fn live(&mut self, least: usize, time: Option<Duration>, acknowledged: &mut BTreeSet<String>) {
        let begun = Instant::now();
        let mut left = least;
        while left > 0 || time.is_some_and(|time| begun.elapsed() < time) {
            let line = self.lines.next().expect("the child lives until it is killed").unwrap();
            // The test harness may write before it on the same line.
            if let Some((_, id)) = line.split_once("acknowledged ") {
                acknowledged.insert(id.to_owned());
                left = left.saturating_sub(1);
            }
        }
    }

    fn kill(mut self, acknowledged: &mut BTreeSet<String>) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // What stood in the pipe had been said, whole lines at least.
        acknowledged.extend(self.lines.map_while(Result::ok).filter_map(|line| {
            let id = line.strip_prefix("acknowledged ")?;
            (id.len() == "msg_".len() + 22).then(|| id.to_owned())
        }));
    }
}

/// How long each life lasts: until so many acknowledgements, or with a variable, two seconds.
fn lives() -> (usize, Option<Duration>) {
    const EVERY: Duration = Duration::from_secs(2);
    match std::env::var(SECONDS) {
        Ok(seconds) => (seconds.parse::<usize>().unwrap() / 2, Some(EVERY)),
        Err(_) => (KILLS, None),
    }
}

#[test]
fn killed_again_and_again_sqlite_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let store = database.to_str().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (pool, outbox) = runtime.block_on(sqlite(store));
    let leased = || {
        runtime.block_on(async {
            sqlx::query_scalar(
                "SELECT m.id FROM webhook_delivery AS d JOIN webhook_message AS m USING (seq) WHERE d.state = 1",
            )
            .fetch_all(&pool)
            .await
            .unwrap()
        })
    };
    torture(store, &["only"], &runtime, outbox, |_| leased());
}

#[test]
fn killed_in_turns_two_dispatchers_on_postgresql_lose_nothing_that_was_acknowledged() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if runtime.block_on(services::postgres("crash")).is_none() {
        return;
    }
    let (pool, outbox) = runtime.block_on(postgres("crash", "parent"));
    let leased = |instance: &str| {
        runtime.block_on(async {
            // What the killed process had sent may still be under way in the server: nobody waits for that.
            sqlx::query_scalar(
                "SELECT m.id FROM webhook_delivery AS d JOIN webhook_message AS m USING (seq) \
                 JOIN webhook_worker AS w ON w.id = d.worker WHERE d.state = 1 AND w.instance = $1",
            )
            .bind(instance)
            .fetch_all(&pool)
            .await
            .unwrap()
        })
    };
    torture("postgres", &["crash-a", "crash-b"], &runtime, outbox, leased);
}

/// Kills the instances in turns. `leased` says what a killed one held.
fn torture<O: Outbox + Clone + 'static>(
    store: &str,
    instances: &[&str],
    runtime: &tokio::runtime::Runtime,
    outbox: O,
    leased: impl Fn(&str) -> Vec<String>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (received, is_over) = (Received::default(), Arc::new(AtomicBool::new(false)));
    let receiver = thread::spawn({
        let (received, is_over) = (received.clone(), is_over.clone());
        move || receive(listener, received, is_over)
    });

    let (kills, life) = lives();
    let (mut acknowledged, mut in_doubt) = (BTreeSet::new(), BTreeSet::new());
    let mut victims: Vec<Victim> =
        instances.iter().map(|instance| Victim::start(store, instance, address)).collect();
    for kill in 0..kills {
        let place = kill % instances.len();
        // Each life ends at another point: after 3, 20, 37 … acknowledgements.
        victims[place].live(3 + kill * 17 % 50, life, &mut acknowledged);
        let victim = victims.remove(place);
        victim.kill(&mut acknowledged);
        in_doubt.extend(leased(instances[place]));
        victims.insert(place, Victim::start(store, instances[place], address));
    }
    let mut held = Vec::new();
    for (victim, instance) in victims.into_iter().zip(instances) {
        victim.kill(&mut acknowledged);
        held.extend(leased(instance));
    }
    in_doubt.extend(held.iter().cloned());

    let recovery = runtime.block_on(async {
        let house = House::open(outbox).await;
        let begun = Instant::now();
        // With the default lease: what the killed ones held goes to their namesakes.
        let running: Vec<Running> =
            instances.iter().map(|instance| house.dispatch(address, instance)).collect();
        let mut waiting: Vec<MessageId> = held.iter().map(|id| MessageId::parse(id).unwrap()).collect();
        let mut recovery = None;
        loop {
            let counts = house.outbox.counts().await.unwrap();
            while let Some(id) = waiting.last() {
                let status = house.outbox.delivery(&house.to, id).await.unwrap().unwrap();
                if status.state != DeliveryState::Delivered {
                    break;
                }
                waiting.pop();
            }
            if waiting.is_empty() {
                recovery.get_or_insert(begun.elapsed());
            }
            if counts.pending + counts.leased == 0 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "not drained: {counts:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for running in running {
            running.shutdown().await.unwrap();
        }
        assert_eq!(house.outbox.counts().await.unwrap().dead, 0);
        recovery.unwrap_or_default()
    });
    is_over.store(true, Ordering::SeqCst);
    drop(TcpStream::connect(address));
    receiver.join().unwrap();

    let received = received.lock().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !received.contains_key(*id)).collect();
    let twice: Vec<_> = received.iter().filter(|(_, count)| **count > 1).map(|(id, _)| id).collect();
    println!(
        "{kills} kills: {} acknowledged, {} received, {} lost, {} duplicates, recovery of {} leases {recovery:?}",
        acknowledged.len(),
        received.len(),
        lost.len(),
        twice.len(),
        held.len(),
    );
    assert_eq!(lost, Vec::<&String>::new());
    assert!(recovery < Duration::from_secs(5), "{recovery:?}");
    let unexplained: Vec<_> = twice.into_iter().filter(|id| !in_doubt.contains(*id)).collect();
    assert_eq!(
        unexplained,
        Vec::<&String>::new(),
        "came twice without having been leased by a process that died"
    );
}
