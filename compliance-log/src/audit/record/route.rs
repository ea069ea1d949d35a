//! Which API was called, without what it was called with.

use std::fmt;

/// The template of a route, `/users/{id}`: what a router matched, not what was asked for.
///
/// 1 to [`MAX_LEN`](Self::MAX_LEN) bytes of `[A-Za-z0-9/._{}:*~-]`, beginning with `/`. A segment that is a number, a UUID
/// or sixteen and more hexadecimal digits is a value, not a template, and refused: raw paths name people.
///
/// ```
/// use compliance_log::audit::record::RouteTemplate;
///
/// assert_eq!(RouteTemplate::new("/users/{id}")?.as_str(), "/users/{id}");
/// assert_eq!(RouteTemplate::new("/users/4711").unwrap_err().code(), "route.value");
/// assert_eq!(RouteTemplate::new("/users/anna@example.com").unwrap_err().code(), "route.character");
/// # Ok::<(), compliance_log::audit::record::RouteError>(())
/// ```
///
/// # Security
/// A raw path of letters alone cannot be told from a template: give what the router matched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteTemplate(Box<str>);

impl RouteTemplate {
    /// The longest template, in bytes.
    pub const MAX_LEN: usize = 128;

    /// Checks and takes a template.
    ///
    /// # Errors
    /// [`RouteError`]: `route.length`, `route.character`, `route.value`.
    pub fn new(text: impl AsRef<str>) -> Result<Self, RouteError> {
        let text = text.as_ref();
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return Err(RouteError::Length { found: text.len() });
        }
        let is_template = |(at, byte): (usize, u8)| match at {
            0 => byte == b'/',
            _ => byte.is_ascii_alphanumeric() || b"/._{}:*~-".contains(&byte),
        };
        if let Some(at) = text.bytes().enumerate().position(|found| !is_template(found)) {
            return Err(RouteError::Character { at });
        }
        if text.split('/').any(is_value) {
            return Err(RouteError::Value);
        }
        Ok(Self(text.into()))
    }

    /// What stands in the trail where no route matched: `/{unmatched}`.
    #[must_use]
    pub fn unmatched() -> Self {
        Self("/{unmatched}".into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_value(segment: &str) -> bool {
    let digits: String = segment.chars().filter(|c| *c != '-').collect();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number || (digits.len() >= 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A text was no route template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// A byte outside the alphabet, or none that begins with `/`.
    #[error("route template has a character outside its alphabet at byte {at}")]
    Character {
        /// Byte offset of the first such character.
        at: usize,
    },
    /// Empty or too long.
    #[error("route template is {found} bytes, expected 1 to {}", RouteTemplate::MAX_LEN)]
    Length {
        /// The length found, in bytes.
        found: usize,
    },
    /// A segment is a number, a UUID or a long hexadecimal number.
    #[error("a segment of the route template is a value")]
    Value,
}

impl RouteError {
    /// `route.character`, `route.length` or `route.value`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Character { .. } => "route.character",
            Self::Length { .. } => "route.length",
            Self::Value => "route.value",
        }
    }
}
