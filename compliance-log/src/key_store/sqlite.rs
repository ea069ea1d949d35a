use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::id::{ActorId, TenantId};
use compliance_core::random::SecureRandom;
use compliance_core::seal::{
    DataKey, DestroyReceipt, KeyEncryptionKey, KeyId, KeyOwner, KeyRing, KeyStore, KeyStoreError,
    KeyStoreErrorKind, WrappedKey,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::approval::{Approval, Consent};
use super::hold::{CaseId, HeldKeyStore, LegalHold, UnheldError, under};
use super::{KeyStoreOpenError, KeyStoreOpenErrorKind};
use crate::blocking::block_on;

/// `CKS1`, in the header of the file.
const APPLICATION: i64 = 0x434b_5331;
const VERSION: i64 = 1;
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

const SCHEMA: [&str; 6] = [
    "CREATE TABLE approval (id BLOB NOT NULL, approver TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (id, approver)) \
     WITHOUT ROWID",
    "CREATE TABLE backup (name TEXT PRIMARY KEY, seconds INTEGER NOT NULL)",
    "CREATE TABLE data_key (id BLOB PRIMARY KEY, tenant TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, \
     wrapped BLOB NOT NULL, UNIQUE (tenant, kind, name))",
    "CREATE TABLE destroyed (id BLOB PRIMARY KEY, at TEXT NOT NULL, backups_until TEXT)",
    "CREATE TABLE hold (tenant TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, case_id TEXT NOT NULL, \
     placed_at TEXT NOT NULL, PRIMARY KEY (tenant, kind, name, case_id)) WITHOUT ROWID",
    "CREATE TABLE uncleared (one INTEGER PRIMARY KEY)",
];

type Sql<T> = Result<T, sqlx::Error>;

/// A [`KeyStore`](compliance_core::seal::KeyStore) in one SQLite database. One process has it open at a time.
///
/// Answers `Ok` only when the change is committed with `synchronous = FULL`. Destroying a key, lifting a hold and rotating
/// also write the file anew without what was deleted (`VACUUM`) and empty the write-ahead log, so that the wrapped key is
/// in no file of the store; time and memory for that grow with the number of living keys. A crash in between is made up for
/// on opening. Looking for holds and approvals and destroying are
/// one transaction.
///
/// ```
/// use compliance_core::random::SystemRandom;
/// use compliance_core::seal::{KeyEncryptionKey, KeyOwner, KeyRing, KeyStore};
/// use compliance_log::key_store::{CaseId, Consent, HeldKeyStore, LegalHold, SqliteKeyStore, UnheldError};
///
/// let dir = tempfile::tempdir()?;
/// let keys = SqliteKeyStore::open(dir.path().join("keys.db"), KeyRing::new(KeyEncryptionKey::new(&[7; 32])?))?;
/// let owner = KeyOwner::new("audit.subject", "user-4711")?;
/// keys.create(&owner, &SystemRandom)?;
///
/// let (case, now) = (CaseId::new("LG-7-O-12/26")?, "2026-11-21T12:00:00Z".parse()?);
/// keys.place_hold(&LegalHold::new(owner.clone(), case.clone(), now))?;
/// let mut note = |_| true;
/// let refused = keys.destroy_unheld(&owner, Consent::NotNeeded, now, &mut note);
/// assert_eq!(refused.unwrap_err(), UnheldError::Held);
/// keys.lift_hold(&owner, &case)?;
/// assert!(keys.destroy_unheld(&owner, Consent::NotNeeded, now, &mut note)?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
/// As for [`FileKeyStore`](super::FileKeyStore): the file holds wrapped keys and owners' names, and what is in backups or
/// in a flash drive's spare blocks is beyond a program's reach.
#[derive(Debug)]
pub struct SqliteKeyStore {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ring: KeyRing,
    /// `None` once closed.
    connection: Option<SqliteConnection>,
}

impl SqliteKeyStore {
    /// Opens the store in the file `path`, made where there is none. `ring` holds the key-encryption key that wraps.
    ///
    /// # Errors
    /// [`KeyStoreOpenError`]: `key_store.locked`, `key_store.damaged`, `key_store.io`, or `key_store.other` when the file
    /// is the database of something else.
    pub fn open(path: impl AsRef<Path>, ring: KeyRing) -> Result<Self, KeyStoreOpenError> {
        let path = path.as_ref();
        // Made before SQLite opens it, so that nobody else can read it at any time; what lies beside it has its rights.
        let mut options = OpenOptions::new();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        drop(options.write(true).create(true).truncate(false).open(path)?);
        let connection = block_on(async {
            let mut connection = connect(path).await.map_err(open_error)?;
            match prepare(&mut connection).await {
                Ok(()) => Ok(connection),
                Err(error) => {
                    let _closed = connection.close().await;
                    Err(error)
                }
            }
        })?;
        Ok(Self { state: Mutex::new(State { ring, connection: Some(connection) }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic leaves half-done is SQLite's to roll back; the ring follows the commit.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SqliteKeyStore {
    fn drop(&mut self) {
        // Waits until SQLite has let go of the file, so that the next to open it finds it free.
        if let Some(connection) = self.state().connection.take() {
            let _closed = block_on(connection.close());
        }
    }
}

impl State {
    fn connection(&mut self) -> Result<&mut SqliteConnection, KeyStoreError> {
        self.connection.as_mut().ok_or(KeyStoreErrorKind::Unavailable.into())
    }
}

async fn connect(path: &Path) -> Sql<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .locking_mode(SqliteLockingMode::Exclusive)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("secure_delete", "ON")
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
        .connect()
        .await
}

/// Makes the tables of an empty file, and takes no file for ours that is not.
async fn prepare(connection: &mut SqliteConnection) -> Result<(), KeyStoreOpenError> {
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(open_error)?;
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(open_error)?;
    let tables = schema(connection).await.map_err(open_error)?;
    match (application, version, tables.is_empty()) {
        (0, 0, true) => {
            let mut transaction = connection.begin_with("BEGIN EXCLUSIVE").await.map_err(open_error)?;
            for statement in SCHEMA {
                sqlx::query(statement).execute(&mut *transaction).await.map_err(open_error)?;
            }
            // The numbers of the constants above.
            for statement in ["PRAGMA application_id = 1129009969", "PRAGMA user_version = 1"] {
                sqlx::query(statement).execute(&mut *transaction).await.map_err(open_error)?;
            }
            transaction.commit().await.map_err(open_error)
        }
        (APPLICATION, VERSION, false) => {
            let sound: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
                .fetch_one(&mut *connection)
                .await
                .map_err(open_error)?;
            let is_ours = tables.iter().map(String::as_str).eq(SCHEMA);
            if sound != "ok" || !is_ours {
                return Err(KeyStoreOpenErrorKind::Damaged.into());
            }
            // A write, so that nobody else has it open from here on.
            sqlx::query("PRAGMA user_version = 1").execute(&mut *connection).await.map_err(open_error)?;
            // A crash came between a deletion and this.
            if is_uncleared(connection).await.map_err(open_error)? {
                clear(connection).await.map_err(open_error)?;
            }
            Ok(())
        }
        (APPLICATION, ..) => Err(KeyStoreOpenErrorKind::Damaged.into()),
        _ => Err(KeyStoreOpenErrorKind::Other.into()),
    }
}

async fn schema(connection: &mut SqliteConnection) -> Sql<Vec<String>> {
    sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY sql")
        .fetch_all(connection)
        .await
}

/// Notes, in the transaction that deletes, that the file is to be [cleared](clear).
async fn note_uncleared(connection: &mut SqliteConnection) -> Sql<()> {
    sqlx::query("INSERT OR IGNORE INTO uncleared VALUES (1)").execute(connection).await.map(drop)
}

async fn is_uncleared(connection: &mut SqliteConnection) -> Sql<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM uncleared)").fetch_one(connection).await
}

/// Leaves nothing of what was deleted in the file or the log. `secure_delete` alone does not: when SQLite evens out its
/// pages, copies of rows stay in their gaps.
async fn clear(connection: &mut SqliteConnection) -> Sql<()> {
    sqlx::query("VACUUM").execute(&mut *connection).await?;
    truncate_log(connection).await?;
    sqlx::query("DELETE FROM uncleared").execute(connection).await.map(drop)
}

/// Moves what is in the write-ahead log into the database and empties it.
async fn truncate_log(connection: &mut SqliteConnection) -> Sql<()> {
    let (busy, _, _): (i64, i64, i64) =
        sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection).await?;
    if busy == 0 { Ok(()) } else { Err(sqlx::Error::WorkerCrashed) }
}

fn tenant(owner: &KeyOwner) -> &str {
    owner.tenant().map_or("", TenantId::as_str)
}

async fn find(connection: &mut SqliteConnection, owner: &KeyOwner) -> Sql<Option<Vec<u8>>> {
    sqlx::query_scalar("SELECT id FROM data_key WHERE tenant = ?1 AND kind = ?2 AND name = ?3")
        .bind(tenant(owner))
        .bind(owner.kind())
        .bind(owner.name())
        .fetch_optional(connection)
        .await
}

fn key_id(bytes: Vec<u8>) -> Result<KeyId, KeyStoreError> {
    let bytes = <[u8; KeyId::LEN]>::try_from(bytes).map_err(|_| KeyStoreErrorKind::Unavailable)?;
    Ok(KeyId::from_bytes(bytes))
}

async fn destroyed(
    connection: &mut SqliteConnection,
    key: KeyId,
) -> Result<Option<DestroyReceipt>, KeyStoreError> {
    let row: Option<(String, Option<String>)> =
        sqlx::query_as("SELECT at, backups_until FROM destroyed WHERE id = ?1")
            .bind(key.as_bytes().as_slice())
            .fetch_optional(&mut *connection)
            .await
            .map_err(unavailable)?;
    let Some((at, until)) = row else { return Ok(None) };
    Ok(Some(under(receipt(key, &at, until.as_deref())?, longest(connection).await?)))
}

/// The time of the declared backup that lives longest.
async fn longest(connection: &mut SqliteConnection) -> Result<Option<Duration>, KeyStoreError> {
    let seconds: Option<i64> = sqlx::query_scalar("SELECT max(seconds) FROM backup")
        .fetch_one(connection)
        .await
        .map_err(unavailable)?;
    Ok(seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs())))
}

