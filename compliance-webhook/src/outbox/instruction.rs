//! What a client has instructed us to send to its endpoint.

use std::fmt;

use compliance_core::class::{DataClass, Purpose};
use compliance_core::clock::Timestamp;
use compliance_core::country::CountryCode;
use compliance_core::finding::{Enforcement, ReasonCode};
use compliance_core::id::ActorId;
use compliance_core::reason_code;

/// A set of the data classes that leave the house on instruction only: confidential, personal, sensitive. Public and
/// internal data are in every set; secrets are in none.
///
/// ```
/// use compliance_core::class::DataClass;
/// use compliance_webhook::outbox::DataClasses;
///
/// let classes = DataClasses::of(&[DataClass::Personal]);
/// assert!(classes.contains(DataClass::Personal) && classes.contains(DataClass::Internal));
/// assert!(!classes.contains(DataClass::Sensitive));
/// assert!(!DataClasses::of(&DataClass::ALL).contains(DataClass::Secret));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DataClasses(u8);

impl DataClasses {
    /// Public and internal data only.
    pub const NONE: Self = Self(0);

    const BITS: [(DataClass, u8); 3] =
        [(DataClass::Confidential, 1), (DataClass::Personal, 2), (DataClass::Sensitive, 4)];

    /// These.
    #[must_use]
    pub fn of(classes: &[DataClass]) -> Self {
        let bits = Self::BITS.iter().filter(|(class, _)| classes.contains(class));
        Self(bits.fold(0, |set, (_, bit)| set | bit))
    }

    /// These and those of another set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether data of this class are among them.
    #[must_use]
    pub fn contains(self, class: DataClass) -> bool {
        match class {
            DataClass::Public | DataClass::Internal => true,
            DataClass::Secret => false,
            _ => Self::BITS.iter().any(|(known, bit)| *known == class && self.0 & bit != 0),
        }
    }

    /// Whether the other set has all of them.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether there are only public and internal data.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// As stored: 1 confidential, 2 personal, 4 sensitive, added up.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// From what was stored; `None` for a number that is none of these.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits <= 7 { Some(Self(bits)) } else { None }
    }

    fn iter(self) -> impl Iterator<Item = DataClass> {
        Self::BITS.into_iter().filter(move |(_, bit)| self.0 & bit != 0).map(|(class, _)| class)
    }
}

impl fmt::Display for DataClasses {
    /// `personal,sensitive`, or `none`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        for (number, class) in self.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            f.write_str(class.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for DataClasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataClasses({self})")
    }
}

/// A client's documented instruction to send data to an endpoint of its own (GDPR Art. 28(3)(a)): who gave it and when,
/// which classes, what for, and the country the recipient is in, since that makes it a transfer or none (Art. 44).
///
/// ```
/// use compliance_core::class::DataClass;
/// use compliance_core::country::CountryCode;
/// use compliance_core::id::ActorId;
/// use compliance_core::purpose;
/// use compliance_webhook::outbox::{DataClasses, Instruction};
///
/// let instruction = Instruction::new(
///     ActorId::new("acme-privacy-officer")?,
///     "2026-11-21T12:00:00Z".parse()?,
///     DataClasses::of(&[DataClass::Personal]),
///     purpose!("crm.sync"),
///     CountryCode::parse("DE")?,
/// );
/// let personal = DataClasses::of(&[DataClass::Personal]);
/// assert!(instruction.covers(personal, Some(&purpose!("crm.sync"))));
/// assert!(!instruction.covers(personal, Some(&purpose!("marketing"))));
/// assert!(!instruction.covers(DataClasses::of(&[DataClass::Sensitive]), Some(&purpose!("crm.sync"))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    by: ActorId,
    at: Timestamp,
    classes: DataClasses,
    purpose: Purpose,
    recipient: CountryCode,
}

impl Instruction {
    /// Takes note of one. It counts once [`EndpointBook::instruct`](super::EndpointBook::instruct) has recorded it.
    #[must_use]
    pub fn new(
        by: ActorId,
        at: Timestamp,
        classes: DataClasses,
        purpose: Purpose,
        recipient: CountryCode,
    ) -> Self {
        Self { by, at, classes, purpose, recipient }
    }

    /// Who gave it.
    #[must_use]
    pub fn by(&self) -> &ActorId {
        &self.by
    }

    /// When it was given.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// What may be sent.
    #[must_use]
    pub fn classes(&self) -> DataClasses {
        self.classes
    }

    /// What for.
    #[must_use]
    pub fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// Where the recipient is.
    #[must_use]
    pub fn recipient(&self) -> CountryCode {
        self.recipient
    }

    /// Whether data of these classes may be sent for this purpose.
    #[must_use]
    pub fn covers(&self, classes: DataClasses, purpose: Option<&Purpose>) -> bool {
        classes.is_none() || (classes.is_within(self.classes) && purpose == Some(&self.purpose))
    }
}

/// No instruction covers a message's classes. Its payload goes with it: nobody is to keep what may not be sent.
pub(super) const NOT_INSTRUCTED: ReasonCode = reason_code!("dispatch.not_instructed");

/// Whether a message that was claimed may leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an `_` arm is where data leave without instruction")]
pub enum Disclosure {
    /// It holds public and internal data only.
    #[default]
    Free,
    /// The client's instruction covers it, as of the endpoint's revision at the time of the claim.
    Instructed,
    /// No instruction covers it, or not any more.
    Refused,
    /// No instruction covers it, and it leaves all the same, since the outbox is
    /// [report-only](Enforcement::ReportOnly). The dispatcher has that recorded.
    ReportOnly {
        /// What the message holds.
        classes: DataClasses,
    },
}

impl Disclosure {
    /// Of data of these classes, under this instruction.
    #[must_use]
    pub fn under(
        instruction: Option<&Instruction>,
        classes: DataClasses,
        purpose: Option<&Purpose>,
        enforcement: Enforcement,
    ) -> Self {
        if classes.is_none() {
            Self::Free
        } else if instruction.is_some_and(|instruction| instruction.covers(classes, purpose)) {
            Self::Instructed
        } else {
            Self::uncovered(classes, enforcement)
        }
    }

    /// Of data no instruction covers.
    pub(super) fn uncovered(classes: DataClasses, enforcement: Enforcement) -> Self {
        match enforcement {
            Enforcement::Enforce => Self::Refused,
            Enforcement::ReportOnly => Self::ReportOnly { classes },
        }
    }
}
