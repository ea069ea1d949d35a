//! The geo service as a program: its round, enforcing and report-only, and what the trail says of it.

use std::process::Command;

#[track_caller]
fn round(options: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_geo")).args(options).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[track_caller]
fn says(text: &str, line: &str) {
    assert!(text.lines().any(|found| found.trim().starts_with(line)), "`{line}` is not in\n{text}");
}

#[test]
fn every_refusal_of_the_round_is_on_record() {
    let text = round(&[]);
    says(&text, "200  from Sydney");
    says(&text, "451  from Tehran, with a forged first entry");
    says(
        &text,
        "check.decided refused embargo.country from 5.22.4.0/24 programmes=ofac.iran,ear.iran,eu.iran",
    );
    says(&text, "check.decided refused embargo.country from 2002:af2d:b202::/48");
    says(&text, "check.decided review embargo.region_unknown from 194.0.200.0/24");
    says(&text, "check.decided review embargo.not_public from 192.168.1.0/24");
    says(&text, "check.decided refused transport.plaintext from 1.1.1.0/24");
    says(&text, "check.decided refused client_ip.malformed");
    says(&text, "system.passes_aggregated passed code=client_ip.found count=7");
    says(&text, "system.passes_aggregated passed code=embargo.servable_stale count=1");
    // Networks, never addresses.
    assert!(!text.contains("from 5.22.4.4"));
}

#[test]
fn report_only_records_the_same_and_lets_pass() {
    let text = round(&["--report-only"]);
    says(&text, "200  in plaintext");
    says(&text, "200  from Tehran, with a forged first entry");
    says(&text, "check.decided refused transport.plaintext from 1.1.1.0/24");
    says(&text, "check.decided refused embargo.country from 5.22.4.0/24");
    says(&text, "check.decided refused client_ip.malformed");
    says(&text, "check.decided refused client_ip.not_established");
}

#[test]
fn unknown_options_are_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_geo")).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
