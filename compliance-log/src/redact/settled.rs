//! When a redacted text needs no second look: nothing of what was left can read otherwise now.
//!
//! A second scan finds something where a detector that found nothing at a place, or something else, finds it once
//! placeholders stand in place of the values. It reads the bytes around its anchor. So a text is settled if no anchor comes
//! or goes by what was written, and if no detector that was called at an anchor which is still there reads what was written
//! – except where what it reads there ends it: a placeholder starts with a bracket, which is no digit and no letter, no
//! anchor in it counts (`engine::Place::passed`), and no detector takes it for a secret.
//!
//! A detector that may read on behind a value, or before it, notes what its result hangs on ([`Doubts::note`]). What is
//! not noted is one of these:
//! - it reads byte by byte from its anchor, and a placeholder in its way ends it without a hit,
//! - it reads bytes that no value which stands apart ([`stands_apart`]) can be among.
//!
//! What is encoded is read in its plain form: where there is one, the text is looked at again unless every place that may be
//! encoded lies in a value. Looked at again in any case: what a field's name announces, and texts of a redactor with detectors
//! of its own; hits with another rule than a placeholder.

use super::detect::{GAP, Hit, REACH, WORDS, is_delimiter};
use super::text::{DIGIT, LETTER, Text, WORD, contains, is, offset};
use super::timestamp::{LONGEST, timestamp_end};

/// The most doubts of one scan, and the most places that may be encoded; with more of either the text is looked at again.
const MAX_DOUBTS: usize = 16;

/// What a detector's result hangs on.
#[derive(Clone, Copy, Default)]
struct Doubt {
    /// Where it was called.
    at: u32,
    start: u32,
    end: u32,
    /// Words before it that announce something count.
    announced: bool,
}

/// What the results of one scan hang on.
pub(crate) struct Doubts {
    noted: [Doubt; MAX_DOUBTS],
    count: usize,
    /// It may hang on anything.
    gave_up: bool,
    /// Where something may be encoded.
    encoded: [u32; MAX_DOUBTS],
    /// How often, also where there is no room for it.
    encodings: usize,
    /// The text had a plain form.
    decoded: bool,
    /// Words that announce something: where what they are told by starts, and where they end.
    words: [(u32, u32); WORDS],
}

impl Doubts {
    pub(crate) fn new() -> Self {
        Self {
            noted: [Doubt::default(); MAX_DOUBTS],
            count: 0,
            gave_up: false,
            encoded: [0; MAX_DOUBTS],
            encodings: 0,
            decoded: false,
            words: [(u32::MAX, u32::MAX); WORDS],
        }
    }

    /// Notes that what was found from the anchor `at` on may hang on what stands between `start` and `end`, and, if
    /// `announced`, on the words before it.
    pub(crate) fn note(&mut self, at: usize, start: usize, end: usize, announced: bool) {
        match self.noted.get_mut(self.count) {
            Some(doubt) => {
                *doubt = Doubt { at: offset(at), start: offset(start), end: offset(end), announced };
                self.count = self.count.wrapping_add(1);
            }
            None => self.give_up(),
        }
    }

    /// Notes a word that announces something.
    pub(crate) fn word(&mut self, index: usize, start: usize, end: usize) {
        match self.words.get_mut(index) {
            Some(word) => *word = (offset(start), offset(end)),
            None => self.give_up(),
        }
    }

    /// Notes that something may be encoded at `at`.
    pub(crate) fn encodes(&mut self, at: usize) {
        if let Some(cell) = self.encoded.get_mut(self.encodings) {
            *cell = offset(at);
        }
        self.encodings = self.encodings.wrapping_add(1);
    }

    /// Whether something may be encoded.
    pub(crate) fn may_be_encoded(&self) -> bool {
        self.encodings > 0
    }

    /// Notes that the text had a plain form, which was searched.
    pub(crate) fn decoded(&mut self) {
        self.decoded = true;
    }

    /// Whether nothing is encoded once the values are gone.
    fn is_plain(&self, hits: &[Hit]) -> bool {
        let gone = |at: &u32| hits.iter().any(|hit| (hit.start..hit.end).contains(&(*at as usize)));
        !self.decoded || self.encoded.get(..self.encodings).is_some_and(|all| all.iter().all(gone))
    }

    /// Notes that the result may hang on anything.
    pub(crate) fn give_up(&mut self) {
        self.gave_up = true;
    }

