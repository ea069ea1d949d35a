//! Values taken out of an event or span, redacted, and put together again.

use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::ops::Range;

use tracing_core::Metadata;
use tracing_core::field::{DebugValue, Field, Value, ValueSet, Visit, debug};

use crate::redact::{Redactor, escape_control, says_nothing};

/// The most errors of a chain that are kept.
const MAX_CHAIN: usize = 16;

/// A value between the visit and the new set; texts are ranges of the scratch buffer.
enum Taken {
    Absent,
    Bool(bool),
    Bytes(Range<usize>),
    Debug(Range<usize>),
    Error(Box<RedactedError>),
    F64(f64),
    I128(i128),
    I64(i64),
    Str(Range<usize>),
    U128(u128),
    U64(u64),
}

/// Memory kept from call to call, one per thread.
#[derive(Default)]
struct Scratch {
    text: String,
    taken: Vec<Taken>,
    names: Names,
}

/// Which names say nothing of their values. Names of fields are literals: where one lies and how long it is tells which
/// it is.
#[derive(Default)]
struct Names(Vec<(usize, usize, bool)>);

impl Names {
    const PLACES: usize = 64;

    fn say_nothing(&mut self, name: &'static str) -> bool {
        if self.0.is_empty() {
            self.0.resize(Self::PLACES, (0, 0, false));
        }
        let place = name.as_ptr().addr();
        let Some(known) = self.0.get_mut((place ^ name.len()) & (Self::PLACES - 1)) else { return false };
        if (known.0, known.1) != (place, name.len()) {
            *known = (place, name.len(), says_nothing(name));
        }
        known.2
    }
}

/// Numbers below this carry no check worth its name: something else must say what they are.
const SHORT: u64 = 10_000_000_000;

/// So many fields are put together without a memory of their own.
const FEW: usize = 8;

/// A buffer larger than this goes back to the allocator after use.
const KEPT: usize = 64 << 10;

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Visits values with `visit`, redacts them and hands the new set to `forward`.
pub(super) fn rebuild<R>(
    redactor: &Redactor,
    metadata: &'static Metadata<'static>,
    visit: impl FnOnce(&mut dyn Visit),
    forward: impl FnOnce(&ValueSet<'_>) -> R,
) -> R {
    // A value's own `Debug` may log: the scratch is taken, not borrowed, and the nested call gets a new one.
    let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let fields = metadata.fields();
    scratch.text.clear();
    scratch.taken.clear();
    scratch.taken.resize_with(fields.len(), || Taken::Absent);
    visit(&mut Taker { redactor, scratch: &mut scratch });
    let result = {
        let text = scratch.text.as_str();
        let taken = scratch.taken.iter().map(|taken| Given::new(taken, text));
        if fields.len() <= FEW {
            let mut given = [const { Given::Absent }; FEW];
            given.iter_mut().zip(taken).for_each(|(cell, value)| *cell = value);
            let values = given.each_ref().map(Given::value);
            forward(&fields.value_set_all(values.get(..fields.len()).unwrap_or(&[])))
        } else {
            let given: Vec<Given<'_>> = taken.collect();
            let values: Vec<Option<&dyn Value>> = given.iter().map(Given::value).collect();
            forward(&fields.value_set_all(&values))
        }
    };
    if scratch.text.capacity() <= KEPT {
        // A thread that is ending has no place to keep it.
        let _ = SCRATCH.try_with(|cell| cell.set(Some(scratch)));
    }
    result
}

/// A value as the new set holds it.
enum Given<'s> {
    Absent,
    Bool(bool),
    Bytes(&'s [u8]),
    Debug(DebugValue<Verbatim<'s>>),
    Error(&'s (dyn Error + 'static)),
    F64(f64),
    I128(i128),
    I64(i64),
    Str(&'s str),
    U128(u128),
    U64(u64),
}

impl<'s> Given<'s> {
    fn new(taken: &'s Taken, text: &'s str) -> Self {
        let part = |range: &Range<usize>| text.get(range.clone()).unwrap_or("");
        match taken {
            Taken::Absent => Self::Absent,
            Taken::Bool(value) => Self::Bool(*value),
            Taken::Bytes(range) => Self::Bytes(part(range).as_bytes()),
            Taken::Debug(range) => Self::Debug(debug(Verbatim(part(range)))),
            Taken::Error(error) => Self::Error(error.as_ref()),
            Taken::F64(value) => Self::F64(*value),
            Taken::I128(value) => Self::I128(*value),
            Taken::I64(value) => Self::I64(*value),
            Taken::Str(range) => Self::Str(part(range)),
            Taken::U128(value) => Self::U128(*value),
            Taken::U64(value) => Self::U64(*value),
        }
    }

    fn value(&self) -> Option<&dyn Value> {
        match self {
            Self::Absent => None,
            Self::Bool(value) => Some(value),
            Self::Bytes(value) => Some(value),
            Self::Debug(value) => Some(value),
            Self::Error(value) => Some(value),
            Self::F64(value) => Some(value),
            Self::I128(value) => Some(value),
            Self::I64(value) => Some(value),
            Self::Str(value) => Some(value),
            Self::U128(value) => Some(value),
            Self::U64(value) => Some(value),
        }
    }
}

/// Text whose `Debug` is the text: it was formatted before it was redacted.
struct Verbatim<'s>(&'s str);

impl fmt::Debug for Verbatim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// An error's chain with every text redacted.
pub(super) struct RedactedError {
    text: String,
    source: Option<Box<RedactedError>>,
}

impl RedactedError {
    fn new(redactor: &Redactor, field: &str, error: &(dyn Error + 'static), left: usize) -> Self {
        let mut text = String::new();
        if write!(text, "{error}").is_err() {
            text.clear();
        }
        let source = match error.source() {
            Some(source) if left > 0 => {
                Some(Box::new(Self::new(redactor, field, source, left.saturating_sub(1))))
            }
            _ => None,
        };
        Self { text: escape_control(&redactor.redact_field(field, &text)).into_owned(), source }
    }
}

impl fmt::Display for RedactedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for RedactedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for RedactedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

/// Takes values one by one.
struct Taker<'r> {
    redactor: &'r Redactor,
    scratch: &'r mut Scratch,
}

impl Taker<'_> {
    fn put(&mut self, field: &Field, taken: Taken) {
        if let Some(cell) = self.scratch.taken.get_mut(field.index()) {
            *cell = taken;
        }
    }

    /// Whether neither name nor rules say anything of the field's value.
    fn is_plain(&mut self, field: &Field) -> bool {
        self.scratch.names.say_nothing(field.name()) && !self.redactor.has_rule(field.name())
    }

    /// Redacts what the buffer holds from `start` on; whether it changed.
    fn clean(&mut self, field: &Field, start: usize) -> (Range<usize>, bool) {
        let plain = self.is_plain(field);
        let raw = self.scratch.text.get(start..).unwrap_or("");
        let redacted =
            if plain { self.redactor.redact(raw) } else { self.redactor.redact_field(field.name(), raw) };
        let escaped = escape_control(&redacted);
        let changed = escaped != raw;
        if changed {
            let escaped = escaped.into_owned();
            self.scratch.text.truncate(start);
            self.scratch.text.push_str(&escaped);
        }
        (start..self.scratch.text.len(), changed)
    }

    fn put_text(&mut self, field: &Field, value: &str, wrap: fn(Range<usize>) -> Taken) {
        let start = self.scratch.text.len();
        let plain = self.is_plain(field);
        let redacted =
            if plain { self.redactor.redact(value) } else { self.redactor.redact_field(field.name(), value) };
        self.scratch.text.push_str(&escape_control(&redacted));
        self.put(field, wrap(start..self.scratch.text.len()));
    }

    /// A number stays one unless its digits are a hit.
    fn put_number(&mut self, field: &Field, value: &dyn fmt::Display, number: Taken) {
        let start = self.scratch.text.len();
        if write!(self.scratch.text, "{value}").is_err() {
            return;
        }
        let (range, changed) = self.clean(field, start);
        if changed {
            self.put(field, Taken::Debug(range));
        } else {
            self.scratch.text.truncate(start);
            self.put(field, number);
        }
    }
}

