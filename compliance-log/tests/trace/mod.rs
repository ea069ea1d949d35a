//! Faults injected into system calls, where that can be had.

use std::io::Write as _;
use std::process::Command;

/// Says aloud, past the test's captured output, that something was left out.
pub(crate) fn skip(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

/// Whether system calls can be made to fail. Some containers have strace and do not let it trace; that is said, no more.
pub(crate) fn can_trace() -> bool {
    match Command::new("strace").args(["-o", "/dev/null", "true"]).status() {
        Ok(status) if status.success() => return true,
        Ok(_) => skip("strace may not trace"),
        Err(_) => skip("strace is not there"),
    }
    false
}
