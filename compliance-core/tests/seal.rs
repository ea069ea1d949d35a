//! Sealed values, wrapped keys and the store: what opens, what does not, and what is erased.

use compliance_core::seal::{KeyId, Sealed};
use proptest::prelude::*;

fn encoded(ciphertext: usize) -> Vec<u8> {
    let length = u32::try_from(ciphertext).unwrap().to_be_bytes();
    [&[1][..], &[7; 16], &[8; 12], &[9; 32], &length, &vec![5; ciphertext]].concat()
}

#[track_caller]
fn check(bytes: &[u8], expected: Result<(), &str>) {
    let parsed = Sealed::from_bytes(bytes);
    if let Ok(sealed) = &parsed {
        assert_eq!(sealed.to_bytes(), bytes);
    }
    assert_eq!(parsed.map(|_| ()).map_err(|e| e.code()), expected);
}

#[test]
fn only_whole_version_1_encodings_are_read() {
    check(&encoded(16), Ok(()));
    check(&encoded(17), Ok(()));
    check(&encoded(15), Err("seal.malformed"));
    check(&[], Err("seal.malformed"));
    for cut in 1..encoded(20).len() {
        check(&encoded(20)[..cut], Err("seal.malformed"));
    }
    check(&[encoded(20), vec![0]].concat(), Err("seal.malformed"));
    for version in (0..=255).filter(|version| *version != 1) {
        let mut bytes = encoded(20);
        bytes[0] = version;
        check(&bytes, Err("seal.unknown_version"));
    }
    // A length field that lies, either way and beyond all measure.
    for lie in [19, 21, u32::MAX] {
        let mut bytes = encoded(20);
        bytes[61..65].copy_from_slice(&u32::to_be_bytes(lie));
        check(&bytes, Err("seal.malformed"));
    }
    let most = Sealed::MAX_VALUE_LEN + 16;
    check(&encoded(most), Ok(()));
    assert_eq!(encoded(most).len(), Sealed::MAX_LEN);
    check(&encoded(most + 1), Err("seal.malformed"));
}

