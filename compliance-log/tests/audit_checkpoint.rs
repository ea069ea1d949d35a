//! Checkpoints and keys: one form each, and no signature but the key's.

mod trail;

use compliance_core::testing::DeterministicRandom;
use compliance_log::audit::checkpoint::{CheckpointNote, MAX_KEY_NAME_LEN, MAX_NOTE_LEN};
use compliance_log::audit::{CheckpointKey, SignedCheckpoint, VerifyingKey};
use trail::{Trail, key};

fn checkpoint() -> SignedCheckpoint {
    Trail::new().record(3)
}

/// `Ok` when the note is read and signed by the trail's key.
fn accept(note: &str) -> Result<SignedCheckpoint, &'static str> {
    let note = CheckpointNote::parse(note).map_err(|error| error.code())?;
    note.verify(key().verifying_key()).map_err(|error| error.code())
}

#[test]
fn a_checkpoint_is_a_signed_note_with_five_lines_and_a_signature() {
    let checkpoint = checkpoint();
    let lines: Vec<_> = checkpoint.note().split('\n').collect();
    let [origin, size, root, extension, "", signature, ""] = lines[..] else { panic!("{lines:?}") };
    assert_eq!((origin, size, root.len()), ("test.example/audit", "3", 44));
    assert_eq!(extension, "compliance-log/2 1 2026-11-21T12:00:00Z 16 3600 closed");
    assert!(signature.starts_with("\u{2014} test.example/audit "));
    assert_eq!(accept(checkpoint.note()), Ok(checkpoint));
}

