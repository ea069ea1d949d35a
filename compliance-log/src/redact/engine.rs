//! The scan: one pass that calls detectors at anchors, looks behind encodings, and merges what was found.

use super::decode::plain;
use super::detect::number::Number;
use super::detect::{Hit, Scan, identity, mail, national, network, payment, person, phone, secret, token};
use super::detector::placeholder_len;
use super::lexicon::{Cue, Lead, Lexicon, lexicon, secret_suffix};
use super::rule::Rules;
use super::text::{BASE64, DIGIT, HEX, HIGH, LETTER, LOWER, Text, UPPER, WORD, class};

/// How deep encodings may be nested before the text is dropped instead of passed.
pub(crate) const MAX_DEPTH: u8 = 4;

/// Base64 shorter than this hides nothing the other detectors would find.
const MIN_HIDDEN: usize = 12;

/// Text whose encodings are nested deeper than is looked.
#[derive(Debug)]
pub(crate) struct TooDeep;

/// What the pass noticed beside anchors.
#[derive(Clone, Copy, Default)]
struct Noticed {
    /// A percent sign, backslash, ampersand or character outside ASCII that may stand for another.
    encoded: bool,
}

/// Finds everything in `text` and appends it to `hits`, in no order.
pub(crate) fn find(text: &str, field: &[Cue], depth: u8, hits: &mut Vec<Hit>) -> Result<(), TooDeep> {
    let mut hidden = Vec::new();
    let mut scan = Scan::new(text, field, hits);
    let noticed = pass(&mut scan, &mut hidden);
    for (start, end) in hidden {
        base64(text, (start, end), depth, hits)?;
    }
    if noticed.encoded
        && let Some(plain) = plain(text)
    {
        if depth == 0 {
            return Err(TooDeep);
        }
        let mut inner = Vec::new();
        find(&plain.text, field, depth.wrapping_sub(1), &mut inner)?;
        hits.extend(inner.into_iter().map(|hit| {
            let (start, end) = plain.source(hit.start, hit.end);
            Hit { start, end, ..hit }
        }));
    }
    Ok(())
}

/// Looks into a run of base64; what hides a hit is a hit.
fn base64(text: &str, (start, end): (usize, usize), depth: u8, hits: &mut Vec<Hit>) -> Result<(), TooDeep> {
    let source = Text::new(text);
    let Some(bytes) = secret::decode(source.slice(start, end)) else { return Ok(()) };
    let Ok(inner) = String::from_utf8(bytes) else { return Ok(()) };
    if inner.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return Ok(());
    }
    if depth == 0 {
        return Err(TooDeep);
    }
    let mut found = Vec::new();
    find(&inner, &[], depth.wrapping_sub(1), &mut found)?;
    if let Some(hit) = found.iter().max_by_key(|hit| hit.detector.rank()) {
        let padding = source.slice(end, end.saturating_add(2).min(text.len()));
        let padding = padding.iter().take_while(|byte| **byte == b'=').count();
        hits.push(Hit { start, end: end.saturating_add(padding), detector: hit.detector });
    }
    Ok(())
}

/// One pass over the bytes. Each byte is classed once; detectors run where a class or a byte asks for one.
fn pass(scan: &mut Scan<'_, '_>, hidden: &mut Vec<(usize, usize)>) -> Noticed {
    let text = scan.text;
    let lexicon = lexicon();
    let mut noticed = Noticed::default();
    let mut before = 0_u8;
    let mut at = 0;
    let mut looked = 0;
    while let Some(byte) = text.bytes().get(at).copied() {
        let classes = class(byte);
        if classes & LETTER != 0 {
            if before & WORD == 0 || (classes & UPPER != 0 && before & LOWER != 0) {
                word(scan, lexicon, at);
                if at >= looked {
                    looked = hides(text, at, hidden);
                }
            }
            if classes & HIGH != 0 && matches!(byte, 0xc2 | 0xcd | 0xd8..=0xdf | 0xe0..=0xe3 | 0xea | 0xef..)
            {
                noticed.encoded = true;
            }
        } else if classes & DIGIT != 0 {
            if before & WORD == 0 {
                number(scan, at);
                if at >= looked {
                    looked = hides(text, at, hidden);
                }
            }
        } else {
            match byte {
                b'@' => mail::at_sign(scan, at),
                b':' => colon(scan, at),
                b'-' => dash(scan, at),
                b'.' if text.is(at.wrapping_add(4), HEX) && text.at(at.wrapping_add(5)) == b'.' => {
                    network::mac(scan, at)
                }
                b'=' => suffixed(scan, at),
                b'%' | b'\\' | b'&' => noticed.encoded |= encodes(text, at, byte),
                b'[' => {
                    if let Some(length) =
                        placeholder_len(text.slice(at, text.len().min(at.saturating_add(24))))
                    {
                        at = at.wrapping_add(length);
                        before = 0;
                        continue;
                    }
                }
                _ => {}
            }
        }
        before = classes;
        at = at.wrapping_add(1);
    }
    noticed
}

/// A letter after none, or a capital after a small letter.
fn word(scan: &mut Scan<'_, '_>, lexicon: &'static Lexicon, at: usize) {
    let text = scan.text;
    if text.is(at.wrapping_add(2), DIGIT) && text.is(at.wrapping_add(3), DIGIT) {
        payment::iban(scan, at);
    }
    if text.is(at, UPPER | LOWER) {
        let letters = text.run_end(at, UPPER | LOWER, 7);
        let space = letters.wrapping_sub(at) == 2 && matches!(text.at(letters), b' ' | b'-');
        if letters.wrapping_sub(at) < 7 && text.is(letters.wrapping_add(usize::from(space)), DIGIT)
            || text.at(letters) == b'-' && letters.wrapping_sub(at) == 1
        {
            identity::lettered(scan, at);
        }
    }
    if lexicon.may_start(text, at) {
        lexicon.found(text, at, |found| lead(scan, at, found.lead, found.end));
    }
}

