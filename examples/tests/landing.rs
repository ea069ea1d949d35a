//! Where a real browser lands: headless Chromium is sent to everything `RedirectPolicy` emits, over `Location` and over
//! `Refresh`, and says which origin it ended up on.
//!
//! Skipped where no Chromium is found, unless `COMPLIANCE_REQUIRE_SERVICES=1`. The rows are those of
//! `vectors/redirects.json` and, where `COMPLIANCE_CORPUS` is set, of its `url/corpus.json`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use compliance_auth::redirect::{RedirectPolicy, SafeRedirect, Scheme};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use url::Url;

/// Everything together; on two cores with nothing else to do it takes ten to twenty seconds.
const PATIENCE: Duration = Duration::from_secs(600);

const CHROMIUM_FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
    // All names are one listener's, whose certificate is for none of them.
    "--ignore-certificate-errors",
    "--remote-debugging-port=0",
];

/// Runs in the page that opens one frame per row, a few at a time, and notes what each says of itself.
const HARNESS: &str = "<!doctype html><body><script>
const sources = SOURCES, landed = sources.map(() => null), frames = new Map();
let next = 0, left = sources.length;
function start() {
  if (next >= sources.length) return;
  const index = next++, frame = document.createElement('iframe');
  frame.src = sources[index][0];
  document.body.append(frame);
  frames.set(frame.contentWindow, [index, frame]);
  setTimeout(() => finish(frame), sources[index][1]);
}
function finish(frame) {
  if (!frame.isConnected) return;
  frame.remove();
  if (--left == 0) fetch('/__landed', {method: 'POST', body: JSON.stringify(landed)});
  start();
}
addEventListener('message', event => {
  const found = frames.get(event.source);
  if (!found || landed[found[0]]) return;
  landed[found[0]] = [event.origin, String(event.data)];
  finish(found[1]);
});
for (let i = 0; i < 16; i++) start();
</script>";

const LANDING: &str = "<!doctype html><script>parent.postMessage(location.href, '*')</script>";

struct Row {
    input: String,
    base: Url,
    allowed: Vec<String>,
    location: String,
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What the policy of the row emits.
fn emission(input: &str, context: &Value) -> Option<String> {
    let schemes = texts(&context["schemes"]);
    let scheme = |text| if text == "http" { Scheme::Http } else { Scheme::Https };
    let mut policy =
        RedirectPolicy::builder(context["base"].as_str()?).schemes(schemes.into_iter().map(scheme));
    for origin in texts(&context["allow_origins"]) {
        // Some rows allow an origin that IDNA refuses today.
        if let Ok(pattern) = origin.parse() {
            policy = policy.allow(pattern);
        }
    }
    policy.build().ok()?.check(input).ok().map(SafeRedirect::into_location)
}

fn accepted(rows: &[Value]) -> Vec<Row> {
    let row = |row: &Value| {
        let (input, context) = (row["input"].as_str()?, &row["context"]);
        let location = emission(input, context);
        match row["verdict"].as_str() {
            Some("allow") => assert!(location.is_some(), "{row}"),
            Some("deny") => assert!(location.is_none(), "{row}"),
            _ => {}
        }
        let base = Url::parse(context["base"].as_str()?).unwrap();
        let mut allowed = vec![base.origin().ascii_serialization()];
        allowed.extend(texts(&context["allow_origins"]).into_iter().map(str::to_owned));
        Some(Row { input: input.to_owned(), base, allowed, location: location? })
    };
    rows.iter().filter_map(row).collect()
}

fn rows() -> Vec<Row> {
    let read = |path: &Path| -> Value {
        serde_json::from_str(&std::fs::read_to_string(path).expect("the rows are there")).unwrap()
    };
    let own = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/redirects.json"));
    let mut rows = accepted(own["rows"].as_array().unwrap());
    assert!(rows.len() >= 30, "{} own rows", rows.len());
    match std::env::var_os("COMPLIANCE_CORPUS") {
        None => println!("skipped: COMPLIANCE_CORPUS is not set, so only the own rows are looked at"),
        Some(folder) => {
            let corpus = read(&PathBuf::from(folder).join("url/corpus.json"));
            let redirects: Vec<Value> = corpus["rows"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|row| row["kind"] == "redirect")
                .cloned()
                .collect();
            rows.extend(accepted(&redirects));
        }
    }
    rows
}

fn is_allowed(row: &Row, origin: &str) -> bool {
    row.allowed.iter().any(|pattern| match pattern.strip_prefix("https://*") {
        Some(domain) => origin.starts_with("https://") && origin.ends_with(domain),
        None => pattern == origin,
    })
}

/// Whether Chromium refuses to look the row's host up: a label that starts or ends with a hyphen is no host name
/// (RFC 1123 §2.1), though the URL standard has it. It then lands nowhere.
fn is_unresolvable(row: &Row) -> bool {
    let url = Url::parse(&row.location).unwrap();
    url.host_str().unwrap().split('.').any(|label| label.starts_with('-') || label.ends_with('-'))
}

/// A redirect from a page of the row's base.
fn source(base: &Url, kind: &str, index: usize) -> String {
    base.join(&format!("/__{kind}/{index}")).unwrap().into()
}

/// How many milliseconds a landing may take. Waiting for nothing is kept short.
const LANDING_LIMIT: u32 = 60_000;
const NOWHERE_LIMIT: u32 = 5_000;

/// What the one server of all hosts answers.
struct Site {
    harness: String,
    locations: Vec<String>,
    landed: mpsc::Sender<Value>,
}

impl Site {
    fn answer(&self, stream: &mut (impl Read + Write)) -> Option<()> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        let head_len = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
            bytes.extend(&buffer[..read]);
        };
        let head = String::from_utf8_lossy(&bytes[..head_len]).into_owned();
        let mut words = head.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let response = match (method, path) {
            ("POST", "/__landed") => {
                let header = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned)
                });
                let len: usize = header?.trim().parse().ok()?;
                while bytes.len() < head_len + len {
                    let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
                    bytes.extend(&buffer[..read]);
                }
                self.landed.send(serde_json::from_slice(&bytes[head_len..]).ok()?).ok()?;
                page("200 OK", "", "")
            }
            (_, "/__harness") => page("200 OK", "", &self.harness),
            _ => match (self.named(path, "/__location/"), self.named(path, "/__refresh/")) {
                (Some(to), _) => page("302 Found", &format!("location: {to}\r\n"), ""),
                (_, Some(to)) => page("200 OK", &format!("refresh: 0; url={to}\r\n"), "<!doctype html>"),
                _ => page("200 OK", "", LANDING),
            },
        };
        stream.write_all(response.as_bytes()).ok()?;
        stream.flush().ok()
    }

    fn named(&self, path: &str, prefix: &str) -> Option<&str> {
        let index: usize = path.strip_prefix(prefix)?.parse().ok()?;
        self.locations.get(index).map(String::as_str)
    }
}

