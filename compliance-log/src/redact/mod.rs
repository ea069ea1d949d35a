//! Finds personal data and secrets in text and takes them out.

mod anchor;
mod builder;
mod custom;
mod decode;
mod detect;
mod detector;
mod edit;
mod engine;
mod escape;
#[cfg(feature = "json")]
mod json;
mod lexicon;
mod metrics;
#[cfg(test)]
mod reference;
mod rule;
#[cfg(feature = "toml")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "toml")))]
mod rules_file;
mod settled;
mod stream;
mod text;
mod timestamp;
mod words;

use std::borrow::Cow;
use std::fmt;
use std::iter::repeat_n;
use std::sync::Arc;
use std::time::Instant;

use self::anchor::Windows;
pub use self::builder::RedactorBuilder;
use self::custom::Customs;
#[cfg(feature = "custom")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "custom")))]
pub use self::custom::{CustomDetector, CustomDetectorError, CustomDetectorErrorKind};
use self::detect::{Hit, Hits, secret};
pub use self::detector::Detector;
use self::detector::{is_placeholder, placeholder_len};
use self::edit::Edits;
use self::engine::Search;
pub use self::escape::escape_control;
use self::lexicon::{Cue, Lead, Naming, lexicon};
pub use self::metrics::Metrics;
use self::rule::Rules;
pub use self::rule::{FieldRule, Rule};
#[cfg(feature = "toml")]
#[cfg_attr(compliance_docsrs, doc(cfg(feature = "toml")))]
pub use self::rules_file::{RulesError, RulesErrorKind};
use self::settled::Doubts;
pub use self::stream::{Redacted, RedactingWriter};

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
    rules: Arc<Rules>,
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
    pub const MAX_LEN: usize = 2 << 20;

    /// What stands in place of a text that could not be inspected.
    pub const DROPPED: &'static str = Detector::Dropped.placeholder();

    /// How often a text is looked at, rewritten ones included, before it is dropped.
    const MAX_ROUNDS: usize = 6;

    /// A redactor with every default detector on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A redactor with rules of its own.
    pub fn builder() -> RedactorBuilder {
        RedactorBuilder::default()
    }

    fn with_rules(rules: Rules) -> Self {
        Self { rules: Arc::new(rules) }
    }

    /// The text with a placeholder for each value found; borrowed when there is none.
    ///
    /// # Security
    /// A text longer than [`MAX_LEN`](Self::MAX_LEN), or with encodings nested too deep to look through, comes
    /// back as `[DROPPED]`. The result holds nothing that this redactor finds: redacting it again changes nothing.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.rules.counters.is_none() {
            self.rewrite(text, Field::NONE, None)
        } else {
            self.work(text, Field::NONE, None)
        }
    }

    /// As [`redact`](Self::redact), with the places that changed.
    #[must_use]
    pub fn inspect<'t>(&self, text: &'t str) -> Redaction<'t> {
        let mut spans = Vec::new();
        let redacted = self.work(text, Field::NONE, Some(&mut spans));
        Redaction { original: text, text: redacted, spans }
    }

    /// What [`redact`](Self::redact) takes out of `text`.
    #[must_use]
    pub fn scan(&self, text: &str) -> Vec<Span> {
        self.inspect(text).spans
    }

    /// Redacts the value of a named field: the name says more than the value shows. A field named after a password or
    /// secret (`db_password`, `api_key`) is replaced whole, whatever stands in it, unless that says there is none (`null`,
    /// `None`, an empty text); one named after an identifier needs no further word to announce it.
    ///
    /// ```
    /// use compliance_log::redact::Redactor;
    ///
    /// let redactor = Redactor::new();
    /// assert_eq!(redactor.redact_field("db_password", "hunter2"), "[PASSWORD]");
    /// assert_eq!(redactor.redact_field("ssn", "219099999"), "[US_SSN]");
    /// assert_eq!(redactor.redact_field("rows", "219099999"), "219099999");
    /// ```
    #[must_use]
    pub fn redact_field<'t>(&self, name: &str, value: &'t str) -> Cow<'t, str> {
        match self.rules.of_field(name) {
            Some(rule) => self.fixed(rule).map_or(Cow::Borrowed(value), Cow::Borrowed),
            None => self.work(value, &Field::named(name), None),
        }
    }

    /// What stands in the place of a field's value, whatever it is; nothing where it stays or is to be inspected.
    #[cfg(any(feature = "json", feature = "tracing"))]
    pub(crate) fn replaced(&self, name: &str) -> Option<&'static str> {
        self.rules.of_field(name).and_then(|rule| self.fixed(rule))
    }

    fn fixed(&self, rule: FieldRule) -> Option<&'static str> {
        let replacement = rule.replacement()?;
        if let Some(counters) = &self.rules.counters {
            counters.hit(Detector::Dropped);
        }
        (!self.rules.report_only).then_some(replacement)
    }

    /// Whether a number of up to ten digits is nobody's unless its field says otherwise.
    #[cfg(feature = "tracing")]
    pub(crate) fn passes_numbers(&self) -> bool {
        self.rules.customs.is_empty()
    }

    /// Whether a field of this name has a rule.
    #[cfg(any(feature = "json", feature = "tracing"))]
    pub(crate) fn has_rule(&self, name: &str) -> bool {
        self.rules.of_field(name).is_some()
    }

    /// What was inspected and found so far; `None` unless [`count`](RedactorBuilder::count) or
    /// [`report_only`](RedactorBuilder::report_only) was asked for.
    #[must_use]
    pub fn metrics(&self) -> Option<Metrics> {
        self.rules.counters.as_ref().map(|counters| counters.read())
    }

    /// Takes another key for [`Rule::Pseudonym`] from now on, here and in every clone: that of the next epoch.
    #[cfg(feature = "pseudonym")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "pseudonym")))]
    pub fn rotate(&self, pseudonymiser: compliance_core::pseudonym::Pseudonymiser) {
        self.rules.rotate(pseudonymiser);
    }

    fn work<'t>(&self, text: &'t str, field: &Field<'_>, spans: Option<&mut Vec<Span>>) -> Cow<'t, str> {
        let Some(counters) = &self.rules.counters else { return self.rewrite(text, field, spans) };
        let start = Instant::now();
        let mut found = Vec::new();
        let redacted = self.rewrite(text, field, Some(&mut found));
        counters.text(text.len(), start.elapsed());
        found.iter().for_each(|span| counters.hit(span.detector));
        if let Some(spans) = spans {
            spans.append(&mut found);
        }
        if self.rules.report_only { Cow::Borrowed(text) } else { redacted }
    }

    #[inline(always)]
    fn rewrite<'t>(&self, text: &'t str, field: &Field<'_>, spans: Option<&mut Vec<Span>>) -> Cow<'t, str> {
        if text.len() > Self::MAX_LEN {
            return self.rewrite_from(text, field, &mut None, spans);
        }
        let mut windows = engine::windows(text, &field.cues);
        // Most texts end here: there is no place in them where a value may be.
        if windows.is_none() && !field.keyed && self.rules.customs.is_empty() {
            return Cow::Borrowed(text);
        }
        self.rewrite_from(text, field, &mut windows, spans)
    }

    /// As [`rewrite`](Self::rewrite), from the first place on where a value may be.
    #[inline(never)]
    fn rewrite_from<'t>(
        &self,
        text: &'t str,
        field: &Field<'_>,
        first: &mut Option<Windows<'t>>,
        spans: Option<&mut Vec<Span>>,
    ) -> Cow<'t, str> {
        let mut current = Cow::Borrowed(text);
        let mut edits = Edits::default();
        let mut hits = Hits::new();
        let mut stable = false;
        for round in 0..Self::MAX_ROUNDS {
            hits.clear();
            let mut doubts = Doubts::new();
            if current.len() > Self::MAX_LEN {
                break;
            }
            let found = if round == 0 {
                field.find(text, first.as_mut(), &self.rules, &mut hits, &mut doubts)
            } else {
                let mut windows = engine::windows(&current, &field.cues);
                field.find(&current, windows.as_mut(), &self.rules, &mut hits, &mut doubts)
            };
            if found.is_err() {
                break;
            }
            hits.retain(|hit| {
                let rule = self.rules.of(hit.detector);
                // Only of placeholders it is known that nothing is found in them.
                if rule != Rule::Placeholder {
                    doubts.give_up();
                }
                rule != Rule::Keep
            });
            if hits.is_empty() {
                stable = true;
                break;
            }
            engine::merge(&current, &mut hits);
            let mut lengths = spans.is_some().then(Vec::new);
            let rewritten = engine::rewrite(&current, &hits, &self.rules, lengths.as_mut());
            if let Some(lengths) = lengths {
                edits.note(&hits, &lengths);
            }
            stable =
                rewritten == current || (rewritten.len() <= Self::MAX_LEN && doubts.settle(&current, &hits));
            current = Cow::Owned(rewritten);
            if stable {
                break;
            }
        }
        if let Some(spans) = spans {
            if stable {
                spans.extend(edits.spans());
            } else {
                spans.push(Span { start: 0, end: text.len(), detector: Detector::Dropped });
            }
        }
        if stable { current } else { Cow::Borrowed(Self::DROPPED) }
    }
}

