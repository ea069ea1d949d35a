//! Secrets that only the word before them gives away: passwords, tokens, cookies, authorization headers.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::super::detector::{Detector, placeholder_len};
use super::super::text::{BASE64, DIGIT, HEX, LETTER, LOWER, SPACE, Text, UPPER, is};
use super::super::words::WordSet;
use super::{Open, Scan};

/// What a key announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Authorization,
    Cookie,
    /// Any key: of a cache or of a door.
    Any,
    Password,
    Pin,
    Secret,
    Session,
    Token,
}

/// Past this length an unquoted value is a secret without a further look.
pub(crate) const LIMIT: usize = 512;

/// The value of the key at `start..end`, if an assignment follows.
pub(crate) fn keyed(scan: &mut Scan<'_, '_>, key: Key, start: usize, end: usize) {
    if scan.is_open(Open::Keyed, start) {
        return;
    }
    if key == Key::Cookie {
        cookies(scan, start, end);
        return;
    }
    let text = scan.text;
    let Some(name_end) = name_end(text, end) else { return };
    let Some(value) = assigned(text, start, name_end) else {
        if key == Key::Password {
            stated(scan, name_end);
        }
        return;
    };
    if key == Key::Any
        && is_plain(text, value, text.dashed_hex_end(value, LIMIT))
        && !guards(previous_segment(text, start))
    {
        return;
    }
    let Some((from, mut to, closed)) = extent(text, value, key) else { return };
    if key == Key::Password && text.before(start) == b';' {
        to = to.max(member_end(text, to));
    }
    let found = text.slice(from, to);
    if key == Key::Any && closed && found.len() < 8 {
        return;
    }
    if found.is_empty() || is_blank(found) || placeholder_len(found) == Some(found.len()) {
        return;
    }
    let segment = previous_segment(text, start);
    if key == Key::Any && closed && found.len() <= LIMIT && is_identifier(found) && !guards(segment) {
        return;
    }
    let detector = detector(key, segment, text.slice(start, name_end));
    let sure = !closed || found.len() > LIMIT;
    if sure || is_secret(key, segment, found, text.at(value) == b'"' || text.before(from) == b'"') {
        scan.open_hit(Open::Keyed, from, to, detector);
        if text.before(value) == b'[' && from > value && key != Key::Any {
            items(scan, (value, from), to, detector);
        }
    }
}

/// The most items of a list behind a key that are secrets like the first.
const ITEMS: usize = 64;

/// The other items of `["…", "…"]`, whose first stands behind the quote at `quote` up to `to`.
fn items(scan: &mut Scan<'_, '_>, quote: (usize, usize), to: usize, detector: Detector) {
    let text = scan.text;
    let mark = text.slice(quote.0, quote.1);
    let depth = mark.len().wrapping_sub(1);
    let mut at = to;
    for _ in 0..ITEMS {
        if !text.has(at, mark) {
            return;
        }
        at = text.run_end(at.wrapping_add(mark.len()), SPACE, 16);
        if text.at(at) != b',' {
            return;
        }
        at = text.run_end(at.wrapping_add(1), SPACE, 16);
        if !text.has(at, mark) {
            return;
        }
        let from = at.wrapping_add(mark.len());
        let (to, closed) = close(text, from, mark.last().copied().unwrap_or(b'"'), depth);
        let found = text.slice(from, to);
        if !is_blank(found) && placeholder_len(found) != Some(found.len()) {
            scan.open_hit(Open::Keyed, from, to, detector);
        }
        if !closed {
            return;
        }
        at = to;
    }
}

/// The password in `password is hunter2`: letters and digits.
fn stated(scan: &mut Scan<'_, '_>, name_end: usize) {
    let text = scan.text;
    for word in [b" is ".as_slice(), b" was ", b" ist ", b" es ", b" est "] {
        if !text.has_any_case(name_end, word) {
            continue;
        }
        let from = name_end.wrapping_add(word.len());
        let mut to = from;
        while !text.is(to, SPACE) && to.wrapping_sub(from) < LIMIT {
            to = to.wrapping_add(1);
        }
        while matches!(text.before(to), b'.' | b',' | b';' | b'!' | b'?') && to > from {
            to = to.wrapping_sub(1);
        }
        let found = text.slice(from, to);
        let has = |classes: u8| found.iter().any(|byte| is(*byte, classes));
        if found.len() >= 6 && has(DIGIT) && has(LETTER) && placeholder_len(found).is_none() {
            scan.open_hit(Open::Keyed, from, to, Detector::Password);
        }
        return;
    }
}

