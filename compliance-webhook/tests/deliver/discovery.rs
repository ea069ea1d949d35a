//! NAT64 prefixes from DNS: found, used, asked for once an hour; doubt refuses what could be translated.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use compliance_core::clock::ManualClock;
use compliance_core::finding::RiskAcceptance;
use compliance_webhook::deliver::{Attempt, Deliver as _, HttpsTransport};
use compliance_webhook::endpoint::EndpointPolicy;
use compliance_webhook::guard::{Guard, NAT64_DISCOVERY_NAME, Resolve, ResolveError, TableResolver};
use compliance_webhook::sign::MessageId;

use super::{ip, now, signer};

const HOOKS: &str = "hooks.example.net";

/// Deliveries at these seconds, and how each ends.
async fn check<R: Resolve>(resolver: R, guard: Guard, expected: &[(u64, &str)]) {
    let clock = Arc::new(ManualClock::at(now()));
    let transport =
        HttpsTransport::builder(clock.clone()).with_resolver(resolver).with_guard(guard).build().unwrap();
    let endpoint = EndpointPolicy::new().check(&format!("https://{HOOKS}/")).unwrap();
    let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
    for (second, code) in expected {
        clock.set(now().saturating_add(Duration::from_secs(*second)));
        let outcome = transport.deliver(Attempt::new(&endpoint, &id, b"{}", &signer)).await;
        assert_eq!(outcome.code().as_str(), *code, "at {second} s");
    }
}

fn hidden() -> TableResolver {
    TableResolver::new().with(HOOKS, &[ip("2a00:1:2::a00:1"), LAST])
}

/// Follows every answer and is refused for itself, so that nothing is ever dialled.
const LAST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// All answers before the last passed.
const PASSED: &str = "address.loopback";

#[tokio::test]
async fn a_discovered_prefix_shows_the_private_address_behind_it() {
    let table = hidden().with(NAT64_DISCOVERY_NAME, &[ip("192.0.0.170"), ip("2a00:1:2::c000:aa")]);
    check(table, Guard::new(), &[(0, "address.private")]).await;
    // Another layout of RFC 6052, another well-known address.
    let table = TableResolver::new()
        .with(HOOKS, &[ip("2a00:1:2:a00:0:100::"), LAST])
        .with(NAT64_DISCOVERY_NAME, &[ip("2a00:1:2:c000:0:ab00::")]);
    check(table, Guard::new(), &[(0, "address.private")]).await;
}

#[tokio::test]
async fn own_addresses_are_found_behind_a_discovered_prefix() {
    let table = TableResolver::new()
        .with(HOOKS, &[ip("2a00:1:2::5db8:d822"), LAST])
        .with(NAT64_DISCOVERY_NAME, &[ip("2a00:1:2::c000:aa")]);
    let guard = Guard::new().with_own_address(ip("93.184.216.34"));
    check(table, guard, &[(0, "guard.own_address")]).await;
}

#[tokio::test]
async fn a_network_without_nat64_translates_nothing() {
    let table = hidden().with(NAT64_DISCOVERY_NAME, &[ip("192.0.0.170"), ip("192.0.0.171")]);
    check(table, Guard::new(), &[(0, PASSED)]).await;
}

#[tokio::test]
async fn discovery_is_asked_once_an_hour() {
    let table = hidden()
        .with(NAT64_DISCOVERY_NAME, &[ip("192.0.0.170")])
        .with(NAT64_DISCOVERY_NAME, &[ip("2a00:1:2::c000:aa")]);
    check(table, Guard::new(), &[(0, PASSED), (3599, PASSED), (3600, "address.private")]).await;
}

#[tokio::test]
async fn without_an_answer_ipv6_is_refused_and_asked_again_after_a_minute() {
    let table = hidden().with(NAT64_DISCOVERY_NAME, &[]).with(NAT64_DISCOVERY_NAME, &[ip("192.0.0.170")]);
    check(table, Guard::new(), &[(0, "guard.nat64_unknown"), (59, "guard.nat64_unknown"), (60, PASSED)])
        .await;
}

