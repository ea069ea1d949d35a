//! Who agreed that a key be destroyed before its time.

use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::id::ActorId;
use compliance_core::seal::KeyOwner;

/// How many approvals of one key a store keeps, the latest ones.
pub(super) const KEPT: usize = 8;

/// One person's agreement, given at a time of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    approver: ActorId,
    at: Timestamp,
}

impl Approval {
    /// How long an approval counts: seven days. Who agreed long ago may not agree any more.
    pub const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// Somebody's agreement.
    #[must_use]
    pub fn new(approver: ActorId, at: Timestamp) -> Self {
        Self { approver, at }
    }

    /// Who.
    #[must_use]
    pub fn approver(&self) -> &ActorId {
        &self.approver
    }

    /// When.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Puts it among those of the same key: somebody's latest counts.
    pub(super) fn put_among(self, approvals: &mut Vec<Self>) {
        approvals.retain(|other| other.approver != self.approver);
        approvals.push(self);
        approvals.sort_by_key(Self::at);
        let surplus = approvals.len().saturating_sub(KEPT);
        approvals.drain(..surplus);
    }
}

/// Whose agreement a destruction needs, besides that no hold is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store that overlooks one destroys what it must not")]
pub enum Consent {
    /// Nobody's: its time has come, or the law asks for it.
    NotNeeded,
    /// Of two different people, neither of them the owner, each given within [`Approval::LIFE`] before.
    OfTwoOthers,
}

impl Consent {
    /// Whether it is there for the key of `owner` at a time, with these approvals of that key. A store asks this in the
    /// step that destroys.
    ///
    /// ```
    /// use compliance_core::{clock::Timestamp, id::ActorId, seal::KeyOwner};
    /// use compliance_log::key_store::{Approval, Consent};
    ///
    /// let (owner, now) = (KeyOwner::new("audit.actor", "staff-17")?, Timestamp::UNIX_EPOCH);
    /// let by = |name| Ok::<_, compliance_core::id::IdError>(Approval::new(ActorId::new(name)?, now));
    /// assert!(Consent::OfTwoOthers.is_given(&owner, now, &[by("dpo-1")?, by("counsel-1")?]));
    /// assert!(!Consent::OfTwoOthers.is_given(&owner, now, &[by("dpo-1")?, by("dpo-1")?]));
    /// assert!(!Consent::OfTwoOthers.is_given(&owner, now, &[by("dpo-1")?, by("staff-17")?]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_given(self, owner: &KeyOwner, at: Timestamp, approvals: &[Approval]) -> bool {
        let since = at.saturating_sub(Approval::LIFE);
        let mut others = approvals.iter().filter(|approval| {
            (since..=at).contains(&approval.at) && approval.approver.as_str() != owner.name()
        });
        match self {
            Self::NotNeeded => true,
            Self::OfTwoOthers => {
                others.next().is_some_and(|first| others.any(|second| second.approver != first.approver))
            }
        }
    }
}
