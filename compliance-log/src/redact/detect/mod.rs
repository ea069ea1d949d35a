//! The detectors, one file per family, and what they share: the scan they report to.
//!
//! A detector is called at an anchor – a byte that every value of its family has – looks around it, checks
//! what it finds, and reports a hit. It reads a bounded number of bytes around the anchor, or bytes that no
//! later anchor of the same family is called for: that keeps a scan linear. Where every value is replaced by a placeholder,
//! anchors in a value of digits or of random characters are passed over ([`Scan::number`], [`Scan::is_opaque`]): what
//! lies there goes with it. A detector that may find
//! something else once a placeholder stands nearby says so ([`Scan::hangs_on`], [`settled`](super::settled)).

pub(crate) mod assignment;
pub(crate) mod command;
pub(crate) mod digits;
pub(crate) mod identity;
pub(crate) mod mail;
pub(crate) mod national;
pub(crate) mod network;
pub(crate) mod number;
pub(crate) mod payment;
pub(crate) mod person;
pub(crate) mod phone;
pub(crate) mod place;
pub(crate) mod secret;
pub(crate) mod token;

use std::cell::Cell;
use std::ops::Range;

use smallvec::SmallVec;

use super::detector::Detector;
use super::lexicon::{Cue, MAX_WORD, is_filler, is_number_word, is_reference, is_version};
use super::settled::Doubts;
use super::text::{LETTER, LOWER, Text, UPPER, is};

/// A range of the text and what it is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) detector: Detector,
    /// One more than the index of the service's own detector, 0 for none.
    pub(crate) custom: u32,
}

/// What was found: in most texts few things, which stay where they are found.
pub(crate) type Hits = SmallVec<[Hit; 4]>;

/// The families whose hits have no bound in length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Open {
    Keyed,
    Prefixed,
    Scheme,
}

/// How a value stands to the word that announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Announced {
    /// No such word.
    No,
    /// The word stands before the value, on the same line.
    Near,
    /// Between word and value there are only delimiters and filler words.
    Adjacent,
}

/// How far behind its word a value may stand, in bytes.
pub(crate) const REACH: usize = 56;
/// How long the gap to an adjacent value may be, in bytes.
pub(crate) const GAP: usize = 40;
/// What is read behind a value to tell whether it ends there, in bytes.
pub(crate) const BEHIND: usize = 2;
/// How far before a number the word `id` is looked for, in bytes.
pub(crate) const ID: usize = 4;
/// So many bytes before its end a value is looked at again: a word may start there that names or announces what stands behind
/// it, of at most [`MAX_WORD`] bytes and before a gap, with a few more words in the case of a birth.
const TAIL: usize = MAX_WORD + GAP + identity::FURTHER;
const _: () = assert!(TAIL >= assignment::NAME && TAIL >= MAX_WORD + REACH);
/// How many words are remembered as announcing something.
pub(crate) const WORDS: usize = 8;
const _: () = assert!(WORDS.is_power_of_two());

/// One scan over one text.
pub(crate) struct Scan<'t, 'h> {
    pub(crate) text: Text<'t>,
    hits: &'h mut Hits,
    recent: [(Cue, usize, usize); WORDS],
    recents: usize,
    /// One bit for each cue that a word has announced.
    noted: u64,
    /// Where the last hit of unbounded length ends, by family: what lies before needs no second look.
    open: [usize; 3],
    /// Of the last value with a key, where the key's name ends and where the value starts.
    named: (usize, usize),
    /// Where the last long run ends that turned out to be nothing.
    dull: usize,
    /// Where the last run of hexadecimal digits and colons ends that was looked at for an address.
    pub(crate) address: usize,
    /// Where the last value of digits ends behind which nothing goes on: a number in it is a part of it.
    number_end: usize,
    /// Whether every value is replaced by a placeholder: then what lies in one goes with it.
    replaces_all: bool,
    /// From where to where there is nothing but a value that holds no others.
    opaque: Range<usize>,
    /// Where the word starts that made a number at the place at hand a technical one; one left over from an earlier
    /// place only widens a doubt.
    referred: Cell<Option<usize>>,
    /// What the result hangs on.
    doubts: &'h mut Doubts,
    /// A field's name that announces the whole text.
    field: &'t [Cue],
}

