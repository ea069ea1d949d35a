//! What is put in a value's place, by detector and by field.

#[cfg(feature = "pseudonym")]
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
#[cfg(feature = "pseudonym")]
use std::sync::{PoisonError, RwLock};

#[cfg(feature = "pseudonym")]
use compliance_core::pseudonym::Pseudonymiser;

use super::custom::Customs;
use super::detect::Hit;
use super::detector::Detector;
use super::metrics::Counters;

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
    /// A keyed token that is the same for the same value within one epoch, so that a person's lines can be told to be
    /// one person's: `pn1_0123abcd_42_…`. For [`Detector::Email`], [`Detector::Ipv6`] and [`Detector::SessionId`];
    /// a [placeholder](Self::Placeholder) for any other kind, since whoever holds the key finds a telephone number, a
    /// card or a birth date by trying them all, and where no key was given.
    #[cfg(feature = "pseudonym")]
    #[cfg_attr(compliance_docsrs, doc(cfg(feature = "pseudonym")))]
    Pseudonym,
    /// The network an address is in: IPv4 to /24, IPv6 to /48; a [placeholder](Self::Placeholder) for any other kind.
    Truncate,
}

/// What happens to the value of a field of some name, whatever the value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldRule {
    /// `[DROPPED]`, uninspected.
    Drop,
    /// The value stays, uninspected. For a field whose values only the program makes.
    Keep,
    /// Five asterisks.
    Mask,
}

impl FieldRule {
    /// What stands in the place of the value; nothing where the value stays.
    pub(crate) fn replacement(self) -> Option<&'static str> {
        match self {
            Self::Drop => Some(Detector::Dropped.placeholder()),
            Self::Keep => None,
            Self::Mask => Some(MASK),
        }
    }
}

/// What five asterisks look like.
const MASK: &str = "*****";

/// The rules of a redactor.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    detectors: Vec<(Detector, Rule)>,
    fields: Vec<(String, FieldRule)>,
    /// In allow-list mode: the fields that pass.
    allowed: Option<Vec<String>>,
    pub(crate) report_only: bool,
    pub(crate) counters: Option<Arc<Counters>>,
    pub(crate) customs: Customs,
    #[cfg(feature = "pseudonym")]
    pseudonymiser: Arc<RwLock<Option<Pseudonymiser>>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            detectors: vec![(Detector::Geo, Rule::Keep)],
            fields: Vec::new(),
            allowed: None,
            report_only: false,
            counters: None,
            customs: Customs::none(),
            #[cfg(feature = "pseudonym")]
            pseudonymiser: Arc::default(),
        }
    }
}

impl Rules {
    /// Sets the rule of a detector. What could not be inspected stays dropped.
    pub(crate) fn set(&mut self, detector: Detector, rule: Rule) {
        if detector == Detector::Dropped {
            return;
        }
        self.detectors.retain(|(other, _)| *other != detector);
        if rule != Rule::Placeholder {
            self.detectors.push((detector, rule));
        }
    }

    /// Sets the rule of a field; the last one counts.
    pub(crate) fn set_field(&mut self, name: &str, rule: FieldRule) {
        self.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.fields.push((name.to_owned(), rule));
    }

    /// Lets only fields of these names pass, besides those that may pass already.
    pub(crate) fn allow(&mut self, names: impl IntoIterator<Item = String>) {
        self.allowed.get_or_insert_default().extend(names);
    }

    #[cfg(feature = "pseudonym")]
    pub(crate) fn set_pseudonymiser(&mut self, pseudonymiser: Pseudonymiser) {
        self.pseudonymiser = Arc::new(RwLock::new(Some(pseudonymiser)));
    }

    #[cfg(feature = "pseudonym")]
    pub(crate) fn rotate(&self, pseudonymiser: Pseudonymiser) {
        *self.pseudonymiser.write().unwrap_or_else(PoisonError::into_inner) = Some(pseudonymiser);
    }

    pub(crate) fn of(&self, detector: Detector) -> Rule {
        self.detectors
            .iter()
            .find(|(other, _)| *other == detector)
            .map_or(Rule::Placeholder, |(_, rule)| *rule)
    }

    /// The rule of a field that has one, by its own name or because it is on no list of those that pass.
    #[inline]
    pub(crate) fn of_field(&self, name: &str) -> Option<FieldRule> {
        if self.fields.is_empty() && self.allowed.is_none() {
            return None;
        }
        if let Some((_, rule)) = self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Some(*rule);
        }
        let allowed = self.allowed.as_ref()?;
        (!allowed.iter().any(|other| other.eq_ignore_ascii_case(name))).then_some(FieldRule::Drop)
    }

    /// Whether every value is replaced by a placeholder: then it goes with the value it lies in, and needs no look of its own.
    /// With other rules it matters which detector finds what, and what a value that stays holds.
    pub(crate) fn replaces_all(&self) -> bool {
        // Coordinates are no part of another value.
        self.detectors.iter().all(|(detector, _)| *detector == Detector::Geo)
    }

    /// Writes what stands in the value's place.
    pub(crate) fn write(&self, hit: &Hit, value: &str, written: &mut String) {
        let detector = hit.detector;
        match self.of(detector) {
            Rule::Mask => written.push_str(MASK),
            Rule::Truncate if let Some(network) = network(detector, value) => written.push_str(&network),
            #[cfg(feature = "pseudonym")]
            Rule::Pseudonym if let Some(token) = self.pseudonym(detector, value) => written.push_str(&token),
            _ => written.push_str(self.customs.placeholder(hit.custom).unwrap_or(detector.placeholder())),
        }
    }

    /// The token for a value of a kind that has too many possible values to try them all; nothing where the value is
    /// not plainly one of that kind, for what would it be the same as?
    #[cfg(feature = "pseudonym")]
    fn pseudonym(&self, detector: Detector, value: &str) -> Option<String> {
        let plain =
            super::decode::plain(value, &[]).map_or(Cow::Borrowed(value), |plain| Cow::Owned(plain.text));
        let identifier = match detector {
            Detector::Email if plain.contains('@') => plain.to_lowercase(),
            Detector::Ipv6 => plain.parse::<Ipv6Addr>().ok()?.to_string(),
            Detector::SessionId if plain.len() >= MIN_SESSION_ID => plain.into_owned(),
            _ => return None,
        };
        let pseudonymiser = self.pseudonymiser.read().unwrap_or_else(PoisonError::into_inner);
        Some(pseudonymiser.as_ref()?.pseudonym(identifier.as_bytes()).to_string())
    }
}

/// The shortest session identifier that cannot be found by trying, in characters.
#[cfg(feature = "pseudonym")]
const MIN_SESSION_ID: usize = 22;

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
