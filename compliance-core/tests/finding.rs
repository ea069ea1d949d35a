//! Findings and written risk acceptances.

use compliance_core::finding::{Enforcement, Finding, Outcome, PolicyVersion, RiskAcceptance};
use compliance_core::reason_code;
use compliance_core::snapshot::Snapshot;

#[test]
fn a_finding_prints_one_line_for_an_operator() {
    let policy = PolicyVersion::new("us", "2026-06");
    let list = Snapshot::of("iptoasn", "2026-06-17".parse().unwrap(), b"", 0);
    let finding = Finding::refused(reason_code!("embargo.country"), reason_code!("embargo.refused"), policy)
        .with_enforcement(Enforcement::ReportOnly)
        .with_snapshot(list);
    assert_eq!(
        finding.to_string(),
        "refused embargo.country (us/2026-06, report only, iptoasn@2026-06-17#e3b0c44298fc)"
    );
    assert_eq!(finding.public_code().as_str(), "embargo.refused");
    assert_eq!(finding.outcome(), Outcome::Refused);
}

#[test]
fn policy_names_are_bounded() {
    let policy = PolicyVersion::new("p".repeat(100), "\u{e9}".repeat(100));
    assert_eq!(policy.name().len(), 64);
    assert_eq!(policy.version().len(), 64);
}

#[test]
fn a_risk_acceptance_names_approver_and_reason_and_ends() {
    let expires = "2026-12-31T00:00:00Z".parse().unwrap();
    let long = "x".repeat(257);
    let incomplete = |approver, reason| RiskAcceptance::new(approver, reason, expires).map_err(|e| e.code());
    assert_eq!(incomplete("", "because"), Err("risk.incomplete"));
    assert_eq!(incomplete("ops", "  "), Err("risk.incomplete"));
    assert_eq!(incomplete("ops", &long), Err("risk.incomplete"));
    let accepted = incomplete("ops", "receiver on this host").unwrap();
    assert!(accepted.in_force("2026-12-30T23:59:59Z".parse().unwrap()).is_ok());
    assert_eq!(accepted.in_force(expires).unwrap_err().code(), "risk.expired");
}