#[test]
fn no_changed_byte_of_a_note_is_accepted() {
    let checkpoint = checkpoint();
    let note = checkpoint.note().as_bytes();
    let mut tried = 0;
    for at in 0..note.len() {
        for bit in 0..8 {
            let mut changed = note.to_vec();
            changed[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(changed) {
                assert!(accept(&changed).is_err(), "byte {at} bit {bit}: {changed:?}");
                tried += 1;
            }
        }
    }
    println!("{tried} changed notes, 0 accepted");
    assert!(tried > 1000);
}

#[test]
fn no_cut_note_is_accepted() {
    let checkpoint = checkpoint();
    let note = checkpoint.note();
    for (at, _) in note.char_indices() {
        assert!(accept(&note[..at]).is_err(), "{at} bytes");
    }
}

#[test]
fn other_forms_of_the_same_statement_are_refused() {
    #[track_caller]
    fn check(note: &str, from: &str, to: &str) {
        let changed = note.replacen(from, to, 1);
        assert_ne!(changed, note, "{from:?} is not there");
        assert_eq!(accept(&changed), Err("checkpoint.form"), "{to:?}");
    }
    let checkpoint = checkpoint();
    let note = checkpoint.note();
    for origin in ["", "test.example/audit\r", "test.example/audit ", "test.example+audit", "a\u{7f}b"] {
        check(note, "test.example/audit", origin);
    }
    check(note, "\u{2014} test.example/audit ", "\u{2014} test.example/audit\r ");
    check(note, "\n3\n", "\n03\n");
    check(note, "\n3\n", "\n+3\n");
    check(note, "\n3\n", "\n3 \n");
    check(note, "\n3\n", "\n3\r\n");
    check(note, "12:00:00Z", "13:00:00+01:00");
    check(note, " 16 ", "  16 ");
    check(note, "closed", "Closed");
    check(note, "closed", "closed extra");
    check(note, "closed\n", "closed\nanother extension\n");
    check(note, "compliance-log/2", "compliance-log/1");
    check(note, "compliance-log/2", "compliance-log/3");
    check(note, " 3600 ", " 03600 ");
    check(note, " 3600 ", " ");
    check(note, "\n\n", "\n");
    check(note, "\u{2014} ", "- ");
    check(note, "=\n", "\n");
}

#[test]
fn a_note_longer_than_the_limit_is_refused() {
    let checkpoint = checkpoint();
    let witness = "\u{2014} witness.example/w AAAAAAAA\n";
    let signatures = witness.repeat(16);
    assert!(accept(&format!("{}{signatures}", checkpoint.note())).is_ok(), "sixteen witnesses must pass");
    let too_many = witness.repeat(MAX_NOTE_LEN / witness.len() + 1);
    assert_eq!(accept(&format!("{}{too_many}", checkpoint.note())), Err("checkpoint.form"));
}

#[test]
fn a_bad_signature_by_the_key_is_not_made_good_by_another() {
    let checkpoint = checkpoint();
    let (text, signature) = checkpoint.note().split_once("\n\n").unwrap();
    let end = signature.len() - 10;
    let bad = format!("{}AAAAAAA==\n", &signature[..end]);
    assert!(accept(&format!("{text}\n\n{signature}{signature}")).is_ok());
    for signatures in [[&bad, signature], [signature, &bad]] {
        let note = format!("{text}\n\n{}", signatures.concat());
        assert_eq!(accept(&note), Err("checkpoint.signature"));
    }
}

#[test]
fn another_key_of_the_same_name_verifies_nothing() {
    let checkpoint = checkpoint();
    let other = CheckpointKey::from_seed("test.example/audit", [8; 32]).unwrap();
    let note = CheckpointNote::parse(checkpoint.note()).unwrap();
    assert_eq!(note.verify(other.verifying_key()).unwrap_err().code(), "checkpoint.signature");
    let renamed = CheckpointKey::from_seed("other.example/audit", [7; 32]).unwrap();
    assert_eq!(note.verify(renamed.verifying_key()).unwrap_err().code(), "checkpoint.origin");
}

#[test]
fn a_key_name_has_no_spaces_plus_signs_or_control_characters() {
    #[track_caller]
    fn check(name: &str, ok: bool) {
        assert_eq!(CheckpointKey::from_seed(name, [7; 32]).is_ok(), ok, "{name:?}");
    }
    check("service.example/audit", true);
    check("dienst.example/prüfung", true);
    check(&"n".repeat(MAX_KEY_NAME_LEN), true);
    check(&"n".repeat(MAX_KEY_NAME_LEN + 1), false);
    check("", false);
    check("a b", false);
    check("a\u{A0}b", false);
    check("a\u{2003}b", false);
    check("a+b", false);
    check("a\nb", false);
    check("a\0b", false);
}

#[test]
fn a_verifying_key_has_one_text_form() {
    #[track_caller]
    fn refuse(text: &str) {
        assert!(text.parse::<VerifyingKey>().is_err(), "{text}");
    }
    let key = key();
    let text = key.verifying_key().to_string();
    assert_eq!(text.parse::<VerifyingKey>().as_ref(), Ok(key.verifying_key()));
    let [name, id, key] = text.splitn(3, '+').collect::<Vec<_>>()[..] else { panic!("{text}") };
    refuse("");
    refuse(name);
    refuse(&format!("{name}+{id}"));
    refuse(&format!("{name}+{}+{key}", id.to_uppercase() + "0"));
    refuse(&format!("{name}+00000000+{key}"));
    refuse(&format!("other+{id}+{key}"));
    refuse(&format!("{name}+{id}+{key}="));
    refuse(&format!("{name}+{id}+{} ", key));
    refuse(&format!(" {text}"));
}

#[test]
fn a_verifying_key_that_verifies_anything_is_refused() {
    // The neutral point, of order one: `verify` without strictness accepts forged signatures under it.
    use base64::Engine as _;
    use sha2::Digest as _;
    let mut point = [0_u8; 33];
    (point[0], point[1]) = (1, 1);
    let id = sha2::Sha256::new_with_prefix("weak\n").chain_update(point).finalize();
    let id: String = id[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let key = base64::engine::general_purpose::STANDARD.encode(point);
    assert_eq!(format!("weak+{id}+{key}").parse::<VerifyingKey>().unwrap_err().code(), "checkpoint.key");
}

#[test]
fn a_generated_key_comes_back_from_its_seed() {
    let key = CheckpointKey::generate("service.example/audit", &DeterministicRandom::new(1)).unwrap();
    let again = CheckpointKey::from_seed("service.example/audit", *key.expose_seed()).unwrap();
    assert_eq!(key.verifying_key(), again.verifying_key());
    let seed = format!("{:?}", key.expose_seed());
    assert!(!format!("{key:?}").contains(seed.trim_matches(['[', ']'])));
}
