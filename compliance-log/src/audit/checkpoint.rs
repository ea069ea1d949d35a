//! Checkpoints: signed statements of how many records there are and what their root is.
//!
//! The form is the C2SP signed note (v1.0.0) with the text of a C2SP tlog-checkpoint (v1.0.0), signed with
//! Ed25519 (RFC 8032, signature type 0x01). One extension line adds what this trail promises:
//!
//! ```text
//! service.example/audit
//! 4096
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
//! compliance-log/2 17 2026-11-21T12:00:00Z 4096 60 open
//!
//! — service.example/audit Az3grlgt…
//! ```
//!
//! The extension line holds its version, the checkpoint's number (0 for the first, without gaps, so that none can be
//! taken out), its time, the most records that may follow before the next checkpoint, the most seconds that may pass,
//! and a word: `closed` when the trail was closed with it; `recovered` when it is over records that the signing process
//! did not write but found, left unsigned by one that ended otherwise than by closing; `open` in all other cases.
//! Version 1, which is read and no longer written, has no seconds and no `recovered`. Other signatures on the same note,
//! a witness's for one, are allowed and ignored.
//!
//! Keep the key outside the trail's directory, and copies of checkpoints outside the machine: a checkpoint
//! next to the trail only guards against those who cannot sign.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use compliance_core::clock::Timestamp;
use compliance_core::random::{RandomError, SecureRandom};
use ed25519_dalek::{Signature, Signer as _, SigningKey};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::tree::TreeHash;

/// The longest note accepted, in bytes. Leaves room for the signatures of many witnesses.
pub const MAX_NOTE_LEN: usize = 64 * 1024;

/// The longest key name, in bytes.
pub const MAX_KEY_NAME_LEN: usize = 128;

/// The signature type byte of Ed25519 in a signed note.
const ED25519: u8 = 0x01;

/// A name, a key or a checkpoint was not of its form, or its signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint refused: {0}")]
pub struct CheckpointError(CheckpointErrorKind);

/// Why a name, key or checkpoint was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointErrorKind {
    /// Not a signed note with the text of a checkpoint of this trail's kind.
    #[error("line {line} of the note is not of its form")]
    Form {
        /// Line number, from 1.
        line: usize,
    },
    /// Not a verifying key of the form `name+id+key`.
    #[error("the verifying key is not of the form `name+id+key`, or its id is not its own")]
    Key,
    /// Not a key name: empty, too long, or with a space, a plus sign or a control character.
    #[error("a key name has 1 to {MAX_KEY_NAME_LEN} bytes without spaces, plus signs and control characters")]
    KeyName,
    /// Another trail's.
    #[error("the checkpoint is of another origin than the key")]
    Origin,
    /// No signature by this key, or one that does not hold.
    #[error("no valid signature by the key")]
    Signature,
}

impl CheckpointError {
    fn form(line: usize) -> Self {
        Self(CheckpointErrorKind::Form { line })
    }

    /// Why.
    #[must_use]
    pub fn kind(&self) -> CheckpointErrorKind {
        self.0
    }

    /// `checkpoint.form`, `checkpoint.key`, `checkpoint.key_name`, `checkpoint.origin` or
    /// `checkpoint.signature`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            CheckpointErrorKind::Form { .. } => "checkpoint.form",
            CheckpointErrorKind::Key => "checkpoint.key",
            CheckpointErrorKind::KeyName => "checkpoint.key_name",
            CheckpointErrorKind::Origin => "checkpoint.origin",
            CheckpointErrorKind::Signature => "checkpoint.signature",
        }
    }
}

