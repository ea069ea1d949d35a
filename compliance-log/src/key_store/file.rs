use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::id::{ActorId, TenantId};
use compliance_core::random::SecureRandom;
use compliance_core::seal::{
    DataKey, DestroyReceipt, KeyEncryptionKey, KeyId, KeyOwner, KeyRing, KeyStore, KeyStoreError,
    KeyStoreErrorKind, WrappedKey,
};
use sha2::{Digest, Sha256};

use super::approval::{Approval, Consent};
use super::hold::{CaseId, HeldKeyStore, LegalHold, UnheldError, under};
use super::{KeyStoreOpenError, KeyStoreOpenErrorKind};
use crate::{directory, private};

const LIVING: &str = "key";
const DESTROYED: &str = "gone";
const APPROVED: &str = "approved";
const HELD: &str = "hold";
const BACKUPS: &str = "backups";
const UNFINISHED: &str = "tmp";
const LOCK: &str = "lock";
const VERSION: u8 = 1;

/// The largest file read, in bytes: owner, tenant and wrapped key with room to spare.
const MAX_FILE_LEN: u64 = 4096;

/// A [`KeyStore`] in a folder. One process has it open at a time.
///
/// Answers `Ok` only when the change is synchronised, file and folder. After a change that failed it takes no further
/// one until it is opened again; what is there goes on opening values. Every key is read into memory on opening,
/// wrapped as it is on disk: some 500 bytes each.
///
/// # Security
/// Whoever has the folder has the wrapped keys and the owners' names; without the key-encryption key they open
/// nothing. Keep that key elsewhere. Destroying a key overwrites its file before removing it; copies in backups
/// and in a flash drive's spare blocks are beyond a program's reach: declare each backup with
/// [`declare_backup`](HeldKeyStore::declare_backup), and destroy the key-encryption key with the drive.
#[derive(Debug)]
pub struct FileKeyStore {
    dir: PathBuf,
    state: Mutex<State>,
    // Held for its lock.
    _lock: File,
}

#[derive(Debug)]
struct State {
    ring: KeyRing,
    living: HashMap<KeyId, (KeyOwner, WrappedKey)>,
    by_owner: HashMap<KeyOwner, KeyId>,
    destroyed: HashMap<KeyId, DestroyReceipt>,
    holds: Vec<LegalHold>,
    approvals: HashMap<KeyId, Vec<Approval>>,
    /// How long each declared backup may hold a file.
    backups: BTreeMap<String, Duration>,
    /// A write failed: what the disk holds is known only after opening again.
    is_poisoned: bool,
}

impl State {
    /// The time of the declared backup that lives longest.
    fn longest(&self) -> Option<Duration> {
        self.backups.values().max().copied()
    }
}

impl FileKeyStore {
    /// Opens the store in `dir`, creating the folder where there is none. `ring` holds the key-encryption key that
    /// wraps, and those that wrapped earlier when a [`rotate`](KeyStore::rotate) was cut short.
    ///
    /// # Errors
    /// [`KeyStoreOpenError`]: `key_store.locked`, `key_store.damaged`, `key_store.io`.
    pub fn open(dir: impl AsRef<Path>, ring: KeyRing) -> Result<Self, KeyStoreOpenError> {
        let dir = dir.as_ref().to_owned();
        directory::create(dir.as_ref(), 0o700)?;
        let lock =
            private::open_own(OpenOptions::new().write(true).create(true).truncate(false), &dir.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(KeyStoreOpenErrorKind::Locked.into());
            }
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let state = read_all(&dir, ring)?;
        Ok(Self { dir, state: Mutex::new(state), _lock: lock })
    }