/// How far a connection string's value may go on behind a space, in bytes.
const MEMBER: usize = 128;

/// Where the member ends that goes on at `to`: at the next semicolon, in `Server=a;Password=p@ss word;Encrypt=true`.
fn member_end(text: Text<'_>, to: usize) -> usize {
    let rest = text.slice(to, text.len().min(to.saturating_add(MEMBER)));
    let end = rest.iter().position(|byte| matches!(byte, b';' | b'=' | b'"' | b'\n'));
    match end.and_then(|end| rest.get(end)) {
        Some(b';') => to.wrapping_add(end.unwrap_or(0)),
        _ => to,
    }
}

/// Where the name that goes on at `end` ends; nothing when it is the name of something else.
fn name_end(text: Text<'_>, end: usize) -> Option<usize> {
    static SUFFIXES: WordSet = WordSet::new(&[
        "hash",
        "confirmation",
        "confirm",
        "digest",
        "salt",
        "value",
        "plain",
        "text",
        "new",
        "old",
        "again",
        "b64",
        "base64",
        "id",
        "plaintext",
        "cleartext",
        "string",
        "raw",
        "header",
        "key",
    ]);
    let mut at = end;
    for _ in 0..3 {
        at = text.run_end(at, DIGIT, 4);
        let joined = matches!(text.at(at), b'_' | b'-') && text.is(at.wrapping_add(1), UPPER | LOWER | DIGIT);
        if !joined && !text.is(at, UPPER | LOWER) {
            return Some(at);
        }
        let word = at.wrapping_add(usize::from(joined));
        let rest = text.run_end(word, LOWER | DIGIT, 16).max(text.run_end(word, UPPER | DIGIT, 16));
        let rest =
            if text.is(word, UPPER) { rest.max(text.run_end(word.wrapping_add(1), LOWER, 16)) } else { rest };
        let suffix = text.slice(word, rest);
        let numbered = !suffix.is_empty() && suffix.iter().all(u8::is_ascii_digit);
        if !numbered && !SUFFIXES.has(suffix) {
            return None;
        }
        at = rest;
    }
    Some(at)
}

/// Where the value starts that is assigned to the name ending at `end`.
fn assigned(text: Text<'_>, start: usize, end: usize) -> Option<usize> {
    let mut at = end;
    let mut spaces = 0_usize;
    while matches!(text.at(at), b'"' | b'\'' | b'\\' | b']' | b'`' | b')' | b' ') && at.wrapping_sub(end) < 12
    {
        spaces = spaces.wrapping_add(usize::from(text.at(at) == b' '));
        at = at.wrapping_add(1);
    }
    let quoted = at.wrapping_sub(end) > spaces;
    let byte = text.at(at);
    let next = text.at(at.wrapping_add(1));
    match byte {
        b':' if next == b':' => return None,
        b':' if next == b'=' => at = at.wrapping_add(2),
        b':' if next == b'/' && text.at(at.wrapping_add(2)) == b'/' => return None,
        b'=' if next == b'=' => return None,
        b'=' if next == b'>' => at = at.wrapping_add(2),
        b':' | b'=' => at = at.wrapping_add(1),
        // `<password>…</password>`
        b'>' if !quoted && spaces == 0 && text.before(start) == b'<' => at = at.wrapping_add(1),
        _ if spaces == 1 && !quoted && text.has(start.wrapping_sub(2), b"--") => {}
        _ => return None,
    }
    let mut spaces = 0_usize;
    while matches!(text.at(at), b' ' | b'\t') && spaces < 4 {
        at = at.wrapping_add(1);
        spaces = spaces.wrapping_add(1);
    }
    // `Some("…")`, `String("…")`, `Secret(…)`.
    let word = text.run_end(at, UPPER | LOWER, 16);
    if word > at && text.at(word) == b'(' {
        at = word.wrapping_add(1);
    }
    // `["…"]`
    if text.at(at) == b'[' && matches!(text.at(at.wrapping_add(1)), b'"' | b'\'' | b'\\') {
        at = at.wrapping_add(1);
    }
    Some(at)
}