/// The key a trail signs its checkpoints with.
///
/// The name stands in every checkpoint as its origin; C2SP recommends a URL without scheme that belongs to
/// you, such as `service.example/audit`.
///
/// # Security
/// Whoever has this key can sign another history. Keep it outside the trail's directory and its backups.
///
/// ```
/// use compliance_core::random::SystemRandom;
/// use compliance_log::audit::CheckpointKey;
///
/// let key = CheckpointKey::generate("service.example/audit", &SystemRandom)?;
/// // Goes to whoever verifies, by another way than the trail.
/// let vkey = key.verifying_key().to_string();
/// assert!(vkey.starts_with("service.example/audit+"));
/// assert!(CheckpointKey::from_seed("two words", [7; 32]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CheckpointKey {
    signing: SigningKey,
    verifying: VerifyingKey,
}

impl CheckpointKey {
    /// Length of a seed in bytes (RFC 8032 §5.1.5, the private key).
    pub const SEED_LEN: usize = 32;

    /// The key of a seed that was kept from earlier. The seed must come from a secure generator. What is handed over is
    /// wiped here, as the key is when it is dropped; a copy the caller keeps is the caller's to wipe.
    ///
    /// # Errors
    /// [`CheckpointError`] `checkpoint.key_name`.
    pub fn from_seed(name: &str, seed: [u8; Self::SEED_LEN]) -> Result<Self, CheckpointError> {
        Self::from_secret(name, &Zeroizing::new(seed))
    }

    fn from_secret(name: &str, seed: &[u8; Self::SEED_LEN]) -> Result<Self, CheckpointError> {
        let signing = SigningKey::from_bytes(seed);
        let verifying = VerifyingKey::new(name, signing.verifying_key())?;
        Ok(Self { signing, verifying })
    }

    /// A new key. Keep its [seed](Self::expose_seed), or no later process can continue the trail.
    ///
    /// # Errors
    /// [`KeyGenerationError`] when the name is not one, or the source of chance fails.
    pub fn generate(name: &str, random: &dyn SecureRandom) -> Result<Self, KeyGenerationError> {
        let mut seed = Zeroizing::new([0; Self::SEED_LEN]);
        random.fill(&mut *seed)?;
        Ok(Self::from_secret(name, &seed)?)
    }

    /// The secret itself, for the caller to keep.
    #[must_use]
    pub fn expose_seed(&self) -> &[u8; Self::SEED_LEN] {
        self.signing.as_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }
}

/// Signs checkpoints: a key in memory, or one that never leaves a KMS or HSM.
///
/// Called on the thread that writes, once per checkpoint: what takes long holds records up. When it fails, whoever asked
/// for the checkpoint is told, a heartbeat is tried again after a second and then ever less often, at least once per
/// [interval](super::AuditConfig::checkpoint_interval), and records are taken as long as the last checkpoint's promise
/// holds: once [`checkpoint_every`](super::AuditConfig::checkpoint_every) of them are signed by nothing, further ones are
/// refused with [`Unavailable`](compliance_core::event::RecordErrorKind::Unavailable), until it answers.
pub trait CheckpointSigner: Send + Sync + fmt::Debug {
    /// The public half.
    fn verifying_key(&self) -> &VerifyingKey;

    /// An Ed25519 signature (RFC 8032, pure) over `text`. It is checked against the public half before it is used.
    ///
    /// # Errors
    /// [`SignError`] when there is none to be had.
    fn sign(&self, text: &[u8]) -> Result<[u8; 64], SignError>;
}

/// A checkpoint was not signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("the signer gave no signature by its key")]
#[non_exhaustive]
pub struct SignError;

impl SignError {
    /// For implementations of [`CheckpointSigner`].
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// `checkpoint.not_signed`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "checkpoint.not_signed"
    }
}

impl CheckpointSigner for CheckpointKey {
    fn verifying_key(&self) -> &VerifyingKey {
        &self.verifying
    }

    fn sign(&self, text: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.signing.sign(text).to_bytes())
    }
}

/// A signed note of the statement.
pub(super) fn sign(
    signer: &dyn CheckpointSigner,
    statement: Statement,
) -> Result<SignedCheckpoint, SignError> {
    let text = statement.text(&signer.verifying_key().name);
    let note = format!("{text}\n{}", signature_line(signer, &text)?);
    Ok(SignedCheckpoint { statement, note: note.into() })
}

