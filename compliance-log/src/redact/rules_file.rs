//! Rules from a file.

use compliance_core::class::DataClass;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::builder::RedactorBuilder;
#[cfg(feature = "custom")]
use super::custom::CustomDetector;
use super::detector::Detector;
use super::rule::{FieldRule, Rule};

/// The longest file, in bytes.
const MAX_LEN: usize = 64 << 10;

impl RedactorBuilder {
    /// Adds the rules of a TOML file.
    ///
    /// ```
    /// use compliance_log::redact::{Redactor, RedactorBuilder};
    ///
    /// let rules = r#"
    /// allow_fields = ["message", "client", "note"]
    ///
    /// [classes]
    /// sensitive = "mask"
    ///
    /// [detectors]
    /// ipv4 = "truncate"
    ///
    /// [fields]
    /// note = "drop"
    /// "#;
    /// let redactor = Redactor::builder().toml(rules)?.build();
    /// assert_eq!(redactor.redact("from 203.0.113.7"), "from 203.0.113.0/24");
    /// assert_eq!(redactor.redact_field("note", "x"), "[DROPPED]");
    ///
    /// let error = Redactor::builder().toml("[detectors]\nipv4 = \"half\"").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "redaction rules refused: line 2, `detectors.ipv4`: expected keep, mask, placeholder, pseudonym or truncate"
    /// );
    /// # Ok::<(), compliance_log::redact::RulesError>(())
    /// ```
    ///
    /// | member | value |
    /// |---|---|
    /// | `report_only`, `count` | boolean |
    /// | `allow_fields` | array of names |
    /// | `classes.<class>` | rule; classes are `public`, `internal`, `confidential`, `personal`, `sensitive`, `secret` |
    /// | `detectors.<type>` | rule; types are those of [`Detector::name`] in lower case, without `dropped` |
    /// | `fields.<name>` | `drop`, `keep` or `mask` |
    /// | `custom` (feature `custom`) | array of tables of `name` and `pattern` |
    ///
    /// Rules are `keep`, `mask`, `placeholder`, `truncate` and, with feature `pseudonym`, `pseudonym`. Those of classes
    /// come before those of detectors.
    ///
    /// # Errors
    /// [`RulesErrorKind::Syntax`] for what is no TOML or longer than 64 KiB, [`RulesErrorKind::Unknown`] for members the
    /// table above does not have, [`RulesErrorKind::Value`] for other values. The builder is used up: half of the rules
    /// are none.
    pub fn toml(mut self, text: &str) -> Result<Self, RulesError> {
        let refuse = |at, field: &str, kind| RulesError::new(text, at, field, kind);
        if text.len() > MAX_LEN {
            return Err(refuse(0, "", RulesErrorKind::Syntax));
        }
        let table = DeTable::parse(text)
            .map_err(|error| refuse(error.span().map_or(0, |span| span.start), "", RulesErrorKind::Syntax))?;
        let table = table.into_inner();
        // Classes first: a detector's own rule is the closer one.
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(key, _)| *key.get_ref() != "classes");
        for (key, value) in members {
            self = self.member(text, key.get_ref(), key.span().start, value)?;
        }
        Ok(self)
    }

    fn member(
        mut self,
        text: &str,
        name: &str,
        at: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Self, RulesError> {
        let wrong =
            |field: &str, at, expected| RulesError::new(text, at, field, RulesErrorKind::Value(expected));
        let unknown = |field: &str, at| RulesError::new(text, at, field, RulesErrorKind::Unknown);
        let start = value.span().start;
        match (name, value.get_ref()) {
            ("report_only", DeValue::Boolean(on)) => Ok(if *on { self.report_only() } else { self }),
            ("count", DeValue::Boolean(on)) => Ok(if *on { self.count() } else { self }),
            ("report_only" | "count", _) => Err(wrong(name, start, "true or false")),
            ("allow_fields", DeValue::Array(names)) => {
                let names = names.iter().map(|name| match name.get_ref() {
                    DeValue::String(name) => Ok(name.to_string()),
                    _ => Err(wrong("allow_fields", name.span().start, "names")),
                });
                self.rules.allow(names.collect::<Result<Vec<_>, _>>()?);
                Ok(self)
            }
            ("allow_fields", _) => Err(wrong(name, start, "an array of names")),
            ("classes", DeValue::Table(rules)) => {
                for (key, value) in rules {
                    let (class, name) =
                        class(key.get_ref()).ok_or_else(|| unknown("classes", key.span().start))?;
                    let rule = rule(value.get_ref())
                        .ok_or_else(|| wrong(&format!("classes.{name}"), value.span().start, RULES))?;
                    self = self.class_rule(class, rule);
                }
                Ok(self)
            }
            ("detectors", DeValue::Table(rules)) => {
                for (key, value) in rules {
                    let detector = Detector::ALL
                        .iter()
                        .filter(|detector| **detector != Detector::Dropped) // It has no rule.
                        .find(|detector| detector.name().to_ascii_lowercase() == *key.get_ref())
                        .ok_or_else(|| unknown("detectors", key.span().start))?;
                    let rule = rule(value.get_ref()).ok_or_else(|| {
                        let field = format!("detectors.{}", detector.name().to_ascii_lowercase());
                        wrong(&field, value.span().start, RULES)
                    })?;
                    self = self.rule(*detector, rule);
                }
                Ok(self)
            }
            ("fields", DeValue::Table(rules)) => {
                for (key, value) in rules {
                    let rule = match value.get_ref() {
                        DeValue::String(rule) if rule == "drop" => FieldRule::Drop,
                        DeValue::String(rule) if rule == "keep" => FieldRule::Keep,
                        DeValue::String(rule) if rule == "mask" => FieldRule::Mask,
                        _ => return Err(wrong("fields", value.span().start, "drop, keep or mask")),
                    };
                    self = self.field(key.get_ref(), rule);
                }
                Ok(self)
            }
            ("classes" | "detectors" | "fields", _) => Err(wrong(name, start, "a table")),
            #[cfg(feature = "custom")]
            ("custom", DeValue::Array(customs)) => {
                for custom in customs {
                    let at = custom.span().start;
                    let DeValue::Table(members) = custom.get_ref() else {
                        return Err(wrong("custom", at, "a table"));
                    };
                    let text_of = |field: &str| {
                        members.iter().find_map(|(key, value)| match value.get_ref() {
                            DeValue::String(text) if *key.get_ref() == field => {
                                Some((text.to_string(), value.span().start))
                            }
                            _ => None,
                        })
                    };
                    let (Some((name, name_at)), Some((pattern, pattern_at)), 2) =
                        (text_of("name"), text_of("pattern"), members.len())
                    else {
                        return Err(wrong("custom", at, "`name` and `pattern`"));
                    };
                    let detector =
                        CustomDetector::new(&name, &pattern).map_err(|error| match error.kind() {
                            super::custom::CustomDetectorErrorKind::Name => wrong(
                                "custom.name",
                                name_at,
                                "2 to 16 of A to Z, 0 to 9 and underscore, not taken",
                            ),
                            _ => wrong(
                                "custom.pattern",
                                pattern_at,
                                "a regular expression within the limits that does not match the empty text",
                            ),
                        })?;
                    self = self.custom(detector);
                }
                Ok(self)
            }
            _ => Err(unknown("", at)),
        }
    }
}