    /// The memory follows the disk only after the disk took the change, so what a panicking thread leaves is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, key: KeyId, extension: &str) -> PathBuf {
        self.dir.join(format!("{key}.{extension}"))
    }

    /// For changes: refused once one has failed half-way, so that no retry makes a second key for an owner who has one
    /// on disk already. Opening the folder again finds out.
    fn state_to_change(&self) -> Result<MutexGuard<'_, State>, KeyStoreError> {
        let state = self.state();
        if state.is_poisoned { Err(KeyStoreErrorKind::Unavailable.into()) } else { Ok(state) }
    }

    fn destroy_in(
        &self,
        state: &mut State,
        key: KeyId,
        at: Timestamp,
    ) -> Result<DestroyReceipt, KeyStoreError> {
        if let Some(receipt) = state.destroyed.get(&key) {
            // An earlier call may have failed between tombstone and removal.
            let receipt = under(*receipt, state.longest());
            self.remove_all_of(key).map_err(|_| poison(&mut state.is_poisoned))?;
            return Ok(receipt);
        }
        if !state.living.contains_key(&key) {
            return Err(KeyStoreErrorKind::UnknownKey.into());
        }
        let receipt = under(DestroyReceipt::attest(key, at, None), state.longest());
        // The tombstone first: after a crash in between, opening finishes the removal.
        self.write(&key.to_string(), DESTROYED, &encode_destroyed(&receipt))
            .map_err(|_| poison(&mut state.is_poisoned))?;
        if let Some((owner, _)) = state.living.remove(&key) {
            state.by_owner.remove(&owner);
        }
        state.approvals.remove(&key);
        state.destroyed.insert(key, receipt);
        self.remove_all_of(key).map_err(|_| poison(&mut state.is_poisoned))?;
        Ok(receipt)
    }

    /// What there is of a destroyed key besides its tombstone.
    fn remove_all_of(&self, key: KeyId) -> io::Result<()> {
        remove(&self.dir, &self.path(key, LIVING))?;
        remove(&self.dir, &self.path(key, APPROVED))
    }

    /// Replaces or creates a file: the old or the new content is there at any time, never half of one.
    fn write(&self, stem: &str, extension: &str, content: &[u8]) -> io::Result<()> {
        let unfinished = self.dir.join(format!("{stem}.{UNFINISHED}"));
        let mut file =
            private::open_own(OpenOptions::new().write(true).create(true).truncate(true), &unfinished)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(unfinished, self.dir.join(format!("{stem}.{extension}")))?;
        directory::sync(&self.dir)
    }
}

impl KeyStore for FileKeyStore {
    fn create(&self, owner: &KeyOwner, random: &dyn SecureRandom) -> Result<DataKey, KeyStoreError> {
        let mut state = self.state_to_change()?;
        if state.by_owner.contains_key(owner) {
            return Err(KeyStoreErrorKind::AlreadyExists.into());
        }
        let (key, wrapped) = state.ring.create(owner, random)?;
        // A source that repeats itself must not overwrite a living key or bring back a destroyed one.
        if state.living.contains_key(&key.id()) || state.destroyed.contains_key(&key.id()) {
            return Err(KeyStoreErrorKind::Random.into());
        }
        self.write(&key.id().to_string(), LIVING, &encode_living(owner, &wrapped))
            .map_err(|_| poison(&mut state.is_poisoned))?;
        state.living.insert(key.id(), (owner.clone(), wrapped));
        state.by_owner.insert(owner.clone(), key.id());
        Ok(key)
    }

    fn find(&self, owner: &KeyOwner) -> Result<Option<KeyId>, KeyStoreError> {
        Ok(self.state().by_owner.get(owner).copied())
    }

    fn unwrap_key(&self, key: KeyId) -> Result<DataKey, KeyStoreError> {
        let state = self.state();
        match state.living.get(&key) {
            Some((owner, wrapped)) => state.ring.unwrap_key(owner, wrapped),
            None if state.destroyed.contains_key(&key) => Err(KeyStoreErrorKind::Destroyed.into()),
            None => Err(KeyStoreErrorKind::UnknownKey.into()),
        }
    }

    fn destroy(&self, key: KeyId, at: Timestamp) -> Result<DestroyReceipt, KeyStoreError> {
        let mut state = self.state_to_change()?;
        self.destroy_in(&mut state, key, at)
    }

    /// As the trait says, but for a disk that fails half-way: then some keys are wrapped under `to` and some under
    /// the earlier key, and the store must be [opened](Self::open) again with both.
    fn rotate(&self, to: KeyEncryptionKey, random: &dyn SecureRandom) -> Result<usize, KeyStoreError> {
        let mut state = self.state_to_change()?;
        let State { ring, living, is_poisoned, .. } = &mut *state;
        // Whoever cannot be unwrapped stops the rotation before anything is written.
        for (owner, wrapped) in living.values() {
            ring.unwrap_key(owner, wrapped)?;
        }
        ring.rotate(to);
        for (id, (owner, wrapped)) in living.iter_mut() {
            let rewrapped = ring.rewrap(owner, wrapped, random)?;
            self.write(&id.to_string(), LIVING, &encode_living(owner, &rewrapped))
                .map_err(|_| poison(is_poisoned))?;
            *wrapped = rewrapped;
        }
        ring.forget_previous();
        Ok(living.len())
    }
}

