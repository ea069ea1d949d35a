//! The key store in SQLite: what is destroyed is in no file of it, and nothing is destroyed that is held.

use std::fs;
use std::path::Path;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyId, KeyOwner, KeyRing, KeyStore, SealContext};
use compliance_core::testing::DeterministicRandom;
use compliance_log::key_store::{CaseId, Consent, HeldKeyStore, LegalHold, SqliteKeyStore, UnheldError};

const CONTEXT: SealContext<'static> = SealContext::new("audit.field");
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn kek(byte: u8) -> KeyEncryptionKey {
    KeyEncryptionKey::new(&[byte; 32]).unwrap()
}

fn open(dir: &Path) -> SqliteKeyStore {
    SqliteKeyStore::open(dir.join("keys.db"), KeyRing::new(kek(1))).unwrap()
}

fn owner(name: &str) -> KeyOwner {
    KeyOwner::new("audit.subject", name).unwrap().of_tenant(TenantId::new("acme").unwrap())
}

fn case(text: &str) -> CaseId {
    CaseId::new(text).unwrap()
}

/// Everything in every file of the folder.
fn bytes(dir: &Path) -> Vec<u8> {
    fs::read_dir(dir).unwrap().flat_map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn what_was_sealed_opens_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let sealed = open(dir.path()).seal(&owner("anna"), CONTEXT, b"value", &SystemRandom).unwrap();
    let keys = open(dir.path());
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap().as_bytes(), b"value");
    assert_eq!(keys.find(&owner("anna")).unwrap(), Some(sealed.key()));
    assert_eq!(keys.find(&owner("ben")).unwrap(), None);
    assert_eq!(keys.create(&owner("anna"), &SystemRandom).unwrap_err().code(), "seal.key_exists");
    assert_eq!(keys.unwrap_key(KeyId::from_bytes([9; 16])).unwrap_err().code(), "seal.unknown_key");
}

#[test]
fn a_destroyed_key_and_its_owners_name_are_in_no_file_of_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let keys = open(dir.path());
    let ring = KeyRing::new(kek(1));
    // The same chance gives the same wrapped key: what the store wrote is known to the byte.
    let made: Vec<_> = (0..150_u64)
        .map(|number| {
            let name = format!("person-{number:04}-of-acme");
            let key = keys.create(&owner(&name), &DeterministicRandom::new(number)).unwrap().id();
            let (_, wrapped) = ring.create(&owner(&name), &DeterministicRandom::new(number)).unwrap();
            assert_eq!(wrapped.key(), key);
            (name, key, wrapped.to_bytes())
        })
        .collect();
    let is_there = |written: &[u8], name: &str, wrapped: &[u8]| {
        let secret = &wrapped[wrapped.len() - 32..];
        (holds(written, name.as_bytes()), holds(written, secret))
    };
    let written = bytes(dir.path());
    assert!(made.iter().all(|(name, _, wrapped)| is_there(&written, name, wrapped) == (true, true)));
    // From both ends and the middle, so that pages are emptied and joined.
    let mut order: Vec<_> = (0..made.len()).collect();
    order.sort_by_key(|at| (at % 5, *at));
    let gone = &order[..40];
    for (count, at) in gone.iter().enumerate() {
        let (name, key, _) = &made[*at];
        assert_eq!(keys.destroy(*key, NOW).unwrap().key(), *key);
        let written = bytes(dir.path());
        assert!(!holds(&written, name.as_bytes()), "{name}");
        if count % 20 == 19 {
            for at in &gone[..=count] {
                let (name, _, wrapped) = &made[*at];
                assert_eq!(is_there(&written, name, wrapped), (false, false), "{name}");
            }
        }
    }
    for at in &order[40..] {
        assert!(keys.unwrap_key(made[*at].1).is_ok(), "others are untouched");
    }
    println!("{} keys destroyed one by one, 0 remnants of wrapped keys or names", gone.len());
    drop(keys);
    let keys = open(dir.path());
    assert_eq!(keys.unwrap_key(made[gone[0]].1).unwrap_err().code(), "seal.destroyed");
    // Again: the first receipt again. And the owner may begin anew.
    let later = NOW.saturating_add(Duration::from_secs(9));
    assert_eq!(keys.destroy(made[gone[0]].1, later).unwrap().destroyed_at(), NOW);
    keys.create(&owner(&made[gone[0]].0), &SystemRandom).unwrap();
}

