//! Checkpoints in a bucket: kept once, under a lock nobody can lift, or not kept.

mod trail;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_log::audit::SignedCheckpoint;
use compliance_log::audit::anchor::{Anchor, AnchorError, LOCK_TOLERANCE, S3Anchor};
use compliance_log::audit::verify::verify;
use compliance_log::audit::{CheckpointKey, Verdict, VerifyOptions};
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpService,
};
use trail::{Trail, key};

const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// How the bucket behaves.
#[derive(Clone, Default)]
struct Manners {
    mode: Option<&'static str>,
    until: Option<String>,
    /// Answers every request so.
    status: Option<u16>,
    /// Takes the object, then drops the connection instead of answering.
    drops_puts: usize,
}

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Vec<u8>>,
    manners: Manners,
    requests: Vec<String>,
}

/// A server that speaks as much of the S3 protocol as an anchor needs, on the loopback interface.
struct Server {
    at: SocketAddr,
    bucket: Arc<Mutex<Bucket>>,
}

impl Server {
    fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let bucket = Arc::new(Mutex::new(Bucket { manners, ..Bucket::default() }));
        let shared = Arc::clone(&bucket);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &shared);
            }
        });
        Self { at, bucket }
    }

    fn anchor(&self) -> S3Anchor {
        let bucket = AmazonS3Builder::new()
            .with_endpoint(format!("http://{}", self.at))
            .with_allow_http(true)
            .with_bucket_name("anchors")
            .with_region("eu-central-1")
            .with_access_key_id("writer")
            .with_secret_access_key("secret");
        S3Anchor::new(bucket, Plain, "test.example/audit", YEAR * 10).unwrap()
    }
}

fn answer(stream: TcpStream, bucket: &Mutex<Bucket>) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let (mut length, mut is_conditional, mut is_signed, mut sums) = (0, false, false, 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        is_conditional |= header == "if-none-match: *";
        sums +=
            usize::from(header.starts_with("x-amz-checksum-sha256: ") || header.starts_with("content-md5: "));
        is_signed |= header.starts_with("authorization: aws4-hmac-sha256 ");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let (path, query) = words[1].split_once('?').unwrap_or((words[1], ""));
    let mut bucket = bucket.lock().unwrap();
    bucket.requests.push(words[0].to_owned());
    assert!(is_signed, "every request is signed");
    let mut lock = String::new();
    if let Some(mode) = bucket.manners.mode {
        lock += &format!("x-amz-object-lock-mode: {mode}\r\n");
    }
    if let Some(until) = &bucket.manners.until {
        lock += &format!("x-amz-object-lock-retain-until-date: {until}\r\n");
    }
    let (status, headers, content) = match (bucket.manners.status, words[0]) {
        (Some(status), _) => (status, String::new(), Vec::new()),
        (None, "PUT") => {
            assert!(is_conditional, "nothing is ever replaced");
            assert_eq!(sums, 2, "stores refuse an object under a lock without the one or the other checksum");
            if bucket.objects.contains_key(path) {
                (412, String::new(), Vec::new())
            } else {
                bucket.objects.insert(path.to_owned(), body);
                if bucket.manners.drops_puts > 0 {
                    bucket.manners.drops_puts -= 1;
                    return;
                }
                (200, "etag: \"1\"\r\n".to_owned(), Vec::new())
            }
        }
        (None, "GET") if query.contains("list-type=2") => {
            let mut listed =
                String::from("<ListBucketResult><Name>anchors</Name><IsTruncated>false</IsTruncated>");
            for (name, content) in &bucket.objects {
                listed += &format!(
                    "<Contents><Key>{}</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified>\
                     <ETag>\"1\"</ETag><Size>{}</Size></Contents>",
                    name.strip_prefix("/anchors/").unwrap(),
                    content.len()
                );
            }
            (200, String::new(), (listed + "</ListBucketResult>").into_bytes())
        }
        (None, "GET") => match bucket.objects.get(path) {
            Some(content) => {
                let headers =
                    format!("etag: \"1\"\r\nlast-modified: Sat, 21 Nov 2026 12:00:00 GMT\r\n{lock}");
                (200, headers, content.clone())
            }
            None => (404, String::new(), Vec::new()),
        },
        other => panic!("{other:?}"),
    };
    drop(bucket);
    let mut stream = reader.into_inner();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        content.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content)).unwrap();
}

/// HTTP/1.1 without anything, one connection a request.
#[derive(Debug)]
struct Plain;

impl HttpConnector for Plain {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self))
    }
}

impl HttpService for Plain {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = http_body_util::BodyExt::collect(body).await?.to_bytes();
            send(&parts, &body).map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))
        })
    }
}

