//! Faults injected into system calls, where that can be had.

use std::io::Write as _;
use std::process::Command;

/// Says aloud, past the test's captured output, that something was left out; fails where nothing may be.
#[track_caller]
pub(crate) fn skip(why: &str) {
    assert_ne!(std::env::var("COMPLIANCE_REQUIRE_SERVICES").as_deref(), Ok("1"), "{why}, and is required");
    writeln!(std::io::stderr(), "skipped: {why}").unwrap();
}

/// Whether system calls can be made to fail. Some containers have strace and do not let it trace; that is said, no more.
#[track_caller]
pub(crate) fn can_trace() -> bool {
    match Command::new("strace").args(["-o", "/dev/null", "true"]).status() {
        Ok(status) if status.success() => return true,
        Ok(_) => writeln!(std::io::stderr(), "skipped: strace may not trace").unwrap(),
        Err(_) => skip("strace is not there"),
    }
    false
}
