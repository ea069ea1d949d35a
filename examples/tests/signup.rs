//! The signup story as a program: its round, hostile requests, and a kill in the middle.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use compliance_core::event::EventKind;
use compliance_log::audit::segment::records;
use compliance_log::audit::verify::{Verdict, VerifyOptions, verify};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

/// A running service on a port of its own, killed when dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// `hour` of the day for which the embedded data is young, so that the test outlives the data.
    fn start(data: &Path, hour: usize) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_signup"))
            .args(["--listen", "127.0.0.1:0", "--at", &format!("2026-11-21T{hour:02}:00:00Z"), "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url =
            line.split_whitespace().find(|word| word.starts_with("http://")).expect("the page's address");
        let address = url.trim_start_matches("http://").trim_end_matches("/signup").parse().unwrap();
        Self { child, address }
    }

    /// Sends bytes and reads the answer until the server closes; `None` when it closed without one.
    fn send(&self, request: &[u8]) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // A server that has seen enough may close while we still write.
        drop(stream.write_all(request));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
    }

    fn post(&self, form: &[u8]) -> Option<String> {
        self.post_as(form, "1.1.1.1")
    }

    fn post_as(&self, form: &[u8], address: &str) -> Option<String> {
        let head = format!(
            "POST /signup HTTP/1.1\r\nhost: lantern.example\r\nconnection: close\r\nx-forwarded-for: {address}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
            form.len()
        );
        self.send(&[head.as_bytes(), form].concat())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGKILL: nothing is told, nothing is flushed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(unix)]
#[test]
fn a_service_that_is_told_to_end_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_signup"))
        .args(["--listen", "127.0.0.1:0"])
        .env("TMPDIR", scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("The page: ")));
    assert!(std::fs::read_dir(scratch.path()).unwrap().next().is_some());
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert!(std::fs::read_dir(scratch.path()).unwrap().next().is_none());
}

fn status(answer: Option<&str>) -> u16 {
    answer.and_then(|answer| answer.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

#[test]
fn the_round_goes_as_it_should() {
    let output = Command::new(env!("CARGO_BIN_EXE_signup")).arg("--once").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches('✓').count(), 8, "{text}");
    assert!(!text.contains('✗'), "{text}");
}

#[test]
fn wrong_arguments_are_told_and_exit_2() {
    for args in [&["--twice"][..], &["--listen", "nowhere"], &["--data"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_signup")).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("usage: signup"));
    }
}

#[test]
fn help_is_no_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_signup")).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("usage: signup"));
}

#[test]
fn hostile_requests_get_4xx_and_the_service_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let service = Running::start(data.path(), 12);
    #[track_caller]
    fn check(answer: Option<String>, expected: &[u16]) {
        let found = status(answer.as_deref());
        assert!(expected.contains(&found), "expected {expected:?}, found {found}");
        let answer = answer.unwrap_or_default();
        assert!(!answer.contains("mallory"), "the answer echoes the input");
    }

    check(
        service.post(&[b"email=mallory@example.com&password=".as_slice(), &vec![b'x'; 200_000]].concat()),
        &[413],
    );
    check(service.post(b"email=%ff%fe&password=%80mallory"), &[400, 422]);
    check(service.post(b"email=mallory@example.com"), &[400, 422]);
    check(service.post(b""), &[400, 422]);
    check(service.post(b"email=a@b.example&email=mallory@b.example&password=x"), &[400, 422]);
    check(service.post_as(b"email=mallory@example.com&password=x", "mallory"), &[403]);
    check(service.post_as(b"email=mallory@example.com&password=x", "127.0.0.1"), &[403]);
    let many: String = (0..2_000).map(|n| format!("x-{n}: mallory\r\n")).collect();
    check(service.send(format!("GET /signup HTTP/1.1\r\nhost: a\r\n{many}\r\n").as_bytes()), &[431]);
    let long = format!("GET /signup HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "mallory".repeat(100_000));
    check(service.send(long.as_bytes()), &[431]);
    check(service.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), &[400]);
    check(service.send(b"GET /signup HTTP/9.9\r\n\r\n"), &[400, 505]);
    check(
        service.send(
            b"DELETE /signup HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.1.1.1\r\nconnection: close\r\n\r\n",
        ),
        &[405],
    );
    check(
        service.send(
            b"GET /mallory HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.1.1.1\r\nconnection: close\r\n\r\n",
        ),
        &[404],
    );

    let good = service
        .post(b"email=anna@example.com&password=ein+Wal+kennt+keinen+Bahnsteig&next=/dashboard")
        .unwrap();
    assert_eq!(status(Some(&good)), 303, "{good}");
    assert!(good.contains(&format!("location: http://{}/dashboard\r\n", service.address)), "{good}");
}

