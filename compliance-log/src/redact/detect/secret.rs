//! Secrets that only the word before them gives away: passwords, tokens, cookies, authorization headers.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::super::detector::{Detector, is_placeholder, placeholder_len};
use super::super::lexicon::{Lead, lexicon};
use super::super::text::{ALNUM, BASE64, DIGIT, HEX, LETTER, LOWER, SPACE, Text, UPPER, is};
use super::super::words::WordSet;
use super::assignment::{Form, NAME, assigned, behind_quotes, close, extent, in_tag, member_end, name_end};
use super::{BEHIND, Open, Scan};

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
    if scan.is_keyed(start) && !is_name_alone(scan, key, start, end) {
        return;
    }
    if key == Key::Cookie {
        return cookies(scan, start, end);
    }
    let text = scan.text;
    let Some(name_end) = name_end(text, end) else { return };
    if !is_whole_name(text, start, end, name_end) {
        return;
    }
    let Some((value, form)) = assigned(text, start, name_end, key) else {
        unassigned(scan, key, start, name_end);
        if key == Key::Any {
            authenticated(scan, start, end);
        }
        if key == Key::Password {
            stated(scan, start, name_end);
        }
        return;
    };
    // Without a sign of assignment what stands before the name counts: `name="password" value="x"`, `login x password y`.
    if !matches!(text.at(behind_quotes(text, name_end, QUOTES)), b':' | b'=') {
        scan.hangs_on(start, start.saturating_sub(LOGIN), start);
    }
    // A tag or anchor that is short enough would be passed over.
    if matches!(text.at(value), b'&' | b'!') {
        scan.hangs_on(start, value, value.saturating_add(NAME).saturating_add(2));
    }
    if key == Key::Any {
        let dashed_end = text.dashed_hex_end(value, LIMIT);
        if is_idle(text, start, value, dashed_end) {
            // Most such words are passed over without a note (`Window::confirmed`), and may be: what stands apart in so plain
            // a value starts it, and a placeholder starts none (`extent`). Few come here: to be sure costs little.
            let space = text.slice(value, text.len()).iter().position(|byte| is(*byte, SPACE));
            scan.hangs_on(start, name_end, space.map_or(text.len(), |space| value.wrapping_add(space)));
            return;
        }
    }
    let Some((from, mut to, closed)) = extent(text, value, key, form) else {
        scan.hangs_on(start, name_end, usize::MAX);
        return;
    };
    let member = key == Key::Password && text.before(start) == b';';
    if member {
        to = to.max(member_end(text, to));
        scan.hangs_on(start, to, usize::MAX);
    }
    let found = text.slice(from, to);
    let quoted = matches!(text.before(from), b'"' | b'\'');
    let no_value = (key == Key::Any && closed && found.len() < 8)
        || found.is_empty()
        || is_blank(found)
        || is_placeholder(found)
        || (form != Form::Assigned && !shows(found, quoted && form == Form::Following))
        || is_no_password(text.slice(start, end), found, quoted)
        || (key != Key::Password && is_path(found));
    let segment = previous_segment(text, start);
    if no_value
        || (key == Key::Any && closed && found.len() <= LIMIT && is_identifier(found) && !guards(segment))
    {
        scan.hangs_on(start, name_end, to.saturating_add(1));
        return;
    }
    let detector = detector(key, segment, text.slice(start, name_end));
    let sure = !closed || found.len() > LIMIT;
    if sure || is_secret(key, segment, found, text.at(value) == b'"' || text.before(from) == b'"') {
        scan.keyed_hit((start, name_end), from, to, detector);
        if text.before(value) == b'[' && from > value && key != Key::Any {
            items(scan, (value, from), to, detector);
        }
    } else {
        scan.hangs_on(start, name_end, to.saturating_add(1));
    }
}

/// Whether only the name of a key lies in the value of another one, which has no quotes, and its own value behind:
/// `password:a,secret:"b"`.
fn is_name_alone(scan: &Scan<'_, '_>, key: Key, start: usize, end: usize) -> bool {
    let text = scan.text;
    let Some(value_end) = scan.bare_value_end(start) else { return false };
    if key == Key::Cookie || value_end.saturating_sub(start) > NAME {
        return false;
    }
    let assigned = name_end(text, end).and_then(|name_end| assigned(text, start, name_end, key));
    assigned.is_some_and(|(value, form)| form == Form::Assigned && value >= value_end)
}

/// Notes what it hangs on that nothing assigns a value to the name that ends at `name_end`.
fn unassigned(scan: &mut Scan<'_, '_>, key: Key, start: usize, name_end: usize) {
    let text = scan.text;
    let spaced = text.at(name_end) == b' ';
    let end = behind_quotes(text, name_end, QUOTES).saturating_add(4);
    if spaced && in_tag(text, start) {
        return scan.hangs_on_all(start);
    }
    // `login x password y`
    let begin = if spaced && key == Key::Password { start.saturating_sub(LOGIN) } else { start };
    scan.hangs_on(start, begin, end);
}

