//! Policy: which passwords may be used, and the reasons when one may not.

use std::fmt;
use std::sync::Arc;

use compliance_core::finding::{Enforcement, Explain, Finding, Outcome, PolicyVersion, Reason, ReasonCode};
use compliance_core::reason_code;
use compliance_core::snapshot::Snapshot;
use secrecy::{ExposeSecret as _, SecretString};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_public_assigned;
use zeroize::Zeroizing;

use super::blocklist::{self, Expected};
use super::breach::{Breach, BreachFilter, OnUnavailable};
use super::context::PasswordContext;
use super::message::{self, Language};
use super::strength::{Score, Strength};

/// The published rule sets we ship, as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PasswordProfile {
    /// OWASP ASVS 5.0 V6.2: at least 8 code points (15 recommended), no composition, blocklist and context
    /// words, verified exactly as received (6.2.8), so *not* normalised.
    Asvs5,
    /// NIST SP 800-63B-4 §3.1.1.2, password as the only factor: at least 15 code points, NFC, blocklist.
    Nist80063b4,
    /// NIST SP 800-63B-4 §3.1.1.2, password used only together with a second factor: at least 8 code points.
    Nist80063b4WithMfa,
    /// PCI DSS 4.0.1 requirement 8.3.6: at least 12 characters, letters and digits.
    ///
    /// Conflicts with NIST, which forbids composition rules; use it where an assessor demands it. Our blocklist
    /// applies beside it.
    Pci401,
}

/// What a profile asks for.
struct Rules {
    profile: PasswordProfile,
    name: &'static str,
    version: &'static str,
    published: &'static str,
    min_code_points: usize,
    form: PasswordForm,
    letters_and_digits: bool,
}

const RULES: [Rules; 4] = [
    Rules {
        profile: PasswordProfile::Asvs5,
        name: "asvs",
        version: "5.0",
        published: "2025-05-30",
        min_code_points: 8,
        form: PasswordForm::AsReceived,
        letters_and_digits: false,
    },
    Rules {
        profile: PasswordProfile::Nist80063b4,
        name: "nist-800-63b-4",
        version: "2025-07",
        published: "2025-07-31",
        min_code_points: 15,
        form: PasswordForm::Nfc,
        letters_and_digits: false,
    },
    Rules {
        profile: PasswordProfile::Nist80063b4WithMfa,
        name: "nist-800-63b-4-mfa",
        version: "2025-07",
        published: "2025-07-31",
        min_code_points: 8,
        form: PasswordForm::Nfc,
        letters_and_digits: false,
    },
    Rules {
        profile: PasswordProfile::Pci401,
        name: "pci-dss",
        version: "4.0.1",
        published: "2024-06-11",
        min_code_points: 12,
        form: PasswordForm::Nfc,
        letters_and_digits: true,
    },
];

impl PasswordProfile {
    /// When the standard was published, `2025-07-31` for one.
    #[must_use]
    pub fn published(self) -> &'static str {
        self.rules().map_or("", |rules| rules.published)
    }

    fn rules(self) -> Option<&'static Rules> {
        RULES.iter().find(|rules| rules.profile == self)
    }

    /// `asvs`, `nist`, `nist-mfa` or `pci`, for configuration files.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "asvs" => Some(Self::Asvs5),
            "nist" => Some(Self::Nist80063b4),
            "nist-mfa" => Some(Self::Nist80063b4WithMfa),
            "pci" => Some(Self::Pci401),
            _ => None,
        }
    }
}

/// In which Unicode form a password is compared, hashed and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the two forms the standards know")]
pub enum PasswordForm {
    /// Exactly as received (ASVS 5.0 6.2.8). `ü` typed on another keyboard may be another password.
    AsReceived,
    /// Normalisation Form C (SP 800-63B-4 §3.1.1.2), so that `ü` is `ü` however it was typed.
    Nfc,
}

