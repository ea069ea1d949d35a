//! Processes and servers that die, or stop for a while, on the way from the database into the trail: everything
//! acknowledged is there once.

#![cfg(unix)]

mod database;
mod trace;
mod trail;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance_core::clock::SystemClock;
use compliance_core::event::{Durability, Sink as _};
use compliance_log::audit::postgres::{PostgresOptions, PostgresSink, Sequencer, SequencerErrorKind};
use compliance_log::audit::verify::verify;
use compliance_log::audit::{Verdict, VerifyOptions};
use database::{Database, drain_all, events, options, pool, server};
use trail::{Trail, config, event, key};

/// Server, schema and directory, for the process that is to die.
const VICTIM: [&str; 3] = ["AUDIT_POSTGRES_SERVER", "AUDIT_POSTGRES_SCHEMA", "AUDIT_POSTGRES_TRAIL"];

/// Set for a victim that ends when nothing waits any more.
const ONCE: &str = "AUDIT_POSTGRES_ONCE";

const LEASE: Duration = Duration::from_secs(1);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The victim: a sequencer that runs until it is killed. Without its variables it is no test and returns at once.
#[test]
fn child() {
    let [Ok(server), Ok(schema), Ok(dir)] = VICTIM.map(std::env::var) else { return };
    runtime().block_on(async {
        let pool = pool(options(&server, &schema)).await;
        let options = PostgresOptions::default();
        let config = config().segment_len(64 * 1024);
        let opened = Sequencer::open(&pool, options, PathBuf::from(dir), config, SystemClock).await;
        let mut sequencer = opened.unwrap().0.with_lease(LEASE);
        if std::env::var_os(ONCE).is_some() {
            drain_all(&mut sequencer).await;
            sequencer.close().await.unwrap();
            return;
        }
        sequencer.run(std::future::pending()).await.unwrap();
    });
}

fn sequencer_process(database: &Database, dir: &Path) -> Child {
    started(Command::new(std::env::current_exe().unwrap()), database, dir).spawn().unwrap()
}

fn started(mut command: Command, database: &Database, dir: &Path) -> Command {
    command.args(["child", "--exact", "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
    let values = [database.server.as_str(), database.schema.as_str(), dir.to_str().unwrap()];
    command.envs(VICTIM.into_iter().zip(values));
    command
}

fn signal(child: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until something is so. A machine may be slow, but not that slow.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), waiting).await.unwrap();
}

/// What was handed over, how, and what became of it.
#[derive(Default)]
struct Told {
    /// Acknowledged events, by what `event` was made of.
    acknowledged: Mutex<Vec<u64>>,
    /// Nobody knows whether they were kept.
    unknown: Mutex<Vec<u64>>,
    rolled_back: Mutex<Vec<u64>>,
    count: AtomicUsize,
    is_over: AtomicBool,
}