/// How many quotes and spaces are looked behind for a sign of assignment.
const QUOTES: usize = 16;

/// How far before a name the user may start that it is the password of, in bytes, once placeholders stand between.
const LOGIN: usize = 256;

/// Whether a word that means other things too is the whole of a secret's name: `mot de passe`, `security answer`,
/// `verification code`.
fn is_whole_name(text: Text<'_>, start: usize, end: usize, name_end: usize) -> bool {
    let word = text.slice(start, end);
    let led = |words: &[&str]| {
        words.iter().any(|before| text.has_any_case(start.wrapping_sub(before.len()), before.as_bytes()))
    };
    if word.eq_ignore_ascii_case(b"passe") {
        return led(&["mot de ", "mot_de_", "mot-de-", "palavra-", "palavra ", "palavra_"]);
    }
    if word.eq_ignore_ascii_case(b"answer") {
        return led(&["security ", "security_", "security-", "secret ", "secret_"]);
    }
    !word.eq_ignore_ascii_case(b"verification") || name_end > end
}

/// Whether a value that nothing assigns is a secret to the eye: in quotes and of one word, or of letters and digits.
fn shows(value: &[u8], quoted: bool) -> bool {
    let has = |classes: u8| value.iter().any(|byte| is(*byte, classes));
    !has(SPACE) && !is_remark(value) && (quoted || (value.len() >= 6 && has(DIGIT) && has(LETTER)))
}

/// Whether what is assigned to a word for a password is none: a working directory (`PWD=/home/app`), a count (`pass=12`),
/// what a form says of its field.
fn is_no_password(word: &[u8], value: &[u8], quoted: bool) -> bool {
    let digits = || value.iter().all(u8::is_ascii_digit);
    (value.starts_with(b"/") && word.last_chunk::<3>().is_some_and(|last| last.eq_ignore_ascii_case(b"pwd")))
        || (word.eq_ignore_ascii_case(b"pass") && !quoted && digits())
        || (quoted && is_complaint(value))
}

/// Whether a value is a sentence about a field: `must not be empty`.
fn is_complaint(value: &[u8]) -> bool {
    static VERBS: WordSet =
        WordSet::new(&["is", "must", "should", "cannot", "does", "has", "was", "needs", "may"]);
    let mut words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or(&[]);
    let verb = VERBS.has(first)
        || (first == b"This" && words.next().is_some_and(|word| matches!(word, b"field" | b"value")));
    verb && words.count() >= 2
}

/// Whether a value is the path of a file: it starts as one, and has no capital.
fn is_path(value: &[u8]) -> bool {
    let starts = value.starts_with(b"/") || value.starts_with(b"~/") || value.starts_with(b"./");
    starts
        && value.iter().filter(|byte| **byte == b'/').count() >= 2
        && !value.iter().any(|byte| is(*byte, UPPER) || matches!(byte, b'+' | b'='))
        || value.starts_with(b"~/.")
}

/// What `AUTH PLAIN` and `AUTH LOGIN` send (RFC 4954 section 4).
fn authenticated(scan: &mut Scan<'_, '_>, start: usize, end: usize) {
    let text = scan.text;
    if text.slice(start, end) != b"AUTH" || !(text.has(end, b" PLAIN ") || text.has(end, b" LOGIN ")) {
        return;
    }
    let from = end.wrapping_add(7);
    let to = text.run_end(from, BASE64, 4096);
    let close = padded_end(text, to);
    scan.hangs_on_all(start);
    if to.wrapping_sub(from) >= 8 && decode(text.slice(from, to)).is_some() {
        scan.open_hit(Open::Keyed, from, close, Detector::BasicAuth);
    }
}

/// What stands for the whole value of a field with this name, which ends in a word for a password or secret: whatever the
/// value is. Words that mean other things too, such as `pass`, need a look.
pub(crate) fn whole(name: &str) -> Option<Detector> {
    static AMBIGUOUS: WordSet = WordSet::new(&["pass", "pwd", "seed"]);
    let text = Text::new(name);
    let mut found = None;
    lexicon().words_of_key(name, |start, word| {
        let Lead::Key(key) = word.lead else { return };
        let segment = previous_segment(text, start);
        let secret = matches!(key, Key::Password | Key::Secret) || (key == Key::Any && guards(segment));
        let last = text.slice(start, name.len());
        let ends =
            name_end(text, word.end) == Some(name.len()) && !last.to_ascii_lowercase().ends_with(b"id");
        if secret && ends && !AMBIGUOUS.has(last) && is_whole_name(text, start, word.end, name.len()) {
            found = Some(detector(key, segment, last));
        }
    });
    found
}

