//! Stored hashes: PHC strings, read strictly and with a cap on what they may cost.

use std::fmt;
use std::str::FromStr;

use argon2::{Algorithm, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::legacy::Legacy;
use super::pepper::{Pepper, PepperId};

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

/// A stored hash: Argon2id, `$argon2id$v=19$m=19456,t=2,p=1$…$…`, or what another system left behind.
///
/// Reading one checks its costs against [`HashParameters`]' maxima, so that a hash somebody smuggled in (an
/// import, a writable table) cannot exhaust memory at log-in. Parameters below today's minima are read: such
/// a hash verifies and then [needs a new one](super::VerifiedPassword::needs_rehash).
///
/// A hash that went through [peppers](super::Pepper) begins with `$hmac-sha256$k=` and their ids, the first one first.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Argon2(Argon2Hash),
    Legacy(Legacy),
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Argon2Hash {
    pub(super) algorithm: Algorithm,
    pub(super) version: Version,
    pub(super) parameters: HashParameters,
    pub(super) salt: Vec<u8>,
    pub(super) tag: Vec<u8>,
    pub(super) peppers: Vec<PepperId>,
}

/// What a stored hash was made with.
///
/// Read at [`PasswordHash::import`]: PHC strings of Argon2 (versions 16 and 19) and scrypt, the modular crypt strings
/// of bcrypt (`$2a$`, `$2b$`, `$2y$`), SHA-crypt and passlib's PBKDF2, Django's `algorithm$…` (5.2) and Spring
/// Security's `{id}…` (bcrypt, argon2, and pbkdf2 and scrypt with the defaults of 5.5 and 5.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashScheme {
    /// Argon2d, RFC 9106.
    Argon2d,
    /// Argon2i, RFC 9106.
    Argon2i,
    /// Argon2id, RFC 9106: what this crate writes.
    Argon2id,
    /// bcrypt. Reads 72 bytes of a password.
    Bcrypt,
    /// Django's bcrypt over the SHA-256 in hex.
    BcryptSha256,
    /// PBKDF2, RFC 8018, over HMAC-SHA-1, -256 or -512.
    Pbkdf2,
    /// scrypt, RFC 7914.
    Scrypt,
    /// crypt(3) `$5$` and `$6$`.
    ShaCrypt,
}

impl HashScheme {
    /// The lower-case name, for metrics and findings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Argon2d => "argon2d",
            Self::Argon2i => "argon2i",
            Self::Argon2id => "argon2id",
            Self::Bcrypt => "bcrypt",
            Self::BcryptSha256 => "bcrypt_sha256",
            Self::Pbkdf2 => "pbkdf2",
            Self::Scrypt => "scrypt",
            Self::ShaCrypt => "sha_crypt",
        }
    }
}

impl PasswordHash {
    /// The longest string read, in bytes.
    pub const MAX_LEN: usize = 512;
    /// Salt length of new hashes, in bytes (RFC 9106 §3.1; SP 800-63B-4 asks for 4).
    pub const SALT_LEN: usize = 16;
    /// Tag length of new hashes, in bytes.
    pub const TAG_LEN: usize = 32;
    /// The salt lengths read, in bytes.
    pub(super) const SALT_LENS: std::ops::RangeInclusive<usize> = 8..=64;
    /// The tag lengths read, in bytes.
    pub(super) const TAG_LENS: std::ops::RangeInclusive<usize> = 16..=64;

    /// Reads a hash of this crate.
    ///
    /// # Errors
    /// [`PasswordHashError`] for anything but an Argon2id PHC string of version 19 with the parameters `m`,
    /// `t`, `p` in this order, in canonical spelling and within the maxima, with or without peppers before it.
    pub fn parse(text: &str) -> Result<Self, PasswordHashError> {
        let (peppers, rest) = split_peppers(text)?;
        let hash = parse_argon2(rest, peppers)?;
        if (hash.algorithm, hash.version) != (Algorithm::Argon2id, Version::V0x13) {
            return Err(PasswordHashError { kind: PasswordHashErrorKind::Algorithm });
        }
        if !hash.peppers.is_empty() && hash.tag.len() != Self::TAG_LEN {
            return Err(PasswordHashError { kind: PasswordHashErrorKind::Malformed });
        }
        Ok(Self { text: text.into(), kind: Kind::Argon2(hash) })
    }

    /// Reads a hash of this crate or of another system, see [`HashScheme`], for a migration.
    ///
    /// ```
    /// use compliance_auth::password::PasswordHash;
    /// use compliance_auth::password::hash::HashScheme;
    ///
    /// // A row of Django's `auth_user.password`.
    /// let row = "pbkdf2_sha256$1000$saltsaltsalt12$3DvLkzN+TSMSVuxyn/pE//+svSHkETZw/BlRGwKAMdI=";
    /// assert_eq!(PasswordHash::import(row)?.scheme(), HashScheme::Pbkdf2);
    /// assert!(PasswordHash::import("md5$saltsalt$d583f1594824fb15a968ca20da73e3ec").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PasswordHashError`] for other schemes, other spellings and costs above the maxima: for bcrypt a cost of 15, for
    /// PBKDF2 5,000,000 rounds, for SHA-crypt 1,000,000, for scrypt N = 2¹⁷ and 256 MiB.
    pub fn import(text: &str) -> Result<Self, PasswordHashError> {
        if text.starts_with(PEPPERS) {
            return Self::parse(text);
        }
        if text.len() > Self::MAX_LEN || !text.is_ascii() {
            return Err(PasswordHashError { kind: PasswordHashErrorKind::Malformed });
        }
        let prefixes = ["{argon2@SpringSecurity_v5_8}", "{argon2}", "argon2"];
        let bare = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        let kind = if bare.starts_with("$argon2") {
            Kind::Argon2(parse_argon2(bare, Vec::new())?)
        } else {
            Kind::Legacy(Legacy::parse(text).map_err(|kind| PasswordHashError { kind })?)
        };
        Ok(Self { text: text.into(), kind })
    }

