//! Standard Webhooks signatures, receiving side.
//!
//! [`Verifier::verify`] takes the body away and gives it back only inside a [`Verified`] message. In order:
//!
//! 1. the three headers are there, once each, and no longer than their caps;
//! 2. the id is one a sender may use ([`MessageId`]);
//! 3. the timestamp is plain decimal, and neither too old nor too far ahead;
//! 4. the body is no longer than the cap;
//! 5. one of at most [`MAX_SIGNATURES`] signatures is the HMAC under one of the verifier's keys, compared in
//!    constant time on the decoded bytes.
//!
//! A valid message can be sent again within the tolerance: drop duplicates by [`id`](Message::id).

mod error;
mod headers;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compliance_core::clock::Timestamp;
use subtle::{Choice, ConstantTimeEq as _};

use crate::sign::{MessageId, SCHEME_V1, SigningKey, TAG_LEN};

pub use error::{VerifierError, VerifyError, VerifyReason};
use headers::Headers;

/// The most signatures in one header, whatever their scheme. A rotation sends two or three.
pub const MAX_SIGNATURES: usize = 16;

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

/// Verifies messages under one or more shared secrets.
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
    keys: Vec<SigningKey>,
    past: Duration,
    future: Duration,
    max_body_len: usize,
}

impl Verifier {
    /// The most keys tried on one message: each costs one pass over the body.
    pub const MAX_KEYS: usize = 8;

    /// Accepts messages under one secret, five minutes either way, bodies up to
    /// [`DEFAULT_MAX_BODY_LEN`] bytes.
    #[must_use]
    pub fn new(key: SigningKey) -> Self {
        Self {
            keys: vec![key],
            past: DEFAULT_TOLERANCE,
            future: DEFAULT_TOLERANCE,
            max_body_len: DEFAULT_MAX_BODY_LEN,
        }
    }

    /// Accepts messages under another secret, too, while one is being rotated.
    ///
    /// # Errors
    /// `verifier.too_many_keys` past [`MAX_KEYS`](Self::MAX_KEYS).
    pub fn with_key(mut self, key: SigningKey) -> Result<Self, VerifierError> {
        if self.keys.len() >= Self::MAX_KEYS {
            return Err(VerifierError::TooManyKeys);
        }
        self.keys.push(key);
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
    /// One pass over the body per key, one allocation.
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
        self.check_signatures(signatures, |key| key.tag(id.as_bytes(), timestamp, payload))?;

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
        tag: impl Fn(&SigningKey) -> [u8; TAG_LEN],
    ) -> Result<(), VerifyReason> {
        let candidates = Candidates::parse(header)?;
        // Every key against every candidate, whatever matched before.
        let mut found = Choice::from(0);
        for key in &self.keys {
            let expected = tag(key);
            for candidate in candidates.tags() {
                found |= expected.ct_eq(candidate);
            }
        }
        if bool::from(found) { Ok(()) } else { Err(VerifyReason::Signature) }
    }
}

/// The decoded `v1` signatures of one header.
struct Candidates {
    tags: [[u8; TAG_LEN]; MAX_SIGNATURES],
    len: usize,
}

impl Candidates {
    /// Splits `v1,… v1,… v1a,…`. Other schemes are skipped, and so is a `v1` entry that is not the base64 of
    /// 32 bytes: it matches nothing.
    fn parse(header: &[u8]) -> Result<Self, VerifyReason> {
        let mut found = Self { tags: [[0; TAG_LEN]; MAX_SIGNATURES], len: 0 };
        let mut known_scheme = false;
        for (count, entry) in header.split(|&byte| byte == b' ').enumerate() {
            if count >= MAX_SIGNATURES {
                return Err(VerifyReason::TooManySignatures);
            }
            let comma = entry.iter().position(|&byte| byte == b',').ok_or(VerifyReason::SignatureSyntax)?;
            let (scheme, encoded) = entry.split_at(comma);
            let encoded = encoded.get(1..).unwrap_or_default();
            if scheme != SCHEME_V1.as_bytes() {
                continue;
            }
            known_scheme = true;
            // The decoder wants room for a whole number of base64 groups.
            let mut buffer = [0; TAG_LEN + 1];
            let Ok(TAG_LEN) = STANDARD.decode_slice(encoded, &mut buffer) else { continue };
            if let (Some(slot), Some(tag)) = (found.tags.get_mut(found.len), buffer.first_chunk()) {
                *slot = *tag;
                found.len = found.len.saturating_add(1);
            }
        }
        match (known_scheme, found.len) {
            (false, _) => Err(VerifyReason::Scheme),
            (true, 0) => Err(VerifyReason::SignatureSyntax),
            (true, _) => Ok(found),
        }
    }

    fn tags(&self) -> impl Iterator<Item = &[u8; TAG_LEN]> {
        self.tags.iter().take(self.len)
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