#[test]
fn somebody_who_has_an_account_gets_the_same_answer_as_somebody_who_has_none() {
    let data = tempfile::tempdir().unwrap();
    let service = Running::start(data.path(), 12);
    let sign_up = || {
        let answer = service.post(b"email=anna@example.com&password=ein+Wal+kennt+keinen+Bahnsteig").unwrap();
        let kept =
            answer.lines().filter(|line| !line.starts_with("x-request-id") && !line.starts_with("date"));
        kept.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(sign_up(), sign_up());
}

/// Acknowledged means: the answer arrived. Whatever was acknowledged before a SIGKILL has its account, its audit
/// record and its webhook afterwards, and after a restart the webhook arrives.
#[test]
fn a_kill_loses_no_acknowledged_sign_up_audit_record_or_webhook() {
    const KILLS: usize = 3;
    let data = tempfile::tempdir().unwrap();
    let mut acknowledged = 0_usize;
    for round in 0..KILLS {
        let service = Running::start(data.path(), round);
        let deadline = Instant::now() + Duration::from_millis(1_500);
        let answered = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let service = &service;
                    scope.spawn(move || {
                        let mut answered = 0;
                        while Instant::now() < deadline {
                            let form = format!(
                                "email=user-{round}-{client}-{answered}@example.com&password=ein+Wal+kennt+keinen+Bahnsteig"
                            );
                            if status(service.post(form.as_bytes()).as_deref()) == 303 {
                                answered += 1;
                            }
                        }
                        answered
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>()
        });
        // Four more are under way when the process dies.
        for client in 0..4 {
            let form =
                format!("email=late-{round}-{client}@example.com&password=ein+Wal+kennt+keinen+Bahnsteig");
            let request = format!(
                "POST /signup HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.1.1.1\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                 content-length: {}\r\n\r\n{form}",
                form.len()
            );
            let mut stream = TcpStream::connect(service.address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
        }
        drop(service);
        assert!(answered > 0, "nobody signed up in round {round}");
        acknowledged += answered;
    }

    let service = Running::start(data.path(), KILLS);
    let counts =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let file = SqliteConnectOptions::new().filename(data.path().join("lantern.sqlite"));
            let pool = SqlitePool::connect_with(file).await.unwrap();
            let count = async |query: &'static str| {
                sqlx::query_as::<_, (i64,)>(query).fetch_one(&pool).await.unwrap().0
            };
            let deadline = Instant::now() + Duration::from_secs(30);
            loop {
                let waiting = count("SELECT count(*) FROM webhook_delivery WHERE state <> 2").await;
                if waiting == 0 || Instant::now() > deadline {
                    let accounts = count("SELECT count(*) FROM account").await;
                    let messages = count("SELECT count(*) FROM webhook_message").await;
                    return (accounts, messages, waiting);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    drop(service);

    let trail = data.path().join("trail");
    let created = records(&trail)
        .unwrap()
        .map(Result::unwrap)
        .filter(|record| record.event().kind() == EventKind::AccountCreated)
        .count();
    let (accounts, messages, waiting) = counts;
    println!(
        "{KILLS} kills: {acknowledged} acknowledged, {accounts} accounts, {created} audit records, {messages} webhooks, {waiting} undelivered"
    );
    let acknowledged = i64::try_from(acknowledged).unwrap();
    assert!(accounts >= acknowledged, "accounts were lost");
    assert_eq!(messages, accounts, "an account without its webhook, or the other way round");
    assert_eq!(waiting, 0, "webhooks that did not arrive");
    // A record may be there for a sign-up that was not committed, never the other way round.
    assert!(i64::try_from(created).unwrap() >= accounts, "audit records were lost");
    let report = verify(&trail, &VerifyOptions::new()).unwrap();
    assert_eq!(report.verdict(), Verdict::TamperDetecting);
}