/// A note signed by two keys of one name: the trail goes on under the second.
pub(super) fn sign_by_both(
    old: &dyn CheckpointSigner,
    new: &dyn CheckpointSigner,
    statement: Statement,
) -> Result<SignedCheckpoint, SignError> {
    if old.verifying_key().name != new.verifying_key().name {
        return Err(SignError);
    }
    let text = statement.text(&old.verifying_key().name);
    let note = format!("{text}\n{}{}", signature_line(old, &text)?, signature_line(new, &text)?);
    Ok(SignedCheckpoint { statement, note: note.into() })
}

fn signature_line(signer: &dyn CheckpointSigner, text: &str) -> Result<String, SignError> {
    let key = signer.verifying_key();
    let signature = signer.sign(text.as_bytes())?;
    // Nothing is written that would not verify.
    key.key.verify_strict(text.as_bytes(), &Signature::from_bytes(&signature)).map_err(|_| SignError)?;
    let signature = BASE64.encode([&key.id[..], &signature[..]].concat());
    Ok(format!("\u{2014} {} {signature}\n", key.name))
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointKey").field("verifying", &self.verifying).finish_non_exhaustive()
    }
}

/// A key was not generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct KeyGenerationError(#[from] KeyGenerationErrorKind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum KeyGenerationErrorKind {
    #[error(transparent)]
    Name(CheckpointError),
    #[error(transparent)]
    Random(RandomError),
}

impl From<CheckpointError> for KeyGenerationError {
    fn from(cause: CheckpointError) -> Self {
        Self(KeyGenerationErrorKind::Name(cause))
    }
}

impl From<RandomError> for KeyGenerationError {
    fn from(cause: RandomError) -> Self {
        Self(KeyGenerationErrorKind::Random(cause))
    }
}

impl KeyGenerationError {
    /// `checkpoint.key_name` or `random.source_failed`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.0 {
            KeyGenerationErrorKind::Name(cause) => cause.code(),
            KeyGenerationErrorKind::Random(cause) => cause.code(),
        }
    }
}

/// The key checkpoints are verified with.
///
/// Its text form is that of C2SP's notes: name, key id in eight hexadecimal digits, and type and key in
/// base64, joined by plus signs.
///
/// ```
/// use compliance_log::audit::VerifyingKey;
///
/// let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
/// let key: VerifyingKey = text.parse()?;
/// assert_eq!(key.name(), "PeterNeumann");
/// assert_eq!("PeterNeumann".parse::<VerifyingKey>().unwrap_err().code(), "checkpoint.key");
/// # Ok::<(), compliance_log::audit::checkpoint::CheckpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    name: Box<str>,
    id: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

impl VerifyingKey {
    fn new(name: &str, key: ed25519_dalek::VerifyingKey) -> Result<Self, CheckpointError> {
        if !is_key_name(name) {
            return Err(CheckpointError(CheckpointErrorKind::KeyName));
        }
        let hash = Sha256::new_with_prefix(name).chain_update([b'\n', ED25519]).chain_update(key.as_bytes());
        let id = hash.finalize().first_chunk().copied().unwrap_or_default();
        Ok(Self { name: name.into(), id, key })
    }

    /// The key of this name with these 32 bytes (RFC 8032 §5.1.5), as a KMS gives them.
    ///
    /// # Errors
    /// [`CheckpointError`] `checkpoint.key_name`; `checkpoint.key` when the bytes are no key, or one that verifies what
    /// nobody signed.
    pub fn from_public_key(name: &str, key: [u8; 32]) -> Result<Self, CheckpointError> {
        let refused = CheckpointError(CheckpointErrorKind::Key);
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| refused)?;
        if key.is_weak() { Err(refused) } else { Self::new(name, key) }
    }

    /// The key's name, which is the origin of the checkpoints it verifies.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// C2SP signed-note: no Unicode spaces, no plus signs. Control characters would hide in what people compare.
