//! The toolbox as a program: one answer per line, in order, whatever the line.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn toolbox(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_toolbox"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A block that is not there does not read.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

fn answers(args: &[&str], lines: &[Value]) -> Vec<Value> {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let output = toolbox(args, input.as_bytes());
    assert!(output.status.success());
    output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
}

#[track_caller]
fn check(block: &str, line: Value, expected: Value) {
    let [answer] = answers(&[block], &[line]).try_into().unwrap();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&answer[name], value, "{name} in {answer}");
    }
}

#[test]
fn each_block_answers() {
    check("address", json!({"input": "127.0.0.1"}), json!({"verdict": "deny", "reason": "address.loopback"}));
    check("address", json!({"input": "1.1.1.1"}), json!({"verdict": "allow"}));
    check("address", json!({"input": "localhost"}), json!({"verdict": "deny"}));
    let hook = "https://hooks.example.net/in";
    check("endpoint", json!({"input": hook}), json!({"verdict": "allow"}));
    let inside = json!({"input": hook, "resolve": {"hooks.example.net": ["1.1.1.1", "10.0.0.1"]}});
    check("endpoint", inside, json!({"verdict": "deny"}));
    let outside = json!({"input": hook, "resolve": {"hooks.example.net": ["1.1.1.1"]}});
    check("endpoint", outside, json!({"verdict": "allow", "dial": ["1.1.1.1"]}));
    let zoned = json!({"input": hook, "resolve": {"hooks.example.net": ["fe80::1%eth0"]}});
    check("endpoint", zoned, json!({"verdict": "deny", "reason": "toolbox.address"}));
    let base = "https://app.example.com/login";
    check("redirect", json!({"input": "//evil.example", "base": base}), json!({"verdict": "deny"}));
    let home = json!({"verdict": "allow", "location": "https://app.example.com/home"});
    check("redirect", json!({"input": "/home", "base": base}), home);
    let registered = ["https://app.example.com/cb"];
    check(
        "redirect-uri",
        json!({"input": "https://app.example.com/cb", "registered": registered}),
        json!({"verdict": "allow"}),
    );
    check(
        "redirect-uri",
        json!({"input": "https://app.example.com/cb/", "registered": registered}),
        json!({"verdict": "deny"}),
    );
    check("origin-pattern", json!({"input": "https://*.example.com"}), json!({"verdict": "accept-pattern"}));
    check("origin-pattern", json!({"input": "https://*.com"}), json!({"verdict": "reject-pattern"}));
    let now = "2026-07-01T00:00:00Z";
    check(
        "embargo",
        json!({"ip": "::ffff:5.22.4.4", "policy": "us", "now": now}),
        json!({"verdict": "embargoed", "country": "IR"}),
    );
    check("embargo", json!({"ip": "1.1.1.1", "policy": "us", "now": now}), json!({"verdict": "servable"}));
    check("embargo", json!({"ip": "nowhere", "policy": "us"}), json!({"verdict": "review"}));
    check("embargo", json!({"ip": "1.1.1.1", "policy": "mars"}), json!({"verdict": "review"}));
    let request = json!({"peer": "10.0.0.1", "headers": [["X-Forwarded-For", "6.6.6.6, 1.1.1.1"]], "trusted": ["10.0.0.0/8"]});
    check("client-ip", request, json!({"verdict": "found", "ip": "1.1.1.1"}));
    check(
        "client-ip",
        json!({"peer": "nobody", "headers": [], "trusted": []}),
        json!({"verdict": "refused"}),
    );
    check("password", json!({"password": "letmeinletmein123"}), json!({"verdict": "refuse"}));
    check(
        "password",
        json!({"password": "ein Wal kennt keinen Bahnsteig"}),
        json!({"verdict": "accept", "reasons": []}),
    );
    let line = json!({"text": "grüße an anna@example.com"});
    let found = json!({"text": "grüße an [EMAIL]", "spans": [{"start": 9, "end": 25, "type": "EMAIL"}]});
    check("redact", line, found);
}

