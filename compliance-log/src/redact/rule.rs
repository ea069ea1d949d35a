//! What is put in a value's place, by detector.

use std::net::{Ipv4Addr, Ipv6Addr};

use compliance_core::class::DataClass;

use super::detector::Detector;

/// What happens to a value that was found.
///
/// There is no rule that leaves half a value: a card number's first six and last four digits and its hash
/// elsewhere give the number away together (PCI DSS 4.0 requirement 3.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The value stays. For a kind of value that is nobody's in this service, such as its own addresses.
    Keep,
    /// Five asterisks, whatever the value's length.
    Mask,
    /// The type's name in brackets: `[EMAIL]`. The default.
    Placeholder,
    /// The network an address is in: IPv4 to /24, IPv6 to /48; a [placeholder](Self::Placeholder) for any other kind.
    Truncate,
}

/// The rules of a redactor.
#[derive(Clone, Debug)]
pub(crate) struct Rules(Vec<(Detector, Rule)>);

impl Default for Rules {
    fn default() -> Self {
        Self(vec![(Detector::Geo, Rule::Keep)])
    }
}

impl Rules {
    /// Sets the rule of a detector. What could not be inspected stays dropped, and a secret is never kept by the
    /// rule of a whole class.
    pub(crate) fn set(&mut self, detector: Detector, rule: Rule) {
        if detector == Detector::Dropped {
            return;
        }
        self.0.retain(|(other, _)| *other != detector);
        if rule != Rule::Placeholder {
            self.0.push((detector, rule));
        }
    }

    pub(crate) fn of(&self, detector: Detector) -> Rule {
        self.0.iter().find(|(other, _)| *other == detector).map_or(Rule::Placeholder, |(_, rule)| *rule)
    }

    /// Writes what stands in the value's place.
    pub(crate) fn write(&self, detector: Detector, value: &str, written: &mut String) {
        match self.of(detector) {
            Rule::Mask => written.push_str("*****"),
            Rule::Truncate if let Some(network) = network(detector, value) => written.push_str(&network),
            Rule::Keep | Rule::Placeholder | Rule::Truncate => written.push_str(detector.placeholder()),
        }
    }
}

/// The network of an address; nothing for a value that is none, or that was encoded.
fn network(detector: Detector, value: &str) -> Option<String> {
    match detector {
        Detector::Ipv4 => {
            let [a, b, c, _] = value.parse::<Ipv4Addr>().ok()?.octets();
            Some(format!("{}/24", Ipv4Addr::from([a, b, c, 0])))
        }
        Detector::Ipv6 => {
            let address = value.parse::<Ipv6Addr>().ok()?;
            if let Some(mapped) = address.to_ipv4_mapped() {
                return network(Detector::Ipv4, &mapped.to_string());
            }
            let [a, b, c, ..] = address.segments();
            Some(format!("{}/48", Ipv6Addr::from([a, b, c, 0, 0, 0, 0, 0])))
        }
        _ => None,
    }
}

/// Collects rules for a [`Redactor`](super::Redactor).
///
/// ```
/// use compliance_log::redact::{Detector, Redactor, Rule};
///
/// let redactor = Redactor::builder().rule(Detector::Ipv4, Rule::Truncate).rule(Detector::Mac, Rule::Keep).build();
/// assert_eq!(redactor.redact("from 203.0.113.7"), "from 203.0.113.0/24");
/// assert_eq!(redactor.redact("by anna@example.com"), "by [EMAIL]");
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RedactorBuilder {
    pub(crate) rules: Rules,
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

    /// The redactor.
    #[must_use]
    pub fn build(self) -> super::Redactor {
        super::Redactor::with_rules(self.rules)
    }
}