fn is_key_name(name: &str) -> bool {
    (1..=MAX_KEY_NAME_LEN).contains(&name.len())
        && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64.encode([&[ED25519], &self.key.as_bytes()[..]].concat());
        write!(f, "{}+{:08x}+{key}", self.name, u32::from_be_bytes(self.id))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let refused = CheckpointError(CheckpointErrorKind::Key);
        // Base64 may hold plus signs, a name may not.
        let mut parts = text.splitn(3, '+');
        let (name, id, key) = (parts.next(), parts.next(), parts.next());
        let (Some(name), Some(id), Some(key)) = (name, id, key) else { return Err(refused) };
        let bytes = BASE64.decode(key).map_err(|_| refused)?;
        let Some((&ED25519, key)) = bytes.split_first() else { return Err(refused) };
        let key = key.try_into().map_err(|_| refused)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| refused)?;
        let key = Self::new(name, key)?;
        // Every small-order point would verify signatures nobody made.
        if key.key.is_weak() || format!("{:08x}", u32::from_be_bytes(key.id)) != id {
            return Err(refused);
        }
        Ok(key)
    }
}

/// What a checkpoint states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) size: u64,
    pub(super) root: TreeHash,
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) every: u64,
    /// In seconds; `None` in version 1.
    pub(super) interval: Option<u64>,
    pub(super) state: State,
}

/// What became of the trail with a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Open,
    /// Over records that whoever signed did not write.
    Recovered,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Recovered => "recovered",
        }
    }
}

impl Statement {
    fn text(&self, origin: &str) -> String {
        let Self { size, root, number, at, every, interval, state } = self;
        let (root, state) = (BASE64.encode(root.as_bytes()), state.word());
        let promise = match interval {
            None => format!("compliance-log/1 {number} {at} {every}"),
            Some(seconds) => format!("compliance-log/2 {number} {at} {every} {seconds}"),
        };
        format!("{origin}\n{size}\n{root}\n{promise} {state}\n")
    }

    /// Reads the lines after the origin; `Err` is the number of the line that is not of its form.
    fn parse<'a>(mut lines: impl Iterator<Item = &'a str>) -> Result<Self, usize> {
        let size = lines.next().and_then(decimal).ok_or(2_usize)?;
        let root = lines.next().and_then(|line| BASE64.decode(line).ok()?.try_into().ok()).ok_or(3_usize)?;
        let mut words = lines.next().ok_or(4_usize)?.split(' ');
        let mut parse_extension = || {
            let version = words.next()?;
            let number = decimal(words.next()?)?;
            let at = words.next()?.parse().ok()?;
            let every = decimal(words.next()?)?;
            let interval = match version {
                "compliance-log/1" => None,
                "compliance-log/2" => Some(decimal(words.next()?)?),
                _ => return None,
            };
            let state = match words.next()? {
                "closed" => State::Closed,
                "open" => State::Open,
                "recovered" if interval.is_some() => State::Recovered,
                _ => return None,
            };
            let root = TreeHash::from_bytes(root);
            Some(Self { size, root, number, at, every, interval, state })
        };
        parse_extension().ok_or(4)
    }
}

fn decimal(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// A checkpoint as it was read: its form is right, its signature has not been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointNote {
    origin: Box<str>,
    statement: Statement,
    note: Box<str>,
}