impl HeldKeyStore for FileKeyStore {
    fn place_hold(&self, hold: &LegalHold) -> Result<(), KeyStoreError> {
        let mut state = self.state_to_change()?;
        if state.holds.iter().any(|placed| placed.is_same(hold)) {
            return Ok(());
        }
        let content = encode_hold(hold);
        self.write(&hold_stem(hold), HELD, &content).map_err(|_| poison(&mut state.is_poisoned))?;
        state.holds.push(hold.clone());
        Ok(())
    }

    fn lift_hold(&self, owner: &KeyOwner, case: &CaseId) -> Result<bool, KeyStoreError> {
        let mut state = self.state_to_change()?;
        let Some(at) = state.holds.iter().position(|hold| hold.owner() == owner && hold.case() == case)
        else {
            return Ok(false);
        };
        let hold = state.holds.swap_remove(at);
        let path = self.dir.join(format!("{}.{HELD}", hold_stem(&hold)));
        remove(&self.dir, &path).map_err(|_| poison(&mut state.is_poisoned))?;
        Ok(true)
    }

    fn holds(&self) -> Result<Vec<LegalHold>, KeyStoreError> {
        Ok(self.state().holds.clone())
    }

    fn approve(&self, key: KeyId, approval: Approval) -> Result<(), KeyStoreError> {
        let mut state = self.state_to_change()?;
        if state.destroyed.contains_key(&key) {
            return Err(KeyStoreErrorKind::Destroyed.into());
        }
        if !state.living.contains_key(&key) {
            return Err(KeyStoreErrorKind::UnknownKey.into());
        }
        let mut approvals = state.approvals.get(&key).cloned().unwrap_or_default();
        approval.put_among(&mut approvals);
        self.write(&key.to_string(), APPROVED, &encode_approvals(&approvals))
            .map_err(|_| poison(&mut state.is_poisoned))?;
        state.approvals.insert(key, approvals);
        Ok(())
    }

    fn destroy_unheld(
        &self,
        owner: &KeyOwner,
        consent: Consent,
        at: Timestamp,
        before: &mut dyn FnMut(KeyId) -> bool,
    ) -> Result<Option<DestroyReceipt>, UnheldError> {
        // INVARIANT: nothing changes keys, approvals or holds while this lock is held, in this process or, by the folder's lock,
        // in another.
        let mut state = self.state_to_change()?;
        if state.holds.iter().any(|hold| hold.owner() == owner) {
            return Err(UnheldError::Held);
        }
        let Some(key) = state.by_owner.get(owner).copied() else { return Ok(None) };
        if !consent.is_given(owner, at, state.approvals.get(&key).map_or(&[], Vec::as_slice)) {
            return Err(UnheldError::NotApproved);
        }
        if !before(key) {
            return Err(UnheldError::NotNoted);
        }
        Ok(Some(self.destroy_in(&mut state, key, at)?))
    }

    fn destroy_key_unheld(
        &self,
        key: KeyId,
        at: Timestamp,
        before: &mut dyn FnMut(KeyId) -> bool,
    ) -> Result<DestroyReceipt, UnheldError> {
        let mut state = self.state_to_change()?;
        if let Some((owner, _)) = state.living.get(&key) {
            if state.holds.iter().any(|hold| hold.owner() == owner) {
                return Err(UnheldError::Held);
            }
            if !before(key) {
                return Err(UnheldError::NotNoted);
            }
        }
        Ok(self.destroy_in(&mut state, key, at)?)
    }

    fn declare_backup(&self, name: &'static str, retention: Duration) -> Result<(), KeyStoreError> {
        let mut state = self.state_to_change()?;
        let mut backups = state.backups.clone();
        backups.insert(name.to_owned(), retention);
        let mut content = vec![VERSION];
        for (name, retention) in &backups {
            put(&mut content, name.as_bytes());
            put(&mut content, &retention.as_secs().to_be_bytes());
        }
        self.write(BACKUPS, BACKUPS, &content).map_err(|_| poison(&mut state.is_poisoned))?;
        state.backups = backups;
        Ok(())
    }