impl<'t, 'h> Scan<'t, 'h> {
    pub(crate) fn new(
        text: &'t str,
        field: &'t [Cue],
        replaces_all: bool,
        hits: &'h mut Hits,
        doubts: &'h mut Doubts,
    ) -> Self {
        Self {
            text: Text::new(text),
            hits,
            recent: [(Cue::Iban, 0, 0); WORDS],
            recents: 0,
            noted: 0,
            open: [0; 3],
            named: (0, 0),
            dull: 0,
            address: 0,
            number_end: 0,
            replaces_all,
            opaque: 0..0,
            referred: Cell::new(None),
            doubts,
            field,
        }
    }

    /// Reports a hit.
    pub(crate) fn hit(&mut self, start: usize, end: usize, detector: Detector) {
        if start < end {
            self.hits.push(Hit { start, end, detector, custom: 0 });
        }
    }

    /// Reports a hit whose length has no bound; detectors of such hits ask [`Self::is_open`] first.
    pub(crate) fn open_hit(&mut self, family: Open, start: usize, end: usize, detector: Detector) {
        self.hit(start, end, detector);
        if let Some(open) = self.open.get_mut(family as usize) {
            *open = (*open).max(end);
        }
    }

    /// As [`open_hit`](Self::open_hit), for a value in which no other is looked for, but at its start, which may say more of it,
    /// and at its end, where the name of a key may go on behind it.
    pub(crate) fn opaque_hit(&mut self, family: Open, start: usize, end: usize, detector: Detector) {
        self.open_hit(family, start, end, detector);
        let to = end.saturating_sub(TAIL);
        if self.replaces_all && to > self.opaque.end {
            // A JWT in a bearer token: the token's start stays left out.
            let start = if self.is_opaque(start) { self.opaque.start } else { start.saturating_add(1) };
            self.opaque = start..to;
        }
    }

    /// Reports a token of unbounded length: as an [opaque one](Self::opaque_hit), unless it may go on in another's eyes.
    pub(crate) fn token_hit(&mut self, family: Open, start: usize, end: usize, detector: Detector) {
        let ends =
            matches!(self.text.at(end), b' ' | b'"' | b',' | b')' | b';' | b'>' | b'<' | b'\'' | b'\n');
        if ends || end == self.text.len() {
            self.opaque_hit(family, start, end, detector);
        } else {
            self.open_hit(family, start, end, detector);
        }
    }

    /// Whether what is seen at `at` needs no look.
    #[inline]
    pub(crate) fn is_opaque(&self, at: usize) -> bool {
        self.opaque.contains(&at)
    }

    /// From where to where nothing needs a look.
    #[inline]
    pub(crate) fn opaque(&self) -> Range<usize> {
        self.opaque.clone()
    }

    /// Reports the value of the key whose name stands at `name`, from `start` to `end`.
    pub(crate) fn keyed_hit(&mut self, name: (usize, usize), start: usize, end: usize, detector: Detector) {
        // Where a hit covers what stands between name and value, or goes on behind the value, the name is asked again.
        self.hangs_on(name.0, name.1, start);
        self.hangs_on(name.0, end, end.saturating_add(1));
        self.named = (name.1, start);
        self.open_hit(Open::Keyed, start, end, detector);
    }

    /// Whether a key at `start` lies inside the value of another one, or before it: then that value is read already. Between
    /// name and value a key may have a value of its own.
    pub(crate) fn is_keyed(&mut self, start: usize) -> bool {
        let is_open = self.is_open(Open::Keyed, start);
        if is_open && (self.named.0..self.named.1).contains(&start) {
            self.hangs_on_all(start);
        }
        is_open
    }

    /// Where the value of a key ends that `at` lies in, if it has no quotes.
    pub(crate) fn bare_value_end(&self, at: usize) -> Option<usize> {
        let (_, start) = self.named;
        let bare = start <= at && !matches!(self.text.before(start), b'"' | b'\'' | b'`');
        self.open.get(Open::Keyed as usize).copied().filter(|end| bare && at < *end)
    }

    /// Whether `at` lies inside a hit of unbounded length that the same family found.
    pub(crate) fn is_open(&self, family: Open, at: usize) -> bool {
        self.open.get(family as usize).is_some_and(|open| at < *open)
    }

    /// Whether `at` lies in a run that turned out to be nothing.
    pub(crate) fn is_dull(&self, at: usize) -> bool {
        at < self.dull
    }

