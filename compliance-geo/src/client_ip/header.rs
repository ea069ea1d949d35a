//! Reading header lines without knowing whose they are.

use std::borrow::Cow;

/// A request's header lines.
///
/// Implemented for slices of name and value pairs and, with the feature `http`, for `http::HeaderMap`. Whoever
/// implements it for another type answers every line of that name, in the order received, comparing names without
/// regard to ASCII case (RFC 9110 §5.1).
pub trait Headers {
    /// Every line with this name, in order.
    fn lines(&self, name: &FieldName) -> impl DoubleEndedIterator<Item = &[u8]>;
}

impl<H: Headers + ?Sized> Headers for &H {
    fn lines(&self, name: &FieldName) -> impl DoubleEndedIterator<Item = &[u8]> {
        (**self).lines(name)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn lines(&self, name: &FieldName) -> impl DoubleEndedIterator<Item = &[u8]> {
        let named = move |(found, _): &&(N, V)| found.as_ref().eq_ignore_ascii_case(name.as_str());
        self.iter().filter(named).map(|(_, value)| value.as_ref())
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn lines(&self, name: &FieldName) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.as_slice().lines(name)
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>, const LEN: usize> Headers for [(N, V); LEN] {
    fn lines(&self, name: &FieldName) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.as_slice().lines(name)
    }
}

#[cfg(feature = "http")]
impl Headers for http::HeaderMap {
    #[inline]
    fn lines(&self, name: &FieldName) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.get_all(&name.parsed).iter().map(http::HeaderValue::as_bytes)
    }
}

/// The name of a header field: one or more token characters (RFC 9110 §5.1), at most
/// [`MAX_LEN`](Self::MAX_LEN).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName {
    text: Cow<'static, str>,
    #[cfg(feature = "http")]
    parsed: http::HeaderName,
}

impl FieldName {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks a name. `None` unless it has the form above. Case does not matter.
    #[must_use]
    pub fn parse(text: impl Into<Cow<'static, str>>) -> Option<Self> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(is_token) {
            return None;
        }
        Some(Self {
            #[cfg(feature = "http")]
            parsed: http::HeaderName::from_bytes(text.as_bytes()).ok()?,
            text,
        })
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A `tchar` (RFC 9110 §5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Cuts optional white space (RFC 9110 §5.6.3) off both ends.
#[inline]
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