/// What a field's name says of its value.
struct Field<'n> {
    name: &'n str,
    cues: Vec<Cue>,
    /// The name is a key: of a secret, of a person's name, of a value with a shape of its own.
    keyed: bool,
    /// What stands for the whole value, whatever it is.
    whole: Option<Detector>,
}

impl Field<'static> {
    /// No field.
    const NONE: &Self = &Field { name: "", cues: Vec::new(), keyed: false, whole: None };
}

impl<'n> Field<'n> {
    fn named(name: &'n str) -> Self {
        let mut field = Self { name, cues: Vec::new(), keyed: false, whole: None };
        lexicon().words_of_key(name, |_, found| match found.lead {
            Lead::Cue(cue) => {
                field.cues.push(cue);
                field.keyed |= cue.is_shaped();
            }
            // Behind a form of address a name follows, not a sign of assignment: `latency_ms` is nobody's.
            Lead::Name(Naming::Title | Naming::Salutation) => {}
            Lead::Key(_) | Lead::Name(_) => field.keyed = true,
            _ => {}
        });
        if field.keyed {
            field.whole = secret::whole(name);
        }
        field
    }

    fn find(
        &self,
        value: &str,
        windows: Option<&mut Windows<'_>>,
        rules: &Rules,
        hits: &mut Hits,
        doubts: &mut Doubts,
    ) -> Result<(), engine::TooDeep> {
        engine::find_from(value, &self.cues, Search::new(rules, &rules.customs), hits, windows, doubts)?;
        if !self.keyed || value.is_empty() {
            return Ok(());
        }
        doubts.give_up();
        let replaced = is_placeholder(value.as_bytes());
        if let Some(detector) = self.whole.filter(|_| !replaced && !secret::is_none(value)) {
            hits.push(Hit { start: 0, end: value.len(), detector, custom: 0 });
            return Ok(());
        }
        // The field as `name="value"` text: one set of rules for both. The quotation marks around a value are not of it,
        // also where they are escaped; one that closes what none opens is.
        let inner = if value.starts_with(MARKS) { value.trim_matches(MARKS) } else { value };
        let marked = value.len().saturating_sub(value.trim_start_matches(MARKS).len());
        // A number stays one.
        let quote = if inner.bytes().all(|byte| byte.is_ascii_digit()) { "" } else { "\"" };
        let line = format!("{}={quote}{}{quote}", self.name, within_quotes(inner));
        let name = self.name.len().saturating_add(quote.len()).saturating_add(1);
        let mut found = Hits::new();
        engine::find(&line, &[], Search::new(rules, &Customs::none()), &mut found)?;
        let in_value = |at: usize| at.saturating_sub(name).min(inner.len()).saturating_add(marked);
        let found =
            found.into_iter().map(|hit| Hit { start: in_value(hit.start), end: in_value(hit.end), ..hit });
        add_to(hits, found.filter(|hit| hit.start < hit.end).collect(), value);
        Ok(())
    }
}