    /// Notes that the run up to `end` needs no second look.
    pub(crate) fn dull(&mut self, end: usize) {
        self.dull = self.dull.max(end);
    }

    /// Reads the number at `at`, unless it is a part of a value of digits that was found.
    #[inline]
    pub(crate) fn number(&mut self, at: usize, read: impl FnOnce(&mut Self)) {
        if at < self.number_end {
            return;
        }
        let earlier = self.found();
        read(self);
        if self.found() > earlier
            && self.replaces_all
            && let Some(hit) = self.hits.last()
            && number::ends_all(self.text, hit.end)
        {
            self.number_end = hit.end;
        }
    }

    /// How much was found so far.
    pub(crate) fn found(&self) -> usize {
        self.hits.len()
    }

    /// Notes that the result at the anchor `at` may hang on what stands between `start` and `end`.
    pub(crate) fn hangs_on(&mut self, at: usize, start: usize, end: usize) {
        self.doubt(at, start, end, false);
    }

    /// Notes that the result at the anchor `at` may hang on the whole text.
    pub(crate) fn hangs_on_all(&mut self, at: usize) {
        self.hangs_on(at, 0, usize::MAX);
    }

    /// Notes that something may be encoded at `at`.
    pub(crate) fn encodes(&mut self, at: usize) {
        self.doubts.encodes(at);
    }

    /// Whether the result may hang on anything already.
    pub(crate) fn gave_up(&self) -> bool {
        self.doubts.gave_up()
    }

    fn doubt(&mut self, at: usize, start: usize, end: usize, announced: bool) {
        // What lies in a value goes with it.
        if self.hits.last().is_none_or(|hit| !(hit.start..hit.end).contains(&at)) {
            self.doubts.note(at, start, end, announced);
        }
    }

    /// Notes that the result at the anchor `at`, where what was read ends at `end`, may hang on what stands there and right
    /// before, and on every word before that announces something.
    pub(crate) fn hangs_on_words(&mut self, at: usize, end: usize) {
        let word = self.referred.take().unwrap_or(at);
        self.doubt(at, word.min(at.saturating_sub(ID)), end.saturating_add(BEHIND), true);
    }

    /// As [`hangs_on_words`](Self::hangs_on_words), if nothing was found since [`found`](Self::found) was `earlier` and there
    /// is a word that counts.
    #[inline]
    pub(crate) fn hangs_on_words_since(&mut self, earlier: usize, at: usize) {
        if self.found() == earlier && (self.has_cues() || self.referred.get().is_some()) {
            self.hangs_on_words(at, at);
        }
    }

    /// As [`hangs_on_words_since`](Self::hangs_on_words_since), for a word for a technical number alone.
    #[inline]
    pub(crate) fn hangs_on_reference(&mut self, earlier: usize, at: usize) {
        if self.found() == earlier && self.referred.get().is_some() {
            self.hangs_on_words(at, at);
        }
    }

    /// Hands over the words that announced anything to what the result hangs on.
    pub(crate) fn hand_over_words(&mut self) {
        for (index, (_, start, end)) in self.recent.iter().take(self.recents).enumerate() {
            self.doubts.word(index, *start, *end);
        }
        if self.recents > self.recent.len() {
            self.doubts.give_up();
        }
    }

    /// Remembers an announcing word.
    pub(crate) fn announce(&mut self, cue: Cue, start: usize, end: usize) {
        if let Some(cell) = self.recent.get_mut(self.recents & (WORDS - 1)) {
            *cell = (cue, start, end);
            self.recents = self.recents.wrapping_add(1);
            self.noted |= bit(cue);
        }
    }

    /// Whether any word has announced anything yet.
    pub(crate) fn has_cues(&self) -> bool {
        self.recents != 0 || !self.field.is_empty()
    }

    /// Whether a word has announced `cue`, or the field's name has announced anything.
    #[inline]
    pub(crate) fn has_cue(&self, cue: Cue) -> bool {
        self.noted & bit(cue) != 0 || !self.field.is_empty()
    }

    /// As [`has_cue`](Self::has_cue), for any of those whose [bits](bits) these are.
    #[inline]
    pub(crate) fn has_any_cue(&self, bits: u64) -> bool {
        self.noted & bits != 0 || !self.field.is_empty()
    }

