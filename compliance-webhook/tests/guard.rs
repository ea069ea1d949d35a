//! Which answers may be dialled.

use std::net::IpAddr;
use std::time::Duration;

use compliance_core::clock::Timestamp;
use compliance_core::finding::{Enforcement, Outcome, Reason, RiskAcceptance};
use compliance_webhook::endpoint::{EndpointPolicy, WebhookEndpoint};
use compliance_webhook::guard::{GUARDED_ADDR_LIFETIME, Guard, MAX_ANSWERS, nat64_prefixes};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn endpoint() -> WebhookEndpoint {
    EndpointPolicy::new().check("https://hooks.example.net/in").unwrap()
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

#[track_caller]
fn check_with(guard: &Guard, endpoint: &WebhookEndpoint, answers: &[&str], expected: Result<&[&str], &str>) {
    let found = guard.check_answers(endpoint, &ips(answers), now());
    let found = found.map(|dial| dial.iter().map(|addr| addr.ip()).collect::<Vec<_>>()).map_err(|error| {
        assert_eq!(error.public_code().as_str(), "endpoint.unreachable");
        error.code()
    });
    assert_eq!(found, expected.map(ips), "{answers:?}");
}

#[track_caller]
fn check(answers: &[&str], expected: Result<&[&str], &str>) {
    check_with(&Guard::new(), &endpoint(), answers, expected);
}

#[test]
fn outside_answers_are_dialled_in_order() {
    check(&["93.184.216.34"], Ok(&["93.184.216.34"]));
    check(&["2606:2800:220:1::1", "93.184.216.34"], Ok(&["2606:2800:220:1::1", "93.184.216.34"]));
    check(&["::ffff:93.184.216.34"], Ok(&["93.184.216.34"]));
}

#[test]
fn one_inside_answer_refuses_all() {
    check(&["93.184.216.34", "10.0.0.1"], Err("address.private"));
    check(&["93.184.216.34", "::1"], Err("address.loopback"));
    check(&["10.0.0.1", "93.184.216.34"], Err("address.private"));
}

#[test]
fn hidden_addresses_are_found() {
    check(&["::ffff:127.0.0.1"], Err("address.loopback"));
    check(&["64:ff9b::a00:1"], Err("address.private"));
    check(&["169.254.169.254"], Err("address.cloud_metadata"));
    assert!(Guard::new().check_answers(&endpoint(), &ips(&["2002:a9fe:a9fe::1"]), now()).is_err());
}

#[test]
fn configured_nat64_prefixes_are_decoded() {
    let hidden = &["2001:67c:2b0:db32:0:1:a00:1"];
    check(hidden, Ok(hidden));
    let guard = Guard::new().with_nat64_prefix("2001:67c:2b0:db32:0:1::/96".parse().unwrap());
    check_with(&guard, &endpoint(), hidden, Err("address.private"));
}

#[test]
fn every_layout_of_rfc_6052_is_discovered() {
    let prefixes = |answers: &[&str]| -> Vec<String> {
        nat64_prefixes(&ips(answers)).iter().map(ToString::to_string).collect()
    };
    // 192.0.0.170 and .171 under each prefix length.
    for (answer, prefix) in [
        ("2a00:1:c000:aa::", "2a00:1::/32"),
        ("2a00:1:2c0:0:aa::", "2a00:1:200::/40"),
        ("2a00:1:2:c000:0:aa00::", "2a00:1:2::/48"),
        ("2a00:1:2:3c0:0:aa::", "2a00:1:2:300::/56"),
        ("2a00:1:2:3:c0:0:aa00:0", "2a00:1:2:3::/64"),
        ("2a00:1:2::c000:ab", "2a00:1:2::/96"),
        ("64:ff9b::192.0.0.170", "64:ff9b::/96"),
    ] {
        assert_eq!(prefixes(&[answer]), [prefix], "{answer}");
    }
    let two = ["2a00:1:2::c000:aa", "2a00:1:2::c000:ab", "2a00:9::c000:aa", "192.0.0.171"];
    assert_eq!(prefixes(&two), ["2a00:1:2::/96", "2a00:9::/96"]);
    assert!(prefixes(&["192.0.0.170", "2606:2800:220:1::1", "2a00:1:2::c000:ac"]).is_empty());
}

#[test]
fn no_answer_is_a_refusal_and_so_are_too_many() {
    check(&[], Err("guard.no_answers"));
    check(&["93.184.216.34"; MAX_ANSWERS], Ok(&["93.184.216.34"; MAX_ANSWERS]));
    check(&["93.184.216.34"; MAX_ANSWERS + 1], Err("guard.too_many_answers"));
}

#[test]
fn own_addresses_are_refused_in_every_form() {
    let guard = Guard::new()
        .with_own_address("::ffff:93.184.216.34".parse().unwrap())
        .with_own_network("2606:2800::".parse().unwrap(), 32)
        .unwrap();
    check_with(&guard, &endpoint(), &["93.184.216.34"], Err("guard.own_address"));
    check_with(&guard, &endpoint(), &["::ffff:93.184.216.34"], Err("guard.own_address"));
    check_with(&guard, &endpoint(), &["2606:2800:220:1::1"], Err("guard.own_address"));
    check_with(&guard, &endpoint(), &["93.184.216.35"], Ok(&["93.184.216.35"]));
    // A translator would deliver it to our own address.
    check_with(&guard, &endpoint(), &["64:ff9b::93.184.216.34"], Err("guard.own_address"));
    let translating = guard.clone().with_nat64_prefix("2a00:1:2::/96".parse().unwrap());
    check_with(&translating, &endpoint(), &["2a00:1:2::93.184.216.34"], Err("guard.own_address"));
    let mapped = Guard::new().with_own_network("::ffff:93.184.216.0".parse().unwrap(), 120).unwrap();
    check_with(&mapped, &endpoint(), &["93.184.216.34"], Err("guard.own_address"));
    assert!(Guard::new().with_own_network("::ffff:93.184.216.0".parse().unwrap(), 95).is_err());
    assert_eq!(
        Guard::new().with_own_network("::".parse().unwrap(), 129).unwrap_err().code(),
        "guard.network"
    );
}

#[test]
fn a_literal_is_judged_whatever_the_answers_say() {
    let literal = EndpointPolicy::new().with_address_literals().check("https://93.184.216.34/").unwrap();
    check_with(&Guard::new(), &literal, &["93.184.216.99"], Ok(&["93.184.216.34"]));
    let guard = Guard::new().with_own_address("93.184.216.34".parse().unwrap());
    check_with(&guard, &literal, &[], Err("guard.own_address"));
}

fn dangerous() -> EndpointPolicy {
    let risk = RiskAcceptance::new("ops-lead", "demo", "2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
    EndpointPolicy::new()
        .dangerous(risk)
        .allow_loopback()
        .allow_receiver("hooks.corp", "100.64.0.0".parse().unwrap(), 10)
        .unwrap()
        .build()
}

#[test]
fn an_accepted_receiver_may_be_in_its_network_and_nowhere_else() {
    let local = dangerous().check_at("https://localhost/", now()).unwrap();
    check_with(&Guard::new(), &local, &["127.0.0.1", "::1"], Ok(&["127.0.0.1", "::1"]));
    check_with(&Guard::new(), &local, &["10.0.0.1"], Err("address.private"));
    let corp = dangerous().check_at("https://hooks.corp/", now()).unwrap();
    check_with(&Guard::new(), &corp, &["100.64.0.9"], Ok(&["100.64.0.9"]));
    check_with(&Guard::new(), &corp, &["127.0.0.1"], Err("address.loopback"));
    let other = dangerous().check_at("https://hooks.example.net/", now()).unwrap();
    check_with(&Guard::new(), &other, &["127.0.0.1"], Err("address.loopback"));
}

#[test]
fn no_acceptance_reaches_metadata_services() {
    let corp = dangerous().check_at("https://hooks.corp/", now()).unwrap();
    check_with(&Guard::new(), &corp, &["100.100.100.200"], Err("address.cloud_metadata"));
}

/// Accepted for `network`, asked for `hooks.corp`.
fn accepted(network: &str, prefix_len: u8) -> WebhookEndpoint {
    let risk = RiskAcceptance::new("ops-lead", "demo", "2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
    let policy = EndpointPolicy::new().dangerous(risk);
    let policy = policy.allow_receiver("hooks.corp", network.parse().unwrap(), prefix_len).unwrap().build();
    policy.check_at("https://hooks.corp/", now()).unwrap()
}

#[test]
fn an_accepted_receiver_is_not_dialled_outside_its_network() {
    let billing = accepted("10.1.0.0", 16);
    let guard = Guard::new();
    check_with(&guard, &billing, &["10.1.2.3"], Ok(&["10.1.2.3"]));
    check_with(&guard, &billing, &["93.184.216.34"], Err("guard.risk_network"));
    check_with(&guard, &billing, &["10.1.2.3", "2606:2800:220:1::1"], Err("guard.risk_network"));
    check_with(&guard, &billing, &["10.2.0.1"], Err("address.private"));
    let late = "2027-01-21T12:00:00Z".parse().unwrap();
    for (answer, code) in [("10.1.2.3", "guard.risk_expired"), ("93.184.216.34", "guard.risk_network")] {
        let refused = guard.check_answers(&billing, &ips(&[answer]), late).unwrap_err();
        assert_eq!(refused.code(), code);
    }
}

#[test]
fn an_accepted_network_covers_no_address_that_is_carried_elsewhere() {
    let receiver = accepted("fd00::", 8);
    let guard = Guard::new().with_nat64_prefix("fd00:64::/96".parse().unwrap());
    check_with(&guard, &receiver, &["fd00::1"], Ok(&["fd00::1"]));
    check_with(&guard, &receiver, &["fd00:64::a9fe:a9fe"], Err("address.cloud_metadata"));
    check_with(&guard, &receiver, &["fd00:64::7f00:1"], Err("address.loopback"));
    check_with(&guard, &receiver, &["fd00:64::5db8:d822"], Err("guard.risk_network"));
    check_with(&guard, &receiver, &["fd00::5efe:a00:1"], Err("address.private"));
    // Without the prefix it is an address of the accepted network.
    check_with(&Guard::new(), &receiver, &["fd00:64::7f00:1"], Ok(&["fd00:64::7f00:1"]));
}

#[test]
fn no_earlier_rule_hides_a_metadata_service() {
    let metadata = Err("address.cloud_metadata");
    // An own network, a prefix and a trial at once.
    let own = |network: &str, len| {
        let risk = RiskAcceptance::new("ops-lead", "demo", "2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
        let guard = Guard::new().with_own_network(network.parse().unwrap(), len).unwrap();
        guard.with_nat64_prefix("fd00:64::/96".parse().unwrap()).dangerous(risk).report_only()
    };
    check_with(&own("fd00::", 8), &endpoint(), &["fd00:ec2::254"], metadata);
    check_with(&own("169.254.0.0", 16), &endpoint(), &["169.254.169.254"], metadata);
    // The acceptance of the endpoint is over, the trial is not.
    let short = RiskAcceptance::new("ops-lead", "demo", "2026-11-21T12:00:00Z".parse().unwrap()).unwrap();
    let policy = EndpointPolicy::new().dangerous(short);
    let policy = policy.allow_receiver("x.corp", "100.64.0.0".parse().unwrap(), 10).unwrap().build();
    let before = "2026-11-21T11:00:00Z".parse().unwrap();
    let expired = policy.check_at("https://x.corp/", before).unwrap();
    check_with(&trial(), &expired, &["100.100.100.200"], metadata);
    assert_eq!(
        trial().check_answers(&expired, &ips(&["100.64.0.1"]), now()).unwrap()[0]
            .waived()
            .unwrap()
            .code()
            .as_str(),
        "guard.risk_expired"
    );
    // Whatever form carries it.
    for carried in [
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00::",
        "fd00::5efe:a9fe:a9fe",
        "fe80::5efe:a9fe:a9fe",
        "fe80::200:5efe:a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378::5601:5601",
        "::ffff:0:169.254.169.254",
        "fd00:64::a9fe:a9fe",
        "fd00:c1::a9fe:a9fe",
    ] {
        check_with(&own("fd00::", 8), &endpoint(), &[carried], metadata);
    }
}

#[test]
fn an_acceptance_that_ended_since_the_check_counts_for_nothing() {
    let local = dangerous().check_at("https://localhost/", now()).unwrap();
    let late = "2026-12-01T00:00:00Z".parse().unwrap();
    let refused = Guard::new().check_answers(&local, &ips(&["127.0.0.1"]), late).unwrap_err();
    assert_eq!(refused.code(), "guard.risk_expired");
}

#[test]
fn a_guarded_address_is_dialled_within_seconds_or_not_at_all() {
    let dial = Guard::new().check_answers(&endpoint(), &ips(&["93.184.216.34"]), now()).unwrap();
    assert_eq!(dial[0].socket_addr(now()).unwrap(), "93.184.216.34:443".parse().unwrap());
    assert!(dial[0].socket_addr(dial[0].valid_until()).is_err());
    // A clock that was turned back.
    assert!(dial[0].socket_addr(now().saturating_sub(Duration::from_nanos(1))).is_err());
    let late = now().saturating_add(GUARDED_ADDR_LIFETIME);
    assert_eq!(dial[0].socket_addr(late).unwrap_err().code(), "guard.expired");
}

#[test]
fn a_socket_to_ourselves_is_refused() {
    let dial = Guard::new().check_answers(&endpoint(), &ips(&["93.184.216.34"]), now()).unwrap();
    assert!(dial[0].check_local("192.168.1.2:50000".parse().unwrap()).is_ok());
    for local in ["93.184.216.34:50000", "[::ffff:93.184.216.34]:50000"] {
        let refused = dial[0].check_local(local.parse().unwrap()).unwrap_err();
        assert_eq!(refused.code(), "guard.own_address");
    }
    let local = dangerous().check_at("https://localhost/", now()).unwrap();
    let dial = Guard::new().check_answers(&local, &ips(&["127.0.0.1"]), now()).unwrap();
    assert!(dial[0].check_local("127.0.0.1:50000".parse().unwrap()).is_ok());
}

#[test]
fn both_ends_of_a_socket_are_looked_at() {
    let dial = Guard::new().check_answers(&endpoint(), &ips(&["93.184.216.34"]), now()).unwrap();
    for (peer, local, expected) in [
        ("93.184.216.34:443", "192.168.1.2:50000", Ok(())),
        ("93.184.216.35:443", "192.168.1.2:50000", Err("guard.peer")),
        ("93.184.216.34:443", "93.184.216.34:50000", Err("guard.own_address")),
    ] {
        let found = dial[0].check_socket(peer.parse().unwrap(), local.parse().unwrap());
        assert_eq!(found.map_err(|refused| refused.code()), expected, "{peer} {local}");
    }
}

fn trial() -> Guard {
    let risk = RiskAcceptance::new("ops-lead", "roll-out", "2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
    Guard::new().with_own_address("93.184.216.34".parse().unwrap()).dangerous(risk).report_only()
}

#[test]
fn a_trial_lets_pass_what_it_would_refuse_and_says_so() {
    for (answers, code) in [
        (&["10.0.0.1"][..], "address.private"),
        (&["1.1.1.1", "::1"], "address.loopback"),
        (&["93.184.216.34"], "guard.own_address"),
    ] {
        let checked = trial().check_answers(&endpoint(), &ips(answers), now());
        let finding = trial().finding(&checked);
        assert_eq!((finding.outcome(), finding.enforcement()), (Outcome::Refused, Enforcement::ReportOnly));
        assert_eq!((finding.operator_code().as_str(), checked.unwrap().len()), (code, answers.len()));
    }
    let passed = trial().check_answers(&endpoint(), &ips(&["1.1.1.1"]), now());
    assert_eq!(trial().finding(&passed).to_string(), "passed guard.passed (webhook-guard/1)");
    assert_eq!(passed.unwrap()[0].waived(), None);
}

#[test]
fn a_trial_ends_and_never_reaches_metadata_services() {
    check_with(&trial(), &endpoint(), &["169.254.169.254"], Err("address.cloud_metadata"));
    check_with(&trial(), &endpoint(), &["64:ff9b::169.254.169.254"], Err("address.cloud_metadata"));
    check_with(&trial(), &endpoint(), &[], Err("guard.no_answers"));
    let late = "2026-12-01T00:00:00Z".parse().unwrap();
    let refused = trial().check_answers(&endpoint(), &ips(&["10.0.0.1"]), late);
    assert_eq!(trial().finding(&refused).enforcement(), Enforcement::Enforce);
    assert_eq!(refused.unwrap_err().code(), "address.private");
}

#[test]
fn findings_name_an_accepted_risk() {
    let local = dangerous().check_at("https://localhost/", now()).unwrap();
    let checked = Guard::new().check_answers(&local, &ips(&["127.0.0.1"]), now());
    assert_eq!(Guard::new().finding(&checked).operator_code().as_str(), "guard.risk_accepted");
    let refused = Guard::new().check_answers(&endpoint(), &ips(&["127.0.0.1"]), now());
    let finding = Guard::new().finding(&refused);
    assert_eq!(finding.operator_code().as_str(), "address.loopback");
    assert_eq!(finding.public_code().as_str(), "endpoint.unreachable");
}

#[test]
fn a_socket_to_elsewhere_is_refused() {
    let dial = Guard::new().check_answers(&endpoint(), &ips(&["93.184.216.34"]), now()).unwrap();
    for (peer, ok) in [
        ("93.184.216.34:443", true),
        ("[::ffff:93.184.216.34]:443", true),
        ("93.184.216.34:8443", false),
        ("127.0.0.1:443", false),
        ("93.184.216.35:443", false),
    ] {
        assert_eq!(dial[0].check_peer(peer.parse().unwrap()).is_ok(), ok, "{peer}");
    }
}