fn receipt(key: KeyId, at: &str, until: Option<&str>) -> Result<DestroyReceipt, KeyStoreError> {
    let time = |text: &str| text.parse::<Timestamp>().map_err(|_| KeyStoreErrorKind::Unavailable);
    Ok(DestroyReceipt::attest(key, time(at)?, until.map(time).transpose()?))
}

async fn approvals(connection: &mut SqliteConnection, key: KeyId) -> Result<Vec<Approval>, KeyStoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT approver, at FROM approval WHERE id = ?1")
        .bind(key.as_bytes().as_slice())
        .fetch_all(connection)
        .await
        .map_err(unavailable)?;
    let approval = |(approver, at): (String, String)| {
        Some(Approval::new(ActorId::new(approver).ok()?, at.parse().ok()?))
    };
    rows.into_iter().map(approval).collect::<Option<_>>().ok_or(KeyStoreErrorKind::Unavailable.into())
}

async fn is_held(
    connection: &mut SqliteConnection,
    tenant: &str,
    kind: &str,
    name: &str,
) -> Result<bool, KeyStoreError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM hold WHERE tenant = ?1 AND kind = ?2 AND name = ?3)")
        .bind(tenant)
        .bind(kind)
        .bind(name)
        .fetch_one(connection)
        .await
        .map_err(unavailable)
}