/// The value at `at`, and whether its end is sure.
fn extent(text: Text<'_>, at: usize, key: Key) -> Option<(usize, usize, bool)> {
    let mut open = at;
    while text.at(open) == b'\\' && open.wrapping_sub(at) < 32 {
        open = open.wrapping_add(1);
    }
    let quote = text.at(open);
    if matches!(quote, b'"' | b'\'' | b'`') {
        let depth = open.wrapping_sub(at);
        let from = open.wrapping_add(1);
        let (to, closed) = close(text, from, quote, depth);
        return Some((from, to, closed));
    }
    // What follows a placeholder without a gap belongs to the value.
    let placeholder = placeholder_len(text.slice(at, text.len().min(at.saturating_add(24))));
    let glued = placeholder.is_some_and(|length| text.is(at.wrapping_add(length), LETTER | DIGIT));
    if matches!(quote, b'{' | b'}' | b'[' | b']' | b')' | b',' | b';') && open == at && !glued {
        return None;
    }
    // An authorization header's value is the rest of the line, scheme included.
    if key == Key::Authorization {
        return authorization(text, at);
    }
    let mut to = text.run_end(at, BASE64, usize::MAX);
    while !text.is(to, SPACE) {
        let byte = text.at(to);
        if is(byte, BASE64) {
            to = text.run_end(to, BASE64, usize::MAX);
            continue;
        }
        // A placeholder within a value is part of it, brackets and all.
        if byte == b'['
            && let Some(length) = placeholder_len(text.slice(to, text.len().min(to.saturating_add(24))))
        {
            to = to.wrapping_add(length);
            continue;
        }
        let next = text.at(to.wrapping_add(1));
        let ends = match byte {
            b'"' | b'<' | b'`' => true,
            b'\\' => matches!(next, b'"' | b'\\' | b'n' | b'r' | b't'),
            b',' | b';' => is(next, SPACE) || next == b'"' || pair_follows(text, to.wrapping_add(1)),
            b'&' | b'|' => pair_follows(text, to.wrapping_add(1)) || is(next, SPACE),
            b')' | b'}' | b']' | b'\'' | b'>' => !is(next, LETTER | DIGIT),
            _ => false,
        };
        if ends {
            break;
        }
        to = to.wrapping_add(1);
    }
    if matches!(text.before(to), b'.' | b':') && text.is(to, SPACE) {
        to = to.wrapping_sub(1);
    }
    Some((at, to, true))
}

/// Where the quote opened before `from` closes: the same quote with no more backslashes before it. A quote that
/// never closes runs to the end of the line: a line cut short has lost its quote, not its secret.
fn close(text: Text<'_>, from: usize, quote: u8, depth: usize) -> (usize, bool) {
    let rest = text.slice(from, text.len());
    let mut backslashes = 0_usize;
    for (offset, byte) in rest.iter().enumerate() {
        match *byte {
            b'\\' => backslashes = backslashes.wrapping_add(1),
            b'\n' => return (from.wrapping_add(offset), false),
            found if found == quote && backslashes <= depth => {
                return (from.wrapping_add(offset).wrapping_sub(backslashes), true);
            }
            _ => backslashes = 0,
        }
    }
    (text.len(), false)
}

/// Whether `name=` stands at `at`: the next pair of a query or list.
fn pair_follows(text: Text<'_>, at: usize) -> bool {
    let mut end = at;
    while end.wrapping_sub(at) < 40
        && (text.is(end, UPPER | LOWER | DIGIT) || matches!(text.at(end), b'_' | b'-' | b'.' | b'[' | b']'))
    {
        end = end.wrapping_add(1);
    }
    end > at && text.at(end) == b'='
}

/// The value of an authorization header without its scheme; schemes with detectors of their own are theirs.
fn authorization(text: Text<'_>, at: usize) -> Option<(usize, usize, bool)> {
    let line = text.slice(at, text.len().min(at.saturating_add(8192)));
    let length =
        line.iter().position(|byte| matches!(byte, b'\n' | b'\r' | b'"' | b'\\')).unwrap_or(line.len());
    let mut to = at.wrapping_add(length);
    let scheme = text.run_end(at, UPPER | LOWER | DIGIT, 24);
    if placeholder_len(text.slice(at, to)).is_some() {
        return None;
    }
    if text.at(scheme) == b' ' && scheme > at {
        let value = scheme.wrapping_add(1);
        let known = text.has_any_case(at, b"bearer ") || text.has_any_case(at, b"basic ");
        if placeholder_len(text.slice(value, to)).is_some() || value >= to {
            return None;
        }
        if known {
            to = value
                .wrapping_add(text.slice(value, to).iter().take_while(|byte| !is(**byte, SPACE)).count());
        }
        return (value < to).then_some((value, to, true));
    }
    to = at.wrapping_add(text.slice(at, to).iter().take_while(|byte| !is(**byte, SPACE)).count());
    (at < to).then_some((at, to, true))
}

