//! One line per figure on stdout:
//! `ratio <block>.<figure> <ours> <peer> <unit> <ours/peer>`.

use crate::measure::{Effort, Failure, Measured};

/// What a block reports to.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) effort: Effort,
    complete: bool,
}

impl Bench {
    pub(crate) fn new(effort: Effort) -> Self {
        Self { effort, complete: true }
    }

    /// Prints a figure, or notes that it is missing.
    pub(crate) fn figure(&mut self, name: &str, unit: &str, measured: Result<Measured, Failure>) {
        match measured {
            Ok(Measured { ours, peer: None }) if ours.is_finite() => {
                println!("ratio {name} {} - {unit} -", decimal(ours));
            }
            Ok(Measured { ours, peer: Some(peer) }) if ours.is_finite() && (ours / peer).is_finite() => {
                println!("ratio {name} {} {} {unit} {}", decimal(ours), decimal(peer), decimal(ours / peer));
            }
            Ok(measured) => self.missing(name, &format!("not a figure: {measured:?}")),
            Err(error) => self.missing(name, &error.to_string()),
        }
    }

    pub(crate) fn missing(&mut self, what: &str, why: &str) {
        eprintln!("compliance-peers: {what} could not be measured: {why}");
        self.complete = false;
    }

    /// Whether every figure was printed.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }
}

/// Four significant digits at least, never an exponent.
fn decimal(value: f64) -> String {
    match value.abs() {
        1000.0.. => format!("{value:.0}"),
        100.0.. => format!("{value:.1}"),
        10.0.. => format!("{value:.2}"),
        1.0.. => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}
