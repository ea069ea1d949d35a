//! A peer that cannot be linked beside ours: a program of its own, in a workspace of its own below this one.
//!
//! It is built and started by cargo, reads one number of operations per line, performs as many and answers with one
//! line: the figure.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use crate::measure::Failure;

/// A peer's process.
pub(crate) struct Child {
    process: std::process::Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Child {
    /// Builds the peer in the folder `name` and starts it.
    pub(crate) fn start(name: &str, args: &[&str]) -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("Cargo.toml");
        let executable = std::env::current_exe()?;
        // `<target>/release/compliance-peers`: what both need is built once.
        let target = executable.ancestors().nth(2).ok_or("the executable is nowhere")?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut process = Command::new(cargo)
            .args(["run", "--quiet", "--release", "--locked", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(target)
            .arg("--")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or("the peer has no output")?);
        Ok(Self { process, questions, answers })
    }

    /// Has it perform `count` operations; the figure is the peer's own.
    pub(crate) fn ask(&mut self, count: usize) -> Result<f64, Failure> {
        let questions = self.questions.as_mut().ok_or("the peer has no input")?;
        writeln!(questions, "{count}")?;
        questions.flush()?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        answer.trim().parse().map_err(|_| format!("the peer answered {answer:?}").into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It ends when there is nothing more to read.
        drop(self.questions.take());
        drop(self.process.wait());
    }
}
