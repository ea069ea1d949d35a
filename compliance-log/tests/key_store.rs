//! The key store on disk.

use std::fs;
use std::path::Path;
use std::time::Duration;

use compliance_core::id::TenantId;
use compliance_core::random::SystemRandom;
use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyRing, KeyStore, SealContext};
use compliance_log::key_store::{FileKeyStore, HeldKeyStore, KeyStoreOpenErrorKind};

fn kek(byte: u8) -> KeyEncryptionKey {
    KeyEncryptionKey::new(&[byte; 32]).unwrap()
}

fn open(dir: &Path) -> FileKeyStore {
    FileKeyStore::open(dir, KeyRing::new(kek(1))).unwrap()
}

fn owner(name: &str) -> KeyOwner {
    KeyOwner::new("audit.subject", name).unwrap().of_tenant(TenantId::new("acme").unwrap())
}

const CONTEXT: SealContext<'static> = SealContext::new("audit.field");

fn files(dir: &Path, extension: &str) -> usize {
    fs::read_dir(dir)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|found| found == extension))
        .count()
}

#[test]
fn what_was_sealed_opens_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let sealed = open(dir.path()).seal(&owner("anna"), CONTEXT, b"value", &SystemRandom).unwrap();
    let keys = open(dir.path());
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap().as_bytes(), b"value");
    assert_eq!(keys.find(&owner("anna")).unwrap(), Some(sealed.key()));
    assert_eq!(keys.create(&owner("anna"), &SystemRandom).unwrap_err().code(), "seal.key_exists");
}

#[test]
fn a_destroyed_key_stays_destroyed_and_leaves_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let at = "2026-11-21T12:00:00Z".parse().unwrap();
    let sealed = {
        let keys = open(dir.path());
        keys.declare_backup("hourly", Duration::from_secs(60)).unwrap();
        keys.declare_backup("nightly", Duration::from_secs(3600)).unwrap();
        let sealed = keys.seal(&owner("anna"), CONTEXT, b"value", &SystemRandom).unwrap();
        let receipt = keys.destroy(sealed.key(), at).unwrap();
        assert!(!receipt.is_complete(at));
        assert!(receipt.is_complete(at.saturating_add(Duration::from_secs(3601))));
        sealed
    };
    assert_eq!((files(dir.path(), "key"), files(dir.path(), "gone")), (0, 1));
    let left: Vec<u8> = fs::read_dir(dir.path())
        .unwrap()
        .flat_map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!left.windows(4).any(|window| window == b"anna"));

    let keys = open(dir.path());
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap_err().code(), "seal.destroyed");
    // Again: the first receipt again. And the owner may begin anew.
    assert_eq!(
        keys.destroy(sealed.key(), at.saturating_add(Duration::from_secs(9))).unwrap().destroyed_at(),
        at
    );
    keys.create(&owner("anna"), &SystemRandom).unwrap();
}

#[test]
fn opening_finishes_a_destruction_that_a_crash_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let (sealed, living) = {
        let keys = open(dir.path());
        let sealed = keys.seal(&owner("anna"), CONTEXT, b"value", &SystemRandom).unwrap();
        let file = dir.path().join(format!("{}.key", sealed.key()));
        let living = (file.clone(), fs::read(file).unwrap());
        let receipt = keys.destroy(sealed.key(), "2026-11-21T12:00:00Z".parse().unwrap()).unwrap();
        assert!(receipt.backups_until().is_none());
        (sealed, living)
    };
    fs::write(&living.0, &living.1).unwrap();
    fs::write(dir.path().join("half.tmp"), b"half").unwrap();
    let keys = open(dir.path());
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap_err().code(), "seal.destroyed");
    assert_eq!((files(dir.path(), "key"), files(dir.path(), "tmp")), (0, 0));
}

#[test]
fn rotation_leaves_sealed_values_alone_and_the_old_key_useless() {
    let dir = tempfile::tempdir().unwrap();
    let sealed = {
        let keys = open(dir.path());
        let sealed = keys.seal(&owner("anna"), CONTEXT, b"value", &SystemRandom).unwrap();
        assert_eq!(keys.rotate(kek(2), &SystemRandom).unwrap(), 1);
        assert_eq!(keys.open(CONTEXT, &sealed).unwrap().as_bytes(), b"value");
        sealed
    };
    assert_eq!(open(dir.path()).open(CONTEXT, &sealed).unwrap_err().code(), "seal.open_failed");
    let keys = FileKeyStore::open(dir.path(), KeyRing::new(kek(2))).unwrap();
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap().as_bytes(), b"value");
}

#[cfg(unix)]
#[test]
fn after_a_failed_write_nothing_is_changed_until_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let keys = open(dir.path());
    let sealed = keys.seal(&owner("anna"), CONTEXT, b"value", &SystemRandom).unwrap();
    // The folder is gone from under the store: every write fails, for root too.
    let aside = dir.path().with_extension("aside");
    fs::rename(dir.path(), &aside).unwrap();
    assert_eq!(keys.create(&owner("max"), &SystemRandom).unwrap_err().code(), "seal.store_unavailable");
    fs::rename(&aside, dir.path()).unwrap();
    assert_eq!(keys.create(&owner("max"), &SystemRandom).unwrap_err().code(), "seal.store_unavailable");
    assert_eq!(keys.open(CONTEXT, &sealed).unwrap().as_bytes(), b"value");
    drop(keys);
    open(dir.path()).create(&owner("max"), &SystemRandom).unwrap();
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path());
    let second = FileKeyStore::open(dir.path(), KeyRing::new(kek(1))).unwrap_err();
    assert_eq!(second.kind(), KeyStoreOpenErrorKind::Locked);
}

#[test]
fn every_cut_and_flip_of_a_key_file_is_refused_or_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sealed = open(dir.path()).seal(&owner("anna"), CONTEXT, b"value", &SystemRandom).unwrap();
    let path = dir.path().join(format!("{}.key", sealed.key()));
    let whole = fs::read(&path).unwrap();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let refused = FileKeyStore::open(dir.path(), KeyRing::new(kek(1))).unwrap_err();
        assert_eq!(refused.code(), "key_store.damaged", "cut at {end}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let opened = FileKeyStore::open(dir.path(), KeyRing::new(kek(1)))
            .map(|keys| keys.open(CONTEXT, &sealed).is_ok());
        assert_ne!(opened.ok(), Some(true), "flip at {at}");
    }
}
