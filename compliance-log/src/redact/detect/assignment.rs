//! Where the value of a name stands, in the forms programs and people write: `a=b`, `a: b`, `"a":"b"`, `--a b`,
//! `<a>b</a>`, `("a", "b")`, `a: Some("b")`, `name: a` with `value: b`.

use super::super::detector::{placeholder_at, placeholder_len};
use super::super::text::{ALNUM, BASE64, DIGIT, LETTER, LOWER, SPACE, Text, UPPER, WORD, find, is};
use super::super::words::WordSet;
use super::secret::{Key, LIMIT};

/// How the value stands to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is assigned.
    Assigned,
    /// It follows, and is in quotes or shows what it is.
    Following,
    /// It stands beside it in a list, and shows what it is.
    Listed,
}

/// How far behind a name its value may stand on lines of their own, in bytes.
const APART: usize = 64;
/// The longest name, in bytes.
pub(super) const NAME: usize = 48;
/// How far behind a tag's name it may close, in bytes.
const TAG: usize = 256;
/// How far a connection string's value may go on behind a space, in bytes.
const MEMBER: usize = 128;
/// How deep a value may be wrapped, as in `Some(Secret("…"))`.
const WRAPPERS: usize = 4;

/// Where the member ends that goes on at `to`: at the next semicolon, in `Server=a;Password=p@ss word;Encrypt=true`.
pub(super) fn member_end(text: Text<'_>, to: usize) -> usize {
    let rest = text.slice(to, text.len().min(to.saturating_add(MEMBER)));
    let end = rest.iter().position(|byte| matches!(byte, b';' | b'=' | b'"' | b'\n'));
    match end.and_then(|end| rest.get(end)) {
        Some(b';') => to.wrapping_add(end.unwrap_or(0)),
        _ => to,
    }
}

