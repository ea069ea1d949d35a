//! A schema of its own on the PostgreSQL server of the tests, and a proxy that cuts connections where told.
#![expect(dead_code, reason = "each test file uses a part")]

use std::net::SocketAddr;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use compliance_core::clock::{ManualClock, SystemClock};
use compliance_core::event::Event;
use compliance_core::random::{SecureRandom as _, SystemRandom};
use compliance_log::audit::postgres::{PostgresOptions, PostgresSink, Sequencer, SequencerError};
use compliance_log::audit::segment::records;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The server's address; `None`, said aloud, when there is none and none is required.
pub(crate) fn server() -> Option<String> {
    let server = std::env::var("COMPLIANCE_TEST_POSTGRES").ok();
    if server.is_none() {
        assert_ne!(
            std::env::var("COMPLIANCE_REQUIRE_SERVICES").as_deref(),
            Ok("1"),
            "COMPLIANCE_TEST_POSTGRES is not set"
        );
        println!("skipped: COMPLIANCE_TEST_POSTGRES is not set");
    }
    server
}

pub(crate) fn options(server: &str, schema: &str) -> PgConnectOptions {
    let quiet = [("search_path", schema), ("client_min_messages", "warning")];
    PgConnectOptions::from_str(server).unwrap().options(quiet)
}

pub(crate) async fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(5).connect_with(options).await.unwrap()
}

/// A schema nobody else uses.
pub(crate) struct Database {
    pub(crate) server: String,
    pub(crate) schema: String,
    pub(crate) pool: PgPool,
}

impl Database {
    pub(crate) async fn new(server: String) -> Self {
        let mut random = [0; 8];
        SystemRandom.fill(&mut random).unwrap();
        let schema = format!("audit_{:016x}", u64::from_be_bytes(random));
        let first = pool(PgConnectOptions::from_str(&server).unwrap()).await;
        sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&first).await.unwrap();
        first.close().await;
        let pool = pool(options(&server, &schema)).await;
        Self { server, schema, pool }
    }

    pub(crate) async fn sink(&self) -> PostgresSink {
        PostgresSink::open(&self.pool, PostgresOptions::default()).await.unwrap()
    }

    pub(crate) async fn sequencer(&self, trail: &crate::trail::Trail) -> Result<Sequencer, SequencerError> {
        let clock = ManualClock::at("2026-11-21T12:00:00Z".parse().unwrap());
        let config = crate::trail::config();
        let opened =
            Sequencer::open(&self.pool, PostgresOptions::default(), trail.path(), config, clock).await;
        opened.map(|(sequencer, _)| sequencer)
    }

    pub(crate) async fn run(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.pool).await.unwrap()
    }

    /// Drops the schema. A test that failed leaves it for whoever looks.
    pub(crate) async fn drop(self) {
        self.run(&format!("DROP SCHEMA {} CASCADE", self.schema)).await;
        self.pool.close().await;
    }
}

/// Takes over until nothing waits.
pub(crate) async fn drain_all(sequencer: &mut Sequencer) -> usize {
    let mut total = 0;
    loop {
        match sequencer.drain().await.unwrap() {
            0 => return total,
            taken => total += taken,
        }
    }
}

pub(crate) fn events(trail: &crate::trail::Trail) -> Vec<Event> {
    records(trail.path()).unwrap().map(|record| record.unwrap().event().clone()).collect()
}

pub(crate) fn clock() -> SystemClock {
    SystemClock
}

/// Where a proxied connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Before the server hears of it.
    Before,
    /// After the server has done it, before the client hears.
    After,
}

/// What is cut: the words in a message, and when.
type Plan = Arc<Mutex<Option<(Vec<u8>, Cut)>>>;

/// Stands between a client and the server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    plan: Plan,
    /// Only every so-many-th message with the words is cut.
    every: Arc<AtomicUsize>,
    seen: Arc<AtomicUsize>,
    pub(crate) cuts: Arc<AtomicU64>,
    gone: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: &str) -> Self {
        let server = PgConnectOptions::from_str(server).unwrap();
        let target = format!("{}:{}", server.get_host(), server.get_port());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plan = Plan::default();
        let (every, seen) = (Arc::new(AtomicUsize::new(1)), Arc::<AtomicUsize>::default());
        let (cuts, gone) = (Arc::<AtomicU64>::default(), Arc::<Notify>::default());
        let task = tokio::spawn({
            let (plan, every, seen, cuts, gone) =
                (plan.clone(), every.clone(), seen.clone(), cuts.clone(), gone.clone());
            async move {
                loop {
                    let Ok((client, _)) = listener.accept().await else { return };
                    let (target, plan, every, seen, cuts, gone) = (
                        target.clone(),
                        plan.clone(),
                        every.clone(),
                        seen.clone(),
                        cuts.clone(),
                        gone.clone(),
                    );
                    tokio::spawn(async move {
                        let Ok(server) = TcpStream::connect(&target).await else { return };
                        let is_cut = |bytes: &[u8]| {
                            let plan = plan.lock().unwrap().clone();
                            let (words, cut) = plan?;
                            let has_words = bytes.windows(words.len()).any(|window| window == words);
                            let count = has_words.then(|| seen.fetch_add(1, Ordering::SeqCst) + 1)?;
                            (count % every.load(Ordering::SeqCst) == 0).then_some(cut)
                        };
                        tokio::select! {
                            () = forward(client, server, is_cut, &cuts) => {}
                            () = gone.notified() => {}
                        }
                    });
                }
            }
        });
        Self { address, plan, every, seen, cuts, gone, task }
    }

    /// The server's address by way of the proxy.
    pub(crate) fn server(&self, server: &str) -> String {
        let from = PgConnectOptions::from_str(server).unwrap();
        server.replace(&format!("{}:{}", from.get_host(), from.get_port()), &self.address.to_string())
    }

    /// Cuts every `every`-th message with these words.
    pub(crate) fn cut(&self, words: &str, cut: Cut, every: usize) {
        self.every.store(every, Ordering::SeqCst);
        self.seen.store(0, Ordering::SeqCst);
        *self.plan.lock().unwrap() = Some((words.as_bytes().to_vec(), cut));
    }

    pub(crate) fn heal(&self) {
        *self.plan.lock().unwrap() = None;
    }

    /// No connection is taken any more, and those there are end.
    pub(crate) fn go(&self) {
        self.task.abort();
        self.gone.notify_waiters();
    }
}

/// Forwards until one side ends or a message is to be cut.
async fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    is_cut: impl Fn(&[u8]) -> Option<Cut>,
    cuts: &AtomicU64,
) {
    let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                let cut = is_cut(&up[..read]);
                if cut == Some(Cut::Before) {
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                if server.write_all(&up[..read]).await.is_err() {
                    return;
                }
                if cut == Some(Cut::After) {
                    // The answer says that it is done.
                    let _ = server.read(&mut down).await;
                    cuts.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                if client.write_all(&down[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}
