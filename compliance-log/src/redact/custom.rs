//! Detectors of the service's own.

#[cfg(feature = "custom")]
pub(crate) use self::with::Customs;
#[cfg(feature = "custom")]
pub use self::with::{CustomDetector, CustomDetectorError, CustomDetectorErrorKind};
#[cfg(not(feature = "custom"))]
pub(crate) use self::without::Customs;

#[cfg(not(feature = "custom"))]
mod without {
    use super::super::detect::Hits;

    /// There are none.
    #[derive(Clone, Debug)]
    pub(crate) struct Customs;

    #[expect(clippy::unused_self, reason = "the same calls as with the feature")]
    impl Customs {
        pub(crate) fn none() -> Self {
            Self
        }

        pub(crate) fn find(&self, _: &str, _: &mut Hits) {}

        pub(crate) fn is_empty(&self) -> bool {
            true
        }

        pub(crate) fn placeholder(&self, _: u32) -> Option<&str> {
            None
        }
    }
}

#[cfg(feature = "custom")]
mod with {
    use std::fmt;

    use regex::{Regex, RegexBuilder};

    use super::super::detect::{Hit, Hits};
    use super::super::detector::{Detector, placeholder_len};

    /// A detector of the service's own: a name, a regular expression and, where the shape alone says too little, a check.
    ///
    /// It runs where the others run: on texts and fields, on what is percent-encoded, escaped or base64. Cost is linear in
    /// the text; there are no look-arounds and no back-references. What it finds is a hit of [`Detector::Custom`] with a
    /// placeholder of its own. One detector's matches do not overlap: the leftmost counts, and where its check fails, the
    /// search goes on behind it.
    ///
    /// ```
    /// use compliance_log::redact::{CustomDetector, Redactor};
    ///
    /// let badge = CustomDetector::new("BADGE", r"\bB-[0-9]{6}\b")?.check(|value| !value.ends_with("000000"));
    /// let redactor = Redactor::builder().custom(badge).build();
    /// assert_eq!(redactor.redact("opened by B-104732"), "opened by [BADGE]");
    /// assert_eq!(redactor.redact("opened by B-000000"), "opened by B-000000");
    /// assert_eq!(CustomDetector::new("B", "x").unwrap_err().code(), "redact_custom.name");
    /// # Ok::<(), compliance_log::redact::CustomDetectorError>(())
    /// ```
    #[derive(Clone)]
    pub struct CustomDetector {
        placeholder: String,
        pattern: Regex,
        check: fn(&str) -> bool,
    }

    impl CustomDetector {
        /// The longest name, in bytes.
        pub const MAX_NAME: usize = 16;
        /// The longest regular expression, in bytes.
        pub const MAX_PATTERN: usize = 1024;
        /// The most memory a compiled expression may take, in bytes.
        pub const MAX_MEMORY: usize = 1 << 20;

        /// A detector named by two to sixteen capitals, digits and underscores.
        ///
        /// # Errors
        /// [`CustomDetectorErrorKind::Name`] for another name or one of a built-in detector,
        /// [`CustomDetectorErrorKind::Pattern`] for an expression that does not compile within the limits,
        /// [`CustomDetectorErrorKind::Empty`] for one that matches nothing at all, in every place.
        pub fn new(name: &str, pattern: &str) -> Result<Self, CustomDetectorError> {
            let error = |kind| CustomDetectorError { kind };
            let letters = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if !(2..=Self::MAX_NAME).contains(&name.len())
                || !name.bytes().all(letters)
                || Detector::ALL.iter().any(|detector| detector.name() == name)
            {
                return Err(error(CustomDetectorErrorKind::Name));
            }
            if pattern.len() > Self::MAX_PATTERN {
                return Err(error(CustomDetectorErrorKind::Pattern));
            }
            let pattern = RegexBuilder::new(pattern)
                .size_limit(Self::MAX_MEMORY)
                .dfa_size_limit(Self::MAX_MEMORY)
                .build()
                .map_err(|_| error(CustomDetectorErrorKind::Pattern))?;
            if pattern.is_match("") {
                return Err(error(CustomDetectorErrorKind::Empty));
            }
            Ok(Self { placeholder: format!("[{name}]"), pattern, check: |_| true })
        }

        /// Only what passes `check` is a hit: a check digit, a list.
        #[must_use]
        pub fn check(mut self, check: fn(&str) -> bool) -> Self {
            self.check = check;
            self
        }

        /// The name.
        #[must_use]
        pub fn name(&self) -> &str {
            self.placeholder.trim_matches(['[', ']'])
        }
    }

    impl fmt::Debug for CustomDetector {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("CustomDetector").field("name", &self.name()).finish_non_exhaustive()
        }
    }

    /// Why a detector was refused.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("custom detector refused: {kind}")]
    pub struct CustomDetectorError {
        kind: CustomDetectorErrorKind,
    }

    impl CustomDetectorError {
        /// What is wrong.
        #[must_use]
        pub fn kind(&self) -> CustomDetectorErrorKind {
            self.kind
        }

        /// The stable code.
        #[must_use]
        pub fn code(&self) -> &'static str {
            match self.kind {
                CustomDetectorErrorKind::Empty => "redact_custom.empty",
                CustomDetectorErrorKind::Name => "redact_custom.name",
                CustomDetectorErrorKind::Pattern => "redact_custom.pattern",
            }
        }
    }

    /// What is wrong with a detector.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[non_exhaustive]
    pub enum CustomDetectorErrorKind {
        /// The expression matches the empty text.
        #[error("the expression matches an empty text")]
        Empty,
        /// The name has another shape, or is taken.
        #[error("the name is taken or not 2 to 16 of A to Z, 0 to 9 and underscore")]
        Name,
        /// The expression does not compile, or is too large.
        #[error("the expression does not compile within 1024 bytes and 1 MiB")]
        Pattern,
    }

    /// The detectors of a redactor.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Customs(Vec<CustomDetector>);

    impl Customs {
        pub(crate) fn none() -> Self {
            Self::default()
        }

        pub(crate) fn add(&mut self, detector: CustomDetector) {
            self.0.push(detector);
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        /// What they find in a text. One after the other: each has a search for its own literals in front, which makes twenty
        /// of them twice as fast as one automaton for all.
        pub(crate) fn find(&self, text: &str, hits: &mut Hits) {
            for (index, detector) in (1_u32..).zip(&self.0) {
                for found in detector.pattern.find_iter(text) {
                    if !found.is_empty()
                        && (detector.check)(found.as_str())
                        && !self.replaced(text, found.start(), found.end())
                    {
                        hits.push(Hit {
                            start: found.start(),
                            end: found.end(),
                            detector: Detector::Custom,
                            custom: index,
                        });
                    }
                }
            }
        }

        /// Whether a match lies within a placeholder.
        fn replaced(&self, text: &str, start: usize, end: usize) -> bool {
            let head = text.get(..start.saturating_add(1)).unwrap_or(text);
            let Some(open) = head.rfind('[') else { return false };
            let rest = text.get(open..).unwrap_or("");
            let length = placeholder_len(rest.as_bytes()).or_else(|| {
                self.0
                    .iter()
                    .find(|known| rest.starts_with(&known.placeholder))
                    .map(|known| known.placeholder.len())
            });
            length.is_some_and(|length| end <= open.saturating_add(length))
        }

        pub(crate) fn placeholder(&self, custom: u32) -> Option<&str> {
            let index = usize::try_from(custom.checked_sub(1)?).ok()?;
            self.0.get(index).map(|detector| detector.placeholder.as_str())
        }
    }
}
