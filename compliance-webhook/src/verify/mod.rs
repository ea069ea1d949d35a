//! Standard Webhooks signatures, receiving side.
//!
//! [`Verifier::verify`] takes the body away and gives it back only inside a [`Verified`] message. In order:
//!
//! 1. the three headers are there, once each, and no longer than their caps;
//! 2. the id is one a sender may use ([`MessageId`]);
//! 3. the timestamp is plain decimal, and neither too old nor too far ahead;
//! 4. the body is no longer than the cap;
//! 5. one of at most [`MAX_SIGNATURES`] signatures is the HMAC under one of the verifier's shared secrets (scheme
//!    `v1`), compared in constant time on the decoded bytes, or one of at most [`MAX_ED25519_SIGNATURES`] is good
//!    under one of its public keys (scheme `v1a`).
//!
//! A valid message can be sent again within the tolerance: [`ReplayGate`] lets each through once.

mod error;
mod headers;
mod key;
mod replay;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compliance_core::clock::Timestamp;
use subtle::{Choice, ConstantTimeEq as _};

use crate::sign::{MessageId, SCHEME_V1, SCHEME_V1A, SIGNATURE_LEN, SigningKey, TAG_LEN, VerifyingKey};

pub use error::{VerifierError, VerifyError, VerifyReason};
use headers::Headers;
use key::Kind;
pub use key::ReceiverKey;
pub use replay::{
    Admission, Admitted, DEFAULT_HANDLING, DEFAULT_MEMORY, MemoryReplayCache, ReplayCache, ReplayError,
    ReplayErrorKind, ReplayGate, ReplayKey, Reservation,
};

/// The most signatures in one header, whatever their scheme. A rotation sends two or three.
pub const MAX_SIGNATURES: usize = 16;

/// The most `v1a` signatures in one header when a public key is to verify them: each costs as much as a hundred
/// of the others, and a forger pays nothing for it.
pub const MAX_ED25519_SIGNATURES: usize = 4;

/// The longest `webhook-signature` header, in bytes: room for [`MAX_SIGNATURES`] Ed25519 signatures.
pub const MAX_SIGNATURE_HEADER_LEN: usize = 2048;

/// How far a timestamp may lie from now in either direction, unless told otherwise: what the Standard Webhooks
/// libraries use.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// The widest tolerance accepted. Whoever wants to take older messages wants a queue.
pub const MAX_TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest body, in bytes, unless told otherwise. Senders should stay under 20 kB (Standard Webhooks,
/// "Payload size").
pub const DEFAULT_MAX_BODY_LEN: usize = 1 << 20;

/// Verifies messages under one or more shared secrets and public keys.
///
/// ```
/// use compliance_core::clock::Timestamp;
/// use compliance_webhook::sign::SigningKey;
/// use compliance_webhook::verify::Verifier;
///
/// let verifier = Verifier::new(SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?);
/// let headers = [
///     ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
///     ("webhook-timestamp", "1649367553"),
///     ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
/// ];
/// let body = r#"{"email":"test@example.com","username":"test_user"}"#;
/// let now = Timestamp::from_unix_seconds(1_649_367_560);
///
/// let verified = verifier.verify(headers, body, now)?;
/// assert_eq!(verified.message().id().as_str(), "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk");
/// assert_eq!(verified.into_body(), body);
///
/// let refused = verifier.verify(headers, r#"{"email":"mallory@example.com"}"#, now).unwrap_err();
/// assert_eq!(refused.code(), "verify.signature");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Verifier {
    shared: Vec<SigningKey>,
    public: Vec<VerifyingKey>,
    past: Duration,
    future: Duration,
    max_body_len: usize,
}

impl Verifier {
    /// The most keys tried on one message: each costs one pass over the body.
    pub const MAX_KEYS: usize = 8;

    /// Accepts messages under one key, five minutes either way, bodies up to
    /// [`DEFAULT_MAX_BODY_LEN`] bytes.
    #[must_use]
    pub fn new(key: impl Into<ReceiverKey>) -> Self {
        let (mut shared, mut public) = (Vec::new(), Vec::new());
        match key.into().0 {
            Kind::Shared(key) => shared.push(key),
            Kind::Public(key) => public.push(key),
        }
        Self {
            shared,
            public,
            past: DEFAULT_TOLERANCE,
            future: DEFAULT_TOLERANCE,
            max_body_len: DEFAULT_MAX_BODY_LEN,
        }
    }

