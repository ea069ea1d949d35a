//! Where a service keeps what it must not lose: settled once, at start-up, with a type to show for it.
//!
//! In a container without a volume, on a RAM disk, in a scratch directory of an orchestrator, what was synchronised is
//! gone with the instance. A trail is opened only where the operating system knows the file system to be on a disk, or
//! somebody declares it. What is opened on other storage, because that was declared to do, gives receipts that say
//! [`Instance`](Durability::Instance) and not [`Disk`](Durability::Disk).
//!
//! [`DurableSink`] can be had in two ways: for a trail on a disk that lasts, or, without one, for a sink that acknowledges
//! only what another machine has on its disk. Hand it, not a trail, to whatever must not act unrecorded.
//!
//! ```
//! use std::path::Path;
//! use compliance_log::audit::durable::Storage;
//!
//! # use compliance_core::event::Durability;
//! let mounts = "22 1 254:0 / / rw - ext4 /dev/vda rw\n23 22 0:20 / /tmp rw - tmpfs tmpfs rw\n";
//! assert_eq!(Storage::in_mounts(mounts, Path::new("/srv/audit")), Storage::Lasting);
//! assert_eq!(Storage::in_mounts(mounts, Path::new("/tmp/audit")), Storage::Volatile);
//! assert_eq!(Storage::Volatile.durability(), Durability::Instance);
//! ```

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use compliance_core::class::Internal;
use compliance_core::clock::Timestamp;
use compliance_core::event::{Durability, Event, RecordError, Recording, Sink};
use compliance_core::finding::{RiskAcceptance, RiskError};

use super::record::risk_accepted;
use super::segment::AuditLog;

/// File systems on disks, as Linux names them.
const LASTING: [&str; 8] = ["bcachefs", "btrfs", "ext3", "ext4", "f2fs", "jfs", "xfs", "zfs"];

/// File systems in memory, or laid over an image and gone with the container.
const VOLATILE: [&str; 6] = ["aufs", "devtmpfs", "overlay", "ramfs", "rootfs", "tmpfs"];

/// What stands in the source of a directory that Kubernetes deletes with the pod.
const EMPTY_DIR: &str = "kubernetes.io~empty-dir";

/// Whether what is written to a directory is there after the instance is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm would be where doubt passes for a disk")]
#[must_use]
pub enum Storage {
    /// A file system on a disk: bcachefs, btrfs, ext3, ext4, f2fs, jfs, xfs or zfs.
    Lasting,
    /// Nobody can tell: a network file system, an unknown one, another operating system than Linux.
    Unknown,
    /// Memory, the writable layer of a container, or a directory that goes with its pod.
    Volatile,
}

