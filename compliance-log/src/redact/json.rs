//! Redaction of JSON values, where a key tells what its value is.

use serde_json::{Map, Value};

use super::Redactor;
use super::detect::secret;
use super::words::WordSet;

impl Redactor {
    /// How deep a JSON value is looked into; deeper parts become `[DROPPED]`.
    pub const MAX_JSON_DEPTH: usize = 64;

    /// Redacts a JSON value in place: strings and numbers by what they are and by the key they stand under, keys that
    /// hold a value themselves (`{"anna@example.com": 3}`) as well. What stands deeper under the name of a secret
    /// (`{"password": {"current": …}}`) is one, and `{"phone": {"number": …}}` is a telephone number.
    ///
    /// ```
    /// use compliance_log::redact::Redactor;
    ///
    /// let mut value = serde_json::json!({"id": 7, "password": "x7", "mail": ["anna@example.com"], "ssn": 219099999});
    /// Redactor::new().redact_json(&mut value);
    /// assert_eq!(
    ///     value,
    ///     serde_json::json!({"id": 7, "password": "[PASSWORD]", "mail": ["[EMAIL]"], "ssn": "[US_SSN]"})
    /// );
    /// ```
    pub fn redact_json(&self, value: &mut Value) {
        self.json_value("", value, Self::MAX_JSON_DEPTH);
    }

    fn json_value(&self, key: &str, value: &mut Value, left: usize) {
        if let Some(replacement) = self.replaced(key).filter(|_| !key.is_empty()) {
            *value = Value::String(replacement.to_owned());
            return;
        }
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let text = number.to_string();
                let redacted = self.redact_field(key, &text);
                if redacted != text {
                    let redacted = redacted.into_owned();
                    *value = Value::String(redacted);
                }
            }
            Value::String(text) => {
                let redacted = self.redact_field(key, text);
                if redacted != *text {
                    let redacted = redacted.into_owned();
                    *text = redacted;
                }
            }
            Value::Array(_) | Value::Object(_) if left == 0 => {
                *value = Value::String(Self::DROPPED.to_owned())
            }
            Value::Array(items) => {
                items.iter_mut().for_each(|item| self.json_value(key, item, left.saturating_sub(1)));
            }
            Value::Object(members) => {
                let mut rebuilt = Map::with_capacity(members.len());
                let mut whole = None;
                let is_whole = || secret::whole(key).is_some();
                for (name, mut member) in std::mem::take(members) {
                    let inherits = (VALUES.has(name.as_bytes()) || *whole.get_or_insert_with(is_whole))
                        && !self.has_rule(&name);
                    let under = if inherits && !key.is_empty() { key } else { &name };
                    self.json_value(under, &mut member, left.saturating_sub(1));
                    let mut name = self.redact(&name).into_owned();
                    // Two names that became the same placeholder both keep their members.
                    while rebuilt.contains_key(&name) {
                        name.push('\'');
                    }
                    rebuilt.insert(name, member);
                }
                *members = rebuilt;
            }
        }
    }
}

/// Members that hold what their object is named after.
static VALUES: WordSet = WordSet::new(&[
    "number", "num", "no", "nr", "value", "val", "raw", "full", "primary", "home", "work", "mobile",
]);
