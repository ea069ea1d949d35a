//! Hashes that other systems stored, to be verified once and replaced.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD, STANDARD_NO_PAD};
use base64::engine::{DecodePaddingMode, general_purpose};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use super::HashScheme;
use super::phc::PasswordHashErrorKind;

/// bcrypt's own alphabet; its last characters carry bits that count for nothing.
const BCRYPT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::BCRYPT, general_purpose::NO_PAD.with_decode_allow_trailing_bits(true));
/// passlib's `ab64`: `.` for `+`, no padding.
const ADAPTED: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::RequireNone)
    .with_encode_padding(false);

/// The most a stored hash may cost. Within what the systems named at [`HashScheme`] write by default.
pub(super) const MAX_BCRYPT_COST: u32 = 15;
const MAX_PBKDF2_ROUNDS: u32 = 5_000_000;
const MAX_SHA_CRYPT_ROUNDS: u32 = 1_000_000;
const MIN_SHA_CRYPT_ROUNDS: u32 = 1_000;
const MAX_SCRYPT_LOG_N: u8 = 17;
const MAX_SCRYPT_R: u32 = 32;
const MAX_SCRYPT_P: u32 = 16;
/// 128 · N · r, in KiB: 256 MiB.
const MAX_SCRYPT_KIB: u64 = 256 * 1024;
/// SHA-crypt's work grows with the square of the password.
const MAX_SHA_CRYPT_PASSWORD: usize = 512;
/// What bcrypt reads of a password.
pub(super) const BCRYPT_LEN: usize = 72;

