//! What both stores on disk keep beside the keys: approvals, looked at with the holds in the step that destroys a key, and
//! declared backups.

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::id::{ActorId, TenantId};
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyId, KeyOwner, KeyRing};
use compliance_log::key_store::{
    Approval, CaseId, Consent, FileKeyStore, HeldKeyStore, LegalHold, SqliteKeyStore, UnheldError,
};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const SECOND: Duration = Duration::from_secs(1);

type Open = fn(&Path) -> Box<dyn HeldKeyStore>;

fn ring() -> KeyRing {
    KeyRing::new(KeyEncryptionKey::new(&[1; 32]).unwrap())
}

fn in_files(dir: &Path) -> Box<dyn HeldKeyStore> {
    Box::new(FileKeyStore::open(dir.join("keys"), ring()).unwrap())
}

fn in_sqlite(dir: &Path) -> Box<dyn HeldKeyStore> {
    Box::new(SqliteKeyStore::open(dir.join("keys.db"), ring()).unwrap())
}

const STORES: [Open; 2] = [in_files, in_sqlite];

fn owner(name: &str) -> KeyOwner {
    KeyOwner::new("audit.actor", name).unwrap().of_tenant(TenantId::new("acme").unwrap())
}

fn by(name: &str, at: Timestamp) -> Approval {
    Approval::new(ActorId::new(name).unwrap(), at)
}

fn hold(owner: &KeyOwner) -> LegalHold {
    LegalHold::new(owner.clone(), CaseId::new("LG-7-O-12/26").unwrap(), NOW)
}

/// Whether a file of the store has these bytes.
fn names(dir: &Path, needle: &[u8]) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return names(&path, needle);
        }
        fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle)
    })
}

fn destroy(keys: &dyn HeldKeyStore, owner: &KeyOwner, at: Timestamp) -> Result<bool, UnheldError> {
    keys.destroy_unheld(owner, Consent::OfTwoOthers, at, &mut |_| true).map(|receipt| receipt.is_some())
}

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn an_erasure_is_pending_until_the_last_declared_backup_has_expired() {
    for open in STORES {
        let dir = tempfile::tempdir().unwrap();
        let later = |days: u32| NOW.saturating_add(DAY * days);
        let (first, receipt) = {
            let keys = open(dir.path());
            keys.declare_backup("nightly", DAY * 7).unwrap();
            keys.declare_backup("monthly", DAY * 90).unwrap();
            keys.declare_backup("hourly", DAY).unwrap();
            let first = keys.create(&owner("anna"), &SystemRandom).unwrap().id();
            (first, keys.destroy(first, NOW).unwrap())
        };
        assert_eq!(receipt.backups_until(), Some(later(90)));
        // Declared once, not with every start.
        let keys = open(dir.path());
        assert_eq!(keys.pending(later(90)).unwrap(), [receipt]);
        assert_eq!(keys.pending(later(91)).unwrap(), []);
        let second = keys.create(&owner("ben"), &SystemRandom).unwrap().id();
        assert_eq!(keys.destroy(second, later(1)).unwrap().backups_until(), Some(later(91)));

        // Copies that turn out to live longer hold what was destroyed before, too.
        keys.declare_backup("archive", DAY * 365).unwrap();
        let pending: Vec<_> = keys.pending(later(100)).unwrap().iter().map(|receipt| receipt.key()).collect();
        assert_eq!(pending, [first, second]);
        assert_eq!(keys.destroy(first, later(100)).unwrap().backups_until(), Some(later(365)));
        // That others will live shorter from now on says nothing of those there are.
        keys.declare_backup("archive", DAY).unwrap();
        keys.declare_backup("monthly", DAY).unwrap();
        let pending: Vec<_> = keys.pending(later(90)).unwrap().iter().map(|receipt| receipt.key()).collect();
        assert_eq!(pending, [first, second]);
    }
}