/// Whether the value of a field says that there is none.
pub(crate) fn is_none(value: &str) -> bool {
    matches!(value.trim(), "" | "\"\"" | "null" | "None" | "nil" | "undefined")
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
        let (to, closed) = close(text, from, (mark.last().copied().unwrap_or(b'"'), depth), usize::MAX);
        let found = text.slice(from, to);
        if !is_blank(found) && !is_placeholder(found) {
            scan.open_hit(Open::Keyed, from, to, detector);
        }
        if !closed {
            return;
        }
        at = to;
    }
}

/// The password in `password is hunter2`: letters and digits.
fn stated(scan: &mut Scan<'_, '_>, start: usize, name_end: usize) {
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
            scan.keyed_hit((start, name_end), from, to, Detector::Password);
        } else {
            scan.hangs_on(start, name_end, to.saturating_add(BEHIND));
        }
        return;
    }
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
        Key::Any => value.len() >= 20 && mixed && has(UPPER) && has(LOWER) && !is_labelled_digest(value),
        Key::Cookie => false,
    }
}

/// How far behind the word's start its value starts, if the word is `key` or `auth` and a sign of assignment follows; told
/// by the eight bytes that start with the word.
#[inline(always)]
pub(crate) fn assigned_key(eight: u64) -> Option<usize> {
    const KEY: u64 = u64::from_le_bytes(*b"key\0\0\0\0\0");
    const AUTH: u64 = u64::from_le_bytes(*b"auth\0\0\0\0");
    let (length, behind): (usize, u64) = if eight & 0xff_ffff == KEY {
        (3, eight >> 24)
    } else if eight & 0xffff_ffff == AUTH {
        (4, eight >> 32)
    } else {
        return None;
    };
    match behind.to_le_bytes() {
        [b'=', ..] => Some(length.wrapping_add(1)),
        [b':', b' ', ..] => Some(length.wrapping_add(2)),
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

/// Whether a value is words and digests with dashes between, as `Linux-cargo-7f3a9c21d4e85b6a`: the key of a cache.
fn is_labelled_digest(value: &[u8]) -> bool {
    let part = |part: &[u8]| part.iter().all(|byte| is(*byte, UPPER | LOWER)) || is_identifier(part);
    value.contains(&b'-') && value.split(|byte| *byte == b'-').all(part)
}

/// Values that say there is none, templates, and values somebody has masked already.
pub(super) fn is_blank(value: &[u8]) -> bool {
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
        "-",
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
        || matches!(
            value,
            [b'$', b'{', .., b'}'] | [b'{', b'{', ..] | [b'$', b'{', b'{', ..] | [b'%', b's' | b'd' | b'v']
        )
        || matches!(value, [b'<', inner @ .., b'>'] | [b'[', inner @ .., b']'] if !inner.iter().any(u8::is_ascii_digit))
        || matches!(value, [b'$', name @ ..] if !name.is_empty() && name.iter().all(|byte| is(*byte, UPPER | DIGIT) || *byte == b'_'))
        || value == b"!vault"
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
        "field",
        "fields",
        "length",
        "strength",
        "text",
        "optional",
    ]);
    WORDS.has(value)
}

