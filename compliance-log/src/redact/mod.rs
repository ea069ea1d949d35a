//! Finds personal data and secrets in text and takes them out.

mod decode;
mod detect;
mod detector;
mod engine;
mod lexicon;
mod text;

use std::borrow::Cow;
use std::fmt;

use self::detect::Hit;
pub use self::detector::Detector;
use self::lexicon::{Cue, Lead, lexicon};

/// Finds personal data and secrets in text and puts a placeholder in each one's place.
///
/// One redactor serves a whole process; it is cheap to clone and free of locks.
///
/// ```
/// use compliance_log::redact::Redactor;
///
/// let redactor = Redactor::new();
/// assert_eq!(redactor.redact("paid by anna@example.com"), "paid by [EMAIL]");
/// assert_eq!(redactor.redact("build 1.4.2 took 35 ms"), "build 1.4.2 took 35 ms");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    _rules: (),
}

/// A range of a text and what was found there; offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    start: usize,
    end: usize,
    detector: Detector,
}

impl Span {
    /// Where the value starts, in bytes.
    #[must_use]
    pub fn start(&self) -> usize {
        self.start
    }

    /// Where the value ends, in bytes.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end
    }

    /// What was found.
    #[must_use]
    pub fn detector(&self) -> Detector {
        self.detector
    }
}

/// A redacted text and where the original was changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Redaction<'t> {
    original: &'t str,
    text: Cow<'t, str>,
    spans: Vec<Span>,
}

impl fmt::Debug for Redaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction")
            .field("text", &self.text)
            .field("spans", &self.spans)
            .finish_non_exhaustive()
    }
}

impl<'t> Redaction<'t> {
    /// The text that may be passed on.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text that may be passed on, borrowed where nothing was found.
    #[must_use]
    pub fn into_text(self) -> Cow<'t, str> {
        self.text
    }

    /// What was found in the original, in order and without overlaps.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The spans with offsets in Unicode scalar values of the original instead of bytes.
    pub fn char_spans(&self) -> impl Iterator<Item = Span> + '_ {
        let mut characters =
            self.original.char_indices().map(|(at, _)| at).chain(std::iter::once(self.original.len()));
        let mut passed = 0_usize;
        let mut at = characters.next().unwrap_or(0);
        let mut count = move |byte: usize| {
            while at < byte
                && let Some(next) = characters.next()
            {
                at = next;
                passed = passed.saturating_add(1);
            }
            passed
        };
        self.spans.iter().map(move |span| {
            let start = count(span.start);
            Span { start, end: count(span.end), detector: span.detector }
        })
    }
}

impl Redactor {
    /// The longest text that is inspected, in bytes. Longer ones are dropped, never passed: cost is linear, but a
    /// log line of this length is an accident or an attack.
    pub const MAX_LEN: usize = 8 << 20;

    /// How often a rewritten text is looked at again before it is dropped.
    const MAX_ROUNDS: usize = 6;

    /// A redactor with every default detector on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The text with a placeholder for each value found; borrowed when there is none.
    ///
    /// # Security
    /// A text longer than [`MAX_LEN`](Self::MAX_LEN), or with encodings nested too deep to look through, comes
    /// back as `[DROPPED]`. The result holds nothing that this redactor finds: redacting it again changes nothing.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.work(text, &[], None)
    }

    /// As [`redact`](Self::redact), with the places that changed.
    #[must_use]
    pub fn inspect<'t>(&self, text: &'t str) -> Redaction<'t> {
        let mut spans = Vec::new();
        let redacted = self.work(text, &[], Some(&mut spans));
        Redaction { original: text, text: redacted, spans }
    }

    /// What [`redact`](Self::redact) takes out of `text`.
    #[must_use]
    pub fn scan(&self, text: &str) -> Vec<Span> {
        self.inspect(text).spans
    }

    /// Redacts the value of a named field: the name says more than the value shows. A field named after a secret
    /// is replaced whole, one named after an identifier needs no further word to announce it.
    #[must_use]
    pub fn redact_field<'t>(&self, name: &str, value: &'t str) -> Cow<'t, str> {
        let mut cues: Vec<Cue> = Vec::new();
        let mut keyed = false;
        lexicon().words_of_key(name, |_, found| match found.lead {
            Lead::Cue(cue) => cues.push(cue),
            Lead::Key(_) | Lead::Name(_) => keyed = true,
            _ => {}
        });
        if keyed && !value.is_empty() {
            // The field as `name=value` text: one set of rules for both.
            let line = format!("{name}={}", quoted(value));
            let offset = name.len().saturating_add(2);
            let mut hits = Vec::new();
            if engine::find(&line, &[], engine::MAX_DEPTH, &mut hits).is_err() {
                return Cow::Borrowed(engine::DROPPED);
            }
            engine::merge(&mut hits);
            let whole =
                hits.iter().find(|hit| hit.start <= offset && hit.end >= line.len().saturating_sub(1));
            if let Some(hit) = whole {
                return Cow::Borrowed(hit.detector.placeholder());
            }
        }
        self.work(value, &cues, None)
    }

    fn work<'t>(&self, text: &'t str, field: &[Cue], mut spans: Option<&mut Vec<Span>>) -> Cow<'t, str> {
        let mut current = Cow::Borrowed(text);
        let mut hits: Vec<Hit> = Vec::new();
        for _ in 0..Self::MAX_ROUNDS {
            hits.clear();
            if current.len() > Self::MAX_LEN
                || engine::find(&current, field, engine::MAX_DEPTH, &mut hits).is_err()
            {
                break;
            }
            if hits.is_empty() {
                return current;
            }
            engine::merge(&mut hits);
            if let Some(spans) = &mut spans {
                note(spans, &hits);
            }
            current = Cow::Owned(engine::rewrite(&current, &hits));
        }
        if let Some(spans) = spans {
            *spans = vec![Span { start: 0, end: text.len(), detector: Detector::Dropped }];
        }
        Cow::Borrowed(engine::DROPPED)
    }
}

/// A value in double quotes, with those inside taken out: only its extent matters.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace(['"', '\\', '\n', '\r'], "_"))
}

/// Adds the hits of one round, which stand in the text the earlier rounds made, at their places in the original.
fn note(spans: &mut Vec<Span>, hits: &[Hit]) {
    let earlier = std::mem::take(spans);
    // Where each earlier span's placeholder stands now, and by how much what follows has moved.
    let mut places = Vec::with_capacity(earlier.len());
    let mut moved = 0_isize;
    for span in &earlier {
        let start = span.start.saturating_add_signed(moved);
        let end = start.saturating_add(span.detector.placeholder().len());
        moved = signed(end).saturating_sub(signed(span.end));
        places.push((start, end, *span, moved));
    }
    let original = |at: usize, ends: bool| {
        let mut moved = 0;
        for (start, end, span, after) in &places {
            if at >= *end {
                moved = *after;
            } else if at > *start || (at == *start && !ends) {
                return if ends { span.end } else { span.start };
            } else {
                break;
            }
        }
        at.saturating_add_signed(moved.saturating_neg())
    };
    let mut all: Vec<Hit> = earlier
        .iter()
        .map(|span| Hit { start: span.start, end: span.end, detector: span.detector })
        .collect();
    all.extend(hits.iter().map(|hit| Hit {
        start: original(hit.start, false),
        end: original(hit.end, true),
        detector: hit.detector,
    }));
    engine::merge(&mut all);
    spans.extend(all.into_iter().map(|hit| Span { start: hit.start, end: hit.end, detector: hit.detector }));
}

fn signed(value: usize) -> isize {
    isize::try_from(value).unwrap_or(isize::MAX)
}
