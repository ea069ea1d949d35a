//! Logging for the demonstration: to stderr, and kept so that the round can show what reached the sink.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use compliance_log::layer::{install_panic_hook, redacting};
use compliance_log::redact::Redactor;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::Failure;

/// How much of what the sink received is kept, in bytes.
const KEPT_LEN: usize = 64 * 1024;

/// The sink: stderr when it may, and a copy of the latest lines.
#[derive(Clone, Default)]
pub(crate) struct Logging {
    kept: Arc<Mutex<Vec<u8>>>,
    echoes: Arc<AtomicBool>,
}

impl Logging {
    /// Sets up logging for the process. Nothing can be layered above the redaction.
    pub(crate) fn start() -> Result<Self, Failure> {
        let logging = Self::default();
        let fmt = tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_target(false);
        let subscriber =
            tracing_subscriber::registry().with(LevelFilter::INFO).with(fmt.with_writer(logging.clone()));
        redacting(subscriber, Redactor::new()).try_init()?;
        install_panic_hook(Redactor::new());
        Ok(logging)
    }

    /// From now on, lines go to stderr too.
    pub(crate) fn echo(&self) {
        self.echoes.store(true, Ordering::Relaxed);
    }

    /// The latest lines the sink received.
    pub(crate) fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

impl Write for Logging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(KEPT_LEN);
        kept.drain(..surplus);
        if self.echoes.load(Ordering::Relaxed) { io::stderr().write(bytes) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Logging {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