/// What quotation marks are written with.
const MARKS: [char; 2] = ['"', '\\'];

/// A value with another byte for each that would end it early between quotation marks, so that offsets stand: a space
/// beside a placeholder, where the byte would be taken for a part of a value that was not replaced.
fn within_quotes(value: &str) -> String {
    const ENDS: [char; 4] = ['"', '\\', '\n', '\r'];
    let mut line = String::with_capacity(value.len());
    let (mut rest, mut behind) = (value, false);
    while !rest.is_empty() {
        let text = rest.trim_start_matches(ENDS);
        let placeholder = placeholder_len(text.as_bytes());
        let other = if behind || placeholder.is_some() { ' ' } else { '_' };
        line.extend(repeat_n(other, rest.len().saturating_sub(text.len())));
        let next = |(at, char): (usize, char)| (char == '[' || ENDS.contains(&char)).then_some(at);
        let end = placeholder.or_else(|| text.char_indices().skip(1).find_map(next)).unwrap_or(text.len());
        let (copied, left) = text.split_at(end);
        line.push_str(copied);
        (rest, behind) = (left, placeholder.is_some());
    }
    line
}

/// Adds what was found where quotation marks are no marks to what was found where they are, but for hits that only add the
/// marks around one.
fn add_to(hits: &mut Hits, found: Hits, value: &str) {
    if found.is_empty() || hits.is_empty() {
        hits.extend(found);
        return;
    }
    let mut covered = vec![false; value.len()];
    for hit in &*hits {
        covered.get_mut(hit.start..hit.end).unwrap_or_default().fill(true);
    }
    hits.extend(found.into_iter().filter(|hit| {
        let covered = covered.get(hit.start..hit.end).unwrap_or_default();
        let bytes = value.as_bytes().get(hit.start..hit.end).unwrap_or_default();
        let adds = covered.iter().zip(bytes).any(|(covered, byte)| !covered && !matches!(byte, b'"' | b'\\'));
        adds || covered.iter().all(|covered| !covered)
    }));
}

/// Whether a field's name says nothing of its value.
#[cfg(feature = "tracing")]
pub(crate) fn says_nothing(name: &str) -> bool {
    let field = Field::named(name);
    field.cues.is_empty() && !field.keyed
}
