//! JSON Lines in, JSON Lines out.

use std::io::{self, BufRead, BufWriter, Read, Write};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Ended;

/// The longest line read, in bytes. Longer ones are answered with an error.
const MAX_LINE_LEN: u64 = 16 * 1024 * 1024;

/// Reads stdin line by line, and answers each line with what `answer` makes of it.
pub(crate) fn answer_lines<I: DeserializeOwned>(answer: impl FnMut(I) -> Value) -> Ended {
    let stdout = BufWriter::new(io::stdout().lock());
    match answer_each(io::stdin().lock(), stdout, answer) {
        Ok(()) => Ended::Done,
        // Whoever reads our answers has had enough of them.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ended::Done,
        Err(error) => Ended::Failed(error.to_string()),
    }
}

fn answer_each<I: DeserializeOwned>(
    mut input: impl BufRead,
    mut output: impl Write,
    mut answer: impl FnMut(I) -> Value,
) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut input).take(MAX_LINE_LEN).read_until(b'\n', &mut line)? == 0 {
            return output.flush();
        }
        let too_long = line.last() != Some(&b'\n') && line.len() as u64 >= MAX_LINE_LEN;
        let answer = if too_long {
            input.skip_until(b'\n')?;
            error("the line is longer than 16 MiB")
        } else {
            answer_line(&line, &mut answer)
        };
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
        // Somebody may be typing: they want the answer before the next line.
        output.flush()?;
    }
}

fn answer_line<I: DeserializeOwned>(line: &[u8], answer: &mut impl FnMut(I) -> Value) -> Value {
    let Ok(Value::Object(fields)) = serde_json::from_slice(line) else {
        return error("expected one JSON object on the line");
    };
    let id = fields.get("id").cloned();
    let mut answer = match serde_json::from_value(Value::Object(fields)) {
        Ok(input) => answer(input),
        // serde quotes the value it did not like; say where to look instead.
        Err(_) => error("a field is missing or has the wrong type"),
    };
    if let (Some(id), Value::Object(fields)) = (id, &mut answer) {
        fields.insert("id".to_owned(), id);
    }
    answer
}

/// `{"error": "…"}`.
pub(crate) fn error(text: &str) -> Value {
    Value::Object(Map::from_iter([("error".to_owned(), Value::from(text))]))
}