    /// Whether it may.
    pub(crate) fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Whether nothing is left to find once placeholders stand in place of the merged hits.
    pub(crate) fn settle(&self, text: &str, hits: &[Hit]) -> bool {
        let text = Text::new(text);
        let first = hits.first().map_or(0, |hit| hit.start);
        !self.gave_up
            && self.is_plain(hits)
            && hits.iter().all(|hit| stands_apart(text, *hit))
            && self
                .noted
                .iter()
                .take(self.count)
                .all(|doubt| !self.counts(text, *doubt, hits) || doubt.is_gone(hits))
            && (first > LONGEST || first >= timestamp_end(text))
    }

    fn counts(&self, text: Text<'_>, doubt: Doubt, hits: &[Hit]) -> bool {
        doubt.touches(hits)
            || (doubt.announced
                && self.words.iter().any(|word| announces_otherwise(text, *word, doubt, hits)))
    }
}

impl Doubt {
    /// Whether a value lies in what it hangs on.
    fn touches(self, hits: &[Hit]) -> bool {
        // Most end before the first value or start behind the last.
        let (start, end) = (self.start as usize, self.end as usize);
        let outer =
            hits.first().is_some_and(|hit| hit.start < end) && hits.last().is_some_and(|hit| start < hit.end);
        outer && hits.iter().any(|hit| hit.start < end && start < hit.end)
    }

    /// Whether its anchor lies in a value.
    fn is_gone(self, hits: &[Hit]) -> bool {
        hits.iter().any(|hit| (hit.start..hit.end).contains(&(self.at as usize)))
    }
}

/// Whether a word that announces something goes, or comes nearer or further away, so that it announces another thing.
fn announces_otherwise(text: Text<'_>, (start, end): (u32, u32), doubt: Doubt, hits: &[Hit]) -> bool {
    let Some(distance) = doubt.at.checked_sub(end) else { return false };
    let (start, end, distance) = (start as usize, end as usize, distance as usize);
    let at = end.saturating_add(distance);
    // A bracket or sign before the number is a part of it or not.
    let near = |by: usize| (by <= REACH, by <= REACH.saturating_add(1));
    let (mut written, mut gone) = (0_usize, 0_usize);
    for hit in hits.iter().filter(|hit| hit.end > start && hit.start < at) {
        if hit.start < end {
            return near(distance).1;
        }
        written = written.saturating_add(hit.detector.placeholder().len());
        gone = gone.saturating_add(hit.end.saturating_sub(hit.start));
    }
    // Adjacent no more, once a placeholder stands between.
    let gap = || text.slice(end, at).iter().all(|byte| is(*byte, LETTER) || is_delimiter(*byte));
    gone > 0
        && (near(distance) != near(distance.saturating_add(written).saturating_sub(gone))
            || (distance <= GAP && gap()))
}

/// Whether nothing around a value belongs to it or is read together with it, and nothing in it is a boundary.
fn stands_apart(text: Text<'_>, hit: Hit) -> bool {
    let Hit { start, end, .. } = hit;
    let further = start.wrapping_sub(1);
    let before = start == 0
        || match text.before(start) {
            b' ' | b'"' | b'=' | b'(' | b'<' | b'/' => true,
            // `d'Anna`
            b'\'' => !text.is_before(further, WORD),
            // `2001:db8::`
            b':' => text.before(further) != b':' && text.at(start) != b':',
            _ => false,
        };
    let behind = end == text.len()
        || match text.at(end) {
            b' ' | b'"' | b',' | b')' | b'>' | b';' | b'\\' | b'@' | b'\'' => true,
            b':' => is_port(text, end),
            b'.' => end.wrapping_add(1) == text.len() || text.at(end.wrapping_add(1)) == b' ',
            _ => false,
        };
    before && behind && !contains(text.slice(start, end), is_boundary)
}

/// Whether a byte ends a value or a line.
#[inline(always)]
fn is_boundary(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\'') | (byte == b'`') | (byte == b'\\') | (byte == b'\n')
}

/// Whether the port of an address stands at `colon`.
fn is_port(text: Text<'_>, colon: usize) -> bool {
    let start = colon.wrapping_add(1);
    let end = text.run_end(start, DIGIT, 5);
    text.at(colon) == b':' && end > start && (end == text.len() || matches!(text.at(end), b' ' | b'"' | b','))
}