impl Visit for Taker<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // A fraction is no part of any number that is told by itself.
        if value.abs() < SHORT as f64 && self.redactor.passes_numbers() && self.is_plain(field) {
            return self.put(field, Taken::F64(value));
        }
        self.put_number(field, &value, Taken::F64(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if value.unsigned_abs() < SHORT && self.redactor.passes_numbers() && self.is_plain(field) {
            return self.put(field, Taken::I64(value));
        }
        self.put_number(field, &value, Taken::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if value < SHORT && self.redactor.passes_numbers() && self.is_plain(field) {
            return self.put(field, Taken::U64(value));
        }
        self.put_number(field, &value, Taken::U64(value));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put_number(field, &value, Taken::I128(value));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put_number(field, &value, Taken::U128(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match self.redactor.replaced(field.name()) {
            Some(replacement) => {
                let start = self.scratch.text.len();
                self.scratch.text.push_str(replacement);
                self.put(field, Taken::Debug(start..self.scratch.text.len()));
            }
            None => self.put(field, Taken::Bool(value)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value, Taken::Str);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        let start = self.scratch.text.len();
        match std::str::from_utf8(value) {
            Ok(text) => {
                self.scratch.text.push_str(text);
                let (range, changed) = self.clean(field, start);
                self.put(field, if changed { Taken::Debug(range) } else { Taken::Bytes(range) });
            }
            // Bytes of an unknown form cannot be inspected.
            Err(_) => {
                self.scratch.text.push_str(Redactor::DROPPED);
                self.put(field, Taken::Debug(start..self.scratch.text.len()));
            }
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let error = RedactedError::new(self.redactor, field.name(), value, MAX_CHAIN);
        self.put(field, Taken::Error(Box::new(error)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // The value's own code runs here and may log, so the buffer is not lent to it across that call.
        let start = self.scratch.text.len();
        if write!(self.scratch.text, "{value:?}").is_err() {
            self.scratch.text.truncate(start);
            self.scratch.text.push_str(Redactor::DROPPED);
        }
        let (range, _) = self.clean(field, start);
        self.put(field, Taken::Debug(range));
    }
}