    pub(super) fn from_parts(
        parameters: HashParameters,
        salt: &[u8],
        tag: &[u8],
        peppers: Vec<PepperId>,
    ) -> Self {
        let HashParameters { memory_kib, passes, lanes } = parameters;
        let (encoded_salt, encoded_tag) = (BASE64.encode(salt), BASE64.encode(tag));
        let ids: Vec<&str> = peppers.iter().map(PepperId::as_str).collect();
        let prefix = if ids.is_empty() { String::new() } else { format!("{PEPPERS}{}", ids.join(",")) };
        let text = format!(
            "{prefix}$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${encoded_salt}${encoded_tag}"
        );
        let hash = Argon2Hash {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            parameters,
            salt: salt.to_vec(),
            tag: tag.to_vec(),
            peppers,
        };
        Self { text: text.into(), kind: Kind::Argon2(hash) }
    }

    /// The string to store. Printable ASCII, at most [`MAX_LEN`](Self::MAX_LEN) bytes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What it was made with.
    #[must_use]
    pub const fn scheme(&self) -> HashScheme {
        match &self.kind {
            Kind::Argon2(hash) => match hash.algorithm {
                Algorithm::Argon2d => HashScheme::Argon2d,
                Algorithm::Argon2i => HashScheme::Argon2i,
                Algorithm::Argon2id => HashScheme::Argon2id,
            },
            Kind::Legacy(legacy) => legacy.scheme(),
        }
    }

    /// The cost parameters, if it is an Argon2 hash.
    #[must_use]
    pub const fn parameters(&self) -> Option<HashParameters> {
        match &self.kind {
            Kind::Argon2(hash) => Some(hash.parameters),
            Kind::Legacy(_) => None,
        }
    }

    pub(super) const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// What is missing from this one's work to be as much as the other one's; `None` when that cannot be.
    pub(super) fn missing_work(&self, dearer: &Self) -> Option<Vec<Legacy>> {
        match (&self.kind, &dearer.kind) {
            (Kind::Argon2(a), Kind::Argon2(b)) => {
                ((a.algorithm, a.parameters) == (b.algorithm, b.parameters)).then(Vec::new)
            }
            (Kind::Legacy(a), Kind::Legacy(b)) => a.missing_work(b),
            _ => None,
        }
    }
}

const PEPPERS: &str = "$hmac-sha256$k=";

/// Splits the ids of the peppers off.
fn split_peppers(text: &str) -> Result<(Vec<PepperId>, &str), PasswordHashError> {
    let malformed = PasswordHashError { kind: PasswordHashErrorKind::Malformed };
    if text.len() > PasswordHash::MAX_LEN {
        return Err(malformed);
    }
    let Some(rest) = text.strip_prefix(PEPPERS) else { return Ok((Vec::new(), text)) };
    let at = rest.find('$').ok_or(malformed)?;
    let (ids, rest) = rest.split_at_checked(at).ok_or(malformed)?;
    let ids: Option<Vec<PepperId>> = ids.split(',').map(PepperId::new).collect();
    let ids = ids.filter(|ids| ids.len() <= Pepper::MAX_WRAPS).ok_or(malformed)?;
    Ok((ids, rest))
}

fn parse_argon2(text: &str, peppers: Vec<PepperId>) -> Result<Argon2Hash, PasswordHashError> {
    let fail = |kind| PasswordHashError { kind };
    let malformed = || fail(PasswordHashErrorKind::Malformed);
    if text.len() > PasswordHash::MAX_LEN {
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
    let algorithm = match algorithm {
        "argon2d" => Algorithm::Argon2d,
        "argon2i" => Algorithm::Argon2i,
        "argon2id" => Algorithm::Argon2id,
        _ => return Err(fail(PasswordHashErrorKind::Algorithm)),
    };
    let version = match version {
        "v=16" => Version::V0x10,
        "v=19" => Version::V0x13,
        _ => return Err(fail(PasswordHashErrorKind::Algorithm)),
    };
    let parameters = read_costs(costs).ok_or_else(malformed)?;
    if !parameters.affordable() {
        return Err(fail(PasswordHashErrorKind::Cost));
    }
    let salt = BASE64.decode(salt).map_err(|_| malformed())?;
    let tag = BASE64.decode(tag).map_err(|_| malformed())?;
    if !PasswordHash::SALT_LENS.contains(&salt.len()) || !PasswordHash::TAG_LENS.contains(&tag.len()) {
        return Err(malformed());
    }
    Ok(Argon2Hash { algorithm, version, parameters, salt, tag, peppers })
}

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        Self::parse(text)
    }
}

impl fmt::Debug for PasswordHash {
    /// Shows scheme and parameters, never salt or tag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash")
            .field("scheme", &self.scheme())
            .field("parameters", &self.parameters())
            .finish_non_exhaustive()
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
    /// Another scheme than those read.
    Algorithm,
    /// It asks for more memory or time than [`HashParameters`] or [`PasswordHash::import`] allow.
    Cost,
    /// No hash in canonical spelling.
    Malformed,
}

impl PasswordHashErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Algorithm => "expected a scheme that is read",
            Self::Cost => "its costs are above the maxima",
            Self::Malformed => "expected a hash in canonical spelling",
        }
    }
}