/// Which passwords may be used.
///
/// ```
/// use compliance_auth::password::{PasswordContext, PasswordPolicy, PasswordProfile};
/// use secrecy::SecretString;
///
/// let policy = PasswordPolicy::of(PasswordProfile::Nist80063b4);
/// let context = PasswordContext::new().user("jane.doe@acme.test").service("acme");
///
/// let good = policy.check(&SecretString::from("ein Wal kennt keinen Bahnsteig"), &context);
/// assert!(good.is_ok());
///
/// let bad = policy.check(&SecretString::from("janedoe1990"), &context).unwrap_err();
/// let codes: Vec<_> = bad.reasons().iter().map(|reason| reason.code()).collect();
/// assert_eq!(codes, ["password.too_short", "password.context"]);
/// ```
///
/// # Why no required score
/// SP 800-63B-4 §3.1.1.2 forbids composition rules, and a required strength score is one: users cannot see the
/// rule they break. Length, blocklist and context decide; the [`Strength`] comes along as guidance for a meter.
/// [`custom`](Self::custom) policies may require a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordPolicy {
    version: PolicyVersion,
    min_code_points: usize,
    max_code_points: usize,
    form: PasswordForm,
    letters_and_digits: bool,
    min_score: Score,
    enforcement: Enforcement,
    breach: Option<BreachCheck>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct BreachCheck {
    filter: Arc<BreachFilter>,
    on_unavailable: OnUnavailable,
}

impl PasswordPolicy {
    /// The longest password any policy accepts, in code points. SP 800-63B-4 and ASVS 5.0 (6.2.9) ask for at
    /// least 64.
    pub const MAX_CODE_POINTS: usize = Strength::MAX_CODE_POINTS;
    /// No policy refuses passwords up to this length for being too long.
    pub const MIN_MAX_CODE_POINTS: usize = 64;
    /// The least a policy may ask for (SP 800-63B-4 §3.1.1.2 with a second factor; ASVS 5.0 6.2.1).
    pub const MIN_MIN_CODE_POINTS: usize = 8;

    /// A shipped profile.
    #[must_use]
    pub fn of(profile: PasswordProfile) -> Self {
        // INVARIANT: the table has every profile; what is not there would be as strict as they come.
        let rules = profile.rules();
        Self {
            version: rules.map_or_else(
                || PolicyVersion::new("none", "0"),
                |rules| PolicyVersion::new(rules.name, rules.version),
            ),
            min_code_points: rules.map_or(Self::MIN_MAX_CODE_POINTS, |rules| rules.min_code_points),
            max_code_points: Self::MAX_CODE_POINTS,
            form: rules.map_or(PasswordForm::Nfc, |rules| rules.form),
            letters_and_digits: rules.is_some_and(|rules| rules.letters_and_digits),
            min_score: Score::Zero,
            enforcement: Enforcement::Enforce,
            breach: None,
        }
    }

    /// Your own policy, starting from the NIST profile for a single factor. Name it, so that findings can say
    /// which policy decided.
    #[must_use]
    pub fn custom(version: PolicyVersion) -> Self {
        Self { version, ..Self::of(PasswordProfile::Nist80063b4) }
    }

    /// Sets the least length, in code points; at least [`MIN_MIN_CODE_POINTS`](Self::MIN_MIN_CODE_POINTS), at
    /// most [`MIN_MAX_CODE_POINTS`](Self::MIN_MAX_CODE_POINTS).
    #[must_use]
    pub fn min_code_points(mut self, min: usize) -> Self {
        self.min_code_points = min.clamp(Self::MIN_MIN_CODE_POINTS, Self::MIN_MAX_CODE_POINTS);
        self
    }

    /// Sets the greatest length, in code points, from [`MIN_MAX_CODE_POINTS`](Self::MIN_MAX_CODE_POINTS) to
    /// [`MAX_CODE_POINTS`](Self::MAX_CODE_POINTS).
    #[must_use]
    pub fn max_code_points(mut self, max: usize) -> Self {
        self.max_code_points = max.clamp(Self::MIN_MAX_CODE_POINTS, Self::MAX_CODE_POINTS);
        self
    }

    /// Requires a strength score. Breaks SP 800-63B-4, see above.
    #[must_use]
    pub fn min_score(mut self, min: Score) -> Self {
        self.min_score = min;
        self
    }

    /// Requires a letter and a digit. Breaks SP 800-63B-4.
    #[must_use]
    pub fn letters_and_digits(mut self) -> Self {
        self.letters_and_digits = true;
        self
    }

    /// Sets the Unicode form.
    #[must_use]
    pub fn form(mut self, form: PasswordForm) -> Self {
        self.form = form;
        self
    }

    /// Refuses passwords that are in a breach, as `filter` knows them (ASVS 5.0 6.2.12).
    #[must_use]
    pub fn breach_filter(mut self, filter: Arc<BreachFilter>, on_unavailable: OnUnavailable) -> Self {
        self.breach = Some(BreachCheck { filter, on_unavailable });
        self
    }

