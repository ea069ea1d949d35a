//! What may be written down.

use compliance_log::redact::Redactor;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Line {
    text: String,
}

/// `{"text"}` → `{"text","spans":[{"start","end","type"}]}`, offsets in Unicode scalar values of the input.
pub(crate) fn redact() -> impl FnMut(Line) -> Value {
    let redactor = Redactor::new();
    move |line| {
        let redaction = redactor.inspect(&line.text);
        let spans: Vec<Value> = redaction
            .char_spans()
            .map(|span| json!({"start": span.start(), "end": span.end(), "type": span.detector().name()}))
            .collect();
        json!({"text": redaction.text(), "spans": spans})
    }
}