/// DNS that fails for the discovery name and answers any other with this, and then the last.
struct Failing(&'static str);

impl Resolve for Failing {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        if name == NAT64_DISCOVERY_NAME { Err(ResolveError::new()) } else { Ok(vec![ip(self.0), LAST]) }
    }
}

#[tokio::test]
async fn ipv4_needs_no_discovery_and_who_knows_the_network_can_switch_it_off() {
    check(Failing("93.184.216.34"), Guard::new(), &[(0, PASSED)]).await;
    check(Failing("2a00:1:2::1"), Guard::new(), &[(0, "guard.nat64_unknown")]).await;
    check(Failing("2a00:1:2::1"), Guard::new().without_nat64_discovery(), &[(0, PASSED)]).await;
    let configured =
        Guard::new().without_nat64_discovery().with_nat64_prefix("2a00:1:2::/96".parse().unwrap());
    check(Failing("2a00:1:2::a00:1"), configured, &[(0, "address.private")]).await;
}

/// A trial that lets pass what it refuses.
fn trial() -> Guard {
    let risk = RiskAcceptance::new("ops-lead", "roll-out", "2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
    Guard::new().dangerous(risk).report_only()
}

#[tokio::test]
async fn a_prefix_among_inside_addresses_is_asked_for_where_they_may_pass() {
    let table = || TableResolver::new().with(HOOKS, &[ip("fd00:64::a9fe:a9fe")]);
    let discovered = table().with(NAT64_DISCOVERY_NAME, &[ip("fd00:64::c000:aa")]);
    check(discovered, trial(), &[(0, "address.cloud_metadata")]).await;
    // While DNS does not say, any prefix may be the one.
    let untold = table().with(NAT64_DISCOVERY_NAME, &[]);
    check(untold, trial(), &[(0, "address.cloud_metadata")]).await;
    check(Failing("2a00:1:2:a9fe:a9:fe00::"), trial(), &[(0, "address.cloud_metadata")]).await;
}

#[tokio::test]
async fn an_accepted_network_of_ipv6_is_doubted_while_dns_does_not_say() {
    let risk = RiskAcceptance::new("ops-lead", "demo", "2026-12-01T00:00:00Z".parse().unwrap()).unwrap();
    let policy = EndpointPolicy::new().dangerous(risk);
    let policy = policy.allow_receiver("hooks.corp", ip("fd00::"), 8).unwrap().build();
    let endpoint = policy.check_at("https://hooks.corp/", now()).unwrap();
    let table = || TableResolver::new().with("hooks.corp", &[ip("fd00:64::7f00:1")]);
    for (table, code) in [
        (table().with(NAT64_DISCOVERY_NAME, &[]), "guard.nat64_unknown"),
        (table().with(NAT64_DISCOVERY_NAME, &[ip("fd00:64::c000:aa")]), "address.loopback"),
    ] {
        let clock = Arc::new(ManualClock::at(now()));
        let transport = HttpsTransport::builder(clock).with_resolver(table).build().unwrap();
        let (id, signer) = (MessageId::parse("msg_1").unwrap(), signer());
        let outcome = transport.deliver(Attempt::new(&endpoint, &id, b"{}", &signer)).await;
        assert_eq!(outcome.code().as_str(), code);
    }
}

/// Panics when asked for anything but the endpoint's own name.
struct Quiet(&'static [&'static str]);

impl Resolve for Quiet {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        assert_eq!(name, HOOKS);
        Ok(self.0.iter().copied().map(ip).chain([LAST]).collect())
    }
}

#[tokio::test]
async fn what_is_decided_without_it_asks_nobody() {
    check(Quiet(&["93.184.216.34"]), Guard::new(), &[(0, PASSED)]).await;
    check(Quiet(&["::ffff:93.184.216.34"]), Guard::new(), &[(0, PASSED)]).await;
    check(Quiet(&["fd00::1"]), Guard::new(), &[(0, "address.unique_local")]).await;
}

#[tokio::test]
async fn a_prefix_once_found_outlives_a_failure() {
    let table =
        hidden().with(NAT64_DISCOVERY_NAME, &[ip("2a00:1:2::c000:aa")]).with(NAT64_DISCOVERY_NAME, &[]);
    check(table, Guard::new(), &[(0, "address.private"), (3600, "address.private")]).await;
}