/// A stored hash of another scheme, its costs checked.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Legacy {
    Bcrypt { cost: u32, salt: [u8; 16], tag: [u8; 23], sha256_first: bool },
    Pbkdf2 { digest: Digest, rounds: u32, salt: Vec<u8>, tag: Vec<u8> },
    Scrypt { log_n: u8, r: u32, p: u32, salt: Vec<u8>, tag: Vec<u8> },
    ShaCrypt { sha512: bool, rounds: u32, text: Box<str> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

/// Work that was refused although the costs were checked.
pub(super) struct Refused;

impl Legacy {
    /// Reads what Django, Spring Security, passlib, crypt(3) and the bcrypt libraries write. Argon2 strings are read
    /// elsewhere; here prefixes before them are cut off.
    pub(super) fn parse(text: &str) -> Result<Self, PasswordHashErrorKind> {
        use PasswordHashErrorKind::{Algorithm, Malformed};
        let is = |prefix: &str| text.strip_prefix(prefix);
        if let Some(rest) = is("{bcrypt}").or_else(|| is("bcrypt$")) {
            return bcrypt(rest, false);
        }
        if let Some(rest) = is("bcrypt_sha256$") {
            return bcrypt(rest, true);
        }
        if text.starts_with("$2") {
            return bcrypt(text, false);
        }
        if let Some(rest) = is("pbkdf2_sha256$") {
            return django_pbkdf2(Digest::Sha256, rest).ok_or(Malformed)?;
        }
        if let Some(rest) = is("pbkdf2_sha1$") {
            return django_pbkdf2(Digest::Sha1, rest).ok_or(Malformed)?;
        }
        for (prefix, digest) in [
            ("$pbkdf2-sha256$", Digest::Sha256),
            ("$pbkdf2-sha512$", Digest::Sha512),
            ("$pbkdf2$", Digest::Sha1),
        ] {
            if let Some(rest) = is(prefix) {
                return passlib_pbkdf2(digest, rest).ok_or(Malformed)?;
            }
        }
        if let Some(rest) = is("{pbkdf2@SpringSecurity_v5_8}") {
            return spring_pbkdf2(Digest::Sha256, 310_000, 16, rest).ok_or(Malformed)?;
        }
        if let Some(rest) = is("{pbkdf2}") {
            return spring_pbkdf2(Digest::Sha1, 185_000, 8, rest).ok_or(Malformed)?;
        }
        if let Some(rest) = is("$scrypt$") {
            return phc_scrypt(rest).ok_or(Malformed)?;
        }
        if let Some(rest) = is("scrypt$") {
            return django_scrypt(rest).ok_or(Malformed)?;
        }
        if let Some(rest) = is("{scrypt@SpringSecurity_v5_8}").or_else(|| is("{scrypt}")) {
            return spring_scrypt(rest).ok_or(Malformed)?;
        }
        if text.starts_with("$5$") || text.starts_with("$6$") {
            return sha_crypt(text).ok_or(Malformed)?;
        }
        Err(Algorithm)
    }

    pub(super) const fn scheme(&self) -> HashScheme {
        match self {
            Self::Bcrypt { sha256_first: false, .. } => HashScheme::Bcrypt,
            Self::Bcrypt { sha256_first: true, .. } => HashScheme::BcryptSha256,
            Self::Pbkdf2 { .. } => HashScheme::Pbkdf2,
            Self::Scrypt { .. } => HashScheme::Scrypt,
            Self::ShaCrypt { .. } => HashScheme::ShaCrypt,
        }
    }

    /// The hashes, of nobody's password, whose work is missing from this one's to be as much as the dearer one's; none for
    /// the same work. `None` when the other one is of another kind or cheaper.
    pub(super) fn missing_work(&self, dearer: &Self) -> Option<Vec<Self>> {
        match (self, dearer) {
            (Self::Bcrypt { cost, .. }, Self::Bcrypt { cost: dear, .. }) => {
                // Each cost is twice the one before: 2ᵃ + 2ᵃ + 2ᵃ⁺¹ + … + 2ᵇ⁻¹ = 2ᵇ.
                let at = |cost| Self::Bcrypt { cost, salt: [0; 16], tag: [0; 23], sha256_first: false };
                (cost <= dear).then(|| (*cost..*dear).map(at).collect())
            }
            (
                Self::Pbkdf2 { digest, rounds, tag, .. },
                Self::Pbkdf2 { digest: other, rounds: dear, tag: long, .. },
            ) if (digest, tag.len()) == (other, long.len()) => {
                let missing = dear.checked_sub(*rounds)?;
                let of = |rounds| Self::Pbkdf2 {
                    digest: *digest,
                    rounds,
                    salt: vec![0; 16],
                    tag: vec![0; tag.len()],
                };
                Some((missing > 0).then(|| of(missing)).into_iter().collect())
            }
            (Self::Scrypt { log_n, r, p, tag, .. }, Self::Scrypt { log_n: dear, r: s, p: q, .. })
                if (r, p) == (s, q) =>
            {
                let at =
                    |log_n| Self::Scrypt { log_n, r: *r, p: *p, salt: vec![0; 16], tag: vec![0; tag.len()] };
                (log_n <= dear).then(|| (*log_n..*dear).map(at).collect())
            }
            (Self::ShaCrypt { sha512, rounds, .. }, Self::ShaCrypt { sha512: other, rounds: dear, .. })
                if sha512 == other =>
            {
                let missing = dear.checked_sub(*rounds)?;
                let of = |rounds| {
                    let (id, tag) = if *sha512 { (6, 86) } else { (5, 43) };
                    let text = format!("${id}$rounds={rounds}$nobody${}", ".".repeat(tag)).into();
                    Self::ShaCrypt { sha512: *sha512, rounds, text }
                };
                Some((missing > 0).then(|| of(missing.max(MIN_SHA_CRYPT_ROUNDS))).into_iter().collect())
            }
            _ => None,
        }
    }

    /// Memory it takes, in KiB.
    pub(super) fn memory_kib(&self) -> u32 {
        match self {
            Self::Scrypt { log_n, r, .. } => u32::try_from(scrypt_kib(*log_n, *r)).unwrap_or(u32::MAX),
            Self::Bcrypt { .. } | Self::Pbkdf2 { .. } | Self::ShaCrypt { .. } => 8,
        }
    }

    /// Whether the scheme reads only the beginning of `password`.
    pub(super) fn truncates(&self, password: &str) -> bool {
        matches!(self, Self::Bcrypt { sha256_first: false, .. }) && password.len() > BCRYPT_LEN
    }

    /// Does the work, whatever the answer.
    pub(super) fn matches(&self, password: &str) -> Result<Choice, Refused> {
        match self {
            Self::Bcrypt { cost, salt, tag, sha256_first } => {
                let hashed = sha256_first.then(|| Zeroizing::new(hex(&Sha256::digest(password.as_bytes()))));
                let text = hashed.as_ref().map_or(password, |hashed| hashed.as_str());
                // The C implementations stop at a NUL: two passwords would be one.
                let whole = Choice::from(u8::from(!text.as_bytes().contains(&0)));
                let mut key = Zeroizing::new(Vec::with_capacity(text.len().saturating_add(1)));
                key.extend_from_slice(text.as_bytes());
                key.push(0);
                key.truncate(BCRYPT_LEN);
                let found = Zeroizing::new(bcrypt::bcrypt(*cost, *salt, &key));
                Ok(found.get(..tag.len()).unwrap_or_default().ct_eq(tag) & whole)
            }
            Self::Pbkdf2 { digest, rounds, salt, tag } => {
                let mut found = Zeroizing::new(vec![0; tag.len()]);
                let bytes = password.as_bytes();
                match digest {
                    Digest::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(bytes, salt, *rounds, &mut found),
                    Digest::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(bytes, salt, *rounds, &mut found),
                    Digest::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(bytes, salt, *rounds, &mut found),
                }
                Ok(found.ct_eq(tag))
            }
            Self::Scrypt { log_n, r, p, salt, tag } => {
                let params = scrypt::Params::new(*log_n, *r, *p).map_err(|_| Refused)?;
                let mut found = Zeroizing::new(vec![0; tag.len()]);
                scrypt::scrypt(password.as_bytes(), salt, &params, &mut found).map_err(|_| Refused)?;
                Ok(found.ct_eq(tag))
            }
            Self::ShaCrypt { sha512, text, .. } => {
                let whole = Choice::from(u8::from(password.len() <= MAX_SHA_CRYPT_PASSWORD));
                let bytes = password.as_bytes();
                let bytes = bytes.get(..bytes.len().min(MAX_SHA_CRYPT_PASSWORD)).unwrap_or_default();
                let algorithm = if *sha512 {
                    sha_crypt::Algorithm::Sha512Crypt
                } else {
                    sha_crypt::Algorithm::Sha256Crypt
                };
                let verifier = sha_crypt::ShaCrypt::from(algorithm);
                let same = sha_crypt::PasswordVerifier::verify_password(&verifier, bytes, &**text).is_ok();
                Ok(Choice::from(u8::from(same)) & whole)
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    // In full, so that no half-grown copy stays behind.
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    text.extend(digits.filter_map(|n| char::from_digit(n.into(), 16)));
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [a, b] = pair { Some((digit(a)? << 4) | digit(b)?) } else { None }).collect()
}

/// A decimal number without sign and leading zeros.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let canonical = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| canonical)
}

type Parsed = Result<Legacy, PasswordHashErrorKind>;

/// `$2b$12$` and 53 characters.
fn bcrypt(text: &str, sha256_first: bool) -> Parsed {
    let parse = || {
        // Django leaves the dollar sign of its own separator.
        let rest = text.strip_prefix('$')?;
        let (version, rest) = rest.split_once('$')?;
        if !matches!(version, "2a" | "2b" | "2y") {
            return None;
        }
        let (cost, rest) = rest.split_once('$').filter(|(cost, _)| cost.len() == 2)?;
        let cost = cost.strip_prefix('0').unwrap_or(cost);
        let (salt, tag) = rest.split_at_checked(22).filter(|(_, tag)| tag.len() == 31)?;
        let cost: u32 = number(cost)?;
        let salt = BCRYPT.decode(salt).ok()?.try_into().ok()?;
        let tag = BCRYPT.decode(tag).ok()?.try_into().ok()?;
        Some((cost, salt, tag))
    };
    let (cost, salt, tag) = parse().ok_or(PasswordHashErrorKind::Malformed)?;
    if !(4..=MAX_BCRYPT_COST).contains(&cost) {
        return Err(PasswordHashErrorKind::Cost);
    }
    Ok(Legacy::Bcrypt { cost, salt, tag, sha256_first })
}

fn pbkdf2_of(digest: Digest, rounds: u32, salt: Vec<u8>, tag: Vec<u8>) -> Option<Parsed> {
    if !(16..=64).contains(&tag.len()) || salt.len() > 1024 {
        return None;
    }
    if !(1..=MAX_PBKDF2_ROUNDS).contains(&rounds) {
        return Some(Err(PasswordHashErrorKind::Cost));
    }
    Some(Ok(Legacy::Pbkdf2 { digest, rounds, salt, tag }))
}

/// `1000000$salt$base64`
fn django_pbkdf2(digest: Digest, rest: &str) -> Option<Parsed> {
    let mut fields = rest.split('$');
    let (rounds, salt, tag) = (fields.next()?, fields.next()?, fields.next()?);
    let tag = STANDARD.decode(tag).ok().filter(|_| fields.next().is_none())?;
    pbkdf2_of(digest, number(rounds)?, salt.as_bytes().to_vec(), tag)
}

/// `29000$ab64$ab64`
fn passlib_pbkdf2(digest: Digest, rest: &str) -> Option<Parsed> {
    let engine = GeneralPurpose::new(&alphabet::STANDARD, ADAPTED);
    let decode = |text: &str| engine.decode(text.replace('.', "+")).ok();
    let mut fields = rest.split('$');
    let (rounds, salt, tag) = (fields.next()?, fields.next()?, fields.next()?);
    let tag = decode(tag).filter(|_| fields.next().is_none())?;
    pbkdf2_of(digest, number(rounds)?, decode(salt)?, tag)
}

/// Salt and hash in hex, as `Pbkdf2PasswordEncoder` writes them with an empty secret.
fn spring_pbkdf2(digest: Digest, rounds: u32, salt_len: usize, rest: &str) -> Option<Parsed> {
    let mut salt = unhex(rest)?;
    if salt.len() != salt_len.saturating_add(32) {
        return None;
    }
    let tag = salt.split_off(salt_len);
    pbkdf2_of(digest, rounds, salt, tag)
}

fn scrypt_kib(log_n: u8, r: u32) -> u64 {
    // 128 · N · r bytes.
    1_u64.checked_shl(u32::from(log_n)).unwrap_or(u64::MAX).saturating_mul(u64::from(r)) / 8
}

fn scrypt_of(log_n: u8, r: u32, p: u32, salt: Vec<u8>, tag: Vec<u8>) -> Option<Parsed> {
    if !(16..=64).contains(&tag.len()) || salt.len() > 1024 {
        return None;
    }
    let affordable = (1..=MAX_SCRYPT_LOG_N).contains(&log_n)
        && (1..=MAX_SCRYPT_R).contains(&r)
        && (1..=MAX_SCRYPT_P).contains(&p)
        && scrypt_kib(log_n, r) <= MAX_SCRYPT_KIB;
    if !affordable || scrypt::Params::new(log_n, r, p).is_err() {
        return Some(Err(PasswordHashErrorKind::Cost));
    }
    Some(Ok(Legacy::Scrypt { log_n, r, p, salt, tag }))
}

/// `ln=16,r=8,p=1$base64$base64`
fn phc_scrypt(rest: &str) -> Option<Parsed> {
    let mut fields = rest.split('$');
    let (costs, salt, tag) = (fields.next()?, fields.next()?, fields.next()?);
    let mut costs = costs.split(',');
    let mut next = |name: &str| number::<u32>(costs.next()?.strip_prefix(name)?.strip_prefix('=')?);
    let (log_n, r, p) = (next("ln")?, next("r")?, next("p")?);
    let tag =
        STANDARD_NO_PAD.decode(tag).ok().filter(|_| fields.next().is_none() && costs.next().is_none())?;
    scrypt_of(u8::try_from(log_n).ok()?, r, p, STANDARD_NO_PAD.decode(salt).ok()?, tag)
}

/// `16384$salt$8$5$base64`
fn django_scrypt(rest: &str) -> Option<Parsed> {
    let mut fields = rest.split('$');
    let mut next = || fields.next();
    let (n, salt, r, p, tag) = (next()?, next()?, next()?, next()?, next()?);
    let n: u64 = number(n)?;
    let log_n = u8::try_from(n.trailing_zeros()).ok().filter(|_| n.is_power_of_two())?;
    let tag = STANDARD.decode(tag).ok().filter(|_| fields.next().is_none())?;
    scrypt_of(log_n, number(r)?, number(p)?, salt.as_bytes().to_vec(), tag)
}

/// `$100801$base64$base64`; the number is log₂N, r and p in sixteen, eight and eight bits.
fn spring_scrypt(rest: &str) -> Option<Parsed> {
    let mut fields = rest.strip_prefix('$')?.split('$');
    let (costs, salt, tag) = (fields.next()?, fields.next()?, fields.next()?);
    let costs =
        u32::from_str_radix(costs, 16).ok().filter(|_| costs.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let tag = STANDARD.decode(tag).ok().filter(|_| fields.next().is_none())?;
    let log_n = u8::try_from(costs >> 16).ok()?;
    scrypt_of(log_n, (costs >> 8) & 0xff, costs & 0xff, STANDARD.decode(salt).ok()?, tag)
}

/// `$6$rounds=5000$salt$hash` (Drepper, *Unix crypt using SHA-256 and SHA-512*).
fn sha_crypt(text: &str) -> Option<Parsed> {
    const DEFAULT_ROUNDS: u32 = 5_000;
    let sha512 = text.starts_with("$6$");
    let mut rest = text.get(3..)?;
    let mut rounds = DEFAULT_ROUNDS;
    if let Some(stated) = rest.strip_prefix("rounds=") {
        let (stated, after) = stated.split_once('$')?;
        (rounds, rest) = (number(stated)?, after);
    }
    let (salt, tag) = rest.split_once('$')?;
    let in_alphabet = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/');
    let tag_len = if sha512 { 86 } else { 43 };
    if salt.is_empty() || salt.len() > 16 || tag.len() != tag_len || !in_alphabet(salt) || !in_alphabet(tag) {
        return None;
    }
    if !(MIN_SHA_CRYPT_ROUNDS..=MAX_SHA_CRYPT_ROUNDS).contains(&rounds) {
        return Some(Err(PasswordHashErrorKind::Cost));
    }
    Some(Ok(Legacy::ShaCrypt { sha512, rounds, text: text.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stored hash of a cost.
    type Text<'a> = &'a dyn Fn(u64) -> String;

    /// Rounds, in the unit of the kind.
    fn work(legacy: &Legacy) -> u64 {
        match legacy {
            Legacy::Bcrypt { cost, .. } => 1 << cost,
            Legacy::Pbkdf2 { rounds, .. } | Legacy::ShaCrypt { rounds, .. } => u64::from(*rounds),
            Legacy::Scrypt { log_n, .. } => 1 << log_n,
        }
    }

    #[test]
    fn cheap_and_dear_hashes_of_a_kind_are_the_same_work_together() {
        let (salt, bcrypt_tag) = ("J20ZkN5WTuaTnapZ9aytIe", "afWhEwrx/C13N1xQkYJNkoilrZtMDcW");
        let sha_crypt =
            |id: u8, len: usize| move |rounds: u64| format!("${id}$rounds={rounds}$salt${}", ".".repeat(len));
        let kinds: [(Text<'_>, [u64; 3]); 5] = [
            (&|cost| format!("$2b${cost:02}${salt}{bcrypt_tag}"), [4, 10, 12]),
            (
                &|rounds| format!("pbkdf2_sha256${rounds}$salt${}", STANDARD.encode([7; 32])),
                [600_000, 870_000, 1_000_000],
            ),
            (
                &|log_n| format!("scrypt${}$salt$8$1${}", 1_u64 << log_n, STANDARD.encode([7; 64])),
                [10, 14, 16],
            ),
            (&sha_crypt(5, 43), [5_000, 10_000, 656_000]),
            (&sha_crypt(6, 86), [5_000, 10_000, 656_000]),
        ];
        for (text, costs) in kinds {
            let [cheap, middle, dear] = costs.map(|cost| Legacy::parse(&text(cost)).ok().unwrap());
            for one in [&cheap, &middle, &dear] {
                let missing = one.missing_work(&dear).unwrap();
                assert_eq!(work(one) + missing.iter().map(work).sum::<u64>(), work(&dear));
                assert!(missing.iter().all(|dummy| dummy.matches("").is_ok()) || work(&dear) > 100_000);
            }
            assert!(dear.missing_work(&middle).is_none());
        }
        let [a, b] = ["$2b$04$", "bcrypt_sha256$$2b$05$"]
            .map(|start| Legacy::parse(&format!("{start}{salt}{bcrypt_tag}")).ok().unwrap());
        assert_eq!(a.missing_work(&b).unwrap().len(), 1);
        assert!(a.missing_work(&Legacy::parse(&sha_crypt(5, 43)(5_000)).ok().unwrap()).is_none());
    }
}