const RULES: &str = "keep, mask, placeholder, pseudonym or truncate";

fn rule(value: &DeValue<'_>) -> Option<Rule> {
    let DeValue::String(name) = value else { return None };
    Some(match name.as_ref() {
        "keep" => Rule::Keep,
        "mask" => Rule::Mask,
        "placeholder" => Rule::Placeholder,
        #[cfg(feature = "pseudonym")]
        "pseudonym" => Rule::Pseudonym,
        "truncate" => Rule::Truncate,
        _ => return None,
    })
}

fn class(name: &str) -> Option<(DataClass, &'static str)> {
    DataClass::ALL.into_iter().map(|class| (class, class.as_str())).find(|(_, known)| *known == name)
}

/// Why rules were refused: the line, the member, and what was expected. What stands there is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redaction rules refused: line {line}{}: {kind}", self.place())]
pub struct RulesError {
    line: usize,
    field: String,
    kind: RulesErrorKind,
}

impl RulesError {
    fn new(text: &str, at: usize, field: &str, kind: RulesErrorKind) -> Self {
        let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
        let breaks = before.iter().filter(|byte| **byte == b'\n').count();
        Self { line: breaks.saturating_add(1), field: field.to_owned(), kind }
    }

    fn place(&self) -> String {
        if self.field.is_empty() { String::new() } else { format!(", `{}`", self.field) }
    }

    /// The line, counted from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// The member, as `detectors.ipv4`; the table for an unknown one, empty for the file itself.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> RulesErrorKind {
        self.kind
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.kind {
            RulesErrorKind::Syntax => "redact_rules.syntax",
            RulesErrorKind::Unknown => "redact_rules.unknown",
            RulesErrorKind::Value(_) => "redact_rules.value",
        }
    }
}

/// What is wrong with rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesErrorKind {
    /// This is no TOML, or longer than 64 KiB.
    #[error("expected TOML of at most 64 KiB")]
    Syntax,
    /// There is no member of that name.
    #[error("unknown member")]
    Unknown,
    /// The member has another value than one of these.
    #[error("expected {0}")]
    Value(&'static str),
}
