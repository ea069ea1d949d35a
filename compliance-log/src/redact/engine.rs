//! The scan: one pass that calls detectors at anchors, looks behind encodings, and merges what was found.

use std::ops::Range;

use super::anchor::{Anchors, Windows};
use super::custom::Customs;
use super::decode::{ESC, is_form_space, may_encode, plain};
use super::detect::number::{Number, goes_on, starts_checked};
use super::detect::{
    Announced, Hit, Hits, Scan, command, identity, mail, national, network, payment, person, phone, place,
    secret, token,
};
use super::detector::{Detector, placeholder_at};
use super::lexicon::{Cue, Lead, lexicon, may_end_suffix, secret_suffix};
use super::rule::{Rule, Rules};
use super::settled::Doubts;
use super::text::{ALNUM, BASE64, DIGIT, HEX, LETTER, LOWER, Text, UPPER, WORD, is};

/// How deep encodings may be nested before the text is dropped instead of passed.
const MAX_DEPTH: u8 = 4;

/// Text whose encodings are nested deeper than is looked.
#[derive(Debug)]
pub(crate) struct TooDeep;

/// What a text is searched for, and in how many further encodings.
#[derive(Clone, Copy)]
pub(crate) struct Search<'r> {
    /// What stays does not hide what is found in it.
    rules: &'r Rules,
    customs: &'r Customs,
    depth: u8,
}

impl<'r> Search<'r> {
    pub(crate) fn new(rules: &'r Rules, customs: &'r Customs) -> Self {
        Self { rules, customs, depth: MAX_DEPTH }
    }

    /// The search of a text that another one holds.
    fn deeper(self) -> Result<Self, TooDeep> {
        Ok(Self { depth: self.depth.checked_sub(1).ok_or(TooDeep)?, ..self })
    }
}

/// Finds everything in `text` and appends it to `hits`, in no order.
pub(crate) fn find(text: &str, field: &[Cue], search: Search<'_>, hits: &mut Hits) -> Result<(), TooDeep> {
    find_from(text, field, search, hits, windows(text, field).as_mut(), &mut Doubts::new())
}

/// The windows of a text; nothing when there is no place in it where a value may be.
#[inline(always)]
pub(crate) fn windows<'t>(text: &'t str, field: &[Cue]) -> Option<Windows<'t>> {
    Windows::new(Text::new(text), lexicon(), !field.is_empty())
}

/// As [`find`], in the windows of a text; notes what the result hangs on.
pub(crate) fn find_from(
    text: &str,
    field: &[Cue],
    search: Search<'_>,
    hits: &mut Hits,
    windows: Option<&mut Windows<'_>>,
    doubts: &mut Doubts,
) -> Result<(), TooDeep> {
    // A service's own detector may find something beside what it found.
    if !search.customs.is_empty() {
        doubts.give_up();
    }
    search.customs.find(text, hits);
    let Some(windows) = windows else { return Ok(()) };
    let Some(first) = windows.next(!field.is_empty(), 0..0) else { return Ok(()) };
    let mut hidden = Vec::new();
    let mut scan = Scan::new(text, field, search.rules.replaces_all(), hits, doubts);
    pass(&mut scan, &mut hidden, &first, |announced, opaque| windows.next(announced, opaque));
    scan.hand_over_words();
    if !field.is_empty() {
        doubts.give_up();
    }
    for (start, end) in &hidden {
        doubts.note(*start, *start, end.saturating_add(1), false);
    }
    if find_rest(text, field, search, hits, hidden, doubts.may_be_encoded())? {
        doubts.decoded();
    }
    Ok(())
}

/// Looks into what a pass leaves: runs that may hide text, and text that may be encoded. Tells whether it was.
pub(crate) fn find_rest(
    text: &str,
    field: &[Cue],
    search: Search<'_>,
    hits: &mut Hits,
    hidden: Vec<(usize, usize)>,
    encoded: bool,
) -> Result<bool, TooDeep> {
    // What lies in a value goes with it.
    let mut values: Vec<_> = if search.rules.replaces_all() && !hidden.is_empty() {
        hits.iter().map(|hit| (hit.start, hit.end)).collect()
    } else {
        Vec::new()
    };
    values.sort_unstable();
    let mut values = values.into_iter().peekable();
    let mut gone = 0;
    let mut read = 0..0;
    for (start, end) in hidden {
        while let Some((_, value_end)) = values.next_if(|(value, _)| *value <= start) {
            gone = gone.max(value_end);
        }
        if end <= gone {
            continue;
        }
        // What starts with one of its groups of four is a part of what was read.
        let part =
            read.contains(&start) && end <= read.end && start.wrapping_sub(read.start).is_multiple_of(4);
        if !part && base64(text, (start, end), search, hits)? {
            read = start..end;
        }
    }
    if !encoded {
        return Ok(false);
    }
    // A private key is one, however its lines are broken; one that stays hides nothing.
    let mut keys: Vec<_> = hits
        .iter()
        .filter(|hit| hit.detector == Detector::PemKey && search.rules.of(hit.detector) != Rule::Keep)
        .map(|hit| hit.start..hit.end)
        .collect();
    keys.sort_unstable_by_key(|key| key.start);
    let Some(plain) = plain(text, &keys) else { return Ok(false) };
    let mut inner = Hits::new();
    find(&plain.text, field, search.deeper()?, &mut inner)?;
    hits.extend(inner.into_iter().map(|hit| {
        let (start, end) = plain.source(hit.start, hit.end);
        Hit { start, end, ..hit }
    }));
    Ok(true)
}