    /// Decides and says what it would have refused, but accepts it: to see what a new policy would do.
    ///
    /// What is longer than the policy accepts stays refused: it was not looked at.
    #[must_use]
    pub fn enforcement(mut self, enforcement: Enforcement) -> Self {
        self.enforcement = enforcement;
        self
    }

    /// Name and version, for findings.
    #[must_use]
    pub fn version(&self) -> &PolicyVersion {
        &self.version
    }

    /// Checks a new password.
    ///
    /// Bounded work for any input: one that is too long is refused before anything is done with it.
    ///
    /// # Errors
    /// [`PasswordRefusal`] with every reason that applies.
    pub fn check(
        &self,
        password: &SecretString,
        context: &PasswordContext,
    ) -> Result<AcceptedPassword, PasswordRefusal> {
        match (self.judge(password.expose_secret(), context), self.enforcement) {
            (Ok(accepted), _) => Ok(accepted),
            (Err(refusal), Enforcement::ReportOnly) if refusal.strength.is_some() => {
                let strength = refusal.strength.unwrap_or_else(|| Strength::estimate("", context));
                let text = self.formed(password.expose_secret());
                let overruled = Some(Box::new(refusal.with_enforcement(Enforcement::ReportOnly)));
                let accepted = self.accept(&text, strength);
                Ok(AcceptedPassword { overruled, ..accepted })
            }
            (Err(refusal), _) => Err(refusal),
        }
    }

    fn formed(&self, received: &str) -> Zeroizing<String> {
        match self.form {
            PasswordForm::AsReceived => Zeroizing::new(received.to_owned()),
            PasswordForm::Nfc => nfc(received),
        }
    }

    fn accept(&self, text: &str, strength: Strength) -> AcceptedPassword {
        AcceptedPassword {
            secret: SecretString::from(text),
            strength,
            version: self.version.clone(),
            breach: self.breach_snapshot(),
            is_breach_unknown: false,
            #[cfg(feature = "breach-range")]
            enforcement: self.enforcement,
            overruled: None,
        }
    }

    fn breach_snapshot(&self) -> Option<Box<Snapshot>> {
        self.breach.as_ref().map(|check| Box::new(check.filter.snapshot().clone()))
    }

    /// What the rules say, whatever comes of it.
    pub(super) fn judge(
        &self,
        received: &str,
        context: &PasswordContext,
    ) -> Result<AcceptedPassword, PasswordRefusal> {
        const MAX_BYTES_PER_CODE_POINT: usize = 4;
        let refuse = |reasons, strength| PasswordRefusal {
            reasons,
            strength,
            version: self.version.clone(),
            enforcement: Enforcement::Enforce,
            breach: self.breach_snapshot(),
        };
        let too_long = PasswordReason::TooLong { max: self.max_code_points };
        // Before normalisation, and the same for every policy: NFC can make a text shorter.
        if received.len() > Self::MAX_CODE_POINTS.saturating_mul(MAX_BYTES_PER_CODE_POINT) {
            return Err(refuse(vec![too_long], None));
        }
        let text = self.formed(received);
        let found = text.chars().count();
        if found > self.max_code_points {
            return Err(refuse(vec![too_long], None));
        }
        let mut reasons = Vec::new();
        if found < self.min_code_points {
            reasons.push(PasswordReason::TooShort { found, min: self.min_code_points });
        }
        if text.chars().any(char::is_control) {
            reasons.push(PasswordReason::Control);
        }
        if !text.chars().all(is_public_assigned) {
            reasons.push(PasswordReason::Unassigned);
        }
        if self.letters_and_digits && !text.chars().any(char::is_alphabetic) {
            reasons.push(PasswordReason::NoLetter);
        }
        if self.letters_and_digits && !text.chars().any(char::is_numeric) {
            reasons.push(PasswordReason::NoDigit);
        }
        reasons.extend(blocklist::expected(&text, context).map(PasswordReason::from));
        let mut is_breach_unknown = false;
        if let Some(check) = &self.breach {
            match (check.filter.lookup_text(&nfc(&text)), check.on_unavailable) {
                (Ok(Breach::Listed), _) => reasons.push(PasswordReason::Breached),
                (Ok(Breach::NotListed), _) => {}
                (Err(_), OnUnavailable::Refuse) => reasons.push(PasswordReason::BreachUnknown),
                (Err(_), OnUnavailable::Review) => is_breach_unknown = true,
            }
        }
        let strength = Strength::estimate(&text, context);
        if strength.score() < self.min_score {
            reasons.push(PasswordReason::TooWeak { score: strength.score(), min: self.min_score });
        }
        if !reasons.is_empty() {
            return Err(refuse(reasons, Some(strength)));
        }
        Ok(AcceptedPassword { is_breach_unknown, ..self.accept(&text, strength) })
    }
}