fn send(request: &http::request::Parts, body: &[u8]) -> std::io::Result<HttpResponse> {
    let uri = &request.uri;
    let mut stream = TcpStream::connect(uri.authority().unwrap().as_str())?;
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\n",
        request.method,
        uri.path_and_query().unwrap(),
        uri.authority().unwrap()
    );
    for (name, value) in &request.headers {
        if !["host", "content-length"].contains(&name.as_str()) {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
    }
    stream
        .write_all(format!("{head}content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let at = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8(answer[..at].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let mut response = http::Response::builder().status(status);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        response = response.header(name, value);
    }
    Ok(response.body(answer[at + 4..].to_vec().into()).unwrap())
}

fn locked(mode: &'static str, until: Timestamp) -> Manners {
    Manners { mode: Some(mode), until: Some(until.to_string()), ..Manners::default() }
}

fn checkpoint() -> SignedCheckpoint {
    Trail::new().record(3)
}

#[track_caller]
fn check(manners: Manners, expected: Result<(), AnchorError>) {
    let server = Server::start(manners);
    assert_eq!(server.anchor().publish(&checkpoint()), expected);
}

#[test]
fn a_checkpoint_under_a_compliance_lock_that_lasts_is_kept() {
    let at = checkpoint().at();
    check(locked("COMPLIANCE", at.saturating_add(YEAR * 10)), Ok(()));
    check(locked("COMPLIANCE", at.saturating_add(YEAR * 100)), Ok(()));
    check(locked("COMPLIANCE", at.saturating_add(YEAR * 10 - LOCK_TOLERANCE)), Ok(()));
}

#[test]
fn a_lock_that_somebody_can_lift_or_that_ends_too_early_is_none() {
    let at = checkpoint().at();
    let refused = Err(AnchorError::NotLocked);
    check(Manners::default(), refused);
    check(locked("GOVERNANCE", at.saturating_add(YEAR * 10)), refused);
    check(locked("compliance", at.saturating_add(YEAR * 10)), refused);
    check(locked("COMPLIANCE", at.saturating_add(YEAR * 9)), refused);
    let shy = YEAR * 10 - LOCK_TOLERANCE - Duration::from_secs(1);
    check(locked("COMPLIANCE", at.saturating_add(shy)), refused);
    check(Manners { mode: Some("COMPLIANCE"), ..Manners::default() }, refused);
    check(
        Manners { mode: Some("COMPLIANCE"), until: Some("later".to_owned()), ..Manners::default() },
        refused,
    );
}

#[test]
fn a_store_that_does_not_answer_keeps_nothing() {
    for status in [403, 404, 301] {
        check(Manners { status: Some(status), ..Manners::default() }, Err(AnchorError::Unavailable));
    }
}

#[test]
fn the_same_again_is_no_error_and_another_contradicts() {
    let trail = Trail::new();
    let first = trail.record(3);
    let server = Server::start(locked("COMPLIANCE", first.at().saturating_add(YEAR * 10)));
    let anchor = server.anchor();
    let keys = [key().verifying_key().clone()];
    assert_eq!(anchor.latest(&keys), Ok(None));
    assert_eq!(anchor.publish(&first), Ok(()));
    assert_eq!(anchor.publish(&first), Ok(()));
    // Another history under the same number.
    let forged = Trail::new().record(4);
    assert_eq!(forged.number(), first.number());
    assert_eq!(anchor.publish(&forged), Err(AnchorError::Contradicts));
    let second = trail.record(2);
    assert_eq!(anchor.publish(&second), Ok(()));
    // Whatever else lies under a higher number hides nothing.
    for (number, content) in
        [(u64::MAX, b"garbage".to_vec()), (u64::MAX - 1, first.note().as_bytes().to_vec())]
    {
        let name = format!("/anchors/test.example/audit/{number:020}.checkpoint");
        server.bucket.lock().unwrap().objects.insert(name, content);
    }
    let latest = anchor.latest(&keys).unwrap().unwrap();
    assert_eq!(latest.verify(key().verifying_key()).unwrap(), second);
    let options = VerifyOptions::new().key(key().verifying_key().clone()).anchor(latest);
    assert_eq!(verify(trail.path(), &options).unwrap().verdict(), Verdict::TamperEvident { since: 5 });
    let names: Vec<_> = server.bucket.lock().unwrap().objects.keys().cloned().collect();
    assert_eq!(names[0], format!("/anchors/test.example/audit/{:020}.checkpoint", first.number()));
}

#[test]
fn an_answer_that_was_lost_is_made_up_for_by_reading() {
    let checkpoint = checkpoint();
    let until = checkpoint.at().saturating_add(YEAR * 10);
    let server = Server::start(Manners { drops_puts: 1, ..locked("COMPLIANCE", until) });
    let anchor = server.anchor();
    // The store has it, the writer does not know: told as not kept, or found by the retry. Never twice, never lost.
    let first = anchor.publish(&checkpoint);
    assert!(matches!(first, Ok(()) | Err(AnchorError::Unavailable)));
    assert_eq!(anchor.publish(&checkpoint), Ok(()));
    assert_eq!(server.bucket.lock().unwrap().objects.len(), 1);
}

#[test]
fn an_unlocked_object_is_no_anchor_to_read_either() {
    let checkpoint = checkpoint();
    let server = Server::start(locked("COMPLIANCE", checkpoint.at().saturating_add(YEAR * 10)));
    let anchor = server.anchor();
    assert_eq!(anchor.publish(&checkpoint), Ok(()));
    server.bucket.lock().unwrap().manners = Manners::default();
    let keys = [key().verifying_key().clone()];
    assert_eq!(anchor.latest(&keys), Err(AnchorError::NotLocked));
    let other = CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    assert_eq!(anchor.latest(&[other.verifying_key().clone()]), Ok(None), "nobody's");
}