/// Looks into a run of base64; what hides a hit is a hit. Tells whether it stands for text.
fn base64(
    text: &str,
    (start, end): (usize, usize),
    search: Search<'_>,
    hits: &mut Hits,
) -> Result<bool, TooDeep> {
    let source = Text::new(text);
    let Some(bytes) = secret::decode(source.slice(start, end)) else { return Ok(false) };
    let Ok(inner) = String::from_utf8(bytes) else { return Ok(false) };
    if inner.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        return Ok(false);
    }
    let mut found = Hits::new();
    find(&inner, &[], search.deeper()?, &mut found)?;
    let replaced = found.iter().filter(|hit| search.rules.of(hit.detector) != Rule::Keep);
    if let Some(hit) = replaced.max_by_key(|hit| hit.detector.rank()) {
        hits.push(Hit { start, end: secret::padded_end(source, end), ..*hit });
    }
    Ok(true)
}

/// One pass over the bytes: detectors run at anchors. What may be encoded is noted: a percent sign, backslash, ampersand,
/// colour, or character outside ASCII that may stand for another.
pub(crate) fn pass(
    scan: &mut Scan<'_, '_>,
    hidden: &mut Vec<(usize, usize)>,
    first: &Anchors,
    mut following: impl FnMut(bool, Range<usize>) -> Option<Anchors>,
) {
    let mut place = Place::default();
    window(scan, hidden, first, &mut place);
    while let Some(anchors) = following(scan.has_cues(), scan.opaque()) {
        window(scan, hidden, &anchors, &mut place);
    }
}

/// How far a pass has come.
#[derive(Default)]
struct Place {
    run: Run,
    /// Up to here anchors lie in a placeholder.
    passed: usize,
}

