//! kill -9, again and again: nothing acknowledged is lost, and what comes twice comes with the same id.
#![cfg(all(feature = "sqlite", unix))]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use compliance_core::clock::SystemClock;
use compliance_core::id::TenantId;
use compliance_core::seal::{KeyEncryptionKey, MemoryKeyStore};
use compliance_core::testing::{DeterministicRandom, MemorySink};
use compliance_webhook::deliver::{Answer, Attempt, Deliver, DeliverReason, Outcome};
use compliance_webhook::outbox::sqlite::{OutboxOptions, durable_options};
use compliance_webhook::outbox::{
    Dispatcher, EndpointBook, EndpointId, MemoryOutbox, NewMessage, Outbox, Running, SqliteOutbox,
};
use compliance_webhook::schedule::{Jitter, RetrySchedule};
use compliance_webhook::{EndpointPolicy, SigningKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const DATABASE: &str = "OUTBOX_CRASH_DATABASE";
const RECEIVER: &str = "OUTBOX_CRASH_RECEIVER";
const KILLS: usize = 12;

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
struct House {
    pool: sqlx::SqlitePool,
    outbox: SqliteOutbox,
    book: EndpointBook,
    to: EndpointId,
}

impl House {
    async fn open(database: &Path) -> Self {
        let pool = sqlx::SqlitePool::connect_with(durable_options(database)).await.unwrap();
        let outbox = SqliteOutbox::open(&pool, OutboxOptions::default()).await.unwrap();
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
            outbox.save_endpoint(&model.endpoint(&to).await.unwrap().unwrap()).await.unwrap();
        }
        Self { pool, outbox, book, to }
    }

    fn dispatch(&self, receiver: SocketAddr) -> Running {
        let schedule = RetrySchedule::new(&[Duration::ZERO; 20]).unwrap().with_jitter(Jitter::None);
        let sink = Arc::new(MemorySink::default());
        Dispatcher::new(self.outbox.clone(), self.book.clone(), Line(receiver), sink)
            .with_schedule(schedule)
            .spawn()
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

/// The victim. Without its variables it is no test and returns at once.
#[test]
fn child() {
    let Some(database) = std::env::var_os(DATABASE).map(PathBuf::from) else { return };
    let receiver = std::env::var(RECEIVER).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let house = House::open(&database).await;
        let _running = house.dispatch(receiver);
        let mut out = std::io::stdout();
        loop {
            let message = NewMessage::new(&tenant(), &house.to, b"{}".to_vec()).unwrap();
            let mut transaction = house.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
            let queued = house.outbox.enqueue_in(&mut transaction, &message).await.unwrap();
            transaction.commit().await.unwrap();
            let id = house.outbox.confirm(queued).await.unwrap();
            // From here on it counts as acknowledged.
            writeln!(out, "acknowledged {id}").unwrap();
            out.flush().unwrap();
        }
    });
}

#[test]
fn killed_again_and_again_it_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.db");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (received, is_over) = (Received::default(), Arc::new(AtomicBool::new(false)));
    let receiver = thread::spawn({
        let (received, is_over) = (received.clone(), is_over.clone());
        move || receive(listener, received, is_over)
    });

    let mut acknowledged = BTreeSet::new();
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(DATABASE, &database)
            .env(RECEIVER, address.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Each life ends at another point: after 3, 20, 37 … acknowledgements.
        let mut left = 3 + kill * 17 % 50;
        while left > 0 {
            let line = lines.next().expect("the child lives until it is killed").unwrap();
            // The test harness may write before it on the same line.
            if let Some((_, id)) = line.split_once("acknowledged ") {
                acknowledged.insert(id.to_owned());
                left -= 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What stood in the pipe had been said, whole lines at least.
        acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| {
            let id = line.strip_prefix("acknowledged ")?;
            (id.len() == "msg_".len() + 22).then(|| id.to_owned())
        }));
    }

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (in_doubt, recovery) = runtime.block_on(async {
        let house = House::open(&database).await;
        let before = house.outbox.counts().await.unwrap();
        let begun = Instant::now();
        let running = house.dispatch(address);
        let mut recovery = None;
        loop {
            let counts = house.outbox.counts().await.unwrap();
            if counts.delivered > before.delivered || before.pending + before.leased == 0 {
                recovery.get_or_insert(begun.elapsed());
            }
            if counts.pending + counts.leased == 0 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "not drained: {counts:?}");
            tokio::task::yield_now().await;
        }
        running.shutdown().await.unwrap();
        assert_eq!(house.outbox.counts().await.unwrap().dead, 0);
        (before.leased, recovery.unwrap_or_default())
    });
    is_over.store(true, Ordering::SeqCst);
    drop(TcpStream::connect(address));
    receiver.join().unwrap();

    let received = received.lock().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !received.contains_key(*id)).collect();
    let twice: usize = received.values().map(|count| count - 1).sum();
    println!(
        "{KILLS} kills: {} acknowledged, {} received, {} lost, {twice} duplicates, {in_doubt} leased at the end, \
         recovery {recovery:?}",
        acknowledged.len(),
        received.len(),
        lost.len(),
    );
    assert_eq!(lost, Vec::<&String>::new());
    assert!(recovery < Duration::from_secs(5), "{recovery:?}");
    // A duplicate can only be what was leased when a process was killed: two lines of one endpoint at most.
    assert!(twice <= KILLS * 64, "{twice} duplicates");
}