/// Puts the tombstone in the key's place, inside the caller's transaction.
async fn destroy_in(
    connection: &mut SqliteConnection,
    key: KeyId,
    at: Timestamp,
) -> Result<DestroyReceipt, KeyStoreError> {
    let deleted = sqlx::query("DELETE FROM data_key WHERE id = ?1")
        .bind(key.as_bytes().as_slice())
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    if deleted.rows_affected() == 0 {
        return Err(KeyStoreErrorKind::UnknownKey.into());
    }
    sqlx::query("DELETE FROM approval WHERE id = ?1")
        .bind(key.as_bytes().as_slice())
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    let receipt = under(DestroyReceipt::attest(key, at, None), longest(connection).await?);
    sqlx::query("INSERT INTO destroyed VALUES (?1, ?2, ?3)")
        .bind(key.as_bytes().as_slice())
        .bind(at.to_string())
        .bind(receipt.backups_until().map(|until| until.to_string()))
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(receipt)
}

impl KeyStore for SqliteKeyStore {
    fn create(&self, owner: &KeyOwner, random: &dyn SecureRandom) -> Result<DataKey, KeyStoreError> {
        let mut state = self.state();
        let (key, wrapped) = state.ring.create(owner, random)?;
        let connection = state.connection()?;
        block_on(async {
            let mut transaction = begin(connection).await?;
            if find(&mut transaction, owner).await.map_err(unavailable)?.is_some() {
                return Err(KeyStoreErrorKind::AlreadyExists.into());
            }
            // A source that repeats itself must not bring back a destroyed key; a living one's id is taken.
            if destroyed(&mut transaction, key.id()).await?.is_some() {
                return Err(KeyStoreErrorKind::Random.into());
            }
            sqlx::query("INSERT INTO data_key VALUES (?1, ?2, ?3, ?4, ?5)")
                .bind(key.id().as_bytes().as_slice())
                .bind(tenant(owner))
                .bind(owner.kind())
                .bind(owner.name())
                .bind(wrapped.to_bytes())
                .execute(&mut *transaction)
                .await
                .map_err(|error| match error.as_database_error() {
                    Some(refusal) if refusal.is_unique_violation() => KeyStoreErrorKind::Random.into(),
                    _ => unavailable(error),
                })?;
            transaction.commit().await.map_err(unavailable)
        })?;
        Ok(key)
    }