#[test]
fn what_a_crash_left_of_a_deletion_is_cleared_on_opening() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join("keys.db");
    // As after a crash: a row deleted without overwriting, the note that it is to be cleared kept.
    let meddle = |statements: &[&'static str]| {
        use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
            for statement in statements {
                sqlx::query(*statement).execute(&mut connection).await.unwrap();
            }
            connection.close().await.unwrap();
        });
    };
    meddle(&[
        "PRAGMA secure_delete = OFF",
        "INSERT INTO data_key VALUES (zeroblob(16), 'acme', 'audit.subject', 'anna-4711', x'00')",
        "INSERT INTO uncleared VALUES (1)",
        "DELETE FROM data_key",
    ]);
    assert!(holds(&bytes(dir.path()), b"anna-4711"));
    drop(open(dir.path()));
    assert!(!holds(&bytes(dir.path()), b"anna-4711"));
}

#[test]
fn nothing_is_destroyed_that_is_held_and_each_case_is_lifted_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let keys = open(dir.path());
    let anna = owner("anna");
    let key = keys.create(&anna, &SystemRandom).unwrap().id();
    for text in ["LG-7-O-12/26", "LG-7-O-13/26"] {
        keys.place_hold(&LegalHold::new(anna.clone(), case(text), NOW)).unwrap();
    }
    keys.place_hold(&LegalHold::new(anna.clone(), case("LG-7-O-12/26"), NOW)).unwrap();
    drop(keys);
    let keys = open(dir.path());
    assert_eq!(keys.holds().unwrap().len(), 2);
    let mut told = 0;
    let mut destroy = |keys: &SqliteKeyStore, answer: bool| {
        keys.destroy_unheld(&anna, Consent::NotNeeded, NOW, &mut |_| {
            told += 1;
            answer
        })
    };
    assert_eq!(destroy(&keys, true), Err(UnheldError::Held));
    assert!(keys.lift_hold(&anna, &case("LG-7-O-12/26")).unwrap());
    assert_eq!(destroy(&keys, true), Err(UnheldError::Held));
    assert!(keys.lift_hold(&anna, &case("LG-7-O-13/26")).unwrap());
    assert!(!keys.lift_hold(&anna, &case("LG-7-O-13/26")).unwrap());
    // What must be noted before was not: the key lives.
    assert_eq!(destroy(&keys, false), Err(UnheldError::NotNoted));
    assert!(keys.unwrap_key(key).is_ok());
    assert_eq!(destroy(&keys, true).unwrap().unwrap().key(), key);
    assert_eq!(destroy(&keys, true), Ok(None));
    assert_eq!(told, 2, "nobody is told of what is held or gone");
    assert!(!holds(&bytes(dir.path()), b"anna"), "neither key nor lifted holds name her");
}

#[test]
fn a_hold_and_a_destruction_that_race_never_both_win_halfway() {
    let dir = tempfile::tempdir().unwrap();
    let keys = open(dir.path());
    let owners: Vec<_> = (0..40).map(|number| owner(&format!("person-{number}"))).collect();
    let made: Vec<_> = owners.iter().map(|owner| keys.create(owner, &SystemRandom).unwrap().id()).collect();
    let destroyed: Vec<_> = std::thread::scope(|scope| {
        let placing = scope.spawn(|| {
            for owner in owners.iter().rev() {
                keys.place_hold(&LegalHold::new(owner.clone(), case("c-1"), NOW)).unwrap();
            }
        });
        let destroyed = owners
            .iter()
            .map(|owner| {
                let mut noted = None;
                let result = keys.destroy_unheld(owner, Consent::NotNeeded, NOW, &mut |key| {
                    noted = Some(key);
                    true
                });
                // Noted exactly when destroyed, never when held.
                assert_eq!(noted.is_some(), result.is_ok());
                result.is_ok()
            })
            .collect();
        placing.join().unwrap();
        destroyed
    });
    for (key, is_destroyed) in made.iter().zip(destroyed) {
        assert_eq!(keys.unwrap_key(*key).is_err(), is_destroyed);
    }
    assert_eq!(keys.holds().unwrap().len(), owners.len());
}

