//! Signed manifests: which database somebody vouches for.
//!
//! A manifest is a small TOML text that names one database: its source, its day and the SHA-256 of its file. Whoever
//! builds or fetches databases signs it with Ed25519 (RFC 8032) where the key is safe; the service holds the public
//! half and takes no database without one. OpenSSL signs: `openssl pkeyutl -sign -rawin -inkey key.pem -in
//! manifest.toml -out manifest.sig`.
//!
//! ```
//! use compliance_geo::database::Database;
//! use compliance_geo::database::manifest::{Manifest, ManifestKey};
//! use ed25519_dalek::{Signer, SigningKey};
//!
//! let database = Database::embedded()?;
//! let signing_key = SigningKey::from_bytes(&[7; 32]); // In earnest: random, and not in the service.
//! let text = Manifest::text_for(database.snapshot());
//! let signature = signing_key.sign(text.as_bytes()).to_bytes();
//!
//! let key = ManifestKey::from_bytes(signing_key.verifying_key().as_bytes())?;
//! let manifest = key.verify(text.as_bytes(), &signature)?;
//! assert!(manifest.check(database.snapshot()).is_ok());
//! let altered = text.replace("2026-", "2027-");
//! assert_eq!(key.verify(altered.as_bytes(), &signature).unwrap_err().code(), "manifest.signature");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::Write as _;

use compliance_core::clock::Date;
use compliance_core::snapshot::Snapshot;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;

/// The public half of the key that signs manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestKey(VerifyingKey);

impl ManifestKey {
    /// Length of a public key, in bytes.
    pub const LEN: usize = 32;
    /// Length of a signature, in bytes.
    pub const SIGNATURE_LEN: usize = 64;

    /// Reads a public key as RFC 8032 §5.1.2 encodes it.
    ///
    /// # Errors
    /// [`ManifestError`] `manifest.key` for bytes that are no point of the curve, or one of small order, under which
    /// anybody can sign.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Result<Self, ManifestError> {
        let key = VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak());
        key.map(Self).ok_or(ManifestError::Key)
    }

    /// Verifies the signature over a manifest's bytes, and only then reads them.
    ///
    /// # Errors
    /// [`ManifestError`]: `manifest.too_long` over [`Manifest::MAX_LEN`], `manifest.signature`, `manifest.syntax`.
    pub fn verify(
        &self,
        manifest: &[u8],
        signature: &[u8; Self::SIGNATURE_LEN],
    ) -> Result<Manifest, ManifestError> {
        if manifest.len() > Manifest::MAX_LEN {
            return Err(ManifestError::TooLong { found: manifest.len() });
        }
        let signature = Signature::from_bytes(signature);
        self.0.verify_strict(manifest, &signature).map_err(|_| ManifestError::Signature)?;
        Manifest::parse(manifest).ok_or(ManifestError::Syntax)
    }
}

/// What a signed manifest says. From [`ManifestKey::verify`] only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    source: Box<str>,
    as_of: Date,
    sha256: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawManifest {
    format: Box<str>,
    source: Box<str>,
    as_of: Box<str>,
    sha256: Box<str>,
}

impl Manifest {
    /// The longest manifest, in bytes.
    pub const MAX_LEN: usize = 1024;
    /// What its field `format` says, so that nothing else signed by the same key passes for one.
    pub const FORMAT: &str = "compliance-geo database manifest 1";

    /// The text to sign for a database: TOML with `format`, `source`, `as_of` and `sha256`.
    #[must_use]
    pub fn text_for(snapshot: &Snapshot) -> String {
        let mut text = format!("format = \"{}\"\nsource = \"", Self::FORMAT);
        for letter in snapshot.source().chars() {
            match letter {
                '"' | '\\' => text.extend(['\\', letter]),
                letter if letter.is_control() => {
                    text.push_str(&format!("\\U{:08X}", u32::from(letter)));
                }
                letter => text.push(letter),
            }
        }
        text.push_str(&format!("\"\nas_of = \"{}\"\nsha256 = \"", snapshot.as_of()));
        text.push_str(&hex(snapshot.sha256()));
        text.push_str("\"\n");
        text
    }

    /// Checks that it speaks of this database.
    ///
    /// # Errors
    /// [`ManifestError`] `manifest.other_database`.
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), ManifestError> {
        let same = *self.source == *snapshot.source()
            && self.as_of == snapshot.as_of()
            && self.sha256 == *snapshot.sha256();
        if same { Ok(()) } else { Err(ManifestError::OtherDatabase) }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let raw: RawManifest = toml::from_str(str::from_utf8(bytes).ok()?).ok()?;
        let mut sha256 = [0; 32];
        let digits = raw.sha256.as_bytes();
        if *raw.format != *Self::FORMAT || digits.len() != 64 {
            return None;
        }
        for (byte, pair) in sha256.iter_mut().zip(digits.chunks_exact(2)) {
            let lower = pair.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
            *byte = u8::from_str_radix(str::from_utf8(pair).ok().filter(|_| lower)?, 16).ok()?;
        }
        Some(Self { source: raw.source, as_of: raw.as_of.parse().ok()?, sha256 })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A manifest was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// No key, or a weak one.
    #[error("expected an Ed25519 public key that is not of small order")]
    Key,
    /// Another database's.
    #[error("the manifest names another database, day or digest")]
    OtherDatabase,
    /// Not signed by the key.
    #[error("the manifest is not signed by the configured key")]
    Signature,
    /// Signed, but no manifest.
    #[error("expected TOML with `format`, `source`, `as_of` and `sha256`")]
    Syntax,
    /// Longer than [`Manifest::MAX_LEN`].
    #[error("the manifest has {found} bytes, at most {max} are read", max = Manifest::MAX_LEN)]
    TooLong {
        /// How many it has.
        found: usize,
    },
}

impl ManifestError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Key => "manifest.key",
            Self::OtherDatabase => "manifest.other_database",
            Self::Signature => "manifest.signature",
            Self::Syntax => "manifest.syntax",
            Self::TooLong { .. } => "manifest.too_long",
        }
    }
}