    fn find(&self, owner: &KeyOwner) -> Result<Option<KeyId>, KeyStoreError> {
        let mut state = self.state();
        let found = block_on(find(state.connection()?, owner)).map_err(unavailable)?;
        found.map(key_id).transpose()
    }

    fn unwrap_key(&self, key: KeyId) -> Result<DataKey, KeyStoreError> {
        let mut state = self.state();
        let connection = state.connection()?;
        let found = block_on(async {
            match row(connection, key).await? {
                Some(row) => Ok(row),
                None if destroyed(connection, key).await?.is_some() => {
                    Err(KeyStoreErrorKind::Destroyed.into())
                }
                None => Err(KeyStoreError::from(KeyStoreErrorKind::UnknownKey)),
            }
        })?;
        let (owner, wrapped) = living(key, &found).ok_or(KeyStoreErrorKind::NotUnwrapped)?;
        state.ring.unwrap_key(&owner, &wrapped)
    }

    fn destroy(&self, key: KeyId, at: Timestamp) -> Result<DestroyReceipt, KeyStoreError> {
        let mut state = self.state();
        let connection = state.connection()?;
        block_on(async {
            let mut transaction = begin(connection).await?;
            let receipt = match destroyed(&mut transaction, key).await? {
                Some(receipt) => receipt,
                None => destroy_in(&mut transaction, key, at).await?,
            };
            note_uncleared(&mut transaction).await.map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            // Again for a key that is gone: the call that destroyed it may have failed here.
            clear(connection).await.map_err(unavailable)?;
            Ok(receipt)
        })
    }

    fn rotate(&self, to: KeyEncryptionKey, random: &dyn SecureRandom) -> Result<usize, KeyStoreError> {
        let mut state = self.state();
        let State { ring, connection } = &mut *state;
        let connection = connection.as_mut().ok_or(KeyStoreErrorKind::Unavailable)?;
        let target = KeyRing::new(to);
        let count = block_on(async {
            let mut transaction = begin(connection).await?;
            let ids: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM data_key ORDER BY id")
                .fetch_all(&mut *transaction)
                .await
                .map_err(unavailable)?;
            let count = ids.len();
            for id in ids {
                let id = key_id(id)?;
                let row = row(&mut transaction, id).await?.ok_or(KeyStoreErrorKind::NotUnwrapped)?;
                let (owner, wrapped) = living(id, &row).ok_or(KeyStoreErrorKind::NotUnwrapped)?;
                let wrapped = target.wrap(&owner, &ring.unwrap_key(&owner, &wrapped)?, random)?;
                sqlx::query("UPDATE data_key SET wrapped = ?2 WHERE id = ?1")
                    .bind(id.as_bytes().as_slice())
                    .bind(wrapped.to_bytes())
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
            }
            note_uncleared(&mut transaction).await.map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            Ok::<_, KeyStoreError>(count)
        })?;
        *ring = target;
        // What was wrapped under the earlier key is not to stay.
        block_on(clear(connection)).map_err(unavailable)?;
        Ok(count)
    }
}