fn page(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n{headers}connection: close\r\n\r\n{body}",
        body.len()
    )
}

fn tls() -> Arc<ServerConfig> {
    let certified = rcgen::generate_simple_self_signed(["everybody.invalid".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certified.cert.der().clone()], key).unwrap())
}

/// Plain HTTP and HTTPS on one port: a TLS session starts with a handshake record (22).
fn serve(mut stream: TcpStream, tls: Arc<ServerConfig>, site: &Site) {
    let mut first = [0];
    let quiet = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.peek(&mut first));
    if !matches!(quiet, Ok(1)) {
        return;
    }
    if first == [22] {
        let mut session = StreamOwned::new(ServerConnection::new(tls).unwrap(), stream);
        site.answer(&mut session);
        session.conn.send_close_notify();
        let _ = session.flush();
    } else {
        site.answer(&mut stream);
    }
}

struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|file| file.is_file())
}

/// What each source leads to within its milliseconds: the origin the browser says, and the address.
fn land(chromium: &Path, sources: &[(String, u32)], locations: Vec<String>) -> Vec<Value> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (landed, results) = mpsc::channel();
    let site = Site { harness: HARNESS.replace("SOURCES", &json!(sources).to_string()), locations, landed };
    let (site, tls) = (Arc::new(site), tls());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (site, tls) = (Arc::clone(&site), Arc::clone(&tls));
            std::thread::spawn(move || serve(stream, tls, &site));
        }
    });
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(chromium);
    command
        .args(CHROMIUM_FLAGS)
        .arg(format!("--host-resolver-rules=MAP * 127.0.0.1:{port}"))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg("http://harness.invalid/__harness")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _browser = Browser(command.spawn().unwrap());
    let Value::Array(results) = results.recv_timeout(PATIENCE).expect("the browser reports") else {
        panic!("expected an array")
    };
    results
}

#[test]
fn a_browser_lands_on_an_allowed_origin() {
    let required = std::env::var("COMPLIANCE_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
    let Some(chromium) = chromium() else {
        assert!(!required, "COMPLIANCE_REQUIRE_SERVICES is set: chromium must be there");
        println!("skipped: no chromium on the path");
        return;
    };
    let rows = rows();
    let mut locations: Vec<String> = rows.iter().map(|row| row.location.clone()).collect();
    let kinds = ["location", "refresh"];
    let limit = |row: &Row| if is_unresolvable(row) { NOWHERE_LIMIT } else { LANDING_LIMIT };
    let mut sources: Vec<(String, u32)> = Vec::new();
    for kind in kinds {
        let of_row = |(index, row): (usize, &Row)| (source(&row.base, kind, index), limit(row));
        sources.extend(rows.iter().enumerate().map(of_row));
    }
    // What the raw input would have done: the test can tell.
    let control = Url::parse("https://app.example/").unwrap();
    let hostile = ["//evil.example/", "/\\evil.example/", "https:\\\\evil.example", "/\t/evil.example/"];
    for input in hostile {
        locations.push(input.to_owned());
        let last = locations.len() - 1;
        sources.extend(kinds.map(|kind| (source(&control, kind, last), LANDING_LIMIT)));
    }
    let landed = land(&chromium, &sources, locations);
    assert_eq!(landed.len(), sources.len());
    let (ours, controls) = landed.split_at(rows.len() * kinds.len());
    for control in controls {
        assert_eq!(control[0], "https://evil.example", "{controls:?}");
    }
    let wrong: Vec<_> = ours
        .iter()
        .zip(rows.iter().cycle())
        .filter(|(landed, row)| {
            if landed.is_null() {
                return !is_unresolvable(row);
            }
            let without_fragment = |text: &str| text.split('#').next().unwrap_or_default().to_owned();
            let (origin, href) =
                (landed[0].as_str().unwrap_or_default(), landed[1].as_str().unwrap_or_default());
            !is_allowed(row, origin) || without_fragment(href) != without_fragment(&row.location)
        })
        .map(|(landed, row)| format!("{:?} emitted as {} landed on {landed}", row.input, row.location))
        .collect();
    println!("{} rows, each over {kinds:?}", rows.len());
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}
