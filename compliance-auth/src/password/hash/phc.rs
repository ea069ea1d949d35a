//! Stored hashes: PHC strings, read strictly and with a cap on what they may cost.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

/// Argon2id cost parameters (RFC 9106 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HashParameters {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl HashParameters {
    /// m = 19 MiB, t = 2, p = 1: the default of OWASP's Password Storage Cheat Sheet and of ASVS 5.0 App. C.
    pub const M19456_T2: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };
    /// m = 46 MiB, t = 1, p = 1: as hard, with more memory and less time.
    pub const M47104_T1: Self = Self { memory_kib: 47_104, passes: 1, lanes: 1 };
    /// m = 64 MiB, t = 3, p = 4: the second recommended option of RFC 9106 §4.
    pub const RFC9106_LOW_MEMORY: Self = Self { memory_kib: 65_536, passes: 3, lanes: 4 };

    /// The most memory a hash may ask for, new or stored: 1 GiB.
    pub const MAX_MEMORY_KIB: u32 = 1_048_576;
    /// The most passes a hash may ask for.
    pub const MAX_PASSES: u32 = 10;
    /// The most lanes a hash may ask for.
    pub const MAX_LANES: u32 = 16;

    /// Takes parameters for new hashes: memory in KiB, passes, lanes.
    ///
    /// # Errors
    /// [`HashParametersError`] below ASVS 5.0 App. C (47,104 KiB at one pass, 19,456 at two, 12,288 from three
    /// on) or above the maxima.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, HashParametersError> {
        let least = match passes {
            0 | 1 => 47_104,
            2 => 19_456,
            _ => 12_288,
        };
        let parameters = Self { memory_kib, passes, lanes };
        if memory_kib >= least && parameters.affordable() {
            Ok(parameters)
        } else {
            Err(HashParametersError(()))
        }
    }

    /// Memory, in KiB.
    #[must_use]
    pub const fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    #[must_use]
    pub const fn passes(&self) -> u32 {
        self.passes
    }

    /// Lanes. Filled one after the other, on the calling thread.
    #[must_use]
    pub const fn lanes(&self) -> u32 {
        self.lanes
    }

    /// Within the maxima and what Argon2 itself demands.
    fn affordable(&self) -> bool {
        let in_range = |value, max| (1..=max).contains(&value);
        in_range(self.passes, Self::MAX_PASSES)
            && in_range(self.lanes, Self::MAX_LANES)
            && in_range(self.memory_kib, Self::MAX_MEMORY_KIB)
            && self.memory_kib >= self.lanes.saturating_mul(8)
    }
}

impl Default for HashParameters {
    fn default() -> Self {
        Self::M19456_T2
    }
}

/// Parameters that are too weak or too dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "argon2 parameters: expected at least 47104 KiB at one pass, 19456 at two or 12288 from three on, and at most 1 GiB, 10 passes and 16 lanes"
)]
pub struct HashParametersError(());

impl HashParametersError {
    /// `password.hash_parameters`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "password.hash_parameters"
    }
}

/// A stored Argon2id hash, `$argon2id$v=19$m=19456,t=2,p=1$…$…`.
///
/// Reading one checks its costs against [`HashParameters`]' maxima, so that a hash somebody smuggled in (an
/// import, a writable table) cannot exhaust memory at log-in. Parameters below today's minima are read: such
/// a hash verifies and then [needs a new one](super::VerifiedPassword::needs_rehash).
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: Box<str>,
    parameters: HashParameters,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

impl PasswordHash {
    /// The longest string read, in bytes.
    pub const MAX_LEN: usize = 256;
    /// Salt length of new hashes, in bytes (RFC 9106 §3.1; SP 800-63B-4 asks for 4).
    pub const SALT_LEN: usize = 16;
    /// Tag length of new hashes, in bytes.
    pub const TAG_LEN: usize = 32;
    /// The salt lengths read, in bytes.
    pub(super) const SALT_LENS: std::ops::RangeInclusive<usize> = 8..=64;
    /// The tag lengths read, in bytes.
    pub(super) const TAG_LENS: std::ops::RangeInclusive<usize> = 16..=64;