impl HeldKeyStore for SqliteKeyStore {
    fn place_hold(&self, hold: &LegalHold) -> Result<(), KeyStoreError> {
        let mut state = self.state();
        let placed = sqlx::query("INSERT OR IGNORE INTO hold VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(tenant(hold.owner()))
            .bind(hold.owner().kind())
            .bind(hold.owner().name())
            .bind(hold.case().as_str())
            .bind(hold.placed_at().to_string());
        block_on(placed.execute(state.connection()?)).map(drop).map_err(unavailable)
    }

    fn lift_hold(&self, owner: &KeyOwner, case: &CaseId) -> Result<bool, KeyStoreError> {
        let mut state = self.state();
        let connection = state.connection()?;
        let lifted =
            sqlx::query("DELETE FROM hold WHERE tenant = ?1 AND kind = ?2 AND name = ?3 AND case_id = ?4")
                .bind(tenant(owner))
                .bind(owner.kind())
                .bind(owner.name())
                .bind(case.as_str());
        block_on(async {
            let mut transaction = begin(connection).await?;
            let lifted = lifted.execute(&mut *transaction).await.map_err(unavailable)?;
            note_uncleared(&mut transaction).await.map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            clear(connection).await.map_err(unavailable)?;
            Ok(lifted.rows_affected() > 0)
        })
    }

    fn holds(&self) -> Result<Vec<LegalHold>, KeyStoreError> {
        let mut state = self.state();
        let rows: Vec<(String, String, String, String, String)> = block_on(
            sqlx::query_as("SELECT tenant, kind, name, case_id, placed_at FROM hold")
                .fetch_all(state.connection()?),
        )
        .map_err(unavailable)?;
        let hold = |(tenant, kind, name, case, placed_at): (String, String, String, String, String)| {
            let owner = super::owner(&tenant, &kind, &name)?;
            Some(LegalHold::new(owner, CaseId::new(case).ok()?, placed_at.parse().ok()?))
        };
        // A hold that cannot be read must not be overlooked.
        rows.into_iter().map(hold).collect::<Option<_>>().ok_or(KeyStoreErrorKind::Unavailable.into())
    }

    fn approve(&self, key: KeyId, approval: Approval) -> Result<(), KeyStoreError> {
        let mut state = self.state();
        let connection = state.connection()?;
        block_on(async {
            let mut transaction = begin(connection).await?;
            if destroyed(&mut transaction, key).await?.is_some() {
                return Err(KeyStoreErrorKind::Destroyed.into());
            }
            if row(&mut transaction, key).await?.is_none() {
                return Err(KeyStoreErrorKind::UnknownKey.into());
            }
            sqlx::query("INSERT OR REPLACE INTO approval VALUES (?1, ?2, ?3)")
                .bind(key.as_bytes().as_slice())
                .bind(approval.approver().as_str())
                .bind(approval.at().to_string())
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)
        })
    }

    fn destroy_unheld(
        &self,
        owner: &KeyOwner,
        consent: Consent,
        at: Timestamp,
        before: &mut dyn FnMut(KeyId) -> bool,
    ) -> Result<Option<DestroyReceipt>, UnheldError> {
        let mut state = self.state();
        let connection = state.connection()?;
        block_on(async {
            let mut transaction = begin(connection).await?;
            if is_held(&mut transaction, tenant(owner), owner.kind(), owner.name()).await? {
                return Err(UnheldError::Held);
            }
            let Some(key) = find(&mut transaction, owner).await.map_err(unavailable)? else {
                // The call that destroyed it may have failed before it was cleared away.
                transaction.rollback().await.map_err(unavailable)?;
                if is_uncleared(connection).await.map_err(unavailable)? {
                    clear(connection).await.map_err(unavailable)?;
                }
                return Ok(None);
            };
            let key = key_id(key)?;
            if !consent.is_given(owner, at, &approvals(&mut transaction, key).await?) {
                return Err(UnheldError::NotApproved);
            }
            if !before(key) {
                return Err(UnheldError::NotNoted);
            }
            let receipt = destroy_in(&mut transaction, key, at).await?;
            note_uncleared(&mut transaction).await.map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            clear(connection).await.map_err(unavailable)?;
            Ok(Some(receipt))
        })
    }