    fn pending(&self, now: Timestamp) -> Result<Vec<DestroyReceipt>, KeyStoreError> {
        let state = self.state();
        let longest = state.longest();
        let receipts = state.destroyed.values().map(|receipt| under(*receipt, longest));
        let mut pending: Vec<_> = receipts.filter(|receipt| !receipt.is_complete(now)).collect();
        pending.sort_by_key(DestroyReceipt::destroyed_at);
        Ok(pending)
    }
}

fn poison(is_poisoned: &mut bool) -> KeyStoreError {
    *is_poisoned = true;
    KeyStoreErrorKind::Unavailable.into()
}

/// Takes a file out of its place, overwrites and removes it; nothing to do when it is gone already. Half overwritten in
/// its place it would be a damaged part of the store.
fn remove(dir: &Path, path: &Path) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    match fs::rename(path, &unfinished) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    directory::sync(dir)?;
    shred(dir, &unfinished)
}

/// Overwrites and removes a file. What is none is only removed.
fn shred(dir: &Path, path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_file() {
        let mut file = private::open_own(OpenOptions::new().write(true), path)?;
        let length = file.metadata()?.len();
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_all()?;
    }
    fs::remove_file(path)?;
    directory::sync(dir)
}

fn read_all(dir: &Path, ring: KeyRing) -> Result<State, KeyStoreOpenError> {
    let damaged = || KeyStoreOpenError::from(KeyStoreOpenErrorKind::Damaged);
    let (mut living, mut destroyed) = (HashMap::new(), HashMap::new());
    let (mut holds, mut approvals, mut backups) = (Vec::new(), HashMap::new(), BTreeMap::new());
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension == Some(UNFINISHED) {
            // A crash left it: nothing in it was acknowledged, or it was on its way out.
            shred(dir, &path)?;
            continue;
        }
        if extension == Some(HELD) {
            // A hold that cannot be read must not be overlooked.
            holds.push(decode_hold(&read_file(&path)?).ok_or_else(damaged)?);
            continue;
        }
        if extension == Some(BACKUPS) {
            backups = decode_backups(&read_file(&path)?).ok_or_else(damaged)?;
            continue;
        }
        let (Some(extension @ (LIVING | DESTROYED | APPROVED)), Some(stem)) = (extension, path.file_stem())
        else {
            continue;
        };
        let key: KeyId = stem.to_str().and_then(|stem| stem.parse().ok()).ok_or_else(damaged)?;
        let content = read_file(&path)?;
        match extension {
            LIVING => drop(living.insert(key, content)),
            APPROVED => drop(approvals.insert(key, decode_approvals(&content).ok_or_else(damaged)?)),
            _ => drop(destroyed.insert(key, decode_destroyed(key, &content).ok_or_else(damaged)?)),
        }
    }
    let mut state = State {
        ring,
        living: HashMap::new(),
        by_owner: HashMap::new(),
        destroyed,
        holds,
        approvals,
        backups,
        is_poisoned: false,
    };
    for (key, content) in living {
        if state.destroyed.contains_key(&key) {
            remove(dir, &dir.join(format!("{key}.{LIVING}")))?;
            continue;
        }
        let (owner, wrapped) =
            decode_living(&content).filter(|(_, wrapped)| wrapped.key() == key).ok_or_else(damaged)?;
        if state.by_owner.insert(owner.clone(), key).is_some() {
            return Err(damaged());
        }
        state.living.insert(key, (owner, wrapped));
    }
    for key in state.destroyed.keys().filter(|key| state.approvals.remove(key).is_some()) {
        remove(dir, &dir.join(format!("{key}.{APPROVED}")))?;
    }
    Ok(state)
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    // Every part is far below 4 GiB.
    out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(part);
}

fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *bytes = rest;
    Some(part)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    private::open_own(OpenOptions::new().read(true), path)?.take(MAX_FILE_LEN).read_to_end(&mut content)?;
    Ok(content)
}

/// Tenant (empty: none), kind, name; each part with its length in front.
fn put_owner(out: &mut Vec<u8>, owner: &KeyOwner) {
    put(out, owner.tenant().map_or("", TenantId::as_str).as_bytes());
    put(out, owner.kind().as_bytes());
    put(out, owner.name().as_bytes());
}