impl Storage {
    /// What the operating system says of a directory, now.
    ///
    /// # Security
    /// It tells the kinds of file system apart, not disks: one that is wiped with the machine (an instance store, a RAM
    /// disk formatted as ext4) counts as lasting here. That it is not is for whoever runs the machine to know.
    pub fn of(dir: impl AsRef<Path>) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        match dir.as_ref().canonicalize() {
            Ok(dir) => Self::in_mounts(&mounts, &dir),
            Err(_) => Self::Unknown,
        }
    }

    /// The same for a directory that may not be there yet: what the one it would be made in is on.
    pub(in crate::audit) fn of_new(dir: &Path) -> Self {
        let Ok(dir) = std::path::absolute(dir) else { return Self::Unknown };
        dir.ancestors().find(|dir| dir.exists()).map_or(Self::Unknown, Self::of)
    }

    /// What a receipt for a record on such storage says.
    #[must_use]
    pub fn durability(self) -> Durability {
        match self {
            Self::Lasting => Durability::Disk,
            Self::Unknown | Self::Volatile => Durability::Instance,
        }
    }

    /// What receipts say of a trail on such storage under such a declaration; `None`: it is not opened.
    pub(in crate::audit) fn admits(self, declared: Declared) -> Option<Durability> {
        match (self, declared) {
            (Self::Lasting, _) | (_, Declared::MayGo) => Some(self.durability()),
            (Self::Unknown, Declared::Lasts) => Some(Durability::Disk),
            (Self::Volatile, Declared::Lasts) | (_, Declared::Nothing) => None,
        }
    }

    /// What a list of mounts in the form of Linux' `/proc/self/mountinfo` (proc(5)) says of an absolute path without
    /// links in it. The deepest mount above the path counts, of several in one place the last.
    pub fn in_mounts(mounts: &str, path: &Path) -> Self {
        let mut deepest = None;
        for line in mounts.lines() {
            let Some(mount) = Mount::parse(line) else { return Self::Unknown };
            let depth = Path::new(&mount.point).components().count();
            let is_above = path.starts_with(&mount.point);
            if is_above && deepest.as_ref().is_none_or(|(deepest, _)| depth >= *deepest) {
                deepest = Some((depth, mount));
            }
        }
        match deepest {
            Some((_, mount)) if mount.source.contains(EMPTY_DIR) => Self::Volatile,
            Some((_, mount)) if VOLATILE.contains(&mount.kind) => Self::Volatile,
            Some((_, mount)) if LASTING.contains(&mount.kind) => Self::Lasting,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lasting => "lasting",
            Self::Unknown => "unknown",
            Self::Volatile => "volatile",
        })
    }
}

/// What is declared of a trail's storage.
#[derive(Clone, Copy, Debug)]
pub(in crate::audit) enum Declared {
    /// It is a disk that lasts, though the operating system cannot tell.
    Lasts,
    /// It may go with the instance.
    MayGo,
    /// The operating system is asked.
    Nothing,
}

struct Mount<'a> {
    /// The directory of the file system that is mounted.
    source: &'a str,
    point: String,
    kind: &'a str,
}

impl<'a> Mount<'a> {
    /// Number, parent, device, source, point, options, optional fields, a dash, kind.
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (source, point) = (fields.next()?, fields.next()?);
        Some(Self { source, point: unescape(point)?, kind: after.split(' ').next()? })
    }
}

/// Blanks, tabs, line ends and backslashes stand there as three octal digits.
fn unescape(point: &str) -> Option<String> {
    let mut parts = point.split('\\');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(3)?;
        plain.push(u8::from_str_radix(digits, 8).ok().filter(u8::is_ascii)?.into());
        plain.push_str(rest);
    }
    Some(plain)
}

/// A sink whose receipts outlast the instance: on a disk that stays, or on another machine.
///
/// ```
/// # use compliance_core::{clock::SystemClock, event::Durability, random::SystemRandom};
/// use compliance_log::audit::durable::{DurableSink, Storage};
/// use compliance_log::audit::{AuditConfig, AuditLog, CheckpointKey};
///
/// # let dir = tempfile::tempdir()?;
/// # let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// let config = AuditConfig::new(key);
/// # let config = config.on_any_storage();
/// let (log, _) = AuditLog::open(dir.path(), config, SystemClock)?;
/// match (Storage::of(dir.path()), DurableSink::on_lasting_disk(log)) {
///     (Storage::Lasting, Ok(sink)) => assert_eq!(sink.least(), Durability::Disk),
///     (_, Err(error)) => assert_eq!(error.code(), "durable.storage"), // The service does not start.
///     (storage, Ok(_)) => panic!("{storage} is no disk that lasts"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DurableSink {
    must: Arc<dyn Sink>,
    best_effort: Option<(Arc<AuditLog>, Vec<compliance_core::event::EventClass>)>,
    least: Durability,
}

impl DurableSink {
    /// A trail on this machine's disk.
    ///
    /// # Errors
    /// `durable.storage` when its receipts say less than [`Disk`](Durability::Disk): the service must not start.
    pub fn on_lasting_disk(log: AuditLog) -> Result<Self, DurableError> {
        if log.durability() >= Durability::Disk {
            Ok(Self::on(log))
        } else {
            Err(DurableErrorKind::Storage { found: log.storage() }.into())
        }
    }

