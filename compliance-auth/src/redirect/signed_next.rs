//! Signed `next` values, for flows that carry the target across pages (log in, confirm, come back).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use compliance_core::clock::Timestamp;
use compliance_core::finding::{Reason, ReasonCode};
use compliance_core::reason_code;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{RedirectPolicy, SafeRedirect};

const FORM: &str = "n1";

/// Signs and opens `next` values for one purpose, with HMAC-SHA-256 (FIPS 198-1).
///
/// The value is `n1.<expiry>.<target>.<tag>`: Unix seconds, then target and tag in unpadded base64url. It is
/// signed, not encrypted. Opening checks tag, expiry and purpose, and then the target against the policy
/// again: a policy that became stricter holds for values signed before.
///
/// ```
/// use compliance_auth::redirect::{SignedNextKey, RedirectPolicy};
///
/// let policy = RedirectPolicy::builder("https://app.example/").build()?;
/// let key = SignedNextKey::new(&[7; 32], "login")?;
///
/// let next = key.sign(&policy.check("/invoices/7")?, "2026-11-21T12:10:00Z".parse()?);
/// let target = key.open(&next, &policy, "2026-11-21T12:00:00Z".parse()?)?;
/// assert_eq!(target.location(), "https://app.example/invoices/7");
///
/// let late = key.open(&next, &policy, "2026-11-21T12:10:00Z".parse()?);
/// assert_eq!(late.unwrap_err().code(), "next.expired");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Security
/// A signed value can be replayed until it expires, by whoever sees it. Keep it minutes long, and bind it to
/// the session where that matters.
pub struct SignedNextKey {
    secret: Zeroizing<Vec<u8>>,
    purpose: Box<str>,
}

impl SignedNextKey {
    /// The shortest secret, in bytes: the output length of SHA-256 (RFC 2104 §3).
    pub const MIN_SECRET_LEN: usize = 32;
    /// The longest purpose, in bytes.
    pub const MAX_PURPOSE_LEN: usize = 64;
    /// The longest signed value [`open`](Self::open) looks at, in bytes.
    pub const MAX_SIGNED_LEN: usize = 2848;

    /// Takes a secret and the purpose its values are for. A value signed for one purpose does not open for
    /// another.
    ///
    /// # Errors
    /// [`SignedNextKeyError`] for a secret below [`MIN_SECRET_LEN`](Self::MIN_SECRET_LEN) bytes, or a purpose that
    /// is empty or above [`MAX_PURPOSE_LEN`](Self::MAX_PURPOSE_LEN) bytes.
    pub fn new(secret: &[u8], purpose: &str) -> Result<Self, SignedNextKeyError> {
        if secret.len() < Self::MIN_SECRET_LEN || purpose.is_empty() || purpose.len() > Self::MAX_PURPOSE_LEN
        {
            return Err(SignedNextKeyError { secret_len: secret.len(), purpose_len: purpose.len() });
        }
        Ok(Self { secret: Zeroizing::new(secret.to_vec()), purpose: purpose.into() })
    }

    /// Signs a checked target, good until `expires` (to the second).
    #[must_use]
    pub fn sign(&self, target: &SafeRedirect, expires: Timestamp) -> String {
        let expiry = expires.as_unix_seconds();
        let location = target.location();
        let tag =
            self.mac(expiry, location.as_bytes()).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
        format!("{FORM}.{expiry}.{}.{}", BASE64.encode(location), BASE64.encode(tag))
    }

