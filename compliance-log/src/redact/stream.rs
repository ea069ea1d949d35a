//! Redaction without `tracing`: raw streams, and values on their way into an error report.

use std::fmt;
use std::io::{self, Write};

use super::Redactor;

/// A `Write` that redacts line by line what passes through it.
///
/// A line is held back until it is complete, because half of a value is not recognised; [`finish`](Self::finish)
/// writes a last one without a line break, dropping the writer does too. The lines of a private key in PEM or of PGP are
/// left out: up to its end, or to the first line that none can have, at most
/// [`MAX_KEY_LINES`](Self::MAX_KEY_LINES).
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
    /// How many more lines may belong to the private key that has begun.
    key_lines: usize,
}

impl<W: Write> RedactingWriter<W> {
    /// The longest line, in bytes; longer ones become `[DROPPED]`.
    pub const MAX_LINE: usize = 1 << 20;

    /// The most lines of a private key: RSA keys of 16384 bits have about 200. What a line that only begins one can silence
    /// is bounded by it.
    pub const MAX_KEY_LINES: usize = 512;

    /// Puts a redactor before `inner`.
    pub fn new(inner: W, redactor: Redactor) -> Self {
        Self { inner: Some(inner), redactor, line: Vec::new(), overlong: false, key_lines: 0 }
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
        let within = self.key_lines > 0 && is_key_line(&line);
        self.key_lines = match key_mark(&line) {
            Some(Mark::Begin) => Self::MAX_KEY_LINES,
            None if self.key_lines > 0 && (within || is_key_header(&line)) => {
                self.key_lines.saturating_sub(1)
            }
            Some(Mark::End) | None => 0,
        };
        let result = if overlong {
            inner.write_all(Redactor::DROPPED.as_bytes()).and_then(|()| inner.write_all(end))
        } else if within {
            // The key's placeholder stands where it began.
            Ok(())
        } else {
            inner.write_all(self.redactor.redact(&line).as_bytes()).and_then(|()| inner.write_all(end))
        };
        self.line.clear();
        result
    }
}

/// A boundary of a private key: RFC 7468 section 2, RFC 9580 section 6.2.
enum Mark {
    Begin,
    End,
}

/// The last boundary of a private key in a line.
fn key_mark(line: &str) -> Option<Mark> {
    let begin = line.rfind("-----BEGIN ").map(|at| (at, at.saturating_add(11), Mark::Begin));
    let end = line.rfind("-----END ").map(|at| (at, at.saturating_add(9), Mark::End));
    let (_, label, mark) = begin.into_iter().chain(end).max_by_key(|(at, ..)| *at)?;
    let (label, _) = line.get(label..)?.split_once("-----")?;
    label.contains("PRIVATE KEY").then_some(mark)
}

/// The shortest run of base64 that is a line of a key whatever stands before it, such as a time.
const FULL: usize = 48;

/// Whether a line may be one of a key: base64 and white space (RFC 7468 section 3), such a run behind something else, or the
/// key's end.
fn is_key_line(line: &str) -> bool {
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let body = line.bytes().all(|byte| base64(&byte) || byte.is_ascii_whitespace());
    let run = line.trim_end().bytes().rev().take_while(base64).count();
    body || run >= FULL || matches!(key_mark(line), Some(Mark::End))
}

/// Whether a line may be a header of a key: RFC 1421 section 4.6, RFC 9580 section 6.2.2. It is no secret.
fn is_key_header(line: &str) -> bool {
    static NAMES: [&str; 7] =
        ["Proc-Type: ", "DEK-Info: ", "Version: ", "Comment: ", "Hash: ", "Charset: ", "MessageID: "];
    NAMES.iter().any(|name| line.starts_with(name))
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