/// What nobody had declared when a key was destroyed may hold it all the same.
#[test]
fn a_backup_declared_too_late_makes_an_erasure_pending() {
    for open in STORES {
        let dir = tempfile::tempdir().unwrap();
        let keys = open(dir.path());
        let key = keys.create(&owner("anna"), &SystemRandom).unwrap().id();
        assert!(keys.destroy(key, NOW).unwrap().is_complete(NOW));
        assert_eq!(keys.pending(NOW).unwrap(), []);
        keys.declare_backup("nightly", DAY * 7).unwrap();
        assert_eq!(keys.pending(NOW.saturating_add(DAY)).unwrap().len(), 1);
        assert_eq!(keys.pending(NOW.saturating_add(DAY * 8)).unwrap(), []);
    }
}

/// Whether these approvals of anna's key, each so many seconds after the first, are enough at a time.
#[track_caller]
fn check(approvals: &[(&str, u64)], at: Duration, expected: bool) {
    for open in STORES {
        let dir = tempfile::tempdir().unwrap();
        let anna = owner("anna");
        {
            let keys = open(dir.path());
            let key = keys.create(&anna, &SystemRandom).unwrap().id();
            for (name, after) in approvals {
                keys.approve(key, by(name, NOW.saturating_add(SECOND * u32::try_from(*after).unwrap())))
                    .unwrap();
            }
        }
        let result = destroy(&*open(dir.path()), &anna, NOW.saturating_add(at));
        assert_eq!(result, if expected { Ok(true) } else { Err(UnheldError::NotApproved) });
    }
}

#[test]
fn two_different_people_approve_and_neither_is_the_owner() {
    check(&[], SECOND, false);
    check(&[("dpo", 0)], SECOND, false);
    check(&[("dpo", 0), ("dpo", 1)], SECOND, false);
    check(&[("dpo", 0), ("anna", 1)], SECOND, false);
    check(&[("dpo", 0), ("boss", 1)], SECOND, true);
    check(&[("anna", 0), ("dpo", 0), ("boss", 1)], SECOND, true);
}

#[test]
fn an_approval_counts_from_its_time_on_and_for_its_life() {
    check(&[("dpo", 0), ("boss", 2)], SECOND, false);
    check(&[("dpo", 0), ("boss", 2)], Approval::LIFE, true);
    check(&[("dpo", 0), ("boss", 2)], Approval::LIFE + SECOND, false);
    check(&[("dpo", 0), ("boss", 2), ("dpo", 3)], Approval::LIFE + SECOND, true);
}

#[test]
fn any_number_of_people_may_approve() {
    let names: Vec<_> = (0..40).map(|number| format!("{number:0>128}")).collect();
    let approvals: Vec<_> = names.iter().zip(0..).map(|(name, at)| (name.as_str(), at)).collect();
    check(&approvals, SECOND * 60, true);
}

#[test]
fn only_a_living_key_can_be_approved_of() {
    for open in STORES {
        let dir = tempfile::tempdir().unwrap();
        let keys = open(dir.path());
        let unknown = keys.approve(KeyId::from_bytes([9; 16]), by("dpo", NOW)).unwrap_err();
        assert_eq!(unknown.code(), "seal.unknown_key");
        let key = keys.create(&owner("anna"), &SystemRandom).unwrap().id();
        keys.approve(key, by("dpo", NOW)).unwrap();
        let _receipt = keys.destroy(key, NOW).unwrap();
        assert!(!names(dir.path(), b"dpo"), "approvals go with the key");
        assert_eq!(keys.approve(key, by("boss", NOW)).unwrap_err().code(), "seal.destroyed");
        // Whoever comes back under a new key is not approved of by what was said of the old one.
        let key = keys.create(&owner("anna"), &SystemRandom).unwrap().id();
        keys.approve(key, by("boss", NOW)).unwrap();
        assert_eq!(destroy(&*keys, &owner("anna"), NOW), Err(UnheldError::NotApproved));
    }
}

