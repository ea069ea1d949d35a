use std::time::Duration;

use compliance_core::event::{Event, EventClass};

use crate::audit::checkpoint::{CheckpointKey, CheckpointSigner};
use crate::audit::durable::Declared;

/// What becomes of an event for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordPolicy {
    /// Refused at once when half of the queue is taken or the disk has little room left. How many were refused is
    /// itself recorded, as [`SystemEventsDropped`](compliance_core::event::EventKind::SystemEventsDropped).
    BestEffort,
    /// The caller is held until there is room, and refused when there is none: the action it wanted to record is
    /// denied. Has the other half of the queue, and the reserve on disk, to itself.
    MustRecord,
}

/// The classes recorded at best effort, one bit each.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::audit) struct Policies(u32);

impl Policies {
    pub(in crate::audit) fn with_best_effort(self, class: EventClass) -> Self {
        Self(self.0 | bit(class))
    }

    pub(in crate::audit) fn of(self, class: EventClass) -> RecordPolicy {
        if self.0 & bit(class) == 0 { RecordPolicy::MustRecord } else { RecordPolicy::BestEffort }
    }
}

/// What people are sealed with.
#[cfg(feature = "key-store")]
#[derive(Clone, Debug)]
pub(in crate::audit) struct Sealing {
    keys: std::sync::Arc<dyn compliance_core::seal::KeyStore>,
    random: std::sync::Arc<dyn compliance_core::random::SecureRandom>,
}

#[cfg(feature = "key-store")]
impl Sealing {
    pub(in crate::audit) fn new(
        keys: std::sync::Arc<dyn compliance_core::seal::KeyStore>,
        random: std::sync::Arc<dyn compliance_core::random::SecureRandom>,
    ) -> Self {
        Self { keys, random }
    }

    pub(in crate::audit) fn seal(&self, event: &Event) -> Option<Event> {
        event.seal_people(&*self.keys, &*self.random).ok()
    }
}

/// Nothing seals without the feature `key-store`.
#[cfg(not(feature = "key-store"))]
#[derive(Clone, Debug)]
pub(super) enum Sealing {}

#[cfg(not(feature = "key-store"))]
impl Sealing {
    pub(super) fn seal(&self, _event: &Event) -> Option<Event> {
        match *self {}
    }
}

fn bit(class: EventClass) -> u32 {
    1_u32.checked_shl(class as u32).unwrap_or(0)
}

/// How a trail is written. Only the key has no default.
///
/// ```
/// use std::time::Duration;
/// use compliance_core::random::SystemRandom;
/// use compliance_log::audit::{AuditConfig, CheckpointKey};
///
/// let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// let config = AuditConfig::new(key).checkpoint_every(1_000).checkpoint_interval(Duration::from_secs(10));
/// # let _ = config;
/// # Ok::<(), compliance_log::audit::checkpoint::KeyGenerationError>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct AuditConfig {
    pub(super) signer: Box<dyn CheckpointSigner>,
    pub(super) previous: Option<Box<dyn CheckpointSigner>>,
    pub(super) segment_len: u64,
    pub(super) checkpoint_every: u64,
    pub(super) checkpoint_interval: Duration,
    pub(super) queue_len: usize,
    pub(super) queue_wait: Duration,
    pub(super) verify_all: bool,
    pub(super) policies: Policies,
    pub(super) segment_interval: Option<Duration>,
    pub(super) quota: u64,
    pub(super) reserve_len: u64,
    pub(super) sealing: Option<Sealing>,
    pub(super) declared: Declared,
}

impl AuditConfig {
    /// The smallest and the largest [`segment_len`](Self::segment_len).
    pub const SEGMENT_LEN: (u64, u64) = (4 * 1024, 1024 * 1024 * 1024);
    /// The largest [`reserve_len`](Self::reserve_len).
    pub const MAX_RESERVE_LEN: u64 = 256 * 1024 * 1024;
    /// The smallest and the largest [`queue_len`](Self::queue_len).
    pub const QUEUE_LEN: (usize, usize) = (64 * 1024, 256 * 1024 * 1024);

    /// Segments of 64 MiB, a checkpoint every 4 096 records and every 60 seconds, a queue of 8 MiB at which
    /// callers wait for at most one second; every class must be recorded, on as much disk as there is, of which
    /// 1 MiB is kept in reserve.
    pub fn new(key: CheckpointKey) -> Self {
        Self::with_signer(Box::new(key))
    }

    /// The same with a key that is elsewhere, in a KMS or HSM.
    pub fn with_signer(signer: Box<dyn CheckpointSigner>) -> Self {
        Self {
            signer,
            previous: None,
            segment_len: 64 * 1024 * 1024,
            checkpoint_every: 4096,
            checkpoint_interval: Duration::from_secs(60),
            queue_len: 8 * 1024 * 1024,
            queue_wait: Duration::from_secs(1),
            verify_all: false,
            policies: Policies::default(),
            segment_interval: None,
            quota: u64::MAX,
            reserve_len: 1024 * 1024,
            sealing: None,
            declared: Declared::Nothing,
        }
    }

    /// Rotates the key: a trail that is still under `previous` goes on under the new one. The change is itself a record,
    /// names both keys and is covered by a checkpoint that both keys sign, so that whoever trusts either can verify
    /// the whole trail. Both keys must have the same name. A trail that is under the new key already is opened as it
    /// is: leave this in place until no older one is left.
    pub fn rotate_from(mut self, previous: Box<dyn CheckpointSigner>) -> Self {
        self.previous = Some(previous);
        self
    }