impl CheckpointNote {
    /// Reads a note of at most [`MAX_NOTE_LEN`] bytes.
    ///
    /// # Errors
    /// [`CheckpointError`] `checkpoint.form` with the line that is not of its form.
    pub fn parse(note: &str) -> Result<Self, CheckpointError> {
        if note.len() > MAX_NOTE_LEN {
            return Err(CheckpointError::form(1));
        }
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(CheckpointError::form(1))?;
        let mut lines = text.split('\n');
        let origin = lines.next().filter(|origin| is_key_name(origin)).ok_or(CheckpointError::form(1))?;
        let statement = Statement::parse(lines).map_err(CheckpointError::form)?;
        // One form for one statement: whatever is not written back byte for byte was not of the form.
        if statement.text(origin).strip_suffix('\n') != Some(text) {
            return Err(CheckpointError::form(4));
        }
        let signatures = signatures.strip_suffix('\n').ok_or(CheckpointError::form(6))?;
        for (line, signature) in signatures.split('\n').enumerate() {
            SignatureLine::parse(signature).ok_or(CheckpointError::form(line.saturating_add(6)))?;
        }
        Ok(Self { origin: origin.into(), statement, note: note.into() })
    }

    /// Checks that the key signed it.
    ///
    /// # Errors
    /// [`CheckpointError`] `checkpoint.origin` when it is another trail's, `checkpoint.signature` when there
    /// is no signature by this key or one does not hold.
    pub fn verify(&self, key: &VerifyingKey) -> Result<SignedCheckpoint, CheckpointError> {
        if self.origin != key.name {
            return Err(CheckpointError(CheckpointErrorKind::Origin));
        }
        let refused = CheckpointError(CheckpointErrorKind::Signature);
        let (text, signatures) = self.note.rsplit_once("\n\n").ok_or(refused)?;
        let mut is_signed = false;
        for signature in signatures.split('\n').filter_map(SignatureLine::parse) {
            if signature.name == &*key.name && signature.key_id == key.id {
                let bytes = <[u8; 64]>::try_from(&*signature.bytes).map_err(|_| refused)?;
                let signed = [text, "\n"].concat();
                key.key
                    .verify_strict(signed.as_bytes(), &Signature::from_bytes(&bytes))
                    .map_err(|_| refused)?;
                is_signed = true;
            }
        }
        if !is_signed {
            return Err(refused);
        }
        Ok(SignedCheckpoint { statement: self.statement, note: self.note.clone() })
    }

    /// The origin it names, unproven.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The note itself.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    pub(super) fn statement(&self) -> &Statement {
        &self.statement
    }
}

struct SignatureLine<'a> {
    name: &'a str,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

impl<'a> SignatureLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let signature = BASE64.decode(signature).ok()?;
        let (key_id, bytes) = signature.split_first_chunk()?;
        is_key_name(name).then(|| Self { name, key_id: *key_id, bytes: bytes.to_vec() })
    }
}

/// A checkpoint whose signature holds.
///
/// `Display` gives the note, which is what an anchor keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    statement: Statement,
    note: Box<str>,
}

impl SignedCheckpoint {
    /// How many records it covers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.statement.size
    }

    /// The root of the tree over them.
    #[must_use]
    pub fn root(&self) -> &TreeHash {
        &self.statement.root
    }

    /// Its own number, from 0, without gaps.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.statement.number
    }

    /// When it was signed, by the trail's clock.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.statement.at
    }

    /// The most records that follow it before the next checkpoint.
    #[must_use]
    pub fn every(&self) -> u64 {
        self.statement.every
    }

    /// The longest until the next checkpoint, in whole seconds, unless the trail was closed with it: what
    /// [`checkpoint_interval`](super::AuditConfig::checkpoint_interval) was. `None` in version 1, which did not say.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.statement.interval.map(Duration::from_secs)
    }

    /// Whether the trail was closed with it.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.statement.state == State::Closed
    }

    /// Whether it covers records that whoever signed it did not write but found when the trail was opened, signed by
    /// nobody. What such records say of the trail itself – that its beginning was retired, that it goes on under another
    /// key – does not count.
    #[must_use]
    pub fn is_recovery(&self) -> bool {
        self.statement.state == State::Recovered
    }

    /// The signed note.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    pub(super) fn statement(&self) -> &Statement {
        &self.statement
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.note)
    }
}
