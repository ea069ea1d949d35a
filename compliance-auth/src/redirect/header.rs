//! Redirects in the headers of a response, whoever wrote them.

use super::{RedirectError, RedirectErrorKind as Kind};

/// A header's value as text. RFC 9110 §10.2.2 has a URI reference in `Location`, which is ASCII; what a browser
/// makes of other bytes is its own affair.
pub(crate) fn header_text(value: &[u8]) -> Result<&str, RedirectError> {
    match std::str::from_utf8(value) {
        Ok(text) if text.is_ascii() => Ok(text),
        _ => Err(RedirectError::new(Kind::NotAscii)),
    }
}

/// The value of a `Refresh` header, as HTML's shared declarative refresh steps read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refresh<'a> {
    /// Digits, and perhaps a fraction.
    pub(crate) seconds: &'a str,
    /// `None`: the page itself again.
    pub(crate) target: Option<&'a str>,
}

impl<'a> Refresh<'a> {
    /// Reads `5`, `5; url=/next`, `5, URL = '/next'`. Browsers read more, each in its own way: a target without
    /// `url=`, a quote that does not close, text after one that does. None of these is read here.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, RedirectError> {
        let refused = RedirectError::new(Kind::Refresh);
        let text = header_text(value)?.trim_matches([' ', '\t']);
        let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (seconds, rest) = text.split_at_checked(digits).ok_or(refused)?;
        if !seconds.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(refused);
        }
        if rest.is_empty() {
            return Ok(Self { seconds, target: None });
        }
        let rest = rest.trim_start_matches([' ', '\t']).strip_prefix([';', ',']).ok_or(refused)?;
        let rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return Ok(Self { seconds, target: None });
        }
        let (name, rest) = rest.split_at_checked(3).ok_or(refused)?;
        if !name.eq_ignore_ascii_case("url") {
            return Err(refused);
        }
        let rest = rest.trim_start_matches([' ', '\t']).strip_prefix('=').ok_or(refused)?;
        let rest = rest.trim_start_matches([' ', '\t']);
        let target = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let inside = rest.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
                inside.filter(|inside| !inside.contains(quote)).ok_or(refused)?
            }
            _ => rest,
        };
        Ok(Self { seconds, target: Some(target) })
    }
}