/// The word before `start` in the same identifier: `api` in `api_key`, `API-Key`, `apiKey`.
fn previous_segment<'t>(text: Text<'t>, start: usize) -> &'t [u8] {
    let joined = matches!(text.before(start), b'_' | b'-' | b'.')
        || (text.before(start) == b' ' && text.is_before(start.wrapping_sub(1), LETTER));
    let end = start.wrapping_sub(usize::from(joined));
    let from = text.run_start(end, LETTER, 24);
    text.slice(from, end)
}

fn detector(key: Key, segment: &[u8], name: &[u8]) -> Detector {
    let is_segment = |word: &[u8]| segment.eq_ignore_ascii_case(word);
    match key {
        Key::Password | Key::Pin => Detector::Password,
        Key::Session => Detector::SessionId,
        Key::Authorization => Detector::Bearer,
        Key::Token if is_segment(b"session") => Detector::SessionId,
        _ if is_segment(b"account") || name.eq_ignore_ascii_case(b"accountkey") => Detector::AzureKey,
        _ => Detector::Secret,
    }
}

/// Words that make any key the key of a door.
fn guards(segment: &[u8]) -> bool {
    static WORDS: WordSet = WordSet::new(&[
        "api",
        "access",
        "secret",
        "private",
        "encryption",
        "signing",
        "master",
        "service",
        "account",
        "ssh",
        "license",
        "subscription",
        "shared",
        "storage",
        "consumer",
        "app",
        "webhook",
        "hmac",
        "aes",
        "rsa",
        "jwt",
        "auth",
        "client",
        "deploy",
        "admin",
        "functions",
        "integration",
        "publishable",
        "x",
    ]);
    WORDS.has(segment)
}

/// Whether a value is one the key would keep secret.
fn is_secret(key: Key, segment: &[u8], value: &[u8], quoted: bool) -> bool {
    let has = |classes: u8| value.iter().any(|byte| is(*byte, classes));
    let all = |classes: u8| value.iter().all(|byte| is(*byte, classes));
    let mixed = has(DIGIT) && has(LETTER) || has(UPPER) && has(LOWER) && value.len() >= 12;
    match key {
        Key::Password => quoted || !is_remark(value),
        Key::Pin => (3..=10).contains(&value.len()) && all(DIGIT),
        Key::Authorization => value.len() >= 6 && !is_remark(value),
        Key::Session => {
            value.len() >= 8 && has(DIGIT) && (has(LETTER) || value.len() >= 16) || value.len() >= 24
        }
        Key::Token => value.len() >= 8 && mixed || value.len() >= 24 || all(DIGIT) && value.len() >= 10,
        Key::Secret => value.len() >= 6 && (mixed || quoted) || value.len() >= 16,
        Key::Any if guards(segment) => value.len() >= 8 && mixed || value.len() >= 24,
        Key::Any => value.len() >= 20 && mixed && has(UPPER) && has(LOWER),
        Key::Cookie => false,
    }
}

/// Where a value starts that is assigned to `key` or `auth`, told by the eight bytes that start with the word.
#[inline(always)]
pub(crate) fn assigned_key(eight: u64) -> Option<usize> {
    const KEY: u64 = u64::from_le_bytes(*b"key\0\0\0\0\0");
    const AUTH: u64 = u64::from_le_bytes(*b"auth\0\0\0\0");
    let (length, behind) = if eight & 0xff_ffff == KEY {
        (3, eight >> 24)
    } else if eight & 0xffff_ffff == AUTH {
        (4, eight >> 32)
    } else {
        return None;
    };
    match behind.to_le_bytes() {
        [b'=', ..] => Some(length + 1),
        [b':', b' ', ..] => Some(length + 2),
        _ => None,
    }
}