#[test]
fn rotation_is_all_or_nothing_and_leaves_nothing_under_the_old_key() {
    let dir = tempfile::tempdir().unwrap();
    let keys = open(dir.path());
    let sealed = keys.seal(&owner("anna"), CONTEXT, b"value", &DeterministicRandom::new(1)).unwrap();
    keys.seal(&owner("ben"), CONTEXT, b"value", &SystemRandom).unwrap();
    let old = KeyRing::new(kek(1)).create(&owner("anna"), &DeterministicRandom::new(1)).unwrap().1.to_bytes();
    let secret = &old[old.len() - 32..];
    assert!(holds(&bytes(dir.path()), secret));
    assert_eq!(keys.rotate(kek(2), &SystemRandom).unwrap(), 2);
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap().as_bytes(), b"value");
    assert!(!holds(&bytes(dir.path()), secret));
    drop(keys);
    // Under the wrong key-encryption key nothing opens, and nothing is rotated.
    let keys = open(dir.path());
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap_err().code(), "seal.open_failed");
    assert_eq!(keys.rotate(kek(3), &SystemRandom).unwrap_err().code(), "seal.key_not_unwrapped");
    drop(keys);
    let keys = SqliteKeyStore::open(dir.path().join("keys.db"), KeyRing::new(kek(2))).unwrap();
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap().as_bytes(), b"value");
}

#[track_caller]
fn check_refused(content: &[u8], expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.db");
    fs::write(&path, content).unwrap();
    let refused = SqliteKeyStore::open(&path, KeyRing::new(kek(1))).unwrap_err();
    assert_eq!(refused.code(), expected);
}

#[test]
fn one_process_at_a_time_and_no_other_database() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let second = SqliteKeyStore::open(dir.path().join("keys.db"), KeyRing::new(kek(1))).unwrap_err();
    assert_eq!(second.code(), "key_store.locked");
    drop(first);
    let whole = fs::read(dir.path().join("keys.db")).unwrap();
    check_refused(
        b"This is a diary, and not a short one: it goes on for quite some time.",
        "key_store.damaged",
    );
    let mut other = whole.clone();
    other[68..72].copy_from_slice(&[0, 0, 0, 1]); // The application id of another program.
    check_refused(&other, "key_store.other");
    let mut later = whole;
    later[60..64].copy_from_slice(&[0, 0, 0, 9]); // A version nobody knows.
    check_refused(&later, "key_store.damaged");
}

#[test]
fn a_flipped_byte_is_refused_or_opens_nothing_false() {
    let dir = tempfile::tempdir().unwrap();
    let (path, sealed) = {
        let keys = open(dir.path());
        let sealed: Vec<_> = ["anna", "ben"]
            .iter()
            .map(|name| keys.seal(&owner(name), CONTEXT, name.as_bytes(), &SystemRandom).unwrap())
            .collect();
        keys.place_hold(&LegalHold::new(owner("anna"), case("c-1"), NOW)).unwrap();
        (dir.path().join("keys.db"), sealed)
    };
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut unaffected, mut lost) = (0, 0, 0);
    for at in (0..whole.len()).filter(|at| whole[*at] != 0).step_by(7) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let Ok(keys) = SqliteKeyStore::open(&path, KeyRing::new(kek(1))) else {
            refused += 1;
            continue;
        };
        let mut is_lost = keys.holds().map_or(true, |holds| holds.len() != 1);
        for (name, sealed) in ["anna", "ben"].iter().zip(&sealed) {
            match keys.open(CONTEXT, sealed) {
                Ok(opened) => assert_eq!(opened.as_bytes(), name.as_bytes(), "flip at {at}"),
                Err(error) => {
                    assert_ne!(error.code(), "seal.destroyed", "damage at {at} must not pass for an erasure");
                    is_lost = true;
                }
            }
        }
        if is_lost { lost += 1 } else { unaffected += 1 }
    }
    println!("flips: {refused} refused on opening, {lost} told on use, {unaffected} without effect");
    assert!(refused > 0 && lost > 0);
}
