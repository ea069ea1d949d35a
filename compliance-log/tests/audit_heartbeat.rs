//! Checkpoints that are due and cannot be made: the log goes on, and does not ask without pause.

mod trail;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use compliance_core::clock::{ManualClock, Timestamp};
use compliance_core::event::Sink;
use compliance_log::audit::checkpoint::SignError;
use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey, CheckpointSigner, VerifyingKey};
use trail::{Trail, event, key};

/// A signer that can be away, and says when it was asked.
#[derive(Debug)]
struct Kms {
    key: CheckpointKey,
    is_away: Arc<AtomicBool>,
    asked: Mutex<Sender<Instant>>,
}

impl CheckpointSigner for Kms {
    fn verifying_key(&self) -> &VerifyingKey {
        self.key.verifying_key()
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], SignError> {
        // The test may not listen any more.
        let _heard = self.asked.lock().unwrap().send(Instant::now());
        if self.is_away.load(Ordering::Relaxed) {
            return Err(SignError::new());
        }
        CheckpointSigner::sign(&self.key, text)
    }
}

fn open(trail: &Trail, interval: Duration) -> (AuditLog, Arc<AtomicBool>, Receiver<Instant>) {
    let (sender, asked) = channel();
    let is_away = Arc::new(AtomicBool::new(false));
    let kms = Kms { key: key(), is_away: Arc::clone(&is_away), asked: Mutex::new(sender) };
    let config = AuditConfig::with_signer(Box::new(kms)).on_any_storage().checkpoint_interval(interval);
    let (log, _) = AuditLog::open(trail.path(), config, ManualClock::at(Timestamp::UNIX_EPOCH)).unwrap();
    (log, is_away, asked)
}

#[test]
fn a_heartbeat_that_fails_is_tried_again_after_a_while() {
    const INTERVAL: Duration = Duration::from_millis(50);
    let trail = Trail::new();
    let (log, is_away, asked) = open(&trail, INTERVAL);
    is_away.store(true, Ordering::Relaxed);
    let times: Vec<_> = asked.iter().skip(2).take(5).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= INTERVAL, "{times:?}");
    }
    is_away.store(false, Ordering::Relaxed);
    let number = log.checkpoint().unwrap().number();
    // It beats again.
    while trail.verify().checkpoint().unwrap().number() <= number {
        asked.recv().unwrap();
    }
}

#[test]
fn a_signer_that_is_away_denies_no_record_before_its_promise_ends() {
    let trail = Trail::new();
    let (log, is_away, asked) = open(&trail, Duration::from_millis(1));
    is_away.store(true, Ordering::Relaxed);
    asked.iter().take(4).for_each(drop);
    // A heartbeat is overdue in all this.
    for number in 0..50 {
        assert_eq!(log.record(event(number)).wait().map(|receipt| receipt.sequence()), Ok(number));
    }
    // Whoever asks for a checkpoint is told, and takes no record down.
    for number in 50..60 {
        let recording = log.record(event(number));
        assert_eq!(log.checkpoint().unwrap_err().code(), "record.unavailable");
        assert_eq!(recording.wait().map(|receipt| receipt.sequence()), Ok(number));
    }
    is_away.store(false, Ordering::Relaxed);
    assert_eq!(log.checkpoint().unwrap().size(), 60);
    is_away.store(true, Ordering::Relaxed);
    let recording = log.record(event(60));
    assert_eq!(log.close().unwrap_err().code(), "record.unavailable");
    assert_eq!(recording.wait().map(|receipt| receipt.sequence()), Ok(60));
    assert_eq!((trail.verify().fault(), trail.verify().records()), (None, 61));
}