    /// Accepts messages under another key, too, while one is being rotated.
    ///
    /// # Errors
    /// `verifier.too_many_keys` past [`MAX_KEYS`](Self::MAX_KEYS).
    pub fn with_key(mut self, key: impl Into<ReceiverKey>) -> Result<Self, VerifierError> {
        if self.shared.len().saturating_add(self.public.len()) >= Self::MAX_KEYS {
            return Err(VerifierError::TooManyKeys);
        }
        match key.into().0 {
            Kind::Shared(key) => self.shared.push(key),
            Kind::Public(key) => self.public.push(key),
        }
        Ok(self)
    }

    /// How old a message may be, and how far ahead the sender's clock. Both in whole seconds.
    ///
    /// # Errors
    /// `verifier.tolerance` past [`MAX_TOLERANCE`].
    pub fn with_tolerance(mut self, past: Duration, future: Duration) -> Result<Self, VerifierError> {
        if past > MAX_TOLERANCE || future > MAX_TOLERANCE {
            return Err(VerifierError::Tolerance);
        }
        self.past = past;
        self.future = future;
        Ok(self)
    }

    /// The longest body, in bytes.
    #[must_use]
    pub fn with_max_body_len(mut self, max_body_len: usize) -> Self {
        self.max_body_len = max_body_len;
        self
    }

    /// The longest body, in bytes: stop reading a request there.
    #[must_use]
    pub fn max_body_len(&self) -> usize {
        self.max_body_len
    }

    /// Verifies one message. `headers` are the request's, names in any case, other headers are skipped; `body`
    /// is the bytes as they came, before any parser.
    ///
    /// One pass over the body per shared secret and one allocation; with public keys, a copy of the body and at most
    /// [`MAX_ED25519_SIGNATURES`] passes for each.
    ///
    /// # Errors
    /// [`VerifyError`] with the first rule that refuses; the body is gone then.
    ///
    /// # Security
    /// Everything but the keys and `now` may be hostile. Answer with
    /// [`public_code`](compliance_core::finding::Reason::public_code), the same for every reason.
    pub fn verify<N, V, B>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: B,
        now: Timestamp,
    ) -> Result<Verified<Message<B>>, VerifyError>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
        B: AsRef<[u8]>,
    {
        let headers = Headers::collect(headers)?;
        let id = headers.id.get(VerifyReason::HeaderMissing)?;
        let timestamp = headers.timestamp.get(VerifyReason::HeaderMissing)?;
        let signatures = headers.signature.get(VerifyReason::HeaderMissing)?;

        let id = MessageId::check(id).map_err(|_| VerifyReason::Id)?;
        let sent = self.check_time(timestamp, now)?;
        let payload = body.as_ref();
        if payload.len() > self.max_body_len {
            return Err(VerifyReason::BodyLength.into());
        }
        self.check_signatures(signatures, [id.as_bytes(), timestamp, payload])?;

        let id = MessageId::from_checked(id);
        Ok(Verified(Message { id, sent, body }))
    }

    fn check_time(&self, text: &[u8], now: Timestamp) -> Result<Timestamp, VerifyReason> {
        let sent = parse_seconds(text).ok_or(VerifyReason::TimestampSyntax)?;
        // Whole seconds on both sides, as the header has them.
        let sent = Timestamp::from_unix_seconds(sent);
        let now = Timestamp::from_unix_seconds(now.as_unix_seconds());
        if now.saturating_since(sent) > self.past {
            return Err(VerifyReason::TimestampTooOld);
        }
        if sent.saturating_since(now) > self.future {
            return Err(VerifyReason::TimestampTooNew);
        }
        Ok(sent)
    }

    fn check_signatures(
        &self,
        header: &[u8],
        [id, timestamp, payload]: [&[u8]; 3],
    ) -> Result<(), VerifyReason> {
        let candidates = Candidates::parse(header, !self.shared.is_empty(), !self.public.is_empty())?;
        // Every key against every candidate, whatever matched before.
        let mut found = Choice::from(0);
        if !candidates.tags().is_empty() {
            for key in &self.shared {
                let expected = key.tag(id, timestamp, payload);
                for candidate in candidates.tags() {
                    found |= expected.ct_eq(candidate);
                }
            }
        }
        // No secret is at stake from here on.
        let mut is_found = bool::from(found);
        if !is_found && !candidates.signatures.is_empty() {
            let message = [id, b".", timestamp, b".", payload].concat();
            is_found = self
                .public
                .iter()
                .any(|key| candidates.signatures.iter().any(|signature| key.matches(&message, signature)));
        }
        if is_found { Ok(()) } else { Err(VerifyReason::Signature) }
    }
}