/// Where the name that goes on at `end` ends; nothing when it is the name of something else.
pub(super) fn name_end(text: Text<'_>, end: usize) -> Option<usize> {
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
        "code",
    ]);
    // `contraseña nueva:`, `parola d'ordine:`
    static PHRASES: WordSet = WordSet::new(&[
        "nueva", "secreta", "nuova", "segreta", "actual", "nouveau", "chiave", "phrase", "d'ordine", "neu",
        "alt", "code",
    ]);
    let mut at = end;
    for _ in 0..3 {
        at = text.run_end(at, DIGIT, 4);
        let joined = matches!(text.at(at), b'_' | b'-') && text.is(at.wrapping_add(1), ALNUM);
        if !joined && !text.is(at, UPPER | LOWER) {
            break;
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
    if text.at(at) == b' ' && text.is(at.wrapping_add(1), LOWER) {
        let word = at.wrapping_add(1);
        let mut last = text.run_end(word, LETTER, 12);
        if text.at(last) == b'\'' {
            last = text.run_end(last.wrapping_add(1), LETTER, 12);
        }
        if PHRASES.has(text.slice(word, last)) {
            return Some(last);
        }
    }
    Some(at)
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// Whether a byte may stand in a name.
fn is_name(byte: u8) -> bool {
    is(byte, ALNUM) || matches!(byte, b'_' | b'-' | b'.')
}

/// Where the name starts whose last word starts at `start`.
fn name_start(text: Text<'_>, start: usize) -> usize {
    let mut at = start;
    while is_name(text.before(at)) && start.wrapping_sub(at) < NAME {
        at = at.wrapping_sub(1);
    }
    at
}

/// Behind spaces, and behind line breaks where `lines` may be crossed.
fn skip_space(text: Text<'_>, at: usize, lines: bool) -> usize {
    let mut end = at;
    while matches!(text.at(end), b' ' | b'\t') || (lines && matches!(text.at(end), b'\n' | b'\r')) {
        if end.wrapping_sub(at) == APART {
            break;
        }
        end = end.wrapping_add(1);
    }
    end
}

/// Behind quotes and the backslashes before them.
fn skip_quotes(text: Text<'_>, at: usize) -> usize {
    let mut end = at;
    while matches!(text.at(end), b'"' | b'\'' | b'\\' | b'`') && end.wrapping_sub(at) < 8 {
        end = end.wrapping_add(1);
    }
    end
}

/// Behind the quotes and spaces that may stand between a name and a sign of assignment, at most `limit` bytes on.
pub(super) fn behind_quotes(text: Text<'_>, name_end: usize, limit: usize) -> usize {
    let mut end = name_end;
    while matches!(text.at(end), b'"' | b'\'' | b'\\' | b']' | b'`' | b')' | b' ' | b'\t')
        && end.wrapping_sub(name_end) < limit
    {
        end = end.wrapping_add(1);
    }
    end
}

/// Where the value starts that belongs to the name ending at `end`, whose last word starts at `start`.
pub(super) fn assigned(text: Text<'_>, start: usize, end: usize, key: Key) -> Option<(usize, Form)> {
    let mut at = end;
    // `password[0]`
    let index = text.run_end(at.wrapping_add(1), DIGIT, 3);
    if text.at(at) == b'[' && text.at(index) == b']' {
        at = index.wrapping_add(1);
    }
    let from = at;
    at = behind_quotes(text, from, 12);
    let spaces = text.slice(from, at).iter().filter(|byte| is(**byte, SPACE)).count();
    let quoted = at.wrapping_sub(from) > spaces;
    let next = text.at(at.wrapping_add(1));
    at = match text.at(at) {
        b':' if next == b':' => return None,
        b':' if next == b'=' => at.wrapping_add(2),
        b':' if next == b'/' && text.at(at.wrapping_add(2)) == b'/' => return None,
        b'=' if next == b'=' => return None,
        b'=' if next == b'>' => at.wrapping_add(2),
        b'-' if next == b'>' && spaces > 0 => at.wrapping_add(2),
        b':' | b'=' => at.wrapping_add(1),
        b'>' if !quoted && spaces == 0 && in_tag(text, start) => at.wrapping_add(1),
        _ => return following(text, start, end, key),
    };
    let mut form = Form::Assigned;
    at = skip_space(text, at, false).min(at.wrapping_add(8));
    at = marked(text, at);
    if text.has(at, b"\\\n") {
        at = at.wrapping_add(2);
    }
    // On the next line, further in: YAML, and Debug with line breaks.
    let line = text.run_end(at, SPACE, APART);
    if matches!(text.at(at), b'\n' | b'\r')
        && (is_quote(text.at(line)) || matches!(text.before(line), b' ' | b'\t'))
    {
        at = line;
        form = Form::Following;
    }
    at = unwrapped(text, at);
    // `["…"]`
    if text.at(at) == b'[' && matches!(text.at(at.wrapping_add(1)), b'"' | b'\'' | b'\\') {
        at = at.wrapping_add(1);
    }
    Some((at, form))
}

/// Behind the tag or anchor of a value in YAML, or the mark of a block (YAML 1.2.2 sections 6.9 and 8.1): `!!str x`,
/// `&a x`, `|` and a line break.
fn marked(text: Text<'_>, at: usize) -> usize {
    let name = at.wrapping_add(1);
    match text.at(at) {
        b'|' | b'>' => {
            let end = name.wrapping_add(usize::from(matches!(text.at(name), b'-' | b'+')));
            if matches!(text.at(end), b'\n' | b'\r') { end } else { at }
        }
        b'!' | b'&' if text.before(at) == b' ' => {
            let mut end = name;
            while !text.is(end, SPACE) && end.wrapping_sub(at) < NAME {
                end = end.wrapping_add(1);
            }
            let known = text.at(at) == b'&' || text.at(name) == b'!';
            if known && text.at(end) == b' ' { end.wrapping_add(1) } else { at }
        }
        _ => at,
    }
}

/// Behind what wraps a value: `Some(`, `String::from(`, `Secret(`, and the letters of a literal, as in `b"…"` and `r#"…"#`.
fn unwrapped(text: Text<'_>, from: usize) -> usize {
    let mut at = from;
    for _ in 0..WRAPPERS {
        let mut word = at;
        while (text.is(word, ALNUM) || text.at(word) == b':') && word.wrapping_sub(at) < NAME {
            word = word.wrapping_add(1);
        }
        if word == at || text.at(word) != b'(' {
            break;
        }
        at = word.wrapping_add(1);
        let line = skip_space(text, at, true);
        at = if text.at(at) == b'\n' { line } else { at };
    }
    let letters = text.run_end(at, UPPER | LOWER, 3);
    let mut quote = letters;
    while text.at(quote) == b'#' && quote.wrapping_sub(letters) < 4 {
        quote = quote.wrapping_add(1);
    }
    let literal = matches!(text.slice(at, letters), b"b" | b"r" | b"br" | b"c" | b"u" | b"f" | b"N" | b"E");
    if literal && is_quote(text.at(quote)) { quote } else { at }
}

/// Whether `start` is in the name of an opening tag: `<password`, `<ns:dbPassword`.
pub(super) fn in_tag(text: Text<'_>, start: usize) -> bool {
    let name = name_start(text, start);
    let prefix = if text.before(name) == b':' { name_start(text, name.wrapping_sub(1)) } else { name };
    text.before(prefix) == b'<'
}

/// The value behind a name with no sign of assignment between.
fn following(text: Text<'_>, start: usize, end: usize, key: Key) -> Option<(usize, Form)> {
    let name = name_start(text, start);
    let next = end.wrapping_add(1);
    let spaced = text.at(end) == b' ' && !text.is(next, SPACE);
    // `--api-key x`, `-Password x`, `"--password", "x"`
    let dash = text.at(name) == b'-' && (text.is_before(name, SPACE) || is_quote(text.before(name)));
    if dash && spaced && text.at(next) != b'-' {
        return Some((next, Form::Assigned));
    }
    // `<password type="string">x`
    if spaced && in_tag(text, start) {
        let tag = text.slice(end, text.len().min(end.saturating_add(TAG)));
        let close = tag.iter().position(|byte| matches!(byte, b'>' | b'<' | b'\n'))?;
        let opens = tag.get(close) == Some(&b'>') && tag.get(close.wrapping_sub(1)) != Some(&b'/');
        return opens.then(|| (end.wrapping_add(close).wrapping_add(1), Form::Assigned));
    }
    if let Some(value) = labelled(text, name, end) {
        return Some((value, Form::Assigned));
    }
    let quote = text.at(end);
    let behind = skip_quotes(text, end);
    if behind > end && is_quote(text.before(behind)) && text.at(behind) == b',' {
        // `("password", "x")`
        let opened = skip_back(text, name);
        let value = skip_space(text, behind.wrapping_add(1), true);
        if is_quote(text.at(skip_backslashes(text, value)))
            && (dash || matches!(text.before(opened), b'(' | b'['))
        {
            return Some((
                value,
                if dash || text.before(opened) == b'(' { Form::Assigned } else { Form::Listed },
            ));
        }
        return None;
    }
    // `Password("x")`: a type that wraps a text.
    if quote == b'(' && text.is(start, UPPER) && is_quote(text.at(skip_backslashes(text, next))) {
        return Some((next, Form::Following));
    }
    // `PASSWORD 'x'`: SQL. A word for a secret has the name of one behind it as well.
    if spaced && is_quote(text.at(next)) {
        return match key {
            Key::Password => Some((next, Form::Following)),
            Key::Secret => Some((next, Form::Listed)),
            _ => None,
        };
    }
    // `login anna password x`: netrc(5).
    let before = text.slice(name.saturating_sub(72), name);
    let login = before.windows(6).rposition(|part| part == b"login ");
    let named = login.and_then(|login| before.get(login.wrapping_add(6)..));
    let netrc = named
        .and_then(|user| user.strip_suffix(b" "))
        .is_some_and(|user| !user.iter().any(|byte| is(*byte, SPACE)));
    (spaced && netrc && key == Key::Password).then_some((next, Form::Assigned))
}

fn skip_backslashes(text: Text<'_>, at: usize) -> usize {
    let mut end = at;
    while text.at(end) == b'\\' && end.wrapping_sub(at) < 32 {
        end = end.wrapping_add(1);
    }
    end
}

/// Before the quotes that open in front of `at`, backslashes included.
fn skip_back(text: Text<'_>, at: usize) -> usize {
    let mut start = at;
    while matches!(text.before(start), b'"' | b'\'' | b'\\') && at.wrapping_sub(start) < 8 {
        start = start.wrapping_sub(1);
    }
    start
}

/// The value of a pair that calls its parts by name: `"name":"password","value":"x"`, `key="password" value="x"`,
/// `name: PASSWORD` with `value: x` on the next line, `<entry key="password">x`.
fn labelled(text: Text<'_>, name: usize, end: usize) -> Option<usize> {
    static LABELS: WordSet =
        WordSet::new(&["name", "key", "id", "field", "header", "param", "variable", "attribute"]);
    static VALUES: WordSet = WordSet::new(&["value", "val", "content", "text", "default"]);
    let opening = skip_back(text, name);
    let mut sign = opening;
    let mut is_assigned = false;
    while matches!(text.before(sign), b' ' | b':' | b'=') && opening.wrapping_sub(sign) < 8 {
        sign = sign.wrapping_sub(1);
        is_assigned |= text.at(sign) != b' ';
    }
    let label = skip_back(text, sign);
    if !is_assigned || !LABELS.has(text.slice(text.run_start(label, UPPER | LOWER, 12), label)) {
        return None;
    }
    let mut at = skip_quotes(text, end);
    if opening < name && at > end && text.at(at) == b'>' {
        return Some(at.wrapping_add(1));
    }
    at = at.wrapping_add(usize::from(text.at(at) == b','));
    at = skip_quotes(text, skip_space(text, at, true));
    let word = text.run_end(at, UPPER | LOWER, 12);
    if word == at || !VALUES.has(text.slice(at, word)) {
        return None;
    }
    at = skip_space(text, skip_quotes(text, word), false);
    if !matches!(text.at(at), b':' | b'=') {
        return None;
    }
    Some(skip_space(text, at.wrapping_add(1), false))
}

/// The value at `at`, and whether its end is sure.
pub(super) fn extent(text: Text<'_>, at: usize, key: Key, form: Form) -> Option<(usize, usize, bool)> {
    let open = skip_backslashes(text, at);
    let quote = text.at(open);
    if matches!(quote, b'"' | b'\'' | b'`') {
        let depth = open.wrapping_sub(at);
        let from = open.wrapping_add(1);
        let limit = if form == Form::Assigned { usize::MAX } else { LIMIT };
        let (to, closed) = close(text, from, (quote, depth), limit);
        return (closed || form == Form::Assigned).then_some((from, to, closed));
    }
    // What follows a placeholder without a gap belongs to the value.
    let placeholder = placeholder_at(text, at);
    let glued = placeholder.is_some_and(|length| text.is(at.wrapping_add(length), WORD));
    if quote == b'[' && open == at && placeholder.is_none() {
        return bracketed(text, at.wrapping_add(1), key);
    }
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
            && let Some(length) = placeholder_at(text, to)
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
            b')' | b'}' | b']' | b'\'' | b'>' => !is(next, WORD),
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

/// The value in brackets from `from` on, as Go and Java print lists: `password:[x]`, `Authorization:[Bearer x]`.
fn bracketed(text: Text<'_>, from: usize, key: Key) -> Option<(usize, usize, bool)> {
    let inside = text.slice(from, text.len().min(from.saturating_add(LIMIT)));
    let end = inside.iter().position(|byte| matches!(byte, b']' | b'[' | b'{' | b'"' | b'\n'))?;
    let to = from.wrapping_add(end);
    if text.at(to) != b']' || end == 0 {
        return None;
    }
    if key == Key::Authorization {
        return authorization(text, from).map(|(from, end, closed)| (from, end.min(to), closed));
    }
    let spaced = text.slice(from, to).iter().any(|byte| is(*byte, SPACE));
    (!spaced).then_some((from, to, true))
}

/// Where the quote opened before `from` closes: the same quote behind as many backslashes, whole pairs of them aside, or
/// behind fewer. In SQL an apostrophe is doubled. A quote that never closes runs to the end of the line: a line cut short
/// has lost its quote, not its secret. At most `limit` bytes are read.
pub(super) fn close(text: Text<'_>, from: usize, (quote, depth): (u8, usize), limit: usize) -> (usize, bool) {
    let rest = text.slice(from, text.len().min(from.saturating_add(limit)));
    let round = depth.wrapping_add(1).wrapping_mul(2);
    let mut backslashes = 0_usize;
    let mut doubled = false;
    for (offset, byte) in rest.iter().enumerate() {
        match *byte {
            _ if std::mem::take(&mut doubled) => backslashes = 0,
            b'\\' => backslashes = backslashes.wrapping_add(1),
            b'\n' => return (from.wrapping_add(offset), false),
            found
                if found == quote
                    && (backslashes <= depth || backslashes.checked_rem(round) == Some(depth)) =>
            {
                let next = rest.get(offset.wrapping_add(1)).copied().unwrap_or(0);
                if quote == b'\'' && backslashes == 0 && offset > 0 && next == quote {
                    doubled = true;
                    continue;
                }
                return (from.wrapping_add(offset).wrapping_sub(backslashes.min(depth)), true);
            }
            _ => backslashes = 0,
        }
    }
    (from.wrapping_add(rest.len()), false)
}

/// Whether `name=` stands at `at`: the next pair of a query or list.
fn pair_follows(text: Text<'_>, at: usize) -> bool {
    let mut end = at;
    while end.wrapping_sub(at) < 40
        && (text.is(end, ALNUM) || matches!(text.at(end), b'_' | b'-' | b'.' | b'[' | b']'))
    {
        end = end.wrapping_add(1);
    }
    end > at && text.at(end) == b'='
}

/// How long the value of an authorization header may be, in bytes.
const HEADER: usize = 8192;

/// Where the value of a header ends that starts at `at`: at the end of its line, or at a quote that opens none of its
/// parameters (RFC 9110 section 11.4).
fn header_end(text: Text<'_>, at: usize) -> usize {
    let line = text.slice(at, text.len().min(at.saturating_add(HEADER)));
    let mut inside = None;
    let mut backslashes = 0_usize;
    let mut end = at;
    loop {
        if backslashes == 0 {
            let rest = line.get(end.wrapping_sub(at)..).unwrap_or(&[]);
            end = end.wrapping_add(find(rest, |byte| {
                (byte == b'\n') | (byte == b'\r') | (byte == b'\\') | (byte == b'"')
            }));
        }
        let Some(byte) = line.get(end.wrapping_sub(at)) else { break };
        match *byte {
            b'\n' | b'\r' => return end,
            b'\\' => backslashes = backslashes.wrapping_add(1),
            b'"' if inside == Some(backslashes) => {
                inside = None;
                backslashes = 0;
            }
            b'"' if inside.is_none() => {
                let opens = text.before(end.wrapping_sub(backslashes)) == b'=';
                if !opens {
                    return end.wrapping_sub(backslashes);
                }
                inside = Some(backslashes);
                backslashes = 0;
            }
            b'"' if inside > Some(backslashes) => return end.wrapping_sub(backslashes),
            _ if backslashes > 0 && inside.is_none() => return end.wrapping_sub(backslashes),
            _ => backslashes = 0,
        }
        end = end.wrapping_add(1);
    }
    at.wrapping_add(line.len()).wrapping_sub(backslashes)
}

/// The value of an authorization header without its scheme; schemes with detectors of their own are theirs.
fn authorization(text: Text<'_>, at: usize) -> Option<(usize, usize, bool)> {
    let mut to = header_end(text, at);
    let scheme = text.run_end(at, ALNUM, 24);
    let scheme = if text.at(scheme) == b'-' { name_run(text, scheme) } else { scheme };
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

/// The end of the name that goes on at `at`.
fn name_run(text: Text<'_>, at: usize) -> usize {
    let mut end = at;
    while is_name(text.at(end)) && end.wrapping_sub(at) < NAME {
        end = end.wrapping_add(1);
    }
    end
}