#[test]
fn what_one_side_signs_the_other_verifies() {
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let message = json!({"id": "msg_1", "timestamp": 1_795_262_400, "payload": "{}", "secret": secret});
    let [headers] = answers(&["sign"], &[message]).try_into().unwrap();
    let arrived = |now: i64| {
        let headers = json!({
            "webhook-id": headers["webhook-id"],
            "webhook-timestamp": headers["webhook-timestamp"],
            "webhook-signature": headers["webhook-signature"],
        });
        json!({"headers": headers, "payload_base64": "e30=", "secrets": [secret], "now": now})
    };
    check("verify", arrived(1_795_262_460), json!({"verdict": "verified"}));
    check(
        "verify",
        arrived(1_795_270_000),
        json!({"verdict": "refused", "reason": "verify.timestamp_too_old"}),
    );
    check(
        "sign",
        json!({"id": "a.1", "timestamp": 1, "payload": "x", "secret": secret}),
        json!({"verdict": "refused"}),
    );
    check(
        "sign",
        json!({"id": "a", "timestamp": -1, "payload": "x", "secret": secret}),
        json!({"verdict": "refused"}),
    );
    check(
        "sign",
        json!({"id": "a", "timestamp": i64::MAX, "payload": "x", "secret": secret}),
        json!({"verdict": "refused"}),
    );
}

#[test]
fn every_line_is_answered_in_order_and_none_is_fatal() {
    let input = b"{\"input\":\"1.1.1.1\",\"id\":1,\"extra\":true}\nnot json\n\n{\"input\":5,\"id\":\"four\"}\n\xff\xfe\n[]\n{\"input\":\"::1\",\"id\":7}";
    let output = toolbox(&["address"], input);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 7, "{text}");
    assert_eq!((&answers[0]["verdict"], &answers[0]["id"]), (&json!("allow"), &json!(1)));
    assert!([1, 2, 3, 4, 5].iter().all(|at| answers[*at]["error"].is_string()), "{text}");
    assert_eq!(answers[3]["id"], "four");
    assert_eq!((&answers[6]["verdict"], &answers[6]["id"]), (&json!("deny"), &json!(7)));
}

#[test]
fn an_unknown_block_is_usage_and_exit_2() {
    for args in
        [&["nonsense"][..], &[], &["embargo", "--database"], &["audit", "burn", "x"], &["audit", "verify"]]
    {
        let output = toolbox(args, b"");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("usage: toolbox"), "{args:?}");
    }
    let output = toolbox(&["audit", "verify", "no-such-directory"], b"");
    assert_eq!(output.status.code(), Some(2));
}

/// A trail with sealed people, its keys, and the two secrets as files.
fn sealed_trail(dir: &std::path::Path) -> String {
    use std::sync::Arc;

    use compliance_core::clock::SystemClock;
    use compliance_core::event::{Actor, Event, EventKind, Sink};
    use compliance_core::finding::Outcome;
    use compliance_core::id::SubjectId;
    use compliance_core::random::SystemRandom;
    use compliance_core::seal::{KeyEncryptionKey, KeyRing};
    use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
    use compliance_log::key_store::FileKeyStore;

    std::fs::write(dir.join("kek"), [7; 32]).unwrap();
    std::fs::write(dir.join("seed"), [8; 32]).unwrap();
    let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
    let keys = Arc::new(FileKeyStore::open(dir.join("keys"), ring).unwrap());
    let key = CheckpointKey::from_seed("toolbox.example/audit", [8; 32]).unwrap();
    let config = AuditConfig::new(key).on_any_storage().seal_people(keys, Arc::new(SystemRandom));
    let (log, _) = AuditLog::open(dir.join("trail"), config, SystemClock).unwrap();
    for number in 0..3 {
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        let event = Event::builder(EventKind::DataRead, Outcome::Passed, Actor::System, at)
            .subject(SubjectId::new(format!("user-{number}")).unwrap());
        drop(log.record(event.build().unwrap()).wait().unwrap());
    }
    let vkey = log.verifying_key().to_string();
    log.close().unwrap();
    vkey
}

