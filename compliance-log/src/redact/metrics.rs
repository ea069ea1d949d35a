//! What a redactor has seen, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::detector::Detector;

const KINDS: usize = Detector::ALL.len();

/// The counters behind [`Metrics`].
#[derive(Debug)]
pub(crate) struct Counters {
    texts: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
    hits: [AtomicU64; KINDS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            texts: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            nanoseconds: AtomicU64::new(0),
            hits: [const { AtomicU64::new(0) }; KINDS],
        }
    }
}

impl Counters {
    pub(crate) fn text(&self, bytes: usize, took: Duration) {
        self.texts.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn hit(&self, detector: Detector) {
        if let Some(hits) = self.hits.get(detector as usize) {
            hits.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Metrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            texts: read(&self.texts),
            bytes: read(&self.bytes),
            time: Duration::from_nanos(read(&self.nanoseconds)),
            hits: Detector::ALL
                .iter()
                .zip(&self.hits)
                .map(|(detector, hits)| (*detector, read(hits)))
                .filter(|(_, hits)| *hits > 0)
                .collect(),
        }
    }
}

/// What a redactor has inspected and found since it was made. A value that was found is in none of it.
///
/// ```
/// use compliance_log::redact::{Detector, Redactor};
///
/// let redactor = Redactor::builder().count().build();
/// let _ = redactor.redact("from anna@example.com to bob@example.com");
/// let metrics = redactor.metrics().unwrap();
/// assert_eq!((metrics.texts(), metrics.bytes()), (1, 40));
/// assert_eq!(metrics.hits().collect::<Vec<_>>(), [(Detector::Email, 2)]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    texts: u64,
    bytes: u64,
    time: Duration,
    hits: Vec<(Detector, u64)>,
}

impl Metrics {
    /// How many texts were inspected: lines, or values of fields.
    #[must_use]
    pub fn texts(&self) -> u64 {
        self.texts
    }

    /// How many bytes they had.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How long inspecting and rewriting took, over all threads.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }

    /// The detectors that found something, and how often.
    pub fn hits(&self) -> impl Iterator<Item = (Detector, u64)> + '_ {
        self.hits.iter().copied()
    }
}