    /// How `cue` announces the value at `start`.
    #[inline]
    pub(crate) fn announced(&self, cue: Cue, start: usize) -> Announced {
        if !self.has_cue(cue) {
            return Announced::No;
        }
        self.announced_here(cue, start)
    }

    fn announced_here(&self, cue: Cue, start: usize) -> Announced {
        let mut best = Announced::No;
        if self.field.contains(&cue) {
            if self.lead_in(0, start) {
                return Announced::Adjacent;
            }
            // A word inside may announce it better.
            best = Announced::Near;
        }
        for (noted, _, end) in self.recent.iter().take(self.recents) {
            if *noted != cue || *end > start || start.saturating_sub(*end) > REACH {
                continue;
            }
            if self.lead_in(*end, start) {
                return Announced::Adjacent;
            }
            if !self.text.slice(*end, start).contains(&b'\n') {
                best = Announced::Near;
            }
        }
        best
    }

    /// Whether a technical number stands at `start`: an order, a parcel, a version. The word that says so stands
    /// before it, with delimiters and words for a number at most between: an `order from` somewhere is no number of one.
    pub(crate) fn is_reference(&self, start: usize) -> bool {
        let text = self.text;
        let mut at = start;
        for _ in 0..3 {
            let floor = at.saturating_sub(8);
            while at > floor && is_delimiter(text.before(at)) {
                at = at.wrapping_sub(1);
            }
            let end = at;
            while end.wrapping_sub(at) < 24 && text.is_before(at, LETTER) {
                at = at.wrapping_sub(1);
                if text.is(at, UPPER) && text.is_before(at, LOWER) {
                    break;
                }
            }
            let word = text.slice(at, end);
            if word.is_empty() {
                return false;
            }
            if is_reference(word) {
                self.referred.set(Some(at));
                return true;
            }
            if !is_number_word(word) {
                return false;
            }
        }
        false
    }

    /// Whether the number at `start` is that of a version or section: the word stands right before it.
    pub(crate) fn is_version(&self, start: usize) -> bool {
        let text = self.text;
        let mut end = start;
        while start.wrapping_sub(end) < 4 && is_delimiter(text.before(end)) {
            end = end.wrapping_sub(1);
        }
        let word = text.run_start(end, LETTER, 24);
        let found = is_version(text.slice(word, end));
        if found {
            self.referred.set(Some(word));
        }
        found
    }

    /// Whether only delimiters and at most two filler words stand between `from` and `to`.
    fn lead_in(&self, from: usize, to: usize) -> bool {
        to.saturating_sub(from) <= GAP && self.skip_gap(from, to) == to
    }

    /// Where a value that follows a word ending at `from` starts, at most at `limit`.
    pub(crate) fn skip_gap(&self, from: usize, limit: usize) -> usize {
        let mut at = from;
        let mut words = 0_usize;
        while at < limit {
            let byte = self.text.at(at);
            if is(byte, LETTER) {
                let end = self.text.run_end(at, LETTER, 16);
                if words == 2 || end > limit || !is_filler(self.text.slice(at, end)) {
                    return at;
                }
                words = words.wrapping_add(1);
                at = end;
            } else if is_delimiter(byte) {
                at = at.wrapping_add(1);
            } else {
                return at;
            }
        }
        at
    }

    /// Where the value announced by a word ending at `end` may start.
    pub(crate) fn value_after(&self, end: usize) -> usize {
        self.skip_gap(end, end.saturating_add(GAP))
    }
}

/// The bit of what a word announces.
// 64 bits for fifty cues; two that share one cost a look, never a hit.
#[inline]
const fn bit(cue: Cue) -> u64 {
    1_u64.wrapping_shl(cue as u32)
}

/// The bits of what several words announce.
pub(crate) const fn bits(cues: &[Cue]) -> u64 {
    let mut bits = 0;
    let mut left = cues;
    while let [cue, rest @ ..] = left {
        bits |= bit(*cue);
        left = rest;
    }
    bits
}

/// What may stand between a word and the value it announces.
#[inline]
pub(crate) fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b':'
            | b'='
            | b'"'
            | b'\''
            | b'\\'
            | b'#'
            | b'('
            | b')'
            | b'.'
            | b'-'
            | b'>'
            | b'_'
            | b'\t'
            | b'/'
            | b'`'
            | b'<'
            | b'*'
    )
}