/// The decoded signatures of one header.
struct Candidates {
    tags: [[u8; TAG_LEN]; MAX_SIGNATURES],
    len: usize,
    signatures: Vec<[u8; SIGNATURE_LEN]>,
}

impl Candidates {
    /// Splits `v1,… v1,… v1a,…`. Schemes no key is there for are skipped, and so is an entry that is not the
    /// base64 of as many bytes as its scheme has: it matches nothing.
    fn parse(header: &[u8], with_shared: bool, with_public: bool) -> Result<Self, VerifyReason> {
        let mut found = Self { tags: [[0; TAG_LEN]; MAX_SIGNATURES], len: 0, signatures: Vec::new() };
        let mut known_scheme = false;
        let mut ed25519_left = MAX_ED25519_SIGNATURES;
        for (count, entry) in header.split(|&byte| byte == b' ').enumerate() {
            if count >= MAX_SIGNATURES {
                return Err(VerifyReason::TooManySignatures);
            }
            let comma = entry.iter().position(|&byte| byte == b',').ok_or(VerifyReason::SignatureSyntax)?;
            let (scheme, encoded) = entry.split_at(comma);
            let encoded = encoded.get(1..).unwrap_or_default();
            if with_shared && scheme == SCHEME_V1.as_bytes() {
                known_scheme = true;
                // The decoder wants room for a whole number of base64 groups.
                let mut buffer = [0; TAG_LEN + 1];
                let Ok(TAG_LEN) = STANDARD.decode_slice(encoded, &mut buffer) else { continue };
                if let (Some(slot), Some(tag)) = (found.tags.get_mut(found.len), buffer.first_chunk()) {
                    *slot = *tag;
                    found.len = found.len.saturating_add(1);
                }
            } else if with_public && scheme == SCHEME_V1A.as_bytes() {
                known_scheme = true;
                ed25519_left = ed25519_left.checked_sub(1).ok_or(VerifyReason::TooManySignatures)?;
                let mut buffer = [0; SIGNATURE_LEN + 2];
                let Ok(SIGNATURE_LEN) = STANDARD.decode_slice(encoded, &mut buffer) else { continue };
                found.signatures.extend(buffer.first_chunk::<SIGNATURE_LEN>().copied());
            }
        }
        match (known_scheme, found.len == 0 && found.signatures.is_empty()) {
            (false, _) => Err(VerifyReason::Scheme),
            (true, true) => Err(VerifyReason::SignatureSyntax),
            (true, false) => Ok(found),
        }
    }

    fn tags(&self) -> &[[u8; TAG_LEN]] {
        self.tags.get(..self.len).unwrap_or_default()
    }
}

/// 1 to 12 ASCII digits, no sign, no space, no leading zero but `0` itself. 12 digits reach past the year 9999.
fn parse_seconds(text: &[u8]) -> Option<i64> {
    let well_formed = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.len() <= 12;
    if !well_formed {
        return None;
    }
    text.iter().try_fold(0_i64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte.wrapping_sub(b'0')))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// Something whose signature was verified. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// What was verified.
    #[must_use]
    pub fn message(&self) -> &T {
        &self.0
    }
}

impl<B> Verified<Message<B>> {
    /// The body, byte for byte as it was signed.
    #[must_use]
    pub fn into_body(self) -> B {
        self.0.body
    }
}

/// One received message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message<B> {
    id: MessageId,
    sent: Timestamp,
    body: B,
}

impl<B> Message<B> {
    /// The id, the same on every attempt of the sender.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// When this attempt was signed, in whole seconds.
    #[must_use]
    pub fn sent(&self) -> Timestamp {
        self.sent
    }

    /// The body, byte for byte as it was signed.
    #[must_use]
    pub fn body(&self) -> &B {
        &self.body
    }
}

impl<B> fmt::Debug for Message<B> {
    /// Without the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("id", &self.id).field("sent", &self.sent).finish_non_exhaustive()
    }
}
