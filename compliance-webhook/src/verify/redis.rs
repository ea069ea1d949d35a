//! Messages remembered in Redis, by all processes of a receiver.

use std::fmt;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::random::{SecureRandom, SystemRandom};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::{ReplayCache, ReplayError, ReplayKey, Reservation};

/// The value of a committed message; a reservation's is its number.
const COMMITTED: &str = "committed";

/// One step: nobody comes between the look and the write.
const RESERVE: &str = "local held = redis.call('GET', KEYS[1])
if held == false then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return ARGV[1] end
return held";
const COMMIT: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1";
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Remembers messages in Redis or Valkey: for a receiver that runs more than once. Cheap to clone; clones share one
/// connection, which is opened again when it breaks.
///
/// Each message is one key, `compliance:replay:` and endpoint and id, that expires by the server's own clock. The
/// server must not evict keys for want of memory, and [`connect`](Self::connect) asks it: what is forgotten early can
/// be replayed.
///
/// ```no_run
/// use compliance_webhook::verify::{RedisReplayCache, ReplayGate};
///
/// # async fn example() -> Result<(), compliance_webhook::verify::RedisReplayCacheError> {
/// let cache = RedisReplayCache::connect(&"redis://127.0.0.1:6379".into()).await?;
/// let gate = ReplayGate::new(cache, "billing");
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// The connection is plain: over loopback, a Unix socket (`redis+unix:///path`), or a tunnel of your own. Whoever can
/// write to the server can have messages dropped as duplicates, or let through twice. A server that fails over to a
/// replica may have lost the last moments, and lets what came in them through again.
#[derive(Clone)]
pub struct RedisReplayCache {
    connection: ConnectionManager,
    prefix: Box<str>,
    patience: Duration,
}

impl RedisReplayCache {
    /// How long one question to the server may take unless told otherwise; after that the cache is unavailable.
    pub const DEFAULT_PATIENCE: Duration = Duration::from_secs(1);

    /// The longest prefix, in bytes.
    pub const MAX_PREFIX_LEN: usize = 64;

    /// Connects to `redis://[user:password@]host[:port][/database]` or `redis+unix:///path`.
    ///
    /// # Errors
    /// `replay_cache.url` when that is no such URL, `replay_cache.unavailable` when the server does not answer,
    /// `replay_cache.evicts` when it may forget keys before their time (`maxmemory` is set and `maxmemory-policy` is
    /// not `noeviction`).
    pub async fn connect(url: &SecretString) -> Result<Self, RedisReplayCacheError> {
        let info = url.expose_secret().into_connection_info().map_err(|_| RedisReplayCacheError::Url)?;
        if !matches!(info.addr, ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_)) {
            return Err(RedisReplayCacheError::Url);
        }
        let client = Client::open(info).map_err(|_| RedisReplayCacheError::Url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Self::DEFAULT_PATIENCE)
            .set_response_timeout(Self::DEFAULT_PATIENCE)
            .set_number_of_retries(1)
            .set_max_delay(1_000);
        let connected = timeout(
            Self::DEFAULT_PATIENCE.saturating_mul(3),
            ConnectionManager::new_with_config(client, config),
        );
        let connection = match connected.await {
            Ok(Ok(connection)) => connection,
            Ok(Err(_)) | Err(_) => return Err(RedisReplayCacheError::Unavailable),
        };
        let cache =
            Self { connection, prefix: "compliance:replay:".into(), patience: Self::DEFAULT_PATIENCE };
        let mut info = redis::cmd("INFO");
        let info: String =
            cache.ask(info.arg("memory")).await.map_err(|_| RedisReplayCacheError::Unavailable)?;
        if evicts(&info) { Err(RedisReplayCacheError::Evicts) } else { Ok(cache) }
    }

    /// Starts each key with another text, where several services share a database.
    ///
    /// # Errors
    /// `replay_cache.prefix` when it is longer than [`MAX_PREFIX_LEN`](Self::MAX_PREFIX_LEN) bytes or not visible
    /// ASCII.
    pub fn with_prefix(mut self, prefix: &str) -> Result<Self, RedisReplayCacheError> {
        if prefix.len() > Self::MAX_PREFIX_LEN || !prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RedisReplayCacheError::Prefix);
        }
        self.prefix = prefix.into();
        Ok(self)
    }

    /// Waits longer or shorter for each answer.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn ask<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, ReplayError> {
        let mut connection = self.connection.clone();
        match timeout(self.patience, command.query_async(&mut connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(ReplayError::unavailable()),
        }
    }

    /// An id has no space, so that two pairs of endpoint and id never share a key.
    fn key(&self, key: &ReplayKey) -> String {
        format!("{}{} {}", self.prefix, key.endpoint(), key.id())
    }
}