/// Whether the value at `value` is no secret that is assigned to the word at `start`: the key of a cache, the name of a
/// module. Hexadecimal digits and dashes end at `dashed_end`. Only that is told which [`keyed`] would find nothing in.
pub(crate) fn is_idle(text: Text<'_>, start: usize, value: usize, dashed_end: usize) -> bool {
    is_plain(text, value, dashed_end) && !guards(previous_segment(text, start))
}

/// Whether what stands at `at` up to the next space is a short word, or one in small letters, or hexadecimal with dashes at
/// most: nothing that any key keeps. Hexadecimal digits and dashes end at `dashed_end`.
#[inline]
fn is_plain(text: Text<'_>, at: usize, dashed_end: usize) -> bool {
    let ends = |end: usize| end > at && end.wrapping_sub(at) < LIMIT && text.is(end, SPACE);
    ends(dashed_end)
        || (text.is(dashed_end, LOWER)
            && (ends(text.run_end(at, LETTER, 8)) || ends(text.run_end(at, LOWER, LIMIT))))
}

/// Whether a value is hexadecimal with dashes at most: a digest or a UUID, the key of a cache.
fn is_identifier(value: &[u8]) -> bool {
    value.iter().all(|byte| is(*byte, HEX) || *byte == b'-')
}

/// Values that say there is none, templates, and values somebody has masked already.
fn is_blank(value: &[u8]) -> bool {
    static WORDS: WordSet = WordSet::new(&[
        "null",
        "none",
        "nil",
        "undefined",
        "true",
        "false",
        "empty",
        "unset",
        "n/a",
        "<none>",
        "redacted",
        "filtered",
        "hidden",
        "masked",
        "yes",
        "no",
        "\"\"",
        "''",
    ]);
    let masked =
        |byte: &u8| matches!(byte, b'*' | b'.' | b'x' | b'X' | b'\xe2' | b'\x80' | b'\xa6' | b'\xa2');
    (value.iter().all(masked) && (value.len() >= 3 || value.contains(&b'*')))
        || WORDS.has(value)
        || matches!(value, [b'<', .., b'>'] | [b'$', b'{', .., b'}'] | [b'{', b'{', ..] | [b'[', .., b']'])
}

/// Words people write behind `password:`.
fn is_remark(value: &[u8]) -> bool {
    static WORDS: WordSet = WordSet::new(&[
        "invalid",
        "incorrect",
        "wrong",
        "expired",
        "missing",
        "required",
        "must",
        "too",
        "not",
        "is",
        "for",
        "reset",
        "changed",
        "failed",
        "mismatch",
        "attempt",
        "attempts",
        "does",
        "and",
        "or",
        "the",
        "was",
        "has",
        "cannot",
        "failure",
        "error",
        "ok",
        "success",
        "updated",
        "policy",
        "rejected",
        "accepted",
        "verified",
        "unchanged",
        "weak",
        "strong",
        "denied",
        "should",
        "minimum",
        "maximum",
        "set",
        "needs",
        "authentication",
        "no",
        "string",
        "str",
        "varchar",
        "text",
        "optional",
    ]);
    WORDS.has(value)
}

/// The values of `Cookie: a=b; c=d` and `Set-Cookie: a=b; Path=/`.
fn cookies(scan: &mut Scan<'_, '_>, start: usize, end: usize) {
    let text = scan.text;
    if scan.is_dull(start) {
        return;
    }
    let Some(mut at) = assigned(text, start, end) else { return };
    while matches!(text.at(at), b'"' | b'\\' | b'\'') {
        at = at.wrapping_add(1);
    }
    let set = text.has_any_case(start.wrapping_sub(4), b"set-")
        || text.has_any_case(start.wrapping_sub(4), b"set_");
    loop {
        at = text.run_end(at, SPACE, 4);
        let name = at;
        while at.wrapping_sub(name) < 128
            && !text.is(at, SPACE)
            && !matches!(text.at(at), b'=' | b';' | b'"' | b',' | b'\\')
        {
            at = at.wrapping_add(1);
        }
        let name = text.slice(name, at);
        if text.at(at) != b'=' || name.is_empty() {
            break;
        }
        let value = at.wrapping_add(1);
        at = value;
        while !text.is(at, SPACE) && !matches!(text.at(at), b';' | b'"' | b'\\' | b'\'') {
            at = at.wrapping_add(1);
        }
        let found = text.slice(value, at);
        let session = [b"sess".as_slice(), b"sid", b"token", b"auth", b"jwt", b"remember"]
            .iter()
            .any(|word| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)));
        let plain = found.len() < 6 && found.iter().all(|byte| is(*byte, LETTER));
        if placeholder_len(found).is_none() && (session || !plain) {
            scan.open_hit(
                Open::Keyed,
                value,
                at,
                if session { Detector::SessionId } else { Detector::Cookie },
            );
        }
        if set || text.at(at) != b';' {
            break;
        }
        at = at.wrapping_add(1);
    }
    scan.dull(at);
}