/// One window of a pass.
fn window(scan: &mut Scan<'_, '_>, hidden: &mut Vec<(usize, usize)>, anchors: &Anchors, place: &mut Place) {
    let mut announced = scan.has_cues();
    let mut left = anchors.all | if announced { anchors.numbers } else { 0 };
    while left != 0 {
        let one = left & left.wrapping_neg();
        left ^= one;
        let at = anchors.start.wrapping_add(one.trailing_zeros() as usize);
        if at < place.passed || scan.is_opaque(at) {
            continue;
        }
        if anchors.runs & one != 0
            && let Some((start, end)) = place.run.look(scan.text, at, hidden)
        {
            scan.hit(start, end, Detector::Dropped);
        }
        let byte = scan.text.at(at);
        match byte {
            b'0'..=b'9' => scan.number(at, |scan| number(scan, at)),
            b'[' => {
                place.passed = at.wrapping_add(placeholder_at(scan.text, at).unwrap_or(0));
                if scan.text.before(at) == ESC {
                    scan.encodes(at.wrapping_sub(1));
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => {
                if byte >= 0x80 {
                    scan.encodes(at);
                }
                if anchors.lettered & one != 0 {
                    lettered(scan, at);
                }
                if (anchors.words | anchors.runs) & one != 0 {
                    lexicon().found(scan.text, at, |found| lead(scan, at, found.lead, found.end));
                }
                if !announced && scan.has_cues() {
                    // From here on short numbers count.
                    announced = true;
                    left |= anchors.numbers & !(one | one.wrapping_sub(1));
                }
            }
            _ => sign(scan, at, byte),
        }
    }
}

/// A byte that is neither letter nor digit.
fn sign(scan: &mut Scan<'_, '_>, at: usize, byte: u8) {
    match byte {
        b'@' => mail::at_sign(scan, at),
        b':' => {
            colon(scan, at);
            suffixed(scan, at);
        }
        b'-' => dash(scan, at),
        b'.' => network::mac(scan, at),
        b'=' => suffixed(scan, at),
        b'+' | b'(' => {
            dialled(scan, at);
            if byte == b'+' && is_form_space(scan.text, at) {
                scan.encodes(at);
            }
        }
        b'%' | b'\\' | b'&' if may_encode(scan.text, at) => scan.encodes(at),
        _ => {}
    }
}

/// Letters that go over into digits: an account or an identifier.
fn lettered(scan: &mut Scan<'_, '_>, at: usize) {
    let earlier = scan.found();
    if scan.text.is(at.wrapping_add(2), DIGIT) && scan.text.is(at.wrapping_add(3), DIGIT) {
        payment::iban(scan, at);
    }
    identity::lettered(scan, at);
    scan.hangs_on_words_since(earlier, at);
}

/// A word of the table.
fn lead(scan: &mut Scan<'_, '_>, start: usize, lead: Lead, end: usize) {
    match lead {
        // `security patch 202611221`
        Lead::Cue(Cue::Ssn) if text_is(scan, start, end, b"security") && !social(scan, start) => {}
        // `SV-Nummer`
        Lead::Cue(Cue::Svnr) if text_is(scan, start, end, b"sv") && !scan.text.has_any_case(end, b"-n") => {}
        Lead::Cue(cue) => {
            // `social security`
            let told = if cue == Cue::Ssn { start.saturating_sub(b"social ".len()) } else { start };
            scan.announce(cue, told, end);
            match cue {
                Cue::Birth => identity::birth(scan, end),
                Cue::Geo => place::coordinates(scan, end),
                Cue::Cvv => payment::verification_value(scan, end),
                Cue::Csc if scan.announced(Cue::Card, start) != Announced::No => {
                    payment::verification_value(scan, end);
                }
                Cue::Csc => scan.hangs_on_words(start, start),
                Cue::Mac => network::announced_mac(scan, end),
                Cue::Dni
                | Cue::IdCard
                | Cue::Member
                | Cue::National
                | Cue::Pass
                | Cue::Passport
                | Cue::Patient
                | Cue::Pps => {
                    identity::announced_value(scan, cue, end);
                }
                _ => {}
            }
        }
        Lead::Name(naming) => person::named(scan, naming, start, end),
        Lead::Key(key) => secret::keyed(scan, key, start, end),
        Lead::Bearer => secret::bearer(scan, end),
        Lead::Command(program) => command::command(scan, program, start, end),
        Lead::Identified => {
            scan.hangs_on_all(start);
            secret::identified(scan, end);
        }
        Lead::Pass => secret::pass(scan, start, end),
        Lead::Basic => secret::basic(scan, end),
        Lead::Prefix(prefix) => token::prefixed(scan, prefix, start, end),
    }
}

fn text_is(scan: &Scan<'_, '_>, start: usize, end: usize, word: &[u8]) -> bool {
    scan.text.slice(start, end).eq_ignore_ascii_case(word)
}

/// Whether `social` stands before the word at `start`.
fn social(scan: &Scan<'_, '_>, start: usize) -> bool {
    scan.text.has_any_case(start.wrapping_sub(b"social ".len()), b"social")
        || scan.text.has_any_case(start.wrapping_sub(b"social".len()), b"social")
}

/// A digit after no letter and no digit.
fn number(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    let earlier = scan.found();
    let end = text.digits_end(at, 25);
    let size = end.wrapping_sub(at);
    let behind = text.at(end);
    let address = behind == b'.' && size <= 3 && network::ipv4(scan, at);
    scan.hangs_on_reference(earlier, at);
    if address && !scan.has_cues() {
        return;
    }
    if size >= 6 && (is(behind, UPPER | LOWER) || matches!(behind, b'-' | b'+')) {
        identity::numbered(scan, at);
        scan.hangs_on_words_since(earlier, at);
    }
    // No value is so short.
    if size < 6 && !goes_on(text, end) {
        return;
    }
    // What follows a plus sign is looked at from there.
    if (is(behind, LETTER) && size < 7) || text.before(at) == b'+' {
        return;
    }
    let grouped = matches!(behind, b' ' | b'-' | b'.' | b'/') && text.is(end.wrapping_add(1), DIGIT);
    let cued = scan.has_cues();
    if !cued {
        // Unannounced and in one run, only these lengths carry a check worth its name.
        let worth = match size {
            11 | 14..=19 => true,
            13 => text.has(at, b"756"),
            _ => grouped,
        };
        if !worth || !starts_checked(text, at) {
            return;
        }
    }
    // Fewer digits are no identifier.
    let identifies = grouped || size >= 8;
    let dialled = (cued || grouped) && phone::may_be(scan, at, size);
    if !identifies && !dialled {
        return;
    }
    let mut found = Number::at(at);
    found.read(text);
    if identifies {
        identifier(scan, &found, earlier);
    }
    if dialled {
        phone::phone(scan, &found);
    }
}

/// A number that may be an identifier; `earlier` was found before.
fn identifier(scan: &mut Scan<'_, '_>, found: &Number, earlier: usize) {
    if found.count() < 8 {
        return;
    }
    payment::card(scan, found);
    national::national(scan, found);
    if scan.found() == earlier {
        scan.hangs_on_words(found.start, found.end());
    }
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

/// A plus sign or bracket: before a telephone number, or in a Finnish code of the nineteenth century.
fn dialled(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    let next = at.wrapping_add(1);
    let bracket = usize::from(text.at(next) == b'(');
    if text.is(next.wrapping_add(bracket), DIGIT) {
        scan.number(at, |scan| phone::signed(scan, next.wrapping_add(bracket)));
    }
    if text.at(at) == b'+' && text.run_start(at, DIGIT, 7) == at.wrapping_sub(6) {
        identity::numbered(scan, at.wrapping_sub(6));
        scan.hangs_on_words(at, at);
    }
}

/// A sign of assignment behind an identifier that ends in a secret's name: `dbpassword=`, `"webtoken":`.
fn suffixed(scan: &mut Scan<'_, '_>, at: usize) {
    let text = scan.text;
    let end = at.wrapping_sub(usize::from(text.before(at) == b'"'));
    if may_end_suffix(text.before(end)) {
        let start = text.run_start(end, UPPER | LOWER, 24);
        if let Some(key) = secret_suffix(text.slice(start, end)) {
            secret::keyed(scan, key, start, end);
        }
    }
}

/// The run of base64 that is being looked into: letters and digits, and the signs that join them.
#[derive(Default)]
struct Run {
    end: usize,
    /// How often it was looked into up to its end.
    wholes: u8,
}

impl Run {
    /// So often a run is looked into up to its end, from any of its parts; a longer rest that may hide text is dropped, or
    /// a line of a million parts would take a million squared.
    const WHOLES: u8 = 8;
    /// So long a rest is always looked into.
    const SHORT: usize = 256;

    /// Notes what may hide text from `at` on, where letters and digits begin. A sign that joins them belongs to base64url,
    /// or to a path or name around it: `/customers/YW5uYUBl…/orders`. So the part itself counts, and what goes on behind it.
    /// What may hide text and is not looked into comes back.
    fn look(
        &mut self,
        text: Text<'_>,
        at: usize,
        hidden: &mut Vec<(usize, usize)>,
    ) -> Option<(usize, usize)> {
        let mut note = |start: usize, end: usize| {
            if token::may_hide_text(text.slice(start, end)) {
                hidden.push((start, end));
            }
        };
        let part = text.run_end(at, ALNUM, usize::MAX);
        if at >= self.end {
            let start = text.run_start(at, BASE64, at.saturating_sub(self.end));
            *self = Self { end: text.run_end(part, BASE64, usize::MAX), wholes: 0 };
            if start < at {
                note(start, self.end);
            }
        }
        if self.wholes < Self::WHOLES || self.end.saturating_sub(at) <= Self::SHORT {
            self.wholes = self.wholes.saturating_add(1);
            note(at, self.end);
        } else if token::may_hide_text(text.slice(at, at.saturating_add(Self::SHORT))) {
            return Some((at, self.end));
        }
        if part < self.end {
            note(at, part);
        }
        None
    }
}

/// Sorts hits and joins those that share bytes, so that no byte of any hit survives; of the detectors that found something
/// the one that knows most of the value names the whole.
pub(crate) fn merge(text: &str, hits: &mut Hits) {
    for hit in hits.iter_mut() {
        *hit = Hit { start: floor(text, hit.start), end: Text::new(text).boundary(hit.end), ..*hit };
    }
    if hits.len() < 2 {
        return;
    }
    hits.sort_unstable_by_key(|hit| (hit.start, hit.end));
    hits.dedup_by(|hit, last| {
        let shared = hit.start < last.end;
        if shared {
            last.end = last.end.max(hit.end);
            if hit.detector.rank() > last.detector.rank() {
                last.detector = hit.detector;
                last.custom = hit.custom;
            }
        }
        shared
    });
}

/// Rewrites `text` by the rules of the merged hits; where `lengths` are wanted, with the length of what stands in each one's
/// place.
pub(crate) fn rewrite(
    text: &str,
    hits: &[Hit],
    rules: &Rules,
    mut lengths: Option<&mut Vec<usize>>,
) -> String {
    let source = Text::new(text);
    let mut written = String::with_capacity(text.len().saturating_add(16));
    let mut at = 0;
    for hit in hits {
        written.push_str(source.str(at, hit.start));
        let start = written.len();
        rules.write(hit, source.str(hit.start, hit.end), &mut written);
        if let Some(lengths) = &mut lengths {
            lengths.push(written.len().saturating_sub(start));
        }
        at = hit.end;
    }
    written.push_str(source.str(at, text.len()));
    written
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}
