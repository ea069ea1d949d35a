//! Redaction without `tracing`: raw streams, and values on their way into an error report.

use std::fmt;
use std::io::{self, Write};

use super::Redactor;

/// A `Write` that redacts line by line what passes through it.
///
/// A line is held back until it is complete, because half of a value is not recognised; [`finish`](Self::finish)
/// writes a last one without a line break, dropping the writer does too. A private key in PEM is held back over
/// all its lines.
///
/// ```
/// use std::io::Write;
/// use compliance_log::redact::{RedactingWriter, Redactor};
///
/// let mut writer = RedactingWriter::new(Vec::new(), Redactor::new());
/// writer.write_all(b"by anna@exam")?;
/// writer.flush()?; // Nothing yet: the line goes on.
/// writer.write_all(b"ple.com\nok")?;
/// assert_eq!(writer.finish()?, b"by [EMAIL]\nok");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct RedactingWriter<W: Write> {
    inner: Option<W>,
    redactor: Redactor,
    line: Vec<u8>,
    /// The line grew past the limit: it is dropped up to its end.
    overlong: bool,
    /// A private key has begun and not ended.
    in_key: bool,
}

impl<W: Write> RedactingWriter<W> {
    /// The longest line, in bytes; longer ones become `[DROPPED]`.
    pub const MAX_LINE: usize = 1 << 20;

    /// Puts a redactor before `inner`.
    pub fn new(inner: W, redactor: Redactor) -> Self {
        Self { inner: Some(inner), redactor, line: Vec::new(), overlong: false, in_key: false }
    }

    /// Writes what is held back and returns the writer inside.
    ///
    /// # Errors
    /// What the writer inside reports.
    pub fn finish(mut self) -> io::Result<W> {
        self.end_line(b"")?;
        let mut inner = self.inner.take().ok_or_else(closed)?;
        inner.flush()?;
        Ok(inner)
    }

    fn end_line(&mut self, end: &[u8]) -> io::Result<()> {
        let Some(inner) = &mut self.inner else { return Err(closed()) };
        let overlong = std::mem::take(&mut self.overlong);
        let line = String::from_utf8_lossy(&self.line);
        let was_in_key = self.in_key;
        if let Some(begin) = line.rfind("PRIVATE KEY-----") {
            let mark = line.get(..begin).and_then(|head| head.rfind("-----"));
            let mark = mark.and_then(|mark| line.get(mark..)).unwrap_or("");
            self.in_key = mark.starts_with("-----BEGIN ");
        }
        let result = if overlong {
            inner.write_all(Redactor::DROPPED.as_bytes()).and_then(|()| inner.write_all(end))
        } else if was_in_key {
            // The key's placeholder stands where it began.
            Ok(())
        } else {
            inner.write_all(self.redactor.redact(&line).as_bytes()).and_then(|()| inner.write_all(end))
        };
        self.line.clear();
        result
    }
}

fn closed() -> io::Error {
    io::Error::other("the writer was taken away")
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            if self.line.len().saturating_add(text.len()) > Self::MAX_LINE {
                self.overlong = true;
                self.line.clear();
            } else if !self.overlong {
                self.line.extend_from_slice(text);
            }
            if ends {
                self.end_line(b"\n")?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.as_mut().map_or_else(|| Err(closed()), Write::flush)
    }
}

impl<W: Write> Drop for RedactingWriter<W> {
    fn drop(&mut self) {
        if self.inner.is_some() && (self.overlong || !self.line.is_empty()) {
            // Nobody is left to report a failure to; `finish` does.
            let _ = self.end_line(b"");
        }
    }
}

impl<W: Write> fmt::Debug for RedactingWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactingWriter").field("held_back", &self.line.len()).finish_non_exhaustive()
    }
}

/// A value whose `Display` and `Debug` are redacted: for error reports and answers to users.
///
/// ```
/// use compliance_log::redact::{Redacted, Redactor};
///
/// let redactor = Redactor::new();
/// let report = Redacted::new(&redactor, "no account for anna@example.com");
/// assert_eq!(report.to_string(), "no account for [EMAIL]");
/// ```
#[derive(Clone, Copy)]
pub struct Redacted<'r, T> {
    redactor: &'r Redactor,
    value: T,
}

impl<'r, T> Redacted<'r, T> {
    /// Wraps a value; a reference will do.
    #[must_use]
    pub fn new(redactor: &'r Redactor, value: T) -> Self {
        Self { redactor, value }
    }
}

impl<T: fmt::Display> fmt::Display for Redacted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redactor.redact(&format!("{}", self.value)))
    }
}

impl<T: fmt::Debug> fmt::Debug for Redacted<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if f.alternate() { format!("{:#?}", self.value) } else { format!("{:?}", self.value) };
        f.write_str(&self.redactor.redact(&text))
    }
}