/// `text` in NFC. Allocated once in full, so that no half-grown copy stays behind unzeroised: NFC triples a
/// UTF-8 text at most (UAX #15 §9).
pub(super) fn nfc(text: &str) -> Zeroizing<String> {
    let mut normal = Zeroizing::new(String::with_capacity(text.len().saturating_mul(3)));
    normal.extend(text.nfc());
    normal
}

/// A password that passed its policy: the only thing [`PasswordHasher::hash`](super::PasswordHasher::hash)
/// takes. Zeroised when dropped, neither cloned nor shown.
#[must_use]
pub struct AcceptedPassword {
    secret: SecretString,
    strength: Strength,
    version: PolicyVersion,
    breach: Option<Box<Snapshot>>,
    is_breach_unknown: bool,
    #[cfg(feature = "breach-range")]
    enforcement: Enforcement,
    overruled: Option<Box<PasswordRefusal>>,
}

impl AcceptedPassword {
    /// How hard it is to guess.
    #[must_use]
    pub fn strength(&self) -> Strength {
        self.strength
    }

    /// What the policy would have refused it for, if it is [report-only](PasswordPolicy::enforcement).
    #[must_use]
    pub fn overruled(&self) -> Option<&PasswordRefusal> {
        self.overruled.as_deref()
    }

    /// Refuses it for one more reason, found later; or, report-only, notes that.
    #[cfg(feature = "breach-range")]
    pub(super) fn refuse(mut self, reason: PasswordReason) -> Result<Self, PasswordRefusal> {
        let refusal = PasswordRefusal {
            reasons: vec![reason],
            strength: Some(self.strength),
            version: self.version.clone(),
            enforcement: self.enforcement,
            breach: self.breach.clone(),
        };
        match (self.enforcement, &mut self.overruled) {
            (Enforcement::Enforce, _) => return Err(refusal),
            (Enforcement::ReportOnly, Some(overruled)) => overruled.reasons.push(reason),
            (Enforcement::ReportOnly, none) => *none = Some(Box::new(refusal)),
        }
        Ok(self)
    }

    /// Notes that nobody could say whether it is in a breach.
    #[cfg(feature = "breach-range")]
    pub(super) fn with_breach_unknown(self) -> Self {
        Self { is_breach_unknown: true, ..self }
    }

    /// In the form it is stored in.
    pub(super) fn secret(&self) -> &SecretString {
        &self.secret
    }
}

impl Explain for AcceptedPassword {
    /// Passed; for review when nobody could say whether it is in a breach; refused, but report-only, when the policy is.
    fn finding(&self) -> Finding {
        if let Some(refusal) = &self.overruled {
            return refusal.finding();
        }
        let version = self.version.clone();
        let finding = if self.is_breach_unknown {
            Finding::for_reason(Outcome::Review, &PasswordReason::BreachUnknown, version)
        } else {
            Finding::passed(reason_code!("password.accepted"), version)
        };
        with_snapshots(finding, self.breach.as_deref())
    }
}

impl fmt::Debug for AcceptedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedPassword").field("policy", &self.version).finish_non_exhaustive()
    }
}

/// Why a password may not be used. Never holds the password.
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordRefusal {
    reasons: Vec<PasswordReason>,
    strength: Option<Strength>,
    version: PolicyVersion,
    enforcement: Enforcement,
    breach: Option<Box<Snapshot>>,
}

impl PasswordRefusal {
    /// Every reason that applies, at least one.
    #[must_use]
    pub fn reasons(&self) -> &[PasswordReason] {
        &self.reasons
    }

    /// How hard the password is to guess; `None` when it was too long to be looked at.
    #[must_use]
    pub fn strength(&self) -> Option<Strength> {
        self.strength
    }