/// `Bearer` and its token.
pub(crate) fn bearer(scan: &mut Scan<'_, '_>, end: usize) {
    let text = scan.text;
    if scan.is_open(Open::Scheme, end) {
        return;
    }
    let from = text.run_end(end, SPACE, 3);
    let mut to = from;
    while text.is(to, BASE64) || matches!(text.at(to), b'.' | b'~') {
        to = to.wrapping_add(1);
    }
    while matches!(text.before(to), b'.') && to > from {
        to = to.wrapping_sub(1);
    }
    while text.at(to) == b'=' {
        to = to.wrapping_add(1);
    }
    let token = text.slice(from, to);
    let has = |classes: u8| token.iter().any(|byte| is(*byte, classes));
    if from > end && (token.len() >= 8 && has(DIGIT) || token.len() >= 20) {
        scan.open_hit(Open::Scheme, from, to, Detector::Bearer);
    }
}

/// How far behind `curl` its credentials are looked for, in bytes.
const ARGUMENTS: usize = 256;

/// `curl -u user:password`.
pub(crate) fn command(scan: &mut Scan<'_, '_>, end: usize) {
    let text = scan.text;
    let line = text.slice(end, text.len().min(end.saturating_add(ARGUMENTS)));
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
    // The next one has arguments of its own.
    let line =
        line.windows(5).position(|part| part == b"curl ").and_then(|next| line.get(..next)).unwrap_or(line);
    for option in [b" -u ".as_slice(), b" -u", b" --user ", b" --user=", b" --proxy-user ", b" -U "] {
        let Some(found) = line.windows(option.len()).position(|part| part == option) else { continue };
        let mut from = end.wrapping_add(found).wrapping_add(option.len());
        let quote = text.at(from);
        let quoted = matches!(quote, b'"' | b'\'');
        from = from.wrapping_add(usize::from(quoted));
        let mut to = from;
        while to.wrapping_sub(from) < LIMIT
            && to < text.len()
            && if quoted { text.at(to) != quote } else { !text.is(to, SPACE) }
        {
            to = to.wrapping_add(1);
        }
        let argument = text.slice(from, to);
        let Some(colon) = argument.iter().position(|byte| *byte == b':') else { continue };
        let password = from.wrapping_add(colon).wrapping_add(1);
        let found = text.slice(password, to);
        if !is_blank(found) && placeholder_len(found) != Some(found.len()) && !found.starts_with(b"//") {
            scan.hit(password, to, Detector::Password);
        }
        return;
    }
}

/// `Basic` and its credentials: base64 of `user:password`.
pub(crate) fn basic(scan: &mut Scan<'_, '_>, end: usize) {
    let text = scan.text;
    if scan.is_open(Open::Scheme, end) {
        return;
    }
    let from = text.run_end(end, SPACE, 3);
    let to = text.run_end(from, BASE64, 4096);
    let run = text.slice(from, to);
    let close = to.wrapping_add(
        text.slice(to, to.saturating_add(2).min(text.len())).iter().take_while(|byte| **byte == b'=').count(),
    );
    if from > end && run.len() >= 4 && decode(run).is_some_and(|plain| plain.contains(&b':')) {
        scan.open_hit(Open::Scheme, from, close, Detector::BasicAuth);
    }
}

/// Base64 in either alphabet, without padding; a last character that stands for no byte is left out.
pub(crate) fn decode(run: &[u8]) -> Option<Vec<u8>> {
    let run = if run.len() % 4 == 1 { run.get(..run.len().wrapping_sub(1))? } else { run };
    STANDARD_NO_PAD.decode(run).or_else(|_| URL_SAFE_NO_PAD.decode(run)).ok()
}
