//! The documented set-up: the one global dispatcher of a process, under which a value may log while it is formatted. In a
//! binary of its own: there is one such dispatcher.
#![cfg(feature = "tracing")]

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex};

use compliance_log::layer::redacting;
use compliance_log::redact::Redactor;
use tracing_subscriber::prelude::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Chatty;

impl fmt::Debug for Chatty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tracing::info!(email = "anna@example.com", "nested");
        f.write_str("by bob@example.com")
    }
}

#[test]
fn what_a_value_logs_while_it_is_formatted_is_redacted_as_well() {
    let sink = Sink::default();
    let writer = sink.clone();
    let format = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    redacting(tracing_subscriber::registry().with(format), Redactor::new()).init();
    tracing::info!(value = ?Chatty, other = "carl@example.com", "outer");
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    assert!(!text.contains("example.com"), "{text}");
    let [nested, outer] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(nested.contains("nested email=\"[EMAIL]\""), "{text}");
    assert!(outer.contains("outer value=by [EMAIL]"), "{text}");
}
