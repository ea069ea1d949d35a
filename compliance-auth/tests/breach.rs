//! Breach filters: built from ranges, read whole or in place, refused when changed.

use std::io::Cursor;
use std::sync::Arc;

use compliance_auth::password::breach::{
    Breach, BreachFilter, BreachFilterBuilder, BreachFilterErrorKind as Kind, BuildError, BuildErrorKind,
    FingerprintBits, OnUnavailable,
};
use compliance_auth::password::{PasswordContext, PasswordPolicy, PasswordProfile};
use compliance_core::finding::Explain as _;
use proptest::prelude::*;
use secrecy::SecretString;
use sha1::{Digest as _, Sha1};

fn builder() -> BreachFilterBuilder {
    BreachFilterBuilder::new("test", "2026-11-01".parse().unwrap())
}

fn sha1(text: &str) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02X}")).collect()
}

fn sorted(count: usize) -> String {
    let mut lines: Vec<String> =
        (0..count).map(|n| format!("{}:{}\n", sha1(&format!("pass{n}")), n % 7)).collect();
    lines.sort_unstable();
    lines.concat()
}

fn build(builder: &BreachFilterBuilder, lines: &str) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    builder.sorted_hashes(lines.as_bytes(), &mut file).unwrap();
    file.into_inner()
}

#[track_caller]
fn check(filter: &BreachFilter, password: &str, expected: Breach) {
    assert_eq!(filter.lookup(&SecretString::from(password)).unwrap(), expected, "{password}");
}

#[test]
fn what_went_in_is_found_and_little_else() {
    for (bits, shard_bits, at_most) in [
        (FingerprintBits::Eight, 0, 90),
        (FingerprintBits::Eight, 4, 90),
        (FingerprintBits::Sixteen, 0, 3),
        (FingerprintBits::Sixteen, 10, 3),
    ] {
        let plan = builder().fingerprint_bits(bits).shard_bits(shard_bits);
        let filter = BreachFilter::from_bytes(build(&plan, &sorted(5_000))).unwrap();
        let mut entries = 0;
        for n in (0..5_000).filter(|n| n % 7 > 0) {
            check(&filter, &format!("pass{n}"), Breach::Listed);
            entries += 1;
        }
        // Of 10,000 strangers 39 or 0.15 are expected.
        let strangers = (0..10_000)
            .filter(|n| filter.lookup(&SecretString::from(format!("other{n}"))).unwrap() == Breach::Listed);
        let found = strangers.count();
        assert!(found <= at_most, "{found} at {bits:?} {shard_bits}");
        assert_eq!(filter.snapshot().entries(), entries);
        assert_eq!(filter.snapshot().source(), "test");
    }
}

#[test]
fn padding_and_rare_hashes_are_left_out() {
    let filter =
        BreachFilter::from_bytes(build(&builder().shard_bits(2).min_count(5), &sorted(700))).unwrap();
    check(&filter, "pass5", Breach::Listed);
    check(&filter, "pass7", Breach::NotListed); // count 0: padding
    check(&filter, "pass4", Breach::NotListed);
    assert_eq!(filter.snapshot().entries(), 200);
}

#[test]
fn a_folder_of_ranges_makes_the_same_file_as_one_sorted_text() {
    let folder = tempfile::tempdir().unwrap();
    let text = sorted(3_000);
    for line in text.lines() {
        let (prefix, rest) = line.split_at(5);
        let name = if prefix.ends_with('0') { prefix.to_owned() } else { format!("{prefix}.txt") };
        let path = folder.path().join(name);
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        std::fs::write(path, format!("{before}{rest}\r\n")).unwrap();
    }
    let plan = builder().shard_bits(6);
    let mut file = Cursor::new(Vec::new());
    plan.ranges(folder.path(), true, &mut file).unwrap();
    assert_eq!(file.into_inner(), build(&plan, &text));
    // A corpus with holes is refused unless that is said.
    let mut file = Cursor::new(Vec::new());
    let error = plan.ranges(folder.path(), false, &mut file).unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Io(std::io::ErrorKind::NotFound));
}

#[test]
fn a_filter_of_nothing_is_not_made() {
    let mut file = Cursor::new(Vec::new());
    let kind = |made: Result<u64, BuildError>| made.unwrap_err().kind();
    assert_eq!(kind(builder().sorted_hashes(&b""[..], &mut file)), BuildErrorKind::Empty);
    let padding = format!("{}:0\n", sha1("password"));
    assert_eq!(kind(builder().sorted_hashes(padding.as_bytes(), &mut file)), BuildErrorKind::Empty);
    assert_eq!(kind(builder().passwords([], &mut file)), BuildErrorKind::Empty);
    assert!(BreachFilter::from_bytes(file.into_inner()).is_err());
}

#[test]
fn an_empty_range_is_a_download_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("00000"), format!("{}:1\n", "0".repeat(35))).unwrap();
    std::fs::write(folder.path().join("00001.txt"), "").unwrap();
    let mut file = Cursor::new(Vec::new());
    let error = builder().ranges(folder.path(), false, &mut file).unwrap_err();
    assert_eq!(error.kind(), BuildErrorKind::Empty);
    assert_eq!(builder().ranges(folder.path(), true, &mut file).unwrap(), 1);
}

#[test]
fn a_file_left_in_place_answers_like_one_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("breach.bff");
    std::fs::write(&path, build(&builder().shard_bits(5), &sorted(2_000))).unwrap();
    let (open, read) = (BreachFilter::open(&path).unwrap(), BreachFilter::read(&path).unwrap());
    assert_eq!(open, read);
    for n in 0..2_000 {
        let password = SecretString::from(format!("pass{n}"));
        assert_eq!(open.lookup(&password).unwrap(), read.lookup(&password).unwrap());
    }
}

