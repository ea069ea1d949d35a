//! Rules, collected.

use std::sync::Arc;

use compliance_core::class::DataClass;
#[cfg(feature = "pseudonym")]
use compliance_core::pseudonym::Pseudonymiser;

#[cfg(feature = "custom")]
use super::custom::CustomDetector;
use super::detector::Detector;
use super::metrics::Counters;
use super::rule::{FieldRule, Rule, Rules};

/// Collects rules for a [`Redactor`](super::Redactor).
///
/// ```
/// use compliance_log::redact::{Detector, FieldRule, Redactor, Rule};
///
/// let redactor = Redactor::builder()
///     .rule(Detector::Ipv4, Rule::Truncate)
///     .rule(Detector::Mac, Rule::Keep)
///     .field("note", FieldRule::Drop)
///     .build();
/// assert_eq!(redactor.redact("from 203.0.113.7"), "from 203.0.113.0/24");
/// assert_eq!(redactor.redact("by anna@example.com"), "by [EMAIL]");
/// assert_eq!(redactor.redact_field("note", "whatever"), "[DROPPED]");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RedactorBuilder {
    pub(super) rules: Rules,
}

impl RedactorBuilder {
    /// Sets the rule of a detector. [`Detector::Dropped`] has none: what cannot be inspected is dropped.
    ///
    /// # Security
    /// [`Rule::Keep`] on a detector of class [`DataClass::Secret`] passes secrets on. It exists for a redactor that
    /// runs behind another one.
    pub fn rule(mut self, detector: Detector, rule: Rule) -> Self {
        self.rules.set(detector, rule);
        self
    }

    /// Sets the rule of every detector of a class.
    pub fn class_rule(mut self, class: DataClass, rule: Rule) -> Self {
        for detector in Detector::ALL.iter().filter(|detector| detector.class() == class) {
            self.rules.set(*detector, rule);
        }
        self
    }

    /// Sets the rule of every field of a name, whatever its case: fields of events and spans, members of JSON objects,
    /// [`redact_field`](super::Redactor::redact_field). `name=value` inside a text is no field.
    ///
    /// # Security
    /// [`FieldRule::Keep`] passes whatever the field holds.
    pub fn field(mut self, name: &str, rule: FieldRule) -> Self {
        self.rules.set_field(name, rule);
        self
    }

    /// Allow-list mode: fields of other names are dropped, whatever they hold; those of these names are inspected as
    /// usual. `message` is a field like any other. Calls add up.
    ///
    /// ```
    /// use compliance_log::redact::Redactor;
    ///
    /// let redactor = Redactor::builder().allow_fields(["message", "status"]).build();
    /// assert_eq!(redactor.redact_field("status", "201"), "201");
    /// assert_eq!(redactor.redact_field("message", "by anna@example.com"), "by [EMAIL]");
    /// assert_eq!(redactor.redact_field("comment", "she is ill"), "[DROPPED]");
    /// ```
    pub fn allow_fields<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        self.rules.allow(names.into_iter().map(str::to_owned));
        self
    }

    /// Report-only mode: texts pass as they are, and [`metrics`](super::Redactor::metrics) and
    /// [`inspect`](super::Redactor::inspect) say what would have changed. For rolling redaction out.
    ///
    /// # Security
    /// Nothing is redacted.
    pub fn report_only(mut self) -> Self {
        self.rules.report_only = true;
        self.count()
    }

    /// Counts what is inspected and found, see [`metrics`](super::Redactor::metrics). Off by default: counters are
    /// shared between threads, and clean lines are cheap.
    pub fn count(mut self) -> Self {
        self.rules.counters.get_or_insert_with(|| Arc::new(Counters::default()));
        self
    }

    /// Adds a detector of the service's own. It sees what the others see: also what is encoded.
    #[cfg(feature = "custom")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "custom")))]
    pub fn custom(mut self, detector: CustomDetector) -> Self {
        self.rules.customs.add(detector);
        self
    }

    /// The key of [`Rule::Pseudonym`], for one tenant, domain and epoch. At the epoch's end:
    /// [`Redactor::rotate`](super::Redactor::rotate).
    #[cfg(feature = "pseudonym")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "pseudonym")))]
    pub fn pseudonymiser(mut self, pseudonymiser: Pseudonymiser) -> Self {
        self.rules.set_pseudonymiser(pseudonymiser);
        self
    }

    /// The redactor.
    #[must_use]
    pub fn build(self) -> super::Redactor {
        super::Redactor::with_rules(self.rules)
    }
}