/// Looking at approvals and holds, the note in the ledger and the destruction are one step: who would change anything in
/// between waits until it is over, and finds the key gone.
#[test]
fn nothing_comes_between_looking_and_destroying() {
    for open in STORES {
        let dir = tempfile::tempdir().unwrap();
        let keys = open(dir.path());
        let (keys, anna) = (&*keys, owner("anna"));
        let key = keys.create(&anna, &SystemRandom).unwrap().id();
        for name in ["dpo", "boss"] {
            keys.approve(key, by(name, NOW)).unwrap();
        }
        let (sender, placed) = mpsc::channel();
        thread::scope(|scope| {
            let mut note = |noted: KeyId| {
                let (sender, anna) = (sender.clone(), &anna);
                scope.spawn(move || {
                    keys.place_hold(&hold(anna)).unwrap();
                    sender.send(keys.unwrap_key(noted).is_err()).unwrap();
                });
                // On a slow machine the hold may not even have been tried by then; it is never in force.
                assert!(
                    placed.recv_timeout(Duration::from_millis(100)).is_err(),
                    "a hold was placed in between"
                );
                true
            };
            assert!(keys.destroy_unheld(&anna, Consent::OfTwoOthers, NOW, &mut note).unwrap().is_some());
        });
        assert!(placed.recv().unwrap(), "the hold came after the destruction");
    }
}

/// What is not noted is not destroyed, and the approvals are there for the next try.
#[test]
fn a_destruction_that_is_not_noted_changes_nothing() {
    for open in STORES {
        let dir = tempfile::tempdir().unwrap();
        let anna = owner("anna");
        let keys = open(dir.path());
        let key = keys.create(&anna, &SystemRandom).unwrap().id();
        for name in ["dpo", "boss"] {
            keys.approve(key, by(name, NOW)).unwrap();
        }
        let refused = keys.destroy_unheld(&anna, Consent::OfTwoOthers, NOW, &mut |_| false);
        assert_eq!(refused, Err(UnheldError::NotNoted));
        drop(keys);
        let keys = open(dir.path());
        assert!(keys.unwrap_key(key).is_ok());
        assert_eq!(destroy(&*keys, &anna, NOW), Ok(true));
    }
}

/// Approvals, holds and destructions from three sides: a key goes exactly when both had approved and nobody held it.
#[test]
fn approvals_holds_and_destructions_that_race_leave_nothing_halfway() {
    for open in STORES {
        let dir = tempfile::tempdir().unwrap();
        let keys = open(dir.path());
        let keys = &*keys;
        let owners: Vec<_> = (0..30).map(|number| owner(&format!("person-{number}"))).collect();
        let made: Vec<_> =
            owners.iter().map(|owner| keys.create(owner, &SystemRandom).unwrap().id()).collect();
        for key in &made {
            keys.approve(*key, by("dpo", NOW)).unwrap();
        }
        let results: Vec<_> = thread::scope(|scope| {
            scope.spawn(|| {
                for (number, key) in made.iter().enumerate() {
                    if number % 3 != 0 {
                        // Gone, where the other two were quicker; then there is nothing to approve.
                        let _approved = keys.approve(*key, by("boss", NOW));
                    }
                }
            });
            scope.spawn(|| owners.iter().rev().for_each(|owner| keys.place_hold(&hold(owner)).unwrap()));
            let destroying =
                scope.spawn(|| owners.iter().map(|owner| destroy(keys, owner, NOW)).collect::<Vec<_>>());
            destroying.join().unwrap()
        });
        for (number, (key, result)) in made.iter().zip(results).enumerate() {
            assert_eq!(keys.unwrap_key(*key).is_err(), result == Ok(true), "{number}");
            if number % 3 == 0 {
                assert_ne!(result, Ok(true), "one person was enough for {number}");
            }
        }
    }
}
