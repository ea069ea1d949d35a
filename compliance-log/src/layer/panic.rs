//! Panics do not pass through `tracing`: their messages are redacted on their own way to standard error.

use std::any::Any;
use std::io::Write as _;
use std::panic::PanicHookInfo;

use crate::redact::{Redactor, escape_control};

/// What a panic hook may print of a panic: thread, place and redacted message, on one line.
///
/// ```
/// use compliance_log::layer::panic_line;
/// use compliance_log::redact::Redactor;
///
/// let line = panic_line(&Redactor::new(), Some("main"), Some("src/a.rs:1:2"), &"no user anna@example.com");
/// assert_eq!(line, "thread 'main' panicked at src/a.rs:1:2: no user [EMAIL]");
/// ```
#[must_use]
pub fn panic_line(
    redactor: &Redactor,
    thread: Option<&str>,
    place: Option<&str>,
    payload: &(dyn Any + Send),
) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no text");
    let message = redactor.redact(message);
    format!(
        "thread '{}' panicked at {}: {}",
        escape_control(&redactor.redact(thread.unwrap_or("<unnamed>"))),
        place.unwrap_or("an unknown place"),
        escape_control(&message),
    )
}

/// Replaces the process's panic hook by one that prints [`panic_line`] to standard error.
///
/// The default hook prints the message as it is: `unwrap` on an error that quotes its input is a leak.
pub fn install_panic_hook(redactor: Redactor) {
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let place = info.location().map(ToString::to_string);
        let line = panic_line(&redactor, std::thread::current().name(), place.as_deref(), info.payload());
        // There is nowhere left to report a failure to.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }));
}
