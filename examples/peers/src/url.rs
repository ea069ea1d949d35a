//! Redirect targets and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use compliance_auth::redirect::RedirectPolicy;
use compliance_core::address::{AddressClass, classify};
use url::{Origin, Url};

use crate::bench::Bench;
use crate::measure::{Failure, Measured, side_by_side};
use crate::random::{ALPHANUMERIC, Random};

const BASE: &str = "https://app.example.com/account/login?step=2";
const TARGET_LEN: usize = 100;
const TARGETS: usize = 512;
const ADDRESSES: usize = 1 << 16;

pub(crate) fn figures(bench: &mut Bench) -> Result<(), Failure> {
    let checked = redirect(bench, &allowed_targets(), true);
    bench.figure("url.redirect_check", "ns", checked);
    let refused = redirect(bench, &hostile_targets(), false);
    bench.figure("url.redirect_refuse", "ns", refused);
    let classified = Ok(address(bench));
    bench.figure("url.address_classify", "ns", classified);
    crate::verdicts::print()
}

/// Ours: `RedirectPolicy::check`, all rules on, which ends in an owned, re-serialised target.
///
/// The peer: what a careful author writes with the `url` crate alone: resolve against the base, compare origins,
/// and send the URL the parser made, so that it, too, ends in an owned, re-serialised target. It has no rule on
/// user information, `//` paths or encoded separators.
fn redirect(bench: &Bench, targets: &[String], expected: bool) -> Result<Measured, Failure> {
    let policy = RedirectPolicy::builder(BASE).build()?;
    let base = Url::parse(BASE)?;
    let origin = base.origin();
    for target in targets {
        if policy.check(target).is_ok() != expected || join(&base, &origin, target).is_some() != expected {
            return Err(format!("expected allowed = {expected}: {target}").into());
        }
    }
    let ours = || targets.iter().filter(|target| std::hint::black_box(policy.check(target)).is_ok()).count();
    let peer = || {
        targets.iter().filter(|target| std::hint::black_box(join(&base, &origin, target)).is_some()).count()
    };
    Ok(side_by_side(bench.effort, targets.len(), ours, peer))
}

fn join(base: &Url, origin: &Origin, target: &str) -> Option<String> {
    let url = base.join(target).ok()?;
    (url.origin() == *origin).then(|| url.into())
}

/// Three of four as `next=` parameters usually are, a path with a query; one absolute.
fn allowed_targets() -> Vec<String> {
    let mut random = Random::seeded(1);
    let start = |n: usize| if n % 4 == 0 { "https://app.example.com/" } else { "/" };
    let target = |n: usize| {
        let section = random.pick(&["projects", "orders", "invoices", "team", "reports"]).unwrap_or_default();
        let (id, tab) = (random.text(b"0123456789abcdef", 12), random.text(ALPHANUMERIC, 6));
        let head = format!("{}{section}/{id}/edit?tab={tab}&from=mail&next=", start(n));
        filled(&head, &mut random)
    };
    (0..TARGETS).map(target).collect()
}

/// The usual attempts, each of which the peer refuses as well, followed by whatever makes 100 bytes.
fn hostile_targets() -> Vec<String> {
    let heads = [
        "//evil.example/",
        "https://evil.example/",
        "http://app.example.com/",
        "https://app.example.com.evil.example/",
        "https://app.example.com@evil.example/",
        "https://app.example.com:8443/",
        r"/\evil.example/",
        r"https:\\evil.example\",
        "\t//evil.example/",
        "/\t/evil.example/",
        "javascript:alert(document.domain)//",
        "data:text/html,<script>alert(1)</script>",
    ];
    let mut random = Random::seeded(2);
    heads.iter().cycle().take(heads.len() * 32).map(|head| filled(head, &mut random)).collect()
}

fn filled(head: &str, random: &mut Random) -> String {
    let rest = random.text(ALPHANUMERIC, TARGET_LEN.saturating_sub(head.len()));
    format!("{head}{rest}")
}

/// Ours: `classify`, which says the block and decodes what IPv6 carries. The peer: `is_public`, a yes or no, after
/// the same decoding. The addresses are those a resolver answers with (public, mostly IPv4), and one in five from
/// the inside.
fn address(bench: &Bench) -> Measured {
    let mut random = Random::seeded(3);
    let addresses: Vec<IpAddr> = (0..ADDRESSES).map(|n| any_address(n, &mut random)).collect();
    let global = |ip: &&IpAddr| matches!(classify(**ip), AddressClass::Global);
    let ours = || addresses.iter().filter(global).count();
    let peer = || addresses.iter().filter(|ip| ssrf_guard::is_public(**ip)).count();
    side_by_side(bench.effort, addresses.len(), ours, peer)
}

fn any_address(n: usize, random: &mut Random) -> IpAddr {
    let bits = random.u128();
    let v4 = Ipv4Addr::from_bits(random.u32());
    // 2000::/3, where the public addresses are.
    let global_v6 = Ipv6Addr::from_bits(bits >> 3 | 1 << 125);
    let under = |prefix: u128| IpAddr::from(Ipv6Addr::from_bits(prefix | u128::from(v4.to_bits())));
    match (n % 10, n / 10 % 8) {
        (0..6, _) => v4.into(),
        (6 | 7, _) => global_v6.into(),
        (_, 0) => Ipv4Addr::from_bits(v4.to_bits() >> 8 | 10 << 24).into(),
        (_, 1) => Ipv4Addr::from_bits(v4.to_bits() >> 16 | 0xc0a8_0000).into(),
        (_, 2) => Ipv4Addr::new(169, 254, 169, 254).into(),
        (_, 3) => Ipv4Addr::LOCALHOST.into(),
        (_, 4) => under(0xffff << 32),
        (_, 5) => under(0x64_ff9b << 96),
        (_, 6) => Ipv6Addr::from_bits(bits >> 16 | 0x2002 << 112).into(),
        _ => Ipv6Addr::from_bits(bits >> 7 | 0xfc << 120).into(),
    }
}
