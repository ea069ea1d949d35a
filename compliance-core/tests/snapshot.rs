//! Snapshots: digest, staleness, replacement.

use compliance_core::clock::{Date, Timestamp};
use compliance_core::snapshot::{Freshness, ReplacementRule, Snapshot, Staleness};

fn snapshot(as_of: &str, entries: u64) -> Snapshot {
    Snapshot::of("list", as_of.parse::<Date>().unwrap(), b"content", entries)
}

#[test]
fn a_snapshot_knows_its_bytes() {
    let snapshot = snapshot("2026-06-17", 3);
    assert!(snapshot.check_digest(b"content").is_ok());
    assert_eq!(snapshot.check_digest(b"Content").unwrap_err().code(), "snapshot.digest");
    assert_eq!(snapshot.to_string(), "list@2026-06-17#ed7002b439e9");
}

#[test]
fn age_warns_first_and_then_asks_for_review() {
    #[track_caller]
    fn check(now: &str, expected: Freshness) {
        let rule = Staleness::new(45, 365);
        let now: Timestamp = now.parse().unwrap();
        assert_eq!(rule.freshness(&snapshot("2026-01-01", 1), now), expected, "{now}");
    }
    check("2026-01-01T00:00:00Z", Freshness::Fresh);
    check("2026-02-15T23:59:59Z", Freshness::Fresh);
    check("2026-02-16T00:00:00Z", Freshness::Stale { age_days: 46 });
    check("2027-01-01T00:00:00Z", Freshness::Stale { age_days: 365 });
    check("2027-01-02T00:00:00Z", Freshness::Expired { age_days: 366 });
    // A day ahead is a time zone; more is a wrong clock.
    check("2025-12-31T00:00:00Z", Freshness::Fresh);
    check("2025-12-30T00:00:00Z", Freshness::Expired { age_days: -2 });
}

#[test]
fn review_never_comes_before_the_warning() {
    let now: Timestamp = "2026-01-21T00:00:00Z".parse().unwrap();
    let fresh = Staleness::new(30, 10).freshness(&snapshot("2026-01-01", 1), now);
    assert_eq!(fresh, Freshness::Fresh);
}

#[test]
fn a_successor_that_shrank_or_is_older_is_refused() {
    #[track_caller]
    fn check(as_of: &str, entries: u64, expected: Result<(), &str>) {
        let found =
            ReplacementRule::default().check(&snapshot("2026-06-17", 1000), &snapshot(as_of, entries));
        assert_eq!(found.map_err(|e| e.code()), expected, "{as_of} {entries}");
    }
    check("2026-06-18", 1000, Ok(()));
    check("2026-06-17", 900, Ok(()));
    check("2026-06-18", 899, Err("snapshot.shrunken"));
    check("2026-06-18", 0, Err("snapshot.empty"));
    check("2026-06-16", 1000, Err("snapshot.older"));
    check("2026-06-18", u64::MAX, Ok(()));
}

#[test]
fn a_long_source_is_cut_at_a_character() {
    let long = Snapshot::of("\u{e9}".repeat(100), "2026-06-17".parse().unwrap(), b"", 0);
    assert_eq!(long.source().len(), Snapshot::MAX_SOURCE_LEN);
}
