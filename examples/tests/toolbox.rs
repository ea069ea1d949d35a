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
