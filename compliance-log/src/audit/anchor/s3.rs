use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compliance_core::clock::Timestamp;
use http::{HeaderMap, HeaderValue};
use md5::{Digest as _, Md5};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum, S3ConditionalPut};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService,
};
use object_store::path::Path;
use object_store::{Error, GetOptions, ObjectMeta, ObjectStore, PutMode, PutOptions, RetryConfig};
use tokio::runtime::{Builder, Runtime};

use super::{Anchor, AnchorError, EXTENSION, genuine, number};
use crate::audit::checkpoint::{CheckpointNote, MAX_NOTE_LEN, SignedCheckpoint, VerifyingKey};

/// How much the lock of an object may end too early, for the clocks of trail and store differ.
pub const LOCK_TOLERANCE: Duration = Duration::from_secs(3600);

/// How many objects that are no checkpoint of the keys' are read in search of the latest.
pub const MAX_FALSE_NOTES: usize = 64;

/// How long one checkpoint may take.
const TIMEOUT: Duration = Duration::from_secs(60);
const RETRIES: usize = 3;

/// Keeps checkpoints in a bucket of Amazon S3, or of a store that speaks its protocol, under object lock in compliance
/// mode: until the lock ends nobody can remove or replace them, the account's owner included.
///
/// Give the bucket a default retention in compliance mode of at least `keep`. Each checkpoint is written with
/// `If-None-Match: *`, read back, and counts as kept only when the store says of the very object that it is locked in
/// compliance mode until at least `keep` after the checkpoint's time (less [`LOCK_TOLERANCE`]). Whoever publishes needs
/// `s3:PutObject`, `s3:GetObject`, `s3:GetObjectRetention` and, for [`latest`](Self::latest), `s3:ListBucket`.
///
/// The HTTP client is yours: `object_store::client::ReqwestConnector` with the feature `aws` of `object_store` 0.14.
///
/// ```
/// use std::time::Duration;
///
/// use compliance_log::audit::anchor::S3Anchor;
/// use object_store::aws::AmazonS3Builder;
/// use object_store::client::HttpConnector;
///
/// fn anchor(client: impl HttpConnector) -> Result<S3Anchor, compliance_log::audit::anchor::AnchorError> {
///     let bucket = AmazonS3Builder::from_env().with_bucket_name("audit-anchors").with_region("eu-central-1");
///     S3Anchor::new(bucket, client, "service.example/audit", Duration::from_secs(10 * 366 * 24 * 3600))
/// }
/// ```
///
/// # Security
/// The lock keeps what was written; it does not keep others from writing beside it. Whoever may delete without naming a
/// version hides an object behind a marker, and whoever may put without a condition puts a newer version before it: the
/// locked one is still there, but is not what a plain read gives. Deny the trail's writer `s3:DeleteObject`, and
/// `s3:PutObject` without `s3:if-none-match`, by the bucket's policy. In a dispute, list the versions: the oldest of each
/// name is the anchor.
pub struct S3Anchor {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

enum Job {
    Publish { checkpoint: Box<SignedCheckpoint>, answer: SyncSender<Result<(), AnchorError>> },
    Latest { keys: Vec<VerifyingKey>, answer: SyncSender<Result<Option<CheckpointNote>, AnchorError>> },
}

impl S3Anchor {
    /// Keeps checkpoints under `prefix` of the builder's bucket, each for at least `keep`. Works on a thread of its own.
    ///
    /// Replaces the builder's HTTP connector by `client`, its retries by three within a minute, and switches conditional
    /// puts and SHA-256 checksums on. Nothing is sent yet.
    ///
    /// # Errors
    /// [`AnchorError::Unavailable`] when the builder lacks something, `prefix` is none, or there is no thread to be had.
    pub fn new(
        bucket: AmazonS3Builder,
        client: impl HttpConnector,
        prefix: &str,
        keep: Duration,
    ) -> Result<Self, AnchorError> {
        let unavailable = |_| AnchorError::Unavailable;
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: TIMEOUT, ..RetryConfig::default() };
        let store = bucket
            .with_http_connector(LockConnector(client))
            .with_retry(retry)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // S3 takes no object under a lock without one; see `ContentMd5` too.
            .with_checksum_algorithm(Checksum::SHA256)
            .build()
            .map_err(unavailable)?;
        let prefix = Path::parse(prefix).map_err(|_| AnchorError::Unavailable)?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let bucket = Bucket { store, prefix, keep };
        let (jobs, received) = channel();
        let thread = thread::Builder::new()
            .name("audit-anchor-s3".to_owned())
            .spawn(move || bucket.serve(&runtime, &received))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// The checkpoint with the highest number kept here that one of the keys signed; after a rotation name the old key
    /// too. Whatever else lies there under a higher number is passed over. Lists the prefix.
    ///
    /// # Errors
    /// [`AnchorError::NotLocked`] when it is not, or no longer, locked; [`Unavailable`](AnchorError::Unavailable), also
    /// when more than [`MAX_FALSE_NOTES`] under higher numbers are none.
    pub fn latest(&self, keys: &[VerifyingKey]) -> Result<Option<CheckpointNote>, AnchorError> {
        self.ask(|answer| Job::Latest { keys: keys.to_vec(), answer })
    }

