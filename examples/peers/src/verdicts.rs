//! The same corpus through ours and through what else is used: who accepts what must be refused?
//!
//! Runs with the `url` block when `COMPLIANCE_CORPUS` names a folder with `url/corpus.json`, and prints one line per
//! check: `verdicts <kind> <check> <accepted>/<deny rows> <refused>/<allow rows> <off-site>`. The last number, for
//! redirects, counts the rows whose emission a WHATWG parser takes to an origin that is not allowed. `verdicts.py`
//! beside this workspace prints the same lines for Django and the checks people write in Python.

use std::net::IpAddr;
use std::path::PathBuf;

use compliance_auth::redirect::{RedirectPolicy, SafeRedirect, Scheme};
use compliance_core::address::outside;
use serde_json::Value;
use url::Url;

use crate::measure::Failure;

pub(crate) fn print() -> Result<(), Failure> {
    let Some(folder) = std::env::var_os("COMPLIANCE_CORPUS") else { return Ok(()) };
    let text = std::fs::read_to_string(PathBuf::from(folder).join("url/corpus.json"))?;
    let corpus: Value = serde_json::from_str(&text)?;
    let rows = corpus.get("rows").and_then(Value::as_array).ok_or("the corpus has no rows")?;
    let of = |kind: &str| -> Vec<&Value> { rows.iter().filter(|row| text_of(row, "kind") == kind).collect() };
    let redirects = of("redirect");
    redirect("compliance-auth", &redirects, ours);
    redirect("url:join+origin,emit-serialised", &redirects, |row| Some(same_origin(row)?.into()));
    redirect("url:join+origin,emit-input", &redirects, |row| {
        same_origin(row).map(|_| text_of(row, "input").to_owned())
    });
    redirect("url:join+origin,emit-path", &redirects, |row| {
        let url = same_origin(row)?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{}{query}", url.path()))
    });
    redirect("starts_with('/')&&!'//'", &redirects, |row| {
        let input = text_of(row, "input");
        (input.starts_with('/') && !input.starts_with("//")).then(|| input.to_owned())
    });
    let addresses = of("ssrf_ip");
    address("compliance-core", &addresses, |ip| outside(ip).is_ok());
    address("ssrf-guard", &addresses, ssrf_guard::is_public);
    address("std,stable-methods", &addresses, is_global_by_std);
    address("std,stable-methods,to_canonical", &addresses, |ip| is_global_by_std(ip.to_canonical()));
    Ok(())
}

fn text_of<'a>(row: &'a Value, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn context<'a>(row: &'a Value, field: &str) -> &'a str {
    row.get("context").and_then(|context| context.get(field)).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(row: &'a Value, field: &str) -> Vec<&'a str> {
    let found = row.get("context").and_then(|context| context.get(field)).and_then(Value::as_array);
    found.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn line(kind: &str, check: &str, verdicts: &[(&str, bool)], off_site: &str) {
    let count = |verdict: &str, accepted: bool| {
        verdicts.iter().filter(|(expected, found)| *expected == verdict && *found == accepted).count()
    };
    let (deny, allow) = (count("deny", true), count("allow", false));
    let (denies, allows) = (deny + count("deny", false), allow + count("allow", true));
    println!("verdicts {kind} {check} {deny}/{denies} {allow}/{allows} {off_site}");
}

fn redirect(check: &str, rows: &[&Value], decide: impl Fn(&Value) -> Option<String>) {
    let emitted: Vec<_> = rows.iter().map(|row| decide(row)).collect();
    let verdicts: Vec<_> = rows
        .iter()
        .zip(&emitted)
        .map(|(row, emitted)| (text_of(row, "verdict"), emitted.is_some()))
        .collect();
    let leaves = |(row, emitted): &(&&Value, &Option<String>)| {
        emitted.as_ref().is_some_and(|emitted| !stays(row, emitted))
    };
    let off_site = rows.iter().zip(&emitted).filter(leaves).count();
    line("redirect", check, &verdicts, &off_site.to_string());
}

/// Whether a browser that reads `emitted` on the row's page is on an allowed origin afterwards.
fn stays(row: &Value, emitted: &str) -> bool {
    let Ok(base) = Url::parse(context(row, "base")) else { return false };
    // What does not parse goes nowhere.
    let Ok(landed) = base.join(emitted) else { return true };
    let origin = landed.origin().ascii_serialization();
    landed.origin() == base.origin()
        || list(row, "allow_origins").iter().any(|pattern| {
            let below = pattern.strip_prefix("https://*");
            *pattern == origin || below.is_some_and(|domain| origin.ends_with(domain))
        })
}

fn ours(row: &Value) -> Option<String> {
    let scheme = |text| if text == "http" { Scheme::Http } else { Scheme::Https };
    let schemes = list(row, "schemes").into_iter().map(scheme);
    let mut policy = RedirectPolicy::builder(context(row, "base")).schemes(schemes);
    for origin in list(row, "allow_origins") {
        // Some rows allow an origin that IDNA refuses today.
        if let Ok(pattern) = origin.parse() {
            policy = policy.allow(pattern);
        }
    }
    policy.build().ok()?.check(text_of(row, "input")).ok().map(SafeRedirect::into_location)
}

/// What a careful author writes with `url`: resolve, look at scheme and origin. A wildcard is a suffix.
fn same_origin(row: &Value) -> Option<Url> {
    let base = Url::parse(context(row, "base")).ok()?;
    let url = base.join(text_of(row, "input")).ok()?;
    let origin = url.origin().ascii_serialization();
    let listed = list(row, "allow_origins").iter().any(|pattern| {
        let below = pattern.strip_prefix("https://*");
        *pattern == origin || below.is_some_and(|domain| origin.ends_with(domain))
    });
    (url.origin() == base.origin() || listed).then_some(url)
}

fn address(check: &str, rows: &[&Value], decide: impl Fn(IpAddr) -> bool) {
    let accepts = |row: &Value| text_of(row, "input").parse().is_ok_and(&decide);
    let verdicts: Vec<_> = rows.iter().map(|row| (text_of(row, "verdict"), accepts(row))).collect();
    line("address", check, &verdicts, "-");
}

/// What the standard library offers without nightly features.
fn is_global_by_std(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || ip.is_unspecified())
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_multicast()
                || ip.is_unspecified()
                || ip.is_unique_local()
                || ip.is_unicast_link_local())
        }
    }
}