/// The values of `Cookie: a=b; c=d` and `Set-Cookie: a=b; Path=/`.
fn cookies(scan: &mut Scan<'_, '_>, start: usize, end: usize) {
    let text = scan.text;
    if scan.is_dull(start) {
        return scan.hangs_on_all(start);
    }
    let Some((mut at, Form::Assigned)) = assigned(text, start, end, Key::Cookie) else {
        return scan.hangs_on_all(start);
    };
    let prefix = start.saturating_sub(b"set-".len());
    // From here on what was read stays. Whether a value is there or its placeholder, the next is read the same.
    let mut kept = prefix;
    let mut passed_over = false;
    at = at.wrapping_add(usize::from(text.at(at) == b'[' && text.is(at.wrapping_add(1), LETTER)));
    while matches!(text.at(at), b'"' | b'\\' | b'\'') {
        at = at.wrapping_add(1);
    }
    let set = text.has_any_case(prefix, b"set-") || text.has_any_case(prefix, b"set_");
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
        // A value may be in quotes (RFC 6265 section 4.1.1).
        let mut value = at.wrapping_add(1);
        while matches!(text.at(value), b'"' | b'\\') && value.wrapping_sub(at) < 8 {
            value = value.wrapping_add(1);
        }
        let quoted = value.wrapping_sub(at) > 1;
        at = value;
        while !text.is(at, SPACE)
            && !matches!(text.at(at), b';' | b'"' | b'\\' | b'\'')
            && (text.at(at) != b']' || text.at(value) == b'[')
        {
            at = at.wrapping_add(1);
        }
        let found = text.slice(value, at);
        let session = [b"sess".as_slice(), b"sid", b"token", b"auth", b"jwt", b"remember"]
            .iter()
            .any(|word| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)));
        let plain = found.len() < 6 && found.iter().all(|byte| is(*byte, LETTER));
        if placeholder_len(found).is_none() && (session || !plain) {
            scan.hangs_on(start, kept, value);
            kept = at;
            // Around quotes, in a name that is none of a cookie and before a value that was passed over, another key may stand
            // with its value: it is asked once this one is gone.
            let name = name.iter().all(|byte| is(*byte, ALNUM) || matches!(byte, b'_' | b'-' | b'.'));
            if passed_over || quoted || !name || !(text.at(at) == b';' || text.is(at, SPACE)) {
                scan.hangs_on_all(start);
            }
            scan.open_hit(
                Open::Keyed,
                value,
                at,
                if session { Detector::SessionId } else { Detector::Cookie },
            );
        } else {
            passed_over = true;
        }
        while quoted && matches!(text.at(at), b'"' | b'\\') && at.wrapping_sub(value) < LIMIT {
            at = at.wrapping_add(1);
        }
        if set || text.at(at) != b';' {
            break;
        }
        at = at.wrapping_add(1);
    }
    scan.hangs_on(start, kept, at.saturating_add(1));
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
        scan.token_hit(Open::Scheme, from, to, Detector::Bearer);
    }
}

/// `IDENTIFIED BY 'x'`: SQL.
pub(crate) fn identified(scan: &mut Scan<'_, '_>, end: usize) {
    let text = scan.text;
    if !text.has_any_case(end, b" by ") {
        return;
    }
    let mut at = end.wrapping_add(4);
    at = at.wrapping_add(if text.has_any_case(at, b"password ") { 9 } else { 0 });
    if matches!(text.at(at), b'\'' | b'"' | b'`') {
        let from = at.wrapping_add(1);
        let (to, closed) = close(text, from, (text.at(at), 0), LIMIT);
        let found = text.slice(from, to);
        if closed && !found.is_empty() && !is_blank(found) && !is_placeholder(found) {
            scan.hit(from, to, Detector::Password);
        }
    }
}

/// `PASS x` up to the end of its line: a command of FTP (RFC 959 section 4.1.1) and POP3 (RFC 1939 section 7). Test runners
/// write the word as well, and a name or path behind it.
pub(crate) fn pass(scan: &mut Scan<'_, '_>, start: usize, end: usize) {
    let text = scan.text;
    let from = end.wrapping_add(1);
    let begins = start == 0
        || matches!(text.before(start), b'\n')
        || text.has(start.wrapping_sub(2), b"> ")
        || text.has(start.wrapping_sub(2), b": ");
    if text.slice(start, end) != b"PASS" || text.at(end) != b' ' || !begins {
        return;
    }
    scan.hangs_on_all(start);
    let mut to = from;
    while !text.is(to, SPACE) && to.wrapping_sub(from) < LIMIT {
        to = to.wrapping_add(1);
    }
    let found = text.slice(from, to);
    let last = to == text.len() || matches!(text.at(to), b'\n' | b'\r');
    let named = found.iter().any(|byte| matches!(byte, b'/' | b'.' | b':' | b'_' | b'(' | b'['));
    if last && !named && shows(found, false) {
        scan.hit(from, to, Detector::Password);
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
    let close = padded_end(text, to);
    if from > end && run.len() >= 4 && decode(run).is_some_and(|plain| plain.contains(&b':')) {
        scan.open_hit(Open::Scheme, from, close, Detector::BasicAuth);
    } else {
        scan.hangs_on(end.wrapping_sub(1), end, to.saturating_add(1));
    }
}

/// Where the padding of base64 ends whose characters end at `end`.
pub(crate) fn padded_end(text: Text<'_>, end: usize) -> usize {
    text.slice(end, text.len().min(end.saturating_add(2)))
        .iter()
        .take_while(|byte| **byte == b'=')
        .count()
        .saturating_add(end)
}

/// Base64 in either alphabet, without padding; a last character that stands for no byte is left out.
pub(crate) fn decode(run: &[u8]) -> Option<Vec<u8>> {
    let run = if run.len() % 4 == 1 { run.get(..run.len().wrapping_sub(1))? } else { run };
    STANDARD_NO_PAD.decode(run).or_else(|_| URL_SAFE_NO_PAD.decode(run)).ok()
}