    fn ask<T>(&self, job: impl FnOnce(SyncSender<Result<T, AnchorError>>) -> Job) -> Result<T, AnchorError> {
        let (answer, answered) = sync_channel(1);
        let jobs = self.jobs.as_ref().ok_or(AnchorError::Unavailable)?;
        jobs.send(job(answer)).map_err(|_| AnchorError::Unavailable)?;
        answered.recv().unwrap_or(Err(AnchorError::Unavailable))
    }
}

impl Anchor for S3Anchor {
    fn publish(&self, checkpoint: &SignedCheckpoint) -> Result<(), AnchorError> {
        let checkpoint = Box::new(checkpoint.clone());
        self.ask(|answer| Job::Publish { checkpoint, answer })
    }
}

impl Drop for S3Anchor {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for S3Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Anchor").finish_non_exhaustive()
    }
}

struct Bucket {
    store: AmazonS3,
    prefix: Path,
    keep: Duration,
}

impl Bucket {
    fn serve(&self, runtime: &Runtime, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            // Whoever asked may have gone; the answer is then nobody's.
            match job {
                Job::Publish { checkpoint, answer } => {
                    let _sent = answer.send(in_time(runtime, self.publish(&checkpoint)));
                }
                Job::Latest { keys, answer } => {
                    let _sent = answer.send(in_time(runtime, self.latest(&keys)));
                }
            }
        }
    }

    async fn publish(&self, checkpoint: &SignedCheckpoint) -> Result<(), AnchorError> {
        let name = self.prefix.clone().join(format!("{:020}.{EXTENSION}", checkpoint.number()));
        let note = checkpoint.note().as_bytes().to_vec();
        let mut options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let digest = HeaderValue::from_str(&BASE64.encode(Md5::digest(&note)));
        options.extensions.insert(ContentMd5(digest.map_err(|_| AnchorError::Unavailable)?));
        match self.store.put_opts(&name, note.into(), options).await {
            // Kept already, by an earlier try or by somebody else: reading it tells.
            Ok(_) | Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(_) => return Err(AnchorError::Unavailable),
        }
        let (found, lock) = self.read(&name).await?;
        if found != checkpoint.note().as_bytes() {
            return Err(AnchorError::Contradicts);
        }
        let least = checkpoint.at().saturating_add(self.keep.saturating_sub(LOCK_TOLERANCE));
        if lock.is_compliance && lock.until.is_some_and(|until| until >= least) {
            Ok(())
        } else {
            Err(AnchorError::NotLocked)
        }
    }

    async fn latest(&self, keys: &[VerifyingKey]) -> Result<Option<CheckpointNote>, AnchorError> {
        let listed =
            self.store.list_with_delimiter(Some(&self.prefix)).await.map_err(|_| AnchorError::Unavailable)?;
        let numbered = |object: ObjectMeta| Some((number(object.location.filename()?)?, object));
        let mut kept: Vec<_> = listed.objects.into_iter().filter_map(numbered).collect();
        kept.retain(|(_, object)| object.size <= MAX_NOTE_LEN as u64);
        kept.sort_unstable_by_key(|(number, _)| *number);
        for (looked, (number, object)) in kept.iter().rev().enumerate() {
            if looked > MAX_FALSE_NOTES {
                return Err(AnchorError::Unavailable);
            }
            let (note, lock) = self.read(&object.location).await?;
            if let Some(note) = genuine(&note, *number, keys) {
                return if lock.is_compliance { Ok(Some(note)) } else { Err(AnchorError::NotLocked) };
            }
        }
        Ok(None)
    }

    async fn read(&self, name: &Path) -> Result<(Vec<u8>, Lock), AnchorError> {
        let unavailable = |_| AnchorError::Unavailable;
        let found = self.store.get_opts(name, GetOptions::default()).await.map_err(unavailable)?;
        if found.meta.size > MAX_NOTE_LEN as u64 {
            return Err(AnchorError::Contradicts);
        }
        let lock = found.extensions.get::<Lock>().copied().unwrap_or_default();
        Ok((found.bytes().await.map_err(unavailable)?.to_vec(), lock))
    }
}

fn in_time<T>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T, AnchorError>>,
) -> Result<T, AnchorError> {
    runtime.block_on(async {
        tokio::time::timeout(TIMEOUT, work).await.unwrap_or(Err(AnchorError::Unavailable))
    })
}

/// What a store says of an object's lock.
#[derive(Clone, Copy, Debug, Default)]
struct Lock {
    is_compliance: bool,
    until: Option<Timestamp>,
}

impl Lock {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            let mut all = headers.get_all(name).iter();
            // Twice is as good as not at all.
            all.next().filter(|_| all.next().is_none())?.to_str().ok()
        };
        Self {
            is_compliance: text("x-amz-object-lock-mode") == Some("COMPLIANCE"),
            until: text("x-amz-object-lock-retain-until-date").and_then(|until| until.parse().ok()),
        }
    }
}

/// RFC 1864. Some stores lock no object that comes without, whatever other checksum it has. Says nothing to anybody who
/// could forge: the content is signed.
#[derive(Clone, Debug)]
struct ContentMd5(HeaderValue);

/// Hands on what `object_store` itself does not: the headers about an object's lock, and its MD5.
#[derive(Debug)]
struct LockConnector<C>(C);

impl<C: HttpConnector> HttpConnector for LockConnector<C> {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(LockReader(self.0.connect(options)?)))
    }
}

#[derive(Debug)]
struct LockReader(HttpClient);

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for LockReader {
    fn call<'life0, 'async_trait>(&'life0 self, mut request: HttpRequest) -> Answer<'async_trait>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            if let Some(ContentMd5(digest)) = request.extensions_mut().remove() {
                request.headers_mut().insert("content-md5", digest);
            }
            let mut response = self.0.execute(request).await?;
            let lock = Lock::of(response.headers());
            response.extensions_mut().insert(lock);
            Ok(response)
        })
    }
}