    /// Opens a signed value at `now`, checking its target against `policy`.
    ///
    /// # Errors
    /// [`SignedNextError`], see its kinds. Nothing about the target is looked at before the tag is right.
    pub fn open(
        &self,
        signed: &str,
        policy: &RedirectPolicy,
        now: Timestamp,
    ) -> Result<SafeRedirect, SignedNextError> {
        use SignedNextErrorKind as Kind;
        let fail = |kind| SignedNextError { kind };
        if signed.len() > Self::MAX_SIGNED_LEN {
            return Err(fail(Kind::Malformed));
        }
        let mut parts = signed.split('.');
        let (Some(FORM), Some(expiry_text), Some(location), Some(tag), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(fail(Kind::Malformed));
        };
        let expiry: i64 = expiry_text.parse().map_err(|_| fail(Kind::Malformed))?;
        // One value, one spelling: `+5` and `005` are not what `sign` writes.
        if expiry.to_string() != expiry_text {
            return Err(fail(Kind::Malformed));
        }
        let location = BASE64.decode(location).map_err(|_| fail(Kind::Malformed))?;
        let tag = BASE64.decode(tag).map_err(|_| fail(Kind::Malformed))?;
        let mac = self.mac(expiry, &location).ok_or(fail(Kind::Signature))?;
        mac.verify_slice(&tag).map_err(|_| fail(Kind::Signature))?;
        if now.as_unix_seconds() >= expiry {
            return Err(fail(Kind::Expired));
        }
        let location = std::str::from_utf8(&location).map_err(|_| fail(Kind::Target))?;
        policy.check(location).map_err(|_| fail(Kind::Target))
    }

    /// Lengths first, so that no two (purpose, expiry, target) share an input. `None` never happens: HMAC
    /// takes keys of any length.
    fn mac(&self, expiry: i64, location: &[u8]) -> Option<Hmac<Sha256>> {
        let purpose_len = u8::try_from(self.purpose.len()).ok()?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(b"compliance-auth/next/1\0");
        mac.update(&[purpose_len]);
        mac.update(self.purpose.as_bytes());
        mac.update(&expiry.to_be_bytes());
        mac.update(location);
        Some(mac)
    }
}

impl fmt::Debug for SignedNextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedNextKey")
            .field("secret", &"[redacted]")
            .field("purpose", &self.purpose)
            .finish()
    }
}

/// A secret or a purpose of the wrong length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "next key: expected a secret of at least {min} bytes and a purpose of 1 to {max} bytes, found {secret_len} and {purpose_len}",
    min = SignedNextKey::MIN_SECRET_LEN,
    max = SignedNextKey::MAX_PURPOSE_LEN
)]
pub struct SignedNextKeyError {
    secret_len: usize,
    purpose_len: usize,
}

impl SignedNextKeyError {
    /// `next.key`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "next.key"
    }
}

/// A signed `next` value that does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("signed next value refused: {text}", text = .kind.text())]
pub struct SignedNextError {
    kind: SignedNextErrorKind,
}

impl SignedNextError {
    /// The rule that refused.
    #[must_use]
    pub const fn kind(&self) -> SignedNextErrorKind {
        self.kind
    }

    /// The stable operator code, `next.expired` for one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }
}

impl Reason for SignedNextError {
    fn code(&self) -> ReasonCode {
        match self.kind {
            SignedNextErrorKind::Expired => reason_code!("next.expired"),
            SignedNextErrorKind::Malformed => reason_code!("next.malformed"),
            SignedNextErrorKind::Signature => reason_code!("next.signature"),
            SignedNextErrorKind::Target => reason_code!("next.target"),
        }
    }

    fn public_code(&self) -> ReasonCode {
        reason_code!("next.refused")
    }
}

/// The rule that refused a signed `next` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignedNextErrorKind {
    /// Its time is over.
    Expired,
    /// Not of the form [`SignedNextKey`] describes, or longer than [`SignedNextKey::MAX_SIGNED_LEN`] bytes.
    Malformed,
    /// Signed by another key, for another purpose, or altered.
    Signature,
    /// Rightly signed, but the policy refuses the target now.
    Target,
}

impl SignedNextErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Expired => "it has expired",
            Self::Malformed => "expected `n1.expiry.target.tag`",
            Self::Signature => "the tag does not fit",
            Self::Target => "the policy refuses its target",
        }
    }
}
