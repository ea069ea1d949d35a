//! Secrets that say what they are: keys and tokens with a documented prefix, JWTs, private keys in PEM.

use super::super::detector::Detector;
use super::super::text::{ALNUM, BASE64, DIGIT, HEX, LOWER, UPPER, contains, is};
use super::{BEHIND, Open, Scan};

/// What follows a prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// So many characters of these classes; the extra bytes count as well.
    Run {
        classes: u8,
        extra: &'static [u8],
        min: usize,
    },
    Jwt,
    Pem,
}

/// A prefix and what it announces.
#[derive(Debug)]
pub(crate) struct Prefix {
    pub(crate) text: &'static str,
    detector: Detector,
    shape: Shape,
}

/// Past this length a token is taken to be one without a further look.
const LIMIT: usize = 8192;

const fn run(
    text: &'static str,
    detector: Detector,
    classes: u8,
    extra: &'static [u8],
    min: usize,
) -> Prefix {
    Prefix { text, detector, shape: Shape::Run { classes, extra, min } }
}

/// The prefixes, from the vendors' documentation.
pub(crate) const PREFIXES: &[Prefix] = &[
    Prefix { text: "eyJ", detector: Detector::Jwt, shape: Shape::Jwt },
    Prefix { text: "ewog", detector: Detector::Jwt, shape: Shape::Jwt },
    Prefix { text: "ew0K", detector: Detector::Jwt, shape: Shape::Jwt },
    Prefix { text: "BEGIN ", detector: Detector::PemKey, shape: Shape::Pem },
    run("AKIA", Detector::AwsKey, UPPER | DIGIT, b"", 16),
    run("ASIA", Detector::AwsKey, UPPER | DIGIT, b"", 16),
    run("ABIA", Detector::AwsKey, UPPER | DIGIT, b"", 16),
    run("ACCA", Detector::AwsKey, UPPER | DIGIT, b"", 16),
    run("AROA", Detector::AwsKey, UPPER | DIGIT, b"", 16),
    run("AIDA", Detector::AwsKey, UPPER | DIGIT, b"", 16),
    run("ABSK", Detector::AwsKey, BASE64, b"=", 60),
    run("ghp_", Detector::GithubToken, ALNUM, b"_", 30),
    run("gho_", Detector::GithubToken, ALNUM, b"_", 30),
    run("ghu_", Detector::GithubToken, ALNUM, b"_", 30),
    run("ghs_", Detector::GithubToken, ALNUM, b"_", 30),
    run("ghr_", Detector::GithubToken, ALNUM, b"_", 30),
    run("github_pat_", Detector::GithubToken, ALNUM, b"_", 40),
    run("glpat-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("gldt-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("glrt-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("glcbt-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("glptt-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("glft-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("glsoat-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("glimt-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("gloas-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("glffct-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("GR1348941", Detector::GitlabToken, ALNUM, b"-_", 18),
    run("glagent-", Detector::GitlabToken, ALNUM, b"-_.", 18),
    run("AIza", Detector::GoogleKey, ALNUM, b"-_", 35),
    run("ya29.", Detector::GoogleKey, ALNUM, b"-_.", 20),
    run("GOCSPX-", Detector::GoogleKey, ALNUM, b"-_", 20),
    run("xoxb-", Detector::SlackToken, ALNUM, b"-", 20),
    run("xoxp-", Detector::SlackToken, ALNUM, b"-", 20),
    run("xoxa-", Detector::SlackToken, ALNUM, b"-", 20),
    run("xoxr-", Detector::SlackToken, ALNUM, b"-", 20),
    run("xoxs-", Detector::SlackToken, ALNUM, b"-", 20),
    run("xoxe-", Detector::SlackToken, ALNUM, b"-", 20),
    run("xoxc-", Detector::SlackToken, ALNUM, b"-", 20),
    run("xoxd-", Detector::SlackToken, ALNUM, b"-%", 20),
    run("xoxe.xox", Detector::SlackToken, ALNUM, b"-", 20),
    run("xapp-", Detector::SlackToken, ALNUM, b"-", 20),
    run("hooks.slack.com/services/", Detector::SlackToken, ALNUM, b"/", 20),
    run("hooks.slack.com/workflows/", Detector::SlackToken, ALNUM, b"/", 20),
    run("sk_live_", Detector::StripeKey, ALNUM, b"", 10),
    run("sk_test_", Detector::StripeKey, ALNUM, b"", 10),
    run("rk_live_", Detector::StripeKey, ALNUM, b"", 10),
    run("rk_test_", Detector::StripeKey, ALNUM, b"", 10),
    run("whsec_", Detector::StripeKey, ALNUM, b"+/=", 20),
    run("npm_", Detector::ApiKey, ALNUM, b"", 30),
    run("pypi-", Detector::ApiKey, ALNUM, b"-_", 50),
    run("sk-proj-", Detector::ApiKey, ALNUM, b"-_", 20),
    run("sk-svcacct-", Detector::ApiKey, ALNUM, b"-_", 20),
    run("sk-admin-", Detector::ApiKey, ALNUM, b"-_", 20),
    run("sk-ant-", Detector::ApiKey, ALNUM, b"-_", 20),
    run("sk-or-", Detector::ApiKey, ALNUM, b"-_", 20),
    run("sk-", Detector::ApiKey, ALNUM, b"", 32),
    run("xai-", Detector::ApiKey, ALNUM, b"", 40),
    run("gsk_", Detector::ApiKey, ALNUM, b"", 40),
    run("hf_", Detector::ApiKey, ALNUM, b"", 30),
    run("r8_", Detector::ApiKey, ALNUM, b"", 30),
    run("nvapi-", Detector::ApiKey, ALNUM, b"-_", 40),
    run("SG.", Detector::ApiKey, ALNUM, b"-_.", 60),
    run("key-", Detector::ApiKey, HEX, b"", 32),
    run("dop_v1_", Detector::ApiKey, HEX, b"", 40),
    run("doo_v1_", Detector::ApiKey, HEX, b"", 40),
    run("dor_v1_", Detector::ApiKey, HEX, b"", 40),
    run("shpat_", Detector::ApiKey, HEX, b"", 30),
    run("shpca_", Detector::ApiKey, HEX, b"", 30),
    run("shppa_", Detector::ApiKey, HEX, b"", 30),
    run("shpss_", Detector::ApiKey, HEX, b"", 30),
    run("sq0atp-", Detector::ApiKey, ALNUM, b"-_", 20),
    run("sq0csp-", Detector::ApiKey, ALNUM, b"-_", 20),
    run("hvs.", Detector::ApiKey, ALNUM, b"-_", 20),
    run("hvb.", Detector::ApiKey, ALNUM, b"-_", 20),
    run("dckr_pat_", Detector::ApiKey, ALNUM, b"-_", 20),
    run("rubygems_", Detector::ApiKey, HEX, b"", 40),
    run("ATATT3", Detector::ApiKey, ALNUM, b"-_=", 40),
    run("PMAK-", Detector::ApiKey, ALNUM, b"-", 40),
    run("lin_api_", Detector::ApiKey, ALNUM, b"", 30),
    run("figd_", Detector::ApiKey, ALNUM, b"-_", 30),
    run("sntrys_", Detector::ApiKey, ALNUM, b"-_+/=", 40),
    run("dapi", Detector::ApiKey, HEX, b"-", 32),
    run("glsa_", Detector::ApiKey, ALNUM, b"_", 30),
    run("glc_", Detector::ApiKey, ALNUM, b"_=", 40),
    run("tskey-", Detector::ApiKey, ALNUM, b"-", 20),
    run("pscale_", Detector::ApiKey, ALNUM, b"-_.", 30),
    run("sbp_", Detector::ApiKey, HEX, b"", 40),
    run("NRAK-", Detector::ApiKey, ALNUM, b"", 20),
    run("NRJS-", Detector::ApiKey, ALNUM, b"", 16),
    run("dt0c01.", Detector::ApiKey, ALNUM, b".", 60),
    run("LTAI", Detector::ApiKey, ALNUM, b"", 16),
    run("AKID", Detector::ApiKey, ALNUM, b"", 28),
    run("EAACEdEose0cBA", Detector::ApiKey, ALNUM, b"", 20),
    run("secret_", Detector::ApiKey, ALNUM, b"", 40),
    run("ntn_", Detector::ApiKey, ALNUM, b"", 40),
    run("AGE-SECRET-KEY-1", Detector::ApiKey, UPPER | DIGIT, b"", 50),
    run("atlasv1.", Detector::ApiKey, ALNUM, b"-_=.", 40),
    run("fo1_", Detector::ApiKey, ALNUM, b"-_", 30),
    run("fm2_", Detector::ApiKey, BASE64, b"=", 60),
    run("xkeysib-", Detector::ApiKey, ALNUM, b"-", 60),
    run("discord.com/api/webhooks/", Detector::ApiKey, ALNUM, b"-_/", 60),
    run("oy2", Detector::ApiKey, LOWER | DIGIT, b"", 43),
    run("cio", Detector::ApiKey, ALNUM, b"", 32),
    run("ops_eyJ", Detector::ApiKey, ALNUM, b"-_=", 60),
    run("CFPAT-", Detector::ApiKey, ALNUM, b"-_", 40),
    run("pul-", Detector::ApiKey, HEX, b"", 40),
    run("sgp_", Detector::ApiKey, HEX, b"_", 40),
    run("pplx-", Detector::ApiKey, ALNUM, b"", 40),
    run("AQVN", Detector::ApiKey, ALNUM, b"-_", 34),
    run("ddp_", Detector::ApiKey, ALNUM, b"", 32),
    run("EAA", Detector::ApiKey, ALNUM, b"", 60),
];

/// A value behind a prefix that ends at `end`.
pub(crate) fn prefixed(scan: &mut Scan<'_, '_>, prefix: &Prefix, start: usize, end: usize) {
    if scan.is_open(Open::Prefixed, start) {
        return;
    }
    match prefix.shape {
        Shape::Run { classes, extra, min } => {
            let text = scan.text;
            let mut at = end;
            while at.wrapping_sub(end) < LIMIT && (text.is(at, classes) || extra.contains(&text.at(at))) {
                at = at.wrapping_add(1);
            }
            let read = at;
            while at.wrapping_sub(end) > min && matches!(text.before(at), b'.' | b'-' | b'_' | b'/') {
                at = at.wrapping_sub(1);
            }
            if prefix.detector == Detector::GithubToken
                && end.wrapping_sub(start) == 4
                && checks(text.slice(end, end.wrapping_add(GITHUB)))
            {
                at = end.wrapping_add(GITHUB);
                return scan.open_hit(Open::Prefixed, start, at, prefix.detector);
            }
            let whole = !text.is(at, ALNUM) || at.wrapping_sub(end) >= LIMIT;
            if at.wrapping_sub(end) >= min && whole {
                scan.open_hit(Open::Prefixed, start, at, prefix.detector);
            } else {
                scan.hangs_on(start, start, read);
            }
        }
        Shape::Jwt => jwt(scan, start),
        Shape::Pem => pem(scan, start),
    }
}

/// How long what follows the prefix of a GitHub token is: thirty random characters and six of checksum.
const GITHUB: usize = 36;

/// Whether the last six characters are the CRC-32 of the others in base 62, as in GitHub's tokens. Then the token ends here,
/// whatever it runs into; a token mistyped or cut short is a token all the same, and found by its shape.
fn checks(token: &[u8]) -> bool {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let Some((body, check)) = token.split_last_chunk::<6>() else { return false };
    if token.len() != GITHUB {
        return false;
    }
    let sum = !body.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carry = if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            (sum >> 1) ^ carry
        })
    });
    let value = check.iter().try_fold(0_u64, |value, byte| {
        let digit = DIGITS.iter().position(|digit| digit == byte)?;
        Some(value.wrapping_mul(62).wrapping_add(u64::try_from(digit).ok()?))
    });
    value == Some(u64::from(sum))
}

/// A JWT in compact form: header and payload at least, both base64url of JSON objects for a signed one.
fn jwt(scan: &mut Scan<'_, '_>, start: usize) {
    let text = scan.text;
    if scan.is_dull(start) {
        return;
    }
    let mut ends = [0_usize; 5];
    let mut at = start;
    let mut parts = 0_usize;
    for end in &mut ends {
        let run = text.run_end(at, BASE64, usize::MAX);
        *end = run;
        parts = parts.wrapping_add(1);
        if text.at(run) != b'.' || !(text.is(run.wrapping_add(1), BASE64) || parts == 2) {
            break;
        }
        at = run.wrapping_add(1);
    }
    let [header, payload, ..] = ends;
    let signed = text.has(header.wrapping_add(1), b"eyJ");
    let last = ends.iter().copied().max().unwrap_or(start);
    if parts >= 3 && header.wrapping_sub(start) >= 10 || parts == 2 && signed && payload > header {
        scan.token_hit(Open::Prefixed, start, last, Detector::Jwt);
    } else {
        scan.dull(last);
        scan.hangs_on(start, start, last.saturating_add(BEHIND));
    }
}

/// From `-----BEGIN … PRIVATE KEY-----` to its end, or to the end of the text where none comes.
fn pem(scan: &mut Scan<'_, '_>, begin: usize) {
    let text = scan.text;
    let start = begin.wrapping_sub(5);
    let label_start = begin.wrapping_add(6);
    let mut label_end = label_start;
    while label_end.wrapping_sub(label_start) < 48
        && (text.is(label_end, UPPER | DIGIT) || text.at(label_end) == b' ')
    {
        label_end = label_end.wrapping_add(1);
    }
    let label = text.str(label_start, label_end);
    if begin < 5
        || !text.has(start, b"-----")
        || !text.has(label_end, b"-----")
        || !label.contains("PRIVATE KEY")
    {
        return;
    }
    let rest = text.str(label_end, text.len());
    let marker = rest.find("-----END ");
    let end = marker
        .and_then(|found| {
            let tail = found.wrapping_add(9);
            let close = rest.get(tail..)?.find("-----")?;
            (close < 64).then(|| label_end.wrapping_add(tail).wrapping_add(close).wrapping_add(5))
        })
        .unwrap_or(text.len());
    let body = label_end.wrapping_add(5)..marker.map_or(end, |found| label_end.wrapping_add(found));
    if is_pem_body(text.slice(body.start, body.end)) {
        scan.opaque_hit(Open::Prefixed, start, end, Detector::PemKey);
    } else {
        scan.open_hit(Open::Prefixed, start, end, Detector::PemKey);
    }
}

/// Whether there is nothing but lines of base64, as they are or escaped (RFC 7468 section 3): no name with a value, which could
/// go on behind.
fn is_pem_body(body: &[u8]) -> bool {
    let other = |byte: u8| {
        !(byte.is_ascii_alphabetic()
            | (b'/'..=b'9').contains(&byte)
            | (byte == b'+')
            | (byte == b'=')
            | (byte == b'\\')
            | (byte == b'\n')
            | (byte == b'\r'))
    };
    let padding = || {
        let behind = body.iter().skip_while(|byte| **byte != b'=');
        !behind.clone().any(|byte| is(*byte, ALNUM) && !matches!(byte, b'n' | b'r')) && behind.count() < 16
    };
    !contains(body, other) && padding()
}

/// Whether a run of base64 may hide text: it has letters of both cases, and its first bytes are those of a text.
pub(crate) fn may_hide_text(run: &[u8]) -> bool {
    let has = |classes: u8| run.iter().any(|byte| is(*byte, classes));
    starts_text(run) && has(UPPER) && has(LOWER)
}

/// What each character of base64 and base64url stands for (RFC 4648 tables 1 and 2).
#[expect(
    clippy::indexing_slicing,
    reason = "const code has neither `get` nor iterators, and fails when it is compiled"
)]
static SEXTETS: [u8; 256] = {
    let mut sextets = [63; 256];
    let mut left: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+";
    let mut sextet = 0;
    while let [character, rest @ ..] = left {
        sextets[*character as usize] = sextet;
        sextet = u8::wrapping_add(sextet, 1);
        left = rest;
    }
    sextets[b'-' as usize] = 62;
    sextets
};

/// Whether the first six bytes that a run of base64 stands for may start a text without control characters.
fn starts_text(run: &[u8]) -> bool {
    let sextet = |byte: &u8| SEXTETS.get(usize::from(*byte)).copied().unwrap_or(0);
    let Some(head) = run.first_chunk::<8>() else { return true };
    let bits = head.iter().fold(0_u64, |bits, byte| (bits << 6) | u64::from(sextet(byte)));
    let [_, _, bytes @ ..] = bits.to_be_bytes();
    bytes.iter().all(|byte| *byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r'))
        && std::str::from_utf8(&bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}