    /// Whether it refuses or only says that it would.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    pub(super) fn with_enforcement(self, enforcement: Enforcement) -> Self {
        Self { enforcement, ..self }
    }

    /// The messages to show, one for each reason.
    pub fn messages(&self, language: Language) -> impl Iterator<Item = String> + '_ {
        self.reasons.iter().map(move |reason| reason.message(language))
    }

    /// The code of the first reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.reasons.first().map_or("password.refused", |reason| reason.code())
    }
}

impl fmt::Display for PasswordRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("password refused:")?;
        self.reasons.iter().try_for_each(|reason| write!(f, " {}", reason.code()))
    }
}

impl std::error::Error for PasswordRefusal {}

impl Explain for PasswordRefusal {
    /// For the first reason. The trail needs no more, and the user sees all of them.
    fn finding(&self) -> Finding {
        let version = self.version.clone();
        let finding = match self.reasons.first() {
            Some(reason) => Finding::for_reason(Outcome::Refused, reason, version),
            None => {
                Finding::refused(reason_code!("password.refused"), reason_code!("password.refused"), version)
            }
        };
        with_snapshots(finding, self.breach.as_deref()).with_enforcement(self.enforcement)
    }
}

/// The lists every check looks at, and the breach filter where there is one.
fn with_snapshots(finding: Finding, breach: Option<&Snapshot>) -> Finding {
    [blocklist::snapshot(), blocklist::long_passwords_snapshot(), breach.cloned()]
        .into_iter()
        .flatten()
        .fold(finding, Finding::with_snapshot)
}

/// One reason against a password. The order is the order they are found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PasswordReason {
    /// Known from a breach.
    Breached,
    /// Nobody could say whether it is known from a breach.
    BreachUnknown,
    /// The whole of it is a common password.
    Common,
    /// Made of words of the context and other expected pieces.
    Context,
    /// Holds a control character, which no form can show and no keyboard types (RFC 8265 §4.2.2 disallows them in passwords).
    Control,
    /// Made of common passwords and other expected pieces.
    Derived,
    /// A profile that requires a digit found none.
    NoDigit,
    /// A profile that requires a letter found none.
    NoLetter,
    /// Made of repeats, sequences, keyboard walks or digits.
    Pattern,
    /// Longer than the policy accepts.
    TooLong {
        /// The greatest length, in code points.
        max: usize,
    },
    /// Shorter than the policy demands.
    TooShort {
        /// Its length, in code points.
        found: usize,
        /// The least length, in code points.
        min: usize,
    },
    /// The strength score is below the one a custom policy requires.
    TooWeak {
        /// Its score.
        score: Score,
        /// The least score.
        min: Score,
    },
    /// Holds a code point that Unicode has not assigned, or for private use: other devices may not type or
    /// normalise it alike (RFC 8265 §4.2.2 disallows the unassigned ones). ASVS 5.0 6.2.5 wants no rule on characters
    /// otherwise, and there is none.
    Unassigned,
}

impl PasswordReason {
    /// The stable code, `password.too_short` for one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        Reason::code(self).as_str()
    }

    /// What to tell the person.
    #[must_use]
    pub fn message(&self, language: Language) -> String {
        message::message(*self, language)
    }
}

impl From<Expected> for PasswordReason {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Common => Self::Common,
            Expected::Context => Self::Context,
            Expected::Derived => Self::Derived,
            Expected::Pattern => Self::Pattern,
        }
    }
}

impl Reason for PasswordReason {
    fn code(&self) -> ReasonCode {
        match self {
            Self::Breached => reason_code!("password.breached"),
            Self::BreachUnknown => reason_code!("password.breach_unknown"),
            Self::Common => reason_code!("password.common"),
            Self::Context => reason_code!("password.context"),
            Self::Control => reason_code!("password.control"),
            Self::Derived => reason_code!("password.derived"),
            Self::NoDigit => reason_code!("password.no_digit"),
            Self::NoLetter => reason_code!("password.no_letter"),
            Self::Pattern => reason_code!("password.pattern"),
            Self::TooLong { .. } => reason_code!("password.too_long"),
            Self::TooShort { .. } => reason_code!("password.too_short"),
            Self::TooWeak { .. } => reason_code!("password.too_weak"),
            Self::Unassigned => reason_code!("password.unassigned"),
        }
    }

    /// The same: SP 800-63B-4 §3.1.1.2 wants the person to be told why.
    fn public_code(&self) -> ReasonCode {
        Reason::code(self)
    }
}