fn take_owner(rest: &mut &[u8]) -> Option<KeyOwner> {
    let (tenant, kind, name) = (take(rest)?, take(rest)?, take(rest)?);
    super::owner(str::from_utf8(tenant).ok()?, str::from_utf8(kind).ok()?, str::from_utf8(name).ok()?)
}

/// Version, owner, wrapped key.
fn encode_living(owner: &KeyOwner, wrapped: &WrappedKey) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_owner(&mut out, owner);
    put(&mut out, &wrapped.to_bytes());
    out
}

fn decode_living(content: &[u8]) -> Option<(KeyOwner, WrappedKey)> {
    let (&VERSION, mut rest) = content.split_first()? else { return None };
    let owner = take_owner(&mut rest)?;
    let wrapped = WrappedKey::from_bytes(take(&mut rest)?).ok()?;
    rest.is_empty().then_some((owner, wrapped))
}

/// Version, owner, case, time.
fn encode_hold(hold: &LegalHold) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_owner(&mut out, hold.owner());
    put(&mut out, hold.case().as_str().as_bytes());
    put(&mut out, &hold.placed_at().as_unix_nanos().to_be_bytes());
    out
}

fn decode_hold(content: &[u8]) -> Option<LegalHold> {
    let (&VERSION, mut rest) = content.split_first()? else { return None };
    let owner = take_owner(&mut rest)?;
    let case = CaseId::new(str::from_utf8(take(&mut rest)?).ok()?).ok()?;
    let placed_at = i128::from_be_bytes(take(&mut rest)?.try_into().ok()?);
    rest.is_empty().then(|| LegalHold::new(owner, case, Timestamp::from_unix_nanos(placed_at)))
}

/// Version, then approver and time of each.
fn encode_approvals(approvals: &[Approval]) -> Vec<u8> {
    let mut out = vec![VERSION];
    for approval in approvals {
        put(&mut out, approval.approver().as_str().as_bytes());
        put(&mut out, &approval.at().as_unix_nanos().to_be_bytes());
    }
    out
}

fn decode_approvals(content: &[u8]) -> Option<Vec<Approval>> {
    let (&VERSION, mut rest) = content.split_first()? else { return None };
    let mut approvals = Vec::new();
    while !rest.is_empty() {
        let approver = ActorId::new(str::from_utf8(take(&mut rest)?).ok()?).ok()?;
        let at = i128::from_be_bytes(take(&mut rest)?.try_into().ok()?);
        approvals.push(Approval::new(approver, Timestamp::from_unix_nanos(at)));
    }
    Some(approvals)
}

/// The name of a hold's file, which says nothing of whom it is on.
fn hold_stem(hold: &LegalHold) -> String {
    let mut identity = Vec::new();
    put_owner(&mut identity, hold.owner());
    put(&mut identity, hold.case().as_str().as_bytes());
    Sha256::digest(&identity).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn decode_backups(content: &[u8]) -> Option<BTreeMap<String, Duration>> {
    let (&VERSION, mut rest) = content.split_first()? else { return None };
    let mut backups = BTreeMap::new();
    while !rest.is_empty() {
        let name = str::from_utf8(take(&mut rest)?).ok()?.to_owned();
        let seconds = u64::from_be_bytes(take(&mut rest)?.try_into().ok()?);
        backups.insert(name, Duration::from_secs(seconds));
    }
    Some(backups)
}

/// Version, when, and until when backups live (`i128::MAX`: there are none), in nanoseconds since the epoch. Says
/// nothing of the owner.
fn encode_destroyed(receipt: &DestroyReceipt) -> Vec<u8> {
    let until = receipt.backups_until().map_or(i128::MAX, Timestamp::as_unix_nanos);
    [&[VERSION][..], &receipt.destroyed_at().as_unix_nanos().to_be_bytes(), &until.to_be_bytes()].concat()
}

fn decode_destroyed(key: KeyId, content: &[u8]) -> Option<DestroyReceipt> {
    let (&VERSION, rest) = content.split_first()? else { return None };
    let (at, until) = rest.split_first_chunk::<16>()?;
    let until = i128::from_be_bytes(until.try_into().ok()?);
    let until = (until != i128::MAX).then(|| Timestamp::from_unix_nanos(until));
    Some(DestroyReceipt::attest(key, Timestamp::from_unix_nanos(i128::from_be_bytes(*at)), until))
}
