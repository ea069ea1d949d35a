//! A key store in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::KeyId;
use super::cipher::DataKey;
use super::store::{DestroyReceipt, KeyOwner, KeyStore, KeyStoreError, KeyStoreErrorKind};
use super::wrap::{KeyEncryptionKey, KeyRing, WrappedKey};
use crate::clock::Timestamp;
use crate::random::SecureRandom;

/// A [`KeyStore`] in memory, for tests and for values that need not outlive the process.
///
/// Nothing is kept: when it is dropped, all that its keys sealed is erased.
#[derive(Debug)]
pub struct MemoryKeyStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ring: KeyRing,
    living: HashMap<KeyId, (KeyOwner, WrappedKey)>,
    by_owner: HashMap<KeyOwner, KeyId>,
    destroyed: HashMap<KeyId, DestroyReceipt>,
}

impl MemoryKeyStore {
    /// An empty store under `key`.
    #[must_use]
    pub fn new(key: KeyEncryptionKey) -> Self {
        let ring = KeyRing::new(key);
        let state =
            State { ring, living: HashMap::new(), by_owner: HashMap::new(), destroyed: HashMap::new() };
        Self { state: Mutex::new(state) }
    }

    /// The key-encryption key in use.
    #[must_use]
    pub fn wrapped_under(&self) -> KeyId {
        self.state().ring.current()
    }

    /// Every change below is made at once or not at all, so what a panicking thread leaves behind is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyStore for MemoryKeyStore {
    fn create(&self, owner: &KeyOwner, random: &dyn SecureRandom) -> Result<DataKey, KeyStoreError> {
        let mut state = self.state();
        if state.by_owner.contains_key(owner) {
            return Err(KeyStoreErrorKind::AlreadyExists.into());
        }
        let (key, wrapped) = state.ring.create(owner, random)?;
        // A source that repeats itself must not overwrite a living key or bring back a destroyed one.
        if state.living.contains_key(&key.id()) || state.destroyed.contains_key(&key.id()) {
            return Err(KeyStoreErrorKind::Random.into());
        }
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
        let mut state = self.state();
        if let Some(receipt) = state.destroyed.get(&key) {
            return Ok(*receipt);
        }
        let (owner, _) = state.living.remove(&key).ok_or(KeyStoreErrorKind::UnknownKey)?;
        state.by_owner.remove(&owner);
        let receipt = DestroyReceipt::attest(key, at, None);
        state.destroyed.insert(key, receipt);
        Ok(receipt)
    }

    fn rotate(&self, to: KeyEncryptionKey, random: &dyn SecureRandom) -> Result<usize, KeyStoreError> {
        let mut state = self.state();
        let State { ring, living, .. } = &mut *state;
        let target = KeyRing::new(to);
        let rewrapped = living
            .iter()
            .map(|(id, (owner, wrapped))| {
                let key = ring.unwrap_key(owner, wrapped)?;
                Ok((*id, target.wrap(owner, &key, random)?))
            })
            .collect::<Result<Vec<_>, KeyStoreError>>()?;
        let count = rewrapped.len();
        for (id, wrapped) in rewrapped {
            if let Some((_, kept)) = living.get_mut(&id) {
                *kept = wrapped;
            }
        }
        *ring = target;
        Ok(count)
    }
}