/// Hands events over from four callers, some inside transactions, every fifth of which rolls back.
async fn keep_busy(pool: sqlx::PgPool, sink: Arc<PostgresSink>, told: Arc<Told>) {
    let callers: Vec<_> = (0..4_u64)
        .map(|caller| {
            let (pool, sink, told) = (pool.clone(), sink.clone(), told.clone());
            tokio::spawn(async move {
                for number in (caller * 1_000_000)..(caller + 1) * 1_000_000 {
                    if told.is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    hand_over(&pool, &sink, &told, number, number.is_multiple_of(3)).await;
                    told.count.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

async fn hand_over(pool: &sqlx::PgPool, sink: &PostgresSink, told: &Told, number: u64, in_transaction: bool) {
    if !in_transaction {
        match sink.record(event(number)).await {
            Ok(receipt) => {
                receipt.redeem(&event(number), Durability::Remote).unwrap();
                told.acknowledged.lock().unwrap().push(number);
            }
            Err(error) if error.code() == "record.unavailable" => {}
            Err(error) => {
                assert_eq!(error.code(), "record.abandoned");
                told.unknown.lock().unwrap().push(number);
            }
        }
        return;
    }
    let Ok(mut transaction) = pool.begin().await else { return };
    let Ok(uncommitted) = sink.record_in(&mut transaction, &event(number)).await else { return };
    if number.is_multiple_of(5) {
        // A broken connection rolls back as well.
        drop(transaction.rollback().await);
        told.rolled_back.lock().unwrap().push(number);
        assert!(sink.confirm(uncommitted).await.is_err());
        return;
    }
    drop(transaction.commit().await);
    let mut uncommitted = Some(uncommitted);
    while let Some(asked) = uncommitted.take() {
        match sink.confirm(asked).await {
            Ok(receipt) => {
                receipt.redeem(&event(number), Durability::Remote).unwrap();
                told.acknowledged.lock().unwrap().push(number);
            }
            Err(error) if error.code() == "postgres.not_committed" => {}
            Err(error) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                uncommitted = Some(error.into_uncommitted());
            }
        }
    }
}

/// Everything acknowledged is in the trail once, nothing that was rolled back is, and nothing else but what nobody
/// knows of.
fn check(trail: &Trail, told: &Told) -> usize {
    let mut found: BTreeMap<_, usize> = BTreeMap::new();
    for event in events(trail) {
        *found.entry(event.digest()).or_default() += 1;
    }
    assert!(found.values().all(|count| *count == 1), "something is there twice");
    let acknowledged = told.acknowledged.lock().unwrap();
    let lost = acknowledged.iter().filter(|number| !found.contains_key(&event(**number).digest())).count();
    assert_eq!(lost, 0, "of {} acknowledged", acknowledged.len());
    for number in told.rolled_back.lock().unwrap().iter() {
        assert!(!found.contains_key(&event(*number).digest()), "{number} was rolled back");
    }
    let unknown = told.unknown.lock().unwrap().len();
    assert!(found.len() - acknowledged.len() <= unknown, "{} found, {unknown} unknown", found.len());
    let options = VerifyOptions::new().key(key().verifying_key().clone()).read_events();
    assert_eq!(verify(trail.path(), &options).unwrap().verdict(), Verdict::TamperDetecting);
    acknowledged.len()
}

#[test]
fn a_sequencer_killed_again_and_again_loses_and_doubles_nothing() {
    let Some(server) = server() else { return };
    let rounds = 8;
    runtime().block_on(async {
        let database = Database::new(server).await;
        let (sink, trail, told) = (Arc::new(database.sink().await), Trail::new(), Arc::<Told>::default());
        let busy = tokio::spawn(keep_busy(database.pool.clone(), sink.clone(), told.clone()));
        let drained = "SELECT count(*) FROM audit_event WHERE sequence IS NOT NULL";
        for round in 1..=rounds {
            let mut child = sequencer_process(&database, trail.path());
            let before = database.number(drained).await;
            // Killed at another moment each time, in the middle of the work.
            until(async || database.number(drained).await >= before + 31 * round).await;
            child.kill().unwrap();
            child.wait().unwrap();
        }
        told.is_over.store(true, Ordering::SeqCst);
        busy.await.unwrap();
        let mut sequencer = database.sequencer(&trail).await.unwrap();
        drain_all(&mut sequencer).await;
        sequencer.close().await.unwrap();
        let acknowledged = check(&trail, &told);
        assert_eq!(told.unknown.lock().unwrap().len(), 0, "the server was there all the time");
        println!("{rounds} kills, {acknowledged} acknowledged, 0 lost, 0 doubled");
        drop(sink);
        database.drop().await;
    });
}

/// Whatever system call on disk or network is a sequencer's last: the next one loses and doubles nothing.
#[test]
fn a_sequencer_may_die_at_any_system_call() {
    let Some(server) = server() else { return };
    if !trace::can_trace() {
        return;
    }
    runtime().block_on(async {
        let database = Database::new(server).await;
        let (sink, trail, told) = (database.sink().await, Trail::new(), Told::default());
        let (mut number, mut kills) = (0, 0);
        for call in ["write", "fdatasync", "rename", "sendto", "recvfrom"] {
            for when in [1, 2, 3, 5, 8, 13, 21, 34] {
                let recordings: Vec<_> =
                    (number..number + 30).map(|number| sink.record(event(number))).collect();
                for (number, recording) in (number..).zip(recordings) {
                    recording.await.unwrap().redeem(&event(number), Durability::Remote).unwrap();
                    told.acknowledged.lock().unwrap().push(number);
                }
                number += 30;
                let mut strace = Command::new("strace");
                let inject = format!("inject={call}:signal=SIGKILL:when={when}");
                strace.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
                strace.arg(std::env::current_exe().unwrap());
                let ended = started(strace, &database, trail.path()).env(ONCE, "1").status().unwrap();
                if ended.success() {
                    // So many calls are not made.
                    break;
                }
                kills += 1;
                // The server has not noticed yet; the next one is not kept from leading for ever.
                let gone = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
                    (SELECT oid FROM pg_database WHERE datname = current_database()) AND \
                    ((classid::bigint << 32) | objid::bigint) = \
                        hashtextextended('audit sequencer ' || 'audit_trail'::regclass::oid, 0)";
                until(async || database.number(gone).await == 0).await;
            }
        }
        let mut sequencer = database.sequencer(&trail).await.unwrap();
        drain_all(&mut sequencer).await;
        sequencer.close().await.unwrap();
        println!("{kills} kills, {} acknowledged, 0 lost, 0 doubled", check(&trail, &told));
        assert!(kills >= 20, "{kills} kills");
        drop(sink);
        database.drop().await;
    });
}

#[test]
fn a_sequencer_stopped_past_its_lease_is_fenced_and_goes_on_where_it_was() {
    let Some(server) = server() else { return };
    runtime().block_on(async {
        let database = Database::new(server).await;
        let (sink, trail, told) = (Arc::new(database.sink().await), Trail::new(), Arc::<Told>::default());
        let busy = tokio::spawn(keep_busy(database.pool.clone(), sink.clone(), told.clone()));
        let drained = "SELECT count(*) FROM audit_event WHERE sequence IS NOT NULL";
        let leaders = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted \
            AND pid IN (SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend') \
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
            AND ((classid::bigint << 32) | objid::bigint) = \
                hashtextextended('audit sequencer ' || 'audit_trail'::regclass::oid, 0)";
        let mut child = sequencer_process(&database, trail.path());
        for round in 1..=3 {
            let before = database.number(drained).await;
            until(async || database.number(drained).await >= before + 20 * round).await;
            assert_eq!(database.number(leaders).await, 1);
            signal(&child, "-STOP");
            // The server ends its session, and with it the lock.
            until(async || database.number(leaders).await == 0).await;
            // The directory is still the stopped one's; a trail elsewhere is not the database's.
            let locked = database.sequencer(&trail).await.unwrap_err();
            assert_eq!(locked.code(), "audit.locked");
            let elsewhere = Trail::new();
            let mut other = database.sequencer(&elsewhere).await.unwrap();
            let error = other.drain().await.unwrap_err();
            assert!(matches!(error.kind(), SequencerErrorKind::TrailBehind { .. }), "{error}");
            drop(other);
            signal(&child, "-CONT");
        }
        let before = database.number(drained).await;
        until(async || database.number(drained).await > before).await;
        child.kill().unwrap();
        child.wait().unwrap();
        told.is_over.store(true, Ordering::SeqCst);
        busy.await.unwrap();
        let mut sequencer = database.sequencer(&trail).await.unwrap();
        drain_all(&mut sequencer).await;
        sequencer.close().await.unwrap();
        println!("3 stops, {} acknowledged, 0 lost, 0 doubled", check(&trail, &told));
        drop(sink);
        database.drop().await;
    });
}

/// A server of this test's own, to be crashed.
struct Cluster {
    bin: PathBuf,
    dir: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    /// `None`, said aloud, where the server's programs are not installed.
    fn new() -> Option<Self> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let bin =
            versions.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max();
        let Some(bin) = bin else {
            assert_ne!(
                std::env::var("COMPLIANCE_REQUIRE_SERVICES").as_deref(),
                Ok("1"),
                "initdb is not there"
            );
            println!("skipped: initdb is not there");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { bin, dir, port: free };
        if is_root() {
            let owner = Command::new("chown").arg("postgres").arg(cluster.dir.path()).status().unwrap();
            assert!(owner.success());
        }
        let made =
            cluster.run("initdb", &["-U", "compliance", "--auth=trust", "-E", "UTF8", "--no-locale", "-N"]);
        assert!(made, "initdb failed");
        Some(cluster)
    }

    /// Runs one of the server's programs on the cluster; the server refuses to run as root.
    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let path = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.arg("-D").arg(self.dir.path().join("data")).args(arguments);
        command.stdout(Stdio::null()).stderr(Stdio::null()).current_dir(self.dir.path());
        command.status().unwrap().success()
    }

    fn start(&self) {
        let settings = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={}",
            self.port,
            self.dir.path().display()
        );
        let log = self.dir.path().join("log");
        assert!(self.run("pg_ctl", &["-w", "-l", log.to_str().unwrap(), "-o", &settings, "start"]));
    }

    /// As when the power goes: no goodbye to anybody, nothing written that was not.
    fn crash(&self) {
        assert!(self.run("pg_ctl", &["-w", "-m", "immediate", "stop"]));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.run("pg_ctl", &["-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

#[test]
fn a_server_that_crashes_again_and_again_loses_and_doubles_nothing() {
    let Some(cluster) = server().and_then(|_| Cluster::new()) else { return };
    cluster.start();
    runtime().block_on(async {
        let address = format!("postgres://compliance@127.0.0.1:{}/postgres", cluster.port);
        let database = Database::new(address).await;
        let patient = PostgresOptions::default().patience(Duration::from_secs(600));
        let sink = Arc::new(PostgresSink::open(&database.pool, patient).await.unwrap());
        let (trail, told) = (Trail::new(), Arc::<Told>::default());
        let busy = tokio::spawn(keep_busy(database.pool.clone(), sink.clone(), told.clone()));
        let sequencer = database.sequencer(&trail).await.unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let sequencing = tokio::spawn(sequencer.run(async move { drop(stopped.await) }));
        for round in 1..=4 {
            let before = told.count.load(Ordering::SeqCst);
            until(async || told.count.load(Ordering::SeqCst) >= before + 40 * round).await;
            cluster.crash();
            cluster.start();
        }
        told.is_over.store(true, Ordering::SeqCst);
        busy.await.unwrap();
        drop(stop);
        sequencing.await.unwrap().unwrap();
        let mut sequencer = database.sequencer(&trail).await.unwrap();
        until(async || sequencer.drain().await.is_ok_and(|taken| taken == 0)).await;
        sequencer.close().await.unwrap();
        println!("4 crashes, {} acknowledged, 0 lost, 0 doubled", check(&trail, &told));
        drop(sink);
        database.pool.close().await;
    });
}