#[test]
fn key_ids_are_32_lower_case_digits() {
    let id = KeyId::from_bytes(*b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff");
    assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
    assert_eq!(id.to_string().parse(), Ok(id));
    for text in ["", "0011", "00112233445566778899AABBCCDDEEFF", "+0112233445566778899aabbccddeeff", "é"] {
        assert_eq!(text.parse::<KeyId>().unwrap_err().code(), "seal.malformed");
    }
}

proptest! {
    #[test]
    fn any_bytes_parse_to_themselves_or_not_at_all(mut bytes: Vec<u8>, version in prop::sample::select(vec![0_u8, 1])) {
        if let Some(first) = bytes.first_mut() { *first = version; }
        if let Ok(sealed) = Sealed::from_bytes(&bytes) {
            prop_assert_eq!(sealed.to_bytes(), bytes);
        }
    }
}

#[cfg(feature = "seal")]
mod keyed {
    use std::collections::BTreeSet;

    use compliance_core::clock::Timestamp;
    use compliance_core::id::TenantId;
    use compliance_core::random::{RandomError, SecureRandom, SystemRandom};
    use compliance_core::seal::{
        DataKey, DestroyReceipt, KeyEncryptionKey, KeyId, KeyOwner, KeyRing, KeyStore, KeyStoreErrorKind,
        MemoryKeyStore, OpenErrorKind, SealContext, Sealed, WrappedKey,
    };
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const EMAIL: SealContext<'static> = SealContext::new("audit.field").record(b"event-1/email");

    #[derive(Debug)]
    struct NoRandom;

    impl SecureRandom for NoRandom {
        fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError::new())
        }
    }

    /// A source that got stuck.
    #[derive(Debug)]
    struct Stuck;

    impl SecureRandom for Stuck {
        fn fill(&self, dest: &mut [u8]) -> Result<(), RandomError> {
            dest.fill(4);
            Ok(())
        }
    }

    fn kek(byte: u8) -> KeyEncryptionKey {
        KeyEncryptionKey::new(&[byte; 32]).unwrap()
    }

    fn owner(name: &str) -> KeyOwner {
        KeyOwner::new("audit.subject", name).unwrap()
    }

    fn data_key(name: &str) -> DataKey {
        KeyRing::new(kek(1)).create(&owner(name), &SystemRandom).unwrap().0
    }

    #[test]
    fn what_was_sealed_opens_in_its_context() {
        let (key, tenant) = (data_key("anna"), TenantId::new("acme").unwrap());
        for value in [&b""[..], b"anna@example.com", &[0; Sealed::MAX_VALUE_LEN]] {
            for context in [EMAIL, EMAIL.tenant(&tenant)] {
                let sealed = key.seal(context, value, &SystemRandom).unwrap();
                assert_eq!(sealed.to_bytes().len(), value.len() + Sealed::OVERHEAD);
                let stored = Sealed::from_bytes(&sealed.to_bytes()).unwrap();
                assert_eq!(key.open(context, &stored).unwrap().as_bytes(), value);
            }
        }
    }

    #[test]
    fn each_changed_byte_keeps_it_closed() {
        let key = data_key("anna");
        let bytes = key.seal(EMAIL, b"anna@example.com", &SystemRandom).unwrap().to_bytes();
        let mut refused = 0;
        for at in 0..bytes.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let opened = Sealed::from_bytes(&changed).map(|sealed| key.open(EMAIL, &sealed));
                assert!(!matches!(opened, Ok(Ok(_))), "byte {at}");
                refused += 1;
            }
        }
        assert_eq!(refused, 3 * bytes.len());
    }

    #[test]
    fn another_context_keeps_it_closed() {
        let key = data_key("anna");
        let (acme, beta) = (TenantId::new("acme").unwrap(), TenantId::new("beta").unwrap());
        let ours = SealContext::new("audit.field").tenant(&acme).record(b"event-1/email");
        let sealed = key.seal(ours, b"value", &SystemRandom).unwrap();
        assert!(key.open(ours, &sealed).is_ok());
        for other in [
            SealContext::new("audit.field").record(b"event-1/email"),
            SealContext::new("audit.field").tenant(&beta).record(b"event-1/email"),
            SealContext::new("audit.other").tenant(&acme).record(b"event-1/email"),
            SealContext::new("audit.field").tenant(&acme).record(b"event-2/email"),
            SealContext::new("audit.field").tenant(&acme),
            // The same bytes with the boundaries moved.
            SealContext::new("audit.fielde").tenant(&acme).record(b"vent-1/email"),
            SealContext::new("eaudit.field").tenant(&TenantId::new("acm").unwrap()).record(b"event-1/email"),
        ] {
            assert_eq!(key.open(other, &sealed).unwrap_err().kind(), OpenErrorKind::Failed, "{other:?}");
        }
    }

    #[test]
    fn parts_of_two_values_do_not_make_a_third() {
        let key = data_key("anna");
        let a = key.seal(EMAIL, b"aaaaaaaa", &SystemRandom).unwrap().to_bytes();
        let b = key.seal(EMAIL, b"bbbbbbbb", &SystemRandom).unwrap().to_bytes();
        // Key id, nonce, commitment, ciphertext, tag.
        for part in [17..29, 29..61, 65..73, 73..89] {
            let mut mixed = a.clone();
            mixed[part.clone()].copy_from_slice(&b[part]);
            let mixed = Sealed::from_bytes(&mixed).unwrap();
            assert_eq!(key.open(EMAIL, &mixed).unwrap_err().kind(), OpenErrorKind::Failed);
        }
    }

    #[test]
    fn another_key_keeps_it_closed_also_under_the_same_id() {
        let (anna, ben) = (data_key("anna"), data_key("ben"));
        let sealed = anna.seal(EMAIL, b"value", &SystemRandom).unwrap();
        assert_eq!(ben.open(EMAIL, &sealed).unwrap_err().kind(), OpenErrorKind::Failed);

        let mut renamed = sealed.to_bytes();
        renamed[1..17].copy_from_slice(ben.id().as_bytes());
        let renamed = Sealed::from_bytes(&renamed).unwrap();
        assert_eq!(ben.open(EMAIL, &renamed).unwrap_err().kind(), OpenErrorKind::Failed);
    }

    #[test]
    fn equal_values_look_different() {
        let key = data_key("anna");
        let seal = || key.seal(EMAIL, b"value", &SystemRandom).unwrap().to_bytes();
        let (a, b) = (seal(), seal());
        assert!(a[17..29] != b[17..29] && a[29..61] != b[29..61] && a[65..] != b[65..]);
    }

    #[test]
    fn too_long_values_and_failed_chance_are_refused() {
        let key = data_key("anna");
        let error = key.seal(EMAIL, &vec![0; Sealed::MAX_VALUE_LEN + 1], &SystemRandom).unwrap_err();
        assert_eq!(error.code(), "seal.too_long");
        assert_eq!(key.seal(EMAIL, b"value", &NoRandom).unwrap_err().code(), "seal.random_failed");
        let store = MemoryKeyStore::new(kek(1));
        let error = store.seal(&owner("anna"), EMAIL, b"value", &NoRandom).unwrap_err();
        assert_eq!(error.code(), "seal.random_failed");
        assert_eq!(store.find(&owner("anna")), Ok(None));
    }

    #[test]
    fn debug_shows_no_secret_and_no_person() {
        let (key, store) = (data_key("anna"), MemoryKeyStore::new(kek(1)));
        let sealed = store.seal(&owner("anna"), EMAIL, b"value", &SystemRandom).unwrap();
        assert_eq!(format!("{key:?}"), format!("DataKey {{ id: {}, .. }}", key.id()));
        assert_eq!(
            format!("{:?}", key.open(EMAIL, &key.seal(EMAIL, b"v", &SystemRandom).unwrap()).unwrap()),
            "[opened]"
        );
        assert_eq!(format!("{sealed:?}"), format!("Sealed {{ key: {}, .. }}", sealed.key()));
        assert!(!format!("{store:?} {:?}", owner("anna")).contains("anna"));
    }

    #[test]
    fn one_owner_has_one_key_and_another_owner_another() {
        let store = MemoryKeyStore::new(kek(1));
        let tenant = TenantId::new("acme").unwrap();
        let owners = [
            owner("anna"),
            owner("ben"),
            owner("anna").of_tenant(tenant),
            KeyOwner::new("audit.actor", "anna").unwrap(),
        ];
        let id = |owner: &KeyOwner| store.obtain(owner, &SystemRandom).unwrap().id();
        let ids: BTreeSet<KeyId> = owners.iter().map(id).collect();
        assert_eq!(ids.len(), owners.len());
        assert_eq!(owners.iter().map(id).collect::<BTreeSet<_>>(), ids);

        let error = store.create(&owner("anna"), &SystemRandom).unwrap_err();
        assert_eq!(error.code(), "seal.key_exists");
    }

    #[test]
    fn destroying_a_key_erases_its_values_and_no_others() {
        let store = MemoryKeyStore::new(kek(1));
        let anna = store.seal(&owner("anna"), EMAIL, b"anna", &SystemRandom).unwrap();
        let ben = store.seal(&owner("ben"), EMAIL, b"ben", &SystemRandom).unwrap();

        let receipt = store.destroy(anna.key(), NOW).unwrap();
        assert_eq!((receipt.key(), receipt.destroyed_at()), (anna.key(), NOW));
        assert!(receipt.is_complete(NOW));

        assert_eq!(store.open(EMAIL, &anna).unwrap_err().code(), "seal.destroyed");
        assert_eq!(store.unwrap_key(anna.key()).unwrap_err().code(), "seal.destroyed");
        assert_eq!(store.open(EMAIL, &ben).unwrap().as_bytes(), b"ben");
    }

    #[test]
    fn erased_tampered_and_unknown_are_told_apart_where_they_must() {
        let store = MemoryKeyStore::new(kek(1));
        let sealed = store.seal(&owner("anna"), EMAIL, b"anna", &SystemRandom).unwrap();
        let other = SealContext::new("audit.field");
        assert_eq!(store.open(other, &sealed).unwrap_err().code(), "seal.open_failed");

        let mut foreign = sealed.to_bytes();
        foreign[1] ^= 1;
        let foreign = Sealed::from_bytes(&foreign).unwrap();
        assert_eq!(store.open(EMAIL, &foreign).unwrap_err().code(), "seal.open_failed");
        assert_eq!(store.unwrap_key(foreign.key()).unwrap_err().code(), "seal.unknown_key");
        assert_eq!(store.destroy(foreign.key(), NOW).unwrap_err().code(), "seal.unknown_key");
    }

    #[test]
    fn destroying_again_gives_the_first_receipt_and_a_new_key_opens_nothing_old() {
        let store = MemoryKeyStore::new(kek(1));
        let old = store.seal(&owner("anna"), EMAIL, b"old", &SystemRandom).unwrap();
        let first = store.destroy(old.key(), NOW).unwrap();
        assert_eq!(store.destroy(old.key(), Timestamp::MAX), Ok(first));

        let new = store.seal(&owner("anna"), EMAIL, b"new", &SystemRandom).unwrap();
        assert_ne!(new.key(), old.key());
        assert_eq!(store.open(EMAIL, &old).unwrap_err().code(), "seal.destroyed");
        assert_eq!(store.open(EMAIL, &new).unwrap().as_bytes(), b"new");
    }

    #[test]
    fn a_stuck_random_source_brings_no_destroyed_key_back() {
        let store = MemoryKeyStore::new(kek(1));
        let key = store.create(&owner("anna"), &Stuck).unwrap();
        assert_eq!(store.create(&owner("ben"), &Stuck).unwrap_err().code(), "seal.random_failed");
        let _ = store.destroy(key.id(), NOW).unwrap();
        assert_eq!(store.create(&owner("anna"), &Stuck).unwrap_err().code(), "seal.random_failed");
    }

    #[test]
    fn an_erasure_is_pending_until_the_last_backup_has_expired() {
        let at = Timestamp::from_unix_seconds;
        let receipt = DestroyReceipt::attest(KeyId::from_bytes([1; 16]), at(10), Some(at(20)));
        assert!(!receipt.is_complete(at(10)) && !receipt.is_complete(at(20)));
        assert!(receipt.is_complete(at(21)));
    }

    #[test]
    fn rotating_rewraps_keys_and_leaves_sealed_values_as_they_are() {
        let store = MemoryKeyStore::new(kek(1));
        let sealed: Vec<_> = ["anna", "ben", "cem"]
            .map(|name| (name, store.seal(&owner(name), EMAIL, name.as_bytes(), &SystemRandom).unwrap()))
            .into();
        let _ = store.destroy(sealed[2].1.key(), NOW).unwrap();
        assert_eq!(store.wrapped_under(), kek(1).id());

        assert_eq!(store.rotate(kek(2), &SystemRandom), Ok(2));
        assert_eq!(store.wrapped_under(), kek(2).id());
        for (name, sealed) in &sealed[..2] {
            assert_eq!(store.open(EMAIL, sealed).unwrap().as_bytes(), name.as_bytes());
        }
        assert_eq!(store.open(EMAIL, &sealed[2].1).unwrap_err().code(), "seal.destroyed");
    }

    #[test]
    fn a_failed_rotation_changes_nothing() {
        let store = MemoryKeyStore::new(kek(1));
        let sealed = store.seal(&owner("anna"), EMAIL, b"anna", &SystemRandom).unwrap();
        assert_eq!(store.rotate(kek(2), &NoRandom).unwrap_err().code(), "seal.random_failed");
        assert_eq!(store.wrapped_under(), kek(1).id());
        assert_eq!(store.open(EMAIL, &sealed).unwrap().as_bytes(), b"anna");
    }

    #[test]
    fn a_wrapped_key_is_bound_to_owner_id_and_ring() {
        let mut ring = KeyRing::new(kek(1));
        let (key, wrapped) = ring.create(&owner("anna"), &SystemRandom).unwrap();
        assert_eq!((wrapped.key(), wrapped.wrapped_under()), (key.id(), kek(1).id()));
        let sealed = key.seal(EMAIL, b"value", &SystemRandom).unwrap();
        let opens = |ring: &KeyRing, owner: &KeyOwner, wrapped: &WrappedKey| {
            ring.unwrap_key(owner, wrapped).is_ok_and(|key| key.open(EMAIL, &sealed).is_ok())
        };
        assert!(opens(&ring, &owner("anna"), &WrappedKey::from_bytes(&wrapped.to_bytes()).unwrap()));
        assert!(!opens(&ring, &owner("ben"), &wrapped));
        assert!(!opens(&ring, &owner("anna").of_tenant(TenantId::new("acme").unwrap()), &wrapped));
        assert!(!opens(&KeyRing::new(kek(2)), &owner("anna"), &wrapped));

        let bytes = wrapped.to_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let opened = WrappedKey::from_bytes(&changed).is_ok_and(|w| opens(&ring, &owner("anna"), &w));
            assert!(!opened, "byte {at}");
        }

        ring.rotate(kek(2));
        assert!(opens(&ring, &owner("anna"), &wrapped));
        let rewrapped = ring.rewrap(&owner("anna"), &wrapped, &SystemRandom).unwrap();
        assert_eq!(rewrapped.wrapped_under(), kek(2).id());
        ring.forget_previous();
        assert!(opens(&ring, &owner("anna"), &rewrapped) && !opens(&ring, &owner("anna"), &wrapped));
        let error = ring.unwrap_key(&owner("anna"), &wrapped).unwrap_err();
        assert_eq!(error.kind(), KeyStoreErrorKind::NotUnwrapped);
        assert!(opens(&KeyRing::new(kek(2)).with_previous(kek(1)), &owner("anna"), &wrapped));
    }

    #[test]
    fn a_data_key_is_not_taken_for_a_value_nor_the_reverse() {
        let ring = KeyRing::new(kek(1));
        let (_, wrapped) = ring.create(&owner("anna"), &SystemRandom).unwrap();
        let inner = Sealed::from_bytes(&wrapped.to_bytes()[17..]).unwrap();
        assert_eq!(inner.key(), kek(1).id());
        assert_eq!(data_key("anna").open(EMAIL, &inner).unwrap_err().kind(), OpenErrorKind::Failed);
    }

    #[test]
    fn short_secrets_and_shapeless_owners_are_refused() {
        let error = KeyEncryptionKey::new(&[1; 31]).unwrap_err();
        assert_eq!(error.code(), "seal.secret_too_short");
        assert_eq!(error.to_string(), "key-encryption secret is 31 bytes, need at least 32");
        assert_eq!(KeyOwner::new("Audit Subject", "anna").unwrap_err().code(), "seal.owner_kind");
        assert_eq!(KeyOwner::new("audit.subject", "").unwrap_err().code(), "seal.owner_name");
        assert_eq!(KeyOwner::new("audit.subject", &"a".repeat(257)).unwrap_err().code(), "seal.owner_name");
    }

    #[test]
    fn racing_threads_get_one_key() {
        let store = MemoryKeyStore::new(kek(1));
        let ids: BTreeSet<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| store.obtain(&owner("anna"), &SystemRandom).unwrap().id()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1);
    }

    proptest! {
        #[test]
        fn any_value_and_context_come_back(value: Vec<u8>, record: Vec<u8>, kind in "[a-z]{1,8}") {
            let key = data_key("anna");
            let context = SealContext::new(&kind).record(&record);
            let sealed = key.seal(context, &value, &SystemRandom).unwrap();
            let stored = Sealed::from_bytes(&sealed.to_bytes()).unwrap();
            let opened = key.open(context, &stored).unwrap();
            prop_assert_eq!(opened.as_bytes(), &value[..]);
        }
    }
}