    /// Reads a stored hash.
    ///
    /// # Errors
    /// [`PasswordHashError`] for anything but an Argon2id PHC string of version 19 with the parameters `m`,
    /// `t`, `p` in this order, in canonical spelling and within the maxima.
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let fail = |kind| PasswordHashError { kind };
        let malformed = || fail(PasswordHashErrorKind::Malformed);
        if text.len() > Self::MAX_LEN {
            return Err(malformed());
        }
        let mut fields = text.split('$');
        let (Some(""), Some(algorithm), Some(version), Some(costs), Some(salt), Some(tag), None) = (
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
        ) else {
            return Err(malformed());
        };
        if algorithm != "argon2id" || version != "v=19" {
            return Err(fail(PasswordHashErrorKind::Algorithm));
        }
        let parameters = read_costs(costs).ok_or_else(malformed)?;
        if !parameters.affordable() {
            return Err(fail(PasswordHashErrorKind::Cost));
        }
        let salt = BASE64.decode(salt).map_err(|_| malformed())?;
        let tag = BASE64.decode(tag).map_err(|_| malformed())?;
        if !Self::SALT_LENS.contains(&salt.len()) || !Self::TAG_LENS.contains(&tag.len()) {
            return Err(malformed());
        }
        Ok(Self { text: text.into(), parameters, salt, tag })
    }

    pub(super) fn from_parts(parameters: HashParameters, salt: &[u8], tag: &[u8]) -> Self {
        let HashParameters { memory_kib, passes, lanes } = parameters;
        let (encoded_salt, encoded_tag) = (BASE64.encode(salt), BASE64.encode(tag));
        let text = format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${encoded_salt}${encoded_tag}");
        Self { text: text.into(), parameters, salt: salt.to_vec(), tag: tag.to_vec() }
    }

    /// The PHC string to store. Printable ASCII, at most [`MAX_LEN`](Self::MAX_LEN) bytes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The cost parameters.
    #[must_use]
    pub const fn parameters(&self) -> HashParameters {
        self.parameters
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn tag(&self) -> &[u8] {
        &self.tag
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        Self::parse(text)
    }
}

impl fmt::Debug for PasswordHash {
    /// Shows the parameters, never salt or tag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("parameters", &self.parameters).finish_non_exhaustive()
    }
}

fn read_costs(text: &str) -> Option<HashParameters> {
    let mut costs = text.split(',');
    let mut next = |name: &str| {
        let value = costs.next()?.strip_prefix(name)?.strip_prefix('=')?;
        let canonical = value.bytes().all(|b| b.is_ascii_digit()) && !value.starts_with('0');
        value.parse::<u32>().ok().filter(|_| canonical)
    };
    let parameters = HashParameters { memory_kib: next("m")?, passes: next("t")?, lanes: next("p")? };
    costs.next().is_none().then_some(parameters)
}

/// A text that is no stored hash we verify. Never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored password hash: {text}", text = .kind.text())]
pub struct PasswordHashError {
    kind: PasswordHashErrorKind,
}

impl PasswordHashError {
    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> PasswordHashErrorKind {
        self.kind
    }

    /// The stable code, `password_hash.cost` for one.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            PasswordHashErrorKind::Algorithm => "password_hash.algorithm",
            PasswordHashErrorKind::Cost => "password_hash.cost",
            PasswordHashErrorKind::Malformed => "password_hash.malformed",
        }
    }
}

/// What is wrong with a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PasswordHashErrorKind {
    /// Another algorithm than Argon2id, or another version than 19.
    Algorithm,
    /// It asks for more memory, passes or lanes than [`HashParameters`] allows.
    Cost,
    /// No PHC string in canonical spelling.
    Malformed,
}

impl PasswordHashErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Algorithm => "expected argon2id, version 19",
            Self::Cost => "its costs are above the maxima",
            Self::Malformed => "expected a phc string in canonical spelling",
        }
    }
}