#[test]
fn lines_that_are_no_hashes_are_refused() {
    let fail = |lines: &str| {
        let mut file = Cursor::new(Vec::new());
        let error = builder().sorted_hashes(lines.as_bytes(), &mut file).unwrap_err();
        // An unfinished file is none.
        assert!(BreachFilter::from_bytes(file.into_inner()).is_err());
        error.kind()
    };
    let (a, b) = (sha1("password"), sha1("letmein"));
    assert_eq!(fail("zz"), BuildErrorKind::Line { line: 1 });
    assert_eq!(fail(&format!("{a}:x\n")), BuildErrorKind::Line { line: 1 });
    assert_eq!(fail(&format!("{a}0:1\n")), BuildErrorKind::Line { line: 1 });
    assert_eq!(fail(&format!("{b}:1\n{a}:1\n")), BuildErrorKind::Order { line: 2 });
}

#[test]
fn a_changed_file_is_refused_wherever_it_was_changed() {
    let good = build(&builder().shard_bits(1), &sorted(30));
    assert!(BreachFilter::from_bytes(good.clone()).is_ok());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(BreachFilter::from_bytes(bad).is_err(), "byte {at}");
    }
    for len in 0..good.len() {
        assert!(BreachFilter::from_bytes(good[..len].to_vec()).is_err(), "cut to {len}");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(BreachFilter::from_bytes(longer).unwrap_err().kind(), Kind::Checksum);
    let mut newer = good;
    newer[8] = 2;
    assert_eq!(BreachFilter::from_bytes(newer).unwrap_err().kind(), Kind::Version);
}

/// Changes a file and makes its checksums hold again, as whoever builds a hostile one would.
#[track_caller]
fn check_forged(change: impl Fn(&mut Vec<u8>), expected: Result<(), Kind>) {
    // 64 bytes, the source, a row of 16 bytes for the only shard.
    const HEADER: usize = 64 + "test".len() + 16;
    let mut file = build(&builder().shard_bits(0), &sorted(100));
    change(&mut file);
    let body: [u8; 32] = sha2::Sha256::digest(&file[HEADER + 32..]).into();
    file[32..64].copy_from_slice(&body);
    let checksum: [u8; 32] = sha2::Sha256::digest(&file[..HEADER]).into();
    file[HEADER..HEADER + 32].copy_from_slice(&checksum);
    assert_eq!(BreachFilter::from_bytes(file).map(drop).map_err(|error| error.kind()), expected);
}

#[test]
fn a_forged_header_is_refused_field_by_field() {
    let set = |at: usize, value: u8| move |file: &mut Vec<u8>| file[at] = value;
    check_forged(|_| {}, Ok(()));
    check_forged(set(0, b'b'), Err(Kind::Malformed));
    check_forged(set(8, 2), Err(Kind::Version));
    check_forged(set(9, 12), Err(Kind::Malformed));
    check_forged(set(10, 17), Err(Kind::Malformed));
    check_forged(set(11, 129), Err(Kind::Malformed));
    // No month 21, no text at all, no zero.
    check_forged(set(17, b'2'), Err(Kind::Malformed));
    check_forged(set(12, 0xff), Err(Kind::Malformed));
    check_forged(set(22, 1), Err(Kind::Malformed));
    check_forged(set(64, 0xff), Err(Kind::Malformed));
    // The shard's row: seed, length of a segment, length of all segments but two.
    let row = 64 + "test".len();
    check_forged(set(row + 8, 3), Err(Kind::Malformed));
    check_forged(set(row + 11, 0x80), Err(Kind::Malformed));
    check_forged(set(row + 12, 1), Err(Kind::Malformed));
    check_forged(set(row + 15, 0x7f), Err(Kind::Checksum));
    check_forged(|file| file.push(0), Err(Kind::Checksum));
}

#[test]
fn a_policy_refuses_what_the_filter_knows() {
    let good = "zq7-velour-antelope-91";
    let filter =
        Arc::new(BreachFilter::from_bytes(build(&builder(), &format!("{}:1\n", sha1(good)))).unwrap());
    let policy = PasswordPolicy::of(PasswordProfile::Asvs5).breach_filter(filter, OnUnavailable::Refuse);
    let refusal = policy.check(&SecretString::from(good), &PasswordContext::new()).unwrap_err();
    assert_eq!(refusal.code(), "password.breached");
    assert_eq!(refusal.finding().snapshots().len(), 3);
    assert!(policy.check(&SecretString::from("zq7-velour-antelope-92"), &PasswordContext::new()).is_ok());
}

#[cfg(unix)]
#[test]
fn a_filter_that_cannot_be_read_is_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("breach.bff");
    std::fs::write(&path, build(&builder().shard_bits(0), &sorted(2_000))).unwrap();
    let filter = Arc::new(BreachFilter::open(&path).unwrap());
    std::fs::write(&path, b"").unwrap();
    let password = SecretString::from("zq7-velour-antelope-91");
    let policy = PasswordPolicy::of(PasswordProfile::Asvs5);
    let refusing = policy.clone().breach_filter(Arc::clone(&filter), OnUnavailable::Refuse);
    let refusal = refusing.check(&password, &PasswordContext::new()).unwrap_err();
    assert_eq!(refusal.code(), "password.breach_unknown");
    let reviewing = policy.breach_filter(filter, OnUnavailable::Review);
    let accepted = reviewing.check(&password, &PasswordContext::new()).unwrap();
    assert_eq!(accepted.finding().operator_code().as_str(), "password.breach_unknown");
    assert_eq!(accepted.finding().outcome(), compliance_core::finding::Outcome::Review);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut file = b"BREACHF\n".to_vec();
        file.extend(bytes);
        prop_assert!(BreachFilter::from_bytes(file).is_err());
    }
}