/// What the server says of its memory; doubt is eviction.
fn evicts(info: &str) -> bool {
    let says = |name: &str, value: &str| {
        info.lines().any(|line| line.trim_end().split_once(':') == Some((name, value)))
    };
    !(says("maxmemory", "0") || says("maxmemory_policy", "noeviction"))
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    let left = to.saturating_since(from).as_millis();
    // Redis takes what fits a signed 64-bit time of its own; a hundred years do.
    u64::try_from(left).unwrap_or(u64::MAX).clamp(1, 100 * 365 * 86_400_000)
}

impl ReplayCache for RedisReplayCache {
    async fn reserve(
        &self,
        key: &ReplayKey,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Reservation, ReplayError> {
        let mut bytes = [0; 8];
        SystemRandom.fill(&mut bytes).map_err(|_| ReplayError::unavailable())?;
        let number = u64::from_le_bytes(bytes);
        let mine = number.to_string();
        let mut command = redis::cmd("EVAL");
        command.arg(RESERVE).arg(1).arg(self.key(key)).arg(&mine).arg(millis(now, until));
        let held: String = self.ask(&command).await?;
        Ok(match held.as_str() {
            COMMITTED => Reservation::Committed,
            held if held == mine => Reservation::Granted(number),
            _ => Reservation::Taken,
        })
    }

    async fn commit(
        &self,
        key: &ReplayKey,
        number: u64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), ReplayError> {
        let mut command = redis::cmd("EVAL");
        command.arg(COMMIT).arg(1).arg(self.key(key)).arg(number.to_string()).arg(COMMITTED);
        let done: i64 = self.ask(command.arg(millis(now, until))).await?;
        if done == 1 { Ok(()) } else { Err(ReplayError::lapsed()) }
    }

    async fn release(&self, key: &ReplayKey, number: u64) -> Result<(), ReplayError> {
        let mut command = redis::cmd("EVAL");
        command.arg(RELEASE).arg(1).arg(self.key(key)).arg(number.to_string());
        let _released: i64 = self.ask(&command).await?;
        Ok(())
    }
}

impl fmt::Debug for RedisReplayCache {
    /// Without the address and what is in the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReplayCache").field("patience", &self.patience).finish_non_exhaustive()
    }
}

/// A Redis server cannot serve as a replay cache. Never carries the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisReplayCacheError {
    /// It may forget keys before their time.
    #[error("the server may evict keys, expected `maxmemory-policy noeviction`")]
    Evicts,
    /// A prefix no key should start with.
    #[error("the prefix is not at most {max} visible ascii characters", max = RedisReplayCache::MAX_PREFIX_LEN)]
    Prefix,
    /// It does not answer.
    #[error("the server does not answer")]
    Unavailable,
    /// No URL of a server reached without TLS.
    #[error("expected a url with `redis://` or `redis+unix://`")]
    Url,
}

impl RedisReplayCacheError {
    /// `replay_cache.evicts`, `.prefix`, `.unavailable` or `.url`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Evicts => "replay_cache.evicts",
            Self::Prefix => "replay_cache.prefix",
            Self::Unavailable => "replay_cache.unavailable",
            Self::Url => "replay_cache.url",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::evicts;

    #[test]
    fn a_server_that_may_forget_is_refused() {
        for (info, expected) in [
            ("# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", false),
            ("maxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n", false),
            ("maxmemory:1048576\r\nmaxmemory_policy:volatile-ttl\r\n", true),
            ("maxmemory:1048576\r\n", true),
            ("", true),
        ] {
            assert_eq!(evicts(info), expected, "{info:?}");
        }
    }
}