#[test]
fn a_trail_is_exported_proven_and_forgotten_from_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let vkey = sealed_trail(dir.path());
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let trail = path("trail");

    let export = toolbox(&["audit", "export", &trail, "--format", "ocsf"], b"");
    assert!(export.status.success());
    let lines = String::from_utf8(export.stdout).unwrap();
    assert_eq!(lines.lines().count(), 3);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["class_uid"] == 3004));
    assert!(!lines.contains("user-1"));

    let receipt = toolbox(&["audit", "receipt", &trail, "1"], b"");
    assert!(receipt.status.success());
    std::fs::write(path("record.tlog-proof"), &receipt.stdout).unwrap();
    let proven = toolbox(&["audit", "check", &path("record.tlog-proof"), "--key", &vkey], b"");
    assert!(proven.status.success());
    let answer: Value = serde_json::from_slice(&proven.stdout).unwrap();
    assert_eq!((&answer["verdict"], &answer["record"]["sequence"]), (&json!("proven"), &json!(1)));
    let forged = String::from_utf8(receipt.stdout).unwrap().replace("index 1", "index 0");
    std::fs::write(path("forged.tlog-proof"), forged).unwrap();
    let refused = toolbox(&["audit", "check", &path("forged.tlog-proof"), "--key", &vkey], b"");
    assert_eq!(refused.status.code(), Some(1));

    let (keys, kek, seed, ledger) = (path("keys"), path("kek"), path("seed"), path("ledger"));
    let options = ["--keys", &keys, "--kek", &kek, "--seed", &seed, "--ledger", &ledger];
    let erase = |subject| {
        let output = toolbox(&[&["audit", "erase", &trail, subject][..], &options].concat(), b"");
        (serde_json::from_slice::<Value>(&output.stdout).unwrap()["verdict"].clone(), output.status.code())
    };
    assert_eq!(erase("user-1"), ("erased".into(), Some(0)));
    // Of whom there is no key nobody can say that they were erased.
    assert_eq!(erase("user-1"), ("no_key".into(), Some(1)));
    let verified = toolbox(&["audit", "verify", &trail, "--key", &vkey], b"");
    assert!(verified.status.success());
    let answer: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(answer["records"], 5);

    // Somebody a legal hold is on is not erased.
    {
        use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyRing};
        use compliance_log::key_store::{CaseId, FileKeyStore, HeldKeyStore, LegalHold};
        let ring = KeyRing::new(KeyEncryptionKey::new(&[7; 32]).unwrap());
        let owner = KeyOwner::new("audit.subject", "user-2").unwrap();
        let hold =
            LegalHold::new(owner, CaseId::new("c-1").unwrap(), "2026-11-21T12:00:00Z".parse().unwrap());
        FileKeyStore::open(&keys, ring).unwrap().place_hold(&hold).unwrap();
    }
    let held = toolbox(&[&["audit", "erase", &trail, "user-2"][..], &options].concat(), b"");
    assert_eq!(held.status.code(), Some(1));
    assert_eq!(serde_json::from_slice::<Value>(&held.stdout).unwrap()["verdict"], "held");

    // What is not what was written ends each of them with 1, what is not there with 2.
    let segment = std::fs::read_dir(&trail)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let second = bytes.windows(2).enumerate().filter(|(_, marker)| *marker == [0xC5, 1]).nth(1).unwrap().0;
    bytes[second + 40] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    for block in
        [&["audit", "verify", &trail, "--key", &vkey][..], &["audit", "export", &trail, "--format", "jsonl"]]
    {
        assert_eq!(toolbox(block, b"").status.code(), Some(1), "{block:?}");
    }
    let nowhere = path("nowhere");
    for block in [
        &["audit", "verify", &nowhere][..],
        &["audit", "export", &nowhere, "--format", "csv"],
        &["audit", "receipt", &nowhere, "0"],
        &[&["audit", "erase", &nowhere, "user-1"][..], &options].concat(),
    ] {
        assert_eq!(toolbox(block, b"").status.code(), Some(2), "{block:?}");
    }
}
