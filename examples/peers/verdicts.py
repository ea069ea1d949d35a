#!/usr/bin/env python3
"""The URL corpus through Django and the checks people write in Python: one line per check, as `src/verdicts.rs` prints
them for Rust.

    python3 -m venv /some/where && /some/where/bin/pip install Django==5.2.19
    COMPLIANCE_CORPUS=<folder> /some/where/bin/python examples/peers/verdicts.py

verdicts <kind> <check> <accepted>/<deny rows> <refused>/<allow rows> <off-site>. A check that accepts sends the input as
it came; `off-site` counts the accepted rows that a browser takes to an origin that is not allowed, which the corpus
says for each row.
"""
import ipaddress
import json
import os
from urllib.parse import urljoin, urlparse

import django
from django.utils.http import url_has_allowed_host_and_scheme


def hosts(row):
    """Hosts with ports, as these checks compare them. None of them knows wildcards."""
    origins = [row["context"]["base"], *row["context"].get("allow_origins", [])]
    return {urlparse(origin).netloc for origin in origins}


def is_https_only(row):
    return row["context"].get("schemes", ["https"]) == ["https"]


def by_django(row):
    return url_has_allowed_host_and_scheme(row["input"], hosts(row), require_https=is_https_only(row))


def by_first_slash(row):
    return row["input"].startswith("/") and not row["input"].startswith("//")


def by_netloc(row):
    try:
        netloc = urlparse(row["input"]).netloc
    except ValueError:
        return False
    return not netloc or netloc in hosts(row)


def by_netloc_and_scheme(row):
    try:
        url = urlparse(row["input"])
    except ValueError:
        return False
    return url.scheme in ("", *row["context"].get("schemes", ["https"])) and (not url.netloc or url.netloc in hosts(row))


def by_urljoin(row):
    """The snippet that goes round for Flask."""
    try:
        url = urlparse(urljoin(row["context"]["base"], row["input"]))
    except ValueError:
        return False
    return url.scheme in ("http", "https") and url.netloc in hosts(row)


def by_substring(row):
    return any(host in row["input"] for host in hosts(row)) or by_first_slash(row)


def is_allowed(row, origin):
    base = urlparse(row["context"]["base"])
    allowed = [f"{base.scheme}://{base.netloc}", *row["context"].get("allow_origins", [])]
    below = [pattern.removeprefix("https://*") for pattern in allowed if pattern.startswith("https://*.")]
    return origin in allowed or any(str(origin).startswith("https://") and str(origin).endswith(end) for end in below)


def line(kind, check, rows, accepts, off_site):
    accepted = [bool(accepts(row)) for row in rows]
    deny = [a for row, a in zip(rows, accepted) if row["verdict"] == "deny"]
    allow = [a for row, a in zip(rows, accepted) if row["verdict"] == "allow"]
    left = sum(a and off_site(row) for row, a in zip(rows, accepted)) if off_site else "-"
    print(f"verdicts {kind} {check} {sum(deny)}/{len(deny)} {len(allow) - sum(allow)}/{len(allow)} {left}")


def main():
    with open(os.path.join(os.environ["COMPLIANCE_CORPUS"], "url", "corpus.json"), encoding="utf8") as file:
        rows = json.load(file)["rows"]
    redirects = [row for row in rows if row["kind"] == "redirect"]
    leaves = lambda row: row.get("browser_origin") is not None and not is_allowed(row, row["browser_origin"])
    line("redirect", f"django-{django.get_version()}", redirects, by_django, leaves)
    line("redirect", "startswith('/')&&!'//'", redirects, by_first_slash, leaves)
    line("redirect", "urlparse.netloc", redirects, by_netloc, leaves)
    line("redirect", "urlparse.netloc+scheme", redirects, by_netloc_and_scheme, leaves)
    line("redirect", "urljoin+netloc", redirects, by_urljoin, leaves)
    line("redirect", "substring", redirects, by_substring, leaves)
    addresses = [row for row in rows if row["kind"] == "ssrf_ip"]
    line("address", "ipaddress.is_global", addresses, lambda row: ipaddress.ip_address(row["input"]).is_global, None)
    private = lambda ip: ip.is_private or ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_reserved or ip.is_unspecified
    line("address", "ipaddress,!is_private&&…", addresses, lambda row: not private(ipaddress.ip_address(row["input"])), None)


if __name__ == "__main__":
    main()
