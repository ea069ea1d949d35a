//! Standard Webhooks, and Svix's own names for its headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compliance_core::clock::Timestamp;
use subtle::Choice;

use super::headers::{Headers, Names};
use super::key::{Kind, ReceiverKey};
use super::tags::{self, Tags};
use super::{
    Accepted, MAX_ED25519_SIGNATURES, MAX_SIGNATURES, Message, Verified, Verifier, VerifierError,
    VerifyDecision, VerifyError, VerifyReason,
};
use crate::sign::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, MessageId, SCHEME_V1, SCHEME_V1A, SIGNATURE_LEN,
    SigningKey, VerifyingKey,
};

const STANDARD_NAMES: Names =
    Names { id: Some(HEADER_ID), timestamp: Some(HEADER_TIMESTAMP), signature: HEADER_SIGNATURE };
const SVIX_NAMES: Names =
    Names { id: Some("svix-id"), timestamp: Some("svix-timestamp"), signature: "svix-signature" };

#[derive(Clone, Copy, Debug)]
enum HeaderNames {
    Standard,
    Svix,
}

/// The scheme of Standard Webhooks: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`) over `id.timestamp.body`.
#[derive(Clone, Debug)]
pub struct StandardWebhooks {
    shared: Vec<SigningKey>,
    public: Vec<VerifyingKey>,
    names: HeaderNames,
}

impl StandardWebhooks {
    fn push(&mut self, key: ReceiverKey) {
        match key.0 {
            Kind::Shared(key) => self.shared.push(key),
            Kind::Public(key) => self.public.push(key),
        }
    }
}

impl Verifier {
    /// The most keys tried on one message: each costs one pass over the body.
    pub const MAX_KEYS: usize = 8;

    /// Accepts messages under one key, five minutes either way, bodies up to
    /// [`DEFAULT_MAX_BODY_LEN`](super::DEFAULT_MAX_BODY_LEN) bytes.
    #[must_use]
    pub fn new(key: impl Into<ReceiverKey>) -> Self {
        let mut scheme =
            StandardWebhooks { shared: Vec::new(), public: Vec::new(), names: HeaderNames::Standard };
        scheme.push(key.into());
        Self::with_scheme(scheme)
    }

    /// As [`new`](Self::new), for a sender that uses Svix's names: `svix-id`, `svix-timestamp`, `svix-signature`, and
    /// no others. What is signed and how is the same.
    #[must_use]
    pub fn svix(key: impl Into<ReceiverKey>) -> Self {
        let mut verifier = Self::new(key);
        verifier.scheme.names = HeaderNames::Svix;
        verifier
    }

    /// Accepts messages under another key, too, while one is being rotated.
    ///
    /// # Errors
    /// `verifier.too_many_keys` past [`MAX_KEYS`](Self::MAX_KEYS).
    pub fn with_key(mut self, key: impl Into<ReceiverKey>) -> Result<Self, VerifierError> {
        if self.scheme.shared.len().saturating_add(self.scheme.public.len()) >= Self::MAX_KEYS {
            return Err(VerifierError::TooManyKeys);
        }
        self.scheme.push(key.into());
        Ok(self)
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
        self.conclude(self.check(headers, body.as_ref(), now), body)
    }

    /// Says what [`verify`](Self::verify) would, the way the verifier is
    /// [rolled out](Verifier::with_enforcement).
    ///
    /// ```
    /// use compliance_core::clock::Timestamp;
    /// use compliance_core::finding::{Enforcement, Explain as _};
    /// use compliance_webhook::verify::{Received, Verifier};
    /// use compliance_webhook::SigningKey;
    ///
    /// let key = SigningKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")?;
    /// let trial = Verifier::new(key).with_enforcement(Enforcement::ReportOnly);
    /// let unsigned = trial.decide([("content-type", "application/json")], "{}", Timestamp::UNIX_EPOCH);
    /// let finding = unsigned.finding();
    /// assert_eq!(finding.to_string(), "refused verify.header_missing (webhook-verify/1, report only)");
    /// assert!(matches!(unsigned.into_result()?, Received::Unverified("{}")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn decide<N, V, B>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        body: B,
        now: Timestamp,
    ) -> VerifyDecision<B>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
        B: AsRef<[u8]>,
    {
        self.weigh(self.check(headers, body.as_ref(), now), body)
    }

    fn check<N: AsRef<str>, V: AsRef<[u8]>>(
        &self,
        headers: impl IntoIterator<Item = (N, V)>,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Accepted, VerifyReason> {
        let headers = match self.scheme.names {
            HeaderNames::Standard => Headers::collect(|name| STANDARD_NAMES.find(name), headers)?,
            HeaderNames::Svix => Headers::collect(|name| SVIX_NAMES.find(name), headers)?,
        };
        let (id, timestamp, signatures) = (headers.id()?, headers.timestamp()?, headers.signature()?);
        let id = MessageId::check(id).map_err(|_| VerifyReason::Id)?;
        let sent = self.window.check(timestamp, now)?;
        self.check_body_len(payload)?;
        self.scheme.check_signatures(signatures, [id.as_bytes(), timestamp, payload])?;
        Ok(Accepted { id: MessageId::from_checked(id), sent: Some(sent) })
    }
}

impl StandardWebhooks {
    fn check_signatures(
        &self,
        header: &[u8],
        [id, timestamp, payload]: [&[u8]; 3],
    ) -> Result<(), VerifyReason> {
        let candidates = Candidates::parse(header, !self.shared.is_empty(), !self.public.is_empty())?;
        // Every key against every candidate, whatever matched before.
        let mut found = Choice::from(0);
        if !candidates.tags.is_empty() {
            for key in &self.shared {
                found |= candidates.tags.contain(&key.tag(id, timestamp, payload));
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
    tags: Tags,
    signatures: Vec<[u8; SIGNATURE_LEN]>,
}

impl Candidates {
    /// Splits `v1,… v1,… v1a,…`. Schemes no key is there for are skipped, and so is an entry that is not the
    /// base64 of as many bytes as its scheme has: it matches nothing.
    fn parse(header: &[u8], with_shared: bool, with_public: bool) -> Result<Self, VerifyReason> {
        let mut found = Self { tags: Tags::new(), signatures: Vec::new() };
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
                if let Some(tag) = tags::from_base64(encoded) {
                    found.tags.push(tag);
                }
            } else if with_public && scheme == SCHEME_V1A.as_bytes() {
                known_scheme = true;
                ed25519_left = ed25519_left.checked_sub(1).ok_or(VerifyReason::TooManySignatures)?;
                let mut buffer = [0; SIGNATURE_LEN + 2];
                let Ok(SIGNATURE_LEN) = STANDARD.decode_slice(encoded, &mut buffer) else { continue };
                found.signatures.extend(buffer.first_chunk::<SIGNATURE_LEN>().copied());
            }
        }
        match (known_scheme, found.tags.is_empty() && found.signatures.is_empty()) {
            (false, _) => Err(VerifyReason::Scheme),
            (true, true) => Err(VerifyReason::SignatureSyntax),
            (true, false) => Ok(found),
        }
    }
}
