//! Mail addresses, and passwords in URLs: both hang on an `@`.

use super::super::decode::after_escape;
use super::super::detector::{Detector, is_placeholder, placeholder_len};
use super::super::text::{ALNUM, Bytes, HIGH, LETTER, LOCAL, SPACE, Text, WORD, is};
use super::super::words::WordSet;
use super::Scan;

/// How far before the `@` is looked. RFC 5321 section 4.5.3.1.1 allows 64 octets; longer ones exist in logs.
const LOCAL_LIMIT: usize = 256;
/// RFC 5321 section 4.5.3.1.2.
const DOMAIN_LIMIT: usize = 255;
/// How far around the `@` the result may hang on a value.
const AROUND: usize = LOCAL_LIMIT + 64;

/// Whatever the `@` at `at` belongs to.
pub(crate) fn at_sign(scan: &mut Scan<'_, '_>, at: usize) {
    let earlier = scan.found();
    if !userinfo(scan, at) && !data_source(scan, at) {
        address(scan, at);
    }
    if scan.found() == earlier {
        scan.hangs_on(at, at.saturating_sub(AROUND), at.saturating_add(AROUND));
    }
}

/// `scheme://user:password@host`; true when the `@` belongs to a URL.
fn userinfo(scan: &mut Scan<'_, '_>, at: usize) -> bool {
    let text = scan.text;
    let before = text.slice(at.saturating_sub(LOCAL_LIMIT), at).iter().rev();
    let start = at.wrapping_sub(before.take_while(|byte| !ENDS.has(**byte)).count());
    let scheme_end = start.wrapping_sub(3);
    if start < 4 || !text.has(scheme_end, b"://") || !text.is_before(scheme_end, WORD) {
        return false;
    }
    // The last `@` before the path ends the user information.
    let mut end = at;
    let mut next = at.wrapping_add(1);
    while next.wrapping_sub(at) < LOCAL_LIMIT
        && !matches!(text.at(next), b'/' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\' | b'\'')
        && !text.is(next, SPACE)
    {
        if text.at(next) == b'@' {
            end = next;
        }
        next = next.wrapping_add(1);
    }
    let colon = text.slice(start, end).iter().position(|byte| *byte == b':');
    scan.hangs_on(at, scheme_end, start.wrapping_add(colon.unwrap_or(0)));
    scan.hangs_on(at, end, next);
    if let Some(colon) = colon {
        let password = start.wrapping_add(colon).wrapping_add(1);
        if !is_placeholder(text.slice(password, end)) {
            scan.hit(password, end, Detector::UrlPassword);
        }
    } else {
        let user = text.slice(start, end);
        let digits = user.iter().filter(|byte| byte.is_ascii_digit()).count();
        if user.len() >= 16 && digits >= 2 && placeholder_len(user).is_none() {
            scan.hit(start, end, Detector::UrlPassword);
        }
    }
    true
}

/// What no user information has: it starts a scheme's authority, or ends a word.
static ENDS: Bytes = Bytes::of(b"/\"<>\\`\x7f").and(0, b' ');

/// `user:password@tcp(host:3306)`, as drivers of Go write it; true when the `@` belongs to one.
fn data_source(scan: &mut Scan<'_, '_>, at: usize) -> bool {
    let text = scan.text;
    let behind = at.wrapping_add(1);
    if ![b"tcp(".as_slice(), b"tcp4(", b"tcp6(", b"unix("].iter().any(|net| text.has(behind, net)) {
        return false;
    }
    let floor = at.saturating_sub(LOCAL_LIMIT);
    let mut start = at;
    while start > floor
        && !text.is_before(start, SPACE)
        && !matches!(text.before(start), b'"' | b'\'' | b'`' | b'=')
    {
        start = start.wrapping_sub(1);
    }
    let colon = text.slice(start, at).iter().position(|byte| *byte == b':');
    if let Some(colon) = colon {
        let password = start.wrapping_add(colon).wrapping_add(1);
        if !is_placeholder(text.slice(password, at)) {
            scan.hit(password, at, Detector::UrlPassword);
        }
    }
    true
}

/// A mail address around the `@` at `at`.
fn address(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    let Some(end) = domain_end(text, at.wrapping_add(1)) else { return };
    let start = local_start(text, at);
    // `git@github.com:acme/app.git`: an account of every repository's, and a path (git-clone(1)).
    if text.slice(start, at) == b"git" && text.at(end) == b':' && text.is(end.wrapping_add(1), LETTER) {
        return;
    }
    if start < at {
        scan.hit(start, end, Detector::Email);
    }
}

