//! Signed manifests.
#![cfg(feature = "manifest")]

use compliance_core::snapshot::Snapshot;
use compliance_geo::database::manifest::{Manifest, ManifestKey};
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn key() -> ManifestKey {
    ManifestKey::from_bytes(signing_key().verifying_key().as_bytes()).unwrap()
}

fn verify(text: &str) -> Result<Manifest, &'static str> {
    let signature = signing_key().sign(text.as_bytes()).to_bytes();
    key().verify(text.as_bytes(), &signature).map_err(|error| error.code())
}

fn snapshot(source: &str, bytes: &[u8]) -> Snapshot {
    Snapshot::of(source.to_owned(), "2026-06-17".parse().unwrap(), bytes, 1)
}

#[test]
fn a_manifest_speaks_of_one_database_only() {
    let manifest = verify(&Manifest::text_for(&snapshot("a", b"1"))).unwrap();
    assert!(manifest.check(&snapshot("a", b"1")).is_ok());
    let other_day = Snapshot::of("a", "2026-06-18".parse().unwrap(), b"1", 1);
    for other in [snapshot("a", b"2"), snapshot("b", b"1"), other_day] {
        assert_eq!(manifest.check(&other).unwrap_err().code(), "manifest.other_database");
    }
}

#[test]
fn what_is_signed_but_no_manifest_is_refused() {
    let good = Manifest::text_for(&snapshot("a", b"1"));
    for bad in [
        String::new(),
        good.replace("manifest 1", "manifest 2"),
        good.replace("sha256 = \"", "sha256 = \"0"),
        good.replace("sha256 = \"", "sha256 = \"+"),
        good.replace("as_of", "asof"),
        format!("{good}extra = 1\n"),
        good.replace("2026-06-17", "17.06.2026"),
        good.to_uppercase(),
    ] {
        assert_eq!(verify(&bad).unwrap_err(), "manifest.syntax", "{bad}");
    }
    assert_eq!(verify(&" ".repeat(Manifest::MAX_LEN + 1)).unwrap_err(), "manifest.too_long");
}

#[test]
fn signatures_of_others_and_weak_keys_do_not_count() {
    let text = Manifest::text_for(&snapshot("a", b"1"));
    let signature = SigningKey::from_bytes(&[8; 32]).sign(text.as_bytes()).to_bytes();
    assert_eq!(key().verify(text.as_bytes(), &signature).unwrap_err().code(), "manifest.signature");
    assert_eq!(key().verify(text.as_bytes(), &[0; 64]).unwrap_err().code(), "manifest.signature");
    // The neutral element: everything is signed by it.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert_eq!(ManifestKey::from_bytes(&neutral).unwrap_err().code(), "manifest.key");
    // No point of the curve has this y.
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    assert_eq!(ManifestKey::from_bytes(&off_curve).unwrap_err().code(), "manifest.key");
}

proptest! {
    /// Whatever a source is called, its manifest speaks of it.
    #[test]
    fn any_source_can_be_named(source in "\\PC{0,40}|[\\x00-\\x7f]{0,20}") {
        let snapshot = snapshot(&source, b"1");
        let manifest = verify(&Manifest::text_for(&snapshot));
        prop_assert!(manifest.unwrap().check(&snapshot).is_ok());
    }
}