    fn destroy_key_unheld(
        &self,
        key: KeyId,
        at: Timestamp,
        before: &mut dyn FnMut(KeyId) -> bool,
    ) -> Result<DestroyReceipt, UnheldError> {
        let mut state = self.state();
        let connection = state.connection()?;
        block_on(async {
            let mut transaction = begin(connection).await?;
            let receipt = match destroyed(&mut transaction, key).await? {
                Some(receipt) => receipt,
                None => {
                    let (tenant, kind, name, _) = row(&mut transaction, key)
                        .await?
                        .ok_or(KeyStoreErrorKind::UnknownKey)
                        .map_err(KeyStoreError::from)?;
                    if is_held(&mut transaction, &tenant, &kind, &name).await? {
                        return Err(UnheldError::Held);
                    }
                    if !before(key) {
                        return Err(UnheldError::NotNoted);
                    }
                    destroy_in(&mut transaction, key, at).await?
                }
            };
            note_uncleared(&mut transaction).await.map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            clear(connection).await.map_err(unavailable)?;
            Ok(receipt)
        })
    }

    fn declare_backup(&self, name: &'static str, retention: Duration) -> Result<(), KeyStoreError> {
        let mut state = self.state();
        let declared = sqlx::query("INSERT OR REPLACE INTO backup VALUES (?1, ?2)")
            .bind(name)
            .bind(i64::try_from(retention.as_secs()).unwrap_or(i64::MAX));
        block_on(declared.execute(state.connection()?)).map(drop).map_err(unavailable)
    }

    fn pending(&self, now: Timestamp) -> Result<Vec<DestroyReceipt>, KeyStoreError> {
        let mut state = self.state();
        let connection = state.connection()?;
        let longest = block_on(longest(connection))?;
        let rows: Vec<(Vec<u8>, String, Option<String>)> =
            block_on(sqlx::query_as("SELECT id, at, backups_until FROM destroyed").fetch_all(connection))
                .map_err(unavailable)?;
        let mut pending = Vec::new();
        for (id, at, until) in rows {
            let receipt = under(receipt(key_id(id)?, &at, until.as_deref())?, longest);
            if !receipt.is_complete(now) {
                pending.push(receipt);
            }
        }
        pending.sort_by_key(DestroyReceipt::destroyed_at);
        Ok(pending)
    }
}

/// Tenant, kind, name, wrapped key.
type Row = (String, String, String, Vec<u8>);

async fn row(connection: &mut SqliteConnection, key: KeyId) -> Result<Option<Row>, KeyStoreError> {
    sqlx::query_as("SELECT tenant, kind, name, wrapped FROM data_key WHERE id = ?1")
        .bind(key.as_bytes().as_slice())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)
}

fn living(key: KeyId, (tenant, kind, name, wrapped): &Row) -> Option<(KeyOwner, WrappedKey)> {
    let wrapped = WrappedKey::from_bytes(wrapped).ok().filter(|wrapped| wrapped.key() == key)?;
    Some((super::owner(tenant, kind, name)?, wrapped))
}

async fn begin(
    connection: &mut SqliteConnection,
) -> Result<sqlx::Transaction<'_, sqlx::Sqlite>, KeyStoreError> {
    connection.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)
}

fn unavailable(_: sqlx::Error) -> KeyStoreError {
    KeyStoreErrorKind::Unavailable.into()
}

fn open_error(error: sqlx::Error) -> KeyStoreOpenError {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const CORRUPT: i32 = 11;
    const NOT_A_DATABASE: i32 = 26;
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    // The low byte of an extended result code is the primary one.
    match code.map(|code| code & 0xff) {
        Some(BUSY | LOCKED) => KeyStoreOpenErrorKind::Locked,
        Some(CORRUPT | NOT_A_DATABASE) => KeyStoreOpenErrorKind::Damaged,
        _ => KeyStoreOpenErrorKind::Io(std::io::ErrorKind::Other),
    }
    .into()
}