    /// From how many bytes on a segment is closed and the next begun; brought within
    /// [`SEGMENT_LEN`](Self::SEGMENT_LEN). A segment ends between group commits, so it may be a little
    /// larger.
    pub fn segment_len(mut self, bytes: u64) -> Self {
        self.segment_len = bytes.clamp(Self::SEGMENT_LEN.0, Self::SEGMENT_LEN.1);
        self
    }

    /// The most records between two checkpoints, at least 1. It stands in every checkpoint, and a trail with
    /// more records in between does not verify: this bounds what somebody without the key can alter.
    pub fn checkpoint_every(mut self, records: u64) -> Self {
        self.checkpoint_every = records.max(1);
        self
    }

    /// How long the trail may be without a checkpoint, also when nothing happens, at least a millisecond.
    /// Measured by a monotonic clock.
    pub fn checkpoint_interval(mut self, interval: Duration) -> Self {
        self.checkpoint_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// How many bytes of records may wait for the disk; brought within [`QUEUE_LEN`](Self::QUEUE_LEN).
    pub fn queue_len(mut self, bytes: usize) -> Self {
        self.queue_len = bytes.clamp(Self::QUEUE_LEN.0, Self::QUEUE_LEN.1);
        self
    }

    /// How long a caller is held when the queue is full, before it is told
    /// [`Unavailable`](compliance_core::event::RecordErrorKind::Unavailable). Holding a caller blocks its
    /// thread, inside an async runtime too.
    pub fn queue_wait(mut self, wait: Duration) -> Self {
        self.queue_wait = wait;
        self
    }

    /// After how long a segment is closed and the next begun, by the trail's clock; `None`, the default: by length
    /// alone. Retention works by whole segments, so a month's segments are what a monthly retention run needs. A
    /// segment without records is not closed.
    pub fn segment_interval(mut self, interval: Duration) -> Self {
        self.segment_interval = Some(interval);
        self
    }

    /// Records events of this class at [best effort](RecordPolicy::BestEffort). Every class not named must be
    /// recorded.
    pub fn best_effort(mut self, class: EventClass) -> Self {
        self.policies = self.policies.with_best_effort(class);
        self
    }

    /// The most bytes all segments together may have. Beyond it events are refused with
    /// [`Full`](compliance_core::event::RecordErrorKind::Full), best-effort ones earlier, by the
    /// [reserve](Self::reserve_len). Unlimited unless stated. A [retirement](crate::audit::retention::Retention::retire)
    /// and a change of key go beyond it by their own record and checkpoints, some hundred bytes each.
    pub fn quota(mut self, bytes: u64) -> Self {
        self.quota = bytes;
        self
    }

    /// How many bytes of disk are held back for what must be recorded, at most
    /// [`MAX_RESERVE_LEN`](Self::MAX_RESERVE_LEN); 0 for none. They lie in a file of their own, which is given up
    /// when the disk is full and filled again once there is room; but for the last 16 KiB, or half of it, which are for a
    /// [retirement](crate::audit::retention::Retention::retire) alone.
    pub fn reserve_len(mut self, bytes: u64) -> Self {
        self.reserve_len = bytes.min(Self::MAX_RESERVE_LEN);
        self
    }

    /// Seals every person in an event under a key of their own before it is written:
    /// [`Event::seal_people`](compliance_core::event::Event::seal_people). Destroying a person's key erases them from
    /// the whole trail, whose hashes cover the sealed form and go on holding. Receipts attest the event as it was
    /// handed over. When the key store does not answer, events are refused with
    /// [`Unavailable`](compliance_core::event::RecordErrorKind::Unavailable).
    #[cfg(feature = "key-store")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "key-store")))]
    pub fn seal_people(
        mut self,
        keys: std::sync::Arc<dyn compliance_core::seal::KeyStore>,
        random: std::sync::Arc<dyn compliance_core::random::SecureRandom>,
    ) -> Self {
        self.sealing = Some(Sealing::new(keys, random));
        self
    }

    #[cfg(feature = "postgres")]
    pub(in crate::audit) fn seals_people(&self) -> bool {
        self.sealing.is_some()
    }

    #[cfg(feature = "postgres")]
    pub(in crate::audit) fn without_best_effort(self) -> Self {
        Self { policies: Policies::default(), ..self }
    }

    /// Declares that the trail may go with the instance: it is opened in memory, in a container's own layer and where
    /// nobody can tell what the directory is on, which is refused otherwise (`audit.storage`). For tests and rehearsals,
    /// and for events at best effort beside a [`DurableSink`](crate::audit::durable::DurableSink) without a lasting disk.
    ///
    /// # Security
    /// A receipt of such a trail says [`Instance`](compliance_core::event::Durability::Instance), whatever the class of
    /// the event: [`Audited`](crate::audit::Audited) and whatever else asks for a disk do not take it, unless they are
    /// told that less will do. On a disk that lasts it still says `Disk`.
    pub fn on_any_storage(mut self) -> Self {
        self.declared = Declared::MayGo;
        self
    }

    /// Declares that the directory is on a disk that lasts, where the operating system cannot tell: a network file
    /// system, one that is not among those [known](crate::audit::durable::Storage::Lasting), another system than Linux.
    /// Of this and [`on_any_storage`](Self::on_any_storage) the last one counts.
    ///
    /// # Security
    /// Receipts say [`Disk`](compliance_core::event::Durability::Disk) on your word. Where the operating system knows
    /// better (memory, a container's own layer) the trail is refused all the same.
    pub fn on_lasting_storage(mut self) -> Self {
        self.declared = Declared::Lasts;
        self
    }

    /// Verifies the whole trail on opening, not its last segment alone. Takes about a second and a half per
    /// million records.
    pub fn verify_all(mut self) -> Self {
        self.verify_all = true;
        self
    }
}