/// Where the part before the `@` starts; `at` when there is none.
fn local_start(text: Text<'_>, at: usize) -> usize {
    // "John Doe"@example.com, RFC 5321 section 4.1.2.
    if text.before(at) == b'"' {
        let inner = at.wrapping_sub(1);
        let back = text.slice(inner.saturating_sub(64), inner).iter().rev().position(|byte| *byte == b'"');
        return back.map_or(at, |back| inner.wrapping_sub(back).wrapping_sub(1));
    }
    let floor = at.saturating_sub(LOCAL_LIMIT);
    let mut start = at;
    let mut ascii = false;
    while start > floor && text.is_before(start, LOCAL) {
        if !text.is_before(start, HIGH) {
            ascii |= text.is_before(start, ALNUM);
            start = start.wrapping_sub(1);
            continue;
        }
        let Some(character) = text.char_before(start) else { break };
        if !belongs(character) || (ascii && unspaced(character)) {
            break;
        }
        start = start.wrapping_sub(character.len_utf8());
    }
    // `bounce+anna=example.org@lists.example`: the sender is in there twice.
    if text.before(start) == b'=' {
        let further = text.run_start(start.wrapping_sub(1), LOCAL, 64);
        if text.slice(further, start).contains(&b'+') {
            start = further;
        }
    }
    while start < at && matches!(text.at(start), b'.' | b'-' | b'\'' | b'*' | b'#' | b'%' | b'~') {
        start = start.wrapping_add(1);
    }
    // The letter of an escape is none of the address: `\nanna@…` in a string of JSON.
    after_escape(text, start).min(at)
}

/// Where the domain at `start` ends.
fn domain_end(text: Text<'_>, start: usize) -> Option<usize> {
    if text.at(start) == b'[' {
        let close = text
            .slice(start, text.len().min(start.saturating_add(48)))
            .iter()
            .position(|byte| *byte == b']')?;
        let literal = text.str(start.wrapping_add(1), start.wrapping_add(close));
        let literal = literal.strip_prefix("IPv6:").unwrap_or(literal);
        return literal
            .parse::<std::net::IpAddr>()
            .is_ok()
            .then(|| start.wrapping_add(close).wrapping_add(1));
    }
    let mut at = start;
    let mut labels = 0_usize;
    let mut good = None;
    while at.wrapping_sub(start) < DOMAIN_LIMIT {
        let label = at;
        let mut ascii = false;
        loop {
            let byte = text.at(at);
            if is(byte, ALNUM) || byte == b'-' {
                ascii = true;
                at = at.wrapping_add(1);
            } else if is(byte, HIGH) {
                let Some(character) = text.char_at(at) else { break };
                if !belongs(character) || (ascii && unspaced(character)) {
                    break;
                }
                at = at.wrapping_add(character.len_utf8());
            } else {
                break;
            }
            if at.wrapping_sub(label) > 252 {
                return good;
            }
        }
        let found = text.slice(label, at);
        if found.is_empty() || found.first() == Some(&b'-') {
            break;
        }
        labels = labels.wrapping_add(1);
        if labels > 1 && top_level(found) {
            let dashes = found.iter().rev().take_while(|byte| **byte == b'-').count();
            good = Some(at.wrapping_sub(dashes));
        }
        if text.at(at) == b'.' && text.is(at.wrapping_add(1), WORD) {
            at = at.wrapping_add(1);
        } else if text.has(at, "。".as_bytes()) {
            at = at.wrapping_add(3);
        } else {
            break;
        }
    }
    good
}

/// Whether a label can be the last of a domain: letters, or `xn--`, and no file name's ending.
fn top_level(label: &[u8]) -> bool {
    static FILES: WordSet = WordSet::new(&[
        "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "js", "mjs", "css", "json", "html", "woff",
        "woff2", "ttf", "tsx", "jsx",
    ]);
    let letters = label.iter().filter(|byte| is(**byte, LETTER)).count();
    let punycode = label.get(..4).is_some_and(|head| head.eq_ignore_ascii_case(b"xn--"));
    label.len() >= 2
        && (letters == label.len() || punycode || label.last() == Some(&b'-'))
        && letters >= 2
        && !FILES.has(label)
}

/// Whether a character outside ASCII may stand in an address (RFC 6531, RFC 5892).
fn belongs(character: char) -> bool {
    character.is_alphanumeric()
        || matches!(character, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' | '\u{b7}')
}

/// Whether a character is of a script that writes words without spaces between.
pub(crate) fn unspaced(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{1780}'..='\u{17ff}' | '\u{1000}'..='\u{109f}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}