    /// A trail opened [on any storage](super::AuditConfig::on_any_storage), which may not last: somebody accepts that, for
    /// a time, and it is recorded with who and why. Receipts go on saying what the storage is: ask for no more than
    /// [`least`](Self::least). Blocks on the disk.
    ///
    /// # Errors
    /// `risk.expired`; the recording's codes.
    pub fn dangerous_on_any_disk(
        log: AuditLog,
        acceptance: &RiskAcceptance,
        now: Timestamp,
    ) -> Result<Self, DurableError> {
        let acceptance = acceptance.in_force(now).map_err(DurableErrorKind::Risk)?;
        let event = risk_accepted(acceptance, "audit.storage", now);
        let event = event.field("storage", Internal(log.storage().to_string())).build();
        let event = event.map_err(|_| DurableErrorKind::Event)?;
        let _receipt = log.record(event).wait().map_err(DurableErrorKind::Record)?;
        Ok(Self::on(log))
    }

    /// For a host without a disk that lasts: what must be recorded is acknowledged once the database has it on its
    /// disk. [`PostgresSink::open`](super::postgres::PostgresSink::open) has refused a server where that is in doubt.
    #[cfg(feature = "postgres")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "postgres")))]
    #[must_use]
    pub fn without_lasting_disk(remote: super::postgres::PostgresSink) -> Self {
        Self { must: Arc::new(remote), best_effort: None, least: Durability::Remote }
    }

    /// Keeps events of these classes in a trail on the host's own disk, as long as that lasts: they are recorded at
    /// best effort. Everything else still goes to the database.
    #[cfg(feature = "postgres")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "postgres")))]
    #[must_use]
    pub fn best_effort(
        self,
        local: AuditLog,
        classes: impl IntoIterator<Item = compliance_core::event::EventClass>,
    ) -> Self {
        Self { best_effort: Some((Arc::new(local), classes.into_iter().collect())), ..self }
    }

    /// The least every receipt for what must be recorded says.
    #[must_use]
    pub fn least(&self) -> Durability {
        self.least
    }

    fn on(log: AuditLog) -> Self {
        let least = log.durability();
        Self { must: Arc::new(log), best_effort: None, least }
    }
}

impl Sink for DurableSink {
    fn record(&self, event: Event) -> Recording {
        match &self.best_effort {
            Some((local, classes)) if classes.contains(&event.kind().class()) => local.record(event),
            _ => self.must.record(event),
        }
    }
}

impl fmt::Debug for DurableSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DurableSink").field("least", &self.least).finish_non_exhaustive()
    }
}

/// What must be recorded has no place that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("audit trail refused: {0}")]
pub struct DurableError(DurableErrorKind);

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurableErrorKind {
    /// The event about the accepted risk was not of its shape.
    #[error("its event was refused")]
    Event,
    /// The accepted risk was not recorded.
    #[error("{0}")]
    Record(RecordError),
    /// Nobody accepts the risk any more.
    #[error("{0}")]
    Risk(RiskError),
    /// The directory's file system is not known to last.
    #[error("its directory's storage is `{found}`, expected `lasting`; without a disk, record in a database")]
    Storage {
        /// What it is.
        found: Storage,
    },
}

impl DurableError {
    /// Why.
    #[must_use]
    pub fn kind(&self) -> DurableErrorKind {
        self.0
    }

    /// `durable.event`, `durable.storage`, or the code of the risk acceptance or the recording.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            DurableErrorKind::Event => "durable.event",
            DurableErrorKind::Record(error) => error.code(),
            DurableErrorKind::Risk(error) => error.code(),
            DurableErrorKind::Storage { .. } => "durable.storage",
        }
    }
}

impl From<DurableErrorKind> for DurableError {
    fn from(kind: DurableErrorKind) -> Self {
        Self(kind)
    }
}