/// A word of the table.
fn lead(scan: &mut Scan<'_, '_>, start: usize, lead: Lead, end: usize) {
    match lead {
        Lead::Cue(cue) => {
            scan.note(cue, start, end);
            match cue {
                Cue::Birth => identity::birth(scan, end),
                Cue::Cvv => payment::verification_value(scan, end),
                Cue::Dni | Cue::IdCard | Cue::National | Cue::Passport | Cue::Patient => {
                    identity::announced_value(scan, cue, end);
                }
                _ => {}
            }
        }
        Lead::Name(naming) => person::named(scan, naming, start, end),
        Lead::Key(key) => secret::keyed(scan, key, start, end),
        Lead::Bearer => secret::bearer(scan, end),
        Lead::Basic => secret::basic(scan, end),
        Lead::Prefix(prefix) => token::prefixed(scan, prefix, start, end),
    }
}

/// A digit after no letter and no digit.
fn number(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    let end = text.run_end(at, DIGIT, 25);
    if text.at(end) == b'.' && end.wrapping_sub(at) <= 3 {
        network::ipv4(scan, at);
    }
    if end.wrapping_sub(at) >= 6 && (text.is(end, UPPER) || matches!(text.at(end), b'-' | b'+')) {
        identity::numbered(scan, at);
    }
    if text.is(end, LETTER) && end.wrapping_sub(at) < 7 {
        return;
    }
    let found = Number::read(text, at);
    payment::card(scan, &found);
    national::national(scan, &found);
    phone::phone(scan, at);
}

/// A colon: in an IPv6 or hardware address.
fn colon(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    let next = at.wrapping_add(1);
    if text.at(next) == b':' {
        if !text.is_before(at, WORD) || text.is_before(at, HEX) {
            network::ipv6(scan, at);
        }
        return;
    }
    if text.is(next, HEX) && text.is_before(at, HEX) {
        let second = text.run_end(next, HEX, 5);
        if text.at(second) != b':' {
            return;
        }
        let third = text.run_end(second.wrapping_add(1), HEX, 5);
        if text.at(third) == b':' {
            network::ipv6(scan, at);
            network::mac(scan, at);
        }
    }
}

/// A dash: in a hardware address.
fn dash(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    if [3, 6, 9, 12].iter().all(|step| text.at(at.wrapping_add(*step)) == b'-') {
        network::mac(scan, at);
    }
}

/// An equals sign behind an identifier that ends in a secret's name: `dbpassword=`.
fn suffixed(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    if matches!(text.before(at) | 0x20, b'd' | b't' | b'y' | b'n') {
        let start = text.run_start(at, UPPER | LOWER, 24);
        if let Some(key) = secret_suffix(text.slice(start, at)) {
            secret::keyed(scan, key, start, at);
        }
    }
}

/// Whether an encoded character may start at `at`.
fn encodes(text: Text<'_>, at: usize, byte: u8) -> bool {
    let next = text.at(at.wrapping_add(1));
    match byte {
        b'%' => text.is(at.wrapping_add(1), HEX) && text.is(at.wrapping_add(2), HEX),
        b'\\' => matches!(next, b'u' | b'x' | b'/'),
        _ => next == b'#' || text.is(at.wrapping_add(1), LOWER),
    }
}

/// Notes the run of base64 at `at` if it may hide text; returns where the next may start.
fn hides(text: Text<'_>, at: usize, hidden: &mut Vec<(usize, usize)>) -> usize {
    let probe = text.run_end(at, UPPER | LOWER | DIGIT, MIN_HIDDEN);
    if probe.wrapping_sub(at) < MIN_HIDDEN {
        return at;
    }
    let end = text.run_end(at, BASE64, usize::MAX);
    if token::may_hide_text(text.slice(at, end)) {
        hidden.push((at, end));
    }
    end
}

/// Sorts hits and joins those that share bytes, so that no byte of any hit survives; the detector that knows
/// most of the value names the whole.
pub(crate) fn merge(text: &str, hits: &mut Vec<Hit>) {
    for hit in hits.iter_mut() {
        *hit = Hit { start: floor(text, hit.start), end: Text::new(text).boundary(hit.end), ..*hit };
    }
    hits.sort_unstable_by_key(|hit| (hit.start, hit.end));
    let mut merged: Vec<Hit> = Vec::with_capacity(hits.len());
    for hit in hits.drain(..) {
        match merged.last_mut() {
            Some(last) if hit.start < last.end => {
                last.end = last.end.max(hit.end);
                if hit.detector.rank() > last.detector.rank() {
                    last.detector = hit.detector;
                }
            }
            _ => merged.push(hit),
        }
    }
    *hits = merged;
}

/// Rewrites `text` by the rules of the merged hits; with the length of what stands in each one's place.
pub(crate) fn rewrite(text: &str, hits: &[Hit], rules: &Rules) -> (String, Vec<usize>) {
    let source = Text::new(text);
    let mut written = String::with_capacity(text.len());
    let mut lengths = Vec::with_capacity(hits.len());
    let mut at = 0;
    for hit in hits {
        written.push_str(source.str(at, hit.start));
        let start = written.len();
        rules.write(hit.detector, source.str(hit.start, hit.end), &mut written);
        lengths.push(written.len().saturating_sub(start));
        at = hit.end;
    }
    written.push_str(source.str(at, text.len()));
    (written, lengths)
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}
